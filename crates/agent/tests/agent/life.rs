//! Decides how an agent starts, reloads and ends.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{Agent, eventually, one_line_failure, run};

#[test]
fn a_taken_port_is_named_and_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = run(&["agent", "--bind", "127.0.0.1:0", "--http", &addr, "--log-level", "off"]);
    let line = one_line_failure(&output, 1);
    assert!(line.contains(&format!("http {addr}: the port is taken")), "{line}");
    let output = run(&["agent", "--bind", &addr, "--http", "127.0.0.1:0", "--log-level", "off"]);
    let line = one_line_failure(&output, 1);
    assert!(line.contains(&addr), "{line}");
}

#[test]
fn a_data_directory_in_use_or_unusable_is_named_and_exits_1() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let _agent = Agent::start("first", &["--data-dir", data]);
    let flags = ["--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-level", "off"];
    let start = |data: &str| run(&[&["agent", "--data-dir", data], &flags[..]].concat());
    let line = one_line_failure(&start(data), 1);
    assert!(line.contains(data) && line.contains("in use"), "{line}");
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    let file = file.to_str().unwrap();
    let line = one_line_failure(&start(file), 1);
    assert!(line.contains(file), "{line}");
}

#[test]
fn sigterm_and_sigint_leave_and_exit_0() {
    for signal in ["TERM", "INT"] {
        let stays = Agent::start("stays", &[]);
        let mut goes = Agent::start("goes", &["--join", &stays.gossip]);
        eventually("both know both", || stays.sees("goes", "alive").then_some(()));
        goes.signal(signal);
        assert_eq!(goes.wait(), Some(0), "{}", goes.log());
        eventually("the leave is known", || stays.sees("goes", "left").then_some(()));
    }
}

#[test]
fn a_leave_over_http_is_answered_and_ends_the_agent() {
    let mut agent = Agent::start("a", &[]);
    assert_eq!(agent.put("/v1/agent/leave", b"").status, 200);
    assert_eq!(agent.wait(), Some(0));
}

#[test]
fn sighup_takes_over_tags_and_level_and_refuses_nonsense() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    fs::write(&path, "[tags]\nrole = \"web\"\nold = \"1\"\n").unwrap();
    let agent = Agent::start("a", &["--config", path.to_str().unwrap()]);
    assert_eq!(agent.get("/v1/tidings/tags").json()["role"], "web");

    fs::write(&path, "log_level = \"debug\"\ncluster = \"x\"\n[tags]\nrole = \"db\"\n").unwrap();
    agent.signal("HUP");
    eventually("the tags change", || {
        let tags = agent.get("/v1/tidings/tags").json();
        (tags["role"] == "db" && tags.get("old").is_none()).then_some(())
    });
    eventually("the rest is logged", || {
        let log = agent.log();
        (log.contains("cluster changed") && log.contains("changed log_level, tags")).then_some(())
    });

    fs::write(&path, "[tags]\nrole = 'x'\n[gossip]\nfanout = 0\n").unwrap();
    agent.signal("HUP");
    eventually("the refusal is logged", || {
        agent.log().contains("reload refused, nothing changed").then_some(())
    });
    assert_eq!(agent.get("/v1/tidings/tags").json()["role"], "db");
}

/// Row O1: the protocol's settings change without a restart, by each way; a bad file changes nothing and
/// is told with its line.
#[test]
fn a_reload_changes_the_protocol_while_the_agent_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    let write = |text: &str| fs::write(&path, text).unwrap();
    write("[gossip]\ntick = \"100ms\"\n");
    let agent = Agent::start("a", &["--config", path.to_str().unwrap()]);
    let status = || agent.get("/v1/tidings/status").json();
    let (id, pid) = (status()["id"].clone(), status()["pid"].clone());
    assert_eq!(status()["timers"]["tick_ms"], 100.0);
    assert!(status()["pace"].is_null());

    write("[gossip]\ntick = \"50ms\"\nprobe_period = \"300ms\"\n");
    agent.signal("HUP");
    eventually("the tick changes", || (status()["timers"]["tick_ms"] == 50.0).then_some(()));

    write("cluster = \"x\"\n[gossip]\nspread_target = \"1s\"\nbytes_per_second = 9000\n");
    let reloaded = run(&["--http-addr", &agent.http, "reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    let said = String::from_utf8(reloaded.stdout).unwrap();
    assert!(said.contains("gossip.spread_target") && said.contains("gossip.tick"), "{said}");
    assert!(said.contains("needs a restart: cluster"), "{said}");
    let pace = status()["pace"].clone();
    assert_eq!((&pace["bytes_per_second"], &pace["met"]), (&9000.into(), &true.into()));
    let metrics = agent.get("/metrics").text();
    assert!(metrics.contains("tidings_pace_met 1"), "{metrics}");

    write("[gossip]\ntick = \"50ms\"\nbytes_per_second = 10\n");
    for path in ["/v1/tidings/reload", "/v1/agent/reload"] {
        let refused = agent.put(path, b"");
        assert_eq!(refused.status, 400);
        let text = refused.text();
        assert!(text.contains("t.toml:3: gossip.bytes_per_second = \"10\""), "{text}");
        assert!(text.contains("probes alone may need"), "{text}");
    }
    assert_eq!(status()["pace"]["bytes_per_second"], 9000);
    write("");
    assert_eq!(agent.put("/v1/agent/reload", b"").status, 200);
    assert!(status()["pace"].is_null());
    assert_eq!((&status()["id"], &status()["pid"]), (&id, &pid), "nothing was restarted");
}

#[test]
fn http_answers_before_the_agent_has_joined() {
    let began = Instant::now();
    let agent = Agent::start("a", &["--join", "127.0.0.1:1"]);
    assert_eq!(agent.get("/v1/agent/self").status, 200);
    assert_eq!(agent.get("/healthz").status, 200);
    let ready = agent.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("127.0.0.1:1"), "{}", ready.text());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn nothing_is_written_without_a_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = crate::support::tidings();
    command.args(["agent", "--name", "a", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let mut child =
        command.current_dir(dir.path()).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_demonstration_passes_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let output = crate::support::tidings()
        .args(["demo", "--nodes", "3", "--exit"])
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("All steps passed."), "{stdout}");
    assert!(!stdout.contains('\x1b'), "no colours in a pipe");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}
