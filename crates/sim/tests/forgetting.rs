//! Decides that deletes and departed writers are forgotten once all members know of them, that no
//! absence brings anything back, and that a member that is away is waited for (rows D8, D10, F12).

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::rng::Rng;
use tidings_proto::io::Command;
use tidings_sim::setup::{joined, settle, soak};
use tidings_sim::{Conditions, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn quick() -> Config {
    Config { forget_every: secs(2), ..Config::local() }
}

fn tombstones(world: &World) -> Vec<usize> {
    world.up().map(|host| world.view(host).tombstones()).collect()
}

fn total(world: &World, count: impl Fn(&tidings_proto::io::Stats) -> u64) -> u64 {
    world.up().map(|host| count(world.node(host).stats())).sum()
}

/// D10: bytes of deletes go to zero when all know of them, at a cost of a few small questions, and what
/// was deleted can be written anew.
#[test]
fn deletes_are_forgotten_when_all_know_of_them() {
    let n = 12;
    let mut world = joined(1, WorldConfig::default(), n, &quick());
    for i in 0..200 {
        world.set(i % n, format!("k{i}"), "v");
    }
    let hits = Command::Update {
        keyspace: "kv".into(),
        key: b"hits".to_vec(),
        kind: Kind::Counter,
        operation: Operation::Add(5),
    };
    world.command(3, hits);
    world.run_for(secs(2));
    for i in 0..200 {
        world.delete((i + 1) % n, format!("k{i}"));
    }
    let (keyspace, key) = ("kv".to_owned(), b"hits".to_vec());
    let (kind, operation) = (Kind::Counter, Operation::Clear);
    world.command(5, Command::Update { keyspace, key, kind, operation });
    world.run_for(ms(500));
    assert_eq!(tombstones(&world), vec![201; n]);
    world.run_for(secs(9));
    assert_eq!(tombstones(&world), vec![0; n]);
    assert_eq!(world.view(0).entry_counts(), (0, 0));
    let passes = total(&world, |s| s.forget_passes);
    let questions = total(&world, |s| s.forget_questions);
    println!("201 deletes at {n} nodes: {passes} pass(es), {questions} questions");
    assert!(passes <= 2 && questions <= 4 * n as u64 * passes);
    assert_eq!(total(&world, |s| s.state_faults), 0);
    world.set(4, "k0", "again");
    world.run_for(secs(1));
    assert!((0..n).all(|host| world.get(host, "k0").as_deref() == Some(b"again")));
    settle(&mut world, secs(5));
    let (asked, spent) = (total(&world, |s| s.forget_questions), total(&world, |s| s.bytes_digest));
    world.run_for(secs(60));
    assert_eq!(
        total(&world, |s| s.forget_questions),
        asked,
        "idle: nothing to forget, nothing asked"
    );
    assert_eq!(total(&world, |s| s.bytes_digest), spent);
}

/// D10: a member that failed and is not retired is waited for, by name, however long; nothing that it
/// held comes back, and with it everything is forgotten.
#[test]
fn a_failed_member_is_waited_for() {
    for durable in [false, true] {
        let config = Config { durable, ..quick() };
        let mut world = joined(2, WorldConfig::default(), 6, &config);
        for i in 0..20 {
            world.set(i % 6, format!("k{i}"), "v");
        }
        world.run_for(secs(2));
        if durable {
            world.crash(5);
        } else {
            world.split_off([5]);
        }
        world.run_for(secs(20));
        for i in 0..20 {
            world.delete(i % 5, format!("k{i}"));
        }
        world.run_for(secs(600));
        assert_eq!(world.view(1).tombstones(), 20);
        assert_eq!(world.view(1).waited_for(), ["n5"]);
        if durable {
            world.restart(5);
        } else {
            world.net.heal();
        }
        world.run_for(secs(15));
        settle(&mut world, secs(20));
        assert_eq!(tombstones(&world), vec![0; 6], "durable {durable}");
        assert!(world.up().all(|host| world.view(host).entry_counts().0 == 0));
        assert_eq!(world.view(1).waited_for(), [""; 0]);
        assert_eq!(total(&world, |s| s.state_faults), 0);
    }
}

/// D10: retired in its absence, a node comes back with its disk and everything that was deleted: it
/// learns the state of the others and gives up the rest.
#[test]
fn a_retired_node_brings_nothing_back() {
    let config = Config { durable: true, ..quick() };
    let mut world = joined(3, WorldConfig::default(), 6, &config);
    for i in 0..20 {
        world.set(i % 6, format!("k{i}"), "v");
    }
    world.run_for(secs(2));
    world.crash(5);
    world.run_for(secs(20));
    for i in 0..18 {
        world.delete(i % 5, format!("k{i}"));
    }
    world.command(0, Command::ForceLeave { name: "n5".into(), prune: true });
    world.run_for(secs(10));
    assert_eq!(tombstones(&world), vec![0; 5]);
    world.restart(5);
    world.run_for(secs(20));
    settle(&mut world, secs(20));
    for host in world.up() {
        assert_eq!(world.view(host).entry_counts(), (2, 0), "host {host}");
    }
    assert!(total(&world, |s| s.state_learnt) >= 1);
}

/// Random deletes, writes, splits, crashes with and without disk, pauses and retirements, with forgetting all the while: nothing comes back.
#[test]
fn nothing_comes_back_over_random_schedules() {
    let seeds = if soak() { 2_000 } else { 20 };
    let (mut forgotten, mut learnt, mut left) = (0, 0, 0);
    for seed in 0..seeds {
        let (deletes, states, kept) = schedule(seed);
        forgotten += deletes;
        learnt += states;
        left += kept;
    }
    println!(
        "{seeds} schedules: {forgotten} deletes forgotten, {learnt} states learnt, {left} left"
    );
    // A delete by a writer that was destroyed with earlier writes untold stays: nobody can ever say
    // that it covers those.
    assert!(forgotten > 100 * seeds && learnt > 0 && 100 * left <= forgotten);
}

fn schedule(seed: u64) -> (u64, u64, u64) {
    let mut rng = Rng::from_u64(seed);
    let durable = rng.chance(0.6);
    let config = Config { durable, forget_every: ms(500), ..Config::local() };
    let conditions = Conditions { loss: 0.05, duplication: 0.05, ..Conditions::lan() };
    let weather = WorldConfig { conditions, ..WorldConfig::default() };
    let n = 6;
    let mut world = joined(seed, weather, n, &config);
    let mut apart = false;
    for step in 0..60 {
        for _ in 0..6 {
            let host = rng.index(n);
            if world.is_up(host) && !world.is_paused(host) {
                let key = format!("k{}", rng.below(20));
                let value = rng.chance(0.4).then(|| format!("{step}"));
                world.write(host, key, value);
            }
            world.run_for(ms(rng.below(120)));
        }
        let host = 1 + rng.index(n - 1);
        match rng.below(9) {
            0 if !apart => {
                world.split_off([host]);
                apart = true;
            }
            1 | 2 if apart => {
                world.net.heal();
                apart = false;
            }
            3 if world.is_up(host) && !world.is_paused(host) => world.crash(host),
            4 | 5 if !world.is_up(host) => {
                if !durable || rng.chance(0.3) {
                    world.lose_disk(host);
                }
                world.restart(host);
            }
            6 if world.is_up(host) && !world.is_paused(host) => world.pause(host),
            7 if world.is_paused(host) => world.resume(host),
            8 if !world.is_up(host) => {
                let name = world.name(host).to_owned();
                world.command(0, Command::ForceLeave { name, prune: true });
                world.run_for(secs(rng.below(8)));
            }
            _ => world.run_for(ms(rng.below(3_000))),
        }
    }
    calm(&mut world, n);
    let before = live(&world);
    for (key, _) in before.iter().take(5) {
        world.delete(0, key);
    }
    world.run_for(secs(15));
    settle(&mut world, secs(30));
    let left = tombstones(&world);
    assert!(left.iter().all(|&count| count == left[0]), "seed {seed}: {left:?}");
    assert_eq!(live(&world).len(), before.len().saturating_sub(5), "seed {seed}");
    assert_eq!(world.violations(), [""; 0], "seed {seed}");
    (total(&world, |s| s.deletes_forgotten), total(&world, |s| s.state_learnt), left[0] as u64)
}

fn calm(world: &mut World, n: usize) {
    world.net.heal();
    world.net.calm();
    for host in 0..n {
        if !world.is_up(host) {
            world.restart(host);
        } else if world.is_paused(host) {
            world.resume(host);
        }
    }
    world.run_for(secs(20));
    settle(world, secs(60));
}

fn live(world: &World) -> BTreeMap<String, Vec<u8>> {
    let entries = world.view(0).entries("kv", b"");
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    entries.map(|e| (text(&e.key), e.value.expect("live").to_vec())).collect()
}

/// A key whose time is over is forgotten like one that was deleted.
#[test]
fn ended_keys_are_forgotten() {
    let mut world = joined(4, WorldConfig::default(), 5, &quick());
    for i in 0..20 {
        world.set_for(i % 5, &format!("k{i}"), "v", secs(1));
    }
    world.run_for(secs(12));
    assert_eq!(tombstones(&world), vec![0; 5]);
    assert_eq!(total(&world, |s| s.deletes_forgotten), 100);
    settle(&mut world, secs(5));
}

/// Ten nodes, split for longer than failed members are remembered: `side` on one side.
fn long_split(seed: u64, side: [usize; 4]) -> World {
    let config = Config { forget_after: secs(60), ..quick() };
    let mut world = joined(seed, WorldConfig::default(), 10, &config);
    for i in 0..40 {
        world.set(i % 10, format!("k{i}"), "v");
    }
    world.run_for(secs(5));
    world.split_off(side);
    world.run_for(secs(150));
    world
}

/// D10 and idea 4 of the design: forgetting is agreed, never timed. Only the side of a split that holds
/// most members goes on without the others; the smaller one keeps what it deletes until they meet.
#[test]
fn only_the_larger_side_of_a_long_split_forgets() {
    let (few, many) = ([0, 3, 6, 9], [1, 2, 4, 5, 7, 8]);
    let mut world = long_split(6, few);
    for i in 0..10 {
        world.delete(few[i % 4], format!("k{i}"));
        world.delete(many[i % 6], format!("k{}", 10 + i));
        world.set(few[i % 4], format!("few{i}"), "new");
        world.set(many[i % 6], format!("many{i}"), "new");
    }
    world.run_for(secs(150));
    assert!(few.iter().all(|&host| world.view(host).tombstones() == 10));
    assert!(many.iter().all(|&host| world.view(host).tombstones() == 0));
    assert_eq!(world.view(few[0]).waited_for().len(), 6);
    assert_eq!(world.view(many[0]).counts().1, 0, "the larger side has forgotten the others");
    // Later than everything that was forgotten.
    for i in 0..5 {
        world.set(few[i % 4], format!("late{i}"), "new");
    }
    world.run_for(secs(5));
    world.net.heal();
    world.run_for(secs(30));
    settle(&mut world, secs(60));
    assert_eq!(tombstones(&world), vec![0; 10]);
    let keys = live(&world);
    let here = |prefix: &str| keys.keys().filter(|key| key.starts_with(prefix)).count();
    assert_eq!((here("k"), here("many"), here("late")), (20, 10, 5));
    // What the smaller side wrote before the last of those deletes may be beaten by one: told, not lost in silence.
    let told = total(&world, |stats| stats.entries_given_up);
    println!("{} of 10 kept, {told} copies given up", here("few"));
    assert_eq!(total(&world, |s| s.state_faults), 0);
    assert_eq!(world.violations(), [""; 0]);
}

/// Two clusters that forgot apart meet, each with values of keys that the other has deleted and
/// forgotten: no delete is undone, what is later stays, all become equal. All meet at one time, so
/// each learns while it is learnt from.
#[test]
fn two_clusters_that_forgot_apart_become_one() {
    for seed in 0..10 {
        let mut world = World::new(seed, WorldConfig::default());
        for host in 0..8 {
            world.add_node(&format!("n{host}"), quick());
            if host % 4 > 0 {
                world.join(host, &[host / 4 * 4]);
            }
        }
        world.run_for(secs(5));
        for i in 0..20 {
            world.set(i % 4, format!("k{i}"), "here");
            world.set(4 + i % 4, format!("k{i}"), "there");
        }
        world.run_for(secs(5));
        for i in 0..5 {
            world.delete(i % 4, format!("k{i}"));
            world.delete(4 + i % 4, format!("k{}", 5 + i));
        }
        world.run_for(secs(20));
        assert_eq!(tombstones(&world), vec![0; 8]);
        for i in 0..5 {
            world.set(i % 4, format!("here{i}"), "late");
            world.set(4 + i % 4, format!("there{i}"), "late");
        }
        world.run_for(secs(2));
        world.join(5, &[2]);
        world.run_for(secs(20));
        settle(&mut world, secs(60));
        let keys = live(&world);
        let here = |prefix: &str| keys.keys().filter(|key| key.starts_with(prefix)).count();
        assert_eq!((here("k"), here("here"), here("there")), (10, 5, 5), "seed {seed}");
        assert_eq!(total(&world, |s| s.state_faults), 0, "seed {seed}");
        assert_eq!(world.violations(), [""; 0], "seed {seed}");
    }
}
