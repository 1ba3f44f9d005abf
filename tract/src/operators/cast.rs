//! `Cast`. tract's goes through 32 bits on the way to INT64.

use super::exact;
use half::f16;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Cast", build);
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    match node.get_attr::<DatumType>("to")? {
        DatumType::I64 => Ok((expand(ToInt64), vec![])),
        _ => exact::of_tract(ctx, node),
    }
}

/// `Cast` to INT64. Dimensions stay dimensions.
#[derive(Debug, Clone)]
struct ToInt64;

impl ToInt64 {
    fn result(of: DatumType) -> DatumType {
        if of == TDim::datum_type() { of } else { DatumType::I64 }
    }
}

impl Expansion for ToInt64 {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].shape, &inputs[0].shape)?;
        s.given(&inputs[0].datum_type, move |s, dt| s.equals(&outputs[0].datum_type, Self::result(dt)))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let of = model.outlet_fact(inputs[0])?.datum_type;
        if Self::result(of) == of {
            return model.wire_node(prefix, tract_onnx::tract_core::ops::identity::Identity, inputs);
        }
        model.wire_node(prefix, ElementWiseOp(Box::new(Truncate), None), inputs)
    }
}

/// Numbers as INT64, towards zero. The standard leaves open what becomes of floats that INT64 does not have: here the
/// nearest number that it has, and 0 for NaN.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Truncate;

impl ElementWiseMiniOp for Truncate {
    fn name(&self) -> String {
        "CastToInt64".into()
    }

    fn output_type(&self, _: DatumType) -> Option<DatumType> {
        Some(DatumType::I64)
    }

    fn eval_out_of_place(&self, t: &Tensor, _: Option<DatumType>) -> TractResult<Tensor> {
        fn all<T: Datum>(t: &Tensor, of: impl Fn(&T) -> i64) -> TractResult<Tensor> {
            let values: Vec<i64> = t.try_as_plain_ram()?.as_slice::<T>()?.iter().map(of).collect();
            Tensor::from_shape(t.shape(), &values)
        }
        match t.datum_type() {
            DatumType::F16 => all(t, |x: &f16| x.to_f64() as i64),
            DatumType::F32 => all(t, |x: &f32| *x as i64),
            DatumType::F64 => all(t, |x: &f64| *x as i64),
            _ => Ok(t.cast_to::<i64>()?.into_owned()),
        }
    }
}
