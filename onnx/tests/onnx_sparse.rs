//! Tests sparse tensors: they become dense, and wrong ones are refused by name.

use rnnpack_dev::onnx::native::packed;
use rnnpack_dev::onnx::one::one;
use rnnpack_dev::onnx::{
    FLOAT16, Msg, attr, model, node, raw, recurrent_nodes, sparse, tensor, tensor_i32, tensor_i64,
};
use rnnpack_onnx::{Error, decode, proto};

/// The graph of a model that stores this sparse tensor.
fn graph(t: &Msg) -> Result<proto::Graph, Error> {
    Ok(decode(&model(&Msg::default().msg(15, t), 17))?.graph.unwrap())
}

fn floats(t: &proto::Tensor) -> Vec<f32> {
    t.raw_data.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

#[test]
fn linear_and_tuple_indices_place_the_values_row_major() {
    let values = tensor("s", &[3], &[1.0, 2.0, 3.0]);
    let expected = [0.0, 0.0, 1.0, 2.0, 0.0, 3.0];
    for indices in [tensor_i64("", &[3], &[2, 3, 5]), tensor_i64("", &[3, 2], &[0, 2, 1, 0, 1, 2])] {
        let graph = graph(&sparse(&values, &indices, &[2, 3])).unwrap();
        assert!(graph.sparse_initializer.is_empty());
        let t = &graph.initializer[0];
        assert_eq!((t.name.as_str(), &t.dims, t.data_type), ("s", &vec![2, 3], 1));
        assert_eq!(floats(t), expected);
    }
    let none = sparse(&tensor("s", &[0], &[]), &tensor_i64("", &[0], &[]), &[2]);
    assert_eq!(floats(&graph(&none).unwrap().initializer[0]), [0.0, 0.0]);
    let half = raw("s", &[1], FLOAT16, vec![0x34, 0x12]);
    let half = graph(&sparse(&half, &tensor_i64("", &[1], &[1]), &[2])).unwrap();
    assert_eq!(half.initializer[0].raw_data, [0, 0, 0x34, 0x12]);
    // Values in a typed field.
    let typed = Msg::default().int(1, 1).int(2, 1).text(8, "s").float(4, 5.0);
    let typed = graph(&sparse(&typed, &tensor_i64("", &[1], &[1]), &[2])).unwrap();
    assert_eq!(floats(&typed.initializer[0]), [0.0, 5.0]);
}

#[test]
fn a_layer_of_sparse_weights_is_that_of_the_dense_ones() {
    let mut dense = vec![0f32; 24];
    (dense[3], dense[23]) = (0.5, -0.25);
    let plain = one().stored(0, tensor("W", &[1, 8, 3], &dense));
    let values = tensor("W", &[2], &[0.5, -0.25]);
    let w = sparse(&values, &tensor_i64("", &[2], &[3, 23]), &[1, 8, 3]);
    let mut stored = plain.graph();
    stored.stored.remove(0);
    let initializer = model(&stored.msg().msg(15, &w), 17);
    let mut constant = plain.graph();
    constant.stored.remove(0);
    let value = attr("sparse_value", 11).msg(22, &w);
    constant.nodes.insert(0, node("Constant", "", &[], &["W"], &[value]));
    let expected = packed(&recurrent_nodes(&plain.bytes()).unwrap()[0]);
    for bytes in [initializer, constant.model(17)] {
        assert_eq!(packed(&recurrent_nodes(&bytes).unwrap()[0]), expected);
    }
}

#[test]
fn wrong_sparse_tensors_are_refused_by_name() {
    let values = || tensor("s", &[2], &[1.0, 2.0]);
    let at = |indices: &[i64]| tensor_i64("", &[2], indices);
    for (t, words) in [
        (sparse(&values(), &at(&[1, 6]), &[2, 3]), "index 6 is out of range for 6 elements"),
        (sparse(&values(), &at(&[-1, 2]), &[2, 3]), "index -1 is out of range"),
        (sparse(&values(), &at(&[2, 1]), &[2, 3]), "its indices do not ascend"),
        (sparse(&values(), &at(&[1, 1]), &[2, 3]), "its indices do not ascend"),
        (
            sparse(&values(), &tensor_i64("", &[2, 2], &[0, 1, 0, 3]), &[2, 3]),
            "index 3 is out of range for [2, 3]",
        ),
        (sparse(&values(), &tensor_i64("", &[1], &[1]), &[2, 3]), "dimensions [1] for 2 values of [2, 3]"),
        (sparse(&values(), &tensor_i64("", &[2, 1], &[1, 2]), &[2, 3]), "dimensions [2, 1] for 2 values"),
        (sparse(&values(), &tensor_i32("", &[2], &[1, 2]), &[2, 3]), "its indices are i32, not i64"),
        (sparse(&tensor("s", &[1, 2], &[1.0; 2]), &at(&[1, 2]), &[6]), "its values have dimensions [1, 2]"),
        (sparse(&tensor("s", &[3], &[1.0; 2]), &at(&[1, 2]), &[6]), "values: 8 bytes of raw data"),
        (sparse(&values(), &at(&[1, 2]), &[-6]), "dimension -6"),
        (sparse(&values(), &at(&[1, 2]), &[1 << 40, 1 << 40]), "overflows"),
        (sparse(&values(), &at(&[1, 2]), &[1 << 40]), "64 bytes for each byte of the model, and 65536 more"),
        (Msg::default().msg(1, &values()).int(3, 6), "its values or its indices are missing"),
    ] {
        let e = graph(&t).unwrap_err().to_string();
        assert!(e.starts_with("tensor `s`: it is sparse: ") && e.contains(words), "{words}: {e}");
    }
}
