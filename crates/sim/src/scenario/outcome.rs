//! Decides what a run found: plain numbers, from which JSON lines, the terminal's summary and the
//! HTML report are made. Times are seconds since the start of the run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::expect::Judged;

/// Everything that a run found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub file: String,
    pub actions: Vec<Done>,
    pub samples: Vec<Sample>,
    pub spreads: Vec<Spread>,
    pub departures: Vec<Departure>,
    pub summary: Summary,
}

/// One thing of interest, as it happens.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    Action(Done),
    Sample(Sample),
    Reached(Spread),
    Detected(Departure),
    FalseDeath(FalseDeath),
    Violation {
        at: f64,
        rule: String,
    },
    /// An event of a node, where the scenario records them.
    Event {
        at: f64,
        node: String,
        event: String,
    },
}

impl Line {
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain data becomes JSON")
    }
}

/// An action, or its end, with the nodes that were drawn.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    pub at: f64,
    /// In the file.
    pub line: usize,
    pub what: String,
}

/// The cluster at one moment, and its traffic since the sample before.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    pub at: f64,
    /// Processes that run and have not left.
    pub running: usize,
    /// Live members, as the node that lists fewest and the one that lists most see them.
    pub alive: (usize, usize),
    /// Failed members, as the node sees them that lists most.
    pub failed: usize,
    /// Distinct pairs of fingerprints (members, state) among the running nodes.
    pub groups: usize,
    /// Updates that have not reached all yet, and the mean share of nodes that know one.
    pub updates_open: usize,
    pub informed: Option<f64>,
    pub datagrams: u64,
    /// Bytes sent by cause.
    pub bytes: BTreeMap<&'static str, u64>,
}

/// How one update spread.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    pub kind: &'static str,
    pub what: String,
    pub by: String,
    pub at: f64,
    /// Nodes that ran when it was made and stayed, and how many of them know it.
    pub audience: usize,
    pub reached: usize,
    /// Until the last of them knew; `None`: some never did.
    pub seconds: Option<f64>,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    /// Nodes by the number of hops that the update took to them, where it is known.
    pub hops: Vec<u64>,
    /// Share of the audience that knew, over seconds since it was made.
    pub curve: Vec<(f64, f64)>,
}

/// How the end of a process was noticed.
#[derive(Clone, Debug, Serialize)]
pub struct Departure {
    pub who: String,
    pub how: &'static str,
    pub at: f64,
    pub audience: usize,
    pub noticed: usize,
    /// Until the first noticed, and the last of all.
    pub first: Option<f64>,
    pub all: Option<f64>,
    pub by: Option<String>,
}

/// A member held failed by a node that could have talked with it.
#[derive(Clone, Debug, Serialize)]
pub struct FalseDeath {
    pub at: f64,
    pub who: String,
    pub by: String,
    /// By more than this node's own view.
    pub confirmed: bool,
}

/// The run in numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub nodes: usize,
    pub seed: u64,
    pub virtual_seconds: f64,
    /// Stopped before its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// Inputs of all nodes.
    pub inputs: u64,
    /// Until all nodes were there, and of the run, where somebody measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_up_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<u64>,
    pub updates: Updates,
    /// Seconds from an update to the last node of its audience.
    pub convergence: Quantiles,
    /// Seconds from an update to each node.
    pub delivery: Quantiles,
    /// Mean and most hops of one update to one node, where known.
    pub hops_mean: Option<f64>,
    pub hops_max: usize,
    /// Seconds from the start of a process to the last node that learnt of it.
    pub joins: Updates,
    pub join_seconds: Quantiles,
    pub detection: Detection,
    pub false_deaths: u64,
    pub false_deaths_confirmed: u64,
    /// Until all were equal after the last action was over; `None`: they are not.
    pub equal_seconds: Option<f64>,
    pub groups_at_end: usize,
    /// As the nodes see it that list fewest and most.
    pub alive_at_end: (usize, usize),
    pub traffic: Traffic,
    pub commands_refused: u64,
    pub violations: Vec<String>,
    pub expectations: Vec<Judged>,
    pub trace_hash: String,
}

impl Summary {
    /// The last line of JSON output.
    pub fn json(&self) -> String {
        serde_json::json!({ "summary": self }).to_string()
    }

    pub fn passed(&self) -> bool {
        !self.stopped && self.expectations.iter().all(|e| e.pass)
    }
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Updates {
    pub made: u64,
    /// Of those made, how many reached their audience; the rest did not, or were not followed.
    pub reached: u64,
    pub unreached: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Quantiles {
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Detection {
    pub departures: usize,
    pub undetected: usize,
    /// Seconds until somebody noticed, and until all did.
    pub first_p50: Option<f64>,
    pub first_max: Option<f64>,
    pub all_p50: Option<f64>,
    pub all_max: Option<f64>,
}

/// Payload bytes of datagrams and streams as sent, without headers of IP.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Traffic {
    pub datagrams: u64,
    pub bytes: u64,
    pub datagrams_per_node_second: f64,
    pub bytes_per_node_second: f64,
    /// Bytes per node and second, by cause.
    pub by_cause: BTreeMap<&'static str, f64>,
    /// Share of all bytes that have a cause.
    pub accounted: f64,
    pub rumours_sent: u64,
    /// Rumours that said nothing new, and their bytes.
    pub duplicates: u64,
    pub duplicate_bytes: u64,
    /// Datagrams received by the node that received most, over the mean of those that ran all the
    /// time.
    pub inbound_max_over_mean: Option<f64>,
    /// Datagrams of the busiest tenth of a second over the mean.
    pub burst_max_over_mean: Option<f64>,
    /// Made by liars.
    pub forged: u64,
}

impl Quantiles {
    pub fn of(sample: &[f64]) -> Quantiles {
        if sample.is_empty() {
            return Quantiles::default();
        }
        let s = crate::statistics::Summary::of(&mut sample.to_vec());
        Quantiles { mean: Some(s.mean), p50: Some(s.p50), p99: Some(s.p99), max: Some(s.max) }
    }
}
