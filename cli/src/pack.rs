//! `rnnpack pack`: writes a recurrent node of a model as packed bytes.

use crate::outcome::Outcome;
use crate::report::{self, bytes};
use anyhow::{Context, Result, bail};
use rnnpack::{Target, Variant};
use rnnpack_onnx::{File, RecurrentNode};
use serde_json::json;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
The layer is packed for one instruction set, which this machine need not have, and written to FILE. A \
program uses the bytes, from the file or built in, with rnnpack::Layer::from_static or, without the standard \
library, rnnpack_kernels::bytes::from_static: see docs/embedded.md. Layers of half precision are packed as \
f32. Layers of f64 cannot be packed.

Examples:
  rnnpack pack model.onnx --isa portable --output layer.rnnpack
  rnnpack pack model.onnx --node 2 --isa portable --output layer.rnnpack
  rnnpack pack model.onnx --node lstm_1 --isa avx2 --output layer.rnnpack";

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
}

pub(crate) fn pack(args: &Args, json: bool) -> Result<Outcome> {
    let Some(target) = Target::by_name(&args.isa) else {
        bail!("instruction set {:?} is unknown; known are {}", args.isa, Variant::COMPILED.join(", "));
    };
    let name = args.model.display();
    let file = crate::model::read(&args.model)?;
    let file = File::parse(&file).with_context(|| format!("cannot pack {name}"))?;
    let node = find(file.nodes(), args.node.as_deref()).with_context(|| format!("cannot pack {name}"))?;
    let packed = node.weights()?.to_bytes(target)?;
    let output = args.output.display();
    crate::output::write(&args.output, &packed)?;
    report::emit(
        json,
        || json!({ "node": node.name, "isa": target.name(), "lanes": target.lanes(), "bytes": packed.len() }),
        || format!("{output}: {} for {} ({} lanes)\n", bytes(packed.len()), target.name(), target.lanes()),
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
