//! Decides how `why` tells what is known about a member.

use serde::Deserialize;

use super::{block_on, plain, print_json, print_line, read_json};
use crate::Failure;
use crate::args;
use crate::client::{Client, segment};

#[derive(Deserialize)]
pub(super) struct Why {
    name: String,
    status: String,
    confirmed: bool,
    id: String,
    addr: String,
    incarnation: u64,
    rtt_ms: Option<f64>,
    suspicion: Option<Suspicion>,
    evidence: Option<Evidence>,
}

/// The level of a detector that has one.
#[derive(Deserialize)]
struct Suspicion {
    detector: String,
    level: f64,
    threshold: f64,
    silent_ms: f64,
}

#[derive(Deserialize)]
struct Evidence {
    outcome: String,
    incarnation: u64,
    accusers: Vec<Accuser>,
    silent_before_ms: Option<f64>,
    decided_after_ms: Option<f64>,
}

#[derive(Deserialize)]
struct Accuser {
    name: String,
    how: String,
}

pub(crate) fn run(agent: &Client, flags: &args::Why) -> Result<(), Failure> {
    let json = block_on(agent.get(&format!("/v1/tidings/why/{}", segment(&flags.node))))?;
    if flags.json {
        return print_json(&json);
    }
    print_line(&tell(&read_json(&json)?))
}

pub(super) fn tell(why: &Why) -> String {
    let doubt = if why.confirmed || why.status != "failed" { "" } else { " (unconfirmed)" };
    let mut lines = vec![format!(
        "{} is {}{doubt}: id {}, {}, incarnation {}",
        plain(&why.name),
        why.status,
        why.id,
        why.addr,
        why.incarnation
    )];
    if let Some(rtt) = why.rtt_ms {
        lines.push(format!("round trip {rtt:.1} ms"));
    }
    if let Some(s) = &why.suspicion {
        lines.push(format!(
            "{} level {:.2} of {}, silent for {:.0} ms",
            s.detector, s.level, s.threshold, s.silent_ms
        ));
    }
    let Some(evidence) = &why.evidence else {
        lines.push("no accusation is known here".to_owned());
        return lines.join("\n");
    };
    let accusers: Vec<String> =
        evidence.accusers.iter().map(|a| format!("{} ({})", plain(&a.name), a.how)).collect();
    lines.push(format!(
        "accused at incarnation {} by {}",
        evidence.incarnation,
        if accusers.is_empty() { "others".to_owned() } else { accusers.join(", ") }
    ));
    if let Some(silent) = evidence.silent_before_ms {
        lines.push(format!("last heard {silent:.0} ms before the first accusation"));
    }
    lines.push(match evidence.decided_after_ms {
        Some(after) => format!("{} {after:.0} ms after the first accusation", evidence.outcome),
        None => format!("outcome: {}", evidence.outcome),
    });
    lines.join("\n")
}
