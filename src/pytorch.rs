//! Weights under PyTorch's names.

use crate::error::{PyTorchError, axes};
use crate::{Error, Layer, LayerWeights, Shape, Stack};
use rnnpack_kernels::Error as KernelError;
use rnnpack_kernels::{Cell, Direction, GateOrder, GruCell, Tensors, Weights};

/// One direction of a layer of PyTorch's `nn.LSTM`, `nn.GRU` or `nn.RNN`, under PyTorch's names. G is the cell's
/// number of gates. PyTorch has either both biases or none.
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

impl<'a> LayerWeights<'a> {
    /// The weights of one layer of PyTorch's `nn.LSTM`, `nn.GRU` or `nn.RNN`, from one [`PyTorchTensors`] per
    /// direction. PyTorch's GRU is [`Cell::pytorch_gru`]. [`Stack::pytorch`] takes all layers of a `state_dict`.
    ///
    /// The output of a bidirectional layer is `[T, D, B, H]`. A [`concatenated`](crate::Sequence::concatenated)
    /// sequence writes PyTorch's `[T, B, 2·H]`.
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
    /// let gru = Layer::new(&LayerWeights::pytorch(Cell::pytorch_gru(), shape, &[tensors])?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::PyTorch`] for a GRU that PyTorch does not have, for one bias without the other, and for weights that
    /// are not finite. [`Error::Elements`] names the tensor whose length disagrees with the shape. [`Error::Kernel`]
    /// for a wrong number of directions, for H = 0, and for unusable numbers in the options of the cell.
    pub fn pytorch(
        cell: Cell,
        shape: Shape,
        directions: &[PyTorchTensors<'a>],
    ) -> Result<LayerWeights<'a>, Error> {
        check_cell(&cell)?;
        let expected = shape.direction.count();
        if directions.len() != expected {
            let (what, got) = ("the number of directions", directions.len());
            return Err(KernelError::Extent { what, expected, got }.into());
        }
        let suffixes = ["", "_reverse"];
        let one = |(t, suffix): (&PyTorchTensors<'a>, _)| {
            let name = |stem: &str| format!("{stem}{suffix}");
            checked(cell, [shape.input, shape.hidden], *t, name)
        };
        let directions = directions.iter().zip(suffixes).map(one).collect::<Result<_, _>>()?;
        Ok(LayerWeights::checked(shape, directions))
    }
}

impl Stack {
    /// The layers of PyTorch's `nn.LSTM`, `nn.GRU` or `nn.RNN` (`num_layers`, `bidirectional`), from its tensors by
    /// name. The names are `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0`, and the same for further
    /// layers. The tensors of the second direction have the suffix `_reverse`. `get` returns the elements of a
    /// tensor, or `None` if there is no such tensor. Without biases (`bias=False`) there are no bias tensors. I and H
    /// follow from the lengths. PyTorch's GRU is [`Cell::pytorch_gru`].
    ///
    /// The output of a bidirectional stack is `[T, 2, B, H]`. A [`concatenated`](crate::Sequence::concatenated)
    /// sequence writes PyTorch's `[T, B, 2·H]`.
    ///
    /// ```
    /// use rnnpack::{Cell, Sequence, Stack};
    /// use std::collections::HashMap;
    ///
    /// # fn main() -> Result<(), rnnpack::Error> {
    /// // nn.LSTM(3, 5, num_layers=2, bidirectional=True, bias=False).state_dict()
    /// let mut state_dict = HashMap::new();
    /// for (layer, input) in [(0, 3), (1, 2 * 5)] {
    ///     for suffix in ["", "_reverse"] {
    ///         state_dict.insert(format!("weight_ih_l{layer}{suffix}"), vec![0.1; 4 * 5 * input]);
    ///         state_dict.insert(format!("weight_hh_l{layer}{suffix}"), vec![0.1; 4 * 5 * 5]);
    ///     }
    /// }
    /// let lstm = Stack::pytorch(Cell::lstm(), 2, true, |name| state_dict.get(name).map(|tensor| &tensor[..]))?;
    ///
    /// let (x, mut y) = (vec![1.0; 7 * 3], vec![0.0; 7 * 2 * 5]); // [T, B, I] and [T, B, 2·H]
    /// lstm.stream(1)?.run(Sequence::dense(&x, &mut y).concatenated())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::PyTorch`] in these cases: a GRU that PyTorch does not have; a tensor that is missing; a tensor that
    /// belongs to another network (another number of layers or directions, or a projection); a length that fits no
    /// size; weights that are not finite. [`Error::Elements`] names the tensor whose length disagrees with the sizes
    /// of the first layer. [`Error::EmptyStack`] without layers. [`Error::Kernel`] for unusable numbers in the
    /// options of the cell, and if there is not enough memory. [`Error::UnknownIsa`] if `RNNPACK_ISA` names an
    /// unknown or unavailable instruction set.
    pub fn pytorch<'a>(
        cell: Cell,
        layers: usize,
        bidirectional: bool,
        get: impl Fn(&str) -> Option<&'a [f32]>,
    ) -> Result<Stack, Error> {
        check_cell(&cell)?;
        let dict = StateDict { get, cell, bidirectional };
        if layers == 0 {
            return Err(Error::EmptyStack);
        }
        dict.check_absent(format!("weight_ih_l{layers}"), "the stack is to have fewer layers")?;
        let [mut input, hidden] = dict.sizes()?;
        let direction = if bidirectional { Direction::Bidirectional } else { Direction::Forward };
        let mut packed = Vec::new();
        for layer in 0..layers {
            let shape = Shape { input, hidden, direction };
            packed.push(Layer::new(&dict.layer(layer, shape)?)?);
            input = shape.output();
        }
        Stack::new(packed)
    }
}

/// Tensors by name, and the network that they belong to.
struct StateDict<G> {
    get: G,
    cell: Cell,
    bidirectional: bool,
}

impl<'a, G: Fn(&str) -> Option<&'a [f32]>> StateDict<G> {
    fn needed(&self, tensor: String) -> Result<&'a [f32], PyTorchError> {
        (self.get)(&tensor).ok_or(PyTorchError::Missing { tensor })
    }

    fn check_absent(&self, tensor: String, but: &'static str) -> Result<(), PyTorchError> {
        match (self.get)(&tensor) {
            Some(_) => Err(PyTorchError::Unexpected { tensor, but }),
            None => Ok(()),
        }
    }

    /// I and H, from the lengths of the first layer's tensors.
    fn sizes(&self) -> Result<[usize; 2], PyTorchError> {
        self.check_absent("weight_hr_l0".into(), "projections (proj_size) are not computed")?;
        let gates = self.cell.gates();
        let no_size =
            |tensor: &str, got, shape| Err(PyTorchError::NoSize { tensor: tensor.into(), got, shape });
        let recurrent = self.needed("weight_hh_l0".into())?.len();
        let hidden = (recurrent / gates).isqrt();
        if hidden == 0 || gates * hidden * hidden != recurrent {
            return no_size("weight_hh_l0", recurrent, format!("[{gates}·H, H]"));
        }
        let projected = self.needed("weight_ih_l0".into())?.len();
        match projected.is_multiple_of(gates * hidden) {
            true => Ok([projected / (gates * hidden), hidden]),
            false => no_size("weight_ih_l0", projected, format!("[{}, I]", gates * hidden)),
        }
    }

    fn layer(&self, layer: usize, shape: Shape) -> Result<LayerWeights<'a>, Error> {
        let reverse = format!("_l{layer}_reverse");
        if !self.bidirectional {
            self.check_absent(format!("weight_ih{reverse}"), "the stack is to have one direction")?;
        }
        let suffixes = [format!("_l{layer}"), reverse];
        let one = |suffix: &String| {
            let name = |stem: &str| format!("{stem}{suffix}");
            let tensors = PyTorchTensors {
                weight_ih: self.needed(name("weight_ih"))?,
                weight_hh: self.needed(name("weight_hh"))?,
                bias_ih: (self.get)(&name("bias_ih")),
                bias_hh: (self.get)(&name("bias_hh")),
            };
            checked(self.cell, [shape.input, shape.hidden], tensors, name)
        };
        let directions = suffixes[..shape.direction.count()].iter().map(one).collect::<Result<_, _>>()?;
        Ok(LayerWeights::checked(shape, directions))
    }
}

/// Refuses a GRU without `linear_before_reset`, which PyTorch does not have.
fn check_cell(cell: &Cell) -> Result<(), PyTorchError> {
    match cell {
        Cell::Gru(GruCell { linear_before_reset: false, .. }) => Err(PyTorchError::ResetBefore),
        _ => Ok(()),
    }
}

/// The checked weights of one direction. `name` makes a tensor's name from PyTorch's stem.
fn checked<'a>(
    cell: Cell,
    [input, hidden]: [usize; 2],
    tensors: PyTorchTensors<'a>,
    name: impl Fn(&str) -> String,
) -> Result<Weights<'a>, Error> {
    let PyTorchTensors { weight_ih, weight_hh, bias_ih, bias_hh } = tensors;
    let one = match (bias_ih, bias_hh) {
        (Some(_), None) => Some("bias_hh"),
        (None, Some(_)) => Some("bias_ih"),
        _ => None,
    };
    if let Some(missing) = one {
        return Err(PyTorchError::Missing { tensor: name(missing) }.into());
    }
    let tensors = Tensors { w: weight_ih, r: weight_hh, wb: bias_ih, rb: bias_hh, p: None };
    let weights = Weights::new(cell, [input, hidden], GateOrder::PyTorch, tensors);
    weights.map_err(|error| under_names(error, [cell.gates(), input, hidden], name))
}

/// An error about one direction's tensors, under PyTorch's names.
fn under_names(
    error: KernelError,
    [gates, input, hidden]: [usize; 3],
    name: impl Fn(&str) -> String,
) -> Error {
    let rows = ("G·H", hidden.saturating_mul(gates));
    let (KernelError::Length { what, .. } | KernelError::NotFinite { what, .. }) = error else {
        return error.into();
    };
    let (stem, shape) = match what {
        "W" => ("weight_ih", axes([rows, ("I", input)])),
        "R" => ("weight_hh", axes([rows, ("H", hidden)])),
        "Wb" => ("bias_ih", axes([rows])),
        _ => ("bias_hh", axes([rows])),
    };
    match error {
        KernelError::Length { expected, got, .. } => {
            Error::Elements { buffer: name(stem), got, expected, shape }
        }
        KernelError::NotFinite { index, .. } => PyTorchError::NotFinite { tensor: name(stem), index }.into(),
        error => error.into(),
    }
}
