//! Working memory of forward calls.

use crate::saved::Saved;
use std::fmt;

/// Working memory of forward calls, for any layer and shape. It grows to the largest call and is then reused, so that
/// no later call of that size allocates. One thread uses it at a time.
#[derive(Default)]
pub struct Scratch {
    /// One for each share of a call on several threads. Calls on one thread use the first.
    shares: Vec<rnnpack_kernels::Scratch>,
    /// The state before a call that may be stopped.
    pub(crate) saved: Saved,
}

impl Scratch {
    /// Empty; memory comes with the first call.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// The part of the calling thread.
    #[inline]
    pub(crate) fn first(&mut self) -> &mut rnnpack_kernels::Scratch {
        if self.shares.is_empty() {
            self.shares.push(rnnpack_kernels::Scratch::new());
        }
        &mut self.shares[0]
    }

    pub(crate) fn shares(&mut self, count: usize) -> &mut [rnnpack_kernels::Scratch] {
        if self.shares.len() < count {
            self.shares.resize_with(count, rnnpack_kernels::Scratch::new);
        }
        &mut self.shares[..count]
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("shares", &self.shares.len()).finish_non_exhaustive()
    }
}
