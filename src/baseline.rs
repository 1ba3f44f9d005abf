//! An unfused LSTM over `matrixmultiply`: what a careful program computes without kernels of its own.
//!
//! The input of all steps is projected by one product, every step adds the product of h, the gates are
//! materialised between product and activation, and the activations are the standard library's. Benches
//! compare with it, and it checks the kernels by a different route; nothing else uses it.

use crate::{Error, LayerWeights, Shape, State};
use rnnpack_kernels::Error::{Extent, Length, Memory, Overflow};
use rnnpack_kernels::{Weights, gemm::sgemm_bt};

/// Gates of an LSTM.
const GATES: usize = 4;

/// The unfused layer. It keeps its gate buffer, so that calls of one size allocate once.
pub struct UnfusedLstm {
    shape: Shape,
    directions: Vec<Matrices>,
    /// `[T, B, 4·H]`
    gates: Vec<f32>,
}

/// One direction, gates in ONNX's order.
struct Matrices {
    /// `[4·H, I]`
    w: Vec<f32>,
    /// `[4·H, H]`
    r: Vec<f32>,
    /// `[4·H]`
    bias: Vec<f32>,
}

impl UnfusedLstm {
    /// Copies the weights into plain matrices.
    pub fn new(weights: &LayerWeights<'_>) -> UnfusedLstm {
        let directions = weights.directions().iter().map(Matrices::new).collect();
        UnfusedLstm { shape: weights.shape(), directions, gates: Vec::new() }
    }

    /// Runs `time` steps over `x`, dense `[T, B, I]`, from and to the given state; `y` is dense `[T, D, B,
    /// H]`.
    ///
    /// # Errors
    /// [`Error::Kernel`] where the state is another layer's, a length disagrees with the shapes or memory
    /// lacks; nothing was written then.
    pub fn forward(&mut self, time: usize, x: &[f32], state: &mut State, y: &mut [f32]) -> Result<(), Error> {
        let Shape { input, hidden, .. } = self.shape;
        let (units, directions) = (state.shape.hidden, state.shape.direction.count());
        extent("the state's hidden size", hidden, units)?;
        extent("the state's directions", self.shape.direction.count(), directions)?;
        let rows = time.checked_mul(state.batch).ok_or(Overflow { what: "T * B" })?;
        check("x", x.len(), rows, input)?;
        check("y", y.len(), rows, self.shape.output())?;
        let gates = rows.checked_mul(GATES * hidden).ok_or(Overflow { what: "gates" })?;
        let memory = |_| Memory { what: "gates", floats: gates };
        self.gates.try_reserve_exact(gates.saturating_sub(self.gates.len())).map_err(memory)?;
        self.gates.resize(gates, 0.0);
        for d in 0..self.directions.len() {
            self.direction(d, [time, state.batch], x, state, y)?;
        }
        Ok(())
    }

    fn direction(
        &mut self,
        d: usize,
        [time, batch]: [usize; 2],
        x: &[f32],
        state: &mut State,
        y: &mut [f32],
    ) -> Result<(), Error> {
        let Shape { input, hidden, direction } = self.shape;
        let (width, slab) = (GATES * hidden, batch * hidden);
        if batch == 0 {
            return Ok(());
        }
        let Matrices { w, r, bias } = &self.directions[d];
        self.gates.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
        sgemm_bt([time * batch, input, width], x, w, &mut self.gates)?;
        let h = &mut state.h[d * slab..][..slab];
        let c = &mut state.c[d * slab..][..slab];
        for s in 0..time {
            let t = if direction.is_reverse(d) { time - 1 - s } else { s };
            let gates = &mut self.gates[t * batch * width..][..batch * width];
            sgemm_bt([batch, hidden, width], h, r, gates)?;
            for (gates, (h, c)) in
                gates.chunks_exact(width).zip(h.chunks_exact_mut(hidden).zip(c.chunks_exact_mut(hidden)))
            {
                cell(gates, h, c);
            }
            y[(t * direction.count() + d) * slab..][..slab].copy_from_slice(h);
        }
        Ok(())
    }
}

impl Matrices {
    fn new(weights: &Weights<'_>) -> Matrices {
        let units = || (0..GATES).flat_map(|gate| (0..weights.hidden()).map(move |unit| (gate, unit)));
        let bias = |(gate, unit)| weights.wb(gate, unit) + weights.rb(gate, unit);
        Matrices {
            w: units().flat_map(|(gate, unit)| weights.w_row(gate, unit)).copied().collect(),
            r: units().flat_map(|(gate, unit)| weights.r_row(gate, unit)).copied().collect(),
            bias: units().map(bias).collect(),
        }
    }
}

/// The cell update of one row, from its gates' sums `[4, H]`.
fn cell(gates: &[f32], h: &mut [f32], c: &mut [f32]) {
    let hidden = h.len();
    let (i, rest) = gates.split_at(hidden);
    let (o, rest) = rest.split_at(hidden);
    let (f, g) = rest.split_at(hidden);
    for unit in 0..hidden {
        c[unit] = sigmoid(f[unit]) * c[unit] + sigmoid(i[unit]) * g[unit].tanh();
        h[unit] = sigmoid(o[unit]) * c[unit].tanh();
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn check(what: &'static str, got: usize, rows: usize, width: usize) -> Result<(), Error> {
    let expected = rows.checked_mul(width).ok_or(Overflow { what })?;
    if got == expected { Ok(()) } else { Err(Length { what, expected, got }.into()) }
}

fn extent(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(Extent { what, expected, got }.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dims, Direction, GateOrder, Layout, View, reference};

    fn values(count: usize, seed: u32) -> Vec<f32> {
        let next = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8;
        (0..count).map(|i| next(i) as f32 / (1u32 << 23) as f32 - 1.0).collect()
    }

    #[test]
    fn agrees_with_the_f64_reference_in_every_direction() {
        let (time, batch, input, hidden) = (5, 3, 4, 6);
        for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
            let shape = Shape { input, hidden, direction };
            let n = direction.count();
            let (w, r) = (values(n * 4 * hidden * input, 1), values(n * 4 * hidden * hidden, 2));
            let b = values(n * 8 * hidden, 3);
            let weights = LayerWeights::new(shape, GateOrder::Onnx, &w, &r, Some(&b)).unwrap();
            let x = values(time * batch * input, 4);
            let mut state = State::zeros(shape, batch).unwrap();
            let mut y = vec![0.0; time * batch * shape.output()];
            UnfusedLstm::new(&weights).forward(time, &x, &mut state, &mut y).unwrap();

            let dims = Dims { time, directions: 1, batch, width: input };
            let view = View::new(&x, dims, Layout::TimeMajor).unwrap();
            for (d, weights) in weights.directions().iter().enumerate() {
                let (mut h, mut c) = (vec![0f64; batch * hidden], vec![0f64; batch * hidden]);
                let reverse = direction.is_reverse(d);
                let expected = reference::lstm(weights, view, None, reverse, &mut h, &mut c).unwrap();
                for (at, e) in expected.iter().enumerate() {
                    let (t, rest) = (at / (batch * hidden), at % (batch * hidden));
                    let got = y[(t * n + d) * batch * hidden + rest];
                    assert!((f64::from(got) - e).abs() < 1e-5, "{direction} d={d} at {at}: {got} {e}");
                }
            }
        }
    }

    #[test]
    fn refuses_lengths_that_disagree() {
        let shape = Shape { input: 2, hidden: 3, direction: Direction::Forward };
        let (w, r) = (values(24, 1), values(36, 2));
        let weights = LayerWeights::new(shape, GateOrder::Onnx, &w, &r, None).unwrap();
        let mut lstm = UnfusedLstm::new(&weights);
        let mut state = State::zeros(shape, 1).unwrap();
        let e = lstm.forward(2, &[0.0; 3], &mut state, &mut [0.0; 6]).unwrap_err();
        assert_eq!(e.to_string(), "x has 3 elements where the shapes call for 4");
    }
}
