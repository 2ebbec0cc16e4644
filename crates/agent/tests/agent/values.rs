//! Decides what values that merge promise over HTTP and on the command line.

use serde_json::{Value, json};

use crate::support::{Agent, run};

fn run_with(agent: &Agent, args: &[&str]) -> std::process::Output {
    run(&[&["--http-addr", &agent.http], args].concat())
}

fn change(agent: &Agent, key: &str, asked: &Value) -> u16 {
    let path = format!("/v1/tidings/kv/kv/{key}");
    agent.request("PATCH", &path, asked.to_string().as_bytes()).status
}

#[test]
fn each_kind_is_changed_and_read() {
    let agent = Agent::start("a", &[]);
    let steps = [
        ("hits", json!({"do": "add", "with": 5}), "5"),
        ("hits", json!({"do": "add", "with": -7}), "-2"),
        ("tags", json!({"do": "insert", "with": "x"}), r#"["x"]"#),
        ("tags", json!({"do": "insert", "with": "a"}), r#"["a","x"]"#),
        ("tags", json!({"do": "remove", "with": "x"}), r#"["a"]"#),
        ("on", json!({"do": "enable"}), "true"),
        ("top", json!({"do": "raise", "with": 9}), "9"),
        ("top", json!({"do": "raise", "with": 3}), "9"),
        ("low", json!({"do": "lower", "with": -1}), "-1"),
        ("reg", json!({"do": "assign", "with": "v"}), r#"["v"]"#),
        ("map", json!({"do": "add", "with": 2, "field": "n"}), r#"{"n:counter":2}"#),
    ];
    for (key, asked, expected) in steps {
        assert_eq!(change(&agent, key, &asked), 200, "{asked}");
        assert_eq!(agent.get(&format!("/v1/kv/{key}?raw")).text(), expected, "{asked}");
    }
    let entry = agent.get("/v1/tidings/kv/kv/hits").json();
    assert_eq!(entry[0]["Kind"], "counter");
    assert_eq!(entry[0]["Context"].as_array().map(Vec::len), Some(1));
    assert_eq!(change(&agent, "hits", &json!({"do": "clear"})), 200);
    assert_eq!(agent.get("/v1/kv/hits?raw").status, 404);
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let agent = Agent::start("a", &[]);
    assert_eq!(change(&agent, "hits", &json!({"do": "add", "with": 1})), 200);
    let asked = |asked: Value| {
        let answer = agent.request("PATCH", "/v1/tidings/kv/kv/hits", asked.to_string().as_bytes());
        (answer.status, answer.text())
    };
    for (question, status, reason) in [
        (json!({"do": "enable"}), 409, "counter"),
        (json!({"do": "add", "with": "x"}), 400, "expected a 64-bit integer"),
        (json!({"do": "fly"}), 400, "expected assign, add"),
        (json!({"do": "add", "with": 1, "by": 2}), 400, "by"),
        (json!({"do": "clear", "kind": "heap"}), 400, "expected one of register"),
    ] {
        let (got, text) = asked(question.clone());
        assert_eq!(got, status, "{question}: {text}");
        assert!(text.contains(reason), "{question}: {text}");
    }
    let answer = agent.put("/v1/kv/hits", b"plain");
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(agent.get("/v1/kv/hits?raw").text(), "1");
}

#[test]
fn the_command_line_counts() {
    let agent = Agent::start("a", &[]);
    for with in ["40", "-2"] {
        let done = run_with(&agent, &["kv", "update", "hits", "add", with]);
        assert!(done.status.success(), "{done:?}");
    }
    let got = run_with(&agent, &["kv", "get", "hits"]);
    assert_eq!(String::from_utf8_lossy(&got.stdout).trim(), "38");
    let wrong = run_with(&agent, &["kv", "update", "hits", "add", "many"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("expected a 64-bit integer"));
}
