//! Recurrent nodes: what a file says about each, and whether a layer can be made of it.

use crate::Error;
use crate::attribute::AttributeValue;
use crate::fold::{Folder, NotConstant, NotConstantKind};
use crate::operator::{Reader, RecurrentOp, Settings};
use crate::proto::{self, DimensionValue};
use crate::scope::Scope;
use crate::tensor::{DType, Element, dtype_name};
use crate::weights::{INPUTS, Weight, Weights, check_dtype, check_shapes};
use rnnpack::{Cell, Direction, Layer, LayerF64, LayerWeights, Layout};
use std::fmt;
use std::sync::Arc;

/// What a file says about a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Its size.
    Fixed(usize),
    /// A name that stands for a size known only when the model runs.
    Named(String),
    /// Nothing, or a name of more than 128 bytes.
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
            Some(DimensionValue::Param(p)) if (1..=128).contains(&p.len()) => Self::Named(p.clone()),
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
    weights: Result<Weights, Error>,
    /// Why tract's own operator would give wrong numbers, if it would.
    pub wrong_on_tract: Option<Error>,
    /// The only refusal is that some weights are no constants here: they are inputs of a graph, or are computed in a way
    /// that is not folded.
    pub only_not_constant: bool,
}

impl RecurrentNode {
    /// Why no layer can be made of the node; `None` where [`RecurrentNode::pack`] makes one, or
    /// [`RecurrentNode::pack_f64`] where [`RecurrentNode::dtype`] is f64.
    pub fn refusal(&self) -> Option<&Error> {
        self.weights.as_ref().err()
    }

    /// The layer's weights, of a node of f32, f16 or bf16. Half precision is widened, which is exact.
    ///
    /// # Errors
    /// What [`RecurrentNode::refusal`] says, and [`Error::Input`] for a node of f64.
    pub fn weights(&self) -> Result<LayerWeights<'_>, Error> {
        self.weights_of(false)
    }

    /// The layer's weights, of a node of f64.
    ///
    /// # Errors
    /// What [`RecurrentNode::refusal`] says, and [`Error::Input`] for a node of another element type.
    pub fn weights_f64(&self) -> Result<LayerWeights<'_, f64>, Error> {
        self.weights_of(true)
    }

    fn weights_of<F: Element + rnnpack::Element>(&self, f64: bool) -> Result<LayerWeights<'_, F>, Error> {
        let weights = self.weights.as_ref().map_err(Error::clone)?;
        if weights.is_f64() != f64 {
            let wanted = if f64 { "f64" } else { "f32, f16 or bf16" };
            let (node, input) = (self.name.clone(), "W".to_string());
            let reason = format!("it is {}, not {wanted}", weights.dtype());
            return Err(Error::Input { node, input, reason });
        }
        weights.view().map_err(|e| layer_error(&self.name, e))
    }

    /// Packs the layer for this machine, of a node of f32, f16 or bf16.
    ///
    /// # Errors
    /// Those of [`RecurrentNode::weights`] and of [`Layer::new`].
    pub fn pack(&self) -> Result<Layer, Error> {
        Layer::new(&self.weights()?).map_err(|e| layer_error(&self.name, e))
    }

    /// Packs the layer, of a node of f64.
    ///
    /// # Errors
    /// Those of [`RecurrentNode::weights_f64`] and of [`LayerF64::new`].
    pub fn pack_f64(&self) -> Result<LayerF64, Error> {
        LayerF64::new(&self.weights_f64()?).map_err(|e| layer_error(&self.name, e))
    }
}

/// `error` of a layer, with the node's name.
pub fn layer_error(node: &str, error: rnnpack::Error) -> Error {
    Error::Layer { node: node.to_string(), source: Arc::new(error) }
}

/// The weights of a node, where they are constants; in the order of [`INPUTS`].
struct Constants([Option<Result<Weight, NotConstant>>; 4]);

impl Constants {
    fn read(reader: &Reader<'_>, scope: &Scope<'_>, folder: &mut Folder<'_>) -> Self {
        let read = |(input, index): (&str, usize)| {
            // An operator without peepholes has no input of that number.
            let known = reader.op.inputs().get(index) == Some(&input);
            reader.input(index).filter(|_| known).map(|value| folder.weight(scope, value))
        };
        Self(INPUTS.map(read))
    }

    fn known(&self) -> [Option<&Weight>; 4] {
        self.0.each_ref().map(|w| w.as_ref()?.as_ref().ok())
    }

    /// The last dimension of `W` or `R`.
    fn last_dim(&self, i: usize) -> Option<usize> {
        let weight = self.known()[i]?;
        weight.dims().last().copied().filter(|_| weight.dims().len() == 3)
    }

    /// Whether some weight is no constant here, and none is wrong.
    fn only_not_constant(&self) -> bool {
        let mut errors = self.0.iter().flatten().filter_map(|w| w.as_ref().err()).peekable();
        errors.peek().is_some() && errors.all(|e| e.kind != NotConstantKind::Wrong)
    }

    /// All weights that are there, when all are constants.
    fn all(&self, reader: &Reader<'_>) -> Result<[Option<&Weight>; 4], Error> {
        for (weight, (input, _)) in self.0.iter().zip(INPUTS) {
            if let Some(Err(e)) = weight {
                return Err(reader.bad_input(input, &e.reason));
            }
        }
        Ok(self.known())
    }
}

/// What can be done with a node.
struct Verdict {
    weights: Result<Weights, Error>,
    wrong_on_tract: Option<Error>,
    only_not_constant: bool,
}

impl Verdict {
    /// A node that is refused whatever its weights are.
    fn refused(error: Error) -> Verdict {
        Verdict { weights: Err(error.clone()), wrong_on_tract: Some(error), only_not_constant: false }
    }

    /// The verdict on a node whose attributes were read.
    fn on(reader: &Reader<'_>, settings: &Settings, cells: &[Cell], constants: &Constants) -> Verdict {
        let only_not_constant = constants.only_not_constant();
        let weights =
            constants.all(reader).and_then(|all| Weights::new(reader, settings, cells.to_vec(), all));
        let shapes = constants.all(reader).and_then(|all| check_shapes(reader, settings, all).map(drop));
        let shapes = if only_not_constant { Ok(()) } else { shapes };
        let wrong_on_tract = reader.check_right_on_tract(settings, cells).and(shapes).err();
        Verdict { weights, wrong_on_tract, only_not_constant }
    }
}

/// Describes the node that `reader` reads.
pub fn describe(reader: &Reader<'_>, scope: &Scope<'_>, folder: &mut Folder<'_>) -> RecurrentNode {
    let constants = Constants::read(reader, scope, folder);
    let read = reader.settings();
    let settings = read.as_ref().ok().map(|(s, _)| *s);
    let cells = read.and_then(|(s, attributes)| Ok((s, reader.cells(&s, &attributes)?)));
    let dtype = constants.known()[0].map(Weight::dtype).or_else(|| declared_dtype(reader, scope));
    let verdict = match &cells {
        Ok((settings, cells)) => {
            let verdict = Verdict::on(reader, settings, cells, &constants);
            let open = verdict.weights.is_ok() || verdict.only_not_constant;
            let types = if open { check_types(reader, scope, dtype) } else { Ok(()) };
            types.map_or_else(Verdict::refused, |()| verdict)
        }
        Err(e) => Verdict::refused(e.clone()),
    };
    let node = reader.node;
    let present = |values: &[String], names: &[&'static str]| {
        names.iter().zip(values).filter(|(_, v)| !v.is_empty()).map(|(&n, _)| n).collect()
    };
    let [time, batch] = sequence_extents(reader, scope, settings);
    let declared = |index| declared_size(reader, scope, index);
    RecurrentNode {
        name: reader.name.to_string(),
        op: reader.op,
        graph: scope.path.clone(),
        opset: reader.opset,
        direction: settings.map(|s| s.direction),
        layout: settings.map(|s| s.layout),
        cells: cells.map(|(_, cells)| cells).unwrap_or_default(),
        dtype,
        input: constants.last_dim(0).or_else(|| declared(0)).or_else(|| declared(1)),
        hidden: constants.last_dim(1).or(settings.and_then(|s| s.hidden)).or_else(|| declared(2)),
        time,
        batch,
        attributes: node.attribute.iter().map(|a| (a.name.clone(), a.into())).collect(),
        inputs: present(&node.input, reader.op.inputs()),
        outputs: present(&node.output, reader.op.outputs()),
        weight_bytes: constants.known().into_iter().flatten().map(Weight::stored_bytes).sum(),
        weights: verdict.weights,
        wrong_on_tract: verdict.wrong_on_tract,
        only_not_constant: verdict.only_not_constant,
    }
}

/// The element type that the file declares for W or X.
fn declared_dtype(reader: &Reader<'_>, scope: &Scope<'_>) -> Option<DType> {
    let mut numbers = [1, 0].into_iter().filter_map(|i| scope.elem_type(reader.input(i)?));
    numbers.next().and_then(DType::from_onnx)
}

/// Checks the element types that the file declares or stores: `dtype`, which the operator must have, and INT32 of
/// `sequence_lens`.
fn check_types(reader: &Reader<'_>, scope: &Scope<'_>, dtype: Option<DType>) -> Result<(), Error> {
    const INT32: i32 = 6;
    dtype.map_or(Ok(()), |dtype| check_dtype(reader, "W", dtype, dtype))?;
    for (index, &input) in reader.op.inputs().iter().enumerate() {
        let expected = if input == "sequence_lens" { Some(INT32) } else { dtype.map(DType::number) };
        let found = reader.input(index).and_then(|value| scope.elem_type(value));
        let (Some(expected), Some(found)) = (expected, found) else { continue };
        if found != expected {
            let reason = format!("it is {}, not {}", dtype_name(found), dtype_name(expected));
            return Err(reader.bad_input(input, &reason));
        }
    }
    Ok(())
}

/// The last of three dimensions that the file declares for an input: I of X and W, H of R.
fn declared_size(reader: &Reader<'_>, scope: &Scope<'_>, index: usize) -> Option<usize> {
    match scope.declared(reader.input(index)?)?.shape.as_ref()?.dim.as_slice() {
        [_, _, last] => match Extent::from(last) {
            Extent::Fixed(size) => Some(size),
            _ => None,
        },
        _ => None,
    }
}

/// T and B as the file declares them for X.
fn sequence_extents(reader: &Reader<'_>, scope: &Scope<'_>, settings: Option<Settings>) -> [Extent; 2] {
    let declared = reader.input(0).and_then(|x| scope.declared(x)).and_then(|t| t.shape.as_ref());
    match (declared.map(|shape| shape.dim.as_slice()), settings.map(|s| s.layout)) {
        (Some([t, b, _]), Some(Layout::TimeMajor)) | (Some([b, t, _]), Some(Layout::BatchMajor)) => {
            [t.into(), b.into()]
        }
        _ => [Extent::Unknown, Extent::Unknown],
    }
}
