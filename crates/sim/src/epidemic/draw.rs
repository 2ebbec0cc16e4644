//! Decides how partners and counts are drawn: who is called, how many of so many happen, and how
//! many nodes a shower of messages leaves dry. Work per count is bounded, up to 10^8 and beyond.

use libm::{exp, expm1, floor, log, log1p, sqrt};
use tidings_proto::base::rng::Rng;

/// Up to this many messages, or cells, each hit is drawn by itself, exactly.
const EXACT: u64 = 16;
/// Below this mean a binomial is drawn by walking from success to success.
const WALK: f64 = 10.0;

/// Uniform in `0..n`, without bias (Lemire 2019), from half the bits that [`Rng::below`] takes.
pub fn below(rng: &mut Rng, n: u32) -> u32 {
    loop {
        let wide = u64::from(rng.u32()) * u64::from(n);
        let low = wide as u32;
        if low >= n || low >= n.wrapping_neg() % n {
            return (wide >> 32) as u32;
        }
    }
}

/// A uniform set of `count` distinct nodes of `0..nodes` without `caller` (Floyd's algorithm: one
/// draw each). Not in random order.
pub fn partners(rng: &mut Rng, caller: u32, nodes: u32, count: u32, into: &mut Vec<u32>) {
    into.clear();
    for last in nodes - 1 - count..nodes - 1 {
        let mut drawn = below(rng, last + 1);
        drawn += u32::from(drawn >= caller); // the caller's place is skipped
        let last = last + u32::from(last >= caller);
        into.push(if into.contains(&drawn) { last } else { drawn });
    }
}

/// How many of `n` independent trials succeed, each with probability `p`. Exact.
pub fn binomial(rng: &mut Rng, n: u64, p: f64) -> u64 {
    if p <= 0.0 {
        return 0; // also where 1 - p, below, has no bits left
    }
    if p > 0.5 {
        return n - binomial(rng, n, 1.0 - p);
    }
    if n as f64 * p < WALK { binomial_by_gaps(rng, n, p) } else { binomial_by_rejection(rng, n, p) }
}

/// The gap before each success is geometric.
fn binomial_by_gaps(rng: &mut Rng, n: u64, p: f64) -> u64 {
    let scale = log1p(-p);
    let (mut at, mut successes) = (gap(rng, scale), 0);
    while at < n {
        successes += 1;
        at = at.saturating_add(1).saturating_add(gap(rng, scale));
    }
    successes
}

/// Failures before the next success, where `scale` is the logarithm of the chance to fail.
fn gap(rng: &mut Rng, scale: f64) -> u64 {
    // The cast saturates: an endless gap (a chance of 0) is longer than any count.
    (log(1.0 - rng.unit()) / scale) as u64
}

/// Transformed rejection with squeeze (BTRS of Hörmann 1993, "The generation of binomial random
/// variates"); names as there. For `p` of at most a half and a mean of at least 10.
fn binomial_by_rejection(rng: &mut Rng, n: u64, p: f64) -> u64 {
    let trials = n as f64;
    let spq = sqrt(trials * p * (1.0 - p));
    let b = 1.15 + 2.53 * spq;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let centre = trials * p + 0.5;
    let quick = 0.92 - 4.2 / b;
    loop {
        let u = rng.unit() - 0.5;
        let v = 1.0 - rng.unit();
        let us = 0.5 - u.abs();
        let k = floor((2.0 * a / us + b) * u + centre);
        if us >= 0.07 && v <= quick {
            return k as u64;
        }
        if !(0.0..=trials).contains(&k) {
            continue;
        }
        let alpha = (2.83 + 5.1 / b) * spq;
        if log(v * alpha / (a / (us * us) + b)) <= binomial_log_ratio(trials, p, k) {
            return k as u64;
        }
    }
}

/// Logarithm of the probability of `k` over that of the mode.
fn binomial_log_ratio(n: f64, p: f64, k: f64) -> f64 {
    let odds = p / (1.0 - p);
    let mode = floor((n + 1.0) * p);
    (mode + 0.5) * log((mode + 1.0) / (odds * (n - mode + 1.0)))
        + (n + 1.0) * log((n - mode + 1.0) / (n - k + 1.0))
        + (k + 0.5) * log(odds * (n - k + 1.0) / (k + 1.0))
        + stirling_tail(mode)
        + stirling_tail(n - mode)
        - stirling_tail(k)
        - stirling_tail(n - k)
}

/// What Stirling's formula lacks: ln k! = (k + 1/2) ln(k + 1) - (k + 1) + ln(2 pi)/2 + this.
fn stirling_tail(k: f64) -> f64 {
    const TABLE: [f64; 10] = [
        0.081_061_466_795_327_8,
        0.041_340_695_955_409_5,
        0.027_677_925_684_998_4,
        0.020_790_672_103_765_1,
        0.016_644_691_189_821_2,
        0.013_876_128_823_070_8,
        0.011_896_709_945_891_8,
        0.010_411_265_261_972_1,
        0.009_255_462_182_712_73,
        0.008_330_563_433_362_87,
    ];
    if k < 10.0 {
        return TABLE[k as usize];
    }
    let next = k + 1.0;
    let square = next * next;
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / next
}

/// A shower of messages: each of `senders` nodes sends to `fanout` distinct others of `others`,
/// uniformly, and each message is lost with probability `loss`.
#[derive(Clone, Copy, Debug)]
pub struct Shower {
    pub senders: u64,
    pub fanout: u64,
    pub others: u64,
    pub loss: f64,
}

impl Shower {
    /// How many of `dry` nodes, none of them a sender, no message reaches.
    ///
    /// Exact where messages or dry nodes are few. Otherwise a binomial with the exact mean and
    /// variance: the count is a sum of independent indicators (Vatutin and Mikhailov 1982), which
    /// such a binomial follows closely; `moments_and_shape_are_those_of_single_messages` holds it
    /// against single messages.
    pub fn missed(&self, rng: &mut Rng, dry: u64) -> u64 {
        if dry.min(self.senders * self.fanout) <= EXACT {
            return self.missed_message_by_message(rng, dry);
        }
        let (mean, variance) = self.missed_moments(dry);
        let hit = dry as f64 - mean;
        if mean < hit {
            binomial_of(rng, mean, variance).min(dry)
        } else {
            dry - binomial_of(rng, hit, variance).min(dry)
        }
    }

    /// Exact, in time of the hits: leaps to the next message that may be for a dry node, then
    /// accepts it with the share of its true chance in the assumed one. A sender never chooses a
    /// node twice, so those that it chose in vain are out of its reach.
    fn missed_message_by_message(&self, rng: &mut Rng, mut dry: u64) -> u64 {
        let fewest_left = self.others - (self.fanout - 1);
        let messages = self.senders * self.fanout;
        let (mut at, mut sender, mut lost) = (0, 0, 0);
        while dry > 0 {
            let assumed = (dry as f64 / fewest_left as f64).min(1.0);
            at += gap(rng, log1p(-assumed)).min(messages);
            if at >= messages {
                break;
            }
            if at / self.fanout != sender {
                (sender, lost) = (at / self.fanout, 0);
            }
            let left = self.others - at % self.fanout;
            if rng.chance((dry - lost) as f64 / left as f64 / assumed) {
                if rng.chance(self.loss) {
                    lost += 1;
                } else {
                    dry -= 1;
                }
            }
            at += 1;
        }
        dry
    }

    /// Exact mean and variance of the number missed.
    fn missed_moments(&self, dry: u64) -> (f64, f64) {
        let (senders, dry) = (self.senders as f64, dry as f64);
        let (fanout, others) = (self.fanout as f64, self.others as f64);
        let chance = fanout * (1.0 - self.loss) / others; // that one sender reaches one node
        let mean = dry * exp(senders * log1p(-chance));
        if mean == 0.0 {
            return (0.0, 0.0);
        }
        // A sender misses two nodes less often than independence says: a message that reaches the
        // one is not for the other.
        let apart = (others - fanout) / (fanout * (others - 1.0));
        let per_sender = log1p(-chance * chance * apart / ((1.0 - chance) * (1.0 - chance)));
        let together = expm1(senders * per_sender);
        let variance = mean * (1.0 - mean / dry) + mean * mean * (1.0 - 1.0 / dry) * together;
        (mean, variance.max(0.0))
    }
}

/// A binomial with this mean and (as nearly as whole trials allow) this variance.
fn binomial_of(rng: &mut Rng, mean: f64, variance: f64) -> u64 {
    if mean == 0.0 {
        return 0;
    }
    let excess = (mean - variance).max(mean * 1e-12);
    let trials = floor(mean * mean / excess + 0.5).max(libm::ceil(mean));
    binomial(rng, trials as u64, mean / trials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{deviation, mean};

    fn draws(count: usize, mut draw: impl FnMut(&mut Rng) -> u64) -> Vec<f64> {
        let mut rng = Rng::from_u64(11);
        (0..count).map(|_| draw(&mut rng) as f64).collect()
    }

    /// Chi-square of a sample against exact probabilities, classes of fewer than ten joined to
    /// the next, over its number of classes.
    fn chi_square(sample: &[f64], probability: impl Fn(u64) -> f64, most: u64) -> f64 {
        let (mut chi, mut classes, mut expected, mut seen) = (0.0, 0.0, 0.0, 0.0);
        let mut counts = vec![0.0; most as usize + 1];
        sample.iter().for_each(|&x| counts[x as usize] += 1.0);
        for k in 0..=most {
            expected += probability(k) * sample.len() as f64;
            seen += counts[k as usize];
            if expected >= 10.0 {
                chi += (seen - expected) * (seen - expected) / expected;
                (classes, expected, seen) = (classes + 1.0, 0.0, 0.0);
            }
        }
        chi / classes
    }

    fn binomial_probability(n: u64, p: f64, k: u64) -> f64 {
        let ln = |x: u64| libm::lgamma(x as f64 + 1.0);
        let choose = ln(n) - ln(k) - ln(n - k);
        exp(choose + k as f64 * log(p) + (n - k) as f64 * log1p(-p))
    }

    /// By gaps, by rejection, mirrored, and at the seam.
    #[test]
    fn binomial_draws_follow_their_distribution() {
        for (n, p) in [(5, 0.3), (40, 0.2), (40, 0.3), (97, 0.9), (1_000, 0.0101), (400, 0.5)] {
            let sample = draws(40_000, |rng| binomial(rng, n, p));
            let chi = chi_square(&sample, |k| binomial_probability(n, p, k), n);
            assert!(chi < 1.6, "{n} {p}: chi-square per class {chi}");
        }
        for (n, p) in [(100_000_000, 1e-8), (100_000_000, 0.25), (1_000_000, 0.999_999)] {
            let sample = draws(20_000, |rng| binomial(rng, n, p));
            let sd = sqrt(n as f64 * p * (1.0 - p));
            let off = (mean(&sample) - n as f64 * p) / (sd / sqrt(20_000.0));
            assert!(off.abs() < 3.0, "{n} {p}: {off} standard errors");
            assert!((deviation(&sample) / sd - 1.0).abs() < 0.02, "{n} {p}");
        }
        let mut rng = Rng::from_u64(1);
        assert_eq!((binomial(&mut rng, 7, 0.0), binomial(&mut rng, 7, 1.0)), (0, 7));
        assert_eq!(binomial(&mut rng, 0, 0.4), 0);
    }

    /// Every message thrown by itself.
    fn missed_naively(shower: &Shower, rng: &mut Rng, dry: u64) -> u64 {
        let mut hit = vec![false; dry as usize];
        for _ in 0..shower.senders {
            let mut targets = Vec::new();
            while targets.len() < shower.fanout as usize {
                let target = rng.below(shower.others);
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
            for target in targets {
                if target < dry && !rng.chance(shower.loss) {
                    hit[target as usize] = true;
                }
            }
        }
        hit.iter().filter(|&&h| !h).count() as u64
    }

    #[test]
    fn moments_and_shape_are_those_of_single_messages() {
        const RUNS: usize = 10_000;
        let table = [
            // the message-by-message way: few messages, few dry nodes, nearly everybody chosen
            (1, 3, 99, 0.0, 99),
            (20, 3, 99, 0.3, 80),
            (90, 2, 99, 0.1, 10),
            (3, 5, 6, 0.2, 4),
            (1, 1, 1, 0.5, 1),
            (40, 4, 49, 0.5, 10),
            // the binomial way
            (25, 3, 199, 0.0, 175),
            (100, 6, 199, 0.1, 100),
            (120, 2, 199, 0.3, 80),
            (130, 1, 199, 0.0, 70),
            (700, 3, 799, 0.0, 100),
        ];
        for (senders, fanout, others, loss, dry) in table {
            let shower = Shower { senders, fanout, others, loss };
            let fast = draws(RUNS, |rng| shower.missed(rng, dry));
            let naive = draws(RUNS, |rng| missed_naively(&shower, rng, dry));
            let (m, sd) = (mean(&naive), deviation(&naive));
            let off = (mean(&fast) - m) / (sd * sqrt(2.0 / RUNS as f64)).max(1e-9);
            assert!(off.abs() < 3.2, "{shower:?}: {} against {m}, {off} se", mean(&fast));
            let ratio = if sd == 0.0 { 1.0 } else { deviation(&fast) / sd };
            assert!((ratio - 1.0).abs() < 0.035, "{shower:?}: deviation off {ratio}");
            let share = |sample: &[f64], k: f64| {
                sample.iter().filter(|&&x| x <= k).count() as f64 / RUNS as f64
            };
            for k in 0..=dry {
                let gap = (share(&fast, k as f64) - share(&naive, k as f64)).abs();
                assert!(gap < 0.03, "{shower:?} at {k}: distributions differ by {gap}");
            }
        }
    }
}
