//! Decides what clients of the HTTP interface rely on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, PATIENCE};

#[test]
fn the_watch_begins_with_a_snapshot_of_this_node() {
    let agent = Agent::start("a", &["--tag", "role=web"]);
    let mut watch = agent.watch("");
    let line = watch.line();
    assert!(line.starts_with(r#"{"type":"snapshot","members":[{"name":"a","status":"alive""#));
    let snapshot: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(snapshot["members"].as_array().unwrap().len(), 1);
    assert_eq!(snapshot["members"][0]["tags"]["role"], "web");
    assert!(snapshot["at_ms"].as_u64().unwrap() > 0 && snapshot["seq"].is_u64());
}

#[test]
fn the_watch_tells_events_keys_and_tags_in_the_agreed_shapes() {
    let agent = Agent::start("a", &[]);
    let mut all = agent.watch("");
    let mut keys = agent.watch("?types=key");
    assert_eq!(all.event()["type"], "snapshot");
    assert_eq!(keys.event()["type"], "snapshot");
    assert_eq!(agent.put("/v1/event/fire/deploy", b"\x00\xff").status, 200);
    let line = all.line();
    assert!(line.starts_with(r#"{"type":"event","name":"deploy","payload":"AP8=","from":"a""#));
    assert_eq!(agent.put("/v1/tidings/tags", br#"{"v":"2"}"#).status, 200);
    let line = all.line();
    let start = r#"{"type":"member","change":"update","name":"a","status":"alive""#;
    assert!(line.starts_with(start), "{line}");
    assert_eq!(agent.put("/v1/kv/k", b"v").status, 200);
    for watch in [&mut all, &mut keys] {
        let event = watch.event();
        let got = (&event["type"], &event["keyspace"], &event["key"], &event["value"]);
        assert_eq!(got, (&json!("key"), &json!("kv"), &json!("k"), &json!("dg==")));
    }
    assert_eq!(agent.get("/v1/tidings/watch?types=nonsense").status, 400);
}

#[test]
fn the_consul_shapes_have_their_fields() {
    let agent = Agent::start("a", &["--tag", "role=web", "--cluster", "dc7"]);
    let this = agent.get("/v1/agent/self").json();
    for name in ["Config", "DebugConfig", "Coord", "Member", "Stats", "Meta"] {
        assert!(this[name].is_object(), "{name}");
    }
    assert!(this.as_object().unwrap().values().all(Value::is_object));
    assert_eq!(this["Config"]["Datacenter"], "dc7");
    assert_eq!(this["Config"]["NodeName"], "a");
    let members = agent.get("/v1/agent/members").json();
    let member = &members[0];
    assert_eq!(member["Name"], "a");
    assert_eq!(member["Addr"], "127.0.0.1");
    assert_eq!(format!("127.0.0.1:{}", member["Port"]), agent.gossip);
    assert_eq!((&member["Status"], &member["Tags"]), (&json!(1), &json!({"role": "web"})));
    for name in ["ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateCur"] {
        assert!(member[name].is_u64(), "{name}");
    }
    let pretty = agent.get("/v1/agent/members?pretty").text();
    assert!(pretty.lines().count() > 5);
}

#[test]
fn events_are_fired_and_listed_with_an_index() {
    let agent = Agent::start("a", &[]);
    let empty = agent.get("/v1/event/list");
    assert_eq!((empty.status, empty.json()), (200, json!([])));
    assert!(empty.index() > 0);
    let fired = agent.put("/v1/event/fire/deploy", b"now").json();
    assert_eq!(fired["Name"], "deploy");
    assert_eq!(fired["Payload"], "bm93");
    assert_eq!(fired["Version"], 1);
    assert_eq!(fired["ID"].as_str().unwrap().len(), 36);
    agent.put("/v1/event/fire/other", b"");
    let listed = agent.get("/v1/event/list?name=deploy");
    assert_eq!(listed.json(), json!([fired]));
    assert!(listed.index() > empty.index());
    let large = agent.put("/v1/event/fire/deploy", &[b'x'; 801]);
    assert_eq!(large.status, 413, "{}", large.text());
    assert_eq!(agent.put("/v1/event/fire/deploy?service=web", b"").status, 400);
}

#[test]
fn tags_are_merged_and_unset() {
    let agent = Agent::start("a", &["--tag", "role=web"]);
    let put = |body: &str| agent.put("/v1/tidings/tags", body.as_bytes()).status;
    assert_eq!(put(r#"{"v":"1","w":"2"}"#), 200);
    assert_eq!(put(r#"{"v":null}"#), 200);
    assert_eq!(agent.get("/v1/tidings/tags").json(), json!({"role": "web", "w": "2"}));
    assert_eq!(agent.request("DELETE", "/v1/tidings/tags/w", b"").status, 200);
    assert_eq!(agent.get("/v1/tidings/tags").json(), json!({"role": "web"}));
    for bad in ["", "[]", r#"{"a":1}"#] {
        assert_eq!(put(bad), 400, "{bad}");
    }
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(2000));
    assert_eq!(put(&long), 400);
    assert_eq!(agent.get("/v1/tidings/tags").json(), json!({"role": "web"}));
}

#[test]
fn a_join_that_cannot_work_is_an_error_within_four_seconds() {
    let agent = Agent::start("a", &[]);
    let closed = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    // A port that accepts and never answers.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute_addr = mute.local_addr().unwrap().to_string();
    for addr in [closed, mute_addr] {
        let began = Instant::now();
        let answer = agent.put(&format!("/v1/agent/join/{addr}"), b"");
        assert_eq!(answer.status, 500, "{}", answer.text());
        assert!(answer.text().contains(&addr), "{}", answer.text());
        assert!(began.elapsed() < Duration::from_millis(4500), "{:?}", began.elapsed());
    }
    assert_eq!(agent.put("/v1/agent/join/a%20b", b"").status, 400);
}

#[test]
fn wrong_methods_and_paths_are_told_in_words() {
    let agent = Agent::start("a", &[]);
    let wrong = agent.get("/v1/agent/leave");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("PUT")));
    assert!(wrong.header("content-type").unwrap().starts_with("text/plain"));
    let options = agent.request("OPTIONS", "/v1/kv/a", b"");
    assert_eq!(options.status, 200);
    assert!(options.header("allow").unwrap().contains("DELETE"));
    let nowhere = agent.get("/v1/nowhere");
    assert_eq!(nowhere.status, 404);
    assert!(!nowhere.body.is_empty());
    let unknown = agent.put("/v1/agent/force-leave/nobody", b"");
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("nobody"));
    assert_eq!(agent.get("/v1/tidings/why/nobody").status, 404);
}

#[test]
fn why_status_metrics_and_health_answer() {
    let agent = Agent::start("a", &[]);
    let why = agent.get("/v1/tidings/why/a").json();
    assert_eq!((&why["name"], &why["status"]), (&json!("a"), &json!("alive")));
    let status = agent.get("/v1/tidings/status").json();
    assert_eq!(status["members"]["alive"], 1);
    assert_eq!(status["profile"], "local");
    assert_eq!(status["addr"], agent.gossip);
    assert_eq!(status["http"], agent.http);
    let metrics = agent.get("/metrics").text();
    for name in [
        "tidings_probes_sent_total ",
        "tidings_drop_malformed_total ",
        "tidings_members{status=\"alive\"} 1\n",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(name), "{name}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit_once(' ').unwrap().1;
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(agent.get("/healthz").status, 200);
    let ready = agent.get("/readyz");
    assert_eq!(ready.status, 200, "alone by choice: {}", ready.text());
}

#[test]
fn a_blocking_read_wakes_on_its_change_and_ends_in_time() {
    let agent = Agent::start("a", &[]);
    agent.put("/v1/kv/k", b"1");
    let index = agent.get("/v1/kv/k").index();
    let began = Instant::now();
    let same = agent.get(&format!("/v1/kv/k?index={index}&wait=300ms"));
    assert_eq!((same.status, same.index()), (200, index));
    assert!(began.elapsed() >= Duration::from_millis(300));

    let waiter = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| agent.get(&format!("/v1/kv/k?index={index}&wait=30s&raw")));
        std::thread::sleep(Duration::from_millis(100));
        agent.put("/v1/kv/other", b"x");
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiter.is_finished(), "another key does not wake it");
        agent.put("/v1/kv/k", b"2");
        waiter.join().unwrap()
    });
    assert_eq!(waiter.body, b"2");
    assert!(waiter.index() > index);
    assert!(began.elapsed() < PATIENCE);

    assert_eq!(agent.get("/v1/kv/k?index=x").text(), "Invalid index");
    assert_eq!(agent.get("/v1/kv/k?index=1&wait=x").text(), "Invalid wait time");
    assert_eq!(agent.get("/v1/kv/k?stale&consistent").status, 400);
    assert_eq!(agent.get("/v1/kv/k?dc=elsewhere").status, 500);
}
