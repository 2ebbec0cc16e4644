//! Decides who is alive: probes (SWIM), heartbeat counters and phi as alternatives to their
//! silence, doubt with a deadline (suspicion), and a node's trust in its own observations
//! (Lifeguard).
//!
//! ```text
//! prober          helper          target
//!   | --- ping -------------------> |      timeout_at: nothing heard
//!   | --- ping-req --> | -- ping -> |      k helpers and one stream probe, in parallel
//!   | <-- nack ------- |            |      the helper's word at 80 % of the time it was given
//!   | <-- indirect-ack |            |      any success ends the probe
//! ```

pub mod coordinates;
pub mod heartbeat;
pub mod local_health;
pub mod message;
pub mod phi;
pub mod probe;
pub mod suspicion;
