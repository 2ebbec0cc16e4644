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
        let actual = match run(&script) {
            Ok(ran) => ran.text,
            Err(why) => panic!("{}:{why}", path.display()),
        };
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

/// What a script really does.
#[derive(Debug)]
pub struct Ran {
    /// The script with the output that it really has.
    pub text: String,
    pub trace_hash: u128,
}

/// Runs one script. The error names a line, what stands there and what was expected.
pub fn run(script: &str) -> Result<Ran, String> {
    let mut stage = Stage {
        seed: 1,
        settings: events_as_text(),
        world: World::new(1, events_as_text()),
        config: Config::lan(),
    };
    let mut out = String::new();
    let (mut shown, mut commands, mut expected) = (Vec::new(), false, false);
    let numbered = script.lines().enumerate().map(|(n, line)| (n + 1, line));
    for (number, line) in numbered.chain([(0, "")]) {
        if line.is_empty() {
            if commands {
                shown.extend(stage.world.trace_lines());
                out.push_str("----\n");
                for line in shown.drain(..) {
                    let _ = writeln!(out, "{line}");
                }
            }
            if !out.is_empty() && !out.ends_with("\n\n") {
                out.push('\n');
            }
            (commands, expected) = (false, false);
        } else if line == "----" {
            expected = true;
        } else if !expected {
            let _ = writeln!(out, "{line}");
            if !line.starts_with('#') && !line.trim().is_empty() {
                commands = true;
                stage
                    .command(line, &mut shown)
                    .map_err(|why| format!("{number}: {}: {why}", line.trim()))?;
            }
        }
    }
    out.truncate(out.trim_end_matches('\n').len());
    out.push('\n');
    Ok(Ran { text: out, trace_hash: stage.world.trace_hash() })
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

/// Nodes in one script.
const NODES_MAX: usize = 10_000;

impl Stage {
    fn command(&mut self, line: &str, shown: &mut Vec<String>) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, args) = (words[0], &words[1..]);
        match verb {
            "world" => self.create(args),
            "converged" => {
                let n = parse(args, 0, "a number of nodes up to 10000")?;
                if n > NODES_MAX {
                    return Err(format!("expected at most {NODES_MAX} nodes"));
                }
                self.world = World::converged(self.seed, self.settings.clone(), n, &self.config);
                Ok(())
            }
            "run" => {
                self.world.run_for(duration(word(args, 0, "a duration")?)?);
                Ok(())
            }
            "quiet" => {
                drop(self.world.trace_lines());
                Ok(())
            }
            "members" | "get" | "equal" | "check" => self.show(verb, args, shown),
            "cut" | "cut-one-way" | "split" | "heal" | "loss" => self.network(verb, args),
            "crash" | "destroy" | "restart" | "pause" | "resume" | "step-clock" => {
                self.fault(verb, args)
            }
            _ => self.user(verb, args),
        }
    }

    fn create(&mut self, args: &[&str]) -> Result<(), String> {
        for arg in args {
            let (key, value) =
                arg.split_once('=').ok_or_else(|| format!("{arg:?}: expected SETTING=VALUE"))?;
            let bad = |expected: &str| format!("{key} = {value:?}: expected {expected}");
            match key {
                "seed" => self.seed = value.parse().map_err(|_| bad("a whole number"))?,
                "loss" => self.settings.conditions.loss = probability(value)?,
                "durable" => self.config.durable = value == "true",
                "profile" => {
                    let durable = self.config.durable;
                    let profile = crate::setting::profile(value);
                    let profile = profile.ok_or_else(|| bad("local, lan or wan"))?;
                    self.config = Config { durable, ..profile };
                }
                _ => {
                    return Err(format!(
                        "unknown setting {key:?}: expected seed, loss, durable or profile"
                    ));
                }
            }
        }
        self.world = World::new(self.seed, self.settings.clone());
        Ok(())
    }

    fn user(&mut self, verb: &str, args: &[&str]) -> Result<(), String> {
        if verb == "node" {
            for name in args {
                if self.world.host_named(name).is_some() || self.world.len() == NODES_MAX {
                    return Err(format!("{name:?}: expected a new name, and at most {NODES_MAX}"));
                }
                self.world.add_node(name, self.config.clone());
            }
            return Ok(());
        }
        const VERBS: [&str; 7] = ["join", "leave", "force-leave", "set", "delete", "emit", "tag"];
        if !VERBS.contains(&verb) {
            return Err(format!(
                "unknown command {verb:?}: expected one of those in crates/sim/src/script.rs"
            ));
        }
        let host = self.running(args, 0)?;
        let rest = |n: usize| args.get(n).map_or(String::new(), |w| (*w).to_owned());
        let command = match verb {
            "join" => {
                let to: Result<Vec<usize>, String> =
                    (1..args.len()).map(|n| self.host(args, n)).collect();
                let to = to?;
                self.world.set_join(host, &to);
                let addrs = to.iter().map(|&t| self.world.addr(t)).collect();
                Command::Join { addrs, retry: true }
            }
            "leave" => Command::Leave,
            "force-leave" => {
                Command::ForceLeave { name: rest(1), prune: args.get(2) == Some(&"prune") }
            }
            "set" | "delete" => {
                let text = args.get(2..).map_or(String::new(), |words| words.join(" "));
                let writes =
                    vec![(rest(1).into_bytes(), (verb == "set").then(|| text.into_bytes()))];
                Command::Write { keyspace: "kv".to_owned(), writes }
            }
            "emit" => Command::Emit { name: rest(1), payload: rest(2).into_bytes() },
            _ => {
                let pair = |w: &&str| {
                    let (k, v) = w.split_once('=').ok_or(format!("{w:?}: expected KEY=VALUE"))?;
                    Ok((k.to_owned(), v.to_owned()))
                };
                let set: Result<Vec<_>, String> = args[1..].iter().map(pair).collect();
                Command::SetTags { set: set?, unset: Vec::new() }
            }
        };
        self.world.command(host, command);
        Ok(())
    }

    fn fault(&mut self, verb: &str, args: &[&str]) -> Result<(), String> {
        let host = self.host(args, 0)?;
        let (up, paused) = (self.world.is_up(host), self.world.is_paused(host));
        let fits = match verb {
            "crash" | "destroy" => up,
            "restart" => !up,
            "pause" => up && !paused,
            "resume" => paused,
            _ => true,
        };
        if !fits {
            let state = if paused {
                "stopped"
            } else if up {
                "running"
            } else {
                "down"
            };
            return Err(format!("{} is {state}", args[0]));
        }
        match verb {
            "crash" => self.world.crash(host),
            "destroy" => self.world.destroy(host),
            "restart" => self.world.restart(host),
            "pause" => self.world.pause(host),
            "resume" => self.world.resume(host),
            _ => {
                let text = word(args, 1, "a duration")?;
                let back = text.strip_prefix('-');
                let by = duration(back.unwrap_or(text))?.as_millis() as i64;
                self.world.clock_mut(host).step_wall(if back.is_some() { -by } else { by });
            }
        }
        Ok(())
    }

    fn network(&mut self, verb: &str, args: &[&str]) -> Result<(), String> {
        match verb {
            "cut" => self.world.net.cut(self.host(args, 0)?, self.host(args, 1)?),
            "cut-one-way" => {
                self.world.net.cut_one_way(self.host(args, 0)?, self.host(args, 1)?);
            }
            "split" => {
                let side: Result<Vec<usize>, String> =
                    (0..args.len()).map(|n| self.host(args, n)).collect();
                self.world.split_off(side?);
            }
            "heal" => self.world.net.heal(),
            _ => self.world.net.conditions.loss = probability(word(args, 0, "a probability")?)?,
        }
        Ok(())
    }

    fn show(&mut self, verb: &str, args: &[&str], shown: &mut Vec<String>) -> Result<(), String> {
        shown.extend(self.world.trace_lines());
        match verb {
            "members" => {
                let mut lines: Vec<String> = self
                    .world
                    .view(self.up(args, 0)?)
                    .members()
                    .map(|m| format!("  {} {} inc={}", m.name, m.status.as_str(), m.incarnation))
                    .collect();
                lines.sort();
                shown.extend(lines);
            }
            "get" => {
                let value = self.world.get(self.up(args, 0)?, word(args, 1, "a key")?);
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
        Ok(())
    }

    fn host(&self, args: &[&str], n: usize) -> Result<usize, String> {
        let name = word(args, n, "the name of a node")?;
        self.world.host_named(name).ok_or_else(|| format!("no node is named {name:?}"))
    }

    fn up(&self, args: &[&str], n: usize) -> Result<usize, String> {
        let host = self.host(args, n)?;
        self.world.is_up(host).then_some(host).ok_or_else(|| format!("{} is down", args[n]))
    }

    fn running(&self, args: &[&str], n: usize) -> Result<usize, String> {
        let host = self.up(args, n)?;
        let stopped = self.world.is_paused(host);
        (!stopped).then_some(host).ok_or_else(|| format!("{} is stopped", args[n]))
    }
}

fn word<'a>(args: &[&'a str], n: usize, expected: &str) -> Result<&'a str, String> {
    args.get(n).copied().ok_or_else(|| format!("expected {expected}"))
}

fn parse<T: std::str::FromStr>(args: &[&str], n: usize, expected: &str) -> Result<T, String> {
    let text = word(args, n, expected)?;
    text.parse().map_err(|_| format!("{text:?}: expected {expected}"))
}

fn probability(text: &str) -> Result<f64, String> {
    let p = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    p.ok_or_else(|| format!("{text:?}: expected a probability from 0 to 1"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = crate::duration::parse(text);
    read.ok_or_else(|| format!("{text:?}: expected a duration such as 500ms or 5s"))
}

/// The first lines that differ, as expected and as found.
pub fn difference(expected: &str, actual: &str) -> String {
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
