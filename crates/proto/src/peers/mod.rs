//! Decides whom to tell. [`Choice`] holds what the ways of choosing share.

use crate::base::rng::Rng;
use crate::membership::table::{Slot, Table};

/// What choosing needs beside the table.
#[derive(Debug)]
pub struct Choice {
    pub rng: Rng,
    /// The peers picked last; taken and given back, so that picking allocates nothing.
    pub picked: Vec<Slot>,
}

impl Choice {
    pub fn new(seed: &[u8; 32]) -> Choice {
        Choice { rng: Rng::fork(seed, "peers"), picked: Vec::new() }
    }
}

/// Fills `out` with up to `k` distinct live peers, uniformly at random, without those that
/// `skip` names. O(k): an unlucky draw is repeated a bounded number of times.
pub fn uniform(
    table: &Table,
    k: usize,
    rng: &mut Rng,
    skip: impl Fn(Slot) -> bool,
    out: &mut Vec<Slot>,
) {
    out.clear();
    let live = table.live();
    if live.len() <= 2 * k {
        // Few peers: shuffle them all, so that k >= n reaches everyone.
        out.extend(live.iter().copied().filter(|&s| !skip(s)));
        rng.shuffle(out);
        out.truncate(k);
        return;
    }
    for _ in 0..8 * k {
        if out.len() == k {
            return;
        }
        let slot = live[rng.index(live.len())];
        if !out.contains(&slot) && !skip(slot) {
            out.push(slot);
        }
    }
}
