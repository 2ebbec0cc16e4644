//! Decides how a client's session goes with its requests: header `X-Tidings-Session` in, which the
//! agent has to catch up with first, and out, with what was read or written.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tidings::{CommandError, EntryView, Error, Policy, PolicyError, SESSION_WAIT, Session, Token};
use tidings_sim::duration;

use super::query::Query;
use super::{App, Fault};
use crate::os;

const HEADER: HeaderName = HeaderName::from_static("x-tidings-session");
/// Whatever the client asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The session of a request: the text that came, if one did.
#[derive(Debug)]
pub(super) struct Given(Option<String>);

impl<S: Sync> FromRequestParts<S> for Given {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Given, Infallible> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(Given(parts.headers.get(HEADER).map(text)))
    }
}

/// A session that the agent has caught up with.
pub(super) struct InSession {
    /// `None`: the client has none and reads without.
    session: Option<Session>,
}

impl Given {
    /// Refuses what gossip cannot promise, and waits until the agent has what the session has seen.
    pub(super) async fn enter(
        self,
        app: &App,
        keyspace: &str,
        query: &Query,
        writes: bool,
    ) -> Result<InSession, Fault> {
        check_consistency(query)?;
        let session = match self.0.as_deref().map(str::trim) {
            None => None,
            Some("") => Some(Session::new()),
            Some(text) => Some(text.parse().map_err(|e: tidings::NotASession| {
                Fault::bad(format!("header X-Tidings-Session: {e}"))
            })?),
        };
        let mut session = session.or(writes.then(Session::new));
        let Some(own) = &mut session else {
            let name = keyspace.to_owned();
            let known = app.node.query(move |view, _| view.may_read(&name)).await?;
            return known
                .map(|()| InSession { session: None })
                .map_err(|e| Error::Refused(e).into());
        };
        match app.node.keyspace(keyspace).with(own).wait(wait(query)?).catch_up().await {
            // A first write makes a keyspace known.
            Err(Error::Refused(CommandError::UnknownKeyspace { .. })) if writes => {}
            other => other?,
        }
        Ok(InSession { session })
    }
}

impl InSession {
    /// Remembers the writes, and tells the client.
    pub(super) fn wrote(mut self, tokens: &[Token], response: Response) -> Response {
        if let Some(session) = &mut self.session {
            for &dot in tokens.iter().flat_map(|token| &token.dots) {
                if !session.add(dot) {
                    return Fault::from(Error::Refused(CommandError::SessionFull)).into_response();
                }
            }
        }
        self.tell(response)
    }

    /// Remembers what was read: a key, deleted or not, or all that starts so.
    pub(super) async fn read(
        mut self,
        app: &App,
        (keyspace, key, many): (String, Vec<u8>, bool),
        response: Response,
    ) -> Result<Response, Fault> {
        if let Some(mut session) = self.session.take() {
            let remember = move |view: &tidings::View<'_>| -> Result<Session, CommandError> {
                let entries: Vec<EntryView> = match many {
                    true => view.entries(&keyspace, &key).collect(),
                    false => view.entry(&keyspace, &key).into_iter().collect(),
                };
                entries.iter().try_for_each(|entry| view.remember(entry, &mut session))?;
                Ok(session)
            };
            let session = app.node.query(move |view, _| remember(view)).await?;
            self.session = Some(session.map_err(Error::Refused)?);
        }
        Ok(self.tell(response))
    }

    fn tell(mut self, mut response: Response) -> Response {
        if let Some(session) = &mut self.session {
            session.used(os::unix_ms());
            if let Ok(text) = HeaderValue::from_str(&session.to_string()) {
                response.headers_mut().insert(HEADER, text);
            }
        }
        response
    }
}

/// `?consistency=`: what the kind of the keyspace gives anyway, or a refusal with the reason.
fn check_consistency(query: &Query) -> Result<(), Fault> {
    let Some(asked) = query.text("consistency").filter(|asked| asked != "session") else {
        return Ok(());
    };
    Policy::default().set("consistency", &asked).map_err(|error| refused(&error))
}

/// What needs consensus is not implemented; the rest is a bad request.
pub(super) fn refused(error: &PolicyError) -> Fault {
    match error {
        PolicyError::Strong { .. } => Fault::new(StatusCode::NOT_IMPLEMENTED, error.to_string()),
        _ => Fault::bad(error.to_string()),
    }
}

fn wait(query: &Query) -> Result<Duration, Fault> {
    let Some(text) = query.text("session-wait") else { return Ok(SESSION_WAIT) };
    let wait = duration::parse(&text).filter(|&wait| wait <= WAIT_MAX);
    wait.ok_or_else(|| {
        Fault::bad(format!("session-wait {text:?}: expected a duration of at most 60s"))
    })
}

/// What the session has seen and this agent lacks, for programs.
pub(super) fn stale(missing: &[tidings::Dot], text: &str) -> Response {
    let missing: Vec<String> =
        missing.iter().map(|dot| format!("{}:{}", dot.origin, dot.seq)).collect();
    let body = json!({ "error": text, "missing": missing }).to_string();
    let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
    (StatusCode::CONFLICT, kind, body).into_response()
}
