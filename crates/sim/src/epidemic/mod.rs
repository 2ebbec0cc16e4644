//! Decides what the bare epidemic is: nodes that know or do not, rounds, and no packets. Node by
//! node up to a million, as a chain of counts beyond; both are held against each other.

mod aware;
pub mod baseline;
pub mod chain;
pub mod draw;
pub mod eager;
pub mod jittered;
pub mod median_counter;
pub mod rounds;
pub mod rumor;

use std::ops::Range;

use tidings_proto::base::rng::Rng;

use crate::statistics::Summary;
use crate::work::Work;

pub const NODES_MAX: u64 = 1_000_000_000;
pub const FANOUT_MAX: u32 = 1_000;
/// Above it an epidemic takes ages; at 1 it never ends.
pub const LOSS_MAX: f64 = 0.99;
/// No run goes on for longer. With [`LOSS_MAX`], 10^9 nodes and a fanout of 1, a run by pull is
/// this long with a probability below e^-70.
pub const ROUNDS_MAX: u64 = 1_000_000;

/// Who sends the news in a contact: the caller, the called, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Push,
    Pull,
    PushPull,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Push, Mode::Pull, Mode::PushPull];

    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Push => "push",
            Mode::Pull => "pull",
            Mode::PushPull => "push-pull",
        }
    }

    pub fn pushes(self) -> bool {
        self != Mode::Pull
    }

    pub fn pulls(self) -> bool {
        self != Mode::Push
    }
}

impl std::str::FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Mode, String> {
        let found = Mode::ALL.into_iter().find(|m| m.as_str() == text);
        found.ok_or_else(|| format!("{text:?}: expected push, pull or push-pull"))
    }
}

/// One update that starts at one of `nodes` and is passed on until all know it. In each round a
/// node calls `fanout` distinct others, uniformly chosen (all others, if there are no more).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    pub mode: Mode,
    pub nodes: u64,
    pub fanout: u32,
    /// Probability that a message is lost: a push, the request of a pull, its reply.
    pub loss: f64,
}

impl Setting {
    /// Names the value that cannot be, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let Setting { nodes, fanout, loss, .. } = *self;
        if !(1..=NODES_MAX).contains(&nodes) {
            return Err(format!("nodes {nodes}: expected 1 to {NODES_MAX}"));
        }
        if !(1..=FANOUT_MAX).contains(&fanout) {
            return Err(format!("fanout {fanout}: expected 1 to {FANOUT_MAX}"));
        }
        if !(0.0..=LOSS_MAX).contains(&loss) {
            return Err(format!(
                "loss {loss}: expected 0 to {LOSS_MAX}; at 1 nothing ever arrives"
            ));
        }
        Ok(())
    }

    /// Whom a node can call in one round.
    fn calls(&self) -> u64 {
        u64::from(self.fanout).min(self.nodes - 1)
    }
}

/// What one run took until all nodes knew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Whole rounds, or periods where timers are not synchronised.
    pub rounds: f64,
    /// Messages of any kind by any node, lost ones too, over the number of nodes. Push: one per
    /// call of a node that knows. Pull: one per call of a node that does not, and each reply that
    /// carries the news. Push-pull: one per call, all nodes call, and each such reply.
    pub messages_per_node: f64,
}

/// What a sample of runs took.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    pub rounds: Summary,
    pub messages: Summary,
    /// Mean number of nodes that know after 0, 1, 2 ... rounds.
    pub curve: Vec<f64>,
}

/// Runs one epidemic; is told how many do not know yet at the start and after each round.
pub type Engine = fn(&Setting, &mut Rng, &mut dyn FnMut(u64)) -> Run;

/// Independent runs, each with randomness of its own from the work's seed. None if the work was
/// stopped before any was done.
pub fn sample(
    engine: impl Fn(&Setting, &mut Rng, &mut dyn FnMut(u64)) -> Run + Sync,
    setting: &Setting,
    runs: usize,
    work: &Work<'_>,
) -> Option<Spread> {
    let what =
        format!("{} {} nodes, fanout {}", setting.mode.as_str(), setting.nodes, setting.fanout);
    let done = batches(&what, runs, work, |batch| {
        let mut sums = Sums::default();
        batch.for_each(|run| sums.add(&engine, setting, &mut stream(work.seed, run)));
        sums
    });
    let mut all = Sums::default();
    done.into_iter().for_each(|sums| all.join(sums));
    all.spread(setting.nodes)
}

/// One result for each run that was done, in order.
pub fn each_run<R: Send>(
    what: &str,
    runs: usize,
    work: &Work<'_>,
    run: impl Fn(&mut Rng) -> R + Sync,
) -> Vec<R> {
    let some = |batch: Range<usize>| -> Vec<R> {
        batch.map(|number| run(&mut stream(work.seed, number))).collect()
    };
    batches(what, runs, work, some).into_iter().flatten().collect()
}

/// Runs in batches: how many are in one changes nothing but the time.
fn batches<R: Send>(
    what: &str,
    runs: usize,
    work: &Work<'_>,
    run: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    let size = (runs / (8 * work.jobs)).clamp(1, 64);
    let all: Vec<_> = (0..runs).step_by(size).map(|from| from..runs.min(from + size)).collect();
    work.map(what, &all, |batch| run(batch.clone())).into_iter().flatten().collect()
}

/// The randomness of one run.
pub fn stream(seed: u64, run: usize) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(run as u64).to_le_bytes());
    Rng::fork(&bytes, "epidemic")
}

#[derive(Default)]
struct Sums {
    rounds: Vec<f64>,
    messages: Vec<f64>,
    /// After 0, 1, 2 ... rounds, summed over the runs: nodes that do not know.
    unaware: Vec<u64>,
}

impl Sums {
    fn add(
        &mut self,
        engine: impl Fn(&Setting, &mut Rng, &mut dyn FnMut(u64)) -> Run,
        setting: &Setting,
        rng: &mut Rng,
    ) {
        let mut round = 0;
        let unaware = &mut self.unaware;
        let run = engine(setting, rng, &mut |count| {
            if round == unaware.len() {
                unaware.push(0);
            }
            unaware[round] += count;
            round += 1;
        });
        self.rounds.push(run.rounds);
        self.messages.push(run.messages_per_node);
    }

    fn join(&mut self, other: Sums) {
        self.rounds.extend(other.rounds);
        self.messages.extend(other.messages);
        self.unaware.resize(self.unaware.len().max(other.unaware.len()), 0);
        for (sum, more) in self.unaware.iter_mut().zip(other.unaware) {
            *sum += more;
        }
    }

    fn spread(mut self, nodes: u64) -> Option<Spread> {
        if self.rounds.is_empty() {
            return None;
        }
        let runs = self.rounds.len() as f64;
        let curve = self.unaware.iter().map(|&sum| nodes as f64 - sum as f64 / runs).collect();
        let (rounds, messages) = (&mut self.rounds, &mut self.messages);
        Some(Spread { rounds: Summary::of(rounds), messages: Summary::of(messages), curve })
    }
}
