//! Extents that must be equal and are known only when the model runs. tract takes it for granted that they are:
//! a product of matrices whose inner extents differ has some value there, or is read beyond its end.

use crate::reader::refuse;
use std::collections::BTreeMap;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

/// Has the products of `model` check the extents that are not known to be equal.
pub(crate) fn guard(model: &mut TypedModel) -> TractResult<()> {
    for node in 0..model.nodes.len() {
        for ((slot, other), axes) in unproven(model, node)? {
            let (name, inputs) = (model.node(node).name.clone(), model.node(node).inputs.clone());
            let wire = model.unique_name(format!("{name}.extents_{slot}_{other}")).into_owned();
            let guard = Guard { node: name, slot, other, axes };
            let wire = model.wire_node(wire, guard, &[inputs[slot], inputs[other]])?[0];
            model.add_edge(wire, InletId::new(node, slot))?;
        }
    }
    Ok(())
}

/// By pair of inputs: pairs of an axis of the first and one of the second.
type Pairs = BTreeMap<(usize, usize), Vec<[usize; 2]>>;

/// The axes of a node's inputs whose extents must be equal and are not known to be.
fn unproven(model: &TypedModel, node: usize) -> TractResult<Pairs> {
    let mut found = Pairs::new();
    let Some(op) = model.node(node).op_as::<EinSum>() else { return Ok(found) };
    let facts = model.node_input_facts(node)?;
    for axis in op.axes.iter_all_axes() {
        // Along an axis that the result has, an extent that is known to be 1 is repeated.
        let repeats = axis.outputs.iter().any(|axes| !axes.is_empty());
        let places = axis.inputs.iter().enumerate();
        let places = places.flat_map(|(slot, axes)| axes.iter().map(move |&axis| (slot, axis)));
        let mut places: Vec<(usize, usize)> =
            places.filter(|&(slot, axis)| !(repeats && facts[slot].shape[axis].is_one())).collect();
        // A constant is not handed through a guard: it is to be packed when the model is loaded.
        places.sort_by_key(|&(slot, _)| facts[slot].konst.is_none());
        let Some((&(other, first), rest)) = places.split_first() else { continue };
        for &(slot, axis) in rest {
            if facts[slot].shape[axis] != facts[other].shape[first] {
                found.entry((slot, other)).or_default().push([axis, first]);
            }
        }
    }
    Ok(found)
}

/// Hands its first input on, if some of its axes have the extents of axes of the second.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Guard {
    /// The product, as tract calls it, and which inputs of it the two are.
    node: String,
    slot: usize,
    other: usize,
    /// An axis of the first and one of the second.
    axes: Vec<[usize; 2]>,
}

impl Op for Guard {
    fn name(&self) -> StaticName {
        "Guard".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Guard {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (value, against) = args_2!(inputs);
        for &[axis, of_other] in &self.axes {
            let (found, expected) = (value.shape()[axis], against.shape()[of_other]);
            if found != expected {
                let Guard { node, slot, other, .. } = self;
                let reason = format!(
                    "axis {axis} of factor {slot} has {found} elements, axis {of_other} of factor {other} {expected}"
                );
                return Err(refuse(node, "product", reason));
            }
        }
        Ok(tvec![value])
    }
}

impl TypedOp for Guard {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[0].without_value()])
    }

    as_op!();
}
