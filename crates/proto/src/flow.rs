//! Decides how much and how long: transmit limits and the expected time for news to spread, from
//! the size of the cluster.

use std::time::Duration;

use crate::config::Config;

/// Sends of one rumour by one node: `factor * log2(n + 1)`, rounded up. A node is missed by
/// rumours alone with probability e^-sends (Demers et al. 1987, blind counter): with 1.8 that is
/// n^-2.6 for one node, n^-1.6 for any of n.
pub fn transmit_limit(factor: f64, nodes: usize) -> u32 {
    (factor * log2(nodes as f64 + 1.0)).ceil().max(1.0) as u32
}

/// Rounds until push with this fanout has told all: ln n / ln(1 + k) + ln n / k + 1 (PAPERS 2.1).
pub fn push_rounds(nodes: usize, fanout: usize) -> f64 {
    let ln_n = ln(nodes.max(2) as f64);
    ln_n / ln(1.0 + fanout as f64) + ln_n / fanout as f64 + 1.0
}

/// How long news normally takes: a difference older than this is worth a reconciliation session.
/// Eager pushes cross in batches; the last few wait for a tick or two.
pub fn spread_time(config: &Config, nodes: usize) -> Duration {
    let eager = config.batch.mul_f64(push_rounds(nodes, config.eager_fanout));
    eager + config.tick * 2
}

/// Minimum suspicion: the tolerated pause, or `alpha * log10 n` periods where that is longer.
pub fn suspicion_min(config: &Config, nodes: usize) -> Duration {
    let log10 = ln(nodes.max(10) as f64) / std::f64::consts::LN_10;
    config.pause_tolerated.max(config.probe_period.mul_f64(config.suspicion_alpha * log10))
}

/// Lifeguard's suspicion timeout after `confirmations` independent ones (Dadgar et al. 2017,
/// IV-B): from `max` down to `min` by log(c + 1) / log(k + 1).
pub fn suspicion_timeout(min: Duration, max: Duration, confirmations: usize, k: usize) -> Duration {
    if k == 0 || confirmations >= k {
        return min;
    }
    let fraction = ln(confirmations as f64 + 1.0) / ln(k as f64 + 1.0);
    max - (max - min).mul_f64(fraction)
}

/// Natural logarithm in plain arithmetic: the same bits on every system (libm's would do, this is
/// its one use). x = m * 2^e; ln m by the atanh series for m in [sqrt(1/2), sqrt(2)).
fn ln(x: f64) -> f64 {
    assert!(x > 0.0, "logarithm of a positive number");
    let bits = x.to_bits();
    let mut e = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        m /= 2.0;
        e += 1;
    }
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let mut term = t;
    let mut sum = 0.0;
    for k in 0..14 {
        sum += term / f64::from(2 * k + 1);
        term *= t2;
    }
    2.0 * sum + e as f64 * std::f64::consts::LN_2
}

fn log2(x: f64) -> f64 {
    ln(x) / std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_exact_enough() {
        for i in 1..20_000 {
            let x = f64::from(i) * 0.37;
            assert!((ln(x) - x.ln()).abs() < 1e-13 * (1.0 + x.ln().abs()), "ln {x}");
        }
    }

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
