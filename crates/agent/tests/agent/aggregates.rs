//! Decides what numbers over all members promise over HTTP and on the command line.

use serde_json::json;

use crate::support::{Agent, eventually, run};

fn aggregate(agent: &Agent, args: &[&str]) -> std::process::Output {
    run(&[&["--http-addr", &agent.http, "aggregate"], args].concat())
}

fn printed(agent: &Agent, args: &[&str]) -> Option<f64> {
    let output = aggregate(agent, args);
    String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|_| output.status.success())
}

#[test]
fn three_agents_add_up() {
    let a = Agent::start("a", &[]);
    let b = Agent::start("b", &["--join", &a.gossip]);
    let c = Agent::start("c", &["--join", &a.gossip]);
    for (agent, value) in [(&a, "10"), (&b, "-4"), (&c, "30")] {
        let put = aggregate(agent, &["put", "load", "--quantiles", "--", value]);
        assert!(put.status.success(), "{put:?}");
    }
    let near = |agent: &Agent, args: &[&str], truth: f64| {
        let close = |got: f64| (got - truth).abs() <= truth.abs() * 0.02;
        printed(agent, args).filter(|got| close(*got))
    };
    for agent in [&a, &b, &c] {
        eventually("the sum", || near(agent, &["sum", "load"], 36.0));
        eventually("the mean", || near(agent, &["avg", "load"], 12.0));
        eventually("the count", || near(agent, &["count", "load"], 3.0));
        eventually("the least", || near(agent, &["min", "load"], -4.0));
        eventually("the greatest", || near(agent, &["max", "load"], 30.0));
        eventually("the median", || near(agent, &["quantile", "load", "-q", "0.5"], 10.0));
    }
    let record = b.get("/v1/tidings/aggregate/load").json();
    assert_eq!((&record["max"]["node"], &record["population"]), (&json!("c"), &json!(3)));
    assert!(record["age_ms"].as_f64().is_some_and(|age| age < 60_000.0), "{record}");
    let listed = aggregate(&b, &["list"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "load");
    assert!(aggregate(&c, &["withdraw", "load"]).status.success());
    eventually("the sum without c", || near(&a, &["sum", "load"], 6.0));
}

#[test]
fn what_cannot_be_added_up_is_refused() {
    let agent = Agent::start("a", &[]);
    let put = |body: &str| {
        let answer = agent.put("/v1/tidings/aggregate/load", body.as_bytes());
        (answer.status, answer.text())
    };
    for (body, reason) in [
        (r#"{"value":"much"}"#, "expected"),
        (r#"{"value":1e999}"#, "expected"),
        (r#"{"valu":1}"#, "valu"),
    ] {
        let (status, text) = put(body);
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(reason), "{body}: {text}");
    }
    assert_eq!(put(r#"{"value":1}"#).0, 200);
    let (status, text) = put(r#"{"value":1,"quantiles":true}"#);
    assert!(status == 400 && text.contains("withdraw it first"), "{status} {text}");
    assert_eq!(agent.get("/v1/tidings/aggregate/none").status, 404);
    assert_eq!(aggregate(&agent, &["put", "load", "NaN"]).status.code(), Some(2));
    assert_eq!(aggregate(&agent, &["quantile", "load", "-q", "1.5"]).status.code(), Some(2));
    let none = aggregate(&agent, &["quantile", "load", "-q", "0.5"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
}
