//! Decides what is kept for members that ask, and the bytes of asking: "what do you have of late
//! that is not on this list?" (pull, Demers et al. 1987, 1.4). Whoever is asked sees from the list
//! what it lacks itself, and asks back.

use std::collections::VecDeque;

use super::trail::Trail;
use crate::base::clocks::Dot;
use crate::base::time::Time;
use crate::limits::SHELF_MAX;
use crate::wire::codec::{Decoded, Reader, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// News for those who ask.
#[derive(Clone, Copy, Debug)]
pub struct Shelved {
    /// What the rumour queue would know it by.
    pub key: u64,
    pub trail: Trail,
    /// Nobody is left to ask for it then, if all went well.
    until: Time,
}

/// The news of late, oldest first.
#[derive(Debug, Default)]
pub struct Shelf {
    news: VecDeque<Shelved>,
}

impl Shelf {
    /// Keeps news until then; it takes the place of what the key meant. A full shelf drops its oldest,
    /// which is left to sessions.
    pub fn put(&mut self, key: u64, trail: Trail, until: Time) {
        self.remove(key);
        if self.news.len() >= SHELF_MAX {
            self.news.pop_front();
        }
        self.news.push_back(Shelved { key, trail, until });
    }

    pub fn remove(&mut self, key: u64) {
        self.news.retain(|news| news.key != key);
    }

    pub fn expire(&mut self, now: Time) {
        self.news.retain(|news| news.until > now);
    }

    pub fn get(&self, at: usize) -> Option<Shelved> {
        self.news.get(at).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = Shelved> + '_ {
        self.news.iter().copied()
    }

    pub fn len(&self) -> usize {
        self.news.len()
    }

    pub fn is_empty(&self) -> bool {
        self.news.is_empty()
    }
}

/// "Tell me what you have of late, but these."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull<'a> {
    /// Asked in answer to a question: not answered by another.
    pub back: bool,
    /// The asker's state: who holds the same has nothing to say.
    pub print: u64,
    have: &'a [u8],
}

const BACK: u8 = 1;

impl<'a> Pull<'a> {
    pub fn put(out: &mut Vec<u8>, back: bool, print: u64, have: impl Iterator<Item = Dot>) {
        put_frame(out, kind::PULL, |out| {
            out.push(if back { BACK } else { 0 });
            put_u64(out, print);
            for dot in have {
                put_u64(out, dot.origin.short());
                put_varint(out, dot.seq);
            }
        });
    }

    pub fn decode(body: &'a [u8]) -> Decoded<Pull<'a>> {
        let mut r = Reader::new(body);
        let flags = r.u8("pull flags")?;
        let print = r.u64("state print")?;
        let have = r.rest();
        while !r.is_empty() {
            r.u64("writer")?;
            r.varint("number of a write")?;
        }
        Ok(Pull { back: flags & BACK != 0, print, have })
    }

    /// What the asker has: the first bytes of the writer, and the number of the write.
    pub fn have(&self) -> impl Iterator<Item = (u64, u64)> + 'a {
        let mut r = Reader::new(self.have);
        std::iter::from_fn(move || {
            let origin = r.u64("writer").ok()?;
            Some((origin, r.varint("number of a write").ok()?))
        })
        .take(SHELF_MAX)
    }

    pub fn has(&self, dot: Dot) -> bool {
        self.have().any(|have| have == (dot.origin.short(), dot.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::NodeId;
    use crate::wire::frame::Frames;
    use proptest::prelude::*;

    #[test]
    fn the_shelf_keeps_the_newest_of_each_key_for_a_while() {
        let mut shelf = Shelf::default();
        let at = Time::from_secs;
        for key in 0..SHELF_MAX as u64 + 5 {
            shelf.put(key, Trail::NONE, at(10));
        }
        shelf.put(9, Trail::NONE, at(20));
        assert_eq!(shelf.len(), SHELF_MAX);
        assert_eq!(shelf.get(SHELF_MAX - 1).unwrap().key, 9);
        assert_eq!(shelf.iter().filter(|news| news.key == 9).count(), 1);
        shelf.expire(at(10));
        assert_eq!(shelf.len(), 1);
    }

    proptest! {
        #[test]
        fn questions_round_trip(back: bool, print: u64, have in proptest::collection::vec((1u128.., 0u64..1 << 40), 0..SHELF_MAX)) {
            let dots: Vec<Dot> = have
                .into_iter()
                .map(|(origin, seq)| Dot { origin: NodeId::from_u128(origin), seq })
                .collect();
            let mut out = Vec::new();
            Pull::put(&mut out, back, print, dots.iter().copied());
            let (_, body) = Frames::new(&out).next().unwrap().unwrap();
            let read = Pull::decode(body).unwrap();
            prop_assert_eq!((read.back, read.print), (back, print));
            prop_assert!(dots.iter().all(|&dot| read.has(dot)));
            prop_assert_eq!(read.have().count(), dots.len());
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(pull) = Pull::decode(&bytes) {
                prop_assert!(pull.have().count() <= SHELF_MAX);
            }
        }
    }
}
