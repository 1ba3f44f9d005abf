//! A packed layer: one operator, one or both directions.

use crate::batch::{fork, shares};
use crate::rows::Rows;
use crate::sequence::Views;
use crate::{Error, LayerWeights, Plan, Planner, Scratch, Sequence, Shape, State};
use rnnpack_kernels::blocking::Limits;
use rnnpack_kernels::{Call, Cell, Dims, Direction, OneStep, PackedWeights, Subnormals, WeightType};
use std::sync::Arc;
use std::{fmt, mem, slice};

/// A packed LSTM, GRU or RNN layer, forward, reverse or bidirectional.
///
/// A layer is a handle: a clone shares the packed weights, which never change. One layer serves any number of streams
/// and threads. Each of them needs its own [`State`] and [`Scratch`]; [`stream`](Layer::stream) puts the three
/// together.
///
/// The output of a bidirectional layer is `[T, D, B, H]`, as in ONNX. PyTorch's output is `[T, B, 2·H]`:
/// [`Sequence::concatenated`] writes that.
///
/// ```
/// use rnnpack::{LayerWeights, Scratch, Sequence};
///
/// # fn main() -> Result<(), rnnpack::Error> {
/// let (w, r) = (vec![0.1; 2 * 3 * 5 * 3], vec![-0.1; 2 * 3 * 5 * 5]);
/// let gru = LayerWeights::gru(3, 5).bidirectional().w(&w).r(&r).pack()?;
///
/// // Two sequences of 4 and 2 steps: x [T, B, I], y [T, D, B, H].
/// let (mut state, mut scratch) = (gru.new_state(2)?, Scratch::new());
/// let (x, mut y) = (vec![1.0; 4 * 2 * 3], vec![f32::NAN; 4 * 2 * 2 * 5]);
/// gru.forward(Sequence::dense(&x, &mut y).lens(&[4, 2]), &mut state, &mut scratch)?;
/// assert_eq!(y[3 * 20 + 5..][..5], [0.0; 5]); // the last step of direction 0 and row 1
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Layer {
    shared: Arc<Shared>,
}

/// What all handles of a layer share.
struct Shared {
    shape: Shape,
    plan: Plan,
    limits: Limits,
    packed: Vec<PackedWeights>,
}

impl Layer {
    /// Packs the weights for this machine, with the plan of [`Planner::from_env`].
    ///
    /// # Errors
    /// [`Error::UnknownIsa`] if `RNNPACK_ISA` names an unknown or unavailable instruction set; [`Error::Kernel`] if
    /// the packed weights do not fit into memory.
    pub fn new(weights: &LayerWeights<'_>) -> Result<Layer, Error> {
        Layer::with_plan(weights, Planner::from_env()?.plan(weights.cell(), weights.shape()))
    }

    /// Packs the weights with the given plan.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the packed weights do not fit into memory.
    pub fn with_plan(weights: &LayerWeights<'_>, plan: Plan) -> Result<Layer, Error> {
        let pack = |w| Ok::<_, Error>(PackedWeights::new(plan.variant, w)?.with_dots(plan.dots));
        let packed = weights.directions().iter().map(pack).collect::<Result<_, _>>()?;
        Ok(Layer::of(weights.shape(), plan, packed))
    }

    /// Reads a layer from the bytes that [`Layer::to_bytes`] or [`LayerWeights::to_bytes`] wrote. The weights are
    /// used in place and are not copied. So `bytes` must start on a 64-byte boundary: wrap `include_bytes!` in
    /// [`Aligned`](crate::bytes::Aligned). The layer runs on the instruction set that it was packed for;
    /// `RNNPACK_ISA` has no effect.
    ///
    /// # Errors
    /// [`Error::Kernel`] says why the bytes are refused: they are altered, truncated, of another version, for an
    /// instruction set that is not available here, or not aligned.
    pub fn from_static(bytes: &'static [u8]) -> Result<Layer, Error> {
        Ok(Layer::unpacked(rnnpack_kernels::bytes::from_static(bytes)?))
    }

    /// Like [`Layer::from_static`], for bytes that may start anywhere and are needed during the call alone, such as those
    /// of a file: the weights are copied.
    ///
    /// # Errors
    /// As [`Layer::from_static`], but for the alignment; and [`Error::Kernel`] if the copy does not fit into memory. The
    /// copy takes at most as much memory as the bytes, whatever they hold.
    pub fn from_bytes(bytes: &[u8]) -> Result<Layer, Error> {
        Ok(Layer::unpacked(rnnpack_kernels::bytes::from_bytes(bytes)?))
    }

    /// The layer of packed bytes.
    fn unpacked((direction, packed): (Direction, Vec<PackedWeights>)) -> Layer {
        let first = &packed[0];
        let shape = Shape { input: first.input(), hidden: first.hidden(), direction };
        Layer::of(shape, Plan::on(first.variant()), packed)
    }

    fn of(shape: Shape, plan: Plan, packed: Vec<PackedWeights>) -> Layer {
        let limits = Limits::new(packed[0].cell(), plan.variant, plan.caches, shape.hidden);
        Layer { shared: Arc::new(Shared { shape, plan, limits, packed }) }
    }

    /// The packed layer as bytes, for [`Layer::from_static`] and [`Layer::from_bytes`]. They equal those of
    /// [`LayerWeights::to_bytes`] for the layer's instruction set.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the bytes do not fit into memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        Ok(rnnpack_kernels::bytes::to_bytes(self.shape().direction, &self.shared.packed)?)
    }

    /// The number of bytes that [`Layer::to_bytes`] gives.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the number overflows.
    pub fn bytes_size(&self) -> Result<usize, Error> {
        Ok(rnnpack_kernels::bytes::size(self.shape().direction, &self.shared.packed)?)
    }

    /// The layer's sizes.
    pub fn shape(&self) -> Shape {
        self.shared.shape
    }

    /// The cell of direction 0. Another direction may have other options.
    pub fn cell(&self) -> &Cell {
        self.shared.packed[0].cell()
    }

    /// How the layer is computed.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// The type in which W and R are stored.
    pub fn weight_type(&self) -> WeightType {
        self.shared.packed[0].weight_type()
    }

    /// What adds the products on this CPU: `amx`, `vnni` or `widened` for weights of int8; `amx`, `avx512-bf16` or `widened`
    /// for pairs of bf16; `None` for weights of other types. [`Plan::dots`] limits it.
    pub fn dots(&self) -> Option<&'static str> {
        self.shared.packed[0].dots()
    }

    /// What the layer does with subnormal numbers.
    pub fn subnormals(&self) -> Subnormals {
        self.shared.packed[0].subnormals()
    }

    /// The number of weights that were subnormal and became zero when they were packed.
    pub fn flushed_weights(&self) -> u64 {
        // Packed bytes may say any numbers.
        self.shared.packed.iter().map(PackedWeights::flushed_weights).fold(0, u64::saturating_add)
    }

    /// Bytes of the packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.shared.packed.iter().map(PackedWeights::bytes).sum()
    }

    /// Bytes that a fresh [`Scratch`] allocates for a call of `time` steps and `batch` rows. The few words of its own
    /// bookkeeping are not counted.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the number of bytes overflows.
    pub fn scratch_bytes(&self, time: usize, batch: usize) -> Result<usize, Error> {
        let blocking = self.shared.limits.blocking(time, batch);
        let of = |packed: &PackedWeights| packed.scratch_bytes(blocking, time, batch);
        // The directions run one after the other in the same memory. Their cells differ only in their options.
        self.shared.packed.iter().try_fold(0, |most, packed| Ok(of(packed)?.max(most)))
    }

    /// A state of `batch` rows, all zeros.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the state does not fit into the memory that is free: the allocator's answer, and on Linux
    /// what the system and the process's control groups can give at this moment. The same holds for every buffer of
    /// this crate whose size a caller chooses: packed weights, scratch, and the outputs between the layers of a stack.
    pub fn new_state(&self, batch: usize) -> Result<State, Error> {
        State::zeros(self.cell(), self.shape(), batch)
    }

    /// Runs the layer over a sequence. The call starts from `state` and leaves the final state there. On the calling
    /// thread ([`Threads::Caller`](crate::Threads), the default), a call allocates nothing if a call of the same size
    /// ran before.
    ///
    /// A later call continues where the earlier one ended. So a forward layer may take a sequence in any chunks of
    /// time. A reverse direction starts at the end of each call's own steps.
    ///
    /// # Errors
    /// [`Error::Elements`] and [`Error::Steps`] name a dense buffer of a wrong length. [`Error::Kernel`] names the
    /// extent of a view, the length of `lens`, or the entry of `lens` that is wrong. After these errors nothing was
    /// written. [`Error::Kernel`] also reports that there is not enough working memory. After that error one of two
    /// directions, or the rows of some threads, may have run. [`Error::Stopped`] if the caller
    /// [stops](Sequence::stop) the call; the state is then as before.
    pub fn forward(
        &self,
        sequence: Sequence<'_>,
        state: &mut State,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        self.forward_views(sequence.views_of(self.shape(), state.batch())?, state, scratch)
    }

    /// Runs one step of every row of the state. `x` is dense `[B, I]`, `y` is dense `[D, B, H]`: the new hidden state.
    ///
    /// # Errors
    /// The errors of [`Layer::forward`].
    pub fn step(
        &self,
        x: &[f32],
        state: &mut State,
        y: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let Shared { shape, limits, packed, .. } = &*self.shared;
        let batch = state.batch();
        let fits = self.takes(state) && y.len() == state.h.len();
        if !fits || batch.checked_mul(shape.input) != Some(x.len()) {
            return self.step_by_views(x, state, y, scratch);
        }
        let (rows, cells) = (batch * shape.hidden, if state.c.is_empty() { 0 } else { batch * shape.hidden });
        let (scratch, most) = (scratch.first(), limits.blocking(1, batch).rows);
        let [mut y, mut h, mut c] = [y, &mut state.h, &mut state.c];
        for packed in packed {
            let (of_y, of_h, of_c);
            (of_y, y) = y.split_at_mut(rows);
            (of_h, h) = h.split_at_mut(rows);
            (of_c, c) = c.split_at_mut(cells);
            let call = OneStep { batch, x, y: Some(of_y), h: of_h, c: of_c, rows: most };
            rnnpack_kernels::step(packed, call, scratch)?;
        }
        Ok(())
    }

    /// Whether the state has the sizes and the kind of cell of this layer.
    #[inline]
    pub(crate) fn takes(&self, state: &State) -> bool {
        let cells = if self.cell().has_cell_state() { state.h.len() } else { 0 };
        state.shape.hidden == self.shared.shape.hidden
            && state.shape.direction.count() == self.shared.packed.len()
            && state.c.len() == cells
    }

    /// A step as a sequence of one step, whose checks say what is wrong with it.
    #[cold]
    fn step_by_views(
        &self,
        x: &[f32],
        state: &mut State,
        y: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        self.run_views(Views::one_step(self.shape(), state.batch(), x, y)?, state, scratch)
    }

    /// [`Layer::forward`], for tensors whose extents are known.
    #[inline]
    pub(crate) fn forward_views(
        &self,
        views: Views<'_>,
        state: &mut State,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        if views.stop.is_none() {
            return self.run_views(views, state, scratch);
        }
        let mut saved = mem::take(&mut scratch.saved);
        let result =
            saved.around(slice::from_mut(state), |state| self.run_views(views, &mut state[0], scratch));
        scratch.saved = saved;
        result
    }

    /// [`Layer::forward_views`]; a stopped call leaves a state without a meaning.
    #[inline]
    pub(crate) fn run_views(
        &self,
        views: Views<'_>,
        state: &mut State,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let (threads, Dims { time, batch, .. }) = (views.threads, views.x.dims());
        let rows = Rows::new(self.cell(), self.shape(), views, state)?;
        match shares(threads, batch, || self.multiply_adds(time, batch)) {
            1 => self.run(rows, &mut scratch.shares(1)[0]),
            shares => {
                fork(rows, scratch.shares(shares), &|rows: Rows<'_>, scratch: &mut _| self.run(rows, scratch))
            }
        }
    }

    /// The number of multiply-adds of a call.
    fn multiply_adds(&self, time: usize, batch: usize) -> usize {
        let Shape { input, hidden, .. } = self.shape();
        let sums = self.shape().output() * self.cell().gates();
        sums.saturating_mul(input.saturating_add(hidden)).saturating_mul(time).saturating_mul(batch)
    }

    /// Runs all steps and directions of some rows.
    fn run(&self, rows: Rows<'_>, scratch: &mut rnnpack_kernels::Scratch) -> Result<(), Error> {
        let Rows { x, lens, mut y, h, c, stop } = rows;
        let Dims { time, batch, .. } = x.dims();
        let Shared { shape, limits, packed, .. } = &*self.shared;
        let blocking = limits.blocking(time, batch);
        for (d, ((packed, h), c)) in packed.iter().zip(h).zip(c).enumerate() {
            let y = y.as_mut().map(|y| y.reborrow().direction(d));
            let reverse = shape.direction.is_reverse(d);
            rnnpack_kernels::forward(packed, Call { x, y, lens, reverse, h, c, blocking, stop }, scratch)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { shape, plan, .. } = &*self.shared;
        let mut layer = f.debug_struct("Layer");
        layer.field("cell", self.cell()).field("shape", shape).field("weight_type", &self.weight_type());
        layer.field("plan", plan).field("dots", &self.dots()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dots, Layer, LayerWeights, Plan, WeightType};

    #[test]
    fn the_multiply_adds_of_a_call_are_those_of_all_gates_and_directions() {
        let (w, r) = ([0.5f32; 2 * 4 * 5 * 3], [0.5f32; 2 * 4 * 5 * 5]);
        let layer = LayerWeights::lstm(3, 5).bidirectional().w(&w).r(&r).pack().unwrap();
        assert_eq!(layer.multiply_adds(7, 2), 2 * 4 * 5 * (3 + 5) * 7 * 2);
        assert_eq!(layer.multiply_adds(usize::MAX, 2), usize::MAX);
    }

    #[test]
    fn a_layer_tells_which_dot_products_it_uses() {
        let (w, r) = ([0.5f32; 4 * 5 * 3], [0.5f32; 4 * 5 * 5]);
        let used = |weights, dots| {
            let weights = LayerWeights::lstm(3, 5).w(&w).r(&r).build().unwrap().with_type(weights).unwrap();
            let plan = Plan { dots, ..*Layer::new(&weights).unwrap().plan() };
            Layer::with_plan(&weights, plan).unwrap().dots()
        };
        assert_eq!(used(WeightType::F32, Dots::Amx), None);
        assert_eq!(used(WeightType::I8, Dots::Widened), Some("widened"));
    }
}
