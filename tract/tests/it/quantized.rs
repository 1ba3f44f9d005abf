//! Tests whole models with `DynamicQuantizeLSTM`: against the layer alone and against ONNX Runtime.

use rnnpack::{Scratch, Sequence};
use rnnpack_dev::onnx::quantized::{INT8, QuantizedNode, UINT8, dequantized};
use rnnpack_dev::onnx::recorded::{Case, cases, relative};
use rnnpack_dev::onnx::{
    BOOL, Dim, FLOAT, Graph, Msg, attr_g, conformance, native, node, recurrent_nodes, tensor_i64, untyped,
    value,
};
use rnnpack_onnx::{Error as OnnxError, Tensor};
use rnnpack_tract::{Error, Kernels, Loader, Model, Subnormals, WeightType, register};
use tract_onnx::prelude::{Framework, InferenceModelExt, IntoRunnable};

fn feeds(inputs: &rnnpack_dev::onnx::recorded::Values) -> Vec<(&str, &Tensor)> {
    inputs.iter().map(|(name, value)| (name.as_str(), value)).collect()
}

fn outputs(names: &[&str]) -> Vec<Msg> {
    names.iter().map(|name| untyped(name)).collect()
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.as_slice::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn random_nodes_have_the_bits_of_their_layers_and_as_onnx_runtime_its_answers() {
    let cases = cases("oracle/quantized.npz");
    let mut worst = 0f64;
    for (name, Case { model, inputs, outputs }) in &cases {
        let feeds = feeds(inputs);
        let layer = native::run(model, &feeds).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (output, value) in Model::load(model).unwrap().run(&feeds).unwrap() {
            let index = ["Y", "Y_h", "Y_c"].iter().position(|o| *o == output).unwrap();
            assert_eq!(bits(&value), bits(&layer[index]), "{name}: {output}");
        }
        let as_onnx_runtime = Loader::new().kernels(Kernels::OnnxRuntime).load(model).unwrap();
        let found = as_onnx_runtime.run(&feeds).unwrap();
        assert_eq!(found.len(), outputs.len());
        for (output, value) in found {
            worst = worst.max(relative(&value, &outputs[&output]).unwrap());
        }
    }
    println!("{} cases, largest difference from ONNX Runtime {worst:.1e}", cases.len());
    assert!(worst < 2e-6, "{worst:e}");
}

fn one() -> QuantizedNode {
    QuantizedNode::new([3, 2], "bidirectional", UINT8, true)
}

fn x(steps: usize) -> Tensor {
    Tensor::new(&[steps, 2, 3], (0..6 * steps).map(|i| (i as f32 * 0.7).sin()).collect()).unwrap()
}

/// Y of the node alone.
fn alone(steps: usize) -> Tensor {
    Model::load(&one().bytes()).unwrap().run(&[("X", &x(steps))]).unwrap().remove(0).1
}

#[test]
fn a_node_in_a_branch_and_in_a_loop_is_computed_as_outside() {
    let body = |inputs: Vec<Msg>, names: &[&str]| Graph {
        nodes: vec![one().node("inner", "X", ["y", "y_h"])],
        inputs,
        outputs: outputs(names),
        ..Graph::default()
    };
    let negated = Graph {
        nodes: vec![one().node("other", "X", ["z", "z_h"]), node("Neg", "", &["z"], &["minus"], &[])],
        outputs: outputs(&["minus"]),
        ..Graph::default()
    };
    let mut main = Graph { outputs: vec![untyped("Y")], ..one().graph() };
    main.inputs.push(value("cond", BOOL, &[]));
    let branches =
        [attr_g("then_branch", &body(vec![], &["y"]).msg()), attr_g("else_branch", &negated.msg())];
    main.nodes = vec![node("If", "if", &["cond"], &["Y"], &branches)];
    let model = Model::load(&main.model(17)).unwrap();
    let run = |cond: bool| model.run(&[("X", &x(4)), ("cond", &Tensor::scalar(cond))]).unwrap().remove(0).1;
    assert_eq!(bits(&run(true)), bits(&alone(4)));
    let minus: Vec<u32> = alone(4).as_slice::<f32>().unwrap().iter().map(|y| (-y).to_bits()).collect();
    assert_eq!(bits(&run(false)), minus);

    let mut main = Graph { outputs: vec![untyped("Y")], ..one().graph() };
    main.stored.push(tensor_i64("three", &[], &[3]));
    let mut inner = body(vec![untyped("i"), untyped("going")], &["going_on", "y"]);
    inner.nodes.push(node("Identity", "", &["going"], &["going_on"], &[]));
    main.nodes = vec![node("Loop", "loop", &["three", ""], &["Y"], &[attr_g("body", &inner.msg())])];
    let found = Model::load(&main.model(17)).unwrap().run(&[("X", &x(4))]).unwrap().remove(0).1;
    assert_eq!(bits(&found), bits(&alone(4)).repeat(3));
}

/// The model with some stored tensors as inputs, and their values.
fn given(names: &[&'static str], open: bool) -> (Vec<u8>, Vec<(&'static str, Tensor)>) {
    let mut graph = one().graph();
    let all = one();
    graph.stored =
        all.stored.iter().filter(|(name, _)| !names.contains(name)).map(|(_, t)| t.clone()).collect();
    let tensors: Vec<_> =
        names.iter().map(|name| (*name, conformance::stored(&all.bytes(), name).unwrap())).collect();
    for (name, tensor) in &tensors {
        let dtype = if tensor.as_slice::<f32>().is_some() { FLOAT } else { UINT8 };
        let dim = |(&d, axis): (&usize, &'static str)| if open { Dim::Name(axis) } else { Dim::N(d) };
        let dims: Vec<Dim> = tensor.dims().iter().zip(["first", "second", "third"]).map(dim).collect();
        graph.inputs.push(value(name, dtype, &dims));
    }
    (graph.model(17), tensors)
}

#[test]
fn weights_that_are_inputs_are_packed_when_the_node_runs_or_bound() {
    for names in [&["W"][..], &["R_scale"], &["W", "W_scale", "W_zero_point", "R", "R_scale", "R_zero_point"]]
    {
        let (bytes, tensors) = given(names, false);
        let input = x(4);
        let mut feeds: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, t)| (*name, t)).collect();
        feeds.push(("X", &input));
        let model = Model::load(&bytes).unwrap();
        assert_eq!(bits(&model.run(&feeds).unwrap()[0].1), bits(&alone(4)), "{names:?}");
        let bound = tensors.iter().fold(Loader::new(), |loader, (name, t)| loader.bind(name, t.clone()));
        assert_eq!(bits(&bound.load(&bytes).unwrap().run(&[("X", &input)]).unwrap()[0].1), bits(&alone(4)));
    }
}

#[test]
fn scales_and_zero_points_that_are_inputs_are_refused_by_name_when_they_are_wrong() {
    let wrong = |name: &'static str, t: Tensor, part: &str| {
        let (bytes, _) = given(&[name], true);
        let error = Model::load(&bytes).unwrap().run(&[("X", &x(4)), (name, &t)]).unwrap_err();
        match error {
            Error::Onnx(OnnxError::Input { node, input, reason }) => {
                assert_eq!((node.as_str(), input.as_str()), ("lstm", name));
                assert!(reason.contains(part), "{reason}");
            }
            e => panic!("{e}"),
        }
    };
    wrong("R_scale", Tensor::new(&[2, 8], vec![0f32; 16]).unwrap(), "must be positive");
    wrong("R_scale", Tensor::new(&[2, 7], vec![0.5f32; 14]).unwrap(), "[2, 7], not [2, 8]");
    let mut zeros = vec![3u8; 16];
    zeros[9] = 4;
    wrong("W_zero_point", Tensor::new(&[2, 8], zeros).unwrap(), "must be equal");
}

#[test]
fn types_of_weights_and_other_kernels() {
    let bytes = one().bytes();
    let run = |loader: Loader| bits(&loader.load(&bytes).unwrap().run(&[("X", &x(4))]).unwrap()[0].1);
    assert_eq!(run(Loader::new().weight_type(WeightType::I8)), run(Loader::new()));
    let exact = run(Loader::new().weight_type(WeightType::F32));
    assert_ne!(exact, run(Loader::new()));
    let exact: Vec<f32> = exact.into_iter().map(f32::from_bits).collect();
    let reference: Vec<f32> =
        run(Loader::new().kernels(Kernels::Reference64)).into_iter().map(f32::from_bits).collect();
    assert!(exact.iter().zip(&reference).all(|(a, b)| (a - b).abs() < 1e-6), "{exact:?} {reference:?}");
    let refused = |loader: Loader| match loader.load(&bytes).unwrap_err() {
        Error::Onnx(OnnxError::Node { node, op, reason }) => {
            assert_eq!((node.as_str(), op.as_str()), ("lstm", "DynamicQuantizeLSTM"));
            reason
        }
        e => panic!("{e}"),
    };
    assert!(refused(Loader::new().kernels(Kernels::Tract)).contains("tract has no operator"));
    let other = || Loader::new().kernels(Kernels::OnnxRuntime);
    assert!(refused(other().weight_type(WeightType::F32)).contains("only rnnpack's kernels"));
    assert!(refused(other().subnormals(Subnormals::FlushWeights)).contains("only rnnpack's kernels"));
    assert!(Loader::new().unsupported(&bytes).unwrap().is_empty());
    // Another domain's operator of this name is another operator.
    let error = Model::load(&QuantizedNode { domain: "mine", ..one() }.bytes()).unwrap_err();
    assert!(error.to_string().contains("not of the domain com.microsoft"), "{error}");
}

#[test]
fn in_the_callers_tract() {
    let mut onnx = tract_onnx::onnx();
    register(&mut onnx);
    let model = onnx.model_for_read(&mut &*one().bytes()).unwrap();
    let model = model.into_optimized().unwrap().into_runnable().unwrap();
    let input = x(4);
    let input =
        tract_onnx::prelude::Tensor::from_shape(&[4, 2, 3], input.as_slice::<f32>().unwrap()).unwrap();
    let y = model.run(vec![input.into()].into()).unwrap();
    let y: Vec<u32> = y[0].to_plain_array_view::<f32>().unwrap().iter().map(|y| y.to_bits()).collect();
    assert_eq!(y, bits(&alone(4)));
}

#[test]
fn refused_weights_are_refused_at_load() {
    for (name, one, part) in rnnpack_dev::onnx::quantized::refused_weights() {
        let error = Model::load(&one.bytes()).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")) && error.contains(part), "{error}");
    }
    assert!(Model::load(&QuantizedNode::new([0, 1], "forward", INT8, true).bytes()).is_ok());
}

#[test]
fn weights_behind_dequantize_linear_are_f32_unless_int8_is_asked_for() {
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for of_rows in [false, true] {
            let (bytes, _) = dequantized(op, gates, of_rows);
            let x = Tensor::new(&[6, 2, 5], (0..60).map(|i| (i as f32 * 0.7).sin()).collect()).unwrap();
            let run = |loader: Loader| bits(&loader.load(&bytes).unwrap().run(&[("X", &x)]).unwrap()[0].1);
            let node = recurrent_nodes(&bytes).unwrap().remove(0);
            let layer = |weights: WeightType| {
                let layer = node.clone().with_type(weights).pack().unwrap();
                let (mut y, mut state) = (vec![0.0; 6 * 2 * 2 * 3], layer.new_state(2).unwrap());
                let sequence = Sequence::dense(x.as_slice().unwrap(), &mut y);
                layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
                y.iter().map(|y| y.to_bits()).collect::<Vec<u32>>()
            };
            assert_eq!(run(Loader::new()), layer(WeightType::F32), "{op}");
            let narrow = run(Loader::new().weight_type(WeightType::I8));
            assert_eq!(narrow, layer(WeightType::I8), "{op}");
            assert_ne!(narrow, run(Loader::new()), "{op}");
        }
    }
}
