//! Decides the rows: what is compared with what, at which size, under which bar.

use chitchat::ProtocolVersion::{self, V0, V1};
use tidings_proto::anti_entropy::merkle::{self, Page, Span, Walk};
use tidings_proto::anti_entropy::sketch::{self, Decoder, Prefix};
use tidings_proto::base::hash::{Fingerprint, HashKey};
use tidings_proto::base::rng::Rng;

use crate::measure::{Bar, Row, Sample, repeat};
use crate::ours::{Link, Pairs, idle};
use crate::{scuttlebutt, search_tree};

pub struct Scale {
    curve: &'static [usize],
    nodes: &'static [usize],
    taken: &'static [usize],
    elements: usize,
    differences: usize,
    repeats: usize,
}

pub const FULL: Scale = Scale {
    curve: &[1, 10, 100, 1000, 10_000, 100_000],
    nodes: &[50, 500, 1000],
    taken: &[10_000, 100_000],
    elements: 1_000_000,
    differences: 1000,
    repeats: 5,
};
/// Shows that everything runs; its figures mean little.
pub const QUICK: Scale = Scale {
    curve: &[1, 10, 100],
    nodes: &[50],
    taken: &[1000],
    elements: 20_000,
    differences: 100,
    repeats: 2,
};

const KEYS_PER_NODE: usize = 10;
const VALUE_BYTES: usize = 100;
const PAGE: usize = 2 * 1024 * 1024;
const SYMBOLS: u64 = 1000;

/// Parts that can be measured alone.
pub const PARTS: [&str; 6] = ["idle", "taken", "curve", "differences", "symbols", "writes"];

pub fn measure(part: &str, scale: &Scale, give: &mut dyn FnMut(Row)) {
    match part {
        "idle" => scale.nodes.iter().for_each(|&nodes| at_rest(nodes, scale.repeats, give)),
        "taken" => scale.taken.iter().for_each(|&keys| taken_in(keys, scale.repeats, give)),
        "curve" => curve(scale, give),
        "differences" => differences(scale, give),
        "symbols" => sketches(scale, give),
        "writes" => writes(scale, give),
        other => unreachable!("{other:?} is no part"),
    }
}

/// Values as text that compresses to three quarters at best: letters and digits at random.
fn pairs(rng: &mut Rng, n: usize, of: usize) -> Pairs {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let letter = |rng: &mut Rng| char::from(LETTERS[rng.index(64)]);
    let value = |rng: &mut Rng| (0..VALUE_BYTES).map(|_| letter(rng)).collect();
    (0..n).map(|at| (format!("node-{of:05}/key-{at:06}"), value(rng))).collect()
}

fn keys_of(i: usize) -> Pairs {
    pairs(&mut Rng::from_u64(i as u64), KEYS_PER_NODE, i)
}

fn at_rest(nodes: usize, repeats: usize, give: &mut dyn FnMut(Row)) {
    let mut link = Link::among(nodes, keys_of);
    let (bytes, time) = idle(&mut link, repeats);
    drop(link);
    for (version, how) in [(V0, "plain"), (V1, "compressed")] {
        let (mut a, mut b) = scuttlebutt::pair(nodes, keys_of, version);
        let (peer_time, peer_bytes) = exchanges(&mut a, &mut b, version, repeats);
        let row = |what, unit, ours: &Sample, peer, bar| Row {
            name: format!("idle exchange, {nodes} nodes, chitchat {how}: {what}"),
            unit,
            ours: ours.clone(),
            peer: Some(peer),
            bar,
        };
        let bar = if nodes >= 1000 { Bar::Ratio(0.1) } else { Bar::Shown };
        give(row("bytes", "B", &bytes, peer_bytes, bar));
        give(row("CPU", "ns", &time, peer_time, Bar::Ratio(0.5)));
    }
}

fn exchanges(
    a: &mut chitchat::Chitchat,
    b: &mut chitchat::Chitchat,
    version: ProtocolVersion,
    repeats: usize,
) -> (Sample, Sample) {
    const TIMES: usize = 20;
    let (total, bytes) =
        repeat(repeats, || (), |()| (0..TIMES).map(|_| scuttlebutt::exchange(a, b, version)).max());
    (total.per(TIMES), Sample::count(bytes.expect("there were exchanges")))
}

fn taken_in(keys: usize, repeats: usize, give: &mut dyn FnMut(Row)) {
    let written = pairs(&mut Rng::from_u64(7), keys, 1);
    let (time, link) = repeat(
        repeats,
        || Link::apart(&written),
        |mut link| {
            link.take_in(keys);
            link
        },
    );
    let bytes = Sample::count(link.bytes);
    let set_up =
        || (scuttlebutt::node(0, Vec::new(), V1), scuttlebutt::node(1, written.clone(), V1));
    let (peer_time, peer_bytes) = repeat(repeats, set_up, |(mut a, mut b)| {
        let mut bytes = 0;
        while scuttlebutt::held(&a, 2).1 < keys {
            bytes += scuttlebutt::exchange(&mut a, &mut b, V1);
        }
        bytes
    });
    let name = |what| format!("taking in {keys} keys of {VALUE_BYTES} bytes: {what}");
    let peer = Some(peer_time);
    give(Row { name: name("CPU of both"), unit: "ns", ours: time, peer, bar: Bar::Ratio(1.0) });
    let peer = Some(Sample::count(peer_bytes));
    give(Row { name: name("bytes"), unit: "B", ours: bytes, peer, bar: Bar::Shown });
}

fn element(rng: &mut Rng) -> u128 {
    u128::from(rng.u64()) << 64 | u128::from(rng.u64())
}

fn elements(rng: &mut Rng, n: usize) -> Vec<u128> {
    (0..n).map(|_| element(rng)).collect()
}

fn tree_of(elements: &[u128]) -> merkle::Tree {
    let mut tree = merkle::Tree::new();
    for (slot, &element) in elements.iter().enumerate() {
        tree.insert(element, slot as u32);
    }
    tree.root();
    tree
}

/// Two sets with `differences` elements that only one of them has, half on each side.
struct Sets {
    common: Vec<u128>,
    own: [Vec<u128>; 2],
}

impl Sets {
    fn new(scale: &Scale) -> Sets {
        let mut rng = Rng::from_u64(1);
        let common = elements(&mut rng, scale.elements);
        let own = [0, 1].map(|_| elements(&mut rng, scale.differences / 2));
        Sets { common, own }
    }

    fn count(&self) -> usize {
        self.own[0].len() + self.own[1].len()
    }
}

/// What is sent to find `d` differences, of which each side has half: means of several draws.
fn curve(scale: &Scale, give: &mut dyn FnMut(Row)) {
    let mut rng = Rng::from_u64(4);
    let common = elements(&mut rng, scale.elements);
    let mut trees = [tree_of(&common), tree_of(&common)];
    let most = scale.curve.iter().max().expect("a curve");
    let mut prefix = Prefix::new(3 * most / 2 + 200);
    common.iter().for_each(|&e| prefix.toggle(merkle::head(e), &key()));
    for &d in scale.curve {
        let draws = (1000 / d).clamp(2, 50);
        let (mut symbols, mut pages, mut trips) = (0, 0, 0);
        for _ in 0..draws {
            let own = [elements(&mut rng, d.div_ceil(2)), elements(&mut rng, d / 2)];
            symbols += symbols_needed(&prefix, &own);
            let (bytes, round_trips) = walked(&mut trees, &own);
            pages += bytes;
            trips = trips.max(round_trips);
        }
        let row = |how, unit, ours, bar| Row {
            name: format!("d = {d} in {} keys: {how}", scale.elements),
            unit,
            ours: Sample::count(ours),
            peer: None,
            bar,
        };
        let sketch = symbols * sketch::SYMBOL_BYTES / draws;
        give(row("sketch, bytes", "B", sketch, sketch_bar(d)));
        give(row("tree, bytes", "B", pages / draws, tree_bar(d)));
        let bar = if d <= 10 { Bar::Limit(3.0) } else { Bar::Shown };
        give(row("tree, round trips", "", trips, bar));
    }
}

/// PAPERS 8, "must show".
fn sketch_bar(d: usize) -> Bar {
    match d {
        1 => Bar::Limit(100.0),
        100 => Bar::Limit(2_500.0),
        1000 => Bar::Limit(24_000.0),
        10_000 => Bar::Limit(240_000.0),
        100_000 => Bar::Limit(2_500_000.0),
        _ => Bar::Shown,
    }
}

/// Rows M2 and M3.
fn tree_bar(d: usize) -> Bar {
    match d {
        1 => Bar::Limit(4_000.0),
        10 => Bar::Limit(40_000.0),
        _ => Bar::Shown,
    }
}

fn symbols_needed(common: &Prefix, own: &[Vec<u128>; 2]) -> usize {
    let [ours, theirs] = own.each_ref().map(|own| {
        let mut prefix = common.clone();
        own.iter().for_each(|&e| prefix.toggle(merkle::head(e), &key()));
        prefix
    });
    let mut decoder = Decoder::new(key());
    for (&theirs, &ours) in theirs.symbols().iter().zip(ours.symbols()) {
        decoder.push(theirs, ours);
        if decoder.is_done() {
            break;
        }
    }
    assert!(decoder.is_done(), "the symbols do not suffice");
    decoder.len()
}

fn walked(trees: &mut [merkle::Tree; 2], own: &[Vec<u128>; 2]) -> (usize, usize) {
    for (tree, own) in trees.iter_mut().zip(own) {
        own.iter().for_each(|&e| drop_then_add(tree, e));
    }
    let [a, b] = trees;
    let (found, bytes, round_trips) = walk(a, b);
    assert_eq!(found.ours().len() + found.theirs().len(), own[0].len() + own[1].len());
    for (tree, own) in trees.iter_mut().zip(own) {
        own.iter().for_each(|&e| assert!(tree.remove(e).is_some()));
    }
    (bytes, round_trips)
}

fn differences(scale: &Scale, give: &mut dyn FnMut(Row)) {
    let sets = Sets::new(scale);
    let (mst_build, mst_find, (mst_bytes, mst_asked)) = by_search_tree(&sets, scale.repeats);
    let (build, tree_find, tree_bytes) = by_tree(&sets, scale.repeats);
    let (sketch_find, sketch_bytes) = by_sketch(&sets, scale.repeats);
    let name = |what| format!("{} differences in {} keys, {what}", sets.count(), scale.elements);
    let row = |what, unit, ours, peer: &Sample, bar| Row {
        name: name(what),
        unit,
        ours,
        peer: Some(peer.clone()),
        bar,
    };
    let bytes = Sample::count(mst_bytes);
    let asked = Sample::count(mst_asked);
    give(row("sketch: bytes", "B", Sample::count(sketch_bytes), &bytes, Bar::Limit(24_000.0)));
    give(row("sketch: CPU to find them", "ns", sketch_find, &mst_find, Bar::Limit(5e6)));
    give(row("tree: bytes", "B", Sample::count(tree_bytes), &bytes, Bar::Ratio(1.0)));
    give(row("tree: CPU to find them", "ns", tree_find, &mst_find, Bar::Shown));
    give(row("keys asked for", "keys", Sample::count(sets.count()), &asked, Bar::Ratio(1.0)));
    give(row("tree: CPU to build it", "ns", build, &mst_build, Bar::Ratio(1.0)));
}

fn by_search_tree(sets: &Sets, repeats: usize) -> (Sample, Sample, (usize, usize)) {
    let (build, tree) = repeat(1, || (), |()| search_tree::tree_of(&sets.common));
    let mut keys: Vec<_> =
        sets.common.iter().chain(&sets.own[1]).map(|&e| search_tree::key(e)).collect();
    keys.sort_unstable();
    let set_up = || {
        let mut pair = [tree.clone(), tree.clone()];
        for (tree, own) in pair.iter_mut().zip(&sets.own) {
            own.iter().for_each(|&e| tree.upsert(search_tree::key(e), &1));
        }
        pair
    };
    let (find, found) =
        repeat(repeats, set_up, |[mut a, mut b]| search_tree::compare(&mut a, &mut b, &keys));
    (build, find, found)
}

fn by_tree(sets: &Sets, repeats: usize) -> (Sample, Sample, usize) {
    let (build, tree) = repeat(1, || (), |()| tree_of(&sets.common));
    drop(tree);
    let mut pair = [tree_of(&sets.common), tree_of(&sets.common)];
    let mut find = Sample::default();
    let mut bytes = 0;
    for _ in 0..repeats {
        for (tree, own) in pair.iter_mut().zip(&sets.own) {
            // The same elements again: what they touch is hashed anew, as after a write.
            own.iter().for_each(|&e| drop_then_add(tree, e));
        }
        let [a, b] = &mut pair;
        let (time, (walk, sent, _)) = repeat(1, || (), |()| walk(a, b));
        assert_eq!(walk.ours().len() + walk.theirs().len(), sets.count());
        find.push(time.least());
        bytes = sent;
    }
    (build, find, bytes)
}

fn drop_then_add(tree: &mut merkle::Tree, element: u128) {
    tree.remove(element);
    tree.insert(element, 0);
}

/// A whole walk, every page written and read again.
fn walk(ours: &mut merkle::Tree, theirs: &mut merkle::Tree) -> (Walk, usize, usize) {
    let (mut walk, mut bytes, mut round_trips) = (Walk::new(ours, Span::ALL), 0, 0);
    while !walk.is_done() {
        round_trips += 1;
        let request = carry(&walk.request(ours, PAGE), &mut bytes);
        let answer = carry(&merkle::answer(theirs, &request, PAGE), &mut bytes);
        walk.answered(ours, &answer).expect("an honest peer");
    }
    (walk, bytes, round_trips)
}

fn carry(page: &Page, bytes: &mut usize) -> Page {
    let mut out = Vec::new();
    page.put(&mut out);
    *bytes += out.len();
    Page::read(&mut tidings_proto::wire::codec::Reader::new(&out)).expect("what was written")
}

fn key() -> HashKey {
    HashKey::for_cluster("bench")
}

fn by_sketch(sets: &Sets, repeats: usize) -> (Sample, usize) {
    let all = 0..2 * sets.count() as u64 + 100;
    let [ours, theirs] = [0, 1].map(|side| {
        let heads = sets.common.iter().chain(&sets.own[side]).map(|&e| merkle::head(e));
        sketch::symbols(heads, all.clone(), &key())
    });
    let (find, decoder) = repeat(
        repeats,
        || Decoder::new(key()),
        |mut decoder| {
            for (&theirs, &ours) in theirs.iter().zip(&ours) {
                decoder.push(theirs, ours);
                if decoder.is_done() {
                    break;
                }
            }
            decoder
        },
    );
    assert!(decoder.is_done() && decoder.found().len() == sets.count());
    (find, decoder.len() * sketch::SYMBOL_BYTES)
}

fn sketches(scale: &Scale, give: &mut dyn FnMut(Row)) {
    let set = elements(&mut Rng::from_u64(2), scale.elements);
    let heads = || set.iter().map(|&e| merkle::head(e));
    let (time, _) = repeat(scale.repeats, || (), |()| sketch::symbols(heads(), 0..SYMBOLS, &key()));
    let name = format!("{SYMBOLS} symbols of {} keys: CPU", scale.elements);
    give(Row { name, unit: "ns", ours: time, peer: None, bar: Bar::Limit(0.3e9) });
}

/// What a write to a known key costs beside the store: prints out and in, tree, and where a sketch is
/// cached its symbols.
fn writes(scale: &Scale, give: &mut dyn FnMut(Row)) {
    let n = scale.elements.min(100_000);
    let mut rng = Rng::from_u64(3);
    let old = elements(&mut rng, scale.elements);
    let mut tree = tree_of(&old);
    let (value, mut sum) = ([7u8; VALUE_BYTES], Fingerprint::default());
    let (mut time, mut symbol_time) = (Sample::default(), Sample::default());
    let mut standing = old[..n].to_vec();
    let mut prefix = Prefix::new(SYMBOLS as usize);
    for round in 0..scale.repeats as u64 {
        let (spent, ()) = repeat(
            1,
            || (),
            |()| {
                for (at, element) in standing.iter_mut().enumerate() {
                    let print = key().wide(0, &[&value, &[round as u8], &at.to_le_bytes()]);
                    sum -= *element;
                    sum += print;
                    let slot = tree.remove(*element).expect("it stands");
                    tree.insert(print, slot);
                    *element = print;
                }
            },
        );
        time.push(spent.least() / n as f64);
        let heads = &standing[..n / 10];
        let (spent, ()) = repeat(
            1,
            || (),
            |()| heads.iter().for_each(|&e| prefix.toggle(merkle::head(e), &key())),
        );
        symbol_time.push(2.0 * spent.least() / heads.len() as f64);
    }
    assert_eq!(tree.len(), old.len());
    let mut search = search_tree::tree_of(&old);
    let (peer, ()) = repeat(
        scale.repeats,
        || (),
        |()| {
            for (at, &element) in old[..n].iter().enumerate() {
                search.upsert(search_tree::key(element), &(at as u64));
            }
        },
    );
    let name = |what| format!("a write among {} keys: {what}", scale.elements);
    let (peer, bar) = (Some(peer.per(n)), Bar::Limit(2000.0));
    give(Row { name: name("fingerprint and tree"), unit: "ns", ours: time, peer, bar });
    let name = name("1,000 cached symbols");
    give(Row { name, unit: "ns", ours: symbol_time, peer: None, bar: Bar::Shown });
    tree.root();
    search.root_hash();
    let mut roots = Sample::default();
    for _ in 0..100 {
        drop_then_add(&mut tree, standing[0]);
        roots.push(repeat(1, || (), |()| tree.root()).0.least());
    }
    let (search_roots, ()) = repeat(
        100,
        || (),
        |()| {
            search.upsert(search_tree::key(old[0]), &3);
            search.root_hash();
        },
    );
    let name = format!("the root after a write among {} keys", scale.elements);
    let peer = Some(search_roots);
    give(Row { name, unit: "ns", ours: roots, peer, bar: Bar::Ratio(1.0) });
}
