//! Decides what a host is: an address, a clock, a disk, an inbox, and at most one process.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::{AddAssign, Sub};
use std::sync::Arc;
use std::time::Duration;

use tidings_proto::io::{RequestError, Stats};
use tidings_proto::{Config, Node, NodeId, Time};

use crate::clock::Clock;
use crate::disk::{Disk, Outcome};

/// Datagrams and payload bytes of one host, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub datagrams_sent: u64,
    pub datagrams_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub stream_bytes_sent: u64,
    pub stream_bytes_received: u64,
    pub requests_sent: u64,
    /// Of what was sent: to hosts in other places.
    pub bytes_far: u64,
}

impl Sub for Traffic {
    type Output = Traffic;
    fn sub(self, earlier: Traffic) -> Traffic {
        Traffic {
            datagrams_sent: self.datagrams_sent - earlier.datagrams_sent,
            datagrams_received: self.datagrams_received - earlier.datagrams_received,
            bytes_sent: self.bytes_sent - earlier.bytes_sent,
            bytes_received: self.bytes_received - earlier.bytes_received,
            stream_bytes_sent: self.stream_bytes_sent - earlier.stream_bytes_sent,
            stream_bytes_received: self.stream_bytes_received - earlier.stream_bytes_received,
            requests_sent: self.requests_sent - earlier.requests_sent,
            bytes_far: self.bytes_far - earlier.bytes_far,
        }
    }
}

/// What bytes were spent on, and rumours that said nothing new: the core's counters, over all
/// processes of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    pub bytes: [u64; Spent::CAUSES.len()],
    pub rumours_sent: u64,
    pub duplicates: u64,
    pub bytes_duplicate: u64,
}

impl Spent {
    /// The causes of bytes, in the order of `bytes`.
    pub const CAUSES: [&str; 11] = [
        "probe",
        "repeat",
        "heartbeats",
        "rumours",
        "join",
        "receipts",
        "aggregates",
        "digest",
        "sketch",
        "delta",
        "pull",
    ];

    pub(crate) fn of(stats: &Stats) -> Spent {
        let s = stats;
        Spent {
            bytes: [
                s.bytes_probe,
                s.bytes_repeat,
                s.bytes_heartbeats,
                s.bytes_rumours,
                s.bytes_join,
                s.bytes_receipts,
                s.bytes_aggregates,
                s.bytes_digest,
                s.bytes_sketch,
                s.bytes_delta,
                s.bytes_pull,
            ],
            rumours_sent: s.accusations_sent
                + s.rumours_member_sent
                + s.rumours_state_sent
                + s.rumours_event_sent,
            duplicates: s.rumours_stale + s.entries_stale + s.events_duplicate,
            bytes_duplicate: s.bytes_duplicate,
        }
    }

    pub fn total(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.bytes.iter_mut().zip(other.bytes).for_each(|(a, b)| *a += b);
        self.rumours_sent += other.rumours_sent;
        self.duplicates += other.duplicates;
        self.bytes_duplicate += other.bytes_duplicate;
    }
}

/// An input that waits because the process is stopped, slow or behind.
#[derive(Debug)]
pub(crate) enum Waiting {
    Datagram { from: SocketAddr, bytes: Arc<[u8]> },
    Unreachable { to: SocketAddr },
    Request { call: u64, from: SocketAddr, bytes: Arc<[u8]> },
    Response { id: u64, from: SocketAddr, result: Result<Arc<[u8]>, RequestError> },
    Disk(Outcome),
    Tick,
}

/// What one small datagram costs a socket buffer besides its payload, as on Linux.
const SOCKET_OVERHEAD_BYTES: usize = 704;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: VecDeque<Waiting>,
    datagram_bytes: usize,
    pub(crate) dropped: u64,
}

impl Inbox {
    /// A full socket buffer keeps the oldest datagrams and drops the new one.
    pub(crate) fn push(&mut self, input: Waiting, bytes_max: usize) {
        if let Waiting::Datagram { bytes, .. } = &input {
            let cost = bytes.len() + SOCKET_OVERHEAD_BYTES;
            if self.datagram_bytes + cost > bytes_max {
                self.dropped += 1;
                return;
            }
            self.datagram_bytes += cost;
        }
        self.waiting.push_back(input);
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let input = self.waiting.pop_front()?;
        if let Waiting::Datagram { bytes, .. } = &input {
            self.datagram_bytes -= bytes.len() + SOCKET_OVERHEAD_BYTES;
        }
        Some(input)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.datagram_bytes = 0;
    }
}

pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) config: Config,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) id: NodeId,
    /// Of the next process.
    pub(crate) boot: u64,
    pub(crate) replaces: Option<NodeId>,
    /// Where a process of this host joins when it starts again.
    pub(crate) join: Vec<SocketAddr>,
    pub(crate) node: Option<Node>,
    /// Counts processes; what was meant for an earlier one is void.
    pub(crate) life: u64,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    pub(crate) inbox: Inbox,
    /// Stopped since; `suspended`: its monotonic clock stands still too.
    pub(crate) paused: Option<Paused>,
    /// Time that each input takes; zero: none.
    pub(crate) service: Duration,
    pub(crate) serving: bool,
    /// A tick waits in the inbox.
    pub(crate) tick_waiting: bool,
    /// When the earliest valid wake is queued.
    pub(crate) wake_at: Time,
    /// Wakes at one instant in a row: more than a few mean that a deadline does not advance.
    pub(crate) wakes_here: (Time, u32),
    pub(crate) traffic: Traffic,
    /// By processes that are gone.
    pub(crate) spent: Spent,
    pub(crate) largest_datagram: usize,
    /// The first datagram that anybody sent to it since [`World::await_send_to`].
    ///
    /// [`World::await_send_to`]: crate::World::await_send_to
    pub(crate) first_sent_to: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Paused {
    pub(crate) since: Time,
    pub(crate) suspended: bool,
}

impl Host {
    pub(crate) fn queues_input(&self) -> bool {
        self.paused.is_some() || !self.service.is_zero() || !self.inbox.is_empty()
    }

    pub(crate) fn running(&self) -> bool {
        self.node.is_some() && self.paused.is_none()
    }
}
