//! Decides how an identity, a name or a key finds its slot: an open-addressing table of slot
//! numbers, four bytes a place, whose keys stay with the slots. Part of the hash stands beside each
//! number, so that a look-up hardly ever touches a slot but its own.

/// Maps a hash to slot numbers. The caller compares the keys, so nothing is stored twice.
/// Never iterated: its order is not part of any result.
#[derive(Clone, Debug, Default)]
pub struct SlotIndex<const FULL: usize = 13> {
    /// 0 is empty, 1 is a grave, others are a tag of the hash and slot + 2.
    places: Vec<u32>,
    used: usize,
    live: usize,
}

const EMPTY: u32 = 0;
const GRAVE: u32 = 1;
const SLOT_BITS: u32 = 24;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

/// Slots are below this.
pub const SLOTS_MAX: usize = SLOT_MASK as usize - 2;

/// At most `FULL` of so many places are taken: fewer are found sooner, more take less memory.
const OF: usize = 16;

impl<const FULL: usize> SlotIndex<FULL> {
    #[inline]
    pub fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let (mut at, tag) = self.home(hash);
        loop {
            let place = self.places[at];
            if place == EMPTY {
                return None;
            }
            if place >> SLOT_BITS == tag && place != GRAVE {
                let slot = (place & SLOT_MASK) - 2;
                if same(slot) {
                    return Some(slot);
                }
            }
            at = self.after(at);
        }
    }

    /// Adds a slot that is not in yet. `hash_of` re-hashes the present slots when the table grows.
    pub fn insert(&mut self, hash: u64, slot: u32, hash_of: impl FnMut(u32) -> u64) {
        assert!((slot as usize) < SLOTS_MAX, "slot {slot}: expected below {SLOTS_MAX}");
        if (self.used + 1) * OF > self.places.len() * FULL {
            // A quarter more, or as many as before where graves had filled it.
            self.resize(Self::places_for(self.live + self.live / 4 + 4), hash_of);
        }
        self.place(hash, slot);
    }

    /// Makes room for so many more, so that inserting them does not grow the table.
    pub fn reserve(&mut self, more: usize, hash_of: impl FnMut(u32) -> u64) {
        let size = Self::places_for(self.live + more);
        if size > self.places.len() {
            self.resize(size, hash_of);
        }
    }

    pub fn remove(&mut self, hash: u64, slot: u32) {
        if self.places.is_empty() {
            return;
        }
        let (mut at, tag) = self.home(hash);
        let meant = tag << SLOT_BITS | (slot + 2);
        while self.places[at] != EMPTY {
            if self.places[at] == meant {
                self.places[at] = GRAVE;
                self.live -= 1;
                return;
            }
            at = self.after(at);
        }
    }

    /// Forgets all slots and gives the memory back.
    pub fn clear(&mut self) {
        *self = SlotIndex::default();
    }

    fn place(&mut self, hash: u64, slot: u32) {
        let (mut at, tag) = self.home(hash);
        while self.places[at] > GRAVE {
            at = self.after(at);
        }
        if self.places[at] == EMPTY {
            self.used += 1;
        }
        self.places[at] = tag << SLOT_BITS | (slot + 2);
        self.live += 1;
    }

    /// Where a hash is looked for first, and its tag.
    fn home(&self, hash: u64) -> (usize, u32) {
        let spread = (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let at = ((spread >> 32) * self.places.len() as u64) >> 32;
        (at as usize, (spread >> SLOT_BITS) as u32 & 0xff)
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.places.len() { 0 } else { at + 1 }
    }

    fn resize(&mut self, size: usize, mut hash_of: impl FnMut(u32) -> u64) {
        let old = std::mem::replace(&mut self.places, vec![EMPTY; size]);
        (self.used, self.live) = (0, 0);
        for place in old.into_iter().filter(|&p| p > GRAVE) {
            let slot = (place & SLOT_MASK) - 2;
            self.place(hash_of(slot), slot);
        }
    }

    /// Places for so many slots and one more.
    fn places_for(slots: usize) -> usize {
        (slots + 1) * OF / FULL + 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn behaves_as_a_map_through_inserts_and_removals() {
        let mut rng = Rng::from_u64(1);
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        let mut keys: Vec<u64> = Vec::new();
        let mut index: SlotIndex = SlotIndex::default();
        for _ in 0..20_000 {
            let key = rng.below(600);
            if let Some(slot) = model.remove(&key) {
                index.remove(key, slot);
            } else {
                let slot = keys.len() as u32;
                keys.push(key);
                index.insert(key, slot, |s| keys[s as usize]);
                model.insert(key, slot);
            }
            let probe = rng.below(600);
            assert_eq!(
                index.find(probe, |s| keys[s as usize] == probe),
                model.get(&probe).copied()
            );
        }
    }
}
