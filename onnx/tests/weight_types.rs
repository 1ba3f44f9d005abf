//! Tests in which type a layer stores the weights of a node, and that no bit of a result depends on the default.

use rnnpack::{Layer, LayerWeights, Scratch, Sequence, WeightType};
use rnnpack_dev::onnx::{
    BFLOAT16, DOUBLE, Dim, FLOAT, FLOAT16, Graph, Narrow, attr_i, node, recurrent_nodes, untyped, value,
};
use rnnpack_onnx::{Error, RecurrentNode, bf16, f16};

fn read(model: Narrow) -> RecurrentNode {
    recurrent_nodes(&model.model()).unwrap().remove(0)
}

/// The bits of Y for some X.
fn run(layer: &Layer) -> Vec<u32> {
    let [input, hidden] = [layer.shape().input, layer.shape().hidden];
    let x: Vec<f32> = (0..9 * input).map(|i| (i as f32 * 0.7).sin()).collect();
    let (mut y, mut state) = (vec![0.0; 9 * hidden], layer.new_state(1).unwrap());
    layer.forward(Sequence::dense(&x, &mut y), &mut state, &mut Scratch::new()).unwrap();
    y.iter().map(|y| y.to_bits()).collect()
}

const TO_F16: fn(f32) -> f32 = |x| f16::from_f32(x).to_f32();
const TO_BF16: fn(f32) -> f32 = |x| bf16::from_f32(x).to_f32();
/// Few bits: numbers of all types.
const TO_EIGHTHS: fn(f32) -> f32 = |x| (x * 8.0).round() / 8.0;

#[test]
fn weights_of_half_precision_keep_their_type_where_no_bit_depends_on_it() {
    let of = |weight, stored, node| Narrow { weight, ..Narrow::f16(stored, node) };
    for (what, model, expected) in [
        ("f16", of(TO_F16, FLOAT16, FLOAT16), WeightType::F16),
        ("bf16", of(TO_BF16, BFLOAT16, BFLOAT16), WeightType::Bf16),
        ("f16 that is bf16 too", of(TO_EIGHTHS, FLOAT16, FLOAT16), WeightType::F16),
        ("f16 behind a cast", of(TO_F16, FLOAT16, FLOAT), WeightType::F16),
        ("f16 that is bf16 too, behind a cast", of(TO_EIGHTHS, FLOAT16, FLOAT), WeightType::F16),
        ("bf16 behind a cast", of(TO_BF16, BFLOAT16, FLOAT), WeightType::Bf16),
        ("f32 that is f16", of(TO_F16, FLOAT, FLOAT), WeightType::F16),
        ("f32 that is bf16", of(TO_BF16, FLOAT, FLOAT), WeightType::Bf16),
        ("f32", of(|x| x, FLOAT, FLOAT), WeightType::F32),
        ("f32 with one place too many for f16", of(|x| TO_F16(x) + 1e-5, FLOAT, FLOAT), WeightType::F32),
        ("doubles", of(TO_BF16, DOUBLE, DOUBLE), WeightType::F32),
    ] {
        let node = read(model);
        assert_eq!(node.weight_type(), Some(expected), "{what}");
        if node.weights().is_err() {
            assert!(node.pack_f64().is_ok(), "{what}");
            continue;
        }
        let (layer, wide) = (node.pack().unwrap(), node.clone().with_type(WeightType::F32).pack().unwrap());
        assert_eq!((layer.weight_type(), wide.weight_type()), (expected, WeightType::F32), "{what}");
        assert_eq!(run(&layer), run(&wide), "{what}");
        assert_eq!(layer.packed_bytes() < wide.packed_bytes(), expected != WeightType::F32, "{what}");
    }
}

#[test]
fn a_node_takes_the_type_that_is_asked_for() {
    let node = read(Narrow { weight: |x| x, ..Narrow::f16(FLOAT, FLOAT) });
    let bits = WeightType::ALL.map(|weights| {
        let node = node.clone().with_type(weights);
        assert_eq!(node.weight_type(), Some(weights));
        let layer = node.pack().unwrap();
        assert_eq!(layer.weight_type(), weights);
        let direct: LayerWeights<'_> = node.weights().unwrap();
        assert_eq!(run(&Layer::new(&direct).unwrap()), run(&layer));
        run(&layer)
    });
    for (i, one) in bits.iter().enumerate() {
        assert!(!bits[..i].contains(one), "two types give the same bits, so the test shows nothing");
    }
}

#[test]
fn a_type_that_does_not_hold_a_weight_is_refused_with_the_name_of_the_node() {
    let large = read(Narrow { weight: |x| x * 1e6, ..Narrow::f16(FLOAT, FLOAT) });
    let error = large.clone().with_type(WeightType::F16).pack().unwrap_err();
    assert!(matches!(&error, Error::Layer { node, .. } if node == "lstm"), "{error:?}");
    assert!(error.to_string().contains("is beyond the range of f16"), "{error}");
    assert!(large.with_type(WeightType::Bf16).pack().is_ok());
    let doubles = read(Narrow { weight: |x| x, ..Narrow::f16(DOUBLE, DOUBLE) });
    for weights in WeightType::ALL {
        let result = doubles.clone().with_type(weights).pack_f64();
        match weights {
            WeightType::F32 => assert!(result.is_ok()),
            _ => assert!(matches!(result, Err(Error::Layer { node, .. }) if node == "lstm"), "{weights:?}"),
        }
    }
}

#[test]
fn a_cast_that_may_round_is_left_to_a_runtime() {
    for (stored, to) in [(FLOAT, FLOAT16), (DOUBLE, FLOAT), (FLOAT, BFLOAT16), (FLOAT16, DOUBLE)] {
        let node = read(Narrow { weight: TO_BF16, ..Narrow::f16(stored, to) });
        assert!(node.awaits_weights() && node.weight_type().is_none(), "{stored} to {to}");
        let refusal = node.refusal().unwrap().to_string();
        assert!(refusal.contains("of Cast, only f16, bf16 and f32 to FLOAT are folded"), "{refusal}");
    }
}

#[test]
fn a_node_whose_weights_are_not_in_the_file_has_no_type_yet() {
    let graph = Graph {
        nodes: vec![node("LSTM", "lstm", &["X", "W", "R"], &["Y"], &[attr_i("hidden_size", 2)])],
        inputs: ["X", "W", "R"].map(|name| value(name, FLOAT, &[Dim::N(1); 3])).into(),
        outputs: vec![untyped("Y")],
        ..Graph::default()
    };
    assert_eq!(recurrent_nodes(&graph.model(22)).unwrap()[0].weight_type(), None);
}
