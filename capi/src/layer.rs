//! Layers from weights.

use crate::lent::{self, Lent};
use crate::pack::{Packing, SUBNORMALS, WEIGHT_TYPES};
use crate::{Failure, PackDesc, RNNPACK_ARGUMENT, Status, isa, status};
use rnnpack::{Direction, Error, GateOrder, Layer, LayerTensors, LayerWeights, Shape, Stack};
use rnnpack_onnx::{CellAttributes, RecurrentOp};
use std::ffi::c_char;
use std::mem::offset_of;

/// Operator: LSTM, with 4 gates.
pub const RNNPACK_LSTM: i32 = 0;
/// Operator: GRU, with 3 gates.
pub const RNNPACK_GRU: i32 = 1;
/// Operator: RNN, with 1 gate.
pub const RNNPACK_RNN: i32 = 2;

/// Direction: from the first step to the last.
pub const RNNPACK_FORWARD: i32 = 0;
/// Direction: from each sequence's own last step to the first.
pub const RNNPACK_REVERSE: i32 = 1;
/// Direction: both; direction 0 reads forward, direction 1 in reverse.
pub const RNNPACK_BIDIRECTIONAL: i32 = 2;

/// Order of the gates in w, r and b: ONNX. LSTM: input, output, forget, cell. GRU: update, reset, hidden.
pub const RNNPACK_GATES_ONNX: i32 = 0;
/// Order of the gates in w, r and b: PyTorch. LSTM: input, forget, cell, output. GRU: reset, update, hidden.
pub const RNNPACK_GATES_PYTORCH: i32 = 1;

pub(crate) const OPS: [RecurrentOp; 3] = [RecurrentOp::Lstm, RecurrentOp::Gru, RecurrentOp::Rnn];
pub(crate) const DIRECTIONS: [Direction; 3] =
    [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

/// A layer with packed weights, or a stack of layers on top of each other. It never changes: many threads may use one at
/// once, each with its own state and scratch.
pub struct LayerHandle {
    pub(crate) stack: Stack,
    /// I of the first layer; H and the direction of the last.
    pub(crate) shape: Shape,
    /// What a state must agree in.
    pub(crate) layers: Box<[OfLayer]>,
}

/// What a state must have in common with a layer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct OfLayer {
    pub(crate) op: RecurrentOp,
    pub(crate) directions: usize,
    pub(crate) hidden: usize,
}

impl OfLayer {
    fn new(layer: &Layer) -> OfLayer {
        let (Shape { hidden, direction, .. }, op) = (layer.shape(), layer.cell().op());
        let op = OPS.into_iter().find(|other| other.name() == op);
        OfLayer { op: op.expect("every cell has an operator"), directions: direction.count(), hidden }
    }
}

impl LayerHandle {
    pub(crate) fn new(layers: Vec<Layer>) -> Result<LayerHandle, Error> {
        let stack = Stack::new(layers)?;
        let layers = stack.layers();
        let (first, last) = (layers[0].shape(), layers[layers.len() - 1].shape());
        let (shape, layers) =
            (Shape { input: first.input, ..last }, layers.iter().map(OfLayer::new).collect());
        Ok(LayerHandle { stack, shape, layers })
    }
}

/// What a layer computes, and its weights. Set all of it to zero first, then size and what the layer has: zeros mean a
/// forward LSTM with ONNX's order of gates, its default activations and no options.
///
/// D is the number of directions (2 where it is bidirectional, else 1), G the operator's number of gates, I the input
/// size, H the hidden size. Tensors are dense, with the first extent outermost. The options are the attributes of ONNX's
/// operators of these names.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LayerDesc {
    /// sizeof(rnnpack_layer_desc).
    pub size: usize,
    /// RNNPACK_LSTM, RNNPACK_GRU or RNNPACK_RNN.
    pub op: i32,
    /// RNNPACK_FORWARD, RNNPACK_REVERSE or RNNPACK_BIDIRECTIONAL.
    pub direction: i32,
    /// RNNPACK_GATES_ONNX or RNNPACK_GATES_PYTORCH. PyTorch's GRU has linear_before_reset.
    pub gate_order: i32,
    /// LSTM only: 1 couples the gates, forget = 1 - input. Else 0.
    pub input_forget: i32,
    /// GRU only: 1 lets the reset gate act on the product of R and h. Else 0.
    pub linear_before_reset: i32,
    /// 1 where clip is given, else 0.
    pub has_clip: i32,
    /// Arguments of activations are clipped to this and its negative; positive and finite.
    pub clip: f32,
    /// I.
    pub input: usize,
    /// H, at least 1.
    pub hidden: usize,
    /// W [D, G*H, I].
    pub w: *const f32,
    /// Its elements.
    pub w_count: usize,
    /// R [D, G*H, H].
    pub r: *const f32,
    /// Its elements.
    pub r_count: usize,
    /// B [D, 2*G*H]: of each direction the biases of W for all gates, then those of R. NULL: no biases.
    pub b: *const f32,
    /// Its elements.
    pub b_count: usize,
    /// P [D, 3*H], the peepholes of an LSTM's gates input, output and forget, in this order always. NULL: none.
    pub p: *const f32,
    /// Its elements.
    pub p_count: usize,
    /// Names of the activation functions, of each direction as many as the operator has: 3, 2 or 1. NULL: the defaults.
    pub activations: *const *const c_char,
    /// The number of names.
    pub activation_count: usize,
    /// Values of the functions' first parameters: each goes to the next function that has one, in order. May be NULL.
    pub activation_alpha: *const f32,
    /// Their number.
    pub activation_alpha_count: usize,
    /// Values of the functions' second parameters, likewise. May be NULL.
    pub activation_beta: *const f32,
    /// Their number.
    pub activation_beta_count: usize,
    /// How the weights are packed. NULL: the defaults.
    pub pack: *const PackDesc,
}

/// What rnnpack_layer_get_info tells of a layer or a stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LayerInfo {
    /// In: sizeof(rnnpack_layer_info).
    pub size: usize,
    /// The operator; of a stack, that of the last layer.
    pub op: i32,
    /// The direction; of a stack, that of the last layer.
    pub direction: i32,
    /// D: 1 or 2; of a stack, that of the last layer.
    pub directions: usize,
    /// I; of a stack, that of the first layer.
    pub input: usize,
    /// H; of a stack, that of the last layer.
    pub hidden: usize,
    /// The number of layers: 1, or those of a stack.
    pub layers: usize,
    /// Elements of h of one batch row: D*H, or the sum of the layers' of a stack. The h_count of a state is B times this.
    pub h_per_row: usize,
    /// Elements of c of one batch row: D*H of an LSTM, else 0; or the sum of the layers' of a stack.
    pub c_per_row: usize,
    /// Bytes of the packed weights of all layers.
    pub packed_bytes: usize,
    /// What the layer does with subnormal numbers, such as RNNPACK_SUBNORMALS_KEEP; of a stack, the last layer.
    pub subnormals: i32,
    /// Weights of all layers that were subnormal and became zero when they were packed.
    pub flushed_weights: u64,
    /// Bytes that rnnpack_layer_to_bytes writes; 0 for a stack of several layers.
    pub bytes_count: usize,
    /// Name of the instruction set that the layer is packed for; it lasts for ever. Of a stack, that of the last layer.
    pub isa: *const c_char,
    /// The type in which W and R are stored, such as RNNPACK_WEIGHT_TYPE_F32; of a stack, in the last layer.
    pub weight_type: i32,
}

// SAFETY: zeros are numbers and NULL pointers.
unsafe impl lent::Structure for LayerDesc {}

// SAFETY: zeros are numbers and a NULL pointer, and a `usize` stands before the last member.
unsafe impl lent::Structure for LayerInfo {
    const EARLIER: &'static [usize] = &[offset_of!(LayerInfo, weight_type)];
}

impl LayerInfo {
    fn of(LayerHandle { stack, shape, .. }: &LayerHandle) -> Result<LayerInfo, Failure> {
        let layers = stack.layers();
        let last = &layers[layers.len() - 1];
        let sum = |of: fn(&Layer) -> usize| layers.iter().map(of).sum();
        Ok(LayerInfo {
            size: size_of::<LayerInfo>(),
            op: constant(&OPS, OfLayer::new(last).op),
            direction: constant(&DIRECTIONS, shape.direction),
            directions: shape.direction.count(),
            input: shape.input,
            hidden: shape.hidden,
            layers: layers.len(),
            h_per_row: sum(|layer| layer.shape().output()),
            c_per_row: sum(|layer| if layer.cell().has_cell_state() { layer.shape().output() } else { 0 }),
            packed_bytes: sum(Layer::packed_bytes),
            subnormals: constant(&SUBNORMALS, last.subnormals()),
            flushed_weights: layers.iter().map(Layer::flushed_weights).fold(0, u64::saturating_add),
            bytes_count: if let [layer] = layers { layer.bytes_size()? } else { 0 },
            isa: isa::name(last.plan().variant),
            weight_type: constant(&WEIGHT_TYPES, Some(last.weight_type())),
        })
    }
}

/// The index of `value` in a list that C's constants number.
pub(crate) fn constant<T: PartialEq>(list: &[T], value: T) -> i32 {
    list.iter().position(|other| *other == value).map_or(-1, |at| at as i32)
}

/// The most activation functions that an operator has: three of each direction of an LSTM.
const FUNCTIONS: usize = 6;

/// # Safety
/// The contract holds for everything that `desc` points to.
unsafe fn pack(desc: &LayerDesc) -> Result<LayerHandle, Failure> {
    let op = lent::choice(desc.op, "op", &OPS)?;
    let direction = lent::choice(desc.direction, "direction", &DIRECTIONS)?;
    let order = lent::choice(desc.gate_order, "gate_order", &[GateOrder::Onnx, GateOrder::PyTorch])?;
    let shape = Shape { input: desc.input, hidden: desc.hidden, direction };
    // SAFETY: by the contract.
    unsafe {
        let mut names = [""; FUNCTIONS];
        let activations = names_of(desc, &mut names)?;
        let parameters = |start, count: usize, what| {
            if count > FUNCTIONS {
                return Err(Failure::new(
                    RNNPACK_ARGUMENT,
                    format_args!("{what}_count is {count}, more than any operator has functions"),
                ));
            }
            Ok::<_, Failure>(Lent::new(start, count, what)?.slice())
        };
        let attributes = CellAttributes {
            activations,
            activation_alpha: parameters(
                desc.activation_alpha,
                desc.activation_alpha_count,
                "activation_alpha",
            )?,
            activation_beta: parameters(desc.activation_beta, desc.activation_beta_count, "activation_beta")?,
            clip: lent::flag(desc.has_clip, "has_clip")?.then_some(desc.clip),
            input_forget: lent::flag(desc.input_forget, "input_forget")?,
            linear_before_reset: lent::flag(desc.linear_before_reset, "linear_before_reset")?,
        };
        let cells = attributes.cells(op, direction.count());
        let cells = cells.map_err(|bad| Failure::new(RNNPACK_ARGUMENT, format_args!("{bad}")))?;
        let optional = |start, count, what| {
            Ok::<_, Failure>(Lent::optional(start, count, what)?.map(|lent| lent.slice()))
        };
        let tensors = LayerTensors {
            w: Lent::new(desc.w, desc.w_count, "w")?.slice(),
            r: Lent::new(desc.r, desc.r_count, "r")?.slice(),
            b: optional(desc.b, desc.b_count, "b")?,
            p: optional(desc.p, desc.p_count, "p")?,
        };
        let packing = Packing::new(desc.pack)?;
        Ok(packing.layer(LayerWeights::per_direction(&cells, shape, order, tensors)?)?)
    }
}

/// Reads the names of activations into `room`.
///
/// # Safety
/// The contract holds for everything that `desc` points to.
unsafe fn names_of<'a, 'd>(
    desc: &LayerDesc,
    room: &'a mut [&'d str; FUNCTIONS],
) -> Result<Option<&'a [&'d str]>, Failure> {
    let Some(given) = Lent::optional(desc.activations, desc.activation_count, "activations")? else {
        return Ok(None);
    };
    let Some(names) = room.get_mut(..given.count) else {
        return Err(Failure::new(
            RNNPACK_ARGUMENT,
            format_args!("activation_count is {}, more than any operator has", given.count),
        ));
    };
    // SAFETY: by the contract.
    for (name, &given) in names.iter_mut().zip(unsafe { given.slice() }) {
        // SAFETY: by the contract.
        *name = unsafe { lent::text(given, "a name of activations")? };
    }
    Ok(Some(names))
}

/// Packs a layer. The weights are copied: what desc points to is needed during the call alone.
///
/// desc: what the layer computes. layer: out, NULL where the call fails.
///
/// Fails with RNNPACK_WEIGHTS for a weight that is NaN or infinite, or beyond the range of the type to store it in,
/// RNNPACK_SHAPE for counts that disagree with the sizes, RNNPACK_ARGUMENT for options that the operator does not have.
/// Owner: the caller, until rnnpack_layer_free.
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_layer_new(desc: *const LayerDesc, layer: *mut *mut LayerHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { lent::create(layer, "layer", || pack(&lent::read(desc, "desc")?)) })
}

/// Tells a layer's operator, sizes, bytes and instruction set.
///
/// info: in and out; set its size first.
///
/// Threads: any number at once, also on one layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_layer_get_info(layer: *const LayerHandle, info: *mut LayerInfo) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        let layer = lent::handle(layer, "layer")?;
        lent::fill(info, "info", || LayerInfo::of(layer))
    })
}

/// Frees a layer or a stack; NULL is allowed. Stacks made of it stay, and states that were made for it stay usable, with
/// another layer of its sizes.
///
/// Threads: when no other call uses the layer any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_layer_free(layer: *mut LayerHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { lent::free(layer, "layer") })
}
