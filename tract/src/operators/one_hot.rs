//! `OneHot`. An index out of range has no element that is on.

use super::computed::{Computed, Function, Node, integers, tensor};
use tract_onnx::Onnx;
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("OneHot", |_, node| {
        Computed::built(node, OneHot { axis: node.get_attr_opt("axis")?.unwrap_or(-1) })
    });
}

/// Inputs: indices, depth, the values off and on.
#[derive(Debug, Clone)]
struct OneHot {
    axis: i64,
}

impl Function for OneHot {
    fn deciding(&self) -> &[usize] {
        &[1]
    }

    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let axis = of.axis(self.axis, inputs[0].rank() + 1)?;
        let depth = super::pad::dimensions(inputs[1].konst.as_deref().context("depth")?)?;
        let [depth] = &depth[..] else { return Err(of.refuse("the depth is one number")) };
        if depth.as_i64().is_some_and(|depth| depth < 0 || depth > i64::from(i32::MAX)) {
            return Err(of.refuse(format!("the depth is {depth}")));
        }
        let mut shape = inputs[0].shape.to_tvec();
        shape.insert(axis, depth.clone());
        Ok(tvec![inputs[2].datum_type.fact(&*shape)])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let axis = of.axis(self.axis, inputs[0].rank() + 1)?;
        let depth = integers(&inputs[1])?.first().copied().unwrap_or(0);
        if inputs[2].len() != 2 {
            return Err(of.refuse("the values are two"));
        }
        Ok(tvec![dispatch_datum!(one_hot(inputs[2].datum_type())(&inputs[0], axis, depth, &inputs[2]))?])
    }
}

fn one_hot<T: Datum>(indices: &Tensor, axis: usize, depth: i64, values: &Tensor) -> TractResult<Tensor> {
    let behind: usize = indices.shape()[axis..].iter().product();
    let mut shape = indices.shape().to_vec();
    shape.insert(axis, depth as usize);
    let indices = integers(indices)?;
    let values = values.try_as_plain_ram()?;
    let [off, on] = values.as_slice::<T>()? else { bail!("two values") };
    let mut y = vec![off.clone(); shape.iter().product()];
    for (i, &index) in indices.iter().enumerate() {
        let index = if index < 0 { index.saturating_add(depth) } else { index };
        if (0..depth).contains(&index) {
            y[(i / behind * depth as usize + index as usize) * behind + i % behind] = on.clone();
        }
    }
    tensor(&shape, &y)
}
