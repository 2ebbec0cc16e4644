//! Decides how a thousand nodes join one seed at once: virtual time, every way takes one
//! millisecond, nothing is lost, nodes are woken when they ask to be. The same for foca and for ours.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use foca::{AccumulatingRuntime, Timer};
use tidings_proto::io::{Command, CommandId, Input, Outbox, Output, RequestId};
use tidings_proto::membership::facts::FactStore;
use tidings_proto::{Config, Node, Now, Snapshot, Time};

use crate::measure::cpu;
use crate::{ours, peer};

/// One way.
const WAY: Duration = Duration::from_millis(1);
/// Datagram headers below: bytes are those of the protocols themselves, for both.
const GIVEN: Duration = Duration::from_secs(60);

/// What came of it.
pub struct Joined {
    /// Seconds until every node knew every other; `None`: not within [`GIVEN`].
    pub complete: Option<f64>,
    /// (node, member) pairs that were not known after three seconds.
    pub holes: usize,
    /// Bytes sent in all until complete, or until the end.
    pub bytes: u64,
    pub cpu: u64,
    /// Heap bytes freed with the nodes, ten seconds after the end, when all has been told.
    pub heap: usize,
}

/// What is to happen, in order of time and then of being planned.
struct Queue<E> {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
    planned: u64,
}

impl<E> Queue<E> {
    fn new() -> Queue<E> {
        Queue { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), planned: 0 }
    }

    fn plan(&mut self, at: u64, event: E) {
        self.planned += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.heap.push(Reverse((at, self.planned, place)));
    }

    fn next(&mut self) -> Option<(u64, E)> {
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.free.push(place);
        Some((at, self.events[place].take().expect("a planned event")))
    }
}

/// Looks every 100 ms whether all know all; returns when, and how many pairs lack after 3 s.
struct Look {
    next: u64,
    complete: Option<u64>,
    holes: usize,
    bytes: u64,
    cpu: u64,
}

const LOOK_EVERY: u64 = 20_000_000;
const HOLES_AT: u64 = 3_000_000_000;

impl Look {
    fn look(&mut self, now: u64, bytes: u64, cpu: u64, missing: impl FnOnce() -> usize) {
        if now < self.next || self.complete.is_some() {
            return;
        }
        let missing = missing();
        if self.next <= HOLES_AT {
            self.holes = missing;
        }
        (self.bytes, self.cpu) = (bytes, cpu);
        if missing == 0 {
            self.complete = Some(self.next);
            self.holes = if self.next <= HOLES_AT { 0 } else { self.holes };
        }
        self.next += LOOK_EVERY;
    }
}

enum Happening {
    Datagram { from: usize, to: SocketAddr, bytes: Vec<u8> },
    Request { from: usize, to: SocketAddr, id: RequestId, bytes: Vec<u8> },
    Response { to: usize, id: RequestId, bytes: Vec<u8> },
    Wake { node: usize },
}

struct Ours {
    nodes: Vec<Node>,
    by_addr: BTreeMap<SocketAddr, usize>,
    wakes: Vec<u64>,
    queue: Queue<Happening>,
    /// Requests under way to each node: who asked, by which number.
    calls: Vec<(usize, RequestId)>,
    out: Outbox,
    bytes: u64,
    cpu: u64,
}

/// Our nodes, by their default settings for a LAN.
pub fn ours(n: usize, live_bytes: impl Fn() -> usize) -> Joined {
    let store = FactStore::default();
    let start = |i: usize| {
        let seed = [i as u8, (i >> 8) as u8, 3, 4, 5, 6, 7, 8].repeat(4);
        let seed: [u8; 32] = seed.try_into().expect("32 bytes");
        let snapshot = Snapshot::default();
        Node::new(Config::lan(), ours::identity(i), seed, snapshot, store.clone(), at(0))
            .expect("the identity fits")
    };
    let mut world = Ours {
        nodes: (0..n).map(start).collect(),
        by_addr: (0..n).map(|i| (ours::addr(i), i)).collect(),
        wakes: vec![u64::MAX; n],
        queue: Queue::new(),
        calls: Vec::new(),
        out: Outbox::default(),
        bytes: 0,
        cpu: 0,
    };
    for i in 0..n {
        world.handle(i, 0, Input::Tick);
        if i > 0 {
            let join = Command::Join { addrs: vec![ours::addr(0)], retry: true };
            world.handle(i, 0, Input::Command { id: CommandId(1), command: join });
        }
    }
    let look = world.run(n);
    let before = live_bytes();
    drop(world.nodes);
    drop(store);
    Joined {
        complete: look.complete.map(|at| at as f64 / 1e9),
        holes: look.holes,
        bytes: look.bytes,
        cpu: look.cpu,
        heap: before - live_bytes(),
    }
}

fn at(now: u64) -> Now {
    let mono = Time::from_secs(1) + Duration::from_nanos(now);
    Now { mono, wall_ms: 1_800_000_000_000 + now / 1_000_000 }
}

impl Ours {
    fn run(&mut self, n: usize) -> Look {
        let mut look = Look { next: LOOK_EVERY, complete: None, holes: 0, bytes: 0, cpu: 0 };
        while let Some((now, event)) = self.queue.next() {
            let nodes = &self.nodes;
            let known = || nodes.iter().map(|node| n - node.view().alive()).sum();
            look.look(now, self.bytes, self.cpu, known);
            let end = look.complete.map_or(GIVEN, |at| Duration::from_nanos(at) + GIVEN / 2);
            if now > end.as_nanos() as u64 {
                break;
            }
            self.happens(now, event);
        }
        look
    }

    fn happens(&mut self, now: u64, event: Happening) {
        match event {
            Happening::Wake { node } if self.wakes[node] <= now => {
                self.wakes[node] = u64::MAX;
                self.handle(node, now, Input::Tick);
            }
            Happening::Wake { .. } => {}
            Happening::Datagram { from, to, bytes } => {
                let (from, to) = (ours::addr(from), self.by_addr[&to]);
                self.handle(to, now, Input::Datagram { from, sender: None, bytes: &bytes });
            }
            Happening::Request { from, to, id, bytes } => {
                self.calls.push((from, id));
                let id = RequestId(self.calls.len() as u64 - 1);
                let (from, to) = (ours::addr(from), self.by_addr[&to]);
                self.handle(to, now, Input::Request { from, sender: None, id, bytes: &bytes });
            }
            Happening::Response { to, id, bytes } => {
                self.handle(to, now, Input::Response { id, result: Ok(&bytes) });
            }
        }
    }

    fn handle(&mut self, i: usize, now: u64, input: Input<'_>) {
        let before = cpu();
        self.nodes[i].handle(at(now), input, &mut self.out);
        self.cpu += cpu() - before;
        let arrives = now + WAY.as_nanos() as u64;
        for item in self.out.items.drain(..) {
            let (event, sent, delay) = match item {
                Output::Datagram { to, bytes } => {
                    let bytes = self.out.bytes[bytes].to_vec();
                    (Happening::Datagram { from: i, to, bytes: bytes.clone() }, bytes.len(), 0)
                }
                Output::Request { to, id, bytes, .. } => {
                    let bytes = self.out.bytes[bytes].to_vec();
                    let sent = bytes.len();
                    // A connect costs a way there and back before.
                    (Happening::Request { from: i, to, id, bytes }, sent, 2)
                }
                Output::Response { id, bytes } => {
                    let (to, id) = self.calls[id.0 as usize];
                    let bytes = self.out.bytes[bytes].to_vec();
                    let sent = bytes.len();
                    (Happening::Response { to, id, bytes }, sent, 0)
                }
                Output::Persist(_) | Output::Reply { .. } | Output::Event(_) => continue,
            };
            self.bytes += sent as u64;
            self.queue.plan(arrives + delay * WAY.as_nanos() as u64, event);
        }
        self.out.clear();
        let deadline = self.nodes[i].next_deadline();
        if deadline != Time::NEVER {
            let wake = deadline.since(at(0).mono).as_nanos() as u64;
            if wake < self.wakes[i] {
                self.wakes[i] = wake.max(now);
                self.queue.plan(wake.max(now), Happening::Wake { node: i });
            }
        }
    }
}

enum PeerHappening {
    Data { to: peer::Id, bytes: bytes::Bytes },
    Timer { node: usize, timer: Timer<peer::Id> },
}

/// foca's instances, by its own settings for a LAN of this size.
pub fn peers(n: usize, live_bytes: impl Fn() -> usize) -> Joined {
    let mut nodes: Vec<peer::Instance> =
        (0..n).map(|i| peer::instance(i, peer::config(n))).collect();
    let mut queue = Queue::new();
    let mut runtime = AccumulatingRuntime::new();
    let (mut bytes, mut spent) = (0u64, 0u64);
    let mut look = Look { next: LOOK_EVERY, complete: None, holes: 0, bytes: 0, cpu: 0 };
    let drain = |i: usize,
                 now: u64,
                 runtime: &mut AccumulatingRuntime<peer::Id>,
                 queue: &mut Queue<PeerHappening>| {
        let mut sent = 0;
        while let Some((to, data)) = runtime.to_send() {
            sent += data.len() as u64;
            queue.plan(now + WAY.as_nanos() as u64, PeerHappening::Data { to, bytes: data });
        }
        while let Some((after, timer)) = runtime.to_schedule() {
            let at = now + after.as_nanos() as u64;
            queue.plan(at, PeerHappening::Timer { node: i, timer });
        }
        while runtime.to_notify().is_some() {}
        sent
    };
    for (i, node) in nodes.iter_mut().enumerate().skip(1) {
        node.announce(peer::id(0), &mut runtime).expect("an announcement is sent");
        bytes += drain(i, 0, &mut runtime, &mut queue);
    }
    while let Some((now, event)) = queue.next() {
        let missing =
            || nodes.iter().map(|node| n - 1 - node.iter_members().count().min(n - 1)).sum();
        look.look(now, bytes, spent, missing);
        let end = look.complete.map_or(GIVEN, |at| Duration::from_nanos(at) + GIVEN / 2);
        if now > end.as_nanos() as u64 {
            break;
        }
        let before = cpu();
        let node = match event {
            PeerHappening::Data { to, bytes } => {
                let node = to.ip as usize - 1;
                nodes[node].handle_data(&bytes, &mut runtime).expect("well formed");
                node
            }
            PeerHappening::Timer { node, timer } => {
                // A timer that has been overtaken is an error of foca's that means nothing.
                let _ = nodes[node].handle_timer(timer, &mut runtime);
                node
            }
        };
        spent += cpu() - before;
        bytes += drain(node, now, &mut runtime, &mut queue);
    }
    let before = live_bytes();
    drop(nodes);
    Joined {
        complete: look.complete.map(|at| at as f64 / 1e9),
        holes: look.holes,
        bytes: look.bytes,
        cpu: look.cpu,
        heap: before - live_bytes(),
    }
}
