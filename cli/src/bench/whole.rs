//! Times a whole model with its recurrent layers on rnnpack and on tract's own operators.

use super::agreement::{Agreement, ONE_THREAD, OURS, TRACT};
use super::args::Args;
use crate::compare::compare;
use crate::inputs::Feeds;
use crate::model::{Loaded, load, with_threads};
use crate::outcome::Outcome;
use crate::report::{self, Table, micros};
use crate::tensors::Tensors;
use crate::timing::{Side, Times, interleave};
use anyhow::{Context, Result};
use rnnpack_tract::{Kernels, Stream};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn bench(args: &Args, path: &Path, json: bool) -> Result<Outcome> {
    let name = path.display();
    let bytes = crate::model::read(path)?;
    let feeds = Feeds::generated(&bytes, &args.given, &args.generated);
    let feeds = feeds.with_context(|| format!("cannot time {name}"))?;
    let report = with_threads(args.threads.into(), || compete(args, &bytes, &feeds))?;
    let report = report.map_err(|e| feeds.explain(e)).with_context(|| format!("cannot time {name}"))?;
    report::emit(json, || report.json(), || report.text())?;
    Ok(if report.agreement.holds() { Outcome::Done } else { Outcome::Failed })
}

/// A loaded model with the working memory for its calls.
struct Contender {
    name: &'static str,
    loaded: Loaded,
    stream: Stream,
    first: Tensors,
}

impl Contender {
    fn new(
        name: &'static str,
        bytes: &[u8],
        feeds: &Feeds,
        kernels: Kernels,
        threads: usize,
    ) -> Result<Contender> {
        let loaded = load(bytes, feeds, kernels, threads)?;
        let first = loaded.run(feeds, &[])?.into_iter().next().unwrap_or_default();
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

fn compete(args: &Args, bytes: &[u8], feeds: &Feeds) -> Result<Report> {
    let threads = usize::from(args.threads);
    let mut all = vec![Contender::new(OURS, bytes, feeds, Kernels::Rnnpack, threads)?];
    if threads > 1 {
        all.push(Contender::new(ONE_THREAD, bytes, feeds, Kernels::Rnnpack, 1)?);
    }
    let mut tract_left_out = None;
    if !args.no_tract {
        match Contender::new(TRACT, bytes, feeds, Kernels::Tract, 1) {
            Ok(tract) => all.push(tract),
            Err(e) => tract_left_out = Some(report::error(&e)),
        }
    }
    let ours = [all[0].first.clone()];
    let worst = |c: &Contender| {
        let differences = compare(&ours, std::slice::from_ref(&c.first), 0.0);
        (c.name, differences.iter().map(|d| d.relative()).fold(0.0, f64::max))
    };
    let differences = all[1..].iter().map(worst).collect();
    let generated = feeds.generated.clone();
    let agreement = Agreement { differences, tract_left_out };
    let mut report = Report { threads: args.threads, generated, agreement, times: Vec::new() };
    if report.agreement.holds() {
        let step = &feeds.steps[0];
        let sides = all.iter_mut().map(|Contender { name, loaded, stream, .. }| {
            let inputs = loaded.inputs(step, &[]);
            Side::new(name, move || Ok(stream.run(&inputs).map(drop)?))
        });
        let mut sides: Vec<Side<'_>> = sides.collect();
        let bar = report::progress(1000);
        interleave(&mut sides, None, args.seconds, &|done, what| report::show(&bar, done, what))?;
        bar.finish_and_clear();
        report.times = sides.iter().map(|s| (s.name, s.times())).collect();
    }
    Ok(report)
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
