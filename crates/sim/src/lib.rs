//! A virtual network over unmodified protocol cores. This page is the map; it decides nothing
//! but what is public.
//!
//! A [`World`] holds hosts (an address, a clock, a disk, at most one process each), a network
//! between them and one queue of what happens next. Equal seeds and equal calls give equal
//! traces, byte for byte: there is no thread, no system clock and no unordered map in here.
//!
//! | module | decides |
//! |---|---|
//! | [`world`] | what happens next, and what a node's output causes |
//! | `control` | how a test acts on a world and reads it |
//! | [`network`] | which packet arrives, when, and how often |
//! | [`region`] | what distance adds to a packet's way |
//! | [`wall`] | which packets a split, cut or block stops |
//! | [`dialect`] | what packets of other versions look like |
//! | [`disk`] | what survives a crash |
//! | [`clock`] | what a process believes the time is |
//! | [`fault`] | crashes, restarts, pauses, slow nodes |
//! | [`observe`] | what is remembered of events and traffic |
//! | [`trace`] | the hash (and text) of everything that happened |
//! | [`check`] | the rules of DESIGN part 7, one a file |
//! | [`setup`] | how tests set worlds up and measure them |
//! | [`choice`] | how all schedules of a small scenario are enumerated |
//! | [`script`] | scenarios as text with their expected trace |
//! | [`swarm`] | random scenarios from a seed |
//! | [`scenario`] | what a scenario file says, and how it runs |
//! | [`epidemic`] | the bare epidemic, without packets, for 10^3 to 10^8 nodes |
//! | [`paper`] | which published tables are reproduced, and their bars |
//! | [`question`] | the experiments that answer the articles' questions |
//! | [`reconcile`] | two replicas that differ, and what it costs to make them equal |
//! | [`plan`] | what is promised of an update before it is sent |
//! | [`report`] | how results are drawn |
//! | [`work`] | how independent runs share the cores |
//! | [`setting`] | how the settings of the protocol are written |
//! | [`duration`] | how durations are written |
//! | [`statistics`] | how a sample of runs is summed up |

pub mod check;
pub mod choice;
pub mod clock;
mod control;
pub mod dialect;
pub mod disk;
pub mod duration;
pub mod epidemic;
pub mod fault;
mod host;
pub mod network;
pub mod observe;
pub mod paper;
pub mod plan;
pub mod question;
mod queue;
pub mod reconcile;
pub mod region;
pub mod report;
pub mod scenario;
pub mod script;
pub mod setting;
pub mod setup;
pub mod statistics;
mod stream;
pub mod swarm;
mod tap;
pub mod trace;
pub mod wall;
pub mod work;
pub mod world;

pub use host::{Spent, Traffic};
pub use network::{Conditions, Latency};
pub use observe::Topic;
pub use world::{Record, World, WorldConfig};
