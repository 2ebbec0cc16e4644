//! Decides when members that were lost together are told as one event, and when this side of a
//! split may own or must give up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::config::SplitPolicy;
use crate::flow;
use crate::io::{Cut, Event, Member, MemberChange, Outbox, Owning};
use crate::membership::split::{Voter, goes_on};
use crate::membership::table::{ME, Slot};

/// A cut waits at most so many quiet times for the members that are still being lost.
const CUT_WAITS_MAX: u32 = 10;
/// The tag by which a member says that it holds the lease of [`SplitPolicy::Lease`], and its value.
const LEASE_TAG: (&str, &str) = ("split-lease", "held");

#[derive(Debug)]
pub(super) struct Cuts {
    /// Lost since the last cut and not back.
    gone: BTreeMap<NodeId, Arc<Member>>,
    first: Time,
    last: Time,
    /// When the members changed last, whichever way.
    changed: Time,
    /// When the first of those who are lost now was, and when that was at the earliest by the wall
    /// clock: who was accepted later does not vote.
    apart: Option<(Time, u64)>,
    owning: Owning,
    next: Time,
}

impl Cuts {
    pub(super) fn new() -> Cuts {
        Cuts {
            gone: BTreeMap::new(),
            first: Time::ZERO,
            last: Time::ZERO,
            changed: Time::ZERO,
            apart: None,
            owning: Owning::Yes,
            next: Time::ZERO,
        }
    }

    pub(super) fn owning(&self) -> Owning {
        self.owning
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next
    }

    /// A member came, changed or went. What it says of itself matters to a lease only.
    pub(super) fn note(
        &mut self,
        change: MemberChange,
        member: &Arc<Member>,
        policy: SplitPolicy,
        now: Time,
    ) {
        match change {
            MemberChange::Update if policy != SplitPolicy::Lease => return,
            MemberChange::Failed | MemberChange::Leave => {
                if self.gone.is_empty() {
                    self.first = now;
                }
                self.last = now;
                self.gone.insert(member.id, Arc::clone(member));
            }
            MemberChange::Join => drop(self.gone.remove(&member.id)),
            MemberChange::Suspect | MemberChange::Refute => return,
            MemberChange::Update | MemberChange::Reap => {}
        }
        self.changed = now;
        self.next = now;
    }
}

impl Node {
    pub(super) fn run_cuts(&mut self, now: Now, out: &mut Outbox) {
        if self.cuts.next > now.mono {
            return;
        }
        let cut_at = self.cut_at();
        if cut_at <= now.mono {
            let gone: Vec<Arc<Member>> =
                std::mem::take(&mut self.cuts.gone).into_values().collect();
            self.stats.cuts += 1;
            let cut = Cut { gone, alive: self.table.size() };
            self.emit_event(Event::Cut(Arc::new(cut)), out);
        }
        let decided_at = self.decide_owning(now, out);
        let later = |at: Time| if at <= now.mono { Time::NEVER } else { at };
        self.cuts.next = later(self.cut_at()).min(later(decided_at));
    }

    /// When those who are gone are told of: nobody was lost for a while and nobody is doubted, or it
    /// took long enough.
    fn cut_at(&self) -> Time {
        if self.cuts.gone.is_empty() {
            return Time::NEVER;
        }
        let quiet = self.config.cut_quiet;
        let at_most = self.cuts.first + quiet * CUT_WAITS_MAX;
        let since = if self.suspicions.is_empty() { self.cuts.last } else { self.pulse.now };
        (since + quiet).min(at_most)
    }

    /// Looks again whether this side may own; returns when to look next. Taking over waits until
    /// nothing has changed for a while, giving up half as long from the first loss on: it is done when
    /// the other side begins.
    fn decide_owning(&mut self, now: Now, out: &mut Outbox) -> Time {
        if self.config.split_policy == SplitPolicy::None {
            return Time::NEVER;
        }
        let lost = self.table.lost().len();
        let first = match (lost, self.cuts.apart) {
            (0, _) => {
                self.cuts.apart = None;
                now.mono
            }
            (_, Some((first, _))) => first,
            (_, None) => {
                let found = flow::suspicion_min(&self.config, self.table.size());
                let began_ms = now.wall_ms.saturating_sub(found.as_millis() as u64);
                self.cuts.apart = Some((now.mono, began_ms));
                now.mono
            }
        };
        let stable = stable_time(self.config.probe_period, self.table.size() + lost);
        let (give_up, take_over) = (first + stable / 2, self.cuts.changed + stable);
        let (owning, next) = if !self.sessions.synced || self.joins.is_joining() {
            // Who has not found its cluster does not know whom it lacks.
            (Owning::Undecided, now.mono + self.config.probe_period)
        } else if lost == 0 {
            (Owning::Yes, Time::NEVER)
        } else if now.mono < give_up {
            (Owning::Undecided, give_up)
        } else if !self.side_goes_on() {
            (Owning::No, Time::NEVER)
        } else if now.mono < take_over {
            (Owning::Undecided, take_over)
        } else {
            (Owning::Yes, Time::NEVER)
        };
        if owning != self.cuts.owning {
            self.cuts.owning = owning;
            self.emit_event(Event::Owning(owning), out);
        }
        next
    }

    fn side_goes_on(&self) -> bool {
        let voters = |slots: &mut dyn Iterator<Item = Slot>| -> Vec<Voter> {
            slots.filter_map(|slot| self.voter(slot)).collect()
        };
        let here = voters(&mut self.table.live().iter().copied().chain([ME]));
        let lost = voters(&mut self.table.lost().iter().copied());
        goes_on(self.config.split_policy, self.config.split_quorum, &here, &lost)
    }

    fn voter(&self, slot: Slot) -> Option<Voter> {
        let facts = self.table.facts(slot);
        let late = self.cuts.apart.is_some_and(|(_, began)| facts.accepted.wall_ms() > began);
        let holds_lease = facts.tags.get(LEASE_TAG.0).is_some_and(|v| **v == *LEASE_TAG.1);
        (!late).then_some(Voter { accepted: facts.accepted, id: facts.id, holds_lease })
    }
}

/// Membership must stand still so long before a side takes over: ten periods for each factor of ten in
/// members. With periods of a second that is what Akka's resolver waits, 7 s at 5, 30 s at 1,000.
fn stable_time(period: Duration, members: usize) -> Duration {
    period.mul_f64(9.9 * libm::log10(members.max(3) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row H11.
    #[test]
    fn a_side_acts_no_later_than_akka() {
        let akka = [(5, 7), (10, 10), (20, 13), (50, 17), (100, 20), (1000, 30)];
        for (members, seconds) in akka {
            let ours = stable_time(Duration::from_secs(1), members);
            assert!(ours >= Duration::from_secs(6) && ours <= Duration::from_secs(seconds));
        }
    }
}
