//! Operators of our own, computed from values.

use crate::reader::refuse;
use std::fmt::Debug;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::tract_data::TooEarly;
use tract_onnx::tract_hir::internal::*;

/// What an operator computes. [`Computed`] makes an operator of tract of it.
pub(super) trait Function: Debug + Clone + Send + Sync + 'static {
    /// The number of outputs.
    fn outputs(&self) -> usize {
        1
    }

    /// The inputs whose values decide the shape of an output. They must be known when the model is loaded.
    fn deciding(&self) -> &[usize] {
        &[]
    }

    /// The inputs whose values decide the shape of an output if they are known when the model is loaded.
    fn wanted(&self) -> &[usize] {
        &[]
    }

    /// tract's operator, where that computes the same.
    fn of_tract(&self, _of: &Node, _inputs: &[&TypedFact]) -> TractResult<Option<Box<dyn TypedOp>>> {
        Ok(None)
    }

    /// The extent that only the values decide, if there is one.
    fn symbol(&self) -> Option<&Symbol> {
        None
    }

    /// Whether the outputs are dimensions if the first input is, so that shapes can be computed from them.
    fn keeps_dimensions(&self) -> bool {
        false
    }

    /// The outputs for dimensions with symbols that have no value yet; `None` if only numbers tell.
    fn symbolic(&self, _of: &Node, _inputs: &[TValue]) -> TractResult<Option<TVec<Tensor>>> {
        Ok(None)
    }

    /// The types and shapes of the outputs. The deciding inputs have values.
    fn facts(&self, of: &Node, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>>;

    /// The outputs. No input holds dimensions.
    fn compute(&self, of: &Node, inputs: &[TValue]) -> TractResult<TVec<Tensor>>;
}

/// The node that is computed, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) op: String,
}

impl Node {
    pub(super) fn refuse(&self, reason: impl Into<String>) -> TractError {
        refuse(&self.name, &self.op, reason)
    }

    /// The axis as an index. A negative one counts from the end.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> TractResult<usize> {
        let from_start = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        match usize::try_from(from_start) {
            Ok(index) if index < rank => Ok(index),
            _ => Err(self.refuse(format!("axis {axis} of a value of {rank} dimensions"))),
        }
    }
}

/// An operator that computes a function.
#[derive(Debug, Clone)]
pub(super) struct Computed<F> {
    of: Node,
    function: F,
}

impl<F: Function> Computed<F> {
    /// The operator for a node, in the form in which tract's builders return it.
    pub(super) fn built(node: &NodeProto, function: F) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
        Ok((Computed::of(node, function), vec![]))
    }

    /// The operator for a node.
    pub(super) fn of(node: &NodeProto, function: F) -> Box<dyn InferenceOp> {
        let of = Node { name: node.name.clone(), op: node.op_type.clone() };
        expand(Computed { of, function })
    }
}

impl<F: Function> Expansion for Computed<F> {
    fn name(&self) -> StaticName {
        self.of.op.clone().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.function.outputs())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, self.function.outputs())?;
        s.given_all(inputs.iter().map(|i| (&i.datum_type).bex()), move |s, types: Vec<DatumType>| {
            s.given_all(inputs.iter().map(|i| &i.shape), move |s, shapes: Vec<TVec<TDim>>| {
                let known = types.iter().zip(&shapes).enumerate();
                let known: TVec<TypedFact> =
                    known.map(|(i, (&dt, shape))| self.seen(i, dt).fact(&**shape)).collect();
                let with_values = move |s: &mut Solver<'r>, of: &[usize], values: Vec<Arc<Tensor>>| {
                    let mut known = known.clone();
                    for (&i, value) in of.iter().zip(values) {
                        known[i] = TypedFact::try_from(value)?;
                    }
                    let found = self.function.facts(&self.of, &known.iter().collect::<Vec<_>>())?;
                    outputs.iter().zip(&found).try_for_each(|(output, fact)| self.equals(s, output, fact))
                };
                let values =
                    |of: &'s [usize]| of.iter().map(|&i| (&inputs[i].value).bex()).collect::<Vec<_>>();
                let (deciding, wanted) = (self.function.deciding(), self.function.wanted());
                if !wanted.is_empty() {
                    let with_values = with_values.clone();
                    s.given_all(values(wanted), move |s, values| with_values(s, wanted, values))?;
                }
                match deciding.is_empty() {
                    true => with_values(s, &[], vec![]),
                    false => s.given_all(values(deciding), move |s, values| with_values(s, deciding, values)),
                }
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut wires = tvec![];
        for (i, &input) in inputs.iter().enumerate() {
            let is_dimensions = model.outlet_fact(input)?.datum_type == TDim::datum_type();
            wires.push(if is_dimensions && self.seen(i, TDim::datum_type()) == DatumType::I64 {
                let name = model.unique_name(format!("{prefix}.integers_{i}")).into_owned();
                model.wire_node(name, tract_onnx::tract_core::ops::cast::cast(DatumType::I64), &[input])?[0]
            } else {
                input
            });
        }
        let facts = wires.iter().map(|&wire| model.outlet_fact(wire)).collect::<TractResult<Vec<_>>>()?;
        match self.function.of_tract(&self.of, &facts)? {
            Some(op) => model.wire_node(prefix, op, &wires[..1]),
            None => model.wire_node(prefix, self.clone(), &wires),
        }
    }
}

impl<F: Function> Computed<F> {
    /// The type of an input as the function sees it: dimensions are integers, unless the function keeps them.
    fn seen(&self, input: usize, dt: DatumType) -> DatumType {
        let decides = self.function.deciding().contains(&input) || self.function.wanted().contains(&input);
        let kept = decides || (input == 0 && self.function.keeps_dimensions());
        if dt == TDim::datum_type() && !kept { DatumType::I64 } else { dt }
    }

    /// Says what is known of an output. An extent that only values decide stays open.
    fn equals<'r>(&self, s: &mut Solver<'r>, output: &'r TensorProxy, fact: &TypedFact) -> InferenceResult {
        s.equals(&output.datum_type, fact.datum_type)?;
        s.equals(&output.rank, fact.rank() as i64)?;
        for (axis, dim) in fact.shape.iter().enumerate() {
            if self.function.symbol().is_none_or(|symbol| !dim.symbols().contains(symbol)) {
                s.equals(&output.shape[axis], dim.clone())?;
            }
        }
        Ok(())
    }

    /// The outputs for inputs of which some hold dimensions.
    fn of_dimensions(&self, symbols: &SymbolValues, mut inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let keeps = self.function.keeps_dimensions() && inputs[0].datum_type() == TDim::datum_type();
        let mut all_numbers = true;
        for input in inputs.iter_mut().filter(|t| t.datum_type() == TDim::datum_type()) {
            let dimensions: Vec<TDim> =
                input.try_as_plain_ram()?.as_slice::<TDim>()?.iter().map(|d| d.eval(symbols)).collect();
            let numbers: Option<Vec<i64>> = dimensions.iter().map(TDim::as_i64).collect();
            all_numbers &= numbers.is_some();
            *input = match numbers {
                Some(numbers) => tensor(input.shape(), &numbers)?.into_tvalue(),
                None => tensor(input.shape(), &dimensions)?.into_tvalue(),
            };
        }
        if all_numbers {
            let outputs = self.function.compute(&self.of, &inputs)?.into_iter();
            return outputs.map(|t| if keeps { as_dimensions(t) } else { Ok(t) }).collect();
        }
        match self.function.symbolic(&self.of, &inputs)? {
            Some(outputs) => Ok(outputs),
            None => {
                Err(TractError::new(TooEarly::UndeterminedSymbol(format!("{} of dimensions", self.of.op))))
            }
        }
    }
}

/// Integers as dimensions; an output of another type stays.
fn as_dimensions(t: Tensor) -> TractResult<Tensor> {
    if t.datum_type() != DatumType::I64 {
        return Ok(t);
    }
    let values: Vec<TDim> = t.try_as_plain_ram()?.as_slice::<i64>()?.iter().map(|&v| TDim::Val(v)).collect();
    tensor(t.shape(), &values)
}

impl<F: Function> PartialEq for Computed<F> {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl<F: Function> Eq for Computed<F> {}

impl<F: Function> Op for Computed<F> {
    fn name(&self) -> StaticName {
        self.of.op.clone().into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        self.function.symbol().is_some()
    }

    op_as_typed_op!();
}

impl<F: Function> EvalOp for Computed<F> {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = match inputs.iter().any(|t| t.datum_type() == TDim::datum_type()) {
            true => self.of_dimensions(ctx.symbols, inputs)?,
            false => self.function.compute(&self.of, &inputs)?,
        };
        Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl<F: Function> TypedOp for Computed<F> {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        if let Some(i) = self.function.deciding().iter().find(|&&i| inputs[i].konst.is_none()) {
            return Err(self.of.refuse(format!("input {i} must be known when the model is loaded")));
        }
        self.function.facts(&self.of, inputs)
    }

    as_op!();
}

/// The values of a constant input of integers.
pub(super) fn integers(value: &Tensor) -> TractResult<Vec<i64>> {
    let wide = value.cast_to::<i64>()?;
    Ok(wide.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
}

/// A tensor of elements that may own memory.
pub(super) fn tensor<T: Datum>(shape: &[usize], values: &[T]) -> TractResult<Tensor> {
    tensor1(values).into_shape(shape)
}

/// A name for the node of output `i` of a node: its own name for the first, so that it is found again.
pub(super) fn output_name(model: &TypedModel, node: &str, i: usize) -> String {
    model.unique_name(if i == 0 { node.to_string() } else { format!("{node}.{i}") }).into_owned()
}
