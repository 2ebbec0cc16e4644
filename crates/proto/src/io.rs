//! Decides the whole surface of the core: what goes in, what comes out, what can be counted.
//!
//! The caller hands one [`Input`] to `Node::handle`, drains the [`Outbox`], and calls again at
//! `Node::next_deadline`. Nothing hides between two calls.

mod errors;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clocks::{Dot, Hlc, Run};
use crate::base::flag::{FlagChange, ValueType};
use crate::base::id::NodeId;
use crate::base::operation::{Kind, Operation};
use crate::base::policy::Policy;
use crate::base::session::Session;
use crate::config::Config;

pub use errors::{CommandError, JoinFailure};

/// Pairs a command with its [`Output::Reply`]; chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Pairs a request with its response. For requests that this node sends it is chosen by the core;
/// for requests that it receives, by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The deadline passed.
    Tick,
    /// A datagram, already opened. `sender` is the authenticated sender where datagrams are
    /// sealed; without seals it is `None` and the id in the header is believed.
    Datagram { from: SocketAddr, sender: Option<NodeId>, bytes: &'a [u8] },
    /// A request on a stream; answer with [`Output::Response`] of the same id.
    Request { from: SocketAddr, sender: Option<NodeId>, id: RequestId, bytes: &'a [u8] },
    /// The answer to a request of ours, or why there is none.
    Response { id: RequestId, result: Result<&'a [u8], RequestError> },
    /// All [`Output::Persist`] up to this number are durable.
    Persisted { upto: u64 },
    /// The write numbered `seq`, and any after it, did not reach the disk.
    PersistFailed { seq: u64 },
    /// A datagram to this address was refused (ICMP unreachable).
    Unreachable { to: SocketAddr },
    /// The user wants something.
    Command { id: CommandId, command: Command },
}

/// Why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The address answers, nobody listens there: a reset or ICMP unreachable.
    Refused,
    /// No answer in time.
    Timeout,
    /// The connection broke or could not be made for another reason.
    Broken,
}

/// What to do. Byte ranges refer to the outbox's buffer.
#[derive(Debug, PartialEq)]
pub enum Output {
    Datagram {
        to: SocketAddr,
        bytes: Range<usize>,
    },
    /// Send over a stream and hand back the response, or an error by `timeout`.
    Request {
        to: SocketAddr,
        id: RequestId,
        bytes: Range<usize>,
        timeout: Duration,
    },
    Response {
        id: RequestId,
        bytes: Range<usize>,
    },
    /// Write all changes in one transaction, then answer `Persisted { upto: seq }`.
    Persist(Persist),
    Reply {
        command: CommandId,
        result: Result<Reply, CommandError>,
    },
    Event(Event),
}

/// One transaction: set a key or, with `None`, remove it.
#[derive(Clone, Debug, PartialEq)]
pub struct Persist {
    pub seq: u64,
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Everything that one call produced. Reused by the caller, who drains it fully.
#[derive(Debug, Default)]
pub struct Outbox {
    pub items: Vec<Output>,
    pub bytes: Vec<u8>,
}

impl Outbox {
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
    }
}

/// What a user can ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Exchange members with these addresses. Done after one full exchange with one of them;
    /// `retry` keeps trying for ever, else the error comes within four seconds.
    Join { addrs: Vec<SocketAddr>, retry: bool },
    /// Announce departure; the reply comes when enough peers have been told.
    Leave,
    /// Declare a failed member left (`prune`: also retire its identity for ever).
    ForceLeave { name: String, prune: bool },
    /// Change tags of this node.
    SetTags { set: Vec<(String, String)>, unset: Vec<String> },
    /// Write keys of one keyspace as one atomic group; `None` deletes.
    Write { keyspace: String, writes: Vec<(Vec<u8>, Option<Vec<u8>>)> },
    /// Write keys that end by themselves, each replica counting from when it learnt them.
    WriteFor { keyspace: String, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>, lifetime: Duration },
    /// Do something to a value that merges; `kind` is what the key holds from its first write on.
    Update { keyspace: String, key: Vec<u8>, kind: Kind, operation: Operation },
    /// Change a flag: a typed setting of the whole cluster.
    Flag { name: String, change: FlagChange },
    /// Wait, at most so long, until this node has applied all that a session has seen: what it
    /// reads or writes here then is no older than that.
    CatchUp { keyspace: String, session: Session, wait: Duration },
    /// Declare what a keyspace is, for all nodes.
    Declare { keyspace: String, policy: Policy },
    /// Declare this as soon as this node is in step, unless it is declared already: a declaration
    /// that says otherwise stands and is reported.
    Expect { keyspace: String, policy: Policy },
    /// For so long, tell these members, by name, all fresh news at once: owners of ranges that move, as a
    /// ring layer knows them. It takes the place of what was preferred before.
    Prefer { members: Vec<String>, lasting: Duration },
    /// A key was read: who reads one of a keyspace declared `hot` often is told of it first.
    Read { keyspace: String, key: Vec<u8> },
    /// Put something into an aggregate, from its next epoch on; `None` withdraws it.
    Contribute { name: String, own: Option<Contribution> },
    /// Send a user event to all.
    Emit { name: String, payload: Vec<u8> },
    /// Go by these settings from now on, all of them or none.
    Configure { config: Box<Config> },
    /// Replace the list of seeds.
    SetSeeds { addrs: Vec<SocketAddr> },
    /// Wait until enough members have something; `timeout` defaults to three times what news
    /// takes to reach all.
    Await { what: Awaited, need: Receipt, durable: bool, timeout: Option<Duration> },
    /// Ask all members how the latest write of a key came to them. Answered with what came in.
    Trace { keyspace: String, key: Vec<u8>, timeout: Option<Duration> },
}

/// What members are to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Applied these writes, or what superseded them.
    Writes(Run),
    /// Applied a write of this key with at least this stamp, once this node itself has.
    Version { keyspace: String, key: Vec<u8>, stamp: Hlc },
    /// The same members and the same state as this node.
    Agreement,
}

/// How many members it takes, this node included. As text: `all`, `certified`, `quorum`, a share
/// with a point such as `0.9`, or a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Receipt {
    /// All that this node holds alive.
    All,
    /// All, and all of them know the same members: see [`Certificate`].
    Certified,
    /// More than half of those that this node holds alive.
    Quorum,
    /// This share of them: above 0, at most 1.
    Fraction(f64),
    /// So many.
    Count(usize),
}

impl Receipt {
    /// A share above 0 and at most 1, or a count that a cluster can have.
    pub fn is_possible(self) -> bool {
        match self {
            Receipt::Fraction(p) => p > 0.0 && p <= 1.0,
            Receipt::Count(n) => (1..=crate::limits::MEMBERS_MAX).contains(&n),
            Receipt::All | Receipt::Certified | Receipt::Quorum => true,
        }
    }
}

impl FromStr for Receipt {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Receipt, CommandError> {
        let receipt = match text {
            "all" => Some(Receipt::All),
            "certified" => Some(Receipt::Certified),
            "quorum" => Some(Receipt::Quorum),
            share if share.contains('.') => share.parse().ok().map(Receipt::Fraction),
            count => count.parse().ok().map(Receipt::Count),
        };
        let possible = receipt.filter(|receipt| receipt.is_possible());
        possible.ok_or_else(|| CommandError::NoReceipt { value: format!("{text:?}") })
    }
}

/// What a node puts into an aggregate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    pub value: f64,
    /// Also count it into the distribution, for quantiles: up to 512 bytes more an exchange for each
    /// 128 buckets in use.
    pub quantiles: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Done,
    /// How many of the addresses answered.
    Joined {
        contacted: usize,
    },
    /// The writes, in order, each by its dot.
    Written {
        dots: Vec<Dot>,
        stamp: Hlc,
    },
    Sent {
        seq: u64,
    },
    /// Enough members have what was awaited; of a trace, whatever came in.
    Receipted(Box<Receipted>),
}

/// Who has what was asked for, and who has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipted {
    /// The writes; none where the question was for agreement.
    pub writes: Option<Run>,
    /// Members that have it, this node included, by name.
    pub have: Vec<Holder>,
    /// How many were needed.
    pub needed: usize,
    /// Live members that have not said so, by name.
    pub missing: Vec<Missing>,
    /// Names of members that were asked and failed or left meanwhile: they count no more.
    pub unreachable: Vec<String>,
    pub elapsed: Duration,
    /// Where every live member has it and all know the same members.
    pub certificate: Option<Certificate>,
}

/// A member that has what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub id: NodeId,
    pub name: String,
    /// On its disk.
    pub durable: bool,
    /// How the last of the writes came to it, where it remembers.
    pub path: Option<Path>,
    /// Members that told it on, the last one included. Unknown where it did not come as a rumour.
    pub hops: Option<u8>,
    /// From the write to the moment it was applied there. Of a rumour it is summed up on the way
    /// and no wall clock is involved; of a session it is by the wall clocks of writer and holder.
    pub delay: Option<Duration>,
}

/// A live member that has not said that it has what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub id: NodeId,
    pub name: String,
    pub why: Lack,
}

/// Why a member does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It has not answered, or not yet.
    Silent,
    NotApplied,
    /// It has applied it, and keeps nothing on disk.
    NoDisk,
    /// It knows other members than this node.
    OtherMembers,
    /// It holds another state than this node.
    OtherState,
}

impl Lack {
    pub fn as_str(self) -> &'static str {
        match self {
            Lack::Silent => "no answer",
            Lack::NotApplied => "not applied",
            Lack::NoDisk => "has no disk",
            Lack::OtherMembers => "knows other members",
            Lack::OtherState => "holds another state",
        }
    }
}

/// How a write came to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// It was written there.
    Own,
    /// As a rumour.
    Rumour,
    /// In a session that compared two states.
    Session,
}

impl Path {
    const ALL: [Path; 3] = [Path::Own, Path::Rumour, Path::Session];

    pub fn as_str(self) -> &'static str {
        match self {
            Path::Own => "own",
            Path::Rumour => "rumour",
            Path::Session => "session",
        }
    }

    pub fn code(self) -> u8 {
        Path::ALL.iter().position(|&p| p == self).expect("all paths are listed") as u8
    }

    pub fn from_code(code: u8) -> Option<Path> {
        Path::ALL.get(usize::from(code)).copied()
    }
}

/// The claim that each of `members` has applied `writes`, and that each of them, when it said so,
/// knew exactly these members alive. An identity is one life of a state: who restarts without its
/// disk is another member, of which nothing is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub writes: Vec<Run>,
    /// By identity, this node included.
    pub members: Vec<NodeId>,
    /// The membership under which it was made.
    pub fingerprint: u64,
    /// By the wall clock of this node, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What a user may want to know at once. Events come in order and are never merged by the core.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Member {
        change: MemberChange,
        member: Arc<Member>,
    },
    /// Members that failed or left together, once no more do: a rack that dies is one.
    Cut(Arc<Cut>),
    /// Whether this side of a split may own what must have one owner changed.
    Owning(Owning),
    User(Arc<UserEvent>),
    Key {
        keyspace: Arc<str>,
        key: Arc<[u8]>,
        value: Option<Arc<[u8]>>,
        /// Set where the value is one that merges, with `value` its encoding.
        kind: Option<Kind>,
        dot: Dot,
        stamp: Hlc,
    },
    /// The value of a flag that counts for this node; `None`: the flag is gone.
    Flag {
        name: Arc<str>,
        kind: Option<ValueType>,
        value: Option<Arc<str>>,
    },
    /// Last-writer-wins gave up a write that the writer of the other had not seen.
    Conflict(Arc<Conflict>),
    Alarm(Alarm),
}

/// Whether this node's side may own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owning {
    /// All are here, or this is the side that goes on: it may take over what the lost owned.
    Yes,
    /// Members were lost a moment ago: keep what you own, take over nothing.
    Undecided,
    /// The other side goes on, or nobody does: give up what you own.
    No,
}

impl Owning {
    pub fn as_str(self) -> &'static str {
        match self {
            Owning::Yes => "yes",
            Owning::Undecided => "undecided",
            Owning::No => "no",
        }
    }
}

/// Losses told as one, each of them told by an [`Event::Member`] before.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// By id, as they were last.
    pub gone: Vec<Arc<Member>>,
    /// Live members now, this node included.
    pub alive: usize,
}

/// A write that was given up for a concurrent one. It is told where the two first met.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    pub keyspace: Arc<str>,
    pub key: Arc<[u8]>,
    /// The write that stands; `None`: it may have been a delete that is forgotten.
    pub kept: Option<(Dot, Hlc)>,
    pub discarded: (Dot, Hlc),
    /// What was discarded, up to [`CONFLICT_VALUE_BYTES_MAX`](crate::limits::CONFLICT_VALUE_BYTES_MAX);
    /// `None`: it was a delete.
    pub value: Option<Arc<[u8]>>,
    /// Bytes of the whole value.
    pub value_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberChange {
    Join,
    Update,
    Suspect,
    Refute,
    Failed,
    Leave,
    Reap,
}

impl MemberChange {
    pub fn as_str(self) -> &'static str {
        match self {
            MemberChange::Join => "join",
            MemberChange::Update => "update",
            MemberChange::Suspect => "suspect",
            MemberChange::Refute => "refute",
            MemberChange::Failed => "failed",
            MemberChange::Leave => "leave",
            MemberChange::Reap => "reap",
        }
    }
}

/// As users see it. `Failed` may be this node's own view (`confirmed` false in [`Member`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Alive,
    Suspect,
    Failed,
    Leaving,
    Left,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Alive => "alive",
            Status::Suspect => "suspect",
            Status::Failed => "failed",
            Status::Leaving => "leaving",
            Status::Left => "left",
        }
    }
}

/// A member as users see it: one immutable snapshot of its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub id: NodeId,
    pub name: String,
    pub addr: SocketAddr,
    pub tags: BTreeMap<String, String>,
    pub status: Status,
    pub incarnation: u64,
    /// False: `Failed` is what this node alone believes.
    pub confirmed: bool,
    /// It came and went so often that its changes are told calmly.
    pub suppressed: bool,
}

/// A user event, delivered exactly once per node and in order per sender.
#[derive(Clone, Debug, PartialEq)]
pub struct UserEvent {
    pub origin: NodeId,
    /// Name of the sender, or its id where the name is not known here.
    pub from: String,
    pub seq: u64,
    pub name: String,
    pub payload: Vec<u8>,
    pub stamp: Hlc,
}

/// Something that an operator should look at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Alarm {
    /// Two live members claim one name; `loser` stays out.
    NameConflict {
        name: String,
        holder: NodeId,
        loser: NodeId,
    },
    /// Another process lives under this node's identity, or peers know more of it than it does:
    /// the driver draws a new identity that names this one in `replaces`.
    IdentityTaken {
        id: NodeId,
    },
    /// A stamp ahead of our wall clock by more than the bound.
    ClockAhead {
        by: Duration,
    },
    /// An incarnation that rose faster than any honest node raises it, refused.
    IncarnationJump {
        id: NodeId,
        from: u64,
        to: u64,
    },
    /// The stream reaches this member, datagrams do not.
    DatagramsBlocked {
        name: String,
    },
    /// A member comes and goes so often that its changes are told calmly from now on.
    Flapping {
        name: String,
    },
    /// This process itself stood still.
    Paused {
        lasted: Duration,
    },
    /// Equal vectors, unequal entries: sets are being compared in full.
    StateFault {
        peer: NodeId,
    },
    /// The data directory refused a write; writes are refused until it accepts again.
    DiskFailed,
    DiskRecovered,
    /// Frames of another cluster arrive.
    ForeignCluster {
        from: SocketAddr,
    },
    /// A keyspace was declared in two ways; `stands` is what holds now.
    PolicyConflict {
        keyspace: String,
        stands: Policy,
    },
    /// An entry in memory is not what was applied: a bit changed by itself. It is fetched again.
    BitRot {
        keyspace: Arc<str>,
        key: Arc<[u8]>,
    },
    /// It was fetched from a peer.
    BitRotMended {
        keyspace: Arc<str>,
        key: Arc<[u8]>,
    },
    /// The program's own way to merge values of this keyspace failed at this key. Nothing came of it.
    MergeHook {
        keyspace: Arc<str>,
        key: Arc<[u8]>,
        reason: Arc<str>,
    },
}

impl Alarm {
    pub const KINDS: usize = 15;

    /// A small number per kind, to limit each kind's rate apart.
    pub fn kind(&self) -> usize {
        match self {
            Alarm::NameConflict { .. } => 0,
            Alarm::IdentityTaken { .. } => 1,
            Alarm::ClockAhead { .. } => 2,
            Alarm::IncarnationJump { .. } => 3,
            Alarm::DatagramsBlocked { .. } => 4,
            Alarm::Paused { .. } => 5,
            Alarm::StateFault { .. } => 6,
            Alarm::DiskFailed => 7,
            Alarm::DiskRecovered => 8,
            Alarm::ForeignCluster { .. } => 9,
            Alarm::PolicyConflict { .. } => 10,
            Alarm::BitRot { .. } => 11,
            Alarm::BitRotMended { .. } => 12,
            Alarm::MergeHook { .. } => 13,
            Alarm::Flapping { .. } => 14,
        }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the start, by name: the source of `/metrics`.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[$doc])* pub $name: u64,)* }

        impl Stats {
            /// Every counter with its name, in order of declaration.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

impl Stats {
    /// Bytes sent, for whatever cause.
    pub fn bytes_sent(&self) -> u64 {
        let probing = self.bytes_probe + self.bytes_repeat + self.bytes_heartbeats;
        let sessions = self.bytes_digest + self.bytes_sketch + self.bytes_delta + self.bytes_pull;
        let others = self.bytes_join + self.bytes_receipts + self.bytes_aggregates;
        self.bytes_rumours + probing + sessions + others
    }
}

counters! {
    /// Datagrams and their payload bytes, both ways.
    datagrams_sent, datagrams_received, datagram_bytes_sent, datagram_bytes_received,
    /// Stream requests and bytes of both directions.
    requests_sent, requests_received, requests_failed, stream_bytes_sent, stream_bytes_received,
    /// Bytes sent, by cause: together all that was sent. Probes and their answers, probes repeated,
    /// heartbeat counters, rumours, joining, receipts, aggregates, what sessions ask with, sums and
    /// symbols, what they are answered with, what was asked for and the asking.
    bytes_probe, bytes_repeat, bytes_heartbeats, bytes_rumours, bytes_join, bytes_receipts, bytes_aggregates,
    bytes_digest, bytes_sketch, bytes_delta, bytes_pull,
    /// Bytes of entries told unasked or asked for, asking included, by the mode of their keyspace.
    bytes_mode_push, bytes_mode_pull, bytes_mode_push_pull,
    /// Bytes of received rumours that were known already.
    bytes_duplicate,
    /// Packets dropped, by reason.
    drop_truncated, drop_version, drop_foreign_cluster, drop_checksum, drop_malformed,
    drop_impersonated, drop_own, drop_oversized, drop_limited, drop_unknown_response,
    /// Entries and events that came by rumour, and rises of incarnations that were not told on, beyond
    /// what one member may bring in.
    limited_writes, limited_rises,
    /// Frames and records not applied, by reason.
    frame_unknown, record_checksum, record_limit, record_incarnation_jump, record_forgotten,
    entry_checksum, entry_limit, event_limit, suspicion_limit, coordinates_refused,
    /// Probing.
    probes_sent, probes_repeated, probes_acked, probes_failed, probes_voided, indirect_sent, indirect_acked,
    nacks_sent, nacks_received, stream_probes_sent, stream_probes_acked, not_me_sent,
    not_me_received, witness_probes, datagrams_blocked,
    /// Heartbeat counters: datagrams of them, rises that were too fast to be believed at once; and
    /// how often this node itself began to doubt a member, whatever the detector, and how often it told
    /// nobody, being sick and wrong the last time.
    heartbeats_sent, heartbeat_jumps, doubts, doubts_kept,
    /// Suspicion and verdicts.
    accusations_sent, suspicions, refutations_own, refutations_seen, rebuttals_unproven, verdicts, verdicts_unconfirmed,
    verdicts_reopened, pauses, cuts,
    /// Members that came back or refuted, those that became suppressed by it, and changes and doubts that
    /// were not told on for that reason.
    flaps, flaps_suppressed, flaps_untold,
    /// Membership.
    joins, leaves, members_reaped, name_conflicts, recontacts, seed_contacts,
    /// Dissemination: rumour frames sent by class, and received ones that were already known.
    rumours_member_sent, rumours_state_sent, rumours_event_sent, rumours_stale,
    /// Events handed down the tree: sent again as nobody answered, handed to another member, left to
    /// sessions, and sent while too many answers were waited for.
    branches_again, branches_moved, branches_given_up, branches_untracked,
    /// Packets of gossip, and what else goes with them.
    /// Settings taken over live; changes of the pace where it follows an aim, rounds that waited for the
    /// budget, questions left unanswered for it, bytes beyond it that could not be held back or paid back.
    reconfigured, pace_changes, budget_waits, budget_unanswered, bytes_over_budget,
    gossip_packets_sent, pulls_sent, rumours_cooled, peers_replaced, interest_sent, readers_told,
    /// Rumours dropped because `rumours_max` of their class waited, by class: repair brings what they
    /// said. Own writes and events refused for the same reason.
    shed_accusations, shed_members, shed_state, shed_events, overloaded,
    /// Reads and writes of sessions: answered at once, after waiting, and refused as stale; and how
    /// often a peer was asked for what a session had seen.
    session_served, session_waited, session_stale, session_asked,
    /// State.
    writes, writes_refused, forget_passes, forget_passes_given_up, forget_questions, deletes_forgotten,
    writers_forgotten, state_learnt, entries_given_up, entries_unheard_of, entries_applied, entries_held,
    entries_stale, entries_ended, conflicts_discarded, state_faults,
    clock_alarms, disk_failures,
    /// Changes of values that merge: taken in without the value, and left to a session as what they
    /// build on was not here.
    deltas_applied, deltas_gapped,
    /// Aggregates: exchanges answered, and ones about more aggregates than allowed.
    aggregate_exchanges, aggregate_limit,
    /// User events.
    events_sent, events_delivered, events_duplicate, events_expired,
    /// Receipts: questions and answers sent, questions not remembered for want of room, receipts
    /// given and those that ran out of time, certificates made.
    asks_sent, answers_sent, asks_refused, receipts, receipts_late, certificates,
    /// Reconciliation.
    member_mismatches, state_mismatches, member_sessions, state_sessions, session_records_sent,
    session_entries_sent, session_records_received, session_entries_received, session_bytes,
    fetches,
    /// State sessions by how they ended or went on: nothing differed, one entry did, symbols found what
    /// did, trees did, vectors were compared. Symbols taken, and sessions whose symbols did not add up.
    sessions_equal, sessions_single, sessions_sketch, sessions_merkle, sessions_digest,
    sketch_symbols, sketch_failures, merkle_failures,
    /// Entries in memory checked against what was applied, whole cycles, those found broken, and mended.
    scrub_checked, scrub_cycles, scrub_faults, scrub_mended,
}
