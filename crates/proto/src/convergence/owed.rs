//! Decides what this node owes those who asked for writes that it had not applied yet: an answer
//! when it has, on disk where it has one, told a little apart from the others'.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::clocks::Run;
use crate::base::id::NodeId;
use crate::base::time::Time;

/// Answers of all members to one asker come in at most at this rate: fifty thousand a second.
const APART: Duration = Duration::from_micros(20);

const PRUNE_EVERY: Duration = Duration::from_secs(1);

/// Where an answer goes, and for how long it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt {
    pub addr: SocketAddr,
    pub until: Time,
    /// The transaction that makes it durable, once the write is applied.
    pub persist: Option<u64>,
}

/// Answers owed, by asker and write.
#[derive(Debug)]
pub struct Owed {
    debts: BTreeMap<(NodeId, Run), Debt>,
    /// When to look which of them can be answered.
    pub look_at: Time,
    /// Not searched for what nobody waits for any more before this: a flood costs no search each.
    prune_at: Time,
}

impl Default for Owed {
    fn default() -> Owed {
        Owed { debts: BTreeMap::new(), look_at: Time::NEVER, prune_at: Time::ZERO }
    }
}

impl Owed {
    /// Remembers a question, of `most` in all; false where there are too many: whoever asks will ask
    /// again.
    pub fn owe(&mut self, asker: NodeId, run: Run, debt: Debt, most: usize, now: Time) -> bool {
        if self.debts.len() >= most && self.prune_at <= now {
            self.prune_at = now + PRUNE_EVERY;
            self.debts.retain(|_, debt| debt.until > now);
        }
        if self.debts.len() >= most && !self.debts.contains_key(&(asker, run)) {
            return false;
        }
        self.debts.insert((asker, run), debt);
        true
    }

    pub fn is_empty(&self) -> bool {
        self.debts.is_empty()
    }

    pub fn len(&self) -> usize {
        self.debts.len()
    }

    /// Takes every debt for which `payable` says yes, in order of asker; forgets those that nobody
    /// waits for any more.
    pub fn take(
        &mut self,
        now: Time,
        mut payable: impl FnMut(Run, &mut Debt) -> bool,
    ) -> Vec<(NodeId, SocketAddr, Run)> {
        self.look_at = Time::NEVER;
        let mut taken = Vec::new();
        self.debts.retain(|&(asker, run), debt| {
            if debt.until <= now {
                return false;
            }
            let pays = payable(run, debt);
            if pays {
                taken.push((asker, debt.addr, run));
            }
            !pays
        });
        taken
    }
}

/// How long an answer may wait so that those of all `members` do not come in one burst: `share`
/// in 0..1 is this member's place among them.
pub fn apart(members: usize, share: f64) -> Duration {
    (APART * members.min(u32::MAX as usize) as u32).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::OWED_MAX;

    fn debt(until: u64) -> Debt {
        let addr = SocketAddr::from(([10, 0, 0, 1], 1));
        Debt { addr, until: Time::from_secs(until), persist: None }
    }

    #[test]
    fn debts_are_paid_once_forgotten_in_time_and_bounded() {
        let mut owed = Owed::default();
        let (asker, at) = (NodeId::from_u128(1), Time::from_secs);
        let run = |seq| Run { origin: asker, from: seq, to: seq };
        for seq in 1..=OWED_MAX as u64 {
            assert!(owed.owe(
                asker,
                run(seq),
                debt(if seq % 2 == 0 { 5 } else { 9 }),
                OWED_MAX,
                at(1)
            ));
        }
        assert!(!owed.owe(asker, run(9_999_999), debt(9), OWED_MAX, at(1)), "full");
        assert!(owed.owe(asker, run(1), debt(9), OWED_MAX, at(1)), "asked again");
        assert!(owed.owe(asker, run(9_999_999), debt(9), OWED_MAX, at(6)), "the old ones are over");
        let paid = owed.take(at(6), |run, _| run.to < 6);
        assert_eq!(paid.iter().map(|p| p.2.to).collect::<Vec<_>>(), [1, 3, 5]);
        assert!(owed.take(at(6), |run, _| run.to < 6).is_empty());
        owed.take(at(10), |_, _| true);
        assert!(owed.is_empty());
    }
}
