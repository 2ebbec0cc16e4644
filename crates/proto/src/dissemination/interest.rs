//! Decides the bytes of "I read this key a lot".

use crate::limits::{KEY_BYTES_MAX, KEYSPACE_BYTES_MAX};
use crate::wire::codec::{Decoded, Reader, put_bytes, put_varint};
use crate::wire::frame::{kind, put_frame};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest<'a> {
    pub keyspace: &'a str,
    pub key: &'a [u8],
    /// Rumours that wait to be told by the reader: a busy one is not told first.
    pub depth: u64,
}

impl<'a> Interest<'a> {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::INTEREST, |out| {
            put_bytes(out, self.keyspace.as_bytes());
            put_bytes(out, self.key);
            put_varint(out, self.depth);
        });
    }

    pub fn decode(body: &'a [u8]) -> Decoded<Interest<'a>> {
        let mut r = Reader::new(body);
        Ok(Interest {
            keyspace: r.text(KEYSPACE_BYTES_MAX, "keyspace")?,
            key: r.bytes(KEY_BYTES_MAX, "key")?,
            depth: r.varint("rumours waiting")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::Frames;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn interest_round_trips(keyspace in "[a-z]{1,20}", key: Vec<u8>, depth: u64) {
            let interest = Interest { keyspace: &keyspace, key: &key, depth };
            let mut out = Vec::new();
            interest.put(&mut out);
            let (_, body) = Frames::new(&out).next().unwrap().unwrap();
            prop_assert_eq!(Interest::decode(body).unwrap(), interest);
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Interest::decode(&bytes);
        }
    }
}
