//! Decides how a sample of runs is summed up: mean with its standard error, deviation, quantiles.

/// A sample in numbers. Units are those of the sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub runs: usize,
    pub mean: f64,
    /// Standard deviation of one run.
    pub sd: f64,
    /// Standard error of the mean: `sd / sqrt(runs)`.
    pub se: f64,
    pub min: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Summary {
    /// Sorts the sample; it must not be empty.
    pub fn of(sample: &mut [f64]) -> Summary {
        assert!(!sample.is_empty(), "a summary needs a sample");
        sample.sort_by(f64::total_cmp);
        let (mean, sd) = (mean(sample), deviation(sample));
        Summary {
            runs: sample.len(),
            mean,
            sd,
            se: sd / (sample.len() as f64).sqrt(),
            min: sample[0],
            p50: quantile(sample, 0.5),
            p99: quantile(sample, 0.99),
            p999: quantile(sample, 0.999),
            max: sample[sample.len() - 1],
        }
    }
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Standard deviation with Bessel's correction; 0 for fewer than two values.
pub fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The smallest value that at least this share of all values does not exceed.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, share)
}

/// As [`percentile`], of ascending values.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64 - 1e-9).max(0.0) as usize;
    sorted[rank.min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_one_to_a_hundred() {
        let mut sample: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let s = Summary::of(&mut sample);
        assert_eq!((s.mean, s.min, s.p50, s.p99, s.max), (50.5, 1.0, 50.0, 99.0, 100.0));
        assert!((s.sd - 29.011).abs() < 1e-3 && (s.se - 2.9011).abs() < 1e-4);
    }
}
