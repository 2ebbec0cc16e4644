//! Decides how a rate follows what gets through: a little more while all of it does, half as much
//! when it does not (Chiu and Jain 1989; van Renesse et al. 2008, PAPERS 9). Those who share a bottleneck
//! come to equal rates that way, whatever they began with.

use std::time::Duration;

/// The bounds of a rate and its step, all in the unit of the rate.
#[derive(Clone, Copy, Debug)]
pub struct Aimd {
    /// Added after each success, up to `ceiling`.
    pub step: f64,
    /// Not less after any number of failures.
    pub floor: f64,
    pub ceiling: f64,
}

/// What is left of a rate after a failure.
const DECREASE: f64 = 0.5;

impl Aimd {
    /// The rate after another exchange. One that is above the ceiling is left there.
    pub fn after(&self, rate: f64, all_fitted: bool) -> f64 {
        if !all_fitted {
            (rate * DECREASE).max(self.floor)
        } else if rate < self.ceiling {
            (rate + self.step).min(self.ceiling)
        } else {
            rate
        }
    }
}

/// How often sessions are opened. While rumours leave to them what is beyond a member's allowance they
/// become rare: what it overwrites meanwhile need not travel.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Sessions in the time that news takes to spread.
    rate: f64,
    /// More came since the last one than is told.
    overrun: bool,
    /// Sessions since nothing differed.
    in_vain: u32,
}

/// Sessions that settle nothing before they become rarer: some member is in dispute.
const IN_VAIN_MAX: u32 = 8;

const PACE: Aimd = Aimd { step: 1.0 / 8.0, floor: 1.0 / 32.0, ceiling: 1.0 };

impl Default for Pace {
    fn default() -> Pace {
        Pace { rate: PACE.ceiling, overrun: false, in_vain: 0 }
    }
}

impl Pace {
    /// There was more than is told.
    pub fn overrun(&mut self) {
        self.overrun = true;
    }

    pub fn is_slowed(&self) -> bool {
        self.rate < PACE.ceiling
    }

    /// A session that should settle what differs.
    pub fn tried(&mut self) {
        self.in_vain += 1;
        self.overrun |= self.in_vain > IN_VAIN_MAX;
    }

    /// Nothing differs from a peer.
    pub fn settled(&mut self) {
        self.in_vain = 0;
    }

    /// Until the session after the one that opens now.
    pub fn wait(&mut self, spread: Duration) -> Duration {
        self.rate = PACE.after(self.rate, !std::mem::take(&mut self.overrun));
        spread.div_f64(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two that share 100 and see failure together end at equal shares below it.
    #[test]
    fn those_who_share_come_to_equal_rates_below_the_limit() {
        let aimd = Aimd { step: 1.0, floor: 0.5, ceiling: 200.0 };
        let (mut a, mut b) = (90.0, 1.0);
        let mut used = 0.0;
        for round in 0..2000 {
            let fitted = a + b <= 100.0;
            (a, b) = (aimd.after(a, fitted), aimd.after(b, fitted));
            used += if round >= 1000 { a + b } else { 0.0 };
        }
        assert!((a - b).abs() < 1.0, "{a} {b}");
        assert!((70.0..=85.0).contains(&(used / 1000.0)), "{}", used / 1000.0);
    }

    #[test]
    fn the_bounds_hold() {
        let aimd = Aimd { step: 1.0, floor: 0.5, ceiling: 2.5 };
        assert_eq!((0..9).fold(2.0, |rate, _| aimd.after(rate, true)), 2.5);
        assert_eq!((0..9).fold(2.0, |rate, _| aimd.after(rate, false)), 0.5);
    }
}
