//! A recurrent node in tract's shape inference, and how it is added to a typed model.

use crate::bf16::MARK;
use crate::messages;
use crate::recurrent_op::Recurrent;
use crate::recurrent_spec::{InputSlots, Spec};
use crate::settings::Settings;
use rnnpack::{Subnormals, WeightType};
use rnnpack_onnx::{NodeSpec, RecurrentOp};
use std::sync::Arc;
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

/// A recurrent node between parsing and typing.
#[derive(Debug, Clone)]
struct Parsed {
    spec: Arc<Spec>,
    inputs: InputSlots,
}

/// A builder of operators, as tract registers it.
pub(crate) type Builder =
    fn(&ParsingContext<'_>, &pb::NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Builds the operator of a recurrent node. `SUBNORMALS` is the index in [`Subnormals::ALL`] of what its
/// layer does with subnormal numbers. `WEIGHTS` is 0, or 1 and the index in [`WeightType::ALL`] of the type in which it
/// stores its weights.
pub(crate) fn build<const SUBNORMALS: usize, const WEIGHTS: usize>(
    ctx: &ParsingContext<'_>,
    pb: &pb::NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let weight_type = WEIGHTS.checked_sub(1).map(|index| WeightType::ALL[index]);
    operator(ctx, pb, Subnormals::ALL[SUBNORMALS], weight_type)
}

fn operator(
    ctx: &ParsingContext<'_>,
    pb: &pb::NodeProto,
    subnormals: Subnormals,
    weight_type: Option<WeightType>,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mut node = messages::recurrent(pb);
    let attributes = node.attribute.len();
    node.attribute.retain(|a| a.name != MARK);
    let bf16 = node.attribute.len() < attributes;
    // A node without a name gets the name that tract gives it.
    let first = || node.output.iter().find(|o| !o.is_empty()).cloned().unwrap_or_default();
    let name = if node.name.is_empty() { first() } else { node.name.clone() };
    let op = RecurrentOp::from_type(&pb.op_type).context("no recurrent operator")?;
    let node = NodeSpec::read(&node, &name, op, ctx.onnx_operator_set_version).map_err(TractError::new)?;
    let computed = Settings::of(&ctx.template)?;
    let mut inputs = optional_inputs(pb);
    let mut outputs = optional_outputs(pb);
    let outputs = std::array::from_fn(|_| outputs.next().flatten());
    let spec = Spec { node, bf16, outputs, computed, subnormals, weight_type };
    let inputs = std::array::from_fn(|_| inputs.next().flatten());
    Ok((expand(Parsed { spec: Arc::new(spec), inputs }), vec![]))
}

impl Expansion for Parsed {
    fn name(&self) -> StaticName {
        self.spec.node.op.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.spec.outputs.iter().flatten().count())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let slots = self.inputs.map(|slot| slot.map(|i| &inputs[i]));
        let [Some(x), Some(_), Some(r), ..] = slots else { bail!("X, W or R is missing") };
        s.given(&x.datum_type, |_, dt| self.spec.check_known(dt))?;
        for (&name, input) in self.spec.node.op.inputs().iter().zip(slots) {
            let Some(input) = input else { continue };
            let rank = match name {
                "sequence_lens" => Some(1),
                "B" | "P" => Some(2),
                "X" | "W" | "R" | "initial_h" | "initial_c" => Some(3),
                // Scales and zero points have one dimension or two.
                _ => None,
            };
            if let Some(rank) = rank {
                s.given(&input.rank, move |_, found| self.spec.check_rank(name, found, rank))?;
                s.equals(&input.rank, rank)?;
            }
            s.given_2(&x.datum_type, &input.datum_type, move |_, x, found| {
                self.spec.check_type(name, found, x)
            })?;
        }
        self.output_rules(s, x, r, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        target: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let op = Recurrent::new(self.spec.clone(), self.inputs);
        let facts = inputs.iter().map(|i| target.outlet_fact(*i)).collect::<TractResult<Vec<_>>>()?;
        let (op, kept) = match op.capture(&facts)? {
            Some((op, kept)) => (op, kept.into_iter().map(|i| inputs[i]).collect()),
            None => {
                op.check_open(&facts)?;
                (op, inputs.to_vec())
            }
        };
        target.wire_node(prefix, op, &kept)
    }
}

impl Parsed {
    /// The rules for the outputs. They do not compare the extents of the inputs: a model may leave these open or name
    /// equal extents differently. They are compared when the weights are packed and when the node runs.
    fn output_rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        x: &'p TensorProxy,
        r: &'p TensorProxy,
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let axes = self.spec.axes();
        let directions = self.spec.node.direction.count().to_dim();
        let [y, y_h, y_c] = self.spec.outputs.map(|slot| slot.map(|i| &outputs[i]));
        let hidden = |s: &mut Solver<'r>, of: &'p TensorProxy, axis: usize| match self.spec.node.hidden {
            Some(hidden) => s.equals(&of.shape[axis], hidden.to_dim()),
            None => s.equals(&of.shape[axis], &r.shape[self.spec.node.op.summed_axis()]),
        };
        for state in [y_h, y_c].into_iter().flatten() {
            s.equals(&state.rank, 3)?;
            s.equals(&state.datum_type, &x.datum_type)?;
            s.equals(&state.shape[axes.state[0]], directions.clone())?;
            s.equals(&state.shape[axes.state[1]], &x.shape[axes.batch])?;
            hidden(s, state, 2)?;
        }
        let Some(y) = y else { return Ok(()) };
        s.equals(&y.rank, 4)?;
        s.equals(&y.datum_type, &x.datum_type)?;
        s.equals(&y.shape[axes.y[0]], &x.shape[axes.time])?;
        s.equals(&y.shape[axes.y[1]], directions)?;
        s.equals(&y.shape[axes.y[2]], &x.shape[axes.batch])?;
        hidden(s, y, 3)
    }
}
