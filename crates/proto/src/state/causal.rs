//! Decides when an entry of a causal keyspace may be seen: not before all that its writer had seen
//! when it wrote (row N4). An entry names its nearest causes (COPS, Lloyd et al. 2011); what they
//! depended on in turn was waited for when they were applied.
//!
//! A write that overwrites another stands for it, so it inherits what the other waited for: without
//! that, "applied" would not mean "with its whole past".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entry::{Entry, Superseded};
use super::store::{Applied, EntrySlot, Store};
use crate::base::clocks::{Dot, VersionVector};
use crate::base::id::NodeId;
use crate::limits::{CAUSES_MAX, HELD_BYTES_MAX, HELD_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_dot, put_varint};

/// What a write follows: for each writer the newest, as each writer's causal writes follow one another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Causes {
    /// Ascending by origin.
    dots: Vec<Dot>,
    /// More than fit: only a whole session shows that all of them are here.
    many: bool,
}

impl Causes {
    pub fn add(&mut self, dot: Dot) {
        match self.dots.binary_search_by_key(&dot.origin, |d| d.origin) {
            Ok(at) => self.dots[at].seq = self.dots[at].seq.max(dot.seq),
            Err(_) if self.dots.len() == CAUSES_MAX => self.many = true,
            Err(at) => self.dots.insert(at, dot),
        }
    }

    pub fn dots(&self) -> &[Dot] {
        &self.dots
    }

    /// What a write waits for that stands for another: what both waited for, except each other.
    fn inherit(&mut self, other: &Causes, superseded: &Superseded) {
        self.dots.retain(|&dot| !superseded.covers(dot));
        for &dot in other.dots.iter().filter(|&&dot| !superseded.covers(dot)) {
            self.add(dot);
        }
        self.many |= other.many;
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.many));
        put_varint(out, self.dots.len() as u64);
        self.dots.iter().for_each(|&dot| put_dot(out, dot));
    }

    pub(super) fn read(body: &[u8]) -> Decoded<Causes> {
        let mut r = Reader::new(body);
        let many = r.u8("many causes")? != 0;
        let count = r.count(CAUSES_MAX, 17, "causes")?;
        let dots = (0..count).map(|_| r.dot("cause")).collect::<Decoded<Vec<Dot>>>()?;
        let ascend = dots.windows(2).all(|pair| pair[0].origin < pair[1].origin);
        if !ascend || !r.is_empty() {
            return Err(DecodeError::Invalid("causes"));
        }
        Ok(Causes { dots, many })
    }
}

impl Entry {
    /// Takes over what another entry waited for, that this one stands for from now on.
    pub(super) fn inherit(&mut self, other: &Entry) {
        let Some(theirs) = other.fields.causes() else { return };
        let mut causes = self.fields.causes().cloned().unwrap_or_default();
        causes.inherit(theirs, &self.superseded);
        self.fields.set_causes(Some(causes));
    }

    /// Stands for another from now on: for all that it had overwritten and waited for.
    pub fn overwrite(&mut self, other: &Entry) {
        self.superseded.join(&other.superseded);
        self.superseded.add(other.dot);
        self.inherit(other);
    }

    /// A cause that a node with this vector lacks; the entry itself where nobody can tell.
    fn awaits(&self, vector: &VersionVector) -> Option<Dot> {
        let causes = self.fields.causes()?;
        let in_group = |dot: Dot| dot.origin == self.dot.origin && dot.seq >= self.group.0;
        let lacking =
            |dot: &Dot| !vector.covers(*dot) && !self.superseded.covers(*dot) && !in_group(*dot);
        causes.dots.iter().copied().find(lacking).or(causes.many.then_some(self.dot))
    }
}

/// Entries that wait for their causes, and what the next own write will name as its own.
#[derive(Debug)]
pub(super) struct Causal {
    /// Applied, and not among the causes of another that was: the newest of each writer.
    nearest: BTreeMap<NodeId, u64>,
    held: BTreeMap<Dot, Entry>,
    held_bytes: usize,
    /// (what is awaited, by which entry).
    awaited: BTreeSet<(Dot, Dot)>,
    /// Origins of which more is covered since the awaited were looked at.
    moved: Vec<NodeId>,
    /// False while this node is not in step: it takes everything in as it comes, and is not read.
    holding: bool,
    /// Keyspaces in which something was taken in before its causes.
    early: BTreeSet<Arc<str>>,
}

impl Default for Causal {
    fn default() -> Causal {
        Causal {
            nearest: BTreeMap::new(),
            held: BTreeMap::new(),
            held_bytes: 0,
            awaited: BTreeSet::new(),
            moved: Vec::new(),
            holding: true,
            early: BTreeSet::new(),
        }
    }
}

impl Causal {
    pub(super) fn applied(&mut self, entry: &Entry) {
        let Some(causes) = entry.fields.causes() else { return };
        for cause in &causes.dots {
            if self.nearest.get(&cause.origin).is_some_and(|&seq| seq <= cause.seq) {
                self.nearest.remove(&cause.origin);
            }
        }
        let newest = self.nearest.entry(entry.dot.origin).or_default();
        *newest = entry.dot.seq.max(*newest);
    }

    pub(super) fn covered_more(&mut self, origin: NodeId) {
        if !self.awaited.is_empty() && !self.moved.contains(&origin) {
            self.moved.push(origin);
        }
    }

    fn is_full(&self) -> bool {
        self.held.len() >= HELD_MAX || self.held_bytes >= HELD_BYTES_MAX
    }

    fn hold(&mut self, entry: Entry, awaited: Dot) {
        self.awaited.insert((awaited, entry.dot));
        self.held_bytes += weight(&entry);
        self.held.insert(entry.dot, entry);
    }

    fn let_go(&mut self, awaited: Dot, dot: Dot) -> Option<Entry> {
        self.awaited.remove(&(awaited, dot));
        let entry = self.held.remove(&dot)?;
        self.held_bytes -= weight(&entry);
        Some(entry)
    }

    /// The next entry that waits for nothing any more.
    fn next_ready(&mut self, vector: &VersionVector) -> Option<Entry> {
        while let Some(&origin) = self.moved.last() {
            let newest = vector.beyond(origin).last().map_or(vector.upto(origin), |range| range.1);
            let zero = NodeId::from_u128(0);
            let from = (Dot { origin, seq: 0 }, Dot { origin: zero, seq: 0 });
            let to = (Dot { origin, seq: newest + 1 }, Dot { origin: zero, seq: 0 });
            let come = self.awaited.range(from..to).find(|(cause, _)| vector.covers(*cause));
            let Some(&(cause, dot)) = come else {
                self.moved.pop();
                continue;
            };
            let entry = self.let_go(cause, dot)?;
            match entry.awaits(vector) {
                Some(next) if !vector.covers(next) => self.hold(entry, next),
                _ => return Some(entry),
            }
        }
        None
    }
}

fn weight(entry: &Entry) -> usize {
    entry.key.len() + entry.value.as_ref().map_or(0, |value| value.len()) + 256
}

impl Store {
    /// What an own write follows, made now.
    pub fn nearest_causes(&self) -> Causes {
        let mut causes = Causes::default();
        for (&origin, &seq) in &self.causal.nearest {
            causes.add(Dot { origin, seq });
        }
        causes
    }

    /// Whether entries wait for their causes from now on. Without, nobody may read causal keyspaces.
    pub fn hold_back(&mut self, holding: bool) {
        self.causal.holding = holding;
    }

    /// Whether no more entries can be held back.
    pub fn is_holding_all(&self) -> bool {
        self.causal.is_full()
    }

    /// Whether an effect may be here before its cause, in any keyspace or in this one.
    pub fn is_early(&self, keyspace: Option<&str>) -> bool {
        keyspace.map_or(!self.causal.early.is_empty(), |name| self.causal.early.contains(name))
    }

    /// Entries that wait for their causes.
    pub fn held_back(&self) -> usize {
        self.causal.held.len()
    }

    /// The entry, if it may be seen now; else what became of it.
    pub(super) fn in_order(&mut self, entry: Entry) -> Result<Entry, Applied> {
        let Some(awaited) = entry.awaits(self.vector()) else { return Ok(entry) };
        if !self.causal.holding {
            self.causal.early.insert(entry.keyspace.clone());
            return Ok(entry);
        }
        if self.causal.held.contains_key(&entry.dot) {
            return Err(Applied::Held);
        }
        if self.causal.is_full() {
            return Err(Applied::Full);
        }
        self.causal.hold(entry, awaited);
        Err(Applied::Held)
    }

    pub(super) fn release_ready(&mut self, won: &mut dyn FnMut(EntrySlot)) {
        while let Some(entry) = self.causal.next_ready(&self.vector) {
            self.take_in(entry, false, won);
        }
    }

    /// Who has applied all of `prefixes` has sent all that it has: what of it waits here has its past
    /// here. False: no room.
    pub(super) fn release_held(
        &mut self,
        prefixes: &[(NodeId, u64)],
        won: &mut dyn FnMut(EntrySlot),
    ) -> bool {
        if self.causal.held.is_empty() {
            return true;
        }
        let prefixes: BTreeMap<NodeId, u64> = prefixes.iter().copied().collect();
        let whole = |(_, dot): &(Dot, Dot)| {
            let (first, len) = self.causal.held[dot].group;
            prefixes.get(&dot.origin).is_some_and(|&upto| first + len - 1 <= upto)
        };
        let over: Vec<(Dot, Dot)> = self.causal.awaited.iter().copied().filter(whole).collect();
        let mut room = true;
        for (awaited, dot) in over {
            let Some(entry) = self.causal.let_go(awaited, dot) else { continue };
            if !self.is_stale(&entry) {
                // Part of a group or not: the whole of it becomes visible in this step.
                room &= self.take_in(entry, true, won) != Applied::Full;
            }
        }
        room
    }

    /// All that a peer had is here, with its past, if that is what it claims.
    pub(super) fn is_whole_again(&mut self, claimed: &[(NodeId, u64)]) {
        if !claimed.is_empty() {
            self.causal.early.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dot(origin: u128, seq: u64) -> Dot {
        Dot { origin: NodeId::from_u128(origin), seq }
    }

    proptest! {
        #[test]
        fn causes_round_trip_within_their_bound(dots in proptest::collection::vec((1u128..60, 1u64..1 << 40), 0..60)) {
            let mut causes = Causes::default();
            dots.iter().for_each(|&(origin, seq)| causes.add(dot(origin, seq)));
            let mut bytes = Vec::new();
            causes.put(&mut bytes);
            prop_assert_eq!(Causes::read(&bytes), Ok(causes.clone()));
            prop_assert!(causes.dots().len() <= CAUSES_MAX && bytes.len() <= 64 + 22 * CAUSES_MAX);
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Causes::read(&bytes);
        }
    }

    /// Who stands for another waits for what that one waited for, not for the other.
    #[test]
    fn what_is_overwritten_hands_its_causes_on() {
        let mut superseded = Superseded::default();
        superseded.add(dot(1, 7));
        let (mut mine, mut theirs) = (Causes::default(), Causes::default());
        mine.add(dot(1, 7));
        mine.add(dot(2, 3));
        theirs.add(dot(1, 5));
        theirs.add(dot(2, 2));
        mine.inherit(&theirs, &superseded);
        assert_eq!(mine.dots(), [dot(1, 5), dot(2, 3)]);
    }

    /// More causes than fit are not forgotten: nobody can tell but by a whole session.
    #[test]
    fn too_many_causes_are_many() {
        let mut causes = Causes::default();
        (0..=CAUSES_MAX as u128).for_each(|origin| causes.add(dot(origin, 1)));
        assert!(causes.many && causes.dots().len() == CAUSES_MAX);
    }
}
