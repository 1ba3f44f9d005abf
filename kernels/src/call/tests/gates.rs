//! Compares the gates that an epilogue hands to its sink with those of the reference.

use super::super::each_block;
use super::{Case, cells};
use crate::activation::Activation;
use crate::block::Block;
use crate::cell::Cell;
use crate::epilogue::{Keep, Place};
use crate::integers::Scale;
use crate::isa::{Isa, Variant};
use crate::packed::PackedWeights;
use crate::reference::{self, IntegerRow, Real};
use crate::scratch::Scratch;
use crate::steps::run_for;
use crate::weight_type::WeightType;
use std::cell::{Cell as Shared, RefCell};

thread_local! {
    /// The variant whose rules a [`Ruled`] follows.
    static VARIANT: Shared<Option<Variant>> = const { Shared::new(None) };
    /// The results of all activations, in the order in which they were computed.
    static ACTIVATED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// An f32 that follows the rules of a variant, and records the results of activations.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ruled(f32);

impl From<f32> for Ruled {
    fn from(x: f32) -> Ruled {
        Ruled(x)
    }
}

impl Real for Ruled {
    const ZERO: Ruled = Ruled(0.0);
    fn from_f32(x: f32) -> Ruled {
        Ruled(x)
    }
    fn fused_mul_add(self, a: Ruled, b: Ruled) -> Ruled {
        match VARIANT.get().unwrap().is_fused() {
            true => Ruled(self.0.mul_add(a.0, b.0)),
            false => Ruled(self.0 * a.0 + b.0),
        }
    }
    fn plus(self, a: Ruled) -> Ruled {
        Ruled(self.0 + a.0)
    }
    fn minus(self, a: Ruled) -> Ruled {
        Ruled(self.0 - a.0)
    }
    fn times(self, a: Ruled) -> Ruled {
        Ruled(self.0 * a.0)
    }
    fn clipped(self, limit: f32) -> Ruled {
        Ruled(self.0.clamp(-limit, limit))
    }
    fn activated(self, activation: Activation) -> Ruled {
        let mut value = [self.0];
        activation.eval_slice(VARIANT.get().unwrap(), &mut value);
        ACTIVATED.with_borrow_mut(|all| all.push(value[0]));
        Ruled(value[0])
    }

    fn to_bf16(self) -> Ruled {
        Ruled(self.0.to_bf16())
    }

    type Row = IntegerRow;
    fn row(elements: &[Ruled]) -> IntegerRow {
        IntegerRow::new(&elements.iter().map(|element| element.0).collect::<Vec<f32>>())
    }
    fn add_integers(
        start: Ruled,
        row: &IntegerRow,
        scale: Scale,
        integers: impl Iterator<Item = i32>,
    ) -> Ruled {
        let sum = Ruled(row.sum(scale.zero_point, integers) as f32);
        sum.fused_mul_add(Ruled(row.scale() * scale.scale), start)
    }
}

/// Keeps gates as `[step][row][gate][unit]`, with room for whole vectors of units.
#[derive(Clone, Copy)]
struct Sink {
    to: *mut f32,
    batch: usize,
    width: usize,
}

/// The number of gates of a row in a [`Sink`].
const GATES: usize = 4;

impl Keep for Sink {
    #[inline(always)]
    unsafe fn keep<S: Isa>(self, s: S, gate: usize, Place { step, row, unit }: Place, values: S::V) {
        let at = ((step * self.batch + row) * GATES + gate) * self.width + unit;
        // SAFETY: the test has made room for every step, row and gate, with whole panels of units.
        unsafe { s.store(self.to.add(at), values) }
    }
}

/// The gates of each (row, step, unit) in ONNX's order, from the recorded activations of the reference.
fn gates(cell: &Cell, steps: usize, hidden: usize, activated: &[f32]) -> Vec<Vec<f32>> {
    let of_unit: Vec<Vec<f32>> = match cell {
        Cell::Lstm(cell) if cell.input_forget => {
            activated.chunks(4).map(|of| vec![of[0], of[2], 1.0 - of[0], of[1]]).collect()
        }
        Cell::Lstm(_) => activated.chunks(5).map(|of| vec![of[0], of[3], of[1], of[2]]).collect(),
        Cell::Gru(cell) if cell.linear_before_reset => activated.chunks(3).map(<[f32]>::to_vec).collect(),
        // The reset gates of all units, then the update gate and the hidden gate of each unit.
        Cell::Gru(_) => activated
            .chunks(3 * hidden)
            .flat_map(|of| {
                let (reset, others) = of.split_at(hidden);
                reset.iter().zip(others.chunks(2)).map(|(&r, zh)| vec![zh[0], r, zh[1]])
            })
            .collect(),
        Cell::Rnn(_) => activated.iter().map(|&h| vec![h]).collect(),
    };
    assert_eq!(of_unit.len(), steps * hidden);
    of_unit
}

#[test]
fn the_gates_that_are_kept_are_those_of_the_reference() {
    let (time, batch, hidden) = (3, 5, 19);
    let variants = || {
        Variant::available().flat_map(|v| {
            WeightType::ALL
                .into_iter()
                .filter(|weights| weights.keeps_contract())
                .map(move |weights| (v, weights))
        })
    };
    for (cell, (variant, weights)) in cells().into_iter().flat_map(|cell| variants().map(move |v| (cell, v)))
    {
        let mut case = Case::new(cell, [4, hidden], [time, batch]);
        VARIANT.set(Some(variant));
        ACTIVATED.take();
        let states = |from: &[f32]| from.iter().copied().map(Ruled).collect::<Vec<_>>();
        let (mut h, mut c) = (states(&case.h), states(&case.c));
        let typed = case.weights().with_type(weights).unwrap();
        let y = reference::forward(&typed, case.x(), None, false, &mut h, &mut c).unwrap();
        let expected = gates(&cell, time * batch, hidden, &ACTIVATED.take());

        let packed = PackedWeights::new(variant, &typed).unwrap();
        let width = packed.panels().row();
        let mut kept = vec![f32::NAN; time * batch * GATES * width];
        let keep = Sink { to: kept.as_mut_ptr(), batch, width };
        // SAFETY: the block keeps its invariant. The sink is alive and has room for all steps and rows of the only
        // block.
        let run = |block: &mut Block<'_>| unsafe {
            run_for::<Sink>(variant, packed.panels().description())(block, keep)
        };
        each_block(&packed, case.call(2), &mut Scratch::new(), run).unwrap();

        let right = case.y.iter().zip(&y).all(|(got, y)| got.to_bits() == y.0.to_bits());
        assert!(right, "{variant}, {cell:?}, {weights:?}");
        for (i, expected) in expected.into_iter().enumerate() {
            let (row, step, unit) = (i / hidden / time, i / hidden % time, i % hidden);
            for (gate, expected) in expected.into_iter().enumerate() {
                let got = kept[((step * batch + row) * GATES + gate) * width + unit];
                let place = format!("gate {gate} of unit {unit}, row {row}, step {step}");
                assert_eq!(got.to_bits(), expected.to_bits(), "{variant}, {cell:?}, {weights:?}: {place}");
            }
        }
    }
}
