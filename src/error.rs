use std::fmt;

/// Everything that the crate refuses, and why.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Sizes, shapes, weights or lengths that the kernels refuse; nothing was computed.
    Kernel(rnnpack_kernels::Error),
    /// The variable `RNNPACK_ISA` or a caller names an instruction set that this CPU or this build lacks.
    UnknownIsa {
        /// The name that was asked for.
        name: String,
        /// The names that can be used here, widest first.
        available: Vec<&'static str>,
    },
    /// The layers of a stack do not fit: the input size of layer `layer` is not the output size of the one below.
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
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Display printed the kernels' own words.
            Error::Kernel(e) => e.source(),
            _ => None,
        }
    }
}

impl From<rnnpack_kernels::Error> for Error {
    fn from(e: rnnpack_kernels::Error) -> Error {
        Error::Kernel(e)
    }
}
