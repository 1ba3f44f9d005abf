//! Tests that unsupported whole models are refused, and that the error names what is wrong.

use rnnpack_dev::onnx::one::{H, I, One, broken_weights, one, refused_attributes, refused_inputs};
use rnnpack_dev::onnx::{
    Dim, FLOAT, INT32, INT64, Msg, attr_f, attr_floats, attr_i, attr_ints, attr_s, attr_strings, node,
    recurrent_nodes, tensor, untyped, value,
};
use rnnpack_onnx::{Error as OnnxError, Tensor};
use rnnpack_tract::{Error, Kernels, Loader, Model};

fn onnx_error<T>(result: Result<T, Error>, what: &str) -> OnnxError {
    match result {
        Ok(_) => panic!("{what} is not refused"),
        Err(Error::Onnx(e)) => e,
        Err(e) => panic!("{what}: {e}"),
    }
}

#[test]
fn a_node_is_refused_in_the_same_words_as_without_a_runtime() {
    for (name, one, _) in refused_attributes().into_iter().chain(refused_inputs()) {
        let bytes = one.bytes();
        let alone = recurrent_nodes(&bytes).unwrap()[0].refusal().unwrap().to_string();
        assert_eq!(onnx_error(Model::load(&bytes), name).to_string(), alone, "{name}");
    }
}

#[test]
fn a_stored_tensor_that_is_not_whole_is_named() {
    for (t, reason) in broken_weights() {
        let e = onnx_error(Model::load(&one().stored(0, t).bytes()), reason);
        let named = matches!(&e, OnnxError::Tensor { tensor, .. } if tensor == "W");
        assert!(named && e.to_string().contains(reason), "{e}");
    }
}

#[test]
fn weights_that_cannot_be_computed_are_refused_by_us_or_by_tract() {
    for one in [
        one().computed("MatMul", &["raw_W", "raw_W"], &[]),
        one().opset(11).computed("Unsqueeze", &["raw_W"], &[attr_ints("axes", &[4])]),
        one().computed("Transpose", &["raw_W"], &[attr_ints("perm", &[0, 0])]),
        one().computed("Concat", &["raw_W", "R"], &[attr_i("axis", 0)]),
        one().computed("Constant", &[], &[]),
        one().computed("Identity", &["nowhere"], &[]),
        one().computed("Identity", &["W"], &[]),
    ] {
        let error = Model::load(&one.bytes()).unwrap_err();
        assert!(matches!(&error, Error::Onnx(_) | Error::Tract { .. }), "{error}");
    }
}

#[test]
fn defaults_that_are_written_out_are_loaded() {
    for attr in [
        attr_strings("activations", &["sigmoid", "TANH", "Tanh"]),
        attr_i("input_forget", 0),
        attr_i("layout", 0),
        attr_s("direction", "forward"),
    ] {
        Model::load(&one().attr(attr).bytes()).unwrap();
    }
}

/// Checks that the error is about the value `name` and contains `words`.
fn value_refused<T>(result: Result<T, Error>, name: &str, words: &str) {
    match onnx_error(result, name) {
        OnnxError::Value { name: n, reason } => {
            assert_eq!(n, name, "{reason}");
            assert!(reason.contains(words), "{name}: {reason}");
        }
        e => panic!("{name}: {e}"),
    }
}

/// A model with two inputs of `T` steps, X and lens, and an unused input `sr`.
fn two() -> Vec<u8> {
    let mut graph = one().inputs(&["X", "W", "R", "B", "lens"]).graph();
    graph.inputs.push(value("lens", INT32, &[Dim::Name("B")]));
    graph.inputs.push(value("sr", INT64, &[]));
    graph.model(17)
}

fn floats(dims: &[usize]) -> Tensor {
    Tensor::new(dims, vec![0.25f32; dims.iter().product()]).unwrap()
}

#[test]
fn bindings_and_shapes() {
    let bytes = two();
    let load = |loader: Loader| loader.load(&bytes);
    let rate = || Tensor::scalar(1i64);
    value_refused(load(Loader::new().bind("rate", rate())), "rate", "no input");
    value_refused(load(Loader::new().bind("W", floats(&[1]))), "W", "no input");
    value_refused(load(Loader::new().bind("sr", rate()).bind("sr", rate())), "sr", "twice");
    value_refused(load(Loader::new().bind("sr", Tensor::scalar(1i32))), "sr", "i32, but is INT64");
    value_refused(load(Loader::new().bind("sr", Tensor::new(&[1], vec![1i64]).unwrap())), "sr", "dimensions");
    value_refused(load(Loader::new().shape("Z", &[1])), "Z", "no input");
    value_refused(load(Loader::new().shape("X", &[1, 2])), "X", "3 dimensions, not 2");
    value_refused(load(Loader::new().shape("X", &[1, 2, 4])), "X", "dimension 2 is 3, not 4");
    value_refused(load(Loader::new().shape("X", &[1, 2, 3]).shape("X", &[1, 2, 3])), "X", "twice");
    value_refused(load(Loader::new().shape("X", &[1, 2, 3]).shape("lens", &[3])), "lens", "`B`");
    let model = load(Loader::new().bind("sr", rate()).shape("X", &[4, 2, 3])).unwrap();
    let inputs: Vec<String> =
        model.inputs().iter().map(|i| format!("{} {} {:?}", i.name, i.dtype, i.dims)).collect();
    assert_eq!(inputs, ["X f32 [Fixed(4), Fixed(2), Fixed(3)]", "lens i32 [Fixed(2)]"]);
    assert_eq!(model.outputs()[0].dims.len(), 4);
}

#[test]
fn feeds() {
    let model = Model::load(&two()).unwrap();
    let (x, lens, rate) = (floats(&[4, 2, 3]), Tensor::new(&[2], vec![4, 1]).unwrap(), Tensor::scalar(1i64));
    let all = [("X", &x), ("lens", &lens), ("sr", &rate)];
    model.run(&all).unwrap();
    value_refused(model.run(&all[..2]), "sr", "missing");
    value_refused(model.run(&[all[0], all[1], all[2], all[2]]), "sr", "twice");
    value_refused(model.run(&[("Z", &x)]), "Z", "no such input");
    let with_x = |x: Tensor| model.run(&[("X", &x), all[1], all[2]]);
    value_refused(with_x(Tensor::new(&[4, 2, 3], vec![0f64; 24]).unwrap()), "X", "f64, not f32");
    value_refused(with_x(floats(&[4, 6])), "X", "2 dimensions, not 3");
    value_refused(with_x(floats(&[4, 2, 5])), "X", "dimension 2 (3) is 5, not 3");
    value_refused(with_x(floats(&[4, 3, 3])), "lens", "dimension 0 (B) is 2, not 3");
    for len in [5, -1] {
        let lens = Tensor::new(&[2], vec![1, len]).unwrap();
        match onnx_error(model.run(&[all[0], ("lens", &lens), all[2]]), "lens") {
            OnnxError::Layer { node, source } => {
                assert_eq!(node, "lstm");
                assert!(source.to_string().contains(&len.to_string()), "{source}");
            }
            e => panic!("{e}"),
        }
    }
    model.run(&all).unwrap();
}

#[test]
fn streams() {
    let model = Model::load(&two()).unwrap();
    value_refused(model.stream(&[("Z", "Y")]).map(drop), "Z", "no such");
    value_refused(model.stream(&[("X", "Z")]).map(drop), "Z", "no such");
    value_refused(model.stream(&[("lens", "Y")]).map(drop), "lens", "element type");
    value_refused(model.stream(&[("X", "Y"), ("X", "Y")]).map(drop), "X", "twice");
}

#[test]
fn names_without_a_value() {
    let mut graph = one().graph();
    graph.nodes.push(node("Identity", "", &["nowhere"], &["Z"], &[]));
    let e = onnx_error(Model::load(&graph.model(17)), "nowhere");
    assert!(matches!(&e, OnnxError::Name { name, .. } if name == "nowhere"), "{e}");
    let mut graph = one().graph();
    graph.outputs = vec![untyped("nowhere")];
    let e = onnx_error(Model::load(&graph.model(17)), "nowhere");
    assert!(matches!(&e, OnnxError::Name { name, .. } if name == "nowhere"), "{e}");
}

#[test]
fn an_output_of_another_type_than_declared() {
    let mut graph = one().graph();
    for declared in [value("Y", FLOAT, &[]), value("Y", FLOAT, &[Dim::N(7); 5]), untyped("Y")] {
        graph.outputs = vec![declared];
        Model::load(&graph.model(17)).unwrap();
    }
    graph.outputs = vec![value("Y", INT64, &[])];
    value_refused(Model::load(&graph.model(17)), "Y", "it is FLOAT, but declared as INT64");
}

/// A model whose W, R, B and P are inputs. A dimension of 0 here means a named dimension.
fn open(dims: [&[usize]; 4], attr: Option<Msg>) -> Vec<u8> {
    let mut one = one().inputs(&["X", "W", "R", "B", "", "", "", "P"]);
    one.stored.clear();
    one.attrs = attr.into_iter().collect();
    let mut graph = one.graph();
    for (name, dims) in ["W", "R", "B", "P"].into_iter().zip(dims) {
        let names = ["d", "rows", "columns"].iter();
        let dims = dims.iter().zip(names).map(|(&d, &name)| if d == 0 { Dim::Name(name) } else { Dim::N(d) });
        graph.inputs.push(value(name, FLOAT, &dims.collect::<Vec<_>>()));
    }
    graph.model(17)
}

/// The dimensions that fit.
const FIT: [&[usize]; 4] = [&[1, 8, 3], &[1, 8, 2], &[1, 16], &[1, 6]];

#[test]
fn extents_of_weights_that_are_no_constants() {
    Model::load(&open(FIT, None)).unwrap();
    for (i, name, dims, words) in [
        (0, "W", &[1, 9, 3][..], "dimension 1 is 9, not 8"),
        (0, "W", &[2, 8, 3], "dimension 0 is 2, not 1"),
        (0, "W", &[1, 8, 4], "dimension 2 is 4, not 3"),
        (0, "W", &[8, 3], "2 dimensions, not 3"),
        (1, "R", &[1, 9, 2], "dimension 1 is 9, not 8"),
        (2, "B", &[1, 8], "dimension 1 is 8, not 16"),
        (3, "P", &[1, 6, 1], "3 dimensions, not 2"),
        (3, "P", &[1, 8], "dimension 1 is 8, not 6"),
    ] {
        let mut all = FIT;
        all[i] = dims;
        // Known at load, or only when the model runs.
        let e = onnx_error(Model::load(&open(all, None)), name);
        let named = matches!(&e, OnnxError::Input { node, input, .. } if node == "lstm" && input == name);
        assert!(named && e.to_string().contains(words), "{name}: {e}");
        if dims.len() != FIT[i].len() {
            continue;
        }
        let model = Model::load(&open([&[0; 3], &[0; 3], &[0; 2], &[0; 2]], None)).unwrap();
        let (tensors, x) = (all.map(floats), floats(&[2, 1, 3]));
        let feeds = ["W", "R", "B", "P"].into_iter().zip(&tensors).chain([("X", &x)]);
        // Dimensions with the same name have the same size.
        let e = onnx_error(model.run(&feeds.collect::<Vec<_>>()), name);
        assert!(
            matches!(&e, OnnxError::Value { .. } | OnnxError::Input { .. } | OnnxError::Layer { .. }),
            "{e}"
        );
    }
    let e = onnx_error(Model::load(&open(FIT, Some(attr_i("hidden_size", 3)))), "hidden_size");
    assert_eq!(e.to_string(), "node `lstm`: attribute `hidden_size`: 3, but R has 2");
}

#[test]
fn weights_that_are_refused_when_they_are_packed() {
    let model = Model::load(&open(FIT, None)).unwrap();
    let x = floats(&[2, 1, 3]);
    for (i, name) in ["W", "R", "B", "P"].into_iter().enumerate() {
        let mut tensors = FIT.map(floats);
        let run = |tensors: &[Tensor; 4]| {
            let feeds = ["W", "R", "B", "P"].into_iter().zip(tensors).chain([("X", &x)]);
            model.run(&feeds.collect::<Vec<_>>())
        };
        run(&tensors).unwrap();
        let mut data = vec![0.25f32; FIT[i].iter().product()];
        data[1] = f32::INFINITY;
        tensors[i] = Tensor::new(FIT[i], data).unwrap();
        match onnx_error(run(&tensors), name) {
            OnnxError::Input { node, input, reason } => {
                assert_eq!((node.as_str(), input.as_str()), ("lstm", name));
                assert_eq!(reason, "element 1 is inf");
            }
            e => panic!("{e}"),
        }
    }
}

#[test]
fn wrong_types_of_inputs() {
    for (name, inputs) in [("X", one().graph().inputs), ("sequence_lens", vec![])] {
        let mut graph = one().inputs(&["X", "W", "R", "B", "lens"]).graph();
        graph.inputs = match name {
            "X" => {
                vec![value("X", 11, &[Dim::N(1), Dim::N(1), Dim::N(3)]), value("lens", INT32, &[Dim::N(1)])]
            }
            _ => vec![graph.inputs[0].clone(), value("lens", INT64, &[Dim::Name("B")])],
        };
        drop(inputs);
        match onnx_error(Model::load(&graph.model(17)), name) {
            OnnxError::Input { node, input, .. } => {
                assert_eq!((node.as_str(), input.as_str()), ("lstm", name))
            }
            e => panic!("{name}: {e}"),
        }
    }
}

#[test]
fn operators_that_tract_computes_wrongly() {
    let on_tract = |bytes: &[u8]| Loader::new().kernels(Kernels::Tract).load(bytes);
    for (op, gates, functions) in [("LSTM", 4, 3), ("GRU", 3, 2), ("RNN", 1, 1)] {
        let base = || {
            let one = One { op, inputs: vec!["X", "W", "R"], ..one() };
            one.stored(0, tensor("W", &[1, gates * H, I], &vec![0.5; gates * H * I]))
                .stored(1, tensor("R", &[1, gates * H, H], &vec![0.5; gates * H * H]))
        };
        for (name, attr) in [
            ("direction", attr_s("direction", "reverse")),
            ("clip", attr_f("clip", 1.0)),
            ("activations", attr_strings("activations", &["Relu"; 3][..functions])),
            ("activation_alpha", attr_floats("activation_alpha", &[1.0])),
            ("hidden_size", attr_i("hidden_size", 3)),
            ("colour", attr_i("colour", 3)),
        ] {
            let e = onnx_error(on_tract(&base().attr(attr).bytes()), name);
            let OnnxError::Attribute { node, attribute, .. } = &e else { panic!("{op}: {e}") };
            assert_eq!((node.as_str(), attribute.as_str()), ("lstm", name));
        }
        let mut graph = base().inputs(&["X", "W", "R", "", "lens"]).graph();
        graph.inputs =
            vec![value("X", FLOAT, &[Dim::N(2), Dim::N(1), Dim::N(I)]), value("lens", INT32, &[Dim::N(1)])];
        let e = onnx_error(on_tract(&graph.model(17)), op);
        assert!(matches!(&e, OnnxError::Input { input, .. } if input == "sequence_lens"), "{e}");
    }
}

#[test]
fn a_missing_file() {
    let e = onnx_error(Loader::new().load_path("no/such/file.onnx"), "file");
    assert!(matches!(&e, OnnxError::File { path, .. } if path == "no/such/file.onnx"), "{e}");
}

#[test]
fn huge_calls_without_data() {
    let mut graph = one().graph();
    graph.stored[0] = tensor("W", &[1, 8, 0], &[]);
    graph.inputs = vec![value("X", FLOAT, &[Dim::Name("T"), Dim::Name("B"), Dim::N(0)])];
    let Ok(model) = Model::load(&graph.model(17)) else { return };
    let x = Tensor::new(&[1 << 40, 1, 0], Vec::<f32>::new()).unwrap();
    let e = onnx_error(model.run(&[("X", &x)]), "X");
    assert!(matches!(&e, OnnxError::Input { input, .. } if input == "X"), "{e}");
}
