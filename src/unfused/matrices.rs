//! The weights of one direction as plain matrices, and one step over them.

use super::number::Number;
use crate::error::Error;
use rnnpack_kernels::gemm::gemm_bt;
use rnnpack_kernels::memory::reserve;
use rnnpack_kernels::reference::{self, Real};
use rnnpack_kernels::{Cell, GruCell, LstmCell, RnnCell, Subnormals, Weights};
use std::ops::Range;

/// The weights of one direction, only of the gates that are computed. n is the number of these gates.
pub(super) struct Matrices<F> {
    pub(super) cell: Cell,
    pub(super) input: usize,
    pub(super) hidden: usize,
    /// `[n·H, I]`
    pub(super) w: Vec<F>,
    /// `[n·H, H]`
    r: Vec<F>,
    /// The initial values of the projected sums, `[n·H]`.
    pub(super) bias: Vec<F>,
    /// The initial values of the recurrent sums of a GRU's hidden gate, `[H]`, if these sums are kept separate from
    /// the projected ones.
    recurrent_bias: Vec<F>,
    pub(super) subnormals: Subnormals,
    /// The three peepholes of each unit; empty if there are no peepholes.
    peepholes: Vec<[F; 3]>,
}

impl<F: Number> Matrices<F> {
    pub(super) fn new(weights: &Weights<'_, F>) -> Result<Matrices<F>, Error> {
        let (cell, input, hidden) = (*weights.cell(), weights.input(), weights.hidden());
        let gates = cell.computed_gates().count();
        let rows =
            || weights.cell().computed_gates().flat_map(|gate| (0..hidden).map(move |unit| (gate, unit)));
        let separate = matches!(cell, Cell::Gru(GruCell { linear_before_reset: true, .. }));
        let bias = |(gate, unit)| match weights.wb(gate, unit) {
            wb if separate && gate == 2 => wb,
            wb => F::rounded(wb.into() + weights.rb(gate, unit).into()),
        };
        let biases = if separate { hidden } else { 0 };
        // No product overflows: the tensors with these numbers of elements exist.
        Ok(Matrices {
            cell,
            input,
            hidden,
            subnormals: weights.subnormals(),
            w: collected(gates * hidden * input, rows().flat_map(|(g, u)| weights.stored_w(g, u)))?,
            r: collected(gates * hidden * hidden, rows().flat_map(|(g, u)| weights.stored_r(g, u)))?,
            bias: collected(gates * hidden, rows().map(bias))?,
            recurrent_bias: collected(biases, (0..biases).map(|unit| weights.rb(2, unit)))?,
            peepholes: collected(hidden, (0..hidden).map_while(|unit| weights.peepholes(unit)))?,
        })
    }

    /// The number of gate sums of a step and row.
    pub(super) fn width(&self) -> usize {
        self.bias.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let vectors = [&self.w, &self.r, &self.bias, &self.recurrent_bias].map(|v| size_of_val(v.as_slice()));
        vectors.iter().sum::<usize>() + size_of_val(self.peepholes.as_slice())
    }

    /// One step of some rows: takes the projected sums of their gates and updates their states. `beside` is room for
    /// one more state.
    pub(super) fn step(
        &self,
        gates: &mut [F],
        h: &mut [F],
        c: &mut [F],
        beside: &mut [F],
    ) -> Result<(), Error> {
        match &self.cell {
            Cell::Lstm(cell) => {
                self.add_recurrent(h, 0..self.width() / self.hidden, gates, self.width())?;
                self.lstm(cell, gates, h, c);
            }
            Cell::Gru(cell) => {
                self.add_recurrent(h, 0..2, gates, self.width())?;
                self.reset(cell, gates, h, beside)?;
                self.gru(cell, gates, h, beside);
            }
            Cell::Rnn(cell) => {
                self.add_recurrent(h, 0..1, gates, self.width())?;
                rnn(cell, gates, h);
            }
        }
        Ok(())
    }

    /// Multiplies rows of h, or of r ⊙ h, by R of some gates, and adds the products to `sums`. `gates` counts the
    /// computed gates.
    fn add_recurrent(
        &self,
        factor: &[F],
        gates: Range<usize>,
        sums: &mut [F],
        stride: usize,
    ) -> Result<(), Error> {
        let (hidden, columns) = (self.hidden, gates.len() * self.hidden);
        let r = &self.r[gates.start * hidden * hidden..][..columns * hidden];
        Ok(gemm_bt([factor.len() / hidden, hidden, columns], factor, r, sums, stride)?)
    }

    fn lstm(&self, cell: &LstmCell, gates: &[F], h: &mut [F], c: &mut [F]) {
        let hidden = self.hidden;
        let rows = h.chunks_exact_mut(hidden).zip(c.chunks_exact_mut(hidden));
        for (gates, (h, c)) in gates.chunks_exact(self.width()).zip(rows) {
            for unit in 0..hidden {
                let sum = |place: usize| gates[place * hidden + unit].into();
                let sums = match cell.input_forget {
                    true => [sum(0), sum(1), 0.0, sum(2)],
                    false => [0, 1, 2, 3].map(sum),
                };
                let peepholes = self.peepholes.get(unit).map(|p| p.map(F::into));
                let mut state = c[unit].into();
                h[unit] = F::rounded(reference::lstm(cell, sums, peepholes, &mut state));
                c[unit] = F::rounded(state);
            }
        }
    }

    /// Computes the recurrent product of a GRU's hidden gate. With `linear_before_reset`, the product of h is kept in
    /// `beside`. Otherwise r ⊙ h is in `beside`, and its product is added to the gate's sums.
    fn reset(&self, cell: &GruCell, gates: &mut [F], h: &[F], beside: &mut [F]) -> Result<(), Error> {
        let (hidden, width) = (self.hidden, self.width());
        if cell.linear_before_reset {
            beside.chunks_exact_mut(hidden).for_each(|row| row.copy_from_slice(&self.recurrent_bias));
            return self.add_recurrent(h, 2..3, beside, hidden);
        }
        let states = h.chunks_exact(hidden).zip(beside.chunks_exact_mut(hidden));
        for (gates, (h, beside)) in gates.chunks_exact(width).zip(states) {
            for (unit, beside) in beside.iter_mut().enumerate() {
                let reset = reference::gru_gate(cell, gates[hidden + unit].into());
                *beside = F::rounded(reset * h[unit].into());
            }
        }
        self.add_recurrent(beside, 2..3, &mut gates[2 * hidden..], width)
    }

    fn gru(&self, cell: &GruCell, gates: &[F], h: &mut [F], beside: &[F]) {
        let hidden = self.hidden;
        let states = h.chunks_exact_mut(hidden).zip(beside.chunks_exact(hidden));
        for (gates, (h, beside)) in gates.chunks_exact(self.width()).zip(states) {
            for (unit, h) in h.iter_mut().enumerate() {
                let [z, r, projected] = [0, 1, 2].map(|gate| gates[gate * hidden + unit].into());
                let sum = match cell.linear_before_reset {
                    true => reference::gru_gate(cell, r).fused_mul_add(beside[unit].into(), projected),
                    false => projected,
                };
                *h = F::rounded(reference::gru(cell, reference::gru_gate(cell, z), sum, (*h).into()));
            }
        }
    }
}

fn rnn<F: Number>(cell: &RnnCell, gates: &[F], h: &mut [F]) {
    for (&sum, h) in gates.iter().zip(h) {
        *h = F::rounded(reference::rnn(cell, sum.into()));
    }
}

/// Collects the items into a vector with room for `len`.
fn collected<T>(len: usize, items: impl Iterator<Item = T>) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    let memory = || rnnpack_kernels::Error::Memory { what: "the weights", floats: len };
    reserve(&mut all, len).ok_or_else(memory)?;
    all.extend(items);
    Ok(all)
}
