//! Evaluates `DequantizeLinear` of constants.

use crate::attribute::Attributes;
use crate::proto;
use crate::tensor::{DType, Tensor, TensorData};
use std::sync::Arc;

/// `(x - zero point) * scale` in f32. A scale and a zero point are of all x, or of the elements with one index of an axis.
///
/// `None` for other forms, which are left to a runtime: blocks, types of integers beside those of 8 and 32 bits, and types
/// of scales beside f32.
pub(crate) fn dequantize(node: &proto::Node, inputs: &[Option<Arc<Tensor>>]) -> Option<Tensor> {
    let known = ["axis", "block_size", "output_dtype"];
    let attributes = Attributes::read(node, &known).ok()?;
    let int = |name, default| attributes.int(name).ok().map(|value| value.unwrap_or(default));
    let [Some(x), Some(scale), rest @ ..] = inputs else { return None };
    let zero_point = match rest {
        [] | [None] => None,
        [Some(zero_point)] => Some(zero_point),
        _ => return None,
    };
    let to = int("output_dtype", 0)?;
    if int("block_size", 0)? != 0 || ![0, i64::from(DType::F32.number())].contains(&to) {
        return None;
    }
    let scales = scale.as_slice::<f32>()?;
    let of_axis = scales.len() != 1;
    let (dims, rank) = (x.dims(), x.dims().len() as i64);
    let (extent, inner) = if of_axis {
        let axis = int("axis", 1)?;
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
        (*dims.get(axis)?, dims[axis + 1..].iter().product::<usize>())
    } else {
        (1, x.data().len())
    };
    let fits = |t: &Tensor| t.data().len() == extent && t.dims().len() <= 1;
    if !fits(scale) || zero_point.is_some_and(|z| !fits(z) || z.dtype() != x.dtype()) {
        return None;
    }
    let zeros: Vec<i64> = match zero_point {
        Some(zero_point) => integers(zero_point)?.collect(),
        None => vec![0; extent],
    };
    let number = |(i, x): (usize, i64)| {
        let at = if of_axis { i / inner % extent } else { 0 };
        (x - zeros[at]) as f32 * scales[at]
    };
    let numbers = integers(x)?.enumerate().map(number).collect();
    Tensor::new(dims, numbers).ok()
}

/// The elements of a tensor of integers of 8 or 32 bits.
fn integers(t: &Tensor) -> Option<Box<dyn Iterator<Item = i64> + '_>> {
    Some(match t.data() {
        TensorData::I8(v) => Box::new(v.iter().map(|&v| v.into())),
        TensorData::U8(v) => Box::new(v.iter().map(|&v| v.into())),
        TensorData::I32(v) => Box::new(v.iter().map(|&v| v.into())),
        _ => return None,
    })
}
