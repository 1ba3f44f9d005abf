//! The command `rnnpack`: what it prints, its files and its exit codes.

use ndarray_npy::{NpzReader, NpzWriter, read_npy, write_npy};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run of the command left behind.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    /// The JSON object of a run that ended with `code`.
    #[track_caller]
    fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, message: &str) {
        assert!(self.stderr.contains(message), "{message:?} is not in {:?}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""));
    }
}

fn rnnpack(args: &[&str]) -> Run {
    rnnpack_isa(args, None)
}

fn rnnpack_isa(args: &[&str], isa: Option<&str>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rnnpack"));
    command.args(args).env_remove("RNNPACK_ISA").envs(isa.map(|isa| ("RNNPACK_ISA", isa)));
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).display().to_string()
}

/// An empty folder for the test `name`.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

type Array = ndarray::ArrayD<f32>;

fn recorded(archive: &str, key: &str) -> Array {
    NpzReader::new(File::open(fixture(archive)).unwrap()).unwrap().by_name(key).unwrap()
}

const DTLN: &str = "dtln/model_1.onnx";
const DTLN_STREAM: &str = "dtln/model_1.stream.npz";
const SILERO: &str = "silero_vad/silero_vad.onnx";

/// Writes the inputs of the first recorded step of DTLN; returns `--input` arguments for them.
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
    for command in ["inspect", "run", "verify", "bench"] {
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
    }
    let text = rnnpack(&["inspect", &fixture(SILERO)]);
    assert!(text.stdout.contains("4 recurrent nodes (LSTM, GRU, RNN), 4 on rnnpack's kernels"));
}

#[test]
fn inspect_says_why_a_node_is_refused() {
    let model = fixture("onnx_node_tests/test_lstm_with_peepholes/model.onnx");
    let node = &rnnpack(&["inspect", &model, "--json"]).json(0)["nodes"][0];
    assert!(node["refusal"].as_str().unwrap().contains("peepholes"), "{node}");
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
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-5), "{output}");
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
        assert!((got[[0, 0]] - expected[[0, 0]]).abs() < 1e-5);
    }
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
    write_npy(file("u16.npy"), &ndarray::arr1(&[1u16])).unwrap();
    run(&format!("--input=input_2={}", file("u16.npy"))).refused("convert it with .astype");
    run(&format!("--input=input_2={}", fixture(DTLN))).refused("it is no .npy array");
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

#[track_caller]
fn compared<'a>(json: &'a Value, against: &str) -> &'a Value {
    let comparisons = json["comparisons"].as_array().unwrap();
    comparisons.iter().find(|c| c["against"] == against).unwrap()
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
    // No sample rate is 1: the generated one does not fit.
    rnnpack(&["verify", &model]).refused("give --input, --bind or --dim");
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
fn verify_does_not_pass_where_nothing_is_compared() {
    let model = fixture("onnx_node_tests/test_gru_defaults/model.onnx");
    let json = rnnpack(&["verify", &model, "--json"]).json(1);
    assert_eq!(json["verdict"], "nothing_compared");
    let text = rnnpack(&["verify", &model]);
    assert!(text.stdout.contains("NOTHING COMPARED") && !text.stdout.contains("PASS"), "{}", text.stdout);
    let refused = fixture("onnx_node_tests/test_lstm_with_peepholes/model.onnx");
    rnnpack(&["verify", &refused]).refused("peepholes are not computed");
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
fn bench_times_a_model_on_both() {
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
    rnnpack(&["bench"]).refused("<MODEL|--shape <T,B,I,H>>");
    rnnpack(&["bench", &fixture(DTLN), "--shape=1,1,4,4"]).refused("cannot be used with");
}
