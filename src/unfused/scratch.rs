//! The working memory of unfused layers, and how it is divided.

use super::number::Number;
use crate::error::Error;
use crate::saved::Saved;
use crate::shape::Shape;
use rnnpack_kernels::Ragged;
use rnnpack_kernels::memory::reserve;

/// The most numbers that a chunk of steps may take, input and projected input together. A single step may take more.
/// The limit is large enough for products at full speed at any usual size. It is small enough (4 MiB of f64) for
/// every stream to keep such a scratch.
const CHUNK: usize = 1 << 19;

/// Working memory of [`UnfusedLayer::forward`](crate::UnfusedLayer::forward), for any layer and shape. It grows to
/// the largest call and is then reused. `matrixmultiply` also uses memory of its own, at most a few MiB, which it
/// allocates and frees in every product.
#[derive(Debug, Default)]
pub struct UnfusedScratch<F> {
    /// The rows of the batch, longest sequence first.
    pub(super) ragged: Ragged,
    /// Divided as [`Division`] says.
    pub(super) numbers: Vec<F>,
    /// The state before a call that may be stopped.
    pub(super) saved: Saved<F>,
}

/// How the numbers of the scratch are divided: inputs, gates, and three states (h, c and one more).
#[derive(Clone, Copy)]
pub(super) struct Division {
    /// Steps whose input is projected together.
    pub(super) steps: usize,
    /// Numbers of the inputs of a chunk.
    pub(super) inputs: usize,
    /// Gate sums of a chunk.
    pub(super) gates: usize,
    /// Numbers of one state of all rows.
    pub(super) state: usize,
    /// The sum of all parts.
    pub(super) total: usize,
}

impl Division {
    pub(super) fn new(
        Shape { input, hidden, .. }: Shape,
        width: usize,
        [time, batch]: [usize; 2],
    ) -> Result<Division, Error> {
        let sizes = || {
            let step = input.checked_add(width)?.checked_mul(batch)?;
            let steps = (CHUNK / step.max(1)).clamp(1, time.max(1));
            let pairs = steps.checked_mul(batch)?;
            let (inputs, gates) = (pairs.checked_mul(input)?, pairs.checked_mul(width)?);
            let state = batch.checked_mul(hidden)?;
            let total = state.checked_mul(3)?.checked_add(inputs)?.checked_add(gates)?;
            Some(Division { steps, inputs, gates, state, total })
        };
        Ok(sizes().ok_or(rnnpack_kernels::Error::Overflow { what: "scratch" })?)
    }
}

impl<F: Number> UnfusedScratch<F> {
    /// Empty; memory comes with the first call.
    pub fn new() -> UnfusedScratch<F> {
        UnfusedScratch::default()
    }

    /// Makes room for a call, and sorts its rows.
    pub(super) fn prepare(
        &mut self,
        [time, batch]: [usize; 2],
        lens: Option<&[i32]>,
        division: Division,
    ) -> Result<(), Error> {
        let memory = || rnnpack_kernels::Error::Memory { what: "scratch", floats: division.total };
        let more = division.total.saturating_sub(self.numbers.len());
        reserve(&mut self.numbers, more).ok_or_else(memory)?;
        // A call overwrites what an earlier call left before it reads it.
        self.numbers.resize(self.numbers.len() + more, F::default());
        Ok(self.ragged.sort(time, batch, lens)?)
    }
}
