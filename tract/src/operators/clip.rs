//! `Clip`: the larger of x and min, then the smaller of that and max. A NaN stays.

use super::binary::{Binary, Operation};
use super::computed::Node;
use super::exact;
use half::f16;
use tract_onnx::Onnx;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::wire_cast;
use tract_onnx::tract_core::ops::change_axes::wire_rank_broadcast;
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Clip", build);
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mut inputs = optional_inputs(node).skip(1);
    let mut bound = |name: &str| -> TractResult<Option<Bound>> {
        Ok(match ctx.onnx_operator_set_version < 11 {
            true => node.get_attr_opt::<f32>(name)?.map(Bound::Constant),
            false => inputs.next().flatten().map(Bound::Input),
        })
    };
    let (min, max) = (bound("min")?, bound("max")?);
    let of = Node { name: node.name.clone(), op: node.op_type.clone() };
    Ok((exact::around(node, expand(Clip { of, min, max })), vec![]))
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    Constant(f32),
    /// The index of the input.
    Input(usize),
}

#[derive(Debug, Clone)]
struct Clip {
    of: Node,
    min: Option<Bound>,
    max: Option<Bound>,
}

impl Expansion for Clip {
    fn name(&self) -> StaticName {
        "Clip".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        s.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let dt = model.outlet_fact(inputs[0])?.datum_type;
        let mut wire = inputs[0];
        for (bound, function) in [(self.min, Operation::Max), (self.max, Operation::Min)] {
            let constant = match bound {
                Some(Bound::Input(_)) => None,
                Some(Bound::Constant(v)) => Some(tensor0(v)),
                // The standard's default is the last finite number.
                None => finite_limit(dt, function == Operation::Max),
            };
            let bound = match (bound, constant) {
                (Some(Bound::Input(i)), _) => inputs[i],
                (_, Some(constant)) => {
                    let name = model.unique_name(format!("{prefix}.bound")).into_owned();
                    model.add_const(name, constant)?
                }
                (_, None) => continue,
            };
            if model.outlet_fact(bound)?.shape.volume() != 1.to_dim() {
                return Err(self.of.refuse("a bound is one number"));
            }
            let name = model.unique_name(format!("{prefix}.{function:?}")).into_owned();
            let wires = wire_cast(&name, model, &[wire, bound], dt)?;
            let wires = wire_rank_broadcast(&name, model, &wires)?;
            let op = TypedBinOp(Box::new(Binary { of: self.of.clone(), function }), None);
            wire = model.wire_node(name, op, &wires)?[0];
        }
        let name = model.unique_name(prefix).into_owned();
        model.wire_node(name, tract_onnx::tract_core::ops::identity::Identity, &[wire])
    }
}

/// The least or the largest finite number of a float type.
fn finite_limit(dt: DatumType, least: bool) -> Option<Tensor> {
    match dt {
        DatumType::F16 => Some(tensor0(if least { f16::MIN } else { f16::MAX })),
        DatumType::F32 => Some(tensor0(if least { f32::MIN } else { f32::MAX })),
        DatumType::F64 => Some(tensor0(if least { f64::MIN } else { f64::MAX })),
        _ => None,
    }
}
