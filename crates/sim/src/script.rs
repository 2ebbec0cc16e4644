//! Decides how scenarios are written as text: commands, then under `----` the trace that they
//! must produce. `REWRITE=1` regenerates; commit a rewrite only if you understand every line.
//!
//! A script is a list of blocks separated by blank lines. Lines that start with `#` are kept and
//! ignored. A block's output is what happened since the block before: events of every node,
//! replies, faults, and what `show` commands print.
//!
//! ```text
//! world seed=1 profile=lan loss=0.1   first line; settings of all nodes
//! node a b c                          start nodes that know nobody
//! converged 5                         start n0..n4 that know each other
//! join b a          leave a           force-leave a b [prune]
//! set a key value   delete a key      emit a name payload     tag a k=v
//! run 5s            quiet             (`quiet`: say nothing of what happened so far)
//! crash a | destroy a | restart a | pause a | resume a
//! cut a b | cut-one-way a b | split a b (against the rest) | heal | loss 0.3
//! step-clock a -600s
//! members a | get a key | equal | check
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::io::Command;

use crate::trace::Text;
use crate::world::{World, WorldConfig};

/// Runs every script of a folder, in order of name; panics with all differences.
pub fn run_folder(folder: &Path) {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|x| x == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no scripts", folder.display());
    let mut failures = String::new();
    for path in paths {
        let script = std::fs::read_to_string(&path).expect("a script is readable text");
        let actual = run(&script);
        if actual == script {
            continue;
        }
        if rewrite {
            std::fs::write(&path, actual).expect("a script can be rewritten");
        } else {
            let differences = difference(&script, &actual);
            let _ = writeln!(failures, "{} (REWRITE=1 regenerates)\n{differences}", path.display());
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Runs one script; returns it with the output that it really has.
pub fn run(script: &str) -> String {
    let mut stage = Stage {
        seed: 1,
        settings: events_as_text(),
        world: World::new(1, events_as_text()),
        config: Config::lan(),
    };
    let mut out = String::new();
    for block in script.split("\n\n").map(|b| b.trim_matches('\n')).filter(|b| !b.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        let mut shown = Vec::new();
        let mut commands = false;
        for line in block.lines().take_while(|line| *line != "----") {
            let _ = writeln!(out, "{line}");
            if !line.starts_with('#') && !line.trim().is_empty() {
                commands = true;
                stage.command(line, &mut shown);
            }
        }
        shown.extend(stage.world.trace_lines());
        if commands {
            out.push_str("----\n");
        }
        for line in shown {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn events_as_text() -> WorldConfig {
    WorldConfig { text: Text::Events, ..WorldConfig::default() }
}

struct Stage {
    seed: u64,
    settings: WorldConfig,
    world: World,
    config: Config,
}

impl Stage {
    fn command(&mut self, line: &str, shown: &mut Vec<String>) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, args) = (words[0], &words[1..]);
        match verb {
            "world" => self.create(args),
            "converged" => {
                let n = args[0].parse().expect("a number of nodes");
                self.world = World::converged(self.seed, self.settings.clone(), n, &self.config);
            }
            "run" => self.world.run_for(duration(args[0])),
            "quiet" => drop(self.world.trace_lines()),
            "members" | "get" | "equal" | "check" => self.show(verb, args, shown),
            "cut" | "cut-one-way" | "split" | "heal" | "loss" => self.network(verb, args),
            "crash" | "destroy" | "restart" | "pause" | "resume" | "step-clock" => {
                self.fault(verb, args);
            }
            _ => self.user(verb, args, line),
        }
    }

    fn create(&mut self, args: &[&str]) {
        for arg in args {
            let (key, value) = arg.split_once('=').expect("setting=value");
            match key {
                "seed" => self.seed = value.parse().expect("a seed"),
                "loss" => self.settings.conditions.loss = value.parse().expect("a probability"),
                "durable" => self.config.durable = value == "true",
                "profile" => {
                    let durable = self.config.durable;
                    let profile = match value {
                        "local" => Config::local(),
                        "lan" => Config::lan(),
                        "wan" => Config::wan(),
                        other => panic!("profile {other:?}: expected local, lan or wan"),
                    };
                    self.config = Config { durable, ..profile };
                }
                other => panic!("world setting {other:?} is unknown"),
            }
        }
        self.world = World::new(self.seed, self.settings.clone());
    }

    fn user(&mut self, verb: &str, args: &[&str], line: &str) {
        if verb == "node" {
            for name in args {
                self.world.add_node(name, self.config.clone());
            }
            return;
        }
        let host = self.host(args[0]);
        let rest = |n: usize| args.get(n).map_or(String::new(), |w| (*w).to_owned());
        let command = match verb {
            "join" => {
                let addrs = args[1..].iter().map(|a| self.world.addr(self.host(a))).collect();
                self.world
                    .set_join(host, &args[1..].iter().map(|a| self.host(a)).collect::<Vec<_>>());
                Command::Join { addrs, retry: true }
            }
            "leave" => Command::Leave,
            "force-leave" => {
                Command::ForceLeave { name: rest(1), prune: args.get(2) == Some(&"prune") }
            }
            "set" | "delete" => {
                let value = (verb == "set").then(|| args[2..].join(" ").into_bytes());
                let writes = vec![(rest(1).into_bytes(), value)];
                Command::Write { keyspace: "kv".to_owned(), writes }
            }
            "emit" => Command::Emit { name: rest(1), payload: rest(2).into_bytes() },
            "tag" => {
                let pair = |w: &&str| {
                    let (k, v) = w.split_once('=').expect("tag=value");
                    (k.to_owned(), v.to_owned())
                };
                Command::SetTags { set: args[1..].iter().map(pair).collect(), unset: Vec::new() }
            }
            _ => panic!("script command is unknown: {line}"),
        };
        self.world.command(host, command);
    }

    fn fault(&mut self, verb: &str, args: &[&str]) {
        let host = self.host(args[0]);
        match verb {
            "crash" => self.world.crash(host),
            "destroy" => self.world.destroy(host),
            "restart" => self.world.restart(host),
            "pause" => self.world.pause(host),
            "resume" => self.world.resume(host),
            _ => {
                let back = args[1].strip_prefix('-');
                let by = duration(back.unwrap_or(args[1])).as_millis() as i64;
                self.world.clock_mut(host).step_wall(if back.is_some() { -by } else { by });
            }
        }
    }

    fn network(&mut self, verb: &str, args: &[&str]) {
        match verb {
            "cut" => self.world.net.cut(self.host(args[0]), self.host(args[1])),
            "cut-one-way" => self.world.net.cut_one_way(self.host(args[0]), self.host(args[1])),
            "split" => {
                let side: Vec<usize> = args.iter().map(|a| self.host(a)).collect();
                self.world.split_off(side);
            }
            "heal" => self.world.net.heal(),
            _ => self.world.net.conditions.loss = args[0].parse().expect("a probability"),
        }
    }

    fn show(&mut self, verb: &str, args: &[&str], shown: &mut Vec<String>) {
        shown.extend(self.world.trace_lines());
        match verb {
            "members" => {
                let mut lines: Vec<String> = self
                    .world
                    .view(self.host(args[0]))
                    .members()
                    .map(|m| format!("  {} {} inc={}", m.name, m.status.as_str(), m.incarnation))
                    .collect();
                lines.sort();
                shown.extend(lines);
            }
            "get" => {
                let value = self.world.get(self.host(args[0]), args[1]);
                let value = value.map(|v| String::from_utf8_lossy(&v).into_owned());
                shown.push(format!("  {}", value.as_deref().unwrap_or("(none)")));
            }
            "equal" => shown.push(match crate::check::equal_states(&self.world) {
                Ok(()) => "  all equal".to_owned(),
                Err(difference) => format!("  {difference}"),
            }),
            _ => shown.push(match self.world.check_quiet() {
                Ok(()) => "  all rules hold".to_owned(),
                Err(broken) => format!("  {broken}"),
            }),
        }
    }

    fn host(&self, name: &str) -> usize {
        self.world.host_named(name).unwrap_or_else(|| panic!("no node is named {name:?}"))
    }
}

fn duration(text: &str) -> Duration {
    let number = |suffix: &str| text.strip_suffix(suffix).and_then(|n| n.parse::<u64>().ok());
    if let Some(ms) = number("ms") {
        return Duration::from_millis(ms);
    }
    if let Some(s) = number("s") {
        return Duration::from_secs(s);
    }
    match number("m") {
        Some(m) => Duration::from_secs(60 * m),
        None => panic!("duration {text:?}: expected a number with ms, s or m"),
    }
}

fn difference(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<_>, Vec<_>) =
        (expected.lines().collect(), actual.lines().collect());
    let at = expected.iter().zip(&actual).take_while(|(a, b)| a == b).count();
    let mut text = format!("  first difference at line {}\n", at + 1);
    for line in expected[at..].iter().take(12) {
        let _ = writeln!(text, "  - {line}");
    }
    for line in actual[at..].iter().take(12) {
        let _ = writeln!(text, "  + {line}");
    }
    text
}
