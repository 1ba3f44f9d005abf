//! A block: rows of a call that go through all their steps together, with their states in the scratch.

use crate::epilogue::PassShape;
use crate::operands::{Operands, Share};
use crate::pack::{PackedWeights, PassPanels};
use crate::product::F32;
use crate::rows::{Factors, Rows};
use crate::scratch::ScratchLayout;
use crate::stop::Stop;
use core::ops::Range;

/// The rows of a block and its memory.
///
/// # Invariant
/// [`forward`](crate::forward) makes it for a checked call. `layout` is for these weights and the blocking of the call.
/// `rows` have the sizes of the weights, and there are at most as many as the blocking has. `floats` and `x` have the
/// sizes of `layout`.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) packed: &'a PackedWeights,
    pub(crate) rows: Rows<'a>,
    /// The number of steps whose input is projected together.
    pub(crate) steps: usize,
    pub(crate) stop: Option<Stop<'a>>,
    pub(crate) x: &'a mut [Factors<f32>],
    pub(crate) floats: &'a mut [f32],
    pub(crate) layout: ScratchLayout,
}

impl Block<'_> {
    /// Stores the addresses of the rows of x of these steps, and returns their number.
    pub(crate) fn locate_inputs(&mut self, steps: Range<usize>) -> usize {
        let mut pairs = 0;
        for step in steps {
            for i in 0..self.rows.ragged.running(step) {
                self.x[pairs] = Factors(self.rows.x(step, i));
                pairs += 1;
            }
        }
        pairs
    }

    /// The operands of pass `index` at `step`.
    pub(crate) fn operands(&mut self, step: usize, index: usize) -> Operands<'_, f32, f32> {
        let (layout, panels) = (self.layout, self.packed.panels());
        let pass: &PassPanels<F32> = &panels.passes()[index];
        let floats = self.floats.as_mut_ptr();
        let earlier: usize = panels.passes()[..index].iter().map(|pass| layout.pairs * pass.bias.len()).sum();
        // Steps alternate between two buffers of h.
        let h = floats.wrapping_add(step % 2 * layout.h);
        let states = [0, 1].map(|index| floats.wrapping_add(layout.state(index)));
        let (factors, factor_row) = if index == 0 { (h, layout.h_row) } else { (states[1], layout.row) };
        let sizes = panels.description().sizes;
        Operands {
            w: pass.w.as_ptr(),
            r: pass.r.as_ptr(),
            bias: pass.bias.as_ptr(),
            constants: panels.constants().as_ptr(),
            x: self.x,
            factors,
            factor_row,
            h,
            h_next: floats.wrapping_add((step + 1) % 2 * layout.h),
            h_row: layout.h_row,
            states,
            row: layout.row,
            gates: floats.wrapping_add(layout.gates() + earlier),
            pairs: layout.pairs,
            input: sizes.input,
            recurrent: sizes.recurrent,
            panels: pass.panels,
            y: self.rows.have_y().then_some(&self.rows),
        }
    }

    /// The share of one thread that takes all panels of a pass, with the sums in the scratch.
    pub(crate) fn whole(&mut self, panels: usize) -> Share {
        Share { panels: 0..panels, sums: self.floats.as_mut_ptr().wrapping_add(self.layout.sums()) }
    }

    /// Whether the weights are packed for passes of these shapes.
    pub(crate) fn is_packed_for(&self, shapes: &[PassShape]) -> bool {
        self.packed.panels().passes().iter().map(|pass| &pass.shape).eq(shapes)
    }

    /// Copies the initial h (into the buffer that step 0 reads) and c to the scratch, padded with zeros.
    pub(crate) fn load_states(&mut self) {
        let (layout, sizes) = (self.layout, self.packed.sizes());
        for (i, row) in self.rows.addresses.iter().enumerate() {
            let h = &mut self.floats[i * layout.h_row..][..layout.h_row];
            // SAFETY: h is valid for reading P f32 (invariant of `Rows`), and is not part of the scratch.
            unsafe { load(h, row.h, sizes.recurrent) }
            if !row.c.is_null() {
                let c = &mut self.floats[layout.state(0) + i * layout.row..][..layout.row];
                // SAFETY: c is valid for reading H f32, and is not part of the scratch.
                unsafe { load(c, row.c, sizes.hidden) }
            }
        }
    }

    /// Copies the final h and c to the caller. A row of length `len` was written `len` times, so its h is in buffer
    /// `len % 2`.
    pub(crate) fn store_states(&mut self) {
        let (layout, sizes) = (self.layout, self.packed.sizes());
        for (i, (row, &len)) in self.rows.addresses.iter().zip(self.rows.ragged.lens()).enumerate() {
            let h = &self.floats[len % 2 * layout.h + i * layout.h_row..][..sizes.recurrent];
            // SAFETY: h is valid for writing P f32 (invariant of `Rows`), and is not part of the scratch.
            unsafe { row.h.copy_from_nonoverlapping(h.as_ptr(), h.len()) }
            if !row.c.is_null() {
                let c = &self.floats[layout.state(0) + i * layout.row..][..sizes.hidden];
                // SAFETY: c is valid for writing H f32, and is not part of the scratch.
                unsafe { row.c.copy_from_nonoverlapping(c.as_ptr(), c.len()) }
            }
        }
    }
}

/// Copies `count` f32 from `from` to `to`, and fills the rest of `to` with zeros.
///
/// # Safety
/// `from` must be valid for reading `count` f32, and must not overlap `to`.
unsafe fn load(to: &mut [f32], from: *const f32, count: usize) {
    let (to, padding) = to.split_at_mut(count);
    // SAFETY: the caller's promise.
    unsafe { to.as_mut_ptr().copy_from_nonoverlapping(from, count) }
    padding.fill(0.0);
}
