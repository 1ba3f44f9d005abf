//! Runs the node tests of the ONNX standard, and says which are computed, refused or wrong.
//!
//! `.ci/nodes` makes the tests and calls it: `rnnpack-nodes FOLDER [PART-OF-A-NAME]`. FOLDER has a folder for each test:
//! `model.onnx`, `tolerance` (relative and absolute) and `test_data_set_0/{input,output}_N.pb`. It prints a line for each
//! test, and writes a table of operators to `FOLDER/../operators.md`. Exit code 1: an answer is wrong, or something
//! panicked.

use prost::Message;
use rnnpack_onnx::proto;
use rnnpack_tract::{DType, Error, Loader, Tensor};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What became of a test.
enum Outcome {
    Agrees,
    Refused(String),
    /// Its inputs or outputs are not tensors, or are of a type that cannot be given or returned.
    NotTensors(String),
    Wrong(String),
    Panicked(String),
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(folder) = args.next().map(PathBuf::from) else {
        eprintln!("usage: rnnpack-nodes FOLDER [PART-OF-A-NAME]");
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
    let mut operators: BTreeMap<String, Operator> = BTreeMap::new();
    for folder in folders {
        let name = folder.file_name().expect("it has a name").to_string_lossy().into_owned();
        let (kind, why) = match run(&folder) {
            Outcome::Agrees => ("agrees", String::new()),
            Outcome::Refused(why) => ("refused", why),
            Outcome::NotTensors(why) => ("not given", why),
            Outcome::Wrong(why) => ("WRONG", why),
            Outcome::Panicked(why) => ("PANIC", why),
        };
        *counts.entry(kind).or_default() += 1;
        println!("{kind}\t{name}\t{why}");
        if !name.ends_with("_expanded") {
            operators.entry(operator(&folder)).or_default().add(kind, why);
        }
    }
    if part.is_empty() {
        std::fs::write(folder.with_file_name("operators.md"), table(&operators))
            .expect("the table is written");
    }
    for (kind, count) in &counts {
        eprintln!("{kind}: {count}");
    }
    ExitCode::from(u8::from(counts.contains_key("WRONG") || counts.contains_key("PANIC")))
}

/// What became of the tests of an operator.
#[derive(Default)]
struct Operator {
    agree: usize,
    refused: Vec<String>,
    not_given: usize,
}

impl Operator {
    fn add(&mut self, kind: &str, why: String) {
        match kind {
            "agrees" => self.agree += 1,
            "not given" => self.not_given += 1,
            _ => self.refused.push(why),
        }
    }
}

/// The operator that a test is of: that of its last node.
fn operator(folder: &Path) -> String {
    let bytes = std::fs::read(folder.join("model.onnx")).expect("the model is read");
    let model = proto::Model::decode(&*bytes).expect("the model is decoded");
    let node = model.graph.and_then(|mut graph| graph.node.pop());
    node.map_or_else(String::new, |node| match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type,
        domain => format!("{domain}.{}", node.op_type),
    })
}

/// The table of the operators of which a test is refused or cannot be given.
fn table(operators: &BTreeMap<String, Operator>) -> String {
    let whole: Vec<&str> = operators
        .iter()
        .filter(|(_, o)| o.refused.is_empty() && o.not_given == 0)
        .map(|(name, _)| name.as_str())
        .collect();
    let mut text = format!("Every test agrees: {}.\n\n", whole.join(", "));
    text.push_str("| operator | agree | refused | types that are not given | the first refusal |\n|---|---|---|---|---|\n");
    for (name, o) in operators.iter().filter(|(_, o)| !o.refused.is_empty() || o.not_given > 0) {
        let why = o.refused.first().map_or(String::new(), |why| why.replace('|', "/"));
        let why: String = why.chars().take(120).collect();
        let (agree, refused, not_given) = (o.agree, o.refused.len(), o.not_given);
        let _ = writeln!(text, "| {name} | {agree} | {refused} | {not_given} | {why} |");
    }
    text
}

fn run(folder: &Path) -> Outcome {
    let bytes = std::fs::read(folder.join("model.onnx")).expect("the model is read");
    let model = proto::Model::decode(&*bytes).expect("the model is decoded");
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
fn is_random(graph: &proto::Graph) -> bool {
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

fn values(folder: &Path, kind: &str, infos: &[proto::ValueInfo]) -> Result<Vec<(String, Tensor)>, String> {
    let one = |(i, info): (usize, &proto::ValueInfo)| {
        if info.r#type.as_ref().is_none_or(|t| t.tensor_type.is_none()) {
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
