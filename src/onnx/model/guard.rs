//! Extents that must be equal and are known only when the model runs. tract takes it for granted that they are:
//! a product of matrices whose inner extents differ has some value there, or is read beyond its end.

use super::reader::bad_input;
use std::collections::BTreeMap;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

/// Has the products of `model` check the extents that are not known to be equal.
pub(super) fn guard(model: &mut TypedModel) -> TractResult<()> {
    for node in 0..model.nodes.len() {
        for (slot, checks) in unproven(model, node)? {
            let (name, from) = (model.node(node).name.clone(), model.node(node).inputs[slot]);
            let wire = model.unique_name(format!("{name}.extents_{slot}")).into_owned();
            let wire = model.wire_node(wire, Guard { node: name, slot, checks }, &[from])?[0];
            model.add_edge(wire, InletId::new(node, slot))?;
        }
    }
    Ok(())
}

/// Which inputs of a node have axes whose extents must be others' and are not known to be.
fn unproven(model: &TypedModel, node: usize) -> TractResult<BTreeMap<usize, Vec<(usize, TDim)>>> {
    let mut found: BTreeMap<usize, Vec<(usize, TDim)>> = BTreeMap::new();
    let Some(op) = model.node(node).op_as::<EinSum>() else { return Ok(found) };
    let facts = model.node_input_facts(node)?;
    for axis in op.axes.iter_all_axes() {
        let places =
            axis.inputs.iter().enumerate().flat_map(|(slot, axes)| axes.iter().map(move |&a| (slot, a)));
        let mut places: Vec<(usize, usize)> = places.collect();
        // A constant is what the others are measured by.
        places.sort_by_key(|&(slot, _)| facts[slot].konst.is_none());
        // Along an axis that the result has, an extent of 1 is repeated.
        let repeats = axis.outputs.iter().any(|axes| !axes.is_empty());
        let Some((&(slot, first), others)) = places.split_first() else { continue };
        let expected = &facts[slot].shape[first];
        for &(slot, other) in others {
            let extent = &facts[slot].shape[other];
            if extent != expected && !(repeats && (extent.is_one() || expected.is_one())) {
                found.entry(slot).or_default().push((other, expected.clone()));
            }
        }
    }
    Ok(found)
}

/// Hands its input on, if some of its axes have the extents that they must have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Guard {
    /// The node whose input it is.
    node: String,
    slot: usize,
    checks: Vec<(usize, TDim)>,
}

impl Op for Guard {
    fn name(&self) -> StaticName {
        "Guard".into()
    }

    fn required_bound_symbols(&self, _: &[&TypedFact]) -> TVec<Symbol> {
        self.checks.iter().flat_map(|(_, extent)| extent.symbols()).collect()
    }

    op_as_typed_op!();
}

impl EvalOp for Guard {
    not_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        for (axis, expected) in &self.checks {
            let (found, expected) = (inputs[0].shape()[*axis], expected.eval(ctx.symbols).to_usize()?);
            if found != expected {
                let reason = format!("axis {axis} has {found} elements, where another input has {expected}");
                return Err(bad_input(&self.node, self.slot.to_string(), reason));
            }
        }
        Ok(inputs)
    }
}

impl TypedOp for Guard {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[0].without_value()])
    }

    as_op!();
}
