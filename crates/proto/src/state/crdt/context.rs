//! Decides what of a key's history a value includes: for each writer, how many of its writes to
//! this key. Writers count on from what they know, so a number stands for all before it.

use crate::wire::codec::{DecodeError, Decoded, Reader, put_u64, put_varint};

/// Writers of one key. More: a further writer's operation is refused, its state is malformed.
pub const WRITERS_MAX: usize = 1024;

/// Names one write to one key: the `seq`-th of node `writer` to this key. The short form of the
/// node's id keeps a context of five writers under 60 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub writer: u64,
    pub seq: u64,
}

/// A version vector over the writers of one key, ascending by writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context(Vec<(u64, u64)>);

impl Context {
    pub fn upto(&self, writer: u64) -> u64 {
        self.0.binary_search_by_key(&writer, |w| w.0).map_or(0, |at| self.0[at].1)
    }

    pub fn covers(&self, event: Event) -> bool {
        event.seq <= self.upto(event.writer)
    }

    /// True if everything in `other` is in here.
    pub fn includes(&self, other: &Context) -> bool {
        other.0.iter().all(|&(writer, seq)| self.upto(writer) >= seq)
    }

    /// The writer's next write to this key.
    pub fn next(&self, writer: u64) -> Event {
        Event { writer, seq: self.upto(writer) + 1 }
    }

    pub fn add(&mut self, event: Event) {
        match self.0.binary_search_by_key(&event.writer, |w| w.0) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(event.seq),
            Err(at) => self.0.insert(at, (event.writer, event.seq)),
        }
    }

    pub fn join(&mut self, other: &Context) {
        for &(writer, seq) in &other.0 {
            self.add(Event { writer, seq });
        }
    }

    /// The part of this that the writers of `events` have.
    pub fn of_writers(&self, events: &[Event]) -> Context {
        let mut part = Context::default();
        for event in events {
            part.add(Event { writer: event.writer, seq: self.upto(event.writer) });
        }
        part
    }

    pub fn writers(&self) -> usize {
        self.0.len()
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for &(writer, seq) in &self.0 {
            put_u64(out, writer);
            put_varint(out, seq);
        }
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<Context> {
        let mut context = Context::default();
        for _ in 0..r.count(WRITERS_MAX, 9, "context")? {
            let (writer, seq) = (r.u64("context writer")?, r.seq("context seq")?);
            if seq == 0 || context.0.last().is_some_and(|last| last.0 >= writer) {
                return Err(DecodeError::Invalid("context"));
            }
            context.0.push((writer, seq));
        }
        Ok(context)
    }

    /// An event of a value, as a place in the context that comes with it.
    pub(super) fn put_event(&self, out: &mut Vec<u8>, event: Event) {
        let at = self.0.binary_search_by_key(&event.writer, |w| w.0);
        let at = at.expect("a context covers the events of its value");
        put_varint(out, at as u64);
        put_varint(out, self.0[at].1 - event.seq);
    }

    pub(super) fn read_event(&self, r: &mut Reader<'_>) -> Decoded<Event> {
        let at = r.varint("event writer")?;
        let before = r.varint("event seq")?;
        let known = usize::try_from(at).ok().and_then(|at| self.0.get(at));
        let Some(&(writer, upto)) = known else { return Err(DecodeError::Invalid("event writer")) };
        match upto.checked_sub(before) {
            Some(seq) if seq > 0 => Ok(Event { writer, seq }),
            _ => Err(DecodeError::Invalid("event seq")),
        }
    }
}
