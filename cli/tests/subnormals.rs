//! Tests what the command says about subnormal weights, and that `--subnormals` does what it says.

mod support;

use ndarray_npy::{read_npy, write_npy};
use rnnpack::{Subnormals, Target};
use rnnpack_dev::onnx::{Dim, FLOAT, Faint, Graph, node, recurrent_nodes, tensor, untyped, value};
use serde_json::json;
use std::fs;
use std::path::Path;
use support::{fixture, folder, rnnpack};

/// A model with one subnormal weight of two.
fn faint() -> Faint {
    Faint::new(FLOAT, [1e-40, 1.0])
}

fn written(folder: &Path, name: &str, model: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, model).unwrap();
    path.display().to_string()
}

#[test]
fn inspect_counts_subnormal_weights_and_says_how_to_flush_them() {
    let folder = folder("flush-inspect");
    let inspect = |path: &str| {
        let text = rnnpack(&["inspect", path]).stdout;
        (rnnpack(&["inspect", path, "--json"]).json(0)["nodes"][0]["subnormal_weights"].clone(), text)
    };
    let (count, text) = inspect(&written(&folder, "one.onnx", &faint().model()));
    assert_eq!(count, 1);
    assert!(text.contains("1 subnormal weight: they are slow; --subnormals flush-weights makes"), "{text}");
    let (count, text) = inspect(&written(&folder, "two.onnx", &Faint::new(FLOAT, [1e-40, -1e-41]).model()));
    assert_eq!(count, 2);
    assert!(text.contains("2 subnormal weights: "), "{text}");
    let (count, text) = inspect(&written(&folder, "none.onnx", &Faint::new(FLOAT, [0.0, 1.0]).model()));
    assert!(count == 0 && !text.contains("subnormal"), "{text}");
    // Nobody knows the weights before the node runs.
    let given = Faint { w_is_given: true, ..faint() };
    let (count, text) = inspect(&written(&folder, "given.onnx", &given.model()));
    assert!(count.is_null() && !text.contains("subnormal"), "{text}");
    let silero = rnnpack(&["inspect", &fixture("silero_vad/silero_vad.onnx")]).stdout;
    assert!(!silero.contains("subnormal"), "{silero}");
}

#[test]
fn nodes_that_share_subnormal_weights_are_counted_each_and_quickly() {
    let hidden = 256;
    let weights = vec![1e-40; 4 * hidden * hidden];
    let x = [Dim::N(1), Dim::N(1), Dim::N(hidden)];
    let graph = Graph {
        nodes: (0..300)
            .map(|i| node("LSTM", &format!("l{i}"), &["X", "W", "R"], &[&format!("Y{i}")], &[]))
            .collect(),
        stored: ["W", "R"].map(|name| tensor(name, &[1, 4 * hidden, hidden], &weights)).into(),
        inputs: vec![value("X", FLOAT, &x)],
        outputs: vec![untyped("Y0")],
    };
    let path = written(&folder("flush-shared"), "shared.onnx", &graph.model(22));
    let start = std::time::Instant::now();
    let nodes = rnnpack(&["inspect", &path, "--json"]).json(0);
    let nodes = nodes["nodes"].as_array().unwrap();
    assert!(
        nodes.len() == 300 && nodes.iter().all(|node| node["subnormal_weights"] == 2 * 4 * hidden * hidden)
    );
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn pack_writes_the_choice_and_says_how_many_weights_became_zero() {
    let folder = folder("flush-pack");
    let path = written(&folder, "one.onnx", &faint().model());
    let file = folder.join("layer.rnnpack").display().to_string();
    let node = recurrent_nodes(&faint().model()).unwrap().remove(0);
    let pack = ["pack", &path, "--isa", "portable", "--output", &file];
    for (choice, said) in [
        (Subnormals::Keep, "1 subnormal weight stayed; --subnormals flush-weights makes them zero\n"),
        (Subnormals::FlushWeights, "1 subnormal weight became zero\n"),
        (Subnormals::Flush, "1 subnormal weight became zero\n"),
    ] {
        let args = [&pack[..], &["--subnormals", choice.name()]].concat();
        let text = rnnpack(&args).stdout;
        assert!(text.ends_with(said), "{text}");
        let json = rnnpack(&[&args[..], &["--json"]].concat()).json(0);
        let flushed = u8::from(choice != Subnormals::Keep);
        assert_eq!(
            [&json["subnormals"], &json["subnormal_weights"], &json["flushed_weights"]],
            [&json!(choice.name()), &json!(1), &json!(flushed)]
        );
        let packed = node
            .clone()
            .with_subnormals(choice)
            .weights()
            .unwrap()
            .to_bytes(Target::by_name("portable").unwrap());
        assert_eq!(fs::read(&file).unwrap(), packed.unwrap());
    }
    // A model without subnormal weights says nothing of them, unless they are asked for.
    let path = written(&folder, "none.onnx", &Faint::new(FLOAT, [0.5, 1.0]).model());
    let pack = ["pack", &path, "--isa", "portable", "--output", &file];
    let text = rnnpack(&pack).stdout;
    assert!(text.ends_with(" for portable (4 lanes), weights in bf16\n"), "{text}");
    let text = rnnpack(&[&pack[..], &["--subnormals", "flush"]].concat()).stdout;
    assert!(text.ends_with("0 subnormal weights became zero\n"), "{text}");
}

#[test]
fn run_flushes_what_it_was_told_to() {
    let folder = folder("flush-run");
    let path = written(&folder, "one.onnx", &faint().model());
    let x = folder.join("x.npy");
    write_npy(&x, &ndarray::arr3(&[[[1e10f32]], [[1e-40]]])).unwrap();
    let input = format!("X={}", x.display());
    for (choice, expected) in [
        ("keep", [-1e-30f32, -1e10, 0.0, -1e-40]),
        ("flush-weights", [0.0, -1e10, 0.0, -1e-40]),
        ("flush", [0.0, -1e10, 0.0, 0.0]),
    ] {
        let out = folder.join(choice);
        let args =
            ["run", &path, "--input", &input, "--output", &out.display().to_string(), "--subnormals", choice];
        assert_eq!(rnnpack(&args).code, Some(0));
        let z: ndarray::ArrayD<f32> = read_npy(out.join("Z.npy")).unwrap();
        let near = z.iter().zip(expected).all(|(z, e)| (z - e).abs() <= e.abs() * 1e-5);
        assert!(near && z.len() == 4, "{choice}: {z}");
    }
}

#[test]
fn verify_compares_what_is_flushed_with_what_is_exact() {
    let folder = folder("flush-verify");
    // Flushing changes the large output by nothing that counts.
    let path = written(&folder, "one.onnx", &faint().model());
    let verify = |path: &str, choice| rnnpack(&["verify", path, "--dim", "T=5", "--subnormals", choice]);
    for choice in ["keep", "flush-weights", "flush"] {
        assert_eq!(verify(&path, choice).code, Some(0), "{choice}: {}", verify(&path, choice).stdout);
    }
    // All weights are subnormal, so all of the output is: without them it is 0.
    let path = written(&folder, "all.onnx", &Faint::new(FLOAT, [1e-40, 1e-40]).model());
    assert_eq!(verify(&path, "keep").code, Some(0), "{}", verify(&path, "keep").stdout);
    assert_eq!(verify(&path, "flush-weights").code, Some(1), "{}", verify(&path, "flush-weights").stdout);
}

#[test]
fn bench_times_a_layer_and_a_model_that_flush() {
    let args = ["bench", "--shape", "3,2,4,8", "--seconds", "0.1", "--no-tract", "--subnormals", "flush"];
    let text = rnnpack(&args).stdout;
    assert!(text.contains("; subnormals: flush\n"), "{text}");
    assert_eq!(rnnpack(&[&args[..], &["--json"]].concat()).json(0)["subnormals"], "flush");
    let path = written(&folder("flush-bench"), "one.onnx", &faint().model());
    let args =
        ["bench", &path, "--dim", "T=5", "--seconds", "0.1", "--subnormals", "flush-weights", "--json"];
    let json = rnnpack(&args).json(0);
    assert_eq!(json["sides"][0]["name"], "rnnpack", "{json}");
}

#[test]
fn another_choice_is_wrong_usage() {
    for command in ["run", "verify", "bench"] {
        let run = rnnpack(&[command, "model.onnx", "--output", "out", "--subnormals", "sometimes"]);
        assert_eq!(run.code, Some(2));
        let help = rnnpack(&[command, "--help"]).stdout;
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("[default: keep] [possible values: keep, flush-weights, flush]"), "{help}");
    }
    let folder = folder("flush-refused");
    let clipped = Faint { clip: Some(1e-40), ..faint() };
    let path = written(&folder, "clipped.onnx", &clipped.model());
    let file = folder.join("layer.rnnpack").display().to_string();
    rnnpack(&["pack", &path, "--isa", "portable", "--output", &file, "--subnormals", "flush"])
        .refused("node `rnn`: clip");
    assert!(!Path::new(&file).exists());
}
