//! Decides what each detector finds, how soon, at what cost, and what none of them takes for a
//! death (rows H9, I1, I4, I6; failure F2).

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::config::{Detector, PhiForm};
use tidings_proto::io::MemberChange;
use tidings_sim::setup::{load, settle, soak};
use tidings_sim::{Conditions, Latency, World, WorldConfig};

const DETECTORS: [Detector; 3] =
    [Detector::Swim, Detector::Heartbeat, Detector::Phi(PhiForm::LossAware)];
const SIZES: [usize; 3] = [10, 50, 100];

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn lan(detector: Detector) -> Config {
    Config { detector, ..Config::lan() }
}

fn lossy(loss: f64) -> WorldConfig {
    WorldConfig { conditions: Conditions { loss, ..Conditions::lan() }, ..WorldConfig::default() }
}

fn doubts(world: &World) -> u64 {
    world.up().map(|h| world.node(h).stats().doubts).sum()
}

/// Seconds until every other node holds `victim` failed.
fn known_to_all(world: &mut World, victim: usize, fail: fn(&mut World, usize)) -> f64 {
    let (n, id, at) = (world.len(), world.id(victim), world.now());
    fail(world, victim);
    let failed =
        |w: &World| w.seen().first_failed.keys().filter(|(o, s)| *o != victim && *s == id).count();
    let took = world.run_while(secs(60), ms(50), |w| failed(w) < n - 1);
    assert!(took.is_some(), "known to {} of {n} after a minute", failed(world));
    world.now().since(at).as_secs_f64()
}

/// A silent death takes each detector's own patience and the tolerated pause; a killed process
/// refuses probes, which accuses whatever the detector. What the counters cost is O(n) per node.
#[test]
fn each_detector_finds_a_death_at_each_size() {
    for n in SIZES {
        for detector in DETECTORS {
            let mut world = World::converged(21, WorldConfig::default(), n, &lan(detector));
            world.run_for(secs(30));
            let (_, bytes) = load(&mut world, secs(20));
            let killed = known_to_all(&mut world, 3, World::crash);
            world.restart(3);
            world.join(3, &[0]);
            world.run_for(secs(20));
            assert!(world.all_see_alive(n));
            let silent = known_to_all(&mut world, 5, |w, h| w.split_off([h]));
            println!(
                "{n:3} nodes, {detector:9}: {bytes:5.0} bytes per node and second; \
                 killed {killed:.2} s, silent {silent:.2} s until all know"
            );
            let patience = if detector == Detector::Swim { 13.0 } else { 17.0 };
            assert!(killed <= 4.0 && silent <= patience, "{detector}: {killed} {silent}");
            assert_eq!(world.seen().counts.false_failed, 0, "{detector}");
            let per_member = bytes / n as f64;
            assert!(detector == Detector::Swim || per_member < 100.0, "{per_member} per member");
        }
    }
}

/// An hour (ten minutes where tests must be quick) at 10 % loss.
#[test]
fn loss_is_not_taken_for_death() {
    let span = if soak() { 3600 } else { 600 };
    for n in SIZES {
        for detector in DETECTORS {
            let mut world = World::converged(22, lossy(0.1), n, &lan(detector));
            world.run_for(secs(span));
            let seen = &world.seen().counts;
            println!(
                "{n:3} nodes, {detector:9}: {} doubts, {} suspicions, {} failed in {span} s",
                doubts(&world),
                seen.of(MemberChange::Suspect),
                seen.of(MemberChange::Failed)
            );
            assert_eq!(seen.of(MemberChange::Failed), 0, "{detector} {n}");
            assert!(world.all_see_alive(n));
            world.check_quiet().unwrap();
        }
    }
}

/// A pause that suspicion tolerates fails nobody; one that the detector itself tolerates is not
/// even doubted. An observer that stood still doubts nobody for it.
#[test]
fn pauses_are_ridden_out_as_configured() {
    let n = 20;
    let pause = secs(5);
    for detector in DETECTORS {
        let mut world = World::converged(23, WorldConfig::default(), n, &lan(detector));
        world.run_for(secs(10));
        for round in 0..10 {
            let target = round * 7 % n;
            if round % 2 == 0 {
                world.pause(target);
            } else {
                world.suspend(target);
            }
            world.run_for(pause);
            world.resume(target);
            world.run_for(secs(4));
        }
        println!("{detector}: {} doubts in ten pauses of {pause:?}", doubts(&world));
        assert_eq!(world.seen().counts.of(MemberChange::Failed), 0, "{detector}");
        assert!(world.all_see_alive(n));
    }
    let patient = [
        Config { heartbeat_rounds: 16, ..lan(Detector::Heartbeat) },
        Config { phi_pause: secs(5), ..lan(Detector::Phi(PhiForm::LossAware)) },
    ];
    for config in patient {
        let mut world = World::converged(24, WorldConfig::default(), n, &config);
        world.run_for(secs(30));
        for (target, lasted) in [(3, 5), (4, 5), (5, 5)] {
            world.pause(target);
            world.run_for(secs(lasted));
            world.resume(target);
            world.run_for(secs(8));
        }
        assert_eq!(doubts(&world), 0, "{}: a pause within its patience", config.detector);
        for observer in [6, 7] {
            if observer == 6 {
                world.pause(observer);
            } else {
                world.suspend(observer);
            }
            world.run_for(secs(60));
            let before = world.node(observer).stats().doubts;
            world.resume(observer);
            world.run_for(secs(20));
            let after = world.node(observer).stats().doubts;
            assert_eq!(after, before, "{}: the observer slept, not they", config.detector);
            assert!(world.all_see_alive(n));
        }
    }
}

/// Kills, pauses and a partition, one upon the other: all that live agree afterwards.
#[test]
fn a_mixed_scenario_heals_to_equal_states() {
    let n = 24;
    for detector in DETECTORS {
        let mut world = World::converged(25, lossy(0.02), n, &lan(detector));
        world.run_for(secs(10));
        world.set(1, "before", "v");
        world.crash(2);
        world.pause(3);
        world.run_for(secs(3));
        world.split_off(12..n);
        world.set(4, "left", "v");
        world.set(20, "right", "v");
        world.crash(21);
        world.run_for(secs(4));
        world.resume(3);
        world.run_for(secs(25));
        world.net.heal();
        world.restart(2);
        world.join(2, &[5]);
        world.run_for(secs(1));
        let took = settle(&mut world, secs(40));
        println!("{detector}: equal {:.1} s after the heal", took.as_secs_f64() + 1.0);
        assert!(world.all_see_alive(n - 1), "{detector}");
        for key in ["before", "left", "right"] {
            assert!(world.up().all(|h| world.get(h, key).is_some()), "{detector}: {key}");
        }
        assert!(world.violations().is_empty(), "{:?}", world.violations());
    }
}

/// When each observer began to doubt the silent one, and when the first verdict fell.
fn course(config: &Config) -> (Vec<(usize, Duration)>, Duration) {
    // Without draws for latency and loss a packet more shifts no other packet.
    let conditions = Conditions { latency: Latency::Constant(ms(1)), ..Conditions::lan() };
    let world_config = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = World::converged(26, world_config, 12, config);
    world.run_for(secs(20));
    let at = world.now();
    world.split_off([7]);
    let id = world.id(7);
    let mut known = vec![0; world.len()];
    let mut course = Vec::new();
    loop {
        world.run_for(ms(5));
        let since = world.now().since(at);
        for host in (0..world.len()).filter(|&h| h != 7) {
            let doubts = world.node(host).stats().doubts;
            if std::mem::replace(&mut known[host], doubts) < doubts {
                course.push((host, since));
            }
        }
        if world.seen().first_failed.keys().any(|(o, s)| *o != 7 && *s == id) {
            return (course, since);
        }
        assert!(since < secs(90), "no verdict in {since:?}");
    }
}

/// Row H9: what membership makes of doubt does not change when doubt arises, nor the reverse.
#[test]
fn detection_and_membership_are_tuned_apart() {
    for detector in [Detector::Heartbeat, Detector::Phi(PhiForm::LossAware)] {
        let base = lan(detector);
        let (doubts, verdict) = course(&base);
        let calm = Config { pause_tolerated: secs(15), suspicion_beta: 2.0, ..base.clone() };
        let (same, later) = course(&calm);
        let first: Vec<_> = doubts.iter().filter(|(_, at)| *at < verdict).collect();
        assert!(first.len() > 5, "{doubts:?}");
        assert_eq!(first, same.iter().take(first.len()).collect::<Vec<_>>(), "{detector}");
        assert!(later > verdict + secs(5), "{detector}: {verdict:?} and {later:?}");

        let patient = Config { heartbeat_rounds: 14, phi_threshold: 16.0, ..base };
        let (late_doubts, late_verdict) = course(&patient);
        let (soon, late) = (doubts[0].1, late_doubts[0].1);
        println!(
            "{detector}: first doubt {soon:?} then {late:?}; verdict {verdict:?} then {late_verdict:?}"
        );
        assert!(late > soon + secs(1), "{detector}: {soon:?} {late:?}");
        let waited = |first: Duration, verdict: Duration| (verdict - first).as_secs_f64();
        let apart = waited(soon, verdict) - waited(late, late_verdict);
        assert!(apart.abs() < 2.0, "{detector}: suspicion took {apart} s more or less");
    }
}

/// A process that starts again under its identity counts on from what its disk promises, and a
/// cluster whose members run different detectors doubts nobody.
#[test]
fn restarts_and_mixed_detectors_raise_no_doubt() {
    let durable = Config { durable: true, ..lan(Detector::Heartbeat) };
    let mut world = World::converged(27, WorldConfig::default(), 8, &durable);
    world.run_for(secs(30));
    for host in [2, 5] {
        world.set_join(host, &[0]);
        world.crash(host);
        world.start(host);
        world.run_for(secs(40));
    }
    assert_eq!(world.seen().counts.of(MemberChange::Failed), 0);
    assert_eq!(doubts(&world), 0, "a counter that begins anew is not one that stands still");
    assert!(world.view(0).level(world.id(2)).is_some());

    let mut world = World::new(28, WorldConfig::default());
    for i in 0..12 {
        world.add_node(&format!("n{i}"), lan(DETECTORS[i % 3]));
        if i > 0 {
            world.join(i, &[0]);
        }
        world.run_for(ms(100));
    }
    world.run_for(secs(120));
    assert_eq!(doubts(&world), 0);
    assert!(world.view(1).level(world.id(0)).is_none(), "who never beat is judged by probes");
    assert!(world.view(1).level(world.id(2)).is_some());
    let silent = known_to_all(&mut world, 3, |w, h| w.split_off([h]));
    assert!(silent < 20.0, "a silent SWIM node among others: {silent}");
}
