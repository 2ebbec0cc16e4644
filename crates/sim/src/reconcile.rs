//! Decides how two replicas that differ are made, and what it costs them to become equal: two real
//! cores that compare when a probe shows another sum. Which of them asks is the probe's doing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidings_proto::base::clocks::{Dot, Hlc, VersionVector};
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::rng::Rng;
use tidings_proto::config::Reconciliation;
use tidings_proto::io::Stats;
use tidings_proto::limits::VECTOR_ORIGINS_MAX;
use tidings_proto::membership::known::Known;
use tidings_proto::state::disk::{self, Reserved};
use tidings_proto::state::entry::{Entry, Superseded};
use tidings_proto::{Config, NodeId, Now, Snapshot, Time};

use crate::world::{World, WorldConfig};

pub mod page;

/// Keys that `tidings sim reconcile` takes: two stores and what they are made from fit 4 GB.
pub const KEYS_MAX: usize = 2_000_000;
/// Writers of which each wrote about as many of the keys, unless said otherwise.
const KEYS_PER_WRITER: usize = 100;
const BOTH: [usize; 2] = [0, 1];
/// Virtual time after which two replicas that still differ are given up.
const WITHIN: Duration = Duration::from_secs(600);

/// Two replicas, how they differ, and how they may find that out.
#[derive(Clone, Debug)]
pub struct Difference {
    pub keys: usize,
    /// Keys that one of the two lacks.
    pub differing: usize,
    pub lacks: Lacks,
    pub writers: usize,
    pub method: Reconciliation,
    pub seed: u64,
}

/// Who lacks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// Each half; the seed draws who lacks the odd one.
    Both,
    /// One of the two. Which of them asks follows from the seed.
    First,
    Second,
}

impl Difference {
    /// As many writers as there are hundreds of keys.
    pub fn writers_for(keys: usize) -> usize {
        (keys / KEYS_PER_WRITER).clamp(1, VECTOR_ORIGINS_MAX - 2)
    }

    pub fn check(&self) -> Result<(), String> {
        let Difference { keys, differing, writers, .. } = *self;
        if keys == 0 || keys > KEYS_MAX {
            return Err(format!("keys {keys}: expected 1 to {KEYS_MAX}"));
        }
        if differing > keys {
            return Err(format!("diff {differing}: expected at most the {keys} keys"));
        }
        if writers == 0 || writers > VECTOR_ORIGINS_MAX - 2 {
            return Err(format!("writers {writers}: expected 1 to {}", VECTOR_ORIGINS_MAX - 2));
        }
        Ok(())
    }
}

/// What it cost, both ways and both nodes together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub bytes: u64,
    /// Without the entries that one of the two lacked, as encoded.
    pub metadata_bytes: u64,
    pub round_trips: u64,
    /// Entries that the one lacked that asked, or asked more often, and the other.
    pub asker_lacked: usize,
    pub asked_lacked: usize,
    /// How the difference was found in the end.
    pub method: &'static str,
    pub symbols: u64,
    pub took: Duration,
}

/// Two replicas before they compare.
pub struct Replicas {
    world: World,
    lacking: [usize; 2],
    lacking_bytes: u64,
    requests_before: [u64; 2],
}

impl Replicas {
    pub fn new(difference: &Difference) -> Replicas {
        let config = Config { reconciliation: difference.method, rumours: false, ..Config::lan() };
        let world_config = WorldConfig { checks: false, ..WorldConfig::default() };
        let mut world = World::new(difference.seed, world_config);
        ["one", "other"].iter().for_each(|name| {
            world.place(name, config.clone());
        });
        let facts = world.converged_facts(&BOTH);
        let cluster = world.cluster(BOTH[0]).to_owned();
        let known = Arc::new(Known::new(&cluster, facts.to_vec()));
        let (mut lacking, mut lacking_bytes) = ([0; 2], 0);
        for host in BOTH {
            let (pairs, lacked) = pairs_of(difference, host, &HashKey::for_cluster(&cluster));
            lacking[host] = lacked.len();
            lacking_bytes += lacked.iter().sum::<u64>();
            world.boot(host, Snapshot { pairs, members: Some(Arc::clone(&known)) });
        }
        let requests_before = requests(&world);
        Replicas { world, lacking, lacking_bytes, requests_before }
    }

    /// Runs until both are equal, or says how they differ.
    pub fn reconcile(&mut self) -> Result<Cost, String> {
        let world = &mut self.world;
        let started = world.now();
        let every = Duration::from_millis(5);
        world.run_while(WITHIN, every, |w| {
            let open = BOTH.iter().any(|&host| w.calls_open(host) > 0);
            state_print(w, 0) != state_print(w, 1) || open
        });
        equal(world)?;
        let sum = |count: fn(&Stats) -> u64| -> u64 {
            BOTH.iter().map(|&host| count(world.node(host).stats())).sum()
        };
        let after = requests(world);
        let asked = BOTH.map(|host| after[host] - self.requests_before[host]);
        let asker = usize::from(asked[1] > asked[0]);
        let bytes = sum(|s| s.bytes_digest + s.bytes_sketch + s.bytes_delta);
        Ok(Cost {
            bytes,
            metadata_bytes: bytes.saturating_sub(self.lacking_bytes),
            round_trips: asked.iter().sum(),
            asker_lacked: self.lacking[asker],
            asked_lacked: self.lacking[1 - asker],
            method: method(world),
            symbols: sum(|s| s.sketch_symbols),
            took: world.now().since(started),
        })
    }
}

/// The last rung that was needed.
fn method(world: &World) -> &'static str {
    let rungs: [(fn(&Stats) -> u64, &str); 4] = [
        (|s| s.sessions_digest, "digest"),
        (|s| s.sessions_merkle, "merkle"),
        (|s| s.sessions_sketch, "sketch"),
        (|s| s.sessions_single, "single"),
    ];
    let used = |count: fn(&Stats) -> u64| BOTH.iter().any(|&h| count(world.node(h).stats()) > 0);
    rungs.into_iter().find(|&(count, _)| used(count)).map_or("sum", |(_, name)| name)
}

fn requests(world: &World) -> [u64; 2] {
    BOTH.map(|host| world.traffic(host).requests_sent)
}

fn state_print(world: &World, host: usize) -> u128 {
    world.view(host).fingerprints().1
}

/// What a replica has on disk, and the bytes of each entry that it lacks.
fn pairs_of(
    difference: &Difference,
    host: usize,
    key: &HashKey,
) -> (Vec<(Vec<u8>, Vec<u8>)>, Vec<u64>) {
    let Difference { keys, writers, seed, .. } = *difference;
    let mut rng = Rng::from_u64(seed ^ 0x7265_636f);
    let lacking = lacking(&mut rng, difference, host);
    let ids: Vec<NodeId> = (0..writers).map(|_| NodeId(rng.bytes16())).collect();
    let mut next = vec![0u64; writers];
    let mut vector = VersionVector::default();
    let now = Now { mono: Time::ZERO, wall_ms: WorldConfig::default().wall_start_ms };
    let mut pairs = Vec::with_capacity(keys + writers + 1);
    let mut change = |(at, value): disk::Change| {
        pairs.extend(value.map(|value| (at, value)));
    };
    change(disk::reserved_change(Reserved::default()));
    let (mut frame, mut lacked) = (Vec::new(), Vec::new());
    for number in 0..keys {
        let writer = rng.index(writers);
        next[writer] += 1;
        let dot = Dot { origin: ids[writer], seq: next[writer] };
        let entry = entry(number, dot, now.wall_ms, rng.bytes16());
        if lacking.contains(&number) {
            frame.clear();
            entry.put(&mut frame, key, now.mono);
            lacked.push(frame.len() as u64);
            continue;
        }
        vector.add(dot);
        change(disk::entry_change(&entry, key, now));
    }
    ids.iter().for_each(|&id| change(disk::origin_change(&vector, id)));
    (pairs, lacked)
}

/// Which keys a host lacks: the same draw for both, dealt out in turn.
fn lacking(rng: &mut Rng, difference: &Difference, host: usize) -> BTreeSet<usize> {
    let first = rng.index(2);
    let mut drawn = BTreeSet::new();
    let mut mine = BTreeSet::new();
    while drawn.len() < difference.differing {
        let number = rng.index(difference.keys);
        if !drawn.insert(number) {
            continue;
        }
        let by = match difference.lacks {
            Lacks::Both => (drawn.len() + first) % 2,
            Lacks::First => 0,
            Lacks::Second => 1,
        };
        if by == host {
            mine.insert(number);
        }
    }
    mine
}

fn entry(number: usize, dot: Dot, wall_ms: u64, value: [u8; 16]) -> Entry {
    Entry {
        keyspace: "kv".into(),
        key: format!("key/{number:08}").into_bytes().into(),
        value: Some(value.as_slice().into()),
        merged: None,
        stamp: Hlc::new(wall_ms - 1_000_000 + number as u64 % 1000, 0),
        dot,
        group: (dot.seq, 1),
        superseded: Superseded::default(),
        fields: Default::default(),
    }
}

/// Compares the stores themselves, not their sums.
fn equal(world: &World) -> Result<(), String> {
    let [ours, theirs] = BOTH.map(|host| world.view(host));
    if ours.entry_counts() != theirs.entry_counts() {
        let (a, b) = (ours.entry_counts().0, theirs.entry_counts().0);
        return Err(format!("not equal: {a} entries against {b}"));
    }
    for (a, b) in ours.entries("kv", b"").zip(theirs.entries("kv", b"")) {
        if (&a.key, &a.value, a.dot) != (&b.key, &b.value, b.dot) {
            let key = String::from_utf8_lossy(&a.key);
            return Err(format!("not equal: {key} is of {:?} here and {:?} there", a.dot, b.dot));
        }
    }
    if ours.vector() != theirs.vector() {
        return Err("not equal: entries agree, vectors do not".to_owned());
    }
    Ok(())
}
