//! The sides that compute a timed layer.

use super::agreement::{ONE_THREAD, OURS, TRACT};
use super::args::Args;
use super::competitor::Competitor;
use super::layer_data::LayerData;
use super::tract::TractLayer;
use crate::report;
use anyhow::{Context, Result};
use rnnpack::{Layer, LayerWeights, Network, Sequence, Stream, Threads, UnfusedLayer, compare};

const UNFUSED: &str = "matrixmultiply, unfused";

/// A layer of rnnpack.
struct Ours<'a, N: Network<Number = f32>> {
    data: &'a LayerData,
    stream: Stream<N>,
    threads: Threads,
    y: Vec<f32>,
}

impl<'a, N: Network<Number = f32> + 'a> Ours<'a, N> {
    fn side(data: &'a LayerData, layer: N, threads: Threads) -> Result<Box<dyn Competitor + 'a>> {
        let stream = Stream::new(layer, data.batch)?;
        Ok(Box::new(Ours { data, stream, threads, y: zeros(data.y_len)? }))
    }
}

impl<N: Network<Number = f32>> Competitor for Ours<'_, N> {
    fn call(&mut self) -> Result<()> {
        self.stream.reset();
        Ok(self.stream.run(Sequence::dense(&self.data.x, &mut self.y).threads(self.threads))?)
    }

    fn output(&self) -> Result<&[f32]> {
        Ok(&self.y)
    }
}

fn zeros(len: usize) -> Result<Vec<f32>> {
    let mut v = Vec::new();
    v.try_reserve_exact(len).with_context(|| format!("no memory for {len} f32: give a smaller shape"))?;
    v.resize(len, 0.0);
    Ok(v)
}

pub(crate) type Named<'a> = (&'static str, Box<dyn Competitor + 'a>);

/// The sides, rnnpack first, and why tract is left out, if it is.
pub(crate) fn competitors<'a>(
    args: &Args,
    data: &'a LayerData,
    weights: &LayerWeights<'_>,
    layer: &Layer,
) -> Result<(Vec<Named<'a>>, Option<String>)> {
    let fused = |threads| Ours::side(data, layer.clone(), threads);
    let mut all: Vec<Named<'a>> = vec![(OURS, fused(Threads::AtMost(args.threads.into()))?)];
    if args.threads > 1 {
        all.push((ONE_THREAD, fused(Threads::Caller)?));
    }
    let mut left_out = None;
    if !args.no_tract {
        match TractLayer::new(data, args.layer.spec()?) {
            Ok(tract) => all.push((TRACT, Box::new(tract))),
            Err(e) => left_out = Some(report::error(&e)),
        }
    }
    all.push((UNFUSED, Ours::side(data, UnfusedLayer::<f32>::new(weights)?, Threads::Caller)?));
    Ok((all, left_out))
}

/// The largest difference of every other side's output from the first side's, as [`apart`] defines it.
pub(crate) fn differences(competitors: &mut [Named<'_>]) -> Result<Vec<(&'static str, f64)>> {
    for (name, c) in &mut *competitors {
        c.call().with_context(|| format!("{name} failed"))?;
    }
    let ours = competitors[0].1.output()?.to_vec();
    let difference = |(name, c): &Named<'_>| {
        let theirs = c.output().with_context(|| format!("{name} gave no output"))?;
        Ok((*name, apart(theirs, &ours)))
    };
    competitors[1..].iter().map(difference).collect()
}

/// The largest difference. It is relative to the largest value of `ours` if that is more than 1. Infinite if the two
/// cannot be compared.
fn apart(theirs: &[f32], ours: &[f32]) -> f64 {
    compare::difference(theirs, ours).map_or(f64::INFINITY, |found| found.relative(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_gives_nan_infinity_or_another_length_disagrees() {
        for theirs in [&[1.0, f32::NAN][..], &[f32::INFINITY, 1.0], &[1.0], &[1.0, 1.0, 1.0], &[]] {
            assert_eq!(apart(theirs, &[1.0, 1.0]), f64::INFINITY, "{theirs:?}");
            assert_eq!(apart(&[1.0, 1.0], theirs), f64::INFINITY, "{theirs:?}");
        }
        assert_eq!(apart(&[1.0, 5.0], &[1.0, 4.0]), 0.25);
        assert_eq!(apart(&[0.5], &[0.25]), 0.25);
    }
}
