//! Tests bfloat16 in whole models: values are moved, cast and computed by recurrent nodes, or refused by name.

use rnnpack_dev::onnx::{
    Dim, FLOAT, Graph, INT64, Msg, Numbers, attr_g, attr_i, attr_ints, attr_t, node, tensor, tensor_bool,
    tensor_i64, untyped, value,
};
use rnnpack_onnx::{DType, Error as OnnxError, Tensor};
use rnnpack_tract::Error;
use rnnpack_tract::{Kernels, Loader, Model};

const BFLOAT16: i64 = 16;

/// The nearest bf16 to a finite number, ties to even.
fn rounded(v: f32) -> f32 {
    let bits = v.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

/// A stored tensor of bf16, in raw data or in the typed field.
fn stored(name: &str, dims: &[usize], data: &[f32], raw: bool) -> Msg {
    let bits = data.iter().map(|v| (v.to_bits() >> 16) as u16);
    let m = dims.iter().fold(Msg::default(), |m, &d| m.int(1, d as i64)).int(2, BFLOAT16).text(8, name);
    match raw {
        true => m.bytes(9, &bits.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
        false => bits.fold(m, |m, b| m.int(5, b.into())),
    }
}

fn cast(from: &str, to: &str, kind: i64) -> Msg {
    node("Cast", &format!("{to}_cast"), &[from], &[to], &[attr_i("to", kind)])
}

/// A model that casts X `[2, 6]` of f32 to `x` of bf16, runs the nodes, and casts `y` back to Y.
fn model(stored: Vec<Msg>, nodes: &[Msg]) -> Vec<u8> {
    let graph = Graph {
        inputs: vec![value("X", FLOAT, &[Dim::Name("N"), Dim::N(6)])],
        outputs: vec![untyped("Y")],
        stored,
        nodes: [&[cast("X", "x", BFLOAT16)], nodes, &[cast("y", "Y", FLOAT)]].concat(),
    };
    graph.model(22)
}

fn x() -> (Tensor, Vec<f32>) {
    let values = Numbers(1).floats(12);
    (Tensor::new(&[2, 6], values.clone()).unwrap(), values.into_iter().map(rounded).collect())
}

fn run(bytes: &[u8]) -> Tensor {
    let model = Model::load(bytes).unwrap_or_else(|e| panic!("{e}"));
    model.run(&[("X", &x().0)]).unwrap_or_else(|e| panic!("{e}")).remove(0).1
}

#[test]
fn operators_that_move_values_take_bf16() {
    let (_, v) = x();
    let pick = |indices: &[usize]| indices.iter().map(|&i| v[i]).collect::<Vec<f32>>();
    let all: Vec<usize> = (0..12).collect();
    let transposed: Vec<usize> = (0..12).map(|i| i % 2 * 6 + i / 2).collect();
    let ints = |name: &str, v: &[i64]| tensor_i64(name, &[v.len()], v);
    let one = |op: &str, inputs: &[&str], attrs: &[Msg]| vec![node(op, "", inputs, &["y"], attrs)];
    for (what, stored, nodes, expected) in [
        ("Identity", vec![], one("Identity", &["x"], &[]), all.clone()),
        ("Transpose", vec![], one("Transpose", &["x"], &[attr_ints("perm", &[1, 0])]), transposed),
        ("Reshape", vec![ints("s", &[3, -1])], one("Reshape", &["x", "s"], &[]), all.clone()),
        ("Unsqueeze", vec![ints("s", &[1])], one("Unsqueeze", &["x", "s"], &[]), all.clone()),
        ("Flatten", vec![], one("Flatten", &["x"], &[]), all.clone()),
        (
            "Concat",
            vec![],
            one("Concat", &["x", "x"], &[attr_i("axis", 0)]),
            [all.clone(), all.clone()].concat(),
        ),
        (
            "Slice",
            vec![ints("a", &[1]), ints("b", &[4]), ints("c", &[1])],
            one("Slice", &["x", "a", "b", "c"], &[]),
            vec![1, 2, 3, 7, 8, 9],
        ),
        (
            "Gather",
            vec![ints("i", &[5, 0])],
            one("Gather", &["x", "i"], &[attr_i("axis", 1)]),
            vec![5, 0, 11, 6],
        ),
        (
            "Split",
            vec![ints("s", &[2, 4])],
            vec![node("Split", "", &["x", "s"], &["y", "z"], &[attr_i("axis", 1)])],
            vec![0, 1, 6, 7],
        ),
        (
            "Expand",
            vec![ints("s", &[2, 2, 6])],
            one("Expand", &["x", "s"], &[]),
            [all.clone(), all.clone()].concat(),
        ),
        (
            "Where",
            vec![tensor_bool("c", &[6], &[true, false, true, false, true, false])],
            vec![
                node("Gather", "", &["x", "r"], &["back"], &[attr_i("axis", 1)]),
                node("Where", "", &["c", "x", "back"], &["y"], &[]),
            ],
            vec![0, 4, 2, 2, 4, 0, 6, 10, 8, 8, 10, 6],
        ),
    ] {
        let reversed = ints("r", &[5, 4, 3, 2, 1, 0]);
        let found = run(&model([stored, vec![reversed]].concat(), &nodes));
        assert_eq!(found.as_slice::<f32>().unwrap(), pick(&expected), "{what}");
    }
    // The dimensions of a bf16 value are not bf16.
    let nodes = [node("Shape", "", &["x"], &["dims"], &[]), node("Reshape", "", &["x", "dims"], &["y"], &[])];
    assert_eq!(run(&model(vec![], &nodes)).as_slice::<f32>().unwrap(), v);
}

#[test]
fn stored_tensors_of_bf16_are_widened() {
    let (_, v) = x();
    let constant = attr_t("value", &stored("", &[1, 6], &v[..6], true));
    for (nodes, raw) in [(vec![], true), (vec![], false), (vec![constant], true)] {
        let (mut tensors, mut made) = (vec![], vec![]);
        match nodes.first() {
            Some(constant) => made.push(node("Constant", "", &[], &["k"], std::slice::from_ref(constant))),
            None => tensors.push(stored("k", &[1, 6], &v[..6], raw)),
        }
        made.push(node("Concat", "", &["x", "k"], &["y"], &[attr_i("axis", 0)]));
        let found = run(&model(tensors, &made));
        assert_eq!(found.as_slice::<f32>().unwrap(), [&v[..], &v[..6]].concat());
    }
}

#[test]
fn casts_round_once() {
    // Halfway between two bf16, and slightly above. f32 cannot hold the difference.
    let tie = 1.0 + 2f64.powi(-8);
    for (v, expected) in [(tie, 1.0), (tie + 2f64.powi(-40), 1.0 + 2f32.powi(-7)), (-tie, -1.0)] {
        let graph = Graph {
            inputs: vec![value("X", 11, &[])],
            outputs: vec![untyped("Y")],
            nodes: vec![cast("X", "x", BFLOAT16), cast("x", "Y", FLOAT)],
            ..Graph::default()
        };
        let found = Model::load(&graph.model(13)).unwrap().run(&[("X", &Tensor::scalar(v))]).unwrap();
        assert_eq!(found[0].1, Tensor::scalar(expected));
    }
    // Integers to bf16 and back, with Cast and with CastLike.
    let graph = Graph {
        inputs: vec![value("X", INT64, &[Dim::N(2)])],
        outputs: vec![untyped("Y")],
        stored: vec![stored("like", &[1], &[0.0], true)],
        nodes: vec![node("CastLike", "", &["X", "like"], &["x"], &[]), cast("x", "Y", INT64)],
    };
    let of = |v: Vec<i64>| Tensor::new(&[2], v).unwrap();
    let found = Model::load(&graph.model(15)).unwrap().run(&[("X", &of(vec![257, -259]))]).unwrap();
    assert_eq!(found[0].1, of(vec![256, -260]));
}

#[test]
fn bf16_passes_through_branches_and_bodies() {
    let (_, v) = x();
    let mut other = Graph { outputs: vec![untyped("b")], ..Graph::default() };
    other.nodes.push(node("Identity", "", &["x"], &["b"], &[]));
    let mut same =
        Graph { outputs: vec![value("a", BFLOAT16, &[Dim::Name("N"), Dim::N(6)])], ..Graph::default() };
    same.nodes.push(node("Concat", "", &["x"], &["a"], &[attr_i("axis", 0)]));
    let branches = [attr_g("then_branch", &same.msg()), attr_g("else_branch", &other.msg())];
    let formal = vec![untyped("i"), untyped("going"), value("in", BFLOAT16, &[])];
    let mut body = Graph { inputs: formal, ..Graph::default() };
    body.nodes.push(node("If", "", &["going"], &["chosen"], &branches));
    body.nodes.push(node("Concat", "", &["in", "chosen"], &["out"], &[attr_i("axis", 0)]));
    body.outputs = vec![untyped("going"), untyped("out"), untyped("chosen")];
    let nodes = [
        node("Loop", "", &["two", "", "x"], &["y", "all"], &[attr_g("body", &body.msg())]),
        cast("all", "ALL", FLOAT),
    ];
    let found = run(&model(vec![tensor_i64("two", &[], &[2])], &nodes));
    assert_eq!(found.as_slice::<f32>().unwrap(), v.repeat(3));
    let mut body = Graph { inputs: vec![untyped("h_in"), untyped("row")], ..Graph::default() };
    body.nodes.push(node("Identity", "", &["row"], &["h_out"], &[]));
    body.nodes.push(node("Identity", "", &["h_in"], &["before"], &[]));
    body.outputs = vec![untyped("h_out"), untyped("before")];
    let attrs = [attr_g("body", &body.msg()), attr_i("num_scan_inputs", 1)];
    let nodes = [node("Scan", "", &["h", "x"], &["last", "y"], &attrs)];
    let found = run(&model(vec![stored("h", &[6], &v[..6], true)], &nodes));
    assert_eq!(found.as_slice::<f32>().unwrap(), v[..6].repeat(2));
}

fn refused(bytes: &[u8], what: &str) -> OnnxError {
    match Model::load(bytes) {
        Ok(_) => panic!("{what} is not refused"),
        Err(Error::Onnx(e)) => e,
        Err(e) => panic!("{what}: {e}"),
    }
}

#[test]
fn operators_that_would_round_are_refused_by_name() {
    let unary = |op: &str| vec![node(op, "it", &["x"], &["y"], &[])];
    for (op, nodes) in [
        ("Add", vec![node("Add", "it", &["x", "x"], &["y"], &[])]),
        ("MatMul", vec![node("MatMul", "it", &["x", "x"], &["y"], &[])]),
        ("Relu", unary("Relu")),
        ("Softmax", unary("Softmax")),
        ("ReduceSum", unary("ReduceSum")),
        (
            "RandomNormal",
            vec![node("RandomNormal", "it", &[], &["y"], &[attr_ints("shape", &[1]), attr_i("dtype", 16)])],
        ),
    ] {
        match refused(&model(vec![], &nodes), op) {
            OnnxError::Node { node, op: found, reason } => {
                assert_eq!((node.as_str(), found.as_str()), ("it", op));
                assert!(reason.contains("bfloat16 is not computed"), "{reason}");
            }
            e => panic!("{op}: {e}"),
        }
    }
    // The internal name of rewritten casts is refused in a file.
    let Err(Error::Unsupported { operators }) = Model::load(&model(vec![], &unary("round to bfloat16")))
    else {
        panic!("the internal operator is not refused")
    };
    assert_eq!(operators[0].op, "round to bfloat16");
    // Also in a body.
    let mut body = Graph { inputs: ["i", "going", "in"].map(untyped).to_vec(), ..Graph::default() };
    body.nodes.push(node("Neg", "minus", &["in"], &["out"], &[]));
    body.outputs = vec![untyped("going"), untyped("out")];
    let nodes = [node("Loop", "loop", &["two", "", "x"], &["y"], &[attr_g("body", &body.msg())])];
    let e = refused(&model(vec![tensor_i64("two", &[], &[2])], &nodes), "Neg");
    assert!(matches!(&e, OnnxError::Node { node, .. } if node == "minus"), "{e}");
}

#[test]
fn bf16_beside_another_type_is_refused_by_name() {
    let concat = [node("Concat", "it", &["x", "X"], &["y"], &[attr_i("axis", 0)])];
    let e = refused(&model(vec![], &concat), "Concat");
    assert!(e.to_string().contains("`x` is of bfloat16, and `X` is not"), "{e}");
    // A carried value, and the branches of an If.
    let mut body = Graph { inputs: ["i", "going", "in"].map(untyped).to_vec(), ..Graph::default() };
    body.nodes.push(node("Identity", "", &["X"], &["out"], &[]));
    body.outputs = vec![untyped("going"), untyped("out")];
    let nodes = [node("Loop", "loop", &["two", "", "x"], &["y"], &[attr_g("body", &body.msg())])];
    let e = refused(&model(vec![tensor_i64("two", &[], &[2])], &nodes), "Loop");
    assert!(matches!(&e, OnnxError::Node { node, .. } if node == "loop"), "{e}");
    let branch = |from: &str, to: &str| {
        let mut branch = Graph { outputs: vec![untyped(to)], ..Graph::default() };
        branch.nodes.push(node("Identity", "", &[from], &[to], &[]));
        branch.msg()
    };
    let attrs = [attr_g("then_branch", &branch("x", "a")), attr_g("else_branch", &branch("X", "b"))];
    let nodes = [node("If", "choice", &["yes"], &["y"], &attrs)];
    let e = refused(&model(vec![tensor_bool("yes", &[], &[true])], &nodes), "If");
    assert!(matches!(&e, OnnxError::Node { node, .. } if node == "choice"), "{e}");
    // An output that is declared with another type.
    let mut graph = Graph { inputs: vec![value("X", FLOAT, &[])], ..Graph::default() };
    graph.nodes.push(cast("X", "Y", BFLOAT16));
    graph.outputs = vec![value("Y", FLOAT, &[])];
    let e = refused(&graph.model(13), "Y");
    assert!(matches!(&e, OnnxError::Value { name, .. } if name == "Y"), "{e}");
}

#[test]
fn stored_tensors_of_bf16_are_checked() {
    let bad = |m: Msg| m.int(1, 1).int(2, BFLOAT16).text(8, "k");
    let nodes = [node("Concat", "", &["k"], &["y"], &[attr_i("axis", 0)])];
    for (t, words) in [
        (bad(Msg::default()).int(5, 0x1_0000), "does not fit"),
        (bad(Msg::default()).int(5, -1), "does not fit"),
        (bad(Msg::default()).bytes(9, &[0; 3]), "3 bytes of raw data"),
    ] {
        let e = refused(&model(vec![t], &nodes), words);
        assert!(matches!(&e, OnnxError::Tensor { tensor, .. } if tensor == "k"), "{e}");
        assert!(e.to_string().contains(words), "{e}");
    }
}

fn of(dtype: DType, dims: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::new(dims, values).unwrap().round_to(dtype).unwrap()
}

#[test]
fn inputs_and_outputs_keep_their_element_type() {
    for (dtype, number) in [(DType::BF16, BFLOAT16), (DType::F16, 10)] {
        let graph = Graph {
            inputs: ["X", "K"].map(|n| value(n, number, &[Dim::Name("N"), Dim::N(2)])).to_vec(),
            outputs: vec![value("Y", number, &[Dim::N(2), Dim::Name("M")]), untyped("L")],
            nodes: vec![
                node("Concat", "", &["X", "K"], &["both"], &[attr_i("axis", 0)]),
                node("Transpose", "", &["both"], &["Y"], &[attr_ints("perm", &[1, 0])]),
                node("Identity", "", &["X"], &["L"], &[]),
            ],
            ..Graph::default()
        };
        let (x, k) = (of(dtype, &[1, 2], vec![1.0, 0.3]), of(dtype, &[1, 2], vec![f32::INFINITY, -0.0]));
        let (one, inf) = (x.to_f32().unwrap(), f32::INFINITY);
        let expected = of(dtype, &[2, 2], vec![1.0, inf, one.as_slice::<f32>().unwrap()[1], -0.0]);
        let model = Model::load(&graph.model(22)).unwrap();
        assert!(model.inputs().iter().chain(model.outputs()).all(|v| v.dtype == dtype), "{dtype}");
        let found = model.run(&[("X", &x), ("K", &k)]).unwrap();
        assert_eq!((&found[0].1, &found[1].1), (&expected, &x));
        match model.run(&[("X", &one), ("K", &k)]) {
            Err(Error::Onnx(OnnxError::Value { name, reason })) => {
                assert_eq!((name.as_str(), reason), ("X", format!("it is f32, not {dtype}")));
            }
            other => panic!("{other:?}"),
        }
        let bound = Loader::new().bind("K", k).load(&graph.model(22)).unwrap();
        assert_eq!(bound.run(&[("X", &x)]).unwrap()[0].1, expected);
        let mut stream = bound.stream(&[("X", "L")]).unwrap();
        assert_eq!(stream.run(&[("X", &x)]).unwrap(), stream.run(&[]).unwrap());
    }
}

/// An RNN of X and stored weights, each with its own element type.
fn rnn(kinds: [i64; 3], opset: i64) -> Vec<u8> {
    let store = |name: &str, kind: i64| match kind {
        BFLOAT16 => stored(name, &[1, 2, 2], &[0.5; 4], true),
        _ => tensor(name, &[1, 2, 2], &[0.5; 4]),
    };
    let graph = Graph {
        inputs: vec![value("X", kinds[0], &[Dim::N(1), Dim::N(1), Dim::N(2)])],
        outputs: vec![untyped("Y")],
        stored: vec![store("W", kinds[1]), store("R", kinds[2])],
        nodes: vec![node("RNN", "rnn", &["X", "W", "R"], &["Y"], &[])],
    };
    graph.model(opset)
}

#[test]
fn recurrent_nodes_compute_bf16_where_their_operator_set_has_it() {
    let b = BFLOAT16;
    let model = Model::load(&rnn([b; 3], 22)).unwrap();
    let x = of(DType::BF16, &[1, 1, 2], vec![0.25, 0.5]);
    let y = model.run(&[("X", &x)]).unwrap().remove(0).1;
    assert_eq!(y, of(DType::BF16, &[1, 1, 1, 2], vec![0.375f32.tanh(); 2]));
    for (kinds, opset, input) in
        [([b; 3], 21, "W"), ([FLOAT, b, b], 22, "X"), ([b, FLOAT, FLOAT], 22, "X"), ([b, b, FLOAT], 22, "R")]
    {
        match refused(&rnn(kinds, opset), input) {
            OnnxError::Input { node, input: found, .. } => {
                assert_eq!((node.as_str(), found.as_str()), ("rnn", input), "{kinds:?}");
            }
            e => panic!("{kinds:?}: {e}"),
        }
    }
    let on_tract = Loader::new().kernels(Kernels::Tract).load(&rnn([b; 3], 22));
    match on_tract {
        Err(Error::Onnx(OnnxError::Node { node, reason, .. })) => {
            assert_eq!(node, "rnn");
            assert!(reason.contains("bfloat16 is not computed"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cast_decides_the_element_type_of_a_recurrent_node() {
    // X is declared as f32 and cast to bf16 before the node.
    let x = Tensor::new(&[1, 1, 2], vec![0.3f32, 0.7]).unwrap();
    let graph = |opset| {
        let weights = ["W", "R"].map(|n| stored(n, &[1, 2, 2], &[0.5; 4], true)).to_vec();
        let graph = Graph {
            inputs: vec![value("X", FLOAT, &[Dim::N(1), Dim::N(1), Dim::N(2)])],
            outputs: vec![untyped("Z")],
            stored: weights,
            nodes: vec![
                cast("X", "x", BFLOAT16),
                node("RNN", "rnn", &["x", "W", "R"], &["Y"], &[]),
                cast("Y", "Z", FLOAT),
            ],
        };
        graph.model(opset)
    };
    let found = Model::load(&graph(22)).unwrap().run(&[("X", &x)]).unwrap();
    let y = rounded((0.5 * (rounded(0.3) + rounded(0.7))).tanh());
    assert_eq!(found[0].1.as_slice::<f32>().unwrap(), [y, y]);
    let e = refused(&graph(21), "operator set 21");
    assert!(matches!(&e, OnnxError::Input { node, .. } if node == "rnn"), "{e}");
}
