//! Truncated and mutated files: an error or a proper result, never a panic, within bounded time.

use allocation_counter::measure;
use rnnpack_dev::onnx::conformance::cases;
use rnnpack_dev::onnx::recurrent_nodes;
use rnnpack_dev::onnx::{
    Dim, FLOAT, FLOAT16, Graph, Msg, Numbers, attr_g, attr_i, attr_ints, model, node, raw, read, recorded,
    tensor, tensor_bool, tensor_i64, untyped, value,
};
use rnnpack_onnx::{DType, Error as OnnxError, RecurrentNode};
use rnnpack_tract::Error;
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

/// Models of one node of every operator with every option, those with stored weights first.
fn small_files() -> Vec<Vec<u8>> {
    let oracle = recorded::cases("oracle/cases.npz").into_values().map(|c| c.model);
    oracle.chain([small()]).chain(cases("").into_iter().map(|c| c.model)).collect()
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

/// Lists, within the bound of memory that `docs/onnx.md` states, and packs; returns how many nodes were packed.
fn list(bytes: &[u8]) -> usize {
    let nodes = list_within_bound(bytes).unwrap_or_default();
    let packs =
        |n: &RecurrentNode| if n.dtype == Some(DType::F64) { n.pack_f64().is_ok() } else { n.pack().is_ok() };
    let packed: Vec<bool> = nodes.iter().map(packs).collect();
    for (node, &packed) in nodes.iter().zip(&packed) {
        assert_eq!(node.refusal().is_none(), packed, "{node:?}");
    }
    packed.iter().filter(|packed| **packed).count()
}

fn list_within_bound(bytes: &[u8]) -> Result<Vec<RecurrentNode>, OnnxError> {
    let mut nodes = Ok(Vec::new());
    let used = measure(|| nodes = recurrent_nodes(bytes)).bytes_max;
    assert!(used <= 512 * bytes.len() as u64 + (1 << 20), "{used} bytes of memory for {}", bytes.len());
    nodes
}

#[test]
fn the_small_models_are_packed() {
    assert_eq!(list(&small()), 1);
    let packed: usize = small_files().iter().map(|f| list(f)).sum();
    assert!(packed >= 150, "{packed}");
    rnnpack_tract::Model::load(&small()).unwrap();
}

#[test]
fn truncated_files_are_read_without_panic() {
    let files = small_files();
    for file in files.iter().step_by(6).chain([&small()]) {
        let packed: usize = (0..file.len()).map(|n| list(&file[..n])).sum();
        // Nothing is packed from a part of the graph; what follows the graph may be missing.
        assert!(packed <= 8, "{packed}");
    }
}

#[test]
fn mutated_files_are_read_without_panic() {
    const ROUNDS: usize = 40_000;
    let start = Instant::now();
    let mut n = Numbers(11);
    let files = small_files();
    let packed: usize = (0..ROUNDS).map(|round| list(&mutate(&files[round % files.len()], &mut n))).sum();
    println!("{packed} nodes packed of {ROUNDS} mutated files in {:?}", start.elapsed());
    assert!(packed > 1000, "{packed}");
    for large in ["silero_vad/silero_vad_16k_op15.onnx", "silero_vad/silero_vad.onnx", "dtln/model_1.onnx"] {
        let large = read(large);
        for _ in 0..50 {
            list(&mutate(&large, &mut n));
        }
    }
    assert!(start.elapsed() < Duration::from_secs(240), "{:?}", start.elapsed());
}

/// Files in which small parts would make large ones, or are used many times.
fn greedy_files() -> Vec<(&'static str, Vec<u8>)> {
    // Just above a power of two, where a list that grew by doubling takes most.
    const N: usize = (1 << 14) + 1;
    let many = |m: Msg, field: u32, inner: &Msg| (0..N).fold(m, |m, _| m.msg(field, inner));
    let of_graph = |field: u32, inner: &Msg| model(&many(Msg::default(), field, inner), 17);
    let of_attribute = |field: u32| {
        let held = many(Msg::default(), field, &Msg::default());
        of_graph_node(&Msg::default().msg(5, &held))
    };
    let rnn = |inputs: &[&str]| node("RNN", "", inputs, &[], &[]);
    let x = value("X", FLOAT, &[Dim::Name("T"), Dim::N(1), Dim::N(1)]);
    let users = |mut graph: Graph, w: &str| {
        graph.nodes.extend((0..N).map(|_| rnn(&["X", w, "R"])));
        graph.model(17)
    };
    let weights = Graph {
        stored: vec![
            raw("W", &[1, 1, 50_000], FLOAT16, vec![0; 100_000]),
            raw("R", &[1, 1, 1], FLOAT16, vec![0; 2]),
        ],
        inputs: vec![value("X", FLOAT16, &[Dim::Name("T"), Dim::N(1), Dim::N(50_000)])],
        ..Graph::default()
    };
    let long = "n".repeat(200_000);
    let wide = vec![1usize; 100_000];
    let ones = Graph { stored: vec![tensor("W", &wide, &[1.0])], ..Graph::default() };
    let copies = (0..N).map(|i| node("Identity", "", &["W"], &[&format!("w{i}")], &[]));
    let wide_copies = Graph { nodes: copies.collect(), ..ones.clone() };
    let mut chain = Graph { nodes: vec![node("Secret", &long, &[], &["w0"], &[])], ..Graph::default() };
    for i in 0..63 {
        chain.nodes.push(node("Identity", &long[..99], &[&format!("w{i}")], &[&format!("w{}", i + 1)], &[]));
    }
    let fan = |i: usize| {
        [node("Identity", "", &["w63"], &[&format!("v{i}")], &[]), rnn(&["X", &format!("v{i}"), "R"])]
    };
    let fanned = Graph {
        nodes: chain.nodes.iter().cloned().chain((0..N).flat_map(fan)).collect(),
        ..Graph::default()
    };
    let named = |name: &str| Graph {
        nodes: vec![node("RNN", name, &["X", "W", "R"], &[], &[]); N],
        ..Graph::default()
    };
    let long_dim =
        value("X", FLOAT, &[Dim::Name(Box::leak(long.clone().into_boxed_str())), Dim::N(1), Dim::N(1)]);
    let inner = Graph { nodes: vec![rnn(&[]); N], ..Graph::default() };
    let nested = Graph {
        nodes: vec![node("If", &long, &[], &[], &[attr_g("branch", &inner.msg())])],
        ..Graph::default()
    };
    let packed_ints = |field: u32| Msg::default().bytes(field, &vec![1; 200_000]);
    let mut files = vec![
        ("nodes", of_graph(1, &Msg::default())),
        ("stored tensors", of_graph(5, &Msg::default())),
        ("inputs", of_graph(11, &Msg::default())),
        ("outputs", of_graph(12, &Msg::default())),
        ("types", of_graph(13, &Msg::default())),
        ("sparse tensors", of_graph(15, &Msg::default())),
        ("attributes", of_graph_node(&many(Msg::default(), 5, &Msg::default()))),
        (
            "attributes of a recurrent node",
            of_graph_node(&many(Msg::default().text(4, "RNN"), 5, &Msg::default())),
        ),
        ("texts of an attribute", of_attribute(9)),
        ("tensors of an attribute", of_attribute(10)),
        ("graphs of an attribute", of_attribute(11)),
        ("integers of an attribute", of_graph_node(&Msg::default().msg(5, &packed_ints(8)))),
        ("integers of a tensor", model(&Msg::default().msg(5, &packed_ints(5)), 17)),
        ("operator sets", many(Msg(model(&Msg::default(), 17)), 8, &Msg::default()).0),
        ("functions", many(Msg(model(&Msg::default(), 17)), 25, &Msg::default()).0),
        ("bare recurrent nodes", of_graph(1, &Msg::default().text(4, "RNN"))),
        ("recurrent nodes of one name", named("a").model(17)),
        (
            "recurrent nodes of one long name",
            Graph { nodes: named(&long[..999]).nodes[..200].to_vec(), ..Graph::default() }.model(17),
        ),
        ("users of a large weight", users(weights, "W")),
        ("users of a weight of many dimensions", users(ones, "W")),
        ("copies of a tensor of many dimensions", wide_copies.model(17)),
        ("users of a long chain", fanned.model(17)),
        (
            "users of an input with a long dimension",
            users(Graph { inputs: vec![long_dim], ..Graph::default() }, "W"),
        ),
        ("recurrent nodes in a graph with a long path", nested.model(17)),
    ];
    let copied = (0..N).map(|i| rnn(&["X", &format!("w{i}"), "W"]));
    files.push((
        "users of copies",
        Graph {
            nodes: wide_copies.nodes.iter().cloned().chain(copied).collect(),
            inputs: vec![x],
            ..wide_copies
        }
        .model(17),
    ));
    files
}

/// A model of a graph with this node.
fn of_graph_node(node: &Msg) -> Vec<u8> {
    model(&Msg::default().msg(1, node), 17)
}

#[test]
fn a_usual_file_takes_less_than_six_times_its_size() {
    for path in ["silero_vad/silero_vad.onnx", "silero_vad/silero_vad_16k_op15.onnx", "dtln/model_1.onnx"] {
        let file = read(path);
        let used = measure(|| drop(recurrent_nodes(&file).unwrap())).bytes_max as f64 / file.len() as f64;
        println!("{path}: {used:.2} bytes of memory per byte");
        assert!(used < 6.0, "{path}: {used:.2}");
    }
}

#[test]
fn greedy_files_are_read_within_the_bound() {
    for (name, file) in greedy_files() {
        let start = Instant::now();
        let used = measure(|| drop(recurrent_nodes(&file))).bytes_max;
        let per_byte = used as f64 / file.len() as f64;
        println!("{name}: {per_byte:.0} bytes of memory per byte of {}, {:?}", file.len(), start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(20), "{name}: {:?}", start.elapsed());
        assert!(
            used <= 512 * file.len() as u64 + (1 << 20),
            "{name}: {per_byte:.0} bytes of memory per byte"
        );
    }
}

mod whole_models {
    use super::*;
    use rnnpack_onnx::{Extent, Tensor};
    use rnnpack_tract::{Model, ValueSpec};
    use std::sync::atomic::{AtomicUsize, Ordering};

    static OUR_PANICS: AtomicUsize = AtomicUsize::new(0);

    /// Panics of tract are caught and expected; those of this crate are shown, and counted.
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
        // Only loaded: a mutated count has no bound.
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
}
