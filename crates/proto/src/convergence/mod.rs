//! Decides when many members have come to the same: who has applied a write, who holds the same
//! state, and how long that took.
//!
//! | file | decides |
//! |---|---|
//! | `message` | the bytes of a question to a member and of its answer |
//! | `survey` | who is asked, who has said enough, who is missing |
//! | `receipt` | how many members a receipt needs, how long it waits, at what pace it asks |
//! | `owed` | what a member owes those who asked before it could say yes |
//! | `delay` | what is kept of how news came here |
//! | `held` | how many members hold which state |
//! | `quiet` | how likely it is, after a quiet spell, that all have everything |
//! | `certificate` | what may be claimed when everybody has said yes |

pub mod certificate;
pub mod delay;
pub mod held;
pub mod message;
pub mod owed;
pub mod quiet;
pub mod receipt;
pub mod survey;
