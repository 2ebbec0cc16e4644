//! Decides the order of what happens: by time, then by order of scheduling.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;

use tidings_proto::Time;
use tidings_proto::io::RequestError;

/// One thing that will happen. `life` names a process: what was meant for an earlier one is void.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The host's deadline, or an earlier one that moved since.
    Wake {
        host: usize,
        life: u64,
    },
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Arc<[u8]>,
    },
    Unreachable {
        host: usize,
        life: u64,
        to: SocketAddr,
    },
    /// The first packet of a stream reaches its target.
    Connect {
        call: u64,
    },
    /// The request is there in full.
    Request {
        call: u64,
    },
    Response {
        call: u64,
        result: Result<Arc<[u8]>, RequestError>,
    },
    CallTimeout {
        call: u64,
    },
    /// The oldest transaction in the disk's queue is through.
    Disk {
        host: usize,
        life: u64,
    },
    /// A host that is slow or behind takes its next input.
    Serve {
        host: usize,
        life: u64,
    },
    /// A process was told that its identity is taken: it starts again with a new one.
    Redraw {
        host: usize,
        life: u64,
    },
}

/// A binary heap of small keys over a slab, so that sifting never moves a payload.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    slab: Vec<Option<Happening>>,
    free: Vec<u32>,
    scheduled: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, what: Happening) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slab.push(None);
                (self.slab.len() - 1) as u32
            }
        };
        self.slab[slot as usize] = Some(what);
        self.scheduled += 1;
        self.heap.push(Reverse((at, self.scheduled, slot)));
    }

    pub(crate) fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, Happening)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        let what = self.slab[slot as usize].take().expect("a queued slot holds something");
        self.free.push(slot);
        Some((at, what))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_come_in_the_order_of_scheduling() {
        let mut queue = Queue::default();
        for (at, call) in [(5, 1), (3, 2), (5, 3), (3, 4)] {
            queue.push(Time(at), Happening::Connect { call });
        }
        let mut order = Vec::new();
        while let Some((_, Happening::Connect { call })) = queue.pop() {
            order.push(call);
        }
        assert_eq!(order, [2, 4, 1, 3]);
        assert_eq!(queue.len(), 0);
    }
}
