use crate::{Dims, Error, Layer, Layout, Scratch, Sequence, State, Strides, View, ViewMut};

/// Layers on top of each other: the output of one is the input of the next, directions concatenated.
///
/// ```
/// use rnnpack::{Cell, Dims, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Layout};
/// use rnnpack::{Sequence, Shape, Stack, StackScratch, View, ViewMut};
///
/// # fn main() -> Result<(), rnnpack::Error> {
/// let layer = |input, hidden, direction: Direction| {
///     let rows = direction.count() * 4 * hidden;
///     let (w, r) = (vec![0.1; rows * input], vec![0.1; rows * hidden]);
///     let tensors = LayerTensors { w: &w, r: &r, b: None, p: None };
///     let shape = Shape { input, hidden, direction };
///     Layer::new(&LayerWeights::new(Cell::lstm(), shape, GateOrder::Onnx, tensors)?)
/// };
/// // The second layer reads both directions of the first: 2 · 4 inputs.
/// let stack = Stack::new(vec![layer(3, 4, Direction::Bidirectional)?, layer(8, 2, Direction::Forward)?])?;
///
/// let (x, mut y) = ([1.0; 5 * 3], [0.0; 5 * 2]);
/// let x_dims = Dims { time: 5, directions: 1, batch: 1, width: 3 };
/// let x = View::new(&x, x_dims, Layout::TimeMajor)?;
/// let y = Some(ViewMut::new(&mut y, Dims { width: 2, ..x_dims }, Layout::TimeMajor)?);
/// stack.forward(Sequence { x, lens: None, y }, &mut stack.new_state(1)?, &mut StackScratch::new())?;
/// # Ok(())
/// # }
/// ```
pub struct Stack {
    layers: Vec<Layer>,
}

/// The states of a stack's layers, first layer first.
#[derive(Clone, Debug, PartialEq)]
pub struct StackState {
    layers: Vec<State>,
}

/// Working memory of a stack, grown by the largest call and reused.
#[derive(Default)]
pub struct StackScratch {
    layer: Scratch,
    /// What the layers below and above write, `[T, B, D·H]`, in turn.
    between: [Vec<f32>; 2],
}

impl Stack {
    /// Layers from the input on.
    ///
    /// # Errors
    /// [`Error::EmptyStack`], or [`Error::Stack`] where a layer's input size is not D · H of the one below.
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
        Ok(Stack { layers })
    }

    /// The layers, first one first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Zero states for `batch` rows.
    ///
    /// # Errors
    /// [`Error::Kernel`] where they do not fit into memory.
    pub fn new_state(&self, batch: usize) -> Result<StackState, Error> {
        let layers = self.layers.iter().map(|layer| layer.new_state(batch)).collect::<Result<_, _>>()?;
        Ok(StackState { layers })
    }

    /// Runs all layers over a sequence, on the calling thread. `sequence.y` is the last layer's output.
    ///
    /// # Errors
    /// As [`Layer::forward`]. Layers below the one that fails have advanced their states; a failure that depends on
    /// the call's shapes comes before the first layer runs.
    pub fn forward(
        &self,
        sequence: Sequence<'_>,
        state: &mut StackState,
        scratch: &mut StackScratch,
    ) -> Result<(), Error> {
        self.run(sequence, state, scratch, Layer::forward)
    }

    /// As [`Stack::forward`], every layer with its rows shared out, see [`Layer::forward_parallel`].
    ///
    /// # Errors
    /// As [`Stack::forward`].
    #[cfg(feature = "rayon")]
    pub fn forward_parallel(
        &self,
        sequence: Sequence<'_>,
        state: &mut StackState,
        scratch: &mut StackScratch,
        threads: usize,
    ) -> Result<(), Error> {
        self.run(
            sequence,
            state,
            scratch,
            |layer: &Layer, sequence, state: &mut State, scratch: &mut Scratch| {
                layer.forward_parallel(sequence, state, scratch, threads)
            },
        )
    }

    fn run(
        &self,
        sequence: Sequence<'_>,
        state: &mut StackState,
        scratch: &mut StackScratch,
        forward: impl Fn(&Layer, Sequence<'_>, &mut State, &mut Scratch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Sequence { x, lens, mut y } = sequence;
        let Dims { time, batch, .. } = x.dims();
        self.check(x, lens, y.as_ref(), state)?;
        let [even, odd] = &mut scratch.between;
        let last = self.layers.len() - 1;
        for (i, (layer, state)) in self.layers.iter().zip(&mut state.layers).enumerate() {
            // The same buffers for the same layers in every call, so that they stop growing.
            let (below, above) = if i % 2 == 0 { (&*odd, &mut *even) } else { (&*even, &mut *odd) };
            let width = layer.shape().input;
            let x = match i {
                0 => x,
                _ => View::new(below, Dims { time, directions: 1, batch, width }, Layout::TimeMajor)?,
            };
            let y = if i == last { y.take() } else { Some(concatenated(layer, above, time, batch)?) };
            forward(layer, Sequence { x, lens, y }, state, &mut scratch.layer)?;
        }
        Ok(())
    }

    /// What any of the layers would refuse.
    fn check(
        &self,
        x: View<'_>,
        lens: Option<&[i32]>,
        y: Option<&ViewMut<'_>>,
        state: &StackState,
    ) -> Result<(), Error> {
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
        rnnpack_kernels::check_inputs(
            cell,
            rnnpack_kernels::Sizes::new(first.input, first.hidden),
            x,
            lens,
            [h, c],
        )?;
        let top = self.layers[self.layers.len() - 1].shape();
        let expected = Dims { time, directions: top.direction.count(), batch, width: top.hidden };
        y.map_or(Ok(()), |y| Ok(rnnpack_kernels::check_output(y, expected)?))
    }
}

/// A view `[T, D, B, H]` of the buffer that holds `[T, B, D·H]`.
fn concatenated<'a>(
    layer: &Layer,
    buffer: &'a mut Vec<f32>,
    time: usize,
    batch: usize,
) -> Result<ViewMut<'a>, Error> {
    use rnnpack_kernels::Error::{Memory, Overflow};
    let what = "the output of a layer of the stack";
    let shape = layer.shape();
    let row = shape.output();
    let floats = time.checked_mul(batch).and_then(|rows| rows.checked_mul(row)).ok_or(Overflow { what })?;
    // What is left of an earlier call is overwritten: the layer writes every element, padding included.
    buffer.try_reserve_exact(floats.saturating_sub(buffer.len())).map_err(|_| Memory { what, floats })?;
    buffer.resize(floats, 0.0);
    let dims = Dims { time, directions: shape.direction.count(), batch, width: shape.hidden };
    let strides = Strides { time: batch * row, direction: shape.hidden, batch: row };
    Ok(ViewMut::strided(buffer, dims, strides)?)
}

impl StackState {
    /// The states, first layer first.
    pub fn layers(&self) -> &[State] {
        &self.layers
    }

    /// The states, first layer first, to write.
    pub fn layers_mut(&mut self) -> &mut [State] {
        &mut self.layers
    }

    /// Back to zeros: the start of a new stream.
    pub fn reset(&mut self) {
        self.layers.iter_mut().for_each(State::reset);
    }
}

impl StackScratch {
    /// Empty; memory comes with the first call.
    pub fn new() -> StackScratch {
        StackScratch::default()
    }
}
