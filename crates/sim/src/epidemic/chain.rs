//! Decides how an epidemic runs as a chain of counts: the state is how many nodes do not know
//! yet, so a run costs its rounds and not its nodes (PAPERS 2.3). Rounds are synchronous: what a
//! call finds is the state at the start of the round.

use tidings_proto::base::rng::Rng;

use super::draw::{Shower, binomial};
use super::{ROUNDS_MAX, Run, Setting, Spread};
use crate::work::Work;

/// Independent runs; None if the work was stopped before any was done.
pub fn sample(setting: &Setting, runs: usize, work: &Work<'_>) -> Option<Spread> {
    super::sample(run, setting, runs, work)
}

/// One run of a checked setting, telling `seen` how many do not know at the start and after each
/// round.
pub fn run(setting: &Setting, rng: &mut Rng, seen: &mut dyn FnMut(u64)) -> Run {
    run_from(setting, setting.nodes - 1, rng, seen)
}

/// The same, when all but `unaware` (fewer than all) know already.
pub fn run_from(
    setting: &Setting,
    mut unaware: u64,
    rng: &mut Rng,
    seen: &mut dyn FnMut(u64),
) -> Run {
    let (mut rounds, mut messages) = (0, 0.0);
    seen(unaware);
    while unaware > 0 && rounds < ROUNDS_MAX {
        messages += sent(setting, unaware);
        unaware = after_round(setting, rng, unaware);
        rounds += 1;
        seen(unaware);
    }
    Run { rounds: rounds as f64, messages_per_node: messages / setting.nodes as f64 }
}

/// How many still do not know after a round. Push and pull of one round are independent, since
/// those who push are not those who learn by pulling.
fn after_round(setting: &Setting, rng: &mut Rng, unaware: u64) -> u64 {
    let mut left = unaware;
    if setting.mode.pushes() {
        let senders = setting.nodes - unaware;
        let (fanout, others) = (setting.calls(), setting.nodes - 1);
        left = Shower { senders, fanout, others, loss: setting.loss }.missed(rng, left);
    }
    if setting.mode.pulls() && left > 0 {
        left = binomial(rng, left, pull_fails(setting, unaware));
    }
    left
}

/// Probability that a node that does not know learns nothing from its own calls of a round:
/// E[(1 - q)^H], where H of the nodes called know (hypergeometric) and request and reply both
/// arrive with probability q. Terms are relative to the first, and all positive.
fn pull_fails(setting: &Setting, unaware: u64) -> f64 {
    let aware = (setting.nodes - unaware) as f64;
    let (ignorant, calls) = ((unaware - 1) as f64, setting.calls() as f64);
    let fails = 1.0 - (1.0 - setting.loss) * (1.0 - setting.loss);
    let first = (calls - ignorant).max(0.0);
    let (mut term, mut hit) = (1.0, first);
    let (mut all, mut failed, mut power) = (0.0, 0.0, libm::pow(fails, first));
    loop {
        all += term;
        failed += term * power;
        if hit >= calls.min(aware) {
            return failed / all;
        }
        term *= (aware - hit) * (calls - hit) / ((hit + 1.0) * (ignorant - calls + hit + 1.0));
        power *= fails;
        hit += 1.0;
        if all > 1e250 {
            (term, all, failed) = (term / 1e250, all / 1e250, failed / 1e250);
        }
    }
}

/// Messages of one round. Replies enter by their mean, given the state.
fn sent(setting: &Setting, unaware: u64) -> f64 {
    let (nodes, unaware) = (setting.nodes as f64, unaware as f64);
    let (aware, calls) = (nodes - unaware, setting.calls() as f64);
    let replies = unaware * calls * (1.0 - setting.loss) * aware / (nodes - 1.0);
    match setting.mode {
        super::Mode::Push => aware * calls,
        super::Mode::Pull => unaware * calls + replies,
        super::Mode::PushPull => nodes * calls + replies,
    }
}
