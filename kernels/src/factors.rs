//! Rows of x and h as integers of 8 bits, the factors of int8 weights.
//!
//! A row is quantized on its own, with the range of its own elements, so its result does not depend on other rows or
//! steps. In f32, for a row from `low` to `high`, both widened to hold 0:
//!
//! ```text
//! scale = high / 255 - low / 255        zero point = round(-low · (1 / scale))
//! integer = round(x · (1 / scale) + zero point), at least 0 and at most 255
//! ```
//!
//! `round` is to the nearest integer, ties to even. 0 is represented exactly. An asymmetric range is never wider than the
//! symmetric one, and half as wide for rows of one sign, so it is the more accurate one. An element differs from that of
//! its integer by half a scale at most, and by some roundings of f32.
//!
//! If the scale is below [`SMALLEST_SCALE`], all integers are those of 0. A row with NaN or an infinity has the scale NaN:
//! all its sums become NaN.

use crate::isa::Isa;

/// Rows whose scale is smaller are rows of zeros. It is so large that the scale, the zero point and the integers of a row are
/// the same if subnormal numbers are flushed.
pub(crate) const SMALLEST_SCALE: f32 = f32::from_bits((127 - 100) << 23);

/// What a row of integers means. In memory it stands [`HEADER`] bytes before the integers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(crate) struct RowScale {
    /// The difference of two elements whose integers are neighbours.
    pub(crate) scale: f32,
    /// The integer of 0.
    pub(crate) zero_point: i32,
    /// The zero point of the weights times the sum of all `integer - zero_point`.
    pub(crate) correction: i32,
}

/// The bytes of a row before its integers: a cache line, so that the integers start on one.
pub(crate) const HEADER: usize = 64;

/// The bytes of a row of `count` integers: its header, and whole cache lines. `None` if they overflow.
pub(crate) fn row_bytes(count: usize) -> Option<usize> {
    count.checked_next_multiple_of(HEADER)?.checked_add(HEADER)
}

/// A number of this size has no fraction: adding it rounds to an integer, and leaves the integer in the low bits.
const ROUND: f32 = 1.5 * (1u32 << 23) as f32;

impl RowScale {
    /// The scale of a row from `low` to `high`, which include 0, and what an element is multiplied with to become an integer;
    /// no correction.
    fn of_range(low: f32, high: f32) -> (RowScale, f32) {
        let scale = high / 255.0 - low / 255.0;
        if scale < SMALLEST_SCALE {
            return (RowScale { scale: 1.0, zero_point: 0, correction: 0 }, 0.0);
        }
        let inverse = 1.0 / scale;
        let zero_point = (-low * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
        (RowScale { scale, zero_point: (zero_point as i32).clamp(0, 255), correction: 0 }, inverse)
    }
}

/// Quantizes a row of `count` f32. `weights_zero_point` is that of the weights of these factors.
///
/// # Safety
/// `from` must be valid for reading `count` f32. `to` must be valid for writing `count` bytes, rounded up to a multiple of 4,
/// and, aligned for it, a [`RowScale`] at [`HEADER`] bytes before. Nothing may overlap.
#[inline(always)]
pub(crate) unsafe fn quantize<S: Isa>(
    s: S,
    from: *const f32,
    count: usize,
    to: *mut u8,
    weights_zero_point: i32,
) {
    // SAFETY: the caller's promise, here and below.
    let row = unsafe { core::slice::from_raw_parts(from, count) };
    let (low, high, finite) = extremes(s, row);
    let (mut scale, inverse) = match finite {
        true => RowScale::of_range(low, high),
        false => (RowScale { scale: f32::NAN, zero_point: 0, correction: 0 }, 0.0),
    };
    let header = to.wrapping_sub(HEADER).cast::<RowScale>();
    // SAFETY: as above.
    let (integers, padding) =
        unsafe { core::slice::from_raw_parts_mut(to, count.next_multiple_of(4)) }.split_at_mut(count);
    padding.fill(0);
    if finite {
        round(s, row, [inverse, ROUND + scale.zero_point as f32], integers);
    } else {
        integers.fill(0);
    }
    if weights_zero_point != 0 {
        let sum = integers.iter().map(|&integer| i32::from(integer) - scale.zero_point);
        scale.correction = sum.fold(0, i32::wrapping_add).wrapping_mul(weights_zero_point);
    }
    // SAFETY: as above.
    unsafe { header.write(scale) }
}

/// The smallest and the largest element, both widened to hold 0, and whether all elements are finite.
#[inline(always)]
fn extremes<S: Isa>(s: S, row: &[f32]) -> (f32, f32, bool) {
    let zero = s.splat(0.0);
    let mut lanes = [[zero; 3]; 2];
    let include = |[low, high, probe]: [S::V; 3], x: S::V| {
        // x · 0 is NaN if x is NaN or infinite.
        [s.min(x, low), s.max(x, high), s.mul_add(x, zero, probe)]
    };
    // Two chains of each, since a row is short and every operation waits for the one before.
    let pairs = row.chunks_exact(2 * S::LANES);
    let rest = pairs.remainder();
    for pair in pairs {
        let (a, b) = pair.split_at(S::LANES);
        // SAFETY: both halves have `LANES` elements.
        lanes = unsafe { [include(lanes[0], s.load(a.as_ptr())), include(lanes[1], s.load(b.as_ptr()))] };
    }
    let vectors = rest.chunks_exact(S::LANES);
    let rest = vectors.remainder();
    for x in vectors {
        // SAFETY: the chunk has `LANES` elements.
        lanes[0] = include(lanes[0], unsafe { s.load(x.as_ptr()) });
    }
    let [[low, high, probe], [low2, high2, probe2]] = lanes;
    let (low, high) = (s.least(s.min(low, low2)), s.largest(s.max(high, high2)));
    // NaN stays NaN in a sum of lanes; 0 stays 0.
    let probe = s.add(probe, probe2);
    let mut probes = [0f32; 16];
    const { assert!(S::LANES <= 16) };
    // SAFETY: there are at least `LANES` elements.
    unsafe { s.store(probes.as_mut_ptr(), probe) };
    let finite = probes.iter().all(|&probe| probe == 0.0);
    rest.iter().fold((low, high, finite), |(low, high, finite), &x| {
        (if x < low { x } else { low }, if x > high { x } else { high }, finite && x.is_finite())
    })
}

/// `integers[k] = row[k] · inverse + offset`, rounded to an integer from 0 to 255. The product is rounded too, on every
/// instruction set.
#[inline(always)]
fn round<S: Isa>(s: S, row: &[f32], [inverse, offset]: [f32; 2], integers: &mut [u8]) {
    let of = |x| {
        let integer = s.add(s.mul(x, s.splat(inverse)), s.splat(offset));
        s.min(s.max(integer, s.splat(ROUND)), s.splat(ROUND + 255.0))
    };
    let vectors = row.chunks_exact(S::LANES);
    let rest = vectors.remainder();
    let (places, last) = integers.split_at_mut(row.len() - rest.len());
    for (x, to) in vectors.zip(places.chunks_exact_mut(S::LANES)) {
        // SAFETY: both chunks have `LANES` elements.
        unsafe { s.store_low_bytes(to.as_mut_ptr(), of(s.load(x.as_ptr()))) }
    }
    for (&x, to) in rest.iter().zip(last) {
        let integer = (x * inverse + offset).clamp(ROUND, ROUND + 255.0);
        *to = integer.to_bits() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::scalar::Scalar;
    use crate::isa::{Kernel, Variant};

    /// The scale and the integers of a row on one instruction set.
    fn quantized<S: Isa>(s: S, row: &[f32], zero_point: i32) -> (RowScale, Vec<u8>) {
        let mut bytes = vec![0u128; row_bytes(row.len()).unwrap() / 16];
        let start = bytes.as_mut_ptr().cast::<u8>();
        // SAFETY: there is room for the header and the integers, and u128 is aligned for the header.
        unsafe {
            quantize(s, row.as_ptr(), row.len(), start.add(HEADER), zero_point);
            let integers = core::slice::from_raw_parts(start.add(HEADER), row.len());
            (start.cast::<RowScale>().read(), integers.to_vec())
        }
    }

    fn rows() -> Vec<Vec<f32>> {
        let mut rows = vec![
            vec![],
            vec![0.0; 5],
            vec![-0.0, 0.0],
            vec![7.25; 33],
            vec![-1e30; 3],
            vec![f32::MAX, f32::MIN],
            vec![1e-32, -1e-40],
            vec![f32::from_bits(1); 40],
            vec![255.0 * SMALLEST_SCALE],
            vec![254.0 * SMALLEST_SCALE],
            vec![127.5, -127.5, 0.5, 1.5, 2.5],
        ];
        let mut state = 7u64;
        for count in [1, 3, 4, 5, 7, 8, 15, 16, 17, 31, 64, 65, 127, 128, 129, 257] {
            for range in [[-1.0f32, 1.0], [0.0, 6.0], [-3.0, -1.0], [-0.01, 1e6]] {
                let mut next = || {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 40) as f32 / (1u64 << 24) as f32
                };
                rows.push((0..count).map(|_| range[0] + (range[1] - range[0]) * next()).collect());
            }
        }
        rows
    }

    struct Same;

    impl Kernel for Same {
        type Output = ();

        fn run<S: Isa>(self, s: S) {
            for row in rows() {
                for zero_point in [0, -7, 128] {
                    assert_eq!(
                        quantized(s, &row, zero_point),
                        quantized(Scalar, &row, zero_point),
                        "{row:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_makes_the_same_integers() {
        Variant::available().for_each(|variant| variant.dispatch(Same));
    }

    #[test]
    fn an_element_is_half_a_scale_from_its_integer_at_most_and_zero_is_exact() {
        for row in rows() {
            let (RowScale { scale, zero_point, .. }, integers) = quantized(Scalar, &row, 0);
            let [low, high] = row.iter().fold([0f64; 2], |[a, b], &x| [a.min(x.into()), b.max(x.into())]);
            for (&x, integer) in row.iter().zip(integers) {
                let back = f64::from(scale) * f64::from(i32::from(integer) - zero_point);
                let bound = ((high - low) / 255.0 * 0.50002).max(255.0 * f64::from(SMALLEST_SCALE));
                assert!((back - f64::from(x)).abs() <= bound, "{x:e} became {back:e}");
                assert!(x != 0.0 || back == 0.0);
            }
        }
    }

    #[test]
    fn a_row_that_is_not_finite_has_the_scale_nan() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for count in [1, 4, 16, 17, 40] {
                for at in [0, count / 2, count - 1] {
                    let mut row = vec![0.5; count];
                    row[at] = bad;
                    let (scale, integers) = quantized(Scalar, &row, 3);
                    assert!(scale.scale.is_nan() && integers.iter().all(|&integer| integer == 0));
                }
            }
        }
    }
}
