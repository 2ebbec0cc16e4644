//! Decides what is replicated: entries of keyspaces, which of two writes wins, and which writes
//! this node has applied.

pub mod causal;
pub mod crdt;
pub mod delta;
pub mod disk;
pub mod ending;
pub mod entry;
pub mod epochs;
pub mod fields;
pub mod flag;
pub mod forgetting;
pub mod groups;
pub mod rot;
pub mod store;
