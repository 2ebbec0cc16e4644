//! Decides which rules of DESIGN part 7 are watched while a world runs and which are checked
//! when it is quiet. One rule a file, and in each a test that breaks the rule on purpose.
//!
//! | rule | file | when |
//! |---|---|---|
//! | 1 equal inputs, equal states (merge laws: tests of `proto`) | `equal` | quiet |
//! | 2 no acknowledged write is lost | `acknowledged` | quiet |
//! | 3 what is deleted or departed does not come back | `resurrection` | every event |
//! | 4 vectors never claim what was not applied | `vector` | any moment |
//! | 5 a verdict has its accusers | `verdict` | every event |
//! | 6 all equal within the bound, once faults stop | `convergence` | the end of a run |
//! | 7 numbers never go back | `sequence` | every event, every start |
//! | 8 limits hold, probes go on (panics: who runs the world) | `bounds` | any moment; calm weather |
//! | 9 same seed, same trace | `repeat` | a second run |
//! | 10 nothing of another cluster, or of nobody, is accepted | `foreign` | every event; planted packets |
//! | 11 every setting changes behaviour | `tests/settings.rs`: no run can show it | |
//!
//! What clients were promised is judged in [`consistency`].
//!
//! [`Watch`] sees every event and collects violations, each in one line. The other checks are
//! functions over a world.

use tidings_proto::base::clocks::Dot;
use tidings_proto::io::Event;
use tidings_proto::state::store::Store;
use tidings_proto::{NodeId, Time, View};

use crate::observe::Observed;
use crate::world::World;

mod acknowledged;
mod bounds;
pub mod consistency;
mod convergence;
mod equal;
mod foreign;
mod repeat;
mod resurrection;
mod sequence;
#[cfg(test)]
mod told;
mod vector;
mod verdict;

pub use bounds::{ProbeLoop, within_limits};
pub use convergence::{Healed, becomes_equal};
pub use equal::equal_states;
pub use foreign::changes_nothing;
pub use repeat::same_trace;
pub use vector::vectors_hold;

/// The rules that are checked at every event.
pub struct Watch {
    enabled: bool,
    violations: Vec<String>,
    resurrection: resurrection::Resurrection,
    sequence: sequence::Sequence,
    verdicts: verdict::Verdicts,
    acknowledged: acknowledged::Holders,
    births: foreign::Births,
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
            births: foreign::Births::default(),
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
        let found = self.births.event(event, &view.config().cluster);
        self.note(at, host, found);
        self.acknowledged.event(host, event);
    }

    pub(crate) fn born(&mut self, id: NodeId, cluster: &str) {
        self.births.born(id, cluster);
    }

    /// Identities that ever started.
    pub(crate) fn born_ever(&self) -> usize {
        self.births.count()
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

    /// `disk`: what it gives back, where there is one.
    pub(crate) fn crashed(&mut self, host: usize, disk: Option<&Store>) {
        self.acknowledged.crashed(host, disk);
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
