//! Decides when to reconcile with a peer and carries it out: requests asked, answered, and paged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::asking::{Ask, Asked, Exchange, Pages};
use super::packets::Via;
use super::reconciling::{Trees, set_of};
use super::scrub::Scrub;
use super::{Node, Phase};
use crate::anti_entropy::digest::{
    DeltaEnd, DeltaRequest, MemberDigest, MembersEnd, Vectors, buckets_for,
};
use crate::anti_entropy::ladder::Method;
use crate::anti_entropy::mismatch::Verdict;
use crate::base::clocks::Dot;
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::detection::message::{Glance, Prints};
use crate::detection::probe::Purpose;
use crate::dissemination::events::StoredEvent;
use crate::flow::SESSION_TIMEOUT;
use crate::flow::aimd::Pace;
use crate::flow::budget::Class;
use crate::io::{Alarm, Event, JoinFailure, Outbox, Output, RequestError, RequestId};
use crate::limits::{CURSORS_MAX, MEMBERS_MAX, PAGE_BYTES, REQUESTS_MAX, STREAM_BYTES_MAX};
use crate::membership::record::{Precedence, RecordHead};
use crate::membership::table::{Slot, bucket_of};
use crate::state::entry::Entry;
use crate::wire::codec::DecodeError;
use crate::wire::frame::{Frames, kind, put_frame};
use crate::wire::packet;

/// Pages of one session. More: it is broken off and resumed by the next.
const PAGES_MAX: u32 = 10_000;
/// While an incarnation is in dispute, sessions about members wait so many times longer.
const DISPUTE_WAITS: u32 = 60;
const DISPUTE_LASTS: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Sessions {
    /// Had a closed session since it joined; before, it acknowledges no shared write.
    pub synced: bool,
    active: usize,
    /// Not again before: a session takes as long as news to show in fingerprints.
    members_after: Time,
    state_after: Time,
    /// Until then a member's incarnation is in dispute, which no session settles.
    disputed_until: Time,
    pub members_pace: Pace,
    pub state_pace: Pace,
    /// A peer's vector that we did not cover, to be looked at again when news had time to arrive.
    gap: Option<Gap>,
    /// Where in each peer's apply order we have been: (its life, position).
    pub cursors: BTreeMap<NodeId, (u64, u64)>,
    pub(super) fetching: BTreeSet<Dot>,
    /// The peer that this node compares its live entries with.
    pub comparing: Option<NodeId>,
    /// A walk of trees waits until they are hashed.
    pub trees: Option<Trees>,
    /// A peer that compares with us, until when nothing is opened towards it.
    pub served: Option<(NodeId, Time)>,
    /// A peer that compared with this node when this one asked: what differs after all is pulled by
    /// vectors, so that none waits for the other for ever.
    pub busy: Option<NodeId>,
    /// Sessions since a peer's state was equal.
    pub in_vain: u32,
    /// Peers whose answers did not add up: how they are compared with, until when.
    pub distrusted: BTreeMap<NodeId, (Method, Time)>,
    /// The walk for bits that changed by themselves.
    pub scrub: Scrub,
    /// When to compare with some peer out of turn.
    pub second_look: Time,
}

/// What a peer showed of its state.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    /// Its ack is on its way to it next.
    Ping(Prints),
    Ack(Prints, Option<Glance>),
}

#[derive(Debug)]
struct Gap {
    peer: NodeId,
    addr: SocketAddr,
    vectors: Vectors,
    check_at: Time,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions {
            synced: true,
            active: 0,
            members_after: Time::ZERO,
            state_after: Time::ZERO,
            members_pace: Pace::default(),
            state_pace: Pace::default(),
            disputed_until: Time::ZERO,
            gap: None,
            cursors: BTreeMap::new(),
            fetching: BTreeSet::new(),
            comparing: None,
            trees: None,
            served: None,
            busy: None,
            in_vain: 0,
            distrusted: BTreeMap::new(),
            scrub: Scrub::default(),
            second_look: Time::NEVER,
        }
    }
}

impl Sessions {
    /// A session met a member at an incarnation that one side refuses as a jump: fingerprints differ
    /// for as long as it lives, so sessions become rare. Packets alone can not bring this about.
    pub(super) fn disputed(&mut self, now: Time) {
        self.disputed_until = now + DISPUTE_LASTS;
    }

    pub(super) fn fetching(&self) -> usize {
        self.fetching.len()
    }

    pub(super) fn next_deadline(&self) -> Time {
        let gap = self.gap.as_ref().map_or(Time::NEVER, |g| g.check_at);
        let trees = self.trees.as_ref().map_or(Time::NEVER, |trees| trees.at);
        gap.min(trees).min(self.second_look)
    }
}

impl Node {
    /// Every probe is a repair check: equal fingerprints end the matter, a difference that outlives
    /// the spread of news opens a session. Returns what to tell a peer that is to open it.
    pub(super) fn compare(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        shown: Shown,
        now: Now,
        out: &mut Outbox,
    ) -> Option<Glance> {
        let (theirs, glance) = match shown {
            Shown::Ping(prints) => (prints, None),
            Shown::Ack(prints, glance) => (prints, glance),
        };
        self.note_held(peer, theirs);
        if !self.config.anti_entropy || self.phase != Phase::Running {
            return None;
        }
        self.members_mismatch.update(self.table.fingerprint().low(), now.mono);
        self.state_mismatch.update(self.state_print(), now.mono);
        match self.members_verdict(theirs.members, now.mono) {
            // The peer holds alive all that we hold alive or doubt alone.
            Verdict::Equal => {
                self.sessions.members_pace.settled();
                self.undo_all_unconfirmed(now, out);
            }
            Verdict::Late => {}
            Verdict::Differs => {
                self.stats.member_mismatches += 1;
                if self.sessions.members_after <= now.mono && self.crosses(peer, now.mono) {
                    self.open_members(peer, addr, now.mono, out);
                }
            }
        }
        match self.state_verdict(theirs.state, glance.is_some(), now.mono) {
            Verdict::Equal => {
                self.sessions.synced = true;
                self.sessions.in_vain = 0;
                self.sessions.busy = self.sessions.busy.filter(|&busy| busy != peer);
            }
            Verdict::Late => {}
            Verdict::Differs => {
                self.stats.state_mismatches += 1;
                let may = self.sessions.state_after <= now.mono && self.sessions.gap.is_none();
                if may && self.crosses(peer, now.mono) {
                    let pinged = matches!(shown, Shown::Ping(_));
                    return self.open_state(peer, addr, pinged, theirs, glance, now.mono, out);
                }
            }
        }
        None
    }

    /// A member that was lost, or a seed, answers with another fingerprint: no need to wait whether
    /// rumours close that.
    pub(super) fn found_again(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        theirs: Prints,
        now: Now,
        out: &mut Outbox,
    ) {
        let differs = theirs.members != self.table.fingerprint().low();
        if !self.config.anti_entropy || !differs {
            return;
        }
        if self.sessions.members_after <= now.mono {
            self.open_members(peer, addr, now.mono, out);
        } else {
            self.look_again(now.mono);
        }
    }

    /// News is on its way, as after a join or in a healing split: compare with some live peer when
    /// it should have arrived, rather than at the next probe.
    pub(super) fn look_again(&mut self, now: Time) {
        let at = now + self.spread_time();
        self.sessions.second_look = self.sessions.second_look.min(at);
    }

    pub(super) fn run_sessions(&mut self, now: Now, out: &mut Outbox) {
        self.run_trees(now.mono, out);
        if self.sessions.gap.as_ref().is_some_and(|g| g.check_at <= now.mono) {
            let gap = self.sessions.gap.take().expect("checked above");
            if !self.covers(&gap.vectors) {
                self.open_repair(gap.peer, gap.addr, None, now.mono, out);
            }
        }
        if self.sessions.second_look <= now.mono {
            self.sessions.second_look = Time::NEVER;
            let live = self.table.live();
            if !live.is_empty() {
                let slot = live[self.choice.rng.index(live.len())];
                self.probe(slot, Purpose::Recontact, self.config.probe_period, now, out);
            }
        }
    }

    fn open_members(&mut self, peer: NodeId, addr: SocketAddr, now: Time, out: &mut Outbox) {
        if self.sessions.active >= self.config.sessions_max || !self.budget_allows(Class::Members) {
            return;
        }
        let rarer = if now < self.sessions.disputed_until { DISPUTE_WAITS } else { 1 };
        self.sessions.members_pace.tried();
        let wait = self.sessions.members_pace.wait(self.spread_time());
        self.sessions.members_after = now + wait * rarer;
        self.members_mismatch.session_opened(now);
        self.stats.member_sessions += 1;
        let prints = self.table.bucket_prints(buckets_for(self.table.size()));
        self.ask_members(peer, addr, 0, prints, BTreeMap::new(), out);
    }

    fn ask_members(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        cursor: u64,
        prints: Vec<u64>,
        sent: BTreeMap<NodeId, Precedence>,
        out: &mut Outbox,
    ) {
        let start = self.begin(out);
        MemberDigest { cursor, prints: prints.clone() }.put(&mut out.bytes);
        let asked = Asked { ask: Ask::Members { cursor, prints, sent }, peer: Some(peer), addr };
        self.ask(start, asked, SESSION_TIMEOUT, out);
    }

    /// At rest a difference is worth a session at once; under constant writes two replicas are
    /// hardly ever equal, so look first whether the peer has anything that does not arrive by itself.
    /// Where the peer is about to hear from us and one session repairs both, it is left to open it.
    fn open_state(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        pinged: bool,
        theirs: Prints,
        glance: Option<Glance>,
        now: Time,
        out: &mut Outbox,
    ) -> Option<Glance> {
        if self.sessions.active >= self.config.sessions_max || !self.budget_allows(Class::Sessions)
        {
            return None;
        }
        let spread = self.state_spread();
        let quiet = self.state_mismatch.is_quiet(now, spread) || glance.is_some();
        self.sessions.state_after = now + self.sessions.state_pace.wait(spread);
        self.state_mismatch.session_opened(now);
        if quiet && pinged && self.leaves_it_to(peer, now) {
            return (!self.is_comparing(peer, now)).then(|| self.glance(peer, now));
        }
        if quiet {
            let set = glance.map(|glance| set_of(theirs, glance));
            self.open_repair(peer, addr, set, now, out);
            return None;
        }
        let start = self.begin(out);
        put_frame(&mut out.bytes, kind::VECTOR_REQUEST, |_| {});
        let asked = Asked { ask: Ask::Vectors, peer: Some(peer), addr };
        self.ask(start, asked, SESSION_TIMEOUT, out);
        None
    }

    pub(super) fn open_delta(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        exchange: Exchange,
        out: &mut Outbox,
    ) {
        let waited_for = matches!(exchange, Exchange::Joining | Exchange::Reader);
        if self.sessions.active >= self.config.sessions_max && !waited_for {
            return;
        }
        self.stats.state_sessions += 1;
        self.stats.sessions_digest += 1;
        let (boot, cursor) = match exchange {
            Exchange::Full => (0, 0),
            _ => self.sessions.cursors.get(&peer).copied().unwrap_or((0, 0)),
        };
        let pages = Pages { exchange, count: 0, holes: false, groups: BTreeSet::new() };
        self.ask_delta(peer, addr, (boot, cursor), pages, out);
    }

    fn ask_delta(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        (boot, cursor): (u64, u64),
        pages: Pages,
        out: &mut Outbox,
    ) {
        let full = pages.exchange == Exchange::Full;
        let start = self.begin(out);
        DeltaRequest { boot, cursor, full, have: self.vectors() }.put(&mut out.bytes);
        let asked = Asked { ask: Ask::Delta(pages), peer: Some(peer), addr };
        self.ask(start, asked, SESSION_TIMEOUT, out);
    }

    /// Whether entries are on their way from this peer.
    pub(super) fn is_taking_from(&self, peer: NodeId) -> bool {
        let from = |a: &Asked| a.peer == Some(peer) && matches!(a.ask, Ask::Delta(_));
        self.asked.values().any(from)
    }

    /// Sends a request whose packet starts at `start`; `None` when too many are under way.
    pub(super) fn ask(
        &mut self,
        start: usize,
        asked: Asked,
        timeout: Duration,
        out: &mut Outbox,
    ) -> Option<RequestId> {
        if self.asked.len() >= REQUESTS_MAX {
            out.bytes.truncate(start);
            return None;
        }
        if asked.ask.is_about_state() {
            self.put_epoch(&mut out.bytes);
        }
        packet::seal(&mut out.bytes, start, &self.key);
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.stats.requests_sent += 1;
        self.stats.stream_bytes_sent += (out.bytes.len() - start) as u64;
        self.count_bytes(asked.ask.spent(), out.bytes.len() - start);
        self.sessions.active += usize::from(asked.ask.is_session());
        let to = asked.addr;
        self.asked.insert(id, asked);
        let bytes = start..out.bytes.len();
        out.items.push(Output::Request { to, id, bytes, timeout });
        Some(id)
    }

    // Answers to our requests.

    pub(super) fn response(
        &mut self,
        id: RequestId,
        result: Result<&[u8], RequestError>,
        now: Now,
        out: &mut Outbox,
    ) {
        let Some(asked) = self.asked.remove(&id) else {
            self.stats.drop_unknown_response += 1;
            return;
        };
        self.sessions.active -= usize::from(asked.ask.is_session());
        let bytes = match result {
            Ok(bytes) if bytes.len() <= STREAM_BYTES_MAX => bytes,
            Ok(_) => {
                self.stats.drop_oversized += 1;
                return self.unanswered(id, asked, RequestError::Broken, now, out);
            }
            Err(error) => return self.unanswered(id, asked, error, now, out),
        };
        self.stats.stream_bytes_received += bytes.len() as u64;
        if asked.ask.is_session() {
            self.stats.session_bytes += bytes.len() as u64;
            self.adapting.budget.received(bytes.len() as f64);
        }
        let foreign = self.stats.drop_foreign_cluster;
        let Some((sender, body)) = self.open(bytes, None, asked.addr, now.mono, out) else {
            if let (Ask::Join { attempt, .. }, true) =
                (&asked.ask, self.stats.drop_foreign_cluster > foreign)
            {
                return self.join_failed(*attempt, asked.addr, JoinFailure::Foreign, now.mono, out);
            }
            return self.unanswered(id, asked, RequestError::Broken, now, out);
        };
        if asked.peer.is_some_and(|peer| peer != sender && peer != NodeId::default())
            && !matches!(asked.ask, Ask::StreamProbe)
        {
            return self.unanswered(id, asked, RequestError::Broken, now, out);
        }
        self.heard_from(sender, now, out);
        let mut asked = asked;
        let taken = self.may_take_state(&mut asked.ask, sender, asked.addr, body, out);
        let Ok(Some(body)) = taken else {
            return self.unanswered(id, asked, RequestError::Broken, now, out);
        };
        if self.answered(id, asked, sender, body, now, out).is_err() {
            self.stats.drop_malformed += 1;
        }
    }

    fn answered(
        &mut self,
        id: RequestId,
        asked: Asked,
        peer: NodeId,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        match asked.ask {
            Ask::StreamProbe => {
                // The probe still names this request; put it back for the look-up by id.
                self.stream_probe_answered(id, Ok(body), now, out);
                self.stream_news(body, peer, asked.addr, now, out)
            }
            Ask::Join { attempt, cursor } => {
                let result = self.join_answered(attempt, cursor, peer, asked.addr, body, now, out);
                if result.is_err() {
                    self.join_failed(attempt, asked.addr, JoinFailure::Broken, now.mono, out);
                }
                result
            }
            Ask::WhoCame { from } => {
                let result = self.who_came_answered(peer, asked.addr, from, body, now, out);
                if result.is_err() {
                    self.joins.arrival = None;
                }
                result
            }
            Ask::Members { cursor, prints, sent } => {
                self.members_answered(peer, asked.addr, cursor, prints, sent, body, now, out)
            }
            Ask::Push => self.push_answered(body, now, out),
            Ask::Vectors => self.vectors_answered(peer, asked.addr, body, now),
            Ask::Learn(learnt) => self.learn_answered(peer, asked.addr, learnt, body, now, out),
            Ask::Delta(pages) => self.delta_answered(peer, asked.addr, pages, body, now, out),
            Ask::Compare { hinted } => {
                self.compare_answered(peer, asked.addr, hinted, body, now, out)
            }
            Ask::Exchange(comparison) => {
                self.entries_exchanged(peer, asked.addr, comparison, body, now, out)
            }
            Ask::Mend { slot } => self.mend_answered(slot, body, now, out),
            Ask::Fetch { dot, trail } => {
                self.sessions.fetching.remove(&dot);
                self.receipts.trail = trail;
                self.stream_news(body, peer, asked.addr, now, out)
            }
        }
    }

    fn stream_news(
        &mut self,
        body: &[u8],
        peer: NodeId,
        addr: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            if matches!(kind, kind::MEMBER | kind::ACCUSATION | kind::ENTRY) {
                self.news(kind, body, Via::Rumour(peer), addr, now, out)?;
            }
        }
        Ok(())
    }

    fn members_answered(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        cursor: u64,
        prints: Vec<u64>,
        mut sent: BTreeMap<NodeId, Precedence>,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        let before = self.table.fingerprint();
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            match kind {
                kind::MEMBER => {
                    let head = RecordHead::decode(body)?;
                    if sent.len() >= MEMBERS_MAX {
                        return Err(DecodeError::TooLong("member session"));
                    }
                    sent.insert(head.id, head.precedence());
                    self.stats.session_records_received += 1;
                    self.apply_head(head, Via::Session, now, out)?;
                }
                kind::MEMBERS_END => {
                    let end = MembersEnd::decode(body)?;
                    if self.table.fingerprint() != before {
                        // One peer knew more: others may know more still.
                        self.look_again(now.mono);
                    }
                    if let Some(next) = end.next {
                        if next <= cursor {
                            return Err(DecodeError::Invalid("member page"));
                        }
                        self.ask_members(peer, addr, next, prints, sent, out);
                    } else {
                        self.push_members(peer, addr, prints.len(), &end, &sent, out);
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(DecodeError::Truncated("member page"))
    }

    /// What the peer has forgotten of what we pushed.
    fn push_answered(
        &mut self,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        for frame in Frames::new(body) {
            if let (kind::MEMBER, body) = frame? {
                self.apply_head(RecordHead::decode(body)?, Via::Session, now, out)?;
            }
        }
        Ok(())
    }

    /// What the peer lacks in the buckets that differed.
    fn push_members(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        buckets: usize,
        end: &MembersEnd,
        sent: &BTreeMap<NodeId, Precedence>,
        out: &mut Outbox,
    ) {
        let start = self.begin(out);
        put_frame(&mut out.bytes, kind::MEMBER_PUSH, |_| {});
        let header = out.bytes.len();
        let slots: Vec<Slot> = self.table.slots().collect();
        for slot in slots {
            let id = self.table.id(slot);
            let newer = sent.get(&id).is_none_or(|&theirs| theirs < self.table.precedence(slot));
            let known = sent.contains_key(&id) || self.table.standing(slot).is_live();
            if end.differs(bucket_of(id, buckets))
                && newer
                && known
                && out.bytes.len() - start < PAGE_BYTES
            {
                self.put_member(slot, &mut out.bytes);
                self.stats.session_records_sent += 1;
            }
        }
        if out.bytes.len() == header {
            out.bytes.truncate(start);
            return;
        }
        let asked = Asked { ask: Ask::Push, peer: Some(peer), addr };
        self.ask(start, asked, SESSION_TIMEOUT, out);
    }

    fn vectors_answered(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        body: &[u8],
        now: Now,
    ) -> Result<(), DecodeError> {
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            if kind == kind::VECTOR {
                let vectors = Vectors::decode(body)?;
                if !self.covers(&vectors) {
                    let check_at = now.mono + self.state_spread();
                    self.sessions.gap = Some(Gap { peer, addr, vectors, check_at });
                }
                return Ok(());
            }
        }
        Err(DecodeError::Truncated("vector"))
    }

    /// Who pulls from this node shows what it covers: what this one lacks of that, and still does when
    /// news had time to arrive, it pulls in turn.
    pub(super) fn note_gap(&mut self, peer: NodeId, vectors: Vectors, now: Time) {
        let idle = self.config.anti_entropy && self.sessions.gap.is_none();
        let slot = self.table.find(peer).filter(|&slot| idle && self.table.is_live(slot));
        let Some(slot) = slot.filter(|_| !self.covers(&vectors)) else { return };
        let paced = self.sessions.state_pace.is_slowed().then_some(self.sessions.state_after);
        let check_at = (now + self.state_spread()).max(paced.unwrap_or_default());
        let addr = self.table.addr(slot);
        self.sessions.gap = Some(Gap { peer, addr, vectors, check_at });
    }

    fn delta_answered(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        mut pages: Pages,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        let exchange = pages.exchange;
        let via = if exchange == Exchange::Joining { Via::Joining } else { Via::Session };
        let full = exchange == Exchange::Full;
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            match kind {
                kind::ENTRY => match Entry::decode(body, &self.key, now)? {
                    Some(entry) => {
                        self.stats.session_entries_received += 1;
                        let group = (entry.dot.origin, entry.group.0);
                        pages.holes |= !self.apply_entry(entry, via, full, now, out);
                        if self.store.is_staged(group) {
                            pages.groups.insert(group);
                        }
                    }
                    None => {
                        self.stats.entry_checksum += 1;
                        pages.holes = true;
                    }
                },
                kind::EVENT => {
                    if let Some(event) = StoredEvent::decode(body, &self.key, now.mono)? {
                        self.apply_event(event, via, now, out);
                    }
                }
                kind::DELTA_END => {
                    let end = DeltaEnd::decode(body)?;
                    match end.closed {
                        None if pages.count >= PAGES_MAX => {
                            return Err(DecodeError::TooLong("session"));
                        }
                        None => {
                            pages.count += 1;
                            pages.groups.retain(|&group| self.store.is_staged(group));
                            self.ask_delta(peer, addr, (end.boot, end.cursor), pages, out);
                        }
                        Some((vectors, print)) if !pages.holes => {
                            let at = (end.boot, end.cursor);
                            self.close_delta(peer, at, &vectors, &pages.groups, now, out);
                            self.after_close(peer, addr, exchange, &vectors, print, out);
                        }
                        Some(_) => self.sessions.synced = true,
                    }
                    return Ok(());
                }
                // State of a later version: not stored, so not covered.
                _ => {
                    self.stats.frame_unknown += 1;
                    pages.holes = true;
                }
            }
        }
        Err(DecodeError::Truncated("delta page"))
    }

    /// The head of the peer's order is reached without a hole: what it covers, we cover.
    pub(super) fn close_delta(
        &mut self,
        peer: NodeId,
        at: (u64, u64),
        vectors: &Vectors,
        groups: &BTreeSet<(NodeId, u64)>,
        now: Now,
        out: &mut Outbox,
    ) {
        if vectors.entries.iter().any(|&(id, upto)| id == self.id && upto > self.last_own_seq()) {
            // Peers know writes of mine that I do not: the data directory was rolled back or cloned.
            return self.emit_event(Event::Alarm(Alarm::IdentityTaken { id: self.id }), out);
        }
        let mut won = Vec::new();
        let joined = self.store.join(&vectors.entries, groups, &mut |slot| won.push(slot));
        self.tell_conflicts(out);
        for slot in won {
            self.entry_won(slot, None, Via::Session, now, out);
        }
        if !joined {
            self.stats.entry_limit += 1;
            self.sessions.synced = true;
            return;
        }
        for &(origin, head) in &vectors.events {
            if self.store.was_pruned(origin) {
                continue;
            }
            let before = self.events.head(origin);
            let due = self.events.skip_to(origin, head);
            self.stats.events_expired += u64::from(head > before && due.is_empty());
            self.deliver(due, out);
        }
        if self.sessions.cursors.len() >= CURSORS_MAX && !self.sessions.cursors.contains_key(&peer)
        {
            self.sessions.cursors.pop_first();
        }
        self.sessions.cursors.insert(peer, at);
        self.sessions.synced = true;
        self.forget_unlisted(vectors);
    }

    /// Equal vectors with unequal fingerprints are a fault: report it and compare in full, once.
    fn after_close(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        exchange: Exchange,
        theirs: &Vectors,
        print: u64,
        out: &mut Outbox,
    ) {
        let equal = *theirs == self.vectors() && !self.store.vector().has_holes();
        if equal && print != self.state_print() && exchange == Exchange::Repair {
            self.stats.state_faults += 1;
            self.emit_event(Event::Alarm(Alarm::StateFault { peer }), out);
            self.open_delta(peer, addr, Exchange::Full, out);
        }
    }

    pub(super) fn vectors(&self) -> Vectors {
        Vectors {
            entries: self.store.vector().prefixes().collect(),
            events: self.events.heads().collect(),
        }
    }

    fn covers(&self, vectors: &Vectors) -> bool {
        vectors.entries.iter().all(|&(id, n)| self.store.vector().upto(id) >= n)
            && vectors.events.iter().all(|&(id, n)| self.events.head(id) >= n)
    }
}
