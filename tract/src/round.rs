//! Conversions that round only once.
//!
//! A value wider than f32 is first rounded to odd in f32. The second rounding, to half precision, then cannot mistake
//! it for a tie.

use half::bf16;

/// The bf16 that is nearest to `v`, as f32.
pub(crate) fn nearest_bf16(v: f64) -> f32 {
    bf16::from_f32(odd_f32(v)).into()
}

/// `v` in f32. If f32 cannot hold it, the one of its two neighbours whose last bit is 1.
pub(crate) fn odd_f32(v: f64) -> f32 {
    let near = v as f32;
    let bits = near.to_bits();
    if f64::from(near) == v || v.is_nan() || bits & 1 == 1 {
        return near;
    }
    f32::from_bits(if f64::from(near).abs() > v.abs() { bits - 1 } else { bits + 1 })
}

/// `v` in f64. If f64 cannot hold it, the one of its two neighbours whose last bit is 1.
pub(crate) fn odd_f64(v: i64) -> f64 {
    const LOST: i64 = (1 << 11) - 1;
    let fits = v.unsigned_abs() < 1 << 53 || v & LOST == 0;
    (if fits { v } else { v & !LOST | (LOST + 1) }) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    /// The nearest bf16 to `v`, found by a search through all of them.
    fn by_search(v: f64) -> f32 {
        let distance = |b: bf16| {
            // Infinity takes the place of the next value after the largest, 2^128.
            let wide = if b.is_infinite() { 2f64.powi(128).copysign(b.to_f64()) } else { b.to_f64() };
            (wide - v).abs()
        };
        let all = (0..=u16::MAX).map(bf16::from_bits).filter(|b| !b.is_nan());
        let all = all.filter(|b| b.is_sign_negative() == v.is_sign_negative());
        all.min_by(|a, b| {
            distance(*a).total_cmp(&distance(*b)).then((a.to_bits() & 1).cmp(&(b.to_bits() & 1)))
        })
        .unwrap()
        .into()
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        let around = |v: f64| [v, v.next_up(), v.next_down(), -v, (-v).next_up(), (-v).next_down()];
        let ties = [1.00390625, 1.01171875, 3.0e-40, 2f64.powi(-134), 3.0 * 2f64.powi(-134), 255.5];
        let large = [f64::from(f32::MAX), f64::from(bf16::MAX), 3.3961775292304957e38, 1e-300];
        for v in ties.into_iter().chain(large).flat_map(around) {
            assert_eq!(nearest_bf16(v).to_bits(), by_search(v).to_bits(), "{v:e}");
        }
        assert!(nearest_bf16(f64::NAN).is_nan());
        assert_eq!(nearest_bf16(1e300), f32::INFINITY);
        assert_eq!(nearest_bf16(f64::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(nearest_bf16(-0.0).to_bits(), (-0f32).to_bits());
    }

    #[test]
    fn integers_are_rounded_once() {
        for shift in 0..63 {
            for low in [0i64, 1, -1] {
                for high in [257i64, 259, 511, 128] {
                    let Some(v) = high.checked_mul(1 << shift).and_then(|v| v.checked_add(low)) else {
                        continue;
                    };
                    let expected = nearest_of_integer(v);
                    assert_eq!(nearest_bf16(odd_f64(v)), expected, "{v}");
                    assert_eq!(nearest_bf16(odd_f64(-v)), -expected, "-{v}");
                }
            }
        }
    }

    /// The nearest bf16 by integer arithmetic: it keeps the 8 leading bits, and the rest decides.
    fn nearest_of_integer(v: i64) -> f32 {
        let n = v.unsigned_abs() as u128;
        let drop = (128 - n.leading_zeros()).saturating_sub(8);
        let (kept, rest, half) = (n >> drop, n & ((1 << drop) - 1), (1u128 << drop) >> 1);
        let up = rest > half || (rest == half && half > 0 && kept & 1 == 1);
        let rounded = (kept + u128::from(up)) << drop;
        if v < 0 { -(rounded as f32) } else { rounded as f32 }
    }

    #[test]
    fn f64_is_rounded_to_f16_once() {
        // Halfway between two f16, and slightly above and below. f32 cannot hold the difference.
        let tie = 1.0 + 2f64.powi(-11);
        for (v, expected) in
            [(tie, 1.0), (tie + 2f64.powi(-40), 1.0 + 2f64.powi(-10)), (tie - 2f64.powi(-40), 1.0)]
        {
            assert_eq!(f16::from_f32(odd_f32(v)).to_f64(), expected);
            assert_eq!(f16::from_f32(odd_f32(-v)).to_f64(), -expected);
        }
    }
}
