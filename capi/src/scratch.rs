//! The working memory of calls.

use crate::lock::{Guard, Lock};
use crate::{Failure, Status, lent, status};
use rnnpack::{Scratch, StackScratch};

/// The working memory of calls, for any layer and size. It grows to the largest call and stays as large. One call uses it
/// at a time; a call that finds it in use returns RNNPACK_BUSY and does nothing. So a program needs one for each thread
/// that computes, whatever its number of layers and states.
pub struct ScratchHandle {
    lock: Lock<Working>,
}

/// What a [`ScratchHandle`] guards: the memory of single layers and that of stacks, each as far as it is used.
#[derive(Default)]
pub(crate) struct Working {
    pub(crate) layer: Scratch,
    pub(crate) stack: StackScratch,
}

impl ScratchHandle {
    fn new() -> Result<ScratchHandle, Failure> {
        let advice = "make a new scratch, and leave or free this one";
        Ok(ScratchHandle { lock: Lock::new(Working::default(), "scratch", advice)? })
    }

    /// The memory; an error if another call uses it.
    #[inline]
    pub(crate) fn lock(&self) -> Result<Guard<'_, Working>, Failure> {
        self.lock.lock()
    }
}

/// Makes an empty scratch. Its memory comes with the calls.
///
/// scratch: out, NULL where the call fails.
///
/// Owner: the caller, until rnnpack_scratch_free.
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_scratch_new(scratch: *mut *mut ScratchHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { lent::create(scratch, "scratch", ScratchHandle::new) })
}

/// Frees a scratch; NULL is allowed.
///
/// Fails with RNNPACK_BUSY, and frees nothing, while another call uses it. Where another thread used it when this process was
/// forked it returns RNNPACK_OK, but leaves the memory to the end of the process: the call may have been moving it.
/// Threads: when no other call uses the scratch any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_scratch_free(scratch: *mut ScratchHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        if !scratch.is_null() {
            let lock = &lent::handle(scratch, "scratch")?.lock;
            if lock.is_left_by_fork() {
                return Ok(());
            }
            lock.lock().map(std::mem::forget)?;
        }
        lent::free(scratch, "scratch")
    })
}
