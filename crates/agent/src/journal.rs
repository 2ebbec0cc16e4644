//! Decides which alarms an operator still sees, and how they read (the library logs each), and
//! which user events are listed: the last ones, in the order in which they came here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tidings::{Alarm, Event, UserEvent, Watch, What};
use tokio::sync::watch;

/// User events kept, as in Consul.
const EVENTS_MAX: usize = 256;
/// Alarms kept. More: the oldest is forgotten.
const ALARMS_MAX: usize = 32;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct AlarmRecord {
    pub(crate) at_ms: u64,
    pub(crate) alarm: &'static str,
    pub(crate) text: String,
}

/// The last alarms and user events.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    events: Mutex<VecDeque<Arc<UserEvent>>>,
    arrivals: watch::Sender<u64>,
    alarms: Mutex<VecDeque<AlarmRecord>>,
}

impl Journal {
    /// Follows the node until it ends.
    pub(crate) async fn keep(self: Arc<Journal>, mut watch: Watch) {
        while let Some(change) = watch.next().await {
            match change.what {
                What::Event(Event::Alarm(alarm)) => self.note(change.at_ms, &alarm),
                What::Event(Event::User(event)) => self.list(event),
                _ => {}
            }
        }
    }

    pub(crate) fn alarms(&self) -> Vec<AlarmRecord> {
        self.alarms.lock().map(|alarms| alarms.iter().cloned().collect()).unwrap_or_default()
    }

    /// The last user events, the latest to come at the end.
    pub(crate) fn events(&self) -> Vec<Arc<UserEvent>> {
        self.events.lock().map(|events| events.iter().cloned().collect()).unwrap_or_default()
    }

    /// Counts the user events that came.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    fn list(&self, event: Arc<UserEvent>) {
        if let Ok(mut events) = self.events.lock() {
            if events.len() == EVENTS_MAX {
                events.pop_front();
            }
            events.push_back(event);
        }
        self.arrivals.send_modify(|count| *count += 1);
    }

    fn note(&self, at_ms: u64, alarm: &Alarm) {
        let (alarm, text) = describe(alarm);
        if let Ok(mut alarms) = self.alarms.lock() {
            if let Some(known) = alarms.iter().position(|a| a.alarm == alarm && a.text == text) {
                alarms.remove(known); // said again: one line, at its last time
            }
            if alarms.len() == ALARMS_MAX {
                alarms.pop_front();
            }
            alarms.push_back(AlarmRecord { at_ms, alarm, text });
        }
    }
}

/// The short name of an alarm and the sentence that explains it.
pub(crate) fn describe(alarm: &Alarm) -> (&'static str, String) {
    match alarm {
        Alarm::NameConflict { name, holder, loser } => (
            "name_conflict",
            format!(
                "two live members are named {name:?}: {holder} keeps the name, {loser} stays out"
            ),
        ),
        Alarm::IdentityTaken { id } => {
            ("identity_taken", format!("identity {id} lives elsewhere too or was rolled back"))
        }
        Alarm::ClockAhead { by } => {
            ("clock_ahead", format!("a remote clock is ahead of ours by {by:.1?}"))
        }
        Alarm::IncarnationJump { id, from, to } => {
            ("incarnation_jump", format!("incarnation of {id} jumped from {from} to {to}: refused"))
        }
        Alarm::DatagramsBlocked { name } => {
            ("datagrams_blocked", format!("{name} answers over TCP but not over UDP"))
        }
        Alarm::Flapping { name } => {
            ("flapping", format!("{name} comes and goes: its changes are told calmly from now on"))
        }
        Alarm::Paused { lasted } => {
            ("paused", format!("this process stood still for {lasted:.1?}"))
        }
        Alarm::StateFault { peer } => {
            ("state_fault", format!("equal vectors but unequal entries with {peer}: comparing all"))
        }
        Alarm::DiskFailed => {
            ("disk_failed", "the data directory refused a write: writes are refused".to_owned())
        }
        Alarm::DiskRecovered => {
            ("disk_recovered", "the data directory accepts writes again".to_owned())
        }
        Alarm::ForeignCluster { from } => {
            ("foreign_cluster", format!("frames of another cluster arrive from {from}"))
        }
        Alarm::PolicyConflict { keyspace, stands } => (
            "policy_conflict",
            format!("keyspace {keyspace:?} was declared in two ways: {stands} stands"),
        ),
        Alarm::BitRot { keyspace, key } => (
            "bit_rot",
            format!(
                "memory of {keyspace}/{} changed by itself: fetching it again",
                String::from_utf8_lossy(key)
            ),
        ),
        Alarm::BitRotMended { keyspace, key } => (
            "bit_rot_mended",
            format!("{keyspace}/{} is whole again", String::from_utf8_lossy(key)),
        ),
        Alarm::MergeHook { keyspace, key, reason } => {
            ("merge_hook", format!("merging {keyspace}/{}: {reason}", String::from_utf8_lossy(key)))
        }
        other => ("other", format!("{other:?}")),
    }
}
