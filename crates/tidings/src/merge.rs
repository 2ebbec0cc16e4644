//! Decides how a program's own values merge: concurrent writes stay side by side in the cluster, as
//! siblings, and are merged where they are read and written, outside the core and outside its loop.
//!
//! Nobody writes a merge back by itself, so it makes no difference which nodes have the program's
//! merge, or which read first: equal siblings give equal values. A write merges what it was given with
//! what is here and replaces just that; what came meanwhile stays beside it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::io::{Alarm, Command};
use tidings_proto::limits::VALUE_BYTES_MAX;
use tidings_proto::state::crdt::Merged;

use crate::cluster::{Keyspace, Token};
use crate::driver::Order;
use crate::errors::Error;

/// A program's own merge of two values.
pub(crate) type Hook = Arc<dyn Fn(&[u8], &[u8]) -> Vec<u8> + Send + Sync>;

/// The merges of one node, by keyspace, and how often one failed.
#[derive(Default)]
pub(crate) struct Hooks {
    by_keyspace: BTreeMap<String, Hook>,
    failed: AtomicU64,
}

impl Hooks {
    pub(crate) fn new(by_keyspace: BTreeMap<String, Hook>) -> Hooks {
        Hooks { by_keyspace, failed: AtomicU64::new(0) }
    }

    pub(crate) fn of(&self, keyspace: &str) -> Option<&Hook> {
        self.by_keyspace.get(keyspace)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Keyspace {
    pub(crate) fn hook(&self) -> Option<&Hook> {
        self.node.hooks().of(&self.name)
    }

    /// The one value of all siblings; without a hook, the value as it is.
    pub(crate) async fn resolved(
        &self,
        hook: &Hook,
        key: &[u8],
        merged: Option<&Merged>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(merged) = merged else { return Ok(None) };
        let mut siblings = merged.siblings();
        let Some(first) = siblings.next() else { return Ok(None) };
        let mut value = first.to_vec();
        for sibling in siblings {
            value = self.merge(hook, key, &value, sibling).await?;
        }
        Ok(Some(value))
    }

    /// Merges a value into what is here, and writes that in place of exactly what it was merged with.
    pub(crate) async fn set_merged(
        &self,
        hook: &Hook,
        key: &[u8],
        value: Vec<u8>,
    ) -> Result<Token, Error> {
        let name = (self.name.clone(), key.to_vec());
        let here = self.node.query(move |view, _| view.entry(&name.0, &name.1)).await?;
        let merged = here.and_then(|entry| entry.merged);
        let value = match self.resolved(hook, key, merged.as_deref()).await? {
            Some(here) => self.merge(hook, key, &here, &value).await?,
            None => value,
        };
        let read = Some(merged.map(|merged| merged.context().clone()).unwrap_or_default());
        self.written(Command::Update {
            keyspace: self.name.clone(),
            key: key.to_vec(),
            kind: Kind::Register,
            operation: Operation::Assign { value, read },
        })
        .await
    }

    /// Runs the hook; what it does wrong is told, counted, and ends there.
    async fn merge(&self, hook: &Hook, key: &[u8], a: &[u8], b: &[u8]) -> Result<Vec<u8>, Error> {
        let reason = match catch_unwind(AssertUnwindSafe(|| hook(a, b))) {
            Ok(value) if value.len() <= VALUE_BYTES_MAX => return Ok(value),
            Ok(value) => {
                format!("the merge gave {} bytes: expected at most {VALUE_BYTES_MAX}", value.len())
            }
            Err(panic) => {
                let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
                let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
                format!("the merge panicked: {}", said.as_deref().unwrap_or("it did not say why"))
            }
        };
        self.node.hooks().failed.fetch_add(1, Ordering::Relaxed);
        let alarm = Alarm::MergeHook {
            keyspace: self.name.as_str().into(),
            key: key.into(),
            reason: reason.as_str().into(),
        };
        self.node.order(Order::Report(alarm)).await?;
        Err(Error::Merge { keyspace: self.name.clone(), key: key.to_vec(), reason })
    }
}
