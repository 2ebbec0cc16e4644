//! Decides how much a node trusts its own probes (Lifeguard, Dadgar et al. 2017, IV-A): a
//! saturating score that slows a sick node down before it accuses others.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct LocalHealth {
    score: u32,
    max: u32,
}

impl LocalHealth {
    pub fn new(max: u32) -> LocalHealth {
        LocalHealth { score: 0, max }
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
        health.probe_succeeded();
        assert_eq!(health.score(), 7);
    }
}
