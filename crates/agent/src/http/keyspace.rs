//! Decides how keyspaces are declared and listed over HTTP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tidings::{CommandError, Error, Policy};
use tidings_sim::duration;

use super::query::Query;
use super::session::refused;
use super::{App, Fault, body_within, json};

/// What is read of a declaration.
const DECLARATION_BYTES_MAX: usize = 4096;

/// What a client says of a keyspace; what it leaves out stays as it was.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    kind: Option<String>,
    consistency: Option<String>,
    /// A duration such as 60s; 0s: for ever.
    lifetime: Option<String>,
    /// push, pull or push-pull.
    mode: Option<String>,
    /// on or off.
    hot: Option<String>,
}

#[derive(Serialize)]
struct Record<'a> {
    name: &'a str,
    kind: &'static str,
    consistency: &'static str,
    lifetime_ms: Option<u64>,
    mode: &'static str,
    hot: bool,
    /// False: nobody declared it, so the default holds.
    declared: bool,
}

fn record(name: &str, policy: Option<Policy>) -> Record<'_> {
    let Policy { values, consistency, lifetime_ms, mode, hot } = policy.unwrap_or_default();
    let (kind, consistency) = (values.as_str(), consistency.as_str());
    let mode = mode.as_str();
    Record { name, kind, consistency, lifetime_ms, mode, hot, declared: policy.is_some() }
}

pub(super) async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let all = app.node.keyspaces().await?;
    let records: Vec<_> = all.iter().map(|(name, policy)| record(name, *policy)).collect();
    json(&records, query.pretty())
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    let all = app.node.keyspaces().await?;
    match all.iter().find(|(known, _)| *known == name) {
        Some((name, policy)) => json(&record(name, *policy), query.pretty()),
        None => Err(Error::Refused(CommandError::UnknownKeyspace { name }).into()),
    }
}

pub(super) async fn declare(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
    body: Body,
) -> Result<Response, Fault> {
    let body = body_within(body, DECLARATION_BYTES_MAX, "declaration").await?;
    let said: Declaration = serde_json::from_slice(&body).map_err(|error| {
        let expected = r#"JSON such as {"kind":"counter","consistency":"causal","lifetime":"60s"}"#;
        Fault::bad(format!("declaration: {error}: expected {expected}"))
    })?;
    let all = app.node.keyspaces().await?;
    let before = all.into_iter().find(|(known, _)| *known == name);
    let mut policy = before.and_then(|(_, policy)| policy).unwrap_or_default();
    let lifetime = said.lifetime.as_deref().map(lifetime_ms).transpose()?;
    let words = [
        ("kind", said.kind),
        ("consistency", said.consistency),
        ("lifetime_ms", lifetime),
        ("mode", said.mode),
        ("hot", said.hot),
    ];
    for (word, value) in words {
        if let Some(value) = value {
            policy.set(word, &value).map_err(|error| refused(&error))?;
        }
    }
    app.node.declare(&name, policy).await?;
    json(&record(&name, Some(policy)), query.pretty())
}

fn lifetime_ms(text: &str) -> Result<String, Fault> {
    let parsed = duration::parse(text).ok_or_else(|| {
        Fault::bad(format!("lifetime {text:?}: expected a duration such as 60s, or 0s for ever"))
    })?;
    Ok(parsed.as_millis().to_string())
}
