//! Decides when gossip goes out: at once when there is fresh news, batched, then per tick while
//! anything is left to tell, and never at rest. Doubts, refutations and verdicts about members
//! that come without end are relayed at leisure: each would cost packets of its own otherwise.

use std::time::Duration;

use crate::base::time::Time;

#[derive(Debug)]
pub struct Rounds {
    next: Time,
    last: Time,
    /// News that goes out at once, however much there is of it.
    urgent: bool,
    /// Prompt rounds for other news that are spent, as of `counted`.
    spent: u32,
    counted: Time,
}

/// Prompt rounds in a row for news about members, and how long one takes to come back. A failure
/// takes up to five: the first doubt, further accusers, the verdict.
const PROMPT_ROUNDS: u32 = 8;
const PROMPT_AGAIN: Duration = Duration::from_secs(10);
/// With none left a round comes after this many ticks, and its packets carry more.
const LEISURE_TICKS: u32 = 3;

impl Default for Rounds {
    fn default() -> Self {
        Rounds { next: Time::NEVER, last: Time::ZERO, urgent: false, spent: 0, counted: Time::ZERO }
    }
}

impl Rounds {
    pub fn next_deadline(&self) -> Time {
        self.next
    }

    pub fn is_due(&self, now: Time) -> bool {
        self.next <= now
    }

    /// Fresh news: out at once, or with what gathers in a batch after the last sending.
    pub fn fresh(&mut self, now: Time, batch: Duration) {
        self.urgent = true;
        self.next = self.next.min(now.max(self.last + batch));
    }

    /// Fresh news about a member that others can tell as well: as fast while prompt rounds are left.
    pub fn relay(&mut self, now: Time, batch: Duration, tick: Duration) {
        let wait = if self.is_prompt(now) { batch } else { tick * LEISURE_TICKS };
        self.next = self.next.min(now.max(self.last + wait));
    }

    /// News that can wait for the next packet: a round takes it along at the latest.
    pub fn at_leisure(&mut self, now: Time, tick: Duration) {
        self.next = self.next.min(now + self.interval(now, tick));
    }

    /// What is to be told has to wait.
    pub fn wait_until(&mut self, at: Time) {
        self.next = at;
    }

    /// A round that was planned by a longer tick comes within the newer one.
    pub fn settings_changed(&mut self, now: Time, tick: Duration) {
        if self.next != Time::NEVER {
            self.next = self.next.min(now + tick);
        }
    }

    /// Between rounds for what was told before.
    pub fn interval(&mut self, now: Time, tick: Duration) -> Duration {
        if self.is_prompt(now) { tick } else { tick * LEISURE_TICKS }
    }

    /// Whether fresh news goes out at once.
    pub fn is_prompt(&mut self, now: Time) -> bool {
        let back = now.since(self.counted).as_secs() / PROMPT_AGAIN.as_secs();
        if self.spent == 0 || back > 0 {
            self.spent -= self.spent.min(back.min(u64::from(PROMPT_ROUNDS)) as u32);
            self.counted = now;
        }
        self.urgent || self.spent < PROMPT_ROUNDS
    }

    /// A prompt round is taken, for one that is allowed.
    pub fn take_prompt(&mut self, now: Time) -> bool {
        let prompt = self.is_prompt(now);
        self.spent += u32::from(prompt && !self.urgent);
        prompt
    }

    /// Something was sent: the next sending is a batch away while fresh news is left over, a tick
    /// away while old news is, and not planned otherwise.
    pub fn sent(&mut self, now: Time, left: Option<Duration>, fresh_left: bool) {
        self.last = now;
        self.urgent &= fresh_left;
        self.next = left.map_or(Time::NEVER, |wait| now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Duration = Duration::from_millis(10);
    const TICK: Duration = Duration::from_millis(200);

    /// Rounds in ten seconds when news comes every twenty milliseconds.
    fn rounds_under_a_storm(news: impl Fn(&mut Rounds, Time)) -> usize {
        let mut rounds = Rounds::default();
        let mut sent = 0;
        for ms in (100_000..110_000_u64).step_by(20) {
            let now = Time::from_millis(ms);
            news(&mut rounds, now);
            if rounds.is_due(now) {
                rounds.take_prompt(now);
                rounds.sent(now, None, false);
                sent += 1;
            }
        }
        sent
    }

    #[test]
    fn relayed_news_without_end_takes_its_time_and_other_news_does_not() {
        assert_eq!(rounds_under_a_storm(|r, now| r.fresh(now, BATCH)), 500);
        let relayed = rounds_under_a_storm(|r, now| r.relay(now, BATCH, TICK));
        assert!((22..=28).contains(&relayed), "{relayed}: eight at once, then every third tick");
    }

    #[test]
    fn prompt_rounds_come_back() {
        let mut rounds = Rounds::default();
        let at = |s: u64| Time::from_secs(1000 + s);
        assert_eq!((0..20).filter(|_| rounds.take_prompt(at(0))).count(), 8);
        assert_eq!((0..20).filter(|_| rounds.take_prompt(at(25))).count(), 2);
        assert_eq!((0..20).filter(|_| rounds.take_prompt(at(200))).count(), 8);
        rounds.fresh(at(200), BATCH);
        assert!(rounds.take_prompt(at(200)), "urgent news never waits");
    }
}
