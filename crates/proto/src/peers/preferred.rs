//! Decides who hears all fresh news for a while because somebody says so: members that a ring layer
//! knows to own the ranges that move (row C6). Chance goes on as ever beside them.

use crate::base::time::Time;
use crate::limits::PREFERRED_MAX;
use crate::membership::table::{Slot, Table};

#[derive(Debug, Default)]
pub struct Preferred {
    members: Vec<Slot>,
    until: Time,
}

impl Preferred {
    /// Takes the place of what was preferred before.
    pub fn set(&mut self, members: impl Iterator<Item = Slot>, until: Time) {
        self.members.clear();
        self.members.extend(members.take(PREFERRED_MAX));
        self.until = until;
    }

    /// Adds those that a round does not reach anyhow.
    pub(super) fn add(&self, table: &Table, now: Time, out: &mut Vec<Slot>) {
        if self.until <= now {
            return;
        }
        for &slot in &self.members {
            if table.in_use(slot) && table.is_live(slot) && !out.contains(&slot) {
                out.push(slot);
            }
        }
    }
}
