//! Decides what `tidings advise` asks and prints: which of gossip and consensus fits, why, and what
//! gossip then promises.

mod rules;

use std::io::IsTerminal;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use tidings_proto::Config;
use tidings_sim::duration;
use tidings_sim::epidemic::{Mode, NODES_MAX, Setting};
use tidings_sim::plan::{Gossip, NODE_BY_NODE_MAX, Plan, Timers};
use tidings_sim::work::Work;

use self::rules::{
    Advice, Choice, Consistency, Deadline, Means, Need, Partition, Recommendation, Requirements,
};
use super::plan::cluster;
use super::{print, print_line};
use crate::Failure;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// What it is for; may be repeated, or separated by commas. Without any: questions.
    #[arg(long, value_name = "NEED", value_delimiter = ',')]
    need: Vec<Need>,
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=NODES_MAX))]
    nodes: u64,
    /// What a read may answer.
    #[arg(long, value_name = "LEVEL", default_value = "eventual")]
    consistency: Consistency,
    /// How old what is read may be, in 99 of 100 cases.
    #[arg(long, value_name = "DURATION", value_parser = span)]
    staleness: Option<Duration>,
    /// What lateness is.
    #[arg(long, value_name = "KIND", default_value = "soft")]
    deadline: Deadline,
    /// Whether a leader and a majority may be needed.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes")]
    coordinator_acceptable: Option<Choice>,
    /// What a side of a split does.
    #[arg(long, value_name = "KIND")]
    partition_behaviour: Option<Partition>,
    /// Some members may lie.
    #[arg(long)]
    untrusted_members: bool,
    /// Round trip of the network.
    #[arg(long, value_name = "DURATION", default_value = "1ms", value_parser = span)]
    rtt: Duration,
    /// Print JSON on one line.
    #[arg(long)]
    json: bool,
}

/// A profile and what it promises here.
struct Offer {
    profile: &'static str,
    plan: Plan,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let asked;
    let flags = match flags.need.is_empty() {
        true => {
            asked = ask()?;
            &asked
        }
        false => flags,
    };
    let mut requirements = Requirements {
        needs: flags.need.clone(),
        consistency: flags.consistency,
        deadline: flags.deadline,
        partition: flags.partition_behaviour,
        coordinator: flags.coordinator_acceptable,
        untrusted_members: flags.untrusted_members,
        staleness: None,
    };
    requirements.needs.sort_unstable();
    requirements.needs.dedup();
    let mut advice = rules::advise(&requirements);
    let gossips = |advice: &Advice| advice.needs.iter().any(|v| v.means == Means::Gossip);
    let mut offer = gossips(&advice).then(|| offer(flags));
    if let (Some(offer), Some(most)) = (&offer, flags.staleness) {
        requirements.staleness = Some((most.as_secs_f64(), offer.p99()));
        advice = rules::advise(&requirements);
    }
    offer = offer.filter(|_| gossips(&advice));
    match flags.json {
        true => print_line(&as_json(flags, &advice, offer.as_ref()).to_string()),
        false => print_line(&as_text(flags, &advice, offer.as_ref())),
    }
}

impl Offer {
    fn p99(&self) -> f64 {
        self.plan.seconds(self.plan.within(0.99))
    }
}

/// The profile for this network; the quicker one where the first is too slow for what is asked.
fn offer(flags: &Flags) -> Offer {
    let far = flags.rtt >= Duration::from_millis(20);
    let profiles: &[(&'static str, Config)] = match far {
        true => &[("wan", Config::wan())],
        false => &[("lan", Config::lan()), ("local", Config::local())],
    };
    let offers = profiles.iter().map(|(profile, config)| {
        let plan = tidings_sim::plan::plan(&timers(flags, config), &Work::quiet(1));
        Offer { profile, plan: plan.expect("nothing stops this work") }
    });
    let enough = |offer: &Offer| flags.staleness.is_none_or(|s| offer.p99() <= s.as_secs_f64());
    let mut best = None;
    for offer in offers {
        let fits = enough(&offer);
        best = Some(offer);
        if fits {
            break;
        }
    }
    best.expect("there is a profile for every network")
}

/// An agent's own; beyond what is simulated node by node, synchronous rounds, which are slower.
fn timers<'a>(flags: &Flags, config: &'a Config) -> Timers<'a> {
    let Flags { nodes, rtt, .. } = *flags;
    if nodes <= NODE_BY_NODE_MAX {
        return Timers::Agent(cluster(nodes, config, rtt, 0.0));
    }
    let setting = Setting { mode: Mode::Push, nodes, fanout: config.fanout as u32, loss: 0.0 };
    Timers::Synchronous(Gossip { setting, interval: config.tick, rtt })
}

fn as_json(flags: &Flags, advice: &Advice, offer: Option<&Offer>) -> serde_json::Value {
    let mut json = json!(advice);
    json["nodes"] = json!(flags.nodes);
    json["profile"] = json!(offer.map(|o| o.profile));
    json["plan"] = json!(offer.map(|Offer { plan, .. }| json!({
        "seconds_expected": plan.seconds(plan.expected()),
        "seconds_p50": plan.seconds(plan.median()),
        "seconds_p99": plan.seconds(plan.within(0.99)),
        "seconds_p999": plan.seconds(plan.within(0.999)),
        "messages_per_node": plan.messages_per_node,
    })));
    json
}

fn as_text(flags: &Flags, advice: &Advice, offer: Option<&Offer>) -> String {
    let title = match advice.recommendation {
        Recommendation::Gossip => "gossip",
        Recommendation::Consensus => "consensus",
        Recommendation::Both => "both, with a bridge",
        Recommendation::Neither => "neither",
    };
    let mut lines = vec![format!("Recommendation: {title}"), String::new()];
    for verdict in &advice.needs {
        let means = match verdict.means {
            Means::Gossip => "gossip",
            Means::Consensus => "consensus",
            Means::Neither => "neither",
        };
        lines.push(format!("{:<19}{means}", name(verdict.need)));
        if verdict.refused_by_gossip {
            lines.push("  refused by gossip".to_owned());
        }
        lines.push(format!("  {}", verdict.why));
        lines.push(format!("  see {}", verdict.see));
    }
    if !advice.reasons.is_empty() {
        lines.push(String::new());
        lines.extend(advice.reasons.iter().cloned());
    }
    if let Some(Offer { profile, plan }) = offer {
        let rtt = duration::show(flags.rtt);
        lines.push(String::new());
        lines.push(format!(
            "Settings: tidings agent --profile {profile} (docs/tuning.md). With {} nodes, {rtt} round \
             trip, an update is everywhere within",
            flags.nodes
        ));
        for (share, rounds) in [
            ("in the mean", plan.expected()),
            ("in 99 of 100 cases", plan.within(0.99)),
            ("in 999 of 1,000", plan.within(0.999)),
        ] {
            lines.push(format!("  {:>8.1} ms  {share}", plan.seconds(rounds) * 1e3));
        }
        lines.push(format!(
            "More: tidings plan --nodes {} --profile {profile} --rtt {rtt}",
            flags.nodes
        ));
    }
    lines.join("\n")
}

fn name<V: ValueEnum>(value: V) -> String {
    value.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned())
}

fn names<V: ValueEnum>() -> String {
    V::value_variants().iter().cloned().map(name).collect::<Vec<_>>().join(", ")
}

// ---- questions

/// Asks on a terminal for what was not said.
fn ask() -> Result<Flags, Failure> {
    if !std::io::stdin().is_terminal() {
        let text = format!("--need: expected one or more of {}", names::<Need>());
        return Err(Failure::Misuse(text));
    }
    let needs = question(&format!("What is it for? ({})", names::<Need>()), "", |text| {
        let needs = text.split([',', ' ']).filter(|t| !t.is_empty());
        let needs = needs.map(|t| Need::from_str(t, true).ok()).collect::<Option<Vec<_>>>();
        needs.filter(|needs| !needs.is_empty())
    })?;
    let nodes = question("How many nodes?", "100", |text| {
        text.parse().ok().filter(|n| (1..=NODES_MAX).contains(n))
    })?;
    let consistency = choice("What may a read answer?")?;
    let staleness =
        question("How old may it be? (a duration, or any)", "any", |text| match text {
            "any" => Some(None),
            _ => duration::parse(text).map(Some),
        })?;
    let deadline = choice("Is being late a failure (hard) or a nuisance (soft)?")?;
    let coordinator = question("May it need a leader and a majority? (yes, no)", "yes", |text| {
        Choice::from_str(text, true).ok()
    })?;
    let sides = format!("In a split, what does each side stay? ({})", names::<Partition>());
    let partition_behaviour = question(&sides, "any", |text| match text {
        "any" => Some(None),
        _ => Partition::from_str(text, true).ok().map(Some),
    })?;
    let untrusted_members =
        question("May members lie? (yes, no)", "no", |text| Choice::from_str(text, true).ok())?;
    let rtt = question("Round trip of the network?", "1ms", duration::parse)?;
    Ok(Flags {
        need: needs,
        nodes,
        consistency,
        staleness,
        deadline,
        coordinator_acceptable: Some(coordinator),
        partition_behaviour,
        untrusted_members: untrusted_members == Choice::Yes,
        rtt,
        json: false,
    })
}

fn choice<V: ValueEnum + Default>(text: &str) -> Result<V, Failure> {
    let text = format!("{text} ({})", names::<V>());
    question(&text, &name(V::default()), |text| V::from_str(text, true).ok())
}

/// Asks until the answer is one. An empty line takes what is in brackets.
fn question<T>(text: &str, usual: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
    loop {
        print(format!("{text} [{usual}] ").as_bytes())?;
        let mut line = String::new();
        match std::io::stdin().read_line(&mut line) {
            Ok(0) => return Err(Failure::Failed("the questions were not answered".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(Failure::Failed(format!("standard input: {error}"))),
        }
        let line = line.trim();
        match read(if line.is_empty() { usual } else { line }) {
            Some(answer) => return Ok(answer),
            None => print_line(&format!("  {line:?} is no answer to that"))?,
        }
    }
}

fn span(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "expected a duration such as 500ms or 5s".to_owned())
}
