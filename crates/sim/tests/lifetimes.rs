//! Decides that keys end when their time is over: never early, late by the way they came, whatever
//! wall clocks say, and that they never come back (rows D5, D9, D10).

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::CommandError;
use tidings_sim::setup::{joined, settle, soak};
use tidings_sim::{Conditions, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn holders(world: &World, key: &str) -> Vec<usize> {
    world.up().filter(|&host| world.get(host, key).is_some()).collect()
}

/// How far from each other replicas see a key end that reached them within this.
const WAY: Duration = Duration::from_millis(600);

/// Ten minutes of skew and steps of ten minutes, either way, end no key early and keep none.
#[test]
fn wall_clocks_neither_end_a_key_nor_keep_it() {
    let rounds = if soak() { 400 } else { 12 };
    // Forgetting apart: below the stamps of what was forgotten, sessions bring new keys, not rumours.
    let config = Config { forget_every: secs(3_600), ..Config::local() };
    let mut world = joined(1, WorldConfig::default(), 5, &config);
    world.clock_mut(0).step_wall(600_000);
    world.clock_mut(1).step_wall(-600_000);
    let sessions =
        |world: &World| -> u64 { world.up().map(|h| world.node(h).stats().state_sessions).sum() };
    world.run_for(secs(5));
    let before = sessions(&world);
    for round in 0..rounds {
        let key = format!("k{round}");
        world.set_for(round % 5, &key, "v", secs(10));
        world.run_for(secs(4));
        let by = if round % 2 == 0 { 600_000 } else { -600_000 };
        world.clock_mut((round + 2) % 5).step_wall(by);
        world.run_for(secs(6) - Duration::from_millis(50));
        assert_eq!(holders(&world, &key).len(), 5, "round {round}: ended early");
        world.run_for(WAY);
        assert!(holders(&world, &key).is_empty(), "round {round}: outlived its time");
    }
    settle(&mut world, secs(10));
    assert_eq!(sessions(&world), before, "what ends opens no session");
}

/// Whoever was away while a key ended, stopped, cut off or without its disk, brings it not back.
#[test]
fn an_ended_key_does_not_come_back_from_who_was_away() {
    for durable in [false, true] {
        let config = Config { durable, ..Config::local() };
        let mut world = joined(2, WorldConfig::default(), 6, &config);
        for i in 0..10 {
            world.set_for(i % 6, &format!("k{i}"), "v", secs(20));
        }
        world.run_for(secs(2));
        world.pause(5);
        world.crash(4);
        world.split_off([3]);
        world.run_for(secs(15));
        assert_eq!((0..10).filter(|i| world.get(0, format!("k{i}")).is_some()).count(), 10);
        world.run_for(secs(60));
        world.resume(5);
        world.clock_mut(4).step_wall(-600_000);
        world.restart(4);
        world.net.heal();
        world.run_for(secs(25));
        settle(&mut world, secs(20));
        for host in world.up() {
            let live = world.view(host).entry_counts().0;
            assert_eq!(live, 0, "durable {durable}: host {host} holds an ended key");
        }
    }
}

/// A key is renewed on one side while its time ends on the other: the renewal stands, everywhere.
#[test]
fn a_renewal_wins_over_a_concurrent_end() {
    let mut world = joined(3, WorldConfig::default(), 6, &Config::local());
    world.set_for(0, "lease", "a", secs(10));
    world.run_for(secs(9));
    world.split_off(0..2);
    world.set_for(0, "lease", "b", secs(30));
    world.run_for(secs(4));
    assert_eq!(holders(&world, "lease"), [0, 1]);
    world.net.heal();
    settle(&mut world, secs(15));
    assert!((0..6).all(|host| world.get(host, "lease").as_deref() == Some(b"b")));
    world.run_for(secs(30));
    assert!(holders(&world, "lease").is_empty());
}

/// The bound: a replica ends a key late by the time that it took to arrive, hop by hop, and a newcomer
/// counts what its teacher had left.
#[test]
fn what_is_left_is_counted_on_over_hops_and_restarts() {
    let mut world =
        joined(4, WorldConfig::default(), 3, &Config { durable: true, ..Config::local() });
    world.set_for(0, "k", "v", secs(30));
    world.run_for(secs(10));
    let late = world.add_node("late", Config::local());
    world.join(late, &[1]);
    world.crash(2);
    world.run_for(secs(10));
    world.restart(2);
    world.run_for(secs(10) - Duration::from_millis(100));
    assert_eq!(holders(&world, "k"), [0, 1, 2, 3]);
    world.run_for(WAY);
    assert!(holders(&world, "k").is_empty());
    settle(&mut world, secs(10));
}

/// Random lifetimes, overwrites and deletes under loss, splits and pauses: all come to the same, and
/// what was written last with a lifetime is gone when all lifetimes are over.
#[test]
fn lifetimes_converge_in_bad_weather() {
    let seeds = if soak() { 300 } else { 6 };
    for seed in 0..seeds {
        let mut rng = Rng::from_u64(seed);
        let conditions = Conditions { loss: 0.2, duplication: 0.1, ..Conditions::lan() };
        let weather = WorldConfig { conditions, ..WorldConfig::default() };
        let mut world = joined(100 + seed, weather, 5, &Config::local());
        let mut lasting = [false; 6];
        for _ in 0..60 {
            let (host, key) = (rng.index(5), rng.index(6));
            let name = format!("k{key}");
            match rng.below(10) {
                0 => world.split_off([rng.index(5)]),
                1 => world.net.heal(),
                2 => {
                    world.delete(host, &name);
                    lasting[key] = true;
                }
                _ => {
                    world.set_for(host, &name, "v", Duration::from_millis(500 + rng.below(8_000)));
                }
            }
            let by = rng.below(1_200_000) as i64 - 600_000;
            world.clock_mut(rng.index(5)).step_wall(by);
            world.run_for(Duration::from_millis(rng.below(900)));
        }
        world.net.heal();
        world.net.calm();
        world.run_for(secs(15));
        settle(&mut world, secs(30));
        for host in 0..5 {
            assert_eq!(world.view(host).entry_counts().0, 0, "seed {seed}, host {host}");
        }
    }
}

#[test]
fn a_lifetime_beyond_its_bounds_is_refused() {
    let mut world = joined(5, WorldConfig::default(), 1, &Config::local());
    for lifetime in [Duration::ZERO, secs(400 * 86_400)] {
        let id = world.set_for(0, "k", "v", lifetime);
        assert_eq!(world.reply_to(id), Some(&Err(CommandError::Lifetime { lifetime })));
    }
}
