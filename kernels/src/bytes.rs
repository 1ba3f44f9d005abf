//! Packed bytes: a layer that was packed ahead of time, used where it lies.
//!
//! ```text
//!        0 │ magic "rnnpack\0" │ byte order │ version │
//!       16 │ bytes of everything (u64) │ CRC-32 of all that follows │ lanes │
//!       32 │ instruction set, its name in 16 bytes │
//!       48 │ direction │ operator │ I │ H │
//!       64 │ direction 0: flags │ clip │ 3 × (activation │ alpha │ beta) │ zeros │
//!    (128) │ direction 1, where there is one, likewise │
//!          │ direction 0: W, R, bias of each pass, constants │
//!          │ direction 1, likewise │
//! ```
//!
//! Numbers have 4 bytes, but for the length, in the byte order of the machine that packed; `byte order` is `0x01020304`
//! there. What does not exist (a clip, a parameter, the rest of a name) is zero. Activations count as in the list of
//! [`Activation`]; flags are 1 for `input_forget` or `linear_before_reset` and 2 for peepholes. The sections of weights
//! are [panels](crate::Packed) of f32, each on a 64-byte boundary, with zeros between them; their sizes follow from the
//! header.
//!
//! Packed bytes must start on a 64-byte boundary, and hold for one instruction set, whose lane width the panels have. They
//! do not say whether its multiply-adds are fused: the same bytes serve `portable` with and without.
//!
//! Bytes that are altered, truncated or of another version are refused. The checksum is one against accidents, not against
//! intent; but whatever bytes hold, nothing worse comes of them than wrong numbers. Weights are finite when they are packed
//! and are not looked at again.

use crate::aligned::{Floats, LINE_BYTES};
use crate::pack::{Packed, Panels};
use crate::{Activation, Cell, Direction, Error, GruCell, LstmCell, RnnCell, Target, Variant, Weights};
use alloc::vec::Vec;
use core::fmt;
use wide::bytemuck::{cast_slice, try_cast_slice};

/// The version of the format. Every change of the header, of the order of sections or of the panels takes the next one.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"rnnpack\0";
const BYTE_ORDER: u32 = 0x0102_0304;
/// Bytes of the header, and of the options of each direction after it.
const HEADER: usize = 64;
const NAME: core::ops::Range<usize> = 32..48;
/// Where the checksum stands, and the first byte that it covers: what is before is compared itself.
const CHECKSUM: usize = 24;
const COVERED: usize = 28;
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// Puts its contents on a 64-byte boundary, as packed bytes must be.
///
/// ```
/// # use rnnpack_kernels::bytes::Aligned;
/// # macro_rules! include_bytes { ($name:literal) => { &[0u8; 4] } }
/// static LAYER: &Aligned<[u8]> = &Aligned(*include_bytes!("layer.rnnpack"));
/// assert_eq!(LAYER.0.as_ptr().align_offset(64), 0);
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Aligned<T: ?Sized>(pub T);

/// Why bytes are not a packed layer that can run here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BytesError {
    /// They do not start on a 64-byte boundary; see [`Aligned`].
    Alignment,
    /// There are other bytes than the header says, or none for a header.
    Length {
        /// Bytes that there should be.
        expected: u64,
        /// Bytes that there are.
        got: usize,
    },
    /// They do not start as packed bytes do.
    Magic,
    /// They were packed on a machine of the other byte order.
    ByteOrder,
    /// They have another version of the format than [`VERSION`].
    Version {
        /// Theirs.
        got: u32,
    },
    /// They were altered after they were packed.
    Checksum {
        /// What they say.
        expected: u32,
        /// What it is.
        got: u32,
    },
    /// They are packed for an instruction set that this machine or this build lacks.
    Isa {
        /// Its name.
        name: &'static str,
    },
    /// They are packed for another lane width than their instruction set has here.
    Lanes {
        /// Lanes here.
        expected: usize,
        /// Lanes that they are packed for.
        got: u32,
    },
    /// The header says what no packed layer is.
    Header {
        /// Which part of it.
        what: &'static str,
    },
    /// The directions of a layer differ in more than options of their cells.
    Directions,
}

impl fmt::Display for BytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BytesError::Alignment => write!(f, "packed bytes do not start on a {LINE_BYTES}-byte boundary"),
            BytesError::Length { expected, got } => {
                write!(f, "packed bytes are {got} bytes long, expected {expected}")
            }
            BytesError::Magic => f.write_str("these are no packed bytes"),
            BytesError::ByteOrder => f.write_str("packed bytes are of a machine of the other byte order"),
            BytesError::Version { got } => {
                write!(f, "packed bytes are of version {got}, expected version {VERSION}")
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
            BytesError::Header { what } => write!(f, "the {what} of packed bytes is none that is packed"),
            BytesError::Directions => {
                f.write_str("the directions differ in more than options of their cells")
            }
        }
    }
}

impl core::error::Error for BytesError {}

fn refuse<T>(error: BytesError) -> Result<T, Error> {
    Err(Error::Bytes(error))
}

/// What all directions share.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shared<'a> {
    isa: &'a str,
    lanes: usize,
    /// LSTM, GRU, RNN.
    operator: u32,
    input: usize,
    hidden: usize,
}

impl<'a> Shared<'a> {
    fn new(target: Target, panels: &Panels) -> Shared<'a> {
        let operator = match panels.cell() {
            Cell::Lstm(_) => 0,
            Cell::Gru(_) => 1,
            Cell::Rnn(_) => 2,
        };
        let [input, hidden] = panels.sizes();
        Shared { isa: target.name(), lanes: target.lanes(), operator, input, hidden }
    }
}

/// The bytes of a packed layer: one direction, or forward and reverse. All directions are packed for one variant and have
/// the same operator and sizes.
///
/// # Errors
/// [`Error::Bytes`] for another number of directions than `direction` has, and for directions that differ;
/// [`Error::Overflow`] and [`Error::Memory`] where the bytes do not fit.
pub fn to_bytes(direction: Direction, packed: &[Packed]) -> Result<Vec<u8>, Error> {
    match packed {
        [first, rest @ ..] if rest.iter().all(|other| other.variant() == first.variant()) => {
            let panels: Vec<&Panels> = packed.iter().map(Packed::panels).collect();
            write(first.variant().target(), direction, &panels)
        }
        _ => refuse(BytesError::Directions),
    }
}

/// Packs weights to bytes for any instruction set that was compiled in.
///
/// # Errors
/// As [`to_bytes`].
pub fn pack(target: Target, direction: Direction, weights: &[Weights<'_>]) -> Result<Vec<u8>, Error> {
    let pack = |weights| Panels::new(target.lanes(), weights);
    let panels: Vec<Panels> = weights.iter().map(pack).collect::<Result<_, _>>()?;
    write(target, direction, &panels.iter().collect::<Vec<_>>())
}

/// The layer that was packed to these bytes, on the instruction set that it was packed for: which way it reads, and the
/// weights of each direction, which stay where they are.
///
/// # Errors
/// [`Error::Bytes`] says why the bytes are refused; [`Error::Zero`], [`Error::Option`] and [`Error::Overflow`] are for
/// bytes that nothing here has packed.
pub fn from_static(bytes: &'static [u8]) -> Result<(Direction, Vec<Packed>), Error> {
    check(bytes)?;
    let (direction, shared) = read_shared(bytes)?;
    let (header, mut rest) = split(bytes, HEADER * (1 + direction.count()))?;
    let Some(variant) = Variant::by_name(shared.isa) else {
        return refuse(BytesError::Isa { name: shared.isa });
    };
    if shared.lanes != variant.lanes() {
        return refuse(BytesError::Lanes { expected: variant.lanes(), got: shared.lanes as u32 });
    }
    let mut packed = Vec::with_capacity(direction.count());
    for options in header[HEADER..].chunks(HEADER) {
        let (cell, peepholes) = read_options(shared.operator, options)?;
        let section = |_, floats| section(&mut rest, floats);
        let panels = Panels::over(section, cell, peepholes, shared.lanes, [shared.input, shared.hidden])?;
        packed.push(Packed::from_panels(variant, panels));
    }
    let mut canonical = head(direction, shared, packed.iter().map(Packed::panels), bytes.len())?;
    canonical[CHECKSUM..COVERED].copy_from_slice(&bytes[CHECKSUM..COVERED]);
    match (canonical == header, rest) {
        (true, []) => Ok((direction, packed)),
        (false, _) => refuse(BytesError::Header { what: "padding" }),
        _ => refuse(BytesError::Header { what: "size" }),
    }
}

/// Everything that holds before the contents are looked at.
fn check(bytes: &[u8]) -> Result<(), Error> {
    if bytes.as_ptr().align_offset(LINE_BYTES) != 0 {
        return refuse(BytesError::Alignment);
    }
    if bytes.len() < HEADER {
        return refuse(BytesError::Length { expected: HEADER as u64, got: bytes.len() });
    }
    if bytes[..8] != MAGIC {
        return refuse(BytesError::Magic);
    }
    if word(bytes, 8) != BYTE_ORDER {
        return refuse(BytesError::ByteOrder);
    }
    if word(bytes, 12) != VERSION {
        return refuse(BytesError::Version { got: word(bytes, 12) });
    }
    let expected = u64::from_ne_bytes(array(bytes, 16));
    if expected != bytes.len() as u64 {
        return refuse(BytesError::Length { expected, got: bytes.len() });
    }
    let (expected, got) = (word(bytes, CHECKSUM), CRC.checksum(&bytes[COVERED..]));
    if expected != got { refuse(BytesError::Checksum { expected, got }) } else { Ok(()) }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(array(bytes, at))
}

fn float(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(word(bytes, at))
}

/// The first `count` bytes, and the rest.
fn split(bytes: &'static [u8], count: usize) -> Result<(&'static [u8], &'static [u8]), Error> {
    bytes.split_at_checked(count).ok_or(Error::Bytes(BytesError::Header { what: "size" }))
}

/// Takes a section of weights, and the zeros up to the next boundary.
fn section(rest: &mut &'static [u8], floats: usize) -> Result<Floats, Error> {
    let overflow = Error::Overflow { what: "packed bytes" };
    let count = floats.checked_mul(size_of::<f32>()).ok_or(overflow)?;
    let (section, after) = split(rest, count)?;
    let (zeros, after) = split(after, count.wrapping_neg() % LINE_BYTES)?;
    *rest = after;
    match try_cast_slice::<_, f32>(section) {
        Ok(section) if zeros.iter().all(|&zero| zero == 0) => Ok(Floats::from(section)),
        _ => refuse(BytesError::Header { what: "padding" }),
    }
}

fn read_shared(bytes: &'static [u8]) -> Result<(Direction, Shared<'static>), Error> {
    let direction = match word(bytes, 48) {
        0 => Direction::Forward,
        1 => Direction::Reverse,
        2 => Direction::Bidirectional,
        _ => return refuse(BytesError::Header { what: "direction" }),
    };
    let name = bytes[NAME].split(|&byte| byte == 0).next().unwrap_or_default();
    let Ok(isa) = str::from_utf8(name) else {
        return refuse(BytesError::Header { what: "instruction set" });
    };
    let [lanes, input, hidden] = [28, 56, 60].map(|at| word(bytes, at) as usize);
    if hidden == 0 {
        return Err(Error::Zero { what: "hidden_size" });
    }
    Ok((direction, Shared { isa, lanes, operator: word(bytes, 52), input, hidden }))
}

/// The cell of a direction, and whether it has peepholes.
fn read_options(operator: u32, options: &[u8]) -> Result<(Cell, bool), Error> {
    let activation = |i: usize| {
        let at = 8 + 12 * i;
        let (alpha, beta) = (float(options, at + 4), float(options, at + 8));
        let named = Activation::ALL.get(word(options, at) as usize);
        let named = named.ok_or(Error::Bytes(BytesError::Header { what: "activation" }))?;
        Ok::<_, Error>(named.with_parameters(Some(alpha), Some(beta)))
    };
    let (flags, clip) = (word(options, 0), Some(float(options, 4)).filter(|clip| clip.to_bits() != 0));
    let (flag, peepholes) = (flags & FLAG != 0, flags & PEEPHOLES != 0);
    let cell = match operator {
        0 => {
            let activations = [activation(0)?, activation(1)?, activation(2)?];
            Cell::Lstm(LstmCell { activations, clip, input_forget: flag })
        }
        1 => {
            let activations = [activation(0)?, activation(1)?];
            Cell::Gru(GruCell { activations, clip, linear_before_reset: flag })
        }
        2 => Cell::Rnn(RnnCell { activation: activation(0)?, clip }),
        _ => return refuse(BytesError::Header { what: "operator" }),
    };
    if peepholes && !cell.has_cell_state() {
        return refuse(BytesError::Header { what: "peepholes" });
    }
    cell.check()?;
    Ok((cell, peepholes))
}

const FLAG: u32 = 1;
const PEEPHOLES: u32 = 2;

fn write(target: Target, direction: Direction, panels: &[&Panels]) -> Result<Vec<u8>, Error> {
    let shared = |&panels: &&Panels| Shared::new(target, panels);
    let first = panels.first().map(shared).ok_or(Error::Bytes(BytesError::Directions))?;
    if panels.len() != direction.count() || panels.iter().any(|panels| shared(panels) != first) {
        return refuse(BytesError::Directions);
    }
    let what = "packed bytes";
    let sections = || panels.iter().flat_map(|panels| panels.sections());
    // Sections are in memory, so that their padded sizes do not overflow; their sum may on small machines.
    let mut padded = sections().map(|section| size_of_val(section).next_multiple_of(LINE_BYTES));
    let length = padded.try_fold(HEADER * (1 + direction.count()), usize::checked_add);
    let length = length.ok_or(Error::Overflow { what })?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Error::Memory { what, floats: length.div_ceil(4) })?;
    bytes.extend(head(direction, first, panels.iter().copied(), length)?);
    for section in sections() {
        bytes.extend_from_slice(cast_slice(section));
        bytes.resize(bytes.len().next_multiple_of(LINE_BYTES), 0);
    }
    let checksum = CRC.checksum(&bytes[COVERED..]);
    bytes[CHECKSUM..COVERED].copy_from_slice(&checksum.to_ne_bytes());
    Ok(bytes)
}

/// The header and the options of every direction; the checksum is 0.
fn head<'a>(
    direction: Direction,
    shared: Shared<'_>,
    panels: impl Iterator<Item = &'a Panels>,
    length: usize,
) -> Result<Vec<u8>, Error> {
    let number = |n: usize| u32::try_from(n).map_err(|_| Error::Overflow { what: "packed bytes" });
    let mut bytes = Vec::with_capacity(HEADER * (1 + direction.count()));
    let mut put = |of: &[u8]| bytes.extend_from_slice(of);
    put(&MAGIC);
    put(&BYTE_ORDER.to_ne_bytes());
    put(&VERSION.to_ne_bytes());
    put(&(length as u64).to_ne_bytes());
    put(&[0; COVERED - CHECKSUM]);
    put(&number(shared.lanes)?.to_ne_bytes());
    let mut name = [0; NAME.end - NAME.start];
    name[..shared.isa.len()].copy_from_slice(shared.isa.as_bytes());
    put(&name);
    for word in [direction as u32, shared.operator, number(shared.input)?, number(shared.hidden)?] {
        put(&word.to_ne_bytes());
    }
    panels.for_each(|panels| put(&options(panels)));
    Ok(bytes)
}

/// The options of a direction, as [`read_options`] takes them.
fn options(panels: &Panels) -> [u8; HEADER] {
    let cell = panels.cell();
    let flag = match cell {
        Cell::Lstm(cell) => cell.input_forget,
        Cell::Gru(cell) => cell.linear_before_reset,
        Cell::Rnn(_) => false,
    };
    let flags = u32::from(flag) * FLAG + u32::from(panels.has_peepholes()) * PEEPHOLES;
    let activations = cell.activations().iter().flat_map(|activation| {
        let number = Activation::ALL
            .iter()
            .position(|function| function.name() == activation.name())
            .unwrap_or_default();
        let (alpha, beta) = activation.parameters();
        [number as u32, alpha.map_or(0, f32::to_bits), beta.map_or(0, f32::to_bits)]
    });
    let words = [flags, cell.clip().map_or(0, f32::to_bits)].into_iter().chain(activations);
    let mut bytes = [0; HEADER];
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}
