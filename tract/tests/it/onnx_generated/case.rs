//! Draws models of one recurrent node, and their inputs.

use super::tensors::{numbers, of};
use rnnpack::{Activation, Cell, Direction, GruCell, Layout, LstmCell, RnnCell};
use rnnpack_dev::onnx::Numbers;
use rnnpack_onnx::{DType, Tensor};

/// Where the weights of a generated node come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Stored,
    Constant,
    Computed,
    /// Inputs of the model. Their dimensions have names.
    Input,
}

/// Where a generated node is in the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    Main,
    /// In the taken branch of an `If` with a constant condition. The other branch does not fit its input.
    Taken,
    /// In two nested `If`s.
    Nested,
    /// In an `If` whose condition is an input.
    Choice,
    /// In the body of a `Loop` of two iterations.
    Loop,
    /// In the body of a `Scan` of two steps.
    Scan,
}

/// The W, R, B and P of a generated node, as its element type can hold them.
#[derive(Clone)]
pub(super) struct Values(pub(super) [Vec<f64>; 4]);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// A cell with random options for each direction.
fn random_cells(op: &str, directions: usize, n: &mut Numbers) -> Vec<Cell> {
    let plain = n.below(2) == 0;
    let clip = (!plain && n.below(2) == 0).then(|| 0.2 + n.below(30) as f32 / 10.0);
    let flag = !plain && n.below(2) == 0;
    let function = |n: &mut Numbers, default: Activation| {
        const NAMES: [&str; 11] = [
            "Relu",
            "Tanh",
            "Sigmoid",
            "Affine",
            "LeakyRelu",
            "ThresholdedRelu",
            "ScaledTanh",
            "HardSigmoid",
            "Elu",
            "Softsign",
            "Softplus",
        ];
        if plain || n.below(2) == 0 {
            return default;
        }
        let parameter = |n: &mut Numbers| Some(n.below(9) as f32 / 10.0);
        let (alpha, beta) = (parameter(n), parameter(n));
        Activation::by_name(NAMES[n.below(11)]).unwrap().with_parameters(alpha, beta)
    };
    let (sigmoid, tanh) = (Activation::Sigmoid, Activation::Tanh);
    let one = |_| match op {
        "LSTM" => {
            let activations = [sigmoid, tanh, tanh].map(|default| function(n, default));
            Cell::Lstm(LstmCell { activations, clip, input_forget: flag })
        }
        "GRU" => {
            let activations = [sigmoid, tanh].map(|default| function(n, default));
            Cell::Gru(GruCell { activations, clip, linear_before_reset: flag })
        }
        _ => Cell::Rnn(RnnCell { activation: function(n, tanh), clip }),
    };
    (0..directions).map(one).collect()
}

/// A generated model.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) cells: Vec<Cell>,
    pub(super) dtype: DType,
    pub(super) direction: Direction,
    pub(super) layout: Layout,
    pub(super) shape: [usize; 2],
    pub(super) bias: bool,
    pub(super) peepholes: bool,
    pub(super) hidden_size: bool,
    pub(super) lens: bool,
    pub(super) initial: [bool; 2],
    pub(super) outputs: [bool; 3],
    pub(super) source: Source,
    pub(super) place: Place,
    pub(super) fixed: Option<[usize; 2]>,
    pub(super) opset: i64,
    pub(super) weights: Values,
}

impl Case {
    pub(super) fn random(n: &mut Numbers) -> Case {
        let pick = |n: &mut Numbers| n.below(2) == 1;
        let op = ["LSTM", "GRU", "RNN"][n.below(3)];
        let direction = [Direction::Forward, Direction::Reverse, Direction::Bidirectional][n.below(3)];
        let (i, h, d) = (1 + n.below(9), 1 + n.below(19), direction.count());
        let dtype = [DType::F32, DType::F32, DType::F64, DType::F16, DType::BF16][n.below(5)];
        let opset = if dtype == DType::BF16 { 22 } else { [7, 11, 13, 14, 17, 21][n.below(6)] };
        let layout = if opset >= 14 && pick(n) { Layout::BatchMajor } else { Layout::TimeMajor };
        let is_lstm = op == "LSTM";
        let outputs = if is_lstm { 1 + n.below(7) } else { 1 + n.below(3) };
        let cells = random_cells(op, d, n);
        let g = cells[0].gates();
        let mut floats = |count: usize| {
            // Numbers with more bits than f32 has, if the element type keeps them.
            let fine = n.floats(count);
            let values = n.floats(count).into_iter().zip(fine);
            let values: Vec<f64> =
                values.map(|(v, fine)| 0.6 * f64::from(v) + 1e-9 * f64::from(fine)).collect();
            numbers(&of(dtype, &[count], &values))
        };
        let weights =
            [floats(d * g * h * i), floats(d * g * h * h), floats(d * 2 * g * h), floats(d * 3 * h)];
        let place =
            [Place::Main, Place::Taken, Place::Nested, Place::Choice, Place::Loop, Place::Scan][n.below(6)];
        Case {
            cells,
            dtype,
            direction,
            layout,
            shape: [i, h],
            bias: pick(n),
            peepholes: is_lstm && pick(n),
            hidden_size: pick(n),
            lens: pick(n),
            initial: [pick(n), is_lstm && pick(n)],
            outputs: [outputs & 1 > 0, outputs & 2 > 0, outputs & 4 > 0],
            source: [Source::Stored, Source::Constant, Source::Computed, Source::Input][n.below(4)],
            place: if opset < 9 && place == Place::Scan { Place::Loop } else { place },
            fixed: pick(n).then(|| [1 + n.below(5), 1 + n.below(4)]),
            opset,
            weights: Values(weights),
        }
    }

    /// Whether an activation has a jump, so that single bits of weights and arguments can decide a result.
    pub(super) fn jumps(&self) -> bool {
        let thresholded = |a: &Activation| matches!(a, Activation::ThresholdedRelu { .. });
        self.cells.iter().any(|cell| cell.activations().iter().any(thresholded))
    }

    /// The weights that are present, with their dimensions.
    pub(super) fn tensors(&self, sign: f64) -> Vec<(&'static str, Tensor)> {
        let ([i, h], d, g) = (self.shape, self.direction.count(), self.cells[0].gates());
        let [w, r, b, p] = &self.weights.0;
        let w: Vec<f64> = w.iter().map(|v| sign * v).collect();
        let mut all =
            vec![("W", of(self.dtype, &[d, g * h, i], &w)), ("R", of(self.dtype, &[d, g * h, h], r))];
        all.extend(self.bias.then(|| ("B", of(self.dtype, &[d, 2 * g * h], b))));
        all.extend(self.peepholes.then(|| ("P", of(self.dtype, &[d, 3 * h], p))));
        all
    }

    pub(super) fn state_dims(&self, batch: usize) -> [usize; 3] {
        let (d, h) = (self.direction.count(), self.shape[1]);
        if self.layout == Layout::TimeMajor { [d, batch, h] } else { [batch, d, h] }
    }

    pub(super) fn x_dims(&self, [time, batch]: [usize; 2]) -> [usize; 3] {
        let i = self.shape[0];
        if self.layout == Layout::TimeMajor { [time, batch, i] } else { [batch, time, i] }
    }

    pub(super) fn output_names(&self) -> Vec<&'static str> {
        ["Y", "Y_h", "Y_c"].into_iter().zip(self.outputs).filter(|(_, p)| *p).map(|(n, _)| n).collect()
    }

    /// The prefixes and signs of the nodes that can run.
    pub(super) fn nodes(&self) -> &'static [(&'static str, f64)] {
        match self.place {
            Place::Main => &[("", 1.)],
            Place::Taken | Place::Loop | Place::Scan => &[("in_", 1.)],
            Place::Nested => &[("in_", 1.), ("other_", 1.)],
            Place::Choice => &[("a_", 1.), ("b_", -1.)],
        }
    }

    /// The inputs of a call.
    pub(super) fn feeds(&self, [time, batch]: [usize; 2], n: &mut Numbers) -> Vec<(String, Tensor)> {
        let floats = |n: &mut Numbers, dims: [usize; 3]| {
            let values: Vec<f64> = n.floats(dims.iter().product()).into_iter().map(f64::from).collect();
            of(self.dtype, &dims, &values)
        };
        let mut feeds = vec![("X".to_string(), floats(n, self.x_dims([time, batch])))];
        if self.lens {
            let lens: Vec<i32> = (0..batch).map(|_| n.below(time + 1) as i32).collect();
            feeds.push(("lens".to_string(), Tensor::new(&[batch], lens).unwrap()));
        }
        for (name, _) in ["h0", "c0"].into_iter().zip(self.initial).filter(|(_, p)| *p) {
            feeds.push((name.to_string(), floats(n, self.state_dims(batch))));
        }
        if self.place == Place::Choice {
            feeds.push(("cond".to_string(), Tensor::scalar(n.below(2) == 1)));
        }
        if self.source == Source::Input {
            for &(prefix, sign) in self.nodes() {
                feeds.extend(self.tensors(sign).into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)));
            }
        }
        feeds
    }

    pub(super) fn y_dims(&self, [time, batch]: [usize; 2]) -> [usize; 4] {
        let (d, h) = (self.direction.count(), self.shape[1]);
        if self.layout == Layout::TimeMajor { [time, d, batch, h] } else { [batch, time, d, h] }
    }
}
