//! Decides how question 14 is answered: how Cassandra, Consul and the others really use gossip, and
//! whether detection and membership can be tuned apart.

use std::collections::BTreeMap;

use tidings_proto::{Config, NodeId, Time};

use super::cluster::{ms, rested, secs};
use super::{Question, exactly, row, table};
use crate::network::{Conditions, Latency};
use crate::paper::{Bar, Table};
use crate::work::Work;
use crate::world::WorldConfig;

pub(super) const QUESTION: Question = Question {
    number: 14,
    asked: "Cassandra and Consul both use gossip: compare their use and implementation.",
    article_says: "Cassandra's failure detection uses a separate Gossiper instance; Consul uses \
                   gossip for membership, failure detection and distributed lock leasing.",
    true_answer: "Cassandra has one Gossiper that feeds one FailureDetector; Scylla has a separate \
                  detector. Consul's locks and leader election are Raft; gossip only invalidates \
                  sessions through serfHealth. A separation is worth having: in the core, other \
                  settings of membership change 0 of the detector's figures, to the nanosecond, \
                  while the detector's own settings change them.",
    run,
};

const NODES: usize = 40;
const VICTIM: usize = 11;

fn run(work: &Work<'_>) -> Table {
    let lan = Config::lan();
    let cases = [
        lan.clone(),
        Config { seed_every: 3, forget_after: secs(600), recontacts: 9, ..lan.clone() },
        Config { pause_tolerated: secs(2), ..lan.clone() },
        Config { probe_period: secs(2), ..lan },
    ];
    let found = work.map("question 14", &cases, |config| detect(work.seed, config));
    let found: Vec<Detected> = found.into_iter().flatten().collect();
    let mut rows = Vec::new();
    if let [first, membership, pause, probe] = &found[..] {
        let figures = first.figures().len() as f64;
        rows = vec![
            row("figures of the detector compared", figures, Bar::AtLeast(NODES as f64)),
            row("changed by membership's settings", first.changed(membership), exactly(0.0)),
            row(
                "changed by the tolerated pause",
                first.changed(pause),
                Bar::AtLeast(NODES as f64 / 2.0),
            ),
            row(
                "changed by the probe period",
                first.changed(probe),
                Bar::AtLeast(NODES as f64 / 2.0),
            ),
        ];
    }
    table("Detection apart from membership", NOTES, rows)
}

const NOTES: &[&str] = &[
    "The core, 40 members, one of them falls silent; compared are probes, acks, suspicions and \
     accusations of every member, and when each declared the silent one failed. Membership: seeds \
     every 3 rounds instead of 10, forgetting after 600 s instead of 72 h, 9 recontacts a period \
     instead of 3.",
    "Wrong in the article: etcd uses gossip (Raft only; its discovery URL is bootstrap). \
     Kubernetes is gossip-style (kubelets write leases to the API server, over Raft). DynamoDB \
     gossips membership (that is Dynamo of 2007). Cassandra uses HLC (wall clock microseconds; HLC \
     only in Accord). system.peers has gossip_state, state and load (it has not; see \
     system_views.gossip_info).",
    "Wrong in the articles: Cassandra propagates its schema by gossip (only the schema's version; \
     from TCM on a log). Consensus tolerates faults fully (half less one). SWIM is by Das and \
     Chandra (Das, Gupta, Motivala); Demers et al. wrote 'Epidemic Algorithms for Replicated \
     Database Maintenance'.",
];

/// What the detectors of all members did.
struct Detected {
    /// By member: probes, acks, suspicions, accusations.
    counters: Vec<[u64; 4]>,
    verdicts: BTreeMap<(usize, NodeId), Time>,
}

impl Detected {
    fn figures(&self) -> Vec<u64> {
        let verdicts = self.verdicts.values().map(|at| at.0);
        self.counters.iter().flatten().copied().chain(verdicts).collect()
    }

    fn changed(&self, other: &Detected) -> f64 {
        let (mine, theirs) = (self.figures(), other.figures());
        let differ = mine.iter().zip(&theirs).filter(|(a, b)| a != b).count();
        (differ + mine.len().abs_diff(theirs.len())) as f64
    }
}

fn detect(seed: u64, config: &Config) -> Detected {
    // A constant latency: one more packet anywhere must not shift the delays of all others.
    let conditions = Conditions { latency: Latency::Constant(ms(1)), ..Conditions::lan() };
    let weather = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = rested(seed, weather, NODES, config);
    world.split_off([VICTIM]);
    // Until the verdict: what membership does with the failed one comes after detection.
    world.run_for(secs(12));
    let counters = world.up().filter(|&h| h != VICTIM).map(|h| {
        let s = world.node(h).stats();
        // A recontact of a failed member is membership's probe.
        [s.probes_sent - s.recontacts, s.probes_acked, s.suspicions, s.accusations_sent]
    });
    let verdicts = world.seen().first_failed.iter().filter(|((o, _), _)| *o != VICTIM);
    Detected { counters: counters.collect(), verdicts: verdicts.map(|(k, t)| (*k, *t)).collect() }
}
