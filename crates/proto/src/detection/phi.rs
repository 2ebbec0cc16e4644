//! Decides how much a silence is worth: phi, minus the decimal logarithm of the probability that
//! a heartbeat still comes after so long a wait (Hayashibara et al. 2004), in four forms.
//!
//! A threshold of phi is meant to be wrong once in 10^phi heartbeats. The classic forms keep that
//! promise only where nothing is lost; [`loss_aware`] keeps it under loss. Pure arithmetic through
//! `libm`: the same bits on every system.

use std::collections::VecDeque;
use std::f64::consts::{LN_10, SQRT_2};
use std::time::Duration;

use crate::config::PhiForm;

/// phi of a heartbeat that is `y` standard deviations late: -log10 of the normal distribution's
/// tail, without ever forming a probability. Finite and monotone as far as numbers go.
pub fn normal(y: f64) -> f64 {
    -ln_tail(y) / LN_10
}

/// phi as Akka computes it: a logistic approximation of the normal tail, infinite from about 22
/// deviations on. `mean` includes the acceptable pause; all three in one unit.
pub fn akka(elapsed: f64, mean: f64, deviation: f64) -> f64 {
    let y = (elapsed - mean) / deviation;
    let e = libm::exp(-y * (1.5976 + 0.070566 * y * y));
    if elapsed > mean { -libm::log10(e / (1.0 + e)) } else { -libm::log10(1.0 - 1.0 / (1.0 + e)) }
}

/// phi as Cassandra computes it: intervals are taken for exponential.
pub fn exponential(elapsed: f64, mean: f64) -> f64 {
    1.0 / LN_10 * (elapsed / mean)
}

/// phi where each heartbeat is lost with probability e^`ln_loss`: the next one to arrive may be
/// the j-th after any number of lost ones,
/// `P_later(x) = sum over j of p^j (1 - p) Q((x - (j + 1) period) / deviation)`,
/// summed as logarithms.
pub fn loss_aware(elapsed: f64, period: f64, deviation: f64, ln_loss: f64, ln_kept: f64) -> f64 {
    // From this many losses on, the next heartbeat is surely not due yet: p^j for all of them.
    let sure = ((elapsed + SURE * deviation) / period).floor().max(0.0);
    let mut best = sure * ln_loss;
    let mut sum = 1.0;
    let mut j = sure;
    for _ in 0..TERMS_MAX {
        j -= 1.0;
        if j < 0.0 {
            break;
        }
        let weight = j * ln_loss + ln_kept;
        let y = (elapsed - (j + 1.0) * period) / deviation;
        // Q(y) < e^(-y^2 / 2) beyond the mean, and falls faster than p^j grows from there.
        let bound = weight - 0.5 * y * y;
        if y > 0.0 && bound < best - NEGLIGIBLE && y * period > -ln_loss * deviation {
            break;
        }
        let term = weight + ln_tail(y);
        if term > best {
            sum = sum * libm::exp(best - term) + 1.0;
            best = term;
        } else {
            sum += libm::exp(term - best);
        }
    }
    // Rounding may leave a sum just above one.
    (-(best + libm::log(sum)) / LN_10).max(0.0)
}

/// Deviations after which the normal tail is 1 to the last bit.
const SURE: f64 = 8.3;
/// e^-40 is beyond the last bit of a sum.
const NEGLIGIBLE: f64 = 40.0;
/// Terms of the sum: enough for deviations of several periods.
const TERMS_MAX: usize = 256;

/// ln Q(y), Q being the tail of the normal distribution. The error function serves as far as it
/// does not underflow; its asymptotic series goes on from where their difference is below the last
/// bit (at 6, where it is often begun, phi would step back by 7e-6).
fn ln_tail(y: f64) -> f64 {
    if y < 0.0 {
        libm::log1p(-0.5 * libm::erfc(-y / SQRT_2))
    } else if y < 26.0 {
        libm::log(0.5 * libm::erfc(y / SQRT_2))
    } else {
        let z = 1.0 / (y * y);
        let series = z * (-1.0 + z * (3.0 + z * (-15.0 + z * (105.0 - z * 945.0))));
        -0.5 * y * y - libm::log(y) - LN_SQRT_TAU + libm::log1p(series)
    }
}

const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_7;

/// What the arrivals of one peer's heartbeats look like. Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Of the intervals between arrivals, as the classic forms see them.
    mean: f64,
    spread: f64,
    /// Between sends, by sequence numbers, and how far arrivals stray from it.
    period: f64,
    deviation: f64,
    ln_loss: f64,
    ln_kept: f64,
}

impl Estimate {
    /// From a mean interval, its deviation, and the share of heartbeats that is lost.
    pub fn new(period: f64, deviation: f64, loss: f64) -> Estimate {
        Estimate {
            mean: period,
            spread: deviation,
            period,
            deviation,
            ln_loss: libm::log(loss),
            ln_kept: libm::log1p(-loss),
        }
    }

    /// With intervals of at least this: who seems to beat faster than agreed is not to be doubted
    /// any sooner for it.
    pub fn no_faster_than(self, period: Duration) -> Estimate {
        let least = period.as_secs_f64();
        Estimate { mean: self.mean.max(least), period: self.period.max(least), ..self }
    }

    /// Mean interval between arrivals, in seconds.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard deviation of an arrival from its schedule, in seconds.
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// Share of heartbeats that does not arrive.
    pub fn loss(&self) -> f64 {
        libm::exp(self.ln_loss)
    }

    /// The suspicion level after `elapsed` without a heartbeat, `pause` of it being acceptable.
    pub fn phi(&self, form: PhiForm, elapsed: f64, pause: f64, min_deviation: f64) -> f64 {
        let spread = self.spread.max(min_deviation);
        match form {
            PhiForm::LossAware => {
                let deviation = self.deviation.max(min_deviation);
                loss_aware(elapsed - pause, self.period, deviation, self.ln_loss, self.ln_kept)
            }
            PhiForm::Normal => normal((elapsed - (self.mean + pause)) / spread),
            PhiForm::Akka => akka(elapsed, self.mean + pause, spread),
            PhiForm::Exponential => exponential((elapsed - pause).max(0.0), self.mean),
        }
    }

    /// A cheap answer to "is phi below this threshold?" that is never wrongly yes: without a
    /// logarithm it settles nearly all cases.
    pub fn is_surely_below(
        &self,
        threshold: f64,
        form: PhiForm,
        elapsed: f64,
        pause: f64,
        min_deviation: f64,
    ) -> bool {
        match form {
            PhiForm::LossAware => {
                let reach = elapsed - pause + SURE * self.deviation.max(min_deviation);
                let losses = (reach / self.period).floor().max(0.0);
                -self.ln_loss * losses < threshold * LN_10
            }
            // At the mean itself both are log10 2.
            PhiForm::Normal | PhiForm::Akka => threshold > 0.302 && elapsed < self.mean + pause,
            PhiForm::Exponential => false,
        }
    }

    /// The wait after which phi reaches `threshold`: what a crash costs. To a thousandth of the
    /// mean interval.
    pub fn wait(&self, form: PhiForm, threshold: f64, pause: f64, min_deviation: f64) -> f64 {
        let reached = |t: f64| self.phi(form, t, pause, min_deviation) >= threshold;
        let (mut low, mut high) = (0.0, self.mean + pause);
        while !reached(high) {
            low = high;
            high *= 2.0;
        }
        while high - low > self.mean * 1e-3 {
            let middle = 0.5 * (low + high);
            (low, high) = if reached(middle) { (low, middle) } else { (middle, high) };
        }
        high
    }
}

/// The last arrivals of one peer, with sums that are whole numbers of microseconds and so never
/// drift, however many samples pass through.
#[derive(Clone, Debug)]
pub struct Window {
    /// Interval in microseconds, and how many sends it spans.
    samples: VecDeque<(u32, u16)>,
    size: usize,
    micros: u64,
    sends: u64,
    micros_squared: u128,
    micros_by_sends: u128,
    sends_squared: u128,
}

impl Window {
    /// Keeps `size` samples. Before the first, two stand in for it, a quarter of `first` to either
    /// side (as in Akka).
    pub fn new(size: usize, first: Duration) -> Window {
        let mut window = Window {
            samples: VecDeque::with_capacity(size.max(2)),
            size: size.max(2),
            micros: 0,
            sends: 0,
            micros_squared: 0,
            micros_by_sends: 0,
            sends_squared: 0,
        };
        window.add(first - first / 4, 1);
        window.add(first + first / 4, 1);
        window
    }

    /// A heartbeat arrived `interval` after the one before it; `sends` is the difference of their
    /// sequence numbers, 1 where none was lost.
    pub fn add(&mut self, interval: Duration, sends: u64) {
        if self.samples.len() == self.size
            && let Some((x, g)) = self.samples.pop_front()
        {
            let (x, g) = (u64::from(x), u64::from(g));
            self.micros -= x;
            self.sends -= g;
            self.micros_squared -= u128::from(x * x);
            self.micros_by_sends -= u128::from(x * g);
            self.sends_squared -= u128::from(g * g);
        }
        let x = interval.as_micros().min(u32::MAX.into()) as u64;
        let g = sends.clamp(1, u16::MAX.into());
        self.samples.push_back((x as u32, g as u16));
        self.micros += x;
        self.sends += g;
        self.micros_squared += u128::from(x * x);
        self.micros_by_sends += u128::from(x * g);
        self.sends_squared += u128::from(g * g);
    }

    pub fn estimate(&self) -> Estimate {
        let n = self.samples.len() as f64;
        let (micros, sends) = (self.micros as f64, self.sends as f64);
        let (mean, period) = (micros / n, micros / sends);
        let squares = self.micros_squared as f64;
        let variance = squares / n - mean * mean;
        // Each interval against the sends that it spans: a lost heartbeat is no jitter.
        let strays = squares - 2.0 * period * self.micros_by_sends as f64
            + period * period * self.sends_squared as f64;
        // Half a loss and half an arrival more than were seen (Jeffreys): never impossible.
        let loss = (sends - n + 0.5) / (sends + 1.0);
        Estimate {
            mean: mean * 1e-6,
            spread: libm::sqrt(variance.max(0.0)) * 1e-6,
            period: period.max(1.0) * 1e-6,
            deviation: libm::sqrt((strays / n).max(0.0)) * 1e-6,
            ln_loss: libm::log(loss),
            ln_kept: libm::log1p(-loss),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn near(ours: f64, exact: f64, what: &str) {
        let error = (ours - exact).abs() / exact.abs().max(f64::MIN_POSITIVE);
        assert!(error < 1e-6, "{what}: {ours} against {exact}, off by {error:e}");
    }

    /// Computed with mpmath 1.3 at 60 digits.
    const NORMAL: [(f64, f64); 22] = [
        (-10.0, 3.3092601213067226e-24),
        (-8.0, 2.7017288495439214e-16),
        (-5.0, 1.2449121373882918e-07),
        (-2.0, 0.009994379534108708),
        (-0.5, 0.16023139227784902),
        (0.0, std::f64::consts::LOG10_2),
        (0.5, 0.5106919892652407),
        (1.0, 0.7995455414919705),
        (2.0, 1.643016080140937),
        (4.0, 4.499334907556479),
        (6.0, 9.005864327476704),
        (6.5, 10.3962062327239),
        (8.0, 15.206142551017155),
        (10.0, 23.118053405486076),
        (15.0, 50.43521961427551),
        (20.0, 88.56009534307559),
        (25.99, 148.49317682596603),
        (26.0, 148.60623825415024),
        (37.0, 299.24218117860994),
        (100.0, 2173.8715428690343),
        (1e4, 21714728.49425253),
        (1e6, 217147240958.025),
    ];

    #[test]
    fn the_normal_form_is_exact_to_a_million_deviations() {
        for (y, exact) in NORMAL {
            near(normal(y), exact, &format!("y = {y}"));
        }
        let mut y = -40.0;
        let mut last = normal(y);
        assert!(last >= 0.0);
        while y < 1e6 {
            y += (f64::abs(y) * 1e-5).max(1e-5);
            let phi = normal(y);
            assert!(phi.is_finite() && phi >= last, "phi falls from {last} to {phi} at {y}");
            last = phi;
        }
    }

    /// `((elapsed, period, deviation, loss), phi)`, computed with mpmath 1.3 at 60 digits.
    const LOSS_AWARE: [((f64, f64, f64, f64), f64); 12] = [
        ((0.9, 1.0, 0.05, 0.01), 0.009893288633822273),
        ((1.1, 1.0, 0.07, 0.05), 0.9110296649946837),
        ((1.3, 1.0, 0.05, 0.0005), 3.301029139154155),
        ((2.5, 1.0, 0.05, 0.3), 1.045757490560675),
        ((3.2, 1.0, 0.1, 0.3), 1.5461733694281563),
        ((8.0, 1.0, 0.07, 0.1), 7.259637310505756),
        ((100.0, 1.0, 0.07, 0.1), 99.25963731050575),
        ((1000.0, 1.0, 0.2, 0.001), 2997.3003475045675),
        ((5.0, 1.0, 1.5, 0.3), 1.6427798458823246),
        ((40.0, 1.0, 3.0, 0.05), 33.70003414562028),
        ((30.0, 1.0, 0.01, 0.9), 1.3492436209707308),
        ((0.5, 0.1, 0.03, 0.2), 3.0165378345415075),
    ];

    #[test]
    fn the_loss_aware_form_is_its_sum() {
        let phi = |x: f64, period, deviation, loss: f64| {
            loss_aware(x, period, deviation, libm::log(loss), libm::log1p(-loss))
        };
        for ((x, period, deviation, loss), exact) in LOSS_AWARE {
            near(phi(x, period, deviation, loss), exact, &format!("{x} {deviation} {loss}"));
        }
        assert_eq!(phi(0.0, 1.0, 0.05, 0.01), 0.0);
        for (deviation, loss) in [(0.001, 1e-6), (0.05, 0.01), (0.3, 0.3), (2.0, 0.7)] {
            let mut last = 0.0;
            for step in 0..40_000 {
                let phi = phi(f64::from(step) * 0.01, 1.0, deviation, loss);
                assert!(phi.is_finite() && phi >= last - 1e-9, "{last} then {phi} at {step}");
                last = phi;
            }
        }
    }

    /// The published expressions, evaluated by CPython 3.11: `(t, mean, deviation, phi)`.
    const AKKA: [(f64, f64, f64, f64); 10] = [
        (900.0, 1000.0, 100.0, 0.0750330321409399),
        (1000.0, 1000.0, 100.0, std::f64::consts::LOG10_2),
        (1200.0, 1000.0, 100.0, 1.6428278854871123),
        (1400.0, 1000.0, 100.0, 4.736694582705181),
        (1600.0, 1000.0, 100.0, 10.782600858295707),
        (1800.0, 1000.0, 100.0, 21.241600212221336),
        (2000.0, 1000.0, 100.0, 37.58471305287122),
        (3111.0, 1000.0, 100.0, 302.94664049010663),
        (4550.0, 4000.0, 100.0, 8.914857615327081),
        (1001.0, 1000.5, 123.25, 0.3024396377899697),
    ];
    const CASSANDRA: [(f64, f64, f64); 4] = [
        (1000.0, 1000.0, 0.43429448190325176),
        (18_420.0, 1000.0, 7.999704356657898),
        (18_421.0, 1000.0, 8.0001386511398),
        (250.5, 1003.25, 0.1084383431016841),
    ];

    /// Bit for bit on one mathematical library. Akka's values came from another, whose exponential
    /// and logarithm may differ in their last bits.
    #[test]
    fn the_classic_forms_are_as_published() {
        for (t, mean, deviation, theirs) in AKKA {
            let ours = akka(t, mean, deviation);
            let apart = ours.to_bits().abs_diff(theirs.to_bits());
            assert!(apart <= 4, "{t} {mean} {deviation}: {ours} against {theirs}");
            let y = (t - mean) / deviation;
            let e = libm::exp(-y * (1.5976 + 0.070566 * y * y));
            let published = match t > mean {
                true => -libm::log10(e / (1.0 + e)),
                false => -libm::log10(1.0 - 1.0 / (1.0 + e)),
            };
            assert_eq!(ours.to_bits(), published.to_bits());
        }
        for (t, mean, theirs) in CASSANDRA {
            assert_eq!(exponential(t, mean).to_bits(), theirs.to_bits(), "{t} {mean}");
        }
        // What the logistic approximation costs (PAPERS 4), and where it ends.
        let at = |y: f64| (akka(y, 0.0, 1.0), normal(y));
        assert!(at(20.0).0 > 258.0 && at(20.0).1 < 88.7);
        assert!(at(22.0).0.is_infinite() && at(22.0).1.is_finite());
    }

    #[test]
    fn sums_do_not_drift_and_losses_are_no_jitter() {
        let mut rng = Rng::from_u64(4);
        let mut window = Window::new(200, Duration::from_secs(1));
        let mut last = VecDeque::new();
        for _ in 0..200_000 {
            let sends = 1 + u64::from(rng.chance(0.1)) * (1 + rng.below(3));
            let micros = 1_000_000 * sends + rng.below(80_000);
            window.add(Duration::from_micros(micros), sends);
            last.push_back((micros, sends));
            if last.len() > 200 {
                last.pop_front();
            }
        }
        let mut fresh = Window::new(200, Duration::from_secs(1));
        last.iter().for_each(|&(micros, sends)| fresh.add(Duration::from_micros(micros), sends));
        let estimate = window.estimate();
        assert_eq!(estimate, fresh.estimate());
        // Uniform jitter of 80 ms has a deviation of 23 ms; a gap's share of it is a little less.
        assert!((0.02..0.035).contains(&estimate.deviation()), "{estimate:?}");
        assert!((0.05..0.3).contains(&estimate.loss()), "{estimate:?}");
        let sends: u64 = last.iter().map(|s| s.1).sum();
        let micros: u64 = last.iter().map(|s| s.0).sum();
        near(estimate.mean(), micros as f64 / 200.0 * 1e-6, "mean");
        near(estimate.period, micros as f64 / sends as f64 * 1e-6, "period");
    }

    #[test]
    fn a_first_estimate_stands_in_for_samples_and_a_wait_is_where_phi_gets_there() {
        let first = Window::new(100, Duration::from_secs(2)).estimate();
        near(first.mean(), 2.0, "mean");
        near(first.deviation(), 0.5, "deviation");
        for form in [PhiForm::LossAware, PhiForm::Normal, PhiForm::Akka, PhiForm::Exponential] {
            let wait = first.wait(form, 8.0, 1.0, 0.1);
            assert!(first.phi(form, wait, 1.0, 0.1) >= 8.0 && wait > 4.0, "{form:?} {wait}");
            assert!(first.phi(form, wait - 0.01, 1.0, 0.1) < 8.0);
        }
        let cassandra = first.wait(PhiForm::Exponential, 8.0, 0.0, 0.1) / first.mean();
        assert!((cassandra - 18.42).abs() < 2e-3, "PAPERS 4: 18.42 intervals, not {cassandra}");
    }

    #[test]
    fn what_is_surely_below_is_below() {
        let mut settled = 0;
        for form in [PhiForm::LossAware, PhiForm::Normal, PhiForm::Akka] {
            for (deviation, loss) in [(0.01, 0.001), (0.1, 0.05), (0.6, 0.3)] {
                let estimate = Estimate::new(1.0, deviation, loss);
                for step in 0..2_000 {
                    let t = f64::from(step) * 0.01;
                    for threshold in [0.31, 1.0, 8.0] {
                        let phi = estimate.phi(form, t, 0.3, 0.02);
                        let below = estimate.is_surely_below(threshold, form, t, 0.3, 0.02);
                        assert!(!below || phi < threshold + 1e-9, "{form:?} {t}: {phi}");
                        settled += i32::from(below);
                    }
                }
            }
        }
        assert!(settled > 4_000, "{settled}");
    }

    /// A measurement, not a bar: it depends on the machine (PAPERS 4 asks for 100 ns in release).
    #[test]
    fn what_a_call_costs() {
        let estimate = Estimate::new(1.0, 0.07, 0.05);
        for form in [PhiForm::LossAware, PhiForm::Normal, PhiForm::Akka, PhiForm::Exponential] {
            let start = std::time::Instant::now();
            let mut sum = 0.0;
            for i in 0..200_000 {
                sum += estimate.phi(form, 0.9 + f64::from(i % 1000) * 0.002, 0.0, 0.01).min(1e3);
            }
            let each = start.elapsed().as_nanos() / 200_000;
            println!("{form:?}: {each} ns a call (sum {sum:.0})");
        }
    }
}
