//! Rule 8 for every decoder and for a whole node: the committed corpus of `fuzz/`, and mutations of
//! it, through the same functions that cargo-fuzz calls. Needs no tool.
//!
//! `SOAK=1` mutates fifty times as much; `WRITE_CORPUS=1` writes the corpus anew from the samples.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tidings_proto::base::rng::Rng;

mod meter;
#[path = "../../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, dead_code)] // a crate of its own elsewhere
mod targets;

use targets::{TARGETS, Target};

/// Mutations per decoder; a run of the whole node costs a hundred times as much.
const DECODER_MUTATIONS: u64 = 20_000;
const NODE_MUTATIONS: u64 = 15_000;
/// What a decoder and the encoding of what it read may hold for each byte of input, and in any case.
const HELD_PER_BYTE: usize = 64;
const HELD_ANYWAY: usize = 64 * 1024;
/// What a node and one packet of any kind may hold.
const NODE_HELD: usize = 16 * 1024 * 1024;

fn corpus_of(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name)
}

fn committed(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus_of(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut inputs: Vec<_> = files
        .map(|file| {
            let path = file.expect("a readable folder").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a readable file"))
        })
        .collect();
    inputs.sort();
    inputs
}

/// Runs one input; a failure prints it, so that it can become a file of the corpus.
fn run(target: &Target, input: &[u8], origin: &str) {
    let mut outcome = Ok(());
    let held = meter::most_held(|| {
        outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(drop);
    });
    let most = match target.name {
        "node" => NODE_HELD,
        _ => HELD_ANYWAY + HELD_PER_BYTE * input.len(),
    };
    let hex = || input.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(outcome.is_ok(), "{} broke on {origin}, see above; input {}", target.name, hex());
    assert!(held <= most, "{} held {held} bytes on {origin}; input {}", target.name, hex());
}

#[test]
fn the_corpus_breaks_no_promise() {
    if std::env::var_os("WRITE_CORPUS").is_some() {
        write_corpus();
    }
    for target in &TARGETS {
        let inputs = committed(target);
        assert!((10..=90).contains(&inputs.len()), "{}: {} files", target.name, inputs.len());
        for (name, input) in inputs {
            run(target, &input, &name);
        }
    }
}

/// Samples are what they seem: most of a random input is refused at its first field, so fuzzing
/// from invalid samples would test little.
#[test]
fn valid_samples_break_no_promise() {
    for target in &TARGETS {
        for (n, input) in (target.samples)().iter().enumerate() {
            run(target, input, &format!("sample {n}"));
        }
    }
}

#[test]
fn mutations_of_decoders_break_no_promise() {
    for target in TARGETS.iter().filter(|t| t.name != "node") {
        mutate_all(target, DECODER_MUTATIONS);
    }
}

#[test]
fn mutations_of_a_nodes_life_break_no_promise() {
    for target in TARGETS.iter().filter(|t| t.name == "node") {
        mutate_all(target, NODE_MUTATIONS);
    }
}

fn mutate_all(target: &Target, rounds: u64) {
    let soak = if std::env::var_os("SOAK").is_some() { 50 } else { 1 };
    let mut inputs: Vec<Vec<u8>> = committed(target).into_iter().map(|(_, input)| input).collect();
    inputs.extend((target.samples)());
    for round in 0..rounds * soak {
        let mut rng = Rng::from_u64(round);
        let mut input = inputs[rng.index(inputs.len())].clone();
        for _ in 0..1 + rng.below(4) {
            mutate(&mut input, &inputs, &mut rng);
        }
        run(target, &input, &format!("mutation {round}"));
    }
}

/// Fuzzing a node is worth its time only if it gets far: nearly every counter moves.
#[test]
fn the_corpus_of_a_node_gets_far() {
    let mut moved = std::collections::BTreeMap::new();
    for target in TARGETS.iter().filter(|t| t.name == "node") {
        for (_, input) in committed(target) {
            for (name, count) in targets::machine::live(&input).each() {
                *moved.entry(name).or_insert(0) += count;
            }
        }
    }
    // What only a flood moves is in `hostile.rs` and the simulator's `overload.rs`; what only the tree does,
    // which these lives do not use, in its `tree.rs`.
    let elsewhere = ["shed_", "overloaded", "limited_", "drop_limited", "branches_"];
    moved.retain(|name, _| !elsewhere.iter().any(|start| name.starts_with(start)));
    let still: Vec<_> =
        moved.iter().filter(|&(_, &count)| count == 0).map(|(name, _)| name).collect();
    assert!(
        still.len() <= moved.len() / 4,
        "{} of {} stood still: {still:?}",
        still.len(),
        moved.len()
    );
}

/// Values at which lengths, counts and numbers break.
const EDGES: [u64; 9] =
    [0, 1, 0x7f, 0x80, 0xffff, u32::MAX as u64, (1 << 56) - 1, 1 << 56, u64::MAX];

fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.index(input.len() + 1);
    let len = rng.index(input.len() - at + 1).min(1 + rng.index(32));
    let edge = EDGES[rng.index(EDGES.len())];
    match rng.below(9) {
        0 if at < input.len() => input[at] ^= 1 << rng.below(8),
        1 if at < input.len() => input[at] = rng.below(256) as u8,
        2 => input.truncate(at),
        3 => drop(input.drain(at..at + len)),
        4 => {
            let copy = input[at..at + len].to_vec();
            input.splice(at..at, copy);
        }
        5 => {
            let mut varint = Vec::new();
            tidings_proto::wire::codec::put_varint(&mut varint, edge);
            let end = (at + 1).min(input.len());
            input.splice(at..end, varint);
        }
        6 => {
            let end = (at + 8).min(input.len());
            input.splice(at..end, edge.to_le_bytes());
        }
        7 => {
            let other = &others[rng.index(others.len())];
            let from = rng.index(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => input.extend((0..1 + rng.below(40)).map(|_| rng.below(256) as u8)),
    }
}

/// The valid samples, and of each kind some truncated, bit-flipped, spliced and random ones.
fn write_corpus() {
    for target in &TARGETS {
        let folder = corpus_of(target);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a writable tree");
        let samples = (target.samples)();
        let write = |name: String, input: &[u8]| {
            fs::write(folder.join(name), input).expect("a writable tree");
        };
        for (n, sample) in samples.iter().enumerate() {
            write(format!("valid-{n:02}"), sample);
        }
        let mut rng = Rng::from_u64(1);
        for n in 0..6 {
            let sample = &samples[rng.index(samples.len())];
            write(format!("cut-{n}"), &sample[..rng.index(sample.len() + 1)]);
            let mut flipped = sample.clone();
            if !flipped.is_empty() {
                let at = rng.index(flipped.len());
                flipped[at] ^= 1 << rng.below(8);
            }
            write(format!("flipped-{n}"), &flipped);
            let mut mutated = sample.clone();
            for _ in 0..4 {
                mutate(&mut mutated, &samples, &mut rng);
            }
            write(format!("mutated-{n}"), &mutated);
        }
        for n in 0..2u64 {
            let random: Vec<u8> = (0..30 * (n + 1)).map(|_| rng.below(256) as u8).collect();
            write(format!("random-{n}"), &random);
        }
    }
}
