//! Decides where randomness comes from: one seed, forked by label, so that a new draw in one
//! part does not shift the others.

use rand::rngs::ChaCha8Rng;
use rand::{Rng as _, SeedableRng};

/// A seeded ChaCha8 stream: the same numbers on every system.
#[derive(Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    pub fn from_seed(seed: [u8; 32]) -> Rng {
        Rng(ChaCha8Rng::from_seed(seed))
    }

    pub fn from_u64(seed: u64) -> Rng {
        Rng::from_seed(derive_seed(&seed.to_le_bytes(), "u64"))
    }

    /// An independent stream for one part of the machine.
    pub fn fork(seed: &[u8; 32], label: &str) -> Rng {
        Rng::from_seed(derive_seed(seed, label))
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    pub fn bytes16(&mut self) -> [u8; 16] {
        let mut b = [0; 16];
        self.0.fill_bytes(&mut b);
        b
    }

    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut b = [0; 32];
        self.0.fill_bytes(&mut b);
        b
    }

    /// Uniform in `0..n`, without modulo bias (Lemire 2019). `n` must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a range to draw from is not empty");
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.u64()) * u128::from(n);
            if wide as u64 >= threshold {
                return (wide >> 64) as u64;
            }
        }
    }

    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.index(i + 1);
            items.swap(i, j);
        }
    }
}

fn derive_seed(seed: &[u8], label: &str) -> [u8; 32] {
    let mut h = blake3::Hasher::new_derive_key("tidings 2026 seed by label");
    h.update(&(seed.len() as u64).to_le_bytes());
    h.update(seed);
    h.update(label.as_bytes());
    *h.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row C1: no modulo bias. Chi-square with 9 degrees of freedom, p > .01.
    #[test]
    fn below_is_uniform() {
        let mut rng = Rng::from_u64(7);
        let mut counts = [0u64; 10];
        for _ in 0..1_000_000 {
            counts[rng.index(10)] += 1;
        }
        let chi: f64 = counts.iter().map(|&c| (c as f64 - 1e5).powi(2) / 1e5).sum();
        assert!(chi < 21.67, "chi-square {chi}");
    }

    #[test]
    fn forks_are_independent_of_each_other_and_stable() {
        let seed = [3; 32];
        assert_eq!(Rng::fork(&seed, "a").u64(), Rng::fork(&seed, "a").u64());
        assert_ne!(Rng::fork(&seed, "a").u64(), Rng::fork(&seed, "b").u64());
    }
}
