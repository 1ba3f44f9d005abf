//! `DynamicQuantizeLinear`, and products of its integers.

use super::{Case, case, row};
use rnnpack_dev::onnx::quantized::{INT8, UINT8, integers};
use rnnpack_dev::onnx::{Dim, FLOAT, Graph, attr_i, node, tensor, untyped, value};
use rnnpack_onnx::Tensor;
use rnnpack_tract::Model;

/// The integers, the scale and the zero point of numbers.
fn quantized(x: Tensor) -> (Vec<u8>, f32, u8) {
    let graph = Graph {
        nodes: vec![node("DynamicQuantizeLinear", "it", &["x"], &["y", "s", "z"], &[])],
        inputs: vec![value("x", FLOAT, &vec![Dim::Name("n"); x.dims().len()])],
        outputs: ["y", "s", "z"].map(untyped).into(),
        ..Graph::default()
    };
    let [y, s, z]: [Tensor; 3] = Model::load(&graph.model(17))
        .unwrap()
        .run(&[("x", &x)])
        .unwrap()
        .into_iter()
        .map(|o| o.1)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!((y.dims(), s.dims(), z.dims()), (x.dims(), &[][..], &[][..]));
    (y.as_slice().unwrap().to_vec(), s.as_slice().unwrap()[0], z.as_slice().unwrap()[0])
}

#[test]
fn the_range_holds_0_and_the_scale_of_zeros_is_1() {
    assert_eq!(quantized(row(&[0f32; 3])), (vec![0; 3], 1.0, 0));
    assert_eq!(quantized(Tensor::new::<f32>(&[0], vec![]).unwrap()), (vec![], 1.0, 0));
    assert_eq!(quantized(row(&[255f32, 51.0])), (vec![255, 51], 1.0, 0));
    assert_eq!(quantized(row(&[-255f32, -51.0])), (vec![0, 204], 1.0, 255));
    // Ties go to the even integer.
    assert_eq!(quantized(row(&[255f32, 0.5, 1.5, 2.5])), (vec![255, 0, 2, 2], 1.0, 0));
    // The integer of 0 is 127.5, rounded to 128.
    assert_eq!(quantized(row(&[-127.5f32, 127.5, 0.5])), (vec![0, 255, 128], 1.0, 128));
    let (y, scale, zero_point) = quantized(row(&[1e-44f32, 0.0]));
    assert_eq!((y, scale, zero_point), (vec![0, 0], 1.0, 0));
}

#[test]
fn products_with_what_is_no_number_are_no_numbers() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let made = case("DynamicQuantizeLinear", &["x"], &[]).given("x", row(&[1.0, bad])).made_by("s");
        assert!(made.values::<f32>()[0].is_nan(), "{bad}");
    }
}

impl Case {
    /// Makes a scalar product of the integers and the scale `s` of a node with three outputs.
    fn made_by(self, scale: &str) -> Case {
        let quantize = node("DynamicQuantizeLinear", "it", &["x"], &["q", scale, "z"], &[]);
        let cast = node("Cast", "cast", &["q"], &["wide"], &[attr_i("to", FLOAT)]);
        Case { nodes: vec![quantize, cast, node("Mul", "", &["wide", scale], &["y"], &[])], ..self }
    }
}

#[test]
fn products_of_vectors_have_the_shapes_of_matmul() {
    let a = Tensor::new(&[3], vec![7u8, 5, 250]).unwrap();
    let b = integers("b", &[3, 2], INT8, &[1, -2, 3, -4, 5, -128]);
    let zero = integers("za", &[], UINT8, &[5]);
    let columns = integers("zb", &[2], INT8, &[1, -3]);
    let made = |inputs: &[&str]| {
        case("MatMulInteger", inputs, &[])
            .given("a", a.clone())
            .stored(b.clone())
            .stored(zero.clone())
            .stored(columns.clone())
    };
    // (a - 5) = [2, 0, 245]
    let y = made(&["a", "b", "za"]).run().unwrap();
    assert_eq!((y.dims(), y.as_slice::<i32>().unwrap()), (&[2][..], &[2 + 245 * 5, -4 - 245 * 128][..]));
    let y = made(&["a", "b", "za", "zb"]).run().unwrap();
    assert_eq!(y.as_slice::<i32>().unwrap(), [245 * 4, 2 + 245 * -125]);
    let y = made(&["a", "b", "", "zb"]).run().unwrap();
    assert_eq!(y.as_slice::<i32>().unwrap(), [2 * 5 + 250 * 4, 7 - 5 + 250 * -125]);
    let rows = Tensor::new(&[2, 3], vec![7u8, 5, 250, 6, 5, 5]).unwrap();
    let vector = integers("v", &[3], INT8, &[1, -2, 3]);
    let y = case("MatMulInteger", &["a", "v", "za"], &[])
        .given("a", rows)
        .stored(vector)
        .stored(zero.clone())
        .run()
        .unwrap();
    assert_eq!((y.dims(), y.as_slice::<i32>().unwrap()), (&[2][..], &[2 + 245 * 3, 1][..]));
    let rows = integers("rows", &[3], UINT8, &[1, 2, 3]);
    assert!(made(&["a", "b", "rows"]).stored(rows).refusal().contains("a zero point of [3]"));
    let scale = tensor("f", &[1], &[0.5]);
    assert!(made(&["a", "f"]).stored(scale).run().is_err());
}
