//! What the library refuses, survives and says: ports, addresses, streams, slow readers, the end.

mod scene;

use std::io::ErrorKind;
use std::time::Duration;

use scene::{LIMIT, next, node, pair, started, until};
use tidings::{Config, Error, Event, Node, StartError, Stopped, What};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

#[tokio::test]
async fn a_taken_port_is_named_for_tcp_and_for_udp() {
    let a = started(node("a")).await;
    let addr = a.addr().to_string();
    let refused = node("b").bind(addr.clone()).start().await.unwrap_err();
    assert!(refused.to_string().contains(&addr), "{refused}");
    assert!(
        matches!(&refused, StartError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse)
    );
    assert!(!refused.misuse());
    a.stop().await;

    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = udp.local_addr().unwrap().to_string();
    let refused = node("b").bind(addr).start().await.unwrap_err();
    assert!(
        matches!(&refused, StartError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse)
    );
}

#[tokio::test]
async fn misuse_names_the_thing_the_value_and_what_was_expected() {
    let cases: [(tidings::Builder, &str); 6] = [
        (node("a").bind("nowhere"), "bind address \"nowhere\": expected IP:PORT"),
        (node("a").advertise("0.0.0.0"), "advertised address \"0.0.0.0\": expected"),
        (node("a").join(["seed"]), "seed \"seed\": expected HOST:PORT"),
        (node("a").join(["10.0.0.1:99999"]), "seed \"10.0.0.1:99999\": expected HOST:PORT"),
        (node(""), "name \"\": expected 1 to 128 bytes"),
        (node("a").config(Config { fanout: 0, ..Config::lan() }), "fanout = 0: expected 1 to 64"),
    ];
    for (builder, text) in cases {
        let refused = builder.start().await.unwrap_err();
        assert!(refused.to_string().starts_with(text), "{refused}");
        assert!(refused.misuse());
    }
}

#[tokio::test]
async fn the_advertised_address_has_the_real_port() {
    let a = started(node("a").advertise("127.0.0.2")).await;
    assert_eq!(a.addr().ip().to_string(), "127.0.0.2");
    assert_ne!(a.addr().port(), 0);
    a.stop().await;
}

#[tokio::test]
async fn an_oversized_stream_is_closed_and_harmless() {
    let (a, b) = pair().await;
    let mut stream = TcpStream::connect(a.addr()).await.unwrap();
    stream.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    let closed = timeout(Duration::from_secs(5), stream.read_u8()).await.unwrap();
    assert!(closed.is_err());
    until("it is counted", || async { a.io_faults().streams_oversized == 1 }).await;
    assert_eq!(a.query(|_, stats| stats.drop_oversized).await, Ok(1));
    still_working(&a, &b).await;
}

#[tokio::test]
async fn noise_on_both_transports_is_harmless() {
    let (a, b) = pair().await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for len in [0, 1, 7, 20, 100, 1400, 9000, 65_000] {
        let noise: Vec<u8> = (0..len).map(|i: usize| (i * 31 + len) as u8).collect();
        udp.send_to(&noise, a.addr()).await.unwrap();
        let mut stream = TcpStream::connect(a.addr()).await.unwrap();
        stream.write_all(&(len as u32).to_le_bytes()).await.unwrap();
        stream.write_all(&noise).await.unwrap();
    }
    let _half = TcpStream::connect(a.addr()).await.unwrap(); // says nothing and stays
    still_working(&a, &b).await;
}

#[tokio::test]
async fn many_silent_connections_do_not_keep_others_out_for_ever() {
    let (a, b) = pair().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(a.addr()).await.unwrap());
    }
    drop(idle);
    still_working(&a, &b).await;
}

#[tokio::test]
async fn a_slow_reader_is_told_and_gets_a_fresh_snapshot() {
    let a = started(node("a").watch_buffer(8)).await;
    let (mut slow, mut quick) = (a.watch(), a.watch());
    let first = next(&mut slow, |c| Some(c.clone())).await;
    assert!(matches!(first.what, What::Snapshot(_)));
    next(&mut quick, |c| matches!(c.what, What::Snapshot(_)).then_some(())).await;
    for i in 0..100u32 {
        a.keyspace("kv").set("k", i.to_le_bytes()).await.unwrap();
        next(&mut quick, |c| is_key(&c.what).then_some(())).await; // reads along: misses nothing
    }

    let (mut last, mut kept) = (first.seq, 0);
    let missed = loop {
        let change = next(&mut slow, |c| Some(c.clone())).await;
        assert!(change.seq >= last, "in order");
        last = change.seq;
        match change.what {
            What::Event(_) => kept += 1,
            What::Lagged { missed } => break missed,
            What::Snapshot(_) => panic!("the gap is named first"),
        }
    };
    assert_eq!((kept, kept + missed), (8, last - first.seq), "nothing lost silently");
    let snapshot = next(&mut slow, |c| Some(c.clone())).await;
    assert!(matches!(&snapshot.what, What::Snapshot(members) if members.len() == 1));
    a.keyspace("kv").set("k", "again").await.unwrap();
    let after = next(&mut slow, |c| Some(c.clone())).await;
    assert!(is_key(&after.what) && after.seq == snapshot.seq + 1, "{after:?}");
    a.stop().await;
}

#[tokio::test]
async fn a_thousand_watches_come_and_go() {
    let a = started(node("a")).await;
    let mut watches: Vec<_> = (0..1000).map(|_| a.watch_members()).collect();
    for watch in &mut watches {
        next(watch, |c| matches!(c.what, What::Snapshot(_)).then_some(())).await;
    }
    drop(watches);
    a.keyspace("kv").set("k", "v").await.unwrap();
    a.stop().await;
    assert_eq!(timeout(LIMIT, a.watch().next()).await.unwrap(), None);
}

#[tokio::test]
async fn after_stop_the_port_is_free_and_calls_say_so() {
    let a = started(node("a")).await;
    let (addr, other) = (a.addr(), a.clone());
    let mut watch = a.watch();
    timeout(LIMIT, a.stop()).await.unwrap();
    assert_eq!(other.stopped().await, None);
    assert_eq!(other.members().await, Err(Stopped));
    assert_eq!(other.emit("e", "").await, Err(Error::Stopped));
    while timeout(LIMIT, watch.next()).await.unwrap().is_some() {}
    let again = started(node("a").bind(addr.to_string())).await;
    again.stop().await;
}

#[tokio::test]
async fn a_node_ends_with_its_last_handle() {
    let a = started(node("a")).await;
    let (addr, mut watch) = (a.addr(), a.watch());
    drop(a);
    while timeout(LIMIT, watch.next()).await.unwrap().is_some() {}
    until("the port is free", || async { std::net::UdpSocket::bind(addr).is_ok() }).await;
}

async fn still_working(a: &Node, b: &Node) {
    a.keyspace("kv").set("still", "working").await.unwrap();
    let kv = b.keyspace("kv");
    until("a key still spreads", || async { kv.get("still").await.unwrap().is_some() }).await;
    a.stop().await;
    b.stop().await;
}

fn is_key(what: &What) -> bool {
    matches!(what, What::Event(Event::Key { .. }))
}

/// Row D7: concurrent writes merge by the program's own rule; one that breaks a law is refused at the
/// start, one that panics fails the write alone and is named.
#[tokio::test]
async fn a_programs_own_merge_is_checked_isolated_and_used() {
    let union = |a: &[u8], b: &[u8]| {
        assert!(!a.contains(&b'!') && !b.contains(&b'!'), "no room for !");
        let all: std::collections::BTreeSet<u8> = a.iter().chain(b).copied().collect();
        all.into_iter().collect::<Vec<u8>>()
    };
    let samples = [&b"ab"[..], b"bc", b""];
    let wrong = Node::builder("w").merge("carts", |a, _| a.to_vec(), &samples);
    let refused = wrong.start().await.unwrap_err().to_string();
    assert!(refused.contains("\"carts\"") && refused.contains("not commutative"), "{refused}");
    let node = Node::builder("m").merge("carts", union, &samples).start().await.unwrap();
    let mut watch = node.watch();
    let carts = node.keyspace("carts");
    carts.set("ada", "cb").await.unwrap();
    carts.set("ada", "ax").await.unwrap();
    // Another writer, who had read nothing: a sibling.
    let value = b"q".to_vec();
    let read = Some(tidings::Context::default());
    let assign = tidings::Operation::Assign { value, read };
    carts.update("ada", tidings::Kind::Register, assign).await.unwrap();
    assert_eq!(carts.get("ada").await.unwrap().as_deref(), Some(&b"abcqx"[..]));
    let failed = carts.set("ada", "!").await.unwrap_err().to_string();
    assert!(failed.contains("carts/ada") && failed.contains("no room for !"), "{failed}");
    assert_eq!(node.merges_failed(), 1);
    assert_eq!(carts.get("ada").await.unwrap().as_deref(), Some(&b"abcqx"[..]));
    let told = async {
        loop {
            let change = watch.next().await.expect("the node runs");
            if matches!(change.what, What::Event(Event::Alarm(tidings::Alarm::MergeHook { .. }))) {
                break;
            }
        }
    };
    timeout(Duration::from_secs(5), told).await.expect("it is told");
    node.stop().await;
}
