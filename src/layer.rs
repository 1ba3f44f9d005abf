use crate::{Error, LstmShape, LstmWeights, Plan, Planner, Scratch, State};
use rnnpack_kernels::{Call, Dims, Layout, Packed, View, ViewMut, lstm_forward};

/// What a forward call reads and writes, beside the state.
pub struct Sequence<'a> {
    /// Input, `[T, 1, B, I]`.
    pub x: View<'a>,
    /// Steps of each batch row, `[B]`, 0 to T, as ONNX's `sequence_lens`; all T where absent. A row's final state is
    /// that of its last valid step, and its Y beyond is zero.
    pub lens: Option<&'a [i32]>,
    /// Output Y, `[T, D, B, H]`, where it is wanted.
    pub y: Option<ViewMut<'a>>,
}

/// A packed LSTM layer, forward, reverse or bidirectional.
///
/// It is immutable: one layer serves any number of streams and threads, each with its own [`State`] and [`Scratch`].
pub struct Lstm {
    shape: LstmShape,
    plan: Plan,
    packed: Vec<Packed>,
}

impl Lstm {
    /// Packs the weights as [`Planner::from_env`] plans for this machine.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`] for a bad `RNNPACK_ISA`; [`Error::Kernel`] where the packed weights do not fit into memory.
    pub fn new(weights: &LstmWeights<'_>) -> Result<Lstm, Error> {
        Lstm::with_plan(weights, Planner::from_env()?.plan(weights.shape()))
    }

    /// Packs the weights for a given plan.
    ///
    /// # Errors
    /// [`Error::Kernel`] where the packed weights do not fit into memory.
    pub fn with_plan(weights: &LstmWeights<'_>, plan: Plan) -> Result<Lstm, Error> {
        let pack = |w| Packed::new(plan.variant, w);
        let packed = weights.directions().iter().map(pack).collect::<Result<_, _>>()?;
        Ok(Lstm { shape: weights.shape(), plan, packed })
    }

    /// The layer's sizes.
    pub fn shape(&self) -> LstmShape {
        self.shape
    }

    /// How the layer is computed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of the packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.packed.iter().map(Packed::bytes).sum()
    }

    /// A zero state for `batch` rows.
    ///
    /// # Errors
    /// [`Error::Kernel`] where it does not fit into memory.
    pub fn new_state(&self, batch: usize) -> Result<State, Error> {
        State::zeros(self.shape, batch)
    }

    /// Runs the layer over a sequence, on the calling thread. No call allocates after one of the same size.
    ///
    /// # Errors
    /// [`Error::Kernel`] names the extent, length or `sequence_lens` entry that does not fit; nothing was written then.
    pub fn forward(
        &self,
        sequence: Sequence<'_>,
        state: &mut State,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        self.check(&sequence, state)?;
        let Dims { time, batch, .. } = sequence.x.dims();
        let blocking = self.plan.blocking(self.shape, time, batch);
        let scratch = &mut scratch.shares(1)[0];
        let Sequence { x, lens, mut y } = sequence;
        let rows = batch * self.shape.hidden;
        for (d, packed) in self.packed.iter().enumerate() {
            let call = Call {
                x,
                lens,
                y: y.as_mut().map(|y| y.reborrow().direction(d)),
                reverse: self.shape.direction.is_reverse(d),
                h: &mut state.h[d * rows..][..rows],
                c: &mut state.c[d * rows..][..rows],
                blocking,
            };
            lstm_forward(packed, call, scratch)?;
        }
        Ok(())
    }

    /// Runs one step of every row of the state. `x` is dense `[B, I]`, `y` is dense `[D, B, H]`: the new hidden state.
    ///
    /// # Errors
    /// As [`Lstm::forward`].
    pub fn step(
        &self,
        x: &[f32],
        state: &mut State,
        y: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let LstmShape { input, hidden, direction } = self.shape;
        let dims = Dims { time: 1, directions: 1, batch: state.batch, width: input };
        let out = Dims { directions: direction.count(), width: hidden, ..dims };
        let x = View::new(x, dims, Layout::TimeMajor)?;
        let y = Some(ViewMut::new(y, out, Layout::TimeMajor)?);
        self.forward(Sequence { x, lens: None, y }, state, scratch)
    }

    /// Everything that could fail in one direction after another was written.
    fn check(&self, sequence: &Sequence<'_>, state: &State) -> Result<(), Error> {
        use rnnpack_kernels::Error::Extent;
        let extent = |what, expected: usize, got: usize| {
            if expected == got { Ok(()) } else { Err(Error::from(Extent { what, expected, got })) }
        };
        let x = sequence.x.dims();
        extent("the state's hidden size", self.shape.hidden, state.shape.hidden)?;
        extent("the state's directions", self.shape.direction.count(), state.shape.direction.count())?;
        extent("the state's batch", x.batch, state.batch)?;
        let Some(y) = &sequence.y else { return Ok(()) };
        extent("Y directions", self.shape.direction.count(), y.dims().directions)
    }
}
