//! Decides the arithmetic of memberlist's SWIM with Lifeguard (Dadgar, Phillips, Currey 2017):
//! which configurations there are, how long a suspicion lasts, how often news is sent, what wins
//! over what, and how local health moves. Times are microseconds.

pub(super) const MILLISECOND: u64 = 1000;
pub(super) const SECOND: u64 = 1_000_000;

/// Members of the experiment.
pub(super) const MEMBERS: usize = 128;
pub(super) const PROBE_INTERVAL: u64 = SECOND;
pub(super) const PROBE_TIMEOUT: u64 = 500 * MILLISECOND;
/// A helper that heard nothing says so at 80 % of the probe timeout.
pub(super) const NACK_AFTER: u64 = PROBE_TIMEOUT * 8 / 10;
pub(super) const INDIRECT_CHECKS: usize = 3;
pub(super) const GOSSIP_INTERVAL: u64 = 200 * MILLISECOND;
pub(super) const GOSSIP_NODES: usize = 3;
/// The dead are gossiped to for this long, so that they can refute.
pub(super) const GOSSIP_TO_THE_DEAD: u64 = 30 * SECOND;
pub(super) const PACKET_BYTES: usize = 1400;
/// What a packet holds besides news, about, in memberlist's encoding.
pub(super) const PRIMARY_BYTES: usize = 40;
/// One link, one way: uniform between these.
pub(super) const LATENCY: (u64, u64) = (500, 1000);
/// What handling one queued message takes.
pub(super) const HANDLING: u64 = 50;

const RETRANSMIT_MULT: u32 = 4;
/// Saturation of the local health multiplier.
pub(super) const HEALTH_MAX: u32 = 8;

/// One configuration of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub label: &'static str,
    /// The shortest suspicion is `alpha * log10 n` probe intervals,
    pub alpha: f64,
    /// the longest this many times that.
    pub beta: f64,
    /// Independent confirmations that bring it down to the shortest.
    pub confirmations: usize,
    /// LHA-Probe: nacks, and timeouts that stretch with the node's own health.
    pub local_health: bool,
    /// A ping to a suspect tells it so.
    pub buddy: bool,
}

pub const SWIM: Settings = Settings {
    label: "SWIM",
    alpha: 5.0,
    beta: 1.0,
    confirmations: 0,
    local_health: false,
    buddy: false,
};

/// The configurations of Table IV, and Lifeguard at shorter suspicions.
pub const CONFIGURATIONS: [Settings; 7] = [
    SWIM,
    Settings { label: "LHA-Probe", local_health: true, ..SWIM },
    Settings { label: "LHA-Suspicion", beta: 6.0, confirmations: 3, ..SWIM },
    Settings { label: "Buddy", buddy: true, ..SWIM },
    lifeguard("Lifeguard alpha=5", 5.0),
    lifeguard("Lifeguard alpha=4", 4.0),
    lifeguard("Lifeguard alpha=2", 2.0),
];

const fn lifeguard(label: &'static str, alpha: f64) -> Settings {
    Settings { label, alpha, beta: 6.0, confirmations: 3, local_health: true, buddy: true }
}

impl Settings {
    /// Microseconds that a suspicion lasts in all after `heard` independent confirmations:
    /// `max(Min, Max - (Max - Min) * log(C + 1) / log(K + 1))`.
    pub fn suspicion(&self, members: usize, heard: usize) -> u64 {
        let min = self.alpha * (members as f64).log10().max(1.0) * PROBE_INTERVAL as f64;
        let max = self.beta * min;
        if self.confirmations == 0 {
            return min as u64;
        }
        let share = (heard as f64 + 1.0).ln() / (self.confirmations as f64 + 1.0).ln();
        (max - (max - min) * share).max(min) as u64
    }
}

/// How often one node sends one piece of news: `4 * ceil(log10(n + 1))`.
pub fn transmit_limit(members: usize) -> u32 {
    RETRANSMIT_MULT * (members as f64 + 1.0).log10().ceil() as u32
}

/// A saturating count: 0 is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health(u32);

impl Health {
    pub fn improve(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    pub fn worsen(&mut self, by: u32) {
        self.0 = (self.0 + by).min(HEALTH_MAX);
    }

    /// Timeouts and intervals stretch by score + 1.
    pub fn stretch(self, time: u64) -> u64 {
        time * u64::from(self.0 + 1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum State {
    #[default]
    Alive,
    Suspect,
    Dead,
}

/// What is said about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    pub about: u16,
    pub incarnation: u32,
    pub state: State,
    /// Who suspects it.
    pub from: u16,
}

impl News {
    /// About what memberlist's encoding takes in a compound packet.
    pub fn bytes(&self) -> usize {
        if self.state == State::Alive { 110 } else { 60 }
    }
}

/// What news means to one who holds a member in a state at an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Nothing,
    /// Take it over and tell others; a suspicion starts (again).
    Change,
    /// The suspicion that is open may count another accuser.
    Confirmation,
}

/// SWIM's precedence, section 4.2: Alive(i) overrides whatever is older; Suspect(i) overrides Alive
/// at most i and Suspect below i; Dead(i) ends all but a younger incarnation.
pub fn meaning(state: State, incarnation: u32, news: &News) -> Meaning {
    let younger = news.incarnation > incarnation;
    let same = news.incarnation == incarnation;
    match (news.state, state) {
        (State::Alive, _) if younger => Meaning::Change,
        (State::Suspect, State::Alive) if younger || same => Meaning::Change,
        (State::Suspect, State::Suspect) if younger => Meaning::Change,
        (State::Suspect, State::Suspect) if same => Meaning::Confirmation,
        (State::Dead, State::Alive | State::Suspect) if younger || same => Meaning::Change,
        _ => Meaning::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFEGUARD: Settings = CONFIGURATIONS[4];

    #[test]
    fn suspicion_shrinks_with_the_logarithm_of_confirmations() {
        let seconds = |settings: Settings, heard| {
            (settings.suspicion(MEMBERS, heard) as f64 / 1e6 * 100.0).round() / 100.0
        };
        assert_eq!(seconds(SWIM, 0), 10.54);
        assert_eq!([0, 1, 2, 3].map(|c| seconds(LIFEGUARD, c)), [63.22, 36.88, 21.47, 10.54]);
        assert_eq!(LIFEGUARD.suspicion(MEMBERS, 9), LIFEGUARD.suspicion(MEMBERS, 3));
        assert_eq!(SWIM.suspicion(5, 0), 5 * SECOND, "log10 counts as 1 at least");
    }

    #[test]
    fn news_is_sent_four_times_per_power_of_ten() {
        assert_eq!([1, 9, 10, 99, 128, 999, 1000].map(transmit_limit), [4, 4, 8, 8, 12, 12, 16]);
    }

    #[test]
    fn health_stays_within_its_bounds() {
        let mut health = Health::default();
        health.improve();
        assert_eq!(health.stretch(PROBE_INTERVAL), PROBE_INTERVAL);
        health.worsen(3);
        assert_eq!(health.stretch(PROBE_TIMEOUT), 2 * SECOND);
        health.worsen(100);
        assert_eq!(health.stretch(PROBE_INTERVAL), 9 * SECOND);
        health.improve();
        assert_eq!(health.stretch(PROBE_TIMEOUT), 4 * SECOND);
    }

    #[test]
    fn precedence_is_that_of_swim() {
        use Meaning::{Change, Confirmation, Nothing};
        use State::{Alive, Dead, Suspect};
        let of = |state, news: (State, u32)| {
            meaning(state, 5, &News { about: 1, incarnation: news.1, state: news.0, from: 2 })
        };
        for state in [Alive, Suspect, Dead] {
            assert_eq!([4, 5, 6].map(|i| of(state, (Alive, i))), [Nothing, Nothing, Change]);
        }
        assert_eq!([4, 5, 6].map(|i| of(Alive, (Suspect, i))), [Nothing, Change, Change]);
        let suspected = [4, 5, 6].map(|i| of(Suspect, (Suspect, i)));
        assert_eq!(suspected, [Nothing, Confirmation, Change]);
        for state in [Alive, Suspect] {
            assert_eq!([4, 5, 6].map(|i| of(state, (Dead, i))), [Nothing, Change, Change]);
        }
        for news in [(Suspect, 6), (Dead, 6)] {
            assert_eq!(of(Dead, news), Nothing, "only Alive brings back");
        }
    }
}
