use crate::{Error, Shape};
use rnnpack_kernels::{Cell, Element, GateOrder, Target, Tensors, Weights};

/// The tensors of a layer as ONNX has them, directions outermost. D is the number of directions, G the cell's number of
/// gates: 4 of an LSTM, 3 of a GRU, 1 of an RNN.
#[derive(Clone, Copy, Debug)]
pub struct LayerTensors<'a, F = f32> {
    /// `W`, `[D, G·H, I]`.
    pub w: &'a [F],
    /// `R`, `[D, G·H, H]`.
    pub r: &'a [F],
    /// `B`, `[D, 2·G·H]`: Wb of all gates, then Rb. 0 where absent.
    pub b: Option<&'a [F]>,
    /// `P`, the peepholes of an LSTM, `[D, 3·H]`: of the gates input, output and forget. None where absent.
    pub p: Option<&'a [F]>,
}

/// The weights of a layer, checked: sizes agree and every element is finite.
///
/// ```
/// use rnnpack::{Cell, Direction, GateOrder, LayerTensors, LayerWeights, Shape};
///
/// let shape = Shape { input: 3, hidden: 5, direction: Direction::Forward };
/// let (w, r) = (vec![0.1; 4 * 5 * 3], vec![0.1; 4 * 5 * 4]); // R should be [1, 20, 5]
/// let tensors = LayerTensors { w: &w, r: &r, b: None, p: None };
/// let error = LayerWeights::new(Cell::lstm(), shape, GateOrder::Onnx, tensors).unwrap_err();
/// assert_eq!(error.to_string(), "R has 80 elements where the shapes call for 100");
/// ```
#[derive(Clone, Debug)]
pub struct LayerWeights<'a, F = f32> {
    shape: Shape,
    directions: Vec<Weights<'a, F>>,
}

impl<'a, F: Element> LayerWeights<'a, F> {
    /// Weights in tensors as ONNX has them, of one cell in every direction; `order` says how the gates follow each other.
    ///
    /// # Errors
    /// [`Error::Kernel`]: H is 0, a length disagrees with the shape, a product overflows, an element or an option of the
    /// cell is NaN or infinite, or P is given to a cell without peepholes.
    pub fn new(
        cell: Cell,
        shape: Shape,
        order: GateOrder,
        tensors: LayerTensors<'a, F>,
    ) -> Result<LayerWeights<'a, F>, Error> {
        LayerWeights::per_direction(&[cell, cell][..shape.direction.count()], shape, order, tensors)
    }

    /// As [`LayerWeights::new`], with a cell for each direction: they may differ in their options.
    ///
    /// # Errors
    /// As [`LayerWeights::new`]; [`Error::Kernel`] for another number of cells than of directions, and for cells of
    /// different operators.
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
        let split =
            |what, data: &'a [F], rows: usize, columns| Part::new(what, data, count, [rows, hidden, columns]);
        let w = split("W", tensors.w, gates, input)?;
        let r = split("R", tensors.r, gates, hidden)?;
        let b = tensors.b.map(|b| split("B", b, 2 * gates, 1)).transpose()?;
        let peepholes = if cells[0].has_cell_state() { 3 } else { 0 };
        let p = tensors.p.map(|p| split("P", p, peepholes, 1)).transpose()?;
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

    /// The layer's sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What a step of direction 0 computes; another direction may have other options.
    pub fn cell(&self) -> &Cell {
        self.directions[0].cell()
    }

    /// The weights of each direction.
    pub fn directions(&self) -> &[Weights<'a, F>] {
        &self.directions
    }
}

/// A tensor whose outer axis is the direction.
struct Part<'a, F> {
    data: &'a [F],
    len: usize,
}

impl<'a, F> Part<'a, F> {
    fn new(
        what: &'static str,
        data: &'a [F],
        count: usize,
        [rows, hidden, columns]: [usize; 3],
    ) -> Result<Part<'a, F>, Error> {
        use rnnpack_kernels::Error::{Length, Overflow};
        let len =
            rows.checked_mul(hidden).and_then(|rows| rows.checked_mul(columns)).ok_or(Overflow { what })?;
        let expected = len.checked_mul(count).ok_or(Overflow { what })?;
        let got = data.len();
        if got != expected { Err(Length { what, expected, got }.into()) } else { Ok(Part { data, len }) }
    }

    fn of(&self, d: usize) -> &'a [F] {
        &self.data[d * self.len..][..self.len]
    }

    /// Where element `index` of direction `d` stands in the caller's tensor.
    fn place(&self, what: &'static str, d: usize, index: usize) -> (&'static str, usize) {
        (what, d * self.len + index)
    }
}

/// An error about one direction's tensors, told about the caller's.
fn in_whole(
    error: rnnpack_kernels::Error,
    place: impl Fn(&'static str, usize) -> (&'static str, usize),
) -> Error {
    use rnnpack_kernels::Error::NotFinite;
    match error {
        NotFinite { what, index } => {
            let (what, index) = place(what, index);
            NotFinite { what, index }.into()
        }
        e => e.into(),
    }
}

impl<'a> LayerWeights<'a> {
    /// Packs the weights to bytes for [`Layer::from_static`](crate::Layer::from_static) or, without `std`, for
    /// `from_static` of the kernels' `bytes`, on any instruction set that was compiled in; this CPU need not have it.
    ///
    /// # Errors
    /// [`Error::Kernel`] where they do not fit into memory.
    pub fn to_bytes(&self, target: Target) -> Result<Vec<u8>, Error> {
        Ok(rnnpack_kernels::bytes::pack(target, self.shape.direction, &self.directions)?)
    }

    /// The tensors of one layer of PyTorch's `nn.LSTM`, `nn.GRU` or `nn.RNN`, one [`PyTorchTensors`] per direction.
    /// PyTorch's GRU is [`Cell::gru`] with `linear_before_reset`.
    ///
    /// ```
    /// use rnnpack::{Cell, Direction, Layer, LayerWeights, PyTorchTensors, Shape};
    ///
    /// # fn main() -> Result<(), rnnpack::Error> {
    /// // nn.GRU(3, 5): the entries of its state_dict, row by row.
    /// let (weight_ih, weight_hh) = (vec![0.1; 3 * 5 * 3], vec![0.1; 3 * 5 * 5]);
    /// let (bias_ih, bias_hh) = (vec![0.1; 3 * 5], vec![0.1; 3 * 5]);
    /// let tensors = PyTorchTensors {
    ///     weight_ih: &weight_ih,
    ///     weight_hh: &weight_hh,
    ///     bias_ih: Some(&bias_ih),
    ///     bias_hh: Some(&bias_hh),
    /// };
    /// let shape = Shape { input: 3, hidden: 5, direction: Direction::Forward };
    /// let gru = Layer::new(&LayerWeights::pytorch(Cell::gru(true), shape, &[tensors])?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`LayerWeights::new`].
    pub fn pytorch(
        cell: Cell,
        shape: Shape,
        directions: &[PyTorchTensors<'a>],
    ) -> Result<LayerWeights<'a>, Error> {
        let expected = shape.direction.count();
        if directions.len() != expected {
            let (what, got) = ("the number of directions", directions.len());
            return Err(rnnpack_kernels::Error::Extent { what, expected, got }.into());
        }
        let checked = |t: &PyTorchTensors<'a>| {
            let tensors = Tensors { w: t.weight_ih, r: t.weight_hh, wb: t.bias_ih, rb: t.bias_hh, p: None };
            Weights::new(cell, [shape.input, shape.hidden], GateOrder::PyTorch, tensors)
        };
        Ok(LayerWeights { shape, directions: directions.iter().map(checked).collect::<Result<_, _>>()? })
    }
}

/// One direction of a layer of PyTorch's `nn.LSTM`, `nn.GRU` or `nn.RNN`, under PyTorch's names. G is the cell's number
/// of gates.
#[derive(Clone, Copy, Debug)]
pub struct PyTorchTensors<'a> {
    /// `weight_ih_l*`, `[G·H, I]`.
    pub weight_ih: &'a [f32],
    /// `weight_hh_l*`, `[G·H, H]`.
    pub weight_hh: &'a [f32],
    /// `bias_ih_l*`, `[G·H]`.
    pub bias_ih: Option<&'a [f32]>,
    /// `bias_hh_l*`, `[G·H]`.
    pub bias_hh: Option<&'a [f32]>,
}
