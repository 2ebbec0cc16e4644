//! Decides what a program sees of its node: a handle that is cheap to clone, keyspaces, and
//! tokens that name what was written.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidings_proto::base::clocks::{Dot, Hlc, Run};
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::policy::Policy;
use tidings_proto::detection::coordinates::RoundTrip;
use tidings_proto::io::{Command, CommandError, Conflict, Member, Owning, Receipt, Reply, Stats};
use tidings_proto::node::EntryView;
use tidings_proto::state::crdt::Merged;
use tidings_proto::{Config, NodeId, View};
use tokio::sync::{mpsc, oneshot, watch};

use crate::aggregate::Aggregate;
use crate::builder::Builder;
use crate::driver::{Ended, Order};
use crate::errors::{Error, Stopped};
use crate::flags::Flags;
use crate::merge::Hooks;
use crate::net::Losses;
use crate::receipt::Waiting;
use crate::watch::{Indexes, Registry, Watch};

/// A node that leaves waits so long for its leases to be given back.
const LEASES_WAIT: Duration = Duration::from_secs(2);

/// A running node of a cluster: a handle, cheap to clone. The node ends at [`Node::stop`] or when
/// the last handle is gone, without a word to the cluster; [`Node::leave`] says goodbye first.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) id: watch::Receiver<NodeId>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) watch_buffer: usize,
    pub(crate) indexes: watch::Receiver<Indexes>,
    pub(crate) ended: watch::Receiver<Option<Ended>>,
    pub(crate) losses: Arc<Losses>,
    /// Leases listen to it: true when the node says goodbye.
    pub(crate) leaving: watch::Sender<bool>,
    pub(crate) hooks: Hooks,
}

/// Packets that the sockets lost at this end, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoFaults {
    /// Datagrams dropped because the send buffer was full.
    pub sends_full: u64,
    /// Datagrams that the system refused to send: no route, filtered.
    pub sends_failed: u64,
    /// Connections closed because a message claimed to be larger than allowed.
    pub streams_oversized: u64,
}

impl Node {
    /// Describes a node; [`Builder::start`] starts it. The name is unique in the cluster.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder::new(name.into())
    }

    pub(crate) fn from_shared(shared: Shared) -> Node {
        Node { shared: Arc::new(shared) }
    }

    /// Identity of this life of the node's state. It changes only when it turned out to be taken.
    pub fn id(&self) -> NodeId {
        *self.shared.id.borrow()
    }

    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The address that others reach this node at; the real port when it was bound to port 0.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// Runs a question on the node's own task, between two inputs: all that it sees is of one
    /// moment. Keep it short, the node waits for it.
    pub async fn query<R: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>, &Stats) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, answered) = oneshot::channel();
        let boxed: Box<dyn for<'a> FnOnce(&View<'a>, &Stats) + Send> =
            Box::new(move |view, stats| {
                let _ = answer.send(question(view, stats)); // the caller gave up
            });
        self.shared.orders.send(Order::Query(boxed)).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// All members that this node lists, itself included, by name.
    pub async fn members(&self) -> Result<Vec<Member>, Stopped> {
        let mut members = self.query(|view, _| view.members().collect::<Vec<_>>()).await?;
        members.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(members)
    }

    /// How long a round trip between two members should take, and how wrong that may be, by where probes have
    /// placed them; `None` while nothing is known of one of them. `View::coordinate` has the places.
    pub async fn rtt(&self, a: NodeId, b: NodeId) -> Result<Option<RoundTrip>, Stopped> {
        self.query(move |view, _| view.rtt(a, b)).await
    }

    /// A named group of replicated keys. It exists from the first write on.
    pub fn keyspace(&self, name: impl Into<String>) -> Keyspace {
        Keyspace { node: self.clone(), name: name.into(), patience: Duration::ZERO }
    }

    /// A number over all members, to which each puts what it has.
    pub fn aggregate(&self, name: impl Into<String>) -> Aggregate {
        Aggregate::new(self.clone(), name.into())
    }

    /// Typed settings of the whole cluster.
    pub fn flags(&self) -> Flags {
        Flags::new(self.clone())
    }

    /// Changes tags of this node.
    pub async fn set_tags(
        &self,
        set: Vec<(String, String)>,
        unset: Vec<String>,
    ) -> Result<(), Error> {
        self.command(Command::SetTags { set, unset }).await.map(|_| ())
    }

    /// Whether this side of a split, if there is one, may own what must have one owner: by the
    /// setting `split_policy`. Each change is told to [`Node::watch`].
    pub async fn owning(&self) -> Result<Owning, Stopped> {
        self.query(|view, _| view.owning()).await
    }

    /// Whether this node may own, and take over what lost members owned.
    pub async fn may_own(&self) -> Result<bool, Stopped> {
        Ok(self.owning().await? == Owning::Yes)
    }

    /// Sends an event to all members, exactly once each; returns its number.
    pub async fn emit(
        &self,
        name: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Result<u64, Error> {
        let command = Command::Emit { name: name.into(), payload: payload.into() };
        match self.command(command).await? {
            Reply::Sent { seq } => Ok(seq),
            other => unreachable!("an event is answered by its number, not {other:?}"),
        }
    }

    /// Exchanges members with one of these addresses, or fails within four seconds; returns how
    /// many answered.
    pub async fn join(&self, addrs: Vec<SocketAddr>) -> Result<usize, Error> {
        match self.command(Command::Join { addrs, retry: false }).await? {
            Reply::Joined { contacted } => Ok(contacted),
            other => unreachable!("a join is answered by a count, not {other:?}"),
        }
    }

    /// Tells the cluster that this node leaves. It stops gossiping; [`Node::stop`] ends it.
    /// Leases that it holds are given back first.
    pub async fn leave(&self) -> Result<(), Error> {
        self.shared.leaving.send_replace(true);
        // Whatever holds a lease back, the node leaves.
        let _ = tokio::time::timeout(LEASES_WAIT, self.shared.leaving.closed()).await;
        self.command(Command::Leave).await.map(|_| ())
    }

    /// Declares a failed member left; `prune` retires its identity for ever.
    pub async fn force_leave(&self, name: impl Into<String>, prune: bool) -> Result<(), Error> {
        self.command(Command::ForceLeave { name: name.into(), prune }).await.map(|_| ())
    }

    /// Goes by these settings from now on: all of them at once, or none and why. Nothing is restarted.
    /// Those that cannot change while a node runs are refused if they differ (the cluster's name);
    /// whether there is a data directory is not asked for.
    pub async fn reconfigure(&self, mut config: Config) -> Result<(), Error> {
        config.durable = self.query(|view, _| view.settings().durable).await?;
        self.command(Command::Configure { config: Box::new(config) }).await.map(|_| ())
    }

    /// Replaces the list of seeds.
    pub async fn set_seeds(&self, addrs: Vec<SocketAddr>) -> Result<(), Error> {
        self.command(Command::SetSeeds { addrs }).await.map(|_| ())
    }

    /// Writes that this node gave up for concurrent ones, oldest first: the last 1,024. Each is told
    /// to [`Node::watch`] as well, as [`Event::Conflict`](crate::Event::Conflict).
    pub async fn conflicts(&self) -> Result<Vec<Arc<Conflict>>, Stopped> {
        self.query(|view, _| view.conflicts().collect()).await
    }

    pub(crate) fn leaving(&self) -> watch::Receiver<bool> {
        self.shared.leaving.subscribe()
    }

    /// Every change that this node sees, from a snapshot of the members on.
    pub fn watch(&self) -> Watch {
        self.shared.registry.watch(false, self.shared.watch_buffer)
    }

    /// Every change of members, from a snapshot on.
    pub fn watch_members(&self) -> Watch {
        self.shared.registry.watch(true, self.shared.watch_buffer)
    }

    /// Positions that rise with every change: wait on them instead of polling.
    pub fn indexes(&self) -> watch::Receiver<Indexes> {
        self.shared.indexes.clone()
    }

    pub fn io_faults(&self) -> IoFaults {
        let losses = &self.shared.losses;
        IoFaults {
            sends_full: losses.sends_full.load(Ordering::Relaxed),
            sends_failed: losses.sends_failed.load(Ordering::Relaxed),
            streams_oversized: losses.streams_oversized.load(Ordering::Relaxed),
        }
    }

    /// How often a program's own merge failed: it panicked, or gave more than a value may hold. Each is
    /// told as [`Alarm::MergeHook`](crate::Alarm::MergeHook).
    pub fn merges_failed(&self) -> u64 {
        self.shared.hooks.failed()
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.shared.hooks
    }

    pub(crate) async fn order(&self, order: Order) -> Result<(), Stopped> {
        self.shared.orders.send(order).await.map_err(|_| Stopped)
    }

    /// Ends the node without leaving the cluster. When this returns, its sockets are closed and
    /// its data directory is free.
    pub async fn stop(&self) {
        let _ = self.shared.orders.send(Order::Stop).await; // refused: it has ended
        self.stopped().await;
    }

    /// Waits for the end of the node; returns a reason where nobody asked for it.
    pub async fn stopped(&self) -> Option<String> {
        let mut ended = self.shared.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.as_ref().and_then(|e| e.reason.clone()),
            Err(_) => Some("the node's task was cancelled or panicked".to_owned()),
        }
    }

    /// For so long, tells these members (by name, at most 16) all fresh news at once, beside those drawn
    /// by chance: for owners of ranges that move. It takes the place of what was preferred before.
    pub async fn prefer(
        &self,
        members: impl IntoIterator<Item = impl Into<String>>,
        lasting: Duration,
    ) -> Result<(), Error> {
        let members = members.into_iter().map(Into::into).collect();
        self.command(Command::Prefer { members, lasting }).await.map(|_| ())
    }

    /// Declares what a keyspace is, for all nodes: it replaces what was declared before. Keys that
    /// are there keep the kind of their first write.
    pub async fn declare(&self, keyspace: impl Into<String>, policy: Policy) -> Result<(), Error> {
        self.command(Command::Declare { keyspace: keyspace.into(), policy }).await.map(|_| ())
    }

    /// The keyspaces that this node knows, by name, with what is declared of each.
    pub async fn keyspaces(&self) -> Result<Vec<(String, Option<Policy>)>, Stopped> {
        self.query(|view, _| view.policies()).await
    }

    pub(crate) async fn command(&self, command: Command) -> Result<Reply, Error> {
        let (reply, replied) = oneshot::channel();
        let order = Order::Command { command, reply };
        self.shared.orders.send(order).await.map_err(|_| Error::Stopped)?;
        replied.await.map_err(|_| Error::Stopped)?.map_err(Error::Refused)
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.name()).field("addr", &self.addr()).finish()
    }
}

/// A named group of replicated keys: any bytes, by default the last writer wins.
#[derive(Clone, Debug)]
pub struct Keyspace {
    pub(crate) node: Node,
    pub(crate) name: String,
    patience: Duration,
}

/// Names what was written, each write by its dot, in order. It holds on to the node.
#[derive(Clone, Debug)]
pub struct Token {
    pub dots: Vec<Dot>,
    pub stamp: Hlc,
    node: Node,
}

impl Token {
    pub(crate) fn new(dots: Vec<Dot>, stamp: Hlc, node: &Node) -> Token {
        Token { dots, stamp, node: node.clone() }
    }

    /// Waits until so many members have applied the writes.
    pub fn receipt(&self, receipt: Receipt) -> Waiting {
        self.node.receipt(self.run(), receipt)
    }

    /// The writes as one run of their writer's.
    pub fn run(&self) -> Run {
        let (first, last) = (self.dots[0], self.dots[self.dots.len() - 1]);
        Run { origin: last.origin, from: first.seq, to: last.seq }
    }

    /// The last of the writes, as text: whoever has it has the whole group.
    pub fn text(&self) -> String {
        tidings_proto::Token(self.dots[self.dots.len() - 1]).to_string()
    }
}

/// A write that is about to happen.
#[derive(Clone, Debug)]
#[must_use = "nothing is written before it is awaited"]
pub struct Set {
    space: Keyspace,
    key: Vec<u8>,
    value: Vec<u8>,
    lifetime: Option<Duration>,
}

impl Set {
    /// The key ends by itself after so long, 1 ms to 366 days: on each node counted from when it
    /// learnt the key, so that no wall clock ends it early or keeps it.
    pub fn ttl(mut self, lifetime: Duration) -> Set {
        self.lifetime = Some(lifetime);
        self
    }
}

impl IntoFuture for Set {
    type Output = Result<Token, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Done when the write is safe on this node: on disk if it has a directory.
    fn into_future(self) -> Self::IntoFuture {
        if self.lifetime.is_none() && self.space.hook().is_some() {
            let Set { space, key, value, .. } = self;
            return Box::pin(async move {
                let hook = space.hook().expect("checked above").clone();
                space.set_merged(&hook, &key, value).await
            });
        }
        let writes = vec![(self.key, Some(self.value))];
        let keyspace = self.space.name.clone();
        let command = match self.lifetime {
            None => Command::Write { keyspace, writes },
            Some(lifetime) => Command::WriteFor { keyspace, writes, lifetime },
        };
        Box::pin(async move { self.space.written(command).await })
    }
}

impl Keyspace {
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets a key: `.await` it, with or without [`Set::ttl`] before.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Set {
        let (key, value) = (key.as_ref().to_vec(), value.as_ref().to_vec());
        Set { space: self.clone(), key, value, lifetime: None }
    }

    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Token, Error> {
        if self.hook().is_some() {
            return self.update(key, Kind::Register, Operation::Clear).await;
        }
        self.write(vec![(key.as_ref().to_vec(), None)]).await
    }

    /// Writes several keys as one atomic group; `None` deletes.
    pub async fn write(&self, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<Token, Error> {
        self.written(Command::Write { keyspace: self.name.clone(), writes }).await
    }

    /// Does something to a value that merges: writes of others at the same time are kept. A key
    /// holds one kind from its first write on.
    pub async fn update(
        &self,
        key: impl AsRef<[u8]>,
        kind: Kind,
        operation: Operation,
    ) -> Result<Token, Error> {
        let (keyspace, key) = (self.name.clone(), key.as_ref().to_vec());
        self.written(Command::Update { keyspace, key, kind, operation }).await
    }

    /// Writes wait, at most so long, while this node has more to tell than it can, instead of failing
    /// with [`CommandError::Overloaded`] at once: back-pressure for whoever writes in a loop.
    pub fn patient(mut self, most: Duration) -> Keyspace {
        self.patience = most;
        self
    }

    async fn command_patiently(&self, command: Command) -> Result<Reply, Error> {
        let started = tokio::time::Instant::now();
        loop {
            let result = self.node.command(command.clone()).await;
            let Err(Error::Refused(CommandError::Overloaded { retry_after, .. })) = &result else {
                return result;
            };
            if started.elapsed() + *retry_after > self.patience {
                return result;
            }
            tokio::time::sleep(*retry_after).await;
        }
    }

    pub(crate) async fn written(&self, command: Command) -> Result<Token, Error> {
        match self.command_patiently(command).await? {
            Reply::Written { dots, stamp } => Ok(Token::new(dots, stamp, &self.node)),
            other => unreachable!("a write is answered by its dots, not {other:?}"),
        }
    }

    /// The value that merges, as this node knows it now.
    pub async fn merged(&self, key: impl AsRef<[u8]>) -> Result<Option<Arc<Merged>>, Error> {
        Ok(self.entry(key).await?.and_then(|e| e.merged))
    }

    /// The value as this node knows it now; `None` where there is none or it was deleted. A
    /// keyspace that nobody has declared or written to is an error.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let entry = self.entry(&key).await?;
        if let Some(hook) = self.hook() {
            let merged = entry.and_then(|e| e.merged);
            return self.resolved(hook, key.as_ref(), merged.as_deref()).await;
        }
        Ok(entry.and_then(|e| e.value).map(|value| value.to_vec()))
    }

    /// The entry with its stamp and positions; a deleted one has no value.
    pub async fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<EntryView>, Error> {
        let key = key.as_ref().to_vec();
        let wanted = key.clone();
        let read =
            self.read(move |view, name| Ok((view.entry(name, &wanted), view.counts_reads(name))));
        let (entry, counted) = read.await?;
        if counted {
            self.count_read(key).await?;
        }
        Ok(entry)
    }

    /// Counts a read of a key that was answered otherwise, as from a cache: who reads a key of a
    /// keyspace declared `hot` often is told of it first. `get` and `entry` count by themselves.
    pub async fn count_read(&self, key: impl AsRef<[u8]>) -> Result<(), Error> {
        let (keyspace, key) = (self.name.clone(), key.as_ref().to_vec());
        self.node.command(Command::Read { keyspace, key }).await.map(|_| ())
    }

    /// All live entries whose key starts with `prefix`, in the order of keys.
    pub async fn list(&self, prefix: impl AsRef<[u8]>) -> Result<Vec<EntryView>, Error> {
        let prefix = prefix.as_ref().to_vec();
        self.read(move |view, name| Ok(view.entries(name, &prefix).collect())).await
    }

    /// What every read asks first: whether the keyspace can be read.
    pub(crate) async fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>, &str) -> Result<R, CommandError> + Send + 'static,
    ) -> Result<R, Error> {
        let name = self.name.clone();
        let question = move |view: &View<'_>, _: &Stats| {
            view.may_read(&name)?;
            read(view, &name)
        };
        self.node.query(question).await?.map_err(Error::Refused)
    }
}
