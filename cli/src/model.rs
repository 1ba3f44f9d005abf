//! Loads and runs whole models.

use crate::inputs::Feeds;
use crate::layer_options::LayerOptions;
use crate::tensors::Tensors;
use anyhow::{Context, Result, anyhow};
use rnnpack_onnx::{DType, Error as OnnxError, Tensor};
use rnnpack_tract::{Error, Kernels, Loader, Model};
use std::collections::HashSet;
use std::panic;
use std::path::Path;

/// A loaded model, with the names of its bound inputs.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    /// The inputs that are constants of the model: bound by the user, or because the model does not load otherwise.
    bound: Vec<String>,
    /// Why the model does not load with the shapes of the inputs, if it does not.
    doubt: Option<Error>,
}

/// Reads the file of a model. Data that the model keeps in other files is inside the result.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    rnnpack_onnx::read_whole(path).map_err(|e| match e {
        OnnxError::File { path, reason } => anyhow!("cannot read {path}: {reason}"),
        e => anyhow::Error::new(e).context(format!("cannot read {}", path.display())),
    })
}

/// What computes the recurrent layers of a model.
#[derive(Clone, Copy)]
pub(crate) struct Computed {
    pub(crate) kernels: Kernels,
    pub(crate) threads: usize,
    pub(crate) options: LayerOptions,
}

impl Computed {
    /// rnnpack.
    pub(crate) fn ours(threads: usize, options: LayerOptions) -> Computed {
        Computed { kernels: Kernels::Rnnpack, threads, options }
    }

    /// Another side, which computes exactly and on one thread.
    pub(crate) fn by(kernels: Kernels) -> Computed {
        Computed { kernels, threads: 1, options: LayerOptions::default() }
    }
}

/// Loads a model for these inputs.
///
/// Inputs that are weights become constants. If an input has the same shape in every call, the shape is fixed. If the
/// model does not load this way, it is tried without fixed shapes and with integer scalars as constants: these may
/// control the model's flow. A scalar must be the same in every call.
///
/// # Errors
/// If no attempt succeeds, the error of the first one with fixed shapes and, if there are any, constant scalars.
pub(crate) fn load(bytes: &[u8], feeds: &Feeds, computed: Computed) -> Result<Loaded> {
    let weights: HashSet<&String> = feeds.weights.iter().collect();
    let attempt = |shapes: bool, scalars: bool| {
        let Computed { kernels, threads, options } = computed;
        let mut loader = Loader::new().kernels(kernels).threads(threads).subnormals(options.subnormals);
        if let Some(weights) = options.weights {
            loader = loader.weight_type(weights);
        }
        let mut bound: Vec<String> = Vec::new();
        for (name, tensor) in &feeds.bound {
            loader = loader.bind(name, tensor.clone());
            bound.push(name.clone());
        }
        for (name, first) in &feeds.steps[0] {
            let constant = weights.contains(name) || (scalars && is_scalar(first));
            if constant && same(feeds, name, |t| t == first) {
                loader = loader.bind(name, first.clone());
                bound.push(name.clone());
            } else if shapes && same(feeds, name, |t| t.dims() == first.dims()) {
                loader = loader.shape(name, first.dims());
            }
        }
        loader.load(bytes).map(|model| Loaded { model, bound, doubt: None })
    };
    let scalar = |(name, first): (&String, &Tensor)| is_scalar(first) && same(feeds, name, |t| t == first);
    // The attempt whose error says most.
    let best = usize::from(feeds.steps[0].iter().any(scalar));
    let mut errors = Vec::new();
    for (shapes, scalars) in [(true, false), (true, true), (false, false), (false, true)] {
        if !shapes && errors.get(best).is_some_and(is_of_shapes) {
            break;
        }
        match quietly(|| attempt(shapes, scalars)) {
            Ok(loaded) if shapes => return Ok(loaded),
            Ok(loaded) => {
                return Ok(Loaded { doubt: errors.into_iter().nth(usize::from(scalars)), ..loaded });
            }
            // All attempts need these.
            Err(e @ Error::Unsupported { .. }) => return Err(e.into()),
            Err(e) => errors.push(e),
        }
    }
    Err(errors.into_iter().nth(best).map_or_else(|| anyhow!("no attempt"), Into::into))
}

/// Whether a node refuses its input because it is too short. Without fixed shapes the model may load, but computes with
/// elements that do not exist.
fn is_of_shapes(error: &Error) -> bool {
    const OPS: [&str; 6] = ["Pad", "Conv", "ConvInteger", "MaxPool", "AveragePool", "LpPool"];
    matches!(error, Error::Onnx(OnnxError::Node { op, .. }) if OPS.contains(&op.as_str()))
}

fn is_scalar(tensor: &Tensor) -> bool {
    tensor.data().len() == 1 && !matches!(tensor.dtype(), DType::F32 | DType::F64 | DType::F16 | DType::BF16)
}

/// Whether `test` is true for the input `name` in every call.
fn same(feeds: &Feeds, name: &str, test: impl Fn(&Tensor) -> bool) -> bool {
    feeds.steps.iter().all(|step| step.get(name).is_some_and(&test))
}

impl Loaded {
    /// The inputs of `step`, without constants of the model and without the inputs in `carried`.
    pub(crate) fn inputs<'a>(
        &self,
        step: &'a Tensors,
        carried: &[(String, String)],
    ) -> Vec<(&'a str, &'a Tensor)> {
        let carried = carried.iter().map(|(input, _)| input);
        let left_out: HashSet<&String> = self.bound.iter().chain(carried).collect();
        step.iter().filter(|(name, _)| !left_out.contains(name)).map(|(name, t)| (name.as_str(), t)).collect()
    }

    /// Runs all steps as one stream. The first step gets all inputs. In later steps, those in `carried` come from the
    /// step before.
    pub(crate) fn run(&self, feeds: &Feeds, carried: &[(String, String)]) -> Result<Vec<Tensors>> {
        let pairs: Vec<(&str, &str)> = carried.iter().map(|(i, o)| (i.as_str(), o.as_str())).collect();
        let mut stream = self.model.stream(&pairs)?;
        let step = |(i, step): (usize, &Tensors)| {
            let carried = if i == 0 { &[] } else { carried };
            let outputs = quietly(|| stream.run(&self.inputs(step, carried)));
            // The error of a load with these shapes says more than what follows from it.
            let outputs = outputs.map_err(|e| self.doubt.clone().unwrap_or(e))?;
            Ok(outputs.into_iter().collect())
        };
        feeds.steps.iter().enumerate().map(step).collect()
    }
}

/// Runs `body` without messages of panics on standard error. tract may panic in it, and the panic is caught.
pub(crate) fn quietly<T>(body: impl FnOnce() -> T) -> T {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = body();
    panic::set_hook(hook);
    result
}

/// The stack size of a thread that loads models, because tract analyses graphs recursively. It is the usual size of a
/// main thread's stack.
const STACK_BYTES: usize = 8 << 20;

/// Runs `body` in a rayon pool with `threads` threads.
pub(crate) fn with_threads<T: Send>(threads: usize, body: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES).build();
    Ok(pool.context("cannot start threads")?.install(body))
}

/// The parser for `--threads`.
pub(crate) fn thread_count() -> impl clap::builder::TypedValueParser<Value = u16> {
    clap::value_parser!(u16).range(1..=1024)
}
