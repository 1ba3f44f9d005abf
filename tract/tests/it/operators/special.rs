//! Special values: NaN, infinities, arguments that overflow or underflow, sums in half precision, and nothing at all.

use super::{assert_near, case, row, wide};
use half::f16;
use rnnpack_dev::onnx::{attr_f, attr_i, tensor, tensor_i64};
use rnnpack_onnx::Tensor;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// Values as a row of each float type, with the relative error that the type allows.
fn in_each_type(values: &[f64]) -> [(Tensor, f64); 3] {
    let halves: Vec<f16> = values.iter().map(|&x| f16::from_f64(x)).collect();
    let singles: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    [(row(&halves), 2e-3), (row(&singles), 2e-6), (row(values), 1e-12)]
}

#[test]
fn a_nan_stays_and_large_arguments_saturate() {
    let x = [NAN, INF, -INF, 0.0, 1.0, -1.0, 12.0, -12.0, 89.0, -89.0, 1000.0, -1000.0];
    type Expected = fn(f64) -> f64;
    let functions: [(&str, Expected); 8] = [
        ("Sigmoid", |x| 1.0 / (1.0 + (-x).exp())),
        ("Tanh", f64::tanh),
        ("Relu", |x| if x < 0.0 { 0.0 } else { x }),
        ("Softplus", |x| if x > 700.0 { x } else { x.exp().ln_1p() }),
        ("HardSigmoid", |x| (0.2f32 as f64 * x + 0.5).clamp(0.0, 1.0)),
        ("Celu", |x| if x < 0.0 { x.exp_m1() } else { x }),
        ("Selu", |x| 1.050_701 * if x > 0.0 { x } else { 1.673_263_2 * x.exp_m1() }),
        ("Swish", |x| if x == -INF { NAN } else { x / (1.0 + (-x).exp()) }),
    ];
    for (op, f) in functions {
        for (given, bound) in in_each_type(&x) {
            let dtype = given.dtype();
            let exact = wide(&given);
            let got = case(op, &["x"], &[]).given("x", given).opset(24).run().unwrap();
            assert_eq!(got.dtype(), dtype, "{op}");
            // What the type cannot hold is rounded to 0.
            let got: Vec<f64> = wide(&got);
            for (i, (&got, &x)) in got.iter().zip(&exact).enumerate() {
                let expected = f(x);
                let small = expected.abs() < 1e-6 && got.abs() < 1e-6;
                if !small {
                    assert_near(
                        &[got],
                        &[expected],
                        bound.max(2e-7),
                        &format!("{op} of {x} ({i}) in {dtype}"),
                    );
                }
            }
        }
    }
}

#[test]
fn maximum_minimum_and_clip_keep_a_nan() {
    let (a, b) = ([NAN, 1.0, NAN, INF, -0.5], [1.0, NAN, NAN, 2.0, -INF]);
    for (op, expected) in [("Max", [NAN, NAN, NAN, INF, -0.5]), ("Min", [NAN, NAN, NAN, 2.0, -INF])] {
        for ((a, _), (b, _)) in in_each_type(&a).into_iter().zip(in_each_type(&b)) {
            let got = case(op, &["a", "b"], &[]).given("a", a).given("b", b).run().unwrap();
            assert_near(&wide(&got), &expected, 0.0, op);
        }
    }
    let bounds = [tensor("lo", &[], &[-1.0]), tensor("hi", &[], &[1.0])];
    let clip = case("Clip", &["x", "lo", "hi"], &[]).given("x", row(&[f32::NAN, 7.0, -7.0, 0.5]));
    let clip = bounds.into_iter().fold(clip, |clip, bound| clip.stored(bound));
    assert_near(&wide(&clip.run().unwrap()), &[NAN, 1.0, -1.0, 0.5], 0.0, "Clip");
    let old = case("Clip", &["x"], &[attr_f("min", -1.0)]).opset(6).given("x", row(&[f32::NAN, 7.0, -7.0]));
    assert_near(&wide(&old.run().unwrap()), &[NAN, 7.0, -1.0], 0.0, "Clip-6");
}

#[test]
fn log_softmax_does_not_underflow() {
    for (given, bound) in in_each_type(&[0.0, -20.0, -100.0, -1000.0]) {
        let got = case("LogSoftmax", &["x"], &[attr_i("axis", 0)]).given("x", given).run().unwrap();
        let log = ((-20f64).exp() + (-100f64).exp()).ln_1p();
        let got: Vec<f64> = wide(&got)[1..].to_vec();
        assert_near(&got, &[-20.0 - log, -100.0 - log, -1000.0 - log], bound, "LogSoftmax");
    }
    // Before operator set 13 all axes behind count as one.
    let x = Tensor::new(&[1, 2, 2], vec![0f32; 4]).unwrap();
    let got = case("LogSoftmax", &["x"], &[]).opset(12).given("x", x).run().unwrap();
    assert_near(&wide(&got), &[-(4f64.ln()); 4], 1e-6, "LogSoftmax-12");
}

#[test]
fn reductions_keep_a_nan_do_not_overflow_and_are_right_for_nothing() {
    let sums = [
        ("ReduceSum", [NAN, 0.0, 180.0]),
        ("ReduceMax", [NAN, -INF, 100.0]),
        ("ReduceMin", [NAN, INF, 80.0]),
        ("ReduceProd", [NAN, 1.0, 8000.0]),
        ("ReduceLogSumExp", [NAN, -INF, 100.0 + (-20f64).exp().ln_1p()]),
        ("ReduceL1", [NAN, 0.0, 180.0]),
        ("ReduceL2", [NAN, 0.0, 16400f64.sqrt()]),
        ("ReduceSumSquare", [NAN, 0.0, 16400.0]),
    ];
    for (op, expected) in sums {
        for (values, expected) in [[1.0, NAN].as_slice(), &[], &[80.0, 100.0]].into_iter().zip(expected) {
            for (given, bound) in in_each_type(values) {
                let got = case(op, &["x"], &[attr_i("keepdims", 0)]).given("x", given).run().unwrap();
                assert!(got.dims().is_empty(), "{op}");
                assert_near(&wide(&got), &[expected], bound, op);
            }
        }
    }
    let all = case("ReduceMax", &["x"], &[]).given("x", row(&[f32::NEG_INFINITY; 3])).run().unwrap();
    assert_near(&wide(&all), &[-INF], 0.0, "ReduceMax of -inf");
}

#[test]
fn half_precision_is_summed_in_more() {
    let x = Tensor::new(&[1, 1, 5000], vec![f16::from_f32(100.0); 5000]).unwrap();
    let one = [tensor_i64("axes", &[1], &[2])];
    let mean = case("ReduceMean", &["x", "axes"], &[]).given("x", x.clone()).stored(one[0].clone());
    assert_near(&wide(&mean.run().unwrap()), &[100.0], 0.0, "ReduceMean");
    let pool = case("GlobalAveragePool", &["x"], &[]).given("x", x.clone());
    assert_near(&wide(&pool.run().unwrap()), &[100.0], 0.0, "GlobalAveragePool");
    let ones = Tensor::new(&[5000, 1], vec![f16::from_f32(0.1); 5000]).unwrap();
    let small = Tensor::new(&[1, 5000], vec![f16::from_f32(1.0); 5000]).unwrap();
    let product = case("MatMul", &["a", "b"], &[]).given("a", small.clone()).given("b", ones.clone());
    let exact = 5000.0 * f16::from_f32(0.1).to_f64();
    assert_near(&wide(&product.run().unwrap()), &[exact], 1e-3, "MatMul");
    let c = Tensor::new(&[1], vec![f16::from_f32(4.0)]).unwrap();
    let gemm = case("Gemm", &["a", "b", "c"], &[]).fixed().given("a", small).given("b", ones).given("c", c);
    assert_near(&wide(&gemm.run().unwrap()), &[exact + 4.0], 1e-3, "Gemm");
}

#[test]
fn the_place_of_a_nan_or_of_the_last_of_equals_is_found() {
    let x = row(&[3f32, f32::NAN, 7.0]);
    let none = [attr_i("keepdims", 0)];
    for op in ["ArgMax", "ArgMin"] {
        assert_eq!(case(op, &["x"], &none).given("x", x.clone()).values::<i64>(), [1], "{op}");
    }
    let last = [attr_i("keepdims", 0), attr_i("select_last_index", 1)];
    let equal = row(&[f32::NEG_INFINITY; 4]);
    assert_eq!(case("ArgMax", &["x"], &last).given("x", equal).values::<i64>(), [3]);
}

#[test]
fn the_default_of_constant_of_shape_is_a_single_float() {
    let zeros =
        case("ConstantOfShape", &["s"], &[]).before("Shape", &["x"], "s", &[]).given("x", row(&[1f32; 3]));
    assert_eq!(zeros.values::<f32>(), [0.0; 3]);
}
