//! Decides how numbers are written for people: four digits that matter, thousands apart, powers of
//! ten beyond what is read at a glance.

/// A value with four significant digits: `0.00317`, `18.04`, `12,346`, `1.235×10⁶`, `5.8×10⁻⁶`.
pub fn show(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return if value.is_nan() { "none".to_owned() } else { signed("∞", value < 0.0) };
    }
    if !(1e-4..1e6).contains(&size) {
        return scientific(value);
    }
    let decimals = (3 - magnitude(value)).max(0) as usize;
    without_zeros(&fixed(value, decimals))
}

/// As [`show`], with three significant digits.
pub fn brief(value: f64) -> String {
    show(format!("{value:.2e}").parse().unwrap_or(value))
}

/// A value with its standard error, both with as many decimals as the two first digits of the
/// error need: `18.041 ± 0.093`. An error of 0 is an exact value.
pub fn with_error(value: f64, error: f64) -> String {
    if error <= 0.0 || !error.is_finite() || !value.is_finite() {
        return show(value);
    }
    if !(1e-4..1e6).contains(&value.abs()) && value != 0.0 {
        return format!("{} ± {}", scientific(value), scientific(error));
    }
    let decimals = (1 - magnitude(error)).clamp(0, 7) as usize;
    format!("{} ± {}", fixed(value, decimals), fixed(error, decimals))
}

/// A value with this many decimals, thousands apart: `1,234.50`.
pub fn fixed(value: f64, decimals: usize) -> String {
    let digits = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if decimals > 0 {
        text = format!("{text}.{fraction}");
    }
    let zero = digits.bytes().all(|b| b == b'0' || b == b'.');
    signed(&text, value < 0.0 && !zero)
}

/// `10³`, `2×10⁻⁸`: up to four significant digits and a power of ten.
pub fn scientific(value: f64) -> String {
    let text = format!("{:.3e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let power: String = exponent.chars().map(superscript).collect();
    let text = match without_zeros(mantissa).as_str() {
        "1" => format!("10{power}"),
        mantissa => format!("{mantissa}×10{power}"),
    };
    signed(&text, value < 0.0)
}

/// The power of ten of the first digit: 2 for 314, -3 for 0.0051.
pub fn magnitude(value: f64) -> i32 {
    let text = format!("{:e}", value.abs());
    text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0)
}

fn without_zeros(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

fn signed(text: &str, negative: bool) -> String {
    if negative { format!("−{text}") } else { text.to_owned() }
}

fn superscript(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' | '4'..='9' => char::from_u32('⁰' as u32 + c as u32 - '0' as u32).unwrap_or(c),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_at_any_size() {
        let table = [
            (0.0, "0"),
            (-0.0, "0"),
            (18.0412, "18.04"),
            (0.003_17, "0.00317"),
            (0.1, "0.1"),
            (1.0, "1"),
            (9.999_96, "10"),
            (12_345.6, "12,346"),
            (999_999.0, "999,999"),
            (1_234_567.0, "1.235×10⁶"),
            (1e300, "10³⁰⁰"),
            (5.8e-6, "5.8×10⁻⁶"),
            (-1234.5, "−1,234"),
            (f64::INFINITY, "∞"),
            (f64::NAN, "none"),
        ];
        for (value, text) in table {
            assert_eq!(show(value), text, "{value}");
        }
        assert_eq!(with_error(18.0412, 0.0931), "18.041 ± 0.093");
        assert_eq!(with_error(1234.5, 17.3), "1,234 ± 17");
        assert_eq!(with_error(3.1e-6, 4e-7), "3.1×10⁻⁶ ± 4×10⁻⁷");
        assert_eq!(
            (with_error(0.0, 0.01), with_error(5.0, 0.0)),
            ("0.000 ± 0.010".into(), "5".into())
        );
        assert_eq!(fixed(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(fixed(-0.04, 1), "0.0");
        assert_eq!((magnitude(314.0), magnitude(0.0051), magnitude(1000.0)), (2, -3, 3));
    }
}
