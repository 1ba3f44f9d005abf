//! Unfused layers over `matrixmultiply`, of f32 and of f64: every cell with every option in one body.
//!
//! The input of many steps is projected by one product, every step adds the product of h, the gates are materialised
//! between product and activation, and activations are the standard library's.

use crate::rows::Rows;
use crate::sequence::Views;
use crate::{Error, LayerWeights, Sequence, Shape, State};
use rnnpack_kernels::gemm::{GemmElement, gemm_bt};
use rnnpack_kernels::reference::{self, Real};
use rnnpack_kernels::{Cell, Dims, GruCell, LstmCell, RnnCell, View, ViewMut, Weights, zero_padding};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Numbers that a chunk of steps may take, input and projected input together; one step may take more. Large enough for
/// a product of full speed at any usual size, small enough (4 MiB of f64) to be kept by every stream.
const CHUNK: usize = 1 << 19;

/// What an unfused layer computes with: f32 or f64. Cell functions are computed in f64 and rounded.
///
/// The trait is sealed: nothing else implements it.
pub trait Number: GemmElement + Into<f64> + sealed::Number {
    /// The number nearest to `x`.
    fn rounded(x: f64) -> Self;
}

mod sealed {
    pub trait Number {}
    impl Number for f32 {}
    impl Number for f64 {}
}

impl Number for f32 {
    fn rounded(x: f64) -> f32 {
        x as f32
    }
}

impl Number for f64 {
    fn rounded(x: f64) -> f64 {
        x
    }
}

/// An LSTM, GRU or RNN layer of f32 or f64 over the products of `matrixmultiply`, forward, reverse or bidirectional.
///
/// It takes the calls of [`Layer`](crate::Layer) and refuses what that refuses, in the same words. It is outside the
/// promise of one answer: a blocked product adds its terms in an order that depends on the sizes, so that a row's
/// result may depend, in the last bits, on the batch around it and on the chunks of a sequence.
///
/// It is a handle: a clone shares the weights, which never change. One layer serves any number of streams and threads, each
/// with its own [`State`] and [`UnfusedScratch`].
#[derive(Clone)]
pub struct UnfusedLayer<F> {
    shape: Shape,
    directions: Arc<[Matrices<F>]>,
}

/// A layer of doubles: every product by `dgemm`, activations by the standard library.
pub type LayerF64 = UnfusedLayer<f64>;

/// Working memory of [`LayerF64`].
pub type ScratchF64 = UnfusedScratch<f64>;

/// Working memory of [`UnfusedLayer::forward`], for any layer and shape. It grows to the largest call and is then
/// reused. `matrixmultiply` has memory of its own beside it, at most some MiB, which it takes and gives back in every
/// product.
#[derive(Debug, Default)]
pub struct UnfusedScratch<F> {
    /// Batch rows, longest sequence first.
    order: Vec<usize>,
    /// Their lengths.
    lens: Vec<usize>,
    /// As [`Buffers`] divides it.
    numbers: Vec<F>,
}

impl<F: Number> UnfusedLayer<F> {
    /// Copies the weights into plain matrices.
    ///
    /// # Errors
    /// [`Error::Kernel`] where they do not fit into memory.
    pub fn new(weights: &LayerWeights<'_, F>) -> Result<UnfusedLayer<F>, Error> {
        let directions = weights.directions().iter().map(Matrices::new).collect::<Result<_, _>>()?;
        Ok(UnfusedLayer { shape: weights.shape(), directions })
    }

    /// The layer's sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What a step of direction 0 computes; another direction may have other options.
    pub fn cell(&self) -> &Cell {
        &self.directions[0].cell
    }

    /// Bytes of the weights.
    pub fn packed_bytes(&self) -> usize {
        self.directions.iter().map(Matrices::bytes).sum()
    }

    /// A zero state for `batch` rows.
    ///
    /// # Errors
    /// [`Error::Kernel`] where it does not fit into memory.
    pub fn new_state(&self, batch: usize) -> Result<State<F>, Error> {
        State::zeros(self.cell(), self.shape, batch)
    }

    /// Runs the layer over a sequence, on the calling thread whatever threads it may take. The scratch does not grow after a
    /// call of the same size.
    ///
    /// # Errors
    /// Those of [`Layer::forward`](crate::Layer::forward).
    pub fn forward(
        &self,
        sequence: Sequence<'_, F>,
        state: &mut State<F>,
        scratch: &mut UnfusedScratch<F>,
    ) -> Result<(), Error> {
        self.run(sequence.views_of(self.shape, state.batch())?, state, scratch)
    }

    /// Runs one step of every row of the state. `x` is dense `[B, I]`, `y` is dense `[D, B, H]`: the new hidden state.
    ///
    /// # Errors
    /// As [`UnfusedLayer::forward`].
    pub fn step(
        &self,
        x: &[F],
        state: &mut State<F>,
        y: &mut [F],
        scratch: &mut UnfusedScratch<F>,
    ) -> Result<(), Error> {
        self.run(Views::one_step(self.shape, state.batch(), x, y)?, state, scratch)
    }

    fn run(
        &self,
        views: Views<'_, F>,
        state: &mut State<F>,
        scratch: &mut UnfusedScratch<F>,
    ) -> Result<(), Error> {
        let Rows { x, lens, mut y, h, c } = Rows::new(self.cell(), self.shape, views, state)?;
        let Dims { time, batch, .. } = x.dims();
        let buffers = Buffers::new(self.shape, self.widest(), [time, batch])?;
        scratch.prepare(time, batch, lens, buffers)?;
        for (d, ((matrices, h), c)) in self.directions.iter().zip(h).zip(c).enumerate() {
            let mut y = y.as_mut().map(|y| y.reborrow().direction(d));
            if let (Some(y), Some(lens)) = (&mut y, lens) {
                zero_padding(y, lens);
            }
            let reverse = self.shape.direction.is_reverse(d);
            let mut run = Run::new(matrices, x, reverse, scratch, buffers);
            run.load([h, c]);
            run.steps(y)?;
            run.store([h, c]);
        }
        Ok(())
    }

    /// Sums of gates of a step and row, in the direction that has most.
    fn widest(&self) -> usize {
        self.directions.iter().map(Matrices::width).max().unwrap_or(0)
    }
}

impl<F: Number> fmt::Debug for UnfusedLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut layer = f.debug_struct("UnfusedLayer");
        layer.field("cell", self.cell()).field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// The weights of one direction, without gates that are not computed. n is the number of those that are.
struct Matrices<F> {
    cell: Cell,
    input: usize,
    hidden: usize,
    /// `[n·H, I]`
    w: Vec<F>,
    /// `[n·H, H]`
    r: Vec<F>,
    /// What the projected sums start from, `[n·H]`.
    bias: Vec<F>,
    /// What the recurrent sum of a hidden gate starts from that is kept apart from the projected one, `[H]`.
    apart: Vec<F>,
    /// Of each unit; none where there are no peepholes.
    peepholes: Vec<[F; 3]>,
}

impl<F: Number> Matrices<F> {
    fn new(weights: &Weights<'_, F>) -> Result<Matrices<F>, Error> {
        let (cell, input, hidden) = (*weights.cell(), weights.input(), weights.hidden());
        let gates = cell.computed_gates().count();
        let rows =
            || weights.cell().computed_gates().flat_map(|gate| (0..hidden).map(move |unit| (gate, unit)));
        let is_apart = matches!(cell, Cell::Gru(GruCell { linear_before_reset: true, .. }));
        let bias = |(gate, unit)| match weights.wb(gate, unit) {
            wb if is_apart && gate == 2 => wb,
            wb => F::rounded(wb.into() + weights.rb(gate, unit).into()),
        };
        let apart = if is_apart { hidden } else { 0 };
        // No product overflows: the tensors that they count are there.
        Ok(Matrices {
            cell,
            input,
            hidden,
            w: collected(gates * hidden * input, rows().flat_map(|(g, u)| weights.w_row(g, u)).copied())?,
            r: collected(gates * hidden * hidden, rows().flat_map(|(g, u)| weights.r_row(g, u)).copied())?,
            bias: collected(gates * hidden, rows().map(bias))?,
            apart: collected(apart, (0..apart).map(|unit| weights.rb(2, unit)))?,
            peepholes: collected(hidden, (0..hidden).map_while(|unit| weights.peepholes(unit)))?,
        })
    }

    /// Sums of gates of a step and row.
    fn width(&self) -> usize {
        self.bias.len()
    }

    fn bytes(&self) -> usize {
        let vectors = [&self.w, &self.r, &self.bias, &self.apart].map(|v| size_of_val(v.as_slice()));
        vectors.iter().sum::<usize>() + size_of_val(self.peepholes.as_slice())
    }

    /// One step of some rows: from the projected sums of their gates to their states after. `beside` is room for one
    /// state more.
    fn step(&self, gates: &mut [F], h: &mut [F], c: &mut [F], beside: &mut [F]) -> Result<(), Error> {
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

    /// Adds the products of some gates, by their places among those computed, with rows of h or r ⊙ h to `sums`.
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

    /// The recurrent product of a GRU's hidden gate: added to its sums, with r ⊙ h in `beside`; or apart, in `beside`.
    fn reset(&self, cell: &GruCell, gates: &mut [F], h: &[F], beside: &mut [F]) -> Result<(), Error> {
        let (hidden, width) = (self.hidden, self.width());
        if cell.linear_before_reset {
            beside.chunks_exact_mut(hidden).for_each(|row| row.copy_from_slice(&self.apart));
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

/// The items in a vector with room for `len`.
fn collected<T>(len: usize, items: impl Iterator<Item = T>) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    let memory = |_| rnnpack_kernels::Error::Memory { what: "the weights", floats: len };
    all.try_reserve_exact(len).map_err(memory)?;
    all.extend(items);
    Ok(all)
}

/// How the numbers of the scratch are divided: inputs, gates, and three states (h, c and the one beside).
#[derive(Clone, Copy)]
struct Buffers {
    /// Steps whose input is projected together.
    steps: usize,
    /// Inputs of a chunk.
    inputs: usize,
    /// Sums of a chunk.
    gates: usize,
    /// A state of all rows.
    state: usize,
    /// All of it.
    total: usize,
}

impl Buffers {
    fn new(
        Shape { input, hidden, .. }: Shape,
        width: usize,
        [time, batch]: [usize; 2],
    ) -> Result<Buffers, Error> {
        let sizes = || {
            let step = input.checked_add(width)?.checked_mul(batch)?;
            let steps = (CHUNK / step.max(1)).clamp(1, time.max(1));
            let pairs = steps.checked_mul(batch)?;
            let (inputs, gates) = (pairs.checked_mul(input)?, pairs.checked_mul(width)?);
            let state = batch.checked_mul(hidden)?;
            let total = state.checked_mul(3)?.checked_add(inputs)?.checked_add(gates)?;
            Some(Buffers { steps, inputs, gates, state, total })
        };
        Ok(sizes().ok_or(rnnpack_kernels::Error::Overflow { what: "scratch" })?)
    }
}

impl<F: Number> UnfusedScratch<F> {
    /// Empty; memory comes with the first call.
    pub fn new() -> UnfusedScratch<F> {
        UnfusedScratch::default()
    }

    fn prepare(
        &mut self,
        time: usize,
        batch: usize,
        lens: Option<&[i32]>,
        buffers: Buffers,
    ) -> Result<(), Error> {
        let memory = |floats| move |_| rnnpack_kernels::Error::Memory { what: "scratch", floats };
        let more = buffers.total.saturating_sub(self.numbers.len());
        self.numbers.try_reserve_exact(more).map_err(memory(buffers.total))?;
        // What an earlier call left is overwritten before it is read.
        self.numbers.resize(self.numbers.len() + more, F::default());
        for list in [&mut self.order, &mut self.lens] {
            list.clear();
            list.try_reserve_exact(batch).map_err(memory(batch))?;
        }
        self.order.extend(0..batch);
        if let Some(lens) = lens {
            self.order.sort_unstable_by_key(|&b| (std::cmp::Reverse(lens[b]), b));
        }
        self.lens.extend(self.order.iter().map(|&b| lens.map_or(time, |lens| lens[b] as usize)));
        Ok(())
    }
}

/// One direction of a call. Row `i` is batch row `order[i]`; those that are longer than a step come first.
struct Run<'a, F> {
    matrices: &'a Matrices<F>,
    x: View<'a, F>,
    reverse: bool,
    /// Steps whose input is projected together.
    chunk: usize,
    order: &'a [usize],
    /// Descending.
    lens: &'a [usize],
    /// Of the chunk, `[step and row, I]`.
    inputs: &'a mut [F],
    /// Of the chunk, `[step and row, n·H]`.
    gates: &'a mut [F],
    /// `[B, H]`
    h: &'a mut [F],
    /// `[B, H]`
    c: &'a mut [F],
    /// `[B, H]`
    beside: &'a mut [F],
}

impl<'a, F: Number> Run<'a, F> {
    fn new(
        matrices: &'a Matrices<F>,
        x: View<'a, F>,
        reverse: bool,
        scratch: &'a mut UnfusedScratch<F>,
        buffers: Buffers,
    ) -> Run<'a, F> {
        let (inputs, rest) = scratch.numbers.split_at_mut(buffers.inputs);
        let (gates, rest) = rest.split_at_mut(buffers.gates);
        let (h, rest) = rest.split_at_mut(buffers.state);
        let (c, rest) = rest.split_at_mut(buffers.state);
        let beside = &mut rest[..buffers.state];
        let (order, lens, chunk) = (&scratch.order[..], &scratch.lens[..], buffers.steps);
        Run { matrices, x, reverse, chunk, order, lens, inputs, gates, h, c, beside }
    }

    /// Runs all steps of all rows.
    fn steps(&mut self, mut y: Option<ViewMut<'_, F>>) -> Result<(), Error> {
        let (hidden, width) = (self.matrices.hidden, self.matrices.width());
        let longest = self.lens.first().copied().unwrap_or(0);
        for first in (0..longest).step_by(self.chunk) {
            let end = longest.min(first + self.chunk);
            self.project(first..end)?;
            let mut base = 0;
            for step in first..end {
                let rows = self.running(step);
                let states = rows * hidden;
                let gates = &mut self.gates[base * width..][..rows * width];
                let (h, c) = (&mut self.h[..states], &mut self.c[..states]);
                self.matrices.step(gates, h, c, &mut self.beside[..states])?;
                if let Some(y) = &mut y {
                    for (i, h) in self.h[..states].chunks_exact(hidden).enumerate() {
                        y.row_mut(self.time(step, i), 0, self.order[i]).copy_from_slice(h);
                    }
                }
                base += rows;
            }
        }
        Ok(())
    }

    /// The projected sums of the gates, of all rows that run in each of the steps.
    fn project(&mut self, steps: Range<usize>) -> Result<(), Error> {
        let Matrices { input, w, bias, .. } = self.matrices;
        let (input, width) = (*input, bias.len());
        let mut pairs = 0;
        for step in steps {
            for i in 0..self.running(step) {
                let x = self.x.row(self.time(step, i), 0, self.order[i]);
                self.inputs[pairs * input..][..input].copy_from_slice(x);
                self.gates[pairs * width..][..width].copy_from_slice(bias);
                pairs += 1;
            }
        }
        let (inputs, gates) = (&self.inputs[..pairs * input], &mut self.gates[..pairs * width]);
        Ok(gemm_bt([pairs, input, width], inputs, w, gates, width)?)
    }

    /// Rows whose sequences are longer than `step`.
    fn running(&self, step: usize) -> usize {
        self.lens.partition_point(|&len| len > step)
    }

    /// The time of row `i` at a step of its sequence.
    fn time(&self, step: usize, i: usize) -> usize {
        if self.reverse { self.lens[i] - 1 - step } else { step }
    }

    /// Takes over the caller's h and c, `[B, H]`; c is empty where the cell has none.
    fn load(&mut self, from: [&[F]; 2]) {
        let hidden = self.matrices.hidden;
        for (to, from) in [&mut *self.h, &mut *self.c].into_iter().zip(from) {
            for (to, &b) in to.chunks_exact_mut(hidden).zip(self.order) {
                if let Some(from) = from.chunks_exact(hidden).nth(b) {
                    to.copy_from_slice(from);
                }
            }
        }
    }

    /// Hands h and c back.
    fn store(&self, to: [&mut [F]; 2]) {
        let hidden = self.matrices.hidden;
        for (from, to) in [&*self.h, &*self.c].into_iter().zip(to) {
            for (from, &b) in from.chunks_exact(hidden).zip(self.order) {
                if let Some(to) = to.chunks_exact_mut(hidden).nth(b) {
                    to.copy_from_slice(from);
                }
            }
        }
    }
}
