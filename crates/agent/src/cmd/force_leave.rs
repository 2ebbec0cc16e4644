//! Decides how a failed member is declared left by an operator.

use super::block_on;
use crate::client::{Client, segment};
use crate::{Failure, args};

pub(crate) fn run(agent: &Client, flags: &args::ForceLeave) -> Result<(), Failure> {
    let prune = if flags.prune { "?prune" } else { "" };
    let path = format!("/v1/agent/force-leave/{}{prune}", segment(&flags.name));
    block_on(agent.put(&path, "")).map(|_| ())
}
