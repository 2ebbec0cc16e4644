//! Decides how question 2 is answered: push, pull and push-pull, by rounds, by messages, and for a
//! late joiner.

use tidings_proto::Config;

use super::cluster::{rested, secs};
use super::q01_epidemic::rounds_row;
use super::{Question, beside, exactly, near, row, table};
use crate::epidemic::{Mode, Setting, Spread, chain, stream};
use crate::paper::{Bar, Table};
use crate::statistics::mean;
use crate::work::Work;
use crate::world::WorldConfig;

pub(super) const QUESTION: Question = Question {
    number: 2,
    asked: "What is the difference between push, pull and push-pull, and when would you choose \
            each?",
    article_says: "Push is fast for new updates but late joiners may miss them; pull is slower for \
                   new updates; push-pull converges best at double the messages per round.",
    true_answer: "Push is the slowest of the three to reach everybody: 18.0 rounds among 1,000 \
                  with one peer each, pull 13.8, push-pull 9.2. Push leaves 0.37 of a last tenth \
                  for the next round, pull under 0.1. Push-pull is done in half the rounds, so its \
                  messages per node are 1.2 times those of push, not double. A late joiner of a \
                  cluster that only pushes has 0 of 20 older keys, and all 20 where it can pull.",
    run,
};

const NODES: u64 = 1000;
const KEYS: usize = 20;

fn run(work: &Work<'_>) -> Table {
    let runs = if work.quick { 3000 } else { 20_000 };
    let sample = |mode: Mode| {
        chain::sample(&Setting { mode, nodes: NODES, fanout: 1, loss: 0.0 }, runs, work)
    };
    let found: Vec<Spread> = Mode::ALL.into_iter().filter_map(sample).collect();
    let [push, _, both] = &found[..] else {
        return table("Push, pull and both", &[], Vec::new());
    };
    let mut rows = Vec::new();
    for ((mode, spread), (rounds, messages)) in
        Mode::ALL.iter().zip(&found).zip([(18.04, 8.0), (13.76, 11.1), (9.15, 9.8)])
    {
        let name = mode.as_str();
        rows.push(rounds_row(format!("{name}: mean rounds until all 1,000 know"), spread, rounds));
        let what = format!("{name}: messages per node until then");
        rows.push(row(what, spread.messages.mean, near(messages, 0.15)));
    }
    let ratio = both.messages.mean / push.messages.mean;
    rows.extend([
        beside(2.0, row("messages of push-pull over those of push", ratio, near(1.22, 0.05))),
        row(
            "push: of a last tenth, the share still missing a round later",
            last_tenth(Mode::Push, work.seed),
            near((-1.0f64).exp(), 0.05),
        ),
        row(
            "pull: of a last tenth, the share still missing a round later",
            last_tenth(Mode::Pull, work.seed),
            Bar::AtMost(0.1),
        ),
        row(
            "late joiner, the core with pushes only: of 20 old keys it has",
            late(work.seed, false),
            exactly(0.0),
        ),
        row(
            "late joiner, the core that also pulls: of 20 old keys it has",
            late(work.seed, true),
            exactly(KEYS as f64),
        ),
    ]);
    table(
        "Push, pull and both",
        &[
            "1,000 nodes, one peer per round each, no loss. Messages: push counts those who know, \
             pull those who do not and the replies, push-pull all nodes and the replies.",
            "Late joiner: the core, 20 members and 20 keys; a member is cut off from before they \
             are written until long after, as one that was not there.",
        ],
        rows,
    )
}

/// From the first round in which at most a tenth does not know to the next.
fn last_tenth(mode: Mode, seed: u64) -> f64 {
    let setting = Setting { mode, nodes: NODES, fanout: 1, loss: 0.0 };
    let share = |run| {
        let mut missing = Vec::new();
        chain::run(&setting, &mut stream(seed, run), &mut |left| missing.push(left as f64));
        let at = missing.iter().position(|&left| left <= NODES as f64 / 10.0);
        let at = at.expect("all know in the end");
        missing.get(at + 1).map_or(0.0, |next| next / missing[at])
    };
    mean(&(0..500).map(share).collect::<Vec<_>>())
}

/// How many old keys a member has that comes when their rumours are cold.
fn late(seed: u64, pulls: bool) -> f64 {
    let config = Config { anti_entropy: pulls, ..Config::lan() };
    let mut world = rested(seed, WorldConfig::default(), 20, &config);
    let late = 13;
    world.split_off([late]);
    for i in 0..KEYS {
        world.set(i % 10, format!("k{i}"), "v");
    }
    world.run_for(secs(4));
    world.net.heal();
    world.run_for(secs(10));
    (0..KEYS).filter(|i| world.get(late, format!("k{i}")).is_some()).count() as f64
}
