//! Decides who is not told for a while: peers at whose address nobody listens. Their place in the
//! round goes to another at once (row C8); whether they are gone is for probes to find out.

use std::time::Duration;

use crate::base::time::Time;
use crate::membership::table::Slot;

/// Remembered at once; one more takes the place of the oldest.
pub(super) const REFUSED_MAX: usize = 32;
/// Longer than it takes to convict one whose port is closed; then it may be a new member's slot.
const REFUSED_FOR: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct Refused {
    until: Vec<(Slot, Time)>,
    next: usize,
}

impl Refused {
    pub fn add(&mut self, slot: Slot, now: Time) {
        let refused = (slot, now + REFUSED_FOR);
        if self.until.len() < REFUSED_MAX {
            self.until.push(refused);
        } else {
            self.until[self.next] = refused;
            self.next = (self.next + 1) % REFUSED_MAX;
        }
    }

    /// It was heard.
    pub fn remove(&mut self, slot: Slot) {
        self.until.retain(|&(refused, _)| refused != slot);
        self.next = 0;
    }

    pub fn contains(&self, slot: Slot, now: Time) -> bool {
        self.until.iter().any(|&(refused, until)| refused == slot && until > now)
    }
}
