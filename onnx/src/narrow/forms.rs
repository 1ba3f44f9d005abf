//! The forms in which an ONNX file says narrow weights.

use super::edit::{Edit, QUANTIZED};
use crate::error::Error;
use crate::names::UniqueNames;
use crate::node::RecurrentNode;
use crate::operator::RecurrentOp;
use crate::proto::{Attribute, Node, kind};
use crate::tensor::{DType, Element, Tensor};
use rnnpack::{LayerWeights, Layout, Scale, WeightType};

/// The operator set from which `Cast` has f16. `Cast` of sets before 6 names its type by a text.
const CAST_F16: i64 = 6;
/// The operator set from which `Cast` has bf16.
const CAST_BF16: i64 = 13;
/// The operator set from which `DequantizeLinear` has a scale for each row.
const DEQUANTIZE_ROWS: i64 = 13;

/// What becomes of a node, as the file has it in `raw`, whose layer stores W and R as `weights`.
///
/// # Errors
/// As [`narrow`](super::narrow), about this node.
pub(super) fn edit(
    raw: &Node,
    node: &RecurrentNode,
    weights: WeightType,
    names: &mut UniqueNames,
) -> Result<Edit, Error> {
    let refuse = |reason: String| Error::Node { node: node.name.clone(), op: node.op.to_string(), reason };
    let narrowed = node.clone().with_type(weights);
    let stored = narrowed.weights()?;
    let other = match node.dtype {
        _ if node.op.is_quantized() => Some("int8".to_string()),
        dtype => dtype.filter(|&dtype| dtype != DType::F32).map(|dtype| dtype.to_string()),
    };
    if let Some(other) = other {
        let reason = format!("its weights are {other}; only those of f32 become {}", weights.name());
        return Err(refuse(reason));
    }
    if let Some(reason) = not_narrower(node, weights) {
        return Err(refuse(reason));
    }
    let since = match (weights, node.op) {
        (WeightType::F16, _) => CAST_F16,
        (WeightType::Bf16, _) => CAST_BF16,
        (WeightType::I8, RecurrentOp::Lstm) => 1,
        (WeightType::I8, _) => DEQUANTIZE_ROWS,
        _ => return Err(refuse(format!("a file has no weights of type {}", weights.name()))),
    };
    if node.opset < since {
        let (name, opset) = (weights.name(), node.opset);
        let reason = format!("its weights can be {name} from operator set {since} on; the model has {opset}");
        return Err(refuse(reason));
    }
    let mut form = Form { raw, names, edit: Edit::unchanged(raw) };
    let [w, r] = matrices(&stored);
    if node.op == RecurrentOp::Lstm && [&w, &r].iter().any(|matrix| matrix.zero_point().is_none()) {
        return Err(refuse(format!(
            "the integers of its directions have different zero points, which {QUANTIZED} has not"
        )));
    }
    match (weights, node.op) {
        (WeightType::I8, RecurrentOp::Lstm) => form.dynamic(node, [w, r]),
        (WeightType::I8, _) => form.weights([w, r], |form, matrix| form.dequantized(matrix)),
        (WeightType::F16, _) => form.weights([w, r], |form, matrix| form.cast(matrix, DType::F16)),
        _ => form.weights([w, r], |form, matrix| form.cast(matrix, DType::BF16)),
    }
    Ok(form.edit)
}

/// Why 16 bits are no gain for weights of f32 that the file makes of narrower ones, if so: they would be rounded once more
/// and have no fewer bytes. An integer of 8 bits has fewer bytes, or is that of the file.
fn not_narrower(node: &RecurrentNode, weights: WeightType) -> Option<String> {
    let to = match weights {
        WeightType::Bf16 => DType::BF16,
        WeightType::F16 => DType::F16,
        _ => return None,
    };
    let gains = |from: DType| from == to || from.size() > to.size();
    let from = node.matrix_types.iter().find(|from| !from.is_some_and(gains))?;
    let from = from.map_or("in part narrower than f32".to_string(), |from| from.to_string());
    Some(format!("its weights are {from} in the file, and {} has no fewer bytes", weights.name()))
}

impl Edit {
    fn unchanged(raw: &Node) -> Edit {
        let (inputs, outputs) = (raw.input.clone(), raw.output.clone());
        Edit { before: vec![], inputs, outputs, operator: None, dropped: &[], added: vec![], after: vec![] }
    }
}

/// W or R of all directions, as a layer stores it.
struct Matrix {
    /// `[D, G·H, columns]`.
    dims: [usize; 3],
    /// The elements in this shape: numbers of the narrow type; of int8, the integers.
    values: Vec<f32>,
    /// Of int8, the scales `[D, G·H]`.
    scales: Vec<f32>,
    /// Of int8, the integers of 0, `[D, G·H]`.
    zero_points: Vec<i8>,
}

/// W and R.
fn matrices(weights: &LayerWeights<'_>) -> [Matrix; 2] {
    let (shape, gates) = (weights.shape(), weights.cell().gates());
    let matrix = |of_w: bool| {
        let columns = if of_w { shape.input } else { shape.hidden };
        let dims = [shape.direction.count(), gates * shape.hidden, columns];
        let mut matrix = Matrix { dims, values: Vec::new(), scales: Vec::new(), zero_points: Vec::new() };
        for direction in weights.directions() {
            for row in 0..gates * shape.hidden {
                let (gate, unit) = (row / shape.hidden, row % shape.hidden);
                match of_w {
                    true => {
                        matrix.row(direction.stored_w(gate, unit), direction.w_scale(gate, unit), weights)
                    }
                    false => {
                        matrix.row(direction.stored_r(gate, unit), direction.r_scale(gate, unit), weights)
                    }
                }
            }
        }
        matrix
    };
    [matrix(true), matrix(false)]
}

impl Matrix {
    fn row(&mut self, row: impl Iterator<Item = f32>, scale: Scale, weights: &LayerWeights<'_>) {
        if weights.weight_type() != WeightType::I8 {
            return self.values.extend(row);
        }
        self.values.extend(row.map(|weight| scale.integer(weight) as f32));
        // All weights of a row without a scale are 0.
        self.scales.push(if scale.scale == 0.0 { 1.0 } else { scale.scale });
        // The zero point of a layer is an i8: so its weights of 0 are.
        self.zero_points.push(scale.zero_point as i8);
    }

    /// The zero point of all rows, if it is the same. A matrix of another type than int8 has 0.
    fn zero_point(&self) -> Option<i8> {
        let first = self.zero_points.first().copied().unwrap_or_default();
        self.zero_points.iter().all(|&other| other == first).then_some(first)
    }

    /// The integers, row-major, as they are or with the rows of each direction as columns.
    fn integers(&self, transposed: bool) -> Vec<i8> {
        let [_, rows, columns] = self.dims;
        // An integer of a layer is an i8, and f32 holds it exactly.
        let at = |i: usize| self.values[i] as i8;
        if !transposed {
            return (0..self.values.len()).map(at).collect();
        }
        let element = |i: usize| {
            let (d, rest) = (i / (rows * columns), i % (rows * columns));
            at(d * rows * columns + rest % rows * columns + rest / rows)
        };
        (0..self.values.len()).map(element).collect()
    }
}

/// The new form of a node, under construction.
struct Form<'n> {
    raw: &'n Node,
    names: &'n mut UniqueNames,
    edit: Edit,
}

impl Form<'_> {
    /// Replaces the inputs W and R by what `form` makes of them.
    fn weights(&mut self, matrices: [Matrix; 2], form: impl Fn(&mut Self, (&str, Matrix)) -> String) {
        for (index, matrix) in (1..).zip(matrices) {
            let old = self.raw.input[index].clone();
            self.edit.inputs[index] = form(self, (&old, matrix));
        }
    }

    /// A tensor of 16 bits, widened by `Cast`.
    fn cast(&mut self, (name, matrix): (&str, Matrix), dtype: DType) -> String {
        let tensor = Tensor::new(&matrix.dims, matrix.values).ok().and_then(|t| t.round_to(dtype));
        let narrow = self.constant(&format!("{name}_{dtype}"), tensor);
        let to = int("to", DType::F32.number().into());
        self.before("Cast", &[&narrow], &format!("{name}_widened"), vec![to])
    }

    /// Integers with a scale for each row, and a zero point if it is not 0, widened by `DequantizeLinear`. Its scales have
    /// one axis, so the directions and rows are one axis there.
    fn dequantized(&mut self, (name, matrix): (&str, Matrix)) -> String {
        let [directions, rows, columns] = matrix.dims;
        let all = directions * rows;
        let integers = tensor(&[1, all, columns], matrix.integers(false));
        let integers = self.constant(&format!("{name}_int8"), integers);
        let has_zero_points = matrix.zero_point() != Some(0);
        let scales = self.constant(&format!("{name}_scale"), tensor(&[all], matrix.scales));
        let mut inputs = vec![integers, scales];
        if has_zero_points {
            inputs.push(self.constant(&format!("{name}_zero_point"), tensor(&[all], matrix.zero_points)));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let widened = format!("{name}_dequantized");
        let widened = self.before("DequantizeLinear", &inputs, &widened, vec![int("axis", 1)]);
        if directions == 1 {
            return widened;
        }
        let dims = matrix.dims.map(|d| d as i64).to_vec();
        let shape = self.constant(&format!("{name}_shape"), tensor(&[3], dims));
        self.before("Reshape", &[&widened, &shape], &format!("{name}_directions"), vec![])
    }

    /// Makes an LSTM a `DynamicQuantizeLSTM`, whose W and R are transposed, with a scale for each column. Integers with a
    /// zero point lose their sign: with a sign, the zero points of columns must be 0.
    fn dynamic(&mut self, node: &RecurrentNode, matrices: [Matrix; 2]) {
        const INPUTS: usize = 8;
        self.edit.inputs.resize(INPUTS, String::new());
        let signed = matrices.iter().all(|matrix| matrix.zero_point() == Some(0));
        let integers = |dims: &[usize], values: Vec<i8>| match signed {
            true => tensor(dims, values),
            false => tensor(dims, values.into_iter().map(|value| value.cast_unsigned() ^ 0x80).collect()),
        };
        for (index, matrix) in (1..).zip(matrices) {
            let name = self.raw.input[index].clone();
            let [directions, rows, columns] = matrix.dims;
            let all = integers(&[directions, columns, rows], matrix.integers(true));
            self.edit.inputs[index] = self.constant(&format!("{name}_int8"), all);
            let zeros = integers(&[directions, rows], matrix.zero_points);
            let scales = self.constant(&format!("{name}_scale"), tensor(&[directions, rows], matrix.scales));
            let zeros = self.constant(&format!("{name}_zero_point"), zeros);
            self.edit.inputs.extend([scales, zeros]);
        }
        self.edit.operator = Some(QUANTIZED);
        self.edit.dropped = &["layout", "output_sequence", "hidden_size"];
        let hidden = node.hidden.unwrap_or_default();
        self.edit.added = vec![int("hidden_size", hidden as i64)];
        if node.layout == Some(Layout::BatchMajor) {
            self.batch_major();
        }
    }

    /// Transposes X, the states and the outputs of an operator that has no `layout`.
    fn batch_major(&mut self) {
        for index in [0, 5, 6] {
            let input = self.edit.inputs[index].clone();
            if !input.is_empty() {
                let name = format!("{input}_time_major");
                self.edit.inputs[index] =
                    self.before("Transpose", &[&input], &name, vec![ints("perm", &[1, 0, 2])]);
            }
        }
        for index in 0..self.edit.outputs.len() {
            let output = self.edit.outputs[index].clone();
            if !output.is_empty() {
                // Y is [T, D, B, H] and becomes [B, T, D, H]; a state is [D, B, H] and becomes [B, D, H].
                let perm = if index == 0 { ints("perm", &[2, 0, 1, 3]) } else { ints("perm", &[1, 0, 2]) };
                let name = self.names.unique(&format!("{output}_time_major"));
                self.edit.after.push(node("Transpose", &[&name], &output, vec![perm]));
                self.edit.outputs[index] = name;
            }
        }
    }

    /// Adds a node before the recurrent one. Returns the name of its output.
    fn before(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<Attribute>) -> String {
        let output = self.names.unique(output);
        self.edit.before.push(node(op, inputs, &output, attributes));
        output
    }

    /// Adds a constant. A `Constant` node is one in every version of the format, while stored tensors were inputs once.
    fn constant(&mut self, name: &str, tensor: Option<Tensor>) -> String {
        let t = tensor.map(|tensor| Box::new(tensor.to_proto("")));
        let value = Attribute { name: "value".into(), kind: kind::TENSOR, t, ..Attribute::default() };
        self.before("Constant", &[], name, vec![value])
    }
}

/// A tensor. Its elements are as many as its dimensions say.
fn tensor<T: Element>(dims: &[usize], values: Vec<T>) -> Option<Tensor> {
    Tensor::new(dims, values).ok()
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<Attribute>) -> Node {
    let input = inputs.iter().map(ToString::to_string).collect();
    let (name, output) = (output.to_string(), vec![output.to_string()]);
    Node { name, op_type: op.to_string(), input, output, attribute, ..Node::default() }
}

fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: name.to_string(), kind: kind::INT, i: value, ..Attribute::default() }
}

fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: name.to_string(), kind: kind::INTS, ints: values.to_vec(), ..Attribute::default() }
}
