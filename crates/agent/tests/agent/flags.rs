//! Decides what flags promise over HTTP and on the command line of real agents.

use serde_json::{Value, json};

use crate::support::{Agent, eventually, run};

fn flag(agent: &Agent, args: &[&str]) -> std::process::Output {
    run(&[&["--http-addr", &agent.http, "flag"], args].concat())
}

fn put(agent: &Agent, path: &str, body: &Value) -> (u16, String) {
    let answer = agent.put(&format!("/v1/tidings/flags/{path}"), body.to_string().as_bytes());
    (answer.status, answer.text())
}

fn value(agent: &Agent, name: &str) -> Value {
    let answer = agent.get(&format!("/v1/tidings/flags/{name}"));
    if answer.status == 200 { answer.json()["value"].clone() } else { Value::Null }
}

#[test]
fn a_flag_is_set_staged_stopped_and_rolled_back_over_two_agents() {
    let a = Agent::start("a", &[]);
    let b = Agent::start("b", &["--join", &a.gossip, "--tag", "zone=eu"]);
    eventually("b knows a", || {
        (b.get("/v1/tidings/members").json().as_array().map(Vec::len) == Some(2)).then_some(())
    });
    let (status, text) = put(&a, "limit", &json!({ "value": 5 }));
    assert!(status == 200 && text.contains("tokens"), "{status} {text}");
    eventually("b has it", || (value(&b, "limit") == json!(5)).then_some(()));
    let staged = flag(&a, &["stage", "limit", "7", "--zone", "eu"]);
    assert!(staged.status.success(), "{staged:?}");
    eventually("b has the staged value", || (value(&b, "limit") == json!(7)).then_some(()));
    assert_eq!(value(&a, "limit"), json!(5), "a is in no zone");
    let record = b.get("/v1/tidings/flags/limit").json();
    assert_eq!((&record["base"], &record["stage"]["here"]), (&json!(5), &json!(true)));
    let alarm = flag(&b, &["alarm", "limit", "latency doubled"]);
    assert!(alarm.status.success(), "{alarm:?}");
    eventually("a knows", || {
        let record = a.get("/v1/tidings/flags/limit").json();
        (record["stage"]["stopped"] == json!(["latency doubled"])).then_some(())
    });
    assert_eq!(value(&b, "limit"), json!(5));
    let promoted = flag(&a, &["promote", "limit"]);
    assert_eq!(promoted.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&promoted.stderr).contains("was stopped: roll it back"));
    assert!(flag(&a, &["rollback", "limit"]).status.success());
    assert_eq!(a.get("/v1/tidings/flags/limit").json()["stage"], Value::Null);
    let listed = flag(&a, &["list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("integer"), "{listed:?}");
    let agreed = flag(&a, &["set", "limit", "8", "--receipt", "all", "--timeout", "5s"]);
    assert!(agreed.status.success(), "{agreed:?}");
    assert_eq!(value(&b, "limit"), json!(8), "all have it when the command ends");
    assert!(flag(&a, &["delete", "limit"]).status.success());
    assert_eq!(flag(&a, &["get", "limit"]).status.code(), Some(1));
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let agent = Agent::start("a", &[]);
    assert_eq!(put(&agent, "on", &json!({ "value": "true", "type": "bool" })).0, 200);
    for (path, body, status, reason) in [
        ("on", json!({ "value": "maybe" }), 400, "expected true or false"),
        ("on", json!({ "value": 1, "type": "colour" }), 400, "expected one of bool"),
        ("on", json!({ "value": "{", "type": "json" }), 400, "expected a JSON document"),
        ("on", json!({ "valu": 1 }), 400, "valu"),
        ("on/stage", json!({ "value": false, "percent": 0 }), 400, "expected 0.01 to 100"),
        ("off/stage", json!({ "value": false, "percent": 1 }), 404, "not set"),
        ("on/alarm", json!({ "reason": "x" }), 409, "no stage is under way"),
    ] {
        let (got, text) = put(&agent, path, &body);
        assert_eq!(got, status, "{path} {body}: {text}");
        assert!(text.contains(reason), "{path} {body}: {text}");
    }
    let write = agent.put("/v1/tidings/kv/flags/on", b"x");
    assert_eq!(write.status, 403, "{}", write.text());
    let misuse = flag(&agent, &["stage", "on", "false", "--percent", "200"]);
    assert_eq!(misuse.status.code(), Some(2));
}
