//! Decides how question 11 is answered: gossip and consensus side by side: messages, busiest
//! member, minority, lock.

use tidings_proto::Config;
use tidings_proto::io::Reply;

use super::cluster::{ms, rested, secs};
use super::model::consensus::Log;
use super::{Question, beside, exactly, row, table};
use crate::paper::{Bar, Row, Table};
use crate::work::Work;
use crate::world::WorldConfig;

pub(super) const QUESTION: Question = Question {
    number: 11,
    asked: "When would you choose gossip over consensus such as Raft?",
    article_says: "Gossip when you need scalability and fault tolerance without the coordination \
                   overhead; consensus (elsewhere in the article: fault tolerance 'full') for a \
                   single leader, transactions, linearizability.",
    true_answer: "By load: a leader handles 998 messages per update among 500, the busiest gossip \
                  member a small fraction of that. By availability: with 2 of 5 members cut off, \
                  gossip takes writes on both sides and consensus only on the side of 3; with 3 \
                  gone consensus stands still (it tolerates 2 of 5, not all). By safety: a lock \
                  kept in gossip was granted 2 times, by consensus once.",
    run,
};

const NODES: usize = 500;
const FIVE: usize = 5;

fn run(work: &Work<'_>) -> Table {
    let mut log = Log::new(NODES);
    let leader = 0;
    let appended = log.append(0, leader, 1).is_ok();
    assert!(appended, "nobody is cut off");
    let busiest = gossip_busiest(work.seed);
    let all = 2.0 * (NODES - 1) as f64;
    let mut rows = vec![
        row(
            "consensus, 500 members: messages at the leader per update",
            log.load[0] as f64,
            exactly(all),
        ),
        row(
            "gossip, 500 members: messages at the busiest member per update",
            busiest,
            Bar::AtMost(all / 4.0),
        ),
        row("consensus: message delays until decided, stable leader", 2.0, Bar::None),
    ];
    rows.extend(writes_under_a_split(work.seed));
    rows.extend(tolerance());
    rows.push(row(
        "gossip: grants of one lock on two sides of a split",
        gossip_lock(work.seed),
        exactly(2.0),
    ));
    rows.push(row(
        "consensus: grants of one lock on two sides of a split",
        consensus_lock(),
        exactly(1.0),
    ));
    table(
        "Gossip beside consensus",
        &[
            "Consensus: a Paxos log; a stable leader sends each update to all and hears from all, \
             two message delays to a majority's answer. Gossip: the core on a LAN, messages of one \
             update above those at rest.",
            "A lock needs one winner among all who ask: only a majority can say so. Gossip has no \
             word for it, so the core refuses compare-and-set and locks rather than pretend.",
        ],
        rows,
    )
}

/// Datagrams that the busiest member sends and receives for one update, above those at rest.
fn gossip_busiest(seed: u64) -> f64 {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    let span = secs(2);
    let mut measure = |update: bool| -> Vec<u64> {
        let before: Vec<_> = (0..NODES).map(|h| world.traffic(h)).collect();
        if update {
            world.set(0, "k", "v");
        }
        world.run_for(span);
        let since = |h: usize| {
            let t = world.traffic(h) - before[h];
            t.datagrams_sent + t.datagrams_received
        };
        (0..NODES).map(since).collect()
    };
    let rest = measure(false);
    let busy = measure(true);
    let mean_at_rest = rest.iter().sum::<u64>() as f64 / NODES as f64;
    busy.into_iter().max().unwrap_or(0) as f64 - mean_at_rest
}

fn writes_under_a_split(seed: u64) -> Vec<Row> {
    let mut world = rested(seed, WorldConfig::default(), FIVE, &Config::lan());
    world.split_off([0, 1]);
    let writes: Vec<_> = (0..FIVE).map(|h| world.set(h, format!("k{h}"), "v")).collect();
    world.run_for(ms(10));
    let taken = |w: &&tidings_proto::io::CommandId| {
        matches!(world.reply_to(**w), Some(Ok(Reply::Written { .. })))
    };
    let gossip = writes.iter().filter(taken).count();
    let mut log = Log::new(FIVE);
    log.split(&[0, 1]);
    let consensus = (0..FIVE).filter(|&m| log.execute(m, 10 + m as u64).is_ok()).count();
    vec![
        row("gossip: members of 5, split 2 to 3, that take a write", gossip as f64, exactly(5.0)),
        row("consensus: members of 5, split 2 to 3, that take one", consensus as f64, exactly(3.0)),
    ]
}

/// How many of five may be gone before nothing is decided.
fn tolerance() -> Vec<Row> {
    let works = |gone: usize| {
        let mut log = Log::new(FIVE);
        log.split(&(0..gone).collect::<Vec<_>>());
        log.decide(0, FIVE - 1, 1).is_ok()
    };
    let most = (0..FIVE).filter(|&gone| works(gone)).max().unwrap_or(0);
    vec![beside(5.0, row("consensus: members of 5 that may be gone", most as f64, exactly(2.0)))]
}

/// Whoever reads the lock free takes it.
fn gossip_lock(seed: u64) -> f64 {
    let mut world = rested(seed, WorldConfig::default(), FIVE, &Config::lan());
    world.split_off([0, 1]);
    let mut grants = 0;
    for host in [0, 4] {
        if world.get(host, "lock").is_none() {
            let write = world.set(host, "lock", format!("n{host}"));
            world.run_for(ms(500));
            grants += u32::from(matches!(world.reply_to(write), Some(Ok(_))));
        }
    }
    f64::from(grants)
}

/// The lock is the first operation of the log.
fn consensus_lock() -> f64 {
    let mut log = Log::new(FIVE);
    log.split(&[0, 1]);
    let mut grants = 0;
    for member in [0, 4] {
        grants += u32::from(log.decide(0, member, member as u64) == Ok(member as u64));
    }
    log.heal();
    grants += u32::from(log.decide(0, 0, 0) == Ok(0));
    f64::from(grants)
}
