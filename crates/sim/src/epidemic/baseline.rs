//! Decides what gossip is compared with (row A7): one node that tells all others in turn, and
//! flooding, where each node tells all others. The mode and fanout of a setting play no part.

use tidings_proto::base::rng::Rng;

use super::draw::binomial;
use super::{ROUNDS_MAX, Run, Setting};

/// The first node sends one message a round, to one node after the other, each again until it
/// arrives: N - 1 rounds without loss, and as many messages, all of one node.
pub fn sequential(setting: &Setting, rng: &mut Rng, seen: &mut dyn FnMut(u64)) -> Run {
    let mut rounds = 0;
    let mut unaware = setting.nodes - 1;
    seen(unaware);
    while unaware > 0 {
        rounds += 1;
        unaware -= u64::from(!rng.chance(setting.loss));
        seen(unaware);
    }
    let rounds = rounds as f64;
    Run { rounds, messages_per_node: rounds / setting.nodes as f64 }
}

/// Who has the news tells all others, once: one round without loss, and N - 1 messages per node.
/// Should nobody be new, all who know try again.
pub fn broadcast(setting: &Setting, rng: &mut Rng, seen: &mut dyn FnMut(u64)) -> Run {
    let others = setting.nodes - 1;
    let (mut unaware, mut fresh, mut rounds, mut messages) = (others, 1, 0, 0.0);
    seen(unaware);
    while unaware > 0 && rounds < ROUNDS_MAX {
        let senders = if fresh == 0 { setting.nodes - unaware } else { fresh };
        messages += senders as f64 * others as f64;
        let left = binomial(rng, unaware, libm::pow(setting.loss, senders as f64));
        fresh = unaware - left;
        unaware = left;
        rounds += 1;
        seen(unaware);
    }
    messages += fresh as f64 * others as f64; // the last do not know that they are the last
    Run { rounds: rounds as f64, messages_per_node: messages / setting.nodes as f64 }
}
