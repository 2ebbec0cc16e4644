//! Decides what happens when this node's identity turns out to be taken, retired or rolled back:
//! a new one is drawn, made durable, and the core starts over with it on the same state.

use std::time::Duration;

use tidings_proto::io::{Command, CommandError, Input, JoinFailure, Status};
use tidings_proto::membership::facts::FactStore;
use tidings_proto::{NodeId, Snapshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Driver;
use crate::disk::Recovered;

/// The way to a new identity when the old one turned out to be taken.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Renewal {
    None {
        last: Option<Instant>,
    },
    /// Not before this instant, so that no peer makes us renew in a loop.
    Due(Instant),
    /// The writer makes it durable; the core stands still.
    Storing,
}

impl Driver {
    pub(super) fn plan_renewal(&mut self) {
        if let Renewal::None { last } = self.renewal {
            let now = Instant::now();
            self.renewal = Renewal::Due(last.map_or(now, |at| now.max(at + RENEWAL_INTERVAL)));
        }
    }

    /// Draws a new identity and makes it durable; the core stands still until it is.
    pub(super) fn renew(&mut self) {
        let mut id = [0; 16];
        if let Err(e) = getrandom::fill(&mut id) {
            return self.end(Some(format!("no randomness for a new identity: {e}")));
        }
        let (id, old) = (NodeId(id), self.identity.id);
        tracing::warn!(%old, new = %id, "this identity is taken: starting over with a new one");
        for (_, waiting) in std::mem::take(&mut self.replies) {
            let _ = waiting.reply.send(Err(identity_taken()));
        }
        self.answers.clear();
        self.requests.abort_all();
        self.renewal = Renewal::Storing;
        match &self.disk {
            Some(disk) => disk.renew(id, old),
            None => self.restart(Recovered { id, replaces: Some(old), pairs: Vec::new() }),
        }
    }

    /// Puts a new core in the place of the old one, over the same state.
    pub(super) fn restart(&mut self, recovered: Recovered) {
        self.renewal = Renewal::None { last: Some(Instant::now()) };
        let mut seed = [0; 32];
        let mut boot = [0; 8];
        if let Err(e) = getrandom::fill(&mut seed).and_then(|()| getrandom::fill(&mut boot)) {
            return self.end(Some(format!("no randomness for a new identity: {e}")));
        }
        let old = std::mem::replace(&mut self.identity.id, recovered.id);
        self.identity.replaces = recovered.replaces;
        self.identity.boot = u64::from_le_bytes(boot);
        let view = self.core.view();
        self.identity.tags = view.me().tags.into_iter().collect();
        let others = view.members().filter(|m| m.status == Status::Alive && m.id != old);
        let mut contacts: Vec<_> = others.map(|m| m.addr).take(CONTACTS_MAX).collect();
        contacts.extend(&self.seeds);
        contacts.retain(|&addr| addr != self.identity.addr);
        let core = tidings_proto::Node::new(
            view.settings().clone(),
            self.identity.clone(),
            seed,
            Snapshot { pairs: recovered.pairs, members: None },
            FactStore::default(),
            self.clock.now(),
        );
        match core {
            Ok(core) => self.core = core,
            Err(e) => return self.end(Some(format!("no start under a new identity: {e}"))),
        }
        self.id.send_replace(recovered.id);
        self.snapshot = None;
        self.audience.restart();
        self.snapshot_wanted = true;
        self.requests = JoinSet::new();
        self.feed(Input::Tick);
        let seeds = self.seeds.clone();
        self.submit(Command::SetSeeds { addrs: seeds }, None);
        for command in std::mem::take(&mut self.expected) {
            self.submit(command, None);
        }
        self.submit(Command::Join { addrs: contacts, retry: true }, None);
    }
}

pub(super) fn identity_taken() -> CommandError {
    CommandError::JoinFailed { addr: None, reason: JoinFailure::IdentityTaken }
}

const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);
/// Members of the old life's view that the new one joins, beside the seeds.
const CONTACTS_MAX: usize = 8;
