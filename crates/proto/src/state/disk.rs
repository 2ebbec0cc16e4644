//! Decides the pairs that a node keeps on disk: reservations, entries with their vector, and
//! members to rejoin. The driver stores bytes; what they mean is known here.
//!
//! Entries carry their own checksum; the other values end with four bytes of their content
//! address, so that a bit flipped at rest never makes a vector claim what was not applied, nor a
//! number go back (F1, rules 4 and 7).

use crate::base::clocks::VersionVector;
use crate::base::hash::{HashKey, content_address};
use crate::base::id::NodeId;
use crate::base::time::Now;
use crate::membership::facts::Facts;
use crate::state::entry::Entry;
use crate::state::epochs::Epochs;
use crate::state::store::Store;
use crate::wire::codec::{Decoded, Reader, below_max, put_id, put_u32, put_u64, put_varint};

const RESERVED: u8 = b'I';
const ENTRY: u8 = b'E';
const ORIGIN: u8 = b'V';
const MEMBER: u8 = b'M';
const EPOCHS: u8 = b'F';

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
    (vec![RESERVED], Some(checked(value)))
}

/// The key of an entry's pair.
pub fn entry_place(entry: &Entry) -> Vec<u8> {
    let mut at = vec![ENTRY];
    put_varint(&mut at, entry.keyspace.len() as u64);
    at.extend_from_slice(entry.keyspace.as_bytes());
    at.extend_from_slice(&entry.key);
    at
}

pub fn entry_change(entry: &Entry, key: &HashKey, now: Now) -> Change {
    let mut value = Vec::new();
    entry.put_body(&mut value, key, now.mono, Some(now.wall_ms));
    (entry_place(entry), Some(value))
}

pub fn origin_change(vector: &VersionVector, origin: NodeId) -> Change {
    own_origin_change(vector, origin, vector.upto(origin))
}

/// The vector of the own origin as of a write that is being made durable with it.
pub fn own_origin_change(vector: &VersionVector, me: NodeId, upto: u64) -> Change {
    let mut at = vec![ORIGIN];
    put_id(&mut at, me);
    (at, (upto > 0 || vector.knows(me)).then(|| encode_applied(vector, me, upto)))
}

pub fn member_change(facts: &Facts, known: bool) -> Change {
    let mut at = vec![MEMBER];
    put_id(&mut at, facts.id);
    (at, known.then(|| checked(facts.bytes.to_vec())))
}

/// What was forgotten while this node took part.
pub fn epochs_change(epochs: &Epochs) -> Change {
    let mut value = Vec::new();
    epochs.put_body(&mut value);
    (vec![EPOCHS], Some(checked(value)))
}

fn encode_applied(vector: &VersionVector, origin: NodeId, upto: u64) -> Vec<u8> {
    let mut value = Vec::new();
    put_varint(&mut value, upto);
    for &(from, to) in vector.beyond(origin) {
        put_varint(&mut value, from);
        put_varint(&mut value, to);
    }
    checked(value)
}

/// The value with its checksum.
fn checked(mut value: Vec<u8>) -> Vec<u8> {
    let sum = content_address(&value) as u32;
    put_u32(&mut value, sum);
    value
}

/// The value without its checksum, if that holds.
fn unchecked(value: &[u8]) -> Option<&[u8]> {
    let (value, sum) = value.split_last_chunk::<4>()?;
    (content_address(value) as u32 == u32::from_le_bytes(*sum)).then_some(value)
}

/// What the disk gave back.
#[derive(Debug, Default)]
pub struct Recovered {
    pub reserved: Option<Reserved>,
    pub members: Vec<Facts>,
    pub epochs: Epochs,
    /// Pairs that could not be read: kept on disk, reported.
    pub unreadable: usize,
}

/// Fills `store` and returns the rest. A broken pair is a hole: its dot is not covered, so it is
/// asked for again.
pub fn recover(
    pairs: &[(Vec<u8>, Vec<u8>)],
    store: &mut Store,
    key: &HashKey,
    now: Now,
) -> Recovered {
    let mut recovered = Recovered::default();
    for (at, value) in pairs {
        if read_pair(at, value, store, key, now, &mut recovered).is_none() {
            recovered.unreadable += 1;
        }
    }
    recovered
}

fn read_pair(
    at: &[u8],
    value: &[u8],
    store: &mut Store,
    key: &HashKey,
    now: Now,
    into: &mut Recovered,
) -> Option<()> {
    let (&class, rest) = at.split_first()?;
    if class == ENTRY {
        store.restore_entry(Entry::decode(value, key, now).ok()??);
        return Some(());
    }
    let value = unchecked(value)?;
    let mut r = Reader::new(value);
    match class {
        RESERVED => {
            let incarnation = below_max(r.u64("incarnation").ok()?, "incarnation").ok()?;
            let event = below_max(r.u64("event").ok()?, "event").ok()?;
            into.reserved = Some(Reserved { incarnation, event });
        }
        ORIGIN => {
            let origin = Reader::new(rest).id("origin").ok()?;
            let upto = r.seq("upto").ok()?;
            let mut beyond = Vec::new();
            while !r.is_empty() {
                beyond.push(read_range(&mut r).ok()?);
            }
            store.restore_origin(origin, upto, &beyond);
        }
        EPOCHS => into.epochs = Epochs::decode(value).ok()?,
        MEMBER => into.members.push(Facts::decode(value).ok()?),
        _ => return None,
    }
    Some(())
}

fn read_range(r: &mut Reader<'_>) -> Decoded<(u64, u64)> {
    Ok((r.seq("from")?, r.seq("to")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clocks::Dot;

    /// F1 at rest, rules 4 and 7: a flipped bit anywhere makes the pair unreadable, never wrong.
    #[test]
    fn every_flipped_bit_of_a_value_is_found() {
        let key = HashKey::for_cluster("d");
        let origin = NodeId::from_u128(5);
        let mut vector = VersionVector::default();
        vector.add_range(origin, 1, 9);
        vector.add(Dot { origin, seq: 12 });
        let reserved = Reserved { incarnation: 1024, event: 2048 };
        for (at, value) in [reserved_change(reserved), origin_change(&vector, origin)] {
            let value = value.expect("a value is set");
            for bit in 0..value.len() * 8 {
                let mut broken = value.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                let mut store = Store::new(key, true);
                let recovered = recover(&[(at.clone(), broken)], &mut store, &key, Now::default());
                assert_eq!((recovered.unreadable, recovered.reserved), (1, None), "bit {bit}");
                assert!(store.vector().is_empty());
            }
            let mut store = Store::new(key, true);
            let recovered = recover(&[(at, value)], &mut store, &key, Now::default());
            assert_eq!(recovered.unreadable, 0);
            assert!(recovered.reserved == Some(reserved) || *store.vector() == vector);
        }
    }
}
