//! Decides what one replicated entry is, how it is encoded, and which of two wins.

use std::sync::Arc;

use super::crdt::Merged;
use super::fields::Fields;
use crate::base::clocks::{Dot, Hlc};
use crate::base::hash::{HashKey, domain};
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::limits::{
    KEY_BYTES_MAX, KEYSPACE_BYTES_MAX, MERGED_BYTES_MAX, SUPERSEDED_MAX, VALUE_BYTES_MAX,
    WRITES_PER_COMMAND_MAX,
};
use crate::wire::codec::{
    DecodeError, Decoded, Reader, below_max, put_bytes, put_dot, put_id, put_u32, put_u64,
    put_varint,
};
use crate::wire::frame::{kind, put_frame};

/// One key's replicated value. A delete is an entry like any other, without a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub keyspace: Arc<str>,
    pub key: Arc<[u8]>,
    pub value: Option<Arc<[u8]>>,
    /// The value, where it is one that merges; `value` holds its encoding.
    pub merged: Option<Arc<Merged>>,
    pub stamp: Hlc,
    pub dot: Dot,
    /// Of a group written together: the first sequence number and how many. A lone write is (seq, 1).
    pub group: (u64, u64),
    pub superseded: Superseded,
    pub fields: Fields,
}

const TOMBSTONE: u8 = 1;
const GROUP: u8 = 2;
const MERGES: u8 = 4;

impl Entry {
    /// Last writer wins by (stamp, origin, sequence): total, so ties cannot diverge (row D3). A value
    /// that merges stands against one that does not, as replacing it would lose others' writes.
    pub fn beats(&self, other: &Entry) -> bool {
        let rank = |e: &Entry| (e.merged.is_some(), e.stamp, e.dot);
        rank(self) > rank(other)
    }

    /// Joins the values of two writes to one key: what comes of it depends on neither's order.
    ///
    /// Returns what the joined entry does not name any more, for want of room.
    pub fn join(&mut self, other: &Entry) -> Vec<Range> {
        if let (Some(mine), Some(theirs)) = (&mut self.merged, &other.merged) {
            let joined = Arc::make_mut(mine);
            joined.join(theirs);
            self.value = Some(encode(joined));
        }
        let mut dropped = self.superseded.join(&other.superseded);
        dropped.extend(self.superseded.add(self.dot));
        dropped.extend(self.superseded.add(other.dot));
        self.inherit(other);
        (self.stamp, self.dot) = (self.stamp, self.dot).max((other.stamp, other.dot));
        self.group = (self.dot.seq, 1);
        dropped
    }

    /// True if nothing of `other`, a write to the same key, is missing in here.
    pub fn includes(&self, other: &Entry) -> bool {
        match (&self.merged, &other.merged) {
            (Some(mine), Some(theirs)) => {
                mine.kind() > theirs.kind()
                    || mine.kind() == theirs.kind() && mine.context().includes(theirs.context())
            }
            _ => self.dot == other.dot,
        }
    }

    /// Has a value that readers see.
    pub fn is_live(&self) -> bool {
        self.value.is_some() && self.merged.as_ref().is_none_or(|merged| !merged.is_empty())
    }

    pub fn set_merged(&mut self, merged: Merged) {
        self.value = Some(encode(&merged));
        self.merged = Some(Arc::new(merged));
    }

    /// When it ends by itself, where it still has a value.
    pub fn ends(&self) -> Option<Time> {
        self.fields.lifetime().filter(|_| self.is_live()).map(|lifetime| lifetime.ends)
    }

    /// Its time is over: a delete by the writer of the value, just above it. Whoever ends it first comes
    /// to the same, and whatever beats the value beats its end.
    pub fn end(&mut self) {
        self.value = None;
        self.fields.set_lifetime(None);
    }

    /// Whether it always has an element in the state fingerprint. Deletes have none, and what ends by
    /// itself: replicas see it end at slightly different moments. That they were applied is in the vector.
    pub fn is_printed(&self) -> bool {
        self.is_live() && self.fields.lifetime().is_none()
    }

    pub fn put(&self, out: &mut Vec<u8>, key: &HashKey, now: Time) {
        put_frame(out, kind::ENTRY, |out| self.put_body(out, key, now, None));
    }

    /// `wall_ms`: when it is written, where it is read back after an absence.
    pub fn put_body(&self, out: &mut Vec<u8>, key: &HashKey, now: Time, wall_ms: Option<u64>) {
        let grouped = self.group.1 > 1;
        let tombstone = if self.value.is_none() { TOMBSTONE } else { 0 };
        let merges = if self.merged.is_some() { MERGES } else { 0 };
        out.push(tombstone | merges | if grouped { GROUP } else { 0 });
        let sum_at = out.len();
        put_u32(out, 0);
        put_bytes(out, self.keyspace.as_bytes());
        put_bytes(out, &self.key);
        put_u64(out, self.stamp.0);
        put_dot(out, self.dot);
        if grouped {
            put_varint(out, self.dot.seq - self.group.0);
            put_varint(out, self.group.1);
        }
        put_bytes(out, self.value.as_deref().unwrap_or_default());
        self.superseded.put(out);
        let fields_at = out.len();
        self.fields.put(out, now, wall_ms);
        let sum = self.checksum(key, &out[fields_at..]);
        out[sum_at..sum_at + 4].copy_from_slice(&sum.to_le_bytes());
    }

    /// `None`: the entry's own checksum does not hold.
    pub fn decode(body: &[u8], key: &HashKey, now: Now) -> Decoded<Option<Entry>> {
        let mut r = Reader::new(body);
        let flags = r.u8("entry flags")?;
        let sum = r.u32("entry checksum")?;
        let keyspace = r.text(KEYSPACE_BYTES_MAX, "keyspace")?;
        let entry_key = r.bytes(KEY_BYTES_MAX, "key")?;
        if keyspace.is_empty() || entry_key.is_empty() {
            return Err(DecodeError::Invalid("key"));
        }
        let stamp = r.hlc("stamp")?;
        let dot = r.dot("dot")?;
        if dot.seq == 0 {
            return Err(DecodeError::Invalid("dot"));
        }
        let group = if flags & GROUP != 0 {
            let before = r.varint("group offset")?;
            let len = r.varint("group length")?;
            if before >= len || before >= dot.seq || len > WRITES_PER_COMMAND_MAX as u64 {
                return Err(DecodeError::Invalid("group"));
            }
            (dot.seq - before, len)
        } else {
            (dot.seq, 1)
        };
        let most = if flags & MERGES != 0 { MERGED_BYTES_MAX } else { VALUE_BYTES_MAX };
        let value = r.bytes(most, "value")?;
        let merged = if flags & MERGES != 0 { Some(Arc::new(read_merged(value)?)) } else { None };
        let superseded = Superseded::decode(&mut r)?;
        let fields = Fields::read(r.rest(), now)?;
        if merged.is_some() && fields.lifetime().is_some() {
            return Err(DecodeError::Invalid("lifetime of a value that merges"));
        }
        let entry = Entry {
            keyspace: keyspace.into(),
            key: entry_key.into(),
            value: (flags & TOMBSTONE == 0 || merged.is_some()).then(|| value.into()),
            merged,
            stamp,
            dot,
            group,
            superseded,
            fields,
        };
        Ok((entry.checksum(key, r.rest()) == sum).then_some(entry))
    }

    /// Over what the writer wrote; what later holders add (`superseded`) is not in it.
    fn checksum(&self, key: &HashKey, fields: &[u8]) -> u32 {
        key.checksum(
            domain::ENTRY,
            &[
                self.keyspace.as_bytes(),
                &self.key,
                &self.stamp.0.to_le_bytes(),
                &self.dot.origin.0,
                &self.dot.seq.to_le_bytes(),
                &self.group.0.to_le_bytes(),
                &self.group.1.to_le_bytes(),
                &[u8::from(self.value.is_some()) | u8::from(self.merged.is_some()) << 1],
                self.value.as_deref().unwrap_or_default(),
                fields,
            ],
        ) as u32
    }

    /// The element that stands for this entry in the state fingerprint.
    pub fn print(&self, key: &HashKey) -> u128 {
        key.wide(
            domain::ENTRY_PRINT,
            &[
                self.keyspace.as_bytes(),
                &self.key,
                &self.stamp.0.to_le_bytes(),
                &self.dot.origin.0,
                &self.dot.seq.to_le_bytes(),
                self.value.as_deref().unwrap_or_default(),
            ],
        )
    }
}

fn encode(merged: &Merged) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    merged.put(&mut bytes);
    bytes.into()
}

/// The whole of `value` as one that merges.
fn read_merged(value: &[u8]) -> Decoded<Merged> {
    let mut r = Reader::new(value);
    let merged = Merged::read(&mut r)?;
    if r.is_empty() { Ok(merged) } else { Err(DecodeError::Invalid("merged value")) }
}

/// Writes that this entry has overwritten where it has been: whoever applies it counts them as
/// applied too, else every hot key leaves holes everywhere. Ranges of one origin's sequence, newest
/// last; the oldest are dropped beyond [`SUPERSEDED_MAX`] and left to reconciliation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Superseded(Vec<Range>);

/// The origin's writes from one number to another.
pub type Range = (NodeId, u64, u64);

impl Superseded {
    /// Returns what was dropped to make room.
    pub fn add(&mut self, dot: Dot) -> Option<Range> {
        self.add_range(dot.origin, dot.seq, dot.seq)
    }

    pub fn add_range(&mut self, origin: NodeId, from: u64, to: u64) -> Option<Range> {
        if let Some(known) =
            self.0.iter_mut().find(|(o, a, b)| *o == origin && from <= *b + 1 && *a <= to + 1)
        {
            known.1 = known.1.min(from);
            known.2 = known.2.max(to);
            return None;
        }
        let dropped = (self.0.len() == SUPERSEDED_MAX).then(|| self.0.remove(0));
        self.0.push((origin, from, to));
        dropped
    }

    /// Returns what was dropped to make room.
    pub fn join(&mut self, other: &Superseded) -> Vec<Range> {
        other.0.iter().filter_map(|&(origin, from, to)| self.add_range(origin, from, to)).collect()
    }

    /// Stops naming what everybody knows to be over.
    pub fn forget(&mut self, mut known: impl FnMut(Range) -> bool) {
        self.0.retain(|&range| !known(range));
    }

    pub fn covers(&self, dot: Dot) -> bool {
        self.0.iter().any(|&(o, a, b)| o == dot.origin && a <= dot.seq && dot.seq <= b)
    }

    pub fn ranges(&self) -> impl Iterator<Item = (NodeId, u64, u64)> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for &(origin, from, to) in &self.0 {
            put_id(out, origin);
            put_varint(out, from);
            put_varint(out, to - from);
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Decoded<Superseded> {
        let mut superseded = Superseded::default();
        for _ in 0..r.count(SUPERSEDED_MAX, 18, "superseded")? {
            let origin = r.id("superseded origin")?;
            let from = r.seq("superseded from")?;
            let to = below_max(from + r.seq("superseded length")?, "superseded to")?;
            if from == 0 {
                return Err(DecodeError::Invalid("superseded"));
            }
            superseded.0.push((origin, from, to));
        }
        Ok(superseded)
    }
}

/// Announces an entry too large for a datagram: whoever lacks it fetches it by stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advert<'a> {
    pub keyspace: &'a str,
    pub key: &'a [u8],
    pub dot: Dot,
}

impl<'a> Advert<'a> {
    /// The same bytes serve as announcement (`ADVERT`) and as request (`FETCH`).
    pub fn put(&self, out: &mut Vec<u8>, frame: u8) {
        put_frame(out, frame, |out| {
            put_bytes(out, self.keyspace.as_bytes());
            put_bytes(out, self.key);
            put_dot(out, self.dot);
        });
    }

    pub fn decode(body: &'a [u8]) -> Decoded<Advert<'a>> {
        let mut r = Reader::new(body);
        Ok(Advert {
            keyspace: r.text(KEYSPACE_BYTES_MAX, "keyspace")?,
            key: r.bytes(KEY_BYTES_MAX, "key")?,
            dot: r.dot("dot")?,
        })
    }
}
