//! Decides who hears first of a key that is read a lot: members that read it often say so, and are told
//! before chance finds them. What counts decays; what is remembered is bounded at both ends.

use std::time::Duration;

use crate::base::time::Time;
use crate::limits::{HOT_KEYS_MAX, HOT_READERS_MAX, READS_COUNTED_MAX};
use crate::membership::table::Slot;

/// How often this node itself read each key of late.
#[derive(Debug, Default)]
pub struct Reads {
    counts: Vec<Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    key: u32,
    /// As of `at`; it halves in each window.
    reads: f64,
    at: Time,
    said: Time,
    busy: bool,
}

impl Reads {
    /// One more read. True where the writer should hear of it: it is hot here and was not said for half a
    /// window, or it was said while this node was not as busy as now.
    pub fn read(
        &mut self,
        key: u32,
        busy: bool,
        threshold: f64,
        window: Duration,
        now: Time,
    ) -> bool {
        let decayed = |c: &Count| {
            c.reads * libm::exp2(-(now.since(c.at).as_secs_f64() / window.as_secs_f64()))
        };
        let place = match self.counts.iter().position(|c| c.key == key) {
            Some(place) => place,
            None => {
                let fresh = Count { key, reads: 0.0, at: now, said: Time::ZERO, busy: false };
                if self.counts.len() < READS_COUNTED_MAX {
                    self.counts.push(fresh);
                    self.counts.len() - 1
                } else {
                    // It takes the place of what is read least.
                    let all = self.counts.iter().enumerate();
                    let least = all.min_by(|a, b| decayed(a.1).total_cmp(&decayed(b.1)));
                    let place = least.map_or(0, |(place, _)| place);
                    self.counts[place] = fresh;
                    place
                }
            }
        };
        let reads = decayed(&self.counts[place]) + 1.0;
        let count = &mut self.counts[place];
        (count.reads, count.at) = (reads, now);
        let said = count.said != Time::ZERO;
        let due = !said || now.since(count.said) >= window / 2 || count.busy != busy;
        if reads < threshold || !due {
            return false;
        }
        (count.said, count.busy) = (now, busy);
        true
    }
}

/// Who reads which key, as they said.
#[derive(Debug, Default)]
pub struct HotKeys {
    keys: Vec<HotKey>,
}

#[derive(Debug)]
struct HotKey {
    key: u32,
    heard: Time,
    readers: Vec<Reader>,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    slot: Slot,
    heard: Time,
    /// It has more to do than it can: chance may find it.
    busy: bool,
    /// Has the newest write, or need not be told of it.
    told: bool,
}

impl HotKeys {
    /// A member reads this key a lot. The reader not heard for longest gives way, as does the key.
    pub fn note(&mut self, key: u32, slot: Slot, busy: bool, now: Time) {
        let place = match self.keys.iter().position(|k| k.key == key) {
            Some(place) => place,
            None if self.keys.len() < HOT_KEYS_MAX => {
                self.keys.push(HotKey { key, heard: now, readers: Vec::new() });
                self.keys.len() - 1
            }
            None => {
                let oldest = self.keys.iter().enumerate().min_by_key(|(_, k)| k.heard);
                let place = oldest.map_or(0, |(place, _)| place);
                self.keys[place].key = key;
                self.keys[place].readers.clear();
                place
            }
        };
        let hot = &mut self.keys[place];
        hot.heard = now;
        let reader = Reader { slot, heard: now, busy, told: true };
        if let Some(known) = hot.readers.iter_mut().find(|r| r.slot == slot) {
            *known = Reader { told: known.told, ..reader };
        } else if hot.readers.len() < HOT_READERS_MAX {
            hot.readers.push(reader);
        } else if let Some(oldest) = hot.readers.iter_mut().min_by_key(|r| r.heard) {
            *oldest = reader;
        }
    }

    /// The key was written: its readers are to be told. False if it has none.
    pub fn written(&mut self, key: u32, window: Duration, now: Time) -> bool {
        let Some(hot) = self.keys.iter_mut().find(|k| k.key == key) else { return false };
        hot.readers.retain(|r| now.since(r.heard) <= window * 2);
        hot.readers.iter_mut().for_each(|r| r.told = r.busy);
        hot.readers.iter().any(|r| !r.told)
    }

    /// The next readers to be told of some key, at most `share`.
    pub fn next(&mut self, share: usize, out: &mut Vec<Slot>) -> Option<u32> {
        out.clear();
        let hot = self.keys.iter_mut().find(|k| k.readers.iter().any(|r| !r.told))?;
        for reader in hot.readers.iter_mut().filter(|r| !r.told).take(share) {
            reader.told = true;
            out.push(reader.slot);
        }
        Some(hot.key)
    }

    pub fn is_waiting(&self) -> bool {
        self.keys.iter().any(|k| k.readers.iter().any(|r| !r.told))
    }

    /// Keys, and readers of all of them.
    pub fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.keys.iter().map(|k| k.readers.len()).sum())
    }
}

/// Readers told in a round, beside `uniform` peers that are drawn by chance, so that a share `bias` of
/// all picks goes to readers and nobody else waits longer for it.
pub fn share(bias: f64, uniform: usize) -> usize {
    libm::ceil(uniform as f64 * bias / (1.0 - bias)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    #[test]
    fn a_key_is_hot_after_its_threshold_and_cold_when_reads_stop() {
        let mut reads = Reads::default();
        let at = Time::from_millis;
        let mut said = Vec::new();
        for i in 0..1000 {
            if reads.read(7, false, 100.0, WINDOW, at(1000 + i * 20)) {
                said.push(i * 20);
            }
        }
        assert_eq!(said.len(), 4, "after 100 reads and every 5 s: {said:?}");
        assert!((1980..3000).contains(&said[0]));
        assert!(!reads.read(7, false, 100.0, WINDOW, at(200_000)), "18 windows later it is cold");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_busiest_stay() {
        let mut reads = Reads::default();
        for key in 0..10_000 {
            reads.read(key, false, 100.0, WINDOW, Time::from_secs(1));
            assert!(!reads.read(1 << 20, false, 1e9, WINDOW, Time::from_secs(1)));
        }
        assert_eq!(reads.counts.len(), READS_COUNTED_MAX);
        assert!(reads.counts.iter().any(|c| c.key == 1 << 20 && c.reads == 10_000.0));
        let mut hot = HotKeys::default();
        for key in 0..500 {
            for slot in 0..500 {
                hot.note(key, slot, false, Time::from_secs(u64::from(key)));
            }
        }
        assert_eq!(hot.counts(), (HOT_KEYS_MAX, HOT_KEYS_MAX * HOT_READERS_MAX));
    }

    #[test]
    fn readers_are_told_once_in_shares_and_the_busy_and_the_silent_are_left_out() {
        let mut hot = HotKeys::default();
        let at = Time::from_secs;
        hot.note(1, 99, false, at(1));
        for slot in 0..20 {
            hot.note(1, slot, slot == 3, at(25));
        }
        assert!(!hot.is_waiting() && !hot.written(2, WINDOW, at(30)));
        assert!(hot.written(1, WINDOW, at(30)));
        let mut out = Vec::new();
        assert_eq!((hot.next(share(0.7, 6), &mut out), out.len()), (Some(1), 14));
        assert_eq!((hot.next(share(0.7, 6), &mut out), out.len()), (Some(1), 5));
        assert!(!hot.is_waiting() && hot.next(9, &mut out).is_none());
    }
}
