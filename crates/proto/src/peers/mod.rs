//! Decides whom to tell. Each way of choosing has a file; [`Choice`] holds what they share and falls
//! back from the particular to the uniform, so that no round is empty while anybody can be told.

pub mod hot;
mod preferred;
mod refused;
mod shuffled;
mod uniform;
mod zoned;

use crate::base::rng::Rng;
use crate::base::time::Time;
use crate::config::{Config, PeerChoice};
use crate::membership::table::{ME, Slot, Table};

pub use uniform::uniform;

use hot::{HotKeys, Reads};
use preferred::Preferred;
use refused::{REFUSED_MAX, Refused};
use shuffled::Pass;
use zoned::Sides;

/// What choosing needs beside the table.
#[derive(Debug)]
pub struct Choice {
    pub rng: Rng,
    /// The peers picked last; taken and given back, so that picking allocates nothing.
    pub picked: Vec<Slot>,
    pub refused: Refused,
    /// Those told last, and what the round was about.
    pub last: Vec<Slot>,
    pub last_news: Option<(u8, u64)>,
    pass: Pass,
    sides: Sides,
    pub preferred: Preferred,
    pub reads: Reads,
    pub hot: HotKeys,
}

/// What a round of gossip is about.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub way: PeerChoice,
    pub peers: usize,
    /// [`PeerChoice::Zoned`]: the share of the picks that chance would send elsewhere that do go there.
    pub crossing: f64,
    pub now: Time,
}

impl Round {
    pub fn by(config: &Config, peers: usize, now: Time) -> Round {
        Round { way: config.peer_choice, peers, crossing: config.zone_crossing, now }
    }
}

impl Choice {
    pub fn new(seed: &[u8; 32]) -> Choice {
        Choice {
            rng: Rng::fork(seed, "peers"),
            picked: Vec::new(),
            refused: Refused::default(),
            last: Vec::new(),
            last_news: None,
            pass: Pass::default(),
            sides: Sides::default(),
            preferred: Preferred::default(),
            reads: Reads::default(),
            hot: HotKeys::default(),
        }
    }

    /// These were told of this first; kept in case somebody refuses.
    pub fn told(&mut self, news: Option<(u8, u64)>, peers: &[Slot]) {
        self.last.clear();
        self.last.extend_from_slice(peers);
        self.last_news = news;
    }

    /// Adds the peers that fresh news goes to beside those of a round.
    pub fn add_preferred(&self, table: &Table, now: Time, out: &mut Vec<Slot>) {
        self.preferred.add(table, now, out);
    }

    /// Whether a packet that goes to a member anyway, or a difference that it shows, is made use of: in other
    /// zones now and then.
    pub fn crosses(&mut self, table: &Table, to: Slot, round: Round) -> bool {
        round.way != PeerChoice::Zoned || self.sides.crosses(table, to, round, &mut self.rng)
    }

    /// The peers of a round of gossip: not those at whose address nobody listens, while there are others.
    pub fn round(&mut self, table: &Table, round: Round, out: &mut Vec<Slot>) {
        let is_me = |slot: Slot| table.addr(slot) == table.addr(ME);
        let refused = &self.refused;
        let skip = |slot| is_me(slot) || refused.contains(slot, round.now);
        match round.way {
            PeerChoice::Uniform => uniform(table, round.peers, &mut self.rng, skip, out),
            PeerChoice::Shuffled => self.pass.pick(table, round.peers, &mut self.rng, skip, out),
            PeerChoice::Zoned => self.sides.pick(table, round, &mut self.rng, skip, out),
        }
        if out.is_empty() && !table.live().is_empty() {
            // Nearly all refuse: no more do than are remembered, so one that does not is near.
            let live = table.live();
            let first = self.rng.index(live.len());
            let near = (0..live.len().min(REFUSED_MAX + 2)).map(|i| live[(first + i) % live.len()]);
            out.extend(
                near.clone().find(|&slot| !skip(slot)).or(near.clone().find(|&s| !is_me(s))),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::base::clocks::Hlc;
    use crate::base::hash::HashKey;
    use crate::base::id::NodeId;
    use crate::membership::facts::Facts;
    use crate::membership::record::{Precedence, Standing};

    fn facts(i: usize) -> Arc<Facts> {
        let id = NodeId::from_u128((i as u128 + 1) << 64 | (i as u128 + 1));
        let addr = format!("10.0.{}.{}:7946", i / 250, i % 250).parse().unwrap();
        let facts = Facts::new(id, &format!("n{i}"), addr, 1, Hlc(0), None, &BTreeMap::new());
        Arc::new(facts.unwrap())
    }

    /// A node and n - 1 live peers.
    pub(super) fn table_of(n: usize) -> Table {
        let alive = Precedence::new(1, Standing::Alive, 0);
        let mut table = Table::new(HashKey::for_cluster("t"), facts(0), alive);
        let mut rng = Rng::from_u64(9);
        for i in 1..n {
            table.insert(facts(i), alive, Time::ZERO, &mut rng);
        }
        table
    }

    pub(super) fn kill(table: &mut Table, slot: Slot) {
        let failed = Precedence::new(1, Standing::Failed, 0);
        table.update(slot, None, failed, Time::ZERO, &mut Rng::from_u64(1));
    }

    fn round(peers: usize) -> Round {
        Round { way: PeerChoice::Uniform, peers, crossing: 0.08, now: Time::ZERO }
    }

    /// Row C1: chi-square over a million picks, p > .01.
    #[test]
    fn uniform_picks_are_uniform() {
        const N: usize = 101;
        let table = table_of(N);
        let mut choice = Choice::new(&[7; 32]);
        let mut counts = [0u64; N];
        let mut out = Vec::new();
        for _ in 0..1_000_000 / 4 {
            choice.round(&table, round(4), &mut out);
            out.iter().for_each(|&slot| counts[slot as usize] += 1);
        }
        assert_eq!(counts[ME as usize], 0);
        let expected = 1e6 / (N - 1) as f64;
        let chi: f64 = counts[1..].iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum();
        // 99 degrees of freedom. Picks of one round are distinct, which makes it smaller by 4 %.
        println!("chi-square {chi:.1} of 99 degrees of freedom, bar 134.6");
        assert!(chi < 134.6, "chi-square {chi}");
    }

    /// Row C8.
    #[test]
    fn a_round_is_never_empty_while_anybody_can_be_told() {
        for way in [PeerChoice::Uniform, PeerChoice::Shuffled, PeerChoice::Zoned] {
            let table = table_of(30);
            let mut choice = Choice::new(&[8; 32]);
            let mut out = Vec::new();
            let live: Vec<Slot> = table.live().to_vec();
            live[1..].iter().for_each(|&slot| choice.refused.add(slot, Time::ZERO));
            let met = (0..50).filter(|_| {
                choice.round(&table, Round { way, ..round(1) }, &mut out);
                assert_eq!(out.len(), 1);
                out[0] == live[0]
            });
            assert_eq!(met.count(), 50, "{way}: whoever listens is told");
            choice.refused.add(live[0], Time::ZERO);
            choice.round(&table, Round { way, ..round(1) }, &mut out);
            assert_eq!(out.len(), 1, "{way}: perhaps somebody listens by now");
        }
    }
}
