//! Decides what keys and values may be, over HTTP.

use serde_json::json;

use crate::support::Agent;

/// Every byte percent-encoded.
fn encoded(key: &[u8]) -> String {
    key.iter().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn keys_and_values_of_any_bytes_work() {
    let agent = Agent::start("a", &[]);
    let all: Vec<u8> = (0..=255).collect();
    let keys: [&[u8]; 6] = [b"plain", b"a/b//c", b"\xff\xfe\x00", &all, b"..", &[b'k'; 512]];
    for (number, key) in keys.into_iter().enumerate() {
        let value: Vec<u8> = all.iter().map(|byte| byte.wrapping_add(number as u8)).collect();
        let path = format!("/v1/kv/{}", encoded(key));
        let answer = agent.put(&path, &value);
        assert_eq!((answer.status, answer.text().as_str()), (200, "true"), "{key:?}");
        assert_eq!(agent.get(&format!("{path}?raw")).body, value);
    }
    let entry = agent.get(&format!("/v1/kv/{}", encoded(b"\xff\xfe\x00"))).json();
    assert_eq!(entry[0]["KeyB64"], "//4A");
    assert_eq!(agent.get("/v1/kv/?recurse").json().as_array().unwrap().len(), keys.len());
    let plain = agent.get("/v1/kv/plain").json();
    assert_eq!(plain[0]["Key"], "plain");
    assert_eq!((&plain[0]["Flags"], &plain[0]["LockIndex"]), (&json!(0), &json!(0)));
    assert!(plain[0].get("KeyB64").is_none());
}

#[test]
fn limits_are_told_at_the_write() {
    let agent = Agent::start("a", &[]);
    let most = vec![b'v'; 512 * 1024];
    assert_eq!(agent.put("/v1/kv/large", &most).status, 200);
    assert_eq!(agent.get("/v1/kv/large?raw").body.len(), most.len());
    let more = vec![b'v'; 512 * 1024 + 1];
    let answer = agent.put("/v1/kv/larger", &more);
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("524289") && answer.text().contains("524288"));
    assert_eq!(agent.get("/v1/kv/larger").status, 404);
    let long = agent.put(&format!("/v1/kv/{}", "k".repeat(513)), b"v");
    assert_eq!(long.status, 400);
    assert!(long.text().contains("513") && long.text().contains("512"), "{}", long.text());
    assert_eq!(agent.put("/v1/kv/", b"v").status, 400);
    assert_eq!(agent.put("/v1/kv/k?flags=7", b"v").status, 400);
    assert_eq!(agent.put("/v1/kv/k?flags=0", b"v").status, 200);
}

#[test]
fn what_needs_consensus_is_refused_with_a_reason() {
    let agent = Agent::start("a", &[]);
    for (method, query) in
        [("PUT", "cas=0"), ("PUT", "acquire=s"), ("PUT", "release=s"), ("DELETE", "cas=1")]
    {
        let answer = agent.request(method, &format!("/v1/kv/k?{query}"), b"v");
        assert_eq!(answer.status, 501, "{method} {query}");
        assert!(answer.text().contains("consensus"), "{}", answer.text());
    }
    assert_eq!(agent.get("/v1/kv/k").status, 404);
}

#[test]
fn every_read_has_an_index_and_a_leader() {
    let agent = Agent::start("a", &[]);
    let missing = agent.get("/v1/kv/none");
    assert_eq!(missing.status, 404);
    assert!(missing.index() > 0 && missing.body.is_empty());
    agent.put("/v1/kv/k", b"v");
    let found = agent.get("/v1/kv/k");
    assert_eq!(found.header("x-consul-knownleader"), Some("true"));
    assert_eq!(found.header("x-consul-lastcontact"), Some("0"));
    assert_eq!(found.header("content-type"), Some("application/json"));
    let entry = &found.json()[0];
    assert_eq!(entry["ModifyIndex"].as_u64(), Some(found.index()));
    assert_eq!(entry["Value"], "dg==");
    agent.request("DELETE", "/v1/kv/k", b"");
    let gone = agent.get("/v1/kv/k");
    assert_eq!(gone.status, 404);
    assert!(gone.index() > found.index());
}

#[test]
fn keys_are_listed_cut_and_deleted_by_prefix() {
    let agent = Agent::start("a", &[]);
    for key in ["web/a/1", "web/a/2", "web/b", "other"] {
        agent.put(&format!("/v1/kv/{key}"), b"");
    }
    let keys = |query: &str| agent.get(&format!("/v1/kv/{query}")).json();
    assert_eq!(keys("?keys"), json!(["other", "web/a/1", "web/a/2", "web/b"]));
    assert_eq!(keys("web/?keys&separator=/"), json!(["web/a/", "web/b"]));
    assert_eq!(keys("web/a?recurse")[1]["Key"], "web/a/2");
    assert_eq!(keys("web/b")[0]["Value"], json!(null));
    assert_eq!(agent.get("/v1/kv/nothing?keys").status, 404);
    assert_eq!(agent.request("DELETE", "/v1/kv/web/a/?recurse", b"").text(), "true");
    assert_eq!(keys("?keys"), json!(["other", "web/b"]));
}

#[test]
fn keyspaces_are_apart_and_native_writes_name_their_dots() {
    let agent = Agent::start("a", &[]);
    let token = agent.put("/v1/tidings/kv/config/k", b"v").json();
    assert_eq!(token["dots"].as_array().unwrap().len(), 1);
    assert!(token["dots"][0]["seq"].as_u64().unwrap() > 0);
    assert_eq!(agent.get("/v1/kv/k").status, 404);
    assert_eq!(agent.get("/v1/tidings/kv/config/k?raw").body, b"v");
    let entry = agent.get("/v1/tidings/kv/config/k").json();
    assert_eq!(entry[0]["Dot"], token["dots"][0]);
    agent.put("/v1/kv/k", b"w");
    assert_eq!(agent.get("/v1/tidings/kv/kv/k?raw").body, b"w");
    assert_eq!(agent.get("/v1/tidings/kv").json(), json!(["config", "kv"]));
    let long = "x".repeat(65);
    assert_eq!(agent.put(&format!("/v1/tidings/kv/{long}/k"), b"v").status, 400);
}
