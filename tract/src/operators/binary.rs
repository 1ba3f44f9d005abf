//! Functions of two elements: those that lose a NaN, and those of integers that fail or are wrong.

use super::computed::{Node, tensor};
use super::exact;
use half::f16;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::binary::BinMiniOp;
use tract_onnx::tract_core::tract_data::TooEarly;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::{BinIntoHir, Nary};

pub(super) fn register(onnx: &mut Onnx) {
    for name in ["Max", "Min", "Div", "Mod", "BitShift"] {
        onnx.op_register.insert(name, build);
    }
    for name in ["Add", "Sub", "Mul"] {
        onnx.op_register.insert(name, build_arithmetic);
    }
}

/// A function of two elements of the same type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Sub,
    Mul,
    Max,
    Min,
    /// Integers: towards zero.
    Div,
    /// The sign of the divisor.
    Mod,
    /// The sign of the dividend.
    Remainder,
    Left,
    Right,
}

fn build(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let function = match node.op_type.as_str() {
        "Max" => Operation::Max,
        "Min" => Operation::Min,
        "Div" => Operation::Div,
        "Mod" if node.get_attr_opt::<i64>("fmod")?.unwrap_or(0) == 0 => Operation::Mod,
        "Mod" => Operation::Remainder,
        _ if node.get_attr_opt("direction")? == Some("RIGHT") => Operation::Right,
        _ => Operation::Left,
    };
    let of = Node { name: node.name.clone(), op: node.op_type.clone() };
    let binary = Binary { of, function };
    let op = match function {
        Operation::Max | Operation::Min => Box::new(Nary(Box::new(binary), false)),
        _ => binary.into_hir(),
    };
    Ok((exact::around(node, op), vec![]))
}

/// tract's operator, which is faster for floats, with one of ours for dimensions.
fn build_arithmetic(
    ctx: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let function = match node.op_type.as_str() {
        "Add" => Operation::Add,
        "Sub" => Operation::Sub,
        _ => Operation::Mul,
    };
    let of = Node { name: node.name.clone(), op: node.op_type.clone() };
    let (op, closures) = exact::of_tract(ctx, node)?;
    Ok((exact::around_two(node, op, Some(Binary { of, function }.into_hir())), closures))
}

/// A function of two elements at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binary {
    pub(super) of: Node,
    pub(super) function: Operation,
}

/// The elements of an integer or a float.
trait Element: Datum + Copy {
    /// `None`: there is no answer.
    fn of(function: Operation, a: Self, b: Self) -> Option<Self>;
}

macro_rules! floats {
    ($($t:ty),*) => { $( impl Element for $t {
        fn of(function: Operation, a: Self, b: Self) -> Option<Self> {
            let zero = <$t>::default();
            Some(match function {
                _ if a != a => a,
                _ if b != b => b,
                Operation::Add => a + b,
                Operation::Sub => a - b,
                Operation::Mul => a * b,
                Operation::Max => if a < b { b } else { a },
                Operation::Min => if b < a { b } else { a },
                Operation::Div => a / b,
                Operation::Remainder => a % b,
                Operation::Mod => {
                    let rest = a % b;
                    if rest != zero && (rest < zero) != (b < zero) { rest + b } else { rest }
                }
                Operation::Left | Operation::Right => return None,
            })
        }
    } )* };
}

floats!(f16, f32, f64);

macro_rules! integers {
    ($($t:ty),*) => { $( impl Element for $t {
        #[allow(unused_comparisons, reason = "one text for signed and unsigned integers")]
        fn of(function: Operation, a: Self, b: Self) -> Option<Self> {
            Some(match function {
                Operation::Add => a.wrapping_add(b),
                Operation::Sub => a.wrapping_sub(b),
                Operation::Mul => a.wrapping_mul(b),
                Operation::Max => a.max(b),
                Operation::Min => a.min(b),
                // The least integer divided by -1 is too large for the type, and wraps as in C.
                Operation::Div => if b == 0 { return None } else { a.wrapping_div(b) },
                Operation::Remainder => if b == 0 { return None } else { a.wrapping_rem(b) },
                Operation::Mod => {
                    let rest = if b == 0 { return None } else { a.wrapping_rem(b) };
                    if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
                }
                // A shift by the width or more moves all bits out.
                Operation::Left => u32::try_from(b).ok().and_then(|b| a.checked_shl(b)).unwrap_or(0),
                Operation::Right => {
                    let all = if a < 0 { <$t>::MAX.wrapping_add(1) >> (<$t>::BITS - 1) } else { 0 };
                    u32::try_from(b).ok().and_then(|b| a.checked_shr(b)).unwrap_or(all)
                }
            })
        }
    } )* };
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

impl Binary {
    fn compute<T: Element>(&self, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
        let (a, b) = (a.to_plain_array_view::<T>()?, b.to_plain_array_view::<T>()?);
        let mut c = c.try_as_plain_ram_mut()?;
        let mut c = c.to_array_view_mut::<T>()?;
        let wide = "what both are broadcast to";
        let (a, b) = (a.broadcast(c.shape()).context(wide)?, b.broadcast(c.shape()).context(wide)?);
        for ((c, &a), &b) in c.iter_mut().zip(&a).zip(&b) {
            *c = T::of(self.function, a, b).ok_or_else(|| self.of.refuse(format!("{a} by {b}")))?;
        }
        Ok(())
    }

    /// The result for dimensions. An error that says "too early" if it depends on symbols in a way that no expression
    /// has.
    fn of_dimensions(&self, a: &TDim, b: &TDim) -> TractResult<TDim> {
        if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
            let value = i64::of(self.function, a, b);
            return value.map(TDim::Val).ok_or_else(|| self.of.refuse(format!("{a} by {b}")));
        }
        match (self.function, b.as_i64()) {
            (Operation::Add, _) => Ok(a.clone() + b),
            (Operation::Sub, _) => Ok(a.clone() - b),
            (Operation::Mul, _) => Ok(a.clone() * b),
            (Operation::Max, _) => Ok(a.clone().maxi(b.clone())),
            (Operation::Min, _) => Ok(a.clone().mini(b.clone())),
            // Extents are not negative, so that the roundings agree.
            (Operation::Div, Some(b)) if b > 0 => Ok(a.clone() / b as u64),
            (Operation::Mod | Operation::Remainder, Some(b)) if b > 0 => Ok(a.clone() % b as u64),
            _ => Err(TractError::new(TooEarly::UndeterminedSymbol(format!("{a} by {b}")))),
        }
    }

    /// The result for tensors of dimensions, with the symbols that have values replaced.
    fn dimensions(&self, a: &Tensor, b: &Tensor, symbols: &SymbolValues) -> TractResult<Tensor> {
        let (a, b) = (a.cast_to::<TDim>()?, b.cast_to::<TDim>()?);
        let (a, b) = (a.to_plain_array_view::<TDim>()?, b.to_plain_array_view::<TDim>()?);
        let shape = tract_onnx::tract_core::broadcast::multi_broadcast(&[a.shape(), b.shape()])?;
        let wide = "what both are broadcast to";
        let (a, b) = (a.broadcast(&*shape).context(wide)?, b.broadcast(&*shape).context(wide)?);
        let values = a.iter().zip(&b).map(|(a, b)| self.of_dimensions(&a.eval(symbols), &b.eval(symbols)));
        tensor(&shape, &values.collect::<TractResult<Vec<TDim>>>()?)
    }
}

impl BinMiniOp for Binary {
    fn name(&self) -> &'static str {
        match self.function {
            Operation::Add => "Add",
            Operation::Sub => "Sub",
            Operation::Mul => "Mul",
            Operation::Max => "Max",
            Operation::Min => "Min",
            Operation::Div => "Div",
            Operation::Mod | Operation::Remainder => "Mod",
            Operation::Left | Operation::Right => "BitShift",
        }
    }

    fn is_commutative(&self) -> bool {
        matches!(self.function, Operation::Add | Operation::Mul | Operation::Max | Operation::Min)
    }

    fn result_datum_type(&self, a: DatumType, b: DatumType) -> TractResult<DatumType> {
        a.common_super_type(b).with_context(|| format!("no type for {a:?} and {b:?}"))
    }

    fn eval_in_a(&self, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
        let mut c = a.clone();
        self.eval_out_of_place(&mut c, a, b)?;
        *a = c;
        Ok(())
    }

    fn eval_out_of_place(&self, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
        match c.datum_type() {
            DatumType::F16 => self.compute::<f16>(c, a, b),
            DatumType::F32 => self.compute::<f32>(c, a, b),
            DatumType::F64 => self.compute::<f64>(c, a, b),
            DatumType::I8 => self.compute::<i8>(c, a, b),
            DatumType::I16 => self.compute::<i16>(c, a, b),
            DatumType::I32 => self.compute::<i32>(c, a, b),
            DatumType::I64 => self.compute::<i64>(c, a, b),
            DatumType::U8 => self.compute::<u8>(c, a, b),
            DatumType::U16 => self.compute::<u16>(c, a, b),
            DatumType::U32 => self.compute::<u32>(c, a, b),
            DatumType::U64 => self.compute::<u64>(c, a, b),
            dt if dt == TDim::datum_type() => {
                *c = self.dimensions(a, b, &SymbolValues::default())?;
                Ok(())
            }
            other => Err(self.of.refuse(format!("elements of type {other:?}"))),
        }
    }

    fn eval_symbolic(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        if inputs.iter().all(|input| input.datum_type() != TDim::datum_type()) {
            return Ok(None);
        }
        Ok(Some(tvec![self.dimensions(&inputs[0], &inputs[1], ctx.symbols)?.into_tvalue()]))
    }
}
