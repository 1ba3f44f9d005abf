//! Tests the option `--weights`, what the command says about types of weights, and decisions that are compared.

mod support;

use half::bf16;
use ndarray_npy::{NpzWriter, read_npy, write_npy};
use rnnpack::{Target, Variant, WeightType};
use rnnpack_dev::onnx::{
    DOUBLE, Dim, FLOAT, FLOAT16, Graph, Narrow, node, recurrent_nodes, tensor, untyped, value,
};
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use support::{compared, folder, rnnpack, rnnpack_isa};

const TO_BF16: fn(f32) -> f32 = |x| bf16::from_f32(x).to_f32();

fn written(folder: &Path, name: &str, model: Narrow) -> String {
    let path = folder.join(name);
    fs::write(&path, model.model()).unwrap();
    path.display().to_string()
}

/// A model of f32 whose weights are made by `weight`.
fn wide(weight: fn(f32) -> f32) -> Narrow {
    Narrow { weight, ..Narrow::f16(FLOAT, FLOAT) }
}

#[test]
fn inspect_says_the_type_of_the_weights_and_the_bytes_with_each() {
    let folder = folder("weights-inspect");
    for (name, model, expected) in [
        ("f16", Narrow::f16(FLOAT16, FLOAT16), "f16"),
        ("cast", Narrow::f16(FLOAT16, FLOAT), "f16"),
        ("bf16", wide(TO_BF16), "bf16"),
        ("f32", wide(|x| x), "f32"),
    ] {
        let path = written(&folder, name, model);
        let node = rnnpack(&["inspect", &path, "--json"]).json(0)["nodes"][0].clone();
        assert_eq!(node["weights"], expected, "{name}");
        let packed = recurrent_nodes(&model.model()).unwrap().remove(0);
        // B has 4 bytes an element where the node is of f32.
        let halves = if model.stored == FLOAT { 4 } else { 2 };
        assert_eq!(node["weight_bytes"], 4 * 7 * (5 + 7) * halves, "{name}: the bytes of the file");
        assert_eq!(node["packed_bytes"], packed.pack().unwrap().packed_bytes());
        for weights in WeightType::ALL {
            let bytes = packed.clone().with_type(weights).pack().unwrap().packed_bytes();
            assert_eq!(node["packed_bytes_as"][weights.name()], bytes, "{name}");
        }
        let text = rnnpack(&["inspect", &path]).stdout;
        assert!(text.contains("   packed with weights in: bf16 ") && text.contains(", f32 "), "{text}");
    }
    // Layers of one size whose weights do not fit into the same types.
    let two = |large: f32| {
        let weights = |name: &str, size: f32| tensor(name, &[1, 2, 2], &[0.1, 0.2, 0.3, size]);
        Graph {
            nodes: vec![
                node("RNN", "small", &["X", "W", "R"], &["Y"], &[]),
                node("RNN", "large", &["X", "V", "R"], &["Z"], &[]),
            ],
            stored: vec![weights("W", 0.4), weights("V", large), weights("R", 0.4)],
            inputs: vec![value("X", FLOAT, &[Dim::N(1), Dim::N(1), Dim::N(2)])],
            outputs: vec![untyped("Y"), untyped("Z")],
        }
    };
    let path = folder.join("two.onnx").display().to_string();
    fs::write(&path, two(1e6).model(17)).unwrap();
    let nodes = rnnpack(&["inspect", &path, "--json"]).json(0)["nodes"].clone();
    let f16 = [0, 1].map(|i: usize| nodes[i]["packed_bytes_as"]["f16"].is_u64());
    assert_eq!(f16, [true, false], "{nodes}");
    let doubles = written(&folder, "f64", Narrow::f16(DOUBLE, DOUBLE));
    assert!(rnnpack(&["inspect", &doubles, "--json"]).json(0)["nodes"][0]["weights"].is_null());
    let large = written(&folder, "large", wide(|x| x * 1e6));
    let as_types = rnnpack(&["inspect", &large, "--json"]).json(0)["nodes"][0]["packed_bytes_as"].clone();
    assert!(as_types["f16"].is_null() && as_types["bf16"].is_u64(), "{as_types}");
}

#[test]
fn inspect_marks_the_types_and_the_instruction_set_outside_of_the_promise_of_equal_bits() {
    let path = written(&folder("weights-promise"), "f32", wide(|x| x));
    let node = |isa| rnnpack_isa(&["inspect", &path, "--json"], isa).json(0)["nodes"][0].clone();
    // Without fused multiply-adds no type is within it.
    for (isa, is_fused) in
        [(None, Variant::available().next().unwrap().is_fused()), (Some("portable"), false)]
    {
        let node = node(isa);
        assert_eq!(node["equal_bits_everywhere"], is_fused, "{node}");
        let of_types = node["equal_bits_everywhere_as"].as_object().unwrap();
        assert_eq!(of_types.len(), node["packed_bytes_as"].as_object().unwrap().len());
        for (name, equal) in of_types {
            assert_eq!(*equal, is_fused && name != "bf16-dot", "{name}: {node}");
        }
        assert!(of_types.contains_key("bf16-dot"), "{node}");
    }
}

#[test]
fn pack_writes_the_type_that_is_asked_for_or_that_of_the_file() {
    let folder = folder("weights-pack");
    let file = folder.join("layer.rnnpack").display().to_string();
    for (model, kept) in [(Narrow::f16(FLOAT16, FLOAT16), "f16"), (wide(|x| x), "f32")] {
        let path = written(&folder, "model.onnx", model);
        let node = recurrent_nodes(&model.model()).unwrap().remove(0);
        let pack = ["pack", &path, "--isa", "portable", "--output", &file];
        assert_eq!(rnnpack(&[&pack[..], &["--json"]].concat()).json(0)["weights"], kept);
        for weights in WeightType::ALL {
            let args = [&pack[..], &["--weights", weights.name()]].concat();
            let text = rnnpack(&args).stdout;
            assert!(
                text.ends_with(&format!(" for portable (4 lanes), weights in {}\n", weights.name())),
                "{text}"
            );
            let node = node.clone().with_type(weights);
            let packed = node.weights().unwrap().to_bytes(Target::by_name("portable").unwrap()).unwrap();
            assert_eq!(fs::read(&file).unwrap(), packed);
        }
    }
}

#[test]
fn run_rounds_the_weights_to_the_type_that_is_asked_for() {
    let folder = folder("weights-run");
    let x = folder.join("x.npy");
    write_npy(&x, &ndarray::Array3::<f32>::from_shape_fn((9, 1, 5), |(t, _, i)| (t * 5 + i) as f32 / 45.0))
        .unwrap();
    let input = format!("X={}", x.display());
    let y = |path: &str, more: &[&str]| {
        let out = folder.join("out").display().to_string();
        let run = rnnpack(&[&["run", path, "--input", &input, "--output", &out], more].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let y: ndarray::ArrayD<f32> = read_npy(folder.join("out").join("Y.npy")).unwrap();
        y
    };
    let (exact, rounded) =
        (written(&folder, "exact.onnx", wide(|x| x)), written(&folder, "rounded.onnx", wide(TO_BF16)));
    assert_eq!(y(&exact, &["--weights", "bf16"]), y(&rounded, &["--weights", "f32"]));
    assert_eq!(y(&rounded, &[]), y(&rounded, &["--weights", "f32"]));
    assert!(y(&exact, &["--weights", "bf16"]) != y(&exact, &[]));
}

#[test]
fn verify_judges_what_rounding_changes_by_its_bound_or_by_decisions() {
    let folder = folder("weights-verify");
    let path = written(&folder, "model.onnx", wide(|x| x));
    let verify = |more: &[&str]| {
        let args = ["verify", &path, "--dim", "T=50", "--weights", "bf16", "--json"];
        rnnpack(&[&args[..], more].concat())
    };
    let json = verify(&["--bound", "1e-2"]).json(0);
    let f64 = &compared(&json, "f64")["outputs"][0];
    assert!(f64["relative"].as_f64().unwrap() > 1e-4 && f64["decisions"].is_null(), "{json}");
    assert_eq!(verify(&[]).json(1)["verdict"], "fail");
    // Y is [T, D, B, H]: 50 decisions along H, and 7 along T.
    for (axis, of) in [("-1", 50), ("3", 50), ("0", 7)] {
        let run = verify(&["--decisions", axis]);
        let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let output = &compared(&json, "f64")["outputs"][0];
        let (decisions, same) = (&output["decisions"], output["decisions"]["same"] == of);
        assert!(decisions["of"] == of && output["passes"] == same, "{axis}: {output}");
        assert_eq!(run.code, Some(i32::from(!same)), "{axis}");
        assert!(output["largest_difference"].as_f64() > Some(0.0) && output["allowed"].is_null());
    }
    for (axis, reason) in [
        ("4", "it has 4 dimensions, so no axis 4"),
        ("1", "its axis 1 has one element, so nothing is decided"),
    ] {
        let json = verify(&["--decisions", axis]).json(1);
        let mismatch = &compared(&json, "f64")["outputs"][0]["mismatch"];
        assert_eq!(mismatch, &format!("step 0: {reason}"));
    }
    assert_eq!(verify(&["--decisions", "0", "--bound", "1"]).code, Some(2));
}

#[test]
fn decisions_are_counted_over_all_steps_and_one_that_differs_fails() {
    let folder = folder("decisions");
    let path = written(&folder, "model.onnx", wide(|x| x));
    let x = |step: usize| {
        ndarray::Array3::<f32>::from_shape_fn((3, 1, 5), |(t, _, i)| ((step + 2 * t + 3 * i) as f32).sin())
    };
    let (input, out) = (folder.join("x.npy"), folder.join("out"));
    let ys: Vec<ndarray::ArrayD<f32>> = (0..2)
        .map(|step| {
            write_npy(&input, &x(step)).unwrap();
            let given = format!("X={}", input.display());
            rnnpack(&["run", &path, "--input", &given, "--output", &out.display().to_string()]);
            read_npy(out.join("Y.npy")).unwrap()
        })
        .collect();
    for (planted, code, same) in [(false, 0, 6), (true, 1, 5)] {
        let file = folder.join("recorded.npz");
        let mut npz = NpzWriter::new(File::create(&file).unwrap());
        for (step, y) in ys.iter().enumerate() {
            // Other numbers, but the same order; in the last step, one decision is another.
            let mut y = y.mapv(|y| 3.0 * y + 1.0);
            if planted && step == 1 {
                let line = y.index_axis_mut(ndarray::Axis(0), 2);
                let line = line.into_shape_with_order(7).unwrap();
                let lowest = (0..7).min_by(|&a, &b| line[a].total_cmp(&line[b])).unwrap();
                y[[2, 0, 0, lowest]] = 9.0;
            }
            npz.add_array(format!("in/{step}/X"), &x(step)).unwrap();
            npz.add_array(format!("out/{step}/Y"), &y).unwrap();
        }
        npz.finish().unwrap();
        let args = ["verify", &path, "--recorded", file.to_str().unwrap(), "--decisions", "-1"];
        let json = rnnpack(&[&args[..], &["--json"]].concat()).json(code);
        let found = &compared(&json, "recorded")["outputs"][0];
        assert_eq!(found["decisions"], json!({ "same": same, "of": 6 }));
        let text = rnnpack(&args).stdout;
        assert!(text.contains(&format!("{same} of 6")), "{text}");
        assert_eq!(text.contains("DECIDES DIFFERENTLY"), planted, "{text}");
    }
}

#[test]
fn bench_times_each_type_of_weights() {
    for weights in WeightType::ALL {
        let args = ["bench", "--shape", "3,2,4,8", "--seconds", "0.05", "--weights", weights.name()];
        let text = rnnpack(&args).stdout;
        let said = format!("; weights: {}", weights.name());
        assert_eq!(text.contains(&said), weights != WeightType::F32, "{text}");
        let json = rnnpack(&[&args[..], &["--json"]].concat()).json(0);
        let by_integers = weights == WeightType::I8 || weights == WeightType::Bf16Dot;
        assert_eq!(json["dots"].is_string(), by_integers, "{json}");
        if let Some(dots) = json["dots"].as_str() {
            assert!(text.contains(&format!("{said} ({dots})\n")), "{text}");
        }
        assert_eq!(
            (&json["weights"], &json["sides"][0]["name"]),
            (&json!(weights.name()), &json!("rnnpack"))
        );
        assert!(
            json["sides"][0]["min_us"].as_f64() > Some(0.0) && json["sides"].as_array().unwrap().len() == 3
        );
    }
    let dot = ["bench", "--shape", "3,2,4,8", "--seconds", "0.05", "--weights", "bf16", "--dot"];
    assert_eq!(rnnpack(&[&dot[..], &["--json"]].concat()).json(0)["weights"], "bf16-dot");
    let wrong = ["bench", "--shape", "3,2,4,8", "--weights", "f16", "--dot"];
    rnnpack(&wrong).refused("--dot is for --weights bf16");
    let path = written(&folder("weights-bench"), "model.onnx", wide(|x| x));
    // tract computes with the rounded weights, if a file can say them and x and h are not rounded too.
    for (weights, judged) in [("bf16", true), ("f16", true), ("int8", false), ("bf16-dot", false)] {
        let args = ["bench", &path, "--dim", "T=50", "--seconds", "0.05", "--json", "--weights", weights];
        let json = rnnpack(&args).json(0);
        let tract = &json["agreement"]["sides"][0];
        assert_eq!((&tract["side"], &tract["passes"]), (&json!("tract"), &json!(judged)), "{json}");
        let excuse = tract["does_not_count"].as_str().unwrap_or_default();
        assert_eq!(excuse.contains("the answers were only checked to be finite"), !judged, "{json}");
        assert_eq!(json["sides"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn another_type_is_wrong_usage_and_one_that_does_not_fit_names_the_node() {
    let folder = folder("weights-refused");
    for command in ["run", "verify", "bench", "pack"] {
        let run = rnnpack(&[command, "model.onnx", "--output", "out", "--isa", "avx2", "--weights", "f8"]);
        assert_eq!(run.code, Some(2));
        let help = rnnpack(&[command, "--help"]).stdout;
        let names = WeightType::ALL.map(WeightType::name).join(", ");
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&format!("[possible values: {names}]")), "{help}");
    }
    let large = written(&folder, "large.onnx", wide(|x| x * 1e6));
    let file = folder.join("layer.rnnpack").display().to_string();
    let pack: &[&str] = &["pack", &large, "--isa", "portable", "--output", &file];
    for command in [pack, &["verify", &large], &["bench", &large, "--seconds", "0.01"]] {
        rnnpack(&[command, &["--weights", "f16"]].concat()).refused("node `lstm`: W[");
    }
    assert!(!Path::new(&file).exists());
}
