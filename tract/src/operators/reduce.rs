//! The reductions. They sum in f64, integers exactly; tract's lose NaN, overflow, and are wrong for nothing at all.

use super::computed::{Computed, Function, Node, integers, tensor};
use half::f16;
use tract_onnx::Onnx;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::{ArrayViewD, IxDyn};

/// A reduction. The names are ONNX's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reducer {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    LogSum,
    LogSumExp,
    SumSquare,
}

const REDUCERS: &[(&str, Reducer)] = &[
    ("ReduceSum", Reducer::Sum),
    ("ReduceMean", Reducer::Mean),
    ("ReduceMax", Reducer::Max),
    ("ReduceMin", Reducer::Min),
    ("ReduceProd", Reducer::Prod),
    ("ReduceL1", Reducer::L1),
    ("ReduceL2", Reducer::L2),
    ("ReduceLogSum", Reducer::LogSum),
    ("ReduceLogSumExp", Reducer::LogSumExp),
    ("ReduceSumSquare", Reducer::SumSquare),
];

pub(super) fn register(onnx: &mut Onnx) {
    for (name, _) in REDUCERS {
        onnx.op_register.insert(name, build);
    }
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let reducer = REDUCERS.iter().find(|(name, _)| *name == node.op_type).context("a reduction")?.1;
    let axes_are_an_input = ctx.onnx_operator_set_version >= if reducer == Reducer::Sum { 13 } else { 18 };
    let axes = match axes_are_an_input {
        true => None,
        false => Some(node.get_attr_opt_vec::<i64>("axes")?.unwrap_or_default()),
    };
    let reduce = Reduce {
        reducer,
        axes,
        axes_input: axes_are_an_input && optional_inputs(node).nth(1).flatten().is_some(),
        keep: node.get_attr_opt::<i64>("keepdims")?.unwrap_or(1) != 0,
        nothing_without_axes: node.get_attr_opt::<i64>("noop_with_empty_axes")?.unwrap_or(0) != 0,
    };
    Computed::built(node, reduce)
}

/// A reduction at a node.
#[derive(Debug, Clone)]
struct Reduce {
    reducer: Reducer,
    /// The axes, if they are an attribute.
    axes: Option<Vec<i64>>,
    axes_input: bool,
    keep: bool,
    nothing_without_axes: bool,
}

impl Reduce {
    /// Whether each axis of a value of `rank` dimensions is reduced.
    fn reduced(&self, of: &Node, rank: usize, axes: Option<&Tensor>) -> TractResult<Vec<bool>> {
        let axes = match (axes, &self.axes) {
            (Some(axes), _) => integers(axes)?,
            (None, axes) => axes.clone().unwrap_or_default(),
        };
        if axes.is_empty() {
            return Ok(vec![!self.nothing_without_axes; rank]);
        }
        let mut reduced = vec![false; rank];
        for axis in axes {
            reduced[of.axis(axis, rank)?] = true;
        }
        Ok(reduced)
    }

    /// The shape of the result.
    fn shape<D: Clone>(&self, shape: &[D], one: D, reduced: &[bool]) -> TVec<D> {
        let kept = |(d, &reduced): (&D, &bool)| match reduced {
            true => self.keep.then(|| one.clone()),
            false => Some(d.clone()),
        };
        shape.iter().zip(reduced).filter_map(kept).collect()
    }
}

impl Function for Reduce {
    fn deciding(&self) -> &[usize] {
        if self.axes_input { &[1] } else { &[] }
    }

    fn keeps_dimensions(&self) -> bool {
        true
    }

    fn symbolic(&self, of: &Node, inputs: &[TValue]) -> TractResult<Option<TVec<Tensor>>> {
        let fold: fn(&[TDim]) -> TDim = match self.reducer {
            Reducer::Sum | Reducer::L1 => |run| run.iter().sum(),
            Reducer::Prod => |run| run.iter().product(),
            Reducer::Max => |run| run.iter().cloned().reduce(TDim::maxi).unwrap_or_default(),
            Reducer::Min => |run| run.iter().cloned().reduce(TDim::mini).unwrap_or_default(),
            _ => return Ok(None),
        };
        let (reduced, shape) = self.of_call(of, inputs)?;
        runs(&inputs[0], &reduced, &shape, |run| Ok(fold(run))).map(|y| Some(tvec![y]))
    }

    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let axes = inputs.get(1).and_then(|fact| fact.konst.as_deref());
        let reduced = self.reduced(of, inputs[0].rank(), axes)?;
        let shape = self.shape(&inputs[0].shape.to_tvec(), 1.to_dim(), &reduced);
        Ok(tvec![inputs[0].datum_type.fact(&*shape)])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = &inputs[0];
        let (reduced, shape) = self.of_call(of, inputs)?;
        let y = match x.datum_type() {
            DatumType::F16 => self.all::<f16>(of, x, &reduced, &shape),
            DatumType::F32 => self.all::<f32>(of, x, &reduced, &shape),
            DatumType::F64 => self.all::<f64>(of, x, &reduced, &shape),
            DatumType::I8 => self.all::<i8>(of, x, &reduced, &shape),
            DatumType::I16 => self.all::<i16>(of, x, &reduced, &shape),
            DatumType::I32 => self.all::<i32>(of, x, &reduced, &shape),
            DatumType::I64 => self.all::<i64>(of, x, &reduced, &shape),
            DatumType::U8 => self.all::<u8>(of, x, &reduced, &shape),
            DatumType::U16 => self.all::<u16>(of, x, &reduced, &shape),
            DatumType::U32 => self.all::<u32>(of, x, &reduced, &shape),
            DatumType::U64 => self.all::<u64>(of, x, &reduced, &shape),
            DatumType::Bool => self.all::<bool>(of, x, &reduced, &shape),
            other => Err(of.refuse(format!("elements of type {other:?}"))),
        };
        Ok(tvec![y?])
    }
}

impl Reduce {
    /// Which axes are reduced, and the shape of the result.
    fn of_call(&self, of: &Node, inputs: &[TValue]) -> TractResult<(Vec<bool>, TVec<usize>)> {
        let reduced = self.reduced(of, inputs[0].rank(), inputs.get(1).map(|axes| &**axes))?;
        let shape = self.shape(inputs[0].shape(), 1, &reduced);
        Ok((reduced, shape))
    }

    fn all<T: Element>(
        &self,
        of: &Node,
        x: &Tensor,
        reduced: &[bool],
        shape: &[usize],
    ) -> TractResult<Tensor> {
        runs::<T>(x, reduced, shape, |run| T::reduce(self.reducer, run).map_err(|reason| of.refuse(reason)))
    }
}

/// Reduces each run of elements. The axes that stay come first; each of their positions has one run.
fn runs<T: Datum>(
    x: &Tensor,
    reduced: &[bool],
    shape: &[usize],
    reduce: impl Fn(&[T]) -> TractResult<T>,
) -> TractResult<Tensor> {
    let kept: Vec<usize> = (0..reduced.len()).filter(|&axis| !reduced[axis]).collect();
    let order: Vec<usize> =
        kept.iter().copied().chain((0..reduced.len()).filter(|&axis| reduced[axis])).collect();
    let view: ArrayViewD<'_, T> = x.to_plain_array_view::<T>()?.permuted_axes(IxDyn(&order));
    let outer: usize = kept.iter().map(|&axis| x.shape()[axis]).product();
    let inner: usize = order[kept.len()..].iter().map(|&axis| x.shape()[axis]).product();
    let mut run = Vec::with_capacity(inner);
    let mut elements = view.iter();
    let mut results = Vec::with_capacity(outer);
    for _ in 0..outer {
        run.clear();
        run.extend(elements.by_ref().take(inner).cloned());
        results.push(reduce(&run)?);
    }
    tensor(shape, &results)
}

/// An element that can be reduced.
trait Element: Datum + Copy {
    /// The reduction of a run. The error says why there is none.
    fn reduce(reducer: Reducer, run: &[Self]) -> Result<Self, &'static str>;
}

/// The reduction in f64.
fn in_f64(reducer: Reducer, run: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let count = run.len() as f64;
    let largest = run.clone().fold(f64::NEG_INFINITY, |m, x| if x > m || x.is_nan() { x } else { m });
    match reducer {
        Reducer::Sum => run.sum(),
        Reducer::Mean => run.sum::<f64>() / count,
        Reducer::Max => largest,
        Reducer::Min => run.fold(f64::INFINITY, |m, x| if x < m || x.is_nan() { x } else { m }),
        Reducer::Prod => run.product(),
        Reducer::L1 => run.map(f64::abs).sum(),
        Reducer::L2 => run.map(|x| x * x).sum::<f64>().sqrt(),
        Reducer::LogSum => run.sum::<f64>().ln(),
        // Infinite: the sum is infinite too, or 0.
        Reducer::LogSumExp if largest.is_infinite() => largest,
        Reducer::LogSumExp => largest + run.map(|x| (x - largest).exp()).sum::<f64>().ln(),
        Reducer::SumSquare => run.map(|x| x * x).sum(),
    }
}

macro_rules! floats {
    ($($t:ty: $to:expr, $from:expr;)*) => { $( impl Element for $t {
        fn reduce(reducer: Reducer, run: &[Self]) -> Result<Self, &'static str> {
            Ok($from(in_f64(reducer, run.iter().map($to))))
        }
    } )* };
}

floats! {
    f16: |x: &f16| x.to_f64(), f16::from_f64;
    f32: |x: &f32| f64::from(*x), |x: f64| x as f32;
    f64: |x: &f64| *x, |x: f64| x;
}

/// Wraps to the type, as sums of integers do.
macro_rules! integers {
    ($($t:ty),*) => { $( impl Element for $t {
        fn reduce(reducer: Reducer, run: &[Self]) -> Result<Self, &'static str> {
            let wide = run.iter().map(|&x| i128::from(x));
            Ok(match reducer {
                Reducer::Sum => wide.sum::<i128>() as $t,
                Reducer::Mean if run.is_empty() => return Err("the mean of no integers"),
                Reducer::Mean => (wide.sum::<i128>() / run.len() as i128) as $t,
                Reducer::Max => run.iter().copied().max().unwrap_or(<$t>::MIN),
                Reducer::Min => run.iter().copied().min().unwrap_or(<$t>::MAX),
                Reducer::Prod => run.iter().fold(1, |p: $t, &x| p.wrapping_mul(x)),
                Reducer::L1 => wide.map(i128::abs).sum::<i128>() as $t,
                Reducer::SumSquare => run.iter().fold(0, |s: $t, &x| s.wrapping_add(x.wrapping_mul(x))),
                Reducer::L2 | Reducer::LogSum | Reducer::LogSumExp => {
                    in_f64(reducer, run.iter().map(|&x| x as f64)) as $t
                }
            })
        }
    } )* };
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

impl Element for bool {
    fn reduce(reducer: Reducer, run: &[Self]) -> Result<Self, &'static str> {
        match reducer {
            Reducer::Max => Ok(run.iter().any(|&x| x)),
            Reducer::Min => Ok(run.iter().all(|&x| x)),
            _ => Err("booleans have a maximum and a minimum only"),
        }
    }
}
