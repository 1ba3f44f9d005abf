//! The analysis of a `Loop` or a `Scan`: finds facts of its values that hold in every iteration.

use crate::body::{
    Body, NO_CONDITION, changing, closed, condition, may_be_condition, open_symbol, outside_symbols,
    typed_body,
};
use crate::loop_form::{Feed, Form};
use crate::repeat_op::Repeat;
use std::sync::Arc;
use tract_onnx::tract_core::ops::cast::wire_cast;
use tract_onnx::tract_hir::internal::*;

/// The largest number of analyses of a body before the extents of its carried values must hold in every iteration.
const MAX_ROUNDS: usize = 8;

/// A `Loop` or a `Scan` between parsing and typing. The node's inputs are those of `form`, then the values of the
/// graphs around it that the body uses.
#[derive(Debug, Clone)]
pub(crate) struct Repeated {
    pub(crate) form: Arc<Form>,
    pub(crate) body: InferenceModel,
    /// What each input of the body gets.
    pub(crate) feeds: Vec<Feed>,
}

/// A body whose input facts hold in every iteration.
struct Settled<M> {
    body: M,
    /// The facts of the carried values at the start of an iteration.
    entering: TVec<InferenceFact>,
    /// The facts of all outputs of the body.
    leaving: TVec<InferenceFact>,
}

impl Repeated {
    /// Analyses the body for inputs of the node with these facts. If an iteration changes an extent of a carried value,
    /// the extent becomes a symbol. This repeats until the facts at the start of an iteration also describe its end.
    fn settle<M>(
        &self,
        inputs: &[InferenceFact],
        analyse: impl Fn(InferenceModel) -> TractResult<(M, TVec<InferenceFact>)>,
    ) -> TractResult<Settled<M>> {
        let mut entering: TVec<_> = self.form.carried.iter().map(|&slot| changing(&inputs[slot])).collect();
        for _ in 0..MAX_ROUNDS {
            let mut body = self.body.clone();
            for (ix, &feed) in self.feeds.iter().enumerate() {
                body.set_input_fact(ix, self.feed_fact(feed, inputs, &entering)?)?;
            }
            let (body, leaving) = analyse(body)?;
            if !self.widen(&mut entering, &leaving[self.form.first_carried()..])? {
                return Ok(Settled { body, entering, leaving });
            }
        }
        Err(self.form.refuse("its carried values change each other's extents over too many iterations"))
    }

    fn feed_fact(
        &self,
        feed: Feed,
        inputs: &[InferenceFact],
        entering: &[InferenceFact],
    ) -> TractResult<InferenceFact> {
        let [iteration, condition] = self.form.ranks.map(|rank| TVec::from_elem(1usize, rank));
        Ok(match feed {
            Feed::Iteration => InferenceFact::dt_shape(i64::datum_type(), iteration),
            Feed::Condition => tensor0(true).into_shape(&condition)?.into(),
            Feed::Carried(k) => entering[k].clone(),
            Feed::Whole(slot) => inputs[slot].clone(),
            Feed::Slice(k) => {
                let mut fact = changing(&inputs[self.form.sliced[k].0]);
                if let Some(rank) = fact.shape.rank().concretize() {
                    let mut dims: TVec<DimFact> = fact.shape.dims().cloned().collect();
                    dims.remove(self.form.slice_axis(k, rank as usize)?);
                    fact.shape = ShapeFactoid::closed(dims);
                } else {
                    fact.shape = ShapeFactoid::default();
                }
                fact
            }
        })
    }

    /// Replaces the extents that differ between the start and the end of an iteration by symbols. Returns whether there
    /// were any.
    fn widen(&self, entering: &mut [InferenceFact], leaving: &[InferenceFact]) -> TractResult<bool> {
        let mut changed = false;
        for (k, (entering, leaving)) in entering.iter_mut().zip(leaving).enumerate() {
            let leaving = changing(leaving);
            let differ = |what: &str, a: String, b: String| {
                let reason = format!(
                    "`{}` enters an iteration with {what} {a} and leaves it with {b}",
                    self.form.values[k]
                );
                Err(self.form.bad_input(self.form.carried_input(k), reason))
            };
            if let (Some(a), Some(b)) = (entering.datum_type.concretize(), leaving.datum_type.concretize())
                && a != b
            {
                return differ("the element type", format!("{a:?}"), format!("{b:?}"));
            }
            let ranks = [&*entering, &leaving].map(|fact| fact.shape.rank().concretize());
            let [Some(a), Some(b)] = ranks else { continue };
            if a != b {
                return differ("a number of dimensions,", a.to_string(), b.to_string());
            }
            for axis in 0..a as usize {
                let extents = [&*entering, &leaving].map(|fact| fact.shape.dim(axis)?.concretize());
                let [Some(a), Some(b)] = extents else { continue };
                let symbol = self.symbol(&format!("{} enters", self.form.values[k]), axis);
                if a != b && a != symbol {
                    changed = entering.shape.set_dim(axis, symbol);
                }
            }
        }
        Ok(changed)
    }

    /// The symbol for an extent that is known only when the node runs.
    fn symbol(&self, value: &str, axis: usize) -> TDim {
        open_symbol(&self.body.symbols, &self.form.node, value, axis)
    }

    /// The number of iterations, if it is known.
    fn iterations(&self, inputs: &[InferenceFact], leaving: &[InferenceFact]) -> TractResult<Option<TDim>> {
        if let Some(&(slot, _)) = self.form.sliced.first() {
            let shape = &inputs[slot].shape;
            let Some(rank) = shape.rank().concretize() else { return Ok(None) };
            return Ok(shape.dim(self.form.slice_axis(0, rank as usize)?).and_then(|d| d.concretize()));
        }
        let value = |slot: usize| inputs[slot].value.concretize();
        let started = match self.form.condition {
            Some(slot) => value(slot).and_then(|c| condition(&c)),
            None => Some(true),
        };
        let goes_on = leaving[0].value.concretize().and_then(|c| condition(&c)) == Some(true);
        match (started, self.form.trip.and_then(value)) {
            (Some(false), _) => Ok(Some(0.to_dim())),
            (Some(true), Some(trip)) if goes_on && trip.len() == 1 => {
                let trip = trip.cast_to::<TDim>()?;
                let trip = trip.try_as_plain_ram()?.as_slice::<TDim>()?[0].clone();
                Ok(Some(if trip.as_i64().is_some_and(|n| n < 0) { 0.to_dim() } else { trip }))
            }
            _ => Ok(None),
        }
    }

    /// What is known of the carried and the collected values after the node. An extent is open if it is not known or if
    /// it has symbols of the body.
    fn results<M>(&self, inputs: &[InferenceFact], settled: &Settled<M>) -> TractResult<TVec<InferenceFact>> {
        let outside = outside_symbols(inputs);
        let open = |dim: Option<TDim>| {
            dim.filter(|d| d.symbols().is_subset(&outside)).map_or(DimFact::Any, DimFact::Only)
        };
        let leaving = &settled.leaving[self.form.first_carried()..];
        let iterations = self.iterations(inputs, &settled.leaving)?;
        let mut results = tvec![];
        for (k, left) in leaving.iter().enumerate() {
            let entered = settled.entering.get(k);
            let mut result = changing(entered.unwrap_or(left));
            result.datum_type = result.datum_type.unify(&changing(left).datum_type)?;
            if let Some(rank) = result.shape.rank().concretize() {
                let dim = |axis: usize| {
                    let left = left.shape.dim(axis).and_then(|d| d.concretize());
                    let same = entered.is_none_or(|e| e.shape.dim(axis).and_then(|d| d.concretize()) == left);
                    open(left.filter(|_| same))
                };
                let mut dims: TVec<DimFact> = (0..rank as usize).map(dim).collect();
                if entered.is_none() {
                    let axis = self.form.stack_axis(k - settled.entering.len(), dims.len() + 1)?;
                    dims.insert(axis, open(iterations.clone()));
                }
                result.shape = ShapeFactoid::closed(dims);
            }
            results.push(result);
        }
        Ok(results)
    }

    /// Selects, from `all` carried and collected values, those that are outputs of the node.
    fn outputs<T>(&self, all: TVec<T>) -> TVec<T> {
        all.into_iter().zip(&self.form.outputs).filter(|(_, slot)| slot.is_some()).map(|(v, _)| v).collect()
    }

    /// Checks the types of the inputs that bound the iterations.
    fn check_counts(&self, inputs: &[TypedFact]) -> TractResult<()> {
        let dims = [i64::datum_type(), TDim::datum_type()];
        for (slot, name, types) in
            [(self.form.trip, "M", &dims[..]), (self.form.condition, "cond", &[bool::datum_type()])]
        {
            let Some(fact) = slot.map(|slot| &inputs[slot]) else { continue };
            let one = fact.shape.volume().as_i64().is_none_or(|n| n == 1);
            if !types.contains(&fact.datum_type) || !one {
                return Err(self.form.bad_input(name, format!("it is {fact:?}, not one {:?}", types[0])));
            }
        }
        Ok(())
    }

    /// Checks the type of the condition that the body of a `Loop` returns.
    fn check_goes_on(&self, body: &TypedModel) -> TractResult<()> {
        if !self.form.is_loop() {
            return Ok(());
        }
        let fact = body.output_fact(0)?;
        match may_be_condition(fact) {
            true => Ok(()),
            false => {
                Err(self.form.refuse(format!("its body returns {fact:?} as the condition: {NO_CONDITION}")))
            }
        }
    }
}

impl PartialEq for Repeated {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Repeated {}

impl Op for Repeated {
    fn name(&self) -> StaticName {
        self.form.op.into()
    }

    not_a_typed_op!();
}

impl EvalOp for Repeated {
    not_out_of_plan!();
}

impl InferenceOp for Repeated {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let inputs: TVec<InferenceFact> = inputs.into_iter().cloned().collect();
        let settled = self.settle(&inputs, |mut body| {
            body.analyse(false)?;
            let facts = (0..body.outputs.len()).map(|ix| body.output_fact(ix).cloned());
            let facts = facts.collect::<TractResult<_>>()?;
            Ok((body, facts))
        })?;
        let found = self.outputs(self.results(&inputs, &settled)?);
        let outputs = found.iter().zip(outputs).map(|(found, old)| found.unify(old));
        Ok((inputs, outputs.collect::<TractResult<_>>()?, observed.into_iter().cloned().collect()))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.form.outputs.iter().flatten().count())
    }

    fn to_typed(
        &self,
        _: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let mut wires: TVec<OutletId> = node.inputs.iter().map(|o| mapping[o]).collect();
        let typed =
            wires.iter().map(|&w| target.outlet_fact(w).cloned()).collect::<TractResult<TVec<_>>>()?;
        self.check_counts(&typed)?;
        let inputs: TVec<InferenceFact> = typed.iter().map(Into::into).collect();
        let settled = self.settle(&inputs, typed_body)?;
        self.check_goes_on(&settled.body)?;
        let results = self.results(&inputs, &settled)?;
        let results = results
            .iter()
            .zip(&self.form.values)
            .map(|(fact, value)| closed(&self.body.symbols, &self.form.node, value, fact));
        let facts = self.outputs(results.collect::<TractResult<TVec<_>>>()?);
        let first_collected = self.form.first_carried() + self.form.carried.len();
        let elements = (first_collected..settled.body.outputs.len())
            .map(|ix| settled.body.output_fact(ix).map(TypedFact::without_value))
            .collect::<TractResult<_>>()?;
        // A value may keep tract's own type of dimensions only if it reaches the body unchanged.
        let whole = |slot: usize| self.feeds.contains(&Feed::Whole(slot));
        for slot in (0..wires.len()).filter(|&slot| !whole(slot)) {
            if typed[slot].datum_type == TDim::datum_type() {
                let name = format!("{}.input_{slot}", node.name);
                wires[slot] = wire_cast(name, target, &[wires[slot]], i64::datum_type())?[0];
            }
        }
        let body = Body::Open(settled.body);
        let op = Repeat { form: self.form.clone(), feeds: self.feeds.clone(), body, facts, elements };
        target.wire_node(&node.name, op, &wires)
    }

    as_op!();
}
