//! Decides which of the second article's twenty questions are answered by which experiment, with
//! the article's answer beside what is true.

mod cluster;
mod model;
mod q01_epidemic;
mod q02_modes;
mod q03_repair;
mod q04_merkle;
mod q05_indirect;
mod q06_hot_key;
mod q07_thousand;
mod q08_strong;
mod q09_partition;
mod q10_liars;
mod q11_consensus;
mod q12_vectors;
mod q13_interval;
mod q14_layers;
mod q15_bounds;
mod q16_vnodes;
mod q17_sessions;
mod q18_fanout;
mod q19_one_path;
mod q20_quorum;

use crate::paper::{Bar, Row, Table};
use crate::work::Work;

/// One question of the article, with an experiment that anybody can run.
pub struct Question {
    /// 1 to 20, as in the article.
    pub number: u8,
    pub asked: &'static str,
    /// The claim that the experiment tests, in short.
    pub article_says: &'static str,
    /// What is true; each number in it is a row of the experiment.
    pub true_answer: &'static str,
    pub run: fn(&Work<'_>) -> Table,
}

/// All questions, in the article's order.
pub const QUESTIONS: &[Question] = &[
    q01_epidemic::QUESTION,
    q02_modes::QUESTION,
    q03_repair::QUESTION,
    q04_merkle::QUESTION,
    q05_indirect::QUESTION,
    q06_hot_key::QUESTION,
    q07_thousand::QUESTION,
    q08_strong::QUESTION,
    q09_partition::QUESTION,
    q10_liars::QUESTION,
    q11_consensus::QUESTION,
    q12_vectors::QUESTION,
    q13_interval::QUESTION,
    q14_layers::QUESTION,
    q15_bounds::QUESTION,
    q16_vnodes::QUESTION,
    q17_sessions::QUESTION,
    q18_fanout::QUESTION,
    q19_one_path::QUESTION,
    q20_quorum::QUESTION,
];

pub fn find(number: u8) -> Option<&'static Question> {
    QUESTIONS.iter().find(|q| q.number == number)
}

fn table(title: &str, notes: &[&str], rows: Vec<Row>) -> Table {
    let notes = notes.iter().map(|&n| n.to_owned()).collect();
    Table { title: title.to_owned(), notes, rows, charts: Vec::new() }
}

fn row(what: impl Into<String>, ours: f64, bar: Bar) -> Row {
    Row { what: what.into(), paper: None, ours, se: 0.0, bar }
}

/// Beside the article's own figure, which the bar does not use.
fn beside(article: f64, row: Row) -> Row {
    Row { paper: Some(article), ..row }
}

fn near(of: f64, tolerance: f64) -> Bar {
    Bar::Near { of, tolerance }
}

fn exactly(of: f64) -> Bar {
    near(of, 0.0)
}
