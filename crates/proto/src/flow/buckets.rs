//! Decides how much each of many senders has left to spend: token buckets that are kept only while
//! they are not full, so that those who spend little cost nothing.

use crate::base::time::Time;
use crate::limits::BUCKETS_MAX;

/// What a bucket holds at most and gains.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub capacity: f32,
    pub per_second: f32,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    key: u32,
    /// Milliseconds, modulo 2^32: after 49 days of rest a bucket may count as spent once.
    at: u32,
    level: f32,
}

/// No sender has this key.
const FREE: u32 = u32::MAX;
/// Places that one key may take.
const WAYS: usize = 4;
const FIRST: usize = 8 * WAYS;

/// Buckets by key, found in O(1): each key has four places of a table that grows to [`BUCKETS_MAX`].
#[derive(Debug)]
pub struct Buckets {
    places: Vec<Bucket>,
    /// Of all those for whom there is no place.
    crowd: Bucket,
}

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets { places: Vec::new(), crowd: Bucket { key: FREE, at: 0, level: f32::MAX } }
    }
}

impl Buckets {
    /// What this key has left; below zero it owes.
    pub fn left(&self, key: u32, terms: Terms, now: Time) -> f32 {
        let set = self.set_of(key);
        let mut candidates = self.places.get(set..set + WAYS).unwrap_or(&[]).iter();
        let known = candidates.clone().find(|bucket| bucket.key == key);
        if let Some(bucket) = known {
            return level(bucket, terms, now);
        }
        let crowded =
            self.places.len() >= BUCKETS_MAX && candidates.all(|other| !is_idle(other, terms, now));
        if crowded { level(&self.crowd, terms, now) } else { terms.capacity }
    }

    /// Takes this much, also where less is left.
    pub fn take(&mut self, key: u32, amount: f32, terms: Terms, now: Time) {
        let bucket = self.place(key, terms, now);
        let left = level(bucket, terms, now) - amount;
        *bucket = Bucket { key: bucket.key, at: millis(now), level: left };
    }

    /// Takes this much if anything is left; whether it did.
    pub fn take_if_any(&mut self, key: u32, amount: f32, terms: Terms, now: Time) -> bool {
        let bucket = self.place(key, terms, now);
        let left = level(bucket, terms, now);
        if left > 0.0 {
            *bucket = Bucket { key: bucket.key, at: millis(now), level: left - amount };
        }
        left > 0.0
    }

    /// The key's own bucket, a new one in the place of one that is full, or the crowd's.
    fn place(&mut self, key: u32, terms: Terms, now: Time) -> &mut Bucket {
        loop {
            let set = self.set_of(key);
            let ways = self.places.get(set..set + WAYS).unwrap_or(&[]);
            let own = ways.iter().position(|bucket| bucket.key == key);
            let found = own.or_else(|| ways.iter().position(|other| is_idle(other, terms, now)));
            if let Some(way) = found {
                let bucket = &mut self.places[set + way];
                if own.is_none() {
                    *bucket = Bucket { key, at: millis(now), level: terms.capacity };
                }
                return bucket;
            }
            if self.places.len() >= BUCKETS_MAX {
                return &mut self.crowd;
            }
            self.grow(terms, now);
        }
    }

    fn grow(&mut self, terms: Terms, now: Time) {
        let free = Bucket { key: FREE, at: 0, level: 0.0 };
        let size = (self.places.len() * 4).clamp(FIRST, BUCKETS_MAX);
        let before = std::mem::replace(&mut self.places, vec![free; size]);
        for bucket in before.into_iter().filter(|bucket| !is_idle(bucket, terms, now)) {
            // The places of a key in the larger table had at most these keys in the smaller one.
            let set = self.set_of(bucket.key);
            let empty = self.places[set..set + WAYS].iter_mut().find(|place| place.key == FREE);
            *empty.expect("four places for at most four buckets") = bucket;
        }
    }

    /// Where the places of a key begin.
    fn set_of(&self, key: u32) -> usize {
        let sets = self.places.len() / WAYS;
        let hash = u64::from(key.wrapping_mul(0x9E37_79B1));
        ((hash * sets as u64) >> 32) as usize * WAYS
    }
}

fn level(bucket: &Bucket, terms: Terms, now: Time) -> f32 {
    let gained = millis(now).wrapping_sub(bucket.at) as f32 / 1000.0 * terms.per_second;
    (bucket.level + gained).min(terms.capacity)
}

fn is_idle(bucket: &Bucket, terms: Terms, now: Time) -> bool {
    bucket.key == FREE || level(bucket, terms, now) >= terms.capacity
}

fn millis(now: Time) -> u32 {
    now.as_millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { capacity: 10.0, per_second: 2.0 };

    #[test]
    fn a_bucket_gives_its_capacity_and_then_its_rate() {
        let mut buckets = Buckets::default();
        let mut given = 0;
        for ms in 0..60_000 {
            let now = Time::from_millis(ms);
            if buckets.left(7, TERMS, now) >= 1.0 {
                buckets.take(7, 1.0, TERMS, now);
                given += 1;
            }
            assert_eq!(buckets.left(8, TERMS, now), 10.0, "nobody else pays");
        }
        assert!((129..=131).contains(&given), "{given}: ten, and two a second for a minute");
    }

    #[test]
    fn those_who_rest_cost_nothing() {
        let mut buckets = Buckets::default();
        for key in 0..100_000 {
            buckets.take(key, 1.0, TERMS, Time::from_secs(u64::from(key)));
        }
        assert_eq!(buckets.places.len(), FIRST);
    }

    #[test]
    fn memory_is_bounded_and_the_crowd_shares_what_is_left() {
        let mut buckets = Buckets::default();
        let now = Time::from_secs(1);
        for key in 0..2_000_000 {
            buckets.take(key, 1.0, TERMS, now);
        }
        assert_eq!(buckets.places.len(), BUCKETS_MAX);
        let broke = (0..2_000_000).filter(|&key| buckets.left(key, TERMS, now) < 0.0).count();
        assert_eq!(broke, 2_000_000 - BUCKETS_MAX, "those without a place share one bucket");
        let first = buckets.left(0, TERMS, now);
        assert_eq!(first, 9.0, "who was there before is not affected");
        assert_eq!(
            buckets.left(1_999_999, TERMS, now + std::time::Duration::from_secs(60_000)),
            10.0
        );
    }

    #[test]
    fn what_was_spent_is_kept_when_the_table_grows() {
        let mut buckets = Buckets::default();
        let now = Time::from_secs(1);
        for key in 0..1000 {
            buckets.take(key, 1.0 + (key % 7) as f32, TERMS, now);
        }
        let kept = (0..1000).all(|key| buckets.left(key, TERMS, now) == 9.0 - (key % 7) as f32);
        assert!(kept);
    }
}
