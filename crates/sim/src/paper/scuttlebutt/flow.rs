//! Decides how fast each participant may update: additive increase, multiplicative decrease when
//! its own deltas fail to fit, and a fair share of what two peers may do together.

use tidings_proto::flow::aimd::Aimd;

/// Updates per second that a participant may begin to do more, per exchange in which all of its
/// own deltas fitted.
const INCREASE: f64 = 0.04;
/// No participant is silenced: updates per second.
const FLOOR: f64 = 0.1;
/// A bucket holds updates for this many seconds, and at least one.
const BURST_SECONDS: f64 = 4.0;
/// A limit that is not used grows to this many times what is wanted: updates come in bursts.
const HEADROOM: f64 = 2.0;

/// One participant's own limit and the bucket that enforces it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Updates per second that it may do.
    pub(super) rate: f64,
    /// Updates per second that it would like to do.
    pub(super) wanted: f64,
    tokens: f64,
    filled_at: f64,
}

impl Limit {
    pub(super) fn new(rate: f64, wanted: f64) -> Limit {
        Limit { rate, wanted, tokens: 1.0, filled_at: 0.0 }
    }

    /// Whether one update may be done now (seconds); takes its token.
    pub(super) fn admits(&mut self, now: f64) -> bool {
        let depth = (self.rate * BURST_SECONDS).max(1.0);
        self.tokens = (self.tokens + self.rate * (now - self.filled_at)).min(depth);
        self.filled_at = now;
        let admitted = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(admitted));
        admitted
    }

    /// After an exchange.
    pub(super) fn adapt(&mut self, own_fit: bool) {
        let aimd = Aimd { step: INCREASE, floor: FLOOR, ceiling: self.wanted * HEADROOM };
        self.rate = aimd.after(self.rate, own_fit);
    }
}

/// Two peers divide what they may do together: who wants less than half gives the rest away.
pub(super) fn share(a: &mut Limit, b: &mut Limit) {
    let sum = a.rate + b.rate;
    let spare = sum - a.wanted - b.wanted;
    a.rate = match spare >= 0.0 {
        true => a.wanted + spare / 2.0,
        false if a.wanted < sum / 2.0 => a.wanted,
        false if b.wanted < sum / 2.0 => sum - b.wanted,
        false => sum / 2.0,
    };
    b.rate = sum - a.rate;
}

/// Jain's index of fairness: 1 when all get the same, 1/n when one gets all.
pub(super) fn fairness(shares: &[f64]) -> f64 {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
    sum * sum / (shares.len() as f64 * squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_admits_its_rate_and_no_more() {
        let mut limit = Limit::new(2.0, 10.0);
        let admitted = (0..1000).filter(|i| limit.admits(f64::from(*i) * 0.1)).count();
        assert!((198..=208).contains(&admitted), "{admitted} in 100 s at 2 per second");
    }

    #[test]
    fn sharing_keeps_the_sum_and_gives_the_spare_to_who_wants_it() {
        for ((rate_a, wanted_a), (rate_b, wanted_b), share_a) in [
            ((4.0, 8.0), (2.0, 8.0), 3.0), // both want more: halves
            ((4.0, 1.0), (2.0, 8.0), 1.0), // one wants little
            ((4.0, 8.0), (2.0, 1.0), 5.0), // the other
            ((4.0, 1.0), (4.0, 3.0), 3.0), // neither is limited
        ] {
            let (mut a, mut b) = (Limit::new(rate_a, wanted_a), Limit::new(rate_b, wanted_b));
            share(&mut a, &mut b);
            assert_eq!((a.rate, a.rate + b.rate), (share_a, rate_a + rate_b));
        }
    }

    #[test]
    fn fairness_is_one_for_equals_and_one_nth_for_a_monopoly() {
        assert_eq!(fairness(&[3.0; 8]), 1.0);
        assert_eq!(fairness(&[5.0, 0.0, 0.0, 0.0]), 0.25);
    }
}
