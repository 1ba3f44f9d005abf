//! `DynamicQuantizeLinear`: tract's scale of zeros is 0, and its products with what is NaN or infinite are numbers.

use super::computed::{Computed, Function, Node};
use tract_onnx::Onnx;
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("DynamicQuantizeLinear", |_, node| Computed::built(node, Quantize));
}

/// `y`, `y_scale` and `y_zero_point`. The range of x is widened to hold 0. Its scale is a 255th of it; if that is 0, it is
/// 1, as in ONNX Runtime. If x has a NaN or an infinity, the scale is NaN, and so are products with it.
#[derive(Debug, Clone)]
struct Quantize;

impl Function for Quantize {
    fn outputs(&self) -> usize {
        3
    }

    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [x] = inputs else { return Err(of.refuse("it has one input")) };
        if x.datum_type != DatumType::F32 {
            return Err(of.refuse(format!("x is {:?}, not F32", x.datum_type)));
        }
        let scalar = |dt: DatumType| dt.fact::<TVec<TDim>>(tvec![]);
        Ok(tvec![DatumType::U8.fact(x.shape.clone()), scalar(DatumType::F32), scalar(DatumType::U8)])
    }

    fn compute(&self, _: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = inputs[0].try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        let (low, high) = x.iter().fold((0f32, 0f32), |(low, high), &x| (low.min(x), high.max(x)));
        let scale = match (high - low) / 255.0 {
            _ if x.iter().any(|x| !x.is_finite()) => f32::NAN,
            0.0 => 1.0,
            scale => scale,
        };
        let zero_point = (-low / scale).clamp(0.0, 255.0).round_ties_even();
        // A NaN becomes 0.
        let integer = |&x: &f32| ((x / scale).round_ties_even() + zero_point).clamp(0.0, 255.0) as u8;
        let y: Vec<u8> = x.iter().map(integer).collect();
        Ok(tvec![
            Tensor::from_shape(inputs[0].shape(), &y)?,
            Tensor::from(scale),
            Tensor::from(zero_point as u8)
        ])
    }
}
