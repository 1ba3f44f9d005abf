//! Tests truncated, mutated and greedy files: an error or a correct list, never a panic, in bounded time and memory.

use allocation_counter::measure;
use rnnpack_dev::onnx::conformance::cases;
use rnnpack_dev::onnx::hostile::{mutate, small};
use rnnpack_dev::onnx::{
    Dim, FLOAT, FLOAT16, Graph, Msg, Numbers, attr_g, model, node, raw, read, recorded, recurrent_nodes,
    tensor, value,
};
use rnnpack_onnx::{DType, Error, RecurrentNode};
use std::time::{Duration, Instant};

/// Models of one node, for every operator with every option. Those with stored weights come first.
fn small_files() -> Vec<Vec<u8>> {
    let oracle = ["oracle/cases.npz", "oracle/quantized.npz"].map(recorded::cases);
    let oracle = oracle.into_iter().flatten().map(|(_, case)| case.model);
    oracle.chain([small()]).chain(cases("").into_iter().map(|c| c.model)).collect()
}

/// Lists and packs the nodes, within the memory bound of `docs/onnx.md`. Returns how many nodes were packed.
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

fn list_within_bound(bytes: &[u8]) -> Result<Vec<RecurrentNode>, Error> {
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
}

#[test]
fn truncated_files_are_read_without_panic() {
    let files = small_files();
    for file in files.iter().step_by(6).chain([&small()]) {
        let packed: usize = (0..file.len()).map(|n| list(&file[..n])).sum();
        // An incomplete graph gives no packed nodes. Fields after the graph may be missing.
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

/// Files in which small parts would produce large ones, or in which small parts are used many times.
fn greedy_files() -> Vec<(&'static str, Vec<u8>)> {
    // Just above a power of two: a list that grows by doubling wastes most here.
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

/// A model whose graph has this one node.
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
