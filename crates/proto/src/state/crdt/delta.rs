//! Decides how writes travel without the value: as the part of a history that they are, and who can
//! take that in.
//!
//! A delta is a value with a partial history: of each writer the writes after one number and up to
//! another, and of all earlier writes those that these removed. So the one merge of `survivors`
//! serves it too, and deltas merge with each other.
//!
//! Who may take it in: one who has, of each writer, what came before, and has seen all that was
//! removed. Then its history stays what a context can say: of each writer all up to a number, and
//! with every write all that it removed. Of two such histories the join is the value of both
//! together, so it makes no difference who came to its value by deltas and who by values. Without
//! the second condition a removal could be taken in before what it removed, which would come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::codec;
use super::survivors::{Seen, Survivors};
use crate::base::context::{Context, ShortDot};
use crate::base::operation::Kind;
use crate::limits::{DELTA_REMOVED_MAX, WRITERS_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_u64, put_varint};

/// What some writes did to a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    kind: Kind,
    /// The writes: of each writer in `upto` those after its number in `from`.
    from: Context,
    upto: Context,
    /// What they put in, and none of them took out again.
    added: Survivors,
    /// Earlier writes that they took out, ascending.
    removed: Vec<ShortDot>,
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    Applied,
    /// Seen before.
    Stale,
    /// Something that it builds on has not come: the whole value is needed.
    Gap,
}

/// Held, or removed, by writes of this delta.
impl Seen for Delta {
    fn saw(&self, event: ShortDot) -> bool {
        self.is_within(event) || self.removed.binary_search(&event).is_ok()
    }
}

impl Delta {
    /// One write, from what was before and after at the place that it touched.
    pub(super) fn of_write(
        kind: Kind,
        event: ShortDot,
        previous: u64,
        place: Option<Vec<u8>>,
        before: &Survivors,
        after: Survivors,
    ) -> Delta {
        let mut kept = BTreeSet::new();
        after.each_event(&mut |event| {
            kept.insert(event);
        });
        let mut removed = BTreeSet::new();
        before.each_event(&mut |event| {
            removed.insert(event);
        });
        let removed = removed.difference(&kept).copied().collect();
        let (mut from, mut upto) = (Context::default(), Context::default());
        upto.add(event);
        if previous > 0 {
            from.add(ShortDot { writer: event.writer, seq: previous });
        }
        let added = after.only(event).within(place.map(Arc::from));
        Delta { kind, from, upto, added, removed }
    }

    /// Takes in `other`, so that one delta does what both did. False, and unchanged: they are of
    /// unequal kinds, or leave out writes between the two.
    pub fn merge(&mut self, other: &Delta) -> bool {
        let touches = |dot: ShortDot| {
            let theirs = other.upto.upto(dot.writer);
            theirs == 0
                || self.from.upto(dot.writer) <= theirs && other.from.upto(dot.writer) <= dot.seq
        };
        if self.kind != other.kind || !self.upto.dots().all(touches) {
            return false;
        }
        let ours = Delta { added: Survivors::nothing(self.kind), ..self.clone() };
        self.added.join(&ours, &other.added, other);
        let removed: BTreeSet<ShortDot> =
            [&*self.removed, &*other.removed].concat().into_iter().collect();
        (self.from, self.upto) = (Context::default(), ours.upto.clone());
        self.upto.join(&other.upto);
        for dot in self.upto.dots() {
            let starts = [&ours, other].into_iter().filter(|delta| delta.upto.upto(dot.writer) > 0);
            let seq = starts.map(|delta| delta.from.upto(dot.writer)).min().unwrap_or(0);
            if seq > 0 {
                self.from.add(ShortDot { seq, ..dot });
            }
        }
        self.removed = removed.into_iter().filter(|&event| !self.is_within(event)).collect();
        true
    }

    /// Whether all that the writes build on is in a history.
    pub(super) fn builds_on(&self, history: &Context) -> bool {
        let writers = self.upto.dots().filter(|dot| history.upto(dot.writer) == 0).count();
        history.includes(&self.from)
            && self.removed.iter().all(|&event| history.covers(event))
            && history.writers() + writers <= WRITERS_MAX
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn upto(&self) -> &Context {
        &self.upto
    }

    pub(super) fn added(&self) -> &Survivors {
        &self.added
    }

    /// Whether this is one of the writes.
    pub fn is_within(&self, event: ShortDot) -> bool {
        event.seq > self.from.upto(event.writer) && self.upto.covers(event)
    }

    // Codec.

    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(self.kind.code());
        codec::put_context(out, &self.upto);
        for dot in self.upto.dots() {
            put_varint(out, dot.seq - self.from.upto(dot.writer));
        }
        put_varint(out, self.removed.len() as u64);
        for event in &self.removed {
            put_u64(out, event.writer);
            put_varint(out, event.seq);
        }
        codec::put_survivors(out, &self.added, &self.upto);
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<Delta> {
        let kind = Kind::from_code(r.u8("kind")?).ok_or(DecodeError::Invalid("kind"))?;
        let upto = codec::read_context(r)?;
        let mut from = Context::default();
        for dot in upto.dots() {
            match dot.seq.checked_sub(r.varint("writes")?) {
                Some(0) => {}
                Some(seq) if seq < dot.seq => from.add(ShortDot { seq, ..dot }),
                _ => return Err(DecodeError::Invalid("writes")),
            }
        }
        let count = r.count(DELTA_REMOVED_MAX, 9, "removed")?;
        let removed = (0..count)
            .map(|_| Ok(ShortDot { writer: r.u64("removed writer")?, seq: r.seq("removed seq")? }))
            .collect::<Decoded<Vec<_>>>()?;
        let added = codec::read_survivors(r, &upto, 1)?;
        let delta = Delta { kind, from, upto, added, removed };
        let mut all_new = true;
        delta.added.each_event(&mut |event| all_new &= delta.is_within(event));
        let ascend = delta.removed.windows(2).all(|pair| pair[0] < pair[1]);
        let earlier = delta.removed.iter().all(|&event| event.seq > 0 && !delta.is_within(event));
        if !all_new || !ascend || !earlier || !codec::fits(kind, &delta.added) {
            return Err(DecodeError::Invalid("delta"));
        }
        Ok(delta)
    }
}
