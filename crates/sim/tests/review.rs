//! Decides whether what a review found stays mended: each test is named for its finding.
use std::time::Duration;
use tidings_proto::Config;
use tidings_proto::io::{Command, Reply};
use tidings_sim::WorldConfig;
use tidings_sim::setup::joined;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// R1, rule 2: a write that is acknowledged is there.
#[test]
fn r1_a_write_in_one_keyspace_too_many_is_refused_not_lost() {
    let mut world = joined(1, WorldConfig::default(), 3, &Config::lan());
    for i in 0..1100 {
        let ks = format!("ks{i}");
        let c = world.command(
            0,
            Command::Write {
                keyspace: ks.clone(),
                writes: vec![(b"k".to_vec(), Some(b"v".to_vec()))],
            },
        );
        world.run_for(Duration::from_millis(5));
        let acked = matches!(world.reply_to(c), Some(Ok(Reply::Written { .. })));
        let there = world.view(0).entry(&ks, b"k").is_some();
        assert!(!acked || there, "{ks}: acknowledged, but not stored");
    }
}

/// R2, rule 4: groups that share a key, read by a joiner.
#[test]
fn r2_a_joiner_has_what_its_vector_covers() {
    let config = Config::lan();
    let mut world = joined(2, WorldConfig::default(), 3, &config);
    for i in 0..700u32 {
        let writes = vec![
            (format!("a{i}").into_bytes(), Some(b"v".to_vec())),
            (format!("b{i}").into_bytes(), Some(b"v".to_vec())),
            (b"index".to_vec(), Some(i.to_le_bytes().to_vec())),
        ];
        world.command(0, Command::Write { keyspace: "kv".into(), writes });
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(secs(10));
    let j = world.add_node("late", config);
    world.join(j, &[0]);
    let origin = world.id(0);
    for _ in 0..3000 {
        world.run_for(Duration::from_millis(10));
        let upto = world.view(j).vector().iter().find(|(id, _)| *id == origin).map_or(0, |p| p.1);
        if upto >= 2100 {
            break;
        }
    }
    let missing = (0..700).filter(|i| world.get(j, format!("a{i}")).is_none()).count();
    let stats = world.node(j).stats().state_faults;
    assert_eq!(
        missing, 0,
        "vector claims all, {missing} groups are missing; faults so far {stats}"
    );
}

/// R3, J: a split longer than forget_after heals.
#[test]
fn r3_a_split_longer_than_forget_after_heals() {
    let config = Config { forget_after: secs(60), ..Config::lan() };
    let n = 10;
    let mut world = joined(3, WorldConfig::default(), n, &config);
    world.run_for(secs(5));
    world.split_off(0..4);
    world.run_for(secs(400));
    for h in [0, 9] {
        println!("before heal {h}: {:?}", world.view(h).counts());
    }
    world.net.heal();
    world.run_for(secs(120));
    for h in world.up().collect::<Vec<_>>() {
        println!("{h}: {:?} seeds {:?}", world.view(h).counts(), world.view(h).seeds());
    }
    assert!(world.all_see_alive(n));
}

/// R4: a container that restarts often (no data directory) is still a member.
#[test]
fn r4_the_65th_life_of_a_name_is_a_member_too() {
    let mut world = joined(4, WorldConfig::default(), 4, &Config::lan());
    for life in 0..80 {
        world.destroy(3);
        world.run_for(secs(12));
        world.restart(3);
        world.run_for(secs(8));
        let id = world.id(3);
        let seen = world.view(1).member_by_id(id).is_some();
        assert!(
            seen,
            "life {life} is not listed; record_limit {}",
            world.node(1).stats().record_limit
        );
    }
}

/// R6: numbers of refused writes are not used again for acknowledged ones.
#[test]
fn r6_numbers_refused_by_the_disk_do_not_cost_the_identity() {
    let config = Config { durable: true, ..Config::lan() };
    let mut world = joined(6, WorldConfig::default(), 3, &config);
    world.run_for(secs(5));
    let before = world.id(0);
    world.disk_mut(0).failing = true;
    world.set(0, "refused", "x");
    world.run_for(secs(5));
    println!("peer covers {:?}", world.view(1).vector());
    world.crash(0);
    world.disk_mut(0).failing = false;
    world.restart(0);
    world.run_for(secs(10));
    let c = world.set(0, "after", "v");
    world.run_for(secs(10));
    println!("reply {:?} violations {:?}", world.reply_to(c), world.violations());
    println!("at 1: {:?}", world.get(1, "after"));
    assert_eq!(world.id(0), before, "a full disk cost the identity");
    assert_eq!(world.get(1, "after").as_deref(), Some(&b"v"[..]));
}

/// R11: exactly once: an event sent before the sender's restart reaches who was cut off meanwhile.
#[test]
fn r11_an_event_before_a_restart_reaches_who_was_cut_off() {
    let config = Config { durable: true, ..Config::lan() };
    let mut lost = 0;
    for seed in 0..10 {
        let mut world = joined(seed, WorldConfig::default(), 6, &config);
        world.run_for(secs(5));
        world.split_off([5]);
        world.emit(0, "first", b"1");
        world.run_for(secs(1));
        world.crash(0);
        world.run_for(secs(2));
        world.restart(0);
        world.run_for(secs(5));
        world.net.heal();
        world.emit(0, "second", b"2");
        world.run_for(Duration::from_millis(30));
        world.emit(0, "third", b"2");
        world.run_for(secs(20));
        let names: Vec<String> = world.view(5).events().iter().map(|e| e.name.clone()).collect();
        let others: Vec<String> = world.view(1).events().iter().map(|e| e.name.clone()).collect();
        println!("seed {seed}: cut off {names:?}, others {others:?}");
        lost += usize::from(!names.contains(&"first".to_string()));
    }
    assert_eq!(lost, 0, "runs of 10 in which the first event was never delivered");
}

/// R3, rule 3: the dead are not brought back by that.
#[test]
fn r3b_the_forgotten_dead_stay_dead() {
    let config = Config { forget_after: secs(60), ..Config::lan() };
    let mut world = joined(33, WorldConfig::default(), 10, &config);
    world.run_for(secs(5));
    let dead = world.id(8);
    world.pause(9); // holds 8 alive for long
    world.crash(8);
    world.run_for(secs(400));
    world.resume(9);
    world.run_for(secs(60));
    for h in (0..8).chain([9]) {
        assert_eq!(world.view(h).counts().0, 9, "host {h}: {:?}", world.view(h).counts());
        assert!(
            world
                .view(h)
                .member_by_id(dead)
                .is_none_or(|m| m.status >= tidings_proto::io::Status::Failed)
        );
    }
}
