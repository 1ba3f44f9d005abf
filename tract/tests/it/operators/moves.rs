//! Operators that move elements: indices and lengths that are out of range, negative pads, and orders.

use super::{case, row};
use rnnpack_dev::onnx::{attr_i, attr_ints, attr_s, tensor, tensor_i64};
use rnnpack_onnx::Tensor;
use rnnpack_tract::Error;

fn cube() -> Tensor {
    Tensor::new(&[2, 3, 2], (0..12).map(|i| i as f32).collect()).unwrap()
}

#[test]
fn an_index_out_of_range_is_refused_with_the_node_the_index_and_the_range() {
    let table = || tensor("t", &[7, 2], &[1.0; 14]);
    for index in [7, -8, i64::MAX, i64::MIN] {
        let lookup = case("Gather", &["t", "i"], &[]).given("i", row(&[3, index])).stored(table());
        assert_eq!(lookup.refusal(), format!("index {index} is out of range: -7 to 6"));
    }
    let lookup = case("Gather", &["t", "i"], &[]).given("i", row(&[6i64, -7])).stored(table());
    assert_eq!(lookup.run().unwrap().dims(), [2, 2]);
    let t = row(&[1f32, 2.0, 3.0]);
    let beyond = Tensor::new(&[1, 1], vec![3i64]).unwrap();
    let elements =
        case("GatherElements", &["t", "i"], &[]).fixed().given("t", t.clone()).given("i", row(&[3i64]));
    assert_eq!(elements.refusal(), "index 3 is out of range: -3 to 2");
    let points = case("GatherND", &["t", "i"], &[]).fixed().given("t", t.clone()).given("i", beyond.clone());
    assert_eq!(points.refusal(), "index 3 is out of range: -3 to 2");
    let scattered = case("ScatterElements", &["t", "i", "u"], &[]).fixed().given("t", t.clone());
    let scattered = scattered.given("i", row(&[-4i64])).given("u", row(&[1f32]));
    assert_eq!(scattered.refusal(), "index -4 is out of range: -3 to 2");
    let scattered = case("ScatterND", &["t", "i", "u"], &[])
        .fixed()
        .given("t", t)
        .given("i", beyond)
        .given("u", row(&[1f32]));
    assert_eq!(scattered.refusal(), "index 3 is out of range: -3 to 2");
}

#[test]
fn pads_may_take_away() {
    let pad = |pads: &[i64], mode: &str| {
        case("Pad", &["x", "p"], &[attr_s("mode", mode)])
            .given("x", row(&[1f32, 2.0, 3.0, 4.0]))
            .stored(tensor_i64("p", &[2], pads))
    };
    for (pads, mode, expected) in [
        ([2, -1], "constant", &[0.0, 0.0, 1.0, 2.0, 3.0][..]),
        ([-1, -1], "constant", &[2.0, 3.0]),
        ([-1, 2], "edge", &[2.0, 3.0, 4.0, 4.0, 4.0]),
        ([2, -1], "reflect", &[3.0, 2.0, 1.0, 2.0, 3.0]),
        ([3, 2], "wrap", &[2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]),
        ([-4, 0], "constant", &[]),
    ] {
        assert_eq!(pad(&pads, mode).values::<f32>(), expected, "{pads:?} {mode}");
    }
    assert_eq!(
        pad(&[4, 0], "reflect").refusal(),
        "axis 0 of its input has 4 elements; padding by [4, 0] needs at least 5"
    );
    assert_eq!(
        pad(&[-3, -2], "constant").refusal(),
        "axis 0 of its input has 4 elements; padding by [-3, -2] needs more"
    );
}

#[test]
fn sequences_are_reversed_up_to_their_lengths() {
    let reverse = |lens: &[i64]| {
        case("ReverseSequence", &["x", "l"], &[attr_i("batch_axis", 0), attr_i("time_axis", 1)])
            .given("x", cube())
            .given("l", row(lens))
    };
    assert_eq!(reverse(&[3, 0]).values::<f32>(), [4., 5., 2., 3., 0., 1., 6., 7., 8., 9., 10., 11.]);
    assert_eq!(reverse(&[1, 2]).values::<f32>(), [0., 1., 2., 3., 4., 5., 8., 9., 6., 7., 10., 11.]);
    assert_eq!(reverse(&[4, 1]).refusal(), "length 4 is out of range: 0 to 3");
    assert_eq!(reverse(&[-1, 1]).refusal(), "length -1 is out of range: 0 to 3");
    assert_eq!(reverse(&[1]).refusal(), "1 lengths for 2 sequences");
    let time_first =
        case("ReverseSequence", &["x", "l"], &[]).given("x", cube()).given("l", row(&[2i64, 1, 2]));
    assert_eq!(time_first.values::<f32>(), [6., 7., 2., 3., 10., 11., 0., 1., 8., 9., 4., 5.]);
}

#[test]
fn what_a_condition_chooses_is_kept() {
    let compress = |attrs: &[_], condition: &[bool]| {
        case("Compress", &["x", "c"], attrs).given("x", cube()).given("c", row(condition))
    };
    let of_axis = compress(&[attr_i("axis", 1)], &[true, false, true]).run().unwrap();
    assert_eq!(of_axis.dims(), [2, 2, 2]);
    assert_eq!(of_axis.as_slice::<f32>().unwrap(), [0., 1., 4., 5., 6., 7., 10., 11.]);
    assert_eq!(compress(&[], &[false, true, true]).values::<f32>(), [1.0, 2.0]);
    assert_eq!(
        compress(&[attr_i("axis", 0)], &[false, false, true]).refusal(),
        "condition 2 is true, but there are 2 elements"
    );
}

#[test]
fn the_largest_of_lengths_and_of_extents_are_found() {
    let top = |attrs: &[_]| case("TopK", &["x", "k"], attrs).given("k", row(&[2i64]));
    let lens = || row(&[3i64, 9, 4, 9, 1]);
    assert_eq!(top(&[]).given("x", lens()).values::<i64>(), [9, 9]);
    assert_eq!(top(&[attr_i("largest", 0)]).given("x", lens()).values::<i64>(), [1, 3]);
    let many = case("TopK", &["x", "k"], &[]).given("x", lens()).stored(tensor_i64("k", &[1], &[6]));
    assert_eq!(many.refusal(), "k is 6, and the axis has 5 elements");
    let extents = case("TopK", &["s", "k"], &[]).before("Shape", &["x"], "s", &[]);
    let extents = extents.given("x", cube()).stored(tensor_i64("k", &[1], &[1]));
    assert_eq!(extents.values::<i64>(), [3]);
}

#[test]
fn blocks_have_scales_of_their_own() {
    let blocked =
        case("DequantizeLinear", &["q", "s"], &[attr_i("axis", 0), attr_i("block_size", 2)]).opset(21);
    let blocked = blocked.given("q", row(&[1i8, 2, 3, 4, 5])).stored(tensor("s", &[3], &[1.0, 10.0, 0.5]));
    assert_eq!(blocked.values::<f32>(), [1.0, 2.0, 30.0, 40.0, 2.5]);
    let short =
        case("DequantizeLinear", &["q", "s"], &[attr_i("axis", 0), attr_i("block_size", 2)]).opset(21);
    let short = short.given("q", row(&[1i8, 2, 3])).stored(tensor("s", &[3], &[1.0; 3]));
    assert_eq!(short.refusal(), "its scale or zero point has dimensions [3], not [2]");
}

#[test]
fn a_stride_along_an_axis_of_one_element_has_no_effect() {
    let conv =
        case("Conv", &["u", "w"], &[attr_ints("strides", &[2, 2]), attr_ints("kernel_shape", &[1, 1])])
            .before("Unsqueeze", &["x", "a"], "u", &[])
            .stored(tensor_i64("a", &[1], &[2]))
            .stored(tensor("w", &[1, 3, 1, 1], &[1.0; 3]))
            .given("x", Tensor::new(&[1, 3, 4], (0..12).map(|i| i as f32).collect()).unwrap());
    let y = conv.fixed().run().unwrap();
    assert_eq!(y.dims(), [1, 1, 1, 2]);
    assert_eq!(y.as_slice::<f32>().unwrap(), [12.0, 18.0]);
}

#[test]
fn an_index_that_one_hot_does_not_have_is_off_everywhere() {
    let hot = case("OneHot", &["i", "d", "v"], &[]).given("i", row(&[0i64, -1, 3, -4]));
    let hot = hot.stored(tensor_i64("d", &[], &[3])).stored(tensor("v", &[2], &[0.0, 1.0]));
    assert_eq!(hot.values::<f32>(), [1., 0., 0., 0., 0., 1., 0., 0., 0., 0., 0., 0.]);
}

#[test]
fn an_attribute_that_changes_the_answer_is_not_ignored() {
    let x = Tensor::new(&[1, 1, 2, 2], vec![1f32; 4]).unwrap();
    let crd = case("SpaceToDepth", &["x"], &[attr_i("blocksize", 2), attr_s("mode", "CRD")]).given("x", x);
    let error = crd.run().unwrap_err();
    assert!(
        matches!(&error, Error::Onnx(rnnpack_onnx::Error::Attribute { attribute, .. }) if attribute == "mode"),
        "{error}"
    );
}
