//! What a program sees of a cluster: members, keys, events, over real sockets on loopback.

mod scene;

use std::sync::Arc;
use std::time::Duration;

use scene::{LIMIT, meet, next, node, pair, started, until};
use tidings::{
    CommandError, Error, Event, Hlc, Lack, MemberChange, NodeId, Path, Receipt, Status, What,
};
use tokio::time::timeout;

#[tokio::test]
async fn two_nodes_meet_and_one_leaves() {
    let a = started(node("a")).await;
    let mut watch = a.watch_members();
    let names = next(&mut watch, |c| match &c.what {
        What::Snapshot(members) => Some(members.iter().map(|m| m.name.clone()).collect::<Vec<_>>()),
        other => panic!("a snapshot comes first, not {other:?}"),
    });
    assert_eq!(names.await, ["a"]);

    let b = started(node("b").tag("role", "db").join([a.addr().to_string()])).await;
    let joined = next(&mut watch, |c| member(&c.what, MemberChange::Join)).await;
    assert_eq!((joined.name.as_str(), joined.addr, joined.id), ("b", b.addr(), b.id()));
    assert_eq!(joined.tags["role"], "db");

    meet(&b, "a").await;
    timeout(LIMIT, b.leave()).await.unwrap().unwrap();
    b.stop().await;
    let left = next(&mut watch, |c| member(&c.what, MemberChange::Leave)).await;
    assert_eq!(left.name, "b");
    until("it is listed as left", || async {
        a.members().await.unwrap().iter().any(|m| m.name == "b" && m.status == Status::Left)
    })
    .await;
    a.stop().await;
}

#[tokio::test]
async fn round_trips_are_estimated_with_an_error_or_unknown() {
    let (a, b) = pair().await;
    until("both places are known", || async { a.rtt(a.id(), b.id()).await.unwrap().is_some() })
        .await;
    let way = a.rtt(b.id(), a.id()).await.unwrap().expect("known either way");
    assert!(way.estimate < Duration::from_secs(1), "{way:?}");
    assert!((0.01..=1.5).contains(&way.error), "{way:?}");
    let nobody = NodeId::from_u128(7);
    assert_eq!(a.rtt(a.id(), nobody).await.unwrap(), None);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_killed_node_is_found_failed() {
    let (a, b) = pair().await;
    let mut watch = a.watch_members();
    b.stop().await; // without a word
    let failed = next(&mut watch, |c| member(&c.what, MemberChange::Failed)).await;
    assert_eq!(failed.name, "b");
    a.stop().await;
}

#[tokio::test]
async fn a_join_reports_and_a_dead_address_is_refused_in_time() {
    let (a, b) = (started(node("a")).await, started(node("b")).await);
    assert_eq!(timeout(LIMIT, b.join(vec![a.addr()])).await.unwrap(), Ok(1));
    meet(&a, "b").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = timeout(Duration::from_secs(5), b.join(vec![free])).await.unwrap();
    assert!(matches!(refused, Err(Error::Refused(CommandError::JoinFailed { .. }))), "{refused:?}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_seed_may_start_later_than_those_who_join_it() {
    let spot = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = spot.local_addr().unwrap().to_string();
    let early = started(node("early").join([addr.clone()])).await;
    drop(spot);
    let seed = started(node("seed").bind(addr)).await;
    meet(&seed, "early").await;
    meet(&early, "seed").await;
    early.stop().await;
    seed.stop().await;
}

#[tokio::test]
async fn keys_and_values_of_any_bytes_replicate_and_are_deleted() {
    let (a, b) = pair().await;
    let key: Vec<u8> = (0..=255).collect();
    let value: Vec<u8> = (0..50_000u32).map(|i| ((i * 7919) >> 3) as u8).collect();
    let token = a.keyspace("kv").set(&key, &value).await.unwrap();
    assert_eq!(token.dots.len(), 1);
    assert_eq!(token.dots[0].origin, a.id());
    let theirs = b.keyspace("kv");
    until("the value arrives", || async {
        theirs.get(&key).await.unwrap().as_deref() == Some(&value[..])
    })
    .await;

    let group = vec![(b"x".to_vec(), Some(vec![0])), (b"y".to_vec(), Some(vec![]))];
    assert_eq!(a.keyspace("kv").write(group).await.unwrap().dots.len(), 2);
    until("the group arrives", || async { theirs.list("").await.unwrap().len() == 3 }).await;
    assert_eq!(theirs.get("y").await.unwrap(), Some(vec![]));

    b.keyspace("kv").delete(&key).await.unwrap();
    let ours = a.keyspace("kv");
    until("the delete arrives", || async { ours.get(&key).await.unwrap().is_none() }).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_at_the_write() {
    let a = started(node("a")).await;
    let kv = a.keyspace("kv");
    let full = vec![1; 512 * 1024];
    kv.set("full", &full).await.unwrap();
    assert_eq!(kv.get("full").await.unwrap(), Some(full));
    let over = kv.set("k", vec![0; 512 * 1024 + 1]).await.unwrap_err();
    assert_eq!(over, Error::Refused(CommandError::ValueLength { bytes: 524_289 }));
    assert!(over.to_string().contains("expected at most 524288"), "{over}");
    let empty = kv.set("", "v").await.unwrap_err();
    assert_eq!(empty, Error::Refused(CommandError::KeyLength { bytes: 0 }));
    let long = kv.delete(vec![b'k'; 513]).await.unwrap_err();
    assert_eq!(long, Error::Refused(CommandError::KeyLength { bytes: 513 }));
    assert_eq!(kv.get("k").await.unwrap(), None);
    a.stop().await;
}

#[tokio::test]
async fn events_arrive_once_and_in_order_and_tags_spread() {
    let (a, b) = pair().await;
    let mut watch = b.watch();
    for i in 0..20u8 {
        assert_eq!(a.emit("count", vec![i]).await.unwrap(), u64::from(i) + 1);
    }
    for i in 0..20u8 {
        let event = next(&mut watch, |c| match &c.what {
            What::Event(Event::User(event)) => Some(event.clone()),
            _ => None,
        });
        let event = event.await;
        assert_eq!((event.from.as_str(), &event.payload[..]), ("a", &[i][..]));
    }
    a.set_tags(vec![("zone".into(), "z1".into())], vec![]).await.unwrap();
    let updated = next(&mut watch, |c| member(&c.what, MemberChange::Update)).await;
    assert_eq!((updated.name.as_str(), updated.tags["zone"].as_str()), ("a", "z1"));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn indexes_rise_with_what_they_count() {
    let a = started(node("a")).await;
    let mut indexes = a.indexes();
    let before = *indexes.borrow_and_update();
    a.keyspace("kv").set("k", "v").await.unwrap();
    timeout(LIMIT, indexes.wait_for(|i| i.entries > before.entries)).await.unwrap().unwrap();
    a.emit("e", "").await.unwrap();
    timeout(LIMIT, indexes.wait_for(|i| i.events > before.events)).await.unwrap().unwrap();
    a.stop().await;
}

fn member(what: &What, wanted: MemberChange) -> Option<Arc<tidings::Member>> {
    match what {
        What::Event(Event::Member { change, member }) if *change == wanted => Some(member.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_token_is_confirmed_by_all_or_says_who_is_missing() {
    let (a, b) = pair().await;
    until("both hold the same", || async {
        a.agreement().timeout(Duration::from_secs(1)).await.is_ok()
    })
    .await;
    let token = a.keyspace("config").set("feature/x", "on").await.unwrap();
    let all = token.receipt(Receipt::All).timeout(LIMIT).await.unwrap();
    assert_eq!((all.have.len(), all.needed), (2, 2));
    assert!(all.certificate.is_some_and(|c| c.members.contains(&b.id())));
    assert_eq!(b.keyspace("config").get("feature/x").await.unwrap().as_deref(), Some(&b"on"[..]));
    let traced = b.trace("config", "feature/x", None).await.unwrap();
    let own: Vec<_> = traced.have.iter().filter(|h| h.path == Some(Path::Own)).collect();
    assert_eq!((own.len(), own[0].name.as_str()), (1, "a"));

    // Nobody has a disk, and nobody has a version from tomorrow.
    let durable = token.receipt(Receipt::All).durable().timeout(Duration::from_millis(200)).await;
    let Err(Error::Refused(CommandError::NotEnough(receipted))) = durable else {
        panic!("{durable:?}")
    };
    assert!(receipted.missing.iter().any(|m| m.name == "b" && m.why == Lack::NoDisk));
    let tomorrow = Hlc::new(token.stamp.wall_ms() + 86_400_000, 0);
    let wait = b.keyspace("config").wait_until("feature/x", tomorrow, Receipt::Quorum);
    assert!(wait.timeout(Duration::from_millis(100)).await.is_err());
    let wait = b.keyspace("config").wait_until("feature/x", &token, Receipt::Quorum);
    assert_eq!(wait.timeout(LIMIT).await.unwrap().writes, Some(token.run()));
    a.stop().await;
    b.stop().await;
}
