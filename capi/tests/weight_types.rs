//! Tests that the types of weights of the C interface are those of the crate `rnnpack`.

mod support;

use rnnpack::{Direction, LayerWeights, Scratch, WeightType};
use rnnpack_capi::*;
use std::ptr::{null, null_mut};
use support::*;

/// C's constant for a type.
fn constant(weights: WeightType) -> i32 {
    match weights.name() {
        "f32" => RNNPACK_WEIGHT_TYPE_F32,
        "bf16" => RNNPACK_WEIGHT_TYPE_BF16,
        "f16" => RNNPACK_WEIGHT_TYPE_F16,
        "int8" => RNNPACK_WEIGHT_TYPE_INT8,
        "bf16-dot" => RNNPACK_WEIGHT_TYPE_BF16_DOT,
        other => panic!("{other} has no constant in C"),
    }
}

#[test]
fn layers_store_their_weights_in_the_type_that_is_asked_for() {
    for direction in DIRECTIONS {
        let case = Case::new(&cells()[..1], rnnpack::GateOrder::Onnx, [7, 19], direction);
        let x = numbers(7, 1.0, 7);
        for weights in WeightType::ALL {
            let expected = case.expected_as(|layer: LayerWeights<'_>| layer.with_type(weights).unwrap());
            let pack = PackDesc { weight_type: constant(weights), ..zeroed() };
            let made = layer(&LayerDesc { pack: &pack, ..case.desc() });
            let told = info(&made);
            assert_eq!((told.weight_type, told.packed_bytes), (pack.weight_type, expected.packed_bytes()));
            let mut state_of_expected = expected.new_state(1).unwrap();
            let mut ys = [vec![0.0; expected.shape().output()], vec![0.0; expected.shape().output()]];
            expected.step(&x, &mut state_of_expected, &mut ys[0], &mut Scratch::new()).unwrap();
            let (c_state, c_scratch) = (state(&made, 1), scratch());
            let (y, y_count) = (ys[1].as_mut_ptr(), ys[1].len());
            let (made, c_state) = (made.get(), c_state.get());
            ok(c!(rnnpack_step(made, c_state, c_scratch.get(), x.as_ptr(), x.len(), y, y_count)));
            assert_eq!(bits(&ys[0]), bits(&ys[1]), "{weights:?} {direction:?}");
        }
        assert_eq!(info(&layer(&case.desc())).weight_type, RNNPACK_WEIGHT_TYPE_F32);
    }
}

#[test]
fn a_node_of_half_precision_or_integers_keeps_its_type_unless_another_is_asked_for() {
    for (path, kept) in [
        ("fuzz/seeds/onnx_import/gru_linear_bf16.onnx", RNNPACK_WEIGHT_TYPE_BF16),
        ("fuzz/seeds/onnx_import/lstm_activations_f16.onnx", RNNPACK_WEIGHT_TYPE_F16),
        ("fuzz/seeds/onnx_import/dynamic_quantize_lstm.onnx", RNNPACK_WEIGHT_TYPE_INT8),
        ("tests/fixtures/dtln/model_1.onnx", RNNPACK_WEIGHT_TYPE_F32),
    ] {
        let onnx = onnx(&file(path));
        let mut node: NodeInfo = zeroed();
        ok(c!(rnnpack_onnx_get_node(onnx.get(), 0, &mut node)));
        assert!(
            node.refusal.is_null()
                && node.op == if path.contains("gru") { RNNPACK_GRU } else { RNNPACK_LSTM }
        );
        let packed = |pack: *const PackDesc| {
            let mut made = null_mut();
            ok(c!(rnnpack_onnx_layer(onnx.get(), node.name, pack, &mut made)));
            info(&OwnedLayer(made))
        };
        let given = packed(&zeroed());
        assert_eq!([given.weight_type, packed(null()).weight_type], [kept; 2], "{path}");
        for weights in WeightType::ALL {
            let asked = packed(&PackDesc { weight_type: constant(weights), ..zeroed() });
            assert_eq!(asked.weight_type, constant(weights), "{path}");
        }
    }
}

/// The layer of the only node of a file.
fn of_node(onnx: &OwnedOnnx, weight_type: i32) -> OwnedLayer {
    let (mut node, mut made): (NodeInfo, _) = (zeroed(), null_mut());
    ok(c!(rnnpack_onnx_get_node(onnx.get(), 0, &mut node)));
    let pack = PackDesc { weight_type, ..zeroed() };
    ok(c!(rnnpack_onnx_layer(onnx.get(), node.name, &pack, &mut made)));
    OwnedLayer(made)
}

#[test]
fn integers_of_a_file_keep_their_scales_if_int8_is_asked_for() {
    for path in ["dynamic_quantize_lstm.onnx", "dynamic_quantize_lstm_bi.onnx"] {
        let onnx = onnx(&file(&format!("fuzz/seeds/onnx_import/{path}")));
        let [given, asked] =
            [RNNPACK_WEIGHT_TYPE_GIVEN, RNNPACK_WEIGHT_TYPE_INT8].map(|weights| of_node(&onnx, weights));
        assert!(packed(&given).0 == packed(&asked).0, "{path}");
    }
}

#[test]
fn a_weight_beyond_the_range_of_its_type_is_refused_by_its_place() {
    let mut w = [0.5f32; 4 * 4 * 3];
    w[7] = -1e6;
    let case = Case::new(&cells()[..1], rnnpack::GateOrder::Onnx, [3, 4], Direction::Forward);
    let desc = |pack| LayerDesc { w: w.as_ptr(), pack, ..case.desc() };
    let mut made = null_mut();
    let f16 = PackDesc { weight_type: RNNPACK_WEIGHT_TYPE_F16, ..zeroed() };
    assert_eq!(c!(rnnpack_layer_new(&desc(&f16), &mut made)), RNNPACK_WEIGHTS);
    assert_eq!((message(), made), ("W[7] is beyond the range of f16".to_owned(), null_mut()));
    let bf16 = PackDesc { weight_type: RNNPACK_WEIGHT_TYPE_BF16, ..zeroed() };
    assert_eq!(info(&layer(&desc(&bf16))).weight_type, RNNPACK_WEIGHT_TYPE_BF16);
}
