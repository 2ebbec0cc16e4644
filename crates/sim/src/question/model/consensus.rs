//! Decides what consensus costs and refuses: a log whose slots are single decrees of Paxos
//! (Lamport 1998), among members that reach each other or not.

use std::collections::BTreeSet;

/// What one member has promised and accepted of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Acceptor {
    promised: u64,
    accepted: Option<(u64, u64)>,
}

/// A replicated log and its costs.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// By slot, by member.
    slots: Vec<Vec<Acceptor>>,
    members: usize,
    /// Pairs that do not hear each other.
    cut: BTreeSet<(usize, usize)>,
    ballot: u64,
    pub(crate) messages: u64,
    /// Sent and received, by member.
    pub(crate) load: Vec<u64>,
}

/// A majority did not answer: nothing may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMajority;

impl Log {
    pub(crate) fn new(members: usize) -> Log {
        Log {
            slots: Vec::new(),
            members,
            cut: BTreeSet::new(),
            ballot: 0,
            messages: 0,
            load: vec![0; members],
        }
    }

    /// From now on the two sides do not hear each other.
    pub(crate) fn split(&mut self, side: &[usize]) {
        let others = (0..self.members).filter(|m| !side.contains(m));
        for other in others {
            for &one in side {
                self.cut.extend([(one, other), (other, one)]);
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Proposes a value for a slot; returns what the slot holds for ever.
    pub(crate) fn decide(
        &mut self,
        slot: usize,
        proposer: usize,
        value: u64,
    ) -> Result<u64, NoMajority> {
        let ballot = self.next_ballot();
        let promises = self.prepare(slot, proposer, ballot);
        if promises.len() * 2 <= self.members {
            return Err(NoMajority);
        }
        let bound = promises.into_iter().flatten().max().map_or(value, |(_, bound)| bound);
        match self.accept(slot, proposer, ballot, bound) * 2 > self.members {
            true => Ok(bound),
            false => Err(NoMajority),
        }
    }

    /// A stable leader, elected for all slots to come, needs only the second phase.
    pub(crate) fn append(
        &mut self,
        slot: usize,
        leader: usize,
        value: u64,
    ) -> Result<u64, NoMajority> {
        let ballot = self.ballot.max(1);
        self.ballot = ballot;
        match self.accept(slot, leader, ballot, value) * 2 > self.members {
            true => Ok(value),
            false => Err(NoMajority),
        }
    }

    /// Puts an operation into the first slot that is free for it; returns what came before.
    pub(crate) fn execute(
        &mut self,
        proposer: usize,
        operation: u64,
    ) -> Result<Vec<u64>, NoMajority> {
        let mut before = Vec::new();
        loop {
            let decided = self.decide(before.len(), proposer, operation)?;
            if decided == operation {
                return Ok(before);
            }
            before.push(decided);
        }
    }

    fn next_ballot(&mut self) -> u64 {
        self.ballot += 1;
        self.ballot
    }

    /// What each member that answers had accepted.
    fn prepare(&mut self, slot: usize, proposer: usize, ballot: u64) -> Vec<Option<(u64, u64)>> {
        let mut promises = Vec::new();
        for member in self.reached(slot, proposer) {
            let acceptor = &mut self.slots[slot][member];
            if ballot > acceptor.promised {
                acceptor.promised = ballot;
                promises.push(acceptor.accepted);
            }
        }
        promises
    }

    /// How many members accepted.
    fn accept(&mut self, slot: usize, proposer: usize, ballot: u64, value: u64) -> usize {
        let mut accepted = 0;
        for member in self.reached(slot, proposer) {
            let acceptor = &mut self.slots[slot][member];
            if ballot >= acceptor.promised {
                *acceptor = Acceptor { promised: ballot, accepted: Some((ballot, value)) };
                accepted += 1;
            }
        }
        accepted
    }

    /// Those who receive the proposer's message and whose answer it receives, itself included.
    fn reached(&mut self, slot: usize, proposer: usize) -> Vec<usize> {
        let members = self.members;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, vec![Acceptor::default(); members]);
        }
        let reached: Vec<usize> =
            (0..members).filter(|&m| !self.cut.contains(&(proposer, m))).collect();
        let answers = reached.len() as u64 - 1;
        self.messages += members as u64 - 1 + answers;
        self.load[proposer] += members as u64 - 1 + answers;
        for &member in reached.iter().filter(|&&m| m != proposer) {
            self.load[member] += 2;
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_proto::base::rng::Rng;

    #[test]
    fn a_minority_decides_nothing_and_a_majority_decides_once() {
        let mut log = Log::new(5);
        log.split(&[0, 1]);
        assert_eq!(log.decide(0, 0, 11), Err(NoMajority));
        assert_eq!(log.decide(0, 4, 22), Ok(22));
        log.heal();
        assert_eq!(log.decide(0, 0, 11), Ok(22));
        assert_eq!(log.execute(1, 33), Ok(vec![22]));
    }

    /// Two proposers whose phases interleave in any way never get different values.
    #[test]
    fn no_schedule_decides_two_values() {
        let mut rng = Rng::from_u64(4);
        for _ in 0..20_000 {
            let mut log = Log::new(3 + 2 * rng.index(2));
            let mut decided = BTreeSet::new();
            // (proposer, ballot, value to propose once promised)
            let mut open: Vec<(usize, u64, Option<u64>)> = Vec::new();
            for _ in 0..8 {
                log.heal();
                let side: Vec<usize> = (0..log.members).filter(|_| rng.chance(0.4)).collect();
                log.split(&side);
                if open.is_empty() || rng.chance(0.5) {
                    let (proposer, ballot) = (rng.index(log.members), log.next_ballot());
                    let promises = log.prepare(0, proposer, ballot);
                    let bound = promises.iter().flatten().max().map(|&(_, v)| v);
                    if promises.len() * 2 > log.members {
                        open.push((proposer, ballot, bound));
                    }
                } else {
                    let (proposer, ballot, bound) = open.remove(rng.index(open.len()));
                    let value = bound.unwrap_or(100 + ballot);
                    if log.accept(0, proposer, ballot, value) * 2 > log.members {
                        decided.insert(value);
                    }
                }
            }
            assert!(decided.len() <= 1, "{decided:?}");
        }
    }

    #[test]
    fn a_stable_leader_sends_and_receives_twice_the_others() {
        let mut log = Log::new(9);
        assert_eq!(log.append(0, 3, 1), Ok(1));
        assert_eq!((log.messages, log.load[3], log.load[0]), (16, 16, 2));
    }
}
