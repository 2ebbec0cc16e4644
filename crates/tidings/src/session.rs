//! Decides how a session goes with a program's reads and writes: each waits until the node has what
//! the session has seen, and the session remembers what came of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::session::Session;
use tidings_proto::io::{Command, CommandError};
use tidings_proto::node::EntryView;
use tidings_proto::state::crdt::Merged;

use crate::cluster::{Keyspace, Token};
use crate::errors::Error;

/// How long a node is given to get what the session has seen.
pub const SESSION_WAIT: Duration = Duration::from_secs(1);

/// A keyspace through the eyes of a session: it reads its writes, and never goes back behind what it
/// has read, whichever nodes it asks. A node that lacks what the session has seen gets it from the
/// writer, or says what is missing ([`CommandError::Stale`]).
///
/// ```no_run
/// # async fn example(a: tidings::Node, b: tidings::Node) -> Result<(), tidings::Error> {
/// let mut session = tidings::Session::new();
/// a.keyspace("profiles").with(&mut session).set("ada", "Countess").await?;
/// let there = b.keyspace("profiles").with(&mut session).get("ada").await?;
/// assert_eq!(there.as_deref(), Some(&b"Countess"[..]));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct InSession<'s> {
    keyspace: Keyspace,
    session: &'s mut Session,
    wait: Duration,
}

impl Keyspace {
    /// Reads and writes with a session.
    pub fn with<'s>(&self, session: &'s mut Session) -> InSession<'s> {
        InSession { keyspace: self.clone(), session, wait: SESSION_WAIT }
    }
}

impl InSession<'_> {
    /// How long to wait for what the session has seen. Default: one second.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    pub async fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let entry = self.entry(key).await?;
        Ok(entry.and_then(|e| e.value).map(|value| value.to_vec()))
    }

    pub async fn merged(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Arc<Merged>>, Error> {
        Ok(self.entry(key).await?.and_then(|e| e.merged))
    }

    /// The entry with its stamp and positions; a deleted one has no value.
    pub async fn entry(&mut self, key: impl AsRef<[u8]>) -> Result<Option<EntryView>, Error> {
        self.catch_up().await?;
        let (key, session) = (key.as_ref().to_vec(), self.session.clone());
        let wanted = key.clone();
        let read = self.keyspace.read(move |view, name| {
            let (entry, mut session) = (view.entry(name, &key), session);
            entry.iter().try_for_each(|entry| view.remember(entry, &mut session))?;
            Ok(((entry, view.counts_reads(name)), session))
        });
        let (entry, counted) = self.has_read(read.await?)?;
        if counted {
            self.keyspace.count_read(wanted).await?;
        }
        Ok(entry)
    }

    /// All live entries whose key starts with `prefix`, in the order of keys.
    pub async fn list(&mut self, prefix: impl AsRef<[u8]>) -> Result<Vec<EntryView>, Error> {
        self.catch_up().await?;
        let (prefix, session) = (prefix.as_ref().to_vec(), self.session.clone());
        let read = self.keyspace.read(move |view, name| {
            let entries: Vec<EntryView> = view.entries(name, &prefix).collect();
            let mut session = session;
            entries.iter().try_for_each(|entry| view.remember(entry, &mut session))?;
            Ok((entries, session))
        });
        self.has_read(read.await?)
    }

    pub async fn set(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Token, Error> {
        self.write(vec![(key.as_ref().to_vec(), Some(value.as_ref().to_vec()))]).await
    }

    pub async fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<Token, Error> {
        self.write(vec![(key.as_ref().to_vec(), None)]).await
    }

    /// Writes several keys as one atomic group; `None` deletes.
    pub async fn write(&mut self, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<Token, Error> {
        self.catch_up_to_write().await?;
        let token = self.keyspace.write(writes).await?;
        Ok(self.has_written(token))
    }

    /// Does something to a value that merges.
    pub async fn update(
        &mut self,
        key: impl AsRef<[u8]>,
        kind: Kind,
        operation: Operation,
    ) -> Result<Token, Error> {
        self.catch_up_to_write().await?;
        let token = self.keyspace.update(key, kind, operation).await?;
        Ok(self.has_written(token))
    }

    /// Waits until this node has all that the session has seen.
    pub async fn catch_up(&mut self) -> Result<(), Error> {
        let keyspace = self.keyspace.name().to_owned();
        let (session, wait) = (self.session.clone(), self.wait);
        self.keyspace.node.command(Command::CatchUp { keyspace, session, wait }).await.map(|_| ())
    }

    /// A first write makes a keyspace known.
    async fn catch_up_to_write(&mut self) -> Result<(), Error> {
        if !self.session.has_room(self.keyspace.node.id()) {
            return Err(Error::Refused(CommandError::SessionFull));
        }
        match self.catch_up().await {
            Err(Error::Refused(CommandError::UnknownKeyspace { .. })) => Ok(()),
            other => other,
        }
    }

    fn has_read<R>(&mut self, (read, session): (R, Session)) -> Result<R, Error> {
        *self.session = session;
        self.session.used(unix_ms());
        Ok(read)
    }

    fn has_written(&mut self, token: Token) -> Token {
        self.session.used(unix_ms());
        for &dot in &token.dots {
            self.session.add(dot); // there is room, see above
        }
        token
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
