//! The measured limits of one core of this machine.

use crate::median::median;
use rnnpack::{Variant, probe};
use std::time::Duration;

/// How long one probe measures the multiply-add peak.
const PEAK_PROBE: Duration = Duration::from_millis(1);
/// How long one probe measures the read bandwidth: several passes over a buffer of many megabytes.
const READ_PROBE: Duration = Duration::from_millis(4);

/// The probes of all rounds. Clock rates change, so a side's result is compared with the probe of its own round.
#[derive(Debug)]
pub struct Limits {
    variant: Variant,
    /// The size in bytes of the buffer for the bandwidth.
    pub bytes: usize,
    /// Peak multiply-add throughput of one thread in each round, in flop/s.
    pub peaks: Vec<f64>,
    /// Read bandwidth of one thread in each round, in bytes/s.
    pub bandwidths: Vec<f64>,
}

impl Limits {
    /// Limits without any probe. The bandwidth will be that of a buffer of `bytes`.
    pub fn new(variant: Variant, bytes: usize) -> Limits {
        Limits { variant, bytes, peaks: Vec::new(), bandwidths: Vec::new() }
    }

    /// Measures both limits. Call it at the start of a round.
    pub fn probe(&mut self) {
        self.bandwidths.push(probe::read_bandwidth(self.variant, self.bytes, READ_PROBE));
        self.peaks.push(probe::fma_peak(self.variant, PEAK_PROBE));
    }

    /// The median peak and the median bandwidth.
    pub fn medians(&self) -> [f64; 2] {
        [median(self.peaks.clone()), median(self.bandwidths.clone())]
    }
}
