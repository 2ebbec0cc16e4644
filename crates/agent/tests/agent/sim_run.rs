//! Decides what `tidings sim run` and `tidings sim sweep` promise to scripts: the summary line, exit
//! codes, rows that are kept and resumed, and results that do not depend on the threads.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{eventually, one_line_failure, run, tidings};

const SMALL: &str = "seed = 3\nnodes = 10\nprofile = \"local\"\nduration = \"10s\"\n[[at]]\nt = \"2s\"\nwrite = \"k\"\n";

fn file(text: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn summary(args: &[&str]) -> Value {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = stdout(&output);
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let (last, before) = lines.split_last().expect("some lines");
    assert!(before.iter().all(|line| line["type"].is_string()), "{text}");
    last["summary"].clone()
}

#[test]
fn json_lines_end_with_a_summary_and_equal_seeds_with_equal_traces() {
    let (_dir, path) = file(SMALL);
    let first = summary(&["sim", "run", &path, "--json"]);
    let again = summary(&["sim", "run", &path, "--seed", "3", "--json"]);
    let other = summary(&["sim", "run", &path, "--seed", "4", "--json"]);
    assert_eq!(first["trace_hash"], again["trace_hash"]);
    assert_ne!(first["trace_hash"], other["trace_hash"]);
    assert_eq!(first["updates"]["reached"], 1);
    assert!(first["inputs_per_second"].as_f64().unwrap() > 0.0);
    let text = stdout(&run(&["sim", "run", &path]));
    assert!(text.contains(first["trace_hash"].as_str().unwrap()), "{text}");
}

#[test]
fn misuse_exits_2_and_a_missed_expectation_1_with_its_line() {
    let (_dir, path) = file("nodes = 10\nduration = \"5s\"\nlos = 0.1\n");
    let line = one_line_failure(&run(&["sim", "run", &path]), 2);
    assert!(line.contains(":3: unknown key \"los\": expected one of seed"), "{line}");
    let line = one_line_failure(&run(&["sim", "run", "/no/such.toml"]), 2);
    assert!(line.contains("/no/such.toml: No such file"), "{line}");
    let (_dir, path) = file(&format!("{SMALL}[expect]\nconvergence_p99 = \"1us\"\n"));
    let line = one_line_failure(&run(&["sim", "run", &path]), 1);
    assert!(line.contains("s.toml:9: expected convergence_p99 = \"1us\", found 0.00"), "{line}");
}

#[test]
fn a_real_agents_file_gives_the_settings() {
    let text = "nodes = 5\nduration = \"5s\"\nconfig = \"agent.toml\"\n";
    let (dir, path) = file(text);
    let line = one_line_failure(&run(&["sim", "run", &path]), 2);
    assert!(
        line.contains("s.toml:3: config = \"agent.toml\"") && line.contains("No such"),
        "{line}"
    );
    let agent = dir.path().join("agent.toml");
    fs::write(&agent, "name = \"x\"\nprofile = \"local\"\n[gossip]\nprobe_period = \"100ms\"\nprobe_timeout = \"50ms\"\n")
        .unwrap();
    let busy = summary(&["sim", "run", &path, "--json"]);
    fs::write(&agent, "name = \"x\"\nprofile = \"wan\"\n").unwrap();
    let idle = summary(&["sim", "run", &path, "--json"]);
    let datagrams = |s: &Value| s["traffic"]["datagrams"].as_u64().unwrap();
    assert!(datagrams(&busy) > 10 * datagrams(&idle), "{busy} {idle}");
}

#[test]
fn a_script_passes_if_its_trace_is_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.txt");
    let script = "world seed=1\n\nnode a b\njoin b a\nrun 1s\nquiet\nmembers a\n----\n  a alive inc=1\n  b alive inc=1\n";
    fs::write(&path, script).unwrap();
    let ran = run(&["sim", "run", path.to_str().unwrap()]);
    fs::write(&path, &ran.stdout).unwrap();
    let passed = run(&["sim", "run", path.to_str().unwrap(), "--json"]);
    assert_eq!(passed.status.code(), Some(0), "{}", String::from_utf8_lossy(&passed.stderr));
    assert!(stdout(&passed).starts_with("{\"summary\":{\"passed\":true,\"trace_hash\":\""));
    fs::write(&path, stdout(&ran).replace("b alive", "b failed")).unwrap();
    let line = one_line_failure(&run(&["sim", "run", path.to_str().unwrap()]), 1);
    assert!(line.contains("another trace than written"), "{line}");
    fs::write(&path, "node a\n\ncrash b\n").unwrap();
    let line = one_line_failure(&run(&["sim", "run", path.to_str().unwrap()]), 2);
    assert!(line.contains("s.txt:3: crash b: no node is named \"b\""), "{line}");
}

#[test]
fn a_report_is_one_page_with_charts() {
    let (dir, path) = file(&format!("{SMALL}[[at]]\nt = \"4s\"\ncrash = \"n3\"\n"));
    let html = dir.path().join("r.html");
    summary(&["sim", "run", &path, "--json", "--html", html.to_str().unwrap()]);
    let page = fs::read_to_string(html).unwrap();
    for heading in
        ["Numbers", "How updates spread", "Detection", "Who agrees", "Where the bytes went"]
    {
        assert!(page.contains(heading), "{heading}");
    }
    assert!(page.matches("<svg").count() >= 6 && page.contains("model"));
}

const GRID: &str = "[sweep]\nseeds = 2\n[sweep.grid]\nnetwork.loss = [0.0, 0.1]\nnodes = { from = 5, to = 15, step = 5 }\n";

fn sweep(path: &str, out: &Path, jobs: &str) -> Output {
    run(&["sim", "sweep", path, "--out", out.to_str().unwrap(), "--jobs", jobs])
}

#[test]
fn a_sweep_does_not_depend_on_threads_and_goes_on_where_it_was_cut() {
    let (dir, path) = file(&format!("{SMALL}{GRID}"));
    let (one, two) = (dir.path().join("1.jsonl"), dir.path().join("2.jsonl"));
    assert_eq!(sweep(&path, &one, "1").status.code(), Some(0));
    assert_eq!(sweep(&path, &two, "2").status.code(), Some(0));
    let whole = fs::read_to_string(&one).unwrap();
    assert_eq!(whole, fs::read_to_string(&two).unwrap());
    assert_eq!(whole.lines().count(), 1 + 12);
    // Cut in the middle of a row, as by a full disk: the rest is done again, to the same end.
    fs::write(&one, &whole[..whole.len() / 2]).unwrap();
    let output = sweep(&path, &one, "2");
    assert!(stdout(&output).contains("12 of 12 cells"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("(0 from before)"));
    assert_eq!(whole, fs::read_to_string(&one).unwrap());
    // Another scenario's rows are left alone.
    fs::write(&path, format!("{SMALL}{GRID}").replace("seeds = 2", "seeds = 3")).unwrap();
    let line = one_line_failure(&sweep(&path, &one, "1"), 2);
    assert!(line.contains("rows of another scenario"), "{line}");
    assert_eq!(whole, fs::read_to_string(&one).unwrap());
}

#[test]
fn a_sweep_refuses_a_grid_that_cannot_be_and_fails_on_what_was_not_expected() {
    let table = [
        ("", "no [sweep]: expected seeds"),
        ("[sweep]\nseeds = 0\n", ":9: sweep.seeds = 0: expected how many"),
        (
            "[sweep.grid]\nnetwork.loss = [0.1, 2.0]\n",
            ":9: network.loss = 2: expected a probability",
        ),
        ("[sweep.grid]\nnetwork.los = [0.1]\n", ":9: unknown key \"los\" in [network]"),
        (
            "[sweep.grid]\nnodes = { from = 9, to = 1, step = 1 }\n",
            ":9: sweep.grid.nodes = a table: expected a list",
        ),
        (
            "[sweep.grid]\n\"at.7.t\" = [\"1s\"]\n",
            ":9: at.7.t: no \"7\" in a list: expected 0 to 0",
        ),
    ];
    for (sweep_text, expected) in table {
        let (dir, path) = file(&format!("{SMALL}{sweep_text}"));
        let line = one_line_failure(&sweep(&path, &dir.path().join("o"), "1"), 2);
        assert!(line.contains(expected), "{line}\n{sweep_text}");
    }
    let expect = "[expect]\nmembers_at_end = 10\n[sweep.grid]\nnodes = [10, 11]\n";
    let (dir, path) = file(&format!("{SMALL}{expect}"));
    let html = dir.path().join("o.html");
    let out = dir.path().join("o.jsonl");
    let flags = ["--out", out.to_str().unwrap(), "--html", html.to_str().unwrap()];
    let output = run(&[&["sim", "sweep", &path], &flags[..]].concat());
    let line = one_line_failure(&output, 1);
    assert!(line.contains("1 of 2 cells miss what is expected, the first is cell 1"), "{line}");
    assert!(fs::read_to_string(html).unwrap().contains("<svg"));
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ctrl-C: what is finished stays, and the next run goes on from there.
#[test]
fn an_interrupt_keeps_the_rows() {
    let slow = "nodes = 30\nduration = \"20s\"\n[[at]]\nt = \"1s\"\nwrite = \"k{n}\"\nevery = \"100ms\"\n[sweep]\nseeds = 200\n";
    let (dir, path) = file(slow);
    let out = dir.path().join("o.jsonl");
    let mut command: Command = tidings();
    command.args(["sim", "sweep", &path, "--jobs", "1", "--out", out.to_str().unwrap()]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Running(child);
    let rows = || fs::read_to_string(&out).unwrap_or_default().lines().count();
    eventually("a row is written", || (rows() >= 2).then_some(()));
    let pid = Pid::from_child(&child.0);
    kill_process(pid, Signal::INT).unwrap();
    let status = eventually("the sweep ends", || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let mut why = String::new();
    std::io::Read::read_to_string(&mut child.0.stderr.take().unwrap(), &mut why).unwrap();
    assert!(why.contains("of 200 cells") && why.contains("run again to go on"), "{why}");
    let text = fs::read_to_string(&out).unwrap();
    assert!(
        rows() >= 2 && text.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()),
        "{text}"
    );
}

#[test]
fn the_scenarios_of_the_guide_run_as_it_says() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulator.md");
    let guide = fs::read_to_string(guide).unwrap();
    let blocks = guide.split("```toml\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    for text in blocks {
        let (_dir, path) = file(text);
        let command = if text.contains("[sweep]") { "sweep" } else { "run" };
        let output = run(&["sim", command, &path]);
        assert_eq!(output.status.code(), Some(0), "{text}\n{output:?}");
    }
}
