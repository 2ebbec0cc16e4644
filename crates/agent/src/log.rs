//! Decides how log lines reach standard error: through a bounded queue and a thread of their own,
//! so that a slow reader costs lines, which are counted, and never time.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, reload};

/// Lines that wait for the reader. More: the newest is dropped and counted.
const LINES_WAITING_MAX: usize = 1024;
/// How long the end of the process waits for the last lines to be read.
const FLUSH_WAIT: Duration = Duration::from_millis(200);

static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Item {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The running log.
pub(crate) struct Log {
    queue: SyncSender<Item>,
    filter: reload::Handle<LevelFilter, Registry>,
}

/// Starts the log; call once.
pub(crate) fn start(level: LevelFilter) -> Log {
    let (queue, lines) = sync_channel(LINES_WAITING_MAX);
    let writer = std::thread::Builder::new().name("log".to_owned()).stack_size(64 * 1024);
    if writer.spawn(move || write_lines(&lines)).is_err() {
        let _ = writeln!(std::io::stderr(), "tidings: no thread for the log: logging is off");
    }
    let (filter, handle) = reload::Layer::new(level);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let format = tracing_subscriber::fmt::layer()
        .with_ansi(colours)
        .with_target(false)
        .with_writer(Lines { queue: queue.clone() });
    let subscriber = tracing_subscriber::registry().with(filter).with(format);
    let _ = tracing::subscriber::set_global_default(subscriber);
    Log { queue, filter: handle }
}

impl Log {
    pub(crate) fn set_level(&self, level: LevelFilter) {
        let _ = self.filter.reload(level);
    }

    /// Waits a little for the last lines; a reader that does not read loses them.
    pub(crate) fn flush(&self) {
        let (done, finished) = sync_channel(1);
        if self.queue.try_send(Item::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(FLUSH_WAIT);
        }
    }
}

/// Lines dropped since the start because nobody read them.
pub(crate) fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn write_lines(lines: &Receiver<Item>) {
    let mut reported = 0;
    while let Ok(item) = lines.recv() {
        let mut out = std::io::stderr();
        match item {
            Item::Line(line) => {
                let _ = out.write_all(&line);
            }
            Item::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let dropped = lines_dropped();
        if dropped > reported {
            let _ = writeln!(out, "{} log lines dropped: the reader is slow", dropped - reported);
            reported = dropped;
        }
    }
}

/// Hands each line to the queue as a whole.
struct Lines {
    queue: SyncSender<Item>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: &self.queue, bytes: Vec::with_capacity(160) }
    }
}

struct Line<'a> {
    queue: &'a SyncSender<Item>,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.queue.try_send(Item::Line(std::mem::take(&mut self.bytes))).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
