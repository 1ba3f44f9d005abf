//! One direction of a call of an unfused layer: the loops over its steps.

use super::matrices::Matrices;
use super::number::Number;
use super::scratch::{Division, UnfusedScratch};
use crate::error::Error;
use rnnpack_kernels::gemm::gemm_bt;
use rnnpack_kernels::{RaggedRows, Stop, View, ViewMut};
use std::ops::Range;

/// One direction of a call.
pub(super) struct DirectionCall<'a, F> {
    matrices: &'a Matrices<F>,
    x: View<'a, F>,
    reverse: bool,
    /// The rows of the batch, longest sequence first.
    rows: RaggedRows<'a>,
    /// The number of steps in a chunk. The input of a chunk is projected by one product.
    chunk: usize,
    /// The inputs of the chunk, `[step and row, I]`.
    inputs: &'a mut [F],
    /// The gate sums of the chunk, `[step and row, n·H]`.
    gates: &'a mut [F],
    /// The hidden states of the sorted rows, `[B, H]`.
    h: &'a mut [F],
    /// The cell states of the sorted rows, `[B, H]`.
    c: &'a mut [F],
    /// Room for one more state, `[B, H]`.
    beside: &'a mut [F],
}

impl<'a, F: Number> DirectionCall<'a, F> {
    pub(super) fn new(
        matrices: &'a Matrices<F>,
        x: View<'a, F>,
        reverse: bool,
        scratch: &'a mut UnfusedScratch<F>,
        division: Division,
    ) -> DirectionCall<'a, F> {
        let (inputs, rest) = scratch.numbers.split_at_mut(division.inputs);
        let (gates, rest) = rest.split_at_mut(division.gates);
        let (h, rest) = rest.split_at_mut(division.state);
        let (c, rest) = rest.split_at_mut(division.state);
        let beside = &mut rest[..division.state];
        let (rows, chunk) = (scratch.ragged.rows(), division.steps);
        DirectionCall { matrices, x, reverse, rows, chunk, inputs, gates, h, c, beside }
    }

    /// Runs all steps of all rows, unless the caller stops the call.
    pub(super) fn steps(
        &mut self,
        mut y: Option<ViewMut<'_, F>>,
        stop: Option<Stop<'_>>,
    ) -> Result<(), Error> {
        let (hidden, width) = (self.matrices.hidden, self.matrices.width());
        let longest = self.rows.steps();
        for first in (0..longest).step_by(self.chunk) {
            if stop.is_some_and(Stop::is_wanted) {
                return Err(Error::Stopped);
            }
            let end = longest.min(first + self.chunk);
            self.project(first..end)?;
            let mut base = 0;
            for step in first..end {
                let rows = self.rows.running(step);
                let states = rows * hidden;
                let gates = &mut self.gates[base * width..][..rows * width];
                let (h, c) = (&mut self.h[..states], &mut self.c[..states]);
                self.matrices.step(gates, h, c, &mut self.beside[..states])?;
                if let Some(y) = &mut y {
                    for (i, h) in self.h[..states].chunks_exact(hidden).enumerate() {
                        y.row_mut(self.rows.time(self.reverse, step, i), 0, self.rows.order()[i])
                            .copy_from_slice(h);
                    }
                }
                base += rows;
            }
        }
        Ok(())
    }

    /// Computes the projected gate sums of all rows that run in each of the steps.
    fn project(&mut self, steps: Range<usize>) -> Result<(), Error> {
        let Matrices { input, w, bias, .. } = self.matrices;
        let (input, width) = (*input, bias.len());
        let mut pairs = 0;
        for step in steps {
            for i in 0..self.rows.running(step) {
                let x = self.x.row(self.rows.time(self.reverse, step, i), 0, self.rows.order()[i]);
                self.inputs[pairs * input..][..input].copy_from_slice(x);
                self.gates[pairs * width..][..width].copy_from_slice(bias);
                pairs += 1;
            }
        }
        let (inputs, gates) = (&self.inputs[..pairs * input], &mut self.gates[..pairs * width]);
        Ok(gemm_bt([pairs, input, width], inputs, w, gates, width)?)
    }

    /// Copies the caller's h and c, `[B, H]`; c is empty if the cell has no cell state.
    pub(super) fn load(&mut self, from: [&[F]; 2]) {
        let hidden = self.matrices.hidden;
        for (to, from) in [&mut *self.h, &mut *self.c].into_iter().zip(from) {
            for (to, &b) in to.chunks_exact_mut(hidden).zip(self.rows.order()) {
                if let Some(from) = from.chunks_exact(hidden).nth(b) {
                    to.copy_from_slice(from);
                }
            }
        }
    }

    /// Copies h and c back to the caller.
    pub(super) fn store(&self, to: [&mut [F]; 2]) {
        let hidden = self.matrices.hidden;
        for (from, to) in [&*self.h, &*self.c].into_iter().zip(to) {
            for (from, &b) in from.chunks_exact(hidden).zip(self.rows.order()) {
                if let Some(to) = to.chunks_exact_mut(hidden).nth(b) {
                    to.copy_from_slice(from);
                }
            }
        }
    }
}
