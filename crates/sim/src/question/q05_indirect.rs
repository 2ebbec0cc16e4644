//! Decides how question 5 is answered: how often a live member's probe fails, with and without
//! helpers.

use tidings_proto::Config;
use tidings_proto::base::rng::Rng;

use super::cluster::{rested, secs, total};
use super::{Question, near, row, table};
use crate::network::Conditions;
use crate::paper::{Bar, Row, Table};
use crate::work::Work;
use crate::world::WorldConfig;

pub(super) const QUESTION: Question = Question {
    number: 5,
    asked: "Describe SWIM failure detection and how indirect pings reduce false positives.",
    article_says: "If any indirect ping succeeds, the target is alive; it is marked failed only if \
                   all k indirect pings fail.",
    true_answer: "At 10 % loss a direct probe of a live member fails with probability 0.19, and \
                  with 3 helpers with 0.0077: still some 8 false verdicts per period among 1,000 \
                  members. What the article leaves out ends them: a failed probe only raises a \
                  suspicion, which the member refutes. The core, which also repeats its ping, \
                  declares 0 live members failed under this loss.",
    run,
};

const LOSS: f64 = 0.1;
const ROUNDS: u64 = 400_000;
const NODES: usize = 60;

fn run(work: &Work<'_>) -> Table {
    let mut rows: Vec<Row> = [0, 1, 3].iter().map(|&k| modelled(k, work.seed)).collect();
    let wrong = 1000.0 * formula(3);
    rows.push(row("false verdicts per period, 1,000 members, no suspicion", wrong, near(7.7, 0.1)));
    let plain = Config { indirect_probes: 0, stream_probe: false, ..Config::lan() };
    let cases = [plain, Config { stream_probe: false, ..Config::lan() }, Config::lan()];
    let found = work.map("question 5", &cases, |config| lossy(work.seed, config));
    let found: Vec<(f64, f64)> = found.into_iter().flatten().collect();
    if let [(alone, _), (helped, _), (all, failed)] = found[..] {
        let what = |how| format!("core, {NODES} members, 120 s: probes failed of 1,000, {how}");
        rows.push(row(what("no helpers"), alone, Bar::AtLeast(5.0)));
        rows.push(row(what("3 helpers"), helped, Bar::AtMost(alone / 5.0)));
        rows.push(row(what("its defaults"), all, Bar::AtMost(alone / 5.0)));
        rows.push(row(
            "core, its defaults: live members declared failed",
            failed,
            Bar::AtMost(0.0),
        ));
    }
    table(
        "Indirect probes at 10 % loss",
        &["10 % of all messages are lost. Model: one probe round succeeds if the ping and its \
             ack arrive, or for one helper all four messages of its detour: failure \
             (1-q^2)(1-q^4)^k, q = 0.9 (Das et al. 2002). The core first repeats an unanswered \
             ping, asks its helpers in parallel (the article's code asks one after the other) and \
             a stream besides."],
        rows,
    )
}

fn formula(helpers: i32) -> f64 {
    let q = 1.0 - LOSS;
    (1.0 - q.powi(2)) * (1.0 - q.powi(4)).powi(helpers)
}

fn modelled(helpers: i32, seed: u64) -> Row {
    let mut rng = Rng::from_u64(seed);
    let mut arrive = |messages: i32| (0..messages).all(|_| !rng.chance(LOSS));
    let mut fails = || !arrive(2) && (0..helpers).all(|_| !arrive(4));
    let failed = (0..ROUNDS).filter(|_| fails()).count() as f64 / ROUNDS as f64;
    let se = (failed * (1.0 - failed) / ROUNDS as f64).sqrt();
    let what = format!("a live member's probe fails, {helpers} helpers");
    let exact = formula(helpers);
    Row { se, ..row(what, failed, near(exact, 4.0 * (exact / ROUNDS as f64).sqrt())) }
}

/// (suspicions per thousand probes, verdicts) of a cluster in which nobody dies.
fn lossy(seed: u64, config: &Config) -> (f64, f64) {
    let conditions = Conditions { loss: LOSS, ..Conditions::lan() };
    let weather = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = rested(seed, weather, NODES, config);
    world.run_for(secs(120));
    let accusations = total(&world, |s| s.probes_failed);
    let probes = total(&world, |s| s.probes_sent);
    let counts = &world.seen().counts;
    let failed = counts.of(tidings_proto::io::MemberChange::Failed);
    (1000.0 * accusations / probes, failed as f64)
}
