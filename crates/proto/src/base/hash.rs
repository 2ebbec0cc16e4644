//! Decides the keyed hashes that cross the wire: SipHash where a peer could gain by a collision
//! (prints of entries, symbols, draws), XXH3 for checksums and for prints of what is hashed already.

use std::hash::Hasher as _;
use std::ops::{AddAssign, SubAssign};

use siphasher::sip128::{Hasher128 as _, SipHasher13 as Sip128};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// The key of every hash of one cluster, derived from its name: frames of another cluster never
/// verify, and peers cannot craft collisions without knowing it.
#[derive(Clone, Copy, Debug)]
pub struct HashKey {
    key: [u8; 16],
    tag: [u8; 3],
    seed: u64,
}

impl HashKey {
    pub fn for_cluster(name: &str) -> HashKey {
        let mut h = blake3::Hasher::new_derive_key("tidings 2026 cluster hash key");
        h.update(name.as_bytes());
        let out = h.finalize();
        let b = out.as_bytes();
        let mut key = [0; 16];
        key.copy_from_slice(&b[..16]);
        let seed = u64::from_le_bytes(b[24..].try_into().expect("8 bytes of 32"));
        HashKey { key, tag: [b[16], b[17], b[18]], seed }
    }

    /// Three bytes at the front of each packet: tells a stray cluster from a broken packet.
    pub fn cluster_tag(&self) -> [u8; 3] {
        self.tag
    }

    /// 128 bits over the parts, each with its length, so that no two lists collide by shifting.
    pub fn wide(&self, domain: u8, parts: &[&[u8]]) -> u128 {
        let mut h = Sip128::new_with_key(&self.key);
        h.write(&[domain]);
        for part in parts {
            h.write(&(part.len() as u64).to_le_bytes());
            h.write(part);
        }
        h.finish128().as_u128()
    }

    /// A checksum: finds faults, and whatever was made under another cluster's name. Each part is
    /// hashed with the hash of the parts before it as its seed.
    pub fn checksum(&self, domain: u8, parts: &[&[u8]]) -> u64 {
        let seed = self.seed ^ u64::from(domain);
        parts.iter().fold(seed, |seed, part| xxh3_64_with_seed(part, seed))
    }

    /// 128 bits over something short, of which its owner chooses nothing but a hash.
    pub fn print(&self, domain: u8, bytes: &[u8]) -> u128 {
        xxh3_128_with_seed(bytes, self.seed ^ u64::from(domain))
    }
}

/// What a hash is over: keeps a packet's checksum from passing for a record's.
pub mod domain {
    pub const PACKET: u8 = 1;
    pub const RECORD: u8 = 2;
    pub const ENTRY: u8 = 3;
    pub const MEMBER_PRINT: u8 = 4;
    pub const ENTRY_PRINT: u8 = 5;
    pub const VECTOR_PRINT: u8 = 6;
    pub const EVENT_PRINT: u8 = 7;
    pub const EVENT: u8 = 8;
    pub const WITNESS: u8 = 9;
    pub const SKETCH: u8 = 10;
    pub const FILTER: u8 = 11;
    pub const FLAG: u8 = 12;
    pub const ENTRY_DELTA: u8 = 13;
    pub const ZONE: u8 = 14;
}

/// An order-free, incremental hash of a set: the sum mod 2^128 of the keyed hashes of its
/// elements. O(1) per change; equal sets have equal sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// The eight bytes that travel on every probe.
    pub fn low(self) -> u64 {
        self.0 as u64
    }
}

impl AddAssign<u128> for Fingerprint {
    fn add_assign(&mut self, element: u128) {
        self.0 = self.0.wrapping_add(element);
    }
}

impl SubAssign<u128> for Fingerprint {
    fn sub_assign(&mut self, element: u128) {
        self.0 = self.0.wrapping_sub(element);
    }
}

/// The content address of a byte string, for interning.
pub fn content_address(bytes: &[u8]) -> u128 {
    let out = blake3::hash(bytes);
    u128::from_le_bytes(out.as_bytes()[..16].try_into().expect("32 bytes hold 16"))
}
