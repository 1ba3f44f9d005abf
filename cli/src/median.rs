//! The median of samples.

/// The median. For an even number of samples, the larger of the two middle ones; NaN for no samples.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
