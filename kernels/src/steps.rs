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
use crate::cell::Cell;
use crate::driver::{Recurrence, project, project_one};
use crate::epilogue::{Epilogue, Keep};
use crate::error::Error;
use crate::isa::{Choice, Isa, Variant};
use crate::operands::{Operands, Share, Step};
use crate::pack::{Description, Stored, WeightPanels};
use crate::passes::{PassVisitor, Passes, Visitor, visit};
use crate::product::{Bf16, F16, F32, Packing, Product};
use crate::stop::Stop;
use crate::weight_type::WeightType;
use core::marker::PhantomData;

/// A function that runs a block through all its steps, with the passes of one cell on one instruction set. `K` takes the
/// activated gates.
///
/// # Errors
/// [`Error::Stopped`] if the caller stops the call. The states of the rows are then as before.
///
/// # Safety
/// The block must keep its invariant, and its weights must be those that the function was chosen for. `K` must have room
/// for every row of the block at every step of its sequence.
pub(crate) type Run<K> = unsafe fn(&mut Block<'_>, K) -> Result<(), Error>;

/// The function for a cell on a variant. It is chosen once for packed weights, since the choice takes as long as the step of
/// a small layer.
pub(crate) fn run_for<K: Keep>(
    variant: Variant,
    cell: &Cell,
    peepholes: bool,
    weights: WeightType,
) -> Run<K> {
    visit(cell, peepholes, OfPasses { variant, weights, keep: PhantomData })
}

struct OfPasses<K> {
    variant: Variant,
    weights: WeightType,
    keep: PhantomData<K>,
}

impl<K: Keep> Visitor for OfPasses<K> {
    type Output = Run<K>;

    fn visit<P: Passes>(self) -> Run<K> {
        self.variant.choose(OfIsa::<P, K> { weights: self.weights, types: PhantomData })
    }
}

struct OfIsa<P, K> {
    weights: WeightType,
    types: PhantomData<(P, K)>,
}

impl<P: Passes, K: Keep> Choice for OfIsa<P, K> {
    type Output = Run<K>;

    fn choose<S: Isa>(self) -> Run<K> {
        match self.weights {
            WeightType::F32 => run::<S, P, F32, K>,
            WeightType::Bf16 => run::<S, P, Bf16, K>,
            WeightType::F16 => run::<S, P, F16, K>,
        }
    }
}

/// See [`Run`].
///
/// # Safety
/// As there.
unsafe fn run<S: Isa, P: Passes, W: Product<S, Factor = f32> + Stored, K: Keep>(
    block: &mut Block<'_>,
    keep: K,
) -> Result<(), Error> {
    // SAFETY: weights are packed for a `Variant`, which exists only where its instruction set was detected.
    let s = unsafe { S::assume() };
    let &Description { cell, peepholes, lanes, .. } = block.panels.description();
    assert_eq!(S::LANES, lanes, "weights of another variant");
    let panels = W::of(block.panels).expect("weights of another type");
    debug_assert!(block.is_packed_for(P::SHAPES), "weights of other passes");
    let passes = P::of(&cell, peepholes);
    s.vectorize(
        #[inline(always)]
        || steps(s, block, panels, passes, keep),
    )
}

/// The loops of [`Run`].
#[inline(always)]
fn steps<S: Isa, P: Passes, W: Product<S, Factor = f32>, K: Keep>(
    s: S,
    block: &mut Block<'_>,
    panels: &WeightPanels<W>,
    passes: P,
    keep: K,
) -> Result<(), Error> {
    block.load_states(s);
    let ragged = block.rows.ragged;
    let mut first = 0;
    while first < ragged.steps() {
        if block.stop.is_some_and(Stop::is_wanted) {
            return Err(Error::Stopped);
        }
        let end = ragged.steps().min(first + block.steps);
        let pairs = block.locate_inputs(first..end);
        let memory = block.memory();
        let (first_pass, second_pass);
        first_pass = block.operands(panels, memory, 0);
        // Most cells have one pass. Nothing is copied for a second one.
        let operands = if P::SHAPES.len() > 1 {
            second_pass = block.operands(panels, memory, 1);
            [&first_pass, &second_pass]
        } else {
            [&first_pass; 2]
        };
        let sums = block.sums(memory);
        passes.each(&mut Project::<S, W> { s, operands, pairs });
        let mut base = 0;
        for index in first..end {
            let step = Step { index, rows: ragged.running(index), base };
            passes.each(&mut Recur::<S, W, K> { s, operands, sums, step, keep });
            base += step.rows;
        }
        first = end;
    }
    block.store_states(s);
    Ok(())
}

/// Projects the located rows of x.
struct Project<'a, S, W: Packing> {
    s: S,
    operands: [&'a Operands<'a, W::Weight, f32>; 2],
    pairs: usize,
}

impl<S: Isa, W: Product<S, Factor = f32>> PassVisitor for Project<'_, S, W> {
    #[inline(always)]
    fn pass<E: Epilogue>(&mut self, index: usize, _: E) {
        let operands = self.operands[index];
        // SAFETY: `pairs` rows of x were located, and the gate buffer has room for as many.
        unsafe {
            match self.pairs {
                1 => project_one::<S, W>(self.s, operands, E::SHAPE),
                pairs => project::<S, W>(self.s, operands, E::SHAPE, pairs, 0..operands.panels),
            }
        }
    }
}

/// Computes a step.
struct Recur<'a, S, W: Packing, K> {
    s: S,
    operands: [&'a Operands<'a, W::Weight, f32>; 2],
    sums: *mut f32,
    step: Step,
    keep: K,
}

impl<S: Isa, W: Product<S, Factor = f32>, K: Keep> PassVisitor for Recur<'_, S, W, K> {
    #[inline(always)]
    fn pass<E: Epilogue>(&mut self, index: usize, epilogue: E) {
        let (step, keep, operands) = (self.step, self.keep, self.operands[index]);
        let share = Share { panels: 0..operands.panels, sums: self.sums };
        // SAFETY: the running rows of this step are the pairs from its base on, as `locate_inputs` counted them. The
        // share is the whole pass, with room for its sums in the scratch. `keep` has room, as the caller of `run`
        // promised.
        unsafe { Recurrence { epilogue, keep, operands, step }.run::<S, W>(self.s, share) }
    }
}
