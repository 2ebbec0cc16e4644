//! Decides how input reaches the parts and what leaves: the one state machine, owner of the
//! deadline. Only here do the parts know of each other.
//!
//! | file | what it joins |
//! |---|---|
//! | `mod` | the machine: input, timers, deadline |
//! | `admission` | how much of what one sender sends is looked at |
//! | `packets` | datagrams in and out, piggybacked news |
//! | `pulling` | how entries are told by the mode of their keyspace; asking, answering |
//! | `probing` | probes, helpers, witnesses, recontact |
//! | `adapting` | settings taken over live, the pace of gossip, the budget |
//! | `aggregates` | numbers over all members, exchanged in epochs |
//! | `arriving` | who else came with a newcomer |
//! | `asking` | what a request of ours asks for |
//! | `branching` | events handed down a tree, and again where nobody answers |
//! | `cuts` | losses told as one event, which side of a split may own |
//! | `detector` | signs of life in, doubt and relief out, by the detector of choice |
//! | `verdicts` | accusations, suspicion, refutation, conviction |
//! | `flapping` | members that come and go are told of calmly |
//! | `flags` | settings of the whole cluster, their stages |
//! | `interest` | who reads a key often, and is told of it first |
//! | `members` | records applied to the table, names, leaving, forgetting |
//! | `merging` | values that merge: written, and told without the value |
//! | `joining` | exchanges with seeds and remembered members |
//! | `writes` | commands on state, durability, entries and events off the wire |
//! | `forgetting` | deletes and gone writers forgotten by agreement |
//! | `sessions` | fingerprints compared, reconciliation |
//! | `readers` | users' sessions: waiting for what they have seen |
//! | `policies` | what keyspaces are declared to be |
//! | `reconciling` | live entries compared with a peer, by sums and symbols |
//! | `scrub` | memory checked for bits that changed by themselves |
//! | `serving` | answers to others' requests |
//! | `receipts` | who has applied what: asked, answered, waited for |
//! | `view` | what readers may see |

mod adapting;
mod admission;
mod aggregates;
mod answering;
mod arriving;
mod asking;
mod branching;
mod cuts;
mod detector;
mod flags;
mod flapping;
mod forgetting;
mod interest;
mod joining;
mod members;
mod merging;
mod packets;
mod policies;
mod probing;
mod pulling;
mod readers;
mod receipts;
mod reconciling;
mod scrub;
mod serving;
mod sessions;
mod verdicts;
mod view;
mod writes;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::anti_entropy::live::LiveSet;
use crate::anti_entropy::mismatch::Mismatch;
use crate::base::clocks::{Hlc, HybridClock};
use crate::base::hash::HashKey;
use crate::base::id::NodeId;
use crate::base::rng::Rng;
use crate::base::time::{Now, Time};
use crate::config::{Config, Zones};
use crate::detection::coordinates::Coordinates;
use crate::detection::local_health::LocalHealth;
use crate::detection::probe::Probes;
use crate::detection::suspicion::Suspicions;
use crate::dissemination::events::EventLog;
use crate::dissemination::queue::RumourQueue;
use crate::dissemination::rounds::Rounds;
use crate::dissemination::trail::Trail;
use crate::flow;
use crate::io::{
    Alarm, Command, CommandError, CommandId, Conflict, Event, Input, Outbox, Output, Persist,
    Reply, RequestId, Stats,
};
use crate::limits::LIVE_CHANGES_MAX;
use crate::membership::facts::{FactStore, Facts};
use crate::membership::known::Known;
use crate::membership::record::{Precedence, Standing, record_checksum};
use crate::membership::table::{ME, Table};
use crate::peers::Choice;
use crate::state::disk::{self, Reserved};
use crate::state::flag;
use crate::state::store::Store;

pub use adapting::Paced;
pub use view::{Contact, EntryView, Evidence, FlagView, Holding, Level, View};

use adapting::Adapting;
use admission::Admission;
use aggregates::Aggregates;
use asking::Asked;
use branching::Branches;
use cuts::Cuts;
use detector::Pulse;
use flags::Flags;
use flapping::Flapping;
use forgetting::Forgetting;
use joining::Joins;
use pulling::Pulling;
use readers::Readers;
use receipts::Receipts;
use sessions::Sessions;
use verdicts::CaseFile;
use writes::Writes;

/// Who this node is in this life.
#[derive(Clone, Debug)]
pub struct Identity {
    pub id: NodeId,
    pub name: String,
    /// Address that others reach this node at.
    pub addr: SocketAddr,
    pub tags: Vec<(String, String)>,
    /// Drawn at random at every start.
    pub boot: u64,
    /// The identity that this one takes over from (a cloned or retired one).
    pub replaces: Option<NodeId>,
}

/// What the driver kept: the pairs of all [`Persist`] transactions, and for simulations members
/// known from the start.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Live members at incarnation 1; shared by all nodes of a simulation.
    pub members: Option<Arc<Known>>,
}

/// Numbers reserved ahead on disk, so that a refutation or an event never waits for it.
const RESERVED_BLOCK: u64 = 1024;

/// One node of the cluster. See the module's table for which file decides what.
pub struct Node {
    config: Config,
    key: HashKey,
    id: NodeId,
    boot: u64,
    incarnation: u64,
    facts: FactStore,
    table: Table,
    phase: Phase,

    rng_probe: Rng,
    probes: Probes,
    next_probe: Time,
    /// Lost members and seeds are looked for at the same beat, but never slowed down.
    next_contact: Time,
    health: LocalHealth,
    pulse: Pulse,
    coordinates: Coordinates,
    suspicions: Suspicions,
    cuts: Cuts,
    /// Why members are doubted or gone, for `why`; bounded, oldest first out.
    cases: BTreeMap<NodeId, CaseFile>,
    case_order: VecDeque<NodeId>,

    admission: Admission,
    flapping: Flapping,
    queue: RumourQueue,
    rounds: Rounds,
    pulling: Pulling,
    branches: Branches,
    choice: Choice,
    adapting: Adapting,

    /// Identities that are over and forgotten, with their last incarnation; bounded.
    forgotten: Forgotten,
    seeds: Vec<Seed>,
    seed_turn: SeedTurn,
    joins: Joins,
    housekeeping: Time,

    clock: HybridClock,
    store: Store,
    live: LiveSet,
    events: EventLog,
    flags: Flags,
    aggregates: Aggregates,
    writes: Writes,
    forgetting: Forgetting,
    /// Writes given up of late, oldest first.
    conflicts: VecDeque<Arc<Conflict>>,
    readers: Readers,
    members_mismatch: Mismatch,
    state_mismatch: Mismatch,
    sessions: Sessions,
    asked: BTreeMap<RequestId, Asked>,
    next_request: u64,
    receipts: Receipts,

    stats: Stats,
    deadline: Time,
    /// Alarms of one kind are raised at most once per period.
    alarms: [Time; Alarm::KINDS],
    /// The disk does not say any more which numbers were used: never start under this identity.
    numbers_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is published before the numbers of this life are reserved on disk.
    Starting,
    Running,
    Leaving {
        command: CommandId,
        until: Time,
    },
    Left,
}

#[derive(Clone, Debug)]
struct Seed {
    addr: SocketAddr,
    /// The node that last answered there.
    id: Option<NodeId>,
}

#[derive(Debug, Default)]
struct Forgotten {
    lives: BTreeMap<NodeId, u64>,
    order: VecDeque<NodeId>,
}

/// Which seed is asked next, and in how many periods.
#[derive(Debug)]
struct SeedTurn {
    next: usize,
    countdown: u32,
}

impl Node {
    /// `config` must have passed [`Config::check`]. Fails if name and tags are over their limits.
    pub fn new(
        config: Config,
        identity: Identity,
        seed: [u8; 32],
        recovered: Snapshot,
        facts: FactStore,
        now: Now,
    ) -> Result<Node, CommandError> {
        let key = HashKey::for_cluster(&config.cluster);
        let mut store = Store::new(key, config.durable);
        let disk = disk::recover(&recovered.pairs, &mut store, &key, now);
        let incarnation = disk.reserved.unwrap_or_default().incarnation + 1;
        let (own, precedence) = own_record(&key, &config.zones, &identity, incarnation, now)?;
        let (rng_probe, first) = first_probe(&config, &seed, now.mono);
        let node = Node {
            id: identity.id,
            boot: identity.boot,
            incarnation,
            table: Table::new(key, facts.intern(own), precedence),
            phase: if config.durable { Phase::Starting } else { Phase::Running },
            rng_probe,
            probes: Probes::default(),
            next_probe: first,
            next_contact: first,
            health: LocalHealth::new(config.local_health_max),
            pulse: Pulse::new(&config, identity.id, incarnation, &seed, now.mono),
            coordinates: Coordinates::new(&seed),
            suspicions: Suspicions::new(),
            cuts: Cuts::new(),
            cases: BTreeMap::new(),
            case_order: VecDeque::new(),
            admission: Admission::default(),
            flapping: Flapping::default(),
            queue: RumourQueue::default(),
            rounds: Rounds::default(),
            pulling: Pulling::new(&seed),
            branches: Branches::new(&seed),
            choice: Choice::new(&seed),
            adapting: Adapting::new(&config, &seed, now.mono),
            forgotten: Forgotten::default(),
            seeds: Vec::new(),
            seed_turn: SeedTurn { next: 0, countdown: config.seed_every },
            joins: Joins::default(),
            housekeeping: now.mono + housekeeping_interval(&config),
            live: LiveSet::new(key),
            clock: clock_after(&config, &store, now),
            events: EventLog::new(key, config.event_window, config.events_per_origin),
            flags: Flags::new(),
            aggregates: Aggregates::new(&seed),
            writes: Writes::new(disk.reserved.unwrap_or_default(), &store, identity.id),
            forgetting: Forgetting::new(disk.epochs, &seed),
            conflicts: VecDeque::new(),
            readers: Readers::default(),
            members_mismatch: Mismatch::default(),
            state_mismatch: Mismatch::default(),
            sessions: Sessions::default(),
            asked: BTreeMap::new(),
            next_request: 0,
            receipts: Receipts::new(&seed),
            stats: Stats::default(),
            deadline: Time::NEVER,
            alarms: [Time::ZERO; Alarm::KINDS],
            numbers_lost: are_numbers_lost(&recovered, disk.reserved, &store, &identity),
            config,
            key,
            facts,
            store,
        };
        Ok(node.remember(disk.members, recovered.members.as_deref(), now.mono))
    }

    /// Members from the disk are addresses to rejoin; those of a simulation are live at once.
    fn remember(mut self, rejoin: Vec<Facts>, live: Option<&Known>, now: Time) -> Node {
        self.recover_flags();
        self.read_modes(now);
        let addrs: Vec<SocketAddr> =
            rejoin.iter().filter(|f| f.id != self.id).map(|f| f.addr).collect();
        if !addrs.is_empty() {
            // They may know writes of ours that this disk does not (it was rolled back): hear them
            // before writing more.
            self.sessions.synced = false;
            self.joins.return_to(addrs, now);
        }
        if let Some(known) = live {
            self.table.insert_known(known.members(), now, &mut self.rng_probe);
        }
        self
    }

    /// The only way in. Call with [`Input::Tick`] once after `new`.
    pub fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.notice_pause(now.mono, out);
        self.pulse.now = now.mono;
        self.adapting.budget.refill(now.mono);
        self.receipts.trail = Trail::NONE;
        if matches!(input, Input::Command { .. } | Input::Persisted { .. }) {
            self.receipts.trail = Trail::here(now.mono);
        }
        match input {
            Input::Persisted { upto } => {
                self.persisted(upto, now, out);
                self.receipts_persisted(upto, now.mono);
            }
            Input::PersistFailed { seq } => self.persist_failed(seq, now, out),
            Input::Tick => {}
            _ if self.phase == Phase::Starting => self.too_early(input, out),
            Input::Datagram { from, sender, bytes } => self.datagram(from, sender, bytes, now, out),
            Input::Request { from, sender, id, bytes } => {
                self.request(from, sender, id, bytes, now, out);
            }
            Input::Response { id, result } => self.response(id, result, now, out),
            Input::Unreachable { to } => self.unreachable(to, now, out),
            Input::Command { id, command } => self.command(id, command, now, out),
        }
        self.receipts.trail = Trail::here(now.mono);
        self.run_timers(now, out);
        self.flush_disk(now, out);
        if self.store.live_changes().len() >= LIVE_CHANGES_MAX {
            self.settle_live();
        }
        self.members_mismatch.update(self.table.fingerprint().low(), now.mono);
        self.state_mismatch.update(self.state_print(), now.mono);
        self.deadline = self.compute_deadline();
    }

    /// The only timer: call `handle` with [`Input::Tick`] at this time.
    pub fn next_deadline(&self) -> Time {
        self.deadline
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub fn view(&self) -> View<'_> {
        View { node: self }
    }

    fn command(&mut self, id: CommandId, command: Command, now: Now, out: &mut Outbox) {
        if matches!(self.phase, Phase::Left | Phase::Leaving { .. }) {
            return reply(out, id, Err(CommandError::Left));
        }
        let result = match command {
            Command::Join { addrs, retry } => return self.join(Some(id), addrs, retry, now, out),
            Command::Leave => return self.leave(id, now, out),
            Command::Write { keyspace, .. } | Command::Update { keyspace, .. }
                if keyspace == flag::KEYSPACE =>
            {
                Err(CommandError::Reserved { keyspace: flag::KEYSPACE.to_owned() })
            }
            Command::Contribute { name, own } => {
                return self.contribute(id, name, own, now, out);
            }
            Command::Flag { name, change } => {
                return self.change_flag(id, name, change, now, out);
            }
            Command::Write { keyspace, writes } => {
                return self.write(id, keyspace, writes, None, now, out);
            }
            Command::WriteFor { keyspace, writes, lifetime } => {
                return self.write(id, keyspace, writes, Some(lifetime), now, out);
            }
            Command::Update { keyspace, key, kind, operation } => {
                return self.update(id, keyspace, key, kind, operation, now, out);
            }
            Command::Await { what, need, durable, timeout } => {
                return self.await_members(id, what, need, durable, timeout, now, out);
            }
            Command::Trace { keyspace, key, timeout } => {
                return self.trace(id, &keyspace, &key, timeout, now, out);
            }
            Command::CatchUp { keyspace, session, wait } => {
                return self.catch_up(id, &keyspace, session, wait, now, out);
            }
            Command::Declare { keyspace, policy } => {
                return self.declare(id, keyspace, policy, now, out);
            }
            Command::Expect { keyspace, policy } => self.expect_policy(keyspace, policy),
            Command::Prefer { members, lasting } => self.prefer(&members, lasting, now.mono),
            Command::Read { keyspace, key } => {
                self.note_read(&keyspace, &key, now, out);
                Ok(Reply::Done)
            }
            Command::ForceLeave { name, prune } => self.force_leave(&name, prune, now, out),
            Command::SetTags { set, unset } => self.set_tags(set, unset, now, out),
            Command::Emit { name, payload } => self.emit(name, payload, now, out),
            Command::SetSeeds { addrs } => self.set_seeds(addrs),
            Command::Configure { config } => self.configure(*config, now.mono),
        };
        reply(out, id, result);
    }

    /// Before the numbers of this life are durable nothing may leave but a refusal.
    fn too_early(&mut self, input: Input<'_>, out: &mut Outbox) {
        if let Input::Request { id, .. } = input {
            // Empty, so that whoever asks may ask again instead of waiting.
            let start = self.begin(out);
            return self.respond(packets::Spent::Join, id, start, out);
        }
        if let Input::Command { id, command } = input {
            if let Command::Join { addrs, retry: true } = command {
                self.remember_seeds(&addrs);
                let own = self.me().addr;
                self.joins.rejoin(addrs.into_iter().filter(|&a| a != own).collect(), Time::ZERO);
                return reply(out, id, Ok(Reply::Joined { contacted: 0 }));
            }
            if let Command::Expect { keyspace, policy } = command {
                let expected = self.expect_policy(keyspace, policy);
                return reply(out, id, expected);
            }
            reply(out, id, Err(CommandError::Busy));
        }
    }

    /// The process itself stood still (stopped, swapped out, starved): what it waited for while it
    /// could not listen proves nothing (row I6, F8).
    fn notice_pause(&mut self, now: Time, out: &mut Outbox) {
        let late = now.since(self.deadline);
        if self.deadline == Time::NEVER || late < self.config.probe_timeout {
            return;
        }
        self.stats.pauses += 1;
        self.stats.probes_voided += self.probes.void() as u64;
        self.health.doubted();
        self.suspicions.hold_until(now + self.config.probe_period * 2);
        self.pulse.beats.listen_from(now);
        if late > self.config.probe_period {
            out.items.push(Output::Event(Event::Alarm(Alarm::Paused { lasted: late })));
        }
    }

    fn run_timers(&mut self, now: Now, out: &mut Outbox) {
        match self.phase {
            Phase::Starting if self.numbers_lost => {
                self.numbers_lost = false;
                self.phase = Phase::Left;
                out.items.push(Output::Event(Event::Alarm(Alarm::IdentityTaken { id: self.id })));
                return;
            }
            Phase::Starting => return self.retry_disk(now, out),
            Phase::Left => return self.dismiss_readers(out),
            Phase::Leaving { command, until } if until <= now.mono => {
                self.finish_leaving(command, now, out);
            }
            _ => {}
        }
        self.run_probes(now, out);
        self.run_pulse(now, out);
        self.run_suspicions(now, out);
        self.run_cuts(now, out);
        self.run_joins(now, out);
        self.run_arrival(now.mono, out);
        self.run_sessions(now, out);
        self.run_receipts(now, out);
        self.run_flags(now, out);
        self.run_endings(now, out);
        self.run_policies(now, out);
        self.run_readers(now.mono, out);
        self.run_pulls(now, out);
        self.run_branches(now, out);
        self.run_aggregates(now, out);
        self.run_scrub(now, out);
        self.run_forgetting(now, out);
        self.run_pace(now);
        self.retry_disk(now, out);
        if self.housekeeping <= now.mono {
            self.housekeeping = now.mono + housekeeping_interval(&self.config);
            self.events.expire(now.mono);
            self.forget_departed(now.mono, out);
            self.look_for_gone();
            self.run_flaps(now.mono, out);
        }
        if self.rounds.is_due(now.mono) {
            self.spread(now, out);
        }
    }

    fn compute_deadline(&self) -> Time {
        match self.phase {
            Phase::Starting => self.writes.retry_at,
            Phase::Left => Time::NEVER,
            Phase::Running | Phase::Leaving { .. } => {
                let leaving = match self.phase {
                    Phase::Leaving { until, .. } => until,
                    _ => Time::NEVER,
                };
                self.next_probe
                    .min(self.next_contact)
                    .min(self.pulse.next)
                    .min(leaving)
                    .min(self.probes.next_deadline())
                    .min(self.suspicions.next_attention())
                    .min(self.cuts.next_deadline())
                    .min(self.rounds.next_deadline())
                    .min(self.joins.next_deadline())
                    .min(self.pulling.next_deadline())
                    .min(self.branches.tree.next_deadline())
                    .min(self.sessions.next_deadline())
                    .min(self.receipts.next_deadline())
                    .min(self.flags.next_deadline())
                    .min(self.readers.next_deadline())
                    .min(self.aggregates.next_deadline())
                    .min(self.writes.retry_at)
                    .min(self.store.next_ending())
                    .min(self.forgetting.next_deadline())
                    .min(self.adapting.next_deadline())
                    .min(self.housekeeping)
            }
        }
    }

    /// How long news normally takes to reach all; none where rumours are off.
    fn spread_time(&self) -> Duration {
        if self.config.rumours {
            flow::spread_time(&self.config, self.table.size())
        } else {
            Duration::ZERO
        }
    }

    fn state_print(&self) -> u64 {
        (self.store.print().0.wrapping_add(self.events.print().0)) as u64
    }

    fn alarm(&mut self, alarm: Alarm, now: Time, out: &mut Outbox) {
        let after = &mut self.alarms[alarm.kind()];
        if *after <= now {
            *after = now + self.config.probe_period;
            out.items.push(Output::Event(Event::Alarm(alarm)));
        }
    }

    fn persist(&mut self, changes: Vec<disk::Change>, out: &mut Outbox) -> u64 {
        self.writes.persist_seq += 1;
        let seq = self.writes.persist_seq;
        out.items.push(Output::Persist(Persist { seq, changes }));
        seq
    }

    /// Keeps the reserved block ahead of what is used.
    fn reserve(&mut self, out: &mut Outbox) {
        self.reserve_beyond(self.incarnation, out);
    }

    fn reserve_beyond(&mut self, incarnation: u64, out: &mut Outbox) {
        if !self.config.durable {
            return;
        }
        let w = &self.writes;
        let short = |used: u64, reserved: u64| used + RESERVED_BLOCK / 4 > reserved;
        if !short(incarnation, w.asked.incarnation) && !short(w.next_event, w.asked.event) {
            return;
        }
        self.writes.asked = Reserved {
            incarnation: incarnation + RESERVED_BLOCK,
            event: self.writes.next_event + RESERVED_BLOCK,
        };
        let seq = self.persist(vec![disk::reserved_change(self.writes.asked)], out);
        self.writes.reservations.push_back((seq, self.writes.asked));
    }

    fn me(&self) -> &Arc<Facts> {
        self.table.facts(ME)
    }
}

/// Numbers of an earlier life that cannot be read could be used again: only a new identity is safe
/// (rule 7).
fn are_numbers_lost(
    recovered: &Snapshot,
    reserved: Option<Reserved>,
    store: &Store,
    identity: &Identity,
) -> bool {
    let was_here = identity.replaces.is_none() && !recovered.pairs.is_empty();
    was_here && (reserved.is_none() || store.has_unknown_writes_of(identity.id))
}

/// The first probe of a life comes at a random part of a period: phases differ (row O7).
fn first_probe(config: &Config, seed: &[u8; 32], now: Time) -> (Rng, Time) {
    let mut rng = Rng::fork(seed, "probe");
    let first = now + config.probe_period.mul_f64(rng.unit());
    (rng, first)
}

fn own_record(
    key: &HashKey,
    zones: &Zones,
    identity: &Identity,
    incarnation: u64,
    now: Now,
) -> Result<(Facts, Precedence), CommandError> {
    members::check_tags(&identity.tags, zones)?;
    let tags = identity.tags.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
    let accepted = Hlc::new(now.wall_ms, 0);
    let Identity { id, ref name, addr, boot, replaces, .. } = *identity;
    let facts = members::own_facts(id, name, addr, boot, accepted, replaces, &tags)?;
    let sum = record_checksum(key, incarnation, &facts.bytes);
    Ok((facts, Precedence::new(incarnation, Standing::Alive, sum)))
}

/// A clock above all that the disk gave back, within its bound.
fn clock_after(config: &Config, store: &Store, now: Now) -> HybridClock {
    let mut clock = HybridClock::new(config.clock_bound);
    for kept in store.since(0) {
        clock.observe(now.wall_ms, kept.entry.stamp);
    }
    clock
}

fn housekeeping_interval(config: &Config) -> Duration {
    let fastest = config.forget_after.min(config.event_window) / 10;
    fastest.clamp(Duration::from_millis(100), Duration::from_secs(30))
}

/// Names what the node does by itself: nobody waits for an answer.
const OWN: CommandId = CommandId(u64::MAX);

fn reply(out: &mut Outbox, command: CommandId, result: Result<Reply, CommandError>) {
    if command == OWN {
        return;
    }
    out.items.push(Output::Reply { command, result });
}
