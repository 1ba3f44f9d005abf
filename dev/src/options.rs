//! Strategies for cells with any options, for property tests.

use proptest::array::{uniform2, uniform3};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rnnpack::{Activation, Cell, GruCell, LstmCell, RnnCell};

/// The activations whose values are bounded for all parameters and all arguments.
const BOUNDED: [&str; 5] = ["Tanh", "Sigmoid", "ScaledTanh", "HardSigmoid", "Softsign"];
const UNBOUNDED: [&str; 6] = ["Relu", "Affine", "LeakyRelu", "ThresholdedRelu", "Elu", "Softplus"];

/// Whether the values of all activations of a cell are bounded for all arguments.
pub fn is_bounded(cell: &Cell) -> bool {
    cell.activations().iter().all(|activation| BOUNDED.contains(&activation.name()))
}

/// A parameter: ONNX's default, a special value, or any value.
pub fn parameters() -> impl Strategy<Value = Option<f32>> + Clone {
    prop_oneof![
        2 => Just(None),
        1 => select(vec![0.0, -0.0, 1.0, -1.0, 1e-3, -1e-41]).prop_map(Some),
        3 => (-2.5f32..2.5).prop_map(Some),
    ]
}

/// All eleven activations, with such parameters.
pub fn activations(
    parameter: impl Strategy<Value = Option<f32>> + Clone,
) -> impl Strategy<Value = Activation> + Clone {
    of_names([&BOUNDED[..], &UNBOUNDED].concat(), parameter)
}

/// The activations whose values are bounded.
pub fn bounded_activations() -> impl Strategy<Value = Activation> + Clone {
    of_names(BOUNDED.to_vec(), parameters())
}

fn of_names(
    names: Vec<&'static str>,
    parameter: impl Strategy<Value = Option<f32>> + Clone,
) -> impl Strategy<Value = Activation> + Clone {
    (select(names), parameter.clone(), parameter)
        .prop_map(|(name, alpha, beta)| Activation::by_name(name).unwrap().with_parameters(alpha, beta))
}

fn clips() -> impl Strategy<Value = Option<f32>> + Clone {
    option::weighted(0.3, prop_oneof![0.05f32..3.0, select(vec![1.0, 50.0, f32::MIN_POSITIVE, f32::MAX])])
}

/// LSTMs with any options and activations of `of`.
pub fn lstms(of: impl Strategy<Value = Activation> + Clone) -> impl Strategy<Value = Cell> {
    (uniform3(of), clips(), any::<bool>()).prop_map(|(activations, clip, input_forget)| {
        Cell::Lstm(LstmCell { activations, clip, input_forget })
    })
}

fn grus(of: impl Strategy<Value = Activation> + Clone) -> impl Strategy<Value = Cell> {
    (uniform2(of), clips(), any::<bool>()).prop_map(|(activations, clip, linear_before_reset)| {
        Cell::Gru(GruCell { activations, clip, linear_before_reset })
    })
}

fn rnns(of: impl Strategy<Value = Activation>) -> impl Strategy<Value = Cell> {
    (of, clips()).prop_map(|(activation, clip)| Cell::Rnn(RnnCell { activation, clip }))
}

/// Cells of one operator for two directions, with any options and activations of `of`.
pub fn cells(of: impl Strategy<Value = Activation> + Clone) -> impl Strategy<Value = [Cell; 2]> {
    prop_oneof![
        2 => uniform2(lstms(of.clone())),
        2 => uniform2(grus(of.clone())),
        1 => uniform2(rnns(of)),
    ]
}
