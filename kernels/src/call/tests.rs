//! Tests of calls with rows at any addresses, with passes split into ranges of panels, with kept gates, and of
//! one step.

mod addresses;
mod gates;
mod one_step;
mod ranges;

use super::Call;
use crate::activation::Activation;
use crate::blocking::Blocking;
use crate::cell::{Cell, GruCell, LstmCell, RnnCell};
use crate::view::{Dims, Layout, View, ViewMut};
use crate::weights::{GateOrder, Tensors, Weights};

/// Every cell with ONNX's defaults, and with options that the general epilogues compute.
fn cells() -> Vec<Cell> {
    use Activation::{Relu, Sigmoid, Softsign, Tanh};
    let lstm = LstmCell { activations: [Sigmoid, Softsign, Tanh], clip: Some(0.7), input_forget: false };
    let gru = |linear_before_reset| {
        Cell::Gru(GruCell { activations: [Sigmoid, Relu], clip: Some(0.7), linear_before_reset })
    };
    vec![
        Cell::lstm(),
        Cell::Lstm(lstm),
        Cell::Lstm(LstmCell { input_forget: true, ..lstm }),
        Cell::gru(true),
        gru(true),
        Cell::gru(false),
        gru(false),
        Cell::rnn(Tanh),
        Cell::Rnn(RnnCell { activation: Sigmoid, clip: Some(0.5) }),
    ]
}

/// A layer's tensors and a call's buffers, filled with numbers within ±1/2 that do not repeat within a short distance.
#[derive(Clone)]
struct Case {
    cell: Cell,
    sizes: [usize; 2],
    time: usize,
    batch: usize,
    tensors: [Vec<f32>; 5],
    x: Vec<f32>,
    y: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Case {
    fn new(cell: Cell, [input, hidden]: [usize; 2], [time, batch]: [usize; 2]) -> Case {
        let mut state = 1u32;
        let mut numbers = |count: usize| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            };
            (0..count).map(|_| next()).collect()
        };
        let rows = cell.gates() * hidden;
        let states = if cell.has_cell_state() { hidden } else { 0 };
        // Only the cells that the general epilogue computes have peepholes.
        let peepholes = if cell.clip().is_some() { 3 * states } else { 0 };
        Case {
            cell,
            sizes: [input, hidden],
            time,
            batch,
            tensors: [rows * input, rows * hidden, rows, rows, peepholes].map(&mut numbers),
            x: numbers(time * batch * input),
            y: vec![0.0; time * batch * hidden],
            h: numbers(batch * hidden),
            c: numbers(batch * states),
        }
    }

    fn weights(&self) -> Weights<'_> {
        let [w, r, wb, rb, p] = self.tensors.each_ref().map(Vec::as_slice);
        let p = (!p.is_empty()).then_some(p);
        let tensors = Tensors { w, r, wb: Some(wb), rb: Some(rb), p };
        Weights::new(self.cell, self.sizes, GateOrder::Onnx, tensors).unwrap()
    }

    fn x_dims(&self) -> Dims {
        Dims { time: self.time, directions: 1, batch: self.batch, width: self.sizes[0] }
    }

    fn x(&self) -> View<'_> {
        View::new(&self.x, self.x_dims(), Layout::TimeMajor).unwrap()
    }

    /// The call, as one block that projects `steps` steps together.
    fn call(&mut self, steps: usize) -> Call<'_> {
        let dims = self.x_dims();
        let Case { x, y, h, c, sizes, batch, .. } = self;
        Call {
            x: View::new(x, dims, Layout::TimeMajor).unwrap(),
            y: Some(ViewMut::new(y, Dims { width: sizes[1], ..dims }, Layout::TimeMajor).unwrap()),
            lens: None,
            reverse: false,
            h,
            c,
            blocking: Blocking { rows: *batch, steps },
            stop: None,
        }
    }

    /// The bits of everything that a call writes.
    fn results(&self) -> Vec<u32> {
        [&self.y, &self.h, &self.c].into_iter().flatten().map(|v| v.to_bits()).collect()
    }
}
