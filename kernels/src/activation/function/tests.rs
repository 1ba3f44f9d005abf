//! Tests the results of every activation on every variant.

use super::Activation::{self, *};
use crate::activation::{SIGMOID_MAX_ULP, TANH_MAX_ULP};
use crate::isa::Variant;

const NAMES: [&str; 11] = [
    "Relu",
    "Tanh",
    "Sigmoid",
    "Affine",
    "LeakyRelu",
    "ThresholdedRelu",
    "ScaledTanh",
    "HardSigmoid",
    "Elu",
    "Softsign",
    "Softplus",
];

/// Every activation, with ONNX's parameters and with others of either sign.
fn all() -> impl Iterator<Item = Activation> {
    let parameters = [(None, None), (Some(-1.75), Some(0.3)), (Some(0.4), Some(-2.5))];
    NAMES.into_iter().flat_map(move |name| {
        let activation = Activation::by_name(name).unwrap();
        parameters.into_iter().map(move |(alpha, beta)| activation.with_parameters(alpha, beta))
    })
}

/// Every 7013th f32, from both zeros to both NaNs, and the limits of the subnormals and of the normal numbers, infinity
/// and NaN with either sign.
fn sample() -> Vec<f32> {
    let ends = [1, 0x7f_ffff, 0x80_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000];
    let ends = ends.into_iter().flat_map(|bits| [bits, bits | 1 << 31]);
    (0..=u32::MAX).step_by(7013).chain(ends).map(f32::from_bits).collect()
}

/// Whether both have equal bits, or both are NaN.
fn agree(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

#[test]
fn names_are_found_in_any_case() {
    for name in NAMES {
        let activation = Activation::by_name(name).unwrap();
        assert_eq!(activation.name(), name);
        assert_eq!(Activation::by_name(&name.to_lowercase()), Some(activation));
        assert_eq!(Activation::by_name(&name.to_uppercase()), Some(activation));
    }
    for name in ["", "Tanh ", "Swish", "Sigmoid\0", "HardSwish"] {
        assert_eq!(Activation::by_name(name), None, "{name:?}");
    }
}

#[test]
fn names_alone_stand_for_the_parameters_of_onnx() {
    let parameters = |name| Activation::by_name(name).unwrap().parameters();
    assert_eq!(parameters("Affine"), (Some(1.0), Some(0.0)));
    assert_eq!(parameters("LeakyRelu"), (Some(0.01), None));
    assert_eq!(parameters("ThresholdedRelu"), (Some(1.0), None));
    assert_eq!(parameters("ScaledTanh"), (Some(1.0), Some(1.0)));
    assert_eq!(parameters("HardSigmoid"), (Some(0.2), Some(0.5)));
    assert_eq!(parameters("Elu"), (Some(1.0), None));
    for name in ["Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"] {
        assert_eq!(parameters(name), (None, None), "{name}");
    }
}

#[test]
fn parameters_change_where_the_function_has_them() {
    for name in NAMES {
        let activation = Activation::by_name(name).unwrap();
        let (alpha, beta) = activation.parameters();
        assert_eq!(activation.with_parameters(None, None), activation);
        let changed = activation.with_parameters(Some(7.0), None);
        assert_eq!((changed.name(), changed.parameters()), (name, (alpha.and(Some(7.0)), beta)));
        let changed = activation.with_parameters(None, Some(-7.0));
        assert_eq!((changed.name(), changed.parameters()), (name, (alpha, beta.and(Some(-7.0)))));
    }
}

#[test]
fn displays_name_and_parameters() {
    assert_eq!(Softsign.to_string(), "Softsign");
    assert_eq!(LeakyRelu { alpha: 0.25 }.to_string(), "LeakyRelu(0.25)");
    assert_eq!(Affine { alpha: -1.0, beta: 0.5 }.to_string(), "Affine(-1, 0.5)");
}

/// Checks the result in f32 on every variant, and in f64. The values must be exact in both.
fn holds(activation: Activation, x: f32, expected: f32) {
    assert_eq!(activation.eval(x), expected, "{activation} at {x}");
    assert_eq!(activation.eval64(x.into()), f64::from(expected), "{activation} at {x}, in f64");
    for variant in Variant::available() {
        let mut values = [x];
        activation.eval_slice(variant, &mut values);
        assert_eq!(values, [expected], "{activation} at {x}, on {variant}");
    }
}

#[test]
fn zero_and_infinity_give_what_the_definitions_say() {
    const INF: f32 = f32::INFINITY;
    let at_minus_infinity_zero_and_infinity = [
        ("Relu", [0.0, 0.0, INF]),
        ("Tanh", [-1.0, 0.0, 1.0]),
        ("Sigmoid", [0.0, 0.5, 1.0]),
        ("Affine", [-INF, 0.0, INF]),
        ("LeakyRelu", [-INF, 0.0, INF]),
        ("ThresholdedRelu", [0.0, 0.0, INF]),
        ("ScaledTanh", [-1.0, 0.0, 1.0]),
        ("HardSigmoid", [0.0, 0.5, 1.0]),
        ("Elu", [-1.0, 0.0, INF]),
        ("Softsign", [-1.0, 0.0, 1.0]),
    ];
    for (name, [low, zero, high]) in at_minus_infinity_zero_and_infinity {
        let activation = Activation::by_name(name).unwrap();
        for (x, expected) in [(-INF, low), (-0.0, zero), (0.0, zero), (INF, high)] {
            holds(activation, x, expected);
        }
    }
    holds(Softplus, -INF, 0.0);
    holds(Softplus, INF, INF);
    assert_eq!(Softplus.eval(0.0), core::f32::consts::LN_2);
}

#[test]
fn parameters_enter_as_the_definitions_say() {
    const INF: f32 = f32::INFINITY;
    holds(Affine { alpha: -2.0, beta: 0.5 }, 3.0, -5.5);
    holds(LeakyRelu { alpha: -0.5 }, -4.0, 2.0);
    holds(LeakyRelu { alpha: -0.5 }, 4.0, 4.0);
    holds(ThresholdedRelu { alpha: 2.0 }, 2.0, 2.0);
    holds(ThresholdedRelu { alpha: 2.0 }, 2.0f32.next_down(), 0.0);
    holds(ThresholdedRelu { alpha: -1.0 }, -1.0, -1.0);
    holds(ThresholdedRelu { alpha: -1.0 }, -1.5, 0.0);
    holds(ScaledTanh { alpha: -3.0, beta: 0.5 }, INF, -3.0);
    holds(ScaledTanh { alpha: 3.0, beta: -0.5 }, INF, -3.0);
    holds(HardSigmoid { alpha: 0.5, beta: 0.25 }, 1.0, 0.75);
    holds(HardSigmoid { alpha: -0.5, beta: 0.25 }, 1.0, 0.0);
    holds(HardSigmoid { alpha: -0.5, beta: 0.25 }, -2.0, 1.0);
    holds(Elu { alpha: 2.0 }, -INF, -2.0);
    holds(Elu { alpha: -2.0 }, -INF, 2.0);
    holds(Elu { alpha: -2.0 }, 2.0, 2.0);
    holds(Softsign, 1.0, 0.5);
    holds(Softsign, -3.0, -0.75);
}

#[test]
fn softplus_neither_overflows_nor_underflows_early() {
    for x in [20.0, 88.0, 89.0, 1e4, f32::MAX] {
        assert_eq!(Softplus.eval(x), x);
        assert_eq!(Softplus.eval(-x), (-f64::from(x)).exp() as f32, "e^-x is what is left at -{x}");
    }
    assert_eq!(Softplus.eval(-103.0).to_bits(), 1);
}

#[test]
fn nan_stays_nan() {
    for activation in all() {
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(u32::MAX)] {
            assert!(activation.eval(nan).is_nan(), "{activation}");
            assert!(activation.eval64(nan.into()).is_nan(), "{activation} in f64");
        }
    }
}

/// A bound on the distance from the value in f64, in halves of an ulp. One rounding costs one half.
fn halves_of_an_ulp(activation: Activation) -> f64 {
    match activation {
        Relu | ThresholdedRelu { .. } => 0.0,
        Affine { .. } | LeakyRelu { .. } | HardSigmoid { .. } | Elu { .. } | Softsign | Softplus => 1.0,
        // The bounds are distances from the correctly rounded value, in ulps of two halves. Its own rounding adds one.
        Sigmoid => 2.0 * f64::from(SIGMOID_MAX_ULP) + 1.0,
        Tanh => 2.0 * f64::from(TANH_MAX_ULP) + 1.0,
        // The rounding of the argument costs at most one half, and the product with the factor one half.
        ScaledTanh { .. } => 2.0 * f64::from(TANH_MAX_ULP) + 3.0,
    }
}

#[test]
fn values_are_within_their_bound_of_f64() {
    let sample = sample();
    for activation in all() {
        // Near zero, errors are multiples of the smallest subnormal, and a factor enlarges them.
        let tiny =
            f64::from(f32::from_bits(1)) * activation.parameters().0.map_or(1.0, |a| a.abs().max(1.0).into());
        for &x in sample.iter().filter(|x| x.is_finite()) {
            let (got, exact) = (activation.eval(x), activation.eval64(x.into()));
            if got.is_infinite() {
                assert_eq!(got, exact as f32, "{activation} at {x:e}");
                continue;
            }
            // A value that is rounded to f64 first and then to f32 may be off by 2⁻²⁹ of a half more.
            let halves = halves_of_an_ulp(activation) * (1.0 + 1e-8);
            let bound = halves * (exact.abs() / f64::from(1 << 24) + tiny);
            let error = (f64::from(got) - exact).abs();
            assert!(error <= bound, "{activation} at {x:e} is {got:e}, not within {bound:e} of {exact:e}");
        }
    }
}

/// Whether the activation uses a multiply-add, which may round once or twice.
fn multiplies_and_adds(activation: Activation) -> bool {
    matches!(activation, Sigmoid | Tanh | ScaledTanh { .. } | Affine { .. } | HardSigmoid { .. })
}

#[test]
fn every_variant_gives_the_bits_of_one_lane() {
    let sample = sample();
    for activation in all() {
        let scalar: Vec<f32> = sample.iter().map(|&x| activation.eval(x)).collect();
        for variant in Variant::available().filter(|v| v.is_fused() || !multiplies_and_adds(activation)) {
            let mut vector = sample.clone();
            activation.eval_slice(variant, &mut vector);
            for ((&x, &scalar), &vector) in sample.iter().zip(&scalar).zip(&vector) {
                assert!(
                    agree(scalar, vector),
                    "{activation} at {x:e} is {vector:e} on {variant}, {scalar:e} alone"
                );
            }
        }
    }
}

#[test]
fn slices_of_every_length_are_computed_whole() {
    for variant in Variant::available() {
        for len in 0..=130 {
            let mut values = vec![-1.0; len];
            Relu.eval_slice(variant, &mut values);
            assert_eq!(values, vec![0.0; len], "{variant}");
        }
    }
}
