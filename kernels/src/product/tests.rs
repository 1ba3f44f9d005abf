//! Compares every operation of the product of f32, on every variant, with the same operation on plain numbers. The dot
//! products of integers are compared in `isa/tests.rs`, whole calls of every product in `call/tests/gates.rs`.

use super::f32::{F32, rows};
use super::ops::{Product, ScalesAt};
use crate::isa::{Isa, Kernel, Variant};
use crate::math;

/// The result of one lane of a product, from the factors and weights of a group and the start value of the sum.
type Model<P, S> = fn(&[<P as Product<S>>::Factor], &[<P as Product<S>>::Weight], f32) -> f32;

/// Compares `finish(multiply_accumulate(broadcast, load, start))` of whole vectors with the model. This tests all
/// operations together.
fn compare<S: Isa, P: Product<S>>(
    s: S,
    factors: &[P::Factor],
    weights: &[P::Weight],
    starts: &[f32],
    model: Model<P, S>,
) {
    let count = S::LANES * P::GROUP;
    for (weights, starts) in weights.chunks_exact(count).zip(starts.chunks_exact(S::LANES)) {
        for factors in factors.chunks_exact(P::GROUP) {
            let mut got = vec![0.0f32; S::LANES];
            let none = ScalesAt { row: std::ptr::null(), weights: std::ptr::null(), sums: 0 };
            // SAFETY: the slices have as many elements as are read, and `got` has as many as are written.
            unsafe {
                let w = P::load::<0>(s, weights.as_ptr());
                let sums = P::multiply_accumulate(
                    s,
                    P::broadcast(s, factors.as_ptr()),
                    w,
                    P::start(s, starts.as_ptr()),
                );
                s.store(got.as_mut_ptr(), P::finish(s, sums, starts.as_ptr(), none));
            }
            for (lane, &got) in got.iter().enumerate() {
                let weights = &weights[lane * P::GROUP..][..P::GROUP];
                let expected = model(factors, weights, starts[lane]);
                assert!(
                    got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(),
                    "{} {}: {} + {factors:?} · {weights:?} is {got}, expected {expected}",
                    std::any::type_name::<P>(),
                    S::NAME,
                    starts[lane],
                );
            }
        }
    }
}

/// The product of f32.
struct OfF32;

impl Kernel for OfF32 {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, s: S) {
        let special = [0.0, -0.0, 1.0, 1.0 + f32::EPSILON, -3.5, 1e-42, f32::MAX, f32::INFINITY, f32::NAN];
        let of = |count: usize, step: usize| -> Vec<f32> {
            (0..count).map(|i| special[i * step % special.len()] * (1.0 + (i % 7) as f32 / 8.0)).collect()
        };
        let model: Model<F32, S> = |a, w, sum| match S::FUSED {
            true => math::mul_add(a[0], w[0], sum),
            false => a[0] * w[0] + sum,
        };
        compare::<S, F32>(s, &of(63, 1), &of(63 * 64, 4), &of(63 * 64, 5), model);
    }
}

#[test]
fn every_operation_of_the_product_of_f32_is_that_of_plain_numbers() {
    Variant::available().for_each(|variant| variant.dispatch(OfF32));
}

#[test]
fn the_largest_tile_of_f32_fits_into_the_registers_and_a_larger_one_does_not() {
    let of = |registers| [rows(registers, 1, 1), rows(registers, 1, 2), rows(registers, 2, 2)];
    assert_eq!([of(16), of(32)], [[3, 2, 2], [6, 6, 5]]);
    for (registers, [factors, weights]) in
        (16..=64).flat_map(|registers| [[1, 1], [1, 2], [2, 2]].map(|each| (registers, each)))
    {
        let fits = |rows: usize| 4 * rows + factors * rows + weights <= registers;
        let rows = rows(registers, factors, weights);
        assert!(fits(rows) && (rows == 6 || !fits(rows + 1)), "{registers}, {factors}, {weights}");
    }
    for variant in Variant::available() {
        assert_eq!(variant.tile_rows(), rows(variant.registers(), 1, 1), "{variant}");
    }
}
