//! Decides how the part of a URL after the question mark, and bytes in its path, are read.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use percent_encoding::percent_decode;

use super::Fault;

/// The parameters of a request, in order.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, Vec<u8>)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Infallible> {
        Ok(Query::parse(parts.uri.query().unwrap_or("")))
    }
}

impl Query {
    fn parse(text: &str) -> Query {
        let decode =
            |part: &str| -> Vec<u8> { percent_decode(part.replace('+', " ").as_bytes()).collect() };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (String::from_utf8_lossy(&decode(name)).into_owned(), decode(value))
                })
                .collect(),
        )
    }

    /// Present at all: `stale`, `stale=` and `stale=1` mean the same.
    pub(super) fn has(&self, name: &str) -> bool {
        self.bytes(name).is_some()
    }

    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(super) fn pretty(&self) -> bool {
        self.has("pretty")
    }

    /// What every Consul read checks first: its consistency, and whether the data is here.
    pub(super) fn check_common(&self, datacenter: &str) -> Result<&'static str, Fault> {
        if let Some(dc) = self.text("dc").filter(|dc| !dc.is_empty() && dc != datacenter) {
            let text = format!("No path to datacenter: {dc:?} is not {datacenter:?}");
            return Err(Fault::new(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        match (self.has("stale"), self.has("consistent")) {
            (true, true) => {
                Err(Fault::bad("Cannot specify ?stale with ?consistent, conflicting semantics."))
            }
            (true, false) => Ok("stale"),
            (false, true) => Ok("consistent"),
            (false, false) => Ok("leader"),
        }
    }
}

/// What follows `prefix` in a path, percent-decoded to bytes of any kind.
pub(super) fn path_bytes(path: &str, prefix: &str) -> Vec<u8> {
    percent_decode(path.strip_prefix(prefix).unwrap_or("").as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_bytes() {
        let query = Query::parse("raw&separator=%2F&stale=1&k=a+b%ff");
        assert!(query.has("raw") && query.has("stale") && !query.has("recurse"));
        assert_eq!(query.bytes("separator"), Some(&b"/"[..]));
        assert_eq!(query.bytes("k"), Some(&b"a b\xff"[..]));
        assert_eq!(path_bytes("/v1/kv/a%00%ff/b+c", "/v1/kv/"), b"a\0\xff/b+c");
    }

    #[test]
    fn conflicting_consistency_is_refused() {
        assert!(Query::parse("stale&consistent").check_common("dc").is_err());
        assert!(Query::parse("dc=elsewhere").check_common("dc").is_err());
        assert_eq!(Query::parse("dc=dc").check_common("dc").unwrap(), "leader");
    }
}
