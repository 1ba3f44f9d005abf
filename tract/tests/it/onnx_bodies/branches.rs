//! Tests `If` with a condition that is known at load, and with one that is not.

use super::{assert_refused, carrying, floats, onnx_error, outputs};
use rnnpack_dev::onnx::{
    BOOL, Dim, FLOAT, Graph, INT64, Msg, Numbers, attr_g, attr_i, node, tensor, tensor_bool, tensor_i64,
    value,
};
use rnnpack_onnx::{Error as OnnxError, Extent, Tensor};
use rnnpack_tract::Model;
use std::time::{Duration, Instant};

/// A branch with these nodes that returns `names`.
fn branch(nodes: &[Msg], names: &[&str]) -> Graph {
    let stored = vec![tensor_i64("axis_0", &[1], &[0]), tensor_i64("axis_1", &[1], &[1])];
    Graph { nodes: nodes.to_vec(), stored, outputs: outputs(names), ..Graph::default() }
}

/// The attributes of an `If`.
fn both(then_branch: &Graph, else_branch: &Graph) -> [Msg; 2] {
    [attr_g("then_branch", &then_branch.msg()), attr_g("else_branch", &else_branch.msg())]
}

/// A model with one `If` over the input `v`. Its condition is stored, or an input of the model.
fn choice(dims: &[Dim], condition: Option<bool>, attrs: &[Msg], names: &[&str]) -> Graph {
    let mut main = Graph { inputs: vec![value("v", FLOAT, dims)], ..Graph::default() };
    match condition {
        Some(c) => main.stored.push(tensor_bool("cond", &[], &[c])),
        None => main.inputs.push(value("cond", BOOL, &[])),
    }
    main.nodes.push(node("If", "if", &["cond"], names, attrs));
    main.outputs = outputs(&names.iter().copied().filter(|n| !n.is_empty()).collect::<Vec<_>>());
    main
}

fn twice() -> Graph {
    branch(&[node("Concat", "", &["v", "v"], &["two"], &[attr_i("axis", 0)])], &["two"])
}

fn minus() -> Graph {
    branch(&[node("Neg", "", &["v"], &["minus"], &[])], &["minus"])
}

fn vector(data: &[f32]) -> Tensor {
    Tensor::new(&[data.len()], data.to_vec()).unwrap()
}

#[test]
fn branches_may_return_other_extents() {
    for dims in [&[Dim::N(2)][..], &[Dim::Name("N")]] {
        let mut main = choice(dims, None, &both(&twice(), &minus()), &["out"]);
        main.nodes.push(node("Shape", "", &["out"], &["size"], &[]));
        main.nodes.push(node("Concat", "", &["out", "v"], &["longer"], &[attr_i("axis", 0)]));
        main.outputs = outputs(&["out", "size", "longer"]);
        let model = Model::load(&main.model(13)).unwrap();
        assert!(matches!(model.outputs()[0].dims[..], [Extent::Named(_)]), "{:?}", model.outputs()[0]);
        let mut stream = model.stream(&[]).unwrap();
        let v = vector(&[1.0, 2.0]);
        for condition in [true, false, false, true] {
            let found = stream.run(&[("v", &v), ("cond", &Tensor::scalar(condition))]).unwrap();
            let expected: &[f32] = if condition { &[1.0, 2.0, 1.0, 2.0] } else { &[-1.0, -2.0] };
            assert_eq!(floats(&found[0].1), expected);
            assert_eq!(found[1].1.as_slice::<i64>().unwrap(), [expected.len() as i64]);
            assert_eq!(floats(&found[2].1), [expected, &[1.0, 2.0]].concat());
        }
    }
}

#[test]
fn a_layer_behind_an_if_follows_the_extent_of_the_branch() {
    const I: usize = 2;
    const H: usize = 3;
    let mut n = Numbers(3);
    let mut main = choice(&[Dim::Name("T"), Dim::N(1), Dim::N(I)], None, &both(&twice(), &minus()), &["x"]);
    let attrs = [attr_i("hidden_size", H as i64)];
    main.stored.push(tensor("W", &[1, 4 * H, I], &n.floats(4 * H * I)));
    main.stored.push(tensor("R", &[1, 4 * H, H], &n.floats(4 * H * H)));
    let mut direct = Graph { stored: main.stored.clone(), ..Graph::default() };
    main.nodes.push(node("LSTM", "lstm", &["x", "W", "R"], &["y", "", "c"], &attrs));
    main.outputs = outputs(&["y", "c"]);
    direct.inputs.push(value("x", FLOAT, &[Dim::Name("T"), Dim::N(1), Dim::N(I)]));
    direct.nodes.push(node("LSTM", "lstm", &["x", "W", "R"], &["y", "", "c"], &attrs));
    direct.outputs = outputs(&["y", "c"]);
    let [model, direct] = [main, direct].map(|graph| Model::load(&graph.model(17)).unwrap());
    let data = n.floats(5 * I);
    let v = Tensor::new(&[5, 1, I], data.clone()).unwrap();
    for condition in [true, false] {
        let found = model.run(&[("v", &v), ("cond", &Tensor::scalar(condition))]).unwrap();
        let x = if condition { data.repeat(2) } else { data.iter().map(|v| -v).collect() };
        let x = Tensor::new(&[x.len() / I, 1, I], x).unwrap();
        assert_eq!(found, direct.run(&[("x", &x)]).unwrap());
    }
}

#[test]
fn what_one_branch_needs_says_nothing_of_the_other() {
    // A product with three rows.
    let mut product = branch(&[node("MatMul", "", &["weights", "v"], &["product"], &[])], &["product"]);
    product.stored.push(tensor("weights", &[1, 3], &[1.0, 10.0, 100.0]));
    let sum = branch(&[node("ReduceSum", "", &["v", "axis_0"], &["sum"], &[])], &["sum"]);
    let main = choice(&[Dim::Name("A"), Dim::N(2)], None, &both(&product, &sum), &["out"]);
    let model = Model::load(&main.model(13)).unwrap();
    let run = |rows: usize, condition| {
        let v = Tensor::new(&[rows, 2], vec![1f32; 2 * rows]).unwrap();
        model.run(&[("v", &v), ("cond", &Tensor::scalar(condition))])
    };
    assert_eq!(floats(&run(5, false).unwrap()[0].1), [5.0; 2]);
    assert_eq!(floats(&run(3, false).unwrap()[0].1), [3.0; 2]);
    assert_eq!(floats(&run(3, true).unwrap()[0].1), [111.0; 2]);
    onnx_error(run(5, true), "a product of five rows with three weights");
}

#[test]
fn a_condition_of_the_shape_decides_when_the_model_is_loaded() {
    // PyTorch's exporter writes squeeze() this way.
    let squeezed = |columns: Dim| {
        let squeeze = branch(&[node("Squeeze", "", &["v", "axis_1"], &["row"], &[])], &["row"]);
        let same = branch(&[node("Identity", "", &["v"], &["same"], &[])], &["same"]);
        let mut main = choice(&[Dim::Name("A"), columns], Some(true), &both(&squeeze, &same), &["out"]);
        main.stored = vec![tensor_i64("axis", &[], &[1]), tensor_i64("one", &[], &[1])];
        let test = [
            node("Shape", "", &["v"], &["dims"], &[]),
            node("Gather", "", &["dims", "axis"], &["columns"], &[]),
            node("Equal", "", &["columns", "one"], &["cond"], &[]),
        ];
        main.nodes.splice(0..0, test);
        main.model(13)
    };
    for (columns, dims) in [(1, &[4][..]), (3, &[4, 3])] {
        let v = Tensor::new(&[4, columns], vec![2f32; 4 * columns]).unwrap();
        let found = Model::load(&squeezed(Dim::N(columns))).unwrap().run(&[("v", &v)]).unwrap();
        assert_eq!(found[0].1, Tensor::new(dims, vec![2f32; 4 * columns]).unwrap());
    }
    let reason = "its condition is not known at load, and then_branch fails";
    assert_refused(&squeezed(Dim::Name("B")), "if", None, reason);
}

#[test]
fn a_branch_in_a_loop_may_change_the_extent_of_an_iteration() {
    // The value doubles in even iterations: 1, 2, 2, 4, 4.
    let inner = |g: &mut Graph| {
        g.stored.push(tensor_i64("two", &[], &[2]));
        g.stored.push(tensor_i64("none", &[], &[0]));
        g.nodes.push(node("Mod", "", &["i", "two"], &["rest"], &[]));
        g.nodes.push(node("Equal", "", &["rest", "none"], &["even"], &[]));
        let double = node("Concat", "", &["v_in", "v_in"], &["two_v"], &[attr_i("axis", 0)]);
        let attrs = both(&branch(&[double], &["two_v"]), &branch(&[], &["v_in"]));
        g.nodes.push(node("If", "if", &["even"], &["v_out"], &attrs));
    };
    for dims in [Dim::N(1), Dim::Name("N")] {
        let model = Model::load(&carrying(FLOAT, &[dims], inner, &["going", "v_out"], 13)).unwrap();
        for _ in 0..2 {
            let found = model.run(&[("v", &vector(&[3.0]))]).unwrap();
            assert_eq!(floats(&found[0].1), [3.0; 4]);
        }
    }
}

#[test]
fn extents_that_only_a_branch_knows_are_open_outside_of_it() {
    let places = |x: &str| {
        let mut graph = branch(&[node("NonZero", "", &[x], &["places"], &[])], &["places"]);
        graph.nodes.insert(0, node("Relu", "", &["v"], &["positive"], &[]));
        graph
    };
    for condition in [None, Some(true), Some(false)] {
        let attrs = both(&places("v"), &places("positive"));
        let model = Model::load(&choice(&[Dim::N(4)], condition, &attrs, &["out"]).model(13)).unwrap();
        for (data, choice) in
            [([1.0, -1.0, 0.0, 2.0], true), ([1.0, -1.0, 0.0, 2.0], false), ([0.0; 4], true)]
        {
            let (v, c) = (vector(&data), Tensor::scalar(choice));
            let feeds = [("v", &v), ("cond", &c)];
            let found = model.run(&feeds[..if condition.is_none() { 2 } else { 1 }]).unwrap();
            let nonzero = |v: f32| if condition.unwrap_or(choice) { v != 0.0 } else { v > 0.0 };
            let expected: Vec<i64> = (0..4).filter(|&i| nonzero(data[i as usize])).collect();
            assert_eq!(found[0].1.dims(), [1, expected.len()]);
            assert_eq!(found[0].1.as_slice::<i64>().unwrap(), expected, "{condition:?} {choice} {data:?}");
        }
    }
}

#[test]
fn what_is_stored_with_a_branch_may_be_listed_among_its_inputs() {
    let mut sum = branch(&[node("ReduceSum", "", &["v", "axis_0"], &["sum"], &[])], &["sum"]);
    sum.stored.truncate(1);
    sum.inputs = vec![value("axis_0", INT64, &[Dim::N(1)])];
    for condition in [None, Some(true)] {
        let main = choice(&[Dim::N(2)], condition, &both(&sum, &minus()), &["out"]);
        let feeds = [("v", &vector(&[1.0, 2.0])), ("cond", &Tensor::scalar(true))];
        let feeds = &feeds[..if condition.is_none() { 2 } else { 1 }];
        let found = Model::load(&main.model(13)).unwrap().run(feeds).unwrap();
        assert_eq!(floats(&found[0].1), [3.0]);
    }
}

#[test]
fn outputs_of_an_if_may_be_left_out() {
    let nodes = [
        node("Neg", "", &["v"], &["a"], &[]),
        node("Abs", "", &["v"], &["b"], &[]),
        node("Relu", "", &["v"], &["c"], &[]),
    ];
    let attrs = both(&branch(&nodes, &["a", "b", "c"]), &branch(&nodes, &["b", "c", "a"]));
    for condition in [None, Some(true), Some(false)] {
        let main = choice(&[Dim::N(1)], condition, &attrs, &["", "second", "third"]);
        let model = Model::load(&main.model(13)).unwrap();
        for choice in [true, false] {
            let (v, c) = (vector(&[-3.0]), Tensor::scalar(choice));
            let feeds = [("v", &v), ("cond", &c)];
            let found = model.run(&feeds[..if condition.is_none() { 2 } else { 1 }]).unwrap();
            let found: Vec<f32> = found.iter().map(|(_, t)| floats(t)[0]).collect();
            assert_eq!(found, if condition.unwrap_or(choice) { [3.0, 0.0] } else { [0.0, 3.0] });
        }
    }
}

#[test]
fn branches_that_do_not_fit_are_refused_by_name() {
    let open = |attrs: &[Msg]| choice(&[Dim::N(2)], None, attrs, &["out"]).model(13);
    let row = branch(&[node("Unsqueeze", "", &["v", "axis_0"], &["row"], &[])], &["row"]);
    let reason = "`out` has 2 dimensions in then_branch and 1 dimensions in else_branch";
    assert_refused(&open(&both(&row, &minus())), "if", None, reason);
    let cast = branch(&[node("Cast", "", &["v"], &["whole"], &[attr_i("to", INT64)])], &["whole"]);
    let reason = "`out` has elements of type I64 in then_branch and elements of type F32 in else_branch";
    assert_refused(&open(&both(&cast, &minus())), "if", None, reason);
    let mut taking = minus();
    taking.inputs = outputs(&["w"]);
    let [then_branch, else_branch] = both(&twice(), &minus());
    for (name, attrs, words) in [
        (
            "else_branch",
            both(&twice(), &branch(&[], &["v", "cond"])).to_vec(),
            "2 outputs, where the node has 1",
        ),
        ("then_branch", both(&branch(&[], &[]), &minus()).to_vec(), "0 outputs, where the node has 1"),
        ("else_branch", both(&twice(), &taking).to_vec(), "a branch takes no input, `w`"),
        ("then_branch", vec![else_branch.clone()], "it is missing"),
        ("else_branch", vec![then_branch.clone()], "it is missing"),
        ("else_branch", vec![then_branch.clone(), attr_i("else_branch", 1)], "its type"),
        ("body", vec![then_branch.clone(), else_branch.clone(), attr_g("body", &minus().msg())], "not an"),
        ("then_branch", vec![then_branch.clone(), else_branch, then_branch], "twice"),
    ] {
        match onnx_error(Model::load(&open(&attrs)), words) {
            OnnxError::Attribute { node, attribute, reason } => {
                assert_eq!((node.as_str(), attribute.as_str()), ("if", name), "{reason}");
                assert!(reason.contains(words), "{reason}");
            }
            e => panic!("{words}: {e}"),
        }
    }
}

#[test]
fn conditions_that_are_not_one_boolean_are_refused() {
    let attrs = both(&twice(), &minus());
    let with = |cond: Msg, stored: bool| {
        let mut main = choice(&[Dim::N(2)], Some(true), &attrs, &["out"]);
        main.stored.clear();
        if stored {
            main.stored.push(cond)
        } else {
            main.inputs.push(cond)
        }
        main.model(13)
    };
    for (cond, stored) in [
        (value("cond", FLOAT, &[]), false),
        (value("cond", BOOL, &[Dim::N(2)]), false),
        (tensor("cond", &[], &[1.0]), true),
        (tensor_bool("cond", &[2], &[true, true]), true),
        (tensor_bool("cond", &[0], &[]), true),
    ] {
        assert_refused(&with(cond, stored), "if", Some("cond"), "it is not one boolean");
    }
    let model = Model::load(&with(value("cond", BOOL, &[Dim::Name("N")]), false)).unwrap();
    let run = |cond: &[bool]| {
        let cond = Tensor::new(&[cond.len()], cond.to_vec()).unwrap();
        model.run(&[("v", &vector(&[1.0, 2.0])), ("cond", &cond)])
    };
    assert_eq!(floats(&run(&[false]).unwrap()[0].1), [-1.0, -2.0]);
    for cond in [&[][..], &[true, true]] {
        match onnx_error(run(cond), "cond") {
            OnnxError::Input { node, input, .. } => assert_eq!((&*node, &*input), ("if", "cond")),
            e => panic!("{e}"),
        }
    }
}

/// Nested branches with open conditions: v `[N, 2]` stacked twice, or -v. An unused node after each inner `If` gives
/// tract a fact about its result, which goes back to the `If`.
fn nested(depth: usize, names: &mut usize) -> Graph {
    let mut name = || {
        *names += 1;
        format!("w{names}")
    };
    let (out, minus, inner, wide) = (name(), name(), name(), name());
    let along = |axis| [attr_i("axis", axis)];
    let graph = |nodes, out: &str| Graph { nodes, outputs: outputs(&[out]), ..Graph::default() };
    if depth == 0 {
        return graph(vec![node("Concat", "", &["v", "v"], &[&out], &along(0))], &out);
    }
    let then_branch = nested(depth - 1, names);
    let else_branch = graph(vec![node("Neg", "", &["v"], &[&minus], &[])], &minus);
    let nodes = vec![
        node("If", "", &["cond"], &[&inner], &both(&then_branch, &else_branch)),
        node("Concat", "", &[&inner, "v"], &[&wide], &along(1)),
        node("Concat", "", &["v", "v"], &[&out], &along(0)),
    ];
    graph(nodes, &out)
}

#[test]
fn branches_in_branches_do_not_multiply_the_work() {
    for depth in [1, 2, 5, 28] {
        let start = Instant::now();
        let mut main = nested(depth, &mut 0);
        main.inputs = vec![value("v", FLOAT, &[Dim::Name("N"), Dim::N(2)]), value("cond", BOOL, &[])];
        Model::load(&main.model(13)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{depth}: {:?}", start.elapsed());
    }
}
