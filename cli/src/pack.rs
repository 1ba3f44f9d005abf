//! `rnnpack pack`: writes a recurrent node of a model as packed bytes.

use crate::layer_options::LayerOptions;
use crate::outcome::Outcome;
use crate::report::{self, bytes, count};
use anyhow::{Context, Result, bail};
use rnnpack::{Subnormals, Target, Variant};
use rnnpack_onnx::{File, RecurrentNode};
use serde_json::json;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
The layer is packed for one instruction set, which this machine need not have, and written to FILE. A \
program uses the bytes, from the file or built in, with rnnpack::Layer::from_static or, without the standard \
library, rnnpack_kernels::bytes::from_static: see docs/embedded.md. Without --weights, W and R are stored as bf16 \
or f16 if that holds all of their elements exactly, and else as f32; those of DynamicQuantizeLSTM as int8, as the file has \
them. With --weights, they are rounded to its type. \
Layers of f64 cannot be packed. The bytes hold what the layer does with subnormal numbers (--subnormals), \
and the output says how many weights are subnormal, if any, or became zero.

Examples:
  rnnpack pack model.onnx --isa portable --output layer.rnnpack
  rnnpack pack model.onnx --node 2 --isa portable --output layer.rnnpack
  rnnpack pack model.onnx --node lstm_1 --isa avx2 --output layer.rnnpack
  rnnpack pack model.onnx --isa portable --weights bf16 --output layer.rnnpack
  rnnpack pack model.onnx --isa avx2 --subnormals flush-weights --output layer.rnnpack";

/// Write the packed weights of a recurrent node, for a small device
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The ONNX model
    model: PathBuf,
    /// Name or number of the node in the list of inspect; not needed if the model has only one
    #[arg(long, value_name = "NAME|NUMBER")]
    node: Option<String>,
    /// Instruction set to pack for; portable also serves NEON, WebAssembly and SSE2
    #[arg(long, value_name = "NAME")]
    isa: String,
    /// File for the packed bytes
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    layers: LayerOptions,
}

pub(crate) fn pack(args: &Args, json: bool) -> Result<Outcome> {
    let Some(target) = Target::by_name(&args.isa) else {
        bail!("instruction set {:?} is unknown; known are {}", args.isa, Variant::COMPILED.join(", "));
    };
    let name = args.model.display();
    let file = crate::model::read(&args.model)?;
    let file = File::parse(&file).with_context(|| format!("cannot pack {name}"))?;
    let node = find(file.nodes(), args.node.as_deref()).with_context(|| format!("cannot pack {name}"))?;
    let LayerOptions { weights, subnormals } = args.layers;
    let mut layer = node.clone().with_subnormals(subnormals);
    if let Some(weights) = weights {
        layer = layer.with_type(weights);
    }
    let layer = layer.weights()?;
    let (weights, packed) = (layer.weight_type().name(), layer.to_bytes(target)?);
    let flushed = if subnormals == Subnormals::Keep { 0 } else { node.subnormal_weights };
    let output = args.output.display();
    crate::output::write(&args.output, &packed)?;
    report::emit(
        json,
        || {
            json!({
                "node": node.name, "isa": target.name(), "lanes": target.lanes(), "bytes": packed.len(),
                "weights": weights,
                "subnormals": subnormals.name(), "subnormal_weights": node.subnormal_weights,
                "flushed_weights": flushed,
            })
        },
        || {
            let (bytes, isa, lanes) = (bytes(packed.len()), target.name(), target.lanes());
            let faint = count(node.subnormal_weights, "subnormal weight");
            let faint = match subnormals {
                Subnormals::Keep if node.subnormal_weights == 0 => String::new(),
                Subnormals::Keep => format!("{faint} stayed; --subnormals flush-weights makes them zero\n"),
                _ => format!("{faint} became zero\n"),
            };
            format!("{output}: {bytes} for {isa} ({lanes} lanes), weights in {weights}\n{faint}")
        },
    )?;
    Ok(Outcome::Done)
}

/// The node with this name or, if none has it, with this number in the list; the only node if nothing is given.
fn find<'a>(nodes: &'a [RecurrentNode], name: Option<&str>) -> Result<&'a RecurrentNode> {
    let Some(name) = name else {
        return match nodes {
            [node] => Ok(node),
            [] => bail!("there is no recurrent node"),
            several => bail!("there are {} recurrent nodes; name one with --node", several.len()),
        };
    };
    let number = || name.parse::<usize>().ok().and_then(|number| nodes.get(number));
    let found = nodes.iter().find(|node| node.name == name).or_else(number);
    let last = nodes.len().saturating_sub(1);
    found.with_context(|| {
        format!(
            "no recurrent node is called {name:?} or has that number; the numbers of inspect are 0 to {last}"
        )
    })
}
