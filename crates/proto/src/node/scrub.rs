//! Decides how memory is checked for bits that changed by themselves: a slow walk over all entries,
//! each held against the print it had when it was applied, and a broken one fetched again.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::asking::{Ask, Asked};
use super::{Node, Phase};
use crate::base::time::{Now, Time};
use crate::flow::SESSION_TIMEOUT;
use crate::io::{Alarm, Event, Outbox};
use crate::limits::{ROTTEN_MAX, SCRUB_STEP_MAX};
use crate::state::entry::{Advert, Entry};
use crate::state::rot::Mended;
use crate::state::store::EntrySlot;
use crate::wire::codec::DecodeError;
use crate::wire::frame::{Frames, kind};

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    at: EntrySlot,
    /// The walk goes on when the node is awake after this: it wakes nobody by itself.
    due: Time,
    /// Found broken and not mended yet.
    rotten: VecDeque<EntrySlot>,
}

impl Node {
    pub(super) fn run_scrub(&mut self, now: Now, out: &mut Outbox) {
        let since = now.mono.since(self.sessions.scrub.due) + self.config.probe_period;
        if self.sessions.scrub.due > now.mono || self.config.scrub_cycle.is_zero() {
            return;
        }
        self.sessions.scrub.due = now.mono + self.config.probe_period;
        let all = self.store.slots_end() as usize;
        for _ in 0..step(all, since, self.config.scrub_cycle) {
            self.check_next(all, now, out);
        }
        if let Some(slot) = self.sessions.scrub.rotten.pop_front() {
            self.ask_again(slot, out);
        }
    }

    fn check_next(&mut self, all: usize, now: Now, out: &mut Outbox) {
        let slot = self.sessions.scrub.at;
        self.sessions.scrub.at += 1;
        if self.sessions.scrub.at as usize >= all {
            self.sessions.scrub.at = 0;
            self.stats.scrub_cycles += 1;
        }
        self.stats.scrub_checked += 1;
        if self.store.is_sound(slot) || self.sessions.scrub.rotten.contains(&slot) {
            return;
        }
        self.stats.scrub_faults += 1;
        let Some(kept) = self.store.get(slot) else { return };
        let (keyspace, key) = (kept.entry.keyspace.clone(), kept.entry.key.clone());
        self.alarm(Alarm::BitRot { keyspace, key }, now.mono, out);
        if self.sessions.scrub.rotten.len() < ROTTEN_MAX {
            self.sessions.scrub.rotten.push_back(slot);
        }
    }

    /// Asks any live peer for an entry; what fails is tried again later, with another peer.
    fn ask_again(&mut self, slot: EntrySlot, out: &mut Outbox) {
        if self.store.is_sound(slot) {
            return; // replaced meanwhile
        }
        self.sessions.scrub.rotten.push_back(slot);
        let live = self.table.live();
        if live.is_empty() || self.phase != Phase::Running {
            return;
        }
        let member = live[self.choice.rng.index(live.len())];
        let (peer, addr): (_, SocketAddr) = (self.table.id(member), self.table.facts(member).addr);
        let start = self.begin(out);
        let entry = &self.store.kept(slot).entry;
        Advert { keyspace: &entry.keyspace, key: &entry.key, dot: entry.dot }
            .put(&mut out.bytes, kind::FETCH);
        let asked = Asked { ask: Ask::Mend { slot }, peer: Some(peer), addr };
        self.ask(start, asked, SESSION_TIMEOUT, out);
    }

    /// A peer's copy takes the place of the broken one if it is the same write.
    pub(super) fn mend_answered(
        &mut self,
        slot: EntrySlot,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        for frame in Frames::new(body) {
            let (kind::ENTRY, body) = frame? else { continue };
            let Some(entry) = Entry::decode(body, &self.key, now)? else {
                self.stats.entry_checksum += 1;
                continue;
            };
            match self.store.mend(slot, entry) {
                Mended::Yes => {
                    self.stats.scrub_mended += 1;
                    self.sessions.scrub.rotten.retain(|&s| s != slot);
                    let entry = &self.store.kept(slot).entry;
                    let (keyspace, key) = (entry.keyspace.clone(), entry.key.clone());
                    self.emit_event(Event::Alarm(Alarm::BitRotMended { keyspace, key }), out);
                }
                // The peer has a later write: it comes as any other.
                Mended::Another(entry) => {
                    self.apply_entry(*entry, super::packets::Via::Session, false, now, out);
                    if self.store.is_sound(slot) {
                        self.sessions.scrub.rotten.retain(|&s| s != slot);
                    }
                }
            }
        }
        Ok(())
    }

    /// For drills and the simulator: a bit of a value in memory changes by itself. False: there is no
    /// such value.
    #[doc(hidden)]
    pub fn flip_bit(&mut self, keyspace: &str, key: &[u8]) -> bool {
        self.store.slot(keyspace, key).is_some_and(|slot| self.store.flip_bit(slot))
    }
}

/// Entries to check after `since`, so that all are checked in a cycle, or a little later where that
/// would be more than one step may take.
fn step(all: usize, since: Duration, cycle: Duration) -> usize {
    let share = since.as_secs_f64() / cycle.as_secs_f64();
    (libm::ceil(all as f64 * share) as usize).min(all).min(SCRUB_STEP_MAX)
}
