//! Decides the life of one probe: when it escalates, when it ends, and what it has found.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::id::NodeId;
use crate::base::time::Time;
use crate::detection::message::Prints;
use crate::io::RequestId;
use crate::limits::PROBES_MAX;

/// Why a member is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The round robin's turn.
    Round,
    /// A suspicion chose this node as a witness.
    Witness,
    /// On behalf of another prober.
    Helper { asker: SocketAddr, asker_seq: u16 },
    /// A lost member or a seed: an answer is news, silence is not.
    Recontact,
}

/// What a probe waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    Escalate,
    Repeat,
    End,
}

#[derive(Clone, Debug)]
pub struct Probe {
    pub target: NodeId,
    pub addr: SocketAddr,
    pub purpose: Purpose,
    /// What the last ping said: an ack without fingerprints means the same.
    pub prints: Prints,
    pub sent: Time,
    /// When to escalate: helpers and a stream probe, or, for a helper, the nack.
    pub timeout_at: Time,
    pub ends_at: Time,
    /// After the first timeout the ping is repeated until the end: one lost datagram is no doubt.
    pub repeat_at: Time,
    pub repeated: bool,
    pub escalated: bool,
    pub helpers: u32,
    pub nacks: u32,
    /// The stream probe under way.
    pub stream: Option<RequestId>,
}

/// The probes in flight, oldest first; at most [`PROBES_MAX`], mostly one.
#[derive(Debug, Default)]
pub struct Probes {
    in_flight: Vec<(u16, Probe)>,
    next_seq: u16,
}

impl Probes {
    /// Numbers a probe; `None` when too many are in flight.
    pub fn start(&mut self, probe: Probe) -> Option<u16> {
        // Work for others leaves room for our own.
        let helper = matches!(probe.purpose, Purpose::Helper { .. });
        if self.in_flight.len() >= if helper { PROBES_MAX / 2 } else { PROBES_MAX } {
            return None;
        }
        self.next_seq = self.next_seq.wrapping_add(1);
        self.in_flight.push((self.next_seq, probe));
        Some(self.next_seq)
    }

    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    pub fn get_mut(&mut self, seq: u16) -> Option<&mut Probe> {
        self.in_flight.iter_mut().find(|(s, _)| *s == seq).map(|(_, p)| p)
    }

    pub fn end(&mut self, seq: u16) -> Option<Probe> {
        let at = self.in_flight.iter().position(|(s, _)| *s == seq)?;
        Some(self.in_flight.remove(at).1)
    }

    pub fn by_stream(&self, id: RequestId) -> Option<u16> {
        self.in_flight.iter().find(|(_, p)| p.stream == Some(id)).map(|(seq, _)| *seq)
    }

    pub fn by_addr(&self, addr: SocketAddr) -> Option<u16> {
        self.in_flight.iter().find(|(_, p)| p.addr == addr).map(|(seq, _)| *seq)
    }

    pub fn probing(&self, target: NodeId, purpose: Purpose) -> bool {
        self.in_flight.iter().any(|(_, p)| p.target == target && p.purpose == purpose)
    }

    /// The first probe whose timer is due, and which one it is.
    pub fn due(&self, now: Time) -> Option<(u16, Timer)> {
        self.in_flight.iter().find_map(|&(seq, ref p)| {
            if p.ends_at <= now {
                Some((seq, Timer::End))
            } else if !p.escalated && p.timeout_at <= now {
                Some((seq, Timer::Escalate))
            } else {
                (p.repeat_at <= now).then_some((seq, Timer::Repeat))
            }
        })
    }

    pub fn next_deadline(&self) -> Time {
        let next = |(_, p): &(u16, Probe)| {
            let timeout = if p.escalated { Time::NEVER } else { p.timeout_at };
            timeout.min(p.repeat_at).min(p.ends_at)
        };
        self.in_flight.iter().map(next).min().unwrap_or(Time::NEVER)
    }

    /// Ends every probe without a finding: the process stood still while they waited (row I6).
    pub fn void(&mut self) -> usize {
        let voided = self.in_flight.len();
        self.in_flight.clear();
        voided
    }
}

/// How long to wait for a direct ack: four deviations beyond the measured round trip (Jacobson),
/// never less than a fifth of the period nor more than the configured timeout.
pub fn direct_timeout(
    rtt: Option<(Duration, Duration)>,
    floor: Duration,
    most: Duration,
) -> Duration {
    match rtt {
        Some((mean, deviation)) => (mean + deviation * 4).max(floor).min(most),
        None => most,
    }
}

/// A helper speaks at 80 % of the time that it was given, so that its nack arrives before the
/// prober's deadline; memberlist's default comes too late and a healthy prober blames itself.
pub fn nack_after(given: Duration) -> Duration {
    given.mul_f64(0.8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_follows_measured_round_trips_within_its_bounds() {
        let ms = Duration::from_millis;
        let timeout = |rtt| direct_timeout(rtt, ms(200), ms(500));
        assert_eq!(timeout(None), ms(500));
        assert_eq!(timeout(Some((ms(1), ms(1)))), ms(200));
        assert_eq!(timeout(Some((ms(250), ms(10)))), ms(290));
        assert_eq!(timeout(Some((ms(600), ms(50)))), ms(500));
    }
}
