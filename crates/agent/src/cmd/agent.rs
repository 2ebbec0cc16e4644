//! Decides that `agent` is the daemon in the foreground.

use crate::{Failure, args, daemon};

pub(crate) fn run(flags: &args::Agent) -> Result<(), Failure> {
    daemon::run(flags)
}
