//! States of streams.

use crate::lent::{self, Lent};
use crate::{Failure, LayerHandle, RNNPACK_BUSY, RNNPACK_MEMORY, RNNPACK_SHAPE, Status, status};
use rnnpack::{Direction, Error, KernelError, Scratch, State};
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

/// The state of a stream, or of a batch of streams, and the working memory of its calls. One thread uses it at a time;
/// a call that finds it in use returns RNNPACK_BUSY and does nothing.
pub struct StateHandle {
    busy: AtomicBool,
    op: &'static str,
    directions: Direction,
    hidden: usize,
    memory: UnsafeCell<Memory>,
}

/// The memory that a [`StateHandle`] guards.
pub(crate) struct Memory {
    pub(crate) state: State,
    pub(crate) scratch: Scratch,
}

// SAFETY: only `Guard` reaches the memory, and only one exists at a time.
unsafe impl Sync for StateHandle {}

/// The only user of a state's memory.
pub(crate) struct Guard<'a>(&'a StateHandle);

impl StateHandle {
    fn new(LayerHandle { layer }: &LayerHandle, batch: usize) -> Result<StateHandle, Failure> {
        let state = layer.new_state(batch).map_err(|error| match error {
            // A size beyond all memory is the same error for the caller as a size beyond this machine's memory.
            Error::Kernel(KernelError::Overflow { .. }) => Failure::new(RNNPACK_MEMORY, error.to_string()),
            error => error.into(),
        })?;
        let shape = layer.shape();
        let memory = UnsafeCell::new(Memory { state, scratch: Scratch::new() });
        let busy = AtomicBool::new(false);
        Ok(StateHandle {
            busy,
            op: layer.cell().op(),
            directions: shape.direction,
            hidden: shape.hidden,
            memory,
        })
    }

    /// The memory, for a call of `layer`; an error if another call uses it.
    pub(crate) fn lock_for(&self, LayerHandle { layer }: &LayerHandle) -> Result<Guard<'_>, Failure> {
        let guard = self.lock()?;
        match layer.cell().op() {
            op if op == self.op => Ok(guard),
            op => {
                Err(Failure::new(RNNPACK_SHAPE, format!("the state is of an {}, the layer an {op}", self.op)))
            }
        }
    }

    /// The memory; an error if another call uses it.
    pub(crate) fn lock(&self) -> Result<Guard<'_>, Failure> {
        match self.busy.swap(true, Ordering::Acquire) {
            false => Ok(Guard(self)),
            true => Err(Failure::new(RNNPACK_BUSY, "another call uses the state")),
        }
    }
}

impl Deref for Guard<'_> {
    type Target = Memory;
    fn deref(&self) -> &Memory {
        // SAFETY: this guard has set `busy`, and it is the only guard.
        unsafe { &*self.0.memory.get() }
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Memory {
        // SAFETY: as in `deref`; `&mut self` makes the access unique.
        unsafe { &mut *self.0.memory.get() }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// Makes a state of zeros, for any layer of the operator, hidden size and number of directions of this one.
///
/// batch: rows B, streams that go step by step together; 0 or more. state: out, NULL where the call fails.
///
/// Fails with RNNPACK_MEMORY where so many rows do not fit into memory.
/// Owner: the caller, until rnnpack_state_free.
/// Threads: any number at once, also on one layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_new(
    layer: *const LayerHandle,
    batch: usize,
    state: *mut *mut StateHandle,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        lent::create(state, "state", || StateHandle::new(lent::handle(layer, "layer")?, batch))
    })
}

/// Sets a state back to zeros: the start of new streams.
///
/// Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_reset(state: *mut StateHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        lent::handle(state, "state")?.lock()?.state.reset();
        Ok(())
    })
}

/// Copies h and c of a state to another one of the same sizes. A copy of a state onto itself does nothing.
///
/// state: the source. to: the destination.
///
/// Fails with RNNPACK_SHAPE where their sizes differ.
/// Threads: one at a time on each of the two, else RNNPACK_BUSY. Real time: it waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_copy(state: *const StateHandle, to: *mut StateHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        let (from, to) = (lent::handle(state, "state")?, lent::handle(to, "to")?);
        if std::ptr::eq(from, to) {
            return from.lock().map(drop);
        }
        let (source, mut target) = (from.lock()?, to.lock()?);
        let sizes = |handle: &StateHandle, memory: &Memory| {
            (handle.op, handle.directions.count(), memory.state.batch(), handle.hidden)
        };
        if sizes(from, &source) != sizes(to, &target) {
            return Err(Failure::new(RNNPACK_SHAPE, "the two states differ in their sizes or operators"));
        }
        target.state.h_mut().copy_from_slice(source.state.h());
        target.state.c_mut().copy_from_slice(source.state.c());
        Ok(())
    })
}

/// Reads a state.
///
/// h, h_count: out; hidden state [D, B, H], or NULL and 0 to leave it out. c, c_count: out; cell state [D, B, H] of an LSTM,
/// likewise; an operator without a cell state has none.
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
    status::run(|| unsafe {
        let memory = lent::handle(state, "state")?.lock()?;
        let [h, c] = parts(&memory.state, [(h.cast_const(), h_count, "h"), (c, c_count, "c")])?;
        h.map_or(Ok(()), |h| c.map_or(Ok(()), |c| h.span().apart_from([Some(c.span())])))?;
        read_into([h, c], &memory.state)
    })
}

/// Writes a state.
///
/// h, h_count: hidden state [D, B, H], or NULL and 0 to leave it as it is. c, c_count: cell state [D, B, H] of an LSTM,
/// likewise; an operator without a cell state has none.
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
    status::run(|| unsafe {
        let mut memory = lent::handle(state, "state")?.lock()?;
        let parts = parts(&memory.state, [(h, h_count, "h"), (c, c_count, "c")])?;
        write_from(parts, &mut memory.state)
    })
}

/// The caller's buffers of h and c, if they are given. They must have the sizes of those of `state`.
pub(crate) fn parts(
    state: &State,
    [h, c]: [(*const f32, usize, &'static str); 2],
) -> Result<[Option<Lent<f32>>; 2], Failure> {
    let part = |(start, count, what): (*const f32, usize, &'static str), expected: usize| {
        let given = Lent::optional(start, count, what)?;
        given.map(|given| given.expect(expected)).transpose()
    };
    Ok([part(h, state.h().len())?, part(c, state.c().len())?])
}

/// Copies h and c of `state` to the caller's buffers. [`parts`] checked them.
///
/// # Safety
/// The contract: the buffers are valid for writes, and nobody uses them during the call.
pub(crate) unsafe fn read_into([h, c]: [Option<Lent<f32>>; 2], state: &State) -> Result<(), Failure> {
    // SAFETY: by the contract.
    unsafe {
        h.map_or(Ok(()), |h| h.copy_from(state.h()))?;
        c.map_or(Ok(()), |c| c.copy_from(state.c()))
    }
}

/// Copies the caller's h and c to `state`. [`parts`] checked them.
///
/// # Safety
/// The contract: the buffers are initialized, and nobody writes them during the call.
pub(crate) unsafe fn write_from([h, c]: [Option<Lent<f32>>; 2], state: &mut State) -> Result<(), Failure> {
    // SAFETY: by the contract.
    unsafe {
        h.map_or(Ok(()), |h| h.copy_to(state.h_mut()))?;
        c.map_or(Ok(()), |c| c.copy_to(state.c_mut()))
    }
}

/// Frees a state; NULL is allowed.
///
/// Fails with RNNPACK_BUSY, and frees nothing, while another call uses it.
/// Threads: when no other call uses the state any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_free(state: *mut StateHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        if !state.is_null() {
            lent::handle(state, "state")?.lock().map(std::mem::forget)?;
        }
        lent::free(state, "state")
    })
}
