//! Decides when doubt becomes a verdict: at two speeds, by enough distinct accusers, and never
//! while a refutation may still be on its way.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::hash::{HashKey, domain};
use crate::base::id::NodeId;
use crate::base::time::Time;
use crate::flow;
use crate::limits::SUSPICIONS_MAX;
use crate::membership::record::Accusers;
use crate::membership::table::Slot;

/// One open doubt.
#[derive(Clone, Debug)]
pub struct Suspicion {
    pub incarnation: u64,
    pub started: Time,
    pub accusers: Accusers,
    /// When the first accuser that found the process gone was heard.
    pub refused: Option<Time>,
    /// Not decided before this: a pause of this process voids what it spans.
    pub not_before: Time,
    /// Witnesses are drawn again from time to time.
    pub attempt: u32,
    pub solicit_at: Time,
}

/// What the deadline depends on, in one place.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub min: Duration,
    pub max: Duration,
    /// Confirmations that bring it down to `min`.
    pub confirmations: usize,
    /// Distinct accusers that a verdict needs.
    pub required: usize,
    pub refused_wait: Duration,
}

impl Suspicion {
    pub fn deadline(&self, terms: &Terms) -> Time {
        let confirmations = self.accusers.len().saturating_sub(1);
        let silence = self.started
            + flow::suspicion_timeout(terms.min, terms.max, confirmations, terms.confirmations);
        let refused = match self.refused {
            Some(at) if self.accusers.refusals() >= terms.required => at + terms.refused_wait,
            _ => Time::NEVER,
        };
        silence.min(refused).max(self.not_before)
    }
}

/// Accusers that a verdict needs: `max(1, min(r, eligible))`, eligible being the members besides
/// the subject and the accuser that could confirm.
pub fn required_accusers(r: usize, eligible: usize) -> usize {
    r.min(eligible).max(1)
}

/// Whether a hash of the suspicion draws this node as one of about `witnesses` of `nodes`: no
/// scan of members, the same draw for everybody who asks.
pub fn is_witness(
    key: &HashKey,
    me: NodeId,
    subject: NodeId,
    incarnation: u64,
    attempt: u32,
    witnesses: usize,
    nodes: usize,
) -> bool {
    if witnesses == 0 || nodes <= witnesses + 1 {
        return witnesses > 0;
    }
    let draw = key.wide(
        domain::WITNESS,
        &[&me.0, &subject.0, &incarnation.to_le_bytes(), &attempt.to_le_bytes()],
    ) as u64;
    ((u128::from(draw) * nodes as u128) >> 64) < witnesses as u128
}

/// The open suspicions, by member; at most [`SUSPICIONS_MAX`].
#[derive(Debug, Default)]
pub struct Suspicions {
    open: BTreeMap<Slot, Suspicion>,
    /// Earliest time at which any of them may need attention; `NEVER` when none is open.
    attention: Time,
}

impl Suspicions {
    pub fn new() -> Suspicions {
        Suspicions { open: BTreeMap::new(), attention: Time::NEVER }
    }

    pub fn get(&self, slot: Slot) -> Option<&Suspicion> {
        self.open.get(&slot)
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Suspicion> {
        self.open.get_mut(&slot)
    }

    /// False when too many are open already.
    pub fn open(&mut self, slot: Slot, suspicion: Suspicion) -> bool {
        if self.open.len() >= SUSPICIONS_MAX {
            return false;
        }
        self.open.insert(slot, suspicion);
        true
    }

    pub fn close(&mut self, slot: Slot) -> Option<Suspicion> {
        let closed = self.open.remove(&slot);
        if self.open.is_empty() {
            self.attention = Time::NEVER;
        }
        closed
    }

    pub fn slots(&self) -> Vec<Slot> {
        self.open.keys().copied().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn next_attention(&self) -> Time {
        self.attention
    }

    /// Looks at a suspicion no later than `at`.
    pub fn attend(&mut self, at: Time) {
        self.attention = self.attention.min(at);
    }

    /// Recomputes when to look next, not before `soonest`.
    pub fn schedule(&mut self, terms: &Terms, soonest: Time) {
        let next = |s: &Suspicion| s.deadline(terms).min(s.solicit_at).max(soonest);
        self.attention = self.open.values().map(next).min().unwrap_or(Time::NEVER);
    }

    /// A pause of this process: nothing is decided before `at`.
    pub fn hold_until(&mut self, at: Time) {
        for suspicion in self.open.values_mut() {
            suspicion.not_before = suspicion.not_before.max(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::record::Cause;

    fn id(v: u128) -> NodeId {
        NodeId::from_u128(v)
    }

    fn open() -> Suspicion {
        Suspicion {
            incarnation: 1,
            started: Time::from_secs(100),
            accusers: Accusers::default(),
            refused: None,
            not_before: Time::ZERO,
            attempt: 0,
            solicit_at: Time::NEVER,
        }
    }

    const TERMS: Terms = Terms {
        min: Duration::from_secs(5),
        max: Duration::from_secs(30),
        confirmations: 3,
        required: 2,
        refused_wait: Duration::from_millis(500),
    };

    #[test]
    fn refusals_convict_fast_and_silence_slowly() {
        let mut s = open();
        s.accusers.add(id(1), Cause::Silence);
        assert_eq!(s.deadline(&TERMS), Time::from_secs(130));
        for i in 2..5 {
            s.accusers.add(id(i), Cause::Silence);
        }
        assert_eq!(s.deadline(&TERMS), Time::from_secs(105));
        s.refused = Some(Time::from_secs(101));
        s.accusers.add(id(1), Cause::Refused);
        assert_eq!(s.deadline(&TERMS), Time::from_secs(105), "one refusal is one observer");
        s.accusers.add(id(2), Cause::Refused);
        assert_eq!(s.deadline(&TERMS), Time::from_millis(101_500));
        s.not_before = Time::from_secs(110);
        assert_eq!(s.deadline(&TERMS), Time::from_secs(110));
    }

    #[test]
    fn about_eight_of_a_thousand_are_witnesses_and_all_of_a_few() {
        let key = HashKey::for_cluster("w");
        let drawn = |n: usize, attempt| {
            (0..n).filter(|&i| is_witness(&key, id(i as u128), id(9999), 1, attempt, 8, n)).count()
        };
        let mean: f64 = (0..200).map(|a| drawn(1000, a) as f64).sum::<f64>() / 200.0;
        assert!((mean - 8.0).abs() < 0.6, "{mean}");
        assert_eq!(drawn(9, 0), 9);
    }

    #[test]
    fn small_clusters_need_no_more_accusers_than_they_have() {
        assert_eq!(required_accusers(2, 0), 1);
        assert_eq!(required_accusers(2, 1), 1);
        assert_eq!(required_accusers(2, 7), 2);
    }
}
