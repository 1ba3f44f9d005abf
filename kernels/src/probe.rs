//! Measures the limits of one core, against which speed is judged.
//!
//! Both probes run for a given time on the calling thread. They report the best of many short rounds, so an
//! interruption does not lower a limit. Clocks drift: to compare a call with a limit, probe for a millisecond or two
//! directly before or after the call, and compare the medians of many such pairs.

use crate::aligned::{AlignedBuf, LINE};
use crate::isa::{Isa, Kernel, Variant};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Peak f32 multiply-add throughput of one core, in flop/s. A multiply-add counts as two flops.
pub fn fma_peak(variant: Variant, duration: Duration) -> f64 {
    best_rate(duration, || variant.dispatch(FmaRound))
}

/// Read bandwidth of one core in bytes/s, measured by reading a buffer of `bytes` over and over. It is the bandwidth of
/// the cache level, or of the memory, that holds the buffer. 0 if the buffer cannot be allocated.
pub fn read_bandwidth(variant: Variant, bytes: usize, duration: Duration) -> f64 {
    let len = (bytes / size_of::<f32>()).next_multiple_of(4 * LINE).max(4 * LINE);
    let Some(buffer) = AlignedBuf::zeroed(len) else { return 0.0 };
    let passes = (64 * 1024 / len).max(1);
    best_rate(duration, || variant.dispatch(ReadRound { buffer: &buffer, passes }))
}

/// The best rate of many rounds, in units per second. A round returns its number of units.
fn best_rate(duration: Duration, mut round: impl FnMut() -> f64) -> f64 {
    let start = Instant::now();
    let mut best = 0.0_f64;
    // At least two rounds: the first warms the caches.
    let mut warm = false;
    loop {
        let before = Instant::now();
        let units = round();
        best = best.max(units / before.elapsed().as_secs_f64());
        if warm && start.elapsed() >= duration {
            return best;
        }
        warm = true;
    }
}

struct FmaRound;

impl Kernel for FmaRound {
    type Output = f64;

    #[inline(always)]
    fn run<S: Isa>(self, s: S) -> f64 {
        // Independent chains: enough for two units of latency 4 or 5, few enough for 16 registers.
        const CHAINS: usize = 12;
        const STEPS: usize = 8192;
        let mut acc = [s.splat(black_box(1.0)); CHAINS];
        let (a, b) = (s.splat(black_box(0.5)), s.splat(black_box(0.25)));
        for _ in 0..STEPS {
            for acc in &mut acc {
                *acc = s.mul_add(*acc, a, b);
            }
        }
        black_box(acc);
        (2 * CHAINS * STEPS * S::LANES) as f64
    }
}

struct ReadRound<'a> {
    buffer: &'a AlignedBuf,
    passes: usize,
}

impl Kernel for ReadRound<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Isa>(self, s: S) -> f64 {
        // 8 loads per turn cover whole lines for every lane count and divide the buffer evenly.
        const LOADS: usize = 8;
        let turn = LOADS * S::LANES;
        let turns = self.buffer.len() / turn;
        let mut sum = [s.splat(0.0); LOADS];
        for _ in 0..self.passes {
            let start = black_box(self.buffer.as_ptr());
            for i in 0..turns {
                for (j, sum) in sum.iter_mut().enumerate() {
                    // SAFETY: (i + 1) · turn is at most the buffer's length.
                    *sum = s.add(*sum, unsafe { s.load(start.add(i * turn + j * S::LANES)) });
                }
            }
        }
        black_box(sum);
        (self.passes * turns * turn * size_of::<f32>()) as f64
    }
}
