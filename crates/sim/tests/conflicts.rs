//! Decides that no write is given up in silence: each that last-writer-wins discards for a concurrent
//! one is told by a node that held both (row D5, rule 2).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_proto::base::clocks::Dot;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::Event;
use tidings_proto::limits::{CONFLICT_VALUE_BYTES_MAX, CONFLICTS_MAX};
use tidings_sim::setup::{joined, settle, soak};
use tidings_sim::{Record, World, WorldConfig};

use tidings_proto::Config;

fn recorded() -> WorldConfig {
    WorldConfig { record: Record::Events, ..WorldConfig::default() }
}

/// Writes that some node said it discarded.
fn told(world: &World) -> BTreeSet<Dot> {
    let mut told = BTreeSet::new();
    for host in 0..world.len() {
        for (_, event) in world.seen().events(host) {
            if let Event::Conflict(lost) = event {
                told.insert(lost.discarded.0);
            }
        }
    }
    told
}

/// Writes that no other write has seen and that did not win: what last-writer-wins gave up. A write has
/// seen what its node held of the key.
struct Oracle {
    seen: BTreeSet<Dot>,
    /// Writes under way, with what their node held.
    asked: Vec<(tidings_proto::io::CommandId, Option<Dot>)>,
}

impl Oracle {
    fn write(&mut self, world: &mut World, host: usize, key: &str, value: Option<&str>) {
        let held = world.entry(host, key).map(|entry| entry.dot);
        self.asked.push((world.write(host, key, value), held));
    }

    fn given_up(mut self, world: &World, keys: &[String]) -> BTreeSet<Dot> {
        for (command, held) in &self.asked {
            if matches!(world.reply_to(*command), Some(Ok(_))) {
                self.seen.extend(held);
            }
        }
        let winners: BTreeSet<Dot> =
            keys.iter().filter_map(|key| Some(world.entry(0, key)?.dot)).collect();
        let over = |dot: &&Dot| !self.seen.contains(dot) && !winners.contains(dot);
        world.seen().written.keys().filter(over).copied().collect()
    }
}

/// Both sides of a split write, also nodes of one side at the same time: every write that is lost is
/// told, with its value, and no other.
#[test]
fn every_discarded_concurrent_write_is_told() {
    let seeds = if soak() { 300 } else { 10 };
    let mut given_up = 0;
    for seed in 0..seeds {
        let mut rng = Rng::from_u64(seed);
        let mut world = joined(seed, recorded(), 6, &Config::local());
        let keys: Vec<String> = (0..8).map(|k| format!("k{k}")).collect();
        let mut oracle = Oracle { seen: BTreeSet::new(), asked: Vec::new() };
        world.split_off(0..3);
        for round in 0..60 {
            let key = &keys[rng.index(8)];
            let value = format!("{round}");
            let value = rng.chance(0.8).then_some(value.as_str());
            oracle.write(&mut world, rng.index(6), key, value);
            world.run_for(Duration::from_millis(rng.below(60)));
        }
        world.net.heal();
        settle(&mut world, Duration::from_secs(30));
        let lost = oracle.given_up(&world, &keys);
        given_up += lost.len();
        assert_eq!(told(&world), lost, "seed {seed}");
    }
    println!("{given_up} writes were given up, all of them told");
    assert!(given_up >= 6 * seeds as usize);
}

/// What is told can be read later: the value up to a bound, the newest first to stay.
#[test]
fn conflicts_are_kept_within_bounds() {
    let mut world = joined(2, recorded(), 2, &Config::local());
    world.split_off([1]);
    let large = vec![7; CONFLICT_VALUE_BYTES_MAX + 100];
    for n in 0..CONFLICTS_MAX + 60 {
        world.set(0, format!("k{n}"), &large);
    }
    world.run_for(Duration::from_millis(500));
    for n in 0..CONFLICTS_MAX + 60 {
        world.set(1, format!("k{n}"), "later");
    }
    world.net.heal();
    settle(&mut world, Duration::from_secs(30));
    let mut kept = BTreeMap::new();
    for host in 0..2 {
        kept.insert(host, world.view(host).conflicts().count());
        for lost in world.view(host).conflicts() {
            assert_eq!(lost.value.as_ref().map(|v| v.len()), Some(CONFLICT_VALUE_BYTES_MAX));
            assert_eq!((lost.value_len, lost.kept.unwrap().0.origin), (large.len(), world.id(1)));
        }
    }
    assert_eq!(kept.values().max(), Some(&CONFLICTS_MAX));
    assert_eq!(told(&world).len(), CONFLICTS_MAX + 60);
}
