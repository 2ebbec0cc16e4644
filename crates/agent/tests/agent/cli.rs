//! Decides what the commands print and return.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Agent, one_line_failure, run, tidings};

fn at(agent: &Agent, args: &[&str]) -> Output {
    run(&[args, &["--http-addr", &agent.http]].concat())
}

fn good(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn values_pass_through_pipes_byte_by_byte() {
    let agent = Agent::start("a", &[]);
    let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut put = tidings()
        .args(["kv", "put", "bin", "-", "--http-addr", &agent.http])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    put.stdin.take().unwrap().write_all(&value).unwrap();
    assert!(put.wait().unwrap().success());
    assert_eq!(good(at(&agent, &["kv", "get", "bin"])), value);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    std::fs::write(&path, b"from a file").unwrap();
    good(at(&agent, &["kv", "put", "f", "--file", path.to_str().unwrap(), "--keyspace", "c"]));
    assert_eq!(good(at(&agent, &["kv", "get", "f", "--keyspace", "c"])), b"from a file");
    assert_eq!(good(at(&agent, &["kv", "list"])), b"bin\n");
    good(at(&agent, &["kv", "delete", "bin"]));
    let line = one_line_failure(&at(&agent, &["kv", "get", "bin"]), 1);
    assert!(line.contains("bin: not found"), "{line}");
    assert_eq!(good(at(&agent, &["kv", "list", "--json"])), b"[]\n");
}

#[test]
fn reading_commands_speak_json() {
    let agent = Agent::start("a", &[]);
    let json = |args: &[&str]| -> Value {
        serde_json::from_slice(&good(at(&agent, &[args, &["--json"]].concat()))).unwrap()
    };
    assert_eq!(json(&["members"])[0]["name"], "a");
    assert_eq!(json(&["status"])["name"], "a");
    assert_eq!(json(&["why", "a"])["status"], "alive");
    good(at(&agent, &["tags", "set", "role=web", "v=1"]));
    good(at(&agent, &["tags", "unset", "v"]));
    assert_eq!(json(&["tags", "list"]), json!({"role": "web"}));
    good(at(&agent, &["kv", "put", "k", "v"]));
    assert_eq!(json(&["kv", "get", "k"])[0]["Value"], "dg==");
    let human = String::from_utf8(good(at(&agent, &["members"]))).unwrap();
    assert!(human.starts_with("NAME") && human.contains("role=web"), "{human}");
    let human = String::from_utf8(good(at(&agent, &["status"]))).unwrap();
    assert!(human.contains("members       1 alive"), "{human}");
    let human = String::from_utf8(good(at(&agent, &["why", "a"]))).unwrap();
    assert!(human.starts_with("a is alive"), "{human}");
}

#[test]
fn monitor_follows_events_and_ends_well_with_its_reader() {
    use std::io::{BufRead, BufReader};
    let agent = Agent::start("a", &[]);
    let mut monitor = tidings()
        .args(["monitor", "--json", "--http-addr", &agent.http])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with(r#"{"type":"snapshot""#), "{first}");
    good(at(&agent, &["event", "deploy", "now"]));
    let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&event["name"], &event["payload"]), (&json!("deploy"), &json!("bm93")));
    drop(lines); // and nothing more happens
    let status = crate::support::eventually("monitor ends", || monitor.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_agent_that_is_not_there_is_one_line_and_exit_1() {
    let line = one_line_failure(&run(&["members", "--http-addr", "127.0.0.1:1"]), 1);
    assert!(line.contains("http://127.0.0.1:1"), "{line}");
}

#[test]
fn join_leave_and_force_leave_work_from_the_command_line() {
    let first = Agent::start("first", &[]);
    let mut second = Agent::start("second", &[]);
    good(at(&second, &["join", &first.gossip]));
    crate::support::eventually("both know both", || {
        (first.sees("second", "alive") && second.sees("first", "alive")).then_some(())
    });
    let line = one_line_failure(&at(&first, &["force-leave", "second"]), 1);
    assert!(line.contains("second"), "{line}");
    good(at(&second, &["leave"]));
    assert_eq!(second.wait(), Some(0));
    crate::support::eventually("the leave is known", || first.sees("second", "left").then_some(()));
}
