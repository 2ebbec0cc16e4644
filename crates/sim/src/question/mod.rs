//! Decides which of the second article's twenty questions are answered by which experiment, with
//! the article's answer beside what is true.

use crate::paper::Table;
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
pub const QUESTIONS: &[Question] = &[];

pub fn find(number: u8) -> Option<&'static Question> {
    QUESTIONS.iter().find(|q| q.number == number)
}
