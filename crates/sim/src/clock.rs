//! Decides what a process believes the time is: its wall clock may be off, drift and step, its
//! monotonic clock starts anywhere and may stand still while a virtual machine is suspended.

use std::time::Duration;

use tidings_proto::{Now, Time};

/// The clocks of one host, as functions of the world's time.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Wall milliseconds at world time zero.
    wall_base_ms: i64,
    /// Wall milliseconds gained per million.
    drift_ppm: i64,
    /// Monotonic time at world time zero.
    mono_base: u64,
    /// Monotonic nanoseconds that a suspended machine did not count.
    mono_lost: u64,
}

impl Clock {
    pub fn new(wall_base_ms: u64, mono_base: Duration) -> Clock {
        Clock {
            wall_base_ms: wall_base_ms as i64,
            drift_ppm: 0,
            mono_base: mono_base.as_nanos() as u64,
            mono_lost: 0,
        }
    }

    pub fn now(&self, world: Time) -> Now {
        let elapsed_ms = world.as_millis() as i64;
        let drifted = elapsed_ms + elapsed_ms * self.drift_ppm / 1_000_000;
        Now {
            mono: self.mono(world),
            wall_ms: self.wall_base_ms.saturating_add(drifted).max(0) as u64,
        }
    }

    pub fn mono(&self, world: Time) -> Time {
        Time(world.0 + self.mono_base - self.mono_lost)
    }

    /// The world's time at which the monotonic clock shows `mono`.
    pub fn world(&self, mono: Time) -> Time {
        if mono == Time::NEVER {
            return Time::NEVER;
        }
        Time((mono.0 + self.mono_lost).saturating_sub(self.mono_base))
    }

    /// Moves the wall clock by this many milliseconds, either way.
    pub fn step_wall(&mut self, by_ms: i64) {
        self.wall_base_ms = self.wall_base_ms.saturating_add(by_ms);
    }

    /// From now on the wall clock gains this many milliseconds per million; what it gained so far
    /// stays.
    pub fn set_drift(&mut self, world: Time, ppm: i64) {
        let elapsed_ms = world.as_millis() as i64;
        self.wall_base_ms += elapsed_ms * (self.drift_ppm - ppm) / 1_000_000;
        self.drift_ppm = ppm;
    }

    /// The machine stood still: its monotonic clock did not see this time.
    pub fn suspend(&mut self, lasted: Duration) {
        self.mono_lost += lasted.as_nanos() as u64;
        assert!(self.mono_lost <= self.mono_base + u64::MAX / 2, "suspended time fits the clock");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_drift_does_not_move_the_hands() {
        let mut clock = Clock::new(1_000_000, Duration::ZERO);
        clock.set_drift(Time::ZERO, 1000);
        let at = Time::from_secs(1000);
        assert_eq!(clock.now(at).wall_ms, 2_001_000);
        clock.set_drift(at, -1000);
        assert_eq!(clock.now(at).wall_ms, 2_001_000);
        assert_eq!(clock.now(Time::from_secs(2000)).wall_ms, 3_000_000);
    }

    #[test]
    fn monotonic_time_maps_both_ways_and_ignores_wall_steps() {
        let mut clock = Clock::new(1_000_000, Duration::from_secs(50));
        clock.step_wall(-2_000_000);
        clock.suspend(Duration::from_secs(3));
        let at = Time::from_secs(10);
        assert_eq!(clock.mono(at), Time::from_secs(57));
        assert_eq!(clock.world(clock.mono(at)), at);
        assert_eq!(clock.now(at).wall_ms, 0);
    }
}
