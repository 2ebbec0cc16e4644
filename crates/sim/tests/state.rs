//! Decides that replicated keys and events reach all, converge and are never lost
//! (rows B8, D3, D9, D10, D12, E6; failures F5, F12, F16, F19, F32).

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::io::{Command, CommandError, Event, Reply};
use tidings_proto::limits::{EVENT_PAYLOAD_BYTES_MAX, VALUE_BYTES_MAX};
use tidings_sim::setup::{counts, joined, settle, spread};
use tidings_sim::statistics::percentile;
use tidings_sim::{Conditions, Latency, Record, Topic, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn recorded() -> WorldConfig {
    WorldConfig { record: Record::Events, ..WorldConfig::default() }
}

fn lossy(loss: f64) -> WorldConfig {
    WorldConfig { conditions: Conditions { loss, ..Conditions::lan() }, ..WorldConfig::default() }
}

/// H1, B1: PAPERS 2.2, push, k = 3, n = 1,000: p99 is 10 rounds of 200 ms.
#[test]
fn a_key_reaches_a_thousand_within_p99() {
    let n = 1000;
    let keys = if tidings_sim::setup::soak() { 1000 } else { 60 };
    let mut world = World::converged(1, WorldConfig::default(), n, &Config::lan());
    world.run_for(secs(3));
    let mut slowest = Vec::new();
    for i in 0..keys {
        let key = format!("key{i}");
        let topic = Topic::key("kv", key.as_bytes());
        world.track(topic.clone());
        world.set(i * 7 % n, &key, "value");
        slowest.push(*spread(&mut world, &topic, n, secs(10)).last().unwrap());
    }
    let rounds: Vec<f64> = slowest.iter().map(|s| s / 0.2).collect();
    let mean = rounds.iter().sum::<f64>() / keys as f64;
    println!("key to all of {n}: mean {mean:.2} ticks, p99 {:.2} ticks", percentile(&rounds, 0.99));
    assert!(percentile(&rounds, 0.99) <= 10.0, "{rounds:?}");
}

/// J4, rule 2: both sides write for ten minutes; after the heal all is everywhere.
#[test]
fn a_split_with_writes_on_both_sides_heals_to_equal_state() {
    let n = 30;
    let mut world = World::converged(2, WorldConfig::default(), n, &Config::lan());
    world.run_for(secs(3));
    world.split_off(0..12);
    for second in 0..600 {
        for writer in [second % 12, 12 + second % 18] {
            let key = format!("k{}", second % 150);
            let value = format!("{writer} at {second}");
            match second % 10 {
                9 => world.delete(writer, key),
                _ => world.set(writer, key, value),
            };
            if second % 3 == 0 {
                world.set(writer, format!("own {writer} {second}"), "kept");
            }
        }
        world.run_for(secs(1));
    }
    let writes = world.seen().written.len();
    world.net.heal();
    let took = settle(&mut world, secs(30));
    println!("10 minutes apart, {writes} writes: equal {took:?} after the heal");
    assert!(world.all_see_alive(n));
    for second in (0..600).step_by(3) {
        for writer in [second % 12, 12 + second % 18] {
            let key = format!("own {writer} {second}");
            assert_eq!(world.get((second + 5) % n, key).as_deref(), Some(&b"kept"[..]));
        }
    }
}

/// D10: whoever was away while a key was deleted brings nothing back.
#[test]
fn a_delete_survives_a_node_that_was_away() {
    for durable in [false, true] {
        let config = Config { durable, ..Config::lan() };
        let mut world = joined(3, WorldConfig::default(), 6, &config);
        for i in 0..20 {
            world.set(i % 6, format!("k{i}"), "old");
        }
        world.run_for(secs(3));
        world.pause(5);
        if durable {
            world.crash(4);
        } else {
            world.split_off([4]);
        }
        for i in 0..20 {
            world.delete((i + 1) % 4, format!("k{i}"));
        }
        world.run_for(secs(120));
        world.resume(5);
        if durable {
            world.restart(4);
        } else {
            world.net.heal();
        }
        world.run_for(secs(5));
        settle(&mut world, secs(20));
        for host in world.up() {
            assert_eq!(world.view(host).entry_counts().0, 0, "host {host} holds a deleted key");
        }
        assert!(world.all_see_alive(6));
    }
}

/// D3: concurrent writes of equal clocks end equal everywhere.
#[test]
fn concurrent_ties_converge() {
    let rounds = if tidings_sim::setup::soak() { 20_000 } else { 300 };
    let conditions = Conditions { latency: Latency::Constant(ms(1)), ..Conditions::lan() };
    let config = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = joined(4, config, 5, &Config::lan());
    for round in 0..rounds {
        for host in 0..5 {
            world.set(host, format!("k{}", round % 40), format!("{host} {round}"));
        }
        world.run_for(ms(30));
    }
    world.run_for(secs(2));
    settle(&mut world, secs(10));
    let discarded: u64 = world.up().map(|h| world.node(h).stats().conflicts_discarded).sum();
    println!("{rounds} rounds of five-way ties: {discarded} discards counted");
    assert!(discarded > 0, "D5: discarded writes are counted");
}

/// D9: with clocks ten minutes apart and stepping, the write that saw the other one wins.
#[test]
fn causally_newer_wins_whatever_the_clocks_say() {
    let mut world = joined(5, WorldConfig::default(), 4, &Config::lan());
    world.clock_mut(0).step_wall(600_000);
    world.clock_mut(1).step_wall(-600_000);
    let now = world.now();
    world.clock_mut(2).set_drift(now, 500);
    for round in 0..60 {
        let writer = round % 4;
        if round % 7 == 3 {
            let by = if round % 2 == 0 { 600_000 } else { -600_000 };
            world.clock_mut(writer).step_wall(by);
        }
        let value = format!("{round} by {writer}");
        world.set(writer, "k", &value);
        world.run_for(secs(1));
        for host in 0..4 {
            assert_eq!(world.get(host, "k").as_deref(), Some(value.as_bytes()), "host {host}");
        }
    }
    settle(&mut world, secs(10));
    let alarms: u64 = world.up().map(|h| world.node(h).stats().clock_alarms).sum();
    assert!(alarms > 0, "a clock ten minutes ahead is reported");
}

/// F5: whatever order parts arrive in, a reader never sees an entry without its value, and a
/// group of writes is seen whole (D12).
#[test]
fn groups_are_seen_whole() {
    let conditions = Conditions {
        loss: 0.2,
        duplication: 0.2,
        latency: Latency::Exponential { floor: ms(1), mean: ms(20) },
        ..Conditions::lan()
    };
    let config = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = joined(6, config, 6, &Config::lan());
    for round in 0..100u32 {
        let value = Some(round.to_string().into_bytes());
        let writes = (0..5).map(|i| (format!("g{i}").into_bytes(), value.clone())).collect();
        world.command(0, Command::Write { keyspace: "kv".to_owned(), writes });
        for _ in 0..20 {
            world.run_for(ms(3));
            for host in 0..6 {
                let seen: Vec<_> = (0..5).map(|i| world.get(host, format!("g{i}"))).collect();
                assert!(seen.windows(2).all(|w| w[0] == w[1]), "host {host} sees half: {seen:?}");
            }
        }
    }
    world.net.calm();
    settle(&mut world, secs(20));
}

/// F12: members, vectors and queues stay in proportion to the living through churn.
#[test]
fn metadata_stays_bounded_over_churn() {
    let events = if tidings_sim::setup::soak() { 10_000 } else { 600 };
    let config = Config { forget_after: secs(60), ..Config::local() };
    let mut world = joined(7, WorldConfig::default(), 12, &config);
    for event in 0..events {
        let host = 2 + event % 10;
        if world.is_up(host) {
            world.set(host, format!("churn {host}"), event.to_string());
            world.run_for(ms(200));
            if event % 4 == 0 {
                world.command(host, Command::Leave);
                world.run_for(ms(500));
            }
            world.crash(host);
        }
        world.run_for(ms(300));
        world.restart(host);
        world.run_for(ms(500));
    }
    // Writers go 48 at a time.
    world.run_for(secs(200 + events as u64 / 25));
    settle(&mut world, secs(20));
    let view = world.view(0);
    println!(
        "after {events} lives: counts {:?}, vector {}, rumours {}",
        view.counts(),
        view.vector().len(),
        view.rumours_waiting()
    );
    assert_eq!(view.counts(), (12, 0, 0));
    assert_eq!(view.rumours_waiting(), 0);
    assert!(view.entry_counts().0 <= 10);
    // The writers of what is held, and the living.
    assert!(view.vector().len() <= 22, "{} writers", view.vector().len());
}

/// F16: a value at the cap is taken, one byte more is refused with its size; a cluster that holds
/// such values starts cold from its disks.
#[test]
fn values_at_the_cap_survive_a_cold_start() {
    let config = Config { durable: true, ..Config::lan() };
    let mut world = joined(8, WorldConfig::default(), 4, &config);
    let over = world.set(1, "over", vec![1; VALUE_BYTES_MAX + 1]);
    let at_cap = world.set(1, "cap", vec![7; VALUE_BYTES_MAX]);
    world.set(2, [0xff; 512], [0u8; 3]);
    world.run_for(secs(5));
    assert_eq!(
        world.reply_to(over),
        Some(&Err(CommandError::ValueLength { bytes: VALUE_BYTES_MAX + 1 }))
    );
    assert!(matches!(world.reply_to(at_cap), Some(Ok(Reply::Written { .. }))));
    settle(&mut world, secs(10));
    for host in 0..4 {
        world.crash(host);
    }
    world.run_for(secs(30));
    for host in 0..4 {
        world.restart(host);
    }
    world.run_for(secs(10));
    assert!(world.all_see_alive(4), "{:?}", counts(&world));
    settle(&mut world, secs(10));
    for host in 0..4 {
        assert_eq!(world.get(host, "cap").map(|v| v.len()), Some(VALUE_BYTES_MAX));
        assert_eq!(world.get(host, [0xff; 512]), Some(vec![0; 3]));
    }
}

/// F19: two unique events are rebroadcast at most c log N times per node, whatever is repeated
/// and reordered, and then never again.
#[test]
fn events_are_not_rebroadcast_for_ever() {
    let n = 64;
    let conditions = Conditions {
        duplication: 0.5,
        latency: Latency::Exponential { floor: ms(0), mean: ms(50) },
        ..Conditions::lan()
    };
    let config = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = World::converged(9, config, n, &Config::lan());
    world.run_for(secs(3));
    world.emit(1, "one", b"1");
    world.emit(2, "two", b"2");
    world.run_for(secs(20));
    let sent =
        |w: &World| -> Vec<u64> { w.up().map(|h| w.node(h).stats().rumours_event_sent).collect() };
    let after = sent(&world);
    let most = *after.iter().max().unwrap();
    // Each node tells eager_fanout + transmit_factor * log2(n + 1) peers of each event, and the
    // push-pull of a straggler adds a few.
    let bound = 2 * (6 + (1.3 * 65f64.log2()).ceil() as u64 + 8);
    println!("two events, {n} nodes: at most {most} frames per node, bound {bound}");
    assert!(most <= bound, "{after:?}");
    world.run_for(secs(120));
    assert_eq!(sent(&world), after, "events went on being sent");
    assert_eq!(world.seen().counts.user as usize, 2 * n, "each delivered once to each");
}

/// F32: asking the owner returns its newest facts and entries.
#[test]
fn the_owner_knows_itself_best() {
    let mut world = joined(10, lossy(0.2), 5, &Config::lan());
    for round in 0..30 {
        let set = vec![("round".to_owned(), round.to_string())];
        world.command(2, Command::SetTags { set, unset: Vec::new() });
        world.set(2, "own", round.to_string());
        let me = world.view(2).me();
        assert_eq!(me.tags.get("round"), Some(&round.to_string()));
        assert_eq!(world.get(2, "own"), Some(round.to_string().into_bytes()));
        // A newcomer that asks the owner alone gets exactly that.
        let fresh = world.add_node(&format!("fresh{round}"), Config::lan());
        world.join(fresh, &[2]);
        let synced = world.run_while(secs(30), ms(5), |w| {
            // Others may have told it their state before the owner answers.
            !w.view(fresh).synced() || w.view(fresh).joining()
        });
        assert!(synced.is_some(), "round {round}: the newcomer is synchronised");
        let seen = world.view(fresh).member_by_id(world.id(2)).expect("the owner is known");
        assert_eq!(seen.tags.get("round"), Some(&round.to_string()));
        assert_eq!(world.get(fresh, "own"), Some(round.to_string().into_bytes()));
        world.crash(fresh);
    }
}

/// B8: either path alone converges.
#[test]
fn rumours_or_anti_entropy_alone_converge() {
    for (rumours, anti_entropy, loss) in [(false, true, 0.2), (true, false, 0.0)] {
        let config = Config { rumours, anti_entropy, ..Config::lan() };
        let mut world = joined(11, lossy(loss), 12, &config);
        for i in 0..40 {
            world.set(i % 12, format!("k{}", i % 25), i.to_string());
            world.run_for(ms(50));
        }
        let set = vec![("role".to_owned(), "web".to_owned())];
        world.command(3, Command::SetTags { set, unset: Vec::new() });
        let took = settle(&mut world, secs(60));
        let tagged = |h| world.view(h).member("n3").is_some_and(|m| m.tags.contains_key("role"));
        assert!(world.up().all(tagged));
        println!("rumours {rumours}, anti-entropy {anti_entropy}: equal after {took:?}");
    }
}

/// Events: exactly once per node, in order per sender, replayed to a late joiner.
#[test]
fn events_come_once_in_order_and_to_late_joiners() {
    let conditions = Conditions {
        loss: 0.2,
        duplication: 0.3,
        latency: Latency::Exponential { floor: ms(1), mean: ms(30) },
        ..Conditions::lan()
    };
    let config = WorldConfig { conditions, ..recorded() };
    let mut world = joined(12, config, 8, &Config::lan());
    for i in 0..40 {
        world.emit(i % 3, "deploy", format!("{i}").as_bytes());
        world.run_for(ms(40));
    }
    world.run_for(secs(5));
    let late = world.add_node("late", Config::lan());
    world.join(late, &[5]);
    world.run_for(secs(20));
    for host in 0..9 {
        let mut per_sender: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (_, event) in world.seen().events(host) {
            if let Event::User(e) = event {
                let text = String::from_utf8(e.payload.clone()).unwrap();
                per_sender.entry(e.origin).or_default().push(text);
            }
        }
        for sender in 0..3 {
            let expected: Vec<String> =
                (0..40).filter(|i| i % 3 == sender).map(|i| i.to_string()).collect();
            let got = per_sender.get(&world.id(sender)).cloned().unwrap_or_default();
            assert_eq!(got, expected, "host {host}, sender {sender}");
        }
    }
    let too_long = world.emit(0, "e", &vec![0; EVENT_PAYLOAD_BYTES_MAX + 1]);
    world.run_for(ms(100));
    assert!(matches!(world.reply_to(too_long), Some(Err(CommandError::EventLength { .. }))));
}

/// One large value never blocks the others: small keys keep their spread time meanwhile.
#[test]
fn a_large_value_does_not_delay_small_ones() {
    let n = 20;
    let slow_link = Conditions { stream_bytes_per_second: 1_000_000, ..Conditions::lan() };
    let config = WorldConfig { conditions: slow_link, ..WorldConfig::default() };
    let mut world = World::converged(13, config, n, &Config::lan());
    world.run_for(secs(3));
    let large = Topic::key("kv", b"large");
    world.track(large.clone());
    world.set(3, "large", vec![9; 300_000]);
    let mut slowest: f64 = 0.0;
    for i in 0..20 {
        let key = format!("small{i}");
        let topic = Topic::key("kv", key.as_bytes());
        world.track(topic.clone());
        world.set(i, &key, "v");
        slowest = slowest.max(*spread(&mut world, &topic, n, secs(5)).last().unwrap());
    }
    let took = *spread(&mut world, &large, n, secs(60)).last().unwrap();
    println!("small keys to all within {slowest:.3} s while 300 kB took {took:.2} s");
    assert!(slowest <= 1.4, "p99 of push, k = 3, n = 100 is 7 ticks");
    assert_eq!(world.get(19, "large").map(|v| v.len()), Some(300_000));
}

/// D13: a disk that refuses writes refuses user writes and nothing else.
#[test]
fn a_failing_disk_refuses_writes_and_keeps_probing() {
    let config = Config { durable: true, ..Config::lan() };
    let mut world = joined(14, WorldConfig::default(), 5, &config);
    world.set(2, "before", "v");
    world.run_for(secs(2));
    world.disk_mut(2).failing = true;
    let refused = world.set(2, "during", "v");
    world.run_for(secs(10));
    assert_eq!(world.reply_to(refused), Some(&Err(CommandError::DiskFailed)));
    let later = world.set(2, "during", "v");
    world.run_for(secs(60));
    assert_eq!(world.reply_to(later), Some(&Err(CommandError::DiskFailed)));
    assert!(world.view(2).writes_refused());
    assert!(world.all_see_alive(5), "a node with a broken disk stays a member");
    assert!(world.up().all(|h| world.get(h, "during").is_none()), "nothing undurable got out");
    world.disk_mut(2).failing = false;
    let accepted = world.run_while(secs(60), secs(1), |w| w.view(2).writes_refused());
    assert!(accepted.is_some(), "writes are accepted again once the disk is");
    let done = world.set(2, "after", "v");
    world.run_for(secs(3));
    assert!(matches!(world.reply_to(done), Some(Ok(Reply::Written { .. }))));
    settle(&mut world, secs(10));
}

/// Rules 2 and 7: `kill -9` at random moments loses no acknowledged write and reuses no dot.
#[test]
fn kills_at_random_moments_lose_nothing_acknowledged() {
    let kills = if tidings_sim::setup::soak() { 1000 } else { 60 };
    let config = Config { durable: true, ..Config::local() };
    let mut world = joined(15, lossy(0.05), 5, &config);
    for kill in 0..kills {
        let victim = kill % 5;
        for i in 0..12 {
            let host = (kill + i) % 5;
            if world.is_up(host) {
                world.set(host, format!("k{}", (kill * 5 + i) % 60), format!("{kill} {i}"));
            }
            world.run_for(Duration::from_micros(700 * (1 + (kill * 31 + i * 17) as u64 % 9)));
        }
        world.crash(victim);
        world.run_for(ms(50 + 211 * (kill as u64 % 7)));
        world.restart(victim);
        world.run_for(ms(300));
        world.check_running().unwrap();
    }
    world.net.calm();
    world.run_for(secs(5));
    settle(&mut world, secs(30));
    println!("{kills} kills, {} acknowledged writes, none lost", world.seen().written.len());
}
