//! Decides how many elements two sets are likely to differ in, from a few bytes of each.
//!
//! An odd sketch (Mitzenmacher, Pagh, Pham, WWW 2014) has one bit for each group of elements: whether their
//! number is odd. The exclusive or of two sets' sketches is that of their difference, so what both
//! hold costs nothing. With 512 bits a difference of 100 is told to within 7 %, at a fraction of
//! the bytes that sums of random signs (Alon, Matias, Szegedy 1996) take for that. One over all
//! elements tells up to some 350 differences; seven over ever smaller samples tell more. Folded to 128
//! bits it goes with an ack and tells a few from many.

use crate::wire::codec::{Decoded, Reader, put_u64};

/// Samples, each a quarter of the one before.
pub const LEVELS: usize = 7;
/// Words of a sketch, and of one that is folded.
const WORDS: usize = 8;
const FOLDED: usize = 2;

/// How many differ, and how sure that is (one standard deviation).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub differing: f64,
    pub deviation: f64,
}

/// One bit per group: whether the number of its elements is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OddSketch<const N: usize = WORDS>([u64; N]);

/// A sketch folded to 16 bytes.
pub type Folded = OddSketch<FOLDED>;

impl<const N: usize> Default for OddSketch<N> {
    fn default() -> OddSketch<N> {
        OddSketch([0; N])
    }
}

impl<const N: usize> OddSketch<N> {
    pub const BYTES: usize = 8 * N;
    const BITS: u32 = 64 * N as u32;

    pub fn of_words(words: [u64; N]) -> OddSketch<N> {
        OddSketch(words)
    }

    pub fn words(&self) -> [u64; N] {
        self.0
    }

    fn toggle(&mut self, element: u64) {
        let bit = (element >> 24) as usize % (64 * N);
        self.0[bit / 64] ^= 1 << (bit % 64);
    }

    fn ones(&self, other: &OddSketch<N>) -> u32 {
        self.0.iter().zip(other.0).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    /// How many elements the sets behind two sketches differ in; `None`: too many to tell.
    pub fn difference(&self, other: &OddSketch<N>) -> Option<Estimate> {
        let ones = self.ones(other);
        if ones > Self::BITS * 3 / 8 {
            return None;
        }
        let bits = f64::from(Self::BITS);
        let differing = -bits / 2.0 * libm::log(1.0 - 2.0 * f64::from(ones) / bits);
        let variance = bits / 4.0 * (libm::exp(4.0 * differing / bits) - 1.0) - differing;
        Some(Estimate { differing, deviation: libm::sqrt(variance.max(0.0)) })
    }

    /// Whether about every second bit differs, as it does where far more differ than this tells.
    pub fn is_noise(&self, other: &OddSketch<N>) -> bool {
        self.ones(other) > Self::BITS * 7 / 16
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|&word| put_u64(out, word));
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<OddSketch<N>> {
        let mut words = [0; N];
        for word in &mut words {
            *word = r.u64("odd sketch")?;
        }
        Ok(OddSketch(words))
    }
}

impl OddSketch {
    pub fn folded(&self) -> Folded {
        let mut words = [0; FOLDED];
        self.0.iter().enumerate().for_each(|(at, word)| words[at % FOLDED] ^= word);
        OddSketch(words)
    }
}

/// The sketches of a set that changes: over all, and over samples, by which any difference is told to
/// within some 11 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimator {
    all: OddSketch,
    levels: [OddSketch; LEVELS],
}

impl Estimator {
    pub const BYTES: usize = (1 + LEVELS) * OddSketch::<WORDS>::BYTES;

    /// An element came or went.
    pub fn toggle(&mut self, element: u64) {
        self.all.toggle(element);
        let level = (element.trailing_zeros() as usize / 2).min(LEVELS);
        if level > 0 {
            self.levels[level - 1].toggle(element);
        }
    }

    pub fn all(&self) -> &OddSketch {
        &self.all
    }

    /// By the sketch over all, or by all samples that can tell, scaled up. More than the last can
    /// tell counts as its limit.
    pub fn difference(&self, theirs: &Estimator) -> Estimate {
        if let Some(told) = self.all.difference(&theirs.all) {
            return told;
        }
        let (mut sampled, mut variance, mut rate) = (0.0, 0.0, 0.0);
        for level in (1..=LEVELS).rev() {
            let Some(told) = self.levels[level - 1].difference(&theirs.levels[level - 1]) else {
                break;
            };
            sampled += told.differing;
            // What falls into a sample is a matter of chance as well.
            variance += told.deviation * told.deviation + told.differing;
            rate += sample_rate(level);
        }
        if rate == 0.0 {
            let limit = f64::from(OddSketch::<WORDS>::BITS) / sample_rate(LEVELS);
            return Estimate { differing: limit, deviation: limit };
        }
        Estimate { differing: sampled / rate, deviation: libm::sqrt(variance) / rate }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.all.put(out);
        self.levels.iter().for_each(|level| level.put(out));
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<Estimator> {
        let mut read = Estimator { all: OddSketch::read(r)?, ..Estimator::default() };
        for level in &mut read.levels {
            *level = OddSketch::read(r)?;
        }
        Ok(read)
    }
}

/// Share of all elements in a level: those whose last bits are twice `level` zeros and no more.
fn sample_rate(level: usize) -> f64 {
    let at_least = 1.0 / (1u64 << (2 * level)) as f64;
    if level == LEVELS { at_least } else { 0.75 * at_least }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn differing(rng: &mut Rng, shared: usize, d: usize) -> (Estimator, Estimator) {
        let (mut a, mut b) = (Estimator::default(), Estimator::default());
        for _ in 0..shared {
            let element = rng.u64();
            a.toggle(element);
            b.toggle(element);
        }
        for i in 0..d {
            (if i % 2 == 0 { &mut a } else { &mut b }).toggle(rng.u64());
        }
        (a, b)
    }

    /// Mean and standard deviation of the estimate, and the mean of the deviation that it states, as
    /// shares of the truth.
    fn quality(told: &[Estimate], d: usize) -> (f64, f64, f64) {
        let mean_of = |of: &dyn Fn(&Estimate) -> f64| {
            told.iter().map(of).sum::<f64>() / told.len() as f64 / d as f64
        };
        let mean = mean_of(&|e| e.differing);
        let off = |e: &Estimate| e.differing / d as f64 - mean;
        let variance = told.iter().map(|e| off(e) * off(e)).sum::<f64>() / told.len() as f64;
        (mean, variance.sqrt(), mean_of(&|e| e.deviation))
    }

    #[test]
    fn a_difference_is_told_whatever_its_size_and_how_surely() {
        for (d, runs, deviation) in [
            (1, 200, 0.01),
            (10, 500, 0.07),
            (100, 500, 0.09),
            (1000, 300, 0.14),
            (50_000, 60, 0.16),
        ] {
            let mut rng = Rng::from_u64(d as u64);
            let told: Vec<Estimate> = (0..runs)
                .map(|_| {
                    let (a, b) = differing(&mut rng, 20, d);
                    a.difference(&b)
                })
                .collect();
            let (mean, spread, stated) = quality(&told, d);
            assert!((mean - 1.0).abs() < 0.06, "d = {d}: mean {mean}");
            assert!(spread < deviation, "d = {d}: deviation {spread}");
            assert!((stated - spread).abs() < 0.07, "d = {d}: {stated} stated, {spread} it is");
        }
    }

    #[test]
    fn a_folded_sketch_tells_few_from_many() {
        let mut rng = Rng::from_u64(9);
        let mut missed = 0;
        for _ in 0..200 {
            let (a, b) = differing(&mut rng, 20, 12);
            let few = a.all().folded().difference(&b.all().folded()).expect("few");
            assert!((few.differing - 12.0).abs() < 8.0, "{few:?}");
            let (a, b) = differing(&mut rng, 20, 5000);
            missed += usize::from(a.all().folded().difference(&b.all().folded()).is_some());
        }
        assert!(missed < 5, "{missed} of 200 times many passed for few");
    }

    #[test]
    fn equal_sets_differ_in_nothing() {
        let (a, b) = differing(&mut Rng::from_u64(1), 5000, 0);
        assert_eq!(a.difference(&b), Estimate { differing: 0.0, deviation: 0.0 });
    }
}
