//! Decides how values that merge behave in a cluster: nothing that concurrent writers did is lost,
//! whatever the network does, and all nodes come to the same (rows D1, D6).

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::rng::Rng;
use tidings_proto::io::{Command, CommandError};
use tidings_sim::setup::{joined, settle};
use tidings_sim::{World, WorldConfig};

const SETTLED: Duration = Duration::from_secs(30);

fn update(world: &mut World, host: usize, key: &str, kind: Kind, operation: Operation) {
    let (keyspace, key) = ("kv".to_owned(), key.into());
    world.command(host, Command::Update { keyspace, key, kind, operation });
}

fn number(world: &World, host: usize, key: &str) -> Option<i128> {
    world.entry(host, key)?.merged?.number()
}

fn elements(world: &World, host: usize, key: &str) -> Vec<Vec<u8>> {
    let merged = world.entry(host, key).and_then(|e| e.merged).expect("the key holds a set");
    merged.elements().map(|e| e.to_vec()).collect()
}

#[test]
fn both_sides_of_a_split_count_and_nothing_is_lost() {
    let mut world = joined(1, WorldConfig::default(), 6, &Config::local());
    world.split_off(0..3);
    for round in 0..30 {
        for host in 0..6 {
            update(&mut world, host, "hits", Kind::Counter, Operation::Add(1 + host as i64));
            let element = format!("{host}/{round}").into_bytes();
            update(&mut world, host, "seen", Kind::Set, Operation::Insert(element));
        }
        world.run_for(Duration::from_millis(300));
    }
    assert_ne!(number(&world, 0, "hits"), number(&world, 5, "hits"));
    world.net.heal();
    settle(&mut world, SETTLED);
    for host in 0..6 {
        assert_eq!(number(&world, host, "hits"), Some(30 * (1 + 2 + 3 + 4 + 5 + 6)));
        assert_eq!(elements(&world, host, "seen").len(), 180);
    }
}

#[test]
fn loss_crashes_and_disks_lose_no_acknowledged_count() {
    let mut rng = Rng::from_u64(5);
    let config = Config { durable: true, ..Config::local() };
    let mut world = joined(2, WorldConfig::default(), 5, &config);
    world.net.conditions.loss = 0.2;
    let mut acknowledged = 0;
    let mut asked = Vec::new();
    for round in 0..200 {
        let host = rng.index(5);
        if world.is_up(host) {
            let (keyspace, key) = ("kv".to_owned(), b"hits".to_vec());
            let operation = Operation::Add(1);
            let kind = Kind::Counter;
            asked.push(world.command(host, Command::Update { keyspace, key, kind, operation }));
        }
        world.run_for(Duration::from_millis(rng.below(120)));
        if round % 20 == 7 && world.is_up(host) {
            world.crash(host);
        } else if !world.is_up(host) {
            world.restart(host);
        }
    }
    world.net.calm();
    for host in 0..5 {
        if !world.is_up(host) {
            world.restart(host);
        }
    }
    settle(&mut world, SETTLED);
    for command in &asked {
        acknowledged += i128::from(matches!(world.reply_to(*command), Some(Ok(_))));
    }
    let counted = number(&world, 0, "hits").unwrap();
    // A write whose answer the crash took may be there or not.
    let unanswered = asked.iter().filter(|c| world.reply_to(**c).is_none()).count() as i128;
    assert!(acknowledged >= 100, "{acknowledged} of {} were acknowledged", asked.len());
    assert!((acknowledged..=acknowledged + unanswered).contains(&counted), "{counted}");
}

#[test]
fn an_addition_wins_over_a_concurrent_removal_and_a_cleared_key_is_gone() {
    let mut world = joined(3, WorldConfig::default(), 4, &Config::local());
    update(&mut world, 0, "s", Kind::Set, Operation::Insert(b"x".to_vec()));
    settle(&mut world, SETTLED);
    world.split_off(0..2);
    update(&mut world, 0, "s", Kind::Set, Operation::Remove(b"x".to_vec()));
    update(&mut world, 3, "s", Kind::Set, Operation::Insert(b"x".to_vec()));
    world.run_for(Duration::from_secs(1));
    assert_eq!((elements(&world, 0, "s").len(), elements(&world, 3, "s").len()), (0, 1));
    world.net.heal();
    settle(&mut world, SETTLED);
    assert!((0..4).all(|h| elements(&world, h, "s").len() == 1));
    update(&mut world, 2, "s", Kind::Set, Operation::Clear);
    settle(&mut world, SETTLED);
    assert!((0..4).all(|h| world.get(h, "s").is_none()));
}

#[test]
fn a_key_keeps_its_kind() {
    let mut world = joined(4, WorldConfig::default(), 2, &Config::local());
    update(&mut world, 0, "n", Kind::Counter, Operation::Add(1));
    world.set(0, "plain", "v");
    settle(&mut world, SETTLED);
    let refused = |world: &mut World, command: Command| {
        let id = world.command(1, command);
        world.reply_to(id).cloned().expect("refused at once").unwrap_err()
    };
    let (keyspace, key) = ("kv".to_owned(), b"n".to_vec());
    let write = Command::Write { keyspace: keyspace.clone(), writes: vec![(key.clone(), None)] };
    assert_eq!(refused(&mut world, write), CommandError::Kind { holds: "counter" });
    let enable = Command::Update {
        keyspace: keyspace.clone(),
        key,
        kind: Kind::Flag,
        operation: Operation::Enable,
    };
    assert_eq!(refused(&mut world, enable), CommandError::Kind { holds: "counter" });
    let add = Command::Update {
        keyspace,
        key: b"plain".to_vec(),
        kind: Kind::Counter,
        operation: Operation::Add(1),
    };
    assert_eq!(refused(&mut world, add), CommandError::Kind { holds: "value" });
    assert_eq!(number(&world, 1, "n"), Some(1));
}
