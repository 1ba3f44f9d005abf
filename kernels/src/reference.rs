//! The naive references: they define what a layer computes, in plain loops.
//!
//! One body serves all arithmetics. In `f32` it performs the same operations in the same order as the kernels, so the
//! results must be equal bit for bit. In [`Flushed`] it does the same for layers that flush subnormals. In `f64` it measures accuracy, and computes the layers in double precision.
//! [`Cell`] has the equations.

mod real;

pub use real::{Flushed, IntegerRow, Real};

use crate::activation::Activation;
use crate::cell::{Cell, GruCell, LstmCell, RnnCell};
use crate::checks::check_inputs;
use crate::element::Element;
use crate::environment;
use crate::error::Error;
use crate::integers::Scale;
use crate::memory::reserve;
use crate::subnormals::Subnormals;
use crate::view::{Dims, View};
use crate::weight_type::WeightType;
use crate::weights::Weights;
use alloc::vec::Vec;

/// Runs one direction over `x` `[T, 1, B, I]` and returns Y, dense `[T, B, H]`.
///
/// `h` and `c` are `[B, H]`: the initial state before the call, the final state after it. `c` is empty if the cell has
/// no cell state. Rows of Y at and beyond a sequence's length are zero. With `reverse`, every sequence is read from its
/// own last step to its first.
///
/// # Errors
/// As [`crate::forward`]. [`Error::Overflow`] and [`Error::Memory`] if Y does not fit into memory.
pub fn forward<E: Element, F: Real + From<E>>(
    weights: &Weights<'_, E>,
    x: View<'_, E>,
    lens: Option<&[i32]>,
    reverse: bool,
    h: &mut [F],
    c: &mut [F],
) -> Result<Vec<F>, Error> {
    let Dims { time, batch, .. } = x.dims();
    let hidden = weights.hidden();
    check_inputs(weights.cell(), weights.sizes(), x, lens, [h.len(), c.len()])?;
    let what = "Y of the reference";
    let floats = time.checked_mul(batch).and_then(|rows| rows.checked_mul(hidden));
    let floats = floats.ok_or(Error::Overflow { what })?;
    let mut y = Vec::new();
    reserve(&mut y, floats).ok_or(Error::Memory { what, floats })?;
    y.resize(floats, F::ZERO);
    environment::within(Subnormals::Keep, || run(weights, x, lens, reverse, [h, c], &mut y));
    Ok(y)
}

/// Runs all rows of a checked call.
fn run<E: Element, F: Real + From<E>>(
    weights: &Weights<'_, E>,
    x: View<'_, E>,
    lens: Option<&[i32]>,
    reverse: bool,
    [h, c]: [&mut [F]; 2],
    y: &mut [F],
) {
    let Dims { time, batch, .. } = x.dims();
    let hidden = weights.hidden();
    let states = if weights.cell().has_cell_state() { hidden } else { 0 };
    for b in 0..batch {
        let len = lens.map_or(time, |l| l[b] as usize);
        let (h, c) = (&mut h[b * hidden..][..hidden], &mut c[b * states..][..states]);
        for s in 0..len {
            let t = if reverse { len - 1 - s } else { s };
            step(weights, x.row(t, 0, b), h, c);
            y[(t * batch + b) * hidden..][..hidden].copy_from_slice(h);
        }
    }
}

/// A row of x or h, as factors of the weights.
struct FactorRow<F: Real> {
    elements: Vec<F>,
    /// For int8 weights.
    integers: Option<F::Row>,
}

impl<F: Real> FactorRow<F> {
    fn new<E: Element>(weights: &Weights<'_, E>, elements: Vec<F>) -> FactorRow<F> {
        let (mut elements, mut integers) = (elements, None);
        match weights.weight_type() {
            WeightType::I8 => integers = Some(F::row(&elements)),
            WeightType::Bf16Dot => elements.iter_mut().for_each(|element| *element = element.to_bf16()),
            WeightType::F32 | WeightType::Bf16 | WeightType::F16 => {}
        }
        FactorRow { elements, integers }
    }

    /// `sum` and the products of a row of weights: one fused multiply-add for each k, or the sum of the integers.
    fn add<E: Element>(&self, sum: F, scale: impl FnOnce() -> Scale, weights: impl Iterator<Item = E>) -> F
    where
        F: From<E>,
    {
        match &self.integers {
            None => weights.zip(&self.elements).fold(sum, |sum, (w, &x)| x.fused_mul_add(F::from(w), sum)),
            Some(row) => {
                let scale = scale();
                F::add_integers(sum, row, scale, weights.map(|weight| scale.integer(weight.to_f32())))
            }
        }
    }
}

fn step<E: Element, F: Real + From<E>>(weights: &Weights<'_, E>, x: &[E], h: &mut [F], c: &mut [F]) {
    let before = FactorRow::new(weights, h.to_vec());
    let x = FactorRow::new(weights, x.iter().map(|&x| F::from(x)).collect());
    let sum = |gate, unit| recurrent(weights, gate, unit, input(weights, gate, unit, &x, true), &before);
    match weights.cell() {
        Cell::Lstm(cell) => {
            for unit in 0..h.len() {
                let peepholes = weights.peepholes(unit).map(|p| p.map(F::from));
                h[unit] = lstm(cell, [0, 1, 2, 3].map(|gate| sum(gate, unit)), peepholes, &mut c[unit]);
            }
        }
        Cell::Gru(cell) if cell.linear_before_reset => {
            for (unit, h) in h.iter_mut().enumerate() {
                let hidden = recurrent(weights, 2, unit, F::from(weights.rb(2, unit)), &before);
                let projected = input(weights, 2, unit, &x, false);
                let [z, r] = [0, 1].map(|gate| gru_gate(cell, sum(gate, unit)));
                *h = gru(cell, z, r.fused_mul_add(hidden, projected), before.elements[unit]);
            }
        }
        Cell::Gru(cell) => {
            let units = 0..h.len();
            let reset = |unit: usize| gru_gate(cell, sum(1, unit)).times(before.elements[unit]);
            let reset = FactorRow::new(weights, units.clone().map(reset).collect());
            for unit in units {
                let hidden = recurrent(weights, 2, unit, input(weights, 2, unit, &x, true), &reset);
                h[unit] = gru(cell, gru_gate(cell, sum(0, unit)), hidden, before.elements[unit]);
            }
        }
        Cell::Rnn(cell) => h.iter_mut().enumerate().for_each(|(unit, h)| *h = rnn(cell, sum(0, unit))),
    }
}

/// The first part of a sum. It starts with the gate's bias (that of W; with `both`, plus that of R) and adds the products of
/// x in ascending k.
fn input<E: Element, F: Real + From<E>>(
    weights: &Weights<'_, E>,
    gate: usize,
    unit: usize,
    x: &FactorRow<F>,
    both: bool,
) -> F {
    let wb = F::from(weights.wb(gate, unit));
    let bias = if both { wb.plus(F::from(weights.rb(gate, unit))) } else { wb };
    x.add(bias, || weights.w_scale(gate, unit), weights.stored_w(gate, unit))
}

/// The second part: it adds the products of h to `sum`, in ascending k.
fn recurrent<E: Element, F: Real + From<E>>(
    weights: &Weights<'_, E>,
    gate: usize,
    unit: usize,
    sum: F,
    h: &FactorRow<F>,
) -> F {
    h.add(sum, || weights.r_scale(gate, unit), weights.stored_r(gate, unit))
}

fn activated<F: Real>(clip: Option<f32>, activation: Activation, x: F) -> F {
    clip.map_or(x, |limit| x.clipped(limit)).activated(activation)
}

/// The LSTM's hidden state from the sums of its gates `[i, o, f, c]`. `c` holds the cell state and is updated.
pub fn lstm<F: Real>(cell: &LstmCell, [i, o, f, g]: [F; 4], peepholes: Option<[F; 3]>, c: &mut F) -> F {
    let [gate, candidate, output] = cell.activations;
    let activated = |activation, x| activated(cell.clip, activation, x);
    let peep = |at: usize, sum: F, c: F| peepholes.map_or(sum, |p| p[at].fused_mul_add(c, sum));
    let input = activated(gate, peep(0, i, *c));
    let forget = match cell.input_forget {
        true => F::from_f32(1.0).minus(input),
        false => activated(gate, peep(2, f, *c)),
    };
    *c = forget.fused_mul_add(*c, input.times(activated(candidate, g)));
    activated(gate, peep(1, o, *c)).times(activated(output, *c))
}

/// A GRU's update or reset gate from its sum.
pub fn gru_gate<F: Real>(cell: &GruCell, sum: F) -> F {
    activated(cell.clip, cell.activations[0], sum)
}

/// The GRU's hidden state from its update gate, the sum of its hidden gate and the previous hidden state.
pub fn gru<F: Real>(cell: &GruCell, z: F, hidden: F, before: F) -> F {
    let candidate = activated(cell.clip, cell.activations[1], hidden);
    z.fused_mul_add(before, F::from_f32(1.0).minus(z).times(candidate))
}

/// The RNN's hidden state from the sum of its gate.
pub fn rnn<F: Real>(cell: &RnnCell, sum: F) -> F {
    activated(cell.clip, cell.activation, sum)
}
