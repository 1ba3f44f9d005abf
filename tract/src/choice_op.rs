//! The operator for an `If` whose condition is known only when the model runs.

use crate::body::{Body, BodyMemory, NO_CONDITION, condition};
use crate::kept::Kept;
use crate::reader::bad_input;
use tract_onnx::tract_hir::internal::*;

/// The index of the branch that a condition selects.
pub(crate) fn taken(node: &str, value: &Tensor) -> TractResult<usize> {
    match condition(value) {
        Some(value) => Ok(usize::from(!value)),
        None => Err(bad_input(node, "cond", NO_CONDITION)),
    }
}

/// An `If` whose condition is known only when the model runs. Index 0 is the branch for true, 1 that for false.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) node: String,
    pub(crate) branches: [Body; 2],
    /// For each branch and each of its inputs, the index of the node's input.
    pub(crate) inputs: [Vec<usize>; 2],
    pub(crate) facts: TVec<TypedFact>,
}

impl PartialEq for Choice {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Choice {}

impl Op for Choice {
    fn name(&self) -> StaticName {
        "IfThenElse".into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    fn required_bound_symbols(&self, _: &[&TypedFact]) -> TVec<Symbol> {
        self.branches.iter().flat_map(Body::symbols).collect()
    }

    op_as_typed_op!();
}

impl EvalOp for Choice {
    not_out_of_plan!();

    fn state(&self, _: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Kept::state(ChoiceMemory::default())
    }
}

/// What an `If` keeps from one call to the next, for each branch.
#[derive(Debug, Clone, Default)]
struct ChoiceMemory([BodyMemory; 2]);

impl OpState for ChoiceMemory {
    fn eval(&mut self, ctx: &EvalContext, op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let op = op.downcast_ref::<Choice>().context("memory of another operator")?;
        let taken = taken(&op.node, &inputs[0])?;
        let feeds = op.inputs[taken].iter().map(|&i| inputs[i].clone()).collect();
        self.0[taken].run(&op.branches[taken], ctx, feeds)
    }

    fn reset_lanes(&mut self, _: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}

impl TypedOp for Choice {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.facts.clone())
    }

    fn codegen(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        let facts = model.node_input_facts(node.id)?;
        let mut op = self.clone();
        for (branch, inputs) in op.branches.iter_mut().zip(&mut op.inputs) {
            let values: Vec<_> = inputs.iter().map(|&i| facts[i].konst.clone()).collect();
            let Some((body, left)) = branch.plan(&values)? else { return Ok(None) };
            *branch = body;
            *inputs = left.into_iter().map(|i| inputs[i]).collect();
        }
        TypedModelPatch::replace_single_op(model, node, &node.inputs, op).map(Some)
    }

    as_op!();
}
