//! `MatMul` of integers, for which tract has no kernel.

use super::computed::{Computed, Function, Node, tensor};
use super::converted;
use super::frame::{eval_while_loading, never_equal};
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::dyn_clone::clone_box;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::{ArrayViewD, Axis, Ix2, indices};

pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("MatMul", build);
}

fn build(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (floats, closures) = converted::build(ctx, node)?;
    let integers = Computed::of(node, Product);
    Ok((Box::new(MatMul { floats, integers }), closures))
}

/// A product of matrices of integers. It wraps as the type does.
#[derive(Debug, Clone)]
struct Product;

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
        Ok(tvec![inputs[0].datum_type.fact(&*result(of, [&shapes[0], &shapes[1]])?)])
    }

    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let shape = result(of, [inputs[0].shape(), inputs[1].shape()])?;
        let [a, b] = stacks([inputs[0].shape(), inputs[1].shape()], 1);
        let (n, k, columns) = (a[a.len() - 2], a[a.len() - 1], b[b.len() - 1]);
        if b[b.len() - 2] != k {
            return Err(of.refuse(format!("the inner extents are {k} and {}", b[b.len() - 2])));
        }
        let stack = multi_broadcast(&[&a[..a.len() - 2], &b[..b.len() - 2]])?;
        let wide = |t: &TValue, matrices: &[usize]| t.cast_to::<i64>()?.into_owned().into_shape(matrices);
        let (x, y) = (wide(&inputs[0], &a)?, wide(&inputs[1], &b)?);
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
        Ok(tvec![tensor(&shape, &values)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
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

/// A product of matrices: the element type tells which operator it is.
#[derive(Debug, Clone)]
struct MatMul {
    floats: Box<dyn InferenceOp>,
    integers: Box<dyn InferenceOp>,
}

impl MatMul {
    fn of(&self, types: impl IntoIterator<Item = Option<DatumType>>) -> Option<&dyn InferenceOp> {
        let types: Option<Vec<DatumType>> = types.into_iter().collect();
        let integers = types?.iter().all(|dt| dt.is_integer() || *dt == TDim::datum_type());
        Some(if integers { &*self.integers } else { &*self.floats })
    }
}

never_equal!(MatMul);

impl Op for MatMul {
    fn name(&self) -> StaticName {
        "MatMul".into()
    }

    not_a_typed_op!();
}

impl EvalOp for MatMul {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let op = self.of(inputs.iter().map(|t| Some(t.datum_type()))).context("types")?;
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
        let types: Vec<_> = inputs.iter().map(|f| f.datum_type.concretize()).collect();
        match self.of(types).map(clone_box) {
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
        let types = node.inputs.iter().map(|i| target.outlet_fact(mapping[i]).map(|f| f.datum_type).ok());
        self.of(types).context("types")?.to_typed(source, node, target, mapping)
    }

    as_op!();
}
