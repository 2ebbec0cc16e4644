//! Decides that keys end and are held through the agent, and that writes given up are listed.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{Agent, eventually, one_line_failure, run, tidings};

#[test]
fn a_key_ends_after_its_ttl() {
    let agent = Agent::start("a", &[]);
    let http = format!("--http-addr=http://{}", agent.http);
    assert!(run(&[&http, "kv", "put", "k", "v", "--ttl", "1s"]).status.success());
    assert_eq!(agent.put("/v1/kv/other?ttl=1s", b"v").status, 200);
    assert_eq!(agent.get("/v1/kv/k?raw").body, b"v");
    eventually("both end", || {
        let gone = |key: &str| agent.get(&format!("/v1/kv/{key}")).status == 404;
        (gone("k") && gone("other")).then_some(())
    });
    let refused = agent.put("/v1/kv/k?ttl=soon", b"v");
    assert_eq!((refused.status, refused.text().contains("\"soon\"")), (400, true));
    assert_eq!(agent.put("/v1/kv/k?ttl=9000h", b"v").status, 400);
    let text = one_line_failure(&run(&[&http, "kv", "put", "k", "v", "--ttl", "0s"]), 2);
    assert!(text.contains("\"0s\"") && text.contains("1ms"), "{text}");
}

#[test]
fn a_lease_lives_as_long_as_its_holder() {
    let agent = Agent::start("a", &[]);
    let http = format!("--http-addr=http://{}", agent.http);
    let mut holder = tidings()
        .args([&http, "kv", "lease", "k", "v", "--ttl", "900ms"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the key is there", || (agent.get("/v1/kv/k").status == 200).then_some(()));
    thread::sleep(Duration::from_secs(2));
    assert_eq!(agent.get("/v1/kv/k?raw").body, b"v", "renewed");
    let pid = holder.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(holder.wait().unwrap().success());
    assert_eq!(agent.get("/v1/kv/k").status, 404, "given back at the end");
}

#[test]
fn writes_given_up_are_listed() {
    let a = Agent::start("a", &[]);
    let b = Agent::start("b", &["--join", &a.gossip]);
    eventually("two members", || (a.sees("b", "alive") && b.sees("a", "alive")).then_some(()));
    let mut round = 0;
    let listed = eventually("a conflict", || {
        round += 1;
        let key = format!("/v1/kv/k{round}");
        thread::scope(|scope| {
            scope.spawn(|| a.put(&key, b"from a"));
            scope.spawn(|| b.put(&key, b"from b"));
        });
        let mut all = a.get("/v1/tidings/conflicts").json().as_array().unwrap().clone();
        all.extend(b.get("/v1/tidings/conflicts").json().as_array().unwrap().clone());
        all.pop()
    });
    assert_eq!((&listed["keyspace"], &listed["value_bytes"]), (&"kv".into(), &6.into()));
    assert_ne!(listed["kept"]["node"], listed["discarded"]["node"]);
    let http = format!("--http-addr=http://{}", a.http);
    let shown = run(&[&http, "kv", "conflicts"]);
    assert!(shown.status.success() && shown.stdout.starts_with(b"KEYSPACE"));
    assert!(run(&[&http, "kv", "conflicts", "--json"]).stdout.starts_with(b"["));
}
