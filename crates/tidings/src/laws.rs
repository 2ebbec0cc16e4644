//! Decides whether a program's own merge may be used: it must give the same for the same two values,
//! in either order, with any grouping, and nothing new for what it has merged already. Otherwise nodes
//! that hear of the same writes in another order would read different values.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidings_proto::base::rng::Rng;
use tidings_proto::limits::VALUE_BYTES_MAX;

/// Values that are checked with each other: the samples, and what merging them gives.
const POOL: usize = 48;
/// Groupings of three of them that are checked.
const TRIPLES: usize = 20_000;

/// What a merge must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Law {
    /// The same two values give the same, whenever.
    Deterministic,
    /// `a + b = b + a`
    Commutative,
    /// `(a + b) + c = a + (b + c)`
    Associative,
    /// `a + a = a`
    Idempotent,
    /// It gives a value of at most 512 KiB, and does not panic.
    Total,
}

impl Law {
    pub fn as_str(self) -> &'static str {
        match self {
            Law::Deterministic => "deterministic: the same values gave different ones",
            Law::Commutative => "commutative: a + b is not b + a",
            Law::Associative => "associative: (a + b) + c is not a + (b + c)",
            Law::Idempotent => "idempotent: a + a is not a",
            Law::Total => "total: it panicked, or gave more than 524288 bytes",
        }
    }
}

/// A law that a merge does not keep, with values that show it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Broken {
    pub law: Law,
    /// `a`, `b` and `c`, as far as the law has them.
    pub values: Vec<Vec<u8>>,
    /// What the two sides came to; empty where it panicked.
    pub sides: Vec<Vec<u8>>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Vec<u8>| {
            let shown = value.escape_ascii().take(200).collect::<Vec<u8>>();
            format!("\"{}\"", String::from_utf8_lossy(&shown))
        };
        let values: Vec<_> = ["a", "b", "c"]
            .iter()
            .zip(&self.values)
            .map(|(name, value)| format!("{name} = {}", text(value)))
            .collect();
        write!(f, "not {} for {}", self.law.as_str(), values.join(", "))?;
        if let [left, right] = &*self.sides {
            write!(f, ": {} and {}", text(left), text(right))?;
        }
        Ok(())
    }
}

/// Checks a merge over samples and over what it makes of them; the first broken law, with the values
/// that show it. Samples of every shape that the program writes are what makes it worth something.
pub fn check<S: AsRef<[u8]>>(
    merge: impl Fn(&[u8], &[u8]) -> Vec<u8>,
    samples: &[S],
) -> Result<(), Broken> {
    let run = |a: &[u8], b: &[u8]| {
        let merged = catch_unwind(AssertUnwindSafe(|| merge(a, b))).ok();
        let merged = merged.filter(|merged| merged.len() <= VALUE_BYTES_MAX);
        let values = vec![a.to_vec(), b.to_vec()];
        merged.ok_or(Broken { law: Law::Total, values, sides: Vec::new() })
    };
    let mut rng = Rng::from_u64(7);
    let pool = grown(samples, &mut rng, &run)?;
    for a in &pool {
        same(Law::Idempotent, &[a], run(a, a)?, a.clone())?;
        for b in &pool {
            let both = run(a, b)?;
            same(Law::Deterministic, &[a, b], both.clone(), run(a, b)?)?;
            same(Law::Commutative, &[a, b], both, run(b, a)?)?;
        }
    }
    for _ in 0..TRIPLES.min(pool.len().pow(3)) {
        let [a, b, c] = [(); 3].map(|()| &pool[rng.index(pool.len())]);
        let (left, right) = (run(&run(a, b)?, c)?, run(a, &run(b, c)?)?);
        same(Law::Associative, &[a, b, c], left, right)?;
    }
    Ok(())
}

fn same(law: Law, values: &[&Vec<u8>], left: Vec<u8>, right: Vec<u8>) -> Result<(), Broken> {
    if left == right {
        return Ok(());
    }
    let values = values.iter().map(|&value| value.clone()).collect();
    Err(Broken { law, values, sides: vec![left, right] })
}

/// The samples, and merges of them and of their merges.
fn grown<S: AsRef<[u8]>>(
    samples: &[S],
    rng: &mut Rng,
    run: &impl Fn(&[u8], &[u8]) -> Result<Vec<u8>, Broken>,
) -> Result<Vec<Vec<u8>>, Broken> {
    let known: BTreeSet<Vec<u8>> = samples.iter().map(|s| s.as_ref().to_vec()).collect();
    let mut pool: Vec<Vec<u8>> = known.into_iter().take(POOL).collect();
    let samples = pool.len();
    for _ in 0..(4 * POOL).min(samples * samples * 4) {
        if pool.len() >= POOL.max(samples) {
            break;
        }
        let merged = run(&pool[rng.index(pool.len())], &pool[rng.index(pool.len())])?;
        if !pool.contains(&merged) {
            pool.push(merged);
        }
    }
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    const SAMPLES: [&[u8]; 4] = [b"", b"ab", b"bc", b"d"];

    fn broken(merge: impl Fn(&[u8], &[u8]) -> Vec<u8>) -> Option<Law> {
        check(merge, &SAMPLES).err().map(|broken| broken.law)
    }

    fn union(a: &[u8], b: &[u8]) -> Vec<u8> {
        a.iter().chain(b).copied().collect::<BTreeSet<u8>>().into_iter().collect()
    }

    #[test]
    fn right_ones_pass_and_each_wrong_one_is_named() {
        assert_eq!(broken(union), None);
        assert_eq!(broken(|a, b| a.max(b).to_vec()), None);
        assert_eq!(broken(|a, _| a.to_vec()), Some(Law::Commutative));
        assert_eq!(broken(|a, b| [a, b].concat()), Some(Law::Idempotent));
        let calls = AtomicU8::new(0);
        let counts = |a: &[u8], b: &[u8]| match a == b {
            true => a.to_vec(),
            false => vec![calls.fetch_add(1, Ordering::Relaxed)],
        };
        assert!(matches!(broken(counts), Some(Law::Deterministic | Law::Idempotent)));
        // The middle of two: fine for two, not for three.
        let middle = |a: &[u8], b: &[u8]| {
            let at = |value: &[u8]| value.first().map_or(0, |&byte| u16::from(byte));
            vec![((at(a) + at(b)) / 2) as u8]
        };
        assert_eq!(check(middle, &[[0u8], [10], [30]]).unwrap_err().law, Law::Associative);
        assert_eq!(
            broken(|a, b| union(a, b)[..1].to_vec()),
            Some(Law::Total),
            "it panics on nothing"
        );
    }

    #[test]
    fn the_values_that_show_it_are_told() {
        let broken = check(|a, _| a.to_vec(), &[b"x", b"y"]).unwrap_err();
        let text = broken.to_string();
        assert!(
            text.starts_with("not commutative") && text.contains("a = \"x\", b = \"y\""),
            "{text}"
        );
    }
}
