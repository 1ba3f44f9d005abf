//! The errors of the outputs of a rewritten model.

use crate::fit;
use crate::inputs::{Feeds, GeneratedArgs, GivenArgs};
use crate::model::{Computed, load};
use crate::report;
use crate::tensors::Tensors;
use anyhow::Result;
use rnnpack::compare::Difference;
use rnnpack_onnx::{Tensor, TensorData};
use rnnpack_tract::Kernels;

/// The inputs of a model and its outputs before it was rewritten.
pub(super) struct Judge {
    /// Why the model does not run, if it does not.
    expected: Result<(Feeds, Tensors), String>,
}

/// How far an output is from what it was.
pub(super) struct OutputError {
    pub(super) output: String,
    /// The largest absolute difference. Infinite if the two cannot be compared.
    pub(super) largest: f64,
    /// The root of the mean square of the differences. Infinite if the two cannot be compared.
    pub(super) rms: f64,
    /// The largest finite magnitude of what it was.
    pub(super) scale: f64,
    /// Why the two cannot be compared.
    pub(super) mismatch: Option<String>,
}

/// The errors of all outputs, or why there are none.
pub(super) enum Judged {
    Compared { outputs: Vec<OutputError>, generated: Vec<String> },
    NotRun(String),
}

impl Judge {
    /// Runs the model as it is.
    ///
    /// # Errors
    /// If it does not run and the user gave inputs for it.
    pub(super) fn new(bytes: &[u8], given: &GivenArgs, how: &GeneratedArgs) -> Result<Judge> {
        let expected = match fit::generated(bytes, given, how, Computed::by(Kernels::Rnnpack)) {
            Ok((feeds, _, outputs)) => Ok((feeds, outputs.into_iter().next().unwrap_or_default())),
            Err(e) if !given.is_empty() || !how.dim.is_empty() => return Err(e),
            Err(e) => Err(report::error(&e)),
        };
        Ok(Judge { expected })
    }

    /// Runs a rewritten model on the same inputs.
    pub(super) fn outputs(&self, bytes: &[u8]) -> Judged {
        let (feeds, expected) = match &self.expected {
            Ok(expected) => expected,
            Err(reason) => return Judged::NotRun(reason.clone()),
        };
        let computed = Computed::by(Kernels::Rnnpack);
        match load(bytes, feeds, computed).and_then(|loaded| loaded.run(feeds, &[])) {
            Ok(outputs) => {
                let outputs = outputs.into_iter().next().unwrap_or_default();
                let error = |(name, expected): (&String, &Tensor)| {
                    OutputError::new(name, outputs.get(name), expected)
                };
                let outputs = expected.iter().map(error).collect();
                Judged::Compared { outputs, generated: feeds.generated.clone() }
            }
            Err(e) => Judged::NotRun(report::error(&e)),
        }
    }
}

impl Judged {
    /// The largest relative error. `None` if the outputs were not compared.
    pub(super) fn largest(&self) -> Option<f64> {
        match self {
            Judged::Compared { outputs, .. } => {
                Some(outputs.iter().map(OutputError::relative).fold(0.0, f64::max))
            }
            Judged::NotRun(_) => None,
        }
    }
}

impl OutputError {
    fn new(name: &str, got: Option<&Tensor>, expected: &Tensor) -> OutputError {
        let difference = got.map_or_else(
            || Err("the new model has no such output".to_owned()),
            |got| Ok((got, got.difference(expected).map_err(|e| e.to_string())?)),
        );
        let output = name.to_owned();
        match difference {
            Ok((got, Difference { largest, scale, .. })) => {
                OutputError { output, largest, rms: rms(got, expected), scale, mismatch: None }
            }
            Err(why) => {
                let infinite = f64::INFINITY;
                OutputError { output, largest: infinite, rms: infinite, scale: 0.0, mismatch: Some(why) }
            }
        }
    }

    /// The largest difference divided by the scale.
    pub(super) fn relative(&self) -> f64 {
        if self.largest == 0.0 { 0.0 } else { self.largest / self.scale }
    }
}

/// The root of the mean square of the differences of two tensors of one type and shape. Elements that are not finite on
/// both sides do not count, nor do integers.
fn rms(got: &Tensor, expected: &Tensor) -> f64 {
    let squares = |a: &[f64], b: &[f64]| {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).filter(|square| square.is_finite());
        let (sum, count) = squares.fold((0.0, 0usize), |(sum, count), square| (sum + square, count + 1));
        (sum / count.max(1) as f64).sqrt()
    };
    squares(&doubles(got), &doubles(expected))
}

/// The elements of a tensor of floats, as f64.
fn doubles(tensor: &Tensor) -> Vec<f64> {
    let wide = tensor.to_f32();
    match wide.as_ref().unwrap_or(tensor).data() {
        TensorData::F32(v) => v.iter().map(|&x| x.into()).collect(),
        TensorData::F64(v) => v.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(got: &[f32], expected: &[f32]) -> OutputError {
        let tensor = |values: &[f32]| Tensor::new(&[values.len()], values.to_vec()).unwrap();
        OutputError::new("y", Some(&tensor(got)), &tensor(expected))
    }

    #[test]
    fn the_errors_of_an_output_are_those_of_its_elements() {
        let found = error(&[1.0, 2.0, 3.0, f32::NAN], &[1.0, 5.0, -1.0, f32::NAN]);
        assert_eq!((found.largest, found.scale, found.relative()), (4.0, 5.0, 0.8));
        assert_eq!(found.rms, (25f64 / 3.0).sqrt());
    }

    #[test]
    fn outputs_that_cannot_be_compared_are_infinitely_wrong() {
        for found in [
            error(&[f32::NAN], &[1.0]),
            error(&[1.0], &[1.0, 2.0]),
            OutputError::new("y", None, &Tensor::scalar(1f32)),
        ] {
            assert!(found.largest.is_infinite() && found.rms.is_infinite() && found.mismatch.is_some());
        }
    }
}
