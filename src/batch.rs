//! The batch path: sequences are independent, so every thread takes a contiguous share of the batch rows and runs all
//! their time steps with its own scratch. There is no barrier and no shared write.

use crate::layer::{Rows, Sequence};
use crate::{Error, Layer, Scratch, Shape, State};
use std::sync::OnceLock;

/// Multiply-adds that a share must have to be worth handing to another thread: waking one costs about 10 µs, in which
/// a core does about a million of them.
const SHARE: usize = 1 << 20;

impl Layer {
    /// As [`Layer::forward`], with the batch rows shared out evenly over at most `threads` threads of the current rayon
    /// pool (0: as many as the pool has); fewer where the shares would be too small to gain. The result has the same
    /// bits. The directions of a bidirectional layer run one after the other.
    ///
    /// ```
    /// # use rnnpack::{Cell, Dims, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Layout};
    /// # use rnnpack::{Scratch, Sequence, Shape, View, ViewMut};
    /// # fn main() -> Result<(), rnnpack::Error> {
    /// # let shape = Shape { input: 4, hidden: 64, direction: Direction::Forward };
    /// # let (w, r) = (vec![0.1; 4 * 64 * 4], vec![-0.01; 4 * 64 * 64]);
    /// # let tensors = LayerTensors { w: &w, r: &r, b: None, p: None };
    /// # let lstm = Layer::new(&LayerWeights::new(Cell::lstm(), shape, GateOrder::Onnx, tensors)?)?;
    /// # let (x_dims, x) = (Dims { time: 20, directions: 1, batch: 8, width: 4 }, vec![1.0; 20 * 8 * 4]);
    /// # let y_dims = Dims { width: 64, ..x_dims };
    /// let (mut serial, mut parallel) = (vec![0.0; 20 * 8 * 64], vec![0.0; 20 * 8 * 64]);
    /// for (threads, y) in [(1, &mut serial), (0, &mut parallel)] {
    ///     let x = View::new(&x, x_dims, Layout::TimeMajor)?;
    ///     let y = Some(ViewMut::new(y, y_dims, Layout::TimeMajor)?);
    ///     let (mut state, mut scratch) = (lstm.new_state(8)?, Scratch::new());
    ///     lstm.forward_parallel(Sequence { x, lens: None, y }, &mut state, &mut scratch, threads)?;
    /// }
    /// assert_eq!(serial, parallel);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Layer::forward`]; where there is no memory for one share's scratch, the others have written theirs.
    pub fn forward_parallel(
        &self,
        sequence: Sequence<'_>,
        state: &mut State,
        scratch: &mut Scratch,
        threads: usize,
    ) -> Result<(), Error> {
        let rows = self.rows(sequence, state)?;
        let mut shares = self.shares(rows.x.dims().time, rows.x.dims().batch);
        if threads > 0 {
            shares = shares.min(threads);
        }
        // A pool is only asked for, and so started, where there is work for one.
        if shares > 1 {
            shares = shares.min(pool_threads());
        }
        self.fork(rows, scratch.shares(shares.max(1)))
    }

    /// How many threads `time` steps of `batch` rows keep busy.
    fn shares(&self, time: usize, batch: usize) -> usize {
        let Shape { input, hidden, .. } = self.shape();
        let step = (self.shape().output() * self.cell().gates()).saturating_mul(input.saturating_add(hidden));
        let work = step.saturating_mul(time).saturating_mul(batch);
        (work / SHARE).min(batch)
    }

    /// Splits the rows in proportion to the threads on either side, until each has its share.
    fn fork(&self, rows: Rows<'_>, scratch: &mut [rnnpack_kernels::Scratch]) -> Result<(), Error> {
        if let [scratch] = scratch {
            return self.run(rows, scratch);
        }
        let (left, right) = scratch.split_at_mut(scratch.len() / 2);
        let batch = rows.x.dims().batch;
        let (low, high) = rows.split(batch * left.len() / (left.len() + right.len()));
        let (a, b) = both(|| self.fork(low, left), || self.fork(high, right));
        a.and(b)
    }
}

/// Threads of the current pool: of the one that this runs in, else of rayon's global one, which is started. Where the
/// system has no threads for it, this one has to do: 1.
fn pool_threads() -> usize {
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

/// Runs both, `b` on another thread of the pool if one is free. `a` stays on this thread, also where that is not one of the
/// pool's: handing both over would wake two threads, which a system may well put on one core.
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
