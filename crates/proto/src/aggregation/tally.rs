//! Decides what one aggregate is at one node: what the node puts in, the epoch under way, and the
//! outcome of the last one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::averaging::Averaging;
use super::bucket::{BLOCK, bucket_of, place, value_of};
use super::message::{Exchange, Extreme, Part};
use crate::base::id::NodeId;
use crate::base::time::Time;
use crate::io::Contribution;
use crate::limits::AGGREGATE_PEERS_MAX;

/// A number over all members, as one node knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub epoch: u64,
    /// False: the epoch is under way, estimates may still be far off.
    pub settled: bool,
    /// Since the epoch began: contributions counted are those of that moment.
    pub age: Duration,
    /// Live members at the time.
    pub population: usize,
    /// How many of them put something in.
    pub count: f64,
    pub sum: f64,
    pub mean: f64,
    pub variance: f64,
    pub min: Option<Extreme>,
    pub max: Option<Extreme>,
    /// By how much, relative to the larger, the sums of this node and of its last three peers
    /// differed: the error left is about half of it.
    pub error: f64,
    /// (bucket, how much of the whole is in it), ascending.
    distribution: Vec<(i32, f64)>,
}

impl Outcome {
    /// The value that a share `q` (0 to 1) of the contributions does not exceed, within
    /// [`ACCURACY`](super::bucket::ACCURACY) of a contribution. `None`: nobody contributes to the
    /// distribution.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let counts =
            self.distribution.iter().map(|&(b, share)| (b, share * self.population as f64));
        let all = libm::round(counts.clone().map(|(_, count)| count).sum());
        // The nearest rank; half a contribution is left to what averaging has not evened out yet.
        let rank = libm::ceil(q.clamp(0.0, 1.0) * all - 1e-9).max(1.0) - 0.5;
        let mut below = 0.0;
        counts
            .map(|(bucket, count)| {
                below += count;
                (bucket, below)
            })
            .find(|(_, below)| *below >= rank)
            .map(|(bucket, _)| value_of(bucket))
    }
}

#[derive(Clone, Debug)]
pub struct Tally {
    own: Option<Contribution>,
    epoch: u64,
    began: Time,
    rounds: u32,
    /// The epoch's outcome is kept; it goes on only for those who ask.
    closed: bool,
    parts: BTreeMap<Part, Averaging>,
    low: Option<Extreme>,
    high: Option<Extreme>,
    gaps: [f64; 3],
    last: Option<(Outcome, Time)>,
}

/// Rounds of an epoch: the variance falls to 0.303 a round, so that after `3 ln n` rounds nobody is
/// off by a thousandth; the rest is for hearing of the epoch, and for loss.
pub fn rounds_of_epoch(n: usize) -> u32 {
    8 + libm::ceil(3.0 * libm::log(n.max(2) as f64)) as u32
}

impl Tally {
    pub fn new(own: Option<Contribution>, epoch: u64, me: NodeId, now: Time) -> Tally {
        let mut tally = Tally {
            own,
            epoch,
            began: now,
            rounds: 0,
            closed: false,
            parts: BTreeMap::new(),
            low: None,
            high: None,
            gaps: [f64::INFINITY; 3],
            last: None,
        };
        tally.begin(epoch, me, now);
        tally
    }

    pub fn own(&self) -> Option<Contribution> {
        self.own
    }

    /// Counts from the next epoch on.
    pub fn contribute(&mut self, own: Option<Contribution>) {
        self.own = own;
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn began(&self) -> Time {
        self.began
    }

    /// Ends the epoch under way, if it got far enough to mean something, and begins another.
    pub fn next(&mut self, epoch: u64, me: NodeId, population: usize, now: Time) {
        if 3 * self.rounds >= 2 * rounds_of_epoch(population) {
            self.close(population, now);
        }
        self.begin(epoch, me, now);
    }

    /// Keeps the outcome of the epoch under way as the one to tell.
    pub fn close(&mut self, population: usize, now: Time) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let outcome = Outcome { settled: true, ..self.estimate(population, now) };
        self.last = Some((outcome, self.began));
    }

    fn begin(&mut self, epoch: u64, me: NodeId, now: Time) {
        self.epoch = epoch;
        self.began = now;
        self.rounds = 0;
        self.closed = false;
        self.gaps = [f64::INFINITY; 3];
        self.parts.clear();
        let own = self.own.map(|own| Extreme { value: own.value, who: me });
        (self.low, self.high) = (own, own);
        let scalars =
            self.own.map_or(vec![0.0; 3], |own| vec![1.0, own.value, own.value * own.value]);
        self.parts.insert(Part::Scalars, Averaging::new(scalars));
        if let Some(own) = self.own.filter(|own| own.quantiles) {
            let (block, at) = place(bucket_of(own.value));
            let mut counts = vec![0.0; BLOCK as usize];
            counts[at] = 1.0;
            self.parts.insert(Part::Block(block), Averaging::new(counts));
        }
    }

    /// One more round; false when the epoch is over.
    pub fn round(&mut self, population: usize) -> bool {
        if self.rounds >= rounds_of_epoch(population) {
            return false;
        }
        self.rounds += 1;
        true
    }

    /// Exchanges are due: somebody has put something in, and the epoch is not over.
    pub fn is_under_way(&self) -> bool {
        self.low.is_some() && !self.closed
    }

    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        self.parts.keys().copied()
    }

    /// Peers that owe an answer for a part.
    pub fn waiting(&self, part: Part) -> impl Iterator<Item = NodeId> + '_ {
        self.parts.get(&part).into_iter().flat_map(Averaging::waiting)
    }

    /// The question to a peer about a part.
    pub fn ask(&mut self, name: &str, part: Part, peer: NodeId) -> Option<Exchange> {
        let averaging = self.parts.get_mut(&part)?;
        let number = averaging.begin(peer);
        let values = averaging.estimate().iter().map(|v| part.rounded(*v)).collect();
        Some(self.exchange(name, part, number, values))
    }

    /// The answer to a peer's question of this epoch.
    pub fn answer(&mut self, asked: &Exchange, peer: NodeId) -> Option<Exchange> {
        self.meet(asked.low, asked.high);
        let part = asked.part;
        let averaging =
            self.parts.entry(part).or_insert_with(|| Averaging::new(vec![0.0; part.width()]));
        if averaging.peers() >= AGGREGATE_PEERS_MAX {
            return None;
        }
        let round = |v| part.rounded(v);
        let flow = averaging.answer(peer, asked.number, &asked.values, round)?.to_vec();
        Some(self.exchange(&asked.name, part, asked.number, flow))
    }

    /// Takes an answer of this epoch.
    pub fn settle(&mut self, answer: &Exchange, peer: NodeId) {
        self.meet(answer.low, answer.high);
        let Some(averaging) = self.parts.get_mut(&answer.part) else { return };
        let Some(differed) = averaging.settle(peer, answer.number, &answer.values) else { return };
        if answer.part == Part::Scalars {
            let mine = averaging.estimate()[1];
            let (off, larger) =
                (libm::fabs(differed[1]), libm::fabs(mine) + libm::fabs(differed[1]));
            self.gaps.rotate_right(1);
            self.gaps[0] = if off == 0.0 { 0.0 } else { off / larger };
        }
    }

    pub fn forget(&mut self, peer: NodeId) {
        self.parts.values_mut().for_each(|averaging| averaging.forget(peer));
    }

    /// What to tell: the last epoch's outcome, or how far the first one has come.
    pub fn outcome(&self, population: usize, now: Time) -> Outcome {
        match &self.last {
            Some((outcome, began)) => Outcome { age: now.since(*began), ..outcome.clone() },
            None => self.estimate(population, now),
        }
    }

    fn estimate(&self, population: usize, now: Time) -> Outcome {
        let scalars = self.parts.get(&Part::Scalars).map_or(&[0.0; 3][..], Averaging::estimate);
        let n = population as f64;
        let (count, sum) = (scalars[0] * n, scalars[1] * n);
        let mean = if scalars[0] > 0.0 { scalars[1] / scalars[0] } else { 0.0 };
        let squares = if scalars[0] > 0.0 { scalars[2] / scalars[0] } else { 0.0 };
        Outcome {
            epoch: self.epoch,
            settled: false,
            age: now.since(self.began),
            population,
            count,
            sum,
            mean,
            variance: (squares - mean * mean).max(0.0),
            min: self.low,
            max: self.high,
            // Alone, there is nobody to differ from.
            error: if population <= 1 { 0.0 } else { self.gaps.iter().fold(0.0, |a, b| a.max(*b)) },
            distribution: self.distribution(),
        }
    }

    fn distribution(&self) -> Vec<(i32, f64)> {
        let mut shares = Vec::new();
        for (part, averaging) in &self.parts {
            let Part::Block(block) = part else { continue };
            for (at, share) in averaging.estimate().iter().enumerate() {
                if *share > 0.0 {
                    shares.push((block * BLOCK + at as i32, *share));
                }
            }
        }
        shares.sort_unstable_by_key(|(bucket, _)| *bucket);
        shares
    }

    /// The least and the greatest of both; of equal values the lower id.
    fn meet(&mut self, low: Option<Extreme>, high: Option<Extreme>) {
        for met in [low, high].into_iter().flatten() {
            let least = self.low.get_or_insert(met);
            if (met.value, met.who) < (least.value, least.who) {
                *least = met;
            }
            let greatest = self.high.get_or_insert(met);
            let above = met.value > greatest.value;
            if above || met.value == greatest.value && met.who < greatest.who {
                *greatest = met;
            }
        }
    }

    fn exchange(&self, name: &str, part: Part, number: u64, values: Vec<f64>) -> Exchange {
        let (low, high) = match part {
            Part::Scalars => (self.low, self.high),
            Part::Block(_) => (None, None),
        };
        Exchange { name: name.into(), epoch: self.epoch, number, part, values, low, high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_alone_knows_its_own() {
        let me = NodeId::from_u128(1);
        let own = Some(Contribution { value: -4.0, quantiles: true });
        let tally = Tally::new(own, 1, me, Time::ZERO);
        let outcome = tally.outcome(1, Time::ZERO + Duration::from_secs(3));
        assert_eq!((outcome.count, outcome.sum, outcome.mean), (1.0, -4.0, -4.0));
        assert_eq!((outcome.variance, outcome.error), (0.0, 0.0));
        assert_eq!(outcome.age, Duration::from_secs(3));
        assert_eq!(outcome.min, Some(Extreme { value: -4.0, who: me }));
        let median = outcome.quantile(0.5).unwrap();
        assert!((median / -4.0 - 1.0).abs() <= 0.011, "{median}");
    }
}
