//! The inputs and outputs that a model's file declares.

use crate::report::Table;
use rnnpack_onnx::{Extent, Shown, dtype_name, proto};
use serde_json::{Value, json};
use std::collections::HashSet;

/// The inputs and outputs of a model.
pub(super) struct Border {
    pub(super) inputs: Vec<Declared>,
    pub(super) outputs: Vec<Declared>,
}

/// An input or an output as the file declares it.
pub(super) struct Declared {
    name: String,
    /// The name of the element type in the standard, if the file declares one.
    dtype: Option<String>,
    dims: Option<Vec<Extent>>,
}

impl Border {
    pub(super) fn of(graph: &proto::Graph) -> Border {
        let stored: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let declared = |info: &proto::ValueInfo| {
            let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
            Declared {
                name: info.name.clone(),
                dtype: tensor.filter(|t| t.elem_type != 0).map(|t| dtype_name(t.elem_type)),
                dims: tensor
                    .and_then(|t| t.shape.as_ref())
                    .map(|shape| shape.dim.iter().map(Extent::from).collect()),
            }
        };
        // Old files list every stored tensor among the inputs.
        let inputs = graph.input.iter().filter(|info| !stored.contains(info.name.as_str()));
        Border {
            inputs: inputs.map(declared).collect(),
            outputs: graph.output.iter().map(declared).collect(),
        }
    }

    pub(super) fn text(&self, model: &str) -> String {
        let mut table = Table::new(&["", "name", "type", "dimensions"], &[false; 4]);
        for (what, values) in [("input", &self.inputs), ("output", &self.outputs)] {
            for Declared { name, dtype, dims } in values {
                let dims = dims.as_ref().map_or("?".to_owned(), |dims| {
                    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
                    format!("[{}]", dims.join(", "))
                });
                let dtype = dtype.clone().unwrap_or_else(|| "?".to_owned());
                table.row(vec![what.to_owned(), Shown(name).to_string(), dtype, dims]);
            }
        }
        format!("{model}\n\n{}", table.render())
    }
}

pub(super) fn json(values: &[Declared]) -> Value {
    let one = |Declared { name, dtype, dims }: &Declared| {
        let dims: Option<Value> = dims.as_ref().map(|dims| dims.iter().map(extent_json).collect());
        json!({ "name": name, "type": dtype, "dims": dims })
    };
    values.iter().map(one).collect()
}

/// A dimension as JSON: a number, its name, or null.
pub(super) fn extent_json(extent: &Extent) -> Value {
    match extent {
        Extent::Fixed(n) => json!(n),
        Extent::Named(name) => json!(name),
        Extent::Unknown => Value::Null,
    }
}
