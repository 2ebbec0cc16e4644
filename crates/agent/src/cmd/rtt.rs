//! Decides how `rtt` tells the round trip between two members.

use serde::Deserialize;

use super::{block_on, plain, print_json, print_line, read_json};
use crate::Failure;
use crate::args;
use crate::client::{Client, segment};

#[derive(Deserialize)]
struct Rtt {
    from: String,
    to: String,
    estimate_ms: f64,
    measured_ms: Option<f64>,
    error: f64,
}

pub(crate) fn run(agent: &Client, flags: &args::Rtt) -> Result<(), Failure> {
    let mut path = format!("/v1/tidings/rtt/{}", segment(&flags.a));
    if let Some(b) = &flags.b {
        path = format!("{path}/{}", segment(b));
    }
    let json = block_on(agent.get(&path))?;
    if flags.json {
        return print_json(&json);
    }
    let rtt: Rtt = read_json(&json)?;
    let (from, to) = (plain(&rtt.from), plain(&rtt.to));
    let measured = rtt.measured_ms.map_or(String::new(), |ms| format!(", measured {ms:.1} ms"));
    print_line(&format!(
        "{from} to {to}: estimated {:.1} ms (error {:.0} %){measured}",
        rtt.estimate_ms,
        rtt.error * 100.0
    ))
}
