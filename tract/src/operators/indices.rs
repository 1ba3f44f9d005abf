//! Checks of indices before tract uses them: beyond the end it panics.

use super::computed::Node;
use super::exact::{around, of_tract};
use super::frame::{eval_while_loading, facts_of_inner, named_as_inner, never_equal, outlets_of_inner};
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    for name in ["Gather", "GatherElements", "GatherND", "Scatter", "ScatterElements", "ScatterND"] {
        onnx.op_register.insert(name, build);
    }
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (op, closures) = of_tract(ctx, node)?;
    let places = match node.op_type.as_str() {
        "GatherND" => Places::Points { first: node.get_attr_opt("batch_dims")?.unwrap_or(0) },
        "ScatterND" => Places::Points { first: 0 },
        _ => Places::Axis(node.get_attr_opt("axis")?.unwrap_or(0)),
    };
    let of = Node { name: node.name.clone(), op: node.op_type.clone() };
    let within = Within { of, places };
    Ok((Box::new(Indexed { within, op: around(node, op) }), closures))
}

/// What indices count.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Places {
    /// Positions on one axis of the data.
    Axis(i64),
    /// The last axis has one index for each axis of the data from the first on.
    Points { first: usize },
}

/// Passes indices on, after checking that they are within the data. Inputs: data, indices.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Within {
    of: Node,
    places: Places,
}

impl Within {
    fn check(&self, data: &[usize], indices: &Tensor) -> TractResult<()> {
        let wide = indices.cast_to::<i64>()?;
        let plain = wide.try_as_plain_ram()?;
        let values = plain.as_slice::<i64>()?;
        let extents = match self.places {
            Places::Axis(axis) => &data[self.of.axis(axis, data.len())?..][..1],
            Places::Points { first } => {
                let width = indices.shape().last().copied().unwrap_or(0);
                let end = first.checked_add(width).filter(|&end| end <= data.len());
                let end = end.ok_or_else(|| {
                    self.of.refuse(format!("{width} indices of a point of {} axes", data.len()))
                })?;
                &data[first..end]
            }
        };
        for (&index, &extent) in values.iter().zip(extents.iter().cycle()) {
            let extent = extent as i64;
            if index < -extent || index >= extent {
                let range = if extent == 0 {
                    "there is none".into()
                } else {
                    format!("{} to {}", -extent, extent - 1)
                };
                return Err(self.of.refuse(format!("index {index} is out of range: {range}")));
            }
        }
        Ok(())
    }
}

impl Op for Within {
    fn name(&self) -> StaticName {
        "Within".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Within {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (data, indices) = args_2!(inputs);
        if indices.datum_type() == TDim::datum_type() {
            let values = indices
                .try_as_plain_ram()?
                .as_slice::<TDim>()?
                .iter()
                .map(|d| Ok(d.eval(ctx.symbols).to_i64()?));
            let values = values.collect::<TractResult<Vec<i64>>>()?;
            self.check(data.shape(), &super::computed::tensor(indices.shape(), &values)?)?;
        } else {
            self.check(data.shape(), &indices)?;
        }
        Ok(tvec![indices])
    }
}

impl TypedOp for Within {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[1].without_value()])
    }

    as_op!();
}

/// An operator whose second input are indices of the first.
#[derive(Debug, Clone)]
struct Indexed {
    within: Within,
    op: Box<dyn InferenceOp>,
}

named_as_inner!(Indexed);

impl EvalOp for Indexed {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        if inputs[1].datum_type() != TDim::datum_type() {
            self.within.check(inputs[0].shape(), &inputs[1])?;
        }
        self.op.eval_out_of_plan(inputs)
    }

    eval_while_loading!();
}

impl InferenceOp for Indexed {
    facts_of_inner!();

    outlets_of_inner!();

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let (data, indices) = (mapping[&node.inputs[0]], mapping[&node.inputs[1]]);
        let known = target.outlet_fact(indices)?.konst.clone();
        let shape = target.outlet_fact(data)?.shape.as_concrete().map(<[usize]>::to_vec);
        if let (Some(indices), Some(shape)) = (known.filter(|t| t.datum_type() != TDim::datum_type()), shape)
        {
            self.within.check(&shape, &indices)?;
            return self.op.to_typed(source, node, target, mapping);
        }
        if node.inputs[0] == node.inputs[1] {
            return Err(self.within.of.refuse("one value is its data and its indices"));
        }
        let name = target.unique_name(format!("{}.within", node.name)).into_owned();
        let mut mapping = mapping.clone();
        mapping.insert(node.inputs[1], target.wire_node(name, self.within.clone(), &[data, indices])?[0]);
        self.op.to_typed(source, node, target, &mapping)
    }
}
