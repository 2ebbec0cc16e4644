//! Decides what a scenario file says, and how it runs: TOML in, rows and a summary out.
//!
//! | file | what it decides |
//! |---|---|
//! | [`document`] | TOML whose values know their lines; refusals of one line |
//! | [`value`] | which values a key takes |
//! | [`nodes`] | who takes part: groups, profiles, settings, versions |
//! | [`selection`] | which nodes an action means |
//! | [`weather`] | the network: delays, regions, loss |
//! | [`action`] | what can happen, and how `[[at]]` says it |
//! | [`expect`] | what a run must show |
//! | [`play`] | the line of time |
//! | `act`, `liar` | what each action does to the world |
//! | `look`, [`follow`] | what is seen of it: samples, spreads, detections |
//! | [`sweep`] | a scenario over a grid of values |
//! | [`outcome`] | what a run found, in plain numbers |

mod act;
pub mod action;
pub mod document;
pub mod expect;
pub mod follow;
mod liar;
mod look;
pub mod nodes;
pub mod outcome;
pub mod play;
pub mod selection;
pub mod sweep;
pub mod value;
pub mod weather;

use std::time::Duration;

use action::{Action, Stage};
use document::{Document, Refusal, Section, Value};
use expect::Expectation;
use nodes::{Cast, Loader};
use weather::Map;

use crate::network::Conditions;
use crate::region::Regions;

pub use play::run;

/// A scenario that can run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub file: String,
    pub seed: u64,
    pub cast: Cast,
    pub start: Start,
    /// The nodes that others join through, at the start and when they come back.
    pub join_through: Vec<usize>,
    pub duration: Duration,
    /// Between two rows.
    pub sample: Duration,
    /// Every event of every node is a line.
    pub record_events: bool,
    /// The rules of DESIGN part 7 are watched.
    pub checks: bool,
    pub conditions: Conditions,
    pub map: Option<Map>,
    /// A datagram to a host without a process comes back as unreachable.
    pub unreachable: bool,
    pub disk_latency: Duration,
    pub actions: Vec<Action>,
    pub expectations: Vec<Expectation>,
}

/// How the cluster comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// All know each other.
    Converged,
    /// One after the other, or all at once where `every` is zero.
    Join { every: Duration },
}

pub const TOP_KEYS: [&str; 17] = [
    "seed",
    "nodes",
    "profile",
    "config",
    "settings",
    "durable",
    "start",
    "join_every",
    "join_through",
    "duration",
    "sample",
    "record",
    "checks",
    "network",
    "at",
    "expect",
    "sweep",
];

const NETWORK_KEYS: [&str; 13] = [
    "latency",
    "loss",
    "duplication",
    "reordering",
    "reordered_by",
    "corruption",
    "stream_bytes_per_second",
    "region",
    "one_way",
    "jitter",
    "stretch",
    "unreachable",
    "disk_latency",
];

const REGION_KEYS: [&str; 2] = ["name", "at"];
const SWEEP_KEYS: [&str; 2] = ["seeds", "grid"];

/// Every key that a scenario file may have, as the guide names it: `network.loss`, `at.write`.
pub fn keys() -> Vec<String> {
    let within = |table: &str, keys: &[&str]| -> Vec<String> {
        keys.iter().map(|key| format!("{table}.{key}")).collect()
    };
    let mut keys: Vec<String> = TOP_KEYS.iter().map(|key| (*key).to_owned()).collect();
    keys.extend(within("network", &NETWORK_KEYS));
    keys.extend(within("network.region", &REGION_KEYS));
    keys.extend(within("nodes", &nodes::GROUP_KEYS));
    keys.extend(within("at", &action::keys()));
    keys.extend(within("expect", &expect::KEYS));
    keys.extend(within("sweep", &SWEEP_KEYS));
    keys
}

const DAY: Duration = Duration::from_secs(86_400);

/// Reads a scenario; `file` names it in refusals, `load` reads an agent's file.
pub fn read(file: &str, text: &str, load: &Loader<'_>) -> Result<Scenario, Refusal> {
    Scenario::of(&Document::parse(file, text)?, load)
}

impl Scenario {
    pub fn of(document: &Document, load: &Loader<'_>) -> Result<Scenario, Refusal> {
        let top = document.section(&TOP_KEYS)?;
        let seed = top.optional("seed", "a whole number, 0 or more", value::whole(0, u64::MAX))?;
        let duration =
            top.required("duration", "a duration of 1ms to 24h such as \"60s\"", |v| {
                value::duration(v).filter(|d| (Duration::from_millis(1)..=DAY).contains(d))
            })?;
        let network = top.table("network", "network.", &NETWORK_KEYS)?;
        let mut conditions = Conditions::lan();
        let (mut map, mut unreachable, mut disk) = (None, true, Duration::from_millis(2));
        if let Some(network) = &network {
            conditions = weather::conditions(network, conditions)?;
            map = weather::map(network)?;
            let flag = network.optional("unreachable", "true or false", value::flag)?;
            unreachable = flag.unwrap_or(true);
            let latency = network.optional("disk_latency", value::DURATION, value::duration)?;
            disk = latency.unwrap_or(disk);
        }
        let cast = nodes::cast(&top, map.as_ref(), load)?;
        let actions = actions(&top, &cast, duration, conditions)?;
        let scenario = Scenario {
            file: document.file.clone(),
            seed: seed.unwrap_or(1),
            start: start(&top, &cast, duration)?,
            join_through: join_through(&top, &cast)?,
            duration,
            sample: sample(&top, duration)?,
            record_events: record(&top)?,
            checks: top.optional("checks", "true or false", value::flag)?.unwrap_or(true),
            conditions,
            map,
            unreachable,
            disk_latency: disk,
            actions,
            expectations: expect::read(&top)?,
            cast,
        };
        scenario.check_calm(&top)?;
        Ok(scenario)
    }

    /// When the last action is over.
    pub fn calm_at(&self) -> Duration {
        self.actions.iter().map(Action::over).max().unwrap_or_default()
    }

    pub(crate) fn regions(&self) -> Option<Regions> {
        let map = self.map.as_ref()?;
        let of = self.cast.roster.region_of.iter().map(|&region| region as u16).collect();
        Some(Regions::new(map.names.len(), of, |from, to| map.way(from, to)))
    }

    /// There must be time left for what is expected after the last action.
    fn check_calm(&self, top: &Section<'_>) -> Result<(), Refusal> {
        let within = self.expectations.iter().find_map(|e| match (e.key, e.bound) {
            ("equal_within", expect::Bound::Within(within)) => Some((e.line, within)),
            _ => None,
        });
        let Some((line, within)) = within else { return Ok(()) };
        let left = self.duration.saturating_sub(self.calm_at());
        if within <= left {
            return Ok(());
        }
        let show = crate::duration::show;
        let (within, left, calm) = (show(within), show(left), show(self.calm_at()));
        let what = format!(
            "expect.equal_within = \"{within}\": expected at most the {left} after the last action at {calm}"
        );
        Err(top.document.refuse(line, what))
    }
}

fn actions(
    top: &Section<'_>,
    cast: &Cast,
    duration: Duration,
    conditions: Conditions,
) -> Result<Vec<Action>, Refusal> {
    let stage = Stage { roster: &cast.roster, duration, conditions };
    let mut actions = match top.item("at").map(|item| (item, &item.value)) {
        None => Vec::new(),
        Some((_, Value::List(items))) => {
            let actions: Result<Vec<Action>, Refusal> =
                items.iter().map(|item| action::read(top, item, &stage)).collect();
            actions?
        }
        Some((item, _)) => return Err(top.refuse_value("at", item, "[[at]] tables")),
    };
    actions.sort_by_key(|a| a.at);
    action::check_deaths(top, &actions, cast.members.len())?;
    Ok(actions)
}

fn start(top: &Section<'_>, cast: &Cast, duration: Duration) -> Result<Start, Refusal> {
    const START: &str = "\"converged\" or \"join\"";
    let join = |v: &Value| match value::text(v)?.as_str() {
        "converged" => Some(false),
        "join" => Some(true),
        _ => None,
    };
    let joins = top.optional("start", START, join)?.unwrap_or(false);
    let every = top.optional("join_every", value::DURATION, value::duration)?;
    let line = |key: &str| top.item(key).map_or(top.line, |item| item.line);
    if !joins {
        return match every {
            None => Ok(Start::Converged),
            Some(_) => {
                let what = "join_every without start = \"join\": expected both".to_owned();
                Err(top.document.refuse(line("join_every"), what))
            }
        };
    }
    let every = every.unwrap_or(Duration::from_millis(20));
    let last = every * cast.members.len() as u32;
    if last > duration {
        let what = format!(
            "join_every: the last node starts at {}: expected at most the duration of {}",
            crate::duration::show(last),
            crate::duration::show(duration)
        );
        return Err(top.document.refuse(line("join_every"), what));
    }
    Ok(Start::Join { every })
}

/// The first two nodes, where nobody else is named.
fn join_through(top: &Section<'_>, cast: &Cast) -> Result<Vec<usize>, Refusal> {
    const EXPECTED: &str = "names of nodes that are there from the start";
    let Some(item) = top.item("join_through") else {
        let there = (0..cast.members.len()).filter(|&n| !cast.members[n].later);
        return Ok(there.take(2).collect());
    };
    let selection = selection::Selection::of_item(item, &cast.roster).map_err(|why| {
        top.document.refuse(item.line, format!("join_through = {}: {why}", item.value))
    })?;
    let mut rng = tidings_proto::base::rng::Rng::from_u64(0);
    let nodes = selection.draw(&mut rng, |n| !cast.members[n].later);
    if nodes.is_empty() {
        return Err(top.refuse_value("join_through", item, EXPECTED));
    }
    Ok(nodes)
}

fn sample(top: &Section<'_>, duration: Duration) -> Result<Duration, Refusal> {
    let least = Duration::from_millis(10).max(duration / 100_000);
    let expected = format!("a duration of at least {}", crate::duration::show(least));
    let sample =
        top.optional("sample", &expected, |v| value::duration(v).filter(|d| *d >= least))?;
    Ok(sample.unwrap_or(Duration::from_secs(1).max(least)))
}

fn record(top: &Section<'_>) -> Result<bool, Refusal> {
    let read = |v: &Value| match value::text(v)?.as_str() {
        "summary" => Some(false),
        "events" => Some(true),
        _ => None,
    };
    Ok(top.optional("record", "\"summary\" or \"events\"", read)?.unwrap_or(false))
}
