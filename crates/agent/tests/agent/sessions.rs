//! Decides what sessions and declared keyspaces promise over HTTP and on the command line.

use serde_json::{Value, json};

use crate::support::{Agent, eventually, one_line_failure, run, tidings};

fn run_with(agent: &Agent, args: &[&str]) -> std::process::Output {
    run(&[&["--http-addr", &agent.http], args].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pair() -> (Agent, Agent) {
    let a = Agent::start("a", &[]);
    let b = Agent::start("b", &["--join", &a.gossip]);
    eventually("both are one cluster", || {
        let ready = |agent: &Agent| {
            let members = agent.get("/v1/tidings/members").json();
            members.as_array().is_some_and(|m| m.len() == 2) && agent.get("/readyz").status == 200
        };
        (ready(&a) && ready(&b)).then_some(())
    });
    (a, b)
}

/// Row N3 on the command line: the session is in a file, and each read goes to the other agent.
#[test]
fn a_session_in_a_file_reads_its_writes_at_any_agent() {
    let (a, b) = pair();
    let dir = std::env::temp_dir().join(format!("tidings-session-{}", std::process::id()));
    let file = dir.to_string_lossy().into_owned();
    for round in 0..20 {
        let (here, there) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let value = format!("v{round}");
        let put = run_with(here, &["kv", "put", "name", &value, "--session", &file]);
        assert!(put.status.success(), "{}", text(&put.stderr));
        let get = run_with(there, &["kv", "get", "name", "--session", &file]);
        assert_eq!(text(&get.stdout), value, "{}", text(&get.stderr));
    }
    let session = std::fs::read_to_string(&dir).unwrap();
    assert!(session.len() <= 2048 && session.contains(':') && session.contains('@'), "{session}");
    std::fs::remove_file(&dir).unwrap();
}

#[test]
fn what_an_agent_lacks_is_named() {
    let a = Agent::start("a", &[]);
    let session = "000000000000000000000000000000a7:9@0";
    let get = run_with(&a, &["kv", "get", "name", "--session", session]);
    let line = one_line_failure(&get, 1);
    assert!(line.contains("stale") && line.contains("a7:9"), "{line}");
    let expired = "000000000000000000000000000000a7:9@1";
    let line = one_line_failure(&run_with(&a, &["kv", "get", "n", "--session", expired]), 1);
    assert!(line.contains("start anew"), "{line}");
    let url = format!("http://{}/v1/tidings/kv/kv/name?session-wait=10ms", a.http);
    let header = format!("X-Tidings-Session: {session}");
    let curl = std::process::Command::new("curl").args(["-s", "-i", "-H", &header, &url]).output();
    if let Ok(answer) = curl {
        let answer = text(&answer.stdout);
        assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
        let body: Value = serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap()).unwrap();
        assert_eq!(body["missing"], json!(["000000000000000000000000000000a7:9"]));
    }
}

#[test]
fn a_keyspace_is_declared_once_and_holds_everywhere() {
    let (a, b) = pair();
    let args = ["keyspace", "set", "hits", "--kind", "counter", "--consistency", "causal"];
    assert!(run_with(&a, &args).status.success());
    let declared = eventually("the declaration arrives", || {
        let record = b.get("/v1/tidings/keyspace/hits");
        (record.status == 200).then(|| record.json())
    });
    assert_eq!(
        (&declared["kind"], &declared["consistency"]),
        (&json!("counter"), &json!("causal"))
    );
    let line = one_line_failure(&run_with(&b, &["kv", "put", "k", "v", "--keyspace", "hits"]), 1);
    assert!(line.contains("\"hits\" is declared for counter"), "{line}");
    let added = run_with(&b, &["kv", "update", "k", "add", "2", "--keyspace", "hits"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let listed = text(&run_with(&b, &["keyspace", "list"]).stdout);
    assert!(listed.contains("hits") && listed.contains("causal"), "{listed}");
    assert_eq!(declared["mode"], "push");
    assert!(run_with(&a, &["keyspace", "set", "hits", "--mode", "pull"]).status.success());
    let added = run_with(&b, &["kv", "update", "k", "add", "3", "--keyspace", "hits"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    eventually("the other asks for it", || {
        let record = a.get("/v1/tidings/keyspace/hits").json();
        let got = text(&run_with(&a, &["kv", "get", "k", "--keyspace", "hits"]).stdout);
        (record["mode"] == "pull" && record["kind"] == "counter" && got.trim() == "5").then_some(())
    });
    assert!(run_with(&a, &["keyspace", "set", "hits", "--hot", "on"]).status.success());
    eventually("it is hot at the other", || {
        (b.get("/v1/tidings/keyspace/hits").json()["hot"] == true).then_some(())
    });
    for _ in 0..120 {
        // The writer of the key is b.
        assert_eq!(a.get("/v1/tidings/kv/hits/k").status, 200);
    }
    let metrics = a.get("/metrics").text();
    let said = metrics.lines().find(|l| l.starts_with("tidings_interest_sent_total"));
    assert_eq!(said, Some("tidings_interest_sent_total 1"), "it reads that a lot");
    let line = one_line_failure(&run_with(&a, &["keyspace", "set", "hits", "--mode", "poll"]), 2);
    assert!(line.contains("mode \"poll\": expected push, pull or push-pull"), "{line}");
    let line = one_line_failure(&run_with(&b, &["kv", "get", "k", "--keyspace", "nowhere"]), 1);
    assert!(line.contains("unknown keyspace \"nowhere\""), "{line}");
    assert_eq!(b.get("/v1/kv/nowhere").text(), "", "Consul's answer is as it was");
    let reserved = b.request("PUT", "/v1/tidings/kv/.keyspaces/hits", b"kind=set");
    assert_eq!(reserved.status, 403);
}

/// Row N6: what needs consensus is refused wherever it is asked for, with the reason.
#[test]
fn what_needs_consensus_is_refused_with_the_reason() {
    let a = Agent::start("a", &[]);
    let reason = "docs/gossip-or-consensus.md";
    let line =
        one_line_failure(&run_with(&a, &["keyspace", "set", "x", "--consistency", "strong"]), 2);
    assert!(line.contains(reason) && line.contains("consensus"), "{line}");
    for (method, path) in [
        ("GET", "/v1/tidings/kv/kv/k?consistency=linearizable"),
        ("PUT", "/v1/tidings/kv/kv/k?cas=0"),
        ("PUT", "/v1/tidings/kv/kv/k?lock"),
        ("PUT", "/v1/kv/k?acquire=s"),
    ] {
        let answer = a.request(method, path, b"v");
        assert_eq!(answer.status, 501, "{path}: {}", answer.text());
        assert!(answer.text().contains(reason), "{path}: {}", answer.text());
    }
    assert_eq!(a.get("/v1/kv/k").status, 404, "nothing was stored");
    let file = std::env::temp_dir().join(format!("tidings-strong-{}.toml", std::process::id()));
    std::fs::write(&file, "[keyspace.money]\nconsistency = \"linearizable\"\n").unwrap();
    let output = tidings().args(["agent", "--config"]).arg(&file).output().unwrap();
    let line = one_line_failure(&output, 2);
    assert!(line.contains(":2: keyspace.money.consistency") && line.contains(reason), "{line}");
    std::fs::write(&file, "[keyspace.feed]\nconsistency = \"causal\"\nlifetime = \"60s\"\n")
        .unwrap();
    let path = file.to_string_lossy().into_owned();
    let b = Agent::start("b", &["--config", &path]);
    let record = eventually("the settings are declared", || {
        let record = b.get("/v1/tidings/keyspace/feed").json();
        (record["declared"] == true).then_some(record)
    });
    assert_eq!(record["lifetime_ms"], 60_000);
    std::fs::remove_file(&file).unwrap();
}
