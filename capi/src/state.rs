//! States of streams.

use crate::layer::OfLayer;
use crate::lent;
use crate::lock::{Guard, Lock};
use crate::{Failure, LayerHandle, RNNPACK_MEMORY, RNNPACK_SHAPE, Status, status};
use rnnpack::{Error, KernelError, StackState};

/// h and c of a stream, or of a batch of streams. One call uses it at a time; a call that finds it in use returns
/// RNNPACK_BUSY and does nothing.
pub struct StateHandle {
    lock: Lock<Memory>,
}

/// What a [`StateHandle`] guards. No call resizes any of it: calls write numbers alone.
pub(crate) struct Memory {
    pub(crate) state: StackState,
    /// The layers that it is for.
    pub(crate) layers: Box<[OfLayer]>,
}

impl StateHandle {
    fn new(layer: &LayerHandle, batch: usize) -> Result<StateHandle, Failure> {
        let state = layer.stack.new_state(batch).map_err(|error| match error {
            // A size beyond all memory is the same error for the caller as a size beyond this machine's memory.
            Error::Kernel(KernelError::Overflow { .. }) => {
                Failure::new(RNNPACK_MEMORY, format_args!("{error}"))
            }
            error => error.into(),
        })?;
        let layers = layer.layers.clone();
        let advice = "reset it with rnnpack_state_reset, or free it";
        Ok(StateHandle { lock: Lock::new(Memory { state, layers }, "state", advice)? })
    }

    /// The memory, for a call of `layer`, which it must fit; an error if another call uses it.
    #[inline]
    pub(crate) fn lock_for(&self, layer: &LayerHandle) -> Result<Guard<'_, Memory>, Failure> {
        let guard = self.lock.lock()?;
        if guard.layers != layer.layers {
            return Err(guard.mismatch(&layer.layers));
        }
        Ok(guard)
    }

    /// The memory; an error if another call uses it.
    pub(crate) fn lock(&self) -> Result<Guard<'_, Memory>, Failure> {
        self.lock.lock()
    }
}

impl Memory {
    /// Why the state does not fit these layers.
    #[cold]
    fn mismatch(&self, layers: &[OfLayer]) -> Failure {
        let refuse = |what, got, expected| {
            Failure::new(RNNPACK_SHAPE, format_args!("the state's {what} is {got}, expected {expected}"))
        };
        let mut pairs = self.layers.iter().zip(layers);
        match pairs.find(|(state, layer)| state != layer) {
            None => refuse("number of layers", self.layers.len(), layers.len()),
            Some((state, layer)) if state.op != layer.op => {
                let (state, layer) = (state.op.name(), layer.op.name());
                let reason = format_args!("the state is of an {state}, the layer an {layer}");
                Failure::new(RNNPACK_SHAPE, reason)
            }
            Some((state, layer)) if state.directions != layer.directions => {
                refuse("number of directions", state.directions, layer.directions)
            }
            Some((state, layer)) => refuse("hidden size", state.hidden, layer.hidden),
        }
    }
}

/// Makes a state of zeros, for any layer of the operator, hidden size and number of directions of this one; of a stack, for
/// any stack whose layers agree in these.
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

/// Sets a state back to zeros: the start of new streams. It also makes a state work again that returns RNNPACK_FORKED.
///
/// Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_reset(state: *mut StateHandle) -> Status {
    // SAFETY: by the contract. A call that was left at a fork has written some numbers and no others; here all numbers
    // become zeros.
    status::run(|| unsafe {
        lent::handle(state, "state")?.lock.lock_after_fork()?.state.reset();
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
        if source.layers != target.layers || source.state.batch() != target.state.batch() {
            let reason = format_args!("the two states differ in their sizes or operators");
            return Err(Failure::new(RNNPACK_SHAPE, reason));
        }
        for (to, from) in target.state.layers_mut().iter_mut().zip(source.state.layers()) {
            to.h_mut().copy_from_slice(from.h());
            to.c_mut().copy_from_slice(from.c());
        }
        Ok(())
    })
}

/// Frees a state; NULL is allowed.
///
/// Fails with RNNPACK_BUSY, and frees nothing, while another call uses it. It also frees a state that returns RNNPACK_FORKED.
/// Threads: when no other call uses the state any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_state_free(state: *mut StateHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        if !state.is_null() {
            // What a call that was left at a fork has changed are numbers, which nobody reads here.
            lent::handle(state, "state")?.lock.lock_after_fork().map(std::mem::forget)?;
        }
        lent::free(state, "state")
    })
}
