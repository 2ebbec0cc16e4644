//! Decides how two sets find their difference at a cost of the difference: a stream of coded
//! symbols, of which about 1.4 per differing element suffice, whatever the sets hold
//! (rateless set reconciliation: Yang, Gilad, Alizadeh, SIGCOMM 2024).
//!
//! Each element is a keyed 64-bit hash. Symbol `i` is the exclusive or of the elements that fall
//! into it, which an element does with probability 1 / (1 + i / 2). The exclusive or of both
//! sides' symbols holds the difference only; one that holds a single element gives it away, and
//! taking that out of the others gives away more. Symbols need no count of their elements, as the
//! paper's do: whose an element is, its owner knows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::base::hash::{HashKey, domain};
use crate::wire::codec::{Decoded, Reader, put_u64};

/// One coded symbol: 11 bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Symbol {
    /// Exclusive or of the elements.
    sum: u64,
    /// Exclusive or of their checks: 24 bits.
    check: u32,
}

pub const SYMBOL_BYTES: usize = 11;
const CHECK_MASK: u32 = 0xff_ffff;

impl Symbol {
    pub fn is_empty(self) -> bool {
        self == Symbol::default()
    }

    pub fn put(self, out: &mut Vec<u8>) {
        put_u64(out, self.sum);
        out.extend_from_slice(&self.check.to_le_bytes()[..3]);
    }

    pub fn read(r: &mut Reader<'_>) -> Decoded<Symbol> {
        let sum = r.u64("symbol")?;
        let mut check = [0; 4];
        check[..3].copy_from_slice(r.take(3, "symbol check")?);
        Ok(Symbol { sum, check: u32::from_le_bytes(check) })
    }

    fn toggle(&mut self, other: Symbol) {
        self.sum ^= other.sum;
        self.check ^= other.check;
    }
}

/// An element as a symbol of its own. The check is keyed, so that no peer without the key can make
/// a sum of elements pass for one. One in 2^24 passes by chance, if it belongs there ([`falls_into`]):
/// it is found again and then taken for none.
fn alone(element: u64, key: &HashKey) -> Symbol {
    let check = key.wide(domain::SKETCH, &[&element.to_le_bytes()]) as u32 & CHECK_MASK;
    Symbol { sum: element, check }
}

/// The symbols that an element falls into, in ascending order; the first is always symbol 0.
#[derive(Clone, Copy, Debug)]
struct Walk {
    state: u64,
    at: u64,
}

impl Walk {
    fn of(element: u64) -> Walk {
        Walk { state: element, at: 0 }
    }

    /// The next one, by the inverse of P(none in i+1..=j) = ((i + 1)(i + 2)) / ((j + 1)(j + 2)),
    /// taken as ((i + 3/2) / (j + 3/2))^2 (paper, section 4.2). Exact in IEEE arithmetic, the root
    /// included: the same on every system.
    fn advance(&mut self) {
        self.state = self.state.wrapping_mul(0xDA94_2042_E4DD_58B5).wrapping_add(1);
        let unit = ((self.state >> 32) as f64 + 1.0) / (1u64 << 32) as f64;
        let gap = (self.at as f64 + 1.5) * (1.0 / unit.sqrt() - 1.0);
        let whole = gap as u64;
        let ceiling = whole + u64::from((whole as f64) < gap);
        self.at = self.at.saturating_add(ceiling.max(1));
    }
}

fn falls_into(element: u64, at: u64) -> bool {
    let mut walk = Walk::of(element);
    while walk.at < at {
        walk.advance();
    }
    walk.at == at
}

/// Toggles an element in the symbols of a range: once in, twice out.
fn toggle(symbols: &mut [Symbol], from: u64, element: u64, key: &HashKey) {
    let (coded, end) = (alone(element, key), from + symbols.len() as u64);
    let mut walk = Walk::of(element);
    while walk.at < end {
        if walk.at >= from {
            symbols[(walk.at - from) as usize].toggle(coded);
        }
        walk.advance();
    }
}

/// Symbols of a set, by number. Costs a pass over the set: some thirteen steps an element for the
/// first thousand symbols.
pub fn symbols(
    elements: impl Iterator<Item = u64>,
    range: Range<u64>,
    key: &HashKey,
) -> Vec<Symbol> {
    let mut symbols = vec![Symbol::default(); (range.end - range.start) as usize];
    elements.for_each(|element| toggle(&mut symbols, range.start, element, key));
    symbols
}

/// The first symbols of a set that changes, kept up to date.
#[derive(Clone, Debug)]
pub struct Prefix {
    symbols: Vec<Symbol>,
}

impl Prefix {
    pub fn new(len: usize) -> Prefix {
        Prefix { symbols: vec![Symbol::default(); len] }
    }

    /// An element came or went.
    pub fn toggle(&mut self, element: u64, key: &HashKey) {
        toggle(&mut self.symbols, 0, element, key);
    }

    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }
}

/// Finds the difference from the symbols of both sides.
#[derive(Debug)]
pub struct Decoder {
    key: HashKey,
    /// What is left of each symbol.
    left: Vec<Symbol>,
    found: Vec<u64>,
    /// Where each found element falls next, beyond the symbols at hand.
    ahead: BinaryHeap<Reverse<(u64, usize)>>,
    walks: Vec<Walk>,
    /// Elements that may be found: more than the symbols can tell apart is a lie.
    found_max: usize,
}

impl Decoder {
    pub fn new(key: HashKey) -> Decoder {
        Decoder {
            key,
            left: Vec::new(),
            found: Vec::new(),
            ahead: BinaryHeap::new(),
            walks: Vec::new(),
            found_max: 0,
        }
    }

    /// Adds the next symbol of each side.
    pub fn push(&mut self, theirs: Symbol, ours: Symbol) {
        let at = self.left.len() as u64;
        let mut symbol = theirs;
        symbol.toggle(ours);
        while let Some(&Reverse((next, element))) = self.ahead.peek()
            && next == at
        {
            self.ahead.pop();
            symbol.toggle(alone(self.found[element], &self.key));
            self.walks[element].advance();
            self.ahead.push(Reverse((self.walks[element].at, element)));
        }
        self.left.push(symbol);
        // A symbol gives away at most one element, and every found one needs its symbol.
        self.found_max = self.left.len();
        self.peel(at as usize);
    }

    /// Takes out what symbol `at` gives away, and what that uncovers in turn.
    fn peel(&mut self, at: usize) {
        let mut pure = vec![at];
        while let Some(at) = pure.pop() {
            let symbol = self.left[at];
            if symbol.is_empty()
                || symbol != alone(symbol.sum, &self.key)
                || !falls_into(symbol.sum, at as u64)
            {
                continue;
            }
            if self.found.len() >= self.found_max {
                return;
            }
            let mut walk = Walk::of(symbol.sum);
            while (walk.at as usize) < self.left.len() {
                self.left[walk.at as usize].toggle(symbol);
                pure.push(walk.at as usize);
                walk.advance();
            }
            self.ahead.push(Reverse((walk.at, self.found.len())));
            self.walks.push(walk);
            self.found.push(symbol.sum);
        }
    }

    /// True when the whole difference is found: every element is in symbol 0.
    pub fn is_done(&self) -> bool {
        self.left.first().is_some_and(|first| first.is_empty())
    }

    /// True when nothing is left in any symbol at hand: what passed by chance is found out by the
    /// others.
    pub fn is_even(&self) -> bool {
        !self.left.is_empty() && self.left.iter().all(|symbol| symbol.is_empty())
    }

    /// Symbols taken so far.
    pub fn len(&self) -> usize {
        self.left.len()
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// What was found: elements of either side, ascending. One found twice was none.
    pub fn found(&self) -> Vec<u64> {
        let mut found = self.found.clone();
        found.sort_unstable();
        found
            .chunk_by(|a, b| a == b)
            .filter(|same| same.len() % 2 == 1)
            .map(|same| same[0])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeSet;

    fn key() -> HashKey {
        HashKey::for_cluster("sketch")
    }

    fn elements(rng: &mut Rng, n: usize) -> Vec<u64> {
        (0..n).map(|_| rng.u64()).collect()
    }

    /// Symbols until the difference is found, and what was found.
    fn reconcile(ours: &[u64], theirs: &[u64], most: usize) -> (usize, BTreeSet<u64>) {
        let all = 0..most as u64;
        let a = symbols(ours.iter().copied(), all.clone(), &key());
        let b = symbols(theirs.iter().copied(), all, &key());
        let mut decoder = Decoder::new(key());
        for (a, b) in a.into_iter().zip(b) {
            decoder.push(b, a);
            if decoder.is_done() {
                break;
            }
        }
        assert!(decoder.is_done(), "not done after {most} symbols");
        (decoder.len(), decoder.found().into_iter().collect())
    }

    #[test]
    fn the_difference_is_found_whatever_is_shared() {
        let mut rng = Rng::from_u64(1);
        for (shared, mine, theirs) in [(0, 1, 0), (0, 0, 7), (1000, 3, 4), (5000, 100, 0)] {
            let common = elements(&mut rng, shared);
            let (a, b) = (elements(&mut rng, mine), elements(&mut rng, theirs));
            let with = |own: &[u64]| [&common[..], own].concat();
            let (_, found) = reconcile(&with(&a), &with(&b), 60 + 3 * (mine + theirs));
            assert_eq!(found, a.iter().chain(&b).copied().collect());
        }
    }

    /// PAPERS 8: mean symbols per difference 1.00, 1.60, 1.72, 1.45, 1.376 at d = 1, 2, 10, 100,
    /// 1000, within 0.03 (0.06 where the mean of few runs is that uncertain).
    #[test]
    fn overhead_is_that_of_the_paper() {
        let mut rng = Rng::from_u64(2);
        for (d, runs, expected, tolerance) in [
            (1, 50, 1.00, 0.0),
            (2, 20_000, 1.60, 0.03),
            (10, 3000, 1.72, 0.03),
            (100, 300, 1.45, 0.03),
            (1000, 30, 1.376, 0.03),
        ] {
            let total: usize =
                (0..runs).map(|_| reconcile(&[], &elements(&mut rng, d), 100 + 20 * d).0).sum();
            let mean = total as f64 / (runs * d) as f64;
            assert!((mean - expected).abs() <= tolerance, "d = {d}: {mean}");
        }
    }

    #[test]
    fn a_prefix_follows_its_set() {
        let mut rng = Rng::from_u64(3);
        let set = elements(&mut rng, 500);
        let mut prefix = Prefix::new(64);
        set.iter().for_each(|&e| prefix.toggle(e, &key()));
        prefix.toggle(set[7], &key());
        prefix.toggle(77, &key());
        let now = set.iter().copied().filter(|&e| e != set[7]).chain([77]);
        assert_eq!(prefix.symbols(), symbols(now, 0..64, &key()));
        let later = symbols(set.iter().copied(), 40..90, &key());
        assert_eq!(later[..24], symbols(set.iter().copied(), 0..64, &key())[40..]);
    }

    /// Three elements that look like a single fourth one in symbol 0: it is found, found again, and none.
    #[test]
    fn what_passes_by_chance_is_taken_back() {
        let mut rng = Rng::from_u64(5);
        let (a, b) = (rng.u64(), rng.u64());
        let check = |element| alone(element, &key()).check;
        let both = check(a) ^ check(b);
        let c = std::iter::repeat_with(|| rng.u64()).find(|&c| check(a ^ b ^ c) == both ^ check(c));
        let three = [a, b, c.expect("an endless search")];
        let mut decoder = Decoder::new(key());
        for symbol in symbols(three.into_iter(), 0..20, &key()) {
            decoder.push(symbol, Symbol::default());
            assert!(
                decoder.len() > 1 || decoder.is_done() && decoder.found() == [a ^ b ^ three[2]]
            );
        }
        assert!(decoder.is_even());
        assert_eq!(BTreeSet::from_iter(decoder.found()), three.into_iter().collect());
    }

    /// A peer that sends noise costs time in proportion to what it sent, and nothing is done.
    #[test]
    fn noise_ends() {
        let mut rng = Rng::from_u64(4);
        let mut decoder = Decoder::new(key());
        for _ in 0..20_000 {
            let lie = alone(rng.u64(), &key()); // even one that knows the key
            decoder.push(lie, Symbol::default());
        }
        assert!(decoder.found().len() <= 20_000 && !decoder.is_done());
    }
}
