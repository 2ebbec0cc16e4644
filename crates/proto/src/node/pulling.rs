//! Decides how entries are told by the mode of their keyspace: pushed, kept for who asks, or both;
//! whom this node asks and when; what it answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::packets::{Spent, put_entry};
use crate::base::clocks::Dot;
use crate::base::policy::{Mode, POLICIES, Policy};
use crate::base::rng::Rng;
use crate::base::time::{Now, Time};
use crate::config::PeerChoice;
use crate::dissemination::pull::{Pull, Shelf, Shelved};
use crate::dissemination::queue::Topic;
use crate::flow;
use crate::flow::budget::Class;
use crate::io::Outbox;
use crate::membership::table::ME;
use crate::peers::{self, Round};
use crate::state::store::{EntrySlot, Store};

#[derive(Debug)]
pub(super) struct Pulling {
    /// Of the keyspaces that are not merely pushed, or whose readers are told first.
    modes: BTreeMap<Arc<str>, (Mode, bool)>,
    pub(super) shelf: Shelf,
    pub(super) next: Time,
    /// Whom to ask, and whether a coin cools a rumour.
    pub(super) rng: Rng,
}

impl Pulling {
    pub(super) fn new(seed: &[u8; 32]) -> Pulling {
        Pulling {
            modes: BTreeMap::new(),
            shelf: Shelf::default(),
            next: Time::NEVER,
            rng: Rng::fork(seed, "pulling"),
        }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next
    }

    pub(super) fn mode(&self, keyspace: &str) -> Mode {
        if self.modes.is_empty() {
            return Mode::Push;
        }
        self.modes.get(keyspace).map_or(Mode::Push, |of| of.0)
    }

    /// Whether members that read a key often are told of it first.
    pub(super) fn is_hot(&self, keyspace: &str) -> bool {
        !self.modes.is_empty() && self.modes.get(keyspace).is_some_and(|of| of.1)
    }

    /// Whether there is a keyspace whose news is heard of by asking alone.
    pub(super) fn is_all_that_tells(&self) -> bool {
        self.modes.values().any(|of| of.0 == Mode::Pull)
    }

    /// What asking is for.
    fn asked_for(&self) -> Mode {
        if self.is_all_that_tells() { Mode::Pull } else { Mode::PushPull }
    }
}

impl Node {
    /// An entry is news here.
    pub(super) fn tell_entry(&mut self, slot: EntrySlot, now: Time) {
        let mode = self.pulling.mode(&self.store.kept(slot).entry.keyspace);
        if mode.pulls() && self.config.rumours {
            let asked_for = flow::pull_time(&self.config, self.table.size());
            self.pulling.shelf.put(u64::from(slot), self.receipts.trail.anew(), now + asked_for);
        }
        if self.pulling.is_hot(&self.store.kept(slot).entry.keyspace) {
            self.hot_news(slot, now);
        }
        if mode.pushes() {
            self.tell(Topic::State, u64::from(slot), now);
        }
    }

    /// A declaration changed: what was kept for who asks is told now where nobody asks any more.
    pub(super) fn read_modes(&mut self, now: Time) {
        let mut modes = BTreeMap::new();
        for kept in self.store.with_prefix(POLICIES, b"") {
            let text = kept.entry.value.as_deref().and_then(|v| std::str::from_utf8(v).ok());
            let Policy { mode, hot, .. } = text.and_then(Policy::read).unwrap_or_default();
            let matters = mode.pulls() || hot;
            if let (Ok(name), true) = (std::str::from_utf8(&kept.entry.key), matters) {
                modes.insert(Arc::from(name), (mode, hot));
            }
        }
        if modes == self.pulling.modes {
            return;
        }
        self.pulling.modes = modes;
        let shelf = std::mem::take(&mut self.pulling.shelf);
        for Shelved { key, .. } in shelf.iter() {
            if self.store.get(key as EntrySlot).is_some() {
                self.tell_entry(key as EntrySlot, now);
            }
        }
        let interval = self.config.pull_interval;
        self.pulling.next = match self.pulling.modes.values().any(|of| of.0.pulls()) {
            false => Time::NEVER,
            // Spread over the interval, so that members do not ask in step.
            true => now + interval.mul_f64(self.pulling.rng.unit()),
        };
    }

    pub(super) fn run_pulls(&mut self, now: Now, out: &mut Outbox) {
        if self.pulling.next > now.mono {
            return;
        }
        let jitter = 0.9 + 0.2 * self.pulling.rng.unit();
        self.pulling.next = now.mono + self.config.pull_interval.mul_f64(jitter);
        self.pulling.shelf.expire(now.mono);
        if !self.config.rumours || !self.budget_allows(Class::State) {
            return;
        }
        let mut peer = std::mem::take(&mut self.choice.picked);
        let table = &self.table;
        let is_me = |slot| table.addr(slot) == table.addr(ME);
        match self.config.peer_choice {
            PeerChoice::Zoned => {
                let round = Round::by(&self.config, 1, now.mono);
                self.choice.round(table, round, &mut peer);
            }
            _ => peers::uniform(table, 1, &mut self.pulling.rng, is_me, &mut peer),
        }
        let to = peer.first().map(|&slot| self.table.addr(slot));
        self.choice.picked = peer;
        if let Some(to) = to {
            self.pull(to, false, now.mono, out);
        }
    }

    fn pull(&mut self, to: SocketAddr, back: bool, now: Time, out: &mut Outbox) {
        let start = self.begin(out);
        let header = out.bytes.len();
        let store = &self.store;
        let have = self.pulling.shelf.iter().filter_map(|news| shelved_dot(store, news));
        Pull::put(&mut out.bytes, back, self.state_print(), have);
        let mode = self.pulling.asked_for();
        self.count_mode(mode, out.bytes.len() - header, 1);
        self.stats.pulls_sent += 1;
        self.send(Spent::Pull, start, to, out, now);
    }

    pub(super) fn pulled(&mut self, pull: Pull<'_>, from: SocketAddr, now: Now, out: &mut Outbox) {
        if pull.print == self.state_print() || !self.config.rumours {
            return;
        }
        self.answer_pull(&pull, from, now.mono, out);
        if !pull.back && pull.have().any(|write| self.lacks(write)) {
            self.pull(from, true, now.mono, out);
        }
    }

    /// What the asker did not name, as far as a few packets go.
    fn answer_pull(&mut self, pull: &Pull<'_>, to: SocketAddr, now: Time, out: &mut Outbox) {
        let mut at = 0;
        for _ in 0..self.config.burst_packets {
            let start = self.begin(out);
            let header = out.bytes.len();
            let end = (header + self.config.changes_bytes).min(start + self.config.datagram_bytes);
            while let Some(news) = self.pulling.shelf.get(at) {
                let before = out.bytes.len();
                let lacking = shelved_dot(&self.store, news).is_some_and(|dot| !pull.has(dot));
                if let (Some(kept), true) = (self.store.get(news.key as EntrySlot), lacking) {
                    put_entry(&mut out.bytes, &kept.entry, news.trail, &self.key, now);
                }
                if out.bytes.len() > end {
                    out.bytes.truncate(before);
                    break;
                }
                let mode = self.mode_of_slot(news.key);
                self.count_mode(mode, out.bytes.len() - before, 1);
                self.stats.rumours_state_sent += u64::from(lacking);
                at += 1;
            }
            if out.bytes.len() == header {
                out.bytes.truncate(start);
                return;
            }
            self.count_bytes(Spent::Pull, out.bytes.len() - start);
            self.send_bare(start, to, out);
        }
    }

    fn mode_of_slot(&self, key: u64) -> Mode {
        let kept = self.store.get(key as EntrySlot);
        kept.map_or(Mode::Push, |kept| self.pulling.mode(&kept.entry.keyspace))
    }

    pub(super) fn count_mode(&mut self, mode: Mode, bytes: usize, copies: u64) {
        let counter = match mode {
            Mode::Push => &mut self.stats.bytes_mode_push,
            Mode::Pull => &mut self.stats.bytes_mode_pull,
            Mode::PushPull => &mut self.stats.bytes_mode_push_pull,
        };
        *counter += bytes as u64 * copies;
    }

    /// Of a writer that is no member this node can not tell.
    fn lacks(&self, (writer, seq): (u64, u64)) -> bool {
        let origin = self.table.find_short(writer).map(|slot| self.table.id(slot));
        origin.is_none_or(|origin| !self.store.vector().covers(Dot { origin, seq }))
    }

    /// How long a difference in the state may be news on its way.
    pub(super) fn state_spread(&self) -> Duration {
        let asked_for = match self.pulling.is_all_that_tells() && self.config.rumours {
            true => flow::pull_time(&self.config, self.table.size()),
            false => Duration::ZERO,
        };
        self.spread_time() + asked_for
    }
}

fn shelved_dot(store: &Store, news: Shelved) -> Option<Dot> {
    store.get(news.key as EntrySlot).map(|kept| kept.entry.dot)
}
