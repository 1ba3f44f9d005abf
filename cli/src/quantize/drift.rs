//! The error of a narrow layer over a long sequence.

use crate::compare::relative;
use crate::tensors::Random;
use anyhow::{Context, Result};
use rnnpack::{Layer, Sequence, Stream};

/// The steps of the sequence, and of each call.
const STEPS: usize = 10_000;
const CHUNK: usize = 500;
/// The steps at the start and at the end whose errors are compared.
const END: usize = 1_000;

/// How far the Y of a narrow layer is from that of the layer before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drift {
    pub(super) largest: f64,
    /// The root of the mean square of the differences.
    pub(super) rms: f64,
    /// The largest magnitude of the layer before.
    pub(super) scale: f64,
    /// The RMS in the first steps.
    pub(super) first: f64,
    /// The RMS in the last steps.
    pub(super) last: f64,
}

/// Runs both layers on the same sequence, uniform in ±1, with the state carried from call to call.
pub(super) fn between(narrow: Layer, wide: Layer, seed: u64) -> Result<Drift> {
    let shape = wide.shape();
    let len = CHUNK.checked_mul(shape.output()).context("the layer's output is too large")?;
    let mut random = Random::new(seed);
    let mut streams = [Stream::new(narrow, 1)?, Stream::new(wide, 1)?];
    let mut y = [vec![0f32; len], vec![0f32; len]];
    let (mut largest, mut scale) = (0f64, 0f64);
    // The sums of the squares of each call.
    let mut squares = Vec::new();
    for _ in 0..STEPS / CHUNK {
        let x = random.uniform(CHUNK * shape.input, 1.0)?;
        for (stream, y) in streams.iter_mut().zip(&mut y) {
            stream.run(Sequence::dense(&x, y))?;
        }
        let differences = y[0].iter().zip(&y[1]).map(|(&a, &b)| distance(a, b));
        largest = differences.clone().fold(largest, f64::max);
        squares.push(differences.map(|d| d * d).sum::<f64>());
        let finite = y[1].iter().filter(|b| b.is_finite());
        scale = finite.fold(scale, |scale, &b| scale.max(f64::from(b).abs()));
    }
    let rms = |squares: &[f64]| (squares.iter().sum::<f64>() / (squares.len() * len) as f64).sqrt();
    let ends = END / CHUNK;
    let (first, last) = (rms(&squares[..ends]), rms(&squares[squares.len() - ends..]));
    Ok(Drift { largest, rms: rms(&squares), scale, first, last })
}

/// How far two numbers are from each other: infinitely, if only one is finite or only one is NaN.
fn distance(a: f32, b: f32) -> f64 {
    match f64::from(a) - f64::from(b) {
        _ if a == b || a.is_nan() && b.is_nan() => 0.0,
        difference if difference.is_nan() => f64::INFINITY,
        difference => difference.abs(),
    }
}

impl Drift {
    /// The largest difference divided by the largest magnitude.
    pub(super) fn relative(&self) -> f64 {
        relative(self.largest, self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rnnpack::{LayerWeights, WeightType};

    /// The drift of an RNN of one unit, h = w * x + r * h, whose weights the type rounds.
    fn linear(w: f32, r: f32) -> Drift {
        let identity = rnnpack::Activation::by_name("Affine").unwrap();
        let cell = rnnpack::Cell::Rnn(rnnpack::RnnCell { activation: identity, clip: None });
        let pack =
            |weights| LayerWeights::of(cell, 1, 1).w(&[w]).r(&[r]).weight_type(weights).pack().unwrap();
        between(pack(WeightType::Bf16), pack(WeightType::F32), 1).unwrap()
    }

    #[test]
    fn a_state_that_becomes_infinite_is_infinitely_wrong() {
        // bf16 makes 1.011 of r to 1.0078125: only the state of f32 grows beyond f32.
        let drift = linear(0.5, 1.011);
        assert!(drift.largest.is_infinite() && drift.rms.is_infinite(), "{drift:?}");
        assert_eq!([distance(1.0, f32::NAN), distance(f32::NAN, f32::NAN)], [f64::INFINITY, 0.0]);
    }

    #[test]
    fn a_layer_whose_weights_fit_does_not_drift() {
        let drift = linear(0.5, 0.5);
        assert_eq!((drift.largest, drift.rms, drift.relative()), (0.0, 0.0, 0.0));
        assert!(drift.scale > 0.5);
    }

    #[test]
    fn a_state_that_grows_away_shows_at_the_end() {
        // bf16 makes 1.0005 of r = 1 + 2^-11 to 1: the state of f32 grows, the other does not.
        let drift = linear(0.5, 1.0 + 2f32.powi(-11));
        assert!(drift.last > 3.0 * drift.first && drift.largest >= drift.rms, "{drift:?}");
    }
}
