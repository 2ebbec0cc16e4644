//! Decides what each decoder promises for any bytes: it returns, and what it accepts is encoded
//! again to the same value.

use std::time::Duration;

use tidings_proto::anti_entropy::bloom::Filter;
use tidings_proto::anti_entropy::compare::{Compare, Compared, Exchange, Exchanged, Symbols};
use tidings_proto::anti_entropy::digest::{
    DeltaEnd, DeltaRequest, MemberDigest, MembersEnd, Vectors,
};
use tidings_proto::anti_entropy::merkle::{self, Page, Span, Tree, Walk};
use tidings_proto::anti_entropy::root::{Claim, Offered, Roots, Verdict};
use tidings_proto::anti_entropy::sketch::{Decoder, Symbol};
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::id::NodeId;
use tidings_proto::base::time::{Now, Time};
use tidings_proto::convergence::message::{Answer, Ask};
use tidings_proto::detection::coordinates::Coordinate;
use tidings_proto::detection::message::{
    Ack, Beats, Charge, Ping, PingReq, Rebuttal, decode_answer, put_accusation, put_answer,
};
use tidings_proto::dissemination::events::StoredEvent;
use tidings_proto::dissemination::trail::Trail;
use tidings_proto::membership::facts::Facts;
use tidings_proto::membership::record::{Accusers, Record, put_record};
use tidings_proto::state::crdt::Merged;
use tidings_proto::state::delta::EntryDelta;
use tidings_proto::state::disk::{self, Recovered};
use tidings_proto::state::entry::{Advert, Entry};
use tidings_proto::state::epochs::Epochs;
use tidings_proto::state::forgetting::{Consent, Question};
use tidings_proto::state::store::Store;
use tidings_proto::wire::codec::Reader;
use tidings_proto::wire::frame::{Frames, kind, put_frame};
use tidings_proto::wire::packet::{self, HEADER_BYTES};

use super::choices::Choices;
use super::reseal;

/// The cluster of all fuzz targets.
pub const CLUSTER: &str = "fuzz";
/// When events are read.
const NOW: Time = Time::from_secs(1_000_000);
const AT: Now = Now { mono: NOW, wall_ms: 1_700_000_000_000 };

pub fn key() -> HashKey {
    HashKey::for_cluster(CLUSTER)
}

/// The body of the one frame that `write` appends.
pub fn body(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    let mut frames = Frames::new(&out);
    let (_, body) = frames.next().expect("a frame").expect("a whole one");
    assert!(frames.next().is_none(), "one frame was written");
    body.to_vec()
}

pub fn packet(data: &[u8]) {
    let key = key();
    if let Ok((sender, frames)) = packet::open(data, &key) {
        let mut again = Vec::new();
        let start = packet::begin(&mut again, &key, sender);
        again.extend_from_slice(frames);
        packet::seal(&mut again, start, &key);
        assert_eq!(again, data);
    }
    if data.len() >= HEADER_BYTES {
        let mut sealed = data.to_vec();
        sealed[0] = packet::VERSION;
        sealed[1..4].copy_from_slice(&key.cluster_tag());
        packet::seal(&mut sealed, 0, &key);
        let (sender, frames) = packet::open(&sealed, &key).expect("sealed for this cluster");
        assert_eq!((&sender.0[..], frames), (&data[8..HEADER_BYTES], &data[HEADER_BYTES..]));
        let other = HashKey::for_cluster("another");
        assert!(packet::open(&sealed, &other).is_err(), "sealed for one cluster only");
    }
}

pub fn frames(data: &[u8]) {
    let read: Vec<_> = Frames::new(data).flatten().collect();
    let mut again = Vec::new();
    for (kind, body) in &read {
        put_frame(&mut again, *kind, |out| out.extend_from_slice(body));
    }
    assert!(again.len() <= data.len(), "ours is the shortest form");
    let reread: Vec<_> = Frames::new(&again).map(|f| f.expect("whole")).collect();
    assert_eq!(reread, read);
}

pub fn facts(data: &[u8]) {
    let Ok(f) = Facts::decode(data) else { return };
    assert_eq!(&f.bytes[..], data, "kept as they came");
    let again = Facts::new(f.id, &f.name, f.addr, f.boot, f.accepted, f.replaces, &f.tags)
        .expect("accepted facts can be said again");
    let same = Facts { bytes: f.bytes.clone(), content: f.content, ..again };
    assert_eq!(same, f);
}

pub fn member(data: &[u8]) {
    for data in [data.to_vec(), reseal::record(&key(), data).unwrap_or_default()] {
        let Ok(r) = Record::decode(&data) else { continue };
        let again = body(|out| put_record(out, r.precedence(), r.facts, &r.accusers));
        let read = Record::decode(&again).expect("what was accepted");
        assert_eq!((read.id, read.precedence()), (r.id, r.precedence()));
        assert_eq!((read.facts, &read.accusers), (r.facts, &r.accusers));
        assert_eq!(read.checksum_holds(&key()), r.checksum_holds(&key()));
    }
}

pub fn accusation(data: &[u8]) {
    if let Ok(rebuttal) = Rebuttal::decode(data) {
        assert_eq!(Rebuttal::decode(&body(|out| rebuttal.put(out))), Ok(rebuttal));
    }
    let Ok(charge) = Charge::decode(data) else { return };
    let mut accusers = Accusers::default();
    for &(accuser, cause) in &charge.accusers {
        accusers.add(NodeId::first_with_short(accuser), cause);
    }
    let subject = NodeId::first_with_short(charge.subject);
    let again = body(|out| put_accusation(out, subject, charge.incarnation, &accusers));
    let read = Charge::decode(&again).expect("what was accepted");
    assert!(accusers.len() < charge.accusers.len() || read == charge);
}

pub fn probe(data: &[u8]) {
    if let Ok(ping) = Ping::decode(data) {
        assert_eq!(Ping::decode(&body(|out| ping.put(out))), Ok(ping));
    }
    if let Ok(ack) = Ack::decode(data) {
        assert_eq!(Ack::decode(&body(|out| ack.put(out))), Ok(ack));
    }
    if let Ok(request) = PingReq::decode(data) {
        assert_eq!(PingReq::decode(&body(|out| request.put(out))), Ok(request));
    }
    if let Ok(place) = Coordinate::decode(data) {
        assert!(place.round_trip(&place).estimate < Duration::from_secs(60), "{place:?}");
    }
    if let Ok(seq) = decode_answer(data) {
        assert_eq!(decode_answer(&body(|out| put_answer(out, kind::NACK, seq))), Ok(seq));
    }
}

pub fn heartbeats(data: &[u8]) {
    let read: Vec<_> = Beats::new(data).flatten().collect();
    let mut again = Vec::new();
    read.iter().for_each(|beat| beat.put(&mut again));
    assert!(again.len() <= data.len(), "ours is the shortest form");
    let reread: Result<Vec<_>, _> = Beats::new(&again).collect();
    assert_eq!(reread, Ok(read));
}

pub fn entry(data: &[u8]) {
    let key = key();
    let structure = Entry::decode(data, &key, AT);
    let resealed = reseal::entry(&key, data).unwrap_or_default();
    let accepted = match (structure, Entry::decode(&resealed, &key, AT)) {
        (Ok(_), Ok(Some(entry))) => entry,
        (Ok(_), broken) => panic!("a resealed entry: {broken:?}"),
        (Err(_), _) => return,
    };
    let mut again = Vec::new();
    accepted.put_body(&mut again, &key, NOW, None);
    assert_eq!(Entry::decode(&again, &key, AT), Ok(Some(accepted)));
}

pub fn entry_delta(data: &[u8]) {
    let key = key();
    let Ok(resealed) = reseal::entry_delta(&key, data) else { return };
    let Ok(accepted) = EntryDelta::decode(&resealed, &key) else { return };
    let accepted = accepted.expect("a resealed delta");
    let again = body(|out| accepted.put(out, &key));
    assert_eq!(EntryDelta::decode(&again, &key).as_ref(), Ok(&Some(accepted.clone())));
    let mut value = Merged::new(accepted.change.kind());
    value.meet(&accepted.change);
    assert!(value.size() <= 2 * data.len() + 64, "a value is no more than what came");
}

pub fn advert(data: &[u8]) {
    let Ok(advert) = Advert::decode(data) else { return };
    assert_eq!(Advert::decode(&body(|out| advert.put(out, kind::FETCH))), Ok(advert));
}

pub fn event(data: &[u8]) {
    let key = key();
    let structure = StoredEvent::decode(data, &key, NOW);
    let resealed = reseal::event(&key, data).unwrap_or_default();
    let accepted = match (structure, StoredEvent::decode(&resealed, &key, NOW)) {
        (Ok(_), Ok(Some(event))) => event,
        (Ok(_), broken) => panic!("a resealed event: {broken:?}"),
        (Err(_), _) => return,
    };
    let again = body(|out| accepted.put(out, &key, NOW));
    assert_eq!(StoredEvent::decode(&again, &key, NOW), Ok(Some(accepted)));
}

pub fn member_digest(data: &[u8]) {
    if let Ok(digest) = MemberDigest::decode(data) {
        assert_eq!(MemberDigest::decode(&body(|out| digest.put(out))), Ok(digest));
    }
    if let Ok(end) = MembersEnd::decode(data) {
        assert!(!end.differs(end.differing.len() * 8));
        assert_eq!(MembersEnd::decode(&body(|out| end.put(out))), Ok(end));
    }
}

pub fn vectors(data: &[u8]) {
    let Ok(vectors) = Vectors::decode(data) else { return };
    assert_eq!(Vectors::decode(&body(|out| vectors.put(out))), Ok(vectors));
}

pub fn delta(data: &[u8]) {
    if let Ok(request) = DeltaRequest::decode(data) {
        assert_eq!(DeltaRequest::decode(&body(|out| request.put(out))), Ok(request));
    }
    if let Ok(end) = DeltaEnd::decode(data) {
        assert_eq!(DeltaEnd::decode(&body(|out| end.put(out))), Ok(end));
    }
}

/// Questions about live entries and what answers them.
pub fn comparison(data: &[u8]) {
    if let Ok(compare) = Compare::decode(data) {
        assert_eq!(Compare::decode(&body(|out| compare.put(out))), Ok(compare));
    }
    if let Ok(compared) = Compared::decode(data) {
        assert_eq!(Compared::decode(&body(|out| compared.put(out))), Ok(compared));
    }
    if let Ok(exchange) = Exchange::decode(data) {
        assert_eq!(Exchange::decode(&body(|out| exchange.put(out))), Ok(exchange));
    }
    if let Ok(exchanged) = Exchanged::decode(data) {
        assert_eq!(Exchanged::decode(&body(|out| exchanged.put(out))), Ok(exchanged));
    }
    let Ok(symbols) = Symbols::decode(data) else { return };
    let mut decoder = Decoder::new(key());
    symbols.symbols.iter().for_each(|&symbol| decoder.push(symbol, Symbol::default()));
    assert!(decoder.found().len() <= symbols.symbols.len());
    assert_eq!(Symbols::decode(&body(|out| symbols.put(out))), Ok(symbols));
}

/// Questions about receipts, their answers, and how news came.
pub fn receipt(data: &[u8]) {
    if let Ok(ask) = Ask::decode(data) {
        assert_eq!(Ask::decode(&body(|out| ask.put(out))), Ok(ask));
    }
    if let Ok(answer) = Answer::decode(data) {
        assert_eq!(Answer::decode(&body(|out| answer.put(out))), Ok(answer));
    }
    if let Ok(trail) = Trail::decode(data, NOW, Duration::ZERO) {
        let (hops, _) = trail.told(NOW).expect("a trail that was told");
        let on = Trail::decode(&body(|out| trail.put(out, NOW)), NOW, Duration::ZERO);
        let (further, _) = on.expect("as it was put").told(NOW).expect("it is told on");
        assert!(further == hops + 1 || further == hops && hops == u8::MAX - 1);
    }
}

/// What may be forgotten, and what was.
pub fn forgetting(data: &[u8]) {
    if let Ok(question) = Question::decode(data) {
        assert_eq!(Question::decode(&body(|out| question.put(out))), Ok(question));
    }
    if let Ok(consent) = Consent::decode(data) {
        assert_eq!(Consent::decode(&body(|out| consent.put(out))), Ok(consent));
    }
    if let Ok(epochs) = Epochs::decode(data) {
        let mut all = Epochs::default();
        all.join(&epochs);
        assert!(all.knows(epochs.head()));
        assert_eq!(Epochs::decode(&body(|out| epochs.put(out))), Ok(epochs));
    }
}

/// What a small tree makes of any page, as a request and as an answer.
pub fn tree_page(data: &[u8]) {
    let Ok(page) = Page::read(&mut Reader::new(data)) else { return };
    let mut again = Vec::new();
    page.put(&mut again);
    assert_eq!(Page::read(&mut Reader::new(&again)).as_ref(), Ok(&page));
    let mut tree = Tree::new();
    for n in 0..100u32 {
        tree.insert(key().wide(0, &[&n.to_le_bytes()]), n);
    }
    let told = merkle::answer(&mut tree, &page, 4096);
    assert!(told.handled <= page.items.len() && told.items.len() <= 16 * told.handled);
    let mut walk = Walk::new(&tree, Span::ALL);
    walk.request(&mut tree, 4096);
    let _ = walk.answered(&mut tree, &page);
    assert!(walk.ours().len() <= 100);
}

/// A claim that decodes is judged: by nobody that knows its root.
pub fn claim(data: &[u8]) {
    let Ok(claim) = Claim::read(&mut Reader::new(data)) else { return };
    let mut again = Vec::new();
    claim.put(&mut again);
    assert_eq!(Claim::read(&mut Reader::new(&again)).as_ref(), Ok(&claim));
    let mut roots = Roots::new([claim.base.root.authority], Duration::from_secs(60));
    let mut state = Tree::new();
    assert_eq!(roots.judge(&claim, &mut state), Verdict::Unverified);
    if let Offered::Ask(question) = roots.offer(&claim.base, u64::MAX / 2) {
        assert_eq!(roots.verified(question.id, true), Ok(()));
        let before = state.root();
        roots.judge(&claim, &mut state);
        assert_eq!(state.root(), before);
    }
}

pub fn filter(data: &[u8]) {
    let Ok(filter) = Filter::read(&mut Reader::new(data)) else { return };
    let mut again = Vec::new();
    filter.put(&mut again);
    assert_eq!(Filter::read(&mut Reader::new(&again)).as_ref(), Ok(&filter));
    filter.may_hold(filter.size() as u64, &key());
}

/// Pairs as [`Choices::bytes`]: key, value, key, value, ...
pub fn disk(data: &[u8]) {
    let pairs = pairs(data);
    let resealed: Vec<_> =
        pairs.iter().map(|(at, value)| (at.clone(), reseal::pair(&key(), at, value))).collect();
    for pairs in [pairs, resealed] {
        let mut store = Store::new(key(), true);
        let recovered = disk::recover(&pairs, &mut store, &key(), AT);
        assert!(recovered.unreadable <= pairs.len());
        assert!(!store.is_dirty(), "what came from the disk is on it");
        recovered_again(&store, &recovered);
    }
}

pub fn pairs(data: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut choices = Choices::new(data);
    let mut pairs = Vec::new();
    while !choices.is_empty() {
        pairs.push((choices.bytes().to_vec(), choices.bytes().to_vec()));
    }
    pairs
}

/// What was recovered and is written again is recovered to the same.
fn recovered_again(store: &Store, recovered: &Recovered) {
    let mut changes: Vec<_> = recovered.reserved.map(disk::reserved_change).into_iter().collect();
    changes.extend(store.since(0).map(|kept| disk::entry_change(&kept.entry, &key(), AT)));
    let origins = store.vector().prefixes();
    changes.extend(origins.map(|(id, _)| disk::origin_change(store.vector(), id)));
    changes.extend(recovered.members.iter().map(|facts| disk::member_change(facts, true)));
    let pairs: Vec<_> =
        changes.into_iter().map(|(at, value)| (at, value.expect("a value is set"))).collect();
    let mut other = Store::new(key(), true);
    let again = disk::recover(&pairs, &mut other, &key(), AT);
    assert_eq!((again.unreadable, again.reserved), (0, recovered.reserved));
    assert_eq!(again.members, recovered.members);
    assert_eq!(other.print(), store.print());
    assert_eq!(other.counts(), store.counts());
    for (origin, upto) in store.vector().prefixes() {
        assert_eq!(other.vector().upto(origin), upto);
        assert_eq!(other.vector().beyond(origin), store.vector().beyond(origin));
    }
}
