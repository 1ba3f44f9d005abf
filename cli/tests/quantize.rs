//! Tests `rnnpack quantize` and `rnnpack size`.

mod support;

use ndarray_npy::{read_npy, write_npy};
use rnnpack::{LayerTensors, LayerWeights, Sequence, WeightType};
use rnnpack_dev::onnx::quantized::{INT8, QuantizedNode};
use rnnpack_dev::onnx::{
    Dim, FLOAT, Graph, Msg, Numbers, attr_i, attr_s, node, raw, recurrent_nodes, tensor, untyped, value,
};
use serde_json::Value;
use std::fs;
use std::path::Path;
use support::{fixture, folder, rnnpack};

type Array = ndarray::ArrayD<f32>;

/// I and H of the models.
const SIZES: [usize; 2] = [5, 7];
/// T and B of the input.
const CALL: [usize; 2] = [6, 3];

/// Writes a model of one node whose weights need all bits of f32, and its input. Returns their paths.
fn write(folder: &Path, op: &str, directions: usize, opset: i64, batch_major: bool) -> [String; 2] {
    let gates = ["RNN", "", "GRU", "LSTM"].iter().position(|&o| o == op).unwrap() + 1;
    let [input, hidden] = SIZES;
    let mut numbers = Numbers(3);
    let mut stored = |name: &str, dims: &[usize]| tensor(name, dims, &numbers.floats(dims.iter().product()));
    let stored = vec![
        stored("W", &[directions, gates * hidden, input]),
        stored("R", &[directions, gates * hidden, hidden]),
        stored("B", &[directions, 2 * gates * hidden]),
    ];
    let direction = if directions == 2 { "bidirectional" } else { "reverse" };
    let mut attrs = vec![attr_i("hidden_size", hidden as i64), attr_s("direction", direction)];
    attrs.extend(batch_major.then(|| attr_i("layout", 1)));
    let [time, batch] = CALL;
    let dims = if batch_major { [batch, time, input] } else { [time, batch, input] };
    let graph = Graph {
        nodes: vec![node(op, "layer", &["X", "W", "R", "B"], &["Y", "Y_h"], &attrs)],
        stored,
        inputs: vec![value("X", FLOAT, &dims.map(Dim::N))],
        outputs: vec![untyped("Y"), untyped("Y_h")],
    };
    let [model, x] = ["model.onnx", "x.npy"].map(|file| folder.join(file).display().to_string());
    fs::write(&model, graph.model(opset)).unwrap();
    let x_values = numbers.floats(dims.iter().product());
    write_npy(&x, &Array::from_shape_vec(dims.to_vec(), x_values).unwrap()).unwrap();
    [model, x]
}

/// Quantizes a model to `out.onnx` beside it. Returns its path and the report.
#[track_caller]
fn quantize(model: &str, weights: &str, rest: &[&str]) -> (String, Value) {
    let out = Path::new(model).with_file_name("out.onnx").display().to_string();
    let args = [&["quantize", model, "--weights", weights, "-o", &out, "--json"], rest].concat();
    let json = rnnpack(&args).json(0);
    (out, json)
}

/// Y and Y_h of a model.
#[track_caller]
fn run(model: &str, x: &str, rest: &[&str]) -> [Vec<f32>; 2] {
    let output = Path::new(model).with_file_name("outputs").display().to_string();
    let input = format!("X={x}");
    rnnpack(&[&["run", model, "--input", &input, "--output", &output, "--json"], rest].concat()).json(0);
    ["Y", "Y_h"].map(|name| {
        let array: Array = read_npy(Path::new(&output).join(format!("{name}.npy"))).unwrap();
        array.iter().copied().collect()
    })
}

fn bits(outputs: &[Vec<f32>; 2]) -> Vec<u32> {
    outputs.iter().flatten().map(|v| v.to_bits()).collect()
}

#[test]
fn a_written_model_computes_what_the_type_computes_without_it() {
    let folder = folder("quantize-types");
    for (op, directions, batch_major) in
        [("LSTM", 1, false), ("LSTM", 2, true), ("GRU", 1, true), ("GRU", 2, false), ("RNN", 2, false)]
    {
        let [model, x] = write(&folder, op, directions, 17, batch_major);
        let wide = run(&model, &x, &[]);
        for weights in ["bf16", "f16", "int8"] {
            let (out, report) = quantize(&model, weights, &[]);
            let layer = &report["layers"][0];
            assert_eq!((&layer["weights"], &layer["reason"]), (&weights.into(), &Value::Null));
            let written = run(&out, &x, &[]);
            if weights == "int8" && op != "LSTM" {
                continue;
            }
            assert_eq!(bits(&written), bits(&run(&model, &x, &["--weights", weights])), "{op} {weights}");
            assert_ne!(bits(&written), bits(&wide), "{op} {weights}: nothing was rounded");
        }
    }
}

/// The model with its weights in f32 as int8 stores them: Y of each step.
fn dequantized(model: &str, x: &str) -> Vec<f32> {
    let node = recurrent_nodes(&fs::read(model).unwrap()).unwrap().remove(0);
    let narrow = node.clone().with_type(WeightType::I8);
    let (narrow, wide) = (narrow.weights().unwrap(), node.weights().unwrap());
    let (gates, [_, hidden]) = (wide.cell().gates(), SIZES);
    let (mut w, mut r) = (Vec::new(), Vec::new());
    for direction in narrow.directions() {
        for row in 0..gates * hidden {
            w.extend(direction.stored_w(row / hidden, row % hidden));
            r.extend(direction.stored_r(row / hidden, row % hidden));
        }
    }
    let b: Array = {
        let mut numbers = Numbers(3);
        let directions = wide.directions().len();
        numbers.floats(w.len() + r.len());
        let count = directions * 2 * gates * hidden;
        Array::from_shape_vec(vec![count], numbers.floats(count)).unwrap()
    };
    let tensors = LayerTensors { w: &w, r: &r, b: b.as_slice(), p: None };
    let weights = LayerWeights::new(*wide.cell(), wide.shape(), rnnpack::GateOrder::Onnx, tensors).unwrap();
    let layer = rnnpack::Layer::new(&weights).unwrap();
    let x: Array = read_npy(x).unwrap();
    let x: Vec<f32> = x.iter().copied().collect();
    let mut y = vec![0.0; CALL[0] * CALL[1] * layer.shape().output()];
    layer.stream(CALL[1]).unwrap().run(Sequence::dense(&x, &mut y)).unwrap();
    y
}

#[test]
fn integers_behind_dequantize_linear_are_computed_in_f32_unless_int8_is_asked_for() {
    let folder = folder("quantize-dequantize");
    for (op, directions) in [("GRU", 1), ("GRU", 2), ("RNN", 1), ("RNN", 2)] {
        let [model, x] = write(&folder, op, directions, 13, false);
        let (out, _) = quantize(&model, "int8", &[]);
        let [y, _] = run(&out, &x, &[]);
        let expected = dequantized(&model, &x);
        assert_eq!(
            y.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            expected.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
        // The integers stay, and a scale may change in its last place.
        let (asked, direct) =
            (run(&out, &x, &["--weights", "int8"]), run(&model, &x, &["--weights", "int8"]));
        assert_ne!(bits(&asked), bits(&run(&out, &x, &[])));
        let largest = asked.iter().flatten().zip(direct.iter().flatten()).map(|(a, b)| (a - b).abs());
        assert!(largest.fold(0.0, f32::max) < 1e-5, "{op} {directions}");
    }
}

#[test]
fn the_report_states_bytes_and_errors_and_the_file_is_the_same_every_time() {
    let folder = folder("quantize-report");
    let [model, x] = write(&folder, "LSTM", 1, 17, false);
    let input = format!("X={x}");
    let (out, report) = quantize(&model, "int8", &["--input", &input]);
    let written = fs::read(&out).unwrap();
    quantize(&model, "int8", &["--input", &input]);
    assert_eq!(fs::read(&out).unwrap(), written);
    assert_eq!(report["bytes_before"], fs::read(&model).unwrap().len());
    assert_eq!(report["bytes_after"], written.len());
    let layer = &report["layers"][0];
    // 28 rows of 12 weights; two scales of f32 and two zero points of 1 byte for each row.
    assert_eq!(
        (&layer["bytes_before"], &layer["bytes_after"]),
        (&(28 * 12 * 4).into(), &(28 * 12 + 28 * 10).into())
    );
    let (wide, narrow) = (run(&model, &x, &[]), run(&out, &x, &[]));
    for (output, (wide, narrow)) in report["outputs"].as_array().unwrap().iter().zip(wide.iter().zip(&narrow))
    {
        let differences: Vec<f64> =
            wide.iter().zip(narrow).map(|(&a, &b)| (f64::from(b) - f64::from(a)).abs()).collect();
        let largest = differences.iter().copied().fold(0.0, f64::max);
        let rms = (differences.iter().map(|d| d * d).sum::<f64>() / differences.len() as f64).sqrt();
        let is = |key: &str, expected: f64| (output[key].as_f64().unwrap() / expected - 1.0).abs() < 1e-9;
        assert!(largest > 0.0 && is("largest", largest) && is("rms", rms), "{output}");
    }
    let relative = |output: &Value| output["relative"].as_f64().unwrap();
    let largest = report["outputs"].as_array().unwrap().iter().map(relative).fold(0.0, f64::max);
    assert_eq!(layer["relative_alone"], largest, "the only layer makes the whole error");
    let steps = &layer["steps"];
    for number in ["largest", "rms", "relative", "scale", "first_rms", "last_rms"] {
        assert!(steps[number].as_f64().unwrap() > 0.0, "{number}");
    }
    assert!(steps["rms"].as_f64() < steps["largest"].as_f64());
    let text = rnnpack(&["quantize", &model, "--weights", "int8", "-o", &out]).stdout;
    assert!(text.contains("layer  LSTM  int8") && text.contains("generated inputs: X f32"), "{text}");
}

#[test]
fn the_errors_of_a_layer_are_those_of_the_written_file_as_it_is_computed() {
    let folder = folder("quantize-arithmetic");
    for (op, arithmetic) in [("LSTM", "int8"), ("GRU", "f32"), ("RNN", "f32")] {
        let [model, x] = write(&folder, op, 1, 17, false);
        let input = format!("X={x}");
        let (out, report) = quantize(&model, "int8", &["--input", &input]);
        let layer = &report["layers"][0];
        assert_eq!(layer["computed_in"], arithmetic, "{op}");
        // The layer's own errors are of the same arithmetic as those of the outputs: the written layer against the old one,
        // both as their files say.
        let nodes = [&model, &out].map(|path| recurrent_nodes(&fs::read(path).unwrap()).unwrap().remove(0));
        let mut numbers = Numbers(3);
        let x = numbers.floats(500 * SIZES[0]);
        let ys = nodes.map(|node| {
            let layer = node.pack().unwrap();
            let mut y = vec![0.0; 500 * layer.shape().output()];
            layer.stream(1).unwrap().run(Sequence::dense(&x, &mut y)).unwrap();
            y
        });
        let squares = ys[0].iter().zip(&ys[1]).map(|(&a, &b)| f64::from(a - b).powi(2)).sum::<f64>();
        let rms = (squares / ys[0].len() as f64).sqrt();
        let reported = layer["steps"]["first_rms"].as_f64().unwrap();
        assert!((reported / rms - 1.0).abs() < 0.2, "{op}: {reported:e}, {rms:e} in other noise");
        let text = rnnpack(&["quantize", &model, "--weights", "int8", "-o", &out]).stdout;
        assert!(text.contains("computed in"), "{text}");
    }
}

#[test]
fn weights_that_are_integers_already_are_kept_and_the_report_counts_those_that_are_rounded() {
    let folder = folder("quantize-kept");
    let model = folder.join("model.onnx").display().to_string();
    let file = |op: &str, gates: usize, r: &dyn Fn(usize) -> f32| {
        let w: Vec<f32> = (0..gates * 7 * 5).map(|i| 0.1 * ((i * 37 % 256) as f32 - 30.0)).collect();
        let r: Vec<f32> = (0..gates * 7 * 7).map(r).collect();
        let graph = Graph {
            nodes: vec![node(op, "layer", &["X", "W", "R"], &["Y"], &[])],
            stored: vec![tensor("W", &[1, gates * 7, 5], &w), tensor("R", &[1, gates * 7, 7], &r)],
            inputs: vec![value("X", FLOAT, &[Dim::N(2), Dim::N(1), Dim::N(5)])],
            outputs: vec![untyped("Y")],
        };
        fs::write(&model, graph.model(17)).unwrap();
        quantize(&model, "int8", &[]).1["layers"][0].clone()
    };
    let kept = file("GRU", 3, &|i| 0.01 * ((i * 41 % 256) as f32 - 128.0));
    assert_eq!((&kept["rounded_weights"], &kept["steps"]["largest"]), (&0.into(), &0.0.into()), "{kept}");
    let kept = file("LSTM", 4, &|i| 0.01 * ((i * 41 % 256) as f32 - 128.0));
    assert_eq!(kept["rounded_weights"], 0, "{kept}");
    // R has no integers, so W has not its own either.
    let rounded = file("GRU", 3, &|i| (i as f32).sin());
    assert!(rounded["rounded_weights"].as_u64() > Some(3 * 7 * 7), "{rounded}");
}

#[test]
fn a_layer_that_is_narrow_already_stays_and_the_report_has_its_bytes_in_the_file() {
    let folder = folder("quantize-twice");
    for (op, weights) in
        [("LSTM", "int8"), ("GRU", "int8"), ("RNN", "bf16"), ("LSTM", "f16"), ("GRU", "bf16")]
    {
        let [model, _] = write(&folder, op, 2, 17, false);
        let (out, report) = quantize(&model, weights, &[]);
        let once = folder.join("once.onnx").display().to_string();
        fs::rename(&out, &once).unwrap();
        let args = ["quantize", &once, "--weights", weights, "-o", &out];
        rnnpack(&args).refused(&format!("its weights are {weights} already"));
        let node = rnnpack(&["inspect", &once, "--json"]).json(0)["nodes"][0].clone();
        let b = recurrent_nodes(&fs::read(&model).unwrap()).unwrap()[0].cells[0].gates() * 2 * 2 * 7 * 4;
        let after = report["layers"][0]["bytes_after"].as_u64().unwrap();
        assert_eq!(node["weight_bytes"].as_u64().unwrap(), after + b as u64, "{op} {weights}");
    }
    // Another layer beside it makes a file that is written.
    let mut graph = QuantizedNode::new([5, 7], "forward", INT8, true).graph();
    graph.stored.extend([
        tensor("V", &[1, 7, 5], &Numbers(1).floats(35)),
        tensor("S", &[1, 7, 7], &Numbers(2).floats(49)),
    ]);
    graph.nodes.push(node("RNN", "second", &["X", "V", "S"], &["Z"], &[]));
    graph.outputs.push(untyped("Z"));
    let model = folder.join("mixed.onnx").display().to_string();
    fs::write(&model, graph.model(17)).unwrap();
    let (_, report) = quantize(&model, "int8", &[]);
    let stays = &report["layers"][0];
    assert_eq!((&stays["weights"], &stays["computed_in"]), (&"int8".into(), &"int8".into()), "{report}");
    // 28 rows of 12 integers, and two scales and two zero points for each row.
    let bytes = 28 * 12 + 28 * 10;
    assert_eq!((&stays["bytes_before"], &stays["bytes_after"]), (&bytes.into(), &bytes.into()), "{report}");
    assert_eq!(stays["reason"], "its weights are int8 already");
}

#[test]
fn a_budget_makes_layers_wider_until_the_outputs_are_within_it() {
    let folder = folder("quantize-budget");
    let [model, x] = write(&folder, "LSTM", 1, 17, false);
    let input = format!("X={x}");
    let with = |budget: &str| quantize(&model, "int8", &["--input", &input, "--budget", budget]);
    let types = ["1", "0.004", "0"].map(|budget| {
        let (out, report) = with(budget);
        let largest = report["outputs"].as_array().unwrap().iter().map(|o| o["relative"].as_f64().unwrap());
        assert!(largest.fold(0.0, f64::max) <= budget.parse().unwrap());
        if budget == "0" {
            assert_eq!(fs::read(&out).unwrap(), fs::read(&model).unwrap());
        }
        let layer = &report["layers"][0];
        let reason = format!("int8 exceeds the budget of {budget}");
        assert_eq!(layer["reason"], if budget == "1" { Value::Null } else { reason.into() });
        layer["weights"].as_str().unwrap().to_owned()
    });
    assert_eq!(types, ["int8", "bf16", "f32"]);
}

#[test]
fn a_layer_of_16_bits_may_become_int8_and_a_budget_gives_its_own_type_back() {
    let folder = folder("quantize-from-16-bits");
    for (op, from, other) in [("LSTM", "f16", "bf16"), ("GRU", "bf16", "f16")] {
        let [model, x] = write(&folder, op, 1, 17, false);
        let (out, _) = quantize(&model, from, &[]);
        let file = folder.join("narrow.onnx").display().to_string();
        fs::rename(&out, &file).unwrap();
        let reason = format!("its weights are {from} in the file, and {other} has no fewer bytes");
        rnnpack(&["quantize", &file, "--weights", other, "-o", &out]).refused(&reason);
        let input = format!("X={x}");
        for (budget, expected) in [("1", "int8"), ("0", from)] {
            let (out, report) = quantize(&file, "int8", &["--input", &input, "--budget", budget]);
            let layer = &report["layers"][0];
            assert_eq!(layer["weights"], expected, "{report}");
            let [before, after] = [&layer["bytes_before"], &layer["bytes_after"]].map(Value::as_u64);
            assert_eq!(after < before, budget == "1", "{report}");
            assert_eq!(fs::read(&out).unwrap() == fs::read(&file).unwrap(), budget == "0");
            assert_eq!(layer["rounded_weights"].is_null(), budget == "0", "{report}");
        }
    }
}

#[test]
fn every_layer_of_a_model_is_listed_and_none_is_left_out_silently() {
    let folder = folder("quantize-mixed");
    let model = folder.join("mixed.onnx").display().to_string();
    let stored = [
        tensor("W", &[1, 8, 2], &Numbers(1).floats(16)),
        tensor("R", &[1, 8, 2], &Numbers(2).floats(16)),
        tensor("V", &[1, 2, 2], &Numbers(3).floats(4)),
        tensor("S", &[1, 2, 2], &Numbers(4).floats(4)),
    ];
    let shape = |name: &str, dims: [usize; 3]| value(name, FLOAT, &dims.map(Dim::N));
    let graph = Graph {
        nodes: vec![
            node("LSTM", "first", &["X", "W", "R"], &["", "H"], &[]),
            node("RNN", "second", &["H", "V", "S"], &["", "Z"], &[]),
        ],
        stored: stored.to_vec(),
        inputs: vec![shape("X", [4, 1, 2])],
        outputs: vec![untyped("Z")],
    };
    fs::write(&model, graph.model(11)).unwrap();
    let (out, report) = quantize(&model, "int8", &[]);
    let layers = report["layers"].as_array().unwrap();
    let of = |i: usize| (layers[i]["node"].as_str().unwrap(), layers[i]["weights"].as_str().unwrap());
    assert_eq!([of(0), of(1)], [("first", "int8"), ("second", "f32")]);
    let reason = layers[1]["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        "node `second` (RNN): its weights can be int8 from operator set 13 on; the model has 11"
    );
    let text = rnnpack(&["quantize", &model, "--weights", "int8", "-o", &out]).stdout;
    assert!(text.contains("second has f32: node `second` (RNN)"), "{text}");
}

#[test]
fn a_model_that_does_not_run_is_written_without_errors_of_its_outputs_but_has_no_budget() {
    let folder = folder("quantize-unknown");
    let [model, x] = write(&folder, "RNN", 1, 17, false);
    let unknown = node("Unknown", "unknown", &["Y"], &["Z"], &[]).text(7, "elsewhere");
    let [input, hidden] = SIZES;
    let graph = Graph {
        nodes: vec![node("RNN", "layer", &["X", "W", "R"], &["Y"], &[]), unknown],
        stored: vec![
            tensor("W", &[1, hidden, input], &Numbers(1).floats(hidden * input)),
            tensor("R", &[1, hidden, hidden], &Numbers(2).floats(hidden * hidden)),
        ],
        inputs: vec![value("X", FLOAT, &[Dim::N(2), Dim::N(1), Dim::N(input)])],
        outputs: vec![untyped("Z")],
    };
    fs::write(&model, graph.model(17)).unwrap();
    let (_, report) = quantize(&model, "bf16", &[]);
    assert!(report["not_compared"].as_str().unwrap().contains("Unknown"), "{report}");
    let layer = &report["layers"][0];
    assert!(report["outputs"].is_null() && layer["relative_alone"].is_null());
    assert!(layer["steps"]["largest"].as_f64().unwrap() > 0.0, "the layer alone still runs");
    let out = folder.join("none.onnx").display().to_string();
    let args = ["quantize", &model, "--weights", "bf16", "-o", &out];
    rnnpack(&[&args[..], &["--budget", "1"]].concat()).refused("--budget needs a model that runs");
    let input = format!("X={x}");
    rnnpack(&[&args[..], &["--input", &input]].concat()).refused("Unknown");
    assert!(!Path::new(&out).exists());
}

#[test]
fn quantize_refuses_what_it_cannot_do_and_writes_nothing() {
    let folder = folder("quantize-refusals");
    let [model, x] = write(&folder, "GRU", 1, 12, false);
    let out = folder.join("refused.onnx").display().to_string();
    let quantize = |model: &str, rest: &[&str]| {
        let run = rnnpack(&[&["quantize", model, "-o", &out], rest].concat());
        assert!(!Path::new(&out).exists());
        run
    };
    let int8 = ["--weights", "int8"];
    quantize(&model, &int8).refused("node `layer` (GRU): its weights can be int8 from operator set 13 on");
    quantize(&folder.join("none.onnx").display().to_string(), &int8).refused("cannot read");
    let bytes = fs::read(&model).unwrap();
    let half = folder.join("half.onnx").display().to_string();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    quantize(&half, &int8).refused("not an ONNX model");
    let plain = Graph {
        nodes: vec![node("Relu", "relu", &["X"], &["Y"], &[])],
        inputs: vec![value("X", FLOAT, &[Dim::N(2)])],
        outputs: vec![untyped("Y")],
        ..Graph::default()
    };
    fs::write(&half, plain.model(17)).unwrap();
    quantize(&half, &int8).refused("there is no recurrent node");
    let wrong = format!("Z={x}");
    quantize(&model, &["--weights", "f16", "--input", &wrong]).refused("the model has no input \"Z\"");
    // Weights of a type that the operator has not are no narrow weights.
    let integers = raw("W", &[1, 7, 5], INT8, vec![1; 35]);
    let rnn = |count: usize| (0..count).map(|i| node("RNN", "", &["X", "W", "R"], &[&format!("Y{i}")], &[]));
    let of = |nodes: Vec<Msg>, w: Msg| Graph {
        nodes,
        stored: vec![w, tensor("R", &[1, 7, 7], &[0.1; 49])],
        inputs: vec![value("X", FLOAT, &[Dim::N(2), Dim::N(1), Dim::N(5)])],
        outputs: vec![untyped("Y0")],
    };
    fs::write(&half, of(rnn(1).collect(), integers).model(17)).unwrap();
    quantize(&half, &int8).refused("input `W`: it is i8, where RNN of operator set 17 has");
    fs::write(&half, of(rnn(257).collect(), tensor("W", &[1, 7, 5], &[0.1; 35])).model(17)).unwrap();
    quantize(&half, &int8).refused("it has 257 recurrent nodes; each is measured alone, so at most 256");
    for (option, value) in [("--weights", "f32"), ("--weights", "int4")] {
        assert_eq!(quantize(&model, &[option, value]).code, Some(2));
    }
    for budget in ["-1", "nan", "x"] {
        let budget = format!("--budget={budget}");
        assert_eq!(quantize(&model, &["--weights", "f16", &budget]).code, Some(2));
    }
}

#[test]
fn a_real_model_keeps_its_answers_in_16_bits_and_in_int8() {
    let folder = folder("quantize-real");
    let out = folder.join("silero.onnx").display().to_string();
    let model = fixture("silero_vad/silero_vad_16k_op15.onnx");
    let recorded = fixture("silero_vad/silero_vad.16k.npz");
    for (weights, bound) in [("bf16", "1e-2"), ("f16", "1e-3"), ("int8", "1e-2")] {
        let stream = ["--recorded", &recorded, "--budget", bound];
        let report = rnnpack(
            &[&["quantize", &model, "--weights", weights, "-o", &out, "--json"], &stream[..]].concat(),
        );
        let report = report.json(0);
        assert!(report["layers"].as_array().unwrap().iter().all(|layer| layer["weights"] == weights));
        assert_eq!(report["outputs"].as_array().unwrap().len(), 2);
        let before = report["bytes_before"].as_u64().unwrap();
        assert!(report["bytes_after"].as_u64().unwrap() < before);
        let verified = rnnpack(&["verify", &out, "--recorded", &recorded, "--bound", bound, "--json"]);
        let compared = support::compared(&verified.json(verified.code.unwrap()), "recorded").clone();
        let outputs = compared["outputs"].as_array().unwrap();
        assert!(!outputs.is_empty() && outputs.iter().all(|o| o["passes"] == true), "{weights}: {compared}");
    }
}

#[test]
fn size_has_a_row_for_each_hidden_size_with_times_bytes_and_streams() {
    let args = ["size", "--input", "8", "--hidden", "16,33", "--batch", "2", "--seconds", "0.01"];
    let json = rnnpack(&[&args[..], &["--every", "10", "--json"]].concat()).json(0);
    assert_eq!((&json["op"], &json["batch"], &json["every_ms"]), (&"LSTM".into(), &2.into(), &10.0.into()));
    let sizes = json["sizes"].as_array().unwrap();
    assert_eq!(sizes.iter().map(|s| s["hidden"].as_u64().unwrap()).collect::<Vec<_>>(), [16, 33]);
    for size in sizes {
        let weights = size["weights"].as_array().unwrap();
        let names: Vec<&str> = weights.iter().map(|w| w["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["f32", "bf16", "int8"]);
        let packed: Vec<u64> = weights.iter().map(|w| w["packed_bytes"].as_u64().unwrap()).collect();
        assert!(packed[0] > packed[1] && packed[1] > packed[2], "{packed:?}");
        for weights in weights {
            let us = weights["min_us"].as_f64().unwrap();
            assert_eq!(weights["streams"].as_u64().unwrap(), 2 * (10_000.0 / us) as u64);
        }
    }
    let text = rnnpack(&args).stdout;
    assert!(text.starts_with("LSTM, T = 1, B = 2, I = 8, one thread, "), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("KiB")).count(), 2, "{text}");
    assert!(!text.contains("streams"));
    let gru = rnnpack(&[&args[..], &["--op", "gru", "--isa", "portable", "--json"]].concat()).json(0);
    assert_eq!((&gru["op"], &gru["isa"]), (&"GRU".into(), &"portable".into()));
    assert!(gru["sizes"][0]["weights"][0]["streams"].is_null());
}

#[test]
fn size_refuses_wrong_numbers() {
    for args in [&["size"][..], &["size", "--input", "0"], &["size", "--input", "8", "--every", "0"]] {
        assert_eq!(rnnpack(args).code, Some(2), "{args:?}");
    }
    let wrong = ["size", "--input", "8", "--linear-before-reset"];
    rnnpack(&wrong).refused("--linear-before-reset is for a GRU");
}
