//! What the tests and benches share: layers with made-up contents, their placement in memory, and the references.
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub(crate) mod bound;

use bound::Bounded;
use rnnpack::reference::{self, Real};
use rnnpack::{
    Cell, Dims, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Layout, Planner, Scratch, Sequence,
    Shape, State, Strides, Variant, View, ViewMut,
};

/// A reproducible stream of numbers (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in ±`scale`; one in sixteen is a zero of either sign, a subnormal or `scale` itself.
    pub(crate) fn floats(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let special = [0.0, -0.0, 1e-41, -1e-41, scale];
        (0..count)
            .map(|_| match self.next() {
                bits if bits.is_multiple_of(16) => special[(bits >> 8) as usize % special.len()],
                bits => ((bits >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale,
            })
            .collect()
    }
}

/// A layer and a call of it: everything that its result depends on.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) shape: Shape,
    pub(crate) time: usize,
    pub(crate) batch: usize,
    pub(crate) bias: bool,
    pub(crate) initial: bool,
    pub(crate) lens: Option<Vec<i32>>,
    /// How large pre-activations get: small values stay in the linear part of the activations, large ones saturate.
    pub(crate) scale: f32,
    pub(crate) seed: u64,
}

impl Case {
    pub(crate) fn new(shape: Shape, time: usize, batch: usize, seed: u64) -> Case {
        Case { shape, time, batch, bias: true, initial: true, lens: None, scale: 1.0, seed }
    }

    pub(crate) fn contents(&self) -> Contents {
        let Shape { input, hidden, .. } = self.shape;
        let d = self.shape.direction.count();
        let mut numbers = Numbers(self.seed);
        let weight = self.scale / ((input + hidden) as f32).sqrt();
        let w = numbers.floats(d * 4 * hidden * input, weight);
        let r = numbers.floats(d * 4 * hidden * hidden, weight);
        let b = self.bias.then(|| numbers.floats(d * 8 * hidden, self.scale / 2.0));
        let x = numbers.floats(self.time * self.batch * input, 2.0);
        let states = d * self.batch * hidden;
        let (h, c) = match self.initial {
            true => (numbers.floats(states, 1.0), numbers.floats(states, 3.0)),
            false => (vec![0.0; states], vec![0.0; states]),
        };
        Contents { shape: self.shape, w, r, b, x, h, c }
    }

    pub(crate) fn x_dims(&self) -> Dims {
        Dims { time: self.time, directions: 1, batch: self.batch, width: self.shape.input }
    }

    pub(crate) fn y_dims(&self) -> Dims {
        let directions = self.shape.direction.count();
        Dims { time: self.time, directions, batch: self.batch, width: self.shape.hidden }
    }
}

/// Weights in ONNX's order, x dense `[T, B, I]`, and the initial state `[D, B, H]`.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub(crate) shape: Shape,
    pub(crate) w: Vec<f32>,
    pub(crate) r: Vec<f32>,
    pub(crate) b: Option<Vec<f32>>,
    pub(crate) x: Vec<f32>,
    pub(crate) h: Vec<f32>,
    pub(crate) c: Vec<f32>,
}

impl Contents {
    pub(crate) fn weights(&self) -> LayerWeights<'_> {
        let tensors = LayerTensors { w: &self.w, r: &self.r, b: self.b.as_deref(), p: None };
        LayerWeights::new(Cell::lstm(), self.shape, GateOrder::Onnx, tensors).unwrap()
    }

    pub(crate) fn layer(&self, variant: Variant) -> Layer {
        let planner = Planner::for_isa(variant.name()).unwrap();
        let layer = Layer::with_plan(&self.weights(), planner.plan(&Cell::lstm(), self.shape)).unwrap();
        assert_eq!(layer.plan().variant.name(), variant.name());
        layer
    }

    pub(crate) fn state(&self, layer: &Layer, batch: usize) -> State {
        let mut state = layer.new_state(batch).unwrap();
        state.h_mut().copy_from_slice(&self.h);
        state.c_mut().copy_from_slice(&self.c);
        state
    }
}

/// Results of a call: Y dense `[T, D, B, H]`, final h and c `[D, B, H]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output<F> {
    pub(crate) y: Vec<F>,
    pub(crate) h: Vec<F>,
    pub(crate) c: Vec<F>,
}

impl Output<f32> {
    /// Where the bits of two results first differ.
    pub(crate) fn difference(&self, other: &Output<f32>) -> Result<(), String> {
        let tensors = [("Y", &self.y, &other.y), ("Y_h", &self.h, &other.h), ("Y_c", &self.c, &other.c)];
        for (name, a, b) in tensors {
            if a.len() != b.len() {
                return Err(format!("{name} has {} elements, expected {}", a.len(), b.len()));
            }
            if let Some(i) = (0..a.len()).find(|&i| a[i].to_bits() != b[i].to_bits()) {
                return Err(format!("{name}[{i}] is {:e}, expected {:e}", a[i], b[i]));
            }
        }
        Ok(())
    }
}

impl Output<f32> {
    /// Whether every element is within its bound: then the largest error, and the largest relative to its bound.
    pub(crate) fn within<const FUSED: bool>(
        &self,
        bounds: &Output<Bounded<FUSED>>,
    ) -> Result<[f64; 2], String> {
        let mut largest = [0.0f64; 2];
        let tensors = [("Y", &self.y, &bounds.y), ("Y_h", &self.h, &bounds.h), ("Y_c", &self.c, &bounds.c)];
        for (name, values, bounds) in tensors {
            if values.len() != bounds.len() {
                return Err(format!("{name} has {} elements, expected {}", values.len(), bounds.len()));
            }
            for (i, (&value, bound)) in values.iter().zip(bounds).enumerate() {
                let error = (f64::from(value) - bound.value).abs();
                // A NaN is not within any bound.
                if error.is_nan() || error > bound.error {
                    let Bounded { value: exact, error } = bound;
                    return Err(format!("{name}[{i}] is {value:e}, not within {error:e} of {exact:e}"));
                }
                largest[0] = largest[0].max(error);
                largest[1] = largest[1].max(if error > 0.0 { error / bound.error } else { 0.0 });
            }
        }
        Ok(largest)
    }
}

/// The naive reference, direction by direction.
pub(crate) fn expected<F: Real + From<f32>>(case: &Case, contents: &Contents) -> Output<F> {
    let x = View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap();
    let convert = |v: &[f32]| v.iter().map(|&v| F::from_f32(v)).collect::<Vec<F>>();
    let (mut h, mut c) = (convert(&contents.h), convert(&contents.c));
    let Dims { time, directions, batch, width } = case.y_dims();
    let rows = batch * width;
    let mut y = vec![F::ZERO; time * directions * rows];
    for (d, weights) in contents.weights().directions().iter().enumerate() {
        let reverse = d == 1 || case.shape.direction == Direction::Reverse;
        let (h, c) = (&mut h[d * rows..][..rows], &mut c[d * rows..][..rows]);
        let of_direction = reference::forward(weights, x, case.lens.as_deref(), reverse, h, c).unwrap();
        for t in 0..time {
            y[(t * directions + d) * rows..][..rows].copy_from_slice(&of_direction[t * rows..][..rows]);
        }
    }
    Output { y, h, c }
}

/// A fresh call over dense time-major tensors.
pub(crate) fn run(layer: &Layer, case: &Case, contents: &Contents) -> Output<f32> {
    run_with(layer, case, contents, &mut Scratch::new())
}

/// As [`run`], with the caller's scratch.
pub(crate) fn run_with(
    layer: &Layer,
    case: &Case,
    contents: &Contents,
    scratch: &mut Scratch,
) -> Output<f32> {
    let mut state = contents.state(layer, case.batch);
    let mut y = vec![SENTINEL; case.y_dims().checked_len().unwrap()];
    let sequence = Sequence {
        x: View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap(),
        lens: case.lens.as_deref(),
        y: Some(ViewMut::new(&mut y, case.y_dims(), Layout::TimeMajor).unwrap()),
    };
    layer.forward(sequence, &mut state, scratch).unwrap();
    Output { y, h: state.h().to_vec(), c: state.c().to_vec() }
}

/// What outputs hold before a call, and afterwards wherever the call must not write: a NaN that no kernel makes.
pub(crate) const SENTINEL: f32 = f32::from_bits(0x7fc0_5e27);

/// A tensor spread out in memory: its axes nested in any order, with gaps behind every row and every group of rows.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// Axes from the innermost to the outermost: 0 time, 1 direction, 2 batch.
    pub(crate) nesting: [usize; 3],
    /// Unused f32 behind a row, and behind what lies within the two inner axes.
    pub(crate) gaps: [usize; 3],
}

impl Placement {
    pub(crate) fn strides(&self, dims: Dims) -> Strides {
        let extents = [dims.time, dims.directions, dims.batch];
        let mut strides = [0; 3];
        let mut span = dims.width;
        for (&axis, gap) in self.nesting.iter().zip(self.gaps) {
            strides[axis] = span + gap;
            span = strides[axis] * extents[axis];
        }
        Strides { time: strides[0], direction: strides[1], batch: strides[2] }
    }

    /// Where the rows of a dense `[T, D, B, width]` tensor start, in its order.
    pub(crate) fn offsets(&self, dims: Dims) -> Vec<usize> {
        let strides = self.strides(dims);
        let mut offsets = vec![];
        for t in 0..dims.time {
            for d in 0..dims.directions {
                for b in 0..dims.batch {
                    offsets.push(t * strides.time + d * strides.direction + b * strides.batch);
                }
            }
        }
        offsets
    }

    /// The dense tensor in its place; NaN elsewhere, so that reading there cannot go unseen.
    pub(crate) fn scatter(&self, dense: &[f32], dims: Dims) -> Vec<f32> {
        let offsets = self.offsets(dims);
        let len = offsets.iter().max().map_or(0, |last| last + dims.width) + 3;
        let mut data = vec![SENTINEL; len];
        for (i, &at) in offsets.iter().enumerate() {
            data[at..][..dims.width].copy_from_slice(&dense[i * dims.width..][..dims.width]);
        }
        data
    }

    /// The dense tensor back out of its place, and an error where anything beside it was written.
    pub(crate) fn gather(&self, data: &[f32], dims: Dims) -> Result<Vec<f32>, String> {
        let mut untouched = vec![true; data.len()];
        let mut dense = vec![];
        for at in self.offsets(dims) {
            dense.extend_from_slice(&data[at..][..dims.width]);
            untouched[at..][..dims.width].fill(false);
        }
        match (0..data.len()).find(|&i| untouched[i] && data[i].to_bits() != SENTINEL.to_bits()) {
            Some(i) => Err(format!("element {i}, outside of every row, was written")),
            None => Ok(dense),
        }
    }
}
