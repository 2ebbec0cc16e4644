//! Decides how receipts, agreement and traces are asked for over HTTP, and how they are told: what
//! is not there in time is 504 with the names of those who lack it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidings::{CommandError, Error, Hlc, Receipt, Receipted, Run, Token, Version, Waiting};
use tidings_sim::duration;

use super::query::{Query, path_bytes};
use super::{App, Fault, json as answer, millis};

const TRACE_PREFIX: &str = "/v1/tidings/trace/";
/// The core waits no longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// What a request wants to wait for, and for how long.
pub(super) struct Wanted {
    receipt: Receipt,
    timeout: Option<Duration>,
    durable: bool,
}

impl Wanted {
    /// `None` where the request asks for no receipt.
    pub(super) fn parse(query: &Query) -> Result<Option<Wanted>, Fault> {
        let timeout = timeout(query)?;
        let Some(text) = query.text("receipt") else { return Ok(None) };
        let receipt = text.parse().map_err(|error: CommandError| Fault::bad(error.to_string()))?;
        Ok(Some(Wanted { receipt, timeout, durable: query.has("durable") }))
    }

    fn of(self, waiting: Waiting) -> Waiting {
        let waiting = if self.durable { waiting.durable() } else { waiting };
        match self.timeout {
            Some(timeout) => waiting.timeout(timeout),
            None => waiting,
        }
    }

    /// Adds the receipt of a write that is done to what the write answers.
    pub(super) async fn receipt_of(
        self,
        token: &Token,
        mut written: Value,
        pretty: bool,
    ) -> Result<Response, Fault> {
        let need = self.receipt;
        let (status, receipt, error) = outcome(self.of(token.receipt(need)).await)?;
        written["receipt"] = receipt;
        if let Some(error) = error {
            written["error"] = json!(format!("{error}; the write stands: {}", token.text()));
        }
        Ok((status, answer(&written, pretty)?).into_response())
    }
}

/// Waits for a write by its token, or for a version of a key by its stamp.
pub(super) async fn receipt(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let need = Wanted::parse(&query)?.map_or(Receipt::All, |wanted| wanted.receipt);
    let wanted = Wanted { receipt: need, timeout: timeout(&query)?, durable: query.has("durable") };
    let waiting = match (query.text("token"), query.bytes("key")) {
        (Some(token), _) => {
            let token: tidings_proto::Token =
                token.parse().map_err(|error| Fault::bad(format!("{error}")))?;
            app.node.receipt(Run::from(token.0), need)
        }
        (None, Some(key)) => {
            let stamp = query.text("stamp").map_or(Ok(0), |text| text.parse::<u64>());
            let stamp = stamp.map_err(|_| Fault::bad("stamp: expected a number"))?;
            let keyspace = query.text("keyspace").unwrap_or_else(|| "kv".to_owned());
            app.node.keyspace(keyspace).wait_until(key, Version::Stamp(Hlc(stamp)), need)
        }
        (None, None) => return Err(Fault::bad("expected token=ORIGIN:SEQ, or key= and stamp=")),
    };
    told(wanted.of(waiting).await, query.pretty())
}

/// Waits until all live members know the same members and hold the same state.
pub(super) async fn agreement(
    State(app): State<Arc<App>>,
    query: Query,
) -> Result<Response, Fault> {
    let wanted = Wanted { receipt: Receipt::All, timeout: timeout(&query)?, durable: false };
    told(wanted.of(app.node.agreement()).await, query.pretty())
}

/// How the latest write of a key came to each member.
pub(super) async fn trace(
    State(app): State<Arc<App>>,
    uri: Uri,
    query: Query,
) -> Result<Response, Fault> {
    let key = path_bytes(uri.path(), TRACE_PREFIX);
    let keyspace = query.text("keyspace").unwrap_or_else(|| "kv".to_owned());
    told(app.node.trace(keyspace, key, timeout(&query)?).await, query.pretty())
}

fn timeout(query: &Query) -> Result<Option<Duration>, Fault> {
    let Some(text) = query.text("timeout") else { return Ok(None) };
    let parsed = duration::parse(&text).filter(|timeout| *timeout <= TIMEOUT_MAX);
    let bad = || Fault::bad(format!("timeout {text:?}: expected a duration up to 10m such as 5s"));
    parsed.map(Some).ok_or_else(bad)
}

fn told(result: Result<Receipted, Error>, pretty: bool) -> Result<Response, Fault> {
    let (status, mut receipt, error) = outcome(result)?;
    if let Some(error) = error {
        receipt["error"] = json!(error);
    }
    Ok((status, answer(&receipt, pretty)?).into_response())
}

/// The status, the record, and where the time ran out a sentence.
fn outcome(result: Result<Receipted, Error>) -> Result<(StatusCode, Value, Option<String>), Fault> {
    match result {
        Ok(receipted) => Ok((StatusCode::OK, record(&receipted), None)),
        Err(Error::Refused(CommandError::NotEnough(receipted))) => {
            let record = record(&receipted);
            let error = CommandError::NotEnough(receipted).to_string();
            Ok((StatusCode::GATEWAY_TIMEOUT, record, Some(error)))
        }
        Err(error) => Err(error.into()),
    }
}

fn record(receipted: &Receipted) -> Value {
    let have: Vec<Value> = receipted
        .have
        .iter()
        .map(|holder| {
            json!({
                "name": holder.name,
                "id": holder.id.to_string(),
                "durable": holder.durable,
                "path": holder.path.map(|path| path.as_str()),
                "hops": holder.hops,
                "delay_ms": holder.delay.map(millis),
            })
        })
        .collect();
    let missing: Vec<Value> = receipted
        .missing
        .iter()
        .map(|m| json!({ "name": m.name, "id": m.id.to_string(), "why": m.why.as_str() }))
        .collect();
    let certificate = receipted.certificate.as_ref().map(|certificate| {
        json!({
            "members": certificate.members.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "fingerprint": format!("{:016x}", certificate.fingerprint),
            "at_ms": certificate.at_ms,
        })
    });
    json!({
        "writes": receipted.writes.map(|run| {
            json!({ "node": run.origin.to_string(), "from": run.from, "to": run.to })
        }),
        "applied": receipted.have.len(),
        "needed": receipted.needed,
        "elapsed_ms": millis(receipted.elapsed),
        "have": have,
        "missing": missing,
        "unreachable": receipted.unreachable,
        "certificate": certificate,
    })
}
