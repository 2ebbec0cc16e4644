//! Decides what packets of other protocol versions look like: a later one that adds frames and
//! fields, which everybody must skip, or one with another packet layout, which only its own kind
//! reads. The cores are all of this version; packets are rewritten on their way out and in.

use std::sync::Arc;

use tidings_proto::base::hash::HashKey;
use tidings_proto::wire::frame::{Frames, kind, put_frame};
use tidings_proto::wire::packet;

/// What a host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// This packet version, with frames of an unknown kind and longer pings.
    Newer,
    /// Another packet version. It also reads this one.
    Version(u8),
}

/// A kind that no version has registered.
const UNKNOWN_KIND: u8 = 250;
const UNKNOWN_BODY: &[u8] = b"later";
const UNKNOWN_FIELD: &[u8] = &[1, 2, 3];

/// Who speaks what; hosts beyond the list speak this version.
pub(crate) struct Dialects {
    of: Vec<Option<Dialect>>,
}

impl Dialects {
    pub(crate) fn new(of: Vec<Option<Dialect>>) -> Dialects {
        Dialects { of }
    }

    /// A packet of this host as others get it, within so many bytes.
    pub(crate) fn speak(
        &self,
        host: usize,
        cluster: &str,
        bytes: Arc<[u8]>,
        bytes_max: usize,
    ) -> Arc<[u8]> {
        let key = HashKey::for_cluster(cluster);
        match self.of.get(host).copied().flatten() {
            None => bytes,
            Some(Dialect::Newer) => match extended(&bytes, &key) {
                Some(longer) if longer.len() <= bytes_max => Arc::from(longer),
                _ => bytes,
            },
            Some(Dialect::Version(version)) => with_version(&bytes, version, &key),
        }
    }

    /// A packet as this host reads it.
    pub(crate) fn hear(&self, host: usize, cluster: &str, bytes: Arc<[u8]>) -> Arc<[u8]> {
        match self.of.get(host).copied().flatten() {
            Some(Dialect::Version(version)) if bytes.first() == Some(&version) => {
                with_version(&bytes, packet::VERSION, &HashKey::for_cluster(cluster))
            }
            _ => bytes,
        }
    }
}

fn with_version(bytes: &[u8], version: u8, key: &HashKey) -> Arc<[u8]> {
    let mut packet = bytes.to_vec();
    packet[0] = version;
    packet::seal(&mut packet, 0, key);
    Arc::from(packet)
}

fn extended(bytes: &[u8], key: &HashKey) -> Option<Vec<u8>> {
    let (sender, body) = packet::open(bytes, key).ok()?;
    if Frames::new(body).flatten().any(|(frame, _)| frame == kind::DELTA_END) {
        // An unknown frame among entries is state that the reader must not count as applied.
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() + 16);
    let start = packet::begin(&mut out, key, sender);
    for frame in Frames::new(body) {
        let (frame, body) = frame.ok()?;
        put_frame(&mut out, frame, |out| {
            out.extend_from_slice(body);
            if frame == kind::PING {
                out.extend_from_slice(UNKNOWN_FIELD);
            }
        });
        put_frame(&mut out, UNKNOWN_KIND, |out| out.extend_from_slice(UNKNOWN_BODY));
    }
    packet::seal(&mut out, start, key);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_proto::NodeId;
    use tidings_proto::wire::packet::Unreadable;

    #[test]
    fn another_layout_is_read_by_its_own_kind_only() {
        let key = HashKey::for_cluster("c");
        let mut out = Vec::new();
        let start = packet::begin(&mut out, &key, NodeId::from_u128(7));
        put_frame(&mut out, kind::NACK, |out| out.push(1));
        packet::seal(&mut out, start, &key);
        let said: Arc<[u8]> = Arc::from(out);
        let dialects = Dialects::new(vec![Some(Dialect::Version(2)), None]);
        let foreign = dialects.speak(0, "c", Arc::clone(&said), 1400);
        assert_eq!(packet::open(&foreign, &key), Err(Unreadable::Version));
        assert_eq!(dialects.hear(0, "c", Arc::clone(&foreign)), said);
        assert_eq!(dialects.hear(1, "c", Arc::clone(&foreign)), foreign);
        let newer = Dialects::new(vec![Some(Dialect::Newer)]).speak(0, "c", said, 1400);
        let (_, body) = packet::open(&newer, &key).expect("this version reads it");
        let kinds: Vec<u8> = Frames::new(body).map(|f| f.expect("whole frames").0).collect();
        assert_eq!(kinds, [kind::NACK, UNKNOWN_KIND]);
    }
}
