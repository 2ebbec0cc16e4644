//! Decides the life of an agent: what starts in which order, what signals do, how it ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tidings::{Node, StartError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Agent;
use crate::config::{self, Loaded, Settings};
use crate::http::{self, About, App};
use crate::log::{self, Log};
use crate::{Failure, os};

/// How long a leaving agent waits for its peers to hear of it.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
/// How long the answer to a leave over HTTP may take to reach its caller.
const LAST_ANSWER_WAIT: Duration = Duration::from_millis(50);
/// Between two samples of the counters, for rates.
const SAMPLE_PERIOD: Duration = Duration::from_secs(10);

/// Runs an agent in the foreground until it has left.
pub(crate) fn run(flags: &Agent) -> Result<(), Failure> {
    if let Some(parent) = flags.die_with_parent
        && !os::die_with_parent(parent)
    {
        return Err(Failure::Failed(format!("--die-with-parent {parent}: that process is gone")));
    }
    let loaded = config::load(flags)?;
    let log = log::start(loaded.settings.log_level);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    let result = runtime.block_on(live(flags, loaded, &log));
    log.flush();
    runtime.shutdown_background();
    result
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    End,
    Reload,
}

/// The signals that an agent answers.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// SIGTERM or SIGINT; hangups meanwhile are forgotten.
    async fn end(&mut self) {
        while self.next().await == Wish::Reload {}
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}

async fn live(flags: &Agent, mut loaded: Loaded, log: &Log) -> Result<(), Failure> {
    let mut signals = Signals::install()
        .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
    let wanted = loaded.settings.http;
    let listener = TcpListener::bind(wanted)
        .await
        .map_err(|error| Failure::Failed(format!("http {wanted}: {}", bind_reason(&error))))?;
    let http = listener.local_addr().unwrap_or(wanted);
    let node = tokio::select! {
        node = start(&loaded.settings) => node?,
        () = signals.end() => return Ok(()),
    };
    let newest_ms = node.query(|view, _| newest_ms(view)).await.unwrap_or(0);
    let app = Arc::new(App::new(node.clone(), About::new(&loaded.settings, http), newest_ms));
    serve(listener, &app);
    tokio::spawn(Arc::clone(&app.journal).keep(node.watch()));
    tokio::spawn(sample(Arc::clone(&app)));
    tracing::info!(id = %node.id(), gossip = %node.addr(), %http, "agent {} started", node.name());
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => loaded = reload(flags, loaded, &node, log).await,
                Wish::End => {
                    tracing::info!("leaving");
                    leave(&node, &mut signals).await;
                    break;
                }
            },
            () = app.leaving.notified() => {
                tokio::time::sleep(LAST_ANSWER_WAIT).await;
                break;
            }
            reason = node.stopped() => match reason {
                Some(reason) => return Err(Failure::Failed(format!("the node ended: {reason}"))),
                None => break,
            },
        }
    }
    node.stop().await;
    tracing::info!("agent ended");
    Ok(())
}

async fn start(settings: &Settings) -> Result<Node, Failure> {
    let mut builder = Node::builder(settings.name.clone())
        .bind(settings.bind.to_string())
        .config(settings.gossip.clone())
        .cluster(settings.gossip.cluster.clone())
        .join(settings.join.clone());
    if settings.advertise.is_some() || settings.bind.ip().is_unspecified() {
        builder = builder.advertise(settings.advertised().to_string());
    }
    if let Some(dir) = &settings.data_dir {
        builder = builder.data_dir(dir.clone());
    }
    for (key, value) in &settings.tags {
        builder = builder.tag(key.clone(), value.clone());
    }
    for (name, policy) in &settings.keyspaces {
        builder = builder.keyspace(name, *policy);
    }
    builder.start().await.map_err(|error: StartError| {
        let text = error.to_string();
        if error.misuse() { Failure::Misuse(text) } else { Failure::Failed(text) }
    })
}

/// The latest time that an entry bears.
fn newest_ms(view: &tidings::View<'_>) -> u64 {
    let keyspaces = view.keyspaces();
    let entries = keyspaces.iter().flat_map(|name| view.entries(name, b""));
    entries.map(|entry| entry.stamp.wall_ms()).max().unwrap_or(0)
}

fn serve(listener: TcpListener, app: &Arc<App>) {
    let files_max = os::lift_file_limit();
    tokio::spawn(http::serve(listener, http::router(Arc::clone(app)), files_max));
}

/// Tells the cluster; a second signal ends the wait.
async fn leave(node: &Node, signals: &mut Signals) {
    tokio::select! {
        result = tokio::time::timeout(LEAVE_WAIT, node.leave()) => match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("cannot leave: {error}"),
            Err(_) => tracing::warn!("leaving took too long: ending without"),
        },
        () = signals.end() => tracing::warn!("ending without waiting for the leave"),
    }
}

/// Takes over what can change while running, and logs what changed or why nothing did.
async fn reload(flags: &Agent, old: Loaded, node: &Node, log: &Log) -> Loaded {
    let new = match config::load(flags) {
        Ok(new) => new,
        Err(Failure::Misuse(text) | Failure::Failed(text)) => {
            tracing::error!("reload refused, nothing changed: {text}");
            return old;
        }
        Err(Failure::PipeClosed) => return old,
    };
    for key in old.needs_restart(&new) {
        tracing::warn!("reload: {key} changed in the settings, but needs a restart");
    }
    let mut merged = old;
    if new.settings.log_level != merged.settings.log_level {
        log.set_level(new.settings.log_level);
        tracing::info!("reload: log_level is {}", new.settings.log_level);
        merged.settings.log_level = new.settings.log_level;
    }
    reload_tags(&mut merged.settings, &new.settings, node).await;
    reload_seeds(&mut merged.settings, &new.settings, node).await;
    tracing::info!("reload done");
    merged
}

async fn reload_tags(old: &mut Settings, new: &Settings, node: &Node) {
    let set: Vec<(String, String)> = new
        .tags
        .iter()
        .filter(|(key, value)| old.tags.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let unset: Vec<String> =
        old.tags.keys().filter(|key| !new.tags.contains_key(*key)).cloned().collect();
    if set.is_empty() && unset.is_empty() {
        return;
    }
    let text = format!("set {set:?}, unset {unset:?}");
    match node.set_tags(set, unset).await {
        Ok(()) => {
            old.tags.clone_from(&new.tags);
            tracing::info!("reload: tags: {text}");
        }
        Err(error) => tracing::error!("reload: tags refused: {error}"),
    }
}

async fn reload_seeds(old: &mut Settings, new: &Settings, node: &Node) {
    if new.join == old.join {
        return;
    }
    let mut addrs = Vec::new();
    for seed in &new.join {
        match tokio::net::lookup_host(seed).await {
            Ok(found) => addrs.extend(found),
            Err(error) => {
                tracing::error!("reload: seeds refused: {seed}: {error}");
                return;
            }
        }
    }
    match node.set_seeds(addrs).await {
        Ok(()) => {
            tracing::info!("reload: seeds are {}", new.join.join(","));
            old.join.clone_from(&new.join);
        }
        Err(error) => tracing::error!("reload: seeds refused: {error}"),
    }
}

/// Samples the counters now and then, so that rates need no second question.
async fn sample(app: Arc<App>) {
    loop {
        let Ok(sent_received) =
            app.node.query(|_, stats| (stats.datagrams_sent, stats.datagrams_received)).await
        else {
            return;
        };
        app.rates.note(sent_received);
        tokio::time::sleep(SAMPLE_PERIOD).await;
    }
}

fn bind_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this host does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission for this port".to_owned(),
        _ => error.to_string(),
    }
}
