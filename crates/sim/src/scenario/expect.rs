//! Decides what a run must show for its scenario to pass: each line of `[expect]` is a bound that
//! what was found meets or misses.

use std::time::Duration;

use super::document::{Refusal, Section};
use super::outcome::Summary;
use super::value::{self, DURATION};
use crate::duration;

/// One line of `[expect]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    pub line: usize,
    pub key: &'static str,
    pub bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    Within(Duration),
    AtMost(f64),
    Exactly(u64),
}

/// What became of one.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Judged {
    pub line: usize,
    pub expected: String,
    pub found: String,
    pub pass: bool,
}

pub(super) const KEYS: [&str; 12] = [
    "equal_within",
    "detected_by_one_within",
    "detected_by_all_within",
    "undetected",
    "convergence_p99",
    "convergence_max",
    "unreached",
    "false_deaths",
    "violations",
    "members_at_end",
    "bytes_per_node_second",
    "inbound_max_over_mean",
];

/// Reads `[expect]`.
pub fn read(top: &Section<'_>) -> Result<Vec<Expectation>, Refusal> {
    let Some(section) = top.table("expect", "expect.", &KEYS)? else { return Ok(Vec::new()) };
    let mut expectations = Vec::new();
    for entry in section.entries() {
        let key = KEYS.into_iter().find(|k| *k == entry.key).expect("only known keys are left");
        let bound = match key {
            "equal_within"
            | "detected_by_one_within"
            | "detected_by_all_within"
            | "convergence_p99"
            | "convergence_max" => {
                Bound::Within(section.required(key, DURATION, value::duration)?)
            }
            "members_at_end" => {
                Bound::Exactly(section.required(key, "0 or more", value::whole(0, u64::MAX))?)
            }
            _ => Bound::AtMost(section.required(key, "0 or more", value::not_negative)?),
        };
        expectations.push(Expectation { line: entry.line, key, bound });
    }
    Ok(expectations)
}

/// Holds what was found against what was expected, and against the rules that never break.
pub fn judge(expectations: &[Expectation], found: &Summary) -> Vec<Judged> {
    let mut judged: Vec<Judged> = expectations.iter().map(|e| e.judge(found)).collect();
    let violations = found.violations.len();
    if violations > 0 && !expectations.iter().any(|e| e.key == "violations") {
        let (expected, found) = ("no broken rule".to_owned(), found.violations[0].clone());
        judged.push(Judged { line: 0, expected, found, pass: false });
    }
    judged
}

impl Expectation {
    fn judge(&self, s: &Summary) -> Judged {
        // Of times: `None` where it did not happen; of counts: how many.
        let (value, what) = match self.key {
            "equal_within" => (s.equal_seconds, "not equal at the end"),
            "detected_by_one_within" => (s.detection.first_max, "not everything was detected"),
            "detected_by_all_within" => (s.detection.all_max, "not everything was detected by all"),
            "undetected" => (Some(s.detection.undetected as f64), ""),
            "convergence_p99" => (s.convergence.p99, "no update reached all"),
            "convergence_max" => (s.convergence.max, "no update reached all"),
            "unreached" => (Some(s.updates.unreached as f64), ""),
            "false_deaths" => (Some(s.false_deaths as f64), ""),
            "violations" => (Some(s.violations.len() as f64), ""),
            "bytes_per_node_second" => (Some(s.traffic.bytes_per_node_second), ""),
            "inbound_max_over_mean" => (s.traffic.inbound_max_over_mean, "nothing was received"),
            _ => {
                let (least, most) = s.alive_at_end;
                let Bound::Exactly(n) = self.bound else { unreachable!("the only exact bound") };
                let expected = format!("{} = {n}", self.key);
                let found =
                    if least == most { least.to_string() } else { format!("{least} to {most}") };
                let pass = least as u64 == n && most as u64 == n;
                return Judged { line: self.line, expected, found, pass };
            }
        };
        let (expected, found, pass) = match self.bound {
            Bound::Within(within) => (
                format!("{} = \"{}\"", self.key, duration::show(within)),
                value.map_or_else(|| what.to_owned(), |v| format!("{v:.3} s")),
                value.is_some_and(|v| v <= within.as_secs_f64()),
            ),
            Bound::AtMost(most) => (
                format!("{} = {most}", self.key),
                value.map_or_else(
                    || what.to_owned(),
                    |v| format!("{}", (v * 1000.0).round() / 1000.0),
                ),
                value.is_some_and(|v| v <= most),
            ),
            Bound::Exactly(_) => unreachable!("handled above"),
        };
        Judged { line: self.line, expected, found, pass }
    }
}
