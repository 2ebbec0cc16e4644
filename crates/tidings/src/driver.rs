//! Decides when the core runs: the one loop around the one task that owns it. Sockets, the disk,
//! users and the clock are looked at in turn, each for a bounded share, so that none starves the
//! timers; nothing in here waits.

mod renewal;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tidings_proto::base::policy::Policy;
use tidings_proto::io::{
    Alarm, Command, CommandError, CommandId, Event, Input, Member, Outbox, Output, Persist, Reply,
    RequestError, RequestId, Stats,
};
use tidings_proto::membership::facts::FactStore;
use tidings_proto::{Config, Identity, NodeId, Now, Snapshot, Time, View};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use self::renewal::{Renewal, identity_taken};
use crate::disk::{Disk, DiskEvent};
use crate::errors::DataDirFault;
use crate::net::Losses;
use crate::net::stream::{self, Incoming};
use crate::net::udp::{DATAGRAM_BYTES_MAX, Datagrams};
use crate::timer::Timer;
use crate::watch::{Audience, Indexes};

/// What handles ask of the loop.
pub(crate) enum Order {
    Command {
        command: Command,
        reply: oneshot::Sender<Result<Reply, CommandError>>,
    },
    Query(Box<dyn for<'a> FnOnce(&View<'a>, &Stats) + Send>),
    /// Tells readers what went wrong outside the core.
    Report(Alarm),
    Stop,
}

/// How a node ended: with a reason where nobody asked for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) reason: Option<String>,
}

/// All that a node is made of before it runs.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) pairs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) seed: [u8; 32],
    pub(crate) datagrams: Datagrams,
    pub(crate) listener: TcpListener,
    pub(crate) timer: Timer,
    /// The address that connections leave from; `None`: the system's choice.
    pub(crate) leave_from: Option<IpAddr>,
    pub(crate) disk: Option<Disk>,
    /// Told when the first numbers of this life are durable, or why they are not.
    pub(crate) ready: Option<oneshot::Sender<Result<(), DataDirFault>>>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) audience: Audience,
    pub(crate) bell: mpsc::Receiver<()>,
    pub(crate) losses: Arc<Losses>,
    pub(crate) indexes: watch::Sender<Indexes>,
    pub(crate) id: watch::Sender<NodeId>,
}

pub(crate) struct Driver {
    core: tidings_proto::Node,
    clock: Clock,
    outbox: Outbox,
    identity: Identity,

    datagrams: Datagrams,
    buffer: Vec<u8>,
    listener: TcpListener,
    accept_after: Option<Instant>,
    leave_from: Option<IpAddr>,
    connections: JoinSet<()>,
    incoming: mpsc::Receiver<Incoming>,
    hand_in: mpsc::Sender<Incoming>,
    answers: BTreeMap<RequestId, oneshot::Sender<Vec<u8>>>,
    requests: JoinSet<(RequestId, Result<Vec<u8>, RequestError>)>,
    losses: Arc<Losses>,

    disk: Option<Disk>,
    ready: Option<oneshot::Sender<Result<(), DataDirFault>>>,
    /// Without a disk, what the core wants kept is as good as kept.
    forgotten: Option<u64>,
    renewal: Renewal,

    orders: mpsc::Receiver<Order>,
    replies: BTreeMap<CommandId, Waiting>,
    next_number: u64,
    seeds: Vec<SocketAddr>,
    /// What keyspaces shall be, for the core of a new identity too.
    expected: Vec<Command>,
    seed_task: Option<AbortHandle>,
    /// The node has left: nothing is sent any more.
    quiet: bool,

    audience: Audience,
    bell: mpsc::Receiver<()>,
    snapshot: Option<TakenSnapshot>,
    snapshot_wanted: bool,
    events_seen: u64,
    indexes: watch::Sender<Indexes>,
    id: watch::Sender<NodeId>,

    timer: Timer,
    ending: Option<Ended>,
}

struct Waiting {
    leaving: bool,
    reply: oneshot::Sender<Result<Reply, CommandError>>,
}

struct TakenSnapshot {
    members: Arc<Vec<Member>>,
    taken: Instant,
    /// False once a member changed.
    current: bool,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Result<Driver, CommandError> {
        let clock = Clock { origin: Instant::now() };
        let now = clock.now();
        let snapshot = Snapshot { pairs: parts.pairs, members: None };
        let core = tidings_proto::Node::new(
            parts.config,
            parts.identity.clone(),
            parts.seed,
            snapshot,
            FactStore::default(),
            now,
        )?;
        let (hand_in, incoming) = mpsc::channel(INCOMING_WAITING_MAX);
        let mut driver = Driver {
            core,
            clock,
            outbox: Outbox::default(),
            identity: parts.identity,
            datagrams: parts.datagrams,
            buffer: vec![0; DATAGRAM_BYTES_MAX],
            listener: parts.listener,
            accept_after: None,
            leave_from: parts.leave_from,
            connections: JoinSet::new(),
            incoming,
            hand_in,
            answers: BTreeMap::new(),
            requests: JoinSet::new(),
            losses: parts.losses,
            disk: parts.disk,
            ready: parts.ready,
            forgotten: None,
            renewal: Renewal::None { last: None },
            orders: parts.orders,
            replies: BTreeMap::new(),
            next_number: 0,
            seeds: Vec::new(),
            expected: Vec::new(),
            seed_task: None,
            quiet: false,
            audience: parts.audience,
            bell: parts.bell,
            snapshot: None,
            snapshot_wanted: false,
            events_seen: 0,
            indexes: parts.indexes,
            id: parts.id,
            timer: parts.timer,
            ending: None,
        };
        driver.feed(Input::Tick);
        Ok(driver)
    }

    /// Contacts seeds, for ever, until one of them has answered. Without any, this node is alone
    /// by choice.
    pub(crate) fn join(&mut self, seeds: Vec<SocketAddr>) {
        self.submit(Command::SetSeeds { addrs: seeds.clone() }, None);
        self.submit(Command::Join { addrs: seeds, retry: true }, None);
    }

    /// Declares keyspaces that nobody has declared, once this node is in step.
    pub(crate) fn expect(&mut self, keyspaces: Vec<(String, Policy)>) {
        for (keyspace, policy) in keyspaces {
            self.submit(Command::Expect { keyspace, policy }, None);
        }
    }

    /// The task that resolves the names of seeds ends with the node.
    pub(crate) fn adopt_seed_task(&mut self, task: AbortHandle) {
        self.seed_task = Some(task);
    }

    /// Runs until it is stopped or all handles are gone, then frees everything it holds.
    pub(crate) async fn run(mut self, ended: watch::Sender<Option<Ended>>) {
        let mut turns = 0;
        while self.ending.is_none() {
            std::future::poll_fn(|cx| self.turn(cx)).await;
            turns += 1;
            if turns % TURNS_BEFORE_YIELD == 0 {
                tokio::task::yield_now().await;
            }
        }
        let outcome = self.ending.take().unwrap_or_default();
        self.release().await;
        ended.send_replace(Some(outcome));
    }

    async fn release(mut self) {
        self.audience.close();
        self.orders.close();
        if let Some(task) = self.seed_task.take() {
            task.abort();
        }
        self.connections.shutdown().await;
        self.requests.shutdown().await;
        let disk = self.disk.take();
        drop(self); // the sockets close, and who waits for a reply hears that there is none
        if let Some(disk) = disk {
            disk.close().await;
        }
    }

    /// One look at every source. Ready: something was done, look again.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut busy = self.poll_disk(cx);
        if self.renewal != Renewal::Storing {
            busy |= self.poll_datagrams(cx);
            busy |= self.tick();
            busy |= self.poll_responses(cx);
            busy |= self.poll_incoming(cx);
            busy |= self.poll_accept(cx);
        }
        busy |= self.poll_orders(cx);
        busy |= self.poll_bell(cx);
        busy |= self.show_members();
        if busy || self.ending.is_some() {
            return Poll::Ready(());
        }
        self.publish_indexes();
        let due = self.due();
        self.timer.poll_until(cx, due)
    }

    // ---- sources ----

    fn poll_datagrams(&mut self, cx: &mut Context<'_>) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut busy = false;
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.datagrams.poll_receive(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok((len, from))) => {
                    self.feed(Input::Datagram { from, sender: None, bytes: &buffer[..len] });
                }
                Poll::Ready(Err(e)) => tracing::trace!("a datagram came back: {e}"),
            }
            busy = true;
        }
        self.buffer = buffer;
        busy
    }

    fn tick(&mut self) -> bool {
        if let Renewal::Due(at) = self.renewal
            && at <= Instant::now()
        {
            self.renew();
            return true;
        }
        if self.core.next_deadline() > self.clock.now().mono {
            return false;
        }
        self.feed(Input::Tick);
        true
    }

    fn poll_responses(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        for _ in 0..STREAMS_PER_TURN {
            let Poll::Ready(Some(done)) = self.requests.poll_join_next(cx) else { break };
            busy = true;
            if let Ok((id, result)) = done {
                let result = result.as_deref().map_err(|&e| e);
                self.feed(Input::Response { id, result });
            }
        }
        busy
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        for _ in 0..STREAMS_PER_TURN {
            let Poll::Ready(Some(incoming)) = self.incoming.poll_recv(cx) else { break };
            busy = true;
            let id = RequestId(self.number());
            if self.answers.len() >= ANSWERS_MAX {
                self.answers.retain(|_, answer| !answer.is_closed());
            }
            self.answers.insert(id, incoming.answer);
            let Incoming { from, bytes, .. } = incoming;
            self.feed(Input::Request { from, sender: None, id, bytes: &bytes });
        }
        busy
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        while let Poll::Ready(Some(_)) = self.connections.poll_join_next(cx) {
            busy = true;
        }
        if self.accept_after.is_some_and(|at| at > Instant::now()) {
            return busy;
        }
        self.accept_after = None;
        while self.connections.len() < stream::CONNECTIONS_MAX {
            match self.listener.poll_accept(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok((stream, from))) => {
                    busy = true;
                    let (hand_in, losses) = (self.hand_in.clone(), self.losses.clone());
                    self.connections.spawn(stream::serve(stream, from, hand_in, losses));
                }
                Poll::Ready(Err(e)) => {
                    tracing::warn!("cannot accept a connection: {e}");
                    self.accept_after = Some(Instant::now() + ACCEPT_PAUSE);
                    break;
                }
            }
        }
        busy
    }

    fn poll_disk(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(upto) = self.forgotten.take() {
            self.feed(Input::Persisted { upto });
            return true;
        }
        let Some(disk) = &mut self.disk else { return false };
        let Poll::Ready(event) = disk.poll_event(cx) else { return false };
        match event {
            Some(DiskEvent::Renewed(recovered)) => self.restart(recovered),
            // What the old life wrote says nothing to the next one.
            Some(_) if self.renewal == Renewal::Storing => {}
            Some(DiskEvent::Persisted { upto }) => {
                self.feed(Input::Persisted { upto });
                self.say_ready(Ok(()));
            }
            Some(DiskEvent::Failed { seq, fault }) => {
                self.feed(Input::PersistFailed { seq });
                self.say_ready(Err(fault));
            }
            None => self.end(Some("the disk writer ended unexpectedly".to_owned())),
        }
        true
    }

    fn say_ready(&mut self, outcome: Result<(), DataDirFault>) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(outcome); // the start was given up
        }
    }

    fn poll_orders(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        for _ in 0..ORDERS_PER_TURN {
            let Poll::Ready(order) = self.orders.poll_recv(cx) else { break };
            busy = true;
            match order {
                Some(Order::Command { reply, .. }) if self.renewal == Renewal::Storing => {
                    let _ = reply.send(Err(identity_taken()));
                }
                Some(Order::Command { command, reply }) => self.submit(command, Some(reply)),
                Some(Order::Query(question)) => self.answer(question),
                Some(Order::Report(alarm)) => {
                    let now = self.clock.now();
                    self.publish(Event::Alarm(alarm), now);
                }
                Some(Order::Stop) | None => {
                    self.end(None);
                    break;
                }
            }
        }
        busy
    }

    fn poll_bell(&mut self, cx: &mut Context<'_>) -> bool {
        if !matches!(self.bell.poll_recv(cx), Poll::Ready(Some(()))) {
            return false;
        }
        self.snapshot_wanted |= self.audience.attend();
        true
    }

    fn due(&self) -> Option<Instant> {
        let core = match self.renewal {
            Renewal::Storing => None,
            _ => self.clock.instant(self.core.next_deadline()),
        };
        let renewal = match self.renewal {
            Renewal::Due(at) => Some(at),
            _ => None,
        };
        let shown = self.snapshot.as_ref().filter(|_| self.snapshot_wanted);
        let snapshot = shown.map(|s| s.taken + SNAPSHOT_INTERVAL);
        [core, renewal, snapshot, self.accept_after].into_iter().flatten().min()
    }

    // ---- the core ----

    /// Gives the core one input and carries out all that it answers.
    fn feed(&mut self, input: Input<'_>) {
        let now = self.clock.now();
        self.core.handle(now, input, &mut self.outbox);
        let mut outbox = std::mem::take(&mut self.outbox);
        for output in outbox.items.drain(..) {
            self.carry_out(output, &outbox.bytes, now);
        }
        outbox.clear();
        if outbox.bytes.capacity() > OUTBOX_BYTES_KEPT {
            outbox.bytes.shrink_to(OUTBOX_BYTES_KEPT);
        }
        self.outbox = outbox;
    }

    fn carry_out(&mut self, output: Output, bytes: &[u8], now: Now) {
        match output {
            Output::Datagram { to, bytes: range } => self.send(to, &bytes[range]),
            Output::Request { to, id, bytes: range, timeout } => {
                self.request(to, id, bytes, range, timeout);
            }
            Output::Response { id, bytes: range } => {
                if let Some(answer) = self.answers.remove(&id) {
                    let _ = answer.send(stream::framed(&bytes[range])); // gone: it timed out
                }
            }
            Output::Persist(persist) => self.persist(persist),
            Output::Reply { command, result } => self.reply(command, result),
            Output::Event(event) => self.publish(event, now),
        }
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) {
        if self.quiet {
            return;
        }
        let Err(e) = self.datagrams.send(bytes, to) else { return };
        let full = e.kind() == std::io::ErrorKind::WouldBlock;
        let counter = if full { &self.losses.sends_full } else { &self.losses.sends_failed };
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%to, "datagram not sent: {e}");
    }

    fn request(
        &mut self,
        to: SocketAddr,
        id: RequestId,
        bytes: &[u8],
        range: Range<usize>,
        timeout: Duration,
    ) {
        if self.quiet {
            return;
        }
        let (frame, from) = (stream::framed(&bytes[range]), self.leave_from);
        self.requests.spawn(async move { (id, stream::exchange(to, from, frame, timeout).await) });
    }

    fn persist(&mut self, persist: Persist) {
        match &self.disk {
            Some(_) if self.renewal == Renewal::Storing => {}
            Some(disk) => disk.persist(persist),
            None => self.forgotten = Some(persist.seq),
        }
    }

    fn publish(&mut self, event: Event, now: Now) {
        match &event {
            Event::Member { change, member } => {
                tracing::info!(name = member.name, addr = %member.addr, "{}", change.as_str());
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.current = false;
                }
            }
            Event::User(_) => self.events_seen += 1,
            Event::Cut(_) | Event::Owning(_) => {}
            Event::Key { .. } | Event::Flag { .. } | Event::Conflict(_) => {}
            Event::Alarm(alarm) => {
                tracing::warn!("alarm: {alarm:?}");
                if let Alarm::IdentityTaken { id } = alarm
                    && *id == self.identity.id
                {
                    self.plan_renewal();
                }
            }
        }
        self.audience.publish(event, now.wall_ms);
    }

    // ---- users ----

    fn submit(
        &mut self,
        command: Command,
        reply: Option<oneshot::Sender<Result<Reply, CommandError>>>,
    ) {
        if self.replies.len() >= REPLIES_MAX {
            if let Some(reply) = reply {
                let _ = reply.send(Err(CommandError::Busy));
            }
            return;
        }
        if let Command::SetSeeds { addrs } = &command {
            self.seeds = addrs.clone();
        }
        if let Command::Expect { .. } = &command {
            self.expected.push(command.clone());
        }
        let id = CommandId(self.number());
        if let Some(reply) = reply {
            let leaving = matches!(command, Command::Leave);
            self.replies.insert(id, Waiting { leaving, reply });
        }
        self.feed(Input::Command { id, command });
    }

    fn reply(&mut self, command: CommandId, result: Result<Reply, CommandError>) {
        let Some(waiting) = self.replies.remove(&command) else { return };
        self.quiet |= waiting.leaving && result.is_ok();
        let _ = waiting.reply.send(result); // nobody waits: the caller gave up
    }

    fn answer(&self, question: Box<dyn for<'a> FnOnce(&View<'a>, &Stats) + Send>) {
        let mut stats = self.core.stats().clone();
        stats.drop_oversized += self.losses.streams_oversized.load(Ordering::Relaxed);
        question(&self.core.view(), &stats);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn end(&mut self, reason: Option<String>) {
        if let Some(reason) = &reason {
            tracing::error!("{reason}");
        }
        self.ending = Some(Ended { reason });
    }

    // ---- readers ----

    /// Gives a snapshot to who waits for one; a new one is built at most every so often.
    fn show_members(&mut self) -> bool {
        if !self.snapshot_wanted {
            return false;
        }
        let fresh = self.snapshot.as_ref().filter(|s| s.taken.elapsed() < SNAPSHOT_INTERVAL);
        let members = match fresh {
            Some(s) if s.current => s.members.clone(),
            Some(_) => return false, // the timer wakes when the next one may be built
            None => {
                let mut members: Vec<Member> = self.core.view().members().collect();
                members.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
                Arc::new(members)
            }
        };
        if fresh.is_none() {
            let (members, taken) = (members.clone(), Instant::now());
            self.snapshot = Some(TakenSnapshot { members, taken, current: true });
        }
        self.audience.synchronise(&members, self.clock.now().wall_ms);
        self.snapshot_wanted = false;
        true
    }

    fn publish_indexes(&self) {
        let view = self.core.view();
        let indexes = Indexes {
            members: view.member_index(),
            entries: view.apply_index(),
            events: self.events_seen + 1,
        };
        self.indexes.send_if_modified(|shown| std::mem::replace(shown, indexes) != indexes);
    }
}

/// The core's time: nanoseconds since the start of the node, and never 0.
struct Clock {
    origin: Instant,
}

impl Clock {
    fn now(&self) -> Now {
        let mono = ORIGIN + self.origin.elapsed();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { mono, wall_ms: wall.as_millis() as u64 }
    }

    /// `None`: never.
    fn instant(&self, time: Time) -> Option<Instant> {
        (time < Time::NEVER).then(|| self.origin + time.since(ORIGIN).min(FAR))
    }
}

const ORIGIN: Time = Time::from_secs(1);
/// Deadlines are cut to this; a timer that far ahead is looked at again.
const FAR: Duration = Duration::from_secs(365 * 86_400);
const DATAGRAMS_PER_TURN: usize = 64;
const STREAMS_PER_TURN: usize = 16;
const ORDERS_PER_TURN: usize = 32;
const TURNS_BEFORE_YIELD: u32 = 32;
/// Requests that were read and wait for the loop.
const INCOMING_WAITING_MAX: usize = 32;
/// Responses owed to connections; beyond, those whose connection is gone are forgotten.
const ANSWERS_MAX: usize = 2 * stream::CONNECTIONS_MAX;
/// Commands without a reply yet. More: refused as busy.
const REPLIES_MAX: usize = 8192;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(100);
const OUTBOX_BYTES_KEPT: usize = 64 * 1024;
