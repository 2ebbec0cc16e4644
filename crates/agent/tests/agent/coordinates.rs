//! Decides what is promised about round trips between members over HTTP and on the command line.

use crate::support::{Agent, eventually, run};

#[test]
fn round_trips_between_any_two_members_are_estimated() {
    let a = Agent::start("a", &[]);
    let b = Agent::start("b", &["--join", &a.gossip]);
    let c = Agent::start("c", &["--join", &a.gossip]);
    let rtt = |args: &[&str]| run(&[&["--http-addr", &a.http, "rtt"], args].concat());
    eventually("the round trip of b and c at a", || {
        Some(rtt(&["b", "c", "--json"])).filter(|output| output.status.success())
    });
    let record = a.get("/v1/tidings/rtt/b/c").json();
    let estimate = record["estimate_ms"].as_f64().expect("an estimate");
    assert!((0.0..1_000.0).contains(&estimate), "{record}");
    assert!(record["measured_ms"].is_null(), "a cannot have measured it: {record}");
    let own = rtt(&["c"]);
    let told = String::from_utf8_lossy(&own.stdout).into_owned();
    assert!(own.status.success() && told.contains("c to a: estimated"), "{told}");
    assert!(a.get("/v1/tidings/rtt/c").json()["measured_ms"].is_number());

    let unknown = rtt(&["b", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no member is named \"nobody\""));

    let nodes = a.get("/v1/coordinate/nodes").json();
    let nodes = nodes.as_array().expect("a list");
    let names: Vec<_> = nodes.iter().filter_map(|n| n["Node"].as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    for node in nodes {
        let coord = &node["Coord"];
        assert_eq!(
            (&node["Segment"], coord["Vec"].as_array().map(Vec::len)),
            (&"".into(), Some(4))
        );
        for field in ["Error", "Adjustment", "Height"] {
            assert!(coord[field].is_number(), "{field}: {node}");
        }
    }
    let own = a.get("/v1/agent/self").json();
    assert_eq!(own["Coord"]["Vec"].as_array().map(Vec::len), Some(4), "{}", own["Coord"]);
    drop((b, c));
}
