//! tract's own LSTM on the timed layer: an ONNX model of one node, loaded and optimized by tract.

use super::layer::LayerData;
use super::layer_sides::Competitor;
use crate::model::quietly;
use anyhow::{Context, Result, anyhow};
use rnnpack::{Direction, Shape};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tract_onnx::pb;
use tract_onnx::prelude::*;

/// The operator set that the model declares.
const OPSET: i64 = 14;

pub(crate) struct TractLayer {
    plan: Arc<TypedSimplePlan>,
    x: TValue,
    y: Option<TValue>,
}

impl TractLayer {
    /// Loads the layer.
    ///
    /// # Errors
    /// Where tract computes something else, does not load the layer, or panics.
    pub(crate) fn new(data: &LayerData) -> Result<TractLayer> {
        if data.shape.direction == Direction::Reverse {
            return Err(anyhow!("tract computes a reverse layer as a forward one"));
        }
        let load = || -> TractResult<TractLayer> {
            let model = tract_onnx::onnx().model_for_proto_model(&model(data))?;
            let plan = model.into_optimized()?.into_runnable()?;
            let x = Tensor::from_shape(&[data.time, data.batch, data.shape.input], &data.x)?;
            Ok(TractLayer { plan, x: x.into_tvalue(), y: None })
        };
        quietly(|| catch_unwind(AssertUnwindSafe(load)))
            .map_err(|_| anyhow!("tract panicked while it loaded the layer"))?
    }
}

impl Competitor for TractLayer {
    fn call(&mut self) -> Result<()> {
        self.y = self.plan.run(tvec!(self.x.clone()))?.into_iter().next();
        Ok(())
    }

    fn output(&self) -> Result<&[f32]> {
        let y = self.y.as_ref().context("tract gave no output")?;
        y.try_as_plain_ram()?.as_slice::<f32>()
    }
}

fn model(data: &LayerData) -> pb::ModelProto {
    let Shape { input, hidden, direction } = data.shape;
    let d = direction.count();
    let graph = pb::GraphProto {
        name: "layer".into(),
        node: vec![pb::NodeProto {
            op_type: "LSTM".into(),
            input: ["X", "W", "R", "B"].map(String::from).into(),
            output: vec!["Y".into()],
            attribute: attributes(direction, hidden),
            ..Default::default()
        }],
        initializer: vec![
            tensor("W", &[d, 4 * hidden, input], &data.w),
            tensor("R", &[d, 4 * hidden, hidden], &data.r),
            tensor("B", &[d, 8 * hidden], &data.b),
        ],
        input: vec![value("X", &[data.time, data.batch, input])],
        output: vec![value("Y", &[data.time, d, data.batch, hidden])],
        ..Default::default()
    };
    let opset = pb::OperatorSetIdProto { version: OPSET, ..Default::default() };
    pb::ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() }
}

fn attributes(direction: Direction, hidden: usize) -> Vec<pb::AttributeProto> {
    use pb::attribute_proto::AttributeType;
    let hidden = pb::AttributeProto {
        name: "hidden_size".into(),
        r#type: AttributeType::Int.into(),
        i: hidden as i64,
        ..Default::default()
    };
    let direction = pb::AttributeProto {
        name: "direction".into(),
        r#type: AttributeType::String.into(),
        s: direction.to_string().into_bytes(),
        ..Default::default()
    };
    vec![hidden, direction]
}

fn tensor(name: &str, dims: &[usize], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.into(),
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: pb::tensor_proto::DataType::Float.into(),
        float_data: values.to_vec(),
        ..Default::default()
    }
}

fn value(name: &str, dims: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value::DimValue};
    let dimension = |&d: &usize| Dimension { value: Some(DimValue(d as i64)), ..Default::default() };
    let shape = pb::TensorShapeProto { dim: dims.iter().map(dimension).collect() };
    let elem_type = pb::tensor_proto::DataType::Float.into();
    let tensor = pb::type_proto::Tensor { elem_type, shape: Some(shape) };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    let r#type = Some(pb::TypeProto { value, ..Default::default() });
    pb::ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}
