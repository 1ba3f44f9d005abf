//! Recurrent nodes: what a file says about each, and whether a layer can be made of it.

use super::OnnxError;
use super::attribute::AttributeValue;
use super::fold::{Folder, NotConstant};
use super::operator::{Reader, RecurrentOp, Settings};
use super::proto::{self, DimensionValue};
use super::scope::Scope;
use super::tensor::Tensor;
use crate::{Cell, Direction, Error, GateOrder, Layer, LayerTensors, LayerWeights, Layout, Shape};
use std::fmt;
use std::sync::Arc;

/// What a file says about a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Its size.
    Fixed(usize),
    /// A name that stands for a size known only when the model runs.
    Named(String),
    /// Nothing.
    Unknown,
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => f.pad(&n.to_string()),
            Self::Named(name) => f.pad(name),
            Self::Unknown => f.pad("?"),
        }
    }
}

impl From<&proto::Dimension> for Extent {
    fn from(d: &proto::Dimension) -> Self {
        match &d.value {
            Some(DimensionValue::Value(v)) => usize::try_from(*v).map_or(Self::Unknown, Self::Fixed),
            Some(DimensionValue::Param(p)) if !p.is_empty() => Self::Named(p.clone()),
            _ => Self::Unknown,
        }
    }
}

/// A recurrent node of a model: what the file says about it, and its weights where they can be packed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecurrentNode {
    /// The node's name. One without a name is called by its operator and its place among the recurrent nodes
    /// (`LSTM_3`), and of two with one name the second gets a number (`lstm#2`), so that names are unique.
    pub name: String,
    /// The operator.
    pub op: RecurrentOp,
    /// Where its graph is: `main`, or a path such as `main/If_0.then_branch`.
    pub graph: String,
    /// The version of the standard operator set that the model declares.
    pub opset: i64,
    /// The direction, unless the attribute cannot be read.
    pub direction: Option<Direction>,
    /// The layout of X and Y, unless the attribute cannot be read.
    pub layout: Option<Layout>,
    /// Input size I, from the weights or the declared shape of X.
    pub input: Option<usize>,
    /// Hidden size H, from the weights or the attribute.
    pub hidden: Option<usize>,
    /// Steps T, as far as the file tells.
    pub time: Extent,
    /// Batch rows B, as far as the file tells.
    pub batch: Extent,
    /// All attributes as the file has them.
    pub attributes: Vec<(String, AttributeValue)>,
    /// The inputs that are present, as the standard calls them.
    pub inputs: Vec<&'static str>,
    /// The outputs that are present, as the standard calls them.
    pub outputs: Vec<&'static str>,
    /// Bytes of `W`, `R` and `B` together, 0 where they are no constants.
    pub weight_bytes: usize,
    weights: Result<Weights, OnnxError>,
    /// Why tract's own operator would give wrong numbers, if it would.
    #[cfg_attr(not(feature = "tract"), expect(dead_code, reason = "only whole models compare with tract"))]
    pub(crate) wrong_on_tract: Option<OnnxError>,
    /// The only refusal is that weights are computed in a way that is not folded here.
    #[cfg_attr(not(feature = "tract"), expect(dead_code, reason = "only whole models fold further"))]
    pub(crate) only_unfolded: bool,
}

impl RecurrentNode {
    /// Why no layer can be made of the node; `None` when [`RecurrentNode::pack`] will work.
    pub fn refusal(&self) -> Option<&OnnxError> {
        self.weights.as_ref().err()
    }

    /// The layer's weights.
    ///
    /// # Errors
    /// What [`RecurrentNode::refusal`] says.
    pub fn weights(&self) -> Result<LayerWeights<'_>, Error> {
        match &self.weights {
            Ok(w) => w.view().map_err(|e| layer_error(&self.name, e).into()),
            Err(e) => Err(e.clone().into()),
        }
    }

    /// Packs the layer for this machine.
    ///
    /// # Errors
    /// What [`RecurrentNode::refusal`] says, and those of [`Layer::new`].
    pub fn pack(&self) -> Result<Layer, Error> {
        Layer::new(&self.weights()?).map_err(|e| layer_error(&self.name, e).into())
    }
}

/// `error` of a layer, with the node's name.
pub(crate) fn layer_error(node: &str, error: Error) -> OnnxError {
    match error {
        Error::Onnx(e) => e,
        e => OnnxError::Layer { node: node.to_string(), source: Arc::new(e) },
    }
}

/// The weights of an LSTM node, with dimensions that agree.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) shape: Shape,
    pub(crate) w: Arc<Tensor>,
    pub(crate) r: Arc<Tensor>,
    pub(crate) b: Option<Arc<Tensor>>,
}

impl Weights {
    pub(crate) fn view(&self) -> Result<LayerWeights<'_>, Error> {
        let w = self.w.as_slice().unwrap_or_default();
        let r = self.r.as_slice().unwrap_or_default();
        let b = self.b.as_ref().map(|b| b.as_slice().unwrap_or_default());
        LayerWeights::new(Cell::lstm(), self.shape, GateOrder::Onnx, LayerTensors { w, r, b, p: None })
    }
}

/// The constants at the inputs `W`, `R` and `B` of a node.
struct Constants([Option<Result<Arc<Tensor>, NotConstant>>; 3]);

impl Constants {
    fn read(reader: &Reader<'_>, scope: &Scope<'_>, folder: &mut Folder<'_>) -> Self {
        Self([1, 2, 3].map(|i| reader.input(i).map(|value| folder.constant(scope, value))))
    }

    fn tensors(&self) -> [Option<&Arc<Tensor>>; 3] {
        self.0.each_ref().map(|t| t.as_ref()?.as_ref().ok())
    }

    /// The last dimension of tensor `i`: I of `W`, H of `R`.
    fn last_dim(&self, i: usize) -> Option<usize> {
        self.tensors()[i].filter(|t| t.dims().len() == 3).map(|t| t.dims()[2])
    }

    /// Whether some input is computed in a way that is not folded here, and none is wrong.
    fn only_unfolded(&self) -> bool {
        let mut errors = self.0.iter().flatten().filter_map(|t| t.as_ref().err()).peekable();
        errors.peek().is_some() && errors.all(|e| !e.wrong)
    }

    /// The layer's shape, when all constants are known and agree with each other and the attributes.
    fn shape(&self, reader: &Reader<'_>, settings: &Settings) -> Result<Shape, OnnxError> {
        for (t, input) in self.0.iter().zip(&reader.op.inputs()[1..]) {
            if let Some(Err(e)) = t {
                return Err(reader.bad_input(input, &e.reason));
            }
        }
        reader.check_shapes(settings, self.tensors().map(|t| t.map(AsRef::as_ref)))
    }

    fn weights(&self, reader: &Reader<'_>, settings: &Settings) -> Result<Weights, OnnxError> {
        let shape = self.shape(reader, settings)?;
        let [Some(w), Some(r), b] = self.tensors() else {
            return Err(reader.bad_input("W", "it is missing"));
        };
        let weights = Weights { shape, w: w.clone(), r: r.clone(), b: b.cloned() };
        match weights.view().map_err(|e| layer_error(reader.name, e)) {
            Ok(_) => Ok(weights),
            Err(e) => Err(e),
        }
    }
}

/// Describes the node that `reader` reads.
pub(crate) fn describe(reader: &Reader<'_>, scope: &Scope<'_>, folder: &mut Folder<'_>) -> RecurrentNode {
    let constants = Constants::read(reader, scope, folder);
    let read = reader.settings();
    let settings = read.as_ref().ok().map(|(s, _)| *s);
    let (mut only_unfolded, mut wrong_on_tract) = (false, None);
    let weights = read.and_then(|(s, attributes)| {
        let shape = constants.shape(reader, &s).map(|_| ());
        let shape = if constants.only_unfolded() { Ok(()) } else { shape };
        wrong_on_tract = reader.check_right_on_tract(&s, &attributes).and(shape).err();
        reader.check_computed(&s, &attributes)?;
        only_unfolded = constants.only_unfolded();
        constants.weights(reader, &s)
    });
    let node = reader.node;
    let present = |values: &[String], names: &[&'static str]| {
        names.iter().zip(values).filter(|(_, v)| !v.is_empty()).map(|(&n, _)| n).collect()
    };
    let [time, batch, width] = sequence_extents(reader, scope, settings);
    let declared_input = if let Extent::Fixed(n) = width { Some(n) } else { None };
    RecurrentNode {
        name: reader.name.to_string(),
        op: reader.op,
        graph: scope.path.clone(),
        opset: reader.opset,
        direction: settings.map(|s| s.direction),
        layout: settings.map(|s| s.layout),
        input: constants.last_dim(0).or(declared_input),
        hidden: constants.last_dim(1).or(settings.and_then(|s| s.hidden)),
        time,
        batch,
        attributes: node.attribute.iter().map(|a| (a.name.clone(), a.into())).collect(),
        inputs: present(&node.input, reader.op.inputs()),
        outputs: present(&node.output, reader.op.outputs()),
        weight_bytes: constants.tensors().iter().flatten().map(|t| t.data().bytes()).sum(),
        weights,
        wrong_on_tract,
        only_unfolded,
    }
}

/// T, B and I as the file declares them for X.
fn sequence_extents(reader: &Reader<'_>, scope: &Scope<'_>, settings: Option<Settings>) -> [Extent; 3] {
    let declared = reader.input(0).and_then(|x| scope.declared(x)).and_then(|t| t.shape.as_ref());
    let (Some(shape), Some(settings)) = (declared, settings) else {
        return [Extent::Unknown, Extent::Unknown, Extent::Unknown];
    };
    match (shape.dim.as_slice(), settings.layout) {
        ([t, b, i], Layout::TimeMajor) | ([b, t, i], Layout::BatchMajor) => [t.into(), b.into(), i.into()],
        _ => [Extent::Unknown, Extent::Unknown, Extent::Unknown],
    }
}
