//! Tests names inside graphs that hide names around them: the inner value is meant.

use rnnpack_dev::onnx::{Graph, attr_g, node, recurrent_nodes, tensor, untyped};
use rnnpack_onnx::{decode, proto};

fn text(graph: &proto::Graph) -> Vec<String> {
    let one = |n: &proto::Node| format!("{}({})->{}", n.op_type, n.input.join(","), n.output.join(","));
    graph.node.iter().map(one).collect()
}

fn names(infos: &[proto::ValueInfo]) -> Vec<&str> {
    infos.iter().map(|i| i.name.as_str()).collect()
}

#[test]
fn inner_inputs_stored_tensors_and_outputs_get_new_names_that_nobody_has() {
    let deepest = Graph {
        nodes: vec![node("Add", "", &["x", "a"], &["v"], &[])],
        outputs: vec![untyped("v")],
        ..Graph::default()
    };
    let body = Graph {
        nodes: vec![
            node("Mul", "", &["x", "w"], &["v"], &[]),
            node("If", "", &["outside"], &["y"], &[attr_g("then_branch", &deepest.msg())]),
        ],
        stored: vec![tensor("w", &[1], &[2.0])],
        inputs: vec![untyped("x")],
        outputs: vec![untyped("v"), untyped("y"), untyped("outside")],
    };
    let graph = Graph {
        nodes: vec![
            node("Loop", "", &["x"], &["v"], &[attr_g("body", &body.msg())]),
            node("Add", "", &["x", "w"], &["x#2"], &[]),
            node("Neg", "", &["v"], &["y"], &[]),
        ],
        stored: vec![tensor("w", &[1], &[3.0])],
        inputs: vec![untyped("x"), untyped("outside"), untyped("a")],
        outputs: vec![untyped("x#2"), untyped("y")],
    };
    let graph = decode(&graph.model(17)).unwrap().graph.unwrap();
    assert_eq!(text(&graph), ["Loop(x)->v", "Add(x,w)->x#2", "Neg(v)->y"]);
    let body = graph.node[0].attribute[0].g.as_ref().unwrap();
    assert_eq!(text(body), ["Mul(x#3,w#2)->v#2", "If(outside)->y#2"]);
    assert_eq!((names(&body.input), body.initializer[0].name.as_str()), (vec!["x#3"], "w#2"));
    assert_eq!(names(&body.output), ["v#2", "y#2", "outside"]);
    let deepest = body.node[1].attribute[0].g.as_ref().unwrap();
    assert_eq!(text(deepest), ["Add(x#3,a)->v#3"]);
    assert_eq!(names(&deepest.output), ["v#3"]);
}

#[test]
fn graphs_side_by_side_may_have_the_same_names() {
    let branch = |op| Graph {
        nodes: vec![node(op, "", &["x"], &["v"], &[])],
        outputs: vec![untyped("v")],
        ..Graph::default()
    };
    let branches =
        [attr_g("then_branch", &branch("Neg").msg()), attr_g("else_branch", &branch("Relu").msg())];
    let graph = Graph {
        nodes: vec![node("If", "", &["x"], &["y"], &branches)],
        inputs: vec![untyped("x")],
        ..Graph::default()
    };
    let graph = decode(&graph.model(17)).unwrap().graph.unwrap();
    for (a, op) in graph.node[0].attribute.iter().zip(["Neg", "Relu"]) {
        assert_eq!(text(a.g.as_ref().unwrap()), [format!("{op}(x)->v")]);
    }
}

#[test]
fn a_layer_uses_the_weights_of_its_own_graph() {
    let inner = Graph {
        nodes: vec![node("RNN", "rnn", &["X", "W", "R"], &["Z"], &[])],
        stored: vec![tensor("W", &[1, 1, 5], &[1.0; 5])],
        ..Graph::default()
    };
    let graph = Graph {
        nodes: vec![node("If", "", &["X"], &[], &[attr_g("then_branch", &inner.msg())])],
        stored: vec![tensor("W", &[1, 1, 3], &[2.0; 3]), tensor("R", &[1, 1, 1], &[1.0])],
        inputs: vec![untyped("X")],
        ..Graph::default()
    };
    assert_eq!(recurrent_nodes(&graph.model(17)).unwrap()[0].input, Some(5));
}
