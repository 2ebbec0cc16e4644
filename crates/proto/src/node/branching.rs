//! Decides who is handed an event when it goes down the tree, how long an answer is waited for, and
//! who takes the place of a member that does not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::config::Broadcast;
use crate::detection::coordinates::Coordinates;
use crate::dissemination::events::StoredEvent;
use crate::dissemination::trail::Trail;
use crate::dissemination::tree::{Handover, Late, Span, Taken, Tree};
use crate::io::Outbox;
use crate::membership::table::{Slot, Table};

/// The tree, and who handed this node the event that is being read.
#[derive(Debug)]
pub(super) struct Branches {
    pub tree: Tree,
    pub handed: Option<(Span, SocketAddr)>,
}

impl Branches {
    pub(super) fn new(seed: &[u8; 32]) -> Branches {
        Branches { tree: Tree::new(seed), handed: None }
    }
}

/// An event as it is handed from member to member.
#[derive(Clone, Copy)]
struct Passed {
    number: u64,
    event: (NodeId, u64),
    trail: Trail,
    span: Span,
    moves: u32,
}

impl Node {
    /// Says that this node has the event; an event that it had is told on only for a span that is new.
    pub(super) fn take_branch(
        &mut self,
        (origin, seq): (NodeId, u64),
        number: Option<u64>,
        handed: (Span, SocketAddr),
        now: Time,
        out: &mut Outbox,
    ) {
        let (span, from) = handed;
        let start = self.begin(out);
        Taken { origin: origin.short(), seq, first: span.first }.put(&mut out.bytes);
        self.count_bytes(super::packets::Spent::Rumours, out.bytes.len() - start);
        self.send_bare(start, from, out);
        if let Some(number) = number
            && self.branches.tree.take(origin.short(), seq, span)
        {
            self.hand_on((origin, seq), number, span, now, out);
        }
    }

    /// Hands an event to one member for each part of a span.
    pub(super) fn hand_on(
        &mut self,
        event: (NodeId, u64),
        number: u64,
        span: Span,
        now: Time,
        out: &mut Outbox,
    ) {
        if !self.config.rumours {
            return;
        }
        let trail = self.receipts.trail.anew();
        let mut parts = std::mem::take(&mut self.branches.tree.parts);
        self.branches.tree.order.refresh(&self.table, &self.key);
        self.branches.tree.order.split(span, self.config.eager_fanout, &mut parts);
        for part in &parts {
            let passed = Passed { number, event, trail, span: part.span, moves: 0 };
            self.hand_to_one(passed, None, now, out);
        }
        self.branches.tree.parts = parts;
    }

    /// Hands a part to one of its members other than `not`; false if there is none.
    fn hand_to_one(
        &mut self,
        passed: Passed,
        not: Option<Slot>,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        let Tree { order, rng, .. } = &mut self.branches.tree;
        order.refresh(&self.table, &self.key);
        let (table, refused) = (&self.table, &self.choice.refused);
        let coordinates = &self.coordinates;
        let distance = |slot| expected_rtt(table, coordinates, slot);
        let never = |slot| Some(slot) == not || table.id(slot) == passed.event.0;
        let doubtful = |slot| table.is_suspect(slot) || refused.contains(slot, now);
        let part = order.part(passed.span);
        let sound = order.pick(part, rng, distance, |slot| never(slot) || doubtful(slot));
        let Some(to) = sound.or_else(|| order.pick(part, rng, distance, never)) else {
            return false;
        };
        let wait = self.answer_time(to);
        let Passed { number, event, trail, span, moves } = passed;
        let (id, due) = (self.table.id(to), now + wait);
        let handover = Handover { number, event, trail, span, to, id, due, wait, sends: 0, moves };
        self.hand_over(handover, now, out);
        true
    }

    /// Sends the event to whom it is handed, and waits for the answer.
    fn hand_over(&mut self, mut handover: Handover, now: Time, out: &mut Outbox) {
        let Some(event) = self.events.by_number(handover.number) else { return };
        let event: Arc<StoredEvent> = Arc::clone(event);
        let start = self.begin(out);
        handover.span.put(&mut out.bytes);
        handover.trail.put(&mut out.bytes, now);
        event.put(&mut out.bytes, &self.key, now);
        crate::wire::packet::seal(&mut out.bytes, start, &self.key);
        let to = self.table.addr(handover.to);
        self.send_again(start, to, out);
        self.stats.rumours_event_sent += 1;
        handover.sends += 1;
        handover.due = now + handover.wait;
        if !self.branches.tree.expect(handover) {
            self.stats.branches_untracked += 1;
        }
    }

    pub(super) fn branch_taken(&mut self, taken: Taken, by: NodeId, now: Time) {
        let Some(handover) = self.branches.tree.answered(by, taken) else { return };
        // Of a copy sent again nobody knows which one is answered (Karn and Partridge 1987).
        if handover.sends == 1 && self.table.find(by) == Some(handover.to) {
            let sent = handover.due - handover.wait;
            self.table.measured(handover.to, now.since(sent));
        }
    }

    pub(super) fn branch_refused(&mut self, to: SocketAddr, now: Time) {
        let at = |slot: &Slot| self.table.addr(*slot) == to;
        if self.branches.tree.waiting() > 0
            && let Some(slot) = self.table.live().iter().copied().find(at)
        {
            self.branches.tree.refused(slot, now);
        }
    }

    pub(super) fn run_branches(&mut self, now: Now, out: &mut Outbox) {
        while let Some(handover) = self.branches.tree.late(now.mono) {
            let gone = !self.table.in_use(handover.to)
                || self.table.id(handover.to) != handover.id
                || !self.table.is_live(handover.to);
            match handover.late(gone) {
                Late::Again => {
                    self.stats.branches_again += 1;
                    self.hand_over(handover, now.mono, out);
                }
                Late::Move => {
                    let Handover { number, event, trail, span, to, moves, .. } = handover;
                    let passed = Passed { number, event, trail, span, moves: moves + 1 };
                    let moved = self.hand_to_one(passed, Some(to), now.mono, out);
                    self.stats.branches_moved += u64::from(moved);
                }
                // Fingerprints will differ, and a session brings it.
                Late::GiveUp => self.stats.branches_given_up += 1,
            }
        }
    }

    /// How long an answer may take: three copies and another member within a tick where round trips are short.
    fn answer_time(&self, to: Slot) -> Duration {
        let usual = match self.receipts.usual_rtt {
            Duration::ZERO => self.config.tick,
            usual => usual * 3,
        };
        let known = match self.table.rtt(to) {
            Some((mean, deviation)) => mean + deviation * 4,
            None => expected_rtt(&self.table, &self.coordinates, to).unwrap_or_default() * 2,
        };
        usual.max(known).max(self.config.tick / 4)
    }

    pub(super) fn goes_by_tree(&self) -> bool {
        self.config.broadcast == Broadcast::Tree
    }
}

/// The way to a member and back: as measured, else by where both are.
fn expected_rtt(table: &Table, coordinates: &Coordinates, slot: Slot) -> Option<Duration> {
    let measured = table.rtt(slot).map(|(mean, _)| mean);
    measured.or_else(|| {
        let (from, to) = (coordinates.own()?, coordinates.of(slot)?);
        Some(from.round_trip(&to).estimate)
    })
}
