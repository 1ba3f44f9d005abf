//! The report of a timed layer.

use super::agreement::{Agreement, ONE_THREAD, OURS};
use super::layer_data::LayerData;
use crate::cell;
use crate::instructions::{instructions, weights_text};
use crate::limits::Limits;
use crate::median::median;
use crate::report::{self, Table, count, micros};
use crate::timing::Times;
use rnnpack::{Layer, Shape, Subnormals, WeightType};
use serde_json::{Value, json};

pub(crate) struct Report<'a> {
    pub(crate) threads: u16,
    pub(crate) data: &'a LayerData,
    pub(crate) layer: &'a Layer,
    pub(crate) agreement: Agreement,
    pub(crate) limits: Limits,
    /// The times of all sides, rnnpack first. Empty if the results do not agree.
    pub(crate) times: Vec<(&'static str, Times)>,
}

impl Report<'_> {
    /// The seconds to read R's bytes at a read bandwidth, and the seconds for the projection at a peak.
    fn limit(&self, peak: f64, bandwidth: f64) -> [f64; 2] {
        [self.r_bytes() / bandwidth, self.data.projection_flops() / peak]
    }

    /// The bytes of R that the steps of a call read, in the type of rnnpack's layer.
    fn r_bytes(&self) -> f64 {
        self.data.r_bytes(self.layer.weight_type().bytes())
    }

    /// The number of threads that a side uses.
    fn threads_of(&self, name: &str) -> f64 {
        if name == OURS { f64::from(self.threads) } else { 1.0 }
    }

    /// The median over all rounds of `share`, called with the round's peak, bandwidth and seconds.
    fn over_rounds(&self, times: &Times, share: impl Fn(f64, f64, f64) -> f64) -> f64 {
        let limits = self.limits.peaks.iter().zip(&self.limits.bandwidths);
        median(limits.zip(&times.rounds).map(|((&peak, &read), &t)| share(peak, read, t)).collect())
    }

    /// A side's shares of the peak and of the bandwidth of its threads.
    fn shares(&self, name: &str, times: &Times) -> [f64; 2] {
        let threads = self.threads_of(name);
        [
            self.over_rounds(times, |peak, _, t| self.data.flops() / (t * threads) / peak),
            self.over_rounds(times, |_, read, t| self.r_bytes() / (t * threads) / read),
        ]
    }

    /// A side's fastest call divided by rnnpack's fastest call.
    fn ratio(&self, times: &Times) -> f64 {
        times.min / self.times[0].1.min
    }

    pub(crate) fn text(&self) -> String {
        let Shape { input, hidden, direction } = self.data.shape;
        let LayerData { time, batch, cell, .. } = self.data;
        let (op, threads) = (cell.op(), count(self.threads.into(), "thread"));
        let plan = instructions(self.layer.plan().variant);
        let subnormals = match self.layer.subnormals() {
            Subnormals::Keep => String::new(),
            other => format!("; subnormals: {}", other.name()),
        };
        let weights = match self.layer.weight_type() {
            WeightType::F32 => String::new(),
            other => format!("; weights: {}", weights_text(Some(other), self.layer.dots())),
        };
        let peepholes = if self.data.p.is_some() { "; peepholes" } else { "" };
        let shape = format!(
            "{op} T={time} B={batch} I={input} H={hidden} {direction}, {plan}, {threads}\n{}{peepholes}{weights}{subnormals}\n",
            cell::text(cell),
        );
        let agreement = self.agreement.text();
        if self.times.is_empty() {
            return shape + &agreement;
        }
        shape + &agreement + &self.times_text() + &self.limits_text()
    }

    fn times_text(&self) -> String {
        let headings = ["side", "calls", "min µs", "median µs", "ratio", "peak", "read"];
        let mut table = Table::new(&headings, &[false, true, true, true, true, true, true]);
        for (name, times) in &self.times {
            let [peak, read] = self.shares(name, times).map(|x| format!("{:.1}%", 100.0 * x));
            let ratio = format!("{:.2}", self.ratio(times));
            let [min, median] = [times.min, times.median].map(micros);
            table.row(vec![name.to_string(), times.calls.to_string(), min, median, ratio, peak, read]);
        }
        format!("\n{}\n", table.render())
    }

    fn limits_text(&self) -> String {
        let [peak, bandwidth] = self.limits.medians();
        let mut out = format!(
            "one thread, median of {}: {:.1} GFLOP/s, {:.1} GB/s reading {} (R packed); shares are medians of rounds\n",
            count(self.limits.peaks.len(), "probe"),
            peak / 1e9,
            bandwidth / 1e9,
            report::bytes(self.limits.bytes)
        );
        if let Some((_, one)) = self.times.iter().find(|(name, _)| *name == ONE_THREAD) {
            out += &format!("{} threads are {:.2} times as fast as one\n", self.threads, self.ratio(one));
        }
        if let Some(reached) = self.limit_reached() {
            let [read, projection] = self.limit(peak, bandwidth);
            let [all, read, projection] = [read + projection, read, projection].map(micros);
            out += &format!(
                "batch-1 limit, one thread: {all} µs (R {read}, projection {projection}), {:.1}% reached\n",
                100.0 * reached
            );
        }
        out
    }

    /// The share of the batch-1 limit that one thread reaches. `None` for larger batches.
    fn limit_reached(&self) -> Option<f64> {
        let one = |name: &str| name == ONE_THREAD || (self.threads == 1 && name == OURS);
        let (_, times) = self.times.iter().find(|(name, _)| one(name))?;
        let share = |peak, read, t: f64| self.limit(peak, read).iter().sum::<f64>() / t;
        (self.data.batch == 1).then(|| self.over_rounds(times, share))
    }

    pub(crate) fn json(&self) -> Value {
        let Shape { input, hidden, direction } = self.data.shape;
        let [peak, bandwidth] = self.limits.medians();
        let [read, projection] = self.limit(peak, bandwidth);
        json!({
            "shape": { "time": self.data.time, "batch": self.data.batch, "input": input, "hidden": hidden },
            "op": self.data.cell.op(),
            "cell": cell::json(&self.data.cell),
            "peepholes": self.data.p.is_some(),
            "direction": direction.to_string(),
            "isa": self.layer.plan().variant.name(),
            "threads": self.threads,
            "weights": self.layer.weight_type().name(),
            "dots": self.layer.dots(),
            "subnormals": self.layer.subnormals().name(),
            "flops": self.data.flops(),
            "packed_bytes": self.layer.packed_bytes(),
            "agreement": self.agreement.json(),
            "limits": {
                "probes": self.limits.peaks.len(), "peak_flops": peak,
                "read_bytes_per_s": bandwidth, "read_buffer_bytes": self.limits.bytes,
            },
            "batch1_limit": self.limit_reached().map(|reached| json!({
                "read_us": read * 1e6, "projection_us": projection * 1e6, "reached": reached,
            })),
            "sides": self.times.iter().map(|(name, times)| self.side_json(name, times)).collect::<Value>(),
        })
    }

    fn side_json(&self, name: &str, times: &Times) -> Value {
        let [peak, read] = self.shares(name, times);
        let mut side = times.json(name);
        side["ratio"] = json!(self.ratio(times));
        side["peak_share"] = json!(peak);
        side["read_share"] = json!(read);
        side
    }
}
