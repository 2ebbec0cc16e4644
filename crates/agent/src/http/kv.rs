//! Decides how keys are read and written over HTTP: the same rules for Consul's `/v1/kv` and for
//! every keyspace under `/v1/tidings/kv`.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::json as value_of;
use tidings::{EntryView, Token};
use tidings_proto::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX, WRITES_PER_COMMAND_MAX};

use tidings_sim::duration;

use super::blocking::{self, News, Reading, Wait};
use super::query::{Query, path_bytes};
use super::receipt::Wanted;
use super::{App, Fault, body_within, json, session, value};

/// The keyspace of `/v1/kv`.
const CONSUL_KEYSPACE: &str = "kv";
const CONSUL_PREFIX: &str = "/v1/kv/";
const NATIVE_PREFIX: &str = "/v1/tidings/kv/";

/// A listing that costs the node no more than this needs no rest after it.
const LISTING_CHEAP: Duration = Duration::from_micros(500);
/// Entries of more bytes are told from another thread.
const RENDERED_AT_ONCE_BYTES_MAX: usize = 128 * 1024;

/// What needs agreement of all before it is done, which gossip does not have.
const NEEDS_CONSENSUS: [&str; 5] = ["cas", "acquire", "release", "lock", "transaction"];

/// An entry as Consul's clients read it, plus what they skip.
#[derive(Serialize)]
struct Entry {
    #[serde(rename = "LockIndex")]
    lock_index: u64,
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "KeyB64", skip_serializing_if = "Option::is_none")]
    key_b64: Option<String>,
    #[serde(rename = "Flags")]
    flags: u64,
    #[serde(rename = "Value")]
    value: Option<String>,
    #[serde(rename = "CreateIndex")]
    create_index: u64,
    #[serde(rename = "ModifyIndex")]
    modify_index: u64,
    #[serde(rename = "Dot", skip_serializing_if = "Option::is_none")]
    dot: Option<DotRecord>,
    #[serde(rename = "StampMs", skip_serializing_if = "Option::is_none")]
    stamp_ms: Option<u64>,
    /// Of a value that merges: its kind, and what an assignment says it has read.
    #[serde(rename = "Kind", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(rename = "Context", skip_serializing_if = "Option::is_none")]
    context: Option<Vec<(String, u64)>>,
}

#[derive(Serialize)]
struct DotRecord {
    node: String,
    seq: u64,
}

/// What a native write answers: the names of the writes, for receipts and session reads.
#[derive(Serialize)]
struct TokenRecord {
    dots: Vec<DotRecord>,
    stamp: u64,
    /// One for each group, as text.
    tokens: Vec<String>,
}

pub(super) async fn consul_read(
    State(app): State<Arc<App>>,
    uri: Uri,
    query: Query,
) -> Result<Response, Fault> {
    let key = path_bytes(uri.path(), CONSUL_PREFIX);
    read(&app, CONSUL_KEYSPACE.to_owned(), key, &query, false).await
}

pub(super) async fn consul_write(
    State(app): State<Arc<App>>,
    uri: Uri,
    query: Query,
    body: Body,
) -> Result<Response, Fault> {
    let key = path_bytes(uri.path(), CONSUL_PREFIX);
    write(&app, CONSUL_KEYSPACE, key, &query, body).await?;
    json(&true, query.pretty())
}

pub(super) async fn consul_delete(
    State(app): State<Arc<App>>,
    uri: Uri,
    query: Query,
) -> Result<Response, Fault> {
    let key = path_bytes(uri.path(), CONSUL_PREFIX);
    delete(&app, CONSUL_KEYSPACE, key, &query).await?;
    json(&true, query.pretty())
}

pub(super) async fn native_read(
    State(app): State<Arc<App>>,
    uri: Uri,
    session: session::Given,
    query: Query,
) -> Result<Response, Fault> {
    let (keyspace, key) = native_key(&uri)?;
    let session = session.enter(&app, &keyspace, &query, false).await?;
    let what = (keyspace.clone(), key.clone(), query.has("recurse") || query.has("keys"));
    let response = read(&app, keyspace, key, &query, true).await?;
    session.read(&app, what, response).await
}

pub(super) async fn native_write(
    State(app): State<Arc<App>>,
    uri: Uri,
    session: session::Given,
    query: Query,
    body: Body,
) -> Result<Response, Fault> {
    let (keyspace, key) = native_key(&uri)?;
    let wanted = Wanted::parse(&query)?;
    let session = session.enter(&app, &keyspace, &query, true).await?;
    let token = write(&app, &keyspace, key, &query, body).await?;
    let response = written(&token, wanted, query.pretty()).await?;
    Ok(session.wrote(&[token], response))
}

pub(super) async fn native_delete(
    State(app): State<Arc<App>>,
    uri: Uri,
    session: session::Given,
    query: Query,
) -> Result<Response, Fault> {
    let (keyspace, key) = native_key(&uri)?;
    let session = session.enter(&app, &keyspace, &query, true).await?;
    let tokens = delete(&app, &keyspace, key, &query).await?;
    let response = json(&token_record(&tokens), query.pretty())?;
    Ok(session.wrote(&tokens, response))
}

/// Does something to a value that merges.
pub(super) async fn native_update(
    State(app): State<Arc<App>>,
    uri: Uri,
    session: session::Given,
    query: Query,
    body: Body,
) -> Result<Response, Fault> {
    let (keyspace, key) = native_key(&uri)?;
    check_write(&app, &key, &query)?;
    let wanted = Wanted::parse(&query)?;
    let session = session.enter(&app, &keyspace, &query, true).await?;
    let asked = value::Asked::parse(&body_within(body, VALUE_BYTES_MAX, "operation").await?)?;
    let space = app.node.keyspace(&keyspace);
    let holds = space.entry(&key).await?.and_then(|e| e.merged).map(|merged| merged.kind());
    let (kind, operation) = asked.operation(holds)?;
    let token = space.update(key, kind, operation).await?;
    let response = written(&token, wanted, query.pretty()).await?;
    Ok(session.wrote(&[token], response))
}

/// What a write answers, with the receipt where one was asked for.
pub(super) async fn written(
    token: &Token,
    wanted: Option<Wanted>,
    pretty: bool,
) -> Result<Response, Fault> {
    let record = token_record(std::slice::from_ref(token));
    match wanted {
        None => json(&record, pretty),
        Some(wanted) => wanted.receipt_of(token, value_of!(record), pretty).await,
    }
}

/// Writes that this node gave up for concurrent ones, oldest first.
pub(super) async fn conflicts(
    State(app): State<Arc<App>>,
    query: Query,
) -> Result<Response, Fault> {
    let conflicts = app.node.conflicts().await?;
    let records: Vec<_> = conflicts.iter().map(|lost| conflict_record(lost)).collect();
    json(&records, query.pretty())
}

/// A write that was given up, and the one that stands.
pub(super) fn conflict_record(lost: &tidings::Conflict) -> ConflictRecord<'_> {
    let write = |(dot, stamp): (tidings::Dot, tidings::Hlc)| WriteRecord {
        node: dot.origin.to_string(),
        seq: dot.seq,
        stamp: stamp.0,
    };
    let text = std::str::from_utf8(&lost.key).ok();
    ConflictRecord {
        keyspace: &lost.keyspace,
        key: text,
        key_b64: text.is_none().then(|| BASE64_STANDARD.encode(&lost.key)),
        kept: lost.kept.map(write),
        discarded: write(lost.discarded),
        value: lost.value.as_ref().map(|value| BASE64_STANDARD.encode(value)),
        value_bytes: lost.value_len,
    }
}

#[derive(Serialize)]
pub(super) struct ConflictRecord<'a> {
    keyspace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(rename = "KeyB64", skip_serializing_if = "Option::is_none")]
    key_b64: Option<String>,
    /// `null`: it may have been a delete that is forgotten.
    kept: Option<WriteRecord>,
    discarded: WriteRecord,
    /// What was given up, cut at 4,096 bytes; `null`: a delete.
    value: Option<String>,
    value_bytes: usize,
}

#[derive(Serialize)]
struct WriteRecord {
    node: String,
    seq: u64,
    stamp: u64,
}

/// The names of the keyspaces.
pub(super) async fn keyspaces(
    State(app): State<Arc<App>>,
    query: Query,
) -> Result<Response, Fault> {
    let names = app.node.query(|view, _| view.keyspaces()).await?;
    json(&names.iter().map(|name| name.to_string()).collect::<Vec<String>>(), query.pretty())
}

fn native_key(uri: &Uri) -> Result<(String, Vec<u8>), Fault> {
    let path = uri.path().strip_prefix(NATIVE_PREFIX).unwrap_or("");
    let (keyspace, key) = path.split_once('/').unwrap_or((path, ""));
    let keyspace = String::from_utf8(path_bytes(keyspace, ""))
        .map_err(|_| Fault::bad(format!("keyspace {keyspace:?}: expected UTF-8")))?;
    Ok((keyspace, path_bytes(key, "")))
}

async fn read(
    app: &Arc<App>,
    keyspace: String,
    key: Vec<u8>,
    query: &Query,
    native: bool,
) -> Result<Response, Fault> {
    let consistency = query.check_common(&app.about.cluster)?;
    let wait = Wait::parse(query)?;
    let many = query.has("recurse") || query.has("keys");
    if !many && key.is_empty() {
        return Err(Fault::bad("Missing key name"));
    }
    let keyspace: Arc<str> = keyspace.into();
    let key: Arc<[u8]> = key.into();
    let counted = Arc::new(AtomicBool::new(false));
    let reading = wait
        .read(
            app.node.indexes(),
            |indexes| indexes.entries,
            News::Later,
            || {
                let (keyspace, key) = (Arc::clone(&keyspace), Arc::clone(&key));
                let counted = Arc::clone(&counted);
                async move {
                    if many {
                        return list(app, keyspace, key).await;
                    }
                    let base = app.index_base;
                    Ok(app
                        .node
                        .query(move |view, _| {
                            counted.store(view.counts_reads(&keyspace), Ordering::Relaxed);
                            key_reading(view, &keyspace, &key, base)
                        })
                        .await?)
                }
            },
        )
        .await?;
    if counted.load(Ordering::Relaxed) {
        app.node.keyspace(&*keyspace).count_read(&*key).await?;
    }
    let headers = blocking::headers(reading.index, consistency);
    if reading.value.is_empty() {
        return Ok((StatusCode::NOT_FOUND, headers).into_response());
    }
    let body = Answer {
        entries: reading.value,
        key,
        form: if query.has("keys") {
            Form::Names { separator: query.bytes("separator").unwrap_or(b"").to_vec() }
        } else if query.has("raw") {
            Form::Raw
        } else {
            Form::Entries { native, index_base: app.index_base }
        },
        pretty: query.pretty(),
    };
    Ok((headers, body.render_beside(app).await?).into_response())
}

/// Lists one prefix after the other, and leaves the node at least as long alone as each took:
/// however many readers wait for a change of a long list, the node keeps half of its time.
async fn list(
    app: &App,
    keyspace: Arc<str>,
    prefix: Arc<[u8]>,
) -> Result<Reading<Vec<EntryView>>, Fault> {
    let turn = Arc::clone(&app.listings).lock_owned().await;
    let base = app.index_base;
    let question = move |view: &tidings::View<'_>, _: &_| {
        let began = Instant::now();
        (list_reading(view, &keyspace, &prefix, base), began.elapsed())
    };
    let (reading, cost) = app.node.query(question).await?;
    if cost > LISTING_CHEAP {
        tokio::spawn(async move {
            tokio::time::sleep(cost).await;
            drop(turn);
        });
    }
    Ok(reading)
}

/// What a read found, and how it is to be told.
struct Answer {
    entries: Vec<EntryView>,
    key: Arc<[u8]>,
    form: Form,
    pretty: bool,
}

enum Form {
    Names { separator: Vec<u8> },
    Raw,
    Entries { native: bool, index_base: u64 },
}

impl Answer {
    /// A large answer is made up on another thread: the node's is for the node.
    async fn render_beside(self, app: &App) -> Result<Response, Fault> {
        let bytes = |e: &EntryView| e.key.len() + e.value.as_ref().map_or(0, |v| v.len());
        if self.entries.iter().map(bytes).sum::<usize>() <= RENDERED_AT_ONCE_BYTES_MAX {
            return self.render();
        }
        let _turn = app.renderings.acquire().await;
        tokio::task::spawn_blocking(move || self.render()).await.unwrap_or_else(|error| {
            Err(Fault::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
        })
    }

    fn render(&self) -> Result<Response, Fault> {
        match &self.form {
            Form::Names { separator } => {
                json(&key_names(&self.entries, &self.key, separator), self.pretty)
            }
            Form::Raw => Ok(raw(&self.entries)),
            Form::Entries { native, index_base } => {
                let record = |e: &EntryView| entry_record(e, *native, *index_base);
                json(&self.entries.iter().map(record).collect::<Vec<Entry>>(), self.pretty)
            }
        }
    }
}

fn key_reading(
    view: &tidings::View<'_>,
    keyspace: &str,
    key: &[u8],
    index_base: u64,
) -> Reading<Vec<EntryView>> {
    let entry = view.entry(keyspace, key);
    let head = || index_base + view.apply_index();
    let index = entry.as_ref().map_or_else(head, |e| index_of(e.applied_index, index_base));
    let signature = entry.as_ref().map_or(0, |e| e.applied_index);
    Reading { index, signature, value: entry.into_iter().filter(|e| e.value.is_some()).collect() }
}

fn list_reading(
    view: &tidings::View<'_>,
    keyspace: &str,
    prefix: &[u8],
    index_base: u64,
) -> Reading<Vec<EntryView>> {
    let value: Vec<EntryView> = view.entries(keyspace, prefix).collect();
    let mut hasher = DefaultHasher::new();
    for entry in &value {
        entry.applied_index.hash(&mut hasher);
    }
    Reading { index: index_base + view.apply_index(), signature: hasher.finish(), value }
}

/// The index of an entry. The node's own is one above the entry applied last, so that what was
/// read before a write never has the index of the write.
fn index_of(applied: u64, index_base: u64) -> u64 {
    index_base + applied + 1
}

/// The keys, each cut after the first separator beyond the prefix. A key that is not UTF-8 is
/// shown with replacement characters here; the listing of entries has its bytes.
fn key_names(entries: &[EntryView], prefix: &[u8], separator: &[u8]) -> BTreeSet<String> {
    let cut = |key: &[u8]| -> usize {
        if separator.is_empty() {
            return key.len();
        }
        let rest = key.get(prefix.len()..).unwrap_or(&[]);
        let found = rest.windows(separator.len()).position(|window| window == separator);
        found.map_or(key.len(), |at| prefix.len() + at + separator.len())
    };
    entries.iter().map(|e| String::from_utf8_lossy(&e.key[..cut(&e.key)]).into_owned()).collect()
}

fn raw(entries: &[EntryView]) -> Response {
    let bytes = entries.first().and_then(readable).map_or(Vec::new(), |v| v.to_vec());
    let headers = [
        (header::CONTENT_TYPE, "text/plain"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
    ];
    (headers, bytes).into_response()
}

fn entry_record(entry: &EntryView, native: bool, index_base: u64) -> Entry {
    let text = std::str::from_utf8(&entry.key);
    let value = readable(entry).filter(|value| !value.is_empty());
    let merged = entry.merged.as_ref().filter(|_| native);
    Entry {
        lock_index: 0,
        key: String::from_utf8_lossy(&entry.key).into_owned(),
        key_b64: text.is_err().then(|| BASE64_STANDARD.encode(&entry.key)),
        flags: 0,
        value: value.map(|value| BASE64_STANDARD.encode(value)),
        create_index: index_of(entry.created_index, index_base),
        modify_index: index_of(entry.applied_index, index_base),
        dot: native.then(|| dot_record(entry.dot)),
        stamp_ms: native.then(|| entry.stamp.wall_ms()),
        kind: merged.map(|merged| merged.kind().as_str()),
        context: merged.map(|merged| value::context(merged)),
    }
}

/// The bytes that readers see: of a value that merges, its JSON.
fn readable(entry: &EntryView) -> Option<Arc<[u8]>> {
    match (&entry.value, &entry.merged) {
        (Some(_), Some(merged)) => Some(value::shown(merged).to_string().into_bytes().into()),
        (value, _) => value.clone(),
    }
}

fn dot_record(dot: tidings::Dot) -> DotRecord {
    DotRecord { node: dot.origin.to_string(), seq: dot.seq }
}

fn token_record(tokens: &[Token]) -> TokenRecord {
    TokenRecord {
        dots: tokens.iter().flat_map(|t| &t.dots).map(|dot| dot_record(*dot)).collect(),
        stamp: tokens.iter().map(|t| t.stamp.0).max().unwrap_or(0),
        tokens: tokens.iter().map(Token::text).collect(),
    }
}

async fn write(
    app: &App,
    keyspace: &str,
    key: Vec<u8>,
    query: &Query,
    body: Body,
) -> Result<Token, Fault> {
    check_write(app, &key, query)?;
    if query.text("flags").is_some_and(|flags| flags != "0") {
        return Err(Fault::bad("flags: expected 0 (entries carry no flags)"));
    }
    let lifetime = query.text("ttl").map(|text| {
        let expected = || Fault::bad(format!("ttl {text:?}: expected a duration, such as 30s"));
        duration::parse(&text).ok_or_else(expected)
    });
    let lifetime = lifetime.transpose()?;
    let value = body_within(body, VALUE_BYTES_MAX, "value").await?;
    let set = app.node.keyspace(keyspace).set(key, value);
    Ok(match lifetime {
        None => set.await?,
        Some(lifetime) => set.ttl(lifetime).await?,
    })
}

async fn delete(
    app: &App,
    keyspace: &str,
    key: Vec<u8>,
    query: &Query,
) -> Result<Vec<Token>, Fault> {
    if !query.has("recurse") {
        check_write(app, &key, query)?;
        return Ok(vec![app.node.keyspace(keyspace).delete(key).await?]);
    }
    check_write(app, b"-", query)?;
    let name = keyspace.to_owned();
    let keys: Vec<Vec<u8>> = app
        .node
        .query(move |view, _| view.entries(&name, &key).map(|e| e.key.to_vec()).collect())
        .await?;
    let mut tokens = Vec::new();
    for group in keys.chunks(WRITES_PER_COMMAND_MAX) {
        let writes = group.iter().map(|key| (key.clone(), None)).collect();
        tokens.push(app.node.keyspace(keyspace).write(writes).await?);
    }
    Ok(tokens)
}

fn check_write(app: &App, key: &[u8], query: &Query) -> Result<(), Fault> {
    query.check_common(&app.about.cluster)?;
    if let Some(name) = NEEDS_CONSENSUS.iter().find(|name| query.has(name)) {
        let text = format!(
            "{name} needs consensus: this agent replicates by gossip and has no consensus provider; \
             see docs/gossip-or-consensus.md"
        );
        return Err(Fault::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    match key.len() {
        0 => Err(Fault::bad("Missing key name")),
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(Fault::bad(format!("key of {bytes} bytes: expected 1 to {KEY_BYTES_MAX}"))),
    }
}
