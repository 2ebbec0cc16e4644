//! Decides what comes before what: hybrid logical clocks for last-writer-wins, dots that name
//! writes, and version vectors that say which writes were applied.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::id::NodeId;

/// A hybrid logical clock stamp (Kulkarni et al. 2014): 48 bits of wall milliseconds, 16 bits of
/// counter. Comparing stamps as integers respects happened-before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

/// The latest wall time of a stamp, in the year 6429: half of the range, so that there is always
/// room above a stamp for the writes that replace it.
pub const WALL_MS_MAX: u64 = (1 << 47) - 1;

impl Hlc {
    /// A wall clock beyond [`WALL_MS_MAX`] counts as that.
    pub const fn new(wall_ms: u64, counter: u16) -> Hlc {
        let wall_ms = if wall_ms > WALL_MS_MAX { WALL_MS_MAX } else { wall_ms };
        Hlc(wall_ms << 16 | counter as u64)
    }

    pub const fn wall_ms(self) -> u64 {
        self.0 >> 16
    }

    pub const fn next(self) -> Hlc {
        Hlc(self.0.saturating_add(1))
    }
}

/// A node's own hybrid clock. It follows remote stamps at most `bound` beyond wall time, so that
/// one bad clock cannot drag the cluster forward for ever.
#[derive(Clone, Debug)]
pub struct HybridClock {
    last: Hlc,
    bound_ms: u64,
}

impl HybridClock {
    pub fn new(bound: Duration) -> HybridClock {
        HybridClock { last: Hlc(0), bound_ms: bound.as_millis() as u64 }
    }

    pub fn set_bound(&mut self, bound: Duration) {
        self.bound_ms = bound.as_millis() as u64;
    }

    /// A stamp above every stamp seen and above `floor`, which is the stamp of the entry that the
    /// write replaces.
    pub fn stamp(&mut self, wall_ms: u64, floor: Hlc) -> Hlc {
        let next = Hlc::new(wall_ms, 0).max(self.last.next());
        self.last = next;
        next.max(floor.next())
    }

    /// Follows a remote stamp. False: it is further ahead of wall time than the bound and was not
    /// followed; the entry that carried it is merged all the same.
    pub fn observe(&mut self, wall_ms: u64, remote: Hlc) -> bool {
        if remote.wall_ms() > wall_ms.saturating_add(self.bound_ms) {
            return false;
        }
        self.last = self.last.max(remote);
        true
    }

    pub fn last(&self) -> Hlc {
        self.last
    }
}

/// Names one write: the `seq`-th of node `origin`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    pub origin: NodeId,
    pub seq: u64,
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.origin, self.seq)
    }
}

/// Names writes of one node in a row: those of one atomic group, or all up to some number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    pub origin: NodeId,
    pub from: u64,
    /// Included.
    pub to: u64,
}

impl From<Dot> for Run {
    fn from(dot: Dot) -> Run {
        Run { origin: dot.origin, from: dot.seq, to: dot.seq }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}..={}", self.origin, self.from, self.to)
    }
}

/// Which writes of one origin were applied: all up to `upto`, and single ones beyond it as
/// disjoint ascending intervals, at most [`INTERVALS_MAX`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub upto: u64,
    beyond: Vec<(u64, u64)>,
}

/// Intervals kept beyond the contiguous prefix. What does not fit is a hole, asked for again.
pub const INTERVALS_MAX: usize = 64;

impl Applied {
    pub fn covers(&self, seq: u64) -> bool {
        seq <= self.upto || self.beyond.iter().any(|&(a, b)| a <= seq && seq <= b)
    }

    /// All of `from..=to`. Intervals do not touch, so one of them has it or none.
    pub fn covers_range(&self, from: u64, to: u64) -> bool {
        to <= self.upto || self.beyond.iter().any(|&(a, b)| a <= from && to <= b)
    }

    /// Adds one write; returns whether the contiguous prefix moved.
    pub fn add(&mut self, seq: u64) -> bool {
        self.add_range(seq, seq)
    }

    /// Adds `from..=to`; returns whether the contiguous prefix moved.
    pub fn add_range(&mut self, from: u64, to: u64) -> bool {
        if to <= self.upto || from > to {
            return false;
        }
        if from <= self.upto + 1 {
            self.upto = to;
            self.absorb();
            return true;
        }
        let at = self.beyond.partition_point(|&(_, b)| b + 1 < from);
        let (mut from, mut to) = (from, to);
        let mut end = at;
        while end < self.beyond.len() && self.beyond[end].0 <= to + 1 {
            from = from.min(self.beyond[end].0);
            to = to.max(self.beyond[end].1);
            end += 1;
        }
        self.beyond.splice(at..end, [(from, to)]);
        self.beyond.truncate(INTERVALS_MAX);
        false
    }

    /// Joins the contiguous prefix of another replica.
    pub fn join(&mut self, upto: u64) -> bool {
        if upto <= self.upto {
            return false;
        }
        self.upto = upto;
        self.absorb();
        true
    }

    pub fn has_holes(&self) -> bool {
        !self.beyond.is_empty()
    }

    fn absorb(&mut self) {
        let mut eaten = 0;
        for &(a, b) in &self.beyond {
            if a > self.upto + 1 {
                break;
            }
            self.upto = self.upto.max(b);
            eaten += 1;
        }
        self.beyond.drain(..eaten);
    }
}

/// For each origin, which of its writes were applied here. A vector covers a dot only if the
/// entry, or the write that superseded it, was applied (rule 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector {
    origins: BTreeMap<NodeId, Applied>,
}

impl VersionVector {
    pub fn covers(&self, dot: Dot) -> bool {
        self.origins.get(&dot.origin).is_some_and(|a| a.covers(dot.seq))
    }

    /// All writes of the run were applied.
    pub fn covers_run(&self, run: Run) -> bool {
        self.origins.get(&run.origin).is_some_and(|a| a.covers_range(run.from, run.to))
    }

    pub fn upto(&self, origin: NodeId) -> u64 {
        self.origins.get(&origin).map_or(0, |a| a.upto)
    }

    pub fn add(&mut self, dot: Dot) -> bool {
        self.origins.entry(dot.origin).or_default().add(dot.seq)
    }

    pub fn add_range(&mut self, origin: NodeId, from: u64, to: u64) -> bool {
        self.origins.entry(origin).or_default().add_range(from, to)
    }

    pub fn join_origin(&mut self, origin: NodeId, upto: u64) -> bool {
        upto > 0 && self.origins.entry(origin).or_default().join(upto)
    }

    /// The contiguous prefixes, by origin: what is told to others.
    pub fn prefixes(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.origins.iter().filter(|(_, a)| a.upto > 0).map(|(&id, a)| (id, a.upto))
    }

    /// What was applied of this origin beyond its contiguous prefix.
    pub fn beyond(&self, origin: NodeId) -> &[(u64, u64)] {
        self.origins.get(&origin).map_or(&[], |a| &a.beyond)
    }

    /// The origin with this short form, and its contiguous prefix.
    pub fn find_short(&self, short: u64) -> Option<(NodeId, u64)> {
        let (&id, applied) = self.origins.range(NodeId::first_with_short(short)..).next()?;
        (id.short() == short).then_some((id, applied.upto))
    }

    pub fn origins(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.origins.keys().copied()
    }

    pub fn remove(&mut self, origin: NodeId) {
        self.origins.remove(&origin);
    }

    pub fn has_holes(&self) -> bool {
        self.origins.values().any(Applied::has_holes)
    }

    /// The origin whose identity begins so.
    pub fn origin_of(&self, short: u64) -> Option<NodeId> {
        let from = NodeId::from_u128(u128::from(short) << 64);
        let (&id, _) = self.origins.range(from..).next()?;
        (id.short() == short).then_some(id)
    }

    pub fn knows(&self, origin: NodeId) -> bool {
        self.origins.contains_key(&origin)
    }

    pub fn len(&self) -> usize {
        self.origins.len()
    }

    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn applied_matches_a_set_of_sequences() {
        let mut rng = Rng::from_u64(2);
        for _ in 0..300 {
            let mut applied = Applied::default();
            let mut model = BTreeSet::new();
            for _ in 0..60 {
                let from = 1 + rng.below(80);
                let to = from + rng.below(3);
                applied.add_range(from, to);
                model.extend(from..=to);
                if rng.chance(0.05) {
                    let upto = rng.below(30);
                    applied.join(upto);
                    model.extend(1..=upto);
                }
                let (a, b) = (1 + rng.below(80), rng.below(6));
                let all = (a..=a + b).all(|s| model.contains(&s));
                assert_eq!(applied.covers_range(a, a + b), all, "{applied:?} {a} {b}");
                for seq in 1..=90 {
                    assert_eq!(applied.covers(seq), model.contains(&seq), "{applied:?} at {seq}");
                }
                let prefix = (1..).take_while(|s| model.contains(s)).count() as u64;
                assert_eq!(applied.upto, prefix);
            }
        }
    }

    /// PAPERS 10: order respects happened-before under ±500 ms of skew, and stamps stay within the
    /// bound of the fastest clock.
    #[test]
    fn hybrid_clock_orders_messages_under_skew() {
        let mut rng = Rng::from_u64(3);
        let skew = [0u64, 500, 1000, 250];
        let mut clocks = vec![HybridClock::new(Duration::from_secs(10)); 4];
        let mut last = [Hlc(0); 4];
        let mut wall = 1_000_000;
        for _ in 0..100_000 {
            wall += rng.below(3);
            let (from, to) = (rng.index(4), rng.index(4));
            let sent = clocks[from].stamp(wall + skew[from], Hlc(0));
            assert!(sent > last[from]);
            last[from] = sent;
            assert!(clocks[to].observe(wall + skew[to], sent));
            let received = clocks[to].stamp(wall + skew[to], Hlc(0));
            assert!(received > sent);
            last[to] = last[to].max(received);
            assert!(received.wall_ms() <= wall + 1000);
        }
    }

    #[test]
    fn a_runaway_stamp_is_not_followed_but_a_write_still_goes_above_it() {
        let mut clock = HybridClock::new(Duration::from_secs(10));
        let runaway = Hlc::new(u64::from(u32::MAX), 0);
        assert!(!clock.observe(1_000, runaway));
        let over = clock.stamp(1_000, runaway);
        assert!(over > runaway);
        assert!(clock.stamp(1_001, Hlc(0)) < runaway);
    }
}
