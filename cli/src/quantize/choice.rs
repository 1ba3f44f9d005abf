//! Chooses the type of each layer.

use super::errors::{Judge, Judged};
use anyhow::{Result, anyhow, bail};
use rnnpack::WeightType;
use rnnpack_onnx::{File, RecurrentNode, narrow};

/// A recurrent layer of the model.
pub(super) struct Layer {
    pub(super) node: RecurrentNode,
    /// The type that it gets. f32 means that it stays as it is.
    pub(super) weights: WeightType,
    /// Why it has not the type that was asked for.
    pub(super) reason: Option<String>,
    /// The largest relative error of the model's outputs if only this layer is narrow. `None` if the model does not run.
    pub(super) alone: Option<f64>,
}

/// The most recurrent nodes of a model. Each is measured in a model of its own, so the time grows with the square of their
/// number: with so many of the smallest it is some ten seconds.
const MOST_LAYERS: usize = 256;

/// The layers, each with the type `weights` if the file can say it.
///
/// # Errors
/// If there is no layer, or there are too many, or none can have the type: the reason of the first.
pub(super) fn possible(bytes: &[u8], file: &File, weights: WeightType) -> Result<Vec<Layer>> {
    let count = file.nodes().len();
    if count > MOST_LAYERS {
        bail!(
            "it has {count} recurrent nodes; each is measured alone, so at most {MOST_LAYERS} are rewritten"
        );
    }
    let mut layers = Vec::new();
    let mut first = None;
    for node in file.nodes() {
        let error = match only(bytes, &node.name, weights) {
            Ok(narrowed) if narrowed == bytes => Some(anyhow!("its weights are {} already", weights.name())),
            Ok(_) => None,
            Err(e) => Some(e),
        };
        let (weights, reason) = match &error {
            None => (weights, None),
            Some(e) => (WeightType::F32, Some(crate::report::error(e))),
        };
        first = first.or(error);
        layers.push(Layer { node: node.clone(), weights, reason, alone: None });
    }
    match (layers.iter().any(|layer| layer.reason.is_none()), first) {
        (true, _) => Ok(layers),
        (false, Some(e)) => Err(e),
        (false, None) => bail!("there is no recurrent node"),
    }
}

/// Sets the error of each layer: that of a model in which only this layer is narrow.
pub(super) fn measure_alone(bytes: &[u8], layers: &mut [Layer], judge: &Judge) -> Result<()> {
    for layer in layers.iter_mut().filter(|layer| layer.weights != WeightType::F32) {
        layer.alone = judge.outputs(&only(bytes, &layer.node.name, layer.weights)?).largest();
    }
    Ok(())
}

/// The model with one narrow layer.
fn only(bytes: &[u8], name: &str, weights: WeightType) -> Result<Vec<u8>> {
    Ok(narrow(bytes, |node| if node.name == name { weights } else { WeightType::F32 })?)
}

/// The model with each layer in its type.
pub(super) fn model(bytes: &[u8], layers: &[Layer]) -> Result<Vec<u8>> {
    let of = |name: &str| layers.iter().find(|layer| layer.node.name == name);
    Ok(narrow(bytes, |node| of(&node.name).map_or(WeightType::F32, |layer| layer.weights))?)
}

/// Makes layers wider, the one with the largest error alone first, until the outputs are within the budget. Returns what
/// the outputs are then.
///
/// # Errors
/// If there is a budget and the outputs cannot be compared.
pub(super) fn within(
    bytes: &[u8],
    layers: &mut [Layer],
    judge: &Judge,
    budget: Option<f64>,
) -> Result<Judged> {
    loop {
        let outputs = judge.outputs(&model(bytes, layers)?);
        let Some(budget) = budget else { return Ok(outputs) };
        let largest = match &outputs {
            Judged::Compared { .. } => outputs.largest(),
            Judged::NotRun(reason) => bail!("--budget needs a model that runs: {reason}"),
        };
        if largest.is_some_and(|largest| largest <= budget) {
            return Ok(outputs);
        }
        let error = |layer: &&mut Layer| layer.alone.unwrap_or(f64::INFINITY);
        let narrow = layers.iter_mut().filter(|layer| layer.weights != WeightType::F32);
        let Some(worst) = narrow.max_by(|a, b| error(a).total_cmp(&error(b))) else { return Ok(outputs) };
        widen(bytes, worst, judge, budget)?;
    }
}

/// The types that a layer of this type may get instead, the narrowest first. A file of an old operator set has f16, but not
/// bf16; one with weights of f16 has only f16, since bf16 would be less exact.
fn wider(weights: WeightType) -> &'static [WeightType] {
    match weights {
        WeightType::I8 => &[WeightType::Bf16, WeightType::F16],
        _ => &[],
    }
}

/// Gives a layer the next wider type that the file can say, but at most what it has in the file.
fn widen(bytes: &[u8], layer: &mut Layer, judge: &Judge, budget: f64) -> Result<()> {
    let name = &layer.node.name;
    let from = layer.weights.name();
    let mut wider = wider(layer.weights).iter().copied();
    let next = wider.find_map(|weights| Some((weights, only(bytes, name, weights).ok()?)));
    // A model that comes back unchanged has the layer in this type already.
    layer.weights = next.filter(|(_, model)| model != bytes).map_or(WeightType::F32, |(weights, _)| weights);
    layer.alone = judge.outputs(&only(bytes, name, layer.weights)?).largest();
    layer.reason.get_or_insert(format!("{from} exceeds the budget of {budget}"));
    Ok(())
}
