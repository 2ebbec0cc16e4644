//! Decides how broken bytes get a valid checksum, so that fuzzing reaches what lies behind it.
//! Written from the documented layout, not with the encoder: it is a second opinion on it.

use tidings_proto::NodeId;
use tidings_proto::base::hash::{HashKey, content_address, domain};
use tidings_proto::membership::record::record_checksum;
use tidings_proto::wire::codec::{Decoded, Reader};
use tidings_proto::wire::frame::{Frames, kind, put_frame};
use tidings_proto::wire::packet;

/// A packet of `sender` around `body`, whose member, entry and event frames get their checksums.
pub fn packet_of(key: &HashKey, sender: NodeId, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = packet::begin(&mut out, key, sender);
    out.extend_from_slice(&frames(key, body));
    packet::seal(&mut out, start, key);
    out
}

/// The same frames with valid checksums; what follows a broken frame is kept as it is.
pub fn frames(key: &HashKey, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut whole = 0;
    for frame in Frames::new(body) {
        let Ok((kind, inner)) = frame else { break };
        whole = inner.as_ptr() as usize + inner.len() - body.as_ptr() as usize;
        let fixed = match kind {
            kind::MEMBER | kind::NAME_CLAIM => record(key, inner),
            kind::ENTRY => entry(key, inner),
            kind::ENTRY_DELTA => entry_delta(key, inner),
            kind::EVENT => event(key, inner),
            _ => Err(tidings_proto::wire::codec::DecodeError::Invalid("frame")),
        };
        let fixed = fixed.unwrap_or_else(|_| inner.to_vec());
        put_frame(&mut out, kind, |out| out.extend_from_slice(&fixed));
    }
    out.extend_from_slice(&body[whole..]);
    out
}

/// A record whose checksum holds.
pub fn record(key: &HashKey, body: &[u8]) -> Decoded<Vec<u8>> {
    let mut r = Reader::new(body);
    let incarnation = r.varint("incarnation")?;
    r.u8("standing")?;
    let sum_at = body.len() - r.rest().len();
    r.u64("sum")?;
    let sum = record_checksum(key, incarnation, r.bytes(usize::MAX, "facts")?);
    let mut out = body.to_vec();
    out[sum_at..sum_at + 8].copy_from_slice(&sum.to_le_bytes());
    Ok(out)
}

/// An entry whose checksum holds: over all but flags, `superseded` and the checksum itself.
pub fn entry(key: &HashKey, body: &[u8]) -> Decoded<Vec<u8>> {
    let mut r = Reader::new(body);
    let flags = r.u8("flags")?;
    r.u32("sum")?;
    let keyspace = r.bytes(usize::MAX, "keyspace")?;
    let entry_key = r.bytes(usize::MAX, "key")?;
    let stamp = r.u64("stamp")?;
    let origin = r.id("origin")?;
    let seq = r.varint("seq")?;
    let (before, len) =
        if flags & 2 != 0 { (r.varint("before")?, r.varint("length")?) } else { (0, 1) };
    let value = r.bytes(usize::MAX, "value")?;
    for _ in 0..r.count(usize::MAX >> 8, 18, "superseded")? {
        r.id("origin")?;
        r.varint("from")?;
        r.varint("length")?;
    }
    let merges = flags & 4 != 0;
    let live = flags & 1 == 0 || merges;
    let sum = key.checksum(
        domain::ENTRY,
        &[
            keyspace,
            entry_key,
            &stamp.to_le_bytes(),
            &origin.0,
            &seq.to_le_bytes(),
            &seq.wrapping_sub(before).to_le_bytes(),
            &len.to_le_bytes(),
            &[u8::from(live) | u8::from(merges) << 1],
            if live { value } else { &[] },
            r.rest(),
        ],
    ) as u32;
    let mut out = body.to_vec();
    out[1..5].copy_from_slice(&sum.to_le_bytes());
    Ok(out)
}

/// A delta of an entry whose checksum holds: over all that follows it.
pub fn entry_delta(key: &HashKey, body: &[u8]) -> Decoded<Vec<u8>> {
    let mut r = Reader::new(body);
    r.u32("sum")?;
    let sum = key.checksum(domain::ENTRY_DELTA, &[r.rest()]) as u32;
    let mut out = body.to_vec();
    out[..4].copy_from_slice(&sum.to_le_bytes());
    Ok(out)
}

/// An event whose checksum holds: over all but its age and the checksum itself.
pub fn event(key: &HashKey, body: &[u8]) -> Decoded<Vec<u8>> {
    let mut r = Reader::new(body);
    let origin = r.id("origin")?;
    let seq = r.varint("seq")?;
    let previous = r.varint("previous")?;
    let stamp = r.u64("stamp")?;
    r.varint("age")?;
    let sum_at = body.len() - r.rest().len();
    r.u32("sum")?;
    let from = r.bytes(usize::MAX, "from")?;
    let name = r.bytes(usize::MAX, "name")?;
    let payload = r.bytes(usize::MAX, "payload")?;
    let sum = key.checksum(
        domain::EVENT,
        &[
            &origin.0,
            &seq.to_le_bytes(),
            &previous.to_le_bytes(),
            &stamp.to_le_bytes(),
            from,
            name,
            payload,
        ],
    ) as u32;
    let mut out = body.to_vec();
    out[sum_at..sum_at + 4].copy_from_slice(&sum.to_le_bytes());
    Ok(out)
}

/// A pair of the disk whose value is whole.
pub fn pair(key: &HashKey, at: &[u8], value: &[u8]) -> Vec<u8> {
    if at.first() == Some(&b'E') {
        return entry(key, value).unwrap_or_else(|_| value.to_vec());
    }
    let inner = value.split_last_chunk::<4>().map_or(value, |(inner, _)| inner);
    let mut out = inner.to_vec();
    out.extend_from_slice(&(content_address(inner) as u32).to_le_bytes());
    out
}
