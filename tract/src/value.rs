//! The inputs and outputs of a model, and checks of the values given for them.

use crate::error::value_error;
use rnnpack_onnx::{DType, Error as OnnxError, Extent, Tensor};
use std::collections::HashMap;

/// An input or an output of a [`Model`](crate::Model).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ValueSpec {
    /// Its name in the file.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its dimensions. One that is not fixed may differ from call to call. Dimensions with the same name have the same
    /// size.
    pub dims: Vec<Extent>,
}

impl ValueSpec {
    /// Checks a value given for this input. `sizes` has the sizes of the named dimensions seen so far.
    pub(crate) fn check_value(
        &self,
        value: &Tensor,
        sizes: &mut HashMap<String, usize>,
    ) -> Result<(), OnnxError> {
        if value.dtype() != self.dtype {
            return Err(value_error(&self.name, format!("it is {}, not {}", value.dtype(), self.dtype)));
        }
        if value.dims().len() != self.dims.len() {
            let (found, expected) = (value.dims().len(), self.dims.len());
            return Err(value_error(&self.name, format!("it has {found} dimensions, not {expected}")));
        }
        for (i, (&size, extent)) in value.dims().iter().zip(&self.dims).enumerate() {
            let expected = match extent {
                Extent::Fixed(n) => *n,
                Extent::Named(name) => *sizes.entry(name.clone()).or_insert(size),
                Extent::Unknown => size,
            };
            if size != expected {
                return Err(value_error(
                    &self.name,
                    format!("dimension {i} ({extent}) is {size}, not {expected}"),
                ));
            }
        }
        Ok(())
    }
}
