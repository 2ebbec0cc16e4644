//! Decides how a wish to hear first becomes known, and what follows: a ring layer names members (row C6); who reads a key often says so to the member that
//! wrote it, which tells such readers first (rows C3 to C5). Only in keyspaces declared `hot`.

use std::time::Duration;

use super::Node;
use super::packets::{Spent, put_entry};
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::dissemination::interest::Interest;
use crate::dissemination::trail::Trail;
use crate::io::{CommandError, Outbox, Reply};
use crate::limits::PREFERRED_MAX;
use crate::membership::table::ME;
use crate::peers::hot;
use crate::state::store::EntrySlot;
use crate::wire::packet;

impl Node {
    /// A ring layer says who should hear of everything first for a while.
    pub(super) fn prefer(
        &mut self,
        members: &[String],
        lasting: Duration,
        now: Time,
    ) -> Result<Reply, CommandError> {
        if members.len() > PREFERRED_MAX {
            return Err(CommandError::Full { what: "preferred members", max: PREFERRED_MAX });
        }
        let mut slots = Vec::with_capacity(members.len());
        for name in members {
            let slot = self.table.find_name(name);
            let unknown = || CommandError::UnknownMember { name: name.clone() };
            slots.push(slot.ok_or_else(unknown)?);
        }
        let others = slots.into_iter().filter(|&slot| slot != ME);
        self.choice.preferred.set(others, now + lasting);
        Ok(Reply::Done)
    }

    /// A user read a key here. Costs nothing but a count until it is hot.
    pub(super) fn note_read(&mut self, keyspace: &str, key: &[u8], now: Now, out: &mut Outbox) {
        if !self.pulling.is_hot(keyspace) {
            return;
        }
        let Some(slot) = self.store.slot(keyspace, key) else { return };
        let (depth, config) = (self.queue.len(), &self.config);
        let (threshold, window) = (f64::from(config.hot_threshold), config.hot_window);
        let busy = depth > config.hot_shed;
        if !self.choice.reads.read(slot, busy, threshold, window, now.mono) {
            return;
        }
        // To whoever wrote it last, whose news it is.
        let writer = self.table.find(self.store.kept(slot).entry.dot.origin);
        let Some(writer) = writer.filter(|&w| w != ME && self.table.is_live(w)) else { return };
        let to = self.table.addr(writer);
        let start = self.begin(out);
        Interest { keyspace, key, depth: depth as u64 }.put(&mut out.bytes);
        self.stats.interest_sent += 1;
        self.send(Spent::Pull, start, to, out, now.mono);
    }

    pub(super) fn interested(&mut self, interest: &Interest<'_>, sender: NodeId, now: Time) {
        if !self.pulling.is_hot(interest.keyspace) {
            return;
        }
        let reader = self.table.find(sender);
        let key = self.store.slot(interest.keyspace, interest.key);
        if let (Some(reader), Some(key)) = (reader, key) {
            let busy = interest.depth > self.config.hot_shed as u64;
            self.choice.hot.note(key, reader, busy, now);
        }
    }

    /// A key of a hot keyspace was written: its readers are told in the next round.
    pub(super) fn hot_news(&mut self, slot: EntrySlot, now: Time) {
        let window = self.config.hot_window;
        let on = self.config.rumours && self.config.hot_bias > 0.0;
        if on && self.choice.hot.written(slot, window, now) {
            self.rounds.fresh(now, self.config.batch);
        }
    }

    /// Tells the next readers of what they read. Their share is on top of the round's other peers.
    pub(super) fn tell_readers(&mut self, now: Now, out: &mut Outbox) {
        let share = hot::share(self.config.hot_bias, self.config.eager_fanout);
        let mut readers = std::mem::take(&mut self.choice.picked);
        let key = self.choice.hot.next(share, &mut readers);
        if let Some(kept) = key.and_then(|key| self.store.get(key)) {
            let (origin, mode) = (kept.entry.dot.origin, self.pulling.mode(&kept.entry.keyspace));
            let start = self.begin(out);
            let before = out.bytes.len();
            let trail = match origin == self.id {
                true => Trail::here(now.mono),
                false => Trail::NONE,
            };
            put_entry(&mut out.bytes, &kept.entry, trail, &self.key, now.mono);
            let bytes = out.bytes.len() - before;
            packet::seal(&mut out.bytes, start, &self.key);
            let table = &self.table;
            readers.retain(|&s| table.in_use(s) && table.is_live(s) && table.id(s) != origin);
            self.count_mode(mode, bytes, readers.len() as u64);
            self.stats.rumours_state_sent += readers.len() as u64;
            self.stats.readers_told += readers.len() as u64;
            for &reader in &readers {
                let to = self.table.addr(reader);
                self.send_again(start, to, out);
            }
        }
        self.choice.picked = readers;
    }
}
