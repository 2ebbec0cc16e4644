//! Decides which part of the numbers an axis shows, where its ticks stand, and how they read.

use super::number;

/// An axis of a chart: the values at its ends, and its ticks from low to high.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
    pub(crate) ticks: Vec<Tick>,
}

#[derive(Clone, Debug)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// How the ends of an axis are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Where the data end: for what runs along an axis.
    Data,
    /// At ticks, and at 0 where the data come near it: for heights.
    Ticks,
    /// As `Ticks`, always with 0: for bars.
    Zero,
}

impl Scale {
    /// For values of size 1e300 at most, and at least 1e-300 where the axis is logarithmic.
    /// Without values the axis shows 0 to 1, or 1 to 10.
    pub(crate) fn of(values: &[f64], logarithmic: bool, ends: Ends, ticks: usize) -> Scale {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Counts have no ticks at halves.
        let whole = values.iter().all(|v| v.fract() == 0.0);
        match (logarithmic, low <= high) {
            (true, true) => logarithmic_scale(low, high, ends, ticks),
            (true, false) => logarithmic_scale(1.0, 10.0, ends, ticks),
            (false, true) => linear_scale(low, high, whole, ends, ticks),
            (false, false) => linear_scale(0.0, 1.0, false, ends, ticks),
        }
    }

    /// Named places at 0, 1, 2 and so on.
    pub(crate) fn named(names: &[String]) -> Scale {
        let tick = |(at, name): (usize, &String)| Tick { value: at as f64, label: name.clone() };
        let ticks = names.iter().enumerate().map(tick).collect();
        let high = (names.len() as f64 - 1.0).max(0.5);
        Scale { low: 0.0, high, logarithmic: false, ticks }
    }

    /// Where a value stands: 0 at the low end, 1 at the high one. `None` for what has no place.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.logarithmic {
            true => libm::log(value / self.low) / libm::log(self.high / self.low),
            false => (value - self.low) / (self.high - self.low),
        };
        place.is_finite().then_some(place)
    }

    /// Where bars begin: at 0, or at the end of the axis that is nearest to it.
    pub(crate) fn ground(&self) -> f64 {
        if self.logarithmic { self.low } else { 0.0_f64.clamp(self.low, self.high) }
    }
}

fn linear_scale(mut low: f64, mut high: f64, whole: bool, ends: Ends, ticks: usize) -> Scale {
    let alone = high - low <= low.abs().max(high.abs()) * 1e-9;
    let near_zero = low >= 0.0 && (low <= 0.5 * high || alone);
    if ends == Ends::Zero || (ends == Ends::Ticks && near_zero) {
        (low, high) = (low.min(0.0), high.max(0.0) * if alone { 1.2 } else { 1.0 });
    } else if alone {
        (low, high) = (low - low.abs() / 2.0, high + high.abs() / 2.0);
    }
    if low == high {
        high = 1.0; // both are 0
    }
    let step = round_step((high - low) / ticks as f64).max(if whole { 1.0 } else { 0.0 });
    if ends != Ends::Data {
        low = (low / step).floor() * step;
        high = (high / step - 1e-9).ceil() * step;
    }
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let decimals = (-number::magnitude(step)).max(0) as usize;
    let large = step < 1e-4 || low.abs().max(high.abs()) >= 1e6;
    let tick = |at: usize| {
        let value = (first + at as f64) * step;
        let label = match large {
            true if value == 0.0 => "0".to_owned(),
            true => number::scientific(value),
            false => number::fixed(value, decimals),
        };
        Tick { value, label }
    };
    let count = (last - first).clamp(0.0, 100.0) as usize;
    Scale { low, high, logarithmic: false, ticks: (0..=count).map(tick).collect() }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let unit = power_of_ten(number::magnitude(least));
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * unit >= least * (1.0 - 1e-9));
    let step = factor.unwrap_or(10.0) * unit;
    if step > 0.0 { step } else { f64::MIN_POSITIVE }
}

/// Read from text: a product of tenths would not be `0.001` to the last bit.
fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().unwrap_or(f64::MIN_POSITIVE)
}

fn logarithmic_scale(low: f64, high: f64, ends: Ends, ticks: usize) -> Scale {
    let (mut low, mut high) = (low, high);
    if ends != Ends::Data || low == high {
        (low, high) = (round_down(low), round_up(high));
    }
    if low == high {
        (low, high) = (low / 10.0, high * 10.0);
    }
    let (first, last) = (number::magnitude(low), number::magnitude(high));
    let decades = (last - first + 1) as usize;
    let every = decades.div_ceil(ticks).max(1) as i32;
    let factors: &[f64] = match high / low {
        ratio if ratio > 500.0 => &[1.0],
        ratio if ratio > 20.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0, 2.0, 3.0, 5.0, 7.0],
    };
    let values = (first..=last)
        .filter(|power| power % every == 0)
        .flat_map(|power| factors.iter().map(move |f| f * power_of_ten(power)))
        .filter(|value| *value >= low * (1.0 - 1e-9) && *value <= high * (1.0 + 1e-9));
    let plain = low >= 0.001 && high <= 100_000.0;
    let label = |value| if plain { number::show(value) } else { number::scientific(value) };
    let ticks = values.map(|value| Tick { value, label: label(value) }).collect();
    Scale { low, high, logarithmic: true, ticks }
}

fn round_down(value: f64) -> f64 {
    let unit = power_of_ten(number::magnitude(value));
    let factor = [5.0, 2.0].into_iter().find(|f| f * unit <= value * (1.0 + 1e-9));
    factor.unwrap_or(1.0) * unit
}

fn round_up(value: f64) -> f64 {
    let unit = power_of_ten(number::magnitude(value));
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * unit >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], logarithmic: bool, ends: Ends) -> String {
        let scale = Scale::of(values, logarithmic, ends, 6);
        let labels: Vec<&str> = scale.ticks.iter().map(|t| t.label.as_str()).collect();
        labels.join(" ")
    }

    #[test]
    fn linear_ticks_are_round() {
        let table = [
            (vec![0.0, 18.0], "0 5 10 15 20"),
            (vec![3.0, 18.0], "0 5 10 15 20"),
            (vec![95.0, 100.0], "95 96 97 98 99 100"),
            (vec![0.1, 0.45], "0.0 0.1 0.2 0.3 0.4 0.5"),
            (vec![-3.0, 2.0], "−3 −2 −1 0 1 2"),
            (vec![0.0, 5e6], "0 10⁶ 2×10⁶ 3×10⁶ 4×10⁶ 5×10⁶"),
            (vec![2e-9, 8e-9], "0 2×10⁻⁹ 4×10⁻⁹ 6×10⁻⁹ 8×10⁻⁹"),
            (vec![7.0], "0 2 4 6 8 10"),
            (vec![2.0; 3], "0 1 2 3"),
            (vec![0.0], "0 1"),
            (vec![], "0.0 0.2 0.4 0.6 0.8 1.0"),
        ];
        for (values, expected) in table {
            assert_eq!(labels(&values, false, Ends::Ticks), expected, "{values:?}");
        }
        assert_eq!(labels(&[50.0, 60.0], false, Ends::Zero), "0 10 20 30 40 50 60");
        assert_eq!(labels(&[1.0, 9.0], false, Ends::Data), "2 4 6 8");
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten_or_few_between() {
        let table = [
            (vec![100.0, 100_000.0], "100 1,000 10,000 100,000"),
            (vec![1e3, 1e8], "10³ 10⁴ 10⁵ 10⁶ 10⁷ 10⁸"),
            (vec![1e-12, 1.0], "10⁻¹² 10⁻⁹ 10⁻⁶ 10⁻³ 10⁰"),
            (vec![1.0, 30.0], "1 2 5 10 20 50"),
            (vec![3.0], "2 3 5"),
            (vec![], "1 2 3 5 7 10"),
        ];
        for (values, expected) in table {
            assert_eq!(labels(&values, true, Ends::Ticks), expected, "{values:?}");
        }
    }

    #[test]
    fn places_run_from_end_to_end_also_at_the_edge_of_numbers() {
        for values in [vec![1e-300, 1e-299], vec![-1e300, 1e300], vec![1.0, 2.0]] {
            let scale = Scale::of(&values, false, Ends::Data, 6);
            assert_eq!(scale.place(values[0]), Some(0.0));
            assert_eq!(scale.place(values[1]), Some(1.0));
        }
        let scale = Scale::of(&[1.0, 100.0], true, Ends::Data, 6);
        let middle = scale.place(10.0).unwrap();
        assert!((middle - 0.5).abs() < 1e-12);
        assert_eq!((scale.place(0.0), scale.place(-1.0)), (None, None));
        assert!(!Scale::of(&[1e300, 1e-300], true, Ends::Ticks, 6).ticks.is_empty());
    }
}
