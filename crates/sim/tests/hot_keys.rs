//! Decides that who reads a key most hears of it first, that nobody else hears later, and that a busy
//! reader is left to chance (rows C3 to C5).

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::policy::{Mode, Policy};
use tidings_proto::io::Command;
use tidings_proto::limits::{HOT_KEYS_MAX, HOT_READERS_MAX};
use tidings_sim::setup::settle;
use tidings_sim::{Topic, World, WorldConfig};

const NODES: usize = 300;
const WRITER: usize = 7;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Reads per second of the node at this rank: Zipf 1.1, a thousand in all.
fn rates() -> Vec<f64> {
    let weight = |rank: usize| (rank as f64).powf(-1.1);
    let all: f64 = (1..NODES).map(weight).sum();
    (1..NODES).map(|rank| 1000.0 * weight(rank) / all).collect()
}

/// Nodes by rank, the writer left out.
fn reader(rank: usize) -> usize {
    (WRITER + 1 + rank * 113 % (NODES - 1)) % NODES
}

fn write(world: &mut World, value: &str) {
    let writes = vec![(b"hot".to_vec(), Some(value.into()))];
    world.command(WRITER, Command::Write { keyspace: "kv".to_owned(), writes });
}

/// Everybody reads at its rate for a while; `due` carries what is less than one read.
fn read_on(world: &mut World, due: &mut [f64], steps: usize) {
    for _ in 0..steps {
        for (rank, rate) in rates().into_iter().enumerate() {
            due[rank] += rate * 0.05;
            while due[rank] >= 1.0 {
                due[rank] -= 1.0;
                let (keyspace, key) = ("kv".to_owned(), b"hot".to_vec());
                world.command(reader(rank), Command::Read { keyspace, key });
            }
        }
        world.run_for(ms(50));
    }
}

/// Of each node: seconds until it had a write, on average over all writes.
struct Told {
    mean: BTreeMap<usize, f64>,
    /// On average over the writes: until the last active reader, and until the last node had it.
    readers: f64,
    all: f64,
    /// Nodes that said that they read it a lot.
    active: Vec<usize>,
}

/// So many writes, each watched for so long.
fn run(hot: bool, mode: Mode, writes: u32, watched: Duration) -> Told {
    let mut world = World::converged(1, WorldConfig::default(), NODES, &Config::lan());
    world.run_for(ms(1000));
    let policy = Policy { hot, mode, ..Policy::default() };
    world.command(0, Command::Declare { keyspace: "kv".to_owned(), policy });
    world.run_for(ms(1000));
    write(&mut world, "first");
    world.run_for(ms(10_000));
    let mut due = vec![0.0; NODES - 1];
    read_on(&mut world, &mut due, 1200);
    // The same ones with and without: those that reach the threshold.
    let steady = |rate: f64| rate * 10.0 / std::f64::consts::LN_2;
    let active: Vec<usize> =
        (0..NODES - 1).filter(|&rank| steady(rates()[rank]) >= 110.0).map(reader).collect();
    let (mut mean, mut readers, mut all) = (BTreeMap::new(), 0.0, 0.0);
    let share = 1.0 / f64::from(writes);
    for i in 0..writes {
        let topic = Topic::key("kv", b"hot");
        world.track(topic.clone());
        write(&mut world, &format!("value {i}"));
        read_on(&mut world, &mut due, (watched.as_millis() / 50) as usize);
        let spread = world.untrack(&topic);
        assert_eq!(spread.reached.len(), NODES, "all have it in {watched:?}");
        let took = |host: &usize| spread.reached[host].since(spread.since).as_secs_f64();
        for host in 0..NODES {
            *mean.entry(host).or_insert(0.0) += took(&host) * share;
        }
        readers += active.iter().map(took).fold(0.0, f64::max) * share;
        all += (0..NODES).map(|host| took(&host)).fold(0.0, f64::max) * share;
    }
    for host in world.up() {
        let holdings = world.view(host).holdings();
        let held = holdings.iter().find(|h| h.what == "hot keys").expect("it is listed");
        assert!(held.count <= HOT_KEYS_MAX);
    }
    Told { mean, readers, all, active }
}

/// Reads that meet the value before, and would have to go to the writer for the newest: in proportion to
/// how often a node reads and how late it hears. Of active readers, and of all.
fn stale_reads(told: &Told) -> (f64, f64) {
    let stale = |rank: usize| rates()[rank] * told.mean[&reader(rank)];
    let active = (0..NODES - 1).filter(|&rank| told.active.contains(&reader(rank)));
    (active.map(stale).sum(), (0..NODES - 1).map(stale).sum())
}

/// C3, C5. What is pushed spreads within milliseconds anyhow; what is pulled takes seconds, and there
/// the readers' share of the load falls by what they no longer ask for.
#[test]
fn active_readers_hear_first_and_nobody_later() {
    for (mode, writes, watched) in [(Mode::Push, 12, ms(900)), (Mode::Pull, 4, ms(9000))] {
        let (uniform, biased) =
            (run(false, mode, writes, watched), run(true, mode, writes, watched));
        let n = biased.active.len();
        assert!((15..=HOT_READERS_MAX).contains(&n), "{n} active readers");
        let mean = |told: &Told| {
            told.active.iter().map(|host| told.mean[host]).sum::<f64>() * 1e3 / n as f64
        };
        let (active, all) = (stale_reads(&uniform), stale_reads(&biased));
        let (active, all) = (all.0 / active.0, all.1 / active.1);
        println!("{}: {n} active of {NODES}, Zipf 1.1, ms by chance and biased:", mode.as_str());
        println!("  active, mean {:.1} {:.1}", mean(&uniform), mean(&biased));
        println!("  active, last {:.1} {:.1}", uniform.readers * 1e3, biased.readers * 1e3);
        println!("  everyone {:.1} {:.1}", uniform.all * 1e3, biased.all * 1e3);
        println!("  stale reads, biased to chance: of the active {active:.3}, of all {all:.3}");
        assert!(mean(&biased) <= 0.5 * mean(&uniform), "C3: active readers, mean");
        assert!(biased.readers <= 0.5 * uniform.readers, "C3: active readers, the last");
        assert!(biased.all <= 1.2 * uniform.all, "C3: everyone");
        assert!(active <= if mode == Mode::Pull { 0.1 } else { 0.5 }, "C5: active readers");
        assert!(all <= if mode == Mode::Pull { 0.2 } else { 0.5 }, "C5: all");
    }
}

/// C4: a reader that says that it is behind is told by chance, and hears all the same.
#[test]
fn a_busy_reader_is_left_to_chance() {
    let mut world = World::converged(2, WorldConfig::default(), 40, &Config::lan());
    world.run_for(ms(1000));
    let policy = Policy { hot: true, ..Policy::default() };
    world.command(0, Command::Declare { keyspace: "kv".to_owned(), policy });
    world.run_for(ms(500));
    write(&mut world, "first");
    world.run_for(ms(500));
    let read = |world: &mut World| {
        for rank in 0..3 {
            for _ in 0..120 {
                let (keyspace, key) = ("kv".to_owned(), b"hot".to_vec());
                let host = [11, 12, 13][rank];
                world.command(host, Command::Read { keyspace, key });
            }
        }
        world.run_for(ms(100));
    };
    read(&mut world);
    let told = |world: &World| world.node(WRITER).stats().readers_told;
    write(&mut world, "second");
    world.run_for(ms(500));
    assert_eq!(told(&world), 3, "three readers are told first");
    for host in [11, 12, 13] {
        for i in 0..1200 {
            let writes = vec![(format!("{host}/{i}").into_bytes(), Some(vec![b'v'; 300]))];
            world.command(host, Command::Write { keyspace: "other".to_owned(), writes });
        }
        let (keyspace, key) = ("kv".to_owned(), b"hot".to_vec());
        world.command(host, Command::Read { keyspace, key });
        assert!(world.view(host).rumours_waiting() > 1000);
    }
    world.run_for(ms(5));
    write(&mut world, "third");
    world.run_for(ms(20_000));
    assert_eq!(told(&world), 3, "none of the busy three");
    for host in world.up() {
        assert_eq!(world.get(host, "hot").as_deref(), Some(&b"third"[..]));
    }
}

/// Of the five hot readers of forty keys, each written ten times more often than can be told: rumours that
/// wait there, the 99th of 100 samples; and how long until all are equal after the last write.
fn overloaded(hot: bool) -> (usize, Duration) {
    // Twenty entries in a packet, five packets a second to each of three peers.
    let config = Config {
        batch: ms(200),
        eager_fanout: 3,
        burst_packets: 1,
        hot_shed: 100,
        rumours_max: 1000,
        ..Config::lan()
    };
    let mut world = World::converged(3, WorldConfig::default(), 20, &config);
    world.run_for(ms(1000));
    let policy = Policy { hot, ..Policy::default() };
    world.command(0, Command::Declare { keyspace: "kv".to_owned(), policy });
    world.run_for(ms(2000));
    let key = |i: usize| format!("hot{}", i % 400).into_bytes();
    let (readers, mut next, mut depths) = (15..20, 0, Vec::new());
    for step in 0..200 {
        // What fits, then ten times too much.
        for _ in 0..if step >= 120 { 50 } else { usize::from(step % 3 == 0) } {
            next += 1;
            let writes = vec![(key(next), Some(vec![next as u8; 60]))];
            world.command(next % 10, Command::Write { keyspace: "kv".to_owned(), writes });
        }
        for (reader, i) in readers.clone().flat_map(|r| (0..80).map(move |i| (r, i))) {
            let key = key(i % 40);
            world.command(reader, Command::Read { keyspace: "kv".to_owned(), key });
        }
        world.run_for(ms(50));
        if step >= 160 {
            depths.extend(readers.clone().map(|reader| world.view(reader).rumours_waiting()));
        }
    }
    let told: u64 = world.up().map(|h| world.node(h).stats().readers_told).sum();
    assert_eq!(told > 0, hot, "{told}");
    depths.sort_unstable();
    (depths[depths.len() * 99 / 100], settle(&mut world, ms(20_000)))
}

/// C4: ten times more than can be told. Who reads the keys has no more to do than by chance alone, and
/// nobody waits longer for it.
#[test]
fn readers_drown_no_sooner_than_others() {
    let ((depth, took), (biased_depth, biased)) = (overloaded(false), overloaded(true));
    println!(
        "at ten times too much: {depth} wait and {biased_depth} biased, equal after {took:?} and {biased:?}"
    );
    assert!(biased_depth as f64 <= 1.1 * depth as f64);
    assert!(biased <= took.mul_f64(1.3));
}
