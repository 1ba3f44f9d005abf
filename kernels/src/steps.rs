//! The loops over the steps of a block.
//!
//! ```text
//! for each chunk of time steps, unless the caller stops the call
//!   gates ← bias + W·x          all panels, all (step, row) of the chunk as rows of one product
//!   for each step of the chunk
//!     for each pass of the cell (one, or two for some GRUs)
//!       for each panel (forward on even steps, backward on odd ones)
//!         for each tile of rows still running
//!           gates + R·h, cell epilogue → c, next h, y
//! ```
//!
//! Every gate is one chain of fused multiply-adds: bias, x in ascending k, h in ascending k. Parking a partial sum in
//! the gate buffer changes no bit. So neither the blocking nor the other rows of the batch change the result of a row.

use crate::block::Block;
use crate::driver::{Recurrence, project};
use crate::epilogue::{Epilogue, Keep};
use crate::error::Error;
use crate::isa::{Isa, Kernel};
use crate::operands::Step;
use crate::passes::{PassVisitor, Passes, Visitor, visit};
use crate::product::F32;
use crate::stop::Stop;

/// Runs a block through all its steps, with the passes of its cell. `keep` takes the activated gates.
///
/// # Errors
/// [`Error::Stopped`] if the caller stops the call. The states of the rows are then as before.
///
/// # Safety
/// The block must keep its invariant. `keep` must have room for every row of the block at every step of its sequence.
pub(crate) unsafe fn run<K: Keep>(block: Block<'_>, keep: K) -> Result<(), Error> {
    let packed = block.packed;
    visit(packed.cell(), packed.has_peepholes(), Dispatch { block, keep })
}

struct Dispatch<'a, K> {
    block: Block<'a>,
    keep: K,
}

impl<K: Keep> Visitor for Dispatch<'_, K> {
    type Output = Result<(), Error>;

    fn visit<P: Passes>(self, passes: P) -> Result<(), Error> {
        let Dispatch { block, keep } = self;
        block.packed.variant().dispatch(Steps { block, passes, keep })
    }
}

/// A block, and the passes of its cell.
struct Steps<'a, P, K> {
    block: Block<'a>,
    passes: P,
    keep: K,
}

impl<P: Passes, K: Keep> Kernel for Steps<'_, P, K> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Isa>(self, s: S) -> Result<(), Error> {
        let Steps { mut block, passes, keep } = self;
        assert_eq!(S::LANES, block.packed.variant().lanes(), "dispatched to another variant than packed for");
        debug_assert!(block.is_packed_for(P::SHAPES), "packed for other passes");
        block.load_states();
        let steps = block.rows.ragged.steps();
        let mut first = 0;
        while first < steps {
            if block.stop.is_some_and(Stop::is_wanted) {
                return Err(Error::Stopped);
            }
            let end = steps.min(first + block.steps);
            let pairs = block.locate_inputs(first..end);
            passes.each(&mut Project { s, block: &mut block, step: first, pairs });
            let mut base = 0;
            for index in first..end {
                let step = Step { index, rows: block.rows.ragged.running(index), base };
                passes.each(&mut Recur { s, block: &mut block, step, keep });
                base += step.rows;
            }
            first = end;
        }
        block.store_states();
        Ok(())
    }
}

/// Projects the located rows of x.
struct Project<'a, 'b, S> {
    s: S,
    block: &'a mut Block<'b>,
    step: usize,
    pairs: usize,
}

impl<S: Isa> PassVisitor for Project<'_, '_, S> {
    #[inline(always)]
    fn pass<E: Epilogue>(&mut self, index: usize, _: E) {
        let operands = self.block.operands(self.step, index);
        let panels = 0..operands.panels;
        // SAFETY: `pairs` rows of x were located, and the gate buffer has room for as many.
        unsafe { project::<S, F32>(self.s, &operands, E::SHAPE, self.pairs, panels) }
    }
}

/// Computes a step.
struct Recur<'a, 'b, S, K> {
    s: S,
    block: &'a mut Block<'b>,
    step: Step,
    keep: K,
}

impl<S: Isa, K: Keep> PassVisitor for Recur<'_, '_, S, K> {
    #[inline(always)]
    fn pass<E: Epilogue>(&mut self, index: usize, epilogue: E) {
        let (step, keep) = (self.step, self.keep);
        let panels = self.block.packed.panels().passes()[index].panels;
        let share = self.block.whole(panels);
        let operands = &self.block.operands(step.index, index);
        // SAFETY: the running rows of this step are the pairs from its base on, as `locate_inputs` counted them. The
        // share is the whole pass. `keep` has room, as the caller of `run` promised.
        unsafe { Recurrence { epilogue, keep, operands, step }.run::<S, F32>(self.s, share) }
    }
}
