//! Rule 8: no input, from any peer, panics a node, grows its memory past its quotas, or keeps it
//! from probing. Broken packets are counted by reason and change nothing; floods that a holder of
//! the cluster key can send end at the limits of `limits.rs`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidings_proto::anti_entropy::compare::{Compare, Exchange, Exchanged, Hint, Sums, Symbols};
use tidings_proto::anti_entropy::digest::{
    DeltaEnd, DeltaRequest, MemberDigest, MembersEnd, Vectors,
};
use tidings_proto::anti_entropy::live::Part;
use tidings_proto::anti_entropy::merkle;
use tidings_proto::anti_entropy::sketch::{self, SYMBOL_BYTES, Symbol};
use tidings_proto::base::clocks::{Dot, Hlc, Run};
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::rng::Rng;
use tidings_proto::config::{Detector, PhiForm};
use tidings_proto::convergence::message::{Answer, Ask, RUNS_PER_ASK, Said};
use tidings_proto::detection::message::{Ack, Beat, Ping, PingReq, Prints, put_accusation};
use tidings_proto::dissemination::events::StoredEvent;
use tidings_proto::io::{
    Command, CommandId, Input, Outbox, Output, RequestError, RequestId, Stats,
};
use tidings_proto::limits::{
    EVENT_ORIGINS_MAX, EVENTS_KEPT_MAX, KEYSPACES_MAX, MEMBERS_MAX, NAMESAKES_MAX, OWED_MAX,
    PROBES_MAX, STREAM_BYTES_MAX, SUSPICIONS_MAX, VECTOR_ORIGINS_MAX,
};
use tidings_proto::membership::facts::{FactStore, Facts};
use tidings_proto::membership::known::Known;
use tidings_proto::membership::record::{
    Accusers, Cause, Precedence, Standing, put_record, record_checksum,
};
use tidings_proto::state::entry::{Advert, Entry, Superseded};
use tidings_proto::wire::codec::{Reader, put_id, put_varint};
use tidings_proto::wire::frame::{Frames, kind, put_frame};
use tidings_proto::wire::packet::{self, HEADER_BYTES};
use tidings_proto::{Config, Identity, Node, NodeId, Now, Snapshot, Time};

mod meter;

const MIB: usize = 1024 * 1024;
const CLUSTER: &str = "hostile";
/// Real peers, which answer every ping.
const PEERS: usize = 3;
const PERIOD: Duration = Duration::from_secs(1);

fn key() -> HashKey {
    HashKey::for_cluster(CLUSTER)
}

/// 0 is the node itself, then the real peers, then all that do not exist.
fn id(n: usize) -> NodeId {
    let spread = (n as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    NodeId::from_u128(spread | 1)
}

fn addr(n: usize) -> SocketAddr {
    let [_, b, c, d] = (n as u32).to_be_bytes();
    SocketAddr::new(Ipv4Addr::new(10, b, c, d).into(), 7946)
}

fn facts(n: usize, name: &str) -> Facts {
    let accepted = Hlc::new(1000 + n as u64, 0);
    Facts::new(id(n), name, addr(n), 1, accepted, None, &BTreeMap::new()).expect("small facts")
}

fn put_member(out: &mut Vec<u8>, n: usize, name: &str, incarnation: u64, standing: Standing) {
    let facts = facts(n, name);
    let sum = record_checksum(&key(), incarnation, &facts.bytes);
    let precedence = Precedence::new(incarnation, standing, sum);
    put_record(out, precedence, &facts.bytes, &Accusers::default());
}

fn entry(origin: usize, seq: u64, keyspace: &str, key: &[u8]) -> Entry {
    Entry {
        keyspace: keyspace.into(),
        key: key.into(),
        value: Some(b"v".as_slice().into()),
        merged: None,
        stamp: Hlc::new(1_700_000_000_000, 0),
        dot: Dot { origin: id(origin), seq },
        group: (seq, 1),
        superseded: Superseded::default(),
        fields: Default::default(),
    }
}

fn event(origin: usize, seq: u64) -> StoredEvent {
    StoredEvent {
        origin: id(origin),
        seq,
        previous: seq - 1,
        stamp: Hlc::new(1_700_000_000_000, 0),
        from: "x".into(),
        name: "flood".into(),
        payload: [1; 20].into(),
        born: Time::from_secs(99),
    }
}

fn seal(key: &HashKey, sender: NodeId, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = packet::begin(&mut out, key, sender);
    out.extend_from_slice(body);
    packet::seal(&mut out, start, key);
    out
}

/// A packet of peer 1 with what `write` appends.
fn from_peer(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    write(&mut body);
    seal(&key(), id(1), &body)
}

/// A running node among real peers, on a clock that the test moves.
struct Rig {
    node: Node,
    now: Now,
    out: Outbox,
    /// When the turn of a real peer to be probed came.
    turns: Vec<Time>,
    /// Asked of others and not answered yet.
    requests: Vec<(RequestId, SocketAddr)>,
    /// The bytes of the last one.
    asked: Vec<u8>,
    /// The last packets to others, and the answer to the last request.
    sent: Option<Vec<u8>>,
    response: Option<Vec<u8>>,
    next_request: u64,
    /// The state print that peer 1 shows from now on; time stops at the first request that follows.
    shown: Option<u64>,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(Config { local_health_max: 0, ..Config::lan() })
    }

    fn with(config: Config) -> Rig {
        // What lies behind the allowances has to hold by itself.
        let (peer_allowance, peer_writes) = (1 << 30, 1 << 30);
        let cluster = CLUSTER.to_owned();
        Rig::limited(Config { cluster, peer_allowance, peer_writes, ..config })
    }

    fn limited(config: Config) -> Rig {
        let config = Config { cluster: CLUSTER.to_owned(), ..config };
        let identity = Identity {
            id: id(0),
            name: "n0".to_owned(),
            addr: addr(0),
            tags: Vec::new(),
            boot: 1,
            replaces: None,
        };
        let peers = (1..=PEERS).map(|n| Arc::new(facts(n, &format!("n{n}"))));
        let known = Arc::new(Known::new(CLUSTER, peers));
        let recovered = Snapshot { members: Some(known), ..Snapshot::default() };
        let now = Now { mono: Time::from_secs(100), wall_ms: 1_700_000_000_000 };
        let node = Node::new(config, identity, [3; 32], recovered, FactStore::default(), now);
        let mut rig = Rig {
            node: node.expect("a valid configuration"),
            now,
            out: Outbox::default(),
            turns: Vec::new(),
            requests: Vec::new(),
            asked: Vec::new(),
            sent: None,
            response: None,
            next_request: 0,
            shown: None,
        };
        rig.handle(Input::Tick);
        rig
    }

    fn handle(&mut self, input: Input<'_>) {
        let mut answers = Vec::new();
        self.out.clear();
        self.node.handle(self.now, input, &mut self.out);
        for item in &self.out.items {
            match item {
                Output::Datagram { to, bytes } => {
                    let packet = &self.out.bytes[bytes.clone()];
                    assert!(packet.len() <= 1400);
                    answers.extend(answer_of_real_peer(*to, packet, self.shown));
                    self.sent = Some(packet.to_vec());
                }
                Output::Request { to, id, bytes, .. } => {
                    self.requests.push((*id, *to));
                    self.asked = self.out.bytes[bytes.clone()].to_vec();
                }
                Output::Response { bytes, .. } => {
                    assert!(bytes.len() <= STREAM_BYTES_MAX, "a response of {}", bytes.len());
                    self.response = Some(self.out.bytes[bytes.clone()].to_vec());
                }
                _ => {}
            }
        }
        if !answers.is_empty() {
            self.turns.push(self.now.mono);
        }
        for (from, packet) in answers {
            self.handle(Input::Datagram { from, sender: None, bytes: &packet });
        }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        self.handle(Input::Datagram { from: addr(1), sender: None, bytes });
    }

    fn request(&mut self, bytes: &[u8]) {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.response = None;
        self.handle(Input::Request { from: addr(1), sender: None, id, bytes });
    }

    fn respond(&mut self, id: RequestId, bytes: &[u8]) {
        self.handle(Input::Response { id, result: Ok(bytes) });
    }

    /// Moves the clock; what is due is done on the way, and open requests time out.
    fn run_for(&mut self, span: Duration) {
        let until = self.now.mono + span;
        while self.node.next_deadline() <= until {
            let at = self.node.next_deadline().max(self.now.mono);
            self.now.wall_ms += at.since(self.now.mono).as_millis() as u64;
            self.now.mono = at;
            self.handle(Input::Tick);
            if self.shown.is_some() && !self.requests.is_empty() {
                return;
            }
            for (id, _) in std::mem::take(&mut self.requests) {
                self.handle(Input::Response { id, result: Err(RequestError::Timeout) });
            }
        }
        self.now.wall_ms += until.since(self.now.mono).as_millis() as u64;
        self.now.mono = until;
    }

    fn stats(&self) -> Stats {
        self.node.stats().clone()
    }

    /// What no dropped packet may change.
    fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let view = self.node.view();
        let members: Vec<_> = view.members().collect();
        let prints = (view.fingerprints(), view.apply_index(), view.member_index());
        let rest = (view.rumours_waiting(), view.events().len(), view.left(), view.joining());
        (members, view.entry_counts(), view.vector(), prints, rest)
    }

    /// Probes of real peers kept coming, none later than the period and its jitter allow.
    fn assert_probed_on_time(&self, since: Time, periods: usize) {
        let turns: Vec<Time> = self.turns.iter().copied().filter(|&at| at >= since).collect();
        let gaps = turns.windows(2).map(|pair| pair[1].since(pair[0]));
        let longest = gaps.max().expect("some probes");
        assert!(longest <= PERIOD * 5 / 4, "the longest gap between probes is {longest:?}");
        assert!(turns.len() + 1 >= periods, "{} probes in {periods} periods", turns.len());
    }
}

/// The ack of a real peer, if the packet is a ping to it. It shows this state, or the same.
fn answer_of_real_peer(
    to: SocketAddr,
    packet: &[u8],
    shown: Option<u64>,
) -> Option<(SocketAddr, Vec<u8>)> {
    let n = (1..=PEERS).find(|&n| addr(n) == to)?;
    let (_, body) = packet::open(packet, &key()).expect("sealed for this cluster");
    let (frame, body) = Frames::new(body).next()?.expect("a whole frame");
    let ping = (frame == kind::PING).then(|| Ping::decode(body).expect("a ping"))?;
    let ours = ping.target == id(n).short();
    let mut answer = Vec::new();
    let prints = shown.filter(|_| n == 1).map(|state| Prints { state, ..ping.prints });
    Ack { seq: ping.seq, prints, glance: None }.put(&mut answer);
    ours.then(|| (to, seal(&key(), id(n), &answer)))
}

/// A datagram full of real things, to be broken.
fn rich_packet() -> Vec<u8> {
    from_peer(|out| {
        Ping { seq: 1, target: id(0).short(), prints: Prints { members: 5, state: 6 } }.put(out);
        put_member(out, 9, "n9", 1, Standing::Alive);
        entry(1, 1, "kv", b"k").put(out, &key(), Time::ZERO);
        event(1, 1).put(out, &key(), Time::from_secs(100));
    })
}

/// Everything but the counters is as before, and of those exactly `counter` has moved.
fn assert_counted(rig: &mut Rig, counter: &str, feed: impl FnOnce(&mut Rig)) {
    let (state, before) = (rig.state(), rig.stats());
    feed(rig);
    let after = rig.stats();
    let reasons = ["drop_", "record_", "entry_", "event_limit", "frame_", "suspicion_limit"];
    let moved: Vec<_> = before
        .each()
        .zip(after.each())
        .filter(|((_, was), (_, is))| was != is)
        .map(|((name, _), _)| name)
        .filter(|name| reasons.iter().any(|reason| name.starts_with(reason)))
        .collect();
    assert_eq!(moved, [counter]);
    assert_eq!(rig.state(), state, "{counter}: a dropped packet changes nothing");
}

#[test]
fn each_broken_packet_is_counted_by_its_reason_and_changes_nothing() {
    let mut rig = Rig::new();
    let good = rich_packet();
    let with = |at: usize, byte: u8| {
        let mut packet = rich_packet();
        packet[at] ^= byte;
        packet
    };
    let foreign = seal(&HashKey::for_cluster("elsewhere"), id(1), &good[HEADER_BYTES..]);
    let cut_frame = from_peer(|out| out.extend_from_slice(&[kind::PING, 200, 1]));
    let mine = seal(&key(), id(0), &good[HEADER_BYTES..]);
    let oversized = from_peer(|out| put_frame(out, 250, |out| out.resize(2000, 0)));
    let huge = from_peer(|out| put_frame(out, 250, |out| out.resize(STREAM_BYTES_MAX, 0)));
    for (counter, packet) in [
        ("drop_truncated", &good[..HEADER_BYTES - 1]),
        ("drop_version", &with(0, 7)),
        ("drop_foreign_cluster", &foreign),
        ("drop_checksum", &with(30, 1)),
        ("drop_malformed", &cut_frame),
        ("drop_own", &mine),
    ] {
        assert_counted(&mut rig, counter, |rig| rig.datagram(packet));
        assert_counted(&mut rig, counter, |rig| rig.request(packet));
    }
    assert_counted(&mut rig, "drop_oversized", |rig| rig.datagram(&oversized));
    assert_counted(&mut rig, "drop_oversized", |rig| rig.request(&huge));
    assert_counted(&mut rig, "drop_unknown_response", |rig| rig.respond(RequestId(77), &good));
    assert_counted(&mut rig, "drop_impersonated", |rig| {
        rig.handle(Input::Datagram { from: addr(1), sender: Some(id(2)), bytes: &good });
    });
    // The same packet, whole: it does change things.
    let state = rig.state();
    rig.datagram(&good);
    assert_ne!(rig.state(), state);
}

#[test]
fn frames_and_records_that_are_not_applied_are_counted_by_their_reason() {
    let mut rig = Rig::new();
    let unknown = from_peer(|out| put_frame(out, 250, |out| out.push(1)));
    assert_counted(&mut rig, "frame_unknown", |rig| rig.datagram(&unknown));
    let fake = |incarnation: u64, sum: u64| {
        let facts = facts(2, "n2");
        let precedence = Precedence::new(incarnation, Standing::Alive, sum);
        from_peer(|out| put_record(out, precedence, &facts.bytes, &Accusers::default()))
    };
    assert_counted(&mut rig, "record_checksum", |rig| rig.datagram(&fake(2, 1)));
    let jump = from_peer(|out| put_member(out, 2, "n2", 1 << 40, Standing::Alive));
    assert_counted(&mut rig, "record_incarnation_jump", |rig| rig.datagram(&jump));
    let broken = |frame: u8, body: Vec<u8>| {
        from_peer(|out| put_frame(out, frame, |out| out.extend_from_slice(&body)))
    };
    let mut bytes = Vec::new();
    entry(1, 1, "kv", b"key").put_body(&mut bytes, &key(), Time::ZERO, None);
    bytes[1] ^= 1;
    let packet = broken(kind::ENTRY, bytes);
    assert_counted(&mut rig, "entry_checksum", |rig| rig.datagram(&packet));
    let mut bytes = Vec::new();
    event(1, 1).put(&mut bytes, &HashKey::for_cluster("elsewhere"), Time::from_secs(100));
    let packet = from_peer(|out| out.extend_from_slice(&bytes));
    assert_counted(&mut rig, "entry_checksum", |rig| rig.datagram(&packet));
    let mut place = [0; 14];
    for (at, value) in [(0, 6), (13, 151), (13, 255)] {
        place[at] = value;
        let packet = broken(kind::COORDINATE, place.to_vec());
        assert_counted(&mut rig, "drop_malformed", |rig| rig.datagram(&packet));
        place[at] = 0;
    }
    // A response that is broken ends its request and nothing else.
    rig.handle(Input::Command {
        id: CommandId(1),
        command: Command::Join { addrs: vec![addr(1)], retry: true },
    });
    let (id, _) = rig.requests.pop().expect("a join is asked for");
    assert_counted(&mut rig, "drop_malformed", |rig| {
        rig.respond(id, &from_peer(|out| out.push(kind::MEMBERS_END)));
    });
}

#[test]
fn every_bit_flip_every_cut_and_random_bytes_change_nothing() {
    let mut rig = Rig::new();
    let good = rich_packet();
    let state = rig.state();
    let dropped = |rig: &Rig| {
        rig.stats()
            .each()
            .filter(|(name, _)| name.starts_with("drop_"))
            .map(|(_, n)| n)
            .sum::<u64>()
    };
    let mut fed = 0;
    let mut feed = |rig: &mut Rig, packet: &[u8]| {
        rig.datagram(packet);
        fed += 1;
        assert_eq!(dropped(rig), fed);
    };
    for bit in 0..good.len() * 8 {
        let mut broken = good.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        feed(&mut rig, &broken);
    }
    for len in 0..good.len() {
        feed(&mut rig, &good[..len]);
    }
    let mut rng = Rng::from_u64(8);
    for _ in 0..50_000 {
        let mut random: Vec<u8> = (0..rng.below(200)).map(|_| rng.below(256) as u8).collect();
        if rng.chance(0.5) && random.len() >= 4 {
            random[0] = packet::VERSION;
            random[1..4].copy_from_slice(&key().cluster_tag());
        }
        feed(&mut rig, &random);
    }
    let stats = rig.stats();
    assert!(stats.drop_truncated > 0 && stats.drop_version > 0);
    assert!(stats.drop_foreign_cluster > 0 && stats.drop_checksum > 20_000);
    assert_eq!(rig.state(), state);
}

/// Rule 10 as far as the cluster tag goes: what one cluster says, another does not hear, also with
/// its tag forged.
#[test]
fn what_another_cluster_said_is_not_accepted() {
    let mut rig = Rig::new();
    rig.run_for(PERIOD * 3);
    let said = rig.sent.take().expect("a ping went out");
    assert!(packet::open(&said, &key()).is_ok());
    let other = HashKey::for_cluster("elsewhere");
    assert_eq!(packet::open(&said, &other), Err(packet::Unreadable::ForeignCluster));
    let mut forged = said;
    forged[1..4].copy_from_slice(&other.cluster_tag());
    assert_eq!(packet::open(&forged, &other), Err(packet::Unreadable::Checksum));
}

/// Counts that promise a list of thousands, and lengths of gigabytes, in a packet of a few bytes.
#[test]
fn huge_counts_allocate_nothing() {
    let mut rig = Rig::new();
    rig.datagram(&rich_packet()); // buffers have their size now
    let lists = [
        kind::VECTOR,
        kind::MEMBER_DIGEST,
        kind::DELTA_REQUEST,
        kind::DELTA_END,
        kind::ACCUSATION,
        kind::VERDICT,
        kind::REBUTTAL,
        kind::MEMBER,
        kind::ENTRY,
        kind::EVENT,
        kind::ADVERT,
        kind::HEARTBEATS,
        kind::COMPARE,
        kind::EXCHANGE,
        kind::TREE,
        kind::FILTER,
        kind::PULL,
        kind::INTEREST,
        kind::BRANCH,
        kind::BRANCH_TAKEN,
        kind::COORDINATE,
    ];
    for frame in lists {
        for huge in [99_999, u64::from(u32::MAX), u64::MAX] {
            for prefix in [0, 1, 4, 9, 10, 16, 17, 21, 22, 26, 29] {
                let packet = from_peer(|out| {
                    put_frame(out, frame, |out| {
                        out.resize(out.len() + prefix, 1);
                        put_varint(out, huge);
                    });
                });
                let cut = from_peer(|out| {
                    out.push(frame);
                    put_varint(out, huge);
                });
                let held = meter::most_held(|| {
                    rig.datagram(&packet);
                    rig.request(&packet);
                    rig.datagram(&cut);
                });
                assert!(held < 16 * 1024, "frame {frame}, {huge} after {prefix} bytes: {held}");
            }
        }
    }
    assert!(rig.stats().drop_malformed > 300);
}

/// Feeds `packets`, 50 in a millisecond, then lets things settle.
fn flood(rig: &mut Rig, packets: impl Iterator<Item = Vec<u8>>) -> (Time, usize) {
    let start = rig.now.mono;
    rig.run_for(PERIOD * 2);
    for (n, packet) in packets.enumerate() {
        rig.datagram(&packet);
        if n % 50 == 0 {
            rig.run_for(Duration::from_millis(1));
        }
    }
    rig.run_for(PERIOD * 8);
    (start, rig.now.mono.since(start).as_secs() as usize)
}

/// More members than anybody has: those over the limit are refused and counted, and the node goes
/// on probing one a period (of the real ones it now seldom hears: they are few of many).
#[test]
fn a_flood_of_members_ends_at_the_limit() {
    let mut rig = Rig::new();
    let fakes = MEMBERS_MAX + 5_000;
    let per_packet = 10;
    let packets = (0..fakes / per_packet).map(|p| {
        from_peer(|out| {
            for n in 0..per_packet {
                let n = 10 + p * per_packet + n;
                put_member(out, n, &format!("fake{n}"), 1, Standing::Alive);
            }
        })
    });
    let before = meter::held();
    flood(&mut rig, packets);
    let (held, stats) = ((meter::held() - before) as usize, rig.stats());
    assert_eq!(rig.node.view().members().count(), MEMBERS_MAX);
    assert_eq!(stats.record_limit as usize, fakes + PEERS + 1 - MEMBERS_MAX);
    assert!(held < 120 * MIB, "{} MiB held for {MEMBERS_MAX} members", held / MIB);
    let (probes, since) = (stats.probes_sent, rig.now.mono);
    rig.run_for(PERIOD * 10);
    let probes = rig.stats().probes_sent - probes;
    let waited = rig.now.mono.since(since).as_secs();
    assert!(probes >= waited, "{probes} probes in {waited} s");
}

#[test]
fn a_flood_of_accusations_ends_at_the_limit_and_stops_no_probe() {
    let mut rig = Rig::new();
    let strangers = (0..100_000).map(|n| {
        let mut accusers = Accusers::default();
        accusers.add(id(500_000 + n), Cause::Silence);
        from_peer(|out| put_accusation(out, id(1_000 + n), 1 + n as u64 % 5, &accusers))
    });
    let state = rig.state();
    let (start, periods) = flood(&mut rig, strangers);
    assert_eq!(rig.state(), state, "nobody accuses a stranger");
    rig.assert_probed_on_time(start, periods);
    // Of known members, each accused by somebody new every time.
    let members = SUSPICIONS_MAX + 500;
    for n in 0..members {
        let record =
            from_peer(|out| put_member(out, 10 + n, &format!("fake{n}"), 1, Standing::Alive));
        rig.datagram(&record);
    }
    for n in 0..100_000 {
        let mut accusers = Accusers::default();
        accusers.add(id(10 + (n + 1 + n / members) % members), Cause::Silence);
        let subject = id(10 + n % members);
        rig.datagram(&from_peer(|out| put_accusation(out, subject, 1, &accusers)));
    }
    let suspects = rig.node.view().members().filter(|m| m.status.as_str() == "suspect").count();
    assert!(suspects <= SUSPICIONS_MAX, "{suspects} suspects");
    assert!(rig.stats().suspicion_limit > 0);
    let (probes, since) = (rig.stats().probes_sent, rig.now.mono);
    rig.run_for(PERIOD * 3);
    assert!(rig.stats().probes_sent - probes >= rig.now.mono.since(since).as_secs());
}

#[test]
fn a_flood_of_events_ends_at_the_limit_and_stops_no_probe() {
    let mut rig = Rig::new();
    let before = meter::held();
    let packets = (0..100_000)
        .map(|n| from_peer(|out| event(1_000 + n, 1).put(out, &key(), Time::from_secs(100))));
    let (start, periods) = flood(&mut rig, packets);
    rig.assert_probed_on_time(start, periods);
    let held = (meter::held() - before) as usize;
    assert_eq!(rig.node.view().events().len(), EVENT_ORIGINS_MAX);
    assert_eq!(rig.stats().event_limit as usize, 100_000 - EVENT_ORIGINS_MAX);
    assert!(held < 64 * MIB, "{} MiB held", held / MIB);
    // Of a few senders: the windows together are bounded too.
    for n in 0..200_000 {
        let (origin, seq) = (1_000 + n % 400, 2 + n as u64 / 400);
        rig.datagram(&from_peer(|out| event(origin, seq).put(out, &key(), Time::from_secs(100))));
    }
    assert!(rig.node.view().events().len() <= EVENTS_KEPT_MAX);
    // Events that wait for one that never comes.
    let waiting = (0..20_000).map(|n| StoredEvent { previous: n + 5, ..event(2_000, n + 9) });
    for event in waiting {
        rig.datagram(&from_peer(|out| event.put(out, &key(), Time::from_secs(100))));
    }
    let held = (meter::held() - before) as usize;
    assert!(held < 128 * MIB, "{} MiB held", held / MIB);
}

#[test]
fn a_flood_of_entries_ends_at_the_limit_and_stops_no_probe() {
    let mut rig = Rig::new();
    let before = meter::held();
    let packets = (0..100_000usize).map(|n| {
        let entry = entry(1_000 + n, 1, "kv", &n.to_le_bytes());
        from_peer(|out| entry.put(out, &key(), Time::ZERO))
    });
    let (start, periods) = flood(&mut rig, packets);
    rig.assert_probed_on_time(start, periods);
    let held = (meter::held() - before) as usize;
    assert!(rig.node.view().vector().len() <= VECTOR_ORIGINS_MAX);
    assert!(rig.stats().entry_limit as usize >= 100_000 - VECTOR_ORIGINS_MAX);
    assert!(held < 100 * MIB, "{} MiB held", held / MIB);
    // Keyspaces, and writers named only as overwritten.
    for n in 0..20_000u64 {
        let mut superseded = Superseded::default();
        for i in 0..16 {
            superseded.add(Dot { origin: id(200_000 + 16 * n as usize + i), seq: 1 });
        }
        let entry = Entry { superseded, ..entry(1, 1 + n, &format!("space{n}"), b"k") };
        rig.datagram(&from_peer(|out| entry.put(out, &key(), Time::ZERO)));
    }
    assert!(rig.node.view().keyspaces().len() <= KEYSPACES_MAX);
    assert!(rig.node.view().vector().len() <= VECTOR_ORIGINS_MAX);
    // The vector of a session is bounded as well.
    let pairs = (0..90_000).map(|n| (id(900_000 + n), 1)).collect();
    let vectors = Vectors { entries: pairs, events: Vec::new() };
    let end = DeltaEnd { boot: 1, cursor: 1, closed: Some((vectors, 0)) };
    rig.handle(Input::Command {
        id: CommandId(1),
        command: Command::Join { addrs: vec![addr(1)], retry: true },
    });
    let (id, _) = rig.requests.pop().expect("a join is asked for");
    rig.respond(
        id,
        &from_peer(|out| MembersEnd { next: None, upto: 0, differing: vec![] }.put(out)),
    );
    let (id, _) = rig.requests.pop().expect("the state is asked for");
    rig.respond(id, &from_peer(|out| end.put(out)));
    assert!(rig.node.view().vector().len() <= VECTOR_ORIGINS_MAX);
}

/// Work for others never takes the place of the node's own probes.
#[test]
fn a_flood_of_ping_requests_stops_no_probe() {
    let mut rig = Rig::new();
    let packets = (0..100_000).map(|n| {
        let timeout = Duration::from_secs(600);
        let request =
            PingReq { seq: n as u16, target: id(1_000 + n), addr: addr(1_000 + n), timeout };
        from_peer(|out| request.put(out))
    });
    let (start, periods) = flood(&mut rig, packets);
    rig.assert_probed_on_time(start, periods);
    let helped = rig.stats().probes_sent as usize;
    let rounds = periods / 2 + 1;
    assert!(helped <= PROBES_MAX * rounds, "{helped} probes on behalf of others in {periods} s");
}

/// A frame of counters, as peer 1 tells them.
fn counters(beats: impl IntoIterator<Item = (usize, u64)>) -> Vec<u8> {
    from_peer(|out| {
        put_frame(out, kind::HEARTBEATS, |out| {
            for (n, count) in beats {
                Beat { member: id(n).short(), generation: 1, count }.put(out);
            }
        });
    })
}

fn beating(detector: Detector) -> Rig {
    Rig::with(Config { local_health_max: 0, detector, ..Config::lan() })
}

#[test]
fn a_flood_of_heartbeats_ends_at_the_limit_and_stops_no_probe() {
    for detector in [Detector::Heartbeat, Detector::Phi(PhiForm::LossAware)] {
        let mut rig = beating(detector);
        let mut rng = Rng::from_u64(9);
        // Strangers, the node itself, real peers; counts small, huge, repeated and falling.
        let packets: Vec<Vec<u8>> = (0..20_000)
            .map(|p| {
                let count = |rng: &mut Rng| rng.u64() >> (8 + rng.below(54));
                let strangers = (0..40).map(|i| (1_000 + 40 * p + i, count(&mut rng)));
                let mut beats: Vec<_> = strangers.collect();
                beats.extend((0..=PEERS).map(|n| (n, count(&mut rng))));
                counters(beats)
            })
            .collect();
        let before = meter::held();
        let (start, periods) = flood(&mut rig, packets.iter().cloned());
        let held = (meter::held() - before) as usize;
        assert!(held < MIB, "{detector}: {held} bytes held");
        rig.assert_probed_on_time(start, periods);
        let stats = rig.stats();
        assert!(stats.heartbeat_jumps > 1_000 && stats.drop_malformed == 0, "{detector}");
        let status = |n: usize| rig.node.view().member_by_id(id(n)).map(|m| m.status.as_str());
        assert!((1..=PEERS).all(|n| status(n) == Some("alive")), "they answer probes");
    }
}

/// F2: absurd counters neither hide a dead member nor stand above a live one's true ones.
#[test]
fn a_lie_about_a_counter_neither_hides_the_dead_nor_blocks_the_living() {
    for detector in [Detector::Heartbeat, Detector::Phi(PhiForm::LossAware)] {
        let mut rig = beating(detector);
        let mut rng = Rng::from_u64(10);
        let (dies, lives) = (10, 11);
        for n in [dies, lives] {
            let name = format!("n{n}");
            rig.datagram(&from_peer(|out| put_member(out, n, &name, 1, Standing::Alive)));
        }
        let status =
            |rig: &Rig, n: usize| rig.node.view().member_by_id(id(n)).map(|m| m.status.as_str());
        for second in 0..90 {
            let absurd = [rng.u64() >> 8, 1 << 55, 1 << 40].map(|count| (dies, count));
            let lies = absurd.into_iter().chain(absurd.map(|(_, count)| (lives, count)));
            rig.datagram(&counters(lies));
            rig.datagram(&counters((second < 30).then_some((dies, 500 + second))));
            rig.datagram(&counters([(lives, 500 + second)]));
            rig.run_for(PERIOD);
            assert_eq!(status(&rig, lives), Some("alive"), "{detector} {second}");
            if second < 30 {
                assert_eq!(status(&rig, dies), Some("alive"), "{detector} {second}");
            }
            if (43..48).contains(&second) {
                assert_ne!(status(&rig, dies), Some("alive"), "{detector} {second}");
            }
        }
        assert!(rig.stats().heartbeat_jumps > 100, "{detector}");
        assert!(rig.node.view().evidence(id(lives)).is_none(), "{detector}: never doubted");
    }
}

/// A request is answered with one page, however often it asks.
/// Questions about writes that never come, and answers to questions that nobody asked.
#[test]
fn a_flood_of_asks_and_answers_ends_at_the_limit_and_stops_no_probe() {
    let mut rig = Rig::new();
    let state = rig.state();
    let runs = |n: usize| -> Vec<Run> {
        let first = (n * RUNS_PER_ASK) as u64;
        (1..=RUNS_PER_ASK as u64)
            .map(|i| Run { origin: id(70), from: first + i, to: first + i })
            .collect()
    };
    let asks = (0..20_000).map(|n| {
        let wait = Duration::from_secs(600);
        let ask = Ask { now: n % 50 == 0, number: n as u64, wait, runs: runs(n) };
        from_peer(|out| ask.put(out))
    });
    let before = meter::held();
    let (start, periods) = flood(&mut rig, asks);
    let held = meter::held() - before;
    assert!(held < 4 * MIB as isize, "{held} bytes held for {OWED_MAX} answers");
    rig.assert_probed_on_time(start, periods);
    let owed =
        rig.node.view().holdings().iter().find(|h| h.what == "answers owed").map(|h| h.count);
    assert_eq!(owed, Some(OWED_MAX));
    assert!(rig.stats().asks_refused > 400_000);
    let said: Vec<Said> =
        runs(1).into_iter().map(|run| Said { run, applied: true, way: None }).collect();
    let answers = (0..20_000).map(|n| {
        let answer = Answer { durable: true, number: n, members: n, state: n, said: said.clone() };
        from_peer(|out| answer.put(out))
    });
    let (start, periods) = flood(&mut rig, answers);
    rig.assert_probed_on_time(start, periods);
    assert_eq!(rig.state(), state, "nobody asked");
}

#[test]
fn a_request_full_of_questions_gets_one_page_at_most() {
    let mut rig = Rig::new();
    for n in 0..20u64 {
        let large =
            Entry { value: Some(vec![1; 300_000].into()), ..entry(1, n + 1, "kv", &[n as u8]) };
        let asked = from_peer(|out| {
            let dot = large.dot;
            Advert { keyspace: "kv", key: &[n as u8], dot }.put(out, kind::ADVERT);
        });
        rig.datagram(&asked);
        let (id, _) = rig.requests.pop().expect("the large entry is fetched");
        rig.respond(id, &from_peer(|out| large.put(out, &key(), Time::ZERO)));
    }
    assert_eq!(rig.node.view().entry_counts().0, 20);
    let have = Vectors::default();
    let mut questions: Vec<Vec<u8>> = vec![Vec::new(); 5];
    put_frame(&mut questions[0], kind::VECTOR_REQUEST, |_| {});
    let dot = Dot { origin: id(1), seq: 1 };
    Advert { keyspace: "kv", key: &[0], dot }.put(&mut questions[1], kind::FETCH);
    MemberDigest { cursor: 0, prints: vec![0] }.put(&mut questions[2]);
    DeltaRequest { boot: 0, cursor: 0, full: true, have }.put(&mut questions[3]);
    Ping { seq: 1, target: 0, prints: Prints::default() }.put(&mut questions[4]);
    for question in questions {
        let times = (STREAM_BYTES_MAX - 100) / question.len();
        let packet = from_peer(|out| out.extend_from_slice(&question.repeat(times)));
        let held = meter::most_held(|| rig.request(&packet));
        assert!(held < 8 * MIB, "{} MiB held for {times} questions", held / MIB);
        let packet = from_peer(|out| out.extend_from_slice(&question));
        rig.request(&packet);
        assert!(rig.response.is_some(), "one question is answered");
    }
}

/// A frame of the request that the node made last.
fn asked_frame(rig: &Rig) -> (u8, Vec<u8>) {
    let (_, body) = packet::open(&rig.asked, &key()).expect("sealed for this cluster");
    let (frame, body) = Frames::new(body).next().expect("a question").expect("a whole frame");
    (frame, body.to_vec())
}

/// A node with keys of its own, to which peer 1 shows another state until it opens a session.
fn open_session(rig: &mut Rig) -> RequestId {
    rig.shown = Some(7);
    for _ in 0..100 {
        rig.run_for(PERIOD * 5);
        if let Some((id, _)) = rig.requests.pop() {
            rig.shown = None;
            return id;
        }
    }
    panic!("another state opens no session");
}

fn with_keys(n: u64) -> Rig {
    let mut rig = Rig::new();
    for key in 0..n {
        let writes = vec![(key.to_le_bytes().to_vec(), Some(vec![1; 20]))];
        let command = Command::Write { keyspace: "kv".to_owned(), writes };
        rig.handle(Input::Command { id: CommandId(key), command });
    }
    rig.run_for(PERIOD * 20);
    rig
}

/// Symbols that never come apart, then a tree that answers what was not asked: each costs the peer
/// its session, is counted, and is not tried with it again for a while. Memory stays.
#[test]
fn a_peer_whose_symbols_and_hashes_lie_loses_its_sessions() {
    let mut rig = with_keys(300);
    let mut noise = Rng::from_u64(5);
    let mut id = open_session(&mut rig);
    let mut symbols = |part, from, count: u64| {
        let mut body = Vec::new();
        for _ in 0..count * SYMBOL_BYTES as u64 {
            body.push(noise.u64() as u8);
        }
        let mut r = Reader::new(&body);
        let symbols = (0..count).map(|_| Symbol::read(&mut r).unwrap()).collect();
        Symbols { part, from, symbols }
    };
    assert_eq!(asked_frame(&rig).0, kind::COMPARE);
    let first = symbols(Part::ALL, 0, 40);
    let held = meter::most_held(|| {
        rig.respond(id, &from_peer(|out| first.put(out)));
        for _ in 0..1000 {
            let Some((next, _)) = rig.requests.pop() else { break };
            id = next;
            let (frame, body) = asked_frame(&rig);
            if frame != kind::EXCHANGE {
                break;
            }
            let exchange = Exchange::decode(&body).expect("a question");
            let answers: Vec<Symbols> =
                exchange.symbols.iter().map(|w| symbols(w.part, w.from, w.to - w.from)).collect();
            let end = Exchanged { sums: Sums::default(), served: 0 };
            rig.respond(
                id,
                &from_peer(|out| {
                    answers.iter().for_each(|a| a.put(out));
                    end.put(out);
                }),
            );
        }
    });
    assert!(held < 4 * MIB, "{} KiB held", held / 1024);
    assert_eq!((rig.stats().sketch_failures, asked_frame(&rig).0), (1, kind::TREE));
    let lie = from_peer(|out| {
        let item = merkle::Item::Leaf { span: merkle::Span::part(3, 2).unwrap(), heads: vec![1] };
        let page = merkle::Page { handled: 1, items: vec![item; 3] };
        put_frame(out, kind::TREE, |out| page.put(out));
    });
    rig.respond(id, &lie);
    assert_eq!((rig.stats().merkle_failures, asked_frame(&rig).0), (1, kind::DELTA_REQUEST));
    rig.requests.clear();
    open_session(&mut rig);
    assert_eq!(asked_frame(&rig).0, kind::DELTA_REQUEST, "neither is tried again at once");
    assert_eq!(rig.node.view().entry_counts().0, 300);
}

/// Symbols that name an entry which the peer then does not have.
#[test]
fn a_peer_that_names_entries_it_does_not_have_loses_its_session() {
    let mut rig = with_keys(20);
    // The node's own symbols, and one element more.
    rig.request(&from_peer(|out| {
        Compare { sums: Sums::default(), hint: Hint::Symbols(9) }.put(out);
    }));
    let response = rig.response.clone().expect("an answer");
    let (_, body) = packet::open(&response, &key()).unwrap();
    let (_, body) = Frames::new(body).next().unwrap().unwrap();
    let own = Symbols::decode(body).expect("symbols");
    let extra = sketch::symbols([77u64].into_iter(), 0..own.symbols.len() as u64, &key());
    let bytes = |symbols: &[Symbol]| {
        let mut out = Vec::new();
        symbols.iter().for_each(|s| s.put(&mut out));
        out
    };
    let mixed: Vec<u8> =
        bytes(&own.symbols).iter().zip(bytes(&extra)).map(|(a, b)| a ^ b).collect();
    let mut r = Reader::new(&mixed);
    let symbols = own.symbols.iter().map(|_| Symbol::read(&mut r).unwrap()).collect();
    let id = open_session(&mut rig);
    rig.respond(id, &from_peer(|out| Symbols { part: Part::ALL, from: 0, symbols }.put(out)));
    let (id, _) = rig.requests.pop().expect("the entry is asked for");
    assert_eq!(Exchange::decode(&asked_frame(&rig).1).unwrap().wants, [0]);
    rig.respond(id, &from_peer(|out| Exchanged { sums: Sums::default(), served: 1 }.put(out)));
    assert_eq!(rig.stats().sketch_failures, 1);
}

/// A peer whose pages never end is left after what an honest one could say.
#[test]
fn a_session_without_an_end_is_broken_off() {
    let mut rig = Rig::new();
    rig.handle(Input::Command {
        id: CommandId(1),
        command: Command::Join { addrs: vec![addr(1)], retry: true },
    });
    let page = |next: u64| {
        from_peer(|out| {
            MembersEnd { next: Some(next), upto: next, differing: vec![0xff; 128] }.put(out);
        })
    };
    let (id, _) = rig.requests.pop().expect("a join is asked for");
    rig.respond(id, &page(0));
    assert_eq!(rig.stats().drop_malformed, 1, "a page that does not go on is no page");
    rig.run_for(PERIOD * 3);
    // The state: pages that are never the last.
    rig.handle(Input::Command {
        id: CommandId(2),
        command: Command::Join { addrs: vec![addr(1)], retry: true },
    });
    let (id, _) = rig.requests.pop().expect("a join is asked for");
    rig.respond(
        id,
        &from_peer(|out| MembersEnd { next: None, upto: 0, differing: vec![] }.put(out)),
    );
    let endless = from_peer(|out| DeltaEnd { boot: 9, cursor: 1, closed: None }.put(out));
    let mut pages = 0;
    while let Some((id, _)) = rig.requests.pop() {
        pages += 1;
        assert!(pages < 100_000, "the session never ends");
        rig.respond(id, &endless);
    }
}

/// "Your name belonged to this life, name it": obeyed once a try, and never against a live member.
#[test]
fn a_seed_that_refuses_for_ever_is_not_obeyed_for_ever() {
    let mut rig = Rig::new();
    rig.handle(Input::Command {
        id: CommandId(1),
        command: Command::Join { addrs: vec![addr(1)], retry: true },
    });
    let incarnation = |rig: &Rig| rig.node.view().me().incarnation;
    let start = incarnation(&rig);
    for n in 0..1_000 {
        let holder = if n % 2 == 0 { id(2) } else { id(5_000 + n) };
        while let Some((request, _)) = rig.requests.pop() {
            rig.respond(
                request,
                &from_peer(|out| {
                    put_frame(out, kind::JOIN_REFUSED, |out| {
                        out.push(2);
                        put_id(out, holder);
                    });
                }),
            );
            if rig.now.mono > Time::from_secs(100) + PERIOD * 1_000 {
                break;
            }
        }
        rig.run_for(Duration::from_millis(10));
    }
    let raised = incarnation(&rig) - start;
    assert!(raised <= 30, "raised {raised} times in ten seconds");
    let n2 = rig.node.view().member("n2").expect("a live member");
    assert_eq!(n2.status.as_str(), "alive");
}

/// Ten thousand lives under one name cost what a few do.
#[test]
fn a_flood_of_namesakes_ends_at_the_limit() {
    let mut rig = Rig::new();
    for n in 0..10_000 {
        let record = from_peer(|out| put_member(out, 10 + n, "same", 1, Standing::Alive));
        rig.datagram(&record);
        assert!(rig.out.items.len() < 200, "{} outputs for one record", rig.out.items.len());
    }
    let same = rig.node.view().members().filter(|m| m.name == "same").count();
    assert!(same <= NAMESAKES_MAX, "{same} under one name");
    assert!(rig.stats().record_limit > 9_000);
}

/// Nobody else says what this node has written (rules 2 and 4): the own vector stays as it is, and
/// the driver is told, as after a rollback of the data directory.
#[test]
fn others_cannot_name_own_writes_that_never_were() {
    let mut rig = Rig::new();
    let mut superseded = Superseded::default();
    superseded.add_range(id(0), 1, 1 << 60);
    let poisoned = Entry { superseded, ..entry(1, 1, "kv", b"k") };
    rig.datagram(&from_peer(|out| poisoned.put(out, &key(), Time::ZERO)));
    rig.datagram(&from_peer(|out| entry(0, 1 << 60, "kv", b"k").put(out, &key(), Time::ZERO)));
    assert!(!rig.node.view().covers(Dot { origin: id(0), seq: 1 }));
    assert!(rig.node.view().entry("kv", b"k").is_none());
}

/// A durable node refutes whatever incarnation it is doubted at, once the disk has the number.
#[test]
fn doubt_far_above_the_reserved_numbers_is_refuted_too() {
    let mut rig = Rig::with(Config { durable: true, ..Config::lan() });
    rig.handle(Input::Persisted { upto: 1 });
    let mut accusers = Accusers::default();
    accusers.add(id(2), Cause::Silence);
    for upto in 2..10 {
        rig.datagram(&from_peer(|out| put_accusation(out, id(0), 5_000, &accusers)));
        rig.handle(Input::Persisted { upto });
    }
    assert_eq!(rig.node.view().me().incarnation, 5_001);
}

/// F18: who asks without end is refused, and nobody else is: another member's request is served.
#[test]
fn who_asks_too_often_is_refused_and_nobody_else() {
    let mut rig = Rig::new();
    let question = |asker: usize| {
        let mut body = Vec::new();
        put_frame(&mut body, kind::VECTOR_REQUEST, |_| {});
        seal(&key(), id(asker), &body)
    };
    let greedy = question(1);
    let answered = (0..1500)
        .filter(|_| {
            rig.request(&greedy);
            rig.response.is_some()
        })
        .count();
    let refused = rig.stats().drop_limited;
    assert_eq!((answered, refused), (1000, 500));
    let honest = question(2);
    let before = rig.stats().drop_limited;
    rig.handle(Input::Request {
        from: addr(2),
        sender: None,
        id: RequestId(9_999),
        bytes: &honest,
    });
    assert_eq!(rig.stats().drop_limited, before);
    assert!(rig.response.is_some());
    rig.run_for(Duration::from_secs(1));
    rig.request(&greedy);
    assert!(rig.response.is_some(), "an allowance comes back");
}
