//! The sides that compute a timed layer.

use super::Args;
use super::agreement::{ONE_THREAD, OURS, TRACT};
use super::layer::LayerData;
use super::tract::TractLayer;
use crate::report;
use anyhow::{Context, Result};
use rnnpack::baseline::UnfusedLstm;
use rnnpack::{Dims, Layer, LayerWeights, Layout, Scratch, Sequence, State, View, ViewMut};

const UNFUSED: &str = "matrixmultiply, unfused";

/// A side of the comparison.
pub(crate) trait Competitor {
    /// Runs the layer over the whole input, from a zero state.
    fn call(&mut self) -> Result<()>;
    /// Y of the last call, dense `[T, D, B, H]`.
    fn output(&self) -> Result<&[f32]>;
}

struct Ours<'a> {
    lstm: &'a Layer,
    data: &'a LayerData,
    threads: usize,
    state: State,
    scratch: Scratch,
    y: Vec<f32>,
}

impl<'a> Ours<'a> {
    fn new(lstm: &'a Layer, data: &'a LayerData, threads: usize) -> Result<Ours<'a>> {
        let state = lstm.new_state(data.batch)?;
        Ok(Ours { lstm, data, threads, state, scratch: Scratch::new(), y: zeros(data.y_len)? })
    }
}

impl Competitor for Ours<'_> {
    fn call(&mut self) -> Result<()> {
        let LayerData { time, batch, shape, x, .. } = self.data;
        let x_dims = Dims { time: *time, directions: 1, batch: *batch, width: shape.input };
        let y_dims = Dims { directions: shape.direction.count(), width: shape.hidden, ..x_dims };
        let x = View::new(x, x_dims, Layout::TimeMajor)?;
        let y = Some(ViewMut::new(&mut self.y, y_dims, Layout::TimeMajor)?);
        let sequence = Sequence { x, lens: None, y };
        self.state.reset();
        match self.threads {
            1 => self.lstm.forward(sequence, &mut self.state, &mut self.scratch)?,
            n => self.lstm.forward_parallel(sequence, &mut self.state, &mut self.scratch, n)?,
        }
        Ok(())
    }

    fn output(&self) -> Result<&[f32]> {
        Ok(&self.y)
    }
}

struct Unfused<'a> {
    lstm: UnfusedLstm,
    data: &'a LayerData,
    state: State,
    y: Vec<f32>,
}

impl Competitor for Unfused<'_> {
    fn call(&mut self) -> Result<()> {
        self.state.reset();
        Ok(self.lstm.forward(self.data.time, &self.data.x, &mut self.state, &mut self.y)?)
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

/// The sides, rnnpack first, and why tract is left out where it is.
pub(crate) fn competitors<'a>(
    args: &Args,
    data: &'a LayerData,
    weights: &LayerWeights<'_>,
    lstm: &'a Layer,
) -> Result<(Vec<Named<'a>>, Option<String>)> {
    let threads = usize::from(args.threads);
    let mut all: Vec<Named<'a>> = vec![(OURS, Box::new(Ours::new(lstm, data, threads)?))];
    if threads > 1 {
        all.push((ONE_THREAD, Box::new(Ours::new(lstm, data, 1)?)));
    }
    let left_out = match TractLayer::new(data) {
        _ if args.no_tract => None,
        Ok(tract) => {
            all.push((TRACT, Box::new(tract)));
            None
        }
        Err(e) => Some(report::error(&e)),
    };
    let (lstm, state, y) = (UnfusedLstm::new(weights), lstm.new_state(data.batch)?, zeros(data.y_len)?);
    all.push((UNFUSED, Box::new(Unfused { lstm, data, state, y })));
    Ok((all, left_out))
}

/// Largest absolute difference of every other side's output from the first one's; infinite where it is NaN.
pub(crate) fn differences(competitors: &mut [Named<'_>]) -> Result<Vec<(&'static str, f64)>> {
    for (name, c) in &mut *competitors {
        c.call().with_context(|| format!("{name} failed"))?;
    }
    let ours = competitors[0].1.output()?.to_vec();
    let difference = |(name, c): &Named<'_>| {
        let theirs = c.output().with_context(|| format!("{name} gave no output"))?;
        Ok((*name, largest_difference(&ours, theirs)))
    };
    competitors[1..].iter().map(difference).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let difference = |(&a, &b): (&f32, &f32)| (f64::from(a) - f64::from(b)).abs();
    let worst = |worst: f64, d: f64| if d.is_nan() { f64::INFINITY } else { worst.max(d) };
    a.iter().zip(b).map(difference).fold(0.0, worst)
}
