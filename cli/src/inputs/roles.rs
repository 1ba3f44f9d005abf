//! What the graph shows about the integers that an input may hold.

use super::shown::{constants, integers};
use crate::operators::graphs;
use rnnpack_onnx::{RecurrentOp, Shown, proto};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// How the graph uses the integers of an input. The text says by which node, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Numbers of steps of sequences.
    Lengths(String),
    /// Indices along an axis.
    Indices(Range<i64>, String),
    /// A number that is compared with this one.
    Compared(i64, String),
    /// Numbers that are converted to floats.
    Numbers(String),
    /// The graph shows nothing.
    Unknown,
}

/// The nodes of a model by the values that they use and make.
pub(super) struct Uses<'m> {
    of: HashMap<&'m str, Vec<(&'m proto::Node, usize)>>,
    makers: HashMap<&'m str, &'m proto::Node>,
    constants: HashMap<&'m str, &'m proto::Tensor>,
}

/// What one use of a value means.
enum Use<'m> {
    /// The node passes the integers on, with this number added.
    Passes(&'m [String], i64),
    Means(Role),
    Nothing,
}

impl<'m> Uses<'m> {
    pub(super) fn new(graph: &'m proto::Graph) -> Uses<'m> {
        let mut of = HashMap::<&str, Vec<(&proto::Node, usize)>>::new();
        let mut makers = HashMap::new();
        graphs(graph, &mut |g| {
            for node in &g.node {
                for (slot, name) in node.input.iter().enumerate() {
                    of.entry(name).or_default().push((node, slot));
                }
                makers.extend(node.output.iter().map(|name| (name.as_str(), node)));
            }
        });
        Uses { of, makers, constants: constants(graph) }
    }

    /// The role of an input. It follows the input through the nodes that pass integers on. Lengths come before indices,
    /// and these before what a number is compared with. Of several tables, the indices fit the smallest.
    pub(super) fn role(&self, input: &str) -> Role {
        let mut found = Role::Unknown;
        let mut open = vec![(input, 0i64)];
        let mut seen = BTreeSet::from([input]);
        while let Some((name, added)) = open.pop() {
            for &(node, slot) in self.of.get(name).into_iter().flatten() {
                match self.meaning(node, slot, added) {
                    Use::Passes(outputs, added) => {
                        let new = outputs.iter().map(String::as_str).filter(|&o| seen.insert(o));
                        open.extend(new.map(|o| (o, added)));
                    }
                    Use::Means(role) => found = stronger(found, role),
                    Use::Nothing => {}
                }
            }
        }
        found
    }

    fn meaning(&self, node: &'m proto::Node, slot: usize, added: i64) -> Use<'m> {
        let label = || match node.name.as_str() {
            "" => Shown(&node.op_type).to_string(),
            name => format!("{} `{}`", Shown(&node.op_type), Shown(name)),
        };
        let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.i);
        let other = || node.input.get(1 - slot.min(1)).and_then(|name| self.number(name));
        match (node.op_type.as_str(), slot) {
            (op, 4) if RecurrentOp::from_type(op).is_some() => Use::Means(Role::Lengths(label())),
            ("ReverseSequence", 1) => Use::Means(Role::Lengths(label())),
            ("Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual", _) => match other() {
                None => Use::Means(Role::Lengths(label())),
                Some(number) => Use::Means(Role::Compared(number.saturating_sub(added), label())),
            },
            ("Equal", _) => other().map_or(Use::Nothing, |number| {
                Use::Means(Role::Compared(number.saturating_sub(added), label()))
            }),
            ("Gather" | "GatherElements" | "ScatterElements", 1) => {
                self.indices(node, attribute("axis").unwrap_or(0), added, label())
            }
            ("GatherND", 1) => self.indices(node, 0, added, label()),
            ("OneHot", 0) => match node.input.get(1).and_then(|depth| self.number(depth)) {
                Some(depth) => {
                    Use::Means(Role::Indices(added.saturating_neg()..depth.saturating_sub(added), label()))
                }
                None => Use::Nothing,
            },
            ("Cast", _) if matches!(attribute("to"), Some(1 | 10 | 11 | 16)) => {
                Use::Means(Role::Numbers(label()))
            }
            ("Add" | "Sub", 0) | ("Add", 1) => other().map_or(Use::Nothing, |number| {
                let sign = if node.op_type == "Add" { 1 } else { -1 };
                Use::Passes(&node.output, added.saturating_add(number.saturating_mul(sign)))
            }),
            ("Where", 1 | 2) | ("TopK" | "Gather" | "GatherElements", 0) => {
                Use::Passes(node.output.get(..1).unwrap_or_default(), added)
            }
            (
                "Cast" | "Identity" | "Reshape" | "Unsqueeze" | "Squeeze" | "Transpose" | "Flatten"
                | "Expand" | "Slice" | "Split" | "Tile" | "Clip" | "Pad",
                0,
            )
            | ("Concat" | "Min" | "Max", _) => Use::Passes(&node.output, added),
            _ => Use::Nothing,
        }
    }

    /// Indices into `axis` of a node's first input, if its extent is known.
    fn indices(&self, node: &proto::Node, axis: i64, added: i64, label: String) -> Use<'m> {
        let dims = node.input.first().and_then(|data| self.dims(data, 0));
        let extent = dims.and_then(|dims| {
            let axis = if axis < 0 { axis.checked_add(dims.len() as i64)? } else { axis };
            dims.get(usize::try_from(axis).ok()?).copied()
        });
        match extent {
            Some(extent) if extent > 0 => {
                let from = added.saturating_neg();
                Use::Means(Role::Indices(from..extent.saturating_add(from), label))
            }
            _ => Use::Nothing,
        }
    }

    /// The dimensions of a stored tensor, also behind nodes that keep them.
    fn dims(&self, name: &str, depth: usize) -> Option<Vec<i64>> {
        if let Some(tensor) = self.constants.get(name) {
            return Some(tensor.dims.clone());
        }
        let node = self.makers.get(name).filter(|_| depth < 8)?;
        let dims = self.dims(node.input.first()?, depth + 1)?;
        match node.op_type.as_str() {
            "Identity" | "Cast" | "DequantizeLinear" | "QuantizeLinear" => Some(dims),
            "Transpose" => match node.attribute.iter().find(|a| a.name == "perm") {
                Some(perm) => {
                    perm.ints.iter().map(|&p| dims.get(usize::try_from(p).ok()?).copied()).collect()
                }
                None => Some(dims.into_iter().rev().collect()),
            },
            _ => None,
        }
    }

    /// The only element of a stored tensor of integers.
    fn number(&self, name: &str) -> Option<i64> {
        match integers(self.constants.get(name)?)?.as_slice() {
            [number] => Some(*number),
            _ => None,
        }
    }
}

/// The role that says more. Of two ranges of indices, those that are in both.
fn stronger(a: Role, b: Role) -> Role {
    let rank = |role: &Role| match role {
        Role::Lengths(_) => 4,
        Role::Indices(..) => 3,
        Role::Compared(..) => 2,
        Role::Numbers(_) => 1,
        Role::Unknown => 0,
    };
    match (a, b) {
        (Role::Indices(x, one), Role::Indices(y, two)) => {
            let label = if x.end <= y.end { one } else { two };
            Role::Indices(x.start.max(y.start)..x.end.min(y.end), label)
        }
        (a, b) if rank(&a) >= rank(&b) => a,
        (_, b) => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rnnpack_dev::onnx::{
        Graph, INT32, INT64, attr_i, attr_ints, model, node, tensor, tensor_i64, untyped, value,
    };

    /// The role of the input `n` of a graph with these nodes and stored tensors.
    fn role(nodes: Vec<rnnpack_dev::onnx::Msg>, stored: Vec<rnnpack_dev::onnx::Msg>) -> Role {
        let inputs = vec![value("n", INT64, &[])];
        let graph = Graph { nodes, stored, inputs, outputs: vec![untyped("y")] };
        let decoded = rnnpack_onnx::decode(&model(&graph.msg(), 17)).unwrap();
        Uses::new(decoded.graph().unwrap()).role("n")
    }

    #[test]
    fn indices_stay_within_the_table_behind_casts_and_offsets() {
        let table = || tensor("table", &[5, 3], &[0.0; 15]);
        let gather = |data: &str, index: &str| node("Gather", "emb", &[data, index], &["y"], &[]);
        let within = |range: Range<i64>| Role::Indices(range, "Gather `emb`".to_owned());
        assert_eq!(role(vec![gather("table", "n")], vec![table()]), within(0..5));
        let far = vec![
            node("Cast", "", &["n"], &["a"], &[attr_i("to", INT32)]),
            node("Unsqueeze", "", &["a"], &["b"], &[attr_ints("axes", &[0])]),
            node("Sub", "", &["b", "two"], &["c"], &[]),
            gather("table", "c"),
        ];
        assert_eq!(role(far, vec![table(), tensor_i64("two", &[], &[2])]), within(2..7));
        let turned = vec![
            node("Transpose", "", &["table"], &["t"], &[attr_ints("perm", &[1, 0])]),
            gather("t", "n"),
            node("Gather", "big", &["table", "n"], &["z"], &[]),
        ];
        assert_eq!(role(turned, vec![table()]), within(0..3));
        // The rows of a value that is computed are not known.
        assert_eq!(role(vec![gather("n", "n")], vec![]), Role::Unknown);
    }

    #[test]
    fn lengths_and_compared_numbers_are_found() {
        let lens = |name: &str| node("GRU", "gru", &["x", "w", "r", "", name], &["y"], &[]);
        assert_eq!(role(vec![lens("n")], vec![]), Role::Lengths("GRU `gru`".to_owned()));
        let sorted = vec![
            node("TopK", "", &["n", "k"], &["s", "i"], &[]),
            node("Cast", "", &["s"], &["c"], &[attr_i("to", INT32)]),
            lens("c"),
        ];
        assert_eq!(role(sorted, vec![]), Role::Lengths("GRU `gru`".to_owned()));
        let equal = vec![node("Equal", "rate", &["n", "c"], &["y"], &[])];
        let rate = vec![tensor_i64("c", &[], &[16_000])];
        assert_eq!(role(equal, rate), Role::Compared(16_000, "Equal `rate`".to_owned()));
        let float = vec![node("Cast", "c", &["n"], &["y"], &[attr_i("to", 1)])];
        assert_eq!(role(float, vec![]), Role::Numbers("Cast `c`".to_owned()));
    }
}
