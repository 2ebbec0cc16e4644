//! Decides how keys and values of any bytes pass between the agent, arguments and pipes.

use std::ffi::OsStr;
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tidings::Session;
use tidings_proto::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use tidings_sim::duration;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    block_on, follow, print, print_json, print_line, read_json, read_some, read_stdin, table,
};
use crate::Failure;
use crate::args::Kv;
use crate::client::{Client, refused, segment, segment_of_bytes};

pub(crate) fn run(agent: &Client, command: Kv) -> Result<(), Failure> {
    match &command {
        Kv::Get { key, .. }
        | Kv::Put { key, .. }
        | Kv::Lease { key, .. }
        | Kv::Update { key, .. } => check_key(key)?,
        Kv::Delete { key, recurse: false, .. } => check_key(key)?,
        Kv::Delete { .. } | Kv::List { .. } | Kv::Watch { .. } | Kv::Conflicts { .. } => {}
    }
    let kept = Kept::of(&command)?;
    let session = kept.as_ref().map(|kept| kept.text.clone());
    let agent = &agent.in_session(session);
    carry_out(agent, command)?;
    match (kept, agent.session()) {
        (Some(kept), Some(text)) => kept.keep(&text),
        _ => Ok(()),
    }
}

/// A session that was named, and where it is kept.
struct Kept {
    text: String,
    file: Option<PathBuf>,
}

impl Kept {
    fn of(command: &Kv) -> Result<Option<Kept>, Failure> {
        let (Kv::Get { session, .. }
        | Kv::Put { session, .. }
        | Kv::Update { session, .. }
        | Kv::Delete { session, .. }
        | Kv::List { session, .. }) = command
        else {
            return Ok(None);
        };
        let Some(named) = &session.session else { return Ok(None) };
        if named.parse::<Session>().is_ok() {
            return Ok(Some(Kept { text: named.clone(), file: None }));
        }
        let text = match std::fs::read_to_string(named) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                let expected = "expected a session, or a file that keeps one";
                return Err(Failure::Misuse(format!("--session {named:?}: {error}: {expected}")));
            }
        };
        if !text.is_empty() {
            text.parse::<Session>()
                .map_err(|error| Failure::Misuse(format!("--session {named:?}: {error}")))?;
        }
        Ok(Some(Kept { text, file: Some(named.into()) }))
    }

    /// In its file, or on standard error for whoever keeps it.
    fn keep(&self, text: &str) -> Result<(), Failure> {
        let Some(file) = &self.file else {
            print_note(&format!("session {text}"));
            return Ok(());
        };
        std::fs::write(file, format!("{text}\n"))
            .map_err(|error| Failure::Failed(format!("--session {:?}: {error}", file.display())))
    }
}

fn carry_out(agent: &Client, command: Kv) -> Result<(), Failure> {
    match command {
        Kv::Get { key, keyspace, json, .. } => fetch(agent, &keyspace, &key, json),
        Kv::Put { key, value, file, ttl, keyspace, receipt, timeout, durable, json, .. } => {
            let lifetime = ttl.as_deref().map(lifetime).transpose()?;
            let value = match (value, file) {
                (_, Some(file)) => read_file(&file)?,
                (Some(value), None) if value == "-" => read_stdin()?,
                (Some(value), None) => value.into_vec(),
                (None, None) => Vec::new(),
            };
            if value.len() > VALUE_BYTES_MAX {
                let text = format!("VALUE is too long: expected at most {VALUE_BYTES_MAX} bytes");
                return Err(Failure::Misuse(text));
            }
            let url = path(&keyspace, &key);
            let url = lifetime.map_or(url.clone(), |it| format!("{url}?ttl={}", millis(it)));
            if let Some(receipt) = receipt {
                let wanted = (receipt.as_str(), timeout, durable);
                return super::receipt::put(agent, &url, value, wanted, json);
            }
            let written = block_on(agent.put(&url, value))?;
            if json { print_json(&written) } else { Ok(()) }
        }
        Kv::Lease { key, value, ttl, keyspace } => {
            block_on(hold(agent, &path(&keyspace, &key), value.into_vec(), lifetime(&ttl)?))
        }
        Kv::Conflicts { json } => list_conflicts(agent, json.json),
        Kv::Update { key, operation, with, field, keyspace, .. } => {
            let asked = asked(&operation, with, field)?;
            let url = path(&keyspace, &key);
            let answer = block_on(agent.answer(Method::PATCH, &url, asked.into()))?;
            if answer.status.is_success() {
                return Ok(());
            }
            Err(refused(answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
        }
        Kv::Delete { key, recurse, keyspace, .. } => {
            let query = if recurse { "?recurse" } else { "" };
            block_on(agent.delete(&format!("{}{query}", path(&keyspace, &key)))).map(|_| ())
        }
        Kv::List { prefix, keyspace, json, .. } => list(agent, &keyspace, &prefix, json),
        Kv::Watch { prefix, keyspace, json } => {
            follow(watch(agent, &keyspace, prefix.as_bytes(), json))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    #[serde(rename = "KeyB64")]
    key_b64: Option<String>,
}

#[derive(Deserialize)]
struct Conflict {
    keyspace: String,
    key: Option<String>,
    #[serde(rename = "KeyB64")]
    key_b64: Option<String>,
    kept: Option<Write>,
    discarded: Write,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Write {
    node: String,
    seq: u64,
}

#[derive(Deserialize)]
struct KeyChange {
    keyspace: String,
    key: Option<String>,
    #[serde(rename = "KeyB64")]
    key_b64: Option<String>,
    value: Option<String>,
}

fn fetch(agent: &Client, keyspace: &str, key: &OsStr, json: bool) -> Result<(), Failure> {
    let query = if json { "" } else { "?raw" };
    let url = format!("{}{query}", path(keyspace, key));
    let answer = block_on(agent.answer(Method::GET, &url, Bytes::new()))?;
    match answer.status {
        // Not the key but the keyspace is unknown: that has words.
        StatusCode::NOT_FOUND if answer.body.is_empty() => {
            Err(Failure::Failed(format!("key {}: not found", shown(key.as_bytes()))))
        }
        status if !status.is_success() => {
            Err(refused(status, String::from_utf8_lossy(&answer.body).into_owned()))
        }
        _ if json => print_json(&answer.body),
        _ => {
            print(&answer.body)?;
            let line_end = std::io::stdout().is_terminal() && !answer.body.ends_with(b"\n");
            if line_end { print(b"\n") } else { Ok(()) }
        }
    }
}

/// The operation as the agent reads it: what is counted travels as a number.
fn asked(operation: &str, with: Option<String>, field: Option<String>) -> Result<String, Failure> {
    let with = match (operation, with) {
        ("add" | "raise" | "lower", Some(text)) => {
            let number: i64 = text.parse().map_err(|_| {
                Failure::Misuse(format!("WITH {text:?}: expected a 64-bit integer"))
            })?;
            json!(number)
        }
        (_, with) => json!(with),
    };
    Ok(json!({ "do": operation, "with": with, "field": field }).to_string())
}

fn lifetime(text: &str) -> Result<Duration, Failure> {
    let known = duration::parse(text).filter(|it| !it.is_zero());
    known.ok_or_else(|| {
        Failure::Misuse(format!("--ttl {text:?}: expected a duration of 1ms or more, such as 30s"))
    })
}

fn millis(lifetime: Duration) -> String {
    format!("{}ms", lifetime.as_millis())
}

/// Renews three times in a lifetime, so that two may fail.
async fn hold(
    agent: &Client,
    url: &str,
    value: Vec<u8>,
    lifetime: Duration,
) -> Result<(), Failure> {
    let renewal = format!("{url}?ttl={}", millis(lifetime));
    agent.put(&renewal, value.clone()).await?;
    print_note("held until interrupted");
    let mut ended = signal(SignalKind::terminate())
        .map_err(|error| Failure::Failed(format!("signals: {error}")))?;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            _ = ended.recv() => break,
            () = tokio::time::sleep(lifetime / 3) => {}
        }
        match agent.put(&renewal, value.clone()).await {
            Err(Failure::Failed(text)) => print_note(&format!("not renewed: {text}")),
            renewed => renewed.map(|_| ())?,
        }
    }
    agent.delete(url).await.map(|_| ())
}

fn list_conflicts(agent: &Client, json: bool) -> Result<(), Failure> {
    let body = block_on(agent.get("/v1/tidings/conflicts"))?;
    if json {
        return print_json(&body);
    }
    let conflicts: Vec<Conflict> = read_json(&body)?;
    let row = |lost: Conflict| {
        let value = lost.value.map(|value| BASE64_STANDARD.decode(value).unwrap_or_default());
        let name = |write: Write| format!("{}:{}", write.node, write.seq);
        vec![
            super::plain(&lost.keyspace),
            shown(&key_bytes(lost.key, lost.key_b64)),
            value.map_or("(delete)".to_owned(), |value| shown(&value).chars().take(40).collect()),
            name(lost.discarded),
            lost.kept.map_or("(a forgotten delete)".to_owned(), name),
        ]
    };
    let rows: Vec<_> = conflicts.into_iter().map(row).collect();
    print_line(&table(&["KEYSPACE", "KEY", "LOST", "WRITE", "LOST TO"], rows))
}

fn list(agent: &Client, keyspace: &str, prefix: &OsStr, json: bool) -> Result<(), Failure> {
    let url = format!("{}?recurse", path(keyspace, prefix));
    let answer = block_on(agent.answer(Method::GET, &url, Bytes::new()))?;
    let body = match answer.status {
        StatusCode::NOT_FOUND if answer.body.is_empty() => Bytes::from_static(b"[]"),
        status if status.is_success() => answer.body,
        status => {
            return Err(refused(status, String::from_utf8_lossy(&answer.body).into_owned()));
        }
    };
    if json {
        return print_json(&body);
    }
    let entries: Vec<Entry> = read_json(&body)?;
    for entry in entries {
        print_line(&shown(&key_bytes(Some(entry.key), entry.key_b64)))?;
    }
    Ok(())
}

async fn watch(agent: &Client, keyspace: &str, prefix: &[u8], json: bool) -> Result<(), Failure> {
    let mut events = agent.events("/v1/tidings/watch?types=key").await?;
    loop {
        let line = events.next().await?;
        if line.starts_with(b"{\"type\":\"lagged\"") {
            print_note("some changes were missed: list the keys again");
            continue;
        }
        if !line.starts_with(b"{\"type\":\"key\"") {
            continue;
        }
        let change: KeyChange = read_json(&line)?;
        let key = key_bytes(change.key, change.key_b64);
        if change.keyspace != keyspace || !key.starts_with(prefix) {
            continue;
        }
        if json {
            print_json(&line)?;
        } else {
            let value = change.value.map(|value| BASE64_STANDARD.decode(value).unwrap_or_default());
            match value {
                Some(value) => print_line(&format!("{} = {}", shown(&key), shown(&value)))?,
                None => print_line(&format!("{} deleted", shown(&key)))?,
            }
        }
    }
}

fn print_note(text: &str) {
    crate::complain(text);
}

fn key_bytes(key: Option<String>, key_b64: Option<String>) -> Vec<u8> {
    match key_b64 {
        Some(encoded) => BASE64_STANDARD.decode(encoded).unwrap_or_default(),
        None => key.unwrap_or_default().into_bytes(),
    }
}

/// Bytes for a terminal: text as it is, the rest escaped.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => super::plain(text),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

fn path(keyspace: &str, key: &OsStr) -> String {
    format!("/v1/tidings/kv/{}/{}", segment(keyspace), segment_of_bytes(key.as_bytes()))
}

/// Told here, so that it is told without an agent too.
fn check_key(key: &OsStr) -> Result<(), Failure> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => {
            let start: String = shown(key.as_bytes()).chars().take(40).collect();
            Err(Failure::Misuse(format!(
                "KEY {start:?} of {bytes} bytes: expected 1 to {KEY_BYTES_MAX} bytes"
            )))
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::File::open(path).and_then(read_some).map_err(|error| {
        Failure::Misuse(format!("--file {:?}: {error}: expected a readable file", path.display()))
    })
}
