//! Decides how misuse reads: one line that names the thing, the value and what was expected.

use std::fs;

use crate::support::{one_line_failure, run, tidings};

#[test]
fn bad_flags_are_one_line_and_exit_2() {
    let table: &[(&[&str], &str)] = &[
        (&["agent", "--bind", "nope"], r#"--bind "nope": expected IP:PORT"#),
        (&["agent", "--bind", "127.0.0.1:99999"], r#"--bind "127.0.0.1:99999": expected IP:PORT"#),
        (&["agent", "--http", "localhost"], r#"--http "localhost": expected IP:PORT"#),
        (
            &["agent", "--advertise", "0.0.0.0:1"],
            r#"--advertise "0.0.0.0:1": expected IP:PORT that"#,
        ),
        (&["agent", "--dns", "127.0.0.1:8600"], r#"--dns "127.0.0.1:8600": expected off"#),
        (&["agent", "--keyring", "k"], r#"--keyring "k": expected no keyring"#),
        (&["agent", "--profile", "fast"], r#"--profile "fast": expected local, lan or wan"#),
        (&["agent", "--join", ":1"], r#"--join ":1": expected HOST:PORT"#),
        (&["agent", "--tag", "novalue"], r#"--tag "novalue": expected KEY=VALUE"#),
        (&["agent", "--tag", "zone="], r#"--tag "": expected 1 to 128 bytes"#),
        (&["agent", "--tag", "=v"], r#"--tag "=v": expected KEY=VALUE"#),
        (&["agent", "--log-level", "loud"], r#"--log-level "loud": expected off, error"#),
        (&["agent", "--name", ""], r#"--name "": expected 1 to 128 bytes"#),
        (&["agent", "--cluster", ""], r#"--cluster "": expected 1 to 128 bytes"#),
        (&["agent", "--config", "/no/such"], r#"--config "/no/such": No such file"#),
        (&["agent", "--nope"], "'--nope'"),
        (&["agent", "--bind"], "'--bind"),
        (&["members", "--http-addr", "ftp://x:1"], r#"--http-addr "ftp://x:1": expected http://"#),
        (
            &["members", "--http-addr", "https://x:1"],
            r#"--http-addr "https://x:1": expected http:"#,
        ),
        (&["demo", "--nodes", "2"], "2 is not in 3..=50"),
        (&["kv", "put", "k"], "VALUE"),
        (&["kv", "frobnicate"], "'frobnicate'"),
        (&["join", "a b"], r#"address "a b": expected HOST:PORT"#),
        (&["tags", "set", "novalue"], r#"tag "novalue": expected KEY=VALUE"#),
        (&["frobnicate"], "'frobnicate'"),
    ];
    for (args, expected) in table {
        let line = one_line_failure(&run(args), 2);
        assert!(line.starts_with("tidings: "), "{args:?}: {line}");
        assert!(line.contains(expected), "{args:?}: {line}");
    }
}

#[test]
fn a_bad_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    let table = [
        ("name = \"a\"\nbnid = \"x\"\n", 2, "unknown key \"bnid\": expected one of name, bind"),
        (
            "[gossip]\n\nfanuot = 3\n",
            3,
            "unknown key \"fanuot\" in [gossip]: expected one of probe",
        ),
        ("[gossip]\nfanout = 0\n", 2, "gossip.fanout = \"0\": expected 1 to 64"),
        ("[gossip]\nfanout = -1\n", 2, "gossip.fanout = \"-1\": expected a whole number"),
        ("[gossip]\ntick = \"5 parsecs\"\n", 2, "gossip.tick = \"5 parsecs\": expected a duration"),
        ("[gossip]\nprobe_timeout = \"2s\"\n", 2, "gossip.probe_timeout = \"2s\": expected"),
        ("dns = \"127.0.0.1:8600\"\n", 1, "dns = \"127.0.0.1:8600\": expected off"),
        ("bind = [1]\n", 1, "bind = \"array\": expected a string"),
        ("name = \n", 1, "expected TOML"),
        ("gossip = 3\n", 1, "gossip = \"integer\": expected a section"),
        ("[service]\nname = \"x\"\n", 1, "unknown key \"service\""),
    ];
    for (text, line, expected) in table {
        fs::write(&path, text).unwrap();
        let stderr = one_line_failure(&run(&["agent", "--config", path.to_str().unwrap()]), 2);
        let place = format!("{}:{line}: ", path.display());
        assert!(stderr.contains(&place), "{text:?}: {stderr}");
        assert!(stderr.contains(expected), "{text:?}: {stderr}");
    }
}

#[test]
fn a_bad_environment_names_the_variable() {
    let output = tidings().arg("agent").env("TIDINGS_GOSSIP_FANOUT", "many").output().unwrap();
    let line = one_line_failure(&output, 2);
    assert!(line.contains(r#"TIDINGS_GOSSIP_FANOUT="many": expected a whole number"#), "{line}");
}

#[test]
fn config_show_prints_value_and_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    let text = "name = \"from-file\"\nprofile = \"wan\"\nbind = \"127.0.0.1:1\"\n\
                [tags]\nrole = \"web\"\n[gossip]\nfanout = 5\ntick = \"1500ms\"\n";
    fs::write(&path, text).unwrap();
    let output = tidings()
        .args(["config", "show", "--json", "--name", "from-flag", "--tag", "rack=7"])
        .args(["--config", path.to_str().unwrap()])
        .env("TIDINGS_BIND", "127.0.0.1:2")
        .env("TIDINGS_GOSSIP_WITNESSES", "4")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let at = |line: usize| format!("{}:{line}", path.display());
    let expected = [
        ("name", "from-flag", "--name".to_owned()),
        ("bind", "127.0.0.1:2", "TIDINGS_BIND".to_owned()),
        ("profile", "wan", at(2)),
        ("http", "127.0.0.1:8500", "default".to_owned()),
        ("cluster", "tidings", "default".to_owned()),
        ("tags.role", "web", at(5)),
        ("tags.rack", "7", "--tag".to_owned()),
        ("gossip.fanout", "5", at(7)),
        ("gossip.tick", "1500ms", at(8)),
        ("gossip.witnesses", "4", "TIDINGS_GOSSIP_WITNESSES".to_owned()),
        ("gossip.probe_period", "5s", "profile wan".to_owned()),
    ];
    for (key, value, origin) in expected {
        let row = rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!((row["value"].as_str(), row["origin"].as_str()), (Some(value), Some(&*origin)));
    }
}

#[test]
fn help_and_version_are_answers() {
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("tidings "));
    assert_eq!(run(&[]).status.code(), Some(2));
}
