//! Decides how question 12 is answered: what version vectors detect, what they cost where one entry
//! stands for many clients, and what causal consistency needs besides.

use tidings_proto::Config;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::Reply;

use super::cluster::{ms, rested, secs};
use super::model::causality::{Dotted, Server, ServerVector, interleave, pairs};
use super::{Question, exactly, row, table};
use crate::paper::{Bar, Row, Table};
use crate::work::Work;
use crate::world::WorldConfig;

pub(super) const QUESTION: Question = Question {
    number: 12,
    asked: "What is the role of vector clocks in gossip, and what consistency do they enable?",
    article_says: "Layered on top of gossip, vector clocks enable causal consistency. Cassandra \
                   2.0 used them before moving to last-write-wins.",
    true_answer: "They detect; they do not order delivery. Vectors misjudge 0 pairs of events, \
                  Lamport clocks order most concurrent ones. One vector per server leaves 100 \
                  siblings of two clients with 50 writes each, dotted vectors 2, last-writer-wins \
                  drops 99 writes that no successor saw. An answer was readable before its \
                  question in the core too; it is not where the reader waits until its vector \
                  covers what the answer depends on. Cassandra never shipped vector clocks.",
    run,
};

const WRITES_EACH: usize = 50;
const NODES: usize = 30;
const PAIRS: usize = 10;
/// Was cut off when the question spread.
const AWAY: usize = 29;

fn run(work: &Work<'_>) -> Table {
    let (mut dotted, mut vector) = (Dotted::default(), ServerVector::default());
    let unseen = interleave(&mut dotted, WRITES_EACH);
    interleave(&mut vector, WRITES_EACH);
    let siblings = |server: &dyn Server| server.siblings() as f64;
    let events = pairs(5, 300, &mut Rng::from_u64(work.seed));
    let share = events.lamport_wrong as f64 / events.concurrent as f64;
    let mut rows = vec![
        row("siblings, one vector per server", siblings(&vector), exactly(100.0)),
        row("siblings, dotted vectors", siblings(&dotted), exactly(2.0)),
        row("last-writer-wins: writes dropped that no successor saw", unseen as f64, exactly(99.0)),
        row("pairs of events that vectors misjudge", events.vector_wrong as f64, exactly(0.0)),
        row("share of concurrent pairs that Lamport clocks order", share, Bar::AtLeast(0.5)),
    ];
    rows.extend(answers(work.seed));
    table(
        "What vectors tell",
        &[
            "Siblings: two clients write one key in turn, 50 times each, on what it read before \
             the other's last write (Preguica et al. 2010). Events: 300 at 5 processes, half of \
             them after a message.",
            "Questions and answers: the core, 30 members. Ten times a member is cut off for 3 s, \
             in which a question is written and spreads; just after its return another member \
             answers. It is asked every 5 ms. The waiting reader shows an answer only when its own \
             vector covers the question's dot.",
        ],
        rows,
    )
}

/// How often a member that was away for the question had its answer without it; by plain reads,
/// and by reads that wait for what the answer depends on.
fn answers(seed: u64) -> Vec<Row> {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    let (mut plain, mut waiting) = (0, 0);
    for pair in 0..PAIRS {
        let (question, answer) = (format!("q{pair}"), format!("a{pair}"));
        world.split_off([AWAY]);
        let write = world.set(pair, &question, "?");
        world.run_for(secs(3));
        world.net.heal();
        let Some(Ok(Reply::Written { dots, .. })) = world.reply_to(write).cloned() else {
            continue;
        };
        world.set(pair + PAIRS, &answer, "!");
        let (mut seen, mut shown) = (false, false);
        for _ in 0..400 {
            world.run_for(ms(5));
            let has = |key: &String| world.get(AWAY, key).is_some();
            let early = has(&answer) && !has(&question);
            seen |= early;
            shown |= early && world.view(AWAY).covers(dots[0]);
        }
        plain += u32::from(seen);
        waiting += u32::from(shown);
    }
    let what = |how| format!("of 10 answers, read before their question: {how}");
    vec![
        row(what("eventual reads"), f64::from(plain), Bar::AtLeast(5.0)),
        row(what("reads that wait for the dot"), f64::from(waiting), exactly(0.0)),
    ]
}
