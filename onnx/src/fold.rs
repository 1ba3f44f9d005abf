//! Evaluates constant expressions: values that a file stores, or computes from stored values by moving, widening or
//! dequantizing elements.
//!
//! Exporters store an LSTM's weights once and build `W`, `R` and `B` from them with `Unsqueeze`, `Slice`, `Concat` and
//! similar operators, or store it in half precision and widen it with `Cast`, or as integers with a scale behind
//! `DequantizeLinear`. Only the last one rounds, in the one way that the standard gives it.

use crate::attribute::{Attributes, BadAttribute};
use crate::brief::Name;
use crate::constant::Constant;
use crate::dequantize::dequantize;
use crate::moves::Move;
use crate::proto;
use crate::scope::{Origin, Scope};
use crate::tensor::{Element, Tensor};
use crate::weight::Weight;
use std::collections::HashMap;
use std::sync::Arc;

/// The largest number of operators in a chain.
const MAX_DEPTH: usize = 64;

/// The operators that are folded. Of `Cast`, only what rounds nothing is.
const FOLDED: [&str; 10] = [
    "Constant",
    "Identity",
    "Unsqueeze",
    "Squeeze",
    "Concat",
    "Slice",
    "Transpose",
    "Reshape",
    "Cast",
    "DequantizeLinear",
];

/// Folds the constant expressions of one model. Each is folded once.
pub(crate) struct Folder<'b> {
    opset: i64,
    /// Values for inputs of the main graph.
    bindings: HashMap<&'b str, &'b Tensor>,
    /// Key: the address of the graph and the name of the value.
    known: HashMap<(usize, String), Folded>,
    /// Key: the address of a tensor in `known`.
    weights: HashMap<usize, Result<Weight, NotConstant>>,
    /// How many more bytes may be read and written. It bounds the time and the memory of all nodes together.
    budget: usize,
}

/// Why a value is not a constant.
#[derive(Debug, Clone)]
pub(crate) struct NotConstant {
    /// A sentence fragment about the value.
    pub(crate) reason: String,
    /// What the value is instead.
    pub(crate) kind: NotConstantKind,
}

/// The kinds of values that are not constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotConstantKind {
    /// It is computed in a way that is not folded here.
    Unfolded,
    /// It is an input of a graph, or computed from one.
    Input,
    /// It is no value: the file is wrong.
    Wrong,
}

/// A constant, or why the value is not one.
pub(crate) type Folded = Result<Constant, NotConstant>;

fn unfolded<T>(reason: String) -> Result<T, NotConstant> {
    Err(NotConstant { reason, kind: NotConstantKind::Unfolded })
}

fn wrong(reason: String) -> NotConstant {
    NotConstant { reason, kind: NotConstantKind::Wrong }
}

impl<'b> Folder<'b> {
    /// A folder for a model of `opset` whose file has `file_bytes` bytes. What all nodes together read and write stays
    /// below a fixed multiple of the sizes of the file and the bindings. Exporters read and write a weight about ten
    /// times: they slice it, join the gates in another order, add an axis and join the directions.
    pub(crate) fn new(opset: i64, file_bytes: usize, bindings: &'b [(&'b str, &'b Tensor)]) -> Self {
        let bound: usize = bindings.iter().map(|(_, t)| t.data().bytes()).sum();
        let budget = file_bytes.saturating_add(bound).saturating_mul(32).saturating_add(1 << 16);
        let bindings = bindings.iter().copied().collect();
        Self { opset, bindings, known: HashMap::new(), weights: HashMap::new(), budget }
    }

    /// The value that `name` has in `scope`, as a weight.
    pub(crate) fn weight(&mut self, scope: &Scope<'_>, name: &str) -> Result<Weight, NotConstant> {
        let constant = self.value(scope, name, 0)?;
        let address = Arc::as_ptr(&constant.tensor).addr();
        if let Some(known) = self.weights.get(&address) {
            return known.clone();
        }
        let weight = Weight::new(constant);
        let weight = self.spend(weight.widened_bytes()).map(|()| weight);
        self.weights.insert(address, weight.clone());
        weight
    }

    /// [`Folder::weight`], for a matrix of integers. Each node that has it makes f32 of it.
    pub(crate) fn integers(&mut self, scope: &Scope<'_>, name: &str) -> Result<Weight, NotConstant> {
        let weight = self.weight(scope, name)?;
        self.spend(weight.tensor().data().len().saturating_mul(size_of::<f32>())).map(|()| weight)
    }

    /// Subtracts `bytes` that are read or written from the budget.
    fn spend(&mut self, bytes: usize) -> Result<(), NotConstant> {
        match self.budget.checked_sub(bytes) {
            Some(left) => self.budget = left,
            None => return unfolded("too many bytes of constant expressions".to_string()),
        }
        Ok(())
    }

    /// The value that `name` has in `scope`. `depth` is the number of operators between it and a weight.
    fn value(&mut self, scope: &Scope<'_>, name: &str, depth: usize) -> Folded {
        let Some((scope, origin)) = scope.find(name) else {
            return Err(wrong(format!("there is no value {}", Name(name))));
        };
        let key = (std::ptr::from_ref(scope.graph).addr(), name.to_string());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        self.known.insert(key.clone(), Err(wrong(format!("{} depends on itself", Name(name)))));
        let result = self.origin_value(scope, name, origin, depth);
        self.known.insert(key, result.clone());
        result
    }

    fn origin_value(&mut self, scope: &Scope<'_>, name: &str, origin: Origin<'_>, depth: usize) -> Folded {
        // A binding also replaces a stored value, which is the default of the input.
        let bound = self.bindings.get(name).filter(|_| scope.parent.is_none());
        let stored = |tensor| Constant::new(Arc::new(tensor));
        let constant = match (origin, bound) {
            (_, Some(&t)) => stored(Tensor::clone(t)),
            (Origin::Input, None) => {
                let reason = format!("{} is an input of the graph, not a constant", Name(name));
                return Err(NotConstant { reason, kind: NotConstantKind::Input });
            }
            (Origin::Initializer(t), None) => {
                stored(Tensor::from_proto(t).map_err(|e| wrong(format!("tensor {}: {e}", Name(name))))?)
            }
            (Origin::Node(node, slot), None) => self
                .output_value(scope, (node, slot), depth)
                .map_err(|e| NotConstant { reason: computed_by(name, node, &e.reason), ..e })?,
        };
        self.spend(constant.tensor.bytes())?;
        Ok(constant)
    }

    /// The value of an output of a node.
    fn output_value(
        &mut self,
        scope: &Scope<'_>,
        (node, slot): (&proto::Node, usize),
        depth: usize,
    ) -> Folded {
        if depth >= MAX_DEPTH {
            return unfolded(format!("it ends a chain of {MAX_DEPTH} operators"));
        }
        let standard = matches!(node.domain.as_str(), "" | "ai.onnx");
        if slot > 0 || !standard || !FOLDED.contains(&node.op_type.as_str()) {
            return unfolded("this operator is not folded".to_string());
        }
        self.node_value(scope, node, depth)
    }

    fn node_value(&mut self, scope: &Scope<'_>, node: &proto::Node, depth: usize) -> Folded {
        if node.op_type == "Constant" {
            return constant_node(node).map(|tensor| Constant::new(Arc::new(tensor))).map_err(wrong);
        }
        let mut input = |name: &String| match name.as_str() {
            "" => Ok(None),
            name => self.value(scope, name, depth + 1).map(Some),
        };
        let inputs = node.input.iter().map(&mut input).collect::<Result<Vec<Option<Constant>>, _>>()?;
        let tensors = inputs.iter().map(|input| input.as_ref().map(|input| input.tensor.clone())).collect();
        let call = Move { node, inputs: tensors, opset: self.opset };
        self.spend(call.input_bytes())?;
        let left = |reason: &str| NotConstant { reason: reason.to_string(), kind: NotConstantKind::Unfolded };
        let tensor = match node.op_type.as_str() {
            "Cast" => {
                call.widened().ok_or_else(|| left("of Cast, only f16, bf16 and f32 to FLOAT are folded"))
            }
            "DequantizeLinear" => {
                dequantize(node, &call.inputs).ok_or_else(|| left("this form of it is not folded"))
            }
            _ => call.evaluate().map_err(wrong),
        };
        Ok(Constant::made(tensor?, &node.op_type, &inputs))
    }
}

/// The message for `name`, which `node` computes, if its value is not known for `reason`. For a long chain of
/// operators, the message names only the last ones.
fn computed_by(name: &str, node: &proto::Node, reason: &str) -> String {
    const LONGEST: usize = 512;
    match reason.len() < LONGEST {
        true => {
            let (name, op, node) = (Name(name), Name(&node.op_type), Name(&node.name));
            format!("{name} is computed by {op} node {node}: {reason}")
        }
        false => reason.to_string(),
    }
}

/// The tensor of a `Constant` node.
fn constant_node(node: &proto::Node) -> Result<Tensor, String> {
    const KNOWN: [&str; 5] = ["value", "value_float", "value_floats", "value_int", "value_ints"];
    let a = Attributes::read(node, &KNOWN).map_err(|e| e.to_string())?;
    let constant = || -> Result<Option<Result<Tensor, String>>, BadAttribute> {
        Ok(if let Some(t) = a.tensor("value")? {
            Some(Tensor::from_proto(t))
        } else if let Some(v) = a.float("value_float")? {
            Some(Ok(Tensor::scalar(v)))
        } else if let Some(v) = a.int("value_int")? {
            Some(Ok(Tensor::scalar(v)))
        } else if let Some(v) = a.floats("value_floats")? {
            Some(row(v))
        } else {
            a.ints("value_ints")?.map(row)
        })
    };
    match constant().map_err(|e| e.to_string())? {
        Some(value) if node.attribute.len() == 1 => value,
        _ => Err("it needs exactly one value".into()),
    }
}

/// A tensor of one dimension.
fn row<T: Element>(values: &[T]) -> Result<Tensor, String> {
    Tensor::new(&[values.len()], values.to_vec()).map_err(|e| e.to_string())
}
