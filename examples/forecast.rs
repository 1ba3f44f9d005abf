//! Forecasts of several time series at once, in two ways, with missing values:
//!
//! ```sh
//! cargo run --release --example forecast
//! ```
//!
//! | | x | state | what it means |
//! |---|---|---|---|
//! | batch rows | `[T, B = series, I = features]` | `[1, series, H]` | one model, used for every series on its own |
//! | channels | `[T, B = 1, I = series · features]` | `[1, 1, H]` | one model that sees all series together |
//!
//! A value is two features: the number and an indicator, (v, 0). A missing value is (0, 1). So it differs from a true
//! zero, and it does not depend on the number that the data have in its place.
//!
//! The history sets the state. Then each forecast is the input of the next step. The weights are random, but the
//! example shows what holds for any weights. A claim that does not hold is an error.

use anyhow::{Result, ensure};
use rnnpack::{Layer, LayerWeights, Sequence};

const SERIES: usize = 3;
const HISTORY: usize = 24;
const HORIZON: usize = 4;
const HIDDEN: usize = 16;
const FEATURES: usize = 2;

/// A time series: the value at each step, and whether it is missing.
#[derive(Clone)]
struct Series {
    values: Vec<f32>,
    missing: Vec<bool>,
}

impl Series {
    fn features(&self, t: usize) -> [f32; FEATURES] {
        if self.missing[t] { [0.0, 1.0] } else { [self.values[t], 0.0] }
    }
}

/// An LSTM with one linear output for each series that it sees.
struct Model {
    lstm: Layer,
    head: Vec<f32>,
}

impl Model {
    fn random(series: usize, rng: &mut fastrand::Rng) -> Result<Model> {
        let mut random = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.f32() - 0.5).collect() };
        let input = series * FEATURES;
        let (w, r, b) = (random(4 * HIDDEN * input), random(4 * HIDDEN * HIDDEN), random(8 * HIDDEN));
        let lstm = LayerWeights::lstm(input, HIDDEN).w(&w).r(&r).b(&b).pack()?;
        Ok(Model { lstm, head: random(series * HIDDEN) })
    }

    /// Reads `x`, `[HISTORY, batch, I]`, and forecasts HORIZON steps: `[HORIZON, batch, outputs]`.
    fn forecast(&self, x: &[f32], batch: usize) -> Result<Vec<f32>> {
        let mut stream = self.lstm.stream(batch)?;
        stream.run(Sequence::input(x))?;
        let (mut forecast, mut h) = (Vec::new(), stream.state().h().to_vec());
        for _ in 0..HORIZON {
            let rows = h.chunks_exact(HIDDEN);
            let outputs: Vec<f32> =
                rows.flat_map(|h| self.head.chunks_exact(HIDDEN).map(move |w| dot(w, h))).collect();
            let x: Vec<f32> = outputs.iter().flat_map(|&v| [v, 0.0]).collect();
            stream.step(&x, &mut h)?;
            forecast.extend(outputs);
        }
        Ok(forecast)
    }

    /// The forecast of each series. Every series is a batch row.
    fn rows(&self, all: &[Series]) -> Result<Vec<Vec<f32>>> {
        let x: Vec<f32> = (0..HISTORY).flat_map(|t| all.iter().flat_map(move |s| s.features(t))).collect();
        Ok(by_series(&self.forecast(&x, all.len())?, all.len()))
    }

    /// The forecast of each series. The series are channels: the same numbers at the same places in memory, but as
    /// one row with the features of all series.
    fn channels(&self, all: &[Series]) -> Result<Vec<Vec<f32>>> {
        let x: Vec<f32> = (0..HISTORY).flat_map(|t| all.iter().flat_map(move |s| s.features(t))).collect();
        Ok(by_series(&self.forecast(&x, 1)?, all.len()))
    }
}

fn main() -> Result<()> {
    ensure!(std::env::args().len() == 1, "usage: forecast (it has no arguments)");
    let mut rng = fastrand::Rng::with_seed(1);
    let wave = |s: usize| (0..HISTORY).map(|t| (t as f32 / (2 + s) as f32).sin()).collect();
    let data: Vec<Series> =
        (0..SERIES).map(|s| Series { values: wave(s), missing: vec![false; HISTORY] }).collect();
    let (shared, joint) = (Model::random(1, &mut rng)?, Model::random(SERIES, &mut rng)?);

    let rows = shared.rows(&data)?;
    print("batch rows", &rows);
    let channels = joint.channels(&data)?;
    print("channels", &channels);

    let alone = shared.rows(&data[1..2])?;
    claim("rows: series 1 alone gives the bits that it gives in the batch", alone[0] == rows[1])?;
    let mut changed = data.clone();
    changed[0].values[HISTORY - 1] += 1.0;
    let others = shared.rows(&changed)?;
    claim("rows: a change of series 0 moves its own forecast", others[0] != rows[0])?;
    claim("rows: it leaves the others' bits as they were", others[1..] == rows[1..])?;
    let others = joint.channels(&changed)?;
    claim("channels: it moves the forecast of every series", (0..SERIES).all(|s| others[s] != channels[s]))?;

    for (what, forecast) in [
        ("rows", &(|d: &[Series]| shared.rows(d)) as &dyn Fn(&[Series]) -> Result<_>),
        ("channels", &|d: &[Series]| joint.channels(d)),
    ] {
        let with = |value: f32, missing: bool| {
            let mut data = data.clone();
            (data[1].values[HISTORY - 1], data[1].missing[HISTORY - 1]) = (value, missing);
            forecast(&data)
        };
        let missing = with(0.0, true)?;
        claim(&format!("{what}: a missing value is not a zero"), missing[1] != with(0.0, false)?[1])?;
        let (nan, any) = (with(f32::NAN, true)?, with(-999.0, true)?);
        claim(&format!("{what}: what stands in its place changes no bit"), nan == missing && any == missing)?;
    }
    Ok(())
}

/// Splits `[HORIZON, series]` into one list per series.
fn by_series(forecast: &[f32], series: usize) -> Vec<Vec<f32>> {
    (0..series).map(|s| forecast.iter().copied().skip(s).step_by(series).collect()).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn print(what: &str, forecasts: &[Vec<f32>]) {
    println!("{what}");
    for (s, forecast) in forecasts.iter().enumerate() {
        let values: Vec<String> = forecast.iter().map(|v| format!("{v:.5}")).collect();
        println!("  series {s}: {}", values.join(" "));
    }
}

fn claim(text: &str, holds: bool) -> Result<()> {
    ensure!(holds, "this does not hold: {text}");
    println!("{text}: yes");
    Ok(())
}
