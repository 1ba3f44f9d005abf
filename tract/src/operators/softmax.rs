//! `LogSoftmax`, as x - max - log(sum(exp(x - max))), which does not underflow.

use super::computed::{Computed, Function, Node};
use half::f16;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("LogSoftmax", build);
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let all_behind = ctx.onnx_operator_set_version < 13;
    let axis = node.get_attr_opt("axis")?.unwrap_or(if all_behind { 1 } else { -1 });
    Computed::built(node, LogSoftmax { axis, all_behind })
}

/// `LogSoftmax` along an axis; before operator set 13 also along all behind it.
#[derive(Debug, Clone)]
struct LogSoftmax {
    axis: i64,
    all_behind: bool,
}

impl Function for LogSoftmax {
    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        of.axis(self.axis, inputs[0].rank())?;
        Ok(tvec![inputs[0].without_value()])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = inputs[0].clone().into_tensor();
        let axis = of.axis(self.axis, x.rank())?;
        Ok(tvec![match x.datum_type() {
            DatumType::F16 => self.all::<f16>(x, axis, f16::to_f64, f16::from_f64)?,
            DatumType::F32 => self.all::<f32>(x, axis, f64::from, |v| v as f32)?,
            DatumType::F64 => self.all::<f64>(x, axis, |v| v, |v| v)?,
            other => return Err(of.refuse(format!("elements of type {other:?}"))),
        }])
    }
}

impl LogSoftmax {
    fn all<T: Datum + Copy>(
        &self,
        mut x: Tensor,
        axis: usize,
        to: fn(T) -> f64,
        from: fn(f64) -> T,
    ) -> TractResult<Tensor> {
        let (before, rest) = x.shape().split_at(axis);
        let behind: usize = rest[1..].iter().product();
        let before: usize = before.iter().product();
        let (extent, behind) = if self.all_behind { (rest[0] * behind, 1) } else { (rest[0], behind) };
        let mut plain = x.try_as_plain_ram_mut()?;
        let values = plain.as_slice_mut::<T>()?;
        for run in (0..before).flat_map(|b| (0..behind).map(move |i| b * extent * behind + i)) {
            let places = (0..extent).map(|k| run + k * behind);
            let run = places.clone().map(|place| to(values[place]));
            let largest = run.clone().fold(f64::NEG_INFINITY, |m, x| if x > m || x.is_nan() { x } else { m });
            let log = run.map(|x| (x - largest).exp()).sum::<f64>().ln();
            for place in places {
                values[place] = from(to(values[place]) - largest - log);
            }
        }
        Ok(x)
    }
}
