//! Tests what a node of a file says about its subnormal weights, and that its layer does with them what was chosen.

use rnnpack::{LayerWeights, Subnormals};
use rnnpack_dev::onnx::{BFLOAT16, DOUBLE, FLOAT, FLOAT16, Faint, recurrent_nodes};
use rnnpack_onnx::{Error, RecurrentNode};

fn node(model: &Faint) -> RecurrentNode {
    recurrent_nodes(&model.model()).unwrap().remove(0)
}

#[test]
fn weights_are_counted_that_are_subnormal_in_the_type_of_the_layer() {
    // (type, W, how many are subnormal)
    for (dtype, w, expected) in [
        (FLOAT, [1e-40, -1e-45], 2),
        (FLOAT, [1.2e-38, 0.0], 0),
        (FLOAT, [1.1e-38, 0.0], 1),
        // These are subnormal in f16, and normal numbers in f32, where the layer computes.
        (FLOAT16, [6e-8, 6e-5], 0),
        (BFLOAT16, [1e-40, 1.0], 1),
        (DOUBLE, [1e-40, 1e-307], 0),
        (DOUBLE, [1e-310, 5e-324], 2),
    ] {
        let node = node(&Faint::new(dtype, w));
        assert_eq!(node.subnormal_weights, expected, "{dtype} {w:?}");
        let counted = match dtype {
            DOUBLE => node.weights_f64().as_ref().map(LayerWeights::subnormal_weights).unwrap(),
            _ => node.weights().as_ref().map(LayerWeights::subnormal_weights).unwrap(),
        };
        assert_eq!(counted, expected, "{dtype} {w:?}");
    }
    assert_eq!(node(&Faint { w_is_given: true, ..Faint::new(FLOAT, [1e-40, 1.0]) }).subnormal_weights, 0);
}

#[test]
fn a_layer_does_what_was_chosen_for_its_node() {
    let model = Faint::new(FLOAT, [1e-40, 1.0]);
    // Y of the inputs 1e10 and 1e-40.
    let [kept, weights] = [[1e-30f32, 1e10, 0.0, 1e-40], [0.0, 1e10, 0.0, 1e-40]];
    for (choice, expected, flushed) in [
        (Subnormals::Keep, kept, 0),
        (Subnormals::FlushWeights, weights, 1),
        (Subnormals::Flush, [0.0, 1e10, 0.0, 0.0], 1),
    ] {
        let layer = node(&model).with_subnormals(choice).pack().unwrap();
        assert_eq!((layer.subnormals(), layer.flushed_weights()), (choice, flushed));
        let mut y = [f32::NAN; 4];
        layer.stream(1).unwrap().forward(&[1e10, 1e-40], &mut y).unwrap();
        let near = y.iter().zip(expected).all(|(y, e)| (y - e).abs() <= e * 1e-5);
        assert!(near, "{choice:?}: {y:?}");
    }
    assert_eq!(node(&model).pack().unwrap().subnormals(), Subnormals::Keep);
}

#[test]
fn a_layer_of_doubles_does_what_was_chosen_for_its_node() {
    let model = Faint::new(DOUBLE, [1e-310, 1.0]);
    for (choice, expected) in [
        (Subnormals::Keep, [1e-300, 1e10, 0.0, 1e-310]),
        (Subnormals::FlushWeights, [0.0, 1e10, 0.0, 1e-310]),
        (Subnormals::Flush, [0.0, 1e10, 0.0, 0.0]),
    ] {
        let layer = node(&model).with_subnormals(choice).pack_f64().unwrap();
        let mut y = [f64::NAN; 4];
        layer.stream(1).unwrap().forward(&[1e10, 1e-310], &mut y).unwrap();
        let near = y.iter().zip(expected).all(|(y, e)| (y - e).abs() <= e * 1e-9);
        assert!(near, "{choice:?}: {y:?}");
    }
}

#[test]
fn a_choice_that_a_cell_cannot_keep_is_refused_with_the_name_of_the_node() {
    let node = node(&Faint { clip: Some(1e-40), ..Faint::new(FLOAT, [1.0, 1.0]) });
    assert!(node.pack().is_ok());
    for result in [node.clone().with_subnormals(Subnormals::Flush).pack().map(drop), {
        let node = node.with_subnormals(Subnormals::Flush);
        node.weights().map(drop)
    }] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Layer { node, .. } if node == "rnn"), "{error}");
        assert!(error.to_string().contains("clip"), "{error}");
    }
}
