//! The forms that cells can have.

use rnnpack::{Activation, Cell, LstmCell};

/// Every form of a cell, with ONNX's default activations and without clipping.
pub fn forms() -> [Cell; 5] {
    let coupled = Cell::Lstm(LstmCell { input_forget: true, ..LstmCell::default() });
    [Cell::lstm(), coupled, Cell::gru(false), Cell::gru(true), Cell::rnn(Activation::Tanh)]
}
