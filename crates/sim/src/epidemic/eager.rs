//! Decides how one update spreads by the timers of a real agent: told at once to a few, then per
//! tick until it was told often enough, on every ping and ack meanwhile, and found by fingerprints
//! afterwards. Node by node and event by event, but without packets or state: what the packet
//! simulator does with the same settings, a hundred times cheaper.
//!
//! The cluster is at rest: nobody fails, and no other news is on its way. What waits, waits for
//! timers and the network only; a busy machine adds delays of its own. What lost probes cause is
//! left out (helpers, second pings, and the news about doubts that carries other news along): at
//! 20 % loss the mean comes out a fifth too long.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use tidings_proto::base::rng::Rng;
use tidings_proto::config::Detector;
use tidings_proto::{Config, flow};

use super::LOSS_MAX;
use crate::network::Latency;

/// A run costs its nodes: more would take seconds each.
pub const NODES_MAX: u32 = 1_000_000;
/// TCP's first retransmission, doubled by each further one (as in `network`).
const RETRANSMIT: Instant = 200_000_000;

/// A cluster at rest, and the network between its nodes.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    pub nodes: u32,
    pub config: &'a Config,
    /// One way.
    pub latency: Latency,
    /// Probability that a datagram is lost, or a packet of a stream, which is sent again.
    pub loss: f64,
}

/// What one update took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// From the write until the last node knew.
    pub seconds: f64,
    /// Datagrams that carried it until then, lost ones too, over the number of nodes.
    pub messages_per_node: f64,
}

/// Nanoseconds since the write.
type Instant = u64;

/// What the network delivers. Ordered only so that events of one instant have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    News { to: u32 },
    Ping { from: u32, to: u32, word: Word },
    Ack { to: u32, word: Word },
}

/// What a datagram of a probe says of the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    /// Its sender did not know.
    Nothing,
    /// Its fingerprint differs: worth a session.
    Fingerprint,
    /// The update itself.
    News,
}

/// Timers of one kind run equally long, so the order of their starts is that of their ends.
struct Spread<'a, 'r> {
    cluster: Cluster<'a>,
    /// Sends after which a node tells it no more.
    limit: u32,
    rng: &'r mut Rng,
    sends: Vec<u32>,
    /// Who does not know, in no order, and the place of each node in it.
    unaware: Vec<u32>,
    place: Vec<u32>,
    now: Instant,
    rounds: VecDeque<(Instant, u32)>,
    probes: VecDeque<(Instant, u32)>,
    arrivals: BinaryHeap<Reverse<(Instant, Arrival)>>,
    messages: u64,
    /// When the first knew, the second, and so on.
    learnt: Vec<Instant>,
}

const AWARE: u32 = u32::MAX;

impl Cluster<'_> {
    /// Names the value that cannot be, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let Cluster { nodes, config, loss, .. } = *self;
        if !(1..=NODES_MAX).contains(&nodes) {
            return Err(format!("nodes {nodes}: expected 1 to {NODES_MAX}"));
        }
        if !(0.0..=LOSS_MAX).contains(&loss) {
            return Err(format!("loss {loss}: expected 0 to {LOSS_MAX}"));
        }
        if !config.anti_entropy {
            let why = "rumours alone miss somebody now and then, for ever";
            return Err(format!("anti_entropy false: expected true; {why}"));
        }
        if config.detector != Detector::Swim {
            let why = "probes carry the news, and heartbeats are not modelled";
            return Err(format!("detector {}: expected swim; {why}", config.detector));
        }
        config.check().map_err(|error| error.to_string())
    }

    /// One update of one node in a checked cluster, until all know.
    pub fn run(&self, rng: &mut Rng) -> Run {
        if self.nodes == 1 {
            return Run { seconds: 0.0, messages_per_node: 0.0 };
        }
        let spread = self.spread(rng);
        Run {
            seconds: spread.now as f64 / 1e9,
            messages_per_node: spread.messages as f64 / f64::from(self.nodes),
        }
    }

    /// Seconds from the update to the first node that knew (its own, at 0), the second, and so
    /// on, each as the mean over so many runs.
    pub fn infection(&self, runs: u32, rng: &mut Rng) -> Vec<f64> {
        let mut sums = vec![0.0; self.nodes as usize];
        for _ in 0..if self.nodes > 1 { runs } else { 0 } {
            let learnt = self.spread(rng).learnt;
            sums.iter_mut().zip(learnt).for_each(|(sum, at)| *sum += at as f64 / 1e9);
        }
        sums.iter().map(|sum| sum / f64::from(runs.max(1))).collect()
    }

    fn spread<'r>(&self, rng: &'r mut Rng) -> Spread<'_, 'r> {
        // Phases differ between nodes, so that rounds never synchronise (row O7).
        let period = nanos(self.config.probe_period);
        let mut probes: Vec<_> = (0..self.nodes).map(|node| (rng.below(period), node)).collect();
        probes.sort_unstable();
        let limit = if self.config.rumours {
            flow::transmit_limit(self.config.transmit_factor, self.nodes as usize)
        } else {
            0
        };
        let mut spread = Spread {
            cluster: *self,
            limit,
            rng,
            sends: vec![0; self.nodes as usize],
            unaware: (0..self.nodes).collect(),
            place: (0..self.nodes).collect(),
            now: 0,
            rounds: VecDeque::new(),
            probes: probes.into(),
            arrivals: BinaryHeap::new(),
            messages: 0,
            learnt: Vec::with_capacity(self.nodes as usize),
        };
        spread.learn(0);
        while !spread.unaware.is_empty() {
            spread.next();
        }
        spread
    }
}

impl Spread<'_, '_> {
    /// Lets the next thing happen. There always is one: probes never end.
    fn next(&mut self) {
        let at = |timer: Option<&(Instant, u32)>| timer.map_or(Instant::MAX, |&(at, _)| at);
        let round = at(self.rounds.front());
        let probe = at(self.probes.front());
        let arrival = self.arrivals.peek().map_or(Instant::MAX, |Reverse((at, _))| *at);
        self.now = round.min(probe).min(arrival);
        if arrival == self.now {
            let Some(Reverse((_, arrival))) = self.arrivals.pop() else { return };
            self.arrive(arrival);
        } else if round == self.now {
            let Some((_, node)) = self.rounds.pop_front() else { return };
            self.round(node, self.cluster.config.fanout);
        } else {
            let Some((_, node)) = self.probes.pop_front() else { return };
            self.probe(node);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::News { to } => self.learn(to),
            Arrival::Ping { from, to, word } => {
                // The ack leaves before the news is taken in.
                let answer = self.word_of(to);
                if let Some(delay) = self.carried() {
                    self.after(delay, Arrival::Ack { to: from, word: answer });
                }
                self.hear(to, word);
            }
            Arrival::Ack { to, word } => self.hear(to, word),
        }
    }

    /// Tells at once, while the news is fresh.
    fn learn(&mut self, node: u32) {
        let place = std::mem::replace(&mut self.place[node as usize], AWARE);
        if place == AWARE {
            return;
        }
        self.learnt.push(self.now);
        self.unaware.swap_remove(place as usize);
        if let Some(&moved) = self.unaware.get(place as usize) {
            self.place[moved as usize] = place;
        }
        self.round(node, self.cluster.config.eager_fanout);
    }

    /// Tells distinct others, uniformly. Who knows already is only counted.
    fn round(&mut self, node: u32, fanout: usize) {
        if self.sends[node as usize] >= self.limit {
            return;
        }
        let others = self.cluster.nodes - 1;
        let fanout = fanout.min(others as usize) as u32;
        let mut told = [0; 64]; // the most that a fanout may be
        let mut hits = 0;
        for call in 0..fanout {
            let missed = self.unaware.len() - hits;
            if !self.rng.chance(missed as f64 / f64::from(others - call)) {
                continue;
            }
            told[hits] = loop {
                let peer = self.unaware[self.rng.index(self.unaware.len())];
                if !told[..hits].contains(&peer) {
                    break peer;
                }
            };
            if let Some(delay) = self.carried() {
                self.after(delay, Arrival::News { to: told[hits] });
            }
            hits += 1;
        }
        self.messages += u64::from(fanout);
        self.sends[node as usize] += fanout;
        if self.sends[node as usize] < self.limit {
            self.rounds.push_back((self.now + nanos(self.cluster.config.tick), node));
        }
    }

    fn probe(&mut self, node: u32) {
        let drawn = self.rng.below(u64::from(self.cluster.nodes - 1)) as u32;
        let to = drawn + u32::from(drawn >= node);
        let word = self.word_of(node);
        if let Some(delay) = self.carried() {
            self.after(delay, Arrival::Ping { from: node, to, word });
        }
        self.probes.push_back((self.now + nanos(self.cluster.config.probe_period), node));
    }

    /// A quiet node takes a fingerprint that it never had for a reason to ask at once.
    fn hear(&mut self, node: u32, word: Word) {
        match word {
            Word::Nothing => {}
            Word::News => self.learn(node),
            Word::Fingerprint if self.place[node as usize] == AWARE => {}
            Word::Fingerprint => {
                // There and back to connect, there and back with the request.
                let delay = (0..4).map(|_| self.streamed()).sum();
                self.after(delay, Arrival::News { to: node });
            }
        }
    }

    /// What this node's next ping or ack says; a send, where it carries the news.
    fn word_of(&mut self, node: u32) -> Word {
        if self.place[node as usize] != AWARE {
            return Word::Nothing;
        }
        if self.sends[node as usize] >= self.limit {
            return Word::Fingerprint;
        }
        self.sends[node as usize] += 1;
        self.messages += 1;
        Word::News
    }

    /// How long a datagram takes; None if it is lost.
    fn carried(&mut self) -> Option<Instant> {
        (!self.is_lost()).then(|| nanos(self.cluster.latency.sample(self.rng)))
    }

    /// How long one way of a stream takes, with what is sent again.
    fn streamed(&mut self) -> Instant {
        let lost = (0..8).take_while(|_| self.is_lost()).count();
        let again = RETRANSMIT * ((1 << lost) - 1);
        again + nanos(self.cluster.latency.sample(self.rng))
    }

    fn is_lost(&mut self) -> bool {
        self.cluster.loss > 0.0 && self.rng.chance(self.cluster.loss)
    }

    fn after(&mut self, delay: Instant, arrival: Arrival) {
        self.arrivals.push(Reverse((self.now + delay, arrival)));
    }
}

fn nanos(duration: Duration) -> Instant {
    u64::try_from(duration.as_nanos()).unwrap_or(Instant::MAX / 4)
}
