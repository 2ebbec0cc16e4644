//! Decides what ten thousand nodes in one process cost. Runs with `SOAK=1` only.

use std::time::{Duration, Instant};

use tidings_proto::Config;
use tidings_proto::io::MemberChange;
use tidings_sim::setup::{peak_mib, soak, spread};
use tidings_sim::{Topic, World, WorldConfig};

fn converged(n: usize) -> World {
    let config = WorldConfig { checks: false, ..WorldConfig::default() };
    World::converged(1, config, n, &Config::lan())
}

/// A thousand idle nodes run at least fifty times faster than time.
#[test]
fn a_thousand_idle_nodes_run_fast() {
    let mut world = converged(1000);
    world.run_for(Duration::from_secs(3));
    let inputs = world.inputs();
    let started = Instant::now();
    world.run_for(Duration::from_secs(20));
    let wall = started.elapsed();
    println!(
        "1,000 idle nodes: {:.0} x real time, {:.0} inputs/s of wall time",
        20.0 / wall.as_secs_f64(),
        (world.inputs() - inputs) as f64 / wall.as_secs_f64()
    );
    // A quarter of the bar: other tests share the machine.
    assert!(20.0 / wall.as_secs_f64() >= 12.0);
}

#[test]
fn ten_thousand_nodes_take_one_join_and_one_key() {
    if !soak() {
        return;
    }
    let n = 10_000;
    let started = Instant::now();
    let mut world = converged(n);
    println!("{n} nodes converged: {:.1} s of wall time", started.elapsed().as_secs_f64());
    let timed = |world: &mut World, what: &str, span: u64| {
        let started = Instant::now();
        world.run_for(Duration::from_secs(span));
        let per_second = started.elapsed().as_secs_f64() / span as f64;
        println!("{what}: {per_second:.3} s of wall time per simulated second");
    };
    timed(&mut world, "idle", 5);
    let key = Topic::key("kv", b"k");
    world.track(key.clone());
    world.set(77, "k", "v");
    let started = (Instant::now(), world.now());
    let took = spread(&mut world, &key, n, Duration::from_secs(20));
    println!("key to all: {:.3} s", took.last().unwrap());
    let host = world.add_node("new", Config::lan());
    let join = Topic::Member { id: world.id(host), change: MemberChange::Join };
    world.track(join.clone());
    world.join(host, &[4242]);
    let took = spread(&mut world, &join, n, Duration::from_secs(20));
    println!("join to all: {:.3} s", took.last().unwrap());
    let simulated = world.now().since(started.1).as_secs_f64();
    println!(
        "busy: {:.3} s of wall time per simulated second",
        started.0.elapsed().as_secs_f64() / simulated
    );
    timed(&mut world, "idle again", 5);
    println!("peak memory: {:?} MiB", peak_mib());
    assert!(world.all_see_alive(n + 1));
    assert!(peak_mib().is_none_or(|mib| mib < 16 * 1024));
}
