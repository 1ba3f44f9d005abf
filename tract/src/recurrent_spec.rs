//! What the parser knows about a recurrent node: its form, its element type and its axes.

use crate::convert;
use crate::settings::Settings;
use rnnpack::{Layout, Subnormals, WeightType};
use rnnpack_onnx::{DType, NodeSpec};
use tract_onnx::tract_hir::internal::*;

/// For each of [`RecurrentOp::inputs`](rnnpack_onnx::RecurrentOp::inputs), its index among the wired inputs.
pub(crate) type InputSlots = [Option<usize>; 12];

/// What the parser knows about a recurrent node.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Its name, operator and attributes.
    pub(crate) node: NodeSpec,
    /// Whether its numbers are bf16, carried as f32.
    pub(crate) bf16: bool,
    /// For each of `Y, Y_h, Y_c`, its index among the outputs.
    pub(crate) outputs: [Option<usize>; 3],
    pub(crate) computed: Settings,
    pub(crate) subnormals: Subnormals,
    /// The type in which the layer stores its weights. `None`: as [`rnnpack_onnx::NodeWeights::with_type`] chooses.
    pub(crate) weight_type: Option<WeightType>,
}

impl Spec {
    pub(crate) fn axes(&self) -> Axes {
        match self.node.layout {
            Layout::TimeMajor => Axes { time: 0, batch: 1, y: [0, 1, 2], state: [0, 1] },
            Layout::BatchMajor => Axes { time: 1, batch: 0, y: [1, 2, 0], state: [1, 0] },
        }
    }

    pub(crate) fn bad_input(&self, input: &str, reason: String) -> TractError {
        TractError::new(self.node.bad_input(input, &reason))
    }

    pub(crate) fn check_rank(&self, input: &str, found: i64, expected: i64) -> TractResult<()> {
        match found == expected {
            true => Ok(()),
            false => Err(self.bad_input(input, format!("it has {found} dimensions, not {expected}"))),
        }
    }

    /// Refuses an input whose element type is not one that it may have beside an X of type `x`.
    pub(crate) fn check_type(&self, input: &str, found: DatumType, x: DatumType) -> TractResult<()> {
        let dtype = |dt: DatumType| match convert::dtype(dt) {
            Some(_) if self.bf16 && dt == f32::datum_type() => Some(DType::BF16),
            other => other,
        };
        let name = |dt: DatumType| dtype(dt).map_or_else(|| format!("{dt:?}"), |dt| dt.to_string());
        let Some(of_x) = dtype(x) else { return self.check_known(x) };
        let expected = self.node.op.input_types(input, of_x);
        if dtype(found).is_some_and(|found| expected.contains(&found)) {
            return Ok(());
        }
        let expected: Vec<String> = expected.iter().map(DType::to_string).collect();
        Err(self.bad_input(input, format!("it is {}, not {}", name(found), expected.join(" or "))))
    }

    /// Refuses an element type that the operator does not have.
    pub(crate) fn check_known(&self, found: DatumType) -> TractResult<()> {
        let dtype = if self.bf16 { Some(DType::BF16) } else { convert::dtype(found) };
        let known = self.node.op.dtypes(self.node.opset);
        if dtype.is_some_and(|dtype| known.contains(&dtype)) {
            return Ok(());
        }
        let known: Vec<String> = known.iter().map(DType::to_string).collect();
        let found = dtype.map_or_else(|| format!("{found:?}"), |dtype| dtype.to_string());
        let (op, opset) = (self.node.op, self.node.opset);
        let reason = format!("it is {found}, where {op} of operator set {opset} has {}", known.join(", "));
        Err(self.bad_input("X", reason))
    }
}

/// The meaning of the axes of X, Y and the states.
pub(crate) struct Axes {
    /// The axis of X that is time.
    pub(crate) time: usize,
    /// The axis of X that is the batch.
    pub(crate) batch: usize,
    /// The axes of Y that are time, direction and batch. Axis 3 is the hidden size.
    pub(crate) y: [usize; 3],
    /// The axes of the states that are direction and batch. Axis 2 is the hidden size.
    pub(crate) state: [usize; 2],
}
