//! The parts of a call that belong to a range of batch rows.

use crate::sequence::Views;
use crate::{Error, Shape, State};
use rnnpack_kernels::{Cell, Dims, Element, Sizes, Stop, View, ViewMut};

/// Some batch rows of a call.
pub(crate) struct Rows<'a, F = f32> {
    pub(crate) x: View<'a, F>,
    pub(crate) lens: Option<&'a [i32]>,
    pub(crate) y: Option<ViewMut<'a, F>>,
    /// `[B, H]` of each direction; the second is empty if there is only one direction.
    pub(crate) h: [&'a mut [F]; 2],
    pub(crate) c: [&'a mut [F]; 2],
    pub(crate) stop: Option<Stop<'a>>,
}

impl<'a, F: Element> Rows<'a, F> {
    /// All rows of a call, after a check of everything that can be wrong with its shapes.
    // Inlined, since the parts of a call would go through memory otherwise. That costs a hundred instructions; a
    // small step has thousands.
    #[inline(always)]
    pub(crate) fn new(
        cell: &Cell,
        Shape { input, hidden, direction }: Shape,
        Views { x, y, lens, stop, .. }: Views<'a, F>,
        state: &'a mut State<F>,
    ) -> Result<Rows<'a, F>, Error> {
        let directions = direction.count();
        let Dims { time, batch, .. } = x.dims();
        state.check(cell, Shape { input, hidden, direction }, batch)?;
        let cells = if cell.has_cell_state() { batch * hidden } else { 0 };
        let (h0, h1) = state.h.split_at_mut(batch * hidden);
        let (c0, c1) = state.c.split_at_mut(cells);
        rnnpack_kernels::check_inputs(cell, Sizes::new(input, hidden), x, lens, [h0.len(), c0.len()])?;
        if let Some(y) = &y {
            rnnpack_kernels::check_output(y, Dims { time, directions, batch, width: hidden })?;
        }
        Ok(Rows { x, lens, y, h: [h0, h1], c: [c0, c1], stop })
    }

    /// Rows `0..mid` and the rest.
    pub(crate) fn split(self, mid: usize) -> (Rows<'a, F>, Rows<'a, F>) {
        let batch = self.x.dims().batch;
        let (lens, lens_after) = self.lens.map(|lens| lens.split_at(mid)).unzip();
        let (y, y_after) = self.y.map(|y| y.split_batch(mid)).unzip();
        let halves = |[a, b]: [&'a mut [F]; 2]| {
            let at = |s: &[F]| s.len() / batch.max(1) * mid;
            let (a_at, b_at) = (at(a), at(b));
            let ((a, a_after), (b, b_after)) = (a.split_at_mut(a_at), b.split_at_mut(b_at));
            ([a, b], [a_after, b_after])
        };
        let ((h, h_after), (c, c_after)) = (halves(self.h), halves(self.c));
        let stop = self.stop;
        let low = Rows { x: self.x.batch_rows(0, mid), lens, y, h, c, stop };
        let x = self.x.batch_rows(mid, batch);
        (low, Rows { x, lens: lens_after, y: y_after, h: h_after, c: c_after, stop })
    }
}
