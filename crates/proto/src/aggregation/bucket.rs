//! Decides which values count as alike: buckets of equal relative width (DDSketch: Masson, Rim and
//! Lee 2019), so that a quantile is within [`ACCURACY`] of a value that is there.

/// Relative.
pub const ACCURACY: f64 = 0.01;
/// Smaller magnitudes count as 0, larger ones as this.
const MAGNITUDE_MIN: f64 = 1e-9;
const MAGNITUDE_MAX: f64 = 1e15;
/// Buckets that travel together.
pub const BLOCK: i32 = 128;

fn log_gamma() -> f64 {
    libm::log((1.0 + ACCURACY) / (1.0 - ACCURACY))
}

/// The number of the bucket at [`MAGNITUDE_MIN`], made positive: 0 is the bucket of 0.
fn lowest() -> i32 {
    libm::ceil(libm::log(MAGNITUDE_MIN) / log_gamma()) as i32
}

/// Buckets are numbered in the order of values.
pub fn bucket_of(value: f64) -> i32 {
    let magnitude = libm::fabs(value).min(MAGNITUDE_MAX);
    if magnitude < MAGNITUDE_MIN {
        return 0;
    }
    let number = libm::ceil(libm::log(magnitude) / log_gamma()) as i32 - lowest() + 1;
    if value < 0.0 { -number } else { number }
}

/// The value in the middle of a bucket, in relative terms.
pub fn value_of(bucket: i32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let upper = libm::exp(f64::from(bucket.abs() - 1 + lowest()) * log_gamma());
    let middle = upper * (1.0 - ACCURACY);
    if bucket < 0 { -middle } else { middle }
}

/// Blocks that there are, and no others.
pub fn blocks() -> std::ops::RangeInclusive<i32> {
    let last = bucket_of(MAGNITUDE_MAX).div_euclid(BLOCK);
    -last - 1..=last
}

/// The block of a bucket, and its place there.
pub fn place(bucket: i32) -> (i32, usize) {
    (bucket.div_euclid(BLOCK), bucket.rem_euclid(BLOCK) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_as_wide_as_promised_and_in_order() {
        let mut last = i32::MIN;
        let values = (-1100..=1100).map(|i: i32| {
            let magnitude = libm::exp2(f64::from(i.abs() - 550) / 12.0);
            if i < 0 { -magnitude } else { magnitude }
        });
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        for value in values {
            let bucket = bucket_of(value);
            assert!(bucket >= last, "{value}");
            last = bucket;
            let (block, at) = place(bucket);
            assert_eq!(block * BLOCK + at as i32, bucket);
            assert!(blocks().contains(&block));
            if (MAGNITUDE_MIN..MAGNITUDE_MAX).contains(&value.abs()) {
                let off = (value_of(bucket) / value - 1.0).abs();
                assert!(off <= ACCURACY * 1.0001, "{value}: {off}");
            }
        }
        assert_eq!(bucket_of(1e300), bucket_of(1e15));
        assert_eq!((bucket_of(0.0), bucket_of(1e-12)), (0, 0));
    }
}
