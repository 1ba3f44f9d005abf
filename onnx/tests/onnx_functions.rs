//! Tests model-local functions: what their expansion computes and names, and which functions are refused.

use rnnpack::Direction;
use rnnpack_dev::onnx::native::packed;
use rnnpack_dev::onnx::one::one;
use rnnpack_dev::onnx::{
    Function, Graph, Msg, attr, attr_g, attr_i, attr_ref, attr_s, attr_t, call, node, recurrent_nodes,
    tensor, untyped,
};
use rnnpack_onnx::{Error, decode, proto};
use std::time::{Duration, Instant};

/// The nodes of a graph as text: `Op name(inputs)->outputs`.
fn text(graph: &proto::Graph) -> Vec<String> {
    let one =
        |n: &proto::Node| format!("{} {}({})->{}", n.op_type, n.name, n.input.join(","), n.output.join(","));
    graph.node.iter().map(one).collect()
}

fn expanded(model: Vec<u8>) -> Result<proto::Graph, Error> {
    let model = decode(&model)?;
    assert!(model.functions.is_empty());
    Ok(model.graph.unwrap())
}

/// A model of operator set 17 with these nodes and functions.
fn model(nodes: &[Msg], functions: &[Function]) -> Vec<u8> {
    let graph = Graph { nodes: nodes.to_vec(), inputs: vec![untyped("X")], ..Graph::default() };
    functions.iter().fold(graph.model(17), |model, f| f.add_to(model, 17))
}

fn nodes_of(nodes: &[Msg], functions: &[Function]) -> Vec<String> {
    text(&expanded(model(nodes, functions)).unwrap())
}

fn refusal(nodes: &[Msg], functions: &[Function]) -> String {
    match expanded(model(nodes, functions)) {
        Ok(graph) => panic!("{:?} is not refused", text(&graph)),
        Err(e) => e.to_string(),
    }
}

fn relu(inputs: &[&str], outputs: &[&str]) -> Msg {
    node("Relu", "", inputs, outputs, &[])
}

#[test]
fn a_call_is_replaced_by_the_nodes_of_the_function_with_new_names() {
    let f =
        Function::new("f", &["a"], &["c"], &[relu(&["a"], &["b"]), node("Neg", "n", &["b"], &["c"], &[])]);
    let nodes =
        [call("f", "one", &["X"], &["b"], &[]), call("f", "", &["b"], &["Y"], &[]), relu(&["Y"], &["Z"])];
    assert_eq!(
        nodes_of(&nodes, &[f]),
        [
            "Relu one/Relu(X)->b#2",
            "Neg one/n(b#2)->b",
            "Relu f/Relu(b)->b#3",
            "Neg f/n(b#3)->Y",
            "Relu (Y)->Z",
        ]
    );
}

#[test]
fn absent_inputs_and_outputs_and_values_that_pass_through_are_kept() {
    let body = [node("Clip", "", &["x", "low", "high"], &["y"], &[])];
    let f = Function::new("f", &["x", "low", "high"], &["y", "x", "y"], &body);
    let all = call("f", "c", &["X", "", "H"], &["A", "B", "C"], &[]);
    let few = call("f", "d", &["X"], &["", "E"], &[]);
    assert_eq!(
        nodes_of(&[all, few], &[f]),
        [
            "Clip c/Clip(X,,H)->A",
            "Identity c/Identity(X)->B",
            "Identity c/Identity(A)->C",
            "Clip d/Clip(X,,)->y",
            "Identity d/Identity(X)->E",
        ]
    );
}

#[test]
fn attributes_are_those_of_the_call_or_the_default_or_absent() {
    let body =
        [node("LeakyRelu", "", &["x"], &["y"], &[attr_ref("alpha", 1, "slope"), attr_ref("k", 2, "n")])];
    let mut f = Function::new("f", &["x"], &["y"], &body);
    f.attributes = vec!["n".into()];
    f.defaults = vec![attr("slope", 1).float(2, 0.5)];
    let given = [attr_i("n", 7), attr("slope", 1).float(2, 0.25)];
    let nodes = [call("f", "", &["X"], &["A"], &given), call("f", "", &["X"], &["B"], &[])];
    let graph = expanded(model(&nodes, &[f])).unwrap();
    let found = |i: usize| {
        let a = &graph.node[i].attribute;
        a.iter().map(|a| (a.name.as_str(), a.f, a.i, a.ref_attr_name.len())).collect::<Vec<_>>()
    };
    assert_eq!(found(0), [("alpha", 0.25, 0, 0), ("k", 0.0, 7, 0)]);
    assert_eq!(found(1), [("alpha", 0.5, 0, 0)]);
}

#[test]
fn functions_inside_functions_and_inside_graphs_are_expanded() {
    let inner = Function::new("inner", &["a"], &["b"], &[node("Neg", "n", &["a"], &["b"], &[])]);
    // The branch uses a value of the function around it, and has a value of its own.
    let branch = Graph {
        nodes: vec![relu(&["x"], &["r"]), call("inner", "i", &["r"], &["s"], &[])],
        outputs: vec![untyped("s")],
        ..Graph::default()
    };
    let choice = node("If", "if", &["x"], &["y"], &[attr_g("then_branch", &branch.msg())]);
    let outer = Function::new("outer", &["x"], &["y"], &[choice]);
    let nodes = [relu(&["X"], &["r"]), call("outer", "o", &["r"], &["Y"], &[])];
    let graph = expanded(model(&nodes, &[outer, inner])).unwrap();
    assert_eq!(text(&graph), ["Relu (X)->r", "If o/if(r)->Y"]);
    let branch = graph.node[1].attribute[0].g.as_ref().unwrap();
    assert_eq!(text(branch), ["Relu (r)->r#2", "Neg i/n(r#2)->s"]);
    assert_eq!(branch.output[0].name, "s");
}

#[test]
fn a_graph_that_a_call_gives_uses_the_values_around_the_call() {
    let body = [relu(&["x"], &["v"]), node("If", "if", &["v"], &["y"], &[attr_ref("then_branch", 5, "g")])];
    let mut f = Function::new("f", &["x"], &["y"], &body);
    f.attributes = vec!["g".into()];
    let given = Graph { nodes: vec![relu(&["v"], &["w"])], outputs: vec![untyped("w")], ..Graph::default() };
    let nodes = [relu(&["X"], &["v"]), call("f", "c", &["v"], &["Y"], &[attr_g("g", &given.msg())])];
    let graph = expanded(model(&nodes, &[f])).unwrap();
    assert_eq!(text(&graph), ["Relu (X)->v", "Relu c/Relu(v)->v#2", "If c/if(v#2)->Y"]);
    assert_eq!(text(graph.node[2].attribute[0].g.as_ref().unwrap()), ["Relu (v)->w"]);
}

/// The model of one LSTM, which is in the function `layer`. Its direction is an attribute, and W is a constant in it.
fn with_layer(calls: &[Msg]) -> Vec<u8> {
    let mut plain = one();
    let w = attr_t("value", &tensor("", &[1, 8, 3], &[0.5; 24]));
    plain.stored.remove(0);
    let lstm = node("LSTM", "lstm", &["x", "w", "r", "b"], &["y"], &[attr_ref("direction", 3, "side")]);
    let mut layer =
        Function::new("layer", &["x", "r", "b"], &["y"], &[node("Constant", "", &[], &["w"], &[w]), lstm]);
    layer.defaults = vec![attr_s("side", "forward")];
    let graph = Graph { nodes: calls.to_vec(), ..plain.graph() };
    layer.add_to(graph.model(17), 17)
}

#[test]
fn a_layer_in_a_function_is_listed_under_the_name_of_each_call() {
    let reverse = attr_s("side", "reverse");
    let found = recurrent_nodes(&with_layer(&[
        call("layer", "encoder", &["X", "R", "B"], &["Y"], &[]),
        call("layer", "decoder", &["X", "R", "B"], &["Z"], &[reverse]),
        call("layer", "encoder", &["X", "R", "B"], &["V"], &[]),
    ]))
    .unwrap();
    let names: Vec<_> = found.iter().map(|n| (n.name.as_str(), n.direction)).collect();
    let [forward, reverse] = [Direction::Forward, Direction::Reverse].map(Some);
    assert_eq!(names, [("encoder/lstm", forward), ("decoder/lstm", reverse), ("encoder/lstm#2", forward)]);
    let plain = recurrent_nodes(&one().bytes()).unwrap();
    assert_eq!(packed(&found[0]), packed(&plain[0]));
}

#[test]
fn a_function_that_nothing_calls_harms_nobody() {
    let wrong = Function::new("wrong", &["a", "a"], &["nowhere"], &[call("wrong", "", &["b"], &["b"], &[])]);
    let bytes = wrong.add_to(one().bytes(), 3);
    recurrent_nodes(&bytes).unwrap()[0].pack().unwrap();
}

#[test]
fn functions_that_call_themselves_are_refused_by_name() {
    let to = |name: &str, other: &str| {
        Function::new(name, &["x"], &["y"], &[call(other, "", &["x"], &["y"], &[])])
    };
    let start = [call("a", "", &["X"], &["Y"], &[])];
    let words = "it calls itself, directly or through other functions";
    assert_eq!(refusal(&start, &[to("a", "a")]), format!("function `a`: {words}"));
    assert_eq!(
        refusal(&start, &[to("a", "b"), to("b", "c"), to("c", "b")]),
        format!("function `b`: {words}")
    );
    let inner = Graph { nodes: vec![call("a", "", &["x"], &["y"], &[])], ..Graph::default() };
    let hidden = node("If", "", &["x"], &["y"], &[attr_g("then_branch", &inner.msg())]);
    let hidden = Function::new("a", &["x"], &["y"], &[hidden]);
    assert_eq!(refusal(&start, &[hidden]), format!("function `a`: {words}"));
}

#[test]
fn wrong_functions_and_calls_are_refused_by_name() {
    let f = |body: &[Msg]| Function::new("f", &["x"], &["y"], body);
    let good = || f(&[relu(&["x"], &["y"])]);
    let start = || call("f", "c", &["X"], &["Y"], &[]);
    let typed = Function {
        attributes: vec!["n".into()],
        ..f(&[node("Relu", "r", &["x"], &["y"], &[attr_ref("a", 1, "n")])])
    };
    for (call, functions, words) in [
        (start(), vec![good(), good()], "function `f`: two functions of the model"),
        (start(), vec![f(&[relu(&["X"], &["y"])])], "function `f`: it has no value `X`"),
        (start(), vec![f(&[relu(&["x"], &["z"])])], "function `f`: its output `y` has no value"),
        (
            start(),
            vec![f(&vec![relu(&["x"], &["y"]); 2])],
            "function `f`: two of its values have the name `y`",
        ),
        (start(), vec![f(&[relu(&["x"], &["x"])])], "function `f`: two of its values have the name `x`"),
        (
            start(),
            vec![Function::new("f", &["x", "x"], &["y"], &[relu(&["x"], &["y"])])],
            "function `f`: two of its inputs have the name `x`",
        ),
        (call("f", "c", &["X", "X"], &["Y"], &[]), vec![good()], "node `c` (f): it has 2 inputs"),
        (call("f", "c", &["X"], &["Y", "Z"], &[]), vec![good()], "node `c` (f): it has 2 outputs"),
        (
            call("f", "c", &["X"], &["Y"], &[attr_i("n", 1)]),
            vec![good()],
            "node `c` (f): the function has no attribute `n`",
        ),
        (
            call("f", "c", &["X"], &["Y"], &[attr_i("n", 1)]),
            vec![typed.clone()],
            "node `c/r`: attribute `a`: it refers to an attribute of a function that has another type",
        ),
        (
            call("f", "c", &["X"], &["Y"], &[attr_i("n", 1), attr_i("n", 2)]),
            vec![typed],
            "node `c` (f): the attribute `n` is given twice",
        ),
        (
            start(),
            vec![Function { attributes: vec!["n".into(); 2], ..good() }],
            "function `f`: two of its attributes have the name `n`",
        ),
        (
            call("f", "c", &[], &["Y"], &[]),
            vec![Function::new("f", &["x"], &["x"], &[])],
            "function `f`: its output `x` has no value",
        ),
    ] {
        let e = refusal(&[call], &functions);
        assert!(e.contains(words), "{words}: {e}");
    }
    let model = good().add_to(model(&[start()], &[]), 16);
    let e = expanded(model).unwrap_err().to_string();
    assert!(e.contains("function `f`") && e.contains("operator set 16") && e.contains("is 17"), "{e}");
}

/// Checks that listing a model with these functions is refused in bounded time and memory.
fn bounded(functions: &[Function], words: &str) {
    let start = Instant::now();
    let bytes = model(&[call("f0", &"n".repeat(1000), &["X"], &["Y"], &[])], functions);
    let mut result = Ok(Vec::new());
    let used = allocation_counter::measure(|| result = recurrent_nodes(&bytes)).bytes_max;
    let e = result.unwrap_err().to_string();
    assert!(e.contains(words), "{words}: {e}");
    assert!(used <= 512 * bytes.len() as u64 + (64 << 20), "{used} bytes for {}", bytes.len());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn functions_that_grow_exponentially_or_deeply_are_refused() {
    let f = |i: usize, body: Vec<Msg>| Function::new(&format!("f{i}"), &["x"], &["y"], &body);
    let next = |i: usize, x: &str, y: &str| call(&format!("f{}", i + 1), "", &[x], &[y], &[]);
    let doubling = |i: usize| f(i, vec![next(i, "x", "z"), next(i, "z", "y")]);
    let mut functions: Vec<Function> = (0..40).map(doubling).collect();
    functions.push(f(40, vec![relu(&["x"], &["y"])]));
    bounded(&functions, "too much memory");
    let mut chain: Vec<Function> = (0..64).map(|i| f(i, vec![next(i, "x", "y")])).collect();
    chain.push(f(64, vec![relu(&["x"], &["y"])]));
    bounded(&chain, "function `f64`: it is inside 64 other calls");
    let inside = |i: usize| {
        let inner = Graph { nodes: vec![next(i, "x", "z")], outputs: vec![untyped("z")], ..Graph::default() };
        f(i, vec![node("If", "", &["x"], &["y"], &[attr_g("then_branch", &inner.msg())])])
    };
    bounded(&(0..40).map(inside).collect::<Vec<_>>(), "inside 33 graphs");
    // A large constant that is copied many times, and a long name that is used many times.
    let large = attr_t("value", &tensor("", &[1 << 16], &vec![0.0; 1 << 16]));
    let copied = f(1, vec![node("Constant", "", &[], &["y"], &[large])]);
    let many = f(0, (0..400).map(|i| next(0, "x", &format!("v{i}"))).chain([relu(&["x"], &["y"])]).collect());
    bounded(&[many, copied], "too much memory");
    let inputs: Vec<String> = (0..50_000).map(|i| format!("i{i}")).collect();
    let wide = Function { inputs, ..f(1, vec![]) };
    let calls = (0..50_000).map(|_| call("f1", "", &[], &[], &[]));
    bounded(&[f(0, calls.chain([relu(&["x"], &["y"])]).collect()), wide], "too much memory");
    let long = "v".repeat(100_000);
    let users = (0..3000).map(|i| relu(&["x"], &[&format!("u{i}")])).chain([relu(&["x"], &["y"])]);
    let named = f(0, vec![relu(&["x"], &[&long]), next(0, &long, "y")]);
    bounded(&[named, f(1, users.collect())], "too much memory");
}

#[test]
fn many_calls_of_small_functions_are_expanded() {
    let f = Function::new("f", &["x"], &["y"], &[relu(&["x"], &["z"]), relu(&["z"], &["y"])]);
    let name = |i: usize| if i == 0 { "X".to_string() } else { format!("v{i}") };
    let calls: Vec<Msg> = (0..5000).map(|i| call("f", "", &[&name(i)], &[&name(i + 1)], &[])).collect();
    assert_eq!(nodes_of(&calls, &[f]).len(), 10_000);
}
