//! The inputs of a whole model: given by the user, recorded, or generated.

use crate::npz::read_npz;
use crate::tensors::{Random, Tensors, read_npy};
use anyhow::{Context, Result, anyhow, bail};
use rnnpack_onnx::{
    DType, Error as OnnxError, Extent, RecurrentOp, Shown, ShownNames, Tensor, TensorData, proto,
};
use rnnpack_tract::Error;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// The size of a dimension if neither the file nor the user gives one.
const DEFAULT_DIM: usize = 4;

/// The inputs that the user gives.
#[derive(clap::Args)]
pub(crate) struct GivenArgs {
    /// An input's value, or an archive whose keys are input names; may be repeated
    #[arg(long, value_name = "NAME=FILE.npy|FILE.npz")]
    input: Vec<String>,
    /// Make an input a constant before the model is loaded, such as sr=16000; may be repeated
    #[arg(long, value_name = "NAME=VALUE|NAME=FILE.npy")]
    bind: Vec<String>,
}

impl GivenArgs {
    pub(crate) fn new(input: Vec<String>, bind: Vec<String>) -> GivenArgs {
        GivenArgs { input, bind }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.input.is_empty() && self.bind.is_empty()
    }
}

/// How to generate the inputs that are not given.
#[derive(clap::Args)]
pub(crate) struct GeneratedArgs {
    /// For generated inputs: the size of a named dimension, or all dimensions of an input; may be repeated
    #[arg(long, value_name = "DIM=4|INPUT=1x576")]
    pub(crate) dim: Vec<String>,
    /// Seed for generated values
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// An input as the file declares it.
struct Declared {
    name: String,
    /// `None` if tensors cannot hold the type.
    dtype: Option<DType>,
    dims: Option<Vec<Extent>>,
    /// Whether it is W, R, B or P of a recurrent node. As a constant, it is packed only once.
    weights: bool,
    /// Whether the file stores a default. A given value replaces it when the model is loaded.
    has_default: bool,
}

/// All inputs of a model for one run of a command.
pub(crate) struct Feeds {
    /// The inputs that the user binds as constants at load.
    pub(crate) bound: Tensors,
    /// The inputs that are weights of recurrent nodes or have a default. They become constants.
    pub(crate) weights: Vec<String>,
    /// The inputs of one or more consecutive calls.
    pub(crate) steps: Vec<Tensors>,
    /// Descriptions of the generated inputs.
    pub(crate) generated: Vec<String>,
}

/// A recorded stream: the inputs and outputs of consecutive calls.
pub(crate) struct Recorded {
    pub(crate) inputs: Vec<Tensors>,
    pub(crate) outputs: Vec<Tensors>,
}

impl Feeds {
    /// The inputs of one call, all given by the user.
    pub(crate) fn given(model: &[u8], args: &GivenArgs) -> Result<Feeds> {
        let declared = declared_inputs(model)?;
        let (bound, step) = given(&declared, args)?;
        let missing: Vec<&str> = missing(&declared, &bound, &step).map(|d| d.name.as_str()).collect();
        if let Some(name) = missing.first() {
            bail!(
                "no value for: {}; give each with --input, such as --input {}=FILE.npy",
                ShownNames(&missing),
                Shown(name)
            );
        }
        Ok(Feeds { bound, weights: weights(&declared), steps: vec![step], generated: Vec::new() })
    }

    /// The inputs of one call. Those that are not given are generated.
    pub(crate) fn generated(model: &[u8], args: &GivenArgs, how: &GeneratedArgs) -> Result<Feeds> {
        let declared = declared_inputs(model)?;
        let (bound, mut step) = given(&declared, args)?;
        let dims = DimArgs::parse(&declared, &how.dim)?;
        let mut random = Random::new(how.seed);
        let mut generated = Vec::new();
        let missing: Vec<&Declared> = missing(&declared, &bound, &step).collect();
        for declared in missing {
            let tensor = generate(declared, &dims, &mut random)?;
            let values = match tensor.dtype() {
                DType::F32 | DType::F64 | DType::F16 | DType::BF16 => "uniform in ±1",
                DType::Bool => "all true",
                _ => "all 1",
            };
            let name = Shown(&declared.name);
            generated.push(format!("{name} {} {:?}, {values}", tensor.dtype(), tensor.dims()));
            step.insert(declared.name.clone(), tensor);
        }
        Ok(Feeds { bound, weights: weights(&declared), steps: vec![step], generated })
    }

    /// The inputs of a recorded stream.
    pub(crate) fn recorded(model: &[u8], args: &GivenArgs, recorded: &Recorded) -> Result<Feeds> {
        let declared = declared_inputs(model)?;
        let (bound, given) = given(&declared, args)?;
        if let Some(name) = given.keys().next() {
            bail!(
                "--input {}: the recorded stream gives all inputs; leave it out, or use --bind",
                Shown(name)
            );
        }
        let by_name = by_name(&declared);
        let mut steps = recorded.inputs.clone();
        for step in &mut steps {
            step.retain(|name, _| !bound.contains_key(name));
            for (name, tensor) in step {
                *tensor = fitted(find(&by_name, name)?, tensor.clone())?;
            }
        }
        Ok(Feeds { bound, weights: weights(&declared), steps, generated: Vec::new() })
    }

    /// Adds advice to an error of the model if it may come from generated inputs that do not fit.
    pub(crate) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        use Error::{Onnx, Panic, Tract};
        use OnnxError::{Input, Value};
        let may_not_fit = matches!(
            error.downcast_ref(),
            Some(Onnx(Input { .. } | Value { .. }) | Panic { .. } | Tract { .. })
        );
        if self.generated.is_empty() || !may_not_fit {
            return error;
        }
        let generated = ShownNames(&self.generated);
        let advice =
            "if generated inputs do not fit the model, give --input, --bind or --dim; the generated ones are";
        anyhow!("{error}; {advice} {generated}")
    }
}

impl Recorded {
    /// Reads an archive with the keys `in/<step>/<name>` and `out/<step>/<name>`. Steps start at 0.
    pub(crate) fn read(path: &Path) -> Result<Recorded> {
        let mut steps: BTreeMap<usize, [Tensors; 2]> = BTreeMap::new();
        for (key, tensor) in read_npz(path)? {
            let mut parts = key.splitn(3, '/');
            let side = match parts.next() {
                Some("in") => 0,
                Some("out") => 1,
                _ => continue,
            };
            if let (Some(Ok(step)), Some(name)) = (parts.next().map(str::parse), parts.next()) {
                let twice = steps.entry(step).or_default()[side].insert(name.to_owned(), tensor);
                if twice.is_some() {
                    bail!("{}: {:?} is given twice", path.display(), Shown(&key).to_string());
                }
            }
        }
        let whole = |(i, (&step, [inputs, outputs])): (usize, (&usize, &[Tensors; 2]))| {
            i == step && !inputs.is_empty() && !outputs.is_empty()
        };
        if steps.is_empty() || !steps.iter().enumerate().all(whole) {
            let path = path.display();
            bail!(
                "{path}: a recorded stream needs in/<step>/<name> and out/<step>/<name> for steps 0, 1, 2, …"
            );
        }
        let (inputs, outputs) = steps.into_values().map(|[i, o]| (i, o)).unzip();
        Ok(Recorded { inputs, outputs })
    }

    /// Pairs (input, output): in every step after the first, the input is the output of the step before.
    pub(crate) fn carried(&self) -> Vec<(String, String)> {
        let next = self.inputs.iter().skip(1).zip(&self.outputs);
        let handed_on = |input: &str, output: &str| {
            self.inputs.len() > 1
                && next.clone().all(|(i, o)| i.contains_key(input) && i.get(input) == o.get(output))
        };
        let pair = |input: &String| {
            let output = self.outputs[0].keys().find(|output| handed_on(input, output))?;
            Some((input.clone(), output.clone()))
        };
        self.inputs[0].keys().filter_map(pair).collect()
    }
}

/// The inputs of a model's main graph.
fn declared_inputs(model: &[u8]) -> Result<Vec<Declared>> {
    let model = rnnpack_onnx::decode(model)?;
    let graph = model.graph()?;
    let stored: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let recurrent = graph.node.iter().filter(|n| RecurrentOp::from_type(&n.op_type).is_some());
    let weights = |n: &'_ proto::Node| [1, 2, 3, 7].map(|i| n.input.get(i).cloned());
    let weights: BTreeSet<String> = recurrent.flat_map(weights).flatten().collect();
    let declared = |info: &proto::ValueInfo| Declared {
        weights: weights.contains(&info.name),
        has_default: stored.contains(info.name.as_str()),
        ..declared_input(info)
    };
    Ok(graph.input.iter().map(declared).collect())
}

fn declared_input(info: &proto::ValueInfo) -> Declared {
    let name = info.name.clone();
    let Some(tensor) = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Declared { name, dtype: None, dims: None, weights: false, has_default: false };
    };
    let dims = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(Extent::from).collect());
    Declared { name, dtype: DType::from_number(tensor.elem_type), dims, weights: false, has_default: false }
}

/// The inputs that become constants: weights, and inputs that replace a default.
fn weights(declared: &[Declared]) -> Vec<String> {
    declared.iter().filter(|d| d.weights || d.has_default).map(|d| d.name.clone()).collect()
}

/// The declared inputs by name.
type ByName<'a> = HashMap<&'a str, &'a Declared>;

fn by_name(declared: &[Declared]) -> ByName<'_> {
    declared.iter().map(|d| (d.name.as_str(), d)).collect()
}

fn find<'a>(declared: &ByName<'a>, name: &str) -> Result<&'a Declared> {
    declared.get(name).copied().ok_or_else(|| {
        let mut names: Vec<&str> = declared.keys().copied().collect();
        names.sort_unstable();
        anyhow!("the model has no input {:?}; it has: {}", Shown(name).to_string(), ShownNames(&names))
    })
}

fn missing<'a>(declared: &'a [Declared], a: &Tensors, b: &Tensors) -> impl Iterator<Item = &'a Declared> {
    declared.iter().filter(|d| !d.has_default && !a.contains_key(&d.name) && !b.contains_key(&d.name))
}

/// The values of `--bind`, then those of `--input`.
fn given(declared: &[Declared], args: &GivenArgs) -> Result<(Tensors, Tensors)> {
    let (mut bound, mut inputs) = (Tensors::new(), Tensors::new());
    let declared = by_name(declared);
    for arg in &args.bind {
        let (name, value) = split(arg, "--bind", "sr=16000 or x=x.npy")?;
        let declared = find(&declared, name)?;
        let tensor = match value.ends_with(".npy") {
            true => fitted(declared, read_npy(value.as_ref())?)?,
            false => scalar(declared, value)?,
        };
        if bound.insert(name.to_owned(), tensor).is_some() {
            bail!("--bind {name} is given twice");
        }
    }
    for arg in &args.input {
        let read = match arg.split_once('=') {
            None if arg.ends_with(".npz") => read_npz(arg.as_ref())?,
            _ => {
                let (name, file) = split(arg, "--input", "x=x.npy or inputs.npz")?;
                Tensors::from([(name.to_owned(), read_npy(file.as_ref())?)])
            }
        };
        for (name, tensor) in read {
            if name.starts_with("in/0/") {
                bail!("{arg} holds a recorded stream: use `rnnpack verify MODEL --recorded {arg}`");
            }
            let tensor = fitted(find(&declared, &name)?, tensor)?;
            if bound.contains_key(&name) || inputs.insert(name.clone(), tensor).is_some() {
                bail!("input {:?} is given twice", Shown(&name).to_string());
            }
        }
    }
    Ok((bound, inputs))
}

/// Converts a tensor to an input's type. NumPy has no bfloat16, so f32 is accepted for both types of half precision, if
/// the conversion changes no value.
fn fitted(declared: &Declared, tensor: Tensor) -> Result<Tensor> {
    let half = declared.dtype.filter(|dtype| matches!(dtype, DType::F16 | DType::BF16));
    let (Some(dtype), DType::F32) = (half, tensor.dtype()) else { return Ok(tensor) };
    let rounded = tensor.round_to(dtype).filter(|rounded| holds(rounded, &tensor));
    let name = Shown(&declared.name).to_string();
    rounded.with_context(|| {
        format!("input {name:?} is {dtype}: the file has values that {dtype} cannot hold; round them")
    })
}

/// Whether a tensor of half precision has the values of a tensor of f32. A NaN stands for every NaN.
fn holds(half: &Tensor, wide: &Tensor) -> bool {
    let values = half.to_f32();
    let values = values.as_ref().and_then(|t| t.as_slice::<f32>()).unwrap_or_default();
    let same = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
    wide.as_slice::<f32>().is_some_and(|wide| wide.len() == values.len() && wide.iter().zip(values).all(same))
}

fn split<'a>(arg: &'a str, option: &str, example: &str) -> Result<(&'a str, &'a str)> {
    let parts = arg.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
    parts.with_context(|| format!("{option} {arg:?} is not understood: write it like {example}"))
}

/// A tensor with this number as its only element, for the input that it is bound to.
fn scalar(declared: &Declared, text: &str) -> Result<Tensor> {
    fn parse<T: std::str::FromStr>(declared: &Declared, text: &str) -> Result<Vec<T>> {
        let value = text.parse::<T>();
        let (name, dtype) = (&declared.name, declared.dtype.map(|t| t.to_string()).unwrap_or_default());
        Ok(vec![value.map_err(|_| {
            anyhow!("--bind {name}={text}: the input is {dtype}; give such a value or a .npy file")
        })?])
    }
    let data = match declared.dtype {
        Some(DType::F32) => TensorData::F32(parse(declared, text)?),
        Some(DType::F64) => TensorData::F64(parse(declared, text)?),
        Some(DType::I64) => TensorData::I64(parse(declared, text)?),
        Some(DType::I32) => TensorData::I32(parse(declared, text)?),
        Some(DType::I8) => TensorData::I8(parse(declared, text)?),
        Some(DType::U16) => TensorData::U16(parse(declared, text)?),
        Some(DType::I16) => TensorData::I16(parse(declared, text)?),
        Some(DType::U32) => TensorData::U32(parse(declared, text)?),
        Some(DType::U64) => TensorData::U64(parse(declared, text)?),
        Some(DType::U8) => TensorData::U8(parse(declared, text)?),
        Some(DType::Bool) => TensorData::Bool(parse(declared, text)?),
        Some(dtype @ (DType::F16 | DType::BF16)) => half(dtype, parse(declared, text)?)?,
        _ => bail!("input {:?} has elements of a type that is not read", Shown(&declared.name).to_string()),
    };
    let rank = declared.dims.as_ref().map_or(0, Vec::len);
    Tensor::from_data(vec![1; rank], data).context("a scalar has one element")
}

/// Rounds numbers to half precision.
fn half(dtype: DType, values: Vec<f32>) -> Result<TensorData> {
    let rounded = Tensor::new(&[values.len()], values).ok().and_then(|t| t.round_to(dtype));
    Ok(rounded.with_context(|| format!("no numbers of {dtype}"))?.data().clone())
}

/// The parsed values of `--dim`.
struct DimArgs {
    /// Sizes by the name of the dimension.
    named: BTreeMap<String, usize>,
    /// All dimensions by the name of the input.
    inputs: BTreeMap<String, Vec<usize>>,
}

impl DimArgs {
    fn parse(declared: &[Declared], args: &[String]) -> Result<DimArgs> {
        let known = |name: &str| {
            let dims = declared.iter().flat_map(|d| d.dims.iter().flatten());
            dims.into_iter().any(|e| matches!(e, Extent::Named(n) if n == name))
        };
        let mut parsed = DimArgs { named: BTreeMap::new(), inputs: BTreeMap::new() };
        for arg in args {
            let (name, value) = split(arg, "--dim", "batch=4 or x=1x576")?;
            let sizes: Option<Vec<usize>> = value.split('x').map(|n| n.parse().ok()).collect();
            let sizes = sizes.with_context(|| format!("--dim {arg}: give sizes, like batch=4 or x=1x576"))?;
            if declared.iter().any(|d| d.name == name) {
                parsed.inputs.insert(name.to_owned(), sizes);
            } else if let (true, [size]) = (known(name), sizes.as_slice()) {
                parsed.named.insert(name.to_owned(), *size);
            } else {
                bail!("--dim {arg}: no input and no dimension has this name; a dimension takes one size");
            }
        }
        Ok(parsed)
    }

    fn dims(&self, declared: &Declared) -> Result<Vec<usize>> {
        if let Some(dims) = self.inputs.get(&declared.name) {
            return Ok(dims.clone());
        }
        let size = |extent: &Extent| match extent {
            Extent::Fixed(n) => *n,
            Extent::Named(name) => self.named.get(name).copied().unwrap_or(DEFAULT_DIM),
            Extent::Unknown => DEFAULT_DIM,
        };
        let name = Shown(&declared.name).to_string();
        let dims = declared.dims.as_ref();
        let dims = dims.with_context(|| {
            format!("the model does not say how many dimensions {name:?} has: give --dim {name}=1x2x3")
        })?;
        Ok(dims.iter().map(size).collect())
    }
}

/// Generates a value: floats uniform in ±1, and 1 for all integers, because 1 is most often a valid index, length and
/// size.
fn generate(declared: &Declared, dims: &DimArgs, random: &mut Random) -> Result<Tensor> {
    let dims = dims.dims(declared)?;
    let name = Shown(&declared.name).to_string();
    let len = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let len =
        len.filter(|&n| n <= 1 << 32).with_context(|| format!("input {name:?} is too large: {dims:?}"))?;
    let data = match declared.dtype {
        Some(DType::F32) => TensorData::F32(random.uniform(len, 1.0)?),
        Some(DType::F64) => TensorData::F64(random.uniform(len, 1.0)?.into_iter().map(f64::from).collect()),
        Some(DType::I64) => TensorData::I64(vec![1; len]),
        Some(DType::I32) => TensorData::I32(vec![1; len]),
        Some(DType::I8) => TensorData::I8(vec![1; len]),
        Some(DType::U16) => TensorData::U16(vec![1; len]),
        Some(DType::I16) => TensorData::I16(vec![1; len]),
        Some(DType::U32) => TensorData::U32(vec![1; len]),
        Some(DType::U64) => TensorData::U64(vec![1; len]),
        Some(DType::U8) => TensorData::U8(vec![1; len]),
        Some(DType::Bool) => TensorData::Bool(vec![true; len]),
        Some(dtype @ (DType::F16 | DType::BF16)) => half(dtype, random.uniform(len, 1.0)?)?,
        _ => bail!("input {name:?} has elements of a type that is not read"),
    };
    Tensor::from_data(dims, data).with_context(|| format!("input {name:?} is too large"))
}
