//! Recurrent nodes: what a file says about each, and the layer that can be built from it.

use crate::attribute::AttributeValue;
use crate::error::Error;
use crate::extent::Extent;
use crate::operator::RecurrentOp;
use crate::tensor::{DType, Element};
use crate::weights::NodeWeights;
use rnnpack::{Cell, Direction, Layer, LayerF64, LayerWeights, Layout, Subnormals, WeightType};
use std::ops::Deref;
use std::sync::Arc;

/// What a file says about a recurrent node, without its weights.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeDescription {
    /// The node's name, unique among the recurrent nodes. A node without a name gets its operator and its index among
    /// the recurrent nodes (`LSTM_3`). If two nodes have the same name, the second gets a number (`lstm#2`).
    pub name: String,
    /// The operator.
    pub op: RecurrentOp,
    /// The path of its graph: `main`, or for example `main/If_0.then_branch`. Names in it are [`Shown`](crate::Shown).
    /// If it would have more than 512 bytes, it is the path of a graph around it and `/…`.
    pub graph: Arc<str>,
    /// The version of the standard operator set that the model declares.
    pub opset: i64,
    /// The direction, or `None` if the attribute cannot be read.
    pub direction: Option<Direction>,
    /// The layout of X and Y, or `None` if the attribute cannot be read.
    pub layout: Option<Layout>,
    /// What each direction computes. Empty if an attribute is refused.
    pub cells: Vec<Cell>,
    /// The element type of W, or else the type that the file declares for W or X; f32 for `DynamicQuantizeLSTM`.
    pub dtype: Option<DType>,
    /// Input size I, from W or from the shapes that the file declares.
    pub input: Option<usize>,
    /// Hidden size H, from R, from the attribute, or from the shapes that the file declares.
    pub hidden: Option<usize>,
    /// Number of steps T, if the file says it.
    pub time: Extent,
    /// Number of batch rows B, if the file says it.
    pub batch: Extent,
    /// All attributes, as the file has them.
    pub attributes: Vec<(String, AttributeValue)>,
    /// The inputs that are present, by their names in the standard. A layer packed from the node holds only the
    /// weights. Initial states and `sequence_lens` are given to it when it runs, even if the file stores them.
    pub inputs: Vec<&'static str>,
    /// The outputs that are present, by their names in the standard.
    pub outputs: Vec<&'static str>,
    /// Bytes of `W`, `R`, `B` and `P`, and of scales and zero points, together, as the file stores them: before a `Cast`
    /// or a `DequantizeLinear`. Inputs that are not constants count as 0.
    pub weight_bytes: usize,
    /// Those of [`NodeDescription::weight_bytes`] that are of `W` and `R`, with scales and zero points.
    pub matrix_bytes: usize,
    /// The type in which the file stores the elements of `W` and `R`: before a `Cast` or a `DequantizeLinear`. `None` if
    /// they are not constants, or not of the same type.
    pub matrix_dtype: Option<DType>,
    /// How many elements of `W`, `R`, `B` and `P` are subnormal in the type in which the layer computes: f64 for a node
    /// of f64, else f32. They can make a layer many times slower; see [`RecurrentNode::with_subnormals`]. Inputs that
    /// are not constants count as 0.
    pub subnormal_weights: usize,
    /// The types in which the file stores `W` and `R`. `None` if the matrix is not constant, or stored in several types.
    pub(crate) matrix_types: [Option<DType>; 2],
    pub(crate) refusal: Option<Error>,
    pub(crate) awaits_weights: bool,
}

impl NodeDescription {
    /// Why no layer can be built from the node with this file alone. `None` if [`RecurrentNode::pack`] can build one
    /// ([`RecurrentNode::pack_f64`] if the element type is f64).
    pub fn refusal(&self) -> Option<&Error> {
        self.refusal.as_ref()
    }

    /// Whether the node is refused only because some weights are not constants of the file. They are inputs of a graph,
    /// or are computed in a way that is not folded. A runtime knows them when the node runs.
    pub fn awaits_weights(&self) -> bool {
        self.awaits_weights
    }
}

/// A recurrent node of a file: its description (by `Deref`), and its weights if they can be packed.
#[derive(Debug, Clone)]
pub struct RecurrentNode {
    pub(crate) description: NodeDescription,
    pub(crate) weights: Result<NodeWeights, Error>,
}

impl Deref for RecurrentNode {
    type Target = NodeDescription;

    fn deref(&self) -> &NodeDescription {
        &self.description
    }
}

impl RecurrentNode {
    /// Returns the description and drops the weights.
    pub fn into_description(self) -> NodeDescription {
        self.description
    }

    /// Sets what the layer does with subnormal numbers. The default, [`Subnormals::Keep`], computes exactly. Everything
    /// that is built from the node afterwards obeys it; a choice that this machine or the cell cannot keep is refused
    /// then.
    ///
    /// ```no_run
    /// use rnnpack::Subnormals;
    /// use rnnpack_onnx::File;
    ///
    /// # fn main() -> Result<(), rnnpack_onnx::Error> {
    /// let file = File::open("model.onnx")?;
    /// let node = file.node("lstm")?;
    /// println!("{} subnormal weights", node.subnormal_weights);
    /// let layer = node.clone().with_subnormals(Subnormals::FlushWeights).pack()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_subnormals(self, subnormals: Subnormals) -> RecurrentNode {
        RecurrentNode { weights: self.weights.map(|weights| weights.with_subnormals(subnormals)), ..self }
    }

    /// Sets the type in which the layer stores W and R. The default is bf16 or f16 if each element of W and R is a number
    /// of this type: no bit of a result depends on it, and the layer has half of the bytes. It is so where the file stores
    /// 16 bits, also behind a `Cast`, and may be so where it stores more. Else the default is f32; for
    /// `DynamicQuantizeLSTM` it is int8, with the scales of the file. A type that an element does not fit into is refused
    /// when a layer is built.
    ///
    /// With int8, weights of other operators that are integers of 8 bits times a scale of their row keep these integers, so
    /// that nothing of them is lost: those behind `DequantizeLinear`. It is never the default, because a layer of int8 also
    /// rounds x and h, and the standard does not.
    ///
    /// ```no_run
    /// use rnnpack::WeightType;
    /// use rnnpack_onnx::File;
    ///
    /// # fn main() -> Result<(), rnnpack_onnx::Error> {
    /// let file = File::open("model.onnx")?;
    /// let node = file.node("lstm")?;
    /// let as_it_is = node.pack()?;
    /// let rounded = node.clone().with_type(WeightType::Bf16).pack()?;
    /// println!("{} bytes, or {}", as_it_is.packed_bytes(), rounded.packed_bytes());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_type(self, weight_type: WeightType) -> RecurrentNode {
        RecurrentNode { weights: self.weights.map(|weights| weights.with_type(weight_type)), ..self }
    }

    /// Addresses that are equal for nodes of one file that share the constants of all their weights, which may be large.
    /// `None` if no layer can be built from the file alone.
    pub fn weight_addresses(&self) -> Option<[usize; 4]> {
        self.weights.as_ref().ok().map(NodeWeights::addresses)
    }

    /// The type in which the layer stores W and R, or `None` if no layer can be built from the file alone.
    pub fn weight_type(&self) -> Option<WeightType> {
        self.weights.as_ref().ok().map(NodeWeights::weight_type)
    }

    /// The layer's weights, for a node of f32, f16 or bf16. Half precision is widened to f32, which is exact.
    ///
    /// # Errors
    /// The error of [`NodeDescription::refusal`], [`Error::Input`] for a node of f64, and [`Error::Layer`] if the choice
    /// of [`RecurrentNode::with_subnormals`] or [`RecurrentNode::with_type`] cannot be kept.
    pub fn weights(&self) -> Result<LayerWeights<'_>, Error> {
        self.weights_of(false)
    }

    /// The layer's weights, for a node of f64.
    ///
    /// # Errors
    /// The error of [`NodeDescription::refusal`], [`Error::Input`] for a node of another element type, and
    /// [`Error::Layer`] if the choice of [`RecurrentNode::with_subnormals`] or [`RecurrentNode::with_type`] cannot be kept.
    pub fn weights_f64(&self) -> Result<LayerWeights<'_, f64>, Error> {
        self.weights_of(true)
    }

    fn weights_of<F: Element + rnnpack::Element>(&self, f64: bool) -> Result<LayerWeights<'_, F>, Error> {
        let weights = self.weights.as_ref().map_err(Error::clone)?;
        if weights.is_f64() != f64 {
            let wanted = if f64 { "f64" } else { "f32, f16 or bf16" };
            let reason = format!("it is {}, not {wanted}", weights.dtype());
            return Err(Error::bad_input(&self.name, "W", &reason));
        }
        weights.view().map_err(|e| Error::of_layer(&self.name, e))
    }

    /// Packs the layer for this machine, for a node of f32, f16 or bf16.
    ///
    /// # Errors
    /// The errors of [`RecurrentNode::weights`] and of [`Layer::new`].
    pub fn pack(&self) -> Result<Layer, Error> {
        Layer::new(&self.weights()?).map_err(|e| Error::of_layer(&self.name, e))
    }

    /// Packs the layer, for a node of f64.
    ///
    /// # Errors
    /// The errors of [`RecurrentNode::weights_f64`] and of [`LayerF64::new`].
    pub fn pack_f64(&self) -> Result<LayerF64, Error> {
        LayerF64::new(&self.weights_f64()?).map_err(|e| Error::of_layer(&self.name, e))
    }
}
