//! Decides how a newcomer learns who else came with it: it asks the member that let it in again, for
//! those after it. So a thousand that join at once need not be told of each other by rumours.

use std::net::SocketAddr;
use std::time::Duration;

use super::Node;
use super::asking::{Ask, Asked};
use super::packets::Via;
use crate::anti_entropy::digest::{MemberDigest, MembersEnd};
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::flow::SESSION_TIMEOUT;
use crate::io::Outbox;
use crate::membership::record::RecordHead;
use crate::wire::codec::DecodeError;
use crate::wire::frame::{Frames, kind};

/// A newcomer asks so long after it was let in, and then after twice as long each time.
const GATHERS: Duration = Duration::from_millis(50);
/// It asks so often, as long as somebody came meanwhile. Who comes later is told of by rumours.
const TIMES: u32 = 3;

/// What a newcomer knows of the table of the member that let it in.
#[derive(Debug)]
pub(super) struct Arrival {
    through: NodeId,
    addr: SocketAddr,
    /// All before this place.
    upto: u64,
    asked: u32,
    /// When to ask; never while it is being answered.
    at: Time,
}

impl Arrival {
    pub(super) fn next_deadline(&self) -> Time {
        self.at
    }
}

impl Node {
    /// This node was let in and has read the table up to this place.
    pub(super) fn arrived(&mut self, through: NodeId, addr: SocketAddr, upto: u64, now: Time) {
        let at = now + GATHERS;
        self.joins.arrival = Some(Arrival { through, addr, upto, asked: 0, at });
    }

    /// Whether others hear of a new member from here. Those that came the same way as this node ask
    /// there themselves.
    pub(super) fn tells_of_newcomer(&self, via: Via) -> bool {
        let let_in = self.joins.arrival.as_ref().map(|arrival| arrival.through);
        match via {
            Via::Joining => false,
            Via::Rumour(from) => let_in != Some(from),
            Via::Session => true,
        }
    }

    pub(super) fn run_arrival(&mut self, now: Time, out: &mut Outbox) {
        let Some(arrival) = self.joins.arrival.as_mut().filter(|arrival| arrival.at <= now) else {
            return;
        };
        arrival.asked += 1;
        arrival.at = Time::NEVER;
        let (peer, addr, from) = (arrival.through, arrival.addr, arrival.upto);
        self.ask_who_came(peer, addr, from, out);
    }

    fn ask_who_came(&mut self, peer: NodeId, addr: SocketAddr, from: u64, out: &mut Outbox) {
        let start = self.begin(out);
        MemberDigest { cursor: from, prints: vec![0] }.put(&mut out.bytes);
        let asked = Asked { ask: Ask::WhoCame { from }, peer: Some(peer), addr };
        if self.ask(start, asked, SESSION_TIMEOUT, out).is_none() {
            self.joins.arrival = None;
        }
    }

    /// Members after a place in the peer's table, or a page of them.
    pub(super) fn who_came_answered(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        from: u64,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            match kind {
                kind::MEMBER => {
                    self.stats.session_records_received += 1;
                    self.apply_head(RecordHead::decode(body)?, Via::Joining, now, out)?;
                }
                kind::MEMBERS_END => {
                    let end = MembersEnd::decode(body)?;
                    if end.next.is_some_and(|next| next <= from) {
                        return Err(DecodeError::Invalid("member page"));
                    }
                    match end.next {
                        Some(next) => self.ask_who_came(peer, addr, next, out),
                        None => self.ask_again_later(from, end.upto, now.mono),
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(DecodeError::Truncated("member page"))
    }

    /// As long as somebody came, somebody else may.
    fn ask_again_later(&mut self, from: u64, upto: u64, now: Time) {
        let Some(arrival) = &mut self.joins.arrival else { return };
        if upto > from && arrival.asked < TIMES {
            arrival.upto = upto;
            arrival.at = now + GATHERS * (1 << arrival.asked);
        } else {
            self.joins.arrival = None;
        }
    }
}
