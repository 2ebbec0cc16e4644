//! Decides which values a key takes: durations with a unit, probabilities from 0 to 1, whole
//! numbers within bounds. Each reader answers `None` for anything else.

use std::time::Duration;

use super::document::Value;
use crate::duration as written;

pub const DURATION: &str = "a duration such as 500ms or 5s, in quotes";
pub const PROBABILITY: &str = "a probability from 0 to 1";
pub const POSITIVE: &str = "a number above 0";

pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

pub fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(*flag),
        _ => None,
    }
}

/// Durations are text with a unit: a bare number would leave open of what.
pub fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::Text(text) => written::parse(text),
        _ => None,
    }
}

/// As [`duration`], above zero.
pub fn span(value: &Value) -> Option<Duration> {
    duration(value).filter(|d| !d.is_zero())
}

/// A duration with an optional minus, in milliseconds.
pub fn signed_ms(value: &Value) -> Option<i64> {
    let Value::Text(text) = value else { return None };
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    i64::try_from(written::parse(rest)?.as_millis()).ok().map(|ms| sign * ms)
}

pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Whole(n) => Some(*n as f64),
        Value::Number(n) if n.is_finite() => Some(*n),
        _ => None,
    }
}

pub fn positive(value: &Value) -> Option<f64> {
    number(value).filter(|n| *n > 0.0)
}

pub fn not_negative(value: &Value) -> Option<f64> {
    number(value).filter(|n| *n >= 0.0)
}

pub fn probability(value: &Value) -> Option<f64> {
    number(value).filter(|p| (0.0..=1.0).contains(p))
}

pub fn whole(min: u64, max: u64) -> impl Fn(&Value) -> Option<u64> {
    move |value| match value {
        Value::Whole(n) => u64::try_from(*n).ok().filter(|n| (min..=max).contains(n)),
        _ => None,
    }
}

/// Any value as a setting would be written: text without quotes.
pub fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Whole(_) | Value::Number(_) | Value::Flag(_) => Some(value.to_string()),
        Value::List(_) | Value::Table(_) | Value::Other(_) => None,
    }
}

/// As JSON has it; what it has no form for is text.
pub fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Whole(n) => (*n).into(),
        Value::Number(n) => (*n).into(),
        Value::Flag(flag) => (*flag).into(),
        other => shown(other).into(),
    }
}

/// Any value on one line, for tables: lists and tables in full.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(entries) => {
            let pair = |e: &super::document::Entry| format!("{} = {}", e.key, shown(&e.item.value));
            let pairs: Vec<String> = entries.iter().map(pair).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_wrong_kind_or_unit_is_none() {
        let text = |t: &str| Value::Text(t.to_owned());
        assert_eq!(duration(&text("1.5s")), Some(Duration::from_millis(1500)));
        assert_eq!(duration(&Value::Whole(5)), None);
        assert_eq!(span(&text("0s")), None);
        assert_eq!(signed_ms(&text("-10m")), Some(-600_000));
        assert_eq!(probability(&Value::Number(1.5)), None);
        assert_eq!(probability(&Value::Whole(1)), Some(1.0));
        assert_eq!(number(&Value::Number(f64::NAN)), None);
        assert_eq!(whole(1, 3)(&Value::Whole(-1)), None);
    }
}
