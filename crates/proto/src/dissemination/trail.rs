//! Decides what a rumour says of its way: how many members told it on, and how old it is. The age is
//! summed up on the way, a stay at each member and half a round trip between two, so that no wall
//! clock is involved.

use std::time::Duration;

use crate::base::time::Time;
use crate::wire::codec::{Decoded, Reader, put_varint};
use crate::wire::frame::{kind, put_frame};

/// The way of news to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trail {
    /// Members that told it on, the last one included; [`UNKNOWN`] where somebody did not say.
    hops: u8,
    /// Heard again since, by whoever tells it.
    again: u8,
    /// When it was first told, by the clock of this node.
    born: Time,
}

const UNKNOWN: u8 = u8::MAX;
/// Ages are told in this unit; longer ones than [`AGE_MAX`] (28 hours) count as that.
const AGE_UNIT_MICROS: u64 = 100;
const AGE_MAX: u64 = 1_000_000_000;

impl Trail {
    /// News of this node itself.
    pub fn here(now: Time) -> Trail {
        Trail { hops: 0, again: 0, born: now }
    }

    /// News whose way is not known: it did not come as a rumour, or by a member that says nothing.
    pub const NONE: Trail = Trail { hops: UNKNOWN, again: 0, born: Time::ZERO };

    /// Hops and age, where they are known.
    #[inline]
    pub fn told(self, now: Time) -> Option<(u8, Duration)> {
        (self.hops != UNKNOWN).then(|| (self.hops, now.since(self.born)))
    }

    pub fn heard_again(self) -> u8 {
        self.again
    }

    pub fn hear_again(&mut self) {
        self.again = self.again.saturating_add(1);
    }

    /// News that came this way, as it is told on.
    pub fn anew(self) -> Trail {
        Trail { again: 0, ..self }
    }

    /// Says how the frame that follows came here; nothing where that is not known. At most 10 bytes.
    #[inline]
    pub fn put(self, out: &mut Vec<u8>, now: Time) {
        if let Some((hops, age)) = self.told(now) {
            self.put_told(hops, age, out);
        }
    }

    fn put_told(self, hops: u8, age: Duration, out: &mut Vec<u8>) {
        put_frame(out, kind::TRAIL, |out| {
            out.push(hops);
            put_age(out, age);
            if self.again > 0 {
                out.push(self.again);
            }
        });
    }

    /// The trail of what follows, one hop longer; `transit` is the way of this packet.
    pub fn decode(body: &[u8], now: Time, transit: Duration) -> Decoded<Trail> {
        let mut r = Reader::new(body);
        let hops = r.u8("hops")?;
        let age = read_age(&mut r)?;
        let again = if r.is_empty() { 0 } else { r.u8("heard again")? };
        let hops = hops.saturating_add(1).min(UNKNOWN - 1);
        Ok(Trail { hops, again, born: now - (age + transit) })
    }
}

/// A span in tenths of a millisecond.
pub fn put_age(out: &mut Vec<u8>, age: Duration) {
    let units = age.as_micros() / u128::from(AGE_UNIT_MICROS);
    put_varint(out, u64::try_from(units).unwrap_or(AGE_MAX).min(AGE_MAX));
}

pub fn read_age(r: &mut Reader<'_>) -> Decoded<Duration> {
    Ok(Duration::from_micros(r.varint("age")?.min(AGE_MAX) * AGE_UNIT_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::Frames;
    use proptest::prelude::*;

    fn passed_on(trail: Trail, sent: Time, received: Time) -> Option<Trail> {
        let mut out = Vec::new();
        trail.put(&mut out, sent);
        assert!(out.len() <= 9, "a trail takes {} bytes", out.len());
        let (_, body) = Frames::new(&out).next()?.unwrap();
        Some(Trail::decode(body, received, Duration::from_millis(3)).unwrap())
    }

    #[test]
    fn hops_and_age_add_up_whatever_the_clocks() {
        let at = Time::from_millis;
        let born = Trail::here(at(1000));
        // Each node's clock shows something else.
        let second = passed_on(born, at(1010), at(500_000)).unwrap();
        assert_eq!(second.told(at(500_000)), Some((1, Duration::from_millis(13))));
        let third = passed_on(second, at(500_100), at(70_000)).unwrap();
        assert_eq!(third.told(at(70_001)), Some((2, Duration::from_millis(117))));
        assert_eq!(passed_on(Trail::NONE, at(5), at(6)), None);
    }

    #[test]
    fn hops_end_before_they_mean_unknown() {
        let mut trail = Trail::here(Time::from_secs(9));
        for _ in 0..300 {
            trail = passed_on(trail, Time::from_secs(9), Time::from_secs(9)).unwrap();
        }
        assert_eq!(trail.told(Time::from_secs(9)).unwrap().0, 254);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>, now: u64) {
            let _ = Trail::decode(&bytes, Time(now), Duration::ZERO);
        }
    }
}
