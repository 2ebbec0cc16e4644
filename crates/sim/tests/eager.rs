//! Decides that the model of an agent's timers says what the packet simulator does with the same
//! settings: the mean and the 99th percentile within a tenth.

use std::time::Duration;

use tidings_proto::Config;
use tidings_sim::epidemic::eager::Cluster;
use tidings_sim::epidemic::stream;
use tidings_sim::observe::Topic;
use tidings_sim::setup::soak;
use tidings_sim::statistics::Summary;
use tidings_sim::{Conditions, World, WorldConfig};

/// Seconds until all nodes of the packet simulator have a key, for keys written one at a time.
fn packets(nodes: usize, config: &Config, loss: f64, writes: usize) -> Summary {
    let conditions = Conditions { loss, ..Conditions::lan() };
    let world = WorldConfig { conditions, checks: false, ..WorldConfig::default() };
    let mut world = World::converged(5, world, nodes, config);
    world.run_for(Duration::from_secs(3));
    let mut took = Vec::new();
    for write in 0..writes {
        let key = format!("k{write}");
        let topic = Topic::key("kv", key.as_bytes());
        world.track(topic.clone());
        world.set(write * 7 % nodes, &key, "v");
        let missing = |w: &World| w.seen().spread(&topic).is_none_or(|s| s.reached.len() < nodes);
        let all = world.run_while(Duration::from_secs(60), Duration::from_millis(100), missing);
        assert!(all.is_some(), "{nodes} nodes: {key} is not everywhere after a minute");
        // The next one meets a cluster at rest, at any phase of its probes.
        world.run_for(Duration::from_millis(700 + (write as u64 * 137) % 300));
        let spread = world.untrack(&topic);
        let last = spread.reached.values().max().expect("all nodes were reached");
        took.push(last.since(spread.since).as_secs_f64());
    }
    Summary::of(&mut took)
}

fn model(nodes: usize, config: &Config, loss: f64, runs: usize) -> Summary {
    let latency = Conditions::lan().latency;
    let cluster = Cluster { nodes: nodes as u32, config, latency, loss };
    cluster.check().expect("a cluster that can be");
    let took = (0..runs).map(|run| cluster.run(&mut stream(1, run)).seconds);
    Summary::of(&mut took.collect::<Vec<_>>())
}

#[test]
fn means_and_tails_are_those_of_the_packet_simulator() {
    let times = if soak() { 10 } else { 1 };
    let local = Config::local();
    let lan = Config::lan();
    let cases: [(usize, &Config, f64, usize); 5] = [
        (50, &lan, 0.0, 2000),
        (50, &lan, 0.1, 1000),
        (50, &local, 0.0, 1000),
        (100, &lan, 0.0, 700),
        (1000, &lan, 0.0, 25),
    ];
    for (nodes, config, loss, writes) in cases {
        let packets = packets(nodes, config, loss, writes * times);
        let model = model(nodes, config, loss, if nodes < 1000 { 20_000 } else { 1000 });
        println!("{nodes} nodes, loss {loss}\n  packets {packets:?}\n  model   {model:?}");
        let off = (model.mean - packets.mean).abs();
        // Most updates take milliseconds and some a tick, so a mean needs many of them.
        let noise = 2.0 * packets.se.hypot(model.se);
        assert!(off <= 0.1 * packets.mean + noise, "{nodes} nodes: mean off by {off} s");
        let off = (model.p99 - packets.p99).abs();
        assert!(off <= 0.1 * packets.p99, "{nodes} nodes: p99 off by {off} s");
    }
}

/// Row A9.
#[test]
fn the_smallest_clusters_are_told_at_once() {
    let lan = Config::lan();
    let of = |nodes| model(nodes, &lan, 0.0, 100);
    assert_eq!(of(1).max, 0.0);
    let one_way = 0.0008;
    assert!((2..=7).all(|nodes| of(nodes).max <= one_way), "all are told by the writer");
}

#[test]
fn either_path_alone_tells_all_and_reconciliation_is_not_to_be_left_out() {
    let silent = Config { rumours: false, ..Config::lan() };
    let alone = model(20, &silent, 0.0, 200);
    assert!(alone.p50 > 1.0 && alone.max < 60.0, "sessions alone take periods: {alone:?}");
    let latency = Conditions::lan().latency;
    let of = |config| Cluster { nodes: 20, config, latency, loss: 0.0 }.check();
    let config = Config { anti_entropy: false, ..Config::lan() };
    assert!(of(&config).unwrap_err().starts_with("anti_entropy false: expected true"));
    let config = Config { fanout: 0, ..Config::lan() };
    assert_eq!(of(&config).unwrap_err(), "fanout = 0: expected 1 to 64");
}
