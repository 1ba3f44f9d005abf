//! Tests what the command `rnnpack` prints, its files and its exit codes.

mod support;

use ndarray_npy::{NpzReader, NpzWriter, read_npy, write_npy};
use rnnpack::compare::within;
use rnnpack_dev::onnx::{
    BFLOAT16, DOUBLE, Dim, FLOAT, FLOAT16, Graph, Numbers, attr_f, attr_i, attr_s, attr_strings, node,
    untyped, value,
};
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use support::{OneNode, compared, fixture, folder, rnnpack, rnnpack_isa};

type Array = ndarray::ArrayD<f32>;

fn recorded(archive: &str, key: &str) -> Array {
    NpzReader::new(File::open(fixture(archive)).unwrap()).unwrap().by_name(key).unwrap()
}

const DTLN: &str = "dtln/model_1.onnx";
const DTLN_STREAM: &str = "dtln/model_1.stream.npz";
const SILERO: &str = "silero_vad/silero_vad.onnx";

/// Writes the inputs of the first recorded step of DTLN. Returns the `--input` arguments for them.
fn dtln_inputs(folder: &Path) -> Vec<String> {
    let write = |name: &str| {
        let path = folder.join(format!("{name}.npy"));
        write_npy(&path, &recorded(DTLN_STREAM, &format!("in/0/{name}"))).unwrap();
        format!("--input={name}={}", path.display())
    };
    vec![write("input_2"), write("input_3")]
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let help = rnnpack(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("Exit codes:"));
    for command in ["inspect", "run", "verify", "pack", "quantize", "bench", "size"] {
        let help = rnnpack(&[command, "--help"]);
        assert!(help.stdout.contains("Examples:\n  rnnpack"), "{}", help.stdout);
    }
}

#[test]
fn inspect_lists_nodes_of_all_graphs() {
    let json = rnnpack(&["inspect", &fixture(SILERO), "--json"]).json(0);
    let nodes = json["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 4);
    for node in nodes {
        assert_eq!((&node["op"], &node["direction"]), (&"LSTM".into(), &"forward".into()));
        assert_eq!((&node["hidden"], &node["weight_bytes"]), (&128.into(), &528_384.into()));
        assert!(node["graph"].as_str().unwrap().contains("_branch"));
        assert!(node["refusal"].is_null() && node["packed_bytes"].as_u64() >= Some(526_336));
        assert_eq!(node["state_bytes"], 2 * 128 * 4);
        // Two buffers for h, one for c, and the gates.
        assert!(node["scratch_bytes"].as_u64() >= Some((3 + 4) * 128 * 4));
    }
    let text = rnnpack(&["inspect", &fixture(SILERO)]);
    assert!(
        text.stdout.contains("4 recurrent nodes (LSTM, GRU, RNN, DynamicQuantizeLSTM), 4 packed at load\n")
    );
}

#[test]
fn pack_writes_the_bytes_of_a_node_for_an_instruction_set() {
    let folder = folder("pack");
    let model = OneNode::new("GRU", FLOAT16, &[attr_s("direction", "bidirectional")]);
    let path = OneNode { directions: 2, ..model }.write(&folder, "gru");
    let nodes = rnnpack_dev::onnx::recurrent_nodes(&fs::read(&path).unwrap()).unwrap();
    let file = folder.join("layer.rnnpack").display().to_string();
    for &isa in rnnpack::Variant::COMPILED {
        let target = rnnpack::Target::by_name(isa).unwrap();
        let said = rnnpack(&["pack", &path, "--node", "layer", "--isa", isa, "--output", &file, "--json"]);
        let bytes = fs::read(&file).unwrap();
        assert_eq!(bytes, nodes[0].weights().unwrap().to_bytes(target).unwrap());
        let expected = serde_json::json!({
            "node": "layer", "isa": isa, "lanes": target.lanes(), "bytes": bytes.len(),
            "weights": "f16", "subnormals": "keep", "subnormal_weights": 0, "flushed_weights": 0
        });
        assert_eq!(said.json(0), expected);
    }
    let text = rnnpack(&["pack", &path, "--isa", "portable", "--output", &file]).stdout;
    assert!(text.starts_with(&file) && text.ends_with(" for portable (4 lanes), weights in f16\n"), "{text}");
}

#[test]
fn pack_refuses_what_it_cannot_name() {
    let folder = folder("pack-refusals");
    let file = folder.join("layer.rnnpack").display().to_string();
    let pack = |model: &str, rest: &[&str]| {
        let run = rnnpack(&[&["pack", model, "--output", &file], rest].concat());
        assert!(!Path::new(&file).exists());
        run
    };
    let silero = fixture(SILERO);
    pack(&silero, &["--isa", "portable"]).refused("there are 4 recurrent nodes; name one with --node");
    pack(&silero, &["--isa", "portable", "--node", "x"]).refused("no recurrent node is called \"x\"");
    pack(&silero, &["--isa", "sse9"]).refused("instruction set \"sse9\" is unknown");
    let doubles = OneNode::new("RNN", DOUBLE, &[]).write(&folder, "doubles");
    pack(&doubles, &["--isa", "portable"]).refused("node `layer`: input `W`: it is f64, not f32");
}

#[test]
fn inspect_describes_every_operator_and_element_type() {
    let folder = folder("operators");
    let inspect = |model: &OneNode, name: &str| {
        let path = model.write(&folder, name);
        let text = rnnpack(&["inspect", &path]);
        (rnnpack(&["inspect", &path, "--json"]).json(0)["nodes"][0].clone(), text.stdout)
    };
    let options = [attr_f("clip", 0.5), attr_i("linear_before_reset", 1)];
    let (gru, text) = inspect(&OneNode::new("GRU", FLOAT, &options), "gru");
    assert_eq!((&gru["op"], &gru["dtype"], &gru["refusal"]), (&"GRU".into(), &"f32".into(), &Value::Null));
    let cell = serde_json::json!([{
        "activations": ["Sigmoid", "Tanh"], "clip": 0.5, "linear_before_reset": true
    }]);
    assert_eq!(gru["cells"], cell);
    // W, R and B as in the file, without the padding rows.
    assert!(gru["weight_bytes"] == 4 * 9 * (2 + 3 + 2) && gru["packed_bytes"].as_u64() > Some(4 * 9 * 5));
    assert!(
        gru["isa"].is_string() && text.contains("computes: Sigmoid, Tanh; clip 0.5; linear_before_reset")
    );

    let both = [attr_s("direction", "bidirectional"), attr_strings("activations", &["Relu", "Tanh"])];
    let (rnn, text) = inspect(&OneNode { directions: 2, ..OneNode::new("RNN", DOUBLE, &both) }, "rnn");
    assert_eq!(
        (&rnn["dtype"], &rnn["isa"], &rnn["plan"]),
        (&"f64".into(), &Value::Null, &"matrixmultiply".into())
    );
    assert_eq!(rnn["packed_bytes"], 2 * 8 * 3 * (2 + 3 + 1));
    assert_eq!((&rnn["state_bytes"], &rnn["scratch_bytes"]), (&(2 * 8 * 3).into(), &Value::Null));
    assert!(text.contains("computes: Relu | Tanh\n"), "{text}");

    let coupled = OneNode::new("LSTM", FLOAT16, &[attr_i("input_forget", 1)]);
    let (lstm, text) = inspect(&OneNode { peepholes: true, ..coupled }, "lstm");
    assert_eq!((&lstm["dtype"], &lstm["weight_bytes"]), (&"f16".into(), &(2 * (12 * 7 + 9)).into()));
    assert!(lstm["isa"].is_string() && lstm["inputs"][4] == "P");
    assert!(text.contains("computes: Sigmoid, Tanh, Tanh; input_forget\n"), "{text}");
}

#[test]
fn inspect_says_why_a_node_is_refused() {
    let model = OneNode::new("GRU", FLOAT, &[attr_f("clip", -1.0)]).write(&folder("refusal"), "gru");
    let node = &rnnpack(&["inspect", &model, "--json"]).json(0)["nodes"][0];
    assert!(node["refusal"].as_str().unwrap().contains("attribute `clip`: -1"), "{node}");
    assert!(node["plan"].is_null() && node["packed_bytes"].is_null());
    let text = rnnpack(&["inspect", &model]);
    assert!(text.stdout.contains("refused: node"), "{}", text.stdout);
}

#[test]
fn inspect_refuses_files_that_are_no_models() {
    let folder = folder("inspect");
    rnnpack(&["inspect", "no-such-file.onnx"]).refused("cannot read no-such-file.onnx");
    let truncated = folder.join("truncated.onnx");
    let bytes = fs::read(fixture(DTLN)).unwrap();
    fs::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    for command in ["inspect", "verify", "bench"] {
        rnnpack(&[command, truncated.to_str().unwrap()]).refused("not an ONNX model");
    }
}

#[test]
fn an_instruction_set_that_is_not_there_is_an_error_with_the_list() {
    rnnpack_isa(&["inspect", &fixture(DTLN)], Some("sse9")).refused("use one of:");
    rnnpack(&["bench", "--shape", "1,1,4,4", "--isa", "sse9"]).refused("\"sse9\" is not available here");
    rnnpack(&["bench", &fixture(DTLN), "--isa", "portable"]).refused("set RNNPACK_ISA");
}

#[test]
fn run_writes_what_was_recorded() {
    let folder = folder("run");
    let (model, out) = (fixture(DTLN), folder.join("out").display().to_string());
    let inputs = dtln_inputs(&folder);
    let run = rnnpack(&["run", &model, &inputs[0], &inputs[1], "--output", &out, "--json"]);
    let json = run.json(0);
    let outputs = json["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 2);
    for output in outputs {
        let expected = recorded(DTLN_STREAM, &format!("out/0/{}", output["name"].as_str().unwrap()));
        let got: Array = read_npy(output["file"].as_str().unwrap()).unwrap();
        assert_eq!(got.shape(), expected.shape());
        within(got.as_slice().unwrap(), expected.as_slice().unwrap(), |_| 1e-5)
            .unwrap_or_else(|e| panic!("{output}: {e}"));
    }
}

#[test]
fn run_reads_archives_and_threads_change_no_bit() {
    let folder = folder("npz");
    let model = fixture(DTLN);
    let archive = folder.join("in.npz");
    let mut npz = NpzWriter::new_compressed(File::create(&archive).unwrap());
    for name in ["input_2", "input_3"] {
        npz.add_array(name, &recorded(DTLN_STREAM, &format!("in/0/{name}"))).unwrap();
    }
    npz.finish().unwrap();
    let results = ["1", "2"].map(|threads| {
        let out = folder.join(threads).display().to_string();
        let run = rnnpack(&[
            "run",
            &model,
            "--input",
            archive.to_str().unwrap(),
            "--output",
            &out,
            "--threads",
            threads,
        ]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        fs::read(Path::new(&out).join("activation_2.npy")).unwrap()
    });
    assert_eq!(results[0], results[1]);
}

#[test]
fn run_binds_what_steers_control_flow() {
    let folder = folder("silero");
    let archive = "silero_vad/silero_vad.16k.npz";
    let inputs = ["input", "state"].map(|name| {
        let path = folder.join(format!("{name}.npy"));
        write_npy(&path, &recorded(archive, &format!("in/0/{name}"))).unwrap();
        format!("--input={name}={}", path.display())
    });
    let rate = folder.join("sr.npy");
    write_npy(&rate, &ndarray::arr0(16_000i64)).unwrap();
    let rate = rate.display();
    for (i, sr) in [format!("--input=sr={rate}"), format!("--bind=sr={rate}"), "--bind=sr=16000".into()]
        .iter()
        .enumerate()
    {
        let out = folder.join(i.to_string()).display().to_string();
        let run = rnnpack(&["run", &fixture(SILERO), &inputs[0], &inputs[1], sr, "--output", &out]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let got: Array = read_npy(Path::new(&out).join("output.npy")).unwrap();
        let expected = recorded(archive, "out/0/output");
        assert_eq!(got.shape(), expected.shape());
        within(got.as_slice().unwrap(), expected.as_slice().unwrap(), |_| 1e-5).unwrap();
    }
}

/// The output of `run` for an input of the model.
fn answer(folder: &Path, model: &str, x: &Array) -> ndarray::ArrayD<f64> {
    let file = |name: &str| folder.join(name);
    write_npy(file("x.npy"), x).unwrap();
    write_npy(file("x64.npy"), &x.mapv(f64::from)).unwrap();
    let x = if model.contains("DOUBLE") { "x64.npy" } else { "x.npy" };
    let (input, out) = (format!("--input=X={}", file(x).display()), file("out").display().to_string());
    let run = rnnpack(&["run", model, &input, "--output", &out]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let y = file("out").join("Y.npy");
    read_npy(&y).unwrap_or_else(|_| read_npy::<_, Array>(&y).unwrap().mapv(f64::from))
}

#[test]
fn run_computes_every_operator_in_every_element_type() {
    let folder = folder("types");
    let mut numbers = Numbers(3);
    let x = Array::from_shape_fn(vec![5, 2, 2], |_| numbers.below(129) as f32 / 64.0 - 1.0);
    for op in ["LSTM", "GRU", "RNN"] {
        let of = |dtype: i64, name: &str| {
            let path = OneNode::new(op, dtype, &[]).write(&folder, &format!("{op}-{name}"));
            answer(&folder, &path, &x)
        };
        let exact = of(DOUBLE, "DOUBLE");
        assert_eq!(exact.shape(), [5, 1, 2, 3]);
        // For values below 1: the error of f32 sums of a few terms, plus half a step of the output's type.
        let types = [
            (FLOAT, "FLOAT", 0.0),
            (FLOAT16, "FLOAT16", 2f64.powi(-12)),
            (BFLOAT16, "BFLOAT16", 2f64.powi(-9)),
        ];
        for (dtype, name, half_a_step) in types {
            let y = of(dtype, name);
            assert_eq!(y.shape(), exact.shape());
            within(y.as_slice().unwrap(), exact.as_slice().unwrap(), |_| half_a_step + 2e-6)
                .unwrap_or_else(|e| panic!("{op} {name}: {e}"));
            assert!(y != exact, "{op} {name} is of another type than {op} DOUBLE");
        }
    }
}

#[test]
fn run_takes_f32_for_half_precision_where_no_value_changes() {
    let folder = folder("half");
    let model = OneNode::new("GRU", FLOAT16, &[]).write(&folder, "gru");
    let x = folder.join("x.npy");
    write_npy(&x, &Array::from_elem(vec![1, 2, 2], 0.1)).unwrap();
    let (input, out) = (format!("--input=X={}", x.display()), folder.join("out").display().to_string());
    rnnpack(&["run", &model, &input, "--output", &out]).refused("the file has values that f16 cannot hold");
}

#[test]
fn run_refuses_inputs_that_do_not_fit_and_writes_nothing() {
    let folder = folder("refused");
    let (model, out) = (fixture(DTLN), folder.join("out").display().to_string());
    let inputs = dtln_inputs(&folder);
    let run = |last: &str| rnnpack(&["run", &model, &inputs[1], last, "--output", &out]);
    let file = |name: &str| folder.join(name).display().to_string();

    write_npy(file("short.npy"), &Array::zeros(vec![1, 1, 256])).unwrap();
    run(&format!("--input=input_2={}", file("short.npy"))).refused("`input_2`: dimension 2");
    write_npy(file("f64.npy"), &recorded(DTLN_STREAM, "in/0/input_2").mapv(f64::from)).unwrap();
    run(&format!("--input=input_2={}", file("f64.npy"))).refused("it is f64, not f32");
    write_npy(file("u16.npy"), &ndarray::Array3::<u16>::zeros((1, 1, 257))).unwrap();
    run(&format!("--input=input_2={}", file("u16.npy"))).refused("it is u16, not f32");
    let mut text = fs::read(file("u16.npy")).unwrap();
    let descr = text.windows(3).position(|part| part == b"<u2").unwrap();
    text[descr..descr + 3].copy_from_slice(b"|S2");
    fs::write(file("text.npy"), text).unwrap();
    run(&format!("--input=input_2={}", file("text.npy"))).refused("convert it with .astype");
    run(&format!("--input=input_2={}", fixture(DTLN))).refused("it is not a .npy array");
    run("--input=input_2=no-such-file.npy").refused("cannot read no-such-file.npy");
    run(&inputs[0].replace("input_2=", "input_9=")).refused("no input \"input_9\"; it has: input_2, input_3");
    run(&inputs[1]).refused("input \"input_3\" is given twice");
    run("--threads=1").refused("no value for: input_2; give each with --input");
    run("--input=nonsense").refused("write it like x=x.npy or inputs.npz");
    run("--bind=input_2=loud").refused("the input is f32");
    run(&format!("--input={}", fixture(DTLN_STREAM))).refused("verify MODEL --recorded");
    assert!(!Path::new(&out).exists());
}

#[test]
fn arrays_that_claim_more_than_they_hold_are_refused() {
    let folder = folder("hostile");
    let (model, inputs) = (fixture(DTLN), dtln_inputs(&folder));
    let honest = fs::read(folder.join("input_2.npy")).unwrap();
    let claim = |from: &str, to: &str| {
        let at = honest.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = honest.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let mut long_header = honest.clone();
    long_header[6] = 2;
    long_header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let hostile = [
        claim("(1, 1, 257)", "(9,9,99999)"),
        claim("(1, 1, 257)", "((((((((((("),
        claim("(1, 1, 257)", "(-1, 1,257)"),
        honest[..honest.len() - 1].to_vec(),
        honest[..9].to_vec(),
        long_header,
        Vec::new(),
    ];
    for (i, bytes) in hostile.iter().enumerate() {
        let path = folder.join(format!("{i}.npy"));
        fs::write(&path, bytes).unwrap();
        let input = format!("--input=input_2={}", path.display());
        let out = folder.join("out").display().to_string();
        rnnpack(&["run", &model, &inputs[1], &input, "--output", &out]).refused("cannot read");
    }
    let archive = folder.join("no.npz");
    fs::write(&archive, &honest).unwrap();
    rnnpack(&["verify", &model, "--recorded", archive.to_str().unwrap()]).refused("cannot read");
}

#[test]
fn verify_passes_on_recorded_streams() {
    for (model, stream, carried) in [
        (DTLN, DTLN_STREAM, "input_3"),
        (SILERO, "silero_vad/silero_vad.16k.npz", "state"),
        (SILERO, "silero_vad/silero_vad.8k.npz", "state"),
    ] {
        let run = rnnpack(&["verify", &fixture(model), "--recorded", &fixture(stream), "--json"]);
        let json = run.json(0);
        assert_eq!(json["verdict"], "pass");
        assert_eq!(json["handed_on"][0]["input"], carried);
        assert_eq!(json["steps"], 40);
        for against in ["f64", "tract", "recorded"] {
            let outputs = compared(&json, against)["outputs"].as_array().unwrap();
            assert_eq!(outputs.len(), 2);
            assert!(outputs.iter().all(|o| o["relative"].as_f64().unwrap() < 1e-5), "{json}");
        }
    }
}

#[test]
fn verify_passes_on_recorded_models_of_every_operator() {
    for (model, recorded, nodes, tract) in [
        ("gtcrn/gtcrn_simple.onnx", "gtcrn/gtcrn_simple.stream.npz", 14, true),
        ("arabic_name_romanizer/encoder.onnx", "arabic_name_romanizer/encoder.io.npz", 2, true),
        // tract supports neither sequence_lens nor Relu here.
        ("w_g2p_en/recurrent_stack.onnx", "w_g2p_en/recurrent_stack.io.npz", 1, false),
        ("w_nh3pred/recurrent_stack.onnx", "w_nh3pred/recurrent_stack.io.npz", 1, false),
    ] {
        let run = rnnpack(&["verify", &fixture(model), "--recorded", &fixture(recorded), "--json"]);
        let json = run.json(0);
        assert_eq!((&json["verdict"], &json["recurrent_nodes"]), (&"pass".into(), &nodes.into()), "{model}");
        let compared = ["f64", "tract", "recorded"].map(|with| compared(&json, with)["outputs"].is_array());
        assert_eq!(compared, [true, tract, true], "{model}");
    }
}

#[test]
fn verify_fails_where_a_recorded_output_is_another() {
    let path = folder("doctored").join("doctored.npz");
    let mut npz = NpzWriter::new(File::create(&path).unwrap());
    let outputs = ["out/0/activation_2", "out/0/tf_op_layer_stack_2"];
    for key in ["in/0/input_2", "in/0/input_3"].iter().chain(&outputs) {
        let mut array = recorded(DTLN_STREAM, key);
        if key == &outputs[0] {
            array[[0, 0, 100]] += 0.01;
        }
        npz.add_array(*key, &array).unwrap();
    }
    npz.finish().unwrap();
    let args = ["verify", &fixture(DTLN), "--recorded", path.to_str().unwrap()];
    let json = rnnpack(&[&args[..], &["--json"]].concat()).json(1);
    assert_eq!(json["verdict"], "fail");
    assert_eq!(compared(&json, "recorded")["outputs"][0]["passes"], false);
    let text = rnnpack(&args);
    assert!(text.stdout.contains("EXCEEDED") && text.stdout.contains("FAIL"), "{}", text.stdout);
    assert_eq!(rnnpack(&[&args[..], &["--bound", "0.1"]].concat()).code, Some(0));
}

#[test]
fn verify_generates_inputs_from_a_seed() {
    let model = fixture(SILERO);
    let args =
        ["verify", &model, "--bind", "sr=16000", "--dim", "input=3x576", "--dim", "state=2x3x128", "--json"];
    let first = rnnpack(&args).json(0);
    assert_eq!(first["verdict"], "pass");
    assert_eq!(first["generated"][0], "input f32 [3, 576], uniform in ±1");
    assert_eq!(first, rnnpack(&args).json(0));
    let other = rnnpack(&[&args[..], &["--seed", "2"]].concat()).json(0);
    assert_ne!(compared(&first, "f64"), compared(&other, "f64"));
    rnnpack(&["verify", &model, "--dim", "input=3x4"]).refused("give --input, --bind or --dim");
    rnnpack(&["verify", &model, "--dim", "nothing=3"]).refused("--dim nothing=3");
    rnnpack(&["verify", &model, "--bound=-1"]).refused("give a number of at least 0");
}

#[test]
fn verify_leaves_tract_out_where_it_is_wrong() {
    let model = fixture("onnx_node_tests/test_lstm_reverse/model.onnx");
    let json = rnnpack(&["verify", &model, "--json"]).json(0);
    assert!(compared(&json, "tract")["not_compared"].as_str().unwrap().contains("reverse"), "{json}");
    assert!(compared(&json, "tract")["outputs"].is_null());
    assert_eq!(compared(&json, "f64")["outputs"][0]["passes"], true);
}

#[test]
fn verify_compares_every_operator_with_f64_and_where_it_is_right_with_tract() {
    for (model, tract) in [
        ("gru_defaults", true),
        ("gru_bidirectional", true),
        ("gru_reverse", false),
        ("simple_rnn_defaults", true),
        ("simple_rnn_batchwise", true),
        ("simple_rnn_reverse", false),
        ("lstm_with_peepholes", false),
    ] {
        let path = fixture(&format!("onnx_node_tests/test_{model}/model.onnx"));
        let json = rnnpack(&["verify", &path, "--json"]).json(0);
        assert_eq!((&json["verdict"], &json["recurrent_nodes"]), (&"pass".into(), &1.into()), "{model}");
        let compared = ["f64", "tract"].map(|against| compared(&json, against)["outputs"].is_array());
        assert_eq!(compared, [true, tract], "{model}");
    }
}

#[test]
fn verify_compares_every_option_and_element_type_with_f64() {
    let folder = folder("options");
    let relu = [attr_strings("activations", &["Relu"]), attr_f("clip", 0.75)];
    let hard = [attr_strings("activations", &["HardSigmoid", "Softsign"]), attr_i("linear_before_reset", 1)];
    let coupled = [attr_i("input_forget", 1), attr_i("layout", 1)];
    for dtype in [FLOAT, DOUBLE, FLOAT16, BFLOAT16] {
        for (op, attributes) in [("RNN", &relu), ("GRU", &hard), ("LSTM", &coupled)] {
            let model = OneNode { peepholes: op == "LSTM", ..OneNode::new(op, dtype, attributes) };
            let path = model.write(&folder, &format!("{op}-{dtype}"));
            let json = rnnpack(&["verify", &path, "--dim", "T=6", "--json"]).json(0);
            assert_eq!(compared(&json, "f64")["outputs"][0]["passes"], true, "{op} {dtype}: {json}");
            assert!(compared(&json, "tract")["not_compared"].is_string(), "{op} {dtype}: {json}");
        }
    }
}

#[test]
fn verify_does_not_pass_where_nothing_is_compared() {
    let folder = folder("nothing");
    let graph = Graph {
        nodes: vec![node("Relu", "relu", &["X"], &["Y"], &[])],
        inputs: vec![value("X", FLOAT, &[Dim::N(2)])],
        outputs: vec![untyped("Y")],
        ..Graph::default()
    };
    let model = folder.join("relu.onnx").display().to_string();
    fs::write(&model, graph.model(22)).unwrap();
    let json = rnnpack(&["verify", &model, "--json"]).json(1);
    assert_eq!(json["verdict"], "nothing_compared");
    let text = rnnpack(&["verify", &model]);
    assert!(text.stdout.contains("NOTHING COMPARED") && !text.stdout.contains("PASS"), "{}", text.stdout);
    let refused = OneNode::new("RNN", FLOAT, &[attr_s("direction", "sideways")]).write(&folder, "rnn");
    rnnpack(&["verify", &refused]).refused("`sideways` is no direction");
}

#[test]
fn bench_times_a_layer_beside_the_others() {
    let args = ["bench", "--shape", "3,1,5,20", "--seconds", "0.05", "--json"];
    let json = rnnpack(&args).json(0);
    let names: Vec<&str> =
        json["sides"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rnnpack", "tract", "matrixmultiply, unfused"]);
    assert_eq!(json["flops"], 3.0 * 8.0 * 20.0 * 25.0);
    assert!(json["limits"]["peak_flops"].as_f64().unwrap() > 0.0);
    assert!(json["limits"]["read_bytes_per_s"].as_f64().unwrap() > 0.0);
    assert!(json["batch1_limit"]["reached"].as_f64().unwrap() > 0.0);
    for side in json["sides"].as_array().unwrap() {
        assert!(side["min_us"].as_f64().unwrap() <= side["median_us"].as_f64().unwrap());
        assert!(side["calls"].as_u64().unwrap() >= 3);
    }
    let all: Vec<&str> =
        args[..5].iter().copied().chain(["--direction", "reverse", "--threads", "2"]).collect();
    let text = rnnpack(&all).stdout;
    for part in ["rnnpack, 1 thread agrees: largest difference 0,", "tract is left out", "as fast as one"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let json = rnnpack(&[&args[..], &["--no-tract", "--isa", "portable"]].concat()).json(0);
    assert_eq!((json["isa"].as_str(), json["sides"].as_array().map(Vec::len)), (Some("portable"), Some(2)));
}

#[test]
fn bench_times_every_cell_beside_those_that_compute_it() {
    // The number of gates that a step computes, and whether tract computes the layer.
    for (options, gates, tract) in [
        (vec!["--op", "gru"], 3.0, true),
        (vec!["--op", "gru", "--linear-before-reset", "--direction", "bidirectional"], 3.0, true),
        (vec!["--op", "gru", "--activation", "HardSigmoid,Tanh"], 3.0, false),
        (vec!["--op", "rnn"], 1.0, true),
        (vec!["--op", "rnn", "--activation", "Relu"], 1.0, false),
        (vec!["--op", "rnn", "--direction", "reverse"], 1.0, false),
        (vec!["--op", "lstm", "--peepholes"], 4.0, true),
        (vec!["--input-forget"], 3.0, false),
        (vec!["--clip", "0.5"], 4.0, false),
    ] {
        let args = ["bench", "--shape", "2,3,5,7", "--seconds", "0.01", "--json"];
        let json = rnnpack(&[&args[..], &options].concat()).json(0);
        let directions = if options.contains(&"bidirectional") { 2.0 } else { 1.0 };
        assert_eq!(json["flops"], 2.0 * 3.0 * directions * 2.0 * gates * 7.0 * 12.0, "{options:?}");
        let names = json["sides"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap());
        let expected = ["rnnpack", "tract", "matrixmultiply, unfused"].into_iter();
        assert!(names.eq(expected.filter(|&name| tract || name != "tract")), "{options:?}: {json}");
        assert_eq!(json["agreement"]["tract_left_out"].is_string(), !tract, "{options:?}");
        // Each direction reads its own R. The read bytes are padded to whole vectors.
        let r = 4.0 * gates * 7.0 * 7.0;
        assert!(json["limits"]["read_buffer_bytes"].as_f64().unwrap() >= r, "{options:?}");
    }
    let text =
        rnnpack(&["bench", "--shape", "1,1,4,4", "--seconds", "0.01", "--op", "gru", "--clip", "2"]).stdout;
    assert!(
        text.starts_with("GRU T=1 B=1 I=4 H=4 forward,") && text.contains("\nSigmoid, Tanh; clip 2\n"),
        "{text}"
    );
}

#[test]
fn bench_times_a_model_on_both() {
    let model = OneNode::new("GRU", FLOAT, &[]).write(&folder("bench"), "gru");
    let json = rnnpack(&["bench", &model, "--seconds", "0.05", "--json"]).json(0);
    assert_eq!(json["sides"].as_array().unwrap().len(), 2);
    assert_eq!(json["agreement"]["sides"][0]["passes"], true);
    let json = rnnpack(&["bench", &fixture(DTLN), "--seconds", "0.05", "--json"]).json(0);
    assert_eq!((&json["sides"][0]["name"], &json["sides"][1]["name"]), (&"rnnpack".into(), &"tract".into()));
    assert_eq!(json["agreement"]["sides"][0]["passes"], true);
}

#[test]
fn bench_refuses_what_it_cannot_time() {
    for shape in ["0,1,4,4", "1,0,4,4", "1,1,0,4", "1,1,4,0", "1,1,4", "1,1,4,4,4", "a,1,4,4", "-1,1,4,4"] {
        rnnpack(&["bench", &format!("--shape={shape}")]).refused("four whole numbers of at least 1");
    }
    rnnpack(&["bench", "--shape=4294967296,4294967296,4,4"]).refused("the shape is too large");
    rnnpack(&["bench", "--shape=1000000000000,1,400,4"]).refused("no memory");
    rnnpack(&["bench", "--shape=1,1,4,4", "--seconds=0"]).refused("a number of seconds above 0");
    rnnpack(&["bench", "--shape=1,1,4,4", "--threads=0"]).refused("0 is not in 1..=1024");
    rnnpack(&["bench", "--shape=1,1,4,4", "--dim=x=4"]).refused("are for a model");
    let layer = |options: &[&str]| rnnpack(&[&["bench", "--shape=1,1,4,4"], options].concat());
    layer(&["--op", "lstm", "--linear-before-reset"]).refused("--linear-before-reset is for a GRU");
    layer(&["--op", "gru", "--peepholes"]).refused("--peepholes is for an LSTM");
    layer(&["--op", "rnn", "--input-forget"]).refused("--input-forget is for an LSTM");
    layer(&["--op", "gru", "--activation", "Tanh"]).refused("--activation names 1, where the operator has 2");
    layer(&["--op", "rnn", "--activation", "Swish"]).refused("ONNX has no activation of this name");
    layer(&["--clip=0"]).refused("clip is 0, expected a positive number");
    rnnpack(&["bench", &fixture(DTLN), "--op", "gru"]).refused("--op is for a layer of --shape");
    rnnpack(&["bench"]).refused("<MODEL|--shape <T,B,I,H>>");
    rnnpack(&["bench", &fixture(DTLN), "--shape=1,1,4,4"]).refused("cannot be used with");
}
