//! The errors of the crate.

use std::fmt;

/// The reason why the crate refuses something.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The kernels refuse sizes, shapes, weights or lengths, or there is not enough memory.
    Kernel(rnnpack_kernels::Error),
    /// The variable `RNNPACK_ISA` or a caller names an instruction set that this CPU or this build does not have.
    UnknownIsa {
        /// The name.
        name: String,
        /// The names that are available here, widest first.
        available: Vec<&'static str>,
    },
    /// Two layers of a stack do not fit: the input size of layer `layer` is not the output size of the layer below.
    Stack {
        /// The layer that does not fit, counted from 0.
        layer: usize,
        /// Its input size.
        input: usize,
        /// Outputs of the layer below: H times the number of directions.
        output: usize,
    },
    /// A stack without layers.
    EmptyStack,
    /// A buffer has a wrong number of elements for its shape.
    Elements {
        /// The buffer: `x`, `y`, a weight tensor of ONNX (`W`, `R`, `B`, `P`) or of PyTorch (such as `weight_ih_l0`).
        buffer: String,
        /// The number of elements that it has.
        got: usize,
        /// The number of elements that its shape needs.
        expected: usize,
        /// Its shape, such as `[T, B, I] = [4, 2, 3]`.
        shape: String,
    },
    /// A dense buffer does not hold a whole number of time steps.
    Steps {
        /// The buffer.
        buffer: &'static str,
        /// The number of elements that it has.
        got: usize,
        /// The number of elements of one time step.
        step: usize,
        /// Its shape, such as `[T, B, I] = [T, 2, 3]`.
        shape: String,
    },
    /// The number of time steps of a dense x is unknown: its rows have no elements (I = 0), and there is no y.
    UnknownTime,
    /// A layout of dense tensors was set for views. The layout of a view is its strides.
    ViewLayout {
        /// The method of [`Sequence`](crate::Sequence) that set it.
        option: &'static str,
    },
    /// A state does not have this batch row.
    Row {
        /// The row.
        row: usize,
        /// The number of rows of the state.
        batch: usize,
    },
    /// A tensor that every layer needs is missing.
    MissingTensor {
        /// `W` or `R`.
        tensor: &'static str,
    },
    /// The caller stopped the call; see [`Sequence::stop`](crate::Sequence::stop). The state is as it was before the call.
    /// y holds numbers without a meaning.
    Stopped,
    /// Tensors under PyTorch's names do not make a layer or a stack.
    PyTorch(PyTorchError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Kernel(e) => e.fmt(f),
            Error::UnknownIsa { name, available } => {
                write!(
                    f,
                    "instruction set {name:?} is not available here; use one of: {}",
                    available.join(", ")
                )
            }
            Error::Stack { layer, input, output } => {
                write!(f, "layer {layer} takes {input} inputs, but the layer below it gives {output} outputs")
            }
            Error::EmptyStack => f.write_str("a stack needs at least one layer"),
            Error::Elements { buffer, got, expected, shape } => {
                write!(f, "{buffer} has {got} elements where {shape} calls for {expected}")
            }
            Error::Steps { buffer, got, step, shape } => {
                write!(f, "{buffer} has {got} elements where {shape} calls for a multiple of {step}")
            }
            Error::UnknownTime => f.write_str(
                "the time steps of x cannot be told where I = 0 and there is no y: give a view, which has its extents",
            ),
            Error::ViewLayout { option } => {
                write!(f, "`{option}` is about dense tensors: the strides of a view are its layout")
            }
            Error::Row { row, batch } => write!(f, "row {row} is out of range: the state has {batch} rows"),
            Error::MissingTensor { tensor } => write!(f, "the weights lack {tensor}"),
            Error::Stopped => rnnpack_kernels::Error::Stopped.fmt(f),
            Error::PyTorch(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // `Display` printed this error itself, so the source is the error behind it.
            Error::Kernel(e) => e.source(),
            _ => None,
        }
    }
}

impl From<rnnpack_kernels::Error> for Error {
    fn from(e: rnnpack_kernels::Error) -> Error {
        match e {
            rnnpack_kernels::Error::Stopped => Error::Stopped,
            e => Error::Kernel(e),
        }
    }
}

/// The reason why tensors under PyTorch's names do not make a layer or a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PyTorchError {
    /// A GRU with `linear_before_reset = 0`, which PyTorch does not have.
    ResetBefore,
    /// A required tensor is missing. A layer has both biases in every direction, or no biases at all.
    Missing {
        /// Its name.
        tensor: String,
    },
    /// A tensor exists that does not belong to this network.
    Unexpected {
        /// Its name.
        tensor: String,
        /// What this network is.
        but: &'static str,
    },
    /// The number of elements of a tensor fits no size.
    NoSize {
        /// Its name.
        tensor: String,
        /// The number of elements that it has.
        got: usize,
        /// The shape that it should have, such as `[4·H, H]`.
        shape: String,
    },
    /// A weight is NaN or infinite.
    NotFinite {
        /// The tensor's name.
        tensor: String,
        /// The index of the first such element.
        index: usize,
    },
}

impl fmt::Display for PyTorchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PyTorchError::ResetBefore => f.write_str(
                "PyTorch has no GRU with linear_before_reset = 0: take `Cell::pytorch_gru()`, or, for PyTorch's order \
                 of gates alone, `LayerWeights::new` with `GateOrder::PyTorch`",
            ),
            PyTorchError::Missing { tensor } => write!(f, "{tensor} is missing"),
            PyTorchError::Unexpected { tensor, but } => write!(f, "{tensor} is there, but {but}"),
            PyTorchError::NoSize { tensor, got, shape } => {
                write!(f, "{tensor} has {got} elements, which fit no {shape}")
            }
            PyTorchError::NotFinite { tensor, index } => write!(f, "{tensor}[{index}] is NaN or infinite"),
        }
    }
}

impl std::error::Error for PyTorchError {}

impl From<PyTorchError> for Error {
    fn from(e: PyTorchError) -> Error {
        Error::PyTorch(e)
    }
}

/// The text of a shape: `[T, B] = [4, 2]`.
pub(crate) fn axes<const N: usize>(axes: [(&str, usize); N]) -> String {
    let names = axes.map(|(name, _)| name).join(", ");
    let extents = axes.map(|(_, extent)| extent.to_string()).join(", ");
    format!("[{names}] = [{extents}]")
}
