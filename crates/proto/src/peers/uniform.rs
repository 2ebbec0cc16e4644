//! Decides by chance alone: k distinct live peers, each as likely as any other.

use crate::base::rng::Rng;
use crate::membership::table::{Slot, Table};

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
