//! Decides how an event is sent from the command line.

use std::os::unix::ffi::OsStrExt;

use super::{block_on, read_stdin};
use crate::client::{Client, segment};
use crate::{Failure, args};

pub(crate) fn run(agent: &Client, flags: &args::Event) -> Result<(), Failure> {
    if flags.name.is_empty() {
        return Err(Failure::Misuse("NAME \"\": expected the name of an event".to_owned()));
    }
    let payload = match flags.payload.as_bytes() {
        b"-" => read_stdin()?,
        bytes => bytes.to_vec(),
    };
    block_on(agent.put(&format!("/v1/event/fire/{}", segment(&flags.name)), payload)).map(|_| ())
}
