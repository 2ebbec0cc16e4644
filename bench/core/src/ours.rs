//! Decides how one of our nodes is given work: whole datagrams through `Node::handle`, as its
//! driver gives them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::measure::{Measured, What};
use tidings_proto::base::clocks::Hlc;
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::rng::Rng;
use tidings_proto::detection::message::{Ping, Prints};
use tidings_proto::io::{Input, Outbox, Output};
use tidings_proto::membership::facts::{FactStore, Facts};
use tidings_proto::membership::known::Known;
use tidings_proto::membership::record::{
    Accusers, Precedence, Standing, put_record, record_checksum,
};
use tidings_proto::wire::packet;
use tidings_proto::{Config, Identity, Node, NodeId, Now, Snapshot, Time};

/// A packet holds at most so much.
const PACKET_BYTES: usize = 1400;

/// Nothing is due: the node starts at one second, its first probe is later than this.
const TICK: Duration = Duration::from_millis(10);
/// A rise of an incarnation is told on as if it were the first of its member.
const ALLOWANCE_RETURNS: Duration = Duration::from_secs(2);
const STILL: Now = Now { mono: Time(1_000_000_001), wall_ms: 1 };

pub fn config() -> Config {
    Config {
        datagram_bytes: 1300,
        changes_bytes: 1200,
        burst_packets: 1,
        fanout: 1,
        eager_fanout: 1,
        transmit_factor: 20.0,
        tick: TICK,
        probe_period: Duration::from_secs(60),
        // One sender may send all.
        peer_allowance: 1 << 30,
        ..Config::lan()
    }
}

pub fn id(i: usize) -> NodeId {
    let mut rng = Rng::from_u64(i as u64);
    NodeId(rng.bytes16())
}

pub fn addr(i: usize) -> SocketAddr {
    SocketAddr::from(([10, (i >> 16) as u8, (i >> 8) as u8, i as u8], 7946))
}

pub fn identity(i: usize) -> Identity {
    Identity {
        id: id(i),
        name: format!("node-{i:05}"),
        addr: addr(i),
        tags: Vec::new(),
        boot: i as u64,
        replaces: None,
    }
}

pub fn facts(i: usize) -> Facts {
    let Identity { id, name, addr, boot, .. } = identity(i);
    Facts::new(id, &name, addr, boot, Hlc::new(1, 0), None, &BTreeMap::new()).expect("facts fit")
}

/// One kind of work, prepared outside the measured time.
pub struct Work {
    ours: Ours,
    what: What,
    members: usize,
    rng: Rng,
    incarnation: u64,
    packets: Vec<(SocketAddr, Vec<u8>)>,
}

/// Units of work in one run, at least.
const RUN_LEAST: usize = 20_000;
/// Fresh updates in one run.
const FRESH: usize = 1000;

impl Work {
    pub fn new(what: What, members: usize) -> Work {
        let mut rng = Rng::from_u64(1);
        let ours = Ours::knowing(members);
        let packets = match what {
            What::Known => ours.records(1, members, &mut rng),
            What::Fresh | What::Fill => Vec::new(),
            What::Ping => ours.pings(1000, &mut rng),
        };
        Work { ours, what, members, rng, incarnation: 1, packets }
    }
}

impl Measured for Work {
    fn prepare(&mut self) {
        if self.what == What::Fill {
            // The whole backlog anew.
            self.incarnation += 1;
            let news = self.ours.records(self.incarnation, self.members, &mut self.rng);
            // Not all in one instant: members have an allowance of rises that are told on.
            for (from, bytes) in &news {
                self.ours.now.mono += TICK;
                self.ours.datagram(*from, bytes);
                self.ours.out.clear();
            }
        }
        if self.what == What::Fresh {
            // As many as stay in the cache, as received datagrams do: of random members.
            self.incarnation += 1;
            self.ours.now.mono += ALLOWANCE_RETURNS;
            self.packets =
                self.ours.records(self.incarnation, FRESH.min(self.members), &mut self.rng);
        }
    }

    fn run(&mut self) -> usize {
        match self.what {
            What::Known => {
                for _ in 0..self.passes() {
                    self.give_packets();
                }
                self.passes() * self.members
            }
            What::Fresh => {
                self.give_packets();
                FRESH.min(self.members)
            }
            What::Fill => {
                // Each is sent some hundred times before it is dropped: the backlog stays.
                let rounds = (self.members / 4).clamp(20, 1000);
                for _ in 0..rounds {
                    let bytes = self.ours.round();
                    assert!(
                        (1100..=1300).contains(&bytes),
                        "a packet of {bytes} bytes is not full"
                    );
                }
                rounds
            }
            What::Ping => {
                self.give_packets();
                self.packets.len()
            }
        }
    }

    /// What was measured is what was meant.
    fn check(&self) {
        let stats = self.ours.node.stats();
        let waiting = self.ours.node.view().rumours_waiting();
        match self.what {
            What::Known => assert!(stats.rumours_stale >= RUN_LEAST as u64 && waiting == 0),
            What::Fresh => assert!(stats.rumours_stale == 0 && waiting >= FRESH.min(self.members)),
            What::Fill => assert_eq!(waiting, self.members, "the backlog has shrunk"),
            What::Ping => assert!(stats.datagrams_sent as usize >= self.packets.len()),
        }
    }
}

impl Work {
    fn passes(&self) -> usize {
        RUN_LEAST.div_ceil(self.members)
    }

    fn give_packets(&mut self) {
        for (from, bytes) in &self.packets {
            self.ours.datagram(*from, bytes);
            self.ours.out.clear();
        }
    }
}

/// Node 0, which knows members 1 to n.
pub struct Ours {
    pub node: Node,
    pub out: Outbox,
    key: HashKey,
    members: Vec<Facts>,
    now: Now,
}

impl Ours {
    pub fn knowing(members: usize) -> Ours {
        let config = config();
        let store = FactStore::default();
        let facts: Vec<Facts> = (0..=members).map(facts).collect();
        let shared = facts.iter().map(|f| store.intern(f.clone()));
        let known = Arc::new(Known::new(&config.cluster, shared));
        let snapshot = Snapshot { members: Some(known), ..Snapshot::default() };
        let key = HashKey::for_cluster(&config.cluster);
        let node = Node::new(config, identity(0), [1; 32], snapshot, store, STILL);
        let node = node.expect("the identity fits");
        let mut ours = Ours { node, out: Outbox::default(), key, members: facts, now: STILL };
        ours.tick();
        ours
    }

    /// Datagrams, each as full as may be, with the records of `members` in random order.
    fn records(&self, incarnation: u64, of: usize, rng: &mut Rng) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut order: Vec<usize> = (1..self.members.len()).collect();
        rng.shuffle(&mut order);
        order.truncate(of);
        let (mut packets, mut packet, mut frame) = (Vec::new(), self.begin(1), Vec::new());
        for i in order {
            frame.clear();
            self.put_record(i, incarnation, &mut frame);
            if packet.len() + frame.len() > PACKET_BYTES {
                let full = std::mem::replace(&mut packet, self.begin(1));
                packets.push((addr(1), self.sealed(full)));
            }
            packet.extend_from_slice(&frame);
        }
        packets.push((addr(1), self.sealed(packet)));
        packets
    }

    fn put_record(&self, i: usize, incarnation: u64, out: &mut Vec<u8>) {
        let facts = &self.members[i];
        let sum = record_checksum(&self.key, incarnation, &facts.bytes);
        let precedence = Precedence::new(incarnation, Standing::Alive, sum);
        put_record(out, precedence, &facts.bytes, &Accusers::default());
    }

    /// Bytes of one record on the wire.
    pub fn record_bytes(&self) -> usize {
        let mut frame = Vec::new();
        self.put_record(1, 1, &mut frame);
        frame.len()
    }

    /// Pings by members at random.
    fn pings(&self, count: usize, rng: &mut Rng) -> Vec<(SocketAddr, Vec<u8>)> {
        let ping = |_| {
            let from = 1 + rng.index(self.members.len() - 1);
            let prints = self.prints();
            let mut packet = self.begin(from);
            Ping { seq: 7, target: id(0).short(), prints }.put(&mut packet);
            (addr(from), self.sealed(packet))
        };
        (0..count).map(ping).collect()
    }

    /// As an idle cluster has them: a ping with those of the node itself.
    fn prints(&self) -> Prints {
        let (members, state) = self.node.view().fingerprints();
        Prints { members: members as u64, state: state as u64 }
    }

    fn begin(&self, sender: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        packet::begin(&mut packet, &self.key, id(sender));
        packet
    }

    fn sealed(&self, mut packet: Vec<u8>) -> Vec<u8> {
        packet::seal(&mut packet, 0, &self.key);
        packet
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.node.handle(self.now, Input::Datagram { from, sender: None, bytes }, &mut self.out);
    }

    fn tick(&mut self) {
        self.node.handle(self.now, Input::Tick, &mut self.out);
    }

    /// The next round of gossip: returns the size of its packet.
    fn round(&mut self) -> usize {
        self.out.clear();
        self.now.mono += TICK;
        self.tick();
        let sizes = self.out.items.iter().filter_map(|item| match item {
            Output::Datagram { bytes, .. } => Some(bytes.len()),
            _ => None,
        });
        sizes.max().unwrap_or(0)
    }
}
