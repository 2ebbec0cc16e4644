//! Decides how long news takes in rounds, before it happens: the mean-field recurrence with a
//! Poisson tail (PAPERS 2.3). Arithmetic alone, no allocation: cheap enough to tune by.
//!
//! The model: synchronous rounds, in each of which a node calls `fanout` distinct others, all
//! others uniformly; each message is lost with probability `loss`. Against the simulated table of
//! PAPERS 2.2 the mean is off by -1.01 to +0.25 rounds, and p99 is at most one round low, save for
//! pull, where nobody may call the lone source for a few rounds: there it is up to five low.

/// Rounds of gossip by push, by pull, or by both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounds {
    /// At least 1.
    pub nodes: u64,
    /// At least 1; all others, if there are no more.
    pub fanout: u32,
    /// Probability that a message is lost: a push, the request of a pull, its reply. Below 1.
    pub loss: f64,
    /// Who knows tells those that it calls.
    pub pushes: bool,
    /// Who does not know learns from those that it calls.
    pub pulls: bool,
}

/// Below this expected number of nodes that do not know, all know.
const ALL_KNOW: f64 = 1e-9;
/// No forecast looks further ahead.
pub const ROUNDS_MAX: u32 = 1_000_000;

impl Rounds {
    /// Expected number of nodes that do not know after each round, the start first.
    pub fn unaware(self) -> impl Iterator<Item = f64> {
        let start = self.nodes.saturating_sub(1) as f64;
        std::iter::successors(Some(start), move |&u| (u > ALL_KNOW).then(|| self.after_round(u)))
            .take(ROUNDS_MAX as usize)
    }

    /// U' = U exp(I ln(1 - a/(n-1))) (1 - qI/(n-1))^k, where I = n - U know, a = k(1-p) pushes of
    /// each arrive, and a pull comes back with probability q = (1-p)^2.
    fn after_round(self, unaware: f64) -> f64 {
        let others = (self.nodes - 1) as f64;
        let aware = self.nodes as f64 - unaware;
        let calls = f64::from(self.fanout).min(others);
        let arrives = 1.0 - self.loss;
        let mut left = unaware;
        if self.pushes {
            left *= libm::exp(aware * libm::log1p(-calls * arrives / others));
        }
        if self.pulls {
            let back = arrives * arrives;
            let each_call = libm::pow((1.0 - back * aware / others).max(0.0), calls);
            let each_aware = libm::pow(1.0 - back * calls / others, aware);
            // Both ignore that calls are distinct, and are too high; where all are called, by much.
            left *= each_call.min(each_aware);
        }
        left
    }

    /// Expected rounds until all know: each round is needed with probability 1 - e^-U.
    pub fn expected(self) -> f64 {
        self.unaware().map(|u| -libm::expm1(-u)).sum()
    }

    /// Rounds after which all know with probability `p`: P(T <= t) = e^-U(t).
    pub fn quantile(self, p: f64) -> u32 {
        let missing = -libm::log(p);
        self.unaware().take_while(|&u| u > missing).count() as u32
    }

    /// Smallest fanout, of at most `most`, with which all know within `rounds` with probability
    /// `p`.
    pub fn smallest_fanout(self, rounds: u32, p: f64, most: u32) -> Option<u32> {
        let meets = |fanout| Rounds { fanout, ..self }.quantile(p) <= rounds;
        if !meets(most) {
            return None;
        }
        // More calls never take longer.
        let (mut low, mut high) = (1, most);
        while low < high {
            let middle = low + (high - low) / 2;
            (low, high) = if meets(middle) { (low, middle) } else { (middle + 1, high) };
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: Rounds = Rounds { nodes: 1000, fanout: 3, loss: 0.0, pushes: true, pulls: false };
    const PULL: Rounds = Rounds { pushes: false, pulls: true, ..PUSH };
    const BOTH: Rounds = Rounds { pulls: true, ..PUSH };
    const FANOUTS: [u32; 4] = [1, 3, 4, 6];

    /// PAPERS 2.2: (mode, nodes, loss, (mean, p99) for each fanout).
    const TABLE: [(Rounds, u64, f64, [(f64, u32); 4]); 27] = [
        (PUSH, 100, 0.0, [(12.31, 16), (5.64, 7), (4.86, 6), (4.01, 5)]),
        (PUSH, 100, 0.1, [(13.45, 18), (6.06, 8), (5.11, 6), (4.07, 5)]),
        (PUSH, 100, 0.3, [(16.70, 23), (7.15, 9), (5.94, 7), (4.69, 6)]),
        (PULL, 100, 0.0, [(9.80, 14), (5.04, 6), (4.32, 5), (3.76, 4)]),
        (PULL, 100, 0.1, [(12.37, 18), (5.81, 8), (4.98, 6), (4.08, 5)]),
        (PULL, 100, 0.3, [(20.78, 30), (8.60, 12), (7.04, 9), (5.47, 7)]),
        (BOTH, 100, 0.0, [(6.53, 8), (3.92, 4), (3.21, 4), (3.00, 3)]),
        (BOTH, 100, 0.1, [(7.58, 10), (4.06, 5), (3.71, 4), (3.01, 3)]),
        (BOTH, 100, 0.3, [(10.45, 14), (5.06, 6), (4.27, 5), (3.66, 4)]),
        (PUSH, 1000, 0.0, [(18.04, 22), (8.17, 10), (6.95, 8), (5.49, 6)]),
        (PUSH, 1000, 0.1, [(19.70, 24), (8.73, 10), (7.27, 8), (5.97, 7)]),
        (PUSH, 1000, 0.3, [(24.48, 31), (10.37, 12), (8.54, 10), (6.72, 8)]),
        (PULL, 1000, 0.0, [(13.76, 18), (7.05, 8), (6.10, 7), (5.06, 6)]),
        (PULL, 1000, 0.1, [(17.77, 23), (8.24, 10), (7.01, 8), (5.75, 7)]),
        (PULL, 1000, 0.3, [(30.17, 40), (12.37, 15), (10.12, 12), (7.79, 9)]),
        (BOTH, 1000, 0.0, [(9.15, 10), (5.06, 6), (4.86, 5), (4.00, 4)]),
        (BOTH, 1000, 0.1, [(10.87, 13), (5.82, 6), (5.01, 5), (4.05, 5)]),
        (BOTH, 1000, 0.3, [(15.15, 19), (7.17, 8), (6.10, 7), (5.02, 6)]),
        (PUSH, 1_000_000, 0.0, [(34.91, 39), (15.40, 17), (12.99, 14), (10.11, 11)]),
        (PUSH, 1_000_000, 0.1, [(38.17, 43), (16.56, 18), (13.80, 15), (10.97, 12)]),
        (PUSH, 1_000_000, 0.3, [(47.40, 54), (19.77, 22), (16.22, 18), (12.51, 14)]),
        (PULL, 1_000_000, 0.0, [(24.73, 29), (12.46, 14), (10.88, 12), (9.03, 10)]),
        (PULL, 1_000_000, 0.1, [(33.61, 39), (15.23, 17), (12.83, 14), (10.22, 11)]),
        (PULL, 1_000_000, 0.3, [(57.79, 67), (23.45, 27), (19.05, 21), (14.53, 16)]),
        (BOTH, 1_000_000, 0.0, [(16.31, 17), (9.03, 10), (8.01, 8), (7.00, 7)]),
        (BOTH, 1_000_000, 0.1, [(20.50, 22), (10.35, 11), (9.01, 10), (7.66, 8)]),
        (BOTH, 1_000_000, 0.3, [(29.00, 33), (13.36, 15), (11.26, 12), (9.05, 10)]),
    ];

    /// Row A4, the part that the core does by itself: the errors are those that the module states.
    #[test]
    fn forecasts_are_as_far_off_the_simulated_table_as_stated() {
        let mut errors = Vec::new();
        for (rounds, nodes, loss, cells) in TABLE {
            for (fanout, (mean, p99)) in FANOUTS.into_iter().zip(cells) {
                let rounds = Rounds { nodes, fanout, loss, ..rounds };
                let error = rounds.expected() - mean;
                assert!((-1.05..=0.3).contains(&error), "{rounds:?}: mean off by {error:.2}");
                let low = i64::from(p99) - i64::from(rounds.quantile(0.99));
                let most = if rounds.pushes { 1 } else { 5 };
                assert!((0..=most).contains(&low), "{rounds:?}: p99 low by {low}");
                errors.push(error);
            }
        }
        let average = errors.iter().sum::<f64>() / errors.len() as f64;
        assert!((-0.2..=0.0).contains(&average), "on average off by {average:.3}");
    }

    /// Row A9.
    #[test]
    fn the_smallest_clusters_and_fanouts_beyond_them() {
        for rounds in [PUSH, PULL, BOTH] {
            let of = |nodes, fanout| Rounds { nodes, fanout, ..rounds };
            assert_eq!((of(1, 3).expected(), of(1, 3).quantile(0.999)), (0.0, 0));
            assert_eq!(of(2, 1).quantile(0.999), 1);
            assert_eq!(of(3, 64).quantile(0.999), 1);
            assert!(of(1000, 1).expected() < 20.0, "one call a round is logarithmic, not n - 1");
        }
    }

    /// Row A8: within what a sweep over all fanouts finds; more never takes longer.
    #[test]
    fn the_smallest_fanout_is_the_first_that_a_sweep_finds() {
        for rounds in [PUSH, PULL, BOTH] {
            for target in 2..20 {
                let swept =
                    (1..=64).find(|&fanout| Rounds { fanout, ..rounds }.quantile(0.99) <= target);
                assert_eq!(rounds.smallest_fanout(target, 0.99, 64), swept, "{rounds:?} {target}");
            }
        }
        assert_eq!(PUSH.smallest_fanout(1, 0.99, 64), None);
    }
}
