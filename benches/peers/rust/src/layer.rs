//! The layer that is timed: random weights in ONNX's layout and order, and an input.

use anyhow::{Result, ensure};
use prost::Message;
use rnnpack::compare::difference;
use rnnpack::{Cell, Dims, Direction, GateOrder, LayerTensors, LayerWeights, Layout, Shape, View, reference};
use tract_onnx::pb;

/// The operator. A GRU has `linear_before_reset` 1. This is PyTorch's form, and the only one that rten and candle
/// have.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Op {
    Lstm,
    Gru,
}

impl Op {
    pub(crate) fn cell(self) -> Cell {
        match self {
            Op::Lstm => Cell::lstm(),
            Op::Gru => Cell::gru(true),
        }
    }
}

/// Steps, batch rows, input size and hidden size.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) time: usize,
    pub(crate) batch: usize,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
}

pub(crate) struct Layer {
    pub(crate) op: Op,
    pub(crate) sizes: Sizes,
    /// `[1, G·H, I]`
    pub(crate) w: Vec<f32>,
    /// `[1, G·H, H]`
    pub(crate) r: Vec<f32>,
    /// `[1, 2·G·H]`
    pub(crate) b: Vec<f32>,
    /// `[T, B, I]`
    pub(crate) x: Vec<f32>,
}

impl Layer {
    /// A layer with weights uniform in ±1/√H, like PyTorch's initial weights, and inputs uniform in ±1.
    pub(crate) fn random(op: Op, sizes: Sizes) -> Layer {
        let Sizes { time, batch, input, hidden } = sizes;
        let mut rng = fastrand::Rng::with_seed(1);
        let mut uniform =
            |len: usize, scale: f32| (0..len).map(|_| scale * (2.0 * rng.f32() - 1.0)).collect::<Vec<f32>>();
        let (rows, scale) = (op.cell().gates() * hidden, 1.0 / (hidden as f32).sqrt());
        let (w, r) = (uniform(rows * input, scale), uniform(rows * hidden, scale));
        let (b, x) = (uniform(2 * rows, scale), uniform(time * batch * input, 1.0));
        Layer { op, sizes, w, r, b, x }
    }

    pub(crate) fn weights(&self) -> Result<LayerWeights<'_>> {
        let Sizes { input, hidden, .. } = self.sizes;
        let shape = Shape { input, hidden, direction: Direction::Forward };
        let tensors = LayerTensors { w: &self.w, r: &self.r, b: Some(&self.b), p: None };
        Ok(LayerWeights::new(self.op.cell(), shape, GateOrder::Onnx, tensors)?)
    }

    /// The dimensions of X, `[T, 1, B, I]`.
    pub(crate) fn x_dims(&self) -> Dims {
        let Sizes { time, batch, input, .. } = self.sizes;
        Dims { time, directions: 1, batch, width: input }
    }

    /// The dimensions of Y, `[T, 1, B, H]`.
    pub(crate) fn y_dims(&self) -> Dims {
        Dims { width: self.sizes.hidden, ..self.x_dims() }
    }

    /// The largest difference of the first and the last batch row of `y` from the f64 reference.
    pub(crate) fn error(&self, y: &[f32]) -> Result<f64> {
        let Sizes { batch, hidden, .. } = self.sizes;
        let weights = self.weights()?;
        let x = View::new(&self.x, self.x_dims(), Layout::TimeMajor)?;
        let y = View::new(y, self.y_dims(), Layout::TimeMajor)?;
        let mut worst = 0f64;
        for row in [0, batch - 1] {
            let mut h = vec![0f64; hidden];
            let mut c = vec![0f64; if self.op == Op::Lstm { hidden } else { 0 }];
            let of_row = x.batch_rows(row, row + 1);
            let right = reference::forward::<f32, f64>(
                &weights.directions()[0],
                of_row,
                None,
                false,
                &mut h,
                &mut c,
            )?;
            for (t, right) in right.chunks_exact(hidden).enumerate() {
                worst = worst.max(largest_difference(y.row(t, 0, row), right)?);
            }
        }
        Ok(worst)
    }

    /// Flops of products with `columns` columns of W and R, without activations.
    fn flops_of(&self, columns: usize) -> f64 {
        let Sizes { time, batch, hidden, .. } = self.sizes;
        (time * batch * 2 * self.op.cell().gates() * hidden * columns) as f64
    }

    /// Flops of a call.
    pub(crate) fn flops(&self) -> f64 {
        self.flops_of(self.sizes.input + self.sizes.hidden)
    }

    /// The seconds of the batch-1 limit: the time to read R in every step at `bandwidth`, plus the time of the
    /// input's projection at `peak`.
    pub(crate) fn limit(&self, peak: f64, bandwidth: f64) -> f64 {
        let Sizes { time, input, hidden, .. } = self.sizes;
        let bytes = (time * 4 * self.op.cell().gates() * hidden * hidden) as f64;
        bytes / bandwidth + self.flops_of(input) / peak
    }

    /// An ONNX model of the layer: X `[T, B, I]` to Y `[T, 1, B, H]`.
    pub(crate) fn onnx(&self) -> Vec<u8> {
        use pb::attribute_proto::AttributeType;
        let Sizes { time, batch, input, hidden } = self.sizes;
        let rows = self.op.cell().gates() * hidden;
        let int = |name: &str, i: i64| pb::AttributeProto {
            name: name.into(),
            r#type: AttributeType::Int.into(),
            i,
            ..Default::default()
        };
        let mut attribute = vec![int("hidden_size", hidden as i64)];
        if self.op == Op::Gru {
            attribute.push(int("linear_before_reset", 1));
        }
        let node = pb::NodeProto {
            op_type: self.op.cell().op().into(),
            input: ["X", "W", "R", "B"].map(String::from).into(),
            output: vec!["Y".into()],
            name: "layer".into(),
            attribute,
            ..Default::default()
        };
        let graph = pb::GraphProto {
            name: "layer".into(),
            node: vec![node],
            input: vec![value("X", &[time, batch, input])],
            output: vec![value("Y", &[time, 1, batch, hidden])],
            ..Default::default()
        };
        let tensors = vec![
            tensor("W", &[1, rows, input], &self.w),
            tensor("R", &[1, rows, hidden], &self.r),
            tensor("B", &[1, 2 * rows], &self.b),
        ];
        let graph = [graph.encode_to_vec(), Stored { tensors }.encode_to_vec()].concat();
        let opset = pb::OperatorSetIdProto { version: 14, ..Default::default() };
        let model = pb::ModelProto { ir_version: 8, opset_import: vec![opset], ..Default::default() };
        [model.encode_to_vec(), Main { graph }.encode_to_vec()].concat()
    }
}

/// The dimensions of a `TensorProto`. rten reads them only one by one, as ONNX's own schema has them, but tract's
/// encoder packs them. Concatenated protobuf messages merge. So only the dimensions must be encoded again.
#[derive(Clone, PartialEq, Message)]
struct TensorDims {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
}

/// The stored tensors of a `GraphProto`, encoded.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(bytes = "vec", repeated, tag = "5")]
    tensors: Vec<Vec<u8>>,
}

/// The graph of a `ModelProto`, encoded.
#[derive(Clone, PartialEq, Message)]
struct Main {
    #[prost(bytes = "vec", tag = "7")]
    graph: Vec<u8>,
}

/// The largest difference. It is an error if the lengths differ, or if only one of two numbers is NaN or infinite.
pub(crate) fn largest_difference<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> Result<f64> {
    Ok(difference(a, b)?.largest)
}

fn tensor(name: &str, dims: &[usize], values: &[f32]) -> Vec<u8> {
    let tensor = pb::TensorProto {
        name: name.into(),
        data_type: pb::tensor_proto::DataType::Float.into(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    };
    let dims = TensorDims { dims: dims.iter().map(|&d| d as i64).collect() };
    [tensor.encode_to_vec(), dims.encode_to_vec()].concat()
}

fn value(name: &str, dims: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value::DimValue};
    let dimension = |&d: &usize| Dimension { value: Some(DimValue(d as i64)), ..Default::default() };
    let shape = Some(pb::TensorShapeProto { dim: dims.iter().map(dimension).collect() });
    let tensor = pb::type_proto::Tensor { elem_type: pb::tensor_proto::DataType::Float.into(), shape };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    let r#type = Some(pb::TypeProto { value, ..Default::default() });
    pb::ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}
