//! Compares every operation of every instruction set with the scalar one, lane by lane: with subnormals, and flushing
//! them.

use super::flushing::Flushing;
use super::ops::{Dot, Isa, Kernel};
use super::scalar::Scalar;
use super::variant::Variant;
use crate::environment;
use crate::subnormals::Subnormals;
use crate::weight_type::{bf16_to_f32, f16_to_f32};
use core::hint::black_box;

/// Both zeros, numbers near one, the ends of the subnormals and of all numbers, infinities, quiet and signalling NaN.
fn special() -> Vec<f32> {
    let positive = [
        0x0000_0000,
        0x0000_0001,
        0x0000_1234,
        0x007f_ffff,
        0x0080_0000,
        0x3e80_0000,
        0x3f7f_ffff,
        0x3f80_0000,
        0x3f80_0001,
        0x4b40_007f,
        0x7f00_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7f80_0001,
        0x7fc0_0000,
    ];
    positive.into_iter().flat_map(|bits: u32| [bits, bits | 1 << 31]).map(f32::from_bits).collect()
}

/// All triples of special values, and triples of random bits.
fn arguments() -> Vec<[f32; 3]> {
    let special = special();
    let pairs = special.iter().flat_map(|&a| special.iter().map(move |&b| (a, b)));
    let mut triples: Vec<[f32; 3]> =
        pairs.flat_map(|(a, b)| special.iter().map(move |&c| [a, b, c])).collect();
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        f32::from_bits((state >> 32) as u32)
    };
    triples.extend((0..30_000).map(|_| [random(), random(), random()]));
    triples
}

/// Triples whose sums, products and quotients lie around the smallest normal number, and around the limits of what
/// counts as tiny.
fn near_the_smallest_normal_number() -> Vec<[f32; 3]> {
    let mut state = 1u64;
    let mut random = |bits: u32| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as u32 & ((1 << bits) - 1)
    };
    let near = |exponent: i32, offset: u32, below: bool| {
        let one = f32::from_bits(((127 + exponent) as u32) << 23);
        f32::from_bits(if below { one.to_bits() - offset } else { one.to_bits() + offset })
    };
    let mut triples = Vec::new();
    for _ in 0..20_000 {
        let split = random(6) as i32 + 31;
        let (m, n) = (random(12), random(12));
        let (a, b) = (near(-split, m, false), near(split - 126, 2 * m, true));
        let c = f32::from_bits(random(3) << 22 | random(2) << 31 | random(4));
        triples.push([a, b, [0.0, -0.0, c, near(-126, n, false)][random(2) as usize]]);
        // A difference of two numbers around 2^-126, and 2^-126 less about 2^-151.
        triples.push([near(-126, m, true), near(0, n, true), -near(-126, random(23), false)]);
        triples.push([near(-75, m, false), -near(-76, n, m % 2 == 0), near(-126, n % 2, false)]);
    }
    triples
}

/// The operand that `min` or `max` chose. If subnormals are flushed it may be one or not, which no later operation can
/// tell. The product makes it zero.
fn flushed<S: Isa, R: Isa>(_: R, s: S, chosen: S::V) -> S::V {
    if R::NAME == Flushing::NAME { s.mul(chosen, s.splat(black_box(1.0))) } else { chosen }
}

/// Vectors of arguments, one lane for each, and the operations of one lane that they are compared with.
struct Compare<'a, R> {
    triples: &'a [[f32; 3]],
    right: R,
}

impl<R: Isa<V = f32>> Compare<'_, R> {
    /// A multiply-add that rounds as the instruction set does.
    fn mul_add<S: Isa>(&self, a: f32, b: f32, c: f32) -> f32 {
        let right = self.right;
        if S::FUSED { right.mul_add(a, b, c) } else { right.add(right.mul(a, b), c) }
    }
}

impl<R: Isa<V = f32>> Kernel for Compare<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, s: S) {
        let right = self.right;
        for triples in self.triples.chunks_exact(S::LANES) {
            // Start at the second element, so that the vectors are not aligned.
            let column = |i: usize| -> Vec<f32> {
                [0.0].into_iter().chain(triples.iter().map(|triple| triple[i])).collect()
            };
            let columns = [0, 1, 2].map(column);
            // SAFETY: LANES f32 follow the first element.
            let [a, b, c] = columns.each_ref().map(|column| unsafe { s.load(column[1..].as_ptr()) });
            let compare = Lanes { s, triples };
            compare.bits("load, store", a, |[a, _, _]| a);
            compare.bits("splat", s.splat(triples[0][0]), |_| triples[0][0]);
            compare.bits("shl_23", s.shl_23(a), |[a, _, _]| Scalar.shl_23(a));
            compare.values("add", s.add(a, b), |[a, b, _]| right.add(a, b));
            compare.values("sub", s.sub(a, b), |[a, b, _]| right.sub(a, b));
            compare.values("mul", s.mul(a, b), |[a, b, _]| right.mul(a, b));
            compare.values("div", s.div(a, b), |[a, b, _]| right.div(a, b));
            compare.values("min", flushed(right, s, s.min(a, b)), |[a, b, _]| right.min(a, b));
            compare.values("max", flushed(right, s, s.max(a, b)), |[a, b, _]| right.max(a, b));
            compare.values("mul_add", s.mul_add(a, b, c), |[a, b, c]| self.mul_add::<S>(a, b, c));
        }
    }
}

/// Compares the lanes of results with the results of one lane.
struct Lanes<'a, S> {
    s: S,
    triples: &'a [[f32; 3]],
}

impl<S: Isa> Lanes<'_, S> {
    /// Expects equal bits, also of NaN. It is for operations that only move data.
    fn bits(&self, name: &str, got: S::V, scalar: impl Fn([f32; 3]) -> f32) {
        self.each(name, got, scalar, |got, expected| got.to_bits() == expected.to_bits());
    }

    /// Expects equal bits, or NaN on both sides, since the payload of a NaN is not specified.
    fn values(&self, name: &str, got: S::V, scalar: impl Fn([f32; 3]) -> f32) {
        let same = |got: f32, expected: f32| {
            got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan()
        };
        self.each(name, got, scalar, same);
    }

    fn each(&self, name: &str, got: S::V, scalar: impl Fn([f32; 3]) -> f32, same: impl Fn(f32, f32) -> bool) {
        // A store must not touch the elements next to the vector.
        let mut lanes = vec![7.0f32; S::LANES + 2];
        // SAFETY: LANES f32 follow the first element.
        unsafe { self.s.store(lanes[1..].as_mut_ptr(), got) };
        assert_eq!([lanes[0], lanes[S::LANES + 1]], [7.0; 2], "{} of {name} writes beside it", S::NAME);
        for (&got, &triple) in lanes[1..].iter().zip(self.triples) {
            // The right result is computed as the rule says it, not by the CPU's own way to flush.
            let expected = environment::within(Subnormals::Keep, || scalar(black_box(triple)));
            assert!(
                same(got, expected),
                "{} {name} of {triple:?} ({:x?}) is {got} ({:x}), expected {expected} ({:x})",
                S::NAME,
                triple.map(f32::to_bits),
                got.to_bits(),
                expected.to_bits(),
            );
        }
    }
}

/// All arguments. Every lane count divides their number, so all are tested.
fn all_arguments() -> Vec<[f32; 3]> {
    let mut all = [arguments(), near_the_smallest_normal_number()].concat();
    while !all.len().is_multiple_of(64) {
        all.push([1.0; 3]);
    }
    all
}

#[test]
fn every_operation_of_every_variant_is_the_scalar_one_in_each_lane() {
    for variant in Variant::available() {
        variant.dispatch(Compare { triples: &all_arguments(), right: Scalar });
    }
}

#[test]
fn every_operation_of_every_variant_flushes_by_the_rule() {
    for variant in Variant::available() {
        let compare = Compare { triples: &all_arguments(), right: Flushing };
        environment::within(Subnormals::Flush, || variant.dispatch(compare));
    }
}

/// The operations on integers, and both kinds of dot products, on some bytes.
struct Integers<'a>(&'a [u8]);

impl Integers<'_> {
    /// Compares a kind of dot products with plain integers.
    fn dots<S: Isa, D: Dot<S, Weight = i8, Factor = u8, Sums = S::I>>(&self, s: S, sums: S::I) {
        if !D::detect() {
            return;
        }
        for (factors, weights) in self.0.chunks_exact(4).zip(self.0.rchunks_exact(4 * S::LANES)) {
            // SAFETY: the CPU has these dot products, and the chunks have as many numbers as are read.
            let got = unsafe {
                D::dot(s, sums, D::broadcast(s, factors.as_ptr()), D::load(s, weights.as_ptr().cast()))
            };
            let products = |lane: usize| {
                let weights = weights[4 * lane..][..4].iter().map(|&w| i32::from(w as i8));
                factors.iter().zip(weights).map(|(&a, w)| i32::from(a) * w).sum::<i32>()
            };
            // The numbers are small enough for f32.
            lanes(s, s.to_f32(s.sub_i32(got, sums)), |lane| products(lane) as f32);
        }
    }
}

/// Expects the lanes to be these numbers.
fn lanes<S: Isa>(s: S, got: S::V, right: impl Fn(usize) -> f32) {
    let mut lanes = vec![0.0f32; S::LANES];
    // SAFETY: there are LANES f32.
    unsafe { s.store(lanes.as_mut_ptr(), got) };
    let right: Vec<f32> = (0..S::LANES).map(right).collect();
    assert_eq!(lanes, right, "{}", S::NAME);
}

impl Kernel for Integers<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, s: S) {
        let integers: Vec<i32> =
            self.0.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        for integers in integers.chunks_exact(S::LANES) {
            // SAFETY: the chunk has LANES integers.
            let a = unsafe { s.load_i32(integers.as_ptr()) };
            lanes(s, s.to_f32(a), |lane| integers[lane] as f32);
            let product = |lane: usize| integers[lane].wrapping_mul(integers[0]);
            lanes(s, s.to_f32(s.mul_i32(a, s.splat_i32(integers[0]))), |lane| product(lane) as f32);
            let difference = |lane: usize| integers[lane].wrapping_sub(integers[0]);
            lanes(s, s.to_f32(s.sub_i32(a, s.splat_i32(integers[0]))), |lane| difference(lane) as f32);
            // A sum may pass the largest i32 on its way.
            for start in [0, i32::MAX - 5, i32::MIN] {
                self.dots::<S, S::Widened>(s, s.splat_i32(start));
                self.dots::<S, S::Vnni>(s, s.splat_i32(start));
            }
            let floats: Vec<f32> = integers.iter().map(|&x| f32::from_bits(x as u32)).collect();
            let mut bytes = vec![7u8; S::LANES + 1];
            // SAFETY: there are LANES f32 and as many bytes.
            unsafe { s.store_low_bytes(bytes.as_mut_ptr(), s.load(floats.as_ptr())) };
            let right = integers.iter().map(|&x| x as u8).chain([7]);
            assert!(bytes.iter().copied().eq(right), "{}", S::NAME);
        }
    }
}

#[test]
fn operations_on_integers_are_those_of_one_lane_and_dot_products_are_exact() {
    let extremes = [0, 1, 127, 128, 129, 254, 255];
    let mut state = 1u32;
    let mut bytes: Vec<u8> =
        extremes.iter().flat_map(|&a| extremes.map(|b| [a, b, a, b])).flatten().collect();
    bytes.extend([255; 64].into_iter().chain([128; 64]));
    bytes.extend((0..2048).map(|_| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as u8
    }));
    for variant in Variant::available() {
        variant.dispatch(Integers(&bytes));
    }
}

/// All numbers of 16 bits, which are loaded and widened.
struct Widen<'a>(&'a [u16]);

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, s: S) {
        let mut lanes = vec![0.0f32; S::LANES];
        for pairs in self.0[1..].chunks_exact(2 * S::LANES) {
            for k in 0..2 {
                // SAFETY: the chunk has LANES pairs, and `lanes` has LANES numbers.
                unsafe { s.store(lanes.as_mut_ptr(), s.load_pairs(pairs.as_ptr())[k]) };
                let right = pairs.iter().skip(k).step_by(2).map(|&x| bf16_to_f32(x).to_bits());
                assert!(lanes.iter().map(|x| x.to_bits()).eq(right), "{}: {k} of {pairs:x?}", S::NAME);
            }
        }
        // Start at the second element, so that the vectors are not aligned.
        for narrow in self.0[1..].chunks_exact(S::LANES) {
            if narrow.iter().any(|x| x & 0x7c00 == 0x7c00 && x & 0x3ff != 0) {
                continue; // NaN, which a weight is not
            }
            // SAFETY: the chunk has LANES numbers, and so has `lanes`.
            unsafe { s.store(lanes.as_mut_ptr(), s.load_f16(narrow.as_ptr())) };
            let right = narrow.iter().map(|&x| f16_to_f32(x).to_bits());
            assert!(lanes.iter().map(|x| x.to_bits()).eq(right), "{}: f16 {narrow:x?} is {lanes:?}", S::NAME);
        }
    }
}

#[test]
fn numbers_of_16_bits_are_widened_exactly_whether_subnormals_are_flushed_or_not() {
    let all: Vec<u16> = [0].into_iter().chain(0..=u16::MAX).collect();
    for variant in Variant::available() {
        for subnormals in [Subnormals::Keep, Subnormals::Flush] {
            environment::within(subnormals, || variant.dispatch(Widen(&all)));
        }
    }
}

#[test]
fn lanes_are_at_most_what_arguments_are_padded_to() {
    assert!(Variant::available().all(|variant| 64usize.is_multiple_of(variant.lanes())));
}

#[test]
fn the_scalar_operations_mean_what_the_trait_says() {
    let (s, nan) = (Scalar, f32::NAN);
    assert!(s.min(1.0, nan).is_nan() && s.max(1.0, nan).is_nan());
    assert_eq!((s.min(nan, 1.0), s.max(nan, 1.0)), (1.0, 1.0));
    assert_eq!((s.min(2.0, 1.0), s.max(2.0, 1.0)), (1.0, 2.0));
    // For equal operands the result is the second, which the sign of zero shows.
    assert!(s.min(0.0, -0.0).is_sign_negative() && s.max(-0.0, 0.0).is_sign_positive());
    assert_eq!(s.shl_23(f32::from_bits(127)), 1.0);
    // (1 + ε)² - (1 + 2ε) = ε². A rounded product loses it.
    let x = 1.0 + f32::EPSILON;
    assert_eq!(s.mul_add(x, x, -(1.0 + 2.0 * f32::EPSILON)), f32::EPSILON * f32::EPSILON);
    assert_eq!((s.add(1.0, 2.0), s.sub(1.0, 2.0), s.mul(3.0, 2.0), s.div(3.0, 2.0)), (3.0, -1.0, 6.0, 1.5));
}

/// Prefetches addresses that nothing owns.
struct PrefetchAnything;

impl Kernel for PrefetchAnything {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, s: S) {
        for address in [0, 1, 0xfff, 1 << 20, usize::MAX] {
            s.prefetch(core::ptr::without_provenance(address));
        }
    }
}

#[test]
fn prefetching_takes_any_address() {
    Variant::available().for_each(|variant| variant.dispatch(PrefetchAnything));
}
