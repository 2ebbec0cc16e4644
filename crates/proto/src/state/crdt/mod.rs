//! Decides what values merge instead of replacing each other: registers that keep concurrent
//! writes, counters, sets, flags, bounds, and maps of these. Each is a join-semilattice (rule 1);
//! `survivors` holds the one merge that serves them all.

mod codec;
mod delta;
mod survivors;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use delta::{Delta, Met};
use survivors::Survivors;

use crate::base::context::{Context, ShortDot};
use crate::base::operation::{Kind, Operation, Refused};
use crate::limits::{VALUE_BYTES_MAX, WRITERS_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader};

/// A value that merges, with the history that it includes.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    kind: Kind,
    context: Context,
    survivors: Survivors,
}

impl Merged {
    pub fn new(kind: Kind) -> Merged {
        Merged { kind, context: Context::default(), survivors: Survivors::nothing(kind) }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Everything that either has seen. Values of unequal kinds are settled by the order of kinds.
    pub fn join(&mut self, other: &Merged) {
        if other.kind != self.kind {
            if other.kind > self.kind {
                *self = other.clone();
            }
            return;
        }
        self.survivors.join(&self.context, &other.survivors, &other.context);
        self.context.join(&other.context);
    }

    /// Does what a user wants, as a write of `event`'s writer that is later than all of its writes
    /// in here; returns what it changed as news for the others.
    pub fn apply(&mut self, event: ShortDot, operation: &Operation) -> Result<Delta, Refused> {
        let previous = self.context.upto(event.writer);
        assert!(event.seq > previous, "a writer's numbers rise");
        if previous == 0 && self.context.writers() >= WRITERS_MAX {
            return Err(Refused::Writers);
        }
        let place = place_of(operation);
        let before = self.survivors.part(place.as_deref());
        operate(&mut self.survivors, self.kind, event, operation, &self.context)?;
        self.context.add(event);
        let after = self.survivors.part(place.as_deref());
        Ok(Delta::of_write(self.kind, event, previous, place, &before, after))
    }

    /// Takes others' writes in, if all that they build on is here.
    pub fn meet(&mut self, delta: &Delta) -> Met {
        if self.kind == delta.kind() && self.context.includes(delta.upto()) {
            return Met::Stale;
        }
        if self.kind != delta.kind() || !delta.builds_on(&self.context) {
            return Met::Gap;
        }
        self.survivors.join(&self.context, delta.added(), delta);
        self.context.join(delta.upto());
        Met::Applied
    }

    // Readings.

    /// Holds nothing: to readers as good as absent.
    pub fn is_empty(&self) -> bool {
        self.survivors.is_empty()
    }

    /// Siblings of a register: one unless writes were concurrent.
    pub fn siblings(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.survivors.events().map(|(_, value)| value)
    }

    /// A counter's sum, or a bound; `None` where nothing was ever set.
    pub fn number(&self) -> Option<i128> {
        number(self.kind, &self.survivors)
    }

    pub fn is_enabled(&self) -> bool {
        self.kind == Kind::Flag && !self.survivors.is_empty()
    }

    /// Elements of a set, ascending.
    pub fn elements(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.survivors.named().map(|(name, _)| name)
    }

    /// Fields of a map: kind and name, with the field's value alone.
    pub fn fields(&self) -> impl Iterator<Item = (Kind, &[u8], Merged)> {
        self.survivors.named().filter_map(|(name, inner)| {
            let (&code, name) = name.split_first()?;
            let kind = Kind::from_code(code)?;
            let context = self.context.clone();
            Some((kind, name, Merged { kind, context, survivors: inner.clone() }))
        })
    }

    // Codec.

    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(self.kind.code());
        codec::put_context(out, &self.context);
        codec::put_survivors(out, &self.survivors, &self.context);
    }

    /// Bytes of it, encoded.
    pub fn size(&self) -> usize {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes.len()
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<Merged> {
        let kind = Kind::from_code(r.u8("kind")?).ok_or(DecodeError::Invalid("kind"))?;
        let context = codec::read_context(r)?;
        let survivors = codec::read_survivors(r, &context, 1)?;
        if !codec::fits(kind, &survivors) {
            return Err(DecodeError::Invalid("value shape"));
        }
        Ok(Merged { kind, context, survivors })
    }
}

/// The element or field that an operation touches; `None`: all that the value holds.
fn place_of(operation: &Operation) -> Option<Vec<u8>> {
    match operation {
        Operation::Insert(name) | Operation::Remove(name) => Some(name.clone()),
        Operation::RemoveField { name, kind } | Operation::Field { name, kind, .. } => {
            Some(field(*kind, name))
        }
        _ => None,
    }
}

/// Carries an operation out on what a value of this kind holds, at a writer that has `seen` all of it.
fn operate(
    holds: &mut Survivors,
    kind: Kind,
    event: ShortDot,
    operation: &Operation,
    seen: &Context,
) -> Result<(), Refused> {
    use Operation as Op;
    match (kind, operation, &mut *holds) {
        (_, Op::Clear, _) => holds.forget(seen),
        (Kind::Register, Op::Assign { value, read }, Survivors::Events(_)) => {
            check(value)?;
            holds.forget(read.as_ref().unwrap_or(seen));
            holds.put_event(event, value);
        }
        (Kind::Counter, Op::Add(by), Survivors::Events(events)) => {
            let share = share_of(events, event.writer).unwrap_or(0);
            let share = share.checked_add(*by).ok_or(Refused::Overflow)?;
            events.retain(|e, _| e.writer != event.writer);
            holds.put_event(event, &share.to_le_bytes());
        }
        (Kind::Max | Kind::Min, Op::Offer(offered), Survivors::Events(events)) => {
            let best = share_of(events, event.writer).map_or(*offered, |share| match kind {
                Kind::Max => share.max(*offered),
                _ => share.min(*offered),
            });
            events.retain(|e, _| e.writer != event.writer);
            holds.put_event(event, &best.to_le_bytes());
        }
        (Kind::Flag, Op::Enable, Survivors::Events(_)) => {
            holds.forget(seen);
            holds.put_event(event, &[]);
        }
        (Kind::Flag, Op::Disable, Survivors::Events(_)) => holds.forget(seen),
        (Kind::Set, Op::Insert(element), Survivors::Named(named)) => {
            check(element)?;
            let inner = named.entry(element.as_slice().into()).or_insert_with(Survivors::no_events);
            inner.forget(seen);
            inner.put_event(event, &[]);
        }
        (Kind::Set, Op::Remove(element), Survivors::Named(named)) => {
            forget_in(named, element, seen);
        }
        (Kind::Map, Op::RemoveField { name, kind }, Survivors::Named(named)) => {
            forget_in(named, &field(*kind, name), seen);
        }
        (Kind::Map, Op::Field { name, kind, operation }, Survivors::Named(named)) => {
            check(name)?;
            let field = field(*kind, name);
            if *kind == Kind::Map {
                return Err(Refused::Nested);
            }
            let mut inner =
                named.get(field.as_slice()).cloned().unwrap_or_else(|| Survivors::nothing(*kind));
            operate(&mut inner, *kind, event, operation, seen)?;
            named.remove(field.as_slice());
            if !inner.is_empty() {
                named.insert(field.into(), inner);
            }
        }
        _ => return Err(Refused::Kind { holds: kind }),
    }
    Ok(())
}

fn forget_in(named: &mut BTreeMap<Arc<[u8]>, Survivors>, name: &[u8], seen: &Context) {
    if let Some(inner) = named.get_mut(name) {
        inner.forget(seen);
        if inner.is_empty() {
            named.remove(name);
        }
    }
}

fn share_of(events: &BTreeMap<ShortDot, Arc<[u8]>>, writer: u64) -> Option<i64> {
    events.iter().find(|(e, _)| e.writer == writer).map(|(_, share)| integer(share))
}

fn number(kind: Kind, holds: &Survivors) -> Option<i128> {
    let numbers = holds.events().map(|(_, bytes)| i128::from(integer(bytes)));
    match kind {
        Kind::Counter => Some(numbers.sum()),
        Kind::Max => numbers.max(),
        Kind::Min => numbers.min(),
        _ => None,
    }
}

fn field(kind: Kind, name: &[u8]) -> Vec<u8> {
    [&[kind.code()], name].concat()
}

fn integer(bytes: &[u8]) -> i64 {
    bytes.try_into().map_or(0, i64::from_le_bytes)
}

fn check(bytes: &[u8]) -> Result<(), Refused> {
    if bytes.len() > VALUE_BYTES_MAX { Err(Refused::Length) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(value: &Merged, writer: u64) -> ShortDot {
        // Numbers count all writes of a node, so those to one key leave gaps.
        ShortDot { writer, seq: value.context().upto(writer) + 1 + writer }
    }

    fn joined<'a>(states: impl IntoIterator<Item = &'a Merged>) -> Merged {
        let mut states = states.into_iter();
        let mut all = states.next().unwrap().clone();
        states.for_each(|state| all.join(state));
        all
    }

    #[test]
    fn concurrent_operations_end_as_their_kinds_promise() {
        let at = |writer: u64, from: &Merged, operation: Operation| {
            let mut replica = from.clone();
            replica.apply(next(from, writer), &operation).unwrap();
            replica
        };
        let set = at(1, &Merged::new(Kind::Set), Operation::Insert(b"x".to_vec()));
        let both = joined(&[
            at(1, &set, Operation::Remove(b"x".to_vec())),
            at(2, &set, Operation::Insert(b"x".to_vec())),
        ]);
        assert_eq!(both.elements().count(), 1, "the addition wins");
        let flag = at(1, &Merged::new(Kind::Flag), Operation::Enable);
        let both = joined(&[at(1, &flag, Operation::Disable), at(2, &flag, Operation::Enable)]);
        assert!(both.is_enabled());
        let counter = at(1, &Merged::new(Kind::Counter), Operation::Add(5));
        let both =
            joined(&[at(1, &counter, Operation::Add(2)), at(2, &counter, Operation::Add(-4))]);
        assert_eq!(both.number(), Some(3));
        let max = at(1, &Merged::new(Kind::Max), Operation::Offer(-3));
        assert_eq!(joined(&[at(2, &max, Operation::Offer(9)), max.clone()]).number(), Some(9));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut counter = Merged::new(Kind::Counter);
        counter.apply(next(&counter, 1), &Operation::Add(i64::MAX)).unwrap();
        let before = counter.clone();
        let event = next(&counter, 1);
        assert_eq!(counter.apply(event, &Operation::Add(1)), Err(Refused::Overflow));
        assert_eq!(
            counter.apply(event, &Operation::Enable),
            Err(Refused::Kind { holds: Kind::Counter })
        );
        assert_eq!(counter, before);
        let nested = Operation::Field {
            name: b"m".to_vec(),
            kind: Kind::Map,
            operation: Box::new(Operation::Enable),
        };
        let event = ShortDot { writer: 1, seq: 1 };
        assert_eq!(Merged::new(Kind::Map).apply(event, &nested), Err(Refused::Nested));
    }
}
