//! Why the kernels refuse a call.

mod bytes;

pub(crate) use bytes::BYTES_VERSION;
pub use bytes::BytesError;
use core::fmt;

/// Why the kernels refused a call. Nothing was computed or written, unless the variant says so.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A buffer has the wrong number of elements.
    Length {
        /// Which buffer.
        what: &'static str,
        /// The number of elements that the shapes require.
        expected: usize,
        /// The number of elements that it has.
        got: usize,
    },
    /// An extent of a tensor disagrees with the layer or with another tensor.
    Extent {
        /// Which extent of which tensor.
        what: &'static str,
        /// What the layer or the other tensor requires.
        expected: usize,
        /// The extent that was found.
        got: usize,
    },
    /// An extent must not be zero.
    Zero {
        /// Which extent.
        what: &'static str,
    },
    /// A size does not fit into the address space.
    Overflow {
        /// Which size.
        what: &'static str,
    },
    /// Rows of an output tensor share elements, or interleave along two axes.
    Overlap,
    /// A weight is NaN or infinite.
    NotFinite {
        /// Which tensor.
        what: &'static str,
        /// The index of the first such element.
        index: usize,
    },
    /// A weight is finite, but not in the type in which it shall be stored.
    OutOfRange {
        /// Which tensor.
        what: &'static str,
        /// The index of the first such element.
        index: usize,
        /// The type.
        weights: &'static str,
    },
    /// A weight is not the product of the scale of its row and an integer of 8 bits.
    NoMultiple {
        /// Which tensor.
        what: &'static str,
        /// The index of the first such element.
        index: usize,
    },
    /// A matrix of int8 weights has so many columns that an i32 may not hold the sums.
    Terms {
        /// Which tensor.
        what: &'static str,
        /// Its number of columns.
        terms: usize,
        /// The largest number.
        most: usize,
    },
    /// An option of a cell is not a usable number.
    Option {
        /// Which option.
        what: &'static str,
        /// Its value.
        value: f32,
    },
    /// An entry of `sequence_lens` is negative or exceeds T.
    SequenceLength {
        /// The batch row.
        row: usize,
        /// Its entry.
        len: i32,
        /// The number of time steps T of the input.
        time: usize,
    },
    /// Memory could not be allocated.
    Memory {
        /// The purpose of the memory.
        what: &'static str,
        /// The number of elements.
        floats: usize,
    },
    /// The caller stopped the call. The states and y hold numbers without a meaning.
    Stopped,
    /// The layer flushes subnormals, and this machine has no way to do so.
    CannotFlush,
    /// Packed bytes cannot be used.
    Bytes(BytesError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Length { what, expected, got } => {
                write!(f, "{what} has {got} elements where the shapes call for {expected}")
            }
            Error::Extent { what, expected, got } => write!(f, "{what} is {got}, expected {expected}"),
            Error::Zero { what } => write!(f, "{what} must not be 0"),
            Error::Overflow { what } => write!(f, "the size of {what} overflows"),
            Error::Overlap => {
                write!(f, "rows of the output tensor overlap or interleave: its strides are too small")
            }
            Error::NotFinite { what, index } => write!(f, "{what}[{index}] is NaN or infinite"),
            Error::OutOfRange { what, index, weights } => {
                write!(f, "{what}[{index}] is beyond the range of {weights}")
            }
            Error::NoMultiple { what, index } => {
                write!(f, "{what}[{index}] is not its row's scale times an integer of 8 bits")
            }
            Error::Terms { what, terms, most } => {
                write!(f, "{what} has {terms} columns, but sums of int8 products take at most {most}")
            }
            Error::Option { what, value } if value.is_subnormal() => {
                write!(f, "{what} is {value:e}, which a layer that flushes subnormals cannot take")
            }
            Error::Option { what: what @ "clip", value } => {
                write!(f, "{what} is {value}, expected a positive number")
            }
            Error::Option { what, value } => write!(f, "{what} is {value}, expected a finite number"),
            Error::SequenceLength { row, len, time } => {
                write!(f, "sequence_lens[{row}] is {len}, expected 0 to {time} (the time steps of X)")
            }
            Error::Memory { what, floats } => write!(f, "no memory for {what} ({floats} numbers)"),
            Error::Stopped => f.write_str("the call was stopped"),
            Error::CannotFlush => write!(f, "this machine cannot flush subnormal numbers"),
            Error::Bytes(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // This error already prints what `e` prints, so the next error in the chain is the source of `e`.
            Error::Bytes(e) => e.source(),
            _ => None,
        }
    }
}
