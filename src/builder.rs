//! A builder of weights and layers, for one line of code.

use crate::{Error, Layer, LayerTensors, LayerWeights, Shape};
use rnnpack_kernels::{Cell, Direction, Element, GateOrder, GruCell, RnnCell, Subnormals, WeightType};

/// The weights of a layer, set one by one: a cell, sizes, a direction, an order of gates, and tensors.
///
/// By default the layer reads forward and its gates are in ONNX's order. W and R are required, B and P are optional.
/// D is the number of directions, G the cell's number of gates (4 for an LSTM, 3 for a GRU, 1 for an RNN).
///
/// ```
/// use rnnpack::{Cell, GateOrder, LayerWeights, LstmCell};
///
/// # fn main() -> Result<(), rnnpack::Error> {
/// let (w, r, b) = (vec![0.1; 4 * 5 * 3], vec![-0.1; 4 * 5 * 5], vec![0.0; 8 * 5]);
/// let lstm = LayerWeights::lstm(3, 5).w(&w).r(&r).b(&b).pack()?;
///
/// let clipped = Cell::Lstm(LstmCell { clip: Some(3.0), ..LstmCell::default() });
/// let clipped = LayerWeights::of(clipped, 3, 5).reverse().gate_order(GateOrder::PyTorch).w(&w).r(&r).pack()?;
/// assert_eq!(clipped.shape().output(), lstm.shape().output());
///
/// let error = LayerWeights::lstm(3, 5).w(&w).r(&r[1..]).pack().unwrap_err();
/// assert_eq!(error.to_string(), "R has 99 elements where [D, 4·H, H] = [1, 20, 5] calls for 100");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "`build` makes the weights, `pack` the layer"]
pub struct LayerBuilder<'a, F = f32> {
    cell: Cell,
    shape: Shape,
    order: GateOrder,
    subnormals: Subnormals,
    weights: WeightType,
    w: Option<&'a [F]>,
    r: Option<&'a [F]>,
    b: Option<&'a [F]>,
    p: Option<&'a [F]>,
}

impl<'a, F: Element> LayerWeights<'a, F> {
    /// Begins an LSTM of I inputs and H hidden units, with ONNX's default options.
    pub fn lstm(input: usize, hidden: usize) -> LayerBuilder<'a, F> {
        LayerWeights::of(Cell::lstm(), input, hidden)
    }

    /// Begins a GRU of I inputs and H hidden units, with ONNX's default options: `linear_before_reset` is 0.
    /// PyTorch's GRU is [`Cell::pytorch_gru`].
    pub fn gru(input: usize, hidden: usize) -> LayerBuilder<'a, F> {
        LayerWeights::of(Cell::Gru(GruCell::default()), input, hidden)
    }

    /// Begins an RNN of I inputs and H hidden units, with ONNX's default options (tanh).
    pub fn rnn(input: usize, hidden: usize) -> LayerBuilder<'a, F> {
        LayerWeights::of(Cell::Rnn(RnnCell::default()), input, hidden)
    }

    /// Begins a layer of I inputs and H hidden units with any cell, the same in every direction.
    /// [`LayerWeights::per_direction`] takes a different cell for each direction.
    pub fn of(cell: Cell, input: usize, hidden: usize) -> LayerBuilder<'a, F> {
        let shape = Shape { input, hidden, direction: Direction::Forward };
        let (order, subnormals, weights) = (GateOrder::Onnx, Subnormals::Keep, WeightType::F32);
        LayerBuilder { cell, shape, order, subnormals, weights, w: None, r: None, b: None, p: None }
    }
}

impl<'a, F: Element> LayerBuilder<'a, F> {
    /// Sets the direction, or directions, in which the layer reads.
    pub fn direction(mut self, direction: Direction) -> Self {
        self.shape.direction = direction;
        self
    }

    /// The layer reads in both directions. Its output is `[T, 2, B, H]`, as in ONNX. A
    /// [`concatenated`](crate::Sequence::concatenated) sequence writes PyTorch's `[T, B, 2·H]`.
    pub fn bidirectional(self) -> Self {
        self.direction(Direction::Bidirectional)
    }

    /// The layer reads every sequence from its last step to its first.
    pub fn reverse(self) -> Self {
        self.direction(Direction::Reverse)
    }

    /// Sets the order of the gates in W, R and B.
    pub fn gate_order(self, order: GateOrder) -> Self {
        LayerBuilder { order, ..self }
    }

    /// Sets what the layer does with subnormal numbers. See [`LayerWeights::with_subnormals`].
    pub fn subnormals(self, subnormals: Subnormals) -> Self {
        LayerBuilder { subnormals, ..self }
    }

    /// Sets W, `[D, G·H, I]`.
    pub fn w(self, w: &'a [F]) -> Self {
        LayerBuilder { w: Some(w), ..self }
    }

    /// Sets R, `[D, G·H, H]`.
    pub fn r(self, r: &'a [F]) -> Self {
        LayerBuilder { r: Some(r), ..self }
    }

    /// Sets B, `[D, 2·G·H]`: Wb of all gates, then Rb.
    pub fn b(self, b: &'a [F]) -> Self {
        LayerBuilder { b: Some(b), ..self }
    }

    /// Sets P, the peepholes of an LSTM, `[D, 3·H]`: those of the input, output and forget gate, always in this
    /// order.
    pub fn p(self, p: &'a [F]) -> Self {
        LayerBuilder { p: Some(p), ..self }
    }

    /// Checks the weights and returns them.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] without W or R; also the errors of [`LayerWeights::new`] and
    /// [`LayerWeights::with_subnormals`] and [`LayerWeights::with_type`].
    pub fn build(self) -> Result<LayerWeights<'a, F>, Error> {
        let LayerBuilder { cell, shape, order, subnormals, weights, w, r, b, p } = self;
        let given = |tensor, data: Option<&'a [F]>| data.ok_or(Error::MissingTensor { tensor });
        let tensors = LayerTensors { w: given("W", w)?, r: given("R", r)?, b, p };
        LayerWeights::new(cell, shape, order, tensors)?.with_subnormals(subnormals)?.with_type(weights)
    }
}

impl LayerBuilder<'_> {
    /// Sets the type in which W and R are stored. See [`LayerWeights::with_type`].
    pub fn weight_type(self, weights: WeightType) -> Self {
        LayerBuilder { weights, ..self }
    }

    /// Builds the weights and packs them for this machine.
    ///
    /// # Errors
    /// The errors of [`LayerBuilder::build`] and of [`Layer::new`].
    pub fn pack(self) -> Result<Layer, Error> {
        Layer::new(&self.build()?)
    }
}
