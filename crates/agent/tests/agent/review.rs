//! Decides what a demanding user and clients of Consul find out by trying.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Agent, eventually, one_line_failure, run, tidings};

#[test]
fn a_key_read_as_missing_gets_a_later_index_when_it_is_written() {
    let agent = Agent::start("a", &[]);
    for round in 0..3 {
        let key = format!("/v1/kv/k{round}");
        let missing = agent.get(&key).index();
        let listed = agent.get("/v1/kv/?recurse").index();
        agent.put(&key, b"v");
        // The client comes back only now: it must not wait for yet another change.
        let began = Instant::now();
        let found = agent.get(&format!("{key}?index={missing}&wait=20s"));
        assert_eq!(found.status, 200);
        assert!(found.index() > missing && began.elapsed() < Duration::from_secs(10));
        assert!(agent.get(&format!("/v1/kv/?recurse&index={listed}&wait=20s")).index() > listed);
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn an_index_never_falls_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--data-dir", dir.path().to_str().unwrap()];
    let mut agent = Agent::start("a", &flags);
    for round in 0..5 {
        agent.put("/v1/kv/k", format!("{round}").as_bytes());
    }
    agent.request("DELETE", "/v1/kv/gone", b"");
    let paths = ["/v1/kv/k", "/v1/kv/gone", "/v1/kv/never", "/v1/kv/?recurse", "/v1/kv?keys"];
    let before = paths.map(|path| agent.get(path).index());
    agent.kill();
    let agent = Agent::start("a", &flags);
    let after = paths.map(|path| agent.get(path).index());
    assert!(before.iter().zip(&after).all(|(before, after)| after >= before));
}

#[test]
fn an_index_of_another_agent_waits_instead_of_looping() {
    let agent = Agent::start("a", &[]);
    agent.put("/v1/kv/k", b"v");
    let later = agent.get("/v1/kv/k").index() + 1000;
    let began = Instant::now();
    agent.get(&format!("/v1/kv/k?index={later}&wait=300ms"));
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn the_index_of_events_is_the_one_that_clients_work_out_from_the_last_id() {
    let agent = Agent::start("a", &[]);
    for payload in ["1", "2"] {
        let fired = agent.put("/v1/event/fire/deploy", payload.as_bytes()).json();
        let id = fired["ID"].as_str().unwrap().replace('-', "");
        let half = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
        let expected = half(&id[..16]) ^ half(&id[16..]);
        eventually("the event is listed last", || {
            let listed = agent.get("/v1/event/list");
            let last = listed.json().as_array()?.last()?.clone();
            (last["ID"] == fired["ID"]).then(|| assert_eq!(listed.index(), expected))
        });
        let began = Instant::now();
        agent.get(&format!("/v1/event/list?index={expected}&wait=200ms"));
        assert!(began.elapsed() >= Duration::from_millis(200));
        agent.get(&format!("/v1/event/list?index={}&wait=60s", expected + 1));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn keys_have_one_root_with_and_without_a_slash() {
    let agent = Agent::start("a", &[]);
    agent.put("/v1/kv/k", b"v");
    assert_eq!(agent.get("/v1/kv?keys").json(), json!(["k"]));
    assert_eq!(agent.put("/v1/kv", b"v").status, 400);
}

#[test]
fn half_a_request_is_cut_and_does_not_stop_others() {
    let agent = Agent::start("a", &[]);
    let mut half = TcpStream::connect(&agent.http).unwrap();
    half.write_all(b"GET /v1/agent/self HTTP/1.1\r\nHos").unwrap();
    let mut half_body = TcpStream::connect(&agent.http).unwrap();
    half_body
        .write_all(b"PUT /v1/kv/k HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nab")
        .unwrap();
    let mut idle = TcpStream::connect(&agent.http).unwrap();
    assert_eq!(agent.get("/healthz").status, 200);
    let mut answer = Vec::new();
    for stream in [&half, &half_body, &idle] {
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    }
    let _ = half.read_to_end(&mut answer); // an end or a reset, not a timeout
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"));
    half_body.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    answer.clear();
    idle.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "a connection may idle before it asks");
    assert_eq!(agent.get("/v1/kv/k").status, 404);
}

#[test]
fn many_waiting_readers_of_a_long_list_leave_the_node_alone() {
    let agent = Agent::start("a", &[]);
    for number in 0..500 {
        assert_eq!(agent.put(&format!("/v1/kv/l/{number}"), &[b'x'; 1000]).status, 200);
    }
    let index = agent.get("/v1/kv/l/?keys").index();
    let path = format!("/v1/kv/l/?recurse&index={index}&wait=60s");
    let mut waiting: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(&agent.http).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(agent.put("/v1/kv/other", b"v").status, 200);
    }
    assert_eq!(agent.put("/v1/kv/l/7", b"new").status, 200);
    assert_eq!(agent.get("/healthz").status, 200);
    for stream in &mut waiting {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        assert!(answer.ends_with(b"]"), "whole");
    }
}

#[test]
fn joining_oneself_is_told_as_that() {
    let agent = Agent::start("a", &[]);
    let answer = agent.put(&format!("/v1/agent/join/{}", agent.gossip), b"");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("this agent itself"), "{}", answer.text());
}

#[test]
fn what_is_over_a_limit_is_misuse_with_and_without_an_agent() {
    let agent = Agent::start("a", &[]);
    let long = "k".repeat(513);
    for addr in [agent.http.as_str(), "127.0.0.1:1"] {
        for args in
            [["kv", "put", &long, "v"].as_slice(), &["kv", "get", &long], &["kv", "get", ""]]
        {
            let line = one_line_failure(&run(&[args, &["--http-addr", addr]].concat()), 2);
            assert!(line.contains("expected 1 to 512 bytes"), "{line}");
        }
        let endless = ["kv", "put", "k", "--file", "/dev/zero", "--http-addr", addr];
        let line = one_line_failure(&run(&endless), 2);
        assert!(line.contains("expected at most 524288 bytes"), "{line}");
    }
    let at = |args: &[&str]| run(&[args, &["--http-addr", &agent.http]].concat());
    let payload = "p".repeat(800);
    one_line_failure(&at(&["event", "e", &payload]), 2);
    one_line_failure(&at(&["monitor", "--types", "nonsense"]), 2);
    one_line_failure(&at(&["tags", "set", &format!("t={}", "v".repeat(5000))]), 2);
    one_line_failure(&at(&["join", "127.0.0.1:0"]), 2);
    one_line_failure(&at(&["why", "nobody"]), 1);
}

#[test]
fn slips_in_settings_are_refused() {
    for (flag, value) in [
        ("--join", "[::1"),
        ("--join", "127.0.0.1:0"),
        ("--bind", "224.0.0.1:1"),
        ("--bind", "255.255.255.255:1"),
        ("--http", "[ff02::1]:1"),
    ] {
        let line = one_line_failure(&run(&["agent", flag, value]), 2);
        assert!(line.contains(flag) && line.contains(value) && line.contains("expected"), "{line}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    for (text, expected) in [
        (
            "data_dir = true\n",
            ":1: data_dir = \"true\": expected the path of a directory, in quotes",
        ),
        ("\nname = 5\n", ":2: name = \"5\": expected 1 to 128 bytes"),
        ("[tags]\n\"\" = \"x\"\n", ":2: tags = \"\": expected a KEY"),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = run(&["agent", "--config", path.to_str().unwrap()]);
        let line = one_line_failure(&output, 2);
        assert!(line.contains(expected), "{line}");
    }
    use std::os::unix::ffi::OsStrExt;
    let value = std::ffi::OsStr::from_bytes(b"/tmp/\xff");
    let output = tidings().arg("agent").env("TIDINGS_DATA_DIR", value).output().unwrap();
    let line = one_line_failure(&output, 2);
    assert!(line.contains("TIDINGS_DATA_DIR") && line.contains("UTF-8"), "{line}");
}
