//! Layers on top of each other.

use crate::sequence::Views;
use crate::{Error, Layer, Sequence, Shape, StackScratch, StackState, State};
use rnnpack_kernels::memory::reserve;
use rnnpack_kernels::{Dims, Layout, View, ViewMut};
use std::mem;
use std::sync::Arc;

/// Layers on top of each other: the output of each layer, with its directions concatenated, is the input of the next.
///
/// A stack is a handle: a clone shares the layers.
///
/// ```
/// use rnnpack::{Cell, LayerWeights, Stack};
///
/// # fn main() -> Result<(), rnnpack::Error> {
/// let weights = vec![0.1; 2 * 4 * 4 * 8];
/// let below = LayerWeights::lstm(3, 4).bidirectional().w(&weights[..96]).r(&weights[..128]).pack()?;
/// let above = LayerWeights::lstm(8, 2).w(&weights[..64]).r(&weights[..16]).pack()?; // 8: both directions
/// let stack = Stack::new(vec![below, above])?;
///
/// let mut s = stack.stream(1)?;
/// let (x, mut y) = ([1.0; 5 * 3], [0.0; 5 * 2]);
/// s.forward(&x, &mut y)?;
/// s.step(&x[..3], &mut y[..2])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Stack {
    layers: Arc<[Layer]>,
}

impl Stack {
    /// A stack of these layers, from the input on.
    ///
    /// # Errors
    /// [`Error::EmptyStack`] without layers; [`Error::Stack`] if a layer's input size is not D · H of the layer
    /// below.
    pub fn new(layers: Vec<Layer>) -> Result<Stack, Error> {
        if layers.is_empty() {
            return Err(Error::EmptyStack);
        }
        for (below, pair) in layers.windows(2).enumerate() {
            let (output, input) = (pair[0].shape().output(), pair[1].shape().input);
            if output != input {
                return Err(Error::Stack { layer: below + 1, input, output });
            }
        }
        Ok(Stack { layers: layers.into() })
    }

    /// The layers, first one first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The sizes of the whole stack: the inputs of the first layer, the hidden units and the direction of the last
    /// one.
    fn shape(&self) -> Shape {
        let (first, top) = (self.layers[0].shape(), self.layers[self.layers.len() - 1].shape());
        Shape { input: first.input, ..top }
    }

    /// States of `batch` rows, all zeros.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the states do not fit into memory.
    pub fn new_state(&self, batch: usize) -> Result<StackState, Error> {
        let layers = self.layers.iter().map(|layer| layer.new_state(batch)).collect::<Result<_, _>>()?;
        Ok(StackState { layers })
    }

    /// Runs all layers over a sequence, one after the other. The y of the sequence is the output of the last layer.
    /// Its threads share out the rows of every layer.
    ///
    /// # Errors
    /// The errors of [`Layer::forward`]. Wrong shapes are refused before the first layer runs. If there is not enough
    /// memory, the layers below have advanced their states already. If the caller stops the call, all states are as
    /// before.
    pub fn forward(
        &self,
        sequence: Sequence<'_>,
        state: &mut StackState,
        scratch: &mut StackScratch,
    ) -> Result<(), Error> {
        self.run(sequence.views_of(self.shape(), state.batch())?, state, scratch)
    }

    /// Runs one step of every row of the state. `x` is dense `[B, I]`. `y` is dense `[D, B, H]` and becomes the new
    /// hidden state of the last layer.
    ///
    /// # Errors
    /// The errors of [`Stack::forward`].
    pub fn step(
        &self,
        x: &[f32],
        state: &mut StackState,
        y: &mut [f32],
        scratch: &mut StackScratch,
    ) -> Result<(), Error> {
        let batch = state.batch();
        let has = |count: usize, width: usize| batch.checked_mul(width) == Some(count);
        let in_one_direction = self.layers.iter().all(|layer| layer.shape().direction.count() == 1);
        let fits = state.layers.len() == self.layers.len()
            && self.layers.iter().zip(&state.layers).all(|(layer, of)| layer.takes(of) && of.batch == batch)
            && has(x.len(), self.shape().input)
            && has(y.len(), self.shape().output());
        if fits && in_one_direction {
            return self.run_step(x, state, y, scratch);
        }
        self.run(Views::one_step(self.shape(), batch, x, y)?, state, scratch)
    }

    /// One step of a checked call of layers with one direction.
    fn run_step(
        &self,
        x: &[f32],
        state: &mut StackState,
        y: &mut [f32],
        scratch: &mut StackScratch,
    ) -> Result<(), Error> {
        let batch = state.batch();
        let StackScratch { layer: of_layers, between: [even, odd], .. } = scratch;
        let last = self.layers.len() - 1;
        for (i, (layer, state)) in self.layers.iter().zip(&mut state.layers).enumerate() {
            let (below, above) = if i % 2 == 0 { (&*odd, &mut *even) } else { (&*even, &mut *odd) };
            let x = if i == 0 { x } else { below };
            if i == last {
                return layer.step(x, state, y, of_layers);
            }
            room(above, [1, batch, layer.shape().output()])?;
            layer.step(x, state, above, of_layers)?;
        }
        Ok(())
    }

    fn run(&self, views: Views<'_>, state: &mut StackState, scratch: &mut StackScratch) -> Result<(), Error> {
        self.check(&views, state)?;
        if views.stop.is_none() {
            return self.run_layers(views, &mut state.layers, scratch);
        }
        let mut saved = mem::take(&mut scratch.saved);
        let result = saved.around(&mut state.layers, |states| self.run_layers(views, states, scratch));
        scratch.saved = saved;
        result
    }

    /// Runs the layers of a checked call. A stopped call leaves states without a meaning.
    fn run_layers(
        &self,
        views: Views<'_>,
        states: &mut [State],
        scratch: &mut StackScratch,
    ) -> Result<(), Error> {
        let Views { x, lens, mut y, threads, stop } = views;
        let Dims { time, batch, .. } = x.dims();
        let [even, odd] = &mut scratch.between;
        let last = self.layers.len() - 1;
        for (i, (layer, state)) in self.layers.iter().zip(states).enumerate() {
            // In every call a layer uses the same buffers, so that the buffers stop growing.
            let (below, above) = if i % 2 == 0 { (&*odd, &mut *even) } else { (&*even, &mut *odd) };
            let width = layer.shape().input;
            let x = match i {
                0 => x,
                _ => View::new(below, Dims { time, directions: 1, batch, width }, Layout::TimeMajor)?,
            };
            let y = if i == last { y.take() } else { Some(concatenated(layer, above, time, batch)?) };
            layer.run_views(Views { x, lens, y, threads, stop }, state, &mut scratch.layer)?;
        }
        Ok(())
    }

    /// Refuses everything that any of the layers would refuse.
    fn check(&self, Views { x, lens, y, .. }: &Views<'_>, state: &StackState) -> Result<(), Error> {
        use rnnpack_kernels::Error::Extent;
        let (expected, got) = (self.layers.len(), state.layers.len());
        if expected != got {
            return Err(Extent { what: "the state's layers", expected, got }.into());
        }
        let Dims { time, batch, .. } = x.dims();
        for (layer, state) in self.layers.iter().zip(&state.layers) {
            state.check(layer.cell(), layer.shape(), batch)?;
        }
        let first = self.layers[0].shape();
        let h = batch.saturating_mul(first.hidden);
        let cell = self.layers[0].cell();
        let c = if cell.has_cell_state() { h } else { 0 };
        let sizes = rnnpack_kernels::Sizes::new(first.input, first.hidden);
        rnnpack_kernels::check_inputs(cell, sizes, *x, *lens, [h, c])?;
        let Shape { hidden, direction, .. } = self.shape();
        let expected = Dims { time, directions: direction.count(), batch, width: hidden };
        y.as_ref().map_or(Ok(()), |y| Ok(rnnpack_kernels::check_output(y, expected)?))
    }
}

/// A view `[T, D, B, H]` of the buffer that holds `[T, B, D·H]`.
fn concatenated<'a>(
    layer: &Layer,
    buffer: &'a mut Vec<f32>,
    time: usize,
    batch: usize,
) -> Result<ViewMut<'a>, Error> {
    let shape = layer.shape();
    room(buffer, [time, batch, shape.output()])?;
    let dims = Dims { time, directions: shape.direction.count(), batch, width: shape.hidden };
    Ok(ViewMut::strided(buffer, dims, dims.concatenated(Layout::TimeMajor)?)?)
}

/// Gives a buffer the length of a tensor of these extents.
fn room(buffer: &mut Vec<f32>, [time, batch, row]: [usize; 3]) -> Result<(), Error> {
    use rnnpack_kernels::Error::{Memory, Overflow};
    let what = "the output of a layer of the stack";
    let floats = time.checked_mul(batch).and_then(|rows| rows.checked_mul(row)).ok_or(Overflow { what })?;
    // A layer overwrites what an earlier call left: it writes every element, including padding.
    reserve(buffer, floats.saturating_sub(buffer.len())).ok_or(Memory { what, floats })?;
    buffer.resize(floats, 0.0);
    Ok(())
}
