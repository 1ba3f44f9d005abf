//! The graphs inside nodes, from typing on: what `If`, `Loop` and `Scan` have in common.

use crate::guard::guard;
use crate::kept::Kept;
use std::collections::HashSet;
use std::sync::Arc;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::internal::*;

/// A body in a typed model.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Not planned yet: the constants of the graph around it are not known.
    Open(TypedModel),
    /// Optimized and planned, once.
    Planned(Arc<Planned>),
}

/// A body that is ready to run.
#[derive(Debug)]
pub(crate) struct Planned {
    plan: Arc<TypedSimplePlan>,
    reusable: bool,
}

impl Body {
    /// Plans the body. Inputs whose value is known become constants; `values` has an entry for every input. Returns the
    /// planned body and the indices of the remaining inputs, or `None` if the body is planned already.
    pub(crate) fn plan(&self, values: &[Option<Arc<Tensor>>]) -> TractResult<Option<(Body, Vec<usize>)>> {
        let Self::Open(model) = self else { return Ok(None) };
        let mut model = model.clone();
        let left: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_none()).collect();
        for (outlet, value) in model.inputs.clone().into_iter().zip(values) {
            let Some(value) = value else { continue };
            let node = &mut model.nodes[outlet.node];
            node.op = Box::new(Const::new(value.clone())?);
            node.outputs[outlet.slot].fact = TypedFact::try_from(value.clone())?;
        }
        model.inputs = left.iter().map(|&i| model.inputs[i]).collect();
        let model = model.into_optimized()?;
        let reusable = keeps_only_memory(&model);
        let planned = Planned { plan: TypedSimplePlan::new(model)?, reusable };
        Ok(Some((Body::Planned(Arc::new(planned)), left)))
    }

    /// The symbols in the body. Those of the graph around it must have a value when the body runs.
    pub(crate) fn symbols(&self) -> TVec<Symbol> {
        let model = match self {
            Self::Open(model) => model,
            Self::Planned(planned) => planned.plan.model(),
        };
        let mut symbols: TVec<Symbol> = tvec![];
        for node in model.nodes() {
            for fact in node.outputs.iter().map(|o| &o.fact) {
                let found = fact.shape.iter().flat_map(TDim::symbols).chain(value_symbols(fact));
                symbols.extend(found);
            }
            let facts = model.node_input_facts(node.id).unwrap_or_default();
            symbols.extend(node.op.required_bound_symbols(&facts));
        }
        symbols.sort_unstable();
        symbols.dedup();
        symbols
    }
}

/// Types a body. Also returns the facts of its outputs.
pub(crate) fn typed_body(body: InferenceModel) -> TractResult<(TypedModel, TVec<InferenceFact>)> {
    let mut body = body.into_typed()?;
    guard(&mut body)?;
    return_integers(&mut body)?;
    let facts = (0..body.outputs.len()).map(|ix| Ok(body.output_fact(ix)?.into()));
    let facts = facts.collect::<TractResult<_>>()?;
    Ok((body, facts))
}

/// What is known of a value that may differ each time the node runs. tract's own type of dimensions becomes an integer,
/// as in arithmetic that tract does not follow symbolically.
pub(crate) fn changing(fact: &InferenceFact) -> InferenceFact {
    let fact = fact.clone().without_value();
    match fact.datum_type.concretize() {
        Some(dt) if dt == TDim::datum_type() => fact.with_datum_type(i64::datum_type()),
        _ => fact,
    }
}

/// The symbols that a body gets from the graph around it.
pub(crate) fn outside_symbols(inputs: &[InferenceFact]) -> HashSet<Symbol> {
    let mut outside = HashSet::new();
    for fact in inputs {
        outside.extend(fact.shape.dims().filter_map(|d| d.concretize()).flat_map(|d| d.symbols()));
        outside.extend(TypedFact::try_from(fact).map(|f| value_symbols(&f)).unwrap_or_default());
    }
    outside
}

/// The symbol for an extent of a node's value that is known only when the node runs.
pub(crate) fn open_symbol(scope: &SymbolScope, node: &str, value: &str, axis: usize) -> TDim {
    scope.sym(&format!("{node}: {value}, {axis}")).to_dim()
}

/// The fact of a node's value, with symbols for the open extents.
pub(crate) fn closed(
    scope: &SymbolScope,
    node: &str,
    value: &str,
    fact: &InferenceFact,
) -> TractResult<TypedFact> {
    let dim = |(axis, dim): (usize, &DimFact)| {
        dim.concretize().unwrap_or_else(|| open_symbol(scope, node, value, axis))
    };
    let shape: TVec<TDim> = fact.shape.dims().enumerate().map(dim).collect();
    Ok(fact.datum_type.concretize().context("no element type")?.fact(shape))
}

/// Whether a value with this fact may be a condition.
pub(crate) fn may_be_condition(fact: &TypedFact) -> bool {
    fact.datum_type == bool::datum_type() && fact.shape.volume().as_i64().is_none_or(|n| n == 1)
}

/// Why a value is not a condition.
pub(crate) const NO_CONDITION: &str = "it is not one boolean";

/// The value of a condition, or `None` if it is not one boolean.
pub(crate) fn condition(value: &Tensor) -> Option<bool> {
    let one = value.datum_type() == bool::datum_type() && value.len() == 1;
    one.then(|| value.cast_to_scalar::<bool>().ok()).flatten()
}

/// Casts the outputs of `model` from tract's own type of dimensions to integers. Values of that type may be
/// expressions.
pub(crate) fn return_integers(model: &mut TypedModel) -> TractResult<()> {
    for ix in 0..model.outputs.len() {
        if model.output_fact(ix)?.datum_type == TDim::datum_type() {
            let name = model.unique_name(format!("output_{ix}.cast")).into_owned();
            model.outputs[ix] = model.wire_node(name, cast(i64::datum_type()), &[model.outputs[ix]])?[0];
        }
    }
    Ok(())
}

/// The symbols in a constant of tract's type of dimensions.
fn value_symbols(fact: &TypedFact) -> Vec<Symbol> {
    let values = fact.konst.as_deref().filter(|k| k.datum_type() == TDim::datum_type());
    let values = values.and_then(|k| k.try_as_plain_ram().ok()).and_then(|k| k.as_slice::<TDim>().ok());
    values.unwrap_or_default().iter().flat_map(TDim::symbols).collect()
}

/// Whether only our operators keep anything between calls. tract's `Scan` keeps values, so a plan with it must start
/// afresh for every call.
pub(crate) fn keeps_only_memory(model: &TypedModel) -> bool {
    let own = |node: &TypedNode| match node.op.state(&EvalContext::out_of_plan()) {
        Ok(None) => true,
        Ok(Some(state)) => state.is::<Kept>(),
        Err(_) => false,
    };
    model.nodes().iter().all(own)
}

/// What a node keeps of a body from one run to the next: only memory, no values.
#[derive(Default)]
pub(crate) struct BodyMemory(Option<TypedSimpleState>);

impl BodyMemory {
    /// Runs the body once. Symbols of the graph around it have their values from `ctx`.
    pub(crate) fn run(
        &mut self,
        body: &Body,
        ctx: &EvalContext<'_>,
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let Body::Planned(body) = body else { bail!("the body is not planned") };
        // The state is taken out, so it is not used again if this run fails.
        let mut state = match self.0.take() {
            Some(state) => state,
            None => body.plan.spawn()?,
        };
        state.turn_state.resolved_symbols = ctx.symbols.clone();
        let outputs = state.run(inputs)?;
        self.0 = Some(state).filter(|_| body.reusable);
        Ok(outputs)
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> Option<&TypedSimpleState> {
        self.0.as_ref()
    }
}

impl Clone for BodyMemory {
    /// The clone belongs to another node, so it starts empty.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for BodyMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("memory of a body")
    }
}
