//! Packed bytes: a layer that was packed ahead of time, and is used in place or copied.
//!
//! ```text
//!        0 │ magic "rnnpack\0" │ byte order │ version │
//!       16 │ bytes of everything (u64) │ CRC-32 of all that follows │ lanes │
//!       32 │ instruction set, its name in 16 bytes │
//!       48 │ direction, type of the weights │ operator │ I │ H │
//!       64 │ direction 0: flags │ clip │ 3 × (activation │ alpha │ beta) │ zeros │ flushed weights (u64) │ zero points of W and R │
//!    (128) │ direction 1, if there is one: the same fields │
//!          │ direction 0: W, R, bias, scales of W, scales of R, of each pass; constants │
//!          │ direction 1, if there is one: the same sections │
//! ```
//!
//! Numbers have 4 bytes, except those marked u64. They are in the byte order of the machine that packed the
//! layer; `byte order` is `0x01020304` in that order. A field that the layer does not use (a clip, a parameter, the
//! rest of a name) is zero. Direction and type share a word: the lower half and the upper one. Types are numbered in the order of
//! [`WeightType::ALL`](crate::WeightType::ALL), activations in that of the list of [`Activation`](crate::Activation). The
//! flags are 1 for `input_forget` or `linear_before_reset`, 2 for peepholes, 4 if subnormal weights were flushed, and 12 if
//! calls flush subnormals too. The sections of weights are
//! [panels](crate::PackedWeights). Those of scales are for int8, and empty for other types: for each panel a scale of each row, as
//! f32, and then the sum of its integers, as i32. Each section starts on a 64-byte boundary, with zeros between sections. The
//! header determines their sizes.
//!
//! Packed bytes that are used in place must start on a 64-byte boundary. They are for one instruction set, and their panels have its lane
//! width. They do not say whether its multiply-adds are fused: the same bytes serve `portable` with and without fused
//! multiply-adds.
//!
//! Bytes that are altered, truncated or of another version are refused. The checksum protects against accidents, not
//! against intent. But no bytes can cause anything worse than wrong numbers. Weights are checked to be finite when they
//! are packed, and are not checked again.

mod header;

pub use crate::error::BytesError;

use crate::aligned::{AlignedBuf, LINE_BYTES, Section};
use crate::direction::Direction;
use crate::error::{BYTES_VERSION, Error};
use crate::isa::{Target, Variant};
use crate::memory::reserve;
use crate::pack::{Sections, WeightPanels};
use crate::packed::PackedWeights;
use crate::weights::Weights;
use alloc::vec::Vec;
use core::marker::PhantomData;
use header::{CHECKSUM, COVERED, CRC, HEADER, Shared, read_options, read_shared, verify_envelope};
use wide::bytemuck::{Pod, cast_slice_mut, try_cast_slice};

/// The version of the format. Every change of the header, of the order of sections or of the panels raises it by one.
pub const VERSION: u32 = BYTES_VERSION;

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

/// Returns the bytes of a packed layer: one direction, or forward and reverse. All directions must be packed for the
/// same variant and have the same operator and sizes.
///
/// # Errors
/// [`Error::Bytes`] if the number of directions is not that of `direction`, or if the directions differ;
/// [`Error::Overflow`] and [`Error::Memory`] if the bytes do not fit into memory.
pub fn to_bytes(direction: Direction, packed: &[PackedWeights]) -> Result<Vec<u8>, Error> {
    match packed {
        [first, rest @ ..] if rest.iter().all(|other| other.variant() == first.variant()) => {
            let panels: Vec<_> = packed.iter().map(PackedWeights::panels).collect();
            write(first.variant().target(), direction, &panels)
        }
        _ => Err(Error::Bytes(BytesError::Directions)),
    }
}

/// Packs weights to bytes, for any instruction set that was compiled in.
///
/// # Errors
/// As [`to_bytes`].
pub fn pack(target: Target, direction: Direction, weights: &[Weights<'_>]) -> Result<Vec<u8>, Error> {
    let pack = |weights| WeightPanels::new(target.lanes(), weights);
    let panels: Vec<_> = weights.iter().map(pack).collect::<Result<_, _>>()?;
    write(target, direction, &panels.iter().collect::<Vec<_>>())
}

/// The number of bytes that [`to_bytes`] writes.
///
/// # Errors
/// [`Error::Overflow`] if the number overflows.
pub fn size(direction: Direction, packed: &[PackedWeights]) -> Result<usize, Error> {
    length(direction, packed.iter().flat_map(|packed| packed.panels().sections()))
}

/// Returns the layer that was packed to these bytes, for the instruction set that it was packed for: its direction, and
/// the weights of each direction. The weights are not copied.
///
/// # Errors
/// [`Error::Bytes`] says why the bytes are refused. [`Error::Zero`], [`Error::Option`] and [`Error::Overflow`] are for
/// bytes that this crate did not write.
pub fn from_static(bytes: &'static [u8]) -> Result<(Direction, Vec<PackedWeights>), Error> {
    match bytes.as_ptr().align_offset(LINE_BYTES) {
        0 => read::<InPlace>(bytes),
        _ => Err(Error::Bytes(BytesError::Alignment)),
    }
}

/// Like [`from_static`], for bytes that may start anywhere and are needed during the call alone: the weights are copied.
/// The copy takes at most as much memory as the bytes, whatever they hold.
///
/// # Errors
/// As [`from_static`]; [`Error::Memory`] if the copy does not fit into memory.
pub fn from_bytes(bytes: &[u8]) -> Result<(Direction, Vec<PackedWeights>), Error> {
    read::<Copied>(bytes)
}

/// Reads the bytes, with sections of weights that `M` makes.
fn read<'a, M: Make<'a>>(bytes: &'a [u8]) -> Result<(Direction, Vec<PackedWeights>), Error> {
    verify_envelope(bytes)?;
    let (direction, shared) = read_shared(bytes)?;
    let (header, rest) = split(bytes, HEADER * (1 + direction.count()))?;
    let Some(variant) = Variant::by_name(shared.isa).filter(|variant| variant.name() == shared.isa) else {
        return Err(Error::Bytes(BytesError::Isa { name: shared.isa.into() }));
    };
    if shared.lanes != variant.lanes() {
        let (expected, got) = (variant.lanes(), shared.lanes as u32);
        return Err(Error::Bytes(BytesError::Lanes { expected, got }));
    }
    let mut rest = InBytes { rest, make: PhantomData::<M> };
    let mut packed = Vec::with_capacity(direction.count());
    for options in header[HEADER..].chunks(HEADER) {
        let described = read_options(shared, options)?;
        let panels = WeightPanels::over(&mut rest, described)?;
        packed.push(PackedWeights::from_panels(variant, panels));
    }
    let mut canonical =
        header::head(direction, shared, packed.iter().map(PackedWeights::panels), bytes.len())?;
    canonical[CHECKSUM..COVERED].copy_from_slice(&bytes[CHECKSUM..COVERED]);
    match (canonical == header, rest.rest) {
        (true, []) => Ok((direction, packed)),
        (false, _) => Err(Error::Bytes(BytesError::Padding)),
        _ => Err(Error::Bytes(BytesError::Size { missing: false })),
    }
}

/// The first `count` bytes, and the rest.
fn split(bytes: &[u8], count: usize) -> Result<(&[u8], &[u8]), Error> {
    bytes.split_at_checked(count).ok_or(Error::Bytes(BytesError::Size { missing: true }))
}

/// How a section of weights is made of its bytes.
trait Make<'a> {
    /// The section of `len` elements in `bytes`, which has as many.
    fn make<E: Pod + Send + Sync>(
        what: &'static str,
        len: usize,
        bytes: &'a [u8],
    ) -> Result<Section<E>, Error>;
}

/// The section is the bytes.
struct InPlace;

impl Make<'static> for InPlace {
    fn make<E: Pod + Send + Sync>(
        _: &'static str,
        _: usize,
        bytes: &'static [u8],
    ) -> Result<Section<E>, Error> {
        let section = try_cast_slice::<_, E>(bytes);
        section.map(Section::from).map_err(|_| Error::Bytes(BytesError::Alignment))
    }
}

/// The section is a copy of the bytes.
struct Copied;

impl Make<'_> for Copied {
    fn make<E: Pod + Send + Sync>(what: &'static str, len: usize, bytes: &[u8]) -> Result<Section<E>, Error> {
        let mut copy = AlignedBuf::<E>::zeroed(len).ok_or(Error::Memory { what, floats: len })?;
        cast_slice_mut::<E, u8>(&mut copy).copy_from_slice(bytes);
        Ok(copy.into())
    }
}

/// Sections of weights that follow each other in the bytes.
struct InBytes<'a, M> {
    rest: &'a [u8],
    make: PhantomData<M>,
}

impl<'a, M: Make<'a>> Sections for InBytes<'a, M> {
    /// Takes a section, and the zeros up to the next boundary.
    fn next<E: Pod + Send + Sync>(&mut self, what: &'static str, len: usize) -> Result<Section<E>, Error> {
        let overflow = Error::Overflow { what: "packed bytes" };
        let count = len.checked_mul(size_of::<E>()).ok_or(overflow)?;
        let (section, after) = split(self.rest, count)?;
        let (zeros, after) = split(after, count.wrapping_neg() % LINE_BYTES)?;
        self.rest = after;
        if zeros.iter().any(|&zero| zero != 0) {
            return Err(Error::Bytes(BytesError::Padding));
        }
        M::make(what, len, section)
    }
}

/// The number of bytes of a header and these sections.
fn length<'a>(direction: Direction, mut sections: impl Iterator<Item = &'a [u8]>) -> Result<usize, Error> {
    // The sections are in memory, so their padded sizes do not overflow. On small machines their sum may.
    let add = |sum: usize, section: &[u8]| sum.checked_add(section.len().next_multiple_of(LINE_BYTES));
    let length = sections.try_fold(HEADER * (1 + direction.count()), add);
    length.ok_or(Error::Overflow { what: "packed bytes" })
}

fn write(target: Target, direction: Direction, panels: &[&WeightPanels]) -> Result<Vec<u8>, Error> {
    let shared = |&panels: &&WeightPanels| Shared::new(target, panels);
    let first = panels.first().map(shared).ok_or(Error::Bytes(BytesError::Directions))?;
    if panels.len() != direction.count() || panels.iter().any(|panels| shared(panels) != first) {
        return Err(Error::Bytes(BytesError::Directions));
    }
    let what = "packed bytes";
    let sections = || panels.iter().flat_map(|panels| panels.sections());
    let length = length(direction, sections())?;
    let mut bytes = Vec::new();
    reserve(&mut bytes, length).ok_or(Error::Memory { what, floats: length.div_ceil(4) })?;
    bytes.extend(header::head(direction, first, panels.iter().copied(), length)?);
    for section in sections() {
        bytes.extend_from_slice(section);
        bytes.resize(bytes.len().next_multiple_of(LINE_BYTES), 0);
    }
    let checksum = CRC.checksum(&bytes[COVERED..]);
    bytes[CHECKSUM..COVERED].copy_from_slice(&checksum.to_ne_bytes());
    Ok(bytes)
}
