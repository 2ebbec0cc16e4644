//! Decides what heartbeat counters say of members: which rises are believed, how long one has not
//! risen, and which are told on, freshest first (row I1).
//!
//! A counter belongs to one life and only rises. A number that rose faster than time allows is
//! refused until a second one, counting on from it, confirms it: so a corrupt or invented number
//! neither keeps a dead member alive nor stands above the true ones for long (F2).

use std::time::Duration;

use super::message::Beat;
use super::phi::{Estimate, Window};
use crate::base::time::Time;
use crate::config::{Config, Detector};
use crate::membership::table::{ME, Slot};

/// A counter may rise by this much at once, and by two per period since it last did.
const JUMP_MAX: u64 = 8;
const NOBODY: Slot = Slot::MAX;

/// How far one peer was told.
#[derive(Clone, Copy, Debug)]
pub struct Cursor(Slot);

/// What a number meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Known, or older than what is known.
    Stale,
    /// Where this counter stands; only the next rise is a sign of life.
    Start,
    Rose,
    /// Too far ahead to be believed at once.
    Jump,
}

/// The counters of all members, by slot.
#[derive(Debug)]
pub struct Heartbeats {
    detector: Detector,
    period: Duration,
    rounds: u32,
    threshold: f64,
    window: usize,
    min_deviation: f64,
    pause: f64,
    /// How often each rise is told on.
    tellings: u8,
    places: Vec<Place>,
    /// Rises not yet told often enough: a list through the places, the latest first.
    first: Slot,
    /// Nothing before this counts: the process itself stood still.
    listening_since: Time,
}

#[derive(Debug)]
struct Place {
    /// Whose place it is: slots are used again.
    member: u64,
    generation: u64,
    count: u64,
    /// A number too far ahead, to be confirmed by the next.
    ahead: u64,
    beats: bool,
    /// Counted on from where it was first heard.
    risen: bool,
    doubted: bool,
    told: u8,
    rose: Time,
    /// The last sign of life of any kind.
    alive: Time,
    before: Slot,
    after: Slot,
    arrivals: Option<Arrivals>,
}

/// What phi is estimated from, and the estimate at hand, where it is asked for far more often.
#[derive(Debug)]
struct Arrivals {
    window: Box<Window>,
    estimate: Estimate,
}

impl Heartbeats {
    pub fn new(config: &Config) -> Heartbeats {
        Heartbeats {
            detector: config.detector,
            period: config.probe_period,
            rounds: config.heartbeat_rounds,
            threshold: config.phi_threshold,
            window: config.phi_window,
            min_deviation: config.phi_min_deviation.as_secs_f64(),
            pause: config.phi_pause.as_secs_f64(),
            tellings: config.heartbeat_fanout as u8,
            places: Vec::new(),
            first: NOBODY,
            listening_since: Time::ZERO,
        }
    }

    /// Goes by other settings from now on. Where those of the estimate change it starts anew; without
    /// heartbeats nobody but this node is remembered to have sent any.
    pub fn reconfigure(&mut self, config: &Config) {
        let newer = Heartbeats::new(config);
        let estimated =
            |it: &Heartbeats| (matches!(it.detector, Detector::Phi(_)), it.period, it.window);
        let changed = estimated(&newer) != estimated(self);
        let mut places = std::mem::take(&mut self.places);
        let (mut first, listening_since) = (self.first, self.listening_since);
        if newer.detector == Detector::Swim {
            places.truncate(ME as usize + 1);
            let own = places.iter_mut();
            own.for_each(|own| (own.beats, own.before, own.after) = (false, NOBODY, NOBODY));
            first = NOBODY;
        } else if changed {
            let beating = places.iter_mut().filter(|place| place.beats);
            beating.for_each(|place| place.arrivals = newer.no_arrivals());
        }
        *self = Heartbeats { places, first, listening_since, ..newer };
    }

    /// Starts the own counter.
    pub fn begin(&mut self, me: u64, generation: u64) {
        let place = self.place(ME, me);
        (place.beats, place.generation) = (true, generation);
    }

    pub fn raise(&mut self) {
        self.places[ME as usize].count += 1;
    }

    /// The process stood still until now: what it did not hear meanwhile proves nothing (row I6).
    pub fn listen_from(&mut self, now: Time) {
        self.listening_since = now;
    }

    /// A number came; `by_owner`: from the member itself.
    pub fn hear(&mut self, slot: Slot, beat: &Beat, by_owner: bool, now: Time) -> Heard {
        let (period, listening_since) = (self.period, self.listening_since);
        let place = self.place(slot, beat.member);
        let known = (place.generation, place.count);
        let counts_on = beat.generation == place.generation;
        if !place.beats || beat.generation > place.generation {
            self.start(slot, beat, now);
            return Heard::Start;
        }
        if (beat.generation, beat.count) <= known {
            // What we hold was a lie: the member itself says so, or nobody counts on from it.
            let lie = counts_on && known.1 - beat.count > JUMP_MAX;
            if lie && (by_owner || place.doubted || !place.risen) {
                place.count = beat.count;
                return Heard::Start;
            }
            return Heard::Stale;
        }
        let sends = beat.count - place.count;
        let periods = now.since(place.rose).as_nanos() / period.as_nanos().max(1);
        let in_time = u128::from(sends) <= u128::from(JUMP_MAX) + 2 * periods;
        let beyond = beat.count.checked_sub(place.ahead).filter(|_| place.ahead > 0);
        let confirmed = beyond.is_some_and(|d| (1..=JUMP_MAX).contains(&d));
        if !(by_owner || in_time || confirmed) {
            place.ahead = beat.count;
            return Heard::Jump;
        }
        // What this node slept through, and what it waited for in doubt, is no sample of the way.
        if place.rose >= listening_since
            && !place.doubted
            && let Some(arrivals) = &mut place.arrivals
        {
            arrivals.window.add(now.since(place.rose), sends);
            arrivals.estimate = arrivals.window.estimate().no_faster_than(period);
        }
        (place.count, place.ahead) = (beat.count, 0);
        (place.risen, place.rose) = (true, now);
        self.freshen(slot);
        Heard::Rose
    }

    /// Another sign of life: an answer to a probe, a refutation, a rise. True if it ends a doubt.
    pub fn alive(&mut self, slot: Slot, now: Time) -> bool {
        match self.places.get_mut(slot as usize) {
            Some(place) => {
                place.alive = now;
                std::mem::replace(&mut place.doubted, false)
            }
            None => false,
        }
    }

    pub fn doubted(&mut self, slot: Slot) {
        if let Some(place) = self.places.get_mut(slot as usize) {
            place.doubted = true;
        }
    }

    /// Whether a counter of this member was heard: who never beat is judged otherwise.
    pub fn beats(&self, slot: Slot, member: u64) -> bool {
        self.places.get(slot as usize).is_some_and(|p| p.beats && p.member == member)
    }

    /// How long the member has been silent; `since` is when it was last declared alive.
    pub fn silence(&self, slot: Slot, since: Time, now: Time) -> Duration {
        let alive = self.places.get(slot as usize).map_or(Time::ZERO, |p| p.alive);
        now.since(alive.max(since).max(self.listening_since))
    }

    /// The suspicion level after this silence: phi, or periods without a rise.
    pub fn level(&self, slot: Slot, silence: Duration) -> f64 {
        let elapsed = silence.as_secs_f64();
        let Detector::Phi(form) = self.detector else {
            return elapsed / self.period.as_secs_f64();
        };
        let place = self.places.get(slot as usize);
        let estimate = place.and_then(|p| p.arrivals.as_ref()).map(|a| a.estimate);
        estimate.map_or(0.0, |e| e.phi(form, elapsed, self.pause, self.min_deviation))
    }

    /// Whether this silence is doubt; for nearly all members without a logarithm.
    pub fn is_doubt(&self, slot: Slot, silence: Duration) -> bool {
        if let Detector::Phi(form) = self.detector
            && let Some(Some(arrivals)) = self.places.get(slot as usize).map(|p| &p.arrivals)
        {
            let (elapsed, least) = (silence.as_secs_f64(), self.min_deviation);
            let estimate = &arrivals.estimate;
            if estimate.is_surely_below(self.threshold, form, elapsed, self.pause, least) {
                return false;
            }
        }
        self.level(slot, silence) >= self.threshold()
    }

    /// The level at which this node doubts.
    pub fn threshold(&self) -> f64 {
        match self.detector {
            Detector::Phi(_) => self.threshold,
            _ => f64::from(self.rounds),
        }
    }

    // Telling.

    /// Where telling one peer begins: at the freshest.
    pub fn freshest(&self) -> Cursor {
        Cursor(self.first)
    }

    /// Appends the own counter, then others' from the cursor on, up to `end` bytes of `out`; false
    /// when all was told. Each rise is told as often as configured, so a list is walked no further
    /// than it is told.
    pub fn put(&mut self, cursor: &mut Cursor, out: &mut Vec<u8>, end: usize) -> bool {
        if out.len() + BEAT_BYTES_MAX > end {
            return false;
        }
        self.places[ME as usize].beat().put(out);
        while cursor.0 != NOBODY {
            if out.len() + BEAT_BYTES_MAX > end {
                return true;
            }
            let slot = cursor.0;
            let place = &mut self.places[slot as usize];
            cursor.0 = place.after;
            place.beat().put(out);
            place.told += 1;
            if place.told >= self.tellings {
                self.unlink(slot);
            }
        }
        false
    }

    // Inside.

    fn place(&mut self, slot: Slot, member: u64) -> &mut Place {
        while self.places.len() <= slot as usize {
            self.places.push(Place::new(0));
        }
        if self.places[slot as usize].member != member {
            self.unlink(slot);
            self.places[slot as usize] = Place::new(member);
        }
        &mut self.places[slot as usize]
    }

    /// What an estimate begins with, where the detector wants one.
    fn no_arrivals(&self) -> Option<Arrivals> {
        matches!(self.detector, Detector::Phi(_)).then(|| {
            let window = Box::new(Window::new(self.window, self.period));
            Arrivals { estimate: window.estimate(), window }
        })
    }

    fn start(&mut self, slot: Slot, beat: &Beat, now: Time) {
        let arrivals = self.no_arrivals();
        let place = &mut self.places[slot as usize];
        (place.generation, place.count, place.ahead) = (beat.generation, beat.count, 0);
        (place.beats, place.risen, place.rose, place.alive) = (true, false, now, now);
        place.arrivals = arrivals;
        self.freshen(slot);
    }

    fn freshen(&mut self, slot: Slot) {
        self.unlink(slot);
        let first = self.first;
        let place = &mut self.places[slot as usize];
        (place.told, place.before, place.after) = (0, NOBODY, first);
        if first != NOBODY {
            self.places[first as usize].before = slot;
        }
        self.first = slot;
    }

    fn unlink(&mut self, slot: Slot) {
        let Place { before, after, .. } = self.places[slot as usize];
        match before {
            NOBODY if self.first != slot => return, // not in the list
            NOBODY => self.first = after,
            other => self.places[other as usize].after = after,
        }
        if after != NOBODY {
            self.places[after as usize].before = before;
        }
        let place = &mut self.places[slot as usize];
        (place.before, place.after) = (NOBODY, NOBODY);
    }
}

/// A [`Beat`] on the wire takes at most this.
const BEAT_BYTES_MAX: usize = 8 + 9 + 9;

impl Place {
    fn new(member: u64) -> Place {
        Place {
            member,
            generation: 0,
            count: 0,
            ahead: 0,
            beats: false,
            risen: false,
            doubted: false,
            told: 0,
            rose: Time::ZERO,
            alive: Time::ZERO,
            before: NOBODY,
            after: NOBODY,
            arrivals: None,
        }
    }

    fn beat(&self) -> Beat {
        Beat { member: self.member, generation: self.generation, count: self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: u64 = 77;

    fn counters(detector: Detector) -> Heartbeats {
        let mut all = Heartbeats::new(&Config { detector, ..Config::lan() });
        all.begin(1, 1);
        all
    }

    fn beat(count: u64) -> Beat {
        Beat { member: OWNER, generation: 1, count }
    }

    /// A member in slot 3 that beat from 100 s to 119 s, once a second.
    fn steady() -> Heartbeats {
        let mut all = counters(Detector::Heartbeat);
        for i in 0..20 {
            let heard = all.hear(3, &beat(500 + i), false, Time::from_secs(100 + i));
            assert_eq!(heard, if i == 0 { Heard::Start } else { Heard::Rose });
            all.alive(3, Time::from_secs(100 + i));
        }
        all
    }

    #[test]
    fn counters_only_rise_and_silence_is_counted_in_rounds() {
        let mut all = steady();
        let at = Time::from_secs(120);
        assert_eq!(all.hear(3, &beat(519), false, at), Heard::Stale);
        assert_eq!(all.hear(3, &beat(3), true, at), Heard::Start, "the owner knows better");
        let mut all = steady();
        assert_eq!(all.hear(3, &beat(515), true, at), Heard::Stale, "an old datagram of its own");
        let silence = |all: &Heartbeats, s| all.silence(3, Time::ZERO, Time::from_secs(s));
        assert_eq!(all.level(3, silence(&all, 127)), 8.0);
        assert_eq!(all.threshold(), 8.0);
        // What the process slept through does not count.
        all.listen_from(Time::from_secs(126));
        assert_eq!(all.level(3, silence(&all, 127)), 1.0);
        assert_eq!(all.silence(3, Time::from_secs(127), Time::from_secs(127)), Duration::ZERO);
    }

    /// F2: an absurd number neither hides a death nor stands above the true ones.
    #[test]
    fn a_lie_about_a_counter_is_refused_and_a_small_one_is_outlived() {
        let mut all = steady();
        let at = Time::from_secs;
        for lie in [1 << 61, 519 + 400, 519 + 11] {
            assert_eq!(all.hear(3, &beat(lie), false, at(120)), Heard::Jump, "{lie}");
        }
        assert_eq!(all.hear(3, &beat(520), false, at(120)), Heard::Rose);
        // A lie within the allowance blocks the true ones until they catch up, or until doubt.
        assert_eq!(all.hear(3, &beat(530), false, at(121)), Heard::Rose);
        assert_eq!(all.hear(3, &beat(522), false, at(122)), Heard::Stale);
        all.doubted(3);
        assert_eq!(all.hear(3, &beat(521), false, at(123)), Heard::Start);
        assert_eq!(all.hear(3, &beat(523), false, at(124)), Heard::Rose);
        assert!(all.alive(3, at(124)), "relief");
        // Two that count on from each other are a fact: this clock slept, or the owner jumped.
        assert_eq!(all.hear(3, &beat(90_000), false, at(125)), Heard::Jump);
        assert_eq!(all.hear(3, &beat(90_000), false, at(125)), Heard::Jump, "the same, repeated");
        assert_eq!(all.hear(3, &beat(90_001), false, at(126)), Heard::Rose);
    }

    #[test]
    fn a_new_start_and_a_new_member_begin_anew() {
        let mut all = steady();
        let restarted = Beat { generation: 2, count: 1, ..beat(1) };
        assert_eq!(all.hear(3, &restarted, false, Time::from_secs(200)), Heard::Start);
        assert_eq!(all.hear(3, &beat(900), false, Time::from_secs(200)), Heard::Stale);
        let other = Beat { member: 5, ..beat(9) };
        assert!(all.beats(3, OWNER) && !all.beats(3, 5));
        assert_eq!(all.hear(3, &other, false, Time::from_secs(201)), Heard::Start);
        assert!(!all.beats(3, OWNER) && all.beats(3, 5));
    }

    #[test]
    fn the_freshest_is_told_first_and_each_rise_as_often_as_configured() {
        let mut all = counters(Detector::Heartbeat);
        for slot in 1..=50u32 {
            let beat = Beat { member: u64::from(slot) + 100, ..beat(7) };
            all.hear(slot, &beat, false, Time::from_secs(u64::from(slot)));
        }
        let told = |all: &mut Heartbeats, bytes: usize| {
            let (mut out, mut cursor) = (Vec::new(), all.freshest());
            all.put(&mut cursor, &mut out, bytes);
            assert!(out.len() <= bytes);
            let read: Result<Vec<Beat>, _> = super::super::message::Beats::new(&out).collect();
            read.expect("whole").into_iter().map(|b| b.member).collect::<Vec<u64>>()
        };
        assert_eq!(told(&mut all, 60), [1, 150, 149, 148]);
        let mut count = 3;
        for _ in 0..100 {
            count += told(&mut all, 600).len() - 1;
        }
        assert_eq!(count, 50 * Config::lan().heartbeat_fanout);
        assert_eq!(told(&mut all, 600), [1], "the own counter always");
        assert!(told(&mut all, 10).is_empty(), "no room");
    }
}
