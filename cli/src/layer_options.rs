//! The options that say how recurrent layers store their weights and what they do with subnormal numbers.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use rnnpack::{Subnormals, WeightType};
use rnnpack_tract::Kernels;

/// What all recurrent layers on rnnpack are told.
#[derive(clap::Args, Clone, Copy, Default)]
pub(crate) struct LayerOptions {
    /// Type in which rnnpack's layers store their weights W and R; by default each layer of a file takes bf16 or f16 if
    /// that holds its weights exactly, else f32; DynamicQuantizeLSTM takes int8, as the file has it
    #[arg(long, value_name = "TYPE", value_parser = weight_types())]
    pub(crate) weights: Option<WeightType>,
    /// What rnnpack's layers do with subnormal numbers: compute exactly, take subnormal weights for zero, or flush them
    /// in every operation
    #[arg(long, value_name = "CHOICE", default_value = Subnormals::Keep.name(), value_parser = subnormals())]
    pub(crate) subnormals: Subnormals,
}

/// Whose arithmetic computes quantized layers.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Arithmetic {
    /// Compute DynamicQuantizeLSTM layers in ONNX Runtime's arithmetic on one thread, which quantizes all steps and rows
    /// of x together, and all rows of h; slow, to tell its differences from others
    #[arg(long)]
    pub(crate) as_onnxruntime: bool,
}

/// The parser for the names of all types of weights.
fn weight_types() -> impl TypedValueParser<Value = WeightType> {
    PossibleValuesParser::new(WeightType::ALL.map(WeightType::name))
        .try_map(|name| WeightType::by_name(&name).ok_or("no such type"))
}

impl Arithmetic {
    /// What computes the layers.
    pub(crate) fn kernels(self) -> Kernels {
        if self.as_onnxruntime { Kernels::OnnxRuntime } else { Kernels::Rnnpack }
    }
}

/// The parser for the names of all choices.
fn subnormals() -> impl TypedValueParser<Value = Subnormals> {
    let named = |name: String| Subnormals::ALL.into_iter().find(|choice| choice.name() == name);
    PossibleValuesParser::new(Subnormals::ALL.map(Subnormals::name))
        .try_map(move |name| named(name).ok_or("no such choice"))
}
