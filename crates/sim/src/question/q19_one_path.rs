//! Question 19: a false positive by one bad path, and what it takes to be free of it.

use tidings_proto::Config;
use tidings_proto::io::MemberChange;

use super::cluster::{ms, rested, secs, total};
use super::{Question, exactly, near, row, table};
use crate::paper::{Bar, Table};
use crate::work::Work;
use crate::world::{World, WorldConfig};

pub(super) const QUESTION: Question = Question {
    number: 19,
    asked: "Describe a false positive of gossip failure detection, and how SWIM mitigates it.",
    article_says: "A cannot reach B while B is alive: A marks B failed. SWIM asks k random peers; k=3 \
                   makes it unlikely that all paths are broken at once.",
    true_answer: "With one path cut, an observer that asks nobody declares its live peer failed. With helpers there are 0 in a simulated hour, cut one way \
                  or both ways. The chance that all 3 detours of one probe fail at 10 % loss is 0.041 \
                  (0.0077 with the direct path): not rare. What protects then is the suspicion, its \
                  refutation, and 2 accusers per verdict, with which a member losing half of its \
                  packets was not declared failed.",
    run,
};

const NODES: usize = 40;
const A: usize = 3;
const B: usize = 30;

fn run(work: &Work<'_>) -> Table {
    let heartbeats = Config {
        indirect_probes: 0,
        stream_probe: false,
        witnesses: 0,
        accusers_required: 1,
        suspicion_alpha: 0.1,
        suspicion_beta: 1.0,
        pause_tolerated: ms(0),
        ..Config::lan()
    };
    let both = |w: &mut World| w.net.cut(A, B);
    let one = |w: &mut World| w.net.cut_one_way(A, B);
    let sick = |w: &mut World| w.net.set_host_loss(B, 0.3, 0.3);
    let cases: [(Config, u64, fn(&mut World)); 4] = [
        (heartbeats, 300, both),
        (Config::lan(), 3600, both),
        (Config::lan(), 3600, one),
        (Config::lan(), 600, sick),
    ];
    let found = work.map("question 19", &cases, |(config, seconds, break_path)| {
        let mut world = rested(work.seed, WorldConfig::default(), NODES, config);
        break_path(&mut world);
        world.run_for(secs(*seconds));
        let failed = world.seen().counts.of(MemberChange::Failed) as f64;
        (failed, total(&world, |s| s.suspicions))
    });
    let found: Vec<(f64, f64)> = found.into_iter().flatten().collect();
    let q: f64 = 0.9;
    let detours = (1.0 - q.powi(4)).powi(3);
    let mut rows = Vec::new();
    if let [alone, two_ways, one_way, sick] = found[..] {
        rows = vec![
            row("path cut, nobody else asked: false verdicts in 300 s", alone.0, Bar::AtLeast(1.0)),
            row(
                "path cut both ways, defaults: false verdicts in an hour",
                two_ways.0,
                exactly(0.0),
            ),
            row("path cut one way, defaults: false verdicts in an hour", one_way.0, exactly(0.0)),
            row(
                "one member loses half its packets, defaults: false verdicts in 600 s",
                sick.0,
                exactly(0.0),
            ),
            row("the same: suspicions raised and refuted", sick.1, Bar::AtLeast(1.0)),
            row("chance that 3 detours fail at 10 % loss", detours, near(0.041, 0.001)),
            row("the same with the direct path", detours * (1.0 - q.powi(2)), near(0.0077, 0.0001)),
        ];
    }
    table(
        "One bad path",
        &[
            "The core, 40 members on a LAN. 'Nobody else asked' is the core with its helpers, streams, \
           witnesses, second accuser and suspicion turned off: what the article calls simple \
           heartbeats. The member that loses half: 30 % of what it sends and of what it receives.",
        ],
        rows,
    )
}
