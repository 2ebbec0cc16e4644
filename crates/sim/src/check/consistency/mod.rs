//! Decides what clients were promised, judged from what they did: the four guarantees of sessions
//! (Terry et al. 1994), causal order, and that all comes to the same. One promise a file, and in each
//! a history that breaks it.

use std::collections::BTreeMap;

use tidings_proto::base::clocks::{Dot, Hlc};

mod causal_order;
mod eventual;
mod monotonic_reads;
mod monotonic_writes;
mod read_your_writes;
mod writes_follow_reads;

pub use causal_order::causal_order;
pub use eventual::eventual;
pub use monotonic_reads::monotonic_reads;
pub use monotonic_writes::monotonic_writes;
pub use read_your_writes::read_your_writes;
pub use writes_follow_reads::writes_follow_reads;

/// One state of one key: later ones are greater, on all nodes.
pub type Version = (Hlc, Dot);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    Wrote,
    Read,
}

/// What one client did, when it was answered.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    pub client: usize,
    pub key: u64,
    pub did: Did,
    /// `None`: it read that there is nothing.
    pub version: Option<Version>,
}

/// What the clients did, each in its order.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub acts: Vec<Act>,
}

/// The newest state of each key.
pub type Past = BTreeMap<u64, Version>;

/// All promises to clients at once.
pub fn sessions_hold(history: &History) -> Result<(), String> {
    read_your_writes(history)?;
    monotonic_reads(history)?;
    monotonic_writes(history)?;
    writes_follow_reads(history)
}

/// Every act of `then` must be at `least` what its client's acts of `first` on the same key were, or
/// above it.
fn never_below(
    history: &History,
    first: Did,
    then: Did,
    above: bool,
    rule: &str,
) -> Result<(), String> {
    let mut newest: BTreeMap<(usize, u64), Version> = BTreeMap::new();
    for (n, act) in history.acts.iter().enumerate() {
        let at = (act.client, act.key);
        if act.did == then
            && let Some(known) = newest.get(&at)
            && (act.version < Some(*known) || above && act.version == Some(*known))
        {
            let Act { client, key, version, .. } = act;
            return Err(format!(
                "{rule}: act {n} of client {client} on key {key} is {version:?} after {known:?}"
            ));
        }
        if act.did == first && act.version > newest.get(&at).copied() {
            newest.extend(act.version.map(|version| (at, version)));
        }
    }
    Ok(())
}

#[cfg(test)]
fn act(client: usize, did: Did, key: u64, stamp: u64) -> Act {
    let dot = Dot { origin: tidings_proto::NodeId::from_u128(1), seq: stamp };
    Act { client, key, did, version: (stamp > 0).then_some((Hlc(stamp), dot)) }
}
