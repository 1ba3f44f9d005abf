//! ONNX `If`, where tract's own falls short: with a constant condition only the branch that is taken is
//! analysed and its nodes become nodes of the graph around it; with another, both branches are optimized and
//! planned once.

use super::refuse_unpacked;
use std::sync::Arc;
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

fn condition(value: &Tensor) -> TractResult<bool> {
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

    /// Adds the branch's nodes to `target`, under names that start with that of the `If`.
    fn inline(
        &self,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let body = self.body.clone().into_typed()?;
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

    fn plan(&self) -> TractResult<Planned> {
        let body = self.body.clone().into_typed()?.into_optimized()?;
        refuse_unpacked(&body)?;
        Ok(Planned { plan: TypedSimplePlan::new(body)?, inputs: self.inputs.clone() })
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
        if let Some(value) = target.outlet_fact(wires[0])?.konst.clone().or(inferred) {
            return self.branch(condition(&value)?).inline(node, target, mapping);
        }
        let op = Choice {
            then_branch: Arc::new(self.then_branch.plan()?),
            else_branch: Arc::new(self.else_branch.plan()?),
        };
        target.wire_node(&node.name, op, &wires)
    }

    as_op!();
}

/// A branch that is ready to run.
#[derive(Debug)]
struct Planned {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<usize>,
}

/// An `If` whose condition is known only when the model runs.
#[derive(Debug, Clone)]
struct Choice {
    then_branch: Arc<Planned>,
    else_branch: Arc<Planned>,
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.then_branch, &other.then_branch)
            && Arc::ptr_eq(&self.else_branch, &other.else_branch)
    }
}

impl Eq for Choice {}

impl Op for Choice {
    fn name(&self) -> StaticName {
        "IfThenElse".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Choice {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let branch = if condition(&inputs[0])? { &self.then_branch } else { &self.else_branch };
        branch.plan.run(branch.inputs.iter().map(|&i| inputs[i].clone()).collect())
    }
}

impl TypedOp for Choice {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (a, b) = (self.then_branch.plan.model(), self.else_branch.plan.model());
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

    as_op!();
}
