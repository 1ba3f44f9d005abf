//! Support for bfloat16 in whole models.
//!
//! tract has no such element type. Its values are carried as f32 that hold bf16 values; widening makes them exactly.
//! Operators that move values work on these f32. A `Cast` to bf16 rounds, and a recurrent node rounds its results.
//! Every other operator is refused, because it would have to round.

use super::round::{nearest_bf16, odd_f64};
use crate::error::value_error;
use half::bf16;
use rnnpack_onnx::{Error as OnnxError, RecurrentOp};
use std::collections::HashSet;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::tract_core::ops::cast::wire_cast;
use tract_onnx::tract_hir::internal::*;

/// The operator that replaces a `Cast` to bf16 and rounds to the nearest bf16. ONNX has no operator with this name. A
/// node of a file that uses this name is refused.
pub(crate) const ROUND: &str = "round to bfloat16";

/// The attribute that marks a recurrent node of bf16.
pub(crate) const MARK: &str = "of bfloat16";

const FLOAT: i32 = 1;
const BFLOAT16: i32 = 16;

/// Rewrites the main graph of a model whose nodes have unique names. Returns the names of its bf16 values. `recurrent`
/// says whether the recurrent nodes run on our operator, which supports bf16.
pub(crate) fn rewrite(graph: &mut pb::GraphProto, recurrent: bool) -> Result<HashSet<String>, OnnxError> {
    let formal: Vec<bool> = graph.input.iter().map(|i| declared(i) == BFLOAT16).collect();
    let mut rewriter = Rewriter { known: HashSet::new(), recurrent };
    rewriter.enter(graph, &formal)?;
    rewriter.leave(graph)?;
    Ok(rewriter.known)
}

/// The number of the element type that the file declares, or 0 if it declares none.
fn declared(info: &pb::ValueInfoProto) -> i32 {
    let Some(pb::type_proto::Value::TensorType(t)) = info.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return 0;
    };
    t.elem_type
}

/// Changes a declared bf16 to f32.
fn redeclare(info: &mut pb::ValueInfoProto) {
    if let Some(pb::type_proto::Value::TensorType(t)) = info.r#type.as_mut().and_then(|t| t.value.as_mut())
        && t.elem_type == BFLOAT16
    {
        t.elem_type = FLOAT;
    }
}

/// Widens a stored tensor if it is bf16. Returns whether it was.
fn widen(tensor: &mut pb::TensorProto) -> Result<bool, OnnxError> {
    if tensor.data_type != BFLOAT16 {
        return Ok(false);
    }
    let raw = tensor.raw_data.as_chunks::<2>().0.iter().map(|&b| Ok(bf16::from_le_bytes(b)));
    let typed = tensor.int32_data.iter().map(|&v| {
        let bits = u16::try_from(v).map_err(|_| {
            let reason = format!("value {v} does not fit its element type");
            OnnxError::Tensor { tensor: tensor.name.clone(), reason }
        })?;
        Ok(bf16::from_bits(bits))
    });
    let values: Result<Vec<f32>, OnnxError> = raw.chain(typed).map(|v| v.map(f32::from)).collect();
    tensor.float_data = values?;
    (tensor.raw_data, tensor.int32_data) = Default::default();
    tensor.data_type = FLOAT;
    Ok(true)
}

/// What is known while a graph is rewritten.
struct Rewriter {
    /// The bf16 values that are visible in the graph: its own, and those of the graphs around it.
    known: HashSet<String>,
    /// Whether recurrent nodes compute bf16.
    recurrent: bool,
}

impl Rewriter {
    fn has(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Rewrites a graph inside a node. `formal` says which of its inputs are bf16. Returns which of its outputs are.
    fn inner(&mut self, graph: &mut pb::GraphProto, formal: &[bool]) -> Result<Vec<bool>, OnnxError> {
        let around = self.known.clone();
        self.enter(graph, formal)?;
        let outputs = self.leave(graph)?;
        self.known = around;
        Ok(outputs)
    }

    /// Rewrites a graph, except its outputs.
    fn enter(&mut self, graph: &mut pb::GraphProto, formal: &[bool]) -> Result<(), OnnxError> {
        for tensor in &mut graph.initializer {
            if widen(tensor)? {
                self.known.insert(tensor.name.clone());
            }
        }
        for (input, _) in graph.input.iter().zip(formal).filter(|(_, is)| **is) {
            self.known.insert(input.name.clone());
        }
        graph.input.iter_mut().for_each(redeclare);
        for node in &mut graph.node {
            let made = self.node(node)?;
            let names = node.output.iter().zip(made).filter(|(_, is)| *is).map(|(name, _)| name.clone());
            self.known.extend(names.filter(|name| !name.is_empty()));
        }
        Ok(())
    }

    /// Checks that the outputs of a graph have the types that it declares. Returns which of them are bf16.
    fn leave(&mut self, graph: &mut pb::GraphProto) -> Result<Vec<bool>, OnnxError> {
        for output in &mut graph.output {
            let (found, declared) = (self.has(&output.name), declared(output));
            if declared != 0 && found != (declared == BFLOAT16) {
                let (is, not) = if found { ("", "not ") } else { ("not ", "") };
                let reason = format!("it is {is}of bfloat16, but declared as {not}of bfloat16");
                return Err(value_error(&output.name, reason));
            }
            redeclare(output);
        }
        Ok(graph.output.iter().map(|o| self.has(&o.name)).collect())
    }

    /// Rewrites a node. Returns which of its outputs are bf16.
    fn node(&mut self, node: &mut pb::NodeProto) -> Result<Vec<bool>, OnnxError> {
        let standard = matches!(node.domain.as_str(), "" | "ai.onnx");
        let count = node.output.len();
        match node.op_type.as_str() {
            ROUND => Err(refuse(node, "there is no such operator")),
            op if standard && RecurrentOp::from_type(op).is_some() => self.recurrent(node),
            "If" if standard => self.branches(node),
            "Loop" if standard => self.body(node, 2, usize::MAX),
            "Scan" if standard => {
                let scanned = int(node, "num_scan_inputs").and_then(|n| usize::try_from(n).ok());
                self.body(node, 0, node.input.len().saturating_sub(scanned.unwrap_or(0)))
            }
            "Cast" | "CastLike" if standard => Ok(vec![self.cast(node); count]),
            "Constant" | "ConstantOfShape" if standard => {
                self.refuse_inputs(node)?;
                let mut made = false;
                for tensor in node.attribute.iter_mut().filter_map(|a| a.t.as_mut()) {
                    made |= widen(tensor)?;
                }
                Ok(vec![made; count])
            }
            "Shape" | "Size" if standard => Ok(vec![false; count]),
            op if standard && moved(op, node.input.len()).is_some() => {
                let data = moved(op, node.input.len()).unwrap_or_default();
                Ok(vec![self.same(node, &data)?; count])
            }
            _ => {
                self.refuse_inputs(node)?;
                refuse_attributes(node)?;
                let graphs = node.attribute.iter_mut().flat_map(|a| a.g.iter_mut().chain(&mut a.graphs));
                for graph in graphs {
                    self.inner(graph, &[])?;
                }
                Ok(vec![false; count])
            }
        }
    }

    /// Whether the inputs of `node` with the indices `data` are bf16. Absent inputs are skipped. Either all must be
    /// bf16 or none.
    fn same(&self, node: &pb::NodeProto, data: &[usize]) -> Result<bool, OnnxError> {
        let present = data.iter().filter_map(|&i| node.input.get(i)).filter(|name| !name.is_empty());
        let mut present = present.map(|name| (name, self.has(name)));
        let Some((first, is)) = present.next() else { return Ok(false) };
        match present.find(|(_, other)| *other != is) {
            Some((other, _)) => {
                let (one, not) = if is { (first, other) } else { (other, first) };
                Err(refuse(node, format!("`{one}` is of bfloat16, and `{not}` is not")))
            }
            None => Ok(is),
        }
    }

    fn refuse_inputs(&self, node: &pb::NodeProto) -> Result<(), OnnxError> {
        match node.input.iter().any(|name| self.has(name)) {
            true => Err(refuse(node, NOT_COMPUTED)),
            false => Ok(()),
        }
    }

    /// Marks a recurrent node if it is of bf16. Then all its outputs are bf16 too.
    fn recurrent(&self, node: &mut pb::NodeProto) -> Result<Vec<bool>, OnnxError> {
        // X, W, R, B, initial_h, initial_c and P.
        let is = self.same(node, &[0, 1, 2, 3, 5, 6, 7])?;
        if is && !self.recurrent {
            return Err(refuse(node, NOT_COMPUTED));
        }
        if is {
            let r#type = pb::attribute_proto::AttributeType::Int as i32;
            node.attribute.push(pb::AttributeProto { name: MARK.into(), r#type, i: 1, ..Default::default() });
        }
        Ok(vec![is; node.output.len()])
    }

    /// Replaces a cast to bf16 by a rounding. Returns whether the node is one.
    fn cast(&self, node: &mut pb::NodeProto) -> bool {
        let rounds = match node.op_type.as_str() {
            "Cast" => int(node, "to") == Some(i64::from(BFLOAT16)),
            _ => node.input.get(1).is_some_and(|like| self.has(like)),
        };
        if rounds {
            node.op_type = ROUND.into();
            node.input.truncate(1);
            node.attribute.clear();
        }
        rounds
    }

    fn branches(&mut self, node: &mut pb::NodeProto) -> Result<Vec<bool>, OnnxError> {
        let mut made: Option<Vec<bool>> = None;
        for index in 0..node.attribute.len() {
            let Some(mut graph) = node.attribute[index].g.take() else { continue };
            let outputs = self.inner(&mut graph, &[])?;
            node.attribute[index].g = Some(graph);
            // If one branch has more outputs than the other, the builder of `If` refuses the node.
            if made.get_or_insert_with(|| outputs.clone()).iter().zip(&outputs).any(|(a, b)| a != b) {
                return Err(refuse(node, "an output is of bfloat16 in one branch alone"));
            }
        }
        Ok(made.unwrap_or_default())
    }

    /// Rewrites the body of a `Loop` or a `Scan`. The node's inputs from index `first` on are inputs of the body, and
    /// the first `carried` of these are carried. If `first` is not 0, the body's first output is the condition, which
    /// is not an output of the node.
    fn body(
        &mut self,
        node: &mut pb::NodeProto,
        first: usize,
        carried: usize,
    ) -> Result<Vec<bool>, OnnxError> {
        let conditions = usize::from(first > 0);
        let given: Vec<bool> = node.input.iter().skip(first).map(|name| self.has(name)).collect();
        let formal = [&vec![false; first][..], &given].concat();
        let Some(index) = node.attribute.iter().position(|a| a.name == "body" && a.g.is_some()) else {
            return Ok(vec![]);
        };
        let Some(mut graph) = node.attribute[index].g.take() else { return Ok(vec![]) };
        let left = self.inner(&mut graph, &formal)?.split_off(conditions.min(graph.output.len()));
        node.attribute[index].g = Some(graph);
        if given.iter().zip(&left).take(carried).any(|(enters, leaves)| enters != leaves) {
            return Err(refuse(
                node,
                "a carried value is of bfloat16 only before or only after an iteration",
            ));
        }
        Ok(left)
    }
}

const NOT_COMPUTED: &str = "bfloat16 is not computed by this operator here";

/// If `op` only moves values, the indices of the inputs that it moves. `count` is the number of inputs.
fn moved(op: &str, count: usize) -> Option<Vec<usize>> {
    Some(match op {
        "Identity" | "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze" | "Flatten" | "Slice" | "Split"
        | "Gather" | "GatherElements" | "GatherND" | "Expand" | "Tile" | "Compress" | "DepthToSpace"
        | "SpaceToDepth" | "ReverseSequence" => vec![0],
        "Where" => vec![1, 2],
        "Concat" => (0..count).collect(),
        _ => return None,
    })
}

/// Refuses an operator whose attributes make it create bf16 values.
fn refuse_attributes(node: &pb::NodeProto) -> Result<(), OnnxError> {
    let makes = |a: &pb::AttributeProto| {
        let named = matches!(a.name.as_str(), "dtype" | "to" | "output_dtype") && a.i == i64::from(BFLOAT16);
        named || a.t.iter().chain(&a.tensors).any(|t| t.data_type == BFLOAT16)
    };
    match node.attribute.iter().any(makes) {
        true => Err(refuse(node, NOT_COMPUTED)),
        false => Ok(()),
    }
}

fn int(node: &pb::NodeProto, attribute: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == attribute).map(|a| a.i)
}

fn refuse(node: &pb::NodeProto, reason: impl Into<String>) -> OnnxError {
    OnnxError::Node { node: node.name.clone(), op: node.op_type.clone(), reason: reason.into() }
}

/// Builds the operator of a `Cast` to bf16.
pub(crate) fn build(
    _: &ParsingContext<'_>,
    _: &pb::NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(Round), vec![]))
}

/// Rounds to the nearest bf16, ties to even, and returns the result as f32.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Round;

impl Expansion for Round {
    fn name(&self) -> StaticName {
        ROUND.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let dims = model.outlet_fact(inputs[0])?.datum_type == TDim::datum_type();
        let inputs = if dims { wire_cast(prefix, model, inputs, i64::datum_type())? } else { inputs.into() };
        model.wire_node(prefix, Round, &inputs)
    }
}

impl Op for Round {
    fn name(&self) -> StaticName {
        ROUND.into()
    }

    op_as_typed_op!();
}

impl EvalOp for Round {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let rounded: Vec<f32> = match input.datum_type() {
            DatumType::F32 => each(&input, |v: f32| bf16::from_f32(v).into())?,
            DatumType::F64 => each(&input, nearest_bf16)?,
            DatumType::I64 => each(&input, |v: i64| nearest_bf16(odd_f64(v)))?,
            // f64 holds every value of the other types exactly: it has 53 bits.
            _ => each(&*input.cast_to::<f64>()?, nearest_bf16)?,
        };
        Ok(tvec!(Tensor::from_shape(input.shape(), &rounded)?.into_tvalue()))
    }
}

impl TypedOp for Round {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

fn each<T: Datum + Copy>(input: &Tensor, one: impl Fn(T) -> f32) -> TractResult<Vec<f32>> {
    Ok(input.try_as_plain_ram()?.as_slice::<T>()?.iter().map(|&v| one(v)).collect())
}
