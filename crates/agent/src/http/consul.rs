//! Decides the answers that clients of Consul expect, field by field.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::json;
use tidings::{Error, Member, NodeId, Status, UserEvent};

use super::blocking::{self, News, Reading, Wait};
use super::query::Query;
use super::{App, Fault, body_within, coordinates, json};
use crate::config::contact;

/// What is read of an event's payload before the node refuses it with its own bound.
const PAYLOAD_READ_MAX: usize = 64 * 1024;

/// A member as Serf's clients read it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MemberRecord<'a> {
    name: &'a str,
    addr: String,
    port: u16,
    tags: &'a std::collections::BTreeMap<String, String>,
    status: u8,
    protocol_min: u8,
    protocol_max: u8,
    protocol_cur: u8,
    delegate_min: u8,
    delegate_max: u8,
    delegate_cur: u8,
}

#[derive(Serialize)]
struct EventRecord<'a> {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "Payload")]
    payload: Option<String>,
    #[serde(rename = "NodeFilter")]
    node_filter: &'static str,
    #[serde(rename = "ServiceFilter")]
    service_filter: &'static str,
    #[serde(rename = "TagFilter")]
    tag_filter: &'static str,
    #[serde(rename = "Version")]
    version: u8,
    #[serde(rename = "LTime")]
    ltime: u64,
}

pub(super) async fn members(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let mut members = app.node.members().await?;
    members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    json(&members.iter().map(member_record).collect::<Vec<_>>(), query.pretty())
}

pub(super) async fn this_agent(
    State(app): State<Arc<App>>,
    query: Query,
) -> Result<Response, Fault> {
    let (me, place, counts, health, index, stats) = app
        .node
        .query(|view, stats| {
            let (me, counts) = (view.me(), view.counts());
            let place = view.coordinate(me.id);
            (me, place, counts, view.local_health(), view.member_index(), stats.clone())
        })
        .await?;
    let counters: serde_json::Map<String, serde_json::Value> = stats
        .each()
        .map(|(name, value)| (name.to_owned(), serde_json::Value::String(value.to_string())))
        .collect();
    let answer = json!({
        "Config": {
            "Datacenter": app.about.cluster,
            "PrimaryDatacenter": app.about.cluster,
            "NodeName": me.name,
            "NodeID": uuid(me.id.as_u128()),
            "Server": false,
            "Revision": "",
            "Version": env!("CARGO_PKG_VERSION"),
        },
        "DebugConfig": {
            "HTTPAddrs": [format!("tcp://{}", app.about.http)],
            "SerfAdvertiseAddrLAN": me.addr.to_string(),
            "DataDir": app.about.data_dir,
        },
        "Coord": place.map_or(json!({}), |place| coordinates::coord(&place)),
        "Member": member_record(&me),
        "Stats": {
            "agent": { "profile": app.about.profile() },
            "serf_lan": {
                "members": (counts.0 + counts.1 + counts.2).to_string(),
                "failed": counts.1.to_string(),
                "left": counts.2.to_string(),
                "health_score": health.to_string(),
                "member_time": index.to_string(),
            },
            "tidings": counters,
        },
        "Meta": me.tags,
    });
    json(&answer, query.pretty())
}

pub(super) async fn join(
    State(app): State<Arc<App>>,
    Path(addr): Path<String>,
) -> Result<Response, Fault> {
    let expected = || Fault::bad(format!("address {addr:?}: expected HOST:PORT"));
    let target = contact(&addr).ok_or_else(expected)?;
    let addrs: Vec<_> = match target.parse() {
        Ok(addr) => vec![addr],
        Err(_) => match tokio::net::lookup_host(&target).await {
            Ok(found) => found.collect(),
            Err(error) => {
                let text = format!("cannot join {target}: {error}");
                return Err(Fault::new(StatusCode::INTERNAL_SERVER_ERROR, text));
            }
        },
    };
    if !addrs.is_empty() && addrs.iter().all(|addr| *addr == app.node.addr()) {
        let text = format!("cannot join {target}: it is the address of this agent itself");
        return Err(Fault::new(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    app.node.join(addrs).await.map_err(|error| match error {
        // Whatever kept it from joining, the caller's request was fine.
        Error::Refused(refused) => {
            Fault::new(StatusCode::INTERNAL_SERVER_ERROR, refused.to_string())
        }
        error => error.into(),
    })?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn leave(State(app): State<Arc<App>>) -> Result<Response, Fault> {
    app.node.leave().await?;
    app.leaving.notify_one();
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn force_leave(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    app.node.force_leave(name, query.has("prune")).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn fire(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
    body: Body,
) -> Result<Response, Fault> {
    query.check_common(&app.about.cluster)?;
    for filter in ["node", "service", "tag"] {
        if query.text(filter).is_some_and(|value| !value.is_empty()) {
            let text = format!("{filter}: expected none (an event goes to all nodes)");
            return Err(Fault::bad(text));
        }
    }
    let payload = body_within(body, PAYLOAD_READ_MAX, "event payload").await?;
    let seq = app.node.emit(name.clone(), payload.to_vec()).await?;
    let event = event_record(app.node.id(), seq, &name, &payload);
    json(&event, query.pretty())
}

pub(super) async fn events(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let consistency = query.check_common(&app.about.cluster)?;
    let name = query.text("name").filter(|name| !name.is_empty());
    let journal = &app.journal;
    let reading = Wait::parse(&query)?
        .read(
            journal.arrivals(),
            |count| *count,
            News::Other,
            || async {
                let mut events = journal.events();
                events.retain(|event| name.as_ref().is_none_or(|name| event.name == *name));
                let index = events.last().map_or(1, |e| event_index(e.origin, e.seq));
                Ok(Reading { index, signature: index, value: events })
            },
        )
        .await?;
    let events: Vec<EventRecord<'_>> = reading.value.iter().map(|event| listed(event)).collect();
    let headers = blocking::headers(reading.index, consistency);
    Ok((headers, json(&events, query.pretty())?).into_response())
}

fn listed(event: &UserEvent) -> EventRecord<'_> {
    event_record(event.origin, event.seq, &event.name, &event.payload)
}

fn event_record<'a>(origin: NodeId, seq: u64, name: &'a str, payload: &[u8]) -> EventRecord<'a> {
    EventRecord {
        id: uuid(event_number(origin, seq)),
        name,
        payload: (!payload.is_empty()).then(|| BASE64_STANDARD.encode(payload)),
        node_filter: "",
        service_filter: "",
        tag_filter: "",
        version: 1,
        ltime: seq,
    }
}

/// One number for one event, the same at every agent.
fn event_number(origin: NodeId, seq: u64) -> u128 {
    origin.as_u128().wrapping_add(u128::from(seq))
}

/// The index that Consul's clients work out for an event from its id: with it they find, in a
/// list, where the news begin.
fn event_index(origin: NodeId, seq: u64) -> u64 {
    let number = event_number(origin, seq);
    (number >> 64) as u64 ^ number as u64
}

fn uuid(number: u128) -> String {
    let hex = format!("{number:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn member_record(member: &Member) -> MemberRecord<'_> {
    MemberRecord {
        name: &member.name,
        addr: member.addr.ip().to_string(),
        port: member.addr.port(),
        tags: &member.tags,
        status: match member.status {
            Status::Alive | Status::Suspect => 1,
            Status::Leaving => 2,
            Status::Left => 3,
            Status::Failed => 4,
        },
        protocol_min: 1,
        protocol_max: 1,
        protocol_cur: 1,
        delegate_min: 1,
        delegate_max: 1,
        delegate_cur: 1,
    }
}
