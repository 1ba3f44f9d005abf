//! Tests truncated and mutated whole models: an error or a correct model, never a panic of ours, in bounded time.

use rnnpack_dev::onnx::conformance::cases;
use rnnpack_dev::onnx::hostile::{mutate, small};
use rnnpack_dev::onnx::{
    Dim, FLOAT, Graph, Msg, Numbers, attr_g, attr_i, node, tensor, tensor_bool, tensor_i64, untyped, value,
};
use rnnpack_onnx::{DType, Extent, Tensor};
use rnnpack_tract::{Error, Model, ValueSpec};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static OUR_PANICS: AtomicUsize = AtomicUsize::new(0);

/// Hides panics of tract, which are caught and expected. Shows and counts panics of this crate.
fn hush() {
    std::panic::set_hook(Box::new(|info| {
        let file = info.location().map_or("", |l| l.file());
        // Files of this workspace have relative paths.
        let ours = !file.starts_with('/');
        if ours && !file.contains("tests/") {
            OUR_PANICS.fetch_add(1, Ordering::Relaxed);
        }
        if ours {
            eprintln!("{info}");
        }
    }));
}

/// A layer in a `Scan` in an `If` in a `Loop`, with a carried value that grows.
fn bodies() -> Vec<u8> {
    let mut n = Numbers(5);
    let graph = |inputs: &[&str], nodes: Vec<Msg>, outputs: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|n| untyped(n)).collect();
        Graph { nodes, inputs: names(inputs), outputs: names(outputs), ..Graph::default() }.msg()
    };
    let step = vec![
        node("Unsqueeze", "", &["x_t", "zero"], &["x_1"], &[]),
        node("LSTM", "", &["x_1", "W", "R", "", "", "h_in", "c_in"], &["y", "h_out", "c_out"], &[]),
    ];
    let step = graph(&["h_in", "c_in", "x_t"], step, &["h_out", "c_out", "y"]);
    let attrs = [attr_g("body", &step), attr_i("num_scan_inputs", 1)];
    let scan = vec![node("Scan", "", &["h_i", "c_i", "X"], &["h_s", "c_s", "y_s"], &attrs)];
    let other = vec![node("Neg", "", &["h_i"], &["h_n"], &[])];
    let branches = [
        attr_g("then_branch", &graph(&[], scan, &["h_s", "c_s"])),
        attr_g("else_branch", &graph(&[], other, &["h_n", "c_i"])),
    ];
    let body = vec![
        node("Less", "", &["i", "two"], &["early"], &[]),
        node("If", "", &["early"], &["h_o", "c_o"], &branches),
        node("Concat", "", &["l_i", "h_o"], &["l_o"], &[attr_i("axis", 0)]),
    ];
    let formal = ["i", "going", "h_i", "c_i", "l_i"];
    let body = graph(&formal, body, &["early", "h_o", "c_o", "l_o", "i"]);
    let inputs = ["three", "yes", "s", "s", "s"];
    let names = ["h", "c", "l", "numbers"];
    let graph = Graph {
        nodes: vec![node("Loop", "", &inputs, &names, &[attr_g("body", &body)])],
        stored: vec![
            tensor("W", &[1, 8, 3], &n.floats(24)),
            tensor("R", &[1, 8, 2], &n.floats(16)),
            tensor("s", &[1, 2, 2], &n.floats(4)),
            tensor_i64("zero", &[1], &[0]),
            tensor_i64("two", &[], &[2]),
            tensor_i64("three", &[], &[3]),
            tensor_bool("yes", &[], &[true]),
        ],
        inputs: vec![value("X", FLOAT, &[Dim::Name("T"), Dim::N(2), Dim::N(3)])],
        outputs: names.map(untyped).to_vec(),
    };
    graph.model(17)
}

#[test]
fn mutated_bodies_are_loaded_without_a_panic_of_ours() {
    hush();
    assert!(load_and_run(&bodies()) == End::Loaded);
    let start = Instant::now();
    let mut n = Numbers(17);
    let file = bodies();
    // The model is only loaded, because a mutated count has no bound.
    let loaded = (0..6000).filter(|_| Model::load(&mutate(&file, &mut n)).is_ok()).count();
    println!("of 6000 mutated files {loaded} were loaded in {:?}", start.elapsed());
    assert!(loaded > 100, "{loaded}");
    assert!(start.elapsed() < Duration::from_secs(240), "{:?}", start.elapsed());
    assert_eq!(OUR_PANICS.load(Ordering::Relaxed), 0);
}

fn feed(spec: &ValueSpec) -> Option<Tensor> {
    let size = |e: &Extent| if let Extent::Fixed(n) = e { *n } else { 2 };
    let dims: Vec<usize> = spec.dims.iter().map(size).collect();
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 16)?;
    match spec.dtype {
        DType::F32 => Tensor::new(&dims, vec![0.5f32; count]).ok(),
        DType::I64 => Tensor::new(&dims, vec![1i64; count]).ok(),
        _ => None,
    }
}

/// What happened to a file.
#[derive(PartialEq)]
enum End {
    Refused,
    Loaded,
    Panicked,
}

fn load_and_run(bytes: &[u8]) -> End {
    let mut end = End::Refused;
    let mut run = || {
        let model = Model::load(bytes)?;
        end = End::Loaded;
        let feeds: Option<Vec<Tensor>> = model.inputs().iter().map(feed).collect();
        let Some(feeds) = feeds else { return Ok(()) };
        let names = model.inputs().iter().map(|i| i.name.as_str());
        model.run(&names.zip(&feeds).collect::<Vec<_>>()).map(drop)
    };
    match run() {
        Err(Error::Panic { .. }) => End::Panicked,
        _ => end,
    }
}

#[test]
fn truncated_files_are_loaded_without_panic() {
    hush();
    for file in [small(), cases("lstm_with_initial_bias").remove(0).model] {
        for n in 0..file.len() {
            load_and_run(&file[..n]);
        }
    }
}

#[test]
fn mutated_files_are_loaded_without_panic() {
    hush();
    let start = Instant::now();
    let mut n = Numbers(13);
    let file = small();
    let ends: Vec<End> = (0..4000).map(|_| load_and_run(&mutate(&file, &mut n))).collect();
    let count = |end: End| ends.iter().filter(|e| **e == end).count();
    let (loaded, panicked) = (count(End::Loaded), count(End::Panicked));
    println!("of 4000 mutated files {loaded} were loaded, and {panicked} made tract panic");
    assert!(loaded > 100, "{loaded}");
    assert!(start.elapsed() < Duration::from_secs(240), "{:?}", start.elapsed());
}
