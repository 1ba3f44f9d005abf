//! The operator that runs a `Loop` or a `Scan` in tract.

use crate::body::{Body, BodyMemory, NO_CONDITION, condition};
use crate::kept::Kept;
use crate::loop_form::{Feed, Form};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// A body that runs a number of times and passes values from one iteration to the next.
#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    pub(crate) form: Arc<Form>,
    /// What each input of the body gets.
    pub(crate) feeds: Vec<Feed>,
    pub(crate) body: Body,
    /// The facts of the node's outputs.
    pub(crate) facts: TVec<TypedFact>,
    /// The facts of the elements that an iteration adds to the collected values.
    pub(crate) elements: TVec<TypedFact>,
}

impl Repeat {
    fn run(
        &self,
        ctx: &EvalContext,
        inputs: &TVec<TValue>,
        body: &mut BodyMemory,
    ) -> TractResult<TVec<TValue>> {
        let form = &*self.form;
        let mut carried: TVec<TValue> = form.carried.iter().map(|&slot| inputs[slot].clone()).collect();
        let mut collected: Vec<Vec<TValue>> = vec![vec![]; self.elements.len()];
        let trip = self.trip(inputs)?;
        let mut goes_on = match form.condition {
            Some(slot) => condition(&inputs[slot]).ok_or_else(|| form.bad_input("cond", NO_CONDITION))?,
            None => true,
        };
        let mut iteration = 0;
        while goes_on && trip.is_none_or(|trip| iteration < trip) {
            let feeds = self.feeds(iteration, inputs, carried)?;
            let mut outputs = body.run(&self.body, ctx, feeds)?.into_iter();
            iteration += 1;
            if form.is_loop() {
                let value = outputs.next().context("no condition")?;
                goes_on = condition(&value)
                    .ok_or_else(|| form.refuse(format!("its body's condition: {NO_CONDITION}")))?;
                self.check_condition(goes_on, iteration, trip)?;
            }
            carried = outputs.by_ref().take(form.carried.len()).collect();
            for (k, (element, all)) in outputs.zip(&mut collected).enumerate() {
                self.check_element(k, all, &element)?;
                all.push(element);
            }
        }
        let stacked = collected.iter().enumerate().map(|(k, all)| self.stack(ctx, k, all));
        let stacked = stacked.collect::<TractResult<Vec<_>>>()?;
        let all = carried.into_iter().chain(stacked).zip(&form.outputs);
        Ok(all.filter(|(_, slot)| slot.is_some()).map(|(value, _)| value).collect())
    }

    /// The upper bound of the number of iterations, if there is one.
    fn trip(&self, inputs: &TVec<TValue>) -> TractResult<Option<i64>> {
        if let Some(slot) = self.form.trip {
            return match *inputs[slot].try_as_plain_ram()?.as_slice::<i64>()? {
                [trip] => Ok(Some(trip)),
                ref other => Err(self.form.bad_input("M", format!("it has {} values", other.len()))),
            };
        }
        let mut trip = None;
        for (k, &(slot, _)) in self.form.sliced.iter().enumerate() {
            let shape = inputs[slot].shape();
            let extent = shape[self.form.slice_axis(k, shape.len())?];
            let expected = *trip.get_or_insert(extent);
            if extent != expected {
                let reason = format!("it has {extent} slices, where scan_input[0] has {expected}");
                return Err(self.form.bad_input(format!("scan_input[{k}]"), reason));
            }
        }
        Ok(trip.map(|n| n as i64))
    }

    /// The inputs of the body for an iteration.
    fn feeds(
        &self,
        iteration: i64,
        inputs: &TVec<TValue>,
        carried: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let mut carried = carried.into_iter();
        let [iteration_dims, condition_dims] = self.form.ranks.map(|rank| TVec::from_elem(1usize, rank));
        let one = |&feed: &Feed| {
            Ok(match feed {
                Feed::Iteration => tensor0(iteration).into_shape(&iteration_dims)?.into_tvalue(),
                Feed::Condition => tensor0(true).into_shape(&condition_dims)?.into_tvalue(),
                Feed::Carried(_) => carried.next().context("no carried value")?,
                Feed::Whole(slot) => inputs[slot].clone(),
                Feed::Slice(k) => {
                    let (slot, along) = self.form.sliced[k];
                    let input = &inputs[slot];
                    let axis = self.form.slice_axis(k, input.rank())?;
                    let at = iteration as usize;
                    let at = if along.reverse { input.shape()[axis] - 1 - at } else { at };
                    let mut slice = input.slice(axis, at, at + 1)?;
                    slice.remove_axis(axis)?;
                    slice.into_tvalue()
                }
            })
        };
        self.feeds.iter().map(one).collect()
    }

    /// Refuses a false condition that would end a `Loop` without a `cond`. The text of the standard ignores the
    /// condition in this case, but other implementations do not.
    fn check_condition(&self, goes_on: bool, iteration: i64, trip: Option<i64>) -> TractResult<()> {
        if goes_on || self.form.condition.is_some() || trip.is_some_and(|trip| iteration >= trip) {
            return Ok(());
        }
        let reason = "the body's condition is false, but it counts only for a node with `cond`, and there is no `cond`";
        Err(self.form.refuse(format!("{reason} (iteration {})", iteration - 1)))
    }

    fn check_element(&self, k: usize, all: &[TValue], element: &Tensor) -> TractResult<()> {
        match all.first() {
            Some(first) if first.shape() != element.shape() => {
                let value = &self.form.values[self.form.carried.len() + k];
                let (n, found, expected) = (all.len(), element.shape(), first.shape());
                Err(self.form.refuse(format!(
                    "`{value}` has dimensions {found:?} in iteration {n}, {expected:?} before: they do not stack"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Stacks the elements that the iterations collected.
    fn stack(&self, ctx: &EvalContext, k: usize, elements: &[TValue]) -> TractResult<TValue> {
        let axis = self.form.stack_axis(k, self.elements[k].rank() + 1)?;
        if elements.is_empty() {
            return self.empty(ctx, k, axis);
        }
        let rows = elements.iter().map(|e| {
            let mut row = e.clone().into_tensor();
            row.insert_axis(axis)?;
            Ok(row)
        });
        let mut rows = rows.collect::<TractResult<Vec<Tensor>>>()?;
        if self.form.collected[k].reverse {
            rows.reverse();
        }
        Ok(Tensor::stack_tensors(axis, &rows)?.into_tvalue())
    }

    /// Collected value `k` if no iteration ran.
    fn empty(&self, ctx: &EvalContext, k: usize, axis: usize) -> TractResult<TValue> {
        let mut dims: TVec<usize> = tvec![];
        for dim in self.elements[k].shape.iter() {
            let extent = dim.eval(ctx.symbols).to_usize().map_err(|_| {
                let value = &self.form.values[self.form.carried.len() + k];
                self.form
                    .refuse(format!("it runs no iteration, so the dimensions of `{value}` are not known"))
            })?;
            dims.push(extent);
        }
        dims.insert(axis, 0);
        Ok(Tensor::zero_dt(self.elements[k].datum_type, &dims)?.into_tvalue())
    }
}

impl PartialEq for Repeat {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Repeat {}

impl Op for Repeat {
    fn name(&self) -> StaticName {
        self.form.op.into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    fn required_bound_symbols(&self, _: &[&TypedFact]) -> TVec<Symbol> {
        self.body.symbols()
    }

    op_as_typed_op!();
}

impl EvalOp for Repeat {
    not_out_of_plan!();

    fn state(&self, _: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Kept::state(RepeatMemory::default())
    }
}

/// What the node keeps from one call to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct RepeatMemory(BodyMemory);

#[cfg(test)]
impl RepeatMemory {
    /// The state of the body. Present after a run of a body that keeps only memory.
    pub(crate) fn body(&self) -> Option<&TypedSimpleState> {
        self.0.state()
    }
}

impl OpState for RepeatMemory {
    fn eval(&mut self, ctx: &EvalContext, op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let op = op.downcast_ref::<Repeat>().context("memory of another operator")?;
        op.run(ctx, &inputs, &mut self.0)
    }

    fn reset_lanes(&mut self, _: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}

impl TypedOp for Repeat {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.facts.clone())
    }

    fn codegen(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        let facts = model.node_input_facts(node.id)?;
        let value = |feed: &Feed| match *feed {
            Feed::Whole(slot) => facts[slot].konst.clone(),
            _ => None,
        };
        let values: Vec<_> = self.feeds.iter().map(value).collect();
        let Some((body, left)) = self.body.plan(&values)? else { return Ok(None) };
        let feeds = left.into_iter().map(|i| self.feeds[i]).collect();
        let op = Repeat { body, feeds, ..self.clone() };
        TypedModelPatch::replace_single_op(model, node, &node.inputs, op).map(Some)
    }

    as_op!();
}
