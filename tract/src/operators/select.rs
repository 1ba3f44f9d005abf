//! `ReverseSequence` and `Compress`, which tract lacks.

use super::computed::{Computed, Function, Node, integers};
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::Axis;

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("ReverseSequence", |_, node| {
        let time = node.get_attr_opt("time_axis")?.unwrap_or(0);
        let batch = node.get_attr_opt("batch_axis")?.unwrap_or(1);
        Computed::built(node, ReverseSequence { time, batch })
    });
    onnx.op_register.insert("Compress", compress);
}

/// Each sequence of a batch, up to its length, from its last element to its first.
#[derive(Debug, Clone)]
struct ReverseSequence {
    time: i64,
    batch: i64,
}

impl Function for ReverseSequence {
    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rank = inputs[0].rank();
        if of.axis(self.time, rank)? == of.axis(self.batch, rank)? {
            return Err(of.refuse("time and batch are one axis"));
        }
        Ok(tvec![inputs[0].without_value()])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = inputs[0].clone().into_tensor();
        let (time, batch) = (of.axis(self.time, x.rank())?, of.axis(self.batch, x.rank())?);
        let lens = integers(&inputs[1])?;
        let (steps, rows) = (x.shape()[time], x.shape()[batch]);
        if lens.len() != rows {
            return Err(of.refuse(format!("{} lengths for {rows} sequences", lens.len())));
        }
        if let Some(len) = lens.iter().find(|&&len| len < 0 || len > steps as i64) {
            return Err(of.refuse(format!("length {len} is out of range: 0 to {steps}")));
        }
        let lens: Vec<usize> = lens.into_iter().map(|len| len as usize).collect();
        fn reverse<T: Datum>(x: &Tensor, time: usize, batch: usize, lens: &[usize]) -> TractResult<Tensor> {
            let from = x.to_plain_array_view::<T>()?;
            let mut y = from.to_owned();
            for (row, &len) in lens.iter().enumerate() {
                for step in 0..len {
                    let part = from.index_axis(Axis(time), len - 1 - step);
                    // The batch is one axis earlier where time stood before it.
                    let row_axis = Axis(batch - usize::from(time < batch));
                    let mut to = y.index_axis_mut(Axis(time), step);
                    to.index_axis_mut(row_axis, row).assign(&part.index_axis(row_axis, row));
                }
            }
            Ok(y.into_tensor())
        }
        Ok(tvec![dispatch_datum!(reverse(x.datum_type())(&x, time, batch, &lens))?])
    }
}

fn compress(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let count = ctx.template.symbols.new_with_prefix("compressed");
    Computed::built(node, Compress { axis: node.get_attr_opt("axis")?, count })
}

/// The parts of an axis, or the elements of all axes, whose condition is true.
#[derive(Debug, Clone)]
struct Compress {
    axis: Option<i64>,
    count: Symbol,
}

impl Function for Compress {
    fn symbol(&self) -> Option<&Symbol> {
        Some(&self.count)
    }

    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        match self.axis {
            Some(axis) => shape[of.axis(axis, inputs[0].rank())?] = self.count.to_dim(),
            None => shape = tvec![self.count.to_dim()],
        }
        Ok(tvec![inputs[0].datum_type.fact(&*shape)])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = &inputs[0];
        let condition = inputs[1].cast_to::<bool>()?;
        let condition = condition.try_as_plain_ram()?;
        let chosen: Vec<usize> =
            condition.as_slice::<bool>()?.iter().enumerate().filter(|&(_, &c)| c).map(|(i, _)| i).collect();
        let axis = self.axis.map(|axis| of.axis(axis, x.rank())).transpose()?;
        let extent = axis.map_or(x.len(), |axis| x.shape()[axis]);
        if let Some(beyond) = chosen.iter().find(|&&i| i >= extent) {
            return Err(of.refuse(format!("condition {beyond} is true, but there are {extent} elements")));
        }
        fn select<T: Datum>(x: &Tensor, axis: Option<usize>, chosen: &[usize]) -> TractResult<Tensor> {
            let x = x.to_plain_array_view::<T>()?;
            Ok(match axis {
                Some(axis) => x.select(Axis(axis), chosen).into_tensor(),
                None => {
                    let all: Vec<T> = x.iter().cloned().collect();
                    tensor1(&chosen.iter().map(|&i| all[i].clone()).collect::<Vec<T>>())
                }
            })
        }
        Ok(tvec![dispatch_datum!(select(x.datum_type())(x, axis, &chosen))?])
    }
}
