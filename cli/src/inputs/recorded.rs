//! Recorded streams: the inputs and outputs of consecutive calls.

use crate::npz::read_npz;
use crate::tensors::Tensors;
use anyhow::{Result, bail};
use rnnpack_onnx::Shown;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A recorded stream: the inputs and outputs of consecutive calls.
pub(crate) struct Recorded {
    pub(crate) inputs: Vec<Tensors>,
    pub(crate) outputs: Vec<Tensors>,
}

impl Recorded {
    /// Reads an archive with the keys `in/<step>/<name>` and `out/<step>/<name>`. Steps start at 0.
    pub(crate) fn read(path: &Path) -> Result<Recorded> {
        let mut steps: BTreeMap<usize, [Tensors; 2]> = BTreeMap::new();
        for (key, tensor) in read_npz(path)? {
            let mut parts = key.splitn(3, '/');
            let side = match parts.next() {
                Some("in") => 0,
                Some("out") => 1,
                _ => continue,
            };
            if let (Some(Ok(step)), Some(name)) = (parts.next().map(str::parse), parts.next()) {
                let twice = steps.entry(step).or_default()[side].insert(name.to_owned(), tensor);
                if twice.is_some() {
                    bail!("{}: {:?} is given twice", path.display(), Shown(&key).to_string());
                }
            }
        }
        let whole = |(i, (&step, [inputs, outputs])): (usize, (&usize, &[Tensors; 2]))| {
            i == step && !inputs.is_empty() && !outputs.is_empty()
        };
        if steps.is_empty() || !steps.iter().enumerate().all(whole) {
            let path = path.display();
            bail!(
                "{path}: a recorded stream needs in/<step>/<name> and out/<step>/<name> for steps 0, 1, 2, …"
            );
        }
        let (inputs, outputs) = steps.into_values().map(|[i, o]| (i, o)).unzip();
        Ok(Recorded { inputs, outputs })
    }

    /// Pairs (input, output): in every step after the first, the input is the output of the step before.
    pub(crate) fn carried(&self) -> Vec<(String, String)> {
        if self.inputs.len() < 2 {
            return vec![];
        }
        let (next, last) = (&self.inputs[1..], &self.outputs[..self.outputs.len() - 1]);
        // The first of equal outputs counts.
        let mut outputs: HashMap<Vec<u8>, &String> = HashMap::new();
        for name in self.outputs[0].keys() {
            if let Some(values) = over_time(last, name) {
                outputs.entry(values).or_insert(name);
            }
        }
        let pair = |input: &String| {
            let output = outputs.get(&over_time(next, input)?)?;
            Some((input.clone(), (*output).clone()))
        };
        self.inputs[0].keys().filter_map(pair).collect()
    }
}

/// The type, dimensions and bytes of a value in each step; `None` if a step does not have it.
fn over_time(steps: &[Tensors], name: &str) -> Option<Vec<u8>> {
    let mut all = vec![];
    for step in steps {
        let tensor = step.get(name)?;
        all.extend(format!("{} {:?};", tensor.dtype(), tensor.dims()).into_bytes());
        all.extend(tensor.to_proto("").raw_data);
    }
    Some(all)
}
