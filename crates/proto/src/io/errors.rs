//! Decides what a user is told when a command is refused: the thing, its value and what was expected.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::Receipted;
use crate::base::clocks::Dot;
use crate::base::flag::FlagRefused;
use crate::base::operation::Refused;
use crate::base::token::Token;
use crate::config::ConfigError;
use crate::limits::*;

/// Why a command was refused. Each says what was wrong and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    KeyLength {
        bytes: usize,
    },
    ValueLength {
        bytes: usize,
    },
    Keyspace {
        name: String,
    },
    TooManyWrites {
        writes: usize,
    },
    Lifetime {
        lifetime: Duration,
    },
    FactsLength {
        bytes: usize,
    },
    Tag {
        key: String,
        expected: Cow<'static, str>,
    },
    EventLength {
        what: &'static str,
        bytes: usize,
        max: usize,
    },
    UnknownMember {
        name: String,
    },
    /// The member is alive: it has to leave by itself.
    MemberAlive {
        name: String,
    },
    /// No address answered; the last reason.
    JoinFailed {
        addr: Option<SocketAddr>,
        reason: JoinFailure,
    },
    /// The key holds a value of another kind.
    Kind {
        holds: &'static str,
    },
    Aggregate {
        name: String,
        expected: &'static str,
    },
    Flag {
        name: String,
        refused: FlagRefused,
    },
    /// The keyspace belongs to a part of the system: its own commands write there.
    Reserved {
        keyspace: String,
    },
    /// The operation does not fit the value.
    Operation(Refused),
    /// Nobody has declared this keyspace or written to it, as far as this node knows.
    UnknownKeyspace {
        name: String,
    },
    /// The keyspace is declared for other values.
    Policy {
        keyspace: String,
        holds: &'static str,
    },
    /// This node lacks writes that the session has seen, and did not get them in time: the newest
    /// of each writer.
    Stale {
        missing: Vec<Dot>,
    },
    /// The session was not used for so long that its writers may be forgotten.
    SessionExpired,
    /// The session has seen too many writers.
    SessionFull,
    /// The data directory does not accept writes.
    DiskFailed,
    /// Not yet synchronised with the cluster after joining it.
    NotSynced,
    /// Too many writes wait for the disk.
    Busy,
    /// Changes come faster than they can be told: so many wait. Try again after that long.
    Overloaded {
        waiting: usize,
        retry_after: Duration,
    },
    Full {
        what: &'static str,
        max: usize,
    },
    /// This node has left or is leaving.
    Left,
    /// The deadline passed before enough members had it.
    NotEnough(Box<Receipted>),
    /// A share or a count that no cluster can meet.
    NoReceipt {
        value: String,
    },
    UnknownKey {
        keyspace: String,
    },
    /// A setting that does not fit, or that cannot change while the node runs.
    Setting(ConfigError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinFailure {
    NoAddress,
    Refused,
    Timeout,
    Broken,
    /// A live member at another address has this name.
    NameTaken,
    /// The other end is of another cluster, or no Tidings node.
    Foreign,
    /// This identity was retired, or lives elsewhere: the driver has to draw a new one.
    IdentityTaken,
}

impl fmt::Display for JoinFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinFailure::NoAddress => "no address given",
            JoinFailure::Refused => "connection refused",
            JoinFailure::Timeout => "no answer in time",
            JoinFailure::Broken => "the connection broke",
            JoinFailure::NameTaken => "a live member at another address has this name",
            JoinFailure::Foreign => "the other end is of another cluster",
            JoinFailure::IdentityTaken => "this identity was retired or lives elsewhere",
        })
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::KeyLength { bytes } => {
                write!(f, "key of {bytes} bytes: expected 1 to {KEY_BYTES_MAX}")
            }
            CommandError::ValueLength { bytes } => {
                write!(f, "value of {bytes} bytes: expected at most {VALUE_BYTES_MAX}")
            }
            CommandError::Keyspace { name } => write!(
                f,
                "keyspace {name:?}: expected 1 to {KEYSPACE_BYTES_MAX} bytes, at most {KEYSPACES_MAX} of them"
            ),
            CommandError::TooManyWrites { writes } => {
                write!(f, "{writes} writes in one group: expected 1 to {WRITES_PER_COMMAND_MAX}")
            }
            CommandError::Lifetime { lifetime } => {
                let days = LIFETIME_MS_MAX / 86_400_000;
                write!(f, "lifetime {lifetime:?}: expected 1ms to {days} days")
            }
            CommandError::FactsLength { bytes } => write!(
                f,
                "name and tags of {bytes} bytes together: expected at most {FACTS_BYTES_MAX}"
            ),
            CommandError::Tag { key, expected } => write!(f, "tag {key:?}: expected {expected}"),
            CommandError::EventLength { what, bytes, max } => {
                write!(f, "event {what} of {bytes} bytes: expected at most {max}")
            }
            CommandError::UnknownMember { name } => write!(f, "no member is named {name:?}"),
            CommandError::MemberAlive { name } => {
                write!(f, "{name:?} is alive: it has to leave by itself")
            }
            CommandError::JoinFailed { addr: Some(addr), reason } => {
                write!(f, "cannot join {addr}: {reason}")
            }
            CommandError::JoinFailed { addr: None, reason } => write!(f, "cannot join: {reason}"),
            CommandError::Kind { holds } => {
                write!(f, "the key holds a {holds}: expected an operation of that kind")
            }
            CommandError::Aggregate { name, expected } => {
                write!(f, "aggregate {name:?}: expected {expected}")
            }
            CommandError::Flag { name, refused } => write!(f, "flag {name:?}: {refused}"),
            CommandError::Reserved { keyspace } => {
                write!(f, "keyspace {keyspace:?} is reserved: its own commands write there")
            }
            CommandError::Operation(refused) => refused.fmt(f),
            CommandError::UnknownKeyspace { name } => {
                write!(f, "unknown keyspace {name:?}: nobody has declared it or written to it")
            }
            CommandError::Policy { keyspace, holds } => {
                write!(f, "keyspace {keyspace:?} is declared for {holds}")
            }
            CommandError::Stale { missing } => put_missing(f, missing),
            CommandError::SessionExpired => f.write_str("session unused for a day: start anew"),
            CommandError::SessionFull => f.write_str("the session has 32 writers: start anew"),
            CommandError::DiskFailed => f.write_str("the data directory does not accept writes"),
            CommandError::NotSynced => f.write_str("not yet synchronised with the cluster"),
            CommandError::Busy => f.write_str("too many writes wait for the disk"),
            CommandError::Overloaded { waiting, retry_after } => write!(
                f,
                "overloaded: {waiting} changes wait to be told, try again after {retry_after:?}"
            ),
            CommandError::Full { what, max } => write!(f, "{what} are full: at most {max}"),
            CommandError::Left => f.write_str("this node has left the cluster"),
            CommandError::NotEnough(receipt) => receipt.fmt_short(f),
            CommandError::NoReceipt { value } => put_receipts(f, value),
            CommandError::Setting(error) => error.fmt(f),
            CommandError::UnknownKey { keyspace } => write!(f, "no such key in {keyspace:?}"),
        }
    }
}

fn put_receipts(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    write!(
        f,
        "receipt {value}: expected all, certified, quorum, a share such as 0.9 (at most 1.0), or a \
         count of 1 to {MEMBERS_MAX}"
    )
}

/// Names of missing members that one line shows.
const MISSING_SHOWN: usize = 10;

impl Receipted {
    fn fmt_short(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (have, needed, elapsed) = (self.have.len(), self.needed, self.elapsed);
        write!(f, "{have} of {needed} members have it after {elapsed:.1?}; missing: ")?;
        for (at, missing) in self.missing.iter().take(MISSING_SHOWN).enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{} ({})", missing.name, missing.why.as_str())?;
        }
        match self.missing.len().saturating_sub(MISSING_SHOWN) {
            0 if self.missing.is_empty() => f.write_str("members that do not exist"),
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn put_missing(f: &mut fmt::Formatter<'_>, missing: &[Dot]) -> fmt::Result {
    f.write_str("stale: this node lacks what the session has seen:")?;
    missing.iter().try_for_each(|&dot| write!(f, " {}", Token(dot)))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Kind { holds } => {
                write!(f, "the key holds a {}: expected one of its operations", holds.as_str())
            }
            Refused::Overflow => f.write_str("the counter would leave 64 bits"),
            Refused::Length => {
                write!(f, "value too long: expected at most {VALUE_BYTES_MAX} bytes")
            }
            Refused::Nested => f.write_str("a map within a map: expected a field of another kind"),
            Refused::Writers => write!(f, "too many writers: expected at most {WRITERS_MAX}"),
        }
    }
}

impl fmt::Display for FlagRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlagRefused::Unknown => f.write_str("not set: expected a flag that has a value"),
            FlagRefused::NoStage => f.write_str("no stage is under way"),
            FlagRefused::Stopped => f.write_str("its stage was stopped: roll it back first"),
            FlagRefused::Value { expected } => write!(f, "value: expected {expected}"),
            FlagRefused::Name => write!(f, "name: expected 1 to {FLAG_NAME_BYTES_MAX} bytes"),
            FlagRefused::Share => {
                f.write_str("share: expected 0.01 to 100 %, a zone of 1 to 128 bytes")
            }
            FlagRefused::Reason => {
                write!(f, "reason: expected 1 to {FLAG_REASON_BYTES_MAX} bytes")
            }
        }
    }
}

impl std::error::Error for CommandError {}
