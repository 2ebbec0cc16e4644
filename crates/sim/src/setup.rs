//! Decides how tests set worlds up and measure them.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::Config;

use crate::observe::Topic;
use crate::world::{World, WorldConfig};

/// A cluster of `n` nodes, `n0`, `n1` and so on, that joined `n0` one after the other; runs until
/// all know all and take writes.
pub fn joined(seed: u64, world: WorldConfig, n: usize, config: &Config) -> World {
    let mut world = World::new(seed, world);
    for i in 0..n {
        let host = world.add_node(&format!("n{i}"), config.clone());
        if host > 0 {
            world.join(host, &[0]);
            world.set_join(host, &[0]);
        }
        world.run_for(Duration::from_millis(20));
    }
    if n > 1 {
        world.set_join(0, &[1]);
    }
    let every = Duration::from_millis(100);
    let all = world.run_while(Duration::from_secs(60), every, |w| {
        !w.all_see_alive(n) || w.up().any(|h| !w.view(h).synced())
    });
    assert!(all.is_some(), "{n} nodes are not one cluster after a minute: {:?}", counts(&world));
    world
}

/// Waits until all rules hold in a quiet world; returns how long it took.
pub fn settle(world: &mut World, within: Duration) -> Duration {
    let every = Duration::from_millis(100);
    match world.run_while(within, every, |w| w.check_quiet().is_err()) {
        Some(took) => took,
        None => {
            let broken = world.check_quiet().expect_err("the world did not settle");
            panic!("not equal after {within:?}: {broken}; counts {:?}", counts(world));
        }
    }
}

/// (alive, failed, left) as each running node sees them.
pub fn counts(world: &World) -> BTreeMap<(usize, usize, usize), usize> {
    let mut groups = BTreeMap::new();
    for host in world.up() {
        *groups.entry(world.view(host).counts()).or_default() += 1;
    }
    groups
}

/// Runs until a tracked topic reached this many hosts; returns the seconds each took, ascending.
pub fn spread(world: &mut World, topic: &Topic, hosts: usize, within: Duration) -> Vec<f64> {
    let every = Duration::from_millis(50);
    world.run_while(within, every, |w| {
        w.seen().spread(topic).is_some_and(|s| s.reached.len() < hosts)
    });
    let spread = world.untrack(topic);
    let mut took: Vec<f64> =
        spread.reached.values().map(|at| at.since(spread.since).as_secs_f64()).collect();
    took.sort_by(f64::total_cmp);
    assert_eq!(took.len(), hosts, "{topic:?} reached {} of {hosts} in {within:?}", took.len());
    took
}

/// Datagrams and payload bytes, sent plus received, per node and second over a span.
pub fn load(world: &mut World, span: Duration) -> (f64, f64) {
    let before: Vec<_> = (0..world.len()).map(|h| world.traffic(h)).collect();
    world.run_for(span);
    let (mut datagrams, mut bytes) = (0, 0);
    for (host, earlier) in before.into_iter().enumerate() {
        let traffic = world.traffic(host) - earlier;
        datagrams += traffic.datagrams_sent + traffic.datagrams_received;
        bytes += traffic.bytes_sent + traffic.bytes_received;
        bytes += traffic.stream_bytes_sent + traffic.stream_bytes_received;
    }
    let per = world.len() as f64 * span.as_secs_f64();
    (datagrams as f64 / per, bytes as f64 / per)
}

/// Whether the long forms of tests were asked for.
pub fn soak() -> bool {
    std::env::var_os("SOAK").is_some_and(|v| v == "1")
}

/// Peak resident memory of this process in MiB, where the system tells.
pub fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
