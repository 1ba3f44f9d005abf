//! Integers of 64 bits, alone and beside the extents of a shape.

use super::{Case, case, row};
use rnnpack_dev::onnx::{Msg, attr_i, tensor_i64};
use rnnpack_onnx::Tensor;

const BIG: [i64; 6] = [1 << 31, (1 << 31) + 7, 1 << 32, -(1 << 31) - 5, 1 << 40, i64::MAX / 2];

/// An operator of the shape of an input, `[6, 4]`, and a number that is stored or given.
fn beside_a_shape(op: &str, number: i64, stored: bool, shape_first: bool) -> Case {
    let inputs = if shape_first { ["s", "c"] } else { ["c", "s"] };
    let x = Tensor::new(&[6, 4], vec![0f32; 24]).unwrap();
    let case = case(op, &inputs, &[]).before("Shape", &["x"], "s", &[]).given("x", x);
    if stored { case.stored(tensor_i64("c", &[1], &[number])) } else { case.given("c", row(&[number])) }
}

#[test]
fn a_large_number_beside_an_extent_keeps_all_its_bits() {
    type Function = fn(i64, i64) -> i64;
    let functions: [(&str, Function); 7] = [
        ("Add", |a, b| a + b),
        ("Sub", |a, b| a - b),
        ("Min", i64::min),
        ("Max", i64::max),
        ("Div", |a, b| a / b),
        ("Mod", |a, b| (a % b + b) % b),
        ("Mul", |a, b| a.wrapping_mul(b)),
    ];
    for (op, f) in functions {
        for number in BIG.into_iter().filter(|n| op != "Mul" || n.abs() < 1 << 50) {
            for (stored, first) in [(true, true), (true, false), (false, true), (false, false)] {
                let got = beside_a_shape(op, number, stored, first).values::<i64>();
                let expected = [6, 4].map(|d| if first { f(d, number) } else { f(number, d) });
                assert_eq!(got, expected, "{op} {number} {stored} {first}");
            }
        }
    }
}

#[test]
fn comparisons_with_an_extent_see_all_bits() {
    type Function = fn(&i64, &i64) -> bool;
    let functions: [(&str, Function); 5] = [
        ("Less", i64::lt),
        ("LessOrEqual", i64::le),
        ("Greater", i64::gt),
        ("GreaterOrEqual", i64::ge),
        ("Equal", i64::eq),
    ];
    for (op, f) in functions {
        for number in BIG.into_iter().chain([i64::MAX, 4 + (1 << 32), 4]) {
            for stored in [true, false] {
                let got = beside_a_shape(op, number, stored, true).values::<bool>();
                assert_eq!(got, [6, 4].map(|d| f(&d, &number)), "{op} {number} {stored}");
            }
        }
    }
}

#[test]
fn a_large_number_joined_with_an_extent_stays() {
    let x = Tensor::new(&[6, 4], vec![0f32; 24]).unwrap();
    for number in BIG.into_iter().chain([i64::MAX, i64::MIN]) {
        let c = || tensor_i64("c", &[1], &[number]);
        let joined = case("Concat", &["s", "c"], &[attr_i("axis", 0)]);
        let joined = joined.before("Shape", &["x"], "s", &[]).given("x", x.clone()).stored(c());
        assert_eq!(joined.values::<i64>(), [6, 4, number]);
        let chosen = case("Where", &["l", "s", "c"], &[]).before("Less", &["s", "five"], "l", &[]);
        let chosen = chosen.before("Shape", &["x"], "s", &[]).given("x", x.clone());
        let chosen = chosen.stored(c()).stored(tensor_i64("five", &[1], &[5]));
        assert_eq!(chosen.values::<i64>(), [number, 4]);
    }
}

#[test]
fn a_slice_to_the_end_may_say_it_with_any_large_number() {
    let x = Tensor::new(&[6, 4], (0..24).map(|i| i as f32).collect()).unwrap();
    for end in [i64::from(i32::MAX), 1 << 31, (1 << 32) + 2, i64::MAX] {
        let slice = |stored: &[Msg]| {
            let slice = case("Slice", &["x", "start", "end"], &[]).given("x", x.clone());
            stored.iter().cloned().fold(slice, Case::stored).stored(tensor_i64("start", &[2], &[1, 1]))
        };
        let of_constants = slice(&[tensor_i64("end", &[2], &[end, end])]);
        assert_eq!(of_constants.run().unwrap().dims(), [5, 3], "{end}");
        let joined = slice(&[
            tensor_i64("zero", &[1], &[0]),
            tensor_i64("one", &[1], &[1]),
            tensor_i64("far", &[1], &[end]),
        ])
        .before("Concat", &["rows", "far"], "end", &[attr_i("axis", 0)])
        .before("Slice", &["s", "zero", "one"], "rows", &[])
        .before("Shape", &["x"], "s", &[]);
        assert_eq!(joined.run().unwrap().dims(), [5, 3], "{end}");
    }
}

#[test]
fn floats_become_integers_of_64_bits() {
    let x = row(&[0.0, 1.5, -1.5, 2147483648.0, -2147483649.0, 4294967297.0, 1e15, 9e18]);
    let expected =
        [0, 1, -1, 1 << 31, -(1 << 31) - 1, (1 << 32) + 1, 1_000_000_000_000_000, 9_000_000_000_000_000_000];
    assert_eq!(case("Cast", &["x"], &[attr_i("to", 7)]).given("x", x).values::<i64>(), expected);
}

#[test]
fn reductions_of_integers_are_exact() {
    let x = row(&[1i64 << 40, 3, -(1 << 33)]);
    for (op, expected) in [
        ("ReduceSum", (1 << 40) + 3 - (1 << 33)),
        ("ReduceMax", 1 << 40),
        ("ReduceMin", -(1 << 33)),
        ("ReduceL1", (1 << 40) + 3 + (1 << 33)),
        ("ReduceMean", ((1 << 40) + 3 - (1 << 33)) / 3),
    ] {
        let reduced = case(op, &["x"], &[attr_i("keepdims", 0)]).given("x", x.clone());
        assert_eq!(reduced.values::<i64>(), [expected], "{op}");
    }
    let product = case("Reshape", &["x", "n"], &[]).before("ReduceProd", &["s"], "n", &[]).before(
        "Shape",
        &["x"],
        "s",
        &[],
    );
    let product = product.given("x", Tensor::new(&[2, 3], vec![1f32; 6]).unwrap());
    assert_eq!(product.run().unwrap().dims(), [6]);
}

#[test]
fn the_remainder_has_the_sign_that_the_standard_says() {
    let (a, b) = (row(&[7i64, -7, 7, -7]), row(&[3i64, 3, -3, -3]));
    let modulo = |attrs: &[Msg]| {
        case("Mod", &["a", "b"], attrs).given("a", a.clone()).given("b", b.clone()).values::<i64>()
    };
    assert_eq!(modulo(&[]), [1, 2, -2, -1]);
    assert_eq!(modulo(&[attr_i("fmod", 1)]), [1, -1, 1, -1]);
}

#[test]
fn a_division_of_integers_by_zero_is_refused_with_its_numbers() {
    for op in ["Div", "Mod"] {
        let divided = case(op, &["a", "b"], &[]).given("a", row(&[4i64, 5])).given("b", row(&[2i64, 0]));
        assert_eq!(divided.refusal(), "5 by 0", "{op}");
    }
}

#[test]
fn an_extent_that_no_machine_has_is_refused() {
    let x = Tensor::new(&[1], vec![1f32]).unwrap();
    for op in ["Expand", "Tile", "Reshape"] {
        let huge = case(op, &["x", "s"], &[]).given("x", x.clone()).stored(tensor_i64("s", &[1], &[1 << 32]));
        assert_eq!(huge.refusal(), "an extent of 4294967296: at most 2147483647 are computed", "{op}");
    }
    let huge = case("ConstantOfShape", &["s"], &[]).stored(tensor_i64("s", &[1], &[1 << 32]));
    assert_eq!(huge.refusal(), "an extent of 4294967296: at most 2147483647 are computed");
}

#[test]
fn matrices_of_integers_are_multiplied() {
    let a = Tensor::new(&[2, 2], vec![1i64 << 40, 1, 2, 3]).unwrap();
    let b = Tensor::new(&[2, 1], vec![3i64, 5]).unwrap();
    let product = case("MatMul", &["a", "b"], &[]).given("a", a).given("b", b);
    assert_eq!(product.values::<i64>(), [3 * (1 << 40) + 5, 21]);
}

#[test]
fn operators_of_integers_take_extents() {
    let of_shape = |op: &str, inputs: &[&str]| {
        case(op, inputs, &[])
            .before("Shape", &["x"], "s", &[])
            .given("x", Tensor::new(&[6, 4], vec![0f32; 24]).unwrap())
    };
    assert_eq!(of_shape("Sign", &["s"]).values::<i64>(), [1, 1]);
    assert_eq!(of_shape("NonZero", &["s"]).values::<i64>(), [0, 1]);
    assert_eq!(
        of_shape("CumSum", &["s", "axis"]).stored(tensor_i64("axis", &[], &[0])).values::<i64>(),
        [6, 10]
    );
    assert_eq!(
        of_shape("BitwiseAnd", &["s", "m"]).stored(tensor_i64("m", &[1], &[5])).values::<i64>(),
        [4, 4]
    );
}
