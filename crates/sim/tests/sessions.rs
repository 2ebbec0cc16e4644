//! Decides what users' sessions are promised in a cluster (rows N2, N3, N5): what one has written or
//! read is never missing silently, whichever node is asked, and the writer is not asked for long.

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::policy::{Consistency, Mode, POLICIES, Policy, Values};
use tidings_proto::base::session::Session;
use tidings_proto::io::{Alarm, Command, CommandError, CommandId, Event, Reply};
use tidings_sim::setup::{joined, settle};
use tidings_sim::{Record, World, WorldConfig};

const SETTLED: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

fn written(world: &World, command: CommandId, session: &mut Session) {
    let Some(Ok(Reply::Written { dots, .. })) = world.reply_to(command) else {
        panic!("not written: {:?}", world.reply_to(command));
    };
    assert!(dots.iter().all(|&dot| session.add(dot)));
}

fn catch_up(world: &mut World, host: usize, session: &Session, wait: Duration) -> CommandId {
    let (keyspace, session) = ("kv".to_owned(), session.clone());
    world.command(host, Command::CatchUp { keyspace, session, wait })
}

/// Runs until the command is answered; returns how long it took.
fn answered(world: &mut World, command: CommandId, within: Duration) -> Duration {
    let every = Duration::from_millis(1);
    world.run_while(within, every, |w| w.reply_to(command).is_none()).expect("an answer in time")
}

/// N3: nothing spreads by itself, so every read would be stale; each is right all the same, and the writer is
/// asked once per reader, not once per read.
#[test]
fn a_session_reads_its_writes_everywhere_though_nothing_spreads() {
    let config = Config { rumours: false, ..Config::lan() };
    let mut world = joined(1, WorldConfig::default(), 8, &config);
    let mut session = Session::new();
    let write = world.set(0, "name", "Ada");
    written(&world, write, &mut session);
    let mut stale = 0;
    for host in 1..8 {
        stale += usize::from(world.get(host, "name").is_none());
        let reads: Vec<_> = (0..50).map(|_| catch_up(&mut world, host, &session, SECOND)).collect();
        let took = answered(&mut world, reads[49], SECOND);
        assert!(reads.iter().all(|&r| world.reply_to(r) == Some(&Ok(Reply::Done))));
        assert_eq!(world.get(host, "name").as_deref(), Some(&b"Ada"[..]));
        assert!(took < Duration::from_millis(100), "{took:?}");
        assert!(world.node(host).stats().session_asked <= 1);
    }
    assert!(stale >= 4, "{stale} of 7 would have read nothing");
}

/// The bar of N3: once news had time to arrive, no session asks the writer.
#[test]
fn the_writer_is_not_asked_once_its_write_has_spread() {
    let mut world = joined(2, WorldConfig::default(), 20, &Config::lan());
    let mut session = Session::new();
    let write = world.set(3, "name", "Ada");
    written(&world, write, &mut session);
    world.run_for(SECOND);
    for host in 0..20 {
        let read = catch_up(&mut world, host, &session, SECOND);
        assert_eq!(world.reply_to(read), Some(&Ok(Reply::Done)), "at once");
        assert_eq!(world.node(host).stats().session_asked, 0);
    }
}

#[test]
fn a_dead_writer_leaves_an_explicit_stale_and_never_silence() {
    let mut world = joined(3, WorldConfig::default(), 5, &Config::local());
    world.split_off([0]);
    let mut session = Session::new();
    let write = world.set(0, "name", "Ada");
    written(&world, write, &mut session);
    let lost = session.dots().next().unwrap();
    world.crash(0);
    world.net.heal();
    let read = catch_up(&mut world, 2, &session, SECOND);
    let took = answered(&mut world, read, SECOND * 2);
    let stale = CommandError::Stale { missing: vec![lost] };
    assert_eq!(world.reply_to(read), Some(&Err(stale.clone())));
    assert!(took >= SECOND && took < SECOND + Duration::from_millis(50), "{took:?}");
    assert!(stale.to_string().contains(&format!("{}:{}", lost.origin, lost.seq)));
    let read = catch_up(&mut world, 2, &session, Duration::ZERO);
    assert_eq!(world.reply_to(read), Some(&Err(stale)), "without a wait: at once");
}

/// What one reader has seen at one node, the next sees at any other: somebody else has it.
#[test]
fn a_dead_writers_news_is_had_from_whoever_has_it() {
    let mut world = joined(4, WorldConfig::default(), 6, &Config::local());
    world.split_off([2, 3, 4, 5]);
    let write = world.set(0, "name", "Ada");
    let mut session = Session::new();
    written(&world, write, &mut session);
    world.run_for(Duration::from_millis(200));
    assert!(world.get(1, "name").is_some() && world.get(2, "name").is_none());
    world.crash(0);
    world.net.heal();
    let read = catch_up(&mut world, 2, &session, SECOND * 10);
    answered(&mut world, read, SECOND * 10);
    assert_eq!(world.reply_to(read), Some(&Ok(Reply::Done)));
    assert_eq!(world.get(2, "name").as_deref(), Some(&b"Ada"[..]));
}

#[test]
fn what_cannot_be_served_is_refused_with_its_reason() {
    let mut world = joined(5, WorldConfig::default(), 3, &Config::local());
    let mut session = Session::new();
    let write = world.set(0, "k", "v");
    written(&world, write, &mut session);
    session.used(1);
    let read = catch_up(&mut world, 0, &session, SECOND);
    assert_eq!(world.reply_to(read), Some(&Err(CommandError::SessionExpired)));
    let refused = |world: &mut World, command: Command| {
        let id = world.command(0, command);
        world.reply_to(id).cloned().expect("refused at once").unwrap_err()
    };
    let (keyspace, wait) = ("nowhere".to_owned(), SECOND);
    let command = Command::CatchUp { keyspace, session: Session::new(), wait };
    let unknown = CommandError::UnknownKeyspace { name: "nowhere".to_owned() };
    assert_eq!(refused(&mut world, command), unknown);
    for keyspace in [POLICIES, ".else"] {
        let writes = vec![(b"k".to_vec(), Some(b"v".to_vec()))];
        let error = refused(&mut world, Command::Write { keyspace: keyspace.to_owned(), writes });
        assert_eq!(error, CommandError::Reserved { keyspace: keyspace.to_owned() });
    }
    assert_eq!(world.view(0).entry_counts().0, 1, "nothing was stored");
}

fn declare(world: &mut World, host: usize, keyspace: &str, policy: Policy) -> CommandId {
    world.command(host, Command::Declare { keyspace: keyspace.to_owned(), policy })
}

#[test]
fn a_declaration_reaches_all_and_what_contradicts_it_is_refused() {
    let mut world = joined(6, WorldConfig::default(), 4, &Config::local());
    let counters = Policy {
        values: Values::parse("counter").unwrap(),
        consistency: Consistency::Causal,
        lifetime_ms: None,
        mode: Mode::default(),
        hot: false,
    };
    declare(&mut world, 0, "hits", counters);
    settle(&mut world, SETTLED);
    for host in 0..4 {
        assert_eq!(world.view(host).declared("hits"), Some(counters));
        let writes = vec![(b"k".to_vec(), Some(b"v".to_vec()))];
        let put = world.command(host, Command::Write { keyspace: "hits".to_owned(), writes });
        let refused = CommandError::Policy { keyspace: "hits".to_owned(), holds: "counter" };
        assert_eq!(world.reply_to(put), Some(&Err(refused)));
    }
}

/// Both sides of a split declare: all come to the same, and somebody is told.
#[test]
fn two_declarations_at_once_end_as_one_and_are_reported() {
    let recorded = WorldConfig { record: Record::Events, ..WorldConfig::default() };
    let mut world = joined(7, recorded, 4, &Config::local());
    world.split_off([2, 3]);
    let causal = Policy { consistency: Consistency::Causal, ..Policy::default() };
    declare(&mut world, 0, "feed", causal);
    declare(&mut world, 3, "feed", Policy::default());
    world.run_for(SECOND);
    world.net.heal();
    settle(&mut world, SETTLED);
    let stands = world.view(0).declared("feed").unwrap();
    assert!((0..4).all(|h| world.view(h).declared("feed") == Some(stands)));
    let told = |(_, event): &(_, Event)| matches!(event, Event::Alarm(Alarm::PolicyConflict { keyspace, .. }) if keyspace == "feed");
    assert!((0..4).any(|h| world.seen().events(h).iter().any(told)));
}

/// Settings declare when their node is in step; what others have declared stands.
#[test]
fn a_newcomers_settings_do_not_change_what_is_declared() {
    let recorded = WorldConfig { record: Record::Events, ..WorldConfig::default() };
    let mut world = joined(8, recorded, 3, &Config::local());
    let causal = Policy { consistency: Consistency::Causal, ..Policy::default() };
    declare(&mut world, 0, "feed", causal);
    settle(&mut world, SETTLED);
    let late = world.add_node("late", Config::local());
    world.join(late, &[0]);
    for keyspace in ["feed", "other"] {
        let command = Command::Expect { keyspace: keyspace.to_owned(), policy: Policy::default() };
        world.command(late, command);
    }
    settle(&mut world, SETTLED);
    assert!((0..4).all(|h| world.view(h).declared("feed") == Some(causal)));
    assert!((0..4).all(|h| world.view(h).declared("other") == Some(Policy::default())));
    let told = |(_, event): &(_, Event)| matches!(event, Event::Alarm(Alarm::PolicyConflict { stands, .. }) if *stands == causal);
    assert!(world.seen().events(late).iter().any(told));
}

/// Row N9: what the table of docs/consistency.md says of each operation in a split.
#[test]
fn in_a_split_each_operation_does_what_the_table_says() {
    let mut world = joined(9, WorldConfig::default(), 4, &Config::local());
    let causal = Policy { consistency: Consistency::Causal, ..Policy::default() };
    declare(&mut world, 0, "feed", causal);
    world.set(0, "k", "before");
    settle(&mut world, SETTLED);
    world.split_off([2, 3]);
    for host in 0..4 {
        let mut session = Session::new();
        for keyspace in ["kv", "feed"] {
            let writes = vec![(b"k".to_vec(), Some(host.to_string().into_bytes()))];
            let command = Command::Write { keyspace: keyspace.to_owned(), writes };
            let write = world.command(host, command);
            written(&world, write, &mut session);
        }
        assert!(world.get(host, "k").is_some() && world.view(host).may_read("feed").is_ok());
        let across = catch_up(&mut world, (host + 2) % 4, &session, SECOND);
        let beside = catch_up(&mut world, host ^ 1, &session, SECOND);
        world.run_for(SECOND * 2);
        let stale = Some(CommandError::Stale { missing: session.dots().collect() });
        assert_eq!(world.reply_to(across).cloned().and_then(Result::err), stale);
        assert_eq!(world.reply_to(beside), Some(&Ok(Reply::Done)));
    }
}
