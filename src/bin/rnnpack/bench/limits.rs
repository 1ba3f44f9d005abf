//! What one core of this machine can do at most, measured while the sides are timed.

use rnnpack::{Variant, probe};
use std::time::{Duration, Instant};

/// How long each of the two limits is measured in one probe.
const PROBE: Duration = Duration::from_millis(20);
/// At least this long between two probes.
const PAUSE: Duration = Duration::from_millis(250);

/// The best of all probes so far.
pub(crate) struct Limits {
    variant: Variant,
    /// Bytes of the buffer that the bandwidth is measured with.
    pub(crate) bytes: usize,
    /// Peak multiply-add throughput of one thread, in flop/s.
    pub(crate) peak: f64,
    /// Read bandwidth of one thread, in bytes/s.
    pub(crate) bandwidth: f64,
    pub(crate) probes: usize,
    last: Option<Instant>,
}

impl Limits {
    pub(crate) fn new(variant: Variant, bytes: usize) -> Limits {
        Limits { variant, bytes, peak: 0.0, bandwidth: 0.0, probes: 0, last: None }
    }

    /// Measures again, unless it did so a moment ago.
    pub(crate) fn probe(&mut self) {
        if self.last.is_some_and(|t| t.elapsed() < PAUSE) {
            return;
        }
        self.peak = self.peak.max(probe::fma_peak(self.variant, PROBE));
        self.bandwidth = self.bandwidth.max(probe::read_bandwidth(self.variant, self.bytes, PROBE));
        self.probes += 1;
        self.last = Some(Instant::now());
    }
}
