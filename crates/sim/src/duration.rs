//! Decides how a duration is written: `500ms`, `5s`, `1h30m`, `1.5s`, as in Go and Consul.

use std::time::Duration;

const UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];

/// Reads a duration; `None` where it is none.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, seconds) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        let part = Duration::try_from_secs_f64(number * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total)
}

/// Writes a duration in the largest unit that needs no fraction.
pub fn show(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1000),
    ];
    for (unit, size) in units {
        if nanos > 0 && nanos.is_multiple_of(size) {
            return format!("{}{unit}", nanos / size);
        }
    }
    if nanos == 0 { "0s".to_owned() } else { format!("{nanos}ns") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for ms in [0, 1, 250, 1000, 1500, 60_000, 90_000, 3_600_000, 72 * 3_600_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse(&show(duration)), Some(duration));
        }
    }

    #[test]
    fn go_forms_are_read_and_others_are_not() {
        assert_eq!(parse("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse("120000ms"), Some(Duration::from_secs(120)));
        for bad in ["", "5", "s", "5 s", "-5s", "5parsecs", "1e3s", "99999999999999999999d"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
