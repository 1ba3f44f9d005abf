//! Tests that the commands read models in other forms than one graph in one file.

use ndarray_npy::{read_npy, write_npy};
use rnnpack_dev::onnx::one::{H, I, One, one};
use rnnpack_dev::onnx::{Dim, FLOAT, Function, Graph, Numbers, attr_i, call, external, node, tensor, value};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Array = ndarray::ArrayD<f32>;

/// Runs the command, which must end with `code`. Returns what it prints.
#[track_caller]
fn rnnpack(args: &[&str], code: i32) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rnnpack")).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// A new folder for the test `name`, with an input `x.npy`.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("forms-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let x = Array::from_shape_vec(vec![4, 2, I], Numbers(7).floats(8 * I)).unwrap();
    write_npy(folder.join("x.npy"), &x).unwrap();
    folder
}

/// Runs a model on `x.npy` and other inputs. Returns its output Y.
fn run(folder: &Path, model: &[u8], inputs: &[&str]) -> Array {
    let at = |file: &str| folder.join(file).display().to_string();
    fs::write(at("model.onnx"), model).unwrap();
    let (model, output, x) = (at("model.onnx"), at("out"), format!("X={}", at("x.npy")));
    let mut args = vec!["run", &model, "--output", &output, "--input", &x];
    let inputs: Vec<String> =
        inputs.iter().map(|name| format!("{name}={}", at(&format!("{name}.npy")))).collect();
    inputs.iter().for_each(|input| args.extend(["--input", input]));
    rnnpack(&args, 0);
    read_npy(folder.join("out/Y.npy")).unwrap()
}

#[test]
fn all_commands_read_weights_in_another_file() {
    let folder = folder("external");
    let expected = run(&folder, &one().bytes(), &[]);
    let data: Vec<u8> = std::iter::repeat_n(0.5f32.to_le_bytes(), 4 * H * I).flatten().collect();
    fs::write(folder.join("weights.bin"), data).unwrap();
    let w = external("W", &[1, 4 * H, I], FLOAT, &[("location", "weights.bin")]);
    let bytes = one().stored(0, w).bytes();
    assert_eq!(run(&folder, &bytes, &[]), expected);
    let model = folder.join("model.onnx").display().to_string();
    assert!(rnnpack(&["inspect", &model, "--json"], 0).contains("\"refusal\": null"));
    let packed = folder.join("layer").display().to_string();
    rnnpack(&["pack", &model, "--isa", "portable", "--output", &packed], 0);
    rnnpack(&["verify", &model], 0);
    fs::remove_file(folder.join("weights.bin")).unwrap();
    for args in [&["inspect", &model][..], &["verify", &model]] {
        let text = rnnpack(args, 2);
        assert!(text.contains("tensor `W`: its data is in `weights.bin`, which cannot be found"), "{text}");
    }
}

#[test]
fn a_layer_in_a_function_is_listed_and_run() {
    let folder = folder("function");
    let expected = run(&folder, &one().bytes(), &[]);
    let lstm = node("LSTM", "lstm", &["x", "w", "r", "b"], &["y"], &[attr_i("hidden_size", H as i64)]);
    let layer = Function::new("layer", &["x", "w", "r", "b"], &["y"], &[lstm]);
    let graph =
        Graph { nodes: vec![call("layer", "encoder", &["X", "W", "R", "B"], &["Y"], &[])], ..one().graph() };
    assert_eq!(run(&folder, &layer.add_to(graph.model(17), 17), &[]), expected);
    let model = folder.join("model.onnx").display().to_string();
    assert!(rnnpack(&["inspect", &model], 0).contains("encoder/lstm in main"));
}

#[test]
fn an_input_with_a_default_may_be_given() {
    let folder = folder("default");
    let with = |default: Option<f32>| {
        let mut graph = One { inputs: vec!["X", "W", "R", "B", "", "h"], ..one() }.graph();
        graph.stored.extend(default.map(|h| tensor("h", &[1, 2, H], &[h; 2 * H])));
        graph.inputs.push(value("h", FLOAT, &[Dim::N(1), Dim::N(2), Dim::N(H)]));
        graph.model(17)
    };
    write_npy(folder.join("h.npy"), &Array::from_elem(vec![1, 2, H], 0.25)).unwrap();
    let expected = run(&folder, &with(None), &["h"]);
    assert_eq!(run(&folder, &with(Some(0.5)), &["h"]), expected);
    assert_eq!(run(&folder, &with(Some(0.25)), &[]), expected);
    assert_ne!(run(&folder, &with(Some(0.5)), &[]), expected);
}
