//! What is reported of a timed layer.

use super::agreement::{Agreement, ONE_THREAD, OURS};
use super::layer::LayerData;
use super::limits::Limits;
use super::timing::Times;
use crate::report::{self, Table, count, micros};
use rnnpack::{Lstm, LstmShape};
use serde_json::{Value, json};

pub(crate) struct Report<'a> {
    pub(crate) threads: u16,
    pub(crate) data: &'a LayerData,
    pub(crate) lstm: &'a Lstm,
    pub(crate) agreement: Agreement,
    pub(crate) limits: Limits,
    /// Of all sides, rnnpack first; empty where the sides do not agree.
    pub(crate) times: Vec<(&'static str, Times)>,
}

impl Report<'_> {
    /// Seconds that R's bytes take at the read bandwidth, and the projection at the peak.
    fn limit(&self) -> [f64; 2] {
        let Limits { peak, bandwidth, .. } = self.limits;
        [self.data.r_bytes() / bandwidth, self.data.projection_flops() / peak]
    }

    /// Threads that a side uses.
    fn threads_of(&self, name: &str) -> f64 {
        if name == OURS { f64::from(self.threads) } else { 1.0 }
    }

    /// Share of the peak, and of the bandwidth, of the threads that a side uses.
    fn shares(&self, name: &str, times: Times) -> [f64; 2] {
        let seconds = times.min * self.threads_of(name);
        [
            self.data.flops() / seconds / self.limits.peak,
            self.data.r_bytes() / seconds / self.limits.bandwidth,
        ]
    }

    /// How many times as long as rnnpack's fastest call a side's fastest call takes.
    fn ratio(&self, times: Times) -> f64 {
        times.min / self.times[0].1.min
    }

    pub(crate) fn text(&self) -> String {
        let LstmShape { input, hidden, direction } = self.data.shape;
        let (time, batch, plan) = (self.data.time, self.data.batch, self.lstm.plan());
        let threads = count(self.threads.into(), "thread");
        let shape = format!("T={time} B={batch} I={input} H={hidden} {direction}, {plan}, {threads}\n");
        let agreement = self.agreement.text();
        if self.times.is_empty() {
            return shape + &agreement;
        }
        shape + &agreement + &self.times_text() + &self.limits_text()
    }

    fn times_text(&self) -> String {
        let headings = ["side", "calls", "min µs", "median µs", "ratio", "peak", "read"];
        let mut table = Table::new(&headings, &[false, true, true, true, true, true, true]);
        for &(name, times) in &self.times {
            let [peak, read] = self.shares(name, times).map(|x| format!("{:.1}%", 100.0 * x));
            let ratio = format!("{:.2}", self.ratio(times));
            let Times { calls, min, median } = times;
            table.row(vec![name.into(), calls.to_string(), micros(min), micros(median), ratio, peak, read]);
        }
        format!("\n{}\n", table.render())
    }

    fn limits_text(&self) -> String {
        let Limits { peak, bandwidth, bytes, probes, .. } = self.limits;
        let mut out = format!(
            "one thread, best of {}: {:.1} GFLOP/s, {:.1} GB/s reading {} (R packed)\n",
            count(probes, "probe"),
            peak / 1e9,
            bandwidth / 1e9,
            report::bytes(bytes)
        );
        if let Some((_, one)) = self.times.iter().find(|(name, _)| *name == ONE_THREAD) {
            out += &format!("{} threads are {:.2} times as fast as one\n", self.threads, self.ratio(*one));
        }
        if let Some(reached) = self.limit_reached() {
            let [read, projection] = self.limit();
            let [all, read, projection] = [read + projection, read, projection].map(micros);
            out += &format!(
                "batch-1 limit, one thread: {all} µs (R {read}, projection {projection}), {:.1}% reached\n",
                100.0 * reached
            );
        }
        out
    }

    /// Share of the batch-1 limit that one thread reaches.
    fn limit_reached(&self) -> Option<f64> {
        let one = |name: &str| name == ONE_THREAD || (self.threads == 1 && name == OURS);
        let (_, times) = self.times.iter().find(|(name, _)| one(name))?;
        (self.data.batch == 1).then(|| self.limit().iter().sum::<f64>() / times.min)
    }

    pub(crate) fn json(&self) -> Value {
        let LstmShape { input, hidden, direction } = self.data.shape;
        let Limits { peak, bandwidth, bytes, probes, .. } = self.limits;
        let [read, projection] = self.limit();
        json!({
            "shape": { "time": self.data.time, "batch": self.data.batch, "input": input, "hidden": hidden },
            "direction": direction.to_string(),
            "isa": self.lstm.plan().variant.name(),
            "threads": self.threads,
            "flops": self.data.flops(),
            "packed_bytes": self.lstm.packed_bytes(),
            "agreement": self.agreement.json(),
            "limits": {
                "probes": probes, "peak_flops": peak,
                "read_bytes_per_s": bandwidth, "read_buffer_bytes": bytes,
            },
            "batch1_limit": self.limit_reached().map(|reached| json!({
                "read_us": read * 1e6, "projection_us": projection * 1e6, "reached": reached,
            })),
            "sides": self.times.iter().map(|&(name, times)| self.side_json(name, times)).collect::<Value>(),
        })
    }

    fn side_json(&self, name: &str, times: Times) -> Value {
        let [peak, read] = self.shares(name, times);
        let mut side = times.json(name);
        side["ratio"] = json!(self.ratio(times));
        side["peak_share"] = json!(peak);
        side["read_share"] = json!(read);
        side
    }
}
