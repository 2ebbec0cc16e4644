//! Decides that what breaks chitchat 0.13 does not break us: 1,050 nodes in one cluster (its digest
//! has to fit one datagram), keys that are not ASCII, and values of 70 kB (no delta holds one).

use std::time::Duration;

use tidings_proto::Config;
use tidings_sim::setup::{joined, settle};
use tidings_sim::{World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// All that node `host` reads in the keyspace, in key order.
fn holds(world: &World, host: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entries = world.view(host).entries("kv", b"");
    entries.map(|e| (e.key.to_vec(), e.value.expect("live").to_vec())).collect()
}

/// A newcomer to a thousand and fifty gets everything, and no packet is larger than the smallest MTU.
#[test]
fn chitchats_1050_nodes_in_one_cluster() {
    let n = 1050;
    let mut world = World::converged(1, WorldConfig::default(), n, &Config::lan());
    for writer in 0..30 {
        world.set(writer * 35, format!("from-{writer:02}"), [b'x'; 100]);
    }
    world.run_for(secs(5));
    let newcomer = world.add_node_with("newcomer", Config::lan(), &[], &[7]);
    let all = world.run_while(secs(20), Duration::from_millis(100), |w| {
        !w.all_see_alive(n + 1) || !w.view(newcomer).synced() || holds(w, newcomer).len() < 30
    });
    assert!(all.is_some(), "{:?}", tidings_sim::setup::counts(&world));
    world.set(newcomer, "from-newcomer", "hello");
    settle(&mut world, secs(30));
    for host in 0..=n {
        assert_eq!(holds(&world, host).len(), 31, "{}", world.name(host));
        assert!(world.largest_datagram(host) <= 1400);
    }
}

#[test]
fn chitchats_key_that_is_not_ascii() {
    let mut world = joined(2, WorldConfig::default(), 4, &Config::lan());
    let keys: [&[u8]; 6] = [
        "ключ".as_bytes(),
        "日本/東京".as_bytes(),
        "é".as_bytes(),
        "🦀".as_bytes(),
        &[0],
        &[0xff, 0xfe, b'/'],
    ];
    for (at, key) in keys.iter().enumerate() {
        world.set(at % 4, key, "значение");
    }
    settle(&mut world, secs(10));
    let late = world.add_node_with("опоздавший", Config::lan(), &[("зона", "東")], &[1]);
    world.run_for(secs(5));
    settle(&mut world, secs(10));
    for host in 0..=late {
        let mut sorted: Vec<&[u8]> = keys.to_vec();
        sorted.sort_unstable();
        let held = holds(&world, host);
        assert_eq!(held.iter().map(|(k, _)| &k[..]).collect::<Vec<_>>(), sorted);
        // A prefix may end within a character.
        let cut = &"日本".as_bytes()[..4];
        assert_eq!(world.view(host).entries("kv", cut).count(), 1);
        assert_eq!(world.get(host, "é").as_deref(), Some("значение".as_bytes()));
        let named = world.view(host).member("опоздавший").expect("a member");
        assert_eq!(named.tags.len(), 1);
    }
}

/// Also one of the largest size, to those who were there and to one who comes later; nobody's probes
/// fail meanwhile.
#[test]
fn chitchats_value_of_70_kilobytes() {
    let mut world = joined(3, WorldConfig::default(), 8, &Config::lan());
    let value = |n: usize, seed: usize| (0..n).map(|i| (i * 31 + seed) as u8).collect::<Vec<u8>>();
    let large = [("seventy", value(70_000, 1)), ("largest", value(512 * 1024, 2))];
    for (key, value) in &large {
        world.set(3, key, value);
    }
    world.set(4, "small", "beside them");
    settle(&mut world, secs(10));
    let late = world.add_node_with("late", Config::lan(), &[], &[0]);
    world.run_for(secs(5));
    settle(&mut world, secs(10));
    for host in 0..=late {
        for (key, value) in &large {
            assert_eq!(world.get(host, key).as_ref(), Some(value), "{key} at {}", world.name(host));
        }
        assert_eq!(world.get(host, "small").as_deref(), Some(&b"beside them"[..]));
        assert!(world.largest_datagram(host) <= 1400);
        assert_eq!(world.node(host).stats().probes_failed, 0);
    }
}
