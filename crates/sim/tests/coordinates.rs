//! Decides how well members know, without measuring it, how long a round trip between any two takes
//! (row C5), and what a member that lies about its place can do.

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::hash::HashKey;
use tidings_proto::detection::coordinates::DIMENSIONS;
use tidings_proto::wire::frame::{kind, put_frame};
use tidings_proto::wire::packet;
use tidings_sim::network::Latency;
use tidings_sim::region::{Regions, fibre_delay};
use tidings_sim::statistics::percentile;
use tidings_sim::{Conditions, World, WorldConfig};

const HOSTS: usize = 60;
/// Within a region, one way.
const NEAR: (u64, u64) = (400, 600);
/// Virginia, Oregon, Sao Paulo, Ireland, Frankfurt, Mumbai, Singapore, Tokyo, Sydney.
const PLACES: [(f64, f64); 9] = [
    (39.0, -77.5),
    (45.9, -119.3),
    (-23.5, -46.6),
    (53.3, -6.3),
    (50.1, 8.7),
    (19.1, 72.9),
    (1.4, 103.8),
    (35.7, 139.7),
    (-33.9, 151.2),
];

/// Real routes are half as long again as the straight line.
fn way(a: usize, b: usize) -> Duration {
    fibre_delay(PLACES[a], PLACES[b], 1.5)
}

/// A world of regions whose ways take up to a tenth longer than at best.
fn regions(seed: u64) -> World {
    let near = Latency::Uniform(Duration::from_micros(NEAR.0), Duration::from_micros(NEAR.1));
    let conditions = Conditions { latency: near, ..Conditions::lan() };
    let config = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = World::converged(seed, config, HOSTS, &Config::wan());
    let of = (0..HOSTS).map(|host| (host % PLACES.len()) as u16).collect();
    let jitter = |a, b| Latency::Uniform(way(a, b), way(a, b).mul_f64(1.1));
    world.net.regions = Some(Regions::new(PLACES.len(), of, jitter));
    world
}

fn truth(a: usize, b: usize) -> f64 {
    let near = Duration::from_micros((NEAR.0 + NEAR.1) / 2);
    let (a, b) = (a % PLACES.len(), b % PLACES.len());
    let far = if a == b { Duration::ZERO } else { way(a, b).mul_f64(1.05) };
    (near + far).as_secs_f64() * 2.0
}

/// Relative errors of what `hosts` think of all pairs of `hosts`, and the share of pairs that they know.
fn errors(world: &World, hosts: std::ops::Range<usize>) -> (Vec<f64>, f64) {
    let (mut errors, mut asked) = (Vec::new(), 0);
    for host in hosts.clone().step_by(7) {
        let view = world.view(host);
        for a in hosts.clone() {
            for b in a + 1..hosts.end {
                asked += 1;
                if let Some(rtt) = view.rtt(world.id(a), world.id(b)) {
                    errors.push((rtt.estimate.as_secs_f64() - truth(a, b)).abs() / truth(a, b));
                }
            }
        }
    }
    let known = errors.len() as f64 / asked as f64;
    (errors, known)
}

/// C5: probing alone, at no datagram more.
#[test]
fn any_round_trip_is_estimated_after_some_minutes_of_probing() {
    for seed in [1, 2] {
        let mut world = regions(seed);
        for (minutes, bound) in [(5, f64::MAX), (5, 0.15), (10, 0.12)] {
            world.run_for(Duration::from_secs(minutes * 60));
            let (errors, known) = errors(&world, 0..HOSTS);
            let (half, most) = (percentile(&errors, 0.5), percentile(&errors, 0.9));
            println!(
                "seed {seed}, +{minutes} min: median {half:.3}, p90 {most:.3}, known {known:.3}"
            );
            assert!(half <= bound, "seed {seed}: median {half}");
        }
        let refused =
            (0..HOSTS).map(|host| world.node(host).stats().coordinates_refused).sum::<u64>();
        assert!(refused < 10, "seed {seed}: {refused} of some 5,000 honest places are refused");
    }
}

/// A member tells everybody, every other second, that it is a second away and sure of it.
#[test]
fn a_liar_moves_nobody_and_is_counted() {
    let mut world = regions(3);
    world.run_for(Duration::from_secs(1_200));
    let before = percentile(&errors(&world, 1..HOSTS).0, 0.5);
    let mut lie = Vec::new();
    let start = packet::begin(&mut lie, &HashKey::for_cluster(&Config::wan().cluster), world.id(0));
    put_frame(&mut lie, kind::COORDINATE, |out| {
        out.push(5);
        out.extend_from_slice(&[0xff, 0x7f].repeat(DIMENSIONS));
        out.extend_from_slice(&[0; 5]);
    });
    packet::seal(&mut lie, start, &HashKey::for_cluster(&Config::wan().cluster));
    for _ in 0..300 {
        (1..HOSTS).for_each(|host| world.inject(host, 0, &lie));
        world.run_for(Duration::from_secs(2));
    }
    let after = percentile(&errors(&world, 1..HOSTS).0, 0.5);
    let refused: u64 = (1..HOSTS).map(|host| world.node(host).stats().coordinates_refused).sum();
    println!("median {before:.3}, after ten minutes of lies {after:.3}; {refused} refused");
    assert!(after <= before * 1.25 + 0.01 && refused > 0, "{before} {after} {refused}");
}
