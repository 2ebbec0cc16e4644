//! Decides that no order of messages and crashes loses an update or makes a vector lie (F3, F4,
//! D14): all schedules of three nodes and three writes, enumerated, not sampled.

use std::time::Duration;

use tidings_proto::Config;
use tidings_sim::choice::Choices;
use tidings_sim::setup::{joined, soak};
use tidings_sim::trace::Text;
use tidings_sim::{Conditions, Latency, World, WorldConfig};

/// Fates that are enumerated: prompt, late or lost, for this many datagrams from the first write.
const FATES_CI: usize = 3;
const FATES_SOAK: usize = 7;
const SCHEDULES_CI: u64 = 10_000;
const SCHEDULES_SOAK: u64 = 1_000_000;

/// When a process dies after a write: never, before its disk is done, after it, after the first
/// datagrams are out.
const CRASH_AFTER_US: [Option<u64>; 4] = [None, Some(0), Some(2_100), Some(15_000)];

#[test]
fn every_schedule_of_three_writes_and_crashes_keeps_what_was_acknowledged() {
    let (fates, most) =
        if soak() { (FATES_SOAK, SCHEDULES_SOAK) } else { (FATES_CI, SCHEDULES_CI) };
    let mut plan = Choices::new(6);
    let mut run = 0;
    'all: loop {
        let mut network = Choices::new(fates);
        loop {
            let mut steps = plan.clone();
            let mut fate_of = network.clone();
            if let Err(broken) = one(&mut steps, &mut fate_of, run, Text::Off) {
                let (mut steps, mut fate_of) = (plan.clone(), network.clone());
                let _ = one(&mut steps, &mut fate_of, run, Text::All);
                panic!("schedule {run}, plan {:?}: {broken}", steps.path());
            }
            run += 1;
            plan = steps.clone();
            network = fate_of;
            if run >= most || !network.advance() {
                break;
            }
            plan.rewind();
        }
        if run >= most || !plan.advance() {
            break 'all;
        }
    }
    println!("{run} schedules of 3 nodes and 3 writes, all of the plan: {}", run < most);
    assert!(run >= 1000, "too few schedules: {run}");
}

/// One schedule: the plan says who writes what and who crashes when, the network's choices say
/// which datagram is prompt, late or lost.
fn one(plan: &mut Choices, fates: &mut Choices, run: u64, text: Text) -> Result<(), String> {
    let conditions =
        Conditions { latency: Latency::Constant(Duration::from_millis(1)), ..Conditions::lan() };
    let world_config = WorldConfig { conditions, text, ..WorldConfig::default() };
    let config = Config { durable: true, ..Config::local() };
    let mut world = joined(run % 7, world_config, 3, &config);
    for host in 0..3 {
        world.set_join(host, &[(host + 1) % 3, (host + 2) % 3]);
    }
    world.run_for(Duration::from_millis(200));
    world.net.choices = Some(std::mem::take(fates));
    world.trace_lines();
    let outcome = writes_and_crashes(&mut world, plan);
    *fates = world.net.choices.take().expect("the choices were lent to the network");
    let outcome = outcome.and_then(|()| finish(&mut world));
    for line in world.trace_lines() {
        println!("{line}");
    }
    outcome
}

fn writes_and_crashes(world: &mut World, plan: &mut Choices) -> Result<(), String> {
    for write in 0..3 {
        // The same key from two nodes, then another from the first: overwrites and a sequence.
        let writer = [0, 1, 0][write];
        let key = ["k", "k", "other"][write];
        world.set(writer, key, format!("w{write}"));
        let crash = CRASH_AFTER_US[plan.choose(CRASH_AFTER_US.len())];
        match crash {
            None => world.run_for(Duration::from_millis(3)),
            Some(after) => {
                let victim = [writer, 2][plan.choose(2)];
                world.run_for(Duration::from_micros(after));
                world.crash(victim);
                world.check_running()?;
                world.run_for(Duration::from_millis(4));
                world.restart(victim);
            }
        }
        world.check_running()?;
    }
    world.run_for(Duration::from_millis(30));
    world.check_running()
}

fn finish(world: &mut World) -> Result<(), String> {
    let every = Duration::from_millis(250);
    let settled = world.run_while(Duration::from_secs(20), every, |w| {
        !w.all_see_alive(3) || w.check_quiet().is_err()
    });
    if settled.is_some() {
        return Ok(());
    }
    world.check_quiet()?;
    Err(format!("members differ: {:?}", tidings_sim::setup::counts(world)))
}
