//! Why packed bytes are refused.

use crate::aligned::LINE_BYTES;
use crate::isa::Variant;
use alloc::string::String;
use core::fmt;

/// The version of the format of packed bytes.
pub(crate) const BYTES_VERSION: u32 = 4;

/// Why bytes are not a packed layer that can run here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BytesError {
    /// They are to be used in place, and do not start on a 64-byte boundary; see [`Aligned`](crate::bytes::Aligned).
    Alignment,
    /// Their number differs from what the header says, or is too small for a header.
    Length {
        /// The number of bytes that there should be.
        expected: u64,
        /// The number of bytes that there are.
        got: usize,
    },
    /// They do not start with the magic of packed bytes.
    Magic,
    /// They were packed on a machine of the other byte order.
    ByteOrder,
    /// Their version of the format is not [`VERSION`](crate::bytes::VERSION).
    Version {
        /// Their version.
        got: u32,
    },
    /// They were altered after they were packed.
    Checksum {
        /// The checksum that the header stores.
        expected: u32,
        /// The checksum of the bytes.
        got: u32,
    },
    /// They are packed for an instruction set that this machine or this build lacks.
    Isa {
        /// Its name.
        name: String,
    },
    /// They are packed for a lane width that differs from that of their instruction set here.
    Lanes {
        /// Lanes here.
        expected: usize,
        /// The number of lanes that they are packed for.
        got: u32,
    },
    /// A field of the header has a value that this version of the format does not know.
    Header {
        /// Which field.
        what: &'static str,
    },
    /// The sections of weights that the header implies are longer or shorter than the bytes.
    Size {
        /// Whether bytes are missing. If not, there are too many.
        missing: bool,
    },
    /// Bytes that must be zero are not zero: padding between sections, or header fields that the layer does not use.
    Padding,
    /// The directions of a layer do not fit together: their number is wrong, or they differ in more than the options of
    /// their cells.
    Directions,
}

impl fmt::Display for BytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BytesError::Alignment => write!(f, "packed bytes do not start on a {LINE_BYTES}-byte boundary"),
            BytesError::Length { expected, got } => {
                write!(f, "packed bytes are {got} bytes long, expected {expected}")
            }
            BytesError::Magic => f.write_str("the bytes do not start as packed bytes do"),
            BytesError::ByteOrder => f.write_str("packed bytes are of a machine of the other byte order"),
            BytesError::Version { got } => {
                write!(f, "packed bytes are of version {got}, expected version {BYTES_VERSION}")
            }
            BytesError::Checksum { expected, got } => {
                write!(f, "packed bytes were altered: their checksum is {got:08x}, expected {expected:08x}")
            }
            BytesError::Isa { name } => {
                write!(
                    f,
                    "packed bytes are for the instruction set {name:?}, which is not available here; there are"
                )?;
                Variant::available().try_for_each(|variant| write!(f, " {variant}"))
            }
            BytesError::Lanes { expected, got } => {
                write!(f, "packed bytes are for {got} lanes, expected {expected}")
            }
            BytesError::Header { what } => write!(f, "the header of the packed bytes has an unknown {what}"),
            BytesError::Size { missing: true } => {
                f.write_str("packed bytes end before the weights that their header announces")
            }
            BytesError::Size { missing: false } => {
                f.write_str("packed bytes go on behind the weights that their header announces")
            }
            BytesError::Padding => f.write_str("packed bytes have non-zero bytes where padding must be zero"),
            BytesError::Directions => {
                f.write_str("the directions differ in more than options of their cells")
            }
        }
    }
}

impl core::error::Error for BytesError {}
