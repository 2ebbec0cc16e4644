//! Decides when `join` has worked: after one full exchange with any of the addresses.

use super::{block_on, print_line};
use crate::client::{Client, segment};
use crate::{Failure, args, config};

pub(crate) fn run(agent: &Client, flags: &args::Join) -> Result<(), Failure> {
    for addr in &flags.addrs {
        if config::contact(addr).is_none() {
            let text = format!("address {addr:?}: expected HOST:PORT such as 10.0.0.7:7946");
            return Err(Failure::Misuse(text));
        }
    }
    let mut joined = Vec::new();
    let mut failure = None;
    for addr in &flags.addrs {
        match block_on(agent.put(&format!("/v1/agent/join/{}", segment(addr)), "")) {
            Ok(_) => joined.push(addr.as_str()),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(failure) if joined.is_empty() => Err(failure),
        _ => print_line(&format!("joined through {}", joined.join(", "))),
    }
}
