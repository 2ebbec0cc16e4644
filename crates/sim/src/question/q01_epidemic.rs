//! Decides how question 1 is answered: how many rounds an epidemic takes, and the law behind it.

use super::{Question, beside, near, row, table};
use crate::epidemic::{Mode, Setting, Spread, chain};
use crate::paper::{Bar, Row, Table};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::mean;
use crate::work::Work;

pub(super) const QUESTION: Question = Question {
    number: 1,
    asked: "Why is gossip called epidemic, and what property governs its spread rate?",
    article_says: "With fanout k, after r rounds about k^r nodes have the update; k^r = N gives \
                   the rounds. An initial slow spread accelerates, then tapers off.",
    true_answer: "O(log N) is right, k^r is not: who knows goes on telling, so growth is 1 + k per \
                  round (64 of 10,000 know after 3 rounds of k = 3, not 27), and the last ones \
                  take (ln N)/k rounds more. Push with k = 3 takes 5.64, 8.17, 10.58 and 15.40 \
                  rounds for 100, 1,000, 10,000 and a million nodes; ceil(log_k N) says 5, 7, 9 \
                  and 13.",
    run,
};

const FANOUT: u32 = 3;
/// Nodes, and mean rounds in PAPERS 2.2 and 2.4.
const SIZES: [(u64, f64); 4] = [(100, 5.64), (1_000, 8.17), (10_000, 10.58), (1_000_000, 15.40)];

fn run(work: &Work<'_>) -> Table {
    let runs = if work.quick { 1000 } else { 10_000 };
    let mut rows = Vec::new();
    let mut points = Vec::new();
    let mut curve = Vec::new();
    for (nodes, known) in SIZES {
        let setting = Setting { mode: Mode::Push, nodes, fanout: FANOUT, loss: 0.0 };
        let Some(spread) = chain::sample(&setting, runs, work) else { continue };
        let what = format!("mean rounds until all of {nodes} know, push, k = 3");
        rows.push(beside(article_rounds(nodes), rounds_row(what, &spread, known)));
        points.push(((nodes as f64).ln(), spread.rounds.mean));
        if nodes == 10_000 {
            curve = spread.curve;
        }
    }
    if points.len() < SIZES.len() {
        return table("The law of an epidemic", &[], rows);
    }
    let (slope, fit) = regression(&points);
    let theory = 1.0 / f64::from(1 + FANOUT).ln() + 1.0 / f64::from(FANOUT);
    rows.extend([
        beside(27.0, row("nodes that know after 3 rounds, of 10,000", curve[3], near(63.5, 1.0))),
        row("rounds per factor e of the nodes (1/ln(1+k) + 1/k)", slope, near(theory, 0.05)),
        row("R^2 of rounds against ln N", fit, Bar::AtLeast(0.99)),
        row("rounds until a tenth of 10,000 knows", until(&curve, 1_000.0), Bar::None),
        row(
            "rounds from a tenth to nine tenths",
            until(&curve, 9_000.0) - until(&curve, 1_000.0),
            Bar::AtMost(3.0),
        ),
        row(
            "rounds from nine tenths to all, mean",
            rows[2].ours - until(&curve, 9_000.0),
            Bar::AtLeast(2.5),
        ),
    ]);
    let mut found = table(
        "The law of an epidemic",
        &["Synchronous rounds, distinct uniform targets, no loss, one source: the chain of \
             counts. The article's figure beside each row is its ceil(log_k N)."],
        rows,
    );
    found.charts.push(chart(&curve));
    found
}

/// The formula of the article, with its ceiling.
pub(super) fn article_rounds(nodes: u64) -> f64 {
    ((nodes as f64).ln() / f64::from(FANOUT).ln()).ceil()
}

pub(super) fn rounds_row(what: String, spread: &Spread, known: f64) -> Row {
    let se = spread.rounds.se;
    Row { se, ..row(what, spread.rounds.mean, near(known, 0.02 + 3.0 * se)) }
}

/// Slope of the least squares line and R^2.
fn regression(points: &[(f64, f64)]) -> (f64, f64) {
    let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let (mx, my) = (mean(&x), mean(&y));
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(x, y)| of(x - mx, y - my)).sum();
    let (xx, xy, yy): (f64, f64, f64) =
        (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    (xy / xx, xy * xy / (xx * yy))
}

/// Rounds until so many know, between whole rounds by a straight line.
fn until(curve: &[f64], many: f64) -> f64 {
    let after = curve.partition_point(|&know| know < many);
    let (from, to) = (curve[after - 1], curve[after]);
    (after - 1) as f64 + (many - from) / (to - from)
}

fn chart(curve: &[f64]) -> Chart {
    let know = curve.iter().enumerate().map(|(round, &know)| (round as f64, know)).collect();
    let power = |round: usize| (round as f64, f64::from(FANOUT).powi(round as i32));
    let article = (0..curve.len()).map(power).take_while(|p| p.1 <= 10_000.0).collect();
    Chart {
        name: "question-1-infection".to_owned(),
        title: "Nodes that know, push with k = 3 among 10,000".to_owned(),
        x: Axis::linear("rounds"),
        y: Axis::linear("nodes that know"),
        series: vec![
            Series::new("simulated mean", Style::Line, know),
            Series::new("the article's k^r", Style::Dashed, article),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_fits_itself_and_a_level_is_found_between_rounds() {
        let (slope, fit) = regression(&[(0.0, 1.0), (1.0, 3.0), (4.0, 9.0)]);
        assert!((slope - 2.0).abs() < 1e-12 && (fit - 1.0).abs() < 1e-12);
        assert_eq!(until(&[1.0, 4.0, 16.0], 10.0), 1.5);
    }
}
