//! `Pad`, with negative sides and all modes.

use super::computed::{Computed, Function, Node, integers, tensor};
use tract_onnx::Onnx;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Pad as TractPad, PadMode};
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Pad", build);
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mode = match node.get_attr_opt("mode")?.unwrap_or("constant") {
        "constant" => Mode::Constant,
        "edge" => Mode::Edge,
        "reflect" => Mode::Reflect,
        "wrap" => Mode::Wrap,
        other => {
            let (node, attribute) = (node.name.clone(), "mode".to_string());
            let reason = format!("`{other}` is no mode of the standard");
            return Err(TractError::new(rnnpack_onnx::Error::Attribute { node, attribute, reason }));
        }
    };
    let pads = match ctx.onnx_operator_set_version < 11 {
        true => Some(node.get_attr_opt_vec::<i64>("pads")?.context("no pads")?),
        false => None,
    };
    let mut inputs = optional_inputs(node).skip(2);
    let (value, axes) = (inputs.next().flatten(), inputs.next().flatten());
    let constant = node.get_attr_opt::<f32>("value")?.unwrap_or(0.0);
    let deciding = (pads.is_none()).then_some(1).into_iter().chain(axes).collect();
    Computed::built(node, Pad { mode, pads, constant, value, axes, deciding })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

#[derive(Debug, Clone)]
struct Pad {
    mode: Mode,
    /// The pads, if they are an attribute.
    pads: Option<Vec<i64>>,
    /// The value, if it is an attribute.
    constant: f32,
    /// The indices of inputs.
    value: Option<usize>,
    axes: Option<usize>,
    deciding: Vec<usize>,
}

impl Pad {
    /// The elements that each axis gets before and behind its own; fewer than 0 are taken away.
    fn sides<T: Clone + Default>(
        &self,
        of: &Node,
        rank: usize,
        pads: &[T],
        axes: Option<&Tensor>,
    ) -> TractResult<Vec<[T; 2]>> {
        let axes: Vec<usize> = match axes {
            Some(axes) => {
                integers(axes)?.into_iter().map(|axis| of.axis(axis, rank)).collect::<TractResult<_>>()?
            }
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(of.refuse(format!("{} pads for {} axes", pads.len(), axes.len())));
        }
        let mut sides = vec![[T::default(), T::default()]; rank];
        for (i, &axis) in axes.iter().enumerate() {
            sides[axis] = [pads[i].clone(), pads[axes.len() + i].clone()];
        }
        Ok(sides)
    }

    /// The index of each element of an axis among the `extent` elements that there were; `None` is the constant.
    fn sources(
        &self,
        of: &Node,
        axis: usize,
        extent: usize,
        sides: [i64; 2],
    ) -> TractResult<Vec<Option<usize>>> {
        let length = extent as i64;
        let refuse = |needs: String| {
            of.refuse(format!(
                "axis {axis} of its input has {extent} elements; padding by {sides:?} needs {needs}"
            ))
        };
        let total = length + sides[0] + sides[1];
        if total < 0 {
            return Err(refuse("more".into()));
        }
        let largest = sides[0].max(sides[1]);
        match self.mode {
            Mode::Reflect if largest >= length.max(1) && largest > 0 => {
                return Err(refuse(format!("at least {}", largest + 1)));
            }
            Mode::Edge | Mode::Wrap if length == 0 && total > 0 => return Err(refuse("at least 1".into())),
            _ => {}
        }
        let source = |place: i64| {
            let inside = (0..length).contains(&place);
            match self.mode {
                _ if inside => Some(place),
                Mode::Constant => None,
                Mode::Edge => Some(place.clamp(0, length - 1)),
                Mode::Reflect => Some(if place < 0 { -place } else { 2 * (length - 1) - place }),
                Mode::Wrap => Some(place.rem_euclid(length)),
            }
        };
        Ok((0..total).map(|i| source(i - sides[0]).map(|place| place as usize)).collect())
    }

    fn axes<'t>(&self, inputs: &'t [TValue]) -> Option<&'t Tensor> {
        self.axes.map(|i| &*inputs[i])
    }
}

impl Function for Pad {
    fn deciding(&self) -> &[usize] {
        &self.deciding
    }

    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let pads: Vec<TDim> = match &self.pads {
            Some(pads) => pads.iter().map(|&p| p.to_dim()).collect(),
            None => dimensions(inputs[1].konst.as_deref().context("pads")?)?,
        };
        let axes = self.axes.and_then(|i| inputs[i].konst.as_deref());
        let sides = self.sides(of, inputs[0].rank(), &pads, axes)?;
        let shape =
            inputs[0].shape.iter().zip(sides).map(|(d, [before, behind])| d.clone() + before + behind);
        let shape: TVec<TDim> = shape.collect();
        if let Some(axis) = shape.iter().position(|d| d.as_i64().is_some_and(|d| d < 0)) {
            return Err(of.refuse(format!("axis {axis} would have {} elements", shape[axis])));
        }
        Ok(tvec![inputs[0].datum_type.fact(&*shape)])
    }

    /// tract's own where it is right, since it becomes a part of the convolution behind it.
    fn of_tract(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<Option<Box<dyn TypedOp>>> {
        let pads = match (&self.pads, self.deciding.first().map(|&i| inputs[i].konst.as_deref())) {
            (Some(pads), _) => pads.clone(),
            (None, Some(Some(pads))) if pads.datum_type() != TDim::datum_type() => integers(pads)?,
            _ => return Ok(None),
        };
        let value = match self.value.map(|i| inputs[i].konst.clone()) {
            None => Some(tensor0(self.constant).into_arc_tensor()),
            Some(value) => value.filter(|v| v.len() == 1),
        };
        let axes = self.axes.and_then(|i| inputs[i].konst.as_deref());
        let sides = self.sides(of, inputs[0].rank(), &pads, axes)?;
        let right = self.mode == Mode::Constant && pads.iter().all(|&p| p >= 0);
        let (true, Some(value), true) = (right, value, inputs[0].datum_type.is_float()) else {
            return Ok(None);
        };
        let value = value.cast_to_dt(inputs[0].datum_type)?.into_owned().into_shape(&[])?;
        let pads = sides.iter().map(|&[before, behind]| (before as usize, behind as usize)).collect();
        Ok(Some(Box::new(TractPad { pads, mode: PadMode::Constant(value.into_arc_tensor()) })))
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = &inputs[0];
        let pads = match &self.pads {
            Some(pads) => pads.clone(),
            None => integers(&inputs[1])?,
        };
        let sides = self.sides(of, x.rank(), &pads, self.axes(inputs))?;
        let sources = sides.into_iter().zip(x.shape()).enumerate();
        let sources = sources.map(|(axis, (sides, &extent))| self.sources(of, axis, extent, sides));
        let sources = sources.collect::<TractResult<Vec<_>>>()?;
        let value = match self.value {
            Some(i) if inputs[i].len() == 1 => inputs[i].cast_to_dt(x.datum_type())?.into_owned(),
            Some(_) => return Err(of.refuse("the value is one number")),
            None => tensor0(self.constant).cast_to_dt(x.datum_type())?.into_owned(),
        };
        Ok(tvec![dispatch_datum!(padded(x.datum_type())(x, &value, &sources))?])
    }
}

/// The dimensions in a tensor of dimensions or integers.
pub(super) fn dimensions(t: &Tensor) -> TractResult<Vec<TDim>> {
    if t.datum_type() == TDim::datum_type() {
        return Ok(t.try_as_plain_ram()?.as_slice::<TDim>()?.to_vec());
    }
    Ok(integers(t)?.into_iter().map(TDim::Val).collect())
}

/// The tensor whose element at each place is that of `x` at the sources of the place, or `value` where one has none.
fn padded<T: Datum>(x: &Tensor, value: &Tensor, sources: &[Vec<Option<usize>>]) -> TractResult<Tensor> {
    let shape: Vec<usize> = sources.iter().map(Vec::len).collect();
    let (x_values, value) = (x.try_as_plain_ram()?, value.try_as_plain_ram()?);
    let (x_values, value) = (x_values.as_slice::<T>()?, &value.as_slice::<T>()?[0]);
    let strides = x.strides();
    let count = shape.iter().product();
    let mut values: Vec<T> = Vec::with_capacity(count);
    let mut place = vec![0; shape.len()];
    while values.len() < count {
        let from = place.iter().zip(sources).zip(strides);
        let from = from
            .map(|((&i, sources), &stride)| sources[i].map(|source| source * stride as usize))
            .sum::<Option<usize>>();
        values.push(from.map_or_else(|| value.clone(), |i| x_values[i].clone()));
        for (i, &extent) in place.iter_mut().zip(&shape).rev() {
            *i += 1;
            if *i < extent {
                break;
            }
            *i = 0;
        }
    }
    tensor(&shape, &values)
}
