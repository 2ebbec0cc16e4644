//! Decides which rumours a packet carries: least sent first, in classes that cannot starve each
//! other, each sent a bounded number of times.
//!
//! The queue is keyed by an opaque (topic, number); the bytes live with their owners, but for those
//! that are short and ready to be sent as they are. Superseded news is dropped by being queued again
//! under the same key. All that happens to a rumour costs the same whatever else waits: rumours are
//! linked into one list for each number of sends, and what one packet took moves on as a whole.

use std::time::Duration;

use super::trail::Trail;
use crate::base::slots::SlotIndex;
use crate::base::time::Time;

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

/// Sends that the lists tell apart; more count as this many.
const SENDS_MAX: u32 = 512;
/// Bytes of a frame that are kept with its rumour. A line of the cache holds all of it.
pub const READY_BYTES_MAX: usize = 39;

/// A short frame that can be sent as it is.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    bytes: [u8; READY_BYTES_MAX],
    len: u8,
}

impl Ready {
    /// The owner of the rumour is asked for its frame.
    pub const NONE: Ready = Ready { bytes: [0; READY_BYTES_MAX], len: 0 };

    /// The first `len` of these bytes.
    #[inline]
    pub fn new<const N: usize>(bytes: &[u8; N], len: usize) -> Ready {
        const { assert!(N <= READY_BYTES_MAX, "it is short") };
        let mut ready = Ready::NONE;
        ready.bytes[..N].copy_from_slice(bytes);
        ready.len = len.min(N) as u8;
        ready
    }
}

/// What encoding a rumour gave.
pub enum Encoded {
    /// Appended.
    Yes,
    /// Its owner has it no more: drop it.
    Gone,
}

/// How rumours are told now.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    pub now: Time,
    /// Older ones are dropped.
    pub life: Duration,
    /// Classes after it wait.
    pub last: Topic,
}

#[derive(Clone, Copy, Debug)]
struct Rumour {
    key: u64,
    /// How it came here.
    trail: Trail,
    ready: Ready,
}

/// What links a rumour to its neighbours among those sent as often. Apart from the rumours, so that
/// a list is walked without waiting for each of them to come from memory.
#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    before: u32,
    sends: u16,
    /// The list that it is in.
    list: u16,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    len: usize,
}

/// Neighbours in one list, that leave it together.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    last: u32,
    len: usize,
}

impl Run {
    const EMPTY: Run = Run { first: END, last: END, len: 0 };

    fn extend(&mut self, at: u32) {
        if self.len == 0 {
            self.first = at;
        }
        self.last = at;
        self.len += 1;
    }
}

/// No rumour.
const END: u32 = u32::MAX;
/// The list of those taken by the packets being filled; after it, one for each number of sends.
const TAKEN: u16 = 0;
const FRESH: u16 = 1;
/// Rumours that an empty class keeps room for; what a storm took beyond is given back.
const KEPT_MOST: usize = 64;

/// A class of rumours: places are reused, the free ones linked by `next`.
#[derive(Debug)]
struct Class {
    rumours: Vec<Rumour>,
    /// One for each.
    links: Vec<Link>,
    free: u32,
    len: usize,
    by_key: SlotIndex<8>,
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
        self.push_ready(topic, key, trail, most, Ready::NONE)
    }

    /// The same for news whose frame is ready.
    pub fn push_ready(
        &mut self,
        topic: Topic,
        key: u64,
        trail: Trail,
        most: usize,
        ready: Ready,
    ) -> bool {
        let class = &mut self.classes[topic as usize];
        let found = class.find(key);
        let shed = found.is_none() && class.len >= most && class.shed();
        let at = match found {
            Some(at) if class.links[at as usize].list == FRESH => {
                class.rumours[at as usize] = Rumour { key, trail, ready };
                return false;
            }
            Some(at) => {
                class.unlink(at);
                class.rumours[at as usize] = Rumour { key, trail, ready };
                at
            }
            None => class.add(Rumour { key, trail, ready }),
        };
        class.links[at as usize].sends = 0;
        class.link(at, FRESH);
        shed
    }

    /// Queues more about what was told already, for a last round of so many copies. What is still
    /// queued says it anyway.
    pub fn remind(&mut self, topic: Topic, key: u64, copies: u32, limit: u32) {
        let class = &mut self.classes[topic as usize];
        if class.find(key).is_none() {
            let at = class.add(Rumour { key, trail: Trail::NONE, ready: Ready::NONE });
            let sends = sends_max(topic as usize, limit).saturating_sub(copies) as u16;
            class.links[at as usize].sends = sends;
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
        let sends = class.links[at as usize].sends;
        if sends > 1 {
            class.links[at as usize].sends = sends - 1;
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

    /// The class that goes before the others that wait.
    pub fn foremost(&self) -> Option<Topic> {
        TOPICS.into_iter().find(|&topic| self.waiting(topic) > 0)
    }

    /// Some rumour was never sent.
    pub fn has_fresh(&self) -> bool {
        self.classes.iter().any(|c| c.first(FRESH) != END)
    }

    /// Fills `out` up to `end` bytes. What was taken is not taken again before
    /// [`Self::sent`]. Returns how many rumours of each topic went in.
    pub fn fill(
        &mut self,
        out: &mut Vec<u8>,
        end: usize,
        telling: Telling,
        mut encode: impl FnMut(Topic, u64, Trail, &mut Vec<u8>) -> Encoded,
    ) -> [usize; 4] {
        let mut counts = [0; 4];
        self.turn = (self.turn + 1) % 3;
        for place in 0..4 {
            let index = if place == 0 { 0 } else { 1 + (self.turn + place - 1) % 3 };
            if index > telling.last as usize {
                continue;
            }
            // While others wait, the class whose turn it is not leaves them a third of what is left.
            let others = (1..=telling.last as usize).any(|i| i != index && self.classes[i].len > 0);
            let room = end.saturating_sub(out.len());
            let until = if others && place == 1 { out.len() + room * 2 / 3 } else { end };
            // The first rumour of the class whose turn it is may have it all: a large one goes too.
            let first = if place == 1 { end } else { until };
            let room = Room { first, end: until };
            let encode = |key, trail, out: &mut Vec<u8>| encode(TOPICS[index], key, trail, out);
            counts[index] = self.classes[index].fill(out, room, telling, encode);
        }
        counts
    }

    /// What was taken went to `copies` peers; rumours sent `limit` times are dropped.
    pub fn sent(&mut self, copies: u32, limit: u32) {
        for (topic, class) in self.classes.iter_mut().enumerate() {
            class.sent(copies, sends_max(topic, limit));
        }
    }
}

/// How far the first rumour of a class may reach in a packet, and the others.
#[derive(Clone, Copy)]
struct Room {
    first: usize,
    end: usize,
}

/// Accusations are half as long-lived: each further accuser tells them anew.
fn sends_max(topic: usize, limit: u32) -> u32 {
    if topic == Topic::Accusation as usize { limit.div_ceil(2) } else { limit }
}

fn list_of(sends: u16) -> u16 {
    FRESH + sends.min(SENDS_MAX as u16 - 1)
}

impl Rumour {
    /// Appends the frame that is ready, after its trail.
    #[inline]
    fn put(&self, telling: Telling, out: &mut Vec<u8>) -> Encoded {
        if self.trail.told(telling.now).is_some_and(|(_, age)| age > telling.life) {
            return Encoded::Gone;
        }
        self.trail.put(out, telling.now);
        let end = out.len() + usize::from(self.ready.len);
        out.extend_from_slice(&self.ready.bytes); // of one length: no call
        out.truncate(end);
        Encoded::Yes
    }
}

impl Default for Class {
    fn default() -> Class {
        let (rumours, links, lists) = (Vec::new(), Vec::new(), Vec::new());
        Class { rumours, links, free: END, len: 0, by_key: SlotIndex::default(), lists }
    }
}

impl Class {
    fn fill(
        &mut self,
        out: &mut Vec<u8>,
        room: Room,
        telling: Telling,
        mut encode: impl FnMut(u64, Trail, &mut Vec<u8>) -> Encoded,
    ) -> usize {
        const MISFITS_MAX: usize = 4;
        if self.len == 0 {
            return 0;
        }
        let (mut count, mut misfits) = (0, 0);
        for list in FRESH..self.lists.len() as u16 {
            let mut taken = Run::EMPTY;
            let mut at = self.first(list);
            while let (Some(rumour), Some(link)) = self.get_mut(at) {
                let (start, next) = (out.len(), link.next);
                let encoded = match rumour.ready.len {
                    0 => encode(rumour.key, rumour.trail, out),
                    _ => rumour.put(telling, out),
                };
                let end = if count == 0 { room.first } else { room.end };
                if matches!(encoded, Encoded::Yes) && out.len() <= end {
                    link.list = TAKEN;
                    taken.extend(at);
                    count += 1;
                } else {
                    out.truncate(start);
                    self.move_run(list, std::mem::replace(&mut taken, Run::EMPTY), TAKEN);
                    match encoded {
                        Encoded::Gone => self.remove(at),
                        Encoded::Yes if misfits + 1 < MISFITS_MAX => misfits += 1,
                        Encoded::Yes => return count,
                    }
                }
                at = next;
            }
            self.move_run(list, taken, TAKEN);
        }
        count
    }

    /// What is kept of a rumour; nothing beyond the end of a list.
    #[inline]
    fn get_mut(&mut self, at: u32) -> (Option<&Rumour>, Option<&mut Link>) {
        (self.rumours.get(at as usize), self.links.get_mut(at as usize))
    }

    fn sent(&mut self, copies: u32, limit: u32) {
        let mut at = self.first(TAKEN);
        while at != END {
            let before = u32::from(self.links[at as usize].sends);
            let sends = (before + copies).min(u32::from(u16::MAX));
            // Those that were sent as often as the first go on together.
            let mut run = Run::EMPTY;
            while let Some(link) = self.links.get_mut(at as usize)
                && u32::from(link.sends) == before
            {
                (link.sends, link.list) = (sends as u16, list_of(sends as u16));
                run.extend(at);
                at = link.next;
            }
            self.move_run(TAKEN, run, list_of(sends as u16));
            if sends >= limit {
                self.remove_run(run);
            }
        }
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

    /// A place for a rumour, in no list yet.
    fn add(&mut self, rumour: Rumour) -> u32 {
        let key = rumour.key;
        let link = Link { next: END, before: END, sends: 0, list: FRESH };
        let at = if self.free == END {
            self.rumours.push(rumour);
            self.links.push(link);
            self.rumours.len() as u32 - 1
        } else {
            let at = self.free;
            self.free = self.links[at as usize].next;
            self.rumours[at as usize] = rumour;
            self.links[at as usize] = link;
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
        self.links[at as usize].next = self.free;
        self.free = at;
        self.len -= 1;
        if self.len == 0 && self.rumours.len() > KEPT_MOST {
            *self = Class::default();
        }
    }

    /// Drops neighbours of one list.
    fn remove_run(&mut self, run: Run) {
        let mut at = run.first;
        for _ in 0..run.len {
            let next = self.links[at as usize].next;
            self.remove(at);
            at = next;
        }
    }

    fn first(&self, list: u16) -> u32 {
        self.lists.get(usize::from(list)).map_or(END, |list| list.first)
    }

    /// The ends of a list, which is made if there is none.
    fn ends(&mut self, list: u16) -> &mut List {
        let list = usize::from(list);
        if self.lists.len() <= list {
            self.lists.resize(list + 1, List { first: END, last: END, len: 0 });
        }
        &mut self.lists[list]
    }

    /// Puts a rumour that is in no list at the end of one.
    fn link(&mut self, at: u32, list: u16) {
        self.links[at as usize].list = list;
        self.append(Run { first: at, last: at, len: 1 }, list);
    }

    /// Takes neighbours out of their list and puts them at the end of another. Each knows already
    /// that it is there.
    fn move_run(&mut self, from: u16, run: Run, to: u16) {
        if run.len > 0 {
            self.cut(run, from);
            self.append(run, to);
        }
    }

    fn append(&mut self, run: Run, list: u16) {
        let ends = self.ends(list);
        ends.len += run.len;
        let before = std::mem::replace(&mut ends.last, run.last);
        if before == END {
            ends.first = run.first;
        } else {
            self.links[before as usize].next = run.first;
        }
        self.links[run.first as usize].before = before;
        self.links[run.last as usize].next = END;
    }

    fn unlink(&mut self, at: u32) {
        let list = self.links[at as usize].list;
        self.cut(Run { first: at, last: at, len: 1 }, list);
    }

    fn cut(&mut self, run: Run, list: u16) {
        let before = self.links[run.first as usize].before;
        let next = self.links[run.last as usize].next;
        let ends = &mut self.lists[usize::from(list)];
        ends.len -= run.len;
        if before == END {
            ends.first = next;
        } else {
            self.links[before as usize].next = next;
        }
        if next == END {
            ends.last = before;
        } else {
            self.links[next as usize].before = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TELLING: Telling = Telling { now: Time::ZERO, life: Duration::MAX, last: Topic::Event };

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
            q.fill(&mut out, 100, TELLING, encode);
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

    #[test]
    fn a_frame_that_is_ready_is_sent_as_it_is_until_another_takes_its_place() {
        let mut q = RumourQueue::default();
        let told = |q: &mut RumourQueue| {
            let mut out = Vec::new();
            q.fill(&mut out, 100, TELLING, encode);
            q.sent(1, 9);
            out
        };
        let longest = [7; READY_BYTES_MAX];
        q.push_ready(Topic::Member, 1, Trail::NONE, 10, Ready::new(b"first", 5));
        q.push_ready(Topic::Member, 2, Trail::NONE, 10, Ready::new(&longest, longest.len()));
        assert_eq!(told(&mut q), [&b"first"[..], &longest].concat());
        q.push_ready(Topic::Member, 1, Trail::NONE, 10, Ready::new(b"then more", 4));
        assert_eq!(told(&mut q), [&b"then"[..], &longest].concat());
        q.push(Topic::Member, 1, Trail::NONE, 10);
        q.remove(Topic::Member, 2);
        assert_eq!(told(&mut q), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "its owner is asked");
    }

    #[test]
    fn a_rumour_is_no_longer_than_a_line_of_the_cache() {
        assert_eq!(size_of::<Rumour>(), 64);
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
            let counts = q.fill(&mut out, 100, TELLING, encode);
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
        q.fill(&mut out, 100, TELLING, encode);
        assert_eq!(q.fill(&mut out, 100, TELLING, encode), [0; 4]);
        q.sent(3, 5);
        assert!(!q.has_fresh() && q.len() == 1);
        q.push(Topic::State, 7, Trail::NONE, 10_000);
        assert!(q.has_fresh());
        q.fill(&mut out, 100, TELLING, encode);
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
        q.fill(&mut out, 20, TELLING, encode);
        q.sent(1, 9);
        let told: Vec<u8> = out.chunks(10).map(|item| item[9]).collect();
        assert_eq!(told.len(), 2);
        let shed = (4..10).filter(|&key| q.push(Topic::Event, key, Trail::NONE, 6)).count();
        assert_eq!((shed, q.waiting(Topic::Event)), (4, 6));
        assert!(!q.push(Topic::Event, 4, Trail::NONE, 6), "queued already");
        assert!(!q.push(Topic::State, 1, Trail::NONE, 6), "another class has room");
        out.clear();
        q.fill(&mut out, 10_000, TELLING, encode);
        let left: Vec<u8> = out.chunks(10).filter(|i| i[0] == 3).map(|i| i[9]).collect();
        assert_eq!(left.len(), 6);
        assert!(told.iter().all(|key| !left.contains(key)), "{told:?} {left:?}");
    }
}
