//! Decides the answers of Tidings' own API: full records of members, reasons, tags, status.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::json;
use tidings::{Config, Contact, Evidence, Level, Member, NodeId, Paced};

use tidings_proto::convergence::delay::Delays;
use tidings_proto::convergence::held::Groups;
use tidings_proto::convergence::quiet::Quiet;

use super::query::Query;
use super::{App, Fault, body_within, json, millis};
use crate::{log, os};

/// Groups of equal states that a status shows: the largest.
const GROUPS_SHOWN: usize = 10;
/// What is read of a change of tags; the node's own bounds are far below.
const TAGS_BODY_MAX: usize = 64 * 1024;

/// A member's full record.
#[derive(Serialize)]
pub(super) struct MemberRecord<'a> {
    pub(super) name: &'a str,
    pub(super) status: &'static str,
    pub(super) id: String,
    pub(super) addr: String,
    pub(super) incarnation: u64,
    pub(super) confirmed: bool,
    pub(super) suppressed: bool,
    pub(super) tags: &'a BTreeMap<String, String>,
}

pub(super) fn member_record(member: &Member) -> MemberRecord<'_> {
    MemberRecord {
        name: &member.name,
        status: member.status.as_str(),
        id: member.id.to_string(),
        addr: member.addr.to_string(),
        incarnation: member.incarnation,
        confirmed: member.confirmed,
        suppressed: member.suppressed,
        tags: &member.tags,
    }
}

pub(super) async fn members(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let mut members = app.node.members().await?;
    members.sort_unstable_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    json(&members.iter().map(member_record).collect::<Vec<_>>(), query.pretty())
}

pub(super) async fn why(
    State(app): State<Arc<App>>,
    Path(node): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    let wanted = node.clone();
    let found = app
        .node
        .query(move |view, _| {
            let by_id = NodeId::parse(&wanted).and_then(|id| view.member_by_id(id));
            let member = view.member(&wanted).or(by_id)?;
            let level = view.level(member.id);
            Some((view.evidence(member.id), view.contact(member.id), level, member))
        })
        .await?;
    let Some((evidence, contact, level, member)) = found else {
        return Err(Fault::new(StatusCode::NOT_FOUND, format!("no member is named {node:?}")));
    };
    let record = why_record(&member, evidence.as_ref(), contact.as_ref(), level.as_ref());
    json(&record, query.pretty())
}

/// Times are between happenings: the node's clock has no meaning elsewhere.
fn why_record(
    member: &Member,
    evidence: Option<&Evidence>,
    contact: Option<&Contact>,
    level: Option<&Level>,
) -> serde_json::Value {
    let mut record = json!(member_record(member));
    record["rtt_ms"] = json!(contact.and_then(|c| c.rtt).map(millis));
    record["suspicion"] = json!(level.map(|l| {
        json!({
            "detector": l.detector.to_string(),
            // Akka's form has no end; JSON's numbers have.
            "level": l.level.min(1e9),
            "threshold": l.threshold,
            "silent_ms": millis(l.silence),
        })
    }));
    record["evidence"] = json!(evidence.map(|e| {
        let heard = contact.and_then(|c| c.last_heard).filter(|at| *at <= e.first_accused);
        let accusers: Vec<_> =
            e.accusers.iter().map(|(name, how)| json!({ "name": name, "how": how })).collect();
        json!({
            "outcome": e.outcome,
            "incarnation": e.incarnation,
            "accusers": accusers,
            "silent_before_ms": heard.map(|at| millis(e.first_accused.since(at))),
            "decided_after_ms": e.decided.map(|at| millis(at.since(e.first_accused))),
        })
    }));
    record
}

pub(super) async fn events(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let mut events = app.node.query(|view, _| view.events()).await?;
    events.sort_by_key(|event| (event.stamp, event.origin, event.seq));
    let records: Vec<_> = events
        .iter()
        .map(|event| {
            json!({
                "name": event.name,
                "payload": BASE64_STANDARD.encode(&event.payload),
                "from": event.from,
                "origin": event.origin.to_string(),
                "seq": event.seq,
                "at_ms": event.stamp.wall_ms(),
            })
        })
        .collect();
    json(&records, query.pretty())
}

pub(super) async fn tags(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let me = app.node.query(|view, _| view.me()).await?;
    json(&me.tags, query.pretty())
}

/// Merges an object of strings; `null` removes a tag.
pub(super) async fn set_tags(State(app): State<Arc<App>>, body: Body) -> Result<Response, Fault> {
    let body = body_within(body, TAGS_BODY_MAX, "tags").await?;
    let changes: BTreeMap<String, Option<String>> =
        serde_json::from_slice(&body).map_err(|error| {
            Fault::bad(format!("tags: {error}: expected an object such as {{\"role\":\"web\"}}"))
        })?;
    let (mut set, mut unset) = (Vec::new(), Vec::new());
    for (key, value) in changes {
        match value {
            Some(value) => set.push((key, value)),
            None => unset.push(key),
        }
    }
    app.node.set_tags(set, unset).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn unset_tag(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
) -> Result<Response, Fault> {
    app.node.set_tags(Vec::new(), vec![key]).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn status(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let about = &app.about;
    let (mut status, sent, received) = app
        .node
        .query(|view, stats| {
            let me = view.me();
            let (alive, failed, left) = view.counts();
            let (live, deleted) = view.entry_counts();
            let (members, state) = view.fingerprints();
            let suppressed = view.members().filter(|member| member.suppressed).count();
            let drops: BTreeMap<&str, u64> =
                stats.each().filter(|(name, n)| *n > 0 && is_drop(name)).collect();
            let keyspaces: Vec<String> = view.keyspaces().iter().map(|n| n.to_string()).collect();
            let seeds: Vec<String> = view.seeds().iter().map(ToString::to_string).collect();
            let status = json!({
                "name": me.name,
                "id": me.id.to_string(),
                "addr": me.addr.to_string(),
                "status": me.status.as_str(),
                "incarnation": me.incarnation,
                "tags": me.tags,
                "members": { "alive": alive, "failed": failed, "left": left, "suppressed": suppressed },
                "entries": { "live": live, "deleted": deleted },
                // Deletes that are not forgotten yet, and failed members that they wait for.
                "tombstones": { "count": view.tombstones(), "wait_for": view.waited_for() },
                "keyspaces": keyspaces,
                "fingerprints": {
                    "members": format!("{members:032x}"),
                    "state": format!("{state:032x}"),
                },
                "spread_ms": millis(view.spread_time()),
                "timers": timers(view.config()),
                "pace": pace(view.paced().as_ref(), view.settings()),
                "rtt": round_trips(view.round_trips().collect()),
                "owning": view.owning().as_str(),
                "local_health": view.local_health(),
                "rumours_waiting": view.rumours_waiting(),
                "seeds": seeds,
                "state_groups": groups(&view.state_groups()),
                "quiet": quiet(view.quiet()),
                "delays": delays(view.delays()),
                "synced": view.synced(),
                "left": view.left(),
                "writes_refused": view.writes_refused(),
                "drops": drops,
            });
            (status, stats.datagrams_sent, stats.datagrams_received)
        })
        .await?;
    let (sent, received) = app.rates.per_second(sent, received);
    status["cluster"] = json!(about.cluster);
    status["profile"] = json!(about.profile());
    status["http"] = json!(about.http.to_string());
    status["data_dir"] = json!(about.data_dir);
    status["version"] = json!(env!("CARGO_PKG_VERSION"));
    status["pid"] = json!(std::process::id());
    status["uptime_ms"] = json!(about.started.elapsed().as_millis() as u64);
    status["datagrams_per_s"] = json!({ "sent": sent, "received": received });
    status["log_lines_dropped"] = json!(log::lines_dropped());
    status["alarms"] = json!(app.journal.alarms());
    status["resident_bytes"] = json!(os::usage().resident_bytes);
    json(&status, query.pretty())
}

/// Where gossip follows an aim: what is wanted, what was chosen for it, and what that comes to.
fn pace(paced: Option<&Paced>, wanted: &Config) -> serde_json::Value {
    let Some(Paced { pace, load, outlook }) = paced else { return serde_json::Value::Null };
    json!({
        "spread_target_ms": millis(wanted.spread_target),
        "bytes_per_second": wanted.bytes_per_second,
        "interval_ms": millis(pace.interval),
        "fanout": pace.fanout,
        "sends": pace.sends,
        "changes_per_second": (load.changes * 100.0).round() / 100.0,
        "change_bytes": load.change_bytes.round(),
        // None: more changes than the budget can tell.
        "expected_p99_ms": outlook.expected.map(millis),
        "expected_bytes_per_second": outlook.bytes.round(),
        "met": outlook.meets,
    })
}

/// How many live members hold which state, as each last said.
fn groups(groups: &Groups) -> serde_json::Value {
    let of = |&(print, members): &(u32, usize)| json!({ "state": format!("{print:08x}"), "members": members });
    let shown: Vec<_> = groups.groups.iter().take(GROUPS_SHOWN).map(of).collect();
    let more = groups.groups.len().saturating_sub(GROUPS_SHOWN);
    json!({ "groups": shown, "more": more, "unheard": groups.unheard })
}

/// How likely it is that all have everything, for want of news.
fn quiet(quiet: Quiet) -> serde_json::Value {
    json!({
        "for_ms": millis(quiet.lasted),
        "rounds": quiet.rounds,
        "rounds_needed": quiet.rounds_needed,
        "probability": (quiet.probability * 1e6).floor() / 1e6,
        "likely_converged": quiet.likely,
    })
}

/// How long news took to come here, by topic.
fn delays(delays: &Delays) -> BTreeMap<String, serde_json::Value> {
    let own = [("members", &*delays.members), ("events", &*delays.events)];
    let own = own.map(|(name, topic)| (name.to_owned(), topic));
    let keyspaces = delays.keyspaces().map(|(name, topic)| (format!("kv/{name}"), topic));
    let heard = own.into_iter().chain(keyspaces).filter(|(_, topic)| topic.rumours.count > 0);
    heard
        .map(|(name, topic)| {
            let at = |p: f64| topic.rumours.quantile(p).map(millis);
            let hops: u64 = (1..).zip(topic.hops).map(|(hops, count)| hops * count).sum();
            let count = topic.rumours.count;
            let record = json!({
                "count": count,
                "by_session": topic.sessions.count,
                "mean_hops": (hops as f64 / count as f64 * 100.0).round() / 100.0,
                "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "p99.9_ms": at(0.999),
            });
            (name, record)
        })
        .collect()
}

/// What `tidings plan --agent` needs to know.
fn timers(config: &Config) -> serde_json::Value {
    json!({
        "tick_ms": millis(config.tick),
        "batch_ms": millis(config.batch),
        "fanout": config.fanout,
        "eager_fanout": config.eager_fanout,
        "transmit_factor": config.transmit_factor,
        "probe_period_ms": millis(config.probe_period),
        "probe_timeout_ms": millis(config.probe_timeout),
        "rumours": config.rumours,
        "anti_entropy": config.anti_entropy,
        "detector": config.detector.to_string(),
    })
}

/// The median does not mind members that are far away, or slow just now.
fn round_trips(mut measured: Vec<Duration>) -> serde_json::Value {
    measured.sort_unstable();
    let median = measured.get(measured.len() / 2).copied();
    json!({ "members": measured.len(), "median_ms": median.map(millis) })
}

/// Counters of what was not taken.
fn is_drop(name: &str) -> bool {
    name.starts_with("drop_")
        || ["_limit", "_checksum", "_jump", "_forgotten"].iter().any(|end| name.ends_with(end))
        || ["writes_refused", "conflicts_discarded", "events_expired"].contains(&name)
}

pub(super) async fn healthz(State(app): State<Arc<App>>) -> Result<Response, Fault> {
    app.node.query(|_, _| ()).await?;
    Ok("ok\n".into_response())
}

/// Ready: in step with a peer, or alone by choice, and able to take writes.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Fault> {
    let (synced, left, refused, seeds) = app
        .node
        .query(|view, _| (view.synced(), view.left(), view.writes_refused(), view.seeds()))
        .await?;
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    let reason = match (left, synced, refused) {
        (true, _, _) => "this node has left the cluster".to_owned(),
        (_, false, _) => format!("not yet synchronised through any of: {}", seeds.join(", ")),
        (_, _, true) => "the data directory does not accept writes".to_owned(),
        (false, true, false) => return Ok("ready\n".into_response()),
    };
    Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, reason))
}
