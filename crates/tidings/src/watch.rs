//! Decides how changes reach readers: a snapshot, then every change in order; a reader that falls
//! behind is told so and gets a fresh snapshot. No reader ever makes the loop wait.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tidings_proto::io::{Event, Member};
use tokio::sync::mpsc;

/// One thing that a [`Watch`] reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Numbers this node's events. A snapshot has the number of the last event that it includes.
    pub seq: u64,
    /// Unix time in milliseconds.
    pub at_ms: u64,
    pub what: What,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// All members, this node included, by name. The first change is always one of these.
    Snapshot(Arc<Vec<Member>>),
    Event(Event),
    /// So many events were not kept for this reader; a snapshot follows.
    Lagged {
        missed: u64,
    },
}

/// Positions that rise with every change of their kind; never 0. For blocking queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexes {
    pub members: u64,
    pub entries: u64,
    pub events: u64,
}

/// Reads changes. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Watch {
    mailbox: Arc<Mailbox>,
    bell: mpsc::Sender<()>,
}

impl Watch {
    /// The next change; `None` once the node has ended and all was read.
    pub async fn next(&mut self) -> Option<Change> {
        std::future::poll_fn(|cx| self.poll_change(cx)).await
    }

    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        let mut inbox = self.mailbox.inbox();
        if let Some(change) = inbox.queue.pop_front() {
            inbox.bytes -= weight(&change);
            if inbox.queue.is_empty() && inbox.queue.capacity() > QUEUE_KEPT {
                inbox.queue.shrink_to(0); // a burst is over: its memory goes back
            }
            return Poll::Ready(Some(change));
        }
        if inbox.closed {
            return Poll::Ready(None);
        }
        inbox.waker = Some(cx.waker().clone());
        if let Phase::Lagging { missed } = inbox.phase {
            inbox.phase = Phase::Waiting { missed: Some(missed) };
            drop(inbox);
            let _ = self.bell.try_send(()); // full: it rings already
        }
        Poll::Pending
    }
}

impl futures_core::Stream for Watch {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.get_mut().poll_change(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut inbox = self.mailbox.inbox();
        inbox.closed = true;
        inbox.queue = VecDeque::new();
    }
}

/// Where the handles leave new watches for the loop. Locked for a push or a take, never longer.
#[derive(Debug)]
pub(crate) struct Registry {
    newcomers: Mutex<Newcomers>,
    bell: mpsc::Sender<()>,
}

#[derive(Debug, Default)]
struct Newcomers {
    mailboxes: Vec<Arc<Mailbox>>,
    closed: bool,
}

impl Registry {
    /// The registry and the bell that wakes the loop.
    pub(crate) fn new() -> (Arc<Registry>, mpsc::Receiver<()>) {
        let (bell, rings) = mpsc::channel(1);
        (Arc::new(Registry { newcomers: Mutex::default(), bell }), rings)
    }

    pub(crate) fn watch(&self, members_only: bool, capacity: usize) -> Watch {
        let mailbox = Arc::new(Mailbox { members_only, capacity, inbox: Mutex::default() });
        let mut newcomers = locked(&self.newcomers);
        if newcomers.closed {
            mailbox.inbox().closed = true;
        } else {
            newcomers.mailboxes.push(mailbox.clone());
        }
        drop(newcomers);
        let _ = self.bell.try_send(());
        Watch { mailbox, bell: self.bell.clone() }
    }

    fn close(&self) -> Vec<Arc<Mailbox>> {
        let mut newcomers = locked(&self.newcomers);
        newcomers.closed = true;
        std::mem::take(&mut newcomers.mailboxes)
    }
}

/// The loop's side: all readers of one node, and the number of the last event.
#[derive(Debug)]
pub(crate) struct Audience {
    registry: Arc<Registry>,
    mailboxes: Vec<Arc<Mailbox>>,
    seq: u64,
}

impl Audience {
    pub(crate) fn new(registry: Arc<Registry>) -> Audience {
        Audience { registry, mailboxes: Vec::new(), seq: 0 }
    }

    /// Numbers an event and hands it to every reader that has room.
    pub(crate) fn publish(&mut self, event: Event, at_ms: u64) {
        self.seq += 1;
        if self.mailboxes.is_empty() {
            return;
        }
        let of_members = matches!(event, Event::Member { .. });
        let change = Change { seq: self.seq, at_ms, what: What::Event(event) };
        self.mailboxes.retain(|m| (m.members_only && !of_members) || m.offer(&change));
    }

    /// Takes in new readers; true when one of them, or one that lagged, waits for a snapshot.
    pub(crate) fn attend(&mut self) -> bool {
        self.mailboxes.append(&mut locked(&self.registry.newcomers).mailboxes);
        self.mailboxes.retain(|m| !m.inbox().closed);
        self.mailboxes.iter().any(|m| matches!(m.inbox().phase, Phase::Waiting { .. }))
    }

    /// Hands a snapshot of this moment to all who wait for one.
    pub(crate) fn synchronise(&mut self, members: &Arc<Vec<Member>>, at_ms: u64) {
        let change = Change { seq: self.seq, at_ms, what: What::Snapshot(members.clone()) };
        for mailbox in &self.mailboxes {
            mailbox.synchronise(&change);
        }
    }

    /// Makes every reader start over from a snapshot: the node behind it was replaced.
    pub(crate) fn restart(&mut self) {
        for mailbox in &self.mailboxes {
            let mut inbox = mailbox.inbox();
            inbox.phase = match inbox.phase {
                Phase::Live => Phase::Waiting { missed: Some(0) },
                Phase::Lagging { missed } => Phase::Waiting { missed: Some(missed) },
                Phase::Waiting { missed } => Phase::Waiting { missed },
            };
        }
    }

    /// No change follows: readers end when they have read what is there.
    pub(crate) fn close(&mut self) {
        let newcomers = self.registry.close();
        for mailbox in self.mailboxes.drain(..).chain(newcomers) {
            let waker = {
                let mut inbox = mailbox.inbox();
                inbox.closed = true;
                inbox.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// What one reader has not read yet. Locked for one push or pop at a time.
#[derive(Debug)]
struct Mailbox {
    members_only: bool,
    capacity: usize,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    queue: VecDeque<Change>,
    /// Of keys, values and payloads in the queue.
    bytes: usize,
    phase: Phase,
    waker: Option<Waker>,
    closed: bool,
}

#[derive(Debug)]
enum Phase {
    /// Gets every change.
    Live,
    /// Its queue was full: what follows is counted. It asks for a snapshot when it has read on.
    Lagging { missed: u64 },
    /// Waits for a snapshot; `None` when it is its first one.
    Waiting { missed: Option<u64> },
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Waiting { missed: None }
    }
}

impl Mailbox {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        locked(&self.inbox)
    }

    /// False: the reader is gone.
    fn offer(&self, change: &Change) -> bool {
        let mut inbox = self.inbox();
        if inbox.closed {
            return false;
        }
        let full = inbox.queue.len() >= self.capacity || inbox.bytes >= QUEUE_BYTES_MAX;
        match &mut inbox.phase {
            Phase::Live if full => inbox.phase = Phase::Lagging { missed: 1 },
            Phase::Live => {
                inbox.queue.push_back(change.clone());
                inbox.bytes += weight(change);
                let waker = inbox.waker.take();
                drop(inbox);
                waker.into_iter().for_each(Waker::wake);
            }
            Phase::Lagging { missed } | Phase::Waiting { missed: Some(missed) } => *missed += 1,
            Phase::Waiting { missed: None } => {} // its first snapshot will include this
        }
        true
    }

    fn synchronise(&self, snapshot: &Change) {
        let mut inbox = self.inbox();
        let Phase::Waiting { missed } = inbox.phase else { return };
        if let Some(missed) = missed {
            let what = What::Lagged { missed };
            inbox.queue.push_back(Change { seq: snapshot.seq, at_ms: snapshot.at_ms, what });
        }
        inbox.queue.push_back(snapshot.clone());
        inbox.phase = Phase::Live;
        let waker = inbox.waker.take();
        drop(inbox);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// What a change keeps in memory that may be nowhere else any more.
fn weight(change: &Change) -> usize {
    match &change.what {
        What::Event(Event::Key { key, value, .. }) => {
            key.len() + value.as_ref().map_or(0, |value| value.len())
        }
        What::Event(Event::User(event)) => event.payload.len(),
        What::Event(Event::Flag { name, value, .. }) => {
            name.len() + value.as_ref().map_or(0, |value| value.len())
        }
        What::Event(Event::Conflict(lost)) => lost.value.as_ref().map_or(0, |value| value.len()),
        _ => 0,
    }
}

/// A panic elsewhere while a queue was locked left the queue whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A drained queue larger than this gives its memory back.
const QUEUE_KEPT: usize = 256;
/// A reader with so much unread misses what follows, however few changes that are.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tidings_proto::NodeId;
    use tidings_proto::base::clocks::{Dot, Hlc};
    use tidings_proto::io::Alarm;

    use super::*;

    fn event() -> Event {
        Event::Alarm(Alarm::ForeignCluster { from: SocketAddr::from(([127, 0, 0, 1], 1)) })
    }

    /// What a reader has at hand: letters for snapshot, event, lagged, end and nothing.
    fn drain(watch: &mut Watch) -> String {
        let mut read = String::new();
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match watch.poll_change(&mut cx) {
                Poll::Pending => return read,
                Poll::Ready(None) => return read + "end",
                Poll::Ready(Some(change)) => match change.what {
                    What::Snapshot(_) => read += &format!("S{} ", change.seq),
                    What::Event(_) => read += &format!("{} ", change.seq),
                    What::Lagged { missed } => read += &format!("L{missed} "),
                },
            }
        }
    }

    fn synchronise(audience: &mut Audience) -> bool {
        let wanted = audience.attend();
        if wanted {
            audience.synchronise(&Arc::default(), 0);
        }
        wanted
    }

    #[test]
    fn a_reader_that_falls_behind_is_told_what_it_missed_when_it_reads_on() {
        let (registry, _bell) = Registry::new();
        let mut audience = Audience::new(registry.clone());
        let mut watch = registry.watch(false, 4);
        audience.publish(event(), 0);
        assert_eq!(drain(&mut watch), "");
        assert!(synchronise(&mut audience));
        assert_eq!(drain(&mut watch), "S1 ");
        (0..3).for_each(|_| audience.publish(event(), 0));
        assert_eq!(drain(&mut watch), "2 3 4 ");
        (0..9).for_each(|_| audience.publish(event(), 0));
        assert!(!synchronise(&mut audience), "it has not asked yet");
        assert_eq!(drain(&mut watch), "5 6 7 8 ");
        audience.publish(event(), 0);
        assert!(synchronise(&mut audience));
        audience.publish(event(), 0);
        assert_eq!(drain(&mut watch), "L6 S14 15 ");
    }

    #[test]
    fn large_values_do_not_gather_for_a_reader_that_does_not_read() {
        let (registry, _bell) = Registry::new();
        let mut audience = Audience::new(registry.clone());
        let mut watch = registry.watch(false, 1000);
        synchronise(&mut audience);
        let value: Arc<[u8]> = vec![0; QUEUE_BYTES_MAX / 4].into();
        let event = || Event::Key {
            kind: None,
            keyspace: "kv".into(),
            key: b"k"[..].into(),
            value: Some(value.clone()),
            dot: Dot { origin: NodeId([0; 16]), seq: 1 },
            stamp: Hlc(0),
        };
        (0..9).for_each(|_| audience.publish(event(), 0));
        assert_eq!(drain(&mut watch), "S0 1 2 3 4 ");
        assert!(synchronise(&mut audience));
        (0..2).for_each(|_| audience.publish(event(), 0));
        assert_eq!(drain(&mut watch), "L5 S9 10 11 ");
    }

    #[test]
    fn filters_restarts_and_ends() {
        let (registry, _bell) = Registry::new();
        let mut audience = Audience::new(registry.clone());
        let (mut all, mut members) = (registry.watch(false, 4), registry.watch(true, 4));
        synchronise(&mut audience);
        audience.publish(event(), 0);
        assert_eq!((drain(&mut all), drain(&mut members)), ("S0 1 ".into(), "S0 ".into()));
        audience.restart();
        let mut new = registry.watch(false, 4);
        assert!(synchronise(&mut audience));
        assert_eq!((drain(&mut all), drain(&mut new)), ("L0 S1 ".into(), "S1 ".into()));
        drop(new);
        audience.publish(event(), 0);
        assert_eq!(audience.mailboxes.len(), 2);
        let mut late = registry.watch(false, 4);
        audience.close();
        let mut later = registry.watch(false, 4);
        assert_eq!((drain(&mut all), drain(&mut late)), ("2 end".into(), "end".into()));
        assert_eq!(drain(&mut later), "end");
    }
}
