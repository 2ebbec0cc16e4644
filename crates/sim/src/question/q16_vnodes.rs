//! Decides how question 16 is answered: whether favouring the owners of adjacent ranges stabilises
//! a ring sooner.

use std::collections::BTreeSet;

use tidings_proto::base::rng::Rng;

use super::model::hot_key::{Choice, spread};
use super::{Question, row, table};
use crate::paper::{Bar, Table};
use crate::statistics::mean;
use crate::work::Work;

pub(super) const QUESTION: Question = Question {
    number: 16,
    asked: "What happens in a Cassandra vnode migration, and how does biased gossip help?",
    article_says: "Biased selection prioritises gossip with nodes owning adjacent token ranges; \
                   this accelerates propagation of ownership metadata so the ring stabilises \
                   faster.",
    true_answer: "Cassandra does not do it: it picks peers uniformly, and since TCM ownership is a \
                  log, not gossip. If it did: with 4 tokens per node among 1,000 the 12 affected \
                  owners would know in about half of the rounds; with 256 tokens over 500 of the \
                  1,000 are affected, and a bias saves a tenth.",
    run,
};

const NODES: usize = 1000;
const REPLICAS: usize = 3;
const RUNS: usize = 40;

fn run(work: &Work<'_>) -> Table {
    let mut rows = Vec::new();
    let tokens = [4, 16, 256];
    let found = work.map("question 16", &tokens, |&tokens| measure(tokens, work.seed));
    for (tokens, found) in tokens.iter().zip(found) {
        let Some((affected, ratio)) = found else { continue };
        let what = format!("{tokens} tokens per node: owners whose ranges change");
        let bars = match tokens {
            4 => (Bar::AtMost(13.0), Bar::AtMost(0.65)),
            256 => (Bar::AtLeast(500.0), Bar::AtLeast(0.85)),
            _ => (Bar::None, Bar::None),
        };
        rows.push(row(what, affected, bars.0));
        let what = format!("{tokens} tokens per node: biased over uniform rounds until they know");
        rows.push(row(what, ratio, bars.1));
    }
    table(
        "A node joins a ring of vnodes",
        &[
            "1,000 nodes with random tokens, 3 replicas. A joining node takes over the ranges \
             before each of its tokens; the next 3 distinct owners after each are affected. Push, \
             3 peers a round, biased with probability 0.7 to the affected, against uniform choice; \
             mean of 40 runs.",
            "In Cassandra a joining node announces its tokens, waits ring_delay (30 s), streams \
             its ranges while writes go to both, and then owns them; the wait, not the choice of \
             peers, decides how soon.",
        ],
        rows,
    )
}

/// (affected owners, rounds until they know with bias over without).
fn measure(tokens: usize, seed: u64) -> (f64, f64) {
    let mut rng = Rng::from_u64(seed);
    let (mut affected_counts, mut biased, mut uniform) = (Vec::new(), Vec::new(), Vec::new());
    let mut ring: Vec<(u64, usize)> =
        (0..NODES * tokens).map(|i| (rng.u64(), 1 + i % (NODES - 1))).collect();
    ring.sort_unstable();
    for _ in 0..RUNS {
        let affected = affected_owners(&ring, tokens, &mut rng);
        let plain = Choice {
            nodes: NODES,
            fanout: 3,
            favoured: &affected,
            bias: 0.0,
            biased_rounds: u32::MAX,
        };
        affected_counts.push(affected.len() as f64);
        uniform.push(spread(&plain, &mut rng).favoured);
        biased.push(spread(&Choice { bias: 0.7, ..plain }, &mut rng).favoured);
    }
    (mean(&affected_counts), mean(&biased) / mean(&uniform))
}

/// Node 0 joins the ring; who holds a replica of a range that it takes over.
fn affected_owners(ring: &[(u64, usize)], tokens: usize, rng: &mut Rng) -> Vec<usize> {
    let mut affected = BTreeSet::new();
    for _ in 0..tokens {
        let taken = rng.u64();
        let at = ring.partition_point(|&(token, _)| token < taken);
        let mut next = BTreeSet::new();
        for i in 0..ring.len() {
            next.insert(ring[(at + i) % ring.len()].1);
            if next.len() == REPLICAS {
                break;
            }
        }
        affected.extend(next);
    }
    affected.into_iter().collect()
}
