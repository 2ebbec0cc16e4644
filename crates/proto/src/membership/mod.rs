//! Decides who the members are: records, names, joining and leaving.

pub mod facts;
pub mod flaps;
pub mod known;
pub mod names;
pub mod record;
pub mod split;
pub mod table;
