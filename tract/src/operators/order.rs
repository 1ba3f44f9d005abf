//! `ArgMax`, `ArgMin` and `TopK`: a NaN is larger than any number, and smaller than any for the smallest.

use super::computed::{Computed, Function, Node, integers};
use half::f16;
use std::cmp::Ordering;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::{ArrayD, Axis, IxDyn};

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("ArgMax", arg);
    onnx.op_register.insert("ArgMin", arg);
    onnx.op_register.insert("TopK", |ctx, node| {
        if ctx.onnx_operator_set_version < 10 {
            return super::exact::of_tract(ctx, node);
        }
        Computed::built(
            node,
            TopK {
                outputs: node.output.len(),
                axis: node.get_attr_opt("axis")?.unwrap_or(-1),
                largest: node.get_attr_opt::<i64>("largest")?.unwrap_or(1) != 0,
                count: ctx.template.symbols.new_with_prefix("top"),
            },
        )
    });
}

fn arg(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Computed::built(
        node,
        Arg {
            largest: node.op_type == "ArgMax",
            axis: node.get_attr_opt("axis")?.unwrap_or(0),
            keep: node.get_attr_opt::<i64>("keepdims")?.unwrap_or(1) != 0,
            last: node.get_attr_opt::<i64>("select_last_index")?.unwrap_or(0) != 0,
        },
    )
}

/// An element with an order. NaN counts as the wanted extreme, so that it is seen.
trait Ordered: Datum + Copy {
    fn order(self, other: Self, largest: bool) -> Ordering;
}

macro_rules! ordered {
    ($($t:ty: $nan:expr;)*) => { $( impl Ordered for $t {
        fn order(self, other: Self, largest: bool) -> Ordering {
            let nan: fn($t) -> bool = $nan;
            let by_nan = if largest { nan(self).cmp(&nan(other)) } else { nan(other).cmp(&nan(self)) };
            by_nan.then(self.partial_cmp(&other).unwrap_or(Ordering::Equal))
        }
    } )* };
}

ordered! {
    f16: f16::is_nan; f32: f32::is_nan; f64: f64::is_nan;
    i8: |_| false; i16: |_| false; i32: |_| false; i64: |_| false;
    u8: |_| false; u16: |_| false; u32: |_| false; u64: |_| false;
}

/// Calls a generic function for the element type of a tensor.
macro_rules! dispatch_ordered {
    ($of:expr, $dt:expr, $function:ident($($argument:expr),*)) => {
        match $dt {
            DatumType::F16 => $function::<f16>($($argument),*),
            DatumType::F32 => $function::<f32>($($argument),*),
            DatumType::F64 => $function::<f64>($($argument),*),
            DatumType::I8 => $function::<i8>($($argument),*),
            DatumType::I16 => $function::<i16>($($argument),*),
            DatumType::I32 => $function::<i32>($($argument),*),
            DatumType::I64 => $function::<i64>($($argument),*),
            DatumType::U8 => $function::<u8>($($argument),*),
            DatumType::U16 => $function::<u16>($($argument),*),
            DatumType::U32 => $function::<u32>($($argument),*),
            DatumType::U64 => $function::<u64>($($argument),*),
            other => Err($of.refuse(format!("elements of type {other:?}"))),
        }
    };
}

#[derive(Debug, Clone)]
struct Arg {
    largest: bool,
    axis: i64,
    keep: bool,
    last: bool,
}

impl Function for Arg {
    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let axis = of.axis(self.axis, inputs[0].rank())?;
        let mut shape = inputs[0].shape.to_tvec();
        if self.keep {
            shape[axis] = 1.to_dim()
        } else {
            drop(shape.remove(axis))
        }
        Ok(tvec![DatumType::I64.fact(&*shape)])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = &inputs[0];
        let axis = of.axis(self.axis, x.rank())?;
        if x.shape()[axis] == 0 {
            return Err(of.refuse(format!("axis {axis} has no elements")));
        }
        Ok(tvec![dispatch_ordered!(of, x.datum_type(), arg_of(self, x, axis))?])
    }
}

fn arg_of<T: Ordered>(arg: &Arg, x: &Tensor, axis: usize) -> TractResult<Tensor> {
    let x = x.to_plain_array_view::<T>()?;
    let of_lane = |lane: tract_onnx::tract_hir::tract_ndarray::ArrayView1<'_, T>| {
        let mut best = 0;
        for i in 1..lane.len() {
            let order = lane[i].order(lane[best], arg.largest);
            let order = if arg.largest { order } else { order.reverse() };
            if order == Ordering::Greater || (arg.last && order == Ordering::Equal) {
                best = i;
            }
        }
        best as i64
    };
    let y = x.map_axis(Axis(axis), of_lane);
    Ok(if arg.keep { y.insert_axis(Axis(axis)) } else { y }.into_tensor())
}

/// The `k` largest or smallest elements of an axis, in order; the first of equal elements first.
#[derive(Debug, Clone)]
struct TopK {
    /// The values, and the indices where they are wanted.
    outputs: usize,
    axis: i64,
    largest: bool,
    /// The extent, if k is not known when the model is loaded.
    count: Symbol,
}

impl Function for TopK {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn symbol(&self) -> Option<&Symbol> {
        Some(&self.count)
    }

    fn wanted(&self) -> &[usize] {
        &[1]
    }

    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let axis = of.axis(self.axis, inputs[0].rank())?;
        let mut shape = inputs[0].shape.to_tvec();
        let k = match inputs[1].konst.as_deref() {
            Some(k) => super::pad::dimensions(k)?.into_iter().next().context("no k")?,
            None => self.count.to_dim(),
        };
        if let (Some(k), Some(extent)) = (k.as_i64(), shape[axis].as_i64()) {
            check_count(of, k, extent)?;
        }
        shape[axis] = k;
        let mut facts = tvec![inputs[0].datum_type.fact(&*shape), DatumType::I64.fact(&*shape)];
        facts.truncate(self.outputs);
        Ok(facts)
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = &inputs[0];
        let axis = of.axis(self.axis, x.rank())?;
        let k = *integers(&inputs[1])?.first().ok_or_else(|| of.refuse("k is empty"))?;
        let k = check_count(of, k, x.shape()[axis] as i64)?;
        let mut found = dispatch_ordered!(of, x.datum_type(), top_of(x, axis, k, self.largest))?;
        found.truncate(self.outputs);
        Ok(found)
    }
}

fn check_count(of: &Node, k: i64, extent: i64) -> TractResult<usize> {
    if k < 0 || k > extent {
        return Err(of.refuse(format!("k is {k}, and the axis has {extent} elements")));
    }
    Ok(k as usize)
}

fn top_of<T: Ordered>(x: &Tensor, axis: usize, k: usize, largest: bool) -> TractResult<TVec<Tensor>> {
    let x = x.to_plain_array_view::<T>()?;
    let mut shape = x.shape().to_vec();
    shape[axis] = k;
    let mut values = ArrayD::<T>::from_elem(IxDyn(&shape), T::default());
    let mut indices = ArrayD::<i64>::zeros(IxDyn(&shape));
    let lanes = x.lanes(Axis(axis)).into_iter();
    let to = values.lanes_mut(Axis(axis)).into_iter().zip(indices.lanes_mut(Axis(axis)));
    for (lane, (mut values, mut indices)) in lanes.zip(to) {
        let mut order: Vec<usize> = (0..lane.len()).collect();
        order.sort_by(|&a, &b| {
            let order = lane[a].order(lane[b], largest);
            if largest { order.reverse() } else { order }
        });
        for (i, &from) in order.iter().take(k).enumerate() {
            values[i] = lane[from];
            indices[i] = from as i64;
        }
    }
    Ok(tvec![values.into_tensor(), indices.into_tensor()])
}
