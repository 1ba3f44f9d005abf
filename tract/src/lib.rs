//! Whole ONNX models on tract, with the recurrent nodes on rnnpack's kernels.
#![forbid(unsafe_code)]

mod body;
mod comparison;
mod convert;
mod error;
mod guard;
mod half_values;
mod if_op;
mod loop_op;
mod prepare;
mod reader;
mod recurrent_node;
mod recurrent_op;
mod repeat_op;
mod round;

pub use error::Error;
pub use rnnpack_onnx::{DType, Element, Extent, Tensor, TensorData};

use prepare::value_error;
use prost::Message;
use rnnpack_onnx::{Error as OnnxError, RecurrentNode, RecurrentOp, proto, walk};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

/// What computes the recurrent nodes of a [`Model`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Kernels {
    /// This crate's kernels.
    #[default]
    Rnnpack,
    /// The naive reference in f64, whose results are rounded once at the end of a node: to judge accuracy.
    Reference64,
    /// tract's own operator, as an independent check. A model with a node for which it is known to give wrong
    /// numbers is refused, naming the attribute or input that it ignores.
    Tract,
}

/// Loads a [`Model`], with everything that has to be known before.
///
/// ```no_run
/// use rnnpack_tract::{Loader, Tensor};
/// # fn main() -> Result<(), rnnpack_tract::Error> {
/// let vad = Loader::new()
///     .bind("sr", Tensor::scalar(16_000i64))
///     .shape("input", &[1, 576])
///     .load_path("silero_vad.onnx")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Loader {
    bindings: Vec<(String, Tensor)>,
    shapes: Vec<(String, Vec<usize>)>,
    kernels: Kernels,
    threads: usize,
}

impl Loader {
    /// No input bound, no shape given, this crate's kernels on one thread.
    pub fn new() -> Self {
        Self { threads: 1, ..Self::default() }
    }

    /// Makes the input `name` a constant, so that what depends on it alone (a branch of an `If`) is decided
    /// at load. The model then has no such input.
    #[must_use]
    pub fn bind(mut self, name: &str, value: Tensor) -> Self {
        self.bindings.push((name.to_string(), value));
        self
    }

    /// Fixes the dimensions of the input `name`. A dimension that the model names has that size wherever the
    /// name stands. Dimensions that are not fixed may differ from call to call.
    #[must_use]
    pub fn shape(mut self, name: &str, dims: &[usize]) -> Self {
        self.shapes.push((name.to_string(), dims.to_vec()));
        self
    }

    /// What computes the recurrent nodes.
    #[must_use]
    pub fn kernels(mut self, kernels: Kernels) -> Self {
        self.kernels = kernels;
        self
    }

    /// Threads over which a recurrent node shares its batch rows: 1 is the calling thread, 0 as many as rayon
    /// has. The results have the same bits. For nodes of f64 it is always 1.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Loads the model in the file at `path`.
    ///
    /// # Errors
    /// [`OnnxError::File`] where the file cannot be read, and those of [`Loader::load`].
    pub fn load_path(&self, path: impl AsRef<Path>) -> Result<Model, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|e| OnnxError::File { path: path.display().to_string(), reason: e.to_string() })?;
        self.load(&bytes)
    }

    /// Loads a model.
    ///
    /// The file's own claims are checked before tract sees them: stored tensors must hold the data that their
    /// dimensions ask for, in this file, and every name must stand for one value. Panics of tract are caught
    /// (not where a program is built with `panic = "abort"`). What tract computes from constants while it
    /// loads, and what the model's other operators allocate when it runs, has no bound: do not load a hostile
    /// model without a limit on memory and time around it. Nor has a `Loop` an end that its count and condition
    /// do not give it; it allocates for the iterations that it ran, whatever count it announces.
    ///
    /// # Errors
    /// [`Error::Onnx`]: a recurrent node asks for something that the standard does not have, or with
    /// [`Kernels::Tract`] for something that tract computes wrongly; an operator would compute bfloat16; a binding or
    /// shape does not fit, the bytes are no proper model, or tract refuses it.
    pub fn load(&self, bytes: &[u8]) -> Result<Model, Error> {
        let (model, graph) = proto::decode(bytes)?;
        prepare::screen(&graph)?;
        let bindings: Vec<(&str, &Tensor)> = self.bindings.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let nodes = walk::recurrent_nodes(&model, &graph, bytes.len(), &bindings)?;
        nodes.iter().try_for_each(|node| self.check_node(node))?;
        drop((model, graph));
        let mut model =
            pb::ModelProto::decode(bytes).map_err(|e| OnnxError::Malformed { reason: e.to_string() })?;
        let graph =
            model.graph.as_mut().ok_or_else(|| OnnxError::Malformed { reason: "it has no graph".into() })?;
        prepare::bind(graph, self)?;
        prepare::declare_shapes(graph, self)?;
        prepare::name_nodes(graph, &nodes);
        let bf16 = half_values::rewrite(graph, self.kernels != Kernels::Tract)?;
        prepare::close_bodies(graph);
        caught("load", || self.plan(&model, nodes, &bf16))
    }

    /// Refuses a recurrent node that is wrong or would be computed wrongly. Weights that are no constants yet may become
    /// so by tract's constant propagation, and are else packed when the node runs.
    fn check_node(&self, node: &RecurrentNode) -> Result<(), OnnxError> {
        let wrong = node.refusal().filter(|_| !node.only_not_constant);
        let on_tract = node.wrong_on_tract.as_ref().filter(|_| self.kernels == Kernels::Tract);
        on_tract.or(wrong).map_or(Ok(()), |e| Err(e.clone()))
    }

    fn plan(
        &self,
        proto: &pb::ModelProto,
        nodes: Vec<RecurrentNode>,
        bf16: &HashSet<String>,
    ) -> TractResult<Model> {
        let mut onnx = tract_onnx::onnx();
        onnx.op_register.insert(half_values::ROUND, half_values::build);
        comparison::register(&mut onnx);
        onnx.op_register.insert("If", if_op::build);
        onnx.op_register.insert("Loop", loop_op::build_loop);
        onnx.op_register.insert("Scan", loop_op::build_scan);
        if self.kernels != Kernels::Tract {
            register(&mut onnx);
        }
        let mut template = InferenceModel::default();
        template.properties.insert(SETTINGS.into(), self.settings());
        let parsed = onnx.parse_with_template(proto, None, template)?;
        ensure!(parsed.unresolved_inputs.is_empty(), "no value is named {:?}", parsed.unresolved_inputs);
        let mut model = parsed.model;
        name_unknown_dims(&mut model)?;
        let mut model = model.into_typed()?;
        guard::guard(&mut model)?;
        body::return_integers(&mut model)?;
        let model = model.into_optimized()?;
        let graph = proto.graph.as_ref().context("no graph")?;
        let inputs = specs(&graph.input, &graph.initializer, bf16, &model, TypedModel::input_fact)?;
        let outputs = specs(&graph.output, &[], bf16, &model, TypedModel::output_fact)?;
        let only_ours = body::keeps_only_memory(&model);
        let plan = TypedSimplePlan::new(model)?;
        Ok(Model(Arc::new(Loaded { plan, inputs, outputs, nodes, only_ours })))
    }

    fn settings(&self) -> Arc<TractTensor> {
        let kernels = [Kernels::Rnnpack, Kernels::Reference64, Kernels::Tract];
        let kernels = kernels.iter().position(|&k| k == self.kernels).unwrap_or_default();
        tensor1(&[kernels as i64, self.threads as i64]).into_arc_tensor()
    }
}

use tract_onnx::prelude::Tensor as TractTensor;

/// For programs that use tract themselves: models that `onnx` loads from here on have their `LSTM`, `GRU` and `RNN`
/// nodes on this crate's kernels, on the calling thread. All other operators stay tract's.
///
/// It is tract 0.23.9, so the program's own `tract-onnx` must be that version. A model that `onnx` loads is tract's like
/// any other: typed, optimized, run and streamed as before. A node that this crate refuses is an error of tract's with
/// an [`OnnxError`] among its causes.
///
/// [`Model`] does more: it also runs `Loop`, takes over `If`, `Scan` and comparisons, checks the extents of products, knows
/// bfloat16, and checks a file before tract sees it.
///
/// ```no_run
/// use tract_onnx::prelude::*;
/// # fn main() -> TractResult<()> {
/// let mut onnx = tract_onnx::onnx();
/// rnnpack_tract::register(&mut onnx); // the only new line
/// let model = onnx.model_for_path("model.onnx")?.into_optimized()?.into_runnable()?;
/// # Ok(())
/// # }
/// ```
pub fn register(onnx: &mut tract_onnx::Onnx) {
    for op in [RecurrentOp::Lstm, RecurrentOp::Gru, RecurrentOp::Rnn] {
        onnx.op_register.insert(op.name(), recurrent_node::build);
    }
}

/// The property of a model under construction that tells the builders of operators, which are plain
/// functions, the loader's settings.
const SETTINGS: &str = "rnnpack.settings";

/// The loader's settings; its defaults where there is no loader.
fn settings_of(template: &InferenceModel) -> TractResult<(Kernels, usize)> {
    let Some(settings) = template.properties.get(SETTINGS) else { return Ok((Kernels::Rnnpack, 1)) };
    let [kernels, threads] = settings.try_as_plain_ram()?.as_slice::<i64>()? else { bail!("no settings") };
    let kernels = if *kernels == 1 { Kernels::Reference64 } else { Kernels::Rnnpack };
    Ok((kernels, *threads as usize))
}

/// Gives a symbol to every dimension of an input that has none.
fn name_unknown_dims(model: &mut InferenceModel) -> TractResult<()> {
    for i in 0..model.inputs.len() {
        let outlet = model.inputs[i];
        let name = model.node(outlet.node).name.clone();
        let shape = &model.input_fact(i)?.shape;
        if shape.rank().concretize().is_none() {
            let reason = "the model does not say how many dimensions it has: give its shape";
            return Err(TractError::new(value_error(&name, reason)));
        }
        let dims: Vec<Option<TDim>> = shape.dims().map(|d| d.concretize()).collect();
        for (axis, _) in dims.iter().enumerate().filter(|(_, d)| d.is_none()) {
            let symbol = model.symbols.new_with_prefix("dim");
            model.input_fact_mut(i)?.shape.set_dim(axis, symbol.to_dim());
        }
    }
    Ok(())
}

/// An input or an output of a [`Model`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ValueSpec {
    /// Its name in the file.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its dimensions. One that is not fixed may differ from call to call; those with one name have one size.
    pub dims: Vec<Extent>,
}

fn specs(
    infos: &[pb::ValueInfoProto],
    stored: &[pb::TensorProto],
    bf16: &HashSet<String>,
    model: &TypedModel,
    fact: impl Fn(&TypedModel, usize) -> TractResult<&TypedFact>,
) -> TractResult<Vec<ValueSpec>> {
    let infos = infos.iter().filter(|i| !stored.iter().any(|t| t.name == i.name));
    let one = |(i, info): (usize, &pb::ValueInfoProto)| {
        let fact = fact(model, i)?;
        let name = info.name.clone();
        let dtype = convert::dtype(fact.datum_type).ok_or_else(|| {
            TractError::new(value_error(
                &name,
                format!("elements of type {:?} are not read", fact.datum_type),
            ))
        })?;
        let dtype = if bf16.contains(&name) { DType::BF16 } else { dtype };
        let extent = |dim: &TDim| match dim.to_usize() {
            Ok(n) => Extent::Fixed(n),
            Err(_) => Extent::Named(dim.to_string()),
        };
        Ok(ValueSpec { name, dtype, dims: fact.shape.iter().map(extent).collect() })
    };
    infos.enumerate().map(one).collect()
}

/// A whole ONNX model, ready to run. It is cheap to clone, and one model serves any number of threads.
///
/// Recurrent nodes may also stand in the branches of an `If` and the bodies of a `Loop` or a `Scan`; those are
/// planned when the model is loaded. A carried value may change its extents from one iteration to the next, and an
/// output of an `If` from one branch to the other, but neither its element type nor its number of dimensions.
///
/// Weights that are known when the model is loaded are packed then. Others are packed when the node runs, and a
/// [`Stream`] packs them again only when their bits change.
///
/// Values of bfloat16 may be moved about (`Identity`, `Reshape`, `Transpose`, `Squeeze`, `Unsqueeze`, `Flatten`, `Slice`,
/// `Split`, `Concat`, `Gather`, `Expand`, `Tile`, `Where` and their like), cast, and computed by recurrent nodes; another
/// operator that takes one is refused.
///
/// ```no_run
/// use rnnpack_tract::{Model, Tensor};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Model::load(&std::fs::read("encoder.onnx")?)?;
/// for input in model.inputs() {
///     println!("{}: {} {:?}", input.name, input.dtype, input.dims);
/// }
/// let x = Tensor::new(&[10, 1, 64], vec![0f32; 640]).ok_or("the data do not fit the dimensions")?;
/// let outputs = model.run(&[("x", &x)])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Model(Arc<Loaded>);

struct Loaded {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<ValueSpec>,
    outputs: Vec<ValueSpec>,
    nodes: Vec<RecurrentNode>,
    only_ours: bool,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("inputs", &self.0.inputs).field("outputs", &self.0.outputs).finish()
    }
}

impl Model {
    /// Loads a model with no input bound and no shape given: see [`Loader`].
    ///
    /// # Errors
    /// As [`Loader::load`].
    pub fn load(bytes: &[u8]) -> Result<Model, Error> {
        Loader::new().load(bytes)
    }

    /// The inputs that a call needs, without those that were bound.
    pub fn inputs(&self) -> &[ValueSpec] {
        &self.0.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[ValueSpec] {
        &self.0.outputs
    }

    /// The recurrent nodes of the file, also those of branches that are never taken.
    pub fn recurrent_nodes(&self) -> &[RecurrentNode] {
        &self.0.nodes
    }

    /// Runs the model: all inputs by name, in any order, to all outputs by name.
    ///
    /// ```no_run
    /// # use rnnpack_tract::{Model, Tensor};
    /// # fn run(model: &Model, x: &Tensor) -> Result<(), rnnpack_tract::Error> {
    /// for (name, value) in model.run(&[("x", x)])? {
    ///     println!("{name}: {:?}", value.dims());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Onnx`] with [`OnnxError::Value`] for an input that is missing, unknown, given twice, or of
    /// another element type or shape; else what the node that failed says.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        self.stream(&[])?.run(inputs)
    }

    /// A stream of calls: after each, every output named in `carried` becomes the input named with it, as
    /// (input, output). It also keeps its working memory from one call to the next.
    ///
    /// ```no_run
    /// # use rnnpack_tract::{Model, Tensor};
    /// # fn run(model: &Model, chunks: &[Tensor], zeros: &Tensor) -> Result<(), rnnpack_tract::Error> {
    /// let mut stream = model.stream(&[("state", "stateN")])?;
    /// for (i, chunk) in chunks.iter().enumerate() {
    ///     let outputs = match i {
    ///         0 => stream.run(&[("input", chunk), ("state", zeros)])?,
    ///         _ => stream.run(&[("input", chunk)])?,
    ///     };
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Onnx`] with [`OnnxError::Value`] for a name that is no input or output, or is used twice, and
    /// for a pair with different element types.
    pub fn stream(&self, carried: &[(&str, &str)]) -> Result<Stream, Error> {
        let position = |specs: &[ValueSpec], name: &str| {
            let found = specs.iter().position(|s| s.name == name);
            found.ok_or_else(|| value_error(name, "the model has no such input or output to carry"))
        };
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for (input, output) in carried {
            let (i, o) = (position(&self.0.inputs, input)?, position(&self.0.outputs, output)?);
            if pairs.iter().any(|&(other, _)| other == i) {
                return Err(value_error(input, "it is carried twice").into());
            }
            if self.0.inputs[i].dtype != self.0.outputs[o].dtype {
                return Err(value_error(input, format!("`{output}` has another element type")).into());
            }
            pairs.push((i, o));
        }
        Ok(Stream { model: self.clone(), pairs, carried: HashMap::new(), state: None })
    }
}

/// Consecutive calls of a [`Model`] that hand values on: see [`Model::stream`].
///
/// The first call needs every input. A later one may leave out those that are carried; one that is given all
/// the same is used in place of the carried value.
pub struct Stream {
    model: Model,
    pairs: Vec<(usize, usize)>,
    carried: HashMap<usize, Tensor>,
    state: Option<TypedSimpleState>,
}

impl Stream {
    /// Runs the model once.
    ///
    /// # Errors
    /// As [`Model::run`]. What is carried is then as before the call.
    pub fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        let model = self.model.0.clone();
        // Taken out, so that a state in which a call failed is not used again.
        let reusable = self.state.take();
        let feeds = self.feeds(inputs)?;
        let (values, state) = caught("run", || {
            let mut state = match reusable {
                Some(state) => state,
                None => model.plan.spawn()?,
            };
            let feeds =
                feeds.iter().map(|f| Ok(convert::to_tract(f)?.into_tvalue())).collect::<TractResult<_>>()?;
            let values = state.run(feeds)?;
            let values = values.iter().zip(&model.outputs).map(|(v, o)| convert::from_tract(v, o.dtype));
            let values = values.collect::<TractResult<Vec<_>>>()?;
            Ok((values, state))
        })?;
        self.state = Some(state).filter(|_| model.only_ours);
        for &(input, output) in &self.pairs {
            self.carried.insert(input, values[output].clone());
        }
        Ok(model.outputs.iter().map(|o| o.name.clone()).zip(values).collect())
    }

    /// Forgets what is carried: the next call needs every input.
    pub fn reset(&mut self) {
        self.carried.clear();
    }

    /// The values of all inputs, in the model's order.
    fn feeds<'a>(&'a self, inputs: &[(&str, &'a Tensor)]) -> Result<Vec<&'a Tensor>, OnnxError> {
        let specs = &self.model.0.inputs;
        let mut feeds: Vec<Option<&Tensor>> = vec![None; specs.len()];
        for &(name, value) in inputs {
            let index = specs.iter().position(|s| s.name == name);
            let index = index.ok_or_else(|| value_error(name, "the model has no such input"))?;
            if feeds[index].replace(value).is_some() {
                return Err(value_error(name, "it is given twice"));
            }
        }
        let mut sizes = HashMap::new();
        let value = |(i, spec): (usize, &ValueSpec)| {
            let value = feeds[i].or_else(|| self.carried.get(&i));
            let value = value.ok_or_else(|| value_error(&spec.name, "the input is missing"))?;
            check_value(spec, value, &mut sizes)?;
            Ok(value)
        };
        specs.iter().enumerate().map(value).collect()
    }
}

fn check_value(
    spec: &ValueSpec,
    value: &Tensor,
    sizes: &mut HashMap<String, usize>,
) -> Result<(), OnnxError> {
    if value.dtype() != spec.dtype {
        return Err(value_error(&spec.name, format!("it is {}, not {}", value.dtype(), spec.dtype)));
    }
    if value.dims().len() != spec.dims.len() {
        let (found, expected) = (value.dims().len(), spec.dims.len());
        return Err(value_error(&spec.name, format!("it has {found} dimensions, not {expected}")));
    }
    for (i, (&size, extent)) in value.dims().iter().zip(&spec.dims).enumerate() {
        let expected = match extent {
            Extent::Fixed(n) => *n,
            Extent::Named(name) => *sizes.entry(name.clone()).or_insert(size),
            Extent::Unknown => size,
        };
        if size != expected {
            return Err(value_error(
                &spec.name,
                format!("dimension {i} ({extent}) is {size}, not {expected}"),
            ));
        }
    }
    Ok(())
}

/// Runs `body`, in which tract may fail or panic.
fn caught<T>(stage: &'static str, body: impl FnOnce() -> TractResult<T>) -> Result<T, Error> {
    // What a panic leaves behind is dropped: nothing that `body` borrows is changed by it.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match error.chain().find_map(|e| e.downcast_ref::<OnnxError>()) {
            Some(refusal) => refusal.clone().into(),
            None => Error::Tract { stage, reason: format!("{error:#}") },
        }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(Error::Panic { stage, reason: text.to_string() })
        }
    }
}
