//! Decides how two sets of live entries are compared: what is asked first, how many symbols of
//! which part next, which entries are fetched and which are given, and when a peer's symbols
//! cannot be right.

use std::collections::{BTreeSet, VecDeque};

use super::estimate::Estimate;
use super::live::{LiveSet, Part};
use super::sketch::{Decoder, SYMBOL_BYTES, Symbol};
use crate::base::hash::HashKey;
use crate::limits::{CODED_ELEMENTS_MAX, DIFFERENCES_MAX, SYMBOLS_MAX, WANTS_MAX};
use crate::state::store::EntrySlot;

/// Bytes of a vector on the wire, per writer: an id and a number.
const PAIR_BYTES: f64 = 19.0;
/// Bytes of symbols, and of the request for the half of them that is the peer's, per difference.
const DIFFERENCE_BYTES: f64 = 1.45 * SYMBOL_BYTES as f64 + 2.0;
/// Differences in one part of a large set: enough that symbols cost nearly as little as in one
/// piece.
const PER_PART: f64 = 400.0;
/// Symbols of one request for several parts.
const SYMBOLS_ASKED: u64 = SYMBOLS_MAX as u64 / 2;

/// How a session finds the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Coded symbols.
    Sketch,
    /// A walk of two trees.
    Merkle,
    /// Vectors with their holes, then a walk of the peer's apply order.
    Digest,
}

/// What is known when a method is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    pub differing: f64,
    /// Live entries here and there.
    pub ours: usize,
    pub theirs: usize,
    /// Writers in the vector.
    pub writers: usize,
    /// Whether the vector has holes: what lies behind one would be sent again.
    pub holes: bool,
}

/// A filter of what the asker has saves symbols and names of what it lacks: worth its bytes where it
/// lacks more than about a sixteenth of what it has.
const FILTER_BYTES: f64 = 1.25;
/// What one filter is over: its answer mostly fits a page.
const FILTERED_ELEMENTS: usize = 4096;

/// Leading bits of the parts to send filters of, if that is worth it. What the asker lacks follows
/// from how many differ and how many each has.
pub fn filter_bits(s: Situation) -> Option<u8> {
    let lacks = (s.differing + s.theirs as f64 - s.ours as f64) / 2.0;
    let worth = FILTER_BYTES * s.ours as f64 + 4096.0 < (DIFFERENCE_BYTES + 2.0) * lacks;
    let parts = (s.ours.max(s.theirs) / FILTERED_ELEMENTS).max(1).next_power_of_two();
    worth.then_some(parts.trailing_zeros().min(20) as u8)
}

/// The cheaper by bytes. A vector is told once a page, both ways; where most differs there is nothing
/// to find.
pub fn choose(s: Situation) -> Method {
    let all = s.ours.max(s.theirs) as f64;
    if s.differing > all / 2.0 {
        return Method::Digest;
    }
    if s.holes {
        return Method::Sketch;
    }
    let pages = 1.0 + s.theirs as f64 / 100_000.0 + s.differing / 2.0 * 100.0 / 262_144.0;
    let digest = 2.0 * PAIR_BYTES * s.writers as f64 * pages;
    if digest < DIFFERENCE_BYTES * s.differing { Method::Digest } else { Method::Sketch }
}

/// Symbols that find `d` differences on the average (PAPERS 8: 1.45 each at 100, 1.376 at 1,000).
fn mean_symbols(d: f64) -> f64 {
    d * (1.36 + 0.13 * libm::sqrt(100.0 / d.max(100.0)) + 0.3 * libm::exp(-d / 25.0))
}

/// By how much what is needed varies (PAPERS 8, the 99th percentiles).
fn symbols_deviation(d: f64) -> f64 {
    let root = libm::sqrt(d);
    (2.0 * root).min(12.0).max(1.1 * root)
}

/// Symbols that are sent unasked. More are asked for leanly, by parts.
pub const FIRST_SYMBOLS_MAX: u64 = 2048;

/// Standard deviations by which the first symbols exceed what is needed on the average: one session in
/// thirty needs a round trip more.
const GENEROSITY: f64 = 1.8;

/// Symbols to begin with where one round trip more costs as much as they do.
pub fn generous_symbols(told: Estimate) -> u64 {
    let d = told.differing.max(2.0); // one would have been told by the sums
    let unsure = 1.4 * told.deviation;
    let needed = symbols_deviation(d);
    let margin = GENEROSITY * libm::sqrt(needed * needed + unsure * unsure);
    (mean_symbols(d) + margin) as u64 + 1
}

/// Symbols to begin with when much differs: some parts need more, all others waste nothing.
fn lean_symbols(d: f64) -> u64 {
    (mean_symbols(d) + libm::sqrt(d)) as u64 + 2
}

/// Why a comparison was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Symbols do not come apart, or come apart into what can not be in them.
    Symbols,
    /// None of the entries that the peer's symbols name are there.
    Entries,
}

/// Symbols asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub part: Part,
    pub from: u64,
    pub to: u64,
}

/// A part whose difference is being looked for.
#[derive(Debug)]
struct Open {
    part: Part,
    theirs: Vec<Symbol>,
    /// So many symbols are asked for.
    goal: u64,
}

/// One comparison under way.
#[derive(Debug)]
pub struct Ladder {
    key: HashKey,
    /// Live entries there, as the peer says.
    theirs: usize,
    estimate: f64,
    bits: u8,
    open: Vec<Open>,
    ahead: VecDeque<Part>,
    parts_done: u32,
    found: usize,
    /// Prints that only the peer has, not fetched yet.
    wants: BTreeSet<u64>,
    /// Entries that only this node has, with the prints by which they were found.
    own: VecDeque<(u64, EntrySlot)>,
    /// Wants of the request under way.
    asked: Vec<u64>,
    pub symbols_taken: u64,
    pub requests: u32,
}

impl Ladder {
    pub fn new(key: HashKey) -> Ladder {
        Ladder {
            key,
            theirs: 0,
            estimate: 0.0,
            bits: 0,
            open: Vec::new(),
            ahead: VecDeque::new(),
            parts_done: 0,
            found: 0,
            wants: BTreeSet::new(),
            own: VecDeque::new(),
            asked: Vec::new(),
            symbols_taken: 0,
            requests: 0,
        }
    }

    /// The peer sent the first symbols of the whole on its own.
    pub fn begin_small(&mut self, theirs: Vec<Symbol>) -> Result<(), Lie> {
        self.symbols_taken += theirs.len() as u64;
        let goal = theirs.len() as u64;
        self.open = vec![Open { part: Part::ALL, theirs, goal }];
        Ok(())
    }

    /// Begins with this many differences expected.
    pub fn begin(&mut self, estimate: f64, set: &LiveSet, theirs: usize) {
        self.theirs = theirs;
        self.estimate = estimate.max(1.0);
        let largest = set.len().max(theirs);
        let needed = lean_symbols(estimate);
        let small = largest <= CODED_ELEMENTS_MAX && needed <= SYMBOLS_ASKED;
        if needed <= set.ready() as u64 || small {
            let goal = needed;
            self.open = vec![Open { part: Part::ALL, theirs: Vec::new(), goal }];
        } else {
            self.by_parts(largest);
        }
    }

    fn by_parts(&mut self, largest: usize) {
        self.bits = LiveSet::bits_for(largest, self.estimate, PER_PART).max(1);
        self.open.clear();
        self.ahead = (0..1u32 << self.bits).map(|index| Part { bits: self.bits, index }).collect();
    }

    /// What another method found: prints that only the peer has, and what only this node has.
    pub fn adopt(&mut self, theirs: &[u64], own: impl Iterator<Item = (u64, EntrySlot)>) {
        self.wants.extend(theirs);
        self.own.extend(own);
    }

    /// Symbols of the peer, in the order asked for.
    pub fn take_symbols(&mut self, part: Part, from: u64, symbols: &[Symbol]) -> Result<(), Lie> {
        let Some(open) = self.open.iter_mut().find(|o| o.part == part) else {
            return Err(Lie::Symbols);
        };
        if from != open.theirs.len() as u64 || from + symbols.len() as u64 > open.goal {
            return Err(Lie::Symbols);
        }
        self.symbols_taken += symbols.len() as u64;
        open.theirs.extend_from_slice(symbols);
        Ok(())
    }

    /// Looks whether the symbols at hand come apart. Each part is tried anew, as the own set may
    /// have changed since.
    pub fn decode(&mut self, set: &LiveSet) -> Result<(), Lie> {
        let mut budget = CODED_ELEMENTS_MAX * 2;
        let mut stuck = false;
        for mut open in std::mem::take(&mut self.open) {
            let len = open.theirs.len() as u64;
            let ours = set.symbols(open.part, 0, len, &mut budget);
            let mut decoder = Decoder::new(self.key);
            for (&theirs, ours) in open.theirs.iter().zip(&ours) {
                decoder.push(theirs, *ours);
            }
            if decoder.is_even() {
                self.split(open.part, &decoder.found(), set)?;
                self.parts_done += 1;
                continue;
            }
            if len > self.symbols_max(open.part, set) {
                return Err(Lie::Symbols);
            }
            // The peer sent fewer than asked for, or this node has no more ready of so many.
            stuck |= open.part.bits == 0 && (len < open.goal || (ours.len() as u64) < len);
            open.goal = len + (len / 8).max(4);
            self.open.push(open);
        }
        if stuck {
            self.estimate = self.estimate.max(self.symbols_taken as f64 / 1.3);
            self.by_parts(set.len().max(self.theirs));
        }
        Ok(())
    }

    /// More symbols than this no honest pair of sets needs.
    fn symbols_max(&self, part: Part, set: &LiveSet) -> u64 {
        let both = (set.len() + self.theirs) >> part.bits;
        (2 * both as u64 + 256).min(SYMBOLS_MAX as u64)
    }

    /// What was found is either here, and the peer lacks it, or is not.
    fn split(&mut self, part: Part, found: &[u64], set: &LiveSet) -> Result<(), Lie> {
        for &print in found {
            if !part.holds(print) {
                return Err(Lie::Symbols);
            }
            match set.get(print) {
                Some(slot) => self.own.push_back((print, slot)),
                None if !self.wants.insert(print) => return Err(Lie::Symbols),
                None => {}
            }
        }
        self.found += found.len();
        Ok(())
    }

    /// Which symbols to ask for next: more of the parts that are open, then further parts, as many
    /// as one request may hold.
    pub fn next_symbols(&mut self, set: &LiveSet) -> Vec<Wanted> {
        let mut symbols: u64 = self.open.iter().map(|o| o.goal - o.theirs.len() as u64).sum();
        let size = (set.len().max(self.theirs) >> self.bits).max(1);
        let parts = (CODED_ELEMENTS_MAX * 3 / 4 / size).max(1);
        let each = self.expected_per_part();
        while self.open.len() < parts
            && symbols < SYMBOLS_ASKED
            && self.wants.len() + self.own.len() < DIFFERENCES_MAX
            && let Some(part) = self.ahead.pop_front()
        {
            let goal = lean_symbols(each);
            symbols += goal;
            self.open.push(Open { part, theirs: Vec::new(), goal });
        }
        let wanted = |o: &Open| Wanted { part: o.part, from: o.theirs.len() as u64, to: o.goal };
        self.open.iter().map(wanted).collect()
    }

    /// By what was found in the parts that are done, as soon as that says more than the estimate.
    fn expected_per_part(&self) -> f64 {
        let told = self.estimate / f64::from(1u32 << self.bits);
        if self.parts_done == 0 {
            return told;
        }
        let weight = 2.0;
        (self.found as f64 + weight * told) / (f64::from(self.parts_done) + weight)
    }

    /// Which entries to ask for next, by the first half of their prints, ascending.
    pub fn next_wants(&mut self) -> Vec<u32> {
        self.asked = self.wants.iter().copied().take(WANTS_MAX).collect();
        let mut shorts: Vec<u32> = self.asked.iter().map(|print| (print >> 32) as u32).collect();
        shorts.dedup();
        shorts
    }

    /// An entry with this print came; false if it was not asked for.
    pub fn came(&mut self, print: u64) -> bool {
        self.wants.remove(&print)
    }

    /// The peer went through the first `served` of what was asked for: what did not come is not
    /// there any more.
    pub fn served(&mut self, served: usize) -> Result<(), Lie> {
        let shorts = |print: &u64| (print >> 32) as u32;
        let (mut seen, mut last) = (0, None);
        let before = self.asked.len();
        let mut missing = 0;
        for print in std::mem::take(&mut self.asked) {
            if last != Some(shorts(&print)) {
                last = Some(shorts(&print));
                seen += 1;
            }
            if seen > served {
                break;
            }
            missing += usize::from(self.wants.remove(&print));
        }
        if before > 0 && (served == 0 || missing == before) {
            return Err(Lie::Entries);
        }
        Ok(())
    }

    /// Entries that only this node has, next in turn.
    pub fn next_own(&mut self) -> Option<(u64, EntrySlot)> {
        self.own.pop_front()
    }

    pub fn give(&mut self, print: u64, slot: EntrySlot) {
        self.own.push_back((print, slot));
    }

    pub fn own(&self) -> impl Iterator<Item = (u64, EntrySlot)> + '_ {
        self.own.iter().copied()
    }

    /// Nothing that this node has is left to be given.
    pub fn is_given(&self) -> bool {
        self.open.is_empty() && self.ahead.is_empty() && self.own.is_empty()
    }

    /// The whole difference is found, fetched and given.
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
            && self.ahead.is_empty()
            && self.wants.is_empty()
            && self.own.is_empty()
    }
}
