//! Decides what is kept of how news came here: for each topic a histogram of delays and one of hops,
//! and the ways of the latest writes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::message::Way;
use crate::base::clocks::Dot;
use crate::io::Path;

/// Upper bounds of the buckets of delays: 1 ms, and each the root of two times the one before, up to
/// 17 minutes. What takes longer is in one further bucket.
pub const BOUNDS: usize = 41;
/// Hops that are told apart; more count as this many.
pub const HOPS_MAX: usize = 24;
/// Topics told apart; further keyspaces are counted together under the empty name.
pub const TOPICS_MAX: usize = 64;
/// Writes whose way is remembered. More: the oldest is forgotten, and `trace` shows no way.
pub const WAYS_MAX: usize = 512;

/// The upper bound of a bucket.
pub const fn bound(bucket: usize) -> Duration {
    let odd_micros = 1414;
    let micros = if bucket.is_multiple_of(2) { 1000 } else { odd_micros };
    Duration::from_micros(micros << (bucket / 2))
}

/// How often a delay fell into each bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// One more than there are bounds.
    pub buckets: [u64; BOUNDS + 1],
    pub sum: Duration,
    pub count: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: [0; BOUNDS + 1], sum: Duration::ZERO, count: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, delay: Duration) {
        let bucket = (0..BOUNDS).find(|&b| delay <= bound(b)).unwrap_or(BOUNDS);
        self.buckets[bucket] += 1;
        self.sum = self.sum.saturating_add(delay);
        self.count += 1;
    }

    /// The upper bound of the bucket in which the share `p` is reached: at most the root of two times
    /// the true value. `None` where nothing was counted, or it lies beyond all bounds.
    pub fn quantile(&self, p: f64) -> Option<Duration> {
        let wanted = ((p * self.count as f64).ceil() as u64).max(1);
        let mut below = 0;
        let reaches = |&b: &usize| {
            below += self.buckets[b];
            below >= wanted
        };
        (0..BOUNDS).find(reaches).map(bound)
    }
}

/// What is known of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// Of rumours: summed up on the way.
    pub rumours: Histogram,
    /// Of what a session brought: by the wall clocks of writer and reader.
    pub sessions: Histogram,
    /// Of rumours, how many told them on: `hops[h - 1]` came over `h`.
    pub hops: [u64; HOPS_MAX],
}

impl Topic {
    pub fn add(&mut self, way: Way) {
        match way.path {
            Path::Own => {}
            Path::Session => {
                if let Some(delay) = way.delay {
                    self.sessions.add(delay);
                }
            }
            Path::Rumour => {
                if let (Some(hops), Some(delay)) = (way.hops, way.delay) {
                    self.rumours.add(delay);
                    self.hops[usize::from(hops).clamp(1, HOPS_MAX) - 1] += 1;
                }
            }
        }
    }
}

/// How all news came here.
#[derive(Debug, Default)]
pub struct Delays {
    pub members: Box<Topic>,
    pub events: Box<Topic>,
    keyspaces: BTreeMap<Arc<str>, Box<Topic>>,
    ways: BTreeMap<Dot, Way>,
    order: VecDeque<Dot>,
}

impl Delays {
    /// A write of a key was applied and stands.
    pub fn entry(&mut self, keyspace: &Arc<str>, dot: Dot, way: Way) {
        let known = self.keyspaces.len() < TOPICS_MAX || self.keyspaces.contains_key(keyspace);
        let name = if known { Arc::clone(keyspace) } else { "".into() };
        self.keyspaces.entry(name).or_default().add(way);
        if self.ways.insert(dot, way).is_none() {
            self.order.push_back(dot);
        }
        if self.order.len() > WAYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ways.remove(&oldest);
        }
    }

    /// How a write came here, where it is remembered.
    pub fn way(&self, dot: Dot) -> Option<Way> {
        self.ways.get(&dot).copied()
    }

    pub fn keyspaces(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.keyspaces.iter().map(|(name, topic)| (&**name, &**topic))
    }

    pub fn counts(&self) -> (usize, usize) {
        (self.keyspaces.len(), self.ways.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::NodeId;
    use crate::base::rng::Rng;

    #[test]
    fn quantiles_are_within_a_bucket_of_the_truth() {
        let mut rng = Rng::from_u64(1);
        let mut histogram = Histogram::default();
        let mut all: Vec<f64> = (0..10_000).map(|_| 0.002 + 20.0 * rng.unit().powi(6)).collect();
        for &seconds in &all {
            histogram.add(Duration::from_secs_f64(seconds));
        }
        all.sort_by(f64::total_cmp);
        for p in [0.5, 0.9, 0.99, 0.999] {
            let truth = all[((p * 10_000.0) as usize).min(9_999)];
            let told = histogram.quantile(p).unwrap().as_secs_f64();
            assert!((truth * 0.99..=truth * 1.43).contains(&told), "{p}: {told} for {truth}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert!((0..BOUNDS - 1).all(|b| bound(b) < bound(b + 1)));
    }

    #[test]
    fn topics_and_ways_are_bounded() {
        let mut delays = Delays::default();
        let way = Way { path: Path::Rumour, hops: Some(3), delay: Some(Duration::from_millis(7)) };
        for n in 0..2000 {
            let dot = Dot { origin: NodeId::from_u128(n), seq: 1 };
            delays.entry(&format!("k{}", n % 500).into(), dot, way);
            assert_eq!(delays.way(dot), Some(way));
        }
        assert_eq!(delays.counts(), (TOPICS_MAX + 1, WAYS_MAX));
        let counted: u64 = delays.keyspaces().map(|(_, topic)| topic.rumours.count).sum();
        assert_eq!(counted, 2000);
    }
}
