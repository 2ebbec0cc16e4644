//! Decides how question 19 is answered: a false positive by one bad path, and what it takes to be
//! free of it.

use tidings_proto::Config;
use tidings_proto::io::MemberChange;

use super::cluster::{rested, secs, total};
use super::{Question, exactly, near, row, table};
use crate::paper::{Bar, Table};
use crate::work::Work;
use crate::world::{World, WorldConfig};

pub(super) const QUESTION: Question = Question {
    number: 19,
    asked: "Describe a false positive of gossip failure detection, and how SWIM mitigates it.",
    article_says: "A cannot reach B while B is alive: A marks B failed. SWIM asks k random peers; \
                   k=3 makes it unlikely that all paths are broken at once.",
    true_answer: "With one path cut, an observer that asks nobody finds its live peer dead at \
                  every probe, over 20 times in half an hour. With helpers it does so 0 times, \
                  whether the path is cut one way or both. The chance that all 3 detours of one \
                  probe fail at 10 % loss is 0.041 (0.0077 with the direct path): not rare. What \
                  protects then is the suspicion, its refutation, and a second accuser per \
                  verdict: a member that loses half of its packets for 600 s is declared failed 0 \
                  times.",
    run,
};

const NODES: usize = 40;
const A: usize = 3;
const B: usize = 30;

fn run(work: &Work<'_>) -> Table {
    let alone = Config { indirect_probes: 0, stream_probe: false, witnesses: 0, ..Config::lan() };
    let both = |w: &mut World| w.net.cut(A, B);
    let one = |w: &mut World| w.net.cut_one_way(A, B);
    let sick = |w: &mut World| w.net.set_host_loss(B, 0.3, 0.3);
    let cases: [(Config, u64, fn(&mut World)); 4] = [
        (alone, 1800, both),
        (Config::lan(), 1800, both),
        (Config::lan(), 1800, one),
        (Config::lan(), 600, sick),
    ];
    let found = work.map("question 19", &cases, |(config, seconds, break_path)| {
        let mut world = rested(work.seed, WorldConfig::default(), NODES, config);
        break_path(&mut world);
        world.run_for(secs(*seconds));
        let failed = world.seen().counts.of(MemberChange::Failed) as f64;
        (failed, total(&world, |s| s.probes_failed))
    });
    let found: Vec<(f64, f64)> = found.into_iter().flatten().collect();
    let q: f64 = 0.9;
    let detours = (1.0 - q.powi(4)).powi(3);
    let mut rows = Vec::new();
    if let [alone, two_ways, one_way, sick] = found[..] {
        let dead = "live peers found dead by a probe in 1,800 s";
        let failed = "members declared failed";
        rows = vec![
            row(format!("path cut, nobody else asked: {dead}"), alone.1, Bar::AtLeast(20.0)),
            row(format!("path cut both ways, defaults: {dead}"), two_ways.1, exactly(0.0)),
            row(format!("path cut one way, defaults: {dead}"), one_way.1, exactly(0.0)),
            row(
                format!("path cut either way, defaults: {failed}"),
                two_ways.0 + one_way.0,
                exactly(0.0),
            ),
            row(format!("one loses half its packets for 600 s: {failed}"), sick.0, exactly(0.0)),
            row("chance that 3 detours fail at 10 % loss", detours, near(0.041, 0.001)),
            row("the same with the direct path", detours * (1.0 - q.powi(2)), near(0.0077, 0.0001)),
        ];
    }
    table(
        "One bad path",
        &["The core, 40 members on a LAN, A and B among them. 'Nobody else asked' is without \
             helpers, streams and witnesses: each finding is what simple heartbeats would call a \
             death. The member that loses half: 30 % of what it sends and of what it receives."],
        rows,
    )
}
