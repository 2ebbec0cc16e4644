//! Decides how question 4 is answered: what a Merkle tree costs to compare and to keep.

use tidings_proto::base::rng::Rng;

use super::model::merkle::{Tree, compare};
use super::{Question, beside, exactly, row, table};
use crate::paper::{Bar, Table};
use crate::work::Work;

pub(super) const QUESTION: Question = Question {
    number: 4,
    asked: "How do Merkle trees enable efficient anti-entropy, and what is the trade-off?",
    article_says: "Only O(log N) data transferred per reconciliation. Trees must be rebuilt when \
                   the data changes significantly.",
    true_answer: "It is O(d log N) for d differences, and one hash when there are none: with \
                  131,072 keys 1 difference costs 35 hashes, and 1,000 cost over 800 times the \
                  article's 17. A tree is kept by 18 hashes per write; it is never rebuilt.",
    run,
};

const DEPTH: u32 = 17;

fn run(work: &Work<'_>) -> Table {
    let mut rng = Rng::from_u64(work.seed);
    let mut tree = Tree::build(DEPTH);
    let build = tree.computed;
    let original = tree.clone();
    let log_n = f64::from(DEPTH);
    let equal = compare(&original, &tree);
    let mut rows = vec![row("hashes sent when nothing differs", equal.hashes as f64, exactly(1.0))];
    let mut written = Vec::new();
    for d in [1, 10, 100, 1000] {
        while written.len() < d {
            let key = rng.index(tree.keys());
            if !written.contains(&key) {
                tree.write(key, 1);
                written.push(key);
            }
        }
        let found = compare(&original, &tree);
        written.sort_unstable();
        assert_eq!(found.different, written, "what was written is what is found");
        let what = format!("hashes sent for {d} random differences");
        // Two children of every differing inner node; above level log2 d nearly all differ.
        let most = 1.0 + 2.0 * d as f64 * (log_n - (d as f64).log2() + 2.0);
        rows.push(beside(log_n, row(what, found.hashes as f64, Bar::AtMost(most))));
        if d == 1000 {
            let times = found.hashes as f64 / log_n;
            rows.push(row("that, over the article's log2 N", times, Bar::AtLeast(800.0)));
            let share = found.hashes as f64 / tree.keys() as f64;
            rows.push(row("that, over sending every key's hash", share, Bar::AtMost(0.2)));
        }
        let trips = found.round_trips as f64;
        rows.push(row(format!("round trips for {d}"), trips, exactly(log_n + 1.0)));
    }
    rows.extend(upkeep(&tree, &written, build));
    table(
        "What a Merkle tree costs",
        &["A binary tree, one leaf per key, 131,072 (2^17) keys, 128-bit keyed hashes, leaf and \
             inner nodes in different domains. Hashes are counted one way; the keys and values \
             come on top."],
        rows,
    )
}

/// A tree kept by single writes against one built anew with the same content.
fn upkeep(kept: &Tree, written: &[usize], build: u64) -> Vec<crate::paper::Row> {
    let per_write = (kept.computed - build) as f64 / written.len() as f64;
    let mut anew = Tree::build(DEPTH);
    written.iter().rev().for_each(|&key| anew.write(key, 1));
    let equal = f64::from(u8::from(anew.root() == kept.root()));
    vec![
        row(
            "hashes computed to build the tree",
            build as f64,
            exactly((2u64 << DEPTH) as f64 - 1.0),
        ),
        row("hashes computed per write to keep it", per_write, exactly(f64::from(DEPTH) + 1.0)),
        row("kept tree equals one built anew (1: yes)", equal, exactly(1.0)),
    ]
}
