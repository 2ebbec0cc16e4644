//! Decides what travels about a member and which of two records wins: a total order, so that any
//! order and repetition of deliveries gives the same table (rules 1 and 3).

use crate::base::hash::{HashKey, domain};
use crate::base::id::NodeId;
use crate::limits::{ACCUSERS_MAX, FACTS_BYTES_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_bytes, put_id, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// The replicated part of a member's status. Suspicion is not in it: that is a local doubt with a
/// deadline, ended by a higher incarnation.
///
/// Within an incarnation the later variant wins. Leaving is an ordinary higher state of the same
/// incarnation, so a restart with the next one always beats it (F13). `Retired` is final for the
/// identity whatever the incarnation: another life took over, or the operator ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Standing {
    Alive = 0,
    Failed = 1,
    Leaving = 2,
    Left = 3,
    Retired = 4,
}

impl Standing {
    #[inline]
    fn read(v: u8) -> Decoded<Standing> {
        Ok(match v {
            0 => Standing::Alive,
            1 => Standing::Failed,
            2 => Standing::Leaving,
            3 => Standing::Left,
            4 => Standing::Retired,
            _ => return Err(DecodeError::Invalid("standing")),
        })
    }

    /// Takes part in probing and gossip.
    pub fn is_live(self) -> bool {
        matches!(self, Standing::Alive | Standing::Leaving)
    }
}

/// Why an accuser doubts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// No answer on any path.
    Silence = 0,
    /// The port is closed: the process is gone.
    Refused = 1,
    /// Another life answers at its address.
    Replaced = 2,
}

impl Cause {
    pub fn read(v: u8) -> Decoded<Cause> {
        match v {
            0 => Ok(Cause::Silence),
            1 => Ok(Cause::Refused),
            2 => Ok(Cause::Replaced),
            _ => Err(DecodeError::Invalid("cause")),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Silence => "silence",
            Cause::Refused => "refused",
            Cause::Replaced => "another life answers",
        }
    }
}

/// What decides between two records of one identity. `sum` breaks the tie that only a cloned
/// identity can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    pub retired: bool,
    pub incarnation: u64,
    pub standing: Standing,
    pub sum: u64,
}

impl Precedence {
    /// The part of the checksum that is over the facts alone: equal ones stand for equal facts.
    #[inline]
    pub fn facts_sum(self) -> u64 {
        self.sum.wrapping_sub(sum_of_incarnation(self.incarnation))
    }
}

impl Precedence {
    #[inline]
    pub fn new(incarnation: u64, standing: Standing, sum: u64) -> Precedence {
        Precedence { retired: standing == Standing::Retired, incarnation, standing, sum }
    }
}

/// The front of a record: all that tells whether it is news. The rest is read only if it is.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead<'a> {
    pub id: NodeId,
    pub incarnation: u64,
    pub standing: Standing,
    pub sum: u64,
    facts: &'a [u8],
    rest: &'a [u8],
}

impl<'a> RecordHead<'a> {
    #[inline]
    pub fn decode(body: &'a [u8]) -> Decoded<RecordHead<'a>> {
        let mut r = Reader::new(body);
        let incarnation = r.seq("incarnation")?;
        let standing = Standing::read(r.u8("standing")?)?;
        let sum = r.u64("record checksum")?;
        let facts = r.bytes(FACTS_BYTES_MAX, "facts")?;
        // The identity comes first in them.
        let id = Reader::new(facts).id("member id")?;
        Ok(RecordHead { id, incarnation, standing, sum, facts, rest: r.rest() })
    }

    pub fn precedence(&self) -> Precedence {
        Precedence::new(self.incarnation, self.standing, self.sum)
    }

    pub fn read(self) -> Decoded<Record<'a>> {
        let RecordHead { id, incarnation, standing, sum, facts, rest } = self;
        let accusers = if standing == Standing::Failed {
            Accusers::decode(&mut Reader::new(rest))?
        } else {
            Accusers::default()
        };
        Ok(Record { id, incarnation, standing, sum, facts, accusers })
    }
}

/// Whom a record is about, by the first bytes of the id, and what it says. `None`: read it in full.
#[inline]
pub fn glance(body: &[u8]) -> Option<(u64, Precedence)> {
    let mut r = Reader::new(body);
    let incarnation = r.seq("incarnation").ok()?;
    let standing = Standing::read(r.u8("standing").ok()?).ok()?;
    let sum = r.u64("record checksum").ok()?;
    let facts = r.bytes(FACTS_BYTES_MAX, "facts").ok()?;
    let id = facts.first_chunk::<16>()?;
    Some((NodeId(*id).short(), Precedence::new(incarnation, standing, sum)))
}

/// A record as read from a packet; facts are not decoded until it is known to be fresh.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    pub id: NodeId,
    pub incarnation: u64,
    pub standing: Standing,
    /// The owner's checksum over incarnation and facts: travels with the record and is checked when
    /// it is applied, so that corruption at rest is found too (F1).
    pub sum: u64,
    pub facts: &'a [u8],
    /// With `Failed`: who accused, and of what.
    pub accusers: Accusers,
}

impl<'a> Record<'a> {
    pub fn precedence(&self) -> Precedence {
        Precedence::new(self.incarnation, self.standing, self.sum)
    }

    pub fn decode(body: &'a [u8]) -> Decoded<Record<'a>> {
        RecordHead::decode(body)?.read()
    }

    pub fn checksum_holds(&self, key: &HashKey) -> bool {
        self.sum == record_checksum(key, self.incarnation, self.facts)
    }
}

/// Appends a member frame.
pub fn put_record(out: &mut Vec<u8>, precedence: Precedence, facts: &[u8], accusers: &Accusers) {
    put_frame(out, kind::MEMBER, |out| {
        put_varint(out, precedence.incarnation);
        out.push(precedence.standing as u8);
        put_u64(out, precedence.sum);
        put_bytes(out, facts);
        if precedence.standing == Standing::Failed {
            accusers.put(out);
        }
    });
}

/// Over the facts, identity and all, and the incarnation added: so that facts that have not changed
/// are known by their sum, and need not be read again with each incarnation.
pub fn record_checksum(key: &HashKey, incarnation: u64, facts: &[u8]) -> u64 {
    let of_facts = key.checksum(domain::RECORD, &[facts]);
    of_facts.wrapping_add(sum_of_incarnation(incarnation))
}

/// A different one for each incarnation, and far apart.
fn sum_of_incarnation(incarnation: u64) -> u64 {
    incarnation.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Distinct accusers with their causes, in the order they came; at most [`ACCUSERS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accusers(Vec<(NodeId, Cause)>);

impl Accusers {
    /// Adds or, where the cause got stronger, updates; returns whether anything changed.
    pub fn add(&mut self, accuser: NodeId, cause: Cause) -> bool {
        if let Some(known) = self.0.iter_mut().find(|(id, _)| *id == accuser) {
            let stronger = cause > known.1;
            known.1 = known.1.max(cause);
            return stronger;
        }
        if self.0.len() >= ACCUSERS_MAX {
            return false;
        }
        self.0.push((accuser, cause));
        true
    }

    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Cause)> + '_ {
        self.0.iter().copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those who found the process gone.
    pub fn refusals(&self) -> usize {
        self.0.iter().filter(|(_, cause)| *cause != Cause::Silence).count()
    }

    pub fn contains(&self, id: NodeId) -> bool {
        self.0.iter().any(|(known, _)| *known == id)
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (id, cause) in &self.0 {
            put_id(out, *id);
            out.push(*cause as u8);
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Decoded<Accusers> {
        let mut accusers = Accusers::default();
        for _ in 0..r.count(ACCUSERS_MAX, 17, "accusers")? {
            let id = r.id("accuser")?;
            accusers.add(id, Cause::read(r.u8("cause")?)?);
        }
        Ok(accusers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row D4: the precedence is checked over every pair of small states: refutation beats doubt of
    /// the same incarnation or lower, leaving beats failing, retirement beats all.
    #[test]
    fn precedence_table() {
        let p = |i, s| Precedence::new(i, s, 0);
        use Standing::*;
        for i in 1..4 {
            assert!(p(i, Failed) > p(i, Alive));
            assert!(p(i, Leaving) > p(i, Failed));
            assert!(p(i, Left) > p(i, Leaving));
            for s in [Alive, Failed, Leaving, Left] {
                assert!(p(i + 1, Alive) > p(i, s), "a new announcement beats {s:?}");
                assert!(p(1, Retired) > p(i, s));
            }
        }
    }
}
