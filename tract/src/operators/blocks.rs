//! `DequantizeLinear` with blocks: each block of elements of an axis has a scale and a zero point of its own.

use super::computed::{Computed, Function, Node};
use super::exact::of_tract;
use half::f16;
use tract_onnx::Onnx;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("DequantizeLinear", build);
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let block = node.get_attr_opt::<i64>("block_size")?.unwrap_or(0);
    if block == 0 {
        return of_tract(ctx, node);
    }
    let block = usize::try_from(block).with_context(|| format!("block_size {block}"))?;
    let zero_point = optional_inputs(node).nth(2).flatten();
    Computed::built(node, Blocks { axis: node.get_attr_opt("axis")?.unwrap_or(1), block, zero_point })
}

/// `(x - zero_point) · scale`
#[derive(Debug, Clone)]
struct Blocks {
    axis: i64,
    block: usize,
    /// The index of the input.
    zero_point: Option<usize>,
}

impl Function for Blocks {
    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        of.axis(self.axis, inputs[0].rank())?;
        Ok(tvec![inputs[1].datum_type.fact(inputs[0].shape.clone())])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let axis = of.axis(self.axis, inputs[0].rank())?;
        let mut blocks = inputs[0].shape().to_vec();
        blocks[axis] = blocks[axis].div_ceil(self.block);
        let zero_point = self.zero_point.map(|i| &inputs[i]);
        for parameter in [Some(&inputs[1]), zero_point].into_iter().flatten() {
            if parameter.shape() != blocks {
                let reason =
                    format!("its scale or zero point has dimensions {:?}, not {blocks:?}", parameter.shape());
                return Err(of.refuse(reason));
            }
        }
        let [x, scale] = [0, 1].map(|i| inputs[i].cast_to::<f64>());
        let (x, scale) = (x?, scale?);
        let zero_point = zero_point.map(|z| z.cast_to::<f64>()).transpose()?;
        let (x, scale) = (x.to_plain_array_view::<f64>()?, scale.to_plain_array_view::<f64>()?);
        let zero_point = zero_point.as_ref().map(|z| z.to_plain_array_view::<f64>()).transpose()?;
        let values: Vec<f64> = x
            .indexed_iter()
            .map(|(place, &x)| {
                let mut place = place;
                place[axis] /= self.block;
                (x - zero_point.as_ref().map_or(0.0, |z| z[&place])) * scale[&place]
            })
            .collect();
        let shape = inputs[0].shape();
        Ok(tvec![match inputs[1].datum_type() {
            DatumType::F32 =>
                Tensor::from_shape(shape, &values.iter().map(|&v| v as f32).collect::<Vec<_>>())?,
            DatumType::F16 => {
                Tensor::from_shape(shape, &values.iter().map(|&v| f16::from_f64(v)).collect::<Vec<_>>())?
            }
            other => return Err(of.refuse(format!("scales of type {other:?}"))),
        }])
    }
}
