//! Decides how failures are found and what is never taken for one
//! (rows I2, I3, I5, I6, I7, I9, I12; failures F8, F9, F14, F17).

use std::collections::BTreeSet;
use std::time::Duration;

use tidings_proto::io::{Event, MemberChange};
use tidings_proto::{Config, NodeId};
use tidings_sim::setup::{counts, joined, load};
use tidings_sim::statistics::{mean, percentile};
use tidings_sim::{Conditions, Record, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn isolate(world: &mut World, host: usize) {
    world.split_off([host]);
}

/// Subjects that anybody declared failed.
fn failed_subjects(world: &World) -> BTreeSet<usize> {
    let ids = world.seen().first_failed.keys().map(|(_, id)| *id).collect::<BTreeSet<_>>();
    (0..world.len()).filter(|&h| ids.contains(&world.id(h))).collect()
}

/// A killed process refuses: known to all within the refused speed. A lost machine is silent:
/// known to all within the tolerated pause, alpha log n, and the spread.
#[test]
fn a_killed_node_is_known_to_a_thousand() {
    let n = 1000;
    for (seed, silent, bound) in [(1, false, 6.0), (2, true, 13.0)] {
        let mut world = World::converged(seed, WorldConfig::default(), n, &Config::lan());
        world.run_for(secs(5));
        let (victim, at) = (321, world.now());
        let id = world.id(victim);
        if silent {
            isolate(&mut world, victim);
        } else {
            world.crash(victim);
        }
        let known = |w: &World| {
            w.seen().first_failed.keys().filter(|(o, s)| *o != victim && *s == id).count()
        };
        world.run_while(secs(30), ms(50), |w| known(w) < n - 1);
        assert_eq!(known(&world), n - 1, "silent {silent}: not known to all in 30 s");
        let times: Vec<f64> = world
            .seen()
            .first_failed
            .iter()
            .filter(|((o, s), _)| *o != victim && *s == id)
            .map(|(_, t)| t.since(at).as_secs_f64())
            .collect();
        let (first, last) = (percentile(&times, 0.0), percentile(&times, 1.0));
        println!("silent {silent}: first verdict {first:.2} s, known to all {n} after {last:.2} s");
        assert!(last <= bound, "silent {silent}: {last:.2} s");
    }
}

/// I9: mean time to the first suspicion at most e/(e-1) periods plus a probe; to the first
/// verdict at most that plus two seconds (refused).
#[test]
fn first_detection_takes_the_periods_that_swim_promises() {
    let n = 100;
    let config = Config::lan();
    let mut world = World::converged(3, WorldConfig::default(), n, &config);
    world.run_for(secs(5));
    let mut verdicts = Vec::new();
    for victim in (0..n).step_by(2) {
        world.run_for(ms(137 * victim as u64 % 1000));
        let (id, at) = (world.id(victim), world.now());
        world.crash(victim);
        let failed = |w: &World| w.seen().first_failed.keys().any(|(_, s)| *s == id);
        let took = world.run_while(secs(20), ms(10), |w| !failed(w));
        assert!(took.is_some(), "victim {victim} was not detected");
        verdicts.push(world.now().since(at).as_secs_f64());
        world.run_for(secs(3));
        world.restart(victim);
        world.join(victim, &[(victim + 1) % n]);
        world.run_for(secs(3));
    }
    let bound = 1.582 * config.probe_period.as_secs_f64() + 2.0;
    println!(
        "first verdict over {} kills: mean {:.2} s, p99 {:.2} s; bound of the mean {bound:.2} s",
        verdicts.len(),
        mean(&verdicts),
        percentile(&verdicts, 0.99)
    );
    assert!(mean(&verdicts) <= bound);
}

/// Silence: first verdict's mean at most e/(e-1) periods plus the longer of P and alpha log n.
#[test]
fn silence_is_convicted_after_the_tolerated_pause() {
    let n = 60;
    let config = Config::lan();
    let mut verdicts = Vec::new();
    for round in 0..10u64 {
        let mut world = World::converged(50 + round, WorldConfig::default(), n, &config);
        world.run_for(secs(4) + ms(97 * round));
        let (victim, at) = (round as usize * 3, world.now());
        let id = world.id(victim);
        isolate(&mut world, victim);
        world.run_while(secs(60), ms(10), |w| {
            !w.seen().first_failed.keys().any(|(o, s)| *s == id && *o != victim)
        });
        verdicts.push(world.now().since(at).as_secs_f64());
    }
    let alpha = config.suspicion_alpha * (n as f64).log10();
    let bound = 1.582 + 1.0 + alpha.max(config.pause_tolerated.as_secs_f64()) + 1.0;
    println!("silence: mean {:.2} s, worst {:.2} s", mean(&verdicts), percentile(&verdicts, 1.0));
    assert!(mean(&verdicts) <= bound, "{verdicts:?}");
    assert!(percentile(&verdicts, 0.0) >= config.pause_tolerated.as_secs_f64() - 1.0);
}

/// No false death in a simulated hour at 10 % loss with 200 nodes.
#[test]
fn an_hour_of_ten_percent_loss_kills_nobody() {
    let conditions = Conditions { loss: 0.1, ..Conditions::lan() };
    let config = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = World::converged(4, config, 200, &Config::lan());
    world.run_for(secs(3600));
    let seen = &world.seen().counts;
    println!(
        "an hour at 10 % loss, 200 nodes: {} suspicions, {} failed, {} inputs",
        seen.of(MemberChange::Suspect),
        seen.of(MemberChange::Failed),
        world.inputs()
    );
    assert_eq!(seen.of(MemberChange::Failed), 0);
    assert!(world.all_see_alive(200));
    world.check_quiet().unwrap();
}

/// I6, F9: a target that stands still for at most P is not declared failed.
#[test]
fn a_pause_up_to_p_is_ridden_out() {
    let n = 50;
    let config = Config::lan();
    let mut world = World::converged(5, WorldConfig::default(), n, &config);
    world.run_for(secs(5));
    for round in 0..30 {
        let victim = round * 7 % n;
        if round % 2 == 0 {
            world.pause(victim);
        } else {
            world.suspend(victim);
        }
        world.run_for(config.pause_tolerated);
        world.resume(victim);
        world.run_for(ms(1500));
    }
    world.run_for(secs(20));
    let seen = &world.seen().counts;
    println!("30 pauses of P: {} suspicions", seen.of(MemberChange::Suspect));
    assert_eq!(seen.of(MemberChange::Failed), 0, "{:?}", failed_subjects(&world));
    assert!(world.all_see_alive(n));
}

/// F8: an observer that stood still convicts nobody.
#[test]
fn a_paused_observer_convicts_no_healthy_peer() {
    let n = 40;
    let mut world = World::converged(6, WorldConfig::default(), n, &Config::lan());
    world.run_for(secs(5));
    for (observer, lasted) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 15), (6, 30), (7, 60)] {
        if observer % 2 == 0 {
            world.pause(observer);
        } else {
            world.suspend(observer);
        }
        world.run_for(secs(lasted));
        world.resume(observer);
        world.run_for(secs(15));
        // Those who stood still before it were silent longer than P, and others told it so.
        let healthy = |s: &NodeId| (8..n).any(|h| world.id(h) == *s);
        let by_it = world.seen().first_failed.keys().filter(|(o, s)| *o == observer && healthy(s));
        assert_eq!(by_it.count(), 0, "after a pause of {lasted} s the observer declared failures");
        assert!(world.all_see_alive(n), "after {lasted} s: {:?}", counts(&world));
    }
    // Only those who were silent longer than P were declared failed, by others.
    assert!(failed_subjects(&world).iter().all(|h| (1..=7).contains(h)));
}

/// I7: one bad path never kills, whichever way it is bad.
#[test]
fn a_single_bad_link_kills_nobody() {
    let n = 50;
    let hours = if tidings_sim::setup::soak() { 24 } else { 1 };
    for (seed, one_way) in [(7, false), (8, true)] {
        let mut world = World::converged(seed, WorldConfig::default(), n, &Config::lan());
        world.run_for(secs(2));
        if one_way {
            world.net.cut_one_way(3, 30);
        } else {
            world.net.cut(3, 30);
        }
        world.run_for(secs(hours * 1800));
        let seen = &world.seen().counts;
        println!("one way {one_way}: {} suspicions", seen.of(MemberChange::Suspect));
        assert_eq!(seen.of(MemberChange::Failed), 0, "one way: {one_way}");
    }
}

/// I2: nacks arrive in time, so a healthy prober of a dead node does not blame itself.
#[test]
fn a_dead_node_does_not_hurt_its_probers_health() {
    let n = 20;
    let mut world = World::converged(9, WorldConfig::default(), n, &Config::lan());
    world.run_for(secs(5));
    isolate(&mut world, 11);
    let mut worst = 0;
    for _ in 0..150 {
        world.run_for(ms(100));
        let others = (0..n).filter(|&h| h != 11);
        worst = worst.max(others.map(|h| world.view(h).local_health()).max().unwrap());
    }
    let nacks: u64 = (0..n).map(|h| world.node(h).stats().nacks_received).sum();
    println!("nacks received {nacks}, worst local health of a healthy node {worst}");
    assert!(nacks > 0);
    assert_eq!(worst, 0);
    assert!(world.view(11).local_health() > 0, "the isolated node doubts itself");
}

/// I3: a liar who convicts alone kills nobody elsewhere.
#[test]
fn a_single_liar_kills_nobody() {
    let n = 30;
    let config = Config::lan();
    let mut world = World::new(10, WorldConfig::default());
    for i in 0..n {
        let accusers_required = if i == 0 { 1 } else { config.accusers_required };
        world.add_node(&format!("n{i}"), Config { accusers_required, ..config.clone() });
        if i > 0 {
            world.join(i, &[0]);
        }
        world.run_for(ms(20));
    }
    world.run_for(secs(5));
    assert!(world.all_see_alive(n));
    // The liar hears nobody of its victims, on no path, and needs no second accuser.
    for victim in 1..n {
        world.net.block(victim, 0, tidings_sim::network::Shape::Stream);
        world.net.cut_one_way(victim, 0);
    }
    world.run_for(secs(120));
    let killed_by_others =
        world.seen().first_failed.keys().filter(|(o, s)| *o != 0 && *s != world.id(0)).count();
    assert_eq!(killed_by_others, 0, "{:?}", failed_subjects(&world));
    assert!((1..n).all(|h| world.view(h).counts().0 >= n - 1));
}

/// I3, I10: a sick observer (it loses most of what it receives) kills nobody.
#[test]
fn a_sick_observer_kills_nobody() {
    let n = 40;
    let mut world = World::converged(12, WorldConfig::default(), n, &Config::lan());
    world.run_for(secs(3));
    world.net.set_host_loss(5, 0.1, 0.9);
    world.set_service_time(6, ms(300));
    world.run_for(secs(600));
    let healthy: Vec<_> =
        failed_subjects(&world).into_iter().filter(|h| ![5, 6].contains(h)).collect();
    let by_healthy = world.seen().first_failed.keys().filter(|(o, _)| ![5, 6].contains(o));
    let by_healthy = by_healthy.filter(|(_, s)| ![world.id(5), world.id(6)].contains(s)).count();
    println!("sick observers: healthy subjects declared failed anywhere {healthy:?}");
    assert_eq!(by_healthy, 0);
}

/// F17: one member in a hundred is starved of its processor. While it keeps up nobody notices; where it
/// can not it may be held dead itself, but no healthy member is by another.
#[test]
fn a_starved_member_takes_nobody_with_it() {
    let mut world = World::converged(12, WorldConfig::default(), 100, &Config::lan());
    world.run_for(secs(3));
    let (before, _) = load(&mut world, secs(20));
    world.set_service_time(7, ms(150));
    let (busy, _) = load(&mut world, secs(60));
    assert!(failed_subjects(&world).is_empty(), "{:?}", failed_subjects(&world));
    world.set_service_time(7, ms(250));
    let (drowned, _) = load(&mut world, secs(120));
    println!(
        "datagrams per node and second: {before:.2}, one busy {busy:.2}, drowned {drowned:.2}"
    );
    let starved = world.id(7);
    let by_others = world.seen().first_failed.keys().filter(|(o, s)| *o != 7 && *s != starved);
    assert_eq!(by_others.count(), 0);
    assert!(busy <= 1.2 * before && drowned <= 2.5 * before, "{before} {busy} {drowned}");
}

/// I12, F14, SWIM's load: 4.0 ± 0.4 datagrams sent and received per member and period at rest,
/// and idle bytes constant within 10 % from 100 to 1,000.
#[test]
fn load_at_rest_does_not_grow_with_the_cluster() {
    let mut bytes_per_node = Vec::new();
    for n in [10, 100, 1000] {
        let mut world = World::converged(13, WorldConfig::default(), n, &Config::lan());
        world.run_for(secs(10));
        let (datagrams, bytes) = load(&mut world, secs(60));
        println!("n {n}: {datagrams:.3} datagrams and {bytes:.1} bytes per node and second");
        assert!((3.6..=4.4).contains(&datagrams), "n {n}: {datagrams}");
        bytes_per_node.push(bytes);
    }
    let ratio = bytes_per_node[2] / bytes_per_node[1];
    assert!((0.9..=1.1).contains(&ratio), "{bytes_per_node:?}");
}

/// Every verdict says who accused and why.
#[test]
fn a_verdict_keeps_its_evidence() {
    let config = WorldConfig { record: Record::Events, ..WorldConfig::default() };
    let mut world = joined(14, config, 10, &Config::lan());
    let id = world.id(4);
    world.crash(4);
    world.run_for(secs(15));
    let with_evidence = world.up().filter(|&h| {
        let evidence = world.view(h).evidence(id);
        evidence.is_some_and(|e| e.accusers.len() >= 2 && e.decided.is_some())
    });
    assert!(with_evidence.count() >= 8);
    let failed = |(_, e): &(_, Event)| matches!(e, Event::Member { change: MemberChange::Failed, member } if member.id == id);
    for host in world.up() {
        assert_eq!(world.seen().events(host).iter().filter(|e| failed(e)).count(), 1);
    }
    assert!(world.violations().is_empty(), "{:?}", world.violations());
}

/// A tenth of the cluster killed at once is known to all, and nobody else is declared failed.
#[test]
fn a_tenth_killed_at_once_is_known_to_all() {
    let n = 200;
    let mut world = World::converged(15, WorldConfig::default(), n, &Config::lan());
    world.run_for(secs(5));
    for victim in (0..n).step_by(10) {
        world.crash(victim);
    }
    let took = world.run_while(secs(60), ms(50), |w| !w.all_see_alive(n - n / 10));
    println!("{} of {n} killed at once: known to all after {took:?}", n / 10);
    assert!(took.is_some_and(|t| t <= secs(10)), "{took:?} {:?}", counts(&world));
    world.run_for(secs(20));
    assert_eq!(world.seen().counts.false_failed, 0);
}

/// Members that stop and go on without end are doubted and refuted all the time: news about them is
/// gathered, and costs no more packets than memberlist's gossip of three per tick.
#[test]
fn members_that_stop_and_go_on_cost_no_storm_of_packets() {
    let (n, sick) = (64, 16);
    let mut world = World::converged(16, WorldConfig::default(), n, &Config::lan());
    world.run_for(secs(5));
    let before: Vec<_> = (sick..n).map(|h| world.traffic(h).datagrams_sent).collect();
    for _ in 0..10 {
        (0..sick).for_each(|h| world.pause(h));
        world.run_for(secs(4));
        (0..sick).for_each(|h| world.resume(h));
        world.run_for(ms(100));
    }
    let sent = (sick..n).zip(before).map(|(h, b)| world.traffic(h).datagrams_sent - b);
    let per_second = sent.sum::<u64>() as f64 / (n - sick) as f64 / 41.0;
    println!("a quarter stops for 4 s, ten times: {per_second:.1} datagrams per node and second");
    assert!(per_second <= 15.0, "{per_second:.1}");
    let subjects = failed_subjects(&world);
    assert!(subjects.iter().all(|&s| s < sick), "{subjects:?}");
}
