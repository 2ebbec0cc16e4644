//! Decides the bytes of a comparison of live entries: sums and sketches first, symbols by part,
//! entries asked for by print.

use super::bloom::Filter;
use super::estimate::{Estimator, Folded, OddSketch};
use super::ladder::Wanted;
use super::live::Part;
use super::sketch::{SYMBOL_BYTES, Symbol};
use crate::limits::{SYMBOLS_MAX, WANTS_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_u32, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// The sums that are equal where the states are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Over live entries.
    pub entries: u64,
    /// Over the vector and the event heads.
    pub rest: u32,
}

impl Sums {
    fn put(self, out: &mut Vec<u8>) {
        put_u64(out, self.entries);
        put_u32(out, self.rest);
    }

    fn read(r: &mut Reader<'_>) -> Decoded<Sums> {
        Ok(Sums { entries: r.u64("entry sum")?, rest: r.u32("vector sum")? })
    }
}

/// What is sent of the asker's set along with its sums: as much as tells how many differ.
#[derive(Clone, Debug, PartialEq)]
pub enum Hint {
    None,
    /// So many symbols are likely to do: the sketch on the ack told that.
    Symbols(u64),
    Sketch(Box<OddSketch>),
    Samples(Box<Estimator>),
}

/// "These are my sums; if they are not yours, begin."
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    pub sums: Sums,
    pub hint: Hint,
}

impl Compare {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::COMPARE, |out| {
            self.sums.put(out);
            match &self.hint {
                Hint::None => {}
                Hint::Symbols(count) => put_varint(out, *count),
                Hint::Sketch(sketch) => {
                    put_varint(out, 0);
                    sketch.put(out);
                }
                Hint::Samples(estimator) => {
                    put_varint(out, 0);
                    estimator.put(out);
                }
            }
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Compare> {
        let mut r = Reader::new(body);
        let sums = Sums::read(&mut r)?;
        if r.is_empty() {
            return Ok(Compare { sums, hint: Hint::None });
        }
        let hint = match r.varint("symbols")? {
            0 if r.rest().len() < Estimator::BYTES => {
                Hint::Sketch(Box::new(OddSketch::read(&mut r)?))
            }
            0 => Hint::Samples(Box::new(Estimator::read(&mut r)?)),
            count if count > SYMBOLS_MAX as u64 => return Err(DecodeError::TooLong("symbols")),
            count => Hint::Symbols(count),
        };
        Ok(Compare { sums, hint })
    }
}

/// What a comparison of sums says, where the answer is neither an entry nor symbols.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compared {
    Equal,
    /// The other end compares with the asker already.
    Busy,
    /// The hint does not tell how many differ.
    Unclear {
        sums: Sums,
        sketch: Folded,
    },
    Differs {
        sums: Sums,
        /// Live entries here.
        count: u64,
        /// How many differ, as far as that can be told.
        differing: u64,
    },
}

impl Compared {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::COMPARED, |out| match self {
            Compared::Equal => {}
            Compared::Busy => out.push(0),
            Compared::Unclear { sums, sketch } => {
                out.push(1);
                sums.put(out);
                sketch.put(out);
            }
            Compared::Differs { sums, count, differing } => {
                out.push(2);
                sums.put(out);
                put_varint(out, *count);
                put_varint(out, *differing);
            }
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Compared> {
        let mut r = Reader::new(body);
        if r.is_empty() {
            return Ok(Compared::Equal);
        }
        Ok(match r.u8("comparison")? {
            0 => Compared::Busy,
            1 => Compared::Unclear { sums: Sums::read(&mut r)?, sketch: Folded::read(&mut r)? },
            2 => Compared::Differs {
                sums: Sums::read(&mut r)?,
                count: r.varint("live entries")?,
                differing: r.varint("differences")?,
            },
            _ => return Err(DecodeError::Invalid("comparison")),
        })
    }
}

/// "Send me these symbols, and the entries with these prints"; entries that the other end lacks
/// follow as frames of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// All that the asker has to give is in here or was before.
    pub last: bool,
    pub symbols: Vec<Wanted>,
    /// First halves of prints, ascending.
    pub wants: Vec<u32>,
}

impl Exchange {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::EXCHANGE, |out| {
            out.push(u8::from(self.last));
            put_varint(out, self.symbols.len() as u64);
            for wanted in &self.symbols {
                put_part(out, wanted.part);
                put_varint(out, wanted.from);
                put_varint(out, wanted.to - wanted.from);
            }
            put_varint(out, self.wants.len() as u64);
            let mut before = 0;
            for &want in &self.wants {
                put_varint(out, u64::from(want - before));
                before = want;
            }
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Exchange> {
        let mut r = Reader::new(body);
        let last = r.u8("exchange flags")? & 1 != 0;
        let mut symbols = Vec::new();
        for _ in 0..r.count(SYMBOLS_MAX, 4, "symbols wanted")? {
            let part = read_part(&mut r)?;
            let from = r.seq("first symbol")?;
            let count = r.varint("symbols")?;
            if count > SYMBOLS_MAX as u64 {
                return Err(DecodeError::TooLong("symbols"));
            }
            symbols.push(Wanted { part, from, to: from + count });
        }
        let count = r.count(WANTS_MAX, 1, "wants")?;
        let mut wants = Vec::with_capacity(count);
        let mut before = 0u32;
        for _ in 0..count {
            let gap = u32::try_from(r.varint("want")?).ok();
            let want = gap.and_then(|gap| before.checked_add(gap));
            before = want.ok_or(DecodeError::Invalid("want"))?;
            wants.push(before);
        }
        Ok(Exchange { last, symbols, wants })
    }
}

fn put_part(out: &mut Vec<u8>, part: Part) {
    out.push(part.bits);
    put_varint(out, u64::from(part.index));
}

fn read_part(r: &mut Reader<'_>) -> Decoded<Part> {
    let bits = r.u8("part")?;
    let index = r.varint("part")?;
    if bits > 20 || index >> bits != 0 {
        return Err(DecodeError::Invalid("part"));
    }
    Ok(Part { bits, index: index as u32 })
}

/// Symbols of a part, from a number on.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbols {
    pub part: Part,
    pub from: u64,
    pub symbols: Vec<Symbol>,
}

impl Symbols {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::SYMBOLS, |out| {
            put_part(out, self.part);
            put_varint(out, self.from);
            self.symbols.iter().for_each(|symbol| symbol.put(out));
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Symbols> {
        let mut r = Reader::new(body);
        let part = read_part(&mut r)?;
        let from = r.seq("first symbol")?;
        let count = r.rest().len() / SYMBOL_BYTES;
        if count > SYMBOLS_MAX {
            return Err(DecodeError::TooLong("symbols"));
        }
        let symbols = (0..count).map(|_| Symbol::read(&mut r)).collect::<Decoded<_>>()?;
        Ok(Symbols { part, from, symbols })
    }
}

/// "Of this part I have these: send the others." What does not fit one page is left to symbols.
#[derive(Clone, Debug, PartialEq)]
pub struct Filtered {
    pub part: Part,
    pub filter: Filter,
}

impl Filtered {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::FILTER, |out| {
            put_part(out, self.part);
            self.filter.put(out);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Filtered> {
        let mut r = Reader::new(body);
        Ok(Filtered { part: read_part(&mut r)?, filter: Filter::read(&mut r)? })
    }
}

/// Ends the answer to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// With all applied that came.
    pub sums: Sums,
    /// How many of the wants were gone through.
    pub served: u64,
}

impl Exchanged {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::EXCHANGED, |out| {
            self.sums.put(out);
            put_varint(out, self.served);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Exchanged> {
        let mut r = Reader::new(body);
        Ok(Exchanged { sums: Sums::read(&mut r)?, served: r.varint("served")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::HashKey;
    use proptest::prelude::*;

    fn body(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        let mut r = Reader::new(&out);
        r.u8("kind").unwrap();
        r.bytes(usize::MAX, "body").unwrap().to_vec()
    }

    proptest! {
        #[test]
        fn comparisons_round_trip(entries: u64, rest: u32, count in 1..1u64 << 14, words: [u64; 8], bits in 0u8..=20, from in 0..1u64 << 40, mut wants: Vec<u32>) {
            let sums = Sums { entries, rest };
            let sketch = OddSketch::of_words(words);
            let mut estimator = Box::new(Estimator::default());
            words.iter().for_each(|&element| estimator.toggle(element));
            for hint in [Hint::None, Hint::Symbols(count), Hint::Sketch(Box::new(sketch)), Hint::Samples(estimator)] {
                let compare = Compare { sums, hint };
                prop_assert_eq!(Compare::decode(&body(|o| compare.put(o))), Ok(compare));
            }
            let unclear = Compared::Unclear { sums, sketch: sketch.folded() };
            let differs = Compared::Differs { sums, count, differing: from };
            for compared in [Compared::Equal, Compared::Busy, unclear, differs] {
                prop_assert_eq!(Compared::decode(&body(|o| compared.put(o))), Ok(compared));
            }
            let part = Part { bits, index: rest & ((1u64 << bits) - 1) as u32 };
            wants.sort_unstable();
            let symbols = vec![Wanted { part, from, to: from + 7 }];
            let exchange = Exchange { last: true, symbols, wants };
            prop_assert_eq!(Exchange::decode(&body(|o| exchange.put(o))), Ok(exchange));
            let symbols = Symbols { part, from, symbols: vec![Symbol::default(); 3] };
            prop_assert_eq!(Symbols::decode(&body(|o| symbols.put(o))), Ok(symbols));
            let mut filter = Filter::new(entries, 100);
            filter.insert(1, &HashKey::for_cluster("f"));
            let filtered = Filtered { part, filter };
            prop_assert_eq!(Filtered::decode(&body(|o| filtered.put(o))), Ok(filtered));
            let exchanged = Exchanged { sums, served: count };
            prop_assert_eq!(Exchanged::decode(&body(|o| exchanged.put(o))), Ok(exchanged));
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Compare::decode(&bytes);
            let _ = Compared::decode(&bytes);
            let _ = Exchange::decode(&bytes);
            let _ = Symbols::decode(&bytes);
            let _ = Filtered::decode(&bytes);
            let _ = Exchanged::decode(&bytes);
        }
    }
}
