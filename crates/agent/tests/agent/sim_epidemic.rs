//! Decides what `sim epidemic` and `sim rumor` promise to scripts.

use serde_json::Value;

use crate::support::{one_line_failure, run};

/// The one line of JSON that a command prints.
fn json(command: &str, args: &[&str]) -> Value {
    let output = run(&[&["sim", command, "--json"], args].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{name} in {value}"))
}

#[test]
fn an_epidemic_in_json_is_the_published_cell_whatever_the_threads() {
    let flags = ["--mode", "push-pull", "--fanout", "3", "--nodes", "1000", "--runs", "200"];
    let seeded = [&flags[..], &["--loss", "0", "--seed", "7", "--jobs", "1"]].concat();
    let node = json("epidemic", &seeded);
    assert_eq!(node["level"], "node");
    let chain = json("epidemic", &[&seeded[..], &["--level", "chain"]].concat());
    assert_eq!(chain["level"], "chain");
    for found in [&node, &chain] {
        assert!((number(found, "mean") - 5.06).abs() < 0.1, "{found}");
        assert_eq!((number(found, "p50"), number(found, "p99")), (5.0, 6.0));
        assert!((number(found, "messages_per_node") - 16.3).abs() < 0.4);
        assert!(number(found, "p999") >= number(found, "p99") && number(found, "se") < 0.05);
        assert_eq!((&found["runs"], &found["curve"][0]), (&200.into(), &1.0.into()));
    }
    let threads = [&flags[..], &["--seed", "7", "--jobs", "3"]].concat();
    assert_eq!(json("epidemic", &threads), node);
    let other = [&flags[..], &["--seed", "8"]].concat();
    assert_ne!(json("epidemic", &other), node);
}

#[test]
fn an_epidemic_of_a_hundred_million_and_what_gossip_is_compared_with() {
    let great = json("epidemic", &["--nodes", "100000000", "--runs", "100"]);
    assert_eq!(great["level"], "chain");
    assert!((8.0..14.0).contains(&number(&great, "mean")), "{great}");
    let loose = json("epidemic", &["--timers", "jittered", "--runs", "100"]);
    assert!((number(&loose, "mean") - 2.04).abs() < 0.15, "{loose}");
    let flood = json("epidemic", &["--mode", "broadcast", "--runs", "1"]);
    assert_eq!((number(&flood, "mean"), number(&flood, "messages_per_node")), (1.0, 999.0));
    let turn = json("epidemic", &["--mode", "sequential", "--runs", "1"]);
    assert_eq!((number(&turn, "mean"), number(&turn, "messages_per_node")), (999.0, 0.999));
}

#[test]
fn a_rumour_in_json_is_the_published_row() {
    let flags = ["--mode", "push", "--interest", "feedback", "--stop", "counter", "-k", "2"];
    let more = ["--nodes", "1000", "--runs", "300", "--seed", "3"];
    let found = json("rumor", &[&flags[..], &more].concat());
    for (name, published) in [("residue", 0.0368), ("traffic", 3.3), ("t_last", 16.96)] {
        let se = number(&found, &format!("{name}_se"));
        let off = (number(&found, name) - published) / se;
        assert!(se > 0.0 && off.abs() < 4.0, "{name}: {off} standard errors in {found}");
    }
    assert!(number(&found, "t_ave") < 11.0 && number(&found, "t_ave_se") > 0.0);
    let limited = json("rumor", &[&more[..], &["--connection-limit", "1", "-k", "2"]].concat());
    assert!(number(&limited, "residue") < 0.025, "{limited}");
    let least = json("rumor", &[&more[..], &["--mode", "push-pull", "--minimize"]].concat());
    assert_eq!((number(&least, "residue"), number(&least, "complete")), (0.0, 1.0));
    let text = String::from_utf8(run(&["sim", "rumor", "--runs", "10"]).stdout).unwrap();
    assert!(text.contains("residue") && text.contains("10 runs"), "{text}");
}

#[test]
fn people_get_a_table_and_a_curve() {
    let output = run(&["sim", "epidemic", "--nodes", "100", "--fanout", "99"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("ROUNDS") && text.contains("1.00"), "{text}");
    assert!(text.ends_with(&format!("{}\n", "#".repeat(40))), "{text}");
}

#[test]
fn what_cannot_be_is_named() {
    let table: &[(&[&str], &[&str])] = &[
        (&["epidemic", "--loss", "1"], &["--loss", "'1'", "expected a share from 0 to 0.99"]),
        (&["epidemic", "--loss", "-0.1"], &["--loss", "'-0.1'", "expected a share"]),
        (&["epidemic", "--loss", "NaN"], &["--loss", "'NaN'", "expected a share"]),
        (&["epidemic", "--mode", "shout"], &["--mode", "'shout'", "expected push, pull, push-"]),
        (&["epidemic", "--fanout", "0"], &["--fanout", "0 is not in 1..=1000"]),
        (&["epidemic", "--nodes", "0"], &["--nodes", "0 is not in 1..="]),
        (&["epidemic", "--runs", "0"], &["--runs", "0 is not in 1..="]),
        (&["epidemic", "--timers", "atomic"], &["--timers", "synchronous or jittered"]),
        (&["epidemic", "--level", "node", "--nodes", "1000001"], &["--nodes 1000001: expected 1"]),
        (
            &["epidemic", "--timers", "jittered", "--nodes", "10000000"],
            &["--nodes 10000000: expected 1 to 1000000 with --timers jittered"],
        ),
        (
            &["epidemic", "--timers", "jittered", "--level", "chain"],
            &["--level chain: expected node or auto"],
        ),
        (&["rumor", "-k", "0"], &["'-k <K>'", "0 is not in 1..=1000"]),
        (&["rumor", "--nodes", "1"], &["--nodes", "1 is not in 2..=1000000"]),
        (&["rumor", "--mode", "both"], &["--mode", "'both'", "expected push, pull or push-pull"]),
        (&["rumor", "--interest", "some"], &["--interest", "'some'", "expected feedback or blind"]),
        (&["rumor", "--stop", "never"], &["--stop", "'never'", "expected counter or coin"]),
        (&["rumor", "--connection-limit", "0"], &["--connection-limit", "0 is not in 1.."]),
        (&["rumor", "--hunt", "2"], &["--connection-limit"]),
        (&["rumor", "--minimize"], &["--minimize: expected mode push-pull, interest feedback"]),
    ];
    for (args, expected) in table {
        let line = one_line_failure(&run(&[&["sim"], *args].concat()), 2);
        for part in *expected {
            assert!(line.contains(part), "{args:?}: {line}");
        }
    }
}
