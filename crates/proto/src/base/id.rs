//! Decides what identifies one life of a node: 128 random bits, never its name or address.

use std::fmt;

/// Identity of a node, unique per life of its state. Kept in the data directory, drawn anew
/// without one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub [u8; 16]);

impl NodeId {
    pub const fn from_u128(v: u128) -> NodeId {
        NodeId(v.to_be_bytes())
    }

    pub const fn as_u128(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// The first eight bytes: enough for a ping to say which life it means.
    pub const fn short(self) -> u64 {
        (self.as_u128() >> 64) as u64
    }

    /// The lowest identity with this short form.
    pub const fn first_with_short(short: u64) -> NodeId {
        NodeId::from_u128((short as u128) << 64)
    }

    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<NodeId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(NodeId::from_u128)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.as_u128())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.short() >> 32)
    }
}
