//! A stride along an axis of one element, which has no effect, and on which tract fails.

use super::converted::in_f32;
use super::exact::{around, of_tract};
use super::frame::{facts_of_inner, named_as_inner, never_equal};
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Conv", build);
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (op, closures) = of_tract(ctx, node)?;
    let strides = node.get_attr_opt_vec::<i64>("strides")?.unwrap_or_default();
    let mut without = vec![];
    // All sets of axes that have a stride: there are at most three axes in practice.
    if strides.len() <= 3 && strides.iter().any(|&s| s > 1) {
        for set in 1..1 << strides.len() {
            let mut node = node.clone();
            let attribute = node.attribute.iter_mut().find(|a| a.name == "strides").context("strides")?;
            for (axis, stride) in attribute.ints.iter_mut().enumerate() {
                if set >> axis & 1 == 1 {
                    *stride = 1;
                }
            }
            without.push(of_tract(ctx, &node)?.0);
        }
    }
    let op = around(node, Box::new(Conv { op, without }));
    Ok((in_f32(op), closures))
}

/// A convolution, and the same without strides on some axes: bit `n` of the index plus 1 is axis `n` behind the channels.
#[derive(Debug, Clone)]
struct Conv {
    op: Box<dyn InferenceOp>,
    without: Vec<Box<dyn InferenceOp>>,
}

named_as_inner!(Conv);

impl EvalOp for Conv {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.op.eval_out_of_plan(inputs)
    }

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.op.eval(ctx, inputs)
    }
}

impl InferenceOp for Conv {
    facts_of_inner!();

    fn nboutputs(&self) -> TractResult<usize> {
        self.op.nboutputs()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let x = target.outlet_fact(mapping[&node.inputs[0]])?.shape.to_tvec();
        let y = node.outputs[0].fact.shape.concretize();
        // With one element in the result too, only the first place of the kernel is computed.
        let one = |axis: usize| {
            x.get(2 + axis).is_some_and(|d| d.is_one())
                && y.as_ref().and_then(|y| y.get(2 + axis)).is_some_and(|d| d.is_one())
        };
        let set: usize = (0..self.without.len().count_ones() as usize)
            .filter(|&axis| one(axis))
            .map(|axis| 1 << axis)
            .sum();
        let op = if set == 0 { &self.op } else { &self.without[set - 1] };
        op.to_typed(source, node, target, mapping)
    }

    as_op!();
}
