//! Decides what `advise` promises: a recommendation with reasons, and a refusal where gossip is the
//! wrong means.

use serde_json::Value;

use crate::support::{one_line_failure, run};

fn advise(flags: &[&str]) -> Value {
    let output = run(&[&["advise", "--json"], flags].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).expect("one object")
}

#[test]
fn gossip_comes_with_a_profile_and_what_it_promises() {
    let advice = advise(&["--need", "membership", "--need", "config", "--nodes", "50"]);
    assert_eq!((&advice["recommendation"], &advice["profile"]), (&"gossip".into(), &"lan".into()));
    let p99 = advice["plan"]["seconds_p99"].as_f64().unwrap();
    assert!((0.15..0.25).contains(&p99), "a tick of the lan profile: {advice}");
    for need in advice["needs"].as_array().unwrap() {
        assert_eq!((&need["use"], &need["refused_by_gossip"]), (&"gossip".into(), &false.into()));
        assert!(need["why"].as_str().unwrap().len() > 30 && need["see"].is_string());
    }
    let quick = advise(&["--need", "flags", "--nodes", "50", "--staleness", "150ms"]);
    assert_eq!(quick["profile"], "local", "where lan is too slow: {quick}");
    let far = advise(&["--need", "flags", "--rtt", "80ms"]);
    assert_eq!(far["profile"], "wan");
    let never = advise(&["--need", "flags", "--staleness", "10ms", "--rtt", "80ms"]);
    assert_eq!((&never["recommendation"], &never["profile"]), (&"neither".into(), &Value::Null));
    let great = advise(&["--need", "membership", "--nodes", "1000000"]);
    assert!(great["plan"]["seconds_p99"].as_f64().unwrap() > 1.0, "{great}");
}

#[test]
fn what_needs_consensus_is_refused_with_a_reason() {
    for need in ["locks", "leader-election", "transactions", "ordered-log", "compare-and-set"] {
        let advice = advise(&["--need", need]);
        assert_eq!(advice["recommendation"], "consensus", "{need}");
        assert_eq!(advice["needs"][0]["refused_by_gossip"], true);
        assert_eq!((&advice["plan"], &advice["profile"]), (&Value::Null, &Value::Null));
    }
    let both = advise(&["--need", "membership,leader-election"]);
    assert_eq!(both["recommendation"], "both");
    let one_copy = advise(&["--need", "config", "--consistency", "linearizable"]);
    assert_eq!(one_copy["recommendation"], "consensus");
}

/// Row N10.
#[test]
fn hard_deadlines_and_liars_get_neither() {
    let hard = advise(&["--need", "config", "--deadline", "hard"]);
    assert_eq!(hard["recommendation"], "neither");
    assert!(hard["needs"][0]["why"].as_str().unwrap().contains("neither promises a time"));
    let liars = advise(&["--need", "membership", "--untrusted-members"]);
    assert_eq!(liars["recommendation"], "neither");
    let alone = advise(&["--need", "locks", "--coordinator-acceptable=no"]);
    assert_eq!(alone["recommendation"], "neither");
}

/// The pages that advice points to are there.
#[test]
fn people_read_reasons_and_find_the_pages() {
    let needs = "membership,failure-detection,config,flags,events,locks";
    let output = run(&["advise", "--need", needs]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "Recommendation: both, with a bridge",
        "refused by gossip",
        "in 999 of 1,000",
        "the bridge",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages: Vec<&str> = text.lines().filter_map(|l| l.trim().strip_prefix("see ")).collect();
    assert_eq!(pages.len(), 6);
    for page in pages {
        assert!(root.join(page).exists(), "{page}");
    }
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let line = one_line_failure(&run(&["advise"]), 2);
    assert!(
        line.contains("--need: expected one or more of membership, failure-detection"),
        "{line}"
    );
    let line = one_line_failure(&run(&["advise", "--need", "telepathy"]), 2);
    assert!(line.contains("'telepathy' for '--need <NEED>'"), "{line}");
    let line = one_line_failure(&run(&["advise", "--need", "locks", "--nodes", "0"]), 2);
    assert!(line.contains("'0' for '--nodes <N>'"), "{line}");
}
