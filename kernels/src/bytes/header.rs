//! The header of packed bytes: the description of the layer, and the checks that come before it is read.

use crate::activation::Activation;
use crate::cell::{Cell, GruCell, LstmCell, RnnCell};
use crate::direction::Direction;
use crate::error::{BYTES_VERSION, BytesError, Error};
use crate::isa::Target;
use crate::pack::{Description, WeightPanels};
use crate::sizes::Sizes;
use crate::subnormals::Subnormals;
use crate::weight_type::WeightType;
use crate::weights::check_subnormals;
use alloc::vec::Vec;

const MAGIC: [u8; 8] = *b"rnnpack\0";
const BYTE_ORDER: u32 = 0x0102_0304;
/// Bytes of the header. The options of each direction, which follow it, have as many.
pub(super) const HEADER: usize = 64;
const NAME: core::ops::Range<usize> = 32..48;
/// The offset of the checksum, and the first byte that it covers. The bytes before it are compared directly.
pub(super) const CHECKSUM: usize = 24;
pub(super) const COVERED: usize = 28;
pub(super) const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
/// The offset of the number of flushed weights in the options of a direction.
const FLUSHED: usize = 48;
/// The offset of the zero points of W and R.
const ZERO_POINTS: usize = 56;
const FLAG: u32 = 1;
const PEEPHOLES: u32 = 2;
const FLUSHED_WEIGHTS: u32 = 4;
/// Calls flush too.
const FLUSHES: u32 = FLUSHED_WEIGHTS | 8;

fn refuse<T>(error: BytesError) -> Result<T, Error> {
    Err(Error::Bytes(error))
}

/// What all directions share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shared<'a> {
    pub(super) isa: &'a str,
    pub(super) lanes: usize,
    /// LSTM, GRU, RNN.
    pub(super) operator: u32,
    pub(super) sizes: Sizes,
    pub(super) weights: WeightType,
}

impl<'a> Shared<'a> {
    pub(super) fn new(target: Target, panels: &WeightPanels) -> Shared<'a> {
        let operator = match panels.description().cell {
            Cell::Lstm(_) => 0,
            Cell::Gru(_) => 1,
            Cell::Rnn(_) => 2,
        };
        let (sizes, weights) = (panels.description().sizes, panels.description().weights);
        Shared { isa: target.name(), lanes: target.lanes(), operator, sizes, weights }
    }
}

/// Checks everything that must hold before the contents are read.
pub(super) fn verify_envelope(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() < HEADER {
        return refuse(BytesError::Length { expected: HEADER as u64, got: bytes.len() });
    }
    if bytes[..8] != MAGIC {
        return refuse(BytesError::Magic);
    }
    if word(bytes, 8) != BYTE_ORDER {
        return refuse(BytesError::ByteOrder);
    }
    if word(bytes, 12) != BYTES_VERSION {
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

/// The directions of the layer, and what they share.
pub(super) fn read_shared(bytes: &[u8]) -> Result<(Direction, Shared<'_>), Error> {
    // The lower half is the direction, the upper half the type of the weights.
    let (direction, weights) = (word(bytes, 48) & 0xffff, word(bytes, 48) >> 16);
    let Some(&weights) = WeightType::ALL.get(weights as usize) else {
        return refuse(BytesError::Header { what: "type of weights" });
    };
    let direction = match direction {
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
    let sizes = Sizes::new(input, hidden);
    Ok((direction, Shared { isa, lanes, operator: word(bytes, 52), sizes, weights }))
}

/// What the weights of a direction are for.
pub(super) fn read_options(shared: Shared<'_>, options: &[u8]) -> Result<Description, Error> {
    let activation = |i: usize| {
        let at = 8 + 12 * i;
        let (alpha, beta) = (float(options, at + 4), float(options, at + 8));
        let named = Activation::ALL.get(word(options, at) as usize);
        let named = named.ok_or(Error::Bytes(BytesError::Header { what: "activation" }))?;
        Ok::<_, Error>(named.with_parameters(Some(alpha), Some(beta)))
    };
    let (flags, clip) = (word(options, 0), Some(float(options, 4)).filter(|clip| clip.to_bits() != 0));
    let (flag, peepholes) = (flags & FLAG != 0, flags & PEEPHOLES != 0);
    let cell = match shared.operator {
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
        return refuse(BytesError::Header { what: "peephole flag" });
    }
    cell.validate()?;
    let subnormals = match flags & FLUSHES {
        0 => Subnormals::Keep,
        FLUSHED_WEIGHTS => Subnormals::FlushWeights,
        FLUSHES => Subnormals::Flush,
        _ => return refuse(BytesError::Header { what: "flag of subnormals" }),
    };
    check_subnormals(subnormals, &cell)?;
    let flushed = u64::from_ne_bytes(array(options, FLUSHED));
    let Shared { sizes, lanes, weights, .. } = shared;
    let zero_points = match weights {
        WeightType::I8 => [0, 4].map(|i| word(options, ZERO_POINTS + i) as i32),
        _ => [0, 0],
    };
    Ok(Description { cell, peepholes, sizes, lanes, subnormals, flushed, weights, zero_points })
}

/// The header and the options of every direction. The checksum is left 0.
pub(super) fn head<'a>(
    direction: Direction,
    shared: Shared<'_>,
    panels: impl Iterator<Item = &'a WeightPanels>,
    length: usize,
) -> Result<Vec<u8>, Error> {
    let number = |n: usize| u32::try_from(n).map_err(|_| Error::Overflow { what: "packed bytes" });
    let mut bytes = Vec::with_capacity(HEADER * (1 + direction.count()));
    let mut put = |of: &[u8]| bytes.extend_from_slice(of);
    put(&MAGIC);
    put(&BYTE_ORDER.to_ne_bytes());
    put(&BYTES_VERSION.to_ne_bytes());
    put(&(length as u64).to_ne_bytes());
    put(&[0; COVERED - CHECKSUM]);
    put(&number(shared.lanes)?.to_ne_bytes());
    let mut name = [0; NAME.end - NAME.start];
    name[..shared.isa.len()].copy_from_slice(shared.isa.as_bytes());
    put(&name);
    let weights = WeightType::ALL.iter().position(|&weights| weights == shared.weights);
    let form = direction as u32 | (weights.unwrap_or_default() as u32) << 16;
    for word in [form, shared.operator, number(shared.sizes.input)?, number(shared.sizes.hidden)?] {
        put(&word.to_ne_bytes());
    }
    panels.for_each(|panels| put(&options(panels)));
    Ok(bytes)
}

/// The options of a direction, in the layout that [`read_options`] reads.
fn options(panels: &WeightPanels) -> [u8; HEADER] {
    let Description { cell, peepholes, subnormals, flushed, zero_points, .. } = panels.description();
    let flag = match cell {
        Cell::Lstm(cell) => cell.input_forget,
        Cell::Gru(cell) => cell.linear_before_reset,
        Cell::Rnn(_) => false,
    };
    let subnormals = match subnormals {
        Subnormals::Keep => 0,
        Subnormals::FlushWeights => FLUSHED_WEIGHTS,
        Subnormals::Flush => FLUSHES,
    };
    let flags = u32::from(flag) * FLAG + u32::from(*peepholes) * PEEPHOLES + subnormals;
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
    bytes[FLUSHED..][..8].copy_from_slice(&flushed.to_ne_bytes());
    for (to, zero_point) in bytes[ZERO_POINTS..].chunks_exact_mut(4).zip(zero_points) {
        to.copy_from_slice(&zero_point.to_ne_bytes());
    }
    bytes
}
