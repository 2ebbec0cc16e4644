//! Decides how news travels: which rumours fill a packet, when packets go out, what is kept for
//! who asks, how user events stay in order, and what a rumour says of its way.

pub mod events;
pub mod interest;
pub mod pull;
pub mod queue;
pub mod rounds;
pub mod trail;
pub mod tree;
