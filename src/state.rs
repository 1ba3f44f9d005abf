//! The state of a stream, and the operations on its batch rows.

use crate::{Error, Shape};
use rnnpack_kernels::memory::reserve;
use rnnpack_kernels::{Cell, Element};

/// The state of a stream, or of a batch of streams: h of one layer, and also c if the layer is an LSTM.
///
/// Both are dense `[D, B, H]`, as ONNX's `initial_h`, `initial_c`, `Y_h` and `Y_c` with `layout = 0`. A forward call
/// starts from this state and leaves the final state here.
///
/// ```
/// # use rnnpack::{LayerWeights, Scratch};
/// # fn main() -> Result<(), rnnpack::Error> {
/// # let lstm = LayerWeights::lstm(1, 2).w(&[0.5; 8]).r(&[0.5; 16]).pack()?;
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
#[derive(Debug, PartialEq)]
pub struct State<F = f32> {
    pub(crate) shape: Shape,
    pub(crate) batch: usize,
    pub(crate) h: Vec<F>,
    pub(crate) c: Vec<F>,
}

impl<F: Clone> Clone for State<F> {
    fn clone(&self) -> State<F> {
        State { shape: self.shape, batch: self.batch, h: self.h.clone(), c: self.c.clone() }
    }

    /// Copies a state. It allocates nothing if this one has been as large before.
    fn clone_from(&mut self, from: &State<F>) {
        (self.shape, self.batch) = (from.shape, from.batch);
        self.h.clone_from(&from.h);
        self.c.clone_from(&from.c);
    }
}

impl<F: Element> State<F> {
    /// A state of `batch` rows, all zeros, for a layer of this shape and kind of cell. A layer makes its own states
    /// with `new_state`.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the state does not fit into memory.
    pub fn zeros(cell: &Cell, shape: Shape, batch: usize) -> Result<State<F>, Error> {
        State::with_cells(shape, batch, cell.has_cell_state())
    }

    fn with_cells(shape: Shape, batch: usize, has_cell_state: bool) -> Result<State<F>, Error> {
        use rnnpack_kernels::Error::{Memory, Overflow};
        let what = "state";
        let floats = shape.output().checked_mul(batch).ok_or(Overflow { what })?;
        let zeros = |floats: usize| {
            let mut v = Vec::new();
            reserve(&mut v, floats).ok_or(Memory { what, floats })?;
            v.resize(floats, F::default());
            Ok::<_, Error>(v)
        };
        let cells = if has_cell_state { floats } else { 0 };
        Ok(State { shape, batch, h: zeros(floats)?, c: zeros(cells)? })
    }

    /// Checks that this is a state of `batch` rows of a layer of this shape and kind of cell.
    pub(crate) fn check(&self, cell: &Cell, shape: Shape, batch: usize) -> Result<(), Error> {
        let cells = if cell.has_cell_state() { self.h.len() } else { 0 };
        self.check_extents(shape, batch, cells)
    }

    fn check_extents(&self, shape: Shape, batch: usize, cell_states: usize) -> Result<(), Error> {
        use rnnpack_kernels::Error::Extent;
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

    /// Cell state `[D, B, H]`; empty if the cell has no cell state.
    pub fn c(&self) -> &[F] {
        &self.c
    }

    /// Mutable access to the hidden state `[D, B, H]`.
    pub fn h_mut(&mut self) -> &mut [F] {
        &mut self.h
    }

    /// The number of bytes of h and c.
    pub fn bytes(&self) -> usize {
        size_of_val(self.h()) + size_of_val(self.c())
    }

    /// Mutable access to the cell state `[D, B, H]`; empty if the cell has no cell state.
    pub fn c_mut(&mut self) -> &mut [F] {
        &mut self.c
    }

    /// Sets the state to zeros: the start of new streams.
    pub fn reset(&mut self) {
        self.h.fill(F::default());
        self.c.fill(F::default());
    }

    /// Sets batch row `row` to zeros in every direction: the start of a new stream there.
    ///
    /// # Errors
    /// [`Error::Row`] if there is no such row.
    pub fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        self.check_row(row)?;
        let places = self.row_places(row);
        for part in [&mut self.h, &mut self.c] {
            places.clone().for_each(|place| place.of_mut(part).fill(F::default()));
        }
        Ok(())
    }

    /// Copies row `from_row` of `from` to batch row `to`. `from` must be a state of the same layer, or of a layer of
    /// the same sizes.
    ///
    /// ```
    /// # use rnnpack::LayerWeights;
    /// # fn main() -> Result<(), rnnpack::Error> {
    /// # let lstm = LayerWeights::lstm(1, 2).w(&[0.5; 8]).r(&[0.5; 16]).pack()?;
    /// // A stream joins a batch of three as row 1.
    /// let (mut alone, mut batch) = (lstm.new_state(1)?, lstm.new_state(3)?);
    /// alone.h_mut().fill(0.5);
    /// batch.copy_row(&alone, 0, 1)?;
    /// assert_eq!(batch.h(), [0.0, 0.0, 0.5, 0.5, 0.0, 0.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Row`] if a row does not exist, [`Error::Kernel`] if the states are of layers of different sizes. Then
    /// nothing was written.
    pub fn copy_row(&mut self, from: &State<F>, from_row: usize, to: usize) -> Result<(), Error> {
        self.check_copy(from, from_row, to)?;
        let places = from.row_places(from_row).zip(self.row_places(to));
        for (from, part) in [(&from.h, &mut self.h), (&from.c, &mut self.c)] {
            places.clone().for_each(|(place, to)| to.of_mut(part).copy_from_slice(place.of(from)));
        }
        Ok(())
    }

    /// Refuses everything that [`State::copy_row`] refuses.
    pub(crate) fn check_copy(&self, from: &State<F>, from_row: usize, to: usize) -> Result<(), Error> {
        self.check_row(to)?;
        from.check_row(from_row)?;
        let cells = if self.c.is_empty() { 0 } else { from.h.len() };
        from.check_extents(self.shape, from.batch, cells)
    }

    /// A new state of these batch rows, in this order. A row may occur several times, or not at all.
    ///
    /// ```
    /// # use rnnpack::LayerWeights;
    /// # fn main() -> Result<(), rnnpack::Error> {
    /// # let lstm = LayerWeights::lstm(1, 2).w(&[0.5; 8]).r(&[0.5; 16]).pack()?;
    /// // Beam search: the first beam has died, the last one forks.
    /// let mut beams = lstm.new_state(3)?;
    /// beams.h_mut().copy_from_slice(&[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    /// beams = beams.gather(&[1, 2, 2])?;
    /// assert_eq!(beams.h(), [2.0, 2.0, 3.0, 3.0, 3.0, 3.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Row`] if a row does not exist, [`Error::Kernel`] if the new state does not fit into memory.
    pub fn gather(&self, rows: &[usize]) -> Result<State<F>, Error> {
        rows.iter().try_for_each(|&row| self.check_row(row))?;
        let mut gathered = State::with_cells(self.shape, rows.len(), !self.c.is_empty())?;
        for (to, &from) in rows.iter().enumerate() {
            gathered.copy_row(self, from, to)?;
        }
        Ok(gathered)
    }

    pub(crate) fn check_row(&self, row: usize) -> Result<(), Error> {
        if row < self.batch { Ok(()) } else { Err(Error::Row { row, batch: self.batch }) }
    }

    /// The place of row `row` of each direction in h, and in c if there is a cell state.
    fn row_places(&self, row: usize) -> impl Iterator<Item = Place> + Clone + use<F> {
        let (batch, hidden) = (self.batch, self.shape.hidden);
        (0..self.shape.direction.count()).map(move |d| Place { start: (d * batch + row) * hidden, hidden })
    }
}

/// The place of a row in h or c.
struct Place {
    start: usize,
    hidden: usize,
}

impl Place {
    /// The row; empty if the cell does not have this state.
    fn of<F>(self, part: &[F]) -> &[F] {
        part.get(self.start..self.start + self.hidden).unwrap_or_default()
    }

    fn of_mut<F>(self, part: &mut [F]) -> &mut [F] {
        part.get_mut(self.start..self.start + self.hidden).unwrap_or_default()
    }
}
