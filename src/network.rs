//! The calls that layers, stacks and layers of doubles have in common, so that a stream can run each of them.

use crate::{Error, Layer, Scratch, Sequence, Stack, StackScratch, StackState, State};
#[cfg(feature = "f64")]
use crate::{Number, UnfusedLayer, UnfusedScratch};
use rnnpack_kernels::Element;
use std::fmt::Debug;

/// A network that a [`Stream`](crate::Stream) runs: [`Layer`], [`Stack`], or a layer of doubles.
///
/// The trait is sealed: nothing else implements it.
pub trait Network: Clone + Debug + sealed::Network {
    /// The type of the numbers of a sequence: f32 or f64.
    type Number: Element;
    /// The state of a batch of streams.
    type State: NetworkState;
    /// The working memory of calls.
    type Scratch: Default + Debug;

    /// A state of `batch` rows, all zeros.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the state does not fit into memory.
    fn new_state(&self, batch: usize) -> Result<Self::State, Error>;

    /// Runs a sequence; see [`Layer::forward`] and [`Stack::forward`].
    ///
    /// # Errors
    /// The errors of [`Layer::forward`].
    fn forward(
        &self,
        sequence: Sequence<'_, Self::Number>,
        state: &mut Self::State,
        scratch: &mut Self::Scratch,
    ) -> Result<(), Error>;

    /// Runs one step of every row; see [`Layer::step`] and [`Stack::step`].
    ///
    /// # Errors
    /// The errors of [`Layer::forward`].
    fn step(
        &self,
        x: &[Self::Number],
        state: &mut Self::State,
        y: &mut [Self::Number],
        scratch: &mut Self::Scratch,
    ) -> Result<(), Error>;
}

/// The state of a network: [`State`] or [`StackState`]. The trait is sealed.
pub trait NetworkState: Clone + Debug + PartialEq + sealed::NetworkState {
    /// Batch rows B.
    fn batch(&self) -> usize;

    /// Sets the state to zeros: the start of new streams.
    fn reset(&mut self);

    /// Sets batch row `row` to zeros: the start of a new stream there.
    ///
    /// # Errors
    /// [`Error::Row`] if there is no such row.
    fn reset_row(&mut self, row: usize) -> Result<(), Error>;
}

mod sealed {
    pub trait Network {}
    pub trait NetworkState {}
}

/// Implements [`Network`] for a type by the type's own methods of the same names.
macro_rules! network {
    ($(#[$attribute:meta])* [$($generics:tt)*] $network:ty, $number:ty, $state:ty, $scratch:ty) => {
        $(#[$attribute])*
        impl<$($generics)*> sealed::Network for $network {}

        $(#[$attribute])*
        impl<$($generics)*> Network for $network {
            type Number = $number;
            type State = $state;
            type Scratch = $scratch;

            fn new_state(&self, batch: usize) -> Result<$state, Error> {
                self.new_state(batch)
            }

            fn forward(
                &self,
                sequence: Sequence<'_, $number>,
                state: &mut $state,
                scratch: &mut $scratch,
            ) -> Result<(), Error> {
                self.forward(sequence, state, scratch)
            }

            fn step(
                &self,
                x: &[$number],
                state: &mut $state,
                y: &mut [$number],
                scratch: &mut $scratch,
            ) -> Result<(), Error> {
                self.step(x, state, y, scratch)
            }
        }
    };
}

network!([] Layer, f32, State, Scratch);
network!([] Stack, f32, StackState, StackScratch);
network!(
    #[cfg(feature = "f64")]
    [F: Number] UnfusedLayer<F>, F, State<F>, UnfusedScratch<F>
);

impl<F: Element> sealed::NetworkState for State<F> {}

impl<F: Element> NetworkState for State<F> {
    fn batch(&self) -> usize {
        self.batch()
    }

    fn reset(&mut self) {
        self.reset();
    }

    fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        self.reset_row(row)
    }
}

impl sealed::NetworkState for StackState {}

impl NetworkState for StackState {
    fn batch(&self) -> usize {
        self.batch()
    }

    fn reset(&mut self) {
        self.reset();
    }

    fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        self.reset_row(row)
    }
}
