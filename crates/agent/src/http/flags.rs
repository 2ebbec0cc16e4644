//! Decides how flags look in JSON and how a change of one is asked for.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidings::{FlagChange, FlagView, Share, ValueType};

use super::kv::written;
use super::query::Query;
use super::receipt::Wanted;
use super::{App, Fault, body_within, json};

/// What is read of a change; the value's own bound is far below.
const BODY_MAX: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Left out: as before, or what the JSON value is.
    r#type: Option<String>,
    value: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    value: Value,
    percent: f64,
    zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alarm {
    reason: String,
}

pub(super) async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let flags = app.node.flags().list().await?;
    json(&flags.iter().map(record).collect::<Vec<_>>(), query.pretty())
}

pub(super) async fn read(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    match app.node.flags().get(&name).await? {
        Some(flag) => json(&record(&flag), query.pretty()),
        None => Err(Fault::new(StatusCode::NOT_FOUND, format!("flag {name:?}: not set"))),
    }
}

pub(super) async fn set(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
    body: Body,
) -> Result<Response, Fault> {
    let asked: Set = parse(body, "{\"value\":…,\"type\":…}").await?;
    let held = app.node.flags().get(&name).await?.map(|flag| flag.flag.document.kind);
    let kind = match asked.r#type {
        Some(text) => ValueType::parse(&text).ok_or_else(|| {
            let types = ValueType::ALL.map(ValueType::as_str).join(", ");
            Fault::bad(format!("type {text:?}: expected one of {types}"))
        })?,
        None => held.unwrap_or_else(|| natural(&asked.value)),
    };
    change(&app, name, FlagChange::Set { kind, value: text_of(&asked.value, kind)? }, &query).await
}

pub(super) async fn stage(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
    body: Body,
) -> Result<Response, Fault> {
    let asked: Stage = parse(body, "{\"value\":…,\"percent\":…,\"zone\":…}").await?;
    let basis_points = (asked.percent * 100.0).round();
    if !(1.0..=10_000.0).contains(&basis_points) {
        let percent = asked.percent;
        return Err(Fault::bad(format!("percent {percent}: expected 0.01 to 100")));
    }
    let held = app.node.flags().get(&name).await?.map(|flag| flag.flag.document.kind);
    let value = text_of(&asked.value, held.unwrap_or_else(|| natural(&asked.value)))?;
    let share = Share { basis_points: basis_points as u16, zone: asked.zone };
    change(&app, name, FlagChange::Stage { value, share }, &query).await
}

pub(super) async fn alarm(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
    body: Body,
) -> Result<Response, Fault> {
    let asked: Alarm = parse(body, "{\"reason\":…}").await?;
    change(&app, name, FlagChange::Stop { reason: asked.reason }, &query).await
}

pub(super) async fn promote(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    change(&app, name, FlagChange::Promote, &query).await
}

pub(super) async fn roll_back(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    change(&app, name, FlagChange::RollBack, &query).await
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    change(&app, name, FlagChange::Delete, &query).await
}

/// Answers as a write does: with its token, and with a receipt where one was asked for (row K2).
async fn change(
    app: &App,
    name: String,
    change: FlagChange,
    query: &Query,
) -> Result<Response, Fault> {
    let wanted = Wanted::parse(query)?;
    let token = app.node.flags().change(name, change).await?;
    written(&token, wanted, query.pretty()).await
}

async fn parse<T: DeserializeOwned>(body: Body, expected: &str) -> Result<T, Fault> {
    let body = body_within(body, BODY_MAX, "flag").await?;
    serde_json::from_slice(&body)
        .map_err(|error| Fault::bad(format!("body: {error}: expected {expected}")))
}

/// The type of a flag that was never given one.
fn natural(value: &Value) -> ValueType {
    match value {
        Value::Bool(_) => ValueType::Bool,
        Value::Number(number) if number.is_i64() => ValueType::Integer,
        Value::Number(_) => ValueType::Number,
        Value::String(_) => ValueType::Text,
        Value::Null | Value::Array(_) | Value::Object(_) => ValueType::Json,
    }
}

/// A value as flags hold it. A string is taken as the text of the flag's type, so that command
/// lines need not know it.
fn text_of(value: &Value, kind: ValueType) -> Result<String, Fault> {
    let text = match (kind, value) {
        (_, Value::String(text)) => text.clone(),
        (ValueType::Text, _) => return Err(Fault::bad("value: expected a string")),
        _ => value.to_string(),
    };
    if kind == ValueType::Json
        && let Err(error) = serde_json::from_str::<Value>(&text)
    {
        return Err(Fault::bad(format!("value: {error}: expected a JSON document")));
    }
    Ok(text)
}

fn record(view: &FlagView) -> Value {
    let document = &view.flag.document;
    let shown = |text: &str| typed(text, document.kind);
    let stops: Vec<&str> = view.flag.stops.iter().map(|reason| &**reason).collect();
    let stage = document.stage.as_ref().map(|stage| {
        json!({
            "value": shown(&stage.value),
            "percent": f64::from(stage.share.basis_points) / 100.0,
            "zone": stage.share.zone,
            "here": view.staged_here,
            "stopped": (!stops.is_empty()).then_some(&stops),
        })
    });
    json!({
        "name": view.name,
        "type": document.kind.as_str(),
        "value": shown(view.value()),
        "base": shown(&document.value),
        "stage": stage,
        "concurrent": view.flag.rivals,
        "revision": document.revision,
        "node": view.dot.origin.to_string(),
        "seq": view.dot.seq,
        "at_ms": view.stamp.wall_ms(),
    })
}

/// The value as JSON of its type.
fn typed(text: &str, kind: ValueType) -> Value {
    match kind {
        ValueType::Text => json!(text),
        _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}
