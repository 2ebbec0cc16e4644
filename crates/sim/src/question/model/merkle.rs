//! Decides what a Merkle tree costs: hashes sent to find differences, hashes computed to keep it.

use tidings_proto::base::hash::HashKey;

const LEAF: u8 = 1;
const INNER: u8 = 2;

/// A binary tree with one leaf per key, over `2^depth` keys numbered from 0.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    depth: u32,
    /// Heap order: the root at 1, the children of `i` at `2i` and `2i + 1`.
    nodes: Vec<u128>,
    hash: HashKey,
    /// Hashes computed so far.
    pub(crate) computed: u64,
}

/// What a comparison of two trees cost and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Sent one way.
    pub(crate) hashes: u64,
    /// One per level that was looked at.
    pub(crate) round_trips: u64,
    /// Keys that differ, ascending.
    pub(crate) different: Vec<usize>,
}

impl Tree {
    /// Every key starts with value 0.
    pub(crate) fn build(depth: u32) -> Tree {
        let hash = HashKey::for_cluster("merkle");
        let mut tree = Tree { depth, nodes: vec![0; 2 << depth], hash, computed: 0 };
        for key in 0..tree.keys() {
            tree.set_leaf(key, 0);
        }
        for node in (1..tree.keys()).rev() {
            tree.combine(node);
        }
        tree
    }

    pub(crate) fn keys(&self) -> usize {
        1 << self.depth
    }

    /// Keeps the tree right after one write: a leaf and its path.
    pub(crate) fn write(&mut self, key: usize, value: u64) {
        self.set_leaf(key, value);
        let mut node = (self.keys() + key) / 2;
        while node > 0 {
            self.combine(node);
            node /= 2;
        }
    }

    pub(crate) fn root(&self) -> u128 {
        self.nodes[1]
    }

    fn set_leaf(&mut self, key: usize, value: u64) {
        let at = self.keys() + key;
        let parts: [&[u8]; 2] = [&(key as u64).to_le_bytes(), &value.to_le_bytes()];
        self.nodes[at] = self.hash.wide(LEAF, &parts);
        self.computed += 1;
    }

    fn combine(&mut self, node: usize) {
        let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
        let parts: [&[u8]; 2] = [&left.to_le_bytes(), &right.to_le_bytes()];
        self.nodes[node] = self.hash.wide(INNER, &parts);
        self.computed += 1;
    }
}

/// Root first; below each pair of nodes that differ, both children.
pub(crate) fn compare(a: &Tree, b: &Tree) -> Comparison {
    assert_eq!(a.depth, b.depth, "trees over the same keys");
    let mut found = Comparison { hashes: 1, round_trips: 1, ..Comparison::default() };
    let mut level = vec![1];
    loop {
        level.retain(|&node: &usize| a.nodes[node] != b.nodes[node]);
        match level.first() {
            None => return found,
            Some(&first) if first >= a.keys() => break,
            Some(_) => {}
        }
        level = level.iter().flat_map(|&node| [2 * node, 2 * node + 1]).collect();
        found.hashes += level.len() as u64;
        found.round_trips += 1;
    }
    found.different = level.iter().map(|leaf| leaf - a.keys()).collect();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_trees_cost_one_hash_and_one_difference_a_path() {
        let a = Tree::build(10);
        let mut b = a.clone();
        assert_eq!(compare(&a, &b).hashes, 1);
        b.write(700, 9);
        let found = compare(&a, &b);
        let expected = Comparison { hashes: 1 + 2 * 10, round_trips: 11, different: vec![700] };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_tree_kept_by_writes_equals_one_built_at_once() {
        let mut kept = Tree::build(6);
        for key in [3, 9, 3, 63] {
            kept.write(key, key as u64 + 1);
        }
        let before = kept.computed;
        kept.write(9, 77);
        assert_eq!(kept.computed - before, 7, "one leaf and six inner nodes");
        let mut other = Tree::build(6);
        for (key, value) in [(63, 64), (9, 77), (3, 4)] {
            other.write(key, value);
        }
        assert_eq!(kept.root(), other.root());
        assert_ne!(kept.root(), Tree::build(6).root());
    }
}
