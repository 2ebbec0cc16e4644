//! Decides how values that merge behave in a cluster: nothing that concurrent writers did is lost,
//! whatever the network does, and all nodes come to the same (rows D1, D6).

use std::collections::BTreeSet;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::context::Context;
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::rng::Rng;
use tidings_proto::io::{Command, CommandError, Stats};
use tidings_proto::limits::VALUE_BYTES_MAX;
use tidings_sim::setup::{joined, settle, soak};
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

/// A set of so many elements that all nodes have.
fn large_set(world: &mut World, elements: usize) {
    for n in 0..elements {
        let element = format!("element-{n:06}").into_bytes();
        update(world, 0, "big", Kind::Set, Operation::Insert(element));
        if n % 50 == 49 {
            world.run_for(Duration::from_millis(20));
        }
    }
    settle(world, SETTLED);
}

fn summed(world: &World, pick: impl Fn(&Stats) -> u64) -> u64 {
    (0..world.len()).map(|host| pick(world.node(host).stats())).sum()
}

/// Row D6: a write to a large value costs what it changes, not what the value holds: all that the
/// whole cluster sends meanwhile, sessions included, against one copy of the value for each node.
#[test]
fn a_write_to_a_large_value_travels_without_the_value() {
    let elements = if soak() { 10_000 } else { 1_200 };
    let mut world = joined(5, WorldConfig::default(), 6, &Config::local());
    large_set(&mut world, elements);
    let value = world.entry(0, "big").unwrap().value.unwrap().len() as u64;
    let state = |s: &Stats| s.bytes_rumours + s.bytes_delta + s.bytes_digest + s.bytes_sketch;
    let (before, fetches) = (summed(&world, state), summed(&world, |s| s.fetches));
    let updates = 20;
    for n in 0..updates {
        let element = format!("later-{n}").into_bytes();
        update(&mut world, n % 6, "big", Kind::Set, Operation::Insert(element));
        world.run_for(Duration::from_secs(1));
    }
    let each = (summed(&world, state) - before) / updates as u64;
    println!("{each} bytes an update in all, for 5 nodes to learn of {value} bytes");
    assert!((0..6).all(|host| self::elements(&world, host, "big").len() == elements + updates));
    assert!(each * 20 <= value * 5, "{each} bytes for 5 nodes, {value} bytes the value");
    assert_eq!(summed(&world, |s| s.fetches), fetches, "nobody fetched the value");
}

/// Deltas are lost, repeated and overtaken, members are cut off and come back without a disk, and the
/// values are large: whatever of it came whole or in parts, all end equal, with every acknowledged write.
#[test]
fn deltas_that_are_lost_repeated_or_early_leave_nothing_wrong() {
    for (seed, kind) in [(6, Kind::Set), (7, Kind::Map), (8, Kind::Register)] {
        let mut rng = Rng::from_u64(seed);
        let mut world = joined(seed, WorldConfig::default(), 6, &Config::local());
        large_set(&mut world, 60);
        let conditions = &mut world.net.conditions;
        (conditions.loss, conditions.duplication, conditions.reordering) = (0.3, 0.2, 0.3);
        conditions.reordered_by = Duration::from_millis(400);
        let mut asked = Vec::new();
        for round in 0..300 {
            let host = rng.index(6);
            let name = format!("{kind:?}-{round:04}-{}", "x".repeat(30)).into_bytes();
            if world.is_up(host) {
                let (keyspace, key) = ("kv".to_owned(), b"k".to_vec());
                let operation = one_more(kind, name.clone());
                let update = Command::Update { keyspace, key, kind, operation };
                asked.push((world.command(host, update), host, round, name));
            }
            world.run_for(Duration::from_millis(rng.below(80)));
            match round % 100 {
                20 => world.split_off(0..2),
                50 => world.net.heal(),
                60 => world.crash(5),
                75 => world.restart(5),
                _ => {}
            }
        }
        world.net.calm();
        settle(&mut world, SETTLED);
        let applied = summed(&world, |s| s.deltas_applied);
        let gapped = summed(&world, |s| s.deltas_gapped);
        println!("{kind:?}: {applied} deltas applied, {gapped} came without their base");
        assert!(applied > 300 && gapped > 0, "{applied} applied, {gapped} gapped");
        let value = |host| world.entry(host, "k").unwrap().value;
        assert!((1..6).all(|host| value(host) == value(0)), "all are equal");
        let held = value(0).expect("a value");
        for (command, host, round, name) in asked {
            let acknowledged = matches!(world.reply_to(command), Some(Ok(_)));
            // What the crash took with the only node that had it is gone.
            let may_be_lost = host == 5 && (50..=60).contains(&(round % 100));
            if acknowledged && !may_be_lost {
                assert!(held.windows(name.len()).any(|part| part == name), "{round} of {host}");
            }
        }
    }
}

fn one_more(kind: Kind, name: Vec<u8>) -> Operation {
    match kind {
        Kind::Set => Operation::Insert(name),
        Kind::Map => {
            let operation = Box::new(Operation::Enable);
            Operation::Field { name, kind: Kind::Flag, operation }
        }
        // Replaces nothing: each is one more sibling, as if its writer had read nothing.
        _ => Operation::Assign { value: name, read: Some(Context::default()) },
    }
}

/// An operation that would leave more than a value may hold is refused; one that leaves less is not.
#[test]
fn a_value_that_grows_too_large_is_refused() {
    let mut world = joined(9, WorldConfig::default(), 2, &Config::local());
    let half = |byte| Operation::Insert(vec![byte; VALUE_BYTES_MAX / 2]);
    update(&mut world, 0, "s", Kind::Set, half(1));
    let (keyspace, key) = ("kv".to_owned(), b"s".to_vec());
    let over = Command::Update { keyspace, key, kind: Kind::Set, operation: half(2) };
    let over = world.command(0, over);
    let refused = world.reply_to(over).cloned().expect("refused at once").unwrap_err();
    assert!(matches!(refused, CommandError::ValueLength { bytes } if bytes > VALUE_BYTES_MAX));
    // Each side of a split has its half: together they are more than one write may make of it.
    settle(&mut world, SETTLED);
    world.split_off(0..1);
    update(&mut world, 1, "s", Kind::Set, Operation::Remove(vec![1; VALUE_BYTES_MAX / 2]));
    update(&mut world, 1, "s", Kind::Set, Operation::Insert(vec![3; VALUE_BYTES_MAX - 100]));
    update(&mut world, 0, "s", Kind::Set, Operation::Insert(vec![1; VALUE_BYTES_MAX / 2]));
    world.net.heal();
    settle(&mut world, SETTLED);
    assert!((0..2).all(|host| elements(&world, host, "s").len() == 2));
    update(&mut world, 0, "s", Kind::Set, Operation::Remove(vec![1; VALUE_BYTES_MAX / 2]));
    settle(&mut world, SETTLED);
    assert_eq!(elements(&world, 1, "s").len(), 1);
}

/// What a program makes of siblings that are lists of words: their union, as `Builder::merge` folds them.
fn merged(world: &World, host: usize, key: &str) -> (Vec<u8>, Context) {
    let Some(value) = world.entry(host, key).and_then(|e| e.merged) else {
        return (Vec::new(), Context::default());
    };
    let words = value.siblings().fold(Vec::new(), |a, b| union(&a, b));
    (words, value.context().clone())
}

fn union(a: &[u8], b: &[u8]) -> Vec<u8> {
    let words = a.split(|&c| c == b' ').chain(b.split(|&c| c == b' ')).filter(|w| !w.is_empty());
    words.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(&b' ')
}

/// Row D12: a program's own merge. Both sides of a split, and writers within one side, write what they
/// merged of what they saw; reading writes nothing back, so whichever nodes read, and in whatever order, all
/// come to one value that holds every word, and the next write leaves it alone.
#[test]
fn a_programs_own_merge_gives_all_nodes_one_value_whoever_reads() {
    let mut most = 0;
    for seed in 0..if soak() { 500 } else { 12 } {
        let mut rng = Rng::from_u64(seed);
        let mut world = joined(seed, WorldConfig::default(), 6, &Config::local());
        let mut words = BTreeSet::new();
        let mut write = |world: &mut World, host: usize, word: String| {
            let (here, context) = merged(world, host, "cart");
            let operation =
                Operation::Assign { value: union(&here, word.as_bytes()), read: Some(context) };
            update(world, host, "cart", Kind::Register, operation);
            words.insert(word.into_bytes());
        };
        write(&mut world, 0, "first".to_owned());
        settle(&mut world, SETTLED);
        world.split_off((0..6).filter(|_| rng.chance(0.5)));
        for n in 0..12 {
            write(&mut world, rng.index(6), format!("word-{n:02}"));
            let ms = if rng.chance(0.5) { 0 } else { rng.below(200) };
            world.run_for(Duration::from_millis(ms));
        }
        world.net.heal();
        let readers: Vec<usize> = (0..6).filter(|_| rng.chance(0.5)).collect();
        for _ in 0..20 {
            readers.iter().for_each(|&host| drop(merged(&world, host, "cart")));
            world.run_for(Duration::from_millis(50));
        }
        settle(&mut world, SETTLED);
        let siblings = |world: &World, host: usize| -> Vec<Vec<u8>> {
            let value = world.entry(host, "cart").and_then(|e| e.merged).expect("it was written");
            value.siblings().map(|s| s.to_vec()).collect()
        };
        most = most.max(siblings(&world, 0).len());
        let last = rng.index(6);
        for host in 0..6 {
            assert_eq!(siblings(&world, host), siblings(&world, 0), "seed {seed}: in one order");
            assert_eq!(merged(&world, host, "cart"), merged(&world, 0, "cart"), "seed {seed}");
        }
        write(&mut world, last, "last".to_owned());
        settle(&mut world, SETTLED);
        let all = words.iter().cloned().collect::<Vec<_>>().join(&b' ');
        for host in 0..6 {
            assert_eq!(
                siblings(&world, host),
                std::slice::from_ref(&all),
                "seed {seed}: one, with every word"
            );
        }
    }
    println!("at most {most} siblings");
    assert!(most >= 3, "no three writes were concurrent");
}
