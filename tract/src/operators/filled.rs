//! Operators of which tract misses a default or an attribute.

use super::exact::{around, of_tract};
use rnnpack_onnx::Error as OnnxError;
use tract_onnx::Onnx;
use tract_onnx::pb::{AttributeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

pub(super) fn register(onnx: &mut Onnx) {
    // tract's default is an f64. The standard's is an f32.
    onnx.op_register.insert("ConstantOfShape", |ctx, node| {
        let mut node = node.clone();
        if !node.attribute.iter().any(|a| a.name == "value") {
            let zero =
                TensorProto { dims: vec![1], data_type: 1, float_data: vec![0.0], ..Default::default() };
            let attribute =
                AttributeProto { name: "value".into(), r#type: 4, t: Some(zero), ..Default::default() };
            node.attribute.push(attribute);
        }
        let (op, closures) = of_tract(ctx, &node)?;
        Ok((around(&node, op), closures))
    });
    onnx.op_register.insert("SpaceToDepth", |ctx, node| match node.get_attr_opt::<&str>("mode")? {
        None | Some("DCR") => of_tract(ctx, node),
        Some(mode) => {
            let (node, attribute) = (node.name.clone(), "mode".to_string());
            Err(TractError::new(OnnxError::Attribute {
                node,
                attribute,
                reason: format!("`{mode}` is not computed"),
            }))
        }
    });
}
