//! Decides whether a peer's fingerprint is equal, merely late, or a difference that rumours have
//! failed to close.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Time;

/// Own fingerprints remembered; older ones count as different.
const RING_MAX: usize = 256;

/// Watches one fingerprint, of the membership or of the state.
#[derive(Debug, Default)]
pub struct Mismatch {
    /// Own earlier fingerprints, each with the time until which it was current.
    ring: VecDeque<(u64, Time)>,
    current: u64,
    changed: Time,
    /// Since when peers differ without interruption.
    since: Option<Time>,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Equal,
    /// The peer has what we had a moment ago, or news is still on its way.
    Late,
    /// It outlived the spread of news: reconcile.
    Differs,
}

impl Mismatch {
    /// The own fingerprint may have changed.
    pub fn update(&mut self, print: u64, now: Time) {
        if print == self.current {
            return;
        }
        self.ring.push_back((self.current, now));
        if self.ring.len() > RING_MAX {
            self.ring.pop_front();
        }
        self.current = print;
        self.changed = now;
    }

    /// The peer has what is here; what was different is so no more.
    pub fn agrees(&mut self, theirs: u64) -> bool {
        let equal = theirs == self.current;
        if equal {
            self.since = None;
        }
        equal
    }

    /// `lasting`: the peer has seen the difference outlive the spread of news.
    pub fn compare(&mut self, theirs: u64, lasting: bool, now: Time, spread: Duration) -> Verdict {
        if self.agrees(theirs) {
            return Verdict::Equal;
        }
        while self.ring.front().is_some_and(|&(_, until)| now.since(until) > spread) {
            self.ring.pop_front();
        }
        if self.ring.iter().any(|&(print, _)| print == theirs) {
            return Verdict::Late;
        }
        let since = *self.since.get_or_insert(now);
        if lasting || now.since(self.changed) >= spread || now.since(since) >= spread {
            return Verdict::Differs;
        }
        Verdict::Late
    }

    /// No own change for as long as news takes to spread: what differs is not on its way here.
    pub fn is_quiet(&self, now: Time, spread: Duration) -> bool {
        now.since(self.changed) >= spread
    }

    /// When the own fingerprint changed last.
    pub fn changed(&self) -> Time {
        self.changed
    }

    /// A session was opened: what still differs a spread time later asks for another.
    pub fn session_opened(&mut self, now: Time) {
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_peers_are_left_alone_and_lasting_differences_are_not() {
        let at = Time::from_millis;
        let spread = Duration::from_millis(500);
        let mut m = Mismatch::default();
        m.update(1, at(0));
        m.update(2, at(10_000));
        let mut compare = |theirs, lasting, now| m.compare(theirs, lasting, at(now), spread);
        assert_eq!(compare(2, false, 10_001), Verdict::Equal);
        assert_eq!(compare(1, false, 10_100), Verdict::Late, "it has what we had");
        assert_eq!(compare(1, true, 10_100), Verdict::Late, "it says so, and news is on its way");
        assert_eq!(compare(9, false, 10_100), Verdict::Late, "news may be on its way");
        assert_eq!(compare(9, true, 10_100), Verdict::Differs, "the peer has waited for it");
        assert_eq!(compare(9, false, 10_700), Verdict::Differs);
        assert_eq!(compare(2, false, 10_800), Verdict::Equal);
        assert_eq!(compare(1, false, 20_000), Verdict::Differs, "late for too long");
    }
}
