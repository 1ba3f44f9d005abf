//! Tests that inputs which are too short are refused by the name of the node, and that all operators that cannot run are
//! listed at once.

use rnnpack_dev::onnx::{
    BOOL, Dim, FLOAT, Graph, Msg, attr_g, attr_i, attr_ints, attr_s, model, node, tensor, tensor_i64,
    untyped, value,
};
use rnnpack_onnx::Tensor;
use rnnpack_tract::{Error, Loader};

/// A model of one node that reads X, with these stored tensors.
fn one(node: Msg, stored: Vec<Msg>, rank: usize) -> Vec<u8> {
    let names = [Dim::Name("a"), Dim::Name("b"), Dim::Name("c"), Dim::Name("d")];
    let inputs = vec![value("X", FLOAT, &names[..rank])];
    Graph { nodes: vec![node], stored, inputs, outputs: vec![untyped("Y")] }.model(18)
}

/// Loads a model for these dimensions of X.
fn load(bytes: &[u8], dims: &[usize]) -> Result<(), String> {
    Loader::new().shape("X", dims).load(bytes).map(drop).map_err(|e| e.to_string())
}

#[test]
fn a_reflection_needs_more_elements_than_it_adds() {
    let reflect = |inputs: &[&str]| node("Pad", "pad", inputs, &["Y"], &[attr_s("mode", "reflect")]);
    let all = one(reflect(&["X", "pads"]), vec![tensor_i64("pads", &[4], &[0, 2, 0, 5])], 2);
    let some = one(
        reflect(&["X", "pads", "", "axes"]),
        vec![tensor_i64("pads", &[2], &[2, 5]), tensor_i64("axes", &[1], &[-1])],
        2,
    );
    let reason = "node `pad` (Pad): it reflects 5 elements at an end of axis 1, so it needs at least 6 there; its input has 5";
    for bytes in [all, some] {
        assert_eq!(load(&bytes, &[1, 6]), Ok(()));
        assert_eq!(load(&bytes, &[9, 5]), Err(reason.to_owned()));
    }
    // Constants need nothing.
    let constant = node("Pad", "pad", &["X", "pads"], &["Y"], &[]);
    assert_eq!(load(&one(constant, vec![tensor_i64("pads", &[4], &[0, 2, 0, 5])], 2), &[1, 1]), Ok(()));
}

#[test]
fn a_reflected_input_is_computed_as_before() {
    let reflect = node("Pad", "pad", &["X", "pads"], &["Y"], &[attr_s("mode", "reflect")]);
    let bytes = one(reflect, vec![tensor_i64("pads", &[2], &[1, 2])], 1);
    let x = Tensor::new(&[3], vec![1f32, 2.0, 3.0]).unwrap();
    let expected = Tensor::new(&[6], vec![2f32, 1.0, 2.0, 3.0, 2.0, 1.0]).unwrap();
    for loader in [Loader::new(), Loader::new().shape("X", &[3])] {
        let outputs = loader.load(&bytes).unwrap().run(&[("X", &x)]).unwrap();
        assert_eq!(outputs[0].1, expected);
    }
}

#[test]
fn a_kernel_needs_as_many_elements_as_it_spans() {
    let weights = || vec![tensor("W", &[1, 1, 3], &[0.5; 3])];
    let conv = |attributes: &[Msg]| one(node("Conv", "conv", &["X", "W"], &["Y"], attributes), weights(), 3);
    let pool = |op: &str, attributes: &[Msg]| {
        let all = [&[attr_ints("kernel_shape", &[3])], attributes].concat();
        one(node(op, "pool", &["X"], &["Y"], &all), vec![], 3)
    };
    let [wide, pads] = [attr_ints("dilations", &[2]), attr_ints("pads", &[1, 1])];
    for (bytes, least) in [
        (conv(&[]), 3),
        (conv(&[attr_ints("kernel_shape", &[3])]), 3),
        (conv(std::slice::from_ref(&wide)), 5),
        (conv(std::slice::from_ref(&pads)), 1),
        (conv(&[wide, pads.clone()]), 3),
        (conv(&[attr_s("auto_pad", "VALID")]), 3),
        (conv(&[attr_s("auto_pad", "SAME_UPPER")]), 1),
        (pool("MaxPool", &[]), 3),
        (pool("AveragePool", &[pads]), 1),
    ] {
        assert_eq!(load(&bytes, &[1, 1, least]), Ok(()), "{least}");
        if least > 1 {
            let error = load(&bytes, &[1, 1, least - 1]).unwrap_err();
            let (spans, has) =
                (format!("spans {least} elements of axis 2"), format!("has {} there", least - 1));
            let padded = error.contains("has 4 there, pads included");
            assert!(padded || (error.contains(&spans) && error.contains(&has)), "{error}");
        }
    }
}

#[test]
fn a_short_input_of_a_branch_is_refused_too() {
    let conv = node("Conv", "inner", &["X", "W"], &["t"], &[]);
    let then = Graph { nodes: vec![conv], outputs: vec![untyped("t")], ..Graph::default() };
    let other = node("Identity", "", &["X"], &["e"], &[]);
    let other = Graph { nodes: vec![other], outputs: vec![untyped("e")], ..Graph::default() };
    let branches = [attr_g("then_branch", &then.msg()), attr_g("else_branch", &other.msg())];
    let graph = Graph {
        nodes: vec![node("If", "if", &["C"], &["Y"], &branches)],
        stored: vec![tensor("W", &[1, 1, 3], &[0.5; 3])],
        inputs: vec![value("X", FLOAT, &[Dim::N(1), Dim::N(1), Dim::Name("n")]), value("C", BOOL, &[])],
        outputs: vec![untyped("Y")],
    };
    let bytes = model(&graph.msg(), 18);
    let load = |n, taken: bool| {
        let loader = Loader::new().shape("X", &[1, 1, n]).bind("C", Tensor::scalar(taken));
        loader.load(&bytes).map(drop).map_err(|e| e.to_string())
    };
    let reason =
        "node `inner` (Conv): its kernel spans 3 elements of axis 2; its input has 2 there, pads included";
    assert_eq!(load(2, true), Err(reason.to_owned()));
    assert_eq!([load(3, true), load(2, false)], [Ok(()), Ok(())]);
}

#[test]
fn every_operator_that_cannot_run_is_listed_at_once() {
    let inner = Graph {
        nodes: vec![
            node("Quack", "", &["X"], &["q"], &[]),
            node("FusedConv", "", &["q"], &["t"], &[]).text(7, "com.microsoft"),
        ],
        outputs: vec![untyped("t")],
        ..Graph::default()
    };
    let branches = [attr_g("then_branch", &inner.msg()), attr_g("else_branch", &inner.msg())];
    let graph = Graph {
        nodes: vec![
            node("LSTM", "", &["X", "W", "R"], &["l"], &[attr_i("hidden_size", 1)]).text(7, "some.domain"),
            node("If", "", &["C"], &["Y"], &branches),
            node("fits", "", &["Y"], &["Z"], &[]),
        ],
        inputs: vec![value("X", FLOAT, &[Dim::N(1)]), value("C", BOOL, &[])],
        outputs: vec![untyped("Z")],
        ..Graph::default()
    };
    let bytes = graph.model(18);
    let found = Loader::new().unsupported(&bytes).unwrap();
    let found: Vec<(&str, &str, usize)> = found.iter().map(|u| (&*u.domain, &*u.op, u.count)).collect();
    let expected =
        [("", "Quack", 2), ("", "fits", 1), ("com.microsoft", "FusedConv", 2), ("some.domain", "LSTM", 1)];
    assert_eq!(found, expected);
    let relu = one(node("Relu", "", &["X"], &["Y"], &[]), vec![], 1);
    assert_eq!(Loader::new().unsupported(&relu).unwrap(), []);
    let silly = one(node("Quack", "", &["X"], &["Y"], &[]), vec![], 1);
    let Err(error @ Error::Unsupported { .. }) = Loader::new().load(&silly) else { panic!("it loads") };
    assert!(
        error.to_string().starts_with("these operators cannot run: Quack (1 node): tract does not have it")
    );
}

#[test]
fn a_name_of_the_standard_in_another_domain_is_another_operator() {
    let runs = |domain: &str, op: &str| {
        let model = one(node(op, "", &["X"], &["Y"], &[]).text(7, domain), vec![], 1);
        Loader::new().unsupported(&model).unwrap().is_empty()
    };
    for domain in ["", "ai.onnx"] {
        assert!(runs(domain, "Relu") && runs(domain, "Gelu"), "{domain:?}");
    }
    for domain in ["com.microsoft", "ai.onnx.ml", "some.domain"] {
        assert!(!["Relu", "Attention", "If", "LSTM", "Pad"].iter().any(|op| runs(domain, op)), "{domain:?}");
    }
    assert!(runs("com.microsoft", "Gelu") && runs("ai.onnx.ml", "Normalizer"));
    assert!(!runs("ai.onnx.ml", "Gelu") && !runs("com.microsoft", "Normalizer"));
}

#[test]
fn the_error_for_many_operators_is_one_short_line() {
    let name = |i: usize| format!("{i:02}\n{}", "x".repeat(5000));
    let nodes = (0..25).map(|i| node(&name(i), "", &["X"], &[&format!("y{i}")], &[]));
    let graph = Graph {
        nodes: nodes.collect(),
        inputs: vec![value("X", FLOAT, &[])],
        outputs: vec![untyped("y0")],
        ..Graph::default()
    };
    let Err(error) = Loader::new().load(&graph.model(18)) else { panic!("it loads") };
    let text = error.to_string();
    assert!(text.contains("19\\n") && !text.contains("20\\n") && text.ends_with("; and 5 more"), "{text}");
    assert!(!text.contains('\n') && text.len() < 8192, "{}", text.len());
}
