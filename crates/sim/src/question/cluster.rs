//! Decides how the questions use a virtual cluster: its size, its settling, and what is measured
//! of one key. A figure that is never reached is infinite, and misses its bar.

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::io::Stats;

use crate::observe::Topic;
use crate::world::{World, WorldConfig};

pub(super) const KEYSPACE: &str = "kv";

pub(super) fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A cluster whose members know each other and have been at rest for a while.
pub(super) fn rested(seed: u64, world: WorldConfig, n: usize, config: &Config) -> World {
    let mut world = World::converged(seed, world, n, config);
    world.run_for(secs(3));
    world
}

/// Seconds until each running node has applied a new value that `host` writes, ascending; what
/// took longer than `within` is infinite.
pub(super) fn spread(world: &mut World, host: usize, key: &str, within: Duration) -> Vec<f64> {
    let topic = Topic::key(KEYSPACE, key.as_bytes());
    let nodes = world.up().count();
    world.track(topic.clone());
    world.set(host, key, "v");
    world.run_while(within, ms(20), |w| {
        w.seen().spread(&topic).is_some_and(|s| s.reached.len() < nodes)
    });
    let spread = world.untrack(&topic);
    let reached = spread.reached.values().map(|at| at.since(spread.since).as_secs_f64());
    let mut took: Vec<f64> = reached.collect();
    took.resize(nodes, f64::INFINITY);
    took.sort_by(f64::total_cmp);
    took
}

/// Seconds until a condition holds, or infinity.
pub(super) fn until(world: &mut World, within: Duration, holds: impl Fn(&World) -> bool) -> f64 {
    let took = world.run_while(within, ms(50), |w| !holds(w));
    took.map_or(f64::INFINITY, |t| t.as_secs_f64())
}

/// A counter, summed over all running nodes.
pub(super) fn total(world: &World, count: impl Fn(&Stats) -> u64) -> f64 {
    world.up().map(|h| count(world.node(h).stats())).sum::<u64>() as f64
}
