//! Decides how question 8 is answered: what gossip cannot promise, shown as histories, beside
//! consensus.

use tidings_proto::Config;
use tidings_proto::io::Reply;

use super::cluster::{ms, rested, secs, until};
use super::model::consensus::Log;
use super::model::history::{Action, Operation, is_linearizable};
use super::{Question, exactly, row, table};
use crate::paper::{Bar, Row, Table};
use crate::work::Work;
use crate::world::{World, WorldConfig};

pub(super) const QUESTION: Question = Question {
    number: 8,
    asked: "Why is gossip unsuitable for transactions or strong consistency, and what to use?",
    article_says: "Convergence time is probabilistic: you cannot know when convergence is \
                   complete. Use Raft or Paxos, which provide linearizability.",
    true_answer: "Gossip acknowledges a write that another member does not read: 1 stale read \
                  makes the history non-linearizable. Two sides of a split each withdraw the same \
                  100, so 200 leave an account that held 100; a majority log pays out 100 and \
                  refuses the minority. But one can know afterwards: version vectors prove that \
                  all 5 members have applied a write.",
    run,
};

const NODES: usize = 5;
const MINORITY: [usize; 2] = [0, 1];
const BALANCE: u64 = 100;

fn run(work: &Work<'_>) -> Table {
    let gossip = gossip_register(work.seed);
    let (consensus, refused) = consensus_register();
    let mut rows = vec![
        row("gossip: stale reads after the acknowledgement", stale(&gossip), exactly(1.0)),
        row("gossip: history linearizable (1: yes)", linearizable(&gossip), exactly(0.0)),
        row("consensus: history linearizable (1: yes)", linearizable(&consensus), exactly(1.0)),
        row("consensus: operations refused on the minority side", refused, exactly(2.0)),
    ];
    rows.push(row(
        "gossip: paid out of a balance of 100, both sides of a split",
        gossip_withdrawals(work.seed),
        exactly(200.0),
    ));
    rows.push(row(
        "consensus: paid out of a balance of 100, both sides of a split",
        consensus_withdrawals(),
        exactly(100.0),
    ));
    rows.extend(known_to_all(work.seed));
    table("A register and an account under a split", &notes(&gossip), rows)
}

fn notes(gossip: &[Operation]) -> [&'static str; 2] {
    // The history is one of three operations, whatever the seed.
    assert_eq!(gossip.len(), 3);
    [
        "Gossip: the core, 5 members split 2 to 3. The history: write(1) is acknowledged at a \
         member of the smaller side; later a member there reads 1, and still later one of the \
         larger side reads nothing. No order of the three that keeps real time explains it.",
        "Consensus: a log of single Paxos decrees among the same 5 with the same split. Commit \
         across shards and leader election need it too; a gossip group of keys is atomic on each \
         member only, not between members.",
    ]
}

/// Write on the smaller side, read there, then read on the other.
fn gossip_register(seed: u64) -> Vec<Operation> {
    let mut world = split(seed);
    let write = world.set(MINORITY[0], "x", "1");
    world.run_for(ms(1));
    let acknowledged = matches!(world.reply_to(write), Some(Ok(Reply::Written { .. })));
    assert!(acknowledged, "an eventual write is acknowledged on any side");
    world.run_for(secs(1));
    let read = |host: usize| Action::Read(u64::from(world.get(host, "x").is_some()));
    let operation = |called, action| Operation { called, returned: called + 1, action };
    vec![
        operation(0, Action::Write(1)),
        operation(2, read(MINORITY[1])),
        operation(4, read(NODES - 1)),
    ]
}

/// The same operations by consensus; the minority's are refused, so they are not in the history.
fn consensus_register() -> (Vec<Operation>, f64) {
    let mut log = Log::new(NODES);
    log.split(&MINORITY);
    let mut history = Vec::new();
    let mut refused = 0;
    // (member, written value or a read)
    for (turn, (member, write)) in
        [(0, Some(1)), (1, None), (4, Some(2)), (3, None)].into_iter().enumerate()
    {
        // Operations in the log: a write by its value, a read by a number of its own.
        let Ok(before) = log.execute(member, write.unwrap_or(1000 + turn as u64)) else {
            refused += 1;
            continue;
        };
        let last = before.iter().rev().find(|&&v| v < 1000).copied().unwrap_or(0);
        let action = write.map_or(Action::Read(last), Action::Write);
        let called = 2 * turn as u64;
        history.push(Operation { called, returned: called + 1, action });
    }
    (history, f64::from(refused))
}

fn split(seed: u64) -> World {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    world.split_off(MINORITY);
    world
}

fn stale(history: &[Operation]) -> f64 {
    history.iter().filter(|o| o.action == Action::Read(0)).count() as f64
}

fn linearizable(history: &[Operation]) -> f64 {
    f64::from(u8::from(is_linearizable(history)))
}

/// Each side reads the balance and, if it is enough, writes what is left.
fn gossip_withdrawals(seed: u64) -> f64 {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    world.set(0, "balance", BALANCE.to_string());
    world.run_for(secs(3));
    world.split_off(MINORITY);
    let mut paid = 0;
    for host in [0, NODES - 1] {
        let read = world.get(host, "balance").unwrap_or_default();
        if read == BALANCE.to_string().into_bytes() {
            let write = world.set(host, "balance", "0");
            world.run_for(ms(1));
            let done = matches!(world.reply_to(write), Some(Ok(Reply::Written { .. })));
            paid += if done { BALANCE } else { 0 };
        }
    }
    paid as f64
}

/// A withdrawal is valid if none came before it in the log.
fn consensus_withdrawals() -> f64 {
    let mut log = Log::new(NODES);
    log.split(&MINORITY);
    let first = |before: Result<Vec<u64>, _>| before.is_ok_and(|b: Vec<u64>| b.is_empty());
    let mut paid = 0;
    paid += if first(log.execute(0, 1)) { BALANCE } else { 0 };
    paid += if first(log.execute(4, 2)) { BALANCE } else { 0 };
    log.heal();
    paid += if first(log.execute(0, 3)) { BALANCE } else { 0 };
    paid as f64
}

/// What "you cannot know" gets wrong: the vectors tell.
fn known_to_all(seed: u64) -> Vec<Row> {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    let write = world.set(2, "y", "1");
    world.run_for(ms(1));
    let Some(Ok(Reply::Written { dots, .. })) = world.reply_to(write).cloned() else {
        return Vec::new();
    };
    let covered = |w: &World| w.up().filter(|&h| w.view(h).covers(dots[0])).count();
    let seconds = until(&mut world, secs(10), |w| covered(w) == NODES);
    vec![
        row(
            "gossip: members whose vector covers a write",
            covered(&world) as f64,
            exactly(NODES as f64),
        ),
        row("gossip: seconds until all vectors cover it", seconds, Bar::AtMost(2.0)),
    ]
}
