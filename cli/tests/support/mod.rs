//! Runs the command, and writes small models.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use half::{bf16, f16};
use rnnpack_dev::onnx::{
    DOUBLE, Dim, FLOAT, FLOAT16, Graph, Msg, Numbers, attr_i, node, raw, tensor, untyped, value,
};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The result of a run of the command.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The JSON output of a run that must have ended with `code`.
    #[track_caller]
    pub(crate) fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn refused(&self, message: &str) {
        assert!(self.stderr.contains(message), "{message:?} is not in {:?}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""));
    }
}

pub(crate) fn rnnpack(args: &[&str]) -> Run {
    rnnpack_isa(args, None)
}

pub(crate) fn rnnpack_isa(args: &[&str], isa: Option<&str>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rnnpack"));
    command.args(args).env_remove("RNNPACK_ISA").envs(isa.map(|isa| ("RNNPACK_ISA", isa)));
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub(crate) fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name).display().to_string()
}

/// A new empty folder for the test `name`.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Models of one node with I = 2 and H = 3. Every element type can hold its numbers: sixty-fourths up to 1.
pub(crate) struct OneNode {
    pub(crate) op: &'static str,
    pub(crate) gates: usize,
    pub(crate) directions: usize,
    pub(crate) dtype: i64,
    pub(crate) peepholes: bool,
    pub(crate) attributes: Vec<Msg>,
}

impl OneNode {
    pub(crate) fn new(op: &'static str, dtype: i64, attributes: &[Msg]) -> OneNode {
        let gates = ["RNN", "", "GRU", "LSTM"].iter().position(|&o| o == op).unwrap() + 1;
        OneNode { op, gates, directions: 1, dtype, peepholes: false, attributes: attributes.to_vec() }
    }

    /// Writes the model into `folder`. Returns its path.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> String {
        let OneNode { op, gates, directions, dtype, .. } = *self;
        let (dims, rows) = ([Dim::Name("T"), Dim::N(2), Dim::N(2)], gates * 3);
        let mut weights = vec![("W", vec![directions, rows, 2]), ("R", vec![directions, rows, 3])];
        weights.push(("B", vec![directions, 2 * rows]));
        let mut inputs = vec!["X", "W", "R", "B"];
        if self.peepholes {
            weights.push(("P", vec![directions, 9]));
            inputs.extend(["", "", "", "P"]);
        }
        let mut numbers = Numbers(7);
        let stored = |(name, dims): &(&str, Vec<usize>)| {
            let data =
                (0..dims.iter().product()).flat_map(|_| bytes(dtype, numbers.below(129) as f64 / 64.0 - 1.0));
            raw(name, dims, dtype, data.collect())
        };
        let graph = Graph {
            stored: weights.iter().map(stored).collect(),
            nodes: vec![node(op, "layer", &inputs, &["Y"], &self.attributes)],
            inputs: vec![value("X", dtype, &dims)],
            outputs: vec![untyped("Y")],
        };
        let path = folder.join(format!("{name}.onnx"));
        fs::write(&path, graph.model(22)).unwrap();
        path.display().to_string()
    }
}

/// The bytes of a number in this element type.
fn bytes(dtype: i64, x: f64) -> Vec<u8> {
    match dtype {
        FLOAT => (x as f32).to_le_bytes().to_vec(),
        DOUBLE => x.to_le_bytes().to_vec(),
        FLOAT16 => f16::from_f64(x).to_le_bytes().to_vec(),
        _ => bf16::from_f64(x).to_le_bytes().to_vec(),
    }
}

#[track_caller]
pub(crate) fn compared<'a>(json: &'a Value, against: &str) -> &'a Value {
    let comparisons = json["comparisons"].as_array().unwrap();
    comparisons.iter().find(|c| c["against"] == against).unwrap()
}

/// A GRU of 2 inputs and 3 units, as `after.op(GRU(before.op(..)))`. Its X is `gru_x`, its Y `gru_y`.
pub(crate) struct Around {
    pub(crate) before: Vec<Msg>,
    pub(crate) after: Vec<Msg>,
    pub(crate) stored: Vec<Msg>,
    pub(crate) inputs: Vec<Msg>,
    pub(crate) output: &'static str,
    /// The names of W, R, B and sequence_lens.
    pub(crate) rest: [&'static str; 4],
}

impl Around {
    pub(crate) fn new(inputs: Vec<Msg>) -> Around {
        let (before, after, stored) = (vec![], vec![], vec![]);
        Around { before, after, stored, inputs, output: "gru_y", rest: ["W", "R", "", ""] }
    }

    pub(crate) fn write(&self, folder: &Path, name: &str) -> String {
        let numbers = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin() * 0.5).collect::<Vec<f32>>();
        let mut stored = self.stored.clone();
        for (name, dims) in [("W", [1, 9, 2]), ("R", [1, 9, 3])] {
            if self.rest.contains(&name) {
                stored.push(tensor(name, &dims, &numbers(dims.iter().product())));
            }
        }
        let inputs = [&["gru_x"][..], &self.rest].concat();
        let gru = node("GRU", "gru", &inputs, &["gru_y"], &[attr_i("hidden_size", 3)]);
        let nodes = [&self.before[..], &[gru], &self.after].concat();
        let graph = Graph { nodes, stored, inputs: self.inputs.clone(), outputs: vec![untyped(self.output)] };
        let path = folder.join(format!("{name}.onnx")).display().to_string();
        fs::write(&path, graph.model(17)).unwrap();
        path
    }
}

/// The declared X of the GRU in [`Around`].
pub(crate) fn x(dims: [Dim; 3]) -> Msg {
    value("gru_x", FLOAT, &dims)
}
