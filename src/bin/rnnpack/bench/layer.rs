//! One LSTM layer of random weights: rnnpack, tract and the unfused baseline.

use super::agreement::Agreement;
use super::layer_report::Report;
use super::layer_sides::{competitors, differences};
use super::limits::Limits;
use super::timing::{Side, interleave};
use super::{Args, LayerShape};
use crate::Outcome;
use crate::model::with_threads;
use crate::report;
use crate::tensors::Random;
use anyhow::{Context, Result};
use rnnpack::{Direction, GateOrder, Layer, LayerWeights, Planner, Shape};

/// The layer to time: weights in ONNX's layout and order, and an input.
pub(crate) struct LayerData {
    pub(crate) time: usize,
    pub(crate) batch: usize,
    pub(crate) shape: Shape,
    pub(crate) w: Vec<f32>,
    pub(crate) r: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) x: Vec<f32>,
    /// f32 of the output.
    pub(crate) y_len: usize,
}

impl LayerData {
    /// Weights uniform in ±1/√H, as PyTorch starts with, and inputs uniform in ±1.
    fn random(LayerShape { time, batch, input, hidden }: LayerShape, args: &Args) -> Result<LayerData> {
        let direction = args.direction.map_or(Direction::Forward, Direction::from);
        let shape = Shape { input, hidden, direction };
        let d = shape.direction.count();
        let mut random = Random::new(args.generated.seed);
        let scale = 1.0 / (hidden as f32).sqrt();
        let w = random.uniform(product([d, 4, hidden, input])?, scale)?;
        let r = random.uniform(product([d, 4, hidden, hidden])?, scale)?;
        let b = random.uniform(product([d, 8, hidden, 1])?, scale)?;
        let x = random.uniform(product([time, batch, input, 1])?, 1.0)?;
        let y_len = product([time, d, batch, hidden])?;
        Ok(LayerData { time, batch, shape, w, r, b, x, y_len })
    }

    fn weights(&self) -> Result<LayerWeights<'_>> {
        Ok(LayerWeights::new(self.shape, GateOrder::Onnx, &self.w, &self.r, Some(&self.b))?)
    }

    /// Flops of a call, without activations.
    pub(crate) fn flops(&self) -> f64 {
        let Shape { input, hidden, .. } = self.shape;
        self.steps() * self.batch as f64 * 8.0 * hidden as f64 * (input + hidden) as f64
    }

    /// Flops of the input's projection.
    pub(crate) fn projection_flops(&self) -> f64 {
        self.steps() * self.batch as f64 * 8.0 * self.shape.hidden as f64 * self.shape.input as f64
    }

    /// Bytes of R that the steps of a call read, once each.
    pub(crate) fn r_bytes(&self) -> f64 {
        self.steps() * 16.0 * (self.shape.hidden as f64).powi(2)
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
    let planner = match &args.isa {
        Some(name) => Planner::for_isa(name)?,
        None => Planner::from_env()?,
    };
    let data = LayerData::random(shape, args)?;
    let weights = data.weights()?;
    let lstm = Layer::with_plan(&weights, planner.plan(weights.shape()))?;
    with_threads(args.threads.into(), || compete(args, &data, &weights, &lstm, json))?
}

/// Compares the sides, times them and reports.
fn compete(
    args: &Args,
    data: &LayerData,
    weights: &LayerWeights<'_>,
    lstm: &Layer,
    json: bool,
) -> Result<Outcome> {
    let (mut competitors, tract_left_out) = competitors(args, data, weights, lstm)?;
    let differences = differences(&mut competitors)?;
    let agreement = Agreement { differences, tract_left_out };
    let agree = agreement.holds();
    let mut limits = Limits::new(lstm.plan().variant, packed_r_bytes(data, lstm));
    let mut times = Vec::new();
    if agree {
        let sides = competitors.iter_mut().map(|(name, c)| Side::new(name, || c.call()));
        let mut sides: Vec<Side<'_>> = sides.collect();
        interleave(&mut sides, Some(&mut limits), args.seconds)?;
        times = sides.iter().map(|s| (s.name, s.times())).collect();
    }
    let report = Report { threads: args.threads, data, lstm, agreement, limits, times };
    report::emit(json, || report.json(), || report.text())?;
    Ok(if agree { Outcome::Done } else { Outcome::Failed })
}

/// Bytes of R as it is packed for one direction: padded to whole vectors of hidden units.
fn packed_r_bytes(data: &LayerData, lstm: &Layer) -> usize {
    let hidden = data.shape.hidden;
    16 * hidden * hidden.next_multiple_of(lstm.plan().variant.lanes())
}
