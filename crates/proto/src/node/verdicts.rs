//! Decides how doubt about a member grows, is answered, and becomes a verdict that carries its
//! evidence.

use std::time::Duration;

use super::Node;
use super::packets::{REBUTTAL_KEY, Via};
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::detection::message::{Charge, Rebuttal};
use crate::detection::probe::Purpose;
use crate::detection::suspicion::{Suspicion, Terms, is_witness, required_accusers};
use crate::dissemination::queue::Topic;
use crate::dissemination::trail::Trail;
use crate::flow;
use crate::io::{MemberChange, Outbox};
use crate::limits::EVIDENCE_MAX;
use crate::membership::record::{Accusers, Cause, Precedence, Record, Standing};
use crate::membership::table::{ME, Slot};

/// What `why` prints: who accused whom of what, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct CaseFile {
    pub incarnation: u64,
    pub accusers: Accusers,
    pub first_accused: Time,
    pub decided: Option<Time>,
    pub outcome: &'static str,
}

/// How a suspicion ended that ran out without enough accusers: a peer with an equal fingerprint
/// counts the member as alive, or this node itself never accused it.
const VOUCHED: &str = "vouched for";
const NOT_CONFIRMED: &str = "not confirmed";

/// Doubts open at once that each get packets of their own. More gather in those of a tick.
const PROMPT_DOUBTS: usize = 4;

/// An owner's incarnation may rise by this much at once and so much more per second since it was
/// last seen to change; more is no honest node's doing (F2).
pub(super) const INCARNATION_JUMP: u64 = 1 << 20;

impl Node {
    /// This node's own observation.
    pub(super) fn accuse(&mut self, subject: NodeId, cause: Cause, now: Now, out: &mut Outbox) {
        let Some(slot) = self.table.find(subject) else { return };
        if !self.table.is_live(slot) {
            return;
        }
        if self.table.standing(slot) == Standing::Leaving {
            // It said that it was going, and now it is gone.
            return self.change_standing(slot, Standing::Left, now, out);
        }
        let said = self.suspicions.get(slot).is_some_and(|s| s.accusers.contains(self.id));
        self.stats.doubts += u64::from(!said);
        let mut accusers = Accusers::default();
        accusers.add(self.id, cause);
        let incarnation = self.table.incarnation(slot);
        self.suspect(slot, incarnation, &accusers, now, out);
    }

    /// Others' observations.
    pub(super) fn accused(&mut self, charge: &Charge, now: Now, out: &mut Outbox) {
        let Some((slot, accusers)) = self.charged(charge, now, out) else { return };
        let doubtful = self.table.is_live(slot) && self.table.standing(slot) == Standing::Alive;
        if doubtful && !accusers.is_empty() {
            self.suspect(slot, charge.incarnation, &accusers, now, out);
        }
    }

    /// Others' verdict. About an incarnation that this node does not know it says nothing:
    /// fingerprints will.
    pub(super) fn told_verdict(&mut self, charge: &Charge, via: Via, now: Now, out: &mut Outbox) {
        let Some((slot, accusers)) = self.charged(charge, now, out) else { return };
        let (id, incarnation) = (self.table.id(slot), charge.incarnation);
        let (standing, sum) = (Standing::Failed, self.table.precedence(slot).sum);
        // The same sum: nobody will look at the facts.
        let record = Record { id, incarnation, standing, sum, facts: &[], accusers };
        if !self.is_stale(Some(slot), record.precedence(), via, now.mono) {
            self.update_member(slot, &record, via, now, out);
        }
    }

    /// Whom a charge is against, at the incarnation that this node knows, and those accusers that it
    /// knows. A charge against this node itself is refuted.
    fn charged(&mut self, charge: &Charge, now: Now, out: &mut Outbox) -> Option<(Slot, Accusers)> {
        if charge.subject == self.id.short() {
            if charge.incarnation >= self.incarnation && charge.is_recall() {
                self.refute_in_full(charge.incarnation, now, out);
            } else if charge.incarnation >= self.incarnation {
                self.refute(charge.incarnation, now, out);
            }
            return None;
        }
        let slot = self.table.find_short(charge.subject)?;
        if self.table.incarnation(slot) != charge.incarnation {
            self.stats.rumours_stale += 1;
            return None;
        }
        let mut accusers = Accusers::default();
        for &(accuser, cause) in &charge.accusers {
            if let Some(known) = self.table.find_short(accuser) {
                accusers.add(self.table.id(known), cause);
            }
        }
        Some((slot, accusers))
    }

    /// Opens a suspicion or adds to it, tells others while that helps, and bears witness if drawn.
    pub(super) fn suspect(
        &mut self,
        slot: Slot,
        incarnation: u64,
        accusers: &Accusers,
        now: Now,
        out: &mut Outbox,
    ) {
        let opened = self.suspicions.get(slot).is_none();
        if opened && !self.open_suspicion(slot, incarnation, now, out) {
            return;
        }
        let Some(suspicion) = self.suspicions.get_mut(slot) else { return };
        let (mut news, reported) = (opened, accusers);
        for (accuser, cause) in reported.iter() {
            news |= suspicion.accusers.add(accuser, cause);
        }
        if !news {
            return;
        }
        if suspicion.refused.is_none() && suspicion.accusers.refusals() > 0 {
            suspicion.refused = Some(now.mono);
        }
        let accusers = suspicion.accusers.clone();
        if self.is_kept_doubt(reported) {
            self.stats.doubts_kept += 1;
        } else {
            self.tell_accusers(slot, &accusers, opened, now.mono);
        }
        if let Some(case) = self.cases.get_mut(&self.table.id(slot)) {
            case.accusers = accusers;
        }
        if opened {
            self.bear_witness(slot, now, out);
        }
        let terms = self.terms();
        if let Some(suspicion) = self.suspicions.get(slot) {
            let at = suspicion.deadline(&terms).min(suspicion.solicit_at);
            self.suspicions.attend(at);
        }
    }

    fn is_own_doubt(&self, accusers: &Accusers) -> bool {
        accusers.len() == 1 && accusers.contains(self.id)
    }

    /// Whether this node alone doubts the member, and is known to itself to be wrong easily.
    pub(super) fn is_kept_doubt(&self, accusers: &Accusers) -> bool {
        self.is_own_doubt(accusers) && self.health.keeps_doubts()
    }

    /// Tells others what helps them: the first accuser, those that make a verdict, and what shortens
    /// the wait of a silence.
    fn tell_accusers(&mut self, slot: Slot, accusers: &Accusers, opened: bool, now: Time) {
        if !self.may_tell_of(slot, Topic::Accusation, now) {
            return;
        }
        let required = self.config.accusers_required;
        let refusals = accusers.refusals();
        let storm = self.suspicions.len() > PROMPT_DOUBTS;
        let key = u64::from(slot);
        if refusals > required {
            // All that a verdict needs was told before.
        } else if refusals > 0 && !storm {
            // Convicts within a second, and comes once: who is gone does not refute and return.
            self.tell(Topic::Accusation, key, now);
        } else if opened && storm {
            self.relay_accusers(slot, now);
        } else if refusals > 0 || opened {
            self.relay(Topic::Accusation, key, now);
        } else if accusers.len() <= (self.config.suspicion_confirmations + 1).max(required) {
            self.relay_accusers(slot, now);
        }
    }

    fn open_suspicion(&mut self, slot: Slot, incarnation: u64, now: Now, out: &mut Outbox) -> bool {
        let accusers = self.earlier_accusers(slot, incarnation, now.mono);
        let suspicion = Suspicion {
            incarnation,
            started: now.mono,
            accusers: accusers.clone(),
            refused: None,
            not_before: Time::ZERO,
            attempt: 0,
            solicit_at: now.mono + self.config.probe_period * 2,
        };
        if !self.suspicions.open(slot, suspicion) {
            self.stats.suspicion_limit += 1;
            return false;
        }
        self.stats.suspicions += 1;
        self.table.set_suspect(slot, true);
        self.file_case(self.table.id(slot), incarnation, accusers, now.mono, "open");
        self.member_event(MemberChange::Suspect, slot, out);
        true
    }

    /// Who accused this member in a suspicion that ran out a moment ago without enough of them. They
    /// still count: the member gave no sign since, and peers vouched for it that doubt it themselves.
    fn earlier_accusers(&self, slot: Slot, incarnation: u64, now: Time) -> Accusers {
        let case = self.cases.get(&self.table.id(slot));
        let kept = case.filter(|c| {
            let decided = c.decided.unwrap_or(Time::ZERO);
            let heard = self.table.last_heard(slot).is_some_and(|heard| heard > c.first_accused);
            c.incarnation == incarnation
                && [VOUCHED, NOT_CONFIRMED].contains(&c.outcome)
                && now.since(decided) <= self.terms().max
                && !heard
        });
        kept.map_or_else(Accusers::default, |c| c.accusers.clone())
    }

    /// Suspicion solicits evidence: some witnesses, drawn by a hash, probe the suspect at once.
    fn bear_witness(&mut self, slot: Slot, now: Now, out: &mut Outbox) {
        let Some(suspicion) = self.suspicions.get(slot) else { return };
        let subject = self.table.id(slot);
        let drawn = is_witness(
            &self.key,
            self.id,
            subject,
            suspicion.incarnation,
            suspicion.attempt,
            self.config.witnesses,
            self.table.size(),
        );
        let done = suspicion.accusers.contains(self.id) && suspicion.attempt == 0;
        if drawn && !done && !self.probes.probing(subject, Purpose::Witness) {
            self.stats.witness_probes += 1;
            let given = self.health.stretch(self.config.probe_period);
            self.probe(slot, Purpose::Witness, given, now, out);
        }
    }

    /// The suspect answered a probe that was sent at `sent`, or its counter rose then: our own doubt
    /// is over.
    pub(super) fn reached(&mut self, id: NodeId, sent: Time, now: Now, out: &mut Outbox) {
        let Some(slot) = self.table.find(id) else { return };
        self.alive(slot, now.mono);
        if self.table.is_unconfirmed(slot) {
            self.undo_unconfirmed(slot, "answered", now.mono, out);
        }
        if self.suspicions.get(slot).is_some_and(|s| s.started <= sent) {
            self.end_suspicion(slot, "answered", now.mono, out);
        }
        self.yield_name(slot, now, out);
    }

    /// Any sign of life undoes what this node alone believes.
    pub(super) fn heard_from(&mut self, sender: NodeId, now: Now, out: &mut Outbox) {
        if let Some(slot) = self.slot_of(sender) {
            self.pulse.sender = slot;
            self.table.heard(slot, now.mono);
            self.choice.refused.remove(slot);
            if self.table.is_unconfirmed(slot) {
                self.undo_unconfirmed(slot, "answered", now.mono, out);
            }
        }
    }

    /// Where a member is kept; whoever sent the last packet is asked for most.
    pub(super) fn slot_of(&self, id: NodeId) -> Option<Slot> {
        let sender = Some(self.pulse.sender);
        let is = |&slot: &Slot| self.table.in_use(slot) && self.table.id(slot) == id;
        sender.filter(is).or_else(|| self.table.find(id))
    }

    /// A peer whose fingerprint equals ours vouches for everybody in it.
    pub(super) fn undo_all_unconfirmed(&mut self, now: Now, out: &mut Outbox) {
        if self.table.lost().is_empty() {
            return;
        }
        let mine: Vec<Slot> =
            self.table.lost().iter().copied().filter(|&s| self.table.is_unconfirmed(s)).collect();
        for slot in mine {
            self.undo_unconfirmed(slot, VOUCHED, now.mono, out);
        }
    }

    fn undo_unconfirmed(&mut self, slot: Slot, outcome: &'static str, now: Time, out: &mut Outbox) {
        self.table.set_unconfirmed(slot, false, now, &mut self.rng_probe);
        self.close_case(slot, outcome, now);
        self.member_event(MemberChange::Join, slot, out);
        self.look_again(now);
    }

    /// Ends a suspicion in the member's favour.
    pub(super) fn end_suspicion(
        &mut self,
        slot: Slot,
        outcome: &'static str,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(suspicion) = self.suspicions.close(slot) else { return };
        if suspicion.accusers.contains(self.id) {
            self.health.judged(true);
        }
        self.queue.remove(Topic::Accusation, u64::from(slot));
        self.table.set_suspect(slot, false);
        self.close_case(slot, outcome, now);
        self.member_event(MemberChange::Refute, slot, out);
    }

    // Verdicts.

    pub(super) fn run_suspicions(&mut self, now: Now, out: &mut Outbox) {
        if self.suspicions.next_attention() > now.mono {
            return;
        }
        let terms = self.terms();
        for slot in self.suspicions.slots() {
            let Some(suspicion) = self.suspicions.get_mut(slot) else { continue };
            if suspicion.deadline(&terms) <= now.mono {
                self.decide(slot, &terms, now, out);
            } else if suspicion.solicit_at <= now.mono {
                suspicion.attempt += 1;
                suspicion.solicit_at = now.mono + self.config.probe_period * 2;
                self.bear_witness(slot, now, out);
            }
        }
        // Many open suspicions are looked at together, not one by one.
        let soonest = now.mono + self.config.probe_period / 50;
        self.suspicions.schedule(&terms, soonest);
    }

    fn decide(&mut self, slot: Slot, terms: &Terms, now: Now, out: &mut Outbox) {
        let Some(suspicion) = self.suspicions.get(slot) else { return };
        let accusers = suspicion.accusers.clone();
        if self.heard_since_doubt(slot, now.mono) {
            // Not answered, but not silent either: witnesses try again until the longest suspicion.
            if let Some(suspicion) = self.suspicions.get_mut(slot) {
                suspicion.not_before = now.mono + terms.min;
            }
        } else if accusers.len() >= terms.required {
            self.suspicions.close(slot);
            if accusers.contains(self.id) {
                self.health.judged(false);
            }
            self.stats.verdicts += 1;
            let incarnation = self.table.incarnation(slot);
            self.file_case(self.table.id(slot), incarnation, accusers, now.mono, "verdict");
            self.change_standing(slot, Standing::Failed, now, out);
        } else if accusers.contains(self.id) {
            self.suspicions.close(slot);
            self.stats.verdicts_unconfirmed += 1;
            self.queue.remove(Topic::Accusation, u64::from(slot));
            self.table.set_unconfirmed(slot, true, now.mono, &mut self.rng_probe);
            self.close_case(slot, "unconfirmed", now.mono);
            self.member_event(MemberChange::Failed, slot, out);
            self.retire_outlived(slot, now, out);
        } else {
            self.end_suspicion(slot, NOT_CONFIRMED, now.mono, out);
        }
    }

    /// The suspect itself was heard after the doubt began: better evidence than any accuser's, but
    /// not for ever, as a member that is deaf can still be heard.
    fn heard_since_doubt(&self, slot: Slot, now: Time) -> bool {
        let Some(suspicion) = self.suspicions.get(slot) else { return false };
        let began = suspicion.started + Duration::from_millis(100);
        let lasting = now.since(suspicion.started) >= self.terms().max;
        !lasting && self.table.last_heard(slot).is_some_and(|heard| heard > began)
    }

    pub(super) fn terms(&self) -> Terms {
        let min = flow::suspicion_min(&self.config, self.table.size());
        // Besides this node and the subject, who could confirm.
        let eligible = self.table.size().saturating_sub(2);
        Terms {
            min,
            max: min.mul_f64(self.config.suspicion_beta),
            confirmations: self.config.suspicion_confirmations.min(eligible),
            required: required_accusers(self.config.accusers_required, eligible),
            refused_wait: self.config.refused_wait,
        }
    }

    /// A verdict that reached us as a record. Fresh off the rumour mill it is believed if enough
    /// accused; met while comparing states it is old news about a member that we hold alive, and
    /// reopens the case instead: the subject can still refute.
    pub(super) fn verdict_stands(
        &mut self,
        slot: Slot,
        accusers: &Accusers,
        fresh: bool,
        now: Time,
    ) -> bool {
        if !self.table.is_live(slot) || self.table.is_unconfirmed(slot) {
            return true;
        }
        let stands =
            fresh && accusers.len() >= self.terms().required && !self.heard_since_doubt(slot, now);
        self.stats.verdicts_reopened += u64::from(!stands);
        stands
    }

    // Self-defence.

    /// Somebody doubts this node at `incarnation`: announce a higher one.
    pub(super) fn refute(&mut self, incarnation: u64, now: Now, out: &mut Outbox) {
        if self.rise_above(incarnation, out) {
            self.enter_own(Standing::Alive, now.mono);
            self.tell(Topic::Member, u64::from(ME) | REBUTTAL_KEY, now.mono);
            self.reserve(out);
        }
    }

    /// Somebody forgot this node: others may have too.
    fn refute_in_full(&mut self, incarnation: u64, now: Now, out: &mut Outbox) {
        if self.rise_above(incarnation, out) {
            self.announce(Standing::Alive, now, out);
        }
    }

    fn rise_above(&mut self, incarnation: u64, out: &mut Outbox) -> bool {
        if incarnation > self.incarnation.saturating_add(INCARNATION_JUMP) {
            self.stats.record_incarnation_jump += 1;
            return false;
        }
        let next = incarnation.max(self.incarnation) + 1;
        if self.config.durable && next > self.writes.durable.incarnation {
            // Never beyond what is reserved: ask for more, and refute when doubted again.
            self.reserve_beyond(next, out);
            return false;
        }
        self.stats.refutations_own += 1;
        self.health.doubted();
        self.incarnation = next;
        // Doubt and its end say nothing of their way: there may be a storm of them.
        self.receipts.trail = Trail::NONE;
        true
    }

    /// A member's own word that it is here, which its checksum over the facts that we have proves.
    pub(super) fn rebutted(&mut self, rebuttal: Rebuttal, via: Via, now: Now, out: &mut Outbox) {
        let (subject, precedence) = rebuttal.said();
        let Some(slot) = self.table.find_short(subject).filter(|&slot| slot != ME) else { return };
        if self.is_stale(Some(slot), precedence, via, now.mono) {
            return;
        }
        if precedence.facts_sum() != self.table.precedence(slot).facts_sum() {
            // It said something else before, which did not arrive: fetch both.
            self.stats.rebuttals_unproven += 1;
            return self.look_again(now.mono);
        }
        let (id, accusers) = (self.table.id(slot), Accusers::default());
        let Precedence { incarnation, standing, sum, .. } = precedence;
        let record = Record { id, incarnation, standing, sum, facts: &[], accusers };
        self.update_member(slot, &record, via, now, out);
    }

    /// Whether an incarnation rose faster than any honest owner raises it.
    pub(super) fn jumps(&self, slot: Slot, incarnation: u64, now: Time) -> bool {
        let usual = self.table.incarnation(slot).saturating_add(INCARNATION_JUMP);
        let seconds = || now.since(self.table.since(slot)).as_secs();
        incarnation > usual && incarnation > usual.saturating_add(seconds() * 100)
    }

    // Evidence.

    pub(super) fn file_case(
        &mut self,
        id: NodeId,
        incarnation: u64,
        accusers: Accusers,
        now: Time,
        outcome: &'static str,
    ) {
        let decided = (outcome != "open").then_some(now);
        let first_accused = self
            .cases
            .get(&id)
            .map_or(now, |c| if c.incarnation == incarnation { c.first_accused } else { now });
        let case = CaseFile { incarnation, accusers, first_accused, decided, outcome };
        if self.cases.insert(id, case).is_none() {
            self.case_order.push_back(id);
            if self.case_order.len() > EVIDENCE_MAX
                && let Some(oldest) = self.case_order.pop_front()
            {
                self.cases.remove(&oldest);
            }
        }
    }

    fn close_case(&mut self, slot: Slot, outcome: &'static str, now: Time) {
        if let Some(case) = self.cases.get_mut(&self.table.id(slot)) {
            case.decided = Some(now);
            case.outcome = outcome;
        }
    }

    /// Records that this node itself decided on (verdict, departure by force, end of a leaver).
    pub(super) fn change_standing(
        &mut self,
        slot: Slot,
        standing: Standing,
        now: Now,
        out: &mut Outbox,
    ) {
        assert!(slot != ME, "a node does not judge itself");
        let old = self.table.precedence(slot);
        let precedence = Precedence::new(old.incarnation, standing, old.sum);
        self.install(slot, None, precedence, true, now, out);
    }
}
