//! Checks of extents that must be equal and are known only when the model runs.
//!
//! tract assumes that they are equal. If the inner extents of a matrix product differ, it returns an arbitrary value or
//! reads beyond the end.

use crate::reader::refuse;
use std::collections::BTreeMap;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

/// Adds checks to the products of `model` for extents that are not known to be equal.
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

/// Key: a pair of inputs. Value: pairs of an axis of the first and an axis of the second.
type Pairs = BTreeMap<(usize, usize), Vec<[usize; 2]>>;

/// The axes of a node's inputs whose extents must be equal but are not known to be.
fn unproven(model: &TypedModel, node: usize) -> TractResult<Pairs> {
    let mut found = Pairs::new();
    let Some(op) = model.node(node).op_as::<EinSum>() else { return Ok(found) };
    let facts = model.node_input_facts(node)?;
    for axis in op.axes.iter_all_axes() {
        // If the axis is also in the result, an input with extent 1 is repeated along it.
        let repeats = axis.outputs.iter().any(|axes| !axes.is_empty());
        let places = axis.inputs.iter().enumerate();
        let places = places.flat_map(|(slot, axes)| axes.iter().map(move |&axis| (slot, axis)));
        let mut places: Vec<(usize, usize)> =
            places.filter(|&(slot, axis)| !(repeats && facts[slot].shape[axis].is_one())).collect();
        // A constant comes first, so that it does not pass through a guard: it must stay a constant to be packed at
        // load.
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

/// Passes its first input on, after checking that its axes have the same extents as axes of the second input.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Guard {
    /// The name of the product in tract, then the indices of the two inputs among the product's inputs.
    node: String,
    slot: usize,
    other: usize,
    /// Pairs of an axis of the first input and an axis of the second.
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
