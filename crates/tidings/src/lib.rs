//! Tidings, embedded: membership, failure detection and shared state for a service, without a
//! coordinator. This page is the map; it decides nothing but what is public.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = tidings::Node::builder("node-a")
//!     .bind("0.0.0.0:7946")
//!     .join(["seed:7946"])
//!     .start()
//!     .await?;
//! node.keyspace("config").set("feature/x", "on").await?;
//! let mut members = node.watch_members(); // a snapshot, then every change, none lost silently
//! while let Some(change) = members.next().await {
//!     println!("{change:?}");
//! }
//! # Ok(()) }
//! ```
//!
//! | module | decides |
//! |---|---|
//! | `cluster` | what a program sees: [`Node`], [`Keyspace`], [`Token`] |
//! | `lease` | how long a key is held: [`Lease`] |
//! | `receipt` | how long a program waits for others: [`Waiting`] |
//! | `aggregate` | numbers over all members: [`Aggregate`] |
//! | `builder` | how a node starts: [`Builder`] |
//! | `flags` | settings of the whole cluster: [`Flags`] |
//! | `session` | how a session goes with reads and writes: [`InSession`] |
//! | `seeds` | how names of seeds become addresses |
//! | `driver` | when the core runs: one loop, one task |
//! | `timer` | how the loop is woken at its deadline |
//! | `net` | how packets and streams move |
//! | `disk` | how state survives |
//! | `watch` | how changes reach readers: [`Watch`] |
//! | [`laws`] | whether a program's own merge may be used |
//! | `merge` | how a program's own values merge |
//! | `errors` | what callers are told |
//!
//! The protocol itself is in [`tidings_proto`], without I/O; this crate runs it on tokio.

mod aggregate;
mod builder;
mod cluster;
mod disk;
mod driver;
mod errors;
mod flags;
pub mod laws;
mod lease;
mod merge;
mod net;
mod receipt;
mod seeds;
mod session;
mod timer;
mod watch;

pub use aggregate::Aggregate;
pub use builder::Builder;
pub use cluster::{IoFaults, Keyspace, Node, Set, Token};
pub use errors::{DataDirFault, Error, StartError, Stopped};
pub use flags::Flags;
pub use lease::Lease;
pub use receipt::{Version, Waiting};
pub use session::{InSession, SESSION_WAIT};
pub use watch::{Change, Indexes, Watch, What};

pub use tidings_proto::aggregation::message::Extreme;
pub use tidings_proto::aggregation::tally::Outcome;
pub use tidings_proto::base::clocks::{Dot, Hlc, Run};
pub use tidings_proto::base::context::Context;
pub use tidings_proto::base::flag::{FlagChange, FlagRefused, Share, ValueType};
pub use tidings_proto::base::operation::{Kind, Operation};
pub use tidings_proto::base::policy::{Consistency, Policy, PolicyError, Values};
pub use tidings_proto::base::session::{NotASession, Session};
pub use tidings_proto::config::{ConfigError, SplitPolicy, Zones};
pub use tidings_proto::detection::coordinates::{Coordinate, RoundTrip};
pub use tidings_proto::io::{
    Alarm, Certificate, CommandError, Conflict, Cut, Event, Holder, JoinFailure, Lack, Member,
    MemberChange, Missing, Owning, Path, Receipt, Receipted, Stats, Status, UserEvent,
};
pub use tidings_proto::node::{Contact, EntryView, Evidence, FlagView, Level, Paced};
pub use tidings_proto::state::crdt::Merged;
pub use tidings_proto::{Config, NodeId, View};
