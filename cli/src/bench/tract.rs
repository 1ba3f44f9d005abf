//! tract's own operator on the timed layer, in an ONNX model of one node that tract loads and optimizes.

use super::competitor::Competitor;
use super::layer_args::LayerSpec;
use super::layer_data::{LayerData, LayerShape};
use crate::model::quietly;
use anyhow::{Context, Result, anyhow};
use prost::Message;
use rnnpack::{Cell, GruCell, LstmCell, Shape};
use rnnpack_tract::{Kernels, Loader};
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
    /// If tract is known to compute something else ([`Kernels::Tract`] knows this), cannot load the layer, or panics.
    pub(crate) fn new(data: &LayerData, spec: LayerSpec) -> Result<TractLayer> {
        // Whether tract computes it wrongly does not depend on the sizes.
        let smallest = LayerShape { time: 1, batch: 1, input: 1, hidden: 1 };
        let smallest = model(&LayerData::random(smallest, spec, 0)?).encode_to_vec();
        quietly(|| Loader::new().kernels(Kernels::Tract).load(&smallest))?;
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
    let (d, gates) = (direction.count(), data.cell.gates());
    let mut inputs = vec!["X", "W", "R", "B"];
    let mut initializer = vec![
        tensor("W", &[d, gates * hidden, input], &data.w),
        tensor("R", &[d, gates * hidden, hidden], &data.r),
        tensor("B", &[d, 2 * gates * hidden], &data.b),
    ];
    if let Some(p) = &data.p {
        inputs.extend(["", "", "", "P"]);
        initializer.push(tensor("P", &[d, 3 * hidden], p));
    }
    let graph = pb::GraphProto {
        name: "layer".into(),
        node: vec![pb::NodeProto {
            op_type: data.cell.op().into(),
            input: inputs.into_iter().map(String::from).collect(),
            output: vec!["Y".into()],
            attribute: attributes(&data.cell, data.shape),
            ..Default::default()
        }],
        initializer,
        input: vec![value("X", &[data.time, data.batch, input])],
        output: vec![value("Y", &[data.time, d, data.batch, hidden])],
        ..Default::default()
    };
    let opset = pb::OperatorSetIdProto { version: OPSET, ..Default::default() };
    pb::ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() }
}

/// The attributes of the node. The activations have their default parameters.
fn attributes(cell: &Cell, Shape { hidden, direction, .. }: Shape) -> Vec<pb::AttributeProto> {
    use pb::attribute_proto::AttributeType;
    let attribute = |name: &str, r#type: AttributeType| pb::AttributeProto {
        name: name.into(),
        r#type: r#type.into(),
        ..Default::default()
    };
    let int = |name: &str, i: i64| pb::AttributeProto { i, ..attribute(name, AttributeType::Int) };
    let names = (0..direction.count()).flat_map(|_| cell.activations());
    let strings = names.map(|activation| activation.name().as_bytes().to_vec()).collect();
    let s = direction.to_string().into_bytes();
    let mut all = vec![
        int("hidden_size", hidden as i64),
        pb::AttributeProto { s, ..attribute("direction", AttributeType::String) },
        pb::AttributeProto { strings, ..attribute("activations", AttributeType::Strings) },
    ];
    all.extend(cell.clip().map(|f| pb::AttributeProto { f, ..attribute("clip", AttributeType::Float) }));
    match *cell {
        Cell::Lstm(LstmCell { input_forget: true, .. }) => all.push(int("input_forget", 1)),
        Cell::Gru(GruCell { linear_before_reset: true, .. }) => all.push(int("linear_before_reset", 1)),
        _ => {}
    }
    all
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
