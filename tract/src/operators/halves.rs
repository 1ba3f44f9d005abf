//! Operators that sum: tract computes them in half precision for FLOAT16. Here they are computed in f32, and rounded once.

use super::computed::output_name;
use super::exact::of_tract;
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

pub(super) fn register(onnx: &mut Onnx) {
    for name in OPERATORS {
        onnx.op_register.insert(name, build);
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
    Box::new(InF32(op))
}

/// An operator whose inputs and outputs of f16 are f32 inside.
#[derive(Debug, Clone)]
struct InF32(Box<dyn InferenceOp>);

impl PartialEq for InF32 {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for InF32 {}

impl Op for InF32 {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.0.info()
    }

    not_a_typed_op!();
}

fn converted(t: &TValue, from: DatumType, to: DatumType) -> TractResult<TValue> {
    if t.datum_type() == from { Ok(t.cast_to_dt(to)?.into_owned().into_tvalue()) } else { Ok(t.clone()) }
}

/// What is known of a value, with another type.
fn fact_of(known: &InferenceFact, from: DatumType, to: DatumType) -> TractResult<InferenceFact> {
    if known.datum_type.concretize() != Some(from) {
        return Ok(known.clone());
    }
    let value = match known.value.concretize() {
        Some(value) => value.cast_to_dt(to)?.into_owned().into_arc_tensor().into(),
        None => Default::default(),
    };
    Ok(InferenceFact { datum_type: to.into(), shape: known.shape.clone(), value })
}

impl EvalOp for InF32 {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let (half, wide) = (DatumType::F16, DatumType::F32);
        if inputs.iter().all(|t| t.datum_type() != half) {
            return self.0.eval_out_of_plan(inputs);
        }
        let inputs = inputs.iter().map(|t| converted(t, half, wide)).collect::<TractResult<_>>()?;
        let Some(outputs) = self.0.eval_out_of_plan(inputs)? else { return Ok(None) };
        outputs.iter().map(|t| converted(t, wide, half)).collect::<TractResult<_>>().map(Some)
    }

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.eval_out_of_plan(inputs)?.context("it is evaluated in a plan alone")
    }
}

impl InferenceOp for InF32 {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let (half, wide) = (DatumType::F16, DatumType::F32);
        if inputs.iter().all(|f| f.datum_type.concretize() != Some(half)) {
            return self.0.infer_facts(inputs, outputs, observed);
        }
        let seen = |facts: &[&InferenceFact]| {
            facts.iter().map(|f| fact_of(f, half, wide)).collect::<TractResult<TVec<InferenceFact>>>()
        };
        let (wide_inputs, wide_outputs) = (seen(&inputs)?, seen(&outputs)?);
        let (found, outputs, observed) =
            self.0.infer_facts(wide_inputs.iter().collect(), wide_outputs.iter().collect(), observed)?;
        let back = |(found, known): (InferenceFact, &&InferenceFact)| match known.datum_type.concretize() {
            // The values are those that were known, not values that were rounded twice.
            Some(dt) if dt == half => {
                let mut found = InferenceFact { value: known.value.clone(), ..found };
                found.datum_type = half.into();
                found
            }
            _ => found,
        };
        let found = found.into_iter().zip(&inputs).map(back).collect();
        let outputs = outputs.iter().map(|f| fact_of(f, wide, half)).collect::<TractResult<_>>()?;
        Ok((found, outputs, observed))
    }

    fn observe_outlets(&self, model: &InferenceModel, node: &InferenceNode) -> TractResult<Vec<OutletId>> {
        self.0.observe_outlets(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.0.nboutputs()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let (half, wide) = (DatumType::F16, DatumType::F32);
        let mut mapping = mapping.clone();
        let mut changed = false;
        for (i, input) in node.inputs.iter().enumerate() {
            if target.outlet_fact(mapping[input])?.datum_type == half {
                let name = target.unique_name(format!("{}.f32_{i}", node.name)).into_owned();
                mapping.insert(*input, target.wire_node(name, cast(wide), &[mapping[input]])?[0]);
                changed = true;
            }
        }
        if !changed {
            return self.0.to_typed(source, node, target, &mapping);
        }
        let mut inner = node.clone();
        inner.name = format!("{}.in_f32", node.name);
        for output in &mut inner.outputs {
            output.fact = fact_of(&output.fact, half, wide)?;
        }
        let wires = self.0.to_typed(source, &inner, target, &mapping)?;
        let mut outputs = tvec![];
        for (i, wire) in wires.into_iter().enumerate() {
            let of = target.outlet_fact(wire)?.datum_type;
            outputs.push(if of == wide {
                let name = output_name(target, &node.name, i);
                target.wire_node(name, cast(half), &[wire])?[0]
            } else {
                wire
            });
        }
        Ok(outputs)
    }

    as_op!();
}
