//! Decides what a node keeps ready about its live entries so that finding a difference costs what
//! differs: each by its print, the first coded symbols, and a sketch to estimate with.
//!
//! An element of the set is the low half of an entry's keyed print. Live entries alone are
//! elements: one missed write changes one element, while the version vector changes by two more
//! and is compared apart.

use super::bloom::Filter;
use super::estimate::Estimator;
use super::merkle::{Span, Tree, head};
use super::sketch::{Prefix, Symbol, symbols};
use crate::base::hash::HashKey;
use crate::limits::CODED_ELEMENTS_MAX;
use crate::state::store::{EntrySlot, LiveChange};

/// Symbols kept up to date, over sets so large that a pass over them would be felt: these find 1,400
/// differences among any number.
const PREFIX: usize = 2048;
const PREFIX_FROM: usize = 16_384;

/// A part of the elements: those whose first `bits` bits are `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub bits: u8,
    pub index: u32,
}

impl Part {
    pub const ALL: Part = Part { bits: 0, index: 0 };

    pub fn holds(self, element: u64) -> bool {
        self.bits == 0 || element >> (64 - self.bits) == u64::from(self.index)
    }

    fn span(self) -> Span {
        Span::part(self.index, self.bits).expect("a part is one of two to its bits")
    }
}

#[derive(Debug)]
pub struct LiveSet {
    key: HashKey,
    /// By print, the half that is summed and coded first; with the hashes over it.
    tree: Tree,
    prefix: Prefix,
    estimator: Estimator,
}

impl LiveSet {
    pub fn new(key: HashKey) -> LiveSet {
        LiveSet { key, tree: Tree::new(), prefix: Prefix::new(0), estimator: Estimator::default() }
    }

    /// Takes in what came and went, in that order; empties the list. Sorted first: what is near in the
    /// tree is near in time.
    pub fn apply(&mut self, changes: &mut Vec<LiveChange>) {
        changes.sort_by_key(|change| element(change.print));
        if self.tree.is_empty() {
            self.tree = Tree::of_sorted(
                net(changes).filter(|c| c.live).map(|c| (element(c.print), c.slot)),
            );
            net(changes).filter(|c| c.live).for_each(|c| self.estimator.toggle(c.print as u64));
        } else {
            net(changes).for_each(|change| self.apply_one(change));
        }
        changes.clear();
        let kept = !self.prefix.symbols().is_empty();
        if !kept && self.len() >= PREFIX_FROM {
            self.prefix = self.coded();
        } else if kept && self.len() < PREFIX_FROM / 2 {
            self.prefix = Prefix::new(0);
        }
    }

    fn apply_one(&mut self, LiveChange { print, slot, live }: LiveChange) {
        let was = if live {
            self.tree.insert(element(print), slot).is_some()
        } else {
            self.tree.remove(element(print)).is_none()
        };
        if !was {
            self.prefix.toggle(print as u64, &self.key);
            self.estimator.toggle(print as u64);
        }
    }

    fn coded(&self) -> Prefix {
        let mut prefix = Prefix::new(PREFIX);
        self.part(Part::ALL).for_each(|(print, _)| prefix.toggle(print, &self.key));
        prefix
    }

    pub fn len(&self) -> usize {
        self.tree.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    pub fn get(&self, print: u64) -> Option<EntrySlot> {
        self.tree.find(print).next().map(|(_, slot)| slot)
    }

    /// Elements whose first 32 bits are these: one, or rarely a stranger more.
    pub fn with_short(&self, short: u32) -> impl Iterator<Item = (u64, EntrySlot)> + '_ {
        self.part(Part { bits: 32, index: short })
    }

    pub fn part(&self, part: Part) -> impl Iterator<Item = (u64, EntrySlot)> + '_ {
        self.tree.range(part.span()).map(|(element, slot)| (head(element), slot))
    }

    pub fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// What this node has of a part, told in ten bits each.
    pub fn filter(&self, part: Part, salt: u64) -> Filter {
        let count = self.part(part).count();
        let mut filter = Filter::new(salt, count);
        self.part(part).for_each(|(print, _)| filter.insert(print, &self.key));
        filter
    }

    pub fn estimator(&self) -> &Estimator {
        &self.estimator
    }

    /// Symbols that need no pass over the set.
    pub fn ready(&self) -> usize {
        self.prefix.symbols().len()
    }

    /// The symbols `from..to` of a part, or fewer where more would take a pass over too many
    /// elements; `budget` counts those down.
    pub fn symbols(&self, part: Part, from: u64, to: u64, budget: &mut usize) -> Vec<Symbol> {
        let ready = self.prefix.symbols();
        if part.bits == 0 && (to <= ready.len() as u64 || self.len() > *budget) {
            let at = |n: u64| n.min(ready.len() as u64) as usize;
            return ready[at(from)..at(to).max(at(from))].to_vec();
        }
        let elements = self.part(part).map(|(print, _)| print).take(*budget + 1);
        let mut count = 0;
        let coded = symbols(elements.inspect(|_| count += 1), from..to, &self.key);
        if count > *budget {
            return Vec::new();
        }
        *budget -= count;
        coded
    }

    /// How many leading bits make parts that one request may go through, with some `each`
    /// differences in each.
    pub fn bits_for(elements: usize, differing: f64, each: f64) -> u8 {
        let by_size = (elements / (CODED_ELEMENTS_MAX / 4)).max(1);
        let by_difference = (differing / each).clamp(1.0, 1e6) as usize;
        by_size.max(by_difference).next_power_of_two().trailing_zeros().min(20) as u8
    }
}

/// What becomes of each element in the end; sorted by element, and in order for each.
fn net(changes: &[LiveChange]) -> impl Iterator<Item = LiveChange> + '_ {
    let same = changes.chunk_by(|a, b| a.print == b.print);
    same.map(|changes| *changes.last().expect("a chunk has one"))
}

/// The tree's element for a print: what is summed and coded comes first.
fn element(print: u128) -> u128 {
    print.rotate_left(64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn the_prefix_follows_whatever_comes_and_goes() {
        let key = HashKey::for_cluster("live");
        let mut rng = Rng::from_u64(1);
        let mut set = LiveSet::new(key);
        let mut held: Vec<(u64, EntrySlot)> = Vec::new();
        let mut changes = Vec::new();
        for slot in 0..40_000u32 {
            if rng.chance(0.2) && !held.is_empty() {
                let (print, slot) = held.swap_remove(rng.index(held.len()));
                changes.push(LiveChange { print: print.into(), slot, live: false });
            } else {
                let print = rng.u64();
                held.push((print, slot));
                changes.push(LiveChange { print: print.into(), slot, live: true });
            }
            if rng.chance(0.01) {
                set.apply(&mut changes);
                assert_eq!(set.len(), held.len());
                assert!(held.iter().take(10).all(|&(print, slot)| set.get(print) == Some(slot)));
            }
        }
        set.apply(&mut changes);
        assert_eq!((set.len(), set.ready()), (held.len(), PREFIX));
        let mut told = Estimator::default();
        held.iter().for_each(|&(print, _)| told.toggle(print));
        assert_eq!(*set.estimator(), told);
        let held: Vec<u64> = held.into_iter().map(|(print, _)| print).collect();
        let mut budget = usize::MAX - 1;
        for part in [Part::ALL, Part { bits: 3, index: 5 }] {
            let members = held.iter().copied().filter(|&e| part.holds(e));
            let expected = symbols(members, 100..3000, &key);
            assert_eq!(set.symbols(part, 100, 3000, &mut budget), expected);
        }
        assert!(set.symbols(Part { bits: 1, index: 0 }, 0, 10, &mut 100).is_empty());
    }
}
