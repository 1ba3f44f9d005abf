//! The recurrent nodes of ONNX files as layers of rnnpack, with nothing but a small parser: no runtime.
//!
//! ```no_run
//! use rnnpack_onnx::File;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = File::open("model.onnx")?;
//! for node in file.nodes() {
//!     println!("{} {}: I {:?}, H {:?}, {:?}", node.op, node.name, node.input, node.hidden, node.cells);
//! }
//! let lstm = file.layer("lstm_1")?; // a rnnpack::Layer
//! # Ok(())
//! # }
//! ```
//!
//! `LSTM`, `GRU` and `RNN` of the operator sets 1 to 28 are computed with all their attributes, inputs and outputs, in f32,
//! f64, f16 and bf16, as the ONNX standard says. What is not computed is refused with an [`Error`] that names the
//! node and the attribute, input or tensor, with its value; nothing is ignored. `docs/onnx.md` in the repository has the
//! table of both.
//!
//! # For runtimes
//!
//! A crate that runs whole models decodes a file once with [`proto::decode`], checks it with [`check_model`], lists the recurrent
//! nodes with [`nodes_of`], and reads a node whose weights come later with [`NodeSpec`] and [`NodeWeights`]. `rnnpack-tract`
//! is one.
#![forbid(unsafe_code)]

mod attribute;
mod brief;
mod cells;
mod check;
mod compare;
mod describe;
mod error;
mod extent;
mod file;
mod fold;
mod moves;
mod node;
mod operator;
pub mod proto;
mod scope;
mod spec;
mod stored;
mod tensor;
mod walk;
mod weights;

pub use attribute::{AttributeValue, BadAttribute};
pub use cells::CellAttributes;
pub use check::check_model;
pub use compare::TensorMismatch;
pub use error::Error;
pub use extent::Extent;
pub use file::File;
pub use half::{bf16, f16};
pub use node::{NodeDescription, RecurrentNode};
pub use operator::{OPSETS, RecurrentOp};
pub use spec::NodeSpec;
pub use stored::dtype_name;
pub use tensor::{DType, Element, Tensor, TensorData, TensorError};
pub use walk::nodes_of;
pub use weights::NodeWeights;
