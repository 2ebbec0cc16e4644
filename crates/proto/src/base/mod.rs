//! Decides the plain things that know no message: time, randomness, identity, hashes, clocks.

pub mod clocks;
pub mod context;
pub mod flag;
pub mod hash;
pub mod id;
pub mod operation;
pub mod policy;
pub mod rng;
pub mod session;
pub mod slots;
pub mod time;
pub mod token;
