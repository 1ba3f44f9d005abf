//! ONNX import.
//!
//! [`recurrent_nodes`] lists the recurrent nodes of a file and packs them into layers, with nothing but a small parser.
//! With the feature `tract`, `Model` runs whole models on tract with recurrent nodes on this crate's kernels, and
//! `register` puts those into a program that uses tract itself.
//!
//! `LSTM`, `GRU` and `RNN` of the operator sets 1 to 28 are computed with all their attributes, inputs and outputs, in f32,
//! f64, f16 and bf16, as the ONNX standard says. What is not computed is refused with an [`Error`] that names the
//! node and the attribute, input or tensor, with its value; nothing is ignored. `docs/onnx.md` in the repository has the
//! table of both.

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod attribute;
mod brief;
#[doc(hidden)]
pub mod cells;
mod compare;
mod error;
#[doc(hidden)]
pub mod fold;
#[doc(hidden)]
pub mod node;
#[doc(hidden)]
pub mod operator;
#[doc(hidden)]
pub mod proto;
#[doc(hidden)]
pub mod scope;
#[doc(hidden)]
pub mod tensor;
#[doc(hidden)]
pub mod walk;
#[doc(hidden)]
pub mod weights;

pub use attribute::{AttributeValue, BadAttribute};
pub use cells::CellAttributes;
pub use compare::TensorMismatch;
pub use error::Error;
pub use half::{bf16, f16};
pub use node::{Extent, RecurrentNode};
pub use operator::RecurrentOp;
pub use tensor::{DType, Element, Tensor, TensorData};

/// Lists the recurrent nodes of an ONNX model, those of the main graph first, then those of the graphs in its
/// nodes (the branches of an `If`, the bodies of a `Loop` or a `Scan`).
///
/// A node that cannot be packed is listed all the same; [`RecurrentNode::refusal`] says why. Weights may be
/// stored tensors or be computed from those by `Constant`, `Identity`, `Unsqueeze`, `Squeeze`, `Concat`,
/// `Slice`, `Transpose` and `Reshape`; weights that are inputs of the model are given to [`recurrent_nodes_with`].
/// Memory stays within a fixed multiple of the bytes given.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// for node in rnnpack_onnx::recurrent_nodes(&std::fs::read("model.onnx")?)? {
///     println!("{} {}: I {:?}, H {:?}, {:?}", node.op, node.name, node.input, node.hidden, node.cells);
///     let layer = node.pack()?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// the bytes are no ONNX model, its operator sets are not declared properly, a name is empty
/// or given twice, or a model-local function holds a recurrent node.
pub fn recurrent_nodes(bytes: &[u8]) -> Result<Vec<RecurrentNode>, Error> {
    recurrent_nodes_with(bytes, &[])
}

/// [`recurrent_nodes`] of a model some of whose inputs have the given values, for files that take the weights
/// of a layer as inputs.
///
/// # Errors
/// As [`recurrent_nodes`], and [`Error::Value`] for a name that is no input of the model or is bound
/// twice.
pub fn recurrent_nodes_with(bytes: &[u8], bindings: &[(&str, &Tensor)]) -> Result<Vec<RecurrentNode>, Error> {
    let (model, graph) = proto::decode(bytes)?;
    for (i, &(name, _)) in bindings.iter().enumerate() {
        let reason = match graph.input.iter().any(|input| input.name == name) {
            true if bindings[..i].iter().all(|&(other, _)| other != name) => continue,
            true => "it is bound twice",
            false => "it is bound, but is no input of the model",
        };
        return Err(Error::Value { name: name.to_string(), reason: reason.to_string() });
    }
    walk::recurrent_nodes(&model, &graph, bytes.len(), bindings)
}
