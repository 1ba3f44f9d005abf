//! A step of a layer, by the kernels.

use rnnpack_kernels::blocking::{Blocking, Caches};
use rnnpack_kernels::{Call, Cell, Dims, GateOrder, Layout, PackedWeights, Scratch, Tensors, Variant, View};
use rnnpack_kernels::{WeightType, Weights, forward};
use std::time::Instant;

const STEPS: usize = 64;

/// An LSTM with one input, and what a call needs.
pub(crate) struct Step {
    packed: PackedWeights,
    scratch: Scratch,
    x: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Step {
    pub(crate) fn new(weights: WeightType, hidden: usize) -> Step {
        let mut state = 1u32;
        let mut random = |count: usize| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
                ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) / (hidden as f32).sqrt()
            };
            (0..count).map(|_| next()).collect()
        };
        let (w, r) = (random(4 * hidden), random(4 * hidden * hidden));
        let tensors = Tensors { w: &w, r: &r, wb: None, rb: None, p: None };
        let layer = Weights::new(Cell::lstm(), [1, hidden], GateOrder::Onnx, tensors);
        let layer = layer.and_then(|layer| layer.with_type(weights)).expect("a layer");
        let variant = Variant::available().next().expect("an instruction set");
        let packed = PackedWeights::new(variant, &layer).expect("memory");
        Step { packed, scratch: Scratch::new(), x: random(STEPS), h: vec![0.0; hidden], c: vec![0.0; hidden] }
    }

    /// The µs of one step.
    pub(crate) fn micros(&mut self) -> f64 {
        self.call();
        let start = Instant::now();
        self.call();
        start.elapsed().as_secs_f64() * 1e6 / STEPS as f64
    }

    fn call(&mut self) {
        let dims = Dims { time: STEPS, directions: 1, batch: 1, width: 1 };
        let x = View::new(&self.x, dims, Layout::TimeMajor).expect("a view");
        let (cell, variant, hidden) = (self.packed.cell(), self.packed.variant(), self.packed.hidden());
        let blocking = Blocking::new(cell, variant, Caches::UNKNOWN, [hidden, STEPS, 1]);
        let (h, c) = (&mut self.h, &mut self.c);
        let call = Call { x, y: None, lens: None, reverse: false, h, c, blocking, stop: None };
        forward(&self.packed, call, &mut self.scratch).expect("a call");
    }
}
