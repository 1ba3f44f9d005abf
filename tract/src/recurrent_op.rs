//! The operator that runs a recurrent node in tract.

use crate::convert;
use crate::kept::Kept;
use crate::layer::{Call, Float, Implementation, NodeLayer, forward_f64};
use crate::memory::{LayerMemory, PackedWeights, Part};
use crate::recurrent_spec::{InputSlots, Spec};
use half::{bf16, f16};
use rnnpack::{Dims, Error, Layout, Shape, State, Threads, View, ViewMut};
use rnnpack_onnx::{DType, Error as OnnxError, NodeWeights};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// The inputs that are weights, each with its index among the inputs of a node.
const WEIGHTS: [(&str, usize); 8] = NodeWeights::INPUTS;

/// The most elements that Y may have if X has none. A larger Y is refused, because no data accounts for its size.
const MAX_Y_OF_EMPTY_X: usize = 1 << 28;

/// A recurrent node in a typed model.
///
/// If its weights are constants, it holds a layer, and its inputs are only those that are not weights. If not, it has
/// all inputs of the node and packs the weights when it runs.
#[derive(Debug, Clone)]
pub(crate) struct Recurrent {
    spec: Arc<Spec>,
    inputs: InputSlots,
    layer: Option<Arc<NodeLayer>>,
}

impl PartialEq for Recurrent {
    fn eq(&self, other: &Self) -> bool {
        let same_layer = match (&self.layer, &other.layer) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_layer && Arc::ptr_eq(&self.spec, &other.spec)
    }
}

impl Eq for Recurrent {}

impl Recurrent {
    pub(crate) fn new(spec: Arc<Spec>, inputs: InputSlots) -> Self {
        Self { spec, inputs, layer: None }
    }

    /// The wired inputs that are weights.
    fn weight_slots(&self) -> [Option<usize>; WEIGHTS.len()] {
        WEIGHTS.map(|(_, index)| self.inputs[index])
    }

    /// If `facts` of the inputs have constants for all weights, the operator with a packed layer and the inputs that it
    /// keeps.
    pub(crate) fn capture(&self, facts: &[&TypedFact]) -> TractResult<Option<(Recurrent, TVec<usize>)>> {
        let slots = self.weight_slots();
        if self.layer.is_some() || slots.iter().flatten().any(|&i| facts[i].konst.is_none()) {
            return Ok(None);
        }
        let layer = self.pack(slots.map(|slot| slot.and_then(|i| facts[i].konst.as_deref())))?;
        let mut kept = tvec![];
        let mut inputs = InputSlots::default();
        for i in [0, 4, 5, 6] {
            if let Some(slot) = self.inputs[i] {
                inputs[i] = Some(kept.len());
                kept.push(slot);
            }
        }
        Ok(Some((Recurrent { spec: self.spec.clone(), inputs, layer: Some(Arc::new(layer)) }, kept)))
    }

    /// Checks the known extents of weights that are not constants yet.
    pub(crate) fn check_open(&self, facts: &[&TypedFact]) -> TractResult<()> {
        let extent = |slot: Option<usize>, axis: usize| facts[slot?].shape.get(axis)?.to_usize().ok();
        let [_, r, ..] = self.weight_slots();
        let node = &self.spec.node;
        let (input, hidden) = (extent(self.inputs[0], 2), extent(r, node.op.summed_axis()));
        if let (Some(given), Some(found)) = (node.hidden, hidden)
            && given != found
        {
            let reason = format!("{given}, but R has {found}");
            return Err(TractError::new(node.bad_attribute("hidden_size", &reason)));
        }
        let hidden = hidden.or(node.hidden);
        let expected = node.weight_dims(input, hidden);
        for ((slot, expected), (name, _)) in self.weight_slots().into_iter().zip(expected).zip(WEIGHTS) {
            for (axis, expected) in expected.iter().enumerate() {
                let (Some(found), Some(expected)) = (extent(slot, axis), *expected) else { continue };
                if found != expected {
                    let reason = format!("its dimension {axis} is {found}, not {expected}");
                    return Err(self.spec.bad_input(name, reason));
                }
            }
        }
        Ok(())
    }

    /// Packs weights, which are in the order of [`WEIGHTS`].
    fn pack(&self, tensors: [Option<&Tensor>; WEIGHTS.len()]) -> TractResult<NodeLayer> {
        let mut weights = [const { None }; WEIGHTS.len()];
        for ((weight, tensor), (input, _)) in weights.iter_mut().zip(tensors).zip(WEIGHTS) {
            let Some(tensor) = tensor else { continue };
            let dt = tensor.datum_type();
            let dtype = if self.spec.bf16 { Some(DType::BF16) } else { convert::dtype(dt) };
            let dtype = dtype.ok_or_else(|| self.spec.bad_input(input, format!("it is {dt:?}")))?;
            *weight = Some(Arc::new(convert::from_tract(tensor, dtype)?));
        }
        let weights = NodeWeights::new(&self.spec.node, weights).map_err(TractError::new)?;
        let mut weights = weights.with_subnormals(self.spec.subnormals);
        if let Some(weight_type) = self.spec.weight_type {
            weights = weights.with_type(weight_type);
        }
        NodeLayer::new(weights, self.spec.computed.kernels).map_err(|e| self.fail(e))
    }

    fn fail(&self, error: impl Into<Error>) -> TractError {
        TractError::new(OnnxError::of_layer(&self.spec.node.name, error.into()))
    }

    /// The layer for a call, packed if necessary.
    fn layer(
        &self,
        inputs: &TVec<TValue>,
        packed: &mut Option<PackedWeights>,
    ) -> TractResult<Arc<NodeLayer>> {
        if let Some(layer) = &self.layer {
            return Ok(layer.clone());
        }
        let from = self.weight_slots().map(|slot| slot.map(|i| inputs[i].clone().into_arc_tensor()));
        let layer = match packed.take() {
            Some(packed) if packed.is_of(&from) => packed.layer,
            _ => Arc::new(self.pack(from.each_ref().map(Option::as_deref))?),
        };
        *packed = Some(PackedWeights { from, layer: layer.clone() });
        Ok(layer)
    }

    fn run(&self, inputs: &TVec<TValue>, memory: &mut LayerMemory) -> TractResult<TVec<TValue>> {
        let layer = self.layer(inputs, &mut memory.packed)?;
        for (index, name) in [(0, "X"), (5, "initial_h"), (6, "initial_c")] {
            let Some(slot) = self.inputs[index] else { continue };
            self.spec.check_type(name, inputs[slot].datum_type(), layer.datum())?;
        }
        let LayerMemory { single, double, .. } = memory;
        let threads = match self.spec.computed.threads {
            0 => Threads::Pool,
            most => Threads::AtMost(most),
        };
        match &layer.body {
            Implementation::Single(body) => self.run_in(&layer, inputs, single, |call, state, scratch| {
                body.forward(call.sequence().threads(threads), state, scratch)
            }),
            Implementation::Double(body) => self.run_in(&layer, inputs, double, |call, state, scratch| {
                body.forward(call.sequence(), state, scratch)
            }),
            Implementation::OnnxRuntime(lstm) => self.run_in(&layer, inputs, single, |call, state, _| {
                let Call { x, lens, y } = call;
                lstm.forward(x, lens, y, state)
            }),
            Implementation::Reference(weights) if weights.is_f64() => {
                self.run_in(&layer, inputs, double, |call, state, _| forward_f64(weights, call, state))
            }
            Implementation::Reference(weights) => {
                self.run_in(&layer, inputs, single, |call, state, _| forward_f64(weights, call, state))
            }
        }
    }

    /// Runs `forward` on the inputs of a call.
    fn run_in<F: Float>(
        &self,
        layer: &NodeLayer,
        inputs: &TVec<TValue>,
        memory: &mut Part<F>,
        forward: impl FnOnce(Call<'_, F>, &mut State<F>, &mut F::Scratch) -> Result<(), Error>,
    ) -> TractResult<TVec<TValue>> {
        let x_shape: [usize; 3] = inputs[0].shape().try_into()?;
        let (axes, layout) = (self.spec.axes(), self.spec.node.layout);
        let (time, batch, width) = (x_shape[axes.time], x_shape[axes.batch], x_shape[2]);
        let dims = Dims { time, directions: 1, batch, width };
        let x = inputs[0].cast_to::<F>()?;
        let x = View::new(x.try_as_plain_ram()?.as_slice::<F>()?, dims, layout).map_err(|e| self.fail(e))?;
        let lens = match self.inputs[4] {
            Some(i) => Some(inputs[i].try_as_plain_ram()?.as_slice::<i32>()?),
            None => None,
        };
        let (state, scratch) = memory.start(layer, batch).map_err(|e| self.fail(e))?;
        let shape = layer.shape();
        self.load_state("initial_h", self.inputs[5].map(|i| &*inputs[i]), batch, shape, state.h_mut())?;
        self.load_state("initial_c", self.inputs[6].map(|i| &*inputs[i]), batch, shape, state.c_mut())?;
        let out = Dims { directions: shape.direction.count(), width: shape.hidden, ..dims };
        let mut y = self.new_y::<F>(out, inputs[0].len())?;
        let mut y_data = y.as_mut().map(|y| y.try_as_plain_ram_mut()).transpose()?;
        let y_view = match &mut y_data {
            Some(data) => Some(ViewMut::new(data.as_slice_mut()?, out, layout).map_err(|e| self.fail(e))?),
            None => None,
        };
        forward(Call { x, lens, y: y_view }, state, scratch).map_err(|e| self.fail(e))?;
        self.results(layer, y, state)
    }

    /// Copies an initial state from the layout of the node to `[D, B, H]`.
    fn load_state<F: Float>(
        &self,
        input: &str,
        initial: Option<&Tensor>,
        batch: usize,
        shape: Shape,
        to: &mut [F],
    ) -> TractResult<()> {
        let Some(initial) = initial else { return Ok(()) };
        let expected = self.state_dims(batch, shape);
        if initial.shape() != expected {
            let reason = format!("its dimensions are {:?}, not {expected:?}", initial.shape());
            return Err(self.spec.bad_input(input, reason));
        }
        let initial = initial.cast_to::<F>()?;
        swap_outer(initial.try_as_plain_ram()?.as_slice::<F>()?, expected, self.spec.node.layout, to);
        Ok(())
    }

    fn state_dims(&self, batch: usize, shape: Shape) -> [usize; 3] {
        match self.spec.node.layout {
            Layout::TimeMajor => [shape.direction.count(), batch, shape.hidden],
            Layout::BatchMajor => [batch, shape.direction.count(), shape.hidden],
        }
    }

    /// A new tensor for Y, if the node has that output.
    fn new_y<F: Float>(&self, out: Dims, x_len: usize) -> TractResult<Option<Tensor>> {
        if self.spec.outputs[0].is_none() {
            return Ok(None);
        }
        let len = out.checked_len().filter(|&len| x_len > 0 || len <= MAX_Y_OF_EMPTY_X);
        if len.is_none() {
            return Err(self.spec.bad_input("X", format!("Y would have {out:?}")));
        }
        let shape = match self.spec.node.layout {
            Layout::TimeMajor => [out.time, out.directions, out.batch, out.width],
            Layout::BatchMajor => [out.batch, out.time, out.directions, out.width],
        };
        Ok(Some(Tensor::zero_dt(F::datum_type(), &shape)?))
    }

    /// The outputs, in the order of the node.
    fn results<F: Float>(
        &self,
        layer: &NodeLayer,
        y: Option<Tensor>,
        state: &State<F>,
    ) -> TractResult<TVec<TValue>> {
        let shape = layer.shape();
        let last = |values: &[F]| {
            let (d, b, h) = (shape.direction.count(), state.batch(), shape.hidden);
            let mut out = Tensor::zero_dt(F::datum_type(), &self.state_dims(b, shape))?;
            let mut data = out.try_as_plain_ram_mut()?;
            swap_outer(values, [d, b, h], self.spec.node.layout, data.as_slice_mut()?);
            Ok::<_, TractError>(out)
        };
        let [_, y_h, y_c] = self.spec.outputs;
        let y_h = y_h.map(|_| last(state.h())).transpose()?;
        let y_c = y_c.map(|_| last(state.c())).transpose()?;
        let present = [y, y_h, y_c].into_iter().flatten();
        present.map(|value| Ok(narrow(value, layer.dtype)?.into_tvalue())).collect()
    }
}

/// Copies `[A, B, H]`. If the layout is batch-major, swaps the axes to `[B, A, H]`.
fn swap_outer<F: Float>(from: &[F], [a, b, h]: [usize; 3], layout: Layout, to: &mut [F]) {
    if layout == Layout::TimeMajor || h == 0 {
        to.copy_from_slice(from);
        return;
    }
    for (i, row) in from.chunks_exact(h).enumerate() {
        to[((i % b) * a + i / b) * h..][..h].copy_from_slice(row);
    }
}

/// Rounds a result of f32 to the node's half precision.
fn narrow(mut value: Tensor, dtype: DType) -> TractResult<Tensor> {
    match dtype {
        DType::BF16 => {
            let mut data = value.try_as_plain_ram_mut()?;
            data.as_slice_mut::<f32>()?.iter_mut().for_each(|v| *v = bf16::from_f32(*v).into());
        }
        DType::F16 => {
            let data = value.try_as_plain_ram()?;
            let rounded: Vec<f16> = data.as_slice::<f32>()?.iter().map(|&v| f16::from_f32(v)).collect();
            return Tensor::from_shape(value.shape(), &rounded);
        }
        _ => {}
    }
    Ok(value)
}

impl OpState for LayerMemory {
    fn eval(&mut self, _: &EvalContext, op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let op = op.downcast_ref::<Recurrent>().context("memory of another operator")?;
        op.run(&inputs, self)
    }

    fn reset_lanes(&mut self, _: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}

impl EvalOp for Recurrent {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.run(&inputs, &mut LayerMemory::default()).map(Some)
    }

    fn state(&self, _: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Kept::state(LayerMemory::default())
    }
}

impl Op for Recurrent {
    fn name(&self) -> StaticName {
        self.spec.node.op.name().into()
    }

    op_as_typed_op!();
}

impl TypedOp for Recurrent {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let axes = self.spec.axes();
        let x = &inputs[0].shape;
        if x.rank() != 3 {
            return Err(self.spec.bad_input("X", format!("it has {} dimensions, not 3", x.rank())));
        }
        let hidden = match (&self.layer, self.inputs[2], self.spec.node.hidden) {
            (Some(layer), _, _) => {
                let expected = layer.shape().input;
                if x[2].to_usize().is_ok_and(|width| width != expected) {
                    let reason = format!("its last dimension is {}, not {expected}", x[2]);
                    return Err(self.spec.bad_input("X", reason));
                }
                self.spec.check_type("X", inputs[0].datum_type, layer.datum())?;
                layer.shape().hidden.to_dim()
            }
            (None, _, Some(hidden)) => hidden.to_dim(),
            (None, Some(r), None) if inputs[r].rank() == 3 => {
                inputs[r].shape[self.spec.node.op.summed_axis()].clone()
            }
            _ => bail!("R has not three dimensions"),
        };
        let directions = self.spec.node.direction.count().to_dim();
        let mut y: TVec<TDim> = tvec![hidden.clone(); 4];
        y[axes.y[0]] = x[axes.time].clone();
        y[axes.y[1]] = directions.clone();
        y[axes.y[2]] = x[axes.batch].clone();
        let mut state: TVec<TDim> = tvec![hidden; 3];
        state[axes.state[0]] = directions;
        state[axes.state[1]] = x[axes.batch].clone();
        let shapes = [y, state.clone(), state];
        let present = shapes.iter().zip(self.spec.outputs).filter(|(_, slot)| slot.is_some());
        Ok(present.map(|(shape, _)| inputs[0].datum_type.fact(shape)).collect())
    }

    fn codegen(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        let Some((op, kept)) = self.capture(&model.node_input_facts(node.id)?)? else { return Ok(None) };
        let kept: TVec<OutletId> = kept.into_iter().map(|i| node.inputs[i]).collect();
        TypedModelPatch::replace_single_op(model, node, &kept, op).map(Some)
    }

    as_op!();
}

#[cfg(test)]
mod tests;
