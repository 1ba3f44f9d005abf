//! Unfused layers over `matrixmultiply`, of f32 and of f64: every cell with every option in one body.
//!
//! One product projects the input of many steps. Every step adds the product of h. The sums of the gates are stored
//! in memory between product and activation. The activations are those of the standard library.

mod direction_call;
mod matrices;
mod number;
mod scratch;

pub use number::Number;
pub use scratch::UnfusedScratch;

use crate::rows::Rows;
use crate::sequence::Views;
use crate::{Error, LayerWeights, Sequence, Shape, State};
use direction_call::DirectionCall;
use matrices::Matrices;
use rnnpack_kernels::{Cell, Dims, Subnormals, environment, zero_padding};
use scratch::Division;
use std::sync::Arc;
use std::{fmt, mem, slice};

/// An LSTM, GRU or RNN layer of f32 or f64 over the products of `matrixmultiply`, forward, reverse or bidirectional.
///
/// It takes the same calls as [`Layer`](crate::Layer), and refuses the same calls in the same words. It does not
/// promise the same bits in every case. A blocked product adds its terms in an order that depends on the sizes. So
/// the last bits of a row's result may depend on the batch around it and on the chunks of a sequence.
///
/// A layer is a handle: a clone shares the weights, which never change. One layer serves any number of streams and
/// threads, each with its own [`State`] and [`UnfusedScratch`].
#[derive(Clone)]
pub struct UnfusedLayer<F> {
    shape: Shape,
    directions: Arc<[Matrices<F>]>,
}

impl<F> fmt::Debug for UnfusedLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<&Cell> = self.directions.iter().map(|matrices| &matrices.cell).collect();
        f.debug_struct("UnfusedLayer")
            .field("shape", &self.shape)
            .field("cells", &cells)
            .finish_non_exhaustive()
    }
}

/// A layer of doubles: every product by `dgemm`, activations by the standard library.
pub type LayerF64 = UnfusedLayer<f64>;

/// Working memory of [`LayerF64`].
pub type ScratchF64 = UnfusedScratch<f64>;

impl<F: Number> UnfusedLayer<F> {
    /// Copies the weights into plain matrices.
    ///
    /// # Errors
    /// [`Error::Kernel`] if they do not fit into memory.
    pub fn new(weights: &LayerWeights<'_, F>) -> Result<UnfusedLayer<F>, Error> {
        let matrices = || weights.directions().iter().map(Matrices::new).collect::<Result<_, _>>();
        let directions = environment::within(Subnormals::Keep, matrices)?;
        Ok(UnfusedLayer { shape: weights.shape(), directions })
    }

    /// The layer's sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The cell of direction 0. Another direction may have other options.
    pub fn cell(&self) -> &Cell {
        &self.directions[0].cell
    }

    /// Bytes of the weights.
    pub fn packed_bytes(&self) -> usize {
        self.directions.iter().map(Matrices::bytes).sum()
    }

    /// A state of `batch` rows, all zeros.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the state does not fit into memory.
    pub fn new_state(&self, batch: usize) -> Result<State<F>, Error> {
        State::zeros(self.cell(), self.shape, batch)
    }

    /// Runs the layer over a sequence. It always runs on the calling thread, even if the sequence allows more
    /// threads. The scratch does not grow if a call of the same size ran before.
    ///
    /// # Errors
    /// The errors of [`Layer::forward`](crate::Layer::forward).
    pub fn forward(
        &self,
        sequence: Sequence<'_, F>,
        state: &mut State<F>,
        scratch: &mut UnfusedScratch<F>,
    ) -> Result<(), Error> {
        self.run(sequence.views_of(self.shape, state.batch())?, state, scratch)
    }

    /// Runs one step of every row of the state. `x` is dense `[B, I]`, `y` is dense `[D, B, H]`: the new hidden state.
    ///
    /// # Errors
    /// The errors of [`UnfusedLayer::forward`].
    pub fn step(
        &self,
        x: &[F],
        state: &mut State<F>,
        y: &mut [F],
        scratch: &mut UnfusedScratch<F>,
    ) -> Result<(), Error> {
        self.run(Views::one_step(self.shape, state.batch(), x, y)?, state, scratch)
    }

    fn run(
        &self,
        views: Views<'_, F>,
        state: &mut State<F>,
        scratch: &mut UnfusedScratch<F>,
    ) -> Result<(), Error> {
        let subnormals = self.directions[0].subnormals;
        if views.stop.is_none() {
            return environment::within(subnormals, || self.run_within(views, state, scratch));
        }
        let mut saved = mem::take(&mut scratch.saved);
        let result = saved.around(slice::from_mut(state), |state| {
            environment::within(subnormals, || self.run_within(views, &mut state[0], scratch))
        });
        scratch.saved = saved;
        result
    }

    /// Runs a call in the floating-point environment of the layer.
    #[inline(never)]
    fn run_within(
        &self,
        views: Views<'_, F>,
        state: &mut State<F>,
        scratch: &mut UnfusedScratch<F>,
    ) -> Result<(), Error> {
        let Rows { x, lens, mut y, h, c, stop } = Rows::new(self.cell(), self.shape, views, state)?;
        let Dims { time, batch, .. } = x.dims();
        let division = Division::new(self.shape, self.widest(), [time, batch])?;
        scratch.prepare([time, batch], lens, division)?;
        for (d, ((matrices, h), c)) in self.directions.iter().zip(h).zip(c).enumerate() {
            let mut y = y.as_mut().map(|y| y.reborrow().direction(d));
            if let (Some(y), Some(lens)) = (&mut y, lens) {
                zero_padding(y, lens);
            }
            let reverse = self.shape.direction.is_reverse(d);
            let mut call = DirectionCall::new(matrices, x, reverse, scratch, division);
            call.load([h, c]);
            call.steps(y, stop)?;
            call.store([h, c]);
        }
        Ok(())
    }

    /// The number of gate sums of a step and row, in the direction that has the most.
    fn widest(&self) -> usize {
        self.directions.iter().map(Matrices::width).max().unwrap_or(0)
    }
}
