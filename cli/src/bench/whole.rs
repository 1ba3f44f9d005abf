//! Times a whole model with its recurrent layers on rnnpack and on tract's own operators.

use super::agreement::{Agreement, Compared, ONE_THREAD, OURS, TRACT};
use super::args::Args;
use crate::compare::{Difference, Finding, Rule, compare};
use crate::fit;
use crate::half::{STEPS, coarsest_step};
use crate::model::{Computed, Loaded, load, with_threads};
use crate::outcome::Outcome;
use crate::report::{self, Table, difference, micros};
use crate::tensors::Tensors;
use crate::timing::{Side, Times, interleave};
use anyhow::{Context, Result};
use rnnpack_tract::{Kernels, Stream, WeightType};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn bench(args: &Args, path: &Path, json: bool) -> Result<Outcome> {
    let name = path.display();
    let bytes = crate::model::read(path)?;
    let report = with_threads(args.threads.into(), || compete(args, &bytes))?;
    let report = report.with_context(|| format!("cannot time {name}"))?;
    report::emit(json, || report.json(), || report.text())?;
    Ok(if report.agreement.holds() { Outcome::Done } else { Outcome::Failed })
}

/// A loaded model with the working memory for its calls.
struct Contender {
    name: &'static str,
    loaded: Loaded,
    stream: Stream,
    first: Vec<Tensors>,
}

impl Contender {
    fn new(name: &'static str, loaded: Loaded, first: Vec<Tensors>) -> Result<Contender> {
        let stream = loaded.model.stream(&[])?;
        Ok(Contender { name, loaded, stream, first })
    }
}

struct Report {
    threads: u16,
    generated: Vec<String>,
    agreement: Agreement,
    times: Vec<(&'static str, Times)>,
}

fn compete(args: &Args, bytes: &[u8]) -> Result<Report> {
    let threads = usize::from(args.threads);
    let layers = args.layers()?;
    let rounded = layers.weights.filter(|&weights| weights != WeightType::F32);
    let same_weights = rounded.and_then(|weights| with_weights(bytes, weights));
    let ours = |threads| Computed::ours(threads, layers);
    let (feeds, loaded, first) = fit::generated(bytes, &args.given, &args.generated, ours(threads))?;
    let other = |name, computed: Computed| {
        let bytes = match computed.kernels {
            Kernels::Rnnpack => bytes,
            _ => same_weights.as_deref().unwrap_or(bytes),
        };
        let loaded = load(bytes, &feeds, computed)?;
        let first = loaded.run(&feeds, &[])?;
        Contender::new(name, loaded, first)
    };
    let mut all = vec![Contender::new(OURS, loaded, first)?];
    if threads > 1 {
        all.push(other(ONE_THREAD, ours(1))?);
    }
    let mut tract_left_out = None;
    if !args.no_tract {
        match other(TRACT, Computed::by(Kernels::Tract)) {
            Ok(tract) => all.push(tract),
            Err(e) => tract_left_out = Some(report::error(&e)),
        }
    }
    let step = coarsest_step(&rnnpack_onnx::decode(bytes)?);
    let mut compared: Vec<Compared> = all[1..].iter().map(|c| c.compared(&all[0], step)).collect();
    if let Some(weights) = rounded.filter(|_| same_weights.is_none()) {
        compared.iter_mut().for_each(|side| excuse_rounding(side, weights));
    } else if compared.last().is_some_and(|c| c.name == TRACT && !c.agrees()) {
        let reference = other("f64", Computed::by(Kernels::Reference64))?.compared(&all[0], step);
        tract_left_out = excuse(&mut compared, &reference, step > 0.0);
        all.truncate(1 + compared.len());
    }
    let agreement = Agreement::new(compared, tract_left_out);
    let generated = feeds.generated.clone();
    let mut report = Report { threads: args.threads, generated, agreement, times: Vec::new() };
    if report.agreement.holds() {
        report.times = time(&mut all, &feeds.steps[0], args.seconds)?;
    }
    Ok(report)
}

/// The model with weights that are rounded to a type of 16 bits, which other sides compute in f32. `None` if a file cannot
/// say them, and for types that also round x and h.
fn with_weights(bytes: &[u8], weights: WeightType) -> Option<Vec<u8>> {
    let widened = matches!(weights, WeightType::Bf16 | WeightType::F16);
    if widened { rnnpack_onnx::narrow(bytes, |_| weights).ok() } else { None }
}

/// Excuses a finite difference of tract if rnnpack rounds to a type that was asked for, and tract does not.
fn excuse_rounding(side: &mut Compared, weights: WeightType) {
    if side.name == TRACT && !side.agrees() && side.difference.is_finite() {
        let weights = weights.name();
        let reason = format!(
            "rnnpack rounds to {weights} and {TRACT} does not, so the answers were only checked to be finite; \
             `rnnpack verify --weights {weights}` judges them by --bound or --decisions"
        );
        side.excuse = Some(reason);
    }
}

/// What a difference of tract, the last side, means if rnnpack agrees with the f64 reference: in half precision tract
/// rounds more often, and its difference does not count. Otherwise it computes something else. Then it leaves, with the
/// reason that is returned.
fn excuse(compared: &mut Vec<Compared>, reference: &Compared, half: bool) -> Option<String> {
    if !reference.agrees() {
        return None;
    }
    let tract = compared.last_mut()?;
    if half {
        let reason = "tract's own operators round every sum in half precision; rnnpack agrees with f64";
        tract.excuse = Some(reason.to_owned());
        return None;
    }
    let reason = format!(
        "its results differ by {}, although rnnpack agrees with the reference in f64; see `rnnpack verify`",
        difference(tract.difference)
    );
    compared.pop();
    Some(reason)
}

impl Contender {
    /// Compares the first results with those of `ours`, for a model that rounds in steps of `step`.
    fn compared(&self, ours: &Contender, step: f64) -> Compared {
        let worst = |d: &Difference| match d.finding() {
            Finding::Disagrees | Finding::NothingFinite => f64::INFINITY,
            // Integers must be equal.
            _ if d.allowed == 0.0 && d.largest > 0.0 => f64::INFINITY,
            _ => d.relative(),
        };
        let new = Compared::new(self.name, 0.0);
        let bound = if self.name == ONE_THREAD { new.bound } else { new.bound.max(STEPS * step) };
        let differences = compare(&ours.first, &self.first, Rule::Bound(1.0));
        Compared { difference: differences.iter().map(worst).fold(0.0, f64::max), bound, ..new }
    }
}

fn time(all: &mut [Contender], step: &Tensors, seconds: f64) -> Result<Vec<(&'static str, Times)>> {
    let sides = all.iter_mut().map(|Contender { name, loaded, stream, .. }| {
        let inputs = loaded.inputs(step, &[]);
        Side::new(name, move || Ok(stream.run(&inputs).map(drop)?))
    });
    let mut sides: Vec<Side<'_>> = sides.collect();
    let bar = report::progress(1000);
    interleave(&mut sides, None, seconds, &|done, what| report::show(&bar, done, what))?;
    bar.finish_and_clear();
    Ok(sides.iter().map(|s| (s.name, s.times())).collect())
}

impl Report {
    fn ratio(&self, times: &Times) -> f64 {
        times.min / self.times[0].1.min
    }

    fn text(&self) -> String {
        let mut out: String = self.generated.iter().map(|line| format!("generated: {line}\n")).collect();
        out += &self.agreement.text();
        if self.times.is_empty() {
            return out;
        }
        let headings = ["side", "calls", "min µs", "median µs", "ratio"];
        let mut table = Table::new(&headings, &[false, true, true, true, true]);
        for (name, times) in &self.times {
            let ratio = format!("{:.2}", self.ratio(times));
            let [min, median] = [times.min, times.median].map(micros);
            table.row(vec![name.to_string(), times.calls.to_string(), min, median, ratio]);
        }
        format!("{out}\n{}", table.render())
    }

    fn json(&self) -> Value {
        let side = |(name, times): &(&'static str, Times)| {
            let mut side = times.json(name);
            side["ratio"] = json!(self.ratio(times));
            side
        };
        json!({
            "threads": self.threads,
            "generated": self.generated,
            "agreement": self.agreement.json(),
            "sides": self.times.iter().map(side).collect::<Value>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of tract, which is 0.01 off, if the reference is `reference` off.
    fn judged(reference: f64, half: bool) -> (Vec<Compared>, Option<String>) {
        let mut compared = vec![Compared::new(ONE_THREAD, 0.0), Compared::new(TRACT, 0.01)];
        let reason = excuse(&mut compared, &Compared::new("f64", reference), half);
        (compared, reason)
    }

    #[test]
    fn tract_alone_does_not_stop_the_timing_if_rnnpack_agrees_with_the_reference() {
        let (compared, reason) = judged(0.0, true);
        assert!(compared[1].excuse.is_some() && reason.is_none());
        assert!(Agreement::new(compared, reason).holds());
        let (compared, reason) = judged(0.0, false);
        assert_eq!(compared.len(), 1);
        assert!(reason.as_ref().is_some_and(|r| r.starts_with("its results differ by 1.0e-2,")));
        assert!(Agreement::new(compared, reason).holds());
        for half in [false, true] {
            let (compared, reason) = judged(0.01, half);
            assert!(compared[1].excuse.is_none() && reason.is_none());
            assert!(!Agreement::new(compared, reason).holds());
        }
    }
}
