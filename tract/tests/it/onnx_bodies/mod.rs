//! Tests of the graphs inside `Loop`, `Scan` and `If` nodes.

mod branches;
mod extents;
mod layers;
mod refusals;
mod values;

use rnnpack_dev::onnx::{Dim, Graph, Msg, attr_g, node, tensor_i64, untyped, value};
use rnnpack_onnx::{Error as OnnxError, Tensor};
use rnnpack_tract::Error;
use rnnpack_tract::Model;

/// Values without types. The standard allows these in a body.
fn outputs(names: &[&str]) -> Vec<Msg> {
    names.iter().map(|n| untyped(n)).collect()
}

fn floats(t: &Tensor) -> &[f32] {
    t.as_slice().unwrap()
}

fn onnx_error<T>(result: Result<T, Error>, what: &str) -> OnnxError {
    match result {
        Ok(_) => panic!("{what} is not refused"),
        Err(Error::Onnx(e)) => e,
        Err(e) => panic!("{what}: {e}"),
    }
}

/// Checks that a model is refused, by us or by tract.
fn assert_not_loaded(result: Result<Model, Error>, what: &str) {
    match result {
        Ok(_) => panic!("{what} is loaded"),
        Err(Error::Onnx(_) | Error::Tract { .. }) => {}
        Err(e) => panic!("{what}: {e}"),
    }
}

/// Checks that a model is refused, and that the error names `node` or that node's input.
fn assert_refused(bytes: &[u8], node: &str, input: Option<&str>, words: &str) {
    match (onnx_error(Model::load(bytes), words), input) {
        (OnnxError::Node { node: n, reason, .. }, None) => {
            assert_eq!(n, node, "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        (OnnxError::Input { node: n, input, reason }, Some(expected)) => {
            assert_eq!((n.as_str(), input.as_str()), (node, expected), "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        (e, _) => panic!("{words}: {e}"),
    }
}

/// A loop of 4 iterations with one carried value `v` of this element type.
fn carrying(kind: i64, dims: &[Dim], body: impl FnOnce(&mut Graph), outs: &[&str], opset: i64) -> Vec<u8> {
    let mut inner = Graph { inputs: outputs(&["i", "going", "v_in"]), ..Graph::default() };
    body(&mut inner);
    inner.outputs = outputs(outs);
    let names = ["last", "all"];
    let main = Graph {
        inputs: vec![value("v", kind, dims)],
        outputs: outputs(&names[..outs.len() - 1]),
        stored: vec![tensor_i64("four", &[1], &[4])],
        nodes: vec![node(
            "Loop",
            "loop",
            &["four", "", "v"],
            &names[..outs.len() - 1],
            &[attr_g("body", &inner.msg())],
        )],
    };
    main.model(opset)
}
