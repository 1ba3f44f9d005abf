//! A recurrent node as an operator that tract runs.

use super::Kernels;
use super::convert;
use super::recurrent_node::{InputSlots, Spec};
use super::round::odd_f32;
use half::{bf16, f16};
use rnnpack::{
    Cell, Dims, Error, LayerF64, Layout, Scratch, ScratchF64, Sequence, Shape, State, Threads, View, ViewMut,
    reference,
};
use rnnpack_onnx::node::layer_error;
use rnnpack_onnx::tensor::DType;
use rnnpack_onnx::weights::{INPUTS, Weight, Weights};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// Elements of Y beyond which a call is refused whose X has no elements that could account for them.
const MAX_Y_OF_EMPTY_X: usize = 1 << 28;

/// A layer that can be run, and the element type of its node.
struct Layer {
    body: Body,
    dtype: DType,
}

enum Body {
    Single(rnnpack::Layer),
    Double(LayerF64),
    Reference(Weights),
}

impl Layer {
    fn new(weights: Weights, kernels: Kernels) -> Result<Layer, Error> {
        let dtype = weights.dtype();
        let body = match kernels {
            Kernels::Reference64 => Body::Reference(weights),
            _ if weights.is_f64() => Body::Double(LayerF64::new(&weights.view()?)?),
            _ => Body::Single(rnnpack::Layer::new(&weights.view()?)?),
        };
        Ok(Layer { body, dtype })
    }

    fn shape(&self) -> Shape {
        match &self.body {
            Body::Single(layer) => layer.shape(),
            Body::Double(layer) => layer.shape(),
            Body::Reference(weights) => weights.shape(),
        }
    }

    fn cell(&self) -> &Cell {
        match &self.body {
            Body::Single(layer) => layer.cell(),
            Body::Double(layer) => layer.cell(),
            Body::Reference(weights) => &weights.cells()[0],
        }
    }

    /// The element type of the node's values in tract.
    fn datum(&self) -> DatumType {
        match self.dtype {
            DType::F64 => DatumType::F64,
            DType::F16 => DatumType::F16,
            _ => DatumType::F32,
        }
    }
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape())
    }
}

/// A recurrent node in a typed model.
///
/// Where its weights are constants it holds a layer and has the inputs that are no weights. Else it has all inputs
/// of the node, and packs the weights when it runs.
#[derive(Debug, Clone)]
pub(super) struct Recurrent {
    spec: Arc<Spec>,
    inputs: InputSlots,
    layer: Option<Arc<Layer>>,
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
    pub(super) fn new(spec: Arc<Spec>, inputs: InputSlots) -> Self {
        Self { spec, inputs, layer: None }
    }

    /// The wired inputs that are weights.
    fn weight_slots(&self) -> [Option<usize>; 4] {
        INPUTS.map(|(_, index)| self.inputs[index])
    }

    /// The op with a layer, and the inputs that it keeps, when `facts` of the inputs know all weights.
    pub(super) fn capture(&self, facts: &[&TypedFact]) -> TractResult<Option<(Recurrent, TVec<usize>)>> {
        let slots = self.weight_slots();
        if self.layer.is_some() || slots.iter().flatten().any(|&i| facts[i].konst.is_none()) {
            return Ok(None);
        }
        let layer = self.pack(slots.map(|slot| slot.and_then(|i| facts[i].konst.as_deref())))?;
        let mut kept = tvec![];
        let mut inputs = [None; 8];
        for i in [0, 4, 5, 6] {
            if let Some(slot) = self.inputs[i] {
                inputs[i] = Some(kept.len());
                kept.push(slot);
            }
        }
        Ok(Some((Recurrent { spec: self.spec.clone(), inputs, layer: Some(Arc::new(layer)) }, kept)))
    }

    /// Checks what is known of the extents of weights that are no constants yet.
    pub(super) fn check_open(&self, facts: &[&TypedFact]) -> TractResult<()> {
        let extent = |slot: Option<usize>, axis: usize| facts[slot?].shape.get(axis)?.to_usize().ok();
        let [_, r, ..] = self.weight_slots();
        let settings = &self.spec.settings;
        let (input, hidden) = (extent(self.inputs[0], 2), extent(r, 2));
        if let (Some(given), Some(found)) = (settings.hidden, hidden)
            && given != found
        {
            let reason = format!("{given}, but R has {found}");
            return Err(TractError::new(self.spec.reader().bad_attribute("hidden_size", reason)));
        }
        let hidden = hidden.or(settings.hidden);
        let rows = |factor: usize| hidden.and_then(|h| h.checked_mul(factor));
        let (directions, gates) = (Some(settings.direction.count()), self.spec.op.gates());
        let expected: [&[Option<usize>]; 4] = [
            &[directions, rows(gates), input],
            &[directions, rows(gates), hidden],
            &[directions, rows(2 * gates)],
            &[directions, rows(3)],
        ];
        for ((slot, expected), (name, _)) in self.weight_slots().into_iter().zip(expected).zip(INPUTS) {
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

    /// Packs weights, in the order of [`INPUTS`].
    fn pack(&self, tensors: [Option<&Tensor>; 4]) -> TractResult<Layer> {
        let mut weights = [const { None }; 4];
        for ((weight, tensor), (input, _)) in weights.iter_mut().zip(tensors).zip(INPUTS) {
            let Some(tensor) = tensor else { continue };
            let dt = tensor.datum_type();
            let dtype = if self.spec.bf16 { Some(DType::BF16) } else { convert::dtype(dt) };
            let dtype = dtype.ok_or_else(|| self.spec.bad_input(input, format!("it is {dt:?}")))?;
            *weight = Some(Weight::new(Arc::new(convert::from_tract(tensor, dtype)?)));
        }
        let (reader, settings) = (self.spec.reader(), &self.spec.settings);
        let weights = weights.each_ref().map(Option::as_ref);
        let weights = Weights::new(&reader, settings, self.spec.cells.clone(), weights);
        Layer::new(weights.map_err(TractError::new)?, self.spec.kernels).map_err(|e| self.fail(e))
    }

    fn fail(&self, error: impl Into<Error>) -> TractError {
        TractError::new(layer_error(self.spec.name(), error.into()))
    }

    /// The layer for a call.
    fn layer(&self, inputs: &TVec<TValue>, packed: &mut Option<Packed>) -> TractResult<Arc<Layer>> {
        if let Some(layer) = &self.layer {
            return Ok(layer.clone());
        }
        let from = self.weight_slots().map(|slot| slot.map(|i| inputs[i].clone().into_arc_tensor()));
        let layer = match packed.take() {
            Some(packed) if packed.is_of(&from) => packed.layer,
            _ => Arc::new(self.pack(from.each_ref().map(Option::as_deref))?),
        };
        *packed = Some(Packed { from, layer: layer.clone() });
        Ok(layer)
    }

    fn run(&self, inputs: &TVec<TValue>, memory: &mut Memory) -> TractResult<TVec<TValue>> {
        let layer = self.layer(inputs, &mut memory.packed)?;
        for (index, name) in [(0, "X"), (5, "initial_h"), (6, "initial_c")] {
            let Some(slot) = self.inputs[index] else { continue };
            self.spec.check_type(name, inputs[slot].datum_type(), layer.datum())?;
        }
        let Memory { single, double, .. } = memory;
        let threads = match self.spec.threads {
            0 => Threads::Pool,
            most => Threads::AtMost(most),
        };
        match &layer.body {
            Body::Single(body) => self.run_in(&layer, inputs, single, |call, state, scratch| {
                body.forward(call.sequence().threads(threads), state, scratch)
            }),
            Body::Double(body) => self.run_in(&layer, inputs, double, |call, state, scratch| {
                body.forward(call.sequence(), state, scratch)
            }),
            Body::Reference(weights) if weights.is_f64() => {
                self.run_in(&layer, inputs, double, |call, state, _| forward_f64(weights, call, state))
            }
            Body::Reference(weights) => {
                self.run_in(&layer, inputs, single, |call, state, _| forward_f64(weights, call, state))
            }
        }
    }

    /// Runs `forward` on the inputs of a call.
    fn run_in<F: Float>(
        &self,
        layer: &Layer,
        inputs: &TVec<TValue>,
        memory: &mut Part<F>,
        forward: impl FnOnce(Call<'_, F>, &mut State<F>, &mut F::Scratch) -> Result<(), Error>,
    ) -> TractResult<TVec<TValue>> {
        let x_shape: [usize; 3] = inputs[0].shape().try_into()?;
        let (axes, layout) = (self.spec.axes(), self.spec.settings.layout);
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

    /// Copies an initial state, in the layout of the node, to `[D, B, H]`.
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
        swap_outer(initial.try_as_plain_ram()?.as_slice::<F>()?, expected, self.spec.settings.layout, to);
        Ok(())
    }

    fn state_dims(&self, batch: usize, shape: Shape) -> [usize; 3] {
        match self.spec.settings.layout {
            Layout::TimeMajor => [shape.direction.count(), batch, shape.hidden],
            Layout::BatchMajor => [batch, shape.direction.count(), shape.hidden],
        }
    }

    /// Y, when the node has that output.
    fn new_y<F: Float>(&self, out: Dims, x_len: usize) -> TractResult<Option<Tensor>> {
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
        Ok(Some(Tensor::zero_dt(F::datum_type(), &shape)?))
    }

    /// The outputs in the order of the node.
    fn results<F: Float>(
        &self,
        layer: &Layer,
        y: Option<Tensor>,
        state: &State<F>,
    ) -> TractResult<TVec<TValue>> {
        let shape = layer.shape();
        let last = |values: &[F]| {
            let (d, b, h) = (shape.direction.count(), state.batch(), shape.hidden);
            let mut out = Tensor::zero_dt(F::datum_type(), &self.state_dims(b, shape))?;
            let mut data = out.try_as_plain_ram_mut()?;
            swap_outer(values, [d, b, h], self.spec.settings.layout, data.as_slice_mut()?);
            Ok::<_, TractError>(out)
        };
        let [_, y_h, y_c] = self.spec.outputs;
        let y_h = y_h.map(|_| last(state.h())).transpose()?;
        let y_c = y_c.map(|_| last(state.c())).transpose()?;
        let present = [y, y_h, y_c].into_iter().flatten();
        present.map(|value| Ok(narrow(value, layer.dtype)?.into_tvalue())).collect()
    }
}

/// Copies `[A, B, H]` to `[B, A, H]` where the layout is batch-major, else as it is.
fn swap_outer<F: Float>(from: &[F], [a, b, h]: [usize; 3], layout: Layout, to: &mut [F]) {
    if layout == Layout::TimeMajor || h == 0 {
        to.copy_from_slice(from);
        return;
    }
    for (i, row) in from.chunks_exact(h).enumerate() {
        to[((i % b) * a + i / b) * h..][..h].copy_from_slice(row);
    }
}

/// Rounds what was computed in f32 for a node of half precision.
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

/// What a layer computes in: f32 or f64.
trait Float: Datum + Copy + rnnpack::Element + rnnpack_onnx::Element + Into<f64> {
    type Scratch: Default;

    /// The number for a result of the f64 reference; `half` says that it will be rounded to half precision.
    fn rounded(v: f64, half: bool) -> Self;
}

impl Float for f32 {
    type Scratch = Scratch;

    fn rounded(v: f64, half: bool) -> f32 {
        if half { odd_f32(v) } else { v as f32 }
    }
}

impl Float for f64 {
    type Scratch = ScratchF64;

    fn rounded(v: f64, _: bool) -> f64 {
        v
    }
}

/// The tensors of a call, beside the states.
struct Call<'a, F> {
    x: View<'a, F>,
    lens: Option<&'a [i32]>,
    y: Option<ViewMut<'a, F>>,
}

impl<'a, F: rnnpack::Element> Call<'a, F> {
    fn sequence(self) -> Sequence<'a, F> {
        Sequence::views(self.x, self.y).optional_lens(self.lens)
    }
}

/// The layer by the f64 reference: the state is widened, and results are rounded at the end.
fn forward_f64<F: Float>(
    weights: &Weights,
    Call { x, lens, mut y }: Call<'_, F>,
    state: &mut State<F>,
) -> Result<(), Error>
where
    f64: From<F>,
{
    let Dims { time, batch, .. } = x.dims();
    let Shape { hidden, direction, .. } = weights.shape();
    let half = matches!(weights.dtype(), DType::F16 | DType::BF16);
    let round =
        |wide: &[f64], to: &mut [F]| to.iter_mut().zip(wide).for_each(|(to, &v)| *to = F::rounded(v, half));
    for (d, weights) in weights.view::<F>()?.directions().iter().enumerate() {
        let cells = if weights.cell().has_cell_state() { batch * hidden } else { 0 };
        let (h, c) = (d * batch * hidden.., d * cells..);
        let widen = |v: &[F]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let mut wide_h = widen(&state.h()[h.clone()][..batch * hidden]);
        let mut wide_c = widen(&state.c()[c.clone()][..cells]);
        let reverse = direction.is_reverse(d);
        let wide = reference::forward::<F, f64>(weights, x, lens, reverse, &mut wide_h, &mut wide_c)?;
        round(&wide_h, &mut state.h_mut()[h]);
        round(&wide_c, &mut state.c_mut()[c]);
        let Some(y) = &mut y else { continue };
        for (i, row) in wide.chunks_exact(hidden).enumerate().take(time * batch) {
            round(row, y.row_mut(i / batch, d, i % batch));
        }
    }
    Ok(())
}

/// What a node keeps from one call to the next: memory, and the weights that it packed last.
#[derive(Default)]
pub(super) struct Memory {
    single: Part<f32>,
    double: Part<f64>,
    packed: Option<Packed>,
}

/// Memory of a layer that computes in `F`.
struct Part<F: Float> {
    state: Option<(Shape, State<F>)>,
    scratch: F::Scratch,
}

impl<F: Float> Default for Part<F> {
    fn default() -> Self {
        Self { state: None, scratch: F::Scratch::default() }
    }
}

impl<F: Float> Part<F> {
    /// The state at zeros for `batch` rows of `layer`, and the scratch.
    fn start(&mut self, layer: &Layer, batch: usize) -> Result<(&mut State<F>, &mut F::Scratch), Error> {
        let shape = layer.shape();
        let state = match self.state.take() {
            Some((of, mut state)) if of == shape && state.batch() == batch => {
                state.reset();
                state
            }
            _ => State::zeros(layer.cell(), shape, batch)?,
        };
        Ok((&mut self.state.insert((shape, state)).1, &mut self.scratch))
    }
}

/// Weights that are no constants, as they were packed last.
struct Packed {
    /// The tensors, which cannot change while they are held.
    from: [Option<Arc<Tensor>>; 4],
    layer: Arc<Layer>,
}

impl Packed {
    /// Whether the layer is the one of these weights.
    fn is_of(&self, weights: &[Option<Arc<Tensor>>; 4]) -> bool {
        self.from.iter().zip(weights).all(|pair| match pair {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || same_contents(a, b),
            (None, None) => true,
            _ => false,
        })
    }
}

/// Whether two tensors have the same bits.
fn same_contents(a: &Tensor, b: &Tensor) -> bool {
    a.datum_type() == b.datum_type()
        && a.shape() == b.shape()
        && [a, b].iter().all(|t| t.try_as_plain_ram().is_ok())
        && a.as_bytes() == b.as_bytes()
}

impl Clone for Memory {
    /// Another node's memory: there is nothing in it to copy.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("memory of a layer")
    }
}

impl OpState for Memory {
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
        self.run(&inputs, &mut Memory::default()).map(Some)
    }

    fn state(&self, _: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Ok(Some(Box::new(Memory::default())))
    }
}

impl Op for Recurrent {
    fn name(&self) -> StaticName {
        self.spec.op.name().into()
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
        let hidden = match (&self.layer, self.inputs[2], self.spec.settings.hidden) {
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
            (None, Some(r), None) if inputs[r].rank() == 3 => inputs[r].shape[2].clone(),
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
mod tests {
    use super::*;
    use crate::repeat_op::Memory as LoopMemory;
    use crate::{Loader, Model, Stream};
    use prost::Message;
    use rnnpack_onnx as onnx;
    use tract_onnx::pb;

    /// W, R and B of an LSTM with I = 3 and H = 2.
    const WEIGHTS: [(&str, &[usize]); 3] = [("W", &[1, 8, 3]), ("R", &[1, 8, 2]), ("B", &[1, 16])];

    fn node(op: &str, inputs: &[&str], outputs: &[&str], graph: Option<pb::GraphProto>) -> pb::NodeProto {
        let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        let body = |g| {
            let r#type = pb::attribute_proto::AttributeType::Graph as i32;
            pb::AttributeProto { name: "body".into(), r#type, g: Some(g), ..Default::default() }
        };
        let attribute = graph.map(body).into_iter().collect();
        let op_type = op.to_string();
        pb::NodeProto {
            op_type,
            input: names(inputs),
            output: names(outputs),
            attribute,
            ..Default::default()
        }
    }

    fn info(name: &str, dims: Option<&[usize]>) -> pb::ValueInfoProto {
        let dim = |&d: &usize| pb::tensor_shape_proto::Dimension {
            value: Some(pb::tensor_shape_proto::dimension::Value::DimValue(d as i64)),
            ..Default::default()
        };
        let of = |dims: &[usize]| {
            let shape = Some(pb::TensorShapeProto { dim: dims.iter().map(dim).collect() });
            let value = pb::type_proto::Value::TensorType(pb::type_proto::Tensor { elem_type: 1, shape });
            pb::TypeProto { value: Some(value), ..Default::default() }
        };
        pb::ValueInfoProto { name: name.into(), r#type: dims.map(of), ..Default::default() }
    }

    /// An LSTM whose weights are inputs; in the main graph, or in a loop of five iterations.
    fn model(in_loop: bool) -> Model {
        let lstm = |y: &str| node("LSTM", &["X", "W", "R", "B"], &[y], None);
        let mut graph = pb::GraphProto { name: "main".into(), ..Default::default() };
        graph.input = WEIGHTS.iter().map(|(name, dims)| info(name, Some(dims))).collect();
        graph.input.push(info("X", Some(&[2, 1, 3])));
        graph.output = vec![info("Y", None)];
        if in_loop {
            let mut body = pb::GraphProto { name: "body".into(), ..Default::default() };
            body.input = vec![info("i", None), info("going", None)];
            body.output = vec![info("going", None), info("y", None)];
            body.node = vec![lstm("y")];
            let five = pb::TensorProto { data_type: 7, int64_data: vec![5], ..Default::default() };
            graph.initializer = vec![pb::TensorProto { name: "five".into(), ..five }];
            graph.node = vec![node("Loop", &["five", ""], &["Y"], Some(body))];
        } else {
            graph.node = vec![lstm("Y")];
        }
        let opset = pb::OperatorSetIdProto { version: 17, ..Default::default() };
        let model = pb::ModelProto { graph: Some(graph), opset_import: vec![opset], ..Default::default() };
        Loader::new().load(&model.encode_to_vec()).unwrap()
    }

    /// The layer that a stream's LSTM has packed.
    fn packed(stream: &Stream) -> Option<Arc<Layer>> {
        fn found(state: &TypedSimpleState) -> Option<Arc<Layer>> {
            state.op_states.iter().flatten().find_map(|s| match s.downcast_ref::<Memory>() {
                Some(memory) => memory.packed.as_ref().map(|p| p.layer.clone()),
                None => found(s.downcast_ref::<LoopMemory>()?.body()?),
            })
        }
        found(stream.state.as_ref()?)
    }

    fn weights(change: Option<usize>) -> [onnx::Tensor; 3] {
        std::array::from_fn(|i| {
            let mut values = vec![0.25f32; WEIGHTS[i].1.iter().product()];
            if change == Some(i) {
                values[3] = 0.0;
            }
            onnx::Tensor::new(WEIGHTS[i].1, values).unwrap()
        })
    }

    #[test]
    fn weights_are_packed_again_only_when_they_change() {
        for in_loop in [false, true] {
            let model = model(in_loop);
            let mut stream = model.stream(&[]).unwrap();
            // Layers are kept, so that no two have one address.
            let mut packings: Vec<Arc<Layer>> = vec![];
            let mut call = |weights: &[onnx::Tensor; 3], x: f32| {
                let x = onnx::Tensor::new(&[2, 1, 3], vec![x; 6]).unwrap();
                let named = WEIGHTS.iter().map(|(name, _)| *name).zip(weights);
                let feeds: Vec<_> = named.chain([("X", &x)]).collect();
                let found = stream.run(&feeds).unwrap();
                assert_eq!(found, model.run(&feeds).unwrap(), "as a stream that packs them afresh");
                let layer = packed(&stream).unwrap();
                if packings.last().is_none_or(|last| !Arc::ptr_eq(last, &layer)) {
                    packings.push(layer);
                }
                packings.len()
            };
            let same = weights(None);
            assert_eq!(call(&same, 0.5), 1);
            assert_eq!(call(&same, -0.5), 1, "the same tensors");
            assert_eq!(call(&weights(None), 0.5), 1, "other tensors of the same contents");
            for (i, count) in [(0, 2), (1, 3), (2, 4)] {
                assert_eq!(call(&weights(Some(i)), 0.5), count, "{} changed", WEIGHTS[i].0);
            }
            let mut minus = weights(Some(2));
            let zero = |v: &f32| if *v == 0.0 { -0.0 } else { *v };
            let values = minus[2].as_slice::<f32>().unwrap().iter().map(zero).collect();
            minus[2] = onnx::Tensor::new(WEIGHTS[2].1, values).unwrap();
            assert_eq!(call(&minus, 0.5), 5, "the sign of a zero is a change");
            assert_eq!(call(&same, 0.5), 6, "back to the first");
            assert_eq!(call(&same, 0.25), 6);
        }
    }

    #[test]
    fn weights_that_are_refused_do_not_stay() {
        let model = model(false);
        let mut stream = model.stream(&[]).unwrap();
        let x = onnx::Tensor::new(&[2, 1, 3], vec![0.5f32; 6]).unwrap();
        let mut run = |weights: &[onnx::Tensor; 3]| {
            let named = WEIGHTS.iter().map(|(name, _)| *name).zip(weights);
            stream.run(&named.chain([("X", &x)]).collect::<Vec<_>>())
        };
        let first = run(&weights(None)).unwrap();
        let mut bad = weights(None);
        bad[1] = onnx::Tensor::new(WEIGHTS[1].1, vec![f32::NAN; 16]).unwrap();
        run(&bad).unwrap_err();
        assert_eq!(run(&weights(None)).unwrap(), first);
    }
}
