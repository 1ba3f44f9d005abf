//! `rnnpack run`: runs a whole model on input files and writes output files.

use crate::advice::advise;
use crate::inputs::{Feeds, GivenArgs};
use crate::layer_options::{Arithmetic, LayerOptions};
use crate::model::{Computed, load, thread_count};
use crate::outcome::Outcome;
use crate::output::Prepared;
use crate::report::{self, Table};
use crate::tensors::write_npy;
use anyhow::{Context, Result, bail};
use rnnpack_onnx::{Shown, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Every output is written to DIR as <output>.npy. Each / \\ : and control character in its name becomes _. \
The files are written only if all outputs can be; each is whole or not there. The recurrent \
layers of the model run on rnnpack. If the model does not load otherwise, inputs that control its flow become \
constants. Tensors in half precision are f32 in files, which holds the same values. With --weights, all recurrent \
layers round their weights W and R to that type and take fewer bytes.

Examples:
  rnnpack run model.onnx --input x=x.npy --output out
  rnnpack run model.onnx --input inputs.npz --output out --threads 2
  rnnpack run model.onnx --input x=x.npy --weights bf16 --output out
  rnnpack run vad.onnx --input input=chunk.npy --input state=state.npy --bind sr=16000 --output out";

/// Run a model on .npy or .npz inputs and write its outputs
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The ONNX model
    model: PathBuf,
    #[command(flatten)]
    given: GivenArgs,
    /// Folder for the outputs; created if there is none
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Threads over which recurrent layers divide batch rows
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = thread_count())]
    threads: u16,
    #[command(flatten)]
    layers: LayerOptions,
    #[command(flatten)]
    arithmetic: Arithmetic,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<Outcome> {
    let name = args.model.display();
    let bytes = crate::model::read(&args.model)?;
    let threads = usize::from(args.threads);
    let outputs = crate::model::with_threads(threads, || -> Result<_> {
        let feeds = Feeds::given(&bytes, &args.given)?;
        let ours = Computed::ours(threads, args.layers);
        let computed = Computed { kernels: args.arithmetic.kernels(), ..ours };
        let outputs = load(&bytes, &feeds, computed).and_then(|model| model.run(&feeds, &[]));
        let outputs = outputs.map_err(|e| advise(&bytes, &feeds, e))?;
        Ok(outputs.into_iter().next().unwrap_or_default())
    })?
    .with_context(|| format!("cannot run {name}"))?;
    let dir = &args.output;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let files: Vec<(&String, &Tensor, PathBuf)> =
        outputs.iter().map(|(name, tensor)| (name, tensor, file(dir, name))).collect();
    check_names(&files)?;
    let prepare = |(_, tensor, path): &(_, &Tensor, PathBuf)| Prepared::new(path, |to| write_npy(tensor, to));
    let prepared = files.iter().map(prepare).collect::<Result<Vec<_>>>()?;
    prepared.into_iter().try_for_each(Prepared::publish)?;
    report::emit(json, || outputs_json(&files), || text(&files))?;
    Ok(Outcome::Done)
}

/// The file for an output. It is always directly in `dir`, whatever the name of the output is.
fn file(dir: &Path, output: &str) -> PathBuf {
    let replaced = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    dir.join(format!("{}.npy", output.replace(replaced, "_")))
}

/// Refuses outputs that would be written to one file, and names that are too long for a file. Some systems take names
/// for equal that differ only in upper and lower case.
fn check_names(files: &[(&String, &Tensor, PathBuf)]) -> Result<()> {
    const LONGEST: usize = 255;
    let mut taken: HashMap<String, &str> = HashMap::new();
    for (name, _, path) in files {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if file.len() > LONGEST {
            bail!("the name of output {:?} is too long for a file", Shown(name).to_string());
        }
        if let Some(other) = taken.insert(file.to_lowercase(), name) {
            let [other, name] = [other, name.as_str()].map(|name| Shown(name).to_string());
            bail!("outputs {other:?} and {name:?} would both be written to {}", path.display());
        }
    }
    Ok(())
}

fn text(files: &[(&String, &Tensor, PathBuf)]) -> String {
    let mut table = Table::new(&["output", "type", "shape", "file"], &[false; 4]);
    for (name, tensor, path) in files {
        let shape = format!("{:?}", tensor.dims());
        table.row(vec![
            Shown(name).to_string(),
            tensor.dtype().to_string(),
            shape,
            path.display().to_string(),
        ]);
    }
    table.render()
}

fn outputs_json(files: &[(&String, &Tensor, PathBuf)]) -> Value {
    let output = |(name, tensor, path): &(&String, &Tensor, PathBuf)| {
        let file = path.display().to_string();
        json!({ "name": name, "type": tensor.dtype().to_string(), "shape": tensor.dims(), "file": file })
    };
    json!({ "outputs": files.iter().map(output).collect::<Value>() })
}
