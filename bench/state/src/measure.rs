//! Decides what a measured value is: CPU time of this thread, repeated; the least is compared, for
//! what else runs on the machine only ever adds. The spread is shown beside it.

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// CPU time of this thread, in nanoseconds.
pub fn cpu() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Repeated measurements of one thing.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Something counted: it is the same each time.
    pub fn count(n: usize) -> Sample {
        Sample(vec![n as f64])
    }

    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The same for one of `n` that were done together.
    pub fn per(&self, n: usize) -> Sample {
        Sample(self.0.iter().map(|value| value / n as f64).collect())
    }

    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn most(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

/// CPU nanoseconds of `run`, each time after a `set_up` that does not count; what comes out of the
/// last run comes back.
pub fn repeat<S, T>(
    times: usize,
    mut set_up: impl FnMut() -> S,
    mut run: impl FnMut(S) -> T,
) -> (Sample, T) {
    let mut sample = Sample::default();
    let mut once = || {
        let start = set_up();
        let before = cpu();
        let result = run(start);
        sample.push((cpu() - before) as f64);
        result
    };
    let mut last = once();
    for _ in 1..times {
        last = once();
    }
    (sample, last)
}

/// What a row has to show.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Ours at most this share of the peer's.
    Ratio(f64),
    /// Ours at most this much, in the row's unit.
    Limit(f64),
    Shown,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub ours: Sample,
    pub peer: Option<Sample>,
    pub bar: Bar,
}

impl Row {
    pub fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|peer| self.ours.least() / peer.least())
    }

    pub fn passes(&self) -> Option<bool> {
        match self.bar {
            Bar::Ratio(most) => self.ratio().map(|ratio| ratio <= most),
            Bar::Limit(most) => Some(self.ours.least() <= most),
            Bar::Shown => None,
        }
    }

    pub fn bar(&self) -> String {
        match self.bar {
            Bar::Ratio(most) => format!("<= {most} of the peer"),
            Bar::Limit(most) => format!("<= {most} {}", self.unit),
            Bar::Shown => "shown".to_owned(),
        }
    }

    pub fn json(&self) -> Value {
        let number = |n: f64| json!((n * 1000.0).round() / 1000.0);
        let most = |sample: &Sample| number(sample.most());
        json!({
            "row": self.name,
            "unit": self.unit,
            "ours": number(self.ours.least()),
            "ours_max": most(&self.ours),
            "peer": self.peer.as_ref().map(|peer| number(peer.least())),
            "peer_max": self.peer.as_ref().map(most),
            "ratio": self.ratio().map(|ratio| json!((ratio * 1e6).round() / 1e6)),
            "bar": self.bar(),
            "pass": self.passes(),
        })
    }
}
