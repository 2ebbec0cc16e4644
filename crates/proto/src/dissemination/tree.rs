//! Decides how an event goes down a tree that nobody keeps: whoever has it splits the members that it
//! answers for into parts, and hands each part's event to one member of it, which answers for the rest.
//!
//! Members stand in one order, by zone and then by id. A part is a span of that order, told with the
//! event, so that no two members answer for the same third even where their lists differ: one copy
//! each, by construction (delegation of ranges, El-Ansary et al. 2003; the bars are Plumtree's,
//! Leitao et al. 2007).

use std::time::Duration;

use super::trail::Trail;
use crate::base::hash::{HashKey, domain};
use crate::base::id::NodeId;
use crate::base::rng::Rng;
use crate::base::time::Time;
use crate::limits::{HANDOVERS_MAX, SPANS_TAKEN_MAX};
use crate::membership::facts::Facts;
use crate::membership::table::{ME, Slot, Table};
use crate::wire::codec::{Decoded, Reader, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// Zones that are each told at once; with more of them distance is not looked at.
const ZONES_MAX: usize = 32;
/// Members of a part that are compared for the nearest.
const CANDIDATES: usize = 32;
/// Spans that one member takes of one event: more than one only where somebody failed.
const TAKEN_OF_ONE: usize = 4;

/// Places in the order of members, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: u64,
    pub last: u64,
}

impl Span {
    pub const ALL: Span = Span { first: 0, last: u64::MAX };

    /// "The event that follows is for you to tell to all of these."
    pub fn put(self, out: &mut Vec<u8>) {
        put_frame(out, kind::BRANCH, |out| {
            put_u64(out, self.first);
            put_u64(out, self.last);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Span> {
        let mut r = Reader::new(body);
        Ok(Span { first: r.u64("first place")?, last: r.u64("last place")? })
    }
}

/// "I have this event and answer for the span that begins there."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The first bytes of the sender's id, and the event's number.
    pub origin: u64,
    pub seq: u64,
    pub first: u64,
}

impl Taken {
    pub fn put(self, out: &mut Vec<u8>) {
        put_frame(out, kind::BRANCH_TAKEN, |out| {
            put_u64(out, self.origin);
            put_varint(out, self.seq);
            put_u64(out, self.first);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Taken> {
        let mut r = Reader::new(body);
        Ok(Taken {
            origin: r.u64("sender")?,
            seq: r.varint("event")?,
            first: r.u64("first place")?,
        })
    }
}

/// Live peers by zone and id; sorted anew when the table has changed and somebody asks.
#[derive(Debug, Default)]
pub struct Order {
    places: Vec<(u64, Slot)>,
    me: u64,
    as_of: u64,
}

/// Members that stand together, for one of them to be handed the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub span: Span,
    from: usize,
    to: usize,
}

impl Order {
    pub fn refresh(&mut self, table: &Table, key: &HashKey) {
        if self.as_of == table.index() {
            return;
        }
        self.as_of = table.index();
        self.me = place(key, table.facts(ME));
        self.places.clear();
        self.places.extend(table.live().iter().map(|&s| (place(key, table.facts(s)), s)));
        self.places.sort_unstable();
    }

    /// All peers in a span as one part.
    pub fn part(&self, span: Span) -> Part {
        let from = self.places.partition_point(|p| p.0 < span.first);
        let to = self.places.partition_point(|p| p.0 <= span.last);
        Part { span, from, to: to.max(from) }
    }

    /// Splits a span into about `ways` parts of one size. Where it reaches over several zones, each
    /// other zone is a part, so that the way to it is gone once. No part holds the place of this node.
    pub fn split(&self, span: Span, ways: usize, out: &mut Vec<Part>) {
        out.clear();
        let Part { from, to, .. } = self.part(span);
        let middle = self.places.partition_point(|p| p.0 < self.me).clamp(from, to);
        let zones = self.zones(from, to);
        let by_zone = zones > 1 && zones <= ZONES_MAX;
        let home = self.part(Span { first: self.me & ZONE, last: self.me | !ZONE });
        let mine = home.to.min(to).saturating_sub(home.from.max(from));
        let size = if by_zone { mine } else { to - from }.div_ceil(ways).max(1);
        for (mut start, end) in [(from, middle), (middle, to)] {
            while start < end {
                let zone = if by_zone { self.zone_end(start).min(end) } else { end };
                let away = by_zone && (self.places[start].0 ^ self.me) & ZONE != 0;
                let next = if away { zone } else { zone.min(start + size) };
                out.push(Part {
                    span: self.bounds(span, start, next, middle),
                    from: start,
                    to: next,
                });
                start = next;
            }
        }
    }

    /// Spans of neighbouring parts meet, so that members that this node does not know belong to one.
    fn bounds(&self, span: Span, start: usize, end: usize, middle: usize) -> Span {
        let part = self.part(span);
        let mut bounds = span;
        if start == middle {
            bounds.first = bounds.first.max(self.me.saturating_add(1));
        } else if start > part.from {
            bounds.first = self.places[start].0;
        }
        if end == middle {
            bounds.last = bounds.last.min(self.me.saturating_sub(1));
        } else if end < part.to {
            bounds.last = self.places[end].0.saturating_sub(1);
        }
        bounds
    }

    fn zone_end(&self, start: usize) -> usize {
        let zone = self.places[start].0 | !ZONE;
        self.places.partition_point(|p| p.0 <= zone)
    }

    /// Zones among some places; stops counting when there are too many.
    fn zones(&self, mut from: usize, to: usize) -> usize {
        let mut zones = 0;
        while from < to && zones <= ZONES_MAX {
            from = self.zone_end(from);
            zones += 1;
        }
        zones
    }

    /// Who of a part is handed the event: the nearest of some by chance, none of those that are `never`.
    pub fn pick(
        &self,
        part: Part,
        rng: &mut Rng,
        distance: impl Fn(Slot) -> Option<Duration>,
        never: impl Fn(Slot) -> bool,
    ) -> Option<Slot> {
        let members = self.places.get(part.from..part.to).filter(|m| !m.is_empty())?;
        let start = rng.index(members.len());
        let turned = || members[start..].iter().chain(&members[..start]).map(|p| p.1);
        let near = turned().filter(|&s| !never(s)).take(CANDIDATES);
        near.min_by_key(|&s| distance(s).unwrap_or(Duration::MAX))
    }

    pub fn capacity(&self) -> usize {
        self.places.capacity()
    }
}

/// The upper half of a place tells the zone.
const ZONE: u64 = 0xFFFF_FFFF_0000_0000;

fn place(key: &HashKey, facts: &Facts) -> u64 {
    let zone = facts.zone().map_or(0, |z| key.checksum(domain::ZONE, &[z.as_bytes()]));
    let id = facts.id.short();
    zone & ZONE | (id >> 32 ^ id) & !ZONE
}

/// An event on its way to a member that has not said yet that it has it.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    /// The event, as the log knows it and as the answer names it.
    pub number: u64,
    pub event: (NodeId, u64),
    pub trail: Trail,
    pub span: Span,
    pub to: Slot,
    pub id: NodeId,
    pub due: Time,
    pub wait: Duration,
    /// Copies sent to this member, and members tried before it.
    pub sends: u32,
    pub moves: u32,
}

/// Copies that one member is sent before another is handed its part.
const SENDS_MAX: u32 = 3;
/// Members tried for one part. More: it is left to sessions.
const MOVES_MAX: u32 = 3;

/// What to do about an answer that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    Again,
    Move,
    GiveUp,
}

impl Handover {
    pub fn late(&self, gone: bool) -> Late {
        match (gone || self.sends >= SENDS_MAX, self.moves < MOVES_MAX) {
            (false, _) => Late::Again,
            (true, true) => Late::Move,
            (true, false) => Late::GiveUp,
        }
    }
}

/// Events under way from this node, and spans that it answers for.
#[derive(Debug)]
pub struct Tree {
    pub order: Order,
    pub rng: Rng,
    /// The parts of the event being handed on; kept, so that nothing is allocated for one.
    pub parts: Vec<Part>,
    waiting: Vec<Handover>,
    /// Of late: which event (by the first bytes of its sender), which span; the oldest is replaced.
    taken: Vec<(u64, u64, Span)>,
    oldest: usize,
    next: Time,
}

impl Tree {
    pub fn new(seed: &[u8; 32]) -> Tree {
        Tree {
            order: Order::default(),
            rng: Rng::fork(seed, "tree"),
            parts: Vec::new(),
            waiting: Vec::new(),
            taken: Vec::new(),
            oldest: 0,
            next: Time::NEVER,
        }
    }

    pub fn next_deadline(&self) -> Time {
        self.next
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Remembers a span; false if it was taken already, or too many of the same event were.
    pub fn take(&mut self, origin: u64, seq: u64, span: Span) -> bool {
        let mut of_one = self.taken.iter().filter(|t| (t.0, t.1) == (origin, seq));
        if of_one.any(|t| t.2 == span) {
            return false;
        }
        if self.taken.iter().filter(|t| (t.0, t.1) == (origin, seq)).count() >= TAKEN_OF_ONE {
            return false;
        }
        if self.taken.len() < SPANS_TAKEN_MAX {
            self.taken.push((origin, seq, span));
        } else {
            self.taken[self.oldest] = (origin, seq, span);
            self.oldest = (self.oldest + 1) % SPANS_TAKEN_MAX;
        }
        true
    }

    /// Waits for an answer; false if too many are waited for.
    pub fn expect(&mut self, handover: Handover) -> bool {
        let fits = self.waiting.len() < HANDOVERS_MAX;
        if fits {
            self.next = self.next.min(handover.due);
            self.waiting.push(handover);
        }
        fits
    }

    /// Returns what was answered.
    pub fn answered(&mut self, by: NodeId, taken: Taken) -> Option<Handover> {
        let of = |h: &Handover| {
            let named = (h.event.0.short(), h.event.1, h.span.first);
            h.id == by && named == (taken.origin, taken.seq, taken.first)
        };
        let answered = self.waiting.iter().position(of).map(|at| self.waiting.swap_remove(at));
        if self.waiting.is_empty() {
            self.next = Time::NEVER;
        }
        answered
    }

    /// Nobody listens where this member was: it is not waited for.
    pub fn refused(&mut self, to: Slot, now: Time) {
        for handover in self.waiting.iter_mut().filter(|h| h.to == to) {
            (handover.due, handover.sends) = (now, SENDS_MAX);
            self.next = now;
        }
    }

    /// Takes out one that is late.
    pub fn late(&mut self, now: Time) -> Option<Handover> {
        if self.next > now {
            return None;
        }
        let late = self.waiting.iter().position(|h| h.due <= now);
        let found = late.map(|at| self.waiting.swap_remove(at));
        if found.is_none() {
            self.next = self.waiting.iter().map(|h| h.due).min().unwrap_or(Time::NEVER);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::wire::frame::Frames;
    use proptest::prelude::*;

    fn order(places: &[u64], me: u64) -> Order {
        let mut sorted: Vec<u64> = places.iter().copied().filter(|&p| p != me).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let places = sorted.into_iter().enumerate().map(|(at, p)| (p, at as Slot + 1)).collect();
        Order { places, me, as_of: 0 }
    }

    /// Copies that each place gets when every member splits as it should.
    fn copies(places: &[u64], me: u64, span: Span, ways: usize, got: &mut Vec<u64>, depth: usize) {
        assert!(depth < 64, "a tree of {} is no deeper than its members", places.len());
        let order = order(places, me);
        let (mut parts, mut rng) = (Vec::new(), Rng::from_u64(me));
        order.split(span, ways, &mut parts);
        for part in parts {
            let slot = order.pick(part, &mut rng, |_| None, |_| false).expect("no part is empty");
            let child = order.places[slot as usize - 1].0;
            assert!(part.span.first <= child && child <= part.span.last);
            assert!(me < part.span.first || part.span.last < me, "a part without this node");
            got.push(child);
            copies(places, child, part.span, ways, got, depth + 1);
        }
    }

    proptest! {
        #[test]
        fn everybody_gets_one_copy_in_any_zones(ids in proptest::collection::btree_set(any::<u32>(), 1..120), zones in 1u64..50, ways in 1usize..9) {
            let places: Vec<u64> = ids.iter().map(|&id| (u64::from(id) % zones) << 32 | u64::from(id)).collect();
            let mut got = Vec::new();
            copies(&places, places[0], Span::ALL, ways, &mut got, 0);
            got.sort_unstable();
            let mut others: Vec<u64> = places[1..].to_vec();
            others.sort_unstable();
            prop_assert_eq!(got, others);
        }

        #[test]
        fn frames_round_trip(first: u64, last: u64, origin: u64, seq: u64) {
            let (span, taken) = (Span { first, last }, Taken { origin, seq, first });
            let mut out = Vec::new();
            span.put(&mut out);
            taken.put(&mut out);
            let bodies: Vec<&[u8]> = Frames::new(&out).map(|f| f.unwrap().1).collect();
            prop_assert_eq!(Span::decode(bodies[0]).unwrap(), span);
            prop_assert_eq!(Taken::decode(bodies[1]).unwrap(), taken);
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>, first: u64, last: u64, me: u64, places: Vec<u64>) {
            let _ = (Span::decode(&bytes), Taken::decode(&bytes));
            let mut parts = Vec::new();
            order(&places, me).split(Span { first, last }, 3, &mut parts);
        }
    }

    #[test]
    fn a_span_is_taken_once_and_an_event_a_few_times() {
        let mut tree = Tree::new(&[0; 32]);
        assert!(tree.take(1, 1, Span::ALL));
        assert!(!tree.take(1, 1, Span::ALL));
        let more = (1..9).filter(|&first| tree.take(1, 1, Span { first, last: 9 })).count();
        assert_eq!(more, TAKEN_OF_ONE - 1);
        for seq in 0..2 * SPANS_TAKEN_MAX as u64 {
            assert!(tree.take(2, seq, Span::ALL));
        }
        assert_eq!(tree.taken.len(), SPANS_TAKEN_MAX);
    }
}
