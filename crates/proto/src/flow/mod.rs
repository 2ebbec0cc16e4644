//! Decides how much and how long: transmit limits and the expected time for news to spread, from
//! the size of the cluster.

pub mod aimd;
pub mod buckets;
pub mod budget;
pub mod forecast;
mod healing;
pub mod pace;

use std::time::Duration;

use crate::config::Config;

pub use healing::{DISK_RETRY, Healing, RECALLS_MAX, SESSION_TIMEOUT, equal_within};

/// Sends of one rumour by one node: `factor * log2(n + 1)`, rounded up. A node is missed by
/// rumours alone with probability e^-sends (Demers et al. 1987, blind counter): with 1.8 that is
/// n^-2.6 for one node, n^-1.6 for any of n.
pub fn transmit_limit(factor: f64, nodes: usize) -> u32 {
    (factor * libm::log2(nodes as f64 + 1.0)).ceil().max(1.0) as u32
}

/// Rounds until push with this fanout has told all: ln n / ln(1 + k) + ln n / k + 1 (PAPERS 2.1).
pub fn push_rounds(nodes: usize, fanout: usize) -> f64 {
    let ln_n = libm::log(nodes.max(2) as f64);
    ln_n / libm::log(1.0 + fanout as f64) + ln_n / fanout as f64 + 1.0
}

/// How long half of what was never told takes to be told once: rounds of a tick, each of
/// `burst_packets` packets, of rumours of a hundred bytes. An estimate for whoever waits.
pub fn drain_time(config: &Config, untold: usize) -> Duration {
    const RUMOUR_BYTES: usize = 100;
    let per_round = (config.burst_packets * config.changes_bytes / RUMOUR_BYTES).max(1);
    let rounds = (untold / 2).div_ceil(per_round).min(10_000);
    let drained = config.tick.saturating_mul(rounds as u32);
    drained.clamp(Duration::from_millis(10), Duration::from_secs(10))
}

/// How long news normally takes: a difference older than this is worth a reconciliation session.
/// Eager pushes cross in batches; the last few wait for a tick or two.
pub fn spread_time(config: &Config, nodes: usize) -> Duration {
    let eager = config.batch.mul_f64(push_rounds(nodes, config.eager_fanout));
    eager + config.tick * 2
}

/// How long it takes until all have asked for what one has, where each asks one member per interval
/// and whoever is asked learns as well: about log3 n intervals, and three for the last few.
pub fn pull_time(config: &Config, nodes: usize) -> Duration {
    let rounds = libm::log(nodes.max(2) as f64) / libm::log(3.0) + 3.0;
    config.pull_interval.mul_f64(rounds)
}

/// Minimum suspicion: the tolerated pause, or `alpha * log10 n` periods where that is longer.
pub fn suspicion_min(config: &Config, nodes: usize) -> Duration {
    let log10 = libm::log10(nodes.max(10) as f64);
    config.pause_tolerated.max(config.probe_period.mul_f64(config.suspicion_alpha * log10))
}

/// Lifeguard's suspicion timeout after `confirmations` independent ones (Dadgar et al. 2017,
/// IV-B): from `max` down to `min` by log(c + 1) / log(k + 1).
pub fn suspicion_timeout(min: Duration, max: Duration, confirmations: usize, k: usize) -> Duration {
    if k == 0 || confirmations >= k {
        return min;
    }
    let fraction = libm::log(confirmations as f64 + 1.0) / libm::log(k as f64 + 1.0);
    max - (max - min).mul_f64(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_shorten_suspicion_to_its_minimum() {
        let s = Duration::from_secs;
        let timeout = |c| suspicion_timeout(s(5), s(30), c, 3);
        assert_eq!(timeout(0), s(30));
        assert!(timeout(1) < timeout(0) && timeout(2) < timeout(1));
        assert_eq!(timeout(3), s(5));
        assert_eq!(timeout(7), s(5));
    }

    #[test]
    fn limits_grow_with_the_logarithm() {
        assert_eq!(transmit_limit(1.3, 1), 2);
        assert_eq!(transmit_limit(1.3, 100), 9);
        assert_eq!(transmit_limit(1.3, 1000), 13);
        assert_eq!(transmit_limit(1.3, 10_000), 18);
    }
}
