//! Decides that members that come and go are told of calmly, that all agree on them all the same, and
//! that nobody else is told of later for it (row O5, F17).

use std::time::Duration;

use tidings_proto::Config;
use tidings_sim::setup::{counts, joined, settle};
use tidings_sim::{World, WorldConfig};

const NODES: usize = 20;
const FLAPPER: usize = 5;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config() -> Config {
    Config { flap_half_life: secs(300), ..Config::lan() }
}

fn cluster(seed: u64, config: &Config) -> World {
    joined(seed, WorldConfig::default(), NODES, config)
}

/// Dies, is found dead, and starts anew.
fn flap(world: &mut World) {
    world.crash(FLAPPER);
    world.run_for(secs(12));
    world.restart(FLAPPER);
    world.run_for(secs(8));
}

/// At how many of the others the member is suppressed.
fn suppressed_at(world: &World) -> usize {
    let name = world.name(FLAPPER);
    let of = |host: usize| world.view(host).members().any(|m| m.suppressed && m.name == name);
    (0..NODES).filter(|&host| host != FLAPPER && of(host)).count()
}

fn told(world: &World) -> u64 {
    let others = (0..NODES).filter(|&host| host != FLAPPER);
    others
        .map(|h| world.node(h).stats().rumours_member_sent + world.node(h).stats().accusations_sent)
        .sum()
}

/// How long until all others know that this one is dead.
fn detection(world: &mut World, host: usize) -> Duration {
    let (alive, since) = (world.up().count(), world.now());
    world.crash(host);
    while !world.all_see_alive(alive - 1) {
        world.run_for(ms(20));
        assert!(world.now().since(since) < secs(120), "{:?}", counts(world));
    }
    world.now().since(since)
}

/// Three times within the half-life: suppressed at all, said once by each, told of less, and all agree.
#[test]
fn who_comes_back_for_the_third_time_is_told_of_calmly() {
    let mut world = cluster(1, &config());
    flap(&mut world);
    flap(&mut world);
    assert_eq!(suppressed_at(&world), 0, "two are what an upgrade takes");
    flap(&mut world);
    assert_eq!(suppressed_at(&world), NODES - 1);
    let before = told(&world);
    (0..6).for_each(|_| flap(&mut world));
    let calmly = told(&world) - before;
    let took = settle(&mut world, secs(60));
    assert_eq!(world.node(1).stats().flaps_suppressed, 1, "it is said once");

    let mut undamped = cluster(1, &Config { flap_half_life: Duration::ZERO, ..Config::lan() });
    (0..3).for_each(|_| flap(&mut undamped));
    let before = told(&undamped);
    (0..6).for_each(|_| flap(&mut undamped));
    let eagerly = told(&undamped) - before;
    println!("six lives: {calmly} rumours, {eagerly} undamped; equal after {took:?}");
    assert!(calmly * 2 <= eagerly, "{calmly} {eagerly}");
    assert_eq!(suppressed_at(&undamped), 0);
}

/// It ends by itself, at most two half-lives after the last time.
#[test]
fn in_peace_it_is_over() {
    let mut world = cluster(2, &config());
    (0..4).for_each(|_| flap(&mut world));
    assert_eq!(suppressed_at(&world), NODES - 1);
    world.run_for(secs(640));
    assert_eq!(suppressed_at(&world), 0);
    settle(&mut world, secs(10));
}

/// The death of another is known as soon as ever, that of the suppressed one within 30 periods more.
#[test]
fn the_death_of_another_is_known_as_soon() {
    let mut calm = cluster(3, &config());
    calm.run_for(secs(80));
    let three = |w: &mut World| [7, 9, 14].map(|h| detection(w, h)).iter().sum::<Duration>() / 3;
    let usual = three(&mut calm);
    let mut world = cluster(3, &config());
    (0..4).for_each(|_| flap(&mut world));
    assert_eq!(suppressed_at(&world), NODES - 1);
    let found = three(&mut world);
    let own = detection(&mut world, FLAPPER);
    println!(
        "another is found dead in {found:?} (usually {usual:?}), the suppressed one in {own:?}"
    );
    assert!(found <= usual + secs(2), "{found:?} {usual:?}");
    assert!(own <= secs(40), "{own:?}");
}
