//! Decides what a request of ours can ask for, what its bytes count as, and what it keeps until it is
//! answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::Node;
use super::forgetting::Learnt;
use super::packets::Spent;
use super::reconciling::Comparison;
use crate::base::clocks::Dot;
use crate::base::id::NodeId;
use crate::base::time::Now;
use crate::dissemination::trail::Trail;
use crate::flow::SESSION_TIMEOUT;
use crate::io::{Outbox, RequestError, RequestId};
use crate::membership::record::Precedence;
use crate::state::entry::Advert;
use crate::state::store::EntrySlot;
use crate::wire::frame::kind;

/// Large entries fetched at once; the others come with a session.
pub(super) const FETCHES_MAX: usize = 16;

/// A request of ours and what to do with its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub ask: Ask,
    /// Whom we think we are talking to; unknown when joining an address.
    pub peer: Option<NodeId>,
    pub addr: SocketAddr,
}

#[derive(Debug)]
pub(super) enum Ask {
    StreamProbe,
    Join {
        attempt: u64,
        cursor: u64,
    },
    /// Members after this place of the peer's table.
    WhoCame {
        from: u64,
    },
    /// Members that differ; `sent` collects what the peer has, to push what it lacks.
    Members {
        cursor: u64,
        prints: Vec<u64>,
        sent: BTreeMap<NodeId, Precedence>,
    },
    Push,
    Vectors,
    Delta(Pages),
    Compare {
        /// With something to estimate by.
        hinted: bool,
    },
    Exchange(Box<Comparison>),
    /// The whole state, by one that was away.
    Learn(Learnt),
    Fetch {
        dot: Dot,
        /// How the announcement came.
        trail: Trail,
    },
    /// Again what memory has lost.
    Mend {
        slot: EntrySlot,
    },
}

/// What came of the pages of a session so far.
#[derive(Debug)]
pub(super) struct Pages {
    pub exchange: Exchange,
    pub count: u32,
    /// Something could not be stored.
    pub holes: bool,
    /// Groups of which parts came and wait for others; as bounded as what is staged.
    pub groups: BTreeSet<(NodeId, u64)>,
}

/// Why entries are exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    Repair,
    Joining,
    /// Equal vectors, unequal entries: compare in full.
    Full,
    /// A user's session has seen what this node lacks.
    Reader,
}

impl Ask {
    /// What the bytes of the request are for.
    pub(super) fn spent(&self) -> Spent {
        match self {
            Ask::StreamProbe => Spent::Probe,
            Ask::Join { .. } | Ask::WhoCame { .. } => Spent::Join,
            Ask::Push => Spent::Delta,
            Ask::Compare { .. } | Ask::Exchange(_) => Spent::Sketch,
            Ask::Members { .. }
            | Ask::Vectors
            | Ask::Delta(_)
            | Ask::Learn(_)
            | Ask::Fetch { .. }
            | Ask::Mend { .. } => Spent::Digest,
        }
    }

    pub(super) fn is_session(&self) -> bool {
        matches!(
            self,
            Ask::Members { .. }
                | Ask::Vectors
                | Ask::Delta(_)
                | Ask::Learn(_)
                | Ask::Compare { .. }
                | Ask::Exchange(_)
        )
    }

    /// Its answer holds entries, which are taken from who has forgotten no more than we have. To learn
    /// is free of that.
    pub(super) fn is_about_state(&self) -> bool {
        matches!(self, Ask::Vectors | Ask::Delta(_) | Ask::Compare { .. } | Ask::Exchange(_))
    }
}

impl Node {
    /// A request ended without an answer: what waited for it goes on.
    pub(super) fn unanswered(
        &mut self,
        id: RequestId,
        asked: Asked,
        error: RequestError,
        now: Now,
        out: &mut Outbox,
    ) {
        self.stats.requests_failed += 1;
        match asked.ask {
            Ask::StreamProbe => self.stream_probe_answered(id, Err(error), now, out),
            Ask::Join { attempt, .. } => {
                self.join_failed(attempt, asked.addr, Node::join_error(error), now.mono, out);
            }
            Ask::Fetch { dot, .. } => {
                self.sessions.fetching.remove(&dot);
            }
            Ask::WhoCame { .. } => self.joins.arrival = None,
            Ask::Compare { .. } | Ask::Exchange(_) => self.sessions.comparing = None,
            Ask::Learn(_) => self.forgetting.learning_ended(),
            Ask::Members { .. } | Ask::Push | Ask::Vectors | Ask::Delta(_) | Ask::Mend { .. } => {}
        }
    }

    /// A peer has an entry that is too large for a packet: it is fetched.
    pub(super) fn advertised(&mut self, advert: &Advert<'_>, from: SocketAddr, out: &mut Outbox) {
        let known =
            self.store.vector().covers(advert.dot) || self.sessions.fetching.contains(&advert.dot);
        if known || self.sessions.fetching.len() >= FETCHES_MAX {
            return;
        }
        let start = self.begin(out);
        advert.put(&mut out.bytes, kind::FETCH);
        let asked = Asked {
            ask: Ask::Fetch { dot: advert.dot, trail: self.receipts.trail },
            peer: None,
            addr: from,
        };
        if self.ask(start, asked, SESSION_TIMEOUT, out).is_some() {
            self.stats.fetches += 1;
            self.sessions.fetching.insert(advert.dot);
        }
    }
}
