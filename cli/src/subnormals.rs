//! The option that says what recurrent layers do with subnormal numbers.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use rnnpack::Subnormals;

#[derive(clap::Args)]
pub(crate) struct SubnormalsArg {
    /// What rnnpack's layers do with subnormal numbers: compute exactly, take subnormal weights for zero, or flush them
    /// in every operation
    #[arg(long, value_name = "CHOICE", default_value = Subnormals::Keep.name(), value_parser = parser())]
    pub(crate) subnormals: Subnormals,
}

/// The parser for the names of all choices.
fn parser() -> impl TypedValueParser<Value = Subnormals> {
    let named = |name: String| Subnormals::ALL.into_iter().find(|choice| choice.name() == name);
    PossibleValuesParser::new(Subnormals::ALL.map(Subnormals::name))
        .try_map(move |name| named(name).ok_or("no such choice"))
}
