//! Decides the pairs that a node keeps on disk: reservations, entries with their vector, and
//! members to rejoin. The driver stores bytes; what they mean is known here.

use crate::base::clocks::VersionVector;
use crate::base::hash::HashKey;
use crate::base::id::NodeId;
use crate::membership::facts::Facts;
use crate::state::entry::Entry;
use crate::state::store::Store;
use crate::wire::codec::{Decoded, Reader, put_id, put_u64, put_varint};

const RESERVED: u8 = b'I';
const ENTRY: u8 = b'E';
const ORIGIN: u8 = b'V';
const MEMBER: u8 = b'M';

/// Numbers below these may have been used in an earlier life of the process: a start begins above
/// them (rule 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    pub incarnation: u64,
    pub event: u64,
}

/// One change of a [`Persist`](crate::io::Persist) transaction.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

pub fn reserved_change(reserved: Reserved) -> Change {
    let mut value = Vec::new();
    put_u64(&mut value, reserved.incarnation);
    put_u64(&mut value, reserved.event);
    (vec![RESERVED], Some(value))
}

pub fn entry_change(entry: &Entry, key: &HashKey) -> Change {
    let mut at = vec![ENTRY];
    put_varint(&mut at, entry.keyspace.len() as u64);
    at.extend_from_slice(entry.keyspace.as_bytes());
    at.extend_from_slice(&entry.key);
    let mut value = Vec::new();
    entry.put_body(&mut value, key);
    (at, Some(value))
}

pub fn origin_change(vector: &VersionVector, origin: NodeId) -> Change {
    let mut at = vec![ORIGIN];
    put_id(&mut at, origin);
    (at, Some(encode_applied(vector, origin, vector.upto(origin))))
}

/// The vector of the own origin as of a write that is being made durable with it.
pub fn own_origin_change(vector: &VersionVector, me: NodeId, upto: u64) -> Change {
    let mut at = vec![ORIGIN];
    put_id(&mut at, me);
    (at, Some(encode_applied(vector, me, upto)))
}

pub fn member_change(facts: &Facts, known: bool) -> Change {
    let mut at = vec![MEMBER];
    put_id(&mut at, facts.id);
    (at, known.then(|| facts.bytes.to_vec()))
}

fn encode_applied(vector: &VersionVector, origin: NodeId, upto: u64) -> Vec<u8> {
    let mut value = Vec::new();
    put_varint(&mut value, upto);
    for &(from, to) in vector.beyond(origin) {
        put_varint(&mut value, from);
        put_varint(&mut value, to);
    }
    value
}

/// What the disk gave back.
#[derive(Debug, Default)]
pub struct Recovered {
    pub reserved: Option<Reserved>,
    pub members: Vec<Facts>,
    /// Pairs that could not be read: kept on disk, reported.
    pub unreadable: usize,
}

/// Fills `store` and returns the rest. A broken pair is a hole: its dot is not covered, so it is
/// asked for again.
pub fn recover(pairs: &[(Vec<u8>, Vec<u8>)], store: &mut Store, key: &HashKey) -> Recovered {
    let mut recovered = Recovered::default();
    for (at, value) in pairs {
        if read_pair(at, value, store, key, &mut recovered).is_none() {
            recovered.unreadable += 1;
        }
    }
    recovered
}

fn read_pair(at: &[u8], value: &[u8], store: &mut Store, key: &HashKey, into: &mut Recovered) -> Option<()> {
    let (&class, rest) = at.split_first()?;
    let mut r = Reader::new(value);
    match class {
        RESERVED => {
            let incarnation = r.u64("incarnation").ok()?;
            into.reserved = Some(Reserved { incarnation, event: r.u64("event").ok()? });
        }
        ENTRY => store.restore_entry(Entry::decode(value, key).ok()??),
        ORIGIN => {
            let origin = Reader::new(rest).id("origin").ok()?;
            let upto = r.varint("upto").ok()?;
            let mut beyond = Vec::new();
            while !r.is_empty() {
                beyond.push(read_range(&mut r).ok()?);
            }
            store.restore_origin(origin, upto, &beyond);
        }
        MEMBER => into.members.push(Facts::decode(value).ok()?),
        _ => return None,
    }
    Some(())
}

fn read_range(r: &mut Reader<'_>) -> Decoded<(u64, u64)> {
    Ok((r.varint("from")?, r.varint("to")?))
}
