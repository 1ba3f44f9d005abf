//! Operators that compute in another type than that of their inputs.
//!
//! Operators that sum are computed in half precision by tract. Here they are computed in f32, and rounded once. Others do not take
//! dimensions. They get integers.

use super::computed::output_name;
use super::exact::of_tract;
use super::frame::{eval_while_loading, named_as_inner, never_equal, outlets_of_inner};
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;

const OPERATORS: &[&str] = &[
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "ConvTranspose",
    "CumSum",
    "Einsum",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNormalization",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LpNormalization",
    "MatMul",
    "MaxPool",
    "MeanVarianceNormalization",
    "Mean",
    "RMSNormalization",
    "Softmax",
    "Sum",
];

/// Operators of integers that fail for dimensions.
const OF_INTEGERS: &[&str] =
    &["BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CumSum", "EyeLike", "NonZero", "Sign", "Trilu"];

pub(super) fn register(onnx: &mut Onnx) {
    for name in OPERATORS {
        onnx.op_register.insert(name, build);
    }
    for name in OF_INTEGERS {
        onnx.op_register.insert(name, |ctx, node| {
            let (op, closures) = of_tract(ctx, node)?;
            let op = if OPERATORS.contains(&node.op_type.as_str()) { in_f32(op) } else { op };
            Ok((
                Box::new(Converted { from: TDim::datum_type(), to: DatumType::I64, back: false, op }),
                closures,
            ))
        });
    }
}

pub(super) fn build(
    ctx: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (op, closures) = of_tract(ctx, node)?;
    Ok((in_f32(super::exact::around(node, op)), closures))
}

/// The operator, computed in f32 where its inputs are f16.
pub(super) fn in_f32(op: Box<dyn InferenceOp>) -> Box<dyn InferenceOp> {
    Box::new(Converted { from: DatumType::F16, to: DatumType::F32, back: true, op })
}

/// An operator whose inputs of one type have another inside, and its outputs too if they are converted back.
#[derive(Debug, Clone)]
struct Converted {
    from: DatumType,
    to: DatumType,
    back: bool,
    op: Box<dyn InferenceOp>,
}

named_as_inner!(Converted);

fn converted(t: &TValue, from: DatumType, to: DatumType) -> TractResult<TValue> {
    if t.datum_type() == from { Ok(t.cast_to_dt(to)?.into_owned().into_tvalue()) } else { Ok(t.clone()) }
}

/// What is known of a value, with another type.
fn fact_of(known: &InferenceFact, from: DatumType, to: DatumType) -> TractResult<InferenceFact> {
    if known.datum_type.concretize() != Some(from) {
        return Ok(known.clone());
    }
    let value = match known.value.concretize() {
        Some(value) => {
            value.cast_to_dt(to).map(|v| v.into_owned().into_arc_tensor().into()).unwrap_or_default()
        }
        None => Default::default(),
    };
    Ok(InferenceFact { datum_type: to.into(), shape: known.shape.clone(), value })
}

impl EvalOp for Converted {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let (from, to) = (self.from, self.to);
        if inputs.iter().all(|t| t.datum_type() != from) {
            return self.op.eval_out_of_plan(inputs);
        }
        let inputs = inputs.iter().map(|t| converted(t, from, to)).collect::<TractResult<TVec<TValue>>>();
        // Dimensions with symbols are no numbers yet.
        let Some(inputs) = inputs.ok() else { return Ok(None) };
        let Some(outputs) = self.op.eval_out_of_plan(inputs)? else { return Ok(None) };
        if !self.back {
            return Ok(Some(outputs));
        }
        outputs.iter().map(|t| converted(t, to, from)).collect::<TractResult<_>>().map(Some)
    }

    eval_while_loading!();
}

impl InferenceOp for Converted {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let (from, to) = (self.from, self.to);
        if inputs.iter().all(|f| f.datum_type.concretize() != Some(from)) {
            return self.op.infer_facts(inputs, outputs, observed);
        }
        let seen = |facts: &[&InferenceFact]| {
            facts.iter().map(|f| fact_of(f, from, to)).collect::<TractResult<TVec<InferenceFact>>>()
        };
        let (inner_inputs, inner_outputs) = (seen(&inputs)?, seen(&outputs)?);
        let (found, outputs, observed) =
            self.op.infer_facts(inner_inputs.iter().collect(), inner_outputs.iter().collect(), observed)?;
        let back = |(found, known): (InferenceFact, &&InferenceFact)| match known.datum_type.concretize() {
            // The values are those that were known, not values that were rounded twice.
            Some(dt) if dt == from => {
                let mut found = InferenceFact { value: known.value.clone(), ..found };
                found.datum_type = from.into();
                found
            }
            _ => found,
        };
        let found = found.into_iter().zip(&inputs).map(back).collect();
        let outputs = match self.back {
            true => outputs.iter().map(|f| fact_of(f, to, from)).collect::<TractResult<_>>()?,
            false => outputs,
        };
        Ok((found, outputs, observed))
    }

    outlets_of_inner!();

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let (from, to) = (self.from, self.to);
        let mut mapping = mapping.clone();
        let mut changed = false;
        for (i, input) in node.inputs.iter().enumerate() {
            if target.outlet_fact(mapping[input])?.datum_type == from {
                let name = target.unique_name(format!("{}.{to:?}_{i}", node.name)).into_owned();
                mapping.insert(*input, target.wire_node(name, cast(to), &[mapping[input]])?[0]);
                changed = true;
            }
        }
        if !changed || !self.back {
            return self.op.to_typed(source, node, target, &mapping);
        }
        let mut inner = node.clone();
        inner.name = format!("{}.in_{to:?}", node.name);
        for output in &mut inner.outputs {
            output.fact = fact_of(&output.fact, from, to)?;
        }
        let wires = self.op.to_typed(source, &inner, target, &mapping)?;
        let mut outputs = tvec![];
        for (i, wire) in wires.into_iter().enumerate() {
            let of = target.outlet_fact(wire)?.datum_type;
            outputs.push(if of == to {
                let name = output_name(target, &node.name, i);
                target.wire_node(name, cast(from), &[wire])?[0]
            } else {
                wire
            });
        }
        Ok(outputs)
    }
}
