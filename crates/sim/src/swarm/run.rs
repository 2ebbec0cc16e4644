//! Decides how a scenario runs: its start, a phase in which anything may fail and no rule may
//! break, then calm weather and a bound within which everything must be equal.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidings_proto::base::rng::Rng;
use tidings_proto::config::PeerChoice;
use tidings_proto::flow;
use tidings_proto::io::{Command, CommandError};
use tidings_proto::{Config, Time};

use super::action::{NEWCOMERS, STRANGERS};
use super::clients::{self, Clients};
use super::options::{Options, Scenario, Step};
use super::{Broken, Rule, first, second};
use crate::check::{Healed, becomes_equal, within_limits};
use crate::dialect::Dialect;
use crate::network::Conditions;
use crate::trace::Text;
use crate::world::{World, WorldConfig};

/// A scenario that broke no rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passed {
    /// The hash of all that happened.
    pub trace: u128,
    /// `None` where the scenario can not demand that all become equal.
    pub healed: Option<Healed>,
    /// Inputs handled by all nodes.
    pub inputs: u64,
    /// Reads and writes of clients with sessions: answered, and refused as stale.
    pub served: u64,
    pub stale: u64,
}

/// Runs one scenario. A panic of a node is a broken rule 8 and comes back as such.
pub(super) fn run_scenario(
    scenario: &Scenario,
    text: Text,
    rule: Rule<'_>,
) -> Result<Passed, Box<Broken>> {
    let mut steps = Vec::new();
    let mut lines = Vec::new();
    let attempt = AssertUnwindSafe(|| {
        let mut run = Run::begin(&scenario.options, text, rule);
        let result = run.all(scenario.steps.as_deref(), &mut steps);
        if result.is_err() {
            lines = run.world.trace_lines();
            lines.extend(run.world.up().map(|h| portrait(&run.world, h)));
        }
        result
    });
    let result = catch_unwind(attempt).unwrap_or_else(|panic| Err(super::panics::rule(&*panic)));
    result.map_err(|rule| {
        let options = scenario.options.clone();
        Box::new(Broken { scenario: Scenario { options, steps: Some(steps) }, rule, lines })
    })
}

/// A scenario under way.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) world: World,
    rule: Rule<'a>,
    /// The host in the world of each node, stranger and newcomer.
    pub(super) hosts: BTreeMap<usize, usize>,
    /// By host: it announced that it leaves; it will never start again.
    pub(super) left: Vec<bool>,
    pub(super) gone: Vec<bool>,
    /// Newcomers that die, and when.
    pub(super) dying: Vec<(usize, Time)>,
    /// Counts users' actions: every value is another.
    pub(super) values: u64,
    pub(super) clients: Clients,
}

/// How often a command is given before it is given up, a tenth of a second apart.
const COMMAND_TRIES: usize = 100;
/// Newcomers of one run at most.
const NEWCOMERS_MAX: usize = 20;

impl<'a> Run<'a> {
    fn begin(options: &'a Options, text: Text, rule: Rule<'a>) -> Run<'a> {
        let fair = Conditions { loss: 0.0, corruption: 0.0, ..options.weather.conditions() };
        let config = WorldConfig { conditions: fair, text, ..options.world() };
        let world = World::new(options.seed, config);
        Run {
            options,
            world,
            rule,
            hosts: BTreeMap::new(),
            left: Vec::new(),
            gone: Vec::new(),
            dying: Vec::new(),
            values: 0,
            clients: Clients::default(),
        }
    }

    fn all(&mut self, list: Option<&[Step]>, done: &mut Vec<Step>) -> Result<Passed, String> {
        self.start()?;
        self.world.net.conditions = self.options.weather.conditions();
        match list {
            Some(list) => {
                for step in list {
                    self.step(step.clone(), done)?;
                }
            }
            None => self.safety(done)?,
        }
        self.check()?;
        let healed = match self.options.generation {
            1 => self.first_calm()?,
            _ => self.calm()?,
        };
        let (trace, inputs) = (self.world.trace_hash(), self.world.inputs());
        let Clients { served, stale, .. } = self.clients;
        Ok(Passed { trace, healed, inputs, served, stale })
    }

    // The start.

    fn start(&mut self) -> Result<(), String> {
        let nodes = self.options.nodes;
        self.name_versions_and_places();
        for i in 0..nodes {
            let config = self.config(i);
            let tags = tags_of(&config, i);
            let host = self.world.add_node_with(&format!("n{i}"), config, tags, &[]);
            self.settle_in(i, host);
            if host > 0 {
                self.world.join(host, &[0]);
            }
            // Everybody knows two others: any one of them may be away.
            let seeds: Vec<usize> = (0..nodes.min(3)).filter(|&s| s < host).collect();
            self.world.set_join(host, &seeds);
        }
        for i in 0..self.options.strangers {
            let config = self.config(STRANGERS + i);
            let tags = tags_of(&config, i);
            let host = self.world.add_node_with(&format!("s{i}"), config, tags, &[]);
            self.settle_in(STRANGERS + i, host);
            if i > 0 {
                self.world.join(host, &[nodes]);
            }
            self.world.set_join(host, &[nodes]);
        }
        if self.options.generation == 1 {
            self.world.run_for(Duration::from_secs(3));
        } else if self.options.calm_start {
            self.meet()?;
        }
        let first: Vec<usize> = (0..nodes.min(3)).collect();
        for host in 0..nodes {
            let seeds: Vec<usize> = first.iter().copied().filter(|&s| s != host).collect();
            self.world.set_join(host, &seeds);
            if self.options.generation > 1 {
                let addrs = seeds.iter().map(|&s| self.world.addr(s)).collect();
                self.world.command(host, Command::SetSeeds { addrs });
            }
        }
        Ok(())
    }

    fn name_versions_and_places(&mut self) {
        let hosts = self.options.nodes + self.options.strangers + NEWCOMERS_MAX;
        if self.options.mixed {
            let newer = |host: usize| (host % 2 == 1).then_some(Dialect::Newer);
            self.world.set_dialects((0..hosts).map(newer).collect());
        }
        if self.options.weather.places > 1 {
            self.world.net.regions = Some(self.options.weather.regions(hosts));
        }
    }

    fn meet(&mut self) -> Result<(), String> {
        let bound = self.bound();
        let within = bound.unwrap_or(self.period() * 20);
        let met = self.world.run_while(within, self.period() / 5, |w| !w.all_see_their_own());
        if met.is_none() && bound.is_some() {
            let nodes = self.world.len();
            return Err(format!("rule 6: {nodes} nodes did not meet within {within:?}"));
        }
        Ok(())
    }

    /// The settings of a node or a stranger.
    pub(super) fn config(&self, node: usize) -> Config {
        let config =
            self.options.config(node % STRANGERS).expect("a scenario's settings are valid");
        match node {
            STRANGERS..NEWCOMERS => Config { cluster: "strangers".to_owned(), ..config },
            _ => config,
        }
    }

    pub(super) fn settle_in(&mut self, node: usize, host: usize) {
        assert_eq!(host, self.left.len(), "hosts come one after the other");
        self.hosts.insert(node, host);
        self.left.push(false);
        self.gone.push(false);
    }

    // Anything may fail, no rule may break.

    fn safety(&mut self, done: &mut Vec<Step>) -> Result<(), String> {
        let seed = Rng::from_u64(self.options.seed).bytes32();
        let first = self.options.generation == 1;
        let mut rng = Rng::fork(&seed, if first { "swarm actions" } else { "swarm actions 2" });
        let mut own = Rng::fork(&seed, "swarm clients");
        let end = self.world.now() + self.options.safety();
        while self.world.now() < end {
            if own.below(100) < self.options.clients {
                let step = clients::draw_step(self, &mut own);
                self.step(step, done)?;
            }
            let draw_step = if first { first::draw_step } else { second::draw_step };
            let step = draw_step(self, &mut rng);
            self.step(step, done)?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step, done: &mut Vec<Step>) -> Result<(), String> {
        let (action, then) = (step.action.clone(), Duration::from_millis(step.then_ms));
        done.push(step);
        self.world.say(&format!("{action:?}"));
        self.act(action)?;
        self.world.run_for(then);
        self.end_the_dying();
        // Comparing everything everywhere is dear where there are many.
        if self.options.nodes < 20 || done.len().is_multiple_of(8) {
            self.check()?;
        }
        Ok(())
    }

    fn end_the_dying(&mut self) {
        let now = self.world.now();
        for at in (0..self.dying.len()).rev() {
            if self.dying[at].1 <= now {
                let (host, _) = self.dying.swap_remove(at);
                self.lose(host);
            }
        }
        // A process ends when it has left.
        for host in 0..self.left.len() {
            let ended = self.options.generation > 1 && self.left[host] && self.world.is_up(host);
            if ended && !self.world.is_paused(host) && self.world.view(host).left() {
                self.world.crash(host);
            }
        }
    }

    /// This host never starts again, and its disk is lost.
    pub(super) fn lose(&mut self, host: usize) {
        if self.world.is_up(host) {
            self.world.crash(host);
        }
        self.world.lose_disk(host);
        self.gone[host] = true;
    }

    /// The rules that hold at any moment. What a liar says is believed, as long as nothing is
    /// signed: then only the limits are left.
    fn check(&self) -> Result<(), String> {
        let honest = self.options.liar.is_none();
        if honest {
            self.world.check_running()?;
        }
        within_limits(&self.world, honest)?;
        (self.rule)(&self.world)
    }

    // Calm weather, everything runs.

    fn calm(&mut self) -> Result<Option<Healed>, String> {
        self.end_faults();
        let every = self.period() / 5;
        let bound = self.bound().filter(|_| self.options.liar.is_none());
        let Some(bound) = bound else {
            for _ in 0..50 {
                self.world.run_for(every);
                self.check()?;
            }
            return Ok(None);
        };
        let calm = self.period() * 6;
        let healed = becomes_equal(&mut self.world, bound, every, calm)?;
        (self.rule)(&self.world)?;
        Ok(Some(healed))
    }

    /// The largest bound of all clusters that run.
    fn bound(&self) -> Option<Duration> {
        flow::equal_within(&self.config(0), self.world.up().count())
    }

    fn end_faults(&mut self) {
        self.world.net.calm();
        let latency = Duration::from_millis(self.options.world.disk_latency_ms);
        let now = self.world.now();
        for host in 0..self.world.len() {
            let disk = self.world.disk_mut(host);
            (disk.failing, disk.latency) = (false, latency);
            self.world.clock_mut(host).set_drift(now, 0);
            self.world.set_service_time(host, Duration::ZERO);
            if self.world.is_up(host) && self.world.is_paused(host) {
                self.world.resume(host);
            }
            // What only leavers held left with them.
            if self.left[host] && !self.gone[host] {
                self.lose(host);
            }
        }
        let dying: Vec<usize> = self.dying.drain(..).map(|d| d.0).collect();
        dying.into_iter().for_each(|host| self.lose(host));
        self.name_seeds();
        for host in 0..self.world.len() {
            if !self.world.is_up(host) && self.may_start(host) {
                self.world.restart(host);
            }
        }
    }

    /// Where what nodes know of each other by seeds falls apart, for seeds are gone or moved, an
    /// operator names others: nobody else can tell the parts of each other.
    fn name_seeds(&mut self) {
        for cluster in ["tidings", "strangers"] {
            let ours = |h: &usize| self.world.cluster(*h) == cluster && self.may_start(*h);
            let stay: Vec<usize> = (0..self.world.len()).filter(ours).collect();
            if self.hang_together(&stay) {
                continue;
            }
            let seeds: Vec<usize> = stay.iter().copied().take(3).collect();
            for &host in &stay {
                let others: Vec<usize> = seeds.iter().copied().filter(|&s| s != host).collect();
                self.world.set_join(host, &others);
                self.tell_seeds(host, &others);
            }
        }
    }

    /// A process that waits for its disk takes no command yet: it is told again.
    fn tell_seeds(&mut self, host: usize, seeds: &[usize]) {
        for _ in 0..COMMAND_TRIES {
            if !self.world.is_up(host) {
                return;
            }
            let addrs = seeds.iter().map(|&s| self.world.addr(s)).collect();
            let command = self.world.command(host, Command::SetSeeds { addrs });
            if self.world.reply_to(command) != Some(&Err(CommandError::Busy)) {
                return;
            }
            self.world.run_for(Duration::from_millis(100));
        }
    }

    /// Whether each of these hosts finds each other one by way of seeds.
    fn hang_together(&self, hosts: &[usize]) -> bool {
        let seeds = |host: usize| match self.world.is_up(host) {
            true => self.world.view(host).seeds(),
            false => self.world.joins(host).to_vec(),
        };
        let known: Vec<Vec<SocketAddr>> = hosts.iter().map(|&host| seeds(host)).collect();
        let knows = |a: usize, b: usize| known[a].contains(&self.world.addr(hosts[b]));
        let mut reached = vec![false; hosts.len()];
        let mut next: Vec<usize> = (0..hosts.len().min(1)).collect();
        while let Some(at) = next.pop() {
            if !std::mem::replace(&mut reached[at], true) {
                next.extend((0..hosts.len()).filter(|&b| knows(at, b) || knows(b, at)));
            }
        }
        reached.into_iter().all(|r| r)
    }

    pub(super) fn may_start(&self, host: usize) -> bool {
        !self.left[host] && !self.gone[host]
    }

    /// As the first generation did it: leavers run on for ten seconds.
    fn first_calm(&mut self) -> Result<Option<Healed>, String> {
        self.world.net.calm();
        let stay: Vec<usize> = (0..self.world.len()).filter(|&h| !self.left[h]).collect();
        let seeds_left = self.left.iter().take(3).all(|&left| left);
        for host in 0..self.world.len() {
            if seeds_left {
                // Every seed has left: an operator names another, here and where it runs.
                let others: Vec<usize> = stay.iter().copied().filter(|&s| s != host).collect();
                self.world.set_join(host, &others[..others.len().min(3)]);
            }
            if self.world.is_up(host) && self.world.is_paused(host) {
                self.world.resume(host);
            }
            if !self.world.is_up(host) && !self.left[host] {
                self.world.restart(host);
            }
        }
        for &host in stay.iter().filter(|_| seeds_left) {
            let others: Vec<usize> = stay.iter().copied().filter(|&s| s != host).collect();
            self.world.join(host, &others[..others.len().min(3)]);
        }
        let down: Vec<usize> =
            (0..self.world.len()).filter(|&h| self.left[h] && self.world.is_up(h)).collect();
        self.world.run_for(Duration::from_secs(10));
        for host in down {
            // What only leavers held left with them.
            self.world.destroy(host);
        }
        let every = Duration::from_millis(500);
        let bound = Duration::from_secs(60);
        becomes_equal(&mut self.world, bound, every, Duration::ZERO).map(Some)
    }

    // What draws may know.

    pub(super) fn period(&self) -> Duration {
        self.config(0).probe_period
    }

    /// Every node, stranger and newcomer that there is.
    pub(super) fn known(&self) -> Vec<usize> {
        self.hosts.keys().copied().collect()
    }

    pub(super) fn may_come(&self) -> bool {
        self.next_newcomer() < NEWCOMERS + NEWCOMERS_MAX
    }

    pub(super) fn next_newcomer(&self) -> usize {
        self.hosts.keys().next_back().map_or(NEWCOMERS, |&last| (last + 1).max(NEWCOMERS))
    }

    pub(super) fn runs(&self, node: usize) -> bool {
        self.world.is_up(self.hosts[&node])
    }

    pub(super) fn is_stopped(&self, node: usize) -> bool {
        self.world.is_paused(self.hosts[&node])
    }

    pub(super) fn is_slow(&self, node: usize) -> bool {
        !self.world.service_time(self.hosts[&node]).is_zero()
    }

    pub(super) fn disk_is_bad(&self, node: usize) -> bool {
        let disk = self.world.disk(self.hosts[&node]);
        disk.failing || disk.latency > Duration::from_millis(self.options.world.disk_latency_ms)
    }

    pub(super) fn has_left(&self, node: usize) -> bool {
        self.left[self.hosts[&node]]
    }
}

/// Where zones matter there are two, and members without one.
pub(super) fn tags_of(config: &Config, node: usize) -> &'static [(&'static str, &'static str)] {
    match (config.peer_choice, node % 3) {
        (PeerChoice::Zoned, 0) => &[("zone", "a")],
        (PeerChoice::Zoned, 1) => &[("zone", "b")],
        _ => &[],
    }
}

/// One node in one line, as it was at the end.
fn portrait(world: &World, host: usize) -> String {
    let (view, stats) = (world.view(host), world.node(host).stats());
    let mut members: Vec<String> = view
        .members()
        .map(|m| format!("{}/{:?}/{}@{}", m.name, m.id, m.status.as_str(), m.incarnation))
        .collect();
    members.sort();
    format!(
        "{} {:?} counts {:?} synced {} left {} health {} seeds {:?} seed contacts {} sessions {}+{} \
         requests {} failed {} prints {:x?} members {}",
        world.name(host),
        world.id(host),
        view.counts(),
        view.synced(),
        view.left(),
        view.local_health(),
        view.seeds(),
        stats.seed_contacts,
        stats.member_sessions,
        stats.state_sessions,
        stats.requests_sent,
        stats.requests_failed,
        view.fingerprints(),
        members.join(" "),
    )
}
