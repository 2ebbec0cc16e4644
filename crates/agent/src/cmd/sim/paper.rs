//! Decides what `tidings sim paper` takes and prints.

use tidings_sim::paper::{self, PAPERS, Paper};

use super::table::{Experiment, Showing};
use crate::Failure;
use crate::cmd::{print_line, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Which table, or "all"; without it they are listed.
    name: Option<String>,
    #[command(flatten)]
    showing: Showing,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    match flags.name.as_deref() {
        None => print_line(&list()),
        Some("all") => flags.showing.run(&PAPERS.iter().map(experiment).collect::<Vec<_>>()),
        Some(name) => {
            flags.showing.run(&[experiment(paper::find(name).ok_or_else(|| unknown(name))?)])
        }
    }
}

fn list() -> String {
    let row = |p: &Paper| vec![p.name.to_owned(), p.about.to_owned(), p.source.to_owned()];
    let known = table(&["name", "shows", "source"], PAPERS.iter().map(row).collect());
    format!(
        "{known}\n\nOne: tidings sim paper NAME. All: tidings sim paper all. --quick for a first look."
    )
}

fn unknown(name: &str) -> Failure {
    let known: Vec<&str> = PAPERS.iter().map(|p| p.name).collect();
    Failure::Misuse(format!("paper {name:?}: expected all or one of {}", known.join(", ")))
}

fn experiment(paper: &'static Paper) -> Experiment<'static> {
    let lead = format!("{}\n{}", paper.about, paper.source);
    Experiment { name: paper.name.to_owned(), lead, source: "paper", run: &paper.run }
}
