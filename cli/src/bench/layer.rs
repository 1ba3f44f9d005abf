//! One layer of random weights: rnnpack, tract and the unfused baseline.

use super::agreement::Agreement;
use super::layer_report::Report;
use super::layer_sides::{competitors, differences};
use super::limits::Limits;
use super::timing::{Side, interleave};
use super::{Args, LayerShape, LayerSpec};
use crate::Outcome;
use crate::model::with_threads;
use crate::report;
use crate::tensors::Random;
use anyhow::{Context, Result};
use rnnpack::{Cell, GateOrder, Layer, LayerTensors, LayerWeights, Planner, Shape};

/// The layer to time: weights in ONNX's layout and order, and an input.
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
    /// f32 of the output.
    pub(crate) y_len: usize,
}

impl LayerData {
    /// Weights uniform in ±1/√H, as PyTorch starts with, and inputs uniform in ±1.
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

    pub(crate) fn weights(&self) -> Result<LayerWeights<'_>> {
        let tensors = LayerTensors { w: &self.w, r: &self.r, b: Some(&self.b), p: self.p.as_deref() };
        Ok(LayerWeights::new(self.cell, self.shape, GateOrder::Onnx, tensors)?)
    }

    /// Flops of a call, without activations.
    pub(crate) fn flops(&self) -> f64 {
        let Shape { input, hidden, .. } = self.shape;
        self.flops_of(input + hidden)
    }

    /// Flops of the input's projection.
    pub(crate) fn projection_flops(&self) -> f64 {
        self.flops_of(self.shape.input)
    }

    /// Flops of products with `columns` columns of W and R.
    fn flops_of(&self, columns: usize) -> f64 {
        self.steps() * self.batch as f64 * 2.0 * self.rows() * columns as f64
    }

    /// Bytes of R that the steps of a call read, once each.
    pub(crate) fn r_bytes(&self) -> f64 {
        self.steps() * 4.0 * self.rows() * self.shape.hidden as f64
    }

    /// Rows of W and R that a step computes with.
    fn rows(&self) -> f64 {
        (self.cell.computed_gates().count() * self.shape.hidden) as f64
    }

    /// Steps of all directions.
    fn steps(&self) -> f64 {
        self.time as f64 * self.shape.direction.count() as f64
    }
}

fn product(extents: [usize; 4]) -> Result<usize> {
    let product = extents.iter().try_fold(1usize, |n, &e| n.checked_mul(e));
    product.with_context(|| format!("the shape is too large: the product of {extents:?} overflows"))
}

pub(crate) fn bench(args: &Args, shape: LayerShape, json: bool) -> Result<Outcome> {
    let planner = match &args.layer.isa {
        Some(name) => Planner::for_isa(name)?,
        None => Planner::from_env()?,
    };
    let data = LayerData::random(shape, args.layer.spec()?, args.generated.seed)?;
    let weights = data.weights()?;
    let layer = Layer::with_plan(&weights, planner.plan(weights.cell(), weights.shape()))?;
    with_threads(args.threads.into(), || compete(args, &data, &weights, &layer, json))?
}

/// Compares the sides, times them and reports.
fn compete(
    args: &Args,
    data: &LayerData,
    weights: &LayerWeights<'_>,
    layer: &Layer,
    json: bool,
) -> Result<Outcome> {
    let (mut competitors, tract_left_out) = competitors(args, data, weights, layer)?;
    let differences = differences(&mut competitors)?;
    let agreement = Agreement { differences, tract_left_out };
    let agree = agreement.holds();
    let plan = layer.plan();
    let mut limits = Limits::new(plan.variant, plan.recurrent_bytes(&data.cell, data.shape.hidden));
    let mut times = Vec::new();
    if agree {
        let sides = competitors.iter_mut().map(|(name, c)| Side::new(name, || c.call()));
        let mut sides: Vec<Side<'_>> = sides.collect();
        let bar = report::progress(1000);
        interleave(&mut sides, Some(&mut limits), args.seconds, &|done, what| {
            report::show(&bar, done, what)
        })?;
        bar.finish_and_clear();
        times = sides.iter().map(|s| (s.name, s.times())).collect();
    }
    let report = Report { threads: args.threads, data, layer, agreement, limits, times };
    report::emit(json, || report.json(), || report.text())?;
    Ok(if agree { Outcome::Done } else { Outcome::Failed })
}
