//! Decides when a user event is delivered: exactly once per node, in order per sender, and replayed
//! to late joiners while it is in the window.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clocks::Hlc;
use crate::base::hash::{Fingerprint, HashKey, domain};
use crate::base::id::NodeId;
use crate::base::time::Time;
use crate::limits::{
    EVENT_NAME_BYTES_MAX, EVENT_ORIGINS_MAX, EVENT_PAYLOAD_BYTES_MAX, EVENTS_KEPT_MAX,
    EVENTS_WAITING_MAX, NAME_BYTES_MAX,
};
use crate::wire::codec::{
    DecodeError, Decoded, Reader, put_bytes, put_id, put_u32, put_u64, put_varint,
};
use crate::wire::frame::{kind, put_frame};

/// An event as it is kept and sent.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    pub origin: NodeId,
    pub seq: u64,
    /// The sender's event before this one: delivery waits for it. 0 starts a sender's sequence
    /// anew, as after a restart, whose numbers begin at a reserved block.
    pub previous: u64,
    pub stamp: Hlc,
    pub from: Box<str>,
    pub name: Box<str>,
    pub payload: Box<[u8]>,
    /// When it was sent, on this node's clock: the age travels, not the time.
    pub born: Time,
}

impl StoredEvent {
    pub fn put(&self, out: &mut Vec<u8>, key: &HashKey, now: Time) {
        put_frame(out, kind::EVENT, |out| {
            put_id(out, self.origin);
            put_varint(out, self.seq);
            put_varint(out, self.previous);
            put_u64(out, self.stamp.0);
            put_varint(out, now.since(self.born).as_millis() as u64);
            put_u32(out, self.checksum(key));
            put_bytes(out, self.from.as_bytes());
            put_bytes(out, self.name.as_bytes());
            put_bytes(out, &self.payload);
        });
    }

    /// `None`: its own checksum does not hold.
    pub fn decode(body: &[u8], key: &HashKey, now: Time) -> Decoded<Option<StoredEvent>> {
        let mut r = Reader::new(body);
        let origin = r.id("event origin")?;
        let seq = r.seq("event seq")?;
        let previous = r.seq("previous event")?;
        if seq == 0 || previous >= seq {
            return Err(DecodeError::Invalid("event seq"));
        }
        let stamp = r.hlc("event stamp")?;
        let age = Duration::from_millis(r.varint("event age")?.min(1 << 40));
        let sum = r.u32("event checksum")?;
        let event = StoredEvent {
            origin,
            seq,
            previous,
            stamp,
            born: now - age,
            from: r.text(NAME_BYTES_MAX, "event sender")?.into(),
            name: r.text(EVENT_NAME_BYTES_MAX, "event name")?.into(),
            payload: r.bytes(EVENT_PAYLOAD_BYTES_MAX, "event payload")?.into(),
        };
        Ok((event.checksum(key) == sum).then_some(event))
    }

    fn checksum(&self, key: &HashKey) -> u32 {
        key.checksum(
            domain::EVENT,
            &[
                &self.origin.0,
                &self.seq.to_le_bytes(),
                &self.previous.to_le_bytes(),
                &self.stamp.0.to_le_bytes(),
                self.from.as_bytes(),
                self.name.as_bytes(),
                &self.payload,
            ],
        ) as u32
    }
}

/// Events of all senders.
#[derive(Debug)]
pub struct EventLog {
    key: HashKey,
    window: Duration,
    per_origin: usize,
    origins: BTreeMap<NodeId, Origin>,
    /// Over the (sender, last delivered) pairs: part of the state fingerprint.
    print: Fingerprint,
    waiting: usize,
    /// Events in all windows.
    kept: usize,
    /// The newest arrivals, numbered for the rumour queue.
    recent: VecDeque<Arc<StoredEvent>>,
    recent_base: u64,
}

/// Arrivals that can still be told as rumours. Older ones are left to reconciliation.
pub const RECENT_MAX: usize = 8192;

#[derive(Debug, Default)]
struct Origin {
    /// Delivered up to here.
    head: u64,
    window: VecDeque<Arc<StoredEvent>>,
    waiting: BTreeMap<u64, Arc<StoredEvent>>,
}

/// What became of a received event.
#[derive(Debug, PartialEq)]
pub enum Received {
    /// These are due now, in order.
    Deliver(Vec<Arc<StoredEvent>>),
    /// Waits for an earlier one.
    Waits,
    Duplicate,
    /// Too many wait: dropped, and asked for again by reconciliation.
    Full,
}

impl EventLog {
    pub fn new(key: HashKey, window: Duration, per_origin: usize) -> EventLog {
        EventLog {
            key,
            window,
            per_origin,
            origins: BTreeMap::new(),
            print: Fingerprint::default(),
            waiting: 0,
            kept: 0,
            recent: VecDeque::new(),
            recent_base: 0,
        }
    }

    /// What is kept beyond them goes when it expires, or when its sender sends more.
    pub fn set_window(&mut self, window: Duration, per_origin: usize) {
        (self.window, self.per_origin) = (window, per_origin);
    }

    /// The number of the newest arrival, under which the rumour queue knows it.
    pub fn newest_number(&self) -> u64 {
        self.recent_base + self.recent.len() as u64 - 1
    }

    pub fn by_number(&self, number: u64) -> Option<&Arc<StoredEvent>> {
        self.recent.get(number.checked_sub(self.recent_base)? as usize)
    }

    /// The number of one of the latest arrivals.
    pub fn number_of(&self, (origin, seq): (NodeId, u64)) -> Option<u64> {
        const LATEST: usize = 64;
        let first = self.recent.len().saturating_sub(LATEST);
        let at = self.recent.range(first..).rposition(|e| (e.origin, e.seq) == (origin, seq))?;
        Some(self.recent_base + (first + at) as u64)
    }

    /// Whether a limit refuses events of this sender.
    pub fn is_full_for(&self, origin: NodeId) -> bool {
        let known = self.origins.contains_key(&origin);
        self.kept >= EVENTS_KEPT_MAX || !known && self.origins.len() >= EVENT_ORIGINS_MAX
    }

    /// Takes an event off the wire. `complete` says that the other end has none before it, as in a
    /// session: what is missing in between has expired.
    pub fn receive(&mut self, event: StoredEvent, complete: bool) -> Received {
        if self.is_full_for(event.origin) {
            return Received::Full;
        }
        let origin = self.origins.entry(event.origin).or_default();
        if event.seq <= origin.head || origin.waiting.contains_key(&event.seq) && !complete {
            return Received::Duplicate;
        }
        let due = complete || event.previous <= origin.head;
        if !due
            && (origin.waiting.len() >= EVENTS_WAITING_MAX
                || self.waiting >= 8 * EVENTS_WAITING_MAX)
        {
            return Received::Full;
        }
        let (id, skip_to) = (event.origin, if complete { event.previous } else { 0 });
        let event = Arc::new(event);
        if origin.waiting.insert(event.seq, event.clone()).is_none() {
            self.waiting += 1;
        }
        self.recent.push_back(event);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
            self.recent_base += 1;
        }
        if !due {
            return Received::Waits;
        }
        let delivered = self.deliver(id, skip_to);
        if delivered.is_empty() { Received::Waits } else { Received::Deliver(delivered) }
    }

    /// A peer's session ended with this head: what it did not hand over any more has expired.
    /// Returns events that no longer need to wait.
    pub fn skip_to(&mut self, origin: NodeId, head: u64) -> Vec<Arc<StoredEvent>> {
        let full = self.origins.len() >= EVENT_ORIGINS_MAX && !self.origins.contains_key(&origin);
        if full || self.head(origin) >= head {
            return Vec::new();
        }
        self.deliver(origin, head)
    }

    /// Events that wait for an earlier one, those in the windows, and those told as rumours.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.waiting, self.kept, self.recent.len())
    }

    /// Senders remembered.
    pub fn origins(&self) -> usize {
        self.origins.len()
    }

    pub fn head(&self, origin: NodeId) -> u64 {
        self.origins.get(&origin).map_or(0, |o| o.head)
    }

    pub fn heads(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.origins.iter().filter(|(_, o)| o.head > 0).map(|(&id, o)| (id, o.head))
    }

    pub fn find(&self, origin: NodeId, seq: u64) -> Option<&Arc<StoredEvent>> {
        let o = self.origins.get(&origin)?;
        let at = o.window.partition_point(|e| e.seq < seq);
        o.window.get(at).filter(|e| e.seq == seq).or_else(|| o.waiting.get(&seq))
    }

    /// The window after the given heads, in order per sender.
    pub fn after<'a>(
        &'a self,
        head: impl Fn(NodeId) -> u64 + 'a,
    ) -> impl Iterator<Item = &'a Arc<StoredEvent>> + 'a {
        self.origins.iter().flat_map(move |(&id, o)| {
            let from = head(id);
            o.window.iter().filter(move |e| e.seq > from)
        })
    }

    pub fn print(&self) -> Fingerprint {
        self.print
    }

    /// Drops what left the window. A sender's head stays: nothing is delivered twice.
    pub fn expire(&mut self, now: Time) {
        while self.recent.front().is_some_and(|e| now.since(e.born) > self.window) {
            self.recent.pop_front();
            self.recent_base += 1;
        }
        for origin in self.origins.values_mut() {
            while origin.window.front().is_some_and(|e| now.since(e.born) > self.window) {
                origin.window.pop_front();
                self.kept -= 1;
            }
        }
    }

    /// Whether nothing of this sender is told, kept or waited for any more.
    pub fn is_quiet(&self, origin: NodeId) -> bool {
        self.origins.get(&origin).is_none_or(|o| o.window.is_empty() && o.waiting.is_empty())
    }

    /// Forgets a quiet sender that is gone for ever.
    pub fn forget(&mut self, origin: NodeId) {
        let head = self.head(origin);
        if self.is_quiet(origin) && self.origins.remove(&origin).is_some() && head > 0 {
            self.print -= print_of(&self.key, origin, head);
        }
    }

    /// A sender that the cluster has forgotten: what waits for its lost events waits no more. Its
    /// head stays, as others may still tell of events that were delivered here.
    pub fn abandon(&mut self, origin: NodeId) {
        if let Some(gone) = self.origins.get_mut(&origin) {
            self.waiting -= gone.waiting.len();
            gone.waiting.clear();
        }
    }

    /// Delivers what waits: all up to `skip_to` in order whatever is missing, then as far as each
    /// event's predecessor is there.
    fn deliver(&mut self, id: NodeId, skip_to: u64) -> Vec<Arc<StoredEvent>> {
        let origin = self.origins.entry(id).or_default();
        let before = origin.head;
        let mut delivered = Vec::new();
        while let Some(first) = origin.waiting.first_entry() {
            let event = first.get();
            if event.seq > skip_to && event.previous > origin.head.max(skip_to) {
                break;
            }
            let event = first.remove();
            self.waiting -= 1;
            origin.head = event.seq;
            origin.window.push_back(event.clone());
            self.kept += 1;
            if origin.window.len() > self.per_origin {
                origin.window.pop_front();
                self.kept -= 1;
            }
            delivered.push(event);
        }
        origin.head = origin.head.max(skip_to);
        if origin.head != before {
            if before > 0 {
                self.print -= print_of(&self.key, id, before);
            }
            self.print += print_of(&self.key, id, origin.head);
        }
        delivered
    }
}

fn print_of(key: &HashKey, origin: NodeId, head: u64) -> u128 {
    key.wide(domain::EVENT_PRINT, &[&origin.0, &head.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn event(seq: u64) -> StoredEvent {
        StoredEvent {
            origin: NodeId::from_u128(1),
            seq,
            previous: seq - 1,
            stamp: Hlc(seq),
            from: "a".into(),
            name: "deploy".into(),
            payload: vec![1, 2, 3].into(),
            born: Time::from_secs(1),
        }
    }

    fn log() -> EventLog {
        EventLog::new(HashKey::for_cluster("e"), Duration::from_secs(300), 512)
    }

    #[test]
    fn any_order_and_repetition_delivers_each_once_and_in_order() {
        let mut rng = Rng::from_u64(4);
        for _ in 0..200 {
            let mut arrivals: Vec<u64> = (1..=20).chain(1..=20).collect();
            rng.shuffle(&mut arrivals);
            let mut log = log();
            let mut seen = Vec::new();
            for seq in arrivals {
                if let Received::Deliver(events) = log.receive(event(seq), false) {
                    seen.extend(events.iter().map(|e| e.seq));
                }
            }
            assert_eq!(seen, (1..=20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_late_joiner_takes_the_window_and_skips_what_expired() {
        let mut log = log();
        assert_eq!(log.receive(event(9), false), Received::Waits);
        let Received::Deliver(events) = log.receive(event(7), true) else { panic!() };
        assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), [7]);
        let events = log.skip_to(NodeId::from_u128(1), 8);
        assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), [9]);
        assert_eq!(log.head(NodeId::from_u128(1)), 9);
    }

    #[test]
    fn the_print_depends_on_the_heads_alone() {
        let (mut a, mut b) = (log(), log());
        a.receive(event(1), false);
        a.receive(event(2), false);
        b.skip_to(NodeId::from_u128(1), 2);
        assert_eq!(a.print(), b.print());
        a.expire(Time::from_secs(10_000));
        assert_eq!(a.receive(event(2), false), Received::Duplicate);
        a.abandon(NodeId::from_u128(1));
        assert_eq!(a.receive(event(2), false), Received::Duplicate);
        assert_eq!(a.print(), b.print());
    }

    #[test]
    fn bytes_round_trip_with_their_age() {
        let key = HashKey::for_cluster("e");
        let mut out = Vec::new();
        event(3).put(&mut out, &key, Time::from_secs(4));
        let body = &out[2..];
        let read = StoredEvent::decode(body, &key, Time::from_secs(100)).unwrap().unwrap();
        assert_eq!(read.born, Time::from_secs(97));
        let mut broken = body.to_vec();
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(StoredEvent::decode(&broken, &key, Time::ZERO), Ok(None));
    }
}
