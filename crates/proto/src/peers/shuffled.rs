//! Decides by who was contacted least recently, with some chance: each live peer has its turn once in
//! a pass, and the next pass goes in nearly the same order. So two turns of a peer are at most 1.2
//! passes apart, where uniform chance leaves some peer without for seven (row C2).

use crate::base::rng::Rng;
use crate::membership::table::{Slot, Table};

/// Peers in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Pass {
    order: Vec<Slot>,
    at: usize,
    passes: u64,
    /// One bit a slot; used while a pass is prepared.
    listed: Vec<u64>,
}

/// A peer's turn moves by less than this share of a pass from one to the next.
const MOVES: usize = 8;
/// Peers passed over in one call, for each that is wanted; what is left is drawn by chance alone.
const PASSED_OVER_MAX: usize = 16;

impl Pass {
    /// Fills `out` with up to `k` distinct live peers whose turn it is, without those that `skip`
    /// names: their turn is put off, not lost.
    pub(super) fn pick(
        &mut self,
        table: &Table,
        k: usize,
        rng: &mut Rng,
        skip: impl Fn(Slot) -> bool,
        out: &mut Vec<Slot>,
    ) {
        out.clear();
        for _ in 0..k.min(table.live().len()) {
            let Some(slot) = self.next(table, rng, |slot| skip(slot) || out.contains(&slot)) else {
                break;
            };
            out.push(slot);
        }
    }

    fn next(&mut self, table: &Table, rng: &mut Rng, skip: impl Fn(Slot) -> bool) -> Option<Slot> {
        if self.at >= self.order.len() {
            self.renew(table, rng);
        }
        let last = self.order.len().min(self.at + PASSED_OVER_MAX);
        for ahead in self.at..last {
            let slot = self.order[ahead];
            if table.is_live(slot) && !skip(slot) {
                self.order.swap(self.at, ahead);
                self.at += 1;
                return Some(slot);
            }
        }
        // All that are left of the pass are passed over, or too many in a row.
        self.at = last;
        None
    }

    /// The order of the pass before, shuffled within blocks, without those gone and with newcomers at
    /// random places. Once per pass, so O(1) per turn.
    fn renew(&mut self, table: &Table, rng: &mut Rng) {
        self.at = 0;
        self.passes += 1;
        self.order.retain(|&slot| table.is_live(slot));
        self.listed.clear();
        self.listed.resize(table.slots_end() as usize / 64 + 1, 0);
        for &slot in &self.order {
            self.listed[slot as usize / 64] |= 1 << (slot % 64);
        }
        let known = self.order.len();
        for &slot in table.live() {
            if self.listed[slot as usize / 64] & 1 << (slot % 64) == 0 {
                self.order.push(slot);
            }
        }
        if known == 0 {
            return rng.shuffle(&mut self.order);
        }
        for at in known..self.order.len() {
            let place = rng.index(at + 1);
            self.order.swap(at, place);
        }
        let block = self.order.len() / MOVES + 1;
        // Blocks begin elsewhere in every other pass, so that peers do not stay together.
        let first = if self.passes.is_multiple_of(2) { block / 2 } else { block };
        let (head, rest) = self.order.split_at_mut(first.min(known));
        rng.shuffle(head);
        rest.chunks_mut(block).for_each(|block| rng.shuffle(block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::tests::{kill, table_of};
    use std::collections::BTreeMap;

    /// Row C2.
    #[test]
    fn no_live_peer_waits_longer_than_a_pass_and_a_fifth() {
        let rng = &mut Rng::from_u64(3);
        for (n, k) in [(100, 1), (1000, 3), (64, 3), (1000, 10)] {
            let table = table_of(n);
            let mut pass = Pass::default();
            let (mut out, mut last) = (Vec::new(), BTreeMap::new());
            let mut longest = 0;
            for round in 1..40 * n / k {
                pass.pick(&table, k, rng, |_| false, &mut out);
                assert_eq!(out.len(), k);
                for &slot in &out {
                    longest = longest.max(round - last.insert(slot, round).unwrap_or(0));
                }
            }
            let waiting = last.values().map(|&at| 40 * n / k - at).max().unwrap();
            let bar = 1.2 * (n - 1) as f64 / k as f64;
            println!("n = {n}, k = {k}: at most {longest} rounds apart, bar {bar:.1}");
            assert_eq!(last.len(), n - 1);
            assert!(longest.max(waiting) as f64 <= bar.max((n / k) as f64 + 2.0));
        }
    }

    #[test]
    fn those_gone_and_those_passed_over_do_not_stop_the_others() {
        let rng = &mut Rng::from_u64(4);
        let mut table = table_of(50);
        let mut pass = Pass::default();
        let mut out = Vec::new();
        pass.pick(&table, 3, rng, |_| false, &mut out);
        let gone: Vec<Slot> = table.live().iter().copied().step_by(2).collect();
        for &slot in &gone {
            kill(&mut table, slot);
        }
        let passed_over = table.live()[0];
        let mut met = BTreeMap::new();
        for _ in 0..60 {
            pass.pick(&table, 1, rng, |slot| slot == passed_over, &mut out);
            out.iter().for_each(|&slot| *met.entry(slot).or_insert(0) += 1);
        }
        assert!(gone.iter().all(|slot| !met.contains_key(slot)));
        assert_eq!(met.len(), table.live().len() - 1);
    }
}
