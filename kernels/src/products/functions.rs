//! The functions of one product on one instruction set, which the loops of all cells call.

use crate::epilogue::PassShape;
use crate::operands::{Convert, Operands, Span, Step};
use crate::tile::Prefetch;
use crate::weight_type::WeightType;
use core::ops::Range;

/// Begins the tiles of a step: takes its rows and the depth of R, and returns whether they must be ended.
type Begin = unsafe fn(usize, usize) -> bool;
/// Ends the tiles of a step.
type End = unsafe fn();

/// The functions of one product on one instruction set, which the loops of all cells call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Products {
    /// See [`super::project`].
    pub(crate) project: unsafe fn(&Operands<'_>, PassShape, usize, Range<usize>),
    /// See [`super::project_one`].
    pub(crate) project_one: unsafe fn(&Operands<'_>, PassShape),
    /// See [`super::store_tile`].
    pub(crate) tile: unsafe fn(&Operands<'_>, PassShape, (Span, Step), Prefetch, *mut f32),
    /// What makes the factors, if these are not f32.
    pub(crate) convert: Option<Convert>,
    /// What begins and ends the tiles of a step, if they need that.
    pub(crate) around: Option<(Begin, End)>,
    /// The most rows of a tile.
    pub(crate) rows: usize,
    pub(crate) weights: WeightType,
}
