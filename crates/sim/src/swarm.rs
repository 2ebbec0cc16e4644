//! Decides random scenarios: options drawn from the seed (each run leaves some faults out and
//! exaggerates others), a phase in which anything may fail and no rule may break, then calm and
//! a bound within which everything must be equal.

use std::fmt;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::Command;

use crate::network::{Conditions, Latency, Shape};
use crate::trace::Text;
use crate::world::{World, WorldConfig};

/// What one seed means. Printed with a failure.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    pub nodes: usize,
    pub durable: bool,
    pub conditions: Conditions,
    pub unreachable: bool,
    pub rumours: bool,
    pub anti_entropy: bool,
    pub keys: u64,
    pub safety: Duration,
    /// Weight of each action, in the order of [`ACTIONS`].
    pub weights: [u64; ACTIONS.len()],
    pub text: Text,
}

/// What can happen in the safety phase.
pub const ACTIONS: [&str; 15] = [
    "set", "delete", "emit", "tag", "crash", "destroy", "restart", "pause", "resume", "split",
    "cut", "block", "heal", "clock", "leave",
];

/// A broken rule, and how to see it again.
#[derive(Debug)]
pub struct Broken {
    pub options: Options,
    pub rule: String,
    /// What happened, where text was asked for.
    pub lines: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.options.seed;
        write!(
            f,
            "SEED={seed} cargo test -p tidings-sim --test swarm -- --exact replay --nocapture # {}",
            self.rule
        )
    }
}

impl Options {
    /// What a seed stands for: the same for ever.
    pub fn draw(seed: u64) -> Options {
        let mut rng = Rng::fork(&Rng::from_u64(seed).bytes32(), "swarm options");
        let mut weights = [0; ACTIONS.len()];
        for weight in &mut weights {
            *weight = if rng.chance(0.4) { 0 } else { 1 + rng.below(10) };
        }
        weights[0] += 5; // there is always something to lose
        weights[6] += 2; // what crashed comes back
        weights[8] += 2;
        weights[12] += 1;
        let ms = Duration::from_millis;
        let latency = match rng.below(3) {
            0 => Latency::Constant(ms(1)),
            1 => Latency::Uniform(ms(0), ms(1 + rng.below(30))),
            _ => Latency::Exponential { floor: ms(1), mean: ms(1 + rng.below(20)) },
        };
        let some = |rng: &mut Rng, most: f64| {
            if rng.chance(0.5) { 0.0 } else { rng.unit() * most }
        };
        let conditions = Conditions {
            latency,
            loss: some(&mut rng, 0.3),
            duplication: some(&mut rng, 0.2),
            corruption: some(&mut rng, 0.05),
            ..Conditions::lan()
        };
        let one_path = rng.below(6);
        Options {
            seed,
            nodes: 2 + rng.index(8),
            durable: rng.chance(0.6),
            conditions,
            unreachable: rng.chance(0.7),
            rumours: one_path != 0,
            anti_entropy: true,
            keys: 1 + rng.below(12),
            safety: Duration::from_secs(20 + rng.below(60)),
            weights,
            text: Text::Off,
        }
    }

    fn config(&self) -> Config {
        Config {
            durable: self.durable,
            rumours: self.rumours,
            anti_entropy: self.anti_entropy,
            ..Config::local()
        }
    }
}

/// Runs one scenario. Each broken rule comes back as the line that replays it.
pub fn run(seed: u64) -> Result<World, Box<Broken>> {
    run_options(Options::draw(seed))
}

pub fn run_options(options: Options) -> Result<World, Box<Broken>> {
    let mut run = Run::start(&options);
    let result = run.safety().and_then(|()| run.liveness());
    match result {
        Ok(()) => Ok(run.world),
        Err(rule) => {
            let mut lines = run.world.trace_lines();
            lines.extend(run.world.up().map(|h| portrait(&run.world, h)));
            Err(Box::new(Broken { options, rule, lines }))
        }
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

struct Run<'a> {
    options: &'a Options,
    rng: Rng,
    world: World,
    left: Vec<bool>,
    values: u64,
}

/// After the weather is calm and everything runs, this long for all to be equal.
const LIVENESS: Duration = Duration::from_secs(60);

impl<'a> Run<'a> {
    fn start(options: &'a Options) -> Run<'a> {
        let config = WorldConfig {
            conditions: Conditions { loss: 0.0, corruption: 0.0, ..options.conditions },
            unreachable: options.unreachable,
            text: options.text,
            ..WorldConfig::default()
        };
        let mut world = World::new(options.seed, config);
        for i in 0..options.nodes {
            let host = world.add_node(&format!("n{i}"), options.config());
            // Everybody knows two others: any one of them may be away.
            let seeds: Vec<usize> = (0..options.nodes.min(3)).filter(|&s| s != host).collect();
            if host > 0 {
                world.join(host, &[0]);
            }
            let known: Vec<usize> = seeds.into_iter().filter(|&s| s < world.len()).collect();
            world.set_join(host, &known);
        }
        world.run_for(Duration::from_secs(3));
        for host in 0..options.nodes {
            let seeds: Vec<usize> = (0..options.nodes.min(3)).filter(|&s| s != host).collect();
            world.set_join(host, &seeds);
        }
        world.net.conditions = options.conditions;
        let rng = Rng::fork(&Rng::from_u64(options.seed).bytes32(), "swarm actions");
        Run { options, rng, world, left: vec![false; options.nodes], values: 0 }
    }

    /// Anything may fail, no rule may break.
    fn safety(&mut self) -> Result<(), String> {
        let end = self.world.now() + self.options.safety;
        let total: u64 = self.options.weights.iter().sum();
        while self.world.now() < end {
            let mut draw = self.rng.below(total);
            let mut action = 0;
            while draw >= self.options.weights[action] {
                draw -= self.options.weights[action];
                action += 1;
            }
            self.act(ACTIONS[action]);
            let pause = if self.rng.chance(0.5) { 20 } else { 1500 };
            self.world.run_for(Duration::from_millis(self.rng.below(pause)));
            self.world.check_running()?;
        }
        Ok(())
    }

    /// Calm weather, everything runs: all must be equal within a bound.
    fn liveness(&mut self) -> Result<(), String> {
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
        let live = self.world.up().count();
        let every = Duration::from_millis(500);
        let took = self
            .world
            .run_while(LIVENESS, every, |w| !w.all_see_alive(live) || w.check_quiet().is_err());
        if took.is_some() {
            return Ok(());
        }
        self.world.check_quiet()?;
        let counts: Vec<_> = self.world.up().map(|h| self.world.view(h).counts()).collect();
        Err(format!("rule 6: {live} live, seen as {counts:?}"))
    }

    fn act(&mut self, action: &str) {
        let host = self.rng.index(self.options.nodes);
        let other = (host + 1 + self.rng.index(self.options.nodes - 1)) % self.options.nodes;
        let up = self.world.is_up(host);
        let running = up && !self.world.is_paused(host) && !self.left[host];
        self.world.say(&format!("{action} n{host} n{other}"));
        match action {
            "set" | "delete" | "emit" | "tag" if running => self.user(host, action),
            "crash" if up && !self.left[host] => self.world.crash(host),
            "destroy" if up && !self.left[host] => self.world.destroy(host),
            "restart" if !up && !self.left[host] => self.world.restart(host),
            "pause" if running => self.world.pause(host),
            "resume" if up && self.world.is_paused(host) => self.world.resume(host),
            "split" => {
                let side: Vec<usize> =
                    (0..self.options.nodes).filter(|_| self.rng.chance(0.5)).collect();
                self.world.split_off(side);
            }
            "cut" if self.rng.chance(0.5) => self.world.net.cut(host, other),
            "cut" => self.world.net.cut_one_way(host, other),
            "block" if self.rng.chance(0.5) => self.world.net.block(host, other, Shape::Datagram),
            "block" => self.world.net.block(host, other, Shape::Stream),
            "heal" => self.world.net.heal(),
            "clock" => {
                let by = self.rng.below(1_200_000) as i64 - 600_000;
                self.world.clock_mut(host).step_wall(by);
            }
            "leave" if running && self.left.iter().filter(|l| !**l).count() > 2 => {
                self.left[host] = true;
                self.world.command(host, Command::Leave);
            }
            _ => {}
        }
    }

    fn user(&mut self, host: usize, action: &str) {
        self.values += 1;
        let key = format!("k{}", self.rng.below(self.options.keys));
        let value = format!("v{}", self.values);
        match action {
            "set" => {
                let large = self.rng.chance(0.02);
                let value = if large { value.repeat(1000) } else { value };
                self.world.set(host, key, value);
            }
            "delete" => {
                self.world.delete(host, key);
            }
            "emit" => {
                self.world.emit(host, &key, value.as_bytes());
            }
            _ => {
                let set = vec![(key, value)];
                self.world.command(host, Command::SetTags { set, unset: Vec::new() });
            }
        }
    }
}
