//! Tests that packing puts every weight in its place.

use super::*;
use crate::activation::Activation;
use crate::packed::PackedWeights;
use crate::weight_type::WeightType;
use crate::weights::Weights;
use crate::weights::{GateOrder, Tensors};

/// The f32 of packed bytes.
fn floats(bytes: &[u8]) -> &[f32] {
    wide::bytemuck::cast_slice(bytes)
}

#[test]
fn every_weight_stands_once_in_its_panel_and_padding_is_zero() {
    let (input, hidden) = (3, 18);
    for cell in [Cell::lstm(), Cell::gru(false), Cell::gru(true), Cell::rnn(Activation::Tanh)] {
        let count = cell.gates() * hidden * input;
        let w: Vec<f32> = (1..=count).map(|x| x as f32).collect();
        let r = vec![0.5; cell.gates() * hidden * hidden];
        let tensors = Tensors { w: &w, r: &r, wb: None, rb: None, p: None };
        let weights = Weights::new(cell, [input, hidden], GateOrder::Onnx, tensors).unwrap();
        for variant in Variant::available() {
            let packed = PackedWeights::new(variant, &weights).unwrap();
            let all = packed.panels().passes().iter().flat_map(|pass| floats(&pass.w).iter().copied());
            assert_eq!(all.clone().count(), weight_vectors(&cell, variant, hidden) * variant.lanes() * input);
            let mut seen: Vec<f32> = all.filter(|&x| x != 0.0).collect();
            seen.sort_by(f32::total_cmp);
            assert_eq!(seen, w, "{variant}");
        }
    }
}

#[test]
fn a_panel_holds_the_gates_of_a_vector_of_units_for_every_k() {
    let (input, hidden) = (3, 18);
    let [w, r] = [input, hidden].map(|k| (1..=4 * hidden * k).map(|x| x as f32).collect::<Vec<f32>>());
    let tensors = Tensors { w: &w, r: &r, wb: None, rb: None, p: None };
    let weights = Weights::new(Cell::lstm(), [input, hidden], GateOrder::Onnx, tensors).unwrap();
    for variant in Variant::available() {
        let packed = PackedWeights::new(variant, &weights).unwrap();
        let (lanes, pass) = (variant.lanes(), &packed.panels().passes()[0]);
        for (gate, unit, k) in [(0, 0, 0), (0, 17, 1), (1, 17, 1), (2, 17, 1), (3, 17, 1), (3, 9, 2)] {
            let (panel, lane) = (unit / lanes, unit % lanes);
            let place = |depth: usize| ((panel * depth + k) * 4 + gate) * lanes + lane;
            assert_eq!(floats(&pass.w)[place(input)], w[(gate * hidden + unit) * input + k]);
            assert_eq!(floats(&pass.r)[place(hidden)], r[(gate * hidden + unit) * hidden + k]);
        }
    }
}

#[test]
fn the_k_of_a_group_stand_beside_each_other_and_the_last_group_is_padded() {
    let (input, hidden, lanes) = (6, 5, 4);
    // Each row has the largest weight 127, so that its scale is 1.
    let w: Vec<f32> =
        (0..4 * hidden * input).map(|x| if x % input == 0 { 127.0 } else { x as f32 }).collect();
    let r = vec![0.0; 4 * hidden * hidden];
    let tensors = Tensors { w: &w, r: &r, wb: None, rb: None, p: None };
    let weights = Weights::new(Cell::lstm(), [input, hidden], GateOrder::Onnx, tensors).unwrap();
    let panels = WeightPanels::new(lanes, &weights.with_type(WeightType::I8).unwrap()).unwrap();
    let pass = &panels.passes()[0];
    // 2 panels of 2 groups of 4 gates of 4 lanes of 4 k.
    assert_eq!(pass.w.len(), 2 * 2 * 4 * 4 * 4);
    // Gate 2 (forget), unit 4: panel 1, lane 0; the groups (0, 1, 2, 3) and (4, 5, padding).
    let row = w[(2 * hidden + 4) * input..][..input].iter().map(|&w| w as u8).collect::<Vec<u8>>();
    let of_group = |group: usize| &pass.w[((2 + group) * 4 + 2) * 4 * 4..][..4];
    assert_eq!(of_group(0), &row[..4]);
    assert_eq!(of_group(1), [row[4], row[5], 0, 0]);
    // The scales of 4 gates of 4 lanes, and then as many sums.
    let place = (2 * 4 + 2) * 4;
    let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
    assert_eq!((pass.w_scales[place], pass.w_scales[place + 16].to_bits() as i32), (1.0, sum));
    assert_eq!((pass.r_scales.len(), pass.r_scales[place]), (2 * 2 * 4 * 4, 0.0));
}

#[test]
fn a_bias_that_stays_apart_keeps_the_sign_of_its_zero() {
    let (wb, rb) = ([-0.0; 3 * 5], [0.0; 3 * 5]);
    let tensors = Tensors { w: &[], r: &[0.5; 3 * 5 * 5], wb: Some(&wb), rb: Some(&rb), p: None };
    let weights = Weights::new(Cell::gru(true), [0, 5], GateOrder::Onnx, tensors).unwrap();
    for variant in Variant::available() {
        let packed = PackedWeights::new(variant, &weights).unwrap();
        let (lanes, bias) = (variant.lanes(), &packed.panels().passes()[0].bias);
        // The gates z and r take both biases, the hidden gate that of W alone.
        let signs = [0, 1, 2].map(|gate| bias[gate * lanes].is_sign_negative());
        assert_eq!(signs, [false, false, true], "{variant}");
    }
}

#[test]
fn a_layer_without_inputs_is_packed_in_every_type() {
    let hidden = 40;
    let r = vec![0.5; 4 * hidden * hidden];
    let tensors = Tensors { w: &[], r: &r, wb: None, rb: None, p: None };
    let weights = Weights::new(Cell::lstm(), [0, hidden], GateOrder::Onnx, tensors).unwrap();
    for (variant, weight_type) in
        Variant::available().flat_map(|variant| WeightType::ALL.map(|weights| (variant, weights)))
    {
        let packed = PackedWeights::new(variant, &weights.with_type(weight_type).unwrap()).unwrap();
        assert!(packed.panels().passes().iter().all(|pass| pass.w.is_empty()), "{variant} {weight_type:?}");
    }
}
