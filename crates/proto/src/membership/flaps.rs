//! Decides which members come and go so often that their changes are told calmly: a penalty for each
//! flap that halves with time, as routes are damped in BGP (RFC 2439).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::time::Time;
use crate::limits::FLAPPERS_MAX;

/// What one return counts for. A refuted doubt counts for nothing: it may be the doubter's fault, or a liar's.
const RETURN: f32 = 1.0;
/// From here on a member is suppressed: the third return within a half-life, and no second one,
/// whenever they come.
const SUPPRESS: f32 = 2.0;
/// Until its penalty is less than this.
const REUSE: f32 = 1.0;
/// However often it flaps: suppressed for two half-lives at most after the last.
const CEILING: f32 = 4.0;
/// Less is forgotten.
const NOTHING: f32 = 0.1;

#[derive(Clone, Copy, Debug)]
struct Penalty {
    level: f32,
    at: Time,
    suppressed: bool,
}

impl Penalty {
    fn level(&self, half_life: Duration, now: Time) -> f32 {
        let halvings = now.since(self.at).as_secs_f32() / half_life.as_secs_f32();
        self.level * libm::exp2f(-halvings)
    }
}

/// The penalties of those that flapped of late, by the hash of their name: a process that starts over
/// and over has a new identity each time.
#[derive(Debug, Default)]
pub struct Flaps {
    penalties: BTreeMap<u64, Penalty>,
}

impl Flaps {
    /// It came back, as another process or from a verdict, or at another address. Whether the member is
    /// suppressed by that, and was not before. A half-life of zero: nobody is.
    pub fn add(&mut self, name: u64, half_life: Duration, now: Time) -> bool {
        if half_life.is_zero() {
            return false;
        }
        if self.penalties.len() >= FLAPPERS_MAX && !self.penalties.contains_key(&name) {
            return false;
        }
        let none = Penalty { level: 0.0, at: now, suppressed: false };
        let penalty = self.penalties.entry(name).or_insert(none);
        let level = (penalty.level(half_life, now) + RETURN).min(CEILING);
        let was = penalty.suppressed && level - RETURN >= REUSE;
        *penalty = Penalty { level, at: now, suppressed: was || level >= SUPPRESS };
        penalty.suppressed && !was
    }

    pub fn is_suppressed(&self, name: u64, half_life: Duration, now: Time) -> bool {
        let penalty = self.penalties.get(&name).filter(|penalty| penalty.suppressed);
        penalty.is_some_and(|penalty| penalty.level(half_life, now) >= REUSE)
    }

    pub fn is_empty(&self) -> bool {
        self.penalties.is_empty()
    }

    /// Forgets what has faded; returns who is not suppressed any more.
    pub fn fade(&mut self, half_life: Duration, now: Time) -> Vec<u64> {
        let mut released = Vec::new();
        self.penalties.retain(|&name, penalty| {
            let level = penalty.level(half_life, now);
            if penalty.suppressed && level < REUSE {
                penalty.suppressed = false;
                released.push(name);
            }
            level >= NOTHING
        });
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HALF_LIFE: Duration = Duration::from_secs(1800);

    fn at(minutes: u64) -> Time {
        Time::from_secs(60 * minutes)
    }

    /// Row O5: three within thirty minutes are suppressed wherever they fall, two never are.
    #[test]
    fn three_returns_in_half_an_hour_are_suppressed_and_two_are_not() {
        for second in 0..=30 {
            let mut flaps = Flaps::default();
            assert!(!flaps.add(7, HALF_LIFE, at(0)));
            assert!(!flaps.add(7, HALF_LIFE, at(second) + Duration::from_secs(1)));
            assert!(flaps.add(7, HALF_LIFE, at(30)), "second after {second} min");
            assert!(flaps.is_suppressed(7, HALF_LIFE, at(30)));
            assert!(!flaps.is_suppressed(8, HALF_LIFE, at(30)));
        }
    }

    #[test]
    fn it_is_over_after_two_half_lives_at_most_and_forgotten_later() {
        let mut flaps = Flaps::default();
        (0..100).for_each(|_| _ = flaps.add(7, HALF_LIFE, at(0)));
        assert!(flaps.fade(HALF_LIFE, at(59)).is_empty());
        assert!(flaps.is_suppressed(7, HALF_LIFE, at(59)));
        assert_eq!(flaps.fade(HALF_LIFE, at(61)), [7]);
        assert!(!flaps.is_suppressed(7, HALF_LIFE, at(61)) && !flaps.is_empty());
        flaps.fade(HALF_LIFE, at(300));
        assert!(flaps.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_none_are_damped_without_a_half_life() {
        let mut flaps = Flaps::default();
        for name in 0..FLAPPERS_MAX as u64 + 10 {
            flaps.add(name, HALF_LIFE, at(0));
        }
        assert_eq!(flaps.penalties.len(), FLAPPERS_MAX);
        let mut off = Flaps::default();
        assert!((0..9).all(|_| !off.add(1, Duration::ZERO, at(0))));
        assert!(off.is_empty());
    }

    proptest! {
        /// Whatever happens, a member that rests for two half-lives is told of as any other.
        #[test]
        fn rest_ends_it(gaps in proptest::collection::vec(0u64..4000, 1..60)) {
            let (mut flaps, mut now) = (Flaps::default(), Time::from_secs(1));
            for gap in gaps {
                now += Duration::from_secs(gap);
                let began = flaps.add(1, HALF_LIFE, now);
                prop_assert!(!began || flaps.is_suppressed(1, HALF_LIFE, now));
            }
            prop_assert!(!flaps.is_suppressed(1, HALF_LIFE, now + HALF_LIFE * 2 + Duration::from_secs(1)));
        }
    }
}
