//! Decides how an epidemic runs under timers that are not synchronised, as those of real agents:
//! equal periods, phases at random, no latency. A call finds its partners as they are now, so news
//! chains inside a period (PAPERS 2.1).

use tidings_proto::base::rng::Rng;

use super::aware::Aware;
use super::draw::{below, partners};
use super::{ROUNDS_MAX, Run, Setting};

/// One run of a checked setting of fewer than 2^32 nodes, telling `seen` how many do not know at
/// the start and after each period. Its rounds are periods, and fractions of them.
pub fn run(setting: &Setting, rng: &mut Rng, seen: &mut dyn FnMut(u64)) -> Run {
    let nodes = setting.nodes as u32;
    let mut spread = Spread { setting, rng, aware: Aware::new(nodes), messages: 0 };
    let source = below(spread.rng, nodes);
    spread.aware.learn(source);
    seen(u64::from(spread.aware.left()));
    let (mut periods, mut last) = (0, None);
    while spread.aware.left() > 0 && periods < ROUNDS_MAX {
        last = spread.period();
        periods += 1;
        seen(u64::from(spread.aware.left()));
    }
    let Spread { rng, messages, .. } = spread;
    let whole = periods.saturating_sub(1) as f64;
    let rounds = last.map_or(periods as f64, |node| whole + phase(rng, node, nodes));
    Run { rounds, messages_per_node: messages as f64 / setting.nodes as f64 }
}

struct Spread<'a> {
    setting: &'a Setting,
    rng: &'a mut Rng,
    aware: Aware,
    messages: u64,
}

impl Spread<'_> {
    /// All timers fire once, in the order of the phases, which is that of the nodes' numbers. The
    /// caller after whose call all know.
    fn period(&mut self) -> Option<u32> {
        let (nodes, count) = (self.setting.nodes as u32, self.setting.calls() as u32);
        let mut called = Vec::new();
        for caller in 0..nodes {
            partners(self.rng, caller, nodes, count, &mut called);
            self.rng.shuffle(&mut called);
            called.iter().for_each(|&partner| self.contact(caller, partner));
            if self.aware.left() == 0 {
                return Some(caller);
            }
        }
        None
    }

    /// The contacts of one call follow each other, so a caller passes on to the next what it
    /// learnt from the one before.
    fn contact(&mut self, caller: u32, partner: u32) {
        if self.aware.knows(caller) {
            if self.setting.mode.pushes() {
                self.messages += 1;
                if self.arrives() {
                    self.aware.learn(partner);
                }
            }
        } else if self.setting.mode.pulls() {
            self.messages += 1;
            if self.aware.knows(partner) && self.arrives() {
                self.messages += 1;
                if self.arrives() {
                    self.aware.learn(caller);
                }
            }
        }
    }

    fn arrives(&mut self) -> bool {
        self.setting.loss == 0.0 || !self.rng.chance(self.setting.loss)
    }
}

/// The phase of the node with this number, as a share of the period: phases are uniform, and
/// nodes are numbered by phase, so it is an order statistic, a sum of exponential gaps over the
/// sum of all.
fn phase(rng: &mut Rng, node: u32, nodes: u32) -> f64 {
    let mut gaps = |count: u32| -> f64 { (0..count).map(|_| -libm::log(1.0 - rng.unit())).sum() };
    let before = gaps(node + 1);
    before / (before + gaps(nodes - node))
}
