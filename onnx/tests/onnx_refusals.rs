//! Tests that what is not supported is refused, and that the error names it.

use rnnpack_dev::onnx::one::{One, broken_weights, of, one, refused_attributes, refused_inputs};
use rnnpack_dev::onnx::{
    FLOAT, Graph, Msg, attr_floats, attr_g, attr_i, attr_ints, attr_s, attr_strings, model, node,
    recurrent_nodes, tensor, untyped, value,
};
use rnnpack_onnx::Error;

fn refused<T>(result: Result<T, Error>, what: &str) -> Error {
    match result {
        Ok(_) => panic!("{what} is not refused"),
        Err(e) => e,
    }
}

/// The error for the only node of a model.
fn refusal(one: &One, what: &str) -> Error {
    refused(recurrent_nodes(&one.bytes()).and_then(|nodes| nodes[0].pack()), what)
}

#[test]
fn attributes() {
    for (name, one, reason) in refused_attributes() {
        match refusal(&one, name) {
            Error::Attribute { node, attribute, reason: r } => {
                assert_eq!((node.as_str(), attribute.as_str()), ("lstm", name));
                assert!(r.contains(reason), "{name}: {r}");
            }
            e => panic!("{name}: {e}"),
        }
    }
}

#[test]
fn attributes_of_other_operator_sets() {
    for (opset, name, attr) in [
        (13, "layout", attr_i("layout", 0)),
        (6, "output_sequence", attr_i("output_sequence", 2)),
        (7, "output_sequence", attr_i("output_sequence", 0)),
    ] {
        let e = refusal(&one().attr(attr).opset(opset), name);
        assert!(matches!(&e, Error::Attribute { attribute, .. } if attribute == name), "{e}");
    }
    let gru = One { outputs: vec!["Y", "Y_h"], ..of("GRU", 3) };
    let e = refusal(&gru.attr(attr_i("linear_before_reset", 0)).opset(2), "GRU");
    assert!(matches!(&e, Error::Attribute { attribute, .. } if attribute == "linear_before_reset"), "{e}");
    for opset in [0, -3, 29, i64::MAX] {
        let e = refusal(&one().opset(opset), "opset");
        assert!(matches!(&e, Error::Opset { version: Some(v), .. } if *v == opset), "{e}");
        assert!(e.to_string().contains("`lstm`"), "{e}");
    }
}

#[test]
fn outputs_of_old_operator_sets() {
    let wanted = One { outputs: vec!["", "Y_h"], ..one() }.attr(attr_i("output_sequence", 1)).opset(6);
    match refusal(&wanted, "no Y") {
        Error::Attribute { attribute, reason, .. } => {
            assert_eq!(
                (attribute.as_str(), reason.as_str()),
                ("output_sequence", "1, but the node has no output `Y`")
            );
        }
        e => panic!("{e}"),
    }
    let e = refusal(&of("GRU", 3).opset(2), "no Y_h");
    assert!(
        matches!(&e, Error::Node { node, .. } if node == "lstm") && e.to_string().contains("`Y_h`"),
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
    }
    let both = attr_strings("activations", &["Sigmoid", "Tanh", "Tanh"]);
    let both = One { attrs: vec![attr_s("direction", "bidirectional"), both], ..one() };
    let e = refusal(&both, "activations of one direction");
    assert!(matches!(&e, Error::Attribute { attribute, .. } if attribute == "activations"), "{e}");
}

#[test]
fn inputs_and_weights() {
    for (name, one, reason) in refused_inputs() {
        match refusal(&one, name) {
            Error::Input { node, input, reason: r } => {
                assert_eq!((node.as_str(), input.as_str()), ("lstm", name), "{r}");
                assert!(r.contains(reason), "{name}: {r}");
            }
            e => panic!("{name}: {e}"),
        }
    }
    // Weights that are an input of the graph can be packed only when a whole model runs.
    for (name, inputs) in [("W", &["X", "X", "R"][..]), ("P", &["X", "W", "R", "B", "", "", "", "X"][..])] {
        let e = refusal(&one().inputs(inputs), name);
        let named = matches!(&e, Error::Input { node, input, .. } if node == "lstm" && input == name);
        assert!(named && e.to_string().contains("`X` is an input of the graph"), "{e}");
    }
    // Incomplete stored tensors: the list names the node's input, a whole model names the tensor.
    for (t, reason) in broken_weights() {
        let e = refusal(&one().stored(0, t), reason);
        let named = matches!(&e, Error::Input { node, input, .. } if node == "lstm" && input == "W");
        assert!(named && e.to_string().contains(reason), "{e}");
    }
}

#[test]
fn more_inputs_and_outputs_than_the_operator_has() {
    let nine = one().inputs(&["X", "W", "R", "B", "", "", "", "", "B"]);
    let e = refusal(&nine, "nine inputs");
    assert_eq!(e.to_string(), "node `lstm` (LSTM): it has 9 inputs, but LSTM has at most 8");
    let four = One { outputs: vec!["Y", "", "", "Z"], ..one() };
    let e = refusal(&four, "four outputs");
    assert_eq!(e.to_string(), "node `lstm` (LSTM): it has 4 outputs, but LSTM has at most 3");
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
        (
            one().opset(11).computed("Unsqueeze", &["raw_W"], &[axes(&[4])]),
            "axis 4 is out of range for 3 dimensions",
        ),
        (one().opset(11).computed("Unsqueeze", &["raw_W"], &[axes(&[0, 0])]), "axis 0 is given twice"),
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
        let e = refusal(&one, reason);
        let named = matches!(&e, Error::Input { node, input, .. } if node == "lstm" && input == "W");
        assert!(named && e.to_string().contains(reason), "{reason}: {e}");
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
    let e = refusal(&chain, "chain");
    assert!(e.to_string().contains("chain of 64 operators"), "{e}");
    let mut doubling = one();
    doubling.stored[0] = tensor("w0", &[1, 8, 3], &[0.5; 24]);
    for i in 0..60 {
        let (from, to) = (format!("w{i}"), if i == 59 { "W".to_string() } else { format!("w{}", i + 1) });
        doubling.nodes.push(node("Concat", "", &[&from, &from], &[&to], &[attr_i("axis", 1)]));
    }
    let e = refusal(&doubling, "doubling");
    assert!(e.to_string().contains("too many bytes"), "{e}");
}

#[test]
fn other_operators_and_domains() {
    for (op, gates) in [("GRU", 3), ("RNN", 1)] {
        recurrent_nodes(&of(op, gates).bytes()).unwrap()[0].pack().unwrap();
        let e = refusal(&One { op, ..one() }, op);
        assert!(matches!(&e, Error::Input { input, .. } if input == "W"), "{e}");
        let eight = of(op, gates).inputs(&["X", "W", "R", "", "", "", "", "P"]);
        let e = refusal(&eight, op);
        assert!(e.to_string().contains("8 inputs"), "{e}");
    }
    let mut graph = one().graph();
    graph.nodes = vec![graph.nodes[0].clone().text(7, "com.example")];
    let e = refused(recurrent_nodes(&graph.model(17)).and_then(|n| n[0].pack()), "domain");
    assert_eq!(e.to_string(), "node `lstm` (com.example.LSTM): it is not of the standard operator set");
    graph.nodes = vec![one().graph().nodes[0].clone().text(7, "ai.onnx")];
    recurrent_nodes(&graph.model(17)).unwrap()[0].pack().unwrap();
}

#[test]
fn operator_sets_of_the_model() {
    let graph = one().graph().msg();
    let none = Msg::default().msg(7, &graph).0;
    let with =
        |domain, version| Msg(model(&graph, 17)).msg(8, &Msg::default().text(1, domain).int(2, version)).0;
    for (bytes, reason) in [
        (none, "not declared"),
        (with("ai.onnx", 16), "operator set 16: it is imported too, and so is version 17"),
        (with("", 16), "operator set 16: it is imported too, and so is version 17"),
    ] {
        let e = refused(recurrent_nodes(&bytes), reason);
        assert!(matches!(e, Error::Opset { .. }) && e.to_string().contains(reason), "{e}");
    }
    for bytes in [with("ai.onnx", 17), with("", 17), with("com.example", 3)] {
        assert_eq!(recurrent_nodes(&bytes).unwrap()[0].opset, 17);
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
    ] {
        match refused(recurrent_nodes(&bytes), name) {
            Error::Name { graph: g, name: n, .. } => assert_eq!((g.as_str(), n.as_str()), (graph, name)),
            e => panic!("{name}: {e}"),
        }
    }
    // An input may have a stored default value.
    recurrent_nodes(&with(&|g| g.inputs.push(value("W", FLOAT, &[])))).unwrap()[0].pack().unwrap();
    let bytes = with(&|g| g.nodes.push(Msg::default().bytes(3, &[0xc3, 0x28])));
    assert!(matches!(refused(recurrent_nodes(&bytes), "UTF-8"), Error::Malformed { .. }));
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
            assert!(matches!(&e, Error::Malformed { .. }), "{e}");
        }
    }
}

#[test]
fn no_model() {
    for bytes in [&b""[..], b"\x08", b"hello world", &[0xff; 64]] {
        assert!(matches!(refused(recurrent_nodes(bytes), "no model"), Error::Malformed { .. }));
    }
}
