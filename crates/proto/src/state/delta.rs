//! Decides what travels of a write to a large value that merges: the change alone, with the dots of
//! the writes that it is, and nothing that would claim more.

use std::sync::Arc;

use super::crdt::{self, Met};
use super::entry::{Entry, Range, Superseded};
use super::fields::Fields;
use super::store::{Applied, EntrySlot, Store};
use crate::base::clocks::{Dot, Hlc};
use crate::base::context::{Context, ShortDot};
use crate::base::hash::{HashKey, domain};
use crate::limits::{DELTA_BYTES_MAX, KEY_BYTES_MAX, KEYSPACE_BYTES_MAX, RUMOUR_BYTES_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_bytes, put_dot, put_u32, put_u64};
use crate::wire::frame::{kind, put_frame};

/// Sent where it is at most this part of the value.
const SHARE: usize = 4;

/// Some writes to one key, without the value that they were made on.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryDelta {
    pub keyspace: Arc<str>,
    pub key: Arc<[u8]>,
    /// Of the latest write.
    pub stamp: Hlc,
    pub dot: Dot,
    /// Every write in here, the latest included, and no other. Whoever takes this in counts these as
    /// applied: not what their writers had overwritten, which the receiver may never have seen.
    pub writes: Superseded,
    pub change: crdt::Delta,
    /// Bytes of the change, encoded.
    size: usize,
}

impl EntryDelta {
    /// `None`: the entry carries what a delta does not.
    pub fn of_write(entry: &Entry, change: crdt::Delta) -> Option<EntryDelta> {
        if entry.fields != Fields::default() {
            return None;
        }
        let mut writes = Superseded::default();
        writes.add(entry.dot);
        Some(EntryDelta {
            keyspace: entry.keyspace.clone(),
            key: entry.key.clone(),
            stamp: entry.stamp,
            dot: entry.dot,
            writes,
            size: size_of(&change),
            change,
        })
    }

    /// Takes in another's writes to the same key. False, and unchanged: the two leave something out
    /// between them, or are too much for one rumour.
    pub fn merge(&mut self, other: &EntryDelta) -> bool {
        if self.key != other.key || self.keyspace != other.keyspace {
            return false;
        }
        let mut both = self.clone();
        if !both.writes.join(&other.writes).is_empty() || !both.change.merge(&other.change) {
            return false;
        }
        both.size = size_of(&both.change);
        (both.stamp, both.dot) = (both.stamp, both.dot).max((other.stamp, other.dot));
        let fits = both.size <= DELTA_BYTES_MAX;
        if fits {
            *self = both;
        }
        fits
    }

    /// Whether this goes instead of the value: both would do for who has what it builds on, and the
    /// value for everybody.
    pub fn stands_for(&self, entry: &Entry) -> bool {
        let value = entry.value.as_ref().map_or(0, |value| value.len());
        let same = self.key == entry.key && self.keyspace == entry.keyspace;
        same && self.size * SHARE <= value && self.size <= RUMOUR_BYTES_MAX
    }

    pub fn put(&self, out: &mut Vec<u8>, key: &HashKey) {
        put_frame(out, kind::ENTRY_DELTA, |out| {
            let sum_at = out.len();
            put_u32(out, 0);
            put_bytes(out, self.keyspace.as_bytes());
            put_bytes(out, &self.key);
            put_u64(out, self.stamp.0);
            put_dot(out, self.dot);
            self.writes.put(out);
            self.change.put(out);
            let sum = key.checksum(domain::ENTRY_DELTA, &[&out[sum_at + 4..]]) as u32;
            out[sum_at..sum_at + 4].copy_from_slice(&sum.to_le_bytes());
        });
    }

    /// `None`: the checksum does not hold.
    pub fn decode(body: &[u8], key: &HashKey) -> Decoded<Option<EntryDelta>> {
        let mut r = Reader::new(body);
        let sum = r.u32("delta checksum")?;
        if sum != key.checksum(domain::ENTRY_DELTA, &[r.rest()]) as u32 {
            return Ok(None);
        }
        let keyspace = r.text(KEYSPACE_BYTES_MAX, "keyspace")?;
        let entry_key = r.bytes(KEY_BYTES_MAX, "key")?;
        let stamp = r.hlc("stamp")?;
        let dot = r.dot("dot")?;
        let writes = Superseded::decode(&mut r)?;
        let change = crdt::Delta::read(&mut r)?;
        let within =
            |dot: Dot| change.is_within(ShortDot { writer: dot.origin.short(), seq: dot.seq });
        let ends = |(origin, from, to)| {
            within(Dot { origin, seq: from }) && within(Dot { origin, seq: to })
        };
        if keyspace.is_empty() || entry_key.is_empty() || !r.is_empty() {
            return Err(DecodeError::Invalid("key"));
        }
        // A vector covers what was applied, and nothing else was.
        if !writes.covers(dot) || !writes.ranges().all(ends) {
            return Err(DecodeError::Invalid("writes"));
        }
        let (keyspace, key) = (keyspace.into(), entry_key.into());
        let size = size_of(&change);
        Ok(Some(EntryDelta { keyspace, key, stamp, dot, writes, change, size }))
    }
}

fn size_of(change: &crdt::Delta) -> usize {
    let mut bytes = Vec::new();
    change.put(&mut bytes);
    bytes.len()
}

impl Store {
    /// Merges some writes to a key; `None`: what they build on is not here.
    ///
    /// The entry comes out as it would by merging the values that had these writes: its value is
    /// that of the joined history, its stamp and dot the highest of it.
    pub fn receive_delta(
        &mut self,
        delta: &EntryDelta,
        won: &mut dyn FnMut(EntrySlot),
    ) -> Option<Applied> {
        let slot = self.slot(&delta.keyspace, &delta.key)?;
        let standing = &self.kept(slot).entry;
        let mut value = (**standing.merged.as_ref()?).clone();
        if delta.writes.ranges().any(|range| self.is_over(range, value.context())) {
            return None;
        }
        match value.meet(&delta.change) {
            Met::Gap => return None,
            Met::Stale => {
                self.cover_superseded(&delta.writes);
                return Some(Applied::Stale);
            }
            Met::Applied => {}
        }
        let mut joined = standing.clone();
        joined.set_merged(value);
        let dropped = joined.superseded.join(&delta.writes);
        (joined.stamp, joined.dot) = (joined.stamp, joined.dot).max((delta.stamp, delta.dot));
        joined.group = (joined.dot.seq, 1);
        self.note_dropped(dropped);
        self.cover_superseded(&delta.writes);
        self.replace(slot, joined);
        won(slot);
        self.release_ready(won);
        Some(Applied::Won(slot))
    }

    /// Whether writes of this range were applied here to a value that is forgotten since: the key was
    /// cleared, and written anew.
    fn is_over(&self, (origin, from, to): Range, history: &Context) -> bool {
        let known = history.upto(origin.short());
        let first_new = Dot { origin, seq: from.max(known + 1) };
        to > known && self.vector().covers(first_new)
    }
}
