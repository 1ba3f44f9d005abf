//! The operators that replace tract's, beside the recurrent ones and those that contain graphs.
//!
//! `docs/tract.md` says for each of them what tract computes.

mod binary;
mod blocks;
mod cast;
mod clip;
mod computed;
mod converted;
mod exact;
mod filled;
mod frame;
mod indices;
mod one_hot;
mod order;
mod pad;
mod products;
mod quantize;
mod reduce;
mod select;
mod softmax;
mod stride;
mod unary;

pub(crate) use exact::around;

use tract_onnx::Onnx;

/// Puts our operators in the place of tract's.
pub(crate) fn register(onnx: &mut Onnx) {
    exact::register(onnx);
    converted::register(onnx);
    indices::register(onnx);
    blocks::register(onnx);
    one_hot::register(onnx);
    filled::register(onnx);
    stride::register(onnx);
    products::register(onnx);
    quantize::register(onnx);
    order::register(onnx);
    pad::register(onnx);
    select::register(onnx);
    clip::register(onnx);
    unary::register(onnx);
    binary::register(onnx);
    reduce::register(onnx);
    cast::register(onnx);
    softmax::register(onnx);
}
