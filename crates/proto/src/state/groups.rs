//! Decides when the parts of a group that was written together become visible: all at one time, or those
//! that were not superseded meanwhile.

use super::entry::Entry;
use super::store::{Applied, EntrySlot, Store};
use crate::base::clocks::Dot;
use crate::base::id::NodeId;
use crate::limits::WRITES_PER_COMMAND_MAX;

/// Entries of incomplete groups held at once. More: the oldest group becomes visible as it is, since a
/// session that is under way counts on what it brought.
pub const STAGED_MAX: usize = 1024;

impl Store {
    /// Whether parts of this group wait for others.
    pub fn is_staged(&self, group: (NodeId, u64)) -> bool {
        self.staged.contains_key(&group)
    }

    /// Entries of incomplete groups.
    pub fn staged(&self) -> usize {
        self.staged_count
    }

    /// Keeps a part of a group until all parts are here or superseded.
    pub(super) fn stage(&mut self, entry: Entry, won: &mut dyn FnMut(EntrySlot)) -> Applied {
        let id = (entry.dot.origin, entry.group.0);
        let parts = self.staged.entry(id).or_default();
        if parts.iter().any(|e| e.dot == entry.dot) {
            return Applied::Staged;
        }
        parts.push(entry);
        self.staged_count += 1;
        if self.is_complete(id) {
            return self.release(id, won);
        }
        if self.staged_count > STAGED_MAX {
            let oldest = *self.staged.keys().next().expect("something is staged");
            if self.release(oldest, won) == Applied::Full {
                return Applied::Full;
            }
        }
        Applied::Staged
    }

    fn is_complete(&self, id: (NodeId, u64)) -> bool {
        let parts = &self.staged[&id];
        let len = parts[0].group.1;
        (id.1..id.1 + len).all(|seq| {
            let dot = Dot { origin: id.0, seq };
            self.vector.covers(dot) || parts.iter().any(|e| e.dot == dot)
        })
    }

    /// Groups that waited for a part that one of `ranges` has superseded.
    pub(super) fn release_superseded(
        &mut self,
        ranges: &[(NodeId, u64, u64)],
        won: &mut dyn FnMut(EntrySlot),
    ) {
        for &(origin, from, to) in ranges {
            let first = from.saturating_sub(WRITES_PER_COMMAND_MAX as u64);
            let done: Vec<(NodeId, u64)> = self
                .staged
                .range((origin, first)..=(origin, to))
                .map(|(&id, _)| id)
                .filter(|&id| self.is_complete(id))
                .collect();
            for id in done {
                self.release(id, won);
            }
        }
    }

    pub(super) fn release(&mut self, id: (NodeId, u64), won: &mut dyn FnMut(EntrySlot)) -> Applied {
        let mut parts = self.staged.remove(&id).unwrap_or_default();
        self.staged_count -= parts.len();
        if parts.iter().any(|e| !self.has_room(e)) {
            return Applied::Full;
        }
        parts.sort_by_key(|e| e.dot.seq);
        let covered: Vec<_> = parts.iter().flat_map(|e| e.superseded.ranges()).collect();
        let mut last = Applied::Stale;
        for part in parts {
            last = self.apply(part);
            if let Applied::Won(slot) = last {
                won(slot);
            }
        }
        self.release_superseded(&covered, won);
        last
    }
}
