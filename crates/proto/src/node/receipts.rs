//! Decides how a receipt is got and given: members are asked at a pace, answer when they have
//! applied the writes, and are asked again where they are silent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::packets::{Spent, Via};
use super::{Node, Phase, reply};
use crate::base::clocks::{Dot, Hlc, Run};
use crate::base::id::NodeId;
use crate::base::rng::Rng;
use crate::base::time::{Now, Time};
use crate::convergence::certificate::certify;
use crate::convergence::delay::Delays;
use crate::convergence::held::Held;
use crate::convergence::message::{Answer, Ask, RUNS_PER_ASK, Said, WAIT_MAX, Way};
use crate::convergence::owed::{Debt, Owed, apart};
use crate::convergence::receipt::{ASKS_PER_GO, GO, again, default_wait, needed, worth_asking};
use crate::convergence::survey::{Goal, Own, Survey};
use crate::detection::message::Prints;
use crate::dissemination::trail::Trail;
use crate::io::{
    Awaited, CommandError, CommandId, Holder, Lack, Missing, Outbox, Path, Receipt, Receipted,
    Reply,
};
use crate::limits::{OWED_MAX, RECEIPT_ANSWERS_MAX, RECEIPTS_MAX};
use crate::membership::table::{ME, Slot};

/// What is asked and owed, and how news came here.
#[derive(Debug)]
pub(super) struct Receipts {
    /// Of the news that is being handled.
    pub trail: Trail,
    pub delays: Delays,
    /// Smoothed over all peers: for those that were not measured yet.
    pub usual_rtt: Duration,
    /// What peers hold, as they last said.
    pub held: Held,
    waiting: BTreeMap<u64, Waiting>,
    last_number: u64,
    owed: Owed,
    /// All transactions up to this one are on disk.
    pub persisted: u64,
    /// What the store had covered, and the table of members had shown, when it was last looked at.
    covered: u64,
    member_index: u64,
    own: Own,
    /// Something may be settled.
    look: bool,
    rng: Rng,
    /// When something is to be done.
    next: Time,
}

/// A receipt or a trace that somebody waits for.
#[derive(Debug)]
struct Waiting {
    command: CommandId,
    what: Awaited,
    need: Receipt,
    /// Every answer counts, yes or no.
    trace: bool,
    durable: bool,
    began: Time,
    deadline: Time,
    /// `None`: this node itself does not have the version yet.
    survey: Option<Survey>,
    /// This node has it.
    own: bool,
    ask_at: Time,
}

impl Receipts {
    pub(super) fn new(seed: &[u8; 32]) -> Receipts {
        Receipts {
            trail: Trail::NONE,
            delays: Delays::default(),
            usual_rtt: Duration::ZERO,
            held: Held::default(),
            waiting: BTreeMap::new(),
            last_number: 0,
            owed: Owed::default(),
            persisted: 0,
            covered: 0,
            member_index: 0,
            own: Own::default(),
            look: false,
            rng: Rng::fork(seed, "receipts"),
            next: Time::NEVER,
        }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }
}

impl Node {
    // Asked by the user.

    pub(super) fn await_members(
        &mut self,
        command: CommandId,
        what: Awaited,
        need: Receipt,
        durable: bool,
        timeout: Option<Duration>,
        now: Now,
        out: &mut Outbox,
    ) {
        if let Err(error) = self.may_wait(need) {
            return reply(out, command, Err(error));
        }
        let agreement = what == Awaited::Agreement;
        let survey = match &what {
            Awaited::Writes(run) => Some(survey(Some(*run), durable, need)),
            Awaited::Agreement => Some(survey(None, durable, need)),
            Awaited::Version { .. } => None,
        };
        let wait = timeout.unwrap_or_else(|| default_wait(&self.config, self.table.size()));
        self.wait(
            Waiting {
                command,
                what,
                need,
                trace: false,
                durable,
                began: now.mono,
                deadline: now.mono + wait.min(WAIT_MAX),
                survey,
                own: agreement,
                ask_at: now.mono,
            },
            now.mono,
        );
    }

    /// Asks everybody at once how the latest write of a key came to them.
    pub(super) fn trace(
        &mut self,
        command: CommandId,
        keyspace: &str,
        key: &[u8],
        timeout: Option<Duration>,
        now: Now,
        out: &mut Outbox,
    ) {
        let dot = self.store.find(keyspace, key).map(|kept| kept.entry.dot);
        let dot = dot.ok_or_else(|| CommandError::UnknownKey { keyspace: keyspace.to_owned() });
        let run = match self.may_wait(Receipt::All).and(dot) {
            Ok(dot) => Run::from(dot),
            Err(error) => return reply(out, command, Err(error)),
        };
        let wait = timeout.unwrap_or_else(|| default_wait(&self.config, self.table.size()));
        self.wait(
            Waiting {
                command,
                what: Awaited::Writes(run),
                need: Receipt::All,
                trace: true,
                durable: false,
                began: now.mono,
                deadline: now.mono + wait.min(WAIT_MAX),
                survey: Some(survey(Some(run), false, Receipt::All)),
                own: true,
                ask_at: now.mono,
            },
            now.mono,
        );
    }

    fn may_wait(&self, need: Receipt) -> Result<(), CommandError> {
        if !need.is_possible() {
            let value = match need {
                Receipt::Fraction(p) => format!("{p:?}"),
                Receipt::Count(n) => n.to_string(),
                Receipt::All | Receipt::Certified | Receipt::Quorum => String::new(),
            };
            return Err(CommandError::NoReceipt { value });
        }
        let kept: usize = self.receipts.waiting.values().map(Waiting::kept).sum();
        if self.receipts.waiting.len() >= RECEIPTS_MAX
            || kept + self.table.size() > RECEIPT_ANSWERS_MAX
        {
            return Err(CommandError::Full { what: "receipts", max: RECEIPTS_MAX });
        }
        Ok(())
    }

    fn wait(&mut self, waiting: Waiting, now: Time) {
        self.receipts.last_number += 1;
        let number = self.receipts.last_number;
        self.receipts.waiting.insert(number, waiting);
        self.receipts.look = true;
        self.owe_myself(number, now);
    }

    /// This node asks itself as it asks others.
    fn owe_myself(&mut self, number: u64, now: Time) {
        let Some(waiting) = self.receipts.waiting.get(&number) else { return };
        if waiting.own {
            return;
        }
        let runs = waiting.survey.as_ref().map_or(&[][..], |survey| &survey.goal().runs);
        let debt = Debt { addr: self.me().addr, until: waiting.deadline, persist: None };
        for &run in runs {
            let most = OWED_MAX + RECEIPTS_MAX;
            self.receipts.owed.owe(self.id, run, debt, most, now);
        }
        self.receipts.owed.look_at = now;
    }

    /// Whoever still waits when this node leaves gets no receipt.
    pub(super) fn abandon_receipts(&mut self, out: &mut Outbox) {
        for (_, waiting) in std::mem::take(&mut self.receipts.waiting) {
            reply(out, waiting.command, Err(CommandError::Left));
        }
    }

    // Timers.

    pub(super) fn run_receipts(&mut self, now: Now, out: &mut Outbox) {
        if self.receipts.waiting.is_empty() && self.receipts.owed.is_empty() {
            self.receipts.next = Time::NEVER;
            return;
        }
        if self.receipts.covered != self.store.coverings() {
            self.receipts.covered = self.store.coverings();
            self.resolve_versions(now.mono);
            let share = self.receipts.rng.unit();
            let wait = self.config.batch.mul_f64(share) + apart(self.table.size(), share);
            let look_at = &mut self.receipts.owed.look_at;
            *look_at = (*look_at).min(now.mono + wait);
        }
        if self.receipts.owed.look_at <= now.mono {
            self.pay(now.mono, out);
        }
        let own = self.own();
        if self.receipts.own != own {
            // What others said before may be the same as ours now.
            self.receipts.own = own;
            self.receipts.look = true;
        }
        if self.receipts.member_index != self.table.index() {
            self.receipts.member_index = self.table.index();
            self.receipts.look = true;
            for waiting in self.receipts.waiting.values_mut() {
                waiting.ask_at = waiting.ask_at.min(now.mono + GO);
            }
        }
        self.ask_due(now.mono, out);
        self.settle(now, out);
        self.receipts.next = self.next_receipt();
    }

    fn next_receipt(&self) -> Time {
        let owed = &self.receipts.owed;
        let pay = if owed.is_empty() { Time::NEVER } else { owed.look_at };
        let waiting = self.receipts.waiting.values();
        waiting.map(Waiting::next).fold(pay, Time::min)
    }

    /// The disk has taken something: look what can be said now.
    pub(super) fn receipts_persisted(&mut self, upto: u64, now: Time) {
        self.receipts.persisted = self.receipts.persisted.max(upto);
        self.receipts.owed.look_at = now;
    }

    /// The version that somebody waits for may be here now.
    fn resolve_versions(&mut self, now: Time) {
        let mut resolved = Vec::new();
        let open = self.receipts.waiting.iter_mut().filter(|(_, w)| w.survey.is_none());
        for (&number, waiting) in open {
            let Awaited::Version { keyspace, key, stamp } = &waiting.what else { continue };
            let kept = self.store.find(keyspace, key);
            if let Some(kept) = kept.filter(|kept| kept.entry.stamp >= *stamp) {
                let run = Run::from(kept.entry.dot);
                waiting.survey = Some(survey(Some(run), waiting.durable, waiting.need));
                waiting.ask_at = now;
                resolved.push(number);
            }
        }
        for number in resolved {
            self.owe_myself(number, now);
        }
    }

    // Asking.

    /// Asks so many members whose turn it is; one packet serves all receipts that lack the member.
    fn ask_due(&mut self, now: Time, out: &mut Outbox) {
        if self.receipts.waiting.values().all(|w| w.survey.is_none() || w.ask_at > now) {
            return;
        }
        let (own, size) = (self.own(), self.table.size());
        let again = again(&self.config, size);
        let mut turns: BTreeMap<Slot, Vec<u64>> = BTreeMap::new();
        for (&number, waiting) in &mut self.receipts.waiting {
            let Some(survey) = waiting.survey.as_mut().filter(|_| waiting.ask_at <= now) else {
                continue;
            };
            let worth = match waiting.trace {
                true => size,
                false => {
                    let waited = now.since(waiting.began);
                    worth_asking(needed(waiting.need, size), size, waited, again)
                }
            };
            waiting.ask_at = now + again;
            for &slot in self.table.live() {
                let id = self.table.id(slot);
                let fresh = !survey.was_asked(id);
                if fresh && survey.len() >= worth || !survey.is_due(id, now, again, own) {
                    continue;
                }
                if turns.len() >= ASKS_PER_GO && !turns.contains_key(&slot) {
                    waiting.ask_at = now + GO;
                    break;
                }
                survey.ask(id, now);
                turns.entry(slot).or_default().push(number);
            }
        }
        for (slot, numbers) in turns {
            self.ask_member(slot, &numbers, now, out);
        }
    }

    fn ask_member(&mut self, slot: Slot, numbers: &[u64], now: Time, out: &mut Outbox) {
        let to = self.table.addr(slot);
        let mut runs: Vec<Run> = Vec::new();
        let mut until = now;
        for number in numbers {
            let Some(waiting) = self.receipts.waiting.get(number) else { continue };
            let Some(survey) = &waiting.survey else { continue };
            if waiting.trace || waiting.what == Awaited::Agreement {
                let runs = survey.goal().runs.clone();
                let ask = Ask { now: true, number: *number, wait: Duration::ZERO, runs };
                self.send_ask(&ask, to, now, out);
            } else {
                runs.extend(&survey.goal().runs);
                until = until.max(waiting.deadline);
            }
        }
        runs.sort_unstable();
        runs.dedup();
        for runs in runs.chunks(RUNS_PER_ASK) {
            let wait = until.since(now);
            let ask = Ask { now: false, number: 0, wait, runs: runs.to_vec() };
            self.send_ask(&ask, to, now, out);
        }
    }

    fn send_ask(&mut self, ask: &Ask, to: SocketAddr, now: Time, out: &mut Outbox) {
        self.stats.asks_sent += 1;
        let start = self.begin(out);
        ask.put(&mut out.bytes);
        self.send(Spent::Receipts, start, to, out, now);
    }

    // Answering.

    pub(super) fn asked(
        &mut self,
        ask: Ask,
        sender: NodeId,
        from: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) {
        if self.phase != Phase::Running {
            return;
        }
        let mut said = Vec::new();
        for run in ask.runs {
            if ask.now {
                let applied = self.store.vector().covers_run(run);
                said.push(Said { run, applied, way: self.way_of(run) });
                continue;
            }
            let mut debt = Debt { addr: from, until: now + ask.wait, persist: None };
            if self.holds(run, &mut debt.persist) {
                said.push(Said { run, applied: true, way: self.way_of(run) });
            } else if !self.receipts.owed.owe(sender, run, debt, OWED_MAX, now) {
                self.stats.asks_refused += 1;
            }
        }
        if ask.now || !said.is_empty() {
            self.answer_asker(ask.number, said, from, now, out);
        }
    }

    /// All writes of the run are applied, and nothing that a crash leaves of this identity lacks
    /// them. `persist` remembers which transaction that takes.
    fn holds(&self, run: Run, persist: &mut Option<u64>) -> bool {
        if !self.store.vector().covers_run(run) {
            return false;
        }
        if !self.config.durable {
            return true;
        }
        let last = self.writes.persist_seq + u64::from(self.store.is_dirty());
        let wanted = *persist.get_or_insert(last);
        !self.writes.refused() && self.receipts.persisted >= wanted
    }

    /// Answers everybody who waits for what this node has by now.
    fn pay(&mut self, now: Time, out: &mut Outbox) {
        let mut owed = std::mem::take(&mut self.receipts.owed);
        let paid = owed.take(now, |run, debt| self.holds(run, &mut debt.persist));
        self.receipts.owed = owed;
        let mine = |paid: &&(NodeId, SocketAddr, Run)| paid.0 == self.id;
        for &(_, _, run) in paid.iter().filter(mine) {
            for waiting in self.receipts.waiting.values_mut() {
                let goal = waiting.survey.as_ref().map(Survey::goal);
                if goal.is_some_and(|goal| goal.runs.contains(&run)) {
                    waiting.own = self.config.durable || !waiting.durable;
                    self.receipts.look = true;
                }
            }
        }
        let others: Vec<_> = paid.into_iter().filter(|paid| paid.0 != self.id).collect();
        for of_one in others.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            for some in of_one.chunks(RUNS_PER_ASK) {
                let say =
                    |&(_, _, run): &(_, _, Run)| Said { run, applied: true, way: self.way_of(run) };
                let said = some.iter().map(say).collect();
                self.answer_asker(0, said, of_one[0].1, now, out);
            }
        }
    }

    fn answer_asker(
        &mut self,
        number: u64,
        said: Vec<Said>,
        to: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) {
        self.stats.answers_sent += 1;
        let Own { members, state } = self.own();
        let answer = Answer { durable: self.config.durable, number, members, state, said };
        let start = self.begin(out);
        answer.put(&mut out.bytes);
        self.send(Spent::Receipts, start, to, out, now);
    }

    pub(super) fn answered_ask(&mut self, answer: Answer, sender: NodeId) {
        let own = self.own();
        let receipts = &mut self.receipts;
        for (&number, waiting) in &mut receipts.waiting {
            let at_once = waiting.trace || waiting.what == Awaited::Agreement;
            let Some(survey) = &mut waiting.survey else { continue };
            let meant = if at_once { answer.number == number } else { answer.number == 0 };
            let named = |run: &Run| answer.said.iter().any(|said| said.run == *run);
            if meant && (at_once || survey.goal().runs.iter().any(named)) {
                receipts.look |= survey.heard(sender, &answer, own);
            }
        }
    }

    // Settling.

    /// Answers those who have waited for what is there now, or for too long.
    fn settle(&mut self, now: Now, out: &mut Outbox) {
        let overdue = self.receipts.waiting.values().any(|w| w.deadline <= now.mono);
        if !std::mem::take(&mut self.receipts.look) && !overdue {
            return;
        }
        let numbers: Vec<u64> = self.receipts.waiting.keys().copied().collect();
        for number in numbers {
            let over = self.receipts.waiting[&number].deadline <= now.mono;
            if !over && !self.may_be_settled(number) {
                continue;
            }
            let receipt = self.receipt(number, now);
            let waiting = &self.receipts.waiting[&number];
            let settled = match waiting.need {
                _ if waiting.trace => receipt.missing.iter().all(|m| m.why != Lack::Silent),
                Receipt::Certified => receipt.certificate.is_some(),
                _ => receipt.have.len() >= receipt.needed,
            };
            if settled || over {
                self.end_wait(number, settled, receipt, out);
            }
        }
    }

    /// Cheap and never wrongly no: enough have answered, those that are gone since included.
    fn may_be_settled(&mut self, number: u64) -> bool {
        let (own, size) = (self.own(), self.table.size());
        let Some(waiting) = self.receipts.waiting.get_mut(&number) else { return false };
        let Some(survey) = &mut waiting.survey else { return false };
        let have = survey.satisfied(own) + usize::from(waiting.own);
        waiting.trace || have >= needed(waiting.need, size)
    }

    fn end_wait(&mut self, number: u64, settled: bool, receipt: Receipted, out: &mut Outbox) {
        let Some(waiting) = self.receipts.waiting.remove(&number) else { return };
        let receipt = Box::new(receipt);
        if settled || waiting.trace {
            self.stats.receipts += 1;
            self.stats.certificates += u64::from(receipt.certificate.is_some());
            reply(out, waiting.command, Ok(Reply::Receipted(receipt)));
        } else {
            self.stats.receipts_late += 1;
            reply(out, waiting.command, Err(CommandError::NotEnough(receipt)));
        }
    }

    fn receipt(&self, number: u64, now: Now) -> Receipted {
        let waiting = &self.receipts.waiting[&number];
        let own = self.own();
        let mut receipt = Receipted {
            needed: needed(waiting.need, self.table.size()),
            elapsed: now.mono.since(waiting.began),
            ..Receipted::default()
        };
        let nobody = survey(None, false, waiting.need);
        let survey = waiting.survey.as_ref().unwrap_or(&nobody);
        receipt.writes = survey.goal().runs.first().copied();
        let me = waiting.own.then_some(()).ok_or(Lack::NotApplied);
        self.put_in(&mut receipt, ME, me, self.own_heard(survey));
        for &slot in self.table.live() {
            let id = self.table.id(slot);
            let lack = survey.lacks(id, own).map_or(Ok(()), Err);
            let said = survey.answer(id).map(|heard| (heard.durable, heard.way));
            self.put_in(&mut receipt, slot, lack, said.unwrap_or_default());
        }
        let gone = |id: &NodeId| !self.table.find(*id).is_some_and(|s| self.table.is_live(s));
        receipt.unreachable = survey.asked().filter(gone).map(|id| self.name_of(id)).collect();
        receipt.have.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        receipt.missing.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        receipt.unreachable.sort();
        if waiting.own && receipt.missing.is_empty() && !waiting.trace && !self.doubts_alone() {
            let members = self.table.live().iter().map(|&slot| self.table.id(slot));
            receipt.certificate = certify(survey, self.id, members, own, now.wall_ms);
        }
        receipt
    }

    fn put_in(
        &self,
        receipt: &mut Receipted,
        slot: Slot,
        lack: Result<(), Lack>,
        (durable, way): (bool, Option<Way>),
    ) {
        let (id, name) = (self.table.id(slot), self.table.facts(slot).name.to_string());
        match lack {
            Err(why) => receipt.missing.push(Missing { id, name, why }),
            Ok(()) => receipt.have.push(Holder {
                id,
                name,
                durable,
                path: way.map(|way| way.path),
                hops: way.and_then(|way| way.hops),
                delay: way.and_then(|way| way.delay),
            }),
        }
    }

    fn own_heard(&self, survey: &Survey) -> (bool, Option<Way>) {
        let way = survey.goal().runs.last().and_then(|&run| self.way_of(run));
        (self.config.durable, way)
    }

    fn name_of(&self, id: NodeId) -> String {
        match self.table.find(id) {
            Some(slot) => self.table.facts(slot).name.to_string(),
            None => id.to_string(),
        }
    }

    /// Members that this node alone holds failed are in everybody's fingerprint, its own included.
    fn doubts_alone(&self) -> bool {
        self.table.lost().iter().any(|&slot| self.table.is_unconfirmed(slot))
    }

    fn own(&self) -> Own {
        let prints = self.prints();
        Own { members: prints.members, state: prints.state }
    }

    /// How the last of these writes came here, where it is remembered.
    fn way_of(&self, run: Run) -> Option<Way> {
        self.receipts.delays.way(Dot { origin: run.origin, seq: run.to })
    }

    /// The usual round trip: an eighth of each new one, as of a single peer's.
    pub(super) fn note_rtt(&mut self, rtt: Duration) {
        let usual = &mut self.receipts.usual_rtt;
        *usual = if usual.is_zero() { rtt } else { *usual * 7 / 8 + rtt / 8 };
    }

    /// A peer has said what it holds.
    pub(super) fn note_held(&mut self, peer: NodeId, prints: Prints) {
        if let Some(slot) = self.slot_of(peer) {
            self.receipts.held.note(slot as usize, self.table.slots_end() as usize, prints.state);
        }
    }

    /// How the news that is being handled came here.
    pub(super) fn way_here(&self, via: Via, stamp: Option<Hlc>, now: Now) -> Way {
        let told = self.receipts.trail.told(now.mono);
        let (hops, delay) = told.map_or((None, None), |(hops, age)| (Some(hops), Some(age)));
        match via {
            Via::Rumour(from) if from == self.id => {
                Way { path: Path::Own, hops: Some(0), delay: Some(Duration::ZERO) }
            }
            Via::Rumour(_) => Way { path: Path::Rumour, hops, delay },
            Via::Session | Via::Joining => {
                let since = |stamp: Hlc| now.wall_ms.saturating_sub(stamp.wall_ms());
                let delay = stamp.map(|stamp| Duration::from_millis(since(stamp)));
                Way { path: Path::Session, hops: None, delay }
            }
        }
    }
}

impl Waiting {
    /// Members that are kept for it.
    fn kept(&self) -> usize {
        self.survey.as_ref().map_or(0, Survey::len)
    }

    fn next(&self) -> Time {
        if self.survey.is_some() { self.deadline.min(self.ask_at) } else { self.deadline }
    }
}

fn survey(run: Option<Run>, durable: bool, need: Receipt) -> Survey {
    Survey::new(Goal {
        runs: run.into_iter().collect(),
        durable,
        same_members: need == Receipt::Certified || run.is_none(),
        same_state: run.is_none(),
    })
}
