//! Decides how a user's session is served: at once where this node has all that the session has
//! seen, else after asking for it, and never silently without it (rows N2, N3, N5).
//!
//! The read is not passed on to the writer; the writer is asked for what is missing. One question
//! serves all who wait, and the next read needs none.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::asking::Exchange;
use super::{Node, reply};
use crate::base::id::NodeId;
use crate::base::session::Session;
use crate::base::time::{Now, Time};
use crate::io::{CommandError, CommandId, Outbox, Reply};
use crate::limits::READERS_WAITING_MAX;
use crate::membership::table::ME;

/// Rumours come by themselves this soon, mostly: the time before a writer is asked.
const ASK_AFTER: Duration = Duration::from_millis(30);
/// Between questions: the first may have found the writer without it, or nobody.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Peers asked at one time.
const ASKED_AT_ONCE: usize = 4;

/// Who waits for this node to catch up.
#[derive(Debug)]
pub(super) struct Readers {
    waiting: VecDeque<Waiting>,
    /// When peers are asked (again).
    ask_at: Time,
    /// The state that they were last compared with.
    compared: u64,
}

#[derive(Debug)]
struct Waiting {
    command: CommandId,
    session: Session,
    until: Time,
}

impl Default for Readers {
    fn default() -> Readers {
        Readers { waiting: VecDeque::new(), ask_at: Time::NEVER, compared: 0 }
    }
}

impl Readers {
    pub(super) fn next_deadline(&self) -> Time {
        self.waiting.iter().map(|w| w.until).fold(self.ask_at, Time::min)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl Node {
    pub(super) fn catch_up(
        &mut self,
        command: CommandId,
        keyspace: &str,
        session: Session,
        wait: Duration,
        now: Now,
        out: &mut Outbox,
    ) {
        let missing = match self.may_serve(keyspace, &session, now.wall_ms) {
            Ok(()) if session.is_covered(self.store.vector()) => {
                self.stats.session_served += 1;
                return reply(out, command, Ok(Reply::Done));
            }
            Ok(()) => session.missing(self.store.vector()),
            Err(error) => return reply(out, command, Err(error)),
        };
        if wait.is_zero() {
            self.stats.session_stale += 1;
            return reply(out, command, Err(CommandError::Stale { missing }));
        }
        self.readers.waiting.push_back(Waiting { command, session, until: now.mono + wait });
        self.readers.ask_at = self.readers.ask_at.min(now.mono + ASK_AFTER);
    }

    fn may_serve(
        &self,
        keyspace: &str,
        session: &Session,
        wall_ms: u64,
    ) -> Result<(), CommandError> {
        // What the session has seen may be what makes it known.
        if session.is_covered(self.store.vector()) {
            self.may_read(keyspace)?;
        }
        if session.is_expired(wall_ms) {
            return Err(CommandError::SessionExpired);
        }
        if self.readers.waiting.len() >= READERS_WAITING_MAX {
            return Err(CommandError::Busy);
        }
        Ok(())
    }

    /// Answers whoever need not wait any longer, and asks for what the others miss.
    pub(super) fn run_readers(&mut self, now: Time, out: &mut Outbox) {
        if self.readers.waiting.is_empty() {
            self.readers.ask_at = Time::NEVER;
            return;
        }
        let state = self.state_print();
        let late = self.readers.waiting.iter().any(|w| w.until <= now);
        if late || self.readers.compared != state {
            self.readers.compared = state;
            self.answer_readers(now, out);
        }
        if self.readers.ask_at <= now && !self.readers.waiting.is_empty() {
            self.readers.ask_at = now + ASK_EVERY;
            self.ask_for_readers(out);
        }
    }

    fn answer_readers(&mut self, now: Time, out: &mut Outbox) {
        let vector = self.store.vector();
        let stats = &mut self.stats;
        self.readers.waiting.retain(|w| {
            if w.session.is_covered(vector) {
                stats.session_waited += 1;
                reply(out, w.command, Ok(Reply::Done));
                return false;
            }
            if w.until <= now {
                stats.session_stale += 1;
                let missing = w.session.missing(vector);
                reply(out, w.command, Err(CommandError::Stale { missing }));
            }
            w.until > now
        });
    }

    /// Asks the writers of what is missed, and somebody else: a writer may be gone.
    fn ask_for_readers(&mut self, out: &mut Outbox) {
        let vector = self.store.vector();
        let missed = self.readers.waiting.iter().flat_map(|w| w.session.missing(vector));
        let writers: BTreeSet<NodeId> = missed.map(|dot| dot.origin).collect();
        let live = self.table.live();
        let mut peers: Vec<_> = writers
            .iter()
            .filter_map(|&id| self.table.find(id))
            .filter(|&slot| slot != ME && self.table.is_live(slot))
            .take(ASKED_AT_ONCE)
            .collect();
        if peers.len() < writers.len().min(ASKED_AT_ONCE) && !live.is_empty() {
            peers.push(live[self.choice.rng.index(live.len())]);
        }
        for slot in peers {
            let (peer, addr) = (self.table.id(slot), self.table.addr(slot));
            if !self.is_taking_from(peer) {
                self.stats.session_asked += 1;
                self.open_delta(peer, addr, Exchange::Reader, out);
            }
        }
    }

    /// Nothing comes any more: this node has left.
    pub(super) fn dismiss_readers(&mut self, out: &mut Outbox) {
        for waiting in self.readers.waiting.drain(..) {
            reply(out, waiting.command, Err(CommandError::Left));
        }
    }
}
