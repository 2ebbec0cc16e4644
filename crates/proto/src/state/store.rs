//! Decides what is kept of all entries: merge on arrival, the vector of applied writes, the apply
//! order that sessions walk, and what has to go to the disk with it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::causal::Causal;
use super::disk;
use super::entry::{Entry, Range, Superseded};
use crate::base::clocks::{Dot, VersionVector};
use crate::base::context::ShortDot;
use crate::base::hash::{Fingerprint, HashKey, domain};
use crate::base::id::NodeId;
use crate::base::time::Time;
use crate::io::Conflict;
use crate::limits::{
    CONFLICT_VALUE_BYTES_MAX, ENTRIES_MAX, KEYSPACES_MAX, PRUNED_MAX, VECTOR_ORIGINS_MAX,
};

/// Where an entry sits, until its key is forgotten; then another key may sit there.
pub type EntrySlot = u32;

/// A kept entry and its places in the orders.
#[derive(Debug)]
pub struct Kept {
    pub entry: Entry,
    /// Position in the apply order: an overwrite moves its key to the tail.
    pub applied: u64,
    /// Position at which the key first appeared here.
    pub created: u64,
    /// [`Entry::print`] as of when it was applied.
    pub print: u128,
}

/// An element of the state fingerprint came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveChange {
    pub print: u128,
    pub slot: EntrySlot,
    pub live: bool,
}

/// What became of an entry that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is the key's value now.
    Won(EntrySlot),
    /// Fresh, but a concurrent or later write stands. `discarded`: it was concurrent.
    Lost { discarded: bool },
    /// Applied before.
    Stale,
    /// Part of a group whose rest has not come yet: readers never see half a group.
    Staged,
    /// Something that its writer had seen has not come yet: readers never see an effect before its
    /// cause.
    Held,
    /// No room: a hole, asked for again.
    Full,
}

#[derive(Debug)]
pub struct Store {
    pub(super) key: HashKey,
    pub(super) keyspaces: BTreeMap<Arc<str>, BTreeMap<Arc<[u8]>, EntrySlot>>,
    pub(super) entries: Vec<Option<Kept>>,
    /// Empty places among `entries`.
    pub(super) vacant: Vec<EntrySlot>,
    pub(super) by_order: BTreeMap<u64, EntrySlot>,
    /// Entries that end by themselves, by when.
    pub(super) endings: BTreeSet<(Time, EntrySlot)>,
    next_order: u64,
    pub(super) vector: VersionVector,
    /// Rises whenever the vector covers more.
    coverings: u64,
    live: usize,
    /// Concurrent writes that last-writer-wins has discarded here, both ways, and not told yet.
    discarded: Vec<Conflict>,
    /// Deletes and cleared values.
    pub(super) dead: BTreeSet<EntrySlot>,
    /// Entries by the origin of their last write.
    pub(super) by_origin: BTreeMap<NodeId, u32>,
    /// Writers that were forgotten of late: who has not forgotten them yet does not bring them back.
    pub(super) pruned: BTreeMap<NodeId, u64>,
    pruned_order: VecDeque<NodeId>,
    /// Places on disk of what was forgotten.
    removed: Vec<Vec<u8>>,
    /// The last write of each origin that was discarded here, or that a successor stopped naming:
    /// others may not know that it is over.
    pub(super) losers: BTreeMap<NodeId, u64>,
    /// Entries that are in the fingerprint only for as long as the vector's prefix does not tell of them:
    /// deletes and what ends by itself, beyond a hole that may never be filled.
    untold: BTreeSet<(NodeId, u64, EntrySlot)>,
    entry_print: Fingerprint,
    vector_print: Fingerprint,
    pub(super) staged: BTreeMap<(NodeId, u64), Vec<Entry>>,
    pub(super) staged_count: usize,
    pub(super) causal: Causal,
    /// Keys and origins whose disk form is behind; drained into one transaction per step.
    dirty_entries: Vec<EntrySlot>,
    dirty_origins: Vec<NodeId>,
    track_dirty: bool,
    /// Live entries that came and went since this was drained.
    live_changes: Vec<LiveChange>,
}

impl Store {
    pub fn new(key: HashKey, durable: bool) -> Store {
        Store {
            key,
            keyspaces: BTreeMap::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            endings: BTreeSet::new(),
            by_order: BTreeMap::new(),
            next_order: 1,
            vector: VersionVector::default(),
            coverings: 0,
            live: 0,
            discarded: Vec::new(),
            losers: BTreeMap::new(),
            dead: BTreeSet::new(),
            by_origin: BTreeMap::new(),
            pruned: BTreeMap::new(),
            pruned_order: VecDeque::new(),
            removed: Vec::new(),
            untold: BTreeSet::new(),
            entry_print: Fingerprint::default(),
            vector_print: Fingerprint::default(),
            staged: BTreeMap::new(),
            staged_count: 0,
            causal: Causal::default(),
            dirty_entries: Vec::new(),
            dirty_origins: Vec::new(),
            track_dirty: durable,
            live_changes: Vec::new(),
        }
    }

    /// Merges one entry off the wire. `won` is called for each entry that became visible, in
    /// order; more than one where it completes a group. `force` ignores that the vector covers it,
    /// for a comparison in full after a fault.
    pub fn receive(
        &mut self,
        entry: Entry,
        force: bool,
        won: &mut dyn FnMut(EntrySlot),
    ) -> Applied {
        // What ends by itself may be over here and not yet there.
        let ending = entry.ends().is_some() && self.slot(&entry.keyspace, &entry.key).is_none();
        let ordered = match force && !ending {
            true => Ok(entry),
            false if self.is_stale(&entry) => Err(Applied::Stale),
            false if force => Ok(entry),
            false => self.in_order(entry),
        };
        match ordered {
            Ok(entry) => {
                let applied = self.take_in(entry, force, won);
                self.release_ready(won);
                applied
            }
            Err(applied) => applied,
        }
    }

    pub(super) fn is_stale(&self, entry: &Entry) -> bool {
        match &entry.merged {
            // The key was cleared and forgotten since.
            Some(merged) if self.slot(&entry.keyspace, &entry.key).is_none() => {
                let known = |write: ShortDot| {
                    let found = self.vector.find_short(write.writer);
                    found.is_some_and(|(_, upto)| upto >= write.seq)
                };
                !merged.is_empty() && merged.context().dots().all(known)
            }
            // Others' writes may be in there beside the one that names it.
            Some(_) => self
                .find(&entry.keyspace, &entry.key)
                .is_some_and(|kept| kept.entry.includes(entry)),
            None => self.vector.covers(entry.dot),
        }
    }

    /// Merges what need not wait for its causes.
    pub(super) fn take_in(
        &mut self,
        entry: Entry,
        force: bool,
        won: &mut dyn FnMut(EntrySlot),
    ) -> Applied {
        if entry.group.1 > 1 && !force {
            return self.stage(entry, won);
        }
        let covered: Vec<_> = if self.staged.is_empty() {
            Vec::new()
        } else {
            entry
                .superseded
                .ranges()
                .chain([(entry.dot.origin, entry.dot.seq, entry.dot.seq)])
                .collect()
        };
        let applied = self.apply(entry);
        if let Applied::Won(slot) = applied {
            won(slot);
        }
        self.release_superseded(&covered, won);
        applied
    }

    /// Merges an own entry that is on disk already, with the vector that covers it. It was accepted,
    /// so no limit refuses it now.
    pub fn apply_durable(&mut self, entry: Entry) -> Applied {
        let track = std::mem::take(&mut self.track_dirty);
        let applied = self.merge(entry);
        self.track_dirty = track;
        applied
    }

    /// Merges a complete entry: own writes, lone remote ones, groups as a whole.
    pub fn apply(&mut self, entry: Entry) -> Applied {
        if !self.has_room(&entry) {
            return Applied::Full;
        }
        self.merge(entry)
    }

    fn merge(&mut self, entry: Entry) -> Applied {
        self.cover(&entry);
        let Some(slot) = self.slot(&entry.keyspace, &entry.key) else {
            return Applied::Won(self.insert(entry));
        };
        let standing = &self.kept(slot).entry;
        if entry.merged.is_some() && standing.merged.is_some() {
            return self.merge_values(slot, entry);
        }
        if standing.dot == entry.dot {
            self.supersede(slot, &entry);
            return Applied::Stale;
        }
        if !entry.beats(standing) {
            let discarded = !standing.superseded.covers(entry.dot);
            if discarded {
                let conflict = conflict(standing, &entry);
                self.discard(conflict);
            }
            self.supersede(slot, &entry);
            return Applied::Lost { discarded };
        }
        if !entry.superseded.covers(standing.dot) {
            let conflict = conflict(&entry, standing);
            self.discard(conflict);
        }
        self.replace(slot, entry);
        Applied::Won(slot)
    }

    /// Neither value replaces the other: the key holds what came of both.
    fn merge_values(&mut self, slot: EntrySlot, entry: Entry) -> Applied {
        let standing = &self.kept(slot).entry;
        if let Some(lost) = lost_by_kind(standing, &entry) {
            self.discard(lost);
        }
        let standing = &self.kept(slot).entry;
        if standing.includes(&entry) {
            self.supersede(slot, &entry);
            return Applied::Stale;
        }
        let mut joined = standing.clone();
        self.note_dropped(joined.join(&entry));
        self.replace(slot, joined);
        Applied::Won(slot)
    }

    /// The standing entry is known to be later than this one, or is another copy of it.
    fn supersede(&mut self, slot: EntrySlot, other: &Entry) {
        let kept = self.entries[slot as usize].as_mut().expect("in use");
        let superseded = &mut kept.entry.superseded;
        let before = superseded.clone();
        let mut dropped = superseded.join(&other.superseded);
        if other.dot != kept.entry.dot {
            dropped.extend(superseded.add(other.dot));
        }
        let changed = *superseded != before;
        kept.entry.inherit(other);
        if changed {
            self.touch(slot);
        }
        self.note_dropped(dropped);
    }

    fn discard(&mut self, conflict: Conflict) {
        self.lost(conflict.discarded.0);
        self.discarded.push(conflict);
    }

    fn lost(&mut self, dot: Dot) {
        if self.losers.len() >= VECTOR_ORIGINS_MAX && !self.losers.contains_key(&dot.origin) {
            return;
        }
        let last = self.losers.entry(dot.origin).or_default();
        *last = dot.seq.max(*last);
    }

    pub(super) fn note_dropped(&mut self, ranges: Vec<Range>) {
        for (origin, _, to) in ranges {
            self.lost(Dot { origin, seq: to });
        }
    }

    /// Writes that were discarded since the last call.
    pub fn take_discarded(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.discarded)
    }

    /// The other end of a closed session has applied all of `prefixes`, and so have we now: true,
    /// unless a group found no room, which leaves a hole.
    ///
    /// The parts of `groups` that did not come are superseded: the peer had applied those groups, and
    /// had nothing more to send.
    pub fn join(
        &mut self,
        prefixes: &[(NodeId, u64)],
        groups: &BTreeSet<(NodeId, u64)>,
        won: &mut dyn FnMut(EntrySlot),
    ) -> bool {
        if !self.release_held(prefixes, won) {
            return false;
        }
        for &id in groups.iter().filter(|id| self.staged.contains_key(id)).collect::<Vec<_>>() {
            if self.release(id, won) == Applied::Full {
                return false;
            }
        }
        for &(origin, upto) in prefixes {
            if self.vector.len() >= VECTOR_ORIGINS_MAX && !self.vector.knows(origin)
                || self.is_pruned(origin, upto)
            {
                continue;
            }
            let before = self.vector.upto(origin);
            self.vector.join_origin(origin, upto);
            self.vector_moved(origin, before);
        }
        self.is_whole_again(prefixes);
        self.release_ready(won);
        true
    }

    /// Own sequence numbers that were given out and will never name a write: the disk refused it.
    pub fn void(&mut self, origin: NodeId, from: u64, to: u64) {
        let before = self.vector.upto(origin);
        self.vector.add_range(origin, from, to);
        self.vector_moved(origin, before);
    }

    /// Restores what the disk kept; nothing of it is dirty.
    pub fn restore_entry(&mut self, entry: Entry) {
        let track = std::mem::take(&mut self.track_dirty);
        self.causal.applied(&entry);
        if self.slot(&entry.keyspace, &entry.key).is_none() {
            self.insert(entry);
        }
        self.track_dirty = track;
    }

    pub fn restore_origin(&mut self, origin: NodeId, upto: u64, beyond: &[(u64, u64)]) {
        let track = std::mem::take(&mut self.track_dirty);
        let before = self.vector.upto(origin);
        self.vector.join_origin(origin, upto);
        for &(from, to) in beyond {
            self.vector.add_range(origin, from, to);
        }
        self.vector_moved(origin, before);
        self.track_dirty = track;
    }

    /// Entries and origins that the disk does not have yet; empties the lists.
    pub fn take_dirty(&mut self) -> (Vec<EntrySlot>, Vec<NodeId>) {
        let mut entries = std::mem::take(&mut self.dirty_entries);
        let mut origins = std::mem::take(&mut self.dirty_origins);
        entries.sort_unstable();
        entries.dedup();
        origins.sort_unstable();
        origins.dedup();
        (entries, origins)
    }

    /// Entries of this origin that the vector does not cover: the vector was lost.
    pub fn has_unknown_writes_of(&self, origin: NodeId) -> bool {
        let unknown = |k: &Kept| k.entry.dot.origin == origin && !self.vector.covers(k.entry.dot);
        self.entries.iter().flatten().any(unknown)
    }

    pub fn is_dirty(&self) -> bool {
        let dirty = !self.dirty_entries.is_empty() || !self.dirty_origins.is_empty();
        dirty || !self.removed.is_empty()
    }

    // Readings.

    pub fn find(&self, keyspace: &str, key: &[u8]) -> Option<&Kept> {
        self.slot(keyspace, key).map(|slot| self.kept(slot))
    }

    pub fn slot(&self, keyspace: &str, key: &[u8]) -> Option<EntrySlot> {
        self.keyspaces.get(keyspace)?.get(key).copied()
    }

    /// Of a place that is in use.
    pub fn kept(&self, slot: EntrySlot) -> &Kept {
        self.get(slot).expect("the place is in use")
    }

    /// What sits there, if anything still does.
    pub fn get(&self, slot: EntrySlot) -> Option<&Kept> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// Entries of a keyspace whose key starts with `prefix`, in key order, deletes included.
    pub fn with_prefix<'a>(
        &'a self,
        keyspace: &str,
        prefix: &[u8],
    ) -> impl Iterator<Item = &'a Kept> + 'a {
        let from: Arc<[u8]> = prefix.into();
        let wanted = from.clone();
        self.keyspaces
            .get(keyspace)
            .into_iter()
            .flat_map(move |keys| keys.range((Bound::Included(from.clone()), Bound::Unbounded)))
            .take_while(move |(key, _)| key.starts_with(&wanted))
            .map(|(_, &slot)| self.kept(slot))
    }

    pub fn keyspaces(&self) -> impl Iterator<Item = &Arc<str>> + '_ {
        self.keyspaces.keys()
    }

    /// Entries applied after `cursor`, in apply order.
    pub fn since(&self, cursor: u64) -> impl Iterator<Item = &Kept> + '_ {
        self.by_order
            .range((Bound::Excluded(cursor), Bound::Unbounded))
            .map(|(_, &slot)| self.kept(slot))
    }

    /// The last position of the apply order.
    pub fn head(&self) -> u64 {
        self.next_order - 1
    }

    pub fn vector(&self) -> &VersionVector {
        &self.vector
    }

    /// Rises whenever the vector covers more.
    pub fn coverings(&self) -> u64 {
        self.coverings
    }

    /// Live entries, and all with the deletes.
    pub fn counts(&self) -> (usize, usize) {
        (self.live, self.held())
    }

    /// Over live entries and the prefixes of the vector, which tell of the rest. What neither shows, a
    /// delete beyond a hole, has an element as if it were live.
    pub fn print(&self) -> Fingerprint {
        Fingerprint(self.entry_print.0.wrapping_add(self.vector_print.0))
    }

    fn held(&self) -> usize {
        self.entries.len() - self.vacant.len()
    }

    /// Over live entries, and deletes that the vector's prefix does not tell of.
    pub fn entry_print(&self) -> Fingerprint {
        self.entry_print
    }

    /// Over the prefixes of the vector alone.
    pub fn vector_print(&self) -> Fingerprint {
        self.vector_print
    }

    /// Elements of the state fingerprint that came and went since who takes them in emptied this, in order.
    pub fn live_changes(&mut self) -> &mut Vec<LiveChange> {
        &mut self.live_changes
    }

    pub fn has_keyspace(&self, keyspace: &str) -> bool {
        self.keyspaces.contains_key(keyspace)
    }

    pub fn has_room(&self, entry: &Entry) -> bool {
        let writers = self.vector.len() + entry.superseded.ranges().count() + 1;
        if writers > VECTOR_ORIGINS_MAX && !self.vector.knows(entry.dot.origin) {
            return false;
        }
        match self.keyspaces.get(&entry.keyspace) {
            Some(keys) => self.held() < ENTRIES_MAX || keys.contains_key(&entry.key),
            None => self.keyspaces.len() < KEYSPACES_MAX && self.held() < ENTRIES_MAX,
        }
    }

    // Inside.

    /// Counts the entry's dot, and those that it superseded, as applied.
    fn cover(&mut self, entry: &Entry) {
        self.causal.applied(entry);
        self.cover_dot(entry.dot);
        self.cover_superseded(&entry.superseded);
    }

    pub(super) fn cover_dot(&mut self, dot: Dot) {
        let before = self.vector.upto(dot.origin);
        self.vector.add(dot);
        self.vector_moved(dot.origin, before);
    }

    pub(super) fn cover_superseded(&mut self, superseded: &Superseded) {
        for (origin, from, to) in superseded.ranges() {
            if self.vector.len() >= VECTOR_ORIGINS_MAX && !self.vector.knows(origin)
                || self.is_pruned(origin, to)
            {
                continue;
            }
            let before = self.vector.upto(origin);
            self.vector.add_range(origin, from, to);
            self.vector_moved(origin, before);
        }
    }

    fn is_pruned(&self, origin: NodeId, upto: u64) -> bool {
        self.pruned.get(&origin).is_some_and(|&known| upto <= known)
    }

    fn vector_moved(&mut self, origin: NodeId, before: u64) {
        self.coverings += 1;
        self.causal.covered_more(origin);
        if self.track_dirty {
            self.dirty_origins.push(origin);
        }
        let after = self.vector.upto(origin);
        if after == before {
            return;
        }
        let print =
            |upto: u64| self.key.wide(domain::VECTOR_PRINT, &[&origin.0, &upto.to_le_bytes()]);
        if before > 0 {
            self.vector_print -= print(before);
        }
        if after > 0 {
            self.vector_print += print(after);
        }
        self.tell(origin, after);
    }

    /// The prefix tells of these now.
    fn tell(&mut self, origin: NodeId, upto: u64) {
        while let Some(&told) = self.untold.range((origin, 0, 0)..=(origin, upto, u32::MAX)).next()
        {
            self.untold.remove(&told);
            let (_, _, slot) = told;
            let print = self.kept(slot).print;
            self.entry_print -= print;
            self.live_changes.push(LiveChange { print, slot, live: false });
        }
    }

    fn insert(&mut self, entry: Entry) -> EntrySlot {
        let slot = self.vacant.pop().unwrap_or(self.entries.len() as EntrySlot);
        let keys = self.keyspaces.entry(entry.keyspace.clone()).or_default();
        keys.insert(entry.key.clone(), slot);
        let print = self.count_in(slot, &entry);
        let order = self.append(slot);
        let kept = Some(Kept { entry, applied: order, created: order, print });
        match self.entries.get_mut(slot as usize) {
            Some(place) => *place = kept,
            None => self.entries.push(kept),
        }
        self.touch(slot);
        slot
    }

    pub(super) fn replace(&mut self, slot: EntrySlot, mut entry: Entry) {
        let kept = self.entries[slot as usize].take().expect("in use");
        let mut dropped = entry.superseded.join(&kept.entry.superseded);
        dropped.extend(entry.superseded.add(kept.entry.dot));
        entry.inherit(&kept.entry);
        // One allocation of the key serves the map and all its values.
        entry.key = kept.entry.key.clone();
        entry.keyspace = kept.entry.keyspace.clone();
        self.note_dropped(dropped);
        self.count_out(slot, &kept);
        self.by_order.remove(&kept.applied);
        let print = self.count_in(slot, &entry);
        let applied = self.append(slot);
        self.entries[slot as usize] = Some(Kept { entry, applied, created: kept.created, print });
        self.touch(slot);
    }

    /// Counts an entry among the live ones if it is one; returns its print.
    pub(super) fn count_in(&mut self, slot: EntrySlot, entry: &Entry) -> u128 {
        let print = entry.print(&self.key);
        self.live += usize::from(entry.is_live());
        if !entry.is_live() {
            self.dead.insert(slot);
        }
        *self.by_origin.entry(entry.dot.origin).or_default() += 1;
        let untold = !entry.is_printed() && self.vector.upto(entry.dot.origin) < entry.dot.seq;
        if untold {
            self.untold.insert((entry.dot.origin, entry.dot.seq, slot));
        }
        if untold || entry.is_printed() {
            self.entry_print += print;
            self.live_changes.push(LiveChange { print, slot, live: true });
        }
        if let Some(ends) = entry.ends() {
            self.endings.insert((ends, slot));
        }
        print
    }

    pub(super) fn count_out(&mut self, slot: EntrySlot, kept: &Kept) {
        let Kept { entry, print, .. } = kept;
        self.live -= usize::from(entry.is_live());
        self.dead.remove(&slot);
        let held = self.by_origin.get_mut(&entry.dot.origin).expect("counted in");
        *held -= 1;
        if *held == 0 {
            self.by_origin.remove(&entry.dot.origin);
        }
        let untold = self.untold.remove(&(entry.dot.origin, entry.dot.seq, slot));
        if untold || entry.is_printed() {
            self.entry_print -= *print;
            self.live_changes.push(LiveChange { print: *print, slot, live: false });
        }
        if let Some(ends) = entry.ends() {
            self.endings.remove(&(ends, slot));
        }
    }

    /// Forgets a key. The vector goes on to cover its writes.
    pub(super) fn remove(&mut self, slot: EntrySlot) -> Entry {
        let kept = self.entries[slot as usize].take().expect("in use");
        self.count_out(slot, &kept);
        self.by_order.remove(&kept.applied);
        let entry = kept.entry;
        let keys = self.keyspaces.get_mut(&entry.keyspace).expect("it holds the key");
        keys.remove(&entry.key);
        if keys.is_empty() {
            self.keyspaces.remove(&entry.keyspace);
        }
        self.vacant.push(slot);
        if self.track_dirty {
            self.removed.push(disk::entry_place(&entry));
        }
        entry
    }

    /// Places on disk of what was forgotten since the last call.
    pub fn take_removed(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.removed)
    }

    /// Nothing is known of this origin any more.
    pub(super) fn uncover(&mut self, origin: NodeId) {
        let before = self.vector.upto(origin);
        self.vector.remove(origin);
        self.losers.remove(&origin);
        self.vector_moved(origin, before);
    }

    pub(super) fn remember_pruned(&mut self, origin: NodeId, upto: u64) {
        if self.pruned.insert(origin, upto).is_none() {
            self.pruned_order.push_back(origin);
        }
        if self.pruned_order.len() > PRUNED_MAX {
            let oldest = self.pruned_order.pop_front();
            oldest.map(|origin| self.pruned.remove(&origin));
        }
    }

    pub(super) fn append(&mut self, slot: EntrySlot) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        self.by_order.insert(order, slot);
        order
    }

    pub(super) fn touch(&mut self, slot: EntrySlot) {
        if self.track_dirty {
            self.dirty_entries.push(slot);
        }
    }
}

/// Values of unequal kinds do not merge: which of the two is given up, if its writer had not seen the
/// other.
fn lost_by_kind(standing: &Entry, entry: &Entry) -> Option<Conflict> {
    let kind = |e: &Entry| e.merged.as_ref().map(|merged| merged.kind());
    let (kept, lost) = match kind(standing).cmp(&kind(entry)) {
        Ordering::Equal => return None,
        Ordering::Greater => (standing, entry),
        Ordering::Less => (entry, standing),
    };
    (!kept.superseded.covers(lost.dot)).then(|| conflict(kept, lost))
}

fn conflict(kept: &Entry, discarded: &Entry) -> Conflict {
    Conflict { kept: Some((kept.dot, kept.stamp)), ..given_up(discarded) }
}

/// The loss of a write without another one that stands for it.
pub fn given_up(discarded: &Entry) -> Conflict {
    let value = discarded.value.as_ref().filter(|_| discarded.is_live());
    Conflict {
        keyspace: discarded.keyspace.clone(),
        key: discarded.key.clone(),
        kept: None,
        discarded: (discarded.dot, discarded.stamp),
        value: value.map(|v| v[..v.len().min(CONFLICT_VALUE_BYTES_MAX)].into()),
        value_len: value.map_or(0, |v| v.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clocks::Hlc;
    use crate::base::rng::Rng;

    fn store() -> Store {
        Store::new(HashKey::for_cluster("s"), false)
    }

    fn entry(origin: u128, seq: u64, key: u64, stamp: u64, value: Option<u8>) -> Entry {
        Entry {
            keyspace: "kv".into(),
            key: key.to_le_bytes().as_slice().into(),
            value: value.map(|v| [v].as_slice().into()),
            merged: None,
            stamp: Hlc(stamp),
            dot: Dot { origin: NodeId::from_u128(origin), seq },
            group: (seq, 1),
            superseded: Superseded::default(),
            fields: Default::default(),
        }
    }

    fn apply_all(entries: &[Entry]) -> Store {
        let mut s = store();
        for e in entries {
            s.receive(e.clone(), false, &mut |_| {});
        }
        s
    }

    /// Rules 1 and 4, rows D1 and D3: any order and any repetition of a log of writes with ties gives
    /// the same live state, vector and fingerprint.
    #[test]
    fn merge_is_commutative_associative_and_idempotent() {
        let mut rng = Rng::from_u64(11);
        for _ in 0..400 {
            let mut seqs = [0u64; 3];
            let mut log: Vec<Entry> = (0..24)
                .map(|_| {
                    let origin = rng.index(3);
                    seqs[origin] += 1;
                    let value = rng.chance(0.7).then(|| rng.below(4) as u8);
                    entry(origin as u128, seqs[origin], rng.below(4), 1 + rng.below(6), value)
                })
                .collect();
            let reference = apply_all(&log);
            log.extend(log.clone());
            rng.shuffle(&mut log);
            let other = apply_all(&log);
            assert_eq!(reference.print(), other.print());
            assert_eq!(reference.vector(), other.vector());
            assert_eq!(reference.counts(), other.counts());
        }
    }

    #[test]
    fn a_successor_covers_what_it_superseded() {
        let mut a = store();
        for seq in 1..=5 {
            a.receive(entry(1, seq, 9, seq, Some(1)), false, &mut |_| {});
        }
        let last = a.find("kv", &9u64.to_le_bytes()).unwrap().entry.clone();
        let mut b = store();
        b.receive(last, false, &mut |_| {});
        assert_eq!(a.vector(), b.vector());
        assert_eq!(a.print(), b.print());
        assert_eq!(b.receive(entry(1, 3, 9, 3, Some(1)), false, &mut |_| {}), Applied::Stale);
    }

    #[test]
    fn concurrent_writes_are_counted_causal_ones_are_not() {
        let mut a = store();
        a.apply(entry(1, 1, 9, 5, Some(1)));
        a.apply(entry(2, 1, 9, 6, Some(2)));
        assert_eq!(a.take_discarded().len(), 1);
        let mut causal = entry(1, 2, 9, 7, Some(3));
        causal.superseded.add(Dot { origin: NodeId::from_u128(2), seq: 1 });
        a.apply(causal);
        assert!(a.take_discarded().is_empty());
    }

    /// A delete whose writer's earlier writes are lost: no prefix ever tells of it.
    #[test]
    fn a_delete_beyond_a_hole_shows_in_the_fingerprint() {
        let (mut a, mut b) = (store(), store());
        a.apply(entry(1, 7, 9, 5, None));
        assert_ne!(a.print(), b.print());
        b.apply(entry(2, 1, 9, 4, None));
        a.apply(entry(2, 1, 9, 4, None));
        assert_ne!(a.print(), b.print(), "b holds the older of two deletes");
        b.apply(entry(1, 7, 9, 5, None));
        assert_eq!(a.print(), b.print());
        for seq in 1..7 {
            a.apply(entry(1, seq, seq, seq, Some(1)));
        }
        assert_ne!(a.print(), b.print());
        for seq in (1..7).rev() {
            b.apply(entry(1, seq, seq, seq, Some(1)));
        }
        assert_eq!(a.print(), b.print());
        let told = a.live_changes().iter().filter(|change| !change.live).count();
        assert_eq!(told, 1, "the prefix tells of the delete now");
    }

    #[test]
    fn a_deleted_key_stays_deleted_whatever_comes_late() {
        let mut a = store();
        a.apply(entry(1, 1, 9, 5, Some(1)));
        a.apply(entry(1, 2, 9, 6, None));
        assert_eq!(a.counts().0, 0);
        assert_eq!(a.receive(entry(1, 1, 9, 5, Some(1)), false, &mut |_| {}), Applied::Stale);
        assert_eq!(
            a.receive(entry(2, 1, 9, 4, Some(1)), false, &mut |_| {}),
            Applied::Lost { discarded: true }
        );
        assert_eq!(a.counts().0, 0);
    }

    /// Row D12: readers never see half a group.
    #[test]
    fn a_group_becomes_visible_as_a_whole() {
        let part = |seq| Entry { group: (1, 3), ..entry(1, seq, seq, 5, Some(1)) };
        let mut a = store();
        let mut seen = Vec::new();
        for seq in [3, 1] {
            assert_eq!(a.receive(part(seq), false, &mut |s| seen.push(s)), Applied::Staged);
            assert_eq!((a.counts().0, a.vector().upto(NodeId::from_u128(1))), (0, 0));
        }
        a.receive(part(2), false, &mut |s| seen.push(s));
        assert_eq!((a.counts().0, seen.len(), a.vector().upto(NodeId::from_u128(1))), (3, 3, 3));
    }

    #[test]
    fn a_session_walks_changes_only() {
        let mut a = store();
        for seq in 1..=10 {
            a.apply(entry(1, seq, seq, seq, Some(1)));
        }
        let head = a.head();
        a.apply(entry(1, 11, 4, 11, Some(2)));
        let changed: Vec<_> = a.since(head).map(|k| k.entry.dot.seq).collect();
        assert_eq!(changed, [11]);
        assert_eq!(a.since(0).count(), 10);
    }
}
