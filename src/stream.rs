//! A network with its state and scratch: what most programs call.

use crate::{Error, Layer, Network, NetworkState, Sequence, Stack};
#[cfg(feature = "f64")]
use crate::{Number, UnfusedLayer};

/// A stream, or a batch of streams that go step by step together: a network, its state, and its own scratch.
///
/// Sequences may come in any chunks: one step at a time, or many. It has no lifetime, since it holds a handle of the network.
///
/// ```
/// use rnnpack::{LayerWeights, Scratch, Sequence, Threads};
///
/// # fn main() -> Result<(), rnnpack::Error> {
/// # let (w, r, b) = (vec![0.1; 4 * 5 * 3], vec![-0.1; 4 * 5 * 5], vec![0.0; 8 * 5]);
/// let lstm = LayerWeights::lstm(3, 5).w(&w).r(&r).b(&b).pack()?;
/// let mut s = lstm.stream(2)?;
///
/// let (x, mut h) = ([1.0; 2 * 3], [0.0; 2 * 5]);
/// s.step(&x, &mut h)?;
/// assert_eq!(s.state().h(), h);
///
/// let (x, mut y) = (vec![1.0; 7 * 2 * 3], vec![0.0; 7 * 2 * 5]);
/// s.forward(&x, &mut y)?;
/// s.run(Sequence::dense(&x, &mut y).lens(&[7, 4]).threads(Threads::Pool))?;
///
/// // Many streams that take turns need one scratch.
/// let mut scratch = Scratch::new();
/// let mut streams = (0..100).map(|_| lstm.stream(1)).collect::<Result<Vec<_>, _>>()?;
/// for s in &mut streams {
///     s.with(&mut scratch).step(&x[..3], &mut h[..5])?;
/// }
///
/// s.reset_row(1)?; // another stream begins in row 1
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stream<N: Network = Layer> {
    network: N,
    state: N::State,
    scratch: N::Scratch,
}

impl<N: Network> Stream<N> {
    /// `batch` streams of a network, from zero states on.
    ///
    /// # Errors
    /// [`Error::Kernel`] where the state does not fit into memory.
    pub fn new(network: N, batch: usize) -> Result<Stream<N>, Error> {
        let state = network.new_state(batch)?;
        Ok(Stream { network, state, scratch: N::Scratch::default() })
    }

    /// Runs one step of every row: `x` is dense `[B, I]`, `y` becomes the new h, dense `[D, B, H]` (of a stack's last layer).
    ///
    /// # Errors
    /// [`Error::Elements`] where x or y does not fit, [`Error::Kernel`] for memory that cannot be had; nothing was written then.
    pub fn step(&mut self, x: &[N::Number], y: &mut [N::Number]) -> Result<(), Error> {
        self.own().step(x, y)
    }

    /// Runs a sequence: `x` is dense `[T, B, I]`, `y` is dense `[T, D, B, H]`; T follows from the elements of x.
    ///
    /// With two directions that is not PyTorch's `[T, B, 2·H]`: [`run`](Stream::run) a
    /// [`Sequence`] that is [`concatenated`](Sequence::concatenated).
    ///
    /// # Errors
    /// Those of [`Layer::forward`].
    pub fn forward(&mut self, x: &[N::Number], y: &mut [N::Number]) -> Result<(), Error> {
        self.own().forward(x, y)
    }

    /// Runs a sequence of any layout and lengths, on any number of threads.
    ///
    /// # Errors
    /// Those of [`Layer::forward`].
    pub fn run(&mut self, sequence: Sequence<'_, N::Number>) -> Result<(), Error> {
        self.own().run(sequence)
    }

    /// The same stream with a lent scratch in place of its own, which takes no memory then.
    pub fn with<'a>(&'a mut self, scratch: &'a mut N::Scratch) -> StreamWith<'a, N> {
        StreamWith { network: &self.network, state: &mut self.state, scratch }
    }

    fn own(&mut self) -> StreamWith<'_, N> {
        StreamWith { network: &self.network, state: &mut self.state, scratch: &mut self.scratch }
    }

    /// What it runs.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// Batch rows B.
    pub fn batch(&self) -> usize {
        self.state.batch()
    }

    /// Where the streams stand.
    pub fn state(&self) -> &N::State {
        &self.state
    }

    /// Where the streams stand, to write: rows can be copied and gathered. Another number of rows goes on as so many streams.
    pub fn state_mut(&mut self) -> &mut N::State {
        &mut self.state
    }

    /// Back to zeros: the start of new streams.
    pub fn reset(&mut self) {
        self.state.reset();
    }

    /// Batch row `row` back to zeros: the start of a new stream there.
    ///
    /// # Errors
    /// [`Error::Row`] where there is no such row.
    pub fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        self.state.reset_row(row)
    }
}

/// A [`Stream`] with a lent scratch, for the time of some calls.
#[derive(Debug)]
pub struct StreamWith<'a, N: Network = Layer> {
    network: &'a N,
    state: &'a mut N::State,
    scratch: &'a mut N::Scratch,
}

impl<N: Network> StreamWith<'_, N> {
    /// As [`Stream::step`].
    ///
    /// # Errors
    /// Those of [`Stream::step`].
    pub fn step(&mut self, x: &[N::Number], y: &mut [N::Number]) -> Result<(), Error> {
        self.network.step(x, self.state, y, self.scratch)
    }

    /// As [`Stream::forward`].
    ///
    /// # Errors
    /// Those of [`Layer::forward`].
    pub fn forward(&mut self, x: &[N::Number], y: &mut [N::Number]) -> Result<(), Error> {
        self.run(Sequence::dense(x, y))
    }

    /// As [`Stream::run`].
    ///
    /// # Errors
    /// Those of [`Layer::forward`].
    pub fn run(&mut self, sequence: Sequence<'_, N::Number>) -> Result<(), Error> {
        self.network.forward(sequence, self.state, self.scratch)
    }
}

impl Layer {
    /// `batch` streams of the layer, from zero states on.
    ///
    /// # Errors
    /// [`Error::Kernel`] where the state does not fit into memory.
    pub fn stream(&self, batch: usize) -> Result<Stream, Error> {
        Stream::new(self.clone(), batch)
    }
}

impl Stack {
    /// `batch` streams of the stack, from zero states on.
    ///
    /// # Errors
    /// [`Error::Kernel`] where the states do not fit into memory.
    pub fn stream(&self, batch: usize) -> Result<Stream<Stack>, Error> {
        Stream::new(self.clone(), batch)
    }
}

#[cfg(feature = "f64")]
impl<F: Number> UnfusedLayer<F> {
    /// `batch` streams of the layer, from zero states on.
    ///
    /// # Errors
    /// [`Error::Kernel`] where the state does not fit into memory.
    pub fn stream(&self, batch: usize) -> Result<Stream<UnfusedLayer<F>>, Error> {
        Stream::new(self.clone(), batch)
    }
}
