//! Decides how news travels: which rumours fill a packet, when packets go out, and how user
//! events stay in order.

pub mod events;
pub mod queue;
pub mod rounds;
