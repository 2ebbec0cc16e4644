//! Decides when gossip goes out: at once when there is fresh news, batched, then per tick while
//! anything is left to tell, and never at rest.

use std::time::Duration;

use crate::base::time::Time;

#[derive(Debug)]
pub struct Rounds {
    next: Time,
    last: Time,
}

impl Default for Rounds {
    fn default() -> Self {
        Rounds { next: Time::NEVER, last: Time::ZERO }
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
        self.next = self.next.min(now.max(self.last + batch));
    }

    /// Something was sent: the next sending is a batch away while fresh news is left over, a tick
    /// away while old news is, and not planned otherwise.
    pub fn sent(&mut self, now: Time, left: Option<Duration>) {
        self.last = now;
        self.next = left.map_or(Time::NEVER, |wait| now + wait);
    }
}
