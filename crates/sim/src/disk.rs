//! Decides what survives a crash: transactions are applied in order, each after a delay; of
//! those still in the queue at a crash a random prefix turns out to be durable.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidings_proto::Time;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::Persist;

/// The data directory of one host.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    queue: VecDeque<Persist>,
    last_done: Time,
    /// Writes fail until this is unset.
    pub failing: bool,
    pub latency: Duration,
}

/// What became of the oldest transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done { upto: u64 },
    Failed { seq: u64 },
}

impl Disk {
    pub fn new(latency: Duration) -> Disk {
        Disk { latency, ..Disk::default() }
    }

    /// Queues a transaction; returns when it will be through.
    pub fn submit(&mut self, now: Time, persist: Persist) -> Time {
        self.queue.push_back(persist);
        self.last_done = (now + self.latency).max(self.last_done);
        self.last_done
    }

    /// The oldest transaction is through, or fails and takes all later ones with it.
    pub fn complete(&mut self) -> Option<Outcome> {
        let oldest = self.queue.pop_front()?;
        let seq = oldest.seq;
        if self.failing {
            self.queue.clear();
            return Some(Outcome::Failed { seq });
        }
        self.apply(oldest);
        Some(Outcome::Done { upto: seq })
    }

    /// The process dies: what was queued is durable up to a point that nobody knows.
    pub fn crash(&mut self, rng: &mut Rng) {
        let durable =
            if self.failing { 0 } else { rng.below(self.queue.len() as u64 + 1) as usize };
        for _ in 0..durable {
            let persist = self.queue.pop_front().expect("the prefix is within the queue");
            self.apply(persist);
        }
        self.queue.clear();
    }

    pub fn erase(&mut self) {
        self.pairs.clear();
        self.queue.clear();
    }

    pub fn pairs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.pairs.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// A copy of the data directory as a careless operator would make it, for
    /// [`Disk::roll_back`] here or on another host.
    pub fn snapshot(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.pairs.clone()
    }

    pub fn roll_back(&mut self, pairs: BTreeMap<Vec<u8>, Vec<u8>>) {
        self.pairs = pairs;
    }

    fn apply(&mut self, persist: Persist) {
        for (key, value) in persist.changes {
            match value {
                Some(value) => self.pairs.insert(key, value),
                None => self.pairs.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(seq: u64, key: u8) -> Persist {
        Persist { seq, changes: vec![(vec![key], Some(vec![key]))] }
    }

    #[test]
    fn a_crash_keeps_a_prefix_of_the_queue_and_all_that_was_done() {
        let mut kept = [0; 4];
        for seed in 0..200 {
            let mut disk = Disk { latency: Duration::from_millis(1), ..Disk::default() };
            for n in 0..4u8 {
                disk.submit(Time::ZERO, set(u64::from(n) + 1, n));
            }
            assert_eq!(disk.complete(), Some(Outcome::Done { upto: 1 }));
            disk.crash(&mut Rng::from_u64(seed));
            let keys: Vec<u8> = disk.pairs().iter().map(|(k, _)| k[0]).collect();
            assert_eq!(keys, (0..keys.len() as u8).collect::<Vec<_>>());
            kept[keys.len() - 1] += 1;
        }
        assert!(kept.iter().all(|&n| n > 20), "{kept:?}");
    }

    #[test]
    fn a_failing_disk_fails_the_oldest_and_drops_the_rest() {
        let mut disk = Disk { failing: true, ..Disk::default() };
        disk.submit(Time::ZERO, set(1, 1));
        disk.submit(Time::ZERO, set(2, 2));
        assert_eq!(disk.complete(), Some(Outcome::Failed { seq: 1 }));
        assert_eq!(disk.complete(), None);
        assert!(disk.pairs().is_empty());
    }
}
