//! Decides what a whole node promises for any sequence of inputs: it returns, its timer moves on,
//! what it sends is well-formed and bounded, and what it keeps stays within the limits.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidings_proto::aggregation::message::{Exchange, Extreme, Part};
use tidings_proto::anti_entropy::compare::{self, Compare, Compared, Exchanged, Hint, Sums};
use tidings_proto::anti_entropy::digest::{
    DeltaEnd, DeltaRequest, MemberDigest, MembersEnd, Vectors,
};
use tidings_proto::anti_entropy::ladder::Wanted;
use tidings_proto::anti_entropy::live;
use tidings_proto::base::clocks::{Dot, Hlc, Run};
use tidings_proto::base::context::ShortDot;
use tidings_proto::base::flag::{FlagChange, Share, ValueType};
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::policy::{Consistency, Mode, Policy};
use tidings_proto::base::session::Session;
use tidings_proto::config::{Detector, PhiForm};
use tidings_proto::convergence::message::{Answer, Ask, Said};
use tidings_proto::detection::message::{
    Ack, Beat, Glance, Ping, PingReq, Prints, Rebuttal, put_accusation, put_answer, put_verdict,
};
use tidings_proto::dissemination::events::StoredEvent;
use tidings_proto::io::{
    Awaited, Command, CommandId, Contribution, Input, Outbox, Output, Receipt, RequestError,
    RequestId, Stats,
};
use tidings_proto::limits::{
    ENTRIES_MAX, EVENTS_KEPT_MAX, MEMBERS_MAX, REQUESTS_MAX, SEEDS_MAX, STREAM_BYTES_MAX,
    SUSPICIONS_MAX,
};
use tidings_proto::membership::facts::{FactStore, Facts};
use tidings_proto::membership::known::Known;
use tidings_proto::membership::record::{
    Accusers, Cause, Precedence, Standing, put_record, record_checksum,
};
use tidings_proto::state::crdt::Merged;
use tidings_proto::state::delta::EntryDelta;
use tidings_proto::state::entry::{Advert, Entry, Superseded};
use tidings_proto::state::epochs::Epochs;
use tidings_proto::state::fields::{Fields, Lifetime};
use tidings_proto::state::forgetting::{Consent, Cut, FORGET, Question};
use tidings_proto::wire::codec::{SEQ_MAX, put_id};
use tidings_proto::wire::frame::{Frames, kind, put_frame};
use tidings_proto::wire::packet::{self, HEADER_BYTES};
use tidings_proto::{Config, Identity, Node, NodeId, Now, Snapshot, Time};

use super::choices::Choices;
use super::decoders::{CLUSTER, key, pairs};
use super::reseal;

/// Steps of one run; what is left of the input is not used.
const STEPS_MAX: usize = 400;
/// Members of the scene, the node itself first.
const CAST: usize = 7;

/// What a step does; the first byte of a step, modulo their number.
pub mod op {
    pub const WAIT: u8 = 0;
    pub const SLEEP: u8 = 1;
    pub const DATAGRAM: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const ANSWER: u8 = 4;
    pub const NO_ANSWER: u8 = 5;
    pub const UNREACHABLE: u8 = 6;
    pub const COMMAND: u8 = 7;
    pub const DISK: u8 = 8;
    pub const RAW_DATAGRAM: u8 = 9;
    pub const WALL_CLOCK: u8 = 10;
    pub const ECHO: u8 = 11;
    pub const PONG: u8 = 12;
    pub const COUNT: u8 = 14; // one more: WAIT is the most frequent
}

/// Bytes of a first step that starts a node without disk or past, but with peers; and that it goes
/// by heartbeats, or by phi.
pub const FRESH_WITH_PEERS: u8 = 2;
pub const BY_HEARTBEATS: u8 = 2 << 3;
pub const BY_PHI: u8 = 3 << 3;

pub fn id(n: usize) -> NodeId {
    NodeId::from_u128((n as u128 + 1) << 96 | 7)
}

pub fn addr(n: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, n as u8).into(), 7946)
}

fn facts_of(n: usize, name: usize, at: usize, replaces: Option<NodeId>) -> Facts {
    let name = format!("n{name}");
    Facts::new(id(n), &name, addr(at), n as u64, Hlc(n as u64), replaces, &BTreeMap::new())
        .expect("small facts")
}

/// A node among peers, and what it has asked of them.
struct Scene {
    node: Node,
    now: Now,
    out: Outbox,
    durable: bool,
    requests: Vec<(RequestId, SocketAddr)>,
    persisted: u64,
    last_packet: Vec<u8>,
    pings: Vec<(u16, SocketAddr)>,
    calls: u64,
}

pub fn node(data: &[u8]) {
    live(data);
}

/// Lives the life that the bytes describe; returns what it came to.
pub fn live(data: &[u8]) -> Stats {
    let mut choices = Choices::new(data);
    let mut scene = Scene::new(&mut choices);
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        scene.step(&mut choices);
    }
    scene.check_kept();
    scene.node.stats().clone()
}

impl Scene {
    fn new(choices: &mut Choices<'_>) -> Scene {
        let start = choices.byte();
        let (durable, known, past) = (start & 1 != 0, start & 2 != 0, start & 4 != 0);
        let detector = match start >> 3 & 3 {
            0 | 1 => Detector::Swim,
            2 => Detector::Heartbeat,
            _ => Detector::Phi(PhiForm::LossAware),
        };
        let config = Config {
            cluster: CLUSTER.to_owned(),
            detector,
            phi_window: 16,
            durable,
            forget_after: Duration::from_secs(10),
            event_window: Duration::from_secs(20),
            ..Config::local()
        };
        let identity = Identity {
            id: id(0),
            name: "n0".to_owned(),
            addr: addr(0),
            tags: vec![("zone".to_owned(), "a".to_owned())],
            boot: 1,
            replaces: None,
        };
        let members = (1..4).map(|n| Arc::new(facts_of(n, n, n, None)));
        let members = Arc::new(Known::new(&config.cluster, members));
        let recovered = Snapshot {
            pairs: if past { pairs(choices.bytes()) } else { Vec::new() },
            members: known.then_some(members),
        };
        let now = Now { mono: Time::from_secs(100), wall_ms: 1_700_000_000_000 };
        let node = Node::new(config, identity, [7; 32], recovered, FactStore::default(), now);
        let mut scene = Scene {
            node: node.expect("a valid configuration"),
            now,
            out: Outbox::default(),
            durable,
            requests: Vec::new(),
            persisted: 0,
            last_packet: Vec::new(),
            pings: Vec::new(),
            calls: 0,
        };
        scene.handle(Input::Tick);
        if durable {
            let upto = scene.persisted;
            scene.handle(Input::Persisted { upto });
        }
        scene
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % op::COUNT {
            op::WAIT => self.wait_until(self.node.next_deadline()),
            op::SLEEP => {
                let pause = match choices.byte() {
                    short @ 0..200 => Duration::from_millis(u64::from(short) * 5),
                    long => Duration::from_secs(u64::from(long - 200)),
                };
                self.wait_until(self.now.mono + pause);
            }
            op::DATAGRAM => self.datagram(choices),
            op::REQUEST => self.request(choices),
            op::ANSWER => self.answer(choices),
            op::NO_ANSWER => {
                let reasons = [RequestError::Refused, RequestError::Timeout, RequestError::Broken];
                let result = Err(reasons[choices.below(3)]);
                if let Some((id, _)) = self.take_request(choices) {
                    self.handle(Input::Response { id, result });
                }
            }
            op::UNREACHABLE => self.handle(Input::Unreachable { to: addr(choices.below(CAST)) }),
            op::COMMAND => {
                let command = command(choices);
                self.handle(Input::Command { id: CommandId(self.calls), command });
            }
            op::DISK if self.persisted == 0 => {} // nothing is under way
            op::DISK => {
                let (failed, seq) = (choices.below(3) == 0, self.persisted);
                self.handle(match failed {
                    true => Input::PersistFailed { seq },
                    false => Input::Persisted { upto: seq },
                });
            }
            op::RAW_DATAGRAM => {
                let from = addr(choices.below(CAST));
                self.handle(Input::Datagram { from, sender: None, bytes: choices.bytes() });
            }
            op::WALL_CLOCK => self.now.wall_ms = choices.u64(),
            op::ECHO => {
                let bytes = std::mem::take(&mut self.last_packet);
                let from = addr(choices.below(CAST));
                self.handle(Input::Datagram { from, sender: None, bytes: &bytes });
            }
            op::PONG => self.pong(choices),
            _ => self.wait_until(self.node.next_deadline()),
        }
    }

    /// One of the last pings is answered, mostly as it should be.
    fn pong(&mut self, choices: &mut Choices<'_>) {
        let Some((seq, to)) = self.pings.pop() else { return };
        let sender = (0..CAST).find(|&n| addr(n) == to).unwrap_or(1);
        let mut body = Vec::new();
        match choices.below(8) {
            0 => put_answer(&mut body, kind::INDIRECT_ACK, seq),
            1 => put_answer(&mut body, kind::NACK, seq),
            2 => put_answer(&mut body, kind::NOT_ME, seq),
            _ => Ack { seq, prints: None, glance: None }.put(&mut body),
        }
        let bytes = reseal::packet_of(&key(), id(sender), &body);
        self.handle(Input::Datagram { from: to, sender: None, bytes: &bytes });
    }

    fn datagram(&mut self, choices: &mut Choices<'_>) {
        let (from, sender) = (choices.below(CAST), choices.below(CAST));
        let bytes = reseal::packet_of(&key(), id(sender), &frames(choices));
        self.handle(Input::Datagram { from: addr(from), sender: None, bytes: &bytes });
    }

    fn request(&mut self, choices: &mut Choices<'_>) {
        let (from, sender) = (choices.below(CAST), choices.below(CAST));
        let bytes = reseal::packet_of(&key(), id(sender), &frames(choices));
        let id = RequestId(self.calls);
        self.handle(Input::Request { from: addr(from), sender: None, id, bytes: &bytes });
    }

    /// The peer that was asked answers, or another in its place.
    fn answer(&mut self, choices: &mut Choices<'_>) {
        let Some((id_asked, to)) = self.take_request(choices) else { return };
        let honest = (0..CAST).find(|&n| addr(n) == to).unwrap_or(1);
        let sender = if choices.below(4) == 0 { choices.below(CAST) } else { honest };
        let bytes = reseal::packet_of(&key(), id(sender), &frames(choices));
        self.handle(Input::Response { id: id_asked, result: Ok(&bytes) });
    }

    fn take_request(&mut self, choices: &mut Choices<'_>) -> Option<(RequestId, SocketAddr)> {
        let n = self.requests.len();
        (n > 0).then(|| self.requests.swap_remove(choices.below(n)))
    }

    /// At most an hour at once: a run is no longer than a day and a bit.
    fn wait_until(&mut self, at: Time) {
        let latest = self.now.mono + Duration::from_secs(3600);
        let at = at.max(self.now.mono).min(latest);
        self.now.wall_ms =
            self.now.wall_ms.saturating_add(at.since(self.now.mono).as_millis() as u64);
        self.now.mono = at;
        self.handle(Input::Tick);
    }

    /// One input; then the timer must move on by itself.
    fn handle(&mut self, input: Input<'_>) {
        self.call(input);
        let mut ticks = 0;
        while self.node.next_deadline() <= self.now.mono {
            ticks += 1;
            assert!(ticks < 100, "the deadline never passes");
            self.call(Input::Tick);
        }
    }

    fn call(&mut self, input: Input<'_>) {
        self.calls += 1;
        self.out.clear();
        self.node.handle(self.now, input, &mut self.out);
        let out = std::mem::take(&mut self.out);
        for item in &out.items {
            self.check_sent(item, &out.bytes);
        }
        self.out = out;
    }

    fn check_sent(&mut self, item: &Output, bytes: &[u8]) {
        let sealed_by_us = |packet: &[u8]| {
            assert_eq!(packet::open(packet, &key()).map(|(sender, _)| sender), Ok(id(0)));
        };
        match item {
            Output::Datagram { to, bytes: range } => {
                let packet = &bytes[range.clone()];
                assert!(packet.len() <= 1400, "a datagram of {} bytes", packet.len());
                sealed_by_us(packet);
                packet.clone_into(&mut self.last_packet);
                if let Some(Ok((kind::PING, body))) = Frames::new(&packet[HEADER_BYTES..]).next() {
                    self.pings.push((Ping::decode(body).expect("our own ping").seq, *to));
                }
            }
            Output::Request { to, id, bytes: range, .. } => {
                assert!(range.len() <= STREAM_BYTES_MAX, "a request of {} bytes", range.len());
                sealed_by_us(&bytes[range.clone()]);
                self.requests.push((*id, *to));
                assert!(self.requests.len() <= REQUESTS_MAX);
            }
            Output::Response { bytes: range, .. } => {
                assert!(range.len() <= STREAM_BYTES_MAX, "a response of {} bytes", range.len());
                sealed_by_us(&bytes[range.clone()]);
            }
            Output::Persist(persist) => {
                assert!(self.durable && !persist.changes.is_empty());
                assert!(persist.seq > self.persisted, "transactions are numbered");
                self.persisted = persist.seq;
            }
            Output::Reply { .. } | Output::Event(_) => {}
        }
    }

    fn check_kept(&self) {
        let view = self.node.view();
        let members = view.members().count();
        let (live, deleted) = view.entry_counts();
        assert!(members <= MEMBERS_MAX && live + deleted <= ENTRIES_MAX);
        assert!(view.seeds().len() <= SEEDS_MAX);
        let news = members + SUSPICIONS_MAX + live + deleted + EVENTS_KEPT_MAX;
        assert!(view.rumours_waiting() <= news);
        assert!(view.members().any(|m| m.id == id(0)) || view.left());
        let mut last = None;
        for (origin, upto) in view.vector() {
            assert!(last < Some(origin) && upto > 0, "a vector is sorted and tells no zeroes");
            last = Some(origin);
        }
    }
}

fn command(choices: &mut Choices<'_>) -> Command {
    let name = |choices: &mut Choices<'_>| format!("n{}", choices.below(CAST));
    match choices.below(16) {
        0 => Command::Join {
            addrs: (0..choices.below(4)).map(|_| addr(choices.below(CAST))).collect(),
            retry: choices.below(2) == 0,
        },
        1 if choices.below(8) == 0 => Command::Leave,
        2 => Command::ForceLeave { name: name(choices), prune: choices.below(2) == 0 },
        3 => Command::SetTags {
            set: vec![(name(choices), String::from_utf8_lossy(choices.bytes()).into_owned())],
            unset: vec![name(choices)],
        },
        4 => Command::Emit { name: name(choices), payload: choices.bytes().to_vec() },
        5 => Command::SetSeeds { addrs: vec![addr(choices.below(CAST)); choices.below(80)] },
        6 => Command::WriteFor {
            keyspace: keyspace(choices),
            writes: vec![(vec![choices.byte()], value(choices))],
            lifetime: Duration::from_millis(u64::from(choices.u16())),
        },
        7 => Command::Update {
            keyspace: keyspace(choices),
            key: vec![choices.byte() % 16],
            kind: Kind::ALL[choices.below(7)],
            operation: operation(choices),
        },
        8 => Command::Flag { name: name(choices), change: flag_change(choices) },
        9 => Command::Contribute {
            name: name(choices),
            own: (choices.below(4) > 0).then(|| Contribution {
                value: f64::from_bits(choices.u64()),
                quantiles: choices.below(2) == 0,
            }),
        },
        10 => Command::Await {
            what: awaited(choices),
            need: [Receipt::All, Receipt::Quorum, Receipt::Count(2)][choices.below(3)],
            durable: choices.below(2) == 0,
            timeout: None,
        },
        11 => Command::Trace {
            keyspace: keyspace(choices),
            key: vec![choices.byte() % 16],
            timeout: Some(Duration::from_millis(u64::from(choices.u16()))),
        },
        12 => Command::Declare {
            keyspace: keyspace(choices),
            policy: {
                let which = choices.below(6);
                let consistency = [Consistency::Eventual, Consistency::Causal][which % 2];
                Policy { consistency, mode: Mode::ALL[which / 2], ..Policy::default() }
            },
        },
        13 => Command::CatchUp {
            keyspace: keyspace(choices),
            session: {
                let mut session = Session::default();
                let _ =
                    session.add(Dot { origin: id(choices.below(CAST)), seq: choices.seq().max(1) });
                session
            },
            wait: Duration::from_millis(u64::from(choices.u16())),
        },
        _ => Command::Write {
            keyspace: keyspace(choices),
            writes: (0..choices.below(4)).map(|_| (vec![choices.byte()], value(choices))).collect(),
        },
    }
}

fn keyspace(choices: &mut Choices<'_>) -> String {
    ["kv", "kv", "kv", "other"][choices.below(4)].to_owned()
}

fn operation(choices: &mut Choices<'_>) -> Operation {
    match choices.below(6) {
        0 => Operation::Add(choices.u64() as i64),
        1 => Operation::Insert(choices.bytes().to_vec()),
        2 => Operation::Remove(choices.bytes().to_vec()),
        3 => Operation::Enable,
        4 => Operation::Clear,
        _ => Operation::Assign { value: choices.bytes().to_vec(), read: None },
    }
}

fn flag_change(choices: &mut Choices<'_>) -> FlagChange {
    let value = choices.below(3).to_string();
    match choices.below(6) {
        0 | 1 => FlagChange::Set { kind: ValueType::Integer, value },
        2 => {
            let share = Share { basis_points: choices.u16(), zone: None };
            FlagChange::Stage { value, share }
        }
        3 => FlagChange::Promote,
        4 => FlagChange::Stop { reason: "fuzzed".to_owned() },
        _ => FlagChange::RollBack,
    }
}

fn awaited(choices: &mut Choices<'_>) -> Awaited {
    match choices.below(3) {
        0 => Awaited::Agreement,
        1 => Awaited::Version {
            keyspace: keyspace(choices),
            key: vec![choices.byte() % 16],
            stamp: Hlc(choices.u64() >> 1),
        },
        _ => Awaited::Writes(run_of_writes(choices)),
    }
}

fn run_of_writes(choices: &mut Choices<'_>) -> Run {
    let (origin, from) = (id(choices.below(CAST)), choices.seq().clamp(1, SEQ_MAX));
    Run { origin, from, to: from + choices.below(3) as u64 }
}

/// An exchange about an aggregate, mostly of the epoch under way.
fn exchange(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let part = [Part::Scalars, Part::Scalars, Part::Block(3)][choices.below(3)];
    let values = match choices.below(4) {
        0 => Vec::new(),
        _ => vec![part.rounded(f64::from(choices.byte())); part.width()],
    };
    let who = id(choices.below(CAST));
    let low = (choices.below(2) == 0).then(|| Extreme { value: choices.byte().into(), who });
    let name = format!("n{}", choices.below(CAST)).into();
    let (epoch, number) = (choices.seq() % SEQ_MAX, choices.seq() % SEQ_MAX);
    let exchange = Exchange { name, epoch, number, part, values, low, high: low };
    exchange.put([kind::AGGREGATE, kind::AGGREGATE_ANSWER][choices.below(2)], out);
}

/// A question or an answer about what may be forgotten.
fn forgetting(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let (pass, head) = (choices.byte().into(), choices.below(2) as u64);
    let gone = choices.byte().into();
    if choices.below(2) == 0 {
        let round = [0, 1, FORGET][choices.below(3)];
        Question { pass, round, head, cut: cut(choices), gone }.put(out);
    } else {
        let (round, yes) = (choices.below(2) as u8, choices.below(4) > 0);
        Consent { pass, round, yes, head, gone, losers: cut(choices) }.put(out);
    }
}

fn cut(choices: &mut Choices<'_>) -> Cut {
    (0..choices.below(4)).map(|_| (id(choices.below(CAST)), choices.seq().max(1))).collect()
}

fn sums(choices: &mut Choices<'_>) -> Sums {
    Sums { entries: choices.byte().into(), rest: choices.byte().into() }
}

/// What opens or goes on with a comparison of live entries.
fn comparison(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    match choices.below(4) {
        0 => Compare { sums: sums(choices), hint: Hint::None }.put(out),
        1 => {
            let hint = match choices.below(3) {
                0 => Hint::Symbols(u64::from(choices.byte()) + 1),
                1 => Hint::Sketch(Box::default()),
                _ => Hint::Samples(Box::default()),
            };
            Compare { sums: sums(choices), hint }.put(out);
        }
        2 => [Compared::Equal, Compared::Busy][choices.below(2)].put(out),
        _ => {
            let wanted = Wanted { part: live::Part::ALL, from: 0, to: choices.byte().into() };
            let wants = (0..choices.below(4) as u32).map(|n| n << 28).collect();
            let last = choices.below(2) == 0;
            compare::Exchange { last, symbols: vec![wanted], wants }.put(out);
        }
    }
}

fn ask(choices: &mut Choices<'_>) -> Ask {
    let (now, number) = (choices.below(2) == 0, choices.byte().into());
    let wait = Duration::from_millis(u64::from(choices.u16()));
    let runs = (0..choices.below(3)).map(|_| run_of_writes(choices)).collect();
    Ask { now, number, wait, runs }
}

fn answer_to_ask(choices: &mut Choices<'_>) -> Answer {
    let (durable, number) = (choices.below(2) == 0, choices.byte().into());
    let (members, state) = (choices.byte().into(), choices.byte().into());
    let said = (0..choices.below(3))
        .map(|_| Said { run: run_of_writes(choices), applied: choices.below(2) == 0, way: None })
        .collect();
    Answer { durable, number, members, state, said }
}

fn value(choices: &mut Choices<'_>) -> Option<Vec<u8>> {
    match choices.below(8) {
        0 => None,
        1 => Some(vec![7; 2000]), // too large for a rumour
        _ => Some(choices.bytes().to_vec()),
    }
}

/// Up to four frames: built from choices, or given as bytes.
fn frames(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let shape = choices.byte();
    if shape == 0 {
        return choices.bytes().to_vec();
    }
    for _ in 0..1 + shape % 4 {
        frame(choices, &mut out);
    }
    out
}

fn frame(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    match choices.below(30) {
        0 => ping(choices).put(out),
        1 => ack(choices).put(out),
        2 => ping_req(choices).put(out),
        3 => {
            let kinds = [kind::INDIRECT_ACK, kind::NACK, kind::NOT_ME];
            put_answer(out, kinds[choices.below(3)], probe_number(choices));
        }
        4..=6 => member(choices, out),
        7 => {
            let (subject, incarnation) = (id(choices.below(CAST)), choices.seq());
            match choices.below(3) {
                0 => put_verdict(out, subject, incarnation, &accusers(choices), 2),
                1 => Rebuttal { subject: subject.short(), incarnation, sum: 7 }.put(out),
                _ => put_accusation(out, subject, incarnation, &accusers(choices)),
            }
        }
        8 | 9 => put_entry(&entry(choices), choices, out),
        10 => advert(choices, out),
        11 => event(choices).put(out, &key(), Time::from_secs(100)),
        12 => put_frame(out, kind::JOIN, |_| {}),
        13 => put_frame(out, kind::JOIN_REFUSED, |out| {
            out.push(choices.byte() % 5);
            put_id(out, id(choices.below(CAST)));
        }),
        14 => digest(choices).put(out),
        15 => {
            let next = (choices.below(4) == 0).then(|| choices.u64() >> 1);
            let differing = choices.bytes().iter().take(128).copied().collect();
            MembersEnd { next, upto: 9, differing }.put(out);
        }
        16 => vectors(choices).put(out),
        17 => DeltaRequest {
            boot: u64::from(choices.byte()),
            cursor: u64::from(choices.byte()),
            full: choices.below(2) == 0,
            have: vectors(choices),
        }
        .put(out),
        18 => DeltaEnd {
            boot: u64::from(choices.byte()),
            cursor: u64::from(choices.byte()),
            closed: (choices.below(3) > 0).then(|| (vectors(choices), choices.u64())),
        }
        .put(out),
        19 => put_frame(out, kind::HEARTBEATS, |out| {
            for _ in 0..choices.below(8) {
                beat(choices).put(out);
            }
        }),
        20 | 21 => exchange(choices, out),
        22 => ask(choices).put(out),
        23 => answer_to_ask(choices).put(out),
        24 | 25 => forgetting(choices, out),
        26 => {
            let mut epochs = Epochs::default();
            epochs.add(choices.below(3) as u64);
            epochs.put(out);
        }
        27 => comparison(choices, out),
        28 => Exchanged { sums: sums(choices), served: choices.byte().into() }.put(out),
        _ => {
            let frame = [kind::FETCH, kind::VECTOR_REQUEST, kind::MEMBER_PUSH, choices.byte()];
            put_frame(out, frame[choices.below(4)], |out| out.extend_from_slice(choices.bytes()));
        }
    }
}

/// Mostly of this start or the last, and mostly counting on.
fn beat(choices: &mut Choices<'_>) -> Beat {
    let member = id(choices.below(CAST)).short();
    let count = if choices.below(4) == 0 { choices.seq() } else { choices.byte().into() };
    Beat { member, generation: choices.below(3) as u64, count }
}

fn ping(choices: &mut Choices<'_>) -> Ping {
    let target = match choices.below(4) {
        0 => 0,
        1 => choices.u64(),
        _ => id(0).short(),
    };
    Ping { seq: choices.byte().into(), target, prints: prints(choices) }
}

fn ack(choices: &mut Choices<'_>) -> Ack {
    let prints = (choices.below(2) == 0).then(|| prints(choices));
    let sketch = [choices.byte().into(), 0];
    let glance = Glance { entries: choices.byte().into(), sketch };
    let glance = (prints.is_some() && choices.below(2) == 0).then_some(glance);
    Ack { seq: probe_number(choices), prints, glance }
}

/// Mostly one that is under way.
fn probe_number(choices: &mut Choices<'_>) -> u16 {
    choices.below(32) as u16
}

fn prints(choices: &mut Choices<'_>) -> Prints {
    Prints { members: choices.byte().into(), state: choices.byte().into() }
}

fn ping_req(choices: &mut Choices<'_>) -> PingReq {
    PingReq {
        seq: choices.byte().into(),
        target: id(choices.below(CAST)),
        addr: addr(choices.below(CAST)),
        timeout: Duration::from_millis(u64::from(choices.u16()) * 16),
    }
}

fn member(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let who = choices.below(CAST);
    let name = if choices.below(4) == 0 { choices.below(CAST) } else { who };
    let at = if choices.below(4) == 0 { choices.below(CAST) } else { who };
    let replaces = (choices.below(4) == 0).then(|| id(choices.below(CAST)));
    let facts = facts_of(who, name, at, replaces.filter(|&old| old != id(who)));
    let incarnation = choices.seq();
    use Standing::{Alive, Failed, Leaving, Left, Retired};
    let standing = [Alive, Alive, Alive, Failed, Failed, Leaving, Left, Retired][choices.below(8)];
    let sum = record_checksum(&key(), incarnation, &facts.bytes);
    let precedence = Precedence::new(incarnation, standing, sum);
    put_record(out, precedence, &facts.bytes, &accusers(choices));
}

fn accusers(choices: &mut Choices<'_>) -> Accusers {
    let mut accusers = Accusers::default();
    for _ in 0..choices.below(5) {
        let causes = [Cause::Silence, Cause::Refused, Cause::Replaced];
        accusers.add(id(choices.below(CAST)), causes[choices.below(3)]);
    }
    accusers
}

/// Sometimes a lifetime, sometimes fields of a later version.
fn fields(choices: &mut Choices<'_>) -> Fields {
    let mut fields = Fields::default();
    match choices.below(4) {
        0 => {
            let whole = Duration::from_millis(choices.below(100_000) as u64);
            fields.set_lifetime(Some(Lifetime::from(Time::ZERO, whole)));
        }
        1 => {
            let bytes = [&[200, 4][..], &choices.u64().to_le_bytes()[..4]].concat();
            fields = Fields::read(&bytes, Now::default()).expect("one field");
        }
        _ => {}
    }
    fields
}

/// Whole, or, where it merges, as one more write to what may be there.
fn put_entry(entry: &Entry, choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let value = entry.merged.as_ref().filter(|_| !choices.byte().is_multiple_of(4));
    let delta = value.and_then(|value| {
        let writer = entry.dot.origin.short();
        let before = entry.dot.seq.max(value.context().upto(writer));
        let seq = before.checked_add(1).filter(|&seq| seq <= SEQ_MAX)?;
        let entry = Entry { dot: Dot { seq, ..entry.dot }, ..entry.clone() };
        let change = (**value).clone().apply(ShortDot { writer, seq }, &Operation::Clear).ok()?;
        EntryDelta::of_write(&entry, change)
    });
    match delta {
        Some(delta) => delta.put(out, &key()),
        None => entry.put(out, &key(), Time::ZERO),
    }
}

fn entry(choices: &mut Choices<'_>) -> Entry {
    let seq = choices.seq().max(1);
    let len = 1 + choices.below(8) as u64 / 4 * choices.below(5) as u64;
    let before = (choices.below(8) as u64).min(len - 1).min(seq - 1);
    let mut superseded = Superseded::default();
    for _ in 0..choices.below(3) {
        let from = choices.seq().clamp(1, SEQ_MAX);
        let length = choices.below(9) as u64;
        superseded.add_range(id(choices.below(CAST)), from, from + length);
    }
    let mut entry = Entry {
        keyspace: if choices.below(4) == 0 { "other".into() } else { "kv".into() },
        key: [choices.byte() % 16].as_slice().into(),
        value: value(choices).map(Into::into),
        merged: None,
        stamp: Hlc(choices.u64() >> 1),
        dot: Dot { origin: id(choices.below(CAST)), seq },
        group: if len > 1 { (seq - before, len) } else { (seq, 1) },
        superseded,
        fields: fields(choices),
    };
    if choices.below(4) == 0 {
        let mut merged = Merged::new(Kind::ALL[choices.below(7)]);
        let writer = id(choices.below(CAST)).short();
        let dot = ShortDot { writer, seq: choices.seq().max(1) };
        let operation = [Operation::Add(7), Operation::Enable, Operation::Insert(vec![1])]
            .into_iter()
            .nth(choices.below(3));
        let _ = merged.apply(dot, &operation.expect("one of three")); // refused: an empty value
        entry.set_merged(merged);
    }
    entry
}

fn advert(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let frame = if choices.below(2) == 0 { kind::ADVERT } else { kind::FETCH };
    let dot = Dot { origin: id(choices.below(CAST)), seq: choices.seq() };
    Advert { keyspace: "kv", key: &[choices.byte() % 16], dot }.put(out, frame);
}

fn event(choices: &mut Choices<'_>) -> StoredEvent {
    let seq = choices.seq().max(1);
    let previous = [0, seq - 1, seq / 2][choices.below(3)];
    StoredEvent {
        origin: id(choices.below(CAST)),
        seq,
        previous,
        stamp: Hlc(choices.u64() >> 1),
        from: "n1".into(),
        name: "deploy".into(),
        payload: choices.bytes().iter().take(700).copied().collect(),
        born: Time::from_secs(u64::from(choices.byte())),
    }
}

fn digest(choices: &mut Choices<'_>) -> MemberDigest {
    let buckets = 1 << choices.below(11);
    let print = choices.byte().into();
    MemberDigest { cursor: choices.seq(), prints: vec![print; buckets] }
}

fn vectors(choices: &mut Choices<'_>) -> Vectors {
    let mut list = || -> Vec<(NodeId, u64)> {
        (0..choices.below(4)).map(|_| (id(choices.below(CAST)), choices.seq())).collect()
    };
    Vectors { entries: list(), events: list() }
}
