//! Decides which mode runs and what it ends with: exit 0 done, 1 failed, 2 misuse.

mod args;
mod client;
mod cmd;
mod config;
mod daemon;
mod http;
mod journal;
mod log;
mod os;

use std::process::ExitCode;

use args::Command;

/// Why a mode ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user asked for something that cannot be: exit 2.
    Misuse(String),
    /// What was asked for did not work: exit 1.
    Failed(String),
    /// Whoever read our output has had enough: exit 0.
    PipeClosed,
}

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match run(args) {
        Ok(()) | Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => {
            complain(&text);
            ExitCode::from(1)
        }
        Err(Failure::Misuse(text)) => {
            complain(&text);
            ExitCode::from(2)
        }
    }
}

/// The table of modes.
fn run(args: args::Args) -> Result<(), Failure> {
    let agent = client::Client::new(&args.http_addr);
    match args.command {
        Command::Agent(flags) => cmd::agent::run(&flags),
        Command::Demo(flags) => cmd::demo::run(&flags),
        Command::Config(flags) => cmd::config::run(&flags),
        Command::Members(flags) => cmd::members::run(&agent?, &flags),
        Command::Status(flags) => cmd::status::run(&agent?, &flags),
        Command::Trace(flags) => cmd::receipt::trace(&agent?, &flags),
        Command::Why(flags) => cmd::why::run(&agent?, &flags),
        Command::Rtt(flags) => cmd::rtt::run(&agent?, &flags),
        Command::Join(flags) => cmd::join::run(&agent?, &flags),
        Command::Leave => cmd::leave::run(&agent?),
        Command::ForceLeave(flags) => cmd::force_leave::run(&agent?, &flags),
        Command::Reload(flags) => cmd::reload::run(&agent?, &flags),
        Command::Keyspace(command) => cmd::keyspace::run(&agent?, &command),
        Command::Kv(flags) => cmd::kv::run(&agent?, flags),
        Command::Aggregate(command) => cmd::aggregate::run(&agent?, command),
        Command::Flag(command) => cmd::flag::run(&agent?, command),
        Command::Tags(flags) => cmd::tags::run(&agent?, &flags),
        Command::Event(flags) => cmd::event::run(&agent?, &flags),
        Command::Monitor(flags) => cmd::monitor::run(&agent?, &flags),
        Command::Plan(flags) => cmd::plan::run(agent, &flags),
        Command::Advise(flags) => cmd::advise::run(&flags),
        Command::Sim(command) => cmd::sim::run(command),
    }
}

/// One line on standard error, whatever the text contains.
fn complain(text: &str) {
    use std::io::Write;
    let line: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let _ = writeln!(std::io::stderr(), "tidings: {}", line.join("; "));
}
