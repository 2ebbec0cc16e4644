//! Decides how an exchange of averages crosses the wire: one part of one aggregate a frame.

use crate::base::id::NodeId;
use crate::limits::AGGREGATE_NAME_BYTES_MAX;
use crate::wire::codec::{
    DecodeError, Decoded, Reader, put_bytes, put_f64, put_id, put_u32, put_varint,
};
use crate::wire::frame::put_frame;

use super::bucket::{BLOCK, blocks};

/// Which numbers of an aggregate: they travel, and are averaged, apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Contributors, sum, sum of squares.
    Scalars,
    /// A block of [`BLOCK`] buckets of the distribution.
    Block(i32),
}

/// The least or the greatest contribution, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extreme {
    pub value: f64,
    pub who: NodeId,
}

/// A question (my estimate, in my exchange so and so) or its answer (what has flowed to you).
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    pub name: Box<str>,
    pub epoch: u64,
    pub number: u64,
    pub part: Part,
    /// Empty in an answer: the question is of an epoch that is over, this one is under way.
    pub values: Vec<f64>,
    pub low: Option<Extreme>,
    pub high: Option<Extreme>,
}

impl Part {
    pub fn width(self) -> usize {
        match self {
            Part::Scalars => 3,
            Part::Block(_) => BLOCK as usize,
        }
    }

    /// A number as the wire keeps it.
    pub fn rounded(self, value: f64) -> f64 {
        match self {
            Part::Scalars => value,
            Part::Block(_) => f64::from(value as f32),
        }
    }
}

impl Exchange {
    pub fn put(&self, kind: u8, out: &mut Vec<u8>) {
        put_frame(out, kind, |out| {
            put_bytes(out, self.name.as_bytes());
            put_varint(out, self.epoch);
            put_varint(out, self.number);
            match self.part {
                Part::Scalars => put_varint(out, 0),
                Part::Block(block) => put_varint(out, (block - blocks().start() + 1) as u64),
            }
            for extreme in [&self.low, &self.high] {
                out.push(u8::from(extreme.is_some()));
                if let Some(Extreme { value, who }) = extreme {
                    put_f64(out, *value);
                    put_id(out, *who);
                }
            }
            put_values(out, self.part, &self.values);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Exchange> {
        let mut r = Reader::new(body);
        let name: Box<str> = r.text(AGGREGATE_NAME_BYTES_MAX, "aggregate name")?.into();
        if name.is_empty() {
            return Err(DecodeError::Invalid("aggregate name"));
        }
        let epoch = r.seq("epoch")?;
        let number = r.seq("exchange")?;
        let part = match r.varint("part")? {
            0 => Part::Scalars,
            n => {
                let block = i32::try_from(n).ok().map(|n| n - 1 + blocks().start());
                let block = block.filter(|block| blocks().contains(block));
                Part::Block(block.ok_or(DecodeError::Invalid("part"))?)
            }
        };
        let low = read_extreme(&mut r)?;
        let high = read_extreme(&mut r)?;
        let values = read_values(&mut r, part)?;
        Ok(Exchange { name, epoch, number, part, values, low, high })
    }
}

/// Runs of numbers that are not 0: (zeros before, how many, they).
fn put_values(out: &mut Vec<u8>, part: Part, values: &[f64]) {
    let mut at = 0;
    while let Some(zeros) = values[at..].iter().position(|v| *v != 0.0) {
        let start = at + zeros;
        let run = values[start..].iter().take_while(|v| **v != 0.0).count();
        put_varint(out, zeros as u64);
        put_varint(out, run as u64);
        for value in &values[start..start + run] {
            match part {
                Part::Scalars => put_f64(out, *value),
                Part::Block(_) => put_u32(out, (*value as f32).to_bits()),
            }
        }
        at = start + run;
    }
    // All zeros are said as one run of none.
    if at == 0 && !values.is_empty() {
        put_varint(out, values.len() as u64);
        put_varint(out, 0);
    }
}

fn read_values(r: &mut Reader<'_>, part: Part) -> Decoded<Vec<f64>> {
    if r.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = vec![0.0; part.width()];
    let mut at = 0usize;
    while !r.is_empty() {
        let zeros = r.count(part.width(), 0, "zeros")?;
        let run = r.count(part.width(), 4, "run")?;
        let start = at + zeros;
        let places = values.get_mut(start..start + run).ok_or(DecodeError::TooLong("values"))?;
        for place in places {
            *place = match part {
                Part::Scalars => f64::from_bits(r.u64("number")?),
                Part::Block(_) => f64::from(f32::from_bits(r.u32("number")?)),
            };
            if !place.is_finite() {
                return Err(DecodeError::Invalid("number"));
            }
        }
        at = start + run;
    }
    Ok(values)
}

fn read_extreme(r: &mut Reader<'_>) -> Decoded<Option<Extreme>> {
    match r.u8("extreme")? {
        0 => Ok(None),
        1 => {
            let value = f64::from_bits(r.u64("extreme")?);
            let who = r.id("extreme")?;
            let finite = value.is_finite().then_some(Some(Extreme { value, who }));
            finite.ok_or(DecodeError::Invalid("extreme"))
        }
        _ => Err(DecodeError::Invalid("extreme")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::wire::frame::Frames;

    fn read(bytes: &[u8]) -> Decoded<Exchange> {
        Exchange::decode(Frames::new(bytes).next().unwrap()?.1)
    }

    #[test]
    fn exchanges_round_trip_and_noise_is_refused() {
        let mut rng = Rng::from_u64(1);
        for part in [Part::Scalars, Part::Block(0), Part::Block(*blocks().start())] {
            for full in [0.0, 0.1, 1.0] {
                let mut number = || if rng.chance(full) { part.rounded(rng.unit()) } else { 0.0 };
                let values: Vec<f64> = (0..part.width()).map(|_| number()).collect();
                let low = Some(Extreme { value: -1.5, who: NodeId::from_u128(9) });
                let (name, epoch, number, high) = ("load".into(), 7, 300, None);
                let sent = Exchange { name, epoch, number, part, values, low, high };
                let mut bytes = Vec::new();
                sent.put(60, &mut bytes);
                assert_eq!(read(&bytes).as_ref(), Ok(&sent));
                for _ in 0..200 {
                    let mut noise = bytes.clone();
                    let at = rng.index(noise.len());
                    noise[at] ^= 1 << rng.below(8);
                    if let Some(Ok((_, body))) = Frames::new(&noise).next() {
                        let _ = Exchange::decode(body); // it may only not panic
                    }
                }
            }
        }
        let (name, low, high) = ("x".into(), None, None);
        let (epoch, number, part) = (1, 1, Part::Scalars);
        let wrong = Exchange { name, epoch, number, part, values: vec![f64::NAN; 3], low, high };
        let mut bytes = Vec::new();
        wrong.put(60, &mut bytes);
        assert_eq!(read(&bytes), Err(DecodeError::Invalid("number")));
    }
}
