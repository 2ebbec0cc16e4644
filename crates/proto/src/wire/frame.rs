//! Decides what a frame is: a kind, a length, that many bytes. Unknown kinds are skipped.

use super::codec::{Decoded, Reader, varint_len};

/// The registry of kinds. Numbers are never reused.
pub mod kind {
    // Primary messages of datagrams.
    pub const PING: u8 = 1;
    pub const ACK: u8 = 2;
    pub const PING_REQ: u8 = 3;
    pub const INDIRECT_ACK: u8 = 4;
    pub const NACK: u8 = 5;
    pub const NOT_ME: u8 = 6;
    /// Beside an ack.
    pub const COORDINATE: u8 = 7;
    pub const PULL: u8 = 14;
    pub const INTEREST: u8 = 15;
    pub const AGGREGATE: u8 = 12;
    pub const AGGREGATE_ANSWER: u8 = 13;
    // State that travels on any packet.
    pub const MEMBER: u8 = 16;
    pub const ACCUSATION: u8 = 17;
    pub const ENTRY: u8 = 18;
    pub const ADVERT: u8 = 19;
    pub const EVENT: u8 = 20;
    pub const NAME_CLAIM: u8 = 21;
    pub const HEARTBEATS: u8 = 22;
    pub const VERDICT: u8 = 23;
    pub const REBUTTAL: u8 = 24;
    pub const ENTRY_DELTA: u8 = 25;
    /// Says for whom the receiver tells on the event that follows.
    pub const BRANCH: u8 = 26;
    pub const BRANCH_TAKEN: u8 = 27;
    // Who has applied what.
    pub const ASK: u8 = 28;
    pub const ANSWER: u8 = 29;
    /// Says how the next frame came here.
    pub const TRAIL: u8 = 30;
    // What all know of can be forgotten.
    pub const FORGET_ASK: u8 = 58;
    pub const FORGET_ANSWER: u8 = 59;
    pub const EPOCH: u8 = 60;
    pub const EPOCHS: u8 = 61;
    // Requests and their responses, on streams.
    pub const JOIN: u8 = 32;
    pub const JOIN_REFUSED: u8 = 33;
    pub const MEMBER_DIGEST: u8 = 34;
    pub const MEMBER_PUSH: u8 = 35;
    pub const MEMBERS_END: u8 = 36;
    pub const VECTOR_REQUEST: u8 = 37;
    pub const VECTOR: u8 = 38;
    pub const DELTA_REQUEST: u8 = 39;
    pub const DELTA_END: u8 = 40;
    pub const FETCH: u8 = 41;
    pub const COMPARE: u8 = 42;
    pub const COMPARED: u8 = 43;
    pub const EXCHANGE: u8 = 44;
    pub const SYMBOLS: u8 = 45;
    pub const EXCHANGED: u8 = 46;
    pub const TREE: u8 = 47;
    pub const FILTER: u8 = 48;
}

/// Frames of a body, in order. Stops with an error at the first that does not fit.
pub struct Frames<'a> {
    reader: Reader<'a>,
}

impl<'a> Frames<'a> {
    pub fn new(body: &'a [u8]) -> Frames<'a> {
        Frames { reader: Reader::new(body) }
    }

    #[inline]
    fn read(&mut self) -> Decoded<(u8, &'a [u8])> {
        let kind = self.reader.u8("frame kind")?;
        let body = self.reader.bytes(usize::MAX, "frame")?;
        Ok((kind, body))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Decoded<(u8, &'a [u8])>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let frame = self.read();
        if frame.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(frame)
    }
}

/// Appends a frame whose body `write` appends.
pub fn put_frame(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    out.push(0);
    let start = out.len();
    write(out);
    let len = (out.len() - start) as u64;
    let extra = varint_len(len) - 1;
    if extra > 0 {
        // The length took more than the byte kept for it: make room.
        let end = out.len();
        out.resize(end + extra, 0);
        out.copy_within(start..end, start + extra);
    }
    let mut value = len;
    let (last, first) =
        out[start - 1..start + extra].split_last_mut().expect("a length has a byte");
    for byte in first {
        *byte = value as u8 & 0x7f | 0x80;
        value >>= 7;
    }
    *last = value as u8;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_round_trip(frames in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..6)) {
            let mut out = Vec::new();
            for (kind, body) in &frames {
                put_frame(&mut out, *kind, |o| o.extend_from_slice(body));
            }
            let read: Vec<(u8, Vec<u8>)> =
                Frames::new(&out).map(|f| f.map(|(k, b)| (k, b.to_vec())).unwrap()).collect();
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn random_bytes_end(bytes: Vec<u8>) {
            prop_assert!(Frames::new(&bytes).count() <= bytes.len());
        }
    }
}
