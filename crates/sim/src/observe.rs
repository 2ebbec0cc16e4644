//! Decides what is remembered of a run: counters of events, when a topic reached each host,
//! who declared whom failed first, acknowledged writes, and on request every event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidings_proto::base::clocks::{Dot, Hlc};
use tidings_proto::io::{Command, CommandError, CommandId, Event, MemberChange, Reply};
use tidings_proto::{NodeId, Time};

/// Something whose spread is measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A new value (or the deletion) of this key.
    Key {
        keyspace: String,
        key: Vec<u8>,
    },
    User {
        name: String,
    },
    /// A membership event about this identity.
    Member {
        id: NodeId,
        change: MemberChange,
    },
}

impl Topic {
    pub fn key(keyspace: &str, key: &[u8]) -> Topic {
        Topic::Key { keyspace: keyspace.to_owned(), key: key.to_vec() }
    }
}

/// When a topic first reached each host, counted from the start of tracking.
#[derive(Clone, Debug)]
pub struct Spread {
    pub since: Time,
    pub reached: BTreeMap<usize, Time>,
}

/// One event of one node.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: Time,
    pub host: usize,
    /// Whose packet the event came with, if it came with one.
    pub from: Option<usize>,
    pub event: Event,
    /// A `Failed` about a process that was alive, running and connected to the observer.
    pub false_alarm: bool,
}

/// How many events of each kind were seen in the whole world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub members: BTreeMap<MemberChange, u64>,
    /// `Failed` events about a process that was alive, running and connected to the observer.
    pub false_failed: u64,
    pub user: u64,
    pub keys: u64,
    pub conflicts: u64,
    pub alarms: u64,
}

impl Counts {
    pub fn of(&self, change: MemberChange) -> u64 {
        self.members.get(&change).copied().unwrap_or(0)
    }
}

/// A write and what is known of it.
#[derive(Clone, Debug)]
pub struct Written {
    pub host: usize,
    pub keyspace: String,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub stamp: Hlc,
    pub at: Time,
}

/// Everything remembered.
#[derive(Debug, Default)]
pub struct Observed {
    pub counts: Counts,
    pub replies: BTreeMap<CommandId, (Time, Result<Reply, CommandError>)>,
    /// (observer, subject) to the time of the first `Failed`.
    pub first_failed: BTreeMap<(usize, NodeId), Time>,
    /// (observer, subject) to the number of `Failed` events.
    pub times_failed: BTreeMap<(usize, NodeId), u32>,
    /// Acknowledged writes by dot: the ground truth of rules 2 and 4.
    pub written: BTreeMap<Dot, Written>,
    /// The newest delete of each key that any node showed: it may be forgotten since.
    deletes: BTreeMap<(String, Vec<u8>), (Hlc, NodeId)>,
    /// Writes that a node said it gave up.
    pub discarded: BTreeSet<Dot>,
    spreads: BTreeMap<Topic, Spread>,
    pub(crate) pending: BTreeMap<CommandId, (usize, Command)>,
    events: BTreeMap<usize, Vec<(Time, Event)>>,
    dropped: BTreeSet<usize>,
}

/// Events kept per host when they are recorded; more are dropped, and asking for them panics.
const EVENTS_MAX: usize = 200_000;

impl Observed {
    pub(crate) fn track(&mut self, topic: Topic, since: Time) {
        self.spreads.insert(topic, Spread { since, reached: BTreeMap::new() });
    }

    pub(crate) fn untrack(&mut self, topic: &Topic) -> Option<Spread> {
        self.spreads.remove(topic)
    }

    pub fn spread(&self, topic: &Topic) -> Option<&Spread> {
        self.spreads.get(topic)
    }

    pub(crate) fn record(&mut self, host: usize, at: Time, event: &Event) {
        let events = self.events.entry(host).or_default();
        if events.len() < EVENTS_MAX {
            events.push((at, event.clone()));
        } else {
            self.dropped.insert(host);
        }
    }

    /// Whether a delete of the key was seen anywhere that beats a write of this clock.
    pub fn deleted_after(&self, place: (&str, &[u8]), clock: (Hlc, NodeId)) -> bool {
        let place = (place.0.to_owned(), place.1.to_vec());
        self.deletes.get(&place).is_some_and(|newest| *newest > clock)
    }

    pub fn events(&self, host: usize) -> &[(Time, Event)] {
        assert!(!self.dropped.contains(&host), "events of host {host} overflowed the record");
        self.events.get(&host).map_or(&[], Vec::as_slice)
    }

    /// Counts one event; `false_alarm` says whether its subject was alive and connected.
    pub(crate) fn see(&mut self, host: usize, at: Time, event: &Event, false_alarm: bool) {
        match event {
            Event::Member { change, member } => {
                *self.counts.members.entry(*change).or_default() += 1;
                if *change == MemberChange::Failed {
                    self.first_failed.entry((host, member.id)).or_insert(at);
                    *self.times_failed.entry((host, member.id)).or_default() += 1;
                    self.counts.false_failed += u64::from(false_alarm);
                }
                if !self.spreads.is_empty() {
                    self.reach(&Topic::Member { id: member.id, change: *change }, host, at);
                }
            }
            Event::User(event) => {
                self.counts.user += 1;
                if !self.spreads.is_empty() {
                    self.reach(&Topic::User { name: event.name.clone() }, host, at);
                }
            }
            Event::Key { keyspace, key, value, dot, stamp, .. } => {
                self.counts.keys += 1;
                if value.is_none() {
                    let place = (keyspace.to_string(), key.to_vec());
                    let newest = self.deletes.entry(place).or_default();
                    *newest = (*stamp, dot.origin).max(*newest);
                }
                if !self.spreads.is_empty() {
                    self.reach(&Topic::key(keyspace, key), host, at);
                }
            }
            Event::Cut(_) | Event::Owning(_) => {}
            // Its key was counted.
            Event::Flag { .. } => {}
            Event::Conflict(lost) => {
                self.counts.conflicts += 1;
                self.discarded.insert(lost.discarded.0);
            }
            Event::Alarm(_) => self.counts.alarms += 1,
        }
    }

    pub(crate) fn reply(
        &mut self,
        command: CommandId,
        at: Time,
        result: Result<Reply, CommandError>,
    ) {
        if let Some((host, Command::Write { keyspace, writes })) = self.pending.remove(&command)
            && let Ok(Reply::Written { dots, stamp }) = &result
        {
            for (dot, (key, value)) in dots.iter().zip(writes) {
                let (keyspace, stamp) = (keyspace.clone(), *stamp);
                self.written.insert(*dot, Written { host, keyspace, key, value, stamp, at });
            }
        }
        let twice = self.replies.insert(command, (at, result));
        assert!(twice.is_none(), "command {command:?} was answered twice");
    }

    fn reach(&mut self, topic: &Topic, host: usize, at: Time) {
        if let Some(spread) = self.spreads.get_mut(topic) {
            spread.reached.entry(host).or_insert(at);
        }
    }
}

/// A value in a shape that checks can keep.
pub(crate) type SharedValue = Option<Arc<[u8]>>;
