//! Decides how question 13 is answered: what the interval buys and what it costs.

use tidings_proto::Config;

use super::cluster::{rested, secs, spread};
use super::{Question, row, table};
use crate::epidemic::{Mode, Setting, chain};
use crate::paper::{Bar, Table};
use crate::setup::load;
use crate::statistics::mean;
use crate::work::Work;
use crate::world::WorldConfig;

pub(super) const QUESTION: Question = Question {
    number: 13,
    asked: "How does the gossip interval trade convergence speed against system load?",
    article_says: "Shorter: faster but higher load. Intervals range from hundreds of milliseconds \
                   for small clusters to seconds for large ones.",
    true_answer: "In rounds it is a product: 6 rounds (p99 of 1,000 members, push-pull, 3 peers) \
                  are 3 s at 500 ms and 12 s at 2 s. A member that passes news on at receipt \
                  depends less on it: 4 times the interval costs the core under 3.5 times the \
                  time. Load per member is the same among 30 and 300, and ten times the members \
                  take under twice the time, so size is no reason for a longer interval. And at \
                  rest the core sends only probes: its gossip interval costs nothing then.",
    run,
};

const NODES: usize = 60;
const UPDATES: usize = 12;

fn run(work: &Work<'_>) -> Table {
    // (members, gossip interval ms, probe period ms)
    let cells = [
        (NODES, 100, 1000),
        (NODES, 400, 1000),
        (NODES, 400, 4000),
        (30, 400, 1000),
        (300, 400, 1000),
    ];
    let found =
        work.map("question 13", &cells, |&(n, tick, probe)| measure(work.seed, n, tick, probe));
    let found: Vec<Found> = found.into_iter().flatten().collect();
    let [short, long, rare, small, large] = found[..] else {
        return table("The interval", &[], Vec::new());
    };
    let ratio = |a: f64, b: f64| a / b;
    let model = Setting { mode: Mode::PushPull, nodes: 1000, fanout: 3, loss: 0.0 };
    let Some(p99) = chain::sample(&model, 2000, work).map(|s| s.rounds.p99) else {
        return table("The interval", &[], Vec::new());
    };
    let rows = vec![
        row("p99 of the rounds, 1,000 members, push-pull, 3 peers", p99, super::exactly(6.0)),
        row("seconds of these at 500 ms", 0.5 * p99, super::exactly(3.0)),
        row("seconds of these at 2 s", 2.0 * p99, super::exactly(12.0)),
        row("seconds until all 60 know, gossip every 100 ms", short.seconds, Bar::None),
        row("seconds until all 60 know, gossip every 400 ms", long.seconds, Bar::None),
        row("that, over the first", ratio(long.seconds, short.seconds), Bar::AtMost(3.5)),
        row(
            "datagrams per member and second at rest, gossip every 100 ms",
            short.at_rest,
            super::near(4.0, 0.4),
        ),
        row(
            "the same every 400 ms, over that",
            ratio(long.at_rest, short.at_rest),
            super::near(1.0, 0.05),
        ),
        row(
            "the same with probes every 4 s, over that",
            ratio(rare.at_rest, long.at_rest),
            super::near(0.25, 0.03),
        ),
        row(
            "300 members over 30: datagrams at rest",
            ratio(large.at_rest, small.at_rest),
            super::near(1.0, 0.05),
        ),
        row(
            "300 members over 30: seconds until all know",
            ratio(large.seconds, small.seconds),
            Bar::AtMost(2.0),
        ),
    ];
    table(
        "The interval",
        &["The core on a LAN with one peer told at once and one per gossip interval (its \
             defaults tell six at once, and finish before the first interval is over). Seconds are \
             the mean of 12 updates."],
        rows,
    )
}

#[derive(Clone, Copy)]
struct Found {
    seconds: f64,
    at_rest: f64,
}

fn measure(seed: u64, n: usize, tick: u64, probe: u64) -> Found {
    let config = Config {
        tick: super::cluster::ms(tick),
        probe_period: super::cluster::ms(probe),
        fanout: 1,
        eager_fanout: 1,
        ..Config::lan()
    };
    let mut world = rested(seed, WorldConfig::default(), n, &config);
    let took: Vec<f64> =
        (0..UPDATES).map(|i| spread(&mut world, i, &format!("k{i}"), secs(60))[n - 1]).collect();
    world.run_for(secs(10));
    Found { seconds: mean(&took), at_rest: load(&mut world, secs(20)).0 }
}
