//! Decides what may be sent now, where there is a budget of bytes: a token bucket that everything sent
//! is taken from and that only what is not liveness waits for.

use std::time::Duration;

use crate::base::time::Time;

/// What waits for the budget, first to last. Probes, their answers, doubts and heartbeats never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Members,
    Sessions,
    State,
    Events,
}

/// The bucket holds what may be sent in so long; members may run up a debt of as much.
const BURST: Duration = Duration::from_secs(1);
/// What nobody may hold back (answers, joins, liveness itself) is paid back by at most so much of silence.
pub const DEBT_MAX: Duration = Duration::from_secs(30);
/// With a debt beyond this others' questions about state go unanswered: they ask again, or somebody else.
const ANSWERS_DEBT: Duration = Duration::from_secs(2);
/// Sessions are asked for, and so sent by others, at so much of the rate in the mean.
const SESSIONS_SHARE: f64 = 0.25;
/// Of so many rounds that had to wait, one takes events along with state.
const EVENTS_TURN: u32 = 4;

#[derive(Clone, Debug)]
pub struct Budget {
    /// Bytes in a second; 0: no limit.
    rate: f64,
    level: f64,
    /// What sessions may still bring: who asks pays, as others send what is asked for.
    sessions: f64,
    at: Time,
    waits: u32,
}

impl Budget {
    pub fn new(bytes_per_second: usize, now: Time) -> Budget {
        let rate = bytes_per_second as f64;
        let full = rate * BURST.as_secs_f64();
        Budget { rate, level: full, sessions: full * SESSIONS_SHARE, at: now, waits: 0 }
    }

    /// Another rate from now on. What was owed stays owed, as far as it may.
    pub fn set(&mut self, bytes_per_second: usize, now: Time) {
        self.refill(now);
        let (was, owed) = (self.rate, self.level.min(0.0));
        *self = Budget::new(bytes_per_second, now);
        if was > 0.0 {
            self.level = owed.max(-self.of(DEBT_MAX));
        }
    }

    /// How long so many bytes take; none where there is no limit.
    pub fn time_for(&self, bytes: f64) -> Duration {
        match self.is_limited() {
            true => Duration::from_secs_f64((bytes / self.rate).clamp(0.0, 3600.0)),
            false => Duration::ZERO,
        }
    }

    pub fn is_limited(&self) -> bool {
        self.rate > 0.0
    }

    pub fn refill(&mut self, now: Time) {
        if self.is_limited() {
            let gained = self.of(now.since(self.at));
            self.level = (self.level + gained).min(self.of(BURST));
            let most = self.of(BURST) * SESSIONS_SHARE;
            self.sessions = (self.sessions + gained * SESSIONS_SHARE).min(most);
            self.at = now;
        }
    }

    /// So many bytes were sent; returns those beyond what can be paid back.
    pub fn spend(&mut self, bytes: f64) -> u64 {
        if !self.is_limited() {
            return 0;
        }
        let least = -self.of(DEBT_MAX);
        let level = self.level - bytes;
        self.level = level.max(least);
        (self.level - level) as u64
    }

    /// Whether what others ask about state is answered.
    pub fn allows_answers(&self) -> bool {
        !self.is_limited() || self.level > -self.of(ANSWERS_DEBT)
    }

    /// A session brought so many bytes.
    pub fn received(&mut self, bytes: f64) {
        if self.is_limited() {
            let least = -self.of(DEBT_MAX) * SESSIONS_SHARE;
            self.sessions = (self.sessions - bytes).max(least);
        }
    }

    pub fn allows(&self, class: Class) -> bool {
        let pays = class != Class::Sessions || self.sessions > 0.0;
        !self.is_limited() || self.level > self.threshold(class) && pays
    }

    /// The last class that may go now; `None`: liveness alone.
    pub fn last_allowed(&self) -> Option<Class> {
        let classes = [Class::Events, Class::State, Class::Sessions, Class::Members];
        classes.into_iter().find(|&class| self.allows(class))
    }

    /// A round of this class has to wait until then.
    pub fn wait(&mut self, class: Class) -> Time {
        self.waits = self.waits.wrapping_add(1);
        let lacks = (self.threshold(class) - self.level).max(0.0) / self.rate;
        // Never at once: what waits must not keep the node awake.
        self.at + Duration::from_secs_f64(lacks) + Duration::from_millis(1)
    }

    /// State is told on what members leave over; sessions run into debt, as nothing repairs cheaper;
    /// events wait for state, but for their turn.
    fn threshold(&self, class: Class) -> f64 {
        match class {
            Class::Members => -self.of(BURST),
            Class::Sessions => -self.of(BURST) / 2.0,
            Class::State => 0.0,
            Class::Events if self.waits % EVENTS_TURN == EVENTS_TURN - 1 => 0.0,
            Class::Events => self.of(BURST) / 4.0,
        }
    }

    fn of(&self, span: Duration) -> f64 {
        self.rate * span.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn without_a_limit_everything_goes_for_ever() {
        let mut budget = Budget::new(0, at(0));
        assert_eq!(budget.spend(1e9), 0);
        assert_eq!(budget.last_allowed(), Some(Class::Events));
    }

    #[test]
    fn classes_wait_in_their_order_and_come_back_in_it() {
        let mut budget = Budget::new(1000, at(0));
        let mut seen = Vec::new();
        for _ in 0..30 {
            seen.push(budget.last_allowed());
            budget.spend(100.0);
        }
        seen.dedup();
        let order =
            [Some(Class::Events), Some(Class::State), Some(Class::Sessions), Some(Class::Members)];
        assert_eq!(seen[..4], order);
        assert_eq!(seen[4], None);
        // 1,000 owed are 2,000 below what state needs.
        let due = budget.wait(Class::State);
        assert!((at(2000)..at(2010)).contains(&due), "{due:?}");
        budget.refill(due);
        assert!(budget.allows(Class::State) && !budget.allows(Class::Events));
    }

    /// Whoever sends whenever it may, in steps of a round, sends what the budget says.
    #[test]
    fn the_mean_is_the_budget_and_nothing_starves() {
        let mut budget = Budget::new(2000, at(0));
        let (mut state, mut events) = (0.0, 0.0);
        for ms in (0..100_000).step_by(10) {
            budget.refill(at(ms));
            budget.spend(3.0); // liveness: 300 a second
            if !budget.allows(Class::State) {
                budget.wait(Class::State);
            } else if budget.allows(Class::Events) {
                budget.spend(500.0);
                events += 500.0;
            } else {
                budget.spend(500.0);
                state += 500.0;
            }
        }
        let mean = (state + events) / 100.0;
        assert!((1650.0..1730.0).contains(&mean), "{mean}");
        assert!(events > 0.1 * state && state > events, "{state} {events}");
    }

    #[test]
    fn a_debt_beyond_half_a_minute_is_told_and_not_kept() {
        let mut budget = Budget::new(1000, at(0));
        assert_eq!(budget.spend(32_000.0), 1000);
        assert!(!budget.allows_answers());
        budget.refill(at(28_001));
        assert!(budget.allows_answers() && !budget.allows(Class::State));
        budget.refill(at(30_001));
        assert!(budget.allows(Class::State));
        budget.spend(5000.0);
        budget.set(100, at(30_001));
        budget.refill(at(59_001));
        assert!(!budget.allows(Class::State), "what was owed stays owed");
        budget.refill(at(60_100));
        assert!(budget.allows(Class::State));
    }
}
