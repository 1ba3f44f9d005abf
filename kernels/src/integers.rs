//! Weights of int8: the scale of a row of a gate, and the integers of its weights.

use crate::error::Error;

/// The scales of weights that are multiples of them: those of a model that was quantized before.
///
/// The integer of a weight is `weight / scale + zero point`. It is from -128 to 127.
#[derive(Clone, Copy, Debug)]
pub struct Scales<'a> {
    /// The scale of each row of W, `[G·H]`, in the order of W's rows.
    pub w: &'a [f32],
    /// The scale of each row of R, `[G·H]`, in the order of R's rows.
    pub r: &'a [f32],
    /// The integer of a W that is 0.
    pub w_zero_point: i32,
    /// The integer of an R that is 0.
    pub r_zero_point: i32,
}

/// The scale of one row of W or R, and the integer of 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The difference of two weights whose integers are neighbours.
    pub scale: f32,
    /// The integer of 0.
    pub zero_point: i32,
}

/// The largest integer of a weight whose scale is derived from its row.
const LARGEST: i32 = 127;

impl Scale {
    /// The scale with which the largest weight of a row becomes ±127. If that scale is below the normal numbers, it is
    /// 0, and all weights become 0. 127 times the scale is finite, also if the quotient was rounded up.
    pub(crate) fn of_row(row: impl Iterator<Item = f32>) -> Scale {
        let largest = row.fold(0f32, |largest, weight| largest.max(weight.abs()));
        let mut scale = largest / LARGEST as f32;
        if scale * LARGEST as f32 == f32::INFINITY {
            scale = f32::from_bits(scale.to_bits() - 1);
        }
        Scale { scale: if scale.is_normal() { scale } else { 0.0 }, zero_point: 0 }
    }

    /// The integer nearest to a weight, ties to even. If it is not an i8, it is some other integer that is not.
    pub fn integer(self, weight: f32) -> i32 {
        if self.scale == 0.0 {
            return self.zero_point.clamp(i8::MIN.into(), i8::MAX.into()); // any: its weight is 0
        }
        // Numbers of this size have no fraction: the sum is rounded to an integer.
        const ROUND: f32 = 1.5 * (1u32 << 23) as f32;
        let multiple = (weight / self.scale).clamp(-1e4, 1e4);
        ((multiple + ROUND) - ROUND) as i32 + self.zero_point
    }

    /// The weight of an integer.
    pub fn weight(self, integer: i32) -> f32 {
        self.scale * (integer - self.zero_point) as f32
    }

    /// Whether a weight is exactly that of its integer, and the integer is an i8.
    pub(crate) fn holds(self, weight: f32) -> bool {
        let integer = self.integer(weight);
        i8::try_from(integer).is_ok() && self.weight(integer) == weight
    }
}

/// Refuses rows of so many weights that a sum of their products could exceed an i32. A factor is at most 255; `zero_point`
/// is that of the weights, or `None` if they are at most 127.
pub(crate) fn check_terms(what: &'static str, terms: usize, zero_point: Option<i32>) -> Result<(), Error> {
    let largest = zero_point.map_or(LARGEST.unsigned_abs(), |zero| zero.unsigned_abs().saturating_add(128));
    let most = i32::MAX.unsigned_abs() / 255u32.saturating_mul(largest);
    match u32::try_from(terms) {
        Ok(terms) if terms <= most => Ok(()),
        _ => Err(Error::Terms { what, terms, most: most as usize }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weights_stay_finite() {
        for largest in [f32::MAX, f32::from_bits(f32::MAX.to_bits() - 1), 1.7e38] {
            let scale = Scale::of_row([0.5, -largest, 1e38].into_iter());
            assert_eq!(scale.integer(-largest), -LARGEST);
            assert!(scale.weight(LARGEST).is_finite() && scale.weight(-LARGEST).is_finite());
            assert_eq!(scale.integer(scale.weight(-LARGEST)), -LARGEST);
        }
    }

    #[test]
    fn the_largest_weight_of_a_row_becomes_127_and_zero_stays_zero() {
        let row = [0.5f32, -3.0, 0.0, 1e-9, 2.99];
        let scale = Scale::of_row(row.into_iter());
        assert_eq!(row.map(|weight| scale.integer(weight)), [21, -127, 0, 0, 127]);
        assert_eq!(scale.weight(-127), -3.0);
    }

    #[test]
    fn rows_of_zeros_and_of_numbers_below_the_normal_ones_become_zeros() {
        for largest in [0.0, f32::from_bits(1), f32::MIN_POSITIVE * 126.0] {
            let scale = Scale::of_row([largest, -largest].into_iter());
            assert_eq!([scale.integer(largest), scale.integer(-largest)], [0, 0], "{largest:e}");
        }
        let smallest = f32::MIN_POSITIVE * 127.0;
        assert_eq!(Scale::of_row([smallest].into_iter()).integer(smallest), 127);
        assert_eq!(Scale::of_row([f32::MAX].into_iter()).integer(-f32::MAX), -127);
    }

    #[test]
    fn a_given_scale_holds_its_multiples_alone() {
        let scale = Scale { scale: 0.3, zero_point: -3 };
        for integer in -128..=127 {
            let weight = scale.weight(integer);
            assert_eq!(scale.integer(weight), integer);
            assert!(scale.holds(weight) && !scale.holds(weight + 0.01));
        }
        assert!(!scale.holds(scale.weight(128)) && !scale.holds(scale.weight(-129)) && !scale.holds(3e38));
        let none = Scale { scale: 0.0, zero_point: 5 };
        assert!(none.holds(0.0) && !none.holds(1e-30) && none.integer(0.0) == 5);
    }

    #[test]
    fn sums_that_could_exceed_an_i32_are_refused() {
        assert!(check_terms("W", 66311, None).is_ok());
        assert_eq!(check_terms("W", 66312, None), Err(Error::Terms { what: "W", terms: 66312, most: 66311 }));
        assert!(66311u64 * 255 * 127 <= i32::MAX as u64 && 66312u64 * 255 * 127 > i32::MAX as u64);
        assert!(check_terms("R", 65793, Some(0)).is_ok() && check_terms("R", 65794, Some(0)).is_err());
        assert!(check_terms("R", 1, Some(i32::MIN)).is_err() && check_terms("R", usize::MAX, None).is_err());
    }
}
