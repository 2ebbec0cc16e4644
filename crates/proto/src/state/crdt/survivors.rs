//! Decides what survives when two histories meet: what both hold, and what one holds and the other
//! has never seen. What the other has seen and holds no more was removed (Almeida, Shoker and
//! Baquero 2018, "Delta state replicated data types", figure 3).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::context::{Context, ShortDot};
use crate::base::operation::Kind;

/// Which events one side of a join has seen: those that it does not hold were removed there.
pub(super) trait Seen {
    fn saw(&self, event: ShortDot) -> bool;
}

impl Seen for Context {
    fn saw(&self, event: ShortDot) -> bool {
        self.covers(event)
    }
}

/// What a value holds, by the events that put it there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Survivors {
    /// Bytes by event: siblings of a register, shares of a counter, bounds; empty for a mark.
    Events(BTreeMap<ShortDot, Arc<[u8]>>),
    /// Elements of a set, fields of a map; none is empty.
    Named(BTreeMap<Arc<[u8]>, Survivors>),
}

impl Survivors {
    pub(super) fn nothing(kind: Kind) -> Survivors {
        match kind {
            Kind::Set | Kind::Map => Survivors::Named(BTreeMap::new()),
            _ => Survivors::no_events(),
        }
    }

    pub(super) fn no_events() -> Survivors {
        Survivors::Events(BTreeMap::new())
    }

    /// What is held under a name, or, without one, all of it.
    pub(super) fn part(&self, name: Option<&[u8]>) -> Survivors {
        match name {
            None => self.clone(),
            Some(name) => self.get(name).cloned().unwrap_or_else(Survivors::no_events),
        }
    }

    /// This as what is held under a name, or, without one, as all of it.
    pub(super) fn within(self, name: Option<Arc<[u8]>>) -> Survivors {
        match name {
            None => self,
            Some(_) if self.is_empty() => Survivors::Named(BTreeMap::new()),
            Some(name) => Survivors::Named(BTreeMap::from([(name, self)])),
        }
    }

    /// What one event holds.
    pub(super) fn only(self, event: ShortDot) -> Survivors {
        match self {
            Survivors::Events(mut events) => {
                events.retain(|&held, _| held == event);
                Survivors::Events(events)
            }
            Survivors::Named(named) => {
                let only = named.into_iter().map(|(name, inner)| (name, inner.only(event)));
                Survivors::Named(only.filter(|(_, inner)| !inner.is_empty()).collect())
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Survivors::Events(events) => events.is_empty(),
            Survivors::Named(named) => named.is_empty(),
        }
    }

    pub(super) fn events(&self) -> impl Iterator<Item = (&ShortDot, &Arc<[u8]>)> {
        let events = match self {
            Survivors::Events(events) => Some(events.iter()),
            Survivors::Named(_) => None,
        };
        events.into_iter().flatten()
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (&Arc<[u8]>, &Survivors)> {
        let named = match self {
            Survivors::Named(named) => Some(named.iter()),
            Survivors::Events(_) => None,
        };
        named.into_iter().flatten()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Survivors> {
        match self {
            Survivors::Named(named) => named.get(name),
            Survivors::Events(_) => None,
        }
    }

    /// All events in here, at any depth.
    pub(super) fn each_event(&self, visit: &mut dyn FnMut(ShortDot)) {
        match self {
            Survivors::Events(events) => events.keys().for_each(|&event| visit(event)),
            Survivors::Named(named) => named.values().for_each(|inner| inner.each_event(visit)),
        }
    }

    /// Joins `other`, whose side has seen `theirs`, into this, whose side has seen `ours`. Shapes
    /// that do not fit (no honest writer's doing) are settled by the order of shapes, the same on
    /// both sides.
    pub(super) fn join(&mut self, ours: &dyn Seen, other: &Survivors, theirs: &dyn Seen) {
        match (&mut *self, other) {
            (Survivors::Events(mine), Survivors::Events(other)) => {
                mine.retain(|event, _| other.contains_key(event) || !theirs.saw(*event));
                for (event, bytes) in other.iter().filter(|(event, _)| !ours.saw(**event)) {
                    mine.insert(*event, Arc::clone(bytes));
                }
            }
            (Survivors::Named(mine), Survivors::Named(other)) => {
                mine.retain(|name, inner| {
                    if !other.contains_key(name) {
                        inner.forget(theirs);
                    }
                    !inner.is_empty()
                });
                for (name, inner) in other {
                    join_named(mine, ours, name, inner, theirs);
                }
            }
            (Survivors::Events(_), Survivors::Named(_)) => {
                let mut kept = other.clone();
                kept.forget(ours);
                *self = kept;
            }
            (Survivors::Named(_), Survivors::Events(_)) => self.forget(theirs),
        }
    }

    /// Drops every event that was seen.
    pub(super) fn forget(&mut self, seen: &dyn Seen) {
        match self {
            Survivors::Events(events) => events.retain(|event, _| !seen.saw(*event)),
            Survivors::Named(named) => named.retain(|_, inner| {
                inner.forget(seen);
                !inner.is_empty()
            }),
        }
    }

    /// Holds bytes by one more event. Only for what holds events.
    pub(super) fn put_event(&mut self, event: ShortDot, bytes: &[u8]) {
        if let Survivors::Events(events) = self {
            events.insert(event, bytes.into());
        }
    }
}

fn join_named(
    mine: &mut BTreeMap<Arc<[u8]>, Survivors>,
    ours: &dyn Seen,
    name: &Arc<[u8]>,
    other: &Survivors,
    theirs: &dyn Seen,
) {
    if let Some(inner) = mine.get_mut(name) {
        inner.join(ours, other, theirs);
        if inner.is_empty() {
            mine.remove(name);
        }
        return;
    }
    let mut fresh = other.clone();
    fresh.forget(ours);
    if !fresh.is_empty() {
        mine.insert(Arc::clone(name), fresh);
    }
}
