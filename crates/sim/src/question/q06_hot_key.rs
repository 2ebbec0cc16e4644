//! Decides how question 6 is answered: biased peer choice for a hot key, as it could be and as the
//! article's code does it.

use tidings_proto::base::rng::Rng;

use super::model::hot_key::{Choice, Spread, article_picks, spread};
use super::{Question, exactly, near, row, table};
use crate::paper::{Bar, Row, Table};
use crate::statistics::mean;
use crate::work::Work;

pub(super) const QUESTION: Question = Question {
    number: 6,
    asked: "What is biased selection, and how does it help with hot key dissemination?",
    article_says: "Biased selection favours peers that recently accessed the hot key: nodes that \
                   already have the hot data. Cassandra uses it during vnode migrations.",
    true_answer: "It helps if it favours those who want the news, not those who have it, and only \
                  while it is new: then the last of 50 readers among 1,000 knows in 0.7 of the \
                  rounds, all others within 1.2 times of uniform choice, and readers ask the owner \
                  a third less often. With a bias that never ends everybody else waits about twice \
                  as long. The article's code does not bias at all (0.05 of its choices are \
                  readers, as by chance): it records the caller. Cassandra picks uniformly.",
    run,
};

const NODES: usize = 1000;
const READERS: usize = 50;
const FANOUT: usize = 3;
const BIAS: f64 = 0.7;
/// About log4 of the readers, and two.
const BIASED_ROUNDS: u32 = 5;
const RUNS: usize = 100;
/// Reads of the hot key by each reader between two changes of it, one per round.
const ROUNDS_PER_CHANGE: f64 = 20.0;

fn run(work: &Work<'_>) -> Table {
    let readers: Vec<usize> = (1..=READERS).collect();
    let uniform =
        Choice { nodes: NODES, fanout: FANOUT, favoured: &readers, bias: 0.0, biased_rounds: 0 };
    let ending = Choice { bias: BIAS, biased_rounds: BIASED_ROUNDS, ..uniform };
    let endless = Choice { bias: BIAS, biased_rounds: u32::MAX, ..uniform };
    let runs = |choice: &Choice<'_>| -> Vec<Spread> {
        let mut rng = Rng::from_u64(work.seed);
        (0..RUNS).map(|_| spread(choice, &mut rng)).collect()
    };
    let (uniform, ending, endless) = (runs(&uniform), runs(&ending), runs(&endless));
    let of = |runs: &[Spread], pick: fn(&Spread) -> f64| {
        mean(&runs.iter().map(pick).collect::<Vec<_>>())
    };
    let (readers, all) = (|s: &Spread| s.favoured, |s: &Spread| s.all);
    let ratio = |runs: &[Spread], pick: fn(&Spread) -> f64| of(runs, pick) / of(&uniform, pick);
    // A reader asks the owner until the news has reached it.
    let asks = |runs: &[Spread]| of(runs, |s| s.favoured_mean) / ROUNDS_PER_CHANGE;
    let mut rows = vec![
        row("rounds until all 50 readers know, uniform", of(&uniform, readers), Bar::None),
        row("rounds until all 50 readers know, biased while new", of(&ending, readers), Bar::None),
        row("that, over uniform", ratio(&ending, readers), Bar::AtMost(0.75)),
        row("rounds until all 1,000 know, uniform", of(&uniform, all), near(8.3, 0.3)),
        row("the same biased while new, over uniform", ratio(&ending, all), Bar::AtMost(1.2)),
        row("the same with endless bias, over uniform", ratio(&endless, all), Bar::AtLeast(1.5)),
        row("share of reads that ask the owner, uniform", asks(&uniform), Bar::None),
        row("share of reads that ask the owner, biased", asks(&ending), Bar::None),
        row("that, over uniform", asks(&ending) / asks(&uniform), Bar::AtMost(0.67)),
        row(
            "most messages to one reader in one round, biased while new",
            ending.iter().map(|s| s.busiest).fold(0.0, f64::max),
            Bar::AtMost(60.0),
        ),
    ];
    rows.extend(article_rows(work.seed));
    table("Biased choice for a hot key", NOTES, rows)
}

const NOTES: &[&str] = &[
    "A push epidemic from the owner, 3 peers a round; with probability 0.7 a peer is one of the 50 \
     readers, for the first 5 rounds. Each reader reads once a round and asks the owner until the \
     news has reached it; the key changes every 20 rounds. 100 runs.",
    "Errors of the article's BiasedGossipNode: hot_key_threshold is never read; the log gets the \
     caller's own id and nobody else's, and the candidates exclude the caller, so no choice is \
     ever biased; entries never expire; the cluster is compared with `self` but the log holds ids; \
     random.sample raises where fewer than k peers are left.",
    "Cassandra: Gossiper.sendGossip picks a random live endpoint; there is no code that prefers \
     owners of adjacent ranges in 4.1, 5.0 or trunk.",
];

/// The article's choice, run as printed and with the log that its text describes.
fn article_rows(seed: u64) -> Vec<Row> {
    let mut rng = Rng::from_u64(seed);
    let readers: Vec<usize> = (1..=READERS).collect();
    let mut share = |log: &[usize]| {
        let picks = (0..2000).filter_map(|_| article_picks(0, NODES, log, BIAS, FANOUT, &mut rng));
        let picks: Vec<usize> = picks.flatten().collect();
        picks.iter().filter(|p| readers.contains(p)).count() as f64 / picks.len() as f64
    };
    let uniform = READERS as f64 / (NODES - 1) as f64;
    let (printed, meant) = (share(&[0]), share(&readers));
    let raised = article_picks(0, 3, &[0], 1.0, FANOUT, &mut rng).is_none();
    vec![
        row("the article's code: share of choices that are readers", printed, near(uniform, 0.015)),
        row("the same with the readers in its log", meant, near(BIAS + 0.3 * uniform, 0.04)),
        row(
            "its sample of 3 from 2 peers raises (1: yes)",
            f64::from(u8::from(raised)),
            exactly(1.0),
        ),
    ]
}
