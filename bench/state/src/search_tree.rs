//! Decides how merkle-search-tree compares two sets: as its documentation says, one side sends the
//! hashes of its pages, the other computes the ranges that it has to ask for.

use merkle_search_tree::MerkleSearchTree;
use merkle_search_tree::diff::diff;

pub type Key = [u8; 32];
pub type Tree = MerkleSearchTree<Key, u64>;

/// Two keys and a hash of 16 bytes.
const RANGE_BYTES: usize = 2 * size_of::<Key>() + 16;

pub fn key(element: u128) -> Key {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&element.to_be_bytes());
    key
}

pub fn tree_of(elements: &[u128]) -> Tree {
    let mut tree = Tree::default();
    elements.iter().for_each(|&element| tree.upsert(key(element), &1));
    tree.root_hash();
    tree
}

/// Bytes sent, and the keys (sorted) that the ranges asked for hold.
pub fn compare(ours: &mut Tree, theirs: &mut Tree, keys: &[Key]) -> (usize, usize) {
    ours.root_hash();
    theirs.root_hash();
    let ours = ours.serialise_page_ranges().expect("hashed");
    let theirs = theirs.serialise_page_ranges().expect("hashed");
    let bytes = theirs.len() * RANGE_BYTES;
    let asked = diff(ours, theirs);
    let below = |end: &Key| keys.partition_point(|key| key <= end);
    let before = |start: &Key| keys.partition_point(|key| key < start);
    let held = asked.iter().map(|range| below(range.end()) - before(range.start()));
    (bytes, held.sum())
}
