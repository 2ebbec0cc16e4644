//! Decides what a scenario file promises: bad ones are refused in one line that names file, line,
//! key and what was expected; good ones run the same every time; each fault has an effect that can
//! be seen; and expectations fail when they should (rows T7, T9, B5).

use std::path::Path;

use tidings_proto::Config;
use tidings_sim::scenario::outcome::{Line, Outcome};
use tidings_sim::scenario::{self, Scenario};
use tidings_sim::work::Work;

fn no_files(path: &Path) -> Result<Config, String> {
    Err(format!("{} is not there", path.display()))
}

fn read(text: &str) -> Scenario {
    match scenario::read("s.toml", text, &no_files) {
        Ok(scenario) => scenario,
        Err(refusal) => panic!("{refusal}\n{text}"),
    }
}

fn run(text: &str) -> Outcome {
    let scenario = read(text);
    scenario::run(&scenario, scenario.seed, &Work::quiet(1), &mut |_| {})
}

/// A cluster of 12 for half a minute, with what `more` says.
fn twelve(more: &str) -> Outcome {
    run(&format!("nodes = 12\nprofile = \"local\"\nduration = \"30s\"\n{more}"))
}

#[test]
fn a_bad_file_is_one_line_that_names_line_key_value_and_what_was_expected() {
    let head = "nodes = 10\nduration = \"60s\"\n";
    let at = |rest: &str| format!("{head}[[at]]\nt = \"1s\"\n{rest}\n");
    let table = [
        ("nodes = 10\n".to_owned(), 1, "duration is missing: expected a duration of 1ms to 24h"),
        ("duration = \"60s\"\n".to_owned(), 1, "nodes is missing: expected a number of nodes"),
        ("nodes = 10\nduration = 60\n".to_owned(), 2, "duration = 60: expected a duration"),
        (format!("{head}nodse = 3\n"), 3, "unknown key \"nodse\": expected one of seed, nodes"),
        (format!("{head}seed = -1\n"), 3, "seed = -1: expected a whole number, 0 or more"),
        (
            "nodes = 0\nduration = \"1s\"\n".to_owned(),
            1,
            "nodes = 0: expected a number of nodes from 1",
        ),
        (
            "nodes = \"ten\"\nduration = \"1s\"\n".to_owned(),
            1,
            "nodes = \"ten\": expected a number of nodes",
        ),
        (
            "nodes = 10\nduration = \"1 minute\"\n".to_owned(),
            2,
            "duration = \"1 minute\": expected a duration",
        ),
        (
            format!("{head}profile = \"fast\"\n"),
            3,
            "profile = \"fast\": expected \"local\", \"lan\" or \"wan\"",
        ),
        (format!("{head}config = \"a.toml\"\n"), 3, "config = \"a.toml\": a.toml is not there"),
        (
            format!("{head}start = \"later\"\n"),
            3,
            "start = \"later\": expected \"converged\" or \"join\"",
        ),
        (format!("{head}join_every = \"1s\"\n"), 3, "join_every without start = \"join\""),
        (
            format!("{head}start = \"join\"\njoin_every = \"10s\"\n"),
            4,
            "the last node starts at 100s",
        ),
        (
            format!("{head}join_through = \"x\"\n"),
            3,
            "join_through = \"x\": no node is named \"x\"",
        ),
        (
            format!("{head}[settings]\nfanuot = 3\n"),
            4,
            "unknown key \"fanuot\" in [settings]: expected one of probe_period",
        ),
        (format!("{head}[settings]\nfanout = 0\n"), 4, "settings.fanout = 0: expected 1 to 64"),
        (format!("{head}[settings]\ntick = 200\n"), 4, "settings.tick = 200: expected a duration"),
        (
            format!("{head}[network]\nloss = 1.5\n"),
            4,
            "network.loss = 1.5: expected a probability from 0 to 1",
        ),
        (
            format!("{head}[network]\nlatency = \"5\"\n"),
            4,
            "network.latency = \"5\": expected a duration such as",
        ),
        (
            format!("{head}[network]\nlatency = {{ uniform = [\"5ms\", \"1ms\"] }}\n"),
            4,
            "network.latency = a table",
        ),
        (
            format!("{head}[network]\nlos = 0.1\n"),
            4,
            "unknown key \"los\" in [network]: expected one of latency",
        ),
        (
            format!("{head}[[network.region]]\nname = \"eu\"\nat = [91, 0]\n"),
            5,
            "network.region.at = a list: expected [latitude",
        ),
        (
            format!("{head}[[network.region]]\nname = \"eu\"\n[[network.region]]\nname = \"us\"\n"),
            3,
            "network.one_way has no \"eu us\"",
        ),
        (
            "duration = \"1s\"\n[[nodes]]\nname = \"a\"\n[[nodes]]\nname = \"a\"\n".to_owned(),
            2,
            "two nodes are named \"a\"",
        ),
        (
            "duration = \"1s\"\n[[nodes]]\nname = \"a b\"\n".to_owned(),
            3,
            "nodes.name = \"a b\": expected letters",
        ),
        (
            "duration = \"1s\"\n[[nodes]]\nname = \"a\"\nversion = 0\n".to_owned(),
            4,
            "nodes.version = 0: expected 1, 2 to 255",
        ),
        (at(""), 3, "[[at]] does nothing: expected t and one of write"),
        (at("krash = \"n1\""), 5, "unknown key \"krash\" in [[at]]: expected t and one of write"),
        (at("crash = \"n1\"\npause = \"n2\""), 3, "crash and pause in one [[at]]"),
        (
            at("crash = \"n10\""),
            5,
            "crash = \"n10\": no node is named \"n10\": expected one of n0 to n9",
        ),
        (at("crash = \"random 11\""), 5, "expected at most the 10 nodes there are"),
        (at("crash = \"random 110%\""), 5, "expected 0% to 100%"),
        (
            at("crash = \"n1\"\nservice = \"1ms\""),
            6,
            "unknown key \"service\" in [at]: expected one of t, for",
        ),
        (
            at("pause = \"n1\"\nfor = 5"),
            6,
            "at.for = 5: expected a duration such as 500ms or 5s, in quotes",
        ),
        (
            at("pause = \"n1\"\nfor = \"1h\""),
            6,
            "what begins at 1s ends at 3601s: expected at most the duration of 1m",
        ),
        (at("write = \"k\"\nfor = \"5s\""), 6, "at.for with write: expected no `for`"),
        (at("write = \"k\"\nuntil = \"5s\""), 6, "at.until without every"),
        (
            at("write = \"k\"\nevery = \"1us\""),
            6,
            "at.every = \"1us\": expected at most 100000 times",
        ),
        (at("write = \"k\"\nvalue = \"v\"\nbytes = 3"), 3, "at.value and at.bytes"),
        (at("lossy = \"n1\"\nsent = 2"), 6, "at.sent = 2: expected a probability"),
        (at("network = { loss = 7 }"), 5, "at.network.loss = 7: expected a probability"),
        (at("clock = \"n1\""), 3, "at.clock: expected one of step, skew, drift_ppm"),
        (
            at("clock = \"n1\"\nstep = \"10\""),
            6,
            "at.step = \"10\": expected a duration such as \"5s\" or",
        ),
        (
            at("churn = \"all\"\nrate = 0\ndown = \"5s\""),
            6,
            "at.rate = 0: expected crashes a second",
        ),
        (
            at("liar = \"n1\"\ndoes = \"harm\""),
            6,
            "at.does = \"harm\": expected \"garbage\", \"replay\"",
        ),
        (
            at("cut = \"n1\"\nonly = \"udp\""),
            6,
            "at.only = \"udp\": expected \"datagrams\" or \"streams\"",
        ),
        (
            format!("{head}[[at]]\nt = \"61s\"\nheal = true\n"),
            4,
            "at.t = \"61s\": expected at most the duration of 1m",
        ),
        (
            format!(
                "{head}[[at]]\nt = \"1s\"\ncrash = \"random 6\"\n[[at]]\nt = \"2s\"\ncrash = \"random 6\"\n"
            ),
            6,
            "at.crash: 12 nodes are dead by then: expected at most the 10 there are",
        ),
        (
            format!("{head}[expect]\nfalse_death = 0\n"),
            4,
            "unknown key \"false_death\" in [expect]: expected one of equal_within",
        ),
        (
            format!("{head}[expect]\nequal_within = 5\n"),
            4,
            "expect.equal_within = 5: expected a duration",
        ),
        (
            format!("{}[expect]\nequal_within = \"60s\"\n", at("write = \"k\"")),
            7,
            "expect.equal_within = \"1m\": expected at most the 59s after the last action at 1s",
        ),
        ("nodes = 10\nduration = \n".to_owned(), 2, "expected TOML"),
    ];
    for (text, line, expected) in table {
        let refusal = match scenario::read("s.toml", &text, &no_files) {
            Ok(_) => panic!("accepted:\n{text}"),
            Err(refusal) => refusal.to_string(),
        };
        assert!(refusal.starts_with(&format!("s.toml:{line}: ")), "{refusal}\n{text}");
        assert!(refusal.contains(expected), "{refusal}\n{text}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
}

#[test]
fn an_agents_file_gives_the_settings_and_overrides_come_after() {
    let load = |path: &Path| {
        assert_eq!(path, Path::new("agent.toml"));
        Ok(Config { fanout: 7, ..Config::wan() })
    };
    let text =
        "nodes = 3\nduration = \"1s\"\nconfig = \"agent.toml\"\n[settings]\ntick = \"300ms\"\n";
    let scenario = scenario::read("s.toml", text, &load).expect("a good file");
    let config = &scenario.cast.members[2].config;
    assert_eq!((config.fanout, config.tick.as_millis()), (7, 300));
    assert_eq!(config.probe_period, Config::wan().probe_period);
}

const EVENTFUL: &str = r#"
seed = 9
duration = "40s"
[[nodes]]
name = "a"
count = 10
[[nodes]]
name = "b"
count = 10
profile = "local"
durable = true
tags = { role = "db" }
[network]
loss = 0.05
duplication = 0.05
reordering = 0.1
corruption = 0.01
[[at]]
t = "1s"
write = "k{n}"
every = "500ms"
until = "20s"
[[at]]
t = "2s"
churn = "group b"
rate = 0.5
down = "3s"
for = "10s"
[[at]]
t = "5s"
split = ["a0..a4", "group b"]
for = "8s"
[[at]]
t = "16s"
liar = "a3"
does = "accuse"
for = "5s"
"#;

/// Rule 9: same seed, same trace; another seed, another.
#[test]
fn equal_seeds_give_equal_traces_and_equal_lines() {
    let run = |seed: u64| {
        let mut lines = Vec::new();
        let mut emit = |line: Line| lines.push(line.json());
        let outcome = scenario::run(&read(EVENTFUL), seed, &Work::quiet(1), &mut emit);
        (outcome.summary.json(), lines)
    };
    let (first, second, third) = (run(9), run(9), run(10));
    assert_eq!(first, second);
    assert_ne!(first.0, third.0);
    assert!(first.1.iter().any(|l| l.starts_with(r#"{"type":"sample""#)), "{:?}", &first.1[..3]);
    assert!(first.1.iter().any(|l| l.starts_with(r#"{"type":"reached""#)));
    assert!(first.1.iter().any(|l| l.starts_with(r#"{"type":"detected""#)));
}

/// A run at rest, to hold others against: nobody dies, nothing is lost.
#[test]
fn a_quiet_cluster_is_equal_and_every_byte_has_a_cause() {
    let s = twelve("[[at]]\nt = \"5s\"\nwrite = \"k\"\nby = \"n3\"\n").summary;
    assert_eq!((s.updates.made, s.updates.reached), (1, 1));
    assert_eq!((s.false_deaths, s.violations.len(), s.groups_at_end), (0, 0, 1));
    assert_eq!((s.alive_at_end, s.traffic.accounted), ((12, 12), 1.0));
    assert!(s.hops_mean.is_some_and(|h| (1.0..4.0).contains(&h)) && s.hops_max <= 6, "{s:?}");
    assert!(s.traffic.by_cause["probe"] > s.traffic.by_cause["rumours"], "{s:?}");
}

/// Each fault of the list does something that can be seen.
#[test]
fn faults_of_processes_show() {
    let one = |action: &str| twelve(&format!("[[at]]\nt = \"5s\"\n{action}\n")).summary;
    let crash = one("crash = \"n3\"");
    assert_eq!((crash.detection.departures, crash.detection.undetected), (1, 0));
    assert_eq!(crash.alive_at_end, (11, 11));
    assert!(crash.detection.all_max.is_some_and(|s| s < 5.0), "{:?}", crash.detection);
    let returned = one("destroy = \"n3\"\nfor = \"10s\"");
    assert_eq!((returned.joins.reached, returned.alive_at_end), (1, (12, 12)));
    let left = one("leave = \"n3\"");
    assert_eq!((left.detection.undetected, left.alive_at_end), (0, (11, 11)));
    assert!(left.detection.all_max < crash.detection.all_max, "a leave is known sooner");
    let paused = one("pause = \"n3\"\nfor = \"15s\"");
    assert_eq!((paused.alive_at_end, paused.false_deaths), ((12, 12), 0));
    assert!(paused.trace_hash != one("suspend = \"n3\"\nfor = \"15s\"").trace_hash);
    let resumed = one("pause = \"n3\"\n[[at]]\nt = \"20s\"\nresume = \"n3\"");
    assert_eq!(resumed.trace_hash, paused.trace_hash, "`for` is pause and resume");
    let slow = one("slow = \"n3\"\nservice = \"400ms\"");
    assert!(slow.traffic.by_cause["repeat"] > crash.traffic.by_cause["repeat"], "{slow:?}");
    let churned = one("churn = \"n3..n11\"\nrate = 1\ndown = \"2s\"\nfor = \"10s\"");
    assert!(churned.detection.departures + churned.joins.made as usize > 10, "{churned:?}");
    let later = "[[nodes]]\nname = \"a\"\ncount = 3\n[[nodes]]\nname = \"z\"\nlater = true\n";
    let joined =
        run(&format!("duration = \"10s\"\n{later}[[at]]\nt = \"5s\"\njoin = \"z\"\n")).summary;
    assert_eq!((joined.joins.reached, joined.alive_at_end), (1, (4, 4)));
}

#[test]
fn faults_of_clocks_and_disks_show() {
    let events = |more: &str| {
        let text = format!(
            "nodes = 6\nprofile = \"local\"\ndurable = true\nduration = \"20s\"\nrecord = \"events\"\n{more}"
        );
        let mut alarms = Vec::new();
        let scenario = read(&text);
        let outcome = scenario::run(&scenario, 1, &Work::quiet(1), &mut |line| {
            if let Line::Event { event, .. } = line {
                alarms.push(event);
            }
        });
        (outcome.summary, alarms.join("\n"))
    };
    let write = "[[at]]\nt = \"5s\"\nwrite = \"k\"\nby = \"n2\"\n";
    let (s, text) =
        events(&format!("[[at]]\nt = \"2s\"\ndisk_fails = \"n2\"\nfor = \"10s\"\n{write}"));
    assert!(text.contains("DiskFailed") && text.contains("DiskRecovered"), "{text}");
    assert_eq!((s.updates.reached, s.commands_refused), (0, 1), "{s:?}");
    for (turn, ahead) in
        [("step = \"1h\"", true), ("drift_ppm = 100000", false), ("skew = \"2h\"", true)]
    {
        let (s, text) = events(&format!("[[at]]\nt = \"2s\"\nclock = \"n2\"\n{turn}\n{write}"));
        assert_eq!(text.contains("ClockAhead"), ahead, "{turn}: {text}");
        assert_eq!((s.updates.reached, s.groups_at_end), (1, 1), "{turn}");
    }
}

#[test]
fn faults_of_the_network_show() {
    let with = |network: &str, action: &str| {
        let write =
            "[[at]]\nt = \"5s\"\nwrite = \"k{n}\"\nevery = \"1s\"\nuntil = \"15s\"\nby = \"n0\"\n";
        twelve(&format!("{action}{write}[network]\n{network}\n")).summary
    };
    let calm = with("", "");
    let delay = |s: &scenario::outcome::Summary| s.delivery.mean.expect("updates were made");
    let far = with("latency = { exponential = [\"20ms\", \"5ms\"] }", "");
    assert!(delay(&far) > 10.0 * delay(&calm), "{far:?}");
    let lossy = with("loss = 0.4", "");
    assert!(lossy.traffic.by_cause["repeat"] > 0.0 && lossy.updates.unreached == 0, "{lossy:?}");
    let doubled = with("duplication = 1", "");
    assert!(doubled.traffic.duplicates as f64 > 1.6 * calm.traffic.duplicates as f64);
    let held_back = with("reordering = 1\nreordered_by = \"100ms\"", "");
    assert!(delay(&held_back) > 10.0 * delay(&calm), "{held_back:?}");
    let flipped = with("corruption = 0.5", "");
    assert!(flipped.traffic.by_cause["repeat"] > 0.0 && flipped.updates.unreached == 0);
    let slow = with(
        "stream_bytes_per_second = 1000",
        "[[at]]\nt = \"4s\"\nwrite = \"big\"\nbytes = 3000\n",
    );
    assert!(slow.convergence.max.is_some_and(|s| s > 3.0), "{slow:?}");

    let split = with("", "[[at]]\nt = \"4s\"\nsplit = \"n6..n11\"\nfor = \"20s\"\n");
    assert!(split.convergence.max.is_some_and(|s| s > 9.0), "{split:?}");
    let cut = with("", "[[at]]\nt = \"4s\"\ncut = \"n0\"\nboth = true\nfor = \"20s\"\n");
    assert!(cut.convergence.max.is_some_and(|s| s > 9.0), "{cut:?}");
    let healed = with(
        "",
        "[[at]]\nt = \"4s\"\ncut = \"n0\"\nboth = true\n[[at]]\nt = \"7s\"\nheal = true\n",
    );
    assert!(healed.convergence.max < cut.convergence.max, "{healed:?}");
    let one_way = with("", "[[at]]\nt = \"4s\"\ncut = \"n0\"\nto = \"n1\"\nfor = \"20s\"\n");
    assert!(one_way.traffic.by_cause["repeat"] > 0.0 && one_way.false_deaths == 0, "{one_way:?}");
    let streams_only = with(
        "",
        "[[at]]\nt = \"4s\"\ncut = \"n0\"\nboth = true\nonly = \"datagrams\"\nfor = \"20s\"\n",
    );
    assert!(streams_only.updates.unreached == 0 && streams_only.alive_at_end == (12, 12));
    assert!(streams_only.traffic.by_cause["delta"] > calm.traffic.by_cause["delta"]);
    let deaf = with("", "[[at]]\nt = \"4s\"\nlossy = \"n0\"\nsent = 1\nfor = \"20s\"\n");
    assert!(delay(&deaf) > 10.0 * delay(&calm), "{deaf:?}");
    let storm = with("", "[[at]]\nt = \"4s\"\nnetwork = { loss = 0.5 }\nfor = \"10s\"\n");
    assert!(storm.traffic.by_cause["repeat"] > 0.0 && storm.groups_at_end == 1);
}

#[test]
fn distance_shows_and_nodes_are_chosen_by_region() {
    let map = "[[network.region]]\nname = \"eu\"\nat = [50.1, 8.7]\n[[network.region]]\nname = \"us\"\nat = [39.0, -77.5]\n";
    let write = "[[at]]\nt = \"5s\"\nwrite = \"k\"\nby = \"region eu\"\n";
    let light = twelve(&format!("{map}{write}"));
    let spread = &light.spreads[0];
    // 46 ms of fibre between the two: half of the nodes know at once, the rest after one or two
    // ways over the sea.
    assert!(spread.curve[4].0 < 0.02 && spread.curve[6].0 > 0.046, "{spread:?}");
    assert!(spread.seconds.is_some_and(|s| (0.046..0.15).contains(&s)), "{spread:?}");
    let given = format!("[network.one_way]\n\"us eu\" = \"300ms\"\n{map}{write}");
    assert!(twelve(&given).spreads[0].seconds.is_some_and(|s| s > 0.3));
    let apart = twelve(&format!("{map}[[at]]\nt = \"5s\"\nsplit = \"region us\"\n")).summary;
    assert_eq!((apart.groups_at_end, apart.alive_at_end), (2, (6, 6)));
}

/// Unknown frames and fields are skipped (K5); another packet layout is another cluster.
#[test]
fn versions_mix_where_the_packet_is_the_same() {
    let mixed = |version: &str| {
        let groups = format!(
            "[[nodes]]\nname = \"old\"\ncount = 6\n[[nodes]]\nname = \"new\"\ncount = 6\nversion = {version}\n"
        );
        run(&format!("profile = \"local\"\nduration = \"30s\"\n{groups}[[at]]\nt = \"5s\"\nwrite = \"k\"\nby = \"group new\"\n")).summary
    };
    let newer = mixed("\"newer\"");
    assert_eq!((newer.updates.reached, newer.groups_at_end, newer.alive_at_end), (1, 1, (12, 12)));
    assert_ne!(newer.trace_hash, mixed("1").trace_hash);
    let other = mixed("2");
    assert_eq!((other.groups_at_end, other.violations.len()), (2, 0), "{other:?}");
}

/// Members that hold the cluster's key and follow nobody's rules: nobody dies of it, and when they
/// stop all is as before. (What a liar can do without signatures is in the closing notes.)
#[test]
fn liars_kill_nobody() {
    let calm = twelve("").summary;
    for lie in ["garbage", "replay", "flood", "accuse", "incarnations"] {
        let s = twelve(&format!(
            "[[at]]\nt = \"3s\"\nwrite = \"k\"\n[[at]]\nt = \"5s\"\nliar = \"n3\"\ndoes = \"{lie}\"\nrate = 100\nfor = \"10s\"\n"
        ))
        .summary;
        assert!(s.traffic.forged > 700, "{lie}: {:?}", s.traffic);
        assert_eq!((s.false_deaths, s.alive_at_end), (0, (12, 12)), "{lie}: {s:?}");
        assert_eq!((s.groups_at_end, s.violations.len()), (1, 0), "{lie}: {:?}", s.violations);
        assert_ne!(s.trace_hash, calm.trace_hash);
    }
}

#[test]
fn a_cluster_forms_by_joining() {
    let text = |every: &str| {
        format!(
            "nodes = 30\nduration = \"20s\"\nstart = \"join\"\njoin_every = \"{every}\"\n[expect]\nmembers_at_end = 30\nequal_within = \"20s\"\n"
        )
    };
    for every in ["50ms", "0s"] {
        let s = run(&text(every)).summary;
        assert!(s.passed(), "{every}: {:?}", s.expectations);
        assert!(s.traffic.by_cause["join"] > 0.0);
    }
}

#[test]
fn expectations_pass_and_fail_by_what_was_found() {
    let judge = |expect: &str| {
        let s = twelve(&format!(
            "[[at]]\nt = \"5s\"\ncrash = \"n3\"\n[[at]]\nt = \"15s\"\nwrite = \"k\"\n[expect]\n{expect}\n"
        ))
        .summary;
        let e = s.expectations[0].clone();
        assert_eq!(s.passed(), e.pass);
        (e.pass, e.line, e.found)
    };
    let table = [
        ("equal_within = \"10s\"", true),
        ("equal_within = \"1us\"", false),
        ("detected_by_one_within = \"10s\"", true),
        ("detected_by_one_within = \"1ms\"", false),
        ("detected_by_all_within = \"10s\"", true),
        ("detected_by_all_within = \"1ms\"", false),
        ("undetected = 0", true),
        ("convergence_p99 = \"1s\"", true),
        ("convergence_p99 = \"10us\"", false),
        ("convergence_max = \"1s\"", true),
        ("convergence_max = \"10us\"", false),
        ("unreached = 0", true),
        ("false_deaths = 0", true),
        ("violations = 0", true),
        ("members_at_end = 11", true),
        ("members_at_end = 12", false),
        ("bytes_per_node_second = 10000", true),
        ("bytes_per_node_second = 1", false),
        ("inbound_max_over_mean = 3", true),
        ("inbound_max_over_mean = 0.5", false),
    ];
    for (expect, pass) in table {
        let (passed, line, found) = judge(expect);
        assert_eq!((passed, line), (pass, 11), "{expect}: found {found}");
    }
    let split = twelve(
        "[[at]]\nt = \"5s\"\nsplit = \"n0..n5\"\n[[at]]\nt = \"28s\"\nwrite = \"k\"\n[[at]]\nt = \"29s\"\ncrash = \"n1\"\n[expect]\nunreached = 0\nundetected = 0\n",
    );
    assert!(split.summary.expectations.iter().all(|e| !e.pass), "{:?}", split.summary.expectations);
    let mut found = split.summary.clone();
    found.false_deaths = 1;
    found.violations.push("rule 0: broken".to_owned());
    let expectations =
        read("nodes = 2\nduration = \"1s\"\n[expect]\nfalse_deaths = 0\n").expectations;
    let judged = scenario::expect::judge(&expectations, &found);
    assert_eq!(judged.len(), 2, "a broken rule fails also where nothing is expected of rules");
    assert!(judged.iter().all(|e| !e.pass), "{judged:?}");
}

/// The guide's table of keys is the parser's list, each with what it takes and what it means.
#[test]
fn the_guide_names_every_key() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulator.md");
    let guide = std::fs::read_to_string(guide).expect("the guide is there");
    let table = guide.split("## Every key").nth(1).expect("a section \"Every key\"");
    let table = table.split("\n## ").next().expect("a section has an end");
    let mut named = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|c| !c.is_empty()), "{row}");
        let keys = cells[0].split(", ").map(|key| key.trim_matches('`').to_owned());
        named.extend(keys);
    }
    let mut known = scenario::keys();
    named.sort();
    known.sort();
    assert_eq!(named, known);
}

/// The examples at the root: all can be read, and the small ones show what they promise.
#[test]
fn the_examples_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the examples are there") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|x| x != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a readable example");
        let file = path.display().to_string();
        let scenario =
            scenario::read(&file, &text, &no_files).unwrap_or_else(|refusal| panic!("{refusal}"));
        seen += 1;
        assert!(!scenario.expectations.is_empty(), "{file} expects nothing");
        if scenario.cast.members.len() <= 100 {
            let outcome = scenario::run(&scenario, scenario.seed, &Work::quiet(1), &mut |_| {});
            let s = outcome.summary;
            assert!(s.passed(), "{file}: {:?} {:?}", s.expectations, s.violations);
        }
    }
    assert!(seen >= 10, "{seen} examples");
}
