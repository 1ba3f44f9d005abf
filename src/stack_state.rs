//! State and scratch of a stack.

use crate::saved::Saved;
use crate::{Error, Scratch, State};

/// The states of a stack's layers, first layer first.
#[derive(Debug, PartialEq)]
pub struct StackState {
    pub(crate) layers: Vec<State>,
}

impl Clone for StackState {
    fn clone(&self) -> StackState {
        StackState { layers: self.layers.clone() }
    }

    /// Copies the states. It allocates nothing if these have been as large before.
    fn clone_from(&mut self, from: &StackState) {
        self.layers.clone_from(&from.layers);
    }
}

impl StackState {
    /// The states, first layer first.
    pub fn layers(&self) -> &[State] {
        &self.layers
    }

    /// Mutable access to the states, first layer first.
    pub fn layers_mut(&mut self) -> &mut [State] {
        &mut self.layers
    }

    /// Batch rows B.
    pub fn batch(&self) -> usize {
        self.layers.first().map_or(0, State::batch)
    }

    /// Sets the states to zeros: the start of new streams.
    pub fn reset(&mut self) {
        self.layers.iter_mut().for_each(State::reset);
    }

    /// [`State::reset_row`] for every layer.
    ///
    /// # Errors
    /// [`Error::Row`] if a layer's state has no such row. Then nothing was written.
    pub fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        self.layers.iter().try_for_each(|state| state.check_row(row))?;
        self.layers.iter_mut().try_for_each(|state| state.reset_row(row))
    }

    /// [`State::copy_row`] for every layer.
    ///
    /// # Errors
    /// The errors of [`State::copy_row`]; [`Error::Kernel`] if the numbers of layers differ. Then nothing was written.
    pub fn copy_row(&mut self, from: &StackState, from_row: usize, to: usize) -> Result<(), Error> {
        let (expected, got) = (self.layers.len(), from.layers.len());
        if expected != got {
            let what = "the number of the state's layers";
            return Err(rnnpack_kernels::Error::Extent { what, expected, got }.into());
        }
        let pairs = self.layers.iter().zip(&from.layers);
        pairs.into_iter().try_for_each(|(state, from)| state.check_copy(from, from_row, to))?;
        let pairs = self.layers.iter_mut().zip(&from.layers);
        pairs.into_iter().try_for_each(|(state, from)| state.copy_row(from, from_row, to))
    }

    /// [`State::gather`] for every layer.
    ///
    /// # Errors
    /// The errors of [`State::gather`].
    pub fn gather(&self, rows: &[usize]) -> Result<StackState, Error> {
        let layers = self.layers.iter().map(|state| state.gather(rows)).collect::<Result<_, _>>()?;
        Ok(StackState { layers })
    }
}

/// Working memory of a stack. It grows to the largest call and is then reused.
#[derive(Debug, Default)]
pub struct StackScratch {
    pub(crate) layer: Scratch,
    /// The outputs of the layers, `[T, B, D·H]`: a layer reads one of them and writes the other.
    pub(crate) between: [Vec<f32>; 2],
    /// The states before a call that may be stopped.
    pub(crate) saved: Saved,
}

impl StackScratch {
    /// Empty; memory comes with the first call.
    pub fn new() -> StackScratch {
        StackScratch::default()
    }
}
