//! Decides how commands talk to an agent: plain HTTP/1.1, one connection per request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpStream;

use crate::Failure;

const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Longer than any command of the agent takes that was not told how long.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

const SESSION: &str = "x-tidings-session";

/// What stays as it is in a path segment.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// An agent at an address.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// `HOST:PORT`
    authority: String,
    answer_wait: Duration,
    /// Of a user who goes on with it: sent, and replaced by what comes back.
    session: Option<Arc<Mutex<String>>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Client {
    /// Takes `http://HOST:PORT` or `HOST:PORT`.
    pub(crate) fn new(url: &str) -> Result<Client, Failure> {
        let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let port = authority.rsplit_once(':').and_then(|(host, port)| {
            let fits = !host.is_empty() && !host.contains(['/', '@', ' ']);
            port.parse::<u16>().ok().filter(|_| fits)
        });
        match port {
            Some(_) => {
                let (authority, answer_wait) = (authority.to_owned(), ANSWER_WAIT);
                Ok(Client { authority, answer_wait, session: None })
            }
            None => Err(Failure::Misuse(format!(
                "--http-addr {url:?}: expected http://HOST:PORT such as http://127.0.0.1:8500"
            ))),
        }
    }

    /// The same agent, for a request that it may take so long over.
    pub(crate) fn patient(&self, timeout: Option<Duration>) -> Client {
        let answer_wait = ANSWER_WAIT + timeout.unwrap_or(ANSWER_WAIT);
        Client { answer_wait, ..self.clone() }
    }

    /// The same agent, for a user with this session.
    pub(crate) fn in_session(&self, session: Option<String>) -> Client {
        Client { session: session.map(|text| Arc::new(Mutex::new(text))), ..self.clone() }
    }

    /// The session as the agent gave it last.
    pub(crate) fn session(&self) -> Option<String> {
        self.session.as_ref()?.lock().ok().map(|text| text.clone())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Failure> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Result<Bytes, Failure> {
        self.call(Method::PUT, path, body.into()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Bytes, Failure> {
        self.call(Method::DELETE, path, Bytes::new()).await
    }

    /// The body of a good answer; any other is a failure in the agent's words.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        let answer = self.answer(method, path, body).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        let text = String::from_utf8_lossy(&answer.body).trim().to_owned();
        let text = if text.is_empty() { answer.status.to_string() } else { text };
        Err(refused(answer.status, text))
    }

    /// Any answer.
    pub(crate) async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let whole = async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let body = response.into_body().collect().await;
            let body = body.map_err(|error| self.failed(&error))?.to_bytes();
            Ok(Answer { status, body })
        };
        tokio::time::timeout(self.answer_wait, whole)
            .await
            .unwrap_or_else(|_| Err(self.failed(&"no answer in time")))
    }

    /// Follows a stream of server-sent events.
    pub(crate) async fn events(&self, path: &str) -> Result<Events, Failure> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        let status = response.status();
        let body = response.into_body();
        if !status.is_success() {
            let text = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(refused(status, String::from_utf8_lossy(&text).into_owned()));
        }
        let failed = self.failed(&"the stream ended");
        Ok(Events { body, buffer: Vec::new(), failed })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let connect = TcpStream::connect(&self.authority);
        let stream = tokio::time::timeout(CONNECT_WAIT, connect)
            .await
            .map_err(|_| self.failed(&"no connection in time"))?
            .map_err(|error| self.failed(&error))?;
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.failed(&error))?;
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        if let Some(session) = self.session() {
            request = request.header(SESSION, session);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| Failure::Failed(format!("{path:?}: {error}")))?;
        let response = sender.send_request(request).await.map_err(|error| self.failed(&error))?;
        self.keep_session(&response);
        Ok(response)
    }

    fn keep_session(&self, response: &Response<Incoming>) {
        let text = response.headers().get(SESSION).and_then(|text| text.to_str().ok());
        if let (Some(text), Some(session)) = (text, &self.session)
            && let Ok(mut session) = session.lock()
        {
            text.clone_into(&mut session);
        }
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> Failure {
        Failure::Failed(format!("agent at http://{}: {reason}", self.authority))
    }
}

/// A running stream of events.
pub(crate) struct Events {
    body: Incoming,
    buffer: Vec<u8>,
    failed: Failure,
}

impl Events {
    /// The next JSON object. The stream has no end of its own: that is a failure.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, Failure> {
        let mut searched = 0;
        loop {
            while let Some(end) = self.buffer[searched..].iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                searched = 0;
                if let Some(data) = line.strip_prefix(b"data:") {
                    return Ok(data.trim_ascii().to_vec());
                }
            }
            searched = self.buffer.len();
            let frame = self.body.frame().await.and_then(Result::ok);
            let Some(frame) = frame else {
                let failed = Failure::Failed("the stream ended".to_owned());
                return Err(std::mem::replace(&mut self.failed, failed));
            };
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}

/// What the agent refused as a bad request is misuse of the command too.
pub(crate) fn refused(status: StatusCode, text: String) -> Failure {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Failure::Misuse(text),
        _ => Failure::Failed(text),
    }
}

/// Text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Bytes as one segment of a path.
pub(crate) fn segment_of_bytes(bytes: &[u8]) -> String {
    percent_encoding::percent_encode(bytes, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        assert!(Client::new("http://127.0.0.1:8500/").is_ok());
        assert!(Client::new("localhost:8500").is_ok());
        for bad in ["", "http://", "https://a:1", "http://a", "a:x", "http://a:1/b"] {
            assert!(Client::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys_of_any_bytes_fit_a_path() {
        assert_eq!(segment_of_bytes(b"a/b\xff %"), "a%2Fb%FF%20%25");
    }
}
