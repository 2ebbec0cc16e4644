//! Decides which packet arrives, when, and how often: latency, loss, duplication, reordering,
//! corruption, cuts of single directions, partitions, walls, and paths that carry only datagrams
//! or only streams.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_proto::base::rng::Rng;

use crate::choice::Choices;
use crate::region::Regions;
use crate::wall::{Wall, WallId};

/// Distribution of the one-way delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    Constant(Duration),
    Uniform(Duration, Duration),
    /// A floor plus an exponential tail of this mean, cut at twenty means. Reorders.
    Exponential {
        floor: Duration,
        mean: Duration,
    },
}

impl Latency {
    pub fn sample(self, rng: &mut Rng) -> Duration {
        match self {
            Latency::Constant(d) => d,
            Latency::Uniform(min, max) => {
                let width = max.saturating_sub(min).as_nanos() as u64;
                min + Duration::from_nanos(rng.below(width + 1))
            }
            Latency::Exponential { floor, mean } => floor + mean.mul_f64(exponential(rng)),
        }
    }
}

/// Exponential variate of mean 1 by von Neumann's comparison of uniforms: no logarithm, so the
/// same bits on every system.
fn exponential(rng: &mut Rng) -> f64 {
    for whole in 0..20 {
        let first = rng.unit();
        let mut last = first;
        let mut run = 1;
        loop {
            let next = rng.unit();
            if next >= last {
                break;
            }
            last = next;
            run += 1;
        }
        if run % 2 == 1 {
            return f64::from(whole) + first;
        }
    }
    20.0
}

/// The weather on a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    pub latency: Latency,
    /// Probability that a datagram is lost; on a stream each loss delays by 200 ms, doubling.
    pub loss: f64,
    pub duplication: f64,
    /// Probability that a datagram is held back by up to `reordered_by`, so that later ones
    /// overtake it.
    pub reordering: f64,
    pub reordered_by: Duration,
    /// Probability that one bit of a datagram arrives flipped.
    pub corruption: f64,
    /// What a stream carries after it is open.
    pub stream_bytes_per_second: u64,
}

impl Conditions {
    /// One data centre: 0.2 to 0.8 ms one way, nothing lost.
    pub fn lan() -> Conditions {
        Conditions {
            latency: Latency::Uniform(Duration::from_micros(200), Duration::from_micros(800)),
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            reordered_by: Duration::ZERO,
            corruption: 0.0,
            stream_bytes_per_second: 100_000_000,
        }
    }
}

/// Which way a packet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Datagram,
    Stream,
}

/// Delays of chosen fates: late is later than a few round trips and a write to disk.
const PROMPT: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(17);

/// What the network does with one datagram: the delays of each copy that arrives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) copies: [Option<Duration>; 2],
    pub(crate) corrupted: bool,
}

/// The network between hosts, by their numbers.
#[derive(Clone, Debug)]
pub struct Network {
    pub conditions: Conditions,
    links: BTreeMap<(usize, usize), Conditions>,
    cuts: BTreeSet<(usize, usize)>,
    blocked: BTreeSet<(usize, usize, bool)>,
    /// The side of each host; empty: not split.
    sides: Vec<u16>,
    /// Extra loss of all that a host sends and receives.
    lossy: BTreeMap<usize, (f64, f64)>,
    walls: Vec<(WallId, Wall)>,
    walls_raised: WallId,
    /// Where hosts are, if distance matters.
    pub regions: Option<Regions>,
    /// Fates are chosen, not drawn: prompt, late, or lost.
    pub choices: Option<Choices>,
}

impl Network {
    pub fn new(conditions: Conditions) -> Network {
        Network {
            conditions,
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            blocked: BTreeSet::new(),
            sides: Vec::new(),
            lossy: BTreeMap::new(),
            walls: Vec::new(),
            walls_raised: 0,
            regions: None,
            choices: None,
        }
    }

    /// Sets the conditions of one direction.
    pub fn set_link(&mut self, from: usize, to: usize, conditions: Conditions) {
        self.links.insert((from, to), conditions);
    }

    pub fn reset_link(&mut self, from: usize, to: usize) {
        self.links.remove(&(from, to));
    }

    /// Extra loss of all datagrams that this host sends, and of all that it receives.
    pub fn set_host_loss(&mut self, host: usize, sent: f64, received: f64) {
        if sent > 0.0 || received > 0.0 {
            self.lossy.insert(host, (sent, received));
        } else {
            self.lossy.remove(&host);
        }
    }

    /// Lets nothing through that the wall stops, until it is lowered.
    pub fn raise(&mut self, wall: Wall) -> WallId {
        self.walls_raised += 1;
        self.walls.push((self.walls_raised, wall));
        self.walls_raised
    }

    pub fn lower(&mut self, wall: WallId) {
        self.walls.retain(|(id, _)| *id != wall);
    }

    /// Cuts one direction, for datagrams and streams.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    pub fn cut(&mut self, a: usize, b: usize) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    pub fn join(&mut self, a: usize, b: usize) {
        self.cuts.remove(&(a, b));
        self.cuts.remove(&(b, a));
    }

    /// Blocks one shape between two hosts, both ways: datagrams while streams pass, or the
    /// reverse.
    pub fn block(&mut self, a: usize, b: usize, shape: Shape) {
        let stream = shape == Shape::Stream;
        self.blocked.insert((a, b, stream));
        self.blocked.insert((b, a, stream));
    }

    /// Splits the hosts into sides by number; hosts beyond the list are on side 0.
    pub fn split(&mut self, sides: Vec<u16>) {
        self.sides = sides;
    }

    /// Ends splits, cuts, blocks and walls; conditions stay.
    pub fn heal(&mut self) {
        self.walls.clear();
        self.sides.clear();
        self.cuts.clear();
        self.blocked.clear();
    }

    /// Calm weather everywhere: no loss, duplication or corruption either.
    pub fn calm(&mut self) {
        self.heal();
        self.links.clear();
        self.lossy.clear();
        self.conditions.loss = 0.0;
        self.conditions.duplication = 0.0;
        self.conditions.reordering = 0.0;
        self.conditions.corruption = 0.0;
    }

    /// Whether a packet of this shape can pass at all, in this direction.
    pub fn open(&self, from: usize, to: usize, shape: Shape) -> bool {
        if !self.sides.is_empty() && self.side(from) != self.side(to) {
            return false;
        }
        if !self.cuts.is_empty() && self.cuts.contains(&(from, to)) {
            return false;
        }
        if self.walls.iter().any(|(_, wall)| wall.stops(from, to, shape)) {
            return false;
        }
        self.blocked.is_empty() || !self.blocked.contains(&(from, to, shape == Shape::Stream))
    }

    /// Whether two hosts can hear each other over some shape, both ways.
    pub fn connected(&self, a: usize, b: usize) -> bool {
        [Shape::Datagram, Shape::Stream]
            .into_iter()
            .any(|shape| self.open(a, b, shape) && self.open(b, a, shape))
    }

    pub(crate) fn datagram(&mut self, from: usize, to: usize, rng: &mut Rng) -> Fate {
        let mut fate = Fate::default();
        if !self.open(from, to, Shape::Datagram) {
            return fate;
        }
        if let Some(choices) = &mut self.choices {
            fate.copies[0] = [Some(PROMPT), Some(LATE), None][choices.choose(3)];
            return fate;
        }
        let on = self.link(from, to);
        if self.lost(from, to, on, rng) {
            return fate;
        }
        let mut delay = self.delay(from, to, on, rng);
        if on.reordering > 0.0 && rng.chance(on.reordering) {
            delay += on.reordered_by.mul_f64(rng.unit());
        }
        fate.copies[0] = Some(delay);
        if on.duplication > 0.0 && rng.chance(on.duplication) {
            let again = self.delay(from, to, on, rng);
            fate.copies[1] = Some(again + on.latency.sample(rng));
        }
        fate.corrupted = on.corruption > 0.0 && rng.chance(on.corruption);
        fate
    }

    /// Delay of one leg of a stream, retransmissions included; `None` when it cannot pass.
    pub(crate) fn stream_leg(
        &self,
        from: usize,
        to: usize,
        bytes: usize,
        rng: &mut Rng,
    ) -> Option<Duration> {
        if !self.open(from, to, Shape::Stream) {
            return None;
        }
        let on = self.link(from, to);
        let carried = bytes as u64 * 1_000_000_000 / on.stream_bytes_per_second.max(1);
        let mut delay = self.delay(from, to, on, rng) + Duration::from_nanos(carried);
        let mut retransmit = Duration::from_millis(200);
        for _ in 0..8 {
            if !self.lost(from, to, on, rng) {
                break;
            }
            delay += retransmit;
            retransmit *= 2;
        }
        Some(delay)
    }

    /// One way, once, as of now.
    pub(crate) fn latency(&self, from: usize, to: usize, rng: &mut Rng) -> Duration {
        self.delay(from, to, self.link(from, to), rng)
    }

    fn delay(&self, from: usize, to: usize, on: &Conditions, rng: &mut Rng) -> Duration {
        let near = on.latency.sample(rng);
        match &self.regions {
            None => near,
            Some(regions) => near + regions.way(from, to).sample(rng),
        }
    }

    fn lost(&self, from: usize, to: usize, on: &Conditions, rng: &mut Rng) -> bool {
        if on.loss > 0.0 && rng.chance(on.loss) {
            return true;
        }
        if self.lossy.is_empty() {
            return false;
        }
        let sent = self.lossy.get(&from).map_or(0.0, |l| l.0);
        let received = self.lossy.get(&to).map_or(0.0, |l| l.1);
        let passes = (1.0 - sent) * (1.0 - received);
        passes < 1.0 && rng.chance(1.0 - passes)
    }

    fn link(&self, from: usize, to: usize) -> &Conditions {
        if self.links.is_empty() {
            return &self.conditions;
        }
        self.links.get(&(from, to)).unwrap_or(&self.conditions)
    }

    fn side(&self, host: usize) -> u16 {
        self.sides.get(host).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_has_mean_and_variance_one() {
        let mut rng = Rng::from_u64(1);
        let draws: Vec<f64> = (0..200_000).map(|_| exponential(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!((mean - 1.0).abs() < 0.01 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn a_cut_is_one_way_a_split_is_both_and_a_block_is_one_shape() {
        let mut net = Network::new(Conditions::lan());
        net.cut_one_way(0, 1);
        assert!(!net.open(0, 1, Shape::Datagram) && net.open(1, 0, Shape::Datagram));
        net.heal();
        net.split(vec![0, 1, 1]);
        assert!(!net.connected(0, 1) && net.connected(1, 2));
        net.heal();
        net.block(0, 1, Shape::Datagram);
        assert!(!net.open(1, 0, Shape::Datagram) && net.open(1, 0, Shape::Stream));
        assert!(net.connected(0, 1));
    }
}
