//! Tests layers whose weights are integers behind `DequantizeLinear`.

use rnnpack::WeightType;
use rnnpack_dev::onnx::one::{H, I, One, of, one};
use rnnpack_dev::onnx::quantized::{INT8, UINT8, dequantized, integers};
use rnnpack_dev::onnx::{FLOAT16, attr_i, attr_s, node, recurrent_nodes, tensor};
use rnnpack_onnx::{DType, RecurrentNode, narrow};

fn read(bytes: &[u8]) -> RecurrentNode {
    recurrent_nodes(bytes).unwrap().remove(0)
}

#[test]
fn weights_behind_dequantize_linear_are_exact_with_int8_but_f32_by_default() {
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for of_rows in [false, true] {
            let (bytes, integers) = dequantized(op, gates, of_rows);
            let node = read(&bytes);
            assert_eq!(node.weight_type(), Some(WeightType::F32), "{op}");
            let narrow = node.clone().with_type(WeightType::I8);
            let weights = narrow.weights().unwrap();
            assert_eq!(weights.weight_type(), WeightType::I8);
            for (d, weights) in weights.directions().iter().enumerate() {
                for row in 0..gates * 3 {
                    let (gate, unit) = (row / 3, row % 3);
                    for (k, (stored, given)) in
                        weights.stored_w(gate, unit).zip(weights.w_row(gate, unit)).enumerate()
                    {
                        let scale = (1.0 + if of_rows { row as f32 * 0.37 } else { 0.0 }) / 300.0;
                        let number = integers[0][(d * gates * 3 + row) * 5 + k] as f32 * scale;
                        assert_eq!([stored.to_bits(), given.to_bits()], [number.to_bits(); 2], "{op}");
                    }
                    assert!(weights.stored_r(gate, unit).eq(weights.r_row(gate, unit).iter().copied()));
                }
            }
            let [narrow, wide] = [&narrow, &node].map(|node| node.pack().unwrap().packed_bytes());
            assert!(narrow < wide, "{op}: {narrow} {wide}");
        }
    }
}

#[test]
fn scales_are_found_for_all_numbers_that_have_one_and_for_no_others() {
    let model = |number: &dyn Fn(usize) -> f32| {
        let w: Vec<f32> = (0..40).map(number).collect();
        let mut one = one();
        one.stored = vec![tensor("W", &[1, 8, 5], &w), tensor("R", &[1, 8, 2], &[0.25; 16])];
        read(&one.inputs(&["X", "W", "R"]).bytes()).with_type(WeightType::I8)
    };
    let is_exact = |number: &dyn Fn(usize) -> f32| {
        let node = model(number);
        let weights = node.weights().unwrap();
        let w = |row: usize| {
            (weights.directions()[0].stored_w(row / 2, row % 2), (row * 5..row * 5 + 5).map(number))
        };
        (0..8).all(|row| w(row).0.eq(w(row).1))
    };
    for scale in [0.1f32, 1.0 / 3.0, 1e-20, 1e-42, 3e35, 0.0078125] {
        assert!(is_exact(&|i| scale * ((i * 37 % 256) as f32 - 128.0)), "{scale}");
        // All of one sign, as with a zero point at the end.
        assert!(is_exact(&|i| scale * (i * 37 % 256) as f32), "{scale}");
        assert!(is_exact(&|i| scale * (i as f32 / 5.0).floor()), "{scale}");
    }
    assert!(is_exact(&|_| 0.0));
    assert!(!is_exact(&|i| (i as f32 * 0.7).sin()));
    assert!(!is_exact(&|i| 0.1 * ((i * 37 % 256) as f32 - 128.0) + if i == 7 { 1e-3 } else { 0.0 }));
    // Integers of 9 bits.
    assert!(!is_exact(&|i| 0.1 * if i % 5 == 0 { 257.0 } else { 1.0 }));
    // Each row has 256 integers at most, but both signs of one matrix have more.
    assert!(!is_exact(
        &|i| 0.1 * [[-255.0, 7.0, 3.0, 1.0, 0.0], [255.0, 7.0, 3.0, 1.0, 0.0]][i / 5 % 2][i % 5]
    ));
}

/// A model of one node whose W and R are integers without a sign, with these zero points of the directions: behind
/// `DequantizeLinear`, or as numbers if `dequantized`. The numbers of W and of R are the second value.
fn with_zero_points(
    (op, gates): (&'static str, usize),
    zero_points: &[u8],
    dequantized: bool,
) -> (Vec<u8>, [Vec<f32>; 2]) {
    let directions = zero_points.len();
    let direction = if directions == 2 { "bidirectional" } else { "forward" };
    let attrs = vec![attr_s("direction", direction)];
    let mut one = One { attrs, stored: vec![tensor("scale", &[], &[0.3])], ..of(op, gates) };
    let all = [("W", I), ("R", H)].map(|(name, columns)| {
        let (mut all, mut parts) = (Vec::new(), Vec::new());
        for (d, &zero) in zero_points.iter().enumerate() {
            let count = gates * H * columns;
            // 0 and 255 are among them, so only one zero point makes them integers of 8 bits.
            let data: Vec<i16> = (0..count).map(|i| [(i * 37 + d) as i16 % 256, 0, 255][i % 3]).collect();
            all.extend(data.iter().map(|&q| 0.3 * (f32::from(q) - f32::from(zero))));
            let [integer, z, part] = ["i", "z", "part"].map(|what| format!("{name}_{what}{d}"));
            one.stored.push(integers(&integer, &[1, gates * H, columns], UINT8, &data));
            one.stored.push(integers(&z, &[], UINT8, &[zero.into()]));
            one.nodes.push(node("DequantizeLinear", "", &[&integer, "scale", &z], &[&part], &[]));
            parts.push(part);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        one.nodes.push(node("Concat", "", &parts, &[name], &[attr_i("axis", 0)]));
        all
    });
    if dequantized {
        one.nodes.clear();
        let dims = |columns| [directions, gates * H, columns];
        one.stored = vec![tensor("W", &dims(I), &all[0]), tensor("R", &dims(H), &all[1])];
    }
    (one.inputs(&["X", "W", "R"]).bytes(), all)
}

/// The bits of all weights as the layer stores them: W and R.
fn stored(node: &RecurrentNode) -> [Vec<u32>; 2] {
    let weights = node.weights().unwrap();
    let rows = (0..weights.cell().gates()).flat_map(|gate| (0..H).map(move |unit| (gate, unit)));
    let rows = || weights.directions().iter().flat_map(|d| rows.clone().map(move |row| (d, row)));
    let w = rows().flat_map(|(d, (gate, unit))| d.stored_w(gate, unit));
    let r = rows().flat_map(|(d, (gate, unit))| d.stored_r(gate, unit));
    [w.map(f32::to_bits).collect(), r.map(f32::to_bits).collect()]
}

#[test]
fn a_rewritten_file_has_the_integers_with_their_zero_point_as_they_are() {
    for op in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for zero_points in [&[200][..], &[200, 200], &[0], &[255, 255]] {
            for dequantized in [false, true] {
                let (model, exact) = with_zero_points(op, zero_points, dequantized);
                let written = narrow(&model, |_| WeightType::I8).unwrap();
                // Integers behind DequantizeLinear are a form of int8, except for an LSTM.
                assert_eq!(written == model, op.0 != "LSTM" && !dequantized, "{op:?}");
                let read = read(&written);
                assert!(read.refusal().is_none(), "{:?}", read.refusal());
                let exact = exact.map(|numbers| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
                assert_eq!(stored(&read), exact, "{op:?} {zero_points:?} {dequantized}");
                assert_eq!(
                    read.matrix_dtype,
                    Some(if written == model || op.0 == "LSTM" { DType::U8 } else { DType::I8 })
                );
            }
        }
    }
}

#[test]
fn directions_with_different_zero_points_are_refused_where_the_operator_has_one() {
    let (model, _) = with_zero_points(("LSTM", 4), &[200, 3], false);
    let error = narrow(&model, |_| WeightType::I8).unwrap_err().to_string();
    assert!(error.contains("node `lstm` (LSTM): the integers of its directions have different"), "{error}");
    // A GRU has one for each row.
    let (model, exact) = with_zero_points(("GRU", 3), &[200, 3], true);
    let exact = exact.map(|numbers| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
    assert_eq!(stored(&read(&narrow(&model, |_| WeightType::I8).unwrap())), exact);
}

#[test]
fn forms_of_dequantize_linear_that_are_not_folded_are_left_to_a_runtime() {
    let (bytes, _) = dequantized("LSTM", 4, true);
    assert!(read(&bytes).refusal().is_none());
    for attributes in
        [vec![attr_i("block_size", 2)], vec![attr_i("output_dtype", FLOAT16)], vec![attr_i("axis", 7)]]
    {
        let dequantize = node("DequantizeLinear", "", &["i", "s"], &["W"], &attributes);
        let mut graph = one().graph();
        graph.stored[0] = integers("i", &[1, 8, 3], INT8, &[1; 24]);
        graph.stored.push(tensor("s", &[8], &[0.5; 8]));
        graph.nodes.insert(0, dequantize);
        let found = read(&graph.model(23));
        assert!(found.awaits_weights(), "{:?}", found.refusal());
        assert!(found.refusal().unwrap().to_string().contains("this form of it is not folded"));
    }
}
