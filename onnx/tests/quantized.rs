//! Tests `DynamicQuantizeLSTM`: the layer of a node, ONNX Runtime's arithmetic, and refusals.

use allocation_counter::measure;
use rnnpack::{
    Dims, LayerWeights, Layout, Scratch, Sequence, State, Target, View, ViewMut, WeightType, reference,
};
use rnnpack_dev::onnx::one::one;
use rnnpack_dev::onnx::quantized::{INT8, QuantizedNode, UINT8, refused_weights};
use rnnpack_dev::onnx::recorded::{Case, Values, cases, relative};
use rnnpack_dev::onnx::{
    Dim, FLOAT16, attr_f, attr_i, attr_ints, attr_s, node, recurrent_nodes, recurrent_nodes_with, value,
};
use rnnpack_onnx::{DType, Error, OnnxRuntimeLstm, RecurrentNode, RecurrentOp, Tensor};

const KINDS: [(i64, bool); 4] = [(INT8, false), (INT8, true), (UINT8, false), (UINT8, true)];

fn read(bytes: &[u8]) -> RecurrentNode {
    recurrent_nodes(bytes).unwrap().remove(0)
}

/// What computes a node.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Layer,
    OnnxRuntime,
    /// Without rounding of x and h.
    Exactly,
}

/// The outputs of a node for the given inputs. Y is given to it if `reads_y`.
fn run(weights: &LayerWeights<'_>, by: By, inputs: &Values, reads_y: bool) -> Values {
    let x = &inputs["X"];
    let &[time, batch, width] = x.dims() else { panic!() };
    let shape = weights.shape();
    let (directions, hidden) = (shape.direction.count(), shape.hidden);
    let dims = Dims { time, directions: 1, batch, width };
    let x = View::new(x.as_slice().unwrap(), dims, Layout::TimeMajor).unwrap();
    let out = Dims { directions, width: hidden, ..dims };
    let mut y = vec![0.0; out.checked_len().unwrap()];
    let mut state = State::<f32>::zeros(weights.cell(), shape, batch).unwrap();
    let given = |name: &str| inputs.get(name).map(|t| t.as_slice::<f32>().unwrap());
    if let Some(h) = given("initial_h") {
        state.h_mut().copy_from_slice(h);
    }
    if let Some(c) = given("initial_c") {
        state.c_mut().copy_from_slice(c);
    }
    let lens = inputs.get("sequence_lens").map(|lens| lens.as_slice::<i32>().unwrap());
    let mut view = ViewMut::new(&mut y, out, Layout::TimeMajor).unwrap();
    match by {
        By::Layer => {
            let layer = rnnpack::Layer::new(weights).unwrap();
            let sequence = Sequence::views(x, Some(view)).optional_lens(lens);
            layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        }
        By::OnnxRuntime => {
            let lstm = OnnxRuntimeLstm::new(weights).unwrap();
            lstm.forward(x, lens, Some(view).filter(|_| reads_y), &mut state).unwrap();
        }
        By::Exactly => {
            for (d, weights) in weights.directions().iter().enumerate() {
                let of = d * batch * hidden..(d + 1) * batch * hidden;
                let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
                let (mut h, mut c) = (wide(&state.h()[of.clone()]), wide(&state.c()[of.clone()]));
                let reverse = shape.direction.is_reverse(d);
                let wide = reference::forward::<f32, f64>(weights, x, lens, reverse, &mut h, &mut c).unwrap();
                for (i, row) in wide.chunks_exact(hidden).enumerate() {
                    let to = view.row_mut(i / batch, d, i % batch);
                    to.iter_mut().zip(row).for_each(|(to, &v)| *to = v as f32);
                }
                let narrow = |from: &[f64], to: &mut [f32]| {
                    to.iter_mut().zip(from).for_each(|(to, &v)| *to = v as f32);
                };
                narrow(&h, &mut state.h_mut()[of.clone()]);
                narrow(&c, &mut state.c_mut()[of]);
            }
        }
    }
    let last = |values: &[f32]| Tensor::new(&[directions, batch, hidden], values.to_vec()).unwrap();
    let y = Tensor::new(&[time, directions, batch, hidden], y).unwrap();
    [("Y", y), ("Y_h", last(state.h())), ("Y_c", last(state.c()))].map(|(n, t)| (n.to_string(), t)).into()
}

/// The largest difference of a recorded output.
fn largest(found: &Values, recorded: &Values) -> f64 {
    let one = |(name, expected): (&String, &Tensor)| relative(&found[name], expected).unwrap();
    recorded.iter().map(one).fold(0.0, f64::max)
}

#[test]
fn random_nodes_in_onnx_runtimes_arithmetic_are_as_it_computes_them() {
    let cases = cases("oracle/quantized.npz");
    assert_eq!(cases.len(), 60);
    let mut worst = 0f64;
    for (name, Case { model, inputs, outputs }) in &cases {
        let node = read(model);
        let weights = node.weights().unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = run(&weights, By::OnnxRuntime, inputs, outputs.contains_key("Y"));
        let difference = largest(&found, outputs);
        assert!(difference < 2e-6, "{name}: {difference:e}");
        worst = worst.max(difference);
    }
    println!("largest difference {worst:e}");
}

#[test]
fn rows_that_are_quantized_on_their_own_are_nearer_to_the_exact_answer() {
    let squares = |found: &Values, exact: &Values| -> f64 {
        let of = |name: &str| {
            let (a, b) = (found[name].as_slice::<f32>().unwrap(), exact[name].as_slice::<f32>().unwrap());
            a.iter().zip(b).map(|(&a, &b)| f64::from(a - b).powi(2)).sum::<f64>()
        };
        of("Y") + of("Y_h")
    };
    let (mut ours, mut theirs, mut worst) = (0.0, 0.0, 0f64);
    for (name, Case { model, inputs, outputs }) in &cases("oracle/quantized.npz") {
        let node = read(model);
        let weights = node.weights().unwrap();
        let exact = run(&weights, By::Exactly, inputs, true);
        let layer = run(&weights, By::Layer, inputs, true);
        ours += squares(&layer, &exact);
        theirs += squares(&run(&weights, By::OnnxRuntime, inputs, true), &exact);
        let difference = largest(&layer, outputs);
        assert!(difference < 0.1, "{name}: {difference:e}");
        worst = worst.max(difference);
    }
    println!(
        "largest difference from ONNX Runtime {worst:.1e}; squares of errors {ours:.2e} and {theirs:.2e}"
    );
    assert!(ours < 0.8 * theirs, "{ours:e} {theirs:e}");
}

#[test]
fn the_weights_are_the_integers_of_the_file_times_its_scales() {
    for (dtype, of_columns) in KINDS {
        let one = QuantizedNode::new([3, 2], "bidirectional", dtype, of_columns);
        let bytes = one.bytes();
        let node = read(&bytes);
        assert_eq!(node.weight_type(), Some(WeightType::I8));
        let weights = node.weights().unwrap();
        assert_eq!(
            (weights.weight_type(), weights.shape().input, weights.shape().hidden),
            (WeightType::I8, 3, 2)
        );
        let stored = |name: &str| rnnpack_dev::onnx::conformance::stored(&bytes, name).unwrap();
        let integer = |t: &Tensor, index: usize| match t.as_slice::<i8>() {
            Some(v) => i32::from(v[index]),
            None => t.as_slice::<u8>().unwrap()[index].into(),
        };
        for (name, columns) in [("W", 3), ("R", 2)] {
            let [matrix, scale, zero] =
                ["", "_scale", "_zero_point"].map(|part| stored(&format!("{name}{part}")));
            let scale = scale.as_slice::<f32>().unwrap();
            for (d, weights) in weights.directions().iter().enumerate() {
                for row in 0..8 {
                    let (gate, unit) = (row / 2, row % 2);
                    let found =
                        if name == "W" { weights.w_row(gate, unit) } else { weights.r_row(gate, unit) };
                    let of_scale = if of_columns { d * 8 + row } else { d };
                    for (k, found) in found.iter().enumerate() {
                        let q = integer(&matrix, (d * columns + k) * 8 + row) - integer(&zero, of_scale);
                        assert_eq!(found.to_bits(), (scale[of_scale] * q as f32).to_bits());
                    }
                }
            }
        }
    }
}

#[test]
fn only_in_onnx_runtimes_arithmetic_does_a_row_depend_on_the_others() {
    let node = read(&QuantizedNode::new([5, 7], "bidirectional", INT8, true).bytes());
    let weights = node.weights().unwrap();
    let x = |batch: usize| {
        let one = |i: usize| {
            let (t, b, k) = (i / (5 * batch), i / 5 % batch, i % 5);
            ((t * 5 + k) as f32 * 0.7).sin() * if b == 0 { 1.0 } else { 3.0 }
        };
        let x = Tensor::new(&[6, batch, 5], (0..30 * batch).map(one).collect()).unwrap();
        Values::from([("X".to_string(), x)])
    };
    for by in [By::Layer, By::OnnxRuntime] {
        let [alone, among] = [1, 3].map(|batch| run(&weights, by, &x(batch), true));
        let [alone, among] = [&alone, &among].map(|values| values["Y"].as_slice::<f32>().unwrap());
        let same = (0..12).all(|i| alone[i * 7..][..7] == among[i * 3 * 7..][..7]);
        assert_eq!(same, by == By::Layer, "{by:?}");
    }
}

#[test]
fn nan_and_infinity_become_nan() {
    let node = read(&QuantizedNode::new([2, 3], "forward", INT8, false).bytes());
    let weights = node.weights().unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let x = Tensor::new(&[2, 2, 2], vec![0.5, 0.5, 1.0, 1.0, bad, 0.5, 1.0, 1.0]).unwrap();
        let inputs = Values::from([("X".to_string(), x)]);
        let y = |by| run(&weights, by, &inputs, true)["Y"].as_slice::<f32>().unwrap().to_vec();
        let layer = y(By::Layer);
        assert!(
            layer[..6].iter().all(|y| y.is_finite()) && layer[6..9].iter().all(|y| y.is_nan()),
            "{layer:?}"
        );
        assert!(layer[9..].iter().all(|y| y.is_finite()), "{layer:?}");
        assert!(y(By::OnnxRuntime).iter().all(|y| y.is_nan()));
    }
}

#[test]
fn a_node_says_what_it_is_and_takes_other_types() {
    for (dtype, of_columns) in KINDS {
        let node = read(&QuantizedNode::new([3, 2], "reverse", dtype, of_columns).bytes());
        assert_eq!(
            (node.op, node.op.name(), node.dtype),
            (RecurrentOp::DynamicQuantizeLstm, "DynamicQuantizeLSTM", Some(DType::F32))
        );
        assert_eq!((node.input, node.hidden, node.awaits_weights()), (Some(3), Some(2), false));
        assert_eq!(node.weight_bytes, 24 + 16 + 2 * 5 * if of_columns { 8 } else { 1 });
        assert_eq!(node.inputs, ["X", "W", "R", "W_scale", "W_zero_point", "R_scale", "R_zero_point"]);
        assert!(node.pack_f64().is_err());
        for weights in WeightType::ALL {
            let layer = node.clone().with_type(weights).pack().unwrap();
            assert_eq!(layer.weight_type(), weights);
        }
        let wide = node.clone().with_type(WeightType::F32);
        assert!(OnnxRuntimeLstm::new(&wide.weights().unwrap()).is_none());
    }
}

#[test]
fn weights_scales_and_zero_points_that_do_not_fit_are_refused_by_name() {
    for (name, one, part) in refused_weights() {
        let node = read(&one.bytes());
        assert!(!node.awaits_weights(), "{name}: {part}");
        match node.refusal().unwrap_or_else(|| panic!("{name}: {part}: not refused")) {
            Error::Input { node, input, reason } => {
                assert_eq!((node.as_str(), input.as_str()), ("lstm", name), "{reason}");
                assert!(reason.contains(part), "{name}: {reason}, not {part}");
            }
            e => panic!("{name}: {e}"),
        }
    }
}

#[test]
fn other_domains_attributes_and_types_are_refused() {
    let one = || QuantizedNode::new([3, 2], "forward", INT8, false);
    for (domain, part) in
        [("", "not of the domain com.microsoft"), ("ai.onnx", "com.microsoft"), ("mine", "com.microsoft")]
    {
        let error = read(&QuantizedNode { domain, ..one() }.bytes()).refusal().unwrap().clone();
        assert!(
            matches!(&error, Error::Node { node, reason, .. } if node == "lstm" && reason.contains(part)),
            "{error}"
        );
    }
    let standard = read(&one_with_domain("com.microsoft")).refusal().unwrap().to_string();
    assert!(standard.contains("not of the standard operator set"), "{standard}");
    for (name, attribute) in [
        ("layout", attr_i("layout", 0)),
        ("output_sequence", attr_i("output_sequence", 1)),
        ("linear_before_reset", attr_i("linear_before_reset", 0)),
        ("clip", attr_f("clip", 0.0)),
        ("direction", attr_s("direction", "both")),
        ("hidden_size", attr_i("hidden_size", 3)),
    ] {
        let error =
            read(&QuantizedNode { attributes: vec![attribute], ..one() }.bytes()).refusal().unwrap().clone();
        assert!(matches!(&error, Error::Attribute { attribute, .. } if attribute == name), "{error}");
    }
    let mut graph = one().graph();
    graph.inputs = vec![value("X", FLOAT16, &[Dim::Name("T"), Dim::Name("B"), Dim::N(3)])];
    let error = read(&graph.model(17)).refusal().unwrap().to_string();
    assert!(error.contains("input `X`: it is FLOAT16, not FLOAT"), "{error}");
}

/// A model of an LSTM node in a domain.
fn one_with_domain(domain: &str) -> Vec<u8> {
    let mut graph = one().graph();
    graph.nodes = vec![node("LSTM", "lstm", &["X", "W", "R"], &["Y"], &[]).text(7, domain)];
    graph.model(17)
}

#[test]
fn weights_may_be_computed_by_constants_or_given_later() {
    let one = QuantizedNode::new([3, 2], "forward", UINT8, true);
    let packed = |node: &RecurrentNode| {
        node.weights().unwrap().to_bytes(Target::by_name("portable").unwrap()).unwrap()
    };
    let expected = packed(&read(&one.bytes()));
    let mut graph = one.clone().input(1, "moved").graph();
    graph.nodes.insert(0, node("Transpose", "", &["W"], &["flipped"], &[attr_ints("perm", &[0, 2, 1])]));
    graph.nodes.insert(1, node("Transpose", "", &["flipped"], &["moved"], &[attr_ints("perm", &[0, 2, 1])]));
    let moved = packed(&read(&graph.model(17)));
    assert_eq!(moved, expected);
    // W is an input of the model.
    let mut graph = one.graph();
    let w = rnnpack_dev::onnx::conformance::stored(&one.bytes(), "W").unwrap();
    graph.stored.remove(0);
    graph.inputs.push(value("W", UINT8, &[Dim::N(1), Dim::N(3), Dim::N(8)]));
    let given = graph.model(17);
    let node = read(&given);
    assert!(node.awaits_weights() && node.weight_type().is_none());
    assert_eq!((node.input, node.hidden), (Some(3), Some(2)));
    let bound = recurrent_nodes_with(&given, &[("W", &w)]).unwrap().remove(0);
    assert_eq!(packed(&bound), expected);
}

#[test]
fn matrices_whose_sums_do_not_fit_are_refused() {
    for (columns, fits) in [(65_000, true), (70_000, false)] {
        let node = read(&QuantizedNode::new([columns, 1], "forward", INT8, true).bytes());
        assert_eq!((node.refusal().is_none(), node.pack().is_ok()), (fits, fits), "{columns}");
        if let Some(error) = node.refusal() {
            assert!(matches!(error, Error::Layer { node, .. } if node == "lstm"), "{error}");
            assert!(error.to_string().contains("W has 70000 columns"), "{error}");
        }
    }
}

#[test]
fn nodes_that_share_a_matrix_take_memory_in_proportion_to_the_file() {
    let one = QuantizedNode::new([64, 64], "forward", INT8, false);
    let mut graph = one.graph();
    graph.nodes = (0..500).map(|i| one.node("", "X", [&format!("Y{i}"), ""])).collect();
    graph.outputs.clear();
    let bytes = graph.model(17);
    let mut nodes = Vec::new();
    let used = measure(|| nodes = recurrent_nodes(&bytes).unwrap()).bytes_max;
    assert!(used <= 512 * bytes.len() as u64 + (1 << 20), "{used} bytes of memory for {}", bytes.len());
    let refused = nodes.iter().filter(|node| node.refusal().is_some()).count();
    assert!(
        refused > 0 && refused < 500 && nodes.iter().all(|n| n.refusal().is_none() || n.awaits_weights())
    );
}
