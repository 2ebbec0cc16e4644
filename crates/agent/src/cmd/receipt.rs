//! Decides how receipts, agreement and traces are asked for and shown on the command line.

use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::{block_on, plain, print_json, print_line, read_json, table};
use crate::Failure;
use crate::args;
use crate::client::{Answer, Client, refused, segment, segment_of_bytes};

/// What a member answered, or why it did not.
#[derive(Deserialize)]
struct Receipt {
    applied: usize,
    elapsed_ms: f64,
    have: Vec<Holder>,
    missing: Vec<Missing>,
}

#[derive(Deserialize)]
struct Holder {
    name: String,
    path: Option<String>,
    hops: Option<u8>,
    delay_ms: Option<f64>,
}

#[derive(Deserialize)]
struct Missing {
    name: String,
    why: String,
}

#[derive(Deserialize)]
struct Written {
    tokens: Vec<String>,
    receipt: Receipt,
}

#[derive(Deserialize)]
struct TimedOut {
    error: String,
}

/// Waits for all to hold the same.
pub(super) fn agreement(agent: &Client, flags: &args::Status) -> Result<(), Failure> {
    let url = format!("/v1/tidings/agreement?{}", timeout_of(flags.timeout));
    let answer = ask(agent, flags.timeout, Method::GET, &url, Bytes::new(), flags.json)?;
    if flags.json {
        return Ok(());
    }
    let receipt: Receipt = read_json(&answer.body)?;
    let (members, took) = (receipt.applied, receipt.elapsed_ms);
    print_line(&format!("{members} members hold the same after {took:.0} ms"))
}

pub(crate) fn trace(agent: &Client, flags: &args::Trace) -> Result<(), Failure> {
    let key = segment_of_bytes(flags.key.as_bytes());
    let keyspace = segment(&flags.keyspace);
    let timeout = timeout_of(flags.timeout);
    let url = format!("/v1/tidings/trace/{key}?keyspace={keyspace}&{timeout}");
    let answer = ask(agent, flags.timeout, Method::GET, &url, Bytes::new(), flags.json)?;
    if flags.json {
        return Ok(());
    }
    let receipt: Receipt = read_json(&answer.body)?;
    let mut rows: Vec<Vec<String>> = receipt.have.iter().map(row).collect();
    rows.sort();
    let missing = receipt.missing.iter();
    rows.extend(missing.map(|m| vec![plain(&m.name), m.why.clone(), dash(), dash(), dash()]));
    print_line(&table(&["member", "applied", "path", "hops", "after"], rows))
}

/// Writes and waits.
pub(super) fn put(
    agent: &Client,
    path: &str,
    value: Vec<u8>,
    wanted: (&str, Option<Duration>, bool),
    json: bool,
) -> Result<(), Failure> {
    write(agent, (Method::PUT, path), value.into(), wanted, json)
}

/// The same for any change.
pub(super) fn write(
    agent: &Client,
    (method, path): (Method, &str),
    body: Bytes,
    (receipt, timeout, durable): (&str, Option<Duration>, bool),
    json: bool,
) -> Result<(), Failure> {
    let durable = if durable { "&durable" } else { "" };
    let next = if path.contains('?') { '&' } else { '?' };
    let url = format!("{path}{next}receipt={}&{}{durable}", segment(receipt), timeout_of(timeout));
    let answer = ask(agent, timeout, method, &url, body, json)?;
    if json {
        return Ok(());
    }
    let written: Written = read_json(&answer.body)?;
    let (members, took) = (written.receipt.applied, written.receipt.elapsed_ms);
    let token = written.tokens.join(" ");
    print_line(&format!("{members} members have it after {took:.0} ms: {token}"))
}

fn timeout_of(timeout: Option<Duration>) -> String {
    timeout.map_or(String::new(), |t| format!("timeout={}", tidings_sim::duration::show(t)))
}

/// A good answer, printed where it is to be JSON. One that says who is missing is printed too, and
/// is a failure in its own words.
fn ask(
    agent: &Client,
    timeout: Option<Duration>,
    method: Method,
    url: &str,
    body: Bytes,
    json: bool,
) -> Result<Answer, Failure> {
    let answer = block_on(agent.patient(timeout).answer(method, url, body))?;
    let timed_out = answer.status == StatusCode::GATEWAY_TIMEOUT;
    if !answer.status.is_success() && !timed_out {
        return Err(refused(answer.status, String::from_utf8_lossy(&answer.body).into_owned()));
    }
    if json {
        print_json(&answer.body)?;
    }
    if timed_out {
        return Err(Failure::Failed(read_json::<TimedOut>(&answer.body)?.error));
    }
    Ok(answer)
}

fn row(holder: &Holder) -> Vec<String> {
    vec![
        plain(&holder.name),
        "yes".to_owned(),
        holder.path.clone().unwrap_or_else(dash),
        holder.hops.map_or_else(dash, |hops| hops.to_string()),
        holder.delay_ms.map_or_else(dash, |ms| format!("{ms:.1} ms")),
    ]
}

/// Not remembered.
fn dash() -> String {
    "-".to_owned()
}
