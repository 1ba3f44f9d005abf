//! Tests the meaning of the cells' options, and that different ways to say the same thing give the same bits.

use crate::cases::{any_cells, any_direction, cases, cases_of, hidden_sizes, plain_cells};
use crate::{Behaviour, check};
use libtest_mimic::Failed;
use proptest::collection::vec;
use proptest::prelude::*;
use rnnpack::{
    Activation, Cell, Dims, Direction, GateOrder, Layer, LayerTensors, LayerWeights, LstmCell,
    PyTorchTensors, Sequence, Shape, Stack, StackScratch, Threads, Variant,
};
use rnnpack_dev::bound::Bounded;
use rnnpack_dev::options::{bounded_activations, cells, lstms};
use rnnpack_dev::{Case, Contents, Output, SENTINEL, expected, layer, run};

pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("gate_orders_agree", gate_orders_agree),
    ("pytorch_tensors_are_onnx_tensors_in_parts", pytorch_tensors_are_onnx_tensors_in_parts),
    ("peepholes_of_zeros_change_no_bit", peepholes_of_zeros_change_no_bit),
    ("a_clip_beyond_every_pre_activation_changes_no_bit", a_clip_beyond_every_pre_activation_changes_no_bit),
    ("default_activations_have_the_bits_of_any_activations", default_activations_have_the_bits_of_any),
    ("coupled_gates_are_gates_of_opposite_sums", coupled_gates_are_gates_of_opposite_sums),
    ("a_stack_computes_its_layers_one_by_one", a_stack_computes_its_layers_one_by_one),
];

/// Reorders a tensor's rows from ONNX's order of gates to PyTorch's. A gate has `gate` elements. i, o, f, c become i,
/// f, c, o, and z, r, h become r, z, h.
fn in_pytorch_order(cell: &Cell, tensor: &[f32], gate: usize) -> Vec<f32> {
    let order: &[usize] = match cell {
        Cell::Lstm(_) => &[0, 2, 3, 1],
        Cell::Gru(_) => &[1, 0, 2],
        Cell::Rnn(_) => &[0],
    };
    let gates =
        |gates: &[f32]| order.iter().flat_map(|&g| gates[g * gate..][..gate].to_vec()).collect::<Vec<_>>();
    tensor.chunks((order.len() * gate).max(1)).flat_map(gates).collect()
}

/// W, R and B in PyTorch's order.
fn permuted(contents: &Contents) -> (Vec<f32>, Vec<f32>, Option<Vec<f32>>) {
    let Shape { input, hidden, .. } = contents.shape;
    let permuted =
        |tensor: &[f32], columns: usize| in_pytorch_order(&contents.cells[0], tensor, hidden * columns);
    (permuted(&contents.w, input), permuted(&contents.r, hidden), contents.b.as_ref().map(|b| permuted(b, 1)))
}

fn gate_orders_agree(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let (w, r, b) = permuted(&contents);
        let tensors = LayerTensors { w: &w, r: &r, b: b.as_deref(), p: contents.p.as_deref() };
        let cells = &case.cells[..case.shape.direction.count()];
        let weights = LayerWeights::per_direction(cells, case.shape, GateOrder::PyTorch, tensors);
        let weights = weights.unwrap().with_type(case.weights).unwrap();
        let expected = run(&contents.layer(variant), &case, &contents);
        run(&layer(variant, &weights), &case, &contents).difference(&expected)
    })
}

fn pytorch_tensors_are_onnx_tensors_in_parts(variant: Variant) -> Result<(), Failed> {
    check(variant, cases_of(plain_cells(), any_direction()), |mut case| {
        case.peepholes = false;
        if let Cell::Gru(_) = case.cells[0] {
            case.cells = [Cell::pytorch_gru(); 2];
        }
        let contents = case.contents();
        let (w, r, b) = permuted(&contents);
        let count = case.shape.direction.count();
        fn part(tensor: &[f32], i: usize, of: usize) -> &[f32] {
            &tensor[tensor.len() / of * i..][..tensor.len() / of]
        }
        let one = |d| PyTorchTensors {
            weight_ih: part(&w, d, count),
            weight_hh: part(&r, d, count),
            bias_ih: b.as_ref().map(|b| part(b, 2 * d, 2 * count)),
            bias_hh: b.as_ref().map(|b| part(b, 2 * d + 1, 2 * count)),
        };
        let directions: Vec<PyTorchTensors<'_>> = (0..count).map(one).collect();
        let weights = LayerWeights::pytorch(case.cells[0], case.shape, &directions).unwrap();
        let weights = weights.with_type(case.weights).unwrap();
        let expected = run(&contents.layer(variant), &case, &contents);
        run(&layer(variant, &weights), &case, &contents).difference(&expected)
    })
}

/// LSTMs with sigmoid gates, whose values are finite and do not depend on the sign of a zero.
fn lstm_cases() -> impl Strategy<Value = Case> {
    let with_sigmoid = |cell| match cell {
        Cell::Lstm(mut lstm) => {
            lstm.activations[0] = Activation::Sigmoid;
            [Cell::Lstm(lstm); 2]
        }
        other => [other; 2],
    };
    let cells = prop_oneof![Just(Cell::lstm()), lstms(bounded_activations())].prop_map(with_sigmoid);
    cases_of(cells, any_direction())
}

fn peepholes_of_zeros_change_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, lstm_cases(), |case| {
        let none = Contents { p: None, ..case.contents() };
        let zeros = (0..case.shape.output() * 3).map(|i| if i % 2 == 0 { 0.0 } else { -0.0 }).collect();
        let zeros = Contents { p: Some(zeros), ..none.clone() };
        run(&zeros.layer(variant), &case, &zeros).difference(&run(&none.layer(variant), &case, &none))
    })
}

/// The cell with this threshold.
fn clipped_at(clip: Option<f32>, mut cell: Cell) -> Cell {
    match &mut cell {
        Cell::Lstm(cell) => cell.clip = clip,
        Cell::Gru(cell) => cell.clip = clip,
        Cell::Rnn(cell) => cell.clip = clip,
    }
    cell
}

/// The sums have at most a few hundred terms of at most a few hundred. So they are far below the threshold.
fn far_clips_change_no_bit(variant: Variant, cells: impl Strategy<Value = [Cell; 2]>) -> Result<(), Failed> {
    check(variant, cases_of(cells, any_direction()), |case| {
        let with = |clip| {
            let case = Case { cells: case.cells.map(|cell| clipped_at(clip, cell)), ..case.clone() };
            let contents = case.contents();
            run(&contents.layer(variant), &case, &contents)
        };
        with(Some(1e30)).difference(&with(None))
    })
}

fn a_clip_beyond_every_pre_activation_changes_no_bit(variant: Variant) -> Result<(), Failed> {
    far_clips_change_no_bit(variant, cells(bounded_activations()))
}

/// Without a threshold, the kernels have special instances for these cells.
fn default_activations_have_the_bits_of_any(variant: Variant) -> Result<(), Failed> {
    far_clips_change_no_bit(variant, plain_cells())
}

/// Since σ(-x) = 1 - σ(x), `input_forget` equals a forget gate whose weights are the negated weights of the input
/// gate. The two computations have the same exact values, and each is within its bound of them.
fn coupled_gates_are_gates_of_opposite_sums(variant: Variant) -> Result<(), Failed> {
    let judge = if variant.is_fused() { opposite_sums::<true> } else { opposite_sums::<false> };
    check(variant, lstm_cases(), |mut case| {
        // The analysis is slow, so the batch is small.
        case.batch = case.batch.min(4);
        case.lens.iter_mut().for_each(|lens| lens.truncate(case.batch));
        judge(variant, &case)
    })
}

/// Sets the weights of the forget gate, gate 2, to the negated weights of the input gate.
fn oppose_forget_gate(contents: &mut Contents) {
    fn oppose(tensor: &mut [f32], gates: usize, gate: usize) {
        for tensor in tensor.chunks_mut((gates * gate).max(1)) {
            (0..gate).for_each(|i| tensor[2 * gate + i] = -tensor[i]);
        }
    }
    let Shape { input, hidden, .. } = contents.shape;
    oppose(&mut contents.w, 4, hidden * input);
    oppose(&mut contents.r, 4, hidden * hidden);
    contents.b.iter_mut().for_each(|b| oppose(b, 4, hidden));
    contents.p.iter_mut().for_each(|p| oppose(p, 3, hidden));
}

fn opposite_sums<const FUSED: bool>(variant: Variant, case: &Case) -> Result<(), String> {
    let with = |input_forget| {
        let flagged = |cell| match cell {
            Cell::Lstm(lstm) => Cell::Lstm(LstmCell { input_forget, ..lstm }),
            other => other,
        };
        let mut contents = case.contents();
        contents.cells = contents.cells.map(flagged);
        oppose_forget_gate(&mut contents);
        let output = run(&contents.layer(variant), case, &contents);
        (output, expected::<Bounded<FUSED>>(case, &contents))
    };
    let ((coupled, mut bounds), (opposite, of_opposite)) = (with(true), with(false));
    for (bounds, (values, others)) in [
        (&mut bounds.y, (&opposite.y, &of_opposite.y)),
        (&mut bounds.h, (&opposite.h, &of_opposite.h)),
        (&mut bounds.c, (&opposite.c, &of_opposite.c)),
    ] {
        for (bound, (&value, other)) in bounds.iter_mut().zip(values.iter().zip(others)) {
            *bound = Bounded { value: value.into(), error: bound.error + other.error };
        }
    }
    coupled.within(&bounds).map(drop)
}

/// Stacks of layers with any directions, on one thread and on two.
fn a_stack_computes_its_layers_one_by_one(variant: Variant) -> Result<(), Failed> {
    let above = vec((hidden_sizes(), any::<bool>(), any_cells(), any::<u64>()), 0..3);
    check(variant, (cases(), above), |(first, above)| {
        let mut cases = vec![first];
        for (hidden, both, cells, seed) in above {
            let below = &cases[cases.len() - 1];
            let direction = if both { Direction::Bidirectional } else { Direction::Reverse };
            let shape = Shape { input: below.shape.output(), hidden, direction };
            cases.push(Case { cells, shape, seed, ..below.clone() });
        }
        let contents: Vec<Contents> = cases.iter().map(Case::contents).collect();
        let layers = || contents.iter().map(|contents| contents.layer(variant)).collect::<Vec<Layer>>();

        let mut by_hand = vec![];
        let mut x = contents[0].x.clone();
        for ((layer, case), contents) in layers().iter().zip(&cases).zip(&contents) {
            let output = run(layer, case, &Contents { x, ..contents.clone() });
            x = directions_concatenated(&output.y, case.y_dims());
            by_hand.push(output);
        }

        let stack = Stack::new(layers()).unwrap();
        let top = &by_hand[by_hand.len() - 1];
        let case = &cases[0];
        for threads in [Threads::Caller, Threads::AtMost(2)] {
            let mut state = stack.new_state(case.batch).unwrap();
            for (state, contents) in state.layers_mut().iter_mut().zip(&contents) {
                state.h_mut().copy_from_slice(&contents.h);
                state.c_mut().copy_from_slice(&contents.c);
            }
            let mut y = vec![SENTINEL; top.y.len()];
            let sequence = Sequence::dense(&contents[0].x, &mut y).optional_lens(case.lens.as_deref());
            stack.forward(sequence.threads(threads), &mut state, &mut StackScratch::new()).unwrap();
            for (i, (state, expected)) in state.layers().iter().zip(&by_hand).enumerate() {
                let y = if i + 1 == by_hand.len() { y.clone() } else { expected.y.clone() };
                let output = Output::new(y, state);
                output.difference(expected).map_err(|e| format!("layer {i}: {e}"))?;
            }
        }
        Ok(())
    })
}

/// Copies `[T, D, B, H]` to `[T, B, D·H]`.
fn directions_concatenated(y: &[f32], dims: Dims) -> Vec<f32> {
    let mut rows = vec![];
    for t in 0..dims.time {
        for b in 0..dims.batch {
            for d in 0..dims.directions {
                let row = (t * dims.directions + d) * dims.batch + b;
                rows.extend_from_slice(&y[row * dims.width..][..dims.width]);
            }
        }
    }
    rows
}
