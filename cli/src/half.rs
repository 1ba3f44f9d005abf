//! Finds whether a model computes in half precision somewhere inside, and how far two right results may be apart then.

use crate::compare::step_of;
use rnnpack_onnx::{DType, proto};
use std::collections::{HashMap, HashSet};

/// The number of steps of half precision by which the results of two implementations may differ. Each operator rounds
/// its result by up to half a step. The errors of the operators before it are of the same size and partly cancel. This
/// is far below what a wrong gate, direction or state does, except for outputs that hardly depend on the layer.
pub(crate) const STEPS: f64 = 8.0;

/// The relative step of the coarsest type in which the model rounds a value that is not a constant: 2^-10 for f16, 2^-7
/// for bf16, and 0 if it rounds to neither. Weights that are stored in half precision and widened round nothing.
pub(crate) fn coarsest_step(model: &proto::Model) -> f64 {
    let mut found = 0f64;
    if let Some(graph) = &model.graph {
        Types::default().visit(graph, &mut found);
    }
    found
}

/// What is known of the values around a node: their element types, and which are constants.
#[derive(Clone, Default)]
struct Types<'m> {
    types: HashMap<&'m str, i32>,
    constants: HashSet<&'m str>,
}

impl<'m> Types<'m> {
    fn visit(&mut self, graph: &'m proto::Graph, found: &mut f64) {
        for t in &graph.initializer {
            self.types.insert(&t.name, t.data_type);
            self.constants.insert(&t.name);
        }
        for info in &graph.input {
            let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
            if let Some(tensor) = tensor.filter(|t| t.elem_type != 0) {
                self.types.insert(&info.name, tensor.elem_type);
            }
        }
        for node in &graph.node {
            let made = self.made_by(node);
            let constant = node.op_type == "Constant"
                || (!node.input.is_empty()
                    && node.input.iter().all(|i| i.is_empty() || self.constants.contains(i.as_str())));
            if let Some(dtype) = made.and_then(DType::from_number).filter(|_| !constant) {
                *found = found.max(step_of(dtype).unwrap_or(0.0));
            }
            for output in &node.output {
                self.types.extend(made.map(|made| (output.as_str(), made)));
                if constant {
                    self.constants.insert(output);
                }
            }
            for attribute in &node.attribute {
                let inner = attribute.g.as_deref().into_iter().chain(&attribute.graphs);
                inner.for_each(|g| self.clone().visit(g, found));
            }
        }
    }

    /// The element type of a node's outputs, as far as it matters here: that of a cast or of a stored constant, else
    /// half precision if an input has it.
    fn made_by(&self, node: &proto::Node) -> Option<i32> {
        let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
        match node.op_type.as_str() {
            "Cast" => attribute("to").map(|a| a.i as i32),
            "Constant" => attribute("value").and_then(|a| a.t.as_deref()).map(|t| t.data_type),
            // These return integers or booleans.
            "Shape" | "Size" | "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "IsNaN"
            | "ArgMax" | "ArgMin" | "NonZero" => None,
            _ => {
                let half = |number: &i32| [DType::F16, DType::BF16].iter().any(|t| t.number() == *number);
                node.input.iter().filter_map(|i| self.types.get(i.as_str())).copied().find(|t| half(t))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rnnpack_dev::onnx::{BFLOAT16, Dim, FLOAT, FLOAT16, Graph, Msg, attr_i, node, raw, untyped, value};

    /// The step of a model of these nodes, which has an input `x` and two stored numbers `w` in f16.
    fn step(nodes: Vec<Msg>) -> f64 {
        let graph = Graph {
            nodes,
            stored: vec![raw("w", &[2], FLOAT16, vec![0; 4])],
            inputs: vec![value("x", FLOAT, &[Dim::N(2)])],
            outputs: vec![untyped("y")],
        };
        coarsest_step(&rnnpack_onnx::decode(&graph.model(17)).unwrap())
    }

    #[test]
    fn only_values_that_are_rounded_in_a_call_count() {
        let cast = |from: &str, to: i64, name: &str| node("Cast", "", &[from], &[name], &[attr_i("to", to)]);
        let add = |a: &str, b: &str| node("Add", "", &[a, b], &["y"], &[]);
        // Weights are stored in f16 and widened, maybe after a move.
        assert_eq!(step(vec![cast("w", FLOAT, "v"), add("x", "v")]), 0.0);
        let moved = node("Identity", "", &["w"], &["m"], &[]);
        assert_eq!(step(vec![moved, cast("m", FLOAT, "v"), add("x", "v")]), 0.0);
        assert_eq!(step(vec![cast("x", FLOAT16, "h"), cast("h", FLOAT, "y")]), 2f64.powi(-10));
        assert_eq!(step(vec![cast("x", FLOAT16, "h"), cast("x", BFLOAT16, "b")]), 2f64.powi(-7));
        assert_eq!(step(vec![cast("x", 7, "n"), add("x", "x")]), 0.0);
    }
}
