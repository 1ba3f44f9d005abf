//! Tests the type in which the layers of a model store their weights.

use allocation_counter::measure;
use rnnpack_dev::onnx::{DOUBLE, FLOAT, FLOAT16, Faint, Narrow};
use rnnpack_onnx::{Error as OnnxError, Tensor, bf16, f16};
use rnnpack_tract::{Error, Kernels, Loader, Model, WeightType, register_with};
use tract_onnx::prelude::{Framework, InferenceModelExt, IntoRunnable};

/// Numbers without a pattern, in ±1.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.7).sin()).collect()
}

/// An input of nine steps for a model with I = 5.
fn x(dtype: i64) -> Tensor {
    let wide = Tensor::new(&[9, 1, 5], numbers(45)).unwrap();
    if dtype == FLOAT16 { wide.round_to(rnnpack_onnx::DType::F16).unwrap() } else { wide }
}

fn bits(model: &Model, x: &Tensor) -> Vec<u32> {
    let y = model.run(&[("X", x)]).unwrap().remove(0).1;
    y.to_f32().unwrap().as_slice::<f32>().unwrap().iter().map(|y| y.to_bits()).collect()
}

#[test]
fn weights_of_half_precision_take_half_of_the_memory_and_change_no_bit() {
    for (what, stored, node, halved) in [
        ("f16", FLOAT16, FLOAT16, true),
        ("f16 behind a cast", FLOAT16, FLOAT, true),
        ("f32 that is f16", FLOAT, FLOAT, true),
        ("f32", FLOAT, FLOAT, false),
    ] {
        let weight = if halved { |x| f16::from_f32(x).to_f32() } else { |x| x };
        let model = |hidden| Narrow { sizes: [5, hidden], weight, ..Narrow::f16(stored, node) }.model();
        let kept = |loader: Loader| {
            let (bytes, mut model) = (model(256), None);
            let kept = measure(|| model = Some(loader.load(&bytes).unwrap())).bytes_current;
            kept as f64 / (4 * 256 * (256 + 5)) as f64
        };
        let wide = Loader::new().weight_type(WeightType::F32);
        let [narrow_bytes, wide_bytes] = [kept(Loader::new()), kept(wide.clone())];
        let expected = if halved { 2.0..2.4 } else { 4.0..4.4 };
        assert!(expected.contains(&narrow_bytes), "{what}: {narrow_bytes:.2} bytes for each weight");
        assert!((4.0..4.4).contains(&wide_bytes), "{what}: {wide_bytes:.2} bytes for each weight");
        let [narrow, wide] = [Loader::new(), wide].map(|loader| loader.load(&model(7)).unwrap());
        assert_eq!(bits(&narrow, &x(node)), bits(&wide, &x(node)), "{what}");
    }
}

#[test]
fn all_layers_take_the_type_that_is_asked_for() {
    let file = |weight| Narrow { weight, ..Narrow::f16(FLOAT, FLOAT) }.model();
    let wide = file(|x| x);
    let run = |bytes: &[u8], weights: WeightType| {
        bits(&Loader::new().weight_type(weights).load(bytes).unwrap(), &x(FLOAT))
    };
    // The same weights, rounded by the test.
    assert_eq!(run(&wide, WeightType::F16), run(&file(|x| f16::from_f32(x).to_f32()), WeightType::F32));
    assert_eq!(run(&wide, WeightType::Bf16), run(&file(|x| bf16::from_f32(x).to_f32()), WeightType::F32));
    let all = WeightType::ALL.map(|weights| run(&wide, weights));
    for (i, one) in all.iter().enumerate() {
        assert!(!all[..i].contains(one), "two types give the same bits, so the test shows nothing");
    }
    for weights in WeightType::ALL {
        let mut onnx = tract_onnx::onnx();
        register_with(&mut onnx, Default::default(), Some(weights));
        let model = onnx.model_for_read(&mut &*wide).unwrap();
        let model = model.into_optimized().unwrap().into_runnable().unwrap();
        let x = tract_onnx::prelude::Tensor::from_shape(&[9, 1, 5], &numbers(45)).unwrap();
        let y = model.run(vec![x.into()].into()).unwrap();
        let y: Vec<u32> = y[0].to_plain_array_view::<f32>().unwrap().iter().map(|y| y.to_bits()).collect();
        assert_eq!(y, run(&wide, weights), "{weights:?} in the caller's tract");
    }
}

#[test]
fn weights_that_are_inputs_take_the_type_that_is_asked_for() {
    // The layer is Y = relu(W * X); the model negates it.
    let model = Faint { w_is_given: true, ..Faint::new(FLOAT, [0.0; 2]) }.model();
    let w = Tensor::new(&[1, 2, 1], vec![1.0 + 2f32.powi(-9), 1.0]).unwrap();
    let x = Tensor::new(&[1, 1, 1], vec![1f32]).unwrap();
    for (weights, expected) in [
        (WeightType::F32, -1.0 - 2f32.powi(-9)),
        (WeightType::Bf16, -1.0),
        (WeightType::F16, -1.0 - 2f32.powi(-9)),
    ] {
        let model = Loader::new().weight_type(weights).load(&model).unwrap();
        let z = model.run(&[("X", &x), ("W", &w)]).unwrap().remove(0).1;
        assert_eq!(z.as_slice::<f32>().unwrap()[0], expected, "{weights:?}");
    }
    let large = Tensor::new(&[1, 2, 1], vec![1e6f32, 1.0]).unwrap();
    let model = Loader::new().weight_type(WeightType::F16).load(&model).unwrap();
    let error = model.run(&[("X", &x), ("W", &large)]).unwrap_err();
    assert!(matches!(&error, Error::Onnx(OnnxError::Layer { node, .. }) if node == "rnn"), "{error}");
}

#[test]
fn a_type_that_a_node_cannot_have_is_refused_by_its_name() {
    let large = Narrow { weight: |x| x * 1e6, ..Narrow::f16(FLOAT, FLOAT) }.model();
    let doubles = Narrow::f16(DOUBLE, DOUBLE).model();
    for (model, weights) in [(&large, WeightType::F16), (&doubles, WeightType::Bf16)] {
        let error = Loader::new().weight_type(weights).load(model).unwrap_err();
        assert!(matches!(&error, Error::Onnx(OnnxError::Layer { node, .. }) if node == "lstm"), "{error}");
        assert!(error.to_string().contains("is beyond the range of"), "{error}");
    }
    for (model, weights) in [(&large, WeightType::Bf16), (&doubles, WeightType::F32)] {
        assert!(Loader::new().weight_type(weights).load(model).is_ok(), "{weights:?}");
    }
    for kernels in [Kernels::Tract, Kernels::Reference64] {
        let loader = Loader::new().kernels(kernels);
        assert!(loader.load(&large).is_ok(), "{kernels:?}");
        let error = loader.weight_type(WeightType::Bf16).load(&large).unwrap_err();
        assert!(matches!(&error, Error::Onnx(OnnxError::Node { node, .. }) if node == "lstm"), "{error}");
        assert!(error.to_string().contains("only rnnpack's kernels have a type of weights"), "{error}");
    }
}
