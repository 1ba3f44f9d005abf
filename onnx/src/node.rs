//! Recurrent nodes: what a file says about each, and the layer that can be made of it.

use crate::attribute::AttributeValue;
use crate::error::Error;
use crate::extent::Extent;
use crate::operator::RecurrentOp;
use crate::tensor::{DType, Element};
use crate::weights::NodeWeights;
use rnnpack::{Cell, Direction, Layer, LayerF64, LayerWeights, Layout};
use std::ops::Deref;
use std::sync::Arc;

/// What a file says about a recurrent node, without its weights.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeDescription {
    /// The node's name. One without a name is called by its operator and its place among the recurrent nodes
    /// (`LSTM_3`), and of two with one name the second gets a number (`lstm#2`), so that names are unique.
    pub name: String,
    /// The operator.
    pub op: RecurrentOp,
    /// Where its graph is: `main`, or a path such as `main/If_0.then_branch`.
    pub graph: Arc<str>,
    /// The version of the standard operator set that the model declares.
    pub opset: i64,
    /// The direction, unless the attribute cannot be read.
    pub direction: Option<Direction>,
    /// The layout of X and Y, unless the attribute cannot be read.
    pub layout: Option<Layout>,
    /// What each direction computes; nothing where an attribute is refused.
    pub cells: Vec<Cell>,
    /// The element type: of W, or else what the file declares for W or X.
    pub dtype: Option<DType>,
    /// Input size I, from W or the shapes that the file declares.
    pub input: Option<usize>,
    /// Hidden size H, from R, the attribute or the shapes that the file declares.
    pub hidden: Option<usize>,
    /// Steps T, as far as the file tells.
    pub time: Extent,
    /// Batch rows B, as far as the file tells.
    pub batch: Extent,
    /// All attributes as the file has them.
    pub attributes: Vec<(String, AttributeValue)>,
    /// The inputs that are present, as the standard calls them. A layer packed from the node holds the weights alone:
    /// initial states and `sequence_lens`, stored ones too, are given to it when it runs.
    pub inputs: Vec<&'static str>,
    /// The outputs that are present, as the standard calls them.
    pub outputs: Vec<&'static str>,
    /// Bytes of `W`, `R`, `B` and `P` together as they are stored, 0 for those that are no constants.
    pub weight_bytes: usize,
    pub(crate) refusal: Option<Error>,
    pub(crate) awaits_weights: bool,
}

impl NodeDescription {
    /// Why no layer can be made of the node from this file; `None` where [`RecurrentNode::pack`] makes one, or
    /// [`RecurrentNode::pack_f64`] where the element type is f64.
    pub fn refusal(&self) -> Option<&Error> {
        self.refusal.as_ref()
    }

    /// Whether the only refusal is that some weights are no constants of the file: they are inputs of a graph, or are
    /// computed in a way that is not folded. A runtime knows them when the node runs.
    pub fn awaits_weights(&self) -> bool {
        self.awaits_weights
    }
}

/// A recurrent node of a file: its description, which it can be used as, and its weights where they can be packed.
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
    /// The description alone: the weights are dropped.
    pub fn into_description(self) -> NodeDescription {
        self.description
    }

    /// The layer's weights, of a node of f32, f16 or bf16. Half precision is widened, which is exact.
    ///
    /// # Errors
    /// What [`NodeDescription::refusal`] says, and [`Error::Input`] for a node of f64.
    pub fn weights(&self) -> Result<LayerWeights<'_>, Error> {
        self.weights_of(false)
    }

    /// The layer's weights, of a node of f64.
    ///
    /// # Errors
    /// What [`NodeDescription::refusal`] says, and [`Error::Input`] for a node of another element type.
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

    /// Packs the layer for this machine, of a node of f32, f16 or bf16.
    ///
    /// # Errors
    /// Those of [`RecurrentNode::weights`] and of [`Layer::new`].
    pub fn pack(&self) -> Result<Layer, Error> {
        Layer::new(&self.weights()?).map_err(|e| Error::of_layer(&self.name, e))
    }

    /// Packs the layer, of a node of f64.
    ///
    /// # Errors
    /// Those of [`RecurrentNode::weights_f64`] and of [`LayerF64::new`].
    pub fn pack_f64(&self) -> Result<LayerF64, Error> {
        LayerF64::new(&self.weights_f64()?).map_err(|e| Error::of_layer(&self.name, e))
    }
}
