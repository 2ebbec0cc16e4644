//! Decides which path answers what, and how a refusal reads: plain text with a fitting status.

mod aggregate;
mod blocking;
mod consul;
mod coordinates;
mod flags;
mod keyspace;
mod kv;
mod metrics;
mod native;
mod query;
mod receipt;
mod reload;
mod serve;
mod session;
mod value;
mod watch;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use http_body_util::BodyExt;
use serde::Serialize;
use tidings::{CommandError, Dot, Error, FlagRefused, Node, Stopped};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::config::Settings;
use crate::journal::Journal;
use crate::os;

pub(crate) use reload::ReloadOrder;
pub(crate) use serve::serve;

/// What an over-long body may still send before the connection is cut: its sender then reads the
/// refusal instead of a reset.
const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// From one part of a body to the next.
const BODY_WAIT: Duration = Duration::from_secs(20);
/// Samples kept for rates: one minute of them.
const SAMPLES_MAX: usize = 6;

/// What the handlers share.
pub(crate) struct App {
    pub(crate) node: Node,
    pub(crate) about: About,
    pub(crate) journal: Arc<Journal>,
    pub(crate) rates: Rates,
    /// Told when a leave over HTTP is done.
    pub(crate) leaving: Notify,
    reloads: mpsc::Sender<ReloadOrder>,
    watchers: AtomicUsize,
    watch_missed: AtomicU64,
    /// Positions of entries are told above this, so that they never fall, not over a restart.
    index_base: u64,
    /// One listing of keys at a time asks the node.
    listings: Arc<tokio::sync::Mutex<()>>,
    /// One large answer at a time is made up, beside the node's thread.
    renderings: Semaphore,
}

/// What a reload came to: the settings that changed, and those that wait for a restart.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) changed: Vec<String>,
    pub(crate) restart: Vec<String>,
}

/// What is known of the agent itself; only a reload changes some of it.
pub(crate) struct About {
    http: SocketAddr,
    cluster: String,
    profile: Mutex<String>,
    data_dir: Option<String>,
    started: Instant,
    started_ms: u64,
}

/// Counters of the last minute.
#[derive(Default)]
pub(crate) struct Rates {
    samples: Mutex<VecDeque<(Instant, u64, u64)>>,
}

impl App {
    /// `newest_ms` is the latest time of an entry that was there at the start.
    pub(crate) fn new(
        node: Node,
        about: About,
        newest_ms: u64,
        reloads: mpsc::Sender<ReloadOrder>,
    ) -> App {
        // Microseconds since 1970: no node applies as many changes in its life.
        let index_base = about.started_ms.max(newest_ms + 1).saturating_mul(1000);
        App {
            node,
            about,
            journal: Arc::default(),
            rates: Rates::default(),
            leaving: Notify::new(),
            reloads,
            watchers: AtomicUsize::new(0),
            watch_missed: AtomicU64::new(0),
            index_base,
            listings: Arc::default(),
            renderings: Semaphore::new(1),
        }
    }
}

impl About {
    pub(crate) fn new(settings: &Settings, http: SocketAddr) -> About {
        About {
            http,
            cluster: settings.gossip.cluster.clone(),
            profile: Mutex::new(settings.profile.clone()),
            data_dir: settings.data_dir.as_ref().map(|dir| dir.display().to_string()),
            started: Instant::now(),
            started_ms: os::unix_ms(),
        }
    }
}

impl About {
    pub(crate) fn set_profile(&self, name: &str) {
        if let Ok(mut profile) = self.profile.lock() {
            name.clone_into(&mut profile);
        }
    }

    fn profile(&self) -> String {
        self.profile.lock().map(|profile| profile.clone()).unwrap_or_default()
    }
}

impl Rates {
    pub(crate) fn note(&self, (sent, received): (u64, u64)) {
        let Ok(mut samples) = self.samples.lock() else { return };
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back((Instant::now(), sent, received));
    }

    /// Datagrams sent and received per second over the last minute.
    fn per_second(&self, sent: u64, received: u64) -> (f64, f64) {
        let Ok(samples) = self.samples.lock() else { return (0.0, 0.0) };
        let Some((at, sent_then, received_then)) = samples.front() else { return (0.0, 0.0) };
        let seconds = at.elapsed().as_secs_f64().max(0.001);
        let rate =
            |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds * 10.0).round() / 10.0;
        (rate(sent, *sent_then), rate(received, *received_then))
    }
}

/// The table of paths.
pub(crate) fn router(app: Arc<App>) -> Router {
    let kv_methods = || get(kv::consul_read).put(kv::consul_write).delete(kv::consul_delete);
    let native_kv = || {
        get(kv::native_read)
            .put(kv::native_write)
            .patch(kv::native_update)
            .delete(kv::native_delete)
    };
    Router::new()
        .route("/v1/agent/members", get(consul::members))
        .route("/v1/agent/self", get(consul::this_agent))
        .route("/v1/agent/join/{addr}", put(consul::join))
        .route("/v1/agent/leave", put(consul::leave))
        .route("/v1/agent/reload", put(reload::consul_reload))
        .route("/v1/agent/force-leave/{node}", put(consul::force_leave))
        .route("/v1/event/fire/{name}", put(consul::fire))
        .route("/v1/event/list", get(consul::events))
        .route("/v1/coordinate/nodes", get(coordinates::nodes))
        .route("/v1/kv", kv_methods())
        .route("/v1/kv/", kv_methods())
        .route("/v1/kv/{*key}", kv_methods())
        .route("/v1/tidings/status", get(native::status))
        .route("/v1/tidings/members", get(native::members))
        .route("/v1/tidings/why/{node}", get(native::why))
        .route("/v1/tidings/rtt/{a}", get(coordinates::from_here))
        .route("/v1/tidings/rtt/{a}/{b}", get(coordinates::pair))
        .route("/v1/tidings/events", get(native::events))
        .route("/v1/tidings/tags", get(native::tags).put(native::set_tags))
        .route("/v1/tidings/tags/{key}", delete(native::unset_tag))
        .route("/v1/tidings/reload", put(reload::reload).post(reload::reload))
        .route("/v1/tidings/receipt", get(receipt::receipt))
        .route("/v1/tidings/agreement", get(receipt::agreement))
        .route("/v1/tidings/trace/{*key}", get(receipt::trace))
        .route("/v1/tidings/watch", get(watch::watch))
        .route("/v1/tidings/aggregate", get(aggregate::names))
        .route(
            "/v1/tidings/aggregate/{name}",
            get(aggregate::read).put(aggregate::put).delete(aggregate::withdraw),
        )
        .route("/v1/tidings/flags", get(flags::list))
        .route("/v1/tidings/flags/{name}", get(flags::read).put(flags::set).delete(flags::delete))
        .route("/v1/tidings/flags/{name}/stage", put(flags::stage))
        .route("/v1/tidings/flags/{name}/promote", put(flags::promote))
        .route("/v1/tidings/flags/{name}/rollback", put(flags::roll_back))
        .route("/v1/tidings/flags/{name}/alarm", put(flags::alarm))
        .route("/v1/tidings/conflicts", get(kv::conflicts))
        .route("/v1/tidings/keyspace", get(keyspace::list))
        .route("/v1/tidings/keyspace/{name}", get(keyspace::one).put(keyspace::declare))
        .route("/v1/tidings/kv", get(kv::keyspaces))
        .route("/v1/tidings/kv/{keyspace}", native_kv())
        .route("/v1/tidings/kv/{keyspace}/", native_kv())
        .route("/v1/tidings/kv/{keyspace}/{*key}", native_kv())
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(native::healthz))
        .route("/readyz", get(native::readyz))
        .fallback(|| async { Fault::new(StatusCode::NOT_FOUND, "no such endpoint") })
        .layer(middleware::from_fn(plain_refusals))
        .with_state(app)
}

/// OPTIONS is answered with what is allowed; a method that is not says so in words too.
async fn plain_refusals(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    if method == Method::OPTIONS {
        *response.status_mut() = StatusCode::OK;
        return response;
    }
    let allowed = response.headers().get(header::ALLOW).cloned();
    let text = format!("method {method} is not allowed on {path}");
    let mut refusal = Fault::new(StatusCode::METHOD_NOT_ALLOWED, text).into_response();
    if let Some(allowed) = allowed {
        refusal.headers_mut().insert(header::ALLOW, allowed);
    }
    refusal
}

/// Why a request is refused.
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    text: String,
    /// What a session has seen and this agent lacks.
    missing: Vec<Dot>,
    /// When it is worth trying again.
    retry_after: Option<Duration>,
}

impl Fault {
    fn new(status: StatusCode, text: impl Into<String>) -> Fault {
        Fault { status, text: text.into(), missing: Vec::new(), retry_after: None }
    }

    fn bad(text: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, text)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        if !self.missing.is_empty() {
            return session::stale(&self.missing, &self.text);
        }
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        let mut response = (self.status, kind, self.text).into_response();
        if let Some(wait) = self.retry_after {
            // Whole seconds is all that the header can say.
            let seconds = HeaderValue::from(wait.as_millis().div_ceil(1000) as u64);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<Stopped> for Fault {
    fn from(stopped: Stopped) -> Fault {
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())
    }
}

/// What this node lacks is told to programs too.
impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        let status = match &error {
            Error::Refused(refused) => status_of(refused),
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let missing = match &error {
            Error::Refused(CommandError::Stale { missing }) => missing.clone(),
            _ => Vec::new(),
        };
        let retry_after = match &error {
            Error::Refused(CommandError::Overloaded { retry_after, .. }) => Some(*retry_after),
            Error::Refused(CommandError::Busy | CommandError::NotSynced) => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        };
        Fault { status, text: error.to_string(), missing, retry_after }
    }
}

/// Whose fault a refused command is.
fn status_of(refused: &CommandError) -> StatusCode {
    match refused {
        CommandError::KeyLength { .. }
        | CommandError::Keyspace { .. }
        | CommandError::TooManyWrites { .. }
        | CommandError::Lifetime { .. }
        | CommandError::FactsLength { .. }
        | CommandError::Tag { .. }
        | CommandError::Full { what: "tags", .. } => StatusCode::BAD_REQUEST,
        CommandError::ValueLength { .. } | CommandError::EventLength { .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        CommandError::UnknownMember { .. } | CommandError::UnknownKey { .. } => {
            StatusCode::NOT_FOUND
        }
        CommandError::MemberAlive { .. }
        | CommandError::Kind { .. }
        | CommandError::Flag { refused: FlagRefused::NoStage | FlagRefused::Stopped, .. } => {
            StatusCode::CONFLICT
        }
        CommandError::Flag { refused: FlagRefused::Unknown, .. } => StatusCode::NOT_FOUND,
        CommandError::Flag { .. } | CommandError::Aggregate { .. } => StatusCode::BAD_REQUEST,
        CommandError::UnknownKeyspace { .. } => StatusCode::NOT_FOUND,
        CommandError::Policy { .. } | CommandError::Stale { .. } | CommandError::SessionFull => {
            StatusCode::CONFLICT
        }
        CommandError::SessionExpired => StatusCode::GONE,
        CommandError::Reserved { .. } => StatusCode::FORBIDDEN,
        CommandError::Operation(_) | CommandError::Setting(_) => StatusCode::BAD_REQUEST,
        CommandError::NoReceipt { .. } => StatusCode::BAD_REQUEST,
        CommandError::NotEnough(_) => StatusCode::GATEWAY_TIMEOUT,
        CommandError::Busy
        | CommandError::Overloaded { .. }
        | CommandError::Full { what: "receipts", .. } => StatusCode::TOO_MANY_REQUESTS,
        CommandError::JoinFailed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A JSON answer, indented if asked for.
fn json<T: Serialize>(value: &T, pretty: bool) -> Result<Response, Fault> {
    let text = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    let text =
        text.map_err(|error| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// The body of a request, or 413. The rest of a body that is too long is read and forgotten.
async fn body_within(body: Body, max: usize, what: &str) -> Result<Bytes, Fault> {
    let mut body = body;
    let mut bytes = Vec::new();
    let mut total = 0;
    loop {
        let Ok(frame) = tokio::time::timeout(BODY_WAIT, body.frame()).await else {
            let text = format!("{what}: nothing of the body came for {BODY_WAIT:?}");
            return Err(Fault::new(StatusCode::REQUEST_TIMEOUT, text));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Fault::bad(format!("the body broke off: {error}")))?;
        let Some(data) = frame.data_ref() else { continue };
        total += data.len();
        if total <= max {
            bytes.extend_from_slice(data);
        } else if total > DRAIN_BYTES_MAX {
            break;
        }
    }
    if total > max {
        let text = format!("{what} of {total} bytes: expected at most {max}");
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(Bytes::from(bytes))
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
