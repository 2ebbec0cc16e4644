//! Decides nothing: small models of what the core does not do (yet, or ever), each just large
//! enough for its question.

pub(crate) mod causality;
pub(crate) mod consensus;
pub(crate) mod history;
pub(crate) mod hot_key;
pub(crate) mod merkle;
pub(crate) mod replicas;
