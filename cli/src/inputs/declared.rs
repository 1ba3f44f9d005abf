//! The inputs that a model's file declares.

use anyhow::{Result, anyhow};
use rnnpack_onnx::{DType, Extent, NodeWeights, RecurrentOp, Shown, ShownNames, proto};
use std::collections::{BTreeSet, HashMap};

/// An input as the file declares it.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    /// `None` if tensors cannot hold the type.
    pub(super) dtype: Option<DType>,
    pub(super) dims: Option<Vec<Extent>>,
    /// Whether it is a weight of a recurrent node, or a scale of its weights. As a constant, it is packed only once.
    pub(super) weights: bool,
    /// Whether the file stores a default. A given value replaces it when the model is loaded.
    pub(super) has_default: bool,
}

/// The inputs of a model's main graph.
pub(super) fn declared_inputs(model: &proto::Model) -> Result<Vec<Declared>> {
    let graph = model.graph()?;
    let stored: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let recurrent = graph.node.iter().filter(|n| RecurrentOp::from_type(&n.op_type).is_some());
    let weights = |n: &'_ proto::Node| NodeWeights::INPUTS.map(|(_, i)| n.input.get(i).cloned());
    let weights: BTreeSet<String> = recurrent.flat_map(weights).flatten().collect();
    let declared = |info: &proto::ValueInfo| Declared {
        weights: weights.contains(&info.name),
        has_default: stored.contains(info.name.as_str()),
        ..declared_input(info)
    };
    Ok(graph.input.iter().map(declared).collect())
}

fn declared_input(info: &proto::ValueInfo) -> Declared {
    let name = info.name.clone();
    let Some(tensor) = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Declared { name, dtype: None, dims: None, weights: false, has_default: false };
    };
    let dims = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(Extent::from).collect());
    Declared { name, dtype: DType::from_number(tensor.elem_type), dims, weights: false, has_default: false }
}

/// The names of the inputs that become constants: weights, and inputs that replace a default.
pub(super) fn weights(declared: &[Declared]) -> Vec<String> {
    declared.iter().filter(|d| d.weights || d.has_default).map(|d| d.name.clone()).collect()
}

/// The declared inputs by name.
pub(super) type ByName<'a> = HashMap<&'a str, &'a Declared>;

pub(super) fn by_name(declared: &[Declared]) -> ByName<'_> {
    declared.iter().map(|d| (d.name.as_str(), d)).collect()
}

/// The input with this name.
pub(super) fn find<'a>(declared: &ByName<'a>, name: &str) -> Result<&'a Declared> {
    declared.get(name).copied().ok_or_else(|| {
        let mut names: Vec<&str> = declared.keys().copied().collect();
        names.sort_unstable();
        anyhow!("the model has no input {:?}; it has: {}", Shown(name).to_string(), ShownNames(&names))
    })
}
