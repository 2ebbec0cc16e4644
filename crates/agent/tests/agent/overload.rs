//! Decides what an operator sees of too much work, of members lost together, and of a split.

use std::fs;

use serde_json::json;

use crate::support::{Agent, eventually, run};

/// The settings live as long as the directory.
fn with_settings(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tidings.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn a_minority_is_told_of_its_cut_and_gives_up() {
    let (_dir, file) = with_settings("[gossip]\nsplit_policy = 'keep-majority'\n");
    let flags = ["--profile", "local", "--config", &file];
    let a = Agent::start("a", &flags);
    let joining = [&flags[..], &["--join", &a.gossip]].concat();
    let others = ["b", "c"].map(|name| Agent::start(name, &joining));
    eventually("all are here", || (a.statuses().len() == 3).then_some(()));
    assert_eq!(a.get("/v1/tidings/status").json()["owning"], "yes");
    // Who was accepted while somebody was missing does not vote: the three are older than that.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let mut watch = a.watch("?types=cut,owning");
    for mut other in others {
        other.kill();
    }
    let owning = |a: &Agent| a.get("/v1/tidings/status").json()["owning"].clone();
    eventually("the minority gives up", || (owning(&a) == "no").then_some(()));
    let printed = run(&["--http-addr", &a.http, "status"]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("no (this side of a split)"));
    let mut gone = Vec::new();
    while gone.len() < 2 {
        let told = watch.event();
        if told["type"] == "cut" {
            gone.extend(told["gone"].as_array().cloned().unwrap_or_default());
        }
    }
    gone.sort_by_key(ToString::to_string);
    assert_eq!(gone, [json!("b"), json!("c")]);
}

#[test]
fn writes_beyond_what_can_be_told_are_refused_with_when_to_try_again() {
    let (_dir, file) = with_settings("[gossip]\nrumours_max = 16\nbatch = '1s'\n");
    let a = Agent::start("a", &["--config", &file]);
    let b = Agent::start("b", &["--config", &file, "--join", &a.gossip]);
    eventually("both are here", || (b.statuses().len() == 2).then_some(()));
    let refused = eventually("a write is refused", || {
        let answers = (0..20).map(|i| a.put(&format!("/v1/kv/k{i}"), b"v"));
        answers.into_iter().find(|answer| answer.status != 200)
    });
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.text().starts_with("overloaded: "), "{}", refused.text());
    eventually("it is taken later", || (a.put("/v1/kv/later", b"v").status == 200).then_some(()));
    let metrics = a.get("/metrics").text();
    assert!(metrics.contains("tidings_overloaded_total"), "counted");
    assert!(metrics.contains("tidings_shed_state_total"), "by class");
}
