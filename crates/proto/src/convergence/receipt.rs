//! Decides how many members a receipt needs, how long it waits, and at what pace it asks.

use std::time::Duration;

use crate::base::time::Time;
use crate::config::Config;
use crate::flow;
use crate::flow::forecast::Rounds;
use crate::io::Receipt;

/// Members asked in one go, and the time to the next: a cluster of 1,000 is asked within 80 ms.
pub const ASKS_PER_GO: usize = 128;
pub const GO: Duration = Duration::from_millis(10);
/// Answers come in time with a probability of 99.9 % in this multiple of the forecast; the rest is
/// for repair by reconciliation.
const MARGIN: u32 = 3;
/// No wait is shorter by default: a probe, its repeats and a session fit.
const WAIT_MIN: Duration = Duration::from_secs(2);

/// Members that have to say yes, of `members` in all, this node included.
pub fn needed(need: Receipt, members: usize) -> usize {
    match need {
        Receipt::All | Receipt::Certified => members,
        Receipt::Quorum => members / 2 + 1,
        Receipt::Fraction(p) => (libm::ceil(p * members as f64) as usize).max(1),
        Receipt::Count(n) => n,
    }
}

/// Members worth asking after `waited`: where few are needed, twice as many, and twice as many
/// again each time that `again` has passed.
pub fn worth_asking(needed: usize, members: usize, waited: Duration, again: Duration) -> usize {
    let goes = waited.as_nanos() / again.as_nanos().max(1);
    let spare = needed.saturating_mul(2) + 2;
    spare.checked_shl(goes.min(32) as u32).unwrap_or(usize::MAX).min(members)
}

/// How long a receipt waits unless told otherwise: three times what news takes to reach all.
pub fn default_wait(config: &Config, members: usize) -> Duration {
    let rounds = Rounds {
        nodes: members.max(2) as u64,
        fanout: config.fanout as u32,
        loss: 0.1,
        pushes: true,
        pulls: false,
    };
    (config.tick * rounds.quantile(0.999) * MARGIN).max(WAIT_MIN)
}

/// Who has not answered is asked again after this long.
pub fn again(config: &Config, members: usize) -> Duration {
    flow::spread_time(config, members)
}

/// When something is to be done about receipts.
#[derive(Debug)]
pub struct Pace {
    pub next: Time,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { next: Time::NEVER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_of_how_many() {
        assert_eq!(needed(Receipt::All, 5), 5);
        assert_eq!((needed(Receipt::Quorum, 4), needed(Receipt::Quorum, 5)), (3, 3));
        assert_eq!(
            (needed(Receipt::Fraction(0.9), 1000), needed(Receipt::Fraction(0.01), 5)),
            (900, 1)
        );
        assert_eq!(needed(Receipt::Count(7), 3), 7, "waits for members to join");
    }

    #[test]
    fn few_needed_few_asked_and_more_as_time_passes() {
        let again = Duration::from_secs(1);
        assert_eq!(worth_asking(2, 1000, Duration::ZERO, again), 6);
        assert_eq!(worth_asking(2, 1000, again * 2, again), 24);
        assert_eq!(worth_asking(2, 1000, again * 60, again), 1000);
        assert_eq!(worth_asking(1000, 1000, Duration::ZERO, again), 1000);
    }

    #[test]
    fn the_default_wait_is_a_multiple_of_the_forecast() {
        let wait = |n| default_wait(&Config::lan(), n);
        assert_eq!(wait(1), WAIT_MIN);
        assert!(wait(1000) > wait(10) && wait(1000) < Duration::from_secs(10), "{:?}", wait(1000));
    }
}
