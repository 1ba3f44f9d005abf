//! The weight tensors of a recurrent node, checked against its attributes and against each other.

use crate::brief::List;
use crate::error::Error;
use crate::operator::RecurrentOp;
use crate::spec::NodeSpec;
use crate::tensor::{DType, Element, Tensor, TensorData};
use rnnpack::{Cell, GateOrder, LayerTensors, LayerWeights, Shape, Subnormals, WeightType};
use std::sync::Arc;

/// The inputs that are weights, each with its index among the inputs of a node.
pub(crate) const INPUTS: [(&str, usize); 4] = [("W", 1), ("R", 2), ("B", 3), ("P", 7)];

/// The narrow types whose weights a layer widens in registers. A layer whose weights are numbers of such a type has the
/// same bits with it as with f32, and half of the bytes.
const NARROW: [WeightType; 2] = [WeightType::Bf16, WeightType::F16];

/// The tensor of one of [`INPUTS`].
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    /// The element type in the model.
    stored: DType,
    /// The numbers. f16 and bf16 are widened to f32; other types are as stored.
    values: Arc<Tensor>,
    /// The index and the value of the first NaN or infinity.
    not_finite: Option<(usize, f64)>,
    /// How many of the values are subnormal.
    subnormal: usize,
    /// For each of [`NARROW`], whether all values are numbers of this type.
    fits: [bool; NARROW.len()],
}

impl Weight {
    pub(crate) fn new(tensor: Arc<Tensor>) -> Weight {
        let stored = tensor.dtype();
        let values = match stored {
            DType::F16 | DType::BF16 => tensor.to_f32().map_or(tensor, Arc::new),
            _ => tensor,
        };
        let (not_finite, subnormal) = match values.data() {
            TensorData::F32(v) => (first_not_finite(v.iter().map(|&x| x.into())), subnormal(v)),
            TensorData::F64(v) => (first_not_finite(v.iter().copied()), subnormal(v)),
            _ => (None, 0),
        };
        let fits = NARROW.map(|narrow| values.as_slice::<f32>().is_some_and(|v| is_exact(v, narrow)));
        Weight { stored, values, not_finite, subnormal, fits }
    }

    /// The bytes of the widened copy, 0 if there is none. They come on top of the tensor that this was built from.
    pub(crate) fn widened_bytes(&self) -> usize {
        if self.values.dtype() == self.stored { 0 } else { self.values.bytes() }
    }

    /// The bytes of the elements, as the model stores them.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.values.data().len() * self.stored.size()
    }

    /// How many elements are subnormal in the type in which the layer computes.
    pub(crate) fn subnormal(&self) -> usize {
        self.subnormal
    }

    pub(crate) fn dims(&self) -> &[usize] {
        self.values.dims()
    }

    pub(crate) fn dtype(&self) -> DType {
        self.stored
    }
}

fn first_not_finite(values: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
    values.enumerate().find(|(_, x)| !x.is_finite())
}

fn subnormal<F: rnnpack::Element>(values: &[F]) -> usize {
    values.iter().filter(|x| x.is_subnormal()).count()
}

/// Whether all values are numbers of the type `narrow`.
fn is_exact(values: &[f32], narrow: WeightType) -> bool {
    values.iter().all(|&x| narrow.rounded(x).to_bits() == x.to_bits())
}

/// The checked weights of a node, from which a layer can be built.
#[derive(Debug, Clone)]
pub struct NodeWeights {
    cells: Vec<Cell>,
    shape: Shape,
    dtype: DType,
    tensors: [Option<Arc<Tensor>>; 4],
    subnormals: Subnormals,
    weight_type: WeightType,
}

impl NodeWeights {
    /// Checks the weights `W`, `R`, `B` and `P` of a node, in this order. `B` and `P` may be absent.
    ///
    /// # Errors
    /// [`Error::Input`] if an element type is not one of the operator's or differs from W's, if dimensions do not
    /// agree, or if an element is NaN or infinite. [`Error::Attribute`] if `hidden_size` differs from R's.
    pub fn new(spec: &NodeSpec, tensors: [Option<Arc<Tensor>>; 4]) -> Result<NodeWeights, Error> {
        let weights = tensors.map(|tensor| tensor.map(Weight::new));
        NodeWeights::of(spec, weights.each_ref().map(Option::as_ref))
    }

    pub(crate) fn of(spec: &NodeSpec, weights: [Option<&Weight>; 4]) -> Result<NodeWeights, Error> {
        let (shape, dtype) = check_shapes(spec, weights)?;
        for ((input, _), weight) in INPUTS.into_iter().zip(weights) {
            if let Some((index, value)) = weight.and_then(|w| w.not_finite) {
                return Err(spec.bad_input(input, &format!("element {index} is {value}")));
            }
        }
        let [w, r, ..] = weights;
        let fit = |i: usize| [w, r].iter().all(|weight| weight.is_some_and(|weight| weight.fits[i]));
        let narrow = || NARROW.into_iter().enumerate().find_map(|(i, narrow)| fit(i).then_some(narrow));
        // Numbers of f16 may be numbers of bf16 too. The type of the file comes first.
        let weight_type = if dtype == DType::F16 { WeightType::F16 } else { narrow().unwrap_or_default() };
        let subnormals = Subnormals::Keep;
        let tensors = weights.map(|w| w.map(|w| w.values.clone()));
        Ok(NodeWeights { cells: spec.cells.clone(), shape, dtype, tensors, subnormals, weight_type })
    }

    /// Sets what the layer does with subnormal numbers. The default, [`Subnormals::Keep`], computes exactly.
    /// [`NodeWeights::view`] refuses a choice that this machine or the cell cannot keep.
    #[must_use]
    pub fn with_subnormals(self, subnormals: Subnormals) -> NodeWeights {
        NodeWeights { subnormals, ..self }
    }

    /// Sets the type in which the layer stores W and R. The default is bf16 or f16 if each element of W and R is a number
    /// of this type, which no bit of a result depends on, and else f32. [`NodeWeights::view`] refuses a type that an
    /// element does not fit into.
    #[must_use]
    pub fn with_type(self, weight_type: WeightType) -> NodeWeights {
        NodeWeights { weight_type, ..self }
    }

    /// The type in which the layer stores W and R.
    pub fn weight_type(&self) -> WeightType {
        self.weight_type
    }

    /// The cell of each direction.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The layer's sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The element type of the node.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Whether the layer computes in f64. If not, it computes in f32; half precision was widened to f32.
    pub fn is_f64(&self) -> bool {
        self.dtype == DType::F64
    }

    /// The layer's weights. `F` must be f64 if [`NodeWeights::is_f64`], else f32.
    ///
    /// # Errors
    /// With the wrong `F`, the errors of [`LayerWeights::new`]; the errors of [`LayerWeights::with_subnormals`] and
    /// [`LayerWeights::with_type`].
    pub fn view<F: Element + rnnpack::Element>(&self) -> Result<LayerWeights<'_, F>, rnnpack::Error> {
        let [w, r, b, p] =
            self.tensors.each_ref().map(|t| t.as_ref().map(|t| t.as_slice().unwrap_or_default()));
        let tensors = LayerTensors { w: w.unwrap_or_default(), r: r.unwrap_or_default(), b, p };
        LayerWeights::per_direction(&self.cells, self.shape, GateOrder::Onnx, tensors)?
            .with_subnormals(self.subnormals)?
            .with_type(self.weight_type)
    }
}

/// Checks the element types and the dimensions of weights against each other, the attributes and the operator.
fn check_shapes(spec: &NodeSpec, weights: [Option<&Weight>; 4]) -> Result<(Shape, DType), Error> {
    let [Some(w), Some(r), ..] = weights else { return Err(spec.bad_input("W", "it is missing")) };
    for ((input, _), weight) in INPUTS.into_iter().zip(weights) {
        let Some(weight) = weight else { continue };
        check_dtype(spec, input, weight.stored, w.stored)?;
        let rank = if matches!(input, "W" | "R") { 3 } else { 2 };
        if weight.dims().len() != rank {
            let reason = format!("its dimensions are {}, not {rank}", List(weight.dims()));
            return Err(spec.bad_input(input, &reason));
        }
    }
    let (input, hidden, directions) = (w.dims()[2], r.dims()[2], spec.direction.count());
    if let Some(other) = spec.hidden.filter(|&h| h != hidden) {
        return Err(spec.bad_attribute("hidden_size", &format!("{other}, but R has {hidden}")));
    }
    let rows = hidden.saturating_mul(spec.op.gates());
    let expected: [&[usize]; 4] = [
        &[directions, rows, input],
        &[directions, rows, hidden],
        &[directions, rows.saturating_mul(2)],
        &[directions, hidden.saturating_mul(3)],
    ];
    for (((input, _), weight), expected) in INPUTS.into_iter().zip(weights).zip(expected) {
        if let Some(weight) = weight.filter(|w| w.dims() != expected) {
            let reason = format!("its dimensions are {}, not {expected:?}", List(weight.dims()));
            return Err(spec.bad_input(input, &reason));
        }
    }
    if hidden == 0 {
        return Err(spec.bad_input("R", "its hidden size is 0"));
    }
    Ok((Shape { input, hidden, direction: spec.direction }, w.stored))
}

/// Checks the element type of a weight: the operator must have it, and it must be the type of W.
pub(crate) fn check_dtype(spec: &NodeSpec, input: &str, found: DType, of_w: DType) -> Result<(), Error> {
    let known = RecurrentOp::dtypes(spec.opset);
    if !known.contains(&found) {
        let known: Vec<String> = known.iter().map(DType::to_string).collect();
        let (op, opset) = (spec.op, spec.opset);
        let reason = format!("it is {found}, where {op} of operator set {opset} has {}", known.join(", "));
        return Err(spec.bad_input(input, &reason));
    }
    match found == of_w {
        true => Ok(()),
        false => Err(spec.bad_input(input, &format!("it is {found}, but W is {of_w}"))),
    }
}
