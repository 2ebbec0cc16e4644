//! Decides how news travels: which rumours fill a packet, when packets go out, and how user
//! events stay in order, and what a rumour says of its way.

pub mod events;
pub mod queue;
pub mod rounds;
pub mod trail;
