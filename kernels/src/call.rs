//! One direction of a layer over a sequence: the parts of a call, and the checks that come before anything is computed.

use crate::block::Block;
use crate::blocking::Blocking;
use crate::checks::{check_inputs, check_output, zero_padding};
use crate::environment;
use crate::epilogue::Discard;
use crate::error::Error;
use crate::packed::PackedWeights;
use crate::ragged::RaggedRows;
use crate::rows::{RowAddresses, Rows};
use crate::scratch::{Scratch, ScratchLayout};
use crate::sizes::Sizes;
use crate::stop::Stop;
use crate::view::{Dims, View, ViewMut};
use core::ptr;

/// The arguments of [`forward`]: one direction of a layer over a batch of sequences.
#[derive(Debug)]
pub struct Call<'a> {
    /// Input, `[T, 1, B, I]`.
    pub x: View<'a>,
    /// Output, `[T, 1, B, H]`, if it is wanted. Rows at and beyond a sequence's length are zeroed.
    pub y: Option<ViewMut<'a>>,
    /// The number of steps of each row, `[B]`, 0 to T. If absent, every row has T steps.
    pub lens: Option<&'a [i32]>,
    /// Whether every sequence is read from its own last step to its first.
    pub reverse: bool,
    /// Hidden state `[B, H]`: the initial state before the call, the final state after it.
    pub h: &'a mut [f32],
    /// Cell state `[B, H]`, initial and final like `h`. It is empty if the cell has none.
    pub c: &'a mut [f32],
    /// Loop extents.
    pub blocking: Blocking,
    /// Asked before each chunk of `blocking.steps` steps whether the call shall stop.
    pub stop: Option<Stop<'a>>,
}

/// Runs one direction of a layer on packed weights. It computes in the floating-point environment that
/// [`environment`] defines, whatever the thread's own is.
///
/// # Errors
/// [`Error::Extent`], [`Error::Length`] and [`Error::SequenceLength`] if the parts of the call disagree;
/// [`Error::Overflow`] and [`Error::Memory`] if the working memory does not fit. In all these cases nothing was
/// written. [`Error::Stopped`] if the caller stopped it: h, c and y then hold numbers without a meaning.
pub fn forward(packed: &PackedWeights, call: Call<'_>, scratch: &mut Scratch) -> Result<(), Error> {
    environment::within(packed.subnormals(), || {
        each_block(
            packed,
            call,
            scratch,
            // SAFETY: the block keeps its invariant and has these weights; `Discard` needs no room.
            |block| unsafe { packed.run()(block, Discard) },
        )
    })
}

/// Checks a call, then calls `run` for each block of its rows. The blocks keep their invariant.
fn each_block(
    packed: &PackedWeights,
    mut call: Call<'_>,
    scratch: &mut Scratch,
    run: impl Fn(&mut Block<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let sizes = packed.sizes();
    check_inputs(packed.cell(), sizes, call.x, call.lens, [call.h.len(), call.c.len()])?;
    let Dims { time, batch, .. } = call.x.dims();
    if let Some(y) = &call.y {
        check_output(y, Dims { time, directions: 1, batch, width: sizes.recurrent })?;
    }
    let blocking = call.blocking.within(time, batch);
    let layout = ScratchLayout::new(packed.panels(), blocking)?;
    scratch.prepare(time, batch, call.lens, &layout)?;
    if let (Some(y), Some(lens)) = (&mut call.y, call.lens) {
        zero_padding(y, lens);
    }
    let Scratch { ragged, addresses, x, floats } = scratch;
    let rows = locate(&mut call, sizes, ragged.rows(), addresses);
    for first in (0..batch).step_by(blocking.rows) {
        let rows = rows.range(first..(first + blocking.rows).min(batch));
        run(&mut Block {
            panels: packed.panels(),
            products: packed.products(),
            rows,
            steps: blocking.steps,
            stop: call.stop,
            x,
            floats,
            layout,
        })?;
    }
    Ok(())
}

/// The arguments of [`step`]: one step of a batch of rows, all dense.
#[derive(Debug)]
pub struct OneStep<'a> {
    /// The number of batch rows B.
    pub batch: usize,
    /// Input, `[B, I]`.
    pub x: &'a [f32],
    /// Output, `[B, H]`, if it is wanted.
    pub y: Option<&'a mut [f32]>,
    /// Hidden state `[B, H]`: the state before the call, then the state after it.
    pub h: &'a mut [f32],
    /// Cell state `[B, H]`, before and after like `h`. It is empty if the cell has none.
    pub c: &'a mut [f32],
    /// The most batch rows of a block.
    pub rows: usize,
}

/// Runs one step of one direction. It gives the bits of [`forward`] over one step, and takes less time to begin.
///
/// # Errors
/// [`Error::Length`] if a buffer has a wrong length; [`Error::Overflow`] and [`Error::Memory`] if the working memory
/// does not fit. In all these cases nothing was written.
pub fn step(packed: &PackedWeights, call: OneStep<'_>, scratch: &mut Scratch) -> Result<(), Error> {
    let OneStep { batch, x, mut y, h, c, rows } = call;
    let sizes = packed.sizes();
    let cells = if packed.cell().has_cell_state() { sizes.hidden } else { 0 };
    expect_rows("x", x.len(), batch, sizes.input)?;
    expect_rows("y", y.as_ref().map_or(h.len(), |y| y.len()), batch, sizes.recurrent)?;
    expect_rows("h", h.len(), batch, sizes.recurrent)?;
    expect_rows("c", c.len(), batch, cells)?;
    let blocking = Blocking { rows, steps: 1 }.within(1, batch);
    let layout = ScratchLayout::new(packed.panels(), blocking)?;
    scratch.prepare(1, batch, None, &layout)?;
    let Scratch { ragged, addresses, x: inputs, floats } = scratch;
    let y = y.as_mut().map_or(ptr::null_mut(), |y| y.as_mut_ptr());
    let (h, c) = (h.as_mut_ptr(), c.as_mut_ptr());
    let addresses = &mut addresses[..batch];
    for (b, row) in addresses.iter_mut().enumerate() {
        *row = RowAddresses {
            x: x.as_ptr().wrapping_add(b * sizes.input),
            y: if y.is_null() { y } else { y.wrapping_add(b * sizes.recurrent) },
            h: h.wrapping_add(b * sizes.recurrent),
            c: if cells > 0 { c.wrapping_add(b * cells) } else { ptr::null_mut() },
        };
    }
    let ragged = ragged.rows();
    environment::within(packed.subnormals(), || {
        let mut first = 0;
        while first < batch {
            let end = batch.min(first + blocking.rows);
            // Written in place: a copy would load bytes that were just stored in other sizes, and wait for these stores.
            let block = &mut Block {
                panels: packed.panels(),
                products: packed.products(),
                rows: Rows {
                    addresses: &addresses[first..end],
                    ragged: ragged.range(first..end),
                    x_time: 0,
                    y_time: 0,
                    reverse: false,
                },
                steps: 1,
                stop: None,
                x: inputs,
                floats,
                layout,
            };
            // SAFETY: every row of the batch lies within the buffers, whose lengths were checked; the buffers are
            // borrowed for the call, those that are written uniquely. So the block keeps its invariant, and has
            // these weights. `Discard` needs no room.
            unsafe { packed.run()(block, Discard) }?;
            first = end;
        }
        Ok(())
    })
}

/// Refuses a buffer that does not hold `batch` rows of `width` elements.
fn expect_rows(what: &'static str, got: usize, batch: usize, width: usize) -> Result<(), Error> {
    match batch.checked_mul(width) {
        Some(expected) if expected == got => Ok(()),
        Some(expected) => Err(Error::Length { what, expected, got }),
        None => Err(Error::Overflow { what }),
    }
}

/// The rows of a call, in the order of `ragged`.
fn locate<'s>(
    call: &mut Call<'_>,
    sizes: Sizes,
    ragged: RaggedRows<'s>,
    addresses: &'s mut [RowAddresses],
) -> Rows<'s> {
    let (h, c) = (call.h.as_mut_ptr(), call.c.as_mut_ptr());
    let has_c = !call.c.is_empty();
    let addresses = &mut addresses[..ragged.len()];
    for (row, &b) in addresses.iter_mut().zip(ragged.order()) {
        *row = RowAddresses {
            x: call.x.first_row(b),
            y: call.y.as_mut().map_or(ptr::null_mut(), |y| y.first_row(b)),
            h: h.wrapping_add(b * sizes.recurrent),
            c: if has_c { c.wrapping_add(b * sizes.hidden) } else { ptr::null_mut() },
        };
    }
    let y_time = call.y.as_ref().map_or(0, ViewMut::time_stride);
    Rows { addresses, ragged, x_time: call.x.time_stride(), y_time, reverse: call.reverse }
}

#[cfg(test)]
mod tests;
