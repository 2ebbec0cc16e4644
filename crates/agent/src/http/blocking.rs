//! Decides how long a read waits for a change, and the headers that clients wait with.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Fault;
use super::query::Query;
use tidings_sim::duration;

/// When the client names none.
const WAIT_DEFAULT: Duration = Duration::from_secs(300);
/// Whatever the client names.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Which index is news to a client that knows another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A later one. An earlier one is of another agent, whose count is not ours.
    Later,
    /// Any other one: it is no count.
    Other,
}

/// What a client asked for: `index` it knows, and how long to wait for a later one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    index: u64,
    wait: Duration,
}

/// One reading of the resource.
pub(super) struct Reading<T> {
    /// Position of what was read; 0 is reported as 1.
    pub(super) index: u64,
    /// Differs where the resource itself differs: a change elsewhere moves `index` alone.
    pub(super) signature: u64,
    pub(super) value: T,
}

impl Wait {
    pub(super) fn parse(query: &Query) -> Result<Wait, Fault> {
        let index = match query.text("index").filter(|text| !text.is_empty()) {
            Some(text) => text.parse().map_err(|_| Fault::bad("Invalid index"))?,
            None => 0,
        };
        let wait = match query.text("wait").filter(|text| !text.is_empty()) {
            Some(text) => duration::parse(&text).ok_or_else(|| Fault::bad("Invalid wait time"))?,
            None => WAIT_DEFAULT,
        };
        let wait = if wait.is_zero() { WAIT_DEFAULT } else { wait.min(WAIT_MAX) };
        Ok(Wait { index, wait: wait + jitter(wait) })
    }

    /// Reads, and reads again whenever `position` of `changes` moves, until something changed or
    /// the time is over.
    pub(super) async fn read<T, C, F, R>(
        self,
        mut changes: watch::Receiver<C>,
        position: fn(&C) -> u64,
        news: News,
        mut read: F,
    ) -> Result<Reading<T>, Fault>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<Reading<T>, Fault>>,
    {
        let deadline = Instant::now() + self.wait;
        let mut known = None;
        loop {
            let seen = position(&changes.borrow_and_update());
            let mut reading = read().await?;
            reading.index = reading.index.max(1);
            let changed = match known {
                None if news == News::Later => reading.index > self.index,
                None => reading.index != self.index,
                Some(signature) => reading.signature != signature,
            };
            if self.index == 0 || changed {
                return Ok(reading);
            }
            known = Some(reading.signature);
            let moved = changes.wait_for(|now| position(now) != seen);
            match tokio::time::timeout_at(deadline, moved).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return Ok(reading),
            }
        }
    }
}

/// The headers of an indexed answer.
pub(super) fn headers(index: u64, consistency: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    put("x-consul-index", HeaderValue::from(index.max(1)));
    put("x-consul-knownleader", HeaderValue::from_static("true"));
    put("x-consul-lastcontact", HeaderValue::from_static("0"));
    put("x-consul-effective-consistency", HeaderValue::from_static(consistency));
    put("x-consul-default-acl-policy", HeaderValue::from_static("allow"));
    put("vary", HeaderValue::from_static("Accept-Encoding"));
    headers
}

/// Up to a sixteenth more, so that clients do not all come back at once.
fn jitter(wait: Duration) -> Duration {
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.subsec_nanos());
    wait / 16 * (nanos % 1000) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_at_most_a_sixteenth() {
        assert!(jitter(Duration::from_secs(16)) <= Duration::from_secs(1));
    }
}
