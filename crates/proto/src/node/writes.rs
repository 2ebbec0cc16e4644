//! Decides how a write becomes durable, visible, and news: assigned and inserted in one step,
//! published only when it is on disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::merging::Deltas;
use super::packets::Via;
use super::{Node, Phase, RESERVED_BLOCK, reply};
use crate::base::clocks::{Dot, Hlc};
use crate::base::id::NodeId;
use crate::base::policy::{Consistency, POLICIES, Policy};
use crate::base::time::{Now, Time};
use crate::config::Damping;
use crate::dissemination::events::{Received, StoredEvent};
use crate::dissemination::queue::Topic;
use crate::dissemination::tree::Span;
use crate::flow::DISK_RETRY;
use crate::io::{Alarm, CommandError, CommandId, Conflict, Event, Outbox, Reply, UserEvent};
use crate::limits::{
    CONFLICTS_MAX, ENTRIES_MAX, EVENT_NAME_BYTES_MAX, EVENT_PAYLOAD_BYTES_MAX, EVENTS_KEPT_MAX,
    KEY_BYTES_MAX, KEYSPACE_BYTES_MAX, KEYSPACES_MAX, LIFETIME_MS_MAX, PENDING_WRITES_MAX,
    VALUE_BYTES_MAX, VECTOR_ORIGINS_MAX, WRITES_PER_COMMAND_MAX,
};
use crate::membership::table::ME;
use crate::state::causal::Causes;
use crate::state::crdt::Delta;
use crate::state::delta::EntryDelta;
use crate::state::disk::{self, Change, Reserved};
use crate::state::entry::{Entry, Superseded};
use crate::state::fields::Lifetime;
use crate::state::flag;
use crate::state::store::{Applied, EntrySlot, Store};

/// Entries ended in one call.
const ENDINGS_MAX: usize = 256;

/// What waits for the disk, and what was promised to it.
#[derive(Debug)]
pub(super) struct Writes {
    pub persist_seq: u64,
    /// All up to this transaction is on disk.
    pub durable_upto: u64,
    /// Numbers below these are reserved on disk; `asked` also counts what is on its way.
    pub durable: Reserved,
    pub asked: Reserved,
    pub reservations: VecDeque<(u64, Reserved)>,
    /// Own events: the next number, and the last one sent in this life.
    pub next_event: u64,
    last_event: u64,
    /// Own writes: the next sequence number, and those not durable yet, in order.
    next_seq: u64,
    pending: VecDeque<Pending>,
    /// Highest stamp given to a write that replaced an entry ahead of the clock.
    floor: Hlc,
    failed: bool,
    /// When the disk is tried (again): for the first reservation, or after a failure.
    pub retry_at: Time,
    retry_seq: u64,
    /// After a failure: the disk took a small transaction again, so all of memory is worth a try.
    answers: bool,
    /// Disk keys of writes that failed: rewritten from memory until the disk is back.
    doubtful: Vec<Vec<u8>>,
    /// Numbers of writes that failed. They name nothing, but others may count them as applied only
    /// when the disk knows that they are used (rule 7).
    refused: Vec<u64>,
    pub member_changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The last own write to a causal keyspace, on its way to the disk or beyond.
    last_causal: Option<Dot>,
    /// Declarations of this node's settings that wait until it is in step with its cluster: before,
    /// it does not know what others have declared.
    pub expected: Vec<(String, Policy)>,
    pub deltas: Deltas,
}

#[derive(Debug)]
struct Pending {
    persist: u64,
    command: CommandId,
    entries: Vec<Entry>,
    /// What the first of them changed, where it merges.
    change: Option<Delta>,
}

impl Writes {
    pub(super) fn new(reserved: Reserved, store: &Store, me: NodeId) -> Writes {
        Writes {
            persist_seq: 0,
            durable_upto: 0,
            durable: reserved,
            asked: reserved,
            reservations: VecDeque::new(),
            next_event: reserved.event + 1,
            last_event: 0,
            next_seq: store.vector().upto(me) + 1,
            pending: VecDeque::new(),
            floor: Hlc(0),
            failed: false,
            retry_at: Time::NEVER,
            retry_seq: 0,
            answers: false,
            doubtful: Vec::new(),
            refused: Vec::new(),
            member_changes: BTreeMap::new(),
            last_causal: None,
            expected: Vec::new(),
            deltas: Deltas::default(),
        }
    }

    /// The number of the next own write.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// On their way to the disk.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.pending.iter().flat_map(|pending| &pending.entries)
    }

    pub(super) fn under_way(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn refused(&self) -> bool {
        self.failed
    }
}

impl Node {
    // Own writes.

    pub(super) fn write(
        &mut self,
        command: CommandId,
        keyspace: String,
        writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        lifetime: Option<Duration>,
        now: Now,
        out: &mut Outbox,
    ) {
        let usual = self.policy(&keyspace).lifetime_ms.map(Duration::from_millis);
        let lifetime = lifetime.or(usual);
        let may = may_last(lifetime).and_then(|()| self.may_write(&keyspace, &writes));
        if let Err(error) = may {
            self.count_refusal(&error);
            return reply(out, command, Err(error));
        }
        let mut entries = self.number(&keyspace, writes, now.wall_ms);
        for entry in entries.iter_mut().filter(|entry| entry.value.is_some()) {
            entry.fields.set_lifetime(lifetime.map(|whole| Lifetime::from(now.mono, whole)));
        }
        self.make_durable(command, entries, None, now, out);
    }

    pub(super) fn count_refusal(&mut self, error: &CommandError) {
        self.stats.writes_refused += 1;
        let overloaded = matches!(error, CommandError::Overloaded { .. });
        self.stats.overloaded += u64::from(overloaded);
    }

    /// Publishes numbered writes, at once or when they are on disk.
    pub(super) fn make_durable(
        &mut self,
        command: CommandId,
        entries: Vec<Entry>,
        change: Option<Delta>,
        now: Now,
        out: &mut Outbox,
    ) {
        if !self.config.durable {
            return self.publish(command, entries, change, now, out);
        }
        let mut changes: Vec<Change> =
            entries.iter().map(|e| disk::entry_change(e, &self.key, now)).collect();
        let upto = self.last_own_seq();
        changes.push(disk::own_origin_change(self.store.vector(), self.id, upto));
        let persist = self.persist(changes, out);
        self.writes.pending.push_back(Pending { persist, command, entries, change });
    }

    fn may_write(
        &self,
        keyspace: &str,
        writes: &[(Vec<u8>, Option<Vec<u8>>)],
    ) -> Result<(), CommandError> {
        self.policy_admits(keyspace, None)?;
        self.may_accept(keyspace, writes)?;
        for (key, _) in writes {
            let merged = self.store.find(keyspace, key).and_then(|k| k.entry.merged.as_ref());
            if let Some(merged) = merged {
                return Err(CommandError::Kind { holds: merged.kind().as_str() });
            }
        }
        Ok(())
    }

    pub(super) fn may_accept(
        &self,
        keyspace: &str,
        writes: &[(Vec<u8>, Option<Vec<u8>>)],
    ) -> Result<(), CommandError> {
        if keyspace.is_empty() || keyspace.len() > KEYSPACE_BYTES_MAX {
            return Err(CommandError::Keyspace { name: keyspace.to_owned() });
        }
        if writes.is_empty() || writes.len() > WRITES_PER_COMMAND_MAX {
            return Err(CommandError::TooManyWrites { writes: writes.len() });
        }
        for (key, value) in writes {
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                return Err(CommandError::KeyLength { bytes: key.len() });
            }
            let bytes = value.as_ref().map_or(0, Vec::len);
            if bytes > VALUE_BYTES_MAX {
                return Err(CommandError::ValueLength { bytes });
            }
        }
        if self.writes.failed {
            return Err(CommandError::DiskFailed);
        }
        if !self.sessions.synced {
            return Err(CommandError::NotSynced);
        }
        if self.writes.pending.len() >= PENDING_WRITES_MAX {
            return Err(CommandError::Busy);
        }
        self.may_tell_more(Topic::State)?;
        if self.store.counts().1 + writes.len() > ENTRIES_MAX {
            return Err(CommandError::Full { what: "entries", max: ENTRIES_MAX });
        }
        let vector = self.store.vector();
        if vector.len() >= VECTOR_ORIGINS_MAX && !vector.knows(self.id) {
            return Err(CommandError::Full { what: "writers", max: VECTOR_ORIGINS_MAX });
        }
        if self.opens_too_many(keyspace) {
            return Err(CommandError::Full { what: "keyspaces", max: KEYSPACES_MAX });
        }
        Ok(())
    }

    /// Whether `keyspace` is one more than allowed, those of writes under way included.
    fn opens_too_many(&self, keyspace: &str) -> bool {
        if self.store.has_keyspace(keyspace) {
            return false;
        }
        let under_way = self.writes.waiting().map(|e| &*e.keyspace);
        let opening: BTreeSet<&str> =
            under_way.filter(|name| !self.store.has_keyspace(name)).collect();
        !opening.contains(keyspace)
            && self.store.keyspaces().count() + opening.len() >= KEYSPACES_MAX
    }

    /// Gives the group its sequence numbers and one stamp above all that it replaces.
    pub(super) fn number(
        &mut self,
        keyspace: &str,
        writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        wall_ms: u64,
    ) -> Vec<Entry> {
        let keyspace: Arc<str> = keyspace.into();
        let stamp = self.stamp(&keyspace, writes.iter().map(|(key, _)| key.as_slice()), wall_ms);
        let (first, len) = (self.writes.next_seq, writes.len() as u64);
        self.writes.next_seq += len;
        self.stats.writes += len;
        let mut causes = self.causes_of_write(&keyspace);
        let mut entries = Vec::with_capacity(writes.len());
        for ((key, value), seq) in writes.into_iter().zip(first..) {
            let mut entry = Entry {
                keyspace: keyspace.clone(),
                key: key.into(),
                value: value.map(Into::into),
                merged: None,
                stamp,
                dot: Dot { origin: self.id, seq },
                group: if len > 1 { (first, len) } else { (seq, 1) },
                superseded: Superseded::default(),
                fields: Default::default(),
            };
            entry.fields.set_causes(causes.clone());
            self.overwrite_known(&mut entry);
            if let Some(causes) = &mut causes {
                causes.add(entry.dot);
                self.writes.last_causal = Some(entry.dot);
            }
            entries.push(entry);
        }
        entries
    }

    /// All that this node has seen of causal keyspaces, own writes on their way to the disk included.
    fn causes_of_write(&self, keyspace: &str) -> Option<Causes> {
        if self.policy(keyspace).consistency != Consistency::Causal {
            return None;
        }
        let mut causes = self.store.nearest_causes();
        self.writes.last_causal.into_iter().for_each(|dot| causes.add(dot));
        Some(causes)
    }

    fn overwrite_known(&self, entry: &mut Entry) {
        let (keyspace, key) = (entry.keyspace.clone(), entry.key.clone());
        if let Some(kept) = self.store.find(&keyspace, &key) {
            entry.overwrite(&kept.entry);
        }
        let same = |e: &&Entry| e.keyspace == keyspace && e.key == key;
        for pending in self.writes.waiting().filter(same) {
            entry.overwrite(pending);
        }
    }

    fn stamp<'a>(
        &mut self,
        keyspace: &str,
        keys: impl Iterator<Item = &'a [u8]>,
        wall_ms: u64,
    ) -> Hlc {
        // A key that is new here may have been deleted and forgotten, under a clock that went ahead.
        let forgotten = self.forgetting.epochs.floor;
        let mut floor = Hlc(0);
        for key in keys {
            floor = floor.max(self.store.find(keyspace, key).map_or(forgotten, |k| k.entry.stamp));
            // Own writes on their way to the disk are not in the store yet, and come before this one.
            let same = |e: &&Entry| *e.keyspace == *keyspace && *e.key == *key;
            let pending = self.writes.waiting().filter(same);
            floor = pending.fold(floor, |floor, entry| floor.max(entry.stamp));
        }
        let ahead = floor >= self.clock.last();
        if ahead {
            floor = floor.max(self.writes.floor);
        }
        let stamp = self.clock.stamp(wall_ms, floor);
        if ahead {
            self.writes.floor = stamp;
        }
        stamp
    }

    /// Makes own writes visible and tells: in one step, as a group.
    fn publish(
        &mut self,
        command: CommandId,
        entries: Vec<Entry>,
        mut change: Option<Delta>,
        now: Now,
        out: &mut Outbox,
    ) {
        let dots = entries.iter().map(|e| e.dot).collect();
        let stamp = entries.first().map_or(Hlc(0), |e| e.stamp);
        for entry in entries {
            let delta = change.take().and_then(|change| EntryDelta::of_write(&entry, change));
            if let Applied::Won(slot) = self.store.apply_durable(entry) {
                self.entry_won(slot, delta, Via::Rumour(self.id), now, out);
            }
        }
        self.tell_conflicts(out);
        reply(out, command, Ok(Reply::Written { dots, stamp }));
    }

    pub(super) fn last_own_seq(&self) -> u64 {
        self.writes.next_seq - 1
    }

    // Entries off the wire.

    /// Merges one entry; false if it could not be stored, which leaves a hole.
    pub(super) fn apply_entry(
        &mut self,
        entry: Entry,
        via: Via,
        force: bool,
        now: Now,
        out: &mut Outbox,
    ) -> bool {
        let unknown_own =
            |(origin, _, to): (NodeId, u64, u64)| origin == self.id && to > self.last_own_seq();
        let own_dot = (entry.dot.origin, entry.dot.seq, entry.dot.seq);
        let in_value = entry.merged.as_ref().map_or(0, |m| m.context().upto(self.id.short()));
        if unknown_own(own_dot)
            || entry.superseded.ranges().any(unknown_own)
            || in_value > self.last_own_seq()
        {
            // Peers know writes of mine that I do not.
            let alarm = Alarm::IdentityTaken { id: self.id };
            self.emit_event(Event::Alarm(alarm), out);
            return false;
        }
        let rumoured = matches!(via, Via::Rumour(_));
        if rumoured && self.may_be_forgotten_already(&entry) {
            // Only who compares states with it can tell.
            self.stats.entries_unheard_of += 1;
            return false;
        }
        let writer = entry.dot.origin;
        if rumoured && !self.may_bring(writer, now.mono) {
            self.overrun();
            return false;
        }
        self.follow_clock(entry.stamp, now, out);
        // Without room for what waits, a session goes on and readers wait.
        let in_time = via != Via::Session || !self.store.is_holding_all();
        self.store.hold_back(self.sessions.synced && in_time);
        let told =
            if rumoured { self.told_here(&entry.keyspace, &entry.key, entry.dot) } else { None };
        let mut won = Vec::new();
        let applied = self.store.receive(entry, force, &mut |slot| won.push(slot));
        self.tell_conflicts(out);
        match applied {
            Applied::Stale => {
                self.stats.entries_stale += 1;
                if let Some(slot) = told {
                    self.heard_again(Topic::State, u64::from(slot));
                }
            }
            Applied::Full => self.stats.entry_limit += 1,
            Applied::Won(_) | Applied::Lost { .. } => self.stats.entries_applied += 1,
            Applied::Held => self.stats.entries_held += 1,
            Applied::Staged => {}
        }
        if rumoured && !matches!(applied, Applied::Stale | Applied::Full) {
            self.brought(writer, now.mono);
        }
        for slot in won {
            self.entry_won(slot, None, via, now, out);
        }
        applied != Applied::Full
    }

    /// Where the same write is kept; not looked for where nothing follows from that.
    pub(super) fn told_here(&self, keyspace: &str, key: &[u8], dot: Dot) -> Option<EntrySlot> {
        if matches!(self.config.damping, Damping::Sends | Damping::Age) {
            return None;
        }
        let slot = self.store.slot(keyspace, key)?;
        (self.store.kept(slot).entry.dot == dot).then_some(slot)
    }

    pub(super) fn follow_clock(&mut self, stamp: Hlc, now: Now, out: &mut Outbox) {
        if !self.clock.observe(now.wall_ms, stamp) {
            self.stats.clock_alarms += 1;
            let by = Duration::from_millis(stamp.wall_ms().saturating_sub(now.wall_ms));
            self.alarm(Alarm::ClockAhead { by }, now.mono, out);
        }
    }

    /// Whether nobody here knows this writer, and some were forgotten.
    pub(super) fn is_unheard_of(&self, origin: NodeId) -> bool {
        let known = self.store.vector().knows(origin) || self.table.find(origin).is_some();
        self.forgetting.epochs.head() != 0 && !known && origin != self.id
    }

    /// Whether the entry may be an old copy of what was deleted and forgotten: its writer is unknown, or
    /// it is a new key here and no later than the deletes that were forgotten.
    fn may_be_forgotten_already(&self, entry: &Entry) -> bool {
        let old = self.forgetting.epochs.head() != 0 && self.may_be_deleted(entry);
        self.is_unheard_of(entry.dot.origin) || old
    }

    /// `delta`: what of it is new, where that is known.
    pub(super) fn entry_won(
        &mut self,
        slot: EntrySlot,
        delta: Option<EntryDelta>,
        via: Via,
        now: Now,
        out: &mut Outbox,
    ) {
        self.key_event(slot, out);
        if *self.store.kept(slot).entry.keyspace == *POLICIES {
            self.read_modes(now.mono);
        }
        self.keep_delta(slot, delta, now.mono);
        if via != Via::Joining {
            let entry = &self.store.kept(slot).entry;
            let way = self.way_here(via, Some(entry.stamp), now);
            self.receipts.delays.entry(&entry.keyspace, entry.dot, way);
            let writer = entry.dot.origin;
            if via != Via::Session || self.may_pass_on(writer, now.mono) {
                self.tell_entry(slot, now.mono);
            }
        }
    }

    fn key_event(&mut self, slot: EntrySlot, out: &mut Outbox) {
        let entry = &self.store.kept(slot).entry;
        let event = Event::Key {
            keyspace: entry.keyspace.clone(),
            key: entry.key.clone(),
            value: entry.value.clone().filter(|_| entry.is_live()),
            kind: entry.merged.as_ref().map(|merged| merged.kind()),
            dot: entry.dot,
            stamp: entry.stamp,
        };
        let is_flag = *entry.keyspace == *flag::KEYSPACE;
        // The key was deleted and forgotten: an older delete that comes late is no news.
        let kept = self.store.kept(slot);
        let new_here = kept.created == kept.applied;
        let late = !entry.is_live() && new_here && entry.stamp <= self.forgetting.epochs.floor;
        if !late {
            self.emit_event(event, out);
        }
        if is_flag {
            self.flag_changed(slot, out);
        }
    }

    /// Each write that was given up is counted, told and kept for a while.
    pub(super) fn tell_conflicts(&mut self, out: &mut Outbox) {
        for conflict in self.store.take_discarded() {
            self.tell_conflict(conflict, out);
        }
    }

    pub(super) fn tell_conflict(&mut self, conflict: Conflict, out: &mut Outbox) {
        self.stats.conflicts_discarded += 1;
        let conflict = Arc::new(conflict);
        if self.conflicts.len() == CONFLICTS_MAX {
            self.conflicts.pop_front();
        }
        self.conflicts.push_back(Arc::clone(&conflict));
        self.declared_apart(&conflict, out);
        self.emit_event(Event::Conflict(conflict), out);
    }

    /// Entries whose time is over; the rest in the next call, which is due at once.
    pub(super) fn run_endings(&mut self, now: Now, out: &mut Outbox) {
        for _ in 0..ENDINGS_MAX {
            let Some(slot) = self.store.end_next(now.mono) else { return };
            self.stats.entries_ended += 1;
            self.key_event(slot, out);
        }
    }

    // User events.

    pub(super) fn emit(
        &mut self,
        name: String,
        payload: Vec<u8>,
        now: Now,
        out: &mut Outbox,
    ) -> Result<Reply, CommandError> {
        let limit = |what, bytes, max| {
            if bytes > max { Err(CommandError::EventLength { what, bytes, max }) } else { Ok(()) }
        };
        limit("name", name.len(), EVENT_NAME_BYTES_MAX)?;
        limit("payload", payload.len(), EVENT_PAYLOAD_BYTES_MAX)?;
        if self.events.is_full_for(self.id) {
            return Err(CommandError::Full { what: "events", max: EVENTS_KEPT_MAX });
        }
        self.may_tell_more(Topic::Event).inspect_err(|_| self.stats.overloaded += 1)?;
        let seq = self.writes.next_event;
        if self.config.durable && seq > self.writes.durable.event {
            return Err(CommandError::DiskFailed);
        }
        let event = StoredEvent {
            origin: self.id,
            seq,
            // After a restart: the last one of the life before, as far as others have told.
            previous: self.writes.last_event.max(self.events.head(self.id)),
            stamp: self.clock.stamp(now.wall_ms, Hlc(0)),
            from: self.me().name.clone(),
            name: name.into(),
            payload: payload.into(),
            born: now.mono,
        };
        self.writes.next_event += 1;
        self.writes.last_event = seq;
        self.stats.events_sent += 1;
        self.apply_event(event, Via::Rumour(self.id), now, out);
        self.reserve(out);
        Ok(Reply::Sent { seq })
    }

    pub(super) fn apply_event(&mut self, event: StoredEvent, via: Via, now: Now, out: &mut Outbox) {
        let complete = !matches!(via, Via::Rumour(_));
        let written = (event.origin, event.seq);
        let handed = self.branches.handed.take();
        if self.store.was_pruned(event.origin) {
            // Its sender is forgotten, and with it which of its events were delivered.
            self.stats.events_duplicate += 1;
            return;
        }
        if !complete && !self.may_bring(written.0, now.mono) {
            self.overrun();
            return;
        }
        let due = match self.events.receive(event, complete) {
            Received::Duplicate => {
                self.stats.events_duplicate += 1;
                if let Some(handed) = handed {
                    let number = self.events.number_of(written);
                    self.take_branch(written, number, handed, now.mono, out);
                } else if let (false, Some(number)) = (complete, self.events.number_of(written)) {
                    self.heard_again(Topic::Event, number);
                }
                return;
            }
            Received::Full => {
                self.stats.event_limit += 1;
                return;
            }
            Received::Waits => Vec::new(),
            Received::Deliver(due) => due,
        };
        if !complete {
            self.brought(written.0, now.mono);
        }
        let number = self.events.newest_number();
        self.receipts.delays.events.add(self.way_here(via, None, now));
        match handed {
            Some(handed) => self.take_branch(written, Some(number), handed, now.mono, out),
            None if !self.goes_by_tree() && via != Via::Joining => {
                self.tell(Topic::Event, number, now.mono);
            }
            None if via == Via::Rumour(self.id) => {
                self.hand_on(written, number, Span::ALL, now.mono, out);
            }
            // Not the tree's, so a rumour; what sessions bring, the tree has brought to the others.
            None if matches!(via, Via::Rumour(_)) => self.tell(Topic::Event, number, now.mono),
            None => {}
        }
        self.deliver(due, out);
    }

    pub(super) fn deliver(&mut self, due: Vec<Arc<StoredEvent>>, out: &mut Outbox) {
        for event in due {
            self.stats.events_delivered += 1;
            self.emit_event(Event::User(Arc::new(user_event(&event))), out);
        }
    }

    // The disk.

    pub(super) fn persisted(&mut self, upto: u64, now: Now, out: &mut Outbox) {
        self.writes.durable_upto = self.writes.durable_upto.max(upto);
        while let Some(&(seq, reserved)) = self.writes.reservations.front() {
            if seq > upto {
                break;
            }
            self.writes.reservations.pop_front();
            self.writes.durable = reserved;
        }
        if self.phase == Phase::Starting && self.writes.durable.incarnation > self.incarnation {
            self.phase = Phase::Running;
            self.next_probe = self.next_probe.max(now.mono);
        }
        let tried = self.writes.retry_seq > 0 && upto >= self.writes.retry_seq;
        if self.writes.failed && tried && !self.writes.answers {
            self.writes.answers = true;
            self.writes.retry_seq = 0;
            self.writes.retry_at = now.mono;
        } else if self.writes.failed && tried {
            self.writes.failed = false;
            self.writes.retry_at = Time::NEVER;
            self.writes.retry_seq = 0;
            self.writes.doubtful.clear();
            for seq in std::mem::take(&mut self.writes.refused) {
                self.store.void(self.id, seq, seq);
            }
            self.emit_event(Event::Alarm(Alarm::DiskRecovered), out);
        }
        while self.writes.pending.front().is_some_and(|p| p.persist <= upto) {
            let done = self.writes.pending.pop_front().expect("checked above");
            self.publish(done.command, done.entries, done.change, now, out);
        }
    }

    /// A failed write to disk is an input: the node refuses writes and keeps probing (rule 2).
    pub(super) fn persist_failed(&mut self, seq: u64, now: Now, out: &mut Outbox) {
        self.stats.disk_failures += 1;
        self.writes.retry_at = now.mono + DISK_RETRY;
        self.writes.retry_seq = 0;
        self.writes.answers = false;
        self.writes.reservations.retain(|&(s, _)| s < seq);
        self.writes.asked =
            self.writes.reservations.back().map_or(self.writes.durable, |&(_, r)| r);
        if self.phase == Phase::Starting {
            return;
        }
        if !self.writes.failed {
            self.writes.failed = true;
            self.emit_event(Event::Alarm(Alarm::DiskFailed), out);
        }
        // A write that failed is nobody's cause.
        self.writes.last_causal = None;
        let kept = self.writes.pending.partition_point(|p| p.persist < seq);
        for failed in self.writes.pending.split_off(kept) {
            self.stats.writes_refused += 1;
            reply(out, failed.command, Err(CommandError::DiskFailed));
            for entry in &failed.entries {
                self.writes.refused.push(entry.dot.seq);
                self.writes.doubtful.push(disk::entry_place(entry));
            }
        }
    }

    /// First reservation, or another try after a failure: the reservation again and, when that went
    /// through, all of memory in one transaction, as nobody knows what the failed ones left.
    pub(super) fn retry_disk(&mut self, now: Now, out: &mut Outbox) {
        if self.phase == Phase::Starting && self.writes.persist_seq == 0 {
            self.writes.retry_at = now.mono;
        }
        if self.writes.retry_at > now.mono {
            return;
        }
        self.writes.retry_at = Time::NEVER;
        self.writes.asked = Reserved {
            incarnation: self.incarnation + RESERVED_BLOCK,
            event: self.writes.next_event + RESERVED_BLOCK,
        };
        let mut changes = vec![disk::reserved_change(self.writes.asked)];
        if self.phase != Phase::Starting && self.writes.answers {
            self.all_of_memory(now, &mut changes);
        }
        let seq = self.persist(changes, out);
        self.writes.reservations.push_back((seq, self.writes.asked));
        self.writes.retry_seq = seq;
    }

    fn all_of_memory(&mut self, now: Now, changes: &mut Vec<Change>) {
        for key in self.store.take_removed().iter().chain(&self.writes.doubtful) {
            changes.push((key.clone(), None)); // re-set below where memory has the key
        }
        changes.extend(
            self.store.since(0).map(|kept| disk::entry_change(&kept.entry, &self.key, now)),
        );
        let origins: Vec<NodeId> = self.store.vector().prefixes().map(|(id, _)| id).collect();
        changes.extend(origins.into_iter().map(|id| disk::origin_change(self.store.vector(), id)));
        if !self.writes.refused.is_empty() {
            let upto = self.last_own_seq();
            changes.push(disk::own_origin_change(self.store.vector(), self.id, upto));
        }
        for slot in self.table.slots().filter(|&s| s != ME && self.table.is_live(s)) {
            changes.push(disk::member_change(self.table.facts(slot), true));
        }
        self.store.take_dirty();
        self.writes.member_changes.clear();
    }

    /// An own write of this key is on its way to the disk and beats what memory still shows: it
    /// must not be overwritten there.
    fn overtaken(&self, entry: &Entry) -> bool {
        let same = |e: &&Entry| e.key == entry.key && e.keyspace == entry.keyspace;
        self.writes.waiting().filter(same).any(|own| own.beats(entry))
    }

    /// Everything that this step changed goes to disk in one transaction: entries with the vector
    /// that covers them.
    pub(super) fn flush_disk(&mut self, now: Now, out: &mut Outbox) {
        if !self.config.durable || self.writes.failed || self.phase == Phase::Starting {
            return;
        }
        if !self.store.is_dirty() && self.writes.member_changes.is_empty() {
            return;
        }
        let (entries, origins) = self.store.take_dirty();
        let mut changes: Vec<Change> =
            std::mem::take(&mut self.writes.member_changes).into_iter().collect();
        for place in self.store.take_removed() {
            let mut pending = self.writes.waiting();
            if !pending.any(|own| disk::entry_place(own) == place) {
                changes.push((place, None));
            }
        }
        let on_disk = entries.iter().filter_map(|&slot| Some(&self.store.get(slot)?.entry));
        let changed = on_disk.filter(|entry| !self.overtaken(entry));
        changes.extend(changed.map(|entry| disk::entry_change(entry, &self.key, now)));
        for origin in origins {
            // Own writes under way are on disk already, with the vector that covers them.
            if origin == self.id && !self.writes.pending.is_empty() {
                continue;
            }
            changes.push(disk::origin_change(self.store.vector(), origin));
        }
        if !changes.is_empty() {
            self.persist(changes, out);
        }
    }
}

pub(super) fn may_last(lifetime: Option<Duration>) -> Result<(), CommandError> {
    match lifetime {
        Some(it) if !(1..=u128::from(LIFETIME_MS_MAX)).contains(&it.as_millis()) => {
            Err(CommandError::Lifetime { lifetime: it })
        }
        _ => Ok(()),
    }
}

pub(super) fn user_event(event: &StoredEvent) -> UserEvent {
    UserEvent {
        origin: event.origin,
        from: event.from.to_string(),
        seq: event.seq,
        name: event.name.to_string(),
        payload: event.payload.to_vec(),
        stamp: event.stamp,
    }
}
