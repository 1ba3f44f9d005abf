//! All tests of whole models in one program, because linking tract takes longer than running most of them.

mod examples;
mod memory;
mod onnx_bf16;
mod onnx_bodies;
mod onnx_fits;
mod onnx_forms;
mod onnx_generated;
mod onnx_hostile;
mod onnx_models;
mod onnx_oracle;
mod onnx_refusals;
mod onnx_tract;
mod operators;
mod quantized;
mod subnormals;
mod weight_types;
