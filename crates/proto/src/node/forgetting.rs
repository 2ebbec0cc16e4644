//! Decides when deletes and writers that are gone are forgotten: when every member has said that it
//! durably knows of them. And what a node does that was away meanwhile: it learns the whole state of
//! one that was not.
//!
//! One node asks, the others wait for it. Rounds: "do you cover this?", where writes lost to others
//! meanwhile "and these?" until none is left, then "all do: forget". A member that is failed and not
//! retired is waited for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::asking::{Ask, Asked};
use super::packets::{Spent, Via};
use super::{Node, Phase};
use crate::anti_entropy::digest::{DeltaEnd, DeltaRequest, Pairs, Vectors};
use crate::base::id::NodeId;
use crate::base::rng::Rng;
use crate::base::time::{Now, Time};
use crate::dissemination::events::StoredEvent;
use crate::flow::SESSION_TIMEOUT;
use crate::io::{Event, Outbox};
use crate::membership::record::Standing;
use crate::membership::table::ME;
use crate::state::disk;
use crate::state::entry::Entry;
use crate::state::epochs::Epochs;
use crate::state::forgetting::{CUT_MAX, Consent, Cut, FORGET, Question};
use crate::state::store::{self, EntrySlot};
use crate::wire::codec::{DecodeError, Reader, put_u64};
use crate::wire::frame::{Frames, kind, put_frame};

/// Questions of one tick.
const QUESTIONS_PER_TICK: usize = 32;
/// Passes that this node said yes to and that may still end.
pub(super) const NOTED_MAX: usize = 8;
/// A pass of which a round takes longer, in probe periods, is given up.
const PASS_PERIODS: u32 = 60;

#[derive(Debug)]
pub(super) struct Forgetting {
    pub epochs: Epochs,
    rng: Rng,
    /// When this node asks, if nobody did before.
    ask_at: Time,
    pass: Option<Pass>,
    noted: VecDeque<Noted>,
    learning: bool,
    /// Whether who asks for state may not know what was forgotten here.
    asker_apart: bool,
    /// Writers that are gone and held by nothing, as of the last housekeeping.
    gone: Vec<NodeId>,
}

/// What this node is asking.
#[derive(Debug)]
struct Pass {
    id: u64,
    round: u8,
    cut: Cut,
    /// What this round asks for.
    asked: Cut,
    /// Places in `cut` of writers that all would forget.
    gone: u64,
    /// What some have said that others may not know, and what of it all do.
    losers: Cut,
    agreed: Cut,
    members: BTreeMap<NodeId, Progress>,
    started: Time,
    next: Time,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    asked_at: Time,
    /// The last round that it said yes to.
    round: u8,
}

/// What this node said yes to.
#[derive(Debug)]
struct Noted {
    pass: u64,
    cut: Cut,
    losers: Cut,
    gone: u64,
    /// It is on disk when this transaction is.
    persist: u64,
}

/// What came of learning so far.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    at: (u64, u64),
    held: BTreeSet<EntrySlot>,
    epochs: Epochs,
    holes: bool,
}

impl Forgetting {
    pub(super) fn new(epochs: Epochs, seed: &[u8; 32]) -> Forgetting {
        Forgetting {
            epochs,
            rng: Rng::fork(seed, "forgetting"),
            ask_at: Time::NEVER,
            pass: None,
            noted: VecDeque::new(),
            learning: false,
            asker_apart: false,
            gone: Vec::new(),
        }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.ask_at.min(self.pass.as_ref().map_or(Time::NEVER, |pass| pass.next))
    }

    /// The next pass is planned anew.
    pub(super) fn settings_changed(&mut self) {
        self.ask_at = Time::NEVER;
    }

    pub(super) fn noted(&self) -> usize {
        self.noted.len()
    }

    pub(super) fn learning_ended(&mut self) {
        self.learning = false;
    }
}

impl Node {
    pub(super) fn run_forgetting(&mut self, now: Now, out: &mut Outbox) {
        let wanted = self.config.forget_every > Duration::ZERO;
        let any = self.store.tombstones() > 0 || !self.forgetting.gone.is_empty();
        let garbage = wanted && any;
        if garbage && self.forgetting.ask_at == Time::NEVER && self.forgetting.pass.is_none() {
            self.forgetting.ask_at = now.mono + self.patience();
        }
        if self.forgetting.ask_at <= now.mono {
            self.forgetting.ask_at = Time::NEVER;
            if garbage {
                self.start_pass(now, out);
            }
        }
        if self.forgetting.pass.as_ref().is_some_and(|pass| pass.next <= now.mono) {
            self.continue_pass(now, out);
        }
    }

    /// Who sits lower asks first; the others have heard of it when it would be their turn.
    fn patience(&self) -> Duration {
        let lower = self.table.live().iter().filter(|&&s| self.table.id(s) < self.id).count();
        let turn = self.config.tick * (4 + self.table.live().len() as u32 / 8);
        self.config.forget_every + turn * lower as u32
    }

    fn start_pass(&mut self, now: Now, out: &mut Outbox) {
        let mut cut = self.store.deletes_cut(self.clock.last());
        let room = CUT_MAX - cut.len();
        let gone: Vec<NodeId> = self.forgetting.gone.iter().take(room).copied().collect();
        for &origin in &gone {
            cut.insert(origin, self.store.vector().upto(origin));
        }
        let ready = self.phase == Phase::Running && self.sessions.synced;
        if cut.is_empty() || !ready || self.waits_for_members() {
            self.forgetting.ask_at = now.mono + self.patience();
            return;
        }
        let place = |origin: &NodeId| cut.keys().position(|known| known == origin);
        let gone = gone.iter().filter_map(place).fold(0, |mask, at| mask | 1 << at);
        self.stats.forget_passes += 1;
        let pass = Pass {
            // 0 is no pass.
            id: self.forgetting.rng.below(u64::MAX - 1) + 1,
            round: 1,
            asked: cut.clone(),
            cut,
            gone,
            losers: Cut::new(),
            agreed: Cut::new(),
            members: BTreeMap::new(),
            started: now.mono,
            next: now.mono,
        };
        self.forgetting.pass = Some(pass);
        self.continue_pass(now, out);
    }

    /// Asks who has not answered, and goes on when all have.
    fn continue_pass(&mut self, now: Now, out: &mut Outbox) {
        let Some(mut pass) = self.forgetting.pass.take() else { return };
        if now.mono.since(pass.started) > self.config.probe_period * PASS_PERIODS {
            self.stats.forget_passes_given_up += 1;
            self.forgetting.ask_at = now.mono + self.patience();
            return;
        }
        pass.next = now.mono + self.config.tick;
        let again = self.config.probe_period;
        let mut waiting = 0;
        let mut asked = 0;
        for slot in self.table.live().to_vec() {
            let (id, addr) = (self.table.id(slot), self.table.addr(slot));
            let known = pass.members.get(&id).copied();
            if known.is_none() && pass.round > 1 && pass.round != FORGET {
                // It would have to be asked everything: all are, anew.
                self.forgetting.ask_at = now.mono + self.patience();
                return;
            }
            if known.is_some_and(|p| p.round >= pass.round) {
                continue;
            }
            waiting += 1;
            let due = known.is_none_or(|p| now.mono.since(p.asked_at) >= again);
            if due && asked < QUESTIONS_PER_TICK {
                asked += 1;
                let round = known.map_or(0, |p| p.round);
                pass.members.insert(id, Progress { asked_at: now.mono, round });
                // Who came meanwhile starts with the first round.
                let late = round == 0 && pass.round > 1;
                self.put_question(&pass, late, addr, out);
            }
        }
        if waiting > 0 || self.waits_for_members() {
            self.forgetting.pass = Some(pass);
            return;
        }
        pass.started = now.mono; // every round has its own time
        self.next_round(pass);
    }

    /// A member that could bring something back is away, or this node looks for the others.
    fn waits_for_members(&self) -> bool {
        !self.table.lost().is_empty() || self.joins.is_joining()
    }

    fn put_question(&mut self, pass: &Pass, late: bool, to: SocketAddr, out: &mut Outbox) {
        let (round, cut) = if late { (1, &pass.cut) } else { (pass.round, &pass.asked) };
        let head = self.forgetting.epochs.head();
        let question = Question { pass: pass.id, round, head, cut: cut.clone(), gone: pass.gone };
        let start = self.begin(out);
        question.put(&mut out.bytes);
        self.stats.forget_questions += 1;
        self.count_bytes(Spent::Digest, out.bytes.len() - start);
        self.send_bare(start, to, out);
    }

    /// All members have said yes to this round.
    fn next_round(&mut self, mut pass: Pass) {
        if pass.round == FORGET {
            // What did not fit is next.
            let full = pass.cut.len() == CUT_MAX;
            self.forgetting.ask_at = if full { pass.next } else { Time::NEVER };
            return;
        }
        // This node is a member as well: it answers itself.
        let head = self.forgetting.epochs.head();
        let (cut, gone) = (pass.asked.clone(), pass.gone);
        let own = Question { pass: pass.id, round: pass.round, head, cut, gone };
        let mine = self.consider(&own);
        if !mine.yes {
            self.forgetting.pass = Some(pass);
            return;
        }
        pass.gone &= mine.gone;
        join(&mut pass.losers, &mine.losers);
        join(&mut pass.agreed, &pass.asked);
        let agreed = |(origin, upto): &(&NodeId, &u64)| {
            pass.agreed.get(origin).is_some_and(|known| known >= upto)
        };
        let open = pass.losers.iter().filter(|loser| !agreed(loser));
        let beyond: Cut = open.map(|(&origin, &upto)| (origin, upto)).take(CUT_MAX).collect();
        if beyond.is_empty() {
            self.carry_out(pass.id, pass.gone);
            pass.round = FORGET;
            pass.asked = Cut::new();
        } else if pass.round + 1 < FORGET {
            pass.round += 1;
            pass.asked = beyond;
        }
        self.forgetting.pass = Some(pass);
    }

    pub(super) fn forget_asked(
        &mut self,
        question: Question,
        sender: NodeId,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) {
        if self.phase != Phase::Running {
            return;
        }
        if self.forgetting.ask_at != Time::NEVER {
            self.forgetting.ask_at = now.mono + self.patience();
        }
        if question.round == FORGET {
            self.carry_out(question.pass, question.gone);
        }
        if !self.is_in_step(question.head) {
            self.learn(sender, from, out);
        }
        let answer = if question.round == FORGET {
            let head = self.forgetting.epochs.head();
            let (pass, round, gone) = (question.pass, FORGET, question.gone);
            Consent { pass, round, yes: true, head, gone, losers: Cut::new() }
        } else {
            self.consider(&question)
        };
        let start = self.begin(out);
        answer.put(&mut out.bytes);
        self.count_bytes(Spent::Digest, out.bytes.len() - start);
        self.send_bare(start, from, out);
    }

    /// Whether this node covers what is asked, on disk where it has one; notes that it said so.
    fn consider(&mut self, question: &Question) -> Consent {
        let head = self.forgetting.epochs.head();
        let known = self.forgetting.epochs.knows(question.head);
        let covers = known && self.store.covers_cut(&question.cut);
        let place = self.forgetting.noted.iter().position(|n| n.pass == question.pass);
        let before = place.map(|at| &self.forgetting.noted[at]);
        // The places of those gone are places of the first question.
        let cut = before.map_or(&question.cut, |noted| &noted.cut);
        let mut agreed = question.cut.clone();
        if let Some(noted) = before {
            join(&mut agreed, &noted.cut);
            join(&mut agreed, &noted.losers);
        }
        let mut answer = Consent {
            pass: question.pass,
            round: question.round,
            yes: false,
            head,
            gone: self.may_be_forgotten(cut, question.gone),
            losers: self.store.losers_beyond(&agreed),
        };
        if !covers || self.writes.refused() || self.waits_for_members() {
            return answer;
        }
        let persist = self.writes.persist_seq + u64::from(self.store.is_dirty());
        let noted = match place {
            Some(at) => &mut self.forgetting.noted[at],
            None if question.round == 1 => {
                self.forgetting.noted.push_back(Noted {
                    pass: question.pass,
                    cut: question.cut.clone(),
                    losers: Cut::new(),
                    gone: question.gone,
                    persist,
                });
                if self.forgetting.noted.len() > NOTED_MAX {
                    self.forgetting.noted.pop_front();
                }
                self.forgetting.noted.back_mut().expect("just noted")
            }
            None => return answer,
        };
        if question.round > 1 && join(&mut noted.losers, &question.cut) {
            noted.persist = persist;
        }
        answer.yes = !self.config.durable || self.writes.durable_upto >= noted.persist;
        answer
    }

    /// Which of the writers at these places are gone here as well, and held by nothing.
    fn may_be_forgotten(&self, cut: &Cut, places: u64) -> u64 {
        let agreed = cut
            .iter()
            .enumerate()
            .filter(|&(at, (&origin, &upto))| places >> at & 1 == 1 && self.is_over(origin, upto));
        agreed.fold(0, |mask, (at, _)| mask | 1 << at)
    }

    /// Gone for ever, and nothing that is held names it.
    fn is_over(&self, origin: NodeId, upto: u64) -> bool {
        self.is_gone(origin) && self.store.is_idle(origin, upto) && self.events.is_quiet(origin)
    }

    /// No member any more: it cannot write again.
    fn is_gone(&self, origin: NodeId) -> bool {
        let over = |s| matches!(self.table.standing(s), Standing::Left | Standing::Retired);
        origin != self.id && self.table.find(origin).is_none_or(over)
    }

    pub(super) fn forget_answered(
        &mut self,
        answer: Consent,
        sender: NodeId,
        from: SocketAddr,
        now: Now,
        out: &mut Outbox,
    ) {
        let Some(pass) = &mut self.forgetting.pass else { return };
        let asked = pass.members.get_mut(&sender).filter(|_| answer.pass == pass.id);
        let Some(progress) = asked else { return };
        if answer.yes {
            progress.round = progress.round.max(answer.round);
            join(&mut pass.losers, &answer.losers);
            if answer.round != FORGET {
                pass.gone &= answer.gone;
            }
        }
        if pass.round != FORGET && !self.is_in_step(answer.head) {
            // Others have forgotten without this node.
            self.forgetting.pass = None;
            self.forgetting.ask_at = now.mono + self.patience();
            self.learn(sender, from, out);
        }
    }

    /// All have said yes: the deletes of the pass go, and the writers that all would forget.
    fn carry_out(&mut self, pass: u64, gone: u64) {
        let Some(at) = self.forgetting.noted.iter().position(|n| n.pass == pass) else { return };
        let noted = self.forgetting.noted.remove(at).expect("found above");
        let deletes = self.store.forget_deletes(&noted.cut, self.clock.last());
        self.stats.deletes_forgotten += deletes.len() as u64;
        let newest = deletes.iter().map(|entry| entry.stamp).max().unwrap_or_default();
        let floor = &mut self.forgetting.epochs.floor;
        *floor = newest.max(*floor);
        self.store.settle_losers(&noted.cut);
        self.store.settle_losers(&noted.losers);
        for (at, (&origin, _)) in noted.cut.iter().enumerate() {
            // One that has come back since all agreed may write again.
            if gone >> at & 1 == 1 && self.is_gone(origin) {
                self.forget_writer(origin);
            }
        }
        self.forgetting.gone.clear();
        self.look_for_gone();
        self.forgetting.epochs.add(pass);
        self.epochs_changed();
    }

    /// Writers that nothing names any more; looked for now and then.
    pub(super) fn look_for_gone(&mut self) {
        let writers = self.store.vector().prefixes();
        let senders =
            self.events.heads().map(|(origin, _)| (origin, self.store.vector().upto(origin)));
        let over = writers.chain(senders).filter(|&(origin, upto)| self.is_over(origin, upto));
        self.forgetting.gone = over.map(|(origin, _)| origin).take(CUT_MAX).collect();
    }

    /// A peer that is in step names these writers and senders. One that it does not name, that is gone
    /// and holds nothing here, was forgotten there.
    pub(super) fn forget_unlisted(&mut self, listed: &Vectors) {
        if self.forgetting.epochs.head() == 0 || listed.entries.is_empty() {
            return;
        }
        let names = |pairs: &Pairs, origin| pairs.binary_search_by_key(&origin, |p| p.0).is_ok();
        let writers = self.store.vector().prefixes();
        let senders =
            self.events.heads().map(|(origin, _)| (origin, self.store.vector().upto(origin)));
        let gone: BTreeSet<NodeId> = writers
            .chain(senders)
            .filter(|&(id, _)| !names(&listed.entries, id) && !names(&listed.events, id))
            .filter(|&(origin, upto)| self.is_over(origin, upto))
            .map(|(origin, _)| origin)
            .collect();
        for origin in gone {
            self.forget_writer(origin);
        }
    }

    fn forget_writer(&mut self, origin: NodeId) {
        self.store.prune(origin);
        self.events.forget(origin);
        self.stats.writers_forgotten += 1;
    }

    fn epochs_changed(&mut self) {
        if self.config.durable {
            let (at, value) = disk::epochs_change(&self.forgetting.epochs);
            self.writes.member_changes.insert(at, value);
        }
    }

    // Who was away.

    /// Whether this node took part in all that was forgotten up to `head`. A pass that it said yes to
    /// was carried out, as another knows it.
    fn is_in_step(&mut self, head: u64) -> bool {
        if self.forgetting.epochs.knows(head) {
            return true;
        }
        let noted = self.forgetting.noted.iter().find(|n| n.pass == head);
        if noted.is_some_and(|n| n.gone == 0) {
            self.carry_out(head, 0);
        }
        self.forgetting.epochs.knows(head)
    }

    /// What a request for state says about its sender.
    pub(super) fn put_epoch(&self, out: &mut Vec<u8>) {
        let head = self.forgetting.epochs.head();
        if head != 0 {
            put_frame(out, kind::EPOCH, |out| put_u64(out, head));
        }
    }

    /// Before state is given: whether the other has forgotten what we have not. Then what we hold is
    /// no use to it. Where it does not know what we have forgotten, the response says so first.
    pub(super) fn may_give_state(
        &mut self,
        sender: NodeId,
        from: SocketAddr,
        body: &[u8],
        response: &mut Vec<u8>,
        out: &mut Outbox,
    ) -> Result<bool, DecodeError> {
        let (mut asks, mut theirs) = (false, 0);
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            asks |= is_about_state(kind);
            if kind == kind::EPOCH {
                theirs = Reader::new(body).u64("epoch")?;
            }
        }
        self.forgetting.asker_apart = asks && theirs != self.forgetting.epochs.head();
        if !self.forgetting.asker_apart {
            return Ok(true);
        }
        let in_step = self.is_in_step(theirs);
        self.forgetting.epochs.put(response);
        if !in_step {
            self.learn(sender, from, out);
        }
        Ok(in_step)
    }

    /// Before state is taken: the rest of the response, unless the other has forgotten what we have
    /// not. Then we learn its whole state instead.
    pub(super) fn may_take_state<'a>(
        &mut self,
        ask: &mut Ask,
        peer: NodeId,
        addr: SocketAddr,
        body: &'a [u8],
        out: &mut Outbox,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        let learning = matches!(ask, Ask::Learn(_));
        let mut r = Reader::new(body);
        if r.is_empty() || r.u8("frame kind")? != kind::EPOCHS {
            // In step by now: nothing is left to learn.
            return Ok(Some(body).filter(|_| !learning));
        }
        let theirs = Epochs::decode(r.bytes(usize::MAX, "epochs")?)?;
        if let Ask::Learn(learnt) = ask {
            // What was forgotten between two pages may be in the first: begin anew.
            let changed = learnt.at != (0, 0) && learnt.epochs != theirs;
            learnt.epochs = theirs;
            return Ok(Some(r.rest()).filter(|_| !changed));
        }
        if self.is_in_step(theirs.head()) {
            return Ok(Some(r.rest()));
        }
        if self.store.counts().1 == 0 {
            // Nothing is held that could be out of step.
            self.forgetting.epochs.join(&theirs);
            self.epochs_changed();
            return Ok(Some(r.rest()));
        }
        self.learn(peer, addr, out);
        Ok(None)
    }

    fn learn(&mut self, peer: NodeId, addr: SocketAddr, out: &mut Outbox) {
        if self.forgetting.learning {
            return;
        }
        self.stats.state_learnt += 1;
        self.forgetting.learning = true;
        self.ask_to_learn(peer, addr, Learnt::default(), out);
    }

    fn ask_to_learn(&mut self, peer: NodeId, addr: SocketAddr, learnt: Learnt, out: &mut Outbox) {
        let start = self.begin(out);
        let (boot, cursor) = learnt.at;
        DeltaRequest { boot, cursor, full: true, have: self.vectors() }.put(&mut out.bytes);
        let asked = Asked { ask: Ask::Learn(learnt), peer: Some(peer), addr };
        if self.ask(start, asked, SESSION_TIMEOUT, out).is_none() {
            self.forgetting.learning = false;
        }
    }

    pub(super) fn learn_answered(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        mut learnt: Learnt,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        self.forgetting.learning = false;
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            match kind {
                kind::ENTRY => match Entry::decode(body, &self.key, now)? {
                    Some(entry) => self.take_learnt(entry, &mut learnt, now, out),
                    None => learnt.holes = true,
                },
                kind::EVENT => {
                    if let Some(event) = StoredEvent::decode(body, &self.key, now.mono)? {
                        self.apply_event(event, Via::Session, now, out);
                    }
                }
                kind::DELTA_END => {
                    let end = DeltaEnd::decode(body)?;
                    learnt.at = (end.boot, end.cursor);
                    match end.closed {
                        None => {
                            self.forgetting.learning = true;
                            self.ask_to_learn(peer, addr, learnt, out);
                        }
                        Some((vectors, _)) if !learnt.holes => {
                            self.follow(learnt, &vectors, peer, now, out);
                        }
                        Some(_) => {}
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(DecodeError::Truncated("learnt page"))
    }

    fn take_learnt(&mut self, mut entry: Entry, learnt: &mut Learnt, now: Now, out: &mut Outbox) {
        let apart = !learnt.epochs.knows(self.forgetting.epochs.head());
        if apart && entry.is_live() && self.may_be_deleted(&entry) {
            // Both have forgotten without the other. The peer gives it up when it learns in turn.
            self.stats.entries_given_up += 1;
            return self.tell_conflict(store::given_up(&entry), out);
        }
        // The whole of a group comes, or what superseded it.
        entry.group = (entry.dot.seq, 1);
        let place = (entry.keyspace.clone(), entry.key.clone());
        learnt.holes |= !self.apply_entry(entry, Via::Session, false, now, out);
        learnt.held.extend(self.store.slot(&place.0, &place.1));
    }

    /// What an asker gives along that does not know what was forgotten here may be beaten by that.
    pub(super) fn may_take_given(&self, entry: &Entry) -> bool {
        !(self.forgetting.asker_apart && self.may_be_deleted(entry))
    }

    /// Whether a delete that was forgotten may have beaten it: a key that is new here, with a write that
    /// was not seen and is no later than such deletes.
    pub(super) fn may_be_deleted(&self, entry: &Entry) -> bool {
        entry.stamp <= self.forgetting.epochs.floor
            && !self.store.vector().covers(entry.dot)
            && self.store.slot(&entry.keyspace, &entry.key).is_none()
    }

    /// All of the peer's state is here: what it covers and does not hold was deleted.
    fn follow(
        &mut self,
        learnt: Learnt,
        theirs: &Vectors,
        peer: NodeId,
        now: Now,
        out: &mut Outbox,
    ) {
        let floor = learnt.epochs.floor;
        let given_up = self.store.follow(&learnt.held, &theirs.entries, floor, self.clock.last());
        for (entry, seen) in given_up.iter().filter(|(entry, _)| entry.is_live()) {
            self.stats.entries_given_up += 1;
            if !seen {
                self.tell_conflict(store::given_up(entry), out);
            }
            self.emit_event(
                Event::Key {
                    keyspace: entry.keyspace.clone(),
                    key: entry.key.clone(),
                    value: None,
                    kind: entry.merged.as_ref().map(|merged| merged.kind()),
                    dot: entry.dot,
                    stamp: entry.stamp,
                },
                out,
            );
        }
        self.forgetting.epochs.join(&learnt.epochs);
        self.epochs_changed();
        self.close_delta(peer, learnt.at, theirs, &BTreeSet::new(), now, out);
    }

    /// Names of members that are failed and not retired: deletes wait for them.
    pub(super) fn waited_for(&self) -> Vec<String> {
        let name = |&slot: &u32| self.table.facts(slot).name.to_string();
        let mut names: Vec<String> =
            self.table.lost().iter().filter(|&&slot| slot != ME).map(name).collect();
        names.sort();
        names
    }
}

/// The higher of both for each origin; true if something rose.
fn join(cut: &mut Cut, other: &Cut) -> bool {
    let mut rose = false;
    for (&origin, &upto) in other {
        let known = cut.entry(origin).or_default();
        rose |= upto > *known;
        *known = upto.max(*known);
    }
    rose
}

/// Whether a request is about state.
pub(super) fn asks_for_state(body: &[u8]) -> bool {
    Frames::new(body).flatten().any(|(kind, _)| is_about_state(kind))
}

/// Questions whose answers hold entries.
fn is_about_state(frame: u8) -> bool {
    use kind::{COMPARE, DELTA_REQUEST, EXCHANGE, FILTER, TREE, VECTOR_REQUEST};
    matches!(frame, DELTA_REQUEST | VECTOR_REQUEST | COMPARE | EXCHANGE | FILTER | TREE)
}
