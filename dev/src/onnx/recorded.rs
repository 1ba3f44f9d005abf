//! Recorded answers, read from `.npz` files.
//!
//! A file holds either consecutive calls, as `in/<step>/<name>` and `out/<step>/<name>`, or models with one call
//! each, as `<case>/model`, `<case>/in/<name>` and `<case>/out/<name>`.

use super::fixture;
use ndarray::{ArrayD, Ix1, IxDyn, OwnedRepr};
use ndarray_npy::NpzReader;
use rnnpack::compare::Difference;
use rnnpack_onnx::{DType, Tensor};
use std::collections::BTreeMap;

/// Tensors by name.
pub type Values = BTreeMap<String, Tensor>;

/// The inputs and outputs of the steps of a recording.
pub struct Recording {
    /// The inputs and outputs of each step.
    pub steps: Vec<(Values, Values)>,
}

/// The recording in a file below `tests/fixtures`.
pub fn recording(path: &str) -> Recording {
    let mut npz = open(path);
    let mut steps = BTreeMap::<usize, (Values, Values)>::new();
    for entry in npz.names().unwrap() {
        // Some files also hold the answers of another framework.
        let [side @ ("in" | "out"), step, name] = entry.split('/').collect::<Vec<_>>()[..] else { continue };
        let (inputs, outputs) = steps.entry(step.parse().unwrap()).or_default();
        let values = if side == "in" { inputs } else { outputs };
        values.insert(name.to_string(), tensor(&mut npz, &entry));
    }
    Recording { steps: steps.into_values().collect() }
}

/// A model with the inputs and outputs of one call.
#[derive(Default)]
pub struct Case {
    /// The bytes of the model's file.
    pub model: Vec<u8>,
    /// The inputs by name.
    pub inputs: Values,
    /// The outputs by name.
    pub outputs: Values,
}

/// The cases of a file by name.
pub fn cases(path: &str) -> BTreeMap<String, Case> {
    let mut npz = open(path);
    let mut cases = BTreeMap::<String, Case>::new();
    for entry in npz.names().unwrap() {
        let (case, part) = entry.split_once('/').unwrap();
        let case = cases.entry(case.to_string()).or_default();
        match part.split_once('/') {
            Some(("in", name)) => drop(case.inputs.insert(name.to_string(), tensor(&mut npz, &entry))),
            Some((_, name)) => drop(case.outputs.insert(name.to_string(), tensor(&mut npz, &entry))),
            None => case.model = npz.by_name::<OwnedRepr<u8>, Ix1>(&entry).unwrap().to_vec(),
        }
    }
    cases
}

fn open(path: &str) -> NpzReader<std::fs::File> {
    let file = std::fs::File::open(fixture(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    NpzReader::new(file).unwrap()
}

fn tensor(npz: &mut NpzReader<std::fs::File>, entry: &str) -> Tensor {
    if let Ok(a) = npz.by_name::<OwnedRepr<f32>, IxDyn>(entry) {
        return dense(a);
    }
    if let Ok(a) = npz.by_name::<OwnedRepr<i32>, IxDyn>(entry) {
        return dense(a);
    }
    if let Ok(a) = npz.by_name::<OwnedRepr<bool>, IxDyn>(entry) {
        return dense(a);
    }
    dense(npz.by_name::<OwnedRepr<i64>, IxDyn>(entry).unwrap())
}

fn dense<T: rnnpack_onnx::Element>(a: ArrayD<T>) -> Tensor {
    Tensor::new(a.shape(), a.iter().copied().collect()).unwrap()
}

/// The difference of a result from the recorded one.
///
/// # Errors
/// The tensors have different types or shapes; one of them is NaN or infinite where the other is not; or integers or
/// booleans differ at all.
pub fn difference(got: &Tensor, expected: &Tensor) -> Result<Difference, String> {
    let found = got.difference(expected).map_err(|e| e.to_string())?;
    let is_float = matches!(expected.dtype(), DType::F32 | DType::F64 | DType::F16 | DType::BF16);
    match is_float || found.largest == 0.0 {
        true => Ok(found),
        false => Err(format!("element {} is another {}", found.index, expected.dtype())),
    }
}

/// [`difference`], relative to the largest recorded value if that is above 1.
pub fn relative(got: &Tensor, expected: &Tensor) -> Result<f64, String> {
    Ok(difference(got, expected)?.relative(1.0))
}
