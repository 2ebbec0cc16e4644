//! Decides how long a cluster may take until all are equal again once faults have stopped: the
//! bound of rule 6, as the sum of what has to happen one after the other.

use std::time::Duration;

use super::budget::DEBT_MAX;
use super::{spread_time, suspicion_min};
use crate::config::{Config, Detector};

/// A request of a reconciliation is given up after this: one that was under way when a fault
/// began can hold a place among `sessions_max` for as long after it ended.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a disk that failed is tried again: first whether it answers, then with all of memory.
pub const DISK_RETRY: Duration = Duration::from_secs(1);
/// Forgotten members asked to announce themselves in one period: caps heal storms.
pub const RECALLS_MAX: usize = 32;

/// The parts of the bound, in the order in which they happen at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Healing {
    /// The sides find each other: lost members are called `recontacts` times per period by the
    /// cluster as a whole (three periods leave e^-9 at the default), forgotten ones by way of a
    /// seed every `seed_every` periods. Meanwhile requests of before the heal are given up and
    /// disks are tried again: whichever takes longer. Where there is a budget, what was owed to it is paid
    /// back first. What has to be told and compared must fit into it.
    pub contact: Duration,
    /// Forgotten members are asked to announce themselves, 32 per period and node.
    pub recall: Duration,
    /// The dead are probed by somebody. A node probes one of n in each period, so that none of n
    /// does in k periods with probability e^-k: k = 5 + ln n. A sick prober's first period is
    /// stretched by its local health. The other detectors wait for their own measure of silence.
    pub detection: Duration,
    /// Doubt becomes a verdict: at most the longest suspicion, once more the shortest if the
    /// suspect was heard meanwhile (late packets), and the wait of a refusal.
    pub suspicion: Duration,
    /// Reconciliation spreads what only some know. Comparing with one peer per period doubles
    /// who is equal: log2 n rounds, and three for the last (Karp et al. 2000). A round is a period,
    /// the time by which rumours are waited for, and two round trips.
    pub repair: Duration,
}

impl Healing {
    /// The parts of the bound for a cluster of this size; `None` without anti-entropy, as rumours
    /// alone miss somebody now and then. Clocks add nothing: entries are merged whatever they say.
    /// Round trips are taken to be shorter than the probe timeout.
    pub fn of(config: &Config, nodes: usize) -> Option<Healing> {
        if !config.anti_entropy {
            return None;
        }
        let (n, period) = (nodes.max(2) as f64, config.probe_period);
        let (ln, log2) = (libm::log(n), libm::log2(n));
        let stretched = period * (config.local_health_max + 1);
        let shortest = suspicion_min(config, nodes.max(2));
        let spread = match config.rumours {
            false => Duration::ZERO,
            // Whatever pace is chosen: all rounds together take half of the shortest suspicion at most.
            true if config.adapts() => shortest.max(spread_time(config, nodes.max(2))),
            true => spread_time(config, nodes.max(2)),
        };
        let owed = if config.bytes_per_second > 0 { DEBT_MAX } else { Duration::ZERO };
        Some(Healing {
            contact: (period * (3 + config.seed_every)).max(SESSION_TIMEOUT + DISK_RETRY * 2)
                + owed,
            recall: period.mul_f64(n / RECALLS_MAX as f64),
            detection: stretched + period.mul_f64(5.0 + ln) + silence(config, ln),
            suspicion: shortest.mul_f64(config.suspicion_beta) + shortest + config.refused_wait,
            repair: (period + spread + config.probe_timeout * 2).mul_f64(log2 + 3.0),
        })
    }

    /// Each part with its name.
    pub fn parts(&self) -> [(&'static str, Duration); 5] {
        [
            ("contact", self.contact),
            ("recall", self.recall),
            ("detection", self.detection),
            ("suspicion", self.suspicion),
            ("repair", self.repair),
        ]
    }

    pub fn total(&self) -> Duration {
        self.parts().iter().map(|(_, part)| *part).sum()
    }
}

/// How long a heartbeat detector lets a member be silent. Counters come by way of others, ln n
/// periods late. Phi of an exponential with the mean of two periods (half of the heartbeats lost)
/// reaches the threshold after `threshold * ln 10` means; the normal forms are quicker.
fn silence(config: &Config, ln_n: f64) -> Duration {
    let period = config.probe_period;
    match config.detector {
        Detector::Swim => Duration::ZERO,
        Detector::Heartbeat => period.mul_f64(f64::from(config.heartbeat_rounds) + ln_n),
        Detector::Phi(_) => {
            let means = config.phi_threshold * std::f64::consts::LN_10;
            let mean = period * 2 + config.phi_min_deviation;
            mean.mul_f64(means) + config.phi_pause + period.mul_f64(ln_n)
        }
    }
}

/// All running members are equal this long after the last fault ended (rule 6): the sum of the
/// parts of [`Healing`].
pub fn equal_within(config: &Config, nodes: usize) -> Option<Duration> {
    Healing::of(config, nodes).map(|healing| healing.total())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_grows_slowly_with_the_cluster_and_with_what_slows_it_down() {
        let total = |config: &Config, n| equal_within(config, n).expect("anti-entropy is on");
        let lan = Config::lan();
        let (ten, thousand) = (total(&lan, 10), total(&lan, 1000));
        assert!(ten < thousand && thousand < ten * 2, "{ten:?} {thousand:?}");
        assert!(total(&Config::local(), 10) < ten && ten < total(&Config::wan(), 10));
        let slower = [
            Config { probe_period: Duration::from_secs(2), ..Config::lan() },
            Config { pause_tolerated: Duration::from_secs(9), ..Config::lan() },
            Config { suspicion_beta: 9.0, ..Config::lan() },
            Config { seed_every: 20, ..Config::lan() },
            Config { local_health_max: 16, ..Config::lan() },
            Config { tick: Duration::from_secs(1), ..Config::lan() },
            Config { probe_timeout: Duration::from_millis(900), ..Config::lan() },
        ];
        for config in slower {
            assert!(total(&config, 10) > ten, "{config:?}");
        }
        let deaf = Config { anti_entropy: false, ..Config::lan() };
        assert_eq!(equal_within(&deaf, 10), None);
    }
}
