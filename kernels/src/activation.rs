//! Sigmoid and hyperbolic tangent in f32, at most 2 ULP off over all finite arguments.
//!
//! Both are short straight lines of [`Isa`](crate::isa) operations, so every variant that fuses multiply-adds
//! gives the same bits. Both are quotients with one division, and [`sigmoid_times_tanh`] joins two quotients
//! into one. The coefficients are printed by `docs/fit_activations.py`, the bounds are measured over every f32
//! by `cargo run --release -p rnnpack-kernels --example exhaustive_activations`.
//!
//! # Range reduction
//!
//! With `b = tanh(r/2)` an exponential is `e^r = (1 + b) / (1 - b)`. `b` is odd in `r`, so three coefficients do
//! where a polynomial for `e^r` needs seven, and since both functions divide anyway, the denominator is free.
//!
//! The nearest integer `n` to `x / ln2` comes from adding `MAGIC = 1.5 * 2^23 + offset`: floats of that size are
//! the integers, so the sum `m` is `MAGIC + n`, rounded to nearest even. The low 9 bits of `m` are `offset + n`:
//! shifted left by 23 they are the exponent field of `s = 2^(offset + n - 127)`. No integer conversion is needed.
//!
//! # Sigmoid
//!
//! ```text
//! σ(x) = 1 / (1 + e^-x)      -x = n·ln2 + r,  |r| ≤ ln2/2      b = tanh(r/2) ≈ r·(S0 + S1·r² + S2·r⁴)
//!      = (1 - b) / ((1 - b) + 2^n·(1 + b))
//! ```
//!
//! - `n·ln2` is subtracted in two parts; the first is exact (15 bits times at most 8), even where multiply-adds
//!   are not fused.
//! - Numerator and denominator carry the factor `2^-52`: `n` goes up to 150, where the result is the smallest
//!   subnormal; `2^(n-52)` is finite with room to spare. Everything before the division is normal, so
//!   subnormal results are rounded once, by the division.
//! - Both also carry the factor 1.6875, in the coefficients. It puts `1 + b` and `1 - b`, which are in
//!   0.83..1.17, into 1.40..1.98: near the upper end of a binade, where half a unit in the last place is
//!   relatively small. As `1 + b` is below 2, `2 - (1 + b)` is exact.
//! - The clamps: at -104 (n = 150) and below, σ is less than half of the smallest subnormal and becomes 0; at 18
//!   and above it is 1 to within 2^-25 and becomes 1.
//!
//! Budget in ULP of the result, at worst: rounding of `1 + b` 1.2 (it counts in both terms), of the denominator
//! up to 1 where 1.2 is out of reach, of the quotient 0.5, `r`, inner coefficients and fit 0.3. Measured: see
//! [`SIGMOID_MAX_ULP`].
//!
//! # Tanh
//!
//! ```text
//! tanh(x) = (E - 1) / (E + 1),  E = e^2x      x = n·ln2/2 + r,  |r| ≤ ln2/4      b = tanh(r) ≈ r + r³·(T0 + T1·r²)
//!         = ((s - 1) + (s + 1)·b) / ((s + 1) + (s - 1)·b),  s = 2^n
//! ```
//!
//! - This is the addition formula for `tanh(n·ln2/2 + r)`; with `n = 0` it is `2·b / 2`: small arguments
//!   keep their relative precision, and subnormal ones are returned as they are.
//! - `s ± 1` is exact up to `n = 24`. As `|b| < 1`, the numerator never exceeds the denominator, and rounding is
//!   monotonic: no result exceeds 1.
//! - `s - 1` is computed as `-(1 - s)`: at `s = 1` that is `-0`, which leaves the sign of a zero argument alone,
//!   and compilers turn the negation into the signs of the two multiply-adds.
//! - The clamps: from 9 on (n = 26) `s ± 1` is `s` and the result 1, which is also where tanh(x) rounds to
//!   1 to within one ULP (tanh(9) = 1 - 0.51·2^-24).
//!
//! Budget in ULP: numerator 1, denominator 1, quotient 0.5 where the result is just below 1, and less elsewhere.
//!
//! # The product
//!
//! `σ(x)·tanh(y)` as `(num·num) / (den·den)` saves one of two divisions. The denominators are in
//! `[2^-53, 2^100)` and `[0.8, 2^26.3)`, so their product is normal. The numerator `2^-52·…·2·tanh(r)` becomes
//! subnormal where `|y| < 2^-74`; there the product is only good to an absolute `2^-97`, elsewhere to
//! [`SIGMOID_TIMES_TANH_MAX_ULP`].
//!
//! # Special values
//!
//! `min` and `max` return their second operand if one is NaN, and the argument is always second: NaN stays NaN.

use crate::isa::Isa;
use crate::isa::scalar::Scalar;

/// The largest distance of [`sigmoid`] from the correctly rounded result, in f32 steps, over all finite arguments.
pub const SIGMOID_MAX_ULP: u32 = 2;
/// The largest distance of [`tanh`] from the correctly rounded result, in f32 steps, over all finite arguments.
pub const TANH_MAX_ULP: u32 = 2;

// What follows is printed by docs/fit_activations.py; decimals are the shortest that read back as these bits.
const LOG2_E: f32 = 1.442695; // 0x3fb8aa3b
const LN2_HI: f32 = 0.69314575; // 0x3f317200
const LN2_LO: f32 = 1.4286068e-06; // 0x35bfbe8e
const HALF_LN2: f32 = 0.3465736; // 0x3eb17218
