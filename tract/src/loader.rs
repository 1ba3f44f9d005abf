//! Loads a model: decodes and checks the file once, prepares it for tract and plans it.

use crate::body::{self, keeps_only_memory};
use crate::convert;
use crate::error::{Error, value_error};
use crate::loaded::Loaded;
use crate::model::Model;
use crate::register::register_with;
use crate::settings::{Kernels, Settings};
use crate::unused::remove_unused;
use crate::value::ValueSpec;
use crate::{
    bf16, comparison, fits, guard, if_op, loop_op, messages, operators, outputs, own_operator, prepare,
};
use rnnpack::{KernelError, Subnormals, WeightType};
use rnnpack_onnx::{
    DType, Error as OnnxError, Extent, NodeDescription, RecurrentNode, ShownNames, Tensor, nodes_of, proto,
};
use std::collections::HashSet;
use std::path::Path;
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

/// Loads a [`Model`], with everything that must be known before loading.
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
    subnormals: Subnormals,
    weight_type: Option<WeightType>,
}

impl Loader {
    /// A loader with no bound inputs, no given shapes, and rnnpack's kernels on one thread.
    pub fn new() -> Self {
        Self { threads: 1, ..Self::default() }
    }

    /// Makes the input `name` a constant. Whatever depends only on it, for example which branch an `If` takes, is then
    /// decided at load. The model no longer has this input. If the file stores a default for the input, the given value
    /// replaces it. An input with a default that is not bound is not among [`Model::inputs`].
    #[must_use]
    pub fn bind(mut self, name: &str, value: Tensor) -> Self {
        self.bindings.push((name.to_string(), value));
        self
    }

    /// Fixes the dimensions of the input `name`. If the model names one of them, that name has this size in the whole
    /// model. Dimensions that are not fixed may differ from call to call.
    #[must_use]
    pub fn shape(mut self, name: &str, dims: &[usize]) -> Self {
        self.shapes.push((name.to_string(), dims.to_vec()));
        self
    }

    /// Chooses what computes the recurrent nodes.
    #[must_use]
    pub fn kernels(mut self, kernels: Kernels) -> Self {
        self.kernels = kernels;
        self
    }

    /// Sets the number of threads over which a recurrent node divides its batch rows. 1 means only the calling thread,
    /// 0 means as many as rayon has. The number does not change the bits of the results. Nodes of f64 always use 1.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets what all recurrent nodes do with subnormal numbers. The default, [`Subnormals::Keep`], computes exactly. With
    /// [`Subnormals::Flush`], the layers flush and the other operators of the model do not. The choice is about the
    /// type in which a layer computes: f64 for a node of f64, else f32.
    ///
    /// Loading refuses a recurrent node for which the choice cannot be kept: on a machine that cannot flush, and with
    /// other [`Kernels`] than rnnpack's, which do not flush.
    #[must_use]
    pub fn subnormals(mut self, subnormals: Subnormals) -> Self {
        self.subnormals = subnormals;
        self
    }

    /// Sets the type in which all recurrent nodes store W and R. The default is chosen for each node: bf16 or f16 if each
    /// element of its W and R is a number of this type, which no bit of a result depends on, and else f32.
    /// `DynamicQuantizeLSTM` has int8 by default, with the integers of the file. Int8 also rounds x and h, so no other node
    /// has it by default; if it is asked for, weights behind `DequantizeLinear` keep their integers too.
    ///
    /// Loading refuses a recurrent node with a weight that does not fit into the type, a node of f64 for every type but f32,
    /// and other [`Kernels`] than rnnpack's. Weights that are known only when the node runs are refused then.
    #[must_use]
    pub fn weight_type(mut self, weight_type: WeightType) -> Self {
        self.weight_type = Some(weight_type);
        self
    }

    /// Loads the model in the file at `path`. Data that the model keeps in other files is read from files below its own
    /// folder.
    ///
    /// # Errors
    /// [`Error::Onnx`] with [`rnnpack_onnx::Error::File`] if the file cannot be read, or with
    /// [`rnnpack_onnx::Error::Tensor`] if data in another file cannot be read, and the errors of [`Loader::load`].
    pub fn load_path(&self, path: impl AsRef<Path>) -> Result<Model, Error> {
        self.load_model(rnnpack_onnx::open(path.as_ref())?)
    }

    /// Loads a model from the bytes of its file. A model that keeps data in other files is refused: use
    /// [`Loader::load_path`], or make one file of it with [`rnnpack_onnx::read_whole`].
    ///
    /// The file is checked before tract sees it: every stored tensor must be in this file and have exactly the data for
    /// its dimensions, and every name must belong to only one value. Panics of tract are caught, except in a program
    /// built with `panic = "abort"`.
    ///
    /// Some memory and time has no bound: what tract computes from constants while it loads, and what the model's other
    /// operators allocate when it runs. A `Loop` ends only when its count or condition ends it. It allocates for the
    /// iterations that it ran, whatever count it declares. Do not load a hostile model without an external limit on
    /// memory and time.
    ///
    /// # Errors
    /// - [`Error::Onnx`]: the bytes are not a valid model, or a binding or shape does not fit; a recurrent node needs
    ///   something that the standard does not have, or, with [`Kernels::Tract`], something that tract computes wrongly;
    ///   or an operator would have to compute bfloat16.
    /// - [`Error::Unsupported`]: the model has operators that cannot run. It lists all of them.
    /// - [`Error::Tract`]: tract refuses the model.
    /// - [`Error::Panic`]: tract panicked.
    pub fn load(&self, bytes: &[u8]) -> Result<Model, Error> {
        self.load_model(rnnpack_onnx::decode(bytes)?)
    }

    fn load_model(&self, mut model: proto::Model) -> Result<Model, Error> {
        rnnpack_onnx::check_model(&model)?;
        prepare::screen(model.graph()?)?;
        let bindings: Vec<(&str, &Tensor)> = self.bindings.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let nodes = nodes_of(&model, &bindings)?;
        nodes.iter().try_for_each(|node| self.check_node(node))?;
        match self.unsupported_in(&model) {
            operators if operators.is_empty() => {}
            operators => return Err(Error::Unsupported { operators }),
        }
        // tract finds the weights in the graph. Keeping these too would hold them twice.
        let nodes: Vec<NodeDescription> = nodes.into_iter().map(RecurrentNode::into_description).collect();
        let mut outputs = Vec::new();
        if let Some(graph) = &mut model.graph {
            prepare::bind(graph, &self.bindings)?;
            outputs = outputs::separate(graph);
        }
        let mut model = messages::model(model);
        let mut bf16 = HashSet::new();
        if let Some(graph) = &mut model.graph {
            prepare::declare_shapes(graph, &self.shapes)?;
            remove_unused(graph);
            prepare::name_nodes(graph, &nodes);
            bf16 = bf16::rewrite(graph, self.kernels != Kernels::Tract)?;
            fits::insert(graph);
            prepare::close_bodies(graph);
        }
        Error::caught("load", || self.plan(model, nodes, (&outputs, &bf16)))
    }

    /// Refuses a recurrent node that is wrong or would be computed wrongly. Weights that are not constants pass:
    /// tract's constant propagation may still make them constants; if not, they are packed when the node runs.
    fn check_node(&self, node: &NodeDescription) -> Result<(), OnnxError> {
        if self.kernels == Kernels::Tract {
            own_operator::check_right(node)?;
        }
        if self.kernels != Kernels::Rnnpack {
            let reason = match (self.subnormals, self.weight_type) {
                (Subnormals::Keep, None) => None,
                (Subnormals::Keep, Some(_)) => Some("only rnnpack's kernels have a type of weights"),
                _ => Some("only rnnpack's kernels flush subnormal numbers"),
            };
            if let Some(reason) = reason {
                let (node, op) = (node.name.clone(), node.op.to_string());
                return Err(OnnxError::Node { node, op, reason: reason.to_string() });
            }
        }
        if !self.subnormals.is_available() {
            return Err(OnnxError::of_layer(&node.name, KernelError::CannotFlush.into()));
        }
        node.refusal().filter(|_| !node.awaits_weights()).map_or(Ok(()), |e| Err(e.clone()))
    }

    fn plan(
        &self,
        model: pb::ModelProto,
        nodes: Vec<NodeDescription>,
        (declared, bf16): (&[proto::ValueInfo], &HashSet<String>),
    ) -> TractResult<Model> {
        let mut template = InferenceModel::default();
        Settings { kernels: self.kernels, threads: self.threads }.hand_to(&mut template);
        let parsed = self.operators().parse_with_template(&model, None, template)?;
        let unresolved = &parsed.unresolved_inputs;
        ensure!(unresolved.is_empty(), "there is no value for {}", ShownNames(unresolved));
        let graph = model.graph.as_ref().context("no graph")?;
        let stored: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let names = graph.input.iter().map(|info| info.name.clone());
        let inputs: Vec<String> = names.filter(|name| !stored.contains(name.as_str())).collect();
        let outputs: Vec<String> = declared.iter().map(|info| info.name.clone()).collect();
        // tract has its own copy of what it needs.
        drop(model);
        let mut model = parsed.model;
        name_unknown_dims(&mut model)?;
        let mut model = model.into_typed()?;
        guard::guard(&mut model)?;
        body::return_integers(&mut model)?;
        let model = model.into_optimized()?;
        let inputs = specs(inputs, bf16, &model, TypedModel::input_fact)?;
        let outputs = specs(outputs, bf16, &model, TypedModel::output_fact)?;
        outputs::check_types(declared, &outputs)?;
        let reusable = keeps_only_memory(&model);
        let plan = TypedSimplePlan::new(model)?;
        Ok(Model::new(Loaded { plan, inputs, outputs, nodes, reusable }))
    }

    /// tract's operators. Ours replace those that tract lacks or computes wrongly.
    pub(crate) fn operators(&self) -> tract_onnx::Onnx {
        let mut onnx = tract_onnx::onnx();
        onnx.op_register.insert(bf16::ROUND, bf16::build);
        operators::register(&mut onnx);
        comparison::register(&mut onnx);
        fits::register(&mut onnx);
        onnx.op_register.insert("If", if_op::build);
        onnx.op_register.insert("Loop", loop_op::build_loop);
        onnx.op_register.insert("Scan", loop_op::build_scan);
        if self.kernels != Kernels::Tract {
            register_with(&mut onnx, self.subnormals, self.weight_type);
        }
        onnx
    }
}

impl Model {
    /// Loads a model without bound inputs and given shapes: see [`Loader`].
    ///
    /// # Errors
    /// As [`Loader::load`].
    pub fn load(bytes: &[u8]) -> Result<Model, Error> {
        Loader::new().load(bytes)
    }
}

/// Gives a symbol to every input dimension that has neither a size nor a symbol.
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

/// The names, element types and dimensions of a planned model's inputs or outputs.
fn specs(
    names: Vec<String>,
    bf16: &HashSet<String>,
    model: &TypedModel,
    fact: impl Fn(&TypedModel, usize) -> TractResult<&TypedFact>,
) -> TractResult<Vec<ValueSpec>> {
    let one = |(i, name): (usize, String)| {
        let fact = fact(model, i)?;
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
    names.into_iter().enumerate().map(one).collect()
}
