//! Decides how a node finds its cluster: one full exchange of members with an address, admission by
//! name, then the state; retried for ever where the user wants that.

use std::net::SocketAddr;
use std::time::Duration;

use super::arriving::Arrival;
use super::asking::{Ask, Asked, Exchange};
use super::packets::{Spent, Via};
use super::{Node, Seed, reply};
use crate::anti_entropy::digest::{MemberDigest, MembersEnd};
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::io::{
    Alarm, CommandError, CommandId, Event, JoinFailure, Outbox, Output, Reply, RequestError,
};
use crate::limits::SEEDS_MAX;
use crate::membership::record::{Record, RecordHead, Standing, put_record};
use crate::membership::table::ME;
use crate::wire::codec::{DecodeError, Reader, put_id};
use crate::wire::frame::{Frames, kind, put_frame};
use crate::wire::packet;

/// A command without `retry` answers within this.
const JOIN_DEADLINE: Duration = Duration::from_millis(3800);
const JOIN_REQUEST_TIMEOUT: Duration = Duration::from_millis(3000);
const RETRY_AFTER: Duration = Duration::from_secs(1);
const FIRST_RETRY_AFTER: Duration = Duration::from_millis(125);
/// Addresses tried at once; the others have their turn at the next retry.
const PARALLEL_MAX: usize = 8;
/// Attempts under way. More: refused.
pub(super) const ATTEMPTS_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Joins {
    attempts: Vec<Attempt>,
    next_id: u64,
    /// Forgotten members that may still be asked to announce themselves in this period.
    pub recalls: usize,
    /// While this node is new itself.
    pub arrival: Option<Arrival>,
}

#[derive(Debug)]
struct Attempt {
    id: u64,
    command: Option<CommandId>,
    addrs: Vec<SocketAddr>,
    turn: usize,
    retry: bool,
    /// Remembered members, not seeds: when none of them answers, this node carries on alone.
    remembered: bool,
    /// Has named a former life already: once a try.
    restated: bool,
    tries: u32,
    /// Requests under way.
    open: usize,
    /// When to give up (`retry` false) or to try again (`retry` true, nothing under way).
    at: Time,
    failure: (Option<SocketAddr>, JoinFailure),
}

/// Why a joiner is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Refusal {
    /// A live member elsewhere has the name.
    NameTaken = 1,
    /// The name belongs to a life that is over: ask again, naming it in `replaces`.
    Replaces = 2,
    /// The identity is retired, or the cluster knows more of it than it knows itself.
    Identity = 3,
}

impl Attempt {
    /// Nodes that start together find each other quickly, a lone one does not hammer.
    fn pause(&self) -> Duration {
        (FIRST_RETRY_AFTER * (1 << self.tries.min(6))).min(RETRY_AFTER)
    }
}

impl Joins {
    /// Members remembered from an earlier life, or seeds of the configuration.
    pub(super) fn rejoin(&mut self, addrs: Vec<SocketAddr>, now: Time) {
        if !addrs.is_empty() {
            self.add(None, addrs, true, now);
        }
    }

    /// Members known before a restart.
    pub(super) fn return_to(&mut self, addrs: Vec<SocketAddr>, now: Time) {
        self.rejoin(addrs, now);
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.remembered = true;
        }
    }

    fn add(
        &mut self,
        command: Option<CommandId>,
        addrs: Vec<SocketAddr>,
        retry: bool,
        at: Time,
    ) -> u64 {
        self.next_id += 1;
        let failure = (addrs.first().copied(), JoinFailure::Timeout);
        let id = self.next_id;
        self.attempts.push(Attempt {
            id,
            command,
            addrs,
            turn: 0,
            retry,
            remembered: false,
            restated: false,
            tries: 0,
            open: 0,
            at,
            failure,
        });
        id
    }

    fn get(&mut self, id: u64) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|a| a.id == id)
    }

    fn end(&mut self, id: u64) -> Option<Attempt> {
        let at = self.attempts.iter().position(|a| a.id == id)?;
        Some(self.attempts.swap_remove(at))
    }

    pub(super) fn next_deadline(&self) -> Time {
        let next = |a: &Attempt| if a.retry && a.open > 0 { Time::NEVER } else { a.at };
        let arrival = self.arrival.as_ref().map_or(Time::NEVER, Arrival::next_deadline);
        self.attempts.iter().map(next).min().unwrap_or(Time::NEVER).min(arrival)
    }

    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn is_joining(&self) -> bool {
        !self.attempts.is_empty()
    }
}

impl Node {
    pub(super) fn join(
        &mut self,
        command: Option<CommandId>,
        addrs: Vec<SocketAddr>,
        retry: bool,
        now: Now,
        out: &mut Outbox,
    ) {
        let own = self.me().addr;
        if retry {
            self.remember_seeds(&addrs);
        }
        let addrs: Vec<SocketAddr> = addrs.into_iter().filter(|&a| a != own).collect();
        let failure = if addrs.is_empty() { Some(JoinFailure::NoAddress) } else { None };
        if let (Some(reason), false) = (failure, retry) {
            return self.reply_join(command, Err((None, reason)), out);
        }
        if self.joins.attempts.len() >= ATTEMPTS_MAX {
            if let Some(command) = command {
                let full = CommandError::Full { what: "joins under way", max: ATTEMPTS_MAX };
                reply(out, command, Err(full));
            }
            return;
        }
        if retry {
            self.reply_join(command, Ok(0), out);
            if addrs.is_empty() {
                return; // a lone seed starts the cluster
            }
            self.sessions.synced &=
                !self.table.live().is_empty() || !self.store.vector().is_empty();
        }
        let command = if retry { None } else { command };
        let at = if retry { now.mono } else { now.mono + JOIN_DEADLINE };
        let id = self.joins.add(command, addrs, retry, at);
        self.ask_to_join(id, now.mono, out);
    }

    pub(super) fn remember_seeds(&mut self, addrs: &[SocketAddr]) {
        for &addr in addrs {
            if self.seeds.len() < SEEDS_MAX && !self.seeds.iter().any(|s| s.addr == addr) {
                self.seeds.push(Seed { addr, id: None });
            }
        }
    }

    pub(super) fn run_joins(&mut self, now: Now, out: &mut Outbox) {
        while let Some(due) = self
            .joins
            .attempts
            .iter()
            .find(|a| a.at <= now.mono && !(a.retry && a.open > 0))
            .map(|a| (a.id, a.retry))
        {
            match due {
                (id, true) => self.ask_to_join(id, now.mono, out),
                (id, false) => self.give_up(id, out),
            }
        }
    }

    fn ask_to_join(&mut self, id: u64, now: Time, out: &mut Outbox) {
        let Some(attempt) = self.joins.get(id) else { return };
        let n = attempt.addrs.len();
        let turn = attempt.turn;
        let targets: Vec<SocketAddr> =
            (0..n.min(PARALLEL_MAX)).map(|i| attempt.addrs[(turn + i) % n]).collect();
        attempt.turn = (turn + targets.len()) % n;
        attempt.tries += 1;
        attempt.restated = false;
        if attempt.retry {
            attempt.at = now + attempt.pause();
        }
        for addr in targets {
            self.send_join(id, addr, out);
        }
    }

    fn send_join(&mut self, id: u64, addr: SocketAddr, out: &mut Outbox) {
        let start = self.begin(out);
        put_frame(&mut out.bytes, kind::JOIN, |_| {});
        self.put_member(ME, &mut out.bytes);
        let asked = Asked { ask: Ask::Join { attempt: id, cursor: 0 }, peer: None, addr };
        if self.ask(start, asked, JOIN_REQUEST_TIMEOUT, out).is_some()
            && let Some(attempt) = self.joins.get(id)
        {
            attempt.open += 1;
        }
    }

    /// One address is done with; the attempt ends with the first success or the last failure.
    pub(super) fn join_failed(
        &mut self,
        id: u64,
        addr: SocketAddr,
        reason: JoinFailure,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(attempt) = self.joins.get(id) else { return };
        attempt.open = attempt.open.saturating_sub(1);
        attempt.failure = (Some(addr), reason);
        let tried_all = attempt.tries as usize * PARALLEL_MAX >= attempt.addrs.len();
        if attempt.remembered && attempt.open == 0 && tried_all {
            self.sessions.synced = true;
        }
        if attempt.retry {
            attempt.at = attempt.at.max(now + attempt.pause() / 2);
        } else if attempt.open == 0 {
            self.give_up(id, out);
        }
    }

    pub(super) fn join_error(error: RequestError) -> JoinFailure {
        match error {
            RequestError::Refused => JoinFailure::Refused,
            RequestError::Timeout => JoinFailure::Timeout,
            RequestError::Broken => JoinFailure::Broken,
        }
    }

    fn give_up(&mut self, id: u64, out: &mut Outbox) {
        if let Some(attempt) = self.joins.end(id) {
            self.reply_join(attempt.command, Err(attempt.failure), out);
        }
    }

    fn reply_join(
        &self,
        command: Option<CommandId>,
        result: Result<usize, (Option<SocketAddr>, JoinFailure)>,
        out: &mut Outbox,
    ) {
        let Some(command) = command else { return };
        let result = match result {
            Ok(contacted) => Ok(Reply::Joined { contacted }),
            Err((addr, reason)) => Err(CommandError::JoinFailed { addr, reason }),
        };
        out.items.push(Output::Reply { command, result });
    }

    /// All members are exchanged: the state follows, and a second look once the news of this join
    /// has spread, for what was on its way meanwhile.
    pub(super) fn joined(
        &mut self,
        id: u64,
        peer: NodeId,
        addr: SocketAddr,
        upto: u64,
        now: Now,
        out: &mut Outbox,
    ) {
        let Some(attempt) = self.joins.end(id) else { return };
        self.reply_join(attempt.command, Ok(1), out);
        for seed in self.seeds.iter_mut().filter(|s| s.addr == addr) {
            seed.id = Some(peer);
        }
        self.arrived(peer, addr, upto, now.mono);
        self.look_again(now.mono);
        self.open_delta(peer, addr, Exchange::Joining, out);
    }

    /// The answer to a join request: refused, or the first page of members.
    pub(super) fn join_answered(
        &mut self,
        attempt: u64,
        cursor: u64,
        peer: NodeId,
        addr: SocketAddr,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            match kind {
                kind::JOIN_REFUSED => return self.join_refused(attempt, addr, body, now, out),
                kind::MEMBER => {
                    self.apply_head(RecordHead::decode(body)?, Via::Joining, now, out)?;
                    self.stats.session_records_received += 1;
                }
                kind::MEMBERS_END => {
                    let end = MembersEnd::decode(body)?;
                    let Some(next) = end.next else {
                        self.joined(attempt, peer, addr, end.upto, now, out);
                        return Ok(());
                    };
                    if next <= cursor {
                        return Err(DecodeError::Invalid("member page"));
                    }
                    let start = self.begin(out);
                    MemberDigest { cursor: next, prints: vec![0] }.put(&mut out.bytes);
                    let asked =
                        Asked { ask: Ask::Join { attempt, cursor: next }, peer: Some(peer), addr };
                    self.ask(start, asked, JOIN_REQUEST_TIMEOUT, out);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(DecodeError::Truncated("join reply"))
    }

    fn join_refused(
        &mut self,
        attempt: u64,
        addr: SocketAddr,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        let mut r = Reader::new(body);
        let (reason, holder) = (r.u8("refusal")?, r.id("holder")?);
        let me = self.me().clone();
        let lives_elsewhere = self
            .table
            .find(holder)
            .is_some_and(|slot| self.table.is_live(slot) && self.table.addr(slot) != me.addr);
        let first =
            self.joins.get(attempt).is_some_and(|a| !std::mem::replace(&mut a.restated, true));
        if reason == Refusal::Replaces as u8 && first && !lives_elsewhere {
            // Name the old life and ask again, with the incarnation that says so.
            let restated = self.restate(&me.tags, Some(holder), now, out);
            if let Some(a) = self.joins.get(attempt) {
                a.open = a.open.saturating_sub(1);
            }
            if restated.is_ok() {
                self.send_join(attempt, addr, out);
                return Ok(());
            }
        }
        let failure = if reason == Refusal::Identity as u8 {
            self.emit_event(Event::Alarm(Alarm::IdentityTaken { id: self.id }), out);
            JoinFailure::IdentityTaken
        } else {
            self.stats.name_conflicts += 1;
            let alarm = Alarm::NameConflict { name: me.name.to_string(), holder, loser: self.id };
            self.alarm(alarm, now.mono, out);
            JoinFailure::NameTaken
        };
        self.join_failed(attempt, addr, failure, now.mono, out);
        Ok(())
    }

    // The other side.

    /// A joiner's request: admitted, it is news for all; the reply starts the full exchange.
    pub(super) fn serve_join(
        &mut self,
        record: &Record<'_>,
        joiner: NodeId,
        response: &mut Vec<u8>,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        if record.id != joiner {
            return Err(DecodeError::Invalid("joiner"));
        }
        if let Some((refusal, holder)) = self.refusal(record) {
            put_frame(response, kind::JOIN_REFUSED, |out| {
                out.push(refusal as u8);
                put_id(out, holder);
            });
            if refusal == Refusal::NameTaken {
                self.tell_holder(record, now, out);
            }
            return Ok(());
        }
        self.apply_record(record, Via::Rumour(joiner), now, out);
        self.put_members_page(&MemberDigest { cursor: 0, prints: vec![0] }, response);
        Ok(())
    }

    fn refusal(&mut self, record: &Record<'_>) -> Option<(Refusal, NodeId)> {
        let facts = self.facts.decode(record.facts).ok()?;
        if let Some(slot) = self.table.find(record.id) {
            let retired = self.table.standing(slot) == Standing::Retired;
            let rolled_back = self.table.facts(slot).boot != facts.boot
                && self.table.incarnation(slot) >= record.incarnation;
            if retired || rolled_back {
                return Some((Refusal::Identity, record.id));
            }
        } else if self.forgotten.lives.get(&record.id) == Some(&u64::MAX) {
            return Some((Refusal::Identity, record.id));
        }
        // One former life named in `replaces` stands for all that are over under this name.
        let (mut taken, mut over, mut named) = (None, None, false);
        self.table.each_named(&facts.name, |slot| {
            let other = self.table.facts(slot);
            if facts.replaces == Some(other.id) {
                named = true;
            } else if other.id == facts.id || self.table.standing(slot) == Standing::Retired {
            } else if (slot == ME || self.table.is_live(slot)) && other.addr != facts.addr {
                taken = Some((Refusal::NameTaken, other.id));
            } else {
                over = Some((Refusal::Replaces, other.id));
            }
        });
        let answer = taken.or(over.filter(|_| !named));
        if matches!(answer, Some((Refusal::NameTaken, _))) {
            self.stats.name_conflicts += 1;
        }
        answer
    }

    /// Tells the holder of a name that somebody else was refused it.
    pub(super) fn tell_holder(&mut self, record: &Record<'_>, now: Now, out: &mut Outbox) {
        let Ok(facts) = self.facts.decode(record.facts) else { return };
        let Some(slot) = self.table.find_name(&facts.name) else { return };
        let alarm = Alarm::NameConflict {
            name: facts.name.to_string(),
            holder: self.table.id(slot),
            loser: facts.id,
        };
        self.alarm(alarm, now.mono, out);
        if slot == ME || !self.table.is_live(slot) {
            return;
        }
        let to = self.table.addr(slot);
        let start = self.begin(out);
        let frame = out.bytes.len();
        put_record(&mut out.bytes, record.precedence(), record.facts, &record.accusers);
        // A member frame's bytes, under the kind that does not apply them.
        out.bytes[frame] = kind::NAME_CLAIM;
        packet::seal(&mut out.bytes, start, &self.key);
        let bytes = start..out.bytes.len();
        self.count_datagram(bytes.len());
        self.count_bytes(Spent::Join, bytes.len());
        out.items.push(Output::Datagram { to, bytes });
    }
}
