//! What one core of this machine can do at most, measured while the sides are timed.

use crate::median::median;
use rnnpack::{Variant, probe};
use std::time::Duration;

/// How long the multiply-add peak is measured in one probe.
const PEAK_PROBE: Duration = Duration::from_millis(1);
/// How long the read bandwidth is measured in one probe: several passes over a buffer of many megabytes.
const READ_PROBE: Duration = Duration::from_millis(4);

/// The probes of all rounds. Clocks drift, so what a side reached is related to the probe of its own round.
#[derive(Debug)]
pub struct Limits {
    variant: Variant,
    /// Bytes of the buffer that the bandwidth is measured with.
    pub bytes: usize,
    /// Peak multiply-add throughput of one thread in each round, in flop/s.
    pub peaks: Vec<f64>,
    /// Read bandwidth of one thread in each round, in bytes/s.
    pub bandwidths: Vec<f64>,
}

impl Limits {
    /// No probe yet; the bandwidth is to be that of a buffer of `bytes`.
    pub fn new(variant: Variant, bytes: usize) -> Limits {
        Limits { variant, bytes, peaks: Vec::new(), bandwidths: Vec::new() }
    }

    /// Measures at the start of a round.
    pub fn probe(&mut self) {
        self.bandwidths.push(probe::read_bandwidth(self.variant, self.bytes, READ_PROBE));
        self.peaks.push(probe::fma_peak(self.variant, PEAK_PROBE));
    }

    /// The median peak and the median bandwidth.
    pub fn medians(&self) -> [f64; 2] {
        [median(self.peaks.clone()), median(self.bandwidths.clone())]
    }
}
