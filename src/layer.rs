use crate::{Error, LayerWeights, Plan, Planner, Scratch, Shape, State};
use rnnpack_kernels::{Call, Cell, Dims, Element, Layout, PackedWeights, Sizes, View, ViewMut, forward};

/// What a forward call reads and writes, beside the state.
pub struct Sequence<'a, F = f32> {
    /// Input, `[T, 1, B, I]`.
    pub x: View<'a, F>,
    /// Steps of each batch row, `[B]`, 0 to T, as ONNX's `sequence_lens`; all T where absent. A row's final state is
    /// that of its last valid step, and its Y beyond is zero.
    pub lens: Option<&'a [i32]>,
    /// Output Y, `[T, D, B, H]`, where it is wanted.
    pub y: Option<ViewMut<'a, F>>,
}

impl<'a, F: Element> Sequence<'a, F> {
    /// One step of `batch` rows: `x` is dense `[B, I]`, `y` is dense `[D, B, H]`.
    pub(crate) fn one_step(
        shape: Shape,
        batch: usize,
        x: &'a [F],
        y: &'a mut [F],
    ) -> Result<Sequence<'a, F>, Error> {
        let Shape { input, hidden, direction } = shape;
        let dims = Dims { time: 1, directions: 1, batch, width: input };
        let out = Dims { directions: direction.count(), width: hidden, ..dims };
        let y = Some(ViewMut::new(y, out, Layout::TimeMajor)?);
        Ok(Sequence { x: View::new(x, dims, Layout::TimeMajor)?, lens: None, y })
    }
}

/// A packed LSTM, GRU or RNN layer, forward, reverse or bidirectional.
///
/// It is immutable: one layer serves any number of streams and threads, each with its own [`State`] and [`Scratch`].
///
/// ```
/// use rnnpack::{Cell, Dims, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Layout};
/// use rnnpack::{Scratch, Sequence, Shape, View, ViewMut};
///
/// # fn main() -> Result<(), rnnpack::Error> {
/// let shape = Shape { input: 3, hidden: 5, direction: Direction::Bidirectional };
/// let (w, r) = (vec![0.1; 2 * 3 * 5 * 3], vec![-0.1; 2 * 3 * 5 * 5]);
/// let tensors = LayerTensors { w: &w, r: &r, b: None, p: None };
/// let gru = Layer::new(&LayerWeights::new(Cell::gru(false), shape, GateOrder::Onnx, tensors)?)?;
///
/// // Two sequences of 4 and 2 steps, batch-major: x [B, T, I], y [B, T, D, H].
/// let dims = Dims { time: 4, directions: 1, batch: 2, width: 3 };
/// let x = vec![1.0; 2 * 4 * 3];
/// let mut y = vec![f32::NAN; 2 * 4 * 2 * 5];
/// let sequence = Sequence {
///     x: View::new(&x, dims, Layout::BatchMajor)?,
///     lens: Some(&[4, 2]),
///     y: Some(ViewMut::new(&mut y, Dims { directions: 2, width: 5, ..dims }, Layout::BatchMajor)?),
/// };
/// gru.forward(sequence, &mut gru.new_state(2)?, &mut Scratch::new())?;
/// assert!(y[(4 + 2) * 2 * 5..].iter().all(|&v| v == 0.0)); // beyond the end of the second
/// # Ok(())
/// # }
/// ```
pub struct Layer {
    shape: Shape,
    plan: Plan,
    packed: Vec<PackedWeights>,
}

impl Layer {
    /// Packs the weights as [`Planner::from_env`] plans for this machine.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`] for a bad `RNNPACK_ISA`; [`Error::Kernel`] where the packed weights do not fit into memory.
    pub fn new(weights: &LayerWeights<'_>) -> Result<Layer, Error> {
        Layer::with_plan(weights, Planner::from_env()?.plan(weights.cell(), weights.shape()))
    }

    /// Packs the weights for a given plan.
    ///
    /// # Errors
    /// [`Error::Kernel`] where the packed weights do not fit into memory.
    pub fn with_plan(weights: &LayerWeights<'_>, plan: Plan) -> Result<Layer, Error> {
        let pack = |w| PackedWeights::new(plan.variant, w);
        let packed = weights.directions().iter().map(pack).collect::<Result<_, _>>()?;
        Ok(Layer { shape: weights.shape(), plan, packed })
    }

    /// The layer that [`Layer::to_bytes`] or [`LayerWeights::to_bytes`] wrote. Its weights stay where they are, on a
    /// 64-byte boundary: [`Aligned`](crate::bytes::Aligned) puts what `include_bytes!` gives on one. It runs on the
    /// instruction set that it was packed for, whatever `RNNPACK_ISA` says.
    ///
    /// # Errors
    /// [`Error::Kernel`] says why the bytes are refused: they are altered, truncated, of another version, for an instruction
    /// set that is not available here, or not aligned.
    pub fn from_static(bytes: &'static [u8]) -> Result<Layer, Error> {
        let (direction, packed) = rnnpack_kernels::bytes::from_static(bytes)?;
        let first = &packed[0];
        let shape = Shape { input: first.input(), hidden: first.hidden(), direction };
        Ok(Layer { shape, plan: Plan::on(first.variant()), packed })
    }

    /// The packed layer as bytes, for [`Layer::from_static`]: those of [`LayerWeights::to_bytes`] for the layer's
    /// instruction set.
    ///
    /// # Errors
    /// [`Error::Kernel`] where they do not fit into memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        Ok(rnnpack_kernels::bytes::to_bytes(self.shape.direction, &self.packed)?)
    }

    /// The layer's sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What a step of direction 0 computes; another direction may have other options.
    pub fn cell(&self) -> &Cell {
        self.packed[0].cell()
    }

    /// How the layer is computed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of the packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.packed.iter().map(PackedWeights::bytes).sum()
    }

    /// Bytes that a fresh [`Scratch`] allocates for a call of `time` steps and `batch` rows, beside some words of its own.
    ///
    /// # Errors
    /// [`Error::Kernel`] where no memory is so large.
    pub fn scratch_bytes(&self, time: usize, batch: usize) -> Result<usize, Error> {
        let blocking = self.plan.blocking(self.cell(), self.shape, time, batch);
        let of = |packed| rnnpack_kernels::Scratch::bytes(packed, blocking, time, batch);
        // Directions run after each other in the same memory. They have the same cell, but for its options.
        self.packed.iter().try_fold(0, |most, packed| Ok(of(packed)?.max(most)))
    }

    /// A zero state for `batch` rows.
    ///
    /// # Errors
    /// [`Error::Kernel`] where it does not fit into memory.
    pub fn new_state(&self, batch: usize) -> Result<State, Error> {
        State::zeros(self.cell(), self.shape, batch)
    }

    /// Runs the layer over a sequence, on the calling thread. No call allocates after one of the same size.
    ///
    /// # Errors
    /// [`Error::Kernel`] names the extent, length or `sequence_lens` entry that does not fit; nothing was written then. It
    /// also tells of working memory that cannot be had; one of two directions may have run then.
    pub fn forward(
        &self,
        sequence: Sequence<'_>,
        state: &mut State,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let rows = self.rows(sequence, state)?;
        self.run(rows, &mut scratch.shares(1)[0])
    }

    /// Runs one step of every row of the state. `x` is dense `[B, I]`, `y` is dense `[D, B, H]`: the new hidden state.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn step(
        &self,
        x: &[f32],
        state: &mut State,
        y: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        self.forward(Sequence::one_step(self.shape, state.batch, x, y)?, state, scratch)
    }

    /// The whole call as one share of rows, after everything that its shapes can get wrong was checked.
    pub(crate) fn rows<'a>(&self, sequence: Sequence<'a>, state: &'a mut State) -> Result<Rows<'a>, Error> {
        Rows::new(self.cell(), self.shape, sequence, state)
    }

    /// Runs all steps and directions of some rows.
    pub(crate) fn run(&self, rows: Rows<'_>, scratch: &mut rnnpack_kernels::Scratch) -> Result<(), Error> {
        let Rows { x, lens, mut y, h, c } = rows;
        let Dims { time, batch, .. } = x.dims();
        let blocking = self.plan.blocking(self.cell(), self.shape, time, batch);
        for (d, ((packed, h), c)) in self.packed.iter().zip(h).zip(c).enumerate() {
            let y = y.as_mut().map(|y| y.reborrow().direction(d));
            let reverse = self.shape.direction.is_reverse(d);
            forward(packed, Call { x, y, lens, reverse, h, c, blocking }, scratch)?;
        }
        Ok(())
    }
}

/// The parts of a call that belong to a range of batch rows.
pub(crate) struct Rows<'a, F = f32> {
    pub(crate) x: View<'a, F>,
    pub(crate) lens: Option<&'a [i32]>,
    pub(crate) y: Option<ViewMut<'a, F>>,
    /// `[B, H]` of each direction; the second is empty where there is only one.
    pub(crate) h: [&'a mut [F]; 2],
    pub(crate) c: [&'a mut [F]; 2],
}

impl<'a, F: Element> Rows<'a, F> {
    /// All rows of a call, after everything that its shapes can get wrong was checked.
    pub(crate) fn new(
        cell: &Cell,
        shape: Shape,
        sequence: Sequence<'a, F>,
        state: &'a mut State<F>,
    ) -> Result<Rows<'a, F>, Error> {
        let Shape { input, hidden, direction } = shape;
        let Sequence { x, lens, y } = sequence;
        let directions = direction.count();
        let Dims { time, batch, .. } = x.dims();
        state.check(cell, shape, batch)?;
        let cells = if cell.has_cell_state() { batch * hidden } else { 0 };
        let (h0, h1) = state.h.split_at_mut(batch * hidden);
        let (c0, c1) = state.c.split_at_mut(cells);
        rnnpack_kernels::check_inputs(cell, Sizes::new(input, hidden), x, lens, [h0.len(), c0.len()])?;
        if let Some(y) = &y {
            rnnpack_kernels::check_output(y, Dims { time, directions, batch, width: hidden })?;
        }
        Ok(Rows { x, lens, y, h: [h0, h1], c: [c0, c1] })
    }

    /// Rows `0..mid` and the rest.
    #[cfg(feature = "rayon")]
    pub(crate) fn split(self, mid: usize) -> (Rows<'a, F>, Rows<'a, F>) {
        let batch = self.x.dims().batch;
        let (lens, lens_after) = self.lens.map(|lens| lens.split_at(mid)).unzip();
        let (y, y_after) = self.y.map(|y| y.split_batch(mid)).unzip();
        let halves = |[a, b]: [&'a mut [F]; 2]| {
            let at = |s: &[F]| s.len() / batch.max(1) * mid;
            let (a_at, b_at) = (at(a), at(b));
            let ((a, a_after), (b, b_after)) = (a.split_at_mut(a_at), b.split_at_mut(b_at));
            ([a, b], [a_after, b_after])
        };
        let ((h, h_after), (c, c_after)) = (halves(self.h), halves(self.c));
        let low = Rows { x: self.x.batch_rows(0, mid), lens, y, h, c };
        let x = self.x.batch_rows(mid, batch);
        (low, Rows { x, lens: lens_after, y: y_after, h: h_after, c: c_after })
    }
}
