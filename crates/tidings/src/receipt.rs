//! Decides how a program waits until others have what it wrote or saw: for whom, for what, and for
//! how long.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use tidings_proto::base::clocks::{Dot, Hlc, Run};
use tidings_proto::io::{Awaited, Command, Receipt, Receipted, Reply};

use crate::cluster::{Keyspace, Node, Token};
use crate::errors::Error;

/// A wait that begins when it is awaited. It ends with who has it, or with
/// [`CommandError::NotEnough`](crate::CommandError::NotEnough), which names who has not.
#[derive(Clone, Debug)]
#[must_use = "a wait begins when it is awaited"]
pub struct Waiting {
    node: Node,
    what: Awaited,
    need: Receipt,
    durable: bool,
    timeout: Option<Duration>,
}

impl Waiting {
    /// How long to wait, at most ten minutes; by default three times what news takes to reach all.
    pub fn timeout(mut self, timeout: Duration) -> Waiting {
        self.timeout = Some(timeout);
        self
    }

    /// Only members that have it on disk count.
    pub fn durable(mut self) -> Waiting {
        self.durable = true;
        self
    }
}

impl IntoFuture for Waiting {
    type Output = Result<Receipted, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Receipted, Error>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Waiting { node, what, need, durable, timeout } = self;
        Box::pin(async move {
            receipted(node.command(Command::Await { what, need, durable, timeout }).await?)
        })
    }
}

/// Which version of a key is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// This write, or one that superseded it.
    Write(Run),
    /// Any write with at least this stamp, also one that nobody has made yet.
    Stamp(Hlc),
}

impl From<&Token> for Version {
    fn from(token: &Token) -> Version {
        Version::Write(token.run())
    }
}

impl From<Dot> for Version {
    fn from(dot: Dot) -> Version {
        Version::Write(dot.into())
    }
}

impl From<Hlc> for Version {
    fn from(stamp: Hlc) -> Version {
        Version::Stamp(stamp)
    }
}

impl Node {
    /// Waits until so many members have applied these writes, whoever made them.
    pub fn receipt(&self, writes: impl Into<Run>, receipt: Receipt) -> Waiting {
        self.wait(Awaited::Writes(writes.into()), receipt)
    }

    /// Waits until all live members know the same members and hold the same state as this node.
    pub fn agreement(&self) -> Waiting {
        self.wait(Awaited::Agreement, Receipt::All)
    }

    /// Asks all members how the latest write of a key came to them; returns what came in time.
    pub async fn trace(
        &self,
        keyspace: impl Into<String>,
        key: impl AsRef<[u8]>,
        timeout: Option<Duration>,
    ) -> Result<Receipted, Error> {
        let (keyspace, key) = (keyspace.into(), key.as_ref().to_vec());
        receipted(self.command(Command::Trace { keyspace, key, timeout }).await?)
    }

    fn wait(&self, what: Awaited, need: Receipt) -> Waiting {
        Waiting { node: self.clone(), what, need, durable: false, timeout: None }
    }
}

impl Keyspace {
    /// Waits until this node has such a version of the key, and then until so many members have.
    pub fn wait_until(
        &self,
        key: impl AsRef<[u8]>,
        version: impl Into<Version>,
        receipt: Receipt,
    ) -> Waiting {
        let what = match version.into() {
            Version::Write(run) => Awaited::Writes(run),
            Version::Stamp(stamp) => {
                let (keyspace, key) = (self.name().to_owned(), key.as_ref().to_vec());
                Awaited::Version { keyspace, key, stamp }
            }
        };
        self.node().wait(what, receipt)
    }
}

fn receipted(reply: Reply) -> Result<Receipted, Error> {
    match reply {
        Reply::Receipted(receipted) => Ok(*receipted),
        other => unreachable!("a wait is answered by a receipt, not {other:?}"),
    }
}
