//! Tests that `verify`, `inspect` and `bench` tell the truth about models beyond a single layer.

mod support;

use ndarray_npy::{NpzWriter, read_npy, write_npy};
use rnnpack_dev::onnx::{Dim, FLOAT, FLOAT16, Graph, attr_i, node, raw, tensor, untyped, value};
use serde_json::Value;
use std::fs::{self, File};
use support::{Around, OneNode, compared, fixture, folder, rnnpack, x};

const SILERO: &str = "silero_vad/silero_vad.onnx";

#[test]
fn verify_fails_where_no_element_is_finite_on_any_side() {
    let mut model = Around::new(vec![x([Dim::N(3), Dim::N(1), Dim::N(2)])]);
    model.stored = vec![tensor("nan", &[1], &[f32::NAN])];
    model.after = vec![node("Add", "add", &["gru_y", "nan"], &["Z"], &[])];
    model.output = "Z";
    let path = model.write(&folder("nan"), "nan");
    let json = rnnpack(&["verify", &path, "--json"]).json(1);
    assert_eq!(json["verdict"], "fail");
    assert_eq!(compared(&json, "f64")["outputs"][0]["finite"], 0);
    let text = rnnpack(&["verify", &path]).stdout;
    assert!(text.contains("NOTHING COMPARED: none of the 9 elements is finite"), "{text}");
    assert!(text.ends_with("FAIL: an output above is not ok\n"), "{text}");
    rnnpack(&["bench", &path, "--seconds", "0.01", "--json"]).json(1);
}

#[test]
fn verify_names_the_operators_that_it_does_not_judge_and_judges_them_by_recorded_outputs() {
    let folder = folder("judged");
    let mut model = Around::new(vec![x([Dim::N(3), Dim::N(1), Dim::N(2)])]);
    model.after = vec![node("Relu", "", &["gru_y"], &["a"], &[]), node("Relu", "", &["a"], &["Z"], &[])];
    model.output = "Z";
    let path = model.write(&folder, "relu");
    let json = rnnpack(&["verify", &path, "--json"]).json(0);
    assert_eq!(json["not_judged"], serde_json::json!(["Relu (2)"]));
    let text = rnnpack(&["verify", &path]).stdout;
    let words =
        "not judged, because all sides compute them in the same way: Relu (2) (judge them with --recorded";
    assert!(text.contains(words) && text.ends_with("PASS\n"), "{text}");

    let given = ndarray::Array3::<f32>::from_shape_fn((3, 1, 2), |(t, _, i)| t as f32 - i as f32).into_dyn();
    let input = folder.join("x.npy");
    write_npy(&input, &given).unwrap();
    let out = folder.join("out");
    let run = ["run", &path, "--input", &format!("gru_x={}", input.display()), "--output"];
    assert_eq!(rnnpack(&[&run[..], &[out.to_str().unwrap()]].concat()).code, Some(0));
    let right: ndarray::ArrayD<f32> = read_npy(out.join("Z.npy")).unwrap();
    let recording = |name: &str, output: &ndarray::ArrayD<f32>| {
        let file = folder.join(name);
        let mut npz = NpzWriter::new(File::create(&file).unwrap());
        npz.add_array("in/0/gru_x", &given).unwrap();
        npz.add_array("out/0/Z", output).unwrap();
        npz.finish().unwrap();
        rnnpack(&["verify", &path, "--recorded", file.to_str().unwrap(), "--json"])
    };
    let json = recording("right.npz", &right).json(0);
    assert_eq!((&json["verdict"], &json["not_judged"]), (&"pass".into(), &serde_json::json!([])));
    let json = recording("wrong.npz", &right.mapv(|y| y - 0.1)).json(1);
    assert_eq!(compared(&json, "f64")["outputs"][0]["passes"], true);
    assert_eq!(compared(&json, "recorded")["outputs"][0]["passes"], false);
    // NaN on one side only.
    let json = recording("nan.npz", &right.mapv(|_| f32::NAN)).json(1);
    assert_eq!(compared(&json, "recorded")["outputs"][0]["passes"], false);
}

#[test]
fn recorded_outputs_judge_a_model_without_a_recurrent_node() {
    let folder = folder("no-layer");
    let graph = Graph {
        nodes: vec![node("Relu", "relu", &["X"], &["Y"], &[])],
        inputs: vec![value("X", FLOAT, &[Dim::N(2)])],
        outputs: vec![untyped("Y")],
        ..Graph::default()
    };
    let model = folder.join("relu.onnx").display().to_string();
    fs::write(&model, graph.model(17)).unwrap();
    for (y, code, verdict) in [([0f32, 2.0], 0, "pass"), ([-1.0, 2.0], 1, "fail")] {
        let file = folder.join("recorded.npz");
        let mut npz = NpzWriter::new(File::create(&file).unwrap());
        npz.add_array("in/0/X", &ndarray::arr1(&[-1f32, 2.0])).unwrap();
        npz.add_array("out/0/Y", &ndarray::arr1(&y)).unwrap();
        npz.finish().unwrap();
        let json = rnnpack(&["verify", &model, "--recorded", file.to_str().unwrap(), "--json"]).json(code);
        assert_eq!(json["verdict"], verdict);
    }
}

#[test]
fn a_right_model_that_computes_in_f16_inside_passes_and_is_timed() {
    let folder = folder("f16");
    let half = |n: usize| {
        let value = |i: usize| half::f16::from_f64((i as f64 * 0.7).sin() * 0.9);
        (0..n).flat_map(|i| value(i).to_le_bytes()).collect::<Vec<u8>>()
    };
    let graph = Graph {
        nodes: vec![
            node("Cast", "in", &["X"], &["x16"], &[attr_i("to", FLOAT16)]),
            node(
                "LSTM",
                "lstm",
                &["x16", "W", "R", "", "", "H0", "C0"],
                &["y16"],
                &[attr_i("hidden_size", 3)],
            ),
            node("Cast", "out", &["y16"], &["Y"], &[attr_i("to", FLOAT)]),
        ],
        stored: vec![
            raw("W", &[1, 12, 2], FLOAT16, half(24)),
            raw("R", &[1, 12, 3], FLOAT16, half(36)),
            raw("H0", &[1, 2, 3], FLOAT16, half(6)),
            raw("C0", &[1, 2, 3], FLOAT16, half(6)),
        ],
        inputs: vec![value("X", FLOAT, &[Dim::N(7), Dim::N(2), Dim::N(2)])],
        outputs: vec![untyped("Y")],
    };
    let model = folder.join("f16.onnx").display().to_string();
    fs::write(&model, graph.model(17)).unwrap();
    let json = rnnpack(&["verify", &model, "--json"]).json(0);
    assert_eq!(json["verdict"], "pass");
    // Outputs of f32, but their values were rounded to f16: far above the bound of 1e-4.
    let tract = &compared(&json, "tract")["outputs"][0];
    assert!(tract["relative"].as_f64().unwrap() > 1e-4, "{json}");
    assert!(compared(&json, "f64")["outputs"][0]["allowed"].as_f64().unwrap() > 1e-4);
    let json = rnnpack(&["bench", &model, "--seconds", "0.02", "--json"]).json(0);
    assert_eq!(json["sides"].as_array().unwrap().len(), 2, "{json}");
}

#[test]
fn inspect_lists_the_border_and_what_is_packed_when_the_node_runs() {
    let folder = folder("border");
    let mut model = Around::new(vec![
        x([Dim::Name("T"), Dim::N(1), Dim::N(2)]),
        value("w", FLOAT, &[Dim::N(1), Dim::N(9), Dim::N(2)]),
    ]);
    model.rest[0] = "w";
    model.after = vec![
        node("Quack", "", &["gru_y"], &["a"], &[]),
        node("Quack", "", &["a"], &["b"], &[]).text(7, "com.microsoft"),
    ];
    model.output = "b";
    let path = model.write(&folder, "border");
    let json = rnnpack(&["inspect", &path, "--json"]).json(0);
    assert_eq!(
        json["inputs"][0],
        serde_json::json!({ "name": "gru_x", "type": "FLOAT", "dims": ["T", 1, 2] })
    );
    assert_eq!(json["outputs"][0], serde_json::json!({ "name": "b", "type": null, "dims": null }));
    let cannot = json["cannot_run"].as_array().unwrap();
    let named: Vec<[&str; 2]> =
        cannot.iter().map(|o| ["domain", "op"].map(|key| o[key].as_str().unwrap())).collect();
    assert_eq!(named, [["", "Quack"], ["com.microsoft", "Quack"]]);
    let gru = &json["nodes"][0];
    assert_eq!((&gru["packing"], &gru["refusal"]), (&"packed when the node runs".into(), &Value::Null));
    let text = rnnpack(&["inspect", &path]).stdout;
    for part in [
        "input   gru_x  FLOAT  [T, 1, 2]\n",
        "These operators cannot run:\n  Quack (1 node): tract does not have it",
        "com.microsoft.Quack (1 node): an operator of ONNX Runtime",
        "1 recurrent node (LSTM, GRU, RNN, DynamicQuantizeLSTM), 1 packed when the node runs\n",
        "packed when the node runs: node `gru`: input `W`: `w` is an input of the graph",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    // All at once, also where the model should run.
    let refused = rnnpack(&["verify", &path]);
    refused.refused("these operators cannot run: Quack (1 node)");
    refused.refused("; com.microsoft.Quack (1 node)");
}

#[test]
fn pack_takes_the_number_of_the_row() {
    let file = folder("pack-number").join("layer.rnnpack").display().to_string();
    let silero = fixture(SILERO);
    let pack = |node: &str| {
        rnnpack(&["pack", &silero, "--node", node, "--isa", "portable", "--output", &file, "--json"])
    };
    let nodes = rnnpack(&["inspect", &silero, "--json"]).json(0)["nodes"].clone();
    for number in 0..4usize {
        assert_eq!(pack(&number.to_string()).json(0)["node"], nodes[number]["name"]);
    }
    pack("4")
        .refused("no recurrent node is called \"4\" or has that number; the numbers of inspect are 0 to 3");
}

#[test]
fn text_that_goes_to_no_terminal_has_no_colour_and_its_full_width() {
    let model = OneNode::new("GRU", FLOAT, &[]).write(&folder("colour"), "gru");
    let text = rnnpack(&["verify", &model]).stdout;
    assert!(text.ends_with("\nPASS\n") && !text.contains('\u{1b}'), "{text:?}");
    let text = rnnpack(&["inspect", &model]).stdout;
    assert!(text.lines().any(|line| line.starts_with("#  op") && line.ends_with("plan")), "{text}");
}
