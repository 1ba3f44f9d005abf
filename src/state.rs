use crate::{Error, Shape};
use rnnpack_kernels::{Cell, Element};

/// The state of a stream, or of a batch of streams: h of one layer, and c where it is an LSTM.
///
/// Both are dense `[D, B, H]`, as ONNX's `initial_h`, `initial_c`, `Y_h` and `Y_c` are with `layout = 0`. A forward
/// call starts from what is here and leaves the final state here.
///
/// ```
/// # use rnnpack::{Cell, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Scratch, Shape};
/// # fn main() -> Result<(), rnnpack::Error> {
/// # let shape = Shape { input: 1, hidden: 2, direction: Direction::Forward };
/// # let tensors = LayerTensors { w: &[0.5; 8], r: &[0.5; 16], b: None, p: None };
/// # let lstm = Layer::new(&LayerWeights::new(Cell::lstm(), shape, GateOrder::Onnx, tensors)?)?;
/// let (mut state, mut scratch, mut h) = (lstm.new_state(1)?, Scratch::new(), [0.0; 2]);
/// lstm.step(&[1.0], &mut state, &mut h, &mut scratch)?;
/// let saved = state.clone(); // both streams go on from here
/// lstm.step(&[2.0], &mut state, &mut h, &mut scratch)?;
/// assert_ne!(state, saved);
/// state.reset(); // a new stream
/// state.c_mut()[0] = 0.5; // with an initial state of its own
/// assert_eq!((state.h(), state.c()), (&[0.0, 0.0][..], &[0.5, 0.0][..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct State<F = f32> {
    pub(crate) shape: Shape,
    pub(crate) batch: usize,
    pub(crate) h: Vec<F>,
    pub(crate) c: Vec<F>,
}

impl<F: Element> State<F> {
    /// A state at zeros, of `batch` rows of a layer of this shape and kind of cell; a layer makes its own by `new_state`.
    ///
    /// # Errors
    /// [`Error::Kernel`] where it does not fit into memory.
    pub fn zeros(cell: &Cell, shape: Shape, batch: usize) -> Result<State<F>, Error> {
        use rnnpack_kernels::Error::{Memory, Overflow};
        let what = "state";
        let floats = shape.output().checked_mul(batch).ok_or(Overflow { what })?;
        let zeros = |floats: usize| {
            let mut v = Vec::new();
            v.try_reserve_exact(floats).map_err(|_| Memory { what, floats })?;
            v.resize(floats, F::default());
            Ok::<_, Error>(v)
        };
        let cells = if cell.has_cell_state() { floats } else { 0 };
        Ok(State { shape, batch, h: zeros(floats)?, c: zeros(cells)? })
    }

    /// Whether it is the state of `batch` rows of a layer of this shape and kind of cell.
    pub(crate) fn check(&self, cell: &Cell, shape: Shape, batch: usize) -> Result<(), Error> {
        use rnnpack_kernels::Error::Extent;
        let cell_states = if cell.has_cell_state() { self.h.len() } else { 0 };
        let extents = [
            ("the state's hidden size", shape.hidden, self.shape.hidden),
            ("the state's directions", shape.direction.count(), self.shape.direction.count()),
            ("the state's batch", batch, self.batch),
            ("the number of the state's cell states", cell_states, self.c.len()),
        ];
        match extents.into_iter().find(|(_, expected, got)| expected != got) {
            Some((what, expected, got)) => Err(Extent { what, expected, got }.into()),
            None => Ok(()),
        }
    }

    /// Batch rows B.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Hidden state `[D, B, H]`.
    pub fn h(&self) -> &[F] {
        &self.h
    }

    /// Cell state `[D, B, H]`; empty where the cell has none.
    pub fn c(&self) -> &[F] {
        &self.c
    }

    /// Hidden state `[D, B, H]`, to write.
    pub fn h_mut(&mut self) -> &mut [F] {
        &mut self.h
    }

    /// Bytes of h and c.
    pub fn bytes(&self) -> usize {
        size_of_val(self.h()) + size_of_val(self.c())
    }

    /// Cell state `[D, B, H]`, to write; empty where the cell has none.
    pub fn c_mut(&mut self) -> &mut [F] {
        &mut self.c
    }

    /// Back to zeros: the start of a new stream.
    pub fn reset(&mut self) {
        self.h.fill(F::default());
        self.c.fill(F::default());
    }
}

/// Working memory of forward calls, for any layer and shape. It grows to the largest call and is then reused, so that
/// no later call of that size allocates. One thread uses it at a time.
#[derive(Default)]
pub struct Scratch {
    /// One for every share of a parallel call; the first serves serial ones.
    pub(crate) shares: Vec<rnnpack_kernels::Scratch>,
}

impl Scratch {
    /// Empty; memory comes with the first call.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    pub(crate) fn shares(&mut self, count: usize) -> &mut [rnnpack_kernels::Scratch] {
        if self.shares.len() < count {
            self.shares.resize_with(count, rnnpack_kernels::Scratch::new);
        }
        &mut self.shares[..count]
    }
}
