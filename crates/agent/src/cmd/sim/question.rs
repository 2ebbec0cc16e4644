//! Decides what `tidings sim question` takes and prints.

use tidings_sim::question::{self, QUESTIONS, Question};

use super::table::{Experiment, Showing};
use crate::Failure;
use crate::cmd::{print_line, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Its number, 1 to 20, or "all"; without it they are listed.
    number: Option<String>,
    #[command(flatten)]
    showing: Showing,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    match flags.number.as_deref() {
        None => print_line(&list()),
        Some("all") => flags.showing.run(&QUESTIONS.iter().map(experiment).collect::<Vec<_>>()),
        Some(number) => {
            let found = number.parse().ok().and_then(question::find);
            flags.showing.run(&[experiment(found.ok_or_else(|| unknown(number))?)])
        }
    }
}

fn list() -> String {
    let row = |q: &Question| vec![q.number.to_string(), q.asked.to_owned()];
    let known = table(&["N", "question"], QUESTIONS.iter().map(row).collect());
    format!("{known}\n\nOne: tidings sim question N. All: tidings sim question all.")
}

fn unknown(number: &str) -> Failure {
    Failure::Misuse(format!("question {number:?}: expected all or a number of 1 to 20"))
}

fn experiment(question: &'static Question) -> Experiment<'static> {
    let Question { number, asked, article_says, true_answer, run } = question;
    let lead =
        format!("{number}. {asked}\n\nThe article says: {article_says}\nTrue is: {true_answer}");
    Experiment { name: format!("question-{number}"), lead, source: "article", run }
}
