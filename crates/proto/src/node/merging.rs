//! Decides how values that merge are written, and which writes travel without the value: those to
//! large ones, while they are rumours. Who lacks what they build on, and everybody who was away, gets
//! the value when states are compared.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::packets::Via;
use super::{Node, reply};
use crate::base::context::ShortDot;
use crate::base::operation::{Kind, Operation};
use crate::base::time::{Now, Time};
use crate::dissemination::queue::Topic;
use crate::io::{Alarm, CommandError, CommandId, Event, Outbox};
use crate::limits::{DELTAS_KEPT_MAX, VALUE_BYTES_MAX};
use crate::state::crdt::Merged;
use crate::state::delta::EntryDelta;
use crate::state::entry::{Advert, Entry};
use crate::state::store::{Applied, EntrySlot, Kept};

/// A first gap is forgotten after so many ticks: the next one may be late again.
const GAP_TICKS: u32 = 10;

/// What is told of entries instead of their values, by place.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    kept: BTreeMap<EntrySlot, Told>,
    /// Entries for which a delta came without its base, and from when on another one is enough to
    /// fetch the value.
    gaps: BTreeMap<EntrySlot, Time>,
}

/// Writes to one key that are under way.
#[derive(Debug)]
struct Told {
    /// Oldest first, each with when it came.
    parts: VecDeque<(Time, EntryDelta)>,
    /// As many of them as one rumour takes, the newest before all: so who missed one gets it with the
    /// next.
    together: EntryDelta,
}

impl Deltas {
    pub(super) fn of(&self, slot: EntrySlot) -> Option<&EntryDelta> {
        self.kept.get(&slot).map(|told| &told.together)
    }

    /// Whether a further delta without its base is worth the value: what it lacks is not merely late.
    fn is_lacking(&mut self, slot: EntrySlot, tick: Duration, now: Time) -> bool {
        let due = self.gaps.get(&slot).copied().filter(|&due| now < due + tick * GAP_TICKS);
        let lacking = due.is_some_and(|due| due <= now);
        if lacking || due.is_none() {
            if self.gaps.len() >= DELTAS_KEPT_MAX {
                self.gaps.pop_first();
            }
            self.gaps.insert(slot, now + tick);
        }
        lacking
    }

    /// Adds a write to those that came later than `since`.
    fn keep(&mut self, slot: EntrySlot, delta: EntryDelta, since: Time, now: Time) {
        let earlier = self.kept.remove(&slot).map(|told| told.parts).unwrap_or_default();
        let mut parts: VecDeque<_> = earlier.into_iter().filter(|&(at, _)| at > since).collect();
        let mut together = delta.clone();
        let fit = parts.iter().rev().take_while(|(_, part)| together.merge(part)).count();
        parts.drain(..parts.len() - fit);
        parts.push_back((now, delta));
        if self.kept.len() >= DELTAS_KEPT_MAX {
            self.kept.pop_first();
        }
        self.kept.insert(slot, Told { parts, together });
    }
}

impl Node {
    /// Does something to a value that merges.
    pub(super) fn update(
        &mut self,
        command: CommandId,
        keyspace: String,
        key: Vec<u8>,
        kind: Kind,
        operation: Operation,
        now: Now,
        out: &mut Outbox,
    ) {
        let writes = vec![(key, None)];
        let may =
            self.may_update(&keyspace, kind).and_then(|()| self.may_accept(&keyspace, &writes));
        let merged = may.and_then(|()| {
            let event = ShortDot { writer: self.id.short(), seq: self.writes.next_seq() };
            let mut value = self.value_to_update(&keyspace, &writes[0].0, kind)?;
            let change = value.apply(event, &operation).map_err(CommandError::Operation)?;
            may_grow_to(&value, self.store.find(&keyspace, &writes[0].0))?;
            Ok((value, change))
        });
        let (merged, change) = match merged {
            Ok(merged) => merged,
            Err(error) => {
                self.count_refusal(&error);
                return reply(out, command, Err(error));
            }
        };
        let mut entries = self.number(&keyspace, writes, now.wall_ms);
        entries[0].set_merged(merged);
        self.make_durable(command, entries, Some(change), now, out);
    }

    /// What an operation builds on: own writes on their way to the disk included.
    pub(super) fn value_to_update(
        &self,
        keyspace: &str,
        key: &[u8],
        kind: Kind,
    ) -> Result<Merged, CommandError> {
        let same = |e: &&Entry| *e.keyspace == *keyspace && *e.key == *key;
        let pending = self.writes.waiting().filter(same);
        let standing = self.store.find(keyspace, key).map(|kept| &kept.entry);
        let mut value = Merged::new(kind);
        for entry in standing.into_iter().chain(pending) {
            match &entry.merged {
                Some(merged) if merged.kind() == kind => value.join(merged),
                Some(merged) => return Err(CommandError::Kind { holds: merged.kind().as_str() }),
                None if entry.value.is_some() => return Err(CommandError::Kind { holds: "value" }),
                None => {}
            }
        }
        Ok(value)
    }

    /// A first write creates a keyspace; what an operation builds on must be known.
    fn may_update(&self, keyspace: &str, kind: Kind) -> Result<(), CommandError> {
        self.may_read(keyspace)?;
        self.policy_admits(keyspace, Some(kind))
    }

    /// What is told of an entry that has just changed: its value where there is no delta.
    pub(super) fn keep_delta(&mut self, slot: EntrySlot, delta: Option<EntryDelta>, now: Time) {
        let Some(delta) = delta else {
            self.writes.deltas.kept.remove(&slot);
            return;
        };
        let told = self.queue.has(Topic::State, u64::from(slot));
        let since = if told { now - self.spread_time() } else { now };
        self.writes.deltas.keep(slot, delta, since, now);
    }

    pub(super) fn apply_delta(
        &mut self,
        delta: EntryDelta,
        via: Via,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) {
        if self.has_unknown_own(&delta) {
            let alarm = Alarm::IdentityTaken { id: self.id };
            return self.emit_event(Event::Alarm(alarm), out);
        }
        if self.is_unheard_of(delta.dot.origin) {
            self.stats.entries_unheard_of += 1;
            return;
        }
        let writer = delta.dot.origin;
        if !self.may_bring(writer, now.mono) {
            self.overrun();
            return;
        }
        self.follow_clock(delta.stamp, now, out);
        let mut won = Vec::new();
        match self.store.receive_delta(&delta, &mut |slot| won.push(slot)) {
            None => self.came_without_base(&delta, from, now.mono, out),
            Some(Applied::Won(_)) => {
                self.brought(writer, now.mono);
                self.stats.entries_applied += 1;
                self.stats.deltas_applied += 1;
            }
            Some(_) => {
                self.stats.entries_stale += 1;
                if let Some(slot) = self.told_here(&delta.keyspace, &delta.key, delta.dot) {
                    self.heard_again(Topic::State, u64::from(slot));
                }
            }
        }
        let mut delta = Some(delta);
        for slot in won {
            // The first is the entry itself; what waited for it has come whole.
            self.entry_won(slot, delta.take(), via, now, out);
        }
    }

    /// Others tell of it too, and mostly what it lacks is on its way. Where that does not come, the
    /// value is fetched, as if it had been announced.
    fn came_without_base(
        &mut self,
        delta: &EntryDelta,
        from: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) {
        self.stats.deltas_gapped += 1;
        let slot = self.store.slot(&delta.keyspace, &delta.key);
        let tick = self.config.tick;
        if slot.is_none_or(|slot| self.writes.deltas.is_lacking(slot, tick, now)) {
            let EntryDelta { keyspace, key, dot, .. } = delta;
            self.advertised(&Advert { keyspace, key, dot: *dot }, from, out);
        }
    }

    /// Peers know writes of mine that I do not.
    fn has_unknown_own(&self, delta: &EntryDelta) -> bool {
        let last = self.last_own_seq();
        let own = |(origin, _, to)| origin == self.id && to > last;
        delta.writes.ranges().any(own) || delta.change.upto().upto(self.id.short()) > last
    }
}

/// Whether a write may leave a value so large; making it smaller is always possible.
fn may_grow_to(value: &Merged, before: Option<&Kept>) -> Result<(), CommandError> {
    let bytes = value.size();
    let before = before.and_then(|kept| kept.entry.value.as_ref()).map_or(0, |value| value.len());
    if bytes > VALUE_BYTES_MAX && bytes >= before {
        return Err(CommandError::ValueLength { bytes });
    }
    Ok(())
}
