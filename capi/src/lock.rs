//! Locks of states and scratches: one call at a time, and none in a process that was forked during a call.
//!
//! A lock is one word: 0, or the generation of the process in which a call holds it. A child process has a higher
//! generation than its parent, so it sees that the holder is a thread that it does not have. Taking and giving back a
//! lock is one atomic operation each, without a call of the system.

use crate::{Failure, RNNPACK_BUSY, RNNPACK_FORKED};
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The word of a lock that no call holds. No process has this generation.
const FREE: usize = 0;

/// The generation of this process: it rises with every fork that leads to it.
static GENERATION: AtomicUsize = AtomicUsize::new(1);

/// Makes sure that [`GENERATION`] rises in a child process.
#[cfg(unix)]
fn watch_forks() -> Result<(), Failure> {
    use crate::RNNPACK_MEMORY;
    use std::sync::atomic::AtomicBool;
    static WATCHED: AtomicBool = AtomicBool::new(false);
    unsafe extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    // A `Once` could be left in the middle by a fork. Here two threads may both register the handler. Then the generation
    // rises by two, which is as good.
    if !WATCHED.load(Ordering::Relaxed) {
        // SAFETY: the handler only adds to an atomic number, which a child of several threads may do too.
        if unsafe { libc::pthread_atfork(None, None, Some(in_child)) } != 0 {
            return Err(Failure::new(RNNPACK_MEMORY, format_args!("no memory for the handler of forks")));
        }
        WATCHED.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// There is no fork.
#[cfg(not(unix))]
fn watch_forks() -> Result<(), Failure> {
    Ok(())
}

/// A value that one call uses at a time.
pub(crate) struct Lock<T> {
    /// [`FREE`], or the generation of the process in which a call holds the lock.
    holder: AtomicUsize,
    value: UnsafeCell<T>,
    /// What it is, for messages.
    what: &'static str,
    /// What to do with it after a fork during a call, for messages.
    advice: &'static str,
}

// SAFETY: only `Guard` reaches the value, and only one exists at a time.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The only user of the value of a lock.
pub(crate) struct Guard<'a, T>(&'a Lock<T>);

impl<T> Lock<T> {
    pub(crate) fn new(value: T, what: &'static str, advice: &'static str) -> Result<Lock<T>, Failure> {
        watch_forks()?;
        Ok(Lock { holder: AtomicUsize::new(FREE), value: UnsafeCell::new(value), what, advice })
    }

    /// The value; an error if another call uses it, or used it when this process was forked.
    #[inline]
    pub(crate) fn lock(&self) -> Result<Guard<'_, T>, Failure> {
        self.take(FREE).map_err(|holder| self.refuse(holder))
    }

    /// [`Lock::lock`], which also takes what a thread of the parent process held at the fork.
    ///
    /// # Safety
    /// The caller must be able to use the value as a call left it that stopped anywhere.
    pub(crate) unsafe fn lock_after_fork(&self) -> Result<Guard<'_, T>, Failure> {
        let left = |holder| match self.is_left(holder) {
            true => self.take(holder),
            false => Err(holder),
        };
        self.take(FREE).or_else(left).map_err(|holder| self.refuse(holder))
    }

    /// Whether a thread of the parent process held the lock at the fork.
    pub(crate) fn is_left_by_fork(&self) -> bool {
        self.is_left(self.holder.load(Ordering::Relaxed))
    }

    fn is_left(&self, holder: usize) -> bool {
        holder != FREE && holder != GENERATION.load(Ordering::Relaxed)
    }

    /// Takes the lock from `holder`. The error is the holder that has it.
    #[inline]
    fn take(&self, holder: usize) -> Result<Guard<'_, T>, usize> {
        let own = GENERATION.load(Ordering::Relaxed);
        let taken = self.holder.compare_exchange(holder, own, Ordering::Acquire, Ordering::Relaxed);
        taken.map(|_| Guard(self))
    }

    #[cold]
    fn refuse(&self, holder: usize) -> Failure {
        let Lock { what, advice, .. } = self;
        match self.is_left(holder) {
            true => Failure::new(
                RNNPACK_FORKED,
                format_args!("another thread used the {what} when this process was forked: {advice}"),
            ),
            false => Failure::new(RNNPACK_BUSY, format_args!("another call uses the {what}")),
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard has taken the lock, and it is the only guard.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` makes the access unique.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.holder.store(FREE, Ordering::Release);
    }
}
