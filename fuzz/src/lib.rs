//! Decides what fuzzing means here: for each decoder a function that must hold for any bytes, and
//! the valid messages that fuzzing starts from.
//!
//! `cargo fuzz run NAME` and `crates/proto/tests/corpus.rs` call the same functions, so the corpus
//! is a test that needs no tool.

pub mod choices;
pub mod decoders;
pub mod machine;
pub mod reseal;
pub mod samples;

/// One thing to fuzz: `run` panics if the bytes break a promise.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Valid inputs, to be mutated.
    pub samples: fn() -> Vec<Vec<u8>>,
}

const fn target(name: &'static str, run: fn(&[u8]), samples: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, samples }
}

pub const TARGETS: [Target; 22] = [
    target("packet", decoders::packet, samples::packets),
    target("frames", decoders::frames, samples::frames),
    target("facts", decoders::facts, samples::facts),
    target("member", decoders::member, samples::members),
    target("accusation", decoders::accusation, samples::accusations),
    target("probe", decoders::probe, samples::probes),
    target("heartbeats", decoders::heartbeats, samples::heartbeats),
    target("entry", decoders::entry, samples::entries),
    target("entry_delta", decoders::entry_delta, samples::entry_deltas),
    target("advert", decoders::advert, samples::adverts),
    target("event", decoders::event, samples::events),
    target("member_digest", decoders::member_digest, samples::member_digests),
    target("vectors", decoders::vectors, samples::vectors),
    target("delta", decoders::delta, samples::deltas),
    target("comparison", decoders::comparison, samples::comparisons),
    target("receipt", decoders::receipt, samples::receipts),
    target("forgetting", decoders::forgetting, samples::forgettings),
    target("tree_page", decoders::tree_page, samples::tree_pages),
    target("filter", decoders::filter, samples::filters),
    target("claim", decoders::claim, samples::claims),
    target("disk", decoders::disk, samples::disks),
    target("node", machine::node, samples::nodes),
];

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|t| t.name == name);
    (target.expect("the name of a target").run)(data);
}
