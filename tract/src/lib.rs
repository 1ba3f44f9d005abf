//! Runs whole ONNX models on tract, with their LSTM, GRU, RNN and DynamicQuantizeLSTM nodes on rnnpack.
//!
//! | to | see |
//! |---|---|
//! | load, run and stream a model | [`Loader`], [`Model`], [`Stream`] |
//! | put the recurrent nodes of a program's own tract on rnnpack | [`register`] |
//!
//! Models are computed as the ONNX standard says. Anything else is refused with an [`Error`] that names the node and
//! the attribute, input or tensor. Nothing is ignored. `docs/onnx.md` in the repository lists what is computed and what
//! is refused.
#![forbid(unsafe_code)]

mod bf16;
mod body;
mod choice_op;
mod comparison;
mod convert;
mod error;
mod fits;
mod guard;
mod if_op;
mod kept;
mod layer;
mod loaded;
mod loader;
mod loop_form;
mod loop_infer;
mod loop_op;
mod memory;
mod messages;
mod model;
mod operators;
mod outputs;
mod own_operator;
mod prepare;
mod reader;
mod recurrent_node;
mod recurrent_op;
mod recurrent_spec;
mod register;
mod repeat_op;
mod round;
mod settings;
mod stream;
mod unsupported;
mod unused;
mod value;

pub use error::{Error, Unsupported};
pub use loader::Loader;
pub use model::Model;
pub use register::{register, register_with};
pub use rnnpack::{Subnormals, WeightType};
pub use rnnpack_onnx::{DType, Element, Extent, NodeDescription, Tensor, TensorData};
pub use settings::Kernels;
pub use stream::Stream;
pub use value::ValueSpec;
