//! Decides what a scuttlebutt exchange carries: which deltas, in which order, and what a digest
//! claims (van Renesse et al., LADIS 2008; PAPERS 9).

use tidings_proto::base::rng::Rng;

/// Which deltas go first when not all fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Compared key by key: the oldest updates first.
    PreciseOldest,
    /// Compared key by key: the newest updates first.
    PreciseNewest,
    /// Compared by the highest version of each origin: one delta of each origin in turn.
    Breadth,
    /// As breadth, but the origin with most deltas first, its whole backlog.
    Depth,
}

impl Order {
    pub(super) const ALL: [Order; 4] =
        [Order::PreciseOldest, Order::PreciseNewest, Order::Breadth, Order::Depth];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Order::PreciseOldest => "precise-oldest",
            Order::PreciseNewest => "precise-newest",
            Order::Breadth => "scuttle-breadth",
            Order::Depth => "scuttle-depth",
        }
    }

    /// Deltas of one origin go in the order of their versions, so that a highest version says all.
    pub(super) fn is_gap_free(self) -> bool {
        matches!(self, Order::Breadth | Order::Depth)
    }
}

/// One key's latest value, by its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    origin: usize,
    key: usize,
    version: u32,
}

/// What one participant sends another in one exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) deltas: Vec<Delta>,
    /// False: some update of the sender itself did not fit.
    pub(super) own_fit: bool,
}

/// All participants and what each holds of every origin's keys.
#[derive(Clone, Debug)]
pub(super) struct Group {
    participants: usize,
    keys: usize,
    /// Version by holder, origin, key; 0: never updated.
    held: Vec<u32>,
    /// Highest version by holder, origin: the digest.
    highest: Vec<u32>,
    /// By origin: the key and the time in seconds of each update; version v is at v - 1.
    updates: Vec<Vec<(usize, f64)>>,
}

impl Group {
    pub(super) fn new(participants: usize, keys: usize) -> Group {
        Group {
            participants,
            keys,
            held: vec![0; participants * participants * keys],
            highest: vec![0; participants * participants],
            updates: vec![Vec::new(); participants],
        }
    }

    /// A participant changes one of its own keys.
    pub(super) fn update(&mut self, origin: usize, key: usize, at: f64) {
        self.updates[origin].push((key, at));
        let delta = Delta { origin, key, version: self.updates[origin].len() as u32 };
        self.apply(origin, &[delta]);
    }

    pub(super) fn apply(&mut self, holder: usize, deltas: &[Delta]) {
        for d in deltas {
            let row = holder * self.participants + d.origin;
            let held = &mut self.held[row * self.keys + d.key];
            *held = d.version.max(*held);
            self.highest[row] = d.version.max(self.highest[row]);
        }
    }

    /// At most `most` deltas that `from` holds and `to` lacks.
    pub(super) fn message(
        &self,
        from: usize,
        to: usize,
        order: Order,
        most: usize,
        rng: &mut Rng,
    ) -> Message {
        let mut backlog = match order.is_gap_free() {
            true => self.above_the_digest(from, to),
            false => self.key_by_key(from, to),
        };
        let all: usize = backlog.iter().map(Vec::len).sum();
        let own = |list: &[Delta]| list.iter().filter(|d| d.origin == from).count();
        let own_all: usize = backlog.iter().map(|list| own(list)).sum();
        if all > most {
            rng.shuffle(&mut backlog); // ties are broken at random
        }
        let mut deltas = match order {
            Order::Depth => {
                backlog.sort_by_key(|list| std::cmp::Reverse(list.len()));
                backlog.concat()
            }
            Order::Breadth => in_turn(&backlog, most),
            Order::PreciseOldest | Order::PreciseNewest => {
                let mut list = backlog.concat();
                list.sort_by(|a, b| self.at(a).total_cmp(&self.at(b)));
                if order == Order::PreciseNewest {
                    list.reverse();
                }
                list
            }
        };
        deltas.truncate(most);
        Message { own_fit: own(&deltas) == own_all, deltas }
    }

    /// By origin, what is above the highest version that `to` claims, in the order of versions.
    fn above_the_digest(&self, from: usize, to: usize) -> Vec<Vec<Delta>> {
        let mut backlog = Vec::new();
        for origin in 0..self.participants {
            let known = self.highest[to * self.participants + origin];
            if self.highest[from * self.participants + origin] <= known {
                continue;
            }
            let newer =
                |(key, &version)| (version > known).then_some(Delta { origin, key, version });
            let mut list: Vec<Delta> =
                self.row(from, origin).iter().enumerate().filter_map(newer).collect();
            list.sort_unstable_by_key(|d| d.version);
            backlog.push(list);
        }
        backlog
    }

    /// By origin, every key that `from` holds newer than `to`.
    fn key_by_key(&self, from: usize, to: usize) -> Vec<Vec<Delta>> {
        let differs = |&origin: &usize| self.row(from, origin) != self.row(to, origin);
        let of = |origin: usize| -> Vec<Delta> {
            let pairs = self.row(from, origin).iter().zip(self.row(to, origin));
            let newer = pairs.enumerate().filter(|(_, (mine, theirs))| mine > theirs);
            newer.map(|(key, (&version, _))| Delta { origin, key, version }).collect()
        };
        let lists = (0..self.participants).filter(differs).map(of);
        lists.filter(|list| !list.is_empty()).collect()
    }

    fn row(&self, holder: usize, origin: usize) -> &[u32] {
        let start = (holder * self.participants + origin) * self.keys;
        &self.held[start..start + self.keys]
    }

    fn at(&self, d: &Delta) -> f64 {
        self.updates[d.origin][d.version as usize - 1].1
    }

    /// Keys of which a holder lacks the latest value, and for how long it has lacked something
    /// of them at most, in seconds.
    pub(super) fn staleness(&self, holder: usize, now: f64) -> (usize, f64) {
        let (mut entries, mut longest) = (0, 0.0f64);
        for origin in 0..self.participants {
            if self.row(holder, origin) == self.row(origin, origin) {
                continue;
            }
            let pairs = self.row(holder, origin).iter().zip(self.row(origin, origin));
            for (key, (&held, _)) in pairs.enumerate().filter(|(_, (h, o))| h < o) {
                let later = &self.updates[origin][held as usize..];
                let missed = later.iter().find(|(k, _)| *k == key).expect("a newer update exists");
                (entries, longest) = (entries + 1, longest.max(now - missed.1));
            }
        }
        (entries, longest)
    }

    pub(super) fn all_equal(&self) -> bool {
        self.pairs().all(|(holder, origin)| self.row(holder, origin) == self.row(origin, origin))
    }

    /// How often invariant C is broken: a holder claims a version of an origin and lacks a key
    /// that the origin holds at or below it.
    pub(super) fn gaps(&self) -> usize {
        let lacks = |(holder, origin): (usize, usize)| {
            if self.row(holder, origin) == self.row(origin, origin) {
                return 0;
            }
            let claimed = self.highest[holder * self.participants + origin];
            let pairs = self.row(holder, origin).iter().zip(self.row(origin, origin));
            pairs.filter(|&(held, of_origin)| *of_origin <= claimed && held < of_origin).count()
        };
        self.pairs().map(lacks).sum()
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let n = self.participants;
        (0..n * n).map(move |i| (i / n, i % n))
    }

    /// A digest as it is sent: a hash of the list of origins, then one highest version (LEB128)
    /// for each in the order of that list, which both sides hold as their membership.
    pub(super) fn digest_bytes(&self, holder: usize) -> usize {
        const LIST_HASH: usize = 8;
        let start = holder * self.participants;
        let versions = &self.highest[start..start + self.participants];
        LIST_HASH + versions.iter().map(|&v| leb128_bytes(v)).sum::<usize>()
    }
}

/// One of each list, then the second of each, and so on.
fn in_turn(backlog: &[Vec<Delta>], most: usize) -> Vec<Delta> {
    let deepest = backlog.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..deepest).flat_map(|i| backlog.iter().filter_map(move |list| list.get(i)));
    turns.take(most).copied().collect()
}

fn leb128_bytes(value: u32) -> usize {
    (32 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(message: &Message) -> Vec<(usize, usize)> {
        message.deltas.iter().map(|d| (d.origin, d.key)).collect()
    }

    #[test]
    fn depth_sends_the_longest_backlog_first_and_breadth_takes_turns() {
        let mut group = Group::new(3, 4);
        for (origin, key) in [(0, 0), (1, 0), (1, 1), (1, 2)] {
            group.update(origin, key, 0.0);
        }
        let rng = &mut Rng::from_u64(1);
        let from_one = group.message(1, 0, Order::Depth, 100, rng);
        group.apply(0, &from_one.deltas);
        let depth = group.message(0, 2, Order::Depth, 3, rng);
        assert_eq!(keys(&depth), [(1, 0), (1, 1), (1, 2)]);
        assert!(!depth.own_fit, "its own one did not fit");
        let breadth = group.message(0, 2, Order::Breadth, 3, rng);
        assert_eq!(breadth.deltas.iter().filter(|d| d.origin == 0).count(), 1);
        assert!(breadth.own_fit);
    }

    #[test]
    fn a_gap_is_seen_and_only_precise_orders_make_one() {
        let mut group = Group::new(2, 3);
        for key in 0..3 {
            group.update(0, key, key as f64);
        }
        let rng = &mut Rng::from_u64(1);
        for (order, first, gaps) in
            [(Order::PreciseNewest, 2, 2), (Order::PreciseOldest, 0, 0), (Order::Depth, 0, 0)]
        {
            let mut copy = group.clone();
            let message = copy.message(0, 1, order, 1, rng);
            assert_eq!(keys(&message), [(0, first)]);
            copy.apply(1, &message.deltas);
            assert_eq!(copy.gaps(), gaps, "{order:?}");
        }
    }

    #[test]
    fn staleness_counts_from_the_first_update_that_was_missed() {
        let mut group = Group::new(2, 2);
        group.update(0, 1, 1.0);
        group.update(0, 1, 4.0);
        assert_eq!(group.staleness(1, 5.0), (1, 4.0));
        let all = group.message(0, 1, Order::Depth, 9, &mut Rng::from_u64(1));
        group.apply(1, &all.deltas);
        assert_eq!(group.staleness(1, 5.0), (0, 0.0));
        assert!(group.all_equal());
    }

    #[test]
    fn a_version_takes_a_byte_for_each_seven_bits() {
        assert_eq!([0, 127, 128, 16_383, 16_384].map(leb128_bytes), [1, 1, 2, 2, 3]);
    }
}
