//! Decides whether what `tidings sim fuzz` found stays mended. `found/` holds scenarios that failed,
//! as `--shrink` left them: each file is named for what was wrong.

use std::path::Path;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::io::Command;
use tidings_sim::WorldConfig;
use tidings_sim::setup::joined;
use tidings_sim::swarm::{NO_RULE, Scenario, run_scenario};
use tidings_sim::trace::Text;

#[test]
fn scenarios_that_failed_once_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder of scenarios")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable scenario");
        let scenario = Scenario::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        if let Err(broken) = run_scenario(&scenario, Text::Off, NO_RULE) {
            panic!("{}: {}", file.display(), broken.rule);
        }
    }
}

/// Row B8: a group whose parts were overwritten by another group before they were told becomes
/// visible by rumours alone.
#[test]
fn a_group_overwritten_by_a_group_is_complete_without_anti_entropy() {
    let config = Config { anti_entropy: false, ..Config::local() };
    let mut world = joined(1, WorldConfig::default(), 2, &config);
    let group = |keys: &[&str], value: &str| Command::Write {
        keyspace: "kv".to_owned(),
        writes: keys.iter().map(|k| (k.as_bytes().to_vec(), Some(value.into()))).collect(),
    };
    world.command(0, group(&["a", "b", "c"], "first"));
    world.command(0, group(&["b", "c", "d"], "second"));
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.get(1, "d").as_deref(), Some(&b"second"[..]));
    assert_eq!(world.get(1, "a").as_deref(), Some(&b"first"[..]));
    assert_eq!(world.view(0).vector(), world.view(1).vector());
}

/// Rules 2 and 4: two writes of one key on their way to the disk keep their order, though the first
/// was stamped ahead of a slow clock and the second could have been stamped by it.
#[test]
fn a_write_is_stamped_above_one_that_waits_for_the_disk() {
    let config = Config { durable: true, ..Config::local() };
    let mut world = joined(1, WorldConfig::default(), 3, &config);
    world.clock_mut(1).step_wall(-36_000);
    world.set(2, "ahead", "v");
    world.run_for(Duration::from_millis(500));
    let both = [b"ahead".as_slice(), b"k"].map(|k| (k.to_vec(), Some(b"first".to_vec())));
    world.command(1, Command::Write { keyspace: "kv".to_owned(), writes: both.to_vec() });
    world.set(1, "k", "second");
    world.run_for(Duration::from_secs(2));
    for host in 0..3 {
        assert_eq!(world.get(host, "k").as_deref(), Some(&b"second"[..]), "at {host}");
    }
    world.crash(1);
    world.restart(1);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.get(1, "k").as_deref(), Some(&b"second"[..]));
    assert_eq!(world.check_quiet(), Ok(()));
}
