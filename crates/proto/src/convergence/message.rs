//! Decides the bytes of a question to a member, which writes it has applied and what state it
//! holds, and of its answer.

use std::time::Duration;

use crate::base::clocks::Run;
use crate::dissemination::trail::{put_age, read_age};
use crate::io::Path;
use crate::wire::codec::{DecodeError, Decoded, Reader, below_max, put_id, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// Runs of writes that one question names: the longest answer fits a datagram.
pub const RUNS_PER_ASK: usize = 24;
/// A member keeps a question no longer than this.
pub const WAIT_MAX: Duration = Duration::from_secs(600);

/// "Have you applied these writes?" A member answers each when it can say yes, within `wait`, and
/// at once, yes or no, where `now` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub now: bool,
    /// Names the question; an answer that was waited for names none.
    pub number: u64,
    pub wait: Duration,
    pub runs: Vec<Run>,
}

const NOW: u8 = 1;

impl Ask {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::ASK, |out| {
            out.push(if self.now { NOW } else { 0 });
            put_varint(out, self.number);
            put_varint(out, self.wait.as_millis() as u64);
            put_varint(out, self.runs.len() as u64);
            for &run in &self.runs {
                put_run(out, run);
            }
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Ask> {
        let mut r = Reader::new(body);
        let flags = r.u8("ask flags")?;
        let number = r.varint("ask number")?;
        let wait = Duration::from_millis(r.varint("ask wait")?).min(WAIT_MAX);
        let count = r.count(RUNS_PER_ASK, 18, "asked writes")?;
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            runs.push(read_run(&mut r)?);
        }
        Ok(Ask { now: flags & NOW != 0, number, wait, runs })
    }
}

/// What a member says about a run of writes: that it has applied all of it, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    pub run: Run,
    pub applied: bool,
    /// How it came, and how long after it was written, where the member remembers.
    pub way: Option<Way>,
}

/// The way of one write to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub path: Path,
    /// Members that told it on, the last one included; of a rumour, where all of them said so.
    pub hops: Option<u8>,
    pub delay: Option<Duration>,
}

/// Answers an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it says is on its disk.
    pub durable: bool,
    /// The question that is answered at once; 0: some earlier one.
    pub number: u64,
    /// Fingerprints as of this answer.
    pub members: u64,
    pub state: u64,
    pub said: Vec<Said>,
}

const DURABLE: u8 = 1;
const APPLIED: u8 = 1;
const KNOWS_WAY: u8 = 2;
const KNOWS_HOPS: u8 = 0x40;
const KNOWS_DELAY: u8 = 0x80;

impl Answer {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::ANSWER, |out| {
            out.push(if self.durable { DURABLE } else { 0 });
            put_varint(out, self.number);
            put_u64(out, self.members);
            put_u64(out, self.state);
            put_varint(out, self.said.len() as u64);
            for said in &self.said {
                said.put(out);
            }
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Answer> {
        let mut r = Reader::new(body);
        let flags = r.u8("answer flags")?;
        let number = r.varint("answer number")?;
        let (members, state) = (r.u64("member print")?, r.u64("state print")?);
        let count = r.count(RUNS_PER_ASK, 19, "answered writes")?;
        let mut said = Vec::with_capacity(count);
        for _ in 0..count {
            said.push(Said::read(&mut r)?);
        }
        Ok(Answer { durable: flags & DURABLE != 0, number, members, state, said })
    }
}

impl Said {
    fn put(&self, out: &mut Vec<u8>) {
        put_run(out, self.run);
        let applied = if self.applied { APPLIED } else { 0 };
        out.push(applied | if self.way.is_some() { KNOWS_WAY } else { 0 });
        if let Some(way) = self.way {
            way.put(out);
        }
    }

    fn read(r: &mut Reader<'_>) -> Decoded<Said> {
        let run = read_run(r)?;
        let flags = r.u8("answer flags")?;
        let way = if flags & KNOWS_WAY != 0 { Some(Way::read(r)?) } else { None };
        Ok(Said { run, applied: flags & APPLIED != 0, way })
    }
}

impl Way {
    fn put(self, out: &mut Vec<u8>) {
        let hops = if self.hops.is_some() { KNOWS_HOPS } else { 0 };
        let delay = if self.delay.is_some() { KNOWS_DELAY } else { 0 };
        out.push(self.path.code() | hops | delay);
        out.extend(self.hops);
        if let Some(delay) = self.delay {
            put_age(out, delay);
        }
    }

    fn read(r: &mut Reader<'_>) -> Decoded<Way> {
        let code = r.u8("path")?;
        let path = Path::from_code(code & !(KNOWS_HOPS | KNOWS_DELAY));
        let hops = if code & KNOWS_HOPS != 0 { Some(r.u8("hops")?) } else { None };
        let delay = if code & KNOWS_DELAY != 0 { Some(read_age(r)?) } else { None };
        Ok(Way { path: path.ok_or(DecodeError::Invalid("path"))?, hops, delay })
    }
}

fn put_run(out: &mut Vec<u8>, run: Run) {
    put_id(out, run.origin);
    put_varint(out, run.from);
    put_varint(out, run.to - run.from);
}

fn read_run(r: &mut Reader<'_>) -> Decoded<Run> {
    let origin = r.id("origin")?;
    let from = r.seq("first write")?;
    let to = below_max(from + r.seq("writes")?, "last write")?;
    if from == 0 { Err(DecodeError::Invalid("first write")) } else { Ok(Run { origin, from, to }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::NodeId;
    use crate::wire::codec::SEQ_MAX;
    use crate::wire::frame::Frames;
    use proptest::prelude::*;

    fn run(n: u64) -> Run {
        Run { origin: NodeId::from_u128(u128::from(n % 3)), from: n + 1, to: n + 1 + n % 4 }
    }

    fn body(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out);
        Frames::new(&out).next().unwrap().unwrap().1.to_vec()
    }

    proptest! {
        #[test]
        fn questions_and_answers_round_trip(n in 0u64..24, number: u64, members: u64, state: u64, flag: bool, hops: u8) {
            let ask = Ask { now: flag, number, wait: Duration::from_millis(n * 7), runs: (0..n).map(run).collect() };
            prop_assert_eq!(Ask::decode(&body(|out| ask.put(out))).unwrap(), ask);
            let delay = Duration::from_micros(n * 100);
            let way = Way { path: Path::Rumour, hops: flag.then_some(hops), delay: (n > 3).then_some(delay) };
            let said = (0..n).map(|i| Said { run: run(i), applied: i % 2 == 0, way: (i % 3 == 0).then_some(way) });
            let answer = Answer { durable: flag, number, members, state, said: said.collect() };
            prop_assert_eq!(Answer::decode(&body(|out| answer.put(out))).unwrap(), answer);
        }

        #[test]
        fn the_longest_fit_a_datagram(origin: u128, from in 1u64..SEQ_MAX / 2, many in 0u64..SEQ_MAX / 2) {
            let run = Run { origin: NodeId::from_u128(origin), from, to: from + many };
            let way = Way { path: Path::Rumour, hops: Some(9), delay: Some(WAIT_MAX) };
            let said = Said { run, applied: true, way: Some(way) };
            let answer = Answer { durable: true, number: 1, members: 1, state: 1, said: vec![said; RUNS_PER_ASK] };
            prop_assert!(body(|out| answer.put(out)).len() < 1150);
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (Ask::decode(&bytes), Answer::decode(&bytes));
        }
    }

    #[test]
    fn a_question_for_too_much_is_refused() {
        let ask = Ask { now: false, number: 1, wait: WAIT_MAX, runs: (0..25).map(run).collect() };
        assert!(Ask::decode(&body(|out| ask.put(out))).is_err());
    }
}
