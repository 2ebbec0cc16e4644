//! Decides what `sim reconcile` promises to scripts: fields, figures, exit codes.

use serde_json::Value;

use crate::support::{one_line_failure, run};

fn cost(args: &[&str]) -> Value {
    let output = run(&[&["sim", "reconcile", "--json"], args].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"))
}

#[test]
fn a_reconciliation_in_json_keeps_its_bars_and_follows_its_seed() {
    let few = ["--keys", "2000", "--diff", "1", "--lacks"];
    for (lacks, by) in [("first", "asker_lacked"), ("second", "asked_lacked")] {
        let one = cost(&[&few[..], &[lacks]].concat());
        assert_eq!(one["method"], "single");
        assert!(number(&one, "metadata_bytes") <= 100, "{one}");
        assert_eq!(number(&one, "round_trips"), 1);
        assert_eq!(number(&one, "asker_lacked") + number(&one, "asked_lacked"), 1, "{by}: {one}");
    }
    let none = cost(&["--keys", "2000", "--diff", "0"]);
    assert_eq!((number(&none, "bytes"), none["method"].as_str()), (0, Some("sum")));
    let flags = ["--keys", "3000", "--diff", "50", "--method"];
    let [sketch, merkle] = ["sketch", "merkle"].map(|m| cost(&[&flags[..], &[m]].concat()));
    assert_eq!((&sketch["method"], &merkle["method"]), (&"sketch".into(), &"merkle".into()));
    assert!(number(&sketch, "metadata_bytes") < number(&merkle, "metadata_bytes"));
    assert!(number(&sketch, "symbols") > 50 && sketch["cpu_ms"].as_f64() > Some(0.0), "{sketch}");
    let mut again = cost(&[&flags[..], &["sketch", "--seed", "1"]].concat());
    again["cpu_ms"] = sketch["cpu_ms"].clone();
    assert_eq!(again, sketch, "equal seeds give equal bytes");
}

#[test]
fn a_page_has_each_method_and_its_bars() {
    let output = run(&["sim", "reconcile", "--page", "--keys", "500"]);
    assert!(output.status.success(), "{output:?}");
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("| 10 |") && page.contains("| merkle |"), "{page}");
    assert!(page.contains("PASS") && !page.contains("FAIL"), "{page}");
}

#[test]
fn what_can_not_be_compared_is_refused_in_one_line() {
    for (args, named) in [
        (&["--keys", "0"][..], "keys 0"),
        (&["--keys", "9000000"], "2000000"),
        (&["--keys", "10", "--diff", "11"], "diff 11"),
        (&["--writers", "0"], "writers 0"),
        (&["--method", "guess"], "sketch, merkle or digest"),
        (&["--lacks", "nobody"], "both, first or second"),
        (&["--seed", "x"], "--seed"),
        (&["--page", "--json"], "--json"),
    ] {
        let line = one_line_failure(&run(&[&["sim", "reconcile"], args].concat()), 2);
        assert!(line.contains(named), "{line}");
    }
}
