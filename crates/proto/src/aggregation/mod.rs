//! Decides what a number over all members is: means by exchanges that lose no mass, extremes, and
//! quantiles, in epochs that begin anew so that they follow what changes.

pub mod averaging;
pub mod bucket;
pub mod message;
pub mod tally;
