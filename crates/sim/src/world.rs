//! Decides what happens next and what a node's output causes: one queue over all hosts, one
//! outbox, no thread and no clock but this one.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tidings_proto::base::clocks::Hlc;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::{
    Alarm, CommandError, CommandId, Event, Input, MemberChange, Outbox, Output, Reply,
    RequestError, RequestId,
};
use tidings_proto::membership::facts::{FactStore, Facts};
use tidings_proto::membership::known::Known;
use tidings_proto::{Config, Identity, Node, NodeId, Snapshot, Time};

use crate::check::Watch;
use crate::clock::Clock;
use crate::dialect::{Dialect, Dialects};
use crate::disk::{Disk, Outcome};
use crate::host::{Host, Inbox, Spent, Traffic, Waiting};
use crate::network::{Conditions, Network, Shape};
use crate::observe::{Heard, Observed};
use crate::queue::{Happening, Queue};
use crate::stream::Calls;
use crate::tap::{Packet, Tap};
use crate::trace::{Text, Trace, describe_event};

/// What a world is made of, besides its nodes.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    pub conditions: Conditions,
    /// A datagram to a host without a process comes back as unreachable.
    pub unreachable: bool,
    pub disk_latency: Duration,
    /// What a stopped process's socket keeps, the oldest first.
    pub socket_buffer_bytes: usize,
    pub record: Record,
    /// Whether the rules of [`crate::check`] watch every event.
    pub checks: bool,
    pub text: Text,
    pub wall_start_ms: u64,
    /// Packets remembered for [`World::inject`] and its kin, the oldest forgotten first.
    pub packets_kept: usize,
    /// Each host's monotonic clock starts somewhere else.
    pub mono_offsets: bool,
}

impl Default for WorldConfig {
    fn default() -> WorldConfig {
        WorldConfig {
            conditions: Conditions::lan(),
            unreachable: true,
            disk_latency: Duration::from_millis(2),
            socket_buffer_bytes: 212_992,
            record: Record::Counts,
            checks: true,
            text: Text::Off,
            wall_start_ms: 1_800_000_000_000,
            packets_kept: 0,
            mono_offsets: true,
        }
    }
}

/// Whether events are kept or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    Counts,
    /// By host, for [`Observed::events`].
    Events,
    /// In order, for [`World::take_heard`].
    Heard,
}

/// A virtual cluster.
pub struct World {
    pub(crate) now: Time,
    pub(crate) queue: Queue,
    pub(crate) hosts: Vec<Host>,
    /// The host at each address: index is the address less 10.0.0.0.
    places: Vec<Option<usize>>,
    pub(crate) by_id: BTreeMap<NodeId, usize>,
    pub net: Network,
    pub(crate) net_rng: Rng,
    pub(crate) fault_rng: Rng,
    identity_rng: Rng,
    pub(crate) config: WorldConfig,
    pub(crate) calls: Calls,
    facts: FactStore,
    /// What a converged world started from.
    known: Option<Arc<[Arc<Facts>]>>,
    pub(crate) trace: Trace,
    pub(crate) seen: Observed,
    pub(crate) watch: Watch,
    outbox: Outbox,
    /// What the current call has sent.
    sends: Vec<(SocketAddr, Arc<[u8]>)>,
    dialects: Option<Dialects>,
    /// Events since they were taken last, where they are recorded in order.
    heard: Vec<Heard>,
    /// Who sent what is being handled.
    told_by: Option<SocketAddr>,
    /// What arrives at a host that listens in for later.
    pub(crate) tap: Option<Tap>,
    /// Newest first; empty unless asked for.
    pub(crate) sent: VecDeque<Packet>,
    told_twice: u64,
    told_itself: u64,
    pub(crate) commands: u64,
    inputs: u64,
}

/// Datagrams of one call among which no peer is told the same twice.
const SENDS_COMPARED: usize = 32;
/// The number of a request that no host asked.
const NOBODYS_CALL: u64 = u64::MAX;
/// A process that is woken this often at one instant will never let time pass.
const WAKES_AT_ONE_INSTANT_MAX: u32 = 1000;

impl World {
    pub fn new(seed: u64, config: WorldConfig) -> World {
        let mut root = Rng::from_u64(seed).bytes32();
        root[0] ^= 1;
        World {
            now: Time::ZERO,
            queue: Queue::default(),
            hosts: Vec::new(),
            places: Vec::new(),
            by_id: BTreeMap::new(),
            net: Network::new(config.conditions),
            net_rng: Rng::fork(&root, "network"),
            fault_rng: Rng::fork(&root, "fault"),
            identity_rng: Rng::fork(&root, "identity"),
            calls: Calls::default(),
            facts: FactStore::default(),
            known: None,
            trace: Trace::new(config.text),
            seen: Observed::default(),
            watch: Watch::new(config.checks),
            outbox: Outbox::default(),
            sends: Vec::new(),
            dialects: None,
            heard: Vec::new(),
            told_by: None,
            tap: None,
            sent: VecDeque::new(),
            told_twice: 0,
            told_itself: 0,
            commands: 0,
            inputs: 0,
            config,
        }
    }

    /// A cluster of `n` that already know each other, named `n0`, `n1` and so on.
    pub fn converged(seed: u64, world: WorldConfig, n: usize, config: &Config) -> World {
        let mut world = World::new(seed, world);
        for i in 0..n {
            world.place(&format!("n{i}"), config.clone());
        }
        world.start_converged(&(0..n).collect::<Vec<usize>>());
        world
    }

    /// Starts processes that already know each other on hosts that have none.
    pub fn start_converged(&mut self, hosts: &[usize]) {
        let facts = self.converged_facts(hosts);
        let mut clusters: BTreeMap<&str, Vec<Arc<Facts>>> = BTreeMap::new();
        for (&host, facts) in hosts.iter().zip(facts.iter()) {
            let cluster = self.hosts[host].config.cluster.as_str();
            clusters.entry(cluster).or_default().push(Arc::clone(facts));
        }
        let known: BTreeMap<String, Arc<Known>> = clusters
            .into_iter()
            .map(|(cluster, facts)| (cluster.to_owned(), Arc::new(Known::new(cluster, facts))))
            .collect();
        for &host in hosts {
            let members = Some(Arc::clone(&known[&self.hosts[host].config.cluster]));
            self.boot(host, Snapshot { pairs: Vec::new(), members });
        }
        self.known = Some(facts);
    }

    /// Starts a node that knows nobody; returns its host.
    pub fn add_node(&mut self, name: &str, config: Config) -> usize {
        let host = self.place(name, config);
        self.boot(host, Snapshot::default());
        host
    }

    /// Starts a node with tags and places to join.
    pub fn add_node_with(
        &mut self,
        name: &str,
        config: Config,
        tags: &[(&str, &str)],
        join: &[usize],
    ) -> usize {
        let host = self.place(name, config);
        let owned = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.hosts[host].tags = owned;
        self.boot(host, Snapshot::default());
        if !join.is_empty() {
            self.hosts[host].join = join.iter().map(|&j| self.hosts[j].addr).collect();
            self.join(host, join);
        }
        host
    }

    /// A host without a process; [`World::start`] runs one.
    pub fn place(&mut self, name: &str, config: Config) -> usize {
        config.check().expect("a world runs valid settings only");
        let host = self.hosts.len();
        let id = NodeId(self.identity_rng.bytes16());
        let boot = self.identity_rng.u64();
        let offset_ms =
            if self.config.mono_offsets { self.identity_rng.below(100_000_000) } else { 0 };
        let clock = Clock::new(self.config.wall_start_ms, Duration::from_millis(offset_ms));
        self.hosts.push(Host {
            name: name.to_owned(),
            addr: address(host),
            config,
            tags: Vec::new(),
            id,
            boot,
            replaces: None,
            join: Vec::new(),
            node: None,
            life: 0,
            clock,
            disk: Disk::new(self.config.disk_latency),
            inbox: Inbox::default(),
            paused: None,
            service: Duration::ZERO,
            serving: false,
            tick_waiting: false,
            wake_at: Time::NEVER,
            wakes_here: (Time::ZERO, 0),
            traffic: Traffic::default(),
            spent: Spent::default(),
            largest_datagram: 0,
            first_sent_to: None,
        });
        self.places.push(Some(host));
        host
    }

    /// Tags of the processes that this host will run.
    pub fn set_tags_at_start(&mut self, host: usize, tags: &[(String, String)]) {
        self.hosts[host].tags = tags.to_vec();
    }

    /// Runs a process on a host that has none.
    pub(crate) fn boot(&mut self, host: usize, snapshot: Snapshot) {
        let seed = self.identity_rng.bytes32();
        let next_boot = self.identity_rng.u64();
        let now = self.now;
        let h = &mut self.hosts[host];
        assert!(h.node.is_none(), "a host runs one process at a time");
        let boot = std::mem::replace(&mut h.boot, next_boot);
        let identity = Identity {
            id: h.id,
            name: h.name.clone(),
            addr: h.addr,
            tags: h.tags.clone(),
            boot,
            replaces: h.replaces,
        };
        let (config, facts) = (h.config.clone(), self.facts.clone());
        let node = Node::new(config, identity, seed, snapshot, facts, h.clock.now(now))
            .expect("a world starts valid identities only");
        h.node = Some(node);
        h.life += 1;
        h.wake_at = Time::NEVER;
        self.by_id.insert(h.id, host);
        self.watch.born(h.id, &h.config.cluster);
        self.trace.note(now, format_args!("{} starts", self.hosts[host].name));
        self.handle(host, Input::Tick);
    }

    /// The facts of these hosts, exactly as their first processes will state them now.
    pub(crate) fn converged_facts(&self, hosts: &[usize]) -> Arc<[Arc<Facts>]> {
        hosts
            .iter()
            .map(|&host| &self.hosts[host])
            .map(|h| {
                let tags = h.tags.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into()));
                let tags: BTreeMap<Box<str>, Box<str>> = tags.collect();
                let accepted = Hlc::new(h.clock.now(self.now).wall_ms, 0);
                let facts = Facts::new(h.id, &h.name, h.addr, h.boot, accepted, None, &tags);
                self.facts.intern(facts.expect("a world's facts are valid"))
            })
            .collect()
    }

    // ---- time

    pub fn now(&self) -> Time {
        self.now
    }

    /// Inputs handled by all nodes so far.
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    pub fn run_until(&mut self, until: Time) {
        while self.queue.next_time().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// Runs until the condition holds, looking every `every`; the time it took, or `None` after
    /// `within`.
    pub fn run_while(
        &mut self,
        within: Duration,
        every: Duration,
        mut unfinished: impl FnMut(&World) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while unfinished(self) {
            if self.now.since(start) >= within {
                return None;
            }
            self.run_for(every);
        }
        Some(self.now.since(start))
    }

    /// When the next thing happens.
    pub fn next_time(&self) -> Option<Time> {
        self.queue.next_time()
    }

    /// Lets the next thing happen; false when nothing is left.
    pub fn step(&mut self) -> bool {
        let Some((at, what)) = self.queue.pop() else { return false };
        debug_assert!(at >= self.now, "time runs forward");
        self.now = self.now.max(at);
        match what {
            Happening::Wake { host, life } => self.wake(host, life),
            Happening::Datagram { from, to, bytes } => self.datagram_arrives(from, to, bytes),
            Happening::Unreachable { host, life, to } => {
                if self.hosts[host].life == life {
                    self.offer(host, Waiting::Unreachable { to });
                }
            }
            Happening::Connect { call } => self.connect(call),
            Happening::Request { call } => self.request_arrives(call),
            Happening::Response { call, result } => self.close_call(call, result),
            Happening::CallTimeout { call } => self.close_call(call, Err(RequestError::Timeout)),
            Happening::Disk { host, life } => self.disk_done(host, life),
            Happening::Serve { host, life } => self.serve(host, life),
            Happening::Redraw { host, life } => {
                if self.hosts[host].life == life {
                    self.redraw(host);
                }
            }
        }
        true
    }

    // ---- inputs

    /// Gives a node an input now, or puts it in the inbox of a process that is not keeping up.
    pub(crate) fn offer(&mut self, host: usize, input: Waiting) {
        let h = &mut self.hosts[host];
        if h.node.is_none() {
            return;
        }
        if h.queues_input() {
            if matches!(input, Waiting::Tick) && std::mem::replace(&mut h.tick_waiting, true) {
                return;
            }
            h.inbox.push(input, self.config.socket_buffer_bytes);
            self.serve_later(host);
            return;
        }
        self.take(host, input);
    }

    pub(crate) fn serve_later(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        if h.paused.is_some() || h.serving || h.inbox.is_empty() {
            return;
        }
        h.serving = true;
        let at = self.now + h.service.max(Duration::from_micros(10));
        self.queue.push(at, Happening::Serve { host, life: h.life });
    }

    fn serve(&mut self, host: usize, life: u64) {
        let h = &mut self.hosts[host];
        if h.life != life {
            return;
        }
        h.serving = false;
        if h.paused.is_some() {
            return;
        }
        if let Some(input) = h.inbox.pop() {
            if matches!(input, Waiting::Tick) {
                h.tick_waiting = false;
            }
            self.take(host, input);
        }
        self.serve_later(host);
    }

    fn take(&mut self, host: usize, input: Waiting) {
        self.told_by = match &input {
            Waiting::Datagram { from, .. }
            | Waiting::Request { from, .. }
            | Waiting::Response { from, .. } => Some(*from),
            _ => None,
        };
        match input {
            Waiting::Datagram { from, bytes } => {
                let traffic = &mut self.hosts[host].traffic;
                traffic.datagrams_received += 1;
                traffic.bytes_received += bytes.len() as u64;
                self.handle(host, Input::Datagram { from, sender: None, bytes: &bytes });
            }
            Waiting::Unreachable { to } => self.handle(host, Input::Unreachable { to }),
            Waiting::Request { call, from, bytes } => self.hand_request(host, call, from, &bytes),
            Waiting::Response { id, result, .. } => {
                let result = result.as_deref().map_err(|e| *e);
                self.handle(host, Input::Response { id: RequestId(id), result });
            }
            Waiting::Disk(Outcome::Done { upto }) => self.handle(host, Input::Persisted { upto }),
            Waiting::Disk(Outcome::Failed { seq }) => {
                self.handle(host, Input::PersistFailed { seq });
            }
            Waiting::Tick => self.handle(host, Input::Tick),
        }
        self.told_by = None;
    }

    pub(crate) fn handle(&mut self, host: usize, input: Input<'_>) {
        let h = &mut self.hosts[host];
        let Some(node) = h.node.as_mut() else { return };
        self.inputs += 1;
        self.trace.input(self.now, host, &h.name, &input);
        let mut out = std::mem::take(&mut self.outbox);
        out.clear();
        node.handle(h.clock.now(self.now), input, &mut out);
        self.trace.outputs(self.now, host, &h.name, &out);
        self.carry_out(host, &mut out);
        self.outbox = out;
        self.rearm(host);
    }

    // ---- the deadline

    pub(crate) fn rearm(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        let Some(node) = &h.node else { return };
        if h.paused.is_some() {
            return;
        }
        let at = h.clock.world(node.next_deadline()).max(self.now);
        if at < h.wake_at {
            h.wake_at = at;
            self.queue.push(at, Happening::Wake { host, life: h.life });
        }
    }

    fn wake(&mut self, host: usize, life: u64) {
        let h = &mut self.hosts[host];
        if h.life != life || h.wake_at != self.now {
            return;
        }
        h.wake_at = Time::NEVER;
        let Some(node) = &h.node else { return };
        if h.paused.is_some() {
            return;
        }
        if h.clock.world(node.next_deadline()) > self.now {
            self.rearm(host);
            return;
        }
        let (at, times) = h.wakes_here;
        h.wakes_here = (self.now, if at == self.now { times + 1 } else { 1 });
        assert!(
            h.wakes_here.1 < WAKES_AT_ONE_INSTANT_MAX,
            "the deadline of {} does not advance at {:?}",
            h.name,
            self.now
        );
        self.offer(host, Waiting::Tick);
    }

    // ---- outputs

    fn carry_out(&mut self, host: usize, out: &mut Outbox) {
        let mut shared: Option<(Range<usize>, Arc<[u8]>)> = None;
        self.sends.clear();
        for item in out.items.drain(..) {
            match item {
                Output::Datagram { to, bytes } => {
                    let copy = match &shared {
                        Some((range, copy)) if *range == bytes => Arc::clone(copy),
                        _ => Arc::from(&out.bytes[bytes.clone()]),
                    };
                    shared = Some((bytes, Arc::clone(&copy)));
                    let again = self.sends.iter().any(|(t, c)| *t == to && *c == copy);
                    self.told_twice += u64::from(again);
                    if self.sends.len() < SENDS_COMPARED {
                        self.sends.push((to, Arc::clone(&copy)));
                    }
                    self.send(host, to, copy);
                }
                Output::Request { to, id, bytes, timeout } => {
                    self.call(host, to, id, Arc::from(&out.bytes[bytes]), timeout);
                }
                Output::Response { id, bytes } => {
                    self.answer(host, id.0, Arc::from(&out.bytes[bytes]));
                }
                Output::Persist(persist) => {
                    let h = &mut self.hosts[host];
                    let done = h.disk.submit(self.now, persist);
                    self.queue.push(done, Happening::Disk { host, life: h.life });
                }
                Output::Reply { command, result } => self.reply(host, command, result),
                Output::Event(event) => self.event(host, &event),
            }
        }
    }

    fn send(&mut self, host: usize, to: SocketAddr, bytes: Arc<[u8]>) {
        let h = &mut self.hosts[host];
        h.traffic.datagrams_sent += 1;
        h.traffic.bytes_sent += bytes.len() as u64;
        h.largest_datagram = h.largest_datagram.max(bytes.len());
        let (from, datagram_bytes) = (h.addr, h.config.datagram_bytes);
        assert!(bytes.len() <= h.config.datagram_bytes, "{}: {} bytes sent", h.name, bytes.len());
        self.told_itself += u64::from(from == to);
        let bytes = self.spoken(host, bytes, datagram_bytes);
        self.keep_packet(host, false, &bytes);
        self.transmit(host, to, bytes);
    }

    /// Puts a datagram on the network, whoever made it.
    pub(crate) fn transmit(&mut self, host: usize, to: SocketAddr, bytes: Arc<[u8]>) {
        let from = self.hosts[host].addr;
        let Some(target) = self.host_at(to) else { return };
        self.hosts[target].first_sent_to.get_or_insert(self.now);
        self.count_far(host, target, bytes.len());
        let fate = self.net.datagram(host, target, &mut self.net_rng);
        let bytes = if fate.corrupted { self.flip_a_bit(&bytes) } else { bytes };
        for delay in fate.copies.into_iter().flatten() {
            let bytes = Arc::clone(&bytes);
            self.queue.push(self.now + delay, Happening::Datagram { from, to, bytes });
        }
    }

    pub(crate) fn count_far(&mut self, from: usize, to: usize, bytes: usize) {
        let far = self.net.regions.as_ref().is_some_and(|r| r.place(from) != r.place(to));
        self.hosts[from].traffic.bytes_far += if far { bytes as u64 } else { 0 };
    }

    fn flip_a_bit(&mut self, bytes: &[u8]) -> Arc<[u8]> {
        let mut flipped = bytes.to_vec();
        if !flipped.is_empty() {
            let bit = self.net_rng.index(flipped.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        Arc::from(flipped)
    }

    fn datagram_arrives(&mut self, from: SocketAddr, to: SocketAddr, bytes: Arc<[u8]>) {
        let Some(target) = self.host_at(to) else { return };
        if self.hosts[target].node.is_some() {
            if let Some(tap) = &mut self.tap {
                tap.datagram(target, &bytes);
            }
            let bytes = self.understood(target, bytes);
            self.offer(target, Waiting::Datagram { from, bytes });
            return;
        }
        if !self.config.unreachable {
            return;
        }
        let Some(sender) = self.host_at(from) else { return };
        if self.net.open(target, sender, Shape::Datagram) {
            let back = self.net.latency(target, sender, &mut self.net_rng);
            let life = self.hosts[sender].life;
            self.queue.push(self.now + back, Happening::Unreachable { host: sender, life, to });
        }
    }

    fn disk_done(&mut self, host: usize, life: u64) {
        if self.hosts[host].life != life {
            return;
        }
        if let Some(outcome) = self.hosts[host].disk.complete() {
            self.offer(host, Waiting::Disk(outcome));
        }
    }

    fn reply(&mut self, host: usize, command: CommandId, result: Result<Reply, CommandError>) {
        self.trace.note(self.now, format_args!("{}: {}", self.hosts[host].name, said(&result)));
        self.seen.reply(command, self.now, result.clone());
        if let Ok(Reply::Written { dots, .. }) = &result {
            let durable = self.hosts[host].config.durable;
            self.watch.acknowledged(host, durable, dots, &self.seen);
        }
    }

    fn event(&mut self, host: usize, event: &Event) {
        if self.trace.text >= Text::Events {
            let line = describe_event(event);
            self.trace.note(self.now, format_args!("{}: {line}", self.hosts[host].name));
        }
        let false_alarm = matches!(event, Event::Member { change: MemberChange::Failed, member }
            if self.is_reachable(host, member.id));
        self.seen.see(host, self.now, event, false_alarm);
        match self.config.record {
            Record::Counts => {}
            Record::Events => self.seen.record(host, self.now, event),
            Record::Heard => {
                let from = self.told_by.and_then(|addr| self.host_at(addr));
                let (at, event) = (self.now, event.clone());
                self.heard.push(Heard { at, host, from, event, false_alarm });
            }
        }
        if self.config.checks {
            let h = &self.hosts[host];
            let view = h.node.as_ref().expect("an event comes from a running node").view();
            let mono = h.clock.mono(self.now);
            self.watch.event(host, h.life, self.now, mono, event, &view);
        }
        if let Event::Alarm(Alarm::IdentityTaken { id }) = event
            && *id == self.hosts[host].id
        {
            let life = self.hosts[host].life;
            self.queue.push(self.now, Happening::Redraw { host, life });
        }
    }

    /// Whether the process with this identity runs and the observer can talk with it.
    fn is_reachable(&self, observer: usize, id: NodeId) -> bool {
        self.by_id.get(&id).is_some_and(|&subject| {
            let h = &self.hosts[subject];
            h.id == id && h.running() && self.net.connected(observer, subject)
        })
    }

    /// How often one call sent one address the same datagram twice: never, unless two members
    /// are at that address (a swap under way).
    pub fn told_twice(&self) -> u64 {
        self.told_twice
    }

    /// Datagrams that a node sent to its own address: none, unless an earlier life of it is held
    /// to be there.
    pub fn told_itself(&self) -> u64 {
        self.told_itself
    }

    /// What everybody knew of a host at the start of a converged world.
    pub fn facts_at_start(&self, host: usize) -> &Facts {
        &self.known.as_ref().expect("the world started converged")[host]
    }

    /// A datagram that no node sent arrives, as if from the address of another host.
    pub fn inject(&mut self, to: usize, from: usize, bytes: &[u8]) {
        let from = self.hosts[from].addr;
        self.offer(to, Waiting::Datagram { from, bytes: Arc::from(bytes) });
    }

    /// A request that no node sent arrives; its answer goes nowhere.
    pub fn inject_request(&mut self, to: usize, from: usize, bytes: &[u8]) {
        let from = self.hosts[from].addr;
        self.offer(to, Waiting::Request { call: NOBODYS_CALL, from, bytes: Arc::from(bytes) });
    }

    // ---- versions

    /// From now on these hosts speak other versions of the protocol; hosts beyond the list do not.
    pub fn set_dialects(&mut self, of: Vec<Option<Dialect>>) {
        self.dialects = of.iter().any(Option::is_some).then(|| Dialects::new(of));
    }

    pub(crate) fn spoken(&self, host: usize, bytes: Arc<[u8]>, bytes_max: usize) -> Arc<[u8]> {
        let Some(dialects) = &self.dialects else { return bytes };
        dialects.speak(host, &self.hosts[host].config.cluster, bytes, bytes_max)
    }

    pub(crate) fn understood(&self, host: usize, bytes: Arc<[u8]>) -> Arc<[u8]> {
        let Some(dialects) = &self.dialects else { return bytes };
        dialects.hear(host, &self.hosts[host].config.cluster, bytes)
    }

    // ---- what was heard

    /// Events in the order in which they happened, since the last call. Needs
    /// [`Record::Heard`].
    pub fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// How many events wait to be taken.
    pub fn heard(&self) -> usize {
        self.heard.len()
    }

    // ---- addresses

    pub(crate) fn host_at(&self, addr: SocketAddr) -> Option<usize> {
        let IpAddr::V4(ip) = addr.ip() else { return None };
        let place = u32::from(ip).checked_sub(FIRST_ADDRESS)?;
        self.places.get(place as usize).copied().flatten()
    }

    /// Two hosts take each other's address; their processes must be down.
    pub fn swap_addresses(&mut self, a: usize, b: usize) {
        assert!(!self.is_up(a) && !self.is_up(b), "an address changes only while the host is down");
        let (addr_a, addr_b) = (self.hosts[a].addr, self.hosts[b].addr);
        (self.hosts[a].addr, self.hosts[b].addr) = (addr_b, addr_a);
        for host in [a, b] {
            let place = place_of(self.hosts[host].addr);
            self.places[place] = Some(host);
        }
    }

    /// Gives a host that is down the name of another.
    pub fn rename(&mut self, host: usize, name: &str) {
        assert!(!self.is_up(host), "a name changes only while the host is down");
        self.hosts[host].name = name.to_owned();
    }

    pub(crate) fn new_identity(&mut self, host: usize, replaces: Option<NodeId>) {
        let id = NodeId(self.identity_rng.bytes16());
        self.hosts[host].id = id;
        self.hosts[host].replaces = replaces;
    }
}

/// 10.0.0.0; hosts are numbered from 10.0.0.0 upward, each on the default port.
const FIRST_ADDRESS: u32 = 10 << 24;

fn address(host: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(FIRST_ADDRESS + host as u32)), 7946)
}

fn place_of(addr: SocketAddr) -> usize {
    let IpAddr::V4(ip) = addr.ip() else { unreachable!("a world's addresses are IPv4") };
    (u32::from(ip) - FIRST_ADDRESS) as usize
}

fn said(result: &Result<Reply, CommandError>) -> String {
    match result {
        Ok(Reply::Done) => "done".to_owned(),
        Ok(Reply::Joined { contacted }) => format!("joined, {contacted} answered"),
        Ok(Reply::Written { dots, .. }) => format!("written {}", dots.len()),
        Ok(Reply::Receipted(receipt)) => format!("receipt of {}", receipt.have.len()),
        Ok(Reply::Sent { seq }) => format!("sent #{seq}"),
        Err(e) => format!("refused: {e}"),
    }
}
