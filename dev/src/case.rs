//! Layers with made-up contents, calls of these layers, and the references for the results.

use crate::bound::Bounded;
use crate::numbers::Numbers;
use rnnpack::compare::within;
use rnnpack::reference::{self, Real};
use rnnpack::{
    Cell, Dims, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Layout, Planner, Scratch, Sequence,
    Shape, State, Variant, View, WeightType,
};

/// A layer and a call of it: everything that the result depends on.
#[derive(Clone, Debug)]
pub struct Case {
    /// The cells of direction 0 and, if it exists, direction 1. Both are of the same operator.
    pub cells: [Cell; 2],
    /// The layer's sizes.
    pub shape: Shape,
    /// Steps T.
    pub time: usize,
    /// Batch rows B.
    pub batch: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether an LSTM has peepholes.
    pub peepholes: bool,
    /// Whether the initial state is not zero.
    pub initial: bool,
    /// Lengths of the rows, if they differ.
    pub lens: Option<Vec<i32>>,
    /// The size of the pre-activations. Small values stay in the linear part of the activations, large ones saturate.
    pub scale: f32,
    /// The type of W and R.
    pub weights: WeightType,
    /// The seed of the contents.
    pub seed: u64,
}

impl Case {
    /// A dense call of one cell in every direction, with bias and initial state.
    pub fn new(cell: Cell, shape: Shape, time: usize, batch: usize, seed: u64) -> Case {
        let (cells, bias, peepholes, initial, lens, scale) = ([cell; 2], true, false, true, None, 1.0);
        let weights = WeightType::F32;
        Case { cells, shape, time, batch, bias, peepholes, initial, lens, scale, weights, seed }
    }

    /// The made-up weights, input and initial state.
    pub fn contents(&self) -> Contents {
        let Shape { input, hidden, direction } = self.shape;
        let (d, [cell, _]) = (direction.count(), self.cells);
        let rows = d * cell.gates() * hidden;
        let mut numbers = Numbers(self.seed);
        let weight = self.scale / ((input + hidden) as f32).sqrt();
        let w = numbers.scaled(rows * input, weight);
        let r = numbers.scaled(rows * hidden, weight);
        let b = self.bias.then(|| numbers.scaled(2 * rows, self.scale / 2.0));
        let x = numbers.scaled(self.time * self.batch * input, 2.0);
        let states = d * self.batch * hidden;
        let cells = if cell.has_cell_state() { states } else { 0 };
        let (h, c) = match self.initial {
            true => (numbers.scaled(states, 1.0), numbers.scaled(cells, 3.0)),
            false => (vec![0.0; states], vec![0.0; cells]),
        };
        let peepholes = self.peepholes && cell.has_cell_state();
        let p = peepholes.then(|| numbers.scaled(3 * d * hidden, self.scale / 2.0));
        let Case { cells, shape, weights, .. } = *self;
        Contents { cells, shape, weights, w, r, b, p, x, h, c }
    }

    /// The dimensions of x.
    pub fn x_dims(&self) -> Dims {
        Dims { time: self.time, directions: 1, batch: self.batch, width: self.shape.input }
    }

    /// The dimensions of y.
    pub fn y_dims(&self) -> Dims {
        let directions = self.shape.direction.count();
        Dims { time: self.time, directions, batch: self.batch, width: self.shape.hidden }
    }
}

/// Weights in ONNX's order, x dense `[T, B, I]`, and the initial state `[D, B, H]`.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The cells of each direction.
    pub cells: [Cell; 2],
    /// The layer's sizes.
    pub shape: Shape,
    /// The type of W and R.
    pub weights: WeightType,
    /// `W`.
    pub w: Vec<f32>,
    /// `R`.
    pub r: Vec<f32>,
    /// `B`.
    pub b: Option<Vec<f32>>,
    /// `P`.
    pub p: Option<Vec<f32>>,
    /// The input.
    pub x: Vec<f32>,
    /// The initial h.
    pub h: Vec<f32>,
    /// The initial c; empty if the cell has no cell state.
    pub c: Vec<f32>,
}

impl Contents {
    /// The checked weights.
    pub fn weights(&self) -> LayerWeights<'_> {
        let cells = &self.cells[..self.shape.direction.count()];
        let weights = LayerWeights::per_direction(cells, self.shape, GateOrder::Onnx, self.tensors());
        weights.unwrap().with_type(self.weights).unwrap()
    }

    /// The tensors.
    pub fn tensors(&self) -> LayerTensors<'_> {
        LayerTensors { w: &self.w, r: &self.r, b: self.b.as_deref(), p: self.p.as_deref() }
    }

    /// The layer, packed for an instruction set.
    pub fn layer(&self, variant: Variant) -> Layer {
        layer(variant, &self.weights())
    }

    /// A state of `layer` that holds the initial state.
    pub fn state(&self, layer: &Layer, batch: usize) -> State {
        let mut state = layer.new_state(batch).unwrap();
        state.h_mut().copy_from_slice(&self.h);
        state.c_mut().copy_from_slice(&self.c);
        state
    }
}

/// The layer, packed for this instruction set.
pub fn layer(variant: Variant, weights: &LayerWeights<'_>) -> Layer {
    let plan = Planner::for_isa(variant.name()).unwrap().plan(weights.cell(), weights.shape());
    assert_eq!(plan.variant.name(), variant.name());
    Layer::with_plan(weights, plan).unwrap()
}

/// The bytes as a program embeds them: on a 64-byte boundary, and never freed. With `off` they start that many bytes
/// after the boundary.
pub fn embedded(bytes: &[u8], off: usize) -> &'static [u8] {
    let memory = vec![0; bytes.len() + 64 + off].leak();
    let start = memory.as_ptr().align_offset(64) + off;
    memory[start..][..bytes.len()].copy_from_slice(bytes);
    &memory[start..][..bytes.len()]
}

/// Results of a call: Y dense `[T, D, B, H]`, final h and c `[D, B, H]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output<F> {
    /// Y.
    pub y: Vec<F>,
    /// The final h.
    pub h: Vec<F>,
    /// The final c.
    pub c: Vec<F>,
}

impl<F> Output<F> {
    fn tensors(&self) -> [(&'static str, &[F]); 3] {
        [("Y", &self.y), ("Y_h", &self.h), ("Y_c", &self.c)]
    }

    /// Pairs the tensors of both outputs.
    ///
    /// # Errors
    /// The name of a tensor whose lengths differ.
    fn beside<'a, G>(&'a self, other: &'a Output<G>) -> Result<Vec<Pair<'a, F, G>>, String> {
        let pairs = self.tensors().into_iter().zip(other.tensors());
        let same_length =
            |((name, a), (_, b)): ((&'static str, &'a [F]), (_, &'a [G]))| match a.len() == b.len() {
                true => Ok((name, a, b)),
                false => Err(format!("{name} has {} elements, expected {}", a.len(), b.len())),
            };
        pairs.map(same_length).collect()
    }
}

type Pair<'a, F, G> = (&'static str, &'a [F], &'a [G]);

impl Output<f32> {
    /// The results of a call.
    pub fn new(y: Vec<f32>, state: &State) -> Output<f32> {
        Output { y, h: state.h().to_vec(), c: state.c().to_vec() }
    }

    /// An error that names the first element whose bits differ.
    pub fn difference(&self, other: &Output<f32>) -> Result<(), String> {
        for (name, a, b) in self.beside(other)? {
            if let Some(i) = (0..a.len()).find(|&i| !agree(a[i], b[i])) {
                return Err(format!("{name}[{i}] is {:e}, expected {:e}", a[i], b[i]));
            }
        }
        Ok(())
    }

    /// Checks that every element is within its bound, if it has one. Returns the largest error, and the largest error
    /// relative to its bound.
    pub fn within<const FUSED: bool>(&self, bounds: &Output<Bounded<FUSED>>) -> Result<[f64; 2], String> {
        let mut largest = [0.0f64; 2];
        for (name, values, bounds) in self.beside(bounds)? {
            let exact: Vec<f64> = bounds.iter().map(|bound| bound.value).collect();
            within(values, &exact, |i| bounds[i].error).map_err(|e| format!("{name}: {e}"))?;
            for (&value, bound) in values.iter().zip(bounds).filter(|(_, bound)| bound.error.is_finite()) {
                let error = (f64::from(value) - bound.value).abs();
                largest[0] = largest[0].max(error);
                largest[1] = largest[1].max(if error > 0.0 { error / bound.error } else { 0.0 });
            }
        }
        Ok(largest)
    }
}

/// Whether the bits are equal, or both values are NaN. The payload of a NaN is not promised. But one value may not be
/// the sentinel if the other is not, so that an unwritten element is found.
pub fn agree(a: f32, b: f32) -> bool {
    let left = |x: f32| x.to_bits() == SENTINEL.to_bits();
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() && left(a) == left(b)
}

/// The naive reference, direction by direction.
pub fn expected<F: Real + From<f32>>(case: &Case, contents: &Contents) -> Output<F> {
    expected_of(case, contents, &contents.weights())
}

/// [`expected`], for the contents' weights with other options.
pub fn expected_of<F: Real + From<f32>>(
    case: &Case,
    contents: &Contents,
    weights: &LayerWeights<'_>,
) -> Output<F> {
    let x = View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap();
    let convert = |v: &[f32]| v.iter().map(|&v| F::from_f32(v)).collect::<Vec<F>>();
    let (mut h, mut c) = (convert(&contents.h), convert(&contents.c));
    let Dims { time, directions, batch, width } = case.y_dims();
    let rows = batch * width;
    let cells = if c.is_empty() { 0 } else { rows };
    let mut y = vec![F::ZERO; time * directions * rows];
    for (d, weights) in weights.directions().iter().enumerate() {
        let reverse = d == 1 || case.shape.direction == Direction::Reverse;
        let (h, c) = (&mut h[d * rows..][..rows], &mut c[d * cells..][..cells]);
        let of_direction = reference::forward(weights, x, case.lens.as_deref(), reverse, h, c).unwrap();
        for t in 0..time {
            y[(t * directions + d) * rows..][..rows].copy_from_slice(&of_direction[t * rows..][..rows]);
        }
    }
    Output { y, h, c }
}

/// Runs a call over dense time-major tensors, with a new scratch.
pub fn run(layer: &Layer, case: &Case, contents: &Contents) -> Output<f32> {
    run_with(layer, case, contents, &mut Scratch::new())
}

/// [`run`], with the caller's scratch.
pub fn run_with(layer: &Layer, case: &Case, contents: &Contents, scratch: &mut Scratch) -> Output<f32> {
    let mut state = contents.state(layer, case.batch);
    let mut y = vec![SENTINEL; case.y_dims().checked_len().unwrap()];
    let sequence = Sequence::dense(&contents.x, &mut y).optional_lens(case.lens.as_deref());
    layer.forward(sequence, &mut state, scratch).unwrap();
    Output::new(y, &state)
}

/// The contents of outputs before a call: a NaN that no kernel makes. Elements that the call must not write still
/// hold it afterwards.
pub const SENTINEL: f32 = f32::from_bits(0x7fc0_5e27);
