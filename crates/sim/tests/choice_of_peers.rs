//! Decides that a node tells the right peers: nobody waits for ever (C2), those who refuse are
//! replaced (C8), owners of a range that moves hear first (C6).

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::config::PeerChoice;
use tidings_proto::io::{Command, CommandError};
use tidings_sim::setup::spread;
use tidings_sim::statistics::percentile;
use tidings_sim::{Topic, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Seconds until a key was at all, for each of several keys.
fn times(world: &mut World, keys: usize) -> Vec<f64> {
    let n = world.len();
    let time = |i: usize| {
        let key = format!("key{i}");
        let topic = Topic::key("kv", key.as_bytes());
        world.track(topic.clone());
        world.set(i * 7 % n, &key, "value");
        spread(world, &topic, n, secs(20))[n - 1]
    };
    (0..keys).map(time).collect()
}

fn mean(of: impl Iterator<Item = f64> + Clone) -> f64 {
    of.clone().sum::<f64>() / of.count() as f64
}

/// Slow enough that rounds can be counted: no eager telling.
fn by_rounds(fanout: usize) -> Config {
    Config { fanout, eager_fanout: fanout, batch: ms(200), ..Config::lan() }
}

/// C2: as fast as uniform chance. The gap itself is measured beside the code, in `peers/shuffled.rs`.
#[test]
fn shuffled_choice_is_as_fast_as_uniform_chance() {
    let (n, keys) = (500, 30);
    let rounds = |peer_choice| {
        let config = Config { peer_choice, ..by_rounds(3) };
        let mut world = World::converged(1, WorldConfig::default(), n, &config);
        world.run_for(secs(2));
        let all: Vec<f64> = times(&mut world, keys).into_iter().map(|last| last / 0.2).collect();
        (mean(all.iter().copied()), percentile(&all, 0.99))
    };
    let (uniform, shuffled) = (rounds(PeerChoice::Uniform), rounds(PeerChoice::Shuffled));
    println!("rounds to all of {n}, mean and p99: uniform {uniform:.2?}, shuffled {shuffled:.2?}");
    assert!(shuffled.0 <= uniform.0 * 1.05, "{uniform:?} {shuffled:?}");
}

/// C8: of eleven peers one runs. Whoever refuses is replaced within the round, not in the next.
#[test]
fn a_peer_that_refuses_is_replaced_in_the_same_round() {
    let mut slowest = Duration::ZERO;
    for seed in 0..20 {
        let config = Config { eager_fanout: 1, fanout: 1, ..Config::lan() };
        let mut world = World::converged(seed, WorldConfig::default(), 12, &config);
        world.run_for(secs(1));
        for host in 2..12 {
            world.crash(host);
        }
        world.set(0, "k", "v");
        let every = Duration::from_millis(1);
        let took = world.run_while(secs(2), every, |w| w.get(1, "k").is_none());
        slowest = slowest.max(took.expect("the one that runs is told"));
    }
    println!("ten of eleven refuse: the other knows after at most {slowest:?}, a tick is 200 ms");
    assert!(slowest < ms(200));
}

/// C6: the owners of a range that moves, as a ring layer names them to each other, agree in half the time.
#[test]
fn preferred_owners_agree_before_chance_finds_them() {
    let (n, writes) = (200, 30);
    let owners = [3, 40, 77, 120, 190];
    let agreed = |lasting: Duration| {
        let mut world = World::converged(5, WorldConfig::default(), n, &Config::lan());
        world.run_for(secs(1));
        for owner in owners {
            let members = owners.iter().map(|&o| world.name(o).to_owned()).collect();
            world.command(owner, Command::Prefer { members, lasting });
        }
        world.run_for(ms(10));
        let mut last = 0.0;
        for i in 0..writes {
            let topic = Topic::key("kv", b"range");
            world.track(topic.clone());
            world.set(owners[i % 5], "range", format!("{i}"));
            world.run_for(ms(700));
            let spread = world.untrack(&topic);
            let took = |o: &usize| spread.reached[o].since(spread.since).as_secs_f64() * 1e3;
            last += owners.iter().map(took).fold(0.0, f64::max) / writes as f64;
        }
        last
    };
    let (uniform, preferred, over) = (agreed(Duration::ZERO), agreed(secs(60)), agreed(ms(1)));
    println!("owners agree after {uniform:.1} ms by chance, {preferred:.1} ms if preferred");
    assert!(preferred <= 0.5 * uniform, "{preferred} {uniform}");
    assert!(over > 0.5 * uniform, "the hint ends by itself");
    let mut world = World::converged(6, WorldConfig::default(), 3, &Config::lan());
    let members = vec!["nobody".to_owned()];
    let refused = world.command(0, Command::Prefer { members, lasting: secs(1) });
    let unknown = CommandError::UnknownMember { name: "nobody".to_owned() };
    assert_eq!(world.reply_to(refused), Some(&Err(unknown)));
}
