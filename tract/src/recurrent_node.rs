//! A recurrent node as tract's shape inference sees it, and how it is wired into a typed model.

use super::half_values::MARK;
use super::recurrent_op::Recurrent;
use super::{Kernels, convert, settings_of};
use prost::Message;
use rnnpack::{Cell, Layout};
use rnnpack_onnx::operator::{Reader, RecurrentOp, Settings};
use rnnpack_onnx::proto;
use rnnpack_onnx::tensor::DType;
use std::sync::Arc;
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

/// Where the inputs `X, W, R, B, sequence_lens, initial_h, initial_c, P` are among those that are wired.
pub(super) type InputSlots = [Option<usize>; 8];

/// What the parser knows about a recurrent node.
#[derive(Debug)]
pub(super) struct Spec {
    node: proto::Node,
    pub(super) op: RecurrentOp,
    opset: i64,
    pub(super) settings: Settings,
    /// What a step of each direction computes.
    pub(super) cells: Vec<Cell>,
    /// Its numbers are of bf16, carried as f32.
    pub(super) bf16: bool,
    /// Where `Y, Y_h, Y_c` are among the outputs.
    pub(super) outputs: [Option<usize>; 3],
    pub(super) kernels: Kernels,
    pub(super) threads: usize,
}

/// A recurrent node between parsing and typing.
#[derive(Debug, Clone)]
struct RecurrentNode {
    spec: Arc<Spec>,
    inputs: InputSlots,
}

/// Builds the operator of an LSTM, a GRU or an RNN node.
pub(super) fn build(
    ctx: &ParsingContext<'_>,
    pb: &pb::NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mut node = proto::Node::decode(pb.encode_to_vec().as_slice())?;
    let attributes = node.attribute.len();
    node.attribute.retain(|a| a.name != MARK);
    let bf16 = node.attribute.len() < attributes;
    if node.name.is_empty() {
        // What tract calls it.
        node.name = node.output.iter().find(|o| !o.is_empty()).cloned().unwrap_or_default();
    }
    let op = RecurrentOp::from_type(&pb.op_type).context("no recurrent operator")?;
    let opset = ctx.onnx_operator_set_version;
    let (settings, cells) = {
        let reader = Reader { node: &node, name: &node.name, op, opset };
        let (settings, attributes) = reader.settings().map_err(TractError::new)?;
        (settings, reader.cells(&settings, &attributes).map_err(TractError::new)?)
    };
    let (kernels, threads) = settings_of(&ctx.template)?;
    let mut inputs = optional_inputs(pb);
    let mut outputs = optional_outputs(pb);
    let outputs = std::array::from_fn(|_| outputs.next().flatten());
    let spec = Spec { node, op, opset, settings, cells, bf16, outputs, kernels, threads };
    let inputs = std::array::from_fn(|_| inputs.next().flatten());
    Ok((expand(RecurrentNode { spec: Arc::new(spec), inputs }), vec![]))
}

impl Spec {
    /// The node's name.
    pub(super) fn name(&self) -> &str {
        &self.node.name
    }

    /// What checks the node.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { node: &self.node, name: self.name(), op: self.op, opset: self.opset }
    }

    pub(super) fn axes(&self) -> Axes {
        match self.settings.layout {
            Layout::TimeMajor => Axes { time: 0, batch: 1, y: [0, 1, 2], state: [0, 1] },
            Layout::BatchMajor => Axes { time: 1, batch: 0, y: [1, 2, 0], state: [1, 0] },
        }
    }

    pub(super) fn bad_input(&self, input: &str, reason: String) -> TractError {
        TractError::new(self.reader().bad_input(input, &reason))
    }

    fn check_rank(&self, input: &str, found: i64, expected: i64) -> TractResult<()> {
        match found == expected {
            true => Ok(()),
            false => Err(self.bad_input(input, format!("it has {found} dimensions, not {expected}"))),
        }
    }

    /// Refuses an input whose element type is not `expected`.
    pub(super) fn check_type(&self, input: &str, found: DatumType, expected: DatumType) -> TractResult<()> {
        let name = |dt: DatumType| match convert::dtype(dt) {
            Some(_) if self.bf16 && dt == f32::datum_type() => DType::BF16.to_string(),
            Some(dt) => dt.to_string(),
            None => format!("{dt:?}"),
        };
        match found == expected {
            true => Ok(()),
            false => Err(self.bad_input(input, format!("it is {}, not {}", name(found), name(expected)))),
        }
    }

    /// Refuses an element type that the operator does not have.
    fn check_known(&self, found: DatumType) -> TractResult<()> {
        let dtype = if self.bf16 { Some(DType::BF16) } else { convert::dtype(found) };
        let known = RecurrentOp::dtypes(self.opset);
        if dtype.is_some_and(|dtype| known.contains(&dtype)) {
            return Ok(());
        }
        let known: Vec<String> = known.iter().map(DType::to_string).collect();
        let found = dtype.map_or_else(|| format!("{found:?}"), |dtype| dtype.to_string());
        let (op, opset) = (self.op, self.opset);
        let reason = format!("it is {found}, where {op} of operator set {opset} has {}", known.join(", "));
        Err(self.bad_input("X", reason))
    }
}

/// Which axis of X, Y and the states is which.
pub(super) struct Axes {
    /// Time in X.
    pub(super) time: usize,
    /// Batch in X.
    pub(super) batch: usize,
    /// Time, direction and batch in Y; the hidden size is its axis 3.
    pub(super) y: [usize; 3],
    /// Direction and batch in the states; the hidden size is their axis 2.
    pub(super) state: [usize; 2],
}

impl Expansion for RecurrentNode {
    fn name(&self) -> StaticName {
        self.spec.op.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.spec.outputs.iter().flatten().count())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let [x, w, r, b, lens, h, c, p] = self.inputs.map(|slot| slot.map(|i| &inputs[i]));
        let (Some(x), Some(w), Some(r)) = (x, w, r) else { bail!("X, W or R is missing") };
        s.given(&x.datum_type, |_, dt| self.spec.check_known(dt))?;
        for (input, name, rank) in [
            (Some(x), "X", 3),
            (Some(w), "W", 3),
            (Some(r), "R", 3),
            (b, "B", 2),
            (h, "initial_h", 3),
            (c, "initial_c", 3),
            (p, "P", 2),
        ] {
            let Some(input) = input else { continue };
            s.given(&input.rank, move |_, found| self.spec.check_rank(name, found, rank))?;
            s.equals(&input.rank, rank)?;
            s.given_2(&x.datum_type, &input.datum_type, move |_, x, found| {
                self.spec.check_type(name, found, x)
            })?;
        }
        if let Some(lens) = lens {
            s.given(&lens.rank, |_, found| self.spec.check_rank("sequence_lens", found, 1))?;
            s.equals(&lens.rank, 1)?;
            s.given(&lens.datum_type, |_, dt| self.spec.check_type("sequence_lens", dt, i32::datum_type()))?;
        }
        self.output_rules(s, x, r, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        target: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let op = Recurrent::new(self.spec.clone(), self.inputs);
        let facts = inputs.iter().map(|i| target.outlet_fact(*i)).collect::<TractResult<Vec<_>>>()?;
        let (op, kept) = match op.capture(&facts)? {
            Some((op, kept)) => (op, kept.into_iter().map(|i| inputs[i]).collect()),
            None => {
                op.check_open(&facts)?;
                (op, inputs.to_vec())
            }
        };
        target.wire_node(prefix, op, &kept)
    }
}

impl RecurrentNode {
    /// The extents of the inputs are compared when the weights are packed and when the node runs: a model may leave
    /// them open, or name those of one input in another way than those of another.
    fn output_rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        x: &'p TensorProxy,
        r: &'p TensorProxy,
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let axes = self.spec.axes();
        let directions = self.spec.settings.direction.count().to_dim();
        let [y, y_h, y_c] = self.spec.outputs.map(|slot| slot.map(|i| &outputs[i]));
        let hidden = |s: &mut Solver<'r>, of: &'p TensorProxy, axis: usize| match self.spec.settings.hidden {
            Some(hidden) => s.equals(&of.shape[axis], hidden.to_dim()),
            None => s.equals(&of.shape[axis], &r.shape[2]),
        };
        for state in [y_h, y_c].into_iter().flatten() {
            s.equals(&state.rank, 3)?;
            s.equals(&state.datum_type, &x.datum_type)?;
            s.equals(&state.shape[axes.state[0]], directions.clone())?;
            s.equals(&state.shape[axes.state[1]], &x.shape[axes.batch])?;
            hidden(s, state, 2)?;
        }
        let Some(y) = y else { return Ok(()) };
        s.equals(&y.rank, 4)?;
        s.equals(&y.datum_type, &x.datum_type)?;
        s.equals(&y.shape[axes.y[0]], &x.shape[axes.time])?;
        s.equals(&y.shape[axes.y[1]], directions)?;
        s.equals(&y.shape[axes.y[2]], &x.shape[axes.batch])?;
        hidden(s, y, 3)
    }
}
