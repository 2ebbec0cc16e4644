//! Decides how question 18 is answered: what more peers per round buy, and what they cost.

use super::q01_epidemic::rounds_row;
use super::{Question, beside, near, row, table};
use crate::epidemic::{Mode, Setting, Spread, chain};
use crate::paper::{Bar, Table};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::work::Work;

pub(super) const QUESTION: Question = Question {
    number: 18,
    asked: "What are the practical limits on fanout, and what if it is too high or too low?",
    article_says: "k = 1 or 2: linear or near-linear spread. Doubling k from 3 to 6 only reduces \
                   rounds from about 6 to 4 for 1,000 nodes.",
    true_answer: "k = 1 is logarithmic too: 18.0 rounds among 1,000, not 999, and 34.9 among a \
                  million. From 3 to 6 push falls from 8.17 to 5.49 rounds; each step buys less. \
                  Until all know, push costs 8 to 10.5 messages per node for k up to 6, and 20 at \
                  16; the cost of push-pull grows from 9.8 to 25.5 at 6. A low k misses nobody: \
                  with 30 % of messages lost k = 1 takes 24.5 rounds, and still reaches all.",
    run,
};

const FANOUTS: [u32; 7] = [1, 2, 3, 4, 6, 10, 16];
/// Where 6 stands among them.
const SIX: usize = 4;

fn run(work: &Work<'_>) -> Table {
    let runs = if work.quick { 1000 } else { 20_000 };
    let sample = |mode: Mode, nodes: u64, fanout: u32, loss: f64| {
        chain::sample(&Setting { mode, nodes, fanout, loss }, runs, work)
    };
    let of = |mode: Mode| -> Vec<Spread> {
        FANOUTS.iter().filter_map(|&k| sample(mode, 1000, k, 0.0)).collect()
    };
    let (push, both) = (of(Mode::Push), of(Mode::PushPull));
    let (Some(million), Some(lossy)) =
        (sample(Mode::Push, 1_000_000, 1, 0.0), sample(Mode::Push, 1000, 1, 0.3))
    else {
        return table("Fanout", &[], Vec::new());
    };
    if push.len() + both.len() < 2 * FANOUTS.len() {
        return table("Fanout", &[], Vec::new());
    }
    let mut rows = Vec::new();
    let known = [Some(18.04), None, Some(8.17), Some(6.95), Some(5.49), None, None];
    for ((k, spread), known) in FANOUTS.iter().zip(&push).zip(known) {
        let what = format!("push, k = {k}: mean rounds until all 1,000 know");
        let measured = rounds_row(what, spread, known.unwrap_or_default());
        rows.push(match (known, k) {
            (None, _) => crate::paper::Row { bar: Bar::None, ..measured },
            (_, 1) => beside(999.0, measured),
            (_, 3) => beside(6.0, measured),
            (_, 6) => beside(4.0, measured),
            _ => measured,
        });
    }
    let messages = |found: &[Spread], at: usize| found[at].messages.mean;
    let dearest = (0..=SIX).map(|at| messages(&push, at)).fold(0.0, f64::max);
    let saved = |from: usize, to: usize| push[from].rounds.mean - push[to].rounds.mean;
    rows.extend([
        row("push, k = 1: messages per node until all know", messages(&push, 0), near(8.0, 0.15)),
        row("push, k to 6: most messages per node until all know", dearest, Bar::AtMost(10.5)),
        row("push, k = 16: messages per node until all know", messages(&push, 6), near(20.0, 1.0)),
        row(
            "push-pull, k = 1: messages per node until all know",
            messages(&both, 0),
            near(9.8, 0.2),
        ),
        row(
            "push-pull, k = 6: messages per node until all know",
            messages(&both, SIX),
            near(25.5, 0.3),
        ),
        row("rounds that k = 6 saves over 3", saved(2, SIX), near(2.68, 0.1)),
        row("rounds that k = 16 saves over 10", saved(5, 6), Bar::AtMost(1.0)),
        rounds_row(
            "push, k = 1: mean rounds until all of a million know".to_owned(),
            &million,
            34.91,
        ),
        rounds_row(
            "push, k = 1, 30 % loss: mean rounds until all 1,000 know".to_owned(),
            &lossy,
            24.48,
        ),
    ]);
    let mut found = table(
        "Fanout",
        &["The chain of counts, synchronous rounds. Messages are counted until all know; a \
           protocol that does not know when to stop sends more. A peer that is down costs what a \
           lost message costs."],
        rows,
    );
    found.charts.push(chart(&push, &both));
    found
}

fn chart(push: &[Spread], both: &[Spread]) -> Chart {
    let points = |found: &[Spread]| -> Vec<(f64, f64)> {
        FANOUTS.iter().zip(found).map(|(&k, s)| (f64::from(k), s.rounds.mean)).collect()
    };
    Chart {
        name: "question-18-fanout".to_owned(),
        title: "Mean rounds until all of 1,000 nodes know".to_owned(),
        x: Axis::linear("peers per round, k"),
        y: Axis::linear("rounds"),
        series: vec![
            Series::new("push", Style::Line, points(push)),
            Series::new("push-pull", Style::Line, points(both)),
        ],
    }
}
