//! The checked weights of a layer.

use crate::error::axes;
use crate::{Error, Shape};
use rnnpack_kernels::{Cell, Element, GateOrder, Scales, Subnormals, Target, Tensors, WeightType, Weights};

/// The tensors of a layer as in ONNX, directions outermost. D is the number of directions, G the cell's number of
/// gates: 4 for an LSTM, 3 for a GRU, 1 for an RNN.
#[derive(Clone, Copy, Debug)]
pub struct LayerTensors<'a, F = f32> {
    /// `W`, `[D, G·H, I]`.
    pub w: &'a [F],
    /// `R`, `[D, G·H, H]`.
    pub r: &'a [F],
    /// `B`, `[D, 2·G·H]`: Wb of all gates, then Rb. Zeros if absent.
    pub b: Option<&'a [F]>,
    /// `P`, the peepholes of an LSTM, `[D, 3·H]`: those of the input, output and forget gate. No peepholes if absent.
    pub p: Option<&'a [F]>,
}

/// The scales of a layer whose weights were quantized before: each weight is the scale of its row times an integer. See
/// [`LayerWeights::with_scales`].
#[derive(Clone, Copy, Debug)]
pub struct LayerScales<'a> {
    /// The scales of the rows of `W`, `[D, G·H]`.
    pub w: &'a [f32],
    /// The scales of the rows of `R`, `[D, G·H]`.
    pub r: &'a [f32],
    /// The integer of a weight 0 of `W`, `[D]`.
    pub w_zero_points: &'a [i32],
    /// The integer of a weight 0 of `R`, `[D]`.
    pub r_zero_points: &'a [i32],
}

/// The weights of a layer, checked: all sizes agree and every element is finite.
///
/// [`lstm`](LayerWeights::lstm), [`gru`](LayerWeights::gru), [`rnn`](LayerWeights::rnn) and [`of`](LayerWeights::of)
/// begin a [`LayerBuilder`](crate::LayerBuilder). [`pytorch`](LayerWeights::pytorch) takes PyTorch's tensors.
#[derive(Clone, Debug)]
pub struct LayerWeights<'a, F = f32> {
    shape: Shape,
    directions: Vec<Weights<'a, F>>,
}

impl<'a, F: Element> LayerWeights<'a, F> {
    /// Checks tensors that are laid out as in ONNX, with the same cell in every direction. `order` is the order of
    /// the gates.
    ///
    /// # Errors
    /// [`Error::Elements`] if a length disagrees with the shape, or if P is given to a cell without peepholes.
    /// [`Error::Kernel`] if H is 0, a product overflows, or an element or an option of the cell is NaN or infinite.
    pub fn new(
        cell: Cell,
        shape: Shape,
        order: GateOrder,
        tensors: LayerTensors<'a, F>,
    ) -> Result<LayerWeights<'a, F>, Error> {
        LayerWeights::per_direction(&[cell, cell][..shape.direction.count()], shape, order, tensors)
    }

    /// [`LayerWeights::new`], with one cell for each direction. The cells may differ in their options.
    ///
    /// # Errors
    /// The errors of [`LayerWeights::new`]; also [`Error::Kernel`] if the number of cells is not the number of
    /// directions, or if the cells are of different operators.
    pub fn per_direction(
        cells: &[Cell],
        shape: Shape,
        order: GateOrder,
        tensors: LayerTensors<'a, F>,
    ) -> Result<LayerWeights<'a, F>, Error> {
        use rnnpack_kernels::Error::{Extent, Zero};
        let Shape { input, hidden, direction } = shape;
        let count = direction.count();
        if cells.len() != count {
            return Err(Extent { what: "the number of cells", expected: count, got: cells.len() }.into());
        }
        let gates = cells[0].gates();
        if let Some(other) = cells.iter().find(|cell| cell.op() != cells[0].op()) {
            let what = "the number of gates of a direction";
            return Err(Extent { what, expected: gates, got: other.gates() }.into());
        }
        if hidden == 0 {
            return Err(Zero { what: "hidden_size" }.into());
        }
        let sizes = |rows: usize, columns| [count, rows, hidden, columns];
        let w =
            Part::new("W", tensors.w, sizes(gates, input), || layer_axes(shape, gates, Some(("I", input))))?;
        let r = Part::new("R", tensors.r, sizes(gates, hidden), || {
            layer_axes(shape, gates, Some(("H", hidden)))
        })?;
        let b =
            tensors.b.map(|b| Part::new("B", b, sizes(2 * gates, 1), || layer_axes(shape, 2 * gates, None)));
        let b = b.transpose()?;
        let peepholes = if cells[0].has_cell_state() { 3 } else { 0 };
        let of_p = || match peepholes {
            0 => format!("the shape of peepholes, which a {} has not,", cells[0].op()),
            rows => layer_axes(shape, rows, None),
        };
        let p = tensors.p.map(|p| Part::new("P", p, sizes(peepholes, 1), of_p)).transpose()?;
        let one = |(d, &cell): (usize, &Cell)| {
            let (wb, rb) = b.as_ref().map(|b| b.of(d).split_at(gates * hidden)).unzip();
            let tensors = Tensors { w: w.of(d), r: r.of(d), wb, rb, p: p.as_ref().map(|p| p.of(d)) };
            let place = |what, index| match what {
                "W" => w.place("W", d, index),
                "R" => r.place("R", d, index),
                "Wb" => b.as_ref().map_or((what, index), |b| b.place("B", d, index)),
                "Rb" => b.as_ref().map_or((what, index), |b| b.place("B", d, gates * hidden + index)),
                _ => p.as_ref().map_or((what, index), |p| p.place("P", d, index)),
            };
            Weights::new(cell, [input, hidden], order, tensors).map_err(|e| in_whole(e, place))
        };
        Ok(LayerWeights { shape, directions: cells.iter().enumerate().map(one).collect::<Result<_, _>>()? })
    }

    /// Weights that were checked before, direction by direction.
    pub(crate) fn checked(shape: Shape, directions: Vec<Weights<'a, F>>) -> LayerWeights<'a, F> {
        LayerWeights { shape, directions }
    }

    /// The layer's sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The cell of direction 0. Another direction may have other options.
    pub fn cell(&self) -> &Cell {
        self.directions[0].cell()
    }

    /// Sets what the layer does with subnormal numbers. The default, [`Subnormals::Keep`], computes exactly.
    ///
    /// ```
    /// use rnnpack::{LayerWeights, Subnormals};
    ///
    /// # fn main() -> Result<(), rnnpack::Error> {
    /// // Weight decay has left some weights as subnormal numbers, which make every step slow.
    /// let (w, mut r) = (vec![0.5; 4 * 2 * 3], vec![0.5; 4 * 2 * 2]);
    /// r[..5].fill(1e-40);
    /// let weights = LayerWeights::lstm(3, 2).w(&w).r(&r).build()?;
    /// assert_eq!(weights.subnormal_weights(), 5);
    ///
    /// let lstm = LayerWeights::lstm(3, 2).w(&w).r(&r).subnormals(Subnormals::FlushWeights).pack()?;
    /// assert_eq!(lstm.flushed_weights(), 5); // they are zero now
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Kernel`] if calls shall flush and this machine cannot, or an option of the cell is subnormal.
    pub fn with_subnormals(mut self, subnormals: Subnormals) -> Result<LayerWeights<'a, F>, Error> {
        for weights in &mut self.directions {
            *weights = weights.with_subnormals(subnormals)?;
        }
        Ok(self)
    }

    /// Sets the type in which W and R are stored. The default is f32. Biases and peepholes stay f32.
    ///
    /// ```
    /// use rnnpack::{LayerWeights, WeightType};
    ///
    /// # fn main() -> Result<(), rnnpack::Error> {
    /// # let (w, r) = (vec![0.1; 4 * 128 * 64], vec![-0.1; 4 * 128 * 128]);
    /// let wide = LayerWeights::lstm(64, 128).w(&w).r(&r).pack()?;
    /// let narrow = LayerWeights::lstm(64, 128).w(&w).r(&r).weight_type(WeightType::Bf16).pack()?;
    /// assert!(narrow.packed_bytes() < wide.packed_bytes() * 51 / 100);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Kernel`] names the first element of W or R that does not fit into the type. No f64 fits into a type but
    /// f32. It also reports that an i32 may not hold the sums of the products of int8, from 66 312 inputs or hidden units on.
    pub fn with_type(self, weights: WeightType) -> Result<LayerWeights<'a, F>, Error> {
        self.map(|_, of_direction| of_direction.with_type(weights))
    }

    /// Stores W and R as int8 with given scales: those of a model that was quantized before. An element must be exactly
    /// `scale * (integer - zero point)` in f32, with the scale of its row and an integer from -128 to 127.
    ///
    /// # Errors
    /// [`Error::Elements`] if a length disagrees with the shape. [`Error::Kernel`] names the first element that is not such a
    /// product. It also reports scales that are not finite, and that an i32 may not hold the sums of the products.
    pub fn with_scales(self, scales: LayerScales<'a>) -> Result<LayerWeights<'a, F>, Error> {
        let (gates, Shape { hidden, direction, .. }) = (self.cell().gates(), self.shape);
        let sizes = [direction.count(), gates, hidden, 1];
        let shape = || layer_axes(self.shape, gates, None);
        let w = Part::new("the scales of W", scales.w, sizes, shape)?;
        let r = Part::new("the scales of R", scales.r, sizes, shape)?;
        let zero_points = |what, data| {
            Part::new(what, data, [direction.count(), 1, 1, 1], || axes([("D", direction.count())]))
        };
        let of_w = zero_points("the zero points of W", scales.w_zero_points)?;
        let of_r = zero_points("the zero points of R", scales.r_zero_points)?;
        self.map(|d, of_direction| {
            let (w_zero_point, r_zero_point) = (of_w.of(d)[0], of_r.of(d)[0]);
            of_direction.with_scales(Scales { w: w.of(d), r: r.of(d), w_zero_point, r_zero_point })
        })
    }

    /// Changes the weights of each direction.
    fn map(
        mut self,
        change: impl Fn(usize, Weights<'a, F>) -> Result<Weights<'a, F>, rnnpack_kernels::Error>,
    ) -> Result<LayerWeights<'a, F>, Error> {
        let gates = self.cell().gates();
        let Shape { input, hidden, .. } = self.shape;
        let columns = |what| match what {
            "W" => input,
            "R" => hidden,
            _ => 1, // scales
        };
        for (d, weights) in self.directions.iter_mut().enumerate() {
            let place = |what, index| (what, d * gates * hidden * columns(what) + index);
            *weights = change(d, *weights).map_err(|e| in_whole(e, place))?;
        }
        Ok(self)
    }

    /// The type in which W and R are stored.
    pub fn weight_type(&self) -> WeightType {
        self.directions[0].weight_type()
    }

    /// What the layer does with subnormal numbers.
    pub fn subnormals(&self) -> Subnormals {
        self.directions[0].subnormals()
    }

    /// The number of weights, biases and peepholes that are subnormal.
    pub fn subnormal_weights(&self) -> usize {
        self.directions.iter().map(Weights::subnormal_weights).sum()
    }

    /// The weights of each direction.
    pub fn directions(&self) -> &[Weights<'a, F>] {
        &self.directions
    }
}

/// The shape of a tensor of a layer: `rows`·H, and the columns if it has any.
fn layer_axes(Shape { hidden, direction, .. }: Shape, rows: usize, columns: Option<(&str, usize)>) -> String {
    let (d, name) = (("D", direction.count()), format!("{rows}·H"));
    let rows = (&*name, rows.saturating_mul(hidden));
    columns.map_or_else(|| axes([d, rows]), |columns| axes([d, rows, columns]))
}

/// A tensor whose outer axis is the direction.
struct Part<'a, F> {
    data: &'a [F],
    len: usize,
}

impl<'a, F> Part<'a, F> {
    /// `sizes` are D and three factors. Their product without D is the number of elements of one direction.
    fn new(
        what: &'static str,
        data: &'a [F],
        sizes: [usize; 4],
        shape: impl FnOnce() -> String,
    ) -> Result<Part<'a, F>, Error> {
        let [count, sizes @ ..] = sizes;
        let overflow = rnnpack_kernels::Error::Overflow { what };
        let len = sizes.into_iter().try_fold(1, usize::checked_mul).ok_or(overflow.clone())?;
        let (got, expected) = (data.len(), len.checked_mul(count).ok_or(overflow)?);
        match got == expected {
            true => Ok(Part { data, len }),
            false => Err(Error::Elements { buffer: what.into(), got, expected, shape: shape() }),
        }
    }

    fn of(&self, d: usize) -> &'a [F] {
        &self.data[d * self.len..][..self.len]
    }

    /// The place of element `index` of direction `d` in the caller's tensor.
    fn place(&self, what: &'static str, d: usize, index: usize) -> (&'static str, usize) {
        (what, d * self.len + index)
    }
}

/// An error about one direction's tensors, in terms of the caller's tensors.
fn in_whole(
    error: rnnpack_kernels::Error,
    place: impl Fn(&'static str, usize) -> (&'static str, usize),
) -> Error {
    use rnnpack_kernels::Error::{NoMultiple, NotFinite, OutOfRange};
    match error {
        NotFinite { what, index } => {
            let (what, index) = place(what, index);
            NotFinite { what, index }.into()
        }
        NoMultiple { what, index } => {
            let (what, index) = place(what, index);
            NoMultiple { what, index }.into()
        }
        OutOfRange { what, index, weights } => {
            let (what, index) = place(what, index);
            OutOfRange { what, index, weights }.into()
        }
        e => e.into(),
    }
}

impl<'a> LayerWeights<'a> {
    /// Packs the weights to bytes for [`Layer::from_static`](crate::Layer::from_static). Without `std`, `from_static`
    /// of the kernels' `bytes` reads them. `target` is any instruction set that was compiled in; this CPU need not
    /// have it.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the bytes do not fit into memory.
    pub fn to_bytes(&self, target: Target) -> Result<Vec<u8>, Error> {
        Ok(rnnpack_kernels::bytes::pack(target, self.shape.direction, &self.directions)?)
    }
}
