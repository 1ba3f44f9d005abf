//! Integers of 64 bits beside dimensions.
//!
//! tract computes with dimensions as expressions, of the type `TDim`. Where an operator takes a dimension and an INT64,
//! tract converts the INT64 to 32 bits first. [`Exact`] stands around an operator and converts before tract does,
//! without a loss.

use super::computed::{integers, tensor};
use super::frame::{eval_while_loading, named_as_inner, never_equal, outlets_of_inner};
use crate::reader::refuse;
use std::sync::LazyLock;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::dyn_clone::clone_box;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;

/// tract's own operators.
static TRACT: LazyLock<Onnx> = LazyLock::new(tract_onnx::onnx);

/// What an integer input of an operator means to tract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// A number. It becomes a dimension only beside a dimension.
    Number,
    /// A position among the data, which stays an integer.
    Index,
    /// A number that tract always takes as a dimension.
    Dimension,
    /// A position on an axis. Beyond the end of every axis all positions are the same.
    Position,
    /// The extent of an axis of the result, or a negative number with a meaning of its own.
    Extent,
}

/// The operators with tract's implementation behind [`Exact`], and the meaning of their inputs. Other inputs are numbers.
const OPERATORS: &[(&str, &[(usize, Meaning)])] = &[
    ("Where", &[]),
    ("Concat", &[]),
    ("Gather", &[(1, Meaning::Index)]),
    ("GatherElements", &[(1, Meaning::Index)]),
    ("GatherND", &[(1, Meaning::Index)]),
    ("Scatter", &[(1, Meaning::Index)]),
    ("ScatterElements", &[(1, Meaning::Index)]),
    ("ScatterND", &[(1, Meaning::Index)]),
    ("Range", &[(0, Meaning::Dimension), (1, Meaning::Dimension), (2, Meaning::Dimension)]),
    (
        "Slice",
        &[(1, Meaning::Position), (2, Meaning::Position), (3, Meaning::Position), (4, Meaning::Position)],
    ),
    ("Expand", &[(1, Meaning::Extent)]),
    ("Tile", &[(1, Meaning::Extent)]),
    ("ConstantOfShape", &[(0, Meaning::Extent)]),
    ("Reshape", &[(1, Meaning::Extent)]),
    ("Split", &[(1, Meaning::Extent)]),
    ("Resize", &[(3, Meaning::Extent)]),
];

/// The largest extent: tract counts elements in 32 bits in places, and a larger tensor fits no machine that this is for.
const MAX_EXTENT: i64 = i32::MAX as i64;

/// Beyond every extent, and far from the ends of i64, so that sums of two do not overflow.
const FAR: i64 = 1 << 40;

/// Puts [`Exact`] around tract's operators.
pub(super) fn register(onnx: &mut Onnx) {
    for (name, _) in OPERATORS {
        onnx.op_register.insert(name, build);
    }
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (op, closures) = of_tract(ctx, node)?;
    Ok((around(node, op), closures))
}

/// tract's own operator for a node.
pub(super) fn of_tract(
    ctx: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let build = TRACT.op_register.0.get(&node.op_type).with_context(|| format!("no {}", node.op_type))?;
    build(ctx, node)
}

/// Puts [`Exact`] around the operator of a node.
pub(crate) fn around(node: &NodeProto, op: Box<dyn InferenceOp>) -> Box<dyn InferenceOp> {
    around_two(node, op, None)
}

/// Puts [`Exact`] around the operator of a node, with another operator for dimensions.
pub(super) fn around_two(
    node: &NodeProto,
    op: Box<dyn InferenceOp>,
    of_dimensions: Option<Box<dyn InferenceOp>>,
) -> Box<dyn InferenceOp> {
    let known = OPERATORS.iter().find(|(name, _)| *name == node.op_type);
    let meanings = known.map_or(&[][..], |(_, meanings)| meanings);
    Box::new(Exact { node: node.name.clone(), onnx: node.op_type.clone(), meanings, op, of_dimensions })
}

/// An operator whose integer inputs become dimensions without a loss.
#[derive(Debug, Clone)]
struct Exact {
    node: String,
    onnx: String,
    meanings: &'static [(usize, Meaning)],
    op: Box<dyn InferenceOp>,
    /// The operator for dimensions, where tract's knows their symbols only when the model is loaded.
    of_dimensions: Option<Box<dyn InferenceOp>>,
}

impl Exact {
    /// The conversion of an input of type `of`, if it is converted. `mixed` says whether an input is a dimension.
    fn conversion(&self, input: usize, of: DatumType, mixed: bool) -> Option<ToDim> {
        let meaning = self.meanings.iter().find(|(i, _)| *i == input).map_or(Meaning::Number, |&(_, m)| m);
        let is_dimension = of == TDim::datum_type();
        if is_dimension && meaning != Meaning::Position
            || !is_dimension && of != DatumType::I64 && of != DatumType::I32
        {
            return None;
        }
        match meaning {
            Meaning::Number if !mixed => None,
            Meaning::Index => None,
            // The rest of tract's range is of another type.
            Meaning::Dimension if of != DatumType::I64 => None,
            _ => Some(ToDim { node: self.node.clone(), onnx: self.onnx.clone(), meaning, axes: vec![] }),
        }
    }

    fn op(&self, mixed: bool) -> &dyn InferenceOp {
        &**self.of_dimensions.as_ref().filter(|_| mixed).unwrap_or(&self.op)
    }

    /// The extents of the axes to which the positions of a `Slice` belong, if it goes forward on all.
    fn sliced(&self, shape: Option<TVec<TDim>>, values: &[Option<Arc<Tensor>>]) -> Option<Vec<TDim>> {
        let shape = shape.filter(|_| self.onnx == "Slice")?;
        let known = |i: usize| values.get(i).and_then(|v| v.as_ref()).and_then(|v| integers(v).ok());
        let count = values.get(1)?.as_ref()?.len();
        if values.len() > 4 && !known(4)?.iter().all(|&step| step > 0) {
            return None;
        }
        let axes = if values.len() > 3 { known(3)? } else { (0..count as i64).collect() };
        let extent = |axis: i64| {
            let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
            usize::try_from(axis).ok().and_then(|axis| shape.get(axis).cloned())
        };
        axes.into_iter().map(extent).collect()
    }
}

fn is_mixed(mut types: impl Iterator<Item = Option<DatumType>>) -> bool {
    types.any(|dt| dt == Some(TDim::datum_type()))
}

named_as_inner!(Exact);

impl EvalOp for Exact {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let mixed = is_mixed(inputs.iter().map(|t| Some(t.datum_type())));
        let convert = |(i, t): (usize, TValue)| match self.conversion(i, t.datum_type(), mixed) {
            Some(conversion) => conversion.convert(&t).map(Tensor::into_tvalue),
            None => Ok(t),
        };
        let inputs = inputs.into_iter().enumerate().map(convert).collect::<TractResult<_>>()?;
        self.op(mixed).eval_out_of_plan(inputs)
    }

    eval_while_loading!();
}

impl InferenceOp for Exact {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let types: Vec<Option<DatumType>> = inputs.iter().map(|f| f.datum_type.concretize()).collect();
        let mixed = is_mixed(types.iter().copied());
        let values: Vec<Option<Arc<Tensor>>> = inputs.iter().map(|f| f.value.concretize()).collect();
        let axes = self.sliced(inputs[0].shape.concretize(), &values).unwrap_or_default();
        let mut converted: TVec<Option<InferenceFact>> = tvec![];
        for (i, (fact, dt)) in inputs.iter().zip(&types).enumerate() {
            let conversion = dt.and_then(|dt| self.conversion(i, dt, mixed));
            converted.push(match conversion {
                Some(conversion) => Some(conversion.along(&axes, i).fact(fact)?),
                None => None,
            });
        }
        let seen =
            inputs.iter().zip(&converted).map(|(known, other)| other.as_ref().unwrap_or(known)).collect();
        let mut op = clone_box(self.op(mixed));
        let (found, outputs, observed) = op.infer_facts(seen, outputs, observed)?;
        // What was converted keeps its own type and values.
        let known = found.into_iter().zip(inputs).zip(converted);
        let known = known.map(|((found, old), other)| if other.is_some() { old.clone() } else { found });
        Ok((known.collect(), outputs, observed))
    }

    outlets_of_inner!();

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let wires: Vec<OutletId> = node.inputs.iter().map(|i| mapping[i]).collect();
        let types =
            wires.iter().map(|&w| Ok(target.outlet_fact(w)?.datum_type)).collect::<TractResult<Vec<_>>>()?;
        let mixed = is_mixed(types.iter().copied().map(Some));
        let values = wires
            .iter()
            .map(|&w| Ok(target.outlet_fact(w)?.konst.clone()))
            .collect::<TractResult<Vec<_>>>()?;
        let shape = target.outlet_fact(wires[0])?.shape.to_tvec();
        let axes = self.sliced(Some(shape), &values).unwrap_or_default();
        let mut mapping = mapping.clone();
        for (i, (&wire, &dt)) in wires.iter().zip(&types).enumerate() {
            let Some(conversion) = self.conversion(i, dt, mixed) else { continue };
            let kept = (0..wires.len()).any(|j| {
                node.inputs[j] == node.inputs[i]
                    && self.conversion(j, types[j], mixed).map(|c| c.meaning) != Some(conversion.meaning)
            });
            if kept {
                return Err(refuse(&self.node, &self.onnx, "one value is its data and its shape"));
            }
            let conversion = conversion.along(&axes, i);
            let name = target.unique_name(format!("{}.dimension_{i}", node.name)).into_owned();
            let converted = match target.outlet_fact(wire)?.konst.clone() {
                Some(value) => target.add_const(name, conversion.convert(&value)?)?,
                None => target.wire_node(name, conversion, &[wire])?[0],
            };
            mapping.insert(node.inputs[i], converted);
        }
        self.op(mixed).to_typed(source, node, target, &mapping)
    }
}

/// Integers as dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ToDim {
    node: String,
    onnx: String,
    meaning: Meaning,
    /// For each position the extent of its axis; empty if they are not known.
    axes: Vec<TDim>,
}

impl ToDim {
    fn convert(&self, t: &Tensor) -> TractResult<Tensor> {
        let values = super::pad::dimensions(t)?.into_iter().enumerate();
        let convert = |(i, d): (usize, TDim)| match d.as_i64() {
            Some(value) => self.dimension(value, self.axes.get(i)),
            None => Ok(d),
        };
        tensor(t.shape(), &values.map(convert).collect::<TractResult<Vec<TDim>>>()?)
    }

    /// The conversion of input `input`, if it has the starts or the ends of a slice along axes of these extents.
    fn along(self, axes: &[TDim], input: usize) -> ToDim {
        if matches!(input, 1 | 2) { ToDim { axes: axes.to_vec(), ..self } } else { self }
    }

    fn dimension(&self, value: i64, extent: Option<&TDim>) -> TractResult<TDim> {
        match self.meaning {
            Meaning::Number | Meaning::Index | Meaning::Dimension => Ok(TDim::Val(value)),
            // tract takes it that a position is within the axis.
            Meaning::Position => Ok(match extent {
                Some(extent) if value >= MAX_EXTENT => extent.clone(),
                Some(extent) if value > 0 => TDim::Val(value).mini(extent.clone()),
                _ => TDim::Val(value.clamp(-FAR, FAR)),
            }),
            Meaning::Extent if value > MAX_EXTENT => {
                let reason = format!("an extent of {value}: at most {MAX_EXTENT} are computed");
                Err(refuse(&self.node, &self.onnx, reason))
            }
            Meaning::Extent => Ok(TDim::Val(value)),
        }
    }

    fn fact(&self, known: &InferenceFact) -> TractResult<InferenceFact> {
        let value = match known.value.concretize() {
            Some(value) => self.convert(&value)?.into_arc_tensor().into(),
            None => Default::default(),
        };
        Ok(InferenceFact { datum_type: TDim::datum_type().into(), shape: known.shape.clone(), value })
    }
}

impl Op for ToDim {
    fn name(&self) -> StaticName {
        "ToDim".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ToDim {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec![self.convert(&inputs[0])?.into_tvalue()])
    }
}

impl TypedOp for ToDim {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![TDim::datum_type().fact(inputs[0].shape.clone())])
    }

    as_op!();
}
