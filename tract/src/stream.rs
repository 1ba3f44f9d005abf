//! Consecutive calls of a model that carry values from one call to the next.

use crate::convert;
use crate::error::{Error, value_error};
use crate::loaded::Loaded;
use crate::value::ValueSpec;
use rnnpack_onnx::{Error as OnnxError, Tensor};
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// Consecutive calls of a [`Model`](crate::Model) that carry values from one to the next: see
/// [`Model::stream`](crate::Model::stream).
///
/// The first call needs every input. A later call may leave out the carried inputs. If it gives one, that value
/// replaces the carried one.
pub struct Stream {
    model: Arc<Loaded>,
    /// Each input with the output that it gets.
    pairs: Vec<(usize, usize)>,
    carried: HashMap<usize, Tensor>,
    pub(crate) state: Option<TypedSimpleState>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("pairs", &self.pairs)
            .field("carried", &self.carried)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream that carries outputs to inputs, given as pairs (input, output).
    pub(crate) fn new(model: Arc<Loaded>, carried: &[(&str, &str)]) -> Result<Stream, Error> {
        let position = |specs: &[ValueSpec], name: &str| {
            let found = specs.iter().position(|s| s.name == name);
            found.ok_or_else(|| value_error(name, "the model has no such input or output to carry"))
        };
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for (input, output) in carried {
            let (i, o) = (position(&model.inputs, input)?, position(&model.outputs, output)?);
            if pairs.iter().any(|&(other, _)| other == i) {
                return Err(value_error(input, "it is carried twice").into());
            }
            if model.inputs[i].dtype != model.outputs[o].dtype {
                return Err(value_error(input, format!("`{output}` has another element type")).into());
            }
            pairs.push((i, o));
        }
        Ok(Stream { model, pairs, carried: HashMap::new(), state: None })
    }

    /// Runs the model once.
    ///
    /// # Errors
    /// As [`Model::run`](crate::Model::run). After an error, the carried values are the same as before the call.
    pub fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        let model = self.model.clone();
        // The state is taken out, so it is not used again if this call fails.
        let reusable = self.state.take();
        let feeds = self.feeds(inputs)?;
        let (values, state) = Error::caught("run", || {
            let mut state = match reusable {
                Some(state) => state,
                None => model.plan.spawn()?,
            };
            let feeds =
                feeds.iter().map(|f| Ok(convert::to_tract(f)?.into_tvalue())).collect::<TractResult<_>>()?;
            let values = state.run(feeds)?;
            let values = values.iter().zip(&model.outputs).map(|(v, o)| convert::from_tract(v, o.dtype));
            let values = values.collect::<TractResult<Vec<_>>>()?;
            Ok((values, state))
        })?;
        self.state = Some(state).filter(|_| model.reusable);
        for &(input, output) in &self.pairs {
            self.carried.insert(input, values[output].clone());
        }
        Ok(model.outputs.iter().map(|o| o.name.clone()).zip(values).collect())
    }

    /// Drops the carried values. The next call needs every input.
    pub fn reset(&mut self) {
        self.carried.clear();
    }

    /// The values of all inputs, in the model's order.
    fn feeds<'a>(&'a self, inputs: &[(&str, &'a Tensor)]) -> Result<Vec<&'a Tensor>, OnnxError> {
        let specs = &self.model.inputs;
        let mut feeds: Vec<Option<&Tensor>> = vec![None; specs.len()];
        let indices: HashMap<&str, usize> =
            specs.iter().enumerate().map(|(i, s)| (s.name.as_str(), i)).collect();
        for &(name, value) in inputs {
            let index = indices.get(name).copied();
            let index = index.ok_or_else(|| value_error(name, "the model has no such input"))?;
            if feeds[index].replace(value).is_some() {
                return Err(value_error(name, "it is given twice"));
            }
        }
        let mut sizes = HashMap::new();
        let value = |(i, spec): (usize, &ValueSpec)| {
            let value = feeds[i].or_else(|| self.carried.get(&i));
            let value = value.ok_or_else(|| value_error(&spec.name, "the input is missing"))?;
            spec.check_value(value, &mut sizes)?;
            Ok(value)
        };
        specs.iter().enumerate().map(value).collect()
    }
}
