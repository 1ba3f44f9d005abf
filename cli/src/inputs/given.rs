//! The inputs that the user gives: their options, and the tensors that these mean.

use super::declared::{Declared, by_name, find};
use crate::npz::read_npz;
use crate::tensors::{Tensors, read_npy};
use anyhow::{Context, Result, anyhow, bail};
use rnnpack_onnx::{DType, Shown, Tensor, TensorData};
use std::path::Path;

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

/// The values of `--bind`, then those of `--input`.
pub(super) fn given(declared: &[Declared], args: &GivenArgs) -> Result<(Tensors, Tensors)> {
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
                refuse_number(find(&declared, name)?, file)?;
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

/// Refuses a number in the place of a file, with the option that takes numbers.
fn refuse_number(declared: &Declared, file: &str) -> Result<()> {
    let name = &declared.name;
    let number = file.parse::<f64>().is_ok() || matches!(file, "true" | "false");
    if number && !Path::new(file).exists() {
        bail!("--input {name}={file}: --input takes a .npy file; for the number, write --bind {name}={file}");
    }
    Ok(())
}

/// Converts a tensor to an input's type. NumPy has no bfloat16, so f32 is accepted for both types of half precision, if
/// the conversion changes no value.
pub(super) fn fitted(declared: &Declared, tensor: Tensor) -> Result<Tensor> {
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

pub(super) fn split<'a>(arg: &'a str, option: &str, example: &str) -> Result<(&'a str, &'a str)> {
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
        Some(DType::I16) => TensorData::I16(parse(declared, text)?),
        Some(DType::U8) => TensorData::U8(parse(declared, text)?),
        Some(DType::U16) => TensorData::U16(parse(declared, text)?),
        Some(DType::U32) => TensorData::U32(parse(declared, text)?),
        Some(DType::U64) => TensorData::U64(parse(declared, text)?),
        Some(DType::Bool) => TensorData::Bool(parse(declared, text)?),
        Some(dtype @ (DType::F16 | DType::BF16)) => half(dtype, parse(declared, text)?)?,
        _ => bail!("input {:?} has elements of a type that is not read", Shown(&declared.name).to_string()),
    };
    let rank = declared.dims.as_ref().map_or(0, Vec::len);
    Tensor::from_data(vec![1; rank], data).context("a scalar has one element")
}

/// Rounds numbers to half precision.
pub(super) fn half(dtype: DType, values: Vec<f32>) -> Result<TensorData> {
    let rounded = Tensor::new(&[values.len()], values).ok().and_then(|t| t.round_to(dtype));
    Ok(rounded.with_context(|| format!("no numbers of {dtype}"))?.data().clone())
}
