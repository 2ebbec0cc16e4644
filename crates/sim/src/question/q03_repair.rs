//! Decides how question 3 is answered: dissemination and anti-entropy, each with the other turned
//! off.

use tidings_proto::Config;

use super::cluster::{rested, secs, spread};
use super::{Question, row, table};
use crate::paper::{Bar, Table};
use crate::work::Work;
use crate::world::WorldConfig;

pub(super) const QUESTION: Question = Question {
    number: 3,
    asked: "How does anti-entropy differ from dissemination, and why does Dynamo use both?",
    article_says: "Dissemination propagates new updates fast; anti-entropy repairs existing state. \
                   Cassandra uses anti-entropy for hinted handoffs and data repair.",
    true_answer: "Right in outline. Rumours alone reach all 40 members in under a second, but of \
                  20 keys written while one member was away it lacks all 20 for ever. \
                  Reconciliation alone lacks none and takes seconds longer; together they are fast \
                  and lack none. Hinted handoff is neither: it replays single writes, and Dynamo \
                  gossips membership, not the writes of clients.",
    run,
};

const NODES: usize = 40;
const AWAY: usize = 7;
const KEYS: usize = 20;

fn run(work: &Work<'_>) -> Table {
    let lan = Config::lan();
    let cases = [
        ("both", lan.clone(), Bar::AtMost(1.0), Bar::AtMost(0.0)),
        (
            "rumours alone",
            Config { anti_entropy: false, ..lan.clone() },
            Bar::AtMost(1.0),
            Bar::AtLeast(KEYS as f64),
        ),
        (
            "reconciliation alone",
            Config { rumours: false, ..lan },
            Bar::AtMost(15.0),
            Bar::AtMost(0.0),
        ),
    ];
    let measured = work.map("question 3", &cases, |(_, config, ..)| measure(work.seed, config));
    let mut rows = Vec::new();
    for ((name, _, speed, lacks), found) in cases.iter().zip(measured) {
        let Some((seconds, lacking)) = found else { continue };
        rows.push(row(
            format!("{name}: seconds until all {NODES} have a new key"),
            seconds,
            *speed,
        ));
        let what = format!("{name}: of {KEYS} keys written while a member was away, it lacks");
        rows.push(row(what, lacking, *lacks));
    }
    table(
        "Dissemination against anti-entropy",
        &["The core with one of the two paths turned off. One member of 40 is cut off for 4 s, \
             in which 20 keys are written elsewhere; it is looked at 20 s after its return. It is \
             not away long enough to be declared failed, so nothing but the fingerprints tells."],
        rows,
    )
}

fn measure(seed: u64, config: &Config) -> (f64, f64) {
    let mut world = rested(seed, WorldConfig::default(), NODES, config);
    let took = spread(&mut world, 0, "fresh", secs(30));
    world.split_off([AWAY]);
    for i in 0..KEYS {
        world.set(1 + i % 5, format!("k{i}"), "v");
    }
    world.run_for(secs(4));
    world.net.heal();
    world.run_for(secs(20));
    let lacks = (0..KEYS).filter(|i| world.get(AWAY, format!("k{i}")).is_none()).count();
    (took[NODES - 1], lacks as f64)
}
