//! Decides who is a member: joining, leaving, coming back, replacing, names, seeds
//! (rows H1, H2, H4, H7, H10, J1, J2; failures F2, F11, F13, F28, F34).

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::hash::HashKey;
use tidings_proto::io::{
    Alarm, Command, CommandError, Event, JoinFailure, MemberChange, Reply, Status,
};
use tidings_proto::membership::record::{
    Accusers, Precedence, Standing, put_record, record_checksum,
};
use tidings_proto::wire::packet::{begin, seal};
use tidings_sim::setup::{counts, joined, settle, spread};
use tidings_sim::statistics::percentile;
use tidings_sim::{Record, Topic, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn alarms(world: &World, host: usize) -> Vec<Alarm> {
    let events = world.seen().events(host).iter();
    events
        .filter_map(|(_, e)| if let Event::Alarm(a) = e { Some(a.clone()) } else { None })
        .collect()
}

fn recorded() -> WorldConfig {
    WorldConfig { record: Record::Events, ..WorldConfig::default() }
}

/// H1: PAPERS 2.2, push, k = 3, n = 1,000: p99 is 10 rounds; a round here is a tick of 200 ms.
#[test]
fn join_reaches_a_thousand_within_p99() {
    let n = 1000;
    let joins = 10;
    let config = Config::lan();
    let mut world = World::converged(11, WorldConfig::default(), n, &config);
    world.run_for(secs(3));
    let mut slowest = Vec::new();
    for j in 0..joins {
        let host = world.add_node(&format!("new{j}"), config.clone());
        let topic = Topic::Member { id: world.id(host), change: MemberChange::Join };
        world.track(topic.clone());
        let command = world.join(host, &[j * 17]);
        let took = spread(&mut world, &topic, n + j, secs(10));
        slowest.push(*took.last().unwrap());
        assert!(matches!(world.reply_to(command), Some(Ok(Reply::Joined { .. }))));
        assert_eq!(world.view(host).counts().0, n + j + 1, "the joiner has the full view");
        world.run_for(secs(1));
    }
    println!(
        "join to all of {n}: mean {:.3} s, worst {:.3} s",
        slowest.iter().sum::<f64>() / joins as f64,
        percentile(&slowest, 1.0)
    );
    assert!(percentile(&slowest, 0.99) <= 10.0 * 0.2, "{slowest:?}");
}

/// H2: p99 at most 3 rounds (probe periods), no false failure.
#[test]
fn graceful_leave_spreads_in_three_rounds_without_a_failure() {
    let n = 300;
    let mut world = World::converged(12, WorldConfig::default(), n, &Config::lan());
    world.run_for(secs(3));
    let mut all = Vec::new();
    for host in [5, 50, 150, 299] {
        let topic = Topic::Member { id: world.id(host), change: MemberChange::Leave };
        let observers = world.up().filter(|&h| h != host).count();
        world.track(topic.clone());
        let command = world.command(host, Command::Leave);
        world.run_while(secs(4), ms(10), |w| w.reply_to(command).is_none());
        assert_eq!(world.reply_to(command), Some(&Ok(Reply::Done)));
        world.crash(host);
        // The leaver itself may report its own departure; the others must.
        world.run_for(secs(4));
        let spread = world.untrack(&topic);
        let took = spread.reached.iter().filter(|(h, _)| **h != host);
        let took: Vec<f64> = took.map(|(_, t)| t.since(spread.since).as_secs_f64()).collect();
        assert_eq!(took.len(), observers);
        all.extend(took);
    }
    world.run_for(secs(20));
    println!("leave to all of {n}: p99 {:.3} s", percentile(&all, 0.99));
    assert!(percentile(&all, 0.99) <= 3.0);
    assert_eq!(world.seen().counts.of(MemberChange::Failed), 0);
    assert!(world.all_see_alive(n - 4), "{:?}", counts(&world));
}

/// H4: back within 3 rounds with the same id and a higher incarnation.
#[test]
fn a_paused_node_returns_with_its_id_and_a_higher_incarnation() {
    for (seed, suspended) in [(13, false), (14, true)] {
        let n = 20;
        let mut world = joined(seed, WorldConfig::default(), n, &Config::lan());
        let id = world.id(7);
        if suspended {
            world.suspend(7);
        } else {
            world.pause(7);
        }
        world.run_for(secs(60));
        let others_see = world.up().filter(|&h| h != 7);
        let failed = others_see
            .filter(|&h| world.view(h).member_by_id(id).is_none_or(|m| m.status == Status::Failed));
        assert_eq!(failed.count(), n - 1, "a minute of silence is a failure");
        world.resume(7);
        let back = world.run_while(secs(20), ms(50), |w| !w.all_see_alive(n));
        println!("paused node back after {back:?} (suspended: {suspended})");
        assert!(back.is_some_and(|t| t <= secs(3)), "{back:?} {:?}", counts(&world));
        assert_eq!(world.view(7).me().id, id);
        assert!(world.view(3).member_by_id(id).unwrap().incarnation > 1);
        settle(&mut world, secs(10));
    }
}

/// H7, F28: a new life under the same name and address replaces the old one, at once or late.
#[test]
fn restart_with_a_new_id_replaces_the_old_life() {
    for (seed, away) in [(15, ms(50)), (16, secs(2)), (17, secs(30))] {
        let n = 10;
        let mut world = joined(seed, WorldConfig::default(), n, &Config::lan());
        let old = world.id(5);
        world.crash(5);
        world.run_for(away);
        world.restart(5);
        assert_ne!(world.id(5), old);
        let took = world.run_while(secs(20), ms(50), |w| {
            !w.all_see_alive(n)
                || w.up().any(|h| {
                    w.view(h).member_by_id(old).is_some_and(|m| m.status < Status::Failed)
                        || w.view(h).member("n5").is_none_or(|m| m.id == old)
                })
        });
        println!("away {away:?}: replaced everywhere after {took:?}");
        assert!(took.is_some(), "{:?}", counts(&world));
        world.run_for(secs(20));
        settle(&mut world, secs(5));
    }
}

/// F28: two nodes exchange their addresses; identities stay with the data.
#[test]
fn two_nodes_swap_addresses() {
    for (seed, away) in [(18, ms(10)), (19, secs(25))] {
        let config = Config { durable: true, ..Config::lan() };
        let mut world = joined(seed, WorldConfig::default(), 8, &config);
        let (id3, id4) = (world.id(3), world.id(4));
        world.run_for(secs(2));
        world.crash(3);
        world.crash(4);
        world.run_for(away);
        world.swap_addresses(3, 4);
        world.restart(3);
        world.restart(4);
        let took = world.run_while(secs(30), ms(100), |w| {
            w.up().any(|h| {
                let at = |id| w.view(h).member_by_id(id).map(|m| (m.addr, m.status));
                at(id3) != Some((w.addr(3), Status::Alive))
                    || at(id4) != Some((w.addr(4), Status::Alive))
            })
        });
        println!("away {away:?}: swap known to all after {took:?}");
        assert!(took.is_some(), "{:?}", counts(&world));
        settle(&mut world, secs(10));
        assert!(world.all_see_alive(8));
    }
}

/// H10: clusters of different names never merge.
#[test]
fn another_cluster_is_refused_and_reported() {
    let mut world = World::new(20, recorded());
    let other = Config { cluster: "other".to_owned(), ..Config::lan() };
    for (name, config) in
        [("a", Config::lan()), ("b", Config::lan()), ("x", other.clone()), ("y", other)]
    {
        world.add_node(name, config);
    }
    world.join(1, &[0]);
    world.join(3, &[2]);
    world.run_for(secs(3));
    let addrs = vec![world.addr(0)];
    let refused = world.command(2, Command::Join { addrs, retry: false });
    world.run_for(secs(30));
    let reply = world.reply_to(refused);
    assert!(
        matches!(reply, Some(Err(CommandError::JoinFailed { reason: JoinFailure::Foreign, .. }))),
        "{reply:?}"
    );
    assert!(world.all_see_alive(2), "{:?}", counts(&world));
    let heard = alarms(&world, 0).iter().any(|a| matches!(a, Alarm::ForeignCluster { .. }));
    assert!(heard || alarms(&world, 2).iter().any(|a| matches!(a, Alarm::ForeignCluster { .. })));
}

/// J1: seeds are ordinary nodes; the cluster does not need them.
#[test]
fn all_seeds_down_changes_nothing_for_the_others() {
    let n = 20;
    let mut world = joined(21, WorldConfig::default(), n, &Config::lan());
    for seed in 0..3 {
        world.crash(seed);
    }
    let hour = if tidings_sim::setup::soak() { 3600 } else { 600 };
    world.run_for(secs(hour));
    assert!(world.all_see_alive(n - 3));
    assert_eq!(world.seen().counts.false_failed, 0);
    world.set(10, "k", "v");
    let late = world.add_node("late", Config::lan());
    world.join(late, &[12]);
    world.run_for(secs(5));
    assert!(world.all_see_alive(n - 2), "{:?}", counts(&world));
    assert_eq!(world.get(late, "k").as_deref(), Some(&b"v"[..]));
}

/// J2: a seed that is no live member is contacted every `seed_every` periods, not more often.
#[test]
fn seeds_that_are_away_are_contacted_at_a_bounded_gap() {
    let mut config = Config::lan();
    config.seed_every = 10;
    let mut world = joined(22, WorldConfig::default(), 5, &config);
    let away = world.place("away", config);
    let addr = world.addr(away);
    world.command(2, Command::SetSeeds { addrs: vec![addr] });
    world.run_for(secs(1));
    let (mut last, mut gap_max, mut since) = (world.node(2).stats().seed_contacts, 0, 0);
    let first = last;
    for _ in 0..300 {
        world.run_for(secs(1));
        since += 1;
        let now = world.node(2).stats().seed_contacts;
        if now > last {
            gap_max = gap_max.max(since);
            (last, since) = (now, 0);
        }
    }
    let contacts = last - first;
    println!("seed contacts in 300 periods: {contacts}, widest gap {gap_max} periods");
    assert!(gap_max.max(since) <= 12, "gap {gap_max}, {since} since the last");
    assert!((25..=36).contains(&contacts), "{contacts} contacts");
}

/// Two live members with one name: the later one withdraws by itself, both are told.
#[test]
fn the_loser_of_a_name_conflict_withdraws() {
    let mut world = World::new(23, recorded());
    for name in ["a", "x", "b"] {
        world.add_node(name, Config::lan());
    }
    world.join(1, &[0]);
    world.run_for(secs(5));
    let twin = world.add_node("x", Config::lan());
    world.join(twin, &[2]);
    world.run_for(secs(5));
    let first_holder = world.id(1);
    world.join(2, &[0]);
    world.run_for(secs(20));
    for host in [0, 1, 2] {
        let view = world.view(host);
        let holders = view.members().filter(|m| m.name == "x" && m.status < Status::Failed);
        let holders: Vec<_> = holders.map(|m| m.id).collect();
        assert_eq!(holders, [first_holder], "at host {host}");
    }
    let told = |host| alarms(&world, host).iter().any(|a| matches!(a, Alarm::NameConflict { .. }));
    assert!(told(1) && told(3), "{:?} {:?}", alarms(&world, 1), alarms(&world, 3));
}

#[test]
fn joining_under_a_taken_name_is_refused() {
    let mut world = joined(24, WorldConfig::default(), 3, &Config::lan());
    let twin = world.add_node("n1", Config::lan());
    let addrs = vec![world.addr(0)];
    let refused = world.command(twin, Command::Join { addrs, retry: false });
    world.run_for(secs(10));
    let reply = world.reply_to(refused);
    assert!(
        matches!(reply, Some(Err(CommandError::JoinFailed { reason: JoinFailure::NameTaken, .. }))),
        "{reply:?}"
    );
    let original = world.id(1);
    assert!((0..3).all(|h| world.view(h).member("n1").is_some_and(|m| m.id == original)));
}

/// F11: a node away for ten times the memory of the others brings back neither itself under an
/// old announcement, nor a deleted key, nor a forgotten member.
#[test]
fn a_node_away_past_forgetting_brings_back_no_zombies() {
    let config = Config { forget_after: secs(60), ..Config::lan() };
    let mut world = joined(25, WorldConfig::default(), 8, &config);
    world.set(1, "deleted", "old");
    world.set(1, "kept", "v");
    world.run_for(secs(3));
    world.pause(7);
    world.delete(2, "deleted");
    let gone = world.id(6);
    world.crash(6);
    world.run_for(secs(600));
    assert!((0..6).all(|h| world.view(h).member_by_id(gone).is_none()), "forgotten after 60 s");
    assert!(world.seen().counts.of(MemberChange::Reap) >= 6);
    world.resume(7);
    world.set_join(7, &[0]);
    world.join(7, &[0]);
    world.run_for(secs(30));
    assert!(world.all_see_alive(7), "{:?}", counts(&world));
    for host in world.up() {
        assert_eq!(world.get(host, "deleted"), None, "host {host}");
        assert_eq!(world.get(host, "kept").as_deref(), Some(&b"v"[..]), "host {host}");
        assert!(
            world.view(host).member_by_id(gone).is_none_or(|m| m.status >= Status::Failed),
            "host {host} revived a forgotten member"
        );
    }
    settle(&mut world, secs(10));
}

/// F34: a node that dies half-way through its join is forgotten like any other.
#[test]
fn a_half_joined_node_expires() {
    let config = Config { forget_after: secs(60), ..Config::lan() };
    for after_us in [0, 300, 800, 1500, 2500, 4000, 8000, 20_000, 100_000] {
        let mut world = joined(26 + after_us, WorldConfig::default(), 5, &config);
        let half = world.add_node("half", config.clone());
        world.join(half, &[0]);
        world.run_for(Duration::from_micros(after_us));
        world.crash(half);
        world.run_for(secs(30));
        assert!(world.all_see_alive(5), "after {after_us} us: {:?}", counts(&world));
        world.run_for(secs(90));
        let seen: Vec<_> = counts(&world).into_keys().collect();
        assert_eq!(seen, [(5, 0, 0)], "after {after_us} us");
    }
}

/// F13: leaving is an ordinary state of an incarnation; the next one beats it.
#[test]
fn a_restart_after_leaving_beats_the_departure() {
    let config = Config { durable: true, ..Config::lan() };
    for (seed, away) in [(40, ms(20)), (41, secs(20))] {
        let mut world = joined(seed, WorldConfig::default(), 6, &config);
        let id = world.id(3);
        let before = world.view(3).me().incarnation;
        let command = world.command(3, Command::Leave);
        world.run_while(secs(4), ms(10), |w| w.reply_to(command).is_none());
        world.crash(3);
        world.run_for(away);
        world.restart(3);
        let back = world.run_while(secs(10), ms(50), |w| !w.all_see_alive(6));
        println!("back after leaving, away {away:?}: {back:?}");
        assert!(back.is_some(), "{:?}", counts(&world));
        assert_eq!(world.id(3), id);
        assert!(world.view(0).member_by_id(id).unwrap().incarnation > before);
        settle(&mut world, secs(10));
    }
}

/// F2: incarnations never come from a clock.
#[test]
fn clocks_two_years_off_change_nothing_about_membership() {
    let config = Config { durable: true, ..Config::lan() };
    let mut world = joined(42, WorldConfig::default(), 6, &config);
    let two_years_ms = 2 * 365 * 86_400_000;
    world.clock_mut(1).step_wall(two_years_ms);
    world.clock_mut(2).step_wall(-two_years_ms);
    world.run_for(secs(60));
    for host in [1, 2] {
        world.crash(host);
        world.run_for(ms(100));
        world.restart(host);
    }
    world.run_for(secs(20));
    assert!(world.all_see_alive(6), "{:?}", counts(&world));
    // Each life starts above the block of numbers that the one before had reserved.
    assert!(world.up().all(|h| world.view(h).me().incarnation < 10_000));
    world.set(1, "k", "future");
    world.run_for(secs(2));
    world.set(2, "k", "past clock, later write");
    world.run_for(secs(2));
    settle(&mut world, secs(10));
    assert_eq!(world.get(0, "k").as_deref(), Some(&b"past clock, later write"[..]));
}

/// ForceLeave turns a failed member into a left one, at every node; a live one is refused.
#[test]
fn force_leave_applies_to_failed_members_only() {
    let mut world = joined(43, WorldConfig::default(), 6, &Config::lan());
    let name = "n4".to_owned();
    let refused = world.command(1, Command::ForceLeave { name: name.clone(), prune: false });
    world.run_for(secs(1));
    assert_eq!(
        world.reply_to(refused),
        Some(&Err(CommandError::MemberAlive { name: name.clone() }))
    );
    world.crash(4);
    world.run_for(secs(15));
    let done = world.command(1, Command::ForceLeave { name, prune: false });
    world.run_for(secs(3));
    assert_eq!(world.reply_to(done), Some(&Ok(Reply::Done)));
    let left = |h| world.view(h).member("n4").is_none_or(|m| m.status == Status::Left);
    assert!(world.up().all(left), "{:?}", counts(&world));
}

/// Rule 7 and "a cloned or rolled-back data directory is found at start".
#[test]
fn a_rolled_back_or_cloned_directory_draws_a_new_identity() {
    let config = Config { durable: true, ..Config::lan() };
    let mut world = joined(44, WorldConfig::default(), 5, &config);
    world.run_for(secs(2));
    let old = world.disk_mut(3).snapshot();
    for i in 0..200 {
        world.set(3, format!("k{i}"), "v");
        world.run_for(ms(20));
    }
    world.run_for(secs(2));
    let id = world.id(3);
    world.crash(3);
    world.disk_mut(3).roll_back(old);
    world.run_for(ms(200));
    world.restart(3);
    world.run_for(secs(10));
    assert_ne!(world.id(3), id, "a rolled-back node lives on under its old identity");
    world.set(3, "after", "v");
    world.run_for(secs(10));
    assert!(world.all_see_alive(5), "{:?}", counts(&world));
    settle(&mut world, secs(10));
    assert_eq!(world.get(3, "k199").as_deref(), Some(&b"v"[..]), "nothing is lost");
}

/// F2: an incarnation that no honest node reaches (a flipped bit in somebody's memory, with
/// valid checksums) is refused and reported, and the member lives on.
#[test]
fn an_absurd_incarnation_is_refused() {
    let mut world = World::converged(45, recorded(), 6, &Config::lan());
    world.run_for(secs(5));
    let (key, facts) = (HashKey::for_cluster("tidings"), world.facts_at_start(2).clone());
    let absurd = 1 << 50;
    let sum = record_checksum(&key, absurd, &facts.bytes);
    for standing in [Standing::Alive, Standing::Failed, Standing::Left] {
        let mut bytes = Vec::new();
        let start = begin(&mut bytes, &key, world.id(4));
        let precedence = Precedence::new(absurd, standing, sum);
        put_record(&mut bytes, precedence, &facts.bytes, &Accusers::default());
        seal(&mut bytes, start, &key);
        world.inject(3, 4, &bytes);
        world.run_for(secs(2));
    }
    assert!(world.node(3).stats().record_incarnation_jump >= 1);
    let alarmed = |a: &Alarm| matches!(a, Alarm::IncarnationJump { to, .. } if *to == absurd);
    assert!(alarms(&world, 3).iter().any(alarmed), "{:?}", alarms(&world, 3));
    world.run_for(secs(30));
    assert!(world.all_see_alive(6), "{:?}", counts(&world));
    assert!(world.up().all(|h| world.view(h).member_by_id(facts.id).unwrap().incarnation < 100));
}

/// What a member says about itself far above what it said before is refused by whoever knows it,
/// whoever carries it: all stay equal.
#[test]
fn an_owner_that_jumps_is_refused_by_all_alike() {
    let mut world = World::converged(47, recorded(), 6, &Config::lan());
    world.run_for(secs(5));
    for to in [3, 4] {
        state_itself(&mut world, 2, to, 1 << 40);
    }
    world.run_for(secs(10));
    assert!(world.node(3).stats().record_incarnation_jump >= 1);
    assert!(world.all_see_alive(6), "{:?}", counts(&world));
    let before = member_sessions(&world);
    world.run_for(secs(60));
    assert_eq!(member_sessions(&world) - before, 0, "no difference is left to reconcile");
    settle(&mut world, secs(1));
}

/// Who never heard of the member takes its word. That difference lasts, but costs little.
#[test]
fn an_incarnation_in_dispute_opens_few_sessions() {
    let mut world = World::converged(48, recorded(), 12, &Config::lan());
    world.run_for(secs(5));
    let newcomer = world.add_node("newcomer", Config::lan());
    state_itself(&mut world, 2, newcomer, 1 << 40);
    world.join(newcomer, &[0]);
    world.run_for(secs(30));
    assert!(world.all_see_alive(13), "{:?}", counts(&world));
    let id = world.id(2);
    assert_eq!(world.view(newcomer).member_by_id(id).unwrap().incarnation, 1 << 40);
    let before = member_sessions(&world);
    world.run_for(secs(300));
    let sessions = member_sessions(&world) - before;
    println!("{sessions} member sessions of 13 nodes in 300 s");
    assert!((1..=200).contains(&sessions), "{sessions}");
}

fn member_sessions(world: &World) -> u64 {
    world.up().map(|h| world.node(h).stats().member_sessions).sum()
}

/// A packet of `host` that puts its own record at this incarnation.
fn state_itself(world: &mut World, host: usize, to: usize, incarnation: u64) {
    let (key, facts) = (HashKey::for_cluster("tidings"), world.facts_at_start(host).clone());
    let sum = record_checksum(&key, incarnation, &facts.bytes);
    let mut bytes = Vec::new();
    let start = begin(&mut bytes, &key, facts.id);
    let precedence = Precedence::new(incarnation, Standing::Alive, sum);
    put_record(&mut bytes, precedence, &facts.bytes, &Accusers::default());
    seal(&mut bytes, start, &key);
    world.inject(to, host, &bytes);
}

/// All join at once, one seed or several: everybody knows everybody, with no straggler. Those who came
/// through one member ask it for each other, so that a record is told hardly more than once for each
/// node that needs it.
#[test]
fn four_hundred_join_at_once() {
    let n = 400;
    for seeds in [1, 3] {
        let mut world = World::new(46, WorldConfig::default());
        for i in 0..n {
            world.add_node(&format!("n{i}"), Config::lan());
        }
        for i in 1..n {
            world.join(i, &[i % seeds.min(i)]);
        }
        let took = world.run_while(secs(60), ms(50), |w| !w.all_see_alive(n));
        let told = |i| {
            let stats = world.node(i).stats();
            stats.session_records_sent + stats.rumours_member_sent
        };
        let told = (0..n).map(told).sum::<u64>() as f64 / (n * (n - 1)) as f64;
        println!("{n} join {seeds} at once: all know all after {took:?}, {told:.2} records a pair");
        assert!(took.is_some_and(|t| t <= secs(2)), "{took:?} {:?}", counts(&world));
        assert!(seeds > 1 || told <= 2.0, "{told} records for each node and member");
        assert_eq!(world.seen().counts.of(MemberChange::Failed), 0);
        settle(&mut world, secs(10));
    }
}
