//! Decides how two large sets find their differences by ranges: a tree of secure hashes, 16-way
//! over the first bits of the elements, kept up to date at O(log n) a write, and the walk that
//! descends it with a peer.
//!
//! The shape follows from the set alone, not from its history: a range with at most [`LEAF_MAX`]
//! elements is a leaf, a larger one has sixteen children. So equal sets have equal roots, and a
//! root can be signed ([`super::root`]). Leaves and inner nodes are hashed under different keys, so
//! neither passes for the other (row M7). The sketch costs fewer bytes; the tree needs no pass over
//! the set, works on any range of it, and proves what it says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;

use crate::limits::{WALK_FOUND_MAX, WALK_LEAF_MAX, WALK_SPANS_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_u16, put_u64, put_varint};

/// Elements of a range that is not divided further. At 10^6 elements a leaf holds 15 on average, and
/// any difference is found in two round trips.
pub const LEAF_MAX: usize = 32;
/// Bits that one level of the tree decides.
const LEVEL_BITS: u8 = 4;
const WAYS: usize = 1 << LEVEL_BITS;
/// Ranges are not divided beyond this many bits.
const BITS_MAX: u8 = 32;

/// A node of the tree: 16 bytes of BLAKE3. Zero: an empty range.
pub type Hash = [u8; 16];

const EMPTY: Hash = [0; 16];
/// Domain separation, at no cost: keys of the two kinds of hash.
const LEAF_KEY: &[u8; 32] = b"tidings merkle leaf, version 001";
const INNER_KEY: &[u8; 32] = b"tidings merkle inner, version 01";

/// The elements whose first `bits` bits are those of `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    start: u32,
    bits: u8,
}

impl Span {
    pub const ALL: Span = Span { start: 0, bits: 0 };

    /// Part `at` of `1 << bits` equal parts of everything. `None`: no such part, or too fine.
    pub fn part(at: u32, bits: u8) -> Option<Span> {
        let fits = bits <= BITS_MAX && u64::from(at) < 1 << bits;
        fits.then(|| Span { start: (u64::from(at) << (BITS_MAX - bits)) as u32, bits })
    }

    pub fn put(self, out: &mut Vec<u8>) {
        out.push(self.bits);
        self.put_start(out);
    }

    fn put_start(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.start.to_be_bytes()[..usize::from(self.bits.div_ceil(8))]);
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<Span> {
        let bits = r.u8("range")?;
        Span::read_start(r, bits)
    }

    fn read_start(r: &mut Reader<'_>, bits: u8) -> Decoded<Span> {
        if bits > BITS_MAX {
            return Err(DecodeError::Invalid("range"));
        }
        let mut start = [0; 4];
        let len = usize::from(bits.div_ceil(8));
        start[..len].copy_from_slice(r.take(len, "range")?);
        let start = u32::from_be_bytes(start);
        if u64::from(start) << bits & u64::from(u32::MAX) != 0 {
            return Err(DecodeError::Invalid("range"));
        }
        Ok(Span { start, bits })
    }

    pub fn holds(self, element: u128) -> bool {
        self.elements().contains(&element)
    }

    fn elements(self) -> RangeInclusive<u128> {
        let first = u128::from(self.start) << 96;
        first..=first | u128::MAX.checked_shr(self.bits.into()).unwrap_or(0)
    }

    /// Its number among the parts of its size.
    fn index(self) -> usize {
        (u64::from(self.start) >> (BITS_MAX - self.bits)) as usize
    }

    fn is_level(self) -> bool {
        self.bits.is_multiple_of(LEVEL_BITS)
    }

    /// The ranges of the next level: sixteen, fewer for a range between two levels, none at the end.
    fn children(self) -> impl Iterator<Item = Span> + Clone {
        let bits = (self.bits / LEVEL_BITS + 1) * LEVEL_BITS;
        let ways = if self.bits < BITS_MAX { 1u32 << (bits - self.bits) } else { 0 };
        (0..ways).map(move |at| Span { start: self.start | at << (BITS_MAX - bits), bits })
    }
}

/// What the tree says about a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub hash: Hash,
    pub count: u32,
}

impl Node {
    /// What travels: the first half of the hash.
    fn short(&self) -> u64 {
        u64::from_le_bytes(self.hash[..8].try_into().expect("16 bytes hold 8"))
    }
}

/// A set of elements with the hashes over it.
///
/// An element is 128 bits of which the first decide its range: the keyed print of an entry. Where
/// ranges of keys shall move between owners, the first bits come from the hash of the key instead
/// ([`element`]). With each goes the caller's slot, so that the tree is also the way from an element
/// back to its entry.
#[derive(Debug, Default)]
pub struct Tree {
    elements: BTreeMap<u128, u32>,
    /// Known nodes of each level from the root down, as deep as the set is large; an unknown one is
    /// hashed when it is asked for. The last level has 4 to 64 elements a node.
    levels: Vec<Vec<Option<Node>>>,
    /// Where [`Tree::settle`] goes on.
    settled: usize,
    /// Changes since it last came to the end: hashes that are not known, for all that is told.
    unsettled: usize,
    hashed: u64,
}

/// An element that keeps its range when the value of its key changes: 16 bits of the key's hash,
/// then the print.
pub fn element(key_hash: u16, print: u128) -> u128 {
    u128::from(key_hash) << 112 | print >> 16
}

/// What of an element travels, and what sketches and filters hold of it.
pub fn head(element: u128) -> u64 {
    (element >> 64) as u64
}

impl Tree {
    pub fn new() -> Tree {
        Tree::default()
    }

    /// A set from its elements in ascending order: much cheaper than one by one.
    pub fn of_sorted(elements: impl Iterator<Item = (u128, u32)>) -> Tree {
        let mut tree = Tree { elements: elements.collect(), ..Tree::default() };
        tree.unsettled = tree.len();
        tree.deepen();
        tree
    }

    /// Adds an element, or gives a known one another slot. O(log n), nothing is hashed.
    pub fn insert(&mut self, element: u128, slot: u32) -> Option<u32> {
        let before = self.elements.insert(element, slot);
        if before.is_none() {
            self.deepen();
            self.forget(element);
        }
        before
    }

    pub fn remove(&mut self, element: u128) -> Option<u32> {
        let slot = self.elements.remove(&element)?;
        self.flatten();
        self.forget(element);
        Some(slot)
    }

    pub fn len(&self) -> usize {
        self.elements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    pub fn contains(&self, element: u128) -> bool {
        self.elements.contains_key(&element)
    }

    /// The elements of this head: one, unless hashes collide.
    pub fn find(&self, head: u64) -> impl Iterator<Item = (u128, u32)> + '_ {
        let first = u128::from(head) << 64;
        let range = first..=first | u128::from(u64::MAX);
        self.elements.range(range).map(|(&element, &slot)| (element, slot))
    }

    /// The elements of a range, in order.
    pub fn range(&self, span: Span) -> impl Iterator<Item = (u128, u32)> + '_ {
        self.elements.range(span.elements()).map(|(&element, &slot)| (element, slot))
    }

    pub fn root(&mut self) -> Hash {
        self.node(Span::ALL).hash
    }

    /// Hash and count of a range; hashes what changed since it was last asked for.
    pub fn node(&mut self, span: Span) -> Node {
        let level = usize::from(span.bits / LEVEL_BITS);
        let is_kept = span.is_level() && level < self.levels.len();
        if is_kept && let Some(known) = self.levels[level][span.index()] {
            return known;
        }
        let node = if level + 1 < self.levels.len() {
            self.of_children(span)
        } else {
            self.of_elements(span)
        };
        if is_kept {
            self.levels[level][span.index()] = Some(node);
        }
        node
    }

    /// Hashes at most `nodes` nodes of the last level, from where it stopped: a large set is hashed
    /// in steps that delay nobody. True when a root or a page costs no more than such a step. To be
    /// called before either.
    pub fn settle(&mut self, nodes: usize) -> bool {
        let Some(level) = self.levels.len().checked_sub(1) else { return true };
        if self.unsettled <= nodes {
            return true;
        }
        let (bits, all) = (level as u8 * LEVEL_BITS, self.levels[level].len());
        let end = (self.settled + nodes).min(all);
        for at in self.settled..end {
            self.node(Span::part(at as u32, bits).expect("a node of a level"));
        }
        self.settled = end;
        if end == all {
            (self.settled, self.unsettled) = (0, 0);
        }
        end == all
    }

    /// Takes a range out, to a tree of its own: what lies outside keeps its hashes (row M6).
    pub fn take(&mut self, span: Span) -> Tree {
        let taken = self.elements.extract_if(span.elements(), |_, _| true).collect();
        self.flatten();
        self.forget_range(span);
        let mut tree = Tree { elements: taken, ..Tree::default() };
        tree.unsettled = tree.len();
        tree.deepen();
        tree
    }

    /// Adds a range that was taken out, here or elsewhere. What of `other` lies outside it is left.
    pub fn absorb(&mut self, other: Tree, span: Span) {
        self.elements.extend(other.elements.range(span.elements()));
        self.unsettled += other.len();
        self.deepen();
        self.forget_range(span);
    }

    /// Nodes hashed so far: what hashing costs, as a count.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    fn of_children(&mut self, span: Span) -> Node {
        let (mut hashes, mut count) = (Vec::with_capacity(WAYS), 0);
        for child in span.children() {
            let node = self.node(child);
            hashes.push(node.hash);
            count += node.count;
        }
        if count as usize <= LEAF_MAX {
            return self.of_elements(span);
        }
        self.hashed += 1;
        Node { hash: inner(&hashes), count }
    }

    fn of_elements(&mut self, span: Span) -> Node {
        let elements: Vec<u128> = self.range(span).map(|(element, _)| element).collect();
        Node { hash: self.hash_of(&elements, span), count: elements.len() as u32 }
    }

    fn hash_of(&mut self, elements: &[u128], span: Span) -> Hash {
        if elements.is_empty() {
            return EMPTY;
        }
        self.hashed += 1;
        if elements.len() <= LEAF_MAX || span.bits == BITS_MAX {
            return leaf(elements);
        }
        let mut rest = elements;
        let mut hashes = Vec::with_capacity(WAYS);
        for child in span.children() {
            let (here, behind) = rest.split_at(rest.partition_point(|&e| child.holds(e)));
            hashes.push(self.hash_of(here, child));
            rest = behind;
        }
        inner(&hashes)
    }

    /// The nodes above an element are unknown now.
    fn forget(&mut self, element: u128) {
        self.unsettled += 1;
        for (level, nodes) in self.levels.iter_mut().enumerate() {
            nodes[node_of(element, level)] = None;
        }
    }

    fn forget_range(&mut self, span: Span) {
        self.unsettled += 1;
        let (first, last) = span.elements().into_inner();
        for (level, nodes) in self.levels.iter_mut().enumerate() {
            nodes[node_of(first, level)..=node_of(last, level)].fill(None);
        }
    }

    fn deepen(&mut self) {
        let most = usize::from(BITS_MAX / LEVEL_BITS) - 1;
        while self.levels.len() <= most && self.elements.len() >= 4 * nodes_at(self.levels.len()) {
            self.levels.push(vec![None; nodes_at(self.levels.len())]);
            self.settled = 0;
        }
    }

    fn flatten(&mut self) {
        while let Some(last) = self.levels.len().checked_sub(1)
            && self.elements.len() < nodes_at(last)
        {
            self.levels.pop();
            self.settled = 0;
        }
    }

    /// What this side says about a range: its elements if they are few, its children's hashes if not.
    fn item(&mut self, span: Span) -> Item {
        let count = self.node(span).count as usize;
        if count <= LEAF_MAX || span.bits == BITS_MAX {
            let heads = self.range(span).take(WALK_LEAF_MAX).map(|(element, _)| head(element));
            return Item::Leaf { span, heads: heads.collect() };
        }
        Item::Inner { span, children: self.children_of(span) }
    }

    fn children_of(&mut self, span: Span) -> Vec<u64> {
        span.children().map(|child| self.node(child).short()).collect()
    }

    /// The children of `span` whose hashes are others at the peer.
    fn differing(&mut self, span: Span, theirs: &[u64]) -> Vec<Span> {
        let ours = self.children_of(span);
        let pairs = span.children().zip(ours.iter().zip(theirs));
        pairs.filter(|(_, (ours, theirs))| ours != theirs).map(|(child, _)| child).collect()
    }
}

fn nodes_at(level: usize) -> usize {
    1 << (level * usize::from(LEVEL_BITS))
}

/// Which node of a level an element is under.
fn node_of(element: u128, level: usize) -> usize {
    (element >> 96) as usize >> (usize::from(BITS_MAX) - level * usize::from(LEVEL_BITS))
}

fn leaf(elements: &[u128]) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(LEAF_KEY);
    elements.iter().for_each(|element| {
        hasher.update(&element.to_be_bytes());
    });
    half(&hasher.finalize())
}

fn inner(children: &[Hash]) -> Hash {
    half(&blake3::keyed_hash(INNER_KEY, children.as_flattened()))
}

fn half(hash: &blake3::Hash) -> Hash {
    hash.as_bytes()[..16].try_into().expect("32 bytes hold 16")
}

/// One range in a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Halves of the hashes of its children.
    Inner { span: Span, children: Vec<u64> },
    /// Heads of its elements, in order.
    Leaf { span: Span, heads: Vec<u64> },
}

impl Item {
    fn span(&self) -> Span {
        match *self {
            Item::Inner { span, .. } | Item::Leaf { span, .. } => span,
        }
    }
}

/// A request or an answer of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In an answer: how many items of the request it answers, from the first.
    pub handled: usize,
    pub items: Vec<Item>,
}

const LEAF_FLAG: u8 = 0x80;

impl Page {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.handled as u64);
        put_varint(out, self.items.len() as u64);
        self.items.iter().for_each(|item| put_item(out, item));
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<Page> {
        let handled = r.varint("handled items")?.min(WALK_SPANS_MAX as u64) as usize;
        let n = r.count(WALK_SPANS_MAX, 2, "items")?;
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            items.push(read_item(r)?);
        }
        Ok(Page { handled, items })
    }
}

fn put_item(out: &mut Vec<u8>, item: &Item) {
    let span = item.span();
    let flag = if matches!(item, Item::Leaf { .. }) { LEAF_FLAG } else { 0 };
    out.push(span.bits | flag);
    span.put_start(out);
    match item {
        Item::Inner { children, .. } => {
            // Empty children take a bit only.
            let mask = children.iter().rev().fold(0u16, |m, &c| m << 1 | u16::from(c != 0));
            put_u16(out, mask);
            children.iter().filter(|&&child| child != 0).for_each(|&child| put_u64(out, child));
        }
        Item::Leaf { heads, .. } => {
            put_varint(out, heads.len() as u64);
            heads.iter().for_each(|&head| put_u64(out, head));
        }
    }
}

fn read_item(r: &mut Reader<'_>) -> Decoded<Item> {
    let first = r.u8("range")?;
    let span = Span::read_start(r, first & !LEAF_FLAG)?;
    if first & LEAF_FLAG != 0 {
        let n = r.count(WALK_LEAF_MAX, 8, "elements")?;
        let heads = (0..n).map(|_| r.u64("element")).collect::<Decoded<_>>()?;
        return Ok(Item::Leaf { span, heads });
    }
    if span.bits == BITS_MAX {
        return Err(DecodeError::Invalid("range"));
    }
    let (mask, ways) = (r.u16("children")?, span.children().count());
    // An empty range is an empty leaf; this would be memory for nothing. Nor is there a bit without
    // a child, or a child that is told and empty.
    if mask == 0 || u32::from(mask) >> ways != 0 {
        return Err(DecodeError::Invalid("children"));
    }
    let child = |at| match mask >> at & 1 {
        0 => Ok(0),
        _ => r
            .u64("child")
            .and_then(|c| if c == 0 { Err(DecodeError::Invalid("child")) } else { Ok(c) }),
    };
    Ok(Item::Inner { span, children: (0..ways).map(child).collect::<Decoded<_>>()? })
}

/// Why a walk ended without a result. It costs the session, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The answer is about a range that was not asked for, or tells one twice.
    NotAsked,
    /// The answer answers nothing, or more than was asked.
    NoProgress,
    /// More ranges or differences than a walk is meant for: another method is cheaper.
    TooMany,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Broken::NotAsked => "tree answer names a range that was not asked for",
            Broken::NoProgress => "tree answer does not fit the request",
            Broken::TooMany => "too many differences for a tree walk",
        })
    }
}

/// Answers a request from this side's tree: a page of at most about `bytes`. Nothing is kept
/// between requests. What did not fit is asked again.
pub fn answer(tree: &mut Tree, request: &Page, bytes: usize) -> Page {
    let mut page = Page::default();
    let mut size = 0;
    for item in &request.items {
        if size >= bytes {
            break;
        }
        let told = match item {
            Item::Inner { span, children } => tree.differing(*span, children),
            Item::Leaf { span, .. } => vec![*span],
        };
        for span in told {
            let item = tree.item(span);
            size += size_of_item(&item);
            page.items.push(item);
        }
        page.handled += 1;
    }
    page
}

/// Bytes of an item, at most.
fn size_of_item(item: &Item) -> usize {
    let (Item::Inner { children: numbers, .. } | Item::Leaf { heads: numbers, .. }) = item;
    8 + 8 * numbers.len()
}

/// The asking side of a comparison. It can stop between any two pages and go on later; what changes
/// in between is found, or found twice.
#[derive(Debug)]
pub struct Walk {
    /// Ranges that differ and are not resolved; the first `asked` of them are in the last request.
    open: VecDeque<Span>,
    asked: usize,
    spans: usize,
    ours: Vec<u32>,
    theirs: Vec<u64>,
}

impl Walk {
    /// Compares a range, or everything; a large one begins a level lower, which is a round trip less.
    pub fn new(tree: &Tree, span: Span) -> Walk {
        let open = match tree.len() > LEAF_MAX * WAYS * WAYS {
            true => span.children().collect(),
            false => [span].into(),
        };
        Walk { open, asked: 0, spans: 0, ours: Vec::new(), theirs: Vec::new() }
    }

    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Slots of elements that only this side has.
    pub fn ours(&self) -> &[u32] {
        &self.ours
    }

    /// Heads of elements that only the peer has.
    pub fn theirs(&self) -> &[u64] {
        &self.theirs
    }

    /// The next request, of at most about `bytes`. The answer to an earlier one may not come then.
    pub fn request(&mut self, tree: &mut Tree, bytes: usize) -> Page {
        let mut page = Page::default();
        let mut size = 0;
        for &span in &self.open {
            if size >= bytes {
                break;
            }
            let item = tree.item(span);
            size += size_of_item(&item);
            page.items.push(item);
        }
        self.asked = page.items.len();
        page
    }

    /// Takes the answer to the last request.
    pub fn answered(&mut self, tree: &mut Tree, answer: &Page) -> Result<(), Broken> {
        if answer.handled == 0 || answer.handled > self.asked {
            return Err(Broken::NoProgress);
        }
        let asked = self.open.drain(..answer.handled);
        let mut allowed: BTreeSet<Span> = asked.flat_map(|s| s.children().chain([s])).collect();
        self.asked = 0;
        for item in &answer.items {
            if !allowed.remove(&item.span()) {
                return Err(Broken::NotAsked);
            }
            self.take(tree, item)?;
        }
        Ok(())
    }

    fn take(&mut self, tree: &mut Tree, item: &Item) -> Result<(), Broken> {
        match item {
            Item::Inner { span, children } => {
                let differing = tree.differing(*span, children);
                self.spans += 1 + differing.len();
                self.open.extend(differing);
            }
            Item::Leaf { span, heads } => self.compare(tree, *span, heads),
        }
        let found = self.ours.len() + self.theirs.len();
        if self.spans > WALK_SPANS_MAX || found > WALK_FOUND_MAX {
            return Err(Broken::TooMany);
        }
        Ok(())
    }

    fn compare(&mut self, tree: &Tree, span: Span, theirs: &[u64]) {
        let theirs: BTreeSet<u64> =
            theirs.iter().copied().filter(|&h| span.holds(u128::from(h) << 64)).collect();
        let mut shared = BTreeSet::new();
        for (element, slot) in tree.range(span).take(WALK_FOUND_MAX) {
            if theirs.contains(&head(element)) {
                shared.insert(head(element));
            } else {
                self.ours.push(slot);
            }
        }
        self.theirs.extend(theirs.difference(&shared));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use proptest::prelude::*;

    const PAGE: usize = 256 * 1024;

    fn element_of(rng: &mut Rng) -> u128 {
        u128::from(rng.u64()) << 64 | u128::from(rng.u64())
    }

    fn random(rng: &mut Rng, n: usize) -> Vec<u128> {
        (0..n).map(|_| element_of(rng)).collect()
    }

    fn tree_of(elements: &[u128]) -> Tree {
        let mut tree = Tree::new();
        for (slot, &element) in elements.iter().enumerate() {
            tree.insert(element, slot as u32);
        }
        tree
    }

    struct Cost {
        bytes: usize,
        round_trips: usize,
    }

    /// A page as it travels, counted.
    fn carry(page: &Page, cost: &mut Cost) -> Page {
        let mut bytes = Vec::new();
        page.put(&mut bytes);
        cost.bytes += bytes.len();
        let mut r = Reader::new(&bytes);
        let read = Page::read(&mut r).expect("what was put");
        assert_eq!((&read, r.is_empty()), (page, true));
        read
    }

    fn compare(ours: &mut Tree, theirs: &mut Tree, page: usize) -> (Walk, Cost) {
        let (mut walk, mut cost) = (Walk::new(ours, Span::ALL), Cost { bytes: 0, round_trips: 0 });
        while !walk.is_done() {
            let request = carry(&walk.request(ours, page), &mut cost);
            let answer = carry(&answer(theirs, &request, page), &mut cost);
            cost.round_trips += 1;
            walk.answered(ours, &answer).expect("an honest peer");
        }
        (walk, cost)
    }

    fn found(walk: &Walk) -> (BTreeSet<u32>, BTreeSet<u64>) {
        assert_eq!(walk.ours().iter().collect::<BTreeSet<_>>().len(), walk.ours().len());
        (walk.ours().iter().copied().collect(), walk.theirs().iter().copied().collect())
    }

    #[test]
    fn both_sides_of_a_difference_are_found_at_any_size() {
        let mut rng = Rng::from_u64(1);
        for (shared, ours, theirs) in
            [(0, 0, 0), (0, 1, 0), (0, 0, 5000), (20, 20, 3), (5000, 0, 1), (9000, 300, 4000)]
        {
            let common = random(&mut rng, shared);
            let (mine, yours) = (random(&mut rng, ours), random(&mut rng, theirs));
            let mut a = tree_of(&[&mine[..], &common].concat());
            let mut b = tree_of(&[&common[..], &yours].concat());
            for page in [1, 2000, PAGE] {
                let (walk, _) = compare(&mut a, &mut b, page);
                let expected =
                    ((0..ours as u32).collect(), yours.iter().map(|&e| head(e)).collect());
                assert_eq!(found(&walk), expected, "{shared} {ours} {theirs} page {page}");
            }
        }
    }

    /// Rows M2 and M3: bytes are O(d log n), in two round trips.
    #[test]
    fn a_few_differences_in_a_million_cost_kilobytes_and_two_round_trips() {
        let mut rng = Rng::from_u64(2);
        let common = random(&mut rng, 1_000_000);
        let (mut a, mut b) = (tree_of(&common), tree_of(&common));
        assert_eq!(a.root(), b.root(), "equal roots end it: nothing is sent");
        let mut d = 0;
        for (upto, bytes_max) in [(1, 4_000), (10, 40_000), (100, 100_000), (1000, 500_000)] {
            while d < upto {
                (if d % 2 == 0 { &mut a } else { &mut b }).insert(element_of(&mut rng), d);
                d += 1;
            }
            let (walk, cost) = compare(&mut a, &mut b, 2 * 1024 * 1024);
            assert_eq!(walk.ours().len() + walk.theirs().len(), upto as usize);
            assert!(cost.bytes <= bytes_max, "d = {d}: {} bytes", cost.bytes);
            assert!(cost.round_trips <= 2, "d = {d}: {} round trips", cost.round_trips);
        }
    }

    /// O(d log n): 256 times the elements cost two levels more, and the sixteen ranges that a large
    /// walk begins with; not 256 times the bytes.
    #[test]
    fn a_difference_costs_two_levels_more_where_the_set_is_256_times_as_large() {
        let mut rng = Rng::from_u64(3);
        let mut bytes = Vec::new();
        for n in [4_000, 1_024_000] {
            let common = random(&mut rng, n);
            let (mut a, mut b) = (tree_of(&common), tree_of(&common));
            let of_one = |new: u128| {
                b.insert(new, 0);
                let (_, cost) = compare(&mut a, &mut b, PAGE);
                b.remove(new);
                cost.bytes
            };
            let all: usize = random(&mut rng, 100).into_iter().map(of_one).sum();
            bytes.push(all as i64 / 100);
        }
        let level = 8 * WAYS as i64;
        let more = bytes[1] - bytes[0];
        assert!(more <= (2 + WAYS as i64) * level, "{bytes:?}");
    }

    /// Row M4: a write hashes nothing, and the next root hashes one path.
    #[test]
    fn a_write_costs_one_path_of_hashes() {
        let mut rng = Rng::from_u64(4);
        let mut tree = tree_of(&random(&mut rng, 100_000));
        let mut steps = 0;
        while !tree.settle(100) {
            steps += 1;
        }
        assert_eq!(steps, 4096 / 100, "hashed in steps");
        tree.root();
        let before = tree.hashed();
        let new = element_of(&mut rng);
        tree.insert(new, 7);
        assert_eq!(tree.hashed(), before);
        let with = tree.root();
        let path = tree.hashed() - before;
        assert!((4..=21).contains(&path), "{path}: three levels, a node of up to 16 leaves");
        assert_eq!(tree.remove(new), Some(7));
        assert_ne!(tree.root(), with);
    }

    /// Row M6: taking 1/256 of everything out, or in, rehashes that range and one path.
    #[test]
    fn a_range_that_moves_is_all_that_is_rehashed() {
        let mut rng = Rng::from_u64(5);
        let elements = random(&mut rng, 100_000);
        let (mut owner, mut heir) = (tree_of(&elements), tree_of(&[]));
        let (root, built) = (owner.root(), owner.hashed());
        let span = Span::part(77, 8).unwrap();
        let node = owner.node(span);
        let mut moved = owner.take(span);
        assert_eq!((moved.len(), moved.node(span)), (node.count as usize, node));
        assert_eq!((owner.node(span), owner.range(span).count()), (Node::default(), 0));
        owner.root();
        heir.absorb(moved, span);
        assert_eq!(heir.node(span), node);
        owner.absorb(heir.take(span), span);
        assert_eq!(owner.root(), root);
        let spent = owner.hashed() - built;
        assert!(spent <= 2 * built / 256 + 10, "{spent} of {built} hashed");
    }

    /// Row M7: neither form passes for the other, and order, place and number are all bound.
    #[test]
    fn no_other_set_is_made_from_the_pieces_of_a_tree() {
        let mut rng = Rng::from_u64(6);
        let elements = random(&mut rng, 200);
        let mut tree = tree_of(&elements);
        let children: Vec<Hash> = Span::ALL.children().map(|c| tree.node(c).hash).collect();
        assert_eq!(tree.root(), inner(&children), "the root is made of its children");
        let bytes = children.as_flattened();
        let posing: Vec<u128> =
            bytes.chunks(16).map(|c| u128::from_be_bytes(c.try_into().unwrap())).collect();
        assert_ne!(leaf(&posing), tree.root(), "a leaf with the bytes of an inner node");
        assert_ne!(tree_of(&posing).root(), tree.root());
        // Sums and exclusive ors of elements do not see an exchange of parts; this does.
        let (a, b) = (elements[0], elements[1]);
        for (c, d) in [(a ^ 1, b ^ 1), (a.wrapping_add(1), b.wrapping_sub(1))] {
            let mut forged = tree_of(&elements);
            forged.remove(a);
            forged.remove(b);
            forged.insert(c, 0);
            forged.insert(d, 1);
            assert_ne!(forged.root(), tree.root());
        }
        let mut swapped = children.clone();
        swapped.swap(0, 1);
        assert_ne!(inner(&swapped), tree.root());
    }

    /// Elements whose first 32 bits are equal: only their own range suffers.
    #[test]
    fn colliding_elements_cost_their_own_range() {
        let mut rng = Rng::from_u64(7);
        let mut common = random(&mut rng, 1000);
        common.extend((0..100_000u128).map(|n| 0xAAAA_AAAA << 96 | n));
        let (mut a, mut b) = (tree_of(&common), tree_of(&common));
        b.insert(element_of(&mut rng), 0);
        let (walk, cost) = compare(&mut a, &mut b, PAGE);
        assert_eq!((walk.theirs().len(), walk.ours().len()), (1, 0));
        assert!(cost.bytes < 4000, "{}", cost.bytes);
    }

    #[test]
    fn elements_are_found_by_what_travels_of_them() {
        let mut tree = Tree::new();
        tree.insert(element(0xABCD, 5 << 80), 3);
        let (e, slot) = tree.find(0xABCD_0000_0000_0005).next().unwrap();
        assert_eq!((e, slot), (0xABCD << 112 | 5 << 64, 3));
        assert_eq!(tree.find(0xABCD_0000_0000_0006).count(), 0);
    }

    /// A peer that answers with whatever: wrong children, endless depth, the same page again.
    fn lie(rng: &mut Rng, request: &Page, honest: &Page, last: &Page) -> Page {
        let any_span = |rng: &mut Rng| {
            let bits = rng.below(33) as u8;
            Span::part((u64::from(rng.u32()) & ((1 << bits) - 1)) as u32, bits).unwrap()
        };
        let mut page = match rng.below(4) {
            0 => last.clone(),
            1 => request.clone(),
            _ => honest.clone(),
        };
        page.handled = if rng.chance(0.9) { request.items.len() } else { rng.index(5) };
        for item in &mut page.items {
            match item {
                Item::Inner { children, .. } if rng.chance(0.7) => {
                    children.fill_with(|| rng.u64());
                }
                Item::Leaf { heads, .. } if rng.chance(0.7) => heads.push(rng.u64()),
                _ if rng.chance(0.05) => *item = Item::Leaf { span: any_span(rng), heads: vec![] },
                _ => {}
            }
        }
        page
    }

    /// A lying peer costs its session: the walk ends after pages in proportion to our own tree, and
    /// holds no more than its limits.
    #[test]
    fn a_lying_peer_costs_its_session_only() {
        let (mut done, mut broken) = (0, BTreeMap::new());
        for seed in 0..200 {
            let mut rng = Rng::from_u64(seed);
            let n = 1 + rng.index(3000);
            let elements = random(&mut rng, n);
            let (mut a, mut b) = (tree_of(&elements), tree_of(&elements[n / 2..]));
            let (mut walk, mut last) = (Walk::new(&a, Span::ALL), Page::default());
            let mut pages = 0;
            while !walk.is_done() {
                pages += 1;
                assert!(pages <= 20_000, "seed {seed}: {} open", walk.open.len());
                let request = walk.request(&mut a, 20_000);
                let honest = answer(&mut b, &request, 20_000);
                last = lie(&mut rng, &request, &honest, &last);
                if let Err(why) = walk.answered(&mut a, &last) {
                    *broken.entry(why.to_string()).or_insert(0) += 1;
                    break;
                }
            }
            done += u32::from(walk.is_done());
            assert!(walk.spans <= WALK_SPANS_MAX && walk.ours().len() <= WALK_FOUND_MAX);
            assert_eq!(a.root(), tree_of(&elements).root(), "our tree is ours");
        }
        assert!(done > 0 && broken.len() >= 2, "{done} done, {broken:?}");
    }

    proptest! {
        /// The root is a function of the set: neither order nor history matters.
        #[test]
        fn equal_sets_have_equal_roots(
            writes in proptest::collection::vec((0u8..40, any::<bool>()), 0..200),
            asks: u8,
        ) {
            let spread = |n: u8| element_of(&mut Rng::from_u64(n.into()));
            let (mut tree, mut set) = (Tree::new(), BTreeSet::new());
            // Enough others that levels come and go.
            let others = random(&mut Rng::from_u64(99), 50);
            others.iter().for_each(|&e| assert_eq!(tree.insert(e, 0), None));
            for (at, &(n, add)) in writes.iter().enumerate() {
                if add {
                    tree.insert(spread(n), 0);
                    set.insert(spread(n));
                } else {
                    prop_assert_eq!(tree.remove(spread(n)).is_some(), set.remove(&spread(n)));
                }
                if asks & 1 << (at % 8) != 0 {
                    tree.root();
                }
            }
            let mut anew: Vec<u128> = set.into_iter().chain(others).collect();
            anew.sort_unstable_by_key(|e| e.reverse_bits());
            prop_assert_eq!(tree.root(), tree_of(&anew).root());
            prop_assert_eq!(tree.len(), anew.len());
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(page) = Page::read(&mut Reader::new(&bytes)) {
                let mut tree = tree_of(&random(&mut Rng::from_u64(1), 100));
                answer(&mut tree, &page, PAGE);
                let _ = Walk::new(&tree, Span::ALL).answered(&mut tree, &page);
            }
        }
    }
}
