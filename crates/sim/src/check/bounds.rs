//! Rule 8: no input grows a node past its limits or blocks its probe loop. (That none panics is
//! seen by whoever runs the world.)

use std::collections::BTreeMap;

use tidings_proto::Time;
use tidings_proto::limits::WRITES_PER_COMMAND_MAX;
use tidings_proto::node::Holding;

use crate::world::World;

/// Every list of every running node is within its limit and, where nobody lies, within what the
/// world can explain: as many members as identities ever started, as many keys as were written.
pub fn within_limits(world: &World, honest: bool) -> Result<(), String> {
    let all = |n: usize| if honest { n } else { usize::MAX };
    let born = all(world.watch.born_ever());
    let written = all(world.commands as usize * WRITES_PER_COMMAND_MAX);
    for host in world.up() {
        for holding in world.view(host).holdings() {
            if let Some(found) = judge(&holding, born, written) {
                return Err(format!("rule 8: {} holds {found}", world.name(host)));
            }
        }
    }
    Ok(())
}

fn judge(holding: &Holding, born: usize, written: usize) -> Option<String> {
    let explained = match holding.what {
        "members" | "forgotten members" | "suspicions" | "evidence" | "cursors" | "writers"
        | "event senders" => born,
        "entries" | "staged entries" | "writes under way" => written,
        _ => holding.max,
    };
    let max = explained.min(holding.max);
    (holding.count > max).then(|| format!("{} {}: expected {max}", holding.count, holding.what))
}

/// Whether running nodes keep probing.
#[derive(Debug, Default)]
pub struct ProbeLoop {
    looks: BTreeMap<usize, Look>,
}

#[derive(Debug)]
struct Look {
    life: u64,
    sent: u64,
    since: Time,
    /// The worst local health since then.
    health: u32,
}

impl ProbeLoop {
    /// Looked at every so often while nothing is stopped or slow: a node with a live peer sends a
    /// probe every period, stretched by its local health.
    pub fn check(&mut self, world: &World) -> Result<(), String> {
        for host in world.up() {
            let (view, sent) = (world.view(host), world.node(host).stats().probes_sent);
            let health = view.local_health();
            let look = Look { life: world.life(host), sent, since: world.now(), health };
            let last = self.looks.entry(host).or_insert(look);
            let idle = view.counts().0 < 2 || view.left() || world.is_paused(host);
            if last.life != world.life(host) || last.sent != sent || idle {
                *last = Look { life: world.life(host), sent, since: world.now(), health };
                continue;
            }
            last.health = last.health.max(health);
            // More, as the health may have been worse between two looks, and a turn may be lost on
            // an earlier life at the node's own address.
            let most = view.config().probe_period * (last.health + 4);
            let silent = world.now().since(last.since);
            if silent > most {
                return Err(format!(
                    "rule 8: {} has not probed for {silent:?} at health {}: expected {most:?}",
                    world.name(host),
                    last.health
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::joined;
    use crate::world::WorldConfig;
    use std::time::Duration;
    use tidings_proto::Config;

    #[test]
    fn a_list_that_is_too_long_is_found() {
        let of = |what, count| Holding { what, count, max: 64 };
        assert_eq!(judge(&of("requests under way", 64), 3, 9), None);
        assert!(judge(&of("requests under way", 65), 3, 9).is_some());
        let found = judge(&of("members", 4), 3, 9).expect("more than ever were");
        assert_eq!(found, "4 members: expected 3");
        assert!(judge(&of("entries", 10), 3, 9).is_some());
        let world = joined(1, WorldConfig::default(), 3, &Config::local());
        assert_eq!(within_limits(&world, true), Ok(()));
    }

    /// Mutation: a node that is stopped, and a check that is not told.
    #[test]
    fn a_probe_loop_that_stands_still_is_found() {
        let mut world = joined(1, WorldConfig::default(), 3, &Config::local());
        let mut probing = ProbeLoop::default();
        for _ in 0..100 {
            world.run_for(Duration::from_millis(100));
            assert_eq!(probing.check(&world), Ok(()));
        }
        world.set_service_time(1, Duration::from_secs(3600));
        let mut found = Ok(());
        for _ in 0..100 {
            world.run_for(Duration::from_millis(100));
            found = found.and_then(|()| probing.check(&world));
        }
        assert!(found.unwrap_err().starts_with("rule 8: n1 has not probed for"));
    }
}
