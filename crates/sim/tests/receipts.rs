//! Decides that receipts, certificates and agreement say what is so, in time, at the promised cost
//! (rows G2, G4, G5, K2, T3).

use std::time::Duration;

use tidings_proto::base::clocks::{Dot, Run};
use tidings_proto::io::{
    Awaited, Command, CommandError, CommandId, Lack, Path, Receipt, Receipted, Reply,
};
use tidings_proto::{Config, NodeId};
use tidings_sim::setup::{joined, settle};
use tidings_sim::statistics::percentile;
use tidings_sim::{Conditions, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn write(world: &mut World, host: usize, key: &str) -> Dot {
    let id = world.set(host, key, "v");
    world.run_while(secs(5), ms(1), |w| w.reply_to(id).is_none());
    match world.reply_to(id) {
        Some(Ok(Reply::Written { dots, .. })) => dots[0],
        other => panic!("{other:?}"),
    }
}

fn wait_for(
    world: &mut World,
    host: usize,
    dot: Dot,
    need: Receipt,
    timeout: Duration,
) -> CommandId {
    let what = Awaited::Writes(Run::from(dot));
    let timeout = Some(timeout);
    world.command(host, Command::Await { what, need, durable: false, timeout })
}

/// Runs until the command is answered, looking every millisecond.
fn answer(world: &mut World, id: CommandId) -> Result<Receipted, CommandError> {
    world.run_while(secs(700), ms(1), |w| w.reply_to(id).is_none());
    match world.reply_to(id).expect("every wait ends").clone() {
        Ok(Reply::Receipted(receipt)) => Ok(*receipt),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

fn not_enough(result: Result<Receipted, CommandError>) -> Receipted {
    match result {
        Err(CommandError::NotEnough(receipt)) => *receipt,
        other => panic!("{other:?}"),
    }
}

fn covers(world: &World, host: usize, dot: Dot) -> bool {
    world.view(host).covers(dot)
}

fn receipt_datagrams(world: &World) -> u64 {
    world.up().map(|h| world.node(h).stats()).map(|s| s.asks_sent + s.answers_sent).sum()
}

/// G4: ready within twice the time that the write takes to reach all, for two datagrams a member.
#[test]
fn a_certificate_is_ready_within_twice_the_dissemination_time() {
    for (n, writes) in [(100, 40), (1000, 8)] {
        let mut world = World::converged(1, WorldConfig::default(), n, &Config::lan());
        world.run_for(secs(3));
        let before = receipt_datagrams(&world);
        let (mut reached, mut ready) = (Vec::new(), Vec::new());
        for i in 0..writes {
            let host = i * 7 % n;
            let dot = write(&mut world, host, &format!("k{i}"));
            let start = world.now();
            let id = wait_for(&mut world, host, dot, Receipt::Certified, secs(10));
            world.run_while(secs(10), ms(1), |w| !(0..n).all(|h| covers(w, h, dot)));
            reached.push(world.now().since(start).as_secs_f64());
            let receipt = answer(&mut world, id).unwrap();
            ready.push(receipt.elapsed.as_secs_f64());
            let certificate = receipt.certificate.expect("a certificate was asked for");
            assert_eq!((receipt.have.len(), certificate.members.len()), (n, n));
            world.run_for(secs(1));
        }
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let each = (receipt_datagrams(&world) - before) as f64 / (writes * (n - 1)) as f64;
        println!(
            "{n} nodes: all have it after {:.0} ms (p90 {:.0}), certificate after {:.0} ms (p90 \
             {:.0}), {each:.3} datagrams a member",
            mean(&reached) * 1e3,
            percentile(&reached, 0.9) * 1e3,
            mean(&ready) * 1e3,
            percentile(&ready, 0.9) * 1e3,
        );
        assert!(mean(&ready) <= 2.0 * mean(&reached));
        assert!(each <= 2.0, "{each}");
    }
}

#[test]
fn a_deadline_names_who_is_missing_and_a_quorum_does_without_them() {
    let mut world = joined(2, WorldConfig::default(), 7, &Config::lan());
    world.run_for(secs(3));
    world.pause(3);
    world.pause(5);
    let dot = write(&mut world, 0, "k");
    let all = wait_for(&mut world, 0, dot, Receipt::All, secs(1));
    let quorum = wait_for(&mut world, 0, dot, Receipt::Quorum, secs(1));
    let four_fifths = wait_for(&mut world, 0, dot, Receipt::Fraction(0.8), secs(1));
    let three = wait_for(&mut world, 0, dot, Receipt::Count(3), secs(1));
    let receipt = answer(&mut world, quorum).unwrap();
    assert!(receipt.have.len() >= 4 && receipt.needed == 4, "{receipt:?}");
    assert_eq!(answer(&mut world, three).unwrap().needed, 3);
    let late = not_enough(answer(&mut world, all));
    let missing: Vec<_> = late.missing.iter().map(|m| (m.name.as_str(), m.why)).collect();
    assert_eq!(missing, [("n3", Lack::Silent), ("n5", Lack::Silent)]);
    assert_eq!((late.have.len(), late.needed), (5, 7));
    let late = not_enough(answer(&mut world, four_fifths));
    assert_eq!(late.needed, 6);
    let text = CommandError::NotEnough(Box::new(late)).to_string();
    assert!(text.contains("5 of 6") && text.contains("n3 (no answer), n5 (no answer)"), "{text}");
}

/// Who fails leaves the set; who joins enters it.
#[test]
fn the_set_follows_the_membership() {
    let mut world = joined(3, WorldConfig::default(), 6, &Config::lan());
    world.run_for(secs(3));
    world.crash(4);
    let dot = write(&mut world, 0, "k");
    let id = wait_for(&mut world, 0, dot, Receipt::All, secs(30));
    world.run_for(ms(300));
    assert!(world.reply_to(id).is_none(), "n4 is not known to be gone yet");
    let late = world.add_node_with("late", Config::lan(), &[], &[1]);
    let receipt = answer(&mut world, id).unwrap();
    let names: Vec<_> = receipt.have.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["late", "n0", "n1", "n2", "n3", "n5"]);
    assert_eq!(receipt.unreachable, ["n4"]);
    assert!(covers(&world, late, dot));
}

#[test]
fn any_node_may_ask_and_loss_costs_time_only() {
    let config = WorldConfig {
        conditions: Conditions { loss: 0.3, ..Conditions::lan() },
        ..WorldConfig::default()
    };
    let mut world = World::converged(4, config, 60, &Config::lan());
    world.run_for(secs(3));
    for i in 0..10 {
        let before = receipt_datagrams(&world);
        let dot = write(&mut world, i, &format!("k{i}"));
        let id = wait_for(&mut world, 59 - i, dot, Receipt::All, secs(20));
        let receipt = answer(&mut world, id).unwrap();
        assert!((0..60).all(|h| covers(&world, h, dot)), "{receipt:?}");
        let each = (receipt_datagrams(&world) - before) as f64 / 59.0;
        // Both ways lose 30 %: each is repeated until it has come through.
        assert!(each < 2.0 / 0.49 + 1.0, "{each}");
    }
}

/// G5: whoever waits for a version hears of it with the round that brings it.
#[test]
fn a_version_is_waited_for_without_polling() {
    let config = Config::lan();
    let mut world = World::converged(5, WorldConfig::default(), 50, &config);
    world.run_for(secs(3));
    let mut late = Vec::new();
    for i in 0..20 {
        let key = format!("k{i}");
        let stamp = world.view(0).entry("kv", b"none").map_or_else(Default::default, |e| e.stamp);
        let what = Awaited::Version { keyspace: "kv".to_owned(), key: key.clone().into(), stamp };
        let (need, durable, timeout) = (Receipt::All, false, Some(secs(20)));
        let id = world.command(7, Command::Await { what, need, durable, timeout });
        world.run_for(ms(500));
        assert!(world.reply_to(id).is_none(), "nobody has written it yet");
        let dot = write(&mut world, 40, &key);
        world.run_while(secs(10), ms(1), |w| !(0..50).all(|h| covers(w, h, dot)));
        let everywhere = world.now();
        assert_eq!(answer(&mut world, id).unwrap().writes, Some(dot.into()));
        late.push(world.now().since(everywhere));
    }
    let worst = late.iter().max().unwrap();
    println!("a version is known to be everywhere {worst:?} later at most");
    assert!(*worst <= config.tick, "{late:?}");
}

#[test]
fn agreement_waits_for_equal_states_and_says_who_differs() {
    let mut world = joined(6, WorldConfig::default(), 8, &Config::lan());
    world.run_for(secs(5));
    let agree = |world: &mut World, timeout| {
        let (what, need, durable) = (Awaited::Agreement, Receipt::All, false);
        world.command(2, Command::Await { what, need, durable, timeout: Some(timeout) })
    };
    let id = agree(&mut world, secs(5));
    let receipt = answer(&mut world, id).unwrap();
    assert!(receipt.elapsed < ms(100) && receipt.certificate.is_some(), "{receipt:?}");
    world.split_off([6, 7]);
    write(&mut world, 6, "there");
    world.run_for(secs(1));
    world.net.heal();
    let id = agree(&mut world, ms(5));
    let late = not_enough(answer(&mut world, id));
    let differ = late.missing.iter().filter(|m| m.why == Lack::OtherState).count();
    assert!(differ == 2 || late.missing.iter().all(|m| m.why == Lack::Silent), "{late:?}");
    let id = agree(&mut world, secs(20));
    let receipt = answer(&mut world, id).unwrap();
    assert_eq!(receipt.have.len(), 8);
    let prints: Vec<_> = (0..8).map(|h| world.view(h).fingerprints()).collect();
    assert!(prints.windows(2).all(|w| w[0] == w[1]), "{prints:?}");
}

#[test]
fn what_is_durable_is_said_by_those_who_have_a_disk() {
    let durable = Config { durable: true, ..Config::lan() };
    let mut world = joined(7, WorldConfig::default(), 5, &durable);
    world.add_node_with("bare", Config::lan(), &[], &[0]);
    world.run_for(secs(5));
    let dot = write(&mut world, 0, "k");
    let ask = |world: &mut World, need| {
        let what = Awaited::Writes(Run::from(dot));
        world.command(0, Command::Await { what, need, durable: true, timeout: Some(secs(2)) })
    };
    let (all, five) = (ask(&mut world, Receipt::All), ask(&mut world, Receipt::Count(5)));
    let receipt = answer(&mut world, five).unwrap();
    assert!(receipt.have.iter().all(|h| h.durable) && receipt.have.len() == 5);
    let late = not_enough(answer(&mut world, all));
    let missing: Vec<_> = late.missing.iter().map(|m| (m.name.as_str(), m.why)).collect();
    assert_eq!(missing, [("bare", Lack::NoDisk)]);
}

#[test]
fn waiting_is_bounded_and_bad_needs_are_refused() {
    let mut world = joined(8, WorldConfig::default(), 3, &Config::lan());
    let dot = write(&mut world, 0, "k");
    for need in [
        Receipt::Count(0),
        Receipt::Fraction(0.0),
        Receipt::Fraction(1.5),
        Receipt::Fraction(f64::NAN),
    ] {
        let id = wait_for(&mut world, 0, dot, need, secs(1));
        assert!(matches!(answer(&mut world, id), Err(CommandError::NoReceipt { .. })), "{need:?}");
    }
    let never = Dot { origin: NodeId::from_u128(5), seq: 1 };
    let waits: Vec<_> =
        (0..256).map(|_| wait_for(&mut world, 0, never, Receipt::All, secs(1))).collect();
    let more = wait_for(&mut world, 0, dot, Receipt::All, secs(1));
    assert!(matches!(answer(&mut world, more), Err(CommandError::Full { what: "receipts", .. })));
    world.run_for(secs(2));
    for id in waits {
        assert_eq!(not_enough(answer(&mut world, id)).have.len(), 0);
    }
    let again = wait_for(&mut world, 0, dot, Receipt::All, secs(1));
    assert!(answer(&mut world, again).is_ok());
}

/// T3: every member says how the write came to it.
#[test]
fn a_trace_says_who_has_it_and_how_it_came() {
    let mut world = joined(9, WorldConfig::default(), 9, &Config::lan());
    world.run_for(secs(3));
    let dot = write(&mut world, 3, "k");
    settle(&mut world, secs(10));
    let command = Command::Trace { keyspace: "kv".to_owned(), key: b"k".to_vec(), timeout: None };
    let id = world.command(5, command);
    let receipt = answer(&mut world, id).unwrap();
    assert_eq!((receipt.writes, receipt.have.len()), (Some(dot.into()), 9));
    let own: Vec<_> = receipt.have.iter().filter(|h| h.path == Some(Path::Own)).collect();
    assert_eq!(own.len(), 1);
    assert_eq!((own[0].name.as_str(), own[0].hops), ("n3", Some(0)));
    let none = Command::Trace { keyspace: "kv".to_owned(), key: b"no".to_vec(), timeout: None };
    let id = world.command(5, none);
    assert!(matches!(answer(&mut world, id), Err(CommandError::UnknownKey { .. })));
}
