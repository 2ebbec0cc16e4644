//! Decides that `leave` is done when the cluster has been told.

use super::block_on;
use crate::Failure;
use crate::client::Client;

pub(crate) fn run(agent: &Client) -> Result<(), Failure> {
    block_on(agent.put("/v1/agent/leave", "")).map(|_| ())
}
