//! Decides when a question to all members is settled: who is asked next, who has said enough, and
//! who is missing. Answers belong to an identity: another life under the same name has said nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::{Answer, RUNS_PER_ASK, Way};
use crate::base::clocks::Run;
use crate::base::id::NodeId;
use crate::base::time::Time;
use crate::io::Lack;

/// What a member has to say to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// It has applied these writes, at most [`RUNS_PER_ASK`].
    pub runs: Vec<Run>,
    /// On its disk. Members that have a disk never say that they applied what a crash could undo.
    pub durable: bool,
    /// It knows the same members, in its last answer.
    pub same_members: bool,
    /// It holds the same state, in its last answer.
    pub same_state: bool,
}

/// What this node itself holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    pub members: u64,
    pub state: u64,
}

/// What a member has said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// One bit for each run of the goal.
    applied: u64,
    pub durable: bool,
    pub members: u64,
    pub state: u64,
    /// How the last of the writes came to it.
    pub way: Option<Way>,
}

#[derive(Debug)]
struct Asked {
    at: Time,
    heard: Option<Heard>,
}

/// One question to all members.
#[derive(Debug)]
pub struct Survey {
    goal: Goal,
    members: BTreeMap<NodeId, Asked>,
    /// Answers that satisfy the goal, those of members that are gone since included.
    satisfied: usize,
    /// What this node held when they were counted.
    own: Own,
}

impl Survey {
    pub fn new(goal: Goal) -> Survey {
        debug_assert!(goal.runs.len() <= RUNS_PER_ASK);
        Survey { goal, members: BTreeMap::new(), satisfied: 0, own: Own::default() }
    }

    pub fn goal(&self) -> &Goal {
        &self.goal
    }

    /// A member has answered; false where it was not asked.
    pub fn heard(&mut self, from: NodeId, answer: &Answer, own: Own) -> bool {
        self.recount(own);
        let Some(asked) = self.members.get_mut(&from) else { return false };
        let mut applied = 0;
        let mut way = None;
        for (bit, run) in self.goal.runs.iter().enumerate() {
            let said = answer.said.iter().find(|said| said.run == *run);
            applied |= u64::from(said.is_some_and(|said| said.applied)) << bit;
            way = said.and_then(|said| said.way).or(way);
        }
        let before = asked.heard;
        let heard = Heard {
            applied: applied | before.map_or(0, |h| h.applied),
            durable: answer.durable,
            members: answer.members,
            state: answer.state,
            way: way.or(before.and_then(|h| h.way)),
        };
        asked.heard = Some(heard);
        let counted = |h: &Heard| usize::from(lack(&self.goal, h, own).is_none());
        self.satisfied += counted(&heard);
        self.satisfied -= before.as_ref().map_or(0, counted);
        true
    }

    /// Answers that satisfy the goal, those of members that are gone since included: settled is
    /// looked for when they are enough.
    pub fn satisfied(&mut self, own: Own) -> usize {
        self.recount(own);
        self.satisfied
    }

    /// Whether others hold the same changes with what this node holds.
    fn recount(&mut self, own: Own) {
        if self.own != own {
            self.own = own;
            let answers = self.members.values().filter_map(|asked| asked.heard.as_ref());
            self.satisfied = answers.filter(|h| lack(&self.goal, h, own).is_none()).count();
        }
    }

    /// What `member` lacks to count; `None`: nothing.
    pub fn lacks(&self, member: NodeId, own: Own) -> Option<Lack> {
        match self.members.get(&member).and_then(|asked| asked.heard.as_ref()) {
            Some(heard) => lack(&self.goal, heard, own),
            None => Some(Lack::Silent),
        }
    }

    pub fn answer(&self, member: NodeId) -> Option<&Heard> {
        self.members.get(&member).and_then(|asked| asked.heard.as_ref())
    }

    /// Whether it is the turn of `member` to be asked: never asked, or still lacking something
    /// `again` after it was asked last.
    pub fn is_due(&self, member: NodeId, now: Time, again: Duration, own: Own) -> bool {
        match self.members.get(&member) {
            None => true,
            Some(asked) => now.since(asked.at) >= again && self.lacks(member, own).is_some(),
        }
    }

    pub fn was_asked(&self, member: NodeId) -> bool {
        self.members.contains_key(&member)
    }

    pub fn ask(&mut self, member: NodeId, now: Time) {
        self.members.entry(member).or_insert(Asked { at: now, heard: None }).at = now;
    }

    /// Members that were asked.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All that were asked, in order of identity.
    pub fn asked(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.keys().copied()
    }
}

/// What an answer lacks, the gravest first.
fn lack(goal: &Goal, heard: &Heard, own: Own) -> Option<Lack> {
    let all = (1 << goal.runs.len()) - 1;
    if heard.applied & all != all {
        return Some(Lack::NotApplied);
    }
    if goal.durable && !heard.durable {
        return Some(Lack::NoDisk);
    }
    if goal.same_members && heard.members != own.members {
        return Some(Lack::OtherMembers);
    }
    (goal.same_state && heard.state != own.state).then_some(Lack::OtherState)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convergence::message::Said;

    fn run(seq: u64) -> Run {
        Run { origin: NodeId::from_u128(9), from: seq, to: seq }
    }

    fn answer(seqs: &[u64], members: u64) -> Answer {
        let said = |&seq| Said { run: run(seq), applied: true, way: None };
        let said = seqs.iter().map(said).collect();
        Answer { durable: false, number: 0, members, state: 5, said }
    }

    #[test]
    fn a_member_counts_when_it_has_said_all_of_it() {
        let (a, b) = (NodeId::from_u128(1), NodeId::from_u128(2));
        let goal = Goal {
            runs: vec![run(1), run(2)],
            durable: false,
            same_members: true,
            same_state: false,
        };
        let mut survey = Survey::new(goal);
        let own = Own { members: 7, state: 5 };
        survey.ask(a, Time::from_secs(1));
        assert!(!survey.heard(b, &answer(&[1, 2], 7), own), "it was not asked");
        assert_eq!(survey.lacks(b, own), Some(Lack::Silent));
        survey.heard(a, &answer(&[1], 7), own);
        assert_eq!(survey.lacks(a, own), Some(Lack::NotApplied));
        survey.heard(a, &answer(&[2], 6), own);
        assert_eq!((survey.lacks(a, own), survey.satisfied(own)), (Some(Lack::OtherMembers), 0));
        survey.heard(a, &answer(&[], 7), own);
        assert_eq!((survey.lacks(a, own), survey.satisfied(own)), (None, 1));
        let later = Own { members: 8, state: 5 };
        assert_eq!(
            (survey.lacks(a, later), survey.satisfied(later)),
            (Some(Lack::OtherMembers), 0)
        );
    }

    #[test]
    fn only_who_lacks_something_is_asked_again() {
        let (a, at) = (NodeId::from_u128(1), Time::from_secs);
        let goal =
            Goal { runs: vec![run(1)], durable: true, same_members: false, same_state: false };
        let mut survey = Survey::new(goal);
        let (own, again) = (Own::default(), Duration::from_secs(1));
        assert!(survey.is_due(a, at(1), again, own));
        survey.ask(a, at(1));
        assert!(!survey.is_due(a, at(1), again, own) && survey.is_due(a, at(2), again, own));
        survey.heard(a, &answer(&[1], 0), own);
        assert_eq!(survey.lacks(a, own), Some(Lack::NoDisk));
        survey.heard(a, &Answer { durable: true, ..answer(&[1], 0) }, own);
        assert!(!survey.is_due(a, at(9), again, own));
    }
}
