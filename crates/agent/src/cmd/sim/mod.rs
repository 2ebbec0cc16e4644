//! Decides what the simulator's commands share: threads, seed, progress on a terminal, and Ctrl-C
//! that keeps what is finished.

mod epidemic;
mod fuzz;
mod paper;
mod question;
mod reconcile;
mod results;
mod rumor;
mod run;
mod sweep;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use tidings_sim::work::Work;

use crate::Failure;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum Sim {
    /// Run a scenario file on the virtual network.
    Run(run::Flags),
    /// Spread one update by push, pull or push-pull, without packets.
    Epidemic(epidemic::Flags),
    /// Spread one rumour that goes cold (Demers et al. 1987), without packets.
    Rumor(rumor::Flags),
    /// Run a scenario over a grid of values, on all cores; goes on where it was stopped.
    Sweep(sweep::Flags),
    /// Hunt for broken rules in random scenarios.
    Fuzz(fuzz::Flags),
    /// Reproduce a published table, with pass or fail.
    Paper(paper::Flags),
    /// Answer one of the article's twenty questions by an experiment.
    Question(question::Flags),
    /// Make two replicas that differ equal, and say what it cost.
    Reconcile(reconcile::Flags),
    /// Write the pages of docs/results.
    #[command(hide = true)]
    Results(results::Flags),
}

/// Flags of commands that run long.
#[derive(clap::Args, Debug)]
pub(crate) struct Effort {
    /// Threads [default: all cores]; results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Seed of all randomness: equal seeds give equal results.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
}

pub(crate) fn run(command: Sim) -> Result<(), Failure> {
    match command {
        Sim::Run(flags) => run::run(&flags),
        Sim::Epidemic(flags) => epidemic::run(&flags),
        Sim::Rumor(flags) => rumor::run(&flags),
        Sim::Sweep(flags) => sweep::run(&flags),
        Sim::Fuzz(flags) => fuzz::run(&flags),
        Sim::Paper(flags) => paper::run(&flags),
        Sim::Question(flags) => question::run(&flags),
        Sim::Reconcile(flags) => reconcile::run(&flags),
        Sim::Results(flags) => results::run(&flags),
    }
}

impl Effort {
    /// Does the work with a progress bar (where standard error is a terminal) until it is done or
    /// Ctrl-C asks it to keep what is finished. A second Ctrl-C ends the process.
    pub(crate) fn work<T>(&self, quick: bool, run: impl FnOnce(&Work<'_>) -> T) -> T {
        let stop = Arc::new(AtomicBool::new(false));
        stop_at_interrupt(Arc::clone(&stop));
        let bar = ProgressBar::new(0); // hidden where standard error is no terminal
        let style = "{msg} {wide_bar} {pos}/{len} {eta}";
        bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
        let progress = |done: usize, of: usize, what: &str| {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
            bar.set_message(what.to_owned());
        };
        let jobs = self.jobs.map_or_else(cores, usize::from);
        let work = Work { jobs, seed: self.seed, quick, progress: &progress, stop: &stop };
        let result = run(&work);
        bar.finish_and_clear();
        result
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn stop_at_interrupt(stop: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let _ = super::block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
            Ok(())
        });
    });
}
