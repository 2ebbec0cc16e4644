//! Decides that everything replicated is a join-semilattice: merging in any order, with any grouping
//! and any repetition comes to the same, of whole values, of deltas, and of both together (rule 1;
//! rows D1, D6). 10^4 cases for every type; with `SOAK=1` 10^6.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_proto::base::clocks::{Dot, Hlc};
use tidings_proto::base::context::{Context, ShortDot};
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::rng::Rng;
use tidings_proto::state::crdt::{Delta, Merged, Met};
use tidings_proto::state::delta::EntryDelta;
use tidings_proto::state::entry::{Entry, Superseded};
use tidings_proto::state::store::Store;
use tidings_proto::wire::codec::Reader;
use tidings_proto::{NodeId, Time};

/// Cases drawn from one history.
const PER_HISTORY: usize = 20;
const STEPS: usize = 24;
const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];

fn cases() -> usize {
    if std::env::var_os("SOAK").is_some() { 1_000_000 } else { 10_000 }
}

/// Runs `check` on so many cases of each kind of value, drawn from histories of three replicas.
fn of_every_kind(seed: u64, mut check: impl FnMut(&mut Rng, &History)) {
    for kind in Kind::ALL {
        let mut rng = Rng::from_u64(seed + u64::from(kind.code()));
        for _ in 0..cases() / PER_HISTORY {
            let history = History::draw(&mut rng, kind);
            for _ in 0..PER_HISTORY {
                check(&mut rng, &history);
            }
        }
    }
}

/// What three replicas came to that wrote, took deltas in, and joined.
struct History {
    kind: Kind,
    states: Vec<Merged>,
    deltas: Vec<Delta>,
}

impl History {
    fn draw(rng: &mut Rng, kind: Kind) -> History {
        let mut replicas = vec![Merged::new(kind); 3];
        let mut history = History { kind, states: vec![Merged::new(kind)], deltas: Vec::new() };
        for _ in 0..STEPS {
            let at = rng.index(3);
            if rng.chance(0.6) {
                let operation = draw_operation(rng, kind, &replicas);
                let event = next(&replicas[at], at as u64);
                history.deltas.push(replicas[at].apply(event, &operation).unwrap());
            } else if rng.chance(0.5) && !history.deltas.is_empty() {
                let delta = &history.deltas[rng.index(history.deltas.len())];
                replicas[at].meet(delta);
            } else {
                let other = replicas[(at + 1) % 3].clone();
                replicas[at].join(&other);
            }
            history.states.push(replicas[at].clone());
        }
        history
    }

    fn state(&self, rng: &mut Rng) -> &Merged {
        &self.states[rng.index(self.states.len())]
    }

    fn delta(&self, rng: &mut Rng) -> &Delta {
        &self.deltas[rng.index(self.deltas.len())]
    }

    /// All that anybody did.
    fn whole(&self) -> Merged {
        self.states.iter().fold(Merged::new(self.kind), |all, state| join(&all, state))
    }
}

fn next(value: &Merged, writer: u64) -> ShortDot {
    // Numbers count all writes of a node, so those to one key leave gaps.
    ShortDot { writer, seq: value.context().upto(writer) + 1 + writer }
}

fn draw_operation(rng: &mut Rng, kind: Kind, replicas: &[Merged]) -> Operation {
    let name = NAMES[rng.index(3)].to_vec();
    let number = rng.below(20) as i64 - 10;
    match kind {
        _ if rng.chance(0.03) => Operation::Clear,
        Kind::Register => {
            // A user may have read at another node than it writes to.
            let read = rng.chance(0.5).then(|| replicas[rng.index(3)].context().clone());
            Operation::Assign { value: name, read }
        }
        Kind::Counter => Operation::Add(number),
        Kind::Set if rng.chance(0.6) => Operation::Insert(name),
        Kind::Set => Operation::Remove(name),
        Kind::Flag if rng.chance(0.5) => Operation::Enable,
        Kind::Flag => Operation::Disable,
        Kind::Max | Kind::Min => Operation::Offer(number),
        Kind::Map => {
            let kind = Kind::ALL[rng.index(6)];
            if rng.chance(0.2) {
                return Operation::RemoveField { name, kind };
            }
            let operation = Box::new(draw_operation(rng, kind, replicas));
            Operation::Field { name, kind, operation }
        }
    }
}

fn join(a: &Merged, b: &Merged) -> Merged {
    let mut joined = a.clone();
    joined.join(b);
    joined
}

fn met(state: &Merged, delta: &Delta) -> Option<Merged> {
    let mut with = state.clone();
    (with.meet(delta) != Met::Gap).then_some(with)
}

#[test]
fn values_merge_in_any_order_grouping_and_repetition() {
    of_every_kind(1, |rng, history| {
        let [a, b, c] = [(); 3].map(|()| history.state(rng));
        assert_eq!(join(a, b), join(b, a), "commutative");
        assert_eq!(join(&join(a, b), c), join(a, &join(b, c)), "associative");
        assert_eq!(&join(a, a), a, "idempotent");
        assert_eq!(join(&join(a, b), b), join(a, b), "idempotent");
    });
}

/// What deltas rest on: equal histories are equal values, however they came about.
#[test]
fn a_history_decides_the_value() {
    for kind in Kind::ALL {
        let mut rng = Rng::from_u64(100 + u64::from(kind.code()));
        for _ in 0..cases() / PER_HISTORY {
            let history = History::draw(&mut rng, kind);
            let mut known: BTreeMap<Vec<(u64, u64)>, Merged> = BTreeMap::new();
            let fetched = (0..PER_HISTORY)
                .map(|_| join(history.state(&mut rng), history.state(&mut rng)))
                .collect::<Vec<_>>();
            for state in history.states.iter().chain(&fetched) {
                let dots = state.context().dots().map(|dot| (dot.writer, dot.seq)).collect();
                let first = known.entry(dots).or_insert_with(|| state.clone());
                assert_eq!(first, state, "{kind:?}");
            }
        }
    }
}

/// A delta is what its writer's whole value would be to all who can take it in, once or twice.
#[test]
fn deltas_do_what_values_would() {
    let mut fitted = 0;
    of_every_kind(2, |rng, history| {
        let (state, delta) = (history.state(rng), history.delta(rng));
        let Some(with) = met(state, delta) else { return };
        fitted += 1;
        assert_eq!(met(&with, delta).as_ref(), Some(&with), "idempotent");
        assert!(with.context().includes(state.context()) && with.context().includes(delta.upto()));
        let other = history.state(rng);
        // Whether the delta or another's value comes first makes no difference.
        let later = met(&join(state, other), delta).expect("who knows more can take it in too");
        assert_eq!(later, join(&with, other), "commutative");
        let whole = history.whole();
        assert_eq!(join(&with, &whole), whole, "nothing but what was written");
    });
    assert!(fitted > cases(), "{fitted} cases had a base to build on");
}

/// Several writes told as one do what they do one after the other.
#[test]
fn deltas_merge_with_each_other() {
    let mut merged = 0;
    of_every_kind(3, |rng, history| {
        let (state, first, second) = (history.state(rng), history.delta(rng), history.delta(rng));
        let mut both = first.clone();
        if !both.merge(second) {
            return;
        }
        merged += 1;
        let mut other_way = second.clone();
        assert!(other_way.merge(first));
        assert_eq!(both, other_way, "commutative");
        let mut again = both.clone();
        assert!(again.merge(second));
        assert_eq!(again, both, "idempotent");
        let mut bytes = Vec::new();
        both.put(&mut bytes);
        assert_eq!(Delta::read(&mut Reader::new(&bytes)).as_ref(), Ok(&both));
        let one_by_one = met(state, first).and_then(|with| met(&with, second));
        if let Some(one_by_one) = one_by_one {
            assert_eq!(met(state, &both), Some(one_by_one), "{state:?} {both:?}");
        }
        let third = history.delta(rng);
        let (mut left, mut right) = (both.clone(), second.clone());
        if left.merge(third) && right.merge(third) {
            let mut first = first.clone();
            assert!(first.merge(&right));
            assert_eq!(left, first, "associative");
        }
    });
    assert!(merged > cases(), "{merged} pairs left nothing out");
}

/// All deltas of a history, lost until repeated, in any order: the whole.
#[test]
fn deltas_alone_come_to_the_whole() {
    for kind in Kind::ALL {
        let mut rng = Rng::from_u64(200 + u64::from(kind.code()));
        for _ in 0..cases() / PER_HISTORY {
            let history = History::draw(&mut rng, kind);
            let mut left: Vec<&Delta> = history.deltas.iter().collect();
            rng.shuffle(&mut left);
            let mut taken = Merged::new(kind);
            for _ in 0..left.len() {
                left.retain(|delta| taken.meet(delta) == Met::Gap);
            }
            assert!(left.is_empty(), "{kind:?}: {left:?} build on what never came");
            assert_eq!(taken, history.whole(), "{kind:?}");
        }
    }
}

#[test]
fn values_and_deltas_round_trip_and_noise_is_refused() {
    let mut rng = Rng::from_u64(4);
    for kind in Kind::ALL {
        for _ in 0..60 {
            let history = History::draw(&mut rng, kind);
            let (state, delta) = (history.states.last().unwrap(), history.delta(&mut rng));
            let (mut value, mut change) = (Vec::new(), Vec::new());
            state.put(&mut value);
            delta.put(&mut change);
            assert_eq!(Merged::read(&mut Reader::new(&value)).as_ref(), Ok(state));
            assert_eq!(Delta::read(&mut Reader::new(&change)).as_ref(), Ok(delta));
            for _ in 0..20 {
                for bytes in [&mut value, &mut change] {
                    let at = rng.index(bytes.len());
                    bytes[at] ^= 1 << rng.below(8);
                }
                // They may only not panic, whatever they are taken for.
                let _ = Merged::read(&mut Reader::new(&value));
                if let Ok(delta) = Delta::read(&mut Reader::new(&change)) {
                    let mut state = state.clone();
                    state.meet(&delta);
                }
            }
        }
    }
}

// Entries: last-writer-wins, and values that merge with their dots and vectors.

fn store() -> Store {
    Store::new(HashKey::for_cluster("laws"), false)
}

fn node(n: u64) -> NodeId {
    NodeId::from_u128(u128::from(n) << 64 | 7)
}

fn plain(origin: u64, seq: u64, key: u8, stamp: u64, value: Option<u8>) -> Entry {
    Entry {
        keyspace: "kv".into(),
        key: Arc::from([key].as_slice()),
        value: value.map(|v| Arc::from([v].as_slice())),
        merged: None,
        stamp: Hlc(stamp),
        dot: Dot { origin: node(origin), seq },
        group: (seq, 1),
        superseded: Superseded::default(),
        fields: Default::default(),
    }
}

fn receive(store: &mut Store, entry: &Entry) {
    store.receive(entry.clone(), false, &mut |_| {});
}

/// Rows D1 and D3: logs with ties, in any order and repeated, give the same entries, vector and print.
#[test]
fn the_last_writer_wins_in_any_order() {
    let mut rng = Rng::from_u64(11);
    for _ in 0..cases() {
        let mut seqs = [0u64; 3];
        let mut log: Vec<Entry> = (0..8)
            .map(|_| {
                let origin = rng.index(3);
                seqs[origin] += 1;
                let value = rng.chance(0.7).then(|| rng.below(4) as u8);
                let (key, stamp) = (rng.below(2) as u8, 1 + rng.below(3));
                plain(origin as u64, seqs[origin], key, stamp, value)
            })
            .collect();
        let (mut once, mut shuffled) = (store(), store());
        log.iter().for_each(|entry| receive(&mut once, entry));
        log.extend(log.clone());
        rng.shuffle(&mut log);
        log.iter().for_each(|entry| receive(&mut shuffled, entry));
        assert_eq!(once.print(), shuffled.print());
        assert_eq!(once.vector(), shuffled.vector());
        assert_eq!(once.counts(), shuffled.counts());
    }
}

/// A writer among others, as `node/writes.rs` has it: what it writes goes out whole and as a delta.
struct Writer {
    store: Store,
    seq: u64,
}

impl Writer {
    fn write(&mut self, rng: &mut Rng, n: u64, kind: Kind) -> (Entry, EntryDelta) {
        self.seq += 1 + rng.below(2);
        let standing = self.store.find("kv", b"k").map(|kept| kept.entry.clone());
        let value = standing.as_ref().and_then(|entry| entry.merged.clone());
        let mut value = value.map_or_else(|| Merged::new(kind), |value| (*value).clone());
        let operation = draw_operation(rng, kind, &[value.clone(), value.clone(), value.clone()]);
        let event = ShortDot { writer: node(n).short(), seq: self.seq };
        let change = value.apply(event, &operation).unwrap();
        let stamp = 1 + rng.below(4) + standing.as_ref().map_or(0, |entry| entry.stamp.0);
        let mut entry = plain(n, self.seq, b'k', stamp, None);
        standing.iter().for_each(|standing| entry.overwrite(standing));
        entry.set_merged(value);
        let delta = EntryDelta::of_write(&entry, change).unwrap();
        self.store.apply_durable(entry.clone());
        (entry, delta)
    }
}

/// Rule 4 with deltas: over loss, repetition and any order, a vector covers only writes whose value is
/// there; and once each has met every other's whole entry, all are equal: value, stamp, dot, print.
#[test]
fn deltas_and_values_mixed_claim_what_they_hold_and_end_equal() {
    let (mut applied, mut several) = (0, 0);
    for kind in Kind::ALL {
        let mut rng = Rng::from_u64(300 + u64::from(kind.code()));
        for _ in 0..cases() / PER_HISTORY {
            let mut writers: Vec<Writer> =
                (0..3).map(|_| Writer { store: store(), seq: 0 }).collect();
            let mut log = Vec::new();
            let mut told: Option<EntryDelta> = None;
            for _ in 0..PER_HISTORY {
                let at = rng.index(3);
                if rng.chance(0.5) {
                    let (entry, delta) = writers[at].write(&mut rng, at as u64, kind);
                    let mut with = delta;
                    let joined = told.iter().filter(|_| rng.chance(0.7)).any(|t| with.merge(t));
                    several += usize::from(joined);
                    told = Some(with.clone());
                    log.push((entry, with));
                }
                if log.is_empty() {
                    continue;
                }
                let (entry, delta) = &log[rng.index(log.len())];
                if rng.chance(0.2) {
                    receive(&mut writers[at].store, entry);
                } else {
                    let got = writers[at].store.receive_delta(delta, &mut |_| {});
                    applied += usize::from(got.is_some());
                }
                claims_what_it_holds(&writers[at].store);
            }
            let wholes: Vec<Entry> = writers.iter().filter_map(standing).collect();
            for writer in &mut writers {
                wholes.iter().for_each(|entry| receive(&mut writer.store, entry));
                claims_what_it_holds(&writer.store);
            }
            let prints: Vec<_> = writers.iter().map(|w| w.store.entry_print()).collect();
            assert!(prints.windows(2).all(|pair| pair[0] == pair[1]), "{kind:?}");
        }
    }
    assert!(applied > cases() / 10, "{applied} deltas had a base to build on");
    assert!(several > cases() / 10, "{several} were of more than one write");
}

fn standing(writer: &Writer) -> Option<Entry> {
    writer.store.find("kv", b"k").map(|kept| kept.entry.clone())
}

fn claims_what_it_holds(store: &Store) {
    let Some(kept) = store.find("kv", b"k") else { return };
    let history: &Context = kept.entry.merged.as_ref().expect("it merges").context();
    for origin in store.vector().origins() {
        let upto = store.vector().upto(origin);
        let last = store.vector().beyond(origin).last().map_or(upto, |&(_, to)| to);
        assert!(last <= history.upto(origin.short()), "the vector claims {origin:?} up to {last}");
    }
}

/// Row D6: what a write to a value of 10^4 elements costs on the wire, as a delta and whole.
#[test]
fn a_delta_of_ten_thousand_elements_is_small() {
    let key = HashKey::for_cluster("laws");
    let element = |n: u64| format!("element-{n:06}").into_bytes();
    let mut set = Merged::new(Kind::Set);
    for n in 0..10_000 {
        let event = ShortDot { writer: node(n % 5).short(), seq: n + 1 };
        set.apply(event, &Operation::Insert(element(n))).unwrap();
    }
    let mut worst = 0.0f64;
    for operation in [
        Operation::Insert(b"another-one".to_vec()),
        Operation::Insert(element(77)),
        Operation::Remove(element(4_000)),
    ] {
        let mut value = set.clone();
        let mut entry = plain(1, 20_000, b'k', 9, None);
        let event = ShortDot { writer: node(1).short(), seq: 20_000 };
        let change = value.apply(event, &operation).unwrap();
        entry.set_merged(value);
        let (mut whole, mut delta) = (Vec::new(), Vec::new());
        entry.put(&mut whole, &key, Time::ZERO);
        EntryDelta::of_write(&entry, change).unwrap().put(&mut delta, &key);
        println!("{operation:?}: {} bytes of {}", delta.len(), whole.len());
        worst = worst.max(delta.len() as f64 / whole.len() as f64);
    }
    assert!(worst <= 0.001, "{worst}: the bar is 0.05");
}

/// A key at one server with one version vector for all its siblings, as stores had it before dots: a
/// write whose reader had not seen everything joins the siblings (Preguiça et al. 2012, section 3).
#[derive(Default)]
struct Naive {
    siblings: Vec<u8>,
    version: u64,
}

impl Naive {
    fn write(&mut self, value: u8, read: u64) {
        if read >= self.version {
            self.siblings.clear();
        }
        self.siblings.push(value);
        self.version += 1;
    }
}

/// Row D8, PAPERS 10: two clients, fifty reads and writes each on one key, interleaved so that each
/// writes over what it read before the other's last write. One version vector for the key keeps all
/// hundred values, dots keep the two that are concurrent.
#[test]
fn two_interleaved_clients_leave_two_siblings_and_not_a_hundred() {
    let (mut dotted, mut naive) = (Merged::new(Kind::Register), Naive::default());
    let mut read = [(Context::default(), 0), (Context::default(), 0)];
    for round in 0..100u8 {
        let client = usize::from(round % 2);
        let (context, version) = read[client].clone();
        let operation = Operation::Assign { value: vec![round], read: Some(context) };
        dotted.apply(next(&dotted, 7), &operation).unwrap();
        naive.write(round, version);
        read[client] = (dotted.context().clone(), naive.version);
    }
    assert_eq!((dotted.siblings().count(), naive.siblings.len()), (2, 100));
}

/// PAPERS 10: what a key with five replicas keeps beside its data: at most 60 bytes where one write
/// stands. A counter or bound keeps a share of each writer's, and three bytes for each of these.
#[test]
fn five_replicas_cost_at_most_sixty_bytes_a_key() {
    let operation = |kind, n: u8| match kind {
        Kind::Register => Operation::Assign { value: vec![n], read: None },
        Kind::Counter => Operation::Add(1),
        Kind::Set => Operation::Insert(b"x".to_vec()),
        Kind::Flag => Operation::Enable,
        Kind::Max | Kind::Min => Operation::Offer(i64::from(n)),
        Kind::Map => Operation::Field {
            name: b"f".to_vec(),
            kind: Kind::Flag,
            operation: Box::new(Operation::Enable),
        },
    };
    for kind in Kind::ALL {
        let mut value = Merged::new(kind);
        for n in 0..5u8 {
            // Each of the five has written a thousand times, to this key and others.
            let event = ShortDot { writer: node(u64::from(n) << 40).short(), seq: 1_000 };
            value.apply(event, &operation(kind, n)).unwrap();
        }
        let (data, bar) = match kind {
            Kind::Counter | Kind::Max | Kind::Min => (5 * 8, 54 + 5 * 3),
            Kind::Register | Kind::Set => (1, 60),
            Kind::Flag => (0, 60),
            Kind::Map => (2, 60),
        };
        let metadata = value.size() - data;
        println!("{kind:?}: {metadata} bytes");
        assert!(metadata <= bar, "{kind:?}: {metadata} bytes");
    }
}
