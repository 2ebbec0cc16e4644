//! Decides whether an entry in memory is still what was applied, and what takes the place of one
//! that is not.

use super::entry::Entry;
use super::store::{EntrySlot, Store};

/// What became of an attempt to mend a broken entry.
#[derive(Debug)]
pub enum Mended {
    Yes,
    /// The copy is of another write.
    Another(Box<Entry>),
}

impl Store {
    /// One beyond the last place that is or was in use.
    pub fn slots_end(&self) -> EntrySlot {
        self.entries.len() as EntrySlot
    }

    /// Whether an entry is what was applied.
    pub fn is_sound(&self, slot: EntrySlot) -> bool {
        self.get(slot).is_none_or(|kept| kept.entry.print(&self.key) == kept.print)
    }

    /// Puts a peer's copy in the place of a broken one. The key stays: the maps hold it too.
    pub fn mend(&mut self, slot: EntrySlot, mut copy: Entry) -> Mended {
        let print = copy.print(&self.key);
        let Some(kept) = self.entries.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Mended::Another(Box::new(copy));
        };
        if print == kept.entry.print(&self.key) {
            kept.print = print; // it was the print that broke
            return Mended::Yes;
        }
        if print != kept.print || copy.key != kept.entry.key {
            return Mended::Another(Box::new(copy));
        }
        copy.key = kept.entry.key.clone();
        copy.keyspace = kept.entry.keyspace.clone();
        copy.superseded = std::mem::take(&mut kept.entry.superseded);
        kept.entry = copy;
        self.touch(slot);
        Mended::Yes
    }

    /// Changes a bit of a value, as memory does.
    pub fn flip_bit(&mut self, slot: EntrySlot) -> bool {
        let Some(kept) = self.entries.get_mut(slot as usize).and_then(Option::as_mut) else {
            return false;
        };
        let mut value = kept.entry.value.as_deref().unwrap_or_default().to_vec();
        let Some(byte) = value.first_mut() else { return false };
        *byte ^= 1;
        kept.entry.value = Some(value.into());
        true
    }
}
