//! Decides the bytes of probes, accusations and heartbeat counters.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::id::NodeId;
use crate::limits::ACCUSERS_MAX;
use crate::membership::record::{Accusers, Cause, Precedence, Standing};
use crate::wire::codec::{Decoded, Reader, put_addr, put_id, put_u16, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// The two fingerprints that make every probe a repair check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prints {
    pub members: u64,
    pub state: u64,
}

impl Prints {
    fn put(self, out: &mut Vec<u8>) {
        put_u64(out, self.members);
        put_u64(out, self.state);
    }

    fn read(r: &mut Reader<'_>) -> Decoded<Prints> {
        Ok(Prints { members: r.u64("member print")?, state: r.u64("state print")? })
    }
}

/// Asks the life whose id starts with `target`; another life at the address answers "not me".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    pub seq: u16,
    pub target: u64,
    pub prints: Prints,
}

impl Ping {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::PING, |out| {
            put_u16(out, self.seq);
            put_u64(out, self.target);
            self.prints.put(out);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Ping> {
        let mut r = Reader::new(body);
        Ok(Ping { seq: r.u16("seq")?, target: r.u64("target")?, prints: Prints::read(&mut r)? })
    }
}

/// What stands behind a state print that has differed for longer than news takes: the pinging node
/// goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The sum over live entries; the print less this is that over the rest.
    pub entries: u64,
    /// A sketch of them that tells few differences from many.
    pub sketch: [u64; 2],
}

pub const GLANCE_BYTES: usize = 24;

impl Glance {
    fn put(self, out: &mut Vec<u8>) {
        put_u64(out, self.entries);
        self.sketch.iter().for_each(|&word| put_u64(out, word));
    }

    fn read(r: &mut Reader<'_>) -> Decoded<Glance> {
        let entries = r.u64("entry sum")?;
        Ok(Glance { entries, sketch: [r.u64("entry sketch")?, r.u64("entry sketch")?] })
    }
}

/// Answers a ping. Equal fingerprints, as at rest, need not be said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub seq: u16,
    /// `None`: the same as in the ping.
    pub prints: Option<Prints>,
    /// Only with prints.
    pub glance: Option<Glance>,
}

impl Ack {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::ACK, |out| {
            put_u16(out, self.seq);
            if let Some(prints) = self.prints {
                prints.put(out);
                self.glance.iter().for_each(|glance| glance.put(out));
            }
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Ack> {
        let mut r = Reader::new(body);
        let seq = r.u16("seq")?;
        let prints = if r.is_empty() { None } else { Some(Prints::read(&mut r)?) };
        let glance = if r.is_empty() { None } else { Some(Glance::read(&mut r)?) };
        Ok(Ack { seq, prints, glance })
    }
}

/// Asks a helper to ping `target` and to answer within `timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingReq {
    pub seq: u16,
    pub target: NodeId,
    pub addr: SocketAddr,
    pub timeout: Duration,
}

impl PingReq {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::PING_REQ, |out| {
            put_u16(out, self.seq);
            put_id(out, self.target);
            put_addr(out, self.addr);
            put_varint(out, self.timeout.as_millis() as u64);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<PingReq> {
        let mut r = Reader::new(body);
        Ok(PingReq {
            seq: r.u16("seq")?,
            target: r.id("target")?,
            addr: r.addr("target address")?,
            timeout: Duration::from_millis(r.varint("timeout")?.min(600_000)),
        })
    }
}

/// `INDIRECT_ACK`, `NACK` and `NOT_ME`: only the number of the probe that they answer.
pub fn put_answer(out: &mut Vec<u8>, kind: u8, seq: u16) {
    put_frame(out, kind, |out| put_u16(out, seq));
}

pub fn decode_answer(body: &[u8]) -> Decoded<u16> {
    Reader::new(body).u16("seq")
}

/// What is held against one life at one incarnation. As an accusation: "we could not reach it", by
/// all accusers that the sender knows. As a verdict: "enough of us accused it, it has failed", by as
/// many as that needs. Whoever knows the member needs no more; who does not finds a fingerprint that
/// differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The first bytes of ids, of the subject and of each accuser.
    pub subject: u64,
    pub incarnation: u64,
    pub accusers: Vec<(u64, Cause)>,
}

impl Charge {
    pub fn decode(body: &[u8]) -> Decoded<Charge> {
        let mut r = Reader::new(body);
        let (subject, incarnation) = (r.u64("subject")?, r.seq("incarnation")?);
        let mut accusers = Vec::new();
        for _ in 0..r.count(ACCUSERS_MAX, 9, "accusers")? {
            accusers.push((r.u64("accuser")?, Cause::read(r.u8("cause")?)?));
        }
        Ok(Charge { subject, incarnation, accusers })
    }

    /// Nobody accuses: whoever sends it has forgotten the subject and asks it to announce itself.
    pub fn is_recall(&self) -> bool {
        self.accusers.is_empty()
    }
}

pub fn put_accusation(out: &mut Vec<u8>, subject: NodeId, incarnation: u64, accusers: &Accusers) {
    put_charge(out, kind::ACCUSATION, subject, incarnation, accusers, ACCUSERS_MAX);
}

/// With as many of the accusers as a verdict needs.
pub fn put_verdict(
    out: &mut Vec<u8>,
    subject: NodeId,
    incarnation: u64,
    accusers: &Accusers,
    needed: usize,
) {
    put_charge(out, kind::VERDICT, subject, incarnation, accusers, needed);
}

fn put_charge(
    out: &mut Vec<u8>,
    kind: u8,
    subject: NodeId,
    incarnation: u64,
    accusers: &Accusers,
    at_most: usize,
) {
    put_frame(out, kind, |out| {
        put_u64(out, subject.short());
        put_varint(out, incarnation);
        put_varint(out, accusers.len().min(at_most) as u64);
        for (accuser, cause) in accusers.iter().take(at_most) {
            put_u64(out, accuser.short());
            out.push(cause as u8);
        }
    });
}

/// "I am here, and nothing else about me changed": the owner's checksum, which says that the facts
/// are those that everybody who knows the member has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuttal {
    pub subject: u64,
    pub incarnation: u64,
    pub sum: u64,
}

impl Rebuttal {
    pub fn put(self, out: &mut Vec<u8>) {
        let (frame, len) = self.frame();
        out.extend_from_slice(&frame[..len]);
    }

    /// The frame, and how many of the bytes it has: it is kept where it can be sent as it is.
    pub fn frame(self) -> ([u8; 28], usize) {
        let mut frame = [0; 28];
        frame[0] = kind::REBUTTAL;
        frame[2..10].copy_from_slice(&self.subject.to_le_bytes());
        let (mut at, mut rest) = (10, self.incarnation);
        while rest >= 0x80 {
            frame[at] = rest as u8 | 0x80;
            (at, rest) = (at + 1, rest >> 7);
        }
        frame[at] = rest as u8;
        frame[at + 1..at + 9].copy_from_slice(&self.sum.to_le_bytes());
        frame[1] = (at + 7) as u8;
        (frame, at + 9)
    }

    /// Whom it is about, and what it says.
    pub fn said(self) -> (u64, Precedence) {
        (self.subject, Precedence::new(self.incarnation, Standing::Alive, self.sum))
    }

    #[inline]
    pub fn decode(body: &[u8]) -> Decoded<Rebuttal> {
        let mut r = Reader::new(body);
        Ok(Rebuttal {
            subject: r.u64("subject")?,
            incarnation: r.seq("incarnation")?,
            sum: r.u64("record checksum")?,
        })
    }
}

/// One member's heartbeat counter, as in the list of a `HEARTBEATS` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The first bytes of the member's id.
    pub member: u64,
    /// The incarnation that the member's process began with: its counter begins anew with each.
    pub generation: u64,
    pub count: u64,
}

impl Beat {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.member);
        put_varint(out, self.generation);
        put_varint(out, self.count);
    }
}

/// The counters of a `HEARTBEATS` frame, read as they are asked for. Stops with an error at the
/// first that does not fit.
pub struct Beats<'a> {
    reader: Reader<'a>,
}

impl<'a> Beats<'a> {
    pub fn new(body: &'a [u8]) -> Beats<'a> {
        Beats { reader: Reader::new(body) }
    }

    fn read(&mut self) -> Decoded<Beat> {
        Ok(Beat {
            member: self.reader.u64("member")?,
            generation: self.reader.seq("generation")?,
            count: self.reader.seq("count")?,
        })
    }
}

impl Iterator for Beats<'_> {
    type Item = Decoded<Beat>;

    fn next(&mut self) -> Option<Decoded<Beat>> {
        if self.reader.is_empty() {
            return None;
        }
        let beat = self.read();
        if beat.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(beat)
    }
}
