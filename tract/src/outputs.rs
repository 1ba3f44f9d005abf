//! The outputs of a model: each becomes a value of its own, and has the type that the file declares.

use crate::error::value_error;
use crate::value::ValueSpec;
use rnnpack_onnx::{Error as OnnxError, UniqueNames, dtype_name, proto};
use std::collections::HashSet;

/// Makes every output of the main graph the output of one node that is no other output of the graph: tract forgets the
/// type of an input or a stored tensor that is also an output. The outputs get new names where this needs nodes. Returns
/// the outputs as the file has them.
pub(crate) fn separate(graph: &mut proto::Graph) -> Vec<proto::ValueInfo> {
    let declared = graph.output.clone();
    let mut names = UniqueNames::default();
    let made: Vec<String> = graph.node.iter().flat_map(|n| &n.output).cloned().collect();
    made.iter().for_each(|name| names.take(name.clone()));
    graph.initializer.iter().for_each(|t| names.take(t.name.clone()));
    graph.input.iter().for_each(|i| names.take(i.name.clone()));
    let mut free: HashSet<String> = made.into_iter().collect();
    for output in graph.output.iter_mut().filter(|output| !free.remove(&output.name)) {
        let from = std::mem::take(&mut output.name);
        output.name = names.unique(&from);
        let (op_type, outputs) = ("Identity".to_string(), vec![output.name.clone()]);
        graph.node.push(proto::Node { op_type, input: vec![from], output: outputs, ..Default::default() });
    }
    declared
}

/// Checks that outputs have the element types that the file declares. A declared shape is not compared: tools that change
/// a model leave old ones behind, and no result depends on it.
pub(crate) fn check_types(declared: &[proto::ValueInfo], outputs: &[ValueSpec]) -> Result<(), OnnxError> {
    for (declared, output) in declared.iter().zip(outputs) {
        let tensor = declared.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let number = tensor.map_or(0, |t| t.elem_type);
        if number != 0 && number != output.dtype.number() {
            let (found, expected) = (dtype_name(output.dtype.number()), dtype_name(number));
            return Err(value_error(&output.name, format!("it is {found}, but declared as {expected}")));
        }
    }
    Ok(())
}
