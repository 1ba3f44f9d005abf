//! What the written file has in the place of a layer.

use super::choice::Layer;
use super::drift::{self, Drift};
use anyhow::Result;
use rnnpack::{LayerWeights, WeightType};
use rnnpack_onnx::{DType, RecurrentNode};

/// A layer as the written file has it.
pub(super) struct Written {
    pub(super) node: RecurrentNode,
    /// How many weights W and R are other numbers than before, and how many there are. `None` if the layer stays as it is.
    pub(super) rounded: Option<[usize; 2]>,
    /// The error of its answers. `None` if the layer stays as it is.
    pub(super) drift: Option<Drift>,
}

impl Written {
    /// Compares a layer with what the file has now. Both compute as their files say, so these are the answers that the
    /// budget judges.
    pub(super) fn new(layer: &Layer, node: &RecurrentNode, seed: u64) -> Result<Written> {
        let mut written = Written { node: node.clone(), rounded: None, drift: None };
        if layer.weights != WeightType::F32 {
            written.rounded = Some(rounded(&layer.node.weights()?, &node.weights()?));
            written.drift = Some(drift::between(node.pack()?, layer.node.pack()?, seed)?);
        }
        Ok(written)
    }

    /// The type of W and R in the file.
    pub(super) fn type_name(&self) -> String {
        match self.node.matrix_dtype.or(self.node.dtype) {
            Some(DType::I8 | DType::U8) => WeightType::I8.name().to_owned(),
            dtype => dtype.map_or("?".to_owned(), |dtype| dtype.to_string()),
        }
    }

    /// The arithmetic of the products, if the layer is known.
    pub(super) fn arithmetic(&self) -> Option<&'static str> {
        match self.node.weight_type()? {
            WeightType::I8 => Some(WeightType::I8.name()),
            _ if self.node.dtype == Some(DType::F64) => Some("f64"),
            _ => Some(WeightType::F32.name()),
        }
    }
}

/// How many weights W and R differ, and how many there are.
fn rounded(before: &LayerWeights<'_>, after: &LayerWeights<'_>) -> [usize; 2] {
    let hidden = before.shape().hidden;
    let (mut rounded, mut count) = (0, 0);
    for (before, after) in before.directions().iter().zip(after.directions()) {
        for row in 0..before.cell().gates() * hidden {
            let (gate, unit) = (row / hidden, row % hidden);
            for (a, b) in [
                (before.w_row(gate, unit), after.w_row(gate, unit)),
                (before.r_row(gate, unit), after.r_row(gate, unit)),
            ] {
                rounded += a.iter().zip(b).filter(|(a, b)| a != b).count();
                count += a.len();
            }
        }
    }
    [rounded, count]
}
