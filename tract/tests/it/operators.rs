//! Tests of the operators beside the layer, with special values, integers of 64 bits beside dimensions, and bad indices.
//!
//! The expected values are those of the standard's text, computed by hand or in f64.

mod integers;
mod moves;
mod quantize;
mod special;

use rnnpack_dev::onnx::{Dim, Graph, Msg, node, untyped, value};
use rnnpack_onnx::{Element, Error as OnnxError, Tensor, TensorData};
use rnnpack_tract::{Error, Model};

/// A model of nodes that compute `y` from the inputs `given`. Every extent is open.
struct Case {
    nodes: Vec<Msg>,
    stored: Vec<Msg>,
    given: Vec<(&'static str, Tensor)>,
    opset: i64,
    fixed: bool,
}

/// A model of one node.
fn case(op: &str, inputs: &[&str], attrs: &[Msg]) -> Case {
    Case {
        nodes: vec![node(op, "it", inputs, &["y"], attrs)],
        stored: vec![],
        given: vec![],
        opset: 20,
        fixed: false,
    }
}

impl Case {
    fn given(mut self, name: &'static str, value: Tensor) -> Case {
        self.given.push((name, value));
        self
    }

    fn stored(mut self, stored: Msg) -> Case {
        self.stored.push(stored);
        self
    }

    /// Adds a node before the others.
    fn before(mut self, op: &str, inputs: &[&str], output: &str, attrs: &[Msg]) -> Case {
        self.nodes.insert(0, node(op, output, inputs, &[output], attrs));
        self
    }

    fn opset(self, opset: i64) -> Case {
        Case { opset, ..self }
    }

    /// The extents of the inputs are those that are given.
    fn fixed(self) -> Case {
        Case { fixed: true, ..self }
    }

    fn run(&self) -> Result<Tensor, Error> {
        let names = [["a", "b", "c", "d"], ["e", "f", "g", "h"], ["i", "j", "k", "l"]];
        let input = |(i, (name, t)): (usize, &(&str, Tensor))| {
            let dims = t.dims().iter().zip(names[i]);
            let dims: Vec<Dim> =
                dims.map(|(&n, name)| if self.fixed { Dim::N(n) } else { Dim::Name(name) }).collect();
            value(name, i64::from(t.dtype().number()), &dims)
        };
        let graph = Graph {
            inputs: self.given.iter().enumerate().map(input).collect(),
            stored: self.stored.clone(),
            nodes: self.nodes.clone(),
            outputs: vec![untyped("y")],
        };
        let model = Model::load(&graph.model(self.opset))?;
        let given: Vec<(&str, &Tensor)> = self.given.iter().map(|(name, t)| (*name, t)).collect();
        Ok(model.run(&given)?.remove(0).1)
    }

    /// The answer, which must have this element type.
    fn values<T: Element>(&self) -> Vec<T> {
        let y = self.run().unwrap();
        y.as_slice::<T>().unwrap_or_else(|| panic!("it is {}", y.dtype())).to_vec()
    }

    /// The reason why the node `it` is refused.
    fn refusal(&self) -> String {
        match self.run() {
            Err(Error::Onnx(OnnxError::Node { node, reason, .. })) if node == "it" => reason,
            Err(other) => panic!("it is refused in other words: {other}"),
            Ok(y) => panic!("it is computed: {:?}", y.dims()),
        }
    }
}

fn row<T: Element>(values: &[T]) -> Tensor {
    Tensor::new(&[values.len()], values.to_vec()).unwrap()
}

/// Asserts that floats are equal, or NaN in the same places, up to `bound` of each expected value.
fn assert_near(got: &[f64], expected: &[f64], bound: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (&a, &b)) in got.iter().zip(expected).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan());
        assert!(same || (a - b).abs() <= bound * b.abs(), "{what}: element {i} is {a}, expected {b}");
    }
}

/// The elements of floats, in f64.
fn wide(t: &Tensor) -> Vec<f64> {
    match t.data() {
        TensorData::F16(v) => v.iter().map(|x| x.to_f64()).collect(),
        TensorData::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
        TensorData::F64(v) => v.clone(),
        other => panic!("{}", other.dtype()),
    }
}
