//! The types in which the weights W and R are stored.

/// The type in which W and R are stored. Biases, peepholes and states are f32 in every case.
///
/// A weight of 16 bits is rounded to its type when it is packed, to the nearest number, ties to even. In registers it is
/// widened to f32, which is exact. So such a layer has the bits of an f32 layer whose weights were rounded before, and the
/// determinism contract holds for it as it stands.
///
/// The contract holds for [`WeightType::I8`] too: its sums are integers, which are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightType {
    /// 4 bytes.
    #[default]
    F32,
    /// 2 bytes: 8 bits of exponent as f32, 8 significant bits.
    Bf16,
    /// 2 bytes: 5 bits of exponent, 11 significant bits. The largest number is 65504. Numbers below 2^-14 have fewer
    /// significant bits, and those below 2^-25 become zero.
    F16,
    /// 1 byte: an integer. Each row of a gate has a scale, and a weight is its integer times the scale. The rows of x and h
    /// become integers of 8 bits too, at every step and each with its own scale: [`Weights::with_type`] says how. Sums of
    /// products are integers of 32 bits, and become f32 with their scales.
    ///
    /// [`Weights::with_type`]: crate::Weights::with_type
    I8,
    /// 2 bytes, as [`WeightType::Bf16`]; rows of x and h are rounded to bf16 too. The products are added in pairs by an
    /// instruction for that (AVX-512 BF16), or by f32 multiply-adds. This is *outside of the determinism contract*: results
    /// differ in their last bits from one instruction set to another, and the instruction takes subnormal numbers for zero.
    /// It is for batches, where the arithmetic limits the speed.
    Bf16Dot,
}

/// The instructions that add the products of int8 weights. All give the same integers, so results do not depend on them.
/// [`WeightType::Bf16Dot`] uses the tiles of AMX too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dots {
    /// Multiply-adds of integers of 16 bits. Every CPU has them.
    Widened,
    /// AVX-512 VNNI or AVX-VNNI, according to the variant.
    Vnni,
    /// The tiles of AMX, for 4 batch rows and more; [`Dots::Vnni`] for fewer. It needs Linux, which must permit their use: the
    /// first layer of int8 or of pairs of bf16 on a CPU with AMX asks for it. The permission is the process's from then on, and
    /// threads then need alternative signal stacks that hold the tiles (`MINSIGSTKSZ` of `getauxval` tells). It never ran on
    /// hardware: the tests emulate the instructions.
    Amx,
}

impl WeightType {
    /// Every type.
    pub const ALL: [WeightType; 5] =
        [WeightType::F32, WeightType::Bf16, WeightType::F16, WeightType::I8, WeightType::Bf16Dot];

    /// Whether the determinism contract holds: equal bits on every instruction set with fused multiply-adds.
    pub const fn keeps_contract(self) -> bool {
        !matches!(self, WeightType::Bf16Dot)
    }

    /// The name: `f32`, `bf16`, `f16`, `int8` or `bf16-dot`.
    pub const fn name(self) -> &'static str {
        match self {
            WeightType::F32 => "f32",
            WeightType::Bf16 => "bf16",
            WeightType::F16 => "f16",
            WeightType::I8 => "int8",
            WeightType::Bf16Dot => "bf16-dot",
        }
    }

    /// The type with this name.
    pub fn by_name(name: &str) -> Option<WeightType> {
        WeightType::ALL.into_iter().find(|weights| weights.name() == name)
    }

    /// The bytes of a weight.
    pub const fn bytes(self) -> usize {
        match self {
            WeightType::F32 => 4,
            WeightType::Bf16 | WeightType::F16 | WeightType::Bf16Dot => 2,
            WeightType::I8 => 1,
        }
    }

    /// The number of consecutive k that are stored next to each other in a panel: as many as one multiply-accumulate takes, or
    /// as many bf16 as f32 have room for.
    pub const fn group(self) -> usize {
        match self {
            WeightType::F32 | WeightType::F16 => 1,
            WeightType::Bf16 | WeightType::Bf16Dot => 2,
            WeightType::I8 => 4,
        }
    }

    /// A finite weight, rounded to this type. What becomes of it as an int8 depends on the scale of its row, so that type
    /// returns it as it is.
    pub fn rounded(self, weight: f32) -> f32 {
        match self {
            WeightType::F32 | WeightType::I8 => weight,
            WeightType::Bf16 | WeightType::Bf16Dot => bf16_to_f32(f32_to_bf16(weight)),
            WeightType::F16 => f16_to_f32(f32_to_f16(weight)),
        }
    }
}

/// A finite number as bf16: the upper half of its bits, rounded to the nearest, ties to even.
#[inline(always)]
pub(crate) fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    // Half of the last place, or just less than half if the last bit that stays is 0. A carry goes into the exponent.
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (rounded >> 16) as u16
}

/// Any number as bf16, like [`f32_to_bf16`]; NaN stays NaN.
#[inline(always)]
pub(crate) fn any_f32_to_bf16(x: f32) -> u16 {
    if x.is_nan() { 0x7fc0 } else { f32_to_bf16(x) }
}

pub(crate) fn bf16_to_f32(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// A finite number as f16, rounded to the nearest, ties to even.
pub(crate) fn f32_to_f16(x: f32) -> u16 {
    let (sign, magnitude) = ((x.to_bits() >> 16 & 0x8000) as u16, x.to_bits() & 0x7fff_ffff);
    /// 2^-14, the smallest normal f16, as an f32.
    const SMALLEST_NORMAL: u32 = (127 - 14) << 23;
    /// 65520 and more round to 2^16, which is infinite.
    const TOO_LARGE: u32 = 0x477f_f000;
    let bits = if magnitude >= TOO_LARGE {
        0x7c00
    } else if magnitude >= SMALLEST_NORMAL {
        // As for bf16, with 13 bits less of the significand. The exponent's bias falls from 127 to 15.
        let rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
        (rounded >> 13) - ((127 - 15) << 10)
    } else {
        // A multiple of 2^-24: an integer that the significand of 2^-1 + x holds in its last places.
        let half = f32::from_bits(126 << 23);
        (f32::from_bits(magnitude) + half).to_bits() - half.to_bits()
    };
    sign | bits as u16
}

/// An f16 that is not NaN, exactly. It takes no multiplication of subnormal f32, so it does not depend on the floating-point
/// environment.
pub(crate) fn f16_to_f32(x: u16) -> f32 {
    let (sign, magnitude) = (u32::from(x & 0x8000) << 16, u32::from(x & 0x7fff));
    let exponent = magnitude >> 10;
    let bits = match exponent {
        // An integer times 2^-24.
        0 => (magnitude as f32 * f32::from_bits((127 - 24) << 23)).to_bits(),
        0x1f => 0x7f80_0000,
        _ => (magnitude << 13) + ((127 - 15) << 23),
    };
    f32::from_bits(sign | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_narrow_number_survives_the_way_to_f32_and_back() {
        for bits in 0..=u16::MAX {
            let wide = bf16_to_f32(bits);
            if wide.is_finite() {
                assert_eq!(f32_to_bf16(wide), bits);
            }
            if bits & 0x7c00 != 0x7c00 {
                assert_eq!(f32_to_f16(f16_to_f32(bits)), bits, "{bits:x}");
            }
        }
        assert_eq!(
            [0x3c00, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x7c00].map(f16_to_f32),
            [1.0, 2f32.powi(-24), 1023.0 * 2f32.powi(-24), 2f32.powi(-14), 65504.0, f32::INFINITY]
        );
    }

    /// The narrow number next to `x`, found by comparing distances; of two, the one with an even last bit.
    fn nearest(x: f32, widen: fn(u16) -> f32) -> f32 {
        let of = |bits: u16| f64::from(widen(bits));
        let magnitude = f64::from(x.abs());
        // Positive narrow numbers are in the order of their bits.
        let (mut low, mut high) = (0u16, 0x7fff);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if of(middle) <= magnitude { low = middle } else { high = middle }
        }
        let (below, above) = (magnitude - of(low), of(high) - magnitude);
        let up = above < below || above == below && low % 2 == 1;
        widen(if up { high } else { low }).copysign(x)
    }

    #[test]
    fn weights_are_rounded_to_the_nearest_number_of_their_type() {
        let mut state = 1u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let x = f32::from_bits((state >> 32) as u32);
            // Numbers of all sizes, and ties.
            for x in [x, f32::from_bits(x.to_bits() & 0xffff_8000), f32::from_bits(x.to_bits() & 0xffff_f000)]
            {
                if x.is_finite() && x.abs() < 3e38 {
                    let rounded = WeightType::Bf16.rounded(x);
                    assert_eq!(rounded.to_bits(), nearest(x, bf16_to_f32).to_bits(), "{x:e}");
                }
                if x.abs() < 65504.0 {
                    let rounded = WeightType::F16.rounded(x);
                    assert_eq!(rounded.to_bits(), nearest(x, f16_to_f32).to_bits(), "{x:e}");
                }
            }
        }
    }

    #[test]
    fn numbers_beyond_the_type_become_infinite() {
        let infinite = |weights: WeightType, x: f32| weights.rounded(x).is_infinite();
        assert!(!infinite(WeightType::F16, 65519.9) && infinite(WeightType::F16, -65520.0));
        assert!(!infinite(WeightType::Bf16, 3.38e38) && infinite(WeightType::Bf16, f32::MAX));
        assert!(!infinite(WeightType::F32, f32::MAX));
    }
}
