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
use crate::driver::Recurrence;
use crate::epilogue::{Epilogue, Keep};
use crate::error::Error;
use crate::isa::{Choice, Isa, Variant};
use crate::operands::{Operands, Share, Step};
use crate::pack::Description;
use crate::passes::{PassVisitor, Passes, Visitor, visit};
use crate::products::Products;
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
pub(crate) fn run_for<K: Keep>(variant: Variant, description: &Description) -> Run<K> {
    let &Description { ref cell, peepholes, weights, .. } = description;
    visit(cell, peepholes, OfPasses { variant, inline: weights == WeightType::F32, keep: PhantomData })
}

struct OfPasses<K> {
    variant: Variant,
    inline: bool,
    keep: PhantomData<K>,
}

impl<K: Keep> Visitor for OfPasses<K> {
    type Output = Run<K>;

    fn visit<P: Passes>(self) -> Run<K> {
        self.variant.choose(OfIsa::<P, K> { inline: self.inline, types: PhantomData })
    }
}

struct OfIsa<P, K> {
    inline: bool,
    types: PhantomData<(P, K)>,
}

impl<P: Passes, K: Keep> Choice for OfIsa<P, K> {
    type Output = Run<K>;

    fn choose<S: Isa>(self) -> Run<K> {
        // Products other than that of f32 share the code of all epilogues. A copy for each would be as much code again.
        match self.inline && P::INLINE {
            true => run::<S, P, K, true>,
            false => run::<S, P, K, false>,
        }
    }
}

/// See [`Run`].
///
/// # Safety
/// As there.
unsafe fn run<S: Isa, P: Passes, K: Keep, const INLINE: bool>(
    block: &mut Block<'_>,
    keep: K,
) -> Result<(), Error> {
    // SAFETY: weights are packed for a `Variant`, which exists only where its instruction set was detected.
    let s = unsafe { S::assume() };
    let &Description { cell, peepholes, lanes, .. } = block.panels.description();
    assert_eq!(S::LANES, lanes, "weights of another variant");
    debug_assert!(
        block.panels.passes().iter().map(|pass| &pass.shape).eq(P::SHAPES),
        "weights of other passes"
    );
    let passes = P::of(&cell, peepholes);
    s.vectorize(
        #[inline(always)]
        || steps::<S, P, K, INLINE>(s, block, passes, keep),
    )
}

/// The loops of [`Run`].
#[inline(always)]
fn steps<S: Isa, P: Passes, K: Keep, const INLINE: bool>(
    s: S,
    block: &mut Block<'_>,
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
        // All addresses of the chunk come from this one.
        let memory = block.memory();
        let pairs = block.locate_inputs(memory, first..end);
        let (first_pass, second_pass);
        first_pass = block.operands(memory, 0);
        // Most cells have one pass. Nothing is copied for a second one.
        let operands = if P::SHAPES.len() > 1 {
            second_pass = block.operands(memory, 1);
            [&first_pass, &second_pass]
        } else {
            [&first_pass; 2]
        };
        let sums = block.sums(memory);
        let products = block.products;
        passes.each(&mut Project { products, operands, pairs });
        let mut base = 0;
        for index in first..end {
            let step = Step { index, rows: ragged.running(index), base };
            passes.each(&mut Recur::<S, K, INLINE> { s, products, operands, sums, step, keep });
            base += step.rows;
        }
        first = end;
    }
    block.store_states(s);
    Ok(())
}

/// Projects the located rows of x.
struct Project<'a> {
    products: &'a Products,
    operands: [&'a Operands<'a>; 2],
    pairs: usize,
}

impl PassVisitor for Project<'_> {
    #[inline(always)]
    fn pass<E: Epilogue>(&mut self, index: usize, _: E) {
        let operands = self.operands[index];
        // SAFETY: `pairs` rows of x were located, and the gate buffer has room for as many.
        unsafe { (self.products.project)(operands, E::SHAPE, self.pairs, 0..operands.panels) }
    }
}

/// Computes a step.
struct Recur<'a, S, K, const INLINE: bool> {
    s: S,
    products: &'a Products,
    operands: [&'a Operands<'a>; 2],
    sums: *mut f32,
    step: Step,
    keep: K,
}

impl<S: Isa, K: Keep, const INLINE: bool> PassVisitor for Recur<'_, S, K, INLINE> {
    #[inline(always)]
    fn pass<E: Epilogue>(&mut self, index: usize, epilogue: E) {
        let &mut Recur { s, products, operands, sums, step, keep } = self;
        let operands = operands[index];
        let share = Share { panels: 0..operands.panels, sums };
        // SAFETY: the running rows of this step are the pairs from its base on, as `locate_inputs` counted them. The
        // share is the whole pass, with room for its sums in the scratch. `keep` has room, as the caller of `run`
        // promised.
        unsafe {
            if !INLINE {
                operands.make_factors(step);
            }
            Recurrence { epilogue, keep, operands, products, step }.run::<S, INLINE>(s, share)
        }
    }
}
