//! Decides where members stand in a space in which distance is round trip (Vivaldi, Dabek et al. 2004, with
//! the adjustment of Serf and the gravity of Ledlie et al. 2007). All lengths are in milliseconds.

use std::time::Duration;

use crate::base::rng::Rng;
use crate::membership::table::Slot;
use crate::wire::codec::{DecodeError, Decoded, Reader, put_u16};
use crate::wire::frame::{kind, put_frame};

/// The globe has three; Serf's and Consul's eight are no nearer the truth here, and twice the bytes.
pub const DIMENSIONS: usize = 4;
const ENCODED: usize = 6 + 2 * DIMENSIONS;
/// One ack in so many tells where this node is: 3.2 bytes a probe. The first ones of a life all do.
const TELL_EVERY: u32 = 5;
const TOLD_AT_FIRST: u32 = 120;
/// How fast the error and the place follow a sample, and where the error starts.
const ERROR_FOLLOWS: f64 = 0.25;
const PLACE_FOLLOWS: f64 = 0.4;
const ERROR_MAX: f64 = 1.5;
/// Nobody is surer than that of itself, whatever it says.
const ERROR_MIN: f64 = 0.01;
const HEIGHT_MIN: f64 = 0.01;
/// Round trips whose misfit the adjustment is the mean of.
const WINDOW: usize = 20;
/// The pull to the origin is (distance / this) squared: the cluster as a whole does not drift.
const GRAVITY: f64 = 256.0;
/// The finest unit is a microsecond; the coarsest makes a second of a component.
const SHIFT_MAX: u8 = 5;
/// A member that is sure of a place that many times too far, and further by the slack, is not believed.
const ABSURD: f64 = 8.0;
const SLACK: f64 = 250.0;
/// A step answers to no more than the measured round trip and this, whatever the other claims.
const STEP_SLACK: f64 = 30.0;
/// Surer than that is sure.
const SURE: f64 = 0.3;
/// What the coarsest unit can say, in milliseconds.
const PLACE_MAX: f64 = 1_000.0;
const UNKNOWN: [u8; ENCODED] = [u8::MAX; ENCODED];

/// A place. The distance of two is that of their vectors, and both heights: what each has to go to
/// reach the network at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    pub vector: [f64; DIMENSIONS],
    pub height: f64,
    /// What the sum of two is added to a distance for what no place explains; may be negative.
    pub adjustment: f64,
    /// How wrong its estimates are, relative to the truth: 0.01 to 1.5.
    pub error: f64,
}

/// How long the way between two members and back should take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundTrip {
    pub estimate: Duration,
    /// How wrong estimates of the less sure of the two are, relative to the truth: 0.01 to 1.5. Of members that
    /// are much nearer to each other than to most others it is more.
    pub error: f64,
}

impl Coordinate {
    const ORIGIN: Coordinate = Coordinate {
        vector: [0.0; DIMENSIONS],
        height: HEIGHT_MIN,
        adjustment: 0.0,
        error: ERROR_MAX,
    };

    fn apart(&self, other: &Coordinate) -> f64 {
        length(&std::array::from_fn(|i| self.vector[i] - other.vector[i]))
            + self.height
            + other.height
    }

    /// What a round trip between two places should take.
    pub fn round_trip(&self, other: &Coordinate) -> RoundTrip {
        let apart = self.apart(other);
        let adjusted = apart + self.adjustment + other.adjustment;
        let ms = if adjusted > 0.0 { adjusted } else { apart };
        RoundTrip {
            estimate: Duration::from_secs_f64(ms / 1e3),
            error: self.error.max(other.error),
        }
    }

    /// Appends the frame: components in units of 2^shift microseconds, the smallest that holds all.
    fn put(&self, out: &mut Vec<u8>) {
        let largest = self.vector.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        let largest = largest.max(self.height / 2.0).max(self.adjustment.abs());
        let fits = |&shift: &u8| largest * 1e3 <= f64::from(i16::MAX) * f64::from(1u32 << shift);
        let shift = (0..SHIFT_MAX).find(fits).unwrap_or(SHIFT_MAX);
        // A conversion to an integer ends at its bounds.
        let units = |ms: f64| (ms * 1e3 / f64::from(1u32 << shift)).round();
        put_frame(out, kind::COORDINATE, |out| {
            out.push(shift);
            self.vector.iter().for_each(|&v| put_u16(out, units(v) as i16 as u16));
            put_u16(out, units(self.height) as u16);
            put_u16(out, units(self.adjustment) as i16 as u16);
            out.push((self.error * 100.0).round() as u8);
        });
    }

    /// Integers have no infinities: what can be written is a place, within its bounds.
    pub fn decode(body: &[u8]) -> Decoded<Coordinate> {
        let mut r = Reader::new(body);
        let shift = r.u8("unit of the coordinate")?;
        if shift > SHIFT_MAX {
            return Err(DecodeError::Invalid("unit of the coordinate"));
        }
        let unit = f64::from(1u32 << shift) / 1e3;
        let mut vector = [0.0; DIMENSIONS];
        for component in &mut vector {
            *component = f64::from(r.u16("component")? as i16) * unit;
        }
        let height = f64::from(r.u16("height")?) * unit;
        let adjustment = f64::from(r.u16("adjustment")? as i16) * unit;
        let error = f64::from(r.u8("error of the coordinate")?) / 100.0;
        if error > ERROR_MAX {
            return Err(DecodeError::Invalid("error of the coordinate"));
        }
        let (height, error) = (height.max(HEIGHT_MIN), error.max(ERROR_MIN));
        Ok(Coordinate { vector, height, adjustment, error })
    }
}

/// This node's place, and those that others told of theirs: 14 bytes a member, from the first on.
#[derive(Debug)]
pub struct Coordinates {
    own: Coordinate,
    told: Vec<[u8; ENCODED]>,
    /// Half the misfit of the latest round trips.
    misfits: [f64; WINDOW],
    samples: u32,
    /// Told in this packet: an older place says nothing about a round trip of now.
    fresh: Option<Slot>,
    acks: u32,
    rng: Rng,
}

impl Coordinates {
    pub fn new(seed: &[u8; 32]) -> Coordinates {
        let mut rng = Rng::fork(seed, "coordinates");
        let acks = rng.index(TELL_EVERY as usize) as u32; // phases differ
        let (own, misfits) = (Coordinate::ORIGIN, [0.0; WINDOW]);
        Coordinates { own, told: Vec::new(), misfits, samples: 0, fresh: None, acks, rng }
    }

    /// `None` before the first round trip: a node alone is nowhere.
    pub fn own(&self) -> Option<Coordinate> {
        (self.samples > 0).then_some(self.own)
    }

    pub fn of(&self, slot: Slot) -> Option<Coordinate> {
        self.told.get(slot as usize).and_then(|bytes| Coordinate::decode(bytes).ok())
    }

    pub fn forget(&mut self, slot: Slot) {
        if let Some(told) = self.told.get_mut(slot as usize) {
            *told = UNKNOWN;
        }
    }

    /// Appends this node's place to one ack in [`TELL_EVERY`], and to all at first.
    pub fn put_now_and_then(&mut self, out: &mut Vec<u8>) {
        self.acks = self.acks.wrapping_add(1);
        if self.acks <= TOLD_AT_FIRST || self.acks.is_multiple_of(TELL_EVERY) {
            self.own.put(out);
        }
    }

    /// A member says where it is; there are slots below `slots`.
    pub fn heard(&mut self, slot: Slot, body: &[u8], slots: Slot) -> Decoded<()> {
        Coordinate::decode(body)?;
        if self.told.len() <= slot as usize {
            self.told.reserve_exact(slots as usize - self.told.len());
            self.told.resize(slots as usize, UNKNOWN);
        }
        self.told[slot as usize].copy_from_slice(&body[..ENCODED]);
        self.fresh = Some(slot);
        Ok(())
    }

    /// A round trip to a member was measured. False if the place that it told cannot be true: then it moves
    /// nothing here.
    pub fn measured(&mut self, slot: Slot, rtt: Duration) -> bool {
        let told = self.fresh.take() == Some(slot);
        let Some(other) = self.of(slot).filter(|_| told) else { return true };
        let rtt = (rtt.as_secs_f64() * 1e3).max(HEIGHT_MIN);
        let apart = self.own.apart(&other);
        let sure = self.own.error < SURE && other.error < SURE;
        if sure && apart > rtt * ABSURD + SLACK {
            return false;
        }
        self.own = moved(&self.own, &other, rtt, &mut self.rng);
        let most = rtt + STEP_SLACK;
        let misfit = (rtt - self.own.apart(&other)).clamp(-most, most) / 2.0;
        self.misfits[self.samples as usize % WINDOW] = misfit;
        self.samples = self.samples.saturating_add(1);
        self.own.adjustment = self.misfits.iter().sum::<f64>() / WINDOW as f64;
        true
    }
}

fn length(vector: &[f64; DIMENSIONS]) -> f64 {
    libm::sqrt(vector.iter().map(|v| v * v).sum())
}

/// One step of Vivaldi, figure 3: a spring between the two, as strong as this one is unsure and the other
/// sure. It moves no further than a part of the round trip that was measured and the slack.
fn moved(own: &Coordinate, other: &Coordinate, rtt: f64, rng: &mut Rng) -> Coordinate {
    let apart = own.apart(other);
    let trust = own.error / (own.error + other.error);
    let wrong = ((apart - rtt).abs() / rtt).min(ERROR_MAX);
    let error = own.error + ERROR_FOLLOWS * trust * (wrong - own.error);
    let most = rtt + STEP_SLACK;
    let force = PLACE_FOLLOWS * trust * (rtt - apart).clamp(-most, most);

    let mut away: [f64; DIMENSIONS] = std::array::from_fn(|i| own.vector[i] - other.vector[i]);
    let flat = length(&away);
    let mut height = own.height;
    if flat > 1e-6 {
        away.iter_mut().for_each(|v| *v /= flat);
        // Serf's share for the height, but no more of it than for the place: a height may be a lie, too.
        let share = ((own.height + other.height) / flat.max(rtt)).min(1.0);
        height += share * force;
    } else {
        // Two in one place part in any direction.
        away.iter_mut().for_each(|v| *v = rng.unit() - 0.5);
        let chance = length(&away).max(1e-6);
        away.iter_mut().for_each(|v| *v /= chance);
    }
    let out = length(&own.vector).max(1e-6);
    let pull = ((out / GRAVITY) * (out / GRAVITY)).min(out) / out;
    let vector = std::array::from_fn(|i| {
        let place = own.vector[i] + away[i] * force;
        (place - own.vector[i] * pull).clamp(-PLACE_MAX, PLACE_MAX)
    });
    Coordinate {
        vector,
        height: height.clamp(HEIGHT_MIN, PLACE_MAX),
        adjustment: own.adjustment,
        error: error.clamp(ERROR_MIN, ERROR_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64, error: f64) -> Coordinate {
        let mut place = Coordinate { error, ..Coordinate::ORIGIN };
        (place.vector[0], place.vector[1]) = (x, y);
        place
    }

    fn encoded(place: &Coordinate) -> Vec<u8> {
        let mut out = Vec::new();
        place.put(&mut out);
        assert_eq!(out.len(), ENCODED + 2);
        out.split_off(2)
    }

    #[test]
    fn what_is_told_is_read_within_a_unit_and_what_is_none_is_refused() {
        for scale in [0.1, 3.0, 40.0, 900.0] {
            let told = Coordinate {
                height: scale / 3.0,
                adjustment: -scale / 9.0,
                ..at(scale, -scale / 7.0, 0.23)
            };
            let read = Coordinate::decode(&encoded(&told)).expect("a coordinate");
            let unit = (scale / 16_000.0).max(0.001);
            assert!(
                (0..DIMENSIONS).all(|i| (read.vector[i] - told.vector[i]).abs() <= unit),
                "{read:?}"
            );
            assert!((read.height - told.height).abs() <= unit && read.error == told.error);
            assert!((read.adjustment - told.adjustment).abs() <= unit);
        }
        let bytes = encoded(&at(1.0, 2.0, 0.5));
        assert!((0..ENCODED).all(|cut| Coordinate::decode(&bytes[..cut]).is_err()));
        for (place, value) in [(0, SHIFT_MAX + 1), (ENCODED - 1, 151)] {
            let mut bad = bytes.clone();
            bad[place] = value;
            assert!(Coordinate::decode(&bad).is_err(), "byte {place}");
        }
        assert!(Coordinate::decode(&UNKNOWN).is_err());
    }

    #[test]
    fn springs_find_a_place_that_explains_all_round_trips() {
        let peers = [at(0.0, 0.0, 0.1), at(60.0, 0.0, 0.1), at(0.0, 80.0, 0.1)];
        let truth = [50.0, 50.0, 50.0]; // the middle of the long side
        let mut here = Coordinates::new(&[7; 32]);
        for step in 0..300 {
            here.heard(step % 3, &encoded(&peers[step as usize % 3]), 3).expect("a coordinate");
            assert!(
                here.measured(step % 3, Duration::from_millis(truth[step as usize % 3] as u64))
            );
        }
        let own = here.own().expect("it was measured");
        for (peer, truth) in peers.iter().zip(truth) {
            let found = own.round_trip(peer).estimate.as_secs_f64() * 1e3;
            assert!((found - truth).abs() < 4.0, "{found} for {truth}: {own:?}");
        }
    }

    #[test]
    fn a_sure_liar_moves_nobody_far_and_nobody_who_is_sure() {
        let mut here = Coordinates::new(&[1; 32]);
        let rtt = Duration::from_millis(10);
        let (far, near) = (encoded(&at(1_000.0, 1_000.0, 0.0)), encoded(&at(10.0, 0.0, 0.1)));
        let most = PLACE_FOLLOWS * (10.0 + STEP_SLACK);
        let high = encoded(&Coordinate { height: PLACE_MAX, ..at(1.0, 0.0, 0.0) });
        let odd = encoded(&Coordinate { adjustment: -PLACE_MAX, ..at(1.0, 0.0, 0.0) });
        for lie in [&far, &high, &odd] {
            let before = here.own;
            here.heard(1, lie, 2).expect("a coordinate");
            assert!(here.measured(1, rtt), "who knows nothing yet cannot judge");
            let step: [f64; DIMENSIONS] =
                std::array::from_fn(|i| here.own.vector[i] - before.vector[i]);
            assert!(length(&step) <= most + 0.1, "{:?}", here.own);
            assert!((here.own.height - before.height).abs() <= most, "{:?}", here.own);
            assert!(here.own.adjustment.abs() <= 10.0 + STEP_SLACK, "{:?}", here.own);
        }
        for _ in 0..100 {
            here.heard(0, &near, 2).expect("a coordinate");
            assert!(here.measured(0, rtt));
        }
        let before = here.own;
        here.heard(1, &far, 2).expect("a coordinate");
        assert!(!here.measured(1, rtt));
        assert_eq!(here.own, before);
    }
}
