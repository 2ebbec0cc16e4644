//! Decides what `plan` promises to scripts: its keys, honest figures, and refusals that help.

use serde_json::Value;

use crate::support::{Agent, eventually, one_line_failure, run};

fn plan(flags: &[&str]) -> Value {
    let output = run(&[&["plan", "--json"], flags].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).expect("one object")
}

fn number(plan: &Value, key: &str) -> f64 {
    plan[key].as_f64().unwrap_or_else(|| panic!("{key} in {plan}"))
}

/// PAPERS 2.2 and 2.4: 1000 nodes, k = 3, 500 ms.
#[test]
fn the_articles_example_has_honest_figures_and_its_own_beside_them() {
    let flags = ["--nodes", "1000", "--fanout", "3", "--interval", "500ms"];
    let push = plan(&[&flags[..], &["--mode", "push", "--loss", "0", "--payload", "100"]].concat());
    assert!((number(&push, "expected") - 8.17).abs() <= 0.1, "{push}");
    assert_eq!([number(&push, "p50"), number(&push, "p99")], [8.0, 10.0]);
    assert!((10.0..=12.0).contains(&number(&push, "p999")));
    assert_eq!(number(&push, "lower_bound"), 5.0);
    assert_eq!([number(&push, "article_rounds"), number(&push, "seconds_p99")], [7.0, 5.0]);
    assert!((number(&push, "article_error") + 1.17).abs() <= 0.1);
    assert_eq!(push["article_is"], "optimistic");
    assert!((number(&push, "messages_per_node") - 9.0).abs() < 0.2);
    assert!((number(&push, "bytes_per_node") - 900.0).abs() < 20.0);
    assert_eq!([number(&push, "margin"), number(&push, "seconds_with_margin")], [2.0, 10.0]);
    assert_eq!(push["timers"], "synchronous");
    assert!(push["model"].as_str().unwrap().contains("synchronous rounds of 500ms"));
    let both = plan(&[&flags[..], &["--mode", "push-pull"]].concat());
    assert!((number(&both, "expected") - 5.06).abs() <= 0.1, "{both}");
    assert_eq!([number(&both, "p99"), number(&both["mean_field"], "p99")], [6.0, 5.0]);
    assert_eq!(plan(&flags), both, "push-pull is the default, and equal seeds say the same");
}

/// k = 1 is logarithmic; a million nodes and loss (PAPERS 2.2).
#[test]
fn fanout_one_is_not_linear_and_a_million_nodes_are_no_more_work() {
    let one = plan(&["--nodes", "1000", "--fanout", "1", "--mode", "push"]);
    assert!((number(&one, "expected") - 18.04).abs() <= 0.1);
    assert_eq!((number(&one, "article_rounds"), &one["article_is"]), (999.0, &"wrong".into()));
    let million = plan(&["--nodes", "1000000", "--fanout", "3", "--mode", "pull", "--loss", "0.3"]);
    assert!((number(&million, "expected") - 23.45).abs() <= 0.1, "{million}");
    assert!((number(&million, "p99") - 27.0).abs() <= 1.0);
    let alone = plan(&["--nodes", "1"]);
    assert_eq!([number(&alone, "p99"), number(&alone, "seconds_p999")], [0.0, 0.0]);
}

#[test]
fn a_fanout_is_chosen_for_a_target_and_probabilities_are_said() {
    let flags = ["--nodes", "1000", "--interval", "500ms", "--mode", "push"];
    let auto = [&flags[..], &["--fanout", "auto", "--target", "3s", "--probability", "0.9"]];
    let chosen = plan(&auto.concat());
    assert_eq!([number(&chosen, "fanout"), number(&chosen, "seconds_p99")], [6.0, 3.0]);
    assert_eq!(number(&chosen, "probability"), 0.9);
    let within = number(&chosen, "seconds_with_probability");
    assert!(within <= number(&chosen, "seconds_p99") && within >= number(&chosen, "seconds_p50"));
    let fewer = plan(&[&flags[..], &["--fanout", "5"]].concat());
    assert!(number(&fewer, "seconds_p99") > 3.0, "5 would not have done");
}

#[test]
fn timers_matter_and_are_named() {
    let flags = ["--nodes", "200", "--interval", "200ms", "--mode", "push", "--timers"];
    let of = |timers| plan(&[&flags[..], &[timers]].concat());
    let (synchronous, jittered, agent) = (of("synchronous"), of("jittered"), of("agent"));
    let p99 = |plan| number(plan, "seconds_p99");
    assert!(p99(&agent) < p99(&jittered) && p99(&jittered) < p99(&synchronous));
    assert_eq!(number(&agent, "eager_fanout"), 6.0);
    let wan = plan(&["--nodes", "200", "--profile", "wan"]);
    assert_eq!((&wan["timers"], number(&wan, "seconds_interval")), (&"agent".into(), 0.5));
    let path = std::env::temp_dir().join(format!("tidings-plan-{}.toml", std::process::id()));
    std::fs::write(&path, "profile = \"wan\"\n[gossip]\nfanout = 9\n").unwrap();
    let file = plan(&["--nodes", "200", "--config", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!([number(&file, "fanout"), number(&file, "seconds_rtt")], [9.0, 0.1]);
}

#[test]
fn the_running_agent_says_what_it_runs_with() {
    let first = Agent::start("p1", &[]);
    let second = Agent::start("p2", &["--join", &first.gossip]);
    let status = eventually("the agents measured each other", || {
        let status = second.get("/v1/tidings/status").json();
        status["rtt"]["median_ms"].as_f64().is_some_and(|ms| ms > 0.0).then_some(status)
    });
    let timers = &status["timers"];
    let reported = ["tick_ms", "batch_ms", "fanout", "eager_fanout", "probe_period_ms"];
    assert_eq!(reported.map(|key| number(timers, key)), [100.0, 10.0, 3.0, 6.0, 500.0]);
    assert_eq!([number(timers, "transmit_factor"), number(&status["rtt"], "members")], [1.8, 1.0]);
    assert_eq!((&timers["rumours"], &timers["anti_entropy"]), (&true.into(), &true.into()));
    let planned = plan(&["--agent", "--http-addr", &format!("http://{}", second.http)]);
    assert_eq!([number(&planned, "nodes"), number(&planned, "seconds_interval")], [2.0, 0.1]);
    let (rtt, p99) = (number(&planned, "seconds_rtt"), number(&planned, "seconds_p99"));
    assert!(rtt > 0.0 && p99 > 0.0 && p99 <= rtt, "one way: {planned}");
}

#[test]
fn people_get_a_table_with_the_margin_and_no_certainty() {
    let output = run(&["plan", "--nodes", "1000", "--mode", "push", "--margin", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["lower bound", "p99.9", "optimistic", "Wait 30.00 s", "No time is certain"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// docs/plan.md: each row of its tables, as printed.
#[test]
fn the_tables_of_the_page_are_what_it_prints() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plan.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let mut held = 0;
    for cells in rows.map(|row| row.split(" | ").collect::<Vec<_>>()) {
        if let [fanout, cells @ ..] = &cells[..]
            && cells.len() == 6
            && fanout.parse::<u32>().is_ok()
        {
            let of = |mode| plan(&["--nodes", "1000", "--fanout", fanout, "--mode", mode]);
            let printed = ["push-pull", "push"].map(of).map(|plan| {
                let (mean, p99) = (number(&plan, "expected"), number(&plan, "p99"));
                format!("{mean:.2} {p99:.0} {:.1}", number(&plan, "messages_per_node"))
            });
            assert_eq!(cells.join(" "), printed.join(" "), "fanout {fanout}");
            held += 1;
        } else if let [profile @ ("local" | "lan" | "wan"), nodes, cells @ ..] = &cells[..] {
            let plan = plan(&["--profile", profile, "--nodes", nodes]);
            let keys = ["seconds_expected", "seconds_p99", "seconds_p999"];
            let printed = keys.map(|key| format!("{:.1}", number(&plan, key) * 1e3));
            assert_eq!(*cells, printed, "{profile} {nodes}");
            held += 1;
        }
    }
    assert_eq!(held, 15, "rows of both tables");
}

#[test]
fn impossible_questions_are_one_line_that_helps() {
    let table: &[(&[&str], &str)] = &[
        (&[], "--nodes <N>"),
        (&["--nodes", "0"], "'0' for '--nodes <N>': expected 1 to 1000000000"),
        (&["--nodes", "9", "--fanout", "0"], "'0' for '--fanout <K>': expected 1 to 1000, or auto"),
        (&["--nodes", "9", "--loss", "1"], "'1' for '--loss <P>': expected 0 to 0.99"),
        (&["--nodes", "9", "--loss", "NaN"], "'NaN' for '--loss <P>': expected 0 to 0.99"),
        (&["--nodes", "9", "--interval", "0s"], "'0s' for '--interval <DURATION>': expected a"),
        (&["--nodes", "9", "--interval", "5"], "'5' for '--interval <DURATION>': expected a"),
        (&["--nodes", "9", "--mode", "flood"], "expected push, pull or push-pull"),
        (&["--nodes", "9", "--margin", "0.5"], "'0.5' for '--margin <FACTOR>': expected 1 to 10"),
        (&["--nodes", "9", "--probability", "1"], "expected above 0, to 0.999"),
        (&["--nodes", "9", "--profile", "fast"], "expected local, lan or wan"),
        (&["--nodes", "9", "--profile", "lan", "--mode", "pull"], "--mode pull: expected push"),
        (&["--nodes", "9", "--fanout", "auto"], "expected --target DURATION with it"),
        (&["--nodes", "9", "--target", "1s"], "--target 1s: expected --fanout auto with it"),
        (
            &["--nodes", "9999", "--fanout", "auto", "--target", "2s"],
            "--target 2s: expected at least 3.00 s",
        ),
        (&["--nodes", "20000", "--profile", "lan"], "--nodes 20000: expected 1 to 10000"),
    ];
    for (flags, expected) in table {
        let line = one_line_failure(&run(&[&["plan"], *flags].concat()), 2);
        assert!(line.contains(expected), "{flags:?}: {line}");
    }
    one_line_failure(&run(&["plan", "--agent", "--http-addr", "http://127.0.0.1:1"]), 1);
}

/// Rule 6: what `tidings sim fuzz` demands is what is printed here, part by part.
#[test]
fn the_bound_after_faults_is_of_the_agents_settings() {
    let seconds = |profile| {
        let plan = plan(&["--nodes", "10", "--profile", profile]);
        let parts = plan["seconds_equal_parts"].as_object().expect("named parts");
        let sum: f64 = parts.values().filter_map(Value::as_f64).sum();
        let total = number(&plan, "seconds_equal_within");
        assert!(parts.len() == 5 && (sum - total).abs() < 1e-6, "{plan}");
        total
    };
    let (local, lan, wan) = (seconds("local"), seconds("lan"), seconds("wan"));
    assert!(local < lan && lan < wan, "{local} {lan} {wan}");
    assert!(plan(&["--nodes", "10"]).get("seconds_equal_within").is_none(), "no agent is meant");
}
