//! Decides what `tidings sim results` writes: a page with charts for each paper, one for the
//! questions, and the index. Equal seeds write equal pages.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tidings_sim::paper::{PAPERS, Paper, Table};
use tidings_sim::question::QUESTIONS;
use tidings_sim::report::table::plain;
use tidings_sim::work::Work;

use super::Effort;
use super::table::{write, write_charts};
use crate::Failure;
use crate::cmd::print_line;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Directory of the pages.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// One paper, or "questions"; the index is written anyway.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Fewer runs: for a look at the pages, not for keeping.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    effort: Effort,
}

const QUESTIONS_PAGE: &str = "questions";

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let known = PAPERS.iter().map(|p| p.name).chain([QUESTIONS_PAGE]).collect::<Vec<_>>();
    if let Some(only) = flags.only.as_deref().filter(|only| !known.contains(only)) {
        let expected = known.join(", ");
        return Err(Failure::Misuse(format!("--only {only:?}: expected one of {expected}")));
    }
    let mut pictures = BTreeSet::new();
    let wanted = |name: &str| flags.only.as_deref().is_none_or(|only| only == name);
    for paper in PAPERS.iter().filter(|p| wanted(p.name)) {
        let found = flags.worked(paper.name, &paper.run)?;
        draw(&flags.out, &found, &mut pictures)?;
        write(&page(&flags.out, paper.name), &paper_page(paper, &found))?;
    }
    if wanted(QUESTIONS_PAGE) && !QUESTIONS.is_empty() {
        let text = questions_page(flags, &mut pictures)?;
        write(&page(&flags.out, QUESTIONS_PAGE), &text)?;
    }
    write(&page(&flags.out, "README"), &index(&flags.out))
}

impl Flags {
    /// Does the work and says how long it took, which is no part of any page.
    fn worked(&self, name: &str, run: &dyn Fn(&Work<'_>) -> Table) -> Result<Table, Failure> {
        let begun = Instant::now();
        let (found, stopped) = self.effort.work(self.quick, |work| (run(work), work.stopped()));
        if stopped {
            return Err(Failure::Failed(format!("{name}: stopped before its end")));
        }
        let (passed, of) = found.passes();
        print_line(&format!("{name}: {passed} of {of} in {:.1} s", begun.elapsed().as_secs_f64()))?;
        Ok(found)
    }
}

/// Writes the charts; two of one name would show the wrong one on a page.
fn draw(out: &Path, found: &Table, pictures: &mut BTreeSet<PathBuf>) -> Result<(), Failure> {
    let again = write_charts(out, found)?.into_iter().find(|path| !pictures.insert(path.clone()));
    match again {
        None => Ok(()),
        Some(path) => Err(Failure::Failed(format!("{}: drawn twice", path.display()))),
    }
}

fn page(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{name}.md"))
}

fn paper_page(paper: &Paper, found: &Table) -> String {
    let Paper { name, about, source, .. } = paper;
    let title = if found.title.is_empty() { about } else { found.title.as_str() };
    format!(
        "# {}\n\n{}.\n\nSource: {}.\nReproduce it: `tidings sim paper {name}`. \
         This page is written by `make results`.\n\n{}\n\n{}",
        plain(title),
        plain(&sentence(about)),
        plain(source.trim_end_matches('.')),
        verdict(found.passes()),
        found.markdown("paper"),
    )
}

/// Begins with a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// All questions, each with its experiment.
fn questions_page(flags: &Flags, pictures: &mut BTreeSet<PathBuf>) -> Result<String, Failure> {
    let (mut body, mut passed, mut of) = (String::new(), 0, 0);
    for question in QUESTIONS {
        let number = question.number;
        let found = flags.worked(&format!("question {number}"), &question.run)?;
        draw(&flags.out, &found, pictures)?;
        let (p, o) = found.passes();
        (passed, of) = (passed + p, of + o);
        let _ = write!(
            body,
            "\n## {number}. {}\n\n**The article says:** {}\n\n**True is:** {}\n\n\
             `tidings sim question {number}`\n\n{}",
            plain(question.asked),
            plain(question.article_says),
            plain(question.true_answer),
            found.markdown("article"),
        );
    }
    Ok(format!(
        "# Twenty questions, answered by experiments\n\nThe second article ends with twenty \
         interview questions. Each is answered here by something that runs. This page is written \
         by `make results`.\n\n{}\n{body}",
        verdict((passed, of)),
    ))
}

fn verdict((passed, of): (usize, usize)) -> String {
    format!("**{passed} of {of}** rows with a bar meet it.")
}

/// Reads the verdicts from the pages, so that one page can be written anew without the others.
fn index(out: &Path) -> String {
    let mut rows = String::new();
    let (mut passed, mut of) = (0, 0);
    let papers = PAPERS.iter().map(|p| (p.name, p.about, format!("paper {}", p.name)));
    let questions = "twenty questions of the second article, as experiments";
    for (name, about, command) in
        papers.chain([(QUESTIONS_PAGE, questions, "question all".to_owned())])
    {
        let Some((p, o)) = read_verdict(&page(out, name)) else { continue };
        (passed, of) = (passed + p, of + o);
        let _ = writeln!(
            rows,
            "| [{name}]({name}.md) | {} | {p} of {o} | `tidings sim {command}` |",
            plain(about)
        );
    }
    format!(
        "# Results\n\nWritten by `make results` from seed 1: the same seed writes the same pages. \
         A row passes when our value meets the bar that stands beside it; the paper's value is \
         shown where there is one.\n\n| page | shows | passes | command |\n|---|---|--:|---|\n{rows}\
         | | together | {passed} of {of} | |\n\nWritten by hand: [beside Serf](serf.md), measured on \
         real sockets; [replicated state](state.md) beside chitchat and merkle-search-tree; [the core](core.md) beside foca{}; [the errors of the articles](articles.md), and what is true.\n",
        if out.join("prediction.md").exists() {
            "; [prediction against reality](prediction.md), 50 real agents"
        } else {
            ""
        },
    )
}

/// `(passed, of)` of a page, where it is there.
fn read_verdict(path: &Path) -> Option<(usize, usize)> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|l| l.starts_with("**") && l.ends_with("meet it."))?;
    let (passed, of) = line.trim_start_matches("**").split_once("**")?.0.split_once(" of ")?;
    Some((passed.parse().ok()?, of.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_reads_what_a_page_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = page(dir.path(), "x");
        assert_eq!(read_verdict(&path), None);
        fs::write(&path, format!("# X\n\n{}\n", verdict((11, 12)))).unwrap();
        assert_eq!(read_verdict(&path), Some((11, 12)));
        assert!(index(dir.path()).contains("| | together | 0 of 0 | |"));
    }
}
