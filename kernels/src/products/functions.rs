//! The table of functions of a product.

use super::{project, quantize_row, round_row, store_tile};
use crate::epilogue::PassShape;
use crate::isa::Isa;
use crate::operands::{Convert, Operands, Span, Step};
use crate::product::Product;
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
    /// See [`super::store_tile`].
    pub(crate) tile: unsafe fn(&Operands<'_>, PassShape, (Span, Step), Prefetch, *mut f32),
    /// What makes the factors, if these are not f32.
    pub(crate) convert: Option<Convert>,
    /// What begins and ends the tiles of a step, if they need that.
    pub(crate) around: Option<(Begin, End)>,
    /// The most rows of a tile.
    pub(crate) rows: usize,
    pub(crate) weights: WeightType,
    /// See [`crate::PackedWeights::dots`].
    pub(crate) dots: Option<&'static str>,
}

impl Products {
    /// The functions of a product whose weights have this type.
    pub(super) fn of<S: Isa, P: Product<S>>(weights: WeightType) -> Products {
        assert_eq!((P::GROUP, size_of::<P::Weight>()), (weights.group(), weights.bytes()));
        let convert: Option<Convert> = match size_of::<P::Factor>() {
            1 => Some(quantize_row::<S>),
            2 => Some(round_row::<S>),
            _ => None,
        };
        Products {
            project: project::<S, P>,
            tile: store_tile::<S, P>,
            convert,
            around: None,
            rows: P::ROWS,
            weights,
            dots: P::DOTS,
        }
    }
}
