//! Decides how bytes become choices: any bytes are a valid script, and none left means zeroes.

use tidings_proto::wire::codec::SEQ_MAX;

/// Takes choices from the front of the input.
pub struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub fn new(rest: &'a [u8]) -> Choices<'a> {
        Choices { rest }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes([(); 8].map(|()| self.byte()))
    }

    /// A sequence number: mostly small, sometimes at an edge or beyond it, sometimes any.
    pub fn seq(&mut self) -> u64 {
        let b = self.byte();
        match b >> 5 {
            0..=4 => u64::from(b & 31),
            5 if b & 1 == 0 => u64::MAX - u64::from(b & 31) / 2,
            5 => SEQ_MAX - u64::from(b & 31),
            6 => 1 << (b & 31),
            _ => self.u64() % SEQ_MAX,
        }
    }

    /// A length, then that many bytes, or as many as there are. The length is one byte below 32;
    /// 255 is followed by one of two bytes; others mean something small, so that random bytes do not
    /// run out at the first string.
    pub fn bytes(&mut self) -> &'a [u8] {
        let n = match self.byte() {
            short @ 0..32 => usize::from(short),
            255 => usize::from(self.u16()),
            other => usize::from(other % 8),
        };
        let n = n.min(self.rest.len());
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        taken
    }
}
