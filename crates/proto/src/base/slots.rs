//! Decides how an identity or a name finds its slot: an open-addressing table of slot numbers,
//! four bytes a place, whose keys stay with the slots.

/// Maps a hash to slot numbers. The caller compares the keys, so nothing is stored twice.
/// Never iterated: its order is not part of any result.
#[derive(Clone, Debug, Default)]
pub struct SlotIndex {
    /// 0 is empty, 1 is a grave, others are slot + 2.
    places: Vec<u32>,
    used: usize,
    live: usize,
}

const EMPTY: u32 = 0;
const GRAVE: u32 = 1;

impl SlotIndex {
    pub fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let mask = self.places.len() - 1;
        let mut at = spread(hash) as usize & mask;
        loop {
            match self.places[at] {
                EMPTY => return None,
                GRAVE => {}
                slot if same(slot - 2) => return Some(slot - 2),
                _ => {}
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a slot that is not in yet. `hash_of` re-hashes the present slots when the table grows.
    pub fn insert(&mut self, hash: u64, slot: u32, hash_of: impl FnMut(u32) -> u64) {
        if (self.used + 1) * 4 > self.places.len() * 3 {
            self.grow(hash_of);
        }
        self.place(hash, slot);
    }

    /// Makes room for so many more, so that inserting them does not grow the table.
    pub fn reserve(&mut self, more: usize, hash_of: impl FnMut(u32) -> u64) {
        let size = ((self.live + more + 1) * 4 / 3 + 1).next_power_of_two().max(8);
        if size > self.places.len() {
            self.resize(size, hash_of);
        }
    }

    pub fn remove(&mut self, hash: u64, slot: u32) {
        if self.places.is_empty() {
            return;
        }
        let mask = self.places.len() - 1;
        let mut at = spread(hash) as usize & mask;
        while self.places[at] != EMPTY {
            if self.places[at] == slot + 2 {
                self.places[at] = GRAVE;
                self.live -= 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn place(&mut self, hash: u64, slot: u32) {
        let mask = self.places.len() - 1;
        let mut at = spread(hash) as usize & mask;
        while self.places[at] > GRAVE {
            at = (at + 1) & mask;
        }
        if self.places[at] == EMPTY {
            self.used += 1;
        }
        self.places[at] = slot + 2;
        self.live += 1;
    }

    fn grow(&mut self, hash_of: impl FnMut(u32) -> u64) {
        self.resize(((self.live + 1) * 2).next_power_of_two().max(8), hash_of);
    }

    fn resize(&mut self, size: usize, mut hash_of: impl FnMut(u32) -> u64) {
        let old = std::mem::replace(&mut self.places, vec![EMPTY; size]);
        (self.used, self.live) = (0, 0);
        for slot in old.into_iter().filter(|&p| p > GRAVE) {
            self.place(hash_of(slot - 2), slot - 2);
        }
    }
}

fn spread(hash: u64) -> u64 {
    (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 17
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
        let mut index = SlotIndex::default();
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
