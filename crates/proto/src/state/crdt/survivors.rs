//! Decides what survives when two histories meet: what both hold, and what one holds and the other
//! has never seen. What the other has seen and holds no more was removed (Almeida, Shoker and
//! Baquero 2018, "Delta state replicated data types", figure 3).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::context::{Context, ShortDot};

/// What a value holds, by the events that put it there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Survivors {
    /// Bytes by event: siblings of a register, shares of a counter, bounds; empty for a mark.
    Events(BTreeMap<ShortDot, Arc<[u8]>>),
    /// Elements of a set, fields of a map; none is empty.
    Named(BTreeMap<Arc<[u8]>, Survivors>),
}

impl Survivors {
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

    /// Joins `other`, which has seen `theirs`, into this, which has seen `ours`. Shapes that do not
    /// fit (no honest writer's doing) are settled by the order of shapes, the same on both sides.
    pub(super) fn join(&mut self, ours: &Context, other: &Survivors, theirs: &Context) {
        match (&mut *self, other) {
            (Survivors::Events(mine), Survivors::Events(other)) => {
                mine.retain(|event, _| other.contains_key(event) || !theirs.covers(*event));
                for (event, bytes) in other.iter().filter(|(event, _)| !ours.covers(**event)) {
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

    /// Drops every event that is covered.
    pub(super) fn forget(&mut self, seen: &Context) {
        match self {
            Survivors::Events(events) => events.retain(|event, _| !seen.covers(*event)),
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
    ours: &Context,
    name: &Arc<[u8]>,
    other: &Survivors,
    theirs: &Context,
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
