//! Tests extents that are known only in a call, in operators where tract does not check them.

use super::{assert_not_loaded, carrying, floats, onnx_error, outputs};
use rnnpack_dev::onnx::{
    BOOL, Dim, FLOAT, Graph, Msg, attr_g, attr_i, attr_s, node, tensor, tensor_bool, tensor_i64, value,
};
use rnnpack_onnx::{Error as OnnxError, Tensor};
use rnnpack_tract::Model;

/// A tensor of ones, `[rows, columns]`.
fn ones(rows: usize, columns: usize) -> Tensor {
    Tensor::new(&[rows, columns], vec![1f32; rows * columns]).unwrap()
}

/// A model that multiplies `w [1, K]` by `v [A, 2]`. Without K, `w` is stored with three columns.
fn product(k: Option<Dim>, operator: Msg) -> Vec<u8> {
    let mut main =
        Graph { inputs: vec![value("v", FLOAT, &[Dim::Name("A"), Dim::N(2)])], ..Graph::default() };
    match k {
        Some(k) => main.inputs.push(value("w", FLOAT, &[Dim::N(1), k])),
        None => main.stored.push(tensor("w", &[1, 3], &[1.0; 3])),
    }
    main.nodes.push(operator);
    main.outputs = outputs(&["y"]);
    main.model(13)
}

fn assert_misfit<T>(result: Result<T, rnnpack_tract::Error>, what: &str) {
    match onnx_error(result.map(|_| ()), what) {
        OnnxError::Node { node, reason, .. } => {
            assert!(node.contains("product"), "{node}: {reason}");
            assert!(reason.contains("of factor"), "{reason}");
        }
        e => panic!("{what}: {e}"),
    }
}

#[test]
fn products_whose_inner_extents_differ_are_refused() {
    let matmul = node("MatMul", "product", &["w", "v"], &["y"], &[]);
    for k in [None, Some(Dim::N(3)), Some(Dim::Name("K"))] {
        let model = Model::load(&product(k, matmul.clone())).unwrap();
        for (rows, columns) in [(3, 3), (1, 3), (2, 3), (5, 3), (0, 3), (3, 5), (3, 1), (1 << 20, 3)] {
            let (v, w) = (ones(rows, 2), ones(1, columns));
            let feeds = [("v", &v), ("w", &w)];
            let what = format!("{rows} and {columns}");
            if columns != 3 && !matches!(k, Some(Dim::Name(_))) {
                continue;
            }
            let result = model.run(&feeds[..if k.is_some() { 2 } else { 1 }]);
            if rows == columns {
                assert_eq!(floats(&result.unwrap()[0].1), [3.0, 3.0], "{what}");
            } else {
                assert_misfit(result, &what);
            }
        }
    }
}

#[test]
fn other_products_are_refused_when_the_model_is_loaded() {
    // tract has its own rules for the inner extents of these.
    let einsum = node("Einsum", "product", &["w", "v"], &["y"], &[attr_s("equation", "ik,kj->ij")]);
    let gemm = node("Gemm", "product", &["w", "v"], &["y"], &[]);
    for operator in [einsum, gemm] {
        for k in [None, Some(Dim::N(3)), Some(Dim::Name("K"))] {
            assert_not_loaded(Model::load(&product(k, operator.clone())), "a product of unknown extents");
        }
        let model = Model::load(&product(Some(Dim::Name("A")), operator)).unwrap();
        let run = |rows, columns| model.run(&[("v", &ones(rows, 2)), ("w", &ones(1, columns))]);
        assert_eq!(floats(&run(3, 3).unwrap()[0].1), [3.0, 3.0]);
        for (rows, columns) in [(2, 3), (5, 3)] {
            assert!(matches!(onnx_error(run(rows, columns), "A"), OnnxError::Value { .. }));
        }
    }
}

#[test]
fn stacked_products_repeat_what_is_known_to_be_single() {
    let stacked = |w: Dim| {
        let main = Graph {
            inputs: vec![
                value("v", FLOAT, &[Dim::Name("A"), Dim::N(1), Dim::Name("K")]),
                value("w", FLOAT, &[w, Dim::N(3), Dim::N(1)]),
            ],
            nodes: vec![node("MatMul", "product", &["v", "w"], &["y"], &[])],
            outputs: outputs(&["y"]),
            ..Graph::default()
        };
        Model::load(&main.model(13))
    };
    let cube = |dims: [usize; 3]| Tensor::new(&dims, vec![1f32; dims.iter().product()]).unwrap();
    let model = stacked(Dim::N(1)).unwrap();
    for count in [1, 2, 5] {
        let found = model.run(&[("v", &cube([count, 1, 3])), ("w", &cube([1, 3, 1]))]).unwrap();
        assert_eq!(floats(&found[0].1), vec![3.0; count]);
        assert_misfit(model.run(&[("v", &cube([count, 1, 4])), ("w", &cube([1, 3, 1]))]), "4 and 3");
    }
    let model = stacked(Dim::Name("A")).unwrap();
    let found = model.run(&[("v", &cube([2, 1, 3])), ("w", &cube([2, 3, 1]))]).unwrap();
    assert_eq!(floats(&found[0].1), [3.0; 2]);
    // The number of matrices is known only in a call.
    assert_not_loaded(stacked(Dim::Name("C")), "C");
}

#[test]
fn products_in_bodies_are_checked_in_every_iteration() {
    // A value that grows by a row in every iteration and fits only in the first one.
    let inner = |g: &mut Graph| {
        g.stored.push(tensor("w", &[1, 3], &[1.0; 3]));
        g.nodes.push(node("MatMul", "product", &["w", "v_in"], &["sum"], &[]));
        g.nodes.push(node("Concat", "", &["v_in", "sum"], &["v_out"], &[attr_i("axis", 0)]));
    };
    let model =
        Model::load(&carrying(FLOAT, &[Dim::Name("A"), Dim::N(2)], inner, &["going", "v_out"], 13)).unwrap();
    assert_misfit(model.run(&[("v", &ones(3, 2))]), "the second iteration");
    // The same in a branch with an open condition.
    let branch = |op: &str, inputs: &[&str]| Graph {
        stored: vec![tensor("w", &[1, 3], &[1.0; 3])],
        nodes: vec![node(op, "product", inputs, &["out"], &[])],
        outputs: outputs(&["out"]),
        ..Graph::default()
    };
    let attrs = [
        attr_g("then_branch", &branch("MatMul", &["w", "v"]).msg()),
        attr_g("else_branch", &branch("Neg", &["v"]).msg()),
    ];
    let main = Graph {
        inputs: vec![value("v", FLOAT, &[Dim::Name("A"), Dim::N(2)]), value("cond", BOOL, &[])],
        nodes: vec![node("If", "if", &["cond"], &["y"], &attrs)],
        outputs: outputs(&["y"]),
        ..Graph::default()
    };
    let model = Model::load(&main.model(13)).unwrap();
    let run = |rows, condition| model.run(&[("v", &ones(rows, 2)), ("cond", &Tensor::scalar(condition))]);
    assert_eq!(floats(&run(3, true).unwrap()[0].1), [3.0, 3.0]);
    assert_eq!(run(5, false).unwrap()[0].1.dims(), [5, 2]);
    assert_misfit(run(5, true), "a branch");
    // And in a branch that becomes part of the graph around it.
    let mut main = main;
    main.inputs.pop();
    main.stored.push(tensor_bool("cond", &[], &[true]));
    let model = Model::load(&main.model(13)).unwrap();
    assert_eq!(floats(&model.run(&[("v", &ones(3, 2))]).unwrap()[0].1), [3.0, 3.0]);
    assert_misfit(model.run(&[("v", &ones(5, 2))]), "a branch in line");
}

/// Applies `op` to the number of columns of X `[A, B]` and to `with`.
fn of_columns(op: &str, with: i64) -> Vec<u8> {
    let main = Graph {
        inputs: vec![value("x", FLOAT, &[Dim::Name("A"), Dim::Name("B")])],
        stored: vec![tensor_i64("axis", &[], &[1]), tensor_i64("with", &[], &[with])],
        nodes: vec![
            node("Shape", "", &["x"], &["dims"], &[]),
            node("Gather", "", &["dims", "axis"], &["columns"], &[]),
            node(op, "", &["columns", "with"], &["y"], &[]),
        ],
        outputs: outputs(&["y"]),
    };
    main.model(13)
}

#[test]
fn comparisons_of_dimensions_wait_for_the_call_that_tells_them() {
    type Comparison = fn(&i64, &i64) -> bool;
    let comparisons: [(&str, Comparison); 5] = [
        ("Equal", i64::eq),
        ("Less", i64::lt),
        ("LessOrEqual", i64::le),
        ("Greater", i64::gt),
        ("GreaterOrEqual", i64::ge),
    ];
    for (op, expected) in comparisons {
        for with in [-1, 0, 1, 2, 3] {
            let model = Model::load(&of_columns(op, with)).unwrap();
            for columns in [0, 1, 2, 3, 5] {
                let found = model.run(&[("x", &ones(2, columns))]).unwrap();
                let expected = expected(&(columns as i64), &with);
                assert_eq!(found[0].1, Tensor::scalar(expected), "{columns} {op} {with}");
            }
        }
    }
}

#[test]
fn shapes_compared_with_minus_one_are_known_when_the_model_is_loaded() {
    // PyTorch's exporter writes expand() this way: an extent of -1 keeps the present one.
    let main = Graph {
        inputs: vec![value("x", FLOAT, &[Dim::Name("A"), Dim::N(1)])],
        stored: vec![
            tensor_i64("asked", &[2], &[-1, 4]),
            tensor_i64("minus_one", &[], &[-1]),
            tensor_i64("one", &[2], &[1, 1]),
        ],
        nodes: vec![
            node("Shape", "", &["x"], &["dims"], &[]),
            node("Equal", "", &["asked", "minus_one"], &["keeps"], &[]),
            node("Where", "", &["keeps", "one", "asked"], &["wide"], &[]),
            node("Equal", "", &["dims", "minus_one"], &["never"], &[]),
            node("Where", "", &["never", "one", "dims"], &["same"], &[]),
            node("Expand", "", &["x", "same"], &["expanded"], &[]),
            node("Expand", "", &["expanded", "wide"], &["y"], &[]),
        ],
        outputs: outputs(&["y"]),
    };
    let model = Model::load(&main.model(13)).unwrap();
    for rows in [1, 3] {
        let found = model.run(&[("x", &ones(rows, 1))]).unwrap();
        assert_eq!(found[0].1, ones(rows, 4));
    }
}

#[test]
fn comparisons_choose_element_by_element() {
    for (op, expected) in [
        ("Greater", (|i, with| i > with) as fn(i64, i64) -> bool),
        ("GreaterOrEqual", |i, with| i >= with),
        ("Less", |i, with| i < with),
        ("LessOrEqual", |i, with| i <= with),
        ("Equal", |i, with| i == with),
    ] {
        for with in [-1, 0, 1, 2, 5] {
            let main = Graph {
                inputs: vec![value("x", FLOAT, &[Dim::Name("A")])],
                stored: vec![
                    tensor_i64("zero", &[], &[0]),
                    tensor_i64("one", &[], &[1]),
                    tensor_i64("first", &[1], &[0]),
                    tensor_i64("with", &[], &[with]),
                    tensor("yes", &[], &[1.0]),
                    tensor("no", &[], &[0.0]),
                ],
                nodes: vec![
                    node("Shape", "", &["x"], &["dims"], &[]),
                    node("Gather", "", &["dims", "zero"], &["n"], &[]),
                    node("Range", "", &["zero", "n", "one"], &["numbers"], &[]),
                    node(op, "", &["numbers", "with"], &["holds"], &[]),
                    node("Where", "", &["holds", "yes", "no"], &["y"], &[]),
                ],
                outputs: outputs(&["y"]),
            };
            let model = Model::load(&main.model(13)).unwrap();
            for count in [1, 3, 4] {
                let x = Tensor::new(&[count], vec![0f32; count]).unwrap();
                let found = model.run(&[("x", &x)]).unwrap();
                let expected: Vec<f32> =
                    (0..count as i64).map(|i| f32::from(u8::from(expected(i, with)))).collect();
                assert_eq!(floats(&found[0].1), expected, "{op} {with} of {count}");
            }
        }
    }
}
