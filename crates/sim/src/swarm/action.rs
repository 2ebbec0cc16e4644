//! Decides what can happen to a cluster in a scenario. An action names all that it needs, so that a
//! list of them can be written down, replayed, and cut.

use serde::{Deserialize, Serialize};

pub const STRANGERS: usize = 1000;
pub const NEWCOMERS: usize = 2000;

/// One thing that happens. Hosts are numbers; what cannot happen to a host as it is (a crash of one
/// that is down) does nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    // Users.
    /// The value is a fresh word, repeated.
    Set {
        host: usize,
        key: u64,
        times: usize,
    },
    Delete {
        host: usize,
        key: u64,
    },
    /// Keys set and deleted at once, in the keyspace of this number (0: `kv`).
    Group {
        host: usize,
        keyspace: u64,
        set: Vec<u64>,
        deleted: Vec<u64>,
    },
    Emit {
        host: usize,
        key: u64,
        times: usize,
    },
    Tag {
        host: usize,
        key: u64,
        unset: bool,
    },
    /// A client brings its session, then reads or writes a key of the clients.
    Client {
        host: usize,
        client: u64,
        key: u64,
        write: bool,
    },
    Join {
        host: usize,
        other: usize,
    },
    Leave {
        host: usize,
    },
    ForceLeave {
        host: usize,
        other: usize,
        prune: bool,
    },

    // Processes and machines.
    Crash {
        host: usize,
    },
    /// With its disk.
    Destroy {
        host: usize,
    },
    Restart {
        host: usize,
    },
    /// A node that left starts again.
    Return {
        host: usize,
    },
    /// The host is lost; a new one at another address has its name.
    Replace {
        host: usize,
        other: usize,
        new: usize,
    },
    /// A node that was never there joins by another; with `for_ms` it dies that soon after, for ever.
    Newcomer {
        new: usize,
        other: usize,
        durable: bool,
        for_ms: Option<u64>,
    },
    /// Both restart, at each other's address.
    Swap {
        host: usize,
        other: usize,
    },
    Pause {
        host: usize,
    },
    Suspend {
        host: usize,
    },
    Resume {
        host: usize,
    },
    /// Each input takes this long; 0: none.
    Slow {
        host: usize,
        micros: u64,
    },
    Step {
        host: usize,
        ms: i64,
    },
    Drift {
        host: usize,
        ppm: i64,
    },
    DiskFails {
        host: usize,
        failing: bool,
    },
    DiskSlow {
        host: usize,
        ms: u64,
    },

    // The network.
    /// These hosts against the rest.
    Split {
        side: Vec<usize>,
    },
    Cut {
        host: usize,
        other: usize,
    },
    CutOneWay {
        host: usize,
        other: usize,
    },
    BlockDatagrams {
        host: usize,
        other: usize,
    },
    BlockStreams {
        host: usize,
        other: usize,
    },
    /// Loss of all that the host sends and receives, in percent.
    Lossy {
        host: usize,
        sent: u8,
        received: u8,
    },
    /// One direction between two hosts takes this long and loses this percentage.
    Link {
        host: usize,
        other: usize,
        ms: u64,
        loss: u8,
    },
    Heal,

    // Packets that nobody sent now. They are taken from those recorded, the newest first.
    /// An old packet comes again, as if from `other`.
    Replay {
        host: usize,
        other: usize,
        packet: usize,
    },
    /// A packet of the other cluster arrives.
    Foreign {
        host: usize,
        other: usize,
        packet: usize,
    },
    /// A packet with these bits flipped.
    Garble {
        host: usize,
        other: usize,
        packet: usize,
        bits: Vec<u32>,
    },
    /// Bytes that were never a packet.
    Noise {
        host: usize,
        other: usize,
        bytes: usize,
        seed: u64,
    },
    /// A packet of `other` with bytes changed and sealed again.
    Lie {
        host: usize,
        other: usize,
        packet: usize,
        seed: u64,
    },
}

impl Action {
    /// The kind, as files and traces name it.
    pub fn kind(&self) -> String {
        let value = serde_json::to_value(self).expect("plain data has a JSON form");
        value["do"].as_str().expect("the tag is a word").to_owned()
    }

    /// The hosts that it names. Nodes are numbered from 0, strangers from [`STRANGERS`], those that
    /// come later from [`NEWCOMERS`], so that taking one away renumbers no other.
    pub fn hosts_mut(&mut self) -> Vec<&mut usize> {
        use Action::*;
        match self {
            Set { host, .. }
            | Delete { host, .. }
            | Group { host, .. }
            | Emit { host, .. }
            | Tag { host, .. }
            | Client { host, .. }
            | Leave { host }
            | Crash { host }
            | Destroy { host }
            | Restart { host }
            | Return { host }
            | Pause { host }
            | Suspend { host }
            | Resume { host }
            | Slow { host, .. }
            | Step { host, .. }
            | Drift { host, .. }
            | DiskFails { host, .. }
            | DiskSlow { host, .. }
            | Lossy { host, .. } => vec![host],
            Newcomer { new, other, .. } => vec![new, other],
            Replace { host, other, new } => vec![host, other, new],
            Join { host, other }
            | ForceLeave { host, other, .. }
            | Swap { host, other }
            | Cut { host, other }
            | CutOneWay { host, other }
            | BlockDatagrams { host, other }
            | BlockStreams { host, other }
            | Link { host, other, .. }
            | Replay { host, other, .. }
            | Foreign { host, other, .. }
            | Garble { host, other, .. }
            | Noise { host, other, .. }
            | Lie { host, other, .. } => vec![host, other],
            Split { side } => side.iter_mut().collect(),
            Heal => Vec::new(),
        }
    }
}
