//! Decides what a node says about itself and how those cold bytes are kept once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};

use crate::base::clocks::Hlc;
use crate::base::id::NodeId;

/// The cold facts of one member: decoded once, shared by content between all nodes of a process.
#[derive(Debug, PartialEq)]
pub struct Facts {
    /// As the owner encoded them; forwarded unchanged, unknown fields included.
    pub bytes: Box<[u8]>,
    pub id: NodeId,
    pub name: Box<str>,
    pub addr: SocketAddr,
    pub boot: u64,
    /// When the cluster accepted this life: earlier ones win a contested name.
    pub accepted: Hlc,
    pub replaces: Option<NodeId>,
    pub tags: BTreeMap<Box<str>, Box<str>>,
}

/// Interns facts by content. Touched only when an update is fresh, so the lock is never hot.
#[derive(Clone, Debug, Default)]
pub struct FactStore {
    interned: Arc<Mutex<BTreeMap<u128, Weak<Facts>>>>,
}
