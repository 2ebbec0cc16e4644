//! Decides how fast a split ends: two seconds whatever its length (rows J4, J5, I5).

use std::time::Duration;

use tidings_proto::Config;
use tidings_sim::setup::counts;
use tidings_sim::{World, WorldConfig};

#[test]
fn a_split_of_any_length_heals_within_two_seconds() {
    let mut slow = Vec::new();
    for (split, side) in [(60, 50), (60, 10), (120, 50), (120, 10), (600, 50), (600, 10)] {
        let took = [101, 102, 103].map(|seed| heal(seed, split, side));
        println!("split of {split} s, {side} against {}: healed after {took:?}", 100 - side);
        if took.iter().any(|t| t.is_none_or(|t| t > Duration::from_secs(2))) {
            slow.push((split, side, took));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}

fn heal(seed: u64, split: u64, side: usize) -> Option<Duration> {
    let n = 100;
    let mut world = World::converged(seed, WorldConfig::default(), n, &Config::lan());
    world.run_for(Duration::from_secs(5));
    world.split_off(0..side);
    world.run_for(Duration::from_secs(split));
    let apart = world.up().filter(|&h| world.view(h).counts().0 < n).count();
    assert_eq!(apart, n, "both sides noticed the split: {:?}", counts(&world));
    world.net.heal();
    let every = Duration::from_millis(50);
    world.run_while(Duration::from_secs(60), every, |w| !w.all_see_alive(n))
}

/// I5: one member wrongly down is back within 3 rounds after the network is fine again.
#[test]
fn one_member_wrongly_down_is_back_within_three_rounds() {
    let n = 300;
    let mut world = World::converged(4, WorldConfig::default(), n, &Config::lan());
    world.run_for(Duration::from_secs(3));
    let mut slowest = Duration::ZERO;
    for host in [7, 77, 177] {
        world.split_off([host]);
        world.run_for(Duration::from_secs(40));
        world.net.heal();
        let every = Duration::from_millis(50);
        let back = world.run_while(Duration::from_secs(30), every, |w| !w.all_see_alive(n));
        slowest = slowest.max(back.expect("the member comes back"));
    }
    println!("wrongly down member back to all of {n} after at most {slowest:?}");
    assert!(slowest <= Duration::from_secs(3));
}

/// J4 at size (a thousand with `SOAK=1`): the heal is no storm and takes no longer.
#[test]
fn a_large_cluster_split_in_half_heals_as_fast() {
    let n = if tidings_sim::setup::soak() { 1000 } else { 300 };
    let config = WorldConfig { checks: false, ..WorldConfig::default() };
    let mut world = World::converged(5, config, n, &Config::lan());
    world.run_for(Duration::from_secs(3));
    world.split_off(0..n / 2);
    world.run_for(Duration::from_secs(120));
    world.net.heal();
    let before: Vec<_> = (0..n).map(|h| world.traffic(h)).collect();
    let every = Duration::from_millis(50);
    let healed = world.run_while(Duration::from_secs(60), every, |w| !w.all_see_alive(n));
    let busiest = (0..n).map(|h| {
        let t = world.traffic(h) - before[h];
        t.bytes_sent + t.bytes_received + t.stream_bytes_sent + t.stream_bytes_received
    });
    let busiest = busiest.max().unwrap();
    println!("{n} nodes split in half: healed after {healed:?}, busiest node {busiest} bytes");
    assert!(healed.is_some_and(|t| t <= Duration::from_secs(3)), "{:?}", counts(&world));
}
