//! ONNX `If`, which replaces that of tract.
//!
//! With a constant condition, only the branch that is taken is analysed, and its nodes become nodes of the graph around
//! it. With any other condition, both branches are optimized and planned once.

use crate::body::{Body, NO_CONDITION, changing, closed, may_be_condition, outside_symbols, typed_body};
use crate::choice_op::{Choice, taken};
use crate::reader::{NodeReader, bad_input, refuse};
use rnnpack_onnx::Error as OnnxError;
use std::collections::{HashMap, HashSet};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

/// The names of the branches in the standard: for true, then for false.
const BRANCHES: [&str; 2] = ["then_branch", "else_branch"];

/// One branch: its graph, and for each of its inputs the index of the node's input.
#[derive(Debug, Clone)]
struct Branch {
    body: InferenceModel,
    inputs: Vec<usize>,
}

/// An `If` between parsing and typing. Its inputs are the condition, then the values that the branches use.
#[derive(Debug, Clone)]
struct If {
    node: String,
    /// The names of the outputs that are present.
    outputs: Vec<String>,
    branches: [Branch; 2],
    /// The inputs of the last analysis with an open condition, and its result. tract asks many times, and nested
    /// branches would multiply the work.
    seen: Option<(TVec<InferenceFact>, TVec<InferenceFact>)>,
}

/// Builds the operator of an `If` node.
pub(crate) fn build(
    ctx: &ParsingContext<'_>,
    node: &pb::NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let reader = NodeReader { node, op: "If" };
    reader.check_node(ctx, 1, &BRANCHES)?;
    if node.input.len() != 1 {
        return Err(reader.refuse(format!("it has {} inputs, not one condition", node.input.len())));
    }
    let mut used: Vec<String> = vec![];
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut branch = |name: &str| {
        let graph = reader.graph(name)?;
        // Old files list stored tensors among the graph's inputs.
        let stored: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        if let Some(input) = graph.input.iter().find(|input| !stored.contains(input.name.as_str())) {
            return Err(reader.bad_attribute(name, format!("a branch takes no input, `{}`", input.name)));
        }
        if graph.output.len() != node.output.len() {
            let (found, expected) = (graph.output.len(), node.output.len());
            return Err(reader.bad_attribute(name, format!("{found} outputs, where the node has {expected}")));
        }
        let parsed = ctx.parse_graph(graph)?;
        let mut body = parsed.model;
        let asked = node.output.iter().map(|o| !o.is_empty());
        body.outputs =
            body.outputs.into_iter().zip(asked).filter(|&(_, asked)| asked).map(|(o, _)| o).collect();
        // The condition is input 0.
        let mut input = |name: &String| {
            *places.entry(name.clone()).or_insert_with(|| {
                used.push(name.clone());
                used.len()
            })
        };
        let inputs = parsed.unresolved_inputs.iter().map(&mut input).collect();
        TractResult::Ok(Branch { body, inputs })
    };
    let branches = [branch(BRANCHES[0])?, branch(BRANCHES[1])?];
    let outputs = node.output.iter().filter(|o| !o.is_empty()).cloned().collect();
    Ok((Box::new(If { node: node.name.clone(), outputs, branches, seen: None }), used))
}

/// What holds for a value that is one of two. An extent is open if the two differ or if it has symbols that are not in
/// `outside`. If types or ranks conflict, the error says what each of the two has.
fn merge([a, b]: [InferenceFact; 2], outside: &HashSet<Symbol>) -> Result<InferenceFact, [String; 2]> {
    let (types, ranks) =
        ([&a, &b].map(|f| f.datum_type.concretize()), [&a, &b].map(|f| f.shape.rank().concretize()));
    let mut fact = InferenceFact::default();
    match types {
        [Some(a), Some(b)] if a != b => return Err([a, b].map(|t| format!("elements of type {t:?}"))),
        [Some(a), Some(_)] => fact.datum_type = a.into(),
        _ => {}
    }
    match ranks {
        [Some(a), Some(b)] if a != b => return Err([a, b].map(|rank| format!("{rank} dimensions"))),
        [Some(rank), Some(_)] => {
            let dim = |axis: usize| {
                let [a, b] = [&a, &b].map(|f| f.shape.dim(axis).and_then(|d| d.concretize()));
                let known = a.filter(|a| Some(a) == b.as_ref() && a.symbols().is_subset(outside));
                known.map_or(DimFact::Any, DimFact::Only)
            };
            fact.shape = ShapeFactoid::closed((0..rank as usize).map(dim).collect());
        }
        _ => {}
    }
    Ok(fact)
}

impl If {
    /// What is known of the outputs whichever branch is taken, from what each branch returns. The error names an output
    /// that has a different type or rank in the two branches.
    fn either(
        &self,
        inputs: &[InferenceFact],
        found: [&[InferenceFact]; 2],
    ) -> TractResult<TVec<InferenceFact>> {
        let outside = outside_symbols(inputs);
        let one = |ix: usize| {
            let found = found.map(|outputs| changing(&outputs[ix]));
            merge(found, &outside).map_err(|[a, b]| {
                let (output, [then, other]) = (&self.outputs[ix], BRANCHES);
                refuse(&self.node, "If", format!("`{output}` has {a} in {then} and {b} in {other}"))
            })
        };
        (0..self.outputs.len()).map(one).collect()
    }

    /// What is known of the outputs while the condition may still become a constant. If a branch cannot be computed or
    /// does not fit the other, nothing is known. That is an error only after it is certain that the condition stays
    /// open.
    fn guess(&mut self, inputs: &TVec<InferenceFact>) -> TVec<InferenceFact> {
        match &self.seen {
            Some((seen, found)) if seen == inputs => found.clone(),
            _ => {
                let found = match self.branches.each_ref().map(|branch| branch.outputs(inputs)) {
                    [Ok(a), Ok(b)] => self.either(inputs, [&a, &b]).unwrap_or_default(),
                    _ => tvec![],
                };
                self.seen = Some((inputs.clone(), found.clone()));
                found
            }
        }
    }

    /// Types a branch for inputs of the node with these facts, if the condition stays open. Also returns the facts of
    /// its outputs.
    fn typed(
        &self,
        branch: usize,
        facts: &[InferenceFact],
    ) -> TractResult<(TypedModel, TVec<InferenceFact>)> {
        let typed = self.branches[branch].with_inputs(facts).and_then(typed_body);
        typed.map_err(|e| {
            if e.chain().any(|cause| cause.is::<OnnxError>()) {
                return e;
            }
            let name = BRANCHES[branch];
            refuse(&self.node, "If", format!("its condition is not known at load, and {name} fails: {e:#}"))
        })
    }
}

impl Branch {
    /// Unifies the facts of the node's inputs and outputs with those of the branch that is taken, in both directions.
    fn infer(&mut self, inputs: &mut [InferenceFact], outputs: &mut [InferenceFact]) -> TractResult<()> {
        for (ix, &outer) in self.inputs.iter().enumerate() {
            self.body.input_fact_mut(ix)?.unify_with_mut(&mut inputs[outer])?;
        }
        self.body.analyse(false)?;
        for (ix, &outer) in self.inputs.iter().enumerate() {
            self.body.input_fact_mut(ix)?.unify_with_mut(&mut inputs[outer])?;
        }
        for (ix, outer) in outputs.iter_mut().enumerate() {
            self.body.output_fact_mut(ix)?.unify_with_mut(outer)?;
        }
        Ok(())
    }

    /// The facts of the outputs of a branch that may be taken. Nothing goes back to the node's inputs: the needs of one
    /// branch say nothing about the values that the other gets.
    fn outputs(&self, inputs: &[InferenceFact]) -> TractResult<TVec<InferenceFact>> {
        let mut body = self.body.clone();
        for (ix, &outer) in self.inputs.iter().enumerate() {
            body.input_fact_mut(ix)?.unify_with(&inputs[outer])?;
        }
        body.analyse(false)?;
        (0..body.outputs.len()).map(|ix| body.output_fact(ix).cloned()).collect()
    }

    /// The branch with these facts at the node's inputs, ready to be typed.
    fn with_inputs(&self, facts: &[InferenceFact]) -> TractResult<InferenceModel> {
        let mut body = self.body.clone();
        for (ix, &outer) in self.inputs.iter().enumerate() {
            let known = body.input_fact(ix)?;
            if let Ok(fact) = known.unify(&facts[outer]) {
                body.set_input_fact(ix, fact)?;
            }
        }
        Ok(body)
    }

    /// Adds the nodes of the typed branch to `target`. Their names start with the name of the `If`.
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
        if let Some(value) = inputs[0].value.concretize() {
            self.branches[taken(&self.node, &value)?].infer(&mut inputs, &mut outputs)?;
        } else {
            for (known, found) in outputs.iter_mut().zip(self.guess(&inputs)) {
                known.unify_with(&found)?;
            }
        }
        Ok((inputs, outputs, observed.into_iter().cloned().collect()))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs.len())
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
            let branch = &self.branches[taken(&self.node, &value)?];
            return branch.inline(&branch.with_inputs(&facts)?.into_typed()?, node, target, mapping);
        }
        let cond = target.outlet_fact(wires[0])?;
        if !may_be_condition(cond) {
            return Err(bad_input(&self.node, "cond", format!("it is {cond:?}: {NO_CONDITION}")));
        }
        let [(then, a), (other, b)] = [self.typed(0, &facts)?, self.typed(1, &facts)?];
        let symbols = &self.branches[0].body.symbols;
        let outputs = self.either(&facts, [&a, &b])?;
        let outputs =
            outputs.iter().zip(&self.outputs).map(|(fact, name)| closed(symbols, &self.node, name, fact));
        let op = Choice {
            node: self.node.clone(),
            branches: [then, other].map(Body::Open),
            inputs: self.branches.each_ref().map(|branch| branch.inputs.clone()),
            facts: outputs.collect::<TractResult<_>>()?,
        };
        target.wire_node(&node.name, op, &wires)
    }

    as_op!();
}
