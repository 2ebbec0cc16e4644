//! Decides what callers are told when something fails: the thing, its value and what was expected.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tidings_proto::config::ConfigError;
use tidings_proto::io::CommandError;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is out of its bounds.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A name or an address that cannot be used.
    #[error("{what} {value:?}: expected {expected}")]
    Address { what: &'static str, value: String, expected: &'static str },
    /// The address cannot be listened on: taken, or not of this machine.
    #[error("cannot listen on {addr}: {source}")]
    Bind { addr: SocketAddr, source: io::Error },
    /// The data directory cannot be used. It is left as it was.
    #[error("data directory {}: {reason}", path.display())]
    DataDir { path: PathBuf, reason: DataDirFault },
    /// A program's own merge of this keyspace breaks a law.
    #[error("merge of keyspace {keyspace:?}: {broken}")]
    Merge { keyspace: String, broken: crate::laws::Broken },
    /// The core refused name, address and tags together.
    #[error("{0}")]
    Refused(CommandError),
    /// The system gave no randomness, no thread or no socket registration.
    #[error("the system refused {what}: {source}")]
    System { what: &'static str, source: io::Error },
}

impl StartError {
    /// True where the caller asked for something impossible (exit code 2); false where the
    /// environment is at fault (exit code 1).
    pub fn misuse(&self) -> bool {
        match self {
            StartError::Merge { .. } => true,
            StartError::Config(_) | StartError::Address { .. } | StartError::Refused(_) => true,
            StartError::Bind { .. } | StartError::DataDir { .. } | StartError::System { .. } => {
                false
            }
        }
    }
}

/// What is wrong with a data directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirFault {
    #[error("in use by another node")]
    InUse,
    #[error("not a directory")]
    NotADirectory,
    #[error("unreadable: {0}")]
    Unreadable(io::Error),
    #[error("corrupt: {0}")]
    Corrupt(String),
    #[error("disk full: {0}")]
    Full(io::Error),
    #[error("written in format {found}, this version reads format {expected}")]
    Format { found: u32, expected: u32 },
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for DataDirFault {
    fn from(e: io::Error) -> DataDirFault {
        use io::ErrorKind::*;
        match e.kind() {
            PermissionDenied | ReadOnlyFilesystem => DataDirFault::Unreadable(e),
            StorageFull | QuotaExceeded | FileTooLarge => DataDirFault::Full(e),
            NotADirectory | AlreadyExists => DataDirFault::NotADirectory,
            InvalidData | UnexpectedEof => DataDirFault::Corrupt(e.to_string()),
            _ => DataDirFault::Io(e),
        }
    }
}

/// Why a call on a running node failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node understood and refused; the reason says what was expected.
    #[error("{0}")]
    Refused(#[from] CommandError),
    /// The program's own merge failed; nothing was stored.
    #[error("{keyspace}/{}: {reason}", key.escape_ascii())]
    Merge { keyspace: String, key: Vec<u8>, reason: String },
    /// The node has ended.
    #[error("the node has stopped")]
    Stopped,
}

/// The node has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

impl From<Stopped> for Error {
    fn from(_: Stopped) -> Error {
        Error::Stopped
    }
}
