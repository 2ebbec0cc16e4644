//! Decides what a record changes: who is in the table, who holds a name, what watchers are told,
//! and how this node itself is announced, leaves, and forgets others.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::flapping::is_another_start;
use super::packets::{REBUTTAL_KEY, Spent, Via};
use super::verdicts::INCARNATION_JUMP;
use super::{Node, Phase, Seed, reply};
use crate::base::clocks::Hlc;
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::config::Zones;
use crate::detection::message::put_accusation;
use crate::detection::probe::Purpose;
use crate::dissemination::queue::Topic;
use crate::io::{
    Alarm, CommandError, CommandId, Event, Member, MemberChange, Outbox, Reply, Status,
};
use crate::limits::{
    FACTS_BYTES_MAX, FORGOTTEN_MAX, MEMBERS_MAX, NAME_BYTES_MAX, NAMESAKES_MAX, SEEDS_MAX, TAGS_MAX,
};
use crate::membership::facts::Facts;
use crate::membership::names::holds_against;
use crate::membership::record::{
    Accusers, Cause, Precedence, Record, RecordHead, Standing, put_record, record_checksum,
};
use crate::membership::table::{ME, Slot};
use crate::state::disk;
use crate::wire::codec::DecodeError;

impl Node {
    /// Applies a record off the wire. A stale one, for which this is false, costs a look-up and a
    /// comparison, nothing more.
    #[inline]
    pub(super) fn apply_head(
        &mut self,
        head: RecordHead<'_>,
        via: Via,
        now: Now,
        out: &mut Outbox,
    ) -> Result<bool, DecodeError> {
        let found = self.table.find(head.id);
        if self.is_stale(found, head.precedence(), via, now.mono) {
            return Ok(false);
        }
        self.apply_fresh(found, &head.read()?, via, now, out);
        Ok(true)
    }

    /// The same for one that had to be read for other reasons.
    pub(super) fn apply_record(
        &mut self,
        record: &Record<'_>,
        via: Via,
        now: Now,
        out: &mut Outbox,
    ) {
        let found = self.table.find(record.id);
        if !self.is_stale(found, record.precedence(), via, now.mono) {
            self.apply_fresh(found, record, via, now, out);
        }
    }

    #[inline]
    pub(super) fn is_stale(
        &mut self,
        found: Option<Slot>,
        precedence: Precedence,
        via: Via,
        now: Time,
    ) -> bool {
        let Some(slot) = found.filter(|&slot| slot != ME) else { return false };
        let known = self.table.precedence(slot);
        if precedence > known {
            return false;
        }
        let far_below = precedence.incarnation.saturating_add(INCARNATION_JUMP);
        if via == Via::Session && known.incarnation > far_below {
            self.sessions.disputed(now);
        }
        self.stats.rumours_stale += 1;
        if precedence == known && matches!(via, Via::Rumour(_)) {
            self.heard_again(Topic::Member, u64::from(slot));
        }
        true
    }

    #[inline(never)]
    fn apply_fresh(
        &mut self,
        found: Option<Slot>,
        record: &Record<'_>,
        via: Via,
        now: Now,
        out: &mut Outbox,
    ) {
        match found {
            Some(ME) => self.told_of_myself(record, now, out),
            Some(slot) => self.update_member(slot, record, via, now, out),
            None => self.add_member(record, via, now, out),
        }
    }

    fn add_member(&mut self, record: &Record<'_>, via: Via, now: Now, out: &mut Outbox) {
        if let Some(&last) = self.forgotten.lives.get(&record.id)
            && record.incarnation <= last
        {
            self.stats.record_forgotten += 1;
            return self.ask_to_announce(record, last, now, out);
        }
        if self.table.len() >= MEMBERS_MAX {
            self.stats.record_limit += 1;
            return;
        }
        let Some(facts) = self.read_facts(record) else { return };
        if !self.make_room_for_namesake(&facts.name, out) {
            self.stats.record_limit += 1;
            return;
        }
        let replacing = self.table.find_name(&facts.name).is_some() || facts.replaces.is_some();
        if record.standing.is_live() {
            self.retire_replaced(&facts, now, out);
        }
        if self.is_my_past(&facts) {
            let over = Precedence::new(record.incarnation, Standing::Retired, record.sum);
            let named = self.me().replaces == Some(facts.id);
            self.table.insert(facts, over, now.mono, &mut self.rng_probe);
            if record.standing.is_live() && !named && self.phase == Phase::Running {
                // Others still hold it alive: say whom this life takes over from.
                let tags = self.me().tags.clone();
                let restated = self.restate(&tags, Some(record.id), now, out);
                // Without room for it the others find out by probing: "not me" answers there.
                self.stats.record_limit += u64::from(restated.is_err());
            }
            return;
        }
        let precedence = record.precedence();
        let slot = self.table.insert(facts, precedence, now.mono, &mut self.rng_probe);
        self.receipts.held.forget(slot as usize);
        if record.standing == Standing::Failed {
            self.file_case(
                record.id,
                record.incarnation,
                record.accusers.clone(),
                now.mono,
                "told",
            );
        }
        self.receipts.delays.members.add(self.way_here(via, None, now));
        if record.standing.is_live() {
            self.stats.joins += 1;
            self.store.remember_writer(self.table.id(slot));
            self.member_event(MemberChange::Join, slot, out);
            self.remember_on_disk(slot, true);
            self.contest_name(slot, now, out);
            if replacing && via != Via::Joining {
                self.flapped(slot, now.mono, out);
            }
        }
        if self.tells_of_newcomer(via) && self.may_tell_of(slot, Topic::Member, now.mono) {
            self.tell(Topic::Member, u64::from(slot), now.mono);
        }
        self.retire_outlived(slot, now, out);
    }

    pub(super) fn update_member(
        &mut self,
        slot: Slot,
        record: &Record<'_>,
        via: Via,
        now: Now,
        out: &mut Outbox,
    ) {
        let precedence = record.precedence();
        // From the owner too: what one node took because of who carried it, the others would refuse.
        if self.jumps(slot, record.incarnation, now.mono) {
            self.stats.record_incarnation_jump += 1;
            if via == Via::Session {
                self.sessions.disputed(now.mono);
            }
            let (from, to) = (self.table.incarnation(slot), record.incarnation);
            let alarm = Alarm::IncarnationJump { id: record.id, from, to };
            return self.alarm(alarm, now.mono, out);
        }
        // The sum says that the facts are those that are here already: nothing to read.
        let same = precedence.facts_sum() == self.table.precedence(slot).facts_sum();
        let facts = if same { None } else { self.read_facts(record) };
        if facts.is_none() && !same {
            return;
        }
        if record.standing == Standing::Failed {
            let fresh = matches!(via, Via::Rumour(_));
            if !self.verdict_stands(slot, &record.accusers, fresh, now.mono) {
                if via == Via::Session {
                    // The peer holds it gone. No session settles that, the member does.
                    self.sessions.members_pace.overrun();
                }
                if record.incarnation > self.table.incarnation(slot) {
                    // What its owner said last is news all the same.
                    let said = Precedence::new(record.incarnation, Standing::Alive, record.sum);
                    self.install(slot, facts, said, false, now, out);
                }
                return self.suspect(slot, record.incarnation, &record.accusers, now, out);
            }
            self.file_case(
                record.id,
                record.incarnation,
                record.accusers.clone(),
                now.mono,
                "told",
            );
        }
        self.receipts.delays.members.add(self.way_here(via, None, now));
        let tell = via != Via::Joining && self.is_worth_telling(slot, precedence, now.mono);
        self.install(slot, facts, precedence, tell, now, out);
    }

    /// What most fresh rumours with the facts that are known say: a member that was and is alive has
    /// a higher incarnation. Applied at once, as [`Node::update_member`] would; false where there is more to it.
    pub(super) fn rises(&mut self, slot: Slot, said: Precedence, via: Via, now: Now) -> bool {
        let known = self.table.precedence(slot);
        let alive = known.standing == Standing::Alive && said.standing == Standing::Alive;
        let rises = alive && said.incarnation > known.incarnation;
        let plain = self.table.is_live(slot) && self.suspicions.get(slot).is_none();
        if !rises || !plain || self.jumps(slot, said.incarnation, now.mono) {
            return false;
        }
        self.receipts.delays.members.add(self.way_here(via, None, now));
        self.table.raise(slot, said);
        if self.may_rise(slot, now.mono) {
            self.tell_rebuttal(slot, now.mono);
        }
        true
    }

    /// A member that says that it is here, over and over, is told of as often as is needed.
    fn is_worth_telling(&mut self, slot: Slot, precedence: Precedence, now: Time) -> bool {
        let rises = precedence.standing == Standing::Alive && self.table.is_live(slot);
        let doubted = self.suspicions.get(slot).is_some();
        !rises || doubted || self.may_rise(slot, now)
    }

    /// Puts a winning record into the table and says what changed; no facts: they did not.
    pub(super) fn install(
        &mut self,
        slot: Slot,
        facts: Option<Arc<Facts>>,
        precedence: Precedence,
        tell: bool,
        now: Now,
        out: &mut Outbox,
    ) {
        let was = self.was(slot);
        let renewed = facts.is_some();
        let is_live = precedence.standing.is_live();
        if let Some(facts) = facts.as_deref().filter(|_| is_live) {
            self.retire_replaced(facts, now, out);
        }
        let doubted = self.suspicions.get(slot).is_some();
        let another =
            facts.as_deref().is_some_and(|new| is_another_start(self.table.facts(slot), new));
        let alive = precedence.standing == Standing::Alive;
        let returns = alive && (!was.live || was.leaving || another);
        // That a process which is known lives ends doubt: everybody hears of it at once.
        let calmly = !is_live || was.leaving || another;
        if alive && doubted {
            self.stats.refutations_seen += 1;
            self.alive(slot, now.mono);
            self.end_suspicion(slot, "refuted", now.mono, out);
        } else if doubted {
            self.suspicions.close(slot);
            self.queue.remove(Topic::Accusation, u64::from(slot));
        }
        self.table.update(slot, facts, precedence, now.mono, &mut self.rng_probe);
        let change = change_of(precedence.standing, was, renewed);
        if let Some(change) = change {
            self.member_event(change, slot, out);
        }
        if change == Some(MemberChange::Failed) {
            self.stages_doubted(slot, now.mono);
        }
        if change == Some(MemberChange::Join) {
            self.store.remember_writer(self.table.id(slot));
            self.look_again(now.mono);
        }
        if was.live && !is_live {
            self.aggregates_forget(self.table.id(slot));
        }
        if is_live != was.live {
            self.remember_on_disk(slot, is_live || precedence.standing == Standing::Failed);
        }
        if is_live && (renewed || !was.live) {
            self.contest_name(slot, now, out);
        }
        if returns {
            self.flapped(slot, now.mono, out);
        }
        let rebutted = alive && !renewed;
        if !rebutted {
            self.queue.remove(Topic::Member, u64::from(slot) | REBUTTAL_KEY);
        }
        match precedence.standing {
            _ if !tell || calmly && !self.may_tell_of(slot, Topic::Member, now.mono) => {}
            Standing::Failed => self.relay_verdict(slot, now.mono),
            _ if rebutted => self.tell_rebuttal(slot, now.mono),
            _ => self.tell(Topic::Member, u64::from(slot), now.mono),
        }
        self.retire_outlived(slot, now, out);
    }

    fn was(&self, slot: Slot) -> Was {
        let standing = self.table.standing(slot);
        let (leaving, listed) = (standing == Standing::Leaving, standing != Standing::Retired);
        Was { live: self.table.is_live(slot), leaving, listed }
    }

    /// A life that is gone while another live one has its name is over: it was taken over from.
    pub(super) fn retire_outlived(&mut self, slot: Slot, now: Now, out: &mut Outbox) {
        if self.table.is_live(slot) || self.table.standing(slot) == Standing::Retired {
            return;
        }
        let mut outlived = false;
        self.table.each_named(&self.table.facts(slot).name, |other| {
            outlived |= other != slot && (other == ME || self.table.is_live(other));
        });
        if outlived {
            self.change_standing(slot, Standing::Retired, now, out);
        }
    }

    fn read_facts(&mut self, record: &Record<'_>) -> Option<Arc<Facts>> {
        if !record.checksum_holds(&self.key) {
            self.stats.record_checksum += 1;
            return None;
        }
        match self.facts.decode(record.facts) {
            Ok(facts) if facts.id == record.id => Some(facts),
            _ => {
                self.stats.record_checksum += 1;
                None
            }
        }
    }

    /// Others speak of this node: refute what is wrong, and find out if another process lives under
    /// this identity.
    fn told_of_myself(&mut self, record: &Record<'_>, now: Now, out: &mut Outbox) {
        let mine = self.table.precedence(ME);
        if record.precedence() <= mine || self.phase != Phase::Running {
            return;
        }
        let boot = self.facts.decode(record.facts).ok().map(|f| f.boot);
        let other_process = record.standing == Standing::Alive && boot != Some(self.boot);
        if record.standing == Standing::Retired || other_process {
            let alarm = Alarm::IdentityTaken { id: self.id };
            return self.emit_event(Event::Alarm(alarm), out);
        }
        self.refute(record.incarnation, now, out);
    }

    // Names.

    /// A new life ends the one that it names in `replaces`, and those under its name that are gone
    /// anyway, before it is announced itself (F28).
    fn retire_replaced(&mut self, facts: &Facts, now: Now, out: &mut Outbox) {
        if let Some(old) =
            facts.replaces.filter(|&old| old != self.id && self.table.find(old).is_none())
        {
            self.forget_id(old, u64::MAX);
        }
        let mut over = Vec::new();
        self.table.each_named(&facts.name, |slot| {
            let other = self.table.facts(slot);
            let ended = facts.replaces == Some(other.id) || !self.table.is_live(slot);
            if slot != ME && other.id != facts.id && ended {
                over.push(slot);
            }
        });
        over.extend(facts.replaces.and_then(|old| self.table.find(old)).filter(|&slot| slot != ME));
        for slot in over {
            if self.table.standing(slot) != Standing::Retired {
                self.change_standing(slot, Standing::Retired, now, out);
            }
        }
    }

    /// Another identity under our own name at our own address is an earlier life of ours.
    fn is_my_past(&self, facts: &Facts) -> bool {
        let me = self.me();
        facts.addr == me.addr && facts.name == me.name || me.replaces == Some(facts.id)
    }

    /// Several live members with one name: each node computes the same holder.
    fn contest_name(&mut self, slot: Slot, now: Now, out: &mut Outbox) {
        let facts = self.table.facts(slot).clone();
        let mut rivals = Vec::new();
        self.table.each_named(&facts.name, |other| {
            // Two at one address are two lives of one node: the later one says so itself.
            let elsewhere = self.table.addr(other) != facts.addr;
            if other != slot && elsewhere && (other == ME || self.table.is_live(other)) {
                rivals.push(other);
            }
        });
        for rival in rivals {
            let theirs = self.table.facts(rival).clone();
            let (holder, loser) =
                if holds_against(&facts, &theirs) { (slot, rival) } else { (rival, slot) };
            self.stats.name_conflicts += 1;
            let alarm = Alarm::NameConflict {
                name: facts.name.to_string(),
                holder: self.table.id(holder),
                loser: self.table.id(loser),
            };
            if loser == ME {
                self.emit_event(Event::Alarm(alarm), out);
            } else {
                self.alarm(alarm, now.mono, out);
            }
            if loser == ME {
                // Unless it is dead, and this node the one that comes after it: ask it.
                self.probe(holder, Purpose::Witness, self.config.probe_period, now, out);
            }
        }
    }

    /// A member has answered: if it holds our name, this node has to go.
    pub(super) fn yield_name(&mut self, holder: Slot, now: Now, out: &mut Outbox) {
        let (me, theirs) = (self.me(), self.table.facts(holder));
        let contested = me.name == theirs.name && me.addr != theirs.addr;
        if contested && self.table.is_live(holder) && holds_against(theirs, me) {
            self.withdraw(now, out);
        }
    }

    /// Somebody was refused because we hold the name it claims.
    pub(super) fn name_claimed(&mut self, claim: Record<'_>, now: Now, out: &mut Outbox) {
        let me = self.me().clone();
        let ours =
            self.facts.decode(claim.facts).is_ok_and(|f| f.name == me.name && f.id != self.id);
        if ours {
            self.stats.name_conflicts += 1;
            let alarm =
                Alarm::NameConflict { name: me.name.to_string(), holder: self.id, loser: claim.id };
            self.alarm(alarm, now.mono, out);
        }
    }

    /// This node lost its name: it steps out of the cluster and says so.
    fn withdraw(&mut self, now: Now, out: &mut Outbox) {
        if self.phase == Phase::Running {
            self.announce(Standing::Left, now, out);
            self.spread(now, out);
            self.phase = Phase::Left;
        }
    }

    // This node.

    /// Publishes what this node now says about itself, at its current incarnation.
    pub(super) fn announce(&mut self, standing: Standing, now: Now, out: &mut Outbox) {
        self.enter_own(standing, now.mono);
        self.tell(Topic::Member, u64::from(ME), now.mono);
        self.reserve(out);
    }

    /// Puts what this node says about itself into its table, at its current incarnation.
    pub(super) fn enter_own(&mut self, standing: Standing, now: Time) {
        let sum = record_checksum(&self.key, self.incarnation, &self.me().bytes);
        let precedence = Precedence::new(self.incarnation, standing, sum);
        self.table.update(ME, None, precedence, now, &mut self.rng_probe);
    }

    /// Changes what this node says about itself; the next incarnation announces it.
    pub(super) fn restate(
        &mut self,
        tags: &BTreeMap<Box<str>, Box<str>>,
        replaces: Option<NodeId>,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), CommandError> {
        let me = self.me().clone();
        let facts = own_facts(me.id, &me.name, me.addr, me.boot, me.accepted, replaces, tags)?;
        if self.config.durable && self.incarnation + 1 > self.writes.durable.incarnation {
            return Err(CommandError::DiskFailed);
        }
        self.retire_replaced(&facts, now, out);
        self.incarnation += 1;
        let facts = self.facts.intern(facts);
        let precedence = self.table.precedence(ME);
        self.table.update(ME, Some(facts), precedence, now.mono, &mut self.rng_probe);
        self.announce(Standing::Alive, now, out);
        Ok(())
    }

    pub(super) fn set_tags(
        &mut self,
        set: Vec<(String, String)>,
        unset: Vec<String>,
        now: Now,
        out: &mut Outbox,
    ) -> Result<Reply, CommandError> {
        check_tags(&set, &self.config.zones)?;
        let me = self.me().clone();
        let mut tags = me.tags.clone();
        for key in &unset {
            tags.remove(key.as_str());
        }
        tags.extend(set.into_iter().map(|(k, v)| (k.into(), v.into())));
        if tags != me.tags {
            self.restate(&tags, me.replaces, now, out)?;
            self.member_event(MemberChange::Update, ME, out);
            self.tell_flags_anew(out);
        }
        Ok(Reply::Done)
    }

    pub(super) fn leave(&mut self, command: CommandId, now: Now, out: &mut Outbox) {
        self.announce(Standing::Leaving, now, out);
        let alone = self.table.live().is_empty() && !self.joins.is_joining();
        let until = if alone { now.mono } else { now.mono + self.spread_time() };
        self.phase = Phase::Leaving { command, until };
    }

    pub(super) fn finish_leaving(&mut self, command: CommandId, now: Now, out: &mut Outbox) {
        self.announce(Standing::Left, now, out);
        self.spread(now, out);
        self.stats.leaves += 1;
        self.phase = Phase::Left;
        self.abandon_receipts(out);
        reply(out, command, Ok(Reply::Done));
    }

    pub(super) fn force_leave(
        &mut self,
        name: &str,
        prune: bool,
        now: Now,
        out: &mut Outbox,
    ) -> Result<Reply, CommandError> {
        let unknown = || CommandError::UnknownMember { name: name.to_owned() };
        let slot = self.table.find_name(name).ok_or_else(unknown)?;
        if slot == ME || self.table.is_live(slot) {
            return Err(CommandError::MemberAlive { name: name.to_owned() });
        }
        let standing = if prune { Standing::Retired } else { Standing::Left };
        if self.table.standing(slot) < standing {
            self.change_standing(slot, standing, now, out);
        }
        Ok(Reply::Done)
    }

    pub(super) fn set_seeds(&mut self, addrs: Vec<SocketAddr>) -> Result<Reply, CommandError> {
        if addrs.len() > SEEDS_MAX {
            return Err(CommandError::Full { what: "seeds", max: SEEDS_MAX });
        }
        self.seeds = addrs.into_iter().map(|addr| Seed { addr, id: None }).collect();
        Ok(Reply::Done)
    }

    // Forgetting.

    /// Somebody holds a member alive that was forgotten here. If it does live, as after a split that
    /// lasted longer than memory, only its own new announcement brings it back (rule 3): ask for it.
    fn ask_to_announce(&mut self, record: &Record<'_>, last: u64, now: Now, out: &mut Outbox) {
        if last == u64::MAX || record.standing != Standing::Alive || self.joins.recalls == 0 {
            return;
        }
        let Some(facts) = self.read_facts(record) else { return };
        if facts.addr == self.me().addr {
            return;
        }
        self.joins.recalls -= 1;
        let start = self.begin(out);
        put_accusation(&mut out.bytes, record.id, last, &Accusers::default());
        self.send(Spent::Join, start, facts.addr, out, now.mono);
    }

    /// What to answer whoever holds alive a member that is forgotten here: its end, with this node's
    /// word for it. Else the two would differ for ever, as nobody else is left to confirm it.
    pub(super) fn put_forgotten(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let Some(&last) = self.forgotten.lives.get(&record.id) else { return };
        let over = record.incarnation <= last && record.standing.is_live();
        if !over || self.table.find(record.id).is_some() {
            return;
        }
        let standing = if last == u64::MAX { Standing::Retired } else { Standing::Failed };
        let mut accusers = Accusers::default();
        accusers.add(self.id, Cause::Silence);
        let precedence = Precedence::new(record.incarnation, standing, record.sum);
        put_record(out, precedence, record.facts, &accusers);
    }

    /// Members that are gone for long are forgotten; their identities are not, so that no late
    /// record brings them back (F11). Failed ones only where most members are: at the other side of a
    /// split they stay listed, so that the two do not go on as two clusters that each forget apart.
    pub(super) fn forget_departed(&mut self, now: Time, out: &mut Outbox) {
        let mut old: Vec<Slot> = self
            .table
            .slots()
            .filter(|&s| s != ME && !self.table.standing(s).is_live())
            .filter(|&s| now.since(self.table.since(s)) >= self.config.forget_after)
            .collect();
        if !old.is_empty() && !self.holds_most() {
            old.retain(|&slot| self.table.standing(slot) > Standing::Failed);
        }
        for slot in old {
            self.forget(slot, out);
        }
    }

    /// Whether most of the members are on this side, if there are two. Of two halves the one with the
    /// lowest identity counts as more.
    fn holds_most(&self) -> bool {
        let lost = self.table.lost();
        let lowest = |slots: &[Slot]| slots.iter().map(|&slot| self.table.id(slot)).min();
        let here = lowest(self.table.live()).map_or(self.id, |id| id.min(self.id));
        match self.table.size().cmp(&lost.len()) {
            Ordering::Equal => lowest(lost).is_none_or(|there| here < there),
            unequal => unequal == Ordering::Greater,
        }
    }

    fn forget(&mut self, slot: Slot, out: &mut Outbox) {
        let (id, incarnation) = (self.table.id(slot), self.table.incarnation(slot));
        let retired = self.table.standing(slot) == Standing::Retired;
        if !retired {
            self.member_event(MemberChange::Reap, slot, out);
        }
        self.stats.members_reaped += 1;
        self.remember_on_disk(slot, false);
        self.queue.remove(Topic::Member, u64::from(slot));
        self.queue.remove(Topic::Member, u64::from(slot) | REBUTTAL_KEY);
        self.cases.remove(&id);
        self.case_order.retain(|&other| other != id);
        self.events.abandon(id);
        self.sessions.cursors.remove(&id);
        self.table.forget(slot);
        self.coordinates.forget(slot);
        self.forget_id(id, if retired { u64::MAX } else { incarnation });
    }

    /// A name that starts anew often has many lives that are over: the oldest makes room.
    fn make_room_for_namesake(&mut self, name: &str, out: &mut Outbox) -> bool {
        let mut namesakes = Vec::new();
        self.table.each_named(name, |slot| namesakes.push(slot));
        if namesakes.len() < NAMESAKES_MAX {
            return true;
        }
        let retired = |s: &Slot| self.table.standing(*s) == Standing::Retired;
        let over = namesakes.into_iter().filter(retired);
        let oldest = over.min_by_key(|&s| (self.table.since(s), self.table.id(s)));
        if let Some(slot) = oldest {
            self.forget(slot, out);
        }
        oldest.is_some()
    }

    fn forget_id(&mut self, id: NodeId, incarnation: u64) {
        if self.forgotten.lives.insert(id, incarnation).is_none() {
            self.forgotten.order.push_back(id);
            if self.forgotten.order.len() > FORGOTTEN_MAX
                && let Some(oldest) = self.forgotten.order.pop_front()
            {
                self.forgotten.lives.remove(&oldest);
            }
        }
    }

    /// Members worth rejoining after a restart are on disk.
    fn remember_on_disk(&mut self, slot: Slot, known: bool) {
        if self.config.durable && slot != ME {
            let change = disk::member_change(self.table.facts(slot), known);
            self.writes.member_changes.insert(change.0, change.1);
        }
    }

    // Views of one member.

    pub(super) fn status_of(&self, slot: Slot) -> Status {
        match self.table.standing(slot) {
            _ if self.table.is_unconfirmed(slot) => Status::Failed,
            Standing::Alive if self.table.is_suspect(slot) => Status::Suspect,
            Standing::Alive => Status::Alive,
            Standing::Failed => Status::Failed,
            Standing::Leaving => Status::Leaving,
            Standing::Left | Standing::Retired => Status::Left,
        }
    }

    pub(super) fn member(&self, slot: Slot) -> Member {
        let facts = self.table.facts(slot);
        Member {
            id: facts.id,
            name: facts.name.to_string(),
            addr: facts.addr,
            tags: facts.tags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            status: self.status_of(slot),
            incarnation: self.table.incarnation(slot),
            confirmed: !self.table.is_unconfirmed(slot),
            suppressed: self.is_suppressed(slot),
        }
    }

    pub(super) fn member_event(&mut self, change: MemberChange, slot: Slot, out: &mut Outbox) {
        let mut member = self.member(slot);
        if change == MemberChange::Failed {
            member.status = Status::Failed; // also where a new life ended it
        }
        let member = Arc::new(member);
        self.cuts.note(change, &member, self.config.split_policy, self.pulse.now);
        self.emit_event(Event::Member { change, member }, out);
    }
}

/// What a member was before a record changed it.
#[derive(Clone, Copy)]
struct Was {
    live: bool,
    leaving: bool,
    listed: bool,
}

/// What watchers are told; `renewed`: it says something else of itself.
fn change_of(standing: Standing, was: Was, renewed: bool) -> Option<MemberChange> {
    match standing {
        Standing::Alive if !was.live || was.leaving => Some(MemberChange::Join),
        Standing::Alive => renewed.then_some(MemberChange::Update),
        Standing::Leaving => (was.live && !was.leaving).then_some(MemberChange::Leave),
        Standing::Failed => was.live.then_some(MemberChange::Failed),
        Standing::Left => (!was.leaving).then_some(MemberChange::Leave),
        Standing::Retired if was.live => Some(MemberChange::Failed),
        Standing::Retired => was.listed.then_some(MemberChange::Reap),
    }
}

pub(super) fn own_facts(
    id: NodeId,
    name: &str,
    addr: SocketAddr,
    boot: u64,
    accepted: Hlc,
    replaces: Option<NodeId>,
    tags: &BTreeMap<Box<str>, Box<str>>,
) -> Result<Facts, CommandError> {
    if tags.len() > TAGS_MAX {
        return Err(CommandError::Full { what: "tags", max: TAGS_MAX });
    }
    let bytes = name.len() + tags.iter().map(|(k, v)| k.len() + v.len() + 4).sum::<usize>();
    let too_long = || CommandError::FactsLength { bytes };
    if name.is_empty() || name.len() > NAME_BYTES_MAX || bytes > FACTS_BYTES_MAX {
        return Err(too_long());
    }
    Facts::new(id, name, addr, boot, accepted, replaces, tags).map_err(|_| too_long())
}

pub(super) fn check_tags(tags: &[(String, String)], zones: &Zones) -> Result<(), CommandError> {
    for (key, value) in tags {
        let in_zone = key == "zone";
        let expected = if key.is_empty() || key.len() > 128 {
            "a name of 1 to 128 bytes".into()
        } else if in_zone && !(1..=128).contains(&value.len()) {
            format!("a zone of 1 to 128 bytes, not {value:?}").into()
        } else if in_zone && !zones.allow(value) {
            format!("one of {zones}, not {value:?}").into()
        } else if value.len() > FACTS_BYTES_MAX {
            "a value that fits the limit of all tags together".into()
        } else {
            continue;
        };
        return Err(CommandError::Tag { key: key.clone(), expected });
    }
    Ok(())
}
