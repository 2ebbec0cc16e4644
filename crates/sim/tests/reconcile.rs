//! What it costs two replicas to become equal, by how much they differ (rows M2, M3, M8, PAPERS 8),
//! and what becomes of memory and disks that change by themselves.

use std::time::{Duration, Instant};

use tidings_proto::Config;
use tidings_proto::anti_entropy::live::LiveSet;
use tidings_proto::anti_entropy::sketch::{Decoder, symbols};
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::rng::Rng;
use tidings_proto::config::Reconciliation;
use tidings_proto::io::{Command, CommandError};
use tidings_proto::limits::LIVE_CHANGES_MAX;
use tidings_proto::state::store::LiveChange;
use tidings_sim::reconcile::{Cost, Difference, Lacks, Replicas};
use tidings_sim::setup::{joined, settle, soak};
use tidings_sim::world::{World, WorldConfig};

const KEYS: usize = 20_000;

fn cost(differing: usize, method: Reconciliation, seed: u64) -> Cost {
    cost_among(KEYS, differing, method, seed)
}

fn cost_among(keys: usize, differing: usize, method: Reconciliation, seed: u64) -> Cost {
    let writers = Difference::writers_for(keys);
    let lacks = Lacks::Both;
    let difference = Difference { keys, differing, lacks, writers, method, seed };
    difference.check().expect("a difference that can be");
    let cost = Replicas::new(&difference).reconcile();
    cost.unwrap_or_else(|error| panic!("{difference:?}: {error}"))
}

/// PAPERS 8: whatever the sets hold, whoever lacks what, and in two round trips where little differs.
#[test]
fn bytes_follow_the_difference() {
    for (d, seeds, most, trips) in [
        (0, 1, 64, 0.0),
        (1, 8, 100, 1.0),
        (2, 8, 400, 2.1),
        (10, 8, 600, 2.1),
        (100, 16, 2_500, 2.2),
        (1000, 4, 24_000, 2.3),
    ] {
        let costs: Vec<Cost> =
            (1..=seeds).map(|seed| cost(d, Reconciliation::Sketch, seed)).collect();
        let mean = |of: fn(&Cost) -> u64| costs.iter().map(of).sum::<u64>() as f64 / seeds as f64;
        let (bytes, round_trips) = (mean(|c| c.metadata_bytes), mean(|c| c.round_trips));
        println!("d = {d}: {bytes} bytes, {round_trips} round trips, {:?}", costs[0]);
        assert!(bytes <= f64::from(most), "d = {d}: {bytes} bytes on the average: {costs:?}");
        assert!(round_trips <= trips, "d = {d}: {costs:?}");
    }
}

/// The only missing entry is had in one round trip within 100 bytes, whichever of the two asks.
#[test]
fn either_side_may_lack_the_one_entry() {
    let mut asked_by = [0; 2];
    for seed in 1..=8 {
        for lacks in [Lacks::First, Lacks::Second] {
            let difference = Difference {
                keys: 2000,
                differing: 1,
                lacks,
                writers: 20,
                method: [Reconciliation::Auto, Reconciliation::Sketch][seed as usize % 2],
                seed,
            };
            let cost = Replicas::new(&difference).reconcile().expect("they become equal");
            assert!(cost.metadata_bytes <= 100 && cost.round_trips == 1, "{cost:?}");
            assert_eq!(cost.method, "single");
            asked_by[cost.asker_lacked] += 1;
        }
    }
    assert!(asked_by.iter().all(|&runs| runs > 0), "both ways occur: {asked_by:?}");
}

/// Rows M2 and M3: three round trips of a tree; vectors are dear where there are many writers; and
/// left to itself a session takes what is cheapest.
#[test]
fn every_method_ends_equal_and_the_choice_is_the_cheapest() {
    for d in [10, 1000] {
        let of = |method| cost(d, method, 1);
        let [sketch, merkle, digest, auto] = [
            Reconciliation::Sketch,
            Reconciliation::Merkle,
            Reconciliation::Digest,
            Reconciliation::Auto,
        ]
        .map(of);
        println!("d = {d}: {sketch:?}\n{merkle:?}\n{digest:?}\n{auto:?}");
        assert_eq!((sketch.method, merkle.method, digest.method), ("sketch", "merkle", "digest"));
        assert!(sketch.metadata_bytes < merkle.metadata_bytes);
        assert!(d != 10 || merkle.metadata_bytes <= 40_000 && merkle.round_trips <= 6);
        let cheapest = sketch.bytes.min(merkle.bytes).min(digest.bytes);
        assert!(auto.bytes <= cheapest + cheapest / 4, "{auto:?} where {cheapest} would do");
    }
}

/// Row E3: where much differs, a filter tells what is there in ten bits a key.
#[test]
fn where_much_differs_filters_save_symbols() {
    let [auto, sketch] = [Reconciliation::Auto, Reconciliation::Sketch].map(|method| {
        let difference = Difference {
            keys: KEYS,
            differing: 6000,
            lacks: Lacks::Both,
            writers: 15_000,
            method,
            seed: 1,
        };
        Replicas::new(&difference).reconcile().expect("they become equal")
    });
    println!("{auto:?}\n{sketch:?}");
    assert!(auto.metadata_bytes < sketch.metadata_bytes * 9 / 10);
}

/// Row M8: a flipped bit is found within one cycle, told, and mended from a peer.
#[test]
fn bits_that_flip_in_memory_are_found_and_mended_in_a_cycle() {
    let cycle = Duration::from_secs(20);
    let config = Config { scrub_cycle: cycle, ..Config::lan() };
    let mut world = joined(1, WorldConfig::default(), 3, &config);
    for n in 0..200 {
        world.write(n % 3, format!("key {n}"), Some(format!("value {n}")));
    }
    settle(&mut world, Duration::from_secs(30));
    for n in [3, 77, 199] {
        let key = format!("key {n}");
        assert!(world.flip_bit(1, "kv", key.as_bytes()));
        assert_ne!(world.get(1, &key), world.get(0, &key), "reads see it until it is found");
    }
    world.run_for(cycle + Duration::from_secs(5));
    let stats = world.node(1).stats();
    assert_eq!((stats.scrub_faults, stats.scrub_mended), (3, 3));
    for n in [3, 77, 199] {
        let key = format!("key {n}");
        assert_eq!(world.get(1, &key), world.get(0, &key));
    }
    assert!(world.node(0).stats().scrub_faults == 0);
    settle(&mut world, Duration::from_secs(5));
}

/// What a disk gave back broken is not believed, and comes from a peer although the vector covers it:
/// alone, not with everything else.
#[test]
fn an_entry_that_rots_on_disk_comes_from_a_peer() {
    let config = Config { durable: true, ..Config::lan() };
    let mut world = joined(1, WorldConfig::default(), 3, &config);
    for n in 0..300 {
        world.write(n % 3, format!("key {n}"), Some([b'v'; 100]));
    }
    world.run_for(Duration::from_secs(1));
    settle(&mut world, Duration::from_secs(30));
    world.crash(2);
    let mut pairs = world.disk(2).snapshot();
    let rotten = pairs.iter_mut().filter(|(at, _)| at[0] == b'E').nth(150).expect("an entry");
    *rotten.1.last_mut().expect("a value") ^= 4;
    world.disk_mut(2).roll_back(pairs);
    world.restart(2);
    assert_eq!(world.view(2).entry_counts().0, 299);
    settle(&mut world, Duration::from_secs(30));
    assert_eq!(world.view(2).entry_counts().0, 300);
    assert!(world.node(2).stats().session_entries_received < 20);
}

/// A late joiner takes everything, and nobody misses a period for it.
#[test]
fn a_joiner_with_much_to_take_delays_no_probe() {
    let keys = if soak() { 100_000 } else { 20_000 };
    let config = Config::lan();
    let mut world = joined(1, WorldConfig::default(), 5, &config);
    for first in (0..keys).step_by(50) {
        let writes =
            (first..first + 50).map(|n| (format!("key {n}").into(), Some(vec![b'v'; 100])));
        let command = Command::Write { keyspace: "kv".to_owned(), writes: writes.collect() };
        let host = first / 50 % 5;
        let mut written = world.command(host, command.clone());
        while let Some(Err(CommandError::Overloaded { retry_after, .. })) = world.reply_to(written)
        {
            world.run_for(*retry_after);
            written = world.command(host, command.clone());
        }
        if first % 1000 == 0 {
            world.run_for(Duration::from_millis(100));
        }
    }
    settle(&mut world, Duration::from_secs(300));
    assert_eq!(world.view(0).entry_counts().0, keys);
    (0..5).for_each(|host| world.set_service_time(host, Duration::from_micros(100)));
    let newcomer = world.add_node("late", config.clone());
    world.set_service_time(newcomer, Duration::from_micros(100));
    world.join(newcomer, &[0]);
    let probes =
        |w: &World| -> Vec<u64> { (0..6).map(|h| w.node(h).stats().probes_sent).collect() };
    let mut periods = 0;
    while world.view(newcomer).entry_counts().0 < keys || periods < 5 {
        let before = probes(&world);
        world.run_for(config.probe_period * 2);
        let missed = before.iter().zip(probes(&world)).filter(|&(a, b)| b < a + 1).count();
        assert!(missed == 0 || periods == 0, "{missed} nodes probed nobody for two periods");
        periods += 2;
        assert!(periods < 600, "the newcomer has {:?}", world.view(newcomer).entry_counts());
    }
    let suspicions: u64 = (0..6).map(|h| world.node(h).stats().suspicions).sum();
    assert_eq!(suspicions, 0);
    println!("{keys} keys within {periods} periods");
}

/// The bars of PAPERS 8 at their full size, and what stands ready for them costs a write. Run with
/// `SOAK=1 cargo test --release`.
#[test]
fn a_million_keys() {
    if !soak() {
        return;
    }
    for (d, most) in
        [(1, 100), (100, 2_500), (1_000, 24_000), (10_000, 240_000), (100_000, 2_500_000)]
    {
        let methods = [Reconciliation::Sketch, Reconciliation::Auto, Reconciliation::Merkle];
        let costs = methods.map(|method| cost_among(1_000_000, d, method, 1));
        for cost in &costs {
            println!("d = {d}: {cost:?}");
        }
        assert!(costs[0].metadata_bytes <= most, "d = {d}: {:?}", costs[0]);
    }
    what_stands_ready();
}

/// Times, printed for the page: no bar on a shared machine.
fn what_stands_ready() {
    let key = HashKey::for_cluster("ready");
    let mut rng = Rng::from_u64(1);
    let elements: Vec<u64> = (0..1_000_000).map(|_| rng.u64()).collect();
    let started = Instant::now();
    let prefix = symbols(elements.iter().copied(), 0..1000, &key);
    println!("1,000 symbols over 10^6 elements: {:?}", started.elapsed());
    let other = symbols(elements[1000..].iter().copied(), 0..2000, &key);
    let all = symbols(elements.iter().copied(), 0..2000, &key);
    let started = Instant::now();
    let mut decoder = Decoder::new(key);
    for (a, b) in other.into_iter().zip(all) {
        decoder.push(a, b);
        if decoder.is_done() {
            break;
        }
    }
    println!("1,000 differences decoded: {:?}, {} symbols", started.elapsed(), decoder.len());
    let mut set = LiveSet::new(key);
    let change = |&print: &u64, live| {
        let print = u128::from(print) | u128::from(print) << 64;
        LiveChange { print, slot: 1, live }
    };
    let started = Instant::now();
    set.apply(&mut elements.iter().map(|e| change(e, true)).collect());
    println!("10^6 elements at once: {:?}", started.elapsed());
    let started = Instant::now();
    elements[..100_000].chunks(LIVE_CHANGES_MAX / 2).for_each(|some| {
        let gone = some.iter().map(|e| change(e, false));
        set.apply(&mut gone.chain(some.iter().map(|e| change(&(e ^ 1), true))).collect());
    });
    println!("an overwrite among 10^6: {:?}", started.elapsed() / 100_000);
    assert!(prefix.len() == 1000 && decoder.is_done());
}
