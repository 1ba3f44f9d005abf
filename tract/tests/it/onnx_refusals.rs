//! What is refused, and that the refusal names it.

use rnnpack_dev::onnx::recurrent_nodes;
use rnnpack_dev::onnx::{
    Dim, FLOAT, Graph, Msg, attr, attr_f, attr_floats, attr_g, attr_i, attr_ints, attr_s, attr_strings,
    model, node, tensor, tensor_i64, untyped, value,
};
use rnnpack_onnx::Error as OnnxError;
use rnnpack_tract::Error;

const H: usize = 2;
const I: usize = 3;

/// A model of one LSTM node, `lstm`, and all that a test may want to change in it.
struct One {
    op: &'static str,
    attrs: Vec<Msg>,
    inputs: Vec<&'static str>,
    outputs: Vec<&'static str>,
    stored: Vec<Msg>,
    nodes: Vec<Msg>,
    opset: i64,
}

fn one() -> One {
    One {
        op: "LSTM",
        attrs: vec![attr_i("hidden_size", H as i64)],
        inputs: vec!["X", "W", "R", "B"],
        outputs: vec!["Y"],
        stored: vec![
            tensor("W", &[1, 4 * H, I], &[0.5; 4 * H * I]),
            tensor("R", &[1, 4 * H, H], &[0.5; 4 * H * H]),
            tensor("B", &[1, 8 * H], &[0.5; 8 * H]),
        ],
        nodes: vec![],
        opset: 17,
    }
}

/// The same of another operator.
fn of(op: &'static str, gates: usize) -> One {
    let weights = [[1, gates * H, I].to_vec(), [1, gates * H, H].to_vec(), [1, 2 * gates * H].to_vec()];
    let stored = ["W", "R", "B"].into_iter().zip(weights);
    let stored = stored.map(|(name, dims)| tensor(name, &dims, &vec![0.5; dims.iter().product()])).collect();
    One { op, stored, ..one() }
}

impl One {
    fn attr(self, attr: Msg) -> One {
        One { attrs: vec![attr], ..self }
    }

    fn opset(self, opset: i64) -> One {
        One { opset, ..self }
    }

    fn inputs(self, inputs: &[&'static str]) -> One {
        One { inputs: inputs.to_vec(), ..self }
    }

    /// Another tensor in place of number `i` of W, R and B.
    fn stored(mut self, i: usize, t: Msg) -> One {
        self.stored[i] = t;
        self
    }

    /// W is the output of a node.
    fn computed(mut self, op: &str, inputs: &[&str], attrs: &[Msg]) -> One {
        self.stored[0] = tensor("raw_W", &[4 * H, I], &[0.5; 4 * H * I]);
        self.nodes.push(node(op, "maker", inputs, &["W"], attrs));
        self
    }

    fn graph(&self) -> Graph {
        let lstm = node(self.op, "lstm", &self.inputs, &self.outputs, &self.attrs);
        Graph {
            nodes: self.nodes.iter().cloned().chain([lstm]).collect(),
            stored: self.stored.clone(),
            inputs: vec![value("X", FLOAT, &[Dim::Name("T"), Dim::Name("B"), Dim::N(I)])],
            outputs: vec![untyped("Y")],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.graph().model(self.opset)
    }
}

fn onnx_error<T>(result: Result<T, impl Into<Error>>, what: &str) -> OnnxError {
    match result.map_err(Into::into) {
        Ok(_) => panic!("{what} is not refused"),
        Err(Error::Onnx(e)) => e,
        Err(e) => panic!("{what}: {e}"),
    }
}

/// The refusal of a node, which must be the same for a whole model.
fn refused(one: &One, what: &str) -> OnnxError {
    let bytes = one.bytes();
    let error = onnx_error(recurrent_nodes(&bytes).and_then(|nodes| nodes[0].pack()), what);
    {
        let whole = onnx_error(rnnpack_tract::Model::load(&bytes), what);
        assert_eq!(whole.to_string(), error.to_string(), "{what}");
    }
    error
}

#[test]
fn attributes() {
    let non_utf8 = attr("direction", 3).bytes(4, &[0xff, 0xfe]);
    let of_function = attr("clip", 1).text(21, "outer_clip");
    for (name, attr, reason) in [
        ("clip", attr_f("clip", 0.0), "0 is no threshold"),
        ("clip", attr_f("clip", -1.5), "-1.5 is no threshold"),
        ("clip", attr_f("clip", f32::INFINITY), "inf is no threshold"),
        ("clip", attr_f("clip", f32::NAN), "NaN is no threshold"),
        ("clip", of_function, "refers to `outer_clip`"),
        ("input_forget", attr_i("input_forget", 2), "2 is neither 0 nor 1"),
        ("activations", attr_strings("activations", &["Sigmoid", "Swish", "Tanh"]), "`Swish`"),
        ("activations", attr_strings("activations", &["Sigmoid", "Tanh"]), "are 2, not 3"),
        ("activations", attr_strings("activations", &["Sigmoid"; 6]), "are 6, not 3"),
        ("activations", attr_strings("activations", &[]), "are 0, not 3"),
        ("activation_alpha", attr_floats("activation_alpha", &[0.5]), "[0.5] is left over"),
        ("activation_beta", attr_floats("activation_beta", &[0.5, 2.0]), "[0.5, 2.0] is left over"),
        ("activation_alpha", attr_floats("activation_alpha", &[f32::NAN]), "NaN is no finite number"),
        ("direction", attr_s("direction", "sideways"), "`sideways`"),
        ("direction", non_utf8, "not UTF-8"),
        ("layout", attr_i("layout", 2), "2 is no layout"),
        ("hidden_size", attr_i("hidden_size", 5), "5, but R has 2"),
        ("hidden_size", attr_i("hidden_size", 0), "0 is no size"),
        ("hidden_size", attr_i("hidden_size", -1), "-1 is no size"),
        ("hidden_size", attr_f("hidden_size", 2.0), "FLOAT"),
        ("hidden_size", attr_i("hidden_size", 2).int(20, 7), "INTS"),
        ("linear_before_reset", attr_i("linear_before_reset", 1), "not an attribute"),
        ("output_sequence", attr_i("output_sequence", 1), "not an attribute"),
        ("colour", attr_i("colour", 1), "not an attribute"),
    ] {
        match refused(&one().attr(attr), name) {
            OnnxError::Attribute { node, attribute, reason: r } => {
                assert_eq!((node.as_str(), attribute.as_str()), ("lstm", name));
                assert!(r.contains(reason), "{name}: {r}");
            }
            e => panic!("{name}: {e}"),
        }
    }
    let twice = One { attrs: vec![attr_i("hidden_size", 2); 2], ..one() };
    assert_eq!(refused(&twice, "twice").to_string(), "node `lstm`: attribute `hidden_size`: given twice");
}

#[test]
fn attributes_of_other_operator_sets() {
    for (opset, name, attr) in [
        (13, "layout", attr_i("layout", 0)),
        (6, "output_sequence", attr_i("output_sequence", 2)),
        (7, "output_sequence", attr_i("output_sequence", 0)),
    ] {
        let e = refused(&one().attr(attr).opset(opset), name);
        assert!(matches!(&e, OnnxError::Attribute { attribute, .. } if attribute == name), "{e}");
    }
    let gru = One { outputs: vec!["Y", "Y_h"], ..of("GRU", 3) };
    let e = refused(&gru.attr(attr_i("linear_before_reset", 0)).opset(2), "GRU");
    assert!(
        matches!(&e, OnnxError::Attribute { attribute, .. } if attribute == "linear_before_reset"),
        "{e}"
    );
    for opset in [0, -3, 29, i64::MAX] {
        let e = refused(&one().opset(opset), "opset");
        assert!(matches!(&e, OnnxError::Opset { version: Some(v), .. } if *v == opset), "{e}");
        assert!(e.to_string().contains("`lstm`"), "{e}");
    }
}

#[test]
fn outputs_of_old_operator_sets() {
    let wanted = One { outputs: vec!["", "Y_h"], ..one() }.attr(attr_i("output_sequence", 1)).opset(6);
    match onnx_error(recurrent_nodes(&wanted.bytes()).and_then(|n| n[0].pack()), "no Y") {
        OnnxError::Attribute { attribute, reason, .. } => {
            assert_eq!(
                (attribute.as_str(), reason.as_str()),
                ("output_sequence", "1, but the node has no output `Y`")
            );
        }
        e => panic!("{e}"),
    }
    let e = onnx_error(recurrent_nodes(&of("GRU", 3).opset(2).bytes()).and_then(|n| n[0].pack()), "no Y_h");
    assert!(
        matches!(&e, OnnxError::Node { node, .. } if node == "lstm") && e.to_string().contains("`Y_h`"),
        "{e}"
    );
    let both = One { outputs: vec!["Y", "Y_h"], ..of("GRU", 3) };
    recurrent_nodes(&both.opset(2).bytes()).unwrap()[0].pack().unwrap();
}

#[test]
fn defaults_that_are_written_out_are_computed() {
    for attr in [
        attr_strings("activations", &["sigmoid", "TANH", "Tanh"]),
        attr_i("input_forget", 0),
        attr_i("layout", 0),
        attr_s("direction", "forward"),
        attr_floats("activation_alpha", &[]),
    ] {
        let bytes = one().attr(attr).bytes();
        recurrent_nodes(&bytes).unwrap()[0].pack().unwrap();
        rnnpack_tract::Model::load(&bytes).unwrap();
    }
    let both = attr_strings("activations", &["Sigmoid", "Tanh", "Tanh"]);
    let both = One { attrs: vec![attr_s("direction", "bidirectional"), both], ..one() };
    let e = refused(&both, "activations of one direction");
    assert!(matches!(&e, OnnxError::Attribute { attribute, .. } if attribute == "activations"), "{e}");
}

/// A stored W with some field of its own.
fn w(change: impl FnOnce(Msg) -> Msg) -> Msg {
    change(Msg::default().text(8, "W"))
}

#[test]
fn inputs_and_weights() {
    let dims = |m: Msg, dims: &[i64]| dims.iter().fold(m, |m, &d| m.int(1, d));
    let floats = |n: usize| vec![0u8; 4 * n];
    for (name, one, reason) in [
        ("P", one().inputs(&["X", "W", "R", "B", "", "", "", "B"]), "[1, 16], not [1, 6]"),
        ("W", one().inputs(&["X", "", "R"]), "missing"),
        ("R", one().inputs(&["X", "W"]), "missing"),
        ("W", one().stored(0, tensor("W", &[1, 4 * H + 1, I], &[0.5; 27])), "[1, 9, 3], not [1, 8, 3]"),
        ("W", one().stored(0, tensor("W", &[2, 4 * H, I], &[0.5; 48])), "[2, 8, 3], not [1, 8, 3]"),
        ("W", one().stored(0, tensor("W", &[4 * H, I], &[0.5; 24])), "[8, 3], not 3"),
        ("R", one().stored(1, tensor("R", &[1, 3 * H, H], &[0.5; 12])), "[1, 6, 2], not [1, 8, 2]"),
        ("B", one().stored(2, tensor("B", &[1, 4 * H], &[0.5; 8])), "[1, 8], not [1, 16]"),
        ("B", one().stored(2, tensor("B", &[8 * H], &[0.5; 16])), "not 2"),
        (
            "W",
            one().stored(0, tensor_i64("W", &[1, 8, 3], &[1; 24])),
            "i64, where LSTM of operator set 17 has f32, f64, f16",
        ),
    ] {
        match refused(&one, name) {
            OnnxError::Input { node, input, reason: r } => {
                assert_eq!((node.as_str(), input.as_str()), ("lstm", name), "{r}");
                assert!(r.contains(reason), "{name}: {r}");
            }
            e => panic!("{name}: {e}"),
        }
    }
    // An input of the graph can be packed only when a whole model runs.
    for (name, inputs) in [("W", &["X", "X", "R"][..]), ("P", &["X", "W", "R", "B", "", "", "", "X"][..])] {
        let bytes = one().inputs(inputs).bytes();
        let e = onnx_error(recurrent_nodes(&bytes).and_then(|n| n[0].pack()), name);
        let named = matches!(&e, OnnxError::Input { node, input, .. } if node == "lstm" && input == name);
        assert!(named && e.to_string().contains("`X` is an input of the graph"), "{e}");
    }
    // Stored tensors that are not whole: the list blames the node's input, a whole model the tensor.
    for (t, reason) in [
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1).bytes(9, &floats(23))), "92 bytes of raw data"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1).bytes(9, &[0; 97])), "97 bytes of raw data"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1)), "0 bytes of raw data"),
        (w(|m| dims(m, &[1, -8, 3]).int(2, 1)), "dimension -8"),
        (w(|m| dims(m, &[1 << 40, 1 << 40]).int(2, 1)), "overflows"),
        (w(|m| dims(m, &[i64::MAX, 0, 3]).int(2, 1)), "overflows"),
        (w(|m| dims(m, &[1 << 38]).int(2, 1)), "0 bytes of raw data"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1).int(14, 1)), "external file"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1).msg(13, &Msg::default())), "external file"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 77).bytes(9, &floats(24))), "unknown element type 77"),
        (w(|m| dims(m, &[1]).int(2, 1).int(7, 5)), "another element type"),
        (w(|m| dims(m, &[1]).int(2, 1).float(4, 5.0).bytes(9, &floats(1))), "two fields"),
        (w(|m| dims(m, &[2]).int(2, 1).float(4, 5.0)), "1 values"),
    ] {
        let bytes = one().stored(0, t).bytes();
        let e = onnx_error(recurrent_nodes(&bytes).and_then(|n| n[0].pack()), reason);
        let named = matches!(&e, OnnxError::Input { node, input, .. } if node == "lstm" && input == "W");
        assert!(named && e.to_string().contains(reason), "{e}");
        {
            let e = onnx_error(rnnpack_tract::Model::load(&bytes), reason);
            let named = matches!(&e, OnnxError::Tensor { tensor, .. } if tensor == "W");
            assert!(named && e.to_string().contains(reason), "{e}");
        }
    }
    let half = w(|m| dims(m, &[1, 8, 3]).int(2, 10).bytes(9, &[0; 48]));
    assert!(refused(&one().stored(0, half), "half").to_string().contains("`R`: it is f32, but W is f16"));
    let many = one().inputs(&["X", "W", "R", "B", "", "", "", "", "B"]);
    assert!(matches!(refused(&many, "nine inputs"), OnnxError::Node { node, .. } if node == "lstm"));
}

#[test]
fn weights_that_are_not_finite() {
    let mut data = [0.5; 24];
    data[7] = f32::NAN;
    match refused(&one().stored(0, tensor("W", &[1, 8, 3], &data)), "NaN") {
        OnnxError::Input { node, input, reason } => {
            assert_eq!([&*node, &*input, &*reason], ["lstm", "W", "element 7 is NaN"]);
        }
        e => panic!("{e}"),
    }
}

#[test]
fn weights_that_are_not_folded() {
    let axes = |v: &[i64]| attr_ints("axes", v);
    for (one, reason) in [
        (
            one().computed("MatMul", &["raw_W", "raw_W"], &[]),
            "`MatMul` node `maker`: this operator is not folded",
        ),
        (one().opset(11).computed("Unsqueeze", &["raw_W"], &[]), "`axes` is missing"),
        (one().opset(11).computed("Unsqueeze", &["raw_W"], &[axes(&[4])]), "axis 4 of 3"),
        (one().opset(11).computed("Unsqueeze", &["raw_W"], &[axes(&[0, 0])]), "axis 0 twice"),
        (one().computed("Unsqueeze", &["raw_W"], &[axes(&[0])]), "not an attribute"),
        (one().opset(11).computed("Squeeze", &["raw_W"], &[axes(&[0])]), "dimension of 8"),
        (one().computed("Transpose", &["raw_W"], &[attr_ints("perm", &[0, 0])]), "no permutation"),
        (one().computed("Concat", &["raw_W", "R"], &[attr_i("axis", 0)]), "do not join"),
        (one().computed("Concat", &["raw_W"], &[]), "`axis` is missing"),
        (one().computed("Slice", &["raw_W"], &[]), "`starts` or `ends` is missing"),
        (one().computed("Reshape", &["raw_W", "R"], &[]), "dimensions [1, 8, 2]"),
        (one().computed("Constant", &[], &[]), "exactly one value"),
        (one().computed("Identity", &["nowhere"], &[]), "no value `nowhere`"),
        (one().computed("Identity", &["W"], &[]), "depends on itself"),
    ] {
        let e = onnx_error(recurrent_nodes(&one.bytes()).and_then(|n| n[0].pack()), reason);
        let named = matches!(&e, OnnxError::Input { node, input, .. } if node == "lstm" && input == "W");
        assert!(named && e.to_string().contains(reason), "{reason}: {e}");
        let whole = rnnpack_tract::Model::load(&one.bytes()).unwrap_err();
        assert!(matches!(&whole, Error::Onnx(_) | Error::Tract { .. }), "{reason}: {whole}");
    }
}

#[test]
fn long_and_branching_expressions_end() {
    let mut chain = one();
    chain.stored[0] = tensor("w0", &[1, 8, 3], &[0.5; 24]);
    for i in 0..100_000 {
        let (from, to) = (format!("w{i}"), if i == 99_999 { "W".to_string() } else { format!("w{}", i + 1) });
        chain.nodes.push(node("Identity", "", &[&from], &[&to], &[]));
    }
    let e = onnx_error(recurrent_nodes(&chain.bytes()).and_then(|n| n[0].pack()), "chain");
    assert!(e.to_string().contains("chain of 64 operators"), "{e}");
    let mut doubling = one();
    doubling.stored[0] = tensor("w0", &[1, 8, 3], &[0.5; 24]);
    for i in 0..60 {
        let (from, to) = (format!("w{i}"), if i == 59 { "W".to_string() } else { format!("w{}", i + 1) });
        doubling.nodes.push(node("Concat", "", &[&from, &from], &[&to], &[attr_i("axis", 1)]));
    }
    let e = onnx_error(recurrent_nodes(&doubling.bytes()).and_then(|n| n[0].pack()), "doubling");
    assert!(e.to_string().contains("too many bytes"), "{e}");
}

#[test]
fn other_operators_and_domains() {
    for (op, gates) in [("GRU", 3), ("RNN", 1)] {
        recurrent_nodes(&of(op, gates).bytes()).unwrap()[0].pack().unwrap();
        let e = onnx_error(recurrent_nodes(&One { op, ..one() }.bytes()).and_then(|n| n[0].pack()), op);
        assert!(matches!(&e, OnnxError::Input { input, .. } if input == "W"), "{e}");
        let eight = of(op, gates).inputs(&["X", "W", "R", "", "", "", "", "P"]);
        let e = onnx_error(recurrent_nodes(&eight.bytes()).and_then(|n| n[0].pack()), op);
        assert!(e.to_string().contains("8 inputs"), "{e}");
    }
    let mut graph = one().graph();
    graph.nodes = vec![graph.nodes[0].clone().text(7, "com.example")];
    let e = onnx_error(recurrent_nodes(&graph.model(17)).and_then(|n| n[0].pack()), "domain");
    assert_eq!(e.to_string(), "node `lstm` (com.example.LSTM): it is not of the standard operator set");
    graph.nodes = vec![one().graph().nodes[0].clone().text(7, "ai.onnx")];
    recurrent_nodes(&graph.model(17)).unwrap()[0].pack().unwrap();
    let inside = graph.nodes[0].clone();
    let function = Msg::default().text(1, "twin").msg(7, &inside);
    let bytes = Msg(graph.model(17)).msg(25, &function).0;
    let e = onnx_error(recurrent_nodes(&bytes), "function");
    assert!(e.to_string().contains("function `twin`"), "{e}");
}

#[test]
fn operator_sets_of_the_model() {
    let graph = one().graph().msg();
    let none = Msg::default().msg(7, &graph).0;
    let twice = Msg(model(&graph, 17)).msg(8, &Msg::default().text(1, "ai.onnx").int(2, 16)).0;
    for (bytes, reason) in [(none, "not declared"), (twice, "declared twice")] {
        let e = onnx_error(recurrent_nodes(&bytes), reason);
        assert!(matches!(e, OnnxError::Opset { .. }) && e.to_string().contains(reason), "{e}");
    }
}

#[test]
fn names() {
    let with = |change: &dyn Fn(&mut Graph)| {
        let mut graph = one().graph();
        change(&mut graph);
        graph.model(17)
    };
    let body = |names: &[&str]| {
        let mut body = Graph::default();
        names.iter().for_each(|n| body.nodes.push(node("Identity", "", &["X"], &[n], &[])));
        body.outputs = vec![untyped(names[0])];
        node("If", "if", &["cond"], &["Z"], &[attr_g("then_branch", &body.msg())])
    };
    for (name, graph, bytes) in [
        ("W", "main", with(&|g| g.stored.push(tensor("W", &[1], &[0.])))),
        ("X", "main", with(&|g| g.inputs.push(value("X", FLOAT, &[])))),
        ("", "main", with(&|g| g.stored.push(tensor("", &[1], &[0.])))),
        ("", "main", with(&|g| g.inputs.push(value("", FLOAT, &[])))),
        ("Y", "main", with(&|g| g.nodes.push(node("Identity", "", &["X"], &["Y"], &[])))),
        ("W", "main", with(&|g| g.nodes.push(node("Identity", "", &["X"], &["W"], &[])))),
        ("V", "main/if.then_branch", with(&|g| g.nodes.push(body(&["V", "V"])))),
        ("W", "main/if.then_branch", with(&|g| g.nodes.push(body(&["W"])))),
    ] {
        match onnx_error(recurrent_nodes(&bytes), name) {
            OnnxError::Name { graph: g, name: n, .. } => assert_eq!((g.as_str(), n.as_str()), (graph, name)),
            e => panic!("{name}: {e}"),
        }
    }
    // An input may have a stored default.
    recurrent_nodes(&with(&|g| g.inputs.push(value("W", FLOAT, &[])))).unwrap()[0].pack().unwrap();
    let bytes = with(&|g| g.nodes.push(Msg::default().bytes(3, &[0xc3, 0x28])));
    assert!(matches!(onnx_error(recurrent_nodes(&bytes), "UTF-8"), OnnxError::Malformed { .. }));
}

#[test]
fn nesting_is_bounded() {
    let mut graph = Graph::default().msg();
    for depth in 0..20_000 {
        graph = Msg::default().msg(1, &Msg::default().text(4, "If").msg(5, &attr_g("then_branch", &graph)));
        if depth > 40 && depth % 4_999 != 0 {
            continue;
        }
        let read = recurrent_nodes(&model(&graph, 17));
        assert!(depth < 35 || read.is_err(), "{depth}");
        if let Err(e) = read {
            assert!(matches!(&e, OnnxError::Malformed { .. }), "{e}");
        }
    }
}

#[test]
fn no_model() {
    for bytes in [&b""[..], b"\x08", b"hello world", &[0xff; 64]] {
        assert!(matches!(onnx_error(recurrent_nodes(bytes), "no model"), OnnxError::Malformed { .. }));
    }
}

mod whole_models {
    use super::*;
    use rnnpack_dev::onnx::{INT32, INT64};
    use rnnpack_onnx::Tensor;
    use rnnpack_tract::{Kernels, Loader, Model};

    /// The model, value and words of a refusal.
    fn value_refused<T>(result: Result<T, Error>, name: &str, words: &str) {
        match onnx_error(result, name) {
            OnnxError::Value { name: n, reason } => {
                assert_eq!(n, name, "{reason}");
                assert!(reason.contains(words), "{name}: {reason}");
            }
            e => panic!("{name}: {e}"),
        }
    }

    /// A model with two inputs of `T` steps, X and lens, and an unused input `sr`.
    fn two() -> Vec<u8> {
        let mut graph = one().inputs(&["X", "W", "R", "B", "lens"]).graph();
        graph.inputs.push(value("lens", INT32, &[Dim::Name("B")]));
        graph.inputs.push(value("sr", INT64, &[]));
        graph.model(17)
    }

    fn floats(dims: &[usize]) -> Tensor {
        Tensor::new(dims, vec![0.25f32; dims.iter().product()]).unwrap()
    }

    #[test]
    fn bindings_and_shapes() {
        let bytes = two();
        let load = |loader: Loader| loader.load(&bytes);
        let rate = || Tensor::scalar(1i64);
        value_refused(load(Loader::new().bind("rate", rate())), "rate", "no input");
        value_refused(load(Loader::new().bind("W", floats(&[1]))), "W", "no input");
        value_refused(load(Loader::new().bind("sr", rate()).bind("sr", rate())), "sr", "twice");
        value_refused(load(Loader::new().bind("sr", Tensor::scalar(1i32))), "sr", "i32, but is INT64");
        value_refused(
            load(Loader::new().bind("sr", Tensor::new(&[1], vec![1i64]).unwrap())),
            "sr",
            "dimensions",
        );
        value_refused(load(Loader::new().shape("Z", &[1])), "Z", "no input");
        value_refused(load(Loader::new().shape("X", &[1, 2])), "X", "3 dimensions, not 2");
        value_refused(load(Loader::new().shape("X", &[1, 2, 4])), "X", "dimension 2 is 3, not 4");
        value_refused(load(Loader::new().shape("X", &[1, 2, 3]).shape("X", &[1, 2, 3])), "X", "twice");
        value_refused(load(Loader::new().shape("X", &[1, 2, 3]).shape("lens", &[3])), "lens", "`B`");
        let model = load(Loader::new().bind("sr", rate()).shape("X", &[4, 2, 3])).unwrap();
        let inputs: Vec<String> =
            model.inputs().iter().map(|i| format!("{} {} {:?}", i.name, i.dtype, i.dims)).collect();
        assert_eq!(inputs, ["X f32 [Fixed(4), Fixed(2), Fixed(3)]", "lens i32 [Fixed(2)]"]);
        assert_eq!(model.outputs()[0].dims.len(), 4);
    }

    #[test]
    fn feeds() {
        let model = Model::load(&two()).unwrap();
        let (x, lens, rate) =
            (floats(&[4, 2, 3]), Tensor::new(&[2], vec![4, 1]).unwrap(), Tensor::scalar(1i64));
        let all = [("X", &x), ("lens", &lens), ("sr", &rate)];
        model.run(&all).unwrap();
        value_refused(model.run(&all[..2]), "sr", "missing");
        value_refused(model.run(&[all[0], all[1], all[2], all[2]]), "sr", "twice");
        value_refused(model.run(&[("Z", &x)]), "Z", "no such input");
        let with_x = |x: Tensor| model.run(&[("X", &x), all[1], all[2]]);
        value_refused(with_x(Tensor::new(&[4, 2, 3], vec![0f64; 24]).unwrap()), "X", "f64, not f32");
        value_refused(with_x(floats(&[4, 6])), "X", "2 dimensions, not 3");
        value_refused(with_x(floats(&[4, 2, 5])), "X", "dimension 2 (3) is 5, not 3");
        value_refused(with_x(floats(&[4, 3, 3])), "lens", "dimension 0 (B) is 2, not 3");
        for len in [5, -1] {
            let lens = Tensor::new(&[2], vec![1, len]).unwrap();
            match onnx_error(model.run(&[all[0], ("lens", &lens), all[2]]), "lens") {
                OnnxError::Layer { node, source } => {
                    assert_eq!(node, "lstm");
                    assert!(source.to_string().contains(&len.to_string()), "{source}");
                }
                e => panic!("{e}"),
            }
        }
        model.run(&all).unwrap();
    }

    #[test]
    fn streams() {
        let model = Model::load(&two()).unwrap();
        value_refused(model.stream(&[("Z", "Y")]).map(drop), "Z", "no such");
        value_refused(model.stream(&[("X", "Z")]).map(drop), "Z", "no such");
        value_refused(model.stream(&[("lens", "Y")]).map(drop), "lens", "element type");
        value_refused(model.stream(&[("X", "Y"), ("X", "Y")]).map(drop), "X", "twice");
    }

    #[test]
    fn names_without_a_value() {
        let mut graph = one().graph();
        graph.nodes.push(node("Identity", "", &["nowhere"], &["Z"], &[]));
        let e = onnx_error(Model::load(&graph.model(17)), "nowhere");
        assert!(matches!(&e, OnnxError::Name { name, .. } if name == "nowhere"), "{e}");
        let mut graph = one().graph();
        graph.outputs = vec![untyped("Y"), untyped("Y")];
        let e = onnx_error(Model::load(&graph.model(17)), "Y");
        assert!(matches!(&e, OnnxError::Name { name, .. } if name == "Y"), "{e}");
    }

    /// A model whose W, R, B and P are inputs, with dimensions that have names where they are 0.
    fn open(dims: [&[usize]; 4], attr: Option<Msg>) -> Vec<u8> {
        let mut one = one().inputs(&["X", "W", "R", "B", "", "", "", "P"]);
        one.stored.clear();
        one.attrs = attr.into_iter().collect();
        let mut graph = one.graph();
        for (name, dims) in ["W", "R", "B", "P"].into_iter().zip(dims) {
            let names = ["d", "rows", "columns"].iter();
            let dims =
                dims.iter().zip(names).map(|(&d, &name)| if d == 0 { Dim::Name(name) } else { Dim::N(d) });
            graph.inputs.push(value(name, FLOAT, &dims.collect::<Vec<_>>()));
        }
        graph.model(17)
    }

    /// The dimensions that fit.
    const FIT: [&[usize]; 4] = [&[1, 8, 3], &[1, 8, 2], &[1, 16], &[1, 6]];

    #[test]
    fn extents_of_weights_that_are_no_constants() {
        Model::load(&open(FIT, None)).unwrap();
        for (i, name, dims, words) in [
            (0, "W", &[1, 9, 3][..], "dimension 1 is 9, not 8"),
            (0, "W", &[2, 8, 3], "dimension 0 is 2, not 1"),
            (0, "W", &[1, 8, 4], "dimension 2 is 4, not 3"),
            (0, "W", &[8, 3], "2 dimensions, not 3"),
            (1, "R", &[1, 9, 2], "dimension 1 is 9, not 8"),
            (2, "B", &[1, 8], "dimension 1 is 8, not 16"),
            (3, "P", &[1, 6, 1], "3 dimensions, not 2"),
            (3, "P", &[1, 8], "dimension 1 is 8, not 6"),
        ] {
            let mut all = FIT;
            all[i] = dims;
            // Known when the model is loaded, or when it runs.
            let e = onnx_error(Model::load(&open(all, None)), name);
            let named = matches!(&e, OnnxError::Input { node, input, .. } if node == "lstm" && input == name);
            assert!(named && e.to_string().contains(words), "{name}: {e}");
            if dims.len() != FIT[i].len() {
                continue;
            }
            let model = Model::load(&open([&[0; 3], &[0; 3], &[0; 2], &[0; 2]], None)).unwrap();
            let (tensors, x) = (all.map(floats), floats(&[2, 1, 3]));
            let feeds = ["W", "R", "B", "P"].into_iter().zip(&tensors).chain([("X", &x)]);
            // Dimensions of one name have one size.
            let e = onnx_error(model.run(&feeds.collect::<Vec<_>>()), name);
            assert!(
                matches!(&e, OnnxError::Value { .. } | OnnxError::Input { .. } | OnnxError::Layer { .. }),
                "{e}"
            );
        }
        let e = onnx_error(Model::load(&open(FIT, Some(attr_i("hidden_size", 3)))), "hidden_size");
        assert_eq!(e.to_string(), "node `lstm`: attribute `hidden_size`: 3, but R has 2");
    }

    #[test]
    fn weights_that_are_refused_when_they_are_packed() {
        let model = Model::load(&open(FIT, None)).unwrap();
        let x = floats(&[2, 1, 3]);
        for (i, name) in ["W", "R", "B", "P"].into_iter().enumerate() {
            let mut tensors = FIT.map(floats);
            let run = |tensors: &[Tensor; 4]| {
                let feeds = ["W", "R", "B", "P"].into_iter().zip(tensors).chain([("X", &x)]);
                model.run(&feeds.collect::<Vec<_>>())
            };
            run(&tensors).unwrap();
            let mut data = vec![0.25f32; FIT[i].iter().product()];
            data[1] = f32::INFINITY;
            tensors[i] = Tensor::new(FIT[i], data).unwrap();
            match onnx_error(run(&tensors), name) {
                OnnxError::Input { node, input, reason } => {
                    assert_eq!((node.as_str(), input.as_str()), ("lstm", name));
                    assert_eq!(reason, "element 1 is inf");
                }
                e => panic!("{e}"),
            }
        }
    }

    #[test]
    fn wrong_types_of_inputs() {
        for (name, inputs) in [("X", one().graph().inputs), ("sequence_lens", vec![])] {
            let mut graph = one().inputs(&["X", "W", "R", "B", "lens"]).graph();
            graph.inputs = match name {
                "X" => vec![
                    value("X", 11, &[Dim::N(1), Dim::N(1), Dim::N(3)]),
                    value("lens", INT32, &[Dim::N(1)]),
                ],
                _ => vec![graph.inputs[0].clone(), value("lens", INT64, &[Dim::Name("B")])],
            };
            drop(inputs);
            match onnx_error(Model::load(&graph.model(17)), name) {
                OnnxError::Input { node, input, .. } => {
                    assert_eq!((node.as_str(), input.as_str()), ("lstm", name))
                }
                e => panic!("{name}: {e}"),
            }
        }
    }

    #[test]
    fn operators_that_tract_computes_wrongly() {
        let on_tract = |bytes: &[u8]| Loader::new().kernels(Kernels::Tract).load(bytes);
        for (op, gates, functions) in [("LSTM", 4, 3), ("GRU", 3, 2), ("RNN", 1, 1)] {
            let base = || {
                let one = One { op, inputs: vec!["X", "W", "R"], ..one() };
                one.stored(0, tensor("W", &[1, gates * H, I], &vec![0.5; gates * H * I]))
                    .stored(1, tensor("R", &[1, gates * H, H], &vec![0.5; gates * H * H]))
            };
            for (name, attr) in [
                ("direction", attr_s("direction", "reverse")),
                ("clip", attr_f("clip", 1.0)),
                ("activations", attr_strings("activations", &["Relu"; 3][..functions])),
                ("activation_alpha", attr_floats("activation_alpha", &[1.0])),
                ("hidden_size", attr_i("hidden_size", 3)),
                ("colour", attr_i("colour", 3)),
            ] {
                let e = onnx_error(on_tract(&base().attr(attr).bytes()), name);
                let OnnxError::Attribute { node, attribute, .. } = &e else { panic!("{op}: {e}") };
                assert_eq!((node.as_str(), attribute.as_str()), ("lstm", name));
            }
            let mut graph = base().inputs(&["X", "W", "R", "", "lens"]).graph();
            graph.inputs = vec![
                value("X", FLOAT, &[Dim::N(2), Dim::N(1), Dim::N(I)]),
                value("lens", INT32, &[Dim::N(1)]),
            ];
            let e = onnx_error(on_tract(&graph.model(17)), op);
            assert!(matches!(&e, OnnxError::Input { input, .. } if input == "sequence_lens"), "{e}");
        }
    }

    #[test]
    fn a_missing_file() {
        let e = onnx_error(Loader::new().load_path("no/such/file.onnx"), "file");
        assert!(matches!(&e, OnnxError::File { path, .. } if path == "no/such/file.onnx"), "{e}");
    }

    #[test]
    fn huge_calls_without_data() {
        let mut graph = one().graph();
        graph.stored[0] = tensor("W", &[1, 8, 0], &[]);
        graph.inputs = vec![value("X", FLOAT, &[Dim::Name("T"), Dim::Name("B"), Dim::N(0)])];
        let Ok(model) = Model::load(&graph.model(17)) else { return };
        let x = Tensor::new(&[1 << 40, 1, 0], Vec::<f32>::new()).unwrap();
        let e = onnx_error(model.run(&[("X", &x)]), "X");
        assert!(matches!(&e, OnnxError::Input { input, .. } if input == "X"), "{e}");
    }
}
