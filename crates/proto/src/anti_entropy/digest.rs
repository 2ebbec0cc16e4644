//! Decides the bytes of reconciliation: bucket prints for members, vectors and cursors for entries,
//! heads for events.

use crate::base::id::NodeId;
use crate::limits::MEMBERS_MAX;
use crate::wire::codec::{DecodeError, Decoded, Reader, put_id, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// Buckets of a member digest: about eight members each, within 1 and 1,024.
pub fn buckets_for(members: usize) -> usize {
    (members / 8).next_power_of_two().clamp(1, 1024)
}

/// "These are my members by bucket; send me what differs, from `cursor` on."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDigest {
    pub cursor: u64,
    /// One print per bucket. A single print of 0 differs from any non-empty table: "send all".
    pub prints: Vec<u64>,
}

impl MemberDigest {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::MEMBER_DIGEST, |out| {
            put_varint(out, self.cursor);
            put_varint(out, self.prints.len() as u64);
            for &print in &self.prints {
                put_u64(out, print);
            }
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<MemberDigest> {
        let mut r = Reader::new(body);
        let cursor = r.varint("cursor")?;
        let n = r.count(1024, 8, "buckets")?;
        if !n.is_power_of_two() {
            return Err(DecodeError::Invalid("buckets"));
        }
        let prints = (0..n).map(|_| r.u64("bucket print")).collect::<Decoded<_>>()?;
        Ok(MemberDigest { cursor, prints })
    }
}

/// Ends a page of member records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersEnd {
    /// Where the next page starts; `None`: this was the last.
    pub next: Option<u64>,
    /// One past the last place of the table that the pages are of: who comes later is after it.
    pub upto: u64,
    /// Which buckets differed, one bit each.
    pub differing: Vec<u8>,
}

impl MembersEnd {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::MEMBERS_END, |out| {
            put_varint(out, self.next.map_or(0, |n| n + 1));
            put_varint(out, self.upto);
            out.extend_from_slice(&self.differing);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<MembersEnd> {
        let mut r = Reader::new(body);
        let next = r.varint("next page")?.checked_sub(1);
        let upto = r.varint("end of table")?;
        if r.rest().len() > 128 {
            return Err(DecodeError::TooLong("differing buckets"));
        }
        Ok(MembersEnd { next, upto, differing: r.rest().to_vec() })
    }

    pub fn differs(&self, bucket: usize) -> bool {
        self.differing.get(bucket / 8).is_some_and(|b| b & 1 << (bucket % 8) != 0)
    }
}

/// Pairs of (node, number): version vector prefixes or event heads.
pub type Pairs = Vec<(NodeId, u64)>;

pub fn put_pairs(out: &mut Vec<u8>, pairs: &[(NodeId, u64)]) {
    put_varint(out, pairs.len() as u64);
    for &(id, n) in pairs {
        put_id(out, id);
        put_varint(out, n);
    }
}

fn read_pairs(r: &mut Reader<'_>, what: &'static str) -> Decoded<Pairs> {
    let n = r.count(MEMBERS_MAX, 17, what)?;
    (0..n).map(|_| Ok((r.id(what)?, r.seq(what)?))).collect()
}

/// What a node has applied, all in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vectors {
    pub entries: Pairs,
    pub events: Pairs,
}

impl Vectors {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::VECTOR, |out| self.put_body(out));
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        put_pairs(out, &self.entries);
        put_pairs(out, &self.events);
    }

    pub fn decode(body: &[u8]) -> Decoded<Vectors> {
        Vectors::read(&mut Reader::new(body))
    }

    fn read(r: &mut Reader<'_>) -> Decoded<Vectors> {
        Ok(Vectors { entries: read_pairs(r, "vector")?, events: read_pairs(r, "event heads")? })
    }
}

/// "Send what I lack, from this place of your apply order on."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaRequest {
    /// The life of the sender whose order the cursor belongs to; another life starts over.
    pub boot: u64,
    pub cursor: u64,
    /// Send everything, covered or not: sets are compared in full after a fault.
    pub full: bool,
    pub have: Vectors,
}

impl DeltaRequest {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::DELTA_REQUEST, |out| {
            put_u64(out, self.boot);
            put_varint(out, self.cursor);
            out.push(u8::from(self.full));
            self.have.put_body(out);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<DeltaRequest> {
        let mut r = Reader::new(body);
        Ok(DeltaRequest {
            boot: r.u64("boot")?,
            cursor: r.varint("cursor")?,
            full: r.u8("full")? != 0,
            have: Vectors::read(&mut r)?,
        })
    }
}

/// Ends a page of entries and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaEnd {
    pub boot: u64,
    /// How far the sender's apply order was walked.
    pub cursor: u64,
    /// At the head: what the sender has applied as of `cursor`, and its state fingerprint.
    pub closed: Option<(Vectors, u64)>,
}

impl DeltaEnd {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::DELTA_END, |out| {
            put_u64(out, self.boot);
            put_varint(out, self.cursor);
            out.push(u8::from(self.closed.is_some()));
            if let Some((vectors, print)) = &self.closed {
                put_u64(out, *print);
                vectors.put_body(out);
            }
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<DeltaEnd> {
        let mut r = Reader::new(body);
        let boot = r.u64("boot")?;
        let cursor = r.varint("cursor")?;
        let closed = match r.u8("closed")? {
            0 => None,
            _ => {
                let print = r.u64("state print")?;
                Some((Vectors::read(&mut r)?, print))
            }
        };
        Ok(DeltaEnd { boot, cursor, closed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::SEQ_MAX;
    use proptest::prelude::*;

    fn pairs() -> impl Strategy<Value = Pairs> {
        proptest::collection::vec((any::<u128>().prop_map(NodeId::from_u128), 0..SEQ_MAX), 0..5)
    }

    fn body(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        let mut r = Reader::new(&out);
        r.u8("kind").unwrap();
        r.bytes(usize::MAX, "body").unwrap().to_vec()
    }

    proptest! {
        #[test]
        fn deltas_round_trip(boot: u64, cursor: u64, full: bool, entries in pairs(), events in pairs(), print: u64) {
            let have = Vectors { entries, events };
            let request = DeltaRequest { boot, cursor, full, have: have.clone() };
            prop_assert_eq!(DeltaRequest::decode(&body(|o| request.put(o))), Ok(request));
            for closed in [None, Some((have, print))] {
                let end = DeltaEnd { boot, cursor, closed };
                prop_assert_eq!(DeltaEnd::decode(&body(|o| end.put(o))), Ok(end));
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = MemberDigest::decode(&bytes);
            let _ = MembersEnd::decode(&bytes);
            let _ = Vectors::decode(&bytes);
            let _ = DeltaRequest::decode(&bytes);
            let _ = DeltaEnd::decode(&bytes);
        }
    }
}
