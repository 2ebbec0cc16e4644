//! Decides who is in step with what was forgotten. Each agreed forgetting has a number; a node that
//! took part, or has learnt the state of one that did, knows it. Whoever meets a number that it does
//! not know was away: it may hold what the others deleted and forgot.

use std::collections::VecDeque;

use crate::base::clocks::Hlc;
use crate::base::hash::content_address;
use crate::wire::codec::{Decoded, Reader, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// Numbers remembered. Who has missed more learns the whole state anew.
const EPOCHS_MAX: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Newest first.
    known: VecDeque<u64>,
    /// The highest stamp of all deletes that were forgotten: an older write that nobody knows may be
    /// one that such a delete has beaten.
    pub floor: Hlc,
}

impl Epochs {
    /// The last forgetting; 0: nothing was ever forgotten.
    pub fn head(&self) -> u64 {
        self.known.front().copied().unwrap_or(0)
    }

    pub fn knows(&self, epoch: u64) -> bool {
        epoch == 0 || self.known.contains(&epoch)
    }

    pub fn add(&mut self, epoch: u64) {
        if !self.knows(epoch) {
            self.known.push_front(epoch);
            self.known.truncate(EPOCHS_MAX);
        }
    }

    /// Takes over what a peer knows. Where it does not know what was forgotten here, two histories
    /// become one: that has a number of its own, which whoever knows but one of the two lacks.
    pub fn join(&mut self, other: &Epochs) {
        let (head, theirs) = (self.head(), other.head());
        for &epoch in other.known.iter().rev() {
            self.add(epoch);
        }
        self.floor = self.floor.max(other.floor);
        if !other.knows(head) {
            self.add(both(head, theirs));
        }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::EPOCHS, |out| self.put_body(out));
    }

    pub fn put_body(&self, out: &mut Vec<u8>) {
        put_u64(out, self.floor.0);
        put_varint(out, self.known.len() as u64);
        self.known.iter().for_each(|&epoch| put_u64(out, epoch));
    }

    pub fn decode(body: &[u8]) -> Decoded<Epochs> {
        let mut r = Reader::new(body);
        let floor = r.hlc("floor")?;
        let count = r.count(EPOCHS_MAX, 8, "epochs")?;
        let known = (0..count).map(|_| r.u64("epoch")).collect::<Decoded<_>>()?;
        Ok(Epochs { known, floor })
    }
}

/// The number of what came of two histories, the same whichever is met first.
fn both(one: u64, other: u64) -> u64 {
    let (low, high) = (one.min(other), one.max(other));
    let bytes = [low.to_le_bytes(), high.to_le_bytes()].concat();
    content_address(&bytes) as u64 | 1 // 0 is none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_remembered_up_to_a_limit() {
        let mut mine = Epochs::default();
        assert!(mine.knows(0) && !mine.knows(7));
        (1..=100).for_each(|epoch| mine.add(epoch));
        assert_eq!((mine.head(), mine.knows(37), mine.knows(36)), (100, true, false));
        let mut theirs = Epochs::default();
        theirs.add(500);
        let (before, mut same) = (mine.clone(), theirs.clone());
        mine.join(&theirs);
        assert!(mine.knows(500) && !before.knows(mine.head()) && !theirs.knows(mine.head()));
        theirs.join(&mine);
        assert!(theirs.knows(99) && theirs.head() == mine.head());
        same.join(&before);
        assert_eq!(same.head(), mine.head(), "each learnt from the other at one time");
        let mut bytes = Vec::new();
        mine.put_body(&mut bytes);
        assert_eq!(Epochs::decode(&bytes), Ok(mine));
        assert!(Epochs::decode(&bytes[..20]).is_err());
    }
}
