//! Decides what a keyspace is: declarations travel as entries of a reserved keyspace, so that all
//! nodes come to the same, and are looked up where a write or a read asks.

use std::collections::BTreeSet;
use std::time::Duration;

use super::writes::may_last;
use super::{Node, OWN, reply};
use crate::base::operation::Kind;
use crate::base::policy::{Consistency, DEFAULT_KEYSPACE, POLICIES, Policy, Values, is_reserved};
use crate::base::time::Now;
use crate::io::{Alarm, CommandError, CommandId, Conflict, Event, Outbox, Reply};
use crate::limits::{KEYSPACE_BYTES_MAX, KEYSPACES_MAX};
use crate::state::flag;

impl Node {
    /// What is declared of a keyspace, or the default.
    pub(super) fn policy(&self, keyspace: &str) -> Policy {
        self.declared(keyspace).unwrap_or_default()
    }

    pub(super) fn declared(&self, keyspace: &str) -> Option<Policy> {
        let kept = self.store.find(POLICIES, keyspace.as_bytes())?;
        Policy::read(std::str::from_utf8(kept.entry.value.as_deref()?).ok()?)
    }

    /// Whether anybody has declared it or written to it, as far as this node knows.
    pub(super) fn knows_keyspace(&self, name: &str) -> bool {
        name == DEFAULT_KEYSPACE
            || is_reserved(name)
            || name == flag::KEYSPACE
            || self.store.has_keyspace(name)
            || self.declared(name).is_some()
    }

    pub(super) fn may_read(&self, keyspace: &str) -> Result<(), CommandError> {
        if !self.knows_keyspace(keyspace) {
            return Err(CommandError::UnknownKeyspace { name: keyspace.to_owned() });
        }
        let causal = || self.policy(keyspace).consistency == Consistency::Causal;
        if self.store.is_early(Some(keyspace)) || !self.sessions.synced && causal() {
            return Err(CommandError::NotSynced);
        }
        Ok(())
    }

    pub(super) fn policies(&self) -> Vec<(String, Option<Policy>)> {
        let written = self.store.keyspaces().filter(|name| !is_reserved(name));
        let mut names: BTreeSet<String> = written.map(|name| name.to_string()).collect();
        let declared = self.store.with_prefix(POLICIES, b"");
        names.extend(declared.filter_map(|k| String::from_utf8(k.entry.key.to_vec()).ok()));
        names.insert(DEFAULT_KEYSPACE.to_owned());
        let policy = |name: String| {
            let policy = self.declared(&name);
            (name, policy)
        };
        names.into_iter().map(policy).collect()
    }

    /// Whether a user may write values of this kind (`None`: plain ones) to a keyspace.
    pub(super) fn policy_admits(
        &self,
        keyspace: &str,
        kind: Option<Kind>,
    ) -> Result<(), CommandError> {
        if is_reserved(keyspace) {
            return Err(CommandError::Reserved { keyspace: keyspace.to_owned() });
        }
        match self.policy(keyspace).values {
            values if values.admit(kind) => Ok(()),
            Values::Any | Values::Plain => {
                Err(CommandError::Policy { keyspace: keyspace.to_owned(), holds: "lww" })
            }
            Values::Merging(kind) => {
                Err(CommandError::Policy { keyspace: keyspace.to_owned(), holds: kind.as_str() })
            }
        }
    }

    pub(super) fn declare(
        &mut self,
        command: CommandId,
        keyspace: String,
        policy: Policy,
        now: Now,
        out: &mut Outbox,
    ) {
        let writes = vec![(keyspace.clone().into_bytes(), Some(policy.to_string().into_bytes()))];
        let may = may_declare(&keyspace, policy).and_then(|()| self.may_accept(POLICIES, &writes));
        if let Err(error) = may {
            self.stats.writes_refused += 1;
            return reply(out, command, Err(error));
        }
        let entries = self.number(POLICIES, writes, now.wall_ms);
        self.make_durable(command, entries, None, now, out);
    }

    pub(super) fn expect_policy(
        &mut self,
        keyspace: String,
        policy: Policy,
    ) -> Result<Reply, CommandError> {
        may_declare(&keyspace, policy)?;
        if self.writes.expected.len() >= KEYSPACES_MAX {
            return Err(CommandError::Full { what: "keyspaces", max: KEYSPACES_MAX });
        }
        self.writes.expected.push((keyspace, policy));
        Ok(Reply::Done)
    }

    /// Declares what the settings ask for and nobody has declared.
    pub(super) fn run_policies(&mut self, now: Now, out: &mut Outbox) {
        if self.writes.expected.is_empty() || !self.sessions.synced || self.writes.refused() {
            return;
        }
        for (keyspace, policy) in std::mem::take(&mut self.writes.expected) {
            match self.declared(&keyspace) {
                None => self.declare(OWN, keyspace, policy, now, out),
                Some(stands) if stands != policy => {
                    let alarm = Alarm::PolicyConflict { keyspace, stands };
                    self.emit_event(Event::Alarm(alarm), out);
                }
                Some(_) => {}
            }
        }
    }

    /// Two who did not know of each other said different things of a keyspace.
    pub(super) fn declared_apart(&self, conflict: &Conflict, out: &mut Outbox) {
        if *conflict.keyspace != *POLICIES {
            return;
        }
        let Ok(keyspace) = String::from_utf8(conflict.key.to_vec()) else { return };
        let text = conflict.value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
        let stands = self.policy(&keyspace);
        if text.and_then(Policy::read) != Some(stands) {
            self.emit_event(Event::Alarm(Alarm::PolicyConflict { keyspace, stands }), out);
        }
    }
}

fn may_declare(keyspace: &str, policy: Policy) -> Result<(), CommandError> {
    may_last(policy.lifetime_ms.map(Duration::from_millis))?;
    if keyspace.is_empty() || keyspace.len() > KEYSPACE_BYTES_MAX {
        return Err(CommandError::Keyspace { name: keyspace.to_owned() });
    }
    if is_reserved(keyspace) {
        return Err(CommandError::Reserved { keyspace: keyspace.to_owned() });
    }
    Ok(())
}
