//! A layer to time: its sizes, its random weights and input, and its work.

use super::layer_args::LayerSpec;
use crate::tensors::Random;
use anyhow::{Context, Result};
use rnnpack::{Cell, GateOrder, LayerTensors, LayerWeights, Shape, WeightType};

/// The sizes of a timed layer.
#[derive(Clone, Copy)]
pub(crate) struct LayerShape {
    pub(crate) time: usize,
    pub(crate) batch: usize,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
}

/// The layer to time: weights in ONNX's layout and gate order, and an input.
pub(crate) struct LayerData {
    pub(crate) time: usize,
    pub(crate) batch: usize,
    pub(crate) cell: Cell,
    pub(crate) shape: Shape,
    pub(crate) w: Vec<f32>,
    pub(crate) r: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) p: Option<Vec<f32>>,
    pub(crate) x: Vec<f32>,
    /// The number of f32 in the output.
    pub(crate) y_len: usize,
}

impl LayerData {
    /// Weights uniform in ±1/√H, as in PyTorch's initialization, and inputs uniform in ±1.
    pub(crate) fn random(
        LayerShape { time, batch, input, hidden }: LayerShape,
        LayerSpec { cell, direction, peepholes }: LayerSpec,
        seed: u64,
    ) -> Result<LayerData> {
        let shape = Shape { input, hidden, direction };
        let (d, gates) = (direction.count(), cell.gates());
        let mut random = Random::new(seed);
        let scale = 1.0 / (hidden as f32).sqrt();
        let w = random.uniform(product([d, gates, hidden, input])?, scale)?;
        let r = random.uniform(product([d, gates, hidden, hidden])?, scale)?;
        let b = random.uniform(product([d, 2 * gates, hidden, 1])?, scale)?;
        let p = match peepholes {
            true => Some(random.uniform(product([d, 3, hidden, 1])?, scale)?),
            false => None,
        };
        let x = random.uniform(product([time, batch, input, 1])?, 1.0)?;
        let y_len = product([time, d, batch, hidden])?;
        Ok(LayerData { time, batch, cell, shape, w, r, b, p, x, y_len })
    }

    /// Rounds W and R to a type of 16 bits, so that all sides compute with the same numbers.
    pub(crate) fn round(&mut self, weights: WeightType) {
        self.w.iter_mut().chain(&mut self.r).for_each(|weight| *weight = weights.rounded(*weight));
    }

    pub(crate) fn weights(&self) -> Result<LayerWeights<'_>> {
        let tensors = LayerTensors { w: &self.w, r: &self.r, b: Some(&self.b), p: self.p.as_deref() };
        Ok(LayerWeights::new(self.cell, self.shape, GateOrder::Onnx, tensors)?)
    }

    /// The flops of a call, without activations.
    pub(crate) fn flops(&self) -> f64 {
        let Shape { input, hidden, .. } = self.shape;
        self.flops_of(input + hidden)
    }

    /// The flops of the input's projection.
    pub(crate) fn projection_flops(&self) -> f64 {
        self.flops_of(self.shape.input)
    }

    /// The flops of products with `columns` columns of W and R.
    fn flops_of(&self, columns: usize) -> f64 {
        self.steps() * self.batch as f64 * 2.0 * self.rows() * columns as f64
    }

    /// The bytes of R that the steps of a call read, with `bytes` for an element. Each step counts them once.
    pub(crate) fn r_bytes(&self, bytes: usize) -> f64 {
        self.steps() * bytes as f64 * self.rows() * self.shape.hidden as f64
    }

    /// The number of rows of W and R that a step computes with.
    fn rows(&self) -> f64 {
        (self.cell.computed_gates().count() * self.shape.hidden) as f64
    }

    /// The number of steps of all directions.
    fn steps(&self) -> f64 {
        self.time as f64 * self.shape.direction.count() as f64
    }
}

fn product(extents: [usize; 4]) -> Result<usize> {
    let product = extents.iter().try_fold(1usize, |n, &e| n.checked_mul(e));
    product.with_context(|| format!("the shape is too large: the product of {extents:?} overflows"))
}
