//! Decides how `[network]` is read: delays by distribution and by distance, loss, duplication,
//! reordering, corruption, and what a stream carries.

use std::time::Duration;

use super::document::{Item, Refusal, Section, Value};
use super::value::{self, DURATION, POSITIVE, PROBABILITY};
use crate::network::{Conditions, Latency};
use crate::region::fibre_delay;

/// What may be changed while it runs, by `[[at]]` too.
pub const CONDITIONS: [&str; 7] = [
    "latency",
    "loss",
    "duplication",
    "reordering",
    "reordered_by",
    "corruption",
    "stream_bytes_per_second",
];

/// How far routes are longer than the great circle, and the mean of the jitter as a share of the
/// delay by distance.
const STRETCH_DEFAULT: f64 = 1.4;
const JITTER_DEFAULT: f64 = 0.02;
const REORDERED_BY_DEFAULT: Duration = Duration::from_millis(50);

/// Places, and how long the way between two of them takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub names: Vec<String>,
    /// One way, a row for each sender.
    ways: Vec<Duration>,
    jitter: f64,
}

impl Map {
    pub fn way(&self, from: usize, to: usize) -> Latency {
        let floor = self.ways[from * self.names.len() + to];
        match self.jitter > 0.0 {
            true => Latency::Exponential { floor, mean: floor.mul_f64(self.jitter) },
            false => Latency::Constant(floor),
        }
    }
}

/// The conditions under `section`, over `base`.
pub fn conditions(section: &Section<'_>, base: Conditions) -> Result<Conditions, Refusal> {
    let mut c = base;
    let p = |key| section.optional(key, PROBABILITY, value::probability);
    c.loss = p("loss")?.unwrap_or(c.loss);
    c.duplication = p("duplication")?.unwrap_or(c.duplication);
    c.corruption = p("corruption")?.unwrap_or(c.corruption);
    c.reordering = p("reordering")?.unwrap_or(c.reordering);
    let held_back = section.optional("reordered_by", DURATION, value::span)?;
    if let Some(by) = held_back {
        c.reordered_by = by;
    } else if c.reordering > 0.0 && c.reordered_by.is_zero() {
        c.reordered_by = REORDERED_BY_DEFAULT;
    }
    let rate = section.optional(
        "stream_bytes_per_second",
        "a whole number above 0",
        value::whole(1, u64::MAX),
    )?;
    c.stream_bytes_per_second = rate.unwrap_or(c.stream_bytes_per_second);
    const LATENCY: &str = "a duration such as \"1ms\", { uniform = [\"1ms\", \"5ms\"] } or \
                           { exponential = [\"1ms\", \"5ms\"] } (floor and mean beyond it)";
    c.latency = section.optional("latency", LATENCY, latency)?.unwrap_or(c.latency);
    Ok(c)
}

fn latency(value: &Value) -> Option<Latency> {
    if let Some(constant) = value::duration(value) {
        return Some(Latency::Constant(constant));
    }
    let Value::Table(entries) = value else { return None };
    let [only] = entries.as_slice() else { return None };
    let Value::List(ends) = &only.item.value else { return None };
    let [first, second] = ends.as_slice() else { return None };
    let (first, second) = (value::duration(&first.value)?, value::duration(&second.value)?);
    match only.key.as_str() {
        "uniform" if first <= second => Some(Latency::Uniform(first, second)),
        "exponential" => Some(Latency::Exponential { floor: first, mean: second }),
        _ => None,
    }
}

/// `[[network.region]]` with `at = [latitude, longitude]`, or pairs in `[network.one_way]`.
pub fn map(section: &Section<'_>) -> Result<Option<Map>, Refusal> {
    let places = section.tables("region", "network.region.", &super::REGION_KEYS)?;
    if places.is_empty() {
        if let Some(item) = section.item("one_way") {
            let what = "network.one_way: expected [[network.region]] tables beside it".to_owned();
            return Err(section.document.refuse(item.line, what));
        }
        return Ok(None);
    }
    let mut names: Vec<String> = Vec::new();
    let mut points = Vec::new();
    for place in &places {
        const NAME: &str = "a name that no other region has";
        let fresh = |v: &Value| value::text(v).filter(|n| !n.is_empty() && !names.contains(n));
        let name = place.required("name", NAME, fresh)?;
        names.push(name);
        const POINT: &str = "[latitude, longitude] in degrees, -90 to 90 and -180 to 180";
        points.push(place.optional("at", POINT, point)?);
    }
    let jitter = section.optional(
        "jitter",
        "0 or more: the mean of the jitter as a share of the delay by distance",
        value::not_negative,
    )?;
    let stretch = section.optional("stretch", POSITIVE, value::positive)?;
    let given = one_way(section, &names)?;
    let stretch = stretch.unwrap_or(STRETCH_DEFAULT);
    let count = names.len();
    let mut ways = vec![Duration::ZERO; count * count];
    for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))).filter(|(a, b)| a != b) {
        let pair = given.iter().find(|(x, y, _)| (*x, *y) == (a, b) || (*x, *y) == (b, a));
        ways[a * count + b] = match (pair, points[a], points[b]) {
            (Some((_, _, delay)), _, _) => *delay,
            (None, Some(from), Some(to)) => fibre_delay(from, to, stretch),
            _ => {
                let (from, to) = (&names[a], &names[b]);
                let what = format!(
                    "network.one_way has no \"{from} {to}\": expected a duration, or `at` in both regions"
                );
                return Err(section.document.refuse(section.line, what));
            }
        };
    }
    Ok(Some(Map { names, ways, jitter: jitter.unwrap_or(JITTER_DEFAULT) }))
}

fn point(value: &Value) -> Option<(f64, f64)> {
    let Value::List(items) = value else { return None };
    let [latitude, longitude] = items.as_slice() else { return None };
    let degrees = |item: &Item, most: f64| value::number(&item.value).filter(|n| n.abs() <= most);
    Some((degrees(latitude, 90.0)?, degrees(longitude, 180.0)?))
}

/// The pairs of `[network.one_way]`, as positions in `names`.
fn one_way(
    section: &Section<'_>,
    names: &[String],
) -> Result<Vec<(usize, usize, Duration)>, Refusal> {
    let Some(item) = section.item("one_way") else { return Ok(Vec::new()) };
    let Value::Table(entries) = &item.value else {
        return Err(section.refuse_value("one_way", item, "a table of \"from to\" = \"40ms\""));
    };
    let place = |name: &str| names.iter().position(|n| n == name);
    let mut pairs = Vec::new();
    for entry in entries {
        let both = entry.key.split_once(' ').and_then(|(a, b)| Some((place(a)?, place(b.trim())?)));
        let Some((a, b)) = both else {
            let (key, known) = (&entry.key, names.join(", "));
            let what = format!(
                "network.one_way: unknown key {key:?}: expected two regions of {known}, as in \"eu us\""
            );
            return Err(section.document.refuse(entry.line, what));
        };
        let Some(delay) = value::duration(&entry.item.value) else {
            let what = format!(
                "network.one_way.{:?} = {}: expected {DURATION}",
                entry.key, entry.item.value
            );
            return Err(section.document.refuse(entry.item.line, what));
        };
        pairs.push((a, b, delay));
    }
    Ok(pairs)
}
