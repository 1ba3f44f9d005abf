//! ONNX `If`, where tract's own falls short: with a constant condition only the branch that is taken is
//! analysed and its nodes become nodes of the graph around it; with another, both branches are optimized and
//! planned once.

use super::body::{Body, BodyMemory};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

/// One branch: its graph, and which input of the node each of its inputs is.
#[derive(Debug, Clone)]
struct Branch {
    body: InferenceModel,
    inputs: Vec<usize>,
}

/// An `If` between parsing and typing. Its inputs are the condition and the values that the branches use.
#[derive(Debug, Clone)]
struct If {
    then_branch: Branch,
    else_branch: Branch,
}

/// Builds the operator of an `If` node.
pub(super) fn build(
    ctx: &ParsingContext<'_>,
    node: &pb::NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mut used: Vec<String> = vec![];
    let mut branch = |attribute: &str| {
        let parsed = ctx.parse_graph(node.get_attr(attribute)?)?;
        let mut input = |name: &String| match used.iter().position(|u| u == name) {
            Some(i) => i + 1,
            None => {
                used.push(name.clone());
                used.len()
            }
        };
        let inputs = parsed.unresolved_inputs.iter().map(&mut input).collect();
        TractResult::Ok(Branch { body: parsed.model, inputs })
    };
    let (then_branch, else_branch) = (branch("then_branch")?, branch("else_branch")?);
    let outputs = |b: &Branch| b.body.outputs.len();
    if outputs(&then_branch) != outputs(&else_branch) || outputs(&then_branch) != node.output.len() {
        bail!("the branches of If `{}` and the node have different numbers of outputs", node.name);
    }
    Ok((Box::new(If { then_branch, else_branch }), used))
}

impl If {
    fn branch(&self, condition: bool) -> &Branch {
        if condition { &self.then_branch } else { &self.else_branch }
    }
}

/// The value of a condition.
pub(super) fn condition(value: &Tensor) -> TractResult<bool> {
    ensure!(value.datum_type() == bool::datum_type() && value.len() == 1, "the condition is not one bool");
    value.cast_to_scalar::<bool>()
}

impl Branch {
    /// Lets what is known of the node's inputs and outputs flow into the branch and back.
    fn infer(
        &mut self,
        inputs: &mut [InferenceFact],
        outputs: &mut [InferenceFact],
        taken: bool,
    ) -> TractResult<()> {
        for (ix, &outer) in self.inputs.iter().enumerate() {
            self.body.input_fact_mut(ix)?.unify_with_mut(&mut inputs[outer])?;
        }
        self.body.analyse(false)?;
        for (ix, &outer) in self.inputs.iter().enumerate() {
            self.body.input_fact_mut(ix)?.unify_with_mut(&mut inputs[outer])?;
        }
        for (ix, outer) in outputs.iter_mut().enumerate() {
            let inner = self.body.output_fact_mut(ix)?;
            if taken {
                inner.unify_with_mut(outer)?;
            } else {
                inner.datum_type.unify_with_mut(&mut outer.datum_type)?;
                inner.shape.unify_with_mut(&mut outer.shape)?;
            }
        }
        Ok(())
    }

    /// The branch typed for inputs of the node with these facts.
    fn typed(&self, facts: &[InferenceFact]) -> TractResult<TypedModel> {
        let mut body = self.body.clone();
        for (ix, &outer) in self.inputs.iter().enumerate() {
            let known = body.input_fact(ix)?;
            if let Ok(fact) = known.unify(&facts[outer]) {
                body.set_input_fact(ix, fact)?;
            }
        }
        body.into_typed()
    }

    /// Adds the nodes of the typed branch to `target`, under names that start with that of the `If`.
    fn inline(
        &self,
        body: &TypedModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let mut inner: HashMap<OutletId, OutletId> = HashMap::new();
        for (outlet, &outer) in body.input_outlets()?.iter().zip(&self.inputs) {
            inner.insert(*outlet, mapping[&node.inputs[outer]]);
        }
        for id in body.eval_order()? {
            let inside = body.node(id);
            if TypedModel::is_source(&inside.op) {
                continue;
            }
            let inputs: TVec<OutletId> = inside.inputs.iter().map(|o| inner[o]).collect();
            let name = format!("{}.{}", node.name, inside.name);
            let wires = target.wire_node(name, inside.op.clone(), &inputs)?;
            inner.extend(wires.iter().enumerate().map(|(slot, &wire)| (OutletId::new(id, slot), wire)));
        }
        body.output_outlets()?
            .iter()
            .map(|o| inner.get(o).copied().context("an output has no value"))
            .collect()
    }
}

impl PartialEq for If {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for If {}

impl Op for If {
    fn name(&self) -> StaticName {
        "If".into()
    }

    not_a_typed_op!();
}

impl EvalOp for If {
    not_out_of_plan!();
}

impl InferenceOp for If {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let mut inputs: TVec<InferenceFact> = inputs.into_iter().cloned().collect();
        let mut outputs: TVec<InferenceFact> = outputs.into_iter().cloned().collect();
        inputs[0].datum_type.unify_with(&bool::datum_type().into())?;
        match inputs[0].value.concretize() {
            Some(value) if condition(&value)? => self.then_branch.infer(&mut inputs, &mut outputs, true)?,
            Some(_) => self.else_branch.infer(&mut inputs, &mut outputs, true)?,
            None => {
                self.then_branch.infer(&mut inputs, &mut outputs, false)?;
                self.else_branch.infer(&mut inputs, &mut outputs, false)?;
            }
        }
        Ok((inputs, outputs, observed.into_iter().cloned().collect()))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.then_branch.body.outputs.len())
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let inferred = source.outlet_fact(node.inputs[0])?.value.concretize();
        let wires: TVec<OutletId> = node.inputs.iter().map(|o| mapping[o]).collect();
        let facts =
            wires.iter().map(|&w| Ok(target.outlet_fact(w)?.into())).collect::<TractResult<Vec<_>>>()?;
        if let Some(value) = target.outlet_fact(wires[0])?.konst.clone().or(inferred) {
            let branch = self.branch(condition(&value)?);
            return branch.inline(&branch.typed(&facts)?, node, target, mapping);
        }
        let typed = [self.then_branch.typed(&facts)?, self.else_branch.typed(&facts)?];
        let facts = choice_facts(&typed)?;
        let inputs = [self.then_branch.inputs.clone(), self.else_branch.inputs.clone()];
        let op = Choice { branches: typed.map(Body::Open), inputs, facts };
        target.wire_node(&node.name, op, &wires)
    }

    as_op!();
}

/// What is known of the outputs of an `If` whichever branch is taken.
fn choice_facts([a, b]: &[TypedModel; 2]) -> TractResult<TVec<TypedFact>> {
    let fact = |ix| {
        let (a, b) = (a.output_fact(ix)?.without_value(), b.output_fact(ix)?.without_value());
        ensure!(
            a.datum_type == b.datum_type && a.shape == b.shape,
            "output {ix} of an If with an open condition is {a:?} in one branch and {b:?} in the other"
        );
        Ok(a)
    };
    (0..a.outputs.len()).map(fact).collect()
}

/// An `If` whose condition is known only when the model runs: the branches for true and for false.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    branches: [Body; 2],
    /// Which input of the node each input of the branch is.
    inputs: [Vec<usize>; 2],
    facts: TVec<TypedFact>,
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

    fn required_bound_symbols(&self, _: &[&TypedFact]) -> TVec<Symbol> {
        self.branches.iter().flat_map(Body::symbols).collect()
    }

    op_as_typed_op!();
}

impl EvalOp for Choice {
    not_out_of_plan!();

    fn state(&self, _: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Ok(Some(Box::new(Memory::default())))
    }
}

/// What an `If` keeps from one call to the next.
#[derive(Debug, Clone, Default)]
struct Memory([BodyMemory; 2]);

impl OpState for Memory {
    fn eval(&mut self, ctx: &EvalContext, op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let op = op.downcast_ref::<Choice>().context("memory of another operator")?;
        let taken = if condition(&inputs[0])? { 0 } else { 1 };
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
