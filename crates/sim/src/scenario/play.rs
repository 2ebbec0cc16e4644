//! Decides how a scenario runs: one line of time on which actions, their ends and looks at the
//! cluster come in order, between which the world goes on by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::Time;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::CommandId;

use super::Scenario;
use super::follow::{Ledger, seconds};
use super::liar::Liar;
use super::look::Looks;
use super::nodes::Member;
use super::outcome::{Done, Line, Outcome, Summary};
use super::{Start, expect};
use crate::trace::Text;
use crate::wall::WallId;
use crate::work::Work;
use crate::world::{Record, World, WorldConfig};

/// What comes at a point of time.
pub(super) enum Step {
    /// A node starts and joins, as the first cluster forms.
    Start(usize),
    /// This action, for the n-th time.
    Act(usize, u64),
    Undo(Undo),
    /// One crash of a churn.
    Churn(usize),
    /// What a liar sends in a while.
    Lie(usize),
    Look,
}

/// How an action ends.
pub(super) enum Undo {
    Restart(Vec<usize>),
    Resume(Vec<usize>),
    Service(Vec<usize>),
    StepBack(Vec<usize>, i64),
    Drift(Vec<usize>),
    Disk(Vec<usize>),
    Lower(Vec<WallId>),
    Lossy(Vec<usize>),
    Network,
    Churn(usize),
    Lie(usize),
}

/// Nodes that come and go.
pub(super) struct Churning {
    pub(super) who: Vec<usize>,
    pub(super) rate: f64,
    pub(super) down: Duration,
    pub(super) line: usize,
    pub(super) on: bool,
}

/// A command whose answer tells what to follow.
pub(super) struct Asked {
    pub(super) command: CommandId,
    pub(super) host: usize,
    pub(super) at: Time,
    pub(super) about: About,
}

pub(super) enum About {
    Write {
        kind: &'static str,
        keyspace: String,
        key: Vec<u8>,
    },
    Event {
        name: String,
    },
    Tag {
        what: String,
    },
    /// The process ends when the node has left.
    Leave,
}

pub(super) struct Play<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) world: World,
    pub(super) rng: Rng,
    pub(super) ledger: Ledger,
    pub(super) asked: Vec<Asked>,
    pub(super) churns: Vec<Churning>,
    pub(super) liars: Vec<Liar>,
    pub(super) refused: u64,
    pub(super) forged: u64,
    timeline: BTreeMap<(Time, u64), Step>,
    steps: u64,
    looks: Looks,
    violations: usize,
    done: Vec<Done>,
    emit: &'a mut dyn FnMut(Line),
}

/// Events that wait before they are taken in.
const HEARD_MAX: usize = 10_000;
/// Above this comparing all members of all nodes in full takes too long: fingerprints must do.
const COMPARED_IN_FULL_MAX: usize = 500;
/// Actions kept for the report.
const DONE_MAX: usize = 1000;

/// Runs a scenario. What happens is told to `emit` as it happens. `work` is told the simulated
/// milliseconds, and may stop the run: what was found by then is the outcome.
pub fn run(scenario: &Scenario, seed: u64, work: &Work<'_>, emit: &mut dyn FnMut(Line)) -> Outcome {
    let mut play = Play::new(scenario, seed, emit);
    play.set_up();
    let end = Time::ZERO + scenario.duration;
    let whole = scenario.duration.as_millis() as usize;
    let mut stopped = false;
    while let Some(((at, _), step)) = play.timeline.pop_first() {
        if at > end || work.stopped() {
            stopped = at <= end;
            break;
        }
        play.run_until(at);
        play.step(step);
        (work.progress)(at.as_millis() as usize, whole, "simulated ms");
    }
    if !stopped {
        play.run_until(end);
    }
    play.finish(seed, stopped)
}

impl<'a> Play<'a> {
    fn new(scenario: &'a Scenario, seed: u64, emit: &'a mut dyn FnMut(Line)) -> Play<'a> {
        let config = WorldConfig {
            conditions: scenario.conditions,
            unreachable: scenario.unreachable,
            disk_latency: scenario.disk_latency,
            record: Record::Heard,
            checks: scenario.checks,
            text: Text::Off,
            ..WorldConfig::default()
        };
        Play {
            scenario,
            world: World::new(seed, config),
            rng: Rng::fork(&Rng::from_u64(seed).bytes32(), "scenario"),
            ledger: Ledger::new(scenario.record_events),
            asked: Vec::new(),
            churns: Vec::new(),
            liars: Vec::new(),
            refused: 0,
            forged: 0,
            timeline: BTreeMap::new(),
            steps: 0,
            looks: Looks::new(scenario.sample),
            violations: 0,
            done: Vec::new(),
            emit,
        }
    }

    fn set_up(&mut self) {
        let scenario = self.scenario;
        for Member { name, config, tags, .. } in &scenario.cast.members {
            let host = self.world.place(name, config.clone());
            self.world.set_tags_at_start(host, tags);
        }
        self.world.set_dialects(scenario.cast.members.iter().map(|m| m.dialect).collect());
        self.world.net.regions = scenario.regions();
        for host in 0..self.world.len() {
            let others = scenario.join_through.iter().copied().filter(|&to| to != host);
            let others: Vec<usize> = others.collect();
            self.world.set_join(host, &others);
        }
        let now: Vec<usize> =
            (0..self.world.len()).filter(|&h| !scenario.cast.members[h].later).collect();
        match scenario.start {
            Start::Converged => self.world.start_converged(&now),
            Start::Join { every } => {
                for (n, host) in now.into_iter().enumerate() {
                    self.at(Time::ZERO + every * n as u32, Step::Start(host));
                }
            }
        }
        for (index, action) in scenario.actions.iter().enumerate() {
            self.at(Time::ZERO + action.at, Step::Act(index, 0));
        }
        self.at(Time::ZERO, Step::Look);
    }

    /// Puts a step on the line of time.
    pub(super) fn at(&mut self, at: Time, step: Step) {
        self.steps += 1;
        self.timeline.insert((at, self.steps), step);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Start(host) => self.world.start(host),
            Step::Act(index, n) => self.act(index, n),
            Step::Undo(undo) => self.undo(undo),
            Step::Churn(index) => self.churn(index),
            Step::Lie(index) => self.lie(index),
            Step::Look => self.look(),
        }
    }

    /// Lets the world go on; what is heard is taken in before there is too much of it.
    fn run_until(&mut self, until: Time) {
        while self.world.next_time().is_some_and(|at| at <= until) {
            self.world.step();
            if self.world.heard() >= HEARD_MAX {
                self.take_in();
            }
        }
        self.world.run_until(until);
        self.take_in();
    }

    /// Answers first: they say what the events are to be followed for.
    fn take_in(&mut self) {
        self.take_answers();
        for heard in self.world.take_heard() {
            self.ledger.hear(&heard, &self.world, self.emit);
        }
        let violations = self.world.violations();
        for rule in &violations[self.violations.min(violations.len())..] {
            let at = seconds(self.world.now());
            (self.emit)(Line::Violation { at, rule: rule.clone() });
        }
        self.violations = violations.len();
    }

    /// Tells what was done.
    pub(super) fn say(&mut self, line: usize, what: String) {
        let done = Done { at: seconds(self.world.now()), line, what };
        (self.emit)(Line::Action(done.clone()));
        if self.done.len() < DONE_MAX {
            self.done.push(done);
        }
    }

    /// The process on this host ends, in whatever way `end` does it.
    pub(super) fn ends(&mut self, host: usize, how: &'static str, end: fn(&mut World, usize)) {
        self.take_in();
        self.ledger.departs(&self.world, host, how);
        end(&mut self.world, host);
        self.ledger.silent(host, self.emit, &self.world);
    }

    fn look(&mut self) {
        let sample = self.looks.look(&self.world, &self.ledger);
        if let Some(sample) = sample {
            (self.emit)(Line::Sample(sample));
        }
        let next = self.world.now() + self.looks.every();
        self.at(next, Step::Look);
    }

    fn finish(mut self, seed: u64, stopped: bool) -> Outcome {
        self.looks.look(&self.world, &self.ledger);
        self.ledger.end(&self.world, self.emit);
        let mut violations = self.world.violations().to_vec();
        let calm = Time::ZERO + self.scenario.calm_at();
        let equal_since = self.looks.equal_since();
        let equal = equal_since.filter(|_| !stopped).map(|at| at.max(calm).since(calm));
        if equal.is_some()
            && self.scenario.checks
            && self.world.len() <= COMPARED_IN_FULL_MAX
            && let Err(broken) = self.world.check_quiet()
            && !violations.contains(&broken)
        {
            violations.push(broken);
        }
        let (first, all) = self.ledger.detection();
        let (hops_mean, hops_max) = self.ledger.hops();
        let mut summary = Summary {
            nodes: self.world.len(),
            seed,
            virtual_seconds: seconds(self.world.now()),
            stopped,
            inputs: self.world.inputs(),
            updates: self.ledger.updates.clone(),
            convergence: self.ledger.convergence(),
            delivery: self.ledger.delivery(),
            hops_mean,
            hops_max,
            joins: self.ledger.joins.clone(),
            join_seconds: self.ledger.join_seconds(),
            false_deaths: self.ledger.false_deaths,
            false_deaths_confirmed: self.ledger.false_deaths_confirmed,
            equal_seconds: equal.map(|d| d.as_secs_f64()),
            groups_at_end: self.looks.groups(),
            alive_at_end: self.looks.alive(),
            commands_refused: self.refused,
            violations,
            trace_hash: format!("{:032x}", self.world.trace_hash()),
            ..Summary::default()
        };
        summary.detection.departures = self.ledger.departures.len();
        summary.detection.undetected = self.ledger.undetected;
        (summary.detection.first_p50, summary.detection.first_max) = (first.p50, first.max);
        (summary.detection.all_p50, summary.detection.all_max) = (all.p50, all.max);
        summary.traffic = self.looks.traffic(&self.world);
        summary.traffic.forged = self.forged;
        summary.expectations = expect::judge(&self.scenario.expectations, &summary);
        Outcome {
            file: self.scenario.file.clone(),
            actions: self.done,
            samples: self.looks.take_samples(),
            spreads: std::mem::take(&mut self.ledger.spreads),
            departures: std::mem::take(&mut self.ledger.departures),
            summary,
        }
    }
}
