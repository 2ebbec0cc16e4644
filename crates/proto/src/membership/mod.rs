//! Decides who the members are: records, names, joining and leaving.

pub mod facts;
