//! Tests that files which attack get a short error on one line, and leave no output.

use rnnpack_dev::onnx::{BOOL, Dim, FLOAT, FLOAT16, Graph, Msg, attr_g, node, tensor, untyped, value};
use rnnpack_tract::Loader;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the command. Whatever it is given, it prints no control characters, and ends within the time that a slow machine
/// needs for a linear pass.
#[track_caller]
fn rnnpack(args: &[&str]) -> Run {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_rnnpack")).args(args).output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{args:?}: {:?}", start.elapsed());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
    run
}

impl Run {
    #[track_caller]
    fn refused(&self, message: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{}", self.stderr);
        assert!(self.stderr.contains(message), "{message:?} is not in {:?}", self.stderr);
        assert!(self.stderr.len() < 3_000 && self.stderr.lines().count() == 1, "{:?}", self.stderr);
    }
}

/// A new empty folder for the test `name`.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn written(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// A `.npy` file.
fn npy(descr: &str, fortran_order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran_order}, 'shape': {shape}}}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

/// A model that returns its input `x` of these dimensions under each of these names.
fn identities(dtype: i64, dims: &[Dim], outputs: &[&str]) -> Vec<u8> {
    let graph = Graph {
        nodes: outputs.iter().map(|y| node("Identity", "", &["x"], &[y], &[])).collect(),
        inputs: vec![value("x", dtype, dims)],
        outputs: outputs.iter().map(|y| value(y, dtype, dims)).collect(),
        ..Graph::default()
    };
    graph.model(17)
}

#[test]
fn names_are_shown_with_escapes_and_cut() {
    let folder = folder("names");
    let evil = format!("\u{1b}]0;x\u{7}\u{9b}2J\n\u{202e}{}", "n".repeat(100_000));
    let rnn = node("RNN", &evil, &[&evil, "W", "R"], &["y"], &[Msg::default().text(1, &evil)]);
    let graph = Graph {
        nodes: vec![rnn],
        inputs: vec![value(&evil, FLOAT, &[Dim::N(1); 3])],
        outputs: vec![untyped("y")],
        ..Graph::default()
    };
    let path = written(&folder, "evil.onnx", graph.model(17));
    for args in [&["inspect", &path][..], &["inspect", "--json", &path]] {
        let run = rnnpack(args);
        let shown = if args.len() == 2 {
            r"\u{1b}]0;x\u{7}\u{9b}2J\n\u{202e}nnn"
        } else {
            r"\u001b]0;x\u0007\u009b2J\n"
        };
        assert!(run.code == Some(0) && run.stdout.contains(shown), "{:.2000}", run.stdout);
    }
    let text = rnnpack(&["inspect", &path]).stdout;
    assert!(text.len() < 5_000, "{}", text.len());
    rnnpack(&["run", &path, "--output", &folder.display().to_string()]).refused("no value for: \\u{1b}]0;x");
    rnnpack(&["verify", &path]).refused("cannot verify");
    rnnpack(&["pack", &path, "--isa", "portable", "--output", "x"]).refused(r"node `\u{1b}]0;x\u{7}");
}

#[test]
fn many_inputs_and_stored_tensors_take_linear_time_and_a_short_message() {
    let folder = folder("inputs");
    let names: Vec<String> = (0..20_000).map(|i| format!("input_{i}")).collect();
    let graph = Graph {
        inputs: names.iter().map(|name| value(name, FLOAT, &[Dim::N(1)])).collect(),
        stored: (0..20_000).map(|i| tensor(&format!("w{i}"), &[1], &[0.0])).collect(),
        outputs: vec![value("input_0", FLOAT, &[Dim::N(1)])],
        ..Graph::default()
    };
    let path = written(&folder, "inputs.onnx", graph.model(17));
    let output = folder.display().to_string();
    let run = rnnpack(&["run", &path, "--output", &output]);
    run.refused("input_7 and 19992 more; give each with --input, such as --input input_0=FILE.npy");
    let other = written(&folder, "x.npy", npy("<f4", "False", "(1,)", &[0; 4]));
    let run = rnnpack(&["run", &path, "--input", &format!("x={other}"), "--output", &output]);
    run.refused("the model has no input \"x\"; it has: ");
}

#[test]
fn sizes_are_not_tried_for_a_model_with_too_many_inputs() {
    let graph = Graph {
        nodes: vec![node("Relu", "", &["x0"], &["y"], &[])],
        inputs: (0..20_000)
            .map(|i| value(&format!("x{i}"), FLOAT, &[Dim::Name("a"), Dim::Name("b")]))
            .collect(),
        outputs: vec![untyped("y")],
        ..Graph::default()
    };
    let path = written(&folder("sizes"), "sizes.onnx", graph.model(17));
    rnnpack(&["verify", &path]).refused("sizes.onnx: the model has more than 1024 inputs");
}

#[test]
fn outputs_that_share_a_file_are_refused_before_one_is_written() {
    let folder = folder("outputs");
    let input = format!("x={}", written(&folder, "x.npy", npy("<f4", "False", "(2,)", &[0; 8])));
    for (i, outputs) in [["a", "b/c", "b_c"], ["a", "y", "Y"], ["a", "é", "É"]].iter().enumerate() {
        let model = written(&folder, &format!("{i}.onnx"), identities(FLOAT, &[Dim::N(2)], outputs));
        let out = folder.join(format!("out{i}"));
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("a.npy"), "old").unwrap();
        let run = rnnpack(&["run", &model, "--input", &input, "--output", &out.display().to_string()]);
        run.refused("would both be written to");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        assert_eq!(fs::read(out.join("a.npy")).unwrap(), b"old");
    }
    let long = "y".repeat(300);
    let model = written(&folder, "long.onnx", identities(FLOAT, &[Dim::N(2)], &["a", &long]));
    let out = folder.join("long");
    let run = rnnpack(&["run", &model, "--input", &input, "--output", &out.display().to_string()]);
    run.refused("is too long for a file");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn half_precision_other_byte_orders_and_orders_of_axes_are_read() {
    let folder = folder("npy");
    let model = written(&folder, "half.onnx", identities(FLOAT16, &[Dim::N(2), Dim::N(3)], &["y"]));
    let out = folder.join("out").display().to_string();
    let numbers = [0.0, 1.0, 2.0, 3.0, 4.0, -0.5].map(half::f16::from_f32);
    let columns = [0, 3, 1, 4, 2, 5].map(|i| numbers[i]);
    let little = |v: [half::f16; 6]| v.map(half::f16::to_le_bytes).concat();
    let big = |v: [half::f16; 6]| v.map(half::f16::to_be_bytes).concat();
    let files = [
        npy("<f2", "False", "(2, 3)", &little(numbers)),
        npy(">f2", "False", "(2, 3)", &big(numbers)),
        npy("<f2", "True", "(2, 3)", &little(columns)),
        npy(">f2", "True", "(2, 3)", &big(columns)),
    ];
    for file in files {
        let alone = format!("x={}", written(&folder, "x.npy", &file));
        let mut zip = zip::ZipWriter::new(fs::File::create(folder.join("x.npz")).unwrap());
        zip.start_file("x.npy", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&file).unwrap();
        zip.finish().unwrap();
        for input in [alone, folder.join("x.npz").display().to_string()] {
            let run = rnnpack(&["run", &model, "--input", &input, "--output", &out]);
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            let y: ndarray::Array2<f32> = ndarray_npy::read_npy(folder.join("out/y.npy")).unwrap();
            assert_eq!(y, ndarray::arr2(&[[0.0, 1.0, 2.0], [3.0, 4.0, -0.5]]));
        }
    }
}

#[test]
fn hostile_arrays_are_refused_at_once() {
    let folder = folder("arrays");
    let model = written(&folder, "x.onnx", identities(FLOAT, &[Dim::Name("n")], &["y"]));
    let out = folder.join("out").display().to_string();
    let nested = format!("(1,), 'x': {}1{}", "[".repeat(1_000), "]".repeat(1_000));
    for (file, why) in [
        (npy("<f4", "False", &nested, &[0; 4]), "the key x is unknown"),
        (npy("<f4", "False", "(0, 4611686018427387904, 4611686018427387904)", &[]), "is too large"),
        (npy("<f4", "False", "(1,)", &[0; 3]), "it has 3 bytes of elements"),
    ] {
        let input = format!("x={}", written(&folder, "x.npy", file));
        rnnpack(&["run", &model, "--input", &input, "--output", &out]).refused(why);
    }
}

#[test]
fn a_ledger_with_numbers_that_nothing_measures_is_reported_without_them() {
    let folder = folder("ledger");
    let line = |kind: &str, rest: &str| {
        format!(
            "{{\"v\":1,\"run\":\"r\",\"date\":\"2026-01-01T00:00:00Z\",\"cpu\":\"c\",\"isa\":\"avx2\",\
             \"kind\":\"{kind}\",{rest}}}\n"
        )
    };
    let limits = |peak: &str, bandwidth: &str| {
        line(
            "limits",
            &format!(
                "\"seconds\":1.0,\"cases\":[],\"peak_flops\":{peak},\"bandwidth\":\
                 [{{\"level\":\"L1\",\"bytes\":1,\"bytes_per_s\":{bandwidth}}}]"
            ),
        )
    };
    let case = |name: &str, ns: &str, flops: &str, bytes: &str| {
        line(
            "case",
            &format!(
                "\"name\":\"{name}\",\"threads\":1,\"calls\":3,\"min_ns\":{ns},\"median_ns\":{ns},\
                 \"flops\":{flops},\"bytes\":{bytes}"
            ),
        )
    };
    let extremes = ["1e-6", "1", "1e24"];
    let mut sane = limits("1e11", "1e11");
    for (i, [a, b, c]) in
        extremes.iter().flat_map(|a| extremes.map(|b| extremes.map(|c| [a, b, c]))).flatten().enumerate()
    {
        sane += &case(&format!("step/lstm/{i},1,1,1/f32/1"), a, b, c);
    }
    let (ledger, page) = (folder.join("ledger.jsonl"), folder.join("page.html").display().to_string());
    let report = |text: &str| {
        fs::write(&ledger, text).unwrap();
        rnnpack(&["perf", "report", "--ledger", &ledger.display().to_string(), "--output", &page])
    };
    for [peak, bandwidth] in extremes.iter().flat_map(|p| extremes.map(|b| [*p, b])) {
        assert_eq!(report(&(sane.clone() + &limits(peak, bandwidth))).code, Some(0), "{peak} {bandwidth}");
    }
    for number in ["0", "-0.0", "-1", "1e-320", "1e300"] {
        for damaged in [
            limits(number, "1e11"),
            limits("1e11", number),
            case("a", number, "1", "1"),
            case("a", "1", number, "1"),
            case("a", "1", "1", number),
        ] {
            let run = report(&(sane.clone() + &damaged));
            let warning = "line 29 is skipped: ";
            assert!(run.code == Some(0) && run.stderr.contains(warning), "{damaged}: {}", run.stderr);
        }
    }
}

#[test]
fn nested_graphs_load_on_the_stack_that_is_stated_or_are_refused() {
    let inner = Graph {
        nodes: vec![node("Identity", "", &["x"], &["y0"], &[])],
        outputs: vec![value("y0", FLOAT, &[Dim::N(1)])],
        ..Graph::default()
    };
    let around = |inner: &Graph, level: usize| Graph {
        nodes: vec![node(
            "If",
            "",
            &["c"],
            &[&format!("y{level}")],
            &[attr_g("then_branch", &inner.msg()), attr_g("else_branch", &other(level).msg())],
        )],
        outputs: vec![value(&format!("y{level}"), FLOAT, &[Dim::N(1)])],
        ..Graph::default()
    };
    fn other(level: usize) -> Graph {
        let name = format!("z{level}");
        Graph {
            nodes: vec![node("Identity", "", &["x"], &[&name], &[])],
            outputs: vec![value(&name, FLOAT, &[Dim::N(1)])],
            ..Graph::default()
        }
    }
    for depth in [1, 8, 31, 40] {
        let mut graph = (1..=depth).fold(inner.clone(), |graph, level| around(&graph, level));
        graph.inputs = vec![value("x", FLOAT, &[Dim::N(1)]), value("c", BOOL, &[])];
        let file = graph.model(17);
        let load = move || Loader::new().load(&file).map(drop);
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(load).unwrap();
        let loaded = thread.join().unwrap();
        assert_eq!(loaded.is_ok(), depth < 32, "{depth}: {loaded:?}");
    }
}
