//! The weight tensors of a recurrent node, checked against its attributes and against each other.

use crate::constant::Constant;
use crate::error::Error;
use crate::quantized::{self, Quantized};
use crate::spec::NodeSpec;
use crate::tensor::{DType, Element, Tensor, TensorData};
use crate::weight::{INPUTS, NARROW, Weight, subnormal};
use crate::weight_checks::check;
use rnnpack::{Cell, GateOrder, LayerTensors, LayerWeights, Shape, Subnormals, WeightType};
use std::sync::Arc;

/// The type of weights that changes no bit of a result: bf16 or f16 if each element of W and R is a number of it.
fn narrow_type(matrices: [Option<&Weight>; 2]) -> WeightType {
    let of = |test: &dyn Fn(&Weight, usize) -> bool| {
        (0..NARROW.len())
            .find(|&i| matrices.iter().all(|weight| weight.is_some_and(|weight| test(weight, i))))
    };
    // Numbers of f16 may be numbers of bf16 too. The type of the file comes first.
    let stored = of(&|weight, i| weight.stored.dtype == NARROW[i].1);
    stored.or_else(|| of(&|weight, i| weight.fits[i])).map_or(WeightType::F32, |i| NARROW[i].0)
}

/// The checked weights of a node, from which a layer can be built.
#[derive(Debug, Clone)]
pub struct NodeWeights {
    cells: Vec<Cell>,
    shape: Shape,
    dtype: DType,
    /// W, R, B and P.
    tensors: [Option<Arc<Tensor>>; 4],
    /// The scales of W and R, if they are integers of 8 bits.
    scales: Option<Arc<Quantized>>,
    subnormals: Subnormals,
    weight_type: WeightType,
}

impl NodeWeights {
    /// The inputs that are weights, each with its name and its index among the inputs of a node. An operator has those that
    /// its [`RecurrentOp::inputs`](crate::RecurrentOp::inputs) has.
    pub const INPUTS: [(&'static str, usize); 8] = INPUTS;

    /// Checks the weights of a node, in the order of [`NodeWeights::INPUTS`]. `B` and `P` may be absent; the last four are
    /// those of `DynamicQuantizeLSTM`.
    ///
    /// # Errors
    /// [`Error::Input`] if an element type is not one of the operator's or does not fit W's, if dimensions do not agree, if
    /// an element is NaN or infinite, a scale is not positive, or the zero points of columns differ. [`Error::Attribute`] if
    /// `hidden_size` differs from R's. [`Error::Layer`] if an i32 may not hold the sums of so many products of integers.
    pub fn new(spec: &NodeSpec, tensors: [Option<Arc<Tensor>>; 8]) -> Result<NodeWeights, Error> {
        let weights = tensors.map(|tensor| tensor.map(|tensor| Weight::new(Constant::new(tensor))));
        NodeWeights::of(spec, weights.each_ref().map(Option::as_ref))
    }

    pub(crate) fn of(spec: &NodeSpec, weights: [Option<&Weight>; 8]) -> Result<NodeWeights, Error> {
        let (shape, dtype) = check(spec, weights)?;
        for ((input, _), weight) in INPUTS.into_iter().zip(weights) {
            if let Some((index, value)) = weight.and_then(|w| w.not_finite) {
                return Err(spec.bad_input(input, &format!("element {index} is {value}")));
            }
        }
        let [w, r, b, p, ..] = weights;
        let mut tensors = [w, r, b, p].map(|weight| weight.map(|weight| weight.values.clone()));
        let (mut scales, mut weight_type) = (None, narrow_type([w, r]));
        if spec.op.is_quantized() {
            let ([w, r], quantized) = quantized::read(spec, weights)?;
            (tensors[0], tensors[1]) = (Some(w), Some(r));
            (scales, weight_type) = (Some(Arc::new(quantized)), WeightType::I8);
        }
        let (cells, subnormals) = (spec.cells.clone(), Subnormals::Keep);
        let weights = NodeWeights { cells, shape, dtype, tensors, scales, subnormals, weight_type };
        if weights.scales.is_some() {
            // Matrices of so many columns that sums of products do not fit are refused here.
            weights.view::<f32>().map_err(|e| Error::of_layer(&spec.name, e))?;
        }
        Ok(weights)
    }

    /// Sets what the layer does with subnormal numbers. The default, [`Subnormals::Keep`], computes exactly.
    /// [`NodeWeights::view`] refuses a choice that this machine or the cell cannot keep.
    #[must_use]
    pub fn with_subnormals(self, subnormals: Subnormals) -> NodeWeights {
        NodeWeights { subnormals, ..self }
    }

    /// Sets the type in which the layer stores W and R. The default is bf16 or f16 if each element of W and R is a number
    /// of this type, which no bit of a result depends on, and else f32; for `DynamicQuantizeLSTM` it is int8, with the
    /// scales of the file. [`NodeWeights::view`] refuses a type that an element does not fit into.
    ///
    /// With int8, weights of other operators that are integers of 8 bits times a scale of their row keep these integers, so
    /// that nothing of them is lost: those behind `DequantizeLinear`. It is never the default, because a layer of int8 also
    /// rounds x and h, and the standard does not.
    #[must_use]
    pub fn with_type(self, weight_type: WeightType) -> NodeWeights {
        let found = match (&self.tensors, &self.scales) {
            ([Some(w), Some(r), ..], None) if weight_type == WeightType::I8 => Quantized::of_numbers(w, r),
            _ => None,
        };
        NodeWeights { weight_type, scales: found.map(Arc::new).or(self.scales), ..self }
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

    /// The addresses of W, R, B and P: equal for nodes that share these constants.
    pub(crate) fn addresses(&self) -> [usize; 4] {
        self.tensors.each_ref().map(|tensor| tensor.as_ref().map_or(0, |tensor| Arc::as_ptr(tensor).addr()))
    }

    /// Whether the layer computes in f64. If not, it computes in f32; half precision was widened to f32.
    pub fn is_f64(&self) -> bool {
        self.dtype == DType::F64
    }

    /// How many elements of the layer's W, R, B and P are subnormal.
    pub(crate) fn subnormal(&self) -> usize {
        let of = |tensor: &Arc<Tensor>| match tensor.data() {
            TensorData::F32(v) => subnormal(v),
            TensorData::F64(v) => subnormal(v),
            _ => 0,
        };
        self.tensors.iter().flatten().map(of).sum()
    }

    /// The layer's weights. `F` must be f64 if [`NodeWeights::is_f64`], else f32.
    ///
    /// # Errors
    /// With the wrong `F`, the errors of [`LayerWeights::new`]; the errors of [`LayerWeights::with_subnormals`],
    /// [`LayerWeights::with_type`] and [`LayerWeights::with_scales`].
    pub fn view<F: Element + rnnpack::Element>(&self) -> Result<LayerWeights<'_, F>, rnnpack::Error> {
        let [w, r, b, p] =
            self.tensors.each_ref().map(|t| t.as_ref().map(|t| t.as_slice().unwrap_or_default()));
        let tensors = LayerTensors { w: w.unwrap_or_default(), r: r.unwrap_or_default(), b, p };
        let weights = LayerWeights::per_direction(&self.cells, self.shape, GateOrder::Onnx, tensors)?
            .with_subnormals(self.subnormals)?;
        match (self.weight_type, &self.scales) {
            (WeightType::I8, Some(scales)) => weights.with_scales(scales.view()),
            (weight_type, _) => weights.with_type(weight_type),
        }
    }
}
