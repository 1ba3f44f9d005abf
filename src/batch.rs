//! Threads of a call: every thread runs a share of the batch rows.
//!
//! Sequences are independent. So a thread takes a contiguous range of batch rows and runs all their time steps, with
//! its own scratch. There is no barrier and no shared write.

use crate::rows::Rows;
use crate::{Error, Threads};
use rnnpack_kernels::Scratch;

/// The smallest share, in multiply-adds, that is worth another thread. Waking a thread costs about 10 µs; in this
/// time a core does about a million multiply-adds.
const SHARE: usize = 1 << 20;

/// The number of shares that a call of `batch` rows and this many multiply-adds is split into.
pub(crate) fn shares(threads: Threads, batch: usize, multiply_adds: impl FnOnce() -> usize) -> usize {
    let most = match threads {
        Threads::Caller => return 1,
        Threads::AtMost(threads) => threads,
        Threads::Pool => usize::MAX,
    };
    // The pool is asked for its threads, and so started, only if there is enough work.
    match (multiply_adds() / SHARE).min(batch).min(most) {
        0 | 1 => 1,
        shares => shares.min(pool_threads()),
    }
}

/// Runs the rows, one share for each scratch. The rows are halved again and again, in proportion to the scratches on
/// either side.
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

/// The number of threads of the current pool: the pool that this thread belongs to, or else rayon's global pool,
/// which this starts. The result is 1 if the system cannot start threads for the global pool, and in a child process
/// that was forked off after the pool was started: a child has the forking thread alone.
#[cfg(feature = "rayon")]
fn pool_threads() -> usize {
    use std::process::id;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    const UNKNOWN: u32 = 0;
    const NONE: u32 = u32::MAX;
    /// The process that has begun to start the global pool, and the process that has its threads. These are no locks: a lock
    /// that another thread holds when the process is forked is never given back in the child.
    static STARTER: AtomicU32 = AtomicU32::new(UNKNOWN);
    static OWNER: AtomicU32 = AtomicU32::new(UNKNOWN);
    thread_local! {
        /// The process in which this worker made its first call.
        static WORKER: u32 = id();
    }
    let own = id();
    if rayon::current_thread_index().is_some() {
        return if WORKER.with(|&worker| worker == own) { rayon::current_num_threads() } else { 1 };
    }
    if OWNER.load(Relaxed) == UNKNOWN {
        // rayon's own lock is left too, if a fork comes while another thread starts the pool.
        if STARTER.compare_exchange(UNKNOWN, own, Relaxed, Relaxed).is_err_and(|starter| starter != own) {
            return 1;
        }
        // Two threads may come here at once. The second waits in rayon, and finds the pool.
        OWNER.store(if global_pool_works() { own } else { NONE }, Relaxed);
    }
    if OWNER.load(Relaxed) == own { rayon::current_num_threads() } else { 1 }
}

/// Starts rayon's global pool, unless the program has done so, and returns whether it has threads.
#[cfg(feature = "rayon")]
fn global_pool_works() -> bool {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;
    match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // An error with a source says that the pool could not be started. Any later use of it would panic.
        Err(error) if std::error::Error::source(&error).is_some() => false,
        // The pool exists already. If a parent process started it, nobody answers.
        Err(_) => {
            let (answer, answered) = sync_channel(1);
            rayon::spawn(move || {
                let _ = answer.send(());
            });
            answered.recv_timeout(Duration::from_secs(1)).is_ok()
        }
    }
}

/// 1: the calling thread.
#[cfg(not(feature = "rayon"))]
fn pool_threads() -> usize {
    1
}

/// Runs both, `b` on another thread of the pool if one is free. `a` always stays on this thread, even if this thread
/// is outside the pool. To hand over both would wake two threads, and a system may well put these on one core.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_shares_is_limited_by_work_rows_and_threads() {
        let pool = pool_threads();
        assert!(pool >= 1);
        for (threads, batch, work, expected) in [
            (Threads::Caller, 9, usize::MAX, 1),
            (Threads::Pool, 9, SHARE - 1, 1),
            (Threads::Pool, 9, 3 * SHARE, pool.min(3)),
            (Threads::Pool, 2, usize::MAX, pool.min(2)),
            (Threads::Pool, usize::MAX, usize::MAX, pool),
            (Threads::AtMost(3), 9, usize::MAX, pool.min(3)),
            (Threads::AtMost(0), 9, usize::MAX, 1),
        ] {
            assert_eq!(shares(threads, batch, || work), expected, "{threads:?} {batch} {work}");
        }
    }
}
