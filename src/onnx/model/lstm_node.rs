//! The LSTM node as tract's shape inference sees it, and how it is wired into a typed model.

use super::lstm_op::LstmOp;
use super::{Kernels, settings_of};
use crate::Layout;
use crate::onnx::operator::{Reader, RecurrentOp, Settings};
use crate::onnx::{OnnxError, proto};
use prost::Message;
use std::sync::Arc;
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

/// Where the inputs `X, W, R, B, sequence_lens, initial_h, initial_c` are among those that are wired.
pub(super) type InputSlots = [Option<usize>; 7];

/// What the parser knows about an LSTM node.
#[derive(Debug)]
pub(super) struct Spec {
    node: proto::Node,
    opset: i64,
    pub(super) settings: Settings,
    /// Where `Y, Y_h, Y_c` are among the outputs.
    pub(super) outputs: [Option<usize>; 3],
    pub(super) kernels: Kernels,
    pub(super) threads: usize,
}

/// An LSTM node between parsing and typing.
#[derive(Debug, Clone)]
struct LstmNode {
    spec: Arc<Spec>,
    inputs: InputSlots,
}

/// Builds the operator of an LSTM node.
pub(super) fn build(
    ctx: &ParsingContext<'_>,
    pb: &pb::NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let node = proto::Node::decode(pb.encode_to_vec().as_slice())?;
    let opset = ctx.onnx_operator_set_version;
    let reader = Reader { node: &node, name: &pb.name, op: RecurrentOp::Lstm, opset };
    let (settings, attributes) = reader.settings().map_err(TractError::new)?;
    reader.check_computed(&settings, &attributes).map_err(TractError::new)?;
    let (kernels, threads) = settings_of(&ctx.template)?;
    let mut inputs = optional_inputs(pb);
    let mut outputs = optional_outputs(pb);
    let outputs = std::array::from_fn(|_| outputs.next().flatten());
    let spec = Spec { node, opset, settings, outputs, kernels, threads };
    let inputs = std::array::from_fn(|_| inputs.next().flatten());
    Ok((expand(LstmNode { spec: Arc::new(spec), inputs }), vec![]))
}

impl Spec {
    /// The node's name.
    pub(super) fn name(&self) -> &str {
        &self.node.name
    }

    /// What checks the node.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { node: &self.node, name: self.name(), op: RecurrentOp::Lstm, opset: self.opset }
    }

    pub(super) fn axes(&self) -> Axes {
        match self.settings.layout {
            Layout::TimeMajor => Axes { time: 0, batch: 1, y: [0, 1, 2], state: [0, 1] },
            Layout::BatchMajor => Axes { time: 1, batch: 0, y: [1, 2, 0], state: [1, 0] },
        }
    }

    pub(super) fn bad_input(&self, input: &str, reason: String) -> TractError {
        let node = self.name().to_string();
        TractError::new(OnnxError::Input { node, input: input.to_string(), reason })
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

impl Expansion for LstmNode {
    fn name(&self) -> StaticName {
        "RnnpackLstm".into()
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
        let [x, w, r, b, lens, h, c] = self.inputs.map(|slot| slot.map(|i| &inputs[i]));
        let (Some(x), Some(w), Some(r)) = (x, w, r) else { bail!("X, W or R is missing") };
        let axes = self.spec.axes();
        let directions = self.spec.settings.direction.count();
        for (input, name) in [(Some(x), "X"), (h, "initial_h"), (c, "initial_c")] {
            let Some(input) = input else { continue };
            s.given(&input.datum_type, move |_, dt| self.check_type(name, dt, f32::datum_type()))?;
            s.equals(&input.rank, 3)?;
        }
        s.equals(&w.rank, 3)?;
        s.equals(&r.rank, 3)?;
        s.equals(&x.shape[2], &w.shape[2])?;
        s.equals(&w.shape[0], directions.to_dim())?;
        s.equals(&r.shape[0], directions.to_dim())?;
        s.equals(&r.shape[1], 4 * r.shape[2].bex())?;
        s.equals(&w.shape[1], &r.shape[1])?;
        if let Some(b) = b {
            s.equals(&b.rank, 2)?;
            s.equals(&b.shape[1], 8 * r.shape[2].bex())?;
        }
        if let Some(lens) = lens {
            s.given(&lens.datum_type, |_, dt| self.check_type("sequence_lens", dt, i32::datum_type()))?;
            s.equals(&lens.rank, 1)?;
        }
        let [y, y_h, y_c] = self.spec.outputs.map(|slot| slot.map(|i| &outputs[i]));
        // The batch of initial states and lengths is compared when the node runs: a model may fix it for X
        // alone.
        for state in [y_h, y_c].into_iter().flatten() {
            s.equals(&state.rank, 3)?;
            s.equals(&state.shape[axes.state[0]], directions.to_dim())?;
            s.equals(&state.shape[axes.state[1]], &x.shape[axes.batch])?;
            s.equals(&state.shape[2], &r.shape[2])?;
        }
        for output in [y, y_h, y_c].into_iter().flatten() {
            s.equals(&output.datum_type, f32::datum_type())?;
        }
        let Some(y) = y else { return Ok(()) };
        s.equals(&y.rank, 4)?;
        s.equals(&y.shape[axes.y[0]], &x.shape[axes.time])?;
        s.equals(&y.shape[axes.y[1]], directions.to_dim())?;
        s.equals(&y.shape[axes.y[2]], &x.shape[axes.batch])?;
        s.equals(&y.shape[3], &r.shape[2])
    }

    fn wire(
        &self,
        prefix: &str,
        target: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let op = LstmOp::new(self.spec.clone(), self.inputs);
        let facts = inputs.iter().map(|i| target.outlet_fact(*i)).collect::<TractResult<Vec<_>>>()?;
        let (op, kept) = match op.capture(&facts)? {
            Some((op, kept)) => (op, kept.into_iter().map(|i| inputs[i]).collect()),
            None => (op, inputs.to_vec()),
        };
        target.wire_node(prefix, op, &kept)
    }
}

impl LstmNode {
    fn check_type(&self, input: &str, found: DatumType, expected: DatumType) -> InferenceResult {
        if found == expected {
            return Ok(());
        }
        Err(self.spec.bad_input(input, format!("it is {found:?}, not {expected:?}")))
    }
}
