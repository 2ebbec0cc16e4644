//! Decides how input reaches the parts and what leaves: the one state machine, owner of the
//! deadline. (SKELETON: the surface is final, the inside is being written.)

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clocks::{Dot, Hlc};
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::config::Config;
use crate::io::{Input, Member, Outbox, Stats, UserEvent};
use crate::membership::facts::{FactStore, Facts};

/// Who this node is in this life.
#[derive(Clone, Debug)]
pub struct Identity {
    pub id: NodeId,
    pub name: String,
    /// Address that others reach this node at.
    pub addr: SocketAddr,
    pub tags: Vec<(String, String)>,
    /// Drawn at random at every start.
    pub boot: u64,
    /// The identity that this one takes over from (a cloned or retired one).
    pub replaces: Option<NodeId>,
}

/// What the driver kept: the pairs of all [`Persist`](crate::io::Persist) transactions, and for
/// simulations members known from the start.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Live members at incarnation 1; shared by all nodes of a simulation.
    pub members: Option<Arc<[Arc<Facts>]>>,
}

pub struct Node {
    stats: Stats,
}

impl Node {
    /// `config` must have passed [`Config::check`].
    pub fn new(
        _config: Config,
        _identity: Identity,
        _seed: [u8; 32],
        _recovered: Snapshot,
        _facts: FactStore,
        _now: Now,
    ) -> Result<Node, crate::io::CommandError> {
        Ok(Node { stats: Stats::default() })
    }

    /// The only way in. Call with [`Input::Tick`] once after `new`.
    pub fn handle(&mut self, _now: Now, _input: Input<'_>, _out: &mut Outbox) {}

    /// The only timer: call `handle` with [`Input::Tick`] at this time.
    pub fn next_deadline(&self) -> Time {
        Time::NEVER
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub fn view(&self) -> View<'_> {
        View { node: self }
    }
}

/// Read-only access for HTTP, metrics and tests.
pub struct View<'a> {
    node: &'a Node,
}

/// An entry as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryView {
    pub key: Arc<[u8]>,
    /// `None`: deleted.
    pub value: Option<Arc<[u8]>>,
    pub stamp: Hlc,
    pub dot: Dot,
    /// Position in this node's apply order: rises with every change here.
    pub applied_index: u64,
    /// Position of the key's first appearance here.
    pub created_index: u64,
}

/// Why a member is doubted or gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub subject: NodeId,
    pub incarnation: u64,
    /// Names (or ids) of the accusers, each with "refused" or "silence".
    pub accusers: Vec<(String, &'static str)>,
    pub first_accused: Time,
    pub decided: Option<Time>,
    /// What ended it: "verdict", "refuted", "unconfirmed", "open", "told".
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    pub last_heard: Option<Time>,
    pub rtt: Option<Duration>,
}

impl<'a> View<'a> {
    pub fn me(&self) -> Member { unimplemented!() }
    /// All listed members, this one included, in no particular order.
    pub fn members(&self) -> impl Iterator<Item = Member> + 'a { std::iter::empty() }
    pub fn member(&self, _name: &str) -> Option<Member> { None }
    pub fn member_by_id(&self, _id: NodeId) -> Option<Member> { None }
    /// (alive incl. suspect and this node, failed, left)
    pub fn counts(&self) -> (usize, usize, usize) { (0, 0, 0) }
    pub fn evidence(&self, _id: NodeId) -> Option<Evidence> { None }
    pub fn contact(&self, _id: NodeId) -> Option<Contact> { None }
    pub fn entry(&self, _keyspace: &str, _key: &[u8]) -> Option<EntryView> { None }
    /// Live entries whose key starts with `prefix`, in key order.
    pub fn entries(&self, _keyspace: &str, _prefix: &[u8]) -> impl Iterator<Item = EntryView> + 'a { std::iter::empty() }
    pub fn keyspaces(&self) -> Vec<Arc<str>> { Vec::new() }
    /// Live entries and tombstones.
    pub fn entry_counts(&self) -> (usize, usize) { (0, 0) }
    /// Rises with every applied change of the state; never 0.
    pub fn apply_index(&self) -> u64 { 1 }
    /// Rises with every change of membership; never 0.
    pub fn member_index(&self) -> u64 { 1 }
    pub fn vector(&self) -> Vec<(NodeId, u64)> { Vec::new() }
    /// The events of the window, oldest first per sender.
    pub fn events(&self) -> Vec<Arc<UserEvent>> { Vec::new() }
    /// (membership, state), 128 bits each.
    pub fn fingerprints(&self) -> (u128, u128) { (0, 0) }
    pub fn local_health(&self) -> u32 { 0 }
    /// Has closed a session with a peer, or is alone by choice: acknowledges shared writes.
    pub fn synced(&self) -> bool { false }
    pub fn writes_refused(&self) -> bool { false }
    /// Expected time for news to reach all.
    pub fn spread_time(&self) -> Duration { Duration::ZERO }
    pub fn rumours_waiting(&self) -> usize { 0 }
    pub fn seeds(&self) -> Vec<SocketAddr> { Vec::new() }
    pub fn config(&self) -> &'a Config { unimplemented!() }
    pub fn left(&self) -> bool { let _ = self.node; false }
}
