//! Tests of passes that are computed in disjoint ranges of panels.

use super::super::{each_block, forward};
use super::{Case, cells};
use crate::block::Block;
use crate::driver::Recurrence;
use crate::epilogue::{Discard, Epilogue};
use crate::isa::{Isa, Kernel, Variant};
use crate::operands::{Operands, Share, Step, tile_sums};
use crate::packed::PackedWeights;
use crate::passes::{PassVisitor, Passes, Visitor, visit};
use crate::products::Products;
use crate::scratch::Scratch;
use crate::weight_type::WeightType;

/// Runs a block with every pass in two ranges, which meet at `split` sixths of the panels. The second range runs first.
struct InTwo<'a, 'b> {
    variant: Variant,
    block: &'a mut Block<'b>,
    split: usize,
}

impl Visitor for InTwo<'_, '_> {
    type Output = ();

    fn visit<P: Passes>(self) {
        let InTwo { block, split, variant } = self;
        let passes = P::of(&block.panels.description().cell, block.panels.description().peepholes);
        variant.dispatch(Run { block, split, passes })
    }
}

struct Run<'a, 'b, P> {
    block: &'a mut Block<'b>,
    split: usize,
    passes: P,
}

impl<P: Passes> Kernel for Run<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, s: S) {
        let Run { block, split, passes } = self;
        let steps = block.rows.ragged.steps();
        assert!(steps <= block.steps, "one chunk");
        block.load_states(s);
        let memory = block.memory();
        let (pairs, rows) = (block.locate_inputs(memory, 0..steps), block.rows.ragged.len());
        let room = tile_sums(block.panels.description().weights);
        let mut sums = [vec![0.0; room], vec![0.0; room]];
        let products = block.products;
        let (first, last) = (block.operands(memory, 0), block.operands(memory, P::SHAPES.len() - 1));
        let operands = [&first, &last];
        let mut pass = Pass { s, products, operands, split, sums: &mut sums, pairs: Some(pairs), step: None };
        passes.each(&mut pass);
        pass.pairs = None;
        for index in 0..steps {
            pass.step = Some(Step { index, rows, base: index * rows });
            passes.each(&mut pass);
        }
        block.store_states(s);
    }
}

/// A pass in two ranges: the projection of some pairs, or a step.
struct Pass<'a, S> {
    s: S,
    products: &'a Products,
    operands: [&'a Operands<'a>; 2],
    split: usize,
    sums: &'a mut [Vec<f32>; 2],
    pairs: Option<usize>,
    step: Option<Step>,
}

impl<S: Isa> PassVisitor for Pass<'_, S> {
    #[inline(always)]
    fn pass<E: Epilogue>(&mut self, index: usize, epilogue: E) {
        let &mut Pass { s, products, operands, .. } = self;
        let operands = operands[index];
        if let Some(step) = self.step {
            // SAFETY: all rows run at every step.
            unsafe { operands.make_factors(step) }
        }
        let middle = operands.panels * self.split / 6;
        for (panels, sums) in [middle..operands.panels, 0..middle].into_iter().zip(self.sums.iter_mut()) {
            if let Some(pairs) = self.pairs {
                // SAFETY: all pairs were located; the ranges are disjoint.
                unsafe { (products.project)(operands, E::SHAPE, pairs, panels.clone()) }
            }
            if let Some(step) = self.step {
                let share = Share { panels, sums: sums.as_mut_ptr() };
                // SAFETY: all rows run at every step; the ranges are disjoint, and their sums have separate memory.
                unsafe {
                    let pass = Recurrence { epilogue, keep: Discard, operands, products, step };
                    // What every cell of f32 with default activations runs, and what all others run.
                    match products.convert {
                        None => pass.run::<S, true>(s, share),
                        Some(_) => pass.run::<S, false>(s, share),
                    }
                }
            }
        }
    }
}

#[test]
fn a_step_in_two_ranges_of_panels_gives_the_bits_of_one_range() {
    for (cell, variant) in cells().into_iter().flat_map(|cell| Variant::available().map(move |v| (cell, v))) {
        // With one row, a tile takes two panels. 7 rows are split into tiles of different heights.
        for (hidden, batch) in [(17, 1), (300, 1), (301, 7), (300, 7), (130, 2)] {
            let case = Case::new(cell, [5, hidden], [3, batch]);
            let weights = [WeightType::F32, WeightType::I8][hidden % 2];
            let weights = case.weights().with_type(weights).unwrap();
            let packed = PackedWeights::new(variant, &weights).unwrap();
            let mut whole = case.clone();
            forward(&packed, whole.call(3), &mut Scratch::new()).unwrap();
            for split in 0..=6 {
                let mut parts = case.clone();
                let run = |block: &mut Block<'_>| {
                    visit(packed.cell(), packed.has_peepholes(), InTwo { block, split, variant });
                    Ok(())
                };
                each_block(&packed, parts.call(3), &mut Scratch::new(), run).unwrap();
                let right = parts.results() == whole.results();
                assert!(right, "{variant}, {cell:?}, H = {hidden}, B = {batch}, split at {split}/6");
            }
        }
    }
}
