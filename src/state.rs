use crate::{Error, Shape};
use rnnpack_kernels::{Cell, Element};

/// The state of a stream, or of a batch of streams: h of one layer, and c where it is an LSTM.
///
/// Both are dense `[D, B, H]`, as ONNX's `initial_h`, `initial_c`, `Y_h` and `Y_c` are with `layout = 0`. A forward
/// call starts from what is here and leaves the final state here.
#[derive(Clone, Debug, PartialEq)]
pub struct State<F = f32> {
    pub(crate) shape: Shape,
    pub(crate) batch: usize,
    pub(crate) h: Vec<F>,
    pub(crate) c: Vec<F>,
}

impl<F: Element> State<F> {
    pub(crate) fn zeros(cell: &Cell, shape: Shape, batch: usize) -> Result<State<F>, Error> {
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
