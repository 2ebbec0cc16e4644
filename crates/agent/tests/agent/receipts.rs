//! Decides what receipts, agreement and traces promise over HTTP and on the command line.

use serde_json::Value;

use crate::support::{Agent, eventually, one_line_failure, run};

fn run_with(agent: &Agent, args: &[&str]) -> std::process::Output {
    run(&[&["--http-addr", &agent.http], args].concat())
}

fn text(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn names(receipt: &Value, list: &str) -> Vec<String> {
    let names = receipt[list].as_array().expect("a list").iter();
    names.map(|m| m["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_write_is_confirmed_by_all_and_who_is_missing_is_named() {
    let local = ["--profile", "local"];
    let a = Agent::start("a", &local);
    let join = ["--profile", "local", "--join", &a.gossip];
    let (b, mut c) = (Agent::start("b", &join), Agent::start("c", &join));
    eventually("all see all", || {
        [&a, &b, &c].iter().all(|x| x.statuses().len() == 3).then_some(())
    });
    let said = text(&run_with(&a, &["status", "--wait", "--timeout", "20s"]));
    assert!(said.starts_with("3 members hold the same after "), "{said}");

    let put = a.put("/v1/tidings/kv/kv/k?receipt=all&timeout=10s", b"v");
    assert_eq!(put.status, 200, "{}", put.text());
    let answer = put.json();
    let receipt = &answer["receipt"];
    assert_eq!(names(receipt, "have"), ["a", "b", "c"]);
    assert_eq!(receipt["certificate"]["members"].as_array().map(Vec::len), Some(3));
    let token = answer["tokens"][0].as_str().expect("a token").to_owned();
    let later = b.get(&format!("/v1/tidings/receipt?token={token}&receipt=quorum"));
    assert_eq!((later.status, later.json()["needed"].as_u64()), (200, Some(2)));

    let said =
        text(&run_with(&b, &["kv", "put", "k2", "v", "--receipt", "all", "--timeout", "9s"]));
    assert!(said.starts_with("3 members have it after "), "{said}");
    let traced = text(&run_with(&c, &["trace", "k2"]));
    assert!(traced.lines().any(|l| l.starts_with('b') && l.contains("own")), "{traced}");
    assert_eq!(traced.lines().count(), 4, "{traced}");
    let traced: Value =
        serde_json::from_str(&text(&run_with(&c, &["trace", "k2", "--json"]))).unwrap();
    assert_eq!(names(&traced, "have"), ["a", "b", "c"]);

    let metrics = c.get("/metrics").text();
    let family = r#"tidings_convergence_seconds_count{topic="kv/kv",path="rumour"}"#;
    assert!(metrics.lines().any(|l| l.starts_with(family)), "{metrics}");
    let status = c.get("/v1/tidings/status").json();
    assert!(status["delays"]["kv/kv"]["p99_ms"].as_f64().is_some(), "{}", status["delays"]);
    assert!(text(&run_with(&c, &["status"])).contains("\nsame state    "));

    c.signal("STOP");
    let put = a.put("/v1/tidings/kv/kv/k?receipt=all&timeout=300ms", b"w");
    assert_eq!(put.status, 504, "{}", put.text());
    assert_eq!(names(&put.json()["receipt"], "missing"), ["c"]);
    let error = put.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("c (no answer)") && error.contains("the write stands"), "{error}");
    let failed = run_with(&a, &["kv", "put", "k", "x", "--receipt", "3", "--timeout", "200ms"]);
    assert!(one_line_failure(&failed, 1).contains("missing: c (no answer)"));
    let failed = run_with(&a, &["status", "--wait", "--timeout", "200ms"]);
    assert!(one_line_failure(&failed, 1).contains("c (no answer)"));
    let put = a.put("/v1/tidings/kv/kv/k?receipt=2&timeout=5s", b"y");
    assert_eq!(put.status, 200, "{}", put.text());
    c.signal("CONT");
    c.kill();
}

#[test]
fn what_is_no_receipt_is_refused_and_nothing_is_written() {
    let a = Agent::start("a", &[]);
    for query in ["receipt=some", "receipt=0", "receipt=1.5", "receipt=all&timeout=soon"] {
        let put = a.put(&format!("/v1/tidings/kv/kv/k?{query}"), b"v");
        assert_eq!(put.status, 400, "{query}: {}", put.text());
        assert!(put.text().contains("expected"), "{}", put.text());
    }
    assert_eq!(a.get("/v1/kv/k").status, 404);
    for (path, status) in [
        ("/v1/tidings/receipt?token=7", 400),
        ("/v1/tidings/receipt", 400),
        ("/v1/tidings/trace/none", 404),
        ("/v1/tidings/receipt?token=00000000000000000000000000000007:1&timeout=50ms", 504),
    ] {
        assert_eq!(a.get(path).status, status, "{path}");
    }
    let misuse = run_with(&a, &["kv", "put", "k", "v", "--receipt", "most"]);
    assert!(one_line_failure(&misuse, 2).contains("expected all, certified, quorum"));
}
