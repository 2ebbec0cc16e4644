//! Decides random scenarios: options drawn from the seed (each run leaves some faults out and
//! exaggerates others), a phase in which anything may fail and no rule may break, then calm and
//! a bound within which everything must be equal.
//!
//! | file | decides |
//! |---|---|
//! | `options` | what a scenario is made of, and its form as a file |
//! | `settings` | how every setting of a node is named and drawn |
//! | `first`, `second` | what the seeds of each generation mean |
//! | `action`, `carry` | what can happen, and how it is carried out |
//! | `clients` | what clients with sessions do and are promised |
//! | `run` | start, safety, liveness |
//! | `shrink` | how a failing scenario is made smaller |
//! | `hunt` | how many seeds are run, and what is counted |
//! | `panics` | how a panic is named |

mod action;
mod carry;
mod clients;
mod first;
mod hunt;
mod options;
mod panics;
mod run;
mod second;
mod settings;
mod shrink;

use std::fmt;

use crate::trace::Text;
use crate::world::World;

pub use action::{Action, NEWCOMERS, STRANGERS};
pub use hunt::{Tally, hunt};
pub use options::{
    Delay, Disks, GENERATIONS, Ground, NEWEST, Options, Profile, Scenario, Step, Weather,
};
pub use run::Passed;
pub use shrink::{Smaller, shrink};

/// A rule beside those of [`crate::check`], looked at after every step: for tests.
pub type Rule<'a> = &'a (dyn Fn(&World) -> Result<(), String> + Sync);

/// The rule that nothing breaks.
pub const NO_RULE: Rule<'static> = &|_| Ok(());

/// A broken rule, and how to see it again.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The options with the steps up to the failure.
    pub scenario: Scenario,
    pub rule: String,
    /// What happened, where text was asked for, and how every node was at the end.
    pub lines: Vec<String>,
}

impl Broken {
    /// Which rule it is: `rule 6` of `rule 6: not equal within ...`, also where time and host
    /// come first.
    pub fn which(&self) -> &str {
        let rule = &self.rule[self.rule.find("rule ").unwrap_or(0)..];
        rule.split(':').next().unwrap_or(rule)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, generation) = (self.scenario.options.seed, self.scenario.options.generation);
        write!(
            f,
            "tidings sim fuzz --seeds {seed}..{} --generation {generation} --text # {}\n  or: \
             SEED={seed} GENERATION={generation} cargo test -p tidings-sim --test swarm -- --exact \
             replay --nocapture",
            seed + 1,
            self.rule
        )
    }
}

/// Runs the scenario of a seed. A broken rule comes back with the line that replays it.
pub fn run(generation: u32, seed: u64, text: Text) -> Result<Passed, Box<Broken>> {
    run_scenario(&Scenario::drawn(generation, seed), text, NO_RULE)
}

/// Runs a scenario, with a further rule for tests.
pub fn run_scenario(
    scenario: &Scenario,
    text: Text,
    rule: Rule<'_>,
) -> Result<Passed, Box<Broken>> {
    panics::watched(|| run::run_scenario(scenario, text, rule))
}
