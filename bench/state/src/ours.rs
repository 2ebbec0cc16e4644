//! Decides how cores of Tidings are driven: all that they send is delivered at once, virtual time
//! goes from deadline to deadline, and a disk answers at once.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use tidings_proto::base::clocks::Hlc;
use tidings_proto::base::hash::HashKey;
use tidings_proto::detection::message::{Ack, Ping};
use tidings_proto::io::{Command, CommandId, Input, Outbox, Output, Reply, RequestId};
use tidings_proto::membership::facts::{FactStore, Facts};
use tidings_proto::membership::known::Known;
use tidings_proto::state::disk::{self, Reserved};
use tidings_proto::wire::frame::{Frames, kind};
use tidings_proto::wire::packet;
use tidings_proto::{Config, Identity, Node, NodeId, Now, Snapshot, Time};

use crate::measure::{Sample, cpu};

const KEYSPACE: &str = "bench";
const START: Now = Now { mono: Time::from_secs(1), wall_ms: 1_700_000_000_000 };

pub type Pairs = Vec<(String, String)>;

fn id(i: usize) -> NodeId {
    NodeId::from_u128((i as u128 + 1) << 64 | (i as u128 + 1))
}

fn addr(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (i / 250) as u8, (i % 250) as u8], 7946))
}

fn index(addr: SocketAddr) -> usize {
    let SocketAddr::V4(addr) = addr else { panic!("no address of ours: {addr}") };
    let [_, _, high, low] = addr.ip().octets();
    usize::from(high) * 250 + usize::from(low)
}

fn config(durable: bool) -> Config {
    Config { durable, ..Config::lan() }
}

fn node(i: usize, durable: bool, recovered: Snapshot, facts: &FactStore) -> Node {
    let name = format!("node-{i:05}");
    let identity =
        Identity { id: id(i), name, addr: addr(i), tags: Vec::new(), boot: 0, replaces: None };
    let seed = [i as u8; 32];
    Node::new(config(durable), identity, seed, recovered, facts.clone(), START).expect("it fits")
}

/// What is on its way.
enum Mail {
    Datagram(Vec<u8>),
    Request(RequestId, Vec<u8>),
    Response(RequestId, Vec<u8>),
    Persisted(u64),
}

/// Two nodes, 0 and 1, and what they say to each other.
pub struct Link {
    nodes: [Node; 2],
    out: Outbox,
    now: Now,
    post: VecDeque<(usize, SocketAddr, Mail)>,
    /// All bytes that travelled.
    pub bytes: usize,
    /// What node 0 or 1 says to others of the cluster: they answer that all is equal.
    others: Option<HashKey>,
    /// Pings from node 0 to node 1, with the bytes of both ways.
    pub exchanges: Vec<usize>,
    pub pings: usize,
    last_ping: Vec<u8>,
    /// What nodes 0 and 1 wrote to their disks.
    disks: [BTreeMap<Vec<u8>, Vec<u8>>; 2],
}

impl Link {
    fn new(nodes: [Node; 2], others: Option<HashKey>) -> Link {
        let mut link = Link {
            nodes,
            out: Outbox::default(),
            now: START,
            post: VecDeque::new(),
            bytes: 0,
            others,
            exchanges: Vec::new(),
            pings: 0,
            last_ping: Vec::new(),
            disks: Default::default(),
        };
        for to in 0..2 {
            link.hand(to, Input::Tick);
        }
        link.deliver();
        link
    }

    /// Two nodes of their own, of which the second holds these keys.
    pub fn apart(keys: &Pairs) -> Link {
        let facts = FactStore::default();
        let nodes = [0, 1].map(|i| node(i, false, Snapshot::default(), &facts));
        let mut link = Link::new(nodes, None);
        link.write(1, keys);
        link
    }

    /// Two of `n` nodes that know all of each other and of the others, with all their keys.
    pub fn among(n: usize, keys: impl Fn(usize) -> Pairs) -> Link {
        let facts = FactStore::default();
        let each: Vec<_> = (0..n).map(|i| written_by(i, &keys(i), &facts)).collect();
        let known = (0..n).map(|i| {
            let name = format!("node-{i:05}");
            let plain = BTreeMap::new();
            let own =
                Facts::new(id(i), &name, addr(i), 0, Hlc::new(START.wall_ms, 0), None, &plain);
            facts.intern(own.expect("it fits"))
        });
        let known = Arc::new(Known::new(&config(true).cluster, known));
        let nodes = [0, 1].map(|i| {
            let mut pairs: BTreeMap<_, _> = each.iter().flatten().cloned().collect();
            // A first life, as the others know it.
            pairs.extend([disk::reserved_change(Reserved::default())].map(kept));
            let pairs = pairs.into_iter().collect();
            node(i, true, Snapshot { pairs, members: Some(Arc::clone(&known)) }, &facts)
        });
        let key = HashKey::for_cluster(&config(true).cluster);
        let link = Link::new(nodes, Some(key));
        let [a, b] = [0, 1].map(|i| link.nodes[i].view().fingerprints());
        assert_eq!(a, b, "two nodes with the same state");
        assert_eq!((link.held(0), link.nodes[0].view().alive()), (n * keys(0).len(), n));
        link
    }

    fn write(&mut self, at: usize, keys: &Pairs) {
        for (n, (key, value)) in keys.iter().enumerate() {
            let writes = vec![(key.clone().into_bytes(), Some(value.clone().into_bytes()))];
            let command = Command::Write { keyspace: KEYSPACE.to_owned(), writes };
            self.hand(at, Input::Command { id: CommandId(n as u64), command });
            self.deliver();
        }
    }

    /// Node 0 joins node 1 and takes in all that it has.
    pub fn take_in(&mut self, keys: usize) {
        let command = Command::Join { addrs: vec![addr(1)], retry: false };
        self.hand(0, Input::Command { id: CommandId(0), command });
        for _ in 0..10_000 {
            self.deliver();
            if self.held(0) == keys {
                return;
            }
            self.tick();
        }
        panic!("{} of {keys} keys were taken in", self.held(0));
    }

    pub fn held(&self, at: usize) -> usize {
        self.nodes[at].view().entry_counts().0
    }

    /// Rests for so many pings; the CPU time of one, from the tick to the ack, in nanoseconds.
    pub fn rest(&mut self, pings: usize) -> f64 {
        let (until, start) = (self.pings + pings, cpu());
        while self.pings < until {
            self.tick();
            self.deliver();
        }
        (cpu() - start) as f64 / pings as f64
    }

    /// CPU time of answering a ping, in nanoseconds.
    pub fn answer(&mut self, times: usize) -> f64 {
        let ping = self.last_ping.clone();
        let start = cpu();
        for _ in 0..times {
            self.out.clear();
            let input = Input::Datagram { from: addr(0), sender: None, bytes: &ping };
            self.nodes[1].handle(self.now, input, &mut self.out);
            assert_eq!(self.out.items.len(), 1, "an ack");
        }
        (cpu() - start) as f64 / times as f64
    }

    /// On to the next deadline.
    fn tick(&mut self) {
        let due = usize::from(self.nodes[1].next_deadline() < self.nodes[0].next_deadline());
        let at = self.nodes[due].next_deadline().max(self.now.mono);
        let passed = at.since(self.now.mono).as_millis() as u64;
        self.now = Now { mono: at, wall_ms: self.now.wall_ms + passed };
        self.hand(due, Input::Tick);
    }

    fn deliver(&mut self) {
        while let Some((to, from, mail)) = self.post.pop_front() {
            let input = match &mail {
                Mail::Datagram(bytes) => Input::Datagram { from, sender: None, bytes },
                Mail::Request(id, bytes) => Input::Request { from, sender: None, id: *id, bytes },
                Mail::Response(id, bytes) => Input::Response { id: *id, result: Ok(bytes) },
                Mail::Persisted(upto) => Input::Persisted { upto: *upto },
            };
            self.hand(to, input);
        }
    }

    fn hand(&mut self, to: usize, input: Input<'_>) {
        self.out.clear();
        self.nodes[to].handle(self.now, input, &mut self.out);
        let mut out = std::mem::take(&mut self.out);
        for item in out.items.drain(..) {
            match item {
                Output::Datagram { to: peer, bytes } => {
                    self.datagram(to, index(peer), &out.bytes[bytes]);
                }
                Output::Request { to: peer, id, bytes, .. } => {
                    let mail = Mail::Request(id, out.bytes[bytes].to_vec());
                    self.send(to, index(peer), mail);
                }
                Output::Response { id, bytes } => {
                    self.send(to, 1 - to, Mail::Response(id, out.bytes[bytes].to_vec()));
                }
                Output::Persist(persist) => {
                    for (at, value) in persist.changes {
                        match value {
                            Some(value) => self.disks[to].insert(at, value),
                            None => self.disks[to].remove(&at),
                        };
                    }
                    self.post.push_back((to, addr(to), Mail::Persisted(persist.seq)));
                }
                Output::Reply { result, .. } => {
                    let result = result.expect("a command that can be done");
                    assert!(!matches!(result, Reply::Joined { contacted: 0 }));
                }
                Output::Event(_) => {}
            }
        }
        self.out = out;
    }

    fn send(&mut self, from: usize, to: usize, mail: Mail) {
        assert!(to < 2, "node {from} asks node {to}: not at rest");
        if let Mail::Datagram(bytes) | Mail::Request(_, bytes) | Mail::Response(_, bytes) = &mail {
            self.bytes += bytes.len();
        }
        self.post.push_back((to, addr(from), mail));
    }

    fn datagram(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let Some(key) = self.others else {
            return self.send(from, to, Mail::Datagram(bytes.to_vec()));
        };
        let (_, frames) = packet::open(bytes, &key).expect("a packet of ours");
        let (of, body) = Frames::new(frames).next().expect("a frame").expect("a whole one");
        match of {
            kind::PING => self.pings += 1,
            kind::ACK => {}
            other => panic!("node {from} sends a frame {other} to {to}: not at rest"),
        }
        if to < 2 {
            if of == kind::PING && to == 1 {
                self.exchanges.push(bytes.len());
                self.last_ping = bytes.to_vec();
            } else if of == kind::ACK
                && to == 0
                && let Some(last) = self.exchanges.last_mut()
            {
                *last += bytes.len();
            }
            return self.send(from, to, Mail::Datagram(bytes.to_vec()));
        }
        let ping = Ping::decode(body).expect("a ping of ours");
        let mut ack = Vec::new();
        let start = packet::begin(&mut ack, &key, id(to));
        Ack { seq: ping.seq, prints: None, glance: None }.put(&mut ack);
        packet::seal(&mut ack, start, &key);
        self.post.push_back((from, addr(to), Mail::Datagram(ack)));
    }
}

fn kept((at, value): disk::Change) -> (Vec<u8>, Vec<u8>) {
    (at, value.expect("it is set"))
}

/// What is on the disk of a node that wrote these keys.
fn written_by(i: usize, keys: &Pairs, facts: &FactStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let alone = || node(i, true, Snapshot::default(), facts);
    let mut link = Link::new([alone(), alone()], None);
    link.write(0, keys);
    std::mem::take(&mut link.disks[0]).into_iter().collect()
}

/// Nothing but the two ways of one exchange between two nodes at rest, and its CPU time.
pub fn idle(link: &mut Link, repeats: usize) -> (Sample, Sample) {
    let mut time = Sample::default();
    for _ in 0..repeats {
        time.push(link.rest(4000) + link.answer(4000));
    }
    let largest = *link.exchanges.iter().max().expect("node 0 has pinged node 1");
    (Sample::count(largest), time)
}
