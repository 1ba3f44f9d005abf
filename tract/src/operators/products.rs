//! `MatMul` of integers, for which tract has no kernel, and `MatMulInteger` of vectors, for which it has no rule.

use super::computed::{Computed, Function, Node, tensor};
use super::frame::{eval_while_loading, never_equal};
use super::{converted, exact};
use tract_onnx::Onnx;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::dyn_clone::clone_box;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::{ArrayViewD, Axis, Ix2, indices};

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("MatMul", build);
    onnx.op_register.insert("MatMulInteger", build_of_bytes);
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (of_tract, closures) = converted::build(ctx, node)?;
    let ours = Computed::of(node, Product { zero_points: None });
    let is_ours: IsOurs = |inputs| {
        let mut types = inputs.iter().map(|input| input.dt);
        let all = types.clone().all(|dt| dt.is_some());
        all.then(|| types.all(|dt| dt.is_some_and(|dt| dt.is_integer() || dt == TDim::datum_type())))
    };
    Ok((Box::new(MatMul { of_tract, ours, is_ours }), closures))
}

fn build_of_bytes(
    ctx: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (of_tract, closures) = exact::of_tract(ctx, node)?;
    let mut inputs = optional_inputs(node).skip(2);
    let zero_points = [(); 2].map(|()| inputs.next().flatten());
    let ours = Computed::of(node, Product { zero_points: Some(zero_points) });
    let is_ours: IsOurs = |inputs| {
        let [a, b] = [0, 1].map(|i| inputs.get(i).and_then(|input| input.rank));
        Some(a? == 1 || b? == 1)
    };
    Ok((Box::new(MatMul { of_tract, ours, is_ours }), closures))
}

/// A product of matrices of integers. It wraps as the type does.
#[derive(Debug, Clone)]
struct Product {
    /// For `MatMulInteger`, the indices of the inputs that are subtracted from the factors. Its result is of i32.
    zero_points: Option<[Option<usize>; 2]>,
}

impl Product {
    /// A factor, without its zero point, as a stack of matrices.
    fn factor(&self, of: &Node, inputs: &[TValue], i: usize, matrices: &[usize]) -> TractResult<Tensor> {
        let mut wide = inputs[i].cast_to::<i64>()?.into_owned();
        if let Some(zero_point) = self.zero_points.and_then(|indices| indices[i]) {
            let zero_point = inputs[zero_point].cast_to::<i64>()?;
            let zero_point = zero_point.to_plain_array_view::<i64>()?;
            let mut ram = wide.try_as_plain_ram_mut()?;
            let mut all = ram.to_array_view_mut::<i64>()?;
            let (shape, of_columns) = (all.shape().to_vec(), i == 1 && all.ndim() > 1);
            if zero_point.len() != 1 && (!of_columns || zero_point.shape() != &shape[shape.len() - 1..]) {
                let reason = format!("a zero point of {:?} for a factor of {shape:?}", zero_point.shape());
                return Err(of.refuse(reason));
            }
            let zero_point = if zero_point.len() == 1 {
                zero_point.into_shape_with_order(())?.into_dyn()
            } else {
                zero_point
            };
            all -= &zero_point;
        }
        wide.into_shape(matrices)
    }
}

/// The shapes of both factors as stacks of matrices: a vector is a row on the left and a column on the right.
fn stacks<D: Clone>(shapes: [&[D]; 2], one: D) -> [TVec<D>; 2] {
    let [mut a, mut b] = shapes.map(TVec::<D>::from);
    if a.len() == 1 {
        a.insert(0, one.clone());
    }
    if b.len() == 1 {
        b.push(one);
    }
    [a, b]
}

/// The shape of the result.
fn result<D: DimLike>(of: &Node, shapes: [&[D]; 2]) -> TractResult<TVec<D>> {
    if shapes.iter().any(|shape| shape.is_empty()) {
        return Err(of.refuse("a factor is a single number"));
    }
    let [a, b] = stacks(shapes, D::one());
    let mut shape = multi_broadcast(&[&a[..a.len() - 2], &b[..b.len() - 2]])?;
    if shapes[0].len() > 1 {
        shape.push(a[a.len() - 2].clone());
    }
    if shapes[1].len() > 1 {
        shape.push(b[b.len() - 1].clone());
    }
    Ok(shape)
}

impl Function for Product {
    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shapes = [0, 1].map(|i| inputs[i].shape.to_tvec());
        let dt = if self.zero_points.is_some() { DatumType::I32 } else { inputs[0].datum_type };
        Ok(tvec![dt.fact(&*result(of, [&shapes[0], &shapes[1]])?)])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let shape = result(of, [inputs[0].shape(), inputs[1].shape()])?;
        let [a, b] = stacks([inputs[0].shape(), inputs[1].shape()], 1);
        let (n, k, columns) = (a[a.len() - 2], a[a.len() - 1], b[b.len() - 1]);
        if b[b.len() - 2] != k {
            return Err(of.refuse(format!("the inner extents are {k} and {}", b[b.len() - 2])));
        }
        let stack = multi_broadcast(&[&a[..a.len() - 2], &b[..b.len() - 2]])?;
        let (x, y) = (self.factor(of, inputs, 0, &a)?, self.factor(of, inputs, 1, &b)?);
        let spread =
            |rows: usize, columns: usize| stack.iter().copied().chain([rows, columns]).collect::<Vec<_>>();
        let too_wide = "the stacks of matrices";
        let x = x.to_plain_array_view::<i64>()?;
        let y = y.to_plain_array_view::<i64>()?;
        let x = x.broadcast(spread(n, k)).context(too_wide)?;
        let y = y.broadcast(spread(k, columns)).context(too_wide)?;
        let mut values = Vec::with_capacity(shape.iter().product());
        for place in indices(&*stack) {
            let place = tract_onnx::tract_hir::tract_ndarray::Dimension::slice(&place).to_vec();
            let (x, y) = (matrix(x.view(), &place)?, matrix(y.view(), &place)?);
            for row in x.rows() {
                for column in y.columns() {
                    let terms = row.iter().zip(&column);
                    values.push(terms.fold(0i64, |sum, (&a, &b)| sum.wrapping_add(a.wrapping_mul(b))));
                }
            }
        }
        let dt = if self.zero_points.is_some() { DatumType::I32 } else { inputs[0].datum_type() };
        Ok(tvec![tensor(&shape, &values)?.cast_to_dt(dt)?.into_owned()])
    }
}

/// The matrix at a place of a stack.
fn matrix<'a>(
    mut stack: ArrayViewD<'a, i64>,
    place: &[usize],
) -> TractResult<tract_onnx::tract_hir::tract_ndarray::ArrayView2<'a, i64>> {
    for &i in place {
        stack = stack.index_axis_move(Axis(0), i);
    }
    Ok(stack.into_dimensionality::<Ix2>()?)
}

/// What is known of an input.
struct Seen {
    dt: Option<DatumType>,
    rank: Option<usize>,
}

/// Whether a product is ours, as soon as enough is known.
type IsOurs = fn(&[Seen]) -> Option<bool>;

/// A product of matrices, by tract's operator or by ours.
#[derive(Debug, Clone)]
struct MatMul {
    of_tract: Box<dyn InferenceOp>,
    ours: Box<dyn InferenceOp>,
    is_ours: IsOurs,
}

impl MatMul {
    fn of(&self, inputs: &[Seen]) -> Option<&dyn InferenceOp> {
        Some(if (self.is_ours)(inputs)? { &*self.ours } else { &*self.of_tract })
    }
}

never_equal!(MatMul);

impl Op for MatMul {
    fn name(&self) -> StaticName {
        self.ours.name()
    }

    not_a_typed_op!();
}

impl EvalOp for MatMul {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let seen = |t: &TValue| Seen { dt: Some(t.datum_type()), rank: Some(t.rank()) };
        let op = self.of(&inputs.iter().map(seen).collect::<Vec<_>>()).context("types")?;
        op.eval_out_of_plan(inputs)
    }

    eval_while_loading!();
}

impl InferenceOp for MatMul {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let rank =
            |f: &InferenceFact| f.shape.rank().concretize().and_then(|rank| usize::try_from(rank).ok());
        let seen = |f: &&InferenceFact| Seen { dt: f.datum_type.concretize(), rank: rank(f) };
        match self.of(&inputs.iter().map(seen).collect::<Vec<_>>()).map(clone_box) {
            Some(mut op) => op.infer_facts(inputs, outputs, observed),
            None => Ok((
                inputs.into_iter().cloned().collect(),
                outputs.into_iter().cloned().collect(),
                observed.into_iter().cloned().collect(),
            )),
        }
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let fact = |i| target.outlet_fact(mapping[i]).ok();
        let seen = |i| Seen { dt: fact(i).map(|f| f.datum_type), rank: fact(i).map(TypedFact::rank) };
        let seen: Vec<Seen> = node.inputs.iter().map(seen).collect();
        self.of(&seen).context("types")?.to_typed(source, node, target, mapping)
    }

    as_op!();
}
