//! Decides how numbers and byte strings are written: little-endian fixed, LEB128 varints, and
//! strings with their length. Reading never panics and never allocates.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::clocks::{Dot, Hlc, WALL_MS_MAX};
use crate::base::id::NodeId;

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They end inside the named thing.
    Truncated(&'static str),
    /// The named thing is longer than its limit.
    TooLong(&'static str),
    /// The named thing has no meaning.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated(what) => write!(f, "ends inside {what}"),
            DecodeError::TooLong(what) => write!(f, "{what} is over its limit"),
            DecodeError::Invalid(what) => write!(f, "{what} has no meaning"),
        }
    }
}

/// Sequence numbers and incarnations stay below this, so that the next one always exists and a byte
/// fits beside it. At a million a second it is reached after 2,280 years; a higher one is nobody's
/// honest number.
pub const SEQ_MAX: u64 = 1 << 56;

pub type Decoded<T> = Result<T, DecodeError>;

/// Reads from the front of a slice; a sub-reader cannot leave its parent.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub fn take(&mut self, n: usize, what: &'static str) -> Decoded<&'a [u8]> {
        if n > self.bytes.len() {
            return Err(DecodeError::Truncated(what));
        }
        let (head, tail) = self.bytes.split_at(n);
        self.bytes = tail;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Decoded<[u8; N]> {
        Ok(self.take(N, what)?.try_into().expect("take gives what was asked for"))
    }

    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Decoded<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    pub fn u16(&mut self, what: &'static str) -> Decoded<u16> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    #[inline]
    pub fn u32(&mut self, what: &'static str) -> Decoded<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    #[inline]
    pub fn u64(&mut self, what: &'static str) -> Decoded<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub fn u128(&mut self, what: &'static str) -> Decoded<u128> {
        Ok(u128::from_le_bytes(self.array(what)?))
    }

    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Decoded<u64> {
        match self.bytes.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.bytes = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(what),
        }
    }

    fn long_varint(&mut self, what: &'static str) -> Decoded<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(DecodeError::TooLong(what));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::TooLong(what))
    }

    /// A sequence number or an incarnation: below [`SEQ_MAX`].
    #[inline]
    pub fn seq(&mut self, what: &'static str) -> Decoded<u64> {
        below_max(self.varint(what)?, what)
    }

    /// A count of things of which each takes at least `each` bytes: never more than the rest can
    /// hold, so a list is never allocated for more than the input justifies.
    pub fn count(&mut self, max: usize, each: usize, what: &'static str) -> Decoded<usize> {
        let n = self.varint(what)?;
        if n > max as u64 {
            return Err(DecodeError::TooLong(what));
        }
        if n as usize * each > self.bytes.len() {
            return Err(DecodeError::Truncated(what));
        }
        Ok(n as usize)
    }

    #[inline]
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Decoded<&'a [u8]> {
        let n = self.varint(what)?;
        if n > max as u64 {
            return Err(DecodeError::TooLong(what));
        }
        self.take(n as usize, what)
    }

    pub fn text(&mut self, max: usize, what: &'static str) -> Decoded<&'a str> {
        std::str::from_utf8(self.bytes(max, what)?).map_err(|_| DecodeError::Invalid(what))
    }

    #[inline]
    pub fn id(&mut self, what: &'static str) -> Decoded<NodeId> {
        Ok(NodeId(self.array(what)?))
    }

    /// A stamp with room above it: a write must always be able to go above the one it replaces.
    pub fn hlc(&mut self, what: &'static str) -> Decoded<Hlc> {
        let stamp = Hlc(self.u64(what)?);
        if stamp.wall_ms() > WALL_MS_MAX { Err(DecodeError::Invalid(what)) } else { Ok(stamp) }
    }

    pub fn dot(&mut self, what: &'static str) -> Decoded<Dot> {
        Ok(Dot { origin: self.id(what)?, seq: self.seq(what)? })
    }

    pub fn addr(&mut self, what: &'static str) -> Decoded<SocketAddr> {
        let ip = match self.u8(what)? {
            4 => IpAddr::V4(Ipv4Addr::from(self.array::<4>(what)?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.array::<16>(what)?)),
            _ => return Err(DecodeError::Invalid(what)),
        };
        Ok(SocketAddr::new(ip, self.u16(what)?))
    }
}

/// Refuses a number that is no sequence number.
#[inline]
pub fn below_max(seq: u64, what: &'static str) -> Decoded<u64> {
    if seq < SEQ_MAX { Ok(seq) } else { Err(DecodeError::TooLong(what)) }
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A floating point number by its bits.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    put_u64(out, value.to_bits());
}

pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_id(out: &mut Vec<u8>, id: NodeId) {
    out.extend_from_slice(&id.0);
}

pub fn put_dot(out: &mut Vec<u8>, dot: Dot) {
    put_id(out, dot.origin);
    put_varint(out, dot.seq);
}

pub fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&addr.port().to_le_bytes());
}

/// Bytes that [`put_varint`] takes.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            prop_assert_eq!(Reader::new(&out).varint("v"), Ok(value));
        }

        #[test]
        fn strings_round_trip_and_cut_ones_are_refused(bytes: Vec<u8>, cut in 1usize..4) {
            let mut out = Vec::new();
            put_bytes(&mut out, &bytes);
            prop_assert_eq!(Reader::new(&out).bytes(1 << 20, "b"), Ok(&bytes[..]));
            let short = &out[..out.len() - cut.min(out.len())];
            prop_assert!(Reader::new(short).bytes(1 << 20, "b").is_err());
        }
    }

    #[test]
    fn an_overlong_varint_is_refused() {
        assert_eq!(Reader::new(&[0xff; 11]).varint("v"), Err(DecodeError::TooLong("v")));
    }

    #[test]
    fn numbers_and_stamps_without_a_successor_are_refused() {
        let mut out = Vec::new();
        put_varint(&mut out, SEQ_MAX);
        assert_eq!(Reader::new(&out).seq("seq"), Err(DecodeError::TooLong("seq")));
        let last = Hlc::new(u64::MAX, u16::MAX);
        assert_eq!(Reader::new(&last.0.to_le_bytes()).hlc("stamp"), Ok(last));
        let runaway = last.next().0.to_le_bytes();
        assert_eq!(Reader::new(&runaway).hlc("stamp"), Err(DecodeError::Invalid("stamp")));
    }

    #[test]
    fn a_count_is_bounded_by_the_bytes_that_follow() {
        let mut out = Vec::new();
        put_varint(&mut out, 1_000_000);
        assert!(Reader::new(&out).count(1 << 30, 16, "n").is_err());
    }
}
