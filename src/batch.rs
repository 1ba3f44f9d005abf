//! Threads of a call: sequences are independent, so every thread takes a contiguous share of the batch rows and runs all
//! their time steps with its own scratch. There is no barrier and no shared write.

use crate::rows::Rows;
use crate::{Error, Threads};
use rnnpack_kernels::Scratch;

/// Multiply-adds that a share must have to be worth handing to another thread: waking one costs about 10 µs, in which
/// a core does about a million of them.
const SHARE: usize = 1 << 20;

/// Into how many shares a call of `batch` rows and so many multiply-adds is split.
pub(crate) fn shares(threads: Threads, batch: usize, multiply_adds: impl FnOnce() -> usize) -> usize {
    let most = match threads {
        Threads::Caller => return 1,
        Threads::AtMost(threads) => threads,
        Threads::Pool => usize::MAX,
    };
    // A pool is only asked for, and so started, where there is work for one.
    match (multiply_adds() / SHARE).min(batch).min(most) {
        0 | 1 => 1,
        shares => shares.min(pool_threads()),
    }
}

/// Splits the rows in proportion to the threads on either side, until each scratch has its share; runs them.
pub(crate) fn fork(
    rows: Rows<'_>,
    scratch: &mut [Scratch],
    run: &(impl Fn(Rows<'_>, &mut Scratch) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    if let [scratch] = scratch {
        return run(rows, scratch);
    }
    let (left, right) = scratch.split_at_mut(scratch.len() / 2);
    let batch = rows.x.dims().batch;
    let (low, high) = rows.split(batch * left.len() / (left.len() + right.len()));
    let (a, b) = both(|| fork(low, left, run), || fork(high, right, run));
    a.and(b)
}

/// Threads of the current pool: of the one that this runs in, else of rayon's global one, which is started. Where the
/// system has no threads for it, this one has to do: 1.
#[cfg(feature = "rayon")]
fn pool_threads() -> usize {
    use std::sync::OnceLock;
    static GLOBAL: OnceLock<bool> = OnceLock::new();
    let exists = || match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // Without a cause it was there already; asking rayon for one that could not be started panics.
        Err(error) => std::error::Error::source(&error).is_none(),
    };
    if rayon::current_thread_index().is_some() || *GLOBAL.get_or_init(exists) {
        rayon::current_num_threads()
    } else {
        1
    }
}

/// The calling thread.
#[cfg(not(feature = "rayon"))]
fn pool_threads() -> usize {
    1
}

/// Runs both, `b` on another thread of the pool if one is free. `a` stays on this thread, also where that is not one of the
/// pool's: handing both over would wake two threads, which a system may well put on one core.
#[cfg(feature = "rayon")]
fn both<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if rayon::current_thread_index().is_some() {
        return rayon::join(a, b);
    }
    let mut second = None;
    let first = rayon::in_place_scope(|scope| {
        scope.spawn(|_| second = Some(b()));
        a()
    });
    (first, second.expect("the scope ends when its task has"))
}

/// Runs both, one after the other.
#[cfg(not(feature = "rayon"))]
fn both<A, B>(a: impl FnOnce() -> A, b: impl FnOnce() -> B) -> (A, B) {
    (a(), b())
}
