//! Decides what kinds of value merge, and what can be done to each.

use super::context::Context;

/// What kind of value a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Keeps every concurrent write as a sibling (dotted version vectors: Preguiça et al. 2012).
    Register,
    /// Sums increments and decrements of all writers.
    Counter,
    /// An addition wins over a concurrent removal.
    Set,
    /// Enabling wins over a concurrent disabling.
    Flag,
    /// The largest number ever set, or the smallest.
    Max,
    Min,
    /// Named fields, each of any other kind; an update wins over a concurrent removal.
    Map,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Kind::Register, Kind::Counter, Kind::Set, Kind::Flag, Kind::Max, Kind::Min, Kind::Map];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::Counter => "counter",
            Kind::Set => "set",
            Kind::Flag => "flag",
            Kind::Max => "max",
            Kind::Min => "min",
            Kind::Map => "map",
        }
    }

    pub fn code(self) -> u8 {
        Kind::ALL.iter().position(|&k| k == self).expect("all kinds are listed") as u8
    }

    pub fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(code)).copied()
    }

    pub fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What a user does to a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Replaces the siblings that `read` covers: all known ones where it is `None`.
    Assign {
        value: Vec<u8>,
        read: Option<Context>,
    },
    /// Adds to a counter; a negative number subtracts.
    Add(i64),
    Insert(Vec<u8>),
    Remove(Vec<u8>),
    Enable,
    Disable,
    /// Offers a number to a bound.
    Offer(i64),
    /// Does something to a field of a map.
    Field {
        name: Vec<u8>,
        kind: Kind,
        operation: Box<Operation>,
    },
    RemoveField {
        name: Vec<u8>,
        kind: Kind,
    },
    /// Removes everything that the value holds: what concurrent writers put in stays.
    Clear,
}

/// Why an operation was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The operation is of another kind of value.
    Kind {
        holds: Kind,
    },
    /// The sum of this writer would leave 64 bits.
    Overflow,
    /// A name or value is over its limit.
    Length,
    /// A field of a map is a map.
    Nested,
    Writers,
}
