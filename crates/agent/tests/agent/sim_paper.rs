//! Decides what `tidings sim paper` and `tidings sim question` promise to scripts.

use serde_json::Value;
use tidings_sim::paper::PAPERS;
use tidings_sim::question::QUESTIONS;

use crate::support::{one_line_failure, run};

fn printed(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn without_a_name_all_are_listed() {
    let list = printed(&["sim", "paper"]);
    for paper in PAPERS {
        let line = list.lines().find(|l| l.starts_with(paper.name)).expect(paper.name);
        assert!(line.contains(paper.about), "{line}");
    }
    let list = printed(&["sim", "question"]);
    for question in QUESTIONS {
        assert!(list.contains(question.asked), "{}", question.number);
    }
}

#[test]
fn what_is_not_known_is_misuse_that_names_what_is() {
    let line = one_line_failure(&run(&["sim", "paper", "nope"]), 2);
    assert!(line.contains(r#"paper "nope": expected all or one of"#), "{line}");
    assert!(PAPERS.iter().all(|p| line.contains(p.name)), "{line}");
    for bad in ["0", "21", "seven", "-1"] {
        let line = one_line_failure(&run(&["sim", "question", "--", bad]), 2);
        assert!(line.contains(&format!("question {bad:?}: expected all or a number")), "{line}");
    }
    let args = ["sim", "results", "--out", "x", "--only", "nope"];
    assert!(one_line_failure(&run(&args), 2).contains(r#"--only "nope": expected one of"#));
}

#[test]
fn a_paper_prints_a_row_a_line_and_its_verdict_and_writes_its_charts() {
    let dir = tempfile::tempdir().unwrap();
    let charts = dir.path().join("charts");
    let args = ["sim", "paper", "swim-load", "--quick", "--json", "--charts"];
    let text = printed(&[&args[..], &[charts.to_str().unwrap()]].concat());
    let lines: Vec<Value> =
        text.lines().map(|l| serde_json::from_str(l).expect("JSON on one line")).collect();
    let (last, rows) = lines.split_last().expect("lines");
    for row in rows {
        assert!(row["what"].is_string() && row["ours"].is_number() && row["se"].is_number());
        assert!(["PASS", "FAIL"].iter().any(|v| row["verdict"] == *v) || row["verdict"].is_null());
    }
    assert_eq!(last["summary"]["rows"], rows.len());
    assert_eq!(last["summary"]["verdict"], "PASS");
    for chart in last["summary"]["charts"].as_array().expect("a list") {
        let svg = std::fs::read_to_string(chart.as_str().unwrap()).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
    let again = printed(&[&args[..], &[charts.to_str().unwrap(), "--jobs", "1"]].concat());
    assert_eq!(text, again, "the number of threads changes nothing");
}
