//! Decides what happens to a datagram, and how one is filled: a primary message, then news up to
//! the MTU, encoded once and sent to many.

use std::net::SocketAddr;
use std::time::Duration;

use super::admission::{Worth, is_rumour};
use super::merging::Deltas;
use super::{Node, Phase};
use crate::aggregation::message::Exchange;
use crate::base::hash::HashKey;
use crate::base::id::NodeId;
use crate::base::policy::Mode;
use crate::base::time::{Now, Time};
use crate::config::Damping;
use crate::convergence::message::{Answer, Ask};
use crate::detection::message::{
    Ack, Charge, Ping, PingReq, Prints, Rebuttal, decode_answer, put_accusation, put_verdict,
};
use crate::detection::suspicion::Suspicions;
use crate::dissemination::events::{EventLog, StoredEvent};
use crate::dissemination::interest::Interest;
use crate::dissemination::pull::Pull;
use crate::dissemination::queue::{Encoded, Ready, Telling, Topic};
use crate::dissemination::trail::Trail;
use crate::dissemination::tree::{Span, Taken};
use crate::flow;
use crate::flow::budget::Class;
use crate::io::{Alarm, CommandError, Event, Outbox, Output};
use crate::limits::{HANDOVERS_MAX, RUMOUR_BYTES_MAX};
use crate::membership::record::{
    self, Accusers, Precedence, Record, RecordHead, Standing, put_record,
};
use crate::membership::table::{ME, Slot, Table};
use crate::peers::Round;
use crate::state::delta::EntryDelta;
use crate::state::entry::{Advert, Entry};
use crate::state::forgetting::{Consent, Question};
use crate::state::store::Store;
use crate::wire::codec::DecodeError;
use crate::wire::frame::{Frames, kind};
use crate::wire::packet::{self, Unreadable};

/// How a record or an entry came: what may be believed of it depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Fresh off the rumour mill, from this sender.
    Rumour(NodeId),
    /// Met while comparing states: it may be old. Established nodes pass it on.
    Session,
    /// Read while joining: everybody else knows it.
    Joining,
}

/// With the slot in the key of a rumour about a member: its facts are what they were.
pub(super) const REBUTTAL_KEY: u64 = 1 << 32;

/// What bytes are spent on: each has its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    Probe,
    Repeat,
    Heartbeats,
    Rumours,
    Join,
    Receipts,
    Aggregates,
    Digest,
    Sketch,
    Delta,
    Pull,
}

impl Node {
    pub(super) fn datagram(
        &mut self,
        from: SocketAddr,
        sealed_by: Option<NodeId>,
        bytes: &[u8],
        now: Now,
        out: &mut Outbox,
    ) {
        self.stats.datagrams_received += 1;
        self.stats.datagram_bytes_received += bytes.len() as u64;
        if bytes.len() > self.config.datagram_bytes.max(1500) {
            self.stats.drop_oversized += 1;
            return;
        }
        let payer = self.payer(from, sealed_by, bytes, true);
        let terms = self.packet_terms(payer, now.mono);
        if !self.may_enter(payer, bytes, terms, now.mono) {
            self.stats.drop_limited += 1;
            return;
        }
        let worth = self.read_datagram(from, sealed_by, bytes, now, out);
        self.charge(payer, bytes.len(), worth, terms, now.mono);
    }

    fn read_datagram(
        &mut self,
        from: SocketAddr,
        sealed_by: Option<NodeId>,
        bytes: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Worth {
        let Some((sender, body)) = self.open(bytes, sealed_by, from, now.mono, out) else {
            return Worth::Nothing;
        };
        if sender == self.id {
            self.stats.drop_own += 1;
            return Worth::Nothing;
        }
        if self.phase == Phase::Left {
            return Worth::Nothing;
        }
        self.heard_from(sender, now, out);
        self.branches.handed = None;
        match self.frames(body, sender, from, now, out) {
            Ok(worth) => worth,
            Err(_) => {
                self.stats.drop_malformed += 1;
                Worth::Nothing
            }
        }
    }

    /// The frames of a datagram. Most are rumours that are known here: they end after one look-up,
    /// and the way that they came is not even read.
    fn frames(
        &mut self,
        body: &[u8],
        sender: NodeId,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) -> Result<Worth, DecodeError> {
        let mut trail = None;
        let (mut known, mut known_bytes) = (0, 0);
        let (mut fresh, before) = (0, self.told_again() + self.refused());
        let mut probing = false;
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            if kind == kind::TRAIL {
                trail = Some(body);
                continue;
            }
            let about = self.about(kind, body);
            if about.is_some_and(|(slot, said)| self.is_known(slot, said)) {
                trail = None;
                known += 1;
                known_bytes += body.len() as u64;
                continue;
            }
            fresh += u64::from(is_rumour(kind));
            probing |= matches!(kind, kind::PING | kind::PING_REQ | kind::ACK);
            if let Some(trail) = trail.take() {
                self.receipts.trail = Trail::decode(trail, now.mono, self.transit(sender))?;
            }
            let via = Via::Rumour(sender);
            if about.is_some_and(|(slot, said)| self.rises(slot, said, via, now)) {
                self.receipts.trail = Trail::NONE;
                continue;
            }
            let before = self.told_again();
            self.frame(kind, body, sender, from, now, out)?;
            let again = self.told_again() > before;
            self.stats.bytes_duplicate += if again { body.len() as u64 } else { 0 };
        }
        let new = fresh > self.told_again() + self.refused() - before;
        self.stats.rumours_stale += known;
        self.stats.bytes_duplicate += known_bytes;
        let rumours = known + fresh > 0;
        Ok(if rumours && !new || probing && !rumours { Worth::Nothing } else { Worth::Useful })
    }

    /// Rumours that were beyond what their writers may bring in, so far.
    fn refused(&self) -> u64 {
        self.stats.limited_writes + self.stats.limited_rises
    }

    /// Which other member a rumour is about, and what it says; none where its facts are new.
    #[inline]
    fn about(&self, kind: u8, body: &[u8]) -> Option<(Slot, Precedence)> {
        let (short, said) = match kind {
            kind::MEMBER => record::glance(body)?,
            kind::REBUTTAL => Rebuttal::decode(body).ok()?.said(),
            _ => return None,
        };
        let slot = self.table.find_same_facts(short, said).filter(|&slot| slot != ME)?;
        Some((slot, said))
    }

    /// Whether that is known, word for word, and nobody counts how often it is heard.
    #[inline]
    fn is_known(&self, slot: Slot, said: Precedence) -> bool {
        let uncounted = matches!(self.config.damping, Damping::Sends | Damping::Age);
        uncounted && self.table.says(slot, said)
    }

    /// How long a packet of this member was on its way: half of a round trip.
    fn transit(&self, sender: NodeId) -> Duration {
        let rtt = self.slot_of(sender).and_then(|slot| self.table.rtt(slot));
        rtt.map_or(self.receipts.usual_rtt, |(mean, _)| mean) / 2
    }

    /// Rumours that said nothing new, so far.
    fn told_again(&self) -> u64 {
        self.stats.rumours_stale + self.stats.entries_stale + self.stats.events_duplicate
    }

    /// Checks header and checksum; counts why a packet is dropped.
    pub(super) fn open<'a>(
        &mut self,
        bytes: &'a [u8],
        sealed_by: Option<NodeId>,
        from: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) -> Option<(NodeId, &'a [u8])> {
        match packet::open(bytes, &self.key) {
            Ok((sender, _)) if sealed_by.is_some_and(|id| id != sender) => {
                self.stats.drop_impersonated += 1;
                None
            }
            Ok(opened) => Some(opened),
            Err(reason) => {
                match reason {
                    Unreadable::Truncated => self.stats.drop_truncated += 1,
                    Unreadable::Version => self.stats.drop_version += 1,
                    Unreadable::Checksum => self.stats.drop_checksum += 1,
                    Unreadable::ForeignCluster => {
                        self.stats.drop_foreign_cluster += 1;
                        self.alarm(Alarm::ForeignCluster { from }, now, out);
                    }
                }
                None
            }
        }
    }

    fn frame(
        &mut self,
        kind: u8,
        body: &[u8],
        sender: NodeId,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        match kind {
            kind::PING => self.ping(Ping::decode(body)?, sender, from, now, out),
            kind::ACK => self.ack(Ack::decode(body)?, sender, from, now, out),
            kind::PING_REQ => self.ping_req(PingReq::decode(body)?, from, now, out),
            kind::INDIRECT_ACK => self.indirect_ack(decode_answer(body)?, now, out),
            kind::NACK => self.nack(decode_answer(body)?),
            kind::NOT_ME => self.not_me(decode_answer(body)?, now, out),
            kind::BRANCH => {
                self.branches.handed = Some((Span::decode(body)?, from));
                return Ok(());
            }
            kind::BRANCH_TAKEN => self.branch_taken(Taken::decode(body)?, sender, now.mono),
            kind::ASK => self.asked(Ask::decode(body)?, sender, from, now.mono, out),
            kind::ANSWER => self.answered_ask(Answer::decode(body)?, sender),
            kind::AGGREGATE => {
                self.exchange_asked(Exchange::decode(body)?, sender, from, now.mono, out);
            }
            kind::AGGREGATE_ANSWER => {
                self.exchange_answered(&Exchange::decode(body)?, sender, now.mono);
            }
            kind::COORDINATE => self.placed(body, sender)?,
            kind::HEARTBEATS => self.heartbeats(body, sender, now, out)?,
            kind::FORGET_ASK => {
                self.forget_asked(Question::decode(body)?, sender, from, now, out);
            }
            kind::FORGET_ANSWER => {
                self.forget_answered(Consent::decode(body)?, sender, from, now, out);
            }
            kind::INTEREST => self.interested(&Interest::decode(body)?, sender, now.mono),
            kind::PULL => self.pulled(Pull::decode(body)?, from, now, out),
            kind::NAME_CLAIM => self.name_claimed(Record::decode(body)?, now, out),
            _ => self.news(kind, body, Via::Rumour(sender), from, now, out)?,
        }
        self.receipts.trail = Trail::NONE;
        Ok(())
    }

    /// A frame that carries state. Unknown kinds are skipped.
    pub(super) fn news(
        &mut self,
        kind: u8,
        body: &[u8],
        via: Via,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        match kind {
            kind::MEMBER => {
                self.apply_head(RecordHead::decode(body)?, via, now, out)?;
            }
            kind::ACCUSATION => self.accused(&Charge::decode(body)?, now, out),
            kind::VERDICT => self.told_verdict(&Charge::decode(body)?, via, now, out),
            kind::REBUTTAL => self.rebutted(Rebuttal::decode(body)?, via, now, out),
            kind::ENTRY => match Entry::decode(body, &self.key, now)? {
                Some(entry) => {
                    self.apply_entry(entry, via, false, now, out);
                }
                None => self.stats.entry_checksum += 1,
            },
            kind::ENTRY_DELTA => match EntryDelta::decode(body, &self.key)? {
                Some(delta) => self.apply_delta(delta, via, from, now, out),
                None => self.stats.entry_checksum += 1,
            },
            kind::ADVERT => self.advertised(&Advert::decode(body)?, from, out),
            kind::EVENT => match StoredEvent::decode(body, &self.key, now.mono)? {
                Some(event) => self.apply_event(event, via, now, out),
                None => self.stats.entry_checksum += 1,
            },
            _ => self.stats.frame_unknown += 1,
        }
        Ok(())
    }

    // Out.

    pub(super) fn prints(&self) -> Prints {
        Prints { members: self.table.fingerprint().low(), state: self.state_print() }
    }

    /// Starts a packet in the outbox.
    pub(super) fn begin(&self, out: &mut Outbox) -> usize {
        packet::begin(&mut out.bytes, &self.key, self.id)
    }

    /// Completes a datagram with news and sends it; `spent` says what for.
    pub(super) fn send(
        &mut self,
        spent: Spent,
        start: usize,
        to: SocketAddr,
        out: &mut Outbox,
        now: Time,
    ) {
        self.count_bytes(spent, out.bytes.len() - start);
        if matches!(spent, Spent::Probe | Spent::Repeat) {
            self.piggyback_counters(start, out);
        }
        let news = out.bytes.len();
        if self.fill(start, 1, out, now) {
            let limit = self.transmit_limit();
            self.queue.sent(1, limit);
        }
        self.count_bytes(Spent::Rumours, out.bytes.len() - news);
        self.send_bare(start, to, out);
    }

    /// As [`Node::send`] to a member that is probed, which all zones are: news goes along as it does in rounds.
    pub(super) fn send_probe(
        &mut self,
        spent: Spent,
        start: usize,
        (id, to): (NodeId, SocketAddr),
        out: &mut Outbox,
        now: Time,
    ) {
        if self.queue.is_empty() || self.crosses(id, now) {
            return self.send(spent, start, to, out, now);
        }
        self.count_bytes(spent, out.bytes.len() - start);
        self.piggyback_counters(start, out);
        self.send_bare(start, to, out);
    }

    /// Completes a datagram as it is and sends it.
    pub(super) fn send_bare(&mut self, start: usize, to: SocketAddr, out: &mut Outbox) {
        packet::seal(&mut out.bytes, start, &self.key);
        self.count_datagram(out.bytes.len() - start);
        let bytes = start..out.bytes.len();
        out.items.push(Output::Datagram { to, bytes });
    }

    pub(super) fn count_bytes(&mut self, spent: Spent, bytes: usize) {
        *self.bytes_counter(spent) += bytes as u64;
        self.spend(bytes);
    }

    /// Some bytes of a packet are for something else than the rest.
    pub(super) fn count_as(&mut self, packet: Spent, part: Spent, bytes: usize) {
        *self.bytes_counter(packet) -= bytes as u64;
        *self.bytes_counter(part) += bytes as u64;
    }

    fn bytes_counter(&mut self, spent: Spent) -> &mut u64 {
        match spent {
            Spent::Probe => &mut self.stats.bytes_probe,
            Spent::Repeat => &mut self.stats.bytes_repeat,
            Spent::Heartbeats => &mut self.stats.bytes_heartbeats,
            Spent::Rumours => &mut self.stats.bytes_rumours,
            Spent::Join => &mut self.stats.bytes_join,
            Spent::Receipts => &mut self.stats.bytes_receipts,
            Spent::Aggregates => &mut self.stats.bytes_aggregates,
            Spent::Digest => &mut self.stats.bytes_digest,
            Spent::Sketch => &mut self.stats.bytes_sketch,
            Spent::Delta => &mut self.stats.bytes_delta,
            Spent::Pull => &mut self.stats.bytes_pull,
        }
    }

    pub(super) fn count_datagram(&mut self, bytes: usize) {
        self.stats.datagrams_sent += 1;
        self.stats.datagram_bytes_sent += bytes as u64;
    }

    fn transmit_limit(&self) -> u32 {
        flow::transmit_limit(self.config.transmit_factor, self.table.size())
    }

    /// Appends rumours to the packet that starts at `start` and goes to so many peers; false if
    /// there were none.
    fn fill(&mut self, start: usize, peers: usize, out: &mut Outbox, now: Time) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let parts = RumourSources {
            key: &self.key,
            table: &self.table,
            suspicions: &self.suspicions,
            cases: |id| self.cases.get(&id).map(|c| &c.accusers),
            accusers_needed: self.config.accusers_required,
            store: &self.store,
            deltas: &self.writes.deltas,
            events: &self.events,
            now,
        };
        let end =
            (out.bytes.len() + self.config.changes_bytes).min(start + self.config.datagram_bytes);
        let tick = self.config.tick;
        let life = match self.config.damping {
            Damping::Age => tick * self.config.damping_threshold,
            _ => Duration::MAX,
        };
        let (store, pulling, mut by_mode) = (&self.store, &self.pulling, [0; 3]);
        let before = out.bytes.len();
        let telling = Telling { now, life, last: self.last_topic() };
        let counts = self.queue.fill(&mut out.bytes, end, telling, |topic, key, trail, out| {
            let kept = if topic == Topic::State { store.get(key as u32) } else { None };
            let mode = kept.map(|kept| pulling.mode(&kept.entry.keyspace));
            // Who was not told for a tick will ask.
            let life = if mode == Some(Mode::PushPull) { life.min(tick) } else { life };
            if trail.told(now).is_some_and(|(_, age)| age > life) {
                return Encoded::Gone;
            }
            let before = out.len();
            let encoded = parts.encode(topic, key, trail, out);
            if let (Some(mode), true) = (mode, out.len() <= end) {
                by_mode[mode as usize] += out.len() - before;
            }
            encoded
        });
        for (mode, bytes) in Mode::ALL.into_iter().zip(by_mode) {
            self.count_mode(mode, bytes, peers as u64);
        }
        self.adapting.note_copies(counts.iter().sum(), peers, out.bytes.len() - before);
        let [accusations, members, state, events] = counts.map(|c| (c * peers) as u64);
        self.stats.accusations_sent += accusations;
        self.stats.rumours_member_sent += members;
        self.stats.rumours_state_sent += state;
        self.stats.rumours_event_sent += events;
        accusations + members + state + events > 0
    }

    /// One round of gossip.
    pub(super) fn spread(&mut self, now: Now, out: &mut Outbox) {
        if let Some(until) = self.must_wait() {
            return self.rounds.wait_until(until);
        }
        let prompt = self.queue.has_fresh() && self.rounds.take_prompt(now.mono);
        let k = if prompt { self.config.eager_fanout } else { self.config.fanout };
        if self.budget_allows(Class::State) {
            self.tell_readers(now, out);
        }
        let told = self.tell_peers(k, prompt, now, out);
        let fresh_left = self.queue.has_fresh();
        let left = if self.queue.is_empty() || told == 0 {
            None
        } else if fresh_left && prompt {
            Some(self.config.batch.max(Duration::from_millis(1)))
        } else {
            Some(self.rounds.interval(now.mono, self.config.tick))
        };
        self.rounds.sent(now.mono, left, fresh_left);
        if self.choice.hot.is_waiting() {
            self.rounds.fresh(now.mono, self.config.batch.max(Duration::from_millis(1)));
        }
    }

    /// Nobody listens there: another takes the place in the round at once (row C8).
    pub(super) fn replace_refused(&mut self, to: SocketAddr, now: Now, out: &mut Outbox) {
        self.branch_refused(to, now.mono);
        let at = |&slot: &Slot| self.table.in_use(slot) && self.table.addr(slot) == to;
        let Some(place) = self.choice.last.iter().position(at) else { return };
        let slot = self.choice.last.swap_remove(place);
        self.choice.refused.add(slot, now.mono);
        let listens = |&slot: &Slot| !self.choice.refused.contains(slot, now.mono);
        if !self.table.live().iter().any(listens) {
            return; // nobody is left to take its place: the next round tries them all again
        }
        if let Some(news) = self.choice.last_news {
            let limit = self.transmit_limit();
            self.queue.unsend(news, limit);
            self.stats.peers_replaced += 1;
            self.tell_peers(1, false, now, out);
        }
    }

    /// Whether news and repair go to a member that is in touch anyway.
    pub(super) fn crosses(&mut self, id: NodeId, now: Time) -> bool {
        let round = Round::by(&self.config, 1, now);
        let Some(slot) = self.table.find(id) else { return true };
        self.choice.crosses(&self.table, slot, round)
    }

    /// The same packets to each of `k` peers, and if they are fresh to those preferred; returns how many there were.
    fn tell_peers(&mut self, k: usize, fresh: bool, now: Now, out: &mut Outbox) -> usize {
        let news = self.queue.first().map(|(topic, key)| (topic as u8, key));
        let round = Round::by(&self.config, k, now.mono);
        let mut peers = std::mem::take(&mut self.choice.picked);
        self.choice.round(&self.table, round, &mut peers);
        let by_chance = peers.len() as u32;
        if fresh {
            self.choice.add_preferred(&self.table, now.mono, &mut peers);
        }
        if !peers.is_empty() {
            for _ in 0..self.config.burst_packets {
                let start = self.begin(out);
                if !self.fill(start, peers.len(), out, now.mono) {
                    out.bytes.truncate(start);
                    break;
                }
                packet::seal(&mut out.bytes, start, &self.key);
                for &slot in &peers {
                    let to = self.table.addr(slot);
                    self.send_again(start, to, out);
                }
            }
            let limit = self.transmit_limit();
            self.queue.sent(by_chance, limit);
        }
        let told = peers.len();
        self.choice.told(news, &peers);
        self.choice.picked = peers;
        told
    }

    /// Somebody told what this node knows already: it is no news there, so perhaps nowhere.
    pub(super) fn heard_again(&mut self, topic: Topic, key: u64) {
        let threshold = self.config.damping_threshold;
        let cold = match self.config.damping {
            Damping::Sends | Damping::Age => return,
            Damping::Counter => {
                let theirs = self.receipts.trail.heard_again();
                self.queue.heard_again(topic, key, theirs) >= threshold
            }
            Damping::Coin => {
                self.queue.has(topic, key) && self.pulling.rng.chance(1.0 / f64::from(threshold))
            }
        };
        if cold {
            self.stats.rumours_cooled += 1;
            self.queue.remove(topic, key);
        }
    }

    /// A sealed packet of rumours goes to one more peer.
    pub(super) fn send_again(&mut self, start: usize, to: SocketAddr, out: &mut Outbox) {
        let bytes = start..out.bytes.len();
        self.count_datagram(bytes.len());
        self.count_bytes(Spent::Rumours, bytes.len());
        self.stats.gossip_packets_sent += 1;
        out.items.push(Output::Datagram { to, bytes });
    }

    /// Queues news for the next packets and, as it is fresh, for a round of its own.
    pub(super) fn tell(&mut self, topic: Topic, key: u64, now: Time) {
        if self.config.rumours || topic == Topic::Accusation {
            self.enqueue(topic, key, self.receipts.trail.anew(), Ready::NONE);
            self.rounds.fresh(now, self.config.batch);
        }
    }

    /// A member has a new incarnation and nothing else: the frame that says so is kept as it is.
    pub(super) fn tell_rebuttal(&mut self, slot: Slot, now: Time) {
        if self.config.rumours {
            let Precedence { incarnation, sum, .. } = self.table.precedence(slot);
            let subject = self.table.id(slot).short();
            let (frame, len) = Rebuttal { subject, incarnation, sum }.frame();
            let (key, trail) = (u64::from(slot) | REBUTTAL_KEY, self.receipts.trail.anew());
            self.enqueue(Topic::Member, key, trail, Ready::new(&frame, len));
            self.rounds.fresh(now, self.config.batch);
        }
    }

    /// Every queue is bounded at its entrance; what is shed is counted, and repair brings it.
    fn enqueue(&mut self, topic: Topic, key: u64, trail: Trail, ready: Ready) {
        self.adapting.note_change();
        if self.queue.push_ready(topic, key, trail, self.config.rumours_max, ready) {
            let shed = match topic {
                Topic::Accusation => &mut self.stats.shed_accusations,
                Topic::Member => &mut self.stats.shed_members,
                Topic::State => &mut self.stats.shed_state,
                Topic::Event => &mut self.stats.shed_events,
            };
            *shed += 1;
        }
    }

    /// Own writes and events are refused before others' have to be shed: while what was not told once
    /// is half of what may wait. Alone there is nobody to wait for.
    pub(super) fn may_tell_more(&self, topic: Topic) -> Result<(), CommandError> {
        let waiting = self.queue.untold(topic);
        let handed = self.branches.tree.waiting();
        let most = if topic == Topic::Event { HANDOVERS_MAX / 2 } else { usize::MAX };
        if waiting <= self.config.rumours_max / 2 && handed <= most || self.table.live().is_empty()
        {
            return Ok(());
        }
        let retry_after =
            flow::drain_time(&self.config, waiting).max(self.budget_time(waiting / 2));
        Err(CommandError::Overloaded { waiting, retry_after })
    }

    /// Queues what others can tell as well: that somebody is doubted, gone, or back.
    pub(super) fn relay(&mut self, topic: Topic, key: u64, now: Time) {
        if self.config.rumours || topic == Topic::Accusation {
            self.enqueue(topic, key, Trail::NONE, Ready::NONE);
            self.rounds.relay(now, self.config.batch, self.config.tick);
        }
    }

    /// Queues a verdict for two rounds: nearly everybody has heard the accusers and convicts by
    /// itself. Told as often as other news it is most of what a dying rack costs.
    pub(super) fn relay_verdict(&mut self, slot: Slot, now: Time) {
        let copies = 2 * self.config.fanout as u32;
        let limit = self.transmit_limit();
        self.queue.remove(Topic::Member, u64::from(slot));
        self.queue.remind(Topic::Member, u64::from(slot), copies, limit);
        self.rounds.at_leisure(now, self.config.tick);
    }

    /// Queues further accusers for one more round: the first accusation is what everybody needs.
    pub(super) fn relay_accusers(&mut self, slot: Slot, now: Time) {
        let copies = self.config.fanout as u32;
        let limit = self.transmit_limit();
        self.queue.remind(Topic::Accusation, u64::from(slot), copies, limit);
        self.rounds.at_leisure(now, self.config.tick);
    }

    /// What the other end should hear first: its own accusation, or that it is held gone.
    pub(super) fn put_buddy(&self, id: NodeId, out: &mut Vec<u8>) {
        let Some(slot) = self.slot_of(id) else { return };
        if let Some(s) = self.suspicions.get(slot) {
            put_accusation(out, id, s.incarnation, &s.accusers);
        } else if self.table.standing(slot) == Standing::Failed {
            put_verdict(out, id, self.table.incarnation(slot), &Accusers::default(), 0);
        } else if self.table.standing(slot) != Standing::Alive {
            self.put_member(slot, out);
        }
    }

    pub(super) fn put_member(&self, slot: Slot, out: &mut Vec<u8>) {
        let none = Accusers::default();
        let accusers = self.cases.get(&self.table.id(slot)).map_or(&none, |c| &c.accusers);
        let facts = &self.table.facts(slot).bytes;
        put_record(out, self.table.precedence(slot), facts, accusers);
    }

    pub(super) fn emit_event(&self, event: Event, out: &mut Outbox) {
        out.items.push(Output::Event(event));
    }
}

/// An entry as a rumour, or where it is too large, that it is here to be fetched.
pub(super) fn put_entry(out: &mut Vec<u8>, entry: &Entry, trail: Trail, key: &HashKey, now: Time) {
    let size = entry.value.as_ref().map_or(0, |v| v.len()) + entry.key.len();
    trail.put(out, now);
    let start = out.len();
    if size <= RUMOUR_BYTES_MAX {
        entry.put(out, key, now);
    }
    if size > RUMOUR_BYTES_MAX || out.len() - start > RUMOUR_BYTES_MAX {
        out.truncate(start);
        let advert = Advert { keyspace: &entry.keyspace, key: &entry.key, dot: entry.dot };
        advert.put(out, kind::ADVERT);
    }
}

/// Where the bytes of rumours live: the queue knows keys only.
struct RumourSources<'a, F> {
    key: &'a HashKey,
    table: &'a Table,
    suspicions: &'a Suspicions,
    cases: F,
    accusers_needed: usize,
    store: &'a Store,
    deltas: &'a Deltas,
    events: &'a EventLog,
    now: Time,
}

impl<'a, F: Fn(NodeId) -> Option<&'a Accusers>> RumourSources<'a, F> {
    fn encode(&self, topic: Topic, key: u64, trail: Trail, out: &mut Vec<u8>) -> Encoded {
        match topic {
            Topic::Accusation => {
                let slot = key as Slot;
                let Some(s) = self.suspicions.get(slot) else { return Encoded::Gone };
                put_accusation(out, self.table.id(slot), s.incarnation, &s.accusers);
            }
            Topic::Member => {
                let slot = key as Slot; // less the bit of a rebuttal
                if !self.table.in_use(slot) {
                    return Encoded::Gone;
                }
                trail.put(out, self.now);
                let (id, precedence) = (self.table.id(slot), self.table.precedence(slot));
                let none = Accusers::default();
                let accusers = (self.cases)(id).unwrap_or(&none);
                if precedence.standing == Standing::Failed {
                    put_verdict(out, id, precedence.incarnation, accusers, self.accusers_needed);
                } else if key & REBUTTAL_KEY != 0 && precedence.standing == Standing::Alive {
                    let Precedence { incarnation, sum, .. } = precedence;
                    Rebuttal { subject: id.short(), incarnation, sum }.put(out);
                } else {
                    put_record(out, precedence, &self.table.facts(slot).bytes, &none);
                }
            }
            Topic::State => {
                let Some(kept) = self.store.get(key as u32) else { return Encoded::Gone };
                let entry = &kept.entry;
                if let Some(delta) = self.deltas.of(key as u32).filter(|it| it.stands_for(entry)) {
                    trail.put(out, self.now);
                    delta.put(out, self.key);
                    return Encoded::Yes;
                }
                put_entry(out, entry, trail, self.key, self.now);
            }
            Topic::Event => {
                let Some(event) = self.events.by_number(key) else { return Encoded::Gone };
                trail.put(out, self.now);
                event.put(out, self.key, self.now);
            }
        }
        Encoded::Yes
    }
}
