//! Decides how numbers over all members look in JSON, and how this agent's share is put in.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{Extreme, Outcome};

use super::query::Query;
use super::{App, Fault, body_within, json, millis};

const BODY_MAX: usize = 1024;
/// Told without being asked for, where there is a distribution.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    value: f64,
    #[serde(default)]
    quantiles: bool,
}

pub(super) async fn names(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    json(&app.node.query(|view, _| view.aggregates()).await?, query.pretty())
}

pub(super) async fn read(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    let asked = query.text("q").map(|text| {
        let q = text.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q));
        q.ok_or_else(|| Fault::bad(format!("q={text}: expected a number from 0 to 1")))
    });
    let asked = asked.transpose()?;
    let wanted = name.clone();
    let told = app
        .node
        .query(move |view, _| {
            let outcome = view.aggregate(&wanted)?;
            let name_of = |who: Option<Extreme>| who.and_then(|e| view.member_by_id(e.who));
            let (low, high) = (name_of(outcome.min), name_of(outcome.max));
            Some((low.map(|m| m.name), high.map(|m| m.name), outcome))
        })
        .await?;
    let Some((low, high, outcome)) = told else {
        let text = format!("aggregate {name:?}: nobody has put anything in");
        return Err(Fault::new(StatusCode::NOT_FOUND, text));
    };
    json(&record(&name, &outcome, low, high, asked), query.pretty())
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, Fault> {
    let body = body_within(body, BODY_MAX, "aggregate").await?;
    let asked: Put = serde_json::from_slice(&body)
        .map_err(|error| Fault::bad(format!("body: {error}: expected {{\"value\":…}}")))?;
    let aggregate = app.node.aggregate(name);
    let aggregate = if asked.quantiles { aggregate.with_quantiles() } else { aggregate };
    aggregate.put(asked.value).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn withdraw(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    app.node.aggregate(name).withdraw().await?;
    Ok(StatusCode::OK.into_response())
}

fn record(
    name: &str,
    outcome: &Outcome,
    low: Option<String>,
    high: Option<String>,
    asked: Option<f64>,
) -> Value {
    let extreme = |extreme: Option<Extreme>, name: Option<String>| {
        extreme.map(|e| json!({ "value": e.value, "id": e.who.to_string(), "node": name }))
    };
    let told: serde_json::Map<String, Value> = QUANTILES
        .into_iter()
        .chain(asked)
        .filter_map(|q| Some((q.to_string(), json!(outcome.quantile(q)?))))
        .collect();
    json!({
        "name": name,
        "settled": outcome.settled,
        "epoch": outcome.epoch,
        "age_ms": millis(outcome.age),
        "population": outcome.population,
        "count": outcome.count,
        "sum": outcome.sum,
        "avg": outcome.mean,
        "variance": outcome.variance,
        "min": extreme(outcome.min, low),
        "max": extreme(outcome.max, high),
        "quantiles": (!told.is_empty()).then_some(told),
        // Unknown until three peers were met.
        "error": outcome.error.is_finite().then_some(outcome.error),
    })
}
