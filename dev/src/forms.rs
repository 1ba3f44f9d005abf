//! The forms of cells.

use rnnpack::{Activation, Cell, LstmCell};

/// Every form that a cell may have, with ONNX's default activations and nothing clipped.
pub fn forms() -> [Cell; 5] {
    let coupled = Cell::Lstm(LstmCell { input_forget: true, ..LstmCell::default() });
    [Cell::lstm(), coupled, Cell::gru(false), Cell::gru(true), Cell::rnn(Activation::Tanh)]
}
