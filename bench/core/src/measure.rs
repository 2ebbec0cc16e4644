//! Decides what a measured value is: CPU time of this thread, the median of several runs with the
//! least and the largest beside it; or something counted, the same each time.

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// CPU time of this thread, in nanoseconds.
pub fn cpu() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What a core does all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Updates that say nothing new.
    Known,
    /// Updates that change a member and are queued to be told on.
    Fresh,
    /// Packets filled from a backlog of an update for each member.
    Fill,
    /// Pings without news, answered.
    Ping,
}

impl What {
    pub const ALL: [What; 4] = [What::Known, What::Fresh, What::Fill, What::Ping];

    pub fn about(self) -> &'static str {
        match self {
            What::Known => "known update",
            What::Fresh => "fresh update, applied and queued",
            What::Fill => "one packet of 1200 bytes from a backlog of all",
            What::Ping => "ping without news, answered",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            What::Known => "known",
            What::Fresh => "fresh",
            What::Fill => "fill",
            What::Ping => "ping",
        }
    }
}

/// Work that is done again and again by one instance.
pub trait Measured {
    /// Not measured.
    fn prepare(&mut self);
    /// Returns how many units it did.
    fn run(&mut self) -> usize;
    /// Panics if something else was done.
    fn check(&self);
}

/// Nanoseconds of CPU per unit.
pub fn time(repeats: usize, work: &mut dyn Measured) -> Sample {
    let mut once = || {
        work.prepare();
        let before = cpu();
        let units = work.run();
        (cpu() - before) as f64 / units as f64
    };
    once(); // buffers reach their size
    let sample = Sample::of((0..repeats).map(|_| once()).collect());
    work.check();
    sample
}

/// Repeated measurements of one thing, ascending.
#[derive(Clone, Debug)]
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn of(mut values: Vec<f64>) -> Sample {
        assert!(!values.is_empty(), "a sample has values");
        values.sort_by(f64::total_cmp);
        Sample(values)
    }

    /// Something counted.
    pub fn count(value: f64) -> Sample {
        Sample(vec![value])
    }

    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    pub fn least(&self) -> f64 {
        self.0[0]
    }

    pub fn most(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// One row: ours beside foca's, and at most how much ours may be.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub ours: Sample,
    pub peer: Option<Sample>,
    /// Ours at most this much; `None` is only shown.
    pub most: Option<f64>,
}

impl Row {
    pub fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|peer| self.ours.median() / peer.median())
    }

    pub fn passes(&self) -> Option<bool> {
        self.most.map(|most| self.ours.median() <= most)
    }

    pub fn json(&self) -> Value {
        let number = |n: f64| json!((n * 1000.0).round() / 1000.0);
        let spread = |sample: &Sample| json!([number(sample.least()), number(sample.most())]);
        json!({
            "row": self.name,
            "unit": self.unit,
            "ours": number(self.ours.median()),
            "ours_spread": spread(&self.ours),
            "peer": self.peer.as_ref().map(|peer| number(peer.median())),
            "peer_spread": self.peer.as_ref().map(spread),
            "ratio": self.ratio().map(|ratio| json!((ratio * 1e6).round() / 1e6)),
            "bar": self.most.map_or("shown".to_owned(), |most| format!("<= {most} {}", self.unit)),
            "pass": self.passes(),
        })
    }
}
