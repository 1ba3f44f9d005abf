//! Ratios of paired measurements with confidence intervals.
//!
//! Two programs are measured in *launches*: both programs start, take turns, and end. The turns of one launch share the
//! addresses of their processes' memory, so they are not independent. Launches are independent. Each launch therefore
//! gives one number, the logarithm of a ratio, and intervals come from resampling launches (a cluster bootstrap).
//!
//! The estimate is the mean of the middle launches, without a fifth of them at each end. An interruption then changes
//! one launch, not the estimate. The interval is the estimate ± Student's t · the bootstrap's standard error (Efron and
//! Tibshirani, *An Introduction to the Bootstrap*, chapter 12). Percentiles of the resampled estimates would be too
//! narrow here: there are only a dozen launches, and with many cases the error allowed for each is small.

use crate::tensors::Random;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// How many times the launches are resampled.
const RESAMPLES: usize = 2000;

/// The share of the launches that is left out at each end.
const TRIMMED: f64 = 0.2;

/// A smaller difference than this is never called slower or faster. Moving a function to another address changes as
/// much.
pub(crate) const SMALLEST_EFFECT: f64 = 0.01;

/// One turn of one program: its fastest and its median call, in seconds or any other unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) min: f64,
    pub(crate) median: f64,
}

/// The turns of a launch. Each pair has the turn of the base, then that of the new program.
pub(crate) type Launch = Vec<[Turn; 2]>;

/// A ratio, new divided by base, and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The conclusion from the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    Slower,
    Faster,
    Unknown,
}

/// A case's two ratios.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    /// The ratio of the fastest calls.
    pub(crate) min: Ratio,
    /// The ratio of the median calls of paired turns.
    pub(crate) median: Ratio,
}

impl Comparison {
    /// Compares at an error of `alpha`, which is divided evenly among `cases`. `None` for fewer than three launches.
    pub(crate) fn new(launches: &[Launch], alpha: f64, cases: usize) -> Option<Comparison> {
        let alpha = alpha / cases.max(1) as f64;
        let by = |value: fn(&Launch) -> f64| interval(&launches.iter().map(value).collect::<Vec<_>>(), alpha);
        Some(Comparison { min: by(of_minima)?, median: by(of_medians)? })
    }

    /// Slower or faster only if both ratios say so.
    pub(crate) fn verdict(&self) -> Verdict {
        let both = |test: fn(&Ratio) -> bool| test(&self.min) && test(&self.median);
        if both(|r| r.low > 1.0 && r.ratio > 1.0 + SMALLEST_EFFECT) {
            Verdict::Slower
        } else if both(|r| r.high < 1.0 && r.ratio < 1.0 / (1.0 + SMALLEST_EFFECT)) {
            Verdict::Faster
        } else {
            Verdict::Unknown
        }
    }
}

/// Compares the base with itself, its odd turns with its even ones. Returns the half width of the ratio's interval at
/// an error of `alpha`, as a relative difference. It is the noise of the machine from turn to turn. Two processes
/// differ by more.
pub(crate) fn own_spread(launches: &[Launch], alpha: f64) -> Option<f64> {
    let own = |launch: &Launch| {
        let pairs = launch.chunks_exact(2).map(|pair| [pair[0][0], pair[1][0]]);
        of_medians(&pairs.collect())
    };
    let ratio = interval(&launches.iter().map(own).collect::<Vec<_>>(), alpha)?;
    Some((ratio.high / ratio.low).sqrt() - 1.0)
}

fn of_minima(launch: &Launch) -> f64 {
    let min = |side: usize| launch.iter().map(|turn| turn[side].min).fold(f64::INFINITY, f64::min);
    (min(1) / min(0)).ln()
}

fn of_medians(launch: &Launch) -> f64 {
    middle(launch.iter().map(|[base, new]| (new.median / base.median).ln()).collect())
}

/// The median. For an even number of values, the mean of the two middle ones.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// How many of `n` values are left out at each end.
fn trimmed(n: usize) -> usize {
    (n as f64 * TRIMMED) as usize
}

/// The mean without the values that are left out at each end.
fn trimmed_mean(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let cut = trimmed(values.len());
    let kept = &values[cut..values.len() - cut];
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// The interval for logarithms of ratios, at an error of `alpha`. `None` for fewer than three, or if one is not finite.
fn interval(logs: &[f64], alpha: f64) -> Option<Ratio> {
    if logs.len() < 3 || !logs.iter().all(|x| x.is_finite()) {
        return None;
    }
    let estimate = trimmed_mean(&mut logs.to_vec());
    // A fixed seed: the same data give the same interval.
    let mut random = Random::new(1);
    let mut sample = vec![0.0; logs.len()];
    let estimates: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            sample.fill_with(|| logs[random.below(logs.len())]);
            trimmed_mean(&mut sample)
        })
        .collect();
    let mean = estimates.iter().sum::<f64>() / RESAMPLES as f64;
    let variance = estimates.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (RESAMPLES - 1) as f64;
    // The variance of a resample of n values is (n - 1)/n of that of n new values.
    let n = logs.len() as f64;
    let error = (variance * n / (n - 1.0)).sqrt();
    // The degrees of freedom are those of the remaining values (Tukey and McLaughlin, 1963).
    let freedom = n - 2.0 * trimmed(logs.len()) as f64 - 1.0;
    let t = StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(1.0 - alpha / 2.0);
    let [ratio, low, high] = [estimate, estimate - t * error, estimate + t * error].map(f64::exp);
    Some(Ratio { ratio, low, high })
}

#[cfg(test)]
mod tests;
