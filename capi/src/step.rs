//! Steps of a stream.

use crate::forward::forward;
use crate::lent::{self, Lent};
use crate::scratch::Working;
use crate::{Failure, LayerHandle, ScratchHandle, StateHandle, Status, status};
use rnnpack::{Dims, KernelError, Layout, Sequence, Shape, StackState, State, View, ViewMut};
use std::slice;

/// Runs one step of every row of the state, on the calling thread.
///
/// x, x_count: input, dense [B, I]. y, y_count: out; the new h, dense [D, B, H], or NULL and 0 to leave it out. They must
/// not overlap. Of a stack, x is that of the first layer and y that of the last.
///
/// Fails as rnnpack_forward does, with everything as it was before; but y is zero after RNNPACK_MEMORY.
/// Threads: any number at once on one layer; one at a time on one state and on one scratch, else RNNPACK_BUSY.
/// Real time: as rnnpack_forward.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_step(
    layer: *const LayerHandle,
    state: *mut StateHandle,
    scratch: *mut ScratchHandle,
    x: *const f32,
    x_count: usize,
    y: *mut f32,
    y_count: usize,
) -> Status {
    // SAFETY: by the contract. Where `is_step_of` says so, x and y are as slices must be and apart from each other, but for
    // the contents of y, which are made zeros first.
    status::run(move || unsafe {
        let layer = lent::handle(layer, "layer")?;
        let mut memory = lent::handle(state, "state")?.lock_for(layer)?;
        let mut scratch = lent::handle(scratch, "scratch")?.lock()?;
        let (state, scratch) = (&mut memory.state, &mut *scratch);
        match (layer.stack.layers(), state.layers_mut()) {
            ([layer], [state]) if is_step_of(layer.shape(), state, (x, x_count), (y, y_count)) => {
                let x = slice::from_raw_parts(x, x_count);
                y.write_bytes(0, y_count);
                let y = slice::from_raw_parts_mut(y, y_count);
                Ok(layer.step(x, state, y, &mut scratch.layer)?)
            }
            _ => {
                let (x, y) = (Lent::new(x, x_count, "x")?, Lent::optional(y, y_count, "y")?);
                any_step(layer, state, scratch, x, y)
            }
        }
    })
}

/// Whether x and y are what a step of one layer needs: aligned, of the right numbers of elements, and apart from each
/// other. Most steps are, and this takes a few instructions. [`any_step`] takes what it does not allow, and refuses what
/// is wrong.
#[inline]
fn is_step_of(
    shape: Shape,
    state: &State,
    (x, x_count): (*const f32, usize),
    (y, y_count): (*mut f32, usize),
) -> bool {
    let (x_end, y_end) = (x.wrapping_add(x_count).addr(), y.wrapping_add(y_count).addr());
    // The state fits the layer, so its h has as many elements as y, and memory has room for those.
    let counts = y_count == state.h().len() && state.batch().checked_mul(shape.input) == Some(x_count);
    let x_fits = !x.is_null() && x.is_aligned() && x_count < isize::MAX as usize / size_of::<f32>();
    let y_fits = !y.is_null() && y.is_aligned();
    counts
        && x_fits
        && y_fits
        && x_end >= x.addr()
        && y_end >= y.addr()
        && (x_end <= y.addr() || y_end <= x.addr())
}

/// Runs one step of a layer or a stack, with y or without. The state fits the layer.
///
/// # Safety
/// The contract holds for x and y.
#[inline(never)]
unsafe fn any_step(
    layer: &LayerHandle,
    state: &mut StackState,
    scratch: &mut Working,
    x: Lent<f32>,
    y: Option<Lent<f32>>,
) -> Result<(), Failure> {
    let (shape, batch) = (layer.shape, state.batch());
    let of_x = Dims { time: 1, directions: 1, batch, width: shape.input };
    let of_y = Dims { directions: shape.direction.count(), width: shape.hidden, ..of_x };
    let count = |dims: Dims| dims.checked_len().ok_or(KernelError::Overflow { what: "tensor" });
    let (x, of_y_count) = (x.expect(count(of_x)?)?, count(of_y)?);
    let y = y.map(|y| y.expect(of_y_count)).transpose()?;
    if let Some(y) = y {
        y.span().apart_from([Some(x.span())])?;
    }
    // SAFETY: by the contract; y overlaps nothing else of the call.
    let (x, y) = unsafe {
        let output =
            |y: Lent<f32>| ViewMut::from_raw(y.start.as_ptr(), y.count, of_y, of_y.dense(Layout::TimeMajor)?);
        (View::new(x.slice(), of_x, Layout::TimeMajor)?, y.map(output).transpose()?)
    };
    Ok(forward(layer, Sequence::views(x, y), state, scratch)?)
}
