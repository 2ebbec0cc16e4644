//! Decides what values merge instead of replacing each other: registers that keep concurrent
//! writes, counters, sets, flags, bounds, and maps of these. Each is a join-semilattice (rule 1);
//! `survivors` holds the one merge that serves them all.

mod codec;
mod survivors;

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// One write alone: bytes of its own size, whatever the value holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    pub kind: Kind,
    pub event: ShortDot,
    /// The writer's write to this key before this one; 0: none.
    pub previous: u64,
    /// What the writer had seen of the events that the operation may remove.
    pub seen: Context,
    pub operation: Operation,
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

impl Merged {
    pub fn new(kind: Kind) -> Merged {
        Merged { kind, context: Context::default(), survivors: empty(kind) }
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
    /// in here; returns it as news for the others.
    pub fn apply(&mut self, event: ShortDot, operation: Operation) -> Result<Delta, Refused> {
        let previous = self.context.upto(event.writer);
        assert!(event.seq > previous, "a writer's numbers rise");
        if previous == 0 && self.context.writers() >= WRITERS_MAX {
            return Err(Refused::Writers);
        }
        let seen = self.context.of_writers(&touched(&self.survivors, &operation));
        operate(&mut self.survivors, self.kind, event, &operation, &seen)?;
        self.context.add(event);
        Ok(Delta { kind: self.kind, event, previous, seen, operation })
    }

    /// Takes another's write in, if all that it builds on is here.
    pub fn meet(&mut self, delta: &Delta) -> Met {
        let (event, known) = (delta.event, self.context.upto(delta.event.writer));
        if event.seq <= known {
            return Met::Stale;
        }
        let builds = delta.previous == known && self.context.includes(&delta.seen);
        let fits = builds && self.kind == delta.kind && self.context.writers() < WRITERS_MAX;
        let (operation, seen) = (&delta.operation, &delta.seen);
        if !fits || operate(&mut self.survivors, self.kind, event, operation, seen).is_err() {
            return Met::Gap;
        }
        self.context.add(event);
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

    pub fn read(r: &mut Reader<'_>) -> Decoded<Merged> {
        let kind = Kind::from_code(r.u8("kind")?).ok_or(DecodeError::Invalid("kind"))?;
        let context = codec::read_context(r)?;
        let survivors = codec::read_survivors(r, &context, 1)?;
        let fits =
            matches!(survivors, Survivors::Named(_)) == matches!(kind, Kind::Set | Kind::Map);
        if !fits {
            return Err(DecodeError::Invalid("value shape"));
        }
        Ok(Merged { kind, context, survivors })
    }
}

/// Events that an operation may remove.
fn touched(holds: &Survivors, operation: &Operation) -> Vec<ShortDot> {
    let mut events = Vec::new();
    let within = match operation {
        Operation::Insert(name) | Operation::Remove(name) => holds.get(name),
        Operation::RemoveField { name, kind } => holds.get(&field(*kind, name)),
        Operation::Field { name, kind, operation } => {
            return holds
                .get(&field(*kind, name))
                .map_or(events, |inner| touched(inner, operation));
        }
        // A writer's share is its own to replace.
        Operation::Add(_) | Operation::Offer(_) => None,
        Operation::Assign { .. } | Operation::Enable | Operation::Disable | Operation::Clear => {
            Some(holds)
        }
    };
    if let Some(within) = within {
        within.each_event(&mut |event| events.push(event));
    }
    events
}

/// Carries an operation out on what a value of this kind holds. What its writer had not `seen`
/// stays: so the writer and everybody who takes the write in come to the same.
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
            let inner = named.entry(element.as_slice().into()).or_insert_with(no_events);
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
            let mut inner = named.get(field.as_slice()).cloned().unwrap_or_else(|| empty(*kind));
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

fn empty(kind: Kind) -> Survivors {
    match kind {
        Kind::Set | Kind::Map => Survivors::Named(BTreeMap::new()),
        _ => no_events(),
    }
}

fn no_events() -> Survivors {
    Survivors::Events(BTreeMap::new())
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
    use crate::base::rng::Rng;

    fn next(value: &Merged, writer: u64) -> ShortDot {
        // Numbers count all writes of a node, so those to one key leave gaps.
        ShortDot { writer, seq: value.context().upto(writer) + 1 + writer }
    }

    const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];

    fn draw(rng: &mut Rng, kind: Kind, replica: &Merged) -> Operation {
        let name = NAMES[rng.index(3)].to_vec();
        let number = rng.below(20) as i64 - 10;
        match kind {
            Kind::Register => {
                let read = rng.chance(0.5).then(|| replica.context().clone());
                Operation::Assign { value: name, read }
            }
            Kind::Counter => Operation::Add(number),
            Kind::Set if rng.chance(0.6) => Operation::Insert(name),
            Kind::Set => Operation::Remove(name),
            Kind::Flag if rng.chance(0.5) => Operation::Enable,
            Kind::Flag => Operation::Disable,
            Kind::Max | Kind::Min => Operation::Offer(number),
            Kind::Map => {
                let kind = Kind::ALL[rng.index(6)];
                if rng.chance(0.2) {
                    return Operation::RemoveField { name, kind };
                }
                let operation = Box::new(draw(rng, kind, replica));
                Operation::Field { name, kind, operation }
            }
        }
    }

    /// States and deltas of three replicas that write, take deltas in, and join.
    fn history(rng: &mut Rng, kind: Kind, steps: usize) -> (Vec<Merged>, Vec<Delta>) {
        let mut replicas = vec![Merged::new(kind); 3];
        let (mut states, mut deltas): (Vec<Merged>, Vec<Delta>) = (Vec::new(), Vec::new());
        for _ in 0..steps {
            let at = rng.index(3);
            if rng.chance(0.6) {
                let operation = draw(rng, kind, &replicas[at]);
                let event = next(&replicas[at], at as u64);
                deltas.push(replicas[at].apply(event, operation).unwrap());
            } else if rng.chance(0.5) && !deltas.is_empty() {
                let delta = deltas[rng.index(deltas.len())].clone();
                replicas[at].meet(&delta);
            } else {
                let other = replicas[(at + 1) % 3].clone();
                replicas[at].join(&other);
            }
            states.push(replicas[at].clone());
        }
        (states, deltas)
    }

    fn joined<'a>(states: impl IntoIterator<Item = &'a Merged>) -> Merged {
        let mut states = states.into_iter();
        let mut all = states.next().unwrap().clone();
        states.for_each(|state| all.join(state));
        all
    }

    /// Rule 1 (row D6): any order, grouping and repetition of joins gives the same.
    #[test]
    fn joins_are_associative_commutative_and_idempotent() {
        let mut rng = Rng::from_u64(1);
        for kind in Kind::ALL {
            for _ in 0..150 {
                let (states, _) = history(&mut rng, kind, 24);
                let all = joined(&states);
                let mut twice: Vec<&Merged> = states.iter().chain(&states).collect();
                rng.shuffle(&mut twice);
                assert_eq!(joined(twice), all, "{kind:?}");
                let half = states.len() / 2;
                let halves = [joined(&states[..half]), joined(&states[half..])];
                assert_eq!(joined(&halves), all, "{kind:?}");
            }
        }
    }

    /// A write alone does what the whole state of its writer would.
    #[test]
    fn deltas_come_to_the_same_as_whole_states() {
        let mut rng = Rng::from_u64(2);
        for kind in Kind::ALL {
            for _ in 0..150 {
                let (states, mut deltas) = history(&mut rng, kind, 24);
                rng.shuffle(&mut deltas);
                let mut taken = Merged::new(kind);
                for _ in 0..deltas.len() {
                    deltas.retain(|delta| taken.meet(delta) == Met::Gap);
                }
                assert!(deltas.is_empty(), "{kind:?}: {deltas:?} build on what never came");
                assert_eq!(taken, joined(&states), "{kind:?}");
            }
        }
    }

    #[test]
    fn values_round_trip_and_noise_is_refused() {
        let mut rng = Rng::from_u64(3);
        for kind in Kind::ALL {
            for _ in 0..60 {
                let (states, _) = history(&mut rng, kind, 12);
                let state = states.last().unwrap();
                let mut bytes = Vec::new();
                state.put(&mut bytes);
                let mut r = Reader::new(&bytes);
                assert_eq!(Merged::read(&mut r).as_ref(), Ok(state));
                assert!(r.is_empty());
                for _ in 0..20 {
                    let mut noise = bytes.clone();
                    let at = rng.index(noise.len());
                    noise[at] ^= 1 << rng.below(8);
                    let _ = Merged::read(&mut Reader::new(&noise)); // it may only not panic
                }
            }
        }
    }

    /// PAPERS 10: two clients, fifty read-write cycles each on one key, interleaved so that each
    /// writes what it read before the other's last write: version vectors per server keep all
    /// hundred, dotted ones the two that are concurrent.
    #[test]
    fn two_interleaved_clients_leave_two_siblings() {
        let mut register = Merged::new(Kind::Register);
        let mut read = [Context::default(), Context::default()];
        for round in 0..100u8 {
            let client = usize::from(round % 2);
            let before = Some(read[client].clone());
            let operation = Operation::Assign { value: vec![round], read: before };
            register.apply(next(&register, 7), operation).unwrap();
            read[client] = register.context().clone();
        }
        assert_eq!(register.siblings().count(), 2);
    }

    #[test]
    fn concurrent_operations_end_as_their_kinds_promise() {
        let at = |writer: u64, from: &Merged, operation: Operation| {
            let mut replica = from.clone();
            replica.apply(next(from, writer), operation).unwrap();
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
        counter.apply(next(&counter, 1), Operation::Add(i64::MAX)).unwrap();
        let before = counter.clone();
        let event = next(&counter, 1);
        assert_eq!(counter.apply(event, Operation::Add(1)), Err(Refused::Overflow));
        assert_eq!(
            counter.apply(event, Operation::Enable),
            Err(Refused::Kind { holds: Kind::Counter })
        );
        assert_eq!(counter, before);
        let nested = Operation::Field {
            name: b"m".to_vec(),
            kind: Kind::Map,
            operation: Box::new(Operation::Enable),
        };
        let event = ShortDot { writer: 1, seq: 1 };
        assert_eq!(Merged::new(Kind::Map).apply(event, nested), Err(Refused::Nested));
    }
}
