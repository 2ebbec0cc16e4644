//! Decides how long a key is held: renewed while its holder lives, deleted when it lets go.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cluster::{Keyspace, Token};
use crate::errors::Error;

/// Renewals in the lifetime of a key: two may fail.
const RENEWALS: u32 = 3;

/// A key that lives as long as its holder: dropped, released, or the node left, it is deleted; with the
/// process gone, it ends after its lifetime. It says that the holder was there of late, and is no lock:
/// two sides of a split may both hold the key, and which of them stays is told as a conflict.
#[derive(Debug)]
pub struct Lease {
    /// Dropped: let go.
    held: Option<oneshot::Sender<()>>,
    renewing: JoinHandle<Result<(), Error>>,
}

impl Keyspace {
    /// Sets a key and keeps it until the lease is dropped; without its holder it lives for `ttl`.
    pub async fn lease(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Duration,
    ) -> Result<Lease, Error> {
        let (key, value) = (key.as_ref().to_vec(), value.as_ref().to_vec());
        let token = self.set(&key, &value).ttl(ttl).await?;
        let (held, dropped) = oneshot::channel();
        let renewing = tokio::spawn(hold(self.clone(), key, value, ttl, token, dropped));
        Ok(Lease { held: Some(held), renewing })
    }
}

impl Lease {
    /// Deletes the key; done when that is safe on this node.
    pub async fn release(mut self) -> Result<(), Error> {
        self.held.take();
        (&mut self.renewing).await.unwrap_or(Err(Error::Stopped))
    }
}

async fn hold(
    space: Keyspace,
    key: Vec<u8>,
    value: Vec<u8>,
    ttl: Duration,
    mut last: Token,
    mut dropped: oneshot::Receiver<()>,
) -> Result<(), Error> {
    let mut leaving = space.node().leaving();
    loop {
        tokio::select! {
            _ = &mut dropped => break,
            _ = leaving.wait_for(|leaving| *leaving) => break,
            () = tokio::time::sleep(ttl / RENEWALS) => {}
        }
        match space.set(&key, &value).ttl(ttl).await {
            Ok(token) => last = token,
            Err(Error::Stopped) => return Err(Error::Stopped),
            // A disk may come back before the key has ended.
            Err(error) => tracing::warn!("a lease was not renewed: {error}"),
        }
    }
    // Somebody else's key by now is not ours to delete.
    let standing = space.entry(&key).await?;
    if standing.is_some_and(|entry| entry.value.is_some() && last.dots.contains(&entry.dot)) {
        space.delete(&key).await?;
    }
    Ok(())
}
