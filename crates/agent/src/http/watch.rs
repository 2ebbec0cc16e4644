//! Decides the stream of server-sent events: one compact JSON object per `data:` line, its first
//! field the type, sent at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_core::Stream;
use serde::Serialize;
use tidings::{Change, Event, Merged, ValueType, Watch, What};
use tidings_proto::wire::codec::Reader;
use tokio::time::{Instant, Sleep};

use super::native::{MemberRecord, member_record};
use super::query::Query;
use super::value::shown;
use super::{App, Fault};
use crate::journal;

/// Watchers at once. More: 503.
const WATCHERS_MAX: usize = 512;
/// A comment keeps an idle stream alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const TYPES: [&str; 8] = ["member", "cut", "owning", "event", "key", "flag", "conflict", "alarm"];

pub(super) async fn watch(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let types = match query.text("types").filter(|text| !text.is_empty()) {
        Some(text) => text.split(',').map(known_type).collect::<Result<Vec<_>, _>>()?,
        None => TYPES.to_vec(),
    };
    if app.watchers.load(Ordering::Relaxed) >= WATCHERS_MAX {
        let text = format!("{WATCHERS_MAX} watchers are connected: expected no more");
        return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    app.watchers.fetch_add(1, Ordering::Relaxed);
    let lines = Lines {
        watch: match types == ["member"] {
            true => Box::pin(app.node.watch_members()),
            false => Box::pin(app.node.watch()),
        },
        types,
        app,
        idle: Box::pin(tokio::time::sleep(KEEP_ALIVE)),
    };
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

fn known_type(text: &str) -> Result<&'static str, Fault> {
    TYPES
        .into_iter()
        .find(|known| *known == text)
        .ok_or_else(|| Fault::bad(format!("types {text:?}: expected some of {}", TYPES.join(","))))
}

/// The body of one watcher's answer.
struct Lines {
    watch: Pin<Box<Watch>>,
    types: Vec<&'static str>,
    app: Arc<App>,
    idle: Pin<Box<Sleep>>,
}

impl Stream for Lines {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Poll::Ready(change) = self.watch.as_mut().poll_next(cx) {
            let Some(change) = change else { return Poll::Ready(None) };
            if let What::Lagged { missed } = change.what {
                self.app.watch_missed.fetch_add(missed, Ordering::Relaxed);
            }
            if let Some(line) = line(&change, &self.types) {
                self.idle.as_mut().reset(Instant::now() + KEEP_ALIVE);
                return Poll::Ready(Some(Ok(line)));
            }
        }
        ready!(self.idle.as_mut().poll(cx));
        self.idle.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(Some(Ok(Bytes::from_static(b":\n\n"))))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.app.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What goes into one line, the type first.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Record<'a> {
    Snapshot {
        members: Vec<MemberRecord<'a>>,
    },
    Member {
        change: &'static str,
        #[serde(flatten)]
        member: MemberRecord<'a>,
    },
    Cut {
        gone: Vec<&'a str>,
        alive: usize,
    },
    Owning {
        owning: &'static str,
    },
    Event {
        name: &'a str,
        payload: String,
        from: &'a str,
        origin: String,
        event_seq: u64,
    },
    Key {
        keyspace: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
        #[serde(rename = "KeyB64", skip_serializing_if = "Option::is_none")]
        key_b64: Option<String>,
        /// Base64; `null` where the key was deleted.
        value: Option<String>,
        node: String,
        dot_seq: u64,
    },
    Flag {
        name: &'a str,
        /// The text that counts for this node; `null` where the flag was deleted.
        value: Option<&'a str>,
        #[serde(rename = "value_type")]
        kind: Option<&'static str>,
    },
    Conflict(super::kv::ConflictRecord<'a>),
    Alarm {
        alarm: &'static str,
        text: String,
    },
    Lagged {
        missed: u64,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: Record<'a>,
    at_ms: u64,
    seq: u64,
}

fn line(change: &Change, types: &[&str]) -> Option<Bytes> {
    let record = match &change.what {
        What::Snapshot(members) => {
            Record::Snapshot { members: members.iter().map(member_record).collect() }
        }
        What::Lagged { missed } => Record::Lagged { missed: *missed },
        What::Event(event) => record(event, types)?,
    };
    let line = Line { record, at_ms: change.at_ms, seq: change.seq };
    let mut bytes = b"data: ".to_vec();
    serde_json::to_writer(&mut bytes, &line).ok()?;
    bytes.extend_from_slice(b"\n\n");
    Some(bytes.into())
}

fn record<'a>(event: &'a Event, types: &[&str]) -> Option<Record<'a>> {
    let kind = match event {
        Event::Member { .. } => "member",
        Event::Cut(_) => "cut",
        Event::Owning(_) => "owning",
        Event::User(_) => "event",
        Event::Key { .. } => "key",
        Event::Flag { .. } => "flag",
        Event::Conflict(_) => "conflict",
        Event::Alarm(_) => "alarm",
    };
    if !types.contains(&kind) {
        return None;
    }
    Some(match event {
        Event::Member { change, member } => {
            Record::Member { change: change.as_str(), member: member_record(member) }
        }
        Event::Cut(cut) => Record::Cut {
            gone: cut.gone.iter().map(|member| member.name.as_str()).collect(),
            alive: cut.alive,
        },
        Event::Owning(owning) => Record::Owning { owning: owning.as_str() },
        Event::User(event) => Record::Event {
            name: &event.name,
            payload: BASE64_STANDARD.encode(&event.payload),
            from: &event.from,
            origin: event.origin.to_string(),
            event_seq: event.seq,
        },
        Event::Key { keyspace, key, value, kind, dot, .. } => {
            let text = std::str::from_utf8(key).ok();
            Record::Key {
                keyspace,
                key: text,
                key_b64: text.is_none().then(|| BASE64_STANDARD.encode(key)),
                value: value.as_ref().map(|value| encoded(value, kind.is_some())),
                node: dot.origin.to_string(),
                dot_seq: dot.seq,
            }
        }
        Event::Flag { name, kind, value } => {
            Record::Flag { name, value: value.as_deref(), kind: kind.map(ValueType::as_str) }
        }
        Event::Conflict(lost) => Record::Conflict(super::kv::conflict_record(lost)),
        Event::Alarm(alarm) => {
            let (alarm, text) = journal::describe(alarm);
            Record::Alarm { alarm, text }
        }
    })
}

/// A value that merges is told as people read it.
fn encoded(value: &[u8], merges: bool) -> String {
    match Merged::read(&mut Reader::new(value)) {
        Ok(merged) if merges => BASE64_STANDARD.encode(shown(&merged).to_string()),
        _ => BASE64_STANDARD.encode(value),
    }
}
