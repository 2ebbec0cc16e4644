//! Decides whom to probe and when, and what each answer or silence means for the probe.

use std::net::SocketAddr;
use std::time::Duration;

use super::Node;
use super::asking::{Ask, Asked};
use super::packets::Spent;
use super::sessions::Shown;
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::detection::message::{Ack, GLANCE_BYTES, Glance, Ping, PingReq, put_answer};
use crate::detection::probe::{Probe, Purpose, Timer, direct_timeout, nack_after};
use crate::flow::RECALLS_MAX;
use crate::io::{Alarm, Outbox, RequestError, RequestId};
use crate::membership::record::Cause;
use crate::membership::table::{ME, Slot};
use crate::peers;
use crate::wire::codec::Decoded;
use crate::wire::frame::{Frames, kind};

/// Recontacts in one period by one node, however many members are lost: caps heal storms.
const RECONTACTS_MAX: usize = 1;

impl Node {
    // Timers.

    pub(super) fn run_probes(&mut self, now: Now, out: &mut Outbox) {
        while let Some((seq, timer)) = self.probes.due(now.mono) {
            match timer {
                Timer::Escalate => self.escalate(seq, now, out),
                Timer::Repeat => self.repeat(seq, now, out),
                Timer::End => self.probe_ended(seq, now, out),
            }
        }
        if self.next_probe <= now.mono {
            let period = self.health.stretch(self.config.probe_period);
            self.next_probe = now.mono + period;
            match self.table.next_to_probe(&mut self.rng_probe) {
                Some(slot) => self.probe(slot, Purpose::Round, period, now, out),
                // Nobody to doubt wrongly.
                None => self.health.probe_succeeded(),
            }
        }
        // A sick node slows its judgement down, not its search for those that it lost.
        if self.next_contact <= now.mono {
            self.next_contact = now.mono + self.config.probe_period;
            self.joins.recalls = RECALLS_MAX;
            self.recontact_lost(now, out);
            self.compare_if_alone_in_doubt(now, out);
            self.contact_seed(now, out);
        }
    }

    /// Each lost member hears from the cluster a few times per period, whoever it is that calls: a
    /// healed partition is noticed at once, and a dead address costs the same at any size (I5).
    fn recontact_lost(&mut self, now: Now, out: &mut Outbox) {
        let lost = self.table.lost().len();
        let expected = self.config.recontacts as f64 * lost as f64 / self.table.size() as f64;
        let fraction = expected - expected.floor();
        let calls = expected as usize + usize::from(self.rng_probe.chance(fraction));
        for _ in 0..calls.min(RECONTACTS_MAX).min(lost) {
            if let Some(slot) = self.table.next_to_recontact() {
                self.stats.recontacts += 1;
                self.probe(slot, Purpose::Recontact, self.config.probe_period, now, out);
            }
        }
    }

    /// Members that this node alone holds failed are its own doubt: some live peer's fingerprint
    /// says whether it shares it.
    fn compare_if_alone_in_doubt(&mut self, now: Now, out: &mut Outbox) {
        let live = self.table.live();
        let alone = self.table.lost().iter().any(|&slot| self.table.is_unconfirmed(slot));
        if alone && !live.is_empty() {
            let slot = live[self.rng_probe.index(live.len())];
            self.probe(slot, Purpose::Recontact, self.config.probe_period, now, out);
        }
    }

    /// A seed that is a live member needs no extra contact: it is in the rotation. Any other is
    /// asked every `seed_every` periods, so that partitions find each other (rows J2, J4).
    fn contact_seed(&mut self, now: Now, out: &mut Outbox) {
        self.seed_turn.countdown = self.seed_turn.countdown.saturating_sub(1);
        if self.seed_turn.countdown > 0 || self.seeds.is_empty() {
            return;
        }
        self.seed_turn.countdown = self.config.seed_every;
        let own = self.me().addr;
        for _ in 0..self.seeds.len() {
            self.seed_turn.next = (self.seed_turn.next + 1) % self.seeds.len();
            let seed = &self.seeds[self.seed_turn.next];
            let known = seed.id.and_then(|id| self.table.find(id));
            let live = known
                .is_some_and(|slot| self.table.is_live(slot) && self.table.addr(slot) == seed.addr);
            if !live && seed.addr != own {
                let addr = seed.addr;
                self.stats.seed_contacts += 1;
                return self.send_ping(
                    NodeId::default(),
                    addr,
                    Purpose::Recontact,
                    self.config.probe_period,
                    now,
                    out,
                );
            }
        }
    }

    pub(super) fn probe(
        &mut self,
        slot: Slot,
        purpose: Purpose,
        given: Duration,
        now: Now,
        out: &mut Outbox,
    ) {
        let (id, addr) = (self.table.id(slot), self.table.addr(slot));
        if addr != self.me().addr {
            self.send_ping(id, addr, purpose, given, now, out);
        } else if purpose == Purpose::Round {
            // This node lives there now, so that one does not.
            self.accuse(id, Cause::Replaced, now, out);
        }
    }

    /// Pings `target` (the default id means anyone at `addr`); the probe ends after `given`.
    fn send_ping(
        &mut self,
        target: NodeId,
        addr: SocketAddr,
        purpose: Purpose,
        given: Duration,
        now: Now,
        out: &mut Outbox,
    ) {
        let timeout = match purpose {
            Purpose::Helper { .. } => nack_after(given),
            _ => {
                let rtt = self.table.find(target).and_then(|slot| self.table.rtt(slot));
                let floor = (self.config.probe_period / 5).min(self.config.probe_timeout);
                self.health.stretch(direct_timeout(rtt, floor, self.config.probe_timeout))
            }
        };
        let probe = Probe {
            target,
            addr,
            purpose,
            prints: self.prints(),
            sent: now.mono,
            timeout_at: now.mono + timeout,
            ends_at: now.mono + given,
            repeat_at: Time::NEVER,
            repeated: false,
            escalated: purpose == Purpose::Recontact,
            helpers: 0,
            nacks: 0,
            stream: None,
        };
        let Some(seq) = self.probes.start(probe) else { return };
        self.stats.probes_sent += 1;
        self.put_ping(Spent::Probe, seq, target, addr, now, out);
    }

    fn put_ping(
        &mut self,
        spent: Spent,
        seq: u16,
        target: NodeId,
        addr: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) {
        let start = self.begin(out);
        Ping { seq, target: target.short(), prints: self.prints() }.put(&mut out.bytes);
        self.put_buddy(target, &mut out.bytes);
        self.send_probe(spent, start, (target, addr), out, now.mono);
    }

    fn repeat(&mut self, seq: u16, now: Now, out: &mut Outbox) {
        let prints = self.prints();
        let Some(probe) = self.probes.get_mut(seq) else { return };
        probe.repeated = true;
        probe.prints = prints;
        probe.repeat_at = now.mono + probe.timeout_at.since(probe.sent);
        let (target, addr) = (probe.target, probe.addr);
        self.stats.probes_repeated += 1;
        self.put_ping(Spent::Repeat, seq, target, addr, now, out);
    }

    /// No direct answer in time: helpers and one stream probe, in parallel (SWIM 3.1; row I2).
    fn escalate(&mut self, seq: u16, now: Now, out: &mut Outbox) {
        let Some(probe) = self.probes.get_mut(seq) else { return };
        probe.escalated = true;
        let probe = probe.clone();
        match probe.purpose {
            Purpose::Helper { asker, asker_seq } => {
                self.stats.nacks_sent += 1;
                self.answer(asker, kind::NACK, asker_seq, now.mono, out);
            }
            Purpose::Round => {
                self.ask_helpers(seq, &probe, now, out);
                self.ask_by_stream(seq, &probe, now.mono, out);
                self.repeat(seq, now, out);
            }
            Purpose::Witness => {
                self.ask_by_stream(seq, &probe, now.mono, out);
                self.repeat(seq, now, out);
            }
            Purpose::Recontact => {}
        }
    }

    fn ask_helpers(&mut self, seq: u16, probe: &Probe, now: Now, out: &mut Outbox) {
        let mut helpers = std::mem::take(&mut self.choice.picked);
        let (table, target) = (&self.table, probe.target);
        peers::uniform(
            table,
            self.config.indirect_probes,
            &mut self.choice.rng,
            |slot| {
                let not_now = table.is_suspect(slot) || table.addr(slot) == table.addr(ME);
                table.id(slot) == target || not_now
            },
            &mut helpers,
        );
        // Part of the time is the ways there and back: the nack must still find us waiting.
        let timeout = probe.ends_at.since(now.mono).mul_f64(0.9);
        for &slot in &helpers {
            let request = PingReq { seq, target, addr: probe.addr, timeout };
            let start = self.begin(out);
            request.put(&mut out.bytes);
            let to = self.table.addr(slot);
            self.send(Spent::Probe, start, to, out, now.mono);
            self.stats.indirect_sent += 1;
        }
        if let Some(probe) = self.probes.get_mut(seq) {
            probe.helpers = helpers.len() as u32;
        }
        self.choice.picked = helpers;
    }

    fn ask_by_stream(&mut self, seq: u16, probe: &Probe, now: Time, out: &mut Outbox) {
        if !self.config.stream_probe {
            return;
        }
        let ping = Ping { seq, target: probe.target.short(), prints: self.prints() };
        let asked = Asked { ask: Ask::StreamProbe, peer: Some(probe.target), addr: probe.addr };
        let start = self.begin(out);
        ping.put(&mut out.bytes);
        self.put_buddy(probe.target, &mut out.bytes);
        let stream = self.ask(start, asked, probe.ends_at.since(now), out);
        if let Some(probe) = self.probes.get_mut(seq) {
            probe.stream = stream;
            self.stats.stream_probes_sent += u64::from(stream.is_some());
        }
    }

    /// Nothing was heard until the end.
    fn probe_ended(&mut self, seq: u16, now: Now, out: &mut Outbox) {
        let Some(probe) = self.probes.end(seq) else { return };
        match probe.purpose {
            Purpose::Round => {
                self.stats.probes_failed += 1;
                self.health.probe_failed(probe.helpers, probe.nacks);
                self.health.found_silent(probe.target);
                self.silent(probe.target, now, out);
            }
            Purpose::Witness => self.silent(probe.target, now, out),
            Purpose::Helper { .. } | Purpose::Recontact => {}
        }
    }

    // Answers.

    pub(super) fn ack(
        &mut self,
        ack: Ack,
        sender: NodeId,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) {
        let anyone = NodeId::default();
        let meant = self
            .probes
            .get_mut(ack.seq)
            .is_some_and(|p| p.target == sender || p.target == anyone && p.addr == from);
        if !meant {
            // Late, or nobody's: it says nothing about now.
            return self.health.late_ack(sender);
        }
        let probe = self.probes.end(ack.seq).expect("looked up above");
        self.stats.probes_acked += 1;
        // A repeated ping does not say which one was answered (Karn 1987).
        if let (Some(slot), false) = (self.table.find(sender), probe.repeated) {
            self.table.measured(slot, now.mono.since(probe.sent));
            self.note_rtt(now.mono.since(probe.sent));
            // Smoothed, one late ack moves nobody.
            let rtt = self.table.rtt(slot).map(|(mean, _)| mean);
            if rtt.is_some_and(|rtt| !self.coordinates.measured(slot, rtt)) {
                self.stats.coordinates_refused += 1;
            }
        }
        if probe.target == anyone {
            self.seed_answered(from, sender);
        }
        self.probe_succeeded(&probe, now, out);
        let prints = ack.prints.unwrap_or(probe.prints);
        if probe.purpose == Purpose::Recontact {
            self.found_again(sender, from, prints, now, out);
        }
        self.compare(sender, from, Shown::Ack(prints, ack.glance), now, out);
    }

    fn probe_succeeded(&mut self, probe: &Probe, now: Now, out: &mut Outbox) {
        match probe.purpose {
            Purpose::Round => self.health.probe_succeeded(),
            Purpose::Helper { asker, asker_seq } => {
                self.answer(asker, kind::INDIRECT_ACK, asker_seq, now.mono, out);
            }
            Purpose::Witness | Purpose::Recontact => {}
        }
        self.reached(probe.target, probe.sent, now, out);
    }

    pub(super) fn indirect_ack(&mut self, seq: u16, now: Now, out: &mut Outbox) {
        if let Some(probe) = self.probes.end(seq) {
            self.stats.indirect_acked += 1;
            self.probe_succeeded(&probe, now, out);
        }
    }

    pub(super) fn nack(&mut self, seq: u16) {
        if let Some(probe) = self.probes.get_mut(seq) {
            probe.nacks += 1;
            self.stats.nacks_received += 1;
        }
    }

    /// Another life lives at that address: the one that we meant is gone.
    pub(super) fn not_me(&mut self, seq: u16, now: Now, out: &mut Outbox) {
        self.stats.not_me_received += 1;
        self.found_gone(seq, Cause::Replaced, now, out);
    }

    pub(super) fn stream_probe_answered(
        &mut self,
        id: RequestId,
        result: Result<&[u8], RequestError>,
        now: Now,
        out: &mut Outbox,
    ) {
        let Some(seq) = self.probes.by_stream(id) else { return };
        match result {
            Err(RequestError::Refused) => self.found_gone(seq, Cause::Refused, now, out),
            Err(_) => {}
            Ok(body) => {
                for (kind, body) in Frames::new(body).flatten() {
                    match kind {
                        kind::ACK => {
                            if let Ok(ack) = Ack::decode(body) {
                                self.stream_probe_acked(seq, ack, now, out);
                            }
                        }
                        kind::NOT_ME => self.not_me(seq, now, out),
                        _ => {}
                    }
                }
            }
        }
    }

    /// The stream gets through where datagrams did not: alive, and worth an operator's look.
    fn stream_probe_acked(&mut self, seq: u16, ack: Ack, now: Now, out: &mut Outbox) {
        let Some(probe) = self.probes.end(seq) else { return };
        self.stats.stream_probes_acked += 1;
        self.stats.datagrams_blocked += 1;
        if let Some(slot) = self.table.find(probe.target) {
            let name = self.table.facts(slot).name.to_string();
            self.alarm(Alarm::DatagramsBlocked { name }, now.mono, out);
        }
        self.probe_succeeded(&probe, now, out);
        // A node that hears nothing but streams is repaired by them too (row B8).
        let prints = ack.prints.unwrap_or(probe.prints);
        self.compare(probe.target, probe.addr, Shown::Ack(prints, ack.glance), now, out);
    }

    pub(super) fn unreachable(&mut self, to: SocketAddr, now: Now, out: &mut Outbox) {
        self.replace_refused(to, now, out);
        if let Some(seq) = self.probes.by_addr(to) {
            self.found_gone(seq, Cause::Refused, now, out);
        }
    }

    /// The address answers, the process does not live there: no need to wait for the end.
    fn found_gone(&mut self, seq: u16, cause: Cause, now: Now, out: &mut Outbox) {
        let Some(probe) = self.probes.end(seq) else { return };
        match probe.purpose {
            Purpose::Round | Purpose::Witness => self.accuse(probe.target, cause, now, out),
            Purpose::Helper { asker, asker_seq } if !probe.escalated => {
                self.answer(asker, kind::NACK, asker_seq, now.mono, out);
            }
            Purpose::Helper { .. } | Purpose::Recontact => {}
        }
    }

    // Others' probes.

    pub(super) fn ping(
        &mut self,
        ping: Ping,
        sender: NodeId,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) {
        let glance = self.compare(sender, from, Shown::Ping(ping.prints), now, out);
        let start = self.begin(out);
        // Before the ack: who reads it has measured the way to this place.
        self.coordinates.put_now_and_then(&mut out.bytes);
        self.answer_ping(&ping, glance, sender, &mut out.bytes);
        self.send_probe(Spent::Probe, start, (sender, from), out, now.mono);
        if glance.is_some() {
            // It is the first step of a session.
            self.count_as(Spent::Probe, Spent::Sketch, GLANCE_BYTES);
        }
    }

    /// An ack, or "not me" where another life was meant; the sender hears first what is held
    /// against it.
    pub(super) fn answer_ping(
        &mut self,
        ping: &Ping,
        glance: Option<Glance>,
        sender: NodeId,
        out: &mut Vec<u8>,
    ) {
        if ping.target != self.id.short() && ping.target != 0 {
            self.stats.not_me_sent += 1;
            put_answer(out, kind::NOT_ME, ping.seq);
        } else {
            let ours = self.prints();
            let prints = (ours != ping.prints).then_some(ours);
            Ack { seq: ping.seq, prints, glance }.put(out);
        }
        self.put_buddy(sender, out);
    }

    pub(super) fn ping_req(
        &mut self,
        request: PingReq,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) {
        let purpose = Purpose::Helper { asker: from, asker_seq: request.seq };
        let given = request.timeout.min(self.config.probe_period * 2);
        self.send_ping(request.target, request.addr, purpose, given, now, out);
    }

    /// A member says where it stands among round trips.
    pub(super) fn placed(&mut self, body: &[u8], sender: NodeId) -> Decoded<()> {
        match self.table.find(sender) {
            Some(slot) if slot != ME => self.coordinates.heard(slot, body, self.table.slots_end()),
            _ => Ok(()),
        }
    }

    fn answer(&mut self, to: SocketAddr, kind: u8, seq: u16, now: Time, out: &mut Outbox) {
        let start = self.begin(out);
        put_answer(&mut out.bytes, kind, seq);
        self.send(Spent::Probe, start, to, out, now);
    }

    fn seed_answered(&mut self, addr: SocketAddr, id: NodeId) {
        for seed in self.seeds.iter_mut().filter(|s| s.addr == addr) {
            seed.id = Some(id);
        }
    }
}
