//! `rnnpack bench`: times a layer or a whole model and compares it with others and with the machine's limits.

mod agreement;
mod args;
mod competitor;
mod layer;
mod layer_args;
pub(crate) mod layer_data;
mod layer_report;
mod layer_sides;
mod tract;
mod whole;

use crate::outcome::Outcome;
use anyhow::{Result, bail};
pub(crate) use args::Args;
pub(crate) use layer_args::{LayerArgs, LayerSpec};

pub(crate) fn bench(args: &Args, json: bool) -> Result<Outcome> {
    match (&args.model, args.shape) {
        (Some(model), _) => match args.layer.given() {
            Some("--isa") => bail!("--isa is for a layer of --shape; for a model, set RNNPACK_ISA"),
            Some(option) => bail!("{option} is for a layer of --shape"),
            None => whole::bench(args, model, json),
        },
        (None, Some(_)) if !args.given.is_empty() || !args.generated.dim.is_empty() => {
            bail!("--input, --bind and --dim are for a model; a layer of --shape has random inputs")
        }
        (None, Some(shape)) => layer::bench(args, shape, json),
        (None, None) => bail!("give a model or --shape"),
    }
}
