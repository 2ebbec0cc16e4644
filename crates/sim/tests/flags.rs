//! Decides how flags behave in a cluster: all come to the same value, a stage reaches its share
//! and no more, and a failure where it is in use stops it everywhere (rows K1, K4, K5).

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::flag::{FlagChange, FlagRefused, Share, ValueType};
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::io::{Command, CommandError, CommandId, Event};
use tidings_sim::setup::{joined, settle};

use tidings_sim::{Record, World, WorldConfig};

const SETTLED: Duration = Duration::from_secs(30);

fn recording() -> WorldConfig {
    WorldConfig { record: Record::Events, ..WorldConfig::default() }
}

fn change(world: &mut World, host: usize, change: FlagChange) -> CommandId {
    world.command(host, Command::Flag { name: "limit".to_owned(), change })
}

fn done(world: &mut World, host: usize, asked: FlagChange) {
    let command = change(world, host, asked);
    world.run_for(Duration::from_millis(10));
    assert!(matches!(world.reply_to(command), Some(Ok(_))), "{:?}", world.reply_to(command));
}

fn refused(world: &mut World, host: usize, asked: FlagChange) -> CommandError {
    let command = change(world, host, asked);
    world.reply_to(command).cloned().expect("refused at once").unwrap_err()
}

fn set(value: &str) -> FlagChange {
    FlagChange::Set { kind: ValueType::Integer, value: value.to_owned() }
}

fn stage(value: &str, basis_points: u16, zone: Option<&str>) -> FlagChange {
    let share = Share { basis_points, zone: zone.map(str::to_owned) };
    FlagChange::Stage { value: value.to_owned(), share }
}

fn value(world: &World, host: usize) -> Option<String> {
    world.view(host).flag("limit").map(|flag| flag.value().to_string())
}

/// Hosts that have this value.
fn having(world: &World, value_sought: &str) -> Vec<usize> {
    let hosts = 0..world.len();
    hosts.filter(|&h| world.is_up(h) && value(world, h).as_deref() == Some(value_sought)).collect()
}

/// What users of a host were told of the flag, in order.
fn told(world: &World, host: usize) -> Vec<Option<String>> {
    let flag = |event: &Event| match event {
        Event::Flag { value, .. } => Some(value.as_ref().map(ToString::to_string)),
        _ => None,
    };
    world.seen().events(host).iter().filter_map(|(_, event)| flag(event)).collect()
}

#[test]
fn every_node_is_told_each_value_once_and_in_order() {
    let mut world = joined(1, recording(), 12, &Config::lan());
    let start = world.now();
    done(&mut world, 0, set("1"));
    world.run_for(Config::lan().probe_period);
    assert_eq!(having(&world, "1").len(), 12, "within {:?}", world.now().since(start));
    done(&mut world, 5, set("2"));
    settle(&mut world, SETTLED);
    done(&mut world, 3, FlagChange::Delete);
    settle(&mut world, SETTLED);
    for host in 0..12 {
        let expected = [Some("1".to_owned()), Some("2".to_owned()), None];
        assert_eq!(told(&world, host), expected, "host {host}");
    }
}

#[test]
fn a_stage_reaches_its_share_grows_and_ends() {
    let mut world = joined(2, WorldConfig::default(), 60, &Config::local());
    done(&mut world, 0, set("1"));
    settle(&mut world, SETTLED);
    done(&mut world, 0, stage("2", 2000, None));
    settle(&mut world, SETTLED);
    let few = having(&world, "2");
    assert!((5..=20).contains(&few.len()), "{} of 60 for 20 %", few.len());
    done(&mut world, 7, stage("2", 6000, None));
    settle(&mut world, SETTLED);
    let more = having(&world, "2");
    assert!(more.len() > few.len() && few.iter().all(|host| more.contains(host)));
    done(&mut world, 9, FlagChange::RollBack);
    settle(&mut world, SETTLED);
    assert_eq!(having(&world, "1").len(), 60);
    done(&mut world, 9, stage("3", 100, None));
    done(&mut world, 9, FlagChange::Promote);
    settle(&mut world, SETTLED);
    assert_eq!(having(&world, "3").len(), 60);
}

#[test]
fn a_stage_for_a_zone_stays_there_and_follows_its_members() {
    let mut world = joined(3, recording(), 6, &Config::local());
    let zone = |world: &mut World, host: usize, zone: &str| {
        let set = vec![("zone".to_owned(), zone.to_owned())];
        world.command(host, Command::SetTags { set, unset: Vec::new() });
    };
    zone(&mut world, 1, "eu");
    zone(&mut world, 2, "eu");
    done(&mut world, 0, set("1"));
    done(&mut world, 0, stage("2", 10_000, Some("eu")));
    settle(&mut world, SETTLED);
    assert_eq!(having(&world, "2"), [1, 2]);
    let before = told(&world, 4).len();
    zone(&mut world, 4, "eu");
    settle(&mut world, SETTLED);
    assert_eq!(having(&world, "2"), [1, 2, 4]);
    assert_eq!(told(&world, 4)[before..], [Some("2".to_owned())]);
}

/// Row K4: a member that has the staged value dies; all are back at the old one within two rounds
/// of the verdict, one stop or few are written, and the stage does not go on by itself.
#[test]
fn a_failure_where_the_value_is_staged_stops_it_everywhere() {
    for writer_dies in [false, true] {
        let mut world = joined(4, WorldConfig::default(), 30, &Config::lan());
        done(&mut world, 0, set("1"));
        settle(&mut world, SETTLED);
        done(&mut world, 0, stage("2", 5000, None));
        settle(&mut world, SETTLED);
        let canaries = having(&world, "2");
        let victim = *canaries.iter().rfind(|&&h| h != 0).expect("half of 30 are staged");
        world.crash(victim);
        if writer_dies {
            world.crash(0);
        }
        let id = world.id(victim);
        let all = |world: &World, sees: &dyn Fn(&World, usize) -> bool| {
            (0..30).filter(|&h| world.is_up(h)).all(|h| sees(world, h))
        };
        let failed = |w: &World, h: usize| !w.view(h).is_live(id);
        let look = Duration::from_millis(50);
        world.run_while(SETTLED, look, |w| !all(w, &failed)).expect("the verdict reaches all");
        let old = |w: &World, h: usize| value(w, h).as_deref() == Some("1");
        let took = world.run_while(SETTLED, look, |w| !all(w, &old)).expect("the stage stops");
        assert!(took <= 2 * Config::lan().probe_period, "{took:?} after the verdict");
        settle(&mut world, SETTLED);
        let flag = world.view(1).flag("limit").unwrap().flag;
        assert!((1..=4).contains(&flag.stops.len()), "{:?}", flag.stops);
        let widen = refused(&mut world, 1, stage("2", 9000, None));
        let stopped = FlagRefused::Stopped;
        assert_eq!(widen, CommandError::Flag { name: "limit".to_owned(), refused: stopped });
        done(&mut world, 1, FlagChange::RollBack);
        done(&mut world, 1, stage("2", 10_000, None));
        settle(&mut world, SETTLED);
        assert_eq!(having(&world, "2").len(), if writer_dies { 28 } else { 29 });
    }
}

#[test]
fn a_stop_on_one_side_of_a_split_holds_against_more_on_the_other() {
    let mut world = joined(5, WorldConfig::default(), 10, &Config::local());
    done(&mut world, 0, set("1"));
    done(&mut world, 0, stage("2", 10_000, None));
    settle(&mut world, SETTLED);
    world.split_off(0..5);
    done(&mut world, 1, stage("2", 9000, None));
    done(&mut world, 8, FlagChange::Stop { reason: "errors at n8".to_owned() });
    world.net.heal();
    settle(&mut world, SETTLED);
    assert_eq!(having(&world, "1").len(), 10);
}

#[test]
fn an_isolated_node_stops_nothing() {
    let mut world = joined(6, WorldConfig::default(), 10, &Config::local());
    done(&mut world, 0, set("1"));
    done(&mut world, 0, stage("2", 10_000, None));
    settle(&mut world, SETTLED);
    world.split_off(9..10);
    world.run_for(Duration::from_secs(20));
    assert_eq!(value(&world, 9).as_deref(), Some("2"), "what it alone believes is no verdict");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut world = joined(7, WorldConfig::default(), 2, &Config::local());
    let flag = |refused| CommandError::Flag { name: "limit".to_owned(), refused };
    let unknown = refused(&mut world, 0, stage("2", 10, None));
    assert_eq!(unknown, flag(FlagRefused::Unknown));
    let typed = refused(&mut world, 0, set("many"));
    assert_eq!(typed, flag(FlagRefused::Value { expected: "a 64-bit integer" }));
    done(&mut world, 0, set("1"));
    assert_eq!(refused(&mut world, 0, stage("x", 10, None)), typed);
    assert_eq!(refused(&mut world, 0, stage("2", 0, None)), flag(FlagRefused::Share));
    assert_eq!(refused(&mut world, 0, FlagChange::Promote), flag(FlagRefused::NoStage));
    let (keyspace, key) = ("flags".to_owned(), b"limit".to_vec());
    let write = Command::Write { keyspace: keyspace.clone(), writes: vec![(key.clone(), None)] };
    let update = Command::Update { keyspace, key, kind: Kind::Map, operation: Operation::Clear };
    for command in [write, update] {
        let id = world.command(0, command);
        let reserved = Some(Err(CommandError::Reserved { keyspace: "flags".to_owned() }));
        assert_eq!(world.reply_to(id).cloned(), reserved);
    }
    assert_eq!(value(&world, 0).as_deref(), Some("1"));
}

/// Restarted from its disk, a node has the flags, tells nobody what they knew, and watches stages.
#[test]
fn flags_survive_a_restart() {
    let config = Config { durable: true, ..Config::local() };
    let mut world = joined(8, recording(), 5, &config);
    done(&mut world, 0, set("1"));
    world.run_for(Duration::from_secs(1));
    done(&mut world, 0, stage("2", 10_000, None));
    settle(&mut world, SETTLED);
    let before = told(&world, 3).len();
    world.crash(3);
    world.restart(3);
    settle(&mut world, SETTLED);
    assert_eq!(value(&world, 3).as_deref(), Some("2"));
    assert_eq!(told(&world, 3).len(), before, "nothing is news to its users");
}
