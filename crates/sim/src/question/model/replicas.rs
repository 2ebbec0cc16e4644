//! Decides what quorums, hints and Merkle repair each contribute to a store of the Dynamo kind:
//! N replicas per key, R answers to a read, W to a write.

use std::collections::BTreeMap;

use tidings_proto::base::rng::Rng;

use super::merkle::{Tree, compare};

/// Replicas per key, and how many answers an operation waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quorum {
    pub(crate) n: usize,
    pub(crate) r: usize,
    pub(crate) w: usize,
    /// Unreachable replicas are stood in for by the next nodes, which keep hints.
    pub(crate) sloppy: bool,
}

/// A write that a stand-in keeps for the replica that should have it.
#[derive(Clone, Copy, Debug)]
struct Hint {
    holder: usize,
    owner: usize,
    key: usize,
    stamp: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    quorum: Quorum,
    /// By node: the stamp of each key.
    held: Vec<BTreeMap<usize, u64>>,
    hints: Vec<Hint>,
    clock: u64,
}

impl Store {
    pub(crate) fn new(nodes: usize, quorum: Quorum) -> Store {
        let held = vec![BTreeMap::new(); nodes];
        Store { quorum, held, hints: Vec::new(), clock: 0 }
    }

    /// The nodes in the order in which they are asked for a key: replicas first.
    fn preference(&self, key: usize) -> impl Iterator<Item = usize> {
        let nodes = self.held.len();
        (0..nodes).map(move |i| (key + i) % nodes)
    }

    /// Who is asked, of those that the client reaches.
    fn asked(&self, key: usize, reaches: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let among = if self.quorum.sloppy { self.held.len() } else { self.quorum.n };
        self.preference(key).take(among).filter(|&node| reaches(node)).take(self.quorum.n).collect()
    }

    /// Acknowledged (with its stamp) as soon as `w` of those asked have it, any of them; the rest
    /// is still under way.
    pub(crate) fn write(
        &mut self,
        key: usize,
        reaches: &dyn Fn(usize) -> bool,
        rng: &mut Rng,
    ) -> Option<u64> {
        let mut asked = self.asked(key, reaches);
        if asked.len() < self.quorum.w {
            return None;
        }
        self.clock += 1;
        rng.shuffle(&mut asked);
        let replicas: Vec<usize> = self.preference(key).take(self.quorum.n).collect();
        let mut absent = replicas.iter().copied().filter(|&r| !reaches(r));
        for &node in &asked[..self.quorum.w] {
            if !replicas.contains(&node)
                && let Some(owner) = absent.next()
            {
                self.hints.push(Hint { holder: node, owner, key, stamp: self.clock });
            }
            self.held[node].insert(key, self.clock);
        }
        Some(self.clock)
    }

    /// The newest stamp among the first `r` answers, whoever is first.
    pub(crate) fn read(
        &self,
        key: usize,
        reaches: &dyn Fn(usize) -> bool,
        rng: &mut Rng,
    ) -> Option<u64> {
        let mut asked = self.asked(key, reaches);
        if asked.len() < self.quorum.r {
            return None;
        }
        rng.shuffle(&mut asked);
        let stamp = |&node: &usize| self.held[node].get(&key).copied().unwrap_or(0);
        asked[..self.quorum.r].iter().map(stamp).max()
    }

    /// Hints go to their owners; those of a lost holder are gone.
    pub(crate) fn hand_off(&mut self, holder_lives: &dyn Fn(usize) -> bool) {
        for hint in std::mem::take(&mut self.hints) {
            if holder_lives(hint.holder) {
                let held = self.held[hint.owner].entry(hint.key).or_default();
                *held = hint.stamp.max(*held);
            }
        }
    }

    /// Keys below `2^depth` that differ between two nodes.
    pub(crate) fn different(&self, a: usize, b: usize, depth: u32) -> usize {
        (0..1 << depth).filter(|key| self.held[a].get(key) != self.held[b].get(key)).count()
    }

    /// Merkle repair between two nodes over keys below `2^depth`; returns the hashes sent.
    pub(crate) fn repair(&mut self, a: usize, b: usize, depth: u32) -> u64 {
        let tree = |node: usize| {
            let mut tree = Tree::build(depth);
            self.held[node].iter().for_each(|(&key, &stamp)| tree.write(key, stamp));
            tree
        };
        let found = compare(&tree(a), &tree(b));
        for key in found.different {
            let newest = self.held[a].get(&key).max(self.held[b].get(&key)).copied();
            for node in [a, b] {
                self.held[node].insert(key, newest.expect("one of them has it"));
            }
        }
        found.hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &dyn Fn(usize) -> bool = &|_| true;

    fn quorum(r: usize, w: usize, sloppy: bool) -> Quorum {
        Quorum { n: 3, r, w, sloppy }
    }

    #[test]
    fn overlap_reads_the_latest_and_no_overlap_may_not() {
        let rng = &mut Rng::from_u64(1);
        for (r, w) in [(2, 2), (1, 3), (3, 1)] {
            let mut store = Store::new(5, quorum(r, w, false));
            for key in 0..200 {
                let stamp = store.write(key, ALL, rng);
                assert_eq!(store.read(key, ALL, rng), stamp, "R {r} W {w}");
            }
        }
        let mut store = Store::new(5, quorum(1, 1, false));
        let stale = |key| (store.write(key, ALL, rng) != store.read(key, ALL, rng)) as usize;
        let stale: usize = (0..200).map(stale).sum();
        assert!((100..170).contains(&stale), "{stale} of 200");
    }

    #[test]
    fn strict_refuses_what_sloppy_hides_in_a_hint() {
        let rng = &mut Rng::from_u64(1);
        let few: &dyn Fn(usize) -> bool = &|node| node >= 2; // key 0 has replicas 0, 1 and 2
        assert_eq!(Store::new(5, quorum(2, 2, false)).write(0, few, rng), None);
        let mut store = Store::new(5, quorum(2, 2, true));
        let stamp = store.write(0, few, rng);
        assert!(stamp.is_some());
        store.hand_off(&|_| true);
        assert!((0..3).any(|replica| store.held[replica].get(&0).copied() == stamp));
    }

    #[test]
    fn repair_makes_equal() {
        let rng = &mut Rng::from_u64(1);
        let mut store = Store::new(3, quorum(1, 3, false));
        for key in 0..16 {
            store.write(key, ALL, rng);
        }
        store.held[1].remove(&5);
        assert_eq!(store.different(0, 1, 4), 1);
        assert_eq!(store.repair(0, 1, 4), 1 + 2 * 4);
        assert_eq!(store.different(0, 1, 4), 0);
    }
}
