//! Decides what a packet is: version, cluster tag, checksum, sender, then frames. Datagrams and
//! stream messages are alike.
//!
//! ```text
//! 0        1              4            8           24
//! version  cluster tag    checksum     sender id   frames ...
//! ```
//! The checksum is keyed by the cluster and covers all that follows it; what is before it is known. So a
//! flipped bit, a cut, or another cluster's packet is found before a frame is read (F1).

use crate::base::hash::{HashKey, domain};
use crate::base::id::NodeId;

/// Version of the packet layout. Frames evolve by kind and by trailing fields, not by this.
pub const VERSION: u8 = 1;
pub const HEADER_BYTES: usize = 24;

/// Why a packet was dropped unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Truncated,
    Version,
    ForeignCluster,
    Checksum,
}

/// Appends a header; [`seal`] completes it. Returns where the packet starts.
pub fn begin(out: &mut Vec<u8>, key: &HashKey, sender: NodeId) -> usize {
    let start = out.len();
    out.push(VERSION);
    out.extend_from_slice(&key.cluster_tag());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&sender.0);
    start
}

/// Fills in the checksum of the packet that starts at `start` and ends with the buffer.
pub fn seal(out: &mut [u8], start: usize, key: &HashKey) {
    let sum = checksum(&out[start..], key);
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Checks a packet; returns its sender and its frames.
pub fn open<'a>(bytes: &'a [u8], key: &HashKey) -> Result<(NodeId, &'a [u8]), Unreadable> {
    if bytes.len() < HEADER_BYTES {
        return Err(Unreadable::Truncated);
    }
    if bytes[0] != VERSION {
        return Err(Unreadable::Version);
    }
    if bytes[1..4] != key.cluster_tag() {
        return Err(Unreadable::ForeignCluster);
    }
    if bytes[4..8] != checksum(bytes, key).to_le_bytes() {
        return Err(Unreadable::Checksum);
    }
    let mut sender = [0; 16];
    sender.copy_from_slice(&bytes[8..HEADER_BYTES]);
    Ok((NodeId(sender), &bytes[HEADER_BYTES..]))
}

fn checksum(packet: &[u8], key: &HashKey) -> u32 {
    key.checksum(domain::PACKET, &[&packet[8..]]) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let key = HashKey::for_cluster("a");
        let mut out = vec![9, 9];
        let start = begin(&mut out, &key, NodeId::from_u128(77));
        out.extend_from_slice(b"some frames");
        seal(&mut out, start, &key);
        let packet = &out[start..];
        assert_eq!(open(packet, &key), Ok((NodeId::from_u128(77), &b"some frames"[..])));
        for bit in 0..packet.len() * 8 {
            let mut broken = packet.to_vec();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&broken, &key).is_err(), "bit {bit}");
        }
        for len in 0..packet.len() {
            assert!(open(&packet[..len], &key).is_err(), "cut to {len}");
        }
        assert_eq!(open(packet, &HashKey::for_cluster("b")), Err(Unreadable::ForeignCluster));
    }
}
