//! Tests what the layers of a model do with subnormal numbers, and that the operators beside them stay exact.

use rnnpack_dev::onnx::{DOUBLE, Dim, FLOAT, Faint, Graph, node, tensor, untyped, value};
use rnnpack_onnx::{Element, Error as OnnxError, Tensor};
use rnnpack_tract::{Error, Kernels, Loader, Subnormals, register_with};
use tract_onnx::prelude::{Framework, InferenceModelExt, IntoRunnable, tensor3};

const X: [f32; 2] = [1e10, 1e-40];

/// `-Y` of [`Faint`] with the weights 1e-40 and 1, for [`X`].
fn expected(choice: Subnormals) -> [f32; 4] {
    match choice {
        Subnormals::Keep => [-1e-30, -1e10, 0.0, -1e-40],
        Subnormals::FlushWeights => [0.0, -1e10, 0.0, -1e-40],
        _ => [0.0, -1e10, 0.0, 0.0],
    }
}

#[track_caller]
fn assert_near(found: &[f32], choice: Subnormals, what: &str) {
    let near = |(f, e): (&f32, f32)| (f - e).abs() <= e.abs() * 1e-5;
    assert!(found.iter().zip(expected(choice)).all(near), "{what}, {choice:?}: {found:?}");
}

fn column<T: Element>(values: Vec<T>) -> Tensor {
    Tensor::new(&[values.len(), 1, 1], values).unwrap()
}

#[test]
fn layers_of_a_model_do_what_the_loader_was_told() {
    let x = column(X.to_vec());
    let w = Tensor::new(&[1, 2, 1], vec![1e-40f32, 1.0]).unwrap();
    for choice in Subnormals::ALL {
        let loader = Loader::new().subnormals(choice);
        let stored = Faint::new(FLOAT, [1e-40, 1.0]);
        let outputs = loader.load(&stored.model()).unwrap().run(&[("X", &x)]).unwrap();
        assert_near(outputs[0].1.as_slice().unwrap(), choice, "packed at load");
        let given = Faint { w_is_given: true, ..stored };
        let outputs = loader.load(&given.model()).unwrap().run(&[("X", &x), ("W", &w)]).unwrap();
        assert_near(outputs[0].1.as_slice().unwrap(), choice, "packed when the node runs");
        let bound = loader.bind("W", w.clone()).load(&given.model()).unwrap();
        assert_near(bound.run(&[("X", &x)]).unwrap()[0].1.as_slice().unwrap(), choice, "bound");
    }
}

#[test]
fn layers_of_doubles_flush_what_is_subnormal_in_f64() {
    let model = Faint::new(DOUBLE, [1e-310, 1e-40]).model();
    let x = column(vec![1e10, 1e-290]);
    for (choice, expected) in [
        (Subnormals::Keep, [-1e-300, -1e-30, 0.0, 0.0]),
        (Subnormals::FlushWeights, [0.0, -1e-30, 0.0, 0.0]),
        (Subnormals::Flush, [0.0, -1e-30, 0.0, 0.0]),
    ] {
        let outputs = Loader::new().subnormals(choice).load(&model).unwrap().run(&[("X", &x)]).unwrap();
        let found: &[f64] = outputs[0].1.as_slice().unwrap();
        let near = |(f, e): (&f64, f64)| (f - e).abs() <= e.abs() * 1e-9;
        assert!(found.iter().zip(expected).all(near), "{choice:?}: {found:?}");
    }
}

#[test]
fn layers_in_the_callers_tract_do_what_they_were_told() {
    let x = tensor3(&X.map(|x| [[x]]));
    for choice in Subnormals::ALL {
        let mut onnx = tract_onnx::onnx();
        register_with(&mut onnx, choice, None);
        let bytes = Faint::new(FLOAT, [1e-40, 1.0]).model();
        let model = onnx.model_for_read(&mut &*bytes).unwrap();
        let model = model.into_optimized().unwrap().into_runnable().unwrap();
        let outputs = model.run(vec![x.clone().into()].into()).unwrap();
        let found: Vec<f32> = outputs[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect();
        assert_near(&found, choice, "in the caller's tract");
    }
}

#[test]
fn operators_beside_the_layers_keep_subnormal_numbers() {
    for op in ["Neg", "Sigmoid", "Tanh", "Relu"] {
        let graph = Graph {
            nodes: vec![node(op, "alone", &["X"], &["Z"], &[])],
            inputs: vec![value("X", FLOAT, &[Dim::Name("T")])],
            outputs: vec![untyped("Z")],
            ..Graph::default()
        };
        let x = Tensor::new(&[3], vec![1e-40f32, -1e-40, 0.5]).unwrap();
        let run = |choice| {
            let model = Loader::new().subnormals(choice).load(&graph.model(22)).unwrap();
            let outputs = model.run(&[("X", &x)]).unwrap();
            outputs[0].1.as_slice::<f32>().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(run(Subnormals::Flush), run(Subnormals::Keep), "{op}");
        if op != "Sigmoid" {
            assert!(f32::from_bits(run(Subnormals::Flush)[0]).is_subnormal(), "{op}");
        }
    }
}

#[test]
fn only_our_kernels_flush_and_other_kernels_are_refused() {
    // tract's own operator can compute this LSTM.
    let graph = Graph {
        nodes: vec![node("LSTM", "lstm", &["X", "W", "R"], &["Y"], &[])],
        stored: ["W", "R"].map(|name| tensor(name, &[1, 12, 3], &[0.5; 36])).into(),
        inputs: vec![value("X", FLOAT, &[4, 1, 3].map(Dim::N))],
        outputs: vec![untyped("Y")],
    };
    let model = graph.model(17);
    for kernels in [Kernels::Tract, Kernels::Reference64] {
        let loader = Loader::new().kernels(kernels);
        assert!(loader.clone().load(&model).is_ok(), "{kernels:?}");
        for choice in [Subnormals::FlushWeights, Subnormals::Flush] {
            let error = loader.clone().subnormals(choice).load(&model).unwrap_err();
            assert!(matches!(&error, Error::Onnx(OnnxError::Node { node, .. }) if node == "lstm"), "{error}");
            assert!(error.to_string().contains("only rnnpack's kernels flush"), "{error}");
        }
    }
}

#[test]
fn a_node_that_cannot_flush_is_refused_by_name() {
    let model = Faint { clip: Some(1e-40), ..Faint::new(FLOAT, [1.0, 1.0]) }.model();
    let error = Loader::new().subnormals(Subnormals::Flush).load(&model).unwrap_err();
    assert!(matches!(&error, Error::Onnx(OnnxError::Layer { node, .. }) if node == "rnn"), "{error}");
    assert!(Loader::new().subnormals(Subnormals::FlushWeights).load(&model).is_ok());
}
