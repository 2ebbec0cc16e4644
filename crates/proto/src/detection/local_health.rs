//! Decides how much a node trusts its own probes (Lifeguard, Dadgar et al. 2017, IV-A): a
//! saturating score that slows a sick node down before it accuses others.

use std::time::Duration;

use crate::base::id::NodeId;

/// Failed probes whose answers may still come.
const SILENT_MAX: usize = 8;

#[derive(Clone, Debug)]
pub struct LocalHealth {
    score: u32,
    max: u32,
    /// The last doubt of this node that was decided was wrong.
    was_wrong: bool,
    /// Did not answer the last probes that failed, in their time.
    silent: [NodeId; SILENT_MAX],
    next: usize,
}

impl LocalHealth {
    pub fn new(max: u32) -> LocalHealth {
        LocalHealth { score: 0, max, was_wrong: false, silent: Default::default(), next: 0 }
    }

    pub fn set_max(&mut self, max: u32) {
        self.max = max;
        self.score = self.score.min(max);
    }

    /// 0 is healthy.
    pub fn score(&self) -> u32 {
        self.score
    }

    pub fn probe_succeeded(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// A probe failed: the helpers whose nack did not come say how sick *we* are; with no helper to
    /// ask, the failure itself counts.
    pub fn probe_failed(&mut self, helpers: u32, nacks: u32) {
        let blame = if helpers == 0 { 1 } else { helpers.saturating_sub(nacks) };
        self.worsen(blame);
    }

    /// Others doubted us, or the process stood still.
    pub fn doubted(&mut self) {
        self.worsen(1);
    }

    /// A probe of this member failed.
    pub fn found_silent(&mut self, target: NodeId) {
        self.silent[self.next] = target;
        self.next = (self.next + 1) % SILENT_MAX;
    }

    /// An answer that nobody waits for: if it is that of a member found silent, it was not.
    pub fn late_ack(&mut self, sender: NodeId) {
        if let Some(silent) = self.silent.iter_mut().find(|silent| **silent == sender) {
            *silent = NodeId::default();
            self.was_wrong = true;
        }
    }

    /// Whether a member that this node doubted lived.
    pub fn judged(&mut self, wrong: bool) {
        self.was_wrong = wrong;
    }

    /// Sick and wrong: such a node keeps its doubts to itself. Those that are alone on their side of a
    /// split look as sick, but nobody shows that they are wrong.
    pub fn keeps_doubts(&self) -> bool {
        self.was_wrong && self.score * 2 > self.max
    }

    fn worsen(&mut self, by: u32) {
        self.score = (self.score + by).min(self.max);
    }

    /// Intervals and timeouts stretch by score + 1.
    pub fn stretch(&self, d: Duration) -> Duration {
        d * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nacks_in_time_take_the_blame_away() {
        let mut health = LocalHealth::new(8);
        health.probe_failed(3, 3);
        assert_eq!(health.score(), 0);
        health.probe_failed(3, 1);
        assert_eq!(health.score(), 2);
        health.probe_failed(0, 0);
        assert_eq!(health.stretch(Duration::from_secs(1)), Duration::from_secs(4));
        for _ in 0..10 {
            health.doubted();
        }
        assert_eq!(health.score(), 8);
        assert!(!health.keeps_doubts());
        health.judged(true);
        assert!(health.keeps_doubts());
        health.probe_succeeded();
        assert_eq!(health.score(), 7);
        health.judged(false);
        assert!(!health.keeps_doubts());
        let [slow, other] = [1, 2].map(NodeId::from_u128);
        health.found_silent(slow);
        health.late_ack(other);
        assert!(!health.keeps_doubts());
        health.late_ack(slow);
        assert!(health.keeps_doubts());
    }
}
