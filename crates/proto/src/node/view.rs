//! Decides what readers may see: copies of single things, never the parts themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::adapting::Paced;
use super::writes::user_event;
use super::{Node, Phase, asking, forgetting, joining};
use crate::aggregation::tally::Outcome;
use crate::base::clocks::{Dot, Hlc};
use crate::base::id::NodeId;
use crate::base::policy::Policy;
use crate::base::session::Session;
use crate::base::time::Time;
use crate::config::{Config, Detector};
use crate::convergence::delay::{self, Delays};
use crate::convergence::held::Groups;
use crate::convergence::quiet::{LOSS_ASSUMED, Quiet, quiet};
use crate::detection::coordinates::{Coordinate, RoundTrip};
use crate::dissemination::events::RECENT_MAX;
use crate::flow;
use crate::flow::forecast::Rounds;
use crate::io::{CommandError, Conflict, Member, Owning, UserEvent};
use crate::limits;
use crate::membership::facts::Facts;
use crate::membership::record::Standing;
use crate::membership::table::{ME, Slot};
use crate::state::crdt::Merged;
use crate::state::flag::{self, Flag};
use crate::state::groups::STAGED_MAX;
use crate::state::store::Kept;

/// Read-only access for HTTP, metrics and tests.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(super) node: &'a Node,
}

/// An entry as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryView {
    pub key: Arc<[u8]>,
    /// `None`: deleted.
    pub value: Option<Arc<[u8]>>,
    /// The value, where it is one that merges; `value` is its encoding.
    pub merged: Option<Arc<Merged>>,
    pub stamp: Hlc,
    pub dot: Dot,
    /// When it ends by itself, on this node's monotonic clock.
    pub ends: Option<Time>,
    /// Position in this node's apply order: rises with every change here.
    pub applied_index: u64,
    /// Position of the key's first appearance here.
    pub created_index: u64,
}

/// A flag as this node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagView {
    pub name: String,
    pub flag: Flag,
    /// Whether this node is among those that have the staged value now.
    pub staged_here: bool,
    pub dot: Dot,
    pub stamp: Hlc,
}

impl FlagView {
    /// The value that counts for this node.
    pub fn value(&self) -> &Arc<str> {
        match &self.flag.document.stage {
            Some(stage) if self.staged_here => &stage.value,
            _ => &self.flag.document.value,
        }
    }
}

/// Why a member is doubted or gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub subject: NodeId,
    pub incarnation: u64,
    /// Names (or ids) of the accusers, each with what it found.
    pub accusers: Vec<(String, &'static str)>,
    pub first_accused: Time,
    pub decided: Option<Time>,
    /// What ended it: "verdict", "told", "refuted", "answered", "unconfirmed", "vouched for",
    /// "not confirmed", or "open".
    pub outcome: &'static str,
}

/// Something that grows, how much of it there is now, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    pub what: &'static str,
    pub count: usize,
    pub max: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    pub last_heard: Option<Time>,
    pub rtt: Option<Duration>,
}

/// How doubtful the detector of choice finds a member, as of the last input.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    pub detector: Detector,
    /// phi, or periods without a rise of the counter.
    pub level: f64,
    /// The level at which this node accuses.
    pub threshold: f64,
    pub silence: Duration,
}

impl<'a> View<'a> {
    pub fn me(&self) -> Member {
        self.node.member(ME)
    }

    /// All listed members, this one included, in no particular order. Lives that another took over
    /// are not listed.
    pub fn members(&self) -> impl Iterator<Item = Member> + 'a {
        let node = self.node;
        self.listed().map(|slot| node.member(slot))
    }

    /// The member that a user means by this name.
    pub fn member(&self, name: &str) -> Option<Member> {
        self.node.table.find_name(name).map(|slot| self.node.member(slot))
    }

    pub fn member_by_id(&self, id: NodeId) -> Option<Member> {
        self.node.table.find(id).map(|slot| self.node.member(slot))
    }

    /// Live members, with suspects and this node: O(1).
    pub fn alive(&self) -> usize {
        self.node.table.live().len() + usize::from(self.node.phase != Phase::Left)
    }

    /// Whether the member with this identity is held alive, suspects included.
    pub fn is_live(&self, id: NodeId) -> bool {
        self.node.table.find(id).is_some_and(|slot| slot == ME || self.node.table.is_live(slot))
    }

    /// Members held failed: O(1).
    pub fn failed(&self) -> usize {
        self.node.table.lost().len()
    }

    /// (alive with suspects and this node, failed, left).
    pub fn counts(&self) -> (usize, usize, usize) {
        let table = &self.node.table;
        let me = usize::from(self.node.phase != Phase::Left);
        let left =
            table.slots().filter(|&s| s != ME && table.standing(s) == Standing::Left).count();
        (self.alive(), self.failed(), left + 1 - me)
    }

    /// What a member says about itself, as it travels: another tool may pass it on.
    pub fn facts(&self, id: NodeId) -> Option<Arc<Facts>> {
        self.node.table.find(id).map(|slot| Arc::clone(self.node.table.facts(slot)))
    }

    pub fn evidence(&self, id: NodeId) -> Option<Evidence> {
        let case = self.node.cases.get(&id)?;
        let name = |id: NodeId| match self.node.table.find(id) {
            Some(slot) => self.node.table.facts(slot).name.to_string(),
            None => id.to_string(),
        };
        Some(Evidence {
            subject: id,
            incarnation: case.incarnation,
            accusers: case.accusers.iter().map(|(id, cause)| (name(id), cause.as_str())).collect(),
            first_accused: case.first_accused,
            decided: case.decided,
            outcome: case.outcome,
        })
    }

    /// Accusers by identity, for checks.
    pub fn accusers(&self, id: NodeId) -> Vec<NodeId> {
        self.node
            .cases
            .get(&id)
            .map_or(Vec::new(), |c| c.accusers.iter().map(|(id, _)| id).collect())
    }

    pub fn contact(&self, id: NodeId) -> Option<Contact> {
        let slot = self.node.table.find(id)?;
        Some(Contact {
            last_heard: self.node.table.last_heard(slot),
            rtt: self.node.table.rtt(slot).map(|(mean, _)| mean),
        })
    }

    /// The suspicion level of a live member; `None` where probes judge it: under SWIM always, else
    /// until its first heartbeat.
    pub fn level(&self, id: NodeId) -> Option<Level> {
        let (node, now) = (self.node, self.node.pulse.now);
        let slot = node.table.find(id)?;
        Some(Level {
            detector: node.config.detector,
            level: node.level(slot, now)?,
            threshold: node.pulse.beats.threshold(),
            silence: node.silence(slot, now),
        })
    }

    /// Where a member stands among round trips; `None` until it has told. This node knows its own
    /// from the first round trip on.
    pub fn coordinate(&self, id: NodeId) -> Option<Coordinate> {
        match self.node.table.find(id)? {
            ME => self.node.coordinates.own(),
            slot => self.node.coordinates.of(slot),
        }
    }

    /// How long a round trip between two members should take, by their coordinates; `None` until both
    /// have told them here.
    pub fn rtt(&self, a: NodeId, b: NodeId) -> Option<RoundTrip> {
        let (from, to) = (self.coordinate(a)?, self.coordinate(b)?);
        let known = from.round_trip(&to);
        Some(if a == b { RoundTrip { estimate: Duration::ZERO, ..known } } else { known })
    }

    /// Smoothed round trips to live members that were measured, in no particular order.
    pub fn round_trips(&self) -> impl Iterator<Item = Duration> + 'a {
        let table = &self.node.table;
        table.live().iter().filter_map(|&slot| table.rtt(slot).map(|(mean, _)| mean))
    }

    /// A live entry or a delete.
    pub fn entry(&self, keyspace: &str, key: &[u8]) -> Option<EntryView> {
        self.node.store.find(keyspace, key).map(entry_view)
    }

    /// Live entries whose key starts with `prefix`, in key order.
    pub fn entries(&self, keyspace: &str, prefix: &[u8]) -> impl Iterator<Item = EntryView> + 'a {
        let live = |kept: &&Kept| kept.entry.is_live();
        self.node.store.with_prefix(keyspace, prefix).filter(live).map(entry_view)
    }

    pub fn flag(&self, name: &str) -> Option<FlagView> {
        let (flag, staged_here) = self.node.flag(name.as_bytes())?;
        let entry = &self.node.store.find(flag::KEYSPACE, name.as_bytes())?.entry;
        let (dot, stamp) = (entry.dot, entry.stamp);
        Some(FlagView { name: name.to_owned(), flag, staged_here, dot, stamp })
    }

    /// All flags, by name.
    pub fn flags(&self) -> Vec<FlagView> {
        let keys = self.node.store.with_prefix(flag::KEYSPACE, b"");
        keys.filter_map(|kept| self.flag(std::str::from_utf8(&kept.entry.key).ok()?)).collect()
    }

    /// Lets a session remember an entry that it reads, with all that a value that merges holds.
    pub fn remember(&self, entry: &EntryView, session: &mut Session) -> Result<(), CommandError> {
        let merged = entry.merged.iter().flat_map(|merged| merged.context().dots());
        let mut fits = session.add(entry.dot);
        for dot in merged {
            let Some(origin) = self.node.store.vector().origin_of(dot.writer) else {
                return Err(CommandError::NotSynced);
            };
            fits &= session.add(Dot { origin, seq: dot.seq });
        }
        if fits { Ok(()) } else { Err(CommandError::SessionFull) }
    }

    /// What a session has seen and this node has not.
    pub fn missing(&self, session: &Session) -> Vec<Dot> {
        session.missing(self.node.store.vector())
    }

    /// Bytes that an entry carries to name its causes, and how many writers they are.
    pub fn causal_bytes(&self, keyspace: &str, key: &[u8]) -> Option<(usize, usize)> {
        let causes = self.node.store.find(keyspace, key)?.entry.fields.causes()?;
        let mut bytes = Vec::new();
        causes.put(&mut bytes);
        Some((bytes.len(), causes.dots().len()))
    }

    /// Whether reads of this keyspace are counted (`Command::Read`): it is declared hot.
    pub fn counts_reads(&self, keyspace: &str) -> bool {
        self.node.pulling.is_hot(keyspace)
    }

    /// Whether this node can answer a read of a keyspace now.
    pub fn may_read(&self, keyspace: &str) -> Result<(), CommandError> {
        self.node.may_read(keyspace)
    }

    /// The keyspaces that this node knows, by name, with what is declared of each.
    pub fn policies(&self) -> Vec<(String, Option<Policy>)> {
        self.node.policies()
    }

    /// What is declared of a keyspace; `None`: nothing, so the default holds.
    pub fn declared(&self, keyspace: &str) -> Option<Policy> {
        self.node.declared(keyspace)
    }

    /// Names of the aggregates that this node takes part in.
    pub fn aggregates(&self) -> Vec<String> {
        self.node.aggregates.names().map(str::to_owned).collect()
    }

    /// A number over all members: what the last epoch came to, or how far the first has come.
    pub fn aggregate(&self, name: &str) -> Option<Outcome> {
        self.node.aggregate(name)
    }

    pub fn keyspaces(&self) -> Vec<Arc<str>> {
        self.node.store.keyspaces().cloned().collect()
    }

    /// Deletes that are not forgotten yet.
    pub fn tombstones(&self) -> usize {
        self.node.store.tombstones()
    }

    /// Names of members that deletes wait for before they can be forgotten: failed, and not retired.
    pub fn waited_for(&self) -> Vec<String> {
        self.node.waited_for()
    }

    /// Writes that this node gave up for concurrent ones, oldest first; the last
    /// [`CONFLICTS_MAX`](limits::CONFLICTS_MAX).
    pub fn conflicts(&self) -> impl Iterator<Item = Arc<Conflict>> + 'a {
        self.node.conflicts.iter().cloned()
    }

    /// Live entries and deletes.
    pub fn entry_counts(&self) -> (usize, usize) {
        let (live, all) = self.node.store.counts();
        (live, all - live)
    }

    /// Rises with every applied change of the state; never 0.
    pub fn apply_index(&self) -> u64 {
        self.node.store.head() + 1
    }

    /// Rises with every change of membership; never 0.
    pub fn member_index(&self) -> u64 {
        self.node.table.index()
    }

    pub fn vector(&self) -> Vec<(NodeId, u64)> {
        self.node.store.vector().prefixes().collect()
    }

    /// Whether this node has applied the write, or one that superseded it.
    pub fn covers(&self, dot: Dot) -> bool {
        self.node.store.vector().covers(dot)
    }

    /// The events of the window, oldest first per sender.
    pub fn events(&self) -> Vec<Arc<UserEvent>> {
        self.node.events.after(|_| 0).map(|e| Arc::new(user_event(e))).collect()
    }

    /// (membership, state), 128 bits each.
    pub fn fingerprints(&self) -> (u128, u128) {
        let state = self.node.store.print().0.wrapping_add(self.node.events.print().0);
        (self.node.table.fingerprint().0, state)
    }

    /// Whether this side of a split, if there is one, may own what must have one owner.
    pub fn owning(&self) -> Owning {
        self.node.cuts.owning()
    }

    /// The settings as they were given: what runs may follow an aim.
    pub fn settings(&self) -> &'a Config {
        &self.node.adapting.asked
    }

    /// How gossip is paced, where it follows an aim.
    pub fn paced(&self) -> Option<Paced> {
        self.node.adapting.paced()
    }

    pub fn local_health(&self) -> u32 {
        self.node.health.score()
    }

    /// Has closed a session since it joined, or started alone: acknowledges shared writes.
    pub fn synced(&self) -> bool {
        self.node.sessions.synced && self.node.phase != Phase::Starting
    }

    /// Still looking for an address to join.
    pub fn joining(&self) -> bool {
        self.node.joins.is_joining()
    }

    pub fn writes_refused(&self) -> bool {
        self.node.writes.refused()
    }

    /// Expected time for news to reach all.
    pub fn spread_time(&self) -> Duration {
        self.node.spread_time()
    }

    /// How many live members hold which state, this node included, as they last said on a probe.
    pub fn state_groups(&self) -> Groups {
        let node = self.node;
        let places = node.table.live().iter().map(|&slot| slot as usize);
        node.receipts.held.groups(node.state_print(), places)
    }

    /// How long there was no news here, and how likely it is that all have everything, as of the
    /// last input.
    pub fn quiet(&self) -> Quiet {
        let (node, config) = (self.node, &self.node.config);
        let rounds = Rounds {
            nodes: node.table.size().max(2) as u64,
            fanout: config.fanout as u32,
            loss: LOSS_ASSUMED,
            pushes: true,
            pulls: false,
        };
        let changed = node.members_mismatch.changed().max(node.state_mismatch.changed());
        let sends = flow::transmit_limit(config.transmit_factor, node.table.size());
        quiet(rounds, sends, node.pulse.now.since(changed), config.tick)
    }

    /// How news came here, by topic.
    pub fn delays(&self) -> &'a Delays {
        &self.node.receipts.delays
    }

    pub fn rumours_waiting(&self) -> usize {
        self.node.queue.len()
    }

    /// Everything that remote input or a user can make grow, each with its limit (rule 8).
    pub fn holdings(&self) -> Vec<Holding> {
        let (node, sessions) = (self.node, &self.node.sessions);
        let (waiting, kept, recent) = node.events.counts();
        let counted = [
            ("members", node.table.len(), limits::MEMBERS_MAX + 1),
            ("forgotten members", node.forgotten.lives.len(), limits::FORGOTTEN_MAX),
            ("probes", node.probes.len(), limits::PROBES_MAX),
            ("suspicions", node.suspicions.len(), limits::SUSPICIONS_MAX),
            ("evidence", node.cases.len(), limits::EVIDENCE_MAX),
            ("rumours", node.queue.len(), node.config.rumours_max * 4 + limits::MEMBERS_MAX),
            ("seeds", node.seeds.len(), limits::SEEDS_MAX),
            ("joins under way", node.joins.len(), joining::ATTEMPTS_MAX),
            ("hot keys", node.choice.hot.counts().0, limits::HOT_KEYS_MAX),
            ("readers waiting", node.readers.waiting(), limits::READERS_WAITING_MAX),
            ("entries held back", node.store.held_back(), limits::HELD_MAX),
            ("requests under way", node.asked.len(), limits::REQUESTS_MAX),
            ("receipts", node.receipts.waiting(), limits::RECEIPTS_MAX),
            ("answers owed", node.receipts.owed(), limits::OWED_MAX + limits::RECEIPTS_MAX),
            ("topics of delays", node.receipts.delays.counts().0, delay::TOPICS_MAX + 1),
            ("ways of writes", node.receipts.delays.counts().1, delay::WAYS_MAX),
            ("fetches", sessions.fetching(), asking::FETCHES_MAX),
            ("cursors", sessions.cursors.len(), limits::CURSORS_MAX),
            ("entries", node.store.counts().1, limits::ENTRIES_MAX),
            ("keyspaces", node.store.keyspaces().count(), limits::KEYSPACES_MAX),
            ("writers", node.store.vector().len(), limits::VECTOR_ORIGINS_MAX),
            ("passes noted", node.forgetting.noted(), forgetting::NOTED_MAX),
            ("writers forgotten", node.store.forgotten_writers(), limits::PRUNED_MAX),
            ("conflicts", node.conflicts.len(), limits::CONFLICTS_MAX),
            ("staged entries", node.store.staged(), STAGED_MAX),
            ("writes under way", node.writes.under_way(), limits::PENDING_WRITES_MAX),
            ("aggregates", node.aggregates.len(), limits::AGGREGATES_MAX),
            ("flags told", node.flags.counts().0, limits::FLAGS_MAX),
            ("stages watched", node.flags.counts().1, limits::STAGES_WATCHED_MAX),
            ("event senders", node.events.origins(), limits::EVENT_ORIGINS_MAX),
            ("events waiting", waiting, 9 * limits::EVENTS_WAITING_MAX),
            ("events kept", kept, limits::EVENTS_KEPT_MAX),
            ("events told", recent, RECENT_MAX),
        ];
        counted.into_iter().map(|(what, count, max)| Holding { what, count, max }).collect()
    }

    pub fn seeds(&self) -> Vec<SocketAddr> {
        self.node.seeds.iter().map(|s| s.addr).collect()
    }

    pub fn config(&self) -> &'a Config {
        &self.node.config
    }

    pub fn left(&self) -> bool {
        self.node.phase == Phase::Left
    }

    fn listed(&self) -> impl Iterator<Item = Slot> + 'a {
        let table = &self.node.table;
        table.slots().filter(|&s| table.standing(s) != Standing::Retired)
    }
}

fn entry_view(kept: &Kept) -> EntryView {
    EntryView {
        key: kept.entry.key.clone(),
        value: kept.entry.value.clone().filter(|_| kept.entry.is_live()),
        merged: kept.entry.merged.clone(),
        stamp: kept.entry.stamp,
        dot: kept.entry.dot,
        ends: kept.entry.ends(),
        applied_index: kept.applied,
        created_index: kept.created,
    }
}
