//! Decides which packets are kept to be sent again later: those that arrive at a host that listens
//! in, or the last ones that anybody sent.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::wall::Hosts;
use crate::world::World;

/// The last packets that arrived at some hosts.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    at: Hosts,
    kept: VecDeque<Arc<[u8]>>,
}

/// A packet that was sent.
#[derive(Clone, Debug)]
pub struct Packet {
    pub host: usize,
    /// A request, not a datagram.
    pub stream: bool,
    pub bytes: Arc<[u8]>,
}

const KEPT_MAX: usize = 1000;

impl Tap {
    pub(crate) fn datagram(&mut self, to: usize, bytes: &Arc<[u8]>) {
        if self.at.contains(to) {
            if self.kept.len() == KEPT_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(Arc::clone(bytes));
        }
    }
}

impl World {
    pub(crate) fn keep_packet(&mut self, host: usize, stream: bool, bytes: &Arc<[u8]>) {
        let most = self.config.packets_kept;
        if most > 0 {
            self.sent.truncate(most - 1);
            self.sent.push_front(Packet { host, stream, bytes: Arc::clone(bytes) });
        }
    }

    /// The last packets that anybody sent, the newest first: as many as the world is made to keep.
    pub fn sent_last(&self) -> impl Iterator<Item = &Packet> {
        self.sent.iter()
    }

    /// From now on keeps what arrives at these hosts; nobody: listens no more.
    pub fn listen_at(&mut self, hosts: Hosts) {
        let kept = self.tap.take().map_or(VecDeque::new(), |tap| tap.kept);
        self.tap = (!hosts.is_empty()).then_some(Tap { at: hosts, kept });
    }

    /// The last datagrams that arrived at the hosts that listen, oldest first.
    pub fn overheard(&self) -> impl ExactSizeIterator<Item = &Arc<[u8]>> {
        static NOTHING: VecDeque<Arc<[u8]>> = VecDeque::new();
        self.tap.as_ref().map_or(&NOTHING, |tap| &tap.kept).iter()
    }

    /// A datagram that a host's core did not make travels the network from it like any other.
    pub fn forge(&mut self, host: usize, to: usize, bytes: Arc<[u8]>) {
        self.transmit(host, self.hosts[to].addr, bytes);
    }
}
