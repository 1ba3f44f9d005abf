//! h and c of a state: all of it, or one batch row.

use crate::parts::{Given, Parts, Rows};
use crate::{Failure, StateHandle, Status, lent, status};

/// Copies h and c out.
///
/// # Safety
/// The contract.
unsafe fn read(state: *const StateHandle, rows: Rows, [h, c]: [Given; 2]) -> Result<(), Failure> {
    // SAFETY: by the contract.
    unsafe {
        let memory = lent::handle(state, "state")?.lock()?;
        let parts = Parts::new(&memory, rows, [h, c])?;
        if let [Some(h), c] = parts.spans() {
            h.apart_from([c])?;
        }
        parts.read(&memory);
        Ok(())
    }
}

/// Copies h and c in.
///
/// # Safety
/// The contract.
unsafe fn write(state: *mut StateHandle, rows: Rows, [h, c]: [Given; 2]) -> Result<(), Failure> {
    // SAFETY: by the contract.
    unsafe {
        let mut memory = lent::handle(state, "state")?.lock()?;
        Parts::new(&memory, rows, [h, c])?.write(&mut memory);
        Ok(())
    }
}

/// Reads a state.
///
/// h, h_count: out; hidden state [D, B, H], or NULL and 0 to leave it out. c, c_count: out; cell state [D, B, H] of an LSTM,
/// likewise; an operator without a cell state has none. Of a stack, those of the layers one after the other.
///
/// Fails with RNNPACK_SHAPE for other counts; nothing was written then.
/// Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_read(
    state: *const StateHandle,
    h: *mut f32,
    h_count: usize,
    c: *mut f32,
    c_count: usize,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { read(state, Rows::All, [(h, h_count, "h"), (c, c_count, "c")]) })
}

/// Writes a state.
///
/// h, h_count: hidden state [D, B, H], or NULL and 0 to leave it as it is. c, c_count: cell state [D, B, H] of an LSTM,
/// likewise; an operator without a cell state has none. Of a stack, those of the layers one after the other.
///
/// Fails with RNNPACK_SHAPE for other counts; nothing was written then.
/// Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_write(
    state: *mut StateHandle,
    h: *const f32,
    h_count: usize,
    c: *const f32,
    c_count: usize,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { write(state, Rows::All, [(h, h_count, "h"), (c, c_count, "c")]) })
}

/// Sets one batch row of a state to zeros: the start of a new stream in a batch of streams.
///
/// row: 0 to B - 1.
///
/// Fails with RNNPACK_NOT_FOUND for another row.
/// Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_reset_row(state: *mut StateHandle, row: usize) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { Ok(lent::handle(state, "state")?.lock()?.state.reset_row(row)?) })
}

/// Reads one batch row of a state.
///
/// row: 0 to B - 1. h, h_count: out; hidden state [D, H] of the row, or NULL and 0 to leave it out. c, c_count: out; cell
/// state [D, H] of an LSTM, likewise; an operator without a cell state has none. Of a stack, those of the layers one after the
/// other.
///
/// Fails with RNNPACK_NOT_FOUND for another row, RNNPACK_SHAPE for other counts; nothing was written then.
/// Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_read_row(
    state: *const StateHandle,
    row: usize,
    h: *mut f32,
    h_count: usize,
    c: *mut f32,
    c_count: usize,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { read(state, Rows::One(row), [(h, h_count, "h"), (c, c_count, "c")]) })
}

/// Writes one batch row of a state.
///
/// row: 0 to B - 1. h, h_count: hidden state [D, H] of the row, or NULL and 0 to leave it as it is. c, c_count: cell state
/// [D, H] of an LSTM, likewise; an operator without a cell state has none. Of a stack, those of the layers one after the other.
///
/// Fails with RNNPACK_NOT_FOUND for another row, RNNPACK_SHAPE for other counts; nothing was written then.
/// Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_write_row(
    state: *mut StateHandle,
    row: usize,
    h: *const f32,
    h_count: usize,
    c: *const f32,
    c_count: usize,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { write(state, Rows::One(row), [(h, h_count, "h"), (c, c_count, "c")]) })
}
