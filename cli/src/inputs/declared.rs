//! The inputs that a model's file declares.

use anyhow::{Result, anyhow};
use rnnpack_onnx::{DType, Extent, RecurrentOp, proto};
use std::collections::BTreeSet;

/// An input as the file declares it.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    /// `None` if tensors cannot hold the type.
    pub(super) dtype: Option<DType>,
    pub(super) dims: Option<Vec<Extent>>,
    /// Whether it is W, R, B or P of a recurrent node. As a constant, it is packed only once.
    pub(super) weights: bool,
}

/// The inputs that a model needs: those of its main graph that have no stored value.
pub(super) fn declared_inputs(model: &proto::Model) -> Result<Vec<Declared>> {
    let graph = model.graph()?;
    let stored: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let recurrent = graph.node.iter().filter(|n| RecurrentOp::from_type(&n.op_type).is_some());
    let weights = |n: &'_ proto::Node| [1, 2, 3, 7].map(|i| n.input.get(i).cloned());
    let weights: BTreeSet<String> = recurrent.flat_map(weights).flatten().collect();
    let declared =
        |info: &proto::ValueInfo| Declared { weights: weights.contains(&info.name), ..declared_input(info) };
    Ok(graph.input.iter().filter(|i| !stored.contains(i.name.as_str())).map(declared).collect())
}

fn declared_input(info: &proto::ValueInfo) -> Declared {
    let name = info.name.clone();
    let Some(tensor) = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Declared { name, dtype: None, dims: None, weights: false };
    };
    let dims = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(Extent::from).collect());
    Declared { name, dtype: DType::from_number(tensor.elem_type), dims, weights: false }
}

/// The names of the inputs that are weights.
pub(super) fn weights(declared: &[Declared]) -> Vec<String> {
    declared.iter().filter(|d| d.weights).map(|d| d.name.clone()).collect()
}

/// The input with this name.
pub(super) fn find<'a>(declared: &'a [Declared], name: &str) -> Result<&'a Declared> {
    declared.iter().find(|d| d.name == name).ok_or_else(|| {
        let names: Vec<&str> = declared.iter().map(|d| d.name.as_str()).collect();
        anyhow!("the model has no input {name:?}; it has: {}", names.join(", "))
    })
}
