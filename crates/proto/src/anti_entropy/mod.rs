//! Decides when two nodes compare their states and how they repair a difference, by bounded
//! requests: fingerprints find it, digests and vectors bound it, deltas close it.

pub mod digest;
pub mod mismatch;
pub mod sketch;
