//! A network with its state and scratch: the type that most programs use.

use crate::{Error, Layer, Network, NetworkState, Sequence, Stack};
#[cfg(feature = "f64")]
use crate::{Number, UnfusedLayer};

/// A stream, or a batch of streams that advance together step by step: a network, its state, and its own scratch.
///
/// A sequence may come in any chunks: one step at a time, or many. A stream has no lifetime, since it holds a handle
/// of its network.
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
    /// `batch` new streams of a network, with zero states.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the state does not fit into memory.
    pub fn new(network: N, batch: usize) -> Result<Stream<N>, Error> {
        let state = network.new_state(batch)?;
        Ok(Stream { network, state, scratch: N::Scratch::default() })
    }

    /// Runs one step of every row. `x` is dense `[B, I]`. `y` is dense `[D, B, H]` and becomes the new h (of a stack:
    /// that of its last layer).
    ///
    /// # Errors
    /// [`Error::Elements`] if x or y has a wrong length, [`Error::Kernel`] if there is not enough memory. After the
    /// first error nothing was written.
    pub fn step(&mut self, x: &[N::Number], y: &mut [N::Number]) -> Result<(), Error> {
        self.own().step(x, y)
    }

    /// Runs a sequence. `x` is dense `[T, B, I]`, `y` is dense `[T, D, B, H]`. T follows from the number of elements
    /// of x.
    ///
    /// With two directions this y is not PyTorch's `[T, B, 2·H]`. For PyTorch's, [`run`](Stream::run) a [`Sequence`]
    /// that is [`concatenated`](Sequence::concatenated).
    ///
    /// # Errors
    /// The errors of [`Layer::forward`].
    pub fn forward(&mut self, x: &[N::Number], y: &mut [N::Number]) -> Result<(), Error> {
        self.own().forward(x, y)
    }

    /// Runs a sequence of any layout and lengths, on any number of threads.
    ///
    /// # Errors
    /// The errors of [`Layer::forward`].
    pub fn run(&mut self, sequence: Sequence<'_, N::Number>) -> Result<(), Error> {
        self.own().run(sequence)
    }

    /// The same stream with a lent scratch. Its own scratch stays empty as long as only this is used.
    pub fn with<'a>(&'a mut self, scratch: &'a mut N::Scratch) -> StreamWith<'a, N> {
        StreamWith { network: &self.network, state: &mut self.state, scratch }
    }

    fn own(&mut self) -> StreamWith<'_, N> {
        StreamWith { network: &self.network, state: &mut self.state, scratch: &mut self.scratch }
    }

    /// The network that the streams run.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// Batch rows B.
    pub fn batch(&self) -> usize {
        self.state.batch()
    }

    /// The state of the streams.
    pub fn state(&self) -> &N::State {
        &self.state
    }

    /// Mutable access to the state, for example to copy and gather rows. A state with another number of rows changes
    /// the number of streams.
    pub fn state_mut(&mut self) -> &mut N::State {
        &mut self.state
    }

    /// Sets the state to zeros: the start of new streams.
    pub fn reset(&mut self) {
        self.state.reset();
    }

    /// Sets batch row `row` to zeros: the start of a new stream there.
    ///
    /// # Errors
    /// [`Error::Row`] if there is no such row.
    pub fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        self.state.reset_row(row)
    }
}

/// A [`Stream`] with a lent scratch, for one or more calls.
#[derive(Debug)]
pub struct StreamWith<'a, N: Network = Layer> {
    network: &'a N,
    state: &'a mut N::State,
    scratch: &'a mut N::Scratch,
}

impl<N: Network> StreamWith<'_, N> {
    /// [`Stream::step`], on the lent scratch.
    ///
    /// # Errors
    /// The errors of [`Stream::step`].
    pub fn step(&mut self, x: &[N::Number], y: &mut [N::Number]) -> Result<(), Error> {
        self.network.step(x, self.state, y, self.scratch)
    }

    /// [`Stream::forward`], on the lent scratch.
    ///
    /// # Errors
    /// The errors of [`Layer::forward`].
    pub fn forward(&mut self, x: &[N::Number], y: &mut [N::Number]) -> Result<(), Error> {
        self.run(Sequence::dense(x, y))
    }

    /// [`Stream::run`], on the lent scratch.
    ///
    /// # Errors
    /// The errors of [`Layer::forward`].
    pub fn run(&mut self, sequence: Sequence<'_, N::Number>) -> Result<(), Error> {
        self.network.forward(sequence, self.state, self.scratch)
    }
}

impl Layer {
    /// `batch` new streams of the layer, with zero states.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the state does not fit into memory.
    pub fn stream(&self, batch: usize) -> Result<Stream, Error> {
        Stream::new(self.clone(), batch)
    }
}

impl Stack {
    /// `batch` new streams of the stack, with zero states.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the states do not fit into memory.
    pub fn stream(&self, batch: usize) -> Result<Stream<Stack>, Error> {
        Stream::new(self.clone(), batch)
    }
}

#[cfg(feature = "f64")]
impl<F: Number> UnfusedLayer<F> {
    /// `batch` new streams of the layer, with zero states.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the state does not fit into memory.
    pub fn stream(&self, batch: usize) -> Result<Stream<UnfusedLayer<F>>, Error> {
        Stream::new(self.clone(), batch)
    }
}
