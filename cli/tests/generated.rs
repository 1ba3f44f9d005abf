//! Tests that generated inputs fit the model, and that the command says which input to change where inputs do not.

mod support;

use ndarray_npy::write_npy;
use rnnpack_dev::onnx::{
    BOOL, Dim, FLOAT, Graph, INT32, INT64, attr_g, attr_i, attr_s, node, tensor, tensor_i64, untyped, value,
};
use serde_json::Value;
use support::{Around, fixture, folder, rnnpack, x};

const SILERO: &str = "silero_vad/silero_vad.onnx";

/// The lines about generated inputs.
fn generated(json: &Value) -> Vec<&str> {
    json["generated"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

#[test]
fn generated_lengths_differ_and_reach_the_last_step() {
    let mut model = Around::new(vec![
        x([Dim::Name("T"), Dim::Name("B"), Dim::N(2)]),
        value("lens", INT32, &[Dim::Name("B")]),
    ]);
    model.rest[3] = "lens";
    let path = model.write(&folder("lengths"), "lens");
    let json = rnnpack(&["verify", &path, "--dim", "B=3", "--dim", "T=5", "--json"]).json(0);
    let words = "lens i32 [3], lengths spread from 1 to 5, in random order (GRU `gru` reads them)";
    assert_eq!(generated(&json), ["gru_x f32 [5, 3, 2], uniform in ±1", words]);
    // B is larger than T, but the lengths go up to T only.
    let json = rnnpack(&["verify", &path, "--dim", "B=6", "--dim", "T=5", "--json"]).json(0);
    assert!(generated(&json)[1].contains("from 1 to 5,"), "{json}");
}

#[test]
fn generated_indices_stay_within_the_table() {
    let mut model = Around::new(vec![value("tok", INT64, &[Dim::Name("T"), Dim::N(1)])]);
    model.stored = vec![tensor("table", &[50, 2], &[0.25; 100])];
    model.before = vec![node("Gather", "emb", &["table", "tok"], &["gru_x"], &[])];
    let path = model.write(&folder("indices"), "tok");
    let json = rnnpack(&["verify", &path, "--json"]).json(0);
    let words = "tok i64 [4, 1], uniform from 0 to 49 (Gather `emb` reads that many rows)";
    assert_eq!(generated(&json), [words]);
}

#[test]
fn generated_sizes_satisfy_pads_and_reshapes() {
    let folder = folder("sizes");
    let mut model = Around::new(vec![value("X", FLOAT, &[Dim::Name("n"), Dim::N(1), Dim::N(2)])]);
    model.stored = vec![tensor_i64("pads", &[6], &[9, 0, 0, 0, 0, 0])];
    model.before = vec![node("Pad", "pad", &["X", "pads"], &["gru_x"], &[attr_s("mode", "reflect")])];
    let path = model.write(&folder, "pad");
    let json = rnnpack(&["verify", &path, "--json"]).json(0);
    assert_eq!(generated(&json), ["X f32 [10, 1, 2], uniform in ±1"]);
    let short = rnnpack(&["verify", &path, "--dim", "n=4"]);
    short.refused(
        "node `pad` (Pad): it reflects 9 elements at an end of axis 0, so it needs at least 10 there; its input has 4; \
         change the input `X`, which is f32 [4, 1, 2]: the model leaves its dimension 0 (n) open",
    );

    // tract has an answer for 5 elements that are reflected at an end of 5, but none is right.
    model.stored = vec![tensor_i64("pads", &[6], &[2, 0, 0, 5, 0, 0])];
    let path = model.write(&folder, "reflected");
    rnnpack(&["verify", &path, "--dim", "n=5"]).refused("it reflects 5 elements at an end of axis 0");
    assert_eq!(rnnpack(&["verify", &path, "--dim", "n=6"]).code, Some(0));

    let mut model = Around::new(vec![value("X", FLOAT, &[Dim::Name("n")])]);
    model.stored = vec![tensor_i64("shape", &[3], &[7, 1, 2])];
    model.before = vec![node("Reshape", "", &["X", "shape"], &["gru_x"], &[])];
    let json = rnnpack(&["verify", &model.write(&folder, "reshape"), "--json"]).json(0);
    assert_eq!(generated(&json), ["X f32 [14], uniform in ±1"]);
}

#[test]
fn silero_gets_inputs_that_fit_and_words_that_help() {
    let model = fixture(SILERO);
    let json = rnnpack(&["verify", &model, "--json"]).json(0);
    assert_eq!(json["verdict"], "pass");
    assert!(generated(&json)[2].starts_with("sr i64 [], 16000 (Equal `Equal_0` compares it"), "{json}");
    let folder = folder("silero-short");
    let file = |name: &str, dims: &[usize]| {
        let path = folder.join(format!("{name}.npy"));
        write_npy(&path, &ndarray::ArrayD::<f32>::zeros(dims)).unwrap();
        path.display().to_string()
    };
    let state = format!("state={}", file("state", &[2, 1, 128]));
    let out = folder.join("out").display().to_string();
    let run = |samples: usize, sr: &str| {
        let input = format!("input={}", file("input", &[1, samples]));
        let sr = if sr.contains("npy") { ["--input", sr] } else { ["--bind", sr] };
        rnnpack(&[&["run", &model, "--input", &input, "--input", &state, "--output", &out][..], &sr].concat())
    };
    let rate = folder.join("sr.npy");
    write_npy(&rate, &ndarray::arr0(16_000i64)).unwrap();
    let rate = format!("sr={}", rate.display());
    for sr in ["sr=16000", rate.as_str()] {
        let change =
            |samples| format!("change the input `input`, which is f32 [1, {samples}]: the model leaves its");
        let short = run(40, sr);
        short.refused("(Pad): it reflects 64 elements at an end of axis 1, so it needs at least 65 there; its input has 40");
        short.refused(&change(40));
        let short = run(100, sr);
        short.refused(
            "(Conv): its kernel spans 256 elements of axis 2; its input has 164 there, pads included",
        );
        short.refused(&change(100));
        assert!(!short.stderr.contains("state"), "{}", short.stderr);
        // Too many samples leave several frames, where the LSTM takes one.
        run(5000, sr).refused(&change(5000));
    }
    let number = ["run", &model, "--input", "sr=16000", "--output", &out];
    rnnpack(&number).refused("--input takes a .npy file; for the number, write --bind sr=16000");
}

#[test]
fn a_condition_that_must_be_known_at_load_leads_to_bind() {
    let folder = folder("bind");
    let branch = |op: &str, inputs: &[&str]| Graph {
        nodes: vec![node(op, "", inputs, &[op], &[])],
        outputs: vec![untyped(op)],
        ..Graph::default()
    };
    let branches = [
        attr_g("then_branch", &branch("Relu", &["X"]).msg()),
        attr_g("else_branch", &branch("Unsqueeze", &["X", "zero"]).msg()),
    ];
    let graph = Graph {
        nodes: vec![
            node("Gather", "", &["k", "zero"], &["first"], &[]),
            node("Cast", "", &["first"], &["c"], &[attr_i("to", BOOL)]),
            node("If", "if", &["c"], &["Y"], &branches),
        ],
        stored: vec![tensor_i64("zero", &[1], &[0])],
        inputs: vec![value("X", FLOAT, &[Dim::N(2)]), value("k", INT64, &[Dim::N(2)])],
        outputs: vec![untyped("Y")],
    };
    let model = folder.join("if.onnx").display().to_string();
    std::fs::write(&model, graph.model(17)).unwrap();
    let (x, k) = (folder.join("x.npy"), folder.join("k.npy"));
    write_npy(&x, &ndarray::arr1(&[1f32, -2.0])).unwrap();
    write_npy(&k, &ndarray::arr1(&[1i64, 2])).unwrap();
    let [x, k, out] = [x, k, folder.join("out")].map(|path| path.display().to_string());
    let run =
        |k: [&str; 2]| rnnpack(&["run", &model, "--input", &format!("X={x}"), k[0], k[1], "--output", &out]);
    let k = format!("k={k}");
    run(["--input", &k]).refused("make `k` known at load: --bind k=FILE.npy instead of --input");
    assert_eq!(run(["--bind", &k]).code, Some(0));
}
