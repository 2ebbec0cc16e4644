//! Decides the life of an agent: what starts in which order, what signals do, how it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidings::{CommandError, Config, Node, StartError, Zones};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::Agent;
use crate::config::{self, Loaded, Settings};
use crate::http::{self, About, App, Reloaded};
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

/// Reloads asked for over HTTP that wait; further callers wait for room.
const RELOADS_WAITING_MAX: usize = 4;

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
    let (reload_orders, mut reloads) = mpsc::channel(RELOADS_WAITING_MAX);
    let about = About::new(&loaded.settings, http);
    let app = Arc::new(App::new(node.clone(), about, newest_ms, reload_orders));
    serve(listener, &app);
    tokio::spawn(Arc::clone(&app.journal).keep(node.watch()));
    tokio::spawn(sample(Arc::clone(&app)));
    tracing::info!(id = %node.id(), gossip = %node.addr(), %http, "agent {} started", node.name());
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => note_reload(&reload(flags, &mut loaded, &app, log).await),
                Wish::End => {
                    tracing::info!("leaving");
                    leave(&node, &mut signals).await;
                    break;
                }
            },
            Some(answer) = reloads.recv() => {
                let result = reload(flags, &mut loaded, &app, log).await;
                note_reload(&result);
                let _ = answer.send(result); // who asked may have gone
            }
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

/// Takes over what can change while running; an error means that nothing changed.
async fn reload(
    flags: &Agent,
    running: &mut Loaded,
    app: &App,
    log: &Log,
) -> Result<Reloaded, Failure> {
    let newer = config::load(flags)?;
    let (changed, restart) = running.differing(&newer);
    let seeds = match newer.settings.join == running.settings.join {
        true => None,
        false => Some(addresses(&newer.settings.join).await?),
    };
    take_over(&running.settings, &newer.settings, &app.node, seeds).await.map_err(|error| {
        match error {
            tidings::Error::Refused(CommandError::Setting(_) | CommandError::Tag { .. }) => {
                Failure::Misuse(error.to_string())
            }
            _ => Failure::Failed(error.to_string()),
        }
    })?;
    log.set_level(newer.settings.log_level);
    app.about.set_profile(&newer.settings.profile);
    running.take_live(newer);
    Ok(Reloaded { changed, restart })
}

/// Tags may be refused for their size, so they come first.
async fn take_over(
    old: &Settings,
    new: &Settings,
    node: &Node,
    seeds: Option<Vec<SocketAddr>>,
) -> Result<(), tidings::Error> {
    let differs = |(key, value): &(&String, &String)| old.tags.get(*key) != Some(*value);
    let set: Vec<(String, String)> =
        new.tags.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect();
    let unset: Vec<String> =
        old.tags.keys().filter(|key| !new.tags.contains_key(*key)).cloned().collect();
    if !set.is_empty() || !unset.is_empty() {
        // The tag `zone` and the list of zones may change together: any zone will do meanwhile.
        let any = Config { zones: Zones::default(), ..old.gossip.clone() };
        node.reconfigure(any).await?;
        if let Err(error) = node.set_tags(set, unset).await {
            node.reconfigure(old.gossip.clone()).await?;
            return Err(error);
        }
    }
    let cluster = old.gossip.cluster.clone();
    node.reconfigure(Config { cluster, ..new.gossip.clone() }).await?;
    match seeds {
        Some(addrs) => node.set_seeds(addrs).await,
        None => Ok(()),
    }
}

async fn addresses(seeds: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let mut addrs = Vec::new();
    for seed in seeds {
        let found = tokio::net::lookup_host(seed).await;
        addrs.extend(found.map_err(|error| Failure::Misuse(format!("join {seed}: {error}")))?);
    }
    Ok(addrs)
}

/// Says in the log what a reload came to.
fn note_reload(result: &Result<Reloaded, Failure>) {
    match result {
        Ok(Reloaded { changed, restart }) => {
            for key in restart {
                tracing::warn!("reload: {key} changed in the settings, but needs a restart");
            }
            let changed =
                if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
            tracing::info!("reload done: changed {changed}");
        }
        Err(Failure::Misuse(text) | Failure::Failed(text)) => {
            tracing::error!("reload refused, nothing changed: {text}");
        }
        Err(Failure::PipeClosed) => {}
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
