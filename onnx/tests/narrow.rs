//! Tests that a model is rewritten with narrower recurrent weights, and that nothing else of it changes.

use rnnpack::{Target, WeightType};
use rnnpack_dev::onnx::one::{H, I, of, one};
use rnnpack_dev::onnx::quantized::INT8;
use rnnpack_dev::onnx::{
    DOUBLE, Dim, FLOAT, FLOAT16, Field, Function, Graph, Msg, Narrow, Numbers, attr_g, attr_i, attr_s, call,
    fields, node, raw, recurrent_nodes, tensor, untyped, value,
};
use rnnpack_onnx::{DType, Error, RecurrentNode, narrow};

/// A stored tensor of numbers that need all bits of f32.
fn random(name: &str, dims: &[usize], seed: u64) -> Msg {
    let mut numbers = Numbers(seed);
    let count = dims.iter().product();
    let data: Vec<f32> = (0..count).map(|_| numbers.below(1 << 24) as f32 / (1 << 24) as f32 - 0.5).collect();
    tensor(name, dims, &data)
}

/// A model of one node whose weights need all bits of f32.
fn model(op: &'static str, gates: usize, directions: usize, opset: i64) -> Vec<u8> {
    let direction = if directions == 2 { "bidirectional" } else { "forward" };
    let stored = vec![
        random("W", &[directions, gates * H, I], 1),
        random("R", &[directions, gates * H, H], 2),
        random("B", &[directions, 2 * gates * H], 3),
    ];
    let attrs = vec![attr_i("hidden_size", H as i64), attr_s("direction", direction)];
    rnnpack_dev::onnx::one::One { stored, attrs, ..of(op, gates) }.opset(opset).bytes()
}

fn all(model: &[u8], weights: WeightType) -> Result<Vec<u8>, Error> {
    narrow(model, |_| weights)
}

fn packed(node: &RecurrentNode) -> Vec<u8> {
    node.weights().unwrap().to_bytes(Target::by_name("portable").unwrap()).unwrap()
}

/// The bits of all weights as the layer stores them.
fn numbers(node: &RecurrentNode) -> Vec<u32> {
    let weights = node.weights().unwrap();
    let rows = (0..weights.cell().gates()).flat_map(|gate| (0..H).map(move |unit| (gate, unit)));
    let rows = weights.directions().iter().flat_map(|d| rows.clone().map(move |row| (d, row)));
    rows.flat_map(|(d, (gate, unit))| d.stored_w(gate, unit).chain(d.stored_r(gate, unit)))
        .map(f32::to_bits)
        .collect()
}

/// The messages of a field of a message.
fn messages(message: &[u8], number: u64) -> Vec<&[u8]> {
    fields(message).into_iter().filter(|f| f.0 == number).map(|f| f.1.bytes()).collect()
}

fn graph(model: &[u8]) -> &[u8] {
    messages(model, 7)[0]
}

/// The operators of a graph's nodes, in their order.
fn operators(graph: &[u8]) -> Vec<String> {
    let of_node = |node: &&[u8]| fields(node).into_iter().find(|f| f.0 == 4).unwrap().1.text().to_owned();
    messages(graph, 1).iter().map(of_node).collect()
}

#[test]
fn the_new_file_has_the_weights_that_the_layer_would_store() {
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for directions in [1, 2] {
            let model = model(op, gates, directions, 17);
            let node = recurrent_nodes(&model).unwrap().remove(0);
            for weights in [WeightType::Bf16, WeightType::F16, WeightType::I8] {
                let written = all(&model, weights).unwrap();
                assert_eq!(written, all(&model, weights).unwrap(), "the same bytes again");
                let read = recurrent_nodes(&written).unwrap().remove(0);
                let expected = node.clone().with_type(weights);
                if weights == WeightType::I8 && op != "LSTM" {
                    // Integers behind DequantizeLinear, which the standard computes in f32.
                    assert_eq!(read.weight_type(), Some(WeightType::F32), "{op}");
                    assert_eq!(numbers(&read), numbers(&expected), "{op} {directions}");
                    continue;
                }
                assert_eq!(read.weight_type(), Some(weights), "{op}");
                assert_eq!(packed(&read), packed(&expected), "{op} {weights:?} {directions}");
                assert!(written != model && all(&model, WeightType::F32).unwrap() == model);
            }
        }
    }
}

#[test]
fn an_lstm_of_int8_is_dynamic_quantize_lstm_with_its_operator_set_imported_once() {
    let written = all(&model("LSTM", 4, 1, 11), WeightType::I8).unwrap();
    assert_eq!(operators(graph(&written)).last().unwrap(), "DynamicQuantizeLSTM");
    let lstm = *messages(graph(&written), 1).last().unwrap();
    let inputs: Vec<&str> = fields(lstm).into_iter().filter(|f| f.0 == 1).map(|f| f.1.text()).collect();
    assert_eq!(
        inputs,
        ["X", "W_int8", "R_int8", "B", "", "", "", "", "W_scale", "W_zero_point", "R_scale", "R_zero_point"]
    );
    let imports =
        |model: &[u8]| messages(model, 8).iter().map(|m| fields(m)[0].1.text().to_owned()).collect();
    let imports: Vec<String> = imports(&written);
    assert_eq!(imports, ["", "com.microsoft"]);
    // What is int8 stays so, in any number of passes.
    assert_eq!(all(&written, WeightType::I8).unwrap(), written);
    let error = all(&written, WeightType::Bf16).unwrap_err().to_string();
    assert!(error.contains("node `lstm`") && error.contains("its weights are int8"), "{error}");
}

#[test]
fn batch_major_tensors_are_transposed_around_an_operator_without_layout() {
    let states = [random("h", &[2, 1, H], 4), random("c", &[2, 1, H], 5)];
    let mut one = one();
    one.stored.extend(states);
    one.attrs.push(attr_i("layout", 1));
    let one = one.inputs(&["X", "W", "R", "B", "", "h", "c"]);
    let written = all(&one.bytes(), WeightType::I8).unwrap();
    let operators = operators(graph(&written));
    let transposes = operators.iter().filter(|op| *op == "Transpose").count();
    // X, h, c and Y.
    assert_eq!((transposes, operators.last().unwrap().as_str()), (4, "Transpose"));
    let lstm = messages(graph(&written), 1)[operators.len() - 2];
    assert!(!lstm.windows(6).any(|bytes| bytes == b"layout"));
    assert!(recurrent_nodes(&written).unwrap()[0].refusal().is_none());
}

#[test]
fn all_other_bytes_stay() {
    // Fields that no reader of ours knows, in the model, the graph and the node.
    let unknown = |m: Msg| m.text(1234, "unknown").int(1235, 7).float(1236, 0.5);
    let one = one();
    let lstm =
        unknown(node("LSTM", "lstm", &["X", "W", "R", "B"], &["Y"], &one.attrs)).text(6, "doc of lstm");
    let relu = unknown(node("Relu", "relu", &["Y"], &["Z"], &[]));
    let graph_of = |nodes: &[Msg]| {
        let graph = Graph {
            nodes: nodes.to_vec(),
            stored: one.stored.clone(),
            inputs: vec![value("X", FLOAT, &[Dim::Name("T"), Dim::N(1), Dim::N(I)])],
            outputs: vec![untyped("Z")],
        };
        unknown(graph.msg().text(10, "doc of the graph"))
    };
    let model =
        unknown(Msg(rnnpack_dev::onnx::model(&graph_of(&[lstm, relu.clone()]), 17)).text(2, "producer"));
    let written = all(&model.0, WeightType::F16).unwrap();
    let rest = |model: &[u8]| -> Vec<Vec<u8>> {
        let other = fields(model).into_iter().filter(|f| f.0 != 7);
        other
            .map(|(number, f)| match f {
                Field::Int(v) => Msg::default().int(number as u32, v as i64).0,
                Field::Bytes(b) => Msg::default().bytes(number as u32, b).0,
            })
            .collect()
    };
    assert_eq!(rest(&written), rest(&model.0));
    let graph = graph(&written);
    for kept in [&relu.0, &tensor("B", &[1, 8 * H], &[0.5; 8 * H]).0] {
        assert!(graph.windows(kept.len()).any(|bytes| bytes == kept.as_slice()));
    }
    assert!(String::from_utf8_lossy(graph).contains("doc of lstm"));
    assert_eq!(graph.windows(7).filter(|bytes| bytes == b"unknown").count(), 3);
    // The old weights are gone.
    let stored = messages(graph, 5);
    assert_eq!(stored.len(), 1, "only B is left");
}

#[test]
fn what_only_computed_the_old_weights_is_left_out() {
    let mut one = one().computed("Unsqueeze", &["raw_W"], &[rnnpack_dev::onnx::attr_ints("axes", &[0])]);
    one.stored[0] = random("raw_W", &[4 * H, I], 1);
    // R is used twice, so one use stays.
    one.nodes.push(node("Identity", "other", &["R"], &["R_too"], &[]));
    let mut graph_of_one = one.opset(11).graph();
    graph_of_one.outputs.push(untyped("R_too"));
    let model = graph_of_one.model(11);
    let written = all(&model, WeightType::F16).unwrap();
    let text = String::from_utf8_lossy(&written).into_owned();
    assert!(!text.contains("raw_W") && !text.contains("Unsqueeze"));
    let names: Vec<&str> = messages(graph(&written), 5)
        .into_iter()
        .map(|t| fields(t).into_iter().find(|f| f.0 == 8).unwrap().1.text())
        .collect();
    assert_eq!(names, ["R", "B"]);
    let read = recurrent_nodes(&written).unwrap().remove(0);
    let before = recurrent_nodes(&model).unwrap().remove(0);
    assert_eq!(packed(&read), packed(&before.with_type(WeightType::F16)));
}

#[test]
fn an_input_that_is_a_weight_with_a_default_is_left_out_too() {
    let mut graph_of_one = one().graph();
    graph_of_one.inputs.push(value("W", FLOAT, &[Dim::N(1), Dim::N(4 * H), Dim::N(I)]));
    let written = all(&graph_of_one.model(17), WeightType::F16).unwrap();
    let inputs = messages(graph(&written), 11);
    assert_eq!(inputs.iter().map(|m| fields(m)[0].1.text()).collect::<Vec<_>>(), ["X"]);
}

#[test]
fn nodes_in_branches_are_rewritten_and_the_choice_is_for_each_node() {
    let branch = |name: &str, seed: u64| {
        let w = format!("{name}_W");
        let inputs = ["X", w.as_str(), "R"];
        Graph {
            nodes: vec![node("LSTM", name, &inputs, &[&format!("{name}_Y")], &[])],
            stored: vec![random(&w, &[1, 4 * H, I], seed)],
            inputs: vec![],
            outputs: vec![untyped(&format!("{name}_Y"))],
        }
        .msg()
    };
    let branches = [attr_g("then_branch", &branch("then", 1)), attr_g("else_branch", &branch("else", 2))];
    let lstm = node("LSTM", "main", &["X", "main_W", "R"], &["Y"], &[]);
    let graph_of_all = Graph {
        nodes: vec![node("If", "if", &["condition"], &["Z"], &branches), lstm],
        stored: vec![random("R", &[1, 4 * H, H], 3), random("main_W", &[1, 4 * H, I], 4)],
        inputs: vec![
            value("X", FLOAT, &[Dim::Name("T"), Dim::N(1), Dim::N(I)]),
            value("condition", rnnpack_dev::onnx::BOOL, &[]),
        ],
        outputs: vec![untyped("Y"), untyped("Z")],
    };
    let model = graph_of_all.model(17);
    let nodes = recurrent_nodes(&model).unwrap();
    let choice = |name: &str| match name {
        "main" => WeightType::Bf16,
        "then" => WeightType::F32,
        _ => WeightType::I8,
    };
    let written = narrow(&model, |node| choice(&node.name)).unwrap();
    let read = recurrent_nodes(&written).unwrap();
    assert_eq!(read.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["main", "then", "else"]);
    for (read, node) in read.iter().zip(nodes) {
        let weights = choice(&read.name);
        assert_eq!(read.weight_type(), Some(weights), "{}", read.name);
        assert_eq!(packed(read), packed(&node.with_type(weights)), "{}", read.name);
    }
    // `then` still uses R.
    assert_eq!(messages(graph(&written), 5).len(), 1);
}

#[test]
fn an_input_of_a_loop_body_keeps_its_place_whatever_its_name_is() {
    let body = Graph {
        nodes: vec![node("Identity", "", &["cond"], &["go"], &[]), node("Neg", "", &["s"], &["t"], &[])],
        // The body does not use its second state, which has the name of the layer's weights.
        inputs: ["i", "cond", "W", "s"].map(untyped).to_vec(),
        outputs: ["go", "s", "t"].map(untyped).to_vec(),
        ..Graph::default()
    };
    let mut graph_of = one().graph();
    let (inputs, outputs) = (["count", "", "X", "X"], ["a", "b"]);
    graph_of.nodes.push(node("Loop", "loop", &inputs, &outputs, &[attr_g("body", &body.msg())]));
    let written = all(&graph_of.model(17), WeightType::F16).unwrap();
    let nodes = messages(graph(&written), 1);
    let of_loop = nodes.into_iter().find(|node| messages(node, 4) == [b"Loop"]).unwrap();
    let written_body = messages(messages(of_loop, 5)[0], 6)[0];
    assert_eq!(messages(written_body, 11), messages(&body.msg().0, 11));
}

#[test]
fn an_attribute_with_a_graph_and_a_list_of_graphs_is_refused() {
    let inner = one().graph().msg();
    let both = attr_g("both", &inner).msg(11, &inner);
    let mut outer = one().graph();
    outer.nodes.push(node("If", "if", &["c"], &["z"], &[both]));
    assert!(all(&outer.model(17), WeightType::F16).is_err());
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let doubles = Narrow { stored: DOUBLE, node: DOUBLE, ..Narrow::f16(DOUBLE, DOUBLE) }.model();
    let halves = Narrow::f16(FLOAT16, FLOAT16).model();
    let mut inputs = one().graph();
    inputs.stored.remove(0);
    inputs.inputs.push(value("W", FLOAT, &[Dim::N(1), Dim::N(4 * H), Dim::N(I)]));
    let large = one().stored(0, tensor("W", &[1, 4 * H, I], &[1e5; 4 * H * I])).bytes();
    let set = |gates, op, opset| model(op, gates, 1, opset);
    let integers = of("RNN", 1).stored(0, raw("W", &[1, H, I], INT8, vec![1; H * I])).bytes();
    for (model, weights, expected) in [
        (
            set(4, "LSTM", 11),
            WeightType::Bf16,
            "node `lstm` (LSTM): its weights can be bf16 from operator set 13",
        ),
        (set(3, "GRU", 5), WeightType::F16, "node `lstm` (GRU): its weights can be f16 from operator set 6"),
        (
            set(3, "GRU", 12),
            WeightType::I8,
            "node `lstm` (GRU): its weights can be int8 from operator set 13",
        ),
        (
            set(1, "RNN", 12),
            WeightType::I8,
            "node `lstm` (RNN): its weights can be int8 from operator set 13",
        ),
        (
            halves.clone(),
            WeightType::I8,
            "node `lstm` (LSTM): its weights are f16; only those of f32 become int8",
        ),
        (doubles, WeightType::Bf16, "node `lstm`: input `W`: it is f64"),
        (integers, WeightType::I8, "node `lstm`: input `W`: it is i8, where RNN"),
        (inputs.model(17), WeightType::I8, "node `lstm`: input `W`: `W` is an input of the graph"),
        (large, WeightType::F16, "W"),
    ] {
        let error = all(&model, weights).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} has no {expected:?}");
        assert_eq!(all(&model, WeightType::F32).unwrap(), model);
    }
    assert_eq!(all(&halves, WeightType::F16).unwrap(), halves);
}

#[test]
fn a_function_with_a_recurrent_node_is_refused_and_another_one_stays() {
    let inner = node("LSTM", "inner", &["x", "w", "r"], &["y"], &[]);
    let with = Function::new("f", &["x", "w", "r"], &["y"], &[inner]);
    let mut calls = one().graph();
    calls.nodes = vec![call("f", "call", &["X", "W", "R"], &["Y"], &[])];
    let model = with.add_to(calls.model(17), 17);
    let error = all(&model, WeightType::F16).unwrap_err();
    assert!(matches!(&error, Error::Function { function, .. } if function == "f"), "{error}");

    let without = Function::new("f", &["x"], &["y"], &[node("Identity", "", &["x"], &["y"], &[])]);
    let mut calls = one().graph();
    calls.nodes.insert(0, call("f", "call", &["X"], &["X_too"], &[]));
    let model = without.add_to(calls.model(17), 17);
    let written = all(&model, WeightType::F16).unwrap();
    assert_eq!(messages(&written, 25), messages(&model, 25));
    assert_eq!(operators(graph(&written)), ["f", "Constant", "Cast", "Constant", "Cast", "LSTM"]);
}

#[test]
fn a_graph_in_two_parts_is_refused() {
    let whole = one().graph();
    let (mut first, mut second) = (whole.clone(), whole);
    first.nodes.clear();
    second.stored.clear();
    second.inputs.clear();
    second.outputs.clear();
    let model = Msg::default().int(1, 8).msg(7, &first.msg()).msg(7, &second.msg());
    let model = model.msg(8, &Msg::default().text(1, "").int(2, 17)).0;
    assert_eq!(recurrent_nodes(&model).unwrap().len(), 1, "a reader joins the parts");
    let error = all(&model, WeightType::F16).unwrap_err();
    assert!(error.to_string().contains("in several parts"), "{error}");
}

#[test]
fn damaged_bytes_are_errors_and_what_is_written_can_be_read() {
    let model = model("LSTM", 4, 2, 17);
    for len in 0..model.len() {
        for weights in [WeightType::I8, WeightType::Bf16] {
            if let Ok(written) = all(&model[..len], weights) {
                assert!(recurrent_nodes(&written).is_ok(), "{len}");
            }
        }
    }
    let mut numbers = Numbers(5);
    for _ in 0..3000 {
        let mut damaged = model.clone();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(damaged.len());
            damaged[at] = numbers.below(256) as u8;
        }
        if let Ok(written) = all(&damaged, WeightType::I8) {
            assert!(recurrent_nodes(&written).is_ok());
        }
    }
}

#[test]
fn rows_of_zeros_have_a_scale_that_every_reader_takes() {
    let zeros = one().stored(0, tensor("W", &[1, 4 * H, I], &[0.0; 4 * H * I])).bytes();
    let read = recurrent_nodes(&all(&zeros, WeightType::I8).unwrap()).unwrap().remove(0);
    assert!(read.refusal().is_none(), "{:?}", read.refusal());
    let direction = read.weights().unwrap().directions()[0];
    assert!((0..4).all(|gate| direction.stored_w(gate, 0).all(|weight| weight == 0.0)));
}

#[test]
fn a_model_that_is_narrow_already_comes_back_unchanged() {
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for directions in [1, 2] {
            for weights in [WeightType::Bf16, WeightType::F16, WeightType::I8] {
                let once = all(&model(op, gates, directions, 17), weights).unwrap();
                assert_eq!(all(&once, weights).unwrap(), once, "{op} {directions} {weights:?}");
            }
        }
    }
    // Numbers of both types of 16 bits: what the file says counts.
    let eighths = Narrow { weight: |x| (x * 8.0).round() / 8.0, ..Narrow::f16(FLOAT, FLOAT) }.model();
    for weights in [WeightType::Bf16, WeightType::F16] {
        let once = all(&eighths, weights).unwrap();
        assert_eq!(recurrent_nodes(&once).unwrap()[0].weight_type(), Some(weights));
        assert_eq!(all(&once, weights).unwrap(), once, "{weights:?}");
    }
}

#[test]
fn weights_that_are_narrow_already_are_not_rounded_to_a_type_that_has_no_fewer_bytes() {
    use WeightType::{Bf16, F16, I8};
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        let wide = model(op, gates, 2, 17);
        for (from, name, to) in [(F16, "f16", Bf16), (Bf16, "bf16", F16)] {
            let once = all(&wide, from).unwrap();
            let error = all(&once, to).unwrap_err().to_string();
            let reason = format!("its weights are {name} in the file, and {} has no fewer bytes", to.name());
            assert!(error.contains(&reason), "{error}");
            // An integer has fewer bytes than both.
            let integers = all(&once, I8).unwrap();
            let [before, after] = [&once, &integers].map(|file| recurrent_nodes(file).unwrap().remove(0));
            assert_eq!(after.matrix_dtype.unwrap().size(), 1);
            assert_eq!(numbers(&after.with_type(I8)), numbers(&before.with_type(I8)), "{op} {name}");
        }
        if op != "LSTM" {
            // Behind DequantizeLinear.
            let integers = all(&wide, I8).unwrap();
            for to in [Bf16, F16] {
                let error = all(&integers, to).unwrap_err().to_string();
                assert!(error.contains("its weights are i8 in the file"), "{error}");
            }
        }
    }
    // One narrow matrix is enough, and a narrow part of one; the same type is no other one.
    let file = |parts: &[(&str, i64, usize)]| {
        let mut graph = one().graph();
        graph.stored.remove(0);
        let mut names = vec![];
        for (i, &(name, dtype, columns)) in parts.iter().enumerate() {
            graph.stored.push(raw(name, &[1, 4 * H, columns], dtype, vec![0; 2 * 4 * H * columns]));
            let cast = node("Cast", "", &[name], &[&format!("{name}_wide")], &[attr_i("to", FLOAT)]);
            graph.nodes.insert(i, cast);
            names.push(format!("{name}_wide"));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let concat = node("Concat", "", &names, &["W"], &[attr_i("axis", 2)]);
        graph.nodes.insert(parts.len(), concat);
        graph.model(17)
    };
    let w = file(&[("a", FLOAT16, I)]);
    assert!(all(&w, F16).is_ok() && all(&w, I8).is_ok());
    let error = all(&w, Bf16).unwrap_err().to_string();
    assert!(error.contains("its weights are f16 in the file"), "{error}");
    let parts = file(&[("a", FLOAT16, I - 1), ("b", rnnpack_dev::onnx::BFLOAT16, 1)]);
    assert!(all(&parts, I8).is_ok());
    for to in [Bf16, F16] {
        let error = all(&parts, to).unwrap_err().to_string();
        assert!(error.contains("its weights are in part narrower than f32 in the file"), "{error}");
    }
}

#[test]
fn the_bytes_of_weights_are_those_of_the_file() {
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for directions in [1, 2] {
            let model = model(op, gates, directions, 17);
            let (rows, b) = (directions * gates * H, 2 * directions * gates * H * 4);
            let count = rows * (I + H);
            let scales = 2 * rows * if op == "LSTM" { 4 + 1 } else { 4 };
            for (weights, bytes) in [
                (WeightType::F32, 4 * count),
                (WeightType::Bf16, 2 * count),
                (WeightType::F16, 2 * count),
                (WeightType::I8, count + scales),
            ] {
                let node = recurrent_nodes(&all(&model, weights).unwrap()).unwrap().remove(0);
                assert_eq!((node.matrix_bytes, node.weight_bytes), (bytes, bytes + b), "{op} {weights:?}");
            }
        }
    }
    // A slice of one stored tensor has its share, and parts of several types have no type.
    let mut graph = one().graph();
    graph.stored[0] = raw("halves", &[2, 4 * H, I], FLOAT16, vec![0; 2 * 2 * 4 * H * I]);
    graph.stored.push(raw("more", &[1, 4 * H, 1], rnnpack_dev::onnx::BFLOAT16, vec![0; 2 * 4 * H]));
    graph.stored.push(raw("part", &[1, 4 * H, I - 1], FLOAT16, vec![0; 2 * 4 * H * (I - 1)]));
    let ints = |name: &str, values: &[i64]| rnnpack_dev::onnx::tensor_i64(name, &[1], values);
    graph.stored.extend([ints("from", &[1]), ints("to", &[2]), ints("axis", &[0])]);
    let cast = |from: &str, to: &str| node("Cast", "", &[from], &[to], &[attr_i("to", FLOAT)]);
    graph.nodes.insert(0, cast("halves", "wide"));
    graph.nodes.insert(1, node("Slice", "", &["wide", "from", "to", "axis"], &["W"], &[]));
    let sliced = recurrent_nodes(&graph.model(17)).unwrap().remove(0);
    assert_eq!(sliced.matrix_bytes, 4 * H * (2 * I + 4 * H));
    assert_eq!((sliced.matrix_dtype, sliced.weight_type()), (None, Some(WeightType::Bf16)));
    graph.nodes.splice(0..2, [cast("more", "a"), cast("part", "b")]);
    graph.nodes.insert(2, node("Concat", "", &["a", "b"], &["W"], &[attr_i("axis", 2)]));
    let joined = recurrent_nodes(&graph.model(17)).unwrap().remove(0);
    assert_eq!((joined.matrix_bytes, joined.matrix_dtype), (4 * H * (2 * I + 4 * H), Some(DType::F32)));
}

#[test]
fn a_model_whose_many_nodes_share_weights_does_not_grow_without_a_bound() {
    const WIDE: usize = 64;
    let lstm = |i: usize| node("LSTM", "", &["X", "W", "R"], &[&format!("Y{i}")], &[]);
    let of = |count: usize| {
        let graph = Graph {
            nodes: (0..count).map(lstm).collect(),
            stored: vec![random("W", &[1, 4 * WIDE, I], 1), random("R", &[1, 4 * WIDE, WIDE], 2)],
            inputs: vec![value("X", FLOAT, &[Dim::Name("T"), Dim::N(1), Dim::N(I)])],
            outputs: vec![untyped("Y0")],
        };
        all(&graph.model(17), WeightType::F16)
    };
    assert_eq!(recurrent_nodes(&of(3).unwrap()).unwrap().len(), 3);
    let error = of(1000).unwrap_err().to_string();
    assert!(error.contains("the new model would be much larger"), "{error}");
}
