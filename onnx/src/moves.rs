//! Operators that move or widen elements of constants and compute nothing.

use crate::attribute::Attributes;
use crate::brief::List;
use crate::proto;
use crate::tensor::{DType, Tensor, element_count};
use std::sync::Arc;

/// A node that moves or widens elements, with its evaluated inputs.
pub(crate) struct Move<'n> {
    pub(crate) node: &'n proto::Node,
    pub(crate) inputs: Vec<Option<Arc<Tensor>>>,
    pub(crate) opset: i64,
}

impl Move<'_> {
    /// The bytes of the inputs that the node reads, whether it succeeds or not. A `Slice` reads only what it returns of
    /// its first input. No operator here returns more than twice what its inputs have
    /// (`DequantizeLinear`, which reads the same, four times), and the time of each is linear in
    /// what it reads and returns.
    pub(crate) fn input_bytes(&self) -> usize {
        let read = |(i, t): (usize, &Option<Arc<Tensor>>)| match t {
            Some(t) if i == 0 && self.node.op_type == "Slice" => size_of_val(t.dims()),
            t => t.as_ref().map_or(0, |t| t.bytes()),
        };
        self.inputs.iter().enumerate().map(read).sum()
    }

    pub(crate) fn evaluate(&self) -> Result<Tensor, String> {
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

    /// The result of a `Cast` to FLOAT, if it rounds nothing: from f16, bf16 or f32.
    pub(crate) fn widened(&self) -> Option<Tensor> {
        let to = self.attributes(&["to", "saturate", "round_mode"]).ok()?.int("to").ok()??;
        let exact = to == i64::from(DType::F32.number()) && self.inputs.len() == 1;
        if exact { self.data().ok()?.to_f32() } else { None }
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

    /// The integers of input `index`, if it is present.
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

    /// Integers that are the attribute `name` before operator set `since`, and the input `index` from that set on.
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
        fn others(t: &Tensor, axis: usize) -> [&[usize]; 2] {
            [&t.dims()[..axis], &t.dims()[axis + 1..]]
        }
        let same = |t: &&Tensor| {
            let rank = t.dims().len() == rank;
            rank && t.dtype() == parts[0].dtype() && others(t, axis) == others(parts[0], axis)
        };
        if let Some(other) = parts.iter().find(|t| !same(t)) {
            let [first, other] = [parts[0], other].map(|t| List(t.dims()));
            return Err(format!("{first} and {other} do not join at {axis}"));
        }
        let mut dims = parts[0].dims().to_vec();
        let joined = parts.iter().try_fold(0usize, |sum, t| sum.checked_add(t.dims()[axis]));
        dims[axis] = joined.ok_or_else(|| format!("the sum of dimension {axis} overflows"))?;
        let outer: usize = dims[..axis].iter().product();
        let mut data = parts[0].data().gather(std::iter::empty());
        // Each part with the length of its runs. Empty parts are left out, so that every turn copies something.
        let run = |t: &&'_ Tensor| t.dims()[axis..].iter().product::<usize>();
        let full: Vec<(&Tensor, usize)> =
            parts.iter().filter(|t| !t.data().is_empty()).map(|t| (*t, run(t))).collect();
        for o in 0..if full.is_empty() { 0 } else { outer } {
            for &(t, run) in &full {
                data.append(t.data(), o * run..(o + 1) * run);
            }
        }
        Tensor::from_data(dims, data).map_err(|e| e.to_string())
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

/// One axis of a strided view: `len` elements. The first is at `start`, and neighbours are `step` elements apart.
struct Axis {
    len: usize,
    start: usize,
    step: isize,
}

impl Axis {
    /// The result of `Slice` on an axis of `len` elements. Neighbours are `stride` elements apart.
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
        // With one element, the step is never used. It may be too large to multiply.
        let step = if count == 1 { 0 } else { step as isize * stride as isize };
        Ok(Axis { len: count as usize, start: first as usize * stride, step })
    }
}

/// Copies the elements of a strided view of `data`. Every element of the view must be in `data`.
fn strided(data: &Tensor, axes: &[Axis]) -> Result<Tensor, String> {
    let dims: Vec<usize> = axes.iter().map(|a| a.len).collect();
    let count = element_count(&dims).ok_or("the dimensions overflow")?;
    let mut at: isize = axes.iter().map(|a| a.start as isize).sum();
    // Axes of length 1 never step and are left out. The others have at least 2 elements, so at most every second step
    // goes on to the next axis: two on average for an element, whatever the number of dimensions is.
    let mut steps: Vec<(&Axis, usize)> = axes.iter().filter(|a| a.len > 1).map(|a| (a, 0)).collect();
    let index = |_| {
        let now = at;
        for (axis, turn) in steps.iter_mut().rev() {
            *turn += 1;
            at += axis.step;
            if *turn < axis.len {
                break;
            }
            *turn = 0;
            at -= axis.step * axis.len as isize;
        }
        now as usize
    };
    let data = data.data().gather((0..count).map(index));
    Tensor::from_data(dims, data).map_err(|e| e.to_string())
}

fn reshaped(data: &Tensor, dims: Vec<usize>) -> Result<Tensor, String> {
    Tensor::from_data(dims, data.data().clone()).map_err(|e| e.to_string())
}

/// The dimensions for `Reshape`: 0 copies a dimension unless `allow_zero`, and one -1 takes the remaining elements.
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
    index.ok_or_else(|| format!("axis {axis} is out of range for {rank} dimensions"))
}

/// For each of `rank` axes, whether it is in `axes`. Refuses an axis that is named twice.
fn axis_set(axes: &[i64], rank: usize) -> Result<Vec<bool>, String> {
    let mut set = vec![false; rank];
    for &a in axes {
        if std::mem::replace(&mut set[axis_index(a, rank)?], true) {
            return Err(format!("axis {a} is given twice"));
        }
    }
    Ok(set)
}
