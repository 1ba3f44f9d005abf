//! Times one layer with random weights: rnnpack, tract and the unfused baseline.

use super::agreement::{Agreement, Compared};
use super::args::Args;
use super::layer_data::{LayerData, LayerShape};
use super::layer_report::Report;
use super::layer_sides::{competitors, differences};
use crate::layer_options::LayerOptions;
use crate::limits::Limits;
use crate::model::with_threads;
use crate::outcome::Outcome;
use crate::report;
use crate::timing::{Side, interleave};
use anyhow::Result;
use rnnpack::{Layer, LayerWeights, Planner, WeightType};

pub(crate) fn bench(args: &Args, shape: LayerShape, json: bool) -> Result<Outcome> {
    let planner = match &args.layer.isa {
        Some(name) => Planner::for_isa(name)?,
        None => Planner::from_env()?,
    };
    let mut data = LayerData::random(shape, args.layer.spec()?, args.generated.seed)?;
    let LayerOptions { weights, subnormals } = args.layers()?;
    let weight_type = weights.unwrap_or_default();
    data.round(weight_type);
    let weights = data.weights()?.with_subnormals(subnormals)?.with_type(weight_type)?;
    let layer = Layer::with_plan(&weights, planner.plan(weights.cell(), weights.shape()))?;
    with_threads(args.threads.into(), || compete(args, &data, &weights, &layer, json))?
}

/// How far results may be from those of f32 if rows of x and h are rounded: to int8, or to bf16, which is finer. A row of x or h within ±1 has a step of 2/255 and a weight one of
/// (1/√H)/127, so a sum of I + H products has a rounding error with a deviation of about 2/255/√12 · √(2/3) = 2e-3. Gates
/// and cells carry it on: this is more than ten deviations. Tests compare the bits with the reference's.
const ROUNDED_ROWS_BOUND: f64 = 0.05;

/// Compares the results of the sides, times the sides and reports.
fn compete(
    args: &Args,
    data: &LayerData,
    weights: &LayerWeights<'_>,
    layer: &Layer,
    json: bool,
) -> Result<Outcome> {
    let (mut competitors, tract_left_out) = competitors(args, data, weights, layer)?;
    let differences = differences(&mut competitors)?;
    let rounds_rows = matches!(layer.weight_type(), WeightType::I8 | WeightType::Bf16Dot);
    let compared = differences.into_iter().map(|(name, difference)| {
        let compared = Compared::new(name, difference);
        // Threads change no bit, but those of pairs of bf16.
        let by_pairs = layer.weight_type() == WeightType::Bf16Dot;
        let bound = if rounds_rows && (by_pairs || compared.bound > 0.0) {
            ROUNDED_ROWS_BOUND
        } else {
            compared.bound
        };
        Compared { bound, ..compared }
    });
    let agreement = Agreement::new(compared.collect(), tract_left_out);
    let agree = agreement.holds();
    let plan = layer.plan();
    let mut limits =
        Limits::new(plan.variant, plan.recurrent_bytes(&data.cell, data.shape.hidden, layer.weight_type()));
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
