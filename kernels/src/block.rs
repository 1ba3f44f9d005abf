//! A block: rows of a call that go through all their steps together, with their states in the scratch.

use crate::factors::HEADER;
use crate::isa::Isa;
use crate::operands::Operands;
use crate::pack::{Description, WeightPanels};
use crate::products::Products;
use crate::rows::{Factors, Rows};
use crate::scratch::ScratchLayout;
use crate::stop::Stop;
use core::ops::Range;

/// The rows of a block and its memory.
///
/// # Invariant
/// [`forward`](crate::forward) makes it for a checked call. `layout` is for these weights and the blocking of the call.
/// `rows` have the sizes of the weights, and there are at most as many as the blocking has. `floats` and `x` have at
/// least the sizes of `layout`.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) panels: &'a WeightPanels,
    /// Those of these weights.
    pub(crate) products: &'a Products,
    pub(crate) rows: Rows<'a>,
    /// The number of steps whose input is projected together.
    pub(crate) steps: usize,
    pub(crate) stop: Option<Stop<'a>>,
    pub(crate) x: &'a mut [Factors],
    pub(crate) floats: &'a mut [f32],
    pub(crate) layout: ScratchLayout,
}

impl Block<'_> {
    /// Stores the addresses of the rows of x of these steps, and returns their number. If the product takes other factors
    /// than f32, the rows become these, in the `memory` of the block.
    pub(crate) fn locate_inputs(&mut self, memory: *mut f32, steps: Range<usize>) -> usize {
        let Rows { addresses, ragged, x_time, reverse, .. } = self.rows;
        let mut pairs = 0;
        for step in steps {
            let running = ragged.running(step);
            let places = &mut self.x[pairs..][..running];
            for (i, (to, row)) in places.iter_mut().zip(&addresses[..running]).enumerate() {
                *to = Factors(row.x.wrapping_add(ragged.time(reverse, step, i) * x_time));
            }
            pairs += running;
        }
        if let Some(convert) = self.products.convert {
            let &Description { sizes, zero_points: [of_w, _], .. } = self.panels.description();
            let place = memory.wrapping_add(self.layout.factors).cast::<u8>();
            for (pair, row) in self.x[..pairs].iter_mut().enumerate() {
                let to = place.wrapping_add(pair * self.layout.x_bytes + HEADER);
                // SAFETY: the row has I f32. The layout has room for a row of I factors for each pair, on cache lines.
                unsafe { convert(row.0, sizes.input, to, of_w) }
                *row = Factors(to.cast_const().cast());
            }
        }
        pairs
    }

    /// The memory of the block, for [`Block::operands`].
    pub(crate) fn memory(&mut self) -> *mut f32 {
        self.floats.as_mut_ptr()
    }

    /// The operands of pass `index`, for the located rows of x.
    #[inline(always)]
    pub(crate) fn operands(&self, memory: *mut f32, index: usize) -> Operands<'_> {
        let layout = self.layout;
        let &Description { sizes, zero_points: [_, of_r], .. } = self.panels.description();
        let pass = &self.panels.passes()[index];
        let earlier = if index == 0 { 0 } else { layout.pairs * self.panels.passes()[0].bias.len() };
        // Steps alternate between two buffers of h.
        let h = [memory, memory.wrapping_add(layout.h)];
        let states = [0, 1].map(|index| memory.wrapping_add(layout.state(index)));
        let (sources, source_row) = if index == 0 { (h, layout.h_row) } else { ([states[1]; 2], layout.row) };
        let convert = self.products.convert.map(|convert| (convert, of_r));
        let (factors, factor_row) = match convert {
            None => (sources.map(<*mut f32>::cast), source_row * size_of::<f32>()),
            Some(_) => {
                // The rows of h follow those of x.
                let first = layout.pairs * layout.x_bytes + HEADER;
                let place = memory.wrapping_add(layout.factors).cast::<u8>().wrapping_add(first);
                ([place; 2], layout.h_bytes)
            }
        };
        Operands {
            w: pass.w.as_ptr(),
            r: pass.r.as_ptr(),
            scales: [pass.w_scales.as_ptr(), pass.r_scales.as_ptr()],
            bias: pass.bias.as_ptr(),
            constants: self.panels.constants().as_ptr(),
            x: self.x,
            sources: sources.map(<*mut f32>::cast_const),
            source_row,
            factors,
            factor_row,
            convert,
            h,
            h_row: layout.h_row,
            states,
            row: layout.row,
            gates: memory.wrapping_add(layout.gates() + earlier),
            pairs: layout.pairs,
            input: sizes.input,
            recurrent: sizes.recurrent,
            panels: pass.panels,
            y: self.rows.have_y().then_some(&self.rows),
        }
    }

    /// Room for the sums of a tile, for a thread that takes all panels of a pass.
    pub(crate) fn sums(&self, memory: *mut f32) -> *mut f32 {
        memory.wrapping_add(self.layout.sums())
    }

    /// Copies the initial h (into the buffer that step 0 reads) and c to the scratch, padded with zeros.
    /// All cells share the code.
    #[inline(never)]
    pub(crate) fn load_states<S: Isa>(&mut self, s: S) {
        s.vectorize(
            #[inline(always)]
            || self.load_rows(s),
        )
    }

    #[inline(always)]
    fn load_rows<S: Isa>(&mut self, s: S) {
        let (layout, sizes) = (self.layout, self.panels.description().sizes);
        let floats = self.floats.as_mut_ptr();
        for (i, row) in self.rows.addresses.iter().enumerate() {
            // SAFETY: h is valid for reading P f32 (invariant of `Rows`), and is not part of the scratch. The scratch has
            // `layout.h_row` f32 for every row of the block.
            unsafe { load(s, floats.add(i * layout.h_row), layout.h_row, row.h, sizes.recurrent) }
            if !row.c.is_null() {
                let to = floats.wrapping_add(layout.state(0) + i * layout.row);
                // SAFETY: as of h, with H f32 and `layout.row`.
                unsafe { load(s, to, layout.row, row.c, sizes.hidden) }
            }
        }
    }

    /// Copies the final h and c to the caller. A row of length `len` was written `len` times, so its h is in buffer
    /// `len % 2`.
    /// All cells share the code.
    #[inline(never)]
    pub(crate) fn store_states<S: Isa>(&mut self, s: S) {
        s.vectorize(
            #[inline(always)]
            || self.store_rows(s),
        )
    }

    #[inline(always)]
    fn store_rows<S: Isa>(&mut self, s: S) {
        let (layout, sizes) = (self.layout, self.panels.description().sizes);
        let floats = self.floats.as_ptr();
        for (i, (row, &len)) in self.rows.addresses.iter().zip(self.rows.ragged.lens()).enumerate() {
            let h = floats.wrapping_add(len % 2 * layout.h + i * layout.h_row);
            // SAFETY: h is valid for writing P f32 (invariant of `Rows`), and is not part of the scratch, which has as
            // many for every row of the block.
            unsafe { copy(s, row.h, h, sizes.recurrent) }
            if !row.c.is_null() {
                let c = floats.wrapping_add(layout.state(0) + i * layout.row);
                // SAFETY: as of h, with H f32.
                unsafe { copy(s, row.c, c, sizes.hidden) }
            }
        }
    }
}

/// Copies `count` f32 from `from` to `to`, and fills the rest of the `room` f32 there with zeros.
///
/// # Safety
/// `from` must be valid for reading `count` f32, `to` for writing `room` f32, and they must not overlap.
#[inline(always)]
unsafe fn load<S: Isa>(s: S, to: *mut f32, room: usize, from: *const f32, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { copy(s, to, from, count) }
    if room > count {
        // SAFETY: the rest of the room.
        unsafe { to.add(count).write_bytes(0, room - count) }
    }
}

/// Copies `count` f32. Rows are short, so that a call of the library's copy would take longer.
///
/// # Safety
/// `from` must be valid for reading and `to` for writing `count` f32, and they must not overlap.
#[inline(always)]
unsafe fn copy<S: Isa>(s: S, to: *mut f32, from: *const f32, count: usize) {
    let mut i = 0;
    while i + S::LANES <= count {
        // SAFETY: i + LANES <= count.
        unsafe { s.store(to.wrapping_add(i), s.load(from.wrapping_add(i))) }
        i += S::LANES;
    }
    if i < count {
        // SAFETY: count - i of the elements are left.
        unsafe { to.wrapping_add(i).copy_from_nonoverlapping(from.wrapping_add(i), count - i) }
    }
}
