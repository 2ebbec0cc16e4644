//! Decides where fuzzing starts: valid messages of each kind, small and with every field used.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::NodeId;
use tidings_proto::aggregation::message::{self, Exchange};
use tidings_proto::anti_entropy::bloom::Filter;
use tidings_proto::anti_entropy::compare::{
    self, Compare, Compared, Exchanged, Hint, Sums, Symbols,
};
use tidings_proto::anti_entropy::digest::{
    DeltaEnd, DeltaRequest, MemberDigest, MembersEnd, Vectors,
};
use tidings_proto::anti_entropy::estimate::Folded;
use tidings_proto::anti_entropy::ladder::Wanted;
use tidings_proto::anti_entropy::live::Part;
use tidings_proto::anti_entropy::merkle::{self, Span, Tree, Walk};
use tidings_proto::anti_entropy::root::{self, Claim, Root, Scope, Signed};
use tidings_proto::anti_entropy::sketch;
use tidings_proto::base::clocks::Run;
use tidings_proto::base::clocks::{Dot, Hlc, VersionVector};
use tidings_proto::base::context::ShortDot;
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::rng::Rng;
use tidings_proto::base::time::{Now, Time};
use tidings_proto::convergence::message::{Answer, Ask, Said, Way};
use tidings_proto::detection::message::{
    Ack, Beat, Glance, Ping, PingReq, Prints, Rebuttal, put_accusation, put_answer,
};
use tidings_proto::dissemination::events::StoredEvent;
use tidings_proto::dissemination::interest::Interest;
use tidings_proto::dissemination::pull::Pull;
use tidings_proto::dissemination::trail::Trail;
use tidings_proto::io::Path;
use tidings_proto::membership::facts::Facts;
use tidings_proto::membership::record::{
    Accusers, Cause, Precedence, Standing, put_record, record_checksum,
};
use tidings_proto::state::crdt::Merged;
use tidings_proto::state::delta::EntryDelta;
use tidings_proto::state::disk::{self, Change, Reserved};
use tidings_proto::state::entry::{Advert, Entry, Superseded};
use tidings_proto::state::epochs::Epochs;
use tidings_proto::state::fields::{Fields, Lifetime};
use tidings_proto::state::forgetting::{Consent, Cut, FORGET, Question};
use tidings_proto::wire::codec::SEQ_MAX;
use tidings_proto::wire::frame::{kind, put_frame};
use tidings_proto::wire::packet;

use super::decoders::{body, key};
use super::machine::{BY_HEARTBEATS, BY_PHI, FRESH_WITH_PEERS, addr, id, op};
use super::reseal::packet_of;

type Samples = Vec<Vec<u8>>;

pub fn packets() -> Samples {
    frames()
        .iter()
        .map(|frames| {
            let mut out = Vec::new();
            let start = packet::begin(&mut out, &key(), id(1));
            out.extend_from_slice(frames);
            packet::seal(&mut out, start, &key());
            out
        })
        .collect()
}

pub fn frames() -> Samples {
    let mut all = vec![Vec::new()];
    let mut many = Vec::new();
    for (kind, bodies) in [
        (kind::PING, probes()),
        (kind::MEMBER, members()),
        (kind::ACCUSATION, accusations()),
        (kind::VERDICT, accusations()),
        (
            kind::REBUTTAL,
            vec![body(|out| Rebuttal { subject: id(1).short(), incarnation: 2, sum: 7 }.put(out))],
        ),
        (kind::COORDINATE, places()),
        (kind::INTEREST, interests()),
        (kind::HEARTBEATS, heartbeats()),
        (kind::ENTRY, entries()),
        (kind::ENTRY_DELTA, entry_deltas()),
        (kind::EVENT, events()),
        (200, vec![vec![1; 300]]),
    ] {
        let mut one = Vec::new();
        put_frame(&mut one, kind, |out| out.extend_from_slice(&bodies[0]));
        many.extend_from_slice(&one);
        all.push(one);
    }
    all.push(many);
    all
}

pub fn facts() -> Samples {
    let all = [
        plain_facts(1),
        facts_with(1, Some(id(2)), &[("zone", "b"), ("role", "web"), ("", "empty")]),
        facts_with(3, None, &[("utf-8", "\u{fc}\u{2713}")]),
    ];
    let mut bytes: Samples = all.iter().map(|facts| facts.bytes.to_vec()).collect();
    bytes.push([&all[0].bytes, &b"a later version's field"[..]].concat());
    bytes
}

fn plain_facts(n: usize) -> Facts {
    facts_with(n, None, &[])
}

fn facts_with(n: usize, replaces: Option<NodeId>, tags: &[(&str, &str)]) -> Facts {
    let tags: BTreeMap<_, _> = tags.iter().map(|&(k, v)| (k.into(), v.into())).collect();
    let v6 = "[2001:db8::1]:7946".parse().expect("an address");
    let at = if n == 3 { v6 } else { addr(n) };
    Facts::new(id(n), &format!("n{n}"), at, 9, Hlc::new(1000, 1), replaces, &tags).expect("facts")
}

pub fn members() -> Samples {
    let standings =
        [Standing::Alive, Standing::Failed, Standing::Leaving, Standing::Left, Standing::Retired];
    standings.iter().map(|&standing| body(|out| put_member(out, 1, 7, standing))).collect()
}

fn put_member(out: &mut Vec<u8>, n: usize, incarnation: u64, standing: Standing) {
    let facts = plain_facts(n);
    let sum = record_checksum(&key(), incarnation, &facts.bytes);
    let precedence = Precedence::new(incarnation, standing, sum);
    put_record(out, precedence, &facts.bytes, &accusers(2));
}

fn accusers(n: usize) -> Accusers {
    let mut accusers = Accusers::default();
    for i in 0..n {
        let causes = [Cause::Silence, Cause::Refused, Cause::Replaced];
        accusers.add(id(2 + i), causes[i % 3]);
    }
    accusers
}

pub fn accusations() -> Samples {
    [0, 1, 3, 8].map(|n| body(|out| put_accusation(out, id(1), 1 << n, &accusers(n)))).to_vec()
}

/// Unit, four components, height, adjustment, error.
fn interests() -> Samples {
    vec![body(|out| Interest { keyspace: "kv", key: b"hot", depth: 300 }.put(out))]
}

pub fn places() -> Samples {
    vec![vec![0; 14], [&[5][..], &[0xff, 0x7f].repeat(6), &[150]].concat()]
}

pub fn probes() -> Samples {
    let prints = Prints { members: 1 << 40, state: 7 };
    let glance = Glance { entries: 9, sketch: [1, 2] };
    let request =
        |n| PingReq { seq: 4, target: id(n), addr: addr(n), timeout: Duration::from_secs(1) };
    vec![
        body(|out| Ping { seq: 1, target: id(0).short(), prints }.put(out)),
        body(|out| Ping { seq: u16::MAX, target: 0, prints }.put(out)),
        body(|out| Ack { seq: 2, prints: Some(prints), glance: Some(glance) }.put(out)),
        body(|out| Ack { seq: 2, prints: Some(prints), glance: None }.put(out)),
        body(|out| Ack { seq: 2, prints: None, glance: None }.put(out)),
        body(|out| request(1).put(out)),
        body(|out| PingReq { addr: "[::1]:1".parse().expect("an address"), ..request(2) }.put(out)),
        body(|out| put_answer(out, kind::NACK, 3)),
        places().remove(1),
    ]
}

pub fn heartbeats() -> Samples {
    let beat = |n: usize, generation, count| Beat { member: id(n).short(), generation, count };
    let list = |beats: &[Beat]| {
        let mut out = Vec::new();
        beats.iter().for_each(|beat| beat.put(&mut out));
        out
    };
    vec![
        list(&[beat(1, 1, 1)]),
        list(&[beat(1, 1, 2), beat(2, 1025, 300), beat(3, 1, 1 << 20)]),
        list(&[beat(1, SEQ_MAX - 1, SEQ_MAX - 1)]),
        list(&(0..70).map(|n| beat(n % 7, 1, n as u64)).collect::<Vec<_>>()),
    ]
}

fn later_fields() -> Fields {
    Fields::read(&[200, 5, b'l', b'a', b't', b'e', b'r'], Now::default()).expect("one field")
}

fn lasting(whole: Duration) -> Fields {
    let mut fields = Fields::default();
    fields.set_lifetime(Some(Lifetime::from(Time::ZERO, whole)));
    fields
}

fn sample_entry(n: u64) -> Entry {
    let mut superseded = Superseded::default();
    for i in 0..n {
        superseded.add_range(id(i as usize + 1), 10 * i + 1, 10 * i + 3);
    }
    Entry {
        keyspace: "kv".into(),
        key: format!("key{n}").into_bytes().into(),
        value: Some([n as u8; 5].as_slice().into()),
        merged: None,
        stamp: Hlc::new(1_700_000_000_000, n as u16),
        dot: Dot { origin: id(1), seq: 3 + n },
        group: (3 + n, 1),
        superseded,
        fields: Fields::default(),
    }
}

/// A map with one field of each other kind, by two writers.
fn sample_merged() -> Merged {
    let mut map = Merged::new(Kind::Map);
    let fields = [
        (Kind::Register, Operation::Assign { value: b"v".to_vec(), read: None }),
        (Kind::Counter, Operation::Add(-5)),
        (Kind::Set, Operation::Insert(b"x".to_vec())),
        (Kind::Flag, Operation::Enable),
        (Kind::Max, Operation::Offer(9)),
    ];
    for (seq, (kind, operation)) in (1..).zip(fields) {
        let operation = Box::new(operation);
        let field = Operation::Field { name: vec![seq as u8], kind, operation };
        map.apply(ShortDot { writer: seq % 2, seq }, &field).expect("a field of its kind");
    }
    map
}

pub fn entry_deltas() -> Samples {
    let mut value = sample_merged();
    let mut entry = sample_entry(0);
    let remove = Operation::RemoveField { name: vec![3], kind: Kind::Set };
    let mut all = Vec::new();
    let mut told: Option<EntryDelta> = None;
    for (seq, operation) in (10..).zip([remove, Operation::Clear]) {
        entry.dot = Dot { origin: id(1), seq };
        let event = ShortDot { writer: id(1).short(), seq };
        let change = value.apply(event, &operation).expect("it fits the map");
        let one = EntryDelta::of_write(&entry, change).expect("no fields");
        let mut both = one.clone();
        told.iter().for_each(|told| assert!(both.merge(told)));
        all.push(body(|out| one.put(out, &key())));
        all.push(body(|out| both.put(out, &key())));
        told = Some(one);
    }
    all
}

pub fn entries() -> Samples {
    let mut merged = sample_entry(2);
    merged.set_merged(sample_merged());
    let all = [
        merged,
        sample_entry(0),
        sample_entry(16),
        Entry { value: None, ..sample_entry(1) },
        Entry { group: (2, 3), ..sample_entry(1) },
        Entry { fields: later_fields(), ..sample_entry(2) },
        Entry { fields: lasting(Duration::from_secs(30)), ..sample_entry(1) },
        Entry { value: Some(vec![1; 900].into()), ..sample_entry(3) },
        Entry {
            dot: Dot { origin: id(1), seq: SEQ_MAX - 1 },
            group: (SEQ_MAX - 1, 1),
            ..sample_entry(0)
        },
    ];
    let encode = |entry: &Entry| {
        let mut out = Vec::new();
        entry.put_body(&mut out, &key(), Time::ZERO, None);
        out
    };
    all.iter().map(encode).collect()
}

pub fn adverts() -> Samples {
    [(1, &b"k"[..]), (SEQ_MAX - 1, &[0xff; 512])]
        .map(|(seq, key)| {
            let dot = Dot { origin: id(1), seq };
            body(|out| Advert { keyspace: "kv", key, dot }.put(out, kind::ADVERT))
        })
        .to_vec()
}

pub fn events() -> Samples {
    let event = |seq, previous, payload: &[u8]| StoredEvent {
        origin: id(1),
        seq,
        previous,
        stamp: Hlc::new(1_700_000_000_000, 3),
        from: "n1".into(),
        name: "deploy".into(),
        payload: payload.into(),
        born: Time::from_secs(90),
    };
    [event(1, 0, b""), event(1025, 1024, b"version 3"), event(SEQ_MAX - 1, 5, &[9; 700])]
        .map(|event| body(|out| event.put(out, &key(), Time::from_secs(100))))
        .to_vec()
}

pub fn member_digests() -> Samples {
    let digest = |n: usize| MemberDigest { cursor: n as u64, prints: (0..n as u64).collect() };
    let end = |next, differing: &[u8]| MembersEnd { next, upto: 9, differing: differing.to_vec() };
    vec![
        body(|out| MemberDigest { cursor: 0, prints: vec![0] }.put(out)),
        body(|out| digest(16).put(out)),
        body(|out| digest(64).put(out)),
        body(|out| end(None, &[]).put(out)),
        body(|out| end(Some(0), &[1]).put(out)),
        body(|out| end(Some(70_000), &[0xff; 128]).put(out)),
    ]
}

fn sample_vectors(n: usize) -> Vectors {
    let list = |step: u64| (0..n).map(|i| (id(i), step * i as u64)).collect();
    Vectors { entries: list(1), events: list(1 << 20) }
}

pub fn vectors() -> Samples {
    [0, 1, 3, 20].map(|n| body(|out| sample_vectors(n).put(out))).to_vec()
}

pub fn deltas() -> Samples {
    let request = |full, n| DeltaRequest { boot: 1, cursor: 300, full, have: sample_vectors(n) };
    let end = |closed| DeltaEnd { boot: 1, cursor: 300, closed };
    vec![
        body(|out| request(false, 0).put(out)),
        body(|out| request(true, 3).put(out)),
        body(|out| end(None).put(out)),
        body(|out| end(Some((sample_vectors(3), 5))).put(out)),
    ]
}

/// Requests and answers of a walk of two trees, from the root to the leaves.
pub fn comparisons() -> Samples {
    let sums = Sums { entries: 1 << 60, rest: 7 };
    let part = Part { bits: 3, index: 5 };
    let hints =
        [Hint::None, Hint::Symbols(9), Hint::Sketch(Box::default()), Hint::Samples(Box::default())];
    let mut all: Samples =
        hints.map(|hint| body(|out| Compare { sums, hint }.put(out))).into_iter().collect();
    let unclear = Compared::Unclear { sums, sketch: Folded::of_words([1, 2]) };
    let differs = Compared::Differs { sums, count: 300, differing: 70 };
    for compared in [Compared::Equal, Compared::Busy, unclear, differs] {
        all.push(body(|out| compared.put(out)));
    }
    let wanted = Wanted { part, from: 4, to: 9 };
    let exchange =
        compare::Exchange { last: true, symbols: vec![wanted; 2], wants: vec![1, 1 << 30] };
    all.push(body(|out| exchange.put(out)));
    let symbols = sketch::symbols(0..20, 0..30, &key());
    all.push(body(|out| Symbols { part: Part::ALL, from: 0, symbols }.put(out)));
    all.push(body(|out| Exchanged { sums, served: 3 }.put(out)));
    all
}

pub fn receipts() -> Samples {
    let run = Run { origin: id(1), from: 3, to: 9 };
    let wait = Duration::from_secs(2);
    let way = Way { path: Path::Rumour, hops: Some(3), delay: Some(Duration::from_millis(40)) };
    let said = |applied, way| Said { run, applied, way };
    let said = vec![said(true, Some(way)), said(false, None)];
    let answer = Answer { durable: true, number: 5, members: 1 << 40, state: 9, said };
    let trail = Trail::here(Time::from_secs(5));
    vec![
        body(|out| Ask { now: true, number: 5, wait, runs: vec![run; 3] }.put(out)),
        body(|out| answer.put(out)),
        body(|out| trail.put(out, Time::from_secs(6))),
    ]
}

pub fn forgettings() -> Samples {
    let cut: Cut = [(id(1), 4), (id(2), 1 << 40)].into();
    let question = Question { pass: 1 << 50, round: FORGET, head: 3, cut: cut.clone(), gone: 2 };
    let consent = Consent { pass: 1 << 50, round: 1, yes: true, head: 3, gone: 2, losers: cut };
    let mut epochs = Epochs::default();
    (1..9).for_each(|epoch| epochs.add(epoch << 40));
    vec![
        body(|out| question.put(out)),
        body(|out| consent.put(out)),
        body(|out| epochs.put(out)),
        body(|out| Epochs::default().put(out)),
    ]
}

pub fn tree_pages() -> Samples {
    let tree_of = |numbers: std::ops::Range<u32>| {
        let mut tree = Tree::new();
        for n in numbers {
            tree.insert(key().wide(0, &[&n.to_le_bytes()]), n);
        }
        tree
    };
    let (mut ours, mut theirs) = (tree_of(0..400), tree_of(2..402));
    let (mut walk, mut samples) = (Walk::new(&ours, Span::ALL), Samples::new());
    while !walk.is_done() {
        let request = walk.request(&mut ours, 4096);
        let answer = merkle::answer(&mut theirs, &request, 4096);
        walk.answered(&mut ours, &answer).expect("an honest peer");
        for page in [request, answer] {
            samples.push(Vec::new());
            page.put(samples.last_mut().expect("just pushed"));
        }
    }
    samples
}

pub fn claims() -> Samples {
    let root_of = |seen: usize| Root {
        scope: Scope { keyspace: "kv".into(), span: Span::part(3, 4).expect("a range") },
        epoch: 4,
        hash: [7; 16],
        count: 5,
        stamp: Hlc::new(1000, 1),
        authority: id(9),
        seen: (0..seen).map(|i| (id(i), i as u64)).collect(),
    };
    let change =
        |n: u128, old, new| root::Change { key: n, old, new, dot: Dot { origin: id(1), seq: 9 } };
    let changes =
        vec![change(1, None, Some(2)), change(3, Some(4), None), change(5, Some(1), Some(2))];
    let claim = |seen, changes| {
        let base = Signed { root: root_of(seen), signature: vec![1; 64] };
        let mut out = Vec::new();
        Claim { base, changes }.put(&mut out);
        out
    };
    vec![claim(0, Vec::new()), claim(3, Vec::new()), claim(2, changes)]
}

pub fn filters() -> Samples {
    let filter = |n: usize| {
        let mut filter = Filter::new(n as u64, n);
        (0..n as u64).for_each(|element| filter.insert(element, &key()));
        let mut out = Vec::new();
        filter.put(&mut out);
        out
    };
    [0, 1, 10, 100].map(filter).to_vec()
}

pub fn disks() -> Samples {
    let mut vector = VersionVector::default();
    vector.add_range(id(1), 1, 9);
    vector.add_range(id(1), 12, 20);
    let reserved = Reserved { incarnation: 1024, event: 2048 };
    let all = [
        disk::reserved_change(reserved),
        disk::entry_change(&sample_entry(2), &key(), Now::default()),
        disk::entry_change(
            &Entry { fields: lasting(Duration::from_secs(30)), ..sample_entry(1) },
            &key(),
            Now::default(),
        ),
        disk::origin_change(&vector, id(1)),
        disk::member_change(&plain_facts(2), true),
    ];
    let mut samples: Samples =
        all.iter().map(|change| pair_bytes(std::slice::from_ref(change))).collect();
    samples.push(pair_bytes(&all));
    samples
}

fn pair_bytes(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, value) in changes {
        put_long(&mut out, at);
        put_long(&mut out, value.as_deref().unwrap_or_default());
    }
    out
}

/// As `Choices::bytes` reads it.
fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() < 32 {
        out.push(bytes.len() as u8);
    } else {
        out.push(255);
        out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    }
    out.extend_from_slice(bytes);
}

fn tell(script: &mut Vec<u8>, frames: &[u8]) {
    script.extend_from_slice(&[op::DATAGRAM, 1, 1, 0]);
    put_long(script, frames);
}

/// Writes that rival each other, an event, and an entry whose checksum does not hold.
fn twice_told() -> Samples {
    let rival = |n: u64| Entry {
        dot: Dot { origin: id(n as usize), seq: 1 },
        stamp: Hlc(n << 16),
        superseded: Superseded::default(),
        ..sample_entry(1)
    };
    let entry = |entry: &Entry| {
        let mut out = Vec::new();
        entry.put(&mut out, &key(), Time::ZERO);
        out
    };
    let mut event = Vec::new();
    put_frame(&mut event, kind::EVENT, |out| out.extend_from_slice(&events()[0]));
    let mut broken = entry(&rival(3));
    *broken.last_mut().expect("an entry has bytes") ^= 1;
    vec![entry(&rival(1)), entry(&rival(2)), event, broken]
}

/// A keyspace is pulled, then pushed and pulled, and a peer asks for its news.
fn pulls(script: &mut Vec<u8>) {
    for mode in [2, 4] {
        script.extend_from_slice(&[op::COMMAND, 12, 0, mode, op::SLEEP, 200]);
        let mut frames = Vec::new();
        Pull::put(&mut frames, false, 7, [Dot { origin: id(1), seq: 9 }].into_iter());
        tell(script, &frames);
    }
}

/// A user asks for everything once, and peers ask the node about it.
fn wishes() -> Vec<u8> {
    let mut script = vec![FRESH_WITH_PEERS];
    let seven = 7.0f64.to_le_bytes();
    let wishes: [&[u8]; 8] = [
        &[7, 0, 3, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0], // a counter rises
        &[6, 0, 4, 2, 1, 9, 200, 0],              // a key for 200 ms
        &[8, 1, 1, 0],                            // a flag
        &[8, 1, 2, 2, 100, 0],                    // its stage
        &[9, 1, 1],
        &[10, 0, 0, 0],
        &[11, 0, 3, 100, 0],
        &[12, 3, 1],
    ];
    for wish in wishes {
        script.push(op::COMMAND);
        script.extend_from_slice(wish);
        if wish[0] == 9 {
            script.extend_from_slice(&seven);
            script.push(1);
        }
        script.extend_from_slice(&[op::WAIT, op::WAIT]);
    }
    let run = Run { origin: id(0), from: 1, to: 1 };
    let ask = Ask { now: true, number: 9, wait: Duration::from_secs(1), runs: vec![run] };
    let exchange = |epoch: u64, name: &str| Exchange {
        name: name.into(),
        epoch,
        number: epoch,
        part: message::Part::Scalars,
        values: vec![1.0, 4.0, 16.0],
        low: None,
        high: None,
    };
    let mut frames = Vec::new();
    ask.put(&mut frames);
    exchange(1, "n1").put(kind::AGGREGATE, &mut frames);
    exchange(2, "n1").put(kind::AGGREGATE_ANSWER, &mut frames);
    tell(&mut script, &frames);
    for block in 0..7 {
        let mut frames = Vec::new();
        for n in 0..10 {
            exchange(1, &format!("other {block}{n}")).put(kind::AGGREGATE, &mut frames);
        }
        tell(&mut script, &frames);
    }
    pulls(&mut script);
    for frames in twice_told() {
        tell(&mut script, &frames);
        tell(&mut script, &frames);
    }
    for (session, wait) in [(1, 0), (1, 40), (200, 0)] {
        script.extend_from_slice(&[op::COMMAND, 13, 0, 1, session, wait, 0, op::SLEEP, 20]);
    }
    let packet = packet_of(&key(), id(1), &frames);
    for at in [1, 30] {
        let mut broken = packet.clone();
        broken[at] ^= 1;
        script.extend_from_slice(&[op::RAW_DATAGRAM, 1]);
        put_long(&mut script, &broken);
    }
    for _ in 0..20 {
        script.extend_from_slice(&[op::SLEEP, 20, op::PONG, 7]);
    }
    script
}

/// Scripts of a node's life: each kind of frame as datagram, request and answer, and random ones.
pub fn nodes() -> Samples {
    let mut all: Samples = Vec::new();
    for frames in frames() {
        let mut script = vec![FRESH_WITH_PEERS];
        for step in [op::DATAGRAM, op::REQUEST] {
            script.extend_from_slice(&[step, 1, 1, 0]);
            put_long(&mut script, &frames);
            script.push(op::WAIT);
        }
        all.push(script);
    }
    for detector in [BY_HEARTBEATS, BY_PHI] {
        let mut script = vec![FRESH_WITH_PEERS | detector];
        for count in 1..60u64 {
            let mut frame = Vec::new();
            let beat = |n: usize| Beat { member: id(n).short(), generation: 1, count };
            put_frame(&mut frame, kind::HEARTBEATS, |out| {
                beat(1).put(out);
                // One falls silent, one is lied about.
                if count < 20 {
                    beat(2).put(out);
                }
                Beat { count: count << (count / 8), ..beat(3) }.put(out);
            });
            script.extend_from_slice(&[op::DATAGRAM, 1, 1, 0]);
            put_long(&mut script, &frame);
            script.extend_from_slice(&[op::SLEEP, 100]);
        }
        all.push(script);
    }
    for disk in disks() {
        let mut script = vec![1 | 4];
        put_long(&mut script, &disk);
        script.extend_from_slice(&[
            op::DISK,
            1,
            op::COMMAND,
            14,
            0,
            2,
            1,
            5,
            1,
            0,
            9,
            op::DISK,
            1,
            op::WAIT,
        ]);
        all.push(script);
    }
    all.push(wishes());
    let mut rng = Rng::from_u64(20);
    for n in 0..32u8 {
        let mut script = vec![n];
        for _ in 0..400 + rng.below(1600) {
            script.push(rng.below(256) as u8);
        }
        all.push(script);
    }
    all
}
