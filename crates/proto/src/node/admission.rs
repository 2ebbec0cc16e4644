//! Decides how much of what one sender sends is looked at, so that nobody makes more work than
//! members do who only pass on what is new (row P6).

use std::net::{IpAddr, SocketAddr};

use super::Node;
use crate::base::id::NodeId;
use crate::base::time::Time;
use crate::flow::buckets::{Buckets, Terms};
use crate::limits::STRANGERS_MAX;
use crate::membership::table::{ME, Slot};
use crate::wire::frame::kind;
use crate::wire::packet::HEADER_BYTES;

/// What a packet costs beside its bytes, in bytes: receiving it, and answering.
const PACKET_COST: f32 = 1024.0;
/// The price of a packet that was of use: whoever carries news, or an answer, sends as much as it has.
const USEFUL: f32 = 1.0 / 16.0;
/// An allowance unused for so long is there at once, as for a burst.
const SAVED_SECONDS: f32 = 128.0;
/// Of that, what only probes and their answers may overdraw, so that they are heard when gossip is not.
const LIVENESS_SHARE: f32 = 1.0 / 8.0;
/// A ping and an ack in a probe period of two that have only each other, and as much again.
const PROBE_PACKETS: f32 = 4.0;
/// How much more than this node tells a member a member may tell it.
const ALIKE: f32 = 1.25;
/// No probe or answer to one is longer.
const LIVENESS_BYTES: usize = 256;

/// Requests at once, and for long: a session of 13 GB is within it.
const REQUESTS: Terms = Terms { capacity: 1000.0, per_second: 200.0 };
/// Rises of one member's incarnation that are told on, at once and for long: doubts and changed tags.
const RISES: Terms = Terms { capacity: 64.0, per_second: 1.0 };
/// Entries and events of one member at once: what it may bring in for so long.
const WRITES_SAVED_SECONDS: f32 = 4.0;

/// Strangers' keys lie above those of members.
const STRANGER: u32 = 1 << 31;

/// What has been spent of late.
#[derive(Debug, Default)]
pub(super) struct Admission {
    packets: Buckets,
    requests: Buckets,
    writes: Buckets,
    rises: Buckets,
    told: Told,
}

/// What this node itself tells others, as cost per second: members tell it as much.
#[derive(Debug, Default)]
struct Told {
    per_second: f32,
    upto: u64,
    at: Time,
}

/// Who pays for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payer(u32);

/// What a packet turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Useful,
    /// Garbage, known already, or a bare probe.
    Nothing,
}

impl Node {
    /// A member that the driver proved, or whose address this comes from; everybody else pays with
    /// those whose address hashes alike. Read before anything is checked: it decides who pays, nothing
    /// more.
    pub(super) fn payer(
        &mut self,
        from: SocketAddr,
        sealed_by: Option<NodeId>,
        bytes: &[u8],
        is_datagram: bool,
    ) -> Payer {
        let claimed = bytes
            .get(HEADER_BYTES - 16..HEADER_BYTES)
            .map(|id| NodeId(id.try_into().expect("16 bytes")));
        let slot = sealed_by.or(claimed).and_then(|id| self.table.find(id));
        let lives_there = |&slot: &Slot| {
            let known = self.table.addr(slot);
            // A stream comes from a port of its own.
            sealed_by.is_some() || known == from || !is_datagram && known.ip() == from.ip()
        };
        match slot.filter(|&slot| slot != ME).filter(lives_there) {
            Some(slot) => {
                self.pulse.sender = slot;
                Payer(slot)
            }
            None => Payer(STRANGER | stranger(from, self.boot)),
        }
    }

    /// Whether a datagram is looked at; what it costs is known afterwards.
    pub(super) fn may_enter(&self, payer: Payer, bytes: &[u8], terms: Terms, now: Time) -> bool {
        let left = self.admission.packets.left(payer.0, terms, now);
        let overdraft = if is_liveness(bytes) { terms.capacity * LIVENESS_SHARE } else { 0.0 };
        left + overdraft > 0.0
    }

    pub(super) fn charge(
        &mut self,
        payer: Payer,
        bytes: usize,
        worth: Worth,
        terms: Terms,
        now: Time,
    ) {
        let price = if worth == Worth::Useful { USEFUL } else { 1.0 };
        let cost = (PACKET_COST + bytes as f32) * price;
        self.admission.packets.take(payer.0, cost, terms, now);
    }

    /// A quarter more than this node tells a member, what probes need, and the allowance.
    pub(super) fn packet_terms(&mut self, payer: Payer, now: Time) -> Terms {
        self.measure_told(now);
        let peers = self.table.live().len().max(1);
        let sharing = if payer.0 < STRANGER { peers } else { peers.min(STRANGERS_MAX as usize) };
        let alike = ALIKE * self.admission.told.per_second / sharing as f32;
        let probes = PROBE_PACKETS * PACKET_COST / self.config.probe_period.as_secs_f32();
        let allowance = self.config.peer_allowance as f32;
        let per_second = allowance + probes + alike;
        Terms { capacity: (allowance + probes) * SAVED_SECONDS, per_second }
    }

    fn measure_told(&mut self, now: Time) {
        let told = &mut self.admission.told;
        let passed = now.since(told.at).as_secs_f32();
        if passed < 1.0 {
            return;
        }
        let packets = self.stats.gossip_packets_sent as f32 * PACKET_COST;
        let upto = self.stats.bytes_rumours + packets as u64;
        let rate = upto.saturating_sub(told.upto) as f32 / passed;
        let weight = (passed / 8.0).min(1.0);
        told.per_second += (rate - told.per_second) * weight;
        (told.upto, told.at) = (upto, now);
    }

    /// Whether a request is served.
    pub(super) fn may_ask(&mut self, payer: Payer, now: Time) -> bool {
        self.admission.requests.take_if_any(payer.0, 1.0, REQUESTS, now)
    }

    /// Whether rumours may bring another entry or event of this member.
    pub(super) fn may_bring(&self, writer: NodeId, now: Time) -> bool {
        self.admission.writes.left(self.writer_key(writer), self.write_terms(), now) > 0.0
    }

    /// They brought one that was new.
    pub(super) fn brought(&mut self, writer: NodeId, now: Time) {
        let (key, terms) = (self.writer_key(writer), self.write_terms());
        self.admission.writes.take(key, 1.0, terms, now);
    }

    /// They brought more than that: it is left to sessions.
    pub(super) fn overrun(&mut self) {
        self.stats.limited_writes += 1;
        self.sessions.state_pace.overrun();
    }

    /// Whether others are told what a session brought of this member.
    pub(super) fn may_pass_on(&mut self, writer: NodeId, now: Time) -> bool {
        let told = self.may_bring(writer, now);
        if told {
            self.brought(writer, now);
        }
        told
    }

    fn write_terms(&self) -> Terms {
        let per_second = self.config.peer_writes as f32;
        Terms { capacity: per_second * WRITES_SAVED_SECONDS, per_second }
    }

    fn writer_key(&self, writer: NodeId) -> u32 {
        self.table.find(writer).unwrap_or(STRANGER)
    }

    /// Whether a rise of this member's incarnation is told on.
    pub(super) fn may_rise(&mut self, slot: Slot, now: Time) -> bool {
        let told = self.admission.rises.take_if_any(slot, 1.0, RISES, now);
        if !told {
            self.stats.limited_rises += 1;
            self.sessions.members_pace.overrun();
        }
        told
    }
}

/// By the kind of the first frame.
fn is_liveness(bytes: &[u8]) -> bool {
    use kind::{ACK, INDIRECT_ACK, NACK, NOT_ME, PING, PING_REQ};
    let first = bytes.get(HEADER_BYTES).copied();
    let probing = first
        .is_some_and(|first| [PING, ACK, PING_REQ, INDIRECT_ACK, NACK, NOT_ME].contains(&first));
    probing && bytes.len() <= LIVENESS_BYTES
}

/// Of what this is useful or not can be told by whether it was known.
pub(super) fn is_rumour(frame: u8) -> bool {
    use kind::{ACCUSATION, ADVERT, ENTRY, ENTRY_DELTA, EVENT, MEMBER, REBUTTAL, VERDICT};
    matches!(frame, MEMBER | ACCUSATION | ENTRY | ADVERT | EVENT | VERDICT | REBUTTAL | ENTRY_DELTA)
}

/// Which of the strangers' allowances this address has; `salt` is this node's own.
fn stranger(from: SocketAddr, salt: u64) -> u32 {
    let ip = match from.ip() {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    let parts = [salt, ip as u64, (ip >> 64) as u64, u64::from(from.port())];
    let hash = parts.into_iter().fold(0u64, |h, part| {
        let mixed = (h ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 32
    });
    hash as u32 % STRANGERS_MAX
}
