//! `DynamicQuantizeLSTM` in ONNX Runtime's arithmetic, to tell it from that of this project.

use rnnpack::{
    Cell, Dims, Error, KernelError, LayerWeights, LstmCell, Scale, Shape, State, View, ViewMut, WeightType,
    reference,
};

/// An LSTM with weights of int8 in ONNX Runtime's arithmetic, as it computes on one thread.
///
/// The difference from a [`Layer`](rnnpack::Layer) is which numbers share a scale. A layer quantizes each row of x and h on
/// its own. ONNX Runtime quantizes x once, all steps and all rows of the batch together, and at each step the h of all
/// rows:
///
/// ```text
/// low, high = the smallest and the largest number, widened to hold 0
/// scale = (high - low) / 255, or 1 if that is 0        zero point = round(-low / scale)
/// integer = round(number / scale) + zero point, at least 0 and at most 255
/// ```
///
/// `round` is to the nearest integer, ties to even. So the result for a row depends on the other rows of the batch, on the
/// number of steps in a call, and, with more threads, on how they divide the batch.
///
/// The cell is the standard's, with the activation functions of rnnpack. Those of ONNX Runtime differ from them by some
/// units in the last place, and where this changes the integer of an h, the results differ by more.
///
/// It is written to be read, not to be fast.
#[derive(Debug, Clone)]
pub struct OnnxRuntimeLstm {
    shape: Shape,
    directions: Vec<DirectionWeights>,
}

/// The weights of a direction.
#[derive(Debug, Clone)]
struct DirectionWeights {
    cell: LstmCell,
    w: Matrix,
    r: Matrix,
    /// The sum of both biases, `[4·H]`.
    bias: Vec<f32>,
    /// The peepholes of each unit, `[H]`, if there are any.
    peepholes: Option<Vec<[f32; 3]>>,
}

/// Rows of integers, without their zero point, and the scale of each row.
#[derive(Debug, Clone)]
struct Matrix {
    columns: usize,
    integers: Vec<i16>,
    scales: Vec<f32>,
}

/// Rows of x or h as integers, without their zero point.
struct Factors {
    scale: f32,
    integers: Vec<i16>,
}

impl OnnxRuntimeLstm {
    /// Takes the weights of an LSTM of int8. `None` for another cell or another type.
    pub fn new(weights: &LayerWeights<'_>) -> Option<OnnxRuntimeLstm> {
        if weights.weight_type() != WeightType::I8 {
            return None;
        }
        let shape @ Shape { input, hidden, .. } = weights.shape();
        let mut directions = Vec::new();
        for weights in weights.directions() {
            let &Cell::Lstm(cell) = weights.cell() else { return None };
            let places = || (0..4).flat_map(|gate| (0..hidden).map(move |unit| (gate, unit)));
            let w = places().map(|(gate, unit)| (weights.w_scale(gate, unit), weights.w_row(gate, unit)));
            let r = places().map(|(gate, unit)| (weights.r_scale(gate, unit), weights.r_row(gate, unit)));
            directions.push(DirectionWeights {
                cell,
                w: Matrix::new(input, w),
                r: Matrix::new(hidden, r),
                bias: places().map(|(gate, unit)| weights.wb(gate, unit) + weights.rb(gate, unit)).collect(),
                peepholes: (0..hidden).map(|unit| weights.peepholes(unit)).collect(),
            });
        }
        Some(OnnxRuntimeLstm { shape, directions })
    }

    /// The layer's sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The cell of direction 0.
    pub fn cell(&self) -> Cell {
        Cell::Lstm(self.directions[0].cell)
    }

    /// Runs over x `[T, 1, B, I]` and writes y `[T, D, B, H]`. `state` has the initial states and gets the final ones.
    /// `lens` are as ONNX's `sequence_lens`.
    ///
    /// Without y, ONNX Runtime goes on to quantize the h of a row that has ended, and so does this.
    ///
    /// # Errors
    /// [`Error::Kernel`] names an extent or a length that is wrong.
    pub fn forward(
        &self,
        x: View<'_>,
        lens: Option<&[i32]>,
        mut y: Option<ViewMut<'_>>,
        state: &mut State,
    ) -> Result<(), Error> {
        let lens = self.check(x.dims(), lens, y.as_ref().map(ViewMut::dims), state)?;
        let (batch, hidden) = (x.dims().batch, self.shape.hidden);
        for (d, weights) in self.directions.iter().enumerate() {
            let at = d * batch * hidden..(d + 1) * batch * hidden;
            let mut h = state.h()[at.clone()].to_vec();
            let mut c = state.c()[at.clone()].to_vec();
            let sequences = Sequences { x, lens: &lens, reverse: self.shape.direction.is_reverse(d) };
            weights.run(sequences, [&mut h, &mut c], y.as_mut().map(|y| (y, d)));
            state.h_mut()[at.clone()].copy_from_slice(&h);
            state.c_mut()[at].copy_from_slice(&c);
        }
        Ok(())
    }

    /// Checks a call. Returns the length of each row's sequence.
    fn check(
        &self,
        x: Dims,
        lens: Option<&[i32]>,
        y: Option<Dims>,
        state: &State,
    ) -> Result<Vec<usize>, Error> {
        let Shape { input, hidden, direction } = self.shape;
        let Dims { time, batch, .. } = x;
        let of_y = y.unwrap_or(Dims { time, directions: direction.count(), batch, width: hidden });
        for (what, expected, got) in [
            ("X directions", 1, x.directions),
            ("X input size", input, x.width),
            ("the batch of the state", batch, state.batch()),
            ("Y time", time, of_y.time),
            ("Y directions", direction.count(), of_y.directions),
            ("Y batch", batch, of_y.batch),
            ("Y width", hidden, of_y.width),
            ("the number of sequence_lens", batch, lens.map_or(batch, <[i32]>::len)),
            ("the size of h", direction.count() * batch * hidden, state.h().len()),
            ("the size of c", direction.count() * batch * hidden, state.c().len()),
        ] {
            if expected != got {
                return Err(KernelError::Extent { what, expected, got }.into());
            }
        }
        let Some(lens) = lens else { return Ok(vec![time; batch]) };
        let one = |(row, &len): (usize, &i32)| match usize::try_from(len) {
            Ok(steps) if steps <= time => Ok(steps),
            _ => Err(KernelError::SequenceLength { row, len, time }.into()),
        };
        lens.iter().enumerate().map(one).collect()
    }
}

/// The sequences of a direction.
#[derive(Clone, Copy)]
struct Sequences<'a> {
    x: View<'a>,
    lens: &'a [usize],
    reverse: bool,
}

impl DirectionWeights {
    /// Runs all steps. `h` and `c` are `[B, H]`. y comes with the index of the direction.
    fn run(
        &self,
        Sequences { x, lens, reverse }: Sequences<'_>,
        [h, c]: [&mut [f32]; 2],
        mut y: Option<(&mut ViewMut<'_>, usize)>,
    ) {
        let hidden = self.bias.len() / 4;
        let Dims { time, batch, .. } = x.dims();
        let steps = lens.iter().copied().max().unwrap_or(0);
        let all = (0..steps).flat_map(|t| (0..batch).flat_map(move |b| x.row(t, 0, b)));
        let inputs = Factors::new(all.copied());
        // What ONNX Runtime takes for the states before: zeros for a row that has ended, if there is a y.
        let mut before = h.to_vec();
        for step in 0..steps {
            let states = Factors::new(before.iter().copied());
            for (b, &len) in lens.iter().enumerate() {
                let at = b * hidden..(b + 1) * hidden;
                if step >= len {
                    if y.is_some() {
                        before[at].fill(0.0);
                    }
                    continue;
                }
                let t = if reverse { len - 1 - step } else { step };
                let (h, c) = (&mut h[at.clone()], &mut c[at.clone()]);
                self.step([(&inputs, t * batch + b), (&states, b)], h, c);
                before[at].copy_from_slice(h);
                if let Some((y, d)) = &mut y {
                    y.row_mut(t, *d, b).copy_from_slice(h);
                }
            }
        }
        let Some((y, d)) = y else { return };
        for (b, &len) in lens.iter().enumerate() {
            (len..time).for_each(|t| y.row_mut(t, d, b).fill(0.0));
        }
    }

    /// A step of one row. The factors come with the index of the row.
    fn step(&self, [(inputs, x), (states, before)]: [(&Factors, usize); 2], h: &mut [f32], c: &mut [f32]) {
        let hidden = h.len();
        for unit in 0..hidden {
            let sums = [0, 1, 2, 3].map(|gate| {
                let row = gate * hidden + unit;
                self.w.product(row, inputs, x) + self.r.product(row, states, before) + self.bias[row]
            });
            let peepholes = self.peepholes.as_ref().map(|p| p[unit]);
            h[unit] = reference::lstm(&self.cell, sums, peepholes, &mut c[unit]);
        }
    }
}

impl Matrix {
    fn new<'a>(columns: usize, rows: impl Iterator<Item = (Scale, &'a [f32])>) -> Matrix {
        let (mut integers, mut scales) = (Vec::new(), Vec::new());
        for (scale, row) in rows {
            let integer = |&weight: &f32| (scale.integer(weight) - scale.zero_point) as i16;
            integers.extend(row.iter().map(integer));
            scales.push(scale.scale);
        }
        Matrix { columns, integers, scales }
    }

    /// The product of a row and row `of` of the factors. The sum fits: a layer of more columns is refused.
    fn product(&self, row: usize, factors: &Factors, of: usize) -> f32 {
        let [weights, factors_of] = [(&self.integers, row), (&factors.integers, of)]
            .map(|(integers, row)| &integers[row * self.columns..][..self.columns]);
        let products = weights.iter().zip(factors_of).map(|(&w, &x)| i32::from(w) * i32::from(x));
        products.sum::<i32>() as f32 * (factors.scale * self.scales[row])
    }
}

impl Factors {
    /// Quantizes numbers together. With a NaN or an infinity among them, all products are NaN.
    fn new(numbers: impl Iterator<Item = f32> + Clone) -> Factors {
        if numbers.clone().any(|number| !number.is_finite()) {
            return Factors { scale: f32::NAN, integers: vec![0; numbers.count()] };
        }
        let (low, high) =
            numbers.clone().fold((0f32, 0f32), |(low, high), number| (low.min(number), high.max(number)));
        let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
        let zero_point = (-low / scale).clamp(0.0, 255.0).round_ties_even();
        let integer = |number: f32| {
            let integer = ((number / scale).round_ties_even() + zero_point).clamp(0.0, 255.0);
            (integer - zero_point) as i16
        };
        Factors { scale, integers: numbers.map(integer).collect() }
    }
}
