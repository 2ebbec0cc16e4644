//! Decides how question 20 is answered: quorums, hints and Merkle repair, each with the others
//! turned off.

use tidings_proto::base::rng::Rng;

use super::model::replicas::{Quorum, Store};
use super::{Question, exactly, near, row, table};
use crate::paper::{Bar, Row, Table};
use crate::work::Work;

pub(super) const QUESTION: Question = Question {
    number: 20,
    asked: "How do gossip, anti-entropy and quorums work together in Dynamo-style systems?",
    article_says: "R + W > N ensures clients read from a majority; quorum overlap guarantees \
                   consistency. Gossip notifies nodes of new writes.",
    true_answer: "It is overlap, not majority: W = 3, R = 1 reads one replica and is never stale, \
                  while R = W = 1 is stale in 0.667 of all reads. A sloppy quorum loses the \
                  overlap: with R + W > N all reads on the other side of a split were stale, where \
                  a strict one refuses the writes. Dynamo gossips membership, not writes; after an \
                  outage 170 keys differ, and hints repair them unless their holder dies, Merkle \
                  repair always.",
    run,
};

const NODES: usize = 6;
const READS: usize = 20_000;
const DEPTH: u32 = 10;
/// Keys whose replicas are nodes 0, 1 and 2.
const KEYS: usize = 170;

fn run(work: &Work<'_>) -> Table {
    let mut rng = Rng::from_u64(work.seed);
    let mut stale = |n, r, w| stale_share(Quorum { n, r, w, sloppy: false }, &mut rng);
    let mut rows = vec![
        row("N 3, R 1, W 1: share of reads that are stale", stale(3, 1, 1), near(2.0 / 3.0, 0.015)),
        row("N 3, R 2, W 2: share of reads that are stale", stale(3, 2, 2), exactly(0.0)),
        row("N 3, R 1, W 3: share of reads that are stale", stale(3, 1, 3), exactly(0.0)),
        row("N 5, R 1, W 4: share of reads that are stale", stale(5, 1, 4), near(0.2, 0.015)),
    ];
    rows.extend(split(&mut rng));
    rows.extend(outage(&mut rng));
    table(
        "Overlap, hints and repair",
        &[
            "A store of 6 nodes, 3 replicas per key unless said. A write is acknowledged by any W \
             of its replicas, and read at once from any R: the rest is still under way. Expected \
             stale share C(N-W, R)/C(N, R).",
            "Split: the writer reaches only the last of three replicas and three other nodes, the \
             reader only the first two. Outage: one replica is down while all its keys are written \
             with a stand-in that keeps a hint. None of it is linearizable: two writers, a failed \
             write that some replica kept, or a read that two clients see in turn still show it.",
        ],
        rows,
    )
}

fn stale_share(quorum: Quorum, rng: &mut Rng) -> f64 {
    let all: &dyn Fn(usize) -> bool = &|_| true;
    let mut stale = 0;
    for key in 0..READS {
        let mut store = Store::new(NODES, quorum);
        let written = store.write(key % NODES, all, rng);
        stale += usize::from(store.read(key % NODES, all, rng) != written);
    }
    stale as f64 / READS as f64
}

fn split(rng: &mut Rng) -> Vec<Row> {
    let mut rows = Vec::new();
    let writer: &dyn Fn(usize) -> bool = &|node| node >= 2;
    let reader: &dyn Fn(usize) -> bool = &|node| node < 2;
    for sloppy in [true, false] {
        let quorum = Quorum { n: 3, r: 2, w: 2, sloppy };
        let mut store = Store::new(NODES, quorum);
        let (mut acknowledged, mut stale) = (0, 0);
        for key in (0..KEYS).map(|k| k * NODES) {
            if let Some(written) = store.write(key, writer, rng) {
                acknowledged += 1;
                stale += usize::from(store.read(key, reader, rng) != Some(written));
            }
        }
        let name = if sloppy { "sloppy" } else { "strict" };
        let expected = if sloppy { KEYS as f64 } else { 0.0 };
        rows.push(row(
            format!("{name}, R 2, W 2, split: of 170 writes acknowledged"),
            acknowledged as f64,
            exactly(expected),
        ));
        rows.push(row(
            format!("{name}, R 2, W 2, split: of these read stale"),
            stale as f64,
            exactly(expected),
        ));
    }
    rows
}

/// Replica 0 is down while all its keys are written; then it is back.
fn outage(rng: &mut Rng) -> Vec<Row> {
    let up: &dyn Fn(usize) -> bool = &|node| node != 0;
    let mut store = Store::new(NODES, Quorum { n: 3, r: 1, w: 3, sloppy: true });
    for key in (0..KEYS).map(|k| k * NODES) {
        store.write(key, up, rng);
    }
    let differ = |store: &Store| store.different(0, 1, DEPTH) as f64;
    let (mut hinted, mut lost, mut repaired) = (store.clone(), store.clone(), store.clone());
    hinted.hand_off(&|_| true);
    lost.hand_off(&|holder| holder != 3);
    let hashes = repaired.repair(0, 1, DEPTH) as f64;
    let what = |how: &str| format!("after an outage, {how}: keys that differ");
    vec![
        row(what("membership gossip alone"), differ(&store), exactly(KEYS as f64)),
        row(what("hints"), differ(&hinted), exactly(0.0)),
        row(what("hints, their holder dead"), differ(&lost), exactly(KEYS as f64)),
        row(what("Merkle repair"), differ(&repaired), exactly(0.0)),
        row("hashes sent by that repair", hashes, Bar::AtMost((2u64 << DEPTH) as f64)),
    ]
}
