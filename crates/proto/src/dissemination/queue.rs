//! Decides which rumours a packet carries: least sent first, in classes that cannot starve each
//! other, each sent a bounded number of times.
//!
//! The queue is keyed by an opaque (topic, number); the bytes live with their owners. Superseded
//! news is dropped by being queued again under the same key.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use super::trail::Trail;

/// The classes, in order of priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Topic {
    Accusation = 0,
    Member = 1,
    State = 2,
    Event = 3,
}

const TOPICS: [Topic; 4] = [Topic::Accusation, Topic::Member, Topic::State, Topic::Event];

/// Sends that the buckets tell apart; more count as this many.
const SENDS_MAX: usize = 128;

/// What encoding a rumour gave.
pub enum Encoded {
    /// Appended.
    Yes,
    /// Its owner has it no more: drop it.
    Gone,
}

/// How often a rumour was sent, and how it came here.
#[derive(Clone, Copy, Debug)]
struct Told {
    sends: u32,
    trail: Trail,
}

#[derive(Debug, Default)]
struct Class {
    /// Rumours by number of sends; an element is stale unless `sends` says otherwise.
    buckets: Vec<VecDeque<u64>>,
    sends: BTreeMap<u64, Told>,
    /// Taken by the packets being filled: key and sends before.
    taken: Vec<(u64, u32)>,
}

#[derive(Debug, Default)]
pub struct RumourQueue {
    classes: [Class; 4],
    /// Which class goes first in the next packet, accusations apart.
    turn: usize,
}

impl RumourQueue {
    /// Queues news, or news that supersedes what the key meant. Where `most` of the topic wait
    /// already, the one that was told most often is shed; returns whether one was.
    pub fn push(&mut self, topic: Topic, key: u64, trail: Trail, most: usize) -> bool {
        let class = &mut self.classes[topic as usize];
        let full = class.sends.len() >= most && !class.sends.contains_key(&key);
        let shed = full && class.shed();
        let before = class.sends.insert(key, Told { sends: 0, trail });
        if before.is_none_or(|told| told.sends > 0) {
            class.bucket(0).push_back(key);
        }
        shed
    }

    /// Queues more about what was told already, for a last round of so many copies. What is still
    /// queued says it anyway.
    pub fn remind(&mut self, topic: Topic, key: u64, copies: u32, limit: u32) {
        let class = &mut self.classes[topic as usize];
        let Entry::Vacant(place) = class.sends.entry(key) else { return };
        let sends = sends_max(topic as usize, limit).saturating_sub(copies);
        place.insert(Told { sends, trail: Trail::NONE });
        class.bucket(sends).push_back(key);
    }

    pub fn remove(&mut self, topic: Topic, key: u64) {
        self.classes[topic as usize].sends.remove(&key);
    }

    /// Some rumour that the next packet begins with, accusations apart: one of the least sent.
    pub fn first(&self) -> Option<(Topic, u64)> {
        const LOOKED_AT: usize = 4;
        for topic in [Topic::State, Topic::Event, Topic::Member] {
            let class = &self.classes[topic as usize];
            let queued = class.buckets.iter().flat_map(|bucket| bucket.iter().take(LOOKED_AT));
            if let Some(&key) = queued.clone().find(|&key| class.sends.contains_key(key)) {
                return Some((topic, key));
            }
        }
        None
    }

    /// One of its sends went nowhere.
    pub fn unsend(&mut self, (topic, key): (u8, u64), limit: u32) {
        let topic = TOPICS[usize::from(topic)];
        let class = &mut self.classes[topic as usize];
        match class.sends.get_mut(&key) {
            Some(told) if told.sends > 1 => {
                told.sends -= 1;
                let sends = told.sends;
                class.bucket(sends).push_back(key);
            }
            Some(_) => {}
            None => self.remind(topic, key, 1, limit),
        }
    }

    pub fn has(&self, topic: Topic, key: u64) -> bool {
        self.classes[topic as usize].sends.contains_key(&key)
    }

    /// It was heard from a member who had heard it again `theirs` times: counts where that is no less
    /// than here (minimization). Returns how often; 0 for what is not told.
    pub fn heard_again(&mut self, topic: Topic, key: u64, theirs: u8) -> u32 {
        let Some(told) = self.classes[topic as usize].sends.get_mut(&key) else { return 0 };
        if theirs >= told.trail.heard_again() {
            told.trail.hear_again();
        }
        u32::from(told.trail.heard_again())
    }

    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(|c| c.sends.is_empty())
    }

    pub fn len(&self) -> usize {
        self.classes.iter().map(|c| c.sends.len()).sum()
    }

    /// Rumours of one topic.
    pub fn waiting(&self, topic: Topic) -> usize {
        self.classes[topic as usize].sends.len()
    }

    /// Rumours of one topic that were never told, or a few more.
    pub fn untold(&self, topic: Topic) -> usize {
        let class = &self.classes[topic as usize];
        class.buckets.first().map_or(0, VecDeque::len).min(class.sends.len())
    }

    /// Some rumour was never sent.
    pub fn has_fresh(&mut self) -> bool {
        self.classes.iter_mut().any(|c| {
            while let Some(&key) = c.bucket(0).front() {
                if c.sends.get(&key).is_some_and(|told| told.sends == 0) {
                    return true;
                }
                c.bucket(0).pop_front();
            }
            false
        })
    }

    /// Fills `out` up to `end` bytes. What was taken is not taken again before [`Self::sent`].
    /// Returns how many rumours of each topic went in.
    pub fn fill(
        &mut self,
        out: &mut Vec<u8>,
        end: usize,
        mut encode: impl FnMut(Topic, u64, Trail, &mut Vec<u8>) -> Encoded,
    ) -> [usize; 4] {
        let mut counts = [0; 4];
        self.turn = (self.turn + 1) % 3;
        for place in 0..4 {
            let index = if place == 0 { 0 } else { 1 + (self.turn + place - 1) % 3 };
            // While others wait, the class whose turn it is not leaves them a third of what is left.
            let others = (1..4).any(|i| i != index && !self.classes[i].sends.is_empty());
            let room = end.saturating_sub(out.len());
            let until = if others && place == 1 { out.len() + room * 2 / 3 } else { end };
            // The first rumour of the class whose turn it is may have it all: a large one goes too.
            let first = if place == 1 { end } else { until };
            counts[index] = self.classes[index]
                .fill(out, first, until, |key, trail, out| encode(TOPICS[index], key, trail, out));
        }
        counts
    }

    /// What was taken went to `copies` peers; rumours sent `limit` times are dropped.
    pub fn sent(&mut self, copies: u32, limit: u32) {
        for (topic, class) in self.classes.iter_mut().enumerate() {
            let limit = sends_max(topic, limit);
            for i in 0..class.taken.len() {
                let (key, before) = class.taken[i];
                let Some(told) = class.sends.get_mut(&key).filter(|told| told.sends == before)
                else {
                    continue; // superseded or removed meanwhile
                };
                let sends = before + copies;
                told.sends = sends;
                if sends >= limit {
                    class.sends.remove(&key);
                } else {
                    class.bucket(sends).push_back(key);
                }
            }
            class.taken.clear();
        }
    }
}

/// Accusations are half as long-lived: each further accuser tells them anew.
fn sends_max(topic: usize, limit: u32) -> u32 {
    if topic == Topic::Accusation as usize { limit.div_ceil(2) } else { limit }
}

impl Class {
    fn bucket(&mut self, sends: u32) -> &mut VecDeque<u64> {
        let at = (sends as usize).min(SENDS_MAX - 1);
        if self.buckets.len() <= at {
            self.buckets.resize_with(at + 1, VecDeque::new);
        }
        &mut self.buckets[at]
    }

    /// Drops what was told most often: others tell it too. Of what was never told, the newest.
    fn shed(&mut self) -> bool {
        for at in (0..self.buckets.len()).rev() {
            while let Some(key) = self.buckets[at].pop_back() {
                let told = self.sends.get(&key);
                if told.is_some_and(|told| (told.sends as usize).min(SENDS_MAX - 1) == at) {
                    self.sends.remove(&key);
                    return true;
                }
            }
        }
        false
    }

    fn fill(
        &mut self,
        out: &mut Vec<u8>,
        first: usize,
        end: usize,
        mut encode: impl FnMut(u64, Trail, &mut Vec<u8>) -> Encoded,
    ) -> usize {
        const MISFITS_MAX: usize = 4;
        let mut count = 0;
        let mut misfits: Vec<(u64, u32)> = Vec::new();
        'buckets: for sends in 0..self.buckets.len() as u32 {
            while let Some(key) = self.buckets[sends as usize].pop_front() {
                let told = self.sends.get(&key).copied();
                let Some(told) = told.filter(|t| t.sends.min(SENDS_MAX as u32 - 1) == sends) else {
                    continue;
                };
                let start = out.len();
                match encode(key, told.trail, out) {
                    Encoded::Gone => {
                        self.sends.remove(&key);
                    }
                    Encoded::Yes if out.len() <= if count == 0 { first } else { end } => {
                        self.taken.push((key, told.sends));
                        count += 1;
                    }
                    Encoded::Yes => {
                        out.truncate(start);
                        misfits.push((key, sends));
                        if misfits.len() >= MISFITS_MAX {
                            break 'buckets;
                        }
                    }
                }
            }
        }
        for (key, sends) in misfits.into_iter().rev() {
            self.buckets[sends as usize].push_front(key);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(topic: Topic, key: u64, _: Trail, out: &mut Vec<u8>) -> Encoded {
        out.extend_from_slice(&[topic as u8; 9]);
        out.push(key as u8);
        Encoded::Yes
    }

    #[test]
    fn each_rumour_is_sent_up_to_its_limit_and_least_sent_first() {
        let mut q = RumourQueue::default();
        for key in 0..30 {
            q.push(Topic::Member, key, Trail::NONE, 10_000);
        }
        let mut sends = [0u32; 30];
        for _ in 0..200 {
            let mut out = Vec::new();
            q.fill(&mut out, 100, encode);
            assert!(out.len() <= 100);
            for item in out.chunks(10) {
                sends[item[9] as usize] += 3;
            }
            let spread = sends.iter().max().unwrap() - sends.iter().min().unwrap();
            assert!(spread <= 3, "{sends:?}");
            q.sent(3, 9);
            if q.is_empty() {
                break;
            }
        }
        assert_eq!(sends, [9; 30]);
    }

    /// Row E6: nothing starves, nothing exceeds the cap.
    #[test]
    fn a_flood_of_events_leaves_room_for_state_and_members() {
        let mut q = RumourQueue::default();
        for key in 0..1000 {
            q.push(Topic::Event, key, Trail::NONE, 10_000);
        }
        q.push(Topic::State, 1, Trail::NONE, 10_000);
        q.push(Topic::Member, 2, Trail::NONE, 10_000);
        let mut seen = [0; 4];
        for _ in 0..3 {
            let mut out = Vec::new();
            let counts = q.fill(&mut out, 100, encode);
            q.sent(1, 100);
            for i in 0..4 {
                seen[i] += counts[i];
            }
        }
        assert!(seen[1] >= 1 && seen[2] >= 1 && seen[3] >= 9, "{seen:?}");
    }

    #[test]
    fn news_queued_again_starts_anew_and_is_not_taken_twice_in_one_go() {
        let mut q = RumourQueue::default();
        q.push(Topic::State, 7, Trail::NONE, 10_000);
        let mut out = Vec::new();
        q.fill(&mut out, 100, encode);
        assert_eq!(q.fill(&mut out, 100, encode), [0; 4]);
        q.sent(3, 5);
        assert!(!q.has_fresh() && q.len() == 1);
        q.push(Topic::State, 7, Trail::NONE, 10_000);
        assert!(q.has_fresh());
        q.fill(&mut out, 100, encode);
        q.sent(5, 5);
        assert!(q.is_empty());
    }

    /// Row O4: a class never holds more than its limit; what was told most goes first, and every
    /// shed rumour is told of.
    #[test]
    fn a_full_class_sheds_what_was_told_most() {
        let mut q = RumourQueue::default();
        let mut out = Vec::new();
        (0..4).for_each(|key| assert!(!q.push(Topic::Event, key, Trail::NONE, 6)));
        q.fill(&mut out, 20, encode);
        q.sent(1, 9);
        let told: Vec<u8> = out.chunks(10).map(|item| item[9]).collect();
        assert_eq!(told.len(), 2);
        let shed = (4..10).filter(|&key| q.push(Topic::Event, key, Trail::NONE, 6)).count();
        assert_eq!((shed, q.waiting(Topic::Event)), (4, 6));
        assert!(!q.push(Topic::Event, 4, Trail::NONE, 6), "queued already");
        assert!(!q.push(Topic::State, 1, Trail::NONE, 6), "another class has room");
        out.clear();
        q.fill(&mut out, 10_000, encode);
        let left: Vec<u8> = out.chunks(10).filter(|i| i[0] == 3).map(|i| i[9]).collect();
        assert_eq!(left.len(), 6);
        assert!(told.iter().all(|key| !left.contains(key)), "{told:?} {left:?}");
    }
}
