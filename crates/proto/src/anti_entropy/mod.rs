//! Decides when two nodes compare their states and how they repair a difference, by bounded
//! requests: fingerprints find it, digests and vectors bound it, deltas close it.

pub mod bloom;
pub mod compare;
pub mod digest;
pub mod estimate;
pub mod ladder;
pub mod live;
pub mod merkle;
pub mod mismatch;
pub mod root;
pub mod sketch;
