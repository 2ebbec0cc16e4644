//! Decides when entries end by themselves, and what stands in their place.

use super::store::{EntrySlot, Store};
use crate::base::time::Time;

impl Store {
    /// When the next entry ends.
    pub fn next_ending(&self) -> Time {
        self.endings.first().map_or(Time::NEVER, |&(ends, _)| ends)
    }

    /// Ends the next entry whose time is over.
    pub fn end_next(&mut self, now: Time) -> Option<EntrySlot> {
        let &(_, slot) = self.endings.first().filter(|&&(ends, _)| ends <= now)?;
        let mut kept = self.entries[slot as usize].take().expect("what ends is held");
        self.count_out(slot, &kept);
        self.by_order.remove(&kept.applied);
        kept.entry.end();
        kept.print = self.count_in(slot, &kept.entry);
        kept.applied = self.append(slot);
        self.entries[slot as usize] = Some(kept);
        self.touch(slot);
        Some(slot)
    }
}
