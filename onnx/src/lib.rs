//! Reads the recurrent nodes of ONNX files as layers of rnnpack. It contains only a small parser, no runtime.
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
//! `LSTM`, `GRU` and `RNN` of operator sets 1 to 28 are computed as the ONNX standard says, with all their attributes,
//! inputs and outputs, in f32, f64, f16 and bf16. So is `DynamicQuantizeLSTM` of ONNX Runtime, with the integers of the file
//! as weights; see [`OnnxRuntimeLstm`] for the difference from ONNX Runtime. Anything else is refused with an [`Error`]. It names the node, the
//! attribute, input or tensor, and its value. Nothing is ignored. `docs/onnx.md` in the repository lists what is
//! computed and what is refused.
//!
//! # For runtimes
//!
//! A crate that runs whole models, such as `rnnpack-tract`, uses these functions:
//!
//! 1. [`decode`] or [`open`] decodes a file, once.
//! 2. [`check_model`] checks the decoded model.
//! 3. [`nodes_of`] lists the recurrent nodes.
//! 4. [`NodeSpec`] and [`NodeWeights`] read a node whose weights are known only later.
#![forbid(unsafe_code)]

mod attribute;
mod brief;
mod cells;
mod check;
mod compare;
mod constant;
mod dequantize;
mod describe;
mod error;
mod extent;
mod external;
mod file;
mod fold;
mod footprint;
mod functions;
mod graphs;
mod imports;
mod model;
mod moves;
mod names;
mod narrow;
mod node;
mod onnxruntime;
mod operator;
mod path;
pub mod proto;
mod quantized;
mod rename;
mod scope;
mod shadow;
mod sparse;
mod spec;
mod stored;
mod tensor;
mod walk;
mod weight;
mod weight_checks;
mod weights;

pub use attribute::{AttributeValue, BadAttribute};
pub use brief::{Line, Shown, ShownNames};
pub use cells::CellAttributes;
pub use check::check_model;
pub use compare::TensorMismatch;
pub use error::Error;
pub use extent::Extent;
pub use file::File;
pub use half::{bf16, f16};
pub use model::{decode, decode_in, open, read_whole};
pub use names::UniqueNames;
pub use narrow::narrow;
pub use node::{NodeDescription, RecurrentNode};
pub use onnxruntime::OnnxRuntimeLstm;
pub use operator::{OPSETS, RecurrentOp};
pub use spec::NodeSpec;
pub use stored::dtype_name;
pub use tensor::{DType, Element, Tensor, TensorData, TensorError};
pub use walk::nodes_of;
pub use weights::NodeWeights;
