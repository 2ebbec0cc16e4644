//! Decides what `tidings plan` takes and prints: the convergence calculator of PAPERS 2.3. It says
//! which timers it models, and states each time with its probability.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};
use tidings_proto::Config;
use tidings_proto::config::Detector;
use tidings_proto::flow::Healing;
use tidings_sim::epidemic::eager::Cluster;
use tidings_sim::epidemic::{FANOUT_MAX, LOSS_MAX, Mode, NODES_MAX, Setting};
use tidings_sim::plan::{
    self, Bound, FANOUT_PROPOSED_MAX, Gossip, Plan, Timers, article_rounds, article_verdict,
};
use tidings_sim::work::Work;
use tidings_sim::{Latency, duration};

use super::{block_on, print_line, read_json, table};
use crate::Failure;
use crate::args::Agent;
use crate::client::Client;
use crate::config;

const MARGIN_MAX: f64 = 10.0;
const PROBABILITY_MAX: f64 = 0.999;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// How many nodes [default with --agent: its live members].
    #[arg(long, value_name = "N", value_parser = nodes, required_unless_present = "agent")]
    nodes: Option<u64>,
    /// Peers told per round; "auto" finds the fewest that meet --target [default: 3, or the
    /// agent's].
    #[arg(long, value_name = "K", value_parser = fanout)]
    fanout: Option<Fanout>,
    /// For --fanout auto: time within which all shall know, in 99 of 100 cases.
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    target: Option<Duration>,
    /// Length of a round [default: 1s, or the agent's tick].
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    interval: Option<Duration>,
    /// Probability that a message is lost.
    #[arg(long, value_name = "P", default_value = "0", value_parser = loss)]
    loss: f64,
    /// push, pull or push-pull [default: push-pull; an agent pushes].
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// When nodes speak [default: synchronous; agent with --profile, --config or --agent].
    #[arg(long, value_name = "TIMERS")]
    timers: Option<Kind>,
    /// Round trip of the network [default: 0; of an agent: what it measured, or its profile's
    /// 200us, 1ms or 100ms].
    #[arg(long, value_name = "DURATION", value_parser = any_duration)]
    rtt: Option<Duration>,
    /// Wait this many times the 99th percentile before you rely on it.
    #[arg(long, value_name = "FACTOR", default_value = "2", value_parser = margin)]
    margin: f64,
    /// Bytes of one message, headers included: adds bytes per node.
    #[arg(long, value_name = "BYTES")]
    payload: Option<u32>,
    /// Also say within which time all know with this probability.
    #[arg(long, value_name = "P", value_parser = probability)]
    probability: Option<f64>,
    /// With the settings of a profile: local, lan or wan.
    #[arg(long, value_name = "PROFILE", conflicts_with_all = ["config", "agent"])]
    profile: Option<String>,
    /// With the settings of an agent's file.
    #[arg(long, value_name = "FILE", conflicts_with = "agent")]
    config: Option<PathBuf>,
    /// With what the running agent reports (see --http-addr).
    #[arg(long)]
    agent: bool,
    /// Seed of the simulated runs.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print JSON on one line; numbers are rounds unless named otherwise.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fanout {
    Auto,
    Fixed(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Kind {
    /// All at once, every interval: what the papers count.
    Synchronous,
    /// Each node at its own phase, every interval.
    Jittered,
    /// As a Tidings agent: at once to a few, then per tick.
    Agent,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Synchronous => "synchronous",
            Kind::Jittered => "jittered",
            Kind::Agent => "agent",
        }
    }
}

/// Where settings come from when they are not flags.
struct Source {
    config: Config,
    nodes: Option<u64>,
    rtt: Duration,
}

/// The question, complete.
struct Asked {
    kind: Kind,
    mode: Mode,
    nodes: u64,
    rtt: Duration,
    /// Fanout and tick are those asked for.
    config: Config,
}

pub(crate) fn run(agent: Result<Client, Failure>, flags: &Flags) -> Result<(), Failure> {
    let source = source(agent, flags)?;
    let mut asked = ask(flags, source)?;
    let work = Work::quiet(flags.seed);
    let stopped = || Failure::Failed("stopped".to_owned());
    let timers = asked.timers(flags.loss);
    timers.check().map_err(|error| {
        let of_flag = ["nodes", "fanout"].iter().any(|flag| error.starts_with(flag));
        Failure::Misuse(format!("{}{error}", if of_flag { "--" } else { "settings: " }))
    })?;
    let plan = match flags.fanout {
        Some(Fanout::Auto) => {
            let (fanout, plan) = choose_fanout(&timers, flags, &work)?;
            asked.config.fanout = fanout as usize;
            plan
        }
        _ => plan::plan(&timers, &work).ok_or_else(stopped)?,
    };
    let timers = asked.timers(flags.loss);
    match flags.json {
        true => print_line(&as_json(flags, &asked, &timers, &plan).to_string()),
        false => print_line(&as_text(flags, &asked, &timers, &plan)),
    }
}

fn source(agent: Result<Client, Failure>, flags: &Flags) -> Result<Option<Source>, Failure> {
    if flags.agent {
        let json = block_on(async { agent?.get("/v1/tidings/status").await })?;
        return reported(&read_json(&json)?).map(Some);
    }
    if flags.profile.is_none() && flags.config.is_none() && flags.timers != Some(Kind::Agent) {
        return Ok(None);
    }
    let agent =
        Agent { profile: flags.profile.clone(), config: flags.config.clone(), ..Agent::default() };
    let settings = config::load(&agent)?.settings;
    let rtt = typical_rtt(&settings.profile);
    Ok(Some(Source { config: settings.gossip, nodes: None, rtt }))
}

/// Round trips of the network that a profile is meant for.
pub(crate) fn typical_rtt(profile: &str) -> Duration {
    Duration::from_micros(match profile {
        "local" => 200,
        "wan" => 100_000,
        _ => 1000,
    })
}

/// What an agent says about its timers, its members and its network.
fn reported(status: &Value) -> Result<Source, Failure> {
    let number = |path: &str| {
        status.pointer(path).and_then(Value::as_f64).ok_or_else(|| {
            Failure::Failed(format!("the agent does not report {path}: is it of this version?"))
        })
    };
    let millis = |path: &str| {
        let ms = number(path)?;
        Duration::try_from_secs_f64(ms / 1000.0)
            .map_err(|_| Failure::Failed(format!("the agent reports {path} {ms}: expected a time")))
    };
    let detector = status.pointer("/timers/detector").and_then(Value::as_str).unwrap_or_default();
    let switch = |path: &str| status.pointer(path).and_then(Value::as_bool).unwrap_or(true);
    let config = Config {
        tick: millis("/timers/tick_ms")?,
        batch: millis("/timers/batch_ms")?,
        fanout: number("/timers/fanout")? as usize,
        eager_fanout: number("/timers/eager_fanout")? as usize,
        transmit_factor: number("/timers/transmit_factor")?,
        probe_period: millis("/timers/probe_period_ms")?,
        probe_timeout: millis("/timers/probe_timeout_ms")?,
        rumours: switch("/timers/rumours"),
        anti_entropy: switch("/timers/anti_entropy"),
        detector: detector.parse().unwrap_or(Detector::Swim),
        ..Config::lan()
    };
    // Until something was measured, the profile's network.
    let profile = status["profile"].as_str().unwrap_or_default();
    let rtt = millis("/rtt/median_ms").unwrap_or_else(|_| typical_rtt(profile));
    Ok(Source { config, nodes: Some(number("/members/alive")? as u64), rtt })
}

fn ask(flags: &Flags, source: Option<Source>) -> Result<Asked, Failure> {
    let kind = flags.timers.unwrap_or(match source {
        Some(_) => Kind::Agent,
        None => Kind::Synchronous,
    });
    let mode = match (flags.mode, kind) {
        (None, Kind::Agent) => Mode::Push,
        (Some(mode), Kind::Agent) if mode != Mode::Push => {
            let text =
                format!("--mode {}: expected push with the timers of an agent", mode.as_str());
            return Err(Failure::Misuse(text));
        }
        (mode, _) => mode.unwrap_or(Mode::PushPull),
    };
    match (flags.fanout, flags.target) {
        (Some(Fanout::Auto), None) => {
            let text = "--fanout auto: expected --target DURATION with it".to_owned();
            return Err(Failure::Misuse(text));
        }
        (Some(Fanout::Auto), _) if kind == Kind::Agent => {
            let text = "--fanout auto: expected synchronous or jittered timers".to_owned();
            return Err(Failure::Misuse(text));
        }
        (None | Some(Fanout::Fixed(_)), Some(target)) => {
            let target = duration::show(target);
            let text = format!("--target {target}: expected --fanout auto with it");
            return Err(Failure::Misuse(text));
        }
        _ => {}
    }
    let bare = Source {
        config: Config { tick: Duration::from_secs(1), ..Config::lan() },
        nodes: None,
        rtt: Duration::ZERO,
    };
    let Source { mut config, nodes, rtt } = source.unwrap_or(bare);
    if let Some(Fanout::Fixed(fanout)) = flags.fanout {
        config.fanout = fanout as usize;
    }
    config.tick = flags.interval.unwrap_or(config.tick);
    let nodes = flags.nodes.or(nodes).unwrap_or(1);
    Ok(Asked { kind, mode, nodes, rtt: flags.rtt.unwrap_or(rtt), config })
}

impl Asked {
    fn timers(&self, loss: f64) -> Timers<'_> {
        let setting = Setting { mode: self.mode, nodes: self.nodes, fanout: self.fanout(), loss };
        let gossip = Gossip { setting, interval: self.config.tick, rtt: self.rtt };
        match self.kind {
            Kind::Synchronous => Timers::Synchronous(gossip),
            Kind::Jittered => Timers::Jittered(gossip),
            Kind::Agent => Timers::Agent(cluster(self.nodes, &self.config, self.rtt, loss)),
        }
    }

    fn healing(&self) -> Option<Healing> {
        Healing::of(&self.config, usize::try_from(self.nodes).unwrap_or(usize::MAX))
    }

    fn fanout(&self) -> u32 {
        self.config.fanout as u32
    }
}

/// Agents on a network whose ways take half a round trip, give or take a half of it.
pub(crate) fn cluster(nodes: u64, config: &Config, rtt: Duration, loss: f64) -> Cluster<'_> {
    let latency = Latency::Uniform(rtt / 4, rtt * 3 / 4);
    Cluster { nodes: nodes as u32, config, latency, loss }
}

fn choose_fanout(
    timers: &Timers<'_>,
    flags: &Flags,
    work: &Work<'_>,
) -> Result<(u32, Plan), Failure> {
    let target = flags.target.unwrap_or_default();
    let chosen = plan::smallest_fanout(timers, target, work)
        .ok_or_else(|| Failure::Failed("stopped".to_owned()))?;
    chosen.map_err(|seconds| {
        Failure::Misuse(format!(
            "--target {}: expected at least {}, which fanout {FANOUT_PROPOSED_MAX} takes; shorten \
             --interval",
            duration::show(target),
            show(seconds)
        ))
    })
}

fn as_json(flags: &Flags, asked: &Asked, timers: &Timers<'_>, plan: &Plan) -> Value {
    let (expected, p50) = (plan.expected(), plan.median());
    let (p99, p999) = (plan.within(0.99), plan.within(0.999));
    let (bound, bound_is) = bound(timers);
    let article = article_rounds(asked.nodes, asked.fanout());
    let error = article as f64 - expected;
    let mut json = json!({
        "nodes": asked.nodes,
        "mode": asked.mode.as_str(),
        "fanout": asked.fanout(),
        "loss": flags.loss,
        "timers": asked.kind.as_str(),
        "model": model(asked, plan),
        "runs": plan.runs(),
        "seconds_interval": asked.config.tick.as_secs_f64(),
        "seconds_rtt": asked.rtt.as_secs_f64(),
        "expected": expected,
        "p50": p50,
        "p99": p99,
        "p999": p999,
        "lower_bound": bound,
        "lower_bound_is": bound_is,
        "article_rounds": article,
        "article_error": error,
        "article_is": article_verdict(asked.fanout(), error),
        "messages_per_node": plan.messages_per_node,
        "bytes_per_node": flags.payload.map(|bytes| plan.messages_per_node * f64::from(bytes)),
        "seconds_expected": plan.seconds(expected),
        "seconds_p50": plan.seconds(p50),
        "seconds_p99": plan.seconds(p99),
        "seconds_p999": plan.seconds(p999),
        "margin": flags.margin,
        "seconds_with_margin": flags.margin * plan.seconds(p99),
    });
    if asked.kind == Kind::Agent {
        json["eager_fanout"] = json!(asked.config.eager_fanout);
        let healing = asked.healing();
        json["seconds_equal_within"] = json!(healing.map(|h| h.total().as_secs_f64()));
        let part = |(name, time): (&str, Duration)| (name.to_owned(), json!(time.as_secs_f64()));
        json["seconds_equal_parts"] =
            healing.map_or(Value::Null, |h| h.parts().into_iter().map(part).collect());
    }
    if let Some(forecast) = timers.mean_field() {
        json["mean_field"] = json!({
            "expected": forecast.expected(),
            "p50": forecast.quantile(0.5),
            "p99": forecast.quantile(0.99),
            "p999": forecast.quantile(0.999),
        });
    }
    if let Some(p) = flags.probability {
        let rounds = plan.within(p);
        json["probability"] = json!(p);
        json["rounds_with_probability"] = json!(rounds);
        json["seconds_with_probability"] = json!(plan.seconds(rounds));
    }
    json
}

fn as_text(flags: &Flags, asked: &Asked, timers: &Timers<'_>, plan: &Plan) -> String {
    let line = |what: &str, rounds: f64, note: String| {
        vec![what.to_owned(), figure(rounds), show(plan.seconds(rounds)), note]
    };
    let mut rows = Vec::new();
    if let (Some(rounds), is) = bound(timers) {
        rows.push(line("lower bound", f64::from(rounds), is.to_owned()));
    }
    rows.push(line("expected", plan.expected(), "mean".to_owned()));
    rows.push(line("p50", plan.median(), String::new()));
    rows.push(line("p99", plan.within(0.99), "all know in 99 of 100 cases".to_owned()));
    rows.push(line("p99.9", plan.within(0.999), "in 999 of 1,000".to_owned()));
    if let Some(p) = flags.probability {
        rows.push(line("as asked", plan.within(p), format!("all know with probability {p}")));
    }
    if let Some(forecast) = timers.mean_field() {
        let note = format!("a formula's mean; its p99 is {}", forecast.quantile(0.99));
        rows.push(line("mean field", forecast.expected(), note));
    }
    let article = article_rounds(asked.nodes, asked.fanout());
    let error = article as f64 - plan.expected();
    let formula = if asked.fanout() <= 1 { "N - 1" } else { "ceil(log_k N)" };
    let verdict = article_verdict(asked.fanout(), error);
    let note = format!("{formula}: {verdict}, off by {}", figure(error));
    rows.push(line("article", article as f64, note));
    let bytes = flags.payload.map_or_else(String::new, |bytes| {
        format!(", {:.0} bytes", plan.messages_per_node * f64::from(bytes))
    });
    format!(
        "{}\n\n{}\n\nWait {} before you rely on it: {} times p99. No time is certain.\n\
         Cost until then: {:.1} messages{bytes} per node.",
        model(asked, plan),
        table(&["", "rounds", "time", ""], rows),
        show(flags.margin * plan.seconds(plan.within(0.99))),
        flags.margin,
        plan.messages_per_node,
    ) + &after_faults(asked)
}

/// The bound of rule 6, which is of an agent's settings and of no single update.
fn after_faults(asked: &Asked) -> String {
    if asked.kind != Kind::Agent {
        return String::new();
    }
    let Some(healing) = asked.healing() else {
        return "\nAfter faults: no bound, as anti-entropy is off.".to_owned();
    };
    let part = |(name, time): (&str, Duration)| format!("{name} {}", show(time.as_secs_f64()));
    let parts: Vec<String> = healing.parts().into_iter().map(part).collect();
    let total = show(healing.total().as_secs_f64());
    format!("\nAfter faults: all equal within {total} ({}).", parts.join(", "))
}

/// What was simulated, in a sentence.
fn model(asked: &Asked, plan: &Plan) -> String {
    let (nodes, fanout) = (asked.nodes, asked.fanout());
    let (mode, interval) = (asked.mode.as_str(), duration::show(asked.config.tick));
    let how = match asked.kind {
        Kind::Synchronous => {
            format!("{mode} with {fanout} each in synchronous rounds of {interval}, counted")
        }
        Kind::Jittered => {
            format!(
                "{mode} with {fanout} each every {interval} at phases of their own, node by node"
            )
        }
        Kind::Agent => format!(
            "agents at rest, each telling {} at once and {fanout} per tick of {interval}, node by \
             node; a round is a tick",
            asked.config.eager_fanout
        ),
    };
    let rtt = duration::show(asked.rtt);
    format!("{nodes} nodes, {how}; round trip {rtt}; {} runs", plan.runs())
}

fn bound(timers: &Timers<'_>) -> (Option<u32>, &'static str) {
    match timers.bound() {
        Bound::Hard(rounds) => (Some(rounds), "hard: each that knows tells k more"),
        Bound::Typical(rounds) => (Some(rounds), "typical growth: luck may beat it"),
        Bound::None => (Some(0), "none: news chains inside a round"),
    }
}

fn figure(rounds: f64) -> String {
    let text = format!("{rounds:.2}");
    text.strip_suffix(".00").unwrap_or(&text).to_owned()
}

fn show(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.1} ms", s * 1000.0),
        s if s < 120.0 => format!("{s:.2} s"),
        s => format!("{s:.0} s"),
    }
}

// ---- values of flags; clap names the flag and the value

fn nodes(text: &str) -> Result<u64, String> {
    let fits = |n: &u64| (1..=NODES_MAX).contains(n);
    text.parse().ok().filter(fits).ok_or_else(|| format!("expected 1 to {NODES_MAX}"))
}

fn fanout(text: &str) -> Result<Fanout, String> {
    if text == "auto" {
        return Ok(Fanout::Auto);
    }
    let fits = |k: &u32| (1..=FANOUT_MAX).contains(k);
    let fixed = text.parse().ok().filter(fits).map(Fanout::Fixed);
    fixed.ok_or_else(|| format!("expected 1 to {FANOUT_MAX}, or auto"))
}

fn loss(text: &str) -> Result<f64, String> {
    let fits = |p: &f64| (0.0..=LOSS_MAX).contains(p);
    let expected = || format!("expected 0 to {LOSS_MAX}; at 1 nothing ever arrives");
    text.parse().ok().filter(fits).ok_or_else(expected)
}

fn margin(text: &str) -> Result<f64, String> {
    let fits = |m: &f64| (1.0..=MARGIN_MAX).contains(m);
    text.parse().ok().filter(fits).ok_or_else(|| format!("expected 1 to {MARGIN_MAX}"))
}

fn probability(text: &str) -> Result<f64, String> {
    let fits = |p: &f64| *p > 0.0 && *p <= PROBABILITY_MAX;
    let expected = || format!("expected above 0, to {PROBABILITY_MAX}; nothing is certain");
    text.parse().ok().filter(fits).ok_or_else(expected)
}

fn any_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "expected a duration such as 500ms or 5s".to_owned())
}

fn positive(text: &str) -> Result<Duration, String> {
    let above_zero = |d: &Duration| !d.is_zero();
    let expected = || "expected a duration above 0, such as 500ms or 5s".to_owned();
    duration::parse(text).filter(above_zero).ok_or_else(expected)
}
