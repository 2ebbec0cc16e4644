//! The Tidings protocol: a state machine without I/O. This page is the map; it decides nothing
//! but what is public.
//!
//! Hand an [`Input`](io::Input) to [`Node::handle`], drain the [`Outbox`](io::Outbox), call again
//! at [`Node::next_deadline`]. Time and randomness are arguments: equal inputs give equal bytes.
//!
//! Lower layers never name higher ones:
//! `base -> wire -> membership -> peers -> detection -> dissemination -> state -> anti_entropy ->
//! aggregation, convergence -> node`,
//! with `config`, `limits`, `flow` and the plain types of `io` beside `base`.

pub mod aggregation;
pub mod anti_entropy;
pub mod base;
pub mod config;
pub mod convergence;
pub mod detection;
pub mod dissemination;
pub mod flow;
pub mod io;
pub mod limits;
pub mod membership;
pub mod node;
pub mod peers;
pub mod state;
pub mod wire;

pub use base::id::NodeId;
pub use base::time::{Now, Time};
pub use base::token::Token;
pub use config::Config;
pub use node::{Identity, Node, Snapshot, View};
