//! Decides how an epidemic runs node by node in synchronous rounds: each call is drawn, and finds
//! its partner as it was at the start of the round (the model of PAPERS 2.2).

use tidings_proto::base::rng::Rng;

use super::aware::Aware;
use super::draw::partners;
use super::{Mode, ROUNDS_MAX, Run, Setting};

/// One run of a checked setting of fewer than 2^32 nodes, telling `seen` how many do not know at
/// the start and after each round.
pub fn run(setting: &Setting, rng: &mut Rng, seen: &mut dyn FnMut(u64)) -> Run {
    run_from(setting, setting.nodes as u32 - 1, rng, seen)
}

/// The same, when all but `unaware` (fewer than all) know already. Who they are makes no
/// difference, since all partners are equally likely.
pub fn run_from(setting: &Setting, unaware: u32, rng: &mut Rng, seen: &mut dyn FnMut(u64)) -> Run {
    let nodes = setting.nodes as u32;
    let mut after = Aware::new(nodes);
    (unaware..nodes).for_each(|node| after.learn(node));
    let mut before = after.clone();
    let (mut rounds, mut messages) = (0, 0);
    seen(u64::from(after.left()));
    while after.left() > 0 && rounds < ROUNDS_MAX {
        let mut round = Round { setting, rng, before: &before, after: &mut after, messages: 0 };
        match setting.mode {
            Mode::Push => round.calls(before.those(true)),
            Mode::Pull => round.calls(before.those(false)),
            Mode::PushPull => round.calls(0..nodes),
        }
        messages += round.messages;
        rounds += 1;
        before.copy_from(&after);
        seen(u64::from(after.left()));
    }
    Run { rounds: rounds as f64, messages_per_node: messages as f64 / setting.nodes as f64 }
}

struct Round<'a> {
    setting: &'a Setting,
    rng: &'a mut Rng,
    before: &'a Aware,
    after: &'a mut Aware,
    messages: u64,
}

impl Round<'_> {
    /// One who knows pushes, one who does not pulls.
    fn calls(&mut self, callers: impl Iterator<Item = u32>) {
        let (nodes, count) = (self.setting.nodes as u32, self.setting.calls() as u32);
        let mut called = Vec::new();
        for caller in callers {
            partners(self.rng, caller, nodes, count, &mut called);
            self.messages += u64::from(count);
            if self.before.knows(caller) {
                called.iter().for_each(|&partner| self.push(partner));
            } else {
                called.iter().for_each(|&partner| self.pull(caller, partner));
            }
        }
    }

    fn push(&mut self, to: u32) {
        if self.arrives() && self.setting.mode.pushes() {
            self.after.learn(to);
        }
    }

    fn pull(&mut self, caller: u32, from: u32) {
        if self.before.knows(from) && self.arrives() {
            self.messages += 1;
            if self.arrives() {
                self.after.learn(caller);
            }
        }
    }

    fn arrives(&mut self) -> bool {
        self.setting.loss == 0.0 || !self.rng.chance(self.setting.loss)
    }
}
