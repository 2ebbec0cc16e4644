//! Decides how flags are changed and told to this node's users, and when this node stops a stage
//! by itself: when a member that has the staged value fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Node, OWN, reply};
use crate::base::context::ShortDot;
use crate::base::flag::{FlagChange, FlagRefused, ValueType};
use crate::base::hash::domain;
use crate::base::operation::{Kind, Operation};
use crate::base::time::{Now, Time};
use crate::io::{CommandError, CommandId, Event, Outbox};
use crate::limits::{
    FLAG_NAME_BYTES_MAX, FLAG_REASON_BYTES_MAX, FLAG_VALUE_BYTES_MAX, FLAGS_MAX, STAGES_WATCHED_MAX,
};
use crate::membership::table::{ME, Slot};
use crate::state::flag::{self, Document, Flag, KEYSPACE, Stage};
use crate::state::store::{EntrySlot, Store};

/// What this node keeps of flags besides their entries.
#[derive(Debug)]
pub(super) struct Flags {
    /// Stages under way and not stopped.
    watched: BTreeMap<Arc<[u8]>, Watched>,
    /// The value that users here were told last.
    told: BTreeMap<Arc<[u8]>, Arc<str>>,
    next: Time,
}

#[derive(Debug)]
struct Watched {
    stage: ShortDot,
    /// When this node stops it, unless another has by then.
    stop_at: Time,
    reason: String,
}

impl Flags {
    pub(super) fn new() -> Flags {
        Flags { watched: BTreeMap::new(), told: BTreeMap::new(), next: Time::NEVER }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        (self.told.len(), self.watched.len())
    }

    fn watch(&mut self, name: &Arc<[u8]>, flag: Option<&Flag>) {
        let stage = flag.filter(|f| f.stops.is_empty()).and_then(|f| f.document.stage.as_ref());
        let Some(stage) = stage else {
            self.watched.remove(name);
            return;
        };
        let known = self.watched.get(name).map(|watched| watched.stage);
        let room = known.is_some() || self.watched.len() < STAGES_WATCHED_MAX;
        if room && known != Some(stage.id) {
            let watched = Watched { stage: stage.id, stop_at: Time::NEVER, reason: String::new() };
            self.watched.insert(name.clone(), watched);
        }
    }
}

impl Node {
    pub(super) fn change_flag(
        &mut self,
        command: CommandId,
        name: String,
        change: FlagChange,
        now: Now,
        out: &mut Outbox,
    ) {
        match self.operations_for(&name, change) {
            Ok(operations) => {
                for (i, operation) in operations.into_iter().enumerate() {
                    let command = if i == 0 { command } else { OWN };
                    let (keyspace, key) = (KEYSPACE.to_owned(), name.clone().into_bytes());
                    self.update(command, keyspace, key, Kind::Map, operation, now, out);
                }
            }
            Err(error) => {
                self.stats.writes_refused += 1;
                reply(out, command, Err(error));
            }
        }
    }

    fn operations_for(
        &self,
        name: &str,
        change: FlagChange,
    ) -> Result<Vec<Operation>, CommandError> {
        let refuse = |refused| CommandError::Flag { name: name.to_owned(), refused };
        if name.is_empty() || name.len() > FLAG_NAME_BYTES_MAX {
            return Err(refuse(FlagRefused::Name));
        }
        let flag = Flag::of(&self.value_to_update(KEYSPACE, name.as_bytes(), Kind::Map)?);
        if flag.is_none() && self.flags.told.len() >= FLAGS_MAX {
            return Err(CommandError::Full { what: "flags", max: FLAGS_MAX });
        }
        let id = ShortDot { writer: self.id.short(), seq: self.writes.next_seq() };
        operations(flag, change, id).map_err(refuse)
    }

    /// An entry of the keyspace has changed.
    pub(super) fn flag_changed(&mut self, slot: EntrySlot, out: &mut Outbox) {
        let entry = &self.store.kept(slot).entry;
        let name = entry.key.clone();
        let flag = entry.merged.as_ref().filter(|_| entry.is_live()).and_then(|m| Flag::of(m));
        self.flags.watch(&name, flag.as_ref());
        self.tell_flag(&name, flag.as_ref(), out);
    }

    /// Tells users here the value that counts for them, where it is another than before.
    fn tell_flag(&mut self, name: &Arc<[u8]>, flag: Option<&Flag>, out: &mut Outbox) {
        let me = self.me();
        let value = flag.map(|flag| flag.value_at(&self.key, name, &me.name, me.zone()).clone());
        let news = match &value {
            Some(_)
                if self.flags.told.len() >= FLAGS_MAX && !self.flags.told.contains_key(name) =>
            {
                true
            }
            Some(value) => {
                self.flags.told.insert(name.clone(), value.clone()).as_ref() != Some(value)
            }
            None => self.flags.told.remove(name).is_some(),
        };
        if let (true, Ok(text)) = (news, std::str::from_utf8(name)) {
            let kind = flag.map(|flag| flag.document.kind);
            self.emit_event(Event::Flag { name: text.into(), kind, value }, out);
        }
    }

    /// This node's zone may be another now.
    pub(super) fn tell_flags_anew(&mut self, out: &mut Outbox) {
        for (name, flag) in stored(&self.store) {
            self.tell_flag(&name, Some(&flag), out);
        }
    }

    /// Flags that the disk gave back: known to users before this life.
    pub(super) fn recover_flags(&mut self) {
        for (name, flag) in stored(&self.store) {
            self.flags.watch(&name, Some(&flag));
            let me = self.me();
            let value = flag.value_at(&self.key, &name, &me.name, me.zone()).clone();
            self.flags.told.insert(name, value);
        }
    }

    /// A member failed: stages that it had the value of are to be stopped. Whoever began one does
    /// it at once, others only where that is not seen in time, so that one stop is written, not one
    /// a member.
    pub(super) fn stages_doubted(&mut self, failed: Slot, now: Time) {
        let facts = self.table.facts(failed);
        let writer = self.id.short();
        for (name, watched) in &mut self.flags.watched {
            let entry = self.store.find(KEYSPACE, name).and_then(|kept| kept.entry.merged.as_ref());
            let Some(flag) = entry.and_then(|merged| Flag::of(merged)) else { continue };
            let has = flag.is_staged_at(&self.key, name, &facts.name, facts.zone());
            if has && watched.stop_at == Time::NEVER {
                let wait = if watched.stage.writer == writer {
                    Duration::ZERO
                } else {
                    let drawn = self.key.wide(domain::FLAG, &[name, &self.id.0]) as u32;
                    let part = 0.2 + 0.8 * f64::from(drawn) / f64::from(u32::MAX);
                    self.config.probe_period.mul_f64(part)
                };
                watched.stop_at = now + wait;
                watched.reason = format!("{} failed", facts.name);
                self.flags.next = self.flags.next.min(watched.stop_at);
            }
        }
    }

    pub(super) fn run_flags(&mut self, now: Now, out: &mut Outbox) {
        if self.flags.next > now.mono {
            return;
        }
        let again = now.mono + self.config.probe_period;
        let mut due = Vec::new();
        for (name, watched) in &mut self.flags.watched {
            if watched.stop_at <= now.mono {
                watched.stop_at = again; // where it is refused now
                due.push((name.clone(), watched.stage, watched.reason.clone()));
            }
        }
        for (name, stage, reason) in due {
            let operation = flag::stop(stage, &reason);
            self.update(OWN, KEYSPACE.to_owned(), name.to_vec(), Kind::Map, operation, now, out);
        }
        let next = self.flags.watched.values().map(|w| w.stop_at).min();
        self.flags.next = next.unwrap_or(Time::NEVER);
    }

    /// A flag as it stands, and whether this node has its staged value.
    pub(super) fn flag(&self, name: &[u8]) -> Option<(Flag, bool)> {
        let entry = &self.store.find(KEYSPACE, name)?.entry;
        let flag = Flag::of(entry.merged.as_ref().filter(|_| entry.is_live())?)?;
        let me = self.table.facts(ME);
        let staged = flag.is_staged_at(&self.key, name, &me.name, me.zone());
        Some((flag, staged))
    }
}

/// What a change comes to; `id` names the write.
fn operations(
    flag: Option<Flag>,
    change: FlagChange,
    id: ShortDot,
) -> Result<Vec<Operation>, FlagRefused> {
    let stopped = flag.as_ref().is_some_and(|flag| !flag.stops.is_empty());
    let known = flag.map(|flag| flag.document);
    if let FlagChange::Set { kind, value } = change {
        check(kind, &value)?;
        let (revision, extra) = known.map_or((0, Vec::new()), |old| (old.revision, old.extra));
        let document =
            Document { revision: revision + 1, kind, value: value.into(), stage: None, extra };
        return Ok(vec![document.assign(), flag::forget_stops()]);
    }
    let old = known.ok_or(FlagRefused::Unknown)?;
    let under_way = old.stage.clone().ok_or(FlagRefused::NoStage);
    let revised = |value: Arc<str>, stage: Option<Stage>| {
        Document { revision: old.revision + 1, value, stage, ..old.clone() }.assign()
    };
    Ok(match change {
        FlagChange::Set { .. } => unreachable!("handled above"),
        FlagChange::Stage { value, share } => {
            check(old.kind, &value)?;
            share.check()?;
            let value: Arc<str> = value.into();
            let id = match under_way {
                Ok(_) if stopped => return Err(FlagRefused::Stopped),
                Ok(stage) if stage.value == value => stage.id,
                _ => id,
            };
            vec![revised(old.value.clone(), Some(Stage { id, value, share }))]
        }
        FlagChange::Promote if stopped => return Err(FlagRefused::Stopped),
        FlagChange::Promote => vec![revised(under_way?.value, None)],
        FlagChange::RollBack => {
            under_way?;
            vec![revised(old.value.clone(), None), flag::forget_stops()]
        }
        FlagChange::Stop { reason } => {
            if reason.is_empty() || reason.len() > FLAG_REASON_BYTES_MAX {
                return Err(FlagRefused::Reason);
            }
            vec![flag::stop(under_way?.id, &reason)]
        }
        FlagChange::Delete => vec![Operation::Clear],
    })
}

fn check(kind: ValueType, value: &str) -> Result<(), FlagRefused> {
    if value.len() > FLAG_VALUE_BYTES_MAX {
        return Err(FlagRefused::Value { expected: "at most 16,384 bytes" });
    }
    kind.check(value).map_err(|expected| FlagRefused::Value { expected })
}

/// All flags that can be read.
fn stored(store: &Store) -> Vec<(Arc<[u8]>, Flag)> {
    let kept = store.with_prefix(KEYSPACE, b"").filter(|kept| kept.entry.is_live());
    let flag = |entry: &crate::state::entry::Entry| Flag::of(entry.merged.as_ref()?);
    kept.filter_map(|kept| Some((kept.entry.key.clone(), flag(&kept.entry)?)))
        .take(FLAGS_MAX)
        .collect()
}
