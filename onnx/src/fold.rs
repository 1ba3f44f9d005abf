//! The value of a constant expression: what a file stores, or computes from that by moving elements about.
//!
//! Exporters store an LSTM's weights once and build `W`, `R` and `B` from them with `Unsqueeze`, `Slice`,
//! `Concat` and their like. Only operators that copy elements are folded, so that folding rounds nothing.

use crate::attribute::Attributes;
use crate::brief::{List, Name};
use crate::proto;
use crate::scope::{Origin, Scope};
use crate::tensor::{Tensor, element_count};
use crate::weights::Weight;
use std::collections::HashMap;
use std::sync::Arc;

/// How many operators deep an expression may be.
const MAX_DEPTH: usize = 64;

/// The operators that are folded.
const FOLDED: [&str; 8] =
    ["Constant", "Identity", "Unsqueeze", "Squeeze", "Concat", "Slice", "Transpose", "Reshape"];

/// Folds the constant expressions of one model, each once.
pub struct Folder<'b> {
    opset: i64,
    /// Values of inputs of the main graph.
    bindings: &'b [(&'b str, &'b Tensor)],
    /// By graph (its address) and name of the value.
    known: HashMap<(usize, String), Folded>,
    /// By the address of a tensor in `known`.
    weights: HashMap<usize, Result<Weight, NotConstant>>,
    /// The bytes of results that may still be made.
    budget: usize,
}

/// Why there is no constant.
#[derive(Debug, Clone)]
pub struct NotConstant {
    /// A sentence about the value.
    pub reason: String,
    /// What it is instead.
    pub kind: NotConstantKind,
}

/// What a value is that is no constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotConstantKind {
    /// Computed in a way that is not folded here.
    Unfolded,
    /// An input of a graph, or computed from one.
    Input,
    /// Nothing: the file is wrong.
    Wrong,
}

/// A constant, or why there is none.
pub type Folded = Result<Arc<Tensor>, NotConstant>;

fn unfolded<T>(reason: String) -> Result<T, NotConstant> {
    Err(NotConstant { reason, kind: NotConstantKind::Unfolded })
}

fn wrong(reason: String) -> NotConstant {
    NotConstant { reason, kind: NotConstantKind::Wrong }
}

impl<'b> Folder<'b> {
    /// A folder for a model of `opset` whose file has `file_bytes` bytes. All results together stay below
    /// a fixed multiple of the sizes of the file and the bindings.
    pub fn new(opset: i64, file_bytes: usize, bindings: &'b [(&'b str, &'b Tensor)]) -> Self {
        let bound: usize = bindings.iter().map(|(_, t)| t.data().bytes()).sum();
        let budget = file_bytes.saturating_add(bound).saturating_mul(16).saturating_add(1 << 16);
        Self { opset, bindings, known: HashMap::new(), weights: HashMap::new(), budget }
    }

    /// The value of `name` as seen in `scope`, as a weight.
    pub fn weight(&mut self, scope: &Scope<'_>, name: &str) -> Result<Weight, NotConstant> {
        let tensor = self.value(scope, name, 0)?;
        let address = Arc::as_ptr(&tensor).addr();
        if let Some(known) = self.weights.get(&address) {
            return known.clone();
        }
        let weight = Weight::new(tensor);
        let weight = self.spend(name, weight.widened_bytes()).map(|()| weight);
        self.weights.insert(address, weight.clone());
        weight
    }

    /// Takes `bytes` of a result for `name` out of the budget.
    fn spend(&mut self, name: &str, bytes: usize) -> Result<(), NotConstant> {
        match self.budget.checked_sub(bytes) {
            Some(left) => self.budget = left,
            None => return unfolded(format!("{}: too many bytes of constant expressions", Name(name))),
        }
        Ok(())
    }

    /// The value of `name` as seen in `scope`, `depth` operators below a weight.
    fn value(&mut self, scope: &Scope<'_>, name: &str, depth: usize) -> Folded {
        let Some((scope, origin)) = scope.find(name) else {
            return Err(wrong(format!("there is no value {}", Name(name))));
        };
        let key = (std::ptr::from_ref(scope.graph).addr(), name.to_string());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        self.known.insert(key.clone(), Err(wrong(format!("{} depends on itself", Name(name)))));
        let result = self.origin_value(scope, name, origin, depth);
        self.known.insert(key, result.clone());
        result
    }

    fn origin_value(&mut self, scope: &Scope<'_>, name: &str, origin: Origin<'_>, depth: usize) -> Folded {
        let tensor = match origin {
            Origin::Input => match self.bindings.iter().find(|(bound, _)| *bound == name) {
                Some((_, t)) if scope.parent.is_none() => Tensor::clone(t),
                _ => {
                    let reason = format!("{} is an input of the graph, not a constant", Name(name));
                    return Err(NotConstant { reason, kind: NotConstantKind::Input });
                }
            },
            Origin::Sparse => {
                return unfolded(format!("{} is a sparse tensor, which is not read", Name(name)));
            }
            Origin::Initializer(t) => {
                Tensor::from_proto(t).map_err(|e| wrong(format!("tensor {}: {e}", Name(name))))?
            }
            Origin::Node(node, slot) => self
                .output_value(scope, (node, slot), depth)
                .map_err(|e| NotConstant { reason: computed_by(name, node, &e.reason), ..e })?,
        };
        self.spend(name, tensor.bytes())?;
        Ok(Arc::new(tensor))
    }

    /// The value of an output of a node.
    fn output_value(
        &mut self,
        scope: &Scope<'_>,
        (node, slot): (&proto::Node, usize),
        depth: usize,
    ) -> Result<Tensor, NotConstant> {
        if depth >= MAX_DEPTH {
            return unfolded(format!("it ends a chain of {MAX_DEPTH} operators"));
        }
        let standard = matches!(node.domain.as_str(), "" | "ai.onnx");
        if slot > 0 || !standard || !FOLDED.contains(&node.op_type.as_str()) {
            return unfolded("this operator is not folded".to_string());
        }
        self.node_value(scope, node, depth)
    }

    fn node_value(
        &mut self,
        scope: &Scope<'_>,
        node: &proto::Node,
        depth: usize,
    ) -> Result<Tensor, NotConstant> {
        if node.op_type == "Constant" {
            return constant_node(node).map_err(wrong);
        }
        let mut input = |name: &String| match name.as_str() {
            "" => Ok(None),
            name => self.value(scope, name, depth + 1).map(Some),
        };
        let inputs = node.input.iter().map(&mut input).collect::<Result<_, _>>()?;
        let call = Call { node, inputs, opset: self.opset };
        if call.output_bytes() > self.budget {
            return unfolded("too many bytes of constant expressions".into());
        }
        call.evaluate().map_err(wrong)
    }
}

/// What is told of `name`, which `node` computes, where its own value is not there for `reason`. Of a chain of operators,
/// the last ones are told.
fn computed_by(name: &str, node: &proto::Node, reason: &str) -> String {
    const LONGEST: usize = 512;
    match reason.len() < LONGEST {
        true => {
            let (name, op, node) = (Name(name), Name(&node.op_type), Name(&node.name));
            format!("{name} is computed by {op} node {node}: {reason}")
        }
        false => reason.to_string(),
    }
}

/// The tensor of a `Constant` node.
fn constant_node(node: &proto::Node) -> Result<Tensor, String> {
    const KNOWN: [&str; 5] = ["value", "value_float", "value_floats", "value_int", "value_ints"];
    let a = Attributes::read(node, &KNOWN).map_err(|e| e.to_string())?;
    let constant = || -> Result<Option<Result<Tensor, String>>, crate::attribute::BadAttribute> {
        Ok(if let Some(t) = a.tensor("value")? {
            Some(Tensor::from_proto(t))
        } else if let Some(v) = a.float("value_float")? {
            Some(Ok(Tensor::scalar(v)))
        } else if let Some(v) = a.int("value_int")? {
            Some(Ok(Tensor::scalar(v)))
        } else if let Some(v) = a.floats("value_floats")? {
            Tensor::new(&[v.len()], v.to_vec()).map(Ok)
        } else if let Some(v) = a.ints("value_ints")? {
            Tensor::new(&[v.len()], v.to_vec()).map(Ok)
        } else {
            None
        })
    };
    match constant().map_err(|e| e.to_string())? {
        Some(value) if node.attribute.len() == 1 => value,
        _ => Err("it needs exactly one value".into()),
    }
}

/// A node that moves elements, with its inputs evaluated.
struct Call<'n> {
    node: &'n proto::Node,
    inputs: Vec<Option<Arc<Tensor>>>,
    opset: i64,
}

impl Call<'_> {
    /// A bound of the bytes of the result: no operator here makes more than its inputs hold together.
    fn output_bytes(&self) -> usize {
        self.inputs.iter().flatten().map(|t| t.bytes()).sum()
    }

    fn evaluate(&self) -> Result<Tensor, String> {
        match self.node.op_type.as_str() {
            "Identity" => {
                self.attributes(&[])?;
                self.arity(1)?;
                Ok(self.data()?.clone())
            }
            "Unsqueeze" => self.unsqueeze(),
            "Squeeze" => self.squeeze(),
            "Concat" => self.concat(),
            "Slice" => self.slice(),
            "Transpose" => self.transpose(),
            _ => self.reshape(),
        }
    }

    fn attributes(&self, known: &[&str]) -> Result<Attributes<'_>, String> {
        Attributes::read(self.node, known).map_err(|e| e.to_string())
    }

    fn arity(&self, most: usize) -> Result<(), String> {
        let n = self.inputs.len();
        if n > most { Err(format!("{n} inputs, where it has at most {most}")) } else { Ok(()) }
    }

    fn data(&self) -> Result<&Tensor, String> {
        self.inputs.first().and_then(|t| t.as_deref()).ok_or_else(|| "its first input is missing".into())
    }

    /// The integers of input `index`, when it is there.
    fn ints_input(&self, index: usize) -> Result<Option<Vec<i64>>, String> {
        let Some(t) = self.inputs.get(index).and_then(|t| t.as_deref()) else {
            return Ok(None);
        };
        if t.dims().len() > 1 {
            return Err(format!("input {index} has dimensions {}, not one", List(t.dims())));
        }
        match (t.as_slice::<i64>(), t.as_slice::<i32>()) {
            (Some(v), _) => Ok(Some(v.to_vec())),
            (_, Some(v)) => Ok(Some(v.iter().map(|&i| i.into()).collect())),
            _ => Err(format!("input {index} is {}, not integers", t.dtype())),
        }
    }

    /// Integers that are the attribute `name` before operator set `since`, and input `index` from it on.
    fn ints(&self, name: &str, since: i64, index: usize) -> Result<Option<Vec<i64>>, String> {
        if self.opset >= since {
            self.attributes(&[])?;
            self.ints_input(index)
        } else {
            self.arity(1)?;
            let a = self.attributes(&[name])?;
            Ok(a.ints(name).map_err(|e| e.to_string())?.map(<[i64]>::to_vec))
        }
    }

    fn unsqueeze(&self) -> Result<Tensor, String> {
        self.arity(2)?;
        let axes = self.ints("axes", 13, 1)?.ok_or("`axes` is missing")?;
        let data = self.data()?;
        let rank = data.dims().len() + axes.len();
        let new = axis_set(&axes, rank)?;
        let mut old = data.dims().iter();
        let dims = new.iter().map(|&is_new| if is_new { 1 } else { *old.next().unwrap_or(&1) }).collect();
        reshaped(data, dims)
    }

    fn squeeze(&self) -> Result<Tensor, String> {
        self.arity(2)?;
        let data = self.data()?;
        let dims = data.dims();
        let gone = match self.ints("axes", 13, 1)? {
            Some(axes) => axis_set(&axes, dims.len())?,
            None => dims.iter().map(|&d| d == 1).collect(),
        };
        if let Some(d) = dims.iter().zip(&gone).find(|&(&d, &g)| g && d != 1) {
            return Err(format!("a dimension of {} cannot be removed", d.0));
        }
        let kept = dims.iter().zip(&gone).filter(|&(_, &g)| !g).map(|(&d, _)| d).collect();
        reshaped(data, kept)
    }

    fn reshape(&self) -> Result<Tensor, String> {
        self.arity(2)?;
        let (shape, allow_zero) = if self.opset < 5 {
            (self.ints("shape", 5, 1)?, false)
        } else {
            let known: &[&str] = if self.opset < 14 { &[] } else { &["allowzero"] };
            let allow = self.attributes(known)?.int("allowzero").map_err(|e| e.to_string())?;
            (self.ints_input(1)?, allow.unwrap_or(0) != 0)
        };
        let data = self.data()?;
        let shape = shape.ok_or("`shape` is missing")?;
        let dims = reshape_dims(data, &shape, allow_zero)
            .ok_or_else(|| format!("{} does not reshape to {}", List(data.dims()), List(&shape)))?;
        reshaped(data, dims)
    }

    fn concat(&self) -> Result<Tensor, String> {
        let axis = self.attributes(&["axis"])?.int("axis").map_err(|e| e.to_string())?;
        let axis = axis.or((self.opset < 4).then_some(1)).ok_or("`axis` is missing")?;
        let parts = self.inputs.iter().map(|t| t.as_deref()).collect::<Option<Vec<&Tensor>>>();
        let parts = parts.filter(|p| !p.is_empty()).ok_or("an input is missing")?;
        let rank = parts[0].dims().len();
        let axis = axis_index(axis, rank)?;
        let same = |t: &&Tensor| {
            let others = |d: &[usize]| [&d[..axis], &d[axis + 1..]].concat();
            t.dtype() == parts[0].dtype()
                && t.dims().len() == rank
                && others(t.dims()) == others(parts[0].dims())
        };
        if let Some(other) = parts.iter().find(|t| !same(t)) {
            let [first, other] = [parts[0], other].map(|t| List(t.dims()));
            return Err(format!("{first} and {other} do not join at {axis}"));
        }
        let mut dims = parts[0].dims().to_vec();
        dims[axis] = parts.iter().map(|t| t.dims()[axis]).sum();
        let outer: usize = dims[..axis].iter().product();
        let mut data = parts[0].data().gather(std::iter::empty());
        for o in 0..if data_is_empty(&dims) { 0 } else { outer } {
            for t in &parts {
                let run: usize = t.dims()[axis..].iter().product();
                data.append(t.data(), o * run..(o + 1) * run);
            }
        }
        Tensor::from_data(dims, data).ok_or_else(|| "the joined dimensions overflow".into())
    }

    fn transpose(&self) -> Result<Tensor, String> {
        self.arity(1)?;
        let data = self.data()?;
        let rank = data.dims().len();
        let perm = match self.attributes(&["perm"])?.ints("perm").map_err(|e| e.to_string())? {
            Some(p) => p.iter().map(|&a| axis_index(a, rank)).collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).rev().collect(),
        };
        let mut seen = vec![false; rank];
        perm.iter().for_each(|&axis| seen[axis] = true);
        if perm.len() != rank || seen.contains(&false) {
            return Err(format!("`perm` {} is no permutation of {rank} axes", List(&perm)));
        }
        let strides = strides(data.dims());
        let axes = perm.iter().map(|&a| Axis { len: data.dims()[a], start: 0, step: strides[a] as isize });
        strided(data, &axes.collect::<Vec<_>>())
    }

    fn slice(&self) -> Result<Tensor, String> {
        self.arity(5)?;
        let ranges = if self.opset < 10 {
            let a = self.attributes(&["starts", "ends", "axes"])?;
            self.arity(1)?;
            let ints = |n| a.ints(n).map(|v| v.map(<[i64]>::to_vec)).map_err(|e| e.to_string());
            [ints("starts")?, ints("ends")?, ints("axes")?, None]
        } else {
            self.attributes(&[])?;
            [self.ints_input(1)?, self.ints_input(2)?, self.ints_input(3)?, self.ints_input(4)?]
        };
        let [Some(starts), Some(ends), axes, steps] = ranges else {
            return Err("`starts` or `ends` is missing".into());
        };
        let data = self.data()?;
        let n = starts.len();
        let axes = axes.unwrap_or_else(|| (0..n as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; n]);
        if [ends.len(), axes.len(), steps.len()] != [n; 3] {
            return Err("`starts`, `ends`, `axes` and `steps` have different lengths".into());
        }
        let strides = strides(data.dims());
        let whole = data.dims().iter().zip(&strides);
        let mut cut: Vec<Axis> = whole.map(|(&len, &s)| Axis { len, start: 0, step: s as isize }).collect();
        axis_set(&axes, data.dims().len())?;
        for i in 0..n {
            let axis = axis_index(axes[i], data.dims().len())?;
            cut[axis] = Axis::cut(data.dims()[axis], strides[axis], starts[i], ends[i], steps[i])?;
        }
        strided(data, &cut)
    }
}

fn data_is_empty(dims: &[usize]) -> bool {
    dims.contains(&0)
}

/// One axis of a strided view: `len` elements from `start`, `step` apart, both counted in elements.
struct Axis {
    len: usize,
    start: usize,
    step: isize,
}

impl Axis {
    /// `Slice` of an axis of `len` elements that are `stride` apart.
    fn cut(len: usize, stride: usize, start: i64, end: i64, step: i64) -> Result<Axis, String> {
        if step == 0 {
            return Err("`steps` has a 0".into());
        }
        if len == 0 {
            return Ok(Axis { len: 0, start: 0, step: 0 });
        }
        let n = len as i64;
        let from_end = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
        let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
        let first = from_end(start).clamp(0, high);
        let last = from_end(end).clamp(low, high);
        let span = if step > 0 { last - first } else { first - last };
        let count = if span <= 0 { 0 } else { span.unsigned_abs().div_ceil(step.unsigned_abs()) };
        if count == 0 {
            return Ok(Axis { len: 0, start: 0, step: 0 });
        }
        // With at most one element the step is never taken, and may be too large to multiply.
        let step = if count == 1 { 0 } else { step as isize * stride as isize };
        Ok(Axis { len: count as usize, start: first as usize * stride, step })
    }
}

/// Copies the elements of a strided view of `data`. Every element of the view must be in `data`.
fn strided(data: &Tensor, axes: &[Axis]) -> Result<Tensor, String> {
    let dims: Vec<usize> = axes.iter().map(|a| a.len).collect();
    let count = element_count(&dims).ok_or("the dimensions overflow")?;
    let start: usize = axes.iter().map(|a| a.start).sum();
    let index = |flat: usize| {
        let step =
            |(rest, at): (usize, isize), a: &Axis| (rest / a.len, at + (rest % a.len) as isize * a.step);
        axes.iter().rev().fold((flat, start as isize), step).1 as usize
    };
    let data = data.data().gather((0..count).map(index));
    Tensor::from_data(dims, data).ok_or_else(|| "the dimensions overflow".into())
}

fn reshaped(data: &Tensor, dims: Vec<usize>) -> Result<Tensor, String> {
    Tensor::from_data(dims, data.data().clone()).ok_or_else(|| "the dimensions overflow".to_string())
}

/// The dimensions that `Reshape` asks for: 0 copies a dimension unless `allow_zero`, one -1 is what is left.
fn reshape_dims(data: &Tensor, shape: &[i64], allow_zero: bool) -> Option<Vec<usize>> {
    let mut open = None;
    let mut dims = Vec::with_capacity(shape.len());
    for (i, &s) in shape.iter().enumerate() {
        dims.push(match s {
            0 if !allow_zero => *data.dims().get(i)?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            s => usize::try_from(s).ok()?,
        });
    }
    if let Some(i) = open {
        let rest = element_count(&dims)?;
        let n = data.data().len();
        if rest == 0 || !n.is_multiple_of(rest) {
            return None;
        }
        dims[i] = n / rest;
    }
    Some(dims)
}

/// The distance between neighbours on each axis of a row-major tensor.
fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(dims[i]);
    }
    strides
}

fn axis_index(axis: i64, rank: usize) -> Result<usize, String> {
    let from_end = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let index = from_end.and_then(|a| usize::try_from(a).ok()).filter(|&a| a < rank);
    index.ok_or_else(|| format!("axis {axis} of {rank}"))
}

/// Which of `rank` axes are in `axes`; each may be named once.
fn axis_set(axes: &[i64], rank: usize) -> Result<Vec<bool>, String> {
    let mut set = vec![false; rank];
    for &a in axes {
        if std::mem::replace(&mut set[axis_index(a, rank)?], true) {
            return Err(format!("axis {a} twice"));
        }
    }
    Ok(set)
}
