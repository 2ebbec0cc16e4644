//! Decides how a set says what it has in ten bits an element, so that a peer sends only what is
//! missing: a Bloom filter, salted anew in each round (row E3).
//!
//! A filter never denies what it holds, and takes one in 122 of the others for its own
//! (0.6185^10 = 0.0082: Bloom 1970). Those are missed in this round; the next salt draws anew, so
//! that 1 % of 1 % are left after two rounds. Worth it where the sets have little in common:
//! below about 93 % a filter before the sketch saves up to half (ConflictSync, 2025).

use crate::base::hash::{HashKey, domain};
use crate::limits::FILTER_BYTES_MAX;
use crate::wire::codec::{Decoded, Reader, put_bytes, put_u64};

/// With seven probes the fewest false answers at ten bits: 10 ln 2 = 6.9.
const BITS_PER_ELEMENT: usize = 10;
const PROBES: u64 = 7;

/// Elements that a filter of the largest size is good for; for more, one filter each of several
/// ranges.
pub const ELEMENTS_MAX: usize = FILTER_BYTES_MAX * 8 / BITS_PER_ELEMENT;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Drawn for each round: what one round misses, the next one does not.
    salt: u64,
    bits: Vec<u8>,
}

impl Filter {
    /// An empty filter for so many elements, at most [`ELEMENTS_MAX`].
    pub fn new(salt: u64, elements: usize) -> Filter {
        let bits = elements.clamp(1, ELEMENTS_MAX) * BITS_PER_ELEMENT;
        Filter { salt, bits: vec![0; bits.div_ceil(8)] }
    }

    pub fn insert(&mut self, element: u64, key: &HashKey) {
        for bit in self.probes(element, key) {
            self.bits[(bit / 8) as usize] |= 1 << (bit % 8);
        }
    }

    /// False: certainly not in the set.
    pub fn may_hold(&self, element: u64, key: &HashKey) -> bool {
        let mut probes = self.probes(element, key);
        probes.all(|bit| self.bits[(bit / 8) as usize] & 1 << (bit % 8) != 0)
    }

    /// Bytes of the filter itself.
    pub fn size(&self) -> usize {
        self.bits.len()
    }

    /// Places in the filter, from one keyed hash as from several (Kirsch and Mitzenmacher 2006).
    /// Keyed, and with a salt of the asker's: nobody can choose elements that are always missed.
    fn probes(&self, element: u64, key: &HashKey) -> impl Iterator<Item = u64> + use<> {
        let parts: [&[u8]; 2] = [&self.salt.to_le_bytes(), &element.to_le_bytes()];
        let hash = key.wide(domain::FILTER, &parts);
        let (first, step) = (hash as u64, (hash >> 64) as u64 | 1);
        let len = self.bits.len() as u64 * 8;
        (0..PROBES).map(move |n| scale(first.wrapping_add(n.wrapping_mul(step)), len))
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.salt);
        put_bytes(out, &self.bits);
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<Filter> {
        let salt = r.u64("salt")?;
        let bits = r.bytes(FILTER_BYTES_MAX, "filter")?;
        // No bits hold nothing: one byte of zeros says the same and can be looked up.
        Ok(Filter { salt, bits: if bits.is_empty() { vec![0] } else { bits.to_vec() } })
    }
}

/// Maps a hash to 0..len without a division.
fn scale(hash: u64, len: u64) -> u64 {
    ((u128::from(hash) * u128::from(len)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use proptest::prelude::*;

    fn key() -> HashKey {
        HashKey::for_cluster("filter")
    }

    fn filter_of(set: &[u64], salt: u64) -> Filter {
        let mut filter = Filter::new(salt, set.len());
        set.iter().for_each(|&e| filter.insert(e, &key()));
        filter
    }

    /// Rounds of pulling: the asker sends a filter of what it has, the peer what is not in it.
    /// Returns what is still missing after each.
    fn pull(mut have: Vec<u64>, mut missing: Vec<u64>, salts: &[u64]) -> Vec<usize> {
        let mut left = Vec::new();
        for &salt in salts {
            let filter = filter_of(&have, salt);
            let (missed, came): (Vec<u64>, _) =
                missing.iter().partition(|&&e| filter.may_hold(e, &key()));
            have.extend::<Vec<u64>>(came);
            missing = missed;
            left.push(missing.len());
        }
        left
    }

    /// Row E3.
    #[test]
    fn three_salts_miss_nothing_where_one_misses_a_hundredth() {
        let mut rng = Rng::from_u64(1);
        let mut set = |n| (0..n).map(|_| rng.u64()).collect::<Vec<u64>>();
        let (have, missing) = (set(100_000), set(50_000));
        assert!(filter_of(&have, 1).size() * 8 <= 10 * have.len());
        let left = pull(have.clone(), missing.clone(), &[1, 2, 3]);
        assert!((300..=500).contains(&left[0]), "{left:?}: 0.82 % of 50,000 are 410");
        assert!(left[1] < 20 && left[2] == 0, "{left:?}");
        let stuck = pull(have, missing, &[1; 3]);
        assert!(stuck[2] > 0, "one salt three times misses the same: {stuck:?}");
    }

    #[test]
    fn a_set_beyond_the_limit_gets_a_filter_at_the_limit() {
        let filter = Filter::new(1, 10 * ELEMENTS_MAX);
        assert!(filter.size() <= FILTER_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_in_is_never_denied(set: Vec<u64>, salt: u64) {
            let filter = filter_of(&set, salt);
            let mut bytes = Vec::new();
            filter.put(&mut bytes);
            let read = Filter::read(&mut Reader::new(&bytes)).unwrap();
            prop_assert_eq!(&read, &filter);
            prop_assert!(set.iter().all(|&e| read.may_hold(e, &key())));
        }

        #[test]
        fn any_bytes_can_be_asked(bytes: Vec<u8>, element: u64) {
            if let Ok(filter) = Filter::read(&mut Reader::new(&bytes)) {
                filter.may_hold(element, &key());
            }
        }
    }
}
