//! Decides what several agents show together.

use crate::support::{Agent, eventually};

#[test]
fn three_agents_share_members_keys_events_and_a_death() {
    let first = Agent::start("n1", &[]);
    let second = Agent::start("n2", &["--join", &first.gossip]);
    let mut third = Agent::start("n3", &["--join", &first.gossip]);
    for agent in [&first, &second, &third] {
        eventually("all see all", || {
            let seen = ["n1", "n2", "n3"].iter().all(|name| agent.sees(name, "alive"));
            seen.then_some(())
        });
    }
    let mut watch = second.watch("");
    assert_eq!(watch.event()["members"].as_array().unwrap().len(), 3);

    eventually("the first takes writes", || {
        (first.put("/v1/kv/k", b"v").status == 200).then_some(())
    });
    eventually("the key arrives", || (third.get("/v1/kv/k?raw").body == b"v").then_some(()));
    assert_eq!(third.put("/v1/event/fire/hello", b"x").status, 200);
    let event = loop {
        let event = watch.event();
        if event["type"] == "event" {
            break event;
        }
    };
    assert_eq!((event["name"].as_str(), event["from"].as_str()), (Some("hello"), Some("n3")));

    third.kill();
    let changes: Vec<String> = std::iter::from_fn(|| Some(watch.event()))
        .filter(|event| event["type"] == "member" && event["name"] == "n3")
        .map(|event| event["change"].as_str().unwrap().to_owned())
        .take_while(|change| change != "failed")
        .collect();
    assert!(
        changes.iter().all(|c| c == "suspect" || c == "refute" || c == "update"),
        "{changes:?}"
    );
    eventually("the first knows too", || first.sees("n3", "failed").then_some(()));
    let why = first.get("/v1/tidings/why/n3").json();
    assert_eq!(why["status"], "failed");
    assert!(why["evidence"].is_object(), "{why}");
    let consul = first.get("/v1/agent/members").json();
    let failed = consul.as_array().unwrap().iter().find(|m| m["Name"] == "n3").unwrap();
    assert_eq!(failed["Status"], 4);
    assert_eq!(first.put("/v1/agent/force-leave/n3", b"").status, 200);
    eventually("force-leave reaches the second", || second.sees("n3", "left").then_some(()));
}

#[test]
fn an_agent_keeps_its_identity_and_keys_through_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let flags = ["--data-dir", data.to_str().unwrap()];
    let mut agent = Agent::start("a", &flags);
    let id = agent.get("/v1/tidings/status").json()["id"].clone();
    assert_eq!(agent.put("/v1/kv/k", b"v").status, 200);
    agent.kill();
    let agent = Agent::start("a", &flags);
    assert_eq!(agent.get("/v1/tidings/status").json()["id"], id);
    assert_eq!(agent.get("/v1/kv/k?raw").body, b"v");
}

#[test]
fn agents_of_other_clusters_do_not_mix() {
    let first = Agent::start("n1", &["--cluster", "one"]);
    let second = Agent::start("n2", &["--cluster", "two"]);
    let answer = second.put(&format!("/v1/agent/join/{}", first.gossip), b"");
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(second.statuses().len(), 1);
    assert_eq!(first.statuses().len(), 1);
}
