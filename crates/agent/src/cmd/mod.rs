//! Decides what all commands share: how they run, and how they print.

pub(crate) mod advise;
pub(crate) mod agent;
pub(crate) mod aggregate;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod event;
pub(crate) mod flag;
pub(crate) mod force_leave;
pub(crate) mod join;
pub(crate) mod keyspace;
pub(crate) mod kv;
pub(crate) mod leave;
pub(crate) mod members;
pub(crate) mod monitor;
pub(crate) mod plan;
pub(crate) mod receipt;
pub(crate) mod reload;
pub(crate) mod rtt;
pub(crate) mod sim;
pub(crate) mod status;
pub(crate) mod tags;
pub(crate) mod why;

use std::io::{ErrorKind, Read, Write};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use tidings_proto::limits::VALUE_BYTES_MAX;
use tokio::sync::oneshot;

use crate::Failure;

/// Runs a command to its end on this thread.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime: {error}")))?
        .block_on(work)
}

/// Runs a command that follows events, until its reader has had enough.
fn follow(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on(async {
        tokio::select! {
            result = work => result,
            () = reader_gone() => Err(Failure::PipeClosed),
        }
    })
}

/// Done when nobody reads standard output any more; a write would tell as well, but there may be
/// nothing to write for long.
async fn reader_gone() {
    let (gone, told) = oneshot::channel();
    std::thread::spawn(move || {
        let out = std::io::stdout();
        let mut fds = [PollFd::new(&out, PollFlags::empty())];
        while rustix::event::poll(&mut fds, None) == Err(Errno::INTR) {}
        if !fds[0].revents().is_empty() {
            let _ = gone.send(());
        }
    });
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Writes to standard output, at once.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::PipeClosed,
        _ => Failure::Failed(format!("standard output: {error}")),
    })
}

fn print_line(text: &str) -> Result<(), Failure> {
    print(format!("{text}\n").as_bytes())
}

/// JSON of the agent, as it came, with a line end.
fn print_json(json: &[u8]) -> Result<(), Failure> {
    print(&[json, b"\n"].concat())
}

fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(json)
        .map_err(|error| Failure::Failed(format!("the agent's answer is not understood: {error}")))
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    read_some(std::io::stdin().lock())
        .map_err(|error| Failure::Failed(format!("standard input: {error}")))
}

/// All there is, or as much as is too much for any value: some sources have no end.
fn read_some(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Columns under a header.
fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Text of others for a terminal: control characters are escaped.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped: Vec<char> =
                if c.is_control() { c.escape_default().collect() } else { vec![c] };
            escaped
        })
        .collect()
}
