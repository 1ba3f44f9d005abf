//! Tests the command with models of `DynamicQuantizeLSTM`.

mod support;

use ndarray_npy::{NpzWriter, WritableElement, write_npy};
use rnnpack_dev::onnx::one::one;
use rnnpack_dev::onnx::quantized::{INT8, QuantizedNode};
use rnnpack_dev::onnx::recorded::{Case, Values, cases};
use rnnpack_dev::onnx::{Dim, FLOAT, INT32, recurrent_nodes, value};
use rnnpack_onnx::{Element, Tensor};
use std::fs::{self, File};
use std::path::Path;
use support::{compared, fixture, folder, rnnpack, rnnpack_isa};

fn array<T: Element + WritableElement>(t: &Tensor) -> Option<ndarray::ArrayD<T>> {
    Some(ndarray::ArrayD::from_shape_vec(t.dims(), t.as_slice::<T>()?.to_vec()).unwrap())
}

/// Writes the model, and an archive of one call with what ONNX Runtime answered.
fn written(folder: &Path, Case { model, inputs, outputs }: &Case) -> [String; 2] {
    let [path, recorded] = ["model.onnx", "recorded.npz"].map(|name| folder.join(name));
    fs::write(&path, model).unwrap();
    let mut npz = NpzWriter::new(File::create(&recorded).unwrap());
    let mut add = |side: &str, values: &Values| {
        for (name, value) in values {
            let key = format!("{side}/0/{name}");
            match array::<f32>(value) {
                Some(value) => npz.add_array(key, &value).unwrap(),
                None => npz.add_array(key, &array::<i32>(value).unwrap()).unwrap(),
            }
        }
    };
    add("in", inputs);
    add("out", outputs);
    npz.finish().unwrap();
    [path, recorded].map(|path| path.display().to_string())
}

#[test]
fn verify_passes_in_onnx_runtimes_arithmetic_and_says_what_was_not_compared() {
    let folder = folder("quantized-verify");
    let mut exceeded = 0;
    for case in cases("oracle/quantized.npz").values().step_by(7) {
        let [path, recorded] = written(&folder, case);
        let verify =
            |more: &[&str]| rnnpack(&[&["verify", &path, "--recorded", &recorded, "--json"], more].concat());
        let json = verify(&["--as-onnxruntime"]).json(0);
        let allowance = compared(&json, "recorded")["allowance"].to_string();
        assert!(allowance.contains("this is an allowance, not a derived bound"), "{json}");
        let of_recorded = &compared(&json, "recorded")["outputs"][0];
        assert!(of_recorded["relative"].as_f64().unwrap() < 1e-6, "{json}");
        for against in ["f64", "tract"] {
            let reason = compared(&json, against)["not_compared"].to_string();
            assert!(reason.contains("it does not quantize x and h"), "{json}");
        }
        let json: serde_json::Value = serde_json::from_str(&verify(&[]).stdout).unwrap();
        exceeded += usize::from(json["verdict"] == "fail");
        let tract = compared(&json, "tract")["not_compared"].to_string();
        assert!(tract.contains("tract has no operator of its own for it"), "{json}");
        verify(&["--bound", "0.1"]).json(0);
    }
    assert!(exceeded > 4, "{exceeded}");
}

#[test]
fn a_wrong_recording_does_not_pass_in_onnx_runtimes_arithmetic() {
    let folder = folder("quantized-wrong");
    let mut case = cases("oracle/quantized.npz").remove("31-reverse-int8").unwrap();
    let (_, value) = case.outputs.iter_mut().next().unwrap();
    let wrong: Vec<f32> = value.as_slice::<f32>().unwrap().iter().map(|y| y * 1.01).collect();
    *value = Tensor::new(value.dims(), wrong).unwrap();
    let [path, recorded] = written(&folder, &case);
    let json = rnnpack(&["verify", &path, "--recorded", &recorded, "--as-onnxruntime", "--json"]).json(1);
    assert_eq!(json["verdict"], "fail");
    // With a bound of the user, nothing is allowed beside it.
    let args = ["verify", &path, "--recorded", &recorded, "--as-onnxruntime", "--bound", "0.1"];
    assert!(!rnnpack(&args).stdout.contains("allowance"));
}

#[test]
fn verify_generates_inputs_for_a_quantized_node() {
    let folder = folder("quantized-generated");
    let one = QuantizedNode::new([5, 4], "bidirectional", INT8, false).input(4, "lens");
    let mut graph = one.graph();
    // I is not declared, so it is that of W.
    graph.inputs =
        vec![value("X", FLOAT, &["T", "B", "I"].map(Dim::Name)), value("lens", INT32, &[Dim::Name("B")])];
    let path = folder.join("model.onnx").display().to_string();
    fs::write(&path, graph.model(17)).unwrap();
    let json =
        rnnpack(&["verify", &path, "--dim", "T=9", "--dim", "B=3", "--bound", "0.1", "--json"]).json(0);
    assert!(compared(&json, "f64")["outputs"][0]["relative"].as_f64().unwrap() > 1e-4, "{json}");
    assert!(json["generated"].to_string().contains("DynamicQuantizeLSTM `lstm`"), "{json}");
}

#[test]
fn inspect_and_pack_take_the_integers_of_the_file() {
    let folder = folder("quantized-inspect");
    let path = folder.join("model.onnx").display().to_string();
    fs::write(&path, QuantizedNode::new([64, 32], "bidirectional", INT8, true).bytes()).unwrap();
    let node = rnnpack(&["inspect", &path, "--json"]).json(0)["nodes"][0].clone();
    assert_eq!((&node["op"], &node["weights"]), (&"DynamicQuantizeLSTM".into(), &"int8".into()), "{node}");
    assert_eq!(node["packed_bytes"], node["packed_bytes_as"]["int8"]);
    let text = rnnpack(&["inspect", &path]).stdout;
    let layer = recurrent_nodes(&fs::read(&path).unwrap()).unwrap().remove(0).pack().unwrap();
    let dots = layer.dots().unwrap();
    assert_eq!(node["dots"], dots);
    assert!(text.contains("DynamicQuantizeLSTM") && text.contains(&format!("int8 ({dots})")), "{text}");
    let portable = rnnpack_isa(&["inspect", &path], Some("portable")).stdout;
    assert!(portable.contains("int8 (widened)") && portable.contains("portable (4 lanes)"), "{portable}");
    let file = folder.join("layer.rnnpack").display().to_string();
    let packed = rnnpack(&["pack", &path, "--isa", "portable", "--output", &file, "--json"]).json(0);
    assert_eq!(packed["weights"], "int8");
}

#[test]
fn the_option_changes_quantized_layers_alone() {
    let folder = folder("quantized-run");
    let (quantized, plain) = (folder.join("quantized.onnx"), folder.join("plain.onnx"));
    fs::write(&quantized, QuantizedNode::new([3, 2], "forward", INT8, false).bytes()).unwrap();
    fs::write(&plain, one().bytes()).unwrap();
    let x = folder.join("x.npy");
    write_npy(
        &x,
        &ndarray::Array3::<f32>::from_shape_fn((6, 2, 3), |(t, b, i)| ((7 * t + 3 * b + i) as f32).sin()),
    )
    .unwrap();
    let input = format!("X={}", x.display());
    let y = |model: &Path, more: &[&str]| {
        let out = folder.join("out").display().to_string();
        let model = model.display().to_string();
        let run = rnnpack(&[&["run", &model, "--input", &input, "--output", &out], more].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        fs::read(folder.join("out").join("Y.npy")).unwrap()
    };
    assert!(y(&quantized, &["--as-onnxruntime"]) != y(&quantized, &[]));
    assert!(y(&plain, &["--as-onnxruntime"]) == y(&plain, &[]));
    let model = quantized.display().to_string();
    let args =
        ["run", &model, "--input", &input, "--output", "never", "--as-onnxruntime", "--weights", "f32"];
    rnnpack(&args).refused("only rnnpack's kernels have a type of weights");
}

/// The report of `verify` for a published quantized model, against its recorded answers.
fn published(more: &[&str]) -> serde_json::Value {
    let [model, recorded] =
        ["rawi.int8.onnx", "rawi.int8.io.npz"].map(|file| fixture(&format!("text2tashkeel/{file}")));
    rnnpack(&[&["verify", &model, "--recorded", &recorded, "--json"], more].concat()).json(0)
}

#[test]
fn a_published_quantized_model_has_its_recorded_answers_in_onnx_runtimes_arithmetic() {
    let json = published(&["--as-onnxruntime"]);
    let output = &compared(&json, "recorded")["outputs"][0];
    // One integer of x of the second layer is another one.
    assert!(output["passes"] == true && output["relative"].as_f64() < Some(2e-3), "{json}");
}

#[test]
fn a_published_quantized_model_decides_by_rows_as_it_did_when_recorded() {
    let json = published(&["--decisions", "-1"]);
    let output = &compared(&json, "recorded")["outputs"][0];
    assert_eq!(output["decisions"], serde_json::json!({ "same": 60, "of": 60 }), "{json}");
    assert!(output["relative"].as_f64() > Some(1e-3), "it is another arithmetic: {json}");
}
