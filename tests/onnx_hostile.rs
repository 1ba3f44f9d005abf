//! Truncated and mutated files: an error or a proper result, never a panic, within bounded time.
#![cfg(feature = "onnx")]

mod onnx_support;

use onnx_support::conformance::cases;
use onnx_support::{
    Dim, FLOAT, Graph, Numbers, attr_g, attr_i, attr_ints, node, read, tensor, tensor_bool, tensor_i64,
    untyped, value,
};
use rnnpack::onnx::recurrent_nodes;
use std::time::{Duration, Instant};

/// An LSTM in an `If`, with weights that are computed from stored ones.
fn small() -> Vec<u8> {
    let mut n = Numbers(3);
    let mut body = Graph {
        stored: vec![
            tensor("w", &[3, 8], &n.floats(24)),
            tensor("r", &[2, 1, 4, 2], &n.floats(16)),
            tensor_i64("zero", &[1], &[0]),
            tensor_i64("shape", &[3], &[1, -1, 2]),
            tensor("b", &[1, 32], &n.floats(32)),
            tensor_i64("sixteen", &[1], &[16]),
            tensor_i64("one", &[1], &[1]),
        ],
        ..Graph::default()
    };
    body.nodes = vec![
        node("Transpose", "", &["w"], &["w1"], &[attr_ints("perm", &[1, 0])]),
        node("Unsqueeze", "", &["w1", "zero"], &["W"], &[]),
        node("Reshape", "", &["r", "shape"], &["R"], &[]),
        node("Slice", "", &["b", "zero", "sixteen", "one"], &["B"], &[]),
        node("LSTM", "lstm", &["X", "W", "R", "B"], &["Z"], &[attr_i("hidden_size", 2)]),
    ];
    body.outputs = vec![untyped("Z")];
    let mut other = Graph::default();
    other.nodes.push(node("Identity", "", &["X"], &["V"], &[]));
    other.outputs = vec![untyped("V")];
    let branches = [attr_g("then_branch", &body.msg()), attr_g("else_branch", &other.msg())];
    let graph = Graph {
        nodes: vec![node("If", "", &["yes"], &["Y"], &branches)],
        stored: vec![tensor_bool("yes", &[], &[true])],
        inputs: vec![value("X", FLOAT, &[Dim::Name("T"), Dim::N(2), Dim::N(3)])],
        outputs: vec![untyped("Y")],
    };
    graph.model(17)
}

fn small_files() -> Vec<Vec<u8>> {
    cases("lstm").into_iter().map(|c| c.model).chain([small()]).collect()
}

/// Some bytes changed, inserted, removed or doubled.
fn mutate(bytes: &[u8], n: &mut Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + n.below(2) {
        if bytes.is_empty() {
            break;
        }
        let (at, len) = (n.below(bytes.len()), 1 + n.below(8));
        let end = (at + len).min(bytes.len());
        match n.below(12) {
            0..3 => bytes[at] ^= 1 << n.below(8),
            3..6 => bytes[at] = bytes[at].wrapping_add(1),
            6 => bytes[at] = bytes[at].wrapping_sub(1),
            7 => bytes[at] = n.next() as u8,
            8 => bytes[at] = [0, 0x7f, 0x80, 0xff][n.below(4)],
            9 => drop(bytes.drain(at..end)),
            10 => {
                let piece = bytes[at..end].to_vec();
                let to = n.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => drop(bytes.splice(at..at, (0..len).map(|_| 0xff).collect::<Vec<u8>>())),
        }
    }
    bytes
}

/// Lists and packs; returns how many nodes were packed.
fn list(bytes: &[u8]) -> usize {
    let nodes = recurrent_nodes(bytes).unwrap_or_default();
    nodes.iter().filter(|n| n.pack().is_ok()).count()
}

#[test]
fn the_small_model_is_packed() {
    assert_eq!(list(&small()), 1);
    #[cfg(feature = "tract")]
    rnnpack::onnx::Model::load(&small()).unwrap();
}

#[test]
fn truncated_files_are_read_without_panic() {
    for file in small_files() {
        let packed: usize = (0..file.len()).map(|n| list(&file[..n])).sum();
        // Nothing is packed from a part of the graph; what follows the graph may be missing.
        assert!(packed <= 8, "{packed}");
    }
}

#[test]
fn mutated_files_are_read_without_panic() {
    let start = Instant::now();
    let mut n = Numbers(11);
    let files = small_files();
    let mut packed = 0;
    for round in 0..20_000 {
        packed += list(&mutate(&files[round % files.len()], &mut n));
    }
    println!("{packed} nodes packed of 20000 mutated files in {:?}", start.elapsed());
    let large = read("silero_vad/silero_vad_16k_op15.onnx");
    for _ in 0..100 {
        list(&mutate(&large, &mut n));
    }
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}

#[cfg(feature = "tract")]
mod whole_models {
    use super::*;
    use rnnpack::Error;
    use rnnpack::onnx::{DType, Extent, Model, OnnxError, Tensor, ValueSpec};

    /// Panics of tract are caught and expected; those of this file are shown.
    fn hush() {
        std::panic::set_hook(Box::new(|info| {
            if info.location().is_some_and(|l| l.file().ends_with("onnx_hostile.rs")) {
                eprintln!("{info}");
            }
        }));
    }

    fn feed(spec: &ValueSpec) -> Option<Tensor> {
        let size = |e: &Extent| if let Extent::Fixed(n) = e { *n } else { 2 };
        let dims: Vec<usize> = spec.dims.iter().map(size).collect();
        let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 16)?;
        match spec.dtype {
            DType::F32 => Tensor::new(&dims, vec![0.5f32; count]),
            DType::I64 => Tensor::new(&dims, vec![1i64; count]),
            _ => None,
        }
    }

    /// What became of a file.
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
            Err(Error::Onnx(OnnxError::Panic { .. })) => End::Panicked,
            _ => end,
        }
    }

    #[test]
    fn truncated_files_are_loaded_without_panic() {
        hush();
        for file in [small(), cases("lstm_with_initial_bias").remove(0).model] {
            (0..file.len()).for_each(|n| drop(load_and_run(&file[..n])));
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
}
