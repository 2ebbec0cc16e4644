//! Decides which rumours a packet carries: least sent first, in classes that cannot starve each
//! other, each sent a bounded number of times.
//!
//! The queue is keyed by an opaque (topic, number); the bytes live with their owners. Superseded
//! news is dropped by being queued again under the same key. All that happens to a rumour costs the
//! same whatever else waits: rumours are linked into one list for each number of sends.

use super::trail::Trail;
use crate::base::slots::SlotIndex;

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
const SENDS_MAX: u32 = 128;

/// What encoding a rumour gave.
pub enum Encoded {
    /// Appended.
    Yes,
    /// Its owner has it no more: drop it.
    Gone,
}

/// A rumour, linked to its neighbours among those sent as often.
#[derive(Clone, Copy, Debug)]
struct Rumour {
    key: u64,
    /// How it came here.
    trail: Trail,
    sends: u32,
    next: u32,
    before: u32,
    /// The list that it is in.
    list: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    len: usize,
}

/// No rumour.
const END: u32 = u32::MAX;
/// The list of those taken by the packets being filled; after it, one for each number of sends.
const TAKEN: u32 = 0;
const FRESH: u32 = 1;
/// Rumours that an empty class keeps room for; what a storm took beyond is given back.
const KEPT_MOST: usize = 256;

/// A class of rumours: places are reused, the free ones linked by `next`.
#[derive(Debug)]
struct Class {
    rumours: Vec<Rumour>,
    free: u32,
    len: usize,
    by_key: SlotIndex,
    lists: Vec<List>,
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
        let found = class.find(key);
        let shed = found.is_none() && class.len >= most && class.shed();
        let at = match found {
            Some(at) if class.rumours[at as usize].list == FRESH => {
                class.rumours[at as usize].trail = trail;
                return false;
            }
            Some(at) => {
                class.unlink(at);
                at
            }
            None => class.add(key),
        };
        let rumour = &mut class.rumours[at as usize];
        (rumour.trail, rumour.sends) = (trail, 0);
        class.link(at, FRESH);
        shed
    }

    /// Queues more about what was told already, for a last round of so many copies. What is still
    /// queued says it anyway.
    pub fn remind(&mut self, topic: Topic, key: u64, copies: u32, limit: u32) {
        let class = &mut self.classes[topic as usize];
        if class.find(key).is_none() {
            let at = class.add(key);
            let sends = sends_max(topic as usize, limit).saturating_sub(copies);
            class.rumours[at as usize].sends = sends;
            class.link(at, list_of(sends));
        }
    }

    pub fn remove(&mut self, topic: Topic, key: u64) {
        let class = &mut self.classes[topic as usize];
        if let Some(at) = class.find(key) {
            class.remove(at);
        }
    }

    /// Some rumour that the next packet begins with, accusations apart: one of the least sent.
    pub fn first(&self) -> Option<(Topic, u64)> {
        [Topic::State, Topic::Event, Topic::Member].into_iter().find_map(|topic| {
            let class = &self.classes[topic as usize];
            let mut lists = class.lists.iter().skip(FRESH as usize);
            let least_sent = lists.find(|list| list.first != END)?;
            Some((topic, class.rumours[least_sent.first as usize].key))
        })
    }

    /// One of its sends went nowhere.
    pub fn unsend(&mut self, (topic, key): (u8, u64), limit: u32) {
        let topic = TOPICS[usize::from(topic)];
        let class = &mut self.classes[topic as usize];
        let Some(at) = class.find(key) else { return self.remind(topic, key, 1, limit) };
        let sends = class.rumours[at as usize].sends;
        if sends > 1 {
            class.rumours[at as usize].sends = sends - 1;
            class.unlink(at);
            class.link(at, list_of(sends - 1));
        }
    }

    pub fn has(&self, topic: Topic, key: u64) -> bool {
        self.classes[topic as usize].find(key).is_some()
    }

    /// It was heard from a member who had heard it again `theirs` times: counts where that is no less
    /// than here (minimization). Returns how often; 0 for what is not told.
    pub fn heard_again(&mut self, topic: Topic, key: u64, theirs: u8) -> u32 {
        let class = &mut self.classes[topic as usize];
        let Some(at) = class.find(key) else { return 0 };
        let trail = &mut class.rumours[at as usize].trail;
        if theirs >= trail.heard_again() {
            trail.hear_again();
        }
        u32::from(trail.heard_again())
    }

    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(|c| c.len == 0)
    }

    pub fn len(&self) -> usize {
        self.classes.iter().map(|c| c.len).sum()
    }

    /// Rumours of one topic.
    pub fn waiting(&self, topic: Topic) -> usize {
        self.classes[topic as usize].len
    }

    /// Rumours of one topic that were never told.
    pub fn untold(&self, topic: Topic) -> usize {
        self.classes[topic as usize].lists.get(FRESH as usize).map_or(0, |list| list.len)
    }

    /// Some rumour was never sent.
    pub fn has_fresh(&self) -> bool {
        self.classes.iter().any(|c| c.first(FRESH) != END)
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
            let others = (1..4).any(|i| i != index && self.classes[i].len > 0);
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
            while class.first(TAKEN) != END {
                let at = class.first(TAKEN);
                let sends = class.rumours[at as usize].sends + copies;
                if sends >= limit {
                    class.remove(at);
                } else {
                    class.rumours[at as usize].sends = sends;
                    class.unlink(at);
                    class.link(at, list_of(sends));
                }
            }
        }
    }
}

/// Accusations are half as long-lived: each further accuser tells them anew.
fn sends_max(topic: usize, limit: u32) -> u32 {
    if topic == Topic::Accusation as usize { limit.div_ceil(2) } else { limit }
}

fn list_of(sends: u32) -> u32 {
    FRESH + sends.min(SENDS_MAX - 1)
}

impl Default for Class {
    fn default() -> Class {
        let (rumours, by_key, lists) = (Vec::new(), SlotIndex::default(), Vec::new());
        Class { rumours, free: END, len: 0, by_key, lists }
    }
}

impl Class {
    fn fill(
        &mut self,
        out: &mut Vec<u8>,
        first: usize,
        end: usize,
        mut encode: impl FnMut(u64, Trail, &mut Vec<u8>) -> Encoded,
    ) -> usize {
        const MISFITS_MAX: usize = 4;
        let (mut count, mut misfits) = (0, 0);
        for list in FRESH..self.lists.len() as u32 {
            let mut at = self.first(list);
            while at != END {
                let Rumour { key, trail, next, .. } = self.rumours[at as usize];
                let start = out.len();
                match encode(key, trail, out) {
                    Encoded::Gone => self.remove(at),
                    Encoded::Yes if out.len() <= if count == 0 { first } else { end } => {
                        self.unlink(at);
                        self.link(at, TAKEN);
                        count += 1;
                    }
                    Encoded::Yes => {
                        out.truncate(start);
                        misfits += 1;
                        if misfits >= MISFITS_MAX {
                            return count;
                        }
                    }
                }
                at = next;
            }
        }
        count
    }

    /// Drops what was told most often: others tell it too. Of what was never told, the newest.
    fn shed(&mut self) -> bool {
        let lists = self.lists.iter().skip(FRESH as usize).rev();
        let last = lists.map(|list| list.last).find(|&last| last != END);
        if let Some(last) = last {
            self.remove(last);
        }
        last.is_some()
    }

    fn find(&self, key: u64) -> Option<u32> {
        self.by_key.find(key, |at| self.rumours[at as usize].key == key)
    }

    /// A place for a rumour of this key, in no list yet.
    fn add(&mut self, key: u64) -> u32 {
        let rumour =
            Rumour { key, trail: Trail::NONE, sends: 0, next: END, before: END, list: FRESH };
        let at = if self.free == END {
            self.rumours.push(rumour);
            self.rumours.len() as u32 - 1
        } else {
            let at = self.free;
            self.free = self.rumours[at as usize].next;
            self.rumours[at as usize] = rumour;
            at
        };
        let rumours = &self.rumours;
        self.by_key.insert(key, at, |at| rumours[at as usize].key);
        self.len += 1;
        at
    }

    fn remove(&mut self, at: u32) {
        self.unlink(at);
        self.by_key.remove(self.rumours[at as usize].key, at);
        self.rumours[at as usize].next = self.free;
        self.free = at;
        self.len -= 1;
        if self.len == 0 && self.rumours.len() > KEPT_MOST {
            *self = Class::default();
        }
    }

    fn first(&self, list: u32) -> u32 {
        self.lists.get(list as usize).map_or(END, |list| list.first)
    }

    /// Puts a rumour that is in no list at the end of one.
    fn link(&mut self, at: u32, list: u32) {
        if self.lists.len() <= list as usize {
            self.lists.resize(list as usize + 1, List { first: END, last: END, len: 0 });
        }
        let ends = &mut self.lists[list as usize];
        ends.len += 1;
        let before = std::mem::replace(&mut ends.last, at);
        if before == END {
            ends.first = at;
        } else {
            self.rumours[before as usize].next = at;
        }
        let rumour = &mut self.rumours[at as usize];
        (rumour.before, rumour.next, rumour.list) = (before, END, list);
    }

    fn unlink(&mut self, at: u32) {
        let Rumour { before, next, list, .. } = self.rumours[at as usize];
        let ends = &mut self.lists[list as usize];
        ends.len -= 1;
        if before == END {
            ends.first = next;
        }
        if next == END {
            ends.last = before;
        }
        if before != END {
            self.rumours[before as usize].next = next;
        }
        if next != END {
            self.rumours[next as usize].before = before;
        }
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
