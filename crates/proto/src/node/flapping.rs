//! Decides what is told of members that come and go over and over: no more than is needed for all to
//! know in the end (row O5).

use super::Node;
use crate::base::time::Time;
use crate::dissemination::queue::Topic;
use crate::flow::buckets::{Buckets, Terms};
use crate::io::{Alarm, MemberChange, Outbox};
use crate::membership::facts::Facts;
use crate::membership::flaps::Flaps;
use crate::membership::table::{ME, Slot, name_hash};

/// One change of a suppressed member is told in so many probe periods, and one doubt.
const CALM_PERIODS: f32 = 30.0;

#[derive(Debug, Default)]
pub(super) struct Flapping {
    flaps: Flaps,
    changes: Buckets,
    doubts: Buckets,
}

impl Node {
    pub(super) fn flapped(&mut self, slot: Slot, now: Time, out: &mut Outbox) {
        self.stats.flaps += 1;
        let name = name_hash(&self.table.facts(slot).name);
        if self.flapping.flaps.add(name, self.config.flap_half_life, now) {
            self.stats.flaps_suppressed += 1;
            let name = self.table.facts(slot).name.to_string();
            self.alarm(Alarm::Flapping { name }, now, out);
            self.member_event(MemberChange::Update, slot, out);
        }
    }

    pub(super) fn is_suppressed(&self, slot: Slot) -> bool {
        let flaps = &self.flapping.flaps;
        let name = || name_hash(&self.table.facts(slot).name);
        slot != ME
            && !flaps.is_empty()
            && flaps.is_suppressed(name(), self.config.flap_half_life, self.pulse.now)
    }

    /// Whether others hear of a change of this member, or of doubt, from this node. What they do not
    /// hear, sessions bring.
    pub(super) fn may_tell_of(&mut self, slot: Slot, topic: Topic, now: Time) -> bool {
        if !self.is_suppressed(slot) {
            return true;
        }
        let per_second = 1.0 / (self.config.probe_period.as_secs_f32() * CALM_PERIODS);
        let terms = Terms { capacity: 1.0, per_second };
        let buckets = match topic {
            Topic::Accusation => &mut self.flapping.doubts,
            _ => &mut self.flapping.changes,
        };
        let told = buckets.left(slot, terms, now) >= 1.0;
        if told {
            buckets.take(slot, 1.0, terms, now);
        } else {
            self.stats.flaps_untold += 1;
            self.sessions.members_pace.overrun();
        }
        told
    }

    /// Those that were calm for long enough are told of like anybody again.
    pub(super) fn run_flaps(&mut self, now: Time, out: &mut Outbox) {
        if self.flapping.flaps.is_empty() {
            return;
        }
        for name in self.flapping.flaps.fade(self.config.flap_half_life, now) {
            let mut released = Vec::new();
            self.table.each_of_hash(name, |slot| released.push(slot));
            released.retain(|&slot| slot != ME && self.table.is_live(slot));
            for slot in released {
                self.member_event(MemberChange::Update, slot, out);
            }
        }
    }
}

/// Whether these are the facts of a process that was started anew, or moved.
pub(super) fn is_another_start(before: &Facts, after: &Facts) -> bool {
    before.boot != after.boot || before.addr != after.addr
}
