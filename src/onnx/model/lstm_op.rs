//! The LSTM node as an operator that tract runs.

use super::Kernels;
use super::lstm_node::{InputSlots, Spec};
use crate::onnx::node::{Weights, layer_error};
use crate::onnx::{self, OnnxError};
use crate::{Dims, Error, Layer, Layout, Scratch, Sequence, Shape, State, View, ViewMut, reference};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// Elements of Y beyond which a call is refused whose X has no elements that could account for them.
const MAX_Y_OF_EMPTY_X: usize = 1 << 28;

/// A layer that can be run.
enum Layer {
    Packed(crate::Layer),
    Reference(Weights),
}

impl Layer {
    fn shape(&self) -> Shape {
        match self {
            Self::Packed(lstm) => lstm.shape(),
            Self::Reference(weights) => weights.shape,
        }
    }

    fn new_state(&self, batch: usize) -> Result<State, Error> {
        State::zeros(&Cell::lstm(), self.shape(), batch)
    }
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.shape())
    }
}

/// An LSTM node in a typed model.
///
/// Until its weights are known as constants it has all inputs of the node and cannot run; then it holds a
/// layer and has the inputs that are no weights.
#[derive(Debug, Clone)]
pub(super) struct LstmOp {
    spec: Arc<Spec>,
    inputs: InputSlots,
    layer: Option<Arc<Layer>>,
}

impl PartialEq for LstmOp {
    fn eq(&self, other: &Self) -> bool {
        let same_layer = match (&self.layer, &other.layer) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_layer && Arc::ptr_eq(&self.spec, &other.spec)
    }
}

impl Eq for LstmOp {}

impl LstmOp {
    pub(super) fn new(spec: Arc<Spec>, inputs: InputSlots) -> Self {
        Self { spec, inputs, layer: None }
    }

    /// Why the op cannot run, if it cannot.
    pub(super) fn refusal(&self) -> Option<OnnxError> {
        let reason = "weights are computed from the model's inputs; only constants can be packed";
        self.layer.is_none().then(|| self.spec.reader().bad_input("W, R, B", reason))
    }

    /// The op with a layer, and the inputs that it keeps, when `facts` of the inputs know all weights.
    pub(super) fn capture(&self, facts: &[&TypedFact]) -> TractResult<Option<(LstmOp, TVec<usize>)>> {
        let slots = [self.inputs[1], self.inputs[2], self.inputs[3]];
        if self.layer.is_some() || slots.iter().flatten().any(|&i| facts[i].konst.is_none()) {
            return Ok(None);
        }
        let layer = self.pack(slots.map(|slot| slot.and_then(|i| facts[i].konst.as_deref())))?;
        let mut kept = tvec![];
        let mut inputs = [None; 7];
        for i in [0, 4, 5, 6] {
            if let Some(slot) = self.inputs[i] {
                inputs[i] = Some(kept.len());
                kept.push(slot);
            }
        }
        Ok(Some((LstmOp { spec: self.spec.clone(), inputs, layer: Some(Arc::new(layer)) }, kept)))
    }

    fn pack(&self, konst: [Option<&Tensor>; 3]) -> TractResult<Layer> {
        let mut tensors = [None, None, None];
        for ((tensor, konst), input) in tensors.iter_mut().zip(konst).zip(["W", "R", "B"]) {
            let Some(konst) = konst else { continue };
            if konst.datum_type() != f32::datum_type() {
                return Err(self.spec.bad_input(input, format!("it is {:?}, not f32", konst.datum_type())));
            }
            let values = konst.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
            let constant = onnx::Tensor::new(konst.shape(), values).context("a constant overflows")?;
            *tensor = Some(Arc::new(constant));
        }
        let known = tensors.each_ref().map(|t| t.as_deref());
        let shape = self.spec.reader().check_shapes(&self.spec.settings, known).map_err(TractError::new)?;
        let [Some(w), Some(r), b] = tensors else { bail!("W or R is missing") };
        let weights = Weights { shape, w, r, b };
        if self.spec.kernels == Kernels::Reference64 {
            return Ok(Layer::Reference(weights));
        }
        let lstm = weights.view().and_then(|view| crate::Layer::new(&view)).map_err(|e| self.fail(e))?;
        Ok(Layer::Packed(lstm))
    }

    fn fail(&self, error: impl Into<Error>) -> TractError {
        TractError::new(layer_error(self.spec.name(), error.into()))
    }

    fn run(&self, inputs: &TVec<TValue>, memory: &mut Memory) -> TractResult<TVec<TValue>> {
        let layer = match (&self.layer, self.refusal()) {
            (Some(layer), _) => &**layer,
            (None, refusal) => return Err(refusal.map_or_else(|| format_err!("no layer"), TractError::new)),
        };
        let x_shape: [usize; 3] = inputs[0].shape().try_into()?;
        let axes = self.spec.axes();
        let (time, batch, width) = (x_shape[axes.time], x_shape[axes.batch], x_shape[2]);
        let dims = Dims { time, directions: 1, batch, width };
        let layout = self.spec.settings.layout;
        let x = View::new(floats(&inputs[0])?, dims, layout).map_err(|e| self.fail(e))?;
        let lens = match self.inputs[4] {
            Some(i) => Some(inputs[i].try_as_plain_ram()?.as_slice::<i32>()?),
            None => None,
        };
        memory.start(layer, batch).map_err(|e| self.fail(e))?;
        let Memory { state: Some(state), scratch } = memory else { bail!("no state") };
        self.load_state("initial_h", self.inputs[5].map(|i| &*inputs[i]), batch, state.shape, &mut state.h)?;
        self.load_state("initial_c", self.inputs[6].map(|i| &*inputs[i]), batch, state.shape, &mut state.c)?;
        let out = Dims { directions: state.shape.direction.count(), width: state.shape.hidden, ..dims };
        let mut y = self.new_y(out, inputs[0].len())?;
        let mut y_data = y.as_mut().map(|y| y.try_as_plain_ram_mut()).transpose()?;
        let y_view = match &mut y_data {
            Some(data) => Some(ViewMut::new(data.as_slice_mut()?, out, layout).map_err(|e| self.fail(e))?),
            None => None,
        };
        let sequence = Sequence { x, lens, y: y_view };
        match layer {
            Layer::Packed(lstm) => forward(lstm, sequence, state, scratch, self.spec.threads),
            Layer::Reference(weights) => forward_f64(weights, sequence, state),
        }
        .map_err(|e| self.fail(e))?;
        self.results(y, state)
    }

    /// Copies an initial state, in the layout of the node, to `[D, B, H]`.
    fn load_state(
        &self,
        input: &str,
        initial: Option<&Tensor>,
        batch: usize,
        shape: Shape,
        to: &mut [f32],
    ) -> TractResult<()> {
        let Some(initial) = initial else { return Ok(()) };
        let expected = self.state_dims(batch, shape);
        if initial.shape() != expected {
            let reason = format!("its dimensions are {:?}, not {expected:?}", initial.shape());
            return Err(self.spec.bad_input(input, reason));
        }
        swap_outer(floats(initial)?, expected, self.spec.settings.layout, to);
        Ok(())
    }

    fn state_dims(&self, batch: usize, shape: Shape) -> [usize; 3] {
        match self.spec.settings.layout {
            Layout::TimeMajor => [shape.direction.count(), batch, shape.hidden],
            Layout::BatchMajor => [batch, shape.direction.count(), shape.hidden],
        }
    }

    /// Y, when the node has that output.
    fn new_y(&self, out: Dims, x_len: usize) -> TractResult<Option<Tensor>> {
        if self.spec.outputs[0].is_none() {
            return Ok(None);
        }
        let len = out.checked_len().filter(|&len| x_len > 0 || len <= MAX_Y_OF_EMPTY_X);
        if len.is_none() {
            return Err(self.spec.bad_input("X", format!("Y would have {out:?}")));
        }
        let shape = match self.spec.settings.layout {
            Layout::TimeMajor => [out.time, out.directions, out.batch, out.width],
            Layout::BatchMajor => [out.batch, out.time, out.directions, out.width],
        };
        Ok(Some(Tensor::zero::<f32>(&shape)?))
    }

    /// The outputs in the order of the node.
    fn results(&self, y: Option<Tensor>, state: &State) -> TractResult<TVec<TValue>> {
        let last = |values: &[f32]| {
            let (d, b, h) = (state.shape.direction.count(), state.batch, state.shape.hidden);
            let mut out = Tensor::zero::<f32>(&self.state_dims(b, state.shape))?;
            let mut data = out.try_as_plain_ram_mut()?;
            swap_outer(values, [d, b, h], self.spec.settings.layout, data.as_slice_mut()?);
            Ok::<_, TractError>(out)
        };
        let [_, y_h, y_c] = self.spec.outputs;
        let y_h = y_h.map(|_| last(&state.h)).transpose()?;
        let y_c = y_c.map(|_| last(&state.c)).transpose()?;
        Ok([y, y_h, y_c].into_iter().flatten().map(IntoTValue::into_tvalue).collect())
    }
}

/// Copies `[A, B, H]` to `[B, A, H]` where the layout is batch-major, else as it is.
fn swap_outer(from: &[f32], [a, b, h]: [usize; 3], layout: Layout, to: &mut [f32]) {
    if layout == Layout::TimeMajor || h == 0 {
        to.copy_from_slice(from);
        return;
    }
    for (i, row) in from.chunks_exact(h).enumerate() {
        to[((i % b) * a + i / b) * h..][..h].copy_from_slice(row);
    }
}

fn floats(t: &Tensor) -> TractResult<&[f32]> {
    t.try_as_plain_ram()?.as_slice::<f32>()
}

fn forward(
    lstm: &crate::Layer,
    sequence: Sequence<'_>,
    state: &mut State,
    scratch: &mut Scratch,
    threads: usize,
) -> Result<(), Error> {
    #[cfg(feature = "rayon")]
    if threads != 1 {
        return lstm.forward_parallel(sequence, state, scratch, threads);
    }
    #[cfg(not(feature = "rayon"))]
    let _ = threads;
    lstm.forward(sequence, state, scratch)
}

/// The layer by the f64 reference: the state is widened, and results are rounded to f32 at the end.
fn forward_f64(weights: &Weights, sequence: Sequence<'_>, state: &mut State) -> Result<(), Error> {
    let Sequence { x, lens, mut y } = sequence;
    let Dims { time, batch, .. } = x.dims();
    let (hidden, direction) = (weights.shape.hidden, weights.shape.direction);
    let round = |wide: &[f64], to: &mut [f32]| to.iter_mut().zip(wide).for_each(|(to, &v)| *to = v as f32);
    for (d, weights) in weights.view()?.directions().iter().enumerate() {
        let rows = d * batch * hidden..(d + 1) * batch * hidden;
        let widen = |v: &[f32]| v[rows.clone()].iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let (mut h, mut c) = (widen(&state.h), widen(&state.c));
        let wide = reference::forward::<f32, f64>(weights, x, lens, direction.is_reverse(d), &mut h, &mut c)?;
        round(&h, &mut state.h[rows.clone()]);
        round(&c, &mut state.c[rows.clone()]);
        let Some(y) = &mut y else { continue };
        for (i, row) in wide.chunks_exact(hidden).enumerate().take(time * batch) {
            round(row, y.row_mut(i / batch, d, i % batch));
        }
    }
    Ok(())
}

/// What a node keeps from one call to the next: memory, no values.
#[derive(Default)]
struct Memory {
    state: Option<State>,
    scratch: Scratch,
}

impl Memory {
    /// Brings the state to zeros for `batch` rows.
    fn start(&mut self, layer: &Layer, batch: usize) -> Result<(), Error> {
        match &mut self.state {
            Some(state) if state.batch == batch => state.reset(),
            state => *state = Some(layer.new_state(batch)?),
        }
        Ok(())
    }
}

impl Clone for Memory {
    /// Another node's memory: there is nothing in it to copy.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LSTM memory")
    }
}

impl OpState for Memory {
    fn eval(&mut self, _: &EvalContext, op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let op = op.downcast_ref::<LstmOp>().context("memory of another operator")?;
        op.run(&inputs, self)
    }

    fn reset_lanes(&mut self, _: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}

impl EvalOp for LstmOp {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        match &self.layer {
            Some(_) => self.run(&inputs, &mut Memory::default()).map(Some),
            None => Ok(None),
        }
    }

    fn state(&self, _: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Ok(Some(Box::new(Memory::default())))
    }
}

impl Op for LstmOp {
    fn name(&self) -> StaticName {
        "RnnpackLstm".into()
    }

    op_as_typed_op!();
}

impl TypedOp for LstmOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let axes = self.spec.axes();
        let x = &inputs[0].shape;
        if x.rank() != 3 {
            return Err(self.spec.bad_input("X", format!("it has {} dimensions, not 3", x.rank())));
        }
        let hidden = match (&self.layer, self.inputs[2]) {
            (Some(layer), _) => {
                if x[2] != layer.shape().input.to_dim() {
                    let reason = format!("its last dimension is {}, not {}", x[2], layer.shape().input);
                    return Err(self.spec.bad_input("X", reason));
                }
                layer.shape().hidden.to_dim()
            }
            (None, Some(r)) if inputs[r].rank() == 3 => inputs[r].shape[2].clone(),
            _ => bail!("R has not three dimensions"),
        };
        let directions = self.spec.settings.direction.count().to_dim();
        let mut y: TVec<TDim> = tvec![hidden.clone(); 4];
        y[axes.y[0]] = x[axes.time].clone();
        y[axes.y[1]] = directions.clone();
        y[axes.y[2]] = x[axes.batch].clone();
        let mut state: TVec<TDim> = tvec![hidden; 3];
        state[axes.state[0]] = directions;
        state[axes.state[1]] = x[axes.batch].clone();
        let shapes = [y, state.clone(), state];
        let present = shapes.iter().zip(self.spec.outputs).filter(|(_, slot)| slot.is_some());
        Ok(present.map(|(shape, _)| f32::fact(shape)).collect())
    }

    fn codegen(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        let Some((op, kept)) = self.capture(&model.node_input_facts(node.id)?)? else { return Ok(None) };
        let kept: TVec<OutletId> = kept.into_iter().map(|i| node.inputs[i]).collect();
        TypedModelPatch::replace_single_op(model, node, &kept, op).map(Some)
    }

    as_op!();
}
