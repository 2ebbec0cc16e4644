//! Decides how a failing scenario is made smaller: fewer steps, nodes and kinds of trouble, fewer
//! settings that differ, shorter waits, as long as the same rule breaks (delta debugging, Zeller
//! and Hildebrandt 2002), within a bounded number of tries.

use super::action::STRANGERS;
use super::options::{Delay, Disks, Scenario, Step};
use super::{Broken, Rule, run_scenario};
use crate::trace::Text;

/// The smallest scenario found that still fails.
#[derive(Debug)]
pub struct Smaller {
    pub scenario: Scenario,
    pub rule: String,
    pub tries: usize,
    /// Steps before and after.
    pub steps: (usize, usize),
    /// False: with its steps listed the scenario did not fail, so nothing was made smaller.
    pub repeats: bool,
}

/// Makes a failing scenario smaller in at most `tries` runs, or until `stopped`.
pub fn shrink(
    broken: &Broken,
    tries: usize,
    rule: Rule<'_>,
    stopped: &dyn Fn() -> bool,
) -> Smaller {
    let mut search = Search {
        best: broken.scenario.clone(),
        which: broken.which().to_owned(),
        found: broken.rule.clone(),
        left: tries,
        rule,
        stopped,
    };
    let before = search.steps().len();
    // What it is made smaller from is what a file of it would say.
    let start = Scenario::parse(&broken.scenario.to_text()).unwrap_or(broken.scenario.clone());
    let repeats = search.fails(start);
    while repeats && search.round() {}
    let steps = (before, search.steps().len());
    Smaller {
        tries: tries - search.left,
        rule: search.found,
        scenario: search.best,
        steps,
        repeats,
    }
}

struct Search<'a> {
    best: Scenario,
    which: String,
    found: String,
    left: usize,
    rule: Rule<'a>,
    stopped: &'a dyn Fn() -> bool,
}

impl Search<'_> {
    /// Tries everything once; true if something got smaller.
    fn round(&mut self) -> bool {
        let before = self.best.clone();
        self.cut_kinds();
        self.cut_steps();
        self.cut_options();
        self.cut_nodes();
        self.cut_waits();
        self.best != before && self.left > 0
    }

    fn steps(&self) -> &[Step] {
        self.best.steps.as_deref().unwrap_or_default()
    }

    /// Keeps a candidate if the same rule breaks in it; the steps after the failure are dropped.
    fn fails(&mut self, candidate: Scenario) -> bool {
        if self.left == 0 || (self.stopped)() || candidate.options.config(0).is_err() {
            return false;
        }
        self.left -= 1;
        match run_scenario(&candidate, Text::Off, self.rule) {
            Err(broken) if broken.which() == self.which => {
                self.found.clone_from(&broken.rule);
                self.best = broken.scenario;
                true
            }
            _ => false,
        }
    }

    fn with_steps(&self, steps: Vec<Step>) -> Scenario {
        Scenario { options: self.best.options.clone(), steps: Some(steps) }
    }

    fn cut_kinds(&mut self) {
        let mut kinds: Vec<String> = self.steps().iter().map(|s| s.action.kind()).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let keep = |s: &&Step| s.action.kind() != kind;
            let steps: Vec<Step> = self.steps().iter().filter(keep).cloned().collect();
            if steps.len() < self.steps().len() {
                self.fails(self.with_steps(steps));
            }
        }
    }

    /// Drops ever smaller runs of steps.
    fn cut_steps(&mut self) {
        let mut size = self.steps().len().div_ceil(2);
        while size > 0 && self.left > 0 {
            let mut from = 0;
            while from < self.steps().len() && self.left > 0 {
                let to = (from + size).min(self.steps().len());
                let mut steps = self.steps().to_vec();
                // The time that passed stays: often it is what matters.
                let waited: u64 = steps.drain(from..to).map(|s| s.then_ms).sum();
                let mut patient = steps.clone();
                if let Some(last) = patient[..from].last_mut() {
                    last.then_ms += waited;
                }
                if !self.fails(self.with_steps(steps)) && !self.fails(self.with_steps(patient)) {
                    from = to;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    /// Options one by one back to what they are when nothing is drawn.
    fn cut_options(&mut self) {
        let names: Vec<String> = self.best.options.settings.keys().cloned().collect();
        for name in names {
            let mut candidate = self.best.clone();
            candidate.options.settings.remove(&name);
            self.fails(candidate);
        }
        let changes: [fn(&mut Scenario); 12] = [
            |s| s.options.strangers = 0,
            |s| s.options.liar = None,
            |s| s.options.weather.loss = 0.0,
            |s| s.options.weather.duplication = 0.0,
            |s| s.options.weather.corruption = 0.0,
            |s| s.options.weather.reordering = 0.0,
            |s| s.options.weather.places = 1,
            |s| s.options.mixed = false,
            |s| s.options.weather.latency = Delay::Constant(1000),
            |s| s.options.weather.stream_bytes_per_second = 100_000_000,
            |s| s.options.disks = Disks::None,
            |s| s.options.calm_start = true,
        ];
        for change in changes {
            let mut candidate = self.best.clone();
            change(&mut candidate);
            if candidate != self.best {
                self.fails(candidate);
            }
        }
    }

    /// Fewer nodes: those that no step names go first, for the others take their numbers.
    fn cut_nodes(&mut self) {
        let mut used: Vec<usize> = Vec::new();
        let mut steps = self.steps().to_vec();
        for node in steps.iter_mut().flat_map(|s| s.action.hosts_mut()) {
            used.push(*node);
        }
        used.retain(|&node| node < STRANGERS);
        used.sort_unstable();
        used.dedup();
        for node in steps.iter_mut().flat_map(|s| s.action.hosts_mut()) {
            if let Ok(at) = used.binary_search(node) {
                *node = at;
            }
        }
        let mut candidate = self.with_steps(steps);
        candidate.options.nodes = used.len().clamp(2, self.best.options.nodes);
        if candidate != self.best {
            self.fails(candidate);
        }
        let mut fewer = self.best.options.nodes / 2;
        while fewer >= 1 && self.left > 0 {
            let nodes = self.best.options.nodes;
            let without = nodes.saturating_sub(fewer);
            if without >= 2 && self.fails(self.with_nodes(without)) {
                fewer = fewer.min(without / 2);
            } else {
                fewer /= 2;
            }
        }
    }

    fn with_nodes(&self, nodes: usize) -> Scenario {
        let mut steps = self.steps().to_vec();
        steps.retain_mut(|s| s.action.hosts_mut().iter().all(|n| **n < nodes || **n >= STRANGERS));
        let mut candidate = self.with_steps(steps);
        candidate.options.nodes = nodes;
        candidate.options.liar = candidate.options.liar.filter(|&liar| liar < nodes);
        candidate
    }

    fn cut_waits(&mut self) {
        let halved = |s: &Step| Step { then_ms: s.then_ms / 2, ..s.clone() };
        let all: Vec<Step> = self.steps().iter().map(halved).collect();
        if all != self.steps() {
            self.fails(self.with_steps(all));
        }
        for at in 0..self.steps().len() {
            for to in [0, self.steps().get(at).map_or(0, |s| s.then_ms / 2)] {
                let mut steps = self.steps().to_vec();
                let Some(step) = steps.get_mut(at) else { return };
                if step.then_ms > to {
                    step.then_ms = to;
                    if self.fails(self.with_steps(steps)) {
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, NEWEST, NO_RULE};
    use super::*;
    use crate::world::World;

    /// A planted bug: "no node may hold k0 while another's clock is a year ahead". It takes one
    /// write of k0 and one step of a clock.
    #[test]
    fn a_planted_bug_shrinks_to_what_it_takes() {
        let year_ms = 365 * 86_400_000;
        let planted = move |world: &World| {
            let wall = |h: usize| world.clock(h).now(world.now()).wall_ms;
            let ahead = world.up().any(|h| wall(h) > 1_800_000_000_000 + year_ms);
            let holds = world.up().any(|h| world.get(h, "k0").is_some());
            if ahead && holds { Err("rule 12: planted".to_owned()) } else { Ok(()) }
        };
        let failure = (0..400).find_map(|seed| {
            run_scenario(&Scenario::drawn(NEWEST, seed), Text::Off, &planted).err()
        });
        let broken = failure.expect("some seed steps a clock by years");
        let smaller = shrink(&broken, 400, &planted, &|| false);
        assert!(smaller.repeats && smaller.rule == "rule 12: planted");
        let steps = smaller.scenario.steps.as_deref().expect("listed");
        assert_eq!(steps.len(), 2, "{}", smaller.scenario.to_text());
        assert!(steps.iter().any(|s| matches!(s.action, Action::Step { .. })));
        assert_eq!(smaller.scenario.options.nodes, 2);
        assert!(smaller.scenario.options.settings.is_empty());

        // What is written to a file fails in the same way.
        let read = Scenario::parse(&smaller.scenario.to_text()).expect("a file that was written");
        assert_eq!(read, smaller.scenario);
        let again = run_scenario(&read, Text::Off, &planted).expect_err("it still fails");
        assert_eq!(again.rule, smaller.rule);
        assert!(run_scenario(&read, Text::Off, NO_RULE).is_ok(), "nothing else is wrong");
    }

    /// A panic is a broken rule 8, and can be made smaller like any other.
    #[test]
    fn a_panic_is_found_named_and_shrunk() {
        let planted = |world: &World| {
            let crashed = world.up().count() < world.len();
            assert!(!crashed, "planted panic");
            Ok(())
        };
        let failure = (0..50).find_map(|seed| {
            run_scenario(&Scenario::drawn(NEWEST, seed), Text::Off, &planted).err()
        });
        let broken = failure.expect("some seed crashes a node");
        assert_eq!(broken.which(), "rule 8");
        assert!(broken.rule.contains("shrink.rs") && broken.rule.ends_with("planted panic"));
        let smaller = shrink(&broken, 200, &planted, &|| false);
        assert_eq!(smaller.steps.1, 1, "{}", smaller.scenario.to_text());
    }
}
