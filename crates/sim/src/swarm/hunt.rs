//! Decides how many scenarios are run, which of them twice, and what is counted of them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Broken, NO_RULE, Passed, Scenario, run_scenario};
use crate::check::same_trace;
use crate::trace::Text;
use crate::work::Work;

/// One seed in so many runs twice, for rule 9.
const TWICE_EVERY: u64 = 50;

const CLOSEST_MAX: usize = 20;

/// What came of many scenarios.
#[derive(Debug, Default)]
pub struct Tally {
    pub run: u64,
    pub broken: Vec<Broken>,
    /// Inputs handled by all nodes of all runs.
    pub inputs: u64,
    /// Reads and writes of clients with sessions: answered, and refused as stale.
    pub served: u64,
    pub stale: u64,
    /// The share of the bound that each healed run needed.
    pub shares: Vec<f64>,
    /// Seconds that each healed run needed.
    pub seconds: Vec<f64>,
    /// The runs that came closest to the bound: share and seed, the closest first.
    pub closest: Vec<(f64, u64)>,
}

impl Tally {
    /// How often each rule was broken.
    pub fn by_rule(&self) -> BTreeMap<&str, usize> {
        let mut rules = BTreeMap::new();
        for broken in &self.broken {
            *rules.entry(broken.which()).or_default() += 1;
        }
        rules
    }
}

/// Runs every seed until the work is stopped; `found` is called with each failure as it comes.
pub fn hunt(
    work: &Work<'_>,
    generation: u32,
    seeds: Range<u64>,
    text: Text,
    found: &(dyn Fn(&Broken) + Sync),
) -> Tally {
    let seeds: Vec<u64> = seeds.collect();
    let results = work.map("scenarios", &seeds, |&seed| {
        let result = one(generation, seed, text);
        if let Err(broken) = &result {
            found(broken);
        }
        result
    });
    let mut tally = Tally::default();
    for (&seed, result) in seeds.iter().zip(results) {
        let Some(result) = result else { continue };
        tally.run += 1;
        match result {
            Ok(passed) => {
                tally.closest.extend(passed.healed.map(|h| (h.share(), seed)));
                tally.inputs += passed.inputs;
                tally.served += passed.served;
                tally.stale += passed.stale;
                tally.shares.extend(passed.healed.map(|h| h.share()));
                tally.seconds.extend(passed.healed.map(|h| h.took.as_secs_f64()));
            }
            Err(broken) => tally.broken.push(*broken),
        }
    }
    tally.closest.sort_by(|a, b| b.0.total_cmp(&a.0));
    tally.closest.truncate(CLOSEST_MAX);
    tally
}

fn one(generation: u32, seed: u64, text: Text) -> Result<Passed, Box<Broken>> {
    let scenario = Scenario::drawn(generation, seed);
    let passed = run_scenario(&scenario, text, NO_RULE)?;
    if seed.is_multiple_of(TWICE_EVERY) {
        let again = run_scenario(&scenario, text, NO_RULE)?;
        if let Err(rule) = same_trace(passed.trace, again.trace) {
            return Err(Box::new(Broken { scenario, rule, lines: Vec::new() }));
        }
    }
    Ok(passed)
}
