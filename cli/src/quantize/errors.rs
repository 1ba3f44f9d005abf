//! The errors of the outputs of a rewritten model.

use crate::compare::relative;
use crate::fit;
use crate::inputs::{Feeds, GeneratedArgs, GivenArgs, Recorded};
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
    expected: Result<(Feeds, Vec<Tensors>), String>,
    /// The inputs that a recorded stream hands on from call to call, each with its output.
    carried: Vec<(String, String)>,
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
    /// Runs the model as it is, on given and generated inputs.
    ///
    /// # Errors
    /// If it does not run and the user gave inputs for it.
    pub(super) fn new(bytes: &[u8], given: &GivenArgs, how: &GeneratedArgs) -> Result<Judge> {
        let expected = match fit::generated(bytes, given, how, Computed::by(Kernels::Rnnpack)) {
            Ok((feeds, _, outputs)) => Ok((feeds, outputs)),
            Err(e) if !given.is_empty() || !how.dim.is_empty() => return Err(e),
            Err(e) => Err(report::error(&e)),
        };
        Ok(Judge { expected, carried: Vec::new() })
    }

    /// Runs the model as it is, on a recorded stream.
    ///
    /// # Errors
    /// If it does not run.
    pub(super) fn recorded(bytes: &[u8], given: &GivenArgs, recorded: &Recorded) -> Result<Judge> {
        let feeds = Feeds::recorded(bytes, given, recorded)?;
        let carried = recorded.carried();
        let outputs = load(bytes, &feeds, Computed::by(Kernels::Rnnpack))?.run(&feeds, &carried)?;
        Ok(Judge { expected: Ok((feeds, outputs)), carried })
    }

    /// Runs a rewritten model on the same inputs.
    pub(super) fn outputs(&self, bytes: &[u8]) -> Judged {
        let (feeds, expected) = match &self.expected {
            Ok(expected) => expected,
            Err(reason) => return Judged::NotRun(reason.clone()),
        };
        let computed = Computed::by(Kernels::Rnnpack);
        match load(bytes, feeds, computed).and_then(|loaded| loaded.run(feeds, &self.carried)) {
            Ok(outputs) => {
                let names = expected.first().into_iter().flat_map(Tensors::keys);
                let outputs = names.map(|name| OutputError::new(name, &outputs, expected)).collect();
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
    /// The error of one output over all calls.
    fn new(name: &str, got: &[Tensors], expected: &[Tensors]) -> OutputError {
        let (mut all, mut squares, mut count) = (Difference::NONE, 0.0, 0.0f64);
        let mut mismatch = None;
        for (got, expected) in got.iter().zip(expected) {
            let difference = match (got.get(name), expected.get(name)) {
                (Some(got), Some(expected)) => {
                    let of_call = squared(got, expected);
                    (squares, count) = (squares + of_call.0, count + of_call.1);
                    got.difference(expected).map_err(|e| e.to_string())
                }
                _ => Err("the new model has no such output".to_owned()),
            };
            match difference {
                Ok(difference) => all = all.max(difference),
                Err(why) => drop(mismatch.get_or_insert(why)),
            }
        }
        let (output, scale) = (name.to_owned(), all.scale);
        let [largest, rms] = match mismatch {
            Some(_) => [f64::INFINITY; 2],
            None => [all.largest, (squares / count.max(1.0)).sqrt()],
        };
        OutputError { output, largest, rms, scale, mismatch }
    }

    /// The largest difference divided by the scale.
    pub(super) fn relative(&self) -> f64 {
        relative(self.largest, self.scale)
    }
}

/// The sum of the squares of the differences of two tensors of floats, and how many there are. Elements that are not finite
/// do not count.
fn squared(got: &Tensor, expected: &Tensor) -> (f64, f64) {
    let differences = doubles(got).into_iter().zip(doubles(expected)).map(|(a, b)| a - b);
    let squares = differences.map(|d| d * d).filter(|square| square.is_finite());
    squares.fold((0.0, 0.0), |(sum, count), square| (sum + square, count + 1.0))
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

    fn calls(values: &[&[f32]]) -> Vec<Tensors> {
        let tensor = |values: &&[f32]| Tensor::new(&[values.len()], values.to_vec()).unwrap();
        values.iter().map(|values| Tensors::from([("y".to_owned(), tensor(values))])).collect()
    }

    fn error(got: &[&[f32]], expected: &[&[f32]]) -> OutputError {
        OutputError::new("y", &calls(got), &calls(expected))
    }

    #[test]
    fn the_errors_of_an_output_are_those_of_the_elements_of_all_calls() {
        let found = error(&[&[1.0, 2.0], &[3.0, f32::NAN]], &[&[1.0, 5.0], &[-1.0, f32::NAN]]);
        assert_eq!((found.largest, found.scale, found.relative()), (4.0, 5.0, 0.8));
        assert_eq!(found.rms, (25f64 / 3.0).sqrt());
    }

    #[test]
    fn outputs_that_cannot_be_compared_are_infinitely_wrong() {
        for found in [
            error(&[&[1.0], &[f32::NAN]], &[&[1.0], &[1.0]]),
            error(&[&[1.0]], &[&[1.0, 2.0]]),
            OutputError::new("y", &[Tensors::new()], &calls(&[&[1.0]])),
        ] {
            assert!(found.largest.is_infinite() && found.rms.is_infinite() && found.mismatch.is_some());
        }
    }
}
