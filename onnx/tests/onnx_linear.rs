//! Tests that listing takes time in proportion to the file, for any number of dimensions, parts, graphs and names.

use allocation_counter::measure;
use rnnpack_dev::onnx::{
    FLOAT, Graph, Msg, Numbers, attr_g, attr_i, attr_ints, node, raw, recurrent_nodes, recurrent_nodes_with,
    tensor_i64, untyped,
};
use rnnpack_onnx::Tensor;
use std::time::{Duration, Instant};

/// The bytes of a drawn file, about.
const SIZE: usize = 300_000;

/// More than any linear pass needs for a byte, even on a slow and busy machine. Work that grows with the square of
/// [`SIZE`] takes at least a hundred times as long.
const PER_BYTE: Duration = Duration::from_nanos(2_000);

#[track_caller]
fn is_linear(what: &str, file: &[u8]) {
    let start = Instant::now();
    let mut shown = 0;
    let used = measure(|| {
        shown = match recurrent_nodes(file) {
            Ok(nodes) => nodes.iter().filter_map(|n| n.refusal()).map(|e| e.to_string().len()).max(),
            Err(e) => Some(e.to_string().len()),
        }
        .unwrap_or(0);
    });
    let (took, size) = (start.elapsed(), file.len());
    assert!(took < PER_BYTE * size as u32, "{what}: {took:?} for {size} bytes");
    assert!(used.bytes_max <= 512 * size as u64 + (1 << 20), "{what}: {used:?} for {size} bytes");
    assert!(shown < 10_000, "{what}: a message of {shown} bytes");
}

/// A stored tensor of `rank` dimensions, of which `wide` have two elements and the others one.
fn stored(name: &str, rank: usize, wide: usize, n: &mut Numbers) -> (Msg, Vec<usize>) {
    let mut dims = vec![1; rank];
    for _ in 0..wide {
        dims[n.below(rank)] = 2;
    }
    let elements: usize = dims.iter().product();
    (raw(name, &dims, FLOAT, vec![0; 4 * elements]), dims)
}

/// Random permutation of `rank` axes.
fn permutation(rank: usize, n: &mut Numbers) -> Vec<i64> {
    let mut axes: Vec<i64> = (0..rank as i64).collect();
    (1..rank).for_each(|last| axes.swap(last, n.below(last + 1)));
    axes
}

/// A node that reads the constant `x` of these dimensions, by one of all ways in which constants are folded. Some are
/// refused, but only after they looked at their inputs.
fn reads(x: &str, y: &str, dims: &[usize], n: &mut Numbers) -> Msg {
    let rank = dims.len();
    match n.below(10) {
        0 => node("Transpose", "", &[x], &[y], &[]),
        1 => node("Transpose", "", &[x], &[y], &[attr_ints("perm", &permutation(rank, n))]),
        2 => node("Transpose", "", &[x], &[y], &[attr_ints("perm", &[0])]),
        3 => node("Slice", "", &[x, "zero", "one"], &[y], &[]),
        4 => node("Slice", "", &[x, "many", "many"], &[y], &[]),
        5 => node("Concat", "", &vec![x; 1 + n.below(30)], &[y], &[attr_i("axis", n.below(rank) as i64)]),
        6 => node("Concat", "", &[x, "many"], &[y], &[attr_i("axis", 0)]),
        7 => node("Squeeze", "", &[x], &[y], &[]),
        8 => node("Reshape", "", &[x, ["many", "all"][n.below(2)]], &[y], &[]),
        _ => node("Identity", "", &[x], &[y], &[]),
    }
}

#[test]
fn constants_of_any_rank_are_folded_in_linear_time() {
    let mut n = Numbers(12);
    for round in 0..60 {
        let rank = 1 + n.below([8, 2_000, 80_000][round % 3]);
        let wide = n.below(15);
        let (constant, dims) = stored("w", rank, wide, &mut n);
        let mut graph = Graph {
            stored: vec![
                constant,
                tensor_i64("zero", &[1], &[0]),
                tensor_i64("one", &[1], &[1]),
                tensor_i64("all", &[1], &[-1]),
                tensor_i64("many", &[5_000], &[1; 5_000]),
            ],
            ..Graph::default()
        };
        let mut size = graph.msg().0.len();
        while size < SIZE {
            let i = graph.nodes.len();
            let from =
                if n.below(2) == 0 || i < 2 { "w".to_owned() } else { format!("v{}", n.below(i / 2) * 2) };
            let made = reads(&from, &format!("v{i}"), &dims, &mut n);
            size += made.0.len() + 40;
            graph.nodes.push(made);
            graph.nodes.push(node("RNN", "", &["X", &format!("v{i}"), "w"], &[], &[]));
        }
        is_linear(&format!("round {round}, rank {rank}"), &graph.model(17));
    }
}

#[test]
fn joining_any_number_of_parts_takes_linear_time() {
    let mut n = Numbers(13);
    for round in 0..40 {
        // The parts have `outer` rows of one element, or of none, in any order. Without elements, nothing bounds the
        // rows.
        let (full, parts) = (n.below(4), 4 + n.below(60_000));
        let outer = (1 + n.below(60_000)) << if full == 0 { n.below(20) } else { 0 };
        let mut names = vec!["e"; parts];
        (0..full).for_each(|_| names[n.below(parts)] = "f");
        let empty = raw("e", &[outer, 0], FLOAT, vec![]);
        let full = raw("f", &[outer.min(60_000), 1], FLOAT, vec![0; 4 * outer.min(60_000)]);
        let nodes = vec![
            node("Concat", "", &names, &["w"], &[attr_i("axis", 1)]),
            node("RNN", "", &["X", "w", "e"], &[], &[]),
        ];
        let graph = Graph { nodes, stored: vec![empty, full], ..Graph::default() };
        is_linear(&format!("round {round}, {outer} rows, {parts} parts"), &graph.model(17));
    }
}

#[test]
fn sums_of_dimensions_of_empty_parts_do_not_overflow() {
    let huge = raw("w", &[0, 1 << 59], FLOAT, vec![]);
    let nodes = vec![
        node("Concat", "", &["w"; 40], &["v"], &[attr_i("axis", 1)]),
        node("RNN", "", &["X", "v", "w"], &[], &[]),
    ];
    let nodes = recurrent_nodes(&Graph { nodes, stored: vec![huge], ..Graph::default() }.model(17)).unwrap();
    let refusal = nodes[0].refusal().unwrap().to_string();
    assert!(refusal.contains("the sum of dimension 1 overflows"), "{refusal}");
}

/// A name of `len` characters, some of which a terminal would obey.
fn name(len: usize, n: &mut Numbers) -> String {
    (0..len).map(|_| ['a', '/', '\u{1b}', '\n', '\u{202e}', 'é'][n.below(6)]).collect()
}

#[test]
fn names_of_any_length_around_any_number_of_graphs_take_linear_time() {
    let mut n = Numbers(14);
    for round in 0..30 {
        let mut inner = Graph { nodes: vec![node("RNN", "", &[], &[], &[])], ..Graph::default() };
        if n.below(3) == 0 {
            inner.outputs = vec![untyped(&name(n.below(1_000), &mut n))];
        }
        let mut size = SIZE;
        // Up to 20 graphs around each other, each with a long name and several graphs inside.
        for _ in 0..=n.below(20) {
            let graph = attr_g(&name(1 + n.below(size / 2), &mut n), &inner.msg());
            let copies = 1 + n.below((size / (graph.0.len() + 1)).clamp(1, 20_000));
            let attributes = vec![graph; copies];
            inner = Graph {
                nodes: vec![node("If", &name(n.below(size / 2), &mut n), &[], &[], &attributes)],
                ..Graph::default()
            };
            size = (SIZE - SIZE.min(inner.msg().0.len())).max(10);
        }
        is_linear(&format!("round {round}"), &inner.model(17));
    }
}

#[test]
fn equal_names_take_linear_time() {
    let rnn = |name: &str| node("RNN", name, &[], &[], &[]);
    let mut nodes = vec![rnn("a"); 8_000];
    nodes.extend((0..8_000).map(|i| rnn(&format!("a#{i}"))));
    nodes.extend(vec![rnn("a#2"); 8_000]);
    is_linear("equal names", &Graph { nodes, ..Graph::default() }.model(17));
}

#[test]
fn any_number_of_bindings_takes_linear_time() {
    let names: Vec<String> = (0..60_000).map(|i| format!("w{i}")).collect();
    let graph = Graph {
        inputs: names.iter().map(|name| untyped(name)).collect(),
        nodes: names.iter().map(|name| node("RNN", "", &["X", name, name], &[], &[])).collect(),
        ..Graph::default()
    };
    let (file, tensor) = (graph.model(17), Tensor::scalar(1f32));
    let bindings: Vec<(&str, &Tensor)> = names.iter().map(|name| (name.as_str(), &tensor)).collect();
    let start = Instant::now();
    assert_eq!(recurrent_nodes_with(&file, &bindings).unwrap().len(), names.len());
    assert!(start.elapsed() < PER_BYTE * file.len() as u32, "{:?}", start.elapsed());
}

#[test]
fn errors_show_names_on_one_line_and_cut() {
    let long = format!("\u{1b}[2J\n{}", "x".repeat(300_000));
    let shown = format!("`\\u{{1b}}[2J\\n{}…`", "x".repeat(123));
    let refusal = |nodes: Vec<Msg>| match recurrent_nodes(&Graph { nodes, ..Graph::default() }.model(17)) {
        Ok(nodes) => nodes[0].refusal().unwrap().to_string(),
        Err(e) => e.to_string(),
    };
    for nodes in [
        vec![node("RNN", &long, &["X", "W", "R"], &[], &[])],
        vec![node("RNN", "", &["X", &long, "R"], &[], &[])],
        vec![node("RNN", "", &["X", "W", "R"], &[], &[attr_i(&long, 1)])],
        vec![node("RNN", "", &["X", "W", "R"], &[], &[rnnpack_dev::onnx::attr_s("direction", &long)])],
        vec![node("Identity", "", &["x"], &[&long, &long], &[])],
    ] {
        let text = refusal(nodes);
        assert!(text.contains(&shown), "{text}");
        assert!(text.len() < 500 && !text.contains(char::is_control), "{text}");
    }
}

/// The stack of a thread of Rust's standard library.
const STACK: usize = 2 << 20;

#[test]
fn graphs_nested_to_the_limit_fit_on_the_stack_of_a_thread() {
    let nested = |depth: usize| {
        let innermost = Graph { nodes: vec![node("RNN", "", &[], &[], &[])], ..Graph::default() };
        let around = |inner: Graph| Graph {
            nodes: vec![node("If", "", &[], &[], &[attr_g("then_branch", &inner.msg())])],
            ..Graph::default()
        };
        (0..depth).fold(innermost, |inner, _| around(inner)).model(17)
    };
    let read = |file: Vec<u8>| {
        let read = move || {
            let checked = rnnpack_onnx::decode(&file).map(|model| rnnpack_onnx::check_model(&model));
            let nodes = recurrent_nodes(&file).map(|nodes| (nodes.len(), nodes[0].graph.len()));
            (checked.is_ok(), nodes.map_err(|e| e.to_string()))
        };
        std::thread::Builder::new().stack_size(STACK).spawn(read).unwrap().join().unwrap()
    };
    // A level takes three messages (graph, node, attribute) of the hundred that may be nested.
    let deepest = (0..40).take_while(|&depth| read(nested(depth)).0).last().unwrap();
    assert_eq!(deepest, 32);
    let (nodes, path) = read(nested(deepest)).1.unwrap();
    assert_eq!(nodes, 1);
    assert!((400..=600).contains(&path), "{path}");
    for depth in [deepest + 1, 1_000, 20_000] {
        let error = read(nested(depth)).1.unwrap_err();
        assert!(error.contains("recursion limit"), "{error}");
    }
}
