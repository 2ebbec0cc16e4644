//! Decides which rules of DESIGN part 7 are watched while a world runs and which are checked
//! when it is quiet. One rule a file.
//!
//! [`Watch`] sees every event and collects violations, each in one line. The other checks are
//! functions over a quiet world.

use tidings_proto::base::clocks::Dot;
use tidings_proto::io::Event;
use tidings_proto::{Time, View};

use crate::observe::Observed;
use crate::world::World;

mod acknowledged;
mod equal;
mod resurrection;
mod sequence;
mod vector;
mod verdict;

pub use equal::equal_states;
pub use vector::vectors_hold;

/// The rules that are checked at every event.
pub struct Watch {
    enabled: bool,
    violations: Vec<String>,
    resurrection: resurrection::Resurrection,
    sequence: sequence::Sequence,
    verdicts: verdict::Verdicts,
    acknowledged: acknowledged::Holders,
}

/// Violations kept; a broken run repeats itself.
const VIOLATIONS_MAX: usize = 20;

impl Watch {
    pub(crate) fn new(enabled: bool) -> Watch {
        Watch {
            enabled,
            violations: Vec::new(),
            resurrection: resurrection::Resurrection::default(),
            sequence: sequence::Sequence::default(),
            verdicts: verdict::Verdicts::default(),
            acknowledged: acknowledged::Holders::default(),
        }
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn event(
        &mut self,
        host: usize,
        life: u64,
        at: Time,
        mono: Time,
        event: &Event,
        view: &View<'_>,
    ) {
        let found = self.resurrection.event(host, life, event);
        self.note(at, host, found);
        let found = self.sequence.event(host, life, event);
        self.note(at, host, found);
        let found = self.verdicts.event(host, life, at, mono, event, view);
        self.note(at, host, found);
        self.acknowledged.event(host, at, event);
    }

    pub(crate) fn acknowledged(
        &mut self,
        host: usize,
        durable: bool,
        dots: &[Dot],
        seen: &Observed,
    ) {
        if self.enabled {
            self.acknowledged.acknowledged(host, durable, dots, seen);
        }
    }

    pub(crate) fn started(&mut self, host: usize, at: Time, view: &View<'_>) {
        if self.enabled {
            let found = self.sequence.started(view);
            self.note(at, host, found);
        }
    }

    pub(crate) fn crashed(&mut self, host: usize, at: Time, durable: bool) {
        self.acknowledged.crashed(host, at, durable);
    }

    pub(crate) fn destroyed(&mut self, host: usize) {
        self.acknowledged.destroyed(host);
    }

    fn note(&mut self, at: Time, host: usize, found: Option<String>) {
        if let Some(found) = found
            && self.violations.len() < VIOLATIONS_MAX
        {
            let time = crate::trace::seconds(at);
            self.violations.push(format!("{time} host {host}: {found}"));
        }
    }
}

impl World {
    /// Rule 2 in a quiet world: every acknowledged write that somebody still holds is, or is
    /// superseded, at every running node.
    pub fn acknowledged_writes_hold(&self) -> Result<(), String> {
        self.watch.acknowledged.hold(self)
    }

    /// All rules in a quiet, healed world.
    pub fn check_quiet(&self) -> Result<(), String> {
        self.check_running()?;
        equal_states(self)?;
        self.acknowledged_writes_hold()
    }

    /// The rules that hold at any moment, whatever the faults.
    pub fn check_running(&self) -> Result<(), String> {
        if let Some(first) = self.violations().first() {
            return Err(first.clone());
        }
        vectors_hold(self)
    }
}
