//! Runs the node tests of the ONNX standard, and says which are computed, refused or wrong.
//!
//! ```sh
//! cargo run --release -p rnnpack-tract --example node_tests FOLDER [PART-OF-A-NAME]
//! ```
//!
//! FOLDER has a folder for each test, as the `onnx` package of Python writes them: `model.onnx`, `tolerance`,
//! `test_data_set_0/{input,output}_N.pb`. `.ci/nodes` makes it. Exit code 1: an answer is wrong, or something panicked.

use prost::Message;
use rnnpack_tract::{DType, Error, Loader, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tract_onnx::pb;

/// What became of a test.
enum Outcome {
    Agrees,
    Refused(String),
    /// Its inputs or outputs are not tensors of a type that can be given or returned.
    NotTensors(String),
    Wrong(String),
    Panicked(String),
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(folder) = args.next() else {
        eprintln!("usage: node_tests FOLDER [PART-OF-A-NAME]");
        return ExitCode::from(2);
    };
    let part = args.next().unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is read")
        .map(|entry| entry.expect("the folder is read").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(&part)))
        .collect();
    folders.sort();
    std::panic::set_hook(Box::new(|_| {}));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for folder in folders {
        let name = folder.file_name().expect("it has a name").to_string_lossy().into_owned();
        let (kind, why) = match run(&folder) {
            Outcome::Agrees => ("agrees", String::new()),
            Outcome::Refused(why) => ("refused", why),
            Outcome::NotTensors(why) => ("not tensors", why),
            Outcome::Wrong(why) => ("WRONG", why),
            Outcome::Panicked(why) => ("PANIC", why),
        };
        *counts.entry(kind).or_default() += 1;
        println!("{kind}\t{name}\t{why}");
    }
    eprintln!("{counts:?}");
    ExitCode::from(u8::from(counts.contains_key("WRONG") || counts.contains_key("PANIC")))
}

fn run(folder: &Path) -> Outcome {
    let bytes = std::fs::read(folder.join("model.onnx")).expect("the model is read");
    let model = pb::ModelProto::decode(&*bytes).expect("the model is decoded");
    let graph = model.graph.as_ref().expect("the model has a graph");
    let (inputs, outputs) =
        match (values(folder, "input", &graph.input), values(folder, "output", &graph.output)) {
            (Ok(inputs), Ok(outputs)) => (inputs, outputs),
            (Err(why), _) | (_, Err(why)) => return Outcome::NotTensors(why),
        };
    let given: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, t)| (name.as_str(), t)).collect();
    // The tests give everything as inputs; what most models store is bound: then it decides shapes.
    let mut first = None;
    let attempts: [&dyn Fn(&str) -> bool; 2] = [&|_| false, &|name| name != inputs[0].0];
    for bound in attempts {
        let mut loader = Loader::new();
        let mut calls = vec![];
        for &(name, tensor) in &given {
            if bound(name) {
                loader = loader.bind(name, tensor.clone());
            } else {
                loader = loader.shape(name, tensor.dims());
                calls.push((name, tensor));
            }
        }
        match loader.load(&bytes).and_then(|model| model.run(&calls)) {
            Ok(got) if is_random(graph) => return judge_form(&got, &outputs),
            Ok(got) => return judge(folder, &got, &outputs),
            Err(Error::Panic { reason, .. }) => return Outcome::Panicked(reason),
            Err(e) => first.get_or_insert_with(|| e.to_string()),
        };
        if inputs.len() < 2 {
            break;
        }
    }
    Outcome::Refused(first.unwrap_or_default())
}

fn judge(folder: &Path, got: &[(String, Tensor)], expected: &[(String, Tensor)]) -> Outcome {
    let text = std::fs::read_to_string(folder.join("tolerance")).expect("the tolerance is read");
    let [relative, absolute] =
        *text.split_whitespace().map(|t| t.parse::<f64>().expect("a number")).collect::<Vec<_>>()
    else {
        panic!("a tolerance is two numbers")
    };
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        match got.difference(expected) {
            Err(e) => return Outcome::Wrong(format!("{name}: {e}")),
            Ok(d) if d.largest > bound(expected, relative, absolute, d.scale) => {
                return Outcome::Wrong(format!(
                    "{name}: {:.3e} apart at {}, scale {:.3e}",
                    d.largest, d.index, d.scale
                ));
            }
            Ok(_) => {}
        }
    }
    if got.len() == expected.len() { Outcome::Agrees } else { Outcome::Wrong("outputs are missing".into()) }
}

/// Whether the answers are drawn.
fn is_random(graph: &pb::GraphProto) -> bool {
    let drawn = |op: &str| op.starts_with("Random") || matches!(op, "Bernoulli" | "Multinomial");
    graph.node.iter().any(|node| drawn(&node.op_type))
}

/// Compares only the types and dimensions.
fn judge_form(got: &[(String, Tensor)], expected: &[(String, Tensor)]) -> Outcome {
    let form = |values: &[(String, Tensor)]| {
        values.iter().map(|(_, t)| (t.dtype(), t.dims().to_vec())).collect::<Vec<_>>()
    };
    if form(got) == form(expected) { Outcome::Agrees } else { Outcome::Wrong("another type or shape".into()) }
}

/// The largest difference that passes. Integers and booleans must be equal. The standard's bound is one for each element;
/// here it is one for the largest.
fn bound(expected: &Tensor, relative: f64, absolute: f64, scale: f64) -> f64 {
    match expected.dtype() {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => absolute + relative * scale,
        _ => 0.0,
    }
}

fn values(folder: &Path, kind: &str, infos: &[pb::ValueInfoProto]) -> Result<Vec<(String, Tensor)>, String> {
    let one = |(i, info): (usize, &pb::ValueInfoProto)| {
        let is_tensor = matches!(
            info.r#type.as_ref().and_then(|t| t.value.as_ref()),
            Some(pb::type_proto::Value::TensorType(_))
        );
        if !is_tensor {
            return Err(format!("{} is not a tensor", info.name));
        }
        let path = folder.join(format!("test_data_set_0/{kind}_{i}.pb"));
        let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let stored = rnnpack_onnx::proto::Tensor::decode(&*bytes).map_err(|e| e.to_string())?;
        let tensor = Tensor::from_proto(&stored).map_err(|e| format!("{}: {e}", info.name))?;
        Ok((info.name.clone(), tensor))
    };
    infos.iter().enumerate().map(one).collect()
}
