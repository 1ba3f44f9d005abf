//! The ONNX comparisons (`Equal`, `Greater`, `Less` and the like), which replace those of tract.
//!
//! tract has two errors here. It compares the expressions of dimensions when the model is loaded. There `B` and 1 are
//! different expressions, so it decides for good that they are not equal. It also derives an expression from the
//! comparison of the elements of a `Range`: the expression loses the number of elements, and for `Greater` it is a
//! different comparison.

use crate::operators;
use tract_onnx::Onnx;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::ops::binary::BinMiniOp;
use tract_onnx::tract_core::ops::logic::{CompEq, CompGT, CompGTE, CompLT, CompLTE};
use tract_onnx::tract_core::tract_data::TooEarly;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::BinIntoHir;

/// Replaces tract's comparisons.
pub(crate) fn register(onnx: &mut Onnx) {
    let ops = &mut onnx.op_register;
    ops.insert("Equal", |_, node| Ok((hir(node, CompEq), vec![])));
    ops.insert("Greater", |_, node| Ok((hir(node, CompGT), vec![])));
    ops.insert("GreaterOrEqual", |_, node| Ok((hir(node, CompGTE), vec![])));
    ops.insert("Less", |_, node| Ok((hir(node, CompLT), vec![])));
    ops.insert("LessOrEqual", |_, node| Ok((hir(node, CompLTE), vec![])));
}

fn hir(node: &NodeProto, comparison: impl BinMiniOp) -> Box<dyn InferenceOp> {
    operators::around(node, Comparison(Box::new(comparison)).into_hir())
}

/// tract's comparison with two differences: dimensions that may or may not be equal stay open, and the result is never
/// an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison(Box<dyn BinMiniOp>);

impl BinMiniOp for Comparison {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn result_datum_type(&self, a: DatumType, b: DatumType) -> TractResult<DatumType> {
        self.0.result_datum_type(a, b)
    }

    fn is_commutative(&self) -> bool {
        self.0.is_commutative()
    }

    fn eval_in_a(&self, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
        self.0.eval_in_a(a, b)
    }

    fn eval_out_of_place(&self, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
        self.0.eval_out_of_place(c, a, b)
    }

    fn eval(&self, a: TValue, b: TValue, c_dt: DatumType) -> TractResult<Tensor> {
        self.0.eval(a, b, c_dt)
    }

    fn eval_symbolic(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        if inputs.iter().all(|input| input.datum_type() != TDim::datum_type()) {
            return Ok(None);
        }
        if self.0.downcast_ref::<CompEq>().is_none() {
            return self.0.eval_symbolic(ctx, inputs);
        }
        let [a, b] = [0, 1].map(|i| inputs[i].cast_to::<TDim>());
        let (a, b) = (a?.into_owned(), b?.into_owned());
        let (a, b) = (a.to_plain_array_view::<TDim>()?, b.to_plain_array_view::<TDim>()?);
        let shape = multi_broadcast(&[a.shape(), b.shape()])?;
        let wide = "what both are broadcast to";
        let (a, b) = (a.broadcast(&*shape).context(wide)?, b.broadcast(&*shape).context(wide)?);
        let equal = a.iter().zip(&b).map(|(a, b)| same(&a.eval(ctx.symbols), &b.eval(ctx.symbols)));
        let equal = equal.collect::<TractResult<Vec<bool>>>()?;
        Ok(Some(tvec![Tensor::from_shape(&shape, &equal)?.into_tvalue()]))
    }
}

/// Whether two dimensions are equal for all values of their symbols, or different for all. An error if it depends on
/// the values.
fn same(a: &TDim, b: &TDim) -> TractResult<bool> {
    let differences = [a.clone() - b, b.clone() - a];
    match differences[0].as_i64() {
        Some(difference) => Ok(difference == 0),
        None if differences.iter().any(|d| least(d).is_some_and(|least| least > 0)) => Ok(false),
        None => bail!(TooEarly::UndeterminedSymbol(differences[0].to_string())),
    }
}

/// A lower bound, given that symbols are extents and so not negative.
fn least(dim: &TDim) -> Option<i64> {
    let all = |terms: &[TDim]| terms.iter().map(least).collect::<Option<Vec<i64>>>();
    match dim {
        TDim::Val(value) => Some(*value),
        TDim::Sym(_) => Some(0),
        TDim::Add(terms) => all(terms)?.into_iter().try_fold(0i64, |sum, term| sum.checked_add(term)),
        TDim::MulInt(factor, term) if *factor >= 0 => least(term)?.checked_mul(*factor),
        TDim::Div(term, divisor) => least(term).filter(|&t| t >= 0).map(|t| t / *divisor as i64),
        TDim::Mul(terms) | TDim::Broadcast(terms) => {
            all(terms)?.into_iter().all(|term| term >= 0).then_some(0)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_the_same_different_or_open() {
        let scope = SymbolScope::default();
        let [a, b] = ["A", "B"].map(|name| scope.sym(name).to_dim());
        for (x, y, expected) in [
            (a.clone(), a.clone(), Some(true)),
            (a.clone(), 1.to_dim(), None),
            (a.clone(), b.clone(), None),
            (a.clone(), 0.to_dim(), None),
            (a.clone(), (-1).to_dim(), Some(false)),
            (a.clone() + &b, b.clone() + &a, Some(true)),
            (a.clone() * 2 + 3, 2.to_dim(), Some(false)),
            (a.clone() * 2 + 3, 5.to_dim(), None),
            (a.clone() - &b, 1.to_dim(), None),
            (a.clone() * &b + 1, 0.to_dim(), Some(false)),
            ((a.clone() + 4) / 2, 1.to_dim(), Some(false)),
            ((a.clone() + 4) / 2, 2.to_dim(), None),
            (3.to_dim(), 3.to_dim(), Some(true)),
            (3.to_dim(), 4.to_dim(), Some(false)),
        ] {
            assert_eq!(same(&x, &y).ok(), expected, "{x} and {y}");
            assert_eq!(same(&y, &x).ok(), expected, "{y} and {x}");
        }
    }
}
