//! Decides how the unmodified core is put on the same grid. Its driver is one loop that reads,
//! decides and sends, so a process that blocks at its first send stands still as a whole: a pause.

use std::time::Duration;

use tidings_proto::{Config, Time};

use super::grid::{CRASH_AT, Cell, LASTS, Tally};
use super::rules::{HANDLING, LATENCY, MEMBERS};
use crate::network::{Conditions, Latency};
use crate::world::{World, WorldConfig};

/// The LAN profile with suspicions as long as memberlist's at this alpha.
pub fn matched(alpha: f64) -> Config {
    Config { suspicion_alpha: alpha, ..Config::lan() }
}

/// Plays one cell with the core under this configuration.
pub fn play(config: &Config, cell: &Cell) -> Tally {
    let latency = Latency::Uniform(micros(LATENCY.0), micros(LATENCY.1));
    let conditions = Conditions { latency, ..Conditions::lan() };
    let world = WorldConfig { conditions, checks: false, ..WorldConfig::default() };
    let mut world = World::converged(cell.seed, world, MEMBERS, config);
    for host in 0..cell.anomalous {
        world.set_service_time(host, micros(HANDLING));
    }
    let mut tally = Tally::default();
    let mut crashed = false;
    let mut block_at = 0;
    while block_at < LASTS {
        go_on(&mut world, block_at, cell, &mut crashed, &mut tally);
        (0..cell.anomalous).for_each(|host| world.pause(host));
        let release_at = block_at + cell.blocked;
        go_on(&mut world, release_at.min(LASTS), cell, &mut crashed, &mut tally);
        (0..cell.anomalous).for_each(|host| world.resume(host));
        block_at = release_at + cell.free;
    }
    go_on(&mut world, LASTS, cell, &mut crashed, &mut tally);
    count(&world, cell, &mut tally);
    tally
}

/// Runs until then; half way through one member is lost with its address: nothing answers.
fn go_on(world: &mut World, until: u64, cell: &Cell, crashed: &mut bool, tally: &mut Tally) {
    if !*crashed && until >= CRASH_AT {
        *crashed = true;
        world.run_until(moment(CRASH_AT));
        tally.false_dead += false_deaths(world, cell, |subject| subject == cell.victim(), |_| true);
        world.crash(cell.victim());
        world.split_off([cell.victim()]);
    }
    world.run_until(moment(until));
}

fn count(world: &World, cell: &Cell, tally: &mut Tally) {
    let healthy = |subject| !cell.is_anomalous(subject) && subject != cell.victim();
    tally.false_dead += false_deaths(world, cell, healthy, |_| true);
    tally.false_dead_healthy +=
        false_deaths(world, cell, healthy, |observer| !cell.is_anomalous(observer));
    for host in 0..world.len() {
        let traffic = world.traffic(host);
        tally.messages += traffic.datagrams_sent + traffic.requests_sent;
        // The responses that came.
        if world.is_up(host) {
            tally.messages += traffic.requests_sent - world.node(host).stats().requests_failed;
        }
        tally.bytes += traffic.bytes_sent + traffic.stream_bytes_sent;
    }
    let crash = moment(CRASH_AT);
    let victim = world.id(cell.victim());
    let verdicts = world.seen().first_failed.iter().filter(|((observer, subject), at)| {
        *subject == victim && !cell.is_anomalous(*observer) && **at >= crash
    });
    let first = verdicts.map(|(_, at)| at.since(crash).as_secs_f64()).min_by(f64::total_cmp);
    tally.detections.extend(first);
}

fn false_deaths(
    world: &World,
    cell: &Cell,
    subjects: impl Fn(usize) -> bool,
    observers: impl Fn(usize) -> bool,
) -> u64 {
    let counted = (0..MEMBERS).filter(|&s| subjects(s) && !cell.is_anomalous(s));
    let ids: Vec<_> = counted.map(|s| world.id(s)).collect();
    let seen = world.seen().times_failed.iter();
    let counted = seen.filter(|((o, s), _)| observers(*o) && ids.contains(s));
    counted.map(|(_, &times)| u64::from(times)).sum()
}

fn moment(at: u64) -> Time {
    Time(at * 1000)
}

fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}
